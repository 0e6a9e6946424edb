//! When room ends, and until when a series has points of an earlier run.

use super::*;
use crate::cache::{CacheConfig, Strategy};

#[test]
fn new_names_of_one_turn_stop_at_the_bound_in_bytes() {
    let bytes_max = 1 << 20;
    let cache = Cache::new(CacheConfig {
        recent_bytes_max: bytes_max,
        waiting_bytes_max: bytes_max,
        ..CacheConfig::new(Strategy::Sorted, crate::clock::now().instant)
    });
    let mut ledger = Ledger::new(cache, Arc::new(Room::new(None, bytes_max)), None);
    let point = Point {
        timestamp: 1,
        value: 1.0,
    };
    let mut names = 0_u32;
    while ledger.reserve() {
        ledger.insert(&format!("name{names}"), point, Counter::Received);
        names += 1;
        assert!(names < 100_000, "the bound is never met");
    }
    let bytes = ledger.usage().bytes;
    assert!(
        (bytes_max..bytes_max / 10 * 11).contains(&bytes),
        "{bytes} bytes of {bytes_max} after {names} names"
    );
}

#[test]
fn what_comes_back_passes_the_low_mark_only_where_nothing_is_left_to_write() {
    let now = crate::clock::now().instant;
    let bytes_max = 1_i64 << 24;
    let room = Arc::new(Room::new(None, bytes_max.unsigned_abs()));
    let cache = Cache::new(CacheConfig::new(Strategy::Sorted, now));
    let mut ledger = Ledger::new(cache, Arc::clone(&room), None);
    assert!(ledger.reserve_recalled());
    let id = ledger.recall("a", point(100), 5);
    ledger.set_standing(id, Standing::Writable);
    ledger.settle(now);
    room.add_bytes(bytes_max - room.bytes());
    room.add_bytes(-bytes_max / 50);
    assert!(room.is_closed(), "between the low mark and the bound");
    assert!(!ledger.reserve_recalled(), "a point is to be written");
    let written = ledger.take(id, None).len() as u64;
    assert!(!ledger.reserve_recalled(), "it is on its way");
    let outcome = Outcome {
        written,
        ..Outcome::default()
    };
    ledger.written(id, &outcome, now);
    assert!(!ledger.reserve() && ledger.reserve_recalled());
    // That did not lead to the mark, so that no further write is waited for, until it is reached.
    ledger.recall_known(id, point(110), 5);
    ledger.settle(now);
    assert!(ledger.owes(id) && ledger.reserve_recalled());
    ledger.settle(now);
    room.add_bytes(-bytes_max / 10);
    assert!(!room.is_closed() && ledger.reserve_recalled());
    ledger.settle(now);
    room.add_bytes(bytes_max / 10 + bytes_max / 50);
    room.add_bytes(-bytes_max / 50);
    assert!(room.is_closed() && !ledger.reserve_recalled());
}

/// A series with a point that came back, whose update is under way, and what that writes.
fn taken_late() -> (Ledger, SeriesId, Outcome) {
    let cache = Cache::new(CacheConfig::new(
        Strategy::Sorted,
        crate::clock::now().instant,
    ));
    let mut ledger = Ledger::new(cache, Arc::new(Room::new(None, 1 << 30)), None);
    assert!(ledger.reserve());
    let id = ledger.recall("a", point(100), 5);
    ledger.set_standing(id, Standing::Writable);
    let written = ledger.take(id, None).len() as u64;
    assert!(ledger.is_late(id) && ledger.reserve());
    let outcome = Outcome {
        written,
        ..Outcome::default()
    };
    (ledger, id, outcome)
}

fn point(timestamp: u32) -> Point {
    Point {
        timestamp,
        value: 1.0,
    }
}

#[test]
fn a_series_is_late_until_what_came_back_is_written() {
    let now = crate::clock::now().instant;
    let (mut ledger, id, outcome) = taken_late();
    ledger.insert_known(id, point(110), Counter::Received);
    ledger.written(id, &outcome, now);
    assert!(!ledger.is_late(id), "what is left was received by this run");
    // The recall may be over before the write is.
    let (mut ledger, id, outcome) = taken_late();
    ledger.recall_known(id, point(110), 5);
    ledger.end_recall();
    ledger.written(id, &outcome, now);
    assert!(ledger.is_late(id), "what is left came back behind the take");
}

#[test]
fn names_of_forgotten_series_are_of_no_use_to_the_journal() {
    let (now, bytes_max) = (crate::clock::now(), 1_i64 << 24);
    let room = Arc::new(Room::new(None, bytes_max.unsigned_abs()));
    let cache = Cache::new(CacheConfig::new(Strategy::Sorted, now.instant));
    let journal = Journal::new(crate::journal::tests::config(), now, 1);
    let mut ledger = Ledger::new(cache, Arc::clone(&room), Some(journal));
    assert!(ledger.reserve());
    let id = ledger.insert("a", point(100), Counter::Received).series();
    ledger.set_standing(id, Standing::Writable);
    let written = ledger.take(id, None).len() as u64;
    let outcome = Outcome {
        written,
        ..Outcome::default()
    };
    ledger.written(id, &outcome, now.instant);
    let has_name = |ledger: &Ledger| ledger.journal().unwrap().has_named(id);
    room.add_bytes(bytes_max);
    for minutes in 1..=30 {
        assert!(has_name(&ledger) || !ledger.is_known(id));
        ledger.settle(now.instant + Duration::from_secs(60 * minutes));
    }
    assert!(!ledger.is_known(id) && !has_name(&ledger));
    assert_eq!(ledger.forgotten(), []);
}
