//! What is written of a point is read bit for bit, and how many bytes it takes.

use proptest::prelude::*;
use proptest::strategy::Strategy as Generate;

use super::super::encoding::{
    ENTRY_BYTES_MAX, FAR, FILLER, Token, is_time, read_time, read_value, time, value,
};
use super::super::points::{BLOCK_BYTES, Blocks, Put, Run};
use super::super::run::blocks_for;
use super::*;

/// A token as a reader finds it: only the payload's own bytes, others' beside them.
fn found(token: Token) -> u64 {
    match token.payload_len() {
        0 => 0,
        len => token.payload << (8 * (8 - len)) >> (8 * (8 - len)),
    }
}

/// Bytes that the older value takes before the newer one; it must come back.
fn bytes_of(older: f64, newer: f64) -> usize {
    let token = value(older.to_bits(), newer.to_bits());
    assert!(!is_time(token.tag) && token.tag != FILLER);
    let back = read_value(token.tag, found(token), newer.to_bits());
    assert_eq!(
        back,
        older.to_bits(),
        "{older:?} before {newer:?} came back as {:?}",
        f64::from_bits(back)
    );
    token.len()
}

#[test]
fn a_value_sent_again_is_a_byte() {
    for same in [0.0, -0.0, 1.5, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE] {
        assert_eq!(bytes_of(same, same), 1);
    }
}

#[test]
fn whole_numbers_take_their_bits_and_four() {
    let far = 0.5;
    for (number, bytes) in [
        (0.0, 1),
        (15.0, 1),
        (16.0, 2),
        (4095.0, 2),
        (4096.0, 3),
        (1_048_575.0, 3),
        (1_048_576.0, 4),
        (268_435_455.0, 4),
        (268_435_456.0, 5),
        (68_719_476_736.0, 6),
        (17_592_186_044_416.0, 7),
        (4_503_599_627_370_495.0, 7),
    ] {
        assert_eq!(bytes_of(number, far), bytes, "{number}");
    }
}

#[test]
fn counters_take_what_they_grew_by() {
    let begin = 123_456_789_012.0;
    for (grown, bytes) in [(7.0, 1), (8.0, 1), (9.0, 2), (-8.0, 2), (2048.0, 2)] {
        assert_eq!(bytes_of(begin, begin + grown), bytes, "{grown}");
    }
    assert_eq!(bytes_of(begin, begin + 500_000.0), 3);
    assert_eq!(bytes_of(begin, begin + 100_000_000.0), 4);
    assert_eq!(
        bytes_of(begin, begin + 1e9),
        6,
        "no shorter than the number"
    );
    assert_eq!(bytes_of(-3.0, 0.5), 2);
    assert_eq!(bytes_of(-3.0, -1.0), 1);
}

#[test]
fn few_digits_take_few_bytes() {
    for (fraction, bytes) in [
        (0.1, 2),
        (-0.5, 2),
        (12.34, 3),
        (99.999, 4),
        (0.000_001, 2),
        (2.718_593, 4),
        (-1.234_567, 4),
        (20_000_000.25, 5),
    ] {
        assert_eq!(bytes_of(fraction, 7.75), bytes, "{fraction}");
    }
}

#[test]
fn any_other_double_takes_the_bits_that_differ() {
    let third = 1.0 / 3.0;
    assert_eq!(bytes_of(third, 0.0), 9);
    assert_eq!(bytes_of(third, f64::from_bits(third.to_bits() ^ 0xff)), 2);
    assert_eq!(bytes_of(f64::from(0.1_f32), 0.0), 6);
    assert_eq!(bytes_of(f64::INFINITY, 0.0), 3);
    assert_eq!(bytes_of(-0.0, 0.0), 2);
    assert_eq!(bytes_of(f64::from_bits(1), 0.0), 2);
    for odd in odd_values() {
        for other in odd_values() {
            bytes_of(odd, other);
        }
    }
}

fn odd_values() -> Vec<f64> {
    let mut values = vec![
        0.0,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::from_bits(0x000f_ffff_ffff_ffff),
        f64::MAX,
        f64::INFINITY,
        f64::NAN,
        f64::from_bits(0x7ff0_0000_0000_0001),
        f64::from_bits(0x7fff_ffff_ffff_ffff),
        f64::EPSILON,
        0.3,
        0.1 + 0.2,
        1e-6,
        1e-7,
        214.748_364_7,
        0.002_147_483_648,
        9e15,
        1e22,
    ];
    for power in 0..64 {
        let near = 2.0_f64.powi(power);
        values.extend([near - 1.0, near, near + 1.0, near + 0.5, near * 0.1]);
    }
    let negative: Vec<f64> = values.iter().map(|value| -value).collect();
    values.extend(negative);
    values
}

#[test]
fn a_steady_step_costs_nothing_and_others_little() {
    let bytes = |back_s, older, newer| {
        let token: Option<Token> = time(back_s, older, newer);
        if let Some(token) = token {
            assert!(is_time(token.tag));
            assert_eq!(read_time(token.tag, found(token), newer), (back_s, older));
        }
        token.map_or(0, Token::len)
    };
    assert_eq!(bytes(10, 10, 10), 0);
    for older in 2..=18 {
        assert_eq!(bytes(10, older, 10), usize::from(older != 10));
    }
    for (older, newer) in [(1, 10), (19, 10), (10, 60), (65_535, 1), (1, 65_535)] {
        assert_eq!(bytes(u32::from(newer), older, newer), 3);
    }
    assert_eq!(bytes(10, FAR, 10), 3, "what came before was far");
    assert_eq!(bytes(5, FAR, 5), 3, "and none of the near ones");
    assert_eq!(bytes(70_000, 10, FAR), 7);
    assert_eq!(bytes(u32::MAX, FAR, FAR), 7);
}

/// Values as they come, and as they should not.
fn any_value() -> impl Generate<Value = f64> {
    prop_oneof![
        4 => (0i32..1_000_000).prop_map(f64::from),
        4 => (-20i32..20).prop_map(f64::from),
        4 => (-100_000i32..100_000).prop_map(|value| f64::from(value) / 100.0),
        2 => (any::<i32>(), 0i32..9).prop_map(|(value, digits)| f64::from(value) / 10f64.powi(digits)),
        2 => any::<u64>().prop_map(f64::from_bits),
        1 => any::<i64>().prop_map(|value| {
            #[expect(clippy::cast_precision_loss, reason = "any whole double will do")]
            let value = value as f64;
            value
        }),
        1 => any::<f32>().prop_map(f64::from),
        1 => prop::sample::select(odd_values()),
    ]
}

fn any_step() -> impl Generate<Value = u32> {
    prop_oneof![
        8 => Just(10u32),
        3 => 1u32..30,
        1 => 1u32..70_000,
        1 => 65_530u32..65_540,
        1 => 1u32..10_000_000,
    ]
}

/// Points in order, of few kinds of values or of all.
fn any_points() -> impl Generate<Value = Vec<Point>> {
    let calm = (any_step(), any_value(), 1usize..300)
        .prop_map(|(step, value, count)| vec![(step, value); count]);
    let wild = prop::collection::vec((any_step(), any_value()), 0..300);
    prop_oneof![1 => calm, 4 => wild].prop_map(|steps| {
        let mut timestamp = 0u32;
        steps
            .into_iter()
            .map(|(step, value)| {
                timestamp = timestamp.saturating_add(step);
                point(timestamp, value)
            })
            .collect()
    })
}

fn bits(points: &[Point]) -> Vec<(u32, u64)> {
    points
        .iter()
        .map(|point| (point.timestamp, point.value.to_bits()))
        .collect()
}

proptest! {
    #[test]
    fn every_pair_of_doubles_comes_back(older in any_value(), newer in any_value()) {
        prop_assert!(bytes_of(older, newer) <= 9);
        let token = value(older.to_bits(), newer.to_bits());
        prop_assert!(token.len() + 7 <= ENTRY_BYTES_MAX);
    }

    #[test]
    fn every_pair_of_steps_comes_back(back_s in 1u32.., older in any::<u16>(), newer in 1u16..) {
        for (back_s, newer) in [(back_s.max(65_536), FAR), (u32::from(newer), newer)] {
            if let Some(token) = time(back_s, older, newer) {
                prop_assert_eq!(read_time(token.tag, found(token), newer), (back_s, older));
            } else {
                prop_assert_eq!(older, newer);
            }
        }
    }

    #[test]
    fn a_run_reads_as_it_was_pushed(points in any_points(), cut in 0usize..300) {
        let mut blocks = Blocks::default();
        let mut run = Run::default();
        for (index, one) in points.iter().enumerate() {
            blocks.put(3, &mut run, *one);
            prop_assert_eq!(run.len() as usize, index + 1);
        }
        let mut out = Vec::new();
        blocks.read(&run, &mut out);
        prop_assert_eq!(bits(&out), bits(&points));
        prop_assert_eq!(blocks.run_bytes(&run), u64::from(blocks_for(&points)) * BLOCK_BYTES as u64);
        prop_assert_eq!(blocks.run_bytes(&run), blocks.point_bytes());

        // Every second once more, the newest last: replaced, and nothing is lost of the others.
        let cut = cut.min(points.len());
        for one in &points[cut..] {
            let put = blocks.put(3, &mut run, point(one.timestamp, -one.value));
            prop_assert_eq!(put, Put::Replaced);
        }
        out.clear();
        blocks.read_all(3, &run, &mut out);
        let expected: Vec<Point> = points
            .iter()
            .enumerate()
            .map(|(index, one)| {
                let value = if index < cut { one.value } else { -one.value };
                point(one.timestamp, value)
            })
            .collect();
        prop_assert_eq!(bits(&out), bits(&expected));
        prop_assert_eq!((run.len() as usize, blocks.late_len(3)), (points.len(), 0));

        out.clear();
        let whole = blocks.detach(3, &mut run, &mut out);
        prop_assert_eq!(bits(&out), bits(&expected));
        blocks.release(whole);
        prop_assert_eq!(blocks.point_bytes(), 0);
    }

    #[test]
    fn what_fits_fits(points in any_points(), bytes in 0u64..2000) {
        let kept = Blocks::newest_in(&points, bytes);
        let taken = u64::from(blocks_for(&points[points.len() - kept..])) * BLOCK_BYTES as u64;
        prop_assert!(taken <= bytes && kept >= points.len().min(1));
        // At the worst a block holds two points.
        prop_assert!(kept == points.len() || kept as u64 > bytes / BLOCK_BYTES as u64 * 2);
    }
}

#[test]
fn a_long_run_keeps_its_landmarks_through_pops() {
    let mut blocks = Blocks::default();
    let mut run = Run::default();
    // Two senders a few points apart: at every length the newest points go and come again.
    for second in 0..3_000u32 {
        let at = second ^ 5;
        blocks.put(1, &mut run, point(at, f64::from(at) / 7.0));
        blocks.put(1, &mut run, point(at, (f64::from(at) + 0.1).sqrt()));
    }
    assert_eq!(blocks.late_len(1), 0);
    for second in 0..3_000u32 {
        assert!(blocks.has(1, &run, second), "second {second}");
    }
    let mut out = Vec::new();
    let whole = blocks.detach(1, &mut run, &mut out);
    assert_eq!(out.len(), 3_000);
    assert!(blocks.run_bytes(&whole) > 255 * BLOCK_BYTES as u64);
    let mut run = blocks.attach(1, whole);
    for second in (0..3_000u32).rev() {
        let put = blocks.put(1, &mut run, point(second, 1.0));
        assert_eq!(put, Put::Replaced);
    }
    assert_eq!(blocks.late_len(1), 0);
    blocks.clear(1, &mut run);
    assert_eq!(blocks.point_bytes(), 0);
}
