//! What the start of a Whisper file says: how it aggregates and where its archives lie.
//! Parsing is validation: a `Header` that came out of `parse` or `new` can be calculated with.
//! Refuses what Python refuses, and what Python would trip over later (no archive, a step or a
//! length of zero, archives that are not one behind the other), and what nobody makes (room between
//! archives, steps that do not rise); accepts every file that Python's
//! or Go's whisper makes for Python's aggregation methods.
//! On failure: a reason a check, with what was found; the file is then left alone.

use crate::limits::ARCHIVES_MAX;

use super::aggregate::Aggregation;
use super::archive::Archive;
use super::codec::{ARCHIVE_INFO_BYTES, ArchiveInfo, METADATA_BYTES, Metadata, POINT_BYTES};

/// How many archives the first read of a visit allows for; real files have 2 to 6.
const ARCHIVES_USUAL: usize = 6;
const _: () = assert!(ARCHIVES_USUAL <= ARCHIVES_MAX);

/// How much of a file's start the first read of a visit should fetch: the header of a file with up
/// to six archives, and behind it the base of its first archive.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a constant of a hundred bytes"
)]
pub const HEAD_READ_BYTES: u32 =
    (METADATA_BYTES + ARCHIVES_USUAL * ARCHIVE_INFO_BYTES + POINT_BYTES) as u32;

/// A file's header. Made by `parse` or `new`; its archives are in order of increasing step, one
/// directly behind the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// How points of a finer archive become one of a coarser.
    pub aggregation: Aggregation,
    /// The longest retention, in seconds, as the file states it.
    pub max_retention_s: u32,
    /// The part of a window that must be known for it to be aggregated, 0 to 1.
    pub x_files_factor: f32,
    /// The archives, finest first.
    pub archives: Vec<Archive>,
}

/// Why the start of a file is no Whisper header that we write to.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum HeaderError {
    /// The file, or what was read of it, ends inside the header.
    #[error("the header ends after {found} of {needed} bytes")]
    Short {
        /// Bytes there are.
        found: usize,
        /// Bytes its archive count asks for.
        needed: usize,
    },
    /// Not one of the eight methods of Python whisper 1.1.10.
    #[error("unknown aggregation type {found}")]
    Aggregation {
        /// The number found.
        found: u32,
    },
    /// Outside 0 to 1, or not a number.
    #[error("xFilesFactor {found} is not between 0 and 1")]
    XFilesFactor {
        /// The value found.
        found: f32,
    },
    /// None, or more than we accept.
    #[error("{found} archives; 1 to {ARCHIVES_MAX} are accepted")]
    ArchiveCount {
        /// The number found.
        found: u32,
    },
    /// Seconds per point of zero.
    #[error("archive {archive} has 0 seconds per point")]
    StepZero {
        /// Its number, from 0.
        archive: usize,
    },
    /// An archive without points.
    #[error("archive {archive} has 0 points")]
    PointsZero {
        /// Its number, from 0.
        archive: usize,
    },
    /// Not coarser than the archive before it.
    #[error("archive {archive} has {found} seconds per point, the one before it {before}")]
    StepOrder {
        /// Its number, from 0.
        archive: usize,
        /// Its seconds per point.
        found: u32,
        /// Those of the archive before it.
        before: u32,
    },
    /// It begins within the header or the archive before it.
    #[error("archive {archive} begins at byte {found} and not at {expected}")]
    Offset {
        /// Its number, from 0.
        archive: usize,
        /// The offset found.
        found: u32,
        /// Where it must begin.
        expected: u64,
    },
    /// Room before it, which Python leaves alone: it reads and writes such a file.
    #[error("archive {archive} begins at byte {found}, with room behind byte {expected}")]
    Gap {
        /// Its number, from 0.
        archive: usize,
        /// The offset found.
        found: u32,
        /// Where we would have it begin.
        expected: u64,
        /// How far the archives reach; a shorter file is of no use to anybody.
        file_bytes: u64,
    },
}

impl Header {
    /// Reads and checks a header. `head` may be longer than the header.
    pub fn parse(head: &[u8]) -> Result<Self, HeaderError> {
        let found = head.len();
        let Some((metadata, rest)) = head.split_first_chunk::<METADATA_BYTES>() else {
            return Err(HeaderError::Short {
                found,
                needed: METADATA_BYTES,
            });
        };
        let metadata = Metadata::decode(metadata);
        let Some(aggregation) = Aggregation::from_id(metadata.aggregation) else {
            return Err(HeaderError::Aggregation {
                found: metadata.aggregation,
            });
        };
        // A NaN is in no range, as in Python's comparison.
        if !(0.0..=1.0).contains(&metadata.x_files_factor) {
            return Err(HeaderError::XFilesFactor {
                found: metadata.x_files_factor,
            });
        }
        let Some(count) = accepted_count(metadata.archive_count) else {
            return Err(HeaderError::ArchiveCount {
                found: metadata.archive_count,
            });
        };
        let (infos, _) = rest.as_chunks::<ARCHIVE_INFO_BYTES>();
        let Some(infos) = infos.get(..count) else {
            return Err(HeaderError::Short {
                found,
                needed: header_bytes(count),
            });
        };
        Ok(Self {
            aggregation,
            max_retention_s: metadata.max_retention_s,
            x_files_factor: metadata.x_files_factor,
            archives: parse_archives(infos)?,
        })
    }

    /// How many bytes `parse` needs, where `head` holds the archive count and is too short for it.
    /// `None` where `head` is long enough, or more bytes would not help.
    pub fn needed_bytes(head: &[u8]) -> Option<usize> {
        let metadata = Metadata::decode(head.first_chunk()?);
        let needed = header_bytes(accepted_count(metadata.archive_count)?);
        (head.len() < needed).then_some(needed)
    }

    /// The header's bytes, as they stand at the start of a file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.header_bytes());
        let Ok(archive_count) = u32::try_from(self.archives.len()) else {
            unreachable!("{} archives", self.archives.len())
        };
        Metadata {
            aggregation: self.aggregation.id(),
            max_retention_s: self.max_retention_s,
            x_files_factor: self.x_files_factor,
            archive_count,
        }
        .encode(&mut bytes);
        for archive in &self.archives {
            let Ok(offset) = u32::try_from(archive.offset) else {
                unreachable!(
                    "offset {} was checked when the header was made",
                    archive.offset
                )
            };
            ArchiveInfo {
                offset,
                step_s: archive.step_s,
                points: archive.points,
            }
            .encode(&mut bytes);
        }
        bytes
    }

    /// Length of the header: the first archive begins there.
    pub fn header_bytes(&self) -> usize {
        header_bytes(self.archives.len())
    }

    /// Length of the whole file.
    pub fn file_bytes(&self) -> u64 {
        let archives: u64 = self.archives.iter().map(Archive::bytes).sum();
        self.header_bytes() as u64 + archives
    }
}

/// Length of a header with `count` archives.
pub(super) fn header_bytes(count: usize) -> usize {
    METADATA_BYTES + count * ARCHIVE_INFO_BYTES
}

fn accepted_count(count: u32) -> Option<usize> {
    let count = usize::try_from(count).ok()?;
    (1..=ARCHIVES_MAX).contains(&count).then_some(count)
}

fn parse_archives(infos: &[[u8; ARCHIVE_INFO_BYTES]]) -> Result<Vec<Archive>, HeaderError> {
    let mut archives: Vec<Archive> = Vec::with_capacity(infos.len());
    // 64 archives of 2^32 points of 12 bytes are far from overflowing 64 bits.
    let mut expected = header_bytes(infos.len()) as u64;
    let mut gap = None;
    for (archive, info) in infos.iter().enumerate() {
        let info = ArchiveInfo::decode(info);
        if info.step_s == 0 {
            return Err(HeaderError::StepZero { archive });
        }
        if info.points == 0 {
            return Err(HeaderError::PointsZero { archive });
        }
        if let Some(before) = archives.last()
            && before.step_s >= info.step_s
        {
            return Err(HeaderError::StepOrder {
                archive,
                found: info.step_s,
                before: before.step_s,
            });
        }
        let found = info.offset;
        if u64::from(found) < expected {
            return Err(HeaderError::Offset {
                archive,
                found,
                expected,
            });
        }
        if u64::from(found) > expected {
            gap.get_or_insert((archive, found, expected));
        }
        let parsed = Archive {
            offset: u64::from(found),
            step_s: info.step_s,
            points: info.points,
        };
        expected = parsed.offset + parsed.bytes();
        archives.push(parsed);
    }
    let file_bytes = expected;
    gap.map_or(Ok(archives), |(archive, found, expected)| {
        Err(HeaderError::Gap {
            archive,
            found,
            expected,
            file_bytes,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::Retention;
    use super::*;
    use proptest::prelude::*;

    /// Archives (60, 60) and (300, 100), xFilesFactor 0.5, average, as Python whisper 1.1.10
    /// writes it.
    const WRITTEN_BY_PYTHON: [u8; 40] = [
        0, 0, 0, 1, 0, 0, 0x75, 0x30, 0x3f, 0, 0, 0, 0, 0, 0, 2, //
        0, 0, 0, 0x28, 0, 0, 0, 0x3c, 0, 0, 0, 0x3c, //
        0, 0, 2, 0xf8, 0, 0, 1, 0x2c, 0, 0, 0, 0x64,
    ];

    fn header(archives: &[(u32, u32)]) -> Header {
        let archives: Vec<Retention> = archives
            .iter()
            .map(|&(step_s, points)| Retention { step_s, points })
            .collect();
        Header::new(&archives, 0.5, Aggregation::Average).unwrap()
    }

    /// Python's header with one of its 32-bit fields changed.
    fn with_field(field: usize, value: u32) -> Result<Header, HeaderError> {
        let mut bytes = WRITTEN_BY_PYTHON;
        bytes[field * 4..][..4].copy_from_slice(&value.to_be_bytes());
        Header::parse(&bytes)
    }

    #[test]
    fn the_bytes_are_python_s() {
        let header = header(&[(60, 60), (300, 100)]);
        assert_eq!(header.encode(), WRITTEN_BY_PYTHON);
        assert_eq!(Header::parse(&WRITTEN_BY_PYTHON), Ok(header.clone()));
        assert_eq!(header.file_bytes(), 1960);
        assert_eq!(header.header_bytes(), 40);
        assert_eq!(header.archives[1].retention_s(), 30_000);
    }

    #[test]
    fn each_check_has_its_reason() {
        assert_eq!(with_field(0, 9), Err(HeaderError::Aggregation { found: 9 }));
        assert_eq!(with_field(0, 0), Err(HeaderError::Aggregation { found: 0 }));
        for factor in [-0.1, 1.01, f32::INFINITY] {
            let error = HeaderError::XFilesFactor { found: factor };
            assert_eq!(with_field(2, factor.to_bits()), Err(error));
        }
        let nan = with_field(2, f32::NAN.to_bits());
        assert!(
            matches!(nan, Err(HeaderError::XFilesFactor { .. })),
            "{nan:?}"
        );
        assert_eq!(
            with_field(3, 0),
            Err(HeaderError::ArchiveCount { found: 0 })
        );
        assert_eq!(
            with_field(3, 65),
            Err(HeaderError::ArchiveCount { found: 65 })
        );
        assert_eq!(
            with_field(3, 3),
            Err(HeaderError::Short {
                found: 40,
                needed: 52
            })
        );
        assert_eq!(with_field(5, 0), Err(HeaderError::StepZero { archive: 0 }));
        assert_eq!(
            with_field(9, 0),
            Err(HeaderError::PointsZero { archive: 1 })
        );
        let order = |found| HeaderError::StepOrder {
            archive: 1,
            found,
            before: 60,
        };
        assert_eq!(with_field(8, 60), Err(order(60)));
        assert_eq!(with_field(8, 59), Err(order(59)));
        let offset = |archive, found, expected| HeaderError::Offset {
            archive,
            found,
            expected,
        };
        assert_eq!(with_field(4, 39), Err(offset(0, 39, 40)));
        assert_eq!(with_field(4, 41), Err(offset(1, 760, 761)));
        let gap = HeaderError::Gap {
            archive: 1,
            found: 772,
            expected: 760,
            file_bytes: 1972,
        };
        assert_eq!(with_field(7, 772), Err(gap));
        assert_eq!(with_field(7, 748), Err(offset(1, 748, 760)));
        // an archive that grew into the next one, up to one that passes 32 bits
        assert_eq!(with_field(6, 61), Err(offset(1, 760, 772)));
        assert_eq!(with_field(6, u32::MAX), Err(offset(1, 760, 51_539_607_580)));
    }

    #[test]
    fn what_python_reads_without_complaint_is_read() {
        // maxRetention is what the file says; the length of the last archive passes 4 GiB; steps
        // that validateArchiveList would refuse today stand in old files
        assert_eq!(with_field(1, 7).unwrap().max_retention_s, 7);
        assert!(with_field(9, u32::MAX).is_ok());
        assert!(with_field(8, 90).is_ok());
        assert!(with_field(2, (-0.0f32).to_bits()).is_ok());
    }

    #[test]
    fn a_short_head_tells_how_much_is_needed() {
        for found in 0..16 {
            let needed = METADATA_BYTES;
            let error = HeaderError::Short { found, needed };
            assert_eq!(Header::parse(&WRITTEN_BY_PYTHON[..found]), Err(error));
            assert_eq!(Header::needed_bytes(&WRITTEN_BY_PYTHON[..found]), None);
        }
        for found in 16..40 {
            let error = HeaderError::Short { found, needed: 40 };
            assert_eq!(Header::parse(&WRITTEN_BY_PYTHON[..found]), Err(error));
            assert_eq!(Header::needed_bytes(&WRITTEN_BY_PYTHON[..found]), Some(40));
        }
        assert_eq!(Header::needed_bytes(&WRITTEN_BY_PYTHON), None);
        let mut hopeless = WRITTEN_BY_PYTHON;
        hopeless[12] = 1;
        assert_eq!(Header::needed_bytes(&hopeless), None);
    }

    #[test]
    fn the_first_read_holds_a_usual_header_and_the_first_base() {
        let six: Vec<(u32, u32)> = (0..6).map(|n| (1 << n, 4 << n)).collect();
        let header = header(&six);
        let read = usize::try_from(HEAD_READ_BYTES).unwrap();
        assert_eq!(header.header_bytes() + POINT_BYTES, read);
    }

    fn any_header() -> impl Strategy<Value = Header> {
        let first = (1u32..100, 1u32..50);
        let coarser = prop::collection::vec((2u32..12, 1u32..50), 0..5);
        (first, coarser, 0f32..=1.0, 1u32..=8).prop_map(|(first, coarser, factor, id)| {
            let (mut step_s, mut points) = (first.0, first.1);
            let mut archives = Vec::new();
            for (ratio, more) in coarser {
                points = points.max(ratio);
                archives.push(Retention { step_s, points });
                step_s *= ratio;
                points = points / ratio + more;
            }
            archives.push(Retention { step_s, points });
            Header::new(&archives, factor, Aggregation::from_id(id).unwrap()).unwrap()
        })
    }

    proptest! {
        #[test]
        fn every_layout_comes_back_from_its_bytes(header in any_header(), tail in 0usize..40) {
            let mut bytes = header.encode();
            prop_assert_eq!(bytes.len(), header.header_bytes());
            bytes.resize(bytes.len() + tail, 0xff);
            prop_assert_eq!(Header::parse(&bytes), Ok(header));
        }

        #[test]
        fn no_bytes_make_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            count in 0u32..70,
        ) {
            let mut bytes = bytes;
            // a small number of archives, so that the checks behind it are reached
            if bytes.len() >= METADATA_BYTES {
                bytes[..4].copy_from_slice(&1u32.to_be_bytes());
                bytes[8..12].fill(0);
                bytes[12..16].copy_from_slice(&count.to_be_bytes());
            }
            if let Ok(header) = Header::parse(&bytes) {
                prop_assert_eq!(&header.encode(), &bytes[..header.header_bytes()]);
            }
            if let Some(needed) = Header::needed_bytes(&bytes) {
                prop_assert!(needed > bytes.len());
            }
        }
    }
}
