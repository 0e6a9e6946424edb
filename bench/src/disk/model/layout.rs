//! Where a byte lies on the platter: on which track, and at which angle.
//! Tracks lie in zones; the outer ones hold more. A byte's angle follows from the time at which a
//! head that streams from the first byte on would meet it, so that whatever lies one behind the other
//! is read without a wait, and a switch of tracks costs its time and not a revolution.
//! Pure integers: nanoseconds, bytes, and thousand-millionths of the stroke.

use super::params::HddSpec;

/// Zones of the part of the stroke that is in use; disks have 10 to 30.
const ZONES: u64 = 16;
/// The whole stroke.
pub(crate) const STROKE: u64 = 1_000_000_000;

/// The platter.
#[derive(Debug)]
pub(crate) struct Layout {
    zones: Vec<Zone>,
    revolution_ns: u64,
    tracks: u64,
    /// The part of the stroke that the tracks take.
    used: u64,
}

#[derive(Debug)]
struct Zone {
    first_byte: u64,
    first_track: u64,
    /// When a head that streams from the first byte on is at the zone's begin.
    start_ns: u64,
    track_bytes: u64,
    /// A revolution and a switch.
    track_ns: u64,
}

impl Layout {
    /// Spreads `bytes` over the outer `stroke_percent` of the stroke.
    pub(crate) fn new(spec: &HddSpec, bytes: u64, stroke_percent: u8) -> Self {
        assert!(bytes > 0, "a disk of no bytes");
        assert!(
            (1..=100).contains(&stroke_percent),
            "{stroke_percent} percent of the stroke"
        );
        let used = STROKE / 100 * u64::from(stroke_percent);
        let track_ns = spec.revolution_ns + spec.track_switch_ns;
        let track_bytes = |zone: u64| {
            let middle = used / (2 * ZONES) * (2 * zone + 1);
            let slower = (spec.outer_rate - spec.inner_rate) * (middle / 1000) / (STROKE / 1000);
            (spec.outer_rate - slower) / 1000 * (track_ns / 1000) / 1000
        };
        let tracks = bytes / (0..ZONES).map(track_bytes).sum::<u64>() + 1;
        let mut zones: Vec<Zone> = Vec::new();
        let (mut first_byte, mut start_ns) = (0, 0);
        for zone in 0..ZONES {
            let track_bytes = track_bytes(zone);
            zones.push(Zone {
                first_byte,
                first_track: zone * tracks,
                start_ns,
                track_bytes,
                track_ns,
            });
            first_byte += tracks * track_bytes;
            start_ns += tracks * track_ns;
        }
        assert!(
            first_byte >= bytes,
            "{first_byte} of {bytes} bytes have a place"
        );
        Self {
            zones,
            revolution_ns: spec.revolution_ns,
            tracks: ZONES * tracks,
            used,
        }
    }

    /// When a head that streams from the first byte on meets this one.
    pub(crate) fn time_of(&self, byte: u64) -> u64 {
        let zone = self.zone(|zone| zone.first_byte <= byte);
        let within = byte - zone.first_byte;
        let (track, rest) = (within / zone.track_bytes, within % zone.track_bytes);
        zone.start_ns + track * zone.track_ns + rest * self.revolution_ns / zone.track_bytes
    }

    /// What a head that streams from the first byte on meets then, or next: `time_of` the byte is never
    /// before, or a head that reads on would have missed by a nanosecond what it is just about to read.
    pub(crate) fn byte_at(&self, time_ns: u64) -> u64 {
        let zone = self.zone(|zone| zone.start_ns <= time_ns);
        let within = time_ns - zone.start_ns;
        let (track, rest) = (within / zone.track_ns, within % zone.track_ns);
        let rest = rest.min(self.revolution_ns);
        let rest = (rest * zone.track_bytes).div_ceil(self.revolution_ns);
        zone.first_byte + track * zone.track_bytes + rest
    }

    /// How far inside its track lies, of [`STROKE`].
    pub(crate) fn place(&self, byte: u64) -> u64 {
        let zone = self.zone(|zone| zone.first_byte <= byte);
        let track = zone.first_track + (byte - zone.first_byte) / zone.track_bytes;
        self.used * track / self.tracks
    }

    /// How long a head that is on the track from `time_ns` on waits for a byte.
    pub(crate) fn wait(&self, time_ns: u64, byte: u64) -> u64 {
        let (angle, head) = (self.time_of(byte), time_ns % self.revolution_ns);
        (angle % self.revolution_ns + self.revolution_ns - head) % self.revolution_ns
    }

    /// The last zone that begins before.
    fn zone(&self, begins: impl Fn(&Zone) -> bool) -> &Zone {
        let after = self.zones.partition_point(begins);
        &self.zones[after.saturating_sub(1)]
    }
}

impl HddSpec {
    /// How long a seek over `distance` of [`STROKE`] takes: settling and a square root up to a third
    /// of the stroke, where the arm only speeds up and slows down; from there on it also coasts.
    pub(crate) fn seek_ns(&self, distance: u64) -> u64 {
        const THIRD: u64 = STROKE / 3;
        if distance == 0 {
            0
        } else if distance <= THIRD {
            let roots = (distance * STROKE).isqrt();
            let third = (THIRD * STROKE).isqrt();
            self.settle_ns + (self.third_seek_ns - self.settle_ns) * roots / third
        } else {
            let beyond = (distance - THIRD) / 1000;
            let coasting = (self.full_seek_ns - self.third_seek_ns) * beyond;
            self.third_seek_ns + coasting / ((STROKE - THIRD) / 1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::params::{MS, ModelName, Spec};
    use super::*;

    fn disk(bytes: u64, stroke_percent: u8) -> (HddSpec, Layout) {
        let Spec::Hdd(spec) = ModelName::Hdd7200.spec() else {
            unreachable!("it rotates");
        };
        (spec, Layout::new(&spec, bytes, stroke_percent))
    }

    #[test]
    fn a_seek_takes_what_the_data_sheet_says() {
        let (spec, _) = disk(1 << 30, 100);
        assert_eq!(spec.seek_ns(0), 0);
        let near = spec.seek_ns(1);
        assert!((spec.settle_ns..spec.settle_ns + MS / 10).contains(&near));
        assert!(spec.seek_ns(STROKE / 3).abs_diff(spec.third_seek_ns) < MS / 100);
        assert!(spec.seek_ns(STROKE).abs_diff(spec.full_seek_ns) < MS / 100);
        let seeks: Vec<u64> = (0..=1000)
            .map(|part| spec.seek_ns(STROKE / 1000 * part))
            .collect();
        assert!(seeks.is_sorted());
    }

    #[test]
    fn times_and_bytes_belong_together() {
        for (bytes, stroke) in [
            (20 << 30, 20),
            (20 << 30, 100),
            (4 << 40, 100),
            (1 << 20, 5),
        ] {
            let (_, layout) = disk(bytes, stroke);
            let mut before = 0;
            for part in 0..1000 {
                let byte = bytes / 1000 * part;
                let time = layout.time_of(byte);
                assert!(time >= before);
                before = time;
                assert!(layout.byte_at(time).abs_diff(byte) <= 1, "byte {byte}");
                let odd = time + part * 12_347;
                let met = layout.time_of(layout.byte_at(odd));
                assert!((odd..=odd + MS).contains(&met), "{odd} and {met}");
                assert!(layout.place(byte) <= STROKE / 100 * u64::from(stroke));
            }
        }
    }

    #[test]
    fn inner_tracks_are_slower_and_what_follows_is_met_without_a_wait() {
        let (spec, layout) = disk(20 << 30, 100);
        let rate = |byte| {
            (64 << 20) * 1000 / ((layout.time_of(byte + (64 << 20)) - layout.time_of(byte)) / MS)
        };
        let (outer, inner) = (rate(0), rate((20 << 30) - (64 << 20)));
        assert!(
            outer.abs_diff(spec.outer_rate) < spec.outer_rate / 20,
            "{outer}"
        );
        assert!(
            inner.abs_diff(spec.inner_rate) < spec.inner_rate / 20,
            "{inner}"
        );
        let end = layout.time_of(123_456_789);
        assert_eq!(layout.wait(end, 123_456_789), 0);
        assert_eq!(layout.wait(end + 1, 123_456_789), spec.revolution_ns - 1);
    }
}
