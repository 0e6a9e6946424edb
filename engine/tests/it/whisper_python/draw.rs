//! Cases drawn from a seed: layouts, batches as they are received, queries.
//! The same seed draws the same case on every machine. What Python writes past an archive's end is
//! left out here; everything else that it accepts may come.

use benzene_engine::point::Point;
use benzene_engine::whisper::{
    Aggregation, Archive, FetchRequest, HEAD_READ_BYTES, Header, Retention,
};

/// Draws a case from its seed (SplitMix64).
pub(super) struct Draw(pub(super) u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub(super) fn small(&mut self, least: u32, most: u32) -> u32 {
        u32::try_from(self.between(u64::from(least), u64::from(most))).unwrap()
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    pub(super) fn header(&mut self) -> Header {
        // Tenths are where comparing in 32 or 64 bits makes a difference.
        let tenth = f32::from(u8::try_from(self.below(11)).unwrap()) / 10.0;
        let any = f32::from(u16::try_from(self.below(1000)).unwrap()) / 999.0;
        let factor = self.one_of(&[tenth, 0.5, 0.0, any]);
        let method = self.one_of(&Aggregation::ALL);
        let archives = self.archives();
        let Ok(mut header) = Header::new(&archives, factor, method) else {
            unreachable!("{archives:?}")
        };
        if self.below(4) == 0 {
            self.distort(&mut header);
        }
        header
    }

    /// A layout that `validateArchiveList` refuses, but that stands in old files and that Python
    /// updates: steps that do not divide each other, archives with too few points.
    fn distort(&mut self, header: &mut Header) {
        let mut offset = header.header_bytes() as u64;
        let mut before = 0;
        for archive in &mut header.archives {
            archive.step_s = before + self.small(1, 13);
            archive.points = self.small(1, 15);
            archive.offset = offset;
            offset += archive.bytes();
            before = archive.step_s;
        }
        let longest = header
            .archives
            .iter()
            .map(Archive::retention_s)
            .max()
            .unwrap();
        header.max_retention_s = u32::try_from(longest).unwrap();
    }

    pub(super) fn archives(&mut self) -> Vec<Retention> {
        let mut archives = Vec::new();
        let mut step_s = self.one_of(&[1, 2, 5, 10, 60]);
        let mut points = self.small(1, 12);
        for _ in 0..self.below(4) {
            let ratio = self.one_of(&[2, 3, 5, 6, 10]);
            points = points.max(ratio) + self.small(0, 3);
            archives.push(Retention { step_s, points });
            step_s *= ratio;
            points = points / ratio + self.small(1, 12);
        }
        archives.push(Retention { step_s, points });
        archives
    }

    pub(super) fn head_bytes(&mut self, header: &Header) -> u32 {
        let header = u32::try_from(header.header_bytes()).unwrap();
        self.one_of(&[HEAD_READ_BYTES, header, header + 12])
    }

    fn value(&mut self) -> f64 {
        let whole = f64::from(self.small(0, 20)) - 10.0;
        let fraction = f64::from(self.small(0, u32::MAX)) / 1e7 - 200.0;
        let special = self.one_of(&[0.0, -0.0, 1e300, -1e300, 5e-324, f64::NAN, f64::INFINITY]);
        let rare = if self.below(8) == 0 {
            special
        } else {
            fraction
        };
        self.one_of(&[whole, whole, fraction, rare])
    }

    /// A batch as it is received: any order, seconds sent again, gaps, every archive's edge.
    pub(super) fn batch(&mut self, header: &Header, now: u64) -> Vec<Point> {
        let mut times = Vec::new();
        for _ in 0..self.between(1, 4) {
            self.times(header, now, &mut times);
        }
        if self.below(2) == 0 {
            times.sort_unstable();
        } else {
            for last in (1..times.len()).rev() {
                let other = usize::try_from(self.below(last as u64 + 1)).unwrap();
                times.swap(last, other);
            }
        }
        if runs_past_the_end(header, &times, now) {
            times.retain(|time| *time <= now);
        }
        let timestamps = times.into_iter().map(|time| u32::try_from(time).unwrap());
        timestamps
            .map(|timestamp| Point {
                timestamp,
                value: self.value(),
            })
            .collect()
    }

    fn times(&mut self, header: &Header, now: u64, times: &mut Vec<u64>) {
        let archive = self.one_of(&header.archives);
        let step = u64::from(archive.step_s);
        let longest = u64::from(header.max_retention_s);
        match self.below(13) {
            0..4 => {
                let first = now - self.below(archive.retention_s());
                times.extend(
                    (0..self.between(1, 20))
                        .map(|n| first + n * step)
                        .filter(|time| *time <= now),
                );
            }
            4..6 => times.extend((0..self.between(1, 6)).map(|n| now - n * step)),
            6..8 => {
                for _ in 0..self.between(1, 12) {
                    times.push(now - self.below(longest + longest / 8 + 2));
                }
            }
            8 => times.push(now - archive.retention_s() + 1 - self.below(3)),
            9..11 => {
                let again = times.last().copied().unwrap_or(now);
                times.extend([again, again]);
            }
            11 => times.push(now + self.below(header.archives[0].retention_s())),
            _ => times.push(now + self.below(longest * 3)),
        }
    }

    pub(super) fn request(&mut self, header: &Header, now: u64) -> FetchRequest {
        let now_s = i64::try_from(now).unwrap();
        let longest = u64::from(header.max_retention_s);
        let mut around =
            || now_s + 20 - i64::try_from(self.below(longest + longest / 4 + 40)).unwrap();
        let (one, other) = (around(), around());
        let chosen = self.one_of(&header.archives).step_s;
        FetchRequest {
            from_s: one.min(other),
            until_s: self.one_of(&[one.max(other), one.min(other), now_s.max(one)]),
            now_s,
            step_s: self.one_of(&[None, None, Some(chosen), Some(0)]),
        }
    }
}

/// Whether a batch holds an unbroken run that is longer than the first archive and one more: only
/// points of the future make one, and Python then writes past the archive's end.
fn runs_past_the_end(header: &Header, times: &[u64], now: u64) -> bool {
    let finest = header.archives[0];
    let step = u64::from(finest.step_s);
    let mut intervals: Vec<u64> = times
        .iter()
        .filter(|time| now.saturating_sub(**time) <= finest.retention_s())
        .map(|time| time - time % step)
        .collect();
    intervals.sort_unstable();
    intervals.dedup();
    let mut run = 1;
    intervals.windows(2).any(|pair| {
        run = if pair[1] == pair[0] + step {
            run + 1
        } else {
            1
        };
        run > u64::from(finest.points) + 1
    })
}
