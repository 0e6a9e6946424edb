//! The points of one archive against what should be in it, as a reader sees them: an interval's
//! place is its distance from the first slot's interval, and what stands there under another
//! interval is not seen.
//! Pure: bytes in, findings out.

use benzene_engine::whisper::Archive;

use super::{Findings, POINT_BYTES};
use crate::workload::Workload;

/// Which intervals an archive should hold, and from which round; the same for every metric.
#[derive(Debug)]
pub(crate) struct Expected {
    archive: Archive,
    /// (interval, round), by interval.
    intervals: Vec<(u32, u32)>,
    /// Rounds whose place a later round takes.
    replaced: u64,
}

impl Expected {
    /// The last round of each interval, and of those as many of the newest as there are slots.
    pub(crate) fn in_archive(archive: Archive, workload: &Workload) -> Self {
        assert!(archive.step_s > 0 && archive.points > 0, "{archive:?}");
        let mut intervals: Vec<(u32, u32)> = Vec::new();
        for round in 0..workload.rounds() {
            let timestamp = workload.timestamp(round);
            let interval = timestamp - timestamp % archive.step_s;
            match intervals.last_mut() {
                Some(last) if last.0 == interval => last.1 = round,
                _ => intervals.push((interval, round)),
            }
        }
        let newest = intervals.last().map_or(0, |(interval, _)| *interval);
        let span = u64::from(archive.points) * u64::from(archive.step_s);
        intervals.retain(|(interval, _)| u64::from(newest - interval) < span);
        let replaced = u64::from(workload.rounds()) - intervals.len() as u64;
        Self {
            archive,
            intervals,
            replaced,
        }
    }

    pub(crate) fn archive(&self) -> Archive {
        self.archive
    }

    /// Adds to the findings what one metric's archive shows.
    pub(crate) fn compare(
        &self,
        bytes: &[u8],
        workload: &Workload,
        index: u32,
        findings: &mut Findings,
    ) {
        let (points, rest) = bytes.as_chunks::<POINT_BYTES>();
        assert!(
            rest.is_empty() && points.len() == self.archive.points as usize,
            "{} bytes of {:?}",
            bytes.len(),
            self.archive
        );
        findings.replaced += self.replaced;
        let base = timestamp_of(&points[0]);
        let mut seen = 0;
        for &(interval, round) in &self.intervals {
            let point = &points[self.place(base, interval)];
            if base == 0 || timestamp_of(point) != interval {
                findings
                    .missing
                    .add(|| format!("{} {interval}", workload.name(index)));
                continue;
            }
            seen += 1;
            let (value, wanted) = (value_of(point), f64::from(workload.value(index, round)));
            if value.to_bits() == wanted.to_bits() {
                findings.found += 1;
            } else {
                findings.wrong.add(|| {
                    let name = workload.name(index);
                    format!("{name} {interval}: {value}, sent was {wanted}")
                });
            }
        }
        let filled = points.iter().filter(|point| timestamp_of(point) != 0);
        if filled.clone().count() > seen {
            for point in filled.filter(|point| !self.holds(timestamp_of(point))) {
                findings.extra.add(|| {
                    let (timestamp, value) = (timestamp_of(point), value_of(point));
                    format!("{} {timestamp}: {value}", workload.name(index))
                });
            }
        }
    }

    fn holds(&self, interval: u32) -> bool {
        self.intervals
            .binary_search_by_key(&interval, |(held, _)| *held)
            .is_ok()
    }

    /// The slot in which a reader looks for an interval.
    fn place(&self, base: u32, interval: u32) -> usize {
        let steps = (i64::from(interval) - i64::from(base)) / i64::from(self.archive.step_s);
        let place = steps.rem_euclid(i64::from(self.archive.points));
        usize::try_from(place).unwrap_or_else(|_| unreachable!("{place} is a remainder"))
    }
}

fn timestamp_of(point: &[u8; POINT_BYTES]) -> u32 {
    let [a, b, c, d, ..] = *point;
    u32::from_be_bytes([a, b, c, d])
}

fn value_of(point: &[u8; POINT_BYTES]) -> f64 {
    let [_, _, _, _, value @ ..] = *point;
    f64::from_be_bytes(value)
}
