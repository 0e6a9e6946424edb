//! Whether a file still has a point that was written to it: one that was replaced has not.
//! Looks at one slot of the first archive; knows nothing of why a point may be gone.

use super::header::Header;
use super::image::Image;
use super::plan::byte_range;
use crate::point::Point;
use crate::ring::ByteRange;

/// What a file says of a point that was written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It has it, or a later one in its place, or the point is none of the first archive's.
    Yes,
    /// It has it not.
    No,
    /// Unknown until this was read.
    Unread(ByteRange),
}

/// Whether a file with this header, of which `image` was read, still has the newest of the points that
/// were `written` to it, sorted by time, at the time `now` (Unix seconds). Its value may be another by now:
/// somebody may have filled in a better one.
pub fn kept(header: &Header, written: &[Point], now: u32, image: &Image) -> Kept {
    let Some(point) = written.last() else {
        return Kept::Yes;
    };
    let archive = &header.archives[0];
    let interval = archive.align(point.timestamp);
    let age = i64::from(now) - i64::from(point.timestamp);
    if interval == 0 || u64::try_from(age).is_ok_and(|age| age >= archive.retention_s()) {
        return Kept::Yes;
    }
    let Some(base) = image.base(header, 0) else {
        return Kept::Unread(byte_range(archive.offset, 1));
    };
    if base == 0 {
        return Kept::No;
    }
    match image.in_slot_of(archive, (base, interval)) {
        Err(range) => Kept::Unread(range),
        Ok((_, stored)) => {
            // An earlier lap's, where it was written too: then a point of the future had the place first.
            let is_ours = |it: &Point| archive.align(it.timestamp) == stored.timestamp;
            if stored.timestamp >= interval || written.iter().any(is_ours) {
                Kept::Yes
            } else {
                Kept::No
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whisper::codec::POINT_BYTES;
    use crate::whisper::{Aggregation, Retention};

    #[test]
    fn a_point_is_kept_where_its_second_or_a_later_lap_is() {
        let retention = Retention {
            step_s: 60,
            points: 100,
        };
        let header = Header::new(&[retention], 0.5, Aggregation::Average).unwrap();
        let now = 1_600_000_000;
        let point = |timestamp| Point {
            timestamp,
            value: 1.0,
        };
        let first = header.archives[0].align(now) - 600;
        let slot = |stored: u32| stored.to_be_bytes().into_iter().chain([0; 8]).collect();
        let start = ByteRange {
            offset: 28,
            len: 12,
        };
        let mut image = Image::new();
        image.add(start, slot(first));
        let said = |point, image: &Image| kept(&header, &[point], now, image);
        assert_eq!(said(point(first + 59), &image), Kept::Yes);
        assert_eq!(said(point(first - 6000), &image), Kept::Yes);
        assert_eq!(said(point(now - 6000), &image), Kept::Yes);
        let offset = header.archives[0].offset + 2 * POINT_BYTES as u64;
        let range = ByteRange { offset, len: 12 };
        assert_eq!(said(point(first + 125), &image), Kept::Unread(range));
        for (stored, expected) in [
            (0, Kept::No),
            (first + 120 - 6000, Kept::No),
            (first + 120, Kept::Yes),
            (first + 120 + 6000, Kept::Yes),
        ] {
            let mut image = image.clone();
            image.add(range, slot(stored));
            assert_eq!(said(point(first + 125), &image), expected, "{stored}");
        }
        // An hour and forty minutes ahead of one that was written after it.
        image.add(range, slot(first + 120));
        let [ahead, since] = [first + 6120, first + 120].map(point);
        assert_eq!(said(ahead, &image), Kept::No, "a restored file");
        assert_eq!(kept(&header, &[since, ahead], now, &image), Kept::Yes);
        image = Image::new();
        image.add(start, slot(0));
        assert_eq!(said(point(first), &image), Kept::No);
        assert_eq!(said(point(first), &Image::new()), Kept::Unread(start));
    }
}
