//! What has been read of one file during one visit: pieces of it, and its end where that was seen.
//! Never holds more than it was given and never guesses: a byte that was not read is not there.
//! Invariants: pieces are sorted by offset and none lies inside another, so that their ends are
//! sorted too, and one look finds whatever is there.

use crate::point::Point;
use crate::ring::{ByteRange, Piece};

use super::codec::{self, POINT_BYTES};
use super::header::Header;

/// The pieces of one file that have been read.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pieces: Vec<Piece>,
    file_end: Option<u64>,
}

impl Image {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the start of a file would read as: its header's bytes, and `base` in the first slot of
    /// its first archive, 0 where that is empty.
    pub fn start(header: &[u8], base: u32) -> Self {
        let mut bytes = Vec::with_capacity(header.len() + POINT_BYTES);
        bytes.extend_from_slice(header);
        codec::encode_point(
            Point {
                timestamp: base,
                value: 0.0,
            },
            &mut bytes,
        );
        let pieces = vec![Piece { offset: 0, bytes }];
        Self {
            pieces,
            file_end: None,
        }
    }

    /// Takes in what a read brought: the stretch that was `asked` for, and its `bytes`. Fewer
    /// bytes than asked mean that the file ends there.
    pub fn add(&mut self, asked: ByteRange, bytes: Vec<u8>) {
        let found = bytes.len() as u64;
        let wanted = u64::from(asked.len);
        assert!(found <= wanted, "{found} bytes for a read of {wanted}");
        let end = asked.offset + found;
        if found < wanted {
            self.file_end = Some(self.file_end.map_or(end, |known| known.min(end)));
        }
        if bytes.is_empty() {
            return;
        }
        let place = self
            .pieces
            .partition_point(|piece| piece.offset < asked.offset);
        if self.pieces[..place]
            .last()
            .is_some_and(|before| end_of(before) >= end)
        {
            return;
        }
        let inside = self.pieces[place..]
            .iter()
            .take_while(|piece| end_of(piece) <= end)
            .count();
        if inside == 0
            && self
                .pieces
                .get(place)
                .is_some_and(|at| at.offset == asked.offset)
        {
            return;
        }
        let piece = Piece {
            offset: asked.offset,
            bytes,
        };
        self.pieces.splice(place..place + inside, [piece]);
    }

    /// Where the file ends, if a read came back short.
    pub(super) fn file_end(&self) -> Option<u64> {
        self.file_end
    }

    /// The timestamp in the first slot of the first archive, if it was read; 0 where it is empty.
    pub fn base(&self, header: &Header) -> Option<u32> {
        self.point(header.archives[0].offset)
            .map(|point| point.timestamp)
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
    fn a_short_read_shows_the_end() {
        let mut image = Image::new();
        image.add(asked(0, 100), vec![0; 64]);
        image.add(asked(80, 12), Vec::new());
        assert_eq!(image.file_end(), Some(64));
    }
}
