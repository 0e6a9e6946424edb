//! METRIC_CLIENT_IDLE_TIMEOUT: which connections have sent no accepted point for too long.
//! Each connection stands once in an ordered set, under a time before which it cannot be too late;
//! points do not move it. When that time has come it is looked at: it is closed, or it has sent
//! something since and goes back under its new time. So a point costs nothing, and a turn looks at
//! `limits::IDLE_LOOKS_PER_TURN_MAX` connections at most.
//! Time in which this core did not read, because the cache was full or too much waited for room, is
//! nobody's silence.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use benzene_engine::ring::SocketId;

/// The connections, by when they are looked at next.
#[derive(Debug)]
pub(super) struct Idle {
    after: Duration,
    due: BTreeSet<(Instant, SocketId)>,
    /// When senders last had to wait for us.
    crowded: Option<Instant>,
}

impl Idle {
    pub(super) fn new(after: Duration) -> Self {
        Self {
            after,
            due: BTreeSet::new(),
            crowded: None,
        }
    }

    /// Begins or goes on with a connection that was silent from `since` on; answers when it is
    /// looked at.
    pub(super) fn watch(&mut self, socket: SocketId, since: Instant) -> Instant {
        let due = self.due_after(since);
        self.due.insert((due, socket));
        due
    }

    /// Forgets a connection that was to be looked at then.
    pub(super) fn forget(&mut self, socket: SocketId, due: Instant) {
        self.due.remove(&(due, socket));
    }

    /// Senders have to wait for us just now.
    pub(super) fn crowded(&mut self, now: Instant) {
        self.crowded = Some(now);
    }

    /// A connection whose time has come.
    pub(super) fn next(&mut self, now: Instant) -> Option<SocketId> {
        let (due, _) = self.due.first()?;
        if *due > now {
            return None;
        }
        self.due.pop_first().map(|(_, socket)| socket)
    }

    /// When it is too late for a connection that was silent from `since` on.
    pub(super) fn due_after(&self, since: Instant) -> Instant {
        self.crowded.map_or(since, |at| at.max(since)) + self.after
    }

    /// When there is something to look at.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }
}
