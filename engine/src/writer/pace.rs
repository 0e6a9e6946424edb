//! How fast files are looked for: twice as fast as the budgets let what is found be written and
//! made, and a little. Faster would serve nobody: each look costs a path, an operation and a kernel
//! worker's time, some microseconds, and its series would wait for the budgets all the same.
//! Follows the budgets when these change; without a limit on them there is none here.

use std::time::Instant;

use super::Budgets;
use crate::limiter::Budget;
use crate::limits::{BUDGET_BURST_S, BUDGET_RATE_MAX, PROBES_PER_S_MIN};

/// A budget that follows two others.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// None before the first grant.
    budget: Option<Followed>,
}

#[derive(Debug)]
struct Followed {
    budget: Budget,
    rate: Option<f64>,
}

impl Pace {
    /// Grants up to `wanted` looks.
    pub(super) fn grant(&mut self, wanted: u32, budgets: &Budgets, now: Instant) -> u32 {
        let rate = rate(budgets);
        let followed = self.budget.get_or_insert_with(|| Followed {
            budget: Budget::new(rate, BUDGET_BURST_S, now),
            rate,
        });
        if followed.rate != rate {
            followed.budget.set_rate(rate, now);
            followed.rate = rate;
        }
        followed.budget.grant(wanted, now)
    }

    /// When the next look is granted; None: now.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        self.budget.as_ref()?.budget.next_at(now)
    }
}

fn rate(budgets: &Budgets) -> Option<f64> {
    let written = budgets.updates.rate()? + budgets.creates.rate()?;
    let rate = 2.0 * written + PROBES_PER_S_MIN;
    (rate <= BUDGET_RATE_MAX).then_some(rate)
}
