//! The ring room: the only unsafe code of the workspace and the only system calls of a shard.
//!
//! A `Ring` is one shard's window on the kernel: sockets, files and wakes go in as calls that never
//! wait, and come back as events. The loop of a shard is: `turn`, then `next_event` until there is
//! none. Nothing here blocks but `turn`, and nothing knows points, metrics or protocols.
//! Behind it stands one of two drivers, chosen when it is made: io_uring, or epoll with threads for
//! files where a machine has no io_uring; the threads serve beside io_uring too (`Driver`). The file
//! is long, for every call and every event stands here once, with its promise.
//!
//! Invariants: whatever the kernel may touch (buffers, paths, descriptors) is owned by a slot until
//! its last completion; `user_data` is a slot's number, never an address; no SQPOLL, no
//! IOSQE_ASYNC; kernel workers are capped. Errors of the environment come back as errnos in events;
//! a use of a closed socket or visit is our bug and stops the process.
//!
//! Start reading at `command` (the language of the file machines), `visit` and `create` (the
//! machines, without I/O) and `admission` (which of them may run). Then the uring driver: `uring`
//! (the queues), `files`, `sockets`, `native` (the three together). Then what stands in for it:
//! `poll` (sockets), `execute` and `threads` (files).

mod admission;
mod aside;
mod buffers;
mod command;
mod create;
#[cfg(test)]
mod create_tests;
pub mod direct;
mod entry;
mod error;
mod execute;
mod files;
pub mod host;
mod locate;
#[cfg(test)]
mod machine_tests;
pub mod mount;
mod native;
mod operation;
mod poll;
mod segment;
mod slots;
pub mod socket;
mod sockets;
mod tag;
#[cfg(test)]
mod tests;
mod threads;
mod uring;
mod visit;
mod wake;

use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

pub use buffers::{Lane, Lease};
pub use error::RingError;
pub use operation::{
    Access, Allocation, ByteRange, FileError, FileLook, FileOperation, FileOutcome, FileToken,
    Piece, Stage, VisitId,
};
pub use sockets::SocketId;
pub use wake::{RingHandle, Waker};

use crate::limits::{
    FILE_THREADS, JOURNAL_VISITS_MAX, RECEIVE_BUFFER_BYTES, RECEIVE_BUFFERS, URGENT_BUFFER_BYTES,
    URGENT_BUFFERS, VISITS_MAX,
};
use admission::Admission;
use native::Native;
use poll::Poll;
use threads::Threads;

/// How one turn of draining waits, when a ring is dropped.
const DRAIN_TURN: Duration = Duration::from_millis(100);

/// Who carries out what a shard asks of its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Sockets and files through io_uring.
    Uring,
    /// Sockets through io_uring, files by system calls on threads.
    UringSync,
    /// Sockets by epoll, files by system calls on threads: nothing of io_uring.
    PollSync,
}

/// Sizes of a ring; all are for one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingConfig {
    /// Who does the work.
    pub driver: Driver,
    /// Threads for files, where the driver has such.
    pub file_threads: usize,
    /// Threads for `file_apart`; 0: it is never called.
    pub apart_threads: usize,
    /// Submission entries; rounded up to a power of two within the bounds of `limits`.
    pub entries: u32,
    /// Files that may be open between an `Open` and its `Write` or `Close`; further opens wait.
    pub visits_max: u32,
    /// Cap on the kernel's worker threads for this ring.
    pub kernel_workers_max: u32,
    /// Receive buffers of `Lane::Bulk`. A datagram that is longer is cut, so 64 KiB fits every one.
    pub bulk_buffers: BufferSizes,
    /// Receive buffers of `Lane::Urgent`.
    pub urgent_buffers: BufferSizes,
}

/// The receive buffers of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferSizes {
    /// How many; rounded up to a power of two.
    pub count: u16,
    /// Size of each in bytes.
    pub bytes: u32,
}

impl Default for RingConfig {
    fn default() -> RingConfig {
        RingConfig {
            driver: Driver::Uring,
            file_threads: FILE_THREADS,
            apart_threads: 0,
            entries: 1024,
            visits_max: 1024,
            kernel_workers_max: 4,
            bulk_buffers: BufferSizes {
                count: RECEIVE_BUFFERS,
                bytes: RECEIVE_BUFFER_BYTES,
            },
            urgent_buffers: BufferSizes {
                count: URGENT_BUFFERS,
                bytes: URGENT_BUFFER_BYTES,
            },
        }
    }
}

/// Why a socket receives no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The other side has closed its sending direction.
    Closed,
    /// The socket failed with this errno.
    Failed(i32),
    /// `stop_receive` was asked for.
    Stopped,
}

/// What `receive_now` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveNow {
    /// So many bytes were appended.
    Bytes(usize),
    /// Nothing is there now.
    Empty,
    /// The other side has closed its sending direction.
    Closed,
    /// The socket failed with this errno.
    Failed(i32),
}

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// A listener has a new connection.
    Accepted {
        /// The listener; it goes on accepting, unless `accept_one` was asked for.
        listener: SocketId,
        /// The connection; `adopt` it, or drop it to close it.
        socket: OwnedFd,
    },
    /// A listener accepts no longer (EMFILE, ENOMEM): `accept` it again when there is room.
    AcceptFailed {
        /// The listener.
        listener: SocketId,
        /// Why.
        errno: i32,
    },
    /// Bytes have come; give the lease back with `release`.
    Received {
        /// The socket; it goes on receiving.
        socket: SocketId,
        /// The bytes: at least one, except for an empty datagram.
        lease: Lease,
    },
    /// A socket receives no longer.
    Ended {
        /// The socket, still open for sending.
        socket: SocketId,
        /// Why.
        cause: End,
    },
    /// A send is over.
    Sent {
        /// The socket, which may send again.
        socket: SocketId,
        /// The whole buffer went to the kernel, or an errno.
        result: Result<(), i32>,
    },
    /// A file operation is answered.
    File {
        /// The asker's number.
        token: FileToken,
        /// The answer.
        result: Result<FileOutcome, FileError>,
    },
    /// Another ring (its word) or a `Waker` (0) has woken us, or a thread that has finished with a
    /// file (0).
    Woken {
        /// What the other ring said; 0 means: look at everything.
        word: u64,
    },
}

/// One shard's ring. Made, used and dropped on the shard's own thread.
#[derive(Debug)]
pub struct Ring {
    sockets: Side,
    /// The files, unless the ring has them.
    threads: Option<Threads>,
    /// Files that are not to wait for others.
    apart: Option<Threads>,
    events: VecDeque<Event>,
    /// Answers to what goes apart.
    apart_answers: VecDeque<Event>,
}

/// Who has the sockets and the wakes. Boxed: two kinds of very different size, made once.
#[derive(Debug)]
enum Side {
    Uring(Box<Native>),
    Poll(Box<Poll>),
}

impl Ring {
    /// Makes a ring for the calling thread. Make it after privileges are dropped: its kernel
    /// workers and its threads keep the credentials they are born with.
    pub fn new(config: RingConfig) -> Result<Ring, RingError> {
        assert!(
            config.visits_max > 0,
            "a ring without visits can open no file"
        );
        assert!(
            config.visits_max <= VISITS_MAX,
            "{} visits",
            config.visits_max
        );
        let sockets = match config.driver {
            Driver::Uring | Driver::UringSync => Side::Uring(Box::new(Native::new(&config)?)),
            Driver::PollSync => Side::Poll(Box::new(Poll::new(&config)?)),
        };
        let mut ring = Ring {
            sockets,
            threads: None,
            apart: None,
            events: VecDeque::new(),
            apart_answers: VecDeque::new(),
        };
        let waker = ring.waker();
        if config.driver != Driver::Uring {
            let (visits, threads) = (config.visits_max, config.file_threads);
            ring.threads = Some(Threads::new(
                "benzene-file",
                visits,
                threads,
                waker.clone(),
            )?);
        }
        if config.apart_threads > 0 {
            let (visits, threads) = (JOURNAL_VISITS_MAX, config.apart_threads);
            ring.apart = Some(Threads::new("benzene-journal", visits, threads, waker)?);
        }
        Ok(ring)
    }

    /// One line for the start log: drivers, kernel, what it lent us.
    pub fn description(&self) -> String {
        let sockets = match &self.sockets {
            Side::Uring(native) => native.description(),
            Side::Poll(poll) => poll.description(),
        };
        match &self.threads {
            None => sockets,
            Some(threads) => format!("{sockets}; files by {} threads (sync)", threads.count()),
        }
    }

    /// Changes the cap on the kernel's worker threads, where there are such.
    pub fn cap_kernel_workers(&mut self, workers_max: u32) -> Result<(), RingError> {
        match &mut self.sockets {
            Side::Uring(native) => native.cap_kernel_workers(workers_max),
            Side::Poll(_) => Ok(()),
        }
    }

    /// Whether the files lie on a disk with heads, which others use too. What an update writes begins its way
    /// to the device before its file is closed, and does not lie in memory until the kernel writes half a
    /// minute's at once. And a ring leaves reads to the kernel's workers, each from its first attempt on: the
    /// attempt that may not wait for the bytes begins to read them all the same, and for a place in the
    /// disk's queue it does wait (docs/decisions/0017). Threads have theirs in any case.
    pub fn spare_heads(&mut self, wanted: bool) {
        self.admission_mut().has_heads = wanted;
    }

    /// Takes a socket in; it is closed by `close`.
    pub fn adopt(&mut self, socket: OwnedFd) -> SocketId {
        match &mut self.sockets {
            Side::Uring(native) => native.sockets.adopt(socket),
            Side::Poll(poll) => poll.adopt(socket),
        }
    }

    /// The descriptor of a socket, for its options and addresses.
    pub fn descriptor(&self, socket: SocketId) -> BorrowedFd<'_> {
        match &self.sockets {
            Side::Uring(native) => native.descriptor(socket),
            Side::Poll(poll) => poll.descriptor(socket),
        }
    }

    /// Accepts connections until `AcceptFailed` or `close`.
    pub fn accept(&mut self, listener: SocketId) {
        self.arm_accept(listener, false);
    }

    /// Accepts one connection, or fails; then the listener rests until it is asked again.
    pub fn accept_one(&mut self, listener: SocketId) {
        self.arm_accept(listener, true);
    }

    fn arm_accept(&mut self, listener: SocketId, one: bool) {
        match &mut self.sockets {
            Side::Uring(native) => native.accept(listener, one),
            Side::Poll(poll) => poll.accept(listener, one, &mut self.events),
        }
    }

    /// Takes one connection that waits already, at once; for the stop of a listener. A connection
    /// that was accepted already still comes as an event.
    pub fn accept_now(&mut self, listener: SocketId) -> Option<OwnedFd> {
        match &mut self.sockets {
            Side::Uring(native) => native.accept_now(listener),
            Side::Poll(poll) => poll.accept_now(listener),
        }
    }

    /// Receives into a lane's buffers until `Ended`. Where all of them are leased, it goes on once
    /// some are released.
    pub fn receive(&mut self, socket: SocketId, lane: Lane) {
        match &mut self.sockets {
            Side::Uring(native) => native.receive(socket, lane),
            Side::Poll(poll) => poll.receive(socket, lane, &mut self.events),
        }
    }

    /// Asks a receive to end. What has come already still comes as `Received`; then `Ended`, after
    /// which `receive` may be called again. Nothing happens where nothing is received.
    pub fn stop_receive(&mut self, socket: SocketId) {
        match &mut self.sockets {
            Side::Uring(native) => native.stop_receive(socket, &mut self.events),
            Side::Poll(poll) => poll.stop_receive(socket, &mut self.events),
        }
    }

    /// Appends what can be read at once, at most `bytes_max` bytes; only for a socket that is not
    /// receiving.
    pub fn receive_now(
        &mut self,
        socket: SocketId,
        into: &mut Vec<u8>,
        bytes_max: usize,
    ) -> ReceiveNow {
        match &mut self.sockets {
            Side::Uring(native) => native.receive_now(socket, into, bytes_max),
            Side::Poll(poll) => poll.receive_now(socket, into, bytes_max),
        }
    }

    /// Sends all of `bytes`; one send at a time for each socket.
    pub fn send(&mut self, socket: SocketId, bytes: Vec<u8>) {
        match &mut self.sockets {
            Side::Uring(native) => native.send(socket, bytes, &mut self.events),
            Side::Poll(poll) => poll.send(socket, bytes, &mut self.events),
        }
    }

    /// Ends whatever a socket does and closes it once the kernel has let it go. No event for it
    /// comes any more.
    pub fn close(&mut self, socket: SocketId) {
        match &mut self.sockets {
            Side::Uring(native) => native.close(socket),
            Side::Poll(poll) => poll.close(socket),
        }
    }

    /// Begins a file operation; it is answered by one `Event::File`.
    pub fn file(&mut self, token: FileToken, operation: FileOperation) {
        let events = &mut self.events;
        match (&mut self.threads, &mut self.sockets) {
            (Some(threads), _) => threads.begin(token, operation, events),
            (None, Side::Uring(native)) => native.file(token, operation, events),
            (None, Side::Poll(_)) => unreachable!("`new` gives the poll driver its threads"),
        }
    }

    /// The same by threads of its own, behind nothing but what goes this way: whatever a disk holds of
    /// other operations, these go on where their own disk answers. A visit that it has opened is for
    /// this way alone.
    pub fn file_apart(&mut self, token: FileToken, operation: FileOperation) {
        let Some(apart) = &mut self.apart else {
            unreachable!("this ring has no threads for {operation:?}")
        };
        apart.begin(token, operation, &mut self.apart_answers);
    }

    /// This ring as a target for the `wake` of others.
    pub fn handle(&self) -> RingHandle {
        match &self.sockets {
            Side::Uring(native) => native.wakes.handle().clone(),
            Side::Poll(poll) => poll.handle().clone(),
        }
    }

    /// Sends a word to another ring, with the next `turn`. It comes as `Woken` with that word, or
    /// with 0 where the message could not be delivered or one of the two has no io_uring.
    pub fn wake(&mut self, target: &RingHandle, word: u64) {
        match &mut self.sockets {
            Side::Uring(native) => native.wake(target, word),
            Side::Poll(_) => target.waker().wake(),
        }
    }

    /// Wakes this ring from threads that have none.
    pub fn waker(&self) -> Waker {
        match &self.sockets {
            Side::Uring(native) => native.wakes.handle().waker().clone(),
            Side::Poll(poll) => poll.handle().waker().clone(),
        }
    }

    /// Submits everything and waits for at least one completion: for ever (`None`), at most so
    /// long, or not at all (zero, or when events wait to be fetched). Comes back early for a
    /// signal.
    pub fn turn(&mut self, wait: Option<Duration>) {
        let mut wait = if self.events.is_empty() && self.apart_answers.is_empty() {
            wait
        } else {
            Some(Duration::ZERO)
        };
        let sleeps = wait != Some(Duration::ZERO);
        for threads in [&mut self.threads, &mut self.apart].into_iter().flatten() {
            threads.flush();
            if sleeps && !threads.fall_asleep() {
                wait = Some(Duration::ZERO);
            }
        }
        match &mut self.sockets {
            Side::Uring(native) => native.turn(wait),
            Side::Poll(poll) => poll.turn(wait, &mut self.events),
        }
        if let Some(threads) = &mut self.threads {
            threads.woke_up();
            threads.collect(&mut self.events);
        }
        if let Some(apart) = &mut self.apart {
            apart.woke_up();
            apart.collect(&mut self.apart_answers);
        }
    }

    /// Submits what is queued, without waiting and without fetching what has completed: for a loop
    /// that goes on working, so that what it has asked for does not wait for its next `turn`.
    pub fn submit(&mut self) {
        for threads in [&mut self.threads, &mut self.apart].into_iter().flatten() {
            threads.flush();
        }
        if let Side::Uring(native) = &mut self.sockets {
            native.submit();
        }
    }

    /// What has happened, one by one; `None` when it is time for the next `turn`.
    pub fn next_event(&mut self) -> Option<Event> {
        if let (Some(apart), Some(answer)) = (&mut self.apart, self.apart_answers.pop_front()) {
            apart.admission.fetched();
            return Some(answer);
        }
        loop {
            while let Some(event) = self.events.pop_front() {
                if let Some(event) = self.wanted(event) {
                    return Some(event);
                }
            }
            let more = match &mut self.sockets {
                Side::Uring(native) => native.take_in(&mut self.events),
                Side::Poll(_) => false,
            };
            if !more {
                return None;
            }
        }
    }

    /// The bytes of a lease.
    pub fn bytes<'a>(&'a self, lease: &'a Lease) -> &'a [u8] {
        match &self.sockets {
            Side::Uring(native) => native.buffers.of(lease.lane()).bytes(lease),
            Side::Poll(poll) => poll.bytes(lease),
        }
    }

    /// Gives received bytes back; a socket that waits for a buffer receives again.
    pub fn release(&mut self, lease: Lease) {
        match &mut self.sockets {
            Side::Uring(native) => native.buffers.of_mut(lease.lane()).release(lease),
            Side::Poll(poll) => poll.release(lease),
        }
    }

    /// File operations whose answer has not been fetched yet.
    pub fn in_flight(&self) -> usize {
        let apart = self.apart.as_ref();
        let apart = apart.map_or(0, |apart| apart.admission.unanswered());
        self.admission().unanswered() + apart
    }

    fn admission(&self) -> &Admission {
        match (&self.threads, &self.sockets) {
            (Some(threads), _) => &threads.admission,
            (None, Side::Uring(native)) => &native.files.admission,
            (None, Side::Poll(_)) => unreachable!("`new` gives the poll driver its threads"),
        }
    }

    fn admission_mut(&mut self) -> &mut Admission {
        match (&mut self.threads, &mut self.sockets) {
            (Some(threads), _) => &mut threads.admission,
            (None, Side::Uring(native)) => &mut native.files.admission,
            (None, Side::Poll(_)) => unreachable!("`new` gives the poll driver its threads"),
        }
    }

    fn is_open(&self, socket: SocketId) -> bool {
        match &self.sockets {
            Side::Uring(native) => native.sockets.is_open(socket),
            Side::Poll(poll) => poll.is_open(socket),
        }
    }

    /// Swallows events of sockets that were closed after they happened.
    fn wanted(&mut self, event: Event) -> Option<Event> {
        let socket = match &event {
            Event::Accepted { listener, .. } | Event::AcceptFailed { listener, .. } => listener,
            Event::Received { socket, .. }
            | Event::Ended { socket, .. }
            | Event::Sent { socket, .. } => socket,
            Event::File { .. } => {
                self.admission_mut().fetched();
                return Some(event);
            }
            Event::Woken { .. } => return Some(event),
        };
        if self.is_open(*socket) {
            return Some(event);
        }
        if let Event::Received { lease, .. } = event {
            self.release(lease);
        }
        None
    }
}
