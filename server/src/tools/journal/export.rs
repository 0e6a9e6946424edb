//! `benzene journal export`: points as lines of carbon's line protocol, `name value timestamp`, in the
//! order in which a start of the daemon would take them, and those that it would: what was written is
//! believed as far as the data is mounted as it was, or a mark proves it. In doubt a point is printed.
//! Python's float() reads a value as the same double.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use benzene_engine::journal::replay::{Owed, Replay, Wanted};
use benzene_engine::journal::survey::ASIDE_ENDING;

use super::files::{Asked, JournalError, Part, asked, parts_asked};
use super::say;
use crate::cli::JournalExportOptions;
use crate::desk::{Holder, drive, noted_mount};
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
        for part in parts_asked(asked)? {
            let is_aside = part.is_aside;
            say_passed_over(asked, &part);
            let mut replay = replay(part, asked, options);
            drive(&mut replay, &mut |name, owed| {
                spaced += u64::from(name.contains(char::is_whitespace));
                line(&mut output, name, owed).map_err(JournalError::Output)
            })?;
            if !replay.report().is_sound() {
                say_incomplete(&asked.directory, is_aside);
                exit = Exit::Failure;
            }
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

/// Who asks for a directory is told what in it is no part of its journal, and may owe points.
fn say_passed_over(asked: &Asked, part: &Part) {
    let files = part.survey.aside.len();
    if asked.only.is_none() && files > 0 {
        say(&format!(
            "{files} files of {0} that were set aside are passed over: `benzene journal export \
             {0}/*{ASIDE_ENDING}` prints what they owe",
            asked.directory.display()
        ));
    }
}

/// Not all that was asked for could be read. Beside a daemon that says little: it removes files, and uses
/// them again, while they are read.
fn say_incomplete(directory: &Path, is_aside: bool) {
    let user = Holder::of(directory).filter(|_| !is_aside);
    let directory = directory.display();
    let ending = if is_aside {
        format!("/*{ASIDE_ENDING}")
    } else {
        String::new()
    };
    let what = user.map_or_else(
        || "is damaged and not all of its points are exported".to_owned(),
        |user| {
            format!(
                "was used by process {} while it was read, or is damaged, and not all of its points are \
                 exported: export it once more",
                user.process
            )
        },
    );
    say(&format!(
        "{directory}{ending} {what}: see `benzene journal verify {directory}{ending}`"
    ));
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
