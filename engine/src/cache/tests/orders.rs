//! The write orders against what Python carbon does, written down as plainly as in `cache.py`: a
//! dict in order of insertion, snapshots, scans.

use proptest::prelude::*;
use proptest::strategy::Strategy as Generate;

use super::super::Strategy;
use super::*;
use crate::limits::SNAPSHOT_STEP_SERIES;

#[derive(Clone, Debug)]
struct Metric {
    name: u8,
    timestamps: Vec<u32>,
    /// bucketmax: when it came into its bucket.
    arrival: u64,
}

/// The dict of Python's cache and the state of its strategy.
#[derive(Debug)]
struct Python {
    strategy: Strategy,
    lag: u32,
    dict: Vec<Metric>,
    queue: Vec<u8>,
    clock: u64,
    parked: [bool; 8],
    in_flight: [Option<Metric>; 8],
}

impl Python {
    fn store(&mut self, name: u8, timestamp: u32) {
        self.clock += 1;
        let arrival = self.clock;
        match self.dict.iter_mut().find(|metric| metric.name == name) {
            None => self.dict.push(Metric {
                name,
                timestamps: vec![timestamp],
                arrival,
            }),
            Some(metric) if !metric.timestamps.contains(&timestamp) => {
                metric.timestamps.push(timestamp);
                metric.arrival = arrival;
            }
            Some(_) => {}
        }
    }

    fn put_back(&mut self, name: u8) -> Option<()> {
        let metric = self.in_flight[usize::from(name)].take()?;
        for timestamp in metric.timestamps {
            self.store(name, timestamp);
        }
        self.clock += 1;
        let back = self.dict.iter_mut().find(|metric| metric.name == name)?;
        back.arrival = self.clock;
        Some(())
    }

    fn is_ready(&self, metric: &Metric) -> bool {
        let name = usize::from(metric.name);
        !self.parked[name] && self.in_flight[name].is_none()
    }

    fn ready(&self) -> impl DoubleEndedIterator<Item = &Metric> {
        self.dict.iter().filter(|metric| self.is_ready(metric))
    }

    fn choose(&mut self, now: u32) -> Option<u8> {
        match self.strategy {
            Strategy::Max => {
                let most = self.ready().map(|metric| metric.timestamps.len()).max()?;
                self.ready()
                    .find(|metric| metric.timestamps.len() == most)
                    .map(|it| it.name)
            }
            Strategy::BucketMax => {
                let most = self.ready().map(|metric| metric.timestamps.len()).max()?;
                self.ready()
                    .filter(|metric| metric.timestamps.len() == most)
                    .min_by_key(|metric| metric.arrival)
                    .map(|metric| metric.name)
            }
            Strategy::Random | Strategy::Deadline => None,
            Strategy::Naive | Strategy::Sorted | Strategy::TimeSorted => self.choose_queued(now),
        }
    }

    fn choose_queued(&mut self, now: u32) -> Option<u8> {
        for _ in 0..2 {
            while let Some(name) = self.queue.pop() {
                if self.ready().any(|metric| metric.name == name) {
                    return Some(name);
                }
            }
            self.queue = self.snapshot(now);
        }
        None
    }

    fn snapshot(&self, now: u32) -> Vec<u8> {
        let mut metrics: Vec<&Metric> = self.ready().collect();
        let oldest = |metric: &Metric| metric.timestamps.iter().min().copied().unwrap();
        match self.strategy {
            Strategy::Sorted => metrics.sort_by_key(|metric| metric.timestamps.len()),
            Strategy::TimeSorted => {
                metrics.sort_by_key(|metric| std::cmp::Reverse(oldest(metric)));
                let lag = i64::from(self.lag);
                let lags = |metric: &Metric| i64::from(now) - i64::from(oldest(metric)) > lag;
                metrics.retain(|metric| lag == 0 || lags(metric));
            }
            Strategy::Naive
            | Strategy::Max
            | Strategy::BucketMax
            | Strategy::Random
            | Strategy::Deadline => {}
        }
        metrics.iter().map(|metric| metric.name).collect()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Store(u8, u32),
    /// Choose, take, and write at once.
    Write,
    /// Choose and take; it stays in flight.
    Take,
    PutBack(u8),
    Land(u8),
    Park(u8),
    Unpark(u8),
    Later(u32),
}

fn steps() -> impl Generate<Value = Vec<Step>> {
    let name = 0u8..8;
    let step = prop_oneof![
        8 => (name.clone(), 0u32..40).prop_map(|(name, at)| Step::Store(name, at)),
        4 => Just(Step::Write),
        2 => Just(Step::Take),
        1 => name.clone().prop_map(Step::PutBack),
        1 => name.clone().prop_map(Step::Land),
        1 => name.clone().prop_map(Step::Park),
        2 => name.prop_map(Step::Unpark),
        1 => (0u32..10).prop_map(Step::Later),
    ];
    prop::collection::vec(step, 1..200)
}

/// Both caches, fed the same.
struct Pair {
    ours: Cache,
    python: Python,
    ids: [Option<SeriesId>; 8],
    now: u32,
}

impl Pair {
    fn new(strategy: Strategy, lag: u32) -> Self {
        let ours = Cache::new(CacheConfig {
            timestamp_lag_s: lag,
            ..config(strategy)
        });
        let python = Python {
            strategy,
            lag,
            dict: Vec::new(),
            queue: Vec::new(),
            clock: 0,
            parked: [false; 8],
            in_flight: [const { None }; 8],
        };
        Self {
            ours,
            python,
            ids: [None; 8],
            now: 20,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Store(name, timestamp) => self.store(name, timestamp),
            Step::Write => {
                if let Some(name) = self.choose_and_take() {
                    self.land(name);
                }
            }
            Step::Take => {
                self.choose_and_take();
            }
            Step::PutBack(name) => {
                if self.python.put_back(name).is_some() {
                    self.ours.put_back(self.ids[usize::from(name)].unwrap());
                }
            }
            Step::Land(name) => self.land(name),
            Step::Park(name) => self.park(name, true),
            Step::Unpark(name) => self.park(name, false),
            Step::Later(seconds) => self.now += seconds,
        }
    }

    fn store(&mut self, name: u8, timestamp: u32) {
        self.python.store(name, timestamp);
        let inserted = self.ours.insert(&format!("m{name}"), point(timestamp, 0.0));
        if let Insert::New(id) = inserted.outcome {
            self.ids[usize::from(name)] = Some(id);
            stand(&mut self.ours, id, Standing::Writable);
        }
    }

    fn choose_and_take(&mut self) -> Option<u8> {
        let ours = self.ours.next(Volume::FIRST, self.now);
        assert_eq!(ours, self.ours.next(Volume::FIRST, self.now), "asked twice");
        let name = self.python.choose(self.now);
        assert_eq!(
            ours,
            name.and_then(|name| self.ids[usize::from(name)]),
            "{:?}",
            self.python
        );
        let name = name?;
        let place = self
            .python
            .dict
            .iter()
            .position(|metric| metric.name == name)
            .unwrap();
        let mut metric = self.python.dict.remove(place);
        metric.timestamps.sort_unstable();
        assert_eq!(taken(&mut self.ours, ours?), metric.timestamps);
        self.python.in_flight[usize::from(name)] = Some(metric);
        Some(name)
    }

    fn land(&mut self, name: u8) {
        if self.python.in_flight[usize::from(name)].take().is_some() {
            self.ours
                .written(self.ids[usize::from(name)].unwrap(), begin());
        }
    }

    fn park(&mut self, name: u8, parked: bool) {
        let index = usize::from(name);
        if let Some(id) = self.ids[index]
            && self.python.in_flight[index].is_none()
        {
            self.python.parked[index] = parked;
            let standing = if parked {
                Standing::Parked
            } else {
                Standing::Writable
            };
            stand(&mut self.ours, id, standing);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_choice_is_pythons(
        strategy in prop::sample::select(vec![
            Strategy::Naive,
            Strategy::Max,
            Strategy::Sorted,
            Strategy::TimeSorted,
            Strategy::BucketMax,
        ]),
        lag in prop::sample::select(vec![0u32, 0, 5, 15]),
        steps in steps(),
    ) {
        let mut pair = Pair::new(strategy, lag);
        for step in steps {
            pair.step(step);
        }
        pair.python.lag = 0;
        pair.ours.drain();
        for name in 0..8 {
            pair.park(name, false);
        }
        while pair.choose_and_take().is_some() {}
    }
}

#[test]
fn many_series_leave_in_pythons_order() {
    for strategy in [
        Strategy::Max,
        Strategy::Sorted,
        Strategy::BucketMax,
        Strategy::TimeSorted,
    ] {
        let mut cache = Cache::new(config(strategy));
        let count = 3_000u32;
        let mut ids = Vec::new();
        for round in 0..3 {
            for number in (0..count).filter(|number| number % 3 >= round) {
                let id = put(
                    &mut cache,
                    &format!("m.{number}"),
                    1000 - round * 100 + number % 7,
                );
                if round == 0 {
                    stand(&mut cache, id, Standing::Writable);
                    ids.push(id);
                }
            }
        }
        let points = |number: u32| number % 3 + 1;
        let oldest = |number: u32| 1000 - number % 3 * 100 + number % 7;
        let mut expected: Vec<u32> = (0..count).collect();
        match strategy {
            Strategy::Sorted => expected.sort_by_key(|number| (points(*number), *number)),
            Strategy::TimeSorted => {
                expected.sort_by_key(|number| (!oldest(*number), *number));
            }
            Strategy::Max
            | Strategy::BucketMax
            | Strategy::Naive
            | Strategy::Random
            | Strategy::Deadline => {
                expected.sort_by_key(|number| (points(*number), count - *number));
            }
        }
        while let Some(number) = expected.pop() {
            let id = cache.next(Volume::FIRST, 0).unwrap();
            assert_eq!(cache.name(id), format!("m.{number}"), "{strategy:?}");
            taken(&mut cache, id);
        }
        assert_eq!(cache.next(Volume::FIRST, 0), None);
    }
}

/// The choice, however many steps it takes; and how many it took.
fn choose(cache: &mut Cache) -> (Option<SeriesId>, usize) {
    let mut steps = 1;
    loop {
        let next = cache.next(Volume::FIRST, 2_000);
        if next.is_some() || !cache.is_choosing(Volume::FIRST) {
            return (next, steps);
        }
        steps += 1;
    }
}

#[test]
fn a_snapshot_of_many_is_gathered_in_steps_and_misses_nobody() {
    let series = u32::try_from(SNAPSHOT_STEP_SERIES * 5 / 2).unwrap();
    for strategy in [Strategy::Naive, Strategy::Sorted, Strategy::TimeSorted] {
        let mut cache = Cache::new(config(strategy));
        let mut ids = Vec::new();
        for number in 0..series {
            let name = format!("m.{number}");
            let id = put(&mut cache, &name, 1_000 - number % 3);
            stand(&mut cache, id, Standing::Writable);
            ids.push(id);
        }
        for number in (0..series).filter(|number| number.is_multiple_of(2)) {
            put(&mut cache, &format!("m.{number}"), 1_001);
        }
        assert_eq!(
            (
                cache.next(Volume::FIRST, 2_000),
                cache.is_choosing(Volume::FIRST)
            ),
            (None, true)
        );
        // Between two steps some leave, one each of those looked at and not, and one comes.
        let gone = [ids[7], ids[8], ids[ids.len() - 5]];
        for id in gone {
            stand(&mut cache, id, Standing::Parked);
        }
        let late = put(&mut cache, "late", 1);
        stand(&mut cache, late, Standing::Writable);
        // More points than any other: by now too late for this snapshot, if it was looked at.
        for at in 1_002..1_005 {
            put(&mut cache, "m.1", at);
        }
        let (first, steps) = choose(&mut cache);
        assert_eq!(steps, 2, "{strategy:?}");
        assert_eq!(choose(&mut cache), (first, 1), "asked again");
        let expected = |number: u32| match strategy {
            Strategy::Sorted => (u64::from(number.is_multiple_of(2)), number),
            Strategy::TimeSorted => (u64::from(number % 3), number),
            Strategy::Naive
            | Strategy::Max
            | Strategy::BucketMax
            | Strategy::Random
            | Strategy::Deadline => (0, number),
        };
        let mut order: Vec<u32> = (0..series)
            .filter(|number| !gone.contains(&ids[*number as usize]))
            .collect();
        order.sort_by_key(|number| expected(*number));
        while let Some(number) = order.pop() {
            let id = choose(&mut cache).0.unwrap();
            assert_eq!(cache.name(id), format!("m.{number}"), "{strategy:?}");
            taken(&mut cache, id);
        }
        assert_eq!(
            choose(&mut cache).0,
            Some(late),
            "{strategy:?}: the next one"
        );
        taken(&mut cache, late);
        assert_eq!(choose(&mut cache).0, None);
        assert!(!cache.is_choosing(Volume::FIRST));
    }
}

#[test]
fn a_snapshot_that_loses_everybody_begins_again() {
    let mut cache = Cache::new(config(Strategy::Sorted));
    let mut ids = Vec::new();
    for number in 0..=SNAPSHOT_STEP_SERIES {
        let id = put(&mut cache, &format!("m.{number}"), 1);
        stand(&mut cache, id, Standing::Writable);
        ids.push(id);
    }
    assert_eq!(
        (
            cache.next(Volume::FIRST, 0),
            cache.is_choosing(Volume::FIRST)
        ),
        (None, true)
    );
    for id in &ids {
        stand(&mut cache, *id, Standing::Parked);
    }
    let id = put(&mut cache, "other", 1);
    stand(&mut cache, id, Standing::Writable);
    assert_eq!(choose(&mut cache).0, Some(id));
    taken(&mut cache, id);
    assert_eq!(
        (choose(&mut cache).0, cache.is_choosing(Volume::FIRST)),
        (None, false)
    );
}

#[test]
fn random_reaches_every_series() {
    let mut cache = Cache::new(config(Strategy::Random));
    for number in 0..20 {
        let id = put(&mut cache, &format!("m.{number}"), 1);
        stand(&mut cache, id, Standing::Writable);
    }
    let mut chosen = [0u32; 20];
    for _ in 0..2_000 {
        let id = cache.next(Volume::FIRST, 0).unwrap();
        chosen[id.0 as usize] += 1;
    }
    assert!(
        chosen.iter().all(|times| (50..200).contains(times)),
        "{chosen:?}"
    );
}
