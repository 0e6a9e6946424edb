//! `benzene stop`: ends the daemon that uses a journal, and waits until it has ended.
//! The daemon is found by the lock on its journal's directory. With `--drain` it writes everything
//! to the Whisper files first, for whoever goes back to Python carbon: a note in that directory says
//! so, which the daemon reads when the signal comes. Where points are in no file the command ends as the
//! daemon did, which leaves word of it in the lock's file.
//! Nothing is stopped that does not hold the lock at that moment, and one that stops already is waited for.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use benzene_engine::clock;
use benzene_engine::ring::host;

use crate::cli::StopOptions;
use crate::config::{self, Settings};
use crate::desk::{DRAIN_NAME, Ended, Holder, LOCK_NAME};
use crate::exit::Exit;

/// How often it is looked whether the daemon has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Stops the daemon that these options would start.
pub fn run(options: &StopOptions) -> Exit {
    let environment = |name: &str| std::env::var(name).ok();
    // Where the daemon is, carbon.conf says alone.
    let settings = match config::load_conf(&options.daemon, &environment, &config::read_file) {
        Ok(conf) => conf.settings,
        Err(error) => {
            tracing::error!("{error}");
            return Exit::Config;
        }
    };
    match stop(&settings, options) {
        Ok(exit) => exit,
        Err(message) => {
            tracing::error!("{message}");
            Exit::Failure
        }
    }
}

fn stop(settings: &Settings, options: &StopOptions) -> Result<Exit, String> {
    let directory = &settings.journal_dir;
    let lock_path = directory.join(LOCK_NAME);
    let nobody = || format!("no daemon uses the journal in {}", directory.display());
    let lock = open_lock(&lock_path).map_err(|error| {
        let path = lock_path.display();
        if error.kind() == io::ErrorKind::NotFound {
            format!("{} ({path}: {error})", nobody())
        } else {
            format!("whether a daemon uses the journal cannot be told: {path}: {error}")
        }
    })?;
    if !is_held(&lock)? {
        return Err(nobody());
    }
    let holder = Holder::read(&lock);
    let Ok(process): Result<i32, _> = holder.process.parse() else {
        return Err(format!(
            "{} names no process: {:?}",
            lock_path.display(),
            holder.process
        ));
    };
    let name = &holder.process;
    if settings.is_asked_for && holder.is_of_several() {
        return Err(format!(
            "process {name} answers for the instances {}, not for {} alone: leave --instance away to stop \
             it",
            holder.instances, settings.instance
        ));
    }
    if settings.instances.len() > 1 && !holder.is_of_several() {
        return Err(format!(
            "process {name} answers for one instance, and carbon.conf has several: say which one to stop \
             (--instance {})",
            settings.instance
        ));
    }
    if holder.is_another(process) {
        return Err(format!(
            "the daemon that uses the journal in {} is process {name} elsewhere, in a container say: stop it \
             there",
            directory.display()
        ));
    }
    // A second signal would cut its stop short.
    if holder.is_stopping {
        tracing::info!("process {name} stops already");
        if options.drain {
            tracing::warn!("--drain comes too late: it stops as it was asked to first");
        }
    } else {
        if options.drain {
            note_drain(directory)?;
        }
        host::terminate(process)
            .map_err(|error| format!("process {name} cannot be stopped: {error}"))?;
    }
    let ended = wait(&lock, name, options.timeout)
        .map_err(|problem| format!("process {name}: {problem}"))?;
    heard(name, ended)
}

/// The lock of a journal's directory. Whoever may not write it, or whose journal's disk has failed and is
/// read-only by now, can ask who holds it all the same.
fn open_lock(path: &Path) -> io::Result<File> {
    let writable = File::options().read(true).write(true).open(path);
    match writable {
        Err(error) if error.kind() != io::ErrorKind::NotFound => File::open(path),
        found => found,
    }
}

/// How the command ends, by what the process has said of its own end.
fn heard(process: &str, ended: Option<Ended>) -> Result<Exit, String> {
    let Some(ended) = ended else {
        return Err(format!(
            "process {process} has ended without a word of its points: it was killed, or could not write \
             into its journal's directory, as its log says. What the journal has comes back with the next \
             start"
        ));
    };
    if ended.exit != Exit::PointsLost {
        return Ok(Exit::Success);
    }
    let Ended {
        unwritten, kept, ..
    } = ended;
    let rest = if kept > 0 {
        format!(", and {kept} of them stay in the journal for the next start")
    } else {
        String::new()
    };
    let end = if unwritten > 0 {
        format!("with {unwritten} points that are in no file{rest}")
    } else {
        "before all that earlier runs owe had come back from the journal".to_owned()
    };
    tracing::error!("process {process} has ended {end}: its log says why");
    Ok(ended.exit)
}

fn note_drain(directory: &Path) -> Result<(), String> {
    let path = directory.join(DRAIN_NAME);
    fs::write(&path, "").map_err(|error| format!("{}: {error}", path.display()))
}

/// Whether another process holds the lock.
fn is_held(lock: &File) -> Result<bool, String> {
    match lock.try_lock() {
        Ok(()) => lock.unlock().map(|()| false).map_err(|e| e.to_string()),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error.to_string()),
    }
}

/// Waits until the process lets go of the lock, and reads what it says then of its end.
#[expect(clippy::disallowed_methods, reason = "a tool may sleep")]
fn wait(lock: &File, process: &str, timeout: Option<Duration>) -> Result<Option<Ended>, String> {
    let begun = clock::now().instant;
    loop {
        match lock.try_lock() {
            Ok(()) => {
                // Held meanwhile, so that it is not the next one's.
                let holder = Holder::read(lock);
                let ended = holder.ended.filter(|_| holder.process == process);
                return lock.unlock().map(|()| ended).map_err(|e| e.to_string());
            }
            Err(TryLockError::WouldBlock) => {
                // No number, for a moment, while the next one writes its own.
                let now = Holder::read(lock).process;
                if now != process && now.parse::<u32>().is_ok() {
                    return Err(format!(
                        "has ended, and process {now} was started in its place: how it ended its log says"
                    ));
                }
            }
            Err(TryLockError::Error(error)) => return Err(error.to_string()),
        }
        let waited = clock::now().instant.duration_since(begun);
        if timeout.is_some_and(|timeout| waited >= timeout) {
            return Err(format!("has not ended within {} s", waited.as_secs()));
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    #[test]
    fn another_process_in_its_place_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(LOCK_NAME);
        let open = || {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            options.open(&path).unwrap()
        };
        let mut holder = open();
        holder.lock().unwrap();
        writeln!(holder, "2\na").unwrap();
        let waited = wait(&open(), "1", Some(Duration::from_secs(60)));
        assert!(waited.unwrap_err().contains("process 2"));
        // One that has let go says how it ended, and one that was killed before the next one nothing.
        holder.rewind().unwrap();
        writeln!(holder, "2\na\n7 5 5").unwrap();
        holder.unlock().unwrap();
        let ended = |process| wait(&open(), process, None).unwrap();
        assert_eq!(ended("2").unwrap().exit, Exit::PointsLost);
        assert_eq!(ended("1"), None);
    }
}
