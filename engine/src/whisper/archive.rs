//! One archive of a file: a ring of slots, each of which holds the point of one interval.
//! The point in the first slot is the base: an interval's slot is counted from it, modulo the
//! number of points, so that time may run in both directions.
//! Invariant: the slot of an interval does not change when another point of the same ring comes to
//! lie in the first slot; therefore a base is read once a plan.

use crate::point::Point;

use super::codec::{self, POINT_BYTES};

/// An archive as a file's header describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Seconds per point.
    pub step_s: u32,
    /// Number of slots.
    pub points: u32,
}

impl Archive {
    /// How far back it reaches, in seconds. Fits the file's own field of 32 bits only where the
    /// header was made by a sane program.
    pub fn retention_s(&self) -> u64 {
        u64::from(self.step_s) * u64::from(self.points)
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        u64::from(self.points) * POINT_BYTES as u64
    }

    /// The beginning of the interval that holds `timestamp`.
    pub(super) fn align(&self, timestamp: u32) -> u32 {
        timestamp - timestamp % self.step_s
    }

    /// The slot of `interval` in an archive whose first slot holds `base`. Division and remainder
    /// round down, as Python's do.
    pub(super) fn slot(&self, base: u32, interval: i64) -> u32 {
        let distance = (interval - i64::from(base)).div_euclid(i64::from(self.step_s));
        let slot = distance.rem_euclid(i64::from(self.points));
        let Ok(slot) = u32::try_from(slot) else {
            unreachable!("slot {slot} of {}", self.points)
        };
        slot
    }

    /// Where a slot begins, in bytes from the start of the file.
    pub(super) fn slot_offset(&self, slot: u32) -> u64 {
        assert!(slot < self.points, "slot {slot} of {}", self.points);
        self.offset + u64::from(slot) * POINT_BYTES as u64
    }

    /// How many slots Python reads for `wanted` consecutive intervals: that many, but where they
    /// lap the ring only what is left after whole laps, and a whole ring instead of nothing.
    pub(super) fn slots_read(&self, wanted: u64) -> u32 {
        let rest = wanted % u64::from(self.points);
        let Ok(rest) = u32::try_from(rest) else {
            unreachable!("{rest} of {} slots", self.points)
        };
        if rest == 0 { self.points } else { rest }
    }

    /// `count` slots from `first` on, as one stretch or, where they pass the end, two.
    pub(super) fn stretches(&self, first: u32, count: u32) -> [std::ops::Range<u32>; 2] {
        assert!(count <= self.points, "{count} of {} slots", self.points);
        let before_end = count.min(self.points - first);
        [first..first + before_end, 0..count - before_end]
    }
}

/// The points that an archive holds, in slot order, from its bytes. Empty slots are left out; what
/// an older lap left behind is not.
pub fn archive_points(archive: &Archive, bytes: &[u8]) -> Vec<Point> {
    let points = usize::try_from(archive.points).unwrap_or(usize::MAX);
    codec::decode_points(bytes)
        .take(points)
        .filter(|point| point.timestamp != 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARCHIVE: Archive = Archive {
        offset: 40,
        step_s: 60,
        points: 5,
    };

    #[test]
    fn slots_count_from_the_base_in_both_directions() {
        let slot = |interval| ARCHIVE.slot(600, interval);
        assert_eq!([slot(600), slot(660), slot(840)], [0, 1, 4]);
        assert_eq!([slot(900), slot(540), slot(300)], [0, 4, 0]);
        // rounded down before the base too, where the base is no multiple of the step
        assert_eq!(ARCHIVE.slot(630, 600), 4);
        assert_eq!(ARCHIVE.slot(u32::MAX, 0), ARCHIVE.slot(u32::MAX, 300));
    }

    #[test]
    fn stretches_break_at_the_end_of_the_ring() {
        assert_eq!(ARCHIVE.stretches(1, 3), [1..4, 0..0]);
        assert_eq!(ARCHIVE.stretches(3, 5), [3..5, 0..3]);
        assert_eq!(ARCHIVE.slot_offset(4), 88);
    }

    #[test]
    fn whole_laps_are_not_read() {
        assert_eq!([3, 5, 10, 12].map(|n| ARCHIVE.slots_read(n)), [3, 5, 5, 2]);
    }

    #[test]
    fn empty_slots_are_no_points() {
        let mut bytes = vec![0; POINT_BYTES];
        let point = Point {
            timestamp: 60,
            value: 2.0,
        };
        codec::encode_point(point, &mut bytes);
        assert_eq!(archive_points(&ARCHIVE, &bytes), [point]);
    }
}
