//! The way into the background: `start` runs this program once more, as a process that leaves its
//! terminal, and waits until that one says on its standard output that it is ready, or ends.
//! Nothing is forked: a process that has threads, rings and locks cannot be.
//! While it starts, the daemon's standard error is that of whoever started it; then it is
//! console.log.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::config::Settings;
use crate::exit::Exit;
use crate::logging;

/// What the daemon says when it is ready.
const READY: &str = "ready";
/// The flag that makes a process the daemon of a `start`.
const DETACHED: &str = "--detached";

/// Starts the daemon with our own command line; ends when it is ready, or with its exit code.
pub(super) fn launch() -> Exit {
    match try_launch() {
        Ok(exit) => exit,
        Err(error) => {
            tracing::error!("the daemon cannot be started in the background: {error}");
            Exit::Failure
        }
    }
}

fn try_launch() -> io::Result<Exit> {
    let mut words = std::env::args_os();
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(name) = words.next() {
        command.arg0(name);
    }
    let mut daemon = command
        .args(words)
        .arg(DETACHED)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(said) = daemon.stdout.take() {
        BufReader::new(said).read_line(&mut line)?;
    }
    if line.trim() == READY {
        return Ok(Exit::Success);
    }
    let status = daemon.wait()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let known = Exit::ALL.iter().find(|exit| Some(exit.code()) == code);
    Ok(match known {
        // A daemon that ends before it is ready has failed, whatever it says.
        Some(Exit::Success) | None => {
            tracing::error!("the daemon ended before it was ready: {status}");
            Exit::Failure
        }
        Some(exit) => *exit,
    })
}

/// Leaves the terminal and the session of whoever started us.
pub(super) fn detach() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

/// Tells whoever started us that we are ready, and lets go of his streams.
pub(super) fn say_ready(settings: &Settings) -> io::Result<()> {
    let console = settings.log_dir.join("console.log");
    logging::leave(&File::options().append(true).open(console)?)?;
    let mut out = io::stdout();
    // Where he has not waited for us, there is nobody to tell.
    drop(writeln!(out, "{READY}").and_then(|()| out.flush()));
    let nowhere = File::options().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(nowhere)?)
}
