//! How long points may be held back, and what is said when they are held for longer.
//! MAX_POINT_AGE is decided once, at the start, where carbon.conf leaves it open: by the class of
//! the disk below the data directory. What nobody knows is taken for an SSD, so that points are held
//! for the shorter time. The limiter wins over it: then updates come late, which is counted, and
//! said once a minute with the rate that would do.

use std::time::Duration;

use benzene_engine::cache::Strategy;
use benzene_engine::device::{Class, Disk};
use benzene_engine::limits::{POINT_AGE_HDD_SECONDS, POINT_AGE_SSD_SECONDS};
use benzene_engine::ring::mount;
use benzene_engine::stats::Counter;

use super::Desk;
use super::selfmetrics::Totals;
use crate::config::Settings;

/// How often the desk looks for late updates, and so how often it speaks of them at most.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long a point may be held back, in seconds, and why so long, for the log.
pub(super) fn max_point_age(settings: &Settings) -> (u32, String) {
    if let Some(seconds) = settings.max_point_age_s {
        return (seconds, "as MAX_POINT_AGE says".to_owned());
    }
    let directory = &settings.data_dir;
    match mount::of(directory).and_then(|mount| Disk::below(directory, &mount)) {
        Ok(disk) => (
            by_class(disk.class),
            format!("its disk is {} ({})", disk.class.name(), disk.reason),
        ),
        Err(error) => (
            by_class(Class::Unknown),
            format!("what disk it is on is not to be had: {error}"),
        ),
    }
}

fn by_class(class: Class) -> u32 {
    match class {
        Class::Ssd | Class::Unknown => POINT_AGE_SSD_SECONDS,
        Class::Hdd => POINT_AGE_HDD_SECONDS,
    }
}

impl Desk {
    /// Says that updates come late, as long as they do.
    pub(super) async fn watch_lateness(&self) {
        if self.settings.strategy != Strategy::Deadline {
            return std::future::pending().await;
        }
        let late = |totals: &Totals| totals.stats.get(Counter::LateUpdates);
        let mut before = 0;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let totals = self.totals().await;
            let since = late(&totals) - std::mem::replace(&mut before, late(&totals));
            if since > 0 {
                let rate = self.budgets.updates.rate();
                tracing::warn!(
                    "{}",
                    lateness(since, totals.usage.queues, self.max_point_age_s, rate)
                );
            }
        }
    }
}

/// What is said of late updates; `queues` metrics have points that are in no file.
fn lateness(late: u64, queues: u64, age_s: u32, rate: Option<f64>) -> String {
    let needed = queues.div_ceil(u64::from(age_s.max(1))).max(1);
    let held = format!("{late} updates of the last minute held points for longer than {age_s} s");
    match rate {
        Some(rate) => format!(
            "{held}: MAX_UPDATES_PER_SECOND = {rate} wins over MAX_POINT_AGE, and {queues} metrics \
             with points need about {needed} updates a second"
        ),
        None => format!(
            "{held}: the disk takes fewer updates than come, or files could not be written for a \
             while; {queues} metrics with points need about {needed} updates a second"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_needed_is_named() {
        let said = lateness(7, 50_000, 60, Some(500.0));
        assert!(said.contains("MAX_UPDATES_PER_SECOND = 500 wins"), "{said}");
        assert!(said.contains("about 834 updates a second"), "{said}");
        let said = lateness(7, 0, 60, None);
        assert!(said.contains("the disk takes fewer"), "{said}");
        assert!(said.contains("about 1 updates a second"), "{said}");
    }

    #[test]
    fn a_spinning_disk_holds_longer_and_the_unknown_is_none() {
        let ages = [Class::Ssd, Class::Unknown, Class::Hdd].map(by_class);
        assert_eq!(ages, [60, 60, 300]);
    }
}
