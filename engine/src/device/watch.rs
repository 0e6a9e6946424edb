//! A look at the disks below a directory, again and again: what each has done since the last time, and
//! how much of what memory may hold unwritten it holds.
//! Reads files of /sys and /proc, which never wait for a disk. A disk that cannot be read is not
//! watched; one that is exchanged for another says nothing once.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Activity, Counters};

/// Disks, and what each had done at the last look.
#[derive(Debug)]
pub struct Watch {
    disks: Vec<(PathBuf, Counters)>,
}

impl Watch {
    /// Of the disks of these names, those that can be watched; None where there is none.
    pub fn new(names: &[String]) -> Option<Watch> {
        Watch::below(Path::new("/sys/class/block"), names)
    }

    fn below(root: &Path, names: &[String]) -> Option<Watch> {
        let mut disks = Vec::new();
        for name in names {
            let path = root.join(name).join("stat");
            if let Some(counters) = read(&path) {
                disks.push((path, counters));
            }
        }
        (!disks.is_empty()).then_some(Watch { disks })
    }

    /// What the disks have done since the last look; fewer where one said nothing.
    pub fn look(&mut self) -> Vec<Activity> {
        let since = |(path, before): &mut (PathBuf, Counters)| {
            let after = read(path)?;
            after.since(&std::mem::replace(before, after))
        };
        self.disks.iter_mut().filter_map(since).collect()
    }
}

fn read(path: &Path) -> Option<Counters> {
    Counters::parse(&fs::read_to_string(path).ok()?)
}

/// Part of what memory may hold unwritten that it holds; 0 where that is not to be had.
pub fn dirty_share() -> f64 {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    share(
        &read("/proc/meminfo"),
        &read("/proc/sys/vm/dirty_bytes"),
        &read("/proc/sys/vm/dirty_ratio"),
    )
    .unwrap_or(0.0)
}

/// The kernel's rule: so many bytes, or so many hundredths of the memory that is available.
fn share(meminfo: &str, bytes: &str, ratio: &str) -> Option<f64> {
    let kib = |field: &str| -> Option<f64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(field))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let dirty = kib("Dirty:")? + kib("Writeback:")?;
    let limit = match bytes.trim().parse::<f64>() {
        Ok(bytes) if bytes > 0.0 => bytes / 1024.0,
        Ok(_) | Err(_) => kib("MemAvailable:")? * ratio.trim().parse::<f64>().ok()? / 100.0,
    };
    (limit > 0.0).then(|| dirty / limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(directory: &Path, disk: &str, reads: u64) {
        fs::create_dir_all(directory.join(disk)).unwrap();
        let text = format!("{reads} 0 0 {} 0 0 0 0 0 0 0\n", reads * 5);
        fs::write(directory.join(disk).join("stat"), text).unwrap();
    }

    #[test]
    fn each_disk_is_watched_that_can_be() {
        let root = tempfile::tempdir().unwrap();
        let names = ["sda", "memory", "sdb"].map(str::to_owned);
        assert!(Watch::below(root.path(), &names).is_none());
        stat(root.path(), "sda", 10);
        stat(root.path(), "sdb", 20);
        let mut watch = Watch::below(root.path(), &names).unwrap();
        let reads = |watch: &mut Watch| -> Vec<u64> {
            watch.look().iter().map(|activity| activity.reads).collect()
        };
        assert_eq!(reads(&mut watch), [0, 0]);
        stat(root.path(), "sda", 14);
        // Another disk, which has its name now, has begun to count.
        stat(root.path(), "sdb", 3);
        assert_eq!(reads(&mut watch), [4]);
        stat(root.path(), "sdb", 5);
        assert_eq!(reads(&mut watch), [0, 2]);
    }

    #[test]
    fn dirty_memory_is_a_share_of_what_the_kernel_lets_lie() {
        let meminfo = "MemTotal: 9 kB\nMemAvailable:  1000 kB\nDirty:  40 kB\nWriteback: 10 kB\n";
        assert_eq!(share(meminfo, "0\n", "20\n"), Some(0.25));
        assert_eq!(share(meminfo, "102400\n", "0\n"), Some(0.5));
        assert_eq!(share(meminfo, "", ""), None);
        assert_eq!(share("", "0", "20"), None);
        assert!(dirty_share() >= 0.0);
    }
}
