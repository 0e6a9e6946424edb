//! The comparison at the end of a world, when nothing is wrong any more: every file with what was
//! accepted, and its second archive with its first, and with what was too old for that.

use std::collections::BTreeMap;

use crate::content::{archives, file_of, is_broken, points_of, reach, seconds_wanted};
use crate::oracle::Asked;
use crate::world::World;

impl World {
    /// Compares every metric's file with what was accepted. How many minutes of second archives were.
    pub(crate) fn compare(&self) -> usize {
        let mut minutes = 0;
        for metric in self.workload.metrics() {
            let file = self.disk.file(&file_of(metric));
            // What was written where a short file still reached went aside with it, and a drain gives
            // such a file up after ten attempts.
            if self.tampered.contains(&metric) {
                let sound = file.filter(|bytes| !is_broken(bytes));
                let found = sound.map(|bytes| points_of(bytes, 0)).unwrap_or_default();
                if let Err(wrong) = self.oracle.check_origin(metric, &found) {
                    panic!("{wrong}");
                }
                continue;
            }
            let found = file.map(|bytes| points_of(bytes, 0)).unwrap_or_default();
            let asked = Asked::all(metric, self.now().unix_seconds, self.settings.is_far);
            if let Err(wrong) = self.oracle.check(metric, &found, &asked) {
                panic!("{wrong}");
            }
            let Some(bytes) = file else { continue };
            minutes += self.check_far(metric, bytes);
            if archives(bytes) > 1 {
                minutes += self.check_coarse(metric, bytes);
            }
        }
        minutes
    }

    /// The second archive has the average of each of its minutes that has enough of its seconds, and no
    /// other minute. Says how many were compared.
    fn check_coarse(&self, metric: usize, bytes: &[u8]) -> usize {
        let mut minutes: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for (timestamp, value) in points_of(bytes, 0) {
            minutes.entry(timestamp / 60 * 60).or_default().push(value);
        }
        let coarse = points_of(bytes, 1);
        // A crash may have cut an update off between its archives, and taken its points.
        // Nor is all of an older one in the first archive any more.
        let (now_s, first_s) = (
            self.now().unix_seconds,
            reach(metric, self.settings.is_far).first_s,
        );
        let is_sure = |minute: &u32| {
            *minute + first_s > now_s
                && *minute >= self.minutes_from
                && !self.is_overwritten(metric, *minute)
                && !self.oracle.is_at_risk(metric, *minute, *minute + 59)
        };
        for (minute, value) in coarse.iter().filter(|(minute, _)| is_sure(minute)) {
            assert!(
                minutes.contains_key(minute),
                "metric {metric} has {value} for the minute {minute}, of which no second is there"
            );
        }
        let mut compared = 0;
        for (minute, values) in minutes {
            if values.len() < seconds_wanted(metric) || !is_sure(&minute) {
                continue;
            }
            compared += 1;
            let Ok(count) = u32::try_from(values.len()) else {
                unreachable!("a minute has 60 seconds")
            };
            let expected = values.iter().sum::<f64>() / f64::from(count);
            let found = coarse.get(&minute).copied();
            assert!(
                found.is_some_and(|found| (found - expected).abs() <= expected.abs() * 1e-9),
                "metric {metric} has {found:?} for the minute {minute}, its seconds say {expected}"
            );
        }
        compared
    }
}
