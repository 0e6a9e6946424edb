//! Points of a series in any order of arrival, against a BTreeMap.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::points::{Blocks, Put, Run};
use super::*;

/// Puts everything in, and compares each answer and the outcome with a map.
fn check(timestamps: impl IntoIterator<Item = u32>) -> (Blocks, Run) {
    let mut blocks = Blocks::default();
    let mut run = Run::default();
    let mut model = BTreeMap::new();
    for (index, timestamp) in timestamps.into_iter().enumerate() {
        let value = f64::from(u32::try_from(index).unwrap());
        assert_eq!(
            blocks.has(7, &run, timestamp),
            model.contains_key(&timestamp)
        );
        let put = blocks.put(7, &mut run, point(timestamp, value));
        let was_there = model.insert(timestamp, value).is_some();
        assert_eq!(put == Put::Replaced, was_there, "second {timestamp}");
    }
    let mut out = Vec::new();
    blocks.read_all(7, &run, &mut out);
    let expected: Vec<Point> = model.iter().map(|(at, value)| point(*at, *value)).collect();
    assert_eq!(out, expected);
    assert_eq!(
        run.len() + blocks.late_len(7),
        u32::try_from(model.len()).unwrap()
    );
    (blocks, run)
}

proptest! {
    #[test]
    fn any_order_of_arrival(
        timestamps in prop::collection::vec(0u32..400, 0..700),
        in_order in 0usize..700,
        put_back in any::<bool>(),
    ) {
        let mut timestamps = timestamps;
        let sorted = in_order.min(timestamps.len());
        timestamps[..sorted].sort_unstable();
        let (mut blocks, mut run) = check(timestamps);
        let mut before = Vec::new();
        blocks.read_all(7, &run, &mut before);
        let mut out = Vec::new();
        let mut flight = blocks.detach(7, &mut run, &mut out);
        prop_assert_eq!(&out, &before);
        prop_assert_eq!((run.len(), blocks.late_len(7)), (0, 0));
        if put_back {
            flight = blocks.attach(7, flight);
            for wanted in &before {
                prop_assert_eq!(blocks.put(7, &mut flight, *wanted), Put::Replaced);
            }
            prop_assert!(!blocks.has(7, &flight, 400));
            blocks.clear(7, &mut flight);
        } else {
            blocks.release(flight);
        }
        prop_assert_eq!(blocks.used_bytes(), Blocks::default().used_bytes() + slack(&blocks));
    }
}

/// Values of which each takes eight bytes: none has a byte in common with the one before.
fn wide(index: u32) -> f64 {
    let byte = u64::from(index % 2) * 0x5a + 0x11;
    f64::from_bits(byte * 0x0101_0101_0101_0101)
}

#[test]
fn a_run_shrinks_from_more_blocks_than_are_counted() {
    for (points, popped) in [(1018, 1), (1018, 10), (1100, 100), (3000, 2990)] {
        let (mut blocks, mut run) = (Blocks::default(), Run::default());
        for at in 1..=points {
            blocks.put(7, &mut run, point(at, wide(at)));
        }
        // The newest come again with the value before theirs, which takes a byte.
        for at in (points - popped.min(7) + 1..=points).rev() {
            let put = blocks.put(7, &mut run, point(at, wide(at - 1)));
            assert_eq!(put, Put::Replaced);
        }
        let cut = blocks.split(7, &mut run, points - popped + 1);
        assert_eq!((cut.len(), run.len()), (popped as usize, points - popped));
        blocks.clear(7, &mut run);
        assert_eq!(
            blocks.used_bytes(),
            Blocks::default().used_bytes() + slack(&blocks)
        );
    }
}

proptest! {
    /// The oldest points go, some each time, and others come in between.
    #[test]
    fn the_oldest_are_taken_away_bit_by_bit(
        steps in prop::collection::vec(
            (prop::collection::vec(0u32..2000, 0..400), any::<bool>(), 1u32..300),
            1..12,
        ),
    ) {
        let (mut blocks, mut run) = (Blocks::default(), Run::default());
        let mut model = BTreeMap::new();
        let mut value = 0.0;
        for (mut timestamps, is_sorted, most) in steps {
            if is_sorted {
                timestamps.sort_unstable();
            }
            for timestamp in timestamps {
                value += 1.0;
                let put = blocks.put(7, &mut run, point(timestamp, value));
                let was_there = model.insert(timestamp, value).is_some();
                prop_assert_eq!(put == Put::Replaced, was_there);
            }
            let oldest = blocks.oldest(7, &run, most);
            let expected: Vec<Point> = model.iter().map(|(at, value)| point(*at, *value)).collect();
            let seen = expected.len().min(most as usize);
            prop_assert_eq!(&oldest[..], &expected[..seen]);
            let Some(cut) = oldest.last().map(|last| last.timestamp) else {
                continue;
            };
            let mut out = Vec::new();
            let older = blocks.detach_before(7, &mut run, (cut, &mut out));
            prop_assert_eq!(&out[..], &expected[..seen - 1]);
            let mut read = Vec::new();
            blocks.read(&older, &mut read);
            prop_assert_eq!(read, out);
            blocks.release(older);
            model = model.split_off(&cut);
            let mut left = Vec::new();
            blocks.read_all(7, &run, &mut left);
            prop_assert_eq!(&left[..], &expected[seen - 1..]);
            prop_assert_eq!(run.len() + blocks.late_len(7), u32::try_from(left.len()).unwrap());
            for one in left.iter().step_by(7) {
                prop_assert!(blocks.has(7, &run, one.timestamp));
                prop_assert!(!blocks.has(7, &run, 2000));
            }
        }
        let flight = blocks.detach(7, &mut run, &mut Vec::new());
        blocks.release(flight);
        prop_assert_eq!(blocks.used_bytes(), Blocks::default().used_bytes() + slack(&blocks));
    }
}

#[test]
fn taking_the_oldest_away_is_not_quadratic() {
    let begin = begin();
    for is_reversed in [false, true] {
        let (mut blocks, mut run) = (Blocks::default(), Run::default());
        let count = 400_000u32;
        for index in 0..count {
            let at = if is_reversed {
                count - 1 - index
            } else {
                index
            };
            blocks.put(7, &mut run, point(at, 1.0));
        }
        for taken in (0..count - 100).step_by(100) {
            assert_eq!(
                blocks.oldest(7, &run, 101).last(),
                Some(&point(taken + 100, 1.0))
            );
            let mut out = Vec::new();
            let older = blocks.detach_before(7, &mut run, (taken + 100, &mut out));
            assert_eq!(out.len(), 100);
            blocks.release(older);
        }
        assert_eq!(run.len() + blocks.late_len(7), 100);
    }
    // Who steps over all that stay does it four thousand times.
    assert!(
        begin.elapsed() < Duration::from_secs(60),
        "took {:?}",
        begin.elapsed()
    );
}

/// Lists that stay when all points are gone.
fn slack(blocks: &Blocks) -> usize {
    assert!(
        blocks.used_bytes() < 4096,
        "{} bytes stay",
        blocks.used_bytes()
    );
    blocks.used_bytes()
}

#[test]
fn the_worst_orders_are_not_quadratic() {
    let count = 100_000u32;
    let begin = begin();
    check((0..count).rev());
    // 7,919 is prime to the count: every second once, far apart.
    check(
        (0..count).map(|index| u32::try_from(u64::from(index) * 7_919 % u64::from(count)).unwrap()),
    );
    check((0..count).chain((0..count).rev()));
    // A quadratic insert would take many minutes here, a debug build takes seconds.
    assert!(
        begin.elapsed() < Duration::from_secs(60),
        "took {:?}",
        begin.elapsed()
    );
}

#[test]
fn points_a_little_late_take_no_tree() {
    let order = (0..10_000u32).map(|index| index ^ 1);
    let (blocks, run) = check(order);
    assert!(blocks.late_len(7) < 2_500, "{} late", blocks.late_len(7));
    assert!(run.len() > 7_500);
    let (blocks, _) = check([6, 5, 4, 3, 2, 1, 7, 9, 8]);
    assert_eq!(blocks.late_len(7), 0);
}
