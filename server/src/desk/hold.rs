//! Who answers for an instance: the process that holds the lock in the directory of its journal. One
//! process for several instances holds all of theirs, so that `--instance b` beside it is refused, and
//! the other way round; with JOURNAL = False too.
//! In the file are the process's number, on the next line the instances that it answers for, and on others
//! when it was started, that it stops, and once it has ended in order, how it did. The locks are the
//! kernel's: they go with the process, however it ends.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use benzene_engine::ring::host;

use super::journal::JournalError;
use super::look;
use crate::config::Settings;
use crate::exit::Exit;

/// The file that the process which uses the directory holds a lock on; has its number in it.
pub(crate) const LOCK_NAME: &str = "lock";

/// What begins the line that says when the process was started.
const STARTED: &str = "started ";
/// The line of a process that ends.
const STOPPING: &str = "stopping";

/// The locks, until the process ends.
#[derive(Debug)]
pub(crate) struct Held {
    locks: Vec<File>,
    /// Journals that lie in JOURNAL_DIR itself, and that no other process uses.
    bare: Vec<PathBuf>,
}

/// What a lock's file says of who holds it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The number of the process, as it is written.
    pub(crate) process: String,
    /// The instances that it answers for, with commas between them; may be empty.
    pub(crate) instances: String,
    /// When it was started (`host::start_ticks`); none where it did not know.
    started: Option<u64>,
    /// It ends, and takes a second signal for the wish to cut that short.
    pub(crate) is_stopping: bool,
    /// How it has ended; none while it runs, and where it was killed.
    pub(crate) ended: Option<Ended>,
}

/// How a process ends, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit code.
    pub(crate) exit: Exit,
    /// Points that it had accepted and was to write, and that are in no file.
    pub(crate) unwritten: u64,
    /// Those of them that the journal keeps.
    pub(crate) kept: u64,
}

impl Ended {
    /// The end of a process that has lost nothing.
    pub(super) fn of(exit: Exit) -> Ended {
        Ended {
            exit,
            unwritten: 0,
            kept: 0,
        }
    }

    fn line(self) -> String {
        let Ended {
            exit,
            unwritten,
            kept,
        } = self;
        format!("{} {unwritten} {kept}\n", exit.code())
    }

    fn parse(line: &str) -> Option<Ended> {
        let mut words = line.split(' ');
        let code: u8 = words.next()?.parse().ok()?;
        let exit = Exit::ALL.iter().copied().find(|exit| exit.code() == code)?;
        let mut count = || -> Option<u64> { words.next()?.parse().ok() };
        Some(Ended {
            exit,
            unwritten: count()?,
            kept: count()?,
        })
    }
}

impl Holder {
    /// Who answers for the instance whose journal is in a directory; None: nobody does, or it cannot be told.
    pub(crate) fn of(directory: &Path) -> Option<Holder> {
        let lock = File::open(directory.join(LOCK_NAME)).ok()?;
        let holder = Holder::read(&lock);
        // The lock is only tried where the number is a process's: whoever starts at this moment and wants
        // it finds there that of one which has ended.
        if !host::is_alive(holder.process.parse().ok()?) {
            return None;
        }
        match lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(holder),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }

    /// Reads a lock's file.
    pub(crate) fn read(mut lock: &File) -> Holder {
        let mut text = String::new();
        // Only for a message; what cannot be read is empty.
        drop(lock.rewind().and_then(|()| lock.read_to_string(&mut text)));
        let mut lines = text.lines().map(str::trim);
        let mut holder = Holder {
            process: lines.next().unwrap_or_default().to_owned(),
            instances: lines.next().unwrap_or_default().to_owned(),
            ..Holder::default()
        };
        for line in lines {
            if let Some(ticks) = line.strip_prefix(STARTED) {
                holder.started = ticks.trim().parse().ok();
            } else if line == STOPPING {
                holder.is_stopping = true;
            } else {
                holder.ended = Ended::parse(line);
            }
        }
        holder
    }

    /// Is the process of this number another one than it had who wrote it: one of another namespace, as of
    /// a container, or a later one?
    pub(crate) fn is_another(&self, process: i32) -> bool {
        let ticks = self.started.zip(host::start_ticks(process));
        ticks.is_some_and(|(of_holder, of_process)| of_holder != of_process)
    }

    /// It answers for several instances.
    pub(crate) fn is_of_several(&self) -> bool {
        self.instances.contains(',')
    }
}

impl Held {
    /// Takes the locks of all instances that the process answers for.
    pub(super) fn take(settings: &Settings) -> Result<Held, JournalError> {
        let mut locks = Vec::new();
        let mut known: Vec<PathBuf> = Vec::new();
        for directory in settings.journal_dirs() {
            let taken = fs::create_dir_all(directory)
                .and_then(|()| fs::canonicalize(directory))
                .map_err(|source| JournalError::Directory {
                    path: directory.to_owned(),
                    source,
                })
                .and_then(|real| {
                    let is_new = !known.contains(&real);
                    known.push(real);
                    is_new.then(|| hold(directory, settings)).transpose()
                });
            match taken {
                Ok(lock) => locks.extend(lock),
                // Without a journal nothing is kept there, and the ports still keep two apart.
                Err(JournalError::Directory { path, source }) if settings.journal.is_none() => {
                    tracing::debug!("{} is not held: {source}", path.display());
                }
                Err(error) => return Err(error),
            }
        }
        let mut held = Held {
            locks,
            bare: Vec::new(),
        };
        if settings.journal.is_some() {
            held.take_bare(settings, &known)?;
        }
        Ok(held)
    }

    /// Takes those that lie in JOURNAL_DIR itself, so that two instances do not both write what they owe.
    fn take_bare(&mut self, settings: &Settings, known: &[PathBuf]) -> Result<(), JournalError> {
        for directory in &settings.bare_journals {
            let is_known = fs::canonicalize(directory).is_ok_and(|real| known.contains(&real));
            if let Err(error) = fs::read_dir(directory)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(
                    "{} cannot be looked through: {error}; a journal that lies in it is not taken over",
                    directory.display()
                );
            }
            if is_known || !look::lies_in(directory) {
                continue;
            }
            match hold(directory, settings) {
                Ok(lock) => {
                    self.locks.push(lock);
                    self.bare.push(directory.clone());
                }
                Err(error @ JournalError::Directory { .. }) => return Err(error),
                Err(_) => tracing::warn!(
                    "the journal in {} is in use by another process, and is left to it",
                    directory.display()
                ),
            }
        }
        Ok(())
    }

    /// Says to whoever would end the process that it ends already. In a thread of its own, for the disk may
    /// hang that the journal is on.
    pub(super) fn note_stopping(&self) -> io::Result<JoinHandle<()>> {
        let locks: io::Result<Vec<File>> = self.locks.iter().map(File::try_clone).collect();
        let locks = locks?;
        std::thread::Builder::new()
            .name("benzene-stop".to_owned())
            .spawn(move || say(&locks, &format!("{STOPPING}\n")))
    }

    /// Lets go of the locks, and says to whoever waits for them how the process ends.
    pub(crate) fn release(self, ended: Ended) {
        say(&self.locks, &ended.line());
    }

    /// The journals to be taken over that lie in JOURNAL_DIR itself.
    pub(super) fn bare(&self) -> &[PathBuf] {
        &self.bare
    }
}

/// Adds a line to the files of locks.
fn say(locks: &[File], line: &str) {
    for mut lock in locks {
        if let Err(error) = lock.write_all(line.as_bytes()) {
            tracing::debug!("a lock's file does not say how the process ends: {error}");
        }
    }
}

/// What `Held::take` would be refused for now: another process answers for one of the instances. Looked
/// at, as who asks for a process's number does; nothing is kept or made.
pub(crate) fn rival(settings: &Settings) -> Option<JournalError> {
    let mut held = settings
        .journal_dirs()
        .filter_map(|directory| Some((directory, Holder::of(directory)?)));
    let (directory, holder) = held.next()?;
    Some(in_use(directory, settings, holder))
}

/// Locks the directory and writes down who we are.
fn hold(directory: &Path, settings: &Settings) -> Result<File, JournalError> {
    let path = directory.join(LOCK_NAME);
    let unusable = |source| JournalError::Directory {
        path: path.clone(),
        source,
    };
    let mut lock = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(in_use(directory, settings, Holder::read(&lock)));
        }
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
    }
    match write_down(&mut lock, &settings.names()) {
        Ok(()) => {}
        // The lock is ours all the same. Of a journal that finds no room more is said.
        Err(error) if is_for_want_of_room(&error) => tracing::warn!(
            "{}: {error}; `benzene stop` does not find this process there, SIGTERM does",
            path.display()
        ),
        Err(error) => return Err(unusable(error)),
    }
    Ok(lock)
}

/// Writes down who we are, over what stands there: a full disk has no room for it anew.
fn write_down(lock: &mut File, instances: &str) -> io::Result<()> {
    let process = std::process::id();
    let ticks = i32::try_from(process).ok().and_then(host::start_ticks);
    let started = ticks.map_or_else(String::new, |ticks| format!("{STARTED}{ticks}\n"));
    let text = format!("{process}\n{instances}\n{started}");
    lock.rewind()?;
    lock.write_all(text.as_bytes())?;
    lock.set_len(text.len() as u64)
}

/// Is there no room on the disk, or for this user?
pub(super) fn is_for_want_of_room(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

fn in_use(directory: &Path, settings: &Settings, holder: Holder) -> JournalError {
    let is_of_several = holder.is_of_several();
    let Holder {
        process, instances, ..
    } = holder;
    let path = directory.to_owned();
    if is_of_several && settings.is_asked_for {
        let instance = settings.instance.clone();
        return JournalError::AnsweredFor {
            instance,
            process,
            instances,
        };
    }
    let whose = settings
        .instances
        .iter()
        .find(|instance| instance.journal_dir == directory);
    match whose {
        Some(instance) if settings.instances.len() > 1 && !is_of_several => {
            JournalError::ByItself {
                instance: instance.name.clone(),
                process,
                path,
            }
        }
        Some(_) | None => JournalError::InUse {
            path,
            holder: process,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::CacheOptions;
    use crate::config;

    fn settings(root: &Path, conf: &str, instance: Option<&str>) -> Settings {
        let conf = format!("[cache]\nJOURNAL_DIR = {}\n{conf}", root.display());
        let options = CacheOptions {
            config: Some(root.join("carbon.conf")),
            instance: instance.map(str::to_owned),
            ..CacheOptions::default()
        };
        let read = |_: &Path| Ok(conf.clone());
        let conf = config::load_conf(&options, &|_| None, &read);
        conf.unwrap().settings
    }

    #[test]
    fn who_answers_for_an_instance_is_seen_before_a_lock_is_tried() {
        let two = "[cache:b]\nCACHE_QUERY_PORT = 7102\nLINE_RECEIVER_PORT = 2103\n\
                   PICKLE_RECEIVER_PORT = 2104\n";
        let without = "JOURNAL = False\n";
        for (conf, first, second) in [
            ("", None, None),
            (without, None, None),
            (two, None, Some("b")),
            (two, Some("b"), None),
        ] {
            let root = tempfile::tempdir().unwrap();
            let settings = |instance| settings(root.path(), conf, instance);
            let (first, second) = (settings(first), settings(second));
            assert!(rival(&second).is_none());
            assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
            let held = Held::take(&first).unwrap();
            let said = rival(&second).unwrap().to_string();
            assert!(said.contains(&std::process::id().to_string()), "{said}");
            assert_eq!(said, Held::take(&second).unwrap_err().to_string());
            drop(held);
            assert!(rival(&second).is_none());
            Held::take(&second).unwrap();
        }
    }

    #[test]
    fn a_process_that_ends_in_order_says_how() {
        let root = tempfile::tempdir().unwrap();
        let settings = settings(root.path(), "", None);
        let path = settings.journal_dir.join(LOCK_NAME);
        let read = || Holder::read(&File::open(&path).unwrap());
        let held = Held::take(&settings).unwrap();
        assert_eq!(read().ended, None);
        assert!(!read().is_stopping);
        held.note_stopping().unwrap().join().unwrap();
        assert!(read().is_stopping);
        let ended = Ended {
            exit: Exit::PointsLost,
            unwritten: 7,
            kept: 5,
        };
        held.release(ended);
        assert_eq!(read().ended, Some(ended));
        assert_eq!(read().process, std::process::id().to_string());
        // A number means somebody else in another namespace.
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!read().is_another(own));
        assert!(read().is_another(1));
        // Of the next one nothing is said, and one that is killed says nothing.
        let held = Held::take(&settings).unwrap();
        assert_eq!((read().ended, read().is_stopping), (None, false));
        drop(held);
        assert_eq!(read().ended, None);
    }
}
