//! What the order `deadline` notes of a series: since when it has points, and how long these may be
//! held. It lies in the 56 bits of the record that are a tick for the other orders.
//! Invariant: while a series is in the order, the part of this that its list follows from (`since`,
//! `class`, `is_hurried`, `is_backfill`) does not change.

use crate::limits::HOLD_CLASSES_MAX;

/// What is noted of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// When its oldest cached point was received, or earlier, in the seconds of `ages`. The series'
    /// stamp there is never later; this follows from timestamps where an update left points behind.
    pub(super) since: u32,
    /// How long its points may be held: number of the hold in the order.
    pub(super) class: u8,
    /// It is to be written at once, this time.
    pub(super) is_hurried: bool,
    /// It is a backfill: held for no longer, this time.
    pub(super) is_backfill: bool,
    /// Its next update takes all of its points: since the last take came one older than all that
    /// were cached, or one from the future.
    pub(super) is_whole: bool,
    /// So many seconds after the series' stamp its last update took its points: what an update
    /// left behind then is older than that, and what has come since is not.
    pub(super) taken_after_s: u16,
}

/// Beside the class.
const BACKFILL: u8 = 0x80;
const _: () = assert!(HOLD_CLASSES_MAX <= BACKFILL as usize);
const HURRIED: u8 = 0x80;
const WHOLE: u8 = 0x40;
/// Largest `taken_after_s`; a longer time is noted as this, which makes stamps earlier only.
pub(super) const TAKEN_AFTER_S_MAX: u16 = 0x3fff;

impl Due {
    /// As 56 bits.
    pub(super) fn pack(self) -> u64 {
        assert!(
            self.taken_after_s <= TAKEN_AFTER_S_MAX,
            "{} seconds do not fit in 14 bits",
            self.taken_after_s
        );
        assert!(self.class < BACKFILL, "there is no class {}", self.class);
        let [a, b, c, d] = self.since.to_le_bytes();
        let [low, high] = self.taken_after_s.to_le_bytes();
        let hurried = if self.is_hurried { HURRIED } else { 0 };
        let whole = if self.is_whole { WHOLE } else { 0 };
        let class = self.class | if self.is_backfill { BACKFILL } else { 0 };
        u64::from_le_bytes([a, b, c, d, class, low, high | hurried | whole, 0])
    }

    /// What `pack` made of it.
    pub(super) fn unpack(bits: u64) -> Self {
        let [a, b, c, d, class, low, high, _] = bits.to_le_bytes();
        Self {
            since: u32::from_le_bytes([a, b, c, d]),
            class: class & !BACKFILL,
            is_backfill: class & BACKFILL != 0,
            is_hurried: high & HURRIED != 0,
            is_whole: high & WHOLE != 0,
            taken_after_s: u16::from_le_bytes([low, high & !(HURRIED | WHOLE)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(
            (since, class) in (any::<u32>(), 0..BACKFILL),
            (is_hurried, is_backfill, is_whole) in any::<(bool, bool, bool)>(),
            taken_after_s in 0..=TAKEN_AFTER_S_MAX,
        ) {
            let due = Due { since, class, is_hurried, is_backfill, is_whole, taken_after_s };
            prop_assert!(due.pack() < 1 << 56);
            prop_assert_eq!(Due::unpack(due.pack()), due);
        }
    }
}
