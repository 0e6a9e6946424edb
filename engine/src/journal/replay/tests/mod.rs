//! The replay against a model: histories drawn from seeds, damaged and cut, read through a driver that
//! answers in any order; and the cases that a draw would hardly meet.

mod history;
mod model;
mod retired;
mod scarce;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::journal::block::{HEAD_BYTES, VERSION, VERSION_AT};
use crate::journal::entry::PointEncoder;
use crate::journal::name_entry::NameEncoder;
use crate::journal::survey::Looked;
use crate::limits::{JOURNAL_READS_AHEAD_MAX, METRIC_NAME_BYTES_MAX};
use crate::names::hash;
use crate::point::Point;
use crate::ring::{Piece, Stage, VisitId};
use history::{Dice, History, NAMES, name_of};
use model::{Given, expected};

/// A disk: files, and stretches that cannot be read.
#[derive(Debug, Default)]
struct Disk<'a> {
    files: Option<&'a BTreeMap<PathBuf, Vec<u8>>>,
    broken: Vec<(PathBuf, u64)>,
    locked: Vec<PathBuf>,
    /// Opens and reads that fail by turns for want of something, the next ones.
    scarce: Vec<FileError>,
    open: u32,
}

impl Disk<'_> {
    fn answer(&mut self, operation: FileOperation) -> Result<FileOutcome, FileError> {
        if let FileOperation::Close { .. } = operation {
            self.open -= 1;
            return Ok(FileOutcome::Closed);
        }
        let FileOperation::Open { path, ranges, .. } = operation else {
            panic!("{operation:?}")
        };
        if let Some(error) = self.scarce.pop() {
            return Err(error);
        }
        let files = self.files.unwrap();
        if self.locked.contains(&path) {
            let (stage, errno) = (Stage::Open, 13);
            return Err(FileError { stage, errno });
        }
        let bytes = &files[&path];
        let [range] = ranges[..] else {
            panic!("{ranges:?}")
        };
        let end = range.offset + u64::from(range.len);
        let is_broken =
            |(file, at): &(PathBuf, u64)| *file == path && (range.offset..end).contains(at);
        if self.broken.iter().any(is_broken) {
            let (stage, errno) = (Stage::Read, 5);
            return Err(FileError { stage, errno });
        }
        self.open += 1;
        let cut = |at: u64| usize::try_from(at).unwrap().min(bytes.len());
        let bytes = bytes[cut(range.offset)..cut(end)].to_vec();
        let offset = range.offset;
        Ok(FileOutcome::Opened {
            visit: VisitId {
                slot: 0,
                generation: 0,
            },
            pieces: vec![Piece { offset, bytes }],
        })
    }
}

/// Runs a replay to its end; the points in the order given, and how it ended.
fn run(replay: &mut Replay, disk: &mut Disk<'_>, dice: &mut Dice) -> (Vec<Given>, Progress) {
    let mut given = Vec::new();
    let mut asked: Vec<(ReplayToken, FileOperation)> = Vec::new();
    let mut waits = false;
    loop {
        while let Some(next) = replay.next_operation() {
            asked.push(next);
            let reads = |(_, operation): &&(ReplayToken, FileOperation)| {
                matches!(operation, FileOperation::Open { .. })
            };
            assert!(asked.iter().filter(reads).count() <= JOURNAL_READS_AHEAD_MAX);
        }
        if replay.put_off().is_some() && (asked.is_empty() || dice.one_in(3)) {
            replay.try_again();
            waits = false;
            continue;
        }
        assert!(!waits || !asked.is_empty(), "it waits for nothing");
        let mut points = Vec::new();
        let mut sink = |owed: &[Owed]| {
            let full = owed.iter().position(|_| dice.one_in(7));
            let taken = full.unwrap_or(owed.len());
            points.extend_from_slice(&owed[..taken]);
            taken
        };
        let progress = replay.work(5, &mut sink);
        for owed in points {
            let name = replay.name(owed.name).to_owned();
            given.push((name, owed.timestamp, owed.value.to_bits(), owed.received_ms));
        }
        if let Progress::Done | Progress::Refused(_) = progress {
            for (token, operation) in asked {
                replay.complete(token, disk.answer(operation));
            }
            while let Some((token, operation)) = replay.next_operation() {
                replay.complete(token, disk.answer(operation));
            }
            assert!(replay.is_quiet());
            assert_eq!(disk.open, 0, "every visit is closed");
            return (given, progress);
        }
        waits = progress == Progress::Waiting;
        if !asked.is_empty() && (progress == Progress::Waiting || dice.one_in(3)) {
            let (token, operation) = asked.swap_remove(dice.index(asked.len()));
            waits = false;
            replay.complete(token, disk.answer(operation));
        }
    }
}

fn replay_of(history: &History, owns: impl Fn(&str) -> bool + Send + 'static) -> Replay {
    let survey = Survey::new(history.looked()).unwrap();
    let mut replay = Replay::new(survey, Box::new(move |name, _| owns(name)), 7);
    replay.fetch.piece_bytes = (512, 64);
    replay
}

/// Who owns a name of a history, of several shards.
fn owner(name: &str, shards: u64) -> u64 {
    hash(3, name) % shards
}

fn check(history: &History, dice: &mut Dice) -> Result<(), TestCaseError> {
    let shards = 1 + dice.below(3);
    let mut names = 0;
    for shard in 0..shards {
        let owns = move |name: &str| owner(name, shards) == shard;
        let mut replay = replay_of(history, owns);
        let mut disk = Disk {
            files: Some(&history.files),
            ..Disk::default()
        };
        let (given, progress) = run(&mut replay, &mut disk, dice);
        prop_assert_eq!(progress, Progress::Done);
        let expected = expected(history, &owns);
        prop_assert_eq!(&given, &expected.given);
        let report = replay.report();
        prop_assert_eq!(report.owed, given.len() as u64);
        prop_assert_eq!(report.given, given.len() as u64);
        prop_assert_eq!(report.written, expected.written);
        prop_assert_eq!(report.lost, expected.lost, "{:#?}", report);
        prop_assert_eq!(report.lost_nameless, expected.lost_nameless);
        prop_assert_eq!(
            report.lost_uncounted,
            expected.lost_uncounted,
            "{:#?}",
            report
        );
        prop_assert!(report.newest >= expected.newest);
        prop_assert!(expected.lost == 0 || !report.harms.is_empty());
        names += report.names;
    }
    prop_assert!(names <= NAMES);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_whole_is_given_out_as_the_model_says(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let history = History::draw(&mut dice);
        check(&history, &mut dice)?;
        let mut replay = replay_of(&history, |_| true);
        let mut disk = Disk { files: Some(&history.files), ..Disk::default() };
        run(&mut replay, &mut disk, &mut dice);
        let report = replay.report();
        prop_assert!(report.is_sound(), "{:#?}", report);
        prop_assert_eq!(report.torn_bytes, 0);
        if !history.has_parts {
            prop_assert_eq!(report.newest, expected(&history, &|_| true).newest);
        }
    }

    #[test]
    fn what_is_damaged_is_missing_and_counted_as_the_model_says(
        seed in any::<u64>(),
        places in 1_usize..6,
    ) {
        let mut dice = Dice(seed);
        let mut history = History::draw(&mut dice);
        for _ in 0..places {
            history.damage(&mut dice);
        }
        check(&history, &mut dice)?;
    }

    #[test]
    fn any_bytes_come_to_an_end(
        files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 1..4),
        heads in prop::collection::vec((any::<[u32; 6]>(), 0_u32..3, any::<bool>()), 0..6),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        seed in any::<u64>(),
    ) {
        let mut dice = Dice(seed);
        let mut history = History::default();
        for (index, bytes) in files.into_iter().enumerate() {
            let mut bytes = bytes;
            for (numbers, near, names) in &heads {
                let mut block = vec![0; HEAD_BYTES];
                block.extend_from_slice(&payload[dice.index(payload.len() + 1)..]);
                let small = |number: u32| if seed % 2 == 0 { number % (near + 1) } else { number };
                let head = Head {
                    kind: if *names { Kind::Names } else { Kind::Points },
                    shard: 0,
                    epoch: *near,
                    segment: small(numbers[0]),
                    block: small(numbers[1]),
                    generation: small(numbers[2]),
                    serial: u64::from(numbers[3]) << dice.below(32),
                    received_ms: dice.below(1 << 60),
                    entries: small(numbers[4]),
                    retired: small(numbers[5]) / 2,
                    epochs_done: 0,
                    mount: 1,
                };
                head.seal(&mut block);
                bytes.resize(bytes.len().next_multiple_of(64), 0);
                bytes.extend_from_slice(&block);
            }
            let name = format!("/journal/00000001-00000-{index:08}.points");
            history.files.insert(PathBuf::from(name), bytes);
        }
        let mut replay = replay_of(&history, |name| name.len() <= METRIC_NAME_BYTES_MAX);
        let mut disk = Disk { files: Some(&history.files), ..Disk::default() };
        let (given, progress) = run(&mut replay, &mut disk, &mut dice);
        prop_assert_eq!(progress, Progress::Done);
        prop_assert_eq!(given.len() as u64, replay.report().given);
    }
}

#[test]
fn draws_come_to_all_that_is_counted() {
    let (mut plain, mut damaged) = ([0; 2], [0; 5]);
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let mut history = History::draw(&mut dice);
        let whole = expected(&history, &|_| true);
        plain[0] += whole.given.len() as u64;
        plain[1] += whole.written;
        for _ in 0..4 {
            history.damage(&mut dice);
        }
        let left = expected(&history, &|_| true);
        damaged[0] += left.given.len() as u64;
        damaged[1] += left.written;
        damaged[2] += left.lost;
        damaged[3] += left.lost_nameless;
        damaged[4] += left.lost_uncounted;
    }
    assert!(
        plain.iter().chain(&damaged).all(|count| *count > 0),
        "{plain:?} {damaged:?}"
    );
}

const FILE: &str = "/journal/00000001-00000-00000000.points";
const NAMES_FILE: &str = "/journal/00000001-00000-00000000.names";
const AT_S: u32 = 1_700_000_000;

fn head(kind: Kind, block: u32, serial: u64, entries: u32) -> Head {
    Head {
        kind,
        shard: 0,
        epoch: 1,
        segment: 0,
        block,
        generation: 0,
        serial,
        received_ms: u64::from(AT_S) * 1000,
        entries,
        retired: 0,
        epochs_done: 0,
        mount: 1,
    }
}

/// A block of so many points of the ids from 0 on.
fn points(block: u32, serial: u64, count: u32) -> Vec<u8> {
    let mut encoder = PointEncoder::new(Vec::new(), u64::from(AT_S) * 1000);
    for id in 0..count {
        let value = f64::from(block);
        let timestamp = AT_S + block;
        encoder.point(id, Point { timestamp, value });
    }
    let mut bytes = encoder.finish();
    head(Kind::Points, block, serial, count).seal(&mut bytes);
    bytes
}

fn names(count: u32) -> Vec<u8> {
    let mut encoder = NameEncoder::new(Vec::new());
    for id in 0..count {
        encoder.name(id, &name_of(id));
    }
    let mut bytes = encoder.finish();
    head(Kind::Names, 0, 0, count).seal(&mut bytes);
    bytes
}

/// Five blocks of three points, and their names.
fn five_blocks() -> History {
    let mut history = History::default();
    let blocks: Vec<u8> = (0..5)
        .flat_map(|block| points(block, u64::from(block) * 3, 3))
        .collect();
    history.files.insert(PathBuf::from(FILE), blocks);
    history.files.insert(PathBuf::from(NAMES_FILE), names(3));
    history
}

fn run_plainly(history: &History, disk: &mut Disk<'_>) -> (usize, Report, Progress) {
    let mut replay = replay_of(history, |_| true);
    let (given, progress) = run(&mut replay, disk, &mut Dice(1));
    (given.len(), replay.report().clone(), progress)
}

fn disk(history: &History) -> Disk<'_> {
    Disk {
        files: Some(&history.files),
        ..Disk::default()
    }
}

#[test]
fn a_stretch_that_cannot_be_read_costs_its_points_and_is_named() {
    let history = five_blocks();
    let block_bytes = history.files[Path::new(FILE)].len() as u64 / 5;
    let broken_in = |block: u64| {
        let mut disk = disk(&history);
        disk.broken
            .push((PathBuf::from(FILE), block * block_bytes + 3));
        run_plainly(&history, &mut disk)
    };
    let (given, report, progress) = broken_in(2);
    assert_eq!((given, progress), (12, Progress::Done));
    assert_eq!(
        (report.lost, report.lost_uncounted, report.torn_bytes),
        (3, 0, 0)
    );
    let unreadable = |harm: &Harm| matches!(harm.what, Damage::Unreadable { bytes: 64, .. });
    assert_eq!(
        report.harms.iter().filter(|harm| unreadable(harm)).count(),
        1,
        "{report:#?}"
    );
    assert!(
        report.harms[0].to_string().contains(FILE),
        "{}",
        report.harms[0]
    );
    // In the last block: nothing that follows tells how many points it had.
    let (given, report, _) = broken_in(4);
    assert_eq!(
        (given, report.lost, report.lost_uncounted),
        (12, 0, 1),
        "{report:#?}"
    );
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let history = five_blocks();
    let mut disk = disk(&history);
    disk.locked.push(PathBuf::from(NAMES_FILE));
    let (given, report, progress) = run_plainly(&history, &mut disk);
    assert_eq!((given, progress), (0, Progress::Done));
    assert_eq!((report.lost, report.lost_nameless), (0, 15));
    let [harm] = &report.harms[..] else {
        panic!("{report:#?}")
    };
    assert!(harm.to_string().contains("cannot be read"), "{harm}");
}

#[test]
fn a_torn_tail_is_cut_and_counted() {
    let mut history = five_blocks();
    let bytes = history.files.get_mut(Path::new(FILE)).unwrap();
    let block_bytes = bytes.len() / 5;
    let last = bytes.len() - block_bytes;
    bytes[last + HEAD_BYTES..].fill(0);
    bytes.resize(4096, 0);
    let (given, report, _) = run_plainly(&history, &mut disk(&history));
    assert_eq!((given, report.lost), (12, 0));
    assert_eq!(report.torn_bytes, block_bytes as u64);
    assert!(report.is_sound(), "{report:#?}");
}

#[test]
fn the_newest_time_is_of_points_that_are_owed() {
    let mut history = five_blocks();
    let mut encoder = PointEncoder::new(Vec::new(), u64::from(AT_S) * 1000);
    encoder.written_part(0, 0, AT_S + 2);
    encoder.written(1, 2);
    let mut block = encoder.finish();
    head(Kind::Points, 5, 15, 0).seal(&mut block);
    history
        .files
        .get_mut(Path::new(FILE))
        .unwrap()
        .extend(block);
    let (given, report, _) = run_plainly(&history, &mut disk(&history));
    assert_eq!(
        (given, report.written, report.newest),
        (3, 12, Some(AT_S + 4))
    );
}

#[test]
fn a_newer_version_is_refused_wherever_it_stands() {
    let mut history = five_blocks();
    let bytes = history.files.get_mut(Path::new(FILE)).unwrap();
    let block = bytes.len() / 5 * 3;
    let mut newer = points(3, 9, 3);
    newer[VERSION_AT] = VERSION + 1;
    let checksum = crc32fast::hash(&newer[8..HEAD_BYTES + payload_bytes(&newer)]);
    newer[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes[block..block + newer.len()].copy_from_slice(&newer);
    let (given, _, progress) = run_plainly(&history, &mut disk(&history));
    let path = PathBuf::from(FILE);
    let found = VERSION + 1;
    let refusal = NewerVersion {
        path: path.clone(),
        found,
    };
    assert_eq!((given, progress), (0, Progress::Refused(refusal.clone())));
    // As the first block, the survey tells.
    let looked = Looked {
        path,
        bytes: newer.len() as u64,
        first: newer,
    };
    let error = Survey::new([looked]).unwrap_err();
    assert_eq!(error, refusal);
    assert!(error.to_string().contains(FILE), "{error}");
}

fn payload_bytes(block: &[u8]) -> usize {
    u32::from_le_bytes(*block[8..].first_chunk().unwrap()) as usize
}

#[test]
fn a_survey_knows_epochs_strangers_and_twins() {
    let block = points(0, 0, 3);
    let rows: [(&str, &[u8]); 8] = [
        ("/j/00000011-00000-00000000.points.aside", &block),
        ("/j/lock", b""),
        ("/j/notes.txt", b"hello"),
        ("/j/00000009-00000-00000000.points", b""),
        ("/j/00000001-00000-00000000.points", &block),
        ("/j/00000001-00000-00000001.points", &block),
        ("/j/renamed", &block),
        ("/j/0000001x-00000-00000001.points", b""),
    ];
    let looked = rows.map(|(path, first)| Looked {
        path: PathBuf::from(path),
        bytes: first.len() as u64,
        first: first.to_vec(),
    });
    let survey = Survey::new(looked).unwrap();
    let paths = |paths: &[PathBuf]| -> Vec<String> {
        paths
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    };
    assert_eq!(
        survey.epoch_highest,
        Some(11),
        "a name counts, also of what is aside, so that it is not taken again"
    );
    assert_eq!(
        paths(&survey.strangers),
        ["/j/0000001x-00000-00000001.points", "/j/notes.txt"]
    );
    assert_eq!(
        paths(&survey.twins),
        ["/j/00000001-00000-00000001.points", "/j/renamed"]
    );
    let files: Vec<bool> = survey.files.iter().map(|file| file.key.is_some()).collect();
    assert_eq!(files, [true, false]);
}

#[test]
fn nothing_owed_is_done_at_once() {
    let mut replay = Replay::new(Survey::default(), Box::new(|_, _| true), 0);
    let mut sink = |owed: &[Owed]| -> usize { panic!("{owed:?}") };
    assert_eq!(replay.work(1000, &mut sink), Progress::Done);
    assert!(replay.next_operation().is_none());
    assert!(replay.report().is_sound());
}

#[test]
fn work_is_bounded_by_points() {
    let history = five_blocks();
    let mut replay = replay_of(&history, |_| true);
    let mut disk = disk(&history);
    let mut pieces = 0;
    let mut most = 0;
    loop {
        while let Some((token, operation)) = replay.next_operation() {
            replay.complete(token, disk.answer(operation));
        }
        let mut given = 0;
        let progress = replay.work(2, &mut |owed| {
            given += owed.len();
            owed.len()
        });
        (pieces, most) = (pieces + 1, most.max(given));
        if progress == Progress::Done {
            break;
        }
    }
    assert!(
        most <= 2 && pieces > 15,
        "{most} points at once, {pieces} pieces"
    );
}

/// A block of no points: what `entries` puts in, through a mount.
fn records(block: u32, mount: u32, entries: impl Fn(&mut PointEncoder)) -> Vec<u8> {
    let mut encoder = PointEncoder::new(Vec::new(), u64::from(AT_S) * 1000);
    entries(&mut encoder);
    let mut bytes = encoder.finish();
    let head = head(Kind::Points, block, 6, 0);
    Head { mount, ..head }.seal(&mut bytes);
    bytes
}

#[test]
fn after_a_failed_sync_only_what_a_mark_proves_counts_as_written() {
    let give = |mount: u32, is_in_doubt: bool| {
        let blocks = [
            points(0, 0, 3),
            points(1, 3, 3),
            records(2, 1, |it| {
                it.written(0, 1);
                it.mark(1);
                it.written(1, 1);
                it.data_synced(1);
            }),
            records(3, mount, |_| {}),
        ];
        let mut history = History::default();
        history.files.insert(PathBuf::from(FILE), blocks.concat());
        history.files.insert(PathBuf::from(NAMES_FILE), names(3));
        let mut replay = replay_of(&history, |_| true).mounted(1);
        if is_in_doubt {
            replay = replay.in_doubt();
        }
        let (given, progress) = run(&mut replay, &mut disk(&history), &mut Dice(1));
        assert_eq!(progress, Progress::Done);
        assert_eq!(replay.latest(), AT_S + 1);
        let mut of: Vec<String> = given.into_iter().map(|given| given.0).collect();
        of.dedup();
        of
    };
    let (second, third) = (name_of(1), name_of(2));
    let all_but_first = [&second, &third, &second, &third].map(Clone::clone);
    assert_eq!(give(1, false), [name_of(2)], "the page cache has it all");
    assert_eq!(give(MOUNT_DOUBTFUL, false), all_but_first);
    assert_eq!(
        give(1, true),
        all_but_first,
        "the process knows it by itself"
    );
}

#[test]
fn what_is_written_of_names_of_other_shards_does_not_wait_for_a_proof() {
    let waiting = |of: &'static [u32]| {
        let blocks = [
            points(0, 0, 3),
            points(1, 3, 3),
            records(2, 1, |it| {
                it.written(0, 1);
                it.written(1, 2);
                it.written_part(2, 0, AT_S);
            }),
        ];
        let mut history = History::default();
        history.files.insert(PathBuf::from(FILE), blocks.concat());
        history.files.insert(PathBuf::from(NAMES_FILE), names(3));
        let owns = move |name: &str| of.iter().any(|index| name == name_of(*index));
        let mut replay = replay_of(&history, owns).in_doubt();
        let (given, _) = run(&mut replay, &mut disk(&history), &mut Dice(1));
        assert_eq!(given.len(), 2 * of.len(), "none is proven");
        let streams = replay.streams.values();
        streams.map(|stream| stream.unproven.len()).sum::<usize>()
    };
    assert_eq!(waiting(&[0, 1, 2]), 3);
    assert_eq!(waiting(&[0]), 1);
    assert_eq!(
        waiting(&[2]),
        2,
        "an entry of two names, one of which is owned"
    );
    assert_eq!(waiting(&[]), 0);
}
