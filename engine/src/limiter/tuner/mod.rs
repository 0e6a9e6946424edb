//! The rate of disk work that `auto` sets: as much as leaves a foreground read its bound.
//! Pure: what the disks did in a stretch of time goes in, a rate and why come out. Never reads the
//! clock or a file.
//! Reads of all processes tell: what the slowest quarter of a second of the last ten made its reads
//! wait is close to what one read in a hundred waits (docs/decisions/0018). Past the bound the rate
//! goes down at once; below it the rate goes up while it is used, fast where it has not failed yet,
//! slowly near where it has. A disk that rests for most of the time while all of the rate is used has
//! room for twice as much, and gets it at the next look.
//! Invariants: the rate stays between the least and the most; it never goes up where it is not used
//! up; without anything measured it stays as it is.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use crate::device::Activity;
use crate::limits::{BUDGET_RATE_MAX, TUNER_WINDOWS_MAX};

/// What is looked back at: so long that the second slowest quarter of a second is what one moment in
/// fifty is like, short enough to settle within a minute.
const LOOK_BACK: Duration = Duration::from_secs(20);
const _: () = assert!(TUNER_WINDOWS_MAX >= 80);
/// Windows that a rise is seen in soon: five seconds of quarters.
const SOON: usize = 20;
/// Between two changes of the rate.
const CHANGE_EVERY: Duration = Duration::from_secs(1);
/// A new rate is measured for so long before it goes up: what the disk has in its cache and its queue
/// is from before.
const PROVEN_AFTER: Duration = Duration::from_secs(4);
/// After a step down nothing is believed for so long: what waits in the queue came at the old rate.
const CALM: Duration = Duration::from_secs(2);
/// Nothing is decided by less than this: it could be the rest of a moment for which the rate went down.
const KNOWN_AFTER: Duration = Duration::from_millis(2_500);
/// The wait of one read in a hundred as a multiple of the mean, where the disk has nothing else to do
/// and where it never rests; between them in proportion. On the model of a spinning disk 2.2 at a tenth
/// of its time, 3.2 at 38 hundredths, 4.6 at 87, 4.8 at 95.
const TAIL_IDLE: f64 = 2.0;
const TAIL_BUSY: f64 = 5.0;
/// The rate goes up while the wait is below this part of the bound, and down above the other: between
/// them it has settled.
const RAISE_BELOW: f64 = 0.5;
const LOWER_ABOVE: f64 = 0.7;
/// Below this part the knee is far, whatever has failed: what was queued before, perhaps.
const FAR_BELOW: f64 = 0.25;
/// Factors of a change: before anything has failed, up to close to what has failed, from there on, and
/// past it, where the disk is another than then.
const RAISE_FREE: f64 = 1.25;
const RAISE_KNOWN: f64 = 1.1;
const RAISE_NEAR: f64 = 1.005;
const RAISE_PAST: f64 = 1.05;
/// A disk that is busy for no more than this part of two looks rests, and with twice the rate it is busy
/// for twice as long: far from where reads begin to wait.
const RESTS_BELOW: f64 = 0.25;
const RAISE_RESTING: f64 = 2.0;
/// So long after something has failed nothing near it is tried again.
const FAILED_FOR: Duration = Duration::from_secs(30);
/// From which part of what has failed on is near it, and to which.
const NEAR: f64 = 0.85;
const PAST: f64 = 1.2;
/// The factor of a step down lies between these; where the mean is well without a moment, not below the
/// third.
const LOWER_MOST: f64 = 0.5;
const LOWER_LEAST: f64 = 0.9;
const LOWER_MOMENT: f64 = 0.75;
/// The slowest windows that may be a moment's, such as that of inodes that are all written at once.
const MOMENT: usize = 4;
/// The rate is used where so much of it was.
const USED: f64 = 0.75;
/// Of what memory may hold unwritten before the kernel makes writers wait; past it the disk is behind,
/// whatever its reads say, if it is busy.
const DIRTY_MOST: f64 = 0.5;
/// A disk is busy that has something to do for so much of the time.
const BUSY: f64 = 0.8;

/// Between which rates a tuner may choose, and for whom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// What one read in a hundred may wait.
    pub read_wait: Duration,
    /// The rate to begin with, a second.
    pub first: f64,
    /// The rate never goes below this one.
    pub least: f64,
}

/// Why the rate is what it is. The numbers are documented in docs/operating/metrics.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing is tuned: carbon.conf sets the limit, or says that there is none.
    Set,
    /// Nothing is tuned: no disk can be watched, and there is no limit.
    Blind,
    /// The rate is enough for what is to be written.
    Enough,
    /// Reads wait less than they may: the rate goes up.
    Raising,
    /// Reads wait about as long as they may.
    Settled,
    /// Reads wait too long: the rate went down.
    ReadsWait,
    /// Much is unwritten in memory and the disk is busy: the rate went down.
    Dirty,
    /// The cache is nearly full: there is no limit until it is not.
    CacheFull,
    /// More files are made than updated, and what reads wait is of that: the rate stays.
    NewFiles,
}

impl Reason {
    /// All, in the order of their numbers.
    pub const ALL: [Reason; 9] = [
        Reason::Set,
        Reason::Blind,
        Reason::Enough,
        Reason::Raising,
        Reason::Settled,
        Reason::ReadsWait,
        Reason::Dirty,
        Reason::CacheFull,
        Reason::NewFiles,
    ];

    /// Its number in the metrics.
    pub fn number(self) -> u64 {
        let place = Reason::ALL.iter().position(|reason| *reason == self);
        place.map_or(0, |place| place as u64)
    }

    /// What an operator is told.
    pub const fn said(self) -> &'static str {
        match self {
            Reason::Set => "as carbon.conf says",
            Reason::Blind => "no limit, for the disk cannot be watched",
            Reason::Enough => "enough for what is to be written",
            Reason::Raising => "going up, for reads wait less than they may",
            Reason::Settled => "settled, for reads wait about as long as they may",
            Reason::ReadsWait => "gone down, for reads waited too long",
            Reason::Dirty => "gone down, for the disk is behind with what is unwritten in memory",
            Reason::CacheFull => "no limit, for the cache is nearly full",
            Reason::NewFiles => "left alone, for more files are made than updated",
        }
    }
}

/// A stretch of time.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// How long it was.
    pub span: Duration,
    /// What each of the disks did in it.
    pub disks: &'a [Activity],
    /// Grants of the rate that were used in it.
    pub used: u64,
    /// Files that were made in it, which no rate of this tuner holds back.
    pub made: u64,
    /// Part of what memory may hold unwritten that it holds, up to 1.
    pub dirty: f64,
    /// The cache is so full that points come first.
    pub is_cache_full: bool,
}

/// What a tuner has decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The rate from now on; None: no limit.
    pub rate: Option<f64>,
    /// Why.
    pub reason: Reason,
    /// What one read in a hundred waits, by what was measured; None where nothing was.
    pub read_wait: Option<Duration>,
}

/// What one disk made its requests wait in one window, and how long it was busy.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    requests: u64,
    wait: Duration,
    busy: Duration,
}

impl Waits {
    /// Reads tell; where there are none, what writes wait stands for what a read beside them would.
    fn of(activity: &Activity) -> Waits {
        let (requests, wait) = if activity.reads > 0 {
            (activity.reads, activity.read_wait)
        } else {
            (activity.writes, activity.write_wait)
        };
        Waits {
            requests,
            wait,
            busy: activity.busy,
        }
    }

    fn and(self, other: Waits) -> Waits {
        Waits {
            requests: self.requests + other.requests,
            wait: self.wait + other.wait,
            busy: self.busy + other.busy,
        }
    }

    fn mean(&self) -> Option<Duration> {
        let requests = u32::try_from(self.requests).unwrap_or(u32::MAX);
        (requests > 0).then(|| self.wait / requests)
    }
}

/// One window: the disk whose requests waited longest.
#[derive(Clone, Copy, Debug)]
struct Window {
    span: Duration,
    worst: Waits,
    /// For what part of it the busiest disk had something to do; None where none was watched.
    busy: Option<f64>,
}

/// Chooses a rate.
#[derive(Debug)]
pub struct Tuner {
    bounds: Bounds,
    rate: f64,
    reason: Reason,
    /// Since the last step down, bounded by `LOOK_BACK` and in number.
    windows: VecDeque<Window>,
    /// Since the last change, or look whether one is due.
    since_change: Duration,
    /// Still to pass before what is measured is that of this rate.
    calm: Duration,
    used: u64,
    made: u64,
    used_span: Duration,
    /// The rate at which reads began to wait too long the last time.
    failed_at: Option<f64>,
    /// Since the last step down.
    since_failed: Duration,
    /// Nothing has been well since the last step down.
    is_failing: bool,
}

impl Tuner {
    /// A tuner that has seen nothing.
    pub fn new(bounds: Bounds) -> Tuner {
        assert!(
            bounds.least > 0.0 && bounds.least <= bounds.first && bounds.first <= BUDGET_RATE_MAX,
            "from {} over {}",
            bounds.least,
            bounds.first
        );
        Tuner {
            bounds,
            rate: bounds.first,
            reason: Reason::Enough,
            windows: VecDeque::new(),
            since_change: Duration::ZERO,
            calm: Duration::ZERO,
            used: 0,
            made: 0,
            used_span: Duration::ZERO,
            failed_at: None,
            since_failed: Duration::ZERO,
            is_failing: false,
        }
    }

    /// What reads may wait from now on.
    pub fn set_read_wait(&mut self, read_wait: Duration) {
        self.bounds.read_wait = read_wait;
    }

    /// Takes in what was measured since the last call.
    pub fn step(&mut self, sample: &Sample<'_>) -> Verdict {
        self.note(sample);
        if self.has_room(sample) {
            self.raise_by(RAISE_RESTING);
            self.count_anew();
        }
        let is_due = self.since_change >= CHANGE_EVERY && self.calm == Duration::ZERO;
        if is_due && !sample.is_cache_full {
            self.change(sample.dirty);
            self.count_anew();
        }
        let rate = (self.bounds.least..=BUDGET_RATE_MAX).contains(&self.rate);
        assert!(rate, "a rate of {}", self.rate);
        let (rate, reason) = if sample.is_cache_full {
            (None, Reason::CacheFull)
        } else {
            (Some(self.rate), self.reason)
        };
        Verdict {
            rate,
            reason,
            read_wait: self.read_wait(),
        }
    }

    /// What is used from now on is of this rate.
    fn count_anew(&mut self) {
        self.since_change = Duration::ZERO;
        (self.used, self.made, self.used_span) = (0, 0, Duration::ZERO);
    }

    /// Was all of the rate used in this look, while the disks rested in it and the one before?
    fn has_room(&self, sample: &Sample<'_>) -> bool {
        let rests = |window: &Window| window.busy.is_some_and(|busy| busy <= RESTS_BELOW);
        let looks = self.windows.iter().rev().take(2);
        if looks.filter(|window| rests(window)).count() < 2
            || !self.is_used(sample.used, sample.span)
            || sample.made >= sample.used
            || sample.dirty > DIRTY_MOST
            || sample.is_cache_full
        {
            return false;
        }
        let far = self.bounds.read_wait.mul_f64(FAR_BELOW);
        let is_near = |failed: f64| self.rate * RAISE_RESTING >= failed * NEAR;
        self.read_wait().is_none_or(|wait| wait < far) && !self.failed_at.is_some_and(is_near)
    }

    /// Was the rate used, as far as it counts, by so many grants in this time?
    fn is_used(&self, used: u64, span: Duration) -> bool {
        as_double(used) >= USED * self.rate * span.as_secs_f64()
    }

    fn note(&mut self, sample: &Sample<'_>) {
        self.since_change += sample.span;
        self.used_span += sample.span;
        self.since_failed += sample.span;
        self.used += sample.used;
        self.made += sample.made;
        if self.calm > Duration::ZERO {
            self.calm = self.calm.saturating_sub(sample.span);
            return;
        }
        let waits = sample.disks.iter().map(Waits::of);
        let worst = waits.max_by_key(Waits::mean).unwrap_or_default();
        let busy = |disk: &Activity| disk.busy.as_secs_f64() / sample.span.as_secs_f64();
        self.windows.push_back(Window {
            span: sample.span,
            worst,
            busy: sample.disks.iter().map(busy).reduce(f64::max),
        });
        let mut span = self.span();
        while self.windows.len() > TUNER_WINDOWS_MAX || span > LOOK_BACK {
            let Some(oldest) = self.windows.pop_front() else {
                break;
            };
            span = span.saturating_sub(oldest.span);
        }
    }

    fn span(&self) -> Duration {
        self.windows.iter().map(|window| window.span).sum()
    }

    /// What one read in a hundred waits: by the slowest windows, or by the mean where that is more.
    fn read_wait(&self) -> Option<Duration> {
        Some(self.by_peaks()?.max(self.by_mean()?))
    }

    /// What the second slowest window made its reads wait: a single one is no hundredth of the time.
    fn by_peaks(&self) -> Option<Duration> {
        let means = self.windows.iter().filter_map(|window| window.worst.mean());
        let highest = means.fold([Duration::ZERO; 2], |[first, second], mean| {
            if mean > first {
                [mean, first]
            } else {
                [first, second.max(mean)]
            }
        });
        (!self.windows.is_empty()).then_some(highest[1])
    }

    /// What the mean says of it: that of all, or of the last seconds where they were worse.
    fn by_mean(&self) -> Option<Duration> {
        let all = self.mean_of(self.windows.len(), 0)?;
        Some(self.mean_of(SOON, 0).map_or(all, |soon| soon.max(all)))
    }

    /// The mean of the last so many windows without the slowest so many, as one read in a hundred waits
    /// with it.
    fn mean_of(&self, windows: usize, slowest: usize) -> Option<Duration> {
        let last = self.windows.iter().rev().take(windows);
        let mut last: Vec<Window> = last.copied().collect();
        last.sort_unstable_by_key(|window| window.worst.mean());
        last.truncate(last.len().saturating_sub(slowest));
        let waits = last.iter().map(|window| window.worst);
        let all = waits.fold(Waits::default(), Waits::and);
        let span: Duration = last.iter().map(|window| window.span).sum();
        let busy = all.busy.as_secs_f64() / span.as_secs_f64().max(1e-3);
        let tail = TAIL_IDLE + (TAIL_BUSY - TAIL_IDLE) * busy.min(1.0);
        Some(all.mean()?.mul_f64(tail))
    }

    /// Decides anew.
    fn change(&mut self, dirty: f64) {
        if self.made > self.used {
            self.reason = Reason::NewFiles;
            return self.measure_anew();
        }
        if self.span() < KNOWN_AFTER {
            return;
        }
        let bound = self.bounds.read_wait.as_secs_f64();
        let part = |wait: Option<Duration>| wait.map_or(0.0, |wait| wait.as_secs_f64() / bound);
        let (peaks, mean) = (part(self.by_peaks()), part(self.by_mean()));
        let wait = peaks.max(mean);
        let mut busy = self.windows.iter().filter_map(|window| window.busy);
        let is_busy = busy.any(|busy| busy >= BUSY);
        if mean > LOWER_ABOVE {
            let is_moment = part(self.mean_of(SOON, MOMENT)) <= LOWER_ABOVE;
            let least = if is_moment { LOWER_MOMENT } else { LOWER_MOST };
            return self.lower(Reason::ReadsWait, (LOWER_ABOVE / mean).max(least));
        }
        // Moments, while the mean is well: a little too much.
        if peaks > LOWER_ABOVE {
            return self.lower(Reason::ReadsWait, LOWER_LEAST);
        }
        if dirty > DIRTY_MOST && is_busy {
            return self.lower(Reason::Dirty, LOWER_LEAST);
        }
        self.is_failing = false;
        if !self.is_used(self.used, self.used_span) {
            self.reason = Reason::Enough;
        } else if wait > RAISE_BELOW {
            self.reason = Reason::Settled;
        } else if self.span() >= PROVEN_AFTER || self.failed_at.is_none() {
            self.raise(wait < FAR_BELOW);
        }
    }

    fn lower(&mut self, reason: Reason, factor: f64) {
        // A rate that was not used is none that has failed: what was done has.
        let done = as_double(self.used) / self.used_span.as_secs_f64();
        let failed = self.rate.min((done / USED).max(self.bounds.first));
        // Of steps with nothing well between them the first says what has failed: what made the others
        // wait was queued by then.
        if !std::mem::replace(&mut self.is_failing, true) {
            self.failed_at = Some(failed);
        }
        self.since_failed = Duration::ZERO;
        self.rate = (failed * factor.min(LOWER_LEAST)).max(self.bounds.least);
        self.reason = reason;
        self.measure_anew();
    }

    /// What was measured is of another rate, or of something else.
    fn measure_anew(&mut self) {
        self.windows.clear();
        self.calm = CALM;
    }

    fn raise(&mut self, is_far: bool) {
        let factor = match self.failed_at {
            None => RAISE_FREE,
            Some(failed) if self.rate < failed * NEAR || is_far => RAISE_KNOWN,
            Some(failed) if self.rate > failed * PAST => RAISE_PAST,
            Some(_) if self.since_failed < FAILED_FOR => {
                self.reason = Reason::Settled;
                return;
            }
            Some(_) => RAISE_NEAR,
        };
        self.raise_by(factor);
    }

    fn raise_by(&mut self, factor: f64) {
        self.rate = (self.rate * factor).min(BUDGET_RATE_MAX);
        self.reason = Reason::Raising;
    }
}

#[expect(clippy::cast_precision_loss, reason = "grants of a second or two")]
fn as_double(count: u64) -> f64 {
    count as f64
}
