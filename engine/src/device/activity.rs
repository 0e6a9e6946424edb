//! What a disk has done since it was attached, as the kernel counts it, and what it did between two
//! looks. Pure: the text of /sys/class/block/NAME/stat in, numbers out.
//! The kernel keeps milliseconds in 32 bits, which a busy disk's queue passes in hours: differences
//! are taken there. Counts that went back are those of another disk, and say nothing.

use std::time::Duration;

use crate::limits::DEVICE_REQUESTS_BETWEEN_LOOKS_MAX;

/// What the kernel has counted of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    reads: u64,
    read_ms: u32,
    writes: u64,
    write_ms: u32,
    busy_ms: u32,
}

/// What a disk did between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Reads that were answered.
    pub reads: u64,
    /// What they waited for all together, from the kernel's queue on.
    pub read_wait: Duration,
    /// Writes that were answered.
    pub writes: u64,
    /// What they waited for all together.
    pub write_wait: Duration,
    /// How long the disk had something to do.
    pub busy: Duration,
}

impl Activity {
    /// Of sums, what was added since an earlier one.
    #[must_use]
    pub fn since(&self, before: &Activity) -> Activity {
        Activity {
            reads: self.reads.saturating_sub(before.reads),
            read_wait: self.read_wait.saturating_sub(before.read_wait),
            writes: self.writes.saturating_sub(before.writes),
            write_wait: self.write_wait.saturating_sub(before.write_wait),
            busy: self.busy.saturating_sub(before.busy),
        }
    }
}

impl std::ops::AddAssign for Activity {
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.read_wait += other.read_wait;
        self.writes += other.writes;
        self.write_wait += other.write_wait;
        self.busy += other.busy;
    }
}

impl Counters {
    /// Reads a `stat` file (Documentation/block/stat.rst); None where it is none.
    pub fn parse(text: &str) -> Option<Counters> {
        let mut fields = text.split_ascii_whitespace();
        let mut numbers = [0_u64; 10];
        for number in &mut numbers {
            *number = fields.next()?.parse().ok()?;
        }
        let [reads, _, _, read_ms, writes, _, _, write_ms, _, busy_ms] = numbers;
        let ms = |ticks: u64| u32::try_from(ticks & u64::from(u32::MAX)).ok();
        Some(Counters {
            reads,
            read_ms: ms(read_ms)?,
            writes,
            write_ms: ms(write_ms)?,
            busy_ms: ms(busy_ms)?,
        })
    }

    /// What was done since an earlier look; None where that was at another disk.
    pub fn since(&self, before: &Counters) -> Option<Activity> {
        let count = |after: u64, before: u64| {
            let done = after.checked_sub(before)?;
            (done <= DEVICE_REQUESTS_BETWEEN_LOOKS_MAX).then_some(done)
        };
        let time =
            |after: u32, before: u32| Duration::from_millis(u64::from(after.wrapping_sub(before)));
        Some(Activity {
            reads: count(self.reads, before.reads)?,
            read_wait: time(self.read_ms, before.read_ms),
            writes: count(self.writes, before.writes)?,
            write_wait: time(self.write_ms, before.write_ms),
            busy: time(self.busy_ms, before.busy_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "13207803  1903901 492961095 26086546 52129673 22417227 2220751378 50124533 \
                        1  3701432 77956262 14771368       77 3221459624  1714892   166067    30288\n";

    #[test]
    fn the_kernels_line_is_read() {
        let counters = Counters::parse(STAT).unwrap();
        let expected = Counters {
            reads: 13_207_803,
            read_ms: 26_086_546,
            writes: 52_129_673,
            write_ms: 50_124_533,
            busy_ms: 3_701_432,
        };
        assert_eq!(counters, expected);
        assert_eq!(counters.since(&counters), Some(Activity::default()));
        for text in ["", "1 2 3", "1 2 3 4 5 6 7 8 9 x", "-1 2 3 4 5 6 7 8 9 10"] {
            assert_eq!(Counters::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn milliseconds_that_pass_32_bits_go_on() {
        let before = Counters {
            reads: 5,
            read_ms: u32::MAX - 10,
            ..Counters::default()
        };
        let after = Counters {
            reads: 7,
            read_ms: 30,
            ..Counters::default()
        };
        let activity = after.since(&before).unwrap();
        assert_eq!((activity.reads, activity.read_wait.as_millis()), (2, 41));
    }

    #[test]
    fn another_disk_says_nothing() {
        let [few, many] = [5, 5 + (1 << 40)].map(|writes| Counters {
            writes,
            ..Counters::default()
        });
        assert_eq!(few.since(&many), None);
        assert_eq!(many.since(&few), None);
    }
}
