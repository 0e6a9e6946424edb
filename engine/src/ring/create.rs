//! Making a new file that appears whole or not at all, as a state machine.
//! The file is opened without a name (O_TMPFILE), filled, synced if asked, and then linked to its
//! name, which fails where the name is taken. A file system without nameless files gets a temporary
//! name beside the target and a rename that does not replace, or a link where there is none.
//! Missing directories are made from the deepest that exists.
//! Invariant: no machine ends while its descriptor is open or its temporary name is there, except
//! that a temporary name whose unlink fails for good is left.
//! Before the name stands what the file system needs to bring the file back whole after a power cut
//! (docs/decisions/0013): its data written out and waited for (`Protection::Written`), or a sync.
//! Size, head and settle or sync are one chain; each round asks for what is still missing. The name is
//! asked for alone, once all of that was answered well: the kernel's links are cut by a write that
//! fails, but not by an allocation or a sync that does, and behind one of those a name would be given
//! to a file that is short or not on its disk.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::command::{Command, Handle, Machine, Next, PathOf, Patience, Span, Transfers, note};
use super::operation::{Allocation, FileError, FileOutcome, Piece, Stage};
use crate::limits::{
    DIRECTORY_ROUNDS_MAX, DIRECTORY_STEPS_MAX, FILE_REQUESTS_TOGETHER_MAX, TEMPORARY_NAMES_MAX,
    ZERO_CHUNK_BYTES,
};

/// The longest tail of a chain: size, settle or sync.
const TAIL_COMMANDS: usize = 2;
const ZEROS_TOGETHER_MAX: usize = FILE_REQUESTS_TOGETHER_MAX - TAIL_COMMANDS - 1;

/// How the file gets its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// O_TMPFILE, then link.
    Nameless,
    /// A temporary name, then a rename that does not replace.
    Renamed,
    /// A temporary name, then link and unlink.
    Linked,
}

/// What the file is to be.
#[derive(Debug)]
pub(super) struct Blueprint {
    /// Where it appears.
    pub path: PathBuf,
    /// Its first bytes.
    pub head: Vec<u8>,
    /// Its length.
    pub file_bytes: u64,
    /// How the rest is allocated.
    pub allocation: Allocation,
    /// fdatasync before it appears.
    pub sync: bool,
}

/// What must have happened to a file before it may have its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protection {
    /// Its data is written out: a journal that keeps the order then has its blocks before its name.
    Written,
    /// fdatasync.
    Synced,
}

/// What the ring knows about making files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workshop {
    /// The way to try first.
    pub way: Way,
    /// Whether there is an ftruncate opcode.
    pub ftruncate: bool,
    /// A number that no other create in this process has.
    pub serial: u64,
}

/// The directories of the target, while they are made.
#[derive(Debug)]
struct Directories {
    /// Ends of the prefixes of the parent path, each one component longer; the last is the parent.
    ends: Vec<usize>,
    /// Which prefix is being made; none when not making any.
    at: Option<usize>,
    prefix: CString,
    steps: usize,
    rounds: u32,
}

/// One create.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four facts about the file, in any mixture"
)]
pub(super) struct Create {
    path: CString,
    parent: CString,
    temporary: CString,
    nameless: CString,
    directories: Directories,
    workshop: Workshop,
    temporary_names: u32,
    temporary_there: bool,
    file: Option<OwnedFd>,
    /// The open file is of a way that failed: to be closed, and made anew.
    discarded: bool,
    head: Transfers,
    head_bytes: u64,
    file_bytes: u64,
    allocation: Allocation,
    /// The file's content is settled up to here (zeros), or wholly when `file_bytes`.
    filled: u64,
    protection: Protection,
    is_protected: bool,
    published: bool,
    failure: Option<FileError>,
    patience: Patience,
    /// The same for the name alone, which nothing renews: each lap fills another file.
    naming: Patience,
}

impl Create {
    /// A create as a machine; a path with a zero byte in it is refused.
    pub(super) fn new(plan: Blueprint, workshop: Workshop) -> Result<Create, FileError> {
        let Blueprint {
            path,
            mut head,
            file_bytes,
            allocation,
            sync,
        } = plan;
        assert!(
            head.len() as u64 <= file_bytes,
            "head of {} in {file_bytes} bytes",
            head.len()
        );
        assert!(file_bytes < i64::MAX as u64, "a file of {file_bytes} bytes");
        if allocation == Allocation::Zeros {
            // A usual file is then made by a single write.
            let padded = usize::try_from(file_bytes)
                .unwrap_or(usize::MAX)
                .min(ZERO_CHUNK_BYTES);
            head.resize(padded.max(head.len()), 0);
        }
        let parent = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => {
                let errno = Errno::INVAL.raw_os_error();
                return Err(FileError {
                    stage: Stage::Create,
                    errno,
                });
            }
        };
        let head_bytes = head.len() as u64;
        let mut create = Create {
            path: c_path(&path, Stage::Create)?,
            parent: c_path(parent, Stage::Create)?,
            temporary: CString::default(),
            nameless: CString::default(),
            directories: Directories {
                ends: prefix_ends(parent.as_os_str().as_bytes()),
                at: None,
                prefix: CString::default(),
                steps: 0,
                rounds: 0,
            },
            workshop,
            temporary_names: 0,
            temporary_there: false,
            file: None,
            discarded: false,
            head: Transfers::new(vec![Piece {
                offset: 0,
                bytes: head,
            }]),
            head_bytes,
            file_bytes,
            allocation,
            filled: head_bytes,
            protection: if sync {
                Protection::Synced
            } else {
                Protection::Written
            },
            is_protected: false,
            published: false,
            failure: None,
            patience: Patience::new(),
            naming: Patience::new(),
        };
        create.name_temporary();
        Ok(create)
    }

    fn name_temporary(&mut self) {
        let serial = self.workshop.serial | u64::from(self.temporary_names) << 56;
        let name = format!(".benzene-{}-{serial:x}.new", std::process::id());
        self.temporary = joined(&[self.parent.as_bytes(), b"/", name.as_bytes()]);
        self.temporary_names += 1;
    }

    /// All that is to be in the file is there.
    fn is_filled(&mut self) -> bool {
        self.filled == self.file_bytes && self.head.missing(1).next().is_none()
    }

    /// The name. Without one a nameless file is of no use, so that its end follows in the same chain,
    /// whether the kernel cuts that or not.
    fn next_publish(&self, round: &mut Vec<Command>) -> Next {
        match self.workshop.way {
            Way::Nameless => {
                round.extend([Command::LinkNameless, Command::ClosePlain]);
                return Next::Linked;
            }
            Way::Renamed => round.push(Command::Rename),
            Way::Linked => round.push(Command::LinkTemporary),
        }
        Next::Together
    }

    /// The chain from an open file to one that may be published.
    fn next_fill(&mut self, round: &mut Vec<Command>) -> Next {
        let head = self.head.missing(1).next();
        let head = head.map(|span| Command::Write(Handle::Plain, span));
        // Into a file that has its size and its blocks the head is written with less work of the file
        // system; zeros follow it.
        let sized_first = self.allocation != Allocation::Zeros;
        round.extend(head.filter(|_| !sized_first));
        if !self.size(round) {
            return Next::Linked;
        }
        round.extend(head.filter(|_| sized_first));
        round.push(match self.protection {
            Protection::Written => Command::Settle,
            Protection::Synced => Command::Sync(Handle::Plain),
        });
        assert!(
            round.len() <= FILE_REQUESTS_TOGETHER_MAX,
            "a chain of {}",
            round.len()
        );
        Next::Linked
    }

    /// Asks for the length that is missing; false when more is missing than one chain takes.
    fn size(&self, round: &mut Vec<Command>) -> bool {
        if self.filled == self.file_bytes {
            return true;
        }
        match self.allocation {
            Allocation::Fallocate => round.push(Command::Allocate(self.file_bytes)),
            Allocation::Sparse if self.workshop.ftruncate => {
                round.push(Command::Truncate(self.file_bytes));
            }
            // The last byte makes the length.
            Allocation::Sparse => {
                round.push(Command::Zero {
                    offset: self.file_bytes - 1,
                    bytes: 1,
                });
            }
            Allocation::Zeros => {
                let mut offset = self.filled;
                for _ in 0..ZEROS_TOGETHER_MAX {
                    let rest = self.file_bytes - offset;
                    let Ok(bytes) = u32::try_from(rest.min(ZERO_CHUNK_BYTES as u64)) else {
                        unreachable!("a chunk of zeros fits 32 bits")
                    };
                    if bytes > 0 {
                        round.push(Command::Zero { offset, bytes });
                        offset += u64::from(bytes);
                    }
                }
                return offset == self.file_bytes;
            }
        }
        true
    }

    /// What is left to do once the outcome is settled; nothing when all is clean.
    fn next_tidy(&self, round: &mut Vec<Command>) -> Next {
        if self.temporary_there {
            round.push(Command::Unlink);
        }
        if self.file.is_some() {
            round.push(Command::ClosePlain);
        }
        match self.failure {
            _ if !round.is_empty() => Next::Together,
            Some(failure) => Next::Done(Err(failure)),
            None => Next::Done(Ok(FileOutcome::Created)),
        }
    }

    fn fail(&mut self, stage: Stage, errno: i32) {
        if !self.patience.forgives(errno) {
            note(&mut self.failure, stage, errno);
        }
    }

    /// Turns to the next way of giving the file its name.
    fn go_named(&mut self) {
        self.workshop.way = Way::Renamed;
        self.discarded = self.file.is_some();
    }

    fn refused_open(&mut self, errno: i32) {
        let nameless = self.workshop.way == Way::Nameless;
        match Errno::from_raw_os_error(errno) {
            // With its directory surely there, ENOENT means: no nameless files here.
            Errno::NOENT if nameless && self.directories.rounds > 0 => self.go_named(),
            Errno::NOENT if self.directories.rounds < DIRECTORY_ROUNDS_MAX => {
                self.directories.rounds += 1;
                let deepest = self.directories.ends.len().checked_sub(1);
                self.make_prefix(deepest);
            }
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG => {
                note(&mut self.failure, Stage::Directory, errno);
            }
            Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS if nameless => {
                self.go_named();
            }
            Errno::EXIST if !nameless && self.temporary_names < TEMPORARY_NAMES_MAX => {
                self.name_temporary();
            }
            _ => self.fail(Stage::Create, errno),
        }
    }

    /// Goes on with this prefix; none means that not even the first could be made.
    fn make_prefix(&mut self, at: Option<usize>) {
        self.directories.steps += 1;
        let end = at.and_then(|at| self.directories.ends.get(at));
        match end {
            Some(end) if self.directories.steps <= DIRECTORY_STEPS_MAX => {
                self.directories.prefix = joined(&[&self.parent.as_bytes()[..*end]]);
                self.directories.at = at;
            }
            _ => note(
                &mut self.failure,
                Stage::Directory,
                Errno::NOENT.raw_os_error(),
            ),
        }
    }

    fn made_directory(&mut self, answer: Result<u32, i32>) {
        let Some(at) = self.directories.at else {
            unreachable!("no directory was being made")
        };
        match answer.map_err(Errno::from_raw_os_error) {
            Ok(_) | Err(Errno::EXIST) => {
                self.patience.renew();
                if at + 1 == self.directories.ends.len() {
                    self.directories.at = None;
                } else {
                    self.make_prefix(Some(at + 1));
                }
            }
            Err(Errno::NOENT) => self.make_prefix(at.checked_sub(1)),
            Err(errno) => self.fail(Stage::Directory, errno.raw_os_error()),
        }
    }

    fn refused_name(&mut self, command: Command, errno: i32) {
        let refusal = Errno::from_raw_os_error(errno);
        // A /proc that is not mounted, or a link that a mount or a policy forbids.
        let no_link = [Errno::NOENT, Errno::XDEV, Errno::PERM, Errno::OPNOTSUPP];
        // A file system whose rename knows no flags.
        let no_flags = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
        if command == Command::LinkNameless && no_link.contains(&refusal) {
            self.go_named();
        } else if command == Command::Rename && no_flags.contains(&refusal) {
            self.workshop.way = Way::Linked;
        } else if !self.naming.forgives(errno) {
            note(&mut self.failure, Stage::Publish, errno);
        }
    }

    /// Where data cannot be written out by itself, the whole file is synced.
    fn refused_protection(&mut self, errno: i32) {
        match Errno::from_raw_os_error(errno) {
            Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::SPIPE
                if self.protection == Protection::Written =>
            {
                self.protection = Protection::Synced;
            }
            _ => self.fail(Stage::Sync, errno),
        }
    }

    fn refused_space(&mut self, errno: i32) {
        match Errno::from_raw_os_error(errno) {
            Errno::OPNOTSUPP | Errno::NOSYS => self.allocation = Allocation::Zeros,
            _ => self.fail(Stage::Create, errno),
        }
    }
}

impl Machine for Create {
    fn next(&mut self, round: &mut Vec<Command>) -> Next {
        self.patience.begin_round();
        self.naming.begin_round();
        if self.failure.is_some() || self.published {
            return self.next_tidy(round);
        }
        if self.discarded {
            round.push(Command::ClosePlain);
            return Next::Together;
        }
        if self.directories.at.is_some() {
            round.push(Command::MakeDirectory);
            return Next::Together;
        }
        if self.file.is_some() {
            // What was settled before the last of it came is to be settled again.
            self.is_protected &= self.is_filled();
            return if self.is_protected {
                self.next_publish(round)
            } else {
                self.next_fill(round)
            };
        }
        let nameless = self.workshop.way == Way::Nameless;
        round.push(if nameless {
            Command::OpenNameless
        } else {
            Command::OpenTemporary
        });
        Next::Together
    }

    fn answered(&mut self, command: Command, answer: Result<u32, i32>) {
        if answer.is_ok_and(|bytes| bytes > 0) {
            self.patience.renew();
        }
        match (command, answer) {
            (Command::OpenNameless | Command::OpenTemporary, Err(errno)) => {
                self.refused_open(errno);
            }
            (Command::MakeDirectory, answer) => self.made_directory(answer),
            (Command::Write(..) | Command::Zero { .. }, Ok(0)) => {
                self.fail(Stage::Create, Errno::IO.raw_os_error());
            }
            (Command::Write(_, span), Ok(bytes)) => self.head.advance(span, bytes),
            (Command::Zero { .. }, Ok(_)) if self.allocation == Allocation::Sparse => {
                self.filled = self.file_bytes;
            }
            // Chunks are linked, so that the sum of what was written has no gap.
            (Command::Zero { .. }, Ok(bytes)) => self.filled += u64::from(bytes),
            (Command::Allocate(_) | Command::Truncate(_), Ok(_)) => self.filled = self.file_bytes,
            (Command::Allocate(_), Err(errno)) => self.refused_space(errno),
            (Command::Sync(_) | Command::Settle, Ok(_)) => self.is_protected = true,
            (Command::LinkNameless | Command::LinkTemporary, Ok(_)) => self.published = true,
            (Command::Rename, Ok(_)) => {
                self.published = true;
                self.temporary_there = false;
            }
            (Command::Unlink, Err(errno)) if self.patience.forgives(errno) => {}
            (Command::Unlink, _) => self.temporary_there = false,
            (Command::ClosePlain, Err(errno)) if errno == Errno::CANCELED.raw_os_error() => {}
            (Command::ClosePlain, _) => self.closed(),
            (Command::LinkNameless | Command::LinkTemporary | Command::Rename, Err(errno)) => {
                self.refused_name(command, errno);
            }
            (Command::Settle | Command::Sync(_), Err(errno)) => {
                self.refused_protection(errno);
            }
            (Command::Write(..) | Command::Zero { .. } | Command::Truncate(_), Err(errno)) => {
                self.fail(Stage::Create, errno);
            }
            (command, answer) => unreachable!("a create was answered {answer:?} to {command:?}"),
        }
    }

    fn opened(&mut self, command: Command, descriptor: OwnedFd) {
        assert!(self.file.is_none(), "a create opened twice");
        self.patience.renew();
        self.temporary_there = command == Command::OpenTemporary;
        self.nameless = joined(&[format!("/proc/self/fd/{}", descriptor.as_raw_fd()).as_bytes()]);
        self.file = Some(descriptor);
    }

    fn plain(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    fn path(&self, which: PathOf) -> &CStr {
        match which {
            PathOf::Target => &self.path,
            PathOf::Parent => &self.parent,
            PathOf::Prefix => &self.directories.prefix,
            PathOf::Temporary => &self.temporary,
            PathOf::Nameless => &self.nameless,
        }
    }

    fn buffer(&mut self, span: Span) -> &mut [u8] {
        self.head.bytes(span)
    }

    fn leftover(&self) -> Option<&CStr> {
        self.temporary_there.then_some(self.temporary.as_c_str())
    }
}

impl Create {
    /// The kernel has closed the descriptor, whatever it answered: the number may be another
    /// file's by now.
    fn closed(&mut self) {
        let _closed: Option<RawFd> = self.file.take().map(IntoRawFd::into_raw_fd);
        // Another one, if there is to be one, begins anew.
        self.discarded = false;
        self.head.restart();
        self.filled = self.head_bytes;
        self.is_protected = false;
    }
}

/// A path for the kernel.
pub(super) fn c_path(path: &Path, stage: Stage) -> Result<CString, FileError> {
    let zero = |_zero| FileError {
        stage,
        errno: Errno::INVAL.raw_os_error(),
    };
    CString::new(path.as_os_str().as_bytes()).map_err(zero)
}

/// Joins bytes that come from paths without a zero byte.
fn joined(parts: &[&[u8]]) -> CString {
    let Ok(joined) = CString::new(parts.concat()) else {
        unreachable!("the parts come from a C string")
    };
    joined
}

/// Where the components of a directory path end.
fn prefix_ends(path: &[u8]) -> Vec<usize> {
    let is_end = |at: &usize| {
        let next = path.get(at + 1);
        path[*at] != b'/' && (next.is_none() || next == Some(&b'/'))
    };
    (0..path.len()).filter(is_end).map(|at| at + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_where_components_do() {
        let prefixes = |path: &str| -> Vec<String> {
            let cut = |end: usize| path[..end].to_owned();
            prefix_ends(path.as_bytes()).into_iter().map(cut).collect()
        };
        assert_eq!(prefixes("/a//bc/d"), ["/a", "/a//bc", "/a//bc/d"]);
        assert_eq!(prefixes("a/b/"), ["a", "a/b"]);
        assert_eq!(prefixes("."), ["."]);
        assert!(prefixes("/").is_empty());
    }
}
