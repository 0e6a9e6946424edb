//! The write order: which series is written next.
//! The names are those of CACHE_WRITE_STRATEGY in carbon.conf, and so are the choices: Python's (and
//! `deadline`, ours, which is in a file of its own), restricted to the series that can be written now (*ready*: writable, with cached points, nothing
//! in flight). What Python reads off its dict, the order of insertion, is here a tick that a series
//! gets when it comes to have cached points; a series that was written and gets points again comes
//! last, as a key that was popped and set again.
//! Snapshots (naive, sorted, timesorted) are gathered once all of the one before were chosen, a
//! bounded number of series each time somebody asks: of a million series in some 250 steps of a
//! fifth of a millisecond. Meanwhile nobody is chosen and points go on coming; who enters after the
//! first step is not meant. Every series has the rank that it had at its own step.
//! The other orders choose in microseconds and pay at insert: 0.2 to 0.3 us a point (max,
//! bucketmax), where the snapshots pay nothing. Of their inserts and landings a few rebuild a heap,
//! in time that grows with the series: up to 28 ms of a million.
//! None of them has to be fair: who is passed over for too long is found elsewhere (`starved`).
//! Ranks are given by `lanes`, for all data directories together.
//! Choosing changes nothing: who is chosen stays so until it is taken or is no longer ready.

use std::time::Duration;

use super::deadline::Deadline;
use super::points::Blocks;
use super::ranks::{Rank, Ranks};
use super::series::{Place, Record};
use super::snapshot::{First, Ranked, Snapshot};
use super::sweep::Sweep;
use super::{CacheConfig, Volume};
use crate::limits::SNAPSHOT_STEP_SERIES;
use crate::names::slab::{Slab, number};

/// A write order, by its carbon.conf name; all but the last are Python carbon's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Snapshot of all series, the latest to enter the cache first.
    Naive,
    /// Always the series with the most points; of equals the first to enter the cache.
    Max,
    /// Snapshot of all series, most points first; of equals the latest to enter the cache.
    Sorted,
    /// Snapshot of all series, the oldest unwritten timestamp first.
    TimeSorted,
    /// Always one of the series with the most points; of equals the first to have that many.
    BucketMax,
    /// Any series, all with the same chance.
    Random,
    /// Every series before its oldest point has been held for MAX_POINT_AGE; the one longest held
    /// first.
    Deadline,
}

impl Strategy {
    /// Every strategy, in the order of declaration.
    pub const ALL: &[Strategy] = &[
        Strategy::Naive,
        Strategy::Max,
        Strategy::Sorted,
        Strategy::TimeSorted,
        Strategy::BucketMax,
        Strategy::Random,
        Strategy::Deadline,
    ];

    /// The strategy that carbon.conf calls `name` (lower case, as Python compares it).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|strategy| strategy.name() == name)
    }

    /// Its name in carbon.conf.
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::Naive => "naive",
            Strategy::Max => "max",
            Strategy::Sorted => "sorted",
            Strategy::TimeSorted => "timesorted",
            Strategy::BucketMax => "bucketmax",
            Strategy::Random => "random",
            Strategy::Deadline => "deadline",
        }
    }
}

/// A snapshot under way.
#[derive(Debug)]
struct Gathering {
    /// Ready series before this place were looked at, and those from `end` on are not meant.
    cursor: usize,
    end: usize,
    /// Series that moved over the cursor when another one left.
    missed: Vec<u32>,
}

/// The ready series of a shard and the choice among them.
#[derive(Debug)]
pub(super) struct Order {
    strategy: Strategy,
    lag_s: u32,
    random: u64,
    /// Ready series in no order; `Record::before` is the place here. Unused by max and bucketmax.
    ready: Vec<u32>,
    /// What is left of the snapshot, or is there of it.
    snapshot: Snapshot,
    gathering: Option<Gathering>,
    /// The search for the first of the snapshot is to go on.
    is_searching: bool,
    /// Who entered after this tick is not meant by the snapshot.
    snapshot_tick: u64,
    /// timesorted: no ready series outside the snapshot has a point older than this.
    oldest_left: u32,
    ranks: Ranks,
    deadline: Deadline,
    /// Ready series.
    count: usize,
}

/// Records, to be changed, and by series where files lie.
pub(super) type Files<'a> = (&'a mut Slab<Record>, &'a [u32]);

/// The series that an order chooses from.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) records: &'a Slab<Record>,
    pub(super) blocks: &'a Blocks,
}

impl Field<'_> {
    /// Cached points of a series, not in flight.
    pub(super) fn len(self, id: u32) -> u32 {
        let record = &self.records[id];
        let late = if record.has_late {
            self.blocks.late_len(id)
        } else {
            0
        };
        record.cached.len() + late
    }

    /// Oldest cached timestamp of a series.
    pub(super) fn oldest(self, id: u32) -> u32 {
        let record = &self.records[id];
        let late = if record.has_late {
            self.blocks.late_oldest(id)
        } else {
            None
        };
        let oldest = record.cached.oldest();
        late.map_or(oldest, |late| late.min(oldest))
    }

    /// When a series came to its rank, where it is ready since this tick of the order or before.
    fn meant(self, id: u32, tick: u64) -> Option<u64> {
        if !self.records.contains(id) {
            return None;
        }
        let record = &self.records[id];
        let is_meant = record.place == Place::Ready && record.entered() <= tick;
        is_meant.then(|| record.entered())
    }

    fn holds(self, rank: Rank, points: u32) -> bool {
        self.records.contains(rank.id)
            && self.records[rank.id].place == Place::Ready
            && self.records[rank.id].entered() == rank.entered
            && self.len(rank.id) == points
    }
}

impl Order {
    /// An order without series, of a data directory.
    pub(super) fn new(config: &CacheConfig, volume: Volume) -> Self {
        let sweep = config.in_disk_order.then(|| Sweep::new(volume));
        Self {
            strategy: config.strategy,
            lag_s: config.timestamp_lag_s,
            random: config.seed,
            ready: Vec::new(),
            snapshot: Snapshot::default(),
            gathering: None,
            is_searching: false,
            snapshot_tick: 0,
            oldest_left: u32::MAX,
            ranks: Ranks::default(),
            deadline: Deadline::new(config.max_point_age_s, sweep),
            count: 0,
        }
    }

    /// From now on nothing is held back.
    pub(super) fn drain(&mut self) {
        self.lag_s = 0;
        self.deadline.drain();
    }

    /// Are points of a certain age alone written (`MIN_TIMESTAMP_LAG`)?
    pub(super) fn has_lag(&self) -> bool {
        self.lag_s() > 0
    }

    /// That age, in seconds; 0: points of any age are.
    pub(super) fn lag_s(&self) -> u32 {
        match self.strategy {
            Strategy::TimeSorted => self.lag_s,
            Strategy::Naive
            | Strategy::Max
            | Strategy::Sorted
            | Strategy::BucketMax
            | Strategy::Random
            | Strategy::Deadline => 0,
        }
    }

    /// The time since the beginning, and its second.
    pub(super) fn begin_turn(&mut self, files: Files<'_>, now: Duration, second: u32) {
        if self.strategy == Strategy::Deadline {
            self.deadline.begin_turn(files, now, second);
        }
    }

    /// What there is of the order `deadline`, where that is the order.
    pub(super) fn deadline(&self) -> Option<&Deadline> {
        (self.strategy == Strategy::Deadline).then_some(&self.deadline)
    }

    /// The same, to be changed.
    pub(super) fn deadline_mut(&mut self) -> Option<&mut Deadline> {
        (self.strategy == Strategy::Deadline).then_some(&mut self.deadline)
    }

    /// A series became ready.
    pub(super) fn enter(&mut self, records: &mut Slab<Record>, blocks: &Blocks, id: u32) {
        assert!(
            records[id].place == Place::Nowhere,
            "series {id} is in {:?}",
            records[id].place
        );
        records[id].place = Place::Ready;
        self.count += 1;
        if self.strategy == Strategy::Deadline {
            return self.deadline.enter(records, id);
        }
        if self.ranks_points() {
            let points = Field { records, blocks }.len(id);
            let entered = records[id].entered();
            self.ranks.add(points, Rank { entered, id });
            return;
        }
        records[id].before = number(self.ready.len());
        self.ready.push(id);
        self.note_oldest(Field { records, blocks }, id);
    }

    /// A series is no longer ready; its points are still those it had.
    pub(super) fn leave(&mut self, records: &mut Slab<Record>, blocks: &Blocks, id: u32) {
        assert!(
            records[id].place == Place::Ready,
            "series {id} is in {:?}",
            records[id].place
        );
        records[id].place = Place::Nowhere;
        self.count -= 1;
        if self.strategy == Strategy::Deadline {
            return self.deadline.leave(records, id);
        }
        if self.ranks_points() {
            let field = Field { records, blocks };
            let points = field.len(id);
            self.ranks.remove(points, |rank| field.holds(rank, points));
            return;
        }
        let place = records[id].before as usize;
        assert!(
            self.ready[place] == id,
            "series {id} is not at its place {place}"
        );
        self.ready.swap_remove(place);
        if let Some(moved) = self.ready.get(place) {
            records[*moved].before = number(place);
            let from = self.ready.len();
            if let Some(gathering) = &mut self.gathering
                && place < gathering.cursor
                && (gathering.cursor..gathering.end).contains(&from)
            {
                gathering.missed.push(*moved);
            }
        }
        if self.ready.len() < self.ready.capacity() / 8 {
            self.ready.shrink_to(self.ready.len() * 2);
        }
    }

    /// A ready series got one point more.
    pub(super) fn grew(&mut self, field: Field<'_>, id: u32) {
        if self.ranks_points() {
            let points = field.len(id);
            let entered = field.records[id].entered();
            self.ranks.add(points, Rank { entered, id });
            self.ranks
                .remove(points - 1, |rank| field.holds(rank, points - 1));
        } else {
            self.note_oldest(field, id);
        }
    }

    /// The series to be written next; the last rank that was given is this `tick`.
    pub(super) fn next(&mut self, field: Field<'_>, unix_now: u32, tick: u64) -> Option<u32> {
        match self.strategy {
            Strategy::Max | Strategy::BucketMax => {
                self.ranks.first(|points, rank| field.holds(rank, points))
            }
            Strategy::Random => self.any(),
            Strategy::Deadline => self.deadline.first(field.records),
            Strategy::Naive | Strategy::Sorted | Strategy::TimeSorted => {
                self.next_of_snapshot(field, unix_now, tick)
            }
        }
    }

    /// At most so many ready series are to be written now; fewer than ready where they are held.
    pub(super) fn due(&self, records: &Slab<Record>) -> usize {
        match self.deadline() {
            Some(deadline) => deadline.due(records, self.count),
            None => self.count,
        }
    }

    /// How many series are ready.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Is a choice under way that `next` did not come to the end of?
    pub(super) fn is_choosing(&self) -> bool {
        self.gathering.is_some() || self.is_searching
    }

    /// Bytes of the lists and heaps.
    pub(super) fn bytes(&self) -> usize {
        let missed = self
            .gathering
            .as_ref()
            .map_or(0, |gathering| gathering.missed.capacity());
        (self.ready.capacity() + missed) * size_of::<u32>()
            + self.snapshot.bytes()
            + self.ranks.bytes()
            + self.deadline.bytes()
    }

    fn ranks_points(&self) -> bool {
        matches!(self.strategy, Strategy::Max | Strategy::BucketMax)
    }

    fn note_oldest(&mut self, field: Field<'_>, id: u32) {
        if self.strategy == Strategy::TimeSorted {
            self.oldest_left = self.oldest_left.min(field.oldest(id));
        }
    }

    fn any(&mut self) -> Option<u32> {
        if self.ready.is_empty() {
            return None;
        }
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let place = (u128::from(bits) * self.ready.len() as u128) >> 64;
        let Ok(place) = usize::try_from(place) else {
            unreachable!("place {place} is past the end");
        };
        Some(self.ready[place])
    }

    fn next_of_snapshot(&mut self, field: Field<'_>, unix_now: u32, tick: u64) -> Option<u32> {
        if self.gathering.is_none() {
            match self.first_of_snapshot(field) {
                First::Is(id) => return Some(id),
                First::Later => return None,
                First::Nobody => self.begin_snapshot(unix_now, tick),
            }
        }
        self.gather(field, unix_now);
        if self.gathering.is_some() {
            return None;
        }
        match self.first_of_snapshot(field) {
            First::Is(id) => Some(id),
            First::Later => None,
            First::Nobody => {
                // All have left since the first step. Others may have come.
                self.begin_snapshot(unix_now, tick);
                None
            }
        }
    }

    fn first_of_snapshot(&mut self, field: Field<'_>) -> First {
        let tick = self.snapshot_tick;
        let first = self.snapshot.first(|id| field.meant(id, tick));
        self.is_searching = first == First::Later;
        first
    }

    /// Begins a snapshot of who is ready now, where there is anybody who may be due.
    fn begin_snapshot(&mut self, unix_now: u32, tick: u64) {
        let is_due = self.lag_s == 0
            || self.strategy != Strategy::TimeSorted
            || self.lags(self.oldest_left, unix_now);
        if self.ready.is_empty() || !is_due {
            return;
        }
        self.oldest_left = u32::MAX;
        self.snapshot_tick = tick;
        self.gathering = Some(Gathering {
            cursor: 0,
            end: self.ready.len(),
            missed: Vec::new(),
        });
    }

    /// Python: `t - min_timestamp > MIN_TIMESTAMP_LAG`.
    fn lags(&self, oldest: u32, unix_now: u32) -> bool {
        i64::from(unix_now) - i64::from(oldest) > i64::from(self.lag_s)
    }

    /// One step of the snapshot under way, if there is one.
    fn gather(&mut self, field: Field<'_>, unix_now: u32) {
        let Some(mut gathering) = self.gathering.take() else {
            return;
        };
        let last = gathering.end.min(self.ready.len());
        let begin = gathering.cursor.min(last);
        gathering.cursor = last.min(begin + SNAPSHOT_STEP_SERIES);
        let later = gathering.missed.len().saturating_sub(SNAPSHOT_STEP_SERIES);
        let missed = gathering.missed.split_off(later);
        let mut ranked = Vec::with_capacity(gathering.cursor - begin + missed.len());
        for id in self.ready[begin..gathering.cursor].iter().chain(&missed) {
            let Some(minor) = field.meant(*id, self.snapshot_tick) else {
                continue;
            };
            let mut major = 0;
            if self.strategy == Strategy::Sorted {
                major = field.len(*id);
            } else if self.strategy == Strategy::TimeSorted {
                let oldest = field.oldest(*id);
                if self.lag_s > 0 && !self.lags(oldest, unix_now) {
                    self.oldest_left = self.oldest_left.min(oldest);
                    continue;
                }
                major = !oldest;
            }
            let id = *id;
            ranked.push(Ranked { major, minor, id });
        }
        self.snapshot.add(ranked);
        if gathering.cursor < last || !gathering.missed.is_empty() {
            self.gathering = Some(gathering);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_strategy() {
        for strategy in Strategy::ALL {
            assert_eq!(Strategy::from_name(strategy.name()), Some(*strategy));
        }
        assert_eq!(Strategy::from_name("Sorted"), None);
        assert_eq!(Strategy::from_name(""), None);
    }
}
