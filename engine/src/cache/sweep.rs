//! Due series in the order in which their files lie on the disk: an elevator.
//! A series is *held* until it may be written, then *due*, at its file's location. The head goes from
//! the first location to the last and takes who is due on its way; who becomes due behind it waits for
//! the next pass. The pace is such that a pass ends before the first of those ahead is late, and
//! that those behind are reached in time.
//! A series becomes due a bounded number a turn; entering and leaving cost a look into a heap.
//! Invariants: a due series has the sweep's mark in its record and one entry in a heap that was made
//! when it became due; the first entry ahead is a due series', unless nobody is due.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::Volume;
use super::order::Files;
use super::queues::Queue;
use super::series::{NONE, Place, Record};
use crate::limits::{PACE_STEP, SWEEP_RUSHED_MAX, SWEEP_STEP_SERIES};
use crate::names::slab::{Slab, number};

/// In the record of a series that is due in the first data directory, instead of who comes after it in
/// a list; below it, of those in others, so that an entry of a series whose file has moved is none.
const DUE: u32 = NONE - 1;

/// A due series: its file's location, its number.
type Stop = Reverse<(u32, u32)>;

/// The due series on one side of the head.
#[derive(Debug)]
struct Side {
    stops: BinaryHeap<Stop>,
    /// The first of them is late at this second, or later where that one has left.
    late_at: u32,
}

impl Default for Side {
    fn default() -> Self {
        Self {
            stops: BinaryHeap::new(),
            late_at: u32::MAX,
        }
    }
}

/// When a series is late, and from when on it may be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) opens_at: u32,
    pub(super) late_at: u32,
}

/// The ready series of a disk with heads.
#[derive(Debug)]
pub(super) struct Sweep {
    /// `after` in the record of its due series.
    mark: u32,
    /// By the second at which their series become late.
    held: BTreeMap<u32, Queue>,
    head: u32,
    ahead: Side,
    behind: Side,
    due: usize,
    /// Series that the pace has allowed and that were not taken yet.
    allowed: f64,
    now: Duration,
    second: u32,
}

impl Sweep {
    /// No series, of a data directory.
    pub(super) fn new(volume: Volume) -> Self {
        Self {
            mark: DUE - number(volume.index()),
            held: BTreeMap::new(),
            head: 0,
            ahead: Side::default(),
            behind: Side::default(),
            due: 0,
            allowed: 0.0,
            now: Duration::ZERO,
            second: 0,
        }
    }

    /// A series became ready; it is late at this second.
    pub(super) fn enter(&mut self, records: &mut Slab<Record>, id: u32, late_at: u32) {
        self.held.entry(late_at).or_default().push(records, id);
    }

    /// A series is no longer ready.
    pub(super) fn leave(&mut self, records: &mut Slab<Record>, id: u32, late_at: u32) {
        if records[id].after != self.mark {
            return self.unhold(records, id, late_at);
        }
        records[id].after = NONE;
        self.due -= 1;
        self.allowed = (self.allowed - 1.0).max(0.0);
        if let Some(Reverse((location, first))) = self.ahead.stops.peek()
            && *first == id
        {
            self.head = *location;
        }
        self.pass_over(records);
    }

    /// The time since the beginning: series become due, and the pace allows more. `times` says when
    /// a series may be written; where all may, some of them become due before.
    pub(super) fn begin_turn(
        &mut self,
        (records, locations): Files<'_>,
        (now, second): (Duration, u32),
        are_all_due: bool,
        times: impl Fn(&Record) -> Times,
    ) {
        // Who slept meanwhile does not make up for it in a burst.
        let passed = now.saturating_sub(self.now).min(4 * PACE_STEP);
        (self.now, self.second) = (now, second);
        for _ in 0..SWEEP_STEP_SERIES {
            let Some((_, id)) = self.first_held() else {
                break;
            };
            let Times { opens_at, late_at } = times(&records[id]);
            if opens_at > second && !(are_all_due && self.due < SWEEP_RUSHED_MAX) {
                break;
            }
            self.unhold(records, id, late_at);
            let location = locations.get(id as usize).copied().unwrap_or(0);
            self.make_due(records, (location, id), late_at);
        }
        self.pass_over(records);
        let pace = self.pace();
        if pace.is_finite() {
            self.allowed += pace * passed.as_secs_f64();
        }
        self.allowed = self.allowed.min(count(self.due));
    }

    /// The series that is to be written now, if there is one.
    pub(super) fn first(&self, are_all_due: bool) -> Option<u32> {
        let Reverse((_, id)) = self.ahead.stops.peek()?;
        let is_due = are_all_due || self.is_late() || self.allowed >= 1.0;
        is_due.then_some(*id)
    }

    /// How many series are due.
    pub(super) fn due(&self) -> usize {
        self.due
    }

    /// When to look again, from now, where nobody is to be written now: the pace allows one, or
    /// somebody becomes due. None: no series is here.
    pub(super) fn next_look(
        &self,
        are_all_due: bool,
        opens_at: impl Fn(u32) -> u32,
    ) -> Option<Duration> {
        let opens = self.first_held().map(|(_, id)| {
            let opens_at = if are_all_due { 0 } else { opens_at(id) };
            Duration::from_secs(u64::from(opens_at)).saturating_sub(self.now)
        });
        let pace = self.pace();
        let paced = (self.due > 0).then(|| {
            let wait = (1.0 - self.allowed).max(0.0) / pace.max(f64::MIN_POSITIVE);
            // A little more, so that it is there then.
            let wait = wait.min(1.0).max(PACE_STEP.as_secs_f64());
            Duration::from_secs_f64(wait) + Duration::from_micros(1)
        });
        match (opens, paced) {
            (Some(opens), Some(paced)) => Some(opens.min(paced)),
            (one, other) => one.or(other),
        }
    }

    /// Bytes of the lists and the heaps; a list costs `list_bytes`.
    pub(super) fn bytes(&self, list_bytes: usize) -> usize {
        let stops = self.ahead.stops.capacity() + self.behind.stops.capacity();
        stops * size_of::<Stop>() + self.held.len() * list_bytes
    }

    /// Who is late first of those that are held, and when.
    fn first_held(&self) -> Option<(u32, u32)> {
        let (late_at, list) = self.held.first_key_value()?;
        let Some(id) = list.first() else {
            unreachable!("the list of second {late_at} is empty");
        };
        Some((*late_at, id))
    }

    fn unhold(&mut self, records: &mut Slab<Record>, id: u32, late_at: u32) {
        let Some(list) = self.held.get_mut(&late_at) else {
            unreachable!("series {id} is late at {late_at}, which has no list");
        };
        list.remove(records, id);
        if list.len() == 0 {
            self.held.remove(&late_at);
        }
    }

    fn make_due(&mut self, records: &mut Slab<Record>, (location, id): (u32, u32), late_at: u32) {
        let side = if location >= self.head {
            &mut self.ahead
        } else {
            &mut self.behind
        };
        side.stops.push(Reverse((location, id)));
        side.late_at = side.late_at.min(late_at);
        records[id].after = self.mark;
        self.due += 1;
    }

    /// Takes entries of those that have left from the front, and turns round at the end.
    fn pass_over(&mut self, records: &Slab<Record>) {
        let mark = self.mark;
        let is_due = |id: u32| {
            let is_ready = records.contains(id) && records[id].place == Place::Ready;
            is_ready && records[id].after == mark
        };
        loop {
            while let Some(Reverse((_, id))) = self.ahead.stops.peek() {
                if is_due(*id) {
                    return;
                }
                self.ahead.stops.pop();
            }
            self.head = 0;
            if self.behind.stops.is_empty() {
                break;
            }
            std::mem::swap(&mut self.ahead, &mut self.behind);
            self.behind = Side::default();
        }
        assert!(self.due == 0, "{} due series have no entry", self.due);
        (self.ahead, self.behind) = (Side::default(), Side::default());
        self.allowed = 0.0;
    }

    /// Is somebody late who is due?
    pub(super) fn is_late(&self) -> bool {
        self.ahead.late_at.min(self.behind.late_at) <= self.second
    }

    /// Updates a second that reach everybody in time.
    fn pace(&self) -> f64 {
        let reach = |stops: usize, late_at: u32| {
            let left = Duration::from_secs(u64::from(late_at)).saturating_sub(self.now);
            count(stops) / left.as_secs_f64()
        };
        let (ahead, behind) = (self.ahead.stops.len(), self.behind.stops.len());
        let first = if ahead > 0 {
            reach(ahead, self.ahead.late_at)
        } else {
            0.0
        };
        if behind == 0 {
            return first;
        }
        first.max(reach(ahead + behind, self.behind.late_at))
    }
}

fn count(series: usize) -> f64 {
    u32::try_from(series).map_or(f64::MAX, f64::from)
}
