//! `benzene journal inspect`: what is in each file, and in each stream of them.
//! Every file is looked at by itself, block by block, whether its points are still owed or not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

use benzene_engine::journal::block::{Head, Kind};
use benzene_engine::journal::entry::{Entry, PointDecoder};
use benzene_engine::journal::name_entry::NameDecoder;
use benzene_engine::journal::survey::NewerVersion;
use benzene_engine::journal::walk::{Effort, Step, Walk};
use serde::Serialize;

use super::files::{Asked, JournalError, list};
use crate::desk::{Stretch, read_at};

/// What is in a file.
#[derive(Debug, Default, Serialize)]
pub(super) struct FileReport {
    pub(super) path: PathBuf,
    /// Its length.
    file_bytes: u64,
    /// `points` or `names`; none where no block is sound.
    kind: Option<&'static str>,
    epoch: u32,
    shard: u16,
    segment: u32,
    /// The first and the last generation of names.
    generations: Option<(u32, u32)>,
    pub(super) blocks: u64,
    points: u64,
    names: u64,
    /// Entries that say what is written.
    written: u64,
    /// Up to the end of the last sound block.
    bytes_used: u64,
    /// Serials: of the first point (or name), and behind the last one.
    serials: Option<(u64, u64)>,
    /// When the first entry of the first and of the last block was received, milliseconds since 1970.
    received_ms: Option<(u64, u64)>,
    retired: u32,
    epochs_done: u32,
    /// Bytes of an unfinished block at the end.
    pub(super) torn_bytes: u64,
    pub(super) damaged: Vec<Place>,
}

/// A damaged place of a file.
#[derive(Debug, Serialize)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) what: String,
}

/// What is in a stream.
#[derive(Debug, Default, Serialize)]
struct StreamReport {
    epoch: u32,
    shard: u16,
    segments_of_points: u64,
    segments_of_names: u64,
    points: u64,
    names: u64,
    bytes_used: u64,
    retired: u32,
    epochs_done: u32,
    received_ms: Option<(u64, u64)>,
    damaged_places: usize,
}

/// All of it.
#[derive(Debug, Serialize)]
struct Document {
    streams: Vec<StreamReport>,
    files: Vec<FileReport>,
}

/// What `inspect` prints.
pub(super) fn text(asked: &[Asked], json: bool) -> Result<String, JournalError> {
    let mut files = Vec::new();
    for asked in asked {
        files.extend(reports(asked)?);
    }
    let streams = streams(&files);
    if json {
        let document = Document { streams, files };
        return match serde_json::to_string_pretty(&document) {
            Ok(json) => Ok(json + "\n"),
            Err(error) => unreachable!("texts and numbers become JSON: {error}"),
        };
    }
    let mut text = String::new();
    for stream in &streams {
        put(&mut text, format_args!("{}", stream_line(stream)));
    }
    for file in &files {
        put(&mut text, format_args!("{}", file_line(file)));
        for place in &file.damaged {
            put(
                &mut text,
                format_args!("  at byte {}: {}", place.offset, place.what),
            );
        }
        if file.torn_bytes > 0 {
            let (bytes, at) = (file.torn_bytes, file.bytes_used);
            put(
                &mut text,
                format_args!(
                    "  at byte {at}: {bytes} bytes of an unfinished block: a daemon is writing it, or was when it ended"
                ),
            );
        }
    }
    Ok(text)
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    let written = writeln!(text, "{line}");
    assert!(written.is_ok(), "writing to a String cannot fail");
}

fn stream_line(stream: &StreamReport) -> String {
    format!(
        "epoch {} shard {}: {} points in {} segments, {} names in {}, {} bytes used, received {}, retired below {}, epochs done below {}, {} damaged places",
        stream.epoch,
        stream.shard,
        stream.points,
        stream.segments_of_points,
        stream.names,
        stream.segments_of_names,
        stream.bytes_used,
        range(
            stream
                .received_ms
                .map(|(first, last)| (seconds(first), seconds(last)))
        ),
        stream.retired,
        stream.epochs_done,
        stream.damaged_places,
    )
}

fn file_line(file: &FileReport) -> String {
    let path = file.path.display();
    let Some(kind) = file.kind else {
        return format!("{path}: no sound block in {} bytes", file.file_bytes);
    };
    format!(
        "{path}: {kind}, epoch {} shard {} segment {} generation {}, {} blocks, {} points, {} names, {} written entries, serials {}, {} of {} bytes used, received {}, retired below {}, epochs done below {}",
        file.epoch,
        file.shard,
        file.segment,
        range(file.generations),
        file.blocks,
        file.points,
        file.names,
        file.written,
        range(file.serials),
        file.bytes_used,
        file.file_bytes,
        range(
            file.received_ms
                .map(|(first, last)| (seconds(first), seconds(last)))
        ),
        file.retired,
        file.epochs_done,
    )
}

fn range<T: std::fmt::Display + PartialEq>(range: Option<(T, T)>) -> String {
    match range {
        None => "-".to_owned(),
        Some((first, last)) if first == last => first.to_string(),
        Some((first, last)) => format!("{first} to {last}"),
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// The files that were asked for, one by one.
pub(super) fn reports(asked: &Asked) -> Result<Vec<FileReport>, JournalError> {
    let mut listed = list(&asked.directory)?;
    listed.retain(|(path, _)| match &asked.only {
        Some(only) => only.contains(path),
        // Files that are not a journal's are passed over in a directory.
        None => is_segment(path),
    });
    reports_of(listed)
}

/// Those files of a list that are there yet: a daemon may have removed some since.
fn reports_of(listed: Vec<(PathBuf, u64)>) -> Result<Vec<FileReport>, JournalError> {
    let mut reports = Vec::new();
    for (path, bytes) in listed {
        match report(&path, bytes) {
            Ok(report) => reports.push(report),
            Err(error) if error.is_of_nothing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(reports)
}

fn is_segment(path: &Path) -> bool {
    path.extension()
        .is_some_and(|kind| kind == "points" || kind == "names")
}

fn report(path: &Path, file_bytes: u64) -> Result<FileReport, JournalError> {
    let mut report = FileReport {
        path: path.to_owned(),
        file_bytes,
        ..FileReport::default()
    };
    let file = File::open(path).map_err(JournalError::at(path))?;
    let mut walk = Walk::new(None, 0, file_bytes);
    let mut stretch = Stretch::default();
    loop {
        match walk.step(stretch.from(walk.at()), &mut Effort::boundless()) {
            Step::Block(found) => {
                if let Some(gap) = found.gap {
                    let gone = gap.entries.map_or_else(
                        || "an unknown number of entries is gone".to_owned(),
                        |entries| format!("{entries} entries are gone"),
                    );
                    let what = format!("{} bytes are damaged, {gone}", gap.until - gap.from);
                    report.damaged.push(Place {
                        offset: gap.from,
                        what,
                    });
                }
                report.add(&found.block.head);
                report.bytes_used = found.offset + found.block.bytes() as u64;
                report.read(found.offset, &found.block.head, found.block.payload);
            }
            Step::More { until } => {
                let read = |at, bytes| read_at(&file, at, bytes);
                let read = stretch.go_on((walk.at(), until), read);
                read.map_err(JournalError::at(path))?;
                if stretch.end() < until {
                    stretch.fill(until);
                }
            }
            Step::Newer { version } => {
                let path = path.to_owned();
                return Err(NewerVersion {
                    path,
                    found: version,
                }
                .into());
            }
            Step::Paused => unreachable!("there is no end to the effort"),
            Step::End(tail) => {
                report.torn_bytes = tail.torn_bytes;
                return Ok(report);
            }
        }
    }
}

impl FileReport {
    fn add(&mut self, head: &Head) {
        self.kind = Some(kind_name(head.kind));
        (self.epoch, self.shard, self.segment) = (head.epoch, head.shard, head.segment);
        self.blocks += 1;
        self.retired = self.retired.max(head.retired);
        self.epochs_done = self.epochs_done.max(head.epochs_done);
        let first = self.received_ms.map_or(head.received_ms, |range| range.0);
        self.received_ms = Some((first, head.received_ms));
        let first = self.serials.map_or(head.serial, |serials| serials.0);
        self.serials = Some((first, head.serial + u64::from(head.entries)));
        let first = self
            .generations
            .map_or(head.generation, |generations| generations.0);
        self.generations = Some((first, head.generation));
    }

    /// Counts the entries of a block.
    fn read(&mut self, offset: u64, head: &Head, payload: &[u8]) {
        let (mut entries, mut fault) = (0, None);
        match head.kind {
            Kind::Points => {
                for entry in PointDecoder::new(payload, head.received_ms) {
                    match entry {
                        Ok(Entry::Point { .. }) => entries += 1,
                        Ok(Entry::Written { .. } | Entry::WrittenPart { .. }) => self.written += 1,
                        Ok(Entry::Mark(_) | Entry::DataSynced(_)) => {}
                        Err(error) => fault = Some(error),
                    }
                }
                self.points += entries;
            }
            Kind::Names => {
                for entry in NameDecoder::new(payload) {
                    match entry {
                        Ok(_) => entries += 1,
                        Err(error) => fault = Some(error),
                    }
                }
                self.names += entries;
            }
        }
        let what = match fault {
            Some(error) => error.to_string(),
            None if entries != u64::from(head.entries) => {
                format!("a block claims {} entries and has {entries}", head.entries)
            }
            None => return,
        };
        self.damaged.push(Place { offset, what });
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Points => "points",
        Kind::Names => "names",
    }
}

fn streams(files: &[FileReport]) -> Vec<StreamReport> {
    let mut streams: BTreeMap<(u32, u16), StreamReport> = BTreeMap::new();
    for file in files {
        let Some(kind) = file.kind else {
            continue;
        };
        let stream = streams.entry((file.epoch, file.shard)).or_default();
        (stream.epoch, stream.shard) = (file.epoch, file.shard);
        if kind == kind_name(Kind::Points) {
            stream.segments_of_points += 1;
        } else {
            stream.segments_of_names += 1;
        }
        stream.points += file.points;
        stream.names += file.names;
        stream.bytes_used += file.bytes_used;
        stream.retired = stream.retired.max(file.retired);
        stream.epochs_done = stream.epochs_done.max(file.epochs_done);
        stream.damaged_places += file.damaged.len();
        stream.received_ms = match (stream.received_ms, file.received_ms) {
            (Some((first, last)), Some((other_first, other_last))) => {
                Some((first.min(other_first), last.max(other_last)))
            }
            (one, other) => one.or(other),
        };
    }
    streams.into_values().collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_is_removed_behind_the_look_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "00000001-00000-00000000.points",
            "00000001-00000-00000001.names",
        ] {
            fs::write(directory.path().join(name), [0; 64]).unwrap();
        }
        let listed = list(directory.path()).unwrap();
        fs::remove_file(&listed[0].0).unwrap();
        let there = listed[1].0.clone();
        let found = reports_of(listed).unwrap();
        let paths: Vec<PathBuf> = found.into_iter().map(|it| it.path).collect();
        assert_eq!(paths, [there]);
        // A file that cannot be read is none that is gone.
        let directory = vec![(directory.path().to_owned(), 64)];
        assert!(reports_of(directory).is_err());
    }
}
