//! A process and all that descends from it: processor time, memory, signals.
//! A daemon started through a shell may be the shell itself (`exec`) or a child of it; both are
//! seen. A process that has been given to another parent is not: the command must stay in the
//! foreground.
//! Reads `/proc` only. A process that ends between two looks is left out of the second.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::cpu::{Spent, Stat};

/// What a tree of processes has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) spent: Spent,
    /// Bytes resident now.
    pub(crate) resident: u64,
    /// Most bytes that were ever resident, summed over the processes.
    pub(crate) peak: u64,
}

/// What process `root` and its descendants have used.
pub(crate) fn usage(root: u32) -> Result<Usage> {
    let stats = all_stats()?;
    ensure!(stats.contains_key(&root), "process {root} has ended");
    let mut usage = Usage::default();
    for pid in tree(root, &stats) {
        let stat = &stats[&pid];
        usage.spent = usage.spent + stat.own + stat.waited_for;
        if let Some((resident, peak)) = memory(pid) {
            usage.resident += resident;
            usage.peak += peak;
        }
    }
    Ok(usage)
}

/// The directories of the threads of `root` and its descendants whose names are wanted.
pub(crate) fn threads(root: u32, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for pid in tree(root, &all_stats()?) {
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for thread in threads.flatten().map(|entry| entry.path()) {
            let name = fs::read_to_string(thread.join("comm")).unwrap_or_default();
            if is_wanted(name.trim_end()) {
                found.push(thread);
            }
        }
    }
    Ok(found)
}

/// Sends a signal to `root` and its descendants, parents before children.
pub(crate) fn signal(root: u32, signal: Signal) -> Result<()> {
    for pid in tree(root, &all_stats()?) {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            continue;
        };
        match kill_process(pid, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error).context("cannot send a signal"),
        }
    }
    Ok(())
}

/// `root` and its descendants, parents before children.
fn tree(root: u32, stats: &BTreeMap<u32, Stat>) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let children = stats
            .iter()
            .filter(|(pid, stat)| stat.parent == parent && **pid != parent);
        found.extend(children.map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// Every process that can be read, by number.
fn all_stats() -> Result<BTreeMap<u32, Stat>> {
    let entries = fs::read_dir("/proc").context("cannot list /proc")?;
    Ok(entries
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, Stat::parse(&text)?))
        })
        .collect())
}

/// `VmRSS` and `VmHWM` of `/proc/PID/status`, in bytes. None: it has ended.
fn memory(pid: u32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some((kib(&status, "VmRSS:")? << 10, kib(&status, "VmHWM:")? << 10))
}

fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    fn shell(script: &str) -> Child {
        Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "a test waits")]
    fn eventually(mut holds: impl FnMut() -> bool) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(30) {
            if holds() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    #[test]
    fn work_of_a_shells_child_is_counted_while_it_runs_and_after() {
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let mut child = shell(&format!("(:; {busy}); sleep 1000 & wait"));
        let pid = child.id();
        let seen = eventually(|| usage(pid).unwrap().spent.sum() >= Duration::from_millis(20));
        // The busy child has been waited for once `sleep` is there.
        let two = eventually(|| tree(pid, &all_stats().unwrap()).len() == 2);
        let after = usage(pid).unwrap();
        signal(pid, Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(seen && two);
        assert!(after.spent.sum() >= Duration::from_millis(20), "{after:?}");
        assert!(after.peak >= after.resident && after.resident > 100 << 10);
    }

    #[test]
    fn a_signal_reaches_a_shells_child() {
        let mut child = shell("sleep 1000; :");
        let pid = child.id();
        assert!(eventually(|| tree(pid, &all_stats().unwrap()).len() == 2));
        let sleeper = tree(pid, &all_stats().unwrap())[1];
        signal(pid, Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(eventually(|| memory(sleeper).is_none()));
        assert!(usage(pid).is_err());
    }

    #[test]
    fn threads_are_found_by_their_names() {
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("sought-7".to_owned())
            .spawn(move || ends.recv().is_err())
            .unwrap();
        let count = |wanted: &str| {
            let found = threads(std::process::id(), |name| name == wanted);
            found.unwrap().len()
        };
        assert!(eventually(|| count("sought-7") == 1));
        assert_eq!(count("sought-8"), 0);
        drop(end);
        thread.join().unwrap();
    }

    #[test]
    fn a_field_of_status_is_in_kib() {
        let status = "Name:\tVmRSS:\nVmHWM:\t  2048 kB\nVmRSS:\t 1024 kB\n";
        assert_eq!(kib(status, "VmHWM:"), Some(2048));
        assert_eq!(kib(status, "VmRSS:"), Some(1024));
        assert_eq!(kib(status, "VmSwap:"), None);
    }
}
