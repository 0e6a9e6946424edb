//! The journal on rings of its own, with real files: the operations mean there what the simulated
//! disk takes them for, with io_uring and without.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{START_SECOND, name, reading};
use crate::cache::SeriesId;
use crate::clock;
use crate::journal::{DataSync, Journal, JournalConfig, State, Sync};
use crate::limits::JOURNAL_THREADS;
use crate::point::Point;
use crate::ring::{Driver, Event, FileToken, Ring, RingConfig};
use crate::stats::Counter;

const SEGMENT_BYTES: u32 = 64 << 10;
const SEGMENTS_MAX: u32 = 6;
const POINTS: u32 = 200_000;

/// One turn of an owner's loop: operations out, answers in.
fn turn(ring: &mut Ring, journal: &mut Journal, oldest_unwritten: Option<u32>) {
    let now = clock::now();
    journal.begin_turn(now, START_SECOND + now.unix_seconds);
    while let Some(event) = ring.next_event() {
        if let Event::File { token, result } = event {
            journal.complete(crate::journal::JournalToken(token.0), result);
        }
    }
    journal.end_turn(oldest_unwritten.map(|_| START_SECOND + now.unix_seconds));
    while let Some((token, operation)) = journal.next_operation() {
        ring.file_apart(FileToken(token.0), operation);
    }
    ring.turn(Some(Duration::from_millis(1)));
}

fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(directory).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    paths
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// Many more points than the files hold, all but the last few written; then a stop.
fn run(driver: Driver, sync: Sync) {
    let directory = tempfile::tempdir().unwrap();
    let data_sync = Arc::new(DataSync::default());
    let mut ring = Ring::new(RingConfig {
        driver,
        apart_threads: JOURNAL_THREADS,
        ..RingConfig::default()
    })
    .unwrap();
    let config = JournalConfig {
        directory: directory.path().to_owned(),
        segment_bytes: SEGMENT_BYTES,
        segments_max: SEGMENTS_MAX,
        sync,
        data_sync: data_sync.clone(),
        ..super::config()
    };
    let now = clock::now();
    let mut journal = Journal::new(config, now, START_SECOND + now.unix_seconds);
    let (mut noted, mut last) = (0, Vec::new());
    while noted < POINTS {
        turn(&mut ring, &mut journal, None);
        assert_eq!(journal.state(), State::Healthy);
        assert!(journal.files() <= SEGMENTS_MAX as usize + 1);
        if data_sync.is_wanted() {
            let number = data_sync.begin();
            data_sync.done(number);
        }
        if journal.is_congested() {
            continue;
        }
        for series in last.drain(..) {
            journal.written(SeriesId(series), &name(series), None);
        }
        for _ in 0..1000 {
            let (series, value) = (noted % 300, f64::from(noted) + 0.1);
            let timestamp = now.unix_seconds + noted / 300;
            let point = Point { timestamp, value };
            let name = name(series);
            journal.point(SeriesId(series), || &name, point);
            last.push(series);
            noted += 1;
        }
    }
    journal.stop();
    while !journal.is_quiet() {
        turn(&mut ring, &mut journal, Some(0));
    }
    let status = journal.status();
    assert_eq!(status.committed_serial, u64::from(POINTS));
    let synced = if sync == Sync::Never {
        0
    } else {
        u64::from(POINTS)
    };
    assert_eq!(journal.synced_serial(), synced);
    assert_eq!(journal.stats().get(Counter::JournalErrors), 0);
    let files = files(directory.path());
    assert!(
        files.len() <= SEGMENTS_MAX as usize + 1,
        "{} files",
        files.len()
    );
    let reading = reading::read(&files);
    let expected: Vec<_> = (POINTS - 1000..POINTS)
        .map(|noted| f64::from(noted) + 0.1)
        .collect();
    assert_eq!(reading.values(), expected);
}

#[test]
fn on_io_uring_it_keeps_what_is_owed() {
    run(Driver::Uring, Sync::Every(Duration::from_millis(20)));
    run(Driver::Uring, Sync::Always);
}

#[test]
fn on_threads_it_keeps_what_is_owed() {
    run(Driver::PollSync, Sync::Every(Duration::from_millis(20)));
    run(Driver::PollSync, Sync::Never);
}
