//! A few updates of a data directory wait for others, so that they begin together: a turn of the core
//! for one or two costs several times what these do, most of all after a sleep, with all caches cold.
//! Bounds: they wait `WAIT_MIN` from the last that began, and not at all where as many could begin as
//! make the turn's own cost small.

use std::time::Instant;

use super::WAIT_MIN;

/// As many as this begin at once.
const ENOUGH: u32 = 32;

/// When updates began last.
#[derive(Debug, Default)]
pub(super) struct Together {
    began_at: Option<Instant>,
}

impl Together {
    /// Do those that could begin now, as to what is due and what the limiter grants, wait for others?
    /// Whether there are free places does not count: where many are due each that ends begins another.
    pub(super) fn waits(&self, could: u32, in_flight_max: usize, now: Instant) -> bool {
        let are_enough = could >= ENOUGH || could as usize >= in_flight_max;
        !are_enough && self.next_at(now).is_some()
    }

    /// Until when they would wait; None: they would not.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        let at = self.began_at? + WAIT_MIN;
        (at > now).then_some(at)
    }

    /// Updates begin now.
    pub(super) fn began(&mut self, now: Instant) {
        self.began_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn few_wait_for_others_and_many_do_not() {
        let begin = clock::now().instant;
        let at = |ms| begin + Duration::from_millis(ms);
        let mut together = Together::default();
        assert!(!together.waits(1, 128, at(0)), "the first one is alone");
        together.began(at(0));
        assert!(together.waits(ENOUGH - 1, 128, at(1)));
        assert!(!together.waits(ENOUGH, 128, at(1)));
        assert!(!together.waits(8, 8, at(1)), "no more than 8 fit");
        assert_eq!(together.next_at(at(1)), Some(at(0) + WAIT_MIN));
        assert!(!together.waits(1, 128, at(0) + WAIT_MIN));
        assert_eq!(together.next_at(at(0) + WAIT_MIN), None);
    }
}
