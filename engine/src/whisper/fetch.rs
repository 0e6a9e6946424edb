//! What a file answers to a query: Python whisper's `fetch`, pure.
//! `fetch` chooses the archive and the interval; the plan it returns is then asked again and again
//! with a fuller image, first for the base, then for the slots, until it answers with the series.
//! Follows Python in all its edges: the point at `from` itself is left out, and a range that laps an
//! archive chosen by granularity comes back shorter than its own bounds say.
//! On failure: the request's mistake or the file that ends too early; nothing is guessed.

use crate::limits::FETCH_VALUES_MAX;
use crate::ring::ByteRange;

use super::archive::Archive;
use super::codec::POINT_BYTES;
use super::header::Header;
use super::image::Image;

/// What is asked of a file; times in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// The newest time that is left out. May lie before 1970, as a client's subtraction may.
    pub from_s: i64,
    /// The newest time wanted.
    pub until_s: i64,
    /// The time at which the request is made.
    pub now_s: i64,
    /// Seconds per point of the archive to read (Python's `archiveToSelect`), where the caller
    /// wants a certain one; 0 counts as none, as in Python.
    pub step_s: Option<u32>,
}

/// A request against one archive of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPlan {
    archive: Archive,
    from_s: i64,
    until_s: i64,
}

/// What to do next with a fetch.
#[derive(Clone, Debug, PartialEq)]
pub enum FetchAnswer {
    /// Read these stretches, add them to the image, ask again. At most two rounds.
    Need(Vec<ByteRange>),
    /// The answer.
    Series(Series),
}

/// The answer to a fetch: Python's `((from, until, step), values)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Time of the first value.
    pub from_s: i64,
    /// Time after the last value.
    pub until_s: i64,
    /// Seconds between values.
    pub step_s: u32,
    /// The values; `None` where nothing is known.
    pub values: Vec<Option<f64>>,
}

/// Why a fetch has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The range ends before it begins.
    #[error("from {from_s} is after until {until_s}")]
    Interval {
        /// Its beginning.
        from_s: i64,
        /// Its end.
        until_s: i64,
    },
    /// The file has no archive with these seconds per point.
    #[error("no archive has {step_s} seconds per point")]
    Granularity {
        /// The seconds asked for.
        step_s: u32,
    },
    /// More values than one answer holds.
    #[error("{found} values; one answer holds at most {FETCH_VALUES_MAX}")]
    TooManyValues {
        /// How many the range has.
        found: u64,
    },
    /// The file ends before its last archive does.
    #[error("the file ends by byte {found}, its header asks for {needed} bytes")]
    FileTooShort {
        /// A byte at or behind its end.
        found: u64,
        /// The length that the read archive asks for.
        needed: u64,
    },
}

/// Chooses what to read for a request; `None` where the file's range does not touch it.
pub fn fetch(header: &Header, request: FetchRequest) -> Result<Option<FetchPlan>, FetchError> {
    assert!(!header.archives.is_empty(), "a header has an archive");
    let FetchRequest {
        from_s,
        until_s,
        now_s,
        step_s,
    } = request;
    if from_s > until_s {
        return Err(FetchError::Interval { from_s, until_s });
    }
    let oldest = now_s.saturating_sub(i64::from(header.max_retention_s));
    if from_s > now_s || until_s < oldest {
        return Ok(None);
    }
    let from_s = from_s.max(oldest);
    let until_s = until_s.min(now_s);
    let archive = match step_s.filter(|step| *step != 0) {
        Some(step_s) => header
            .archives
            .iter()
            .find(|archive| archive.step_s == step_s)
            .ok_or(FetchError::Granularity { step_s })?,
        None => finest_that_reaches(&header.archives, now_s.abs_diff(from_s)),
    };
    let plan = FetchPlan::new(*archive, from_s, until_s);
    let found = plan.intervals();
    if found > FETCH_VALUES_MAX {
        return Err(FetchError::TooManyValues { found });
    }
    Ok(Some(plan))
}

fn finest_that_reaches(archives: &[Archive], age_s: u64) -> &Archive {
    let reaches = |archive: &&Archive| archive.retention_s() >= age_s;
    match (archives.iter().find(reaches), archives.last()) {
        (Some(archive), _) | (None, Some(archive)) => archive,
        (None, None) => unreachable!("a header has an archive"),
    }
}

impl FetchPlan {
    fn new(archive: Archive, from_s: i64, until_s: i64) -> Self {
        let step = i64::from(archive.step_s);
        // saturating: a request at the end of 64-bit time is refused by its length, not by a panic
        let next = |time: i64| (time - time.rem_euclid(step)).saturating_add(step);
        let (from_s, mut until_s) = (next(from_s), next(until_s));
        if from_s == until_s {
            until_s = until_s.saturating_add(step);
        }
        Self {
            archive,
            from_s,
            until_s,
        }
    }

    fn intervals(&self) -> u64 {
        self.until_s.abs_diff(self.from_s) / u64::from(self.archive.step_s)
    }

    /// The series, or what must be read for it.
    pub fn answer(&self, image: &Image) -> Result<FetchAnswer, FetchError> {
        let needed = self.archive.offset + self.archive.bytes();
        if let Some(found) = image.file_end()
            && found < needed
        {
            return Err(FetchError::FileTooShort { found, needed });
        }
        let Some(base) = image.point(self.archive.offset) else {
            return Ok(FetchAnswer::Need(vec![self.stretch(0, 1)]));
        };
        if base.timestamp == 0 {
            let count = usize::try_from(self.intervals()).unwrap_or(usize::MAX);
            return Ok(self.series(vec![None; count]));
        }
        let first = self.archive.slot(base.timestamp, self.from_s);
        let slots = self.archive.slots_read(self.intervals());
        let stretches = self.archive.stretches(first, slots);
        let mut values = Vec::with_capacity(usize::try_from(slots).unwrap_or_default());
        let mut expected = self.from_s;
        for slot in stretches.iter().cloned().flatten() {
            let Some(point) = image.point(self.archive.slot_offset(slot)) else {
                let needs = stretches.iter().filter(|stretch| !stretch.is_empty());
                let needs = needs.map(|stretch| self.stretch(stretch.start, stretch.end));
                return Ok(FetchAnswer::Need(needs.collect()));
            };
            let known = i64::from(point.timestamp) == expected;
            values.push(known.then_some(point.value));
            expected += i64::from(self.archive.step_s);
        }
        Ok(self.series(values))
    }

    fn series(&self, values: Vec<Option<f64>>) -> FetchAnswer {
        FetchAnswer::Series(Series {
            from_s: self.from_s,
            until_s: self.until_s,
            step_s: self.archive.step_s,
            values,
        })
    }

    fn stretch(&self, from: u32, to: u32) -> ByteRange {
        let bytes = u64::from(to - from) * POINT_BYTES as u64;
        let Ok(len) = u32::try_from(bytes) else {
            unreachable!("{bytes} bytes hold more than {FETCH_VALUES_MAX} values")
        };
        ByteRange {
            offset: self.archive.slot_offset(from),
            len,
        }
    }
}
const _: () = assert!(FETCH_VALUES_MAX * POINT_BYTES as u64 <= u32::MAX as u64);

#[cfg(test)]
mod tests {
    use super::super::codec;
    use super::super::{Aggregation, Retention};
    use super::*;
    use crate::point::Point;

    /// A file of 5 slots of 60 s and 3 of 300 s; the points 1200 to 1440 lie in the first archive,
    /// beginning at its second slot, and 1200 in the second.
    fn file() -> (Header, Vec<u8>) {
        let sizes = [(60, 5), (300, 3)].map(|(step_s, points)| Retention { step_s, points });
        let header = Header::new(&sizes, 0.5, Aggregation::Sum).unwrap();
        let mut bytes = header.encode();
        for timestamp in [1440, 1200, 1260, 1320, 1380, 1200] {
            let value = f64::from(timestamp);
            codec::encode_point(Point { timestamp, value }, &mut bytes);
        }
        bytes.resize(usize::try_from(header.file_bytes()).unwrap(), 0);
        (header, bytes)
    }

    fn ask(from_s: i64, until_s: i64, step_s: Option<u32>) -> Result<Option<Series>, FetchError> {
        let (header, bytes) = file();
        let request = FetchRequest {
            from_s,
            until_s,
            now_s: 1450,
            step_s,
        };
        let Some(plan) = fetch(&header, request)? else {
            return Ok(None);
        };
        let mut image = Image::new();
        for _ in 0..3 {
            match plan.answer(&image)? {
                FetchAnswer::Series(series) => return Ok(Some(series)),
                FetchAnswer::Need(ranges) => {
                    for range in ranges {
                        let start = usize::try_from(range.offset).unwrap();
                        image.add(range, bytes[start..][..range.len as usize].to_vec());
                    }
                }
            }
        }
        panic!("more than two rounds")
    }

    #[test]
    fn the_first_point_is_the_one_after_from() {
        let series = ask(1200, 1440, None).unwrap().unwrap();
        assert_eq!(
            (series.from_s, series.until_s, series.step_s),
            (1260, 1500, 60)
        );
        let expected = [1260.0, 1320.0, 1380.0, 1440.0].map(Some);
        assert_eq!(series.values, expected);
    }

    #[test]
    fn a_range_without_length_takes_the_next_point() {
        let series = ask(1270, 1271, None).unwrap().unwrap();
        assert_eq!((series.from_s, series.until_s), (1320, 1380));
        assert_eq!(series.values, [Some(1320.0)]);
    }

    #[test]
    fn an_older_range_comes_from_the_archive_that_reaches() {
        let series = ask(1100, 1450, None).unwrap().unwrap();
        assert_eq!(
            (series.from_s, series.until_s, series.step_s),
            (1200, 1500, 300)
        );
        assert_eq!(series.values, [Some(1200.0)]);
        let series = ask(0, i64::MAX, None).unwrap().unwrap();
        assert_eq!((series.from_s, series.until_s), (600, 1500));
        assert_eq!(series.values, [None, None, Some(1200.0)]);
    }

    #[test]
    fn a_chosen_archive_is_read_even_where_it_does_not_reach() {
        let series = ask(1050, 1440, Some(60)).unwrap().unwrap();
        // seven intervals, of which Python reads what a lap of five leaves
        assert_eq!((series.from_s, series.until_s), (1080, 1500));
        assert_eq!(series.values, [None, None]);
        assert_eq!(ask(1050, 1440, Some(0)).unwrap().unwrap().step_s, 300);
        let error = ask(1050, 1440, Some(7)).unwrap_err();
        assert_eq!(error, FetchError::Granularity { step_s: 7 });
    }

    #[test]
    fn ranges_outside_the_file_have_no_answer() {
        assert_eq!(ask(1451, 1500, None), Ok(None));
        assert_eq!(ask(0, 549, None), Ok(None));
        assert!(ask(0, 550, None).unwrap().is_some());
        let error = FetchError::Interval {
            from_s: 10,
            until_s: 9,
        };
        assert_eq!(ask(10, 9, None), Err(error));
    }

    #[test]
    fn a_file_that_ends_early_is_refused() {
        let (header, bytes) = file();
        let request = FetchRequest {
            from_s: 1200,
            until_s: 1440,
            now_s: 1450,
            step_s: None,
        };
        let plan = fetch(&header, request).unwrap().unwrap();
        let mut image = Image::new();
        let asked = ByteRange { offset: 0, len: 90 };
        image.add(asked, bytes[..80].to_vec());
        let error = FetchError::FileTooShort {
            found: 80,
            needed: 100,
        };
        assert_eq!(plan.answer(&image), Err(error));
    }

    #[test]
    fn an_endless_answer_is_refused() {
        let year = Retention {
            step_s: 1,
            points: 100_000_000,
        };
        let header = Header::new(&[year], 0.5, Aggregation::Sum).unwrap();
        let request = FetchRequest {
            from_s: 0,
            until_s: 2_000_000_000,
            now_s: 2_000_000_000,
            step_s: None,
        };
        let refused = fetch(&header, request);
        let error = FetchError::TooManyValues { found: 100_000_000 };
        assert_eq!(refused, Err(error));
    }
}
