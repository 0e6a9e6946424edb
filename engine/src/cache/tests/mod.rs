//! Tests of the cache: single promises here, random operations in `model`, the write orders against
//! Python's in `orders`, points in any order in `runs`, what is written of a point in `encoding`,
//! series by number in `links`, who is passed over in `starved`, ages and the order `deadline` in
//! `deadline`, who is not held in `backfill`, that of the disk in `sweep`, several data directories in `volumes`,
//! series of very many points in `unfinished`.

mod backfill;
mod deadline;
mod encoding;
mod links;
mod model;
mod orders;
mod runs;
mod starved;
mod sweep;
mod unfinished;
mod volumes;

use std::time::{Duration, Instant};

use super::series::SERIES_BYTES;
use super::*;
use crate::limits::{FORGOTTEN_PER_TURN_MAX, LAST_LET_GO_PER_TURN_MAX, LAST_S, PARKED_RESERVE};

fn config(strategy: Strategy) -> CacheConfig {
    CacheConfig {
        seed: 42,
        ..CacheConfig::new(strategy, begin())
    }
}

/// The share of which series that wait for their create hold so much at most.
fn share_of_waiting(most: u64) -> u64 {
    most + most / (PARKED_RESERVE - 1)
}

fn point(timestamp: u32, value: f64) -> Point {
    Point { timestamp, value }
}

/// This moment, on a wall clock that stands still.
pub(super) fn at(instant: Instant) -> Now {
    let unix_seconds = 0;
    Now {
        instant,
        unix_seconds,
    }
}

fn begin() -> Instant {
    crate::clock::now().instant
}

fn put(cache: &mut Cache, name: &str, timestamp: u32) -> SeriesId {
    cache.insert(name, point(timestamp, 1.0)).outcome.series()
}

fn stand(cache: &mut Cache, id: SeriesId, standing: Standing) {
    assert_eq!(cache.set_standing(id, standing), Dropped::default());
}

fn seen(cache: &Cache, id: SeriesId) -> Vec<(u32, f64)> {
    let mut out = Vec::new();
    cache.points(id, &mut out);
    out.iter()
        .map(|point| (point.timestamp, point.value))
        .collect()
}

fn taken(cache: &mut Cache, id: SeriesId) -> Vec<u32> {
    let mut out = Vec::new();
    cache.take(id, &mut out);
    out.iter().map(|point| point.timestamp).collect()
}

#[test]
fn a_point_is_visible_from_insert_until_five_seconds_after_its_write() {
    let mut cache = Cache::new(config(Strategy::Sorted));
    let id = put(&mut cache, "a.b", 10);
    assert_eq!(
        cache.insert("a.b", point(10, 2.0)).outcome,
        Insert::Superseded(id)
    );
    assert_eq!(cache.next(Volume::FIRST, 100), None, "not proven");
    stand(&mut cache, id, Standing::Writable);
    assert_eq!(cache.next(Volume::FIRST, 100), Some(id));
    assert_eq!(taken(&mut cache, id), [10]);
    assert_eq!(
        (cache.usage().points, cache.usage().points_in_flight),
        (1, 1)
    );
    assert_eq!(
        cache.insert("a.b", point(20, 3.0)).outcome,
        Insert::Added(id)
    );
    assert_eq!(cache.next(Volume::FIRST, 100), None, "in flight");
    assert_eq!(seen(&cache, id), [(10, 2.0), (20, 3.0)]);
    let now = begin();
    assert_eq!(cache.written(id, now), 1);
    assert_eq!((cache.usage().points, cache.usage().queues), (1, 1));
    assert_eq!(
        cache.insert("a.b", point(10, 4.0)).outcome,
        Insert::Added(id)
    );
    assert_eq!(seen(&cache, id), [(10, 4.0), (20, 3.0)]);
    assert_eq!(taken(&mut cache, id), [10, 20]);
    cache.written(id, now + Duration::from_secs(1));
    assert_eq!(
        cache.insert("a.b", point(30, 5.0)).outcome,
        Insert::Woke(id)
    );
    cache.expire(now + Duration::from_millis(5999));
    assert_eq!(seen(&cache, id), [(10, 4.0), (20, 3.0), (30, 5.0)]);
    cache.expire(now + Duration::from_secs(6));
    assert_eq!(seen(&cache, id), [(30, 5.0)]);
    assert_eq!(cache.usage().recent_bytes, 0);
}

#[test]
fn recent_points_are_bounded_in_bytes() {
    let mut cache = Cache::new(CacheConfig {
        recent_bytes_max: 300,
        ..config(Strategy::Sorted)
    });
    let now = begin();
    for number in 0..10 {
        let id = put(&mut cache, &format!("m{number}"), 10);
        stand(&mut cache, id, Standing::Writable);
        taken(&mut cache, id);
        cache.written(id, now);
    }
    assert!(cache.usage().recent_bytes <= 300 && cache.usage().recent_bytes > 150);
    let visible = |number| seen(&cache, cache.find(&format!("m{number}")).unwrap()).len();
    assert_eq!((visible(9), visible(8), visible(0)), (1, 1, 0));
    assert!(cache.usage().idle_series >= 5);
}

#[test]
fn what_was_written_last_is_kept_until_the_next_update() {
    let mut cache = Cache::new(config(Strategy::Sorted));
    let now = begin();
    let second = |seconds| now + Duration::from_secs(seconds);
    let kept = |cache: &Cache, id| {
        let mut points = Vec::new();
        cache.recent(id, &mut points);
        points
            .iter()
            .map(|point| point.timestamp)
            .collect::<Vec<_>>()
    };
    let id = put(&mut cache, "a", 10);
    put(&mut cache, "a", 20);
    stand(&mut cache, id, Standing::Writable);
    taken(&mut cache, id);
    cache.written(id, now);
    cache.expire(second(6));
    assert_eq!(seen(&cache, id), [], "a query sees it no longer");
    assert_eq!(kept(&cache, id), [10, 20]);
    put(&mut cache, "a", 30);
    taken(&mut cache, id);
    cache.put_back(id);
    assert_eq!(kept(&cache, id), [10, 20], "the update failed");
    assert_eq!(cache.firsts(id), None, "a new file is looked at");
    taken(&mut cache, id);
    cache.written(id, second(70));
    assert_eq!(kept(&cache, id), [30]);
    cache.expire(second(80));
    assert_eq!(kept(&cache, id), [30]);
    let used = cache.usage().bytes;
    cache.expire(second(70 + 5 + 605));
    assert_eq!(kept(&cache, id), [], "too long ago");
    assert!(cache.usage().bytes < used);
}

#[test]
fn what_was_written_last_is_bounded_and_goes_with_its_series() {
    let mut cache = Cache::new(CacheConfig {
        recent_bytes_max: 300,
        ..config(Strategy::Sorted)
    });
    let now = begin();
    let later = |seconds| now + Duration::from_secs(seconds);
    let kept = |cache: &Cache, number: u32| {
        let mut points = Vec::new();
        let id = cache.find(&format!("m{number}")).unwrap();
        cache.recent(id, &mut points);
        points.len()
    };
    for number in 0..20_u32 {
        let id = put(&mut cache, &format!("m{number}"), 10);
        stand(&mut cache, id, Standing::Writable);
        taken(&mut cache, id);
        cache.written(id, later(u64::from(number)));
    }
    cache.expire(later(100));
    let counts: Vec<usize> = (0..20).map(|number| kept(&cache, number)).collect();
    assert_eq!(counts[..10], [0; 10], "{counts:?}");
    assert_eq!(counts[15..], [1; 5], "{counts:?}");
    let series = cache.usage().series;
    assert_eq!(cache.forget_idle(u64::MAX), series);
    // Numbers are given again, and nothing of the series before is theirs.
    for number in 0..20 {
        put(&mut cache, &format!("m{number}"), 20);
    }
    assert!((0..20).all(|number| kept(&cache, number) == 0));
}

#[test]
fn a_failed_write_puts_back_what_was_not_sent_again() {
    let mut cache = Cache::new(config(Strategy::Sorted));
    let id = put(&mut cache, "a", 10);
    put(&mut cache, "a", 20);
    stand(&mut cache, id, Standing::Writable);
    taken(&mut cache, id);
    cache.insert("a", point(20, 9.0));
    cache.insert("a", point(5, 9.0));
    assert_eq!(cache.usage().points, 4);
    assert_eq!(cache.put_back(id), 1);
    assert_eq!((cache.usage().points, cache.len(id)), (3, 3));
    assert_eq!(seen(&cache, id), [(5, 9.0), (10, 1.0), (20, 9.0)]);
    assert_eq!(cache.next(Volume::FIRST, 0), Some(id));
    taken(&mut cache, id);
    assert_eq!(cache.put_back(id), 0);
    assert_eq!(taken(&mut cache, id), [5, 10, 20]);
}

#[test]
fn unproven_series_are_handed_out_once_in_order() {
    let mut cache = Cache::new(config(Strategy::Sorted));
    let ids: Vec<SeriesId> = ["c", "a", "b"]
        .iter()
        .map(|name| put(&mut cache, name, 1))
        .collect();
    assert_eq!(cache.unproven_next(Volume::FIRST), Some(ids[0]));
    put(&mut cache, "c", 2);
    assert_eq!(cache.unproven_next(Volume::FIRST), Some(ids[1]));
    stand(&mut cache, ids[0], Standing::Unproven);
    assert_eq!(cache.usage().unproven_series, 2);
    assert_eq!(cache.unproven_next(Volume::FIRST), Some(ids[2]));
    assert_eq!(cache.unproven_next(Volume::FIRST), Some(ids[0]));
    assert_eq!(cache.unproven_next(Volume::FIRST), None);
}

#[test]
fn creates_go_to_series_that_repeat_then_to_those_seen_once() {
    let mut cache = Cache::new(config(Strategy::Sorted));
    let ids: Vec<SeriesId> = ["a", "b", "c", "d"]
        .iter()
        .map(|name| put(&mut cache, name, 1))
        .collect();
    for id in &ids {
        assert_eq!(cache.unproven_next(Volume::FIRST), Some(*id));
        stand(&mut cache, *id, Standing::Waiting);
    }
    put(&mut cache, "d", 2);
    put(&mut cache, "b", 2);
    put(&mut cache, "a", 1);
    assert_eq!(cache.waiting_next(Volume::FIRST), Some(ids[3]));
    put(&mut cache, "d", 3);
    stand(&mut cache, ids[3], Standing::Waiting);
    let order: Vec<SeriesId> = std::iter::from_fn(|| cache.waiting_next(Volume::FIRST)).collect();
    assert_eq!(order, [ids[1], ids[3], ids[0], ids[2]]);
    assert_eq!(
        (cache.usage().waiting_points, cache.next(Volume::FIRST, 0)),
        (7, None)
    );
    stand(&mut cache, ids[1], Standing::Writable);
    assert_eq!(
        (cache.usage().waiting_points, cache.next(Volume::FIRST, 0)),
        (5, Some(ids[1]))
    );
}

#[test]
fn a_full_share_drops_the_oldest_seen_once_then_refuses() {
    let mut cache = Cache::new(CacheConfig {
        waiting_points_max: 3,
        ..config(Strategy::Max)
    });
    let ids: Vec<SeriesId> = ["a", "b", "c"]
        .iter()
        .map(|name| put(&mut cache, name, 1))
        .collect();
    for id in &ids {
        stand(&mut cache, *id, Standing::Waiting);
    }
    let inserted = cache.insert("a", point(2, 0.0));
    assert_eq!(
        inserted.outcome,
        Insert::Added(ids[0]),
        "a itself is not dropped for a"
    );
    assert_eq!(
        inserted.dropped,
        Dropped {
            create_wait: 1,
            parked: 0
        }
    );
    assert_eq!((cache.find("b"), cache.usage().waiting_points), (None, 3));
    let new = put(&mut cache, "e", 1);
    assert_eq!(
        cache.set_standing(new, Standing::Parked),
        Dropped {
            create_wait: 1,
            parked: 0
        }
    );
    assert_eq!(cache.find("c"), None);
    let inserted = cache.insert("e", point(2, 0.0));
    assert_eq!(inserted.outcome, Insert::Refused(new));
    assert_eq!(
        inserted.dropped,
        Dropped {
            create_wait: 0,
            parked: 1
        }
    );
    assert_eq!(
        cache.insert("e", point(1, 7.0)).outcome,
        Insert::Superseded(new)
    );
    let wide = put(&mut cache, "f", 1);
    put(&mut cache, "f", 2);
    assert_eq!(
        cache.set_standing(wide, Standing::Waiting),
        Dropped {
            create_wait: 2,
            parked: 0
        }
    );
    assert_eq!((cache.len(wide), cache.usage().points), (0, 3));
    assert_eq!(cache.usage().idle_series, 1);
}

#[test]
fn a_sound_file_finds_room_however_many_wait_for_their_create() {
    let mut cache = Cache::new(CacheConfig {
        waiting_points_max: 16,
        ..config(Strategy::Sorted)
    });
    let sound = put(&mut cache, "sound", 1);
    stand(&mut cache, sound, Standing::Writable);
    for timestamp in [2, 3, 4] {
        put(&mut cache, "sound", timestamp);
    }
    // Two points each: they repeat, and make room for nobody.
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let lost = names.map(|name| {
        let id = put(&mut cache, name, 1);
        put(&mut cache, name, 2);
        cache.set_standing(id, Standing::Waiting).create_wait
    });
    assert_eq!(lost, [0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(cache.usage().waiting_points, 12, "three quarters");
    assert_eq!(cache.insert("a", point(3, 1.0)).dropped.create_wait, 1);
    // Its file is locked for a moment.
    assert_eq!(taken(&mut cache, sound), [1, 2, 3, 4]);
    assert_eq!(cache.put_back(sound), 0);
    stand(&mut cache, sound, Standing::Parked);
    assert_eq!(cache.len(sound), 4);
    assert_eq!(
        (cache.usage().waiting_points, cache.usage().parked_points),
        (12, 4)
    );
    // What waits leaves the last part alone when it is free again, too.
    stand(&mut cache, sound, Standing::Writable);
    assert_eq!(cache.insert("a", point(3, 1.0)).dropped.create_wait, 1);
}

#[test]
fn a_sound_file_finds_room_however_many_files_cannot_be_made() {
    let mut cache = Cache::new(CacheConfig {
        waiting_points_max: 8,
        ..config(Strategy::Sorted)
    });
    let sound = put(&mut cache, "sound", 1);
    stand(&mut cache, sound, Standing::Writable);
    put(&mut cache, "sound", 2);
    let lost = ["a", "b", "c"].map(|name| {
        let id = put(&mut cache, name, 1);
        put(&mut cache, name, 2);
        cache.set_standing(id, Standing::Unmade).parked
    });
    assert_eq!(lost, [0, 0, 2]);
    assert_eq!(
        cache.usage().parked_points,
        4,
        "two thirds of three quarters"
    );
    assert_eq!(cache.stuck_points(Volume::FIRST), 4);
    assert_eq!(cache.insert("a", point(3, 1.0)).dropped.parked, 1);
    // New metrics wait for their creates in the rest.
    for (name, lost) in [("d", 0), ("e", 0), ("f", 1)] {
        let waiting = put(&mut cache, name, 1);
        let dropped = cache.set_standing(waiting, Standing::Waiting);
        assert_eq!(dropped.create_wait, lost, "{name}");
    }
    assert_eq!(cache.usage().waiting_points, 2);
    // These do not make room for those, which have all that is theirs.
    let refused = cache.insert("a", point(4, 1.0)).dropped;
    assert_eq!((refused.parked, refused.create_wait), (1, 0));
    let g = put(&mut cache, "g", 1);
    let lost = cache.set_standing(g, Standing::Unmade);
    assert_eq!((lost.parked, lost.create_wait), (1, 0));
    assert_eq!(cache.usage().waiting_points, 2);
    // Its file is locked for a moment.
    assert_eq!(taken(&mut cache, sound), [1, 2]);
    assert_eq!(cache.put_back(sound), 0);
    stand(&mut cache, sound, Standing::Parked);
    assert_eq!(seen(&cache, sound), [(1, 1.0), (2, 1.0)]);
    assert_eq!(cache.usage().parked_points, 6);
}

/// Where bytes are short what is left of a share is less than a series takes.
#[test]
fn nobody_makes_room_for_less_than_a_series_takes() {
    let one = SERIES_BYTES + 1 + 4;
    let mut cache = Cache::new(CacheConfig {
        waiting_bytes_max: share_of_waiting(3 * one + 30),
        ..config(Strategy::Sorted)
    });
    // Twenty bytes are left to those whose file cannot be made, and ten to both.
    for name in ["a", "b"] {
        let id = put(&mut cache, name, 1);
        assert_eq!(cache.set_standing(id, Standing::Unmade).total(), 0);
    }
    let waiting = put(&mut cache, "twenty.bytes.or.more.", 1);
    let dropped = cache.set_standing(waiting, Standing::Waiting);
    assert_eq!(dropped.total(), 0);
    let third = put(&mut cache, "c", 1);
    let lost = cache.set_standing(third, Standing::Unmade);
    assert_eq!((lost.parked, lost.create_wait), (1, 0));
    assert_eq!(cache.usage().waiting_points, 1);
}

#[test]
fn a_point_sent_again_that_needs_more_room_takes_it_from_the_oldest() {
    let block = points::BLOCK_BYTES as u64;
    let one = SERIES_BYTES + 1 + 4;
    let mut cache = Cache::new(CacheConfig {
        waiting_bytes_max: 2 * one + block,
        ..config(Strategy::Max)
    });
    let parked = put(&mut cache, "a", 0);
    stand(&mut cache, parked, Standing::Parked);
    // 44 points of one byte fill a block; the newest is in the record.
    for timestamp in 1..=44 {
        put(&mut cache, "a", timestamp);
    }
    let brief = put(&mut cache, "b", 1);
    stand(&mut cache, brief, Standing::Waiting);
    assert_eq!(cache.usage().parked_bytes, one + block);
    let again = cache.insert("a", point(42, 1.0 / 3.0));
    assert_eq!(again.outcome, Insert::Superseded(parked));
    assert_eq!((again.dropped.create_wait, cache.find("b")), (1, None));
    let left = cache.usage();
    assert_eq!(
        (left.parked_points, left.parked_bytes),
        (45, one + 2 * block)
    );
    // Values of nine bytes each: the second block is soon full, and nobody else can make room.
    let mut dropped = 0;
    let long = |timestamp| (-10.0_f64).powi(timestamp) / 3.0;
    for timestamp in 37u32..44 {
        let value = long(timestamp.cast_signed());
        let again = cache.insert("a", point(timestamp, value));
        assert_eq!(again.outcome, Insert::Superseded(parked));
        dropped += again.dropped.parked;
        assert!(cache.usage().parked_bytes <= 2 * one + block);
    }
    let left = cache.usage();
    assert!(dropped > 0 && left.parked_points + dropped == 45 && left.points == left.parked_points);
    let visible = seen(&cache, parked);
    assert_eq!(visible.len() as u64, left.points);
    assert!(visible.contains(&(43, long(43))) && visible.last() == Some(&(44, 1.0)));
    assert_eq!(u64::from(cache.len(parked)), left.points);
}

#[test]
fn of_a_series_that_is_parked_the_newest_points_stay() {
    let mut cache = Cache::new(CacheConfig {
        waiting_points_max: 7,
        ..config(Strategy::Max)
    });
    let id = put(&mut cache, "a", 100);
    for timestamp in [50, 99, 1, 98, 97, 96, 95, 94, 93, 2] {
        put(&mut cache, "a", timestamp);
    }
    assert_eq!(
        cache.set_standing(id, Standing::Parked),
        Dropped {
            create_wait: 0,
            parked: 4
        }
    );
    let left: Vec<u32> = seen(&cache, id)
        .iter()
        .map(|(timestamp, _)| *timestamp)
        .collect();
    assert_eq!(left, [94, 95, 96, 97, 98, 99, 100]);
    assert_eq!((cache.usage().points, cache.usage().parked_points), (7, 7));
    stand(&mut cache, id, Standing::Writable);
    assert_eq!(
        (cache.usage().parked_bytes, taken(&mut cache, id).len()),
        (0, 7)
    );
}

#[test]
fn a_flood_of_names_seen_once_stays_within_its_bytes() {
    let bytes = 300_000;
    let mut cache = Cache::new(CacheConfig {
        waiting_bytes_max: share_of_waiting(bytes),
        ..config(Strategy::Sorted)
    });
    let mut dropped = 0;
    for number in 0..50_000u32 {
        put(&mut cache, &format!("junk.{number:08}.requests"), 60);
        let id = cache.unproven_next(Volume::FIRST).unwrap();
        dropped += cache.set_standing(id, Standing::Waiting).total();
    }
    let usage = cache.usage();
    assert_eq!(usage.points + dropped, 50_000);
    assert!(usage.waiting_bytes <= bytes && usage.waiting_bytes > bytes - 200);
    assert_eq!((usage.series, usage.queues), (usage.points, usage.points));
    assert!(usage.held_bytes < 2 * bytes, "{usage:?}");
}

#[test]
fn idle_series_are_forgotten_oldest_first_and_memory_goes_back() {
    let mut cache = Cache::new(config(Strategy::Naive));
    let now = begin();
    let name = |number: u32| format!("servers.web{number:05}.load");
    for number in 0..20_000 {
        let id = put(&mut cache, &name(number), 60);
        stand(&mut cache, id, Standing::Writable);
        taken(&mut cache, id);
        cache.written(id, now);
    }
    assert_eq!(cache.forget_idle(1), cache.usage().idle_series.min(1));
    cache.expire(now + Duration::from_secs(5));
    let full = cache.usage();
    assert_eq!(
        (full.points, full.queues, full.idle_series),
        (0, 0, full.series)
    );
    put(&mut cache, &name(3_000), 61);
    let one = SERIES_BYTES + name(0).len() as u64 + 4;
    assert_eq!(cache.forget_idle(10 * one), 10);
    // A bounded number a turn.
    let turns = std::iter::from_fn(|| Some(cache.forget_idle(u64::MAX)).filter(|count| *count > 0));
    let turns: Vec<u64> = turns.collect();
    assert_eq!(turns.iter().sum::<u64>(), full.series - 11);
    assert!(turns.iter().all(|count| *count <= FORGOTTEN_PER_TURN_MAX));
    let usage = cache.usage();
    assert_eq!((usage.series, usage.points), (1, 1));
    let id = cache.find(&name(3_000)).unwrap();
    assert_eq!(cache.standing(id), Standing::Writable, "known is known");
    assert!(usage.held_bytes < 400_000, "{usage:?} after {full:?}");
}

#[test]
fn all_memory_of_points_goes_back() {
    let mut cache = Cache::new(config(Strategy::Random));
    for timestamp in 0..50 {
        for number in 0..2_000 {
            // Thirds and their like fill blocks: nothing shorter than their bits says what they are.
            let value = 1.0 / f64::from(3 + timestamp * 7 + number);
            cache.insert(&format!("m.{number}"), point(timestamp * 10, value));
        }
    }
    while let Some(id) = cache.unproven_next(Volume::FIRST) {
        stand(&mut cache, id, Standing::Writable);
    }
    let full = cache.usage();
    let now = begin();
    while let Some(id) = cache.next(Volume::FIRST, 0) {
        assert_eq!(taken(&mut cache, id).len(), 50);
        cache.written(id, now);
    }
    cache.expire(now + Duration::from_secs(9));
    // What was written last waits for the next update, and then goes, a bounded number a turn.
    let after = now + Duration::from_secs(9 + u64::from(LAST_S));
    assert!(cache.next_past().is_some_and(|at| at <= after));
    let turns = std::iter::from_fn(|| cache.expire(after).then_some(())).count();
    assert_eq!(turns, 2_000 / LAST_LET_GO_PER_TURN_MAX);
    assert_eq!(cache.next_past(), None);
    let usage = cache.usage();
    assert!(
        full.held_bytes > 1_000_000 && usage.held_bytes < 400_000,
        "{usage:?} after {full:?}"
    );
    assert!(cache.is_empty() && usage.queues == 0 && usage.idle_series == 2_000);
}

#[test]
#[should_panic(expected = "is in flight")]
fn a_standing_does_not_change_in_flight() {
    let mut cache = Cache::new(config(Strategy::Naive));
    let id = put(&mut cache, "a", 1);
    stand(&mut cache, id, Standing::Writable);
    taken(&mut cache, id);
    stand(&mut cache, id, Standing::Parked);
}

#[test]
#[should_panic(expected = "is forgotten")]
fn a_stale_number_is_caught() {
    let mut cache = Cache::new(config(Strategy::Naive));
    let id = put(&mut cache, "a", 1);
    put(&mut cache, "b", 1);
    stand(&mut cache, id, Standing::Writable);
    taken(&mut cache, id);
    let now = begin();
    cache.written(id, now);
    cache.expire(now + Duration::from_secs(5));
    assert_eq!(cache.forget_idle(1), 1);
    cache.name(id);
}
