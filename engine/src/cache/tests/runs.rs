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
