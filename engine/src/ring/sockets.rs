//! Sockets of a shard: accepting, receiving and sending, each with at most one request in flight.
//! A slot owns its descriptor, and the bytes being sent, until the last completion of the socket
//! has been seen; only then is it closed. Whatever arrives for a socket that is being closed is
//! given back or closed, never reported.
//! Invariant: `in_flight` counts the accept, receive and send of a socket that the kernel has.
//! One long file, because the four share one state and every completion looks at all of it.
//! A receive that finds no buffer of its lane waits in that lane's `starved`, first come first
//! served, until one is free. Of those who wait, each gets one buffer before any gets a second.
#![expect(
    unsafe_code,
    reason = "sends name bytes by address, accepts answer raw descriptors"
)]

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use io_uring::{opcode, squeue, types};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, SocketType};

use super::buffers::{Buffers, Lane, Lanes};
use super::slots::{Key, Slots};
use super::tag::{Kind, Tag};
use super::uring::{Completion, Uring, adopt_descriptor};
use super::{End, Event, ReceiveNow};
use crate::limits::{SOCKETS_MAX, TRANSIENT_RETRIES_MAX};

/// Errors that pass by themselves.
const PASSING: &[Errno] = &[Errno::INTR, Errno::AGAIN, Errno::NOMEM, Errno::CANCELED];
/// Errors of one connection that was lost before it was accepted (accept(2)): the next may do.
pub(super) const LOST_CONNECTION: &[Errno] = &[
    Errno::CONNABORTED,
    Errno::PROTO,
    Errno::NETDOWN,
    Errno::NOPROTOOPT,
    Errno::HOSTDOWN,
    Errno::NONET,
    Errno::HOSTUNREACH,
    Errno::OPNOTSUPP,
    Errno::NETUNREACH,
    Errno::TIMEDOUT,
];

/// A socket of a ring: slot and generation, so that a late use is caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId {
    /// Index of the slot.
    pub(super) slot: u32,
    /// Which use of the slot.
    pub(super) generation: u32,
}

impl SocketId {
    pub(super) fn key(self) -> Key {
        Key {
            slot: self.slot,
            generation: self.generation,
        }
    }

    fn tag(self, kind: Kind) -> Tag {
        Tag::new(kind, self.slot, self.generation)
    }
}

/// What a listener takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepting {
    /// Nothing.
    Not,
    /// One connection.
    One,
    /// Whoever comes.
    All,
}

/// Where a socket's receive stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receive {
    /// Nothing asked for.
    Idle,
    /// The kernel has the request.
    Armed,
    /// Every buffer was in use; waits for one (`feed`), the kernel has nothing.
    Starved,
    /// The kernel has the request and its cancel.
    Stopping,
}

/// How much a receive takes, where the kernel can do both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shots {
    /// One buffer.
    One,
    /// Whatever comes, as long as there are buffers.
    Many,
}

#[derive(Debug)]
struct Socket {
    descriptor: OwnedFd,
    datagram: bool,
    accepting: Accepting,
    receive: Receive,
    /// Whose buffers it receives into.
    lane: Lane,
    sending: Option<Sending>,
    closing: bool,
    in_flight: u32,
    /// Transient errors since the last success.
    stumbles: u32,
}

#[derive(Debug)]
struct Sending {
    bytes: Vec<u8>,
    sent: usize,
}

/// All sockets of a ring.
#[derive(Debug)]
pub(super) struct Sockets {
    slots: Slots<Socket>,
    starved_bulk: VecDeque<SocketId>,
    starved_urgent: VecDeque<SocketId>,
    /// Cleared where the kernel has no multishot accept.
    pub multishot_accept: bool,
    /// Cleared where the kernel has no multishot receive.
    pub multishot_receive: bool,
}

/// What a completion needs besides the sockets themselves.
pub(super) struct Surroundings<'a> {
    /// Where new requests go.
    pub uring: &'a mut Uring,
    /// Where received bytes are.
    pub buffers: &'a mut Lanes,
    /// Where events go.
    pub events: &'a mut VecDeque<Event>,
}

impl Sockets {
    /// No sockets.
    pub(super) fn new() -> Sockets {
        Sockets {
            slots: Slots::new(SOCKETS_MAX),
            starved_bulk: VecDeque::new(),
            starved_urgent: VecDeque::new(),
            multishot_accept: true,
            multishot_receive: true,
        }
    }

    pub(super) fn adopt(&mut self, descriptor: OwnedFd) -> SocketId {
        let kind = rustix::net::sockopt::socket_type(&descriptor);
        let socket = Socket {
            datagram: kind.is_ok_and(|kind| kind == SocketType::DGRAM),
            descriptor,
            accepting: Accepting::Not,
            receive: Receive::Idle,
            lane: Lane::Bulk,
            sending: None,
            closing: false,
            in_flight: 0,
            stumbles: 0,
        };
        let Key { slot, generation } = self.slots.insert(socket);
        SocketId { slot, generation }
    }

    /// Whether events of this socket are still wanted.
    pub(super) fn is_open(&self, id: SocketId) -> bool {
        self.slots
            .get(id.key())
            .is_some_and(|socket| !socket.closing)
    }

    /// The descriptor of a socket, for options and addresses.
    pub(super) fn descriptor(&self, id: SocketId) -> BorrowedFd<'_> {
        self.open_ref(id).descriptor.as_fd()
    }

    pub(super) fn accept(&mut self, uring: &mut Uring, listener: SocketId, one: bool) {
        let socket = self.open(listener);
        assert!(
            socket.accepting == Accepting::Not,
            "{listener:?} is already accepting"
        );
        socket.accepting = if one { Accepting::One } else { Accepting::All };
        self.arm_accept(uring, listener);
    }

    pub(super) fn accept_now(&mut self, listener: SocketId) -> Option<OwnedFd> {
        let socket = self.open(listener);
        // The listener itself must block, as some kernels answer EAGAIN to an accept in the ring
        // on a non-blocking one: so it is made non-blocking for this one call.
        rustix::io::ioctl_fionbio(&socket.descriptor, true).ok()?;
        let accepted = rustix::net::accept_with(&socket.descriptor, SocketFlags::CLOEXEC);
        let restored = rustix::io::ioctl_fionbio(&socket.descriptor, false);
        assert!(
            restored.is_ok(),
            "a listener could not be made blocking again: {restored:?}"
        );
        accepted.ok()
    }

    pub(super) fn receive(&mut self, uring: &mut Uring, id: SocketId, buffers: &Buffers) {
        let socket = self.open(id);
        assert!(
            socket.receive == Receive::Idle,
            "{id:?} receives already: {:?}",
            socket.receive
        );
        socket.lane = buffers.lane();
        self.arm_receive(uring, id, (buffers, Shots::Many));
    }

    pub(super) fn stop_receive(
        &mut self,
        uring: &mut Uring,
        id: SocketId,
        events: &mut VecDeque<Event>,
    ) {
        let socket = self.open(id);
        match socket.receive {
            Receive::Idle | Receive::Stopping => {}
            Receive::Starved => {
                socket.receive = Receive::Idle;
                let lane = socket.lane;
                self.starved(lane).retain(|starved| *starved != id);
                events.push_back(Event::Ended {
                    socket: id,
                    cause: End::Stopped,
                });
            }
            Receive::Armed => {
                socket.receive = Receive::Stopping;
                cancel(uring, id, Kind::Receive);
            }
        }
    }

    pub(super) fn receive_now(
        &mut self,
        id: SocketId,
        into: &mut Vec<u8>,
        bytes_max: usize,
    ) -> ReceiveNow {
        let socket = self.open(id);
        assert!(
            socket.receive == Receive::Idle,
            "{id:?} receives already: {:?}",
            socket.receive
        );
        read_now(&socket.descriptor, socket.datagram, into, bytes_max)
    }

    pub(super) fn send(
        &mut self,
        uring: &mut Uring,
        id: SocketId,
        bytes: Vec<u8>,
        events: &mut VecDeque<Event>,
    ) {
        let socket = self.open(id);
        assert!(socket.sending.is_none(), "{id:?} is already sending");
        if bytes.is_empty() {
            events.push_back(Event::Sent {
                socket: id,
                result: Ok(()),
            });
            return;
        }
        socket.sending = Some(Sending { bytes, sent: 0 });
        self.arm_send(uring, id);
    }

    pub(super) fn close(&mut self, uring: &mut Uring, id: SocketId) {
        let socket = self.open(id);
        socket.closing = true;
        let armed = [
            (socket.accepting != Accepting::Not, Kind::Accept),
            (socket.receive == Receive::Armed, Kind::Receive),
            (socket.sending.is_some(), Kind::Send),
        ];
        for (_, kind) in armed.into_iter().filter(|(armed, _)| *armed) {
            cancel(uring, id, kind);
        }
        self.reclaim(id);
    }

    /// All sockets that are not closed yet.
    pub(super) fn open_sockets(&self) -> Vec<SocketId> {
        let keys = self.slots.keys().into_iter();
        let ids = keys.map(|Key { slot, generation }| SocketId { slot, generation });
        ids.filter(|id| self.is_open(*id)).collect()
    }

    /// Keeps for ever what the kernel may still touch: bytes being sent, and descriptors.
    pub(super) fn abandon(&mut self) {
        let slots = std::mem::replace(&mut self.slots, Slots::new(0));
        let _kept: &mut Slots<Socket> = Box::leak(Box::new(slots));
    }

    /// Gives free buffers to those who wait for one: one each. True where there are more who wait: one
    /// that was fed may have nothing to receive, and leave its buffer to the next.
    pub(super) fn feed(&mut self, uring: &mut Uring, lanes: &Lanes) -> bool {
        let mut is_left = false;
        for lane in [Lane::Urgent, Lane::Bulk] {
            let buffers = lanes.of(lane);
            // A multishot receive takes all that are free, and whoever does so would come first again.
            let shots = match self.starved(lane).len() {
                ..=1 => Shots::Many,
                _ => Shots::One,
            };
            for _ in 0..buffers.unleased() {
                let Some(id) = self.next_starved(lane) else {
                    break;
                };
                self.arm_receive(uring, id, (buffers, shots));
            }
            is_left |= buffers.unleased() > 0 && !self.starved(lane).is_empty();
        }
        is_left
    }

    /// Who has waited longest for a buffer of a lane, and still does.
    fn next_starved(&mut self, lane: Lane) -> Option<SocketId> {
        loop {
            let id = self.starved(lane).pop_front()?;
            let starved = self.slots.get(id.key()).filter(|socket| !socket.closing);
            if starved.is_some_and(|socket| socket.receive == Receive::Starved) {
                return Some(id);
            }
        }
    }

    /// Who waits for a buffer of a lane.
    fn starved(&mut self, lane: Lane) -> &mut VecDeque<SocketId> {
        match lane {
            Lane::Bulk => &mut self.starved_bulk,
            Lane::Urgent => &mut self.starved_urgent,
        }
    }

    /// Takes in what the kernel answered to an accept, receive, send or cancel.
    pub(super) fn complete(
        &mut self,
        tag: Tag,
        completion: Completion,
        around: &mut Surroundings<'_>,
    ) {
        let id = SocketId {
            slot: tag.slot,
            generation: tag.generation,
        };
        if tag.kind == Kind::Cancel {
            self.cancelled(around, tag, completion);
            return;
        }
        let Some(socket) = self.slots.get_mut(id.key()) else {
            unreachable!(
                "{id:?} was given up while the kernel had its {:?}",
                tag.kind
            )
        };
        if !completion.more() {
            assert!(
                socket.in_flight > 0,
                "{id:?} had nothing in flight: {completion:?}"
            );
            socket.in_flight -= 1;
        }
        match tag.kind {
            Kind::Accept => self.accepted(id, completion, around),
            Kind::Receive => self.received(id, completion, around),
            Kind::Send => self.sent(id, completion, around),
            Kind::Cancel
            | Kind::File
            | Kind::WakeSent
            | Kind::Waker
            | Kind::Woken
            | Kind::CancelAll => unreachable!("{:?} is no answer to a socket", tag.kind),
        }
        self.reclaim(id);
    }

    fn accepted(&mut self, id: SocketId, completion: Completion, around: &mut Surroundings<'_>) {
        let connection = completion.answer().map(|number| {
            // SAFETY: an accept answers the number of the descriptor it made, once.
            unsafe { adopt_descriptor(number) }
        });
        let socket = held(&mut self.slots, id);
        if socket.closing {
            if !completion.more() {
                socket.accepting = Accepting::Not;
            }
            return;
        }
        let rearm = match connection {
            Ok(connection) => {
                socket.stumbles = 0;
                let more = socket.accepting == Accepting::All;
                if !more {
                    socket.accepting = Accepting::Not;
                }
                around.events.push_back(Event::Accepted {
                    listener: id,
                    socket: connection,
                });
                more
            }
            Err(errno) if errno == Errno::INVAL.raw_os_error() && self.multishot_accept => {
                self.multishot_accept = false;
                true
            }
            Err(errno) => {
                let forgiven = socket.forgives(errno, LOST_CONNECTION);
                if !forgiven {
                    socket.accepting = Accepting::Not;
                    around.events.push_back(Event::AcceptFailed {
                        listener: id,
                        errno,
                    });
                }
                forgiven
            }
        };
        if rearm && !completion.more() {
            self.arm_accept(around.uring, id);
        }
    }

    fn received(&mut self, id: SocketId, completion: Completion, around: &mut Surroundings<'_>) {
        let Surroundings {
            uring,
            buffers,
            events,
        } = around;
        let answer = completion.answer();
        let socket = held(&mut self.slots, id);
        let lane = socket.lane;
        let buffers = buffers.of_mut(lane);
        let lease = completion
            .buffer()
            .map(|buffer| buffers.lease(buffer, answer.unwrap_or_default()));
        let filled = answer.is_ok_and(|bytes| bytes > 0);
        assert!(
            lease.is_some() || !filled,
            "{id:?} received {answer:?} bytes without a buffer"
        );
        if let Some(lease) = lease {
            if socket.closing || !(filled || socket.datagram && answer.is_ok()) {
                buffers.release(lease);
            } else {
                events.push_back(Event::Received { socket: id, lease });
            }
        }
        if completion.more() {
            return;
        }
        if socket.closing {
            socket.receive = Receive::Idle;
            return;
        }
        let stopping = socket.receive == Receive::Stopping;
        let cause = match answer {
            Ok(0) if !socket.datagram => Some(End::Closed),
            Ok(_) => {
                socket.stumbles = 0;
                None
            }
            Err(errno) if errno == Errno::CANCELED.raw_os_error() && stopping => None,
            Err(errno) if errno == Errno::NOBUFS.raw_os_error() => {
                // Also where some are free by now: whoever is armed at once is armed before those who wait.
                if !stopping {
                    socket.receive = Receive::Starved;
                    self.starved(lane).push_back(id);
                    return;
                }
                None
            }
            Err(errno) if errno == Errno::INVAL.raw_os_error() && self.multishot_receive => {
                self.multishot_receive = false;
                None
            }
            Err(errno) if socket.forgives(errno, &[]) => None,
            Err(errno) => Some(End::Failed(errno)),
        };
        let cause = if stopping {
            cause.or(Some(End::Stopped))
        } else {
            cause
        };
        match cause {
            None => self.arm_receive(uring, id, (buffers, Shots::Many)),
            Some(cause) => {
                held(&mut self.slots, id).receive = Receive::Idle;
                events.push_back(Event::Ended { socket: id, cause });
            }
        }
    }

    fn sent(&mut self, id: SocketId, completion: Completion, around: &mut Surroundings<'_>) {
        let socket = held(&mut self.slots, id);
        let Some(sending) = &mut socket.sending else {
            unreachable!("{id:?} sent what nobody gave it")
        };
        let result = match completion.answer() {
            Ok(bytes) => {
                sending.sent += bytes as usize;
                assert!(
                    sending.sent <= sending.bytes.len(),
                    "{id:?} sent too much: {bytes}"
                );
                let done = sending.sent == sending.bytes.len();
                socket.stumbles = 0;
                done.then_some(Ok(()))
            }
            Err(errno) if socket.forgives(errno, &[]) => None,
            Err(errno) => Some(Err(errno)),
        };
        if socket.closing {
            socket.sending = None;
            return;
        }
        match result {
            None => self.arm_send(around.uring, id),
            Some(result) => {
                socket.sending = None;
                around.events.push_back(Event::Sent { socket: id, result });
            }
        }
    }

    /// A cancel that came too early or too late is repeated while its target still runs; its
    /// target's own completion is what counts.
    fn cancelled(&mut self, around: &mut Surroundings<'_>, tag: Tag, completion: Completion) {
        let Surroundings { uring, .. } = around;
        let part = tag.part;
        let id = SocketId {
            slot: tag.slot,
            generation: tag.generation,
        };
        let Some(socket) = self.slots.get_mut(id.key()) else {
            return;
        };
        if completion.answer().is_ok() {
            return;
        }
        let receiving = match socket.receive {
            Receive::Stopping => true,
            Receive::Armed => socket.closing,
            Receive::Idle | Receive::Starved => false,
        };
        let accepting = socket.closing && socket.accepting != Accepting::Not;
        let sending = socket.closing && socket.sending.is_some();
        let kinds = [
            (accepting, Kind::Accept),
            (receiving, Kind::Receive),
            (sending, Kind::Send),
        ];
        for (runs, kind) in kinds {
            if runs && kind as u16 == part {
                cancel(uring, id, kind);
            }
        }
    }

    fn arm_accept(&mut self, uring: &mut Uring, id: SocketId) {
        let socket = held(&mut self.slots, id);
        let multishot = self.multishot_accept && socket.accepting == Accepting::All;
        let descriptor = types::Fd(socket.descriptor.as_raw_fd());
        let flags = SocketFlags::CLOEXEC.bits().cast_signed();
        let entry = if multishot {
            opcode::AcceptMulti::new(descriptor).flags(flags).build()
        } else {
            opcode::Accept::new(descriptor, std::ptr::null_mut(), std::ptr::null_mut())
                .flags(flags)
                .build()
        };
        socket.in_flight += 1;
        // SAFETY: no address is given (the peer's is not asked for).
        unsafe { uring.push(&[entry.user_data(id.tag(Kind::Accept).encode())]) }
    }

    fn arm_receive(
        &mut self,
        uring: &mut Uring,
        id: SocketId,
        (buffers, shots): (&Buffers, Shots),
    ) {
        let multishot = self.multishot_receive && shots == Shots::Many;
        let socket = held(&mut self.slots, id);
        let descriptor = types::Fd(socket.descriptor.as_raw_fd());
        let entry = if multishot {
            opcode::RecvMulti::new(descriptor, socket.lane.group()).build()
        } else {
            opcode::Recv::new(descriptor, std::ptr::null_mut(), buffers.buffer_bytes())
                .buf_group(socket.lane.group())
                .build()
                .flags(squeue::Flags::BUFFER_SELECT)
        };
        socket.receive = Receive::Armed;
        socket.in_flight += 1;
        // SAFETY: no address is given; the kernel takes a buffer of the group, which `Buffers`
        // keeps until the ring has been drained.
        unsafe { uring.push(&[entry.user_data(id.tag(Kind::Receive).encode())]) }
    }

    fn arm_send(&mut self, uring: &mut Uring, id: SocketId) {
        let socket = held(&mut self.slots, id);
        let Some(sending) = &socket.sending else {
            unreachable!("{id:?} has nothing to send")
        };
        let rest = &sending.bytes[sending.sent..];
        let len = u32::try_from(rest.len())
            .unwrap_or(u32::MAX)
            .min(i32::MAX as u32);
        let flags = SendFlags::NOSIGNAL.bits() | RecvFlags::WAITALL.bits();
        let descriptor = types::Fd(socket.descriptor.as_raw_fd());
        let entry = opcode::Send::new(descriptor, rest.as_ptr(), len).flags(flags.cast_signed());
        socket.in_flight += 1;
        let entry = entry.build().user_data(id.tag(Kind::Send).encode());
        // SAFETY: `bytes` stays in `sending` untouched until this completes: only `sent` and
        // `reclaim` empty it, both after the completion was counted in `in_flight`.
        unsafe { uring.push(&[entry]) }
    }

    /// Empties the slot of a socket that is being closed and that the kernel has let go.
    fn reclaim(&mut self, id: SocketId) {
        let idle = self
            .slots
            .get(id.key())
            .is_some_and(|socket| socket.closing && socket.in_flight == 0);
        if idle {
            drop(self.slots.remove(id.key()));
        }
    }

    fn open(&mut self, id: SocketId) -> &mut Socket {
        let socket = held(&mut self.slots, id);
        assert!(!socket.closing, "{id:?} was closed");
        socket
    }

    fn open_ref(&self, id: SocketId) -> &Socket {
        let Some(socket) = self.slots.get(id.key()) else {
            unreachable!("{id:?} was closed")
        };
        socket
    }
}

/// Appends what can be read at once from a socket.
pub(super) fn read_now(
    descriptor: &OwnedFd,
    datagram: bool,
    into: &mut Vec<u8>,
    bytes_max: usize,
) -> ReceiveNow {
    assert!(
        bytes_max > 0,
        "a receive of no bytes cannot tell data from an end"
    );
    let start = into.len();
    into.resize(start + bytes_max, 0);
    let received = rustix::net::recv(descriptor, &mut into[start..], RecvFlags::DONTWAIT);
    let bytes = received.as_ref().map_or(0, |(filled, _)| *filled);
    into.truncate(start + bytes);
    match received {
        Ok(_) if bytes == 0 && !datagram => ReceiveNow::Closed,
        Ok(_) => ReceiveNow::Bytes(bytes),
        Err(Errno::AGAIN | Errno::INTR) => ReceiveNow::Empty,
        Err(errno) => ReceiveNow::Failed(errno.raw_os_error()),
    }
}

fn held(slots: &mut Slots<Socket>, id: SocketId) -> &mut Socket {
    let Some(socket) = slots.get_mut(id.key()) else {
        unreachable!("{id:?} was closed")
    };
    socket
}

impl Socket {
    /// Whether an error is worth another try, one that passes by itself or one of `others`; not
    /// for ever.
    fn forgives(&mut self, errno: i32, others: &[Errno]) -> bool {
        let errno = Errno::from_raw_os_error(errno);
        self.stumbles += 1;
        let forgiven = self.stumbles <= TRANSIENT_RETRIES_MAX
            && (PASSING.contains(&errno) || others.contains(&errno));
        if !forgiven {
            self.stumbles = 0;
        }
        forgiven
    }
}

fn cancel(uring: &mut Uring, id: SocketId, kind: Kind) {
    let own = Tag {
        part: kind as u16,
        ..id.tag(Kind::Cancel)
    };
    uring.push_cancel(Some(id.tag(kind)), own.encode());
}
