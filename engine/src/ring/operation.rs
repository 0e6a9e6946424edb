//! What a shard asks of the disk, and what it gets back: our own operations, not the kernel's.
//! A *visit* is one open file between an `Open` and the `Write` or `Close` that ends it. Links,
//! direct descriptors, resumed short transfers and cancelled tails stay inside the driver.
//! Invariants: every operation is answered exactly once; an operation that fails has already
//! closed its visit and removed what it half made, so that the asker never cleans up.

use std::path::PathBuf;

use rustix::io::Errno;

/// The asker's own number for an operation; comes back with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileToken(pub u64);

/// An open file inside the driver: slot and generation, so that a late use is caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VisitId {
    /// Index of the driver's slot.
    pub slot: u32,
    /// How often that slot had been used when this visit began.
    pub generation: u32,
}

/// A stretch of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Length in bytes.
    pub len: u32,
}

impl ByteRange {
    /// Bytes of all of them together.
    #[must_use]
    pub fn total(ranges: &[Self]) -> u64 {
        ranges.iter().map(|range| u64::from(range.len)).sum()
    }
}

/// Bytes at a place of a file, read or to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes from the start of the file.
    pub offset: u64,
    /// The bytes there.
    pub bytes: Vec<u8>,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Take `flock(LOCK_EX)` without waiting (WHISPER_LOCK_WRITES); a file that somebody else has
    /// locked fails with `Stage::Lock` and EWOULDBLOCK.
    pub lock: bool,
    /// POSIX_FADV_RANDOM after opening (WHISPER_FADVISE_RANDOM).
    pub random: bool,
    /// What is written stays in memory until the kernel writes it, also where this ring begins that at
    /// once (`Ring::spare_heads`): this file lies on flash, others on a disk with heads.
    pub lazy: bool,
}

/// How the space of a new file is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// `fallocate`; where the file system has none, zeros are written (WHISPER_FALLOCATE_CREATE).
    Fallocate,
    /// Only the length is set (WHISPER_SPARSE_CREATE).
    Sparse,
    /// Zeros are written, as Python whisper does without either option.
    Zeros,
}

/// What a shard asks for. Paths are complete (data directory included).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOperation {
    /// Is there a file at `path`?
    Probe {
        /// The file.
        path: PathBuf,
    },
    /// Is there a file at `path`, and where does it lie on its disk? It is opened for that.
    Locate {
        /// The file.
        path: PathBuf,
    },
    /// Open `path` for reading and writing and read stretches of it, all in one go. Begins a
    /// visit.
    Open {
        /// The file; it is not created.
        path: PathBuf,
        /// Locks and advice.
        access: Access,
        /// What to read. A stretch that ends past the end of the file comes back short.
        ranges: Vec<ByteRange>,
    },
    /// Read stretches of an open file; all in flight together.
    Read {
        /// The visit, which stays open.
        visit: VisitId,
        /// What to read. A stretch that ends past the end of the file comes back short.
        ranges: Vec<ByteRange>,
    },
    /// Write stretches of an open file, which do not overlap, and end the visit.
    Write {
        /// The visit, which is closed afterwards, also on failure.
        visit: VisitId,
        /// What to write; each piece by one write, resumed when short.
        pieces: Vec<Piece>,
        /// `fdatasync` before the answer (WHISPER_AUTOFLUSH).
        sync: bool,
    },
    /// End a visit without writing.
    Close {
        /// The visit.
        visit: VisitId,
    },
    /// Make a new file that is kept open and written piece by piece; one that is there answers
    /// EEXIST. Its directory exists. Begins a visit.
    Reserve {
        /// The file.
        path: PathBuf,
        /// Room for so many bytes is allocated, where the file system can.
        bytes: u64,
    },
    /// Write a piece of an open file, as long as that may get. The visit stays open, also on failure.
    Append {
        /// The visit.
        visit: VisitId,
        /// What to write, by one write, resumed when short.
        piece: Piece,
        /// `fdatasync` before the answer.
        sync: bool,
    },
    /// `fdatasync` of an open file. The visit stays open, also on failure.
    Sync {
        /// The visit.
        visit: VisitId,
    },
    /// Take the name `path` away from its file. No such name is a failure.
    Remove {
        /// The file.
        path: PathBuf,
    },
    /// What is known of the file at `path` without opening it?
    Look {
        /// The file.
        path: PathBuf,
    },
    /// Give the file at `path` the name `aside`, if it is still the one that was looked at; else
    /// ESTALE. A name that is taken is left alone and answers EEXIST.
    SetAside {
        /// The file.
        path: PathBuf,
        /// Its new name, in the same directory.
        aside: PathBuf,
        /// What a `Look` said of it.
        look: FileLook,
    },
    /// Give the file at `old` the name `path`, in the same directory. A name that is taken is left
    /// alone, and so is `old` then.
    Adopt {
        /// The name that it is to have.
        path: PathBuf,
        /// The name that it may have.
        old: PathBuf,
    },
    /// Make a new file that appears at `path` whole or not at all; its directories are made as
    /// needed. A file that is already there is left alone and answers EEXIST.
    Create {
        /// The file.
        path: PathBuf,
        /// The bytes of its start; the rest reads as zeros.
        head: Vec<u8>,
        /// Its whole length in bytes.
        file_bytes: u64,
        /// How the rest is allocated.
        allocation: Allocation,
        /// `fdatasync` before it appears (WHISPER_AUTOFLUSH, or a file system that does not keep
        /// the order of what it is told: `host::keeps_order`). Otherwise its data is written out
        /// before it appears.
        sync: bool,
    },
}

/// What tells whether a file is the same as before and unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLook {
    /// Its number on its file system.
    pub inode: u64,
    /// Its length.
    pub bytes: u64,
    /// When it was last written: seconds since 1970.
    pub modified_s: i64,
    /// The rest of that time, in nanoseconds.
    pub modified_ns: u32,
}

/// The answer to an operation that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOutcome {
    /// To `Probe`: the file is there (true) or not (false).
    Probed(bool),
    /// To `Locate`: where the file lies, in numbers that rise along the disk (units of 16 KiB, or
    /// where the file system does not tell, the number of its inode), 0 where it has no place yet;
    /// `None` where there is no such file.
    Located(Option<u32>),
    /// To `Open` and to `Reserve`.
    Opened {
        /// The visit that began.
        visit: VisitId,
        /// One piece a range, in the order asked; none to `Reserve`.
        pieces: Vec<Piece>,
    },
    /// To `Append`: the bytes that were written, given back.
    Appended(Vec<u8>),
    /// To `Sync`.
    Synced,
    /// To `Remove`.
    Removed,
    /// To `Read`: one piece a range, in the order asked.
    Read(Vec<Piece>),
    /// To `Write`.
    Written,
    /// To `Close`.
    Closed,
    /// To `Create`.
    Created,
    /// To `Look`; `None` where there is no such file.
    Looked(Option<FileLook>),
    /// To `SetAside`.
    SetAside,
    /// To `Adopt`: there is a file at the new name now (true), or at neither (false).
    Adopted(bool),
}

/// Where an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Looking whether the file is there.
    Probe,
    /// Opening it.
    Open,
    /// Locking it.
    Lock,
    /// Reading it.
    Read,
    /// Making sure that it reaches as far as is to be written (ENODATA: it ends before).
    Reach,
    /// Writing it, and closing what was written.
    Write,
    /// Syncing it.
    Sync,
    /// Making its directories.
    Directory,
    /// Making the new file, before it has its name.
    Create,
    /// Allocating room for it.
    Allocate,
    /// Giving the new file its name.
    Publish,
    /// Looking at it without opening it.
    Look,
    /// Giving it another name.
    SetAside,
    /// Giving it the name by which it is looked for.
    Adopt,
    /// Taking its name away.
    Remove,
}

/// Why an operation failed: the stage and the kernel's error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage:?} failed: {}", std::io::Error::from_raw_os_error(*errno))]
pub struct FileError {
    /// The step that failed.
    pub stage: Stage,
    /// Positive errno.
    pub errno: i32,
}

impl FileError {
    /// Does it say nothing of the file, and pass by itself: want of descriptors or memory, an
    /// interruption?
    pub fn is_passing(&self) -> bool {
        let passing = [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
            Errno::AGAIN,
            Errno::INTR,
        ];
        passing.contains(&Errno::from_raw_os_error(self.errno))
    }
}
