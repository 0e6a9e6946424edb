//! Series that failed and wait for their retry: 1 s after the first failure, doubled each time,
//! never more than a minute. A file that somebody else has locked is no failure: it is tried again
//! soon, then less often, up to once a second. A stop that leaves points to the journal tries their
//! series no more, unless the journal fails. Bounded by the number of series in the cache.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::cache::{SeriesId, Volume};
use crate::limits::DRAIN_ATTEMPTS_MAX;

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How soon a locked file is tried again: whisper-fill and buckyd hold a lock for milliseconds. Who
/// holds it for longer is asked less often, each time after half of what has passed.
const BUSY_RETRY: Duration = Duration::from_millis(20);
const BUSY_RETRY_MAX: Duration = Duration::from_secs(1);
/// From then on it is said.
const BUSY_SAID: Duration = Duration::from_secs(5);

/// The waiting line of retries.
#[derive(Debug, Default)]
pub(super) struct Parked {
    queue: BinaryHeap<Reverse<(Instant, SeriesId)>>,
    attempts: HashMap<SeriesId, u32>,
    /// Since when files are locked.
    busy: HashMap<SeriesId, Instant>,
    /// Looked for once more, and where their file was seen before.
    seen: HashMap<SeriesId, Volume>,
    /// Given up by a stop, for the journal has their points: no retry is due.
    left: Vec<SeriesId>,
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

    /// Has a series failed since it was last written?
    pub(super) fn has_failed(&self, series: SeriesId) -> bool {
        self.attempts.contains_key(&series) || self.busy.contains_key(&series)
    }

    /// A series' file is locked by somebody else. True when it has been for so long that it is to be
    /// said.
    pub(super) fn soon(&mut self, series: SeriesId, now: Instant) -> bool {
        let since = *self.busy.entry(series).or_insert(now);
        let passed = now.saturating_duration_since(since);
        let pause = (passed / 2).clamp(BUSY_RETRY, BUSY_RETRY_MAX);
        self.queue.push(Reverse((now + pause, series)));
        passed >= BUSY_SAID
    }

    /// A series was written, or given up: its next failure is a first one.
    pub(super) fn succeeded(&mut self, series: SeriesId) {
        if !self.attempts.is_empty() {
            self.attempts.remove(&series);
        }
        if !self.busy.is_empty() {
            self.busy.remove(&series);
        }
        if !self.seen.is_empty() {
            self.seen.remove(&series);
        }
    }

    /// A series is looked for once more, whose file was seen in a data directory.
    pub(super) fn note_seen(&mut self, series: SeriesId, volume: Volume) {
        self.seen.insert(series, volume);
    }

    /// A data directory has no file of a series.
    pub(super) fn not_there(&mut self, series: SeriesId, volume: Volume) {
        if self.seen.get(&series) == Some(&volume) {
            self.seen.remove(&series);
        }
    }

    /// Was the file of a series seen, as far as anybody knows who has looked for it once more? Asked once.
    pub(super) fn take_seen(&mut self, series: SeriesId) -> bool {
        !self.seen.is_empty() && self.seen.remove(&series).is_some()
    }

    /// A stop gives a series up whose points the journal has. That it has failed stays known: the journal
    /// may fail too, and be well again before the series is given up once more.
    pub(super) fn leave(&mut self, series: SeriesId) {
        self.attempts.insert(series, 0);
        self.left.push(series);
    }

    /// The journal has failed: what was left to it is due now.
    pub(super) fn take_back(&mut self, now: Instant) {
        let left = self.left.drain(..);
        self.queue.extend(left.map(|series| Reverse((now, series))));
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

    /// Everything is due now, and counts its attempts anew; who has failed is known to have.
    pub(super) fn drain(&mut self, now: Instant) {
        self.draining = true;
        self.attempts
            .values_mut()
            .for_each(|attempts| *attempts = 0);
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
    fn a_locked_file_is_tried_less_often_and_said_after_a_while() {
        let (mut parked, start) = (Parked::default(), Instant::now());
        let series = SeriesId::default();
        let (mut now, mut tries, mut said_after) = (start, 0, None);
        while now < start + Duration::from_secs(60) {
            tries += 1;
            if parked.soon(series, now) {
                said_after.get_or_insert(now - start);
            }
            let due = parked.next_due().unwrap();
            assert!((BUSY_RETRY..=BUSY_RETRY_MAX).contains(&(due - now)));
            now = due;
            assert_eq!(parked.due(now), Some(series));
        }
        assert!((60..=80).contains(&tries), "{tries} in a minute");
        let said_after = said_after.unwrap();
        assert!(said_after >= BUSY_SAID && said_after <= BUSY_SAID + BUSY_RETRY_MAX);
        parked.succeeded(series);
        assert!(!parked.soon(series, now));
        assert_eq!(parked.next_due(), Some(now + BUSY_RETRY));
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
