//! Updates a second and creates a minute: one exact budget for all shards of the process.
//! Never sleeps, never reads the clock: what is not granted waits in the cache, and `next_at` says
//! how long. Shared by all shards without a lock: the state is one number, the *theoretical
//! arrival time* of GCRA, up to which everything granted so far has used the rate up.
//! Invariant: in any stretch of time no more is granted than the rate gives for it, and one burst. What
//! is given back in the turn of its grant counts as never granted; what comes back later, because it has
//! failed, may be granted on top of the stretch in which that is seen.
//! A burst is a tenth of a second's worth, or one; Python's bucket holds a full second's updates or
//! a full minute's creates and starts full, so that it may do twice its rate in its first second or
//! minute. Ours starts with one burst.

mod credit;
#[cfg(test)]
mod tests;
mod tuner;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub use credit::Room;
pub use tuner::{Bounds, Reason, Sample, Tuner, Verdict};

use crate::limits::{BUDGET_BURST_S_MAX, BUDGET_RATE_MAX, BUDGET_RATE_MIN};

/// Steps of our time in a nanosecond: fine enough for ten million a second within 0.05 %, coarse
/// enough for 36 years.
const STEPS_PER_NS: u64 = 16;
const STEPS_PER_S: f64 = 16e9;
/// Our time starts two hours before the base, so that the first burst lies in the past even at one
/// a minute.
const START: u64 = 7_200 * 1_000_000_000 * STEPS_PER_NS;

/// Steps between two grants where there is no limit.
const UNLIMITED: u64 = 0;
/// The same where nothing is granted.
const NEVER: u64 = u64::MAX;
/// When to ask again where nothing is granted; a new rate may come earlier.
const NEVER_ASK_AGAIN: Duration = Duration::from_secs(3600);

/// A budget of grants per second.
#[derive(Debug)]
pub struct Budget {
    base: Instant,
    /// Steps of the longest burst.
    burst: u64,
    /// Steps between two grants.
    interval: AtomicU64,
    /// Steps from the start up to which the rate is used up.
    used_up: AtomicU64,
    /// Grants so far, less those given back.
    granted: AtomicU64,
}

impl Budget {
    /// A budget of `rate` grants a second (None: no limit; 0: none at all) and bursts of `burst_s`
    /// seconds' worth, but at least of one. `base` is the earliest time that will be asked about.
    pub fn new(rate: Option<f64>, burst_s: f64, base: Instant) -> Self {
        assert!(
            burst_s > 0.0 && burst_s <= BUDGET_BURST_S_MAX,
            "a burst of {burst_s} seconds"
        );
        let budget = Self {
            base,
            burst: steps(burst_s * STEPS_PER_S),
            interval: AtomicU64::new(interval_of(rate)),
            used_up: AtomicU64::new(0),
            granted: AtomicU64::new(0),
        };
        budget.cap(base);
        budget
    }

    /// Changes the rate. What was saved up stays, up to a burst of the new rate.
    pub fn set_rate(&self, rate: Option<f64>, now: Instant) {
        self.interval.store(interval_of(rate), Ordering::Relaxed);
        self.cap(now);
    }

    /// Grants a second; None: no limit.
    pub fn rate(&self) -> Option<f64> {
        match self.interval.load(Ordering::Relaxed) {
            UNLIMITED => None,
            NEVER => Some(0.0),
            interval => Some(STEPS_PER_S / as_double(interval)),
        }
    }

    /// Is nothing granted, however long one waits?
    pub fn grants_nothing(&self) -> bool {
        self.interval.load(Ordering::Relaxed) == NEVER
    }

    /// Grants that were used since the start.
    pub fn granted(&self) -> u64 {
        self.granted.load(Ordering::Relaxed)
    }

    /// Grants up to `wanted`, as many as the rate allows now.
    pub fn grant(&self, wanted: u32, now: Instant) -> u32 {
        let granted = self.allow(wanted, now);
        if granted > 0 {
            self.granted
                .fetch_add(u64::from(granted), Ordering::Relaxed);
        }
        granted
    }

    fn allow(&self, wanted: u32, now: Instant) -> u32 {
        let interval = self.interval.load(Ordering::Relaxed);
        if interval == UNLIMITED || wanted == 0 {
            return wanted;
        }
        if interval == NEVER {
            return 0;
        }
        let now = self.at(now);
        let mut used_up = self.used_up.load(Ordering::Relaxed);
        loop {
            let (begin, ready) = self.saved(used_up, interval, now);
            let granted = ready.min(u64::from(wanted));
            if granted == 0 {
                return 0;
            }
            // Only this number is shared, and nothing is published by it: relaxed is enough.
            match self.used_up.compare_exchange_weak(
                used_up,
                begin + granted * interval,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return u32::try_from(granted).unwrap_or(wanted),
                Err(other) => used_up = other,
            }
        }
    }

    /// How many of `wanted` would be granted now.
    pub fn ready(&self, wanted: u32, now: Instant) -> u32 {
        let interval = self.interval.load(Ordering::Relaxed);
        if interval == UNLIMITED {
            return wanted;
        }
        if interval == NEVER {
            return 0;
        }
        let used_up = self.used_up.load(Ordering::Relaxed);
        let (_, ready) = self.saved(used_up, interval, self.at(now));
        u32::try_from(ready).map_or(wanted, |ready| ready.min(wanted))
    }

    /// From when on the rate is unused at a moment, and how many grants that makes.
    fn saved(&self, used_up: u64, interval: u64, at: u64) -> (u64, u64) {
        let begin = used_up.max(at.saturating_sub(self.saved_max(interval)));
        (begin, at.saturating_sub(begin) / interval)
    }

    /// Gives back `n` grants that were not used; they can be granted again, up to a burst.
    pub fn refund(&self, n: u32) {
        self.granted.fetch_sub(u64::from(n), Ordering::Relaxed);
        let interval = self.interval.load(Ordering::Relaxed);
        if interval == UNLIMITED || interval == NEVER {
            return;
        }
        let steps = interval.saturating_mul(u64::from(n));
        let mut used_up = self.used_up.load(Ordering::Relaxed);
        while let Err(other) = self.used_up.compare_exchange_weak(
            used_up,
            used_up.saturating_sub(steps),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            used_up = other;
        }
    }

    /// When the next single grant is possible; None: now. Somebody else may be faster then.
    pub fn next_at(&self, now: Instant) -> Option<Instant> {
        let interval = self.interval.load(Ordering::Relaxed);
        if interval == UNLIMITED {
            return None;
        }
        if interval == NEVER {
            return Some(now + NEVER_ASK_AGAIN);
        }
        let at = self.at(now);
        let used_up = self.used_up.load(Ordering::Relaxed);
        let (begin, _) = self.saved(used_up, interval, at);
        let missing = (begin + interval).saturating_sub(at);
        (missing > 0).then(|| now + Duration::from_nanos(missing.div_ceil(STEPS_PER_NS)))
    }

    /// How far back unused rate is kept: a burst. Where that is less than two grants, one grant and
    /// as much of the next as a burst allows, so that a shard that asks a little late loses nothing.
    fn saved_max(&self, interval: u64) -> u64 {
        self.burst.max(interval + self.burst.min(interval - 1))
    }

    /// Lets go of what was saved up beyond a burst.
    fn cap(&self, now: Instant) {
        let interval = self.interval.load(Ordering::Relaxed);
        if interval != UNLIMITED && interval != NEVER {
            let kept = self.at(now).saturating_sub(self.saved_max(interval));
            self.used_up.fetch_max(kept, Ordering::Relaxed);
        }
    }

    fn at(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.base).as_nanos();
        u64::try_from(since)
            .unwrap_or(u64::MAX)
            .saturating_mul(STEPS_PER_NS)
            .saturating_add(START)
    }
}

fn interval_of(rate: Option<f64>) -> u64 {
    let Some(rate) = rate else {
        return UNLIMITED;
    };
    if rate == 0.0 {
        return NEVER;
    }
    assert!(
        (BUDGET_RATE_MIN..=BUDGET_RATE_MAX).contains(&rate),
        "a rate of {rate} a second is out of range"
    );
    steps(STEPS_PER_S / rate)
}

/// Steps as a fraction; those of the slowest rate are a double without a gap.
#[expect(
    clippy::cast_precision_loss,
    reason = "at most an hour of steps is below 2^53"
)]
fn as_double(steps: u64) -> f64 {
    steps as f64
}

/// A checked number of steps as an integer.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most one hour, and not negative: both callers assert it"
)]
fn steps(steps: f64) -> u64 {
    steps.round() as u64
}
