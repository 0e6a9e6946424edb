//! Journals as the tool reads them: directories and files named on the command line, by ordinary
//! reads. Nothing is changed, nothing is locked: a daemon may be writing there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use benzene_engine::journal::survey::{Looked, NewerVersion, Survey, is_aside};

use crate::desk::{first_bytes, is_note};

/// Why a journal cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Newer(#[from] NewerVersion),
    #[error("cannot write: {0}")]
    Output(io::Error),
}

impl JournalError {
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> JournalError {
        let path = path.to_owned();
        move |source| JournalError::Io { path, source }
    }

    /// Is the file not there, or not any more?
    pub(super) fn is_of_nothing(&self) -> bool {
        match self {
            JournalError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            JournalError::Newer(_) | JournalError::Output(_) => false,
        }
    }
}

/// A journal's directory, and which of its files were asked for; none: all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) directory: PathBuf,
    pub(super) only: Option<BTreeSet<PathBuf>>,
}

/// What is read by itself: a journal, or what was set aside of it.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) survey: Survey,
    pub(super) is_aside: bool,
}

/// Sorts what the command line names by directory, without the notes that lie beside a journal.
pub(super) fn asked(paths: &[PathBuf]) -> Result<Vec<Asked>, JournalError> {
    let mut directories: BTreeMap<PathBuf, Option<BTreeSet<PathBuf>>> = BTreeMap::new();
    for path in paths {
        let metadata = path.metadata().map_err(JournalError::at(path))?;
        if metadata.is_dir() {
            directories.insert(path.clone(), None);
            continue;
        }
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            Some(_) | None => PathBuf::from("."),
        };
        let Some(name) = path.file_name() else {
            continue;
        };
        // As `DIR/*` names them, too.
        if is_note(path) {
            continue;
        }
        let file = directory.join(name);
        let entry = directories
            .entry(directory)
            .or_insert_with(|| Some(BTreeSet::new()));
        if let Some(only) = entry {
            only.insert(file);
        }
    }
    let asked = |(directory, only)| Asked { directory, only };
    Ok(directories.into_iter().map(asked).collect())
}

/// The files of a directory, by path, with their lengths.
pub(super) fn list(directory: &Path) -> Result<Vec<(PathBuf, u64)>, JournalError> {
    let mut files = Vec::new();
    for entry in directory.read_dir().map_err(JournalError::at(directory))? {
        let path = entry.map_err(JournalError::at(directory))?.path();
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => files.push((path, metadata.len())),
            Ok(_) => {}
            // A daemon has removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(JournalError::at(&path)(error)),
        }
    }
    files.sort();
    Ok(files)
}

/// Surveys what was asked for: where files are named that were set aside, all such of their directory,
/// and first, as they are older; where others are or the directory is, the journal.
pub(super) fn parts_asked(asked: &Asked) -> Result<Vec<Part>, JournalError> {
    let looked = look_through(&asked.directory)?;
    let only = asked.only.iter().flatten();
    let (aside, others): (Vec<&PathBuf>, _) = only.partition(|path| is_aside(path));
    let mut parts = Vec::new();
    if !aside.is_empty() {
        parts.push(Part {
            survey: Survey::of_aside(looked.clone())?,
            is_aside: true,
        });
    }
    if !others.is_empty() || asked.only.is_none() {
        parts.push(Part {
            survey: Survey::new(looked)?,
            is_aside: false,
        });
    }
    Ok(parts)
}

/// Surveys a directory as a start of the daemon does.
pub(super) fn survey(directory: &Path) -> Result<Survey, JournalError> {
    Ok(Survey::new(look_through(directory)?)?)
}

fn look_through(directory: &Path) -> Result<Vec<Looked>, JournalError> {
    let files = list(directory)?.into_iter();
    let files = files.filter(|(path, _)| !is_note(path));
    let looked = files.map(|(path, bytes)| {
        // What cannot be read has no first bytes; the replay then says why.
        let first = first_bytes(&path, bytes).unwrap_or_default();
        Looked { path, bytes, first }
    });
    Ok(looked.collect())
}
