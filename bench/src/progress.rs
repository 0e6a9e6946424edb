//! A line on stderr every second for work that takes longer than two, so that nobody wonders.
//! Counters are shared, plain sums; the work never waits for the line.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use benzene_engine::clock;

/// How often the one who waits for the work looks, and at most how often a line is written.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// Work shorter than this says nothing.
const QUIET: Duration = Duration::from_secs(2);

/// How far the work is, added to by its threads.
#[derive(Debug, Default)]
pub(crate) struct Done(AtomicU64);

impl Done {
    /// Adds `amount`: points sent, files read.
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The sum so far.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Writes the lines; owned by the thread that waits.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    total: u64,
    started: Instant,
    before: (Instant, u64),
}

impl Progress {
    /// Starts the time. `what` is what is counted: "points sent".
    pub(crate) fn start(what: &'static str, total: u64) -> Self {
        let started = clock::now().instant;
        Self {
            what,
            total,
            started,
            before: (started, 0),
        }
    }

    /// Called at least every `TICK` while the work goes on; `done` is its sum so far. Says
    /// something about once a `TICK`, however often it is called.
    pub(crate) fn tick(&mut self, done: u64) {
        let now = clock::now().instant;
        if now.duration_since(self.before.0) < TICK {
            return;
        }
        let (then, done_then) = std::mem::replace(&mut self.before, (now, done));
        if now.duration_since(self.started) < QUIET {
            return;
        }
        let speed = per_second(done - done_then, now.duration_since(then));
        let share = done * 100 / self.total.max(1);
        let Self { what, total, .. } = self;
        eprintln!("{what}: {done} of {total} ({share} %), {speed} a second");
    }
}

/// `amount` in `time`, as a whole number a second; a time of zero counts as a nanosecond.
pub(crate) fn per_second(amount: u64, time: Duration) -> u64 {
    let nanos = time.as_nanos().max(1);
    u64::try_from(u128::from(amount) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_amount_over_time() {
        assert_eq!(
            per_second(3_000_000, Duration::from_millis(1500)),
            2_000_000
        );
        assert_eq!(per_second(0, Duration::ZERO), 0);
        assert_eq!(per_second(u64::MAX, Duration::ZERO), u64::MAX);
    }
}
