//! Where updates of a data directory fail one after the other, few are begun at a time: in a moment in which
//! nothing can be written (a file system that turned read-only, a controller that is reset) all that wait
//! would else be parked, far more than their share has room for. The limiter is no such bound: it is
//! lifted where the cache is full, which is when much waits.
//! Never reads the clock. Bound: `FAILED_TOGETHER_MAX` in `FAILED_REST`, and what was in flight besides.

use std::time::Instant;

use crate::limits::{FAILED_REST, FAILED_TOGETHER_MAX};

/// How updates of a data directory have fared.
#[derive(Debug, Default)]
pub(super) struct Brake {
    /// Failures since the last success, or since the last rest.
    failures: u32,
    until: Option<Instant>,
}

impl Brake {
    /// An update has failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures += 1;
        if self.failures >= FAILED_TOGETHER_MAX {
            self.failures = 0;
            self.until = Some(now + FAILED_REST);
        }
    }

    /// One has succeeded.
    pub(super) fn succeeded(&mut self) {
        *self = Brake::default();
    }

    /// Until when no update begins.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_all_the_time_rests_and_one_success_ends_it() {
        let now = crate::clock::now().instant;
        let mut brake = Brake::default();
        for _ in 1..FAILED_TOGETHER_MAX {
            brake.failed(now);
        }
        assert_eq!(brake.until(now), None);
        brake.failed(now);
        assert_eq!(brake.until(now), Some(now + FAILED_REST));
        assert_eq!(brake.until(now + FAILED_REST), None);
        brake.failed(now);
        brake.succeeded();
        assert_eq!(brake.until(now), None);
    }
}
