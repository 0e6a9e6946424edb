//! What all threads of a soak share: the regular points, when they are due, how far each connection of
//! theirs is, and whether the daemon can be held to them just now.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use benzene_engine::clock;

use super::sender::Connection;
use crate::daemon::Offered;
use crate::load::share;
use crate::progress::Done;
use crate::workload::Workload;

/// Steps behind which all that was sent must be seen.
pub(crate) const SEEN_STEPS: u32 = 2;

/// Shared by reference.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) workload: Workload,
    pub(crate) step: Duration,
    /// When round 0 begins.
    pub(crate) begin: Instant,
    pub(crate) offered: Offered,
    /// The connections of regular points.
    pub(crate) connections: Vec<Connection>,
    /// No more of what has no end of its own.
    pub(crate) stop: AtomicBool,
    /// Milliseconds since `begin` from when on everything older than two steps must be seen.
    settled_from_ms: AtomicU64,
    pub(crate) sent: Sent,
}

/// What was handed to the kernel, by kind.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Regular points, those sent again included.
    pub(crate) regular: Done,
    pub(crate) new_names: Done,
    pub(crate) udp: Done,
    pub(crate) garbage: Done,
    /// Connections of regular senders that were lost and made again.
    pub(crate) reconnects: Done,
    /// Answers of the cache query that were looked at.
    pub(crate) answers: Done,
    /// Of these, those that were wrong.
    pub(crate) faults: Done,
}

impl Scene {
    /// With so many connections, which have equal shares of the metrics.
    pub(crate) fn new(
        workload: Workload,
        step: Duration,
        begin: Instant,
        (offered, connections): (Offered, u32),
    ) -> Self {
        let shares = (0..connections)
            .map(|number| Connection::new(share(workload.metrics(), connections, number)));
        Self {
            connections: shares.collect(),
            workload,
            step,
            begin,
            offered,
            stop: AtomicBool::new(false),
            settled_from_ms: AtomicU64::new(0),
            sent: Sent::default(),
        }
    }

    /// Time since `begin`; nothing before it.
    pub(crate) fn elapsed(&self) -> Duration {
        clock::now().instant.saturating_duration_since(self.begin)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The round whose points are being sent.
    pub(crate) fn round(&self) -> u32 {
        let steps = self.elapsed().as_nanos() / self.step.as_nanos().max(1);
        u32::try_from(steps).unwrap_or(u32::MAX)
    }

    /// The daemon goes down: nothing can be asked until `goes_up`.
    pub(crate) fn goes_down(&self) {
        self.settled_from_ms.store(u64::MAX, Ordering::SeqCst);
    }

    /// The daemon is up again; senders get some time to send again what may be lost.
    pub(crate) fn goes_up(&self) {
        let settled = self.elapsed() + (SEEN_STEPS * self.step).max(Duration::from_secs(5));
        let millis = u64::try_from(settled.as_millis()).unwrap_or(u64::MAX);
        self.settled_from_ms.store(millis, Ordering::SeqCst);
    }

    /// Whether everything older than two steps must be seen.
    pub(crate) fn is_settled(&self) -> bool {
        let from = self.settled_from_ms.load(Ordering::SeqCst);
        self.elapsed().as_millis() >= u128::from(from)
    }
}
