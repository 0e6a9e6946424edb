//! Messages for one other shard that have not left yet.
//! Points are gathered into batches, so that a message and a wake-up serve hundreds of them.
//! Answers leave before all else: a target that takes no points, for its journal's disk hangs, takes
//! them, and who asked there does not wait for that disk.
//! Bounded: past `limits::OUTBOX_MESSAGES_MAX` messages the shard takes no more points for that
//! target. Questions and answers are bounded by the connections that wait for them.

use std::collections::VecDeque;

use super::message::{Message, Origin, PointBatch};
use super::routes::RouteId;
use crate::limits::OUTBOX_MESSAGES_MAX;
use crate::metric::ShardIndex;
use crate::point::Point;

/// The messages that wait for one shard, oldest first, and the batch being gathered.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Whose messages these are.
    from: ShardIndex,
    answers: VecDeque<Message>,
    /// All others.
    queue: VecDeque<Message>,
    batch: PointBatch,
}

impl Outbox {
    /// Nothing of the shard `from` waits.
    pub(super) fn new(from: ShardIndex) -> Self {
        Self {
            from,
            answers: VecDeque::new(),
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
        self.answers.is_empty() && self.queue.is_empty() && self.batch.is_empty()
    }

    /// Adds a point of a route that has begun.
    #[inline]
    pub(super) fn push_point(&mut self, route: RouteId, point: Point, origin: Origin) {
        if self.batch.is_full() || self.batch.origin() != origin {
            self.seal();
        }
        self.batch.push(route, point, origin);
    }

    /// Says what a route means, with its first point.
    pub(super) fn begin_route(
        &mut self,
        (route, name): (RouteId, &str),
        point: Point,
        origin: Origin,
    ) {
        if self.batch.is_full() || self.batch.origin() != origin {
            self.seal();
        }
        self.batch.begin(route, name);
        self.batch.push(route, point, origin);
    }

    /// Says that a route means nothing any more.
    pub(super) fn end_route(&mut self, route: RouteId) {
        if self.batch.is_full() {
            self.seal();
        }
        self.batch.end(route);
    }

    /// Adds a message behind everything pushed so far; an answer behind the answers.
    pub(super) fn push(&mut self, message: Message) {
        match message {
            Message::Answer(_) => self.answers.push_back(message),
            Message::Question(_) | Message::Points(..) => {
                self.seal();
                self.queue.push_back(message);
            }
        }
    }

    /// Puts a message back that could not be delivered.
    pub(super) fn push_front(&mut self, message: Message) {
        match message {
            Message::Answer(_) => self.answers.push_front(message),
            Message::Question(_) | Message::Points(..) => self.queue.push_front(message),
        }
    }

    /// Takes the oldest answer, and where there is none the oldest message.
    pub(super) fn pop(&mut self) -> Option<Message> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::{Answer, Reply};

    fn answer(ticket: u64) -> Message {
        Message::Answer(Answer {
            ticket,
            reply: Reply::Points(Vec::new()),
        })
    }

    fn ticket(message: Option<Message>) -> Option<u64> {
        match message? {
            Message::Answer(answer) => Some(answer.ticket),
            Message::Question(_) | Message::Points(..) => None,
        }
    }

    #[test]
    fn answers_leave_before_points_that_find_no_room() {
        let mut outbox = Outbox::new(ShardIndex(0));
        let point = Point {
            timestamp: 1,
            value: 1.0,
        };
        outbox.begin_route((RouteId(0), "a"), point, Origin::Received);
        outbox.push(answer(1));
        assert_eq!(ticket(outbox.pop()), Some(1));
        let points = outbox.pop().unwrap();
        assert!(outbox.is_empty());
        outbox.push_front(points);
        outbox.push(answer(2));
        outbox.push(answer(3));
        assert_eq!(ticket(outbox.pop()), Some(2));
        let third = outbox.pop().unwrap();
        outbox.push_front(third);
        assert_eq!(
            ticket(outbox.pop()),
            Some(3),
            "one that found no room goes first"
        );
        assert_eq!(outbox.received(), 1);
        assert!(matches!(outbox.pop(), Some(Message::Points(..))));
        assert!(outbox.is_empty());
    }
}
