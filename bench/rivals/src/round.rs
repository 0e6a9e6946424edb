//! What is to be written: files, and for each a number of points whose values follow from the
//! file's number and the time alone. So the content of every archive at any moment is a pure
//! function, whoever wrote it, and a check can compute it again.
//! Invariants: values are whole numbers below 65,536; a round's points end at its `now_s` and lie
//! one step of the finest archive apart; nothing here reads a clock.

use std::path::PathBuf;
use std::sync::Arc;

use benzene_engine::point::Point;
use benzene_engine::whisper::Header;

/// One file.
#[derive(Clone, Debug)]
pub struct Target {
    /// What decides its values.
    pub number: u32,
    /// Its metric's name.
    pub metric: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// One pass over all files of a list.
#[derive(Clone, Debug)]
pub struct Round {
    /// The files, in the order in which they are to be begun.
    pub targets: Arc<Vec<Target>>,
    /// The layout of all of them.
    pub header: Header,
    /// The time of the round, and of every file's newest point, in Unix seconds.
    pub now_s: u32,
    /// Points for each file.
    pub points: u32,
    /// The files are not there yet.
    pub creates: bool,
}

impl Round {
    /// What is known of one of its files.
    pub fn series(&self, target: &Target) -> Series<'_> {
        Series {
            header: &self.header,
            number: target.number,
            oldest_s: if self.creates { self.first_s() } else { 0 },
            newest_s: self.now_s,
        }
    }

    /// Time of the first point of each file.
    pub fn first_s(&self) -> u32 {
        let step_s = self
            .header
            .archives
            .first()
            .map_or(1, |finest| finest.step_s);
        self.now_s - (self.points - 1) * step_s
    }

    /// The points of one file, oldest first.
    pub fn points_of(&self, target: &Target) -> Vec<Point> {
        let step_s = self
            .header
            .archives
            .first()
            .map_or(1, |finest| finest.step_s);
        let first_s = self.first_s();
        let number = target.number;
        (0..self.points)
            .map(|index| first_s + index * step_s)
            .map(|timestamp| Point {
                timestamp,
                value: f64::from(raw_value(number, timestamp)),
            })
            .collect()
    }
}

/// The points that one file has seen: one in each step of the finest archive between two times.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// The file's layout, whose xFilesFactor is 0 and whose method is the average.
    pub header: &'a Header,
    /// The file's number.
    pub number: u32,
    /// Time of the oldest point.
    pub oldest_s: u32,
    /// Time of the newest point.
    pub newest_s: u32,
}

impl Series<'_> {
    /// What the archive `level` (0 is the finest) holds for the interval that begins at
    /// `interval_s`: the point itself, or the average of what the archive before it holds.
    pub fn value(&self, level: usize, interval_s: u32) -> Option<f64> {
        let Some(finer) = level.checked_sub(1) else {
            let known = (self.oldest_s..=self.newest_s).contains(&interval_s);
            return known.then(|| f64::from(raw_value(self.number, interval_s)));
        };
        let step_s = self.header.archives.get(finer)?.step_s;
        let end_s = interval_s.checked_add(self.header.archives.get(level)?.step_s)?;
        let (mut sum, mut count) = (0.0, 0_u32);
        let mut at = interval_s;
        while at < end_s {
            if let Some(value) = self.value(finer, at) {
                sum += value;
                count += 1;
            }
            at += step_s;
        }
        (count > 0).then(|| sum / f64::from(count))
    }
}

/// A whole number below 65,536 that looks like any other.
fn raw_value(number: u32, timestamp: u32) -> u16 {
    let word = u64::from(number) << 32 | u64::from(timestamp);
    let [.., low, high] = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let [top, second, ..] = word.wrapping_mul(0xd6e8_feb8_6659_fd93).to_be_bytes();
    u16::from_be_bytes([top ^ low, second ^ high])
}

#[cfg(test)]
mod tests {
    use super::*;
    use benzene_engine::whisper::{Aggregation, Retention};

    #[test]
    fn coarse_values_are_averages_of_what_is_known() {
        let archives = [(10, 60), (30, 60), (60, 60)];
        let archives = archives.map(|(step_s, points)| Retention { step_s, points });
        let header = Header::new(&archives, 0.0, Aggregation::Average).unwrap();
        let series = Series {
            header: &header,
            number: 7,
            oldest_s: 600,
            newest_s: 640,
        };
        let raw = |at| f64::from(raw_value(7, at));
        let same = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-9;
        let first = (raw(600) + raw(610) + raw(620)) / 3.0;
        let second = f64::midpoint(raw(630), raw(640));
        assert!(same(series.value(0, 610), raw(610)));
        assert!(same(series.value(1, 600), first));
        assert!(same(series.value(1, 630), second));
        assert!(same(series.value(2, 600), f64::midpoint(first, second)));
        assert_eq!(series.value(0, 590), None);
        assert_eq!(series.value(1, 660), None);
        assert!(!same(series.value(0, 600), raw(610)), "values differ");
    }
}
