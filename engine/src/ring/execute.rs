//! The commands of the file machines as ordinary system calls that block: what the kernel's ring
//! does elsewhere, for threads that have nothing else to do.
//! A machine is run to its end in one go. Links mean the same as in a ring: what stands behind a
//! command that failed or was short is answered ECANCELED and asked for again by the machine.
//! Invariant: a workbench holds the visit's file exactly while the machine believes it open.
#![expect(
    unsafe_code,
    reason = "descriptors are closed by their numbers, so that the answer of the close is heard"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each function names its own commands; `whole`, the last, names all, so a new one is seen"
)]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    Advice, AtFlags, CWD, FallocateFlags, FlockOperation, Mode, OFlags, RenameFlags, StatxFlags,
};
use rustix::io::Errno;

use super::aside;
use super::command::{Command, Handle, Machine, Next, PathOf, passes};
use super::entry::{
    DIRECTORY_MODE, FILE_MODE, SYNC_FILE_RANGE_WRITE, SYNC_FILE_RANGE_WRITE_AND_WAIT, ZEROS,
};
use super::locate::location;
use super::operation::{FileError, FileOutcome};

/// What a machine works on besides its own.
#[derive(Debug, Default)]
pub(super) struct Workbench {
    /// The visit's file, where it has one.
    pub file: Option<OwnedFd>,
    /// A file was opened with a trace of it, as without one it was not permitted.
    pub opened_with_trace: bool,
}

/// Runs a machine to its end and answers its result. Where `cut` is set meanwhile, it ends between two rounds, without a result, and a temporary name
/// that it has made is removed.
pub(super) fn carry_out(
    machine: &mut dyn Machine,
    workbench: &mut Workbench,
    cut: &AtomicBool,
) -> Option<Result<FileOutcome, FileError>> {
    let mut round = Vec::new();
    while !cut.load(Ordering::Relaxed) {
        let linked = match machine.next(&mut round) {
            Next::Together => false,
            Next::Linked => true,
            Next::Done(result) => return Some(result),
        };
        assert!(
            !round.is_empty(),
            "a machine asks for nothing and is not done: {machine:?}"
        );
        let mut is_cut = false;
        for command in round.drain(..) {
            if is_cut {
                machine.answered(command, Err(Errno::CANCELED.raw_os_error()));
            } else {
                is_cut = !obey(machine, workbench, command) && linked;
            }
        }
    }
    if let Some(path) = machine.leftover() {
        let removed = rustix::fs::unlink(path);
        tracing::debug!(?path, ?removed, "a create was cut off");
    }
    None
}

/// Obeys one command and tells the machine; false where it failed or was short.
fn obey(machine: &mut dyn Machine, workbench: &mut Workbench, command: Command) -> bool {
    if command.opens_plain() {
        return match open_plain(machine, command) {
            Ok(descriptor) => {
                machine.opened(command, descriptor);
                true
            }
            Err(errno) => {
                machine.answered(command, Err(errno.raw_os_error()));
                false
            }
        };
    }
    if command == Command::Locate {
        let answer = plain(machine).and_then(location);
        machine.answered(command, answer.map_err(Errno::raw_os_error));
        return answer.is_ok();
    }
    let (answer, wanted) = match command {
        Command::Read(_, span) | Command::Write(_, span) => (
            transfer(machine, workbench.file.as_ref(), command),
            span.bytes,
        ),
        Command::Zero { offset, bytes } => {
            let zeros = &ZEROS[..bytes as usize];
            let written = plain(machine).and_then(|to| rustix::io::pwrite(to, zeros, offset));
            (written.map(narrow), bytes)
        }
        _ => (whole(machine, workbench, command).map(|()| 0), 0),
    };
    machine.answered(command, answer.map_err(Errno::raw_os_error));
    answer == Ok(wanted)
}

fn open_plain(machine: &dyn Machine, command: Command) -> rustix::io::Result<OwnedFd> {
    let (path, flags) = match command {
        Command::OpenNameless => (PathOf::Parent, OFlags::TMPFILE),
        Command::OpenTemporary => (PathOf::Temporary, OFlags::CREATE.union(OFlags::EXCL)),
        _ => (PathOf::Target, OFlags::empty()),
    };
    open(machine.path(path), flags)
}

fn open(path: &CStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags.union(OFlags::RDWR).union(OFlags::CLOEXEC);
    rustix::fs::open(path, flags, Mode::from_raw_mode(FILE_MODE))
}

/// Moves bytes between a buffer of the machine and a file.
fn transfer(
    machine: &mut dyn Machine,
    file: Option<&OwnedFd>,
    command: Command,
) -> rustix::io::Result<u32> {
    let moved = match command {
        Command::Read(_, span) => {
            rustix::io::pread(visit(file)?, machine.buffer(span), span.offset)
        }
        Command::Write(Handle::Visit(_), span) => {
            rustix::io::pwrite(visit(file)?, machine.buffer(span), span.offset)
        }
        Command::Write(Handle::Plain, span) => {
            // The bytes and the descriptor are both the machine's: the number is looked up first.
            let to = plain(machine)?.as_raw_fd();
            // SAFETY: the machine keeps its descriptor open through this call, as it is not stepped.
            let to = unsafe { BorrowedFd::borrow_raw(to) };
            rustix::io::pwrite(to, machine.buffer(span), span.offset)
        }
        other => unreachable!("{other:?} moves no bytes"),
    };
    moved.map(narrow)
}

/// Commands that succeed or fail, and answer no number.
fn whole(
    machine: &mut dyn Machine,
    workbench: &mut Workbench,
    command: Command,
) -> rustix::io::Result<()> {
    let file = &mut workbench.file;
    match command {
        Command::Look => {
            let (path, flags) = (machine.path(PathOf::Target), StatxFlags::BASIC_STATS);
            let found = rustix::fs::statx(CWD, path, AtFlags::empty(), flags)?;
            aside::fill(machine.buffer(aside::LOOK_SPAN), &found);
            Ok(())
        }
        Command::OpenVisit { noatime, .. } => {
            let mut flags = OFlags::empty();
            flags.set(OFlags::NOATIME, noatime);
            *file = Some(open(machine.path(PathOf::Target), flags)?);
            workbench.opened_with_trace = !noatime;
            Ok(())
        }
        Command::MakeVisit(_) => {
            let flags = OFlags::CREATE.union(OFlags::EXCL);
            *file = Some(open(machine.path(PathOf::Target), flags)?);
            Ok(())
        }
        Command::AllocateVisit(_, bytes) => {
            let file = visit(file.as_ref())?;
            rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes)
        }
        Command::Lock(_) => {
            let locked = plain(machine)?;
            rustix::fs::flock(locked, FlockOperation::NonBlockingLockExclusive)?;
            // The lock belongs to the open file, which both descriptors name.
            *file = Some(rustix::io::fcntl_dupfd_cloexec(locked, 0)?);
            Ok(())
        }
        Command::Advise(_) => rustix::fs::fadvise(visit(file.as_ref())?, 0, None, Advice::Random),
        Command::Allocate(bytes) => {
            rustix::fs::fallocate(plain(machine)?, FallocateFlags::empty(), 0, bytes)
        }
        Command::Truncate(bytes) => rustix::fs::ftruncate(plain(machine)?, bytes),
        Command::Settle => write_out(plain(machine)?, SYNC_FILE_RANGE_WRITE_AND_WAIT),
        Command::WriteBack(_) => write_out(visit(file.as_ref())?, SYNC_FILE_RANGE_WRITE),
        Command::Sync(Handle::Visit(_)) => rustix::fs::fdatasync(visit(file.as_ref())?),
        Command::Sync(Handle::Plain) => rustix::fs::fdatasync(plain(machine)?),
        Command::CloseVisit(_) => file.take().map_or(Ok(()), close),
        Command::ClosePlain => {
            let number = plain(machine)?.as_raw_fd();
            // SAFETY: the machine owns this descriptor and forgets it, without closing it, when it
            // is answered, which is the next thing that happens to it.
            unsafe { rustix::io::close(number) }
            Ok(())
        }
        Command::MakeDirectory => {
            let mode = Mode::from_raw_mode(DIRECTORY_MODE);
            rustix::fs::mkdir(machine.path(PathOf::Prefix), mode)
        }
        Command::LinkNameless => link(machine, PathOf::Nameless, AtFlags::SYMLINK_FOLLOW),
        Command::LinkTemporary => link(machine, PathOf::Temporary, AtFlags::empty()),
        Command::Rename => {
            let (from, to) = (
                machine.path(PathOf::Temporary),
                machine.path(PathOf::Target),
            );
            rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
        }
        Command::Unlink => rustix::fs::unlink(machine.path(PathOf::Temporary)),
        Command::OpenPlain
        | Command::OpenNameless
        | Command::OpenTemporary
        | Command::Read(..)
        | Command::Write(..)
        | Command::Zero { .. }
        | Command::Locate => unreachable!("{command:?} answers a number"),
    }
}

/// Closes a file and answers what its file system says to that: one behind a network, or served by a
/// program, tells only now that what was written found no room. Whatever the answer, the descriptor is
/// gone, so that no answer may ask for another close.
fn close(file: OwnedFd) -> rustix::io::Result<()> {
    // SAFETY: its owner has just given the number up, so that nobody else closes it.
    let answer = unsafe { libc::close(file.into_raw_fd()) };
    if answer == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    match Errno::from_io_error(&error) {
        // Nothing was lost: the kernel goes on with what it was about to write.
        Some(Errno::INTR) => Ok(()),
        Some(errno) if !passes(errno.raw_os_error()) => Err(errno),
        Some(_) | None => Err(Errno::IO),
    }
}

/// Writes a file's dirty pages out, and waits for them where the flags say so.
fn write_out(file: BorrowedFd<'_>, flags: u32) -> rustix::io::Result<()> {
    // SAFETY: the call takes an open descriptor and three numbers.
    let answer = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, flags) };
    if answer == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn link(machine: &dyn Machine, from: PathOf, flags: AtFlags) -> rustix::io::Result<()> {
    let (from, to) = (machine.path(from), machine.path(PathOf::Target));
    rustix::fs::linkat(CWD, from, CWD, to, flags)
}

/// The visit's file; EBADF where a link before it has failed to open it.
fn visit(file: Option<&OwnedFd>) -> rustix::io::Result<BorrowedFd<'_>> {
    file.map(AsFd::as_fd).ok_or(Errno::BADF)
}

fn plain(machine: &dyn Machine) -> rustix::io::Result<BorrowedFd<'_>> {
    machine.plain().ok_or(Errno::BADF)
}

fn narrow(bytes: usize) -> u32 {
    let Ok(bytes) = u32::try_from(bytes) else {
        unreachable!("a span has 32 bits of bytes at most")
    };
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::fd::FromRawFd;

    use super::*;

    #[test]
    fn a_close_answers_what_the_kernel_says() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(close(null.into()), Ok(()));
        // SAFETY: no process may have so many descriptors: this one is nobody's.
        let nobodys = unsafe { OwnedFd::from_raw_fd(i32::MAX) };
        assert_eq!(close(nobodys), Err(Errno::BADF));
    }
}
