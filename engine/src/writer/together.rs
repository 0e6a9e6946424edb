//! A few updates of a data directory wait for others, so that they begin together: a turn of the core
//! for one or two costs several times what these do, most of all after a sleep, with all caches cold.
//! Bounds: they wait a short time from the last that began, and not at all where as many could begin as
//! make the turn's own cost small. On a disk with heads that time is shorter: there a reader waits for
//! all that began before him.

use std::time::{Duration, Instant};

use super::WAIT_MIN;

/// How long they wait on flash: half of the limiter's burst, which loses nothing by it.
const WAIT_ON_FLASH: Duration = Duration::from_millis(50);
/// As many as this begin at once.
const ENOUGH: u32 = 32;
const ENOUGH_ON_FLASH: u32 = 128;

/// When updates began last, and how long few wait for others.
#[derive(Debug)]
pub(super) struct Together {
    began_at: Option<Instant>,
    wait: Duration,
    enough: u32,
}

impl Together {
    /// None has begun yet.
    pub(super) fn new(is_flash: bool) -> Together {
        let (wait, enough) = if is_flash {
            (WAIT_ON_FLASH, ENOUGH_ON_FLASH)
        } else {
            (WAIT_MIN, ENOUGH)
        };
        Together {
            began_at: None,
            wait,
            enough,
        }
    }

    /// Do those that could begin now, as to what is due and what the limiter grants, wait for others?
    /// Whether there are free places does not count: where many are due each that ends begins another.
    pub(super) fn waits(&self, could: u32, in_flight_max: usize, now: Instant) -> bool {
        let are_enough = could >= self.enough || could as usize >= in_flight_max;
        !are_enough && self.next_at(now).is_some()
    }

    /// Until when they would wait; None: they would not.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        let at = self.began_at? + self.wait;
        (at > now).then_some(at)
    }

    /// Updates begin now.
    pub(super) fn began(&mut self, now: Instant) {
        self.began_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn few_wait_for_others_and_many_do_not() {
        let begin = clock::now().instant;
        let at = |ms| begin + Duration::from_millis(ms);
        for (is_flash, enough, wait_ms) in [(false, 32, 20), (true, 128, 50)] {
            let mut together = Together::new(is_flash);
            assert!(!together.waits(1, 500, at(0)), "the first one is alone");
            together.began(at(0));
            assert!(together.waits(enough - 1, 500, at(1)));
            assert!(!together.waits(enough, 500, at(1)));
            assert!(!together.waits(8, 8, at(1)), "no more than 8 fit");
            assert_eq!(together.next_at(at(1)), Some(at(wait_ms)));
            assert!(!together.waits(1, 500, at(wait_ms)));
            assert_eq!(together.next_at(at(wait_ms)), None);
        }
    }
}
