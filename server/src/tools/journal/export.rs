//! `benzene journal export`: points as lines of carbon's line protocol, `name value timestamp`, in the
//! order in which a start of the daemon would take them, and those that it would: what was written is
//! believed as far as the data is mounted as it was, or a mark proves it. In doubt a point is printed.
//! Python's float() reads a value as the same double.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use benzene_engine::journal::replay::{Owed, Replay, Wanted};

use super::files::{Asked, JournalError, Part, asked, survey_asked};
use super::say;
use crate::cli::JournalExportOptions;
use crate::desk::{drive, noted_mount};
use crate::exit::Exit;

/// Bytes of lines that are written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Exports.
pub(super) fn export(options: &JournalExportOptions) -> Result<Exit, JournalError> {
    let asked = asked(&options.paths)?;
    match &options.output {
        Some(path) => {
            let file = File::create(path).map_err(JournalError::at(path))?;
            export_to(&asked, options, file)
        }
        None => export_to(&asked, options, io::stdout().lock()),
    }
}

fn export_to(
    asked: &[Asked],
    options: &JournalExportOptions,
    output: impl Write,
) -> Result<Exit, JournalError> {
    let mut output = BufWriter::with_capacity(BUFFER_BYTES, output);
    let mut spaced = 0_u64;
    let mut exit = Exit::Success;
    for asked in asked {
        let mut replay = replay(survey_asked(asked)?, asked, options);
        drive(&mut replay, &mut |name, owed| {
            spaced += u64::from(name.contains(char::is_whitespace));
            line(&mut output, name, owed).map_err(JournalError::Output)
        })?;
        if !replay.report().is_sound() {
            let directory = asked.directory.display();
            say(&format!(
                "{directory} is damaged and not all of its points are exported: see `benzene journal verify {directory}`"
            ));
            exit = Exit::Failure;
        }
    }
    output.flush().map_err(JournalError::Output)?;
    if spaced > 0 {
        say(&format!(
            "{spaced} points have spaces in their names, which receivers of lines refuse"
        ));
    }
    Ok(exit)
}

/// Reads a part of what was asked for.
fn replay(part: Part, asked: &Asked, options: &JournalExportOptions) -> Replay {
    let wanted = if options.all {
        Wanted::All
    } else {
        Wanted::Owed
    };
    let replay = Replay::new(part.survey, Box::new(|_, _| true), 0);
    let replay = replay.wanting(wanted, asked.only.clone());
    let replay = if part.is_aside {
        replay.of_aside()
    } else {
        replay
    };
    match noted_mount(&asked.directory) {
        _ if options.trust_written => replay,
        Some(mount) => replay.mounted(mount),
        None => replay.in_doubt(),
    }
}

/// A value in the fewest digits that are read as the same double.
fn line(output: &mut impl Write, name: &str, owed: Owed) -> io::Result<()> {
    writeln!(output, "{name} {:?} {}", owed.value, owed.timestamp)
}
