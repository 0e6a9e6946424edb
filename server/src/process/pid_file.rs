//! The pid file, by which init scripts find the daemon: taken before anything is accepted, locked
//! while the process lives, removed as the last thing it does and only while it is its own.
//! Whoever holds the lock is the daemon; a file that nobody has locked may be Python carbon's, and
//! then counts as long as the process that it names lives and is older than the file: a number that
//! another process got since, after a restart of the machine say, is not the daemon's. A stale one that
//! is not this user's to write is removed, where its directory lets.
//! A path is never followed through a link at its end: the directory may belong to another user.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use benzene_engine::ring::host;
use rustix::fs::OFlags;

use super::user::User;

/// How often a file that changes under us is opened again.
const TRIES_MAX: u32 = 100;
/// How long we wait between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// The clock of processes' starts is read in whole seconds, and the file's is finer.
const SLACK: Duration = Duration::from_secs(2);

/// Why the pid file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PidFileError {
    /// A live process has it.
    #[error("already running with pid {pid} (pid file {})", path.display())]
    Held {
        /// The file.
        path: PathBuf,
        /// The process.
        pid: i32,
    },
    /// It cannot be read, made or written.
    #[error(
        "the pid file {} cannot be used: {source}; make its directory writable for this user, or \
         set PID_DIR in carbon.conf or --pidfile", path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What a pid file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is none.
    Nothing,
    /// The process that it names has ended, or it names none.
    Stale,
    /// This process lives.
    Alive(i32),
}

/// The pid file of this process.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    /// Locked as long as it is open.
    file: File,
}

impl PidFile {
    /// Takes the file for this process; a stale one is taken over.
    pub(crate) fn take(path: &Path) -> Result<PidFile, PidFileError> {
        let failed = |source| PidFileError::Io {
            path: path.to_owned(),
            source,
        };
        for _ in 0..TRIES_MAX {
            let (mut file, is_ours) = match open(path, true) {
                Ok(file) => (file, true),
                // Python carbon writes its own as root, also in the directory of the user whom it becomes.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let Ok(file) = open(path, false) else {
                        return Err(failed(error));
                    };
                    (file, false)
                }
                Err(error) => return Err(failed(error)),
            };
            match whose(&mut file).map_err(failed)? {
                Whose::Alive(pid) => {
                    let path = path.to_owned();
                    return Err(PidFileError::Held { path, pid });
                }
                Whose::Unnamed => rest(),
                Whose::Nobody => {
                    // Whoever held it may have removed it since it was opened.
                    if !leads_to(path, &file) {
                        continue;
                    }
                    if !is_ours {
                        std::fs::remove_file(path).map_err(failed)?;
                        continue;
                    }
                    file.set_len(0).map_err(failed)?;
                    let line = format!("{}\n", std::process::id());
                    file.write_all_at(line.as_bytes(), 0).map_err(failed)?;
                    return Ok(PidFile {
                        path: path.to_owned(),
                        file,
                    });
                }
            }
        }
        Err(failed(io::Error::from(io::ErrorKind::ResourceBusy)))
    }

    /// Hands the file to another user, who is to remove it.
    pub(super) fn give_to(&self, user: &User) -> io::Result<()> {
        user.give(&self.file)
    }

    /// Removes the file, if it is still ours.
    pub(super) fn remove(self) -> Result<(), PidFileError> {
        if !leads_to(&self.path, &self.file) {
            return Ok(());
        }
        std::fs::remove_file(&self.path).map_err(|source| PidFileError::Io {
            path: self.path.clone(),
            source,
        })
    }
}

/// Says what a pid file says.
pub(super) fn look(path: &Path) -> Result<Found, PidFileError> {
    let failed = |source| PidFileError::Io {
        path: path.to_owned(),
        source,
    };
    for _ in 0..TRIES_MAX {
        let mut file = match open(path, false) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(failed(error)),
        };
        match whose(&mut file).map_err(failed)? {
            Whose::Alive(pid) => return Ok(Found::Alive(pid)),
            Whose::Nobody => return Ok(Found::Stale),
            Whose::Unnamed => rest(),
        }
    }
    Err(failed(io::Error::from(io::ErrorKind::ResourceBusy)))
}

/// Waits until the process that a pid file names has ended, and with it all that it held.
pub(super) fn wait_for_end(pid: i32) {
    while host::is_alive(pid) {
        rest();
    }
}

/// Whose a file is that is open and, if it is nobody's, locked by us from now on.
enum Whose {
    Nobody,
    Alive(i32),
    /// Somebody has locked it and not written his number into it yet.
    Unnamed,
}

fn whose(file: &mut File) -> io::Result<Whose> {
    let locked = match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => return Err(error),
    };
    let mut text = String::new();
    file.rewind()?;
    // What is longer is no number, and what is no text either.
    if let Err(error) = file.take(64).read_to_string(&mut text)
        && error.kind() != io::ErrorKind::InvalidData
    {
        return Err(error);
    }
    let pid = text.trim().parse().ok().filter(|pid| *pid > 0);
    Ok(match (pid, locked) {
        // Somebody who only looks at a stale file holds it for a moment.
        (Some(pid), false) if host::is_alive(pid) => Whose::Alive(pid),
        (_, false) => Whose::Unnamed,
        (Some(pid), true) if wrote(pid, file.metadata()?.modified()?) => Whose::Alive(pid),
        (_, true) => Whose::Nobody,
    })
}

/// Whether a process lives that can have written a file at that time.
fn wrote(pid: i32, written: SystemTime) -> bool {
    let is_ours = u32::try_from(pid) == Ok(std::process::id());
    if is_ours || !host::is_alive(pid) {
        return false;
    }
    let Some(started) = host::started_at(pid) else {
        return true;
    };
    UNIX_EPOCH + Duration::from_secs(started) <= written + SLACK
}

fn open(path: &Path, make: bool) -> io::Result<File> {
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let file = OpenOptions::new()
        .read(true)
        .write(make)
        .create(make)
        .truncate(false)
        .mode(0o644)
        .custom_flags(no_link)
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.nlink() > 1 {
        return Err(io::Error::other("it is no file of its own"));
    }
    Ok(file)
}

/// Whether a path leads to the file that is open.
fn leads_to(path: &Path, file: &File) -> bool {
    let (Ok(there), Ok(here)) = (std::fs::symlink_metadata(path), file.metadata()) else {
        return false;
    };
    (there.dev(), there.ino()) == (here.dev(), here.ino())
}

#[expect(
    clippy::disallowed_methods,
    reason = "no shard runs in this process yet"
)]
fn rest() {
    std::thread::sleep(LOOK);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process of another program, which lives until this is dropped.
    struct Sleeper(std::process::Child);

    impl Sleeper {
        fn start() -> Sleeper {
            let child = std::process::Command::new("sleep").arg("600").spawn();
            Sleeper(child.unwrap())
        }

        fn pid(&self) -> i32 {
            self.0.id().try_into().unwrap()
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("carbon-cache-a.pid");
        (directory, path)
    }

    #[test]
    fn one_process_at_a_time_has_it() {
        let (_directory, path) = place();
        assert_eq!(look(&path).unwrap(), Found::Nothing);
        let mine = PidFile::take(&path).unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(look(&path).unwrap(), Found::Alive(pid));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{pid}\n"), "as Twisted writes it");
        let again = PidFile::take(&path).unwrap_err().to_string();
        assert!(
            again.contains(&format!("running with pid {pid}")),
            "{again}"
        );
        mine.remove().unwrap();
        assert_eq!(look(&path).unwrap(), Found::Nothing);
    }

    #[test]
    fn a_file_without_a_lock_counts_while_its_process_lives() {
        let (_directory, path) = place();
        let sleeper = Sleeper::start();
        let pid = sleeper.pid();
        std::fs::write(&path, pid.to_string()).unwrap();
        assert_eq!(look(&path).unwrap(), Found::Alive(pid));
        assert!(PidFile::take(&path).is_err());
        drop(sleeper);
        assert_eq!(look(&path).unwrap(), Found::Stale);
        PidFile::take(&path).unwrap().remove().unwrap();
    }

    #[test]
    fn a_process_younger_than_the_file_did_not_write_it() {
        let (_directory, path) = place();
        let sleeper = Sleeper::start();
        std::fs::write(&path, sleeper.pid().to_string()).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let yesterday = file.metadata().unwrap().modified().unwrap() - Duration::from_hours(24);
        file.set_modified(yesterday).unwrap();
        assert_eq!(look(&path).unwrap(), Found::Stale);
    }

    #[test]
    fn what_names_no_process_is_stale() {
        let (_directory, path) = place();
        for text in ["", "carbon", "-1", "0", "99999999999999999999"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(look(&path).unwrap(), Found::Stale, "{text:?}");
        }
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        PidFile::take(&path).unwrap();
    }

    #[test]
    fn a_link_is_not_followed_and_anothers_file_not_removed() {
        let (directory, path) = place();
        let target = directory.path().join("precious");
        std::fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        PidFile::take(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        std::fs::hard_link(&target, &path).unwrap();
        PidFile::take(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "kept");
        let mine = PidFile::take(&path).unwrap();
        std::fs::rename(&path, directory.path().join("moved")).unwrap();
        std::fs::write(&path, "another's").unwrap();
        mine.remove().unwrap();
        assert!(path.exists());
    }
}
