//! The start after a run that left its points in the journal, with the real program: queries and
//! senders are served while they come back, what was received since wins, SHARDS may change, crashes
//! in between lose and double nothing; and journals that are in use, damaged, torn or too new.
#![expect(
    clippy::disallowed_methods,
    clippy::format_push_string,
    reason = "a test waits, reads clocks and files, and builds its text simply"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use benzene_engine::journal::block::{
    Block, BlockError, CHECKSUM_AT, HEAD_BYTES, PAYLOAD_BYTES_AT, VERSION_AT,
};
use benzene_engine::whisper::{Header, archive_points};

use crate::daemon::{Daemon, Ended, Querier, Setup, file_of, program, wait_for};
use crate::first_use::now;
use crate::journal::{
    THROTTLED, assert_nothing_owed, balance, came_back, journal_dir, kill, known, setup,
    wait_for_recall,
};
use crate::process::at_free_ports;
use crate::vitals::{file_points, is_long};

const METRICS: u32 = 2_000;
/// Received while the replay runs.
const LIVE: f64 = 1e6;

/// Points of each metric: a million in all, with `BENZENE_LONG` three.
fn rounds() -> u32 {
    if is_long() { 1_500 } else { 500 }
}

fn value(metric: u32, round: u32) -> f64 {
    f64::from((metric * 7 + round) % 1_000)
}

fn lines(round: u32, start: u32, value: impl Fn(u32) -> f64) -> String {
    let mut text = String::new();
    for metric in 0..METRICS {
        text += &format!("back.m{metric} {} {}\n", value(metric), start + round);
    }
    text
}

/// A daemon that had a million points and no time to write them, killed; the second of the first.
fn killed_with_many(shards: usize) -> (Ended, u32) {
    let daemon = Daemon::start(&setup(shards, THROTTLED));
    let start = now() - 1_600;
    let mut socket = daemon.connect();
    for round in 0..rounds() {
        let text = lines(round, start, |metric| value(metric, round));
        socket.write_all(text.as_bytes()).unwrap();
    }
    let mut querier = Querier::connect(daemon.query);
    for metric in [METRICS - 1, METRICS - 2, METRICS - 3] {
        let name = format!("back.m{metric}");
        wait_for(|| (known(&daemon, &mut querier, &name).len() == rounds() as usize).then_some(()))
            .unwrap();
    }
    std::thread::sleep(Duration::from_millis(100));
    (kill(daemon), start)
}

/// Sends another value for the first and for the last second of all metrics, and asks all the while;
/// how long the longest query took.
fn send_beside_queries(daemon: &Daemon, querier: &mut Querier, start: u32) -> Duration {
    let (mut socket, last) = (daemon.connect(), rounds() - 1);
    let mut longest = Duration::ZERO;
    for (number, round) in [0, last].into_iter().enumerate() {
        socket
            .write_all(lines(round, start, |_| LIVE).as_bytes())
            .unwrap();
        let fresh = format!("fresh.m{number}");
        socket
            .write_all(format!("{fresh} 1 {start}\n").as_bytes())
            .unwrap();
        let sent = Instant::now();
        let mut looks = 0;
        while querier.points(&fresh).is_empty() {
            assert!(sent.elapsed() < Duration::from_secs(20), "{}", daemon.log());
            let asked = Instant::now();
            querier.points(&format!("back.m{looks}"));
            longest = longest.max(asked.elapsed());
            looks += 1;
        }
    }
    longest
}

#[test]
fn points_come_back_beside_queries_and_senders_and_through_two_crashes() {
    let (ended, start) = killed_with_many(1);
    // All metrics get another value for their first and their last second while points come back.
    let daemon = Daemon::start_in(&setup(3, THROTTLED), ended.root);
    let mut querier = Querier::connect(daemon.query);
    let last = rounds() - 1;
    let longest = send_beside_queries(&daemon, &mut querier, start);
    let answered = querier.points(&format!("back.m{}", METRICS - 1));
    assert!(answered.contains(&(start + last, LIVE)), "{answered:?}");
    assert_eq!(
        came_back(&daemon.log()).len(),
        0,
        "it is over too early: {}",
        daemon.log()
    );
    // Half a second is promised; other tests beside it take their part.
    let most = Duration::from_millis(if is_long() { 500 } else { 1_000 });
    assert!(longest < most, "a query took {longest:?}");
    std::thread::sleep(Duration::from_millis(100));
    let ended = kill(daemon);
    assert!(
        came_back(&ended.log).len() < 3,
        "it was over: {}",
        ended.log
    );
    // The second crash: some of what the first run has journaled is copied, values among it that the
    // second run's, which are not copied yet, are to replace.
    let daemon = Daemon::start_in(&setup(2, THROTTLED), ended.root);
    let mut querier = Querier::connect(daemon.query);
    // Of eight metrics each shard has one.
    let names: Vec<String> = (0..8).map(|metric| format!("back.m{metric}")).collect();
    let mut is_back = |name: &String| !querier.points(name).is_empty();
    wait_for(|| names.iter().any(&mut is_back).then_some(())).unwrap();
    std::thread::sleep(Duration::from_millis(30));
    let ended = kill(daemon);
    assert!(
        came_back(&ended.log).len() < 2,
        "it was over: {}",
        ended.log
    );
    let daemon = Daemon::start_in(&setup(2, "SHUTDOWN = drain"), ended.root);
    wait_for_recall(&daemon, 2);
    let mut querier = Querier::connect(daemon.query);
    for metric in (0..METRICS).step_by(97) {
        let name = format!("back.m{metric}");
        assert_eq!(
            known(&daemon, &mut querier, &name),
            expected(metric, start),
            "{name}"
        );
    }
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    for metric in 0..METRICS {
        let name = format!("back.m{metric}");
        let found = file_points(&file_of(&ended.data(), &name)).unwrap();
        assert_eq!(found, expected(metric, start), "{name}");
    }
    // Some may have been written by the throttled daemons; none is written twice.
    let committed = balance(&ended.log).committed;
    let all = u64::from(METRICS) * u64::from(rounds()) + 2;
    assert!(
        committed <= all && committed > all - u64::from(10 * rounds()),
        "{committed} of {all}"
    );
    assert_nothing_owed(&ended.data());
}

/// What a metric is to have at the end.
fn expected(metric: u32, start: u32) -> BTreeMap<u32, f64> {
    let last = rounds() - 1;
    let of = |round| {
        if round == 0 || round == last {
            LIVE
        } else {
            value(metric, round)
        }
    };
    (0..=last).map(|round| (start + round, of(round))).collect()
}

/// Starts the daemon on a directory's carbon.conf, and waits for its end: exit code and log.
fn refused(root: &Path) -> (Option<i32>, String) {
    let mut command = program();
    command
        .arg("cache")
        .arg("--config")
        .arg(root.join("carbon.conf"));
    at_free_ports(&mut command).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let ended = wait_for(|| child.try_wait().unwrap());
    if ended.is_none() {
        child.kill().unwrap();
    }
    let mut log = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    (child.wait().unwrap().code(), log)
}

#[test]
fn a_journal_has_one_process() {
    let daemon = Daemon::start(&setup(1, THROTTLED));
    let root = daemon.data().parent().unwrap().to_owned();
    let (code, log) = refused(&root);
    assert_eq!(code, Some(8), "{log}");
    let dir = journal_dir(&daemon.data());
    let said = format!(
        "the journal in {} is in use by process {}",
        dir.display(),
        daemon.pid()
    );
    assert!(log.contains(&said), "{log}");
    // The first one did not notice.
    daemon.send(&format!("still.here 1 {}\n", now()));
    daemon.wait_for_points("still.here", 1);
    assert!(daemon.stop().status.success());
}

const BATCHES: u32 = 20;
const BATCH: u32 = 50;

/// A daemon that journaled batches at some distance, killed; the second of their points.
fn killed_with_batches() -> (Ended, u32) {
    let daemon = Daemon::start(&setup(1, THROTTLED));
    let at = now() - 100;
    let mut socket = daemon.connect();
    for batch in 0..BATCHES {
        let mut text = String::new();
        for metric in 0..BATCH {
            text += &format!("batch.b{batch}.m{metric} {metric} {at}\n");
        }
        socket.write_all(text.as_bytes()).unwrap();
        daemon.wait_for_points(&format!("batch.b{batch}.m{}", BATCH - 1), 1);
        std::thread::sleep(Duration::from_millis(40));
    }
    std::thread::sleep(Duration::from_millis(100));
    (kill(daemon), at)
}

/// The points that are known after a start, which must be right.
fn points_after_start(ended: Ended, at: u32) -> (u32, Ended) {
    let daemon = Daemon::start_in(&setup(2, THROTTLED), ended.root);
    wait_for_recall(&daemon, 2);
    let mut querier = Querier::connect(daemon.query);
    let mut count = 0;
    for batch in 0..BATCHES {
        for metric in 0..BATCH {
            let name = format!("batch.b{batch}.m{metric}");
            let points = known(&daemon, &mut querier, &name);
            if !points.is_empty() {
                assert_eq!(points, BTreeMap::from([(at, f64::from(metric))]), "{name}");
                count += 1;
            }
        }
    }
    (count, daemon.stop())
}

/// The file of the points, and its blocks: offset, bytes, entries.
fn blocks(data: &Path) -> (PathBuf, Vec<u8>, Vec<(usize, usize, u32)>) {
    let entries = fs::read_dir(journal_dir(data)).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let is_points = |path: &PathBuf| {
        let has_blocks = || fs::read(path).unwrap().starts_with(b"BzJl");
        path.extension().is_some_and(|it| it == "points") && has_blocks()
    };
    let path = paths.find(is_points).unwrap();
    let bytes = fs::read(&path).unwrap();
    let (mut at, mut blocks) = (0, Vec::new());
    while let Ok(block) = Block::parse(&bytes[at..]) {
        blocks.push((at, block.bytes(), block.head.entries));
        at += block.bytes();
    }
    assert!(blocks.len() >= BATCHES as usize, "{blocks:?}");
    (path, bytes, blocks)
}

#[test]
fn a_damaged_block_costs_its_own_points_and_no_others() {
    let (ended, at) = killed_with_batches();
    let (path, mut bytes, blocks) = blocks(&ended.data());
    let middle = blocks.len() / 2;
    let with_points = blocks[middle..].iter().find(|(_, _, entries)| *entries > 0);
    let (offset, length, entries) = *with_points.unwrap();
    bytes[offset + HEAD_BYTES + 3] ^= 0x10;
    fs::write(&path, &bytes).unwrap();
    let (count, ended) = points_after_start(ended, at);
    assert_eq!(count, BATCHES * BATCH - entries, "{}", ended.log);
    let place = format!(
        "{} at byte {offset}: {length} bytes are damaged, {entries} entries are gone",
        path.display()
    );
    assert!(ended.log.contains(&place), "{place} in {}", ended.log);
    let sum = format!("journal: {entries} points cannot be read");
    assert!(ended.log.contains(&sum), "{}", ended.log);
    assert!(ended.status.success(), "{}", ended.log);
}

#[test]
fn a_torn_tail_is_cut_off_and_said() {
    let (ended, at) = killed_with_batches();
    let (path, mut bytes, blocks) = blocks(&ended.data());
    let (offset, length, entries) = *blocks.last().unwrap();
    assert!(entries > 0, "{blocks:?}");
    bytes[offset + HEAD_BYTES + 3..offset + length].fill(0);
    fs::write(&path, &bytes).unwrap();
    let (count, ended) = points_after_start(ended, at);
    assert_eq!(count, BATCHES * BATCH - entries, "{}", ended.log);
    let said = "bytes were being written when the last run ended, and are cut off";
    assert!(ended.log.contains(said), "{}", ended.log);
    assert!(!ended.log.contains("cannot be read"), "{}", ended.log);
    assert!(ended.status.success(), "{}", ended.log);
}

/// Points that fit no first archive any more, in the second archive's slots by their ages.
fn coarse_points(file: &Path) -> BTreeMap<u32, f64> {
    let bytes = fs::read(file).unwrap();
    let header = Header::parse(&bytes).unwrap();
    let archive = &header.archives[1];
    let from = usize::try_from(archive.offset).unwrap();
    let points = archive_points(archive, &bytes[from..]);
    points
        .iter()
        .map(|point| (point.timestamp, point.value))
        .collect()
}

#[test]
fn what_no_longer_fits_the_first_archive_leaves_its_slot_as_it_is() {
    let of = |conf: &str| Setup {
        schemas: Some("[all]\npattern = .*\nretentions = 1s:5m,60s:1h\n".to_owned()),
        ..setup(1, conf)
    };
    let daemon = Daemon::start(&of("SHUTDOWN = drain"));
    let slot = now() - now() % 60 - 600;
    daemon.send(&format!("late.m {} {}\n", 5, slot));
    wait_for(|| daemon.file("late.m").exists().then_some(())).unwrap();
    let ended = daemon.stop();
    // A point of the same minute, and one of a minute that has none: held, then killed.
    let daemon = Daemon::start_in(&of("MAX_POINT_AGE = 60"), ended.root);
    daemon.send(&format!("late.m 6 {}\nlate.m 7 {}\n", slot + 1, slot - 60));
    daemon.wait_for_points("late.m", 2);
    std::thread::sleep(Duration::from_millis(500));
    let ended = kill(daemon);
    let file = file_of(&ended.data(), "late.m");
    assert_eq!(coarse_points(&file), BTreeMap::from([(slot, 5.0)]));
    let daemon = Daemon::start_in(&of("SHUTDOWN = drain"), ended.root);
    assert_eq!(wait_for_recall(&daemon, 1), 2);
    let ended = daemon.stop();
    let expected = BTreeMap::from([(slot, 5.0), (slot - 60, 7.0)]);
    assert_eq!(coarse_points(&file), expected, "{}", ended.log);
    balance(&ended.log);
}

/// Makes a block one of the next version.
fn make_newer(block: &mut [u8]) {
    block[VERSION_AT] += 1;
    let Err(BlockError::Checksum { computed, .. }) = Block::parse(block) else {
        panic!("the checksum covers the version")
    };
    // The one place of a test that writes what only a newer program would.
    let sum: Vec<u8> = (0..4)
        .map(|byte| (computed >> (8 * byte) & 0xff) as u8)
        .collect();
    block[CHECKSUM_AT..PAYLOAD_BYTES_AT].copy_from_slice(&sum);
    assert!(matches!(
        Block::parse(block),
        Err(BlockError::Version { .. })
    ));
}

#[test]
fn a_journal_of_a_newer_version_is_refused_and_kept() {
    for is_first in [true, false] {
        let (ended, at) = killed_with_batches();
        let (path, sound, blocks) = blocks(&ended.data());
        let (offset, ..) = blocks[if is_first { 0 } else { blocks.len() / 2 }];
        let mut bytes = sound.clone();
        make_newer(&mut bytes[offset..]);
        fs::write(&path, &bytes).unwrap();
        let (code, log) = refused(ended.root.path());
        assert_eq!(code, Some(8), "{log}");
        let said = format!(
            "{} is of a newer Benzene's journal (version 2",
            path.display()
        );
        assert!(log.contains(&said), "{log}");
        // Nothing was touched: with the version that it has everything is there.
        fs::write(&path, &sound).unwrap();
        let (count, _) = points_after_start(ended, at);
        assert_eq!(count, BATCHES * BATCH);
    }
}
