//! Where messages for one core wait: bounded, without locks, any thread may push.
//! A full inbox refuses and gives the message back; the sender keeps it and stops reading the
//! connections it came from, so that a busy core slows its senders and loses nothing.

use crossbeam_queue::ArrayQueue;

use crate::limits::INBOX_MESSAGES_MAX;

/// The inbox of one core.
#[derive(Debug)]
pub struct Inbox<T> {
    queue: ArrayQueue<T>,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self {
            queue: ArrayQueue::new(INBOX_MESSAGES_MAX),
        }
    }
}

impl<T> Inbox<T> {
    /// Puts a message in, or gives it back when the inbox is full.
    pub fn push(&self, message: T) -> Result<(), T> {
        self.queue.push(message)
    }

    /// Takes the oldest message out.
    pub fn pop(&self) -> Option<T> {
        self.queue.pop()
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
