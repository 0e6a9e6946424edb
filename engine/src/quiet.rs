//! How often the same thing is said: once, then once a minute with how often it was kept quiet. So a
//! full disk under a million metrics, or a lack of descriptors, is a line a minute and no full log.
//! Never reads the clock, never says anything itself.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long something stays quiet after it was said.
pub const QUIET: Duration = Duration::from_secs(60);

/// When something was said last, and how often it was kept quiet since.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet {
    said: Option<Instant>,
    more: u64,
}

impl Quiet {
    /// How often it was kept quiet before, where it is to be said now; else this time is kept in mind.
    pub fn due(&mut self, now: Instant) -> Option<u64> {
        let is_early = |said| now.saturating_duration_since(said) < QUIET;
        if self.said.is_some_and(is_early) {
            self.more += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.more))
    }

    /// It is over: whether it was said at all. What comes next is said at once.
    pub fn end(&mut self) -> bool {
        std::mem::take(self).said.is_some()
    }
}

/// The same of several subjects, by number, for threads that say them together: a cause that all meet
/// is one line of the process.
#[derive(Debug)]
pub struct SharedQuiet {
    began: OnceLock<Instant>,
    subjects: Box<[Said]>,
}

#[derive(Debug, Default)]
struct Said {
    /// Milliseconds since the beginning, and one; 0: never.
    at: AtomicU64,
    more: AtomicU64,
}

impl SharedQuiet {
    /// Nothing of so many subjects was said.
    pub fn new(subjects: usize) -> Self {
        Self {
            began: OnceLock::new(),
            subjects: (0..subjects).map(|_| Said::default()).collect(),
        }
    }

    /// How often a subject was kept quiet before, where it is to be said now, by whoever asks first;
    /// else this time is kept in mind.
    pub fn due(&self, subject: usize, now: Instant) -> Option<u64> {
        let began = *self.began.get_or_init(|| now);
        let passed = now.saturating_duration_since(began);
        let now_ms = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let quiet_ms = u64::try_from(QUIET.as_millis()).unwrap_or(u64::MAX);
        let said = &self.subjects[subject];
        let at = said.at.load(Ordering::Relaxed);
        let is_early = at != 0 && now_ms.saturating_sub(at) < quiet_ms;
        let order = Ordering::Relaxed;
        if is_early || (said.at.compare_exchange(at, now_ms, order, order)).is_err() {
            said.more.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(said.more.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_threads_say_it_once_together() {
        let (shared, start) = (SharedQuiet::new(2), crate::clock::now().instant);
        let say = |subject, now| {
            let threads = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|_| scope.spawn(|| shared.due(subject, now)))
                    .collect();
                let said = threads.into_iter().map(|thread| thread.join().unwrap());
                said.collect::<Vec<_>>()
            });
            let said: Vec<u64> = threads.into_iter().flatten().collect();
            assert!(said.len() <= 1, "{said:?}");
            said.first().copied()
        };
        assert!(say(0, start).is_some());
        assert_eq!(say(0, start + QUIET / 2), None);
        assert!(say(1, start + QUIET / 2).is_some(), "another subject");
        let more = say(0, start + QUIET).unwrap();
        assert!((4..=10).contains(&more), "{more}");
    }

    #[test]
    fn it_is_said_at_once_and_then_once_a_minute_with_a_count() {
        let start = crate::clock::now().instant;
        let mut quiet = Quiet::default();
        assert_eq!(quiet.due(start), Some(0));
        assert_eq!(quiet.due(start + QUIET / 2), None);
        assert_eq!(quiet.due(start + QUIET / 2), None);
        assert_eq!(quiet.due(start + QUIET), Some(2));
        assert_eq!(quiet.due(start + QUIET + QUIET / 2), None);
        assert_eq!(quiet.due(start + QUIET * 3), Some(1));
    }

    #[test]
    fn what_is_over_is_said_at_once_when_it_comes_again() {
        let start = crate::clock::now().instant;
        let mut quiet = Quiet::default();
        assert!(!quiet.end());
        assert_eq!(quiet.due(start), Some(0));
        assert!(quiet.end());
        assert!(!quiet.end());
        assert_eq!(quiet.due(start), Some(0));
    }
}
