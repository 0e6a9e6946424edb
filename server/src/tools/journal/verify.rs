//! `benzene journal verify`: is every block sound, and are the serials whole?
//! A directory is read as a start of the daemon reads it, which knows what may be missing; a single
//! file only tells of itself. A daemon that runs retires and uses files again while we read, which
//! looks like damage: what is not sound is read again before it is said.

use std::fmt::Write as _;
use std::path::Path;

use benzene_engine::journal::replay::{Replay, Report};

use super::files::{Asked, JournalError, drive, survey};
use super::{inspect, print};
use crate::exit::Exit;

/// How often a directory is read before it is called damaged.
const READINGS: usize = 3;

/// Prints the verdict and the bad places.
pub(super) fn verify(asked: &[Asked]) -> Result<Exit, JournalError> {
    let (mut text, mut sound) = (String::new(), true);
    for asked in asked {
        let (said, is_sound) = match asked.only {
            None => directory(&asked.directory)?,
            Some(_) => files(asked)?,
        };
        text += &said;
        sound &= is_sound;
    }
    print(&text)?;
    Ok(if sound { Exit::Success } else { Exit::Failure })
}

fn directory(directory: &Path) -> Result<(String, bool), JournalError> {
    let mut readings = 1;
    let (mut report, mut strangers) = read(directory)?;
    while !report.is_sound() && readings < READINGS {
        (report, strangers) = read(directory)?;
        readings += 1;
    }
    let mut text = String::new();
    let path = directory.display();
    let verdict = if report.is_sound() {
        "sound"
    } else {
        "damaged"
    };
    line(
        &mut text,
        format_args!(
            "{path}: {verdict}: {} points in {} segments, {} owed, {} written, of {} names",
            report.points, report.segments, report.owed, report.written, report.names
        ),
    );
    for harm in &report.harms {
        line(&mut text, format_args!("{harm}"));
    }
    for (count, what) in [
        (report.harms_more, "more damaged places"),
        (
            report.lost,
            "points are gone with damaged or missing blocks, written ones among them",
        ),
        (
            report.lost_nameless,
            "owed points have no name: names are damaged or missing",
        ),
        (
            report.lost_uncounted,
            "places where points may be gone, nobody knows how many",
        ),
        (
            report.torn_bytes,
            "bytes of unfinished blocks at the ends of streams: being written, or cut off by a crash; nothing was promised of them",
        ),
        (strangers, "files that are not the journal's"),
    ] {
        if count > 0 {
            line(&mut text, format_args!("{path}: {count} {what}"));
        }
    }
    Ok((text, report.is_sound()))
}

fn read(directory: &Path) -> Result<(Report, u64), JournalError> {
    let survey = survey(directory)?;
    let strangers = survey.strangers.len() as u64;
    let mut replay = Replay::new(survey, Box::new(|_, _| true), 0);
    drive(&mut replay, &mut |_, _| Ok(()))?;
    Ok((replay.report().clone(), strangers))
}

fn files(asked: &Asked) -> Result<(String, bool), JournalError> {
    let (mut text, mut sound) = (String::new(), true);
    for file in inspect::reports(asked)? {
        let path = file.path.display();
        let is_sound = file.damaged.is_empty() && (file.blocks > 0 || file.torn_bytes == 0);
        let verdict = if is_sound { "sound" } else { "damaged" };
        line(
            &mut text,
            format_args!("{path}: {verdict}: {} sound blocks", file.blocks),
        );
        for place in &file.damaged {
            line(
                &mut text,
                format_args!("{path} at byte {}: {}", place.offset, place.what),
            );
        }
        if file.torn_bytes > 0 {
            let bytes = file.torn_bytes;
            line(
                &mut text,
                format_args!("{path}: {bytes} bytes of an unfinished block at its end"),
            );
        }
        sound &= is_sound;
    }
    Ok((text, sound))
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let written = writeln!(text, "{line}");
    assert!(written.is_ok(), "writing to a String cannot fail");
}
