//! Random operations against maps: what is visible, what is counted, and that every point is
//! accounted for once.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::Strategy as Generate;

use super::super::Strategy;
use super::*;

const NAMES: u8 = 12;

type Points = BTreeMap<u32, u64>;

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(u8, u32),
    Link(u8),
    Unlink(u8),
    Next,
    Written(u8),
    PutBack(u8),
    Stand(u8, Standing),
    Probe(Standing),
    Make(Standing),
    Create(Standing),
    Later(u64),
    Forget(u64),
}

fn standing() -> impl Generate<Value = Standing> {
    prop::sample::select(vec![
        Standing::Unproven,
        Standing::Missing,
        Standing::Writable,
        Standing::Writable,
        Standing::Waiting,
        Standing::Unmade,
        Standing::Parked,
    ])
}

fn step() -> impl Generate<Value = Step> {
    let name = 0..NAMES;
    prop_oneof![
        12 => (name.clone(), 0u32..60).prop_map(|(name, at)| Step::Insert(name, at)),
        2 => name.clone().prop_map(Step::Link),
        2 => name.clone().prop_map(Step::Unlink),
        5 => Just(Step::Next),
        2 => name.clone().prop_map(Step::Written),
        2 => name.clone().prop_map(Step::PutBack),
        2 => (name, standing()).prop_map(|(name, standing)| Step::Stand(name, standing)),
        3 => standing().prop_map(Step::Probe),
        2 => standing().prop_map(Step::Make),
        2 => standing().prop_map(Step::Create),
        1 => (0u64..4).prop_map(Step::Later),
        1 => (1u64..400).prop_map(Step::Forget),
    ]
}

/// What one series should hold.
#[derive(Clone, Debug, Default)]
struct Series {
    id: Option<SeriesId>,
    standing: Standing,
    links: u8,
    cached: Points,
    in_flight: Option<Points>,
    recent: Vec<(Instant, Points)>,
}

struct World {
    cache: Cache,
    series: Vec<Series>,
    now: Instant,
    value: u64,
    inserted: u64,
    superseded: u64,
    written: u64,
    dropped: u64,
}

fn name(index: usize) -> String {
    format!("servers.web{index}.load")
}

#[expect(clippy::cast_precision_loss, reason = "the values are small numbers")]
fn as_value(value: u64) -> f64 {
    value as f64
}

impl World {
    fn new(strategy: Strategy, share_points: u64, share_bytes: u64) -> Self {
        Self {
            cache: Cache::new(CacheConfig {
                waiting_points_max: share_points,
                waiting_bytes_max: share_bytes,
                ..config(strategy)
            }),
            series: vec![Series::default(); usize::from(NAMES)],
            now: begin(),
            value: 0,
            inserted: 0,
            superseded: 0,
            written: 0,
            dropped: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Insert(name, at) => self.insert(usize::from(name), at),
            Step::Link(name) => {
                let series = &mut self.series[usize::from(name)];
                if let Some(id) = series.id {
                    series.links += 1;
                    assert!(self.cache.link(id));
                }
            }
            Step::Unlink(name) => {
                let series = &mut self.series[usize::from(name)];
                if let Some(id) = series.id
                    && series.links > 0
                {
                    series.links -= 1;
                    self.cache.unlink(id);
                }
            }
            Step::Next => self.take_next(),
            Step::Written(name) => self.land(usize::from(name), true),
            Step::PutBack(name) => self.land(usize::from(name), false),
            Step::Stand(name, standing) => self.stand(usize::from(name), standing),
            Step::Probe(standing) => {
                if let Some(id) = self.cache.unproven_next(Volume::FIRST) {
                    let index = self.index(id);
                    assert!(self.series[index].standing == Standing::Unproven);
                    self.stand(index, standing);
                }
            }
            Step::Make(standing) => {
                if let Some(id) = self.cache.missing_next(Volume::FIRST) {
                    let index = self.index(id);
                    assert!(self.series[index].standing == Standing::Missing);
                    self.stand(index, standing);
                }
            }
            Step::Create(standing) => {
                if let Some(id) = self.cache.waiting_next(Volume::FIRST) {
                    let index = self.index(id);
                    assert!(self.series[index].standing == Standing::Waiting);
                    self.stand(index, standing);
                }
            }
            Step::Later(seconds) => {
                self.now += Duration::from_secs(seconds);
                self.cache.expire(self.now);
                self.expire();
            }
            Step::Forget(bytes) => {
                let before = self.cache.usage();
                let forgotten = self.cache.forget_idle(bytes);
                assert!(forgotten <= before.idle_series);
                assert_eq!(self.cache.usage().series, before.series - forgotten);
            }
        }
        self.note_forgotten();
        self.check();
    }

    fn index(&self, id: SeriesId) -> usize {
        self.series
            .iter()
            .position(|series| series.id == Some(id))
            .unwrap()
    }

    fn insert(&mut self, index: usize, at: u32) {
        self.value += 1;
        self.inserted += 1;
        let before = self.cache.find(&name(index));
        let value = point(at, as_value(self.value));
        // Half of the points come by number, where there is one.
        let inserted = match before {
            Some(id) if self.value.is_multiple_of(2) => self.cache.insert_known(id, value),
            _ => self.cache.insert(&name(index), value),
        };
        let series = &mut self.series[index];
        let had = !series.cached.is_empty() || series.in_flight.is_some();
        match inserted.outcome {
            Insert::New(id) => {
                assert!(before.is_none());
                *series = Series {
                    id: Some(id),
                    ..Series::default()
                };
            }
            Insert::Woke(id) => assert!(before == Some(id) && !had),
            Insert::Added(id) => assert!(before == Some(id) && had),
            Insert::Superseded(_) => {
                assert!(series.cached.contains_key(&at));
                self.superseded += 1;
            }
            Insert::Refused(_) => assert!(!series.cached.contains_key(&at)),
        }
        if let Insert::Refused(_) = inserted.outcome {
            self.dropped += 1;
            let standing = series.standing;
            let mut others = inserted.dropped;
            match standing {
                Standing::Waiting => others.create_wait -= 1,
                Standing::Unmade | Standing::Parked => others.parked -= 1,
                Standing::Unproven | Standing::Missing | Standing::Writable => {
                    panic!("{standing:?} was refused")
                }
            }
            self.note_dropped(others);
        } else {
            series.cached.insert(at, self.value);
            self.note_dropped(inserted.dropped);
        }
    }

    fn take_next(&mut self) {
        let Some(id) = self.cache.next(Volume::FIRST, 1000) else {
            let is_ready = |series: &Series| {
                series.standing == Standing::Writable
                    && series.in_flight.is_none()
                    && !series.cached.is_empty()
            };
            assert!(!self.series.iter().any(is_ready), "somebody is ready");
            return;
        };
        let index = self.index(id);
        let mut out = Vec::new();
        self.cache.take(id, &mut out);
        let series = &mut self.series[index];
        assert!(series.standing == Standing::Writable && series.in_flight.is_none());
        let points = std::mem::take(&mut series.cached);
        let expected: Vec<Point> = points
            .iter()
            .map(|(at, value)| point(*at, as_value(*value)))
            .collect();
        assert_eq!(out, expected);
        series.in_flight = Some(points);
    }

    fn land(&mut self, index: usize, is_written: bool) {
        let series = &mut self.series[index];
        let Some(points) = series.in_flight.take() else {
            return;
        };
        let id = series.id.unwrap();
        if is_written {
            self.written += points.len() as u64;
            series.recent.push((self.now, points));
            self.cache.written(id, self.now);
            self.expire();
        } else {
            let all = points.len() + series.cached.len();
            let newer = std::mem::replace(&mut series.cached, points);
            series.cached.extend(newer);
            let superseded = all - series.cached.len();
            assert_eq!(self.cache.put_back(id) as usize, superseded);
            self.superseded += superseded as u64;
        }
    }

    fn stand(&mut self, index: usize, standing: Standing) {
        let series = &mut self.series[index];
        if let Some(id) = series.id
            && series.in_flight.is_none()
        {
            series.standing = standing;
            let dropped = self.cache.set_standing(id, standing);
            self.note_dropped(dropped);
        }
    }

    fn expire(&mut self) {
        let now = self.now;
        for series in &mut self.series {
            series
                .recent
                .retain(|(at, _)| now < *at + Duration::from_secs(5));
        }
    }

    /// Takes dropped points out of the maps: those that are gone, all in series of that reason.
    fn note_dropped(&mut self, dropped: Dropped) {
        self.dropped += dropped.total();
        let (mut waiting, mut parked) = (0, 0);
        for (index, series) in self.series.iter_mut().enumerate() {
            let left = self
                .cache
                .find(&name(index))
                .map_or(0, |id| self.cache.len(id)) as usize;
            let held = series.in_flight.as_ref().map_or(0, BTreeMap::len);
            let gone = (held + series.cached.len()).checked_sub(left).unwrap();
            for _ in 0..gone {
                series.cached.pop_first();
            }
            match series.standing {
                Standing::Waiting => waiting += gone,
                Standing::Unmade | Standing::Parked => parked += gone,
                Standing::Unproven | Standing::Missing | Standing::Writable => assert_eq!(gone, 0),
            }
        }
        let found = (waiting as u64, parked as u64);
        assert_eq!(found, (dropped.create_wait, dropped.parked));
    }

    fn note_forgotten(&mut self) {
        for (index, series) in self.series.iter_mut().enumerate() {
            if self.cache.find(&name(index)).is_none() {
                assert!(series.cached.is_empty() && series.in_flight.is_none());
                assert!(series.recent.is_empty() && series.links == 0);
                *series = Series::default();
            }
        }
    }

    fn check(&self) {
        let usage = self.cache.usage();
        assert_eq!(
            self.inserted,
            usage.points + self.superseded + self.written + self.dropped
        );
        let mut expected = Usage::default();
        let mut unproven = Load::default();
        for (index, series) in self.series.iter().enumerate() {
            let Some(id) = self.cache.find(&name(index)) else {
                continue;
            };
            assert_eq!(
                (Some(id), self.cache.name(id)),
                (series.id, name(index).as_str())
            );
            let in_flight = series.in_flight.as_ref().map_or(0, BTreeMap::len) as u64;
            let cached = series.cached.len() as u64;
            expected.points += cached + in_flight;
            expected.points_in_flight += in_flight;
            expected.series += 1;
            expected.queues += u64::from(cached + in_flight > 0);
            let is_held = cached + in_flight > 0 || !series.recent.is_empty() || series.links > 0;
            expected.idle_series += u64::from(!is_held);
            match series.standing {
                Standing::Waiting => expected.waiting_points += cached,
                Standing::Unmade | Standing::Parked => expected.parked_points += cached,
                Standing::Unproven => {
                    unproven.points += cached;
                    unproven.bytes += self.cache.series_load(id.0).bytes;
                }
                Standing::Missing => expected.missing_points += cached,
                Standing::Writable => {}
            }
            let mut visible = Points::new();
            for (_, points) in &series.recent {
                visible.extend(points);
            }
            visible.extend(series.in_flight.iter().flatten());
            visible.extend(&series.cached);
            let visible: Vec<(u32, f64)> = visible
                .iter()
                .map(|(at, value)| (*at, as_value(*value)))
                .collect();
            assert_eq!(seen(&self.cache, id), visible);
        }
        expected.bytes = usage.bytes;
        expected.held_bytes = usage.held_bytes;
        expected.unproven_series = usage.unproven_series;
        expected.waiting_bytes = usage.waiting_bytes;
        expected.parked_bytes = usage.parked_bytes;
        expected.recent_bytes = usage.recent_bytes;
        expected.oldest_age_s = usage.oldest_age_s;
        assert_eq!(usage, expected);
        assert_eq!(self.cache.shares[0].held(Standing::Unproven), unproven);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn every_point_is_accounted_for_once(
        strategy in prop::sample::select(Strategy::ALL),
        share_points in prop::sample::select(vec![0, 1, 5, 12, u64::MAX]),
        share_bytes in prop::sample::select(vec![0u64, 150, 500, 1500, 1 << 30]),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(strategy, share_points, share_bytes);
        for step in steps {
            world.step(step);
            let usage = world.cache.usage();
            prop_assert!(usage.waiting_points + usage.parked_points <= share_points);
            prop_assert!(usage.waiting_bytes + usage.parked_bytes <= share_bytes);
            let share = &world.cache.shares[0];
            let fileless = share.held(Standing::Waiting) + share.held(Standing::Unmade);
            prop_assert!(fileless.points <= share_points - share_points / PARKED_RESERVE);
            prop_assert!(fileless.bytes <= share_bytes - share_bytes / PARKED_RESERVE);
        }
    }
}
