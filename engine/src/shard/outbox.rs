//! Messages for one other shard that have not left yet.
//! Points are gathered into batches, so that a message and a wake-up serve hundreds of them.
//! Bounded: past `limits::OUTBOX_MESSAGES_MAX` messages the shard takes no more points for that
//! target. Questions and answers are bounded by the connections that wait for them.

use std::collections::VecDeque;

use super::message::{Message, Origin, PointBatch, RoutePoint};
use super::routes::RouteId;
use crate::limits::OUTBOX_MESSAGES_MAX;
use crate::metric::ShardIndex;

/// The messages that wait for one shard, oldest first, and the batch being gathered.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Whose messages these are.
    from: ShardIndex,
    queue: VecDeque<Message>,
    batch: PointBatch,
}

impl Outbox {
    /// Nothing of the shard `from` waits.
    pub(super) fn new(from: ShardIndex) -> Self {
        Self {
            from,
            queue: VecDeque::new(),
            batch: PointBatch::default(),
        }
    }

    /// True when no more points may be pushed.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= OUTBOX_MESSAGES_MAX
    }

    /// Received points that wait here.
    pub(super) fn received(&self) -> usize {
        let queued = self.queue.iter().filter_map(|message| match message {
            Message::Points(_, batch) => Some(batch),
            Message::Question(_) | Message::Answer(_) => None,
        });
        queued
            .chain([&self.batch])
            .filter(|batch| batch.origin() == Origin::Received)
            .map(PointBatch::len)
            .sum()
    }

    /// True when nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.batch.is_empty()
    }

    /// Adds a point of a route that has begun.
    #[inline]
    pub(super) fn push_point(&mut self, point: RoutePoint, origin: Origin) {
        if self.batch.is_full() || self.batch.origin() != origin {
            self.seal();
        }
        self.batch.push(point, origin);
    }

    /// Says what a route means, with its first point.
    pub(super) fn begin_route(&mut self, name: &str, point: RoutePoint, origin: Origin) {
        if self.batch.is_full() || self.batch.origin() != origin {
            self.seal();
        }
        self.batch.begin(point.route, name);
        self.batch.push(point, origin);
    }

    /// Says that a route means nothing any more.
    pub(super) fn end_route(&mut self, route: RouteId) {
        if self.batch.is_full() {
            self.seal();
        }
        self.batch.end(route);
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
                .push_back(Message::Points(self.from, std::mem::take(&mut self.batch)));
        }
    }
}
