//! What all threads of a soak share: the regular points, when they are due, how far each connection of
//! theirs is, and whether the daemon can be held to them just now.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::daemon::Offered;
use crate::load::even::{Connection, Pace};
use crate::load::share;
use crate::progress::Done;
use crate::workload::Workload;

/// Steps behind which all that was sent must be seen.
pub(crate) const SEEN_STEPS: u32 = 2;

/// Shared by reference.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) pace: Pace,
    pub(crate) offered: Offered,
    /// The connections of regular points.
    pub(crate) connections: Vec<Connection>,
    /// Milliseconds since `begin` from when on everything older than two steps must be seen.
    settled_from_ms: AtomicU64,
    pub(crate) sent: Sent,
}

/// What was handed to the kernel besides regular points, by kind.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) new_names: Done,
    pub(crate) udp: Done,
    pub(crate) garbage: Done,
    /// Answers of the cache query that were looked at.
    pub(crate) answers: Done,
    /// Of these, those that were wrong.
    pub(crate) faults: Done,
}

impl Scene {
    /// Round 0 begins then; so many connections have equal shares of the metrics.
    pub(crate) fn new(
        workload: Workload,
        begin: Instant,
        (offered, connections): (Offered, u32),
    ) -> Self {
        let shares = (0..connections)
            .map(|number| Connection::new(share(workload.metrics(), connections, number)));
        let shares = shares.collect();
        let mut pace = Pace::new(workload, begin);
        pace.resent_steps = SEEN_STEPS;
        Self {
            connections: shares,
            pace,
            offered,
            settled_from_ms: AtomicU64::new(0),
            sent: Sent::default(),
        }
    }

    /// The daemon goes down: nothing can be asked until `goes_up`.
    pub(crate) fn goes_down(&self) {
        self.settled_from_ms.store(u64::MAX, Ordering::SeqCst);
    }

    /// The daemon is up again; senders get some time to send again what may be lost.
    pub(crate) fn goes_up(&self) {
        let settled =
            self.pace.elapsed() + (SEEN_STEPS * self.pace.step()).max(Duration::from_secs(5));
        let millis = u64::try_from(settled.as_millis()).unwrap_or(u64::MAX);
        self.settled_from_ms.store(millis, Ordering::SeqCst);
    }

    /// Whether everything older than two steps must be seen.
    pub(crate) fn is_settled(&self) -> bool {
        let from = self.settled_from_ms.load(Ordering::SeqCst);
        self.pace.elapsed().as_millis() >= u128::from(from)
    }
}
