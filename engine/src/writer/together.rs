//! A few updates of a data directory wait for others, so that they begin together: a turn of the core
//! for one or two costs several times what these do, most of all after a sleep, with all caches cold.
//! Bounds: they wait a short time from the last that began, and not at all where as many could begin as
//! make the turn's own cost small. On a disk with heads that time is shorter: there a reader waits for
//! all that began before him.
//! Where the write order holds series back anyway and the limiter does not, the time is longer, as long
//! as the disk takes no notice: what began together must have ended within microseconds each, or a
//! reader would wait for it.

use std::time::{Duration, Instant};

use super::WAIT_MIN;
use crate::limits::UPDATES_TOGETHER_WAIT_MAX;

/// How long few wait for others, and as many as begin at once.
#[derive(Clone, Copy, Debug)]
struct Wait {
    time: Duration,
    enough: u32,
}

const ON_HEADS: Wait = Wait {
    time: WAIT_MIN,
    enough: 32,
};
/// On flash: half of the limiter's burst, which loses nothing by it.
const ON_FLASH: Wait = Wait {
    time: Duration::from_millis(50),
    enough: 128,
};
/// The same of those that the write order has held back for so many times as long: what the core and the
/// kernel touch for every update is in the caches for most of so many.
const HOLD_PARTS: u32 = 100;
const ENOUGH_UNHURRIED: u32 = 1024;
/// What began together was quick where it took no longer than this, and this for each: several times
/// what updates in memory take, and less than a read of flash.
const QUICK: Duration = Duration::from_millis(2);
const QUICK_EACH: Duration = Duration::from_micros(40);

impl Wait {
    /// How long on such a disk.
    fn usual(is_flash: bool) -> Wait {
        if is_flash { ON_FLASH } else { ON_HEADS }
    }
}

/// What could begin now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Could {
    /// Series with points that wait to be written.
    pub(super) ready: u32,
    /// How long the write order holds points back, in seconds, if it does.
    pub(super) hold_s: Option<u32>,
    /// As many of the series the write order gives now.
    pub(super) due: u32,
    /// As many of these the limiter would grant.
    pub(super) granted: u32,
    /// Updates in flight at most. How many places are free does not count: where many are due each that
    /// ends begins another.
    pub(super) in_flight_max: u32,
}

impl Could {
    /// How long those that the order gives may wait where it holds others back, and the limiter none.
    fn unhurried(self) -> Option<Duration> {
        let are_held = self.due < self.ready && self.granted == self.due;
        let hold = Duration::from_secs(self.hold_s?.into());
        let wait = (hold / HOLD_PARTS).clamp(ON_FLASH.time, UPDATES_TOGETHER_WAIT_MAX);
        are_held.then_some(wait)
    }
}

/// When updates began last, and how long few wait for others.
#[derive(Debug)]
pub(super) struct Together {
    is_flash: bool,
    began_at: Option<Instant>,
    wait: Wait,
    /// Of those that began together, as many found no place yet.
    left: u32,
    /// Since when some are in flight without a pause, and how many began since.
    lot: Option<(Instant, u32)>,
    was_quick: bool,
}

impl Together {
    /// None has begun yet.
    pub(super) fn new(is_flash: bool) -> Together {
        Together {
            is_flash,
            began_at: None,
            wait: Wait::usual(is_flash),
            left: 0,
            lot: None,
            was_quick: false,
        }
    }

    /// Do those that could begin now wait for others?
    pub(super) fn waits(&mut self, could: Could, now: Instant) -> bool {
        if self.left > 0 && could.granted >= could.due.min(self.left) {
            return false;
        }
        self.left = 0;
        self.wait = self.wait_of(could);
        could.granted < self.wait.enough && self.next_at(now).is_some()
    }

    fn wait_of(&self, could: Could) -> Wait {
        let usual = Wait::usual(self.is_flash);
        let is_unnoticed = self.is_flash && self.was_quick;
        if let Some(time) = could.unhurried().filter(|_| is_unnoticed) {
            let enough = ENOUGH_UNHURRIED;
            return Wait { time, enough };
        }
        Wait {
            enough: usual.enough.min(could.in_flight_max),
            ..usual
        }
    }

    /// Until when few would wait; None: they would not.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        let at = self.began_at? + self.wait.time;
        (at > now).then_some(at)
    }

    /// So many of those that could begin do it now.
    pub(super) fn began(&mut self, begun: u32, could: Could, now: Instant) {
        if self.left == 0 {
            self.left = could.granted;
        }
        self.left = self.left.saturating_sub(begun);
        self.began_at = Some(now);
        let (since, count) = self.lot.unwrap_or((now, 0));
        self.lot = Some((since, count.saturating_add(begun)));
    }

    /// None is in flight.
    pub(super) fn ended(&mut self, now: Instant) {
        if let Some((since, count)) = self.lot.take() {
            let took = now.saturating_duration_since(since);
            self.was_quick = took <= QUICK + QUICK_EACH * count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// So many are due, all of them granted, and others that the order holds back or not.
    fn due(due: u32, held: u32) -> Could {
        Could {
            ready: due + held,
            hold_s: Some(20),
            due,
            granted: due,
            in_flight_max: 500,
        }
    }

    #[test]
    fn few_wait_for_others_and_many_do_not() {
        let begin = clock::now().instant;
        let at = |ms| begin + Duration::from_millis(ms);
        for (is_flash, enough, wait_ms) in [(false, 32, 20), (true, 128, 50)] {
            let mut together = Together::new(is_flash);
            assert!(!together.waits(due(1, 0), at(0)), "the first one is alone");
            together.began(1, due(1, 0), at(0));
            assert!(together.waits(due(enough - 1, 0), at(1)));
            assert!(!together.waits(due(enough, 0), at(1)));
            let few_places = Could {
                in_flight_max: 8,
                ..due(8, 0)
            };
            assert!(!together.waits(few_places, at(1)), "no more than 8 fit");
            assert!(together.waits(due(1, 0), at(1)));
            assert_eq!(together.next_at(at(1)), Some(at(wait_ms)));
            assert!(!together.waits(due(1, 0), at(wait_ms)));
            assert_eq!(together.next_at(at(wait_ms)), None);
        }
    }

    #[test]
    fn who_is_held_anyway_waits_for_longer_where_the_disk_is_quick() {
        let begin = clock::now().instant;
        let at = |ms| begin + Duration::from_millis(ms);
        for (is_flash, took_ms, hold_s, wait_ms) in [
            (true, 2, Some(10), 100),
            (true, 2, Some(3600), 200),
            (true, 2, Some(1), 50),
            (true, 2, None, 50),
            (true, 20, Some(3600), 50),
            (false, 2, Some(3600), 20),
        ] {
            let could = Could {
                hold_s,
                ..due(10, 5000)
            };
            let mut together = Together::new(is_flash);
            together.began(10, could, at(0));
            together.ended(at(took_ms));
            assert!(together.waits(could, at(19)));
            assert_eq!(together.next_at(at(19)), Some(at(wait_ms)));
        }
    }

    #[test]
    fn a_limit_or_nobody_held_ends_the_long_wait() {
        let begin = clock::now().instant;
        let at = |ms| begin + Duration::from_millis(ms);
        let mut together = Together::new(true);
        together.began(10, due(10, 0), at(0));
        together.ended(at(1));
        assert!(together.waits(due(200, 5000), at(60)));
        let limited = Could {
            granted: 199,
            ..due(200, 5000)
        };
        assert!(!together.waits(limited, at(60)));
        assert!(!together.waits(due(200, 0), at(60)));
        assert!(!together.waits(due(1024, 5000), at(60)));
    }

    #[test]
    fn those_that_began_together_do_not_wait_for_places_and_others() {
        let begin = clock::now().instant;
        let at = |ms| begin + Duration::from_millis(ms);
        let mut together = Together::new(true);
        together.began(128, due(300, 5000), at(0));
        assert!(!together.waits(due(172, 5000), at(1)));
        together.began(100, due(172, 5000), at(1));
        assert!(!together.waits(due(72, 5000), at(2)));
        let unlimited = due(72, 5000);
        let limited = Could {
            granted: 3,
            ..unlimited
        };
        assert!(together.waits(limited, at(2)), "the limit took the rest");
        assert!(
            together.waits(unlimited, at(3)),
            "and so it is a new choice"
        );
    }
}
