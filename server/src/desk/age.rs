//! What is said when points are held back for longer than MAX_POINT_AGE allows.
//! The limiter wins over it: then updates come late, which is counted, and said once a minute with
//! the rate that would do. An order of Python's that passes over metrics for that long is overruled:
//! that is its nature, and said once in a run.

use std::time::Duration;

use benzene_engine::cache::Strategy;
use benzene_engine::stats::Counter;

use super::Desk;

/// How often the desk looks for late updates, and so how often it speaks of them at most.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often the desk looks for updates out of the order, until it has seen one.
const STARVED_LOOK_EVERY: Duration = Duration::from_secs(5);

impl Desk {
    /// Says that updates come late, as long as they do.
    pub(super) async fn watch_lateness(&self) {
        if self.settings.strategy != Strategy::Deadline {
            return self.watch_starvation().await;
        }
        let mut before = vec![0; self.volumes.len()];
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let totals = self.totals().await;
            let looked = self.volumes.iter().zip(&totals.volumes);
            for ((volume, total), before) in looked.zip(&mut before) {
                let late = total.report.counts.late_updates;
                let since = late - std::mem::replace(before, late);
                if since == 0 {
                    continue;
                }
                let rate = volume.budgets.updates.rate();
                let limit = match (rate, volume.tuning.borrow().is_tuned()) {
                    (Some(rate), true) => Limit::Tuned(rate),
                    (Some(rate), false) => Limit::Set(rate),
                    (None, _) => Limit::None,
                };
                let (called, queues) = if self.volumes.len() == 1 {
                    (String::new(), totals.usage.queues)
                } else {
                    (
                        format!("{}: ", volume.directory.label()),
                        total.report.ready,
                    )
                };
                let said = lateness(since, queues, volume.max_point_age_s, limit);
                tracing::warn!("{called}{said}");
            }
        }
    }
}

impl Desk {
    /// Says that the order passed over metrics, when that is first seen.
    async fn watch_starvation(&self) {
        let name = self.settings.strategy.name();
        loop {
            tokio::time::sleep(STARVED_LOOK_EVERY).await;
            let starved = self.totals().await.stats.get(Counter::StarvedUpdates);
            if starved > 0 {
                let held = self.volumes.iter().map(|volume| volume.max_point_age_s);
                let age_s = held.min().unwrap_or_default();
                tracing::warn!("{}", starvation(name, starved, age_s));
                return std::future::pending().await;
            }
        }
    }
}

/// What is said of updates out of the order.
fn starvation(name: &str, starved: u64, age_s: u32) -> String {
    format!(
        "CACHE_WRITE_STRATEGY = {name} passed over metrics for longer than MAX_POINT_AGE ({age_s} s): \
         {starved} updates were made out of its order. They go on and are counted as starvedUpdates, \
         and this is not said again; a higher MAX_UPDATES_PER_SECOND or the order deadline does \
         without them"
    )
}

/// What limits updates, to so many a second.
#[derive(Clone, Copy, Debug)]
enum Limit {
    None,
    Set(f64),
    Tuned(f64),
}

/// What is said of late updates; `queues` metrics have points that are in no file.
fn lateness(late: u64, queues: u64, age_s: u32, limit: Limit) -> String {
    let needed = queues.div_ceil(u64::from(age_s.max(1))).max(1);
    let held = format!("{late} updates of the last minute held points for longer than {age_s} s");
    match limit {
        Limit::Tuned(rate) => format!(
            "{held}: {rate:.0} updates a second are what leaves readers READ_WAIT_MAX, which wins over \
             MAX_POINT_AGE, and {queues} metrics with points need about {needed}"
        ),
        Limit::Set(rate) => format!(
            "{held}: MAX_UPDATES_PER_SECOND = {rate} wins over MAX_POINT_AGE, and {queues} metrics \
             with points need about {needed} updates a second"
        ),
        Limit::None => format!(
            "{held}: the disk takes fewer updates than come, or files could not be written for a \
             while; {queues} metrics with points need about {needed} updates a second"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_is_overruled_is_named() {
        let said = starvation("max", 17, 60);
        assert!(said.contains("= max passed over metrics"), "{said}");
        assert!(said.contains("17 updates"), "{said}");
    }

    #[test]
    fn the_rate_needed_is_named() {
        let said = lateness(7, 50_000, 60, Limit::Set(500.0));
        assert!(said.contains("MAX_UPDATES_PER_SECOND = 500 wins"), "{said}");
        assert!(said.contains("about 834 updates a second"), "{said}");
        let said = lateness(7, 0, 60, Limit::None);
        assert!(said.contains("the disk takes fewer"), "{said}");
        assert!(said.contains("about 1 updates a second"), "{said}");
        let said = lateness(7, 50_000, 60, Limit::Tuned(44.4));
        assert!(said.contains(": 44 updates a second are what"), "{said}");
    }
}
