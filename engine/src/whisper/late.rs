//! Points that come late and may be in a file already: an earlier run accepted them, and nothing
//! tells whether it wrote them. Where such a point fits a coarser archive only, it would lie there as
//! it is, in the place of an aggregate that it may be a part of: what the slot holds is kept, and written
//! once more, for it may have been written when a sync of the data failed, and be seen and on no disk.
//! Decides that by the slots; knows nothing of why the points are late.

use super::codec::{POINT_BYTES, encode_point};
use super::header::Header;
use super::image::Image;
use super::plan::{byte_range, merge};
use crate::point::Point;
use crate::ring::{ByteRange, Piece};

/// Which of late points are to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Late {
    /// These; the slots of the others hold their interval.
    Write(Vec<Point>),
    /// Unknown until these stretches were read. Sorted by offset, joined where they touch.
    Need(Vec<ByteRange>),
}

/// Leaves out of `points` what fits only a coarser archive than the first, and has its interval there
/// already, at the time `now` (Unix seconds). `image` is what was read of the file.
pub fn late(header: &Header, points: &[Point], now: u32, image: &Image) -> Late {
    let (mut writes, mut needs) = (Vec::with_capacity(points.len()), Vec::new());
    let numbers = 0..header.archives.len();
    let bases: Vec<Option<u32>> = numbers.map(|number| image.base(header, number)).collect();
    for point in points {
        match taken(header, *point, now, (image, &bases)) {
            Ok(Some(_)) => {}
            Ok(None) => writes.push(*point),
            Err(range) => needs.push(range),
        }
    }
    if needs.is_empty() {
        Late::Write(writes)
    } else {
        merge(&mut needs, 0);
        Late::Need(needs)
    }
}

/// What the slots hold for whose sake `late` leaves points out, as pieces to be written once more, unless
/// one of `pieces`, which are sorted, has the slot; all of it has been read. Neighbours are merged.
pub fn again(
    header: &Header,
    points: &[Point],
    now: u32,
    (image, pieces): (&Image, &mut Vec<Piece>),
) {
    let numbers = 0..header.archives.len();
    let bases: Vec<Option<u32>> = numbers.map(|number| image.base(header, number)).collect();
    let has_it = |offset: u64| {
        let after = pieces.partition_point(|piece| piece.offset <= offset);
        let last = pieces[..after].last();
        last.is_some_and(|piece| offset < piece.offset + piece.bytes.len() as u64)
    };
    let slots = points
        .iter()
        .filter_map(|point| taken(header, *point, now, (image, &bases)).ok()?);
    let mut slots: Vec<(u64, Point)> = slots.filter(|(offset, _)| !has_it(*offset)).collect();
    slots.sort_by_key(|(offset, _)| *offset);
    slots.dedup_by_key(|(offset, _)| *offset);
    pieces.extend(slots.into_iter().map(|(offset, stored)| {
        let mut bytes = Vec::with_capacity(POINT_BYTES);
        encode_point(stored, &mut bytes);
        Piece { offset, bytes }
    }));
    pieces.sort_by_key(|piece| piece.offset);
    pieces.dedup_by(|next, piece| {
        let touches = piece.offset + piece.bytes.len() as u64 == next.offset;
        if touches {
            piece.bytes.append(&mut next.bytes);
        }
        touches
    });
}

/// What a coarser archive has, and where, in the interval of a point that fits no finer one; what is known
/// of the file, and of the base of each archive.
fn taken(
    header: &Header,
    point: Point,
    now: u32,
    (image, bases): (&Image, &[Option<u32>]),
) -> Result<Option<(u64, Point)>, ByteRange> {
    let age = u64::from(now.saturating_sub(point.timestamp));
    let fits = |archive: &super::Archive| age <= archive.retention_s();
    let number = header.archives.iter().position(fits);
    let Some(number @ 1..) = number else {
        return Ok(None);
    };
    let archive = &header.archives[number];
    let Some(base) = bases[number] else {
        return Err(byte_range(archive.offset, 1));
    };
    let interval = archive.align(point.timestamp);
    if base == 0 || interval == 0 {
        return Ok(None);
    }
    let found = image.in_slot_of(archive, (base, interval))?;
    Ok((found.1.timestamp == interval).then_some(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whisper::{Aggregation, Retention};

    const NOW: u32 = 1_600_000_000 - 1_600_000_000 % 3600;

    #[test]
    fn a_coarse_slot_that_has_the_interval_is_kept_and_no_other() {
        let retentions =
            [(60, 10), (300, 100)].map(|(step_s, points)| Retention { step_s, points });
        let header = Header::new(&retentions, 0.5, Aggregation::Average).unwrap();
        let coarse = header.archives[1];
        let point = |age_s: u32| Point {
            timestamp: NOW - age_s,
            value: 1.0,
        };
        let slot = |number: u32| byte_range(coarse.slot_offset(number), 1);
        let stored = |timestamp: u32| timestamp.to_be_bytes().into_iter().chain([0; 8]).collect();
        let said = |age_s, image: &Image| late(&header, &[point(age_s)], NOW, image);
        let (mut image, empty) = (Image::new(), Image::new());
        // The first archive's, and what none reaches, are not asked about.
        for age_s in [0, 600, 30_001] {
            assert_eq!(said(age_s, &empty), Late::Write(vec![point(age_s)]));
        }
        assert_eq!(said(601, &empty), Late::Need(vec![slot(0)]));
        image.add(slot(0), stored(NOW - 1200));
        // 900 seconds ago: the next slot but none read yet.
        assert_eq!(said(900, &image), Late::Need(vec![slot(1)]));
        assert_eq!(said(1200, &image), Late::Write(vec![]));
        assert_eq!(said(901, &image), Late::Write(vec![]));
        for (timestamp, is_kept) in [(NOW - 900, true), (NOW - 900 - 30_000, false), (0, false)] {
            let mut image = image.clone();
            image.add(slot(1), stored(timestamp));
            let writes = if is_kept { vec![] } else { vec![point(899)] };
            assert_eq!(said(899, &image), Late::Write(writes), "{timestamp}");
        }
        // What several points need is asked for once, and what touches by one request.
        let said_all = |image: &Image| {
            let points: Vec<Point> = (1..20).map(|number| point(30_000 - 70 * number)).collect();
            late(&header, &points, NOW, image)
        };
        assert_eq!(said_all(&Image::new()), Late::Need(vec![slot(0)]));
        let mut image = Image::new();
        image.add(slot(0), stored(NOW - 30_000));
        let touching = byte_range(coarse.slot_offset(1), 4);
        assert_eq!(said_all(&image), Late::Need(vec![touching]));
        let mut empty = Image::new();
        empty.add(slot(0), stored(0));
        assert_eq!(said(899, &empty), Late::Write(vec![point(899)]));
    }
}
