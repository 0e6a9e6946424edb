//! The kernel's two queues: entries in, completions out. Nothing here knows files or sockets.
//! A chain of linked entries is never cut: it enters the submission queue whole or waits outside.
//! Invariant: `expected` is the number of completions that the kernel still owes us; while it is
//! not zero the kernel may touch memory that we gave it.
//! What the kernel refuses for want of memory or queue space stays queued and is tried again.
#![expect(
    unsafe_code,
    reason = "submission entries carry addresses that the kernel writes to"
)]

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use io_uring::{IoUring, Probe, cqueue, opcode, squeue, types};
use rustix::io::Errno;

use super::RingConfig;
use super::error::RingError;
use super::tag::{Kind, Tag};
use crate::limits::{
    RING_COMPLETIONS_PER_ENTRY, RING_ENTRIES_MAX, RING_ENTRIES_MIN, SOCKETS_MAX, VISITS_MAX,
};

const _: () = assert!(SOCKETS_MAX > VISITS_MAX as usize);

/// Opcodes that we cannot do without, with their names for the operator. The last one came with
/// Linux 6.1, our floor; what we use besides opcodes (multishot accept and receive, buffer rings,
/// sparse file tables) is older.
const OPCODES_NEEDED: &[(u8, &str)] = &[
    (opcode::OpenAt::CODE, "openat"),
    (opcode::Close::CODE, "close"),
    (opcode::Statx::CODE, "statx"),
    (opcode::Read::CODE, "read"),
    (opcode::Write::CODE, "write"),
    (opcode::Fsync::CODE, "fsync"),
    (opcode::SyncFileRange::CODE, "sync_file_range"),
    (opcode::Fadvise::CODE, "fadvise"),
    (opcode::Fallocate::CODE, "fallocate"),
    (opcode::MkDirAt::CODE, "mkdirat"),
    (opcode::LinkAt::CODE, "linkat"),
    (opcode::RenameAt::CODE, "renameat"),
    (opcode::UnlinkAt::CODE, "unlinkat"),
    (opcode::Accept::CODE, "accept"),
    (opcode::Recv::CODE, "recv"),
    (opcode::Send::CODE, "send"),
    (opcode::AsyncCancel::CODE, "async_cancel"),
    (opcode::MsgRingData::CODE, "msg_ring"),
    (opcode::SendMsgZc::CODE, "sendmsg_zc"),
];

/// What the kernel answered to one entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    /// Which request this answers.
    pub user_data: u64,
    /// As the kernel gave it: negative is an errno. Only messages between rings read it directly.
    pub raw: i32,
    /// The kernel's flags.
    flags: u32,
}

impl Completion {
    /// The answer. The only place where a negative result becomes an errno.
    pub(super) fn answer(&self) -> Result<u32, i32> {
        u32::try_from(self.raw).map_err(|_negative| -self.raw)
    }

    /// Whether the request goes on and will answer again.
    pub(super) fn more(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// The receive buffer that the kernel chose.
    pub(super) fn buffer(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

/// What this kernel lent us, for the start log and for choices that depend on it.
#[derive(Clone, Debug)]
pub(super) struct Features {
    /// The setup flags that were accepted.
    pub setup: &'static str,
    /// Whether there is an ftruncate opcode (Linux 6.9).
    pub ftruncate: bool,
    /// Completions that fit the completion queue.
    pub completions: usize,
}

/// The rings and what waits to enter them.
pub(super) struct Uring {
    io: IoUring,
    features: Features,
    backlog: VecDeque<Vec<squeue::Entry>>,
    expected: u64,
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uring")
            .field("features", &self.features)
            .field("backlog", &self.backlog.len())
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

impl Uring {
    /// Makes the ring with the best flags that the kernel takes, checks its opcodes, and registers
    /// the table of direct files and the cap on kernel workers.
    pub(super) fn new(config: &RingConfig) -> Result<Uring, RingError> {
        let (io, setup) = build(config.entries)?;
        // There are three system calls, and a filter may refuse each: a first use of the other two
        // tells now what would end the process later.
        let refused = |error: std::io::Error| RingError::setup(errno_of(&error));
        io.submit().map_err(refused)?;
        let mut probe = Probe::new();
        io.submitter().register_probe(&mut probe).map_err(refused)?;
        let lacks = |&&(code, _): &&(u8, &str)| !probe.is_supported(code);
        let mut missing: Vec<&str> = OPCODES_NEEDED
            .iter()
            .filter(lacks)
            .map(|&(_, name)| name)
            .collect();
        if !io.params().is_feature_nodrop() {
            missing.push("no dropped completions");
        }
        if !io.params().is_feature_ext_arg() {
            missing.push("waiting with a timeout");
        }
        if !missing.is_empty() {
            return Err(RingError::TooOld { missing });
        }
        io.submitter()
            .register_files_sparse(config.visits_max)
            .map_err(|error| RingError::register("making the file table", errno_of(&error)))?;
        let completions = io.params().cq_entries() as usize;
        let ftruncate = probe.is_supported(opcode::Ftruncate::CODE);
        let features = Features {
            setup,
            ftruncate,
            completions,
        };
        let uring = Uring {
            io,
            features,
            backlog: VecDeque::new(),
            expected: 0,
        };
        uring.cap_workers(config.kernel_workers_max)?;
        Ok(uring)
    }

    /// Caps the kernel's worker threads of this thread's rings, of both kinds.
    pub(super) fn cap_workers(&self, workers_max: u32) -> Result<(), RingError> {
        assert!(
            workers_max > 0,
            "a cap of 0 kernel workers would mean: leave it"
        );
        self.io
            .submitter()
            .register_iowq_max_workers(&mut [workers_max, workers_max])
            .map_err(|error| RingError::register("capping the kernel workers", errno_of(&error)))
    }

    /// What the kernel lent us.
    pub(super) fn features(&self) -> &Features {
        &self.features
    }

    /// Completions that the kernel still owes.
    pub(super) fn expected(&self) -> u64 {
        self.expected
    }

    /// The ring's own descriptor, as the target of messages.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }

    /// Puts `file` into the table of direct files at `slot`.
    pub(super) fn register_file(&self, slot: u32, file: BorrowedFd<'_>) -> Result<(), i32> {
        use std::os::fd::AsRawFd;
        let table = self
            .io
            .submitter()
            .register_files_update(slot, &[file.as_raw_fd()]);
        table.map(drop).map_err(|error| errno_of(&error))
    }

    /// Registers the ring of receive buffers at `address`.
    ///
    /// # Safety
    /// `address` names `count` buffer entries, page-aligned, that stay valid until the group is
    /// unregistered or the ring is gone.
    pub(super) unsafe fn register_buffers(
        &self,
        address: u64,
        count: u16,
        group: u16,
    ) -> Result<(), RingError> {
        let submitter = self.io.submitter();
        // SAFETY: passed on to our caller, word for word.
        unsafe { submitter.register_buf_ring_with_flags(address, count, group, 0) }
            .map_err(|error| RingError::register("registering receive buffers", errno_of(&error)))
    }

    /// Takes the ring of receive buffers away from the kernel.
    pub(super) fn unregister_buffers(&self, group: u16) -> Result<(), i32> {
        self.io
            .submitter()
            .unregister_buf_ring(group)
            .map_err(|error| errno_of(&error))
    }

    /// Queues a chain (or a single entry), each of which will answer.
    ///
    /// # Safety
    /// Every address in `chain` stays valid, and what it names is neither moved nor touched, until
    /// the completion of its entry has been reaped.
    pub(super) unsafe fn push(&mut self, chain: &[squeue::Entry]) {
        self.expected += chain.len() as u64;
        // SAFETY: passed on to our caller, word for word.
        unsafe { self.queue(chain) }
    }

    /// Queues an entry that answers only when it fails, and that carries no address.
    pub(super) fn push_message(&mut self, message: opcode::MsgRingData, user_data: u64) {
        let entry = message
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(user_data);
        // SAFETY: a message carries two numbers and no address.
        unsafe { self.queue(&[entry]) }
    }

    /// Queues a cancel of the request with `target` as `user_data`, or of everything.
    pub(super) fn push_cancel(&mut self, target: Option<Tag>, user_data: u64) {
        let builder = match target {
            Some(tag) => types::CancelBuilder::user_data(tag.encode()),
            None => types::CancelBuilder::any(),
        };
        let entry = opcode::AsyncCancel2::new(builder)
            .build()
            .user_data(user_data);
        // SAFETY: a cancel carries numbers and no address.
        unsafe { self.push(&[entry]) }
    }

    /// Queues a cancel of all that is in flight.
    pub(super) fn push_cancel_all(&mut self) {
        self.push_cancel(None, Tag::new(Kind::CancelAll, 0, 0).encode());
    }

    /// # Safety
    /// As `push`.
    unsafe fn queue(&mut self, chain: &[squeue::Entry]) {
        assert!(!chain.is_empty(), "an empty chain was queued");
        assert!(
            chain.len() <= RING_ENTRIES_MIN as usize,
            "a chain of {} entries",
            chain.len()
        );
        if self.backlog.is_empty() && self.room() < chain.len() {
            self.submit();
        }
        if !self.backlog.is_empty() || self.room() < chain.len() {
            self.backlog.push_back(chain.to_vec());
            return;
        }
        let mut submission = self.io.submission();
        // SAFETY: passed on to our caller, word for word.
        let pushed = unsafe { submission.push_multiple(chain) };
        assert!(
            pushed.is_ok(),
            "the submission queue was checked to have room"
        );
    }

    /// Submits everything and waits: `None` for at least one completion, otherwise at most that
    /// long for one. Comes back early for a signal or when the kernel is short of memory.
    pub(super) fn enter(&mut self, wait: Option<Duration>) {
        while let Some(chain) = self.backlog.pop_front() {
            if self.room() < chain.len() {
                self.submit();
            }
            if self.room() < chain.len() {
                self.backlog.push_front(chain);
                break;
            }
            let mut submission = self.io.submission();
            // SAFETY: whoever pushed this chain keeps its memory until its completions.
            let pushed = unsafe { submission.push_multiple(&chain) };
            assert!(
                pushed.is_ok(),
                "the submission queue was checked to have room"
            );
        }
        if !self.backlog.is_empty() || !self.io.completion().is_empty() || wait.is_some_and(zero) {
            self.submit();
            return;
        }
        let entered = match wait {
            None => self.io.submit_and_wait(1),
            Some(wait) => {
                let wait = types::Timespec::from(wait);
                let args = types::SubmitArgs::new().timespec(&wait);
                self.io.submitter().submit_with_args(1, &args)
            }
        };
        survive(entered);
    }

    /// Moves what has completed into `reaped`, which never grows past one completion queue.
    pub(super) fn reap(&mut self, reaped: &mut VecDeque<Completion>) {
        let room = self.features.completions.saturating_sub(reaped.len());
        for entry in self.io.completion().take(room) {
            let completion = Completion {
                user_data: entry.user_data(),
                raw: entry.result(),
                flags: entry.flags(),
            };
            let kind = Tag::decode(completion.user_data).kind;
            if !completion.more() && kind != Kind::Woken && kind != Kind::WakeSent {
                assert!(
                    self.expected > 0,
                    "a completion that nobody asked for: {completion:?}"
                );
                self.expected -= 1;
            }
            reaped.push_back(completion);
        }
    }

    /// Submits what is queued, if anything is.
    pub(super) fn submit_queued(&mut self) {
        if !self.io.submission().is_empty() {
            self.submit();
        }
    }

    fn room(&mut self) -> usize {
        let submission = self.io.submission();
        submission.capacity() - submission.len()
    }

    /// One `io_uring_enter` without waiting, unless there is nothing to do for it.
    fn submit(&mut self) {
        let submission = self.io.submission();
        let idle = submission.is_empty() && !submission.taskrun() && !submission.cq_overflow();
        drop(submission);
        if !idle {
            survive(self.io.submit());
        }
    }
}

/// Makes a descriptor of what an accept or an open answered.
///
/// # Safety
/// `number` is the answer of a request that installs a descriptor in this process, seen once.
pub(super) unsafe fn adopt_descriptor(number: u32) -> OwnedFd {
    assert!(number < i32::MAX as u32, "descriptor {number} out of range");
    // SAFETY: the kernel made this descriptor for us and told nobody else, as our caller vouches.
    unsafe { OwnedFd::from_raw_fd(number.cast_signed()) }
}

fn zero(wait: Duration) -> bool {
    wait.is_zero()
}

fn errno_of(error: &std::io::Error) -> i32 {
    error
        .raw_os_error()
        .unwrap_or_else(|| Errno::INVAL.raw_os_error())
}

/// The setup flags in order of preference; a kernel that does not know one answers EINVAL. The plainest
/// need Linux 5.6 (CQSIZE is of 5.5, CLAMP of 5.6): one that refuses these, too, is too old.
fn build(entries: u32) -> Result<(IoUring, &'static str), RingError> {
    let entries = entries
        .clamp(RING_ENTRIES_MIN, RING_ENTRIES_MAX)
        .next_power_of_two();
    let mut builder = IoUring::builder();
    builder
        .setup_cqsize(entries * RING_COMPLETIONS_PER_ENTRY)
        .setup_clamp()
        .dontfork();
    let plain = builder.clone();
    builder
        .setup_submit_all()
        .setup_coop_taskrun()
        .setup_taskrun_flag();
    let cooperative = builder.clone();
    builder.setup_single_issuer().setup_defer_taskrun();
    let choices = [
        (builder, "single issuer, deferred task work"),
        (cooperative, "cooperative task work"),
        (plain, "no special task work"),
    ];
    let mut refusal = Errno::INVAL.raw_os_error();
    for (builder, name) in choices {
        match builder.build(entries) {
            Ok(io) => return Ok((io, name)),
            Err(error) => refusal = errno_of(&error),
        }
        if refusal != Errno::INVAL.raw_os_error() {
            break;
        }
    }
    Err(RingError::plainest_setup(refusal))
}

/// An interrupted or starved `io_uring_enter` is tried again by the next turn. Anything else means
/// that the ring itself is broken, or that completions were lost (EBADR): the operations they
/// answered would hang for ever, and the journal is what saves their points.
fn survive(entered: std::io::Result<usize>) {
    let Err(error) = entered else { return };
    let passing = [
        Errno::INTR,
        Errno::TIME,
        Errno::AGAIN,
        Errno::BUSY,
        Errno::NOMEM,
    ];
    let passes = passing
        .iter()
        .any(|errno| Some(errno.raw_os_error()) == error.raw_os_error());
    assert!(passes, "io_uring_enter failed for good: {error}");
}
