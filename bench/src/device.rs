//! What reached the disk below a directory: the counters of its block device, and the page cache.
//! The counters are the device's own (`/sys/dev/block/MAJOR:MINOR/stat`), partitions and loop
//! devices have theirs. They count everybody's work on the device, not only ours. A file system
//! that spreads over several devices, or lies on none, has no counters here.

use std::fs::{self, File};
use std::ops::Sub;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The kernel counts in sectors of this size, whatever the device's own are.
const SECTOR_BYTES: u64 = 512;
/// Writing 3 here drops the page cache, and with it cached inodes and names.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// Sums since the device came up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Requests that the device has finished, after the kernel had merged them.
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            reads: self.reads.saturating_sub(before.reads),
            writes: self.writes.saturating_sub(before.writes),
            read_bytes: self.read_bytes.saturating_sub(before.read_bytes),
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
        }
    }
}

/// The disk below a directory.
#[derive(Debug)]
pub(crate) struct Device {
    dir: File,
    stat: Option<PathBuf>,
    name: String,
}

impl Device {
    /// The device on which `dir` lies.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let dir = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let number = dir.metadata()?.dev();
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let sys = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
        let stat = Some(sys.join("stat")).filter(|stat| stat.is_file());
        let link = fs::read_link(&sys).unwrap_or_default();
        let name = match link.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => String::from("no block device"),
        };
        Ok(Self { dir, stat, name })
    }

    /// Its name in the kernel.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its counters; None where it has none.
    pub(crate) fn counters(&self) -> Option<Counters> {
        parse(&fs::read_to_string(self.stat.as_ref()?).ok()?)
    }

    /// Writes everything out that is dirty on the file system.
    pub(crate) fn flush(&self) -> Result<()> {
        rustix::fs::syncfs(&self.dir).context("cannot sync the file system")
    }
}

/// Fields 1, 3, 5 and 7 of Documentation/block/stat: requests and sectors, read and written.
fn parse(stat: &str) -> Option<Counters> {
    let fields: Option<Vec<u64>> = stat
        .split_ascii_whitespace()
        .map(|field| field.parse().ok())
        .collect();
    let fields = fields?;
    let [reads, _, sectors_read, _, writes, _, sectors_written, ..] = *fields else {
        return None;
    };
    Some(Counters {
        reads,
        writes,
        read_bytes: sectors_read * SECTOR_BYTES,
        written_bytes: sectors_written * SECTOR_BYTES,
    })
}

/// Empties the page cache of the whole machine; nothing in it may be dirty.
pub(crate) fn drop_caches() -> Result<()> {
    fs::write(DROP_CACHES, "3").with_context(|| format!("cannot write {DROP_CACHES}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_bytes_are_where_the_kernel_puts_them() {
        let stat = "  10 2 30 4 50 6 70 8 0 9 11 0 0 0 0 12 13\n";
        let expected = Counters {
            reads: 10,
            writes: 50,
            read_bytes: 30 * 512,
            written_bytes: 70 * 512,
        };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(parse("10 2 x 4 50 6 70"), None);
        assert_eq!(parse("10 2 30 4 50 6"), None);
    }

    #[test]
    fn what_is_written_reaches_the_device() {
        let dir = tempfile::tempdir().unwrap();
        let device = Device::of(dir.path()).unwrap();
        device.flush().unwrap();
        let Some(before) = device.counters() else {
            assert!(device.stat.is_none(), "{device:?} has counters");
            return;
        };
        fs::write(dir.path().join("file"), vec![1; 1 << 20]).unwrap();
        device.flush().unwrap();
        let seen = device.counters().unwrap() - before;
        assert!(seen.written_bytes >= 1 << 20, "{seen:?}");
        assert!(seen.writes > 0, "{seen:?}");
    }
}
