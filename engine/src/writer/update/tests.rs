//! Updates on files in memory: how many operations they take, what they write, how they end.

use proptest::prelude::*;

use super::*;
use crate::clock;
use crate::limits::UPDATE_READ_BYTES_MAX;
use crate::whisper::{Aggregation, Retention, archive_points};

const NOW: u32 = 1_600_000_000;
const VISIT: VisitId = VisitId {
    slot: 0,
    generation: 1,
};

/// A new file of these archives: seconds a point, points.
fn file(archives: &[(u32, u32)]) -> Vec<u8> {
    let retention = |(step_s, points): &(u32, u32)| Retention {
        step_s: *step_s,
        points: *points,
    };
    let retentions: Vec<_> = archives.iter().map(retention).collect();
    let header = Header::new(&retentions, 0.5, Aggregation::Average).unwrap();
    let mut bytes = header.encode();
    bytes.resize(usize::try_from(header.file_bytes()).unwrap(), 0);
    bytes
}

/// What an archive of it has.
fn stored(file: &[u8], archive: usize) -> Vec<Point> {
    let archive = Header::parse(file).unwrap().archives[archive];
    let start = usize::try_from(archive.offset).unwrap();
    let end = start + usize::try_from(archive.bytes()).unwrap();
    archive_points(&archive, &file[start..end])
}

fn read(file: &[u8], ranges: &[ByteRange]) -> Vec<Piece> {
    let piece = |range: &ByteRange| {
        let from = usize::try_from(range.offset).unwrap().min(file.len());
        let to = (from + range.len as usize).min(file.len());
        Piece {
            offset: range.offset,
            bytes: file[from..to].to_vec(),
        }
    };
    ranges.iter().map(piece).collect()
}

/// What an operation that changes nothing is answered with; None where it is another.
fn answered(file: &[u8], operation: &FileOperation) -> Option<FileOutcome> {
    if let FileOperation::Open { ranges, .. } = operation {
        let pieces = read(file, ranges);
        Some(FileOutcome::Opened {
            visit: VISIT,
            pieces,
        })
    } else if let FileOperation::Read { ranges, .. } = operation {
        Some(FileOutcome::Read(read(file, ranges)))
    } else {
        let is_close = matches!(operation, FileOperation::Close { visit: VISIT });
        is_close.then_some(FileOutcome::Closed)
    }
}

/// Carries an update out; how many operations it took, where it succeeded.
fn carry_out(file: &mut [u8], points: &[Point], layouts: &mut Layouts) -> Option<usize> {
    carry_out_after(file, (points, &[]), layouts).map(|(operations, _)| operations)
}

/// The same after an update that wrote `recent`; says also how many were written again.
fn carry_out_after(
    file: &mut [u8],
    (points, recent): (&[Point], &[Point]),
    layouts: &mut Layouts,
) -> Option<(usize, usize)> {
    let now = Now {
        unix_seconds: NOW,
        ..clock::now()
    };
    let update = Update::new(SeriesId(3), points.to_vec(), recent.to_vec(), now);
    let (operations, outcome, again) = carry_on(file, update, layouts)?;
    let taken = outcome.written + outcome.superseded + outcome.too_old;
    assert_eq!(taken, points.len() as u64);
    Some((operations, again))
}

/// Carries an update out: how many operations it took, what became of its points, and how many
/// were written again.
fn carry_on(
    file: &mut [u8],
    mut update: Update,
    layouts: &mut Layouts,
) -> Option<(usize, Outcome, usize)> {
    let mut planner = Planner::default();
    let known = (&*layouts, &mut planner);
    let mut operation = update.open("/data/a.wsp".into(), Access::default(), known);
    for operations in 1..9 {
        let outcome = if let Some(outcome) = answered(file, &operation) {
            outcome
        } else if let FileOperation::Write { pieces, .. } = operation {
            let end = |piece: &Piece| piece.offset + piece.bytes.len() as u64;
            if pieces.iter().map(end).max() > Some(file.len() as u64) {
                // The ring lets no file grow.
                return None;
            }
            for piece in pieces {
                let from = usize::try_from(piece.offset).unwrap();
                let to = from + piece.bytes.len();
                file[from..to].copy_from_slice(&piece.bytes);
            }
            FileOutcome::Written
        } else {
            panic!("an update asked for {operation:?}")
        };
        operation = match update.step(Ok(outcome), false, (&mut *layouts, &mut planner)) {
            Step::Operation(operation) => operation,
            Step::Done(outcome, again) => return Some((operations, outcome, again)),
            Step::Wide(_) | Step::Failed(_) => return None,
        };
    }
    panic!("no end");
}

fn points(from: u32, count: u32) -> Vec<Point> {
    let point = |number| Point {
        timestamp: from + 60 * number,
        value: f64::from(number),
    };
    (0..count).map(point).collect()
}

#[test]
fn a_file_that_was_seen_is_read_and_written_in_two_operations() {
    let mut layouts = Layouts::default();
    let mut file = file(&[(60, 1440), (300, 2016)]);
    let operations: Vec<_> = (0..6)
        .map(|minute| {
            let points = points(NOW - 6000 + minute * 60, 1);
            carry_out(&mut file, &points, &mut layouts).unwrap()
        })
        .collect();
    // The first finds an empty file, the second one that has begun meanwhile.
    assert_eq!(operations, [2, 3, 2, 2, 2, 2]);
}

#[test]
fn a_small_file_is_read_whole_where_that_costs_nothing() {
    let now = Now {
        unix_seconds: NOW,
        ..clock::now()
    };
    let mut layouts = Layouts::default();
    let mut small = file(&[(60, 1440), (300, 2016)]);
    let update = |minute: u32| {
        let points = points(NOW - 6000 + minute * 60, 1);
        Update::new(SeriesId(3), points, Vec::new(), now).whole(true)
    };
    // One read and one write, whether it was seen or not.
    for minute in 0..3 {
        let (operations, ..) = carry_on(&mut small, update(minute), &mut layouts).unwrap();
        assert_eq!(operations, 2);
    }
    assert_eq!(
        layouts.whole(SeriesId(3)).unwrap().len as usize,
        small.len()
    );
    let mut large = file(&[(60, 10_000)]);
    carry_on(&mut large, update(3), &mut layouts).unwrap();
    assert_eq!(layouts.whole(SeriesId(3)), None);
}

#[test]
fn a_file_that_was_seen_is_read_as_far_as_it_will_be_written() {
    for (archives, reads) in [
        (vec![(60, 1440)], 2),
        (vec![(60, 1440), (300, 2016)], 3),
        (vec![(60, 1440), (300, 2016), (3600, 800)], 4),
    ] {
        let mut layouts = Layouts::default();
        let mut file = file(&archives);
        let all = points(NOW - 80_000, 1000);
        for points in all.chunks(10) {
            carry_out(&mut file, points, &mut layouts).unwrap();
        }
        for point in points(NOW - 20_000, 300) {
            let written = Point {
                timestamp: point.timestamp - 60,
                ..point
            };
            let now = (NOW, &mut Planner::default());
            let foreseen = layouts.foresee(SeriesId(3), (&[point], Some(written)), now);
            assert!(foreseen.len() <= reads, "{foreseen:?}");
            let (operations, again) =
                carry_out_after(&mut file, (&[point], &[written]), &mut layouts).unwrap();
            assert_eq!((operations, again), (2, 0), "{foreseen:?}");
            let end = foreseen
                .iter()
                .map(|range| range.offset + u64::from(range.len));
            let header = Header::parse(&file).unwrap();
            let last = header.archives.last().unwrap();
            let interval = point.timestamp / last.step_s * last.step_s;
            let offset = usize::try_from(last.offset).unwrap();
            let base = file[offset..]
                .first_chunk()
                .copied()
                .map(u32::from_be_bytes);
            let slots = (interval - base.unwrap()) / last.step_s % last.points;
            let reach = last.offset + 12 * (u64::from(slots) + 1);
            assert_eq!(end.max(), Some(reach), "{foreseen:?}");
        }
    }
}

#[test]
fn a_replaced_file_gets_what_was_just_written_again() {
    let mut layouts = Layouts::default();
    let mut first = file(&[(60, 1440), (300, 2016)]);
    let all = points(NOW - 6000, 40);
    let (old, new) = all.split_at(30);
    let (new, newest) = new.split_at(9);
    carry_out(&mut first, old, &mut layouts).unwrap();
    let backup = first.clone();
    carry_out(&mut first, new, &mut layouts).unwrap();
    let done = carry_out_after(&mut first, (newest, new), &mut layouts);
    assert_eq!(done, Some((2, 0)), "nothing was replaced");
    // An older copy, a new file, one of another layout.
    let (mut copy, mut resized) = (backup, file(&[(60, 720), (300, 2016)]));
    carry_out(&mut resized, old, &mut Layouts::default()).unwrap();
    let done = carry_out_after(&mut copy, (newest, new), &mut layouts);
    assert_eq!((done, copy == first), (Some((2, 9)), true));
    let mut made = file(&[(60, 1440), (300, 2016)]);
    let (_, again) = carry_out_after(&mut made, (newest, new), &mut layouts).unwrap();
    let mut expected = file(&[(60, 1440), (300, 2016)]);
    carry_out(&mut expected, &all[30..], &mut Layouts::default());
    assert_eq!((again, made == expected), (9, true));
    let mut expected = resized.clone();
    carry_out(&mut expected, &all[30..], &mut Layouts::default());
    let (_, again) = carry_out_after(&mut resized, (newest, new), &mut layouts).unwrap();
    assert_eq!((again, resized == expected), (9, true));
}

/// Layouts and lengths that a number's file may come to have; whether it was cut short.
fn files() -> impl Strategy<Value = (Vec<u8>, bool)> {
    let archives = prop_oneof![
        Just(vec![(60, 1440), (300, 2016)]),
        Just(vec![(60, 720), (300, 2016)]),
        Just(vec![(60, 100)]),
        Just(vec![(10, 60), (60, 60), (300, 60)]),
        Just((0..8_u32).map(|level| (60 << level, 64)).collect()),
    ];
    let batches = prop::collection::vec((0..6000_u32, 1..9_u32), 0..4);
    (
        archives,
        batches,
        prop::option::weighted(0.2, 0..3000_usize),
    )
        .prop_map(|(archives, batches, cut)| {
            let mut bytes = file(&archives);
            for (age, count) in batches {
                let points = points(NOW - 600 - age, count);
                carry_out(&mut bytes, &points, &mut Layouts::default());
            }
            bytes.truncate(cut.unwrap_or(usize::MAX));
            (bytes, cut.is_some())
        })
}

proptest! {
    /// Resized, replaced, cut: whatever was remembered, what is written is what would have
    /// been written without a memory.
    #[test]
    fn memory_changes_nothing_that_is_written(
        files in prop::collection::vec(files(), 1..5),
        age in 0..6000_u32,
        count in 1..9_u32,
        is_whole in any::<bool>(),
    ) {
        let mut layouts = Layouts::default();
        let points = points(NOW - 600 - age, count);
        let now = Now {
            unix_seconds: NOW,
            ..clock::now()
        };
        for (file, is_cut) in files {
            let (mut with, mut without) = (file.clone(), file.clone());
            let update = Update::new(SeriesId(3), points.clone(), Vec::new(), now);
            let one = carry_on(&mut with, update.whole(is_whole), &mut layouts);
            let other = carry_out(&mut without, &points, &mut Layouts::default());
            if is_cut && (one.is_none() || other.is_none()) {
                // Who reads further sees its end more often, and leaves it alone.
                prop_assert!(one.is_some() || with == file);
                prop_assert!(other.is_some() || without == file);
                continue;
            }
            prop_assert_eq!(one.is_some(), other.is_some());
            prop_assert!(with == without);
        }
    }
}

#[test]
fn late_points_leave_a_coarse_slot_that_has_their_interval() {
    let mut file = file(&[(60, 10), (300, 100)]);
    let mut layouts = Layouts::default();
    let late_points = |values: [f64; 2]| -> Vec<Point> {
        let at = |age_s: u32, value| Point {
            timestamp: NOW - NOW % 300 - age_s,
            value,
        };
        vec![at(1500, values[0]), at(900, values[1]), at(0, 3.0)]
    };
    carry_out(&mut file, &late_points([1.0, 2.0])[..1], &mut layouts).unwrap();
    let now = Now {
        unix_seconds: NOW,
        ..clock::now()
    };
    let update = Update::new(SeriesId(3), late_points([8.0, 9.0]), Vec::new(), now);
    let outcome = carry_on(&mut file, update.late(true, false), &mut layouts).unwrap();
    let Outcome {
        written, spared, ..
    } = outcome.1;
    assert_eq!((written, spared), (2, 1));
    let values: Vec<f64> = (stored(&file, 1).iter()).map(|point| point.value).collect();
    assert_eq!(values, [1.0, 9.0]);
}

/// After a failed sync of the data such a slot may be seen by everybody, and on no disk: the kernel takes
/// it for clean. A start that left it alone lost it with the next power cut.
#[test]
fn late_points_make_no_aggregate_anew_of_what_a_finer_archive_has_left() {
    let end = NOW - NOW % 900;
    let at = |age_s: u32| Point {
        timestamp: end - age_s,
        value: f64::from(1200 - age_s),
    };
    let update = |points: Vec<Point>, now: u32| {
        let now = Now {
            unix_seconds: now,
            ..clock::now()
        };
        Update::new(SeriesId(3), points, Vec::new(), now)
    };
    let mut file = file(&[(60, 10), (300, 100), (900, 100)]);
    let mut empty = file.clone();
    let mut layouts = Layouts::default();
    for age_s in (240..=1200).rev().step_by(60) {
        let point = at(age_s);
        carry_on(
            &mut file,
            update(vec![point], point.timestamp + 1),
            &mut layouts,
        )
        .unwrap();
    }
    // The first archive has points up to ten minutes old.
    let now = end - 239;
    let before = [0, 1, 2].map(|archive| stored(&file, archive));
    let minutes = |ages: std::ops::RangeInclusive<u32>| ages.rev().step_by(60).map(at).collect();
    for is_seen in [false, true] {
        if !is_seen {
            layouts = Layouts::default();
        }
        let late: Vec<Point> = minutes(480..=900);
        let outcome = carry_on(&mut file, update(late, now).late(true, false), &mut layouts);
        assert_eq!(outcome.unwrap().1.spared, 2);
        assert_eq!([0, 1, 2].map(|archive| stored(&file, archive)), before);
    }
    // An interval that nothing is there of, or that is there whole, is made of what there is.
    carry_on(
        &mut empty,
        update(vec![at(240)], now),
        &mut Layouts::default(),
    )
    .unwrap();
    let changed = |point: Point| Point {
        value: point.value + 5.0,
        ..point
    };
    for (file, ages, age_s, value) in [
        (&mut empty, 660..=780, 900, 485.0),
        (&mut file, 360..=600, 600, 725.0),
    ] {
        let late: Vec<Point> = minutes(ages);
        let late = late.into_iter().map(changed).collect();
        carry_on(
            file,
            update(late, now).late(true, false),
            &mut Layouts::default(),
        )
        .unwrap();
        let coarse = stored(file, 1);
        let timestamp = end - age_s;
        assert!(coarse.contains(&Point { timestamp, value }), "{coarse:?}");
    }
}

#[test]
fn late_points_write_the_slot_that_they_leave_once_more() {
    let mut file = file(&[(60, 10), (300, 100)]);
    let mut layouts = Layouts::default();
    let at = |age_s: u32| Point {
        timestamp: NOW - NOW % 300 - age_s,
        value: f64::from(age_s),
    };
    carry_out(&mut file, &[at(1500)], &mut layouts).unwrap();
    let now = Now {
        unix_seconds: NOW,
        ..clock::now()
    };
    let mut planner = Planner::default();
    let late = vec![at(1500), at(1400)];
    let mut update = Update::new(SeriesId(3), late, Vec::new(), now).late(true, false);
    let known = (&layouts, &mut planner);
    let mut operation = update.open("/data/a.wsp".into(), Access::default(), known);
    let pieces = loop {
        let Some(outcome) = answered(&file, &operation) else {
            let FileOperation::Write { pieces, .. } = operation else {
                panic!("{operation:?}")
            };
            break pieces;
        };
        operation = match update.step(Ok(outcome), false, (&mut layouts, &mut planner)) {
            Step::Operation(operation) => operation,
            other @ (Step::Done(..) | Step::Wide(_) | Step::Failed(_)) => panic!("{other:?}"),
        };
    };
    let range = ByteRange {
        offset: Header::parse(&file).unwrap().archives[1].offset,
        len: 12,
    };
    assert_eq!(pieces, read(&file, &[range]));
    assert_eq!(pieces[0].bytes[4..], f64::to_be_bytes(1500.0));
}

/// A point for which a coarse slot was spared is among the recent ones of the next update.
#[test]
fn what_is_written_again_leaves_a_coarse_slot_alone_that_was_spared() {
    let mut file = file(&[(60, 10), (300, 100)]);
    let mut layouts = Layouts::default();
    let at = |age_s: u32, value: f64| Point {
        timestamp: NOW - NOW % 300 - age_s,
        value,
    };
    carry_out(&mut file, &[at(1500, 3.0)], &mut layouts).unwrap();
    let now = Now {
        unix_seconds: NOW,
        ..clock::now()
    };
    for (is_late, are_recent_late) in [(false, true), (true, true), (true, false), (false, false)] {
        // The newest is not in the file, as after a restore.
        let recent = vec![at(1500, 1.0), at(120, 2.0)];
        let update = Update::new(SeriesId(3), vec![at(60, 4.0)], recent, now);
        let update = update.late(is_late, are_recent_late);
        let mut file = file.clone();
        carry_on(&mut file, update, &mut layouts).unwrap();
        assert!(stored(&file, 0).contains(&at(120, 2.0)));
        let value = if are_recent_late { 3.0 } else { 1.0 };
        assert!(stored(&file, 1).contains(&at(1500, value)));
    }
}

#[test]
fn late_points_find_the_end_of_a_file_that_was_cut_short() {
    let whole = file(&[(60, 10), (300, 100)]);
    let header = Header::parse(&whole).unwrap();
    let [first, coarse] =
        [0, 1].map(|number| usize::try_from(header.archives[number].offset).unwrap());
    let late = [1500, 900].map(|age_s| Point {
        timestamp: NOW - NOW % 300 - age_s,
        value: 1.0,
    });
    // Its header is whole. It ends before the coarse archive, in its first slot, before the slots that
    // the points belong in, and before its own end.
    for is_filled in [false, true] {
        let mut sound = whole.clone();
        if is_filled {
            carry_out(&mut sound, &late[..1], &mut Layouts::default()).unwrap();
        }
        for length in [
            first + 12,
            coarse,
            coarse + 5,
            coarse + 12,
            coarse + 40,
            sound.len() - 1,
        ] {
            let now = Now {
                unix_seconds: NOW,
                ..clock::now()
            };
            for is_whole in [false, true] {
                let mut cut = sound[..length].to_vec();
                let update = Update::new(SeriesId(3), late.to_vec(), Vec::new(), now);
                let update = update.late(true, false).whole(is_whole);
                let done = carry_on(&mut cut, update, &mut Layouts::default());
                // Who reads all of it sees the end, who needs nothing of what lacks writes.
                let needs_more = length <= coarse + 12;
                assert!(
                    done.is_none() || !(is_whole || needs_more),
                    "cut to {length}"
                );
                assert!(done.is_some() || cut == sound[..length], "cut to {length}");
            }
        }
    }
}

#[test]
fn an_update_whose_reads_bring_nothing_fails_in_the_end() {
    let now = Now {
        unix_seconds: NOW,
        ..clock::now()
    };
    let (mut layouts, mut planner) = (Layouts::default(), Planner::default());
    let bytes = file(&[(60, 10), (300, 100)]);
    let late = points(NOW - 1500, 1);
    let mut update = Update::new(SeriesId(3), late, Vec::new(), now).late(true, false);
    let known = (&layouts, &mut planner);
    let opened = update.open("/data/a.wsp".into(), Access::default(), known);
    let FileOperation::Open { ranges, .. } = opened else {
        panic!("{opened:?}")
    };
    let pieces = read(&bytes, &ranges);
    let mut outcome = FileOutcome::Opened {
        visit: VISIT,
        pieces,
    };
    let mut reads = 0;
    loop {
        outcome = match update.step(Ok(outcome), false, (&mut layouts, &mut planner)) {
            // Neither what was asked for nor the end of the file.
            Step::Operation(FileOperation::Read { .. }) => FileOutcome::Read(Vec::new()),
            Step::Operation(FileOperation::Close { visit: VISIT }) => FileOutcome::Closed,
            Step::Failed(fault) => {
                assert!(matches!(fault, Fault::Restless), "{fault}");
                assert!(!fault.is_suspect());
                return;
            }
            other @ (Step::Operation(_) | Step::Done(..) | Step::Wide(_)) => panic!("{other:?}"),
        };
        reads += 1;
        assert!(reads <= UPDATE_READS_MAX + 1, "no end");
    }
}

/// What the first steps of an update ask to be read, and how many points it is to have, where those are too
/// many.
fn reads(file: &[u8], mut update: Update, layouts: &mut Layouts) -> (Vec<u64>, Option<u32>) {
    let mut planner = Planner::default();
    let mut asked = Vec::new();
    let mut operation = update.open(
        "/data/a.wsp".into(),
        Access::default(),
        (&*layouts, &mut planner),
    );
    loop {
        if let FileOperation::Open { ranges, .. } | FileOperation::Read { ranges, .. } = &operation
        {
            asked.push(ByteRange::total(ranges));
        }
        let Some(outcome) = answered(file, &operation) else {
            assert!(
                matches!(operation, FileOperation::Write { .. }),
                "{operation:?}"
            );
            return (asked, None);
        };
        operation = match update.step(Ok(outcome), false, (&mut *layouts, &mut planner)) {
            Step::Operation(operation) => operation,
            Step::Wide(points_max) => return (asked, Some(points_max)),
            other @ (Step::Done(..) | Step::Failed(_)) => panic!("{other:?}"),
        };
    }
}

#[test]
fn an_update_that_would_read_much_is_to_be_had_with_fewer_points() {
    let now = Now {
        unix_seconds: NOW,
        ..clock::now()
    };
    let hour = |number: u32| Point {
        timestamp: NOW - 3600 * number,
        value: 1.0,
    };
    let mut file = file(&[(1, 700_000), (3600, 1000)]);
    // The archives have begun, else nothing of them is read.
    carry_out(&mut file, &[hour(180)], &mut Layouts::default()).unwrap();
    let window = 3600 * 12;
    let points: Vec<Point> = (1..150).rev().map(hour).collect();
    for is_late in [false, true] {
        let mut layouts = Layouts::default();
        let mut first = |points: &[Point], recent: &[Point]| {
            let update = Update::new(SeriesId(3), points.to_vec(), recent.to_vec(), now);
            reads(&file, update.late(is_late, is_late), &mut layouts)
        };
        // Of a file that was not seen before, and of one that was.
        for _ in 0..2 {
            let (asked, points_max) = first(&points, &[]);
            let points_max = points_max.unwrap();
            assert!(asked.iter().all(|bytes| *bytes < UPDATE_READ_BYTES_MAX));
            assert!(
                (20..=26).contains(&points_max),
                "{points_max} of {} bytes",
                UPDATE_READ_BYTES_MAX / window
            );
            let (asked, wide) = first(&points[..points_max as usize], &[]);
            assert_eq!(wide, None);
            assert!(asked.iter().sum::<u64>() > window * 19);
        }
        // What a replaced file gets again cannot wait.
        let (asked, wide) = first(&points[140..], &points[..140]);
        assert_eq!(wide, None);
        assert!(asked.iter().any(|bytes| *bytes > UPDATE_READ_BYTES_MAX));
    }
}

#[test]
fn points_that_share_a_window_are_one_update_whatever_its_size() {
    let now = Now {
        unix_seconds: NOW,
        ..clock::now()
    };
    // A point of the second archive is made of 2.4 MB.
    let mut file = file(&[(1, 700_000), (200_000, 10)]);
    let day = |number: u32| Point {
        timestamp: NOW - 86_400 * number,
        value: 1.0,
    };
    carry_out(&mut file, &[day(7)], &mut Layouts::default()).unwrap();
    let mut layouts = Layouts::default();
    let mut first = |points: &[Point]| {
        let update = Update::new(SeriesId(3), points.to_vec(), Vec::new(), now);
        reads(&file, update, &mut layouts)
    };
    let minute = |number: u32| Point {
        timestamp: NOW - 60 * number,
        value: 1.0,
    };
    let hour: Vec<Point> = (1..60).rev().map(minute).collect();
    for _ in 0..2 {
        for points in [&[day(6)], [day(3), day(2)].as_slice(), &hour] {
            let (asked, wide) = first(points);
            assert_eq!(wide, None);
            assert!(asked.iter().any(|bytes| *bytes > UPDATE_READ_BYTES_MAX));
        }
        let wide = first(&[day(7), day(6), day(3), day(1)]).1;
        assert_eq!(wide, Some(2));
    }
}
