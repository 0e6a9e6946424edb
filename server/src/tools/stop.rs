//! `benzene stop`: ends the daemon that uses a journal, and waits until it has ended.
//! The daemon is found by the lock on its journal's directory. With `--drain` it writes everything
//! to the Whisper files first, for whoever goes back to Python carbon: a note in that directory says
//! so, which the daemon reads when the signal comes.
//! Nothing is stopped that does not hold the lock at that moment.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use benzene_engine::clock;
use benzene_engine::ring::host;

use crate::cli::StopOptions;
use crate::config::{self, Settings};
use crate::desk::{DRAIN_NAME, Holder, LOCK_NAME};
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
        Ok(()) => Exit::Success,
        Err(message) => {
            tracing::error!("{message}");
            Exit::Failure
        }
    }
}

fn stop(settings: &Settings, options: &StopOptions) -> Result<(), String> {
    let directory = &settings.journal_dir;
    let lock_path = directory.join(LOCK_NAME);
    let nobody = || format!("no daemon uses the journal in {}", directory.display());
    let lock = File::options()
        .read(true)
        .write(true)
        .open(&lock_path)
        .map_err(|error| format!("{} ({}: {error})", nobody(), lock_path.display()))?;
    if !is_held(&lock)? {
        return Err(nobody());
    }
    let holder = Holder::read(&lock);
    let Ok(process) = holder.process.parse() else {
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
    if options.drain {
        note_drain(directory)?;
    }
    host::terminate(process)
        .map_err(|error| format!("process {name} cannot be stopped: {error}"))?;
    wait(&lock, options.timeout).map_err(|problem| format!("process {name}: {problem}"))
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
