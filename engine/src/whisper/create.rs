//! The layout of a new file: which archives may stand together, and where they lie.
//! The rules are those of Python's `whisper.validateArchiveList`, in its order, plus what its
//! `create` would fail on (a number that does not fit the header's 32 bits).
//! On failure: the rule that is broken, with the two archives.

use crate::limits::ARCHIVES_MAX;

use super::aggregate::Aggregation;
use super::archive::Archive;
use super::header::{Header, header_bytes};

/// One archive as a schema asks for it, like `60s:1d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Retention {
    /// Seconds per point.
    pub step_s: u32,
    /// Number of points.
    pub points: u32,
}

impl Retention {
    /// How far back it reaches, in seconds.
    pub fn retention_s(&self) -> u64 {
        u64::from(self.step_s) * u64::from(self.points)
    }
}

/// Why no file can be made with these archives. Archives are numbered from 0, finest first.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum LayoutError {
    /// No archive at all.
    #[error("at least one archive is needed")]
    Empty,
    /// More archives than we write to.
    #[error("{found} archives; at most {ARCHIVES_MAX} are accepted")]
    TooMany {
        /// How many were given.
        found: usize,
    },
    /// Outside 0 to 1, or not a number.
    #[error("xFilesFactor {found} is not between 0 and 1")]
    XFilesFactor {
        /// The value given.
        found: f32,
    },
    /// Seconds per point or number of points is zero.
    #[error(
        "archive {archive} has {step_s} seconds per point and {points} points; neither may be 0"
    )]
    Zero {
        /// Its number.
        archive: usize,
        /// Its seconds per point.
        step_s: u32,
        /// Its number of points.
        points: u32,
    },
    /// Two archives with the same seconds per point.
    #[error("archives {archive} and {} both have {step_s} seconds per point", archive + 1)]
    SameStep {
        /// The first of the two.
        archive: usize,
        /// Their seconds per point.
        step_s: u32,
    },
    /// A step is no multiple of the next finer one.
    #[error("archive {}'s {coarse_s} seconds per point are no multiple of archive {archive}'s {fine_s}", archive + 1)]
    NotDivisible {
        /// The finer of the two.
        archive: usize,
        /// Its seconds per point.
        fine_s: u32,
        /// Those of the coarser.
        coarse_s: u32,
    },
    /// A coarser archive does not reach further back.
    #[error("archive {} reaches back {coarse_s} s, not further than archive {archive} with {fine_s} s", archive + 1)]
    RetentionNotLonger {
        /// The finer of the two.
        archive: usize,
        /// How far it reaches, in seconds.
        fine_s: u64,
        /// How far the coarser reaches.
        coarse_s: u64,
    },
    /// An archive has fewer points than one point of the next coarser is made of.
    #[error("archive {archive} has {points} points; archive {} is made of {needed} of them", archive + 1)]
    TooFewPoints {
        /// The finer of the two.
        archive: usize,
        /// How many points it has.
        points: u32,
        /// How many make one of the next.
        needed: u32,
    },
    /// An archive's offset or the longest retention does not fit the format's 32 bits.
    #[error(
        "archive {archive} is too large for the format: it begins at byte {offset} and reaches back {retention_s} s"
    )]
    TooLarge {
        /// Its number.
        archive: usize,
        /// Where it would begin, in bytes.
        offset: u64,
        /// How far it reaches, in seconds.
        retention_s: u64,
    },
}

impl Header {
    /// Lays out a new file. The archives may come in any order.
    pub fn new(
        archives: &[Retention],
        x_files_factor: f32,
        aggregation: Aggregation,
    ) -> Result<Self, LayoutError> {
        if archives.is_empty() {
            return Err(LayoutError::Empty);
        }
        if archives.len() > ARCHIVES_MAX {
            return Err(LayoutError::TooMany {
                found: archives.len(),
            });
        }
        if !(0.0..=1.0).contains(&x_files_factor) {
            return Err(LayoutError::XFilesFactor {
                found: x_files_factor,
            });
        }
        let mut sorted = archives.to_vec();
        sorted.sort_by_key(|retention| retention.step_s);
        check_zero(&sorted)?;
        for (archive, pair) in sorted.windows(2).enumerate() {
            check_pair(archive, pair[0], pair[1])?;
        }
        let (archives, max_retention_s) = lay_out(&sorted)?;
        Ok(Self {
            aggregation,
            max_retention_s,
            x_files_factor,
            archives,
        })
    }
}

fn check_zero(sorted: &[Retention]) -> Result<(), LayoutError> {
    for (archive, &Retention { step_s, points }) in sorted.iter().enumerate() {
        if step_s == 0 || points == 0 {
            return Err(LayoutError::Zero {
                archive,
                step_s,
                points,
            });
        }
    }
    Ok(())
}

fn check_pair(archive: usize, fine: Retention, coarse: Retention) -> Result<(), LayoutError> {
    if fine.step_s == coarse.step_s {
        return Err(LayoutError::SameStep {
            archive,
            step_s: fine.step_s,
        });
    }
    if !coarse.step_s.is_multiple_of(fine.step_s) {
        return Err(LayoutError::NotDivisible {
            archive,
            fine_s: fine.step_s,
            coarse_s: coarse.step_s,
        });
    }
    if coarse.retention_s() <= fine.retention_s() {
        return Err(LayoutError::RetentionNotLonger {
            archive,
            fine_s: fine.retention_s(),
            coarse_s: coarse.retention_s(),
        });
    }
    let needed = coarse.step_s / fine.step_s;
    if fine.points < needed {
        return Err(LayoutError::TooFewPoints {
            archive,
            points: fine.points,
            needed,
        });
    }
    Ok(())
}

fn lay_out(sorted: &[Retention]) -> Result<(Vec<Archive>, u32), LayoutError> {
    let mut offset = header_bytes(sorted.len()) as u64;
    let mut max_retention_s = 0;
    let mut archives = Vec::with_capacity(sorted.len());
    for (archive, retention) in sorted.iter().enumerate() {
        let too_large = LayoutError::TooLarge {
            archive,
            offset,
            retention_s: retention.retention_s(),
        };
        let (Ok(_), Ok(retention_s)) = (
            u32::try_from(offset),
            u32::try_from(retention.retention_s()),
        ) else {
            return Err(too_large);
        };
        max_retention_s = max_retention_s.max(retention_s);
        let laid = Archive {
            offset,
            step_s: retention.step_s,
            points: retention.points,
        };
        offset += laid.bytes();
        archives.push(laid);
    }
    Ok((archives, max_retention_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(archives: &[(u32, u32)]) -> Result<Header, LayoutError> {
        let archives: Vec<Retention> = archives
            .iter()
            .map(|&(step_s, points)| Retention { step_s, points })
            .collect();
        Header::new(&archives, 0.5, Aggregation::Average)
    }

    #[test]
    fn unsorted_archives_are_sorted() {
        let header = new(&[(300, 100), (60, 60)]).unwrap();
        assert_eq!(header, new(&[(60, 60), (300, 100)]).unwrap());
        assert_eq!(header.max_retention_s, 30_000);
        assert_eq!(header.archives[1].offset, 0x2f8);
        assert_eq!(header.file_bytes(), 1960);
    }

    #[test]
    fn each_rule_refuses() {
        assert_eq!(new(&[]), Err(LayoutError::Empty));
        assert_eq!(
            new(&[(1, 1); ARCHIVES_MAX + 1]),
            Err(LayoutError::TooMany { found: 65 })
        );
        let zero = |step_s, points| LayoutError::Zero {
            archive: 0,
            step_s,
            points,
        };
        assert_eq!(new(&[(60, 0)]), Err(zero(60, 0)));
        assert_eq!(new(&[(0, 60)]), Err(zero(0, 60)));
        assert_eq!(
            new(&[(60, 60), (60, 100)]),
            Err(LayoutError::SameStep {
                archive: 0,
                step_s: 60
            })
        );
        assert_eq!(
            new(&[(60, 60), (90, 100)]),
            Err(LayoutError::NotDivisible {
                archive: 0,
                fine_s: 60,
                coarse_s: 90
            })
        );
        assert_eq!(
            new(&[(60, 60), (300, 12)]),
            Err(LayoutError::RetentionNotLonger {
                archive: 0,
                fine_s: 3600,
                coarse_s: 3600
            })
        );
        assert_eq!(
            new(&[(1, 60), (60, 60), (3600, 59), (86_400, 400)])
                .unwrap()
                .archives
                .len(),
            4
        );
        assert_eq!(
            new(&[(60, 4), (300, 100)]),
            Err(LayoutError::TooFewPoints {
                archive: 0,
                points: 4,
                needed: 5
            })
        );
    }

    #[test]
    fn numbers_must_fit_the_format() {
        let error = new(&[(2, u32::MAX)]).unwrap_err();
        assert!(
            matches!(error, LayoutError::TooLarge { archive: 0, .. }),
            "{error}"
        );
        let error = new(&[(1, 400_000_000), (2, 400_000_000)]).unwrap_err();
        assert!(
            matches!(
                error,
                LayoutError::TooLarge {
                    archive: 1,
                    offset: 4_800_000_040,
                    ..
                }
            ),
            "{error}"
        );
        for x_files_factor in [-0.1, 1.5, f32::NAN] {
            let retention = Retention {
                step_s: 60,
                points: 1,
            };
            let refused = Header::new(&[retention], x_files_factor, Aggregation::Sum);
            assert!(
                matches!(refused, Err(LayoutError::XFilesFactor { .. })),
                "{refused:?}"
            );
        }
    }
}
