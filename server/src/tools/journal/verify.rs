//! `benzene journal verify`: is every block sound, and are the serials whole?
//! A directory is read as a start of the daemon reads it, which knows what may be missing; a single
//! file only tells of itself. A daemon that runs retires and uses files again while we read, which
//! looks like damage: what is not sound is read again before it is said. A file that has never been
//! written begins with zeros; one that has no sound block and begins otherwise is no segment.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use benzene_engine::journal::block::{HEAD_BYTES, Kind};
use benzene_engine::journal::replay::{Replay, Report};
use benzene_engine::journal::survey::{SegmentFile, Survey, named};

use super::files::{Asked, JournalError, survey};
use super::inspect::FileReport;
use super::{inspect, print};
use crate::desk::{drive, first_bytes};
use crate::exit::Exit;

/// What is said of a file that is something else.
const NO_SEGMENT: &str = "no segment of a journal";
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

/// What a directory holds.
struct Found {
    report: Report,
    strangers: u64,
    /// Files with the name of a segment that are none.
    fakes: Vec<PathBuf>,
    /// Epochs and shards that have names, and no points.
    pointless: Vec<(u32, u16)>,
}

impl Found {
    fn is_sound(&self) -> bool {
        self.report.is_sound() && self.fakes.is_empty() && self.pointless.is_empty()
    }
}

fn directory(directory: &Path) -> Result<(String, bool), JournalError> {
    let mut readings = 1;
    let mut found = read(directory)?;
    while !found.is_sound() && readings < READINGS {
        found = read(directory)?;
        readings += 1;
    }
    let is_sound = found.is_sound();
    let (report, strangers) = (found.report, found.strangers);
    let mut text = String::new();
    let path = directory.display();
    let verdict = if is_sound { "sound" } else { "damaged" };
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
    for fake in found.fakes {
        line(&mut text, format_args!("{}: {NO_SEGMENT}", fake.display()));
    }
    for (epoch, shard) in found.pointless {
        line(
            &mut text,
            format_args!(
                "{path}: shard {shard} of epoch {epoch} has names and no points: they are gone, \
                 unless the daemon ended in the first second of that run"
            ),
        );
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
    Ok((text, is_sound))
}

fn read(directory: &Path) -> Result<Found, JournalError> {
    let survey = survey(directory)?;
    let strangers = survey.strangers.len() as u64;
    let fakes = fakes(directory, &survey)?;
    let streams = [Kind::Names, Kind::Points].map(|kind| streams(&survey, kind));
    let mut replay = Replay::new(survey, Box::new(|_, _| true), 0);
    drive::<JournalError>(&mut replay, &mut |_, _| Ok(()))?;
    let [named, pointed] = streams;
    let pointless = named.difference(&pointed).copied();
    Ok(Found {
        report: replay.report().clone(),
        strangers,
        fakes,
        pointless: pointless
            .filter(|(epoch, _)| *epoch >= replay.epochs_done())
            .collect(),
    })
}

/// The epochs and shards that have names, or points, of which the first may be torn.
fn streams(survey: &Survey, kind: Kind) -> BTreeSet<(u32, u16)> {
    let stream = |file: &SegmentFile| {
        let known = file.key.map(|key| (key.kind, key.epoch, key.shard));
        let is_torn = || kind == Kind::Points && !begins_blank(&file.path);
        let torn = || named(&file.path).filter(|_| is_torn());
        known.or_else(|| torn().map(|name| (name.kind, name.epoch, name.shard)))
    };
    let streams = survey.files.iter().filter_map(stream);
    let meant = streams.filter(|(of, ..)| *of == kind);
    meant.map(|(_, epoch, shard)| (epoch, shard)).collect()
}

/// Files that have the name of a segment and are none.
fn fakes(directory: &Path, survey: &Survey) -> Result<Vec<PathBuf>, JournalError> {
    let keyless = survey.files.iter().filter(|file| file.key.is_none());
    let asked = Asked {
        directory: directory.to_owned(),
        only: Some(keyless.map(|file| file.path.clone()).collect()),
    };
    let reports = inspect::reports(&asked)?.into_iter();
    let fakes = reports.filter(is_no_segment);
    Ok(fakes.map(|report| report.path).collect())
}

/// Has this file nothing of a segment, and is not one that was never written?
fn is_no_segment(file: &FileReport) -> bool {
    let is_unwritten = || named(&file.path).is_some() && begins_blank(&file.path);
    file.blocks == 0 && file.torn_bytes == 0 && file.damaged.is_empty() && !is_unwritten()
}

/// Does a file begin with zeros, where its first block would be?
fn begins_blank(path: &Path) -> bool {
    let first = first_bytes(path, HEAD_BYTES as u64).unwrap_or_default();
    first.iter().all(|byte| *byte == 0)
}

fn files(asked: &Asked) -> Result<(String, bool), JournalError> {
    let (mut text, mut sound) = (String::new(), true);
    for file in inspect::reports(asked)? {
        let path = file.path.display();
        if is_no_segment(&file) {
            line(&mut text, format_args!("{path}: {NO_SEGMENT}"));
            sound = false;
            continue;
        }
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
