//! Who is passed over by an order is written all the same, and only then: not while the limiter alone
//! makes everybody wait.

use super::super::Strategy;
use super::*;

const AGE_S: u32 = 60;

/// A cache and its clock, in seconds.
struct Clocked {
    cache: Cache,
    second: u64,
}

impl Clocked {
    fn new(strategy: Strategy, lag_s: u32) -> Self {
        let cache = Cache::new(CacheConfig {
            max_point_age_s: AGE_S,
            timestamp_lag_s: lag_s,
            ..config(strategy)
        });
        Self { cache, second: 0 }
    }

    fn pass(&mut self, seconds: u64) {
        self.second += seconds;
        let now = self.cache.began + Duration::from_secs(self.second);
        self.cache.begin_turn(at(now));
    }

    fn put(&mut self, name: &str, timestamp: u32) -> SeriesId {
        let id = put(&mut self.cache, name, timestamp);
        if self.cache.standing(id) == Standing::Unproven {
            stand(&mut self.cache, id, Standing::Writable);
        }
        id
    }

    /// The next update, carried out: who, and was it starved?
    fn write(&mut self, unix_now: u32) -> Option<(SeriesId, bool)> {
        let id = loop {
            match self.cache.next(Volume::FIRST, unix_now) {
                None if self.cache.is_choosing(Volume::FIRST) => {}
                next => break next?,
            }
        };
        let is_starved = self.cache.is_starved(id.0);
        taken(&mut self.cache, id);
        self.cache.written(id, self.cache.began);
        Some((id, is_starved))
    }
}

/// Four metrics get two points a second and one has a single one; there are two updates a second.
fn after_how_long(strategy: Strategy) -> Option<u64> {
    let mut clocked = Clocked::new(strategy, 0);
    let lonely = clocked.put("lonely", 1);
    for second in 0..4 * AGE_S {
        for busy in 0..4 {
            clocked.put(&format!("busy{busy}"), 2 * second);
            clocked.put(&format!("busy{busy}"), 2 * second + 1);
        }
        for _ in 0..2 {
            let (id, is_starved) = clocked.write(0).unwrap();
            assert_eq!(is_starved, id == lonely, "{strategy:?} in second {second}");
            if id == lonely {
                return Some(clocked.second);
            }
        }
        clocked.pass(1);
    }
    None
}

#[test]
fn whom_the_order_never_comes_to_is_written_once_it_is_old() {
    for strategy in [Strategy::Max, Strategy::BucketMax] {
        assert_eq!(after_how_long(strategy), Some(60), "{strategy:?}");
    }
}

#[test]
fn a_slow_limiter_starves_nobody() {
    // 300 metrics and an update a second: all are older than a minute most of the time.
    for strategy in Strategy::ALL.iter().copied() {
        if strategy == Strategy::Random || strategy == Strategy::Deadline {
            continue;
        }
        let mut clocked = Clocked::new(strategy, 0);
        let mut order = Vec::new();
        for round in 0..1_500_u32 {
            if round % 300 == 0 {
                for metric in 0..300 {
                    clocked.put(&format!("m{metric}"), round + metric);
                }
            }
            let (id, is_starved) = clocked.write(0).unwrap();
            assert!(!is_starved, "{strategy:?}: {id:?} in second {round}");
            order.push(id);
            clocked.pass(1);
        }
        // Each came once in a round all the same.
        for round in order.chunks_mut(300) {
            round.sort_unstable();
            round
                .iter()
                .zip(0..)
                .for_each(|(id, n)| assert_eq!(id.0, n));
        }
    }
}

#[test]
fn a_point_from_the_future_waits_for_the_lag_and_the_age_and_no_longer() {
    let mut clocked = Clocked::new(Strategy::TimeSorted, 30);
    let ahead = clocked.put("ahead", 1_000_000);
    let present = clocked.put("present", 1_000);
    for second in 0..=30 {
        assert_eq!(clocked.write(1_000 + second), None, "second {second}");
        clocked.pass(1);
    }
    assert_eq!(clocked.write(1_031), Some((present, false)));
    for second in 31..90 {
        assert_eq!(clocked.write(1_000 + second), None, "second {second}");
        clocked.pass(1);
    }
    assert_eq!(clocked.write(1_090), Some((ahead, true)));
    assert_eq!(clocked.write(1_090), None);
}

#[test]
fn they_are_found_among_many_a_bounded_number_a_turn() {
    let mut clocked = Clocked::new(Strategy::Max, 0);
    let many = 2 * crate::limits::STARVED_LOOKED_AT_PER_TURN_MAX + 5;
    for metric in 0..many {
        clocked.put(&format!("m{metric}"), 1);
    }
    let last = clocked.cache.find(&format!("m{}", many - 1)).unwrap();
    // Every one but the last was written since, and the order has come round thrice.
    for round in 0..3 {
        clocked.pass(30);
        for metric in 0..many - 1 {
            clocked.put(&format!("m{metric}"), 2 + round);
            clocked.put(&format!("m{metric}"), 5 + round);
        }
        for _ in 0..many - 1 {
            let (id, is_starved) = clocked.write(0).unwrap();
            assert!(id != last && !is_starved);
        }
        // Nothing but the one is left; more points elsewhere keep it from being chosen.
        clocked.put("m0", 90 + round);
        clocked.put("m0", 93 + round);
    }
    let mut turns = 0;
    loop {
        clocked.pass(u64::from(turns == 0));
        turns += 1;
        clocked.put("m0", 100 + turns);
        clocked.put("m0", 103 + turns);
        if clocked.cache.next(Volume::FIRST, 0) == Some(last) {
            break;
        }
        assert!(turns < 10);
    }
    assert_eq!(turns, 3);
}
