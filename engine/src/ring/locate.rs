//! Where a file lies on its disk: the address of its first extent (FIEMAP), or where its file system
//! does not tell, the number of its inode, which mostly rises with it.
//! The file is opened like any other, in the ring; the question itself is an ioctl, which the ring
//! does not know, and is asked by whoever drives it. It answers from the inode, which the open has
//! read; of a file in more pieces than its inode holds it may read one block.
//! Source: Documentation/filesystems/fiemap.rst of the Linux kernel.
#![expect(unsafe_code, reason = "an ioctl writes into memory that is lent to it")]

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::command::{Command, Machine, Next, PathOf, Patience, Span};
use super::create::c_path;
use super::operation::{FileError, FileOutcome, Stage};

/// `FS_IOC_FIEMAP`: `_IOWR('f', 11, struct fiemap)`.
const FS_IOC_FIEMAP: libc::Ioctl = 0xC020_660B_u32 as libc::Ioctl;
/// Of an extent: it has no place yet, or none that is known.
const EXTENT_UNKNOWN: u32 = 0x2;
const EXTENT_DELAYED: u32 = 0x4;
/// Bytes of a unit in which a location is told: 32 bits of them are 64 TiB.
const UNIT_BYTES: u64 = 16 << 10;

/// `struct fiemap` with room for one extent.
#[repr(C)]
#[derive(Debug, Default)]
struct Map {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    room: u32,
    reserved: u32,
    extent: Extent,
}

/// `struct fiemap_extent`.
#[repr(C)]
#[derive(Debug, Default)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved: [u64; 2],
    flags: u32,
    reserved_small: [u32; 3],
}
const _: () = assert!(size_of::<Map>() == 32 + 56);

/// Where an open file begins: 0 where it has no place on the disk yet, else units of 16 KiB from the
/// disk's first on, or its inode's number.
pub(super) fn location(file: BorrowedFd<'_>) -> rustix::io::Result<u32> {
    let mut map = Map {
        length: u64::MAX,
        room: 1,
        ..Map::default()
    };
    // SAFETY: the kernel writes one extent at most (`room`) behind the head, which is what `map` has.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FIEMAP, &raw mut map) };
    if answer != 0 {
        let found = rustix::fs::fstat(file)?;
        if !FileType::from_raw_mode(found.st_mode).is_file() {
            return Err(Errno::NXIO);
        }
        return Ok(u32::try_from(found.st_ino).unwrap_or(u32::MAX));
    }
    let is_placed = map.mapped > 0 && map.extent.flags & (EXTENT_UNKNOWN | EXTENT_DELAYED) == 0;
    if !is_placed {
        return Ok(0);
    }
    Ok(u32::try_from(map.extent.physical / UNIT_BYTES)
        .unwrap_or(u32::MAX)
        .max(1))
}

/// Opens a file and asks where it lies.
#[derive(Debug)]
pub(super) struct Locate {
    path: CString,
    file: Option<OwnedFd>,
    patience: Patience,
    result: Option<Result<FileOutcome, FileError>>,
}

impl Locate {
    /// Asks where the file at `path` lies.
    pub(super) fn new(path: &Path) -> Result<Locate, FileError> {
        Ok(Locate {
            path: c_path(path, Stage::Probe)?,
            file: None,
            patience: Patience::new(),
            result: None,
        })
    }
}

impl Machine for Locate {
    fn next(&mut self, round: &mut Vec<Command>) -> Next {
        self.patience.begin_round();
        if let Some(result) = self.result.take() {
            self.file = None;
            return Next::Done(result);
        }
        round.push(if self.file.is_some() {
            Command::Locate
        } else {
            Command::OpenPlain
        });
        Next::Together
    }

    fn answered(&mut self, command: Command, answer: Result<u32, i32>) {
        let absent = [Errno::NOENT.raw_os_error(), Errno::NOTDIR.raw_os_error()];
        match (command, answer) {
            (Command::Locate, Ok(location)) => {
                self.result = Some(Ok(FileOutcome::Located(Some(location))));
            }
            (Command::OpenPlain, Err(errno)) if absent.contains(&errno) => {
                self.result = Some(Ok(FileOutcome::Located(None)));
            }
            (Command::Locate | Command::OpenPlain, Err(errno)) => {
                if !self.patience.forgives(errno) {
                    let stage = Stage::Probe;
                    self.result = Some(Err(FileError { stage, errno }));
                }
            }
            (command, answer) => unreachable!("a locate was answered {answer:?} to {command:?}"),
        }
    }

    fn opened(&mut self, command: Command, descriptor: OwnedFd) {
        assert!(
            command == Command::OpenPlain,
            "a locate opened by {command:?}"
        );
        self.file = Some(descriptor);
    }

    fn plain(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    fn path(&self, which: PathOf) -> &CStr {
        assert!(which == PathOf::Target, "a locate has no {which:?}");
        &self.path
    }

    fn buffer(&mut self, span: Span) -> &mut [u8] {
        unreachable!("a locate moves no bytes, not {span:?}")
    }

    fn leftover(&self) -> Option<&CStr> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    use super::super::{Driver, Event, FileOperation, FileToken, Ring, RingConfig};
    use super::*;

    fn locate(ring: &mut Ring, path: &Path) -> Result<FileOutcome, FileError> {
        let path = path.to_owned();
        ring.file(FileToken(1), FileOperation::Locate { path });
        for _ in 0..1000 {
            ring.turn(Some(Duration::from_millis(100)));
            while let Some(event) = ring.next_event() {
                // Threads wake the ring when they have done something.
                if let Event::File { result, .. } = event {
                    return result;
                }
            }
        }
        panic!("no answer")
    }

    fn on_each_driver(test: impl Fn(&mut Ring)) {
        for driver in [Driver::Uring, Driver::UringSync, Driver::PollSync] {
            let config = RingConfig {
                driver,
                entries: 64,
                visits_max: 4,
                ..RingConfig::default()
            };
            test(&mut Ring::new(config).unwrap());
        }
    }

    #[test]
    fn a_file_on_the_disk_has_a_location_of_its_own() {
        on_each_driver(|ring| {
            let directory = tempfile::tempdir().unwrap();
            let mut seen = std::collections::HashSet::new();
            for name in ["a", "b", "c"] {
                let path = directory.path().join(name);
                fs::write(&path, vec![1; 100_000]).unwrap();
                fs::File::open(&path).unwrap().sync_all().unwrap();
                let answer = locate(ring, &path).unwrap();
                let FileOutcome::Located(Some(location)) = answer else {
                    panic!("{answer:?}")
                };
                assert!(location > 0);
                assert!(seen.insert(location), "{location} twice");
            }
        });
    }

    #[test]
    fn what_is_not_there_has_none_and_what_cannot_be_opened_says_why() {
        on_each_driver(|ring| {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("a.wsp");
            assert_eq!(locate(ring, &path), Ok(FileOutcome::Located(None)));
            let below = directory.path().join("b.wsp");
            fs::write(&below, "").unwrap();
            let answer = locate(ring, &below.join("c.wsp"));
            assert_eq!(answer, Ok(FileOutcome::Located(None)));
            fs::create_dir(&path).unwrap();
            let error = FileError {
                stage: Stage::Probe,
                errno: Errno::ISDIR.raw_os_error(),
            };
            assert_eq!(locate(ring, &path), Err(error));
        });
    }

    #[test]
    fn a_hole_lies_nowhere() {
        on_each_driver(|ring| {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("a.wsp");
            fs::File::create(&path).unwrap().set_len(100_000).unwrap();
            let inode = u32::try_from(fs::metadata(&path).unwrap().ino()).unwrap_or(u32::MAX);
            let Ok(FileOutcome::Located(Some(location))) = locate(ring, &path) else {
                panic!("it is there")
            };
            // A file system that does not tell, as those in memory, has the inode's number instead.
            assert!([0, inode].contains(&location), "{location}, inode {inode}");
        });
    }
}
