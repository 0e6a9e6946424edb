//! Journals of instances that had a process each, taken over by one process for all of them; one that
//! lies in JOURNAL_DIR itself, taken over by whoever comes first; and what the way back leaves behind.
//! A note in each such directory (`taken`) says which runs of which journal began to take it over, and
//! is on the disk before the first of them says anything: so a crash at any moment loses nothing and
//! writes nothing twice (docs/decisions/0021). Whoever writes to such a directory removes its note
//! first. The process for several instances leaves a note in its own directory (`instances`), so that
//! one for a single instance can say where points of it may be.
//! What is wrong with a directory of another instance is wrong with ours: the start ends.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use benzene_engine::journal::survey::Survey;
use benzene_engine::shard::Adopted;

use super::hold::is_for_want_of_room;
use super::journal::{JournalError, say_aside};
use super::look::{left_in, lies_in, list, look_through};
use super::mounts::DATA_NAME;
use crate::config::Settings;

/// The note of a directory that is being taken over: the journal that does, and its epochs, a line each.
pub(super) const TAKEN_NAME: &str = "taken";
/// The note of a directory whose journal is several instances': their names, a line each.
pub(super) const TOGETHER_NAME: &str = "instances";
/// Either note while it is written.
pub(super) const NEW_NAME: &str = "note.new";

/// Looks for the journals that the one in `own` is to take over in its epoch, the oldest first, notes
/// that it does, and says what may be left behind elsewhere. `bare` are those that lie in JOURNAL_DIR
/// itself, and are held.
pub(super) fn find(
    settings: &Settings,
    bare: &[PathBuf],
    (own, epoch): (&Path, u32),
) -> Result<Vec<Adopted>, JournalError> {
    begin(own, settings)?;
    let mut found: Vec<(SystemTime, Adopted)> = Vec::new();
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut known = vec![real(own)];
    if settings.instances.len() > 1 {
        for directory in settings.journal_dirs() {
            if known.contains(&real(directory)) {
                continue;
            }
            known.push(real(directory));
            found.extend(take_over(directory, own, epoch)?);
        }
    }
    for directory in bare {
        if let Some(other) = taker(directory, own) {
            tracing::warn!(
                "the journal in {} is being taken over by the one in {}: what it owes comes back to that, \
                 when its instance is started",
                directory.display(),
                other.display()
            );
            continue;
        }
        found.extend(take_over(directory, own, epoch)?);
        let together = directory.join(TOGETHER_NAME);
        remove(&together).map_err(at(&together))?;
    }
    for directory in &settings.bare_journals {
        let left = left_in(directory);
        // Where a journal is left too it is in use by another process, or was named above.
        if !left.has_journal && !known.contains(&real(directory)) {
            say_aside(directory, left.aside);
        }
    }
    if settings.is_asked_for {
        say_of_several(settings, own);
    } else {
        say_orphans(settings, &known);
    }
    let own_written = last_written(list(own).map_err(at(own))?.iter().map(|(path, _)| path));
    found.sort_by_key(|(written, _)| *written);
    let found = found.into_iter().map(|(written, adopted)| Adopted {
        is_later: written > own_written,
        ..adopted
    });
    Ok(found.collect())
}

/// When a journal was last written.
fn last_written<'a>(files: impl Iterator<Item = &'a PathBuf>) -> SystemTime {
    let written = files.filter_map(|path| fs::metadata(path).ok()?.modified().ok());
    written.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The process has ended, and no point is in its journal alone: nobody has to look there.
pub(super) fn forget_several(own: &Path) {
    if let Err(error) = remove(&own.join(TOGETHER_NAME)) {
        tracing::debug!("{}: {error}", own.display());
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Directory {
        path: path.clone(),
        source,
    }
}

/// What stands in the own directory from earlier runs, and is to stand there now.
fn begin(own: &Path, settings: &Settings) -> Result<(), JournalError> {
    let taken = own.join(TAKEN_NAME);
    if taken.exists() {
        tracing::warn!(
            "the journal in {} was being taken over by a process for several instances when that ended: \
             its points are written from here, and once more if that process is started again",
            own.display()
        );
        remove(&taken).map_err(at(&taken))?;
    }
    let together = own.join(TOGETHER_NAME);
    if settings.instances.len() > 1 {
        let names: Vec<&str> = settings
            .instances
            .iter()
            .map(|it| it.name.as_str())
            .collect();
        let names = names.join("\n");
        // A full disk has no room for it anew.
        if fs::read_to_string(&together).is_ok_and(|there| there.trim_end() == names) {
            return Ok(());
        }
        return match write(&together, &names) {
            Err(error) if is_for_want_of_room(&error) => {
                tracing::warn!(
                    "{}: {error}; a process for one of the instances alone will not say that points of it \
                     may be here",
                    together.display()
                );
                Ok(())
            }
            written => written.map_err(at(&together)),
        };
    }
    if let Ok(names) = fs::read_to_string(&together) {
        tracing::warn!(
            "the journal in {} is that of one process for the instances {}: what is in it comes back here \
             and is written from here, and until then cache queries at the other instances do not \
             find it (`benzene stop --drain` before such a change leaves nothing behind)",
            own.display(),
            listed(&names)
        );
    }
    remove(&together).map_err(at(&together))
}

/// What another instance has left in its directory, and when it was last written; none where nothing is.
fn take_over(
    directory: &Path,
    own: &Path,
    epoch: u32,
) -> Result<Option<(SystemTime, Adopted)>, JournalError> {
    // Nobody writes here any more: where its data are mounted is not known, and nothing is believed for it.
    let data = directory.join(DATA_NAME);
    remove(&data).map_err(at(&data))?;
    let files = look_through(directory)?;
    let written = last_written(files.iter().map(|looked| &looked.path));
    let survey = Survey::new(files).map_err(JournalError::Newer)?;
    say_aside(directory, survey.aside.len());
    let note = directory.join(TAKEN_NAME);
    if survey.files.is_empty() {
        remove(&note).map_err(at(&note))?;
        return Ok(None);
    }
    let begun = begun(&note, own);
    let mut lines = vec![own.display().to_string()];
    lines.extend(begun.iter().chain([&epoch]).map(u32::to_string));
    write(&note, &lines.join("\n")).map_err(at(&note))?;
    tracing::info!(
        "the journal in {} is taken over: what it owes comes back here",
        directory.display()
    );
    let adopted = Adopted {
        survey,
        begun,
        note,
        is_later: false,
    };
    Ok(Some((written, adopted)))
}

/// Which other journal has begun to take over a directory, and may go on with it.
fn taker(directory: &Path, own: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(directory.join(TAKEN_NAME)).ok()?;
    let other = PathBuf::from(text.lines().next()?);
    (other != own && lies_in(&other)).then_some(other)
}

/// The epochs in which the journal in `own` began to take over a directory, by its note.
fn begun(note: &Path, own: &Path) -> Vec<u32> {
    let text = fs::read_to_string(note).unwrap_or_default();
    let mut lines = text.lines();
    if lines.next() != Some(own.display().to_string().as_str()) {
        return Vec::new();
    }
    lines.filter_map(|line| line.parse().ok()).collect()
}

/// For one instance by itself: says where the journal of a process for several may have its points.
fn say_of_several(settings: &Settings, own: &Path) {
    for directory in directories(settings) {
        if directory == own {
            continue;
        }
        let names = fs::read_to_string(directory.join(TOGETHER_NAME)).unwrap_or_default();
        if names.lines().any(|name| name == settings.instance) {
            tracing::warn!(
                "points of instance {} may be in the journal in {}, which one process for the instances \
                 {} has left: they come back to whoever uses that directory, and cache queries here do \
                 not find them; to have them in their files first, stop this, start `benzene cache` \
                 without --instance and end it with `benzene stop --drain`",
                settings.instance,
                directory.display(),
                listed(&names)
            );
        }
    }
}

/// Says of which instances that carbon.conf does not have there is a journal, or what was set aside of it.
fn say_orphans(settings: &Settings, known: &[PathBuf]) {
    for directory in directories(settings) {
        let is_known = fs::canonicalize(&directory).is_ok_and(|real| known.contains(&real));
        if is_known {
            continue;
        }
        let left = left_in(&directory);
        say_aside(&directory, left.aside);
        if left.has_journal {
            let name = directory.file_name().unwrap_or_default().to_string_lossy();
            tracing::warn!(
                "there is a journal in {0}, and carbon.conf has no instance {name}: `benzene journal export \
                 {0}/*` prints the points in it that are in no file. To have them written, name {name} in \
                 INSTANCES once, or start `benzene cache --instance {name}`; else remove it",
                directory.display()
            );
        }
    }
}

/// The directories below those of all journals.
fn directories(settings: &Settings) -> Vec<PathBuf> {
    let entries = settings
        .journals
        .iter()
        .filter_map(|all| fs::read_dir(all).ok());
    let entries = entries.flatten().filter_map(Result::ok);
    let mut directories: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    directories.retain(|path| path.is_dir());
    directories.sort();
    directories
}

fn listed(names: &str) -> String {
    names.lines().collect::<Vec<_>>().join(", ")
}

/// Writes a note that outlives a power cut, as the one before it does until then.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_file_name(NEW_NAME);
    let mut file = File::create(&new)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_directory(path)
}

/// Removes a note, and says nothing where there is none.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_directory(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
