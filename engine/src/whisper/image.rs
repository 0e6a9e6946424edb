//! What has been read of one file during one visit: pieces of it, and its end where that was seen.
//! Never holds more than it was given and never guesses: a byte that was not read is not there, and
//! a base that is only remembered counts once a slot was read that holds what it may hold by it.
//! Invariants: pieces are sorted by offset and none lies inside another, so that their ends are
//! sorted too, and one look finds whatever is there.

use std::cmp::Reverse;

use crate::point::Point;
use crate::ring::{ByteRange, Piece};

use super::archive::Archive;
use super::codec::{self, POINT_BYTES};
use super::header::Header;
use super::plan::byte_range;
use crate::limits::BASES_REMEMBERED;

/// Bases that a file's first archives had, 0 where unknown or where the archive was empty.
pub type Bases = [u32; BASES_REMEMBERED];

/// The pieces of one file that have been read.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pieces: Vec<Piece>,
    file_end: Option<u64>,
    bases: Bases,
    /// The bases count as read.
    is_foreseen: bool,
}

impl Image {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What one reads of a file whose archives have these bases, when nothing but its bases was read;
    /// a first archive of base 0 is empty.
    pub fn foreseen(bases: Bases) -> Self {
        Self {
            bases,
            is_foreseen: true,
            ..Self::default()
        }
    }

    /// Nothing read yet of a file whose archives had these bases. A base is a file's own only once
    /// what was read bears it out.
    pub fn remembering(bases: Bases) -> Self {
        Self {
            bases,
            ..Self::default()
        }
    }

    /// What one reads of a new file, whose archives are empty: its header, and the first slot of each.
    pub fn of_new(header: &Header) -> Self {
        let mut image = Self::default();
        let head = header.encode();
        let Ok(len) = u32::try_from(head.len()) else {
            unreachable!("a header of {} bytes", head.len())
        };
        image.add(ByteRange { offset: 0, len }, head);
        for archive in &header.archives {
            image.add(byte_range(archive.offset, 1), vec![0; POINT_BYTES]);
        }
        image
    }

    /// Takes in what a read brought: the stretch that was `asked` for, and its `bytes`. Fewer
    /// bytes than asked mean that the file ends there.
    pub fn add(&mut self, asked: ByteRange, bytes: Vec<u8>) {
        self.add_all([(asked, bytes)]);
    }

    /// The same of many stretches at once, which costs a look at each piece and no more.
    pub fn add_all(&mut self, read: impl IntoIterator<Item = (ByteRange, Vec<u8>)>) {
        for (asked, bytes) in read {
            let (offset, found) = (asked.offset, bytes.len() as u64);
            let wanted = u64::from(asked.len);
            assert!(found <= wanted, "{found} bytes for a read of {wanted}");
            let end = offset + found;
            if found < wanted {
                self.file_end = Some(self.file_end.map_or(end, |known| known.min(end)));
            }
            if found > 0 {
                self.pieces.push(Piece { offset, bytes });
            }
        }
        // Two sorted stretches as a rule: the stable sort merges them in one pass.
        self.pieces
            .sort_by_key(|piece| (piece.offset, Reverse(piece.bytes.len())));
        let mut covered = 0;
        self.pieces.retain(|piece| {
            let reaches_further = end_of(piece) > covered;
            covered = covered.max(end_of(piece));
            reaches_further
        });
    }

    /// Where the file ends, if a read came back short.
    pub(super) fn file_end(&self) -> Option<u64> {
        self.file_end
    }

    /// What was read of the file's start, without a gap.
    pub fn head(&self) -> &[u8] {
        match self.pieces.first() {
            Some(Piece { offset: 0, bytes }) => bytes,
            _ => &[],
        }
    }

    /// The stretch with the whole header, where what was read of the start ends within it and the
    /// file may go on.
    pub fn missing_head(&self) -> Option<ByteRange> {
        let head = self.head();
        let len = u32::try_from(Header::needed_bytes(head)?).ok()?;
        let have = head.len() as u64;
        let goes_on = self.file_end.is_none_or(|end| end > have);
        goes_on.then_some(ByteRange { offset: 0, len })
    }

    /// The timestamp in the first slot of an archive, if it is known; 0 where it is empty. One that
    /// is remembered is given, too, where slots were read that lie as it says: the one in the file
    /// may then differ by whole rounds, which leave every slot where it is.
    pub fn base(&self, header: &Header, number: usize) -> Option<u32> {
        let archive = &header.archives[number];
        if let Some(first) = self.point(archive.offset) {
            return Some(first.timestamp);
        }
        let base = *self.bases.get(number)?;
        if self.is_foreseen {
            return (base != 0 || number == 0).then_some(base);
        }
        (base != 0 && self.bears_out(archive, base)).then_some(base)
    }

    /// Whether a filled slot of this archive was read, and none that another base would fill.
    fn bears_out(&self, archive: &Archive, base: u32) -> bool {
        let mut is_witnessed = false;
        let after = archive.offset + archive.bytes();
        for piece in &self.pieces {
            if end_of(piece) <= archive.offset || piece.offset >= after {
                continue;
            }
            let behind = piece.offset.saturating_sub(archive.offset);
            let first = behind.div_ceil(POINT_BYTES as u64);
            let skipped = archive.offset + first * POINT_BYTES as u64 - piece.offset;
            let Some(bytes) = usize::try_from(skipped)
                .ok()
                .and_then(|skipped| piece.bytes.get(skipped..))
            else {
                continue;
            };
            for (slot, point) in (first..u64::from(archive.points)).zip(codec::decode_points(bytes))
            {
                if point.timestamp == 0 {
                    continue;
                }
                if u64::from(archive.slot(base, i64::from(point.timestamp))) != slot {
                    return false;
                }
                is_witnessed = true;
            }
        }
        is_witnessed
    }

    /// What the slot of an interval holds, whatever that is, and where it is, by an archive's base; what is
    /// to be read to know that.
    pub(super) fn in_slot_of(
        &self,
        archive: &Archive,
        (base, interval): (u32, u32),
    ) -> Result<(u64, Point), ByteRange> {
        let offset = archive.slot_offset(archive.slot(base, i64::from(interval)));
        let stored = self.point(offset).ok_or(byte_range(offset, 1))?;
        Ok((offset, stored))
    }

    /// The point at `offset`, if all its bytes were read.
    pub(super) fn point(&self, offset: u64) -> Option<Point> {
        let after = self.pieces.partition_point(|piece| piece.offset <= offset);
        let piece = self.pieces[..after].last()?;
        let start = usize::try_from(offset - piece.offset).ok()?;
        let bytes = piece.bytes.get(start..start.checked_add(POINT_BYTES)?)?;
        Some(codec::decode_point(bytes))
    }
}

fn end_of(piece: &Piece) -> u64 {
    piece.offset + piece.bytes.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whisper::{Aggregation, Retention};

    fn asked(offset: u64, len: u32) -> ByteRange {
        ByteRange { offset, len }
    }

    #[test]
    fn a_point_is_there_only_with_all_its_bytes() {
        let mut image = Image::new();
        image.add(asked(0, 40), vec![0; 40]);
        assert_eq!(image.point(28).map(|point| point.timestamp), Some(0));
        assert_eq!(image.point(29), None);
        assert_eq!(image.point(100), None);
        assert_eq!(image.file_end(), None);
    }

    #[test]
    fn whatever_order_and_overlap_every_read_point_is_found() {
        let file: Vec<u8> = (0..=255).collect();
        let reads = [
            (40, 12),
            (0, 52),
            (200, 24),
            (100, 60),
            (148, 24),
            (100, 12),
            (200, 56),
            (36, 4),
        ];
        let mut image = Image::new();
        for (at, (offset, len)) in reads.into_iter().enumerate() {
            let range = asked(offset, len);
            let bytes = file[usize::try_from(offset).unwrap()..][..len as usize].to_vec();
            image.add(range, bytes);
            for (offset, len) in &reads[..=at] {
                for point in (*offset..)
                    .step_by(POINT_BYTES)
                    .take((*len as usize) / POINT_BYTES)
                {
                    let expected = u32::from(file[usize::try_from(point).unwrap()]);
                    let found = image.point(point).unwrap().timestamp >> 24;
                    assert_eq!(found, expected, "at {point} after {at}");
                }
            }
        }
        assert_eq!(image.point(60), None);
    }

    #[test]
    fn a_remembered_base_counts_where_a_filled_slot_bears_it_out() {
        let retentions = [(60, 10), (300, 8)].map(|(step_s, points)| Retention { step_s, points });
        let header = Header::new(&retentions, 0.5, Aggregation::Average).unwrap();
        let archive = header.archives[1];
        let slots = |stored: &[u32]| -> Vec<u8> {
            let slot = |time: &u32| time.to_be_bytes().into_iter().chain([0; 8]);
            stored.iter().flat_map(slot).collect()
        };
        let base = |first: u64, stored: &[u32]| {
            let mut image = Image::remembering([60, 3000, 0]);
            // Begins in the middle of the slot before.
            let mut bytes = vec![7; 5];
            bytes.extend(slots(stored));
            let offset = archive.offset + 12 * first - 5;
            image.add(asked(offset, u32::try_from(bytes.len()).unwrap()), bytes);
            image.base(&header, 1)
        };
        // Slot 2 is that of second 3600, and of every eighth interval from there.
        for (stored, expected) in [
            (&[3600, 3900][..], Some(3000)),
            (&[0, 3900], Some(3000)),
            (&[6000, 1500], Some(3000)),
            (&[0, 0], None),
            (&[3900, 0], None),
            (&[3600, 3600], None),
            (&[], None),
        ] {
            assert_eq!(base(2, stored), expected, "{stored:?}");
        }
        // What is read of the base itself decides, also where the memory is of something else.
        assert_eq!(base(0, &[3300, 3600]), Some(3300));
        assert_eq!(base(0, &[0]), Some(0));
        // Slots of a later archive say nothing of this one.
        assert_eq!(base(8, &[3600]), None);
        assert_eq!(Image::remembering([60, 3000, 0]).base(&header, 1), None);
        assert_eq!(Image::foreseen([60, 3000, 0]).base(&header, 1), Some(3000));
        assert_eq!(Image::foreseen([0; 3]).base(&header, 0), Some(0));
        assert_eq!(Image::foreseen([0; 3]).base(&header, 1), None);
    }

    #[test]
    fn a_short_read_shows_the_end() {
        let mut image = Image::new();
        image.add(asked(0, 100), vec![0; 64]);
        image.add(asked(80, 12), Vec::new());
        assert_eq!(image.file_end(), Some(64));
    }
}
