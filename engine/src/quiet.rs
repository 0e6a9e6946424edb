//! How often the same thing is said: once, then once a minute with how often it was kept quiet. So a
//! full disk under a million metrics, or a lack of descriptors, is a line a minute and no full log.
//! Never reads the clock, never says anything itself.

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

#[cfg(test)]
mod tests {
    use super::*;

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
