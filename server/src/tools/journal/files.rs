//! Journals as the tool reads them: directories and files named on the command line, by ordinary
//! reads. Nothing is changed, nothing is locked: a daemon may be writing there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use benzene_engine::journal::replay::{Owed, Progress, Replay, ReplayToken};
use benzene_engine::journal::survey::{Looked, NewerVersion, Survey, wants};
use benzene_engine::ring::{
    ByteRange, FileError, FileOperation, FileOutcome, Piece, Stage, VisitId,
};

use crate::desk::NOTES;

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
}

/// A journal's directory, and which of its files were asked for; none: all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) directory: PathBuf,
    pub(super) only: Option<BTreeSet<PathBuf>>,
}

/// Sorts what the command line names by directory.
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

/// Surveys a directory as a start of the daemon does.
pub(super) fn survey(directory: &Path) -> Result<Survey, JournalError> {
    let is_part = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        !NOTES.iter().any(|note| name == *note)
    };
    let files = list(directory)?.into_iter();
    let files = files.filter(|(path, _)| is_part(path));
    let looked = files.map(|(path, bytes)| {
        // What cannot be read has no first bytes; the replay then says why.
        let first = first_bytes(&path, bytes).unwrap_or_default();
        Looked { path, bytes, first }
    });
    Ok(Survey::new(looked)?)
}

/// A file's first bytes, as many as tell whether a block is there.
pub(super) fn first_bytes(path: &Path, file_bytes: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut first = Vec::new();
    while let Some(wanted) = wants(&first, file_bytes) {
        let read = read_at(&file, 0, wanted)?;
        if read.len() <= first.len() {
            break;
        }
        first = read;
    }
    Ok(first)
}

/// So many bytes from an offset on, fewer where the file ends.
pub(super) fn read_at(file: &File, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut read = vec![0; bytes];
    let mut at = 0;
    while at < bytes {
        match file.read_at(&mut read[at..], offset + at as u64) {
            Ok(0) => break,
            Ok(count) => at += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    read.truncate(at);
    Ok(read)
}

/// Runs a replay to its end, with each point and its name; an error of the sink ends it.
pub(super) fn drive(
    replay: &mut Replay,
    sink: &mut dyn FnMut(&str, Owed) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    /// Points between two looks at what is to be read.
    const POINTS: usize = 64 << 10;
    let mut points = Vec::new();
    loop {
        while let Some((token, operation)) = replay.next_operation() {
            answer(replay, token, &operation);
        }
        let progress = replay.work(POINTS, &mut |owed: &[Owed]| {
            points.extend_from_slice(owed);
            owed.len()
        });
        for owed in points.drain(..) {
            sink(replay.name(owed.name), owed)?;
        }
        match progress {
            Progress::More | Progress::Waiting | Progress::Full => {}
            Progress::Done => return Ok(()),
            Progress::Refused(newer) => return Err(newer.into()),
        }
    }
}

/// Reads a journal to its end, or to the first point that is given out: is there none?
pub(crate) fn is_without_points(replay: &mut Replay) -> bool {
    let stop = |_: &str, _: Owed| Err(JournalError::Output(io::Error::other("a point")));
    drive(replay, &mut { stop }).is_ok()
}

fn answer(replay: &mut Replay, token: ReplayToken, operation: &FileOperation) {
    let answer = if let FileOperation::Open { path, ranges, .. } = operation {
        open(path, ranges)
    } else {
        let closes = matches!(operation, FileOperation::Close { .. });
        assert!(closes, "a replay asks for {operation:?}");
        // It is closed already.
        Ok(FileOutcome::Closed)
    };
    replay.complete(token, answer);
}

/// Reads stretches of a file.
fn open(path: &Path, ranges: &[ByteRange]) -> Result<FileOutcome, FileError> {
    let failed = |stage, error: &io::Error| FileError {
        stage,
        errno: error.raw_os_error().unwrap_or(0),
    };
    let file = File::open(path).map_err(|error| failed(Stage::Open, &error))?;
    let read = |range: &ByteRange| {
        let offset = range.offset;
        let bytes = read_at(&file, offset, range.len as usize);
        bytes.map(|bytes| Piece { offset, bytes })
    };
    let pieces: io::Result<Vec<Piece>> = ranges.iter().map(read).collect();
    let (slot, generation) = (0, 0);
    Ok(FileOutcome::Opened {
        visit: VisitId { slot, generation },
        pieces: pieces.map_err(|error| failed(Stage::Read, &error))?,
    })
}
