//! The budget in simulated time at every rate, from several askers; the room under real threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn base() -> Instant {
    crate::clock::now().instant
}

/// What `askers` askers, who ask in turn every `step`, are granted from `begin` on for `span`.
fn granted(budget: &Budget, begin: Instant, span: Duration, step: Duration, askers: u32) -> u64 {
    let mut sum = 0;
    let mut now = begin;
    while now < begin + span {
        for asker in 0..askers {
            let skew = Duration::from_micros(u64::from(asker) * 10);
            sum += u64::from(budget.grant(u32::MAX, now + skew));
        }
        now += step;
    }
    sum
}

#[test]
fn ten_seconds_give_ten_seconds_worth() {
    let rates = [
        1.0 / 60.0,
        0.8,
        5.0,
        9.5,
        15.0,
        19.9,
        20.0,
        333.0,
        500.0,
        50_000.0,
        3e6,
        7e6,
        1e7,
    ];
    for rate in rates {
        for askers in [1, 2, 8] {
            let begin = base();
            let budget = Budget::new(Some(rate), 0.1, begin);
            let step = Duration::from_micros(37_300);
            let ten = Duration::from_secs(10);
            granted(&budget, begin, ten, step, askers);
            let sum = granted(&budget, begin + ten, ten, step, askers);
            let expected = rate * 10.0;
            let error = (f64::from(u32::try_from(sum).unwrap()) - expected).abs();
            assert!(
                error <= 1.0 || error <= expected * 0.02,
                "{askers} askers at {rate}: {sum} of {expected}"
            );
        }
    }
}

#[test]
fn the_first_burst_is_a_tenth_of_a_second_or_one() {
    for (rate, burst) in [
        (1.0 / 60.0, 1),
        (1.0, 1),
        (19.0, 1),
        (20.0, 2),
        (500.0, 50),
        (1e7, 1_000_000),
    ] {
        let begin = base();
        let budget = Budget::new(Some(rate), 0.1, begin);
        assert_eq!(budget.grant(u32::MAX, begin), burst, "at {rate} a second");
        assert_eq!(budget.grant(1, begin), 0);
        let late = begin + Duration::from_secs(86_400 * 400);
        assert_eq!(
            budget.grant(u32::MAX, late),
            burst,
            "after an idle year at {rate} a second"
        );
    }
}

#[test]
fn next_at_is_the_moment_of_the_next_grant() {
    let begin = base();
    let budget = Budget::new(Some(7.0), 0.1, begin);
    assert_eq!(budget.next_at(begin), None);
    assert_eq!(budget.grant(9, begin), 1);
    let next = budget.next_at(begin).unwrap();
    assert!(next > begin && next <= begin + Duration::from_millis(143));
    assert_eq!(budget.grant(9, begin + (next - begin) / 1000 * 999), 0);
    assert_eq!(budget.next_at(next), None);
    assert_eq!(budget.grant(9, next), 1);
}

#[test]
fn no_limit_and_none_at_all() {
    let begin = base();
    let budget = Budget::new(None, 0.1, begin);
    assert_eq!(
        (budget.grant(u32::MAX, begin), budget.next_at(begin)),
        (u32::MAX, None)
    );
    budget.refund(5);
    budget.set_rate(Some(0.0), begin);
    assert_eq!(budget.grant(1, begin + Duration::from_secs(9)), 0);
    assert!(budget.next_at(begin).is_some());
    budget.set_rate(Some(100.0), begin + Duration::from_secs(9));
    assert_eq!(budget.grant(u32::MAX, begin + Duration::from_secs(9)), 10);
}

#[test]
fn a_rate_is_what_was_asked_for() {
    let begin = base();
    let budget = Budget::new(None, 0.1, begin);
    assert_eq!(budget.rate(), None);
    for rate in [BUDGET_RATE_MIN, 1.0 / 60.0, 1.0, 500.0, 1e7] {
        budget.set_rate(Some(rate), begin);
        let error = (budget.rate().unwrap() - rate).abs();
        assert!(error <= rate * 0.001, "{:?} for {rate}", budget.rate());
    }
    budget.set_rate(Some(0.0), begin);
    assert_eq!(budget.rate(), Some(0.0));
}

#[test]
fn a_new_rate_keeps_no_more_than_its_burst() {
    let begin = base();
    let budget = Budget::new(Some(1.0 / 60.0), 0.1, begin);
    assert_eq!(budget.grant(5, begin), 1);
    let later = begin + Duration::from_secs(59);
    budget.set_rate(Some(1000.0), later);
    assert_eq!(budget.grant(u32::MAX, later), 100);
    budget.set_rate(Some(1.0), later);
    assert_eq!(budget.grant(u32::MAX, later), 0);
    assert_eq!(
        budget.grant(u32::MAX, later + Duration::from_millis(1001)),
        1
    );
}

#[test]
fn what_is_ready_is_what_would_be_granted() {
    let begin = base();
    for rate in [None, Some(0.0), Some(1.0 / 60.0), Some(500.0), Some(1e7)] {
        let budget = Budget::new(rate, 0.1, begin);
        for step in 0..50 {
            let now = begin + step * Duration::from_micros(2_700);
            let ready = budget.ready(40, now);
            assert_eq!(budget.grant(40, now), ready, "{rate:?} after {step} steps");
        }
    }
}

#[test]
fn a_refund_is_granted_again_once() {
    let begin = base();
    let budget = Budget::new(Some(500.0), 0.1, begin);
    assert_eq!(budget.grant(50, begin), 50);
    budget.refund(20);
    assert_eq!(budget.grant(50, begin), 20);
    budget.refund(u32::MAX);
    assert_eq!(budget.grant(u32::MAX, begin), 50);
}

/// Asks until nothing is granted.
fn drain(budget: &Budget, wanted: u32, now: Instant, sum: &AtomicU64) {
    let mut granted = 1;
    while granted > 0 {
        granted = budget.grant(wanted, now);
        sum.fetch_add(u64::from(granted), Ordering::Relaxed);
    }
}

#[test]
fn threads_share_a_burst_exactly() {
    let begin = base();
    let budget = Budget::new(Some(1e6), 0.1, begin);
    let sum = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for wanted in [1, 2, 3, 7, 1, 64, 5, 11] {
            let (budget, sum) = (&budget, &sum);
            scope.spawn(move || drain(budget, wanted, begin, sum));
        }
    });
    assert_eq!(sum.load(Ordering::Relaxed), 100_000);
}

proptest! {
    #[test]
    fn no_stretch_gets_more_than_its_rate_and_a_burst(
        rate in 0.02f64..20_000.0,
        asks in prop::collection::vec((0u64..300_000, 1u32..500), 1..200),
    ) {
        let begin = base();
        let budget = Budget::new(Some(rate), 0.1, begin);
        let burst = (rate * 0.1).max(1.0);
        let mut now = begin;
        let mut grants = Vec::new();
        for (micros, wanted) in asks {
            now += Duration::from_micros(micros);
            let promised = budget.next_at(now).is_none();
            let got = budget.grant(wanted, now);
            prop_assert_eq!(promised, got > 0);
            grants.push((now, f64::from(got)));
        }
        for from in 0..grants.len() {
            let mut sum = 0.0;
            for (at, got) in &grants[from..] {
                sum += got;
                let span = at.duration_since(grants[from].0).as_secs_f64();
                // The part of a grant that is saved up beside a small burst is the one more.
                prop_assert!(sum <= span * rate * 1.001 + burst + 1.0);
            }
        }
    }
}

#[test]
fn room_is_exact_and_reading_goes_on_below_the_low_mark() {
    let room = Room::new(Some(100), u64::MAX);
    assert_eq!(room.take(60), 60);
    assert!(!room.is_full());
    assert_eq!(room.take(60), 40);
    assert!(room.is_full() && !room.try_take());
    room.give(5);
    assert!(room.is_full(), "95 is not below the low mark");
    assert_eq!(room.take(1), 0, "what is free is for nobody yet");
    room.give(1);
    assert!(!room.is_full() && room.has_room());
    room.take_anyway(20);
    assert!(room.is_full());
    assert_eq!((room.points(), room.take(3)), (114, 0));
    room.give(114);
    assert!(!room.is_full());
}

#[test]
fn below_its_bound_a_full_room_is_open_to_what_comes_back_and_where_nobody_waits() {
    let room = Room::new(Some(100), 1000);
    room.add_bytes(1000);
    room.add_bytes(-10);
    assert_eq!((room.take(1), room.take_returning(1)), (0, 1));
    // Points are written, and what comes back waits for that like everybody.
    let room = Room::new(Some(100), 1 << 30);
    assert_eq!(room.take(101), 100);
    room.give(1);
    assert_eq!((room.take(1), room.take_returning(2)), (0, 0));
    let room = Room::new(Some(100), 1 << 30).without_low_mark();
    assert_eq!(room.take(101), 100);
    assert!(room.is_full());
    room.give(1);
    assert!(!room.is_full(), "there is a place");
    assert_eq!(room.take(2), 1);
    assert!(room.is_full());
}

#[test]
fn bytes_bound_softly() {
    let room = Room::new(None, 1000);
    room.add_bytes(999);
    assert!(!room.is_full() && room.try_take());
    room.add_bytes(200);
    assert!(room.is_full());
    assert_eq!(room.take(10), 0);
    room.add_bytes(-249);
    assert!(room.is_full(), "950 is not below the low mark");
    room.add_bytes(-1);
    assert!(!room.is_full());
    assert_eq!(room.take(u32::MAX), u32::MAX);
    assert_eq!(room.bytes(), 949);
}

#[test]
fn a_bound_of_one_point_still_opens_again() {
    let room = Room::new(Some(1), 1 << 30);
    assert!(room.try_take() && !room.try_take() && room.is_full());
    room.give(1);
    assert!(!room.is_full());
}

fn take_and_give(room: &Room, wanted: u32, passed: &AtomicBool) {
    for _ in 0..20_000 {
        let granted = room.take(wanted);
        passed.fetch_or(room.points() > 50, Ordering::Relaxed);
        room.give(u64::from(granted));
    }
}

#[test]
fn threads_never_pass_the_bound_and_never_stay_full() {
    let room = Room::new(Some(50), 1 << 30);
    let passed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for wanted in [1u32, 3, 20, 49] {
            let (room, passed) = (&room, &passed);
            scope.spawn(move || take_and_give(room, wanted, passed));
        }
    });
    assert!(!passed.load(Ordering::Relaxed));
    assert_eq!(room.points(), 0);
    assert!(!room.is_full(), "full with nothing in it");
}

#[test]
fn only_where_all_shards_leave_all_their_points_nothing_makes_room() {
    let room = Room::new(Some(10), 1 << 30);
    assert!(room.is_all_left());
    assert_eq!(room.take(8), 8);
    room.note_left(0, 5);
    assert!(!room.is_all_left());
    room.note_left(0, 3);
    assert!(room.is_all_left());
    room.note_left(5, 0);
    assert!(!room.is_all_left());
}
