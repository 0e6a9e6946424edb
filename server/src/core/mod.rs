//! One pinned thread: a ring, a front, an engine shard, an inbox. The only loop.
//!
//! A turn submits what the last one asked for and waits for completions. What is urgent is done at
//! once and its replies leave: query bytes, sends, files, accepts, parcels of the inbox. Then comes a
//! slice of what receivers brought, which queues in `bulk`, and the ring is entered again without
//! waiting while there is more. Nothing in a turn blocks and each part of it is bounded:
//! `TURN_PARCEL_POINTS_MAX` points out of the inbox and `TURN_BYTES_MAX` of fresh bytes (some 60 us
//! each, and no more once either has taken `TURN_TIME_MAX`, a slice more or less),
//! `INBOX_MESSAGES_MAX` parcels that wait behind no points, as many held
//! bytes where connections had to wait, `TURN_JUDGING_MAX` of asking the lists for new names, and the
//! queries and completions that lie in the ring: some 0.3 ms of processor time under a flood. A query
//! for this core's metrics waits for at most one turn. One for another core's waits for a turn here,
//! for what lies before it in the other's inbox, and for the way back: a turn each while no inbox is
//! full, `INBOX_MESSAGES_MAX` messages (16,384 points, 16 turns) where one is.
//! Stopping: the receivers are read to the end of what their sockets hold and closed; when every
//! core has passed its points on, each writes everything out, answering queries all the while.

mod accept;
mod bulk;
mod diary;
mod peers;
mod places;
mod recalled;
#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benzene_engine::clock::{self, Now};
use benzene_engine::limits::{
    BATCH_POINTS_MAX, INBOX_MESSAGES_MAX, TURN_BYTES_MAX, TURN_BYTES_PER_BUFFER,
    TURN_PARCEL_POINTS_MAX, TURN_POINTS_PER_PARCEL, TURN_TIME_MAX,
};
use benzene_engine::metric::ShardIndex;
use benzene_engine::ring::{End, Event, Lane, Ring, SocketId, socket};
use benzene_engine::shard::{Message, Recalled, Shard};
use benzene_engine::stats::Counter;

use crate::config::{Logged, Service};
use crate::front::{Command, Entrance, Front};
use accept::Accepting;
use bulk::{Bulk, Waiting};
pub(crate) use diary::Diary;
pub(crate) use peers::{Ending, Parcel, Peers};
pub(crate) use places::Most;
pub(crate) use recalled::advice;

/// How soon a message is offered again to an inbox that was full.
const INBOX_RETRY: Duration = Duration::from_micros(200);
/// How long points that were handed over wait for the core that is to take them to be woken.
const WAKE_WITHIN: Duration = Duration::from_micros(500);
// The figures in the module's head.
const _: () = assert!(BATCH_POINTS_MAX * INBOX_MESSAGES_MAX == 16_384);
const _: () = assert!(BATCH_POINTS_MAX * INBOX_MESSAGES_MAX == TURN_PARCEL_POINTS_MAX * 16);
/// The core that has the listeners.
pub(crate) const ACCEPTOR: ShardIndex = ShardIndex(0);

/// Where this core is in the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Reading what the sockets still hold.
    Stopping,
    /// Everything is read; waiting for the others, then for the writer.
    Quiet,
    /// Everything is written.
    Drained,
    Exit,
}

/// Cores that may sleep over points that were handed over to them.
#[derive(Debug, Default)]
struct Unwoken {
    targets: Vec<ShardIndex>,
    /// When the first of them was noted.
    since: Option<Instant>,
}

impl Unwoken {
    fn add(&mut self, target: ShardIndex) {
        if !self.targets.contains(&target) {
            self.targets.push(target);
            self.since.get_or_insert_with(|| clock::now().instant);
        }
    }

    fn is_due(&self) -> bool {
        self.since
            .is_some_and(|since| clock::now().instant >= since + WAKE_WITHIN)
    }

    fn next(&mut self) -> Option<ShardIndex> {
        self.since = None;
        self.targets.pop()
    }
}

/// One core.
#[derive(Debug)]
pub(crate) struct Core {
    index: ShardIndex,
    ring: Ring,
    shard: Shard,
    front: Front,
    peers: Arc<Peers>,
    bulk: Bulk,
    /// The UDP receivers, and how many of their datagrams the kernel is known to have dropped.
    datagrams: Vec<(SocketId, u32)>,
    accepting: Accepting,
    unwoken: Unwoken,
    stop_asked: Option<Ending>,
    phase: Phase,
    /// In the last turn all cores were quiet, this one too.
    has_seen_quiet: bool,
    /// Where log files are written.
    diary: Option<Box<Diary>>,
}

impl Core {
    /// A core with its shard, before it has any socket.
    pub(crate) fn new(
        index: ShardIndex,
        ring: Ring,
        shard: Shard,
        front: Front,
        peers: Arc<Peers>,
    ) -> Self {
        peers.introduce(index, ring.handle(), ring.waker());
        Self {
            index,
            ring,
            shard,
            front,
            peers,
            bulk: Bulk::default(),
            datagrams: Vec::new(),
            accepting: Accepting::default(),
            unwoken: Unwoken::default(),
            stop_asked: None,
            phase: Phase::Running,
            has_seen_quiet: false,
            diary: None,
        }
    }

    /// Says to the log files what happens here.
    pub(crate) fn keep_diary(&mut self, diary: Option<Diary>) {
        self.diary = diary.map(Box::new);
    }

    /// Serves a connection, or a bound datagram socket.
    pub(crate) fn serve(&mut self, entrance: Entrance, socket: OwnedFd) {
        let service = entrance.service;
        if service == Service::Query
            && let Err(error) = socket::no_delay(&socket)
        {
            tracing::debug!("replies on a connection may be delayed: {error}");
        }
        let peer = self.diary.is_some().then(|| socket::peer_addr(&socket));
        let socket = self.ring.adopt(socket);
        if let (Some(diary), Some(peer)) = (&mut self.diary, peer) {
            diary.opened(socket, service, peer.ok());
        }
        self.front.open(socket, entrance);
        if service == Service::Datagram {
            self.peers.opened(self.index);
            self.datagrams.push((socket, 0));
        }
        if self.phase == Phase::Running || service == Service::Query {
            self.ring.receive(socket, service.lane());
        } else {
            self.front.stop_one(socket, false);
        }
    }

    /// The loop, until the desk says exit.
    pub(crate) fn run(&mut self) {
        while self.phase != Phase::Exit {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.enter_ring();
        let now = clock::now();
        self.shard.begin_turn(now);
        self.front.begin_turn(now);
        while let Some(event) = self.ring.next_event() {
            self.dispatch(event, now);
        }
        self.take_parcels();
        // After the events: a stop then finds every connection that the ring has accepted.
        if let Some(ending) = self.stop_asked
            && self.phase == Phase::Running
        {
            self.stop(ending);
        }
        self.accept_again(now);
        self.pass_on();
        // What has become urgent so far does not wait for the slice of bulk.
        self.ring.submit();
        self.work_bulk();
        self.front.resume(TURN_BYTES_MAX, &mut self.shard);
        self.front.close_idle(&mut self.shard);
        self.last_words();
        self.shard.end_turn();
        self.say_recalled();
        self.pass_on();
        self.advance();
    }

    /// Says what has come back from the journal, once.
    fn say_recalled(&mut self) {
        match self.shard.recalled() {
            None => {}
            Some(Recalled::All(report)) => recalled::say(self.index, &report),
            Some(Recalled::Refused(newer)) => self.peers.fail(newer.to_string()),
            Some(Recalled::Kept(kept)) => recalled::say_kept(&kept),
        }
    }

    /// Submits, fetches what has completed, and waits for it where there is nothing else to do.
    fn enter_ring(&mut self) {
        let wait = self.wait();
        if wait != Some(Duration::ZERO) || self.unwoken.is_due() {
            while let Some(target) = self.unwoken.next() {
                self.wake(target);
            }
        }
        // What the journal has no room for is no reason to stay awake: its disk's answer is an event.
        let express_only = self.shard.is_journal_overrun();
        let sleeps =
            wait != Some(Duration::ZERO) && self.peers.fall_asleep(self.index, express_only);
        self.ring
            .turn(if sleeps { wait } else { Some(Duration::ZERO) });
        if sleeps {
            self.peers.woke_up(self.index);
        }
    }

    /// Hands on what the shard and the front want of the ring, the other cores and each other.
    fn pass_on(&mut self) {
        while let Some(answer) = self.shard.next_answer() {
            self.front.answer(answer, &mut self.shard);
        }
        while let Some((token, operation)) = self.shard.next_operation() {
            if Shard::goes_apart(token) {
                self.ring.file_apart(token, operation);
            } else {
                self.ring.file(token, operation);
            }
        }
        if let Some(diary) = &self.diary {
            while let Some(told) = self.shard.next_told() {
                diary.told(told);
            }
            while let Some(said) = self.front.next_refused() {
                diary.refused(&said);
            }
            while let Some((socket, what)) = self.front.next_answered() {
                diary.answered(socket, &what);
            }
        }
        self.obey_front();
        self.send_messages();
    }

    /// How long the ring may wait for something to happen.
    fn wait(&self) -> Option<Duration> {
        let may_read = !self.is_held_up();
        let has_bulk = !self.bulk.is_empty() && may_read;
        if has_bulk || self.front.has_work() || self.shard.has_work() || self.may_accept() {
            return Some(Duration::ZERO);
        }
        let now = clock::now().instant;
        let retry =
            (self.shard.has_messages() || self.is_waiting_for_others()).then(|| now + INBOX_RETRY);
        [
            self.shard.next_deadline(),
            self.front.next_deadline(now),
            self.front.next_last_look().filter(|_| may_read),
            retry,
            self.accepting.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|at| at.saturating_duration_since(now))
    }

    /// Does what receivers brought, or their sockets hold, wait for another core, or for what is held here?
    fn is_held_up(&self) -> bool {
        self.shard.is_congested() || self.front.holds_too_much()
    }

    /// That all are quiet counts once it was acted upon.
    fn is_waiting_for_others(&self) -> bool {
        matches!(self.phase, Phase::Stopping | Phase::Quiet) && !self.has_seen_quiet
    }

    fn take_parcels(&mut self) {
        for _ in 0..INBOX_MESSAGES_MAX {
            let Some(parcel) = self.peers.pop_express(self.index) else {
                break;
            };
            self.take(parcel);
        }
        let (mut points, deadline) = (0, clock::now().instant + TURN_TIME_MAX);
        while points < TURN_PARCEL_POINTS_MAX && (points == 0 || clock::now().instant < deadline) {
            // What others have accepted waits in the inbox while the journal's buffers are full.
            if self.shard.is_journal_overrun() {
                return;
            }
            let Some(parcel) = self.peers.pop(self.index) else {
                return;
            };
            points += match &parcel {
                Parcel::Shard(Message::Points(_, batch)) => batch.len(),
                Parcel::Own(points) => points.len(),
                Parcel::Shard(Message::Question(_) | Message::Answer(_))
                | Parcel::Connection(..)
                | Parcel::Report(_)
                | Parcel::Latencies(..)
                | Parcel::Lists(_)
                | Parcel::Rules(..)
                | Parcel::Logged(_)
                | Parcel::Stop(_)
                | Parcel::Exit => TURN_POINTS_PER_PARCEL,
            };
            self.take(parcel);
        }
    }

    /// Works off a slice of what receivers brought. While another core's inbox is full it waits
    /// here, in the receive buffers: a datagram is then not dropped for want of a place on its way. It
    /// waits here too while connections that were stalled hold too much.
    fn work_bulk(&mut self) {
        let (mut left, deadline) = (TURN_BYTES_MAX, clock::now().instant + TURN_TIME_MAX);
        while left > 0 && clock::now().instant < deadline && !self.front.holds_too_much() {
            if self.shard.is_congested() {
                self.send_messages();
                if self.shard.is_congested() {
                    return;
                }
            }
            let Some(waiting) = self.bulk.pop() else {
                return;
            };
            match waiting {
                Waiting::Ended { socket, cause } => {
                    self.front.ended(socket, cause, &mut self.shard);
                }
                Waiting::Bytes { socket, lease, at } => {
                    let bytes = &self.ring.bytes(&lease)[at..];
                    let slice = self.front.slice(socket, bytes, left);
                    let cost = self
                        .front
                        .received(socket, &bytes[..slice], &mut self.shard);
                    left = left.saturating_sub(cost);
                    if slice < bytes.len() {
                        self.bulk.put_back(socket, lease, at + slice);
                    } else {
                        self.ring.release(lease);
                    }
                }
            }
            left = left.saturating_sub(TURN_BYTES_PER_BUFFER);
        }
    }

    fn take(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Shard(message) => self.shard.deliver(message),
            Parcel::Connection(entrance, socket) => self.serve(entrance, socket),
            Parcel::Own(points) => {
                for (name, point) in points {
                    if let Err(error) = self.shard.accept_own(&name, point) {
                        tracing::error!("our own metric {name:?} was refused: {error}");
                    }
                }
            }
            Parcel::Lists(lists) => self.front.set_lists(lists, &mut self.shard),
            Parcel::Rules(schemas, aggregations) => {
                self.shard.set_rules(schemas, aggregations);
            }
            Parcel::Logged(logged) => self.log_from_now_on(logged),
            // The desk has gone when this fails, and with it the process.
            Parcel::Report(desk) => {
                self.count_kernel_drops();
                drop(desk.send((self.shard.report(), self.front.through())));
            }
            Parcel::Latencies(empty, desk) => drop(desk.send(self.shard.swap_latencies(empty))),
            Parcel::Stop(ending) => self.stop_asked = Some(ending),
            Parcel::Exit => self.phase = Phase::Exit,
        }
    }

    /// Has other things in the log files, where there are any.
    fn log_from_now_on(&mut self, logged: Logged) {
        if let Some(diary) = &mut self.diary {
            diary.set(logged);
            self.shard.set_tells(Diary::tells(logged));
            self.front.set_tells_answers(logged.cache_hits);
        }
    }

    /// Counts what the kernel has dropped of the UDP receivers since this was last asked.
    fn count_kernel_drops(&mut self) {
        for (socket, known) in &mut self.datagrams {
            match socket::kernel_drops(self.ring.descriptor(*socket)) {
                Ok(drops) => {
                    let new = drops.wrapping_sub(std::mem::replace(known, drops));
                    self.shard.count(Counter::KernelDrops, u64::from(new));
                }
                Err(error) => tracing::debug!("what the kernel drops is not to be had: {error}"),
            }
        }
    }

    fn dispatch(&mut self, event: Event, now: Now) {
        match event {
            Event::Accepted { listener, socket } => self.accepted(listener, socket, now),
            Event::AcceptFailed { listener, errno } => self.accept_failed(listener, errno, now),
            Event::Received { socket, lease } => match lease.lane() {
                Lane::Bulk => self.bulk.push_bytes(socket, lease),
                Lane::Urgent => {
                    self.front
                        .received(socket, self.ring.bytes(&lease), &mut self.shard);
                    self.ring.release(lease);
                }
            },
            Event::Ended { socket, cause } => self.ended(socket, cause),
            Event::Sent { socket, result } => self.front.sent(socket, result, &mut self.shard),
            Event::File { token, result } => self.shard.complete(token, result),
            Event::Woken { .. } => {}
        }
    }

    /// An end comes behind the bytes that came before it.
    fn ended(&mut self, socket: SocketId, cause: End) {
        if let Some(diary) = &mut self.diary {
            diary.ended(socket, cause);
        }
        match self.front.lane(socket) {
            Some(Lane::Bulk) => self.bulk.push_end(socket, cause),
            Some(Lane::Urgent) => self.front.ended(socket, cause, &mut self.shard),
            None => {}
        }
    }

    fn obey_front(&mut self) {
        while let Some(command) = self.front.next_command() {
            match command {
                Command::Receive(socket, lane) => self.ring.receive(socket, lane),
                Command::StopReceive(socket) => self.ring.stop_receive(socket),
                Command::Send(socket, bytes) => self.ring.send(socket, bytes),
                // Where that cannot be had, the connection ends in order.
                Command::Reset(id) => {
                    drop(socket::reset_when_closed(self.ring.descriptor(id)));
                }
                Command::Close(socket, service) => {
                    if self.datagrams.iter().any(|(id, _)| *id == socket) {
                        self.count_kernel_drops();
                        self.datagrams.retain(|(id, _)| *id != socket);
                    }
                    if let Some(diary) = &mut self.diary {
                        diary.closed(socket);
                    }
                    tracing::debug!("connection {socket:?} closed");
                    self.ring.close(socket);
                    self.peers.closed(self.index);
                    let places = &self.peers.places;
                    if service.guest().is_some_and(|guest| places.give_back(guest)) {
                        self.wake(ACCEPTOR);
                    }
                }
            }
        }
    }

    /// A core that sleeps is woken at once for a question, an answer, or a full inbox. Points wait until
    /// there are more of them, as long as this core is awake: a wake costs as much as a hundred points.
    fn send_messages(&mut self) {
        for target in self.peers.indices() {
            let (mut pushed, mut is_urgent) = (false, false);
            while let Some(message) = self.shard.next_message(target) {
                let is_points = matches!(message, Message::Points(..));
                match self.peers.push(target, Parcel::Shard(message)) {
                    Ok(()) => {
                        pushed = true;
                        is_urgent |= !is_points;
                    }
                    Err(parcel) => {
                        self.shard.return_message(target, unwrap_message(parcel));
                        // For what lay there before it was woken, or is soon.
                        is_urgent |= pushed;
                        break;
                    }
                }
            }
            if is_urgent {
                self.wake(target);
            } else if pushed {
                self.unwoken.add(target);
            }
        }
    }

    /// Makes sure that a core looks into its inbox, where something was just put.
    fn wake(&mut self, target: ShardIndex) {
        if self.peers.must_wake(target)
            && let Some(handle) = self.peers.handle(target)
        {
            self.ring.wake(handle, 0);
        }
    }

    fn stop(&mut self, ending: Ending) {
        self.phase = Phase::Stopping;
        self.accept_the_last();
        if self.index == ACCEPTOR {
            self.peers.end_accepting();
        }
        match ending {
            Ending::Rest => {
                self.front.stop(true);
                self.shard.take_all_past_bound();
            }
            Ending::Drain => {
                self.front.stop(false);
                self.shard.take_all();
                self.have_disk_alone();
                self.shard.drain();
            }
        }
    }

    /// Nobody else is to have the disk now, and the kernel puts what is dirty in a better order than one
    /// file's pages at a time: 20,000 files took half as long. So it does with reads that one thread begins
    /// together, and nobody waits for that thread: 8,000 files in the disk's order took half as long.
    fn have_disk_alone(&mut self) {
        self.ring.spare_heads(false);
    }

    /// While stopping: reads, without waiting, what the sockets still hold.
    fn last_words(&mut self) {
        if self.phase != Phase::Stopping {
            return;
        }
        if self.is_held_up() {
            return self.front.put_off_last();
        }
        let mut left = TURN_BYTES_MAX;
        while left > 0 && !self.is_held_up() {
            let Some((socket, bytes_max)) = self.front.next_last_read() else {
                break;
            };
            let mut bytes = Vec::new();
            let outcome = self.ring.receive_now(socket, &mut bytes, bytes_max);
            self.front
                .last_read(socket, &bytes, &outcome, &mut self.shard);
            left = left.saturating_sub(bytes.len() + TURN_BYTES_PER_BUFFER);
        }
    }

    /// True when no connection is on its way here from the core that accepts.
    fn has_all_connections(&self) -> bool {
        self.peers.is_accepting_ended() && self.peers.is_empty(self.index)
    }

    /// Where the journal fails in the stop the disk is for what is written out, as in a drain.
    fn look_for_failure(&mut self) {
        if self.shard.is_written_out() && self.stop_asked == Some(Ending::Rest) {
            self.stop_asked = Some(Ending::Drain);
            self.have_disk_alone();
            self.peers.write_out();
        }
    }

    /// Goes on to the next phase of stopping when this one is done.
    fn advance(&mut self) {
        // What was read past the bound has no other place any more, and there is no room for the rest
        // before it is written: the disk is for that.
        if self.phase == Phase::Stopping
            && self.stop_asked == Some(Ending::Rest)
            && self.shard.is_full()
            && self.shard.has_failed_journal()
        {
            self.have_disk_alone();
            self.peers.write_out();
        }
        if self.phase == Phase::Stopping
            && self.has_all_connections()
            && self.front.is_silent()
            && !self.shard.has_messages()
        {
            self.phase = Phase::Quiet;
            self.peers.quiet();
        }
        self.has_seen_quiet = self.phase == Phase::Quiet && self.peers.all_quiet();
        if !self.has_seen_quiet || !self.peers.is_empty(self.index) {
            return;
        }
        // After a drain too the journal has last words: what is in files now.
        if self.stop_asked == Some(Ending::Rest) || self.shard.is_drained() {
            self.shard.rest();
            self.look_for_failure();
        }
        if self.shard.is_at_rest() {
            self.phase = Phase::Drained;
            self.peers.drained();
        }
    }
}

fn unwrap_message(parcel: Parcel) -> Message {
    let Parcel::Shard(message) = parcel else {
        unreachable!("pushed a message, got back {parcel:?}");
    };
    message
}
