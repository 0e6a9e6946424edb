//! The connections of one core as state machines: bytes in, points to the shard, commands out.
//!
//! The front never touches a socket: it is told what was received, sent or ended, and leaves
//! commands (`next_command`) for the loop to carry out. Where the shard has no room for a point,
//! the connection stops being read; what was received already stays here, in order, and is
//! offered again when there is room, so that a sender is slowed and loses nothing. A datagram
//! waits for a place on its way; for a full cache it cannot wait, and is dropped point by point,
//! counted. A connection, or datagram, whose next name is to be judged when the turn has no time left
//! for that waits too, and those who wait so are served one after the other.
//! Bounds: all that connections hold is bounded for the whole process, by its use (`memory`). Where those
//! that wait hold too much of what was on its way when they were stopped, the loop hands nothing further
//! on (`holds_too_much`). What is worked on at once is bounded by the caller (`slice`, `resume`) and,
//! where a small frame holds many points, by `limits::TURN_ITEMS_MAX`; what is left is held for the next
//! turn.

mod batches;
mod connection;
mod gate;
mod idle;
mod intake;
mod last_reads;
mod lines;
mod memory;
mod query;
mod refused;
#[cfg(test)]
mod tests;
mod through;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benzene_engine::clock::{self, Now};
use benzene_engine::latency::Latency;
use benzene_engine::limits::{
    IDLE_LOOKS_PER_TURN_MAX, TURN_BYTES_PER_BUFFER, TURN_ITEMS_MAX, TURN_SLICE_BYTES, TURN_TIME_MAX,
};
use benzene_engine::ring::{End, Lane, SocketId};
use benzene_engine::shard::{Answer, Shard};
use benzene_engine::stats::Counter;
use hashbrown::HashMap;

use connection::{Connection, Last, Means, Progress};
use idle::Idle;
pub(crate) use intake::Intake;
use last_reads::LastReads;
pub(crate) use memory::Memory;
use memory::Use;
use query::{Pending, Wanted};
use refused::Refused;
pub(crate) use refused::{Garbage, Said};
pub(crate) use through::Through;

use crate::config::Service;
use crate::lists::Lists;
use crate::wire::batch::Batch;
use crate::wire::pickle::Machine;

/// How soon a stalled connection is tried again where no event of this core tells of room.
const STALL_RETRY: Duration = Duration::from_millis(2);

/// Through what a connection came: what is spoken there, and whose port it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entrance {
    pub(crate) service: Service,
    /// A place in `Settings::instances`.
    pub(crate) instance: usize,
}

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    /// Sends points (MAX_RECEIVER_CONNECTIONS).
    Sender,
    /// Asks for what is cached.
    Asker,
}

impl Service {
    /// Queries are waited for; receivers send as much as they can.
    pub(crate) fn lane(self) -> Lane {
        match self {
            Service::Query => Lane::Urgent,
            Service::Line | Service::Datagram | Service::Pickle | Service::Protobuf => Lane::Bulk,
        }
    }

    /// Who connects to it; nobody to a socket of datagrams.
    pub(crate) fn guest(self) -> Option<Guest> {
        match self {
            Service::Line | Service::Pickle | Service::Protobuf => Some(Guest::Sender),
            Service::Query => Some(Guest::Asker),
            Service::Datagram => None,
        }
    }

    fn has_senders(self) -> bool {
        self.guest() == Some(Guest::Sender)
    }
}

/// What the loop is to do with a socket.
#[derive(Debug)]
pub(crate) enum Command {
    /// Receive until told otherwise.
    Receive(SocketId, Lane),
    /// Stop receiving.
    StopReceive(SocketId),
    /// Send these bytes.
    Send(SocketId, Vec<u8>),
    /// It is closed next, and its sender has not ended it: what he sends from now on is to fail.
    Reset(SocketId),
    /// Close it, which served this; the front has forgotten it.
    Close(SocketId, Service),
}

/// What all connections of the process have in common.
#[derive(Clone, Debug)]
pub(crate) struct FrontConfig {
    /// How received points enter the shard.
    pub(crate) intake: Intake,
    /// PICKLE_RECEIVER_MAX_LENGTH.
    pub(crate) pickle_frame_bytes_max: usize,
    /// METRIC_CLIENT_IDLE_TIMEOUT.
    pub(crate) client_idle: Option<Duration>,
    /// Whether `next_answered` is asked.
    pub(crate) tells_answers: bool,
    /// Whether `next_refused` is asked.
    pub(crate) tells_refused: bool,
    /// What the connections of all cores hold together.
    pub(crate) memory: Arc<Memory>,
    /// How many instances' ports there are.
    pub(crate) instances: usize,
}

#[cfg(test)]
impl FrontConfig {
    /// One that tells nothing.
    pub(crate) fn quiet(now: Now) -> Self {
        Self {
            intake: Intake::new(1, true, now),
            pickle_frame_bytes_max: 1 << 20,
            client_idle: None,
            tells_answers: false,
            tells_refused: false,
            memory: Arc::default(),
            instances: 1,
        }
    }
}

/// The connections of one core.
#[derive(Debug)]
pub(crate) struct Front {
    config: FrontConfig,
    machine: Machine,
    batch: Batch,
    connections: HashMap<SocketId, Connection>,
    /// What came through each instance's ports; not kept where there is one.
    through: Vec<Through>,
    receivers: usize,
    /// Whose silence is watched, where it is.
    idle: Option<Idle>,
    /// Connections that hold bytes for which there was no room, or no time in their turn, oldest
    /// first.
    stalled: VecDeque<SocketId>,
    /// The same of those whose next name is to be judged.
    unjudged: VecDeque<SocketId>,
    /// One of the stalled ones waits for nothing but the next turn.
    has_more: bool,
    last: LastReads,
    pending: HashMap<u64, Pending>,
    tickets: u64,
    /// What was refused, where somebody wants to know.
    refused: Refused,
    /// Queries that were answered, where somebody wants to know.
    answered: VecDeque<(SocketId, String)>,
    commands: VecDeque<Command>,
    now: Instant,
}

impl Front {
    pub(crate) fn new(config: FrontConfig, now: Now) -> Self {
        Self {
            idle: config.client_idle.map(Idle::new),
            refused: Refused::new(config.tells_refused),
            machine: Machine::default(),
            batch: Batch::default(),
            connections: HashMap::new(),
            through: vec![Through::default(); config.instances],
            receivers: 0,
            stalled: VecDeque::new(),
            unjudged: VecDeque::new(),
            has_more: false,
            last: LastReads::default(),
            pending: HashMap::new(),
            tickets: 0,
            answered: VecDeque::new(),
            commands: VecDeque::new(),
            now: now.instant,
            config,
        }
    }

    /// Sets the time for everything until the next turn.
    pub(crate) fn begin_turn(&mut self, now: Now) {
        self.now = now.instant;
        self.config.intake.begin_turn(now);
    }

    /// From now on received names are asked for in these lists, and all of them anew.
    pub(crate) fn set_lists(&mut self, lists: Arc<Lists>, shard: &mut Shard) {
        self.config.intake.set_lists(lists);
        shard.judge_anew();
    }

    /// Whether `next_answered` is asked from now on.
    pub(crate) fn set_tells_answers(&mut self, tells: bool) {
        self.config.tells_answers = tells;
    }

    /// Takes a socket on, which the loop receives from.
    pub(crate) fn open(&mut self, socket: SocketId, entrance: Entrance) {
        let (frame_bytes_max, service) = (self.config.pickle_frame_bytes_max, entrance.service);
        let mut connection = Connection::new(entrance, frame_bytes_max, self.now);
        if let Some(idle) = &mut self.idle
            && service.has_senders()
        {
            connection.due = Some(idle.watch(socket, self.now));
        }
        self.receivers += usize::from(service != Service::Query);
        let before = self.connections.insert(socket, connection);
        assert!(before.is_none(), "{socket:?} was opened twice");
    }

    /// What came through each instance's ports, and how many senders are connected to them.
    pub(crate) fn through(&self) -> Vec<Through> {
        let mut all = self.through.clone();
        for connection in self.connections.values() {
            if connection.service().has_senders() {
                all[connection.entrance.instance].senders += 1;
            }
        }
        all
    }

    /// Notes what a piece of work on a socket's bytes came to, where that is to be told apart. `before`
    /// is what the shard stood at, and none where it is not.
    fn note_through(&mut self, instance: usize, before: Option<&Through>, shard: &Shard) {
        if let Some(before) = before {
            self.through[instance].add_since(before, &Through::stand(shard));
        }
    }

    /// What the shard stands at, where instances are told apart.
    fn stand(&self, shard: &Shard) -> Option<Through> {
        (self.through.len() > 1).then(|| Through::stand(shard))
    }

    /// The lane of an open socket.
    pub(crate) fn lane(&self, socket: SocketId) -> Option<Lane> {
        let connection = self.connections.get(&socket)?;
        Some(connection.service().lane())
    }

    /// How many of these bytes to hand to `received` at once, so that a turn stays bounded.
    pub(crate) fn slice(&self, socket: SocketId, bytes: &[u8], bytes_max: usize) -> usize {
        let Some(connection) = self.connections.get(&socket) else {
            return bytes.len();
        };
        let bytes_max = match connection.service() {
            // Cut frames would be put together again, byte by byte.
            Service::Pickle | Service::Protobuf | Service::Query => bytes_max,
            Service::Line | Service::Datagram => bytes_max.min(TURN_SLICE_BYTES),
        };
        connection.cut(bytes, bytes_max)
    }

    /// Bytes came. Answers what the work on them came to, in bytes: more where they were compressed, or
    /// hold more items than bytes of that kind usually do.
    pub(crate) fn received(&mut self, socket: SocketId, bytes: &[u8], shard: &mut Shard) -> usize {
        let before = self.stand(shard);
        let Some(connection) = self.connections.get_mut(&socket) else {
            return bytes.len();
        };
        connection.heard = self.now;
        self.refused.begin(socket, connection.service(), self.now);
        if connection.is_behind() {
            let is_query = connection.service() == Service::Query;
            let is_enough = connection.hold(bytes);
            connection.note(&self.config.memory);
            if is_enough {
                self.stop_receiving(socket);
            }
            if is_query && self.config.memory.is_over(Use::Replies) {
                self.close_unread(socket, shard);
            }
            return bytes.len();
        }
        let mut at = 0;
        let intake = &mut self.config.intake;
        intake.let_judge(self.unjudged.is_empty());
        let mut means = Means {
            intake,
            machine: &mut self.machine,
            batch: &mut self.batch,
            items: TURN_ITEMS_MAX,
            allowance: TURN_SLICE_BYTES,
            memory: &self.config.memory,
            fed: false,
            shard,
            refused: &mut self.refused,
        };
        let progress = connection.work(bytes, &mut at, &mut means);
        let cost = means.cost(TURN_SLICE_BYTES);
        if means.fed {
            connection.fed = self.now;
        }
        if at < bytes.len() {
            connection.hold(&bytes[at..]);
        }
        let instance = connection.entrance.instance;
        self.after_work(socket, progress, shard);
        self.note_through(instance, before.as_ref(), shard);
        cost.max(bytes.len())
    }

    /// Nothing more is received from a socket, for the reason given.
    pub(crate) fn ended(&mut self, socket: SocketId, cause: End, shard: &mut Shard) {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        connection.receiving = false;
        connection.stopping = false;
        connection.left |= !matches!(cause, End::Stopped);
        connection.ended |= connection.left;
        if let (Service::Datagram, End::Failed(errno)) = (connection.service(), cause) {
            let error = std::io::Error::from_raw_os_error(errno);
            tracing::error!("the UDP receiver failed and is closed: {error}");
        }
        if connection.last == Last::Wanted && !connection.ended && !connection.is_behind() {
            self.last.line.push_back(socket);
            return;
        }
        if !connection.is_behind() {
            self.after_work(socket, Progress::Done, shard);
        }
    }

    /// A reply has gone out, or could not.
    pub(crate) fn sent(&mut self, socket: SocketId, result: Result<(), i32>, shard: &mut Shard) {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        connection.end_reply();
        if result.is_err() {
            return self.close(socket);
        }
        // All that is held, up to the next request: it waits for no room in the cache.
        self.work_held(socket, usize::MAX, shard);
    }

    /// Works on at most so many held bytes, and answers what that came to, in bytes.
    fn work_held(&mut self, socket: SocketId, bytes_max: usize, shard: &mut Shard) -> usize {
        let before = self.stand(shard);
        let Some(connection) = self.connections.get_mut(&socket) else {
            return 0;
        };
        let held = connection.held_bytes();
        self.refused.begin(socket, connection.service(), self.now);
        let intake = &mut self.config.intake;
        let mut means = Means {
            intake,
            machine: &mut self.machine,
            batch: &mut self.batch,
            items: TURN_ITEMS_MAX,
            allowance: bytes_max,
            memory: &self.config.memory,
            fed: false,
            shard,
            refused: &mut self.refused,
        };
        let progress = connection.work_held(bytes_max, &mut means);
        let cost = means.cost(bytes_max);
        if means.fed {
            connection.fed = self.now;
        }
        let worked_off = held - connection.held_bytes();
        let instance = connection.entrance.instance;
        self.after_work(socket, progress, shard);
        self.note_through(instance, before.as_ref(), shard);
        cost.max(worked_off)
    }

    /// What follows from how far a connection's bytes were worked on.
    fn after_work(&mut self, socket: SocketId, progress: Progress, shard: &mut Shard) {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        let is_new_stream = connection.note(&self.config.memory);
        match progress {
            Progress::Broken => return self.close(socket),
            Progress::Stalled | Progress::Paused => {
                if !connection.stalled {
                    connection.stalled = true;
                    self.stalled.push_back(socket);
                }
                let paused = matches!(progress, Progress::Paused);
                self.has_more |= paused;
                // Few compressed bytes are much work: what is left of them must not pile up here.
                if !paused || connection.service() == Service::Line {
                    self.stop_receiving(socket);
                }
            }
            Progress::Unjudged => {
                if !connection.stalled {
                    connection.stalled = true;
                    self.unjudged.push_back(socket);
                }
                self.stop_receiving(socket);
            }
            Progress::Asked(wanted) => {
                connection.replying = true;
                self.ask(socket, wanted, shard);
            }
            Progress::Done if connection.ended => return self.finish(socket, shard),
            Progress::Done if connection.last == Last::Wanted => {
                if !connection.receiving {
                    self.last.line.push_back(socket);
                }
            }
            Progress::Done => {
                if !connection.receiving {
                    connection.receiving = true;
                    let lane = connection.service().lane();
                    self.commands.push_back(Command::Receive(socket, lane));
                }
            }
        }
        if self.config.memory.is_over(Use::Unfinished) {
            self.close_silent(Use::Unfinished, shard);
        }
        if self.config.memory.is_over(Use::Streams)
            && !self.close_silent(Use::Streams, shard)
            && is_new_stream
        {
            shard.count(Counter::ClosedUnfinished, 1);
            self.close(socket);
        }
    }

    fn stop_receiving(&mut self, socket: SocketId) {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        if connection.receiving && !connection.stopping {
            connection.stopping = true;
            self.commands.push_back(Command::StopReceive(socket));
        }
    }

    /// Whether nothing further is to be handed on from the senders: connections wait here, and those of the
    /// process hold too much of what was received. What they hold gets less by `resume` alone. A core on
    /// which none waits goes on, so that it does not wait for another's.
    pub(crate) fn holds_too_much(&self) -> bool {
        let any_waits = !self.stalled.is_empty() || !self.unjudged.is_empty();
        any_waits && self.config.memory.is_over(Use::Held)
    }

    /// Offers held bytes again, each connection that waits once, and at most `bytes_max` in all.
    pub(crate) fn resume(&mut self, bytes_max: usize, shard: &mut Shard) {
        let left = self.resume_unjudged(bytes_max, shard);
        self.resume_stalled(left, shard);
    }

    /// While there is time to judge names: whoever has waited longest comes first, and last when his
    /// next name is not done with either. Says how many bytes are left.
    fn resume_unjudged(&mut self, bytes_max: usize, shard: &mut Shard) -> usize {
        let mut left = bytes_max;
        for _ in 0..self.unjudged.len() {
            if left == 0 || !self.config.intake.has_time_to_judge() {
                return left;
            }
            let Some(socket) = self.unjudged.pop_front() else {
                return left;
            };
            self.config.intake.let_judge(true);
            left = left.saturating_sub(self.offer_again(socket, left, shard));
        }
        left
    }

    /// While there is room, and time.
    fn resume_stalled(&mut self, bytes_max: usize, shard: &mut Shard) {
        self.has_more = false;
        if self.stalled.is_empty() {
            return;
        }
        let (mut left, deadline) = (bytes_max, clock::now().instant + TURN_TIME_MAX);
        for _ in 0..self.stalled.len() {
            if !shard.has_room() {
                self.has_more = false;
                self.put_off_last();
                return;
            }
            if left == 0 || clock::now().instant >= deadline {
                self.has_more = true;
                return;
            }
            let Some(socket) = self.stalled.pop_front() else {
                return;
            };
            self.config.intake.let_judge(self.unjudged.is_empty());
            left = left.saturating_sub(self.offer_again(socket, left, shard));
        }
    }

    /// Works on what a connection holds that has left its line, and answers what that came to.
    fn offer_again(&mut self, socket: SocketId, bytes_max: usize, shard: &mut Shard) -> usize {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return 0;
        };
        connection.stalled = false;
        self.work_held(socket, bytes_max, shard) + TURN_BYTES_PER_BUFFER
    }

    /// A connection has ended and all it sent is worked off.
    fn finish(&mut self, socket: SocketId, shard: &mut Shard) {
        if let Some(connection) = self.connections.get_mut(&socket)
            && let Err(refusal) = connection.finish()
        {
            shard.count(refusal.counter(), 1);
        }
        self.close(socket);
    }

    fn close(&mut self, socket: SocketId) {
        let Some(connection) = self.connections.remove(&socket) else {
            return;
        };
        connection.note_gone(&self.config.memory);
        self.receivers -= usize::from(connection.service() != Service::Query);
        if let (Some(idle), Some(due)) = (&mut self.idle, connection.due) {
            idle.forget(socket, due);
        }
        let service = connection.service();
        if service.has_senders() && !connection.left {
            self.commands.push_back(Command::Reset(socket));
        }
        self.commands.push_back(Command::Close(socket, service));
    }

    /// Closes connections that have sent no point for METRIC_CLIENT_IDLE_TIMEOUT. One that waits for
    /// us is not idle.
    pub(crate) fn close_idle(&mut self, shard: &mut Shard) {
        let holds_too_much = self.holds_too_much();
        for _ in 0..IDLE_LOOKS_PER_TURN_MAX {
            let Some(idle) = &mut self.idle else { return };
            if !shard.has_room() || shard.is_congested() || holds_too_much {
                idle.crowded(self.now);
            }
            let Some(socket) = idle.next(self.now) else {
                return;
            };
            let Some(connection) = self.connections.get_mut(&socket) else {
                unreachable!("{socket:?} is watched, and not open")
            };
            let since = if connection.is_behind() {
                self.now
            } else {
                connection.fed
            };
            if idle.due_after(since) > self.now {
                connection.due = Some(idle.watch(socket, since));
                continue;
            }
            connection.due = None;
            shard.count(Counter::ClosedIdle, 1);
            self.finish(socket, shard);
        }
    }

    /// Closes the connection that has been silent longest of those that hold something of this use. One
    /// that waits for us is not silent. False where there is none.
    fn close_silent(&mut self, kind: Use, shard: &mut Shard) -> bool {
        let since = |_, it: &Connection| {
            let is_silent = it.has_noted(kind) && !it.is_behind();
            is_silent.then_some(it.heard)
        };
        self.close_longest(since, Counter::ClosedUnfinished, shard)
    }

    /// Closes the connection whose reply has waited longest to be read, `except` for one.
    fn close_unread(&mut self, except: SocketId, shard: &mut Shard) {
        let since = |socket, it: &Connection| {
            let is_unread = it.is_unread() && socket != except;
            is_unread.then_some(it.replied)
        };
        self.close_longest(since, Counter::ClosedUnread, shard);
    }

    /// Closes the connection of which something has been so for longest, and counts it; false where it
    /// is so of none.
    fn close_longest(
        &mut self,
        since: impl Fn(SocketId, &Connection) -> Option<Instant>,
        counter: Counter,
        shard: &mut Shard,
    ) -> bool {
        let all = self.connections.iter();
        let oldest = all
            .filter_map(|(socket, it)| Some((since(*socket, it)?, *socket)))
            .min_by_key(|(since, _)| *since);
        if let Some((_, socket)) = oldest {
            shard.count(counter, 1);
            self.close(socket);
        }
        oldest.is_some()
    }

    /// An answer from the shard to a question of a query connection.
    pub(crate) fn answer(&mut self, answer: Answer, shard: &mut Shard) {
        let Some(pending) = self.pending.get_mut(&answer.ticket) else {
            unreachable!(
                "an answer to a question that nobody asked: {}",
                answer.ticket
            );
        };
        if !pending.take(answer.reply) {
            return;
        }
        let Some(pending) = self.pending.remove(&answer.ticket) else {
            unreachable!("seen above")
        };
        if self.config.tells_answers
            && let Some(what) = pending.said()
        {
            self.answered.push_back((pending.socket(), what));
        }
        shard.count(Counter::QueryHits, u64::from(pending.is_hit()));
        shard.time(Latency::Query, pending.took());
        let socket = pending.socket();
        if self.connections.contains_key(&socket) {
            self.reply(socket, pending.encode(), shard);
        }
    }

    /// Sends a reply to an open connection.
    fn reply(&mut self, socket: SocketId, reply: Vec<u8>, shard: &mut Shard) {
        let Some(connection) = self.connections.get_mut(&socket) else {
            unreachable!("{socket:?} gets a reply and is not open");
        };
        connection.begin_reply(reply.capacity(), self.now);
        connection.note(&self.config.memory);
        self.commands.push_back(Command::Send(socket, reply));
        if self.config.memory.is_over(Use::Replies) {
            self.close_unread(socket, shard);
        }
    }

    fn ask(&mut self, socket: SocketId, wanted: Wanted, shard: &mut Shard) {
        self.tickets += 1;
        match query::ask(socket, self.tickets, wanted, shard) {
            Ok(pending) => {
                self.pending.insert(self.tickets, pending);
            }
            Err(reply) => self.reply(socket, reply, shard),
        }
    }

    /// True when no receiver is open any more.
    pub(crate) fn is_silent(&self) -> bool {
        self.receivers == 0
    }

    /// A query that was answered, and what was asked for and found; only where `tells_answers`.
    pub(crate) fn next_answered(&mut self) -> Option<(SocketId, String)> {
        self.answered.pop_front()
    }

    /// Something that a sender sent and was refused; only where `tells_refused`.
    pub(crate) fn next_refused(&mut self) -> Option<Said> {
        self.refused.next()
    }

    /// The next command for the loop.
    pub(crate) fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// True while commands wait to be carried out, or held bytes for the next turn.
    pub(crate) fn has_work(&self) -> bool {
        !self.commands.is_empty() || !self.unjudged.is_empty() || self.has_more
    }

    /// When stalled connections are tried again, or a silent one is looked at.
    pub(crate) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let stalled = (!self.stalled.is_empty()).then(|| now + STALL_RETRY);
        let idle = self.idle.as_ref().and_then(Idle::deadline);
        [stalled, idle].into_iter().flatten().min()
    }
}
