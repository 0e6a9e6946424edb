//! Messages for one other shard that have not left yet.
//! Points are gathered into batches, so that a message and a wake-up serve hundreds of them.
//! Bounded: past `limits::OUTBOX_MESSAGES_MAX` messages the shard takes no more points for that
//! target. Questions and answers are bounded by the connections that wait for them.

use std::collections::VecDeque;

use super::message::{Message, Origin, PointBatch};
use crate::limits::{BATCH_POINTS_MAX, OUTBOX_MESSAGES_MAX};
use crate::point::Point;

/// The messages that wait for one shard, oldest first, and the batch being gathered.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Message>,
    batch: PointBatch,
}

impl Outbox {
    /// True when no more points may be pushed.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= OUTBOX_MESSAGES_MAX
    }

    /// True when nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.batch.is_empty()
    }

    /// Adds a point to the batch being gathered.
    pub(super) fn push_point(&mut self, name: &str, point: Point, origin: Origin) {
        if self.batch.origin() != origin || self.batch.len() >= BATCH_POINTS_MAX {
            self.seal();
        }
        self.batch.push(name, point, origin);
    }

    /// Adds a message behind everything pushed so far.
    pub(super) fn push(&mut self, message: Message) {
        self.seal();
        self.queue.push_back(message);
    }

    /// Puts a message back that could not be delivered.
    pub(super) fn push_front(&mut self, message: Message) {
        self.queue.push_front(message);
    }

    /// Takes the oldest message.
    pub(super) fn pop(&mut self) -> Option<Message> {
        if self.queue.is_empty() {
            self.seal();
        }
        self.queue.pop_front()
    }

    fn seal(&mut self) {
        if !self.batch.is_empty() {
            self.queue
                .push_back(Message::Points(std::mem::take(&mut self.batch)));
        }
    }
}
