//! The write order `deadline` over whole shards, in simulated time: what is in the files when.

use super::*;

const AGE_S: u32 = 60;

/// Files of a second a point for an hour and of 20 seconds a point for a day, where no rule says
/// otherwise.
const SCHEMAS: &str = "[short]\npattern = ^short\nretentions = 1s:2m,1m:1d\n\
                       [wide]\npattern = ^wide\nretentions = 1s:1h,40s:1d\n\
                       [all]\npattern = .*\nretentions = 1s:1h,20s:1d\n";
const AGGREGATIONS: &str = "[peak]\npattern = peak$\naggregationMethod = absmax\n";

fn world(points_max: Option<u64>) -> World {
    let schemas = Arc::new(Schemas::parse(SCHEMAS).unwrap().0);
    let aggregations = Arc::new(Aggregations::parse(AGGREGATIONS).unwrap().0);
    World::changed((1, points_max, 1 << 30), |config| {
        config.cache.strategy = Strategy::Deadline;
        config.cache.max_point_age_s = AGE_S;
        config.writer.schemas = Arc::clone(&schemas);
        config.writer.aggregations = Arc::clone(&aggregations);
    })
}

impl World {
    /// A point of this second, whose value is the second's.
    fn receive(&mut self, name: &str) {
        self.shards[0].begin_turn(self.now);
        let point = self.point(0, f64::from(self.now.unix_seconds % 1000));
        self.take(name, point);
    }

    /// A metric whose file is there and has been read.
    fn begin(&mut self, name: &str) {
        self.receive(name);
        self.settle();
        self.later(60 - u64::from(self.now.unix_seconds % 60));
        self.settle();
    }

    fn in_file(&self, name: &str) -> Vec<u32> {
        let points = self
            .disk
            .points(&format!("/data/{}.wsp", name.replace('.', "/")));
        points.iter().map(|point| point.timestamp).collect()
    }

    /// The updates there were while one second after the other passed, with a point of each name
    /// in every tenth.
    fn run(&mut self, seconds: u32, names: &[&str]) -> u64 {
        let before = self.count(Counter::Updates);
        for second in 0..seconds {
            if second % 10 == 0 {
                for name in names {
                    self.receive(name);
                }
            }
            self.settle();
            self.later(1);
            self.settle();
        }
        self.count(Counter::Updates) - before
    }
}

#[test]
fn a_new_metric_is_written_at_once_and_then_held() {
    let mut world = world(None);
    world.receive("a.b");
    let first = world.now.unix_seconds;
    world.settle();
    assert_eq!(world.in_file("a.b"), [first], "created and written");
    world.later(10);
    world.receive("a.b");
    world.settle();
    assert_eq!(world.run(47, &[]), 0);
    assert_eq!(world.in_file("a.b"), [first]);
    assert_eq!(world.run(11, &[]), 1);
    assert_eq!(world.in_file("a.b"), [first, first + 10]);
    assert_eq!(world.count(Counter::LateUpdates), 0);
}

#[test]
fn every_point_is_in_its_file_before_it_is_too_old() {
    let mut world = world(None);
    world.begin("a.b");
    let begin = world.now.unix_seconds;
    for _ in 0..60 {
        world.run(10, &["a.b"]);
        let (now, found) = (world.now.unix_seconds, world.in_file("a.b"));
        for sent in (begin..now).step_by(10).filter(|sent| sent + AGE_S <= now) {
            assert!(found.contains(&sent), "{sent} is not there at {now}");
        }
        let points = world.query("a.b").len();
        assert!(points > 0, "what is held is seen");
    }
    let updates = world.count(Counter::Updates);
    assert!((10..=16).contains(&updates), "{updates} for 60 points");
    assert_eq!(world.count(Counter::LateUpdates), 0);
    world.shards[0].drain();
    world.settle();
    assert!(world.shards[0].is_drained());
    assert_eq!(world.in_file("a.b").len(), 61);
    assert_eq!(world.shards[0].report().usage.oldest_age_s, 0);
}

#[test]
fn an_update_leaves_the_newest_slot_of_the_second_archive_whole() {
    let mut world = world(None);
    world.begin("a.b");
    let mut cut = 0;
    for _ in 0..600 {
        let before = world.in_file("a.b").len();
        world.run(1, &["a.b"]);
        let found = world.in_file("a.b");
        if found.len() == before {
            continue;
        }
        let written = *found.last().unwrap();
        let held = world.query("a.b");
        let mut left = held.iter().filter(|point| point.timestamp > written);
        let first = left.next().unwrap().timestamp;
        assert_ne!(written / 20, first / 20, "a slot in two");
        assert!(
            first.is_multiple_of(20),
            "{first} is not the first of its slot"
        );
        cut += 1;
    }
    assert!((10..=16).contains(&cut), "{cut} updates");
}

/// What an update by the old slots left behind is older than where the next one would end by the new ones.
#[test]
fn a_file_that_comes_to_have_other_slots_is_written_whole_once() {
    for is_replaced in [false, true] {
        let mut world = world(None);
        for name in ["wide.b", "a.b"] {
            world.begin(name);
        }
        world.run(130, &["wide.b", "a.b"]);
        if is_replaced {
            let narrow = world.disk.files[Path::new("/data/a/b.wsp")].clone();
            world.disk.files.insert("/data/wide/b.wsp".into(), narrow);
        }
        let mut left = Vec::new();
        while left.len() < 3 {
            let before = world.in_file("wide.b").len();
            world.run(1, &["wide.b"]);
            let found = world.in_file("wide.b");
            if found.len() > before {
                let held = world.query("wide.b");
                left.push(held.last().unwrap().timestamp - found.last().unwrap());
            }
        }
        let is_whole = left[1] == 0;
        assert_eq!(is_whole, is_replaced, "{left:?}");
        assert!(left[0] > 0 && left[2] > 0, "{left:?}");
    }
}

#[test]
fn what_graphite_web_cannot_merge_is_not_held_and_short_archives_are_held_shorter() {
    let mut world = world(None);
    for name in ["a.peak", "short.b", "c.d"] {
        world.begin(name);
    }
    world.later(100);
    world.settle();
    let now = world.now.unix_seconds;
    for name in ["a.peak", "short.b", "c.d"] {
        world.receive(name);
    }
    world.settle();
    assert_eq!(world.in_file("a.peak").last(), Some(&now), "absmax");
    assert_ne!(world.in_file("short.b").last(), Some(&now));
    world.run(29, &[]);
    assert_eq!(
        world.in_file("short.b").last(),
        Some(&now),
        "a quarter of two minutes"
    );
    assert_ne!(world.in_file("c.d").last(), Some(&now));
}

#[test]
fn what_a_file_is_decides_and_not_what_a_new_one_would_be() {
    let mut world = world(None);
    world.begin("c.d");
    let path = PathBuf::from("/data/c/d.wsp");
    let retentions = [crate::whisper::Retention {
        step_s: 1,
        points: 3600,
    }];
    let header = Header::new(&retentions, 0.0, Aggregation::AbsMin).unwrap();
    let mut bytes = header.encode();
    bytes.resize(usize::try_from(header.file_bytes()).unwrap(), 0);
    world.disk.files.insert(path, bytes);
    world.run(70, &["c.d"]);
    world.receive("c.d");
    let now = world.now.unix_seconds;
    world.settle();
    assert_eq!(
        world.in_file("c.d").last(),
        Some(&now),
        "it was read meanwhile"
    );
}

#[test]
fn a_cache_that_fills_up_is_written_before_reading_stops() {
    let mut world = world(Some(10_000));
    let names: Vec<String> = (0..1_000).map(|metric| format!("m{metric}")).collect();
    for name in &names {
        world.receive(name);
    }
    world.settle();
    world.later(1);
    let (mut least, mut most) = (u64::MAX, 0);
    for second in 0..40 {
        for name in &names {
            let point = world.point(0, f64::from(second));
            assert_eq!(world.offer(name, point), Accept::Taken, "after {second} s");
            world.turn();
            let cached = world.shards[0].report().usage.points;
            most = most.max(cached);
            if second >= 20 {
                least = least.min(cached);
            }
        }
        world.later(1);
    }
    assert!(most < 9_500, "{most} points, and reading stops at 10,000");
    assert!(
        least > 4_000,
        "{least} points: more is written than must be"
    );
    assert_eq!(world.count(Counter::LateUpdates), 0);
}

#[test]
fn a_limiter_wins_and_the_oldest_goes_first() {
    let mut world = world(None);
    let names: Vec<String> = (0..20).map(|metric| format!("m{metric}")).collect();
    for name in &names {
        world.begin(name);
    }
    world.budgets.updates.set_rate(Some(0.1), world.now.instant);
    let begin = world.now.unix_seconds;
    for name in &names {
        world.run(1, &[name]);
    }
    world.run(120, &[]);
    let written: Vec<bool> = names
        .iter()
        .map(|name| world.in_file(name).iter().any(|at| *at >= begin))
        .collect();
    let count = written.iter().filter(|written| **written).count();
    assert!((7..=11).contains(&count), "{written:?}");
    assert!(
        written[..count].iter().all(|written| *written),
        "{written:?}"
    );
    assert!(world.count(Counter::LateUpdates) >= 3);
    assert!(world.shards[0].report().usage.oldest_age_s > u64::from(AGE_S));
}

#[test]
fn a_turn_is_due_when_something_can_be_written_and_not_before() {
    let mut world = world(None);
    world.begin("a.b");
    world.receive("a.b");
    world.settle();
    let received = world.now.instant;
    let mut turns = 0;
    while world.in_file("a.b").len() < 2 {
        turns += 1;
        assert!(turns < 100, "a turn is due again and again");
        let at = world.shards[0].next_deadline().unwrap();
        assert!(at > world.now.instant);
        world.now.instant = at;
        world.settle();
    }
    let age = world.now.instant - received;
    let seconds = age.as_secs_f64();
    assert!((47.0..=57.1).contains(&seconds), "{age:?}");
}

/// A file is exchanged for an older copy, or removed, two seconds after an update, in each write
/// order; the points of this update are there after the next one, which is some time away.
#[test]
fn an_exchanged_file_gets_its_last_points_again_whatever_the_order() {
    for strategy in Strategy::ALL {
        let mut world = World::changed((1, None, 1 << 30), |config| {
            config.cache.strategy = *strategy;
            config.cache.max_point_age_s = AGE_S;
        });
        for is_removed in [false, true] {
            let (name, path) = ("a.b", PathBuf::from("/data/a/b.wsp"));
            world.begin(name);
            let older = world.disk.files[&path].clone();
            world.run(180, &[name]);
            let before = world.in_file(name).len();
            world.receive(name);
            while world.in_file(name).len() == before {
                world.run(1, &[]);
            }
            let written = world.in_file(name);
            let last = &written[before..];
            world.run(2, &[]);
            if is_removed {
                world.disk.files.remove(&path);
            } else {
                world.disk.files.insert(path.clone(), older);
            }
            world.run(40, &[]);
            world.receive(name);
            world.run(AGE_S, &[]);
            let found = world.in_file(name);
            assert!(
                last.iter().all(|point| found.contains(point)),
                "{strategy:?}, removed {is_removed}: {last:?} of {found:?}"
            );
        }
        assert!(world.count(Counter::WrittenAgain) >= 2, "{strategy:?}");
    }
}
