//! Series that failed and wait for their retry: 1 s after the first failure, doubled each time,
//! never more than a minute. A file that somebody else has locked is tried again at once-ish and
//! is no failure. Bounded by the number of series in the cache.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::cache::SeriesId;
use crate::limits::DRAIN_ATTEMPTS_MAX;

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How soon a locked file is tried again: whisper-fill and buckyd hold a lock for milliseconds.
const BUSY_RETRY: Duration = Duration::from_millis(20);

/// The waiting line of retries.
#[derive(Debug, Default)]
pub(super) struct Parked {
    queue: BinaryHeap<Reverse<(Instant, SeriesId)>>,
    attempts: HashMap<SeriesId, u32>,
    draining: bool,
}

impl Parked {
    /// A series failed at `now`. True when it has failed so often that a stop gives it up.
    pub(super) fn failed(&mut self, series: SeriesId, now: Instant) -> bool {
        let attempts = self.attempts.entry(series).or_insert(0);
        *attempts += 1;
        let doublings = (*attempts - 1).min(6);
        let pause = if self.draining {
            BACKOFF_FIRST
        } else {
            BACKOFF_FIRST * (1 << doublings)
        };
        if self.draining && *attempts >= DRAIN_ATTEMPTS_MAX {
            return true;
        }
        self.queue
            .push(Reverse((now + pause.min(BACKOFF_MAX), series)));
        false
    }

    /// A series' file was gone when it was opened. True the first time since it was last written:
    /// then it is to be made again at once.
    pub(super) fn is_first_miss(&mut self, series: SeriesId) -> bool {
        let attempts = self.attempts.entry(series).or_insert(0);
        *attempts += 1;
        *attempts == 1
    }

    /// A series' file is locked by somebody else.
    pub(super) fn soon(&mut self, series: SeriesId, now: Instant) {
        self.queue.push(Reverse((now + BUSY_RETRY, series)));
    }

    /// A series was written, or given up: its next failure is a first one.
    pub(super) fn succeeded(&mut self, series: SeriesId) {
        if !self.attempts.is_empty() {
            self.attempts.remove(&series);
        }
    }

    /// The next series whose retry is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<SeriesId> {
        let Reverse((at, _)) = self.queue.peek()?;
        if *at > now {
            return None;
        }
        self.queue.pop().map(|Reverse((_, series))| series)
    }

    /// When the next retry is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// Everything is due now, and counts its attempts anew.
    pub(super) fn drain(&mut self, now: Instant) {
        self.draining = true;
        self.attempts.clear();
        self.queue = self
            .queue
            .drain()
            .map(|Reverse((_, series))| Reverse((now, series)))
            .collect();
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some Instant to count from"
)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let (mut parked, mut now) = (Parked::default(), Instant::now());
        let series = SeriesId::default();
        for expected_s in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(!parked.failed(series, now));
            assert_eq!(parked.due(now), None);
            let due = parked.next_due().unwrap();
            assert_eq!(due - now, Duration::from_secs(expected_s));
            now = due;
            assert_eq!(parked.due(now), Some(series));
        }
        parked.succeeded(series);
        parked.failed(series, now);
        assert_eq!(parked.next_due(), Some(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_file_that_is_gone_twice_without_a_write_is_a_failure() {
        let (mut parked, now) = (Parked::default(), Instant::now());
        let series = SeriesId::default();
        assert!(parked.is_first_miss(series));
        assert!(!parked.is_first_miss(series));
        parked.failed(series, now);
        assert!(parked.next_due().is_some_and(|due| due > now));
        parked.succeeded(series);
        assert!(parked.is_first_miss(series));
    }

    #[test]
    fn a_drain_gives_up_after_its_attempts() {
        let (mut parked, now) = (Parked::default(), Instant::now());
        let series = SeriesId::default();
        parked.failed(series, now);
        parked.drain(now);
        for attempt in 1..=DRAIN_ATTEMPTS_MAX {
            assert!(parked.due(now + BACKOFF_MAX).is_some());
            assert_eq!(parked.failed(series, now), attempt == DRAIN_ATTEMPTS_MAX);
        }
        assert_eq!(parked.next_due(), None);
    }
}
