//! Processor time: ours, and a server's by its process id.
//! Ours is the kernel's own clock. A server's is read from `/proc/PID/stat`: its sum is exact and
//! cut to a clock tick (10 ms); its split into user and system comes from samples taken every tick.
//! It covers all threads of the process, ended ones and the kernel workers of its rings too.

use std::fs;
use std::ops::{Add, Sub};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

/// Processor time in both modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Spent {
    /// Both modes together.
    pub(crate) fn sum(self) -> Duration {
        self.user + self.system
    }
}

impl Add for Spent {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            user: self.user + other.user,
            system: self.system + other.system,
        }
    }
}

impl Sub for Spent {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            user: self.user.saturating_sub(other.user),
            system: self.system.saturating_sub(other.system),
        }
    }
}

/// User and system time of this process so far.
pub(crate) fn own() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(spent.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(spent.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

/// User and system time of process `pid` so far.
pub(crate) fn of_process(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let stat = Stat::parse(&text).with_context(|| format!("{path} is not understood"))?;
    Ok(stat.own.sum())
}

/// What `/proc/PID/stat` tells of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Process that started it.
    pub(crate) parent: u32,
    /// Its own time, all threads.
    pub(crate) own: Spent,
    /// Time of its children that have ended and that it has waited for.
    pub(crate) waited_for: Spent,
}

impl Stat {
    /// Fields 4 and 14 to 17 of proc(5). The program's name, field 2, may hold anything, so
    /// counting starts behind its closing parenthesis.
    pub(crate) fn parse(stat: &str) -> Option<Self> {
        let (_, behind_name) = stat.rsplit_once(')')?;
        let mut fields = behind_name.split_ascii_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let mut fields = fields.skip(9);
        let mut next = || {
            let ticks: u64 = fields.next()?.parse().ok()?;
            let millis = ticks * 1000 / clock_ticks_per_second().max(1);
            Some(Duration::from_millis(millis))
        };
        let mut spent = || {
            Some(Spent {
                user: next()?,
                system: next()?,
            })
        };
        Some(Self {
            parent,
            own: spent()?,
            waited_for: spent()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(user_ms: u64, system_ms: u64) -> Spent {
        Spent {
            user: Duration::from_millis(user_ms),
            system: Duration::from_millis(system_ms),
        }
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "12 (a) b (c) S 7 1 1 0 -1 4194560 1 2 3 4 250 50 9 8 20 0 1 0 100";
        let ms = 1000 / clock_ticks_per_second();
        assert_eq!(
            Stat::parse(stat),
            Some(Stat {
                parent: 7,
                own: spent(250 * ms, 50 * ms),
                waited_for: spent(9 * ms, 8 * ms),
            })
        );
        assert_eq!(Stat::parse("12 (a) S 1 1"), None);
        assert_eq!(Stat::parse("nothing"), None);
    }

    #[test]
    fn both_clocks_see_this_process_work() {
        let (own_before, seen_before) = (own(), of_process(std::process::id()).unwrap());
        let mut word = 1;
        while own().saturating_sub(own_before) < Duration::from_millis(60) {
            word = crate::workload::mix(word);
        }
        assert!(of_process(std::process::id()).unwrap() > seen_before);
    }
}
