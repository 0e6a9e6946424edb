//! How long a disk takes for a read far from the last one: the only way to tell whether a virtual
//! disk has heads below it. A few reads past the page cache, bounded in number and time, of the device
//! where it may be opened, of files in the data directory where not.
//! A spinning disk needs 4 to 15 ms for each (seek and half a turn), flash 0.1 ms, a disk behind a
//! network some 1 ms.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock;
use crate::limits::{
    DEVICE_PROBE_ENTRIES_MAX, DEVICE_PROBE_READS, DEVICE_PROBE_READS_MIN, DEVICE_PROBE_TIME_MAX,
};
use crate::ring::direct::DirectFile;

/// The time of a read from the device of this name in /dev, or from files below `directory`
/// where the device may not be read. `None`: neither has enough to read.
pub(super) fn read_time(device: Option<&str>, directory: &Path) -> Option<Duration> {
    let device = device.map(|name| Path::new("/dev").join(name.replace('!', "/")));
    let of_device = device.and_then(|path| of_device(&path).ok().flatten());
    of_device.or_else(|| of_files(directory))
}

/// Reads spread over a whole device.
fn of_device(path: &Path) -> io::Result<Option<Duration>> {
    let mut file = DirectFile::open(path)?;
    let pages = file.pages();
    if pages < DEVICE_PROBE_READS as u64 {
        return Ok(None);
    }
    Ok(quick((0..DEVICE_PROBE_READS as u64).map(|read| {
        timed(|| file.read_page(scattered(read, pages)))
    })))
}

/// Pages far from each other: multiples of the golden section, cut to the device.
fn scattered(read: u64, pages: u64) -> u64 {
    let fraction = (read + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let page = (u128::from(fraction) * u128::from(pages)) >> 64;
    u64::try_from(page).unwrap_or(0)
}

/// The first page of files that are there.
fn of_files(directory: &Path) -> Option<Duration> {
    let files = files_below(directory);
    quick(files.iter().map(|path| {
        let mut file = DirectFile::open(path)?;
        if file.pages() == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        timed(|| file.read_page(0))
    }))
}

/// Some files below a directory, of as many directories as can be seen in few looks.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut directories = VecDeque::from([directory.to_owned()]);
    let (mut files, mut looks) = (Vec::new(), 0);
    while let Some(directory) = directories.pop_front() {
        let mut of_this = 0;
        for entry in std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            looks += 1;
            if looks > DEVICE_PROBE_ENTRIES_MAX || files.len() == DEVICE_PROBE_READS {
                return files;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push_front(entry.path()),
                Ok(kind) if kind.is_file() && of_this < 2 => {
                    of_this += 1;
                    files.push(entry.path());
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
    files
}

fn timed(read: impl FnOnce() -> io::Result<()>) -> io::Result<Duration> {
    let begin = clock::now().instant;
    read()?;
    Ok(clock::now().instant.saturating_duration_since(begin))
}

/// The time that a quarter of some reads stay below, of as many as the time allows; `None` where too
/// few could be done. Not the median: on a busy disk most reads wait for others, but a spinning disk
/// has no quick ones among them.
fn quick(reads: impl Iterator<Item = io::Result<Duration>>) -> Option<Duration> {
    let (mut times, mut sum) = (Vec::with_capacity(DEVICE_PROBE_READS), Duration::ZERO);
    for time in reads.flatten() {
        times.push(time);
        sum += time;
        if sum >= DEVICE_PROBE_TIME_MAX && times.len() >= DEVICE_PROBE_READS_MIN {
            break;
        }
    }
    times.sort();
    let quarter = times.get(times.len() / 4).copied();
    quarter.filter(|_| times.len() >= DEVICE_PROBE_READS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_spread_over_the_device() {
        let mut pages: Vec<u64> = (0..16).map(|read| scattered(read, 1_000_000)).collect();
        pages.sort_unstable();
        let gaps = pages.windows(2).map(|pair| pair[1] - pair[0]);
        let (least, most) = (gaps.clone().min().unwrap(), gaps.max().unwrap());
        assert!(least > 20_000 && most < 120_000, "{pages:?}");
        assert!(pages.iter().all(|page| *page < 1_000_000), "{pages:?}");
    }

    #[test]
    fn the_quick_quarter_is_of_what_could_be_read() {
        let took = |ms: u64| Ok(Duration::from_millis(ms));
        let broken = || Err(io::ErrorKind::PermissionDenied.into());
        let times = [took(9), took(1), broken(), took(3), took(2), took(8)];
        assert_eq!(quick(times.into_iter()), Some(Duration::from_millis(2)));
        let few = [took(9), broken()];
        assert_eq!(quick(few.into_iter()), None);
        let mut asked = 0;
        let slow = std::iter::repeat_with(|| {
            asked += 1;
            took(50)
        });
        assert_eq!(quick(slow), Some(Duration::from_millis(50)));
        assert_eq!(
            asked, 5,
            "a slow disk is asked no longer than a quarter of a second"
        );
    }

    #[test]
    fn files_stand_in_where_the_device_may_not_be_read() {
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        assert_eq!(read_time(None, directory.path()), None, "there is no file");
        for name in 0..6 {
            let below = directory.path().join(format!("servers/{name}"));
            std::fs::create_dir_all(&below).unwrap();
            for file in ["a.wsp", "b.wsp", "c.wsp"] {
                std::fs::write(below.join(file), vec![1; 8192]).unwrap();
            }
        }
        assert_eq!(files_below(directory.path()).len(), 12, "two of each");
        assert!(read_time(Some("no-such-disk"), directory.path()).is_some());
    }
}
