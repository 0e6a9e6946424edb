//! One connection: its protocol's state, and the bytes it has sent for which there was no room.
//! Invariant: while anything is held, or a reply is on its way, later bytes go behind `held`,
//! so that everything is worked on in the order in which it came.

use std::time::Instant;

use benzene_engine::limits::{
    HELD_BYTES_MAX, LAST_LOOK_BYTES_MIN, LAST_LOOKS_MAX, LAST_READ_SILENCE,
    LAST_READ_TOTAL_BYTES_MAX, QUERY_FRAME_BYTES_MAX, TURN_BYTES_PER_ITEM, TURN_ITEMS_MAX,
};
use benzene_engine::ring::ReceiveNow;
use benzene_engine::shard::{Shard, Trail};
use benzene_engine::stats::Counter;

use super::Entrance;
use super::batches::Batches;
use super::gate::Unjudged;
use super::intake::{Intake, Taken};
use super::lines::Lines;
use super::memory::{Memory, Use};
use super::query::Wanted;
use super::refused::Refused;
use crate::config::Service;
use crate::wire::batch::Batch;
use crate::wire::frame::Frames;
use crate::wire::pickle::Machine;
use crate::wire::{Refusal, carbonlink};

/// What the work on a connection's bytes needs of its core.
#[derive(Debug)]
pub(super) struct Means<'a> {
    pub(super) intake: &'a mut Intake,
    pub(super) machine: &'a mut Machine,
    /// A batch for a frame under way, so that connections keep none between frames.
    pub(super) batch: &'a mut Batch,
    /// How many items of decoded frames may still be taken in this turn.
    pub(super) items: usize,
    /// What unpacking may still cost in this turn, in bytes of lines.
    pub(super) allowance: usize,
    /// What all connections hold together.
    pub(super) memory: &'a Memory,
    /// A point was accepted.
    pub(super) fed: bool,
    pub(super) shard: &'a mut Shard,
    /// What is to be said of what was refused.
    pub(super) refused: &'a mut Refused,
}

impl Means<'_> {
    /// What the work has come to, in bytes of lines, of so many that unpacking might cost.
    pub(super) fn cost(&self, allowance: usize) -> usize {
        let items = (TURN_ITEMS_MAX - self.items) * TURN_BYTES_PER_ITEM;
        (allowance - self.allowance).max(items)
    }
}

/// How far the bytes at hand were worked on.
#[derive(Debug)]
pub(super) enum Progress {
    /// To their end.
    Done,
    /// Up to a point that found no room.
    Stalled,
    /// Up to a point whose name is to be judged in a later turn.
    Unjudged,
    /// As far as was allowed; there is more.
    Paused,
    /// Up to a request, which is to be answered first.
    Asked(Wanted),
    /// Not at all any more: the connection is to be closed.
    Broken,
}

/// Whether a receiver is being read for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    No,
    Wanted,
}

/// What follows a last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastRead {
    /// Another, at once.
    Another,
    /// Another, when there was time for more to come.
    Later,
    /// Nothing.
    End,
}

/// What a protocol keeps between two receives.
#[derive(Debug)]
enum Talk {
    Line(Lines),
    Datagram,
    Batches(Batches),
    Query(Frames),
}

/// Bytes that came, and how far they were worked on.
pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: &'a mut usize,
}

/// One open socket.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "receiving, stopping, stalled, replying, ended and left come and go independently"
)]
pub(super) struct Connection {
    pub(super) entrance: Entrance,
    talk: Talk,
    /// Where its sender stands in the order of its metrics.
    trail: Trail,
    /// Received and, from `held_at` on, not worked on yet.
    held: Vec<u8>,
    held_at: usize,
    /// The loop receives from it.
    pub(super) receiving: bool,
    /// The loop was told to stop receiving and has not said yet that it did.
    pub(super) stopping: bool,
    /// It waits in one of the front's lines of stalled connections.
    pub(super) stalled: bool,
    /// What is known of the name with which it waits, where it has to be judged.
    unjudged: Option<Box<Unjudged>>,
    /// A reply is being found or sent.
    pub(super) replying: bool,
    /// Of the reply that is being sent.
    reply_bytes: usize,
    /// When that began.
    pub(super) replied: Instant,
    /// Nothing more will be received.
    pub(super) ended: bool,
    /// The other side has ended it, or it broke.
    pub(super) left: bool,
    pub(super) last: Last,
    last_bytes: usize,
    /// Last reads that found nothing.
    last_looks: u32,
    /// What had come at the last one.
    looked_bytes: usize,
    /// When bytes last came.
    pub(super) heard: Instant,
    /// When a point of it was last accepted, or it was opened.
    pub(super) fed: Instant,
    /// When it is looked at next for having sent nothing, where that is done.
    pub(super) due: Option<Instant>,
    /// What it was last said to hold, by use.
    noted: [i64; Use::ALL.len()],
}

impl Connection {
    pub(super) fn new(entrance: Entrance, pickle_frame_bytes_max: usize, now: Instant) -> Self {
        let talk = match entrance.service {
            Service::Line => Talk::Line(Lines::default()),
            Service::Datagram => Talk::Datagram,
            Service::Pickle => Talk::Batches(Batches::pickle(pickle_frame_bytes_max)),
            Service::Protobuf => Talk::Batches(Batches::protobuf()),
            Service::Query => Talk::Query(Frames::new(QUERY_FRAME_BYTES_MAX)),
        };
        Self {
            entrance,
            talk,
            trail: Trail::default(),
            held: Vec::new(),
            held_at: 0,
            receiving: true,
            stopping: false,
            stalled: false,
            unjudged: None,
            replying: false,
            reply_bytes: 0,
            replied: now,
            ended: false,
            left: false,
            last: Last::No,
            last_bytes: 0,
            last_looks: 0,
            looked_bytes: 0,
            heard: now,
            fed: now,
            due: None,
            noted: [0; Use::ALL.len()],
        }
    }

    /// What it is for.
    pub(super) fn service(&self) -> Service {
        self.entrance.service
    }

    /// True while later bytes must wait behind earlier ones.
    pub(super) fn is_behind(&self) -> bool {
        self.stalled || self.replying || self.held_at < self.held.len()
    }

    /// Puts bytes behind what is held. True when a sender that does not wait for its replies has
    /// sent so much that it is to be read no more for now.
    pub(super) fn hold(&mut self, bytes: &[u8]) -> bool {
        if self.held_at > self.held.len() / 2 {
            self.held.drain(..self.held_at);
            self.held_at = 0;
        }
        // The last line of a datagram needs no newline, and is not the next one's first.
        if self.service() == Service::Datagram
            && self.held.last().is_some_and(|last| *last != b'\n')
        {
            self.held.push(b'\n');
        }
        self.held.extend_from_slice(bytes);
        self.held_bytes() > HELD_BYTES_MAX
    }

    /// How many bytes are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.len() - self.held_at
    }

    /// How many of these bytes, `bytes_max` or about as many, can be worked on by themselves: a
    /// datagram is cut behind a line only; one without a newline is short work or none.
    pub(super) fn cut(&self, bytes: &[u8], bytes_max: usize) -> usize {
        if bytes.len() <= bytes_max {
            return bytes.len();
        }
        if self.service() == Service::Datagram {
            let line_end = memchr::memrchr(b'\n', &bytes[..bytes_max]);
            return line_end.map_or(bytes.len(), |at| at + 1);
        }
        bytes_max
    }

    /// Works on at most `bytes_max` of what is held; what is left stays held.
    pub(super) fn work_held(&mut self, bytes_max: usize, means: &mut Means<'_>) -> Progress {
        let (held, mut at) = (std::mem::take(&mut self.held), self.held_at);
        self.held_at = 0;
        let end = at + self.cut(&held[at..], bytes_max);
        let progress = self.work(&held[..end], &mut at, means);
        if at == held.len() {
            return progress;
        }
        (self.held, self.held_at) = (held, at);
        match progress {
            Progress::Done => Progress::Paused,
            Progress::Stalled
            | Progress::Unjudged
            | Progress::Paused
            | Progress::Asked(_)
            | Progress::Broken => progress,
        }
    }

    /// Works on `bytes` from `at` on, as far as there is room; `at` tells how far.
    pub(super) fn work(&mut self, bytes: &[u8], at: &mut usize, means: &mut Means<'_>) -> Progress {
        means.intake.begin_work(self.unjudged.take());
        let progress = self.work_on(bytes, at, means);
        let unjudged = means.intake.end_work();
        self.unjudged = match progress {
            Progress::Stalled | Progress::Unjudged => unjudged,
            Progress::Done | Progress::Paused | Progress::Asked(_) | Progress::Broken => None,
        };
        progress
    }

    fn work_on(&mut self, bytes: &[u8], at: &mut usize, means: &mut Means<'_>) -> Progress {
        let trail = &mut self.trail;
        match &mut self.talk {
            Talk::Line(lines) => lines.work(trail, Input { bytes, at }, means),
            Talk::Batches(batches) => batches.work(trail, Input { bytes, at }, means),
            Talk::Query(frames) => match frames.next(bytes, at) {
                None => Progress::Done,
                Some(Ok(frame)) => {
                    let request =
                        carbonlink::decode_request(frame, means.machine).map(Wanted::from);
                    frames.release();
                    match request {
                        Ok(wanted) => Progress::Asked(wanted),
                        Err(error) => {
                            means.shard.count(error.counter(), 1);
                            Progress::Broken
                        }
                    }
                }
                Some(Err(_)) => {
                    means.shard.count(Counter::RefusedQuery, 1);
                    Progress::Broken
                }
            },
            Talk::Datagram => {
                let (shard, refused) = (&mut *means.shard, &mut *means.refused);
                let (done, taken) = means
                    .intake
                    .datagram(trail, &bytes[*at..], (shard, refused));
                *at += done;
                match taken {
                    Taken::Done | Taken::Refused | Taken::BadName => Progress::Done,
                    Taken::NoRoom => Progress::Stalled,
                    Taken::Unjudged => Progress::Unjudged,
                }
            }
        }
    }

    /// Ends the stream: whether it was cut off inside a line or a frame.
    pub(super) fn finish(&mut self) -> Result<(), Refusal> {
        match &mut self.talk {
            Talk::Line(lines) => lines.finish(),
            Talk::Batches(batches) => batches.finish(),
            Talk::Query(frames) => frames.finish(),
            Talk::Datagram => Ok(()),
        }
    }

    /// A reply of so many bytes is sent from now on.
    pub(super) fn begin_reply(&mut self, bytes: usize, now: Instant) {
        self.reply_bytes = bytes;
        self.replied = now;
    }

    /// The reply is read, or its client gone.
    pub(super) fn end_reply(&mut self) {
        self.replying = false;
        self.reply_bytes = 0;
    }

    /// Whether a reply of it has gone out and is not read.
    pub(super) fn is_unread(&self) -> bool {
        self.reply_bytes > 0
    }

    /// Publishes what it has come to hold, or to hold no longer, since the last call. Says whether that
    /// is a compressed stream more.
    pub(super) fn note(&mut self, memory: &Memory) -> bool {
        let before = self.noted;
        for kind in Use::ALL {
            let bytes = i64::try_from(self.holds(kind)).unwrap_or(i64::MAX);
            memory.publish(kind, bytes - before[kind as usize]);
            self.noted[kind as usize] = bytes;
        }
        self.noted[Use::Streams as usize] > before[Use::Streams as usize]
    }

    /// Publishes that it holds nothing any more.
    pub(super) fn note_gone(&self, memory: &Memory) {
        for kind in Use::ALL {
            memory.publish(kind, -self.noted[kind as usize]);
        }
    }

    /// Whether it was last said to hold something of that use.
    pub(super) fn has_noted(&self, kind: Use) -> bool {
        self.noted[kind as usize] > 0
    }

    fn holds(&self, kind: Use) -> usize {
        match (kind, &self.talk) {
            (Use::Unfinished, Talk::Line(lines)) => lines.pending_bytes(),
            (Use::Unfinished, Talk::Batches(batches)) => batches.pending_bytes(),
            (Use::Unfinished, Talk::Query(frames)) => frames.pending_bytes(),
            (Use::Streams, Talk::Line(lines)) => lines.unpacker_bytes(),
            (Use::Decoded, Talk::Batches(batches)) => batches.decoded_bytes(),
            // Not with what senders hold, which would wait for a client that does not read.
            (Use::Replies, Talk::Query(_)) => self.reply_bytes + self.held.capacity(),
            (Use::Held, Talk::Line(_) | Talk::Datagram | Talk::Batches(_)) => self.held.capacity(),
            (Use::Unfinished | Use::Streams | Use::Decoded | Use::Replies | Use::Held, _) => 0,
        }
    }

    /// What follows a last read: not for ever another one where a sender keeps filling the socket, and
    /// where there is nothing one that waits for more only as long as there is time.
    pub(super) fn after_last_read(
        &mut self,
        bytes: usize,
        outcome: &ReceiveNow,
        now: Instant,
        has_time: bool,
    ) -> LastRead {
        self.last_bytes += bytes;
        match outcome {
            ReceiveNow::Bytes(_) if self.last_bytes < LAST_READ_TOTAL_BYTES_MAX => {
                LastRead::Another
            }
            ReceiveNow::Bytes(_) => LastRead::End,
            ReceiveNow::Empty => {
                // What comes so fast is on its way for as long as the network takes.
                let is_slow = self.last_bytes - self.looked_bytes < LAST_LOOK_BYTES_MIN;
                self.looked_bytes = self.last_bytes;
                self.last_looks += u32::from(is_slow);
                let silence = now.saturating_duration_since(self.heard);
                // A datagram has no sender's kernel that holds it.
                let is_waited_for = has_time
                    && self.service() != Service::Datagram
                    && silence < LAST_READ_SILENCE
                    && self.last_looks < LAST_LOOKS_MAX;
                if is_waited_for {
                    LastRead::Later
                } else {
                    LastRead::End
                }
            }
            ReceiveNow::Closed | ReceiveNow::Failed(_) => {
                self.left = true;
                LastRead::End
            }
        }
    }
}
