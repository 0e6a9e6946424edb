//! The bytes of a Whisper file: where each field lies and how it is read and written.
//! Everything is big-endian and unpadded; no other file of this workspace knows that.
//! Invariant: the offsets here chain and equal the tables of docs/formats/whisper.md; a test
//! compares them. Slices that are too short are the caller's mistake and asserted against; how much
//! of a foreign file is there is checked before it comes here.

use bytemuck::{Pod, Zeroable};

use crate::point::Point;

/// Byte of the metadata where the aggregation's number begins (u32).
pub const AGGREGATION_AT: usize = 0;
/// Byte of the metadata where the longest retention begins (u32, seconds).
pub const MAX_RETENTION_AT: usize = AGGREGATION_AT + size_of::<u32>();
/// Byte of the metadata where the xFilesFactor begins (f32).
pub const X_FILES_FACTOR_AT: usize = MAX_RETENTION_AT + size_of::<u32>();
/// Byte of the metadata where the number of archives begins (u32).
pub const ARCHIVE_COUNT_AT: usize = X_FILES_FACTOR_AT + size_of::<f32>();
/// Length of the metadata, with which every file begins.
pub const METADATA_BYTES: usize = ARCHIVE_COUNT_AT + size_of::<u32>();

/// Byte of an archive info where the archive's offset in the file begins (u32, bytes).
pub const OFFSET_AT: usize = 0;
/// Byte of an archive info where the seconds per point begin (u32).
pub const STEP_AT: usize = OFFSET_AT + size_of::<u32>();
/// Byte of an archive info where the number of points begins (u32).
pub const POINTS_AT: usize = STEP_AT + size_of::<u32>();
/// Length of an archive info; as many as there are archives follow the metadata.
pub const ARCHIVE_INFO_BYTES: usize = POINTS_AT + size_of::<u32>();

/// Byte of a point where its timestamp begins (u32, Unix seconds; 0 is an empty slot).
pub const TIMESTAMP_AT: usize = 0;
/// Byte of a point where its value begins (f64).
pub const VALUE_AT: usize = TIMESTAMP_AT + size_of::<u32>();
/// Length of a point.
pub const POINT_BYTES: usize = VALUE_AT + size_of::<f64>();

/// A point as it lies in a file. Made of bytes, so that it may lie anywhere.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct StoredPoint {
    timestamp: [u8; 4],
    value: [u8; 8],
}
const _: () = assert!(size_of::<StoredPoint>() == POINT_BYTES);

/// An archive info as it lies in a file.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct StoredArchive {
    offset: [u8; 4],
    step_s: [u8; 4],
    points: [u8; 4],
}
const _: () = assert!(size_of::<StoredArchive>() == ARCHIVE_INFO_BYTES);

/// The metadata as it lies in a file.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct StoredMetadata {
    aggregation: [u8; 4],
    max_retention_s: [u8; 4],
    x_files_factor: [u8; 4],
    archive_count: [u8; 4],
}
const _: () = assert!(size_of::<StoredMetadata>() == METADATA_BYTES);

/// The metadata as numbers, unchecked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metadata {
    pub(super) aggregation: u32,
    pub(super) max_retention_s: u32,
    pub(super) x_files_factor: f32,
    pub(super) archive_count: u32,
}

/// An archive info as numbers, unchecked.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArchiveInfo {
    pub(super) offset: u32,
    pub(super) step_s: u32,
    pub(super) points: u32,
}

impl Metadata {
    pub(super) fn decode(bytes: &[u8; METADATA_BYTES]) -> Self {
        let stored: &StoredMetadata = bytemuck::cast_ref(bytes);
        Self {
            aggregation: u32::from_be_bytes(stored.aggregation),
            max_retention_s: u32::from_be_bytes(stored.max_retention_s),
            x_files_factor: f32::from_be_bytes(stored.x_files_factor),
            archive_count: u32::from_be_bytes(stored.archive_count),
        }
    }

    pub(super) fn encode(&self, target: &mut Vec<u8>) {
        target.extend_from_slice(bytemuck::bytes_of(&StoredMetadata {
            aggregation: self.aggregation.to_be_bytes(),
            max_retention_s: self.max_retention_s.to_be_bytes(),
            x_files_factor: self.x_files_factor.to_be_bytes(),
            archive_count: self.archive_count.to_be_bytes(),
        }));
    }
}

impl ArchiveInfo {
    pub(super) fn decode(bytes: &[u8; ARCHIVE_INFO_BYTES]) -> Self {
        let stored: &StoredArchive = bytemuck::cast_ref(bytes);
        Self {
            offset: u32::from_be_bytes(stored.offset),
            step_s: u32::from_be_bytes(stored.step_s),
            points: u32::from_be_bytes(stored.points),
        }
    }

    pub(super) fn encode(&self, target: &mut Vec<u8>) {
        target.extend_from_slice(bytemuck::bytes_of(&StoredArchive {
            offset: self.offset.to_be_bytes(),
            step_s: self.step_s.to_be_bytes(),
            points: self.points.to_be_bytes(),
        }));
    }
}

impl StoredPoint {
    fn point(&self) -> Point {
        Point {
            timestamp: u32::from_be_bytes(self.timestamp),
            value: f64::from_be_bytes(self.value),
        }
    }
}

/// The points that `bytes` holds, slot after slot, empty ones (timestamp 0) included.
/// Bytes after the last whole point are left out.
pub(super) fn decode_points(bytes: &[u8]) -> impl Iterator<Item = Point> {
    let whole = bytes.len() - bytes.len() % POINT_BYTES;
    let stored: &[StoredPoint] = bytemuck::cast_slice(&bytes[..whole]);
    stored.iter().map(StoredPoint::point)
}

/// The point that begins at `bytes`.
pub(super) fn decode_point(bytes: &[u8]) -> Point {
    assert!(
        bytes.len() >= POINT_BYTES,
        "{} of a point's bytes",
        bytes.len()
    );
    let stored: &StoredPoint = bytemuck::from_bytes(&bytes[..POINT_BYTES]);
    stored.point()
}

/// Appends a point's bytes.
pub(super) fn encode_point(point: Point, target: &mut Vec<u8>) {
    target.extend_from_slice(bytemuck::bytes_of(&StoredPoint {
        timestamp: point.timestamp.to_be_bytes(),
        value: point.value.to_be_bytes(),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_big_endian_and_comes_back() {
        let mut bytes = Vec::new();
        let point = Point {
            timestamp: 0x5a5b_5c5d,
            value: -1.5,
        };
        encode_point(point, &mut bytes);
        assert_eq!(bytes[..VALUE_AT], [0x5a, 0x5b, 0x5c, 0x5d]);
        assert_eq!(bytes[VALUE_AT..], [0xbf, 0xf8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(decode_point(&bytes), point);
        bytes.push(7);
        assert_eq!(decode_points(&bytes).collect::<Vec<_>>(), [point]);
    }
}
