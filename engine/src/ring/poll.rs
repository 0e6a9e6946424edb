//! The poll driver: the sockets of a shard by readiness (epoll, through mio) and system calls that
//! do not wait. For machines that have no io_uring; the same calls and events as the other driver.
//! A socket is registered once, for edges; what is ready is remembered here until a call says
//! EAGAIN. Each turn fills every free receive buffer once at most, one per socket in the order in
//! which they became ready, so that a flood on one socket leaves the others their turn.
//! Invariants: a buffer is free or leased, never both; a socket stands in the queue of its lane at
//! most once; whatever is closed is never reported again, as its generation is over.
//! Waits are rounded up to milliseconds: epoll knows no shorter ones.
//! One long file, because accepting, receiving and sending share one state of a socket.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Token};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, SocketType};

use super::buffers::{Lane, Lease};
use super::error::RingError;
use super::slots::{Key, Slots};
use super::sockets::{LOST_CONNECTION, SocketId};
use super::wake::{RingHandle, Waker};
use super::{BufferSizes, End, Event, ReceiveNow, RingConfig, host};
use crate::limits::{
    ACCEPTS_PER_TURN_MAX, POLL_EVENTS_MAX, RECEIVE_BUFFER_BYTES_MAX, RECEIVE_BUFFERS_MAX,
    SOCKETS_MAX, TRANSIENT_RETRIES_MAX,
};

/// Errors that pass by themselves. EAGAIN is none of them: it says that an edge will come.
const PASSING: &[Errno] = &[Errno::INTR, Errno::NOMEM, Errno::NOBUFS];
/// The eventfd; no socket has it, as slots have 24 bits.
const WAKER: Token = Token(usize::MAX);
const SLOT_BITS: u32 = 24;
const _: () = assert!(usize::BITS == 64 && SOCKETS_MAX <= 1 << SLOT_BITS);

/// What a socket waits for in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Nothing,
    Connections,
    Bytes,
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "six facts about a socket, in any mixture"
)]
struct Socket {
    descriptor: OwnedFd,
    datagram: bool,
    registered: bool,
    wants: Wants,
    /// Accepts one connection and no more.
    one: bool,
    /// Reading may bring something: no call has said EAGAIN since the last edge.
    readable: bool,
    /// Its end or its failure was told, and no further edge will come: it is read until it says so.
    ended: bool,
    /// It stands in a queue.
    queued: bool,
    lane: Lane,
    sending: Option<Sending>,
    /// Transient errors since the last success.
    stumbles: u32,
}

#[derive(Debug)]
struct Sending {
    bytes: Vec<u8>,
    sent: usize,
}

/// The receive buffers of a lane, and who waits to receive into them.
#[derive(Debug)]
struct Pool {
    memory: Vec<u8>,
    bytes: usize,
    /// The one given back last is taken first: it is in the processor's cache.
    free: Vec<u16>,
    out: Vec<bool>,
    ready: VecDeque<SocketId>,
}

/// The driver.
#[derive(Debug)]
pub(super) struct Poll {
    epoll: mio::Poll,
    fetched: Events,
    sockets: Slots<Socket>,
    bulk: Pool,
    urgent: Pool,
    /// Listeners that may have connections.
    listeners: VecDeque<SocketId>,
    handle: RingHandle,
}

impl Pool {
    fn new(sizes: BufferSizes) -> Pool {
        let BufferSizes { count, bytes } = sizes;
        assert!(count > 0, "a ring without receive buffers cannot receive");
        assert!(count <= RECEIVE_BUFFERS_MAX, "{count} receive buffers");
        assert!(bytes > 0, "receive buffers of no bytes");
        assert!(
            bytes <= RECEIVE_BUFFER_BYTES_MAX,
            "receive buffers of {bytes} bytes"
        );
        let (count, bytes) = (count.next_power_of_two(), bytes as usize);
        Pool {
            memory: vec![0; usize::from(count) * bytes],
            bytes,
            free: (0..count).rev().collect(),
            out: vec![false; usize::from(count)],
            ready: VecDeque::new(),
        }
    }

    fn can_work(&self) -> bool {
        !self.ready.is_empty() && !self.free.is_empty()
    }

    fn memory_of(&mut self, buffer: u16) -> &mut [u8] {
        let start = usize::from(buffer) * self.bytes;
        &mut self.memory[start..start + self.bytes]
    }

    fn lease(&mut self, lane: Lane, buffer: u16, len: usize) -> Lease {
        assert!(
            len <= self.bytes,
            "{len} bytes in a buffer of {}",
            self.bytes
        );
        let Ok(len) = u32::try_from(len) else {
            unreachable!("buffers have 32 bits of bytes at most")
        };
        self.out[usize::from(buffer)] = true;
        Lease { lane, buffer, len }
    }

    fn release(&mut self, buffer: u16) {
        let out = &mut self.out[usize::from(buffer)];
        assert!(*out, "buffer {buffer} was released twice");
        *out = false;
        self.free.push(buffer);
    }
}

impl Socket {
    /// Whether an error is worth another try; not for ever.
    fn forgives(&mut self, errno: Errno, others: &[Errno]) -> bool {
        self.stumbles += 1;
        let forgiven = self.stumbles <= TRANSIENT_RETRIES_MAX
            && (PASSING.contains(&errno) || others.contains(&errno));
        if !forgiven {
            self.stumbles = 0;
        }
        forgiven
    }

    /// Makes epoll tell of this socket. What is ready now is told too, with the next turn.
    fn register(&mut self, poll: &mio::Poll, id: SocketId) -> Result<(), i32> {
        if self.registered {
            return Ok(());
        }
        let interest = Interest::READABLE.add(Interest::WRITABLE);
        poll.registry()
            .register(
                &mut SourceFd(&self.descriptor.as_raw_fd()),
                token_of(id),
                interest,
            )
            .map_err(|error| errno_of(&error))?;
        self.registered = true;
        Ok(())
    }

    /// Sends what the socket takes now; the result once all is sent or nothing more can be.
    fn push_out(&mut self, poll: &mio::Poll, id: SocketId) -> Option<Result<(), i32>> {
        loop {
            let Some(sending) = &mut self.sending else {
                unreachable!("{id:?} has nothing to send")
            };
            let flags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
            let rest = &sending.bytes[sending.sent..];
            match rustix::net::send(&self.descriptor, rest, flags) {
                Ok(bytes) if bytes == rest.len() => return Some(Ok(())),
                // The socket is full; the next edge says when it is no longer.
                Ok(bytes) => {
                    sending.sent += bytes;
                    self.stumbles = 0;
                }
                Err(Errno::AGAIN) => return self.register(poll, id).err().map(Err),
                Err(errno) if self.forgives(errno, &[]) => {}
                Err(errno) => return Some(Err(errno.raw_os_error())),
            }
        }
    }
}

impl Poll {
    /// An epoll instance, the buffers of both lanes, and an eventfd to be woken by.
    pub(super) fn new(config: &RingConfig) -> Result<Poll, RingError> {
        let failed = |error: std::io::Error| RingError::register("making epoll", errno_of(&error));
        let poll = mio::Poll::new().map_err(failed)?;
        let waker = Waker::new()?;
        // Edges: every wake is told once, and nobody has to read the counter.
        poll.registry()
            .register(
                &mut SourceFd(&waker.as_fd().as_raw_fd()),
                WAKER,
                Interest::READABLE,
            )
            .map_err(failed)?;
        Ok(Poll {
            epoll: poll,
            fetched: Events::with_capacity(POLL_EVENTS_MAX),
            sockets: Slots::new(SOCKETS_MAX),
            bulk: Pool::new(config.bulk_buffers),
            urgent: Pool::new(config.urgent_buffers),
            listeners: VecDeque::new(),
            handle: RingHandle::without_ring(waker),
        })
    }

    /// This driver as a target for wakes.
    pub(super) fn handle(&self) -> &RingHandle {
        &self.handle
    }

    pub(super) fn description(&self) -> String {
        format!(
            "poll (epoll) on Linux {}: receive with {} buffers of {} bytes",
            host::kernel_release(),
            self.bulk.out.len(),
            self.bulk.bytes,
        )
    }

    /// Buffers of a lane that are not leased.
    #[cfg(test)]
    pub(super) fn unleased(&self, lane: Lane) -> usize {
        self.pool(lane).free.len()
    }

    /// Sockets that are not closed.
    #[cfg(test)]
    pub(super) fn open_sockets(&self) -> usize {
        self.sockets.len()
    }

    pub(super) fn adopt(&mut self, descriptor: OwnedFd) -> SocketId {
        let kind = rustix::net::sockopt::socket_type(&descriptor);
        let Key { slot, generation } = self.sockets.insert(Socket {
            datagram: kind.is_ok_and(|kind| kind == SocketType::DGRAM),
            descriptor,
            registered: false,
            wants: Wants::Nothing,
            one: false,
            readable: true,
            ended: false,
            queued: false,
            lane: Lane::Bulk,
            sending: None,
            stumbles: 0,
        });
        SocketId { slot, generation }
    }

    pub(super) fn is_open(&self, id: SocketId) -> bool {
        self.sockets.get(id.key()).is_some()
    }

    pub(super) fn descriptor(&self, id: SocketId) -> BorrowedFd<'_> {
        let Some(socket) = self.sockets.get(id.key()) else {
            unreachable!("{id:?} was closed")
        };
        socket.descriptor.as_fd()
    }

    pub(super) fn accept(&mut self, listener: SocketId, one: bool, events: &mut VecDeque<Event>) {
        let socket = open(&mut self.sockets, listener);
        assert!(
            socket.wants == Wants::Nothing,
            "{listener:?} is already accepting"
        );
        let ready = rustix::io::ioctl_fionbio(&socket.descriptor, true)
            .map_err(Errno::raw_os_error)
            .and_then(|()| socket.register(&self.epoll, listener));
        if let Err(errno) = ready {
            events.push_back(Event::AcceptFailed { listener, errno });
            return;
        }
        (socket.wants, socket.one) = (Wants::Connections, one);
        self.queue(listener);
    }

    pub(super) fn accept_now(&mut self, listener: SocketId) -> Option<OwnedFd> {
        let socket = open(&mut self.sockets, listener);
        rustix::io::ioctl_fionbio(&socket.descriptor, true).ok()?;
        rustix::net::accept_with(&socket.descriptor, SocketFlags::CLOEXEC).ok()
    }

    pub(super) fn receive(&mut self, id: SocketId, lane: Lane, events: &mut VecDeque<Event>) {
        let socket = open(&mut self.sockets, id);
        assert!(
            socket.wants == Wants::Nothing,
            "{id:?} receives already: {:?}",
            socket.wants
        );
        if let Err(errno) = socket.register(&self.epoll, id) {
            let cause = End::Failed(errno);
            events.push_back(Event::Ended { socket: id, cause });
            return;
        }
        (socket.wants, socket.lane) = (Wants::Bytes, lane);
        self.queue(id);
    }

    pub(super) fn stop_receive(&mut self, id: SocketId, events: &mut VecDeque<Event>) {
        let socket = open(&mut self.sockets, id);
        if socket.wants == Wants::Bytes {
            socket.wants = Wants::Nothing;
            let cause = End::Stopped;
            events.push_back(Event::Ended { socket: id, cause });
        }
    }

    pub(super) fn receive_now(
        &mut self,
        id: SocketId,
        into: &mut Vec<u8>,
        bytes_max: usize,
    ) -> ReceiveNow {
        let socket = open(&mut self.sockets, id);
        assert!(
            socket.wants == Wants::Nothing,
            "{id:?} receives already: {:?}",
            socket.wants
        );
        super::sockets::read_now(&socket.descriptor, socket.datagram, into, bytes_max)
    }

    pub(super) fn send(&mut self, id: SocketId, bytes: Vec<u8>, events: &mut VecDeque<Event>) {
        let socket = open(&mut self.sockets, id);
        assert!(socket.sending.is_none(), "{id:?} is already sending");
        if bytes.is_empty() {
            let result = Ok(());
            events.push_back(Event::Sent { socket: id, result });
            return;
        }
        socket.sending = Some(Sending { bytes, sent: 0 });
        self.go_on_sending(id, events);
    }

    /// Ends whatever a socket does, and closes it.
    pub(super) fn close(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.remove(id.key()) else {
            unreachable!("{id:?} was closed")
        };
        if socket.registered {
            let gone = self
                .epoll
                .registry()
                .deregister(&mut SourceFd(&socket.descriptor.as_raw_fd()));
            assert!(gone.is_ok(), "{id:?} was not registered: {gone:?}");
        }
    }

    /// Waits until something is ready, and does what is.
    pub(super) fn turn(&mut self, wait: Option<Duration>, events: &mut VecDeque<Event>) {
        let runs = self.urgent.can_work() || self.bulk.can_work() || !self.listeners.is_empty();
        let wait = if runs { Some(Duration::ZERO) } else { wait };
        if let Err(error) = self.epoll.poll(&mut self.fetched, wait) {
            let passes = error.kind() == std::io::ErrorKind::Interrupted;
            assert!(passes, "epoll_wait failed for good: {error}");
            return;
        }
        let fetched = std::mem::replace(&mut self.fetched, Events::with_capacity(0));
        for told in &fetched {
            if told.token() == WAKER {
                events.push_back(Event::Woken { word: 0 });
            } else {
                self.told(told, events);
            }
        }
        self.fetched = fetched;
        for _ in 0..self.listeners.len() {
            self.accept_some(events);
        }
        self.receive_some(Lane::Urgent, events);
        self.receive_some(Lane::Bulk, events);
    }

    pub(super) fn bytes<'a>(&'a self, lease: &'a Lease) -> &'a [u8] {
        let pool = self.pool(lease.lane);
        assert!(
            pool.out[usize::from(lease.buffer)],
            "buffer {} is not leased",
            lease.buffer
        );
        let start = usize::from(lease.buffer) * pool.bytes;
        &pool.memory[start..start + lease.len()]
    }

    #[expect(clippy::needless_pass_by_value, reason = "a lease ends here")]
    pub(super) fn release(&mut self, lease: Lease) {
        self.pool_mut(lease.lane).release(lease.buffer);
    }

    fn pool(&self, lane: Lane) -> &Pool {
        match lane {
            Lane::Bulk => &self.bulk,
            Lane::Urgent => &self.urgent,
        }
    }

    fn pool_mut(&mut self, lane: Lane) -> &mut Pool {
        match lane {
            Lane::Bulk => &mut self.bulk,
            Lane::Urgent => &mut self.urgent,
        }
    }

    /// Epoll has told of a socket, perhaps of one that is closed by now.
    fn told(&mut self, told: &mio::event::Event, events: &mut VecDeque<Event>) {
        let id = id_of(told.token());
        let Some(socket) = self.sockets.get_mut(id.key()) else {
            return;
        };
        let ended = told.is_read_closed() || told.is_error();
        socket.ended |= ended;
        socket.readable |= ended || told.is_readable();
        let sends = socket.sending.is_some() && (told.is_writable() || ended);
        self.queue(id);
        if sends {
            self.go_on_sending(id, events);
        }
    }

    /// Puts a socket where its turn will come, if there is anything to do for it.
    fn queue(&mut self, id: SocketId) {
        let socket = open(&mut self.sockets, id);
        if socket.queued || !socket.readable || socket.wants == Wants::Nothing {
            return;
        }
        socket.queued = true;
        match (socket.wants, socket.lane) {
            (Wants::Connections, _) => self.listeners.push_back(id),
            (_, lane) => self.pool_mut(lane).ready.push_back(id),
        }
    }

    fn go_on_sending(&mut self, id: SocketId, events: &mut VecDeque<Event>) {
        let socket = open(&mut self.sockets, id);
        if let Some(result) = socket.push_out(&self.epoll, id) {
            socket.sending = None;
            socket.stumbles = 0;
            events.push_back(Event::Sent { socket: id, result });
        }
    }

    /// Accepts from the listener whose turn it is.
    fn accept_some(&mut self, events: &mut VecDeque<Event>) {
        let Some(listener) = self.listeners.pop_front() else {
            return;
        };
        let Some(socket) = self.sockets.get_mut(listener.key()) else {
            return;
        };
        socket.queued = false;
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            match rustix::net::accept_with(&socket.descriptor, SocketFlags::CLOEXEC) {
                Ok(connection) => {
                    socket.stumbles = 0;
                    let accepted = connection;
                    events.push_back(Event::Accepted {
                        listener,
                        socket: accepted,
                    });
                    if socket.one {
                        socket.wants = Wants::Nothing;
                        return;
                    }
                }
                Err(Errno::AGAIN) => {
                    socket.readable = false;
                    return;
                }
                Err(errno) if socket.forgives(errno, LOST_CONNECTION) => {}
                Err(errno) => {
                    socket.wants = Wants::Nothing;
                    let errno = errno.raw_os_error();
                    events.push_back(Event::AcceptFailed { listener, errno });
                    return;
                }
            }
        }
        self.queue(listener);
    }

    /// Fills the free buffers of a lane, each once. Whoever has more to be read queues again.
    fn receive_some(&mut self, lane: Lane, events: &mut VecDeque<Event>) {
        // Bounded, as whoever neither fills a buffer nor stumbles leaves the queue.
        while self.pool(lane).can_work() {
            let Some(id) = self.pool_mut(lane).ready.pop_front() else {
                return;
            };
            let Some(socket) = self.sockets.get_mut(id.key()) else {
                continue;
            };
            socket.queued = false;
            // It may have been stopped meanwhile, and asked again for the other lane.
            let is_due = socket.wants == Wants::Bytes && socket.lane == lane;
            let stumbled = is_due && !self.receive_one(id, lane, events);
            self.queue(id);
            if stumbled {
                return;
            }
        }
    }

    /// Receives once; false where it failed and is worth another try, in another turn.
    fn receive_one(&mut self, id: SocketId, lane: Lane, events: &mut VecDeque<Event>) -> bool {
        let pool = match lane {
            Lane::Bulk => &mut self.bulk,
            Lane::Urgent => &mut self.urgent,
        };
        let Some(buffer) = pool.free.pop() else {
            unreachable!("the caller has seen a free buffer")
        };
        let socket = open(&mut self.sockets, id);
        let memory = pool.memory_of(buffer);
        let received = rustix::net::recv(&socket.descriptor, memory, RecvFlags::DONTWAIT);
        let cause = match received {
            Ok((bytes, _)) if bytes > 0 || socket.datagram => {
                socket.stumbles = 0;
                // A stream that gave less than it could is empty, and what comes now is an edge. Not
                // so its end, where that was told already.
                socket.readable = socket.datagram || socket.ended || bytes == pool.bytes;
                let lease = pool.lease(lane, buffer, bytes);
                events.push_back(Event::Received { socket: id, lease });
                return true;
            }
            Ok(_) => Some(End::Closed),
            Err(Errno::AGAIN) => {
                socket.readable = false;
                None
            }
            Err(errno) if socket.forgives(errno, &[]) => {
                pool.free.push(buffer);
                return false;
            }
            Err(errno) => Some(End::Failed(errno.raw_os_error())),
        };
        pool.free.push(buffer);
        if let Some(cause) = cause {
            socket.wants = Wants::Nothing;
            events.push_back(Event::Ended { socket: id, cause });
        }
        true
    }
}

fn open(sockets: &mut Slots<Socket>, id: SocketId) -> &mut Socket {
    let Some(socket) = sockets.get_mut(id.key()) else {
        unreachable!("{id:?} was closed")
    };
    socket
}

fn token_of(id: SocketId) -> Token {
    Token((id.generation as usize) << SLOT_BITS | id.slot as usize)
}

fn id_of(token: Token) -> SocketId {
    let narrow = |number: usize| {
        let Ok(number) = u32::try_from(number) else {
            unreachable!("{token:?} was made of two numbers of 32 bits")
        };
        number
    };
    SocketId {
        slot: narrow(token.0 & ((1 << SLOT_BITS) - 1)),
        generation: narrow(token.0 >> SLOT_BITS),
    }
}

fn errno_of(error: &std::io::Error) -> i32 {
    error
        .raw_os_error()
        .unwrap_or_else(|| Errno::INVAL.raw_os_error())
}
