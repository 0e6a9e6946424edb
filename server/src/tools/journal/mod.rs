//! `benzene journal`: what a journal holds, whether it is sound, and its points as carbon lines.
//! It reads and never writes into a journal, and takes no lock, so that it can be used beside a
//! running daemon; a segment that is being written then has an end that moves.
//! Ends with `Exit::Failure` where `verify` finds damage or a journal cannot be read. A reader of our
//! output that goes away is no error, but of what `export` prints: what it has not read is in no file.

mod export;
mod files;
mod inspect;
mod verify;

use std::io::{self, Write as _};

use crate::cli::{JournalCommand, JournalOptions};
use crate::exit::Exit;
use files::JournalError;

/// Does what the command line says.
pub fn run(options: &JournalOptions) -> Exit {
    let done = match &options.command {
        JournalCommand::Inspect(options) => files::asked(&options.paths)
            .and_then(|asked| inspect::text(&asked, options.json))
            .and_then(|text| print(&text))
            .map(|()| Exit::Success),
        JournalCommand::Verify(options) => {
            files::asked(&options.paths).and_then(|asked| verify::verify(&asked))
        }
        JournalCommand::Export(options) => export::export(options),
    };
    let is_export = matches!(options.command, JournalCommand::Export(_));
    match done {
        Ok(exit) => exit,
        Err(JournalError::Output(error))
            if error.kind() == io::ErrorKind::BrokenPipe && !is_export =>
        {
            Exit::Success
        }
        Err(error) => {
            say(&error.to_string());
            Exit::Failure
        }
    }
}

fn print(text: &str) -> Result<(), JournalError> {
    let mut output = io::stdout().lock();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .map_err(JournalError::Output)
}

#[expect(
    clippy::print_stderr,
    reason = "a tool's errors and remarks belong on standard error"
)]
fn say(message: &str) {
    eprintln!("benzene journal: {message}");
}
