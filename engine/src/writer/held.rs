//! How long the limiter alone has kept a data directory's next update from starting, for whoever logs
//! updates. Never reads the clock, never holds anything itself.

use std::time::{Duration, Instant};

/// Since when the limiter holds updates back.
#[derive(Debug, Default)]
pub(super) struct Held {
    since: Option<Instant>,
}

impl Held {
    /// Of so many updates that could start, so many were granted now: how long the first of these was
    /// held.
    pub(super) fn granted(&mut self, granted: u32, wanted: u32, now: Instant) -> Duration {
        assert!(granted <= wanted, "{granted} granted of {wanted}");
        let since = if granted > 0 {
            self.since.take()
        } else {
            self.since
        };
        if granted < wanted {
            self.since.get_or_insert(now);
        }
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// No update could start, whatever the limiter says.
    pub(super) fn end(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn the_first_that_is_granted_has_waited_since_one_was_not() {
        let begin = clock::now().instant;
        let at = |ms| begin + Duration::from_millis(ms);
        let mut held = Held::default();
        assert_eq!(held.granted(2, 2, at(0)), Duration::ZERO);
        assert_eq!(held.granted(1, 3, at(10)), Duration::ZERO);
        assert_eq!(held.granted(0, 2, at(15)), Duration::from_millis(5));
        assert_eq!(held.granted(1, 2, at(30)), Duration::from_millis(20));
        assert_eq!(held.granted(1, 1, at(45)), Duration::from_millis(15));
        assert_eq!(held.granted(1, 1, at(60)), Duration::ZERO);
        // Where nothing is due, nothing is held.
        assert_eq!(held.granted(0, 1, at(70)), Duration::ZERO);
        held.end();
        assert_eq!(held.granted(1, 1, at(90)), Duration::ZERO);
    }
}
