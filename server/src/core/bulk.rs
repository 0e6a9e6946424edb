//! What receivers brought and what is not worked off yet, in the order in which it came.
//! The bytes stay in the ring's receive buffers: while they wait here the kernel has fewer of them,
//! and in the end none, so that senders are slowed and nothing is copied. The end of a socket queues
//! behind its bytes. Bounded by the ring's receive buffers, and one end for each socket.

use std::collections::VecDeque;

use benzene_engine::ring::{End, Lease, SocketId};

/// What waits.
#[derive(Debug)]
pub(super) enum Waiting {
    /// Bytes of a socket, from `at` on.
    Bytes {
        socket: SocketId,
        lease: Lease,
        at: usize,
    },
    /// The end of one.
    Ended { socket: SocketId, cause: End },
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    queue: VecDeque<Waiting>,
}

impl Bulk {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn push_bytes(&mut self, socket: SocketId, lease: Lease) {
        let at = 0;
        self.queue.push_back(Waiting::Bytes { socket, lease, at });
    }

    pub(super) fn push_end(&mut self, socket: SocketId, cause: End) {
        self.queue.push_back(Waiting::Ended { socket, cause });
    }

    /// The oldest; its bytes come back by `put_back`, or their lease is released.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        self.queue.pop_front()
    }

    /// Bytes are worked off up to `at`; the rest goes first in the next turn.
    pub(super) fn put_back(&mut self, socket: SocketId, lease: Lease, at: usize) {
        assert!(at < lease.len(), "{at} of {} bytes", lease.len());
        self.queue.push_front(Waiting::Bytes { socket, lease, at });
    }
}
