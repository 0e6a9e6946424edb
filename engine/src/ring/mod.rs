//! The ring room: the only unsafe code of the workspace and the only system calls of a shard.
//!
//! A `Ring` is one shard's window on the kernel: sockets, files and wakes go in as calls that only
//! queue, and come back as events. The loop of a shard is: `turn`, then `next_event` until there is
//! none. Nothing here blocks but `turn`, and nothing knows points, metrics or protocols.
//!
//! Invariants: whatever the kernel may touch (buffers, paths, descriptors) is owned by a slot until
//! its last completion; `user_data` is a slot's number, never an address; no SQPOLL, no
//! IOSQE_ASYNC; kernel workers are capped. Errors of the environment come back as errnos in events;
//! a use of a closed socket or visit is our bug and stops the process.
//!
//! Start reading at `uring` (the queues), `command` (the language of the file machines), then
//! `visit` and `create` (the machines, without I/O), `files` (their driver) and `sockets`.

mod aside;
mod buffers;
mod command;
mod create;
mod entry;
mod error;
mod files;
#[cfg(test)]
mod files_tests;
pub mod host;
#[cfg(test)]
mod machine_tests;
pub mod mount;
mod operation;
mod slots;
pub mod socket;
mod sockets;
mod tag;
#[cfg(test)]
mod tests;
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
    DRAIN_TURNS_MAX, RECEIVE_BUFFER_BYTES, RECEIVE_BUFFERS, URGENT_BUFFER_BYTES, URGENT_BUFFERS,
    VISITS_MAX,
};
use buffers::Lanes;
use files::Files;
use sockets::{Sockets, Surroundings};
use tag::{Kind, Tag, message_to_word};
use uring::{Completion, Uring};
use wake::Wakes;

/// How one turn of draining waits, when a ring is dropped.
const DRAIN_TURN: Duration = Duration::from_millis(100);

/// Sizes of a ring; all are for one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingConfig {
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
        /// The listener; it goes on accepting.
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
    /// Another ring (its word) or a `Waker` (0) has woken us.
    Woken {
        /// What the other ring said; 0 means: look at everything.
        word: u64,
    },
}

/// One shard's ring. Made, used and dropped on the shard's own thread.
#[derive(Debug)]
pub struct Ring {
    uring: Uring,
    buffers: Lanes,
    sockets: Sockets,
    files: Files,
    wakes: Wakes,
    reaped: VecDeque<Completion>,
    events: VecDeque<Event>,
}

impl Ring {
    /// Makes a ring for the calling thread. Make it after privileges are dropped: its kernel
    /// workers keep the credentials they are born with.
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
        let mut uring = Uring::new(&config)?;
        let buffers = Lanes::new(&uring, &config)?;
        let files = Files::new(&uring, config.visits_max);
        let wakes = Wakes::new(&mut uring)?;
        Ok(Ring {
            uring,
            buffers,
            sockets: Sockets::new(),
            files,
            wakes,
            reaped: VecDeque::new(),
            events: VecDeque::new(),
        })
    }

    /// One line for the start log: driver, kernel, what it lent us.
    pub fn description(&self) -> String {
        let features = self.uring.features();
        let receive = if self.sockets.multishot_receive {
            "multishot"
        } else {
            "single"
        };
        format!(
            "io_uring on Linux {}: {}, {} completions, {receive} receive with {} buffers of {} \
             bytes, {}ftruncate",
            host::kernel_release(),
            features.setup,
            features.completions,
            self.buffers.of(Lane::Bulk).count(),
            self.buffers.of(Lane::Bulk).buffer_bytes(),
            if features.ftruncate { "" } else { "no " },
        )
    }

    /// Changes the cap on the kernel's worker threads.
    pub fn cap_kernel_workers(&mut self, workers_max: u32) -> Result<(), RingError> {
        self.uring.cap_workers(workers_max)
    }

    /// Takes a socket in; it is closed by `close`.
    pub fn adopt(&mut self, socket: OwnedFd) -> SocketId {
        self.sockets.adopt(socket)
    }

    /// The descriptor of a socket, for its options and addresses.
    pub fn descriptor(&self, socket: SocketId) -> BorrowedFd<'_> {
        self.sockets.descriptor(socket)
    }

    /// Accepts connections until `AcceptFailed` or `close`.
    pub fn accept(&mut self, listener: SocketId) {
        self.sockets.accept(&mut self.uring, listener);
    }

    /// Takes one connection that waits already, without the ring; for the stop of a listener. A
    /// connection that the ring has accepted already still comes as an event.
    pub fn accept_now(&mut self, listener: SocketId) -> Option<OwnedFd> {
        self.sockets.accept_now(listener)
    }

    /// Receives into a lane's buffers until `Ended`. Where all of them are leased, it goes on once
    /// some are released.
    pub fn receive(&mut self, socket: SocketId, lane: Lane) {
        self.sockets
            .receive(&mut self.uring, socket, self.buffers.of(lane));
    }

    /// Asks a receive to end. What has come already still comes as `Received`; then `Ended`, after
    /// which `receive` may be called again. Nothing happens where nothing is received.
    pub fn stop_receive(&mut self, socket: SocketId) {
        self.sockets
            .stop_receive(&mut self.uring, socket, &mut self.events);
    }

    /// Appends what can be read at once, at most `bytes_max` bytes, without the ring; only for a
    /// socket that is not receiving.
    pub fn receive_now(
        &mut self,
        socket: SocketId,
        into: &mut Vec<u8>,
        bytes_max: usize,
    ) -> ReceiveNow {
        self.sockets.receive_now(socket, into, bytes_max)
    }

    /// Sends all of `bytes`; one send at a time for each socket.
    pub fn send(&mut self, socket: SocketId, bytes: Vec<u8>) {
        self.sockets
            .send(&mut self.uring, socket, bytes, &mut self.events);
    }

    /// Ends whatever a socket does and closes it once the kernel has let it go. No event for it
    /// comes any more.
    pub fn close(&mut self, socket: SocketId) {
        self.sockets.close(&mut self.uring, socket);
    }

    /// Begins a file operation; it is answered by one `Event::File`.
    pub fn file(&mut self, token: FileToken, operation: FileOperation) {
        self.files
            .begin(&mut self.uring, token, operation, &mut self.events);
    }

    /// This ring as a target for the `wake` of others.
    pub fn handle(&self) -> RingHandle {
        self.wakes.handle().clone()
    }

    /// Sends a word to another ring, with the next `turn`. It comes as `Woken` with that word, or
    /// with 0 where the message could not be delivered.
    pub fn wake(&mut self, target: &RingHandle, word: u64) {
        self.wakes.send(&mut self.uring, target, word);
    }

    /// Wakes this ring from threads that have none.
    pub fn waker(&self) -> Waker {
        self.wakes.handle().waker().clone()
    }

    /// Submits everything and waits for at least one completion: for ever (`None`), at most so
    /// long, or not at all (zero, or when events wait to be fetched). Comes back early for a
    /// signal.
    pub fn turn(&mut self, wait: Option<Duration>) {
        self.sockets.feed(&mut self.uring, &self.buffers);
        let fetch = !self.events.is_empty() || !self.reaped.is_empty();
        self.uring
            .enter(if fetch { Some(Duration::ZERO) } else { wait });
        self.uring.reap(&mut self.reaped);
    }

    /// Submits what is queued, without waiting and without fetching what has completed: for a loop
    /// that goes on working, so that what it has asked for does not wait for its next `turn`.
    pub fn submit(&mut self) {
        self.uring.submit_queued();
    }

    /// What has happened, one by one; `None` when it is time for the next `turn`.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            while let Some(event) = self.events.pop_front() {
                if let Some(event) = self.wanted(event) {
                    return Some(event);
                }
            }
            let completion = self.reaped.pop_front()?;
            self.complete(completion);
        }
    }

    /// The bytes of a lease.
    pub fn bytes<'a>(&'a self, lease: &'a Lease) -> &'a [u8] {
        self.buffers.of(lease.lane()).bytes(lease)
    }

    /// Gives received bytes back; a socket that waits for a buffer receives again.
    pub fn release(&mut self, lease: Lease) {
        self.buffers.of_mut(lease.lane()).release(lease);
    }

    /// File operations whose answer has not been fetched yet.
    pub fn in_flight(&self) -> usize {
        self.files.unanswered()
    }

    fn complete(&mut self, completion: Completion) {
        let tag = Tag::decode(completion.user_data);
        match tag.kind {
            Kind::Accept | Kind::Receive | Kind::Send | Kind::Cancel => {
                let mut around = Surroundings {
                    uring: &mut self.uring,
                    buffers: &mut self.buffers,
                    events: &mut self.events,
                };
                self.sockets.complete(tag, completion, &mut around);
            }
            Kind::File => {
                self.files
                    .complete(&mut self.uring, tag, completion, &mut self.events);
            }
            Kind::WakeSent => self.wakes.undelivered(tag),
            Kind::Waker => {
                self.wakes.arm(&mut self.uring);
                if completion.answer().is_ok() {
                    self.events.push_back(Event::Woken { word: 0 });
                }
            }
            Kind::Woken => {
                let word = message_to_word(completion.user_data, completion.raw);
                self.events.push_back(Event::Woken { word });
            }
            Kind::CancelAll => {}
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
                self.files.fetched();
                return Some(event);
            }
            Event::Woken { .. } => return Some(event),
        };
        if self.sockets.is_open(*socket) {
            return Some(event);
        }
        if let Event::Received { lease, .. } = event {
            self.release(lease);
        }
        None
    }

    /// Ends everything and waits, within a bound, until the kernel has let go of our memory.
    fn drain(&mut self) -> bool {
        for socket in self.sockets.open_sockets() {
            self.sockets.close(&mut self.uring, socket);
        }
        self.bury();
        self.uring.push_cancel_all();
        // Only turns that bring nothing count: what goes on completing is not stuck.
        let mut idle_turns = 0;
        while self.uring.expected() > 0 && idle_turns < DRAIN_TURNS_MAX {
            self.uring.enter(Some(DRAIN_TURN));
            self.uring.reap(&mut self.reaped);
            idle_turns = if self.reaped.is_empty() {
                idle_turns + 1
            } else {
                0
            };
            self.bury();
        }
        self.uring.expected() == 0
    }

    /// Takes in the last completions without beginning anything.
    fn bury(&mut self) {
        while let Some(completion) = self.reaped.pop_front() {
            let tag = Tag::decode(completion.user_data);
            match tag.kind {
                Kind::File => self.files.bury(tag, completion),
                Kind::Accept | Kind::Receive | Kind::Send | Kind::Cancel => {
                    self.complete(completion);
                }
                Kind::WakeSent | Kind::Waker | Kind::Woken | Kind::CancelAll => {}
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let drained = self.drain();
        self.buffers.withdraw(&self.uring, drained);
        if !drained {
            let expected = self.uring.expected();
            tracing::warn!(
                expected,
                "the kernel holds on to memory of a ring that is given up"
            );
            self.sockets.abandon();
            self.files.abandon();
            self.wakes.abandon();
        }
    }
}
