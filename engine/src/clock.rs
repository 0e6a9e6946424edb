//! Time: the only place that reads a clock.
//! `Instant` is monotonic and for intervals; `unix_seconds` is the wall clock that Whisper ages
//! points by. A shard reads both once a loop turn and hands them down, so that its state machine
//! never asks the kernel for the time itself and a simulator can set it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Both clocks, read together.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For intervals, deadlines and token buckets; never goes back.
    pub instant: Instant,
    /// Wall clock, whole seconds since the Unix epoch.
    pub unix_seconds: u32,
}

/// Reads both clocks.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the room that owns the clocks"
)]
pub fn now() -> Now {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    Now {
        instant: Instant::now(),
        unix_seconds: u32::try_from(wall).unwrap_or(u32::MAX),
    }
}
