//! The kernel entry of each command: opcodes, flags, and the addresses of what a machine owns.
//! Making an entry is safe and does nothing; whoever pushes it keeps the machine untouched until
//! the completion (`files`).

use std::os::fd::{AsRawFd, RawFd};

use io_uring::{opcode, squeue, types};
use rustix::fs::{Advice, AtFlags, CWD, OFlags, RenameFlags, StatxFlags};

use super::aside::LOOK_SPAN;
use super::command::{Command, Handle, Machine, PathOf, Span};
use crate::limits::ZERO_CHUNK_BYTES;

/// Where new files get their zeros from.
pub(super) static ZEROS: [u8; ZERO_CHUNK_BYTES] = [0; ZERO_CHUNK_BYTES];
/// Permissions before the umask, as Python's open and makedirs.
pub(super) const FILE_MODE: u32 = 0o666;
pub(super) const DIRECTORY_MODE: u32 = 0o777;
/// Of linux/fs.h: wait for what is being written, write, and wait for that.
pub(super) const SYNC_FILE_RANGE_WRITE_AND_WAIT: u32 = 7;
/// The flag of sync_file_range that begins to write and waits for nothing.
pub(super) const SYNC_FILE_RANGE_WRITE: u32 = 2;

/// The entry of a command.
pub(super) fn entry(machine: &mut dyn Machine, command: Command) -> squeue::Entry {
    let cwd = types::Fd(CWD.as_raw_fd());
    let plain = types::Fd(raw(machine));
    match command {
        Command::Look => look(machine),
        Command::OpenVisit { slot, noatime } => {
            let mut flags = OFlags::empty();
            flags.set(OFlags::NOATIME, noatime);
            open_visit(machine, slot, flags)
        }
        Command::MakeVisit(slot) => open_visit(machine, slot, OFlags::CREATE.union(OFlags::EXCL)),
        Command::AllocateVisit(slot, bytes) => {
            opcode::Fallocate::new(types::Fixed(slot), bytes).build()
        }
        Command::OpenPlain => open(machine, PathOf::Target, OFlags::empty()),
        Command::OpenNameless => open(machine, PathOf::Parent, OFlags::TMPFILE),
        Command::OpenTemporary => open(
            machine,
            PathOf::Temporary,
            OFlags::CREATE.union(OFlags::EXCL),
        ),
        Command::Lock(_) | Command::Locate => unreachable!("{command:?} is not the kernel's"),
        Command::Advise(slot) => {
            opcode::Fadvise::new(types::Fixed(slot), 0, Advice::Random as i32).build()
        }
        Command::Read(slot, span) => {
            let buffer = machine.buffer(span).as_mut_ptr();
            opcode::Read::new(types::Fixed(slot), buffer, span.bytes)
                .offset(span.offset)
                .build()
        }
        Command::Write(handle, span) => write(machine, handle, span),
        Command::Zero { offset, bytes } => {
            assert!(bytes as usize <= ZEROS.len(), "{bytes} zeros at once");
            opcode::Write::new(plain, ZEROS.as_ptr(), bytes)
                .offset(offset)
                .build()
        }
        Command::Allocate(bytes) => opcode::Fallocate::new(plain, bytes).build(),
        Command::Truncate(bytes) => opcode::Ftruncate::new(plain, bytes).build(),
        Command::Sync(Handle::Visit(slot)) => sync(opcode::Fsync::new(types::Fixed(slot))),
        Command::Sync(Handle::Plain) => sync(opcode::Fsync::new(plain)),
        // From the first byte; a length of 0 means: to the end of the file.
        Command::Settle => opcode::SyncFileRange::new(plain, 0)
            .flags(SYNC_FILE_RANGE_WRITE_AND_WAIT)
            .build(),
        Command::WriteBack(slot) => opcode::SyncFileRange::new(types::Fixed(slot), 0)
            .flags(SYNC_FILE_RANGE_WRITE)
            .build(),
        Command::CloseVisit(slot) => opcode::Close::new(types::Fixed(slot)).build(),
        Command::ClosePlain => opcode::Close::new(plain).build(),
        Command::MakeDirectory => {
            let path = machine.path(PathOf::Prefix).as_ptr();
            opcode::MkDirAt::new(cwd, path).mode(DIRECTORY_MODE).build()
        }
        Command::LinkNameless => {
            let follow = AtFlags::SYMLINK_FOLLOW.bits().cast_signed();
            link(machine, PathOf::Nameless).flags(follow).build()
        }
        Command::LinkTemporary => link(machine, PathOf::Temporary).build(),
        Command::Rename => {
            let temporary = machine.path(PathOf::Temporary).as_ptr();
            let target = machine.path(PathOf::Target).as_ptr();
            opcode::RenameAt::new(cwd, temporary, cwd, target)
                .flags(RenameFlags::NOREPLACE.bits())
                .build()
        }
        Command::Unlink => {
            opcode::UnlinkAt::new(cwd, machine.path(PathOf::Temporary).as_ptr()).build()
        }
    }
}

/// The machine's plain descriptor, or one that the kernel refuses.
fn raw(machine: &dyn Machine) -> RawFd {
    machine
        .plain()
        .map_or(-1, |descriptor| descriptor.as_raw_fd())
}

fn look(machine: &mut dyn Machine) -> squeue::Entry {
    let stat = machine
        .buffer(LOOK_SPAN)
        .as_mut_ptr()
        .cast::<types::statx>();
    let path = machine.path(PathOf::Target).as_ptr();
    opcode::Statx::new(types::Fd(CWD.as_raw_fd()), path, stat)
        .mask(StatxFlags::BASIC_STATS.bits())
        .build()
}

fn open_visit(machine: &dyn Machine, slot: u32, flags: OFlags) -> squeue::Entry {
    let Ok(slot) = types::DestinationSlot::try_from_slot_target(slot) else {
        unreachable!("slot {slot} is beyond the table of direct files")
    };
    let path = machine.path(PathOf::Target).as_ptr();
    let flags = flags.union(OFlags::RDWR);
    // A direct file has no descriptor that an exec could inherit: the kernel refuses O_CLOEXEC.
    opcode::OpenAt::new(types::Fd(CWD.as_raw_fd()), path)
        .file_index(Some(slot))
        .flags(flags.bits().cast_signed())
        .mode(FILE_MODE)
        .build()
}

fn sync(sync: opcode::Fsync) -> squeue::Entry {
    sync.flags(types::FsyncFlags::DATASYNC).build()
}

fn open(machine: &dyn Machine, which: PathOf, flags: OFlags) -> squeue::Entry {
    let flags = flags.union(OFlags::RDWR).union(OFlags::CLOEXEC);
    opcode::OpenAt::new(types::Fd(CWD.as_raw_fd()), machine.path(which).as_ptr())
        .flags(flags.bits().cast_signed())
        .mode(FILE_MODE)
        .build()
}

fn write(machine: &mut dyn Machine, handle: Handle, span: Span) -> squeue::Entry {
    let plain = types::Fd(raw(machine));
    let buffer = machine.buffer(span).as_ptr();
    match handle {
        Handle::Visit(slot) => opcode::Write::new(types::Fixed(slot), buffer, span.bytes),
        Handle::Plain => opcode::Write::new(plain, buffer, span.bytes),
    }
    .offset(span.offset)
    .build()
}

fn link(machine: &dyn Machine, from: PathOf) -> opcode::LinkAt {
    let cwd = types::Fd(CWD.as_raw_fd());
    let target = machine.path(PathOf::Target).as_ptr();
    opcode::LinkAt::new(cwd, machine.path(from).as_ptr(), cwd, target)
}
