//! The write order `deadline`: every series is written when its oldest point has been held for long
//! enough that others have joined it, and before it has been held for too long.
//! A series may be written once its oldest point is `OPEN_PERCENT` of its hold old, and should be
//! before it is `LATE_PERCENT` old: what is left is for the update itself. Ready series lie in
//! lists by the second at which they become late, first in, first out; the first list is next. So
//! with a limiter that cannot keep up the one that is longest late is next.
//! Between the two ages series are written at a pace: the time until the first list is late, shared
//! by all whose time has come or comes soon. A minute's burst is spread over the window, and
//! a steady stream settles in its middle.
//! Rushed (memory is short) or draining, everything is due, in the same order.
//! On a disk with heads the order among those that are due is the disk's (`sweep`); only who is to
//! be written at once, or may not be held, stays in the lists here.
//! Entering and leaving cost a look for the list among as many as there are distinct seconds.
//! Invariants: a ready series is in the list that follows from its `Due`; no list is empty;
//! `soon` counts the series in lists up to `horizon`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::due::Due;
use super::order::Files;
use super::queues::Queue;
use super::series::Record;
use super::sweep::{Sweep, Times};
use crate::limits::{HOLD_CLASSES_MAX, PACE_STEP, UPDATES_TOGETHER_WAIT_MAX};
use crate::names::slab::Slab;

/// Part of its hold after which a series may be written, in percent: a fifth of the hold is time
/// enough to spread a burst of all series over it, and costs a fifth of the points an update could
/// have at most.
const OPEN_PERCENT: u32 = 80;
/// Part of its hold after which a series is written whatever the pace, in percent.
const LATE_PERCENT: u32 = 95;
/// What an entry of the lists costs, in leaves of 11 that are half to three quarters full.
const LIST_BYTES: usize = 28;
/// How often somebody looks again who has nothing to do: memory that is filled by other shards wakes
/// nobody.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Who slept for longer does not make up for it in a burst; the writer sleeps so that updates begin
/// together.
const MADE_UP_MAX: Duration = UPDATES_TOGETHER_WAIT_MAX.saturating_mul(2);

/// The ready series by their deadline.
#[derive(Debug)]
pub(super) struct Deadline {
    /// By the second at which their series become late.
    lists: BTreeMap<u32, Queue>,
    /// How long points may be held, in seconds, by class; the usual hold first.
    holds_s: Vec<u32>,
    /// Time since `CacheConfig::began`.
    now: Duration,
    second: u32,
    horizon: u32,
    soon: usize,
    /// Series that the pace has allowed and that were not taken yet.
    allowed: f64,
    is_rushed: bool,
    is_draining: bool,
    /// On a disk with heads, most of the series.
    sweep: Option<Box<Sweep>>,
    /// The one who left last was in the sweep.
    was_swept: bool,
}

impl Deadline {
    /// No series; points may usually be held for so long.
    /// Those whose files lie on a disk with heads go to `sweep`.
    pub(super) fn new(hold_s: u32, sweep: Option<Sweep>) -> Self {
        Self {
            lists: BTreeMap::new(),
            holds_s: vec![hold_s],
            now: Duration::ZERO,
            second: 0,
            horizon: window_s(hold_s),
            soon: 0,
            allowed: 0.0,
            is_rushed: false,
            is_draining: false,
            sweep: sweep.map(Box::new),
            was_swept: false,
        }
    }

    /// Is what is due written in the order of the disk?
    pub(super) fn is_swept(&self) -> bool {
        self.sweep.is_some()
    }

    /// The usual hold.
    pub(super) fn hold_s(&self) -> u32 {
        self.holds_s[0]
    }

    /// The hold of a class.
    pub(super) fn class_hold_s(&self, class: u8) -> u32 {
        self.holds_s[usize::from(class)]
    }

    /// The class of those that are held for so long, or where there are too many classes, of the
    /// longest time that is shorter.
    pub(super) fn class(&mut self, hold_s: u32) -> u8 {
        let known = self.holds_s.iter().position(|known| *known == hold_s);
        let index = known.unwrap_or_else(|| {
            // The last place is for those that are not to be held at all, which is always right.
            let is_kept_free = hold_s > 0 && self.holds_s.len() + 1 >= HOLD_CLASSES_MAX;
            if self.holds_s.len() < HOLD_CLASSES_MAX && !is_kept_free {
                self.holds_s.push(hold_s);
                return self.holds_s.len() - 1;
            }
            let shorter = |(_, known): &(usize, &u32)| **known < hold_s;
            let longest = self.holds_s.iter().enumerate().filter(shorter);
            if let Some((index, _)) = longest.max_by_key(|(_, known)| **known) {
                return index;
            }
            self.holds_s.push(0);
            self.holds_s.len() - 1
        });
        let Ok(class) = u8::try_from(index) else {
            unreachable!("there are at most {HOLD_CLASSES_MAX} classes");
        };
        class
    }

    /// The time since the beginning; what the pace allows grows with it.
    pub(super) fn begin_turn(&mut self, files: Files<'_>, now: Duration, second: u32) {
        if let Some(mut sweep) = self.sweep.take() {
            let (are_all_due, times) = (self.is_everything_due(), |record: &Record| {
                let late_at = self.late_at(record.due());
                let opens_at = self.opens(late_at, record.due());
                Times { opens_at, late_at }
            });
            sweep.begin_turn(files, (now, second), are_all_due, times);
            self.sweep = Some(sweep);
        }
        self.begin_turn_of_lists(now, second);
    }

    fn begin_turn_of_lists(&mut self, now: Duration, second: u32) {
        let passed = now.saturating_sub(self.now).min(MADE_UP_MAX);
        self.now = now;
        // Those whose window begins now had no share of the time before.
        let shared = count(self.soon);
        if second > self.second {
            self.second = second;
            let horizon = second.saturating_add(window_s(self.hold_s()));
            let came = self.lists.range(self.horizon + 1..=horizon);
            self.soon += came.map(|(_, list)| list.len()).sum::<usize>();
            self.horizon = horizon;
        }
        let Some((late_at, _)) = self.lists.first_key_value() else {
            self.allowed = 0.0;
            return;
        };
        let left = seconds(*late_at).saturating_sub(now);
        if !left.is_zero() {
            self.allowed += shared * passed.as_secs_f64() / left.as_secs_f64();
        }
        self.allowed = self.allowed.min(count(self.soon));
    }

    /// Memory is short, or is so no longer.
    pub(super) fn set_rushed(&mut self, is_rushed: bool) {
        self.is_rushed = is_rushed;
    }

    /// From now on nothing is held back.
    pub(super) fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Is everything due?
    pub(super) fn is_everything_due(&self) -> bool {
        self.is_rushed || self.is_draining
    }

    /// A series became ready.
    pub(super) fn enter(&mut self, records: &mut Slab<Record>, id: u32) {
        let (due, late_at) = (records[id].due(), self.late_at(records[id].due()));
        if let Some(sweep) = self.sweep_of(due) {
            return sweep.enter(records, id, late_at);
        }
        self.soon += usize::from(late_at <= self.horizon);
        self.lists.entry(late_at).or_default().push(records, id);
    }

    /// A series is no longer ready. Mostly it was taken, which uses up what the pace allowed.
    pub(super) fn leave(&mut self, records: &mut Slab<Record>, id: u32) {
        let (due, late_at) = (records[id].due(), self.late_at(records[id].due()));
        self.was_swept = false;
        if let Some(sweep) = self.sweep_of(due) {
            sweep.leave(records, id, late_at);
            self.was_swept = true;
            return;
        }
        let Some(list) = self.lists.get_mut(&late_at) else {
            unreachable!("series {id} is late at {late_at}, which has no list");
        };
        list.remove(records, id);
        if list.len() == 0 {
            self.lists.remove(&late_at);
        }
        if late_at <= self.horizon {
            self.soon -= 1;
            self.allowed = (self.allowed - 1.0).max(0.0);
        }
    }

    /// The series that is to be written now, if there is one. Who may not be held comes before the order
    /// of the disk, but where somebody there is late, they take turns: else a few such series with more
    /// points than the disk takes, or new ones all the time, would leave nothing for all others.
    pub(super) fn first(&self, records: &Slab<Record>) -> Option<u32> {
        let listed = self.first_of_lists(records);
        let Some(sweep) = &self.sweep else {
            return listed;
        };
        let has_turn = || !self.was_swept && sweep.is_late();
        match listed {
            Some(id) if !has_turn() => Some(id),
            listed => sweep.first(self.is_everything_due()).or(listed),
        }
    }

    fn first_of_lists(&self, records: &Slab<Record>) -> Option<u32> {
        let (late_at, id) = self.head()?;
        if self.is_everything_due() || late_at <= self.second {
            return Some(id);
        }
        (self.is_open(records, late_at, id) && self.allowed >= 1.0).then_some(id)
    }

    /// At most so many series are to be written now.
    pub(super) fn due(&self, records: &Slab<Record>, ready: usize) -> usize {
        if self.first(records).is_none() {
            0
        } else if self.is_everything_due() {
            ready
        } else {
            let swept = self.sweep.as_ref().map_or(0, |sweep| sweep.due());
            let is_late = (self.head()).is_some_and(|(late_at, _)| late_at <= self.second);
            let paced = if is_late {
                self.soon
            } else {
                self.allowed_now()
            };
            (paced + swept).max(1)
        }
    }

    /// How many the pace allows now.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the number of series that are late soon"
    )]
    fn allowed_now(&self) -> usize {
        self.allowed as usize
    }

    /// When to look again, from now.
    pub(super) fn next_look(&self, records: &Slab<Record>) -> Duration {
        if self.first(records).is_some() {
            return Duration::ZERO;
        }
        let of_lists = self.next_look_of_lists(records);
        let of_sweep = self.sweep.as_ref().and_then(|sweep| {
            sweep.next_look(self.is_everything_due(), |id| {
                let due = records[id].due();
                self.opens(self.late_at(due), due)
            })
        });
        of_sweep.map_or(of_lists, |look| look.min(of_lists))
    }

    fn next_look_of_lists(&self, records: &Slab<Record>) -> Duration {
        let Some((late_at, id)) = self.head() else {
            return LOOK_AGAIN;
        };
        let left = seconds(late_at).saturating_sub(self.now);
        if self.is_open(records, late_at, id) {
            let share = left.as_secs_f64() / count(self.soon).max(1.0);
            let next = share * (1.0 - self.allowed).max(0.0);
            // A little more, so that it is there then.
            let next = Duration::from_secs_f64(next) + Duration::from_micros(1);
            return next.max(PACE_STEP).min(left);
        }
        let opens = self.opens(late_at, records[id].due());
        seconds(opens).saturating_sub(self.now).min(LOOK_AGAIN)
    }

    /// From this second on a series is to be written at once, if its points came then.
    pub(super) fn opens_at(&self, due: Due) -> u32 {
        let hold_s = self.class_hold_s(due.class);
        due.since.saturating_add(part_s(hold_s, OPEN_PERCENT))
    }

    /// Bytes of the lists.
    pub(super) fn bytes(&self) -> usize {
        let swept = self
            .sweep
            .as_ref()
            .map_or(0, |sweep| sweep.bytes(LIST_BYTES));
        self.lists.len() * LIST_BYTES + self.holds_s.capacity() * size_of::<u32>() + swept
    }

    /// Who is held goes to the order of the disk, where there is one.
    fn sweep_of(&mut self, due: Due) -> Option<&mut Sweep> {
        let is_held = !due.is_hurried && self.class_hold_s(due.class) > 0;
        self.sweep.as_deref_mut().filter(|_| is_held)
    }

    fn head(&self) -> Option<(u32, u32)> {
        let (late_at, list) = self.lists.first_key_value()?;
        let Some(id) = list.first() else {
            unreachable!("the list of second {late_at} is empty");
        };
        Some((*late_at, id))
    }

    fn is_open(&self, records: &Slab<Record>, late_at: u32, id: u32) -> bool {
        self.opens(late_at, records[id].due()) <= self.second
    }

    /// From when on a series may be written that is late at this second.
    fn opens(&self, late_at: u32, due: Due) -> u32 {
        late_at.saturating_sub(window_s(self.class_hold_s(due.class)))
    }

    fn late_at(&self, due: Due) -> u32 {
        if due.is_hurried || due.is_backfill {
            return due.since;
        }
        let hold_s = self.class_hold_s(due.class);
        due.since.saturating_add(part_s(hold_s, LATE_PERCENT))
    }
}

fn seconds(second: u32) -> Duration {
    Duration::from_secs(u64::from(second))
}

fn part_s(hold_s: u32, percent: u32) -> u32 {
    let part = u64::from(hold_s) * u64::from(percent) / 100;
    u32::try_from(part).unwrap_or(u32::MAX)
}

/// How long before it is late a series may be written.
fn window_s(hold_s: u32) -> u32 {
    part_s(hold_s, LATE_PERCENT) - part_s(hold_s, OPEN_PERCENT)
}

fn count(series: usize) -> f64 {
    u32::try_from(series).map_or(f64::MAX, f64::from)
}
