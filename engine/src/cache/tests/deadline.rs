//! The order `deadline` and the ages of points, against maps: every point with the second of its
//! receipt. What is promised: a stamp is never later than the receipt of the oldest unwritten point,
//! nor is the second from which the order holds it; nothing is written before its time, everything
//! before it is late, an update is cut at slots of the second archive or not at all.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::Strategy as Generate;

use super::super::Strategy;
use super::*;

pub(super) const HOLD_S: u32 = 20;
/// Seconds of holding after which a series may be written, and is to be written.
const OPEN_S: u32 = 16;
pub(super) const LATE_S: u32 = 19;
const STEP_S: u32 = 30;
const NAMES: usize = 6;

pub(super) fn cache(in_disk_order: bool) -> Cache {
    Cache::new(CacheConfig {
        max_point_age_s: HOLD_S,
        in_disk_order,
        ..config(Strategy::Deadline)
    })
}

/// A cache whose time is set by hand.
pub(super) struct Clocked {
    pub(super) cache: Cache,
    began: Instant,
    now: Duration,
    /// The wall clock when the process began.
    epoch: u32,
}

impl Clocked {
    pub(super) fn new() -> Self {
        Self::of(cache(false))
    }

    /// The same in the order of the disk.
    pub(super) fn in_disk_order() -> Self {
        Self::of(cache(true))
    }

    pub(super) fn of(cache: Cache) -> Self {
        let began = cache.began;
        let now = Duration::ZERO;
        let epoch = 910;
        Self {
            cache,
            began,
            now,
            epoch,
        }
    }

    pub(super) fn at(&mut self, seconds: f64) {
        self.now = Duration::from_secs_f64(seconds);
        self.begin_turn();
    }

    fn begin_turn(&mut self) {
        let seconds = u32::try_from(self.now.as_secs()).unwrap();
        self.cache.begin_turn(Now {
            unix_seconds: self.epoch + seconds,
            ..at(self.instant())
        });
    }

    pub(super) fn instant(&self) -> Instant {
        self.began + self.now
    }

    /// A series whose file is there, with points of these seconds.
    pub(super) fn put(&mut self, name: &str, timestamps: &[u32]) -> SeriesId {
        let mut id = SeriesId(0);
        for timestamp in timestamps {
            id = put(&mut self.cache, name, *timestamp);
        }
        if self.cache.standing(id) == Standing::Unproven {
            stand(&mut self.cache, id, Standing::Writable);
        }
        id
    }

    fn take(&mut self, id: SeriesId) -> Vec<u32> {
        let mut out = Vec::new();
        self.cache.take_whole(id, Some(STEP_S), 0, &mut out);
        out.iter().map(|point| point.timestamp).collect()
    }

    fn write(&mut self, id: SeriesId) -> Vec<u32> {
        let taken = self.take(id);
        let now = self.instant();
        self.cache.written(id, now);
        taken
    }

    /// Turns at this moment until nothing is due; who was written, in order.
    pub(super) fn write_due(&mut self) -> Vec<SeriesId> {
        let mut written = Vec::new();
        while let Some(id) = self.cache.next(Volume::FIRST, 0) {
            self.write(id);
            written.push(id);
        }
        written
    }

    /// Goes on in time as it is asked to, writing what is due, until then. Who was written when.
    pub(super) fn run(&mut self, until: f64) -> Vec<(SeriesId, Duration)> {
        let mut log = Vec::new();
        let until = Duration::from_secs_f64(until);
        for turns in 0.. {
            assert!(turns < 20_000, "a turn is due again and again");
            log.extend(self.write_due().into_iter().map(|id| (id, self.now)));
            let due = self.cache.next_due(Volume::FIRST, self.instant()).unwrap();
            let next = (due - self.began).max(self.now + Duration::from_millis(1));
            if next > until {
                break;
            }
            self.at(next.as_secs_f64());
        }
        self.at(until.as_secs_f64());
        log
    }

    /// The same, with the age of what was received at these seconds. None is written too young.
    pub(super) fn ages(
        &mut self,
        until: f64,
        received: &mut BTreeMap<SeriesId, u32>,
    ) -> Vec<(SeriesId, Duration)> {
        let age = |(id, at): (SeriesId, Duration)| {
            let came = Duration::from_secs(u64::from(received.remove(&id).unwrap()));
            let age = at.checked_sub(came).unwrap();
            assert!(age >= Duration::from_secs(u64::from(OPEN_S)), "{age:?}");
            (id, age)
        };
        self.run(until).into_iter().map(age).collect()
    }
}

#[test]
fn a_point_is_held_and_written_before_it_is_late() {
    let mut clocked = Clocked::new();
    clocked.at(100.5);
    let id = clocked.put("a", &[1000]);
    let log = clocked.run(110.0);
    assert_eq!(log, [], "held");
    clocked.put("a", &[1010]);
    let log = clocked.run(130.0);
    let [(written, at)] = log.as_slice() else {
        panic!("{log:?}")
    };
    assert_eq!(*written, id);
    let at = at.as_secs_f64();
    assert!((116.0..=119.0).contains(&at), "{at}");
    assert_eq!(clocked.cache.usage().points, 0);
}

#[test]
fn a_burst_is_spread_over_the_window_and_in_order() {
    let mut clocked = Clocked::new();
    clocked.at(50.0);
    let ids: Vec<SeriesId> = (0..3_000)
        .map(|number| clocked.put(&format!("m{number}"), &[1000]))
        .collect();
    let log = clocked.run(75.0);
    let (written, times): (Vec<_>, Vec<_>) = log.into_iter().unzip();
    assert_eq!(written, ids, "first in, first out");
    let (first, last) = (times[0].as_secs_f64(), times[2_999].as_secs_f64());
    assert!((66.0..66.2).contains(&first), "{first}");
    assert!((68.5..=69.1).contains(&last), "{last}");
    for tenth in 660..690 {
        let begin = Duration::from_millis(tenth * 100);
        let end = begin + Duration::from_millis(100);
        let count = times.iter().filter(|at| (begin..end).contains(*at)).count();
        assert!(
            count <= 200,
            "{count} in the tenth of a second at {begin:?}"
        );
    }
}

#[test]
fn a_stream_settles_within_the_window() {
    let mut clocked = Clocked::new();
    let mut late = Duration::ZERO;
    let mut received = BTreeMap::new();
    let mut written = 0;
    for second in 1..200_u32 {
        clocked.at(f64::from(second));
        for number in 0..10 {
            let id = clocked.put(&format!("m{}", second % 40 * 10 + number), &[second]);
            received.entry(id).or_insert(second);
        }
        for (_, age) in clocked.ages(f64::from(second) + 0.999, &mut received) {
            late = late.max(age);
            written += 1;
        }
    }
    assert!(late <= Duration::from_millis(19_100), "{late:?}");
    assert!(written > 1_700, "{written}");
}

#[test]
fn who_may_not_be_held_is_written_at_once_and_the_shorter_hold_first() {
    let mut clocked = Clocked::new();
    clocked.at(10.0);
    let held = clocked.put("held", &[1]);
    let short = put(&mut clocked.cache, "short", 1);
    clocked.cache.set_hold(short, 10);
    stand(&mut clocked.cache, short, Standing::Writable);
    assert_eq!(clocked.write_due(), []);
    clocked.at(12.0);
    let at_once = put(&mut clocked.cache, "at once", 1);
    clocked.cache.set_hold(at_once, 0);
    stand(&mut clocked.cache, at_once, Standing::Writable);
    let new = clocked.put("new", &[1]);
    clocked.cache.hurry(new);
    assert_eq!(clocked.write_due(), [at_once, new]);
    let order: Vec<SeriesId> = clocked.run(40.0).into_iter().map(|(id, _)| id).collect();
    assert_eq!(order, [short, held]);
    // The hold stays, the hurry was for once.
    clocked.put("at once", &[50]);
    clocked.put("new", &[50]);
    assert_eq!(clocked.write_due(), [at_once]);
}

#[test]
fn rushed_and_draining_everything_goes_the_oldest_first() {
    for is_drain in [false, true] {
        let mut clocked = Clocked::new();
        let mut ids = Vec::new();
        for second in 1..5_u32 {
            clocked.at(f64::from(second));
            ids.push(clocked.put(&format!("m{second}"), &[second]));
        }
        assert_eq!(
            (
                clocked.cache.next(Volume::FIRST, 0),
                clocked.cache.due(Volume::FIRST)
            ),
            (None, 0)
        );
        if is_drain {
            clocked.cache.drain();
        } else {
            clocked.cache.set_rushed(true);
        }
        assert_eq!(clocked.cache.due(Volume::FIRST), 4);
        assert_eq!(clocked.write_due(), ids);
        clocked.put("m1", &[9]);
        clocked.cache.set_rushed(false);
        assert_eq!(clocked.cache.next(Volume::FIRST, 0).is_some(), is_drain);
    }
}

#[test]
fn too_many_holds_share_the_next_shorter_one() {
    let mut clocked = Clocked::new();
    clocked.at(1.0);
    let mut hold = |name: &str, hold_s| {
        let id = put(&mut clocked.cache, name, 1);
        clocked.cache.set_hold(id, hold_s);
        let class = clocked.cache.table[id.0].due().class;
        clocked
            .cache
            .orders
            .deadline(Volume::FIRST)
            .unwrap()
            .class_hold_s(class)
    };
    assert_eq!([hold("a", 7), hold("b", 500), hold("c", 7)], [7, HOLD_S, 7]);
    let mut deadline = super::super::deadline::Deadline::new(1_000, None);
    for hold_s in (1..300).rev() {
        let class = deadline.class(hold_s);
        let given = deadline.class_hold_s(class);
        let is_own = hold_s > 300 - 63;
        assert_eq!(given, if is_own { hold_s } else { 0 }, "{hold_s}");
    }
    let class = deadline.class(999);
    assert_eq!(deadline.class_hold_s(class), 299);
}

#[test]
fn an_update_ends_where_a_slot_of_the_second_archive_does() {
    let mut clocked = Clocked::new();
    clocked.at(100.0);
    let id = clocked.put("a", &[1010]);
    clocked.at(110.0);
    clocked.put("a", &[1019, 1020]);
    clocked.at(116.0);
    clocked.put("a", &[1026]);
    assert_eq!(clocked.take(id), [1010, 1019]);
    assert_eq!(clocked.cache.usage().points_in_flight, 2);
    let all = [1010, 1019, 1020, 1026].map(|at| (at, 1.0));
    assert_eq!(seen(&clocked.cache, id), all);
    clocked.put("a", &[1027]);
    let now = clocked.instant();
    assert_eq!(clocked.cache.written(id, now), 2);
    // Held from just before the second at which the first of those left came, 110.
    assert_eq!(clocked.cache.table[id.0].due().since, 108);
    assert_eq!(clocked.cache.oldest_unwritten(), Some(100));
    clocked.at(123.0);
    assert_eq!(clocked.write_due(), []);
    clocked.at(140.0);
    clocked.put("a", &[1036, 1050]);
    assert_eq!(clocked.take(id), [1020, 1026, 1027, 1036]);
    let now = clocked.instant();
    clocked.cache.written(id, now);
    // All that is left came after the take at 116.
    assert_eq!(clocked.cache.oldest_unwritten(), Some(116));
    assert_eq!(seen(&clocked.cache, id).len(), 5, "still answerable");
    clocked.cache.drain();
    assert_eq!(clocked.write(id), [1050]);
    assert_eq!(clocked.cache.oldest_unwritten(), None);
}

#[test]
fn a_value_corrected_far_behind_stays_so_on_either_side_of_a_cut() {
    let mut clocked = Clocked::new();
    clocked.at(110.0);
    let id = clocked.put("a", &(1000..1020).collect::<Vec<u32>>());
    clocked.at(122.0);
    clocked.put("a", &(1020..1029).collect::<Vec<u32>>());
    for at in [1005, 1020] {
        let corrected = Point {
            timestamp: at,
            value: 7.0,
        };
        clocked.cache.insert("a", corrected);
    }
    let mut all: Vec<(u32, f64)> = (1000..1029).map(|at| (at, 1.0)).collect();
    (all[5].1, all[20].1) = (7.0, 7.0);
    assert_eq!(seen(&clocked.cache, id), all);
    assert_eq!(clocked.take(id), (1000..1020).collect::<Vec<u32>>());
    assert_eq!(
        (clocked.cache.len(id), seen(&clocked.cache, id)),
        (29, all.clone())
    );
    let now = clocked.instant();
    assert_eq!(clocked.cache.written(id, now), 20);
    assert_eq!((clocked.cache.len(id), seen(&clocked.cache, id)), (9, all));
    clocked.cache.drain();
    assert_eq!(clocked.write(id), (1020..1029).collect::<Vec<u32>>());
    assert!(clocked.cache.is_empty());
}

#[test]
fn what_is_not_cut() {
    let mut clocked = Clocked::new();
    clocked.at(100.0);
    let one_slot = clocked.put("a", &[1000, 1010]);
    let backfill = clocked.put("b", &[5, 1000]);
    let old = clocked.put("c", &[989, 990]);
    let late = clocked.put("d", &[1000, 1010, 980]);
    let rushed = clocked.put("e", &[1000]);
    let cut = clocked.put("f", &[1000]);
    let future = clocked.put("g", &[1000]);
    clocked.at(110.0);
    for name in ["b", "d", "e", "f"] {
        clocked.put(name, &[1020]);
    }
    clocked.put("g", &[1022]);
    clocked.at(117.0);
    assert_eq!(clocked.take(one_slot), [1000, 1010]);
    assert_eq!(clocked.take(backfill), [5, 1000, 1020]);
    assert_eq!(clocked.take(old), [989, 990], "due again at once");
    assert_eq!(clocked.take(late), [980, 1000, 1010, 1020]);
    assert_eq!(clocked.take(future), [1000, 1022], "it came too early");
    assert_eq!(clocked.take(cut), [1000]);
    clocked.cache.set_rushed(true);
    assert_eq!(clocked.take(rushed), [1000, 1020]);
    // What could not be written is written whole.
    clocked.cache.set_rushed(false);
    clocked.cache.put_back(cut);
    assert_eq!(clocked.take(cut), [1000, 1020]);
}

/// Their timestamps lie on both sides of a slot of the second archive; their receipt does not.
#[test]
fn points_that_came_together_are_written_together() {
    let mut clocked = Clocked::new();
    clocked.at(115.0);
    let id = clocked.put("a", &(1000..1025).collect::<Vec<u32>>());
    let log = clocked.run(115.0 + f64::from(HOLD_S));
    assert!(clocked.cache.is_empty(), "held for longer than promised");
    assert_eq!(log.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id]);
}

/// What is known of a series beside the cache: of each unwritten point its second of receipt.
#[derive(Clone, Debug, Default)]
struct Known {
    id: Option<SeriesId>,
    cached: BTreeMap<u32, u32>,
    in_flight: Option<BTreeMap<u32, u32>>,
    /// When its points were journaled once more: nothing depends on what came before.
    carried: u32,
}

impl Known {
    fn oldest(&self) -> Option<u32> {
        let flight = self.in_flight.iter().flat_map(BTreeMap::values);
        flight.chain(self.cached.values()).min().copied()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A point so many seconds of timestamp after the present one, less 40.
    Insert(usize, u32),
    Take(usize),
    TakeNext,
    Land(usize, bool),
    Stand(usize, bool),
    /// Of a series that cannot be written.
    Carry(usize),
    Later(u32),
}

fn step() -> impl Generate<Value = Step> {
    prop_oneof![
        10 => (0..NAMES, 0..45_u32).prop_map(|(name, at)| Step::Insert(name, at)),
        6 => (0..NAMES).prop_map(|name| Step::Insert(name, 40)),
        2 => (0..NAMES).prop_map(Step::Take),
        3 => Just(Step::TakeNext),
        5 => (0..NAMES, prop::bool::weighted(0.8)).prop_map(|(name, is_written)| Step::Land(name, is_written)),
        1 => (0..NAMES, any::<bool>()).prop_map(|(name, is_parked)| Step::Stand(name, is_parked)),
        1 => (0..NAMES).prop_map(Step::Carry),
        6 => (1..9_u32).prop_map(Step::Later),
    ]
}

struct World {
    clocked: Clocked,
    known: Vec<Known>,
    second: u32,
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Insert(name, at) => self.insert(name, 1_000 + self.second + at - 40),
            Step::Take(name) => {
                let series = &self.known[name];
                if let Some(id) = series.id
                    && series.in_flight.is_none()
                    && !series.cached.is_empty()
                    && self.clocked.cache.standing(id) == Standing::Writable
                {
                    self.take(name);
                }
            }
            Step::TakeNext => {
                if let Some(id) = self.clocked.cache.next(Volume::FIRST, 0) {
                    let is_id = |series: &Known| series.id == Some(id);
                    let name = self.known.iter().position(is_id).unwrap();
                    self.check_time(name);
                    self.take(name);
                }
            }
            Step::Land(name, is_written) => self.land(name, is_written),
            Step::Stand(name, is_parked) => {
                let series = &self.known[name];
                if let Some(id) = series.id
                    && series.in_flight.is_none()
                {
                    let parked = [Standing::Writable, Standing::Parked][usize::from(is_parked)];
                    stand(&mut self.clocked.cache, id, parked);
                }
            }
            Step::Carry(name) => {
                let series = &mut self.known[name];
                if let Some(id) = series.id
                    && series.in_flight.is_none()
                    && !series.cached.is_empty()
                    && self.clocked.cache.standing(id) == Standing::Parked
                {
                    self.clocked.cache.carried(id, self.second);
                    series.carried = self.second;
                }
            }
            Step::Later(seconds) => {
                self.second += seconds;
                self.clocked.at(f64::from(self.second));
            }
        }
        self.check();
    }

    fn insert(&mut self, name: usize, timestamp: u32) {
        let id = put(&mut self.clocked.cache, &format!("m{name}"), timestamp);
        let series = &mut self.known[name];
        if series.id.is_none() {
            stand(&mut self.clocked.cache, id, Standing::Writable);
        }
        series.id = Some(id);
        series.cached.entry(timestamp).or_insert(self.second);
    }

    fn take(&mut self, name: usize) {
        let taken = self.clocked.take(self.known[name].id.unwrap());
        let series = &mut self.known[name];
        let rest = series.cached.split_off(&(taken.last().unwrap() + 1));
        assert!(taken.iter().eq(series.cached.keys()), "{taken:?}");
        if let Some((first, _)) = rest.first_key_value() {
            let newest = *rest.last_key_value().unwrap().0;
            assert_eq!(first - first % STEP_S, newest - newest % STEP_S, "one slot");
            assert!(taken.iter().all(|at| *at < newest - newest % STEP_S));
        }
        series.in_flight = Some(std::mem::replace(&mut series.cached, rest));
    }

    fn land(&mut self, name: usize, is_written: bool) {
        let series = &mut self.known[name];
        let Some(points) = series.in_flight.take() else {
            return;
        };
        let id = series.id.unwrap();
        if is_written {
            let now = self.clocked.instant();
            self.clocked.cache.written(id, now);
        } else {
            for (at, received) in points {
                series.cached.entry(at).or_insert(received);
            }
            self.clocked.cache.put_back(id);
        }
    }

    /// Nothing is chosen before its time.
    fn check_time(&self, name: usize) {
        if self
            .clocked
            .cache
            .orders
            .deadline(Volume::FIRST)
            .unwrap()
            .is_everything_due()
        {
            return;
        }
        let due = self.clocked.cache.table[self.known[name].id.unwrap().0].due();
        assert!(due.since + OPEN_S <= self.second);
    }

    fn check(&mut self) {
        self.clocked.begin_turn();
        let cache = &mut self.clocked.cache;
        let mut oldest = None;
        for series in &self.known {
            let unwritten = series.oldest();
            let Some(id) = series.id else { continue };
            assert_eq!(cache.ages.has(id.0), unwritten.is_some());
            let Some(unwritten) = unwritten else { continue };
            let stamp = cache.ages.stamp(id.0);
            assert!(stamp <= unwritten.max(series.carried), "{stamp} {series:?}");
            let since = cache.table[id.0].due().since;
            assert!(since <= self.second);
            let cached = series.cached.values().min();
            let is_kept = cached.is_none_or(|first| since <= *first.max(&series.carried));
            assert!(is_kept, "held from {since}: {series:?}");
            oldest = oldest.min(Some(stamp)).or(Some(stamp));
            let points =
                series.cached.len() + series.in_flight.iter().map(BTreeMap::len).sum::<usize>();
            assert_eq!(cache.len(id) as usize, points);
        }
        assert_eq!(cache.oldest_unwritten(), oldest);
        let is_late = |series: &Known| {
            series.in_flight.is_none()
                && series.id.is_some_and(|id| {
                    cache.standing(id) == Standing::Writable
                        && !series.cached.is_empty()
                        && cache.table[id.0].due().since + LATE_S <= self.second
                })
        };
        let late = self.known.iter().any(is_late);
        assert!(
            !late || cache.next(Volume::FIRST, 0).is_some(),
            "somebody is late"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn stamps_are_never_later_than_receipts(
        steps in prop::collection::vec(step(), 1..200),
        in_disk_order in any::<bool>(),
    ) {
        let mut clocked = Clocked::of(cache(in_disk_order));
        clocked.epoch = 1000;
        let mut world = World {
            clocked,
            known: vec![Known::default(); NAMES],
            second: 50,
        };
        world.clocked.at(50.0);
        for step in steps {
            world.step(step);
        }
        world.clocked.cache.drain();
        for name in 0..NAMES {
            world.land(name, true);
            world.step(Step::Stand(name, false));
        }
        while !world.clocked.cache.is_empty() {
            world.step(Step::TakeNext);
            for name in 0..NAMES {
                world.land(name, true);
            }
        }
        prop_assert_eq!(world.clocked.cache.oldest_unwritten(), None);
        prop_assert!(world.clocked.cache.is_empty());
    }
}

#[test]
fn what_was_carried_has_a_stamp_no_later_than_what_came_behind() {
    let mut clocked = Clocked::new();
    clocked.at(100.0);
    let id = clocked.put("carried", &[1010]);
    clocked.at(115.0);
    clocked.put("carried", &[1025]);
    clocked.at(116.0);
    assert_eq!(clocked.write(id), [1010], "cut where a slot begins");
    clocked.at(130.0);
    stand(&mut clocked.cache, id, Standing::Parked);
    let second = clocked.cache.present();
    clocked.cache.carried(id, second);
    stand(&mut clocked.cache, id, Standing::Writable);
    clocked.at(140.0);
    let received = clocked.cache.present();
    clocked.put("carried", &[1050]);
    clocked.at(145.0);
    clocked.put("carried", &[1055]);
    clocked.at(146.0);
    assert_eq!(clocked.write(id), [1025]);
    let stamp = clocked.cache.ages.stamp(id.0);
    assert!(
        stamp <= received,
        "{stamp} of a point that came in {received}"
    );
}
