//! Grants of a data directory of which nothing came: creates that made no file, and updates that could
//! not open theirs and could not the time before. They are given back, so that files which fail hold
//! nobody else's up: the limits are for what is done, and what fails is spaced by its own pauses
//! (`parked`). An update that fails for the first time keeps its grant: where for a moment no file can be
//! opened, all that wait would else be parked in that moment, far more than their share has room for. Not so
//! in a drain whose journal keeps them.
//! Never asks a budget for anything, never reads the clock.
//! A core whose creates all fail would have a slow limit's one grant in its hands all the time, and
//! another core, which asks for it once in a while, would never find it there. So creates under a limit
//! rest for a moment, now and then, and leave what was given back to others.
//! Invariant: a grant is given back once, and no file or point of it is on the disk.

use std::time::{Duration, Instant};

use super::{Budgets, WAIT_MIN};

/// How long creates rest, and for how long they then go on in spite of failures. As short as the
/// writer's other waits, a fifth of a limiter's burst: nothing of the rate is lost by it.
const REST: Duration = WAIT_MIN;

/// What is to be given back.
#[derive(Debug, Default)]
pub(super) struct Unused {
    creates: u32,
    updates: u32,
    /// When creates came to their last rest.
    rested_at: Option<Instant>,
}

impl Unused {
    /// A create made no file.
    pub(super) fn create(&mut self, now: Instant) {
        self.creates += 1;
        if self.since_rest(now).is_none_or(|since| since >= 2 * REST) {
            self.rested_at = Some(now);
        }
    }

    /// An update did not come to open its file, once more.
    pub(super) fn update(&mut self) {
        self.updates += 1;
    }

    /// Gives all of it back to where it came from.
    pub(super) fn give_back(&mut self, budgets: &Budgets) {
        let both = [
            (&budgets.creates, &mut self.creates),
            (&budgets.updates, &mut self.updates),
        ];
        for (budget, count) in both {
            if *count > 0 {
                budget.refund(std::mem::take(count));
            }
        }
    }

    /// Is there a create's grant to be given back?
    pub(super) fn has_creates(&self) -> bool {
        self.creates > 0
    }

    /// Do creates under a limit rest? It ends within `WAIT_MIN`.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.since_rest(now).is_some_and(|since| since < REST)
    }

    fn since_rest(&self, now: Instant) -> Option<Duration> {
        self.rested_at.map(|at| now.saturating_duration_since(at))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock;
    use crate::limiter::Budget;

    #[test]
    fn creates_that_fail_rest_half_of_the_time() {
        let begin = clock::now().instant;
        let at = |ms| begin + Duration::from_millis(ms);
        let mut unused = Unused::default();
        assert!(!unused.rests(at(0)));
        for (ms, rests) in [
            (0, true),
            (19, true),
            (20, false),
            (39, false),
            (40, true),
            (59, true),
            (61, false),
            (500, true),
        ] {
            unused.create(at(ms));
            assert_eq!(unused.rests(at(ms)), rests, "after {ms} ms");
        }
        assert!(!unused.rests(at(520)));
    }

    #[test]
    fn what_is_given_back_is_given_back_once_and_to_where_it_came_from() {
        let begin = clock::now().instant;
        let budget = || Arc::new(Budget::new(Some(30.0), 0.1, begin));
        let budgets = Budgets {
            updates: budget(),
            creates: budget(),
        };
        assert_eq!(budgets.creates.grant(9, begin), 3);
        assert_eq!(budgets.updates.grant(9, begin), 3);
        let mut unused = Unused::default();
        unused.create(begin);
        unused.create(begin);
        unused.update();
        assert!(unused.has_creates());
        for _ in 0..2 {
            unused.give_back(&budgets);
            assert!(!unused.has_creates());
        }
        assert_eq!(budgets.creates.grant(9, begin), 2);
        assert_eq!(budgets.updates.grant(9, begin), 1);
    }
}
