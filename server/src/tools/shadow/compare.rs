//! Two files of one metric, ours and that of the daemon that is shadowed, over the time that both saw.
//! Pure: the bytes of two files in, counts out. Opens nothing, reads no clock.
//! Ours begins with the shadow, so that what was stored before is not looked for: a point of theirs
//! that we lack counts from our first live point on, and an interval of a coarser archive only where
//! all of it lies between our first and our last. What theirs lacks behind its newest point is in its
//! cache still. A slot of more than a second holds the last of several points: in the newest slot of
//! either file a later one may be on its way, so that two values prove nothing there.
//! On failure: why the two cannot be compared; a foreign file never makes this panic.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use benzene_engine::point::Point;
use benzene_engine::whisper::{Archive, Header, HeaderError, archive_points};

/// How the points of two files compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// The same value, bit by bit.
    pub(super) equal: u64,
    /// Two values for one time.
    pub(super) differ: u64,
    /// Only in ours, and theirs has newer ones.
    pub(super) only_ours: u64,
    /// Only in theirs.
    pub(super) only_theirs: u64,
    /// Only in ours, newer than everything in theirs, or another value in a slot that was not over: what
    /// is missing waits in the other's cache, or was sent after the shadow.
    pub(super) not_there_yet: u64,
}

impl Tally {
    pub(super) fn add(&mut self, more: &Tally) {
        self.equal += more.equal;
        self.differ += more.differ;
        self.only_ours += more.only_ours;
        self.only_theirs += more.only_theirs;
        self.not_there_yet += more.not_there_yet;
    }

    /// Nothing contradicts that both have stored the same.
    pub(super) fn agrees(&self) -> bool {
        self.differ == 0 && self.only_ours == 0 && self.only_theirs == 0
    }
}

/// Why two files cannot be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Unlike {
    /// One of them is no Whisper file.
    #[error("{whose} file cannot be read: {problem}")]
    Unreadable {
        /// Ours or theirs.
        whose: &'static str,
        /// What is wrong with it.
        problem: Unreadable,
    },
    /// Theirs was made by other schemas than ours would be now.
    #[error("theirs is {theirs}, ours would be {ours}")]
    Layout {
        /// Theirs, in words.
        theirs: String,
        /// Ours, in words.
        ours: String,
    },
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(super) enum Unreadable {
    /// Its header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// It ends too early.
    #[error("it ends before its last archive does")]
    Short,
}

/// Compares two files; `began_s` is when the shadow began to receive.
pub(super) fn compare(ours: &[u8], theirs: &[u8], began_s: u32) -> Result<Tally, Unlike> {
    let unreadable = |whose| move |problem| Unlike::Unreadable { whose, problem };
    let (header, our_points) = read(ours).map_err(unreadable("our"))?;
    let (other, their_points) = read(theirs).map_err(unreadable("the other"))?;
    if header != other {
        return Err(Unlike::Layout {
            theirs: in_words(&other),
            ours: in_words(&header),
        });
    }
    let mut tally = Tally::default();
    let mut shared = None;
    for (index, archive) in header.archives.iter().enumerate() {
        let (our, their) = (&our_points[index], &their_points[index]);
        if index == 0 {
            let window = Window::of(our, their, archive, began_s);
            tally.add(&window.finest(our, their));
            shared = Some(window);
        } else if let Some(window) = &shared {
            tally.add(&window.coarser(our, their, archive));
        }
    }
    Ok(tally)
}

/// A file's header and the points of each archive, by time.
fn read(bytes: &[u8]) -> Result<(Header, Vec<Vec<Point>>), Unreadable> {
    let header = Header::parse(bytes)?;
    let mut archives = Vec::with_capacity(header.archives.len());
    for archive in &header.archives {
        let begin = usize::try_from(archive.offset).unwrap_or(usize::MAX);
        let length = usize::try_from(archive.bytes()).unwrap_or(usize::MAX);
        let bytes = bytes.get(begin..begin.saturating_add(length));
        let mut points = archive_points(archive, bytes.ok_or(Unreadable::Short)?);
        points.sort_by_key(|point| point.timestamp);
        archives.push(points);
    }
    Ok((header, archives))
}

/// As an operator writes it.
fn in_words(header: &Header) -> String {
    let archives = header.archives.iter();
    let archives: Vec<String> = archives
        .map(|archive| format!("{}s:{}", archive.step_s, archive.points))
        .collect();
    format!(
        "{} ({}, xFilesFactor {})",
        archives.join(","),
        header.aggregation.name(),
        header.x_files_factor
    )
}

/// The time that both files saw.
struct Window {
    /// From our first point that was live to our last.
    seen: Option<RangeInclusive<u32>>,
    /// Behind this second theirs has nothing.
    their_end: u64,
    /// Up to this second no slot of either gets another value.
    settled_end: u64,
}

impl Window {
    fn of(ours: &[Point], theirs: &[Point], finest: &Archive, began_s: u32) -> Window {
        let began_s = began_s - began_s % finest.step_s;
        let first = ours.iter().find(|point| point.timestamp >= began_s);
        let last = ours.last();
        let newest = theirs.last().map(|point| point.timestamp);
        // A slot of one second has its only point; of a longer one it may be the first of several.
        let is_over = u64::from(finest.step_s == 1);
        let both = last
            .zip(newest)
            .map(|(our, their)| our.timestamp.min(their));
        Window {
            seen: first
                .zip(last)
                .map(|(first, last)| first.timestamp..=last.timestamp),
            their_end: newest.map_or(0, |newest| u64::from(newest) + u64::from(finest.step_s)),
            settled_end: both.map_or(0, |newest| u64::from(newest) + is_over),
        }
    }

    /// All points of ours, and theirs of the time that was seen. Points older than the shadow came late.
    fn finest(&self, ours: &[Point], theirs: &[Point]) -> Tally {
        let is_seen = |at: u32| self.seen.as_ref().is_some_and(|seen| seen.contains(&at));
        let is_settled = |at: u32| u64::from(at) < self.settled_end;
        merge(ours, theirs, is_settled, |at, is_ours| {
            if is_ours {
                Some(u64::from(at) >= self.their_end)
            } else {
                is_seen(at).then_some(false)
            }
        })
    }

    /// Intervals that lie whole in the time that was seen.
    fn coarser(&self, ours: &[Point], theirs: &[Point], archive: &Archive) -> Tally {
        let Some(seen) = &self.seen else {
            return Tally::default();
        };
        let step_s = u64::from(archive.step_s);
        let end = |at: u32| u64::from(at) + step_s;
        let is_whole = |at: u32| at >= *seen.start() && end(at) <= u64::from(*seen.end());
        let whole = |points: &[Point]| -> Vec<Point> {
            let points = points.iter().filter(|point| is_whole(point.timestamp));
            points.copied().collect()
        };
        let is_settled = |at: u32| end(at) <= self.settled_end;
        merge(&whole(ours), &whole(theirs), is_settled, |at, _| {
            Some(end(at) > self.their_end)
        })
    }
}

/// Walks both in the order of time. `is_settled` says whether two values for a time differ for good.
/// `alone` is told the time of a point that only one has, and whether it is ours: whether it may still
/// come, or None where it does not count.
fn merge(
    ours: &[Point],
    theirs: &[Point],
    is_settled: impl Fn(u32) -> bool,
    alone: impl Fn(u32, bool) -> Option<bool>,
) -> Tally {
    let mut tally = Tally::default();
    let (mut ours, mut theirs) = (ours.iter().peekable(), theirs.iter().peekable());
    loop {
        let order = match (ours.peek(), theirs.peek()) {
            (None, None) => return tally,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(our), Some(their)) => our.timestamp.cmp(&their.timestamp),
        };
        match order {
            Ordering::Equal => {
                let Some((our, their)) = ours.next().zip(theirs.next()) else {
                    unreachable!("both have a next one")
                };
                if our.value.to_bits() == their.value.to_bits() {
                    tally.equal += 1;
                } else if is_settled(our.timestamp) {
                    tally.differ += 1;
                } else {
                    tally.not_there_yet += 1;
                }
            }
            Ordering::Less => match ours.next().and_then(|our| alone(our.timestamp, true)) {
                Some(true) => tally.not_there_yet += 1,
                Some(false) => tally.only_ours += 1,
                None => {}
            },
            Ordering::Greater => {
                let counts = theirs
                    .next()
                    .and_then(|their| alone(their.timestamp, false));
                tally.only_theirs += u64::from(counts.is_some());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use benzene_engine::whisper::{Aggregation, Retention};

    use super::*;

    const BEGAN: u32 = 1_800_000_000;

    /// A file of `10s:60,60s:60` with these points, seconds since the beginning, by archive.
    fn file(points: [&[(i64, f64)]; 2]) -> Vec<u8> {
        file_of(10, points)
    }

    /// The same with another step of the finest archive.
    fn file_of(finest_s: u32, points: [&[(i64, f64)]; 2]) -> Vec<u8> {
        let retentions =
            [(finest_s, 60), (60, 60)].map(|(step_s, points)| Retention { step_s, points });
        let header = Header::new(&retentions, 0.5, Aggregation::Average).unwrap();
        let mut bytes = header.encode();
        bytes.resize(usize::try_from(header.file_bytes()).unwrap(), 0);
        for (archive, points) in header.archives.iter().zip(points) {
            for (slot, (second, value)) in points.iter().enumerate() {
                let at = usize::try_from(archive.offset).unwrap() + slot * 12;
                let timestamp = u32::try_from(i64::from(BEGAN) + second).unwrap();
                bytes[at..at + 4].copy_from_slice(&timestamp.to_be_bytes());
                bytes[at + 4..at + 12].copy_from_slice(&value.to_be_bytes());
            }
        }
        bytes
    }

    fn tally(ours: &[u8], theirs: &[u8]) -> Tally {
        compare(ours, theirs, BEGAN).unwrap()
    }

    #[test]
    fn what_was_stored_before_the_shadow_is_not_looked_for() {
        let ours = file([&[(20, 1.0), (30, 2.0)], &[]]);
        let theirs = file([&[(-60, 7.0), (0, 8.0), (20, 1.0), (30, 2.0)], &[(-60, 7.0)]]);
        let found = tally(&ours, &theirs);
        assert!(found.agrees(), "{found:?}");
        assert_eq!(found.equal, 2);
    }

    #[test]
    fn each_way_to_differ_is_told_apart() {
        let ours = file([&[(0, 1.0), (10, 2.0), (20, 3.0), (40, 5.0), (60, 6.0)], &[]]);
        let theirs = file([&[(0, 1.0), (10, 2.5), (30, 4.0), (40, 5.0)], &[]]);
        let found = tally(&ours, &theirs);
        assert_eq!((found.equal, found.differ), (2, 1));
        assert_eq!(
            (found.only_ours, found.only_theirs, found.not_there_yet),
            (1, 1, 1)
        );
        assert!(!found.agrees());
    }

    #[test]
    fn late_points_are_looked_for_and_their_surroundings_are_not() {
        let ours = file([&[(-100, 1.0), (0, 2.0)], &[]]);
        let theirs = file([&[(-110, 9.0), (-100, 1.0), (-90, 9.0), (0, 2.0)], &[]]);
        assert!(tally(&ours, &theirs).agrees());
        let without = file([&[(-110, 9.0), (0, 2.0)], &[]]);
        assert_eq!(tally(&ours, &without).only_ours, 1);
    }

    #[test]
    fn coarse_intervals_count_where_both_saw_all_of_them() {
        let fine: &[(i64, f64)] = &[(10, 1.0), (60, 1.0), (110, 1.0), (120, 1.0), (180, 1.0)];
        // The first interval began before our first point; the third is whole, and differs.
        let ours = file([fine, &[(0, 1.0), (60, 1.0), (120, 1.0)]]);
        let theirs = file([fine, &[(0, 5.0), (60, 1.0), (120, 3.0)]]);
        let found = tally(&ours, &theirs);
        assert_eq!((found.equal, found.differ), (6, 1), "{found:?}");
    }

    /// Senders every second and slots of ten: the files end in the middle of one.
    #[test]
    fn a_slot_that_may_get_another_point_contradicts_nothing() {
        let short = file([&[(0, 1.0), (10, 2.0), (20, 3.0)], &[]]);
        for (last, longer) in [
            // The newest of both; of one alone.
            (20, file([&[(0, 1.0), (10, 2.0), (20, 3.5)], &[]])),
            (
                30,
                file([&[(0, 1.0), (10, 2.0), (20, 3.5), (30, 4.0)], &[]]),
            ),
        ] {
            let found = tally(&short, &longer);
            assert!(found.agrees(), "{last}: {found:?}");
            assert_eq!((found.equal, found.not_there_yet), (2, 1), "{last}");
            let found = tally(&longer, &short);
            assert!(found.agrees(), "{last}: {found:?}");
        }
        let wrong = file([&[(0, 1.0), (10, 2.5), (20, 3.5)], &[]]);
        assert_eq!(tally(&short, &wrong).differ, 1, "that one was over");
    }

    #[test]
    fn a_slot_of_one_second_is_over_with_its_point() {
        let ours = file_of(1, [&[(0, 1.0), (1, 2.0)], &[]]);
        let theirs = file_of(1, [&[(0, 1.0), (1, 2.5)], &[]]);
        assert_eq!(tally(&ours, &theirs).differ, 1);
    }

    /// The other has a part of an interval in its file and the rest in its cache.
    #[test]
    fn a_coarse_interval_that_goes_on_contradicts_nothing() {
        let all: &[(i64, f64)] = &[(0, 1.0), (40, 1.0), (59, 3.0), (60, 1.0), (130, 1.0)];
        let ours = file_of(1, [all, &[(0, 2.0), (60, 1.0)]]);
        for (count, differ, not_there_yet) in [(2, 0, 5), (3, 1, 3)] {
            let theirs = file_of(1, [&all[..count], &[(0, 1.0)]]);
            let found = tally(&ours, &theirs);
            assert_eq!(
                (found.differ, found.not_there_yet),
                (differ, not_there_yet),
                "{found:?}"
            );
        }
    }

    #[test]
    fn values_are_compared_bit_by_bit() {
        let with = |value| file([&[(0, value), (10, 1.0)], &[]]);
        let found = tally(&with(0.0), &with(-0.0));
        assert_eq!(found.differ, 1);
    }

    #[test]
    fn files_that_cannot_be_compared_say_why() {
        let good = file([&[(0, 1.0)], &[]]);
        let short = &good[..good.len() - 1];
        for (ours, theirs, word) in [
            (short, &good[..], "our file"),
            (&good, short, "the other file cannot be read: it ends"),
            (&good, b"nothing", "the other file"),
        ] {
            let error = compare(ours, theirs, BEGAN).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let retentions = [Retention {
            step_s: 10,
            points: 60,
        }];
        let header = Header::new(&retentions, 0.5, Aggregation::Sum).unwrap();
        let mut other = header.encode();
        other.resize(usize::try_from(header.file_bytes()).unwrap(), 0);
        let error = compare(&good, &other, BEGAN).unwrap_err().to_string();
        assert!(error.contains("theirs is 10s:60 (sum"), "{error}");
    }
}
