//! `benzene stop`: ends the daemon that uses a journal, and waits until it has ended.
//! The daemon is found by the lock on its journal's directory. With `--drain` it writes everything
//! to the Whisper files first, for whoever goes back to Python carbon: a note in that directory says
//! so, which the daemon reads when the signal comes.
//! Nothing is stopped that does not hold the lock at that moment.

use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use benzene_engine::clock;
use benzene_engine::ring::host;

use crate::cli::StopOptions;
use crate::config::{self, Settings};
use crate::desk::{DRAIN_NAME, LOCK_NAME};
use crate::exit::Exit;

/// How often it is looked whether the daemon has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Stops the daemon that these options would start.
pub fn run(options: &StopOptions) -> Exit {
    let environment = |name: &str| std::env::var(name).ok();
    let settings = match config::load(&options.daemon, &environment, &config::read_file) {
        Ok(loaded) => loaded.settings,
        Err(error) => {
            tracing::error!("{error}");
            return Exit::Config;
        }
    };
    match stop(&settings, options) {
        Ok(()) => Exit::Success,
        Err(message) => {
            tracing::error!("{message}");
            Exit::Failure
        }
    }
}

fn stop(settings: &Settings, options: &StopOptions) -> Result<(), String> {
    let Some(journal) = &settings.journal else {
        return Err(
            "without a journal nothing says which process it is: send it SIGTERM (systemctl stop)"
                .to_owned(),
        );
    };
    let lock_path = journal.dir.join(LOCK_NAME);
    let nobody = || format!("no daemon uses the journal in {}", journal.dir.display());
    let mut lock = File::options()
        .read(true)
        .write(true)
        .open(&lock_path)
        .map_err(|error| format!("{} ({}: {error})", nobody(), lock_path.display()))?;
    if !is_held(&lock)? {
        return Err(nobody());
    }
    let mut holder = String::new();
    lock.read_to_string(&mut holder)
        .map_err(|error| format!("{}: {error}", lock_path.display()))?;
    let Ok(process) = holder.trim().parse() else {
        return Err(format!(
            "{} names no process: {holder:?}",
            lock_path.display()
        ));
    };
    if options.drain {
        note_drain(&journal.dir)?;
    }
    host::terminate(process)
        .map_err(|error| format!("process {} cannot be stopped: {error}", holder.trim()))?;
    wait(&lock, options.timeout).map_err(|problem| format!("process {}: {problem}", holder.trim()))
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

#[expect(clippy::disallowed_methods, reason = "a tool may sleep")]
fn wait(lock: &File, timeout: Option<Duration>) -> Result<(), String> {
    let begun = clock::now().instant;
    while is_held(lock)? {
        let waited = clock::now().instant.duration_since(begun);
        if timeout.is_some_and(|timeout| waited >= timeout) {
            return Err(format!("has not ended within {} s", waited.as_secs()));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
