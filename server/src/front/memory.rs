//! What the connections of all cores hold together, by its use. Each use has a bound of its own, so that
//! who fills one takes nothing from the others.
//! Each core publishes what its connections hold. One that finds a use over its bound does something
//! about it with connections of its own: it closes one of them, or decodes or reads nothing for a while.

use std::sync::atomic::{AtomicI64, Ordering};

use benzene_engine::limits::{
    DECODED_BYTES_MAX, GZIP_STREAMS_BYTES_MAX, HELD_TOGETHER_BYTES_MAX, REPLIES_BYTES_MAX,
    UNFINISHED_BYTES_MAX,
};

/// What a connection holds memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Lines and frames whose end has not come.
    Unfinished,
    /// The unpackers of compressed streams.
    Streams,
    /// Decoded frames with items that found no room, or no time in their turn.
    Decoded,
    /// Replies that their clients have not read, and what these have sent ahead.
    Replies,
    /// What senders have sent and found no room, or no time in its turn.
    Held,
}

impl Use {
    /// All of them, in the order of their numbers.
    pub(super) const ALL: [Use; 5] = [
        Use::Unfinished,
        Use::Streams,
        Use::Decoded,
        Use::Replies,
        Use::Held,
    ];

    fn bytes_max(self) -> usize {
        match self {
            Use::Unfinished => UNFINISHED_BYTES_MAX,
            Use::Streams => GZIP_STREAMS_BYTES_MAX,
            Use::Decoded => DECODED_BYTES_MAX,
            Use::Replies => REPLIES_BYTES_MAX,
            Use::Held => HELD_TOGETHER_BYTES_MAX,
        }
    }
}

/// The sums of the process, in bytes, by use.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    bytes: [AtomicI64; Use::ALL.len()],
}

impl Memory {
    /// Adds what came (positive) or went (negative).
    pub(super) fn publish(&self, kind: Use, delta_bytes: i64) {
        if delta_bytes != 0 {
            self.bytes[kind as usize].fetch_add(delta_bytes, Ordering::Relaxed);
        }
    }

    /// True when the sum is over its bound.
    pub(super) fn is_over(&self, kind: Use) -> bool {
        usize::try_from(self.bytes[kind as usize].load(Ordering::Relaxed))
            .is_ok_and(|bytes| bytes > kind.bytes_max())
    }
}
