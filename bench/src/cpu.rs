//! Processor time: ours, and a server's by its process id.
//! Ours is the kernel's own clock; a server's is read from `/proc/PID/stat`, in clock ticks, and
//! includes the kernel workers of its rings, which are threads of the process.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

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
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let ticks = ticks_in_stat(&stat).with_context(|| format!("{path} is not understood"))?;
    Ok(Duration::from_millis(
        ticks * 1000 / clock_ticks_per_second().max(1),
    ))
}

/// utime + stime, fields 14 and 15 of proc(5). The program's name, field 2, may hold anything, so
/// counting starts behind its closing parenthesis.
fn ticks_in_stat(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "12 (a) b (c) S 1 1 1 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 1 0 100";
        assert_eq!(ticks_in_stat(stat), Some(300));
        assert_eq!(ticks_in_stat("12 (a) S 1 1"), None);
        assert_eq!(ticks_in_stat("nothing"), None);
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
