//! Whether the shadow's files fit where they are to go. It makes a file for each metric that it gets,
//! which are those that the daemon writes to: their files are counted, by when they were last written.
//! Only looks. What cannot be looked at is left out.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use benzene_engine::ring::Allocation;
use benzene_engine::ring::mount::{self, Free};

use super::ShadowError;
use crate::tools::whisper_files::WhisperFiles;

/// How long ago a file may have been written for its metric to be one that still comes.
const ACTIVE_S: i64 = 86_400;
/// Of the free room and of the free inodes so many tenths may be taken; the rest is for directories,
/// for the shadow's journal, and for metrics that are new.
const TENTHS_MAX: u64 = 9;

/// What files take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    files: u64,
    bytes: u64,
}

impl Room {
    /// What the files take that were written to in the last day. A file that is made sparse takes what
    /// is in it, like its counterpart.
    pub(super) fn taken_by_active(theirs: &[&Path], allocation: Allocation, now_s: u32) -> Room {
        let mut room = Room::default();
        let since_s = i64::from(now_s) - ACTIVE_S;
        for file in WhisperFiles::below(theirs) {
            let Ok(found) = file.path.metadata() else {
                continue;
            };
            if found.mtime() < since_s {
                continue;
            }
            room.files += 1;
            room.bytes += match allocation {
                Allocation::Sparse => found.len().min(found.blocks() * 512),
                Allocation::Zeros | Allocation::Fallocate => found.len(),
            };
        }
        room
    }

    /// Refuses a directory that has not enough of it.
    pub(super) fn check(self, scratch: &Path) -> Result<(), ShadowError> {
        let left = mount::free(scratch).map_err(ShadowError::path(scratch))?;
        if self.fits(left) {
            return Ok(());
        }
        Err(ShadowError::Room {
            scratch: scratch.to_owned(),
            files: self.files,
            mib: self.bytes >> 20,
            left_mib: left.bytes >> 20,
            left_files: left.inodes,
        })
    }

    fn fits(self, left: Free) -> bool {
        let has_inodes = left.inodes_total == 0 || self.files <= left.inodes / 10 * TENTHS_MAX;
        has_inodes && self.bytes <= left.bytes / 10 * TENTHS_MAX
    }
}

/// Where the files go when nobody says: on a disk, where /tmp is in memory on many machines.
pub(super) fn usual_scratch() -> PathBuf {
    PathBuf::from("/var/tmp")
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use benzene_engine::clock;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn only_files_that_are_written_to_are_counted() {
        let data = tempfile::tempdir().unwrap();
        let now_s = clock::now().unix_seconds;
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now_s.into());
        for (name, bytes, age) in [("a.wsp", 5000, 0), ("b.wsp", 700, 2), ("c.txt", 9000, 0)] {
            let file = File::create(data.path().join(name)).unwrap();
            file.set_len(bytes).unwrap();
            file.set_modified(now - DAY * age).unwrap();
        }
        let room = |allocation| Room::taken_by_active(&[data.path()], allocation, now_s);
        let whole = Room {
            files: 1,
            bytes: 5000,
        };
        assert_eq!(room(Allocation::Zeros), whole);
        assert_eq!(room(Allocation::Sparse).bytes, 0);
        fs::remove_file(data.path().join("a.wsp")).unwrap();
        assert_eq!(room(Allocation::Zeros), Room::default());
    }

    #[test]
    fn room_is_judged_by_bytes_and_by_inodes() {
        let left = |bytes, inodes, inodes_total| Free {
            bytes,
            bytes_total: 1000,
            inodes,
            inodes_total,
        };
        let room = Room {
            files: 90,
            bytes: 900,
        };
        for (left, fits) in [
            (left(1000, 100, 200), true),
            (left(990, 100, 200), false),
            (left(1000, 99, 200), false),
            (left(1000, 0, 0), true),
        ] {
            assert_eq!(room.fits(left), fits, "{left:?}");
        }
    }
}
