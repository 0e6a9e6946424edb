//! The bytes of unfinished lines and frames, of all connections of the process together.
//! Each core publishes what its connections hold; a core that finds the sum over the bound closes
//! the oldest silent connection of its own.

use std::sync::atomic::{AtomicI64, Ordering};

use benzene_engine::limits::UNFINISHED_BYTES_MAX;

/// The process-wide sum.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    bytes: AtomicI64,
}

impl Unfinished {
    /// Adds what came (positive) or went (negative).
    pub(super) fn publish(&self, delta_bytes: i64) {
        if delta_bytes != 0 {
            self.bytes.fetch_add(delta_bytes, Ordering::Relaxed);
        }
    }

    /// True when the sum is over its bound.
    pub(super) fn is_over(&self) -> bool {
        usize::try_from(self.bytes.load(Ordering::Relaxed))
            .is_ok_and(|bytes| bytes > UNFINISHED_BYTES_MAX)
    }
}
