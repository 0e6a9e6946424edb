//! From what was measured to what carbon.conf should say and how many metrics it carries. Pure.

use std::time::Duration;

use benzene_engine::device::Class;

/// What a disk did.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// Files that were made.
    pub(super) files: u32,
    /// Bytes of one.
    pub(super) file_bytes: u64,
    /// New metrics a second, each made and written, on the disk.
    pub(super) creates_per_s: f64,
    /// Updates of one point a second, of files that were not in memory, on the disk.
    pub(super) one_per_s: f64,
    /// The same of `MANY` points.
    pub(super) many_per_s: f64,
    /// How long a reader beside it waited: median, 99th percentile.
    pub(super) waits: Option<(Duration, Duration)>,
}

/// Part of what the disk does at most that is advised: the rest is for readers, for the kernel's own
/// writing, and for a disk that fills and fragments.
const UPDATES_PART: f64 = 0.9;
/// The same of new files: a mass of them is to leave half of the disk to updates.
const CREATES_PART: f64 = 0.5;
/// Steps of usual senders, in seconds.
const STEPS_S: [u32; 3] = [10, 60, 300];

/// How many metrics a disk carries whose points come with this step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Carries {
    pub(super) step_s: u32,
    pub(super) metrics: u64,
    pub(super) points_per_update: u32,
}

impl Measured {
    /// MAX_UPDATES_PER_SECOND that leaves room for others.
    pub(super) fn updates_advised(&self) -> u64 {
        rounded(self.many_per_s.min(self.one_per_s) * UPDATES_PART)
    }

    /// MAX_CREATES_PER_MINUTE that does.
    pub(super) fn creates_advised(&self) -> u64 {
        rounded(self.creates_per_s * 60.0 * CREATES_PART)
    }

    /// How many metrics at which step: each is written once while its points may wait.
    pub(super) fn carries(&self, point_age_s: u32) -> [Carries; 3] {
        STEPS_S.map(|step_s| {
            let every_s = point_age_s.max(step_s);
            Carries {
                step_s,
                metrics: self.updates_advised() * u64::from(every_s),
                points_per_update: every_s / step_s,
            }
        })
    }

    /// The lines for carbon.conf.
    pub(super) fn lines(&self, class: Class, is_known: bool) -> Vec<String> {
        let suffix = match class {
            Class::Ssd | Class::Unknown => "SSD",
            Class::Hdd => "HDD",
        };
        let mut lines = vec!["[cache]".to_owned()];
        if !is_known {
            lines.push(format!("DEVICE_CLASS = {}", suffix.to_lowercase()));
        }
        lines.push(format!(
            "MAX_UPDATES_PER_SECOND_{suffix} = {}",
            self.updates_advised()
        ));
        lines.push(format!(
            "MAX_CREATES_PER_MINUTE_{suffix} = {}",
            self.creates_advised()
        ));
        lines
    }
}

/// Two digits and zeros, downwards; at least 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative, and no disk does 2^63"
)]
fn rounded(rate: f64) -> u64 {
    let rate = rate.max(1.0) as u64;
    let unit = 10_u64.pow(rate.ilog10().saturating_sub(1));
    rate / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(updates: f64) -> Measured {
        Measured {
            files: 1000,
            file_bytes: 41_512,
            creates_per_s: 100.0,
            one_per_s: updates,
            many_per_s: updates,
            waits: None,
        }
    }

    #[test]
    fn a_spindle_carries_what_its_updates_and_its_age_allow() {
        let spindle = measured(200.0);
        assert_eq!(spindle.updates_advised(), 180);
        assert_eq!(spindle.creates_advised(), 3000);
        let [ten, minute, five] = spindle.carries(300);
        assert_eq!((ten.metrics, ten.points_per_update), (54_000, 30));
        assert_eq!((minute.metrics, minute.points_per_update), (54_000, 5));
        assert_eq!((five.metrics, five.points_per_update), (54_000, 1));
        let lines = spindle.lines(Class::Hdd, true);
        assert_eq!(lines[1], "MAX_UPDATES_PER_SECOND_HDD = 180");
        let lines = spindle.lines(Class::Ssd, false);
        assert_eq!(lines[1], "DEVICE_CLASS = ssd");
    }

    #[test]
    fn rates_are_rounded_downwards_to_two_digits() {
        for (rate, want) in [
            (0.2, 1),
            (9.9, 9),
            (99.0, 99),
            (123.0, 120),
            (98_765.0, 98_000),
        ] {
            assert_eq!(rounded(rate), want, "{rate}");
        }
    }
}
