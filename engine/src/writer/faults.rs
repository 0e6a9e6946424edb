//! Why a file could not be made or written, said once per cause, data directory and minute, by all
//! shards together.
//! A full disk under a million metrics is one line a minute, with the first path and how many
//! more there were since; the counters know the rest.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;

use crate::cache::Volume;
use crate::limits::VOLUMES_MAX;
use crate::quiet::SharedQuiet;
use crate::ring::{FileError, Stage};
use crate::stats::Counter;
use crate::whisper::{HeaderError, LayoutError, PlanError};

/// What went wrong with one file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The kernel refused, or the file ends before what was to be written.
    #[error("{}", said(*.0))]
    Io(FileError),
    /// The file is no Whisper file, or a damaged one.
    #[error("not a usable Whisper file: {0}")]
    Header(#[source] HeaderError),
    /// The file does not hold what its header says.
    #[error("not a usable Whisper file: {0}")]
    Plan(#[source] PlanError),
    /// storage-schemas.conf asks for what Whisper cannot hold.
    #[error("its schema cannot be made: {0}")]
    Layout(#[source] LayoutError),
    /// What was read of the file leads to no end.
    #[error("each reading of it asks for another one")]
    Restless,
    /// Its data directory is not where it was.
    #[error("its data directory is away (not mounted, or removed)")]
    Away,
    /// Another data directory than the last one that was asked may have the file.
    #[error("a data directory that may have the file cannot be asked")]
    NoAnswer,
}

/// What the operator reads of an error of the ring.
fn said(error: FileError) -> String {
    if (error.stage, error.errno) == (Stage::Reach, ENDS_BEFORE) {
        return "not a usable Whisper file: it ends before a slot that its header names".to_owned();
    }
    if (error.stage, error.errno) == (Stage::Lock, LOCKED) {
        return "another program has it locked, and WHISPER_LOCK_WRITES waits for that".to_owned();
    }
    if (error.stage, error.errno) == (Stage::Probe, NO_REGULAR_FILE) {
        return "it is no regular file but a pipe, a socket or a device".to_owned();
    }
    error.to_string()
}

/// Why it happened, as far as an operator can do something about it: what is counted apart, and said
/// apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cause {
    NoSpace,
    Quota,
    Io,
    Descriptors,
    Access,
    NameTooLong,
    ReadOnly,
    Directory,
    Broken,
    Foreign,
    Schema,
    Away,
    /// Any other error number; 0: it is none of the kernel's.
    Other(i32),
}

impl Cause {
    /// Sorts an error number of the kernel.
    fn of(errno: i32) -> Cause {
        match Errno::from_raw_os_error(errno) {
            Errno::NOSPC => Cause::NoSpace,
            Errno::DQUOT => Cause::Quota,
            Errno::IO => Cause::Io,
            Errno::MFILE | Errno::NFILE => Cause::Descriptors,
            Errno::ACCESS | Errno::PERM => Cause::Access,
            Errno::NAMETOOLONG => Cause::NameTooLong,
            Errno::ROFS => Cause::ReadOnly,
            Errno::ISDIR | Errno::NOTDIR | Errno::NXIO => Cause::Directory,
            _ => Cause::Other(errno),
        }
    }

    /// Below `CAUSES`.
    fn number(self) -> usize {
        match self {
            Cause::NoSpace => 0,
            Cause::Quota => 1,
            Cause::Io => 2,
            Cause::Descriptors => 3,
            Cause::Access => 4,
            Cause::NameTooLong => 5,
            Cause::ReadOnly => 6,
            Cause::Directory => 7,
            Cause::Broken => 8,
            Cause::Foreign => 9,
            Cause::Schema => 10,
            Cause::Away => 11,
            Cause::Other(errno) => NAMED + usize::try_from(errno).unwrap_or(0).min(ERRNO_MAX),
        }
    }

    /// Where it is counted.
    pub(super) const fn counter(self) -> Counter {
        match self {
            Cause::NoSpace => Counter::ErrorsNoSpace,
            Cause::Quota => Counter::ErrorsQuota,
            Cause::Io => Counter::ErrorsIo,
            Cause::Descriptors => Counter::ErrorsDescriptors,
            Cause::Access => Counter::ErrorsAccess,
            Cause::NameTooLong => Counter::ErrorsNameTooLong,
            Cause::ReadOnly => Counter::ErrorsReadOnly,
            Cause::Directory => Counter::ErrorsDirectory,
            Cause::Broken => Counter::ErrorsBroken,
            Cause::Foreign => Counter::ErrorsForeign,
            Cause::Schema => Counter::ErrorsSchema,
            Cause::Away => Counter::ErrorsAway,
            Cause::Other(_) => Counter::ErrorsOther,
        }
    }
}

/// What the log is kept quiet about for a while.
#[derive(Clone, Copy, Debug)]
enum Subject {
    SetAside,
    SecondFile,
    Pattern,
    Fault(Cause, Volume),
}

/// Subjects that are no faults.
const OTHERS: usize = 3;
/// Causes with a name.
const NAMED: usize = 12;
/// Linux numbers its errors up to 133; a larger number is said with the last.
const ERRNO_MAX: usize = 134;
const CAUSES: usize = NAMED + ERRNO_MAX + 1;

impl Subject {
    fn number(self) -> usize {
        match self {
            Subject::SetAside => 0,
            Subject::SecondFile => 1,
            Subject::Pattern => 2,
            Subject::Fault(cause, volume) => OTHERS + volume.index() * CAUSES + cause.number(),
        }
    }
}

impl Fault {
    /// Somebody else holds the file's lock: no fault, only a matter of time.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Fault::Io(FileError { stage: Stage::Lock, errno }) if *errno == LOCKED)
    }

    /// The file or a directory above it is not there: it is to be made again.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Fault::Io(FileError { stage: Stage::Open, errno })
            if *errno == Errno::NOENT.raw_os_error())
    }

    /// The file could not be opened, or locked: nothing of it was read or written.
    pub(super) fn is_unopened(&self) -> bool {
        matches!(
            self,
            Fault::Io(FileError {
                stage: Stage::Open | Stage::Lock,
                ..
            })
        )
    }

    /// Perhaps no program can use the file: it is to be looked at.
    pub(super) fn is_suspect(&self) -> bool {
        self.is_broken_at(0)
    }

    /// No program can use the file: it is set aside if it stays so.
    pub(super) fn is_broken(&self) -> bool {
        self.cause() == Cause::Broken
    }

    /// Is the file of use to no program where it is so long?
    pub(super) fn is_broken_at(&self, bytes: u64) -> bool {
        if let Fault::Header(HeaderError::Gap { file_bytes, .. }) = self {
            return bytes < *file_bytes;
        }
        self.is_broken()
    }

    /// Why it happened.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Fault::Io(error) if error.stage == Stage::Reach && error.errno == ENDS_BEFORE => {
                Cause::Broken
            }
            Fault::Io(error) => Cause::of(error.errno),
            Fault::Header(error) if is_foreign(error) => Cause::Foreign,
            Fault::Header(_) | Fault::Plan(PlanError::FileTooShort { .. }) => Cause::Broken,
            // A file that Python would write to, only not in pieces that we take.
            Fault::Plan(PlanError::WindowTooLong { .. }) => Cause::Foreign,
            Fault::Restless => Cause::Other(0),
            Fault::Layout(_) => Cause::Schema,
            Fault::Away | Fault::NoAnswer => Cause::Away,
        }
    }
}

/// What the ring answers where a file ends before what is to be written.
const ENDS_BEFORE: i32 = Errno::NODATA.raw_os_error();
/// What it answers where somebody else has the lock, and to a look for a file where a pipe or its like
/// is; the kernel answers this to the open of a socket, too.
const LOCKED: i32 = Errno::WOULDBLOCK.raw_os_error();
const NO_REGULAR_FILE: i32 = Errno::NXIO.raw_os_error();
/// The aggregation type of a file that begins with `whisper_compressed`, as go-whisper writes it.
const COMPRESSED: u32 = u32::from_be_bytes(*b"whis");
/// Python's whisper has gained methods with each version, and numbers them from 1.
const AGGREGATIONS_OF_LATER: std::ops::RangeInclusive<u32> = 1..=255;
/// Python's whisper has no bound on archives; a number beyond this is no number of archives.
const ARCHIVES_OF_OTHERS_MAX: u32 = 4096;

/// A header that another program may read.
fn is_foreign(error: &HeaderError) -> bool {
    match error {
        HeaderError::Aggregation { found } => {
            *found == COMPRESSED || AGGREGATIONS_OF_LATER.contains(found)
        }
        HeaderError::ArchiveCount { found } => (1..=ARCHIVES_OF_OTHERS_MAX).contains(found),
        // Python reads and writes archives in any order of their steps, and with room between them.
        HeaderError::StepOrder { .. } | HeaderError::Gap { .. } => true,
        HeaderError::Short { .. }
        | HeaderError::XFilesFactor { .. }
        | HeaderError::StepZero { .. }
        | HeaderError::PointsZero { .. }
        | HeaderError::Offset { .. } => false,
    }
}

/// When each cause was last said, by any shard.
#[derive(Debug)]
pub struct Said(SharedQuiet);

impl Default for Said {
    fn default() -> Self {
        Self(SharedQuiet::new(OTHERS + VOLUMES_MAX * CAUSES))
    }
}

/// What a shard says of files.
#[derive(Debug)]
pub(super) struct Faults {
    said: Arc<Said>,
}

impl Faults {
    /// Says together with those that have the same.
    pub(super) fn new(said: Arc<Said>) -> Self {
        Self { said }
    }

    /// Logs the fault, or counts it towards the next line of its cause.
    pub(super) fn say(&self, fault: &Fault, (path, volume): &(PathBuf, Volume), now: Instant) {
        if let Some(more) = self.due(Subject::Fault(fault.cause(), *volume), now) {
            let path = path.display();
            if more == 0 {
                tracing::warn!("cannot write {path}: {fault}; its points wait and are tried again");
            } else {
                tracing::warn!("cannot write {path}: {fault}; {more} more since the last message");
            }
        }
    }

    /// Logs that a broken file has another name now.
    pub(super) fn say_aside(&self, path: &Path, aside: &Path, fault: &Fault, now: Instant) {
        if let Some(more) = self.due(Subject::SetAside, now) {
            let (from, to) = (path.display(), aside.display());
            let others = if more == 0 {
                String::new()
            } else {
                format!(" ({more} more since the last message)")
            };
            tracing::warn!(
                "{from} was broken for a minute ({fault}) and is now {to}; a new file takes its \
                 points{others}"
            );
        }
    }

    /// Logs that a metric has another file than the one it is written to.
    pub(super) fn say_second(&self, path: &Path, now: Instant) {
        if let Some(more) = self.due(Subject::SecondFile, now) {
            tracing::warn!(
                "{} is a second file of a metric whose points go to another data directory: nothing \
                 is written to it; merge the two and remove one ({more} more since the last message)",
                path.display()
            );
        }
    }

    /// Logs that a section's pattern was given up on for a name.
    pub(super) fn say_pattern(&self, section: &str, name: &str, now: Instant) {
        if let Some(more) = self.due(Subject::Pattern, now) {
            tracing::warn!(
                "the pattern of [{section}] needs too many steps on {name:?} and counts as not \
                 matching; make it simpler ({more} more since the last message)"
            );
        }
    }

    /// How many were kept quiet, where the cause may be said now.
    fn due(&self, subject: Subject, now: Instant) -> Option<u64> {
        self.said.0.due(subject.number(), now)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some Instant to count from"
)]
mod tests {
    use super::*;
    use crate::quiet::QUIET;
    use crate::whisper::{Aggregation, Header, Retention};

    #[test]
    fn a_cause_is_said_once_a_minute_with_the_count_of_the_others() {
        let said = Arc::new(Said::default());
        let (faults, start) = (Faults::new(Arc::clone(&said)), Instant::now());
        let of_another_shard = Faults::new(said);
        let broken = Subject::Fault(Cause::Broken, Volume::FIRST);
        assert_eq!(faults.due(broken, start), Some(0));
        assert_eq!(faults.due(broken, start + QUIET / 2), None);
        for other in [
            Subject::Fault(Cause::Io, Volume::FIRST),
            Subject::Fault(Cause::Broken, Volume::new(1)),
        ] {
            assert_eq!(faults.due(other, start), Some(0));
        }
        assert_eq!(of_another_shard.due(broken, start + QUIET / 2), None);
        assert_eq!(of_another_shard.due(broken, start + QUIET), Some(2));
        assert_eq!(faults.due(broken, start + QUIET), None);
        let last = Subject::Fault(Cause::Other(i32::MAX), Volume::new(VOLUMES_MAX - 1));
        assert_eq!(faults.due(last, start), Some(0));
    }

    #[test]
    fn every_error_of_the_kernel_has_one_cause_whatever_failed() {
        for (errno, cause) in [
            (28, Cause::NoSpace),
            (122, Cause::Quota),
            (5, Cause::Io),
            (24, Cause::Descriptors),
            (23, Cause::Descriptors),
            (13, Cause::Access),
            (1, Cause::Access),
            (36, Cause::NameTooLong),
            (30, Cause::ReadOnly),
            (21, Cause::Directory),
            (20, Cause::Directory),
            (6, Cause::Directory),
            (40, Cause::Other(40)),
        ] {
            for stage in [Stage::Probe, Stage::Open, Stage::Write, Stage::Create] {
                let fault = Fault::Io(FileError { stage, errno });
                assert_eq!(fault.cause(), cause, "{fault}");
                assert!(!fault.is_broken(), "{fault}");
            }
        }
        let (stage, errno) = (Stage::Reach, 61);
        assert!(Fault::Io(FileError { stage, errno }).is_broken());
        let errno = 5;
        assert!(!Fault::Io(FileError { stage, errno }).is_broken());
    }

    #[test]
    fn what_another_program_may_read_is_not_broken() {
        let is_broken = |head: &[u8]| match Header::parse(head) {
            Ok(header) => panic!("{header:?}"),
            Err(error) => Fault::Header(error).is_broken(),
        };
        let mut head = vec![0; 64];
        head[..18].copy_from_slice(b"whisper_compressed");
        assert!(!is_broken(&head), "go-whisper's");
        let mut head = vec![0; 64];
        head[3] = 9;
        assert!(!is_broken(&head), "a ninth method");
        head[3] = 1;
        head[14] = 1;
        assert!(!is_broken(&head), "256 archives");
        head[14] = 0;
        assert!(is_broken(&head), "no archive");
        head[12] = 1;
        assert!(is_broken(&head), "16 million archives");
        let retentions =
            [(60, 60), (300, 100)].map(|(step_s, points)| Retention { step_s, points });
        let header = Header::new(&retentions, 0.5, Aggregation::Average).unwrap();
        let with = |at: usize, value: u32| {
            let mut head = header.encode();
            head[at..at + 4].copy_from_slice(&value.to_be_bytes());
            is_broken(&head)
        };
        assert!(!with(28, 772), "room between the archives");
        let mut head = header.encode();
        head[28..32].copy_from_slice(&772_u32.to_be_bytes());
        let fault = Fault::Header(Header::parse(&head).unwrap_err());
        assert!(fault.is_suspect() && fault.is_broken_at(1971) && !fault.is_broken_at(1972));
        assert!(with(28, 748), "one archive over the other");
        assert!(!with(32, 30), "the coarser archive first");
        assert!(with(32, 0), "no step");
        assert!(is_broken(&[0; 64]), "zeros");
        assert!(is_broken(&[]), "nothing");
        assert!(is_broken(
            b"# a text that somebody put there for whatever reason"
        ));
        let long = PlanError::WindowTooLong {
            archive: 1,
            found: 1 << 30,
        };
        assert!(!Fault::Plan(long).is_broken(), "Python writes to it");
    }
}
