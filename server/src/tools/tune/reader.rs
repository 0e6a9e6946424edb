//! Somebody who reads the same disk meanwhile, as graphite-web does: single pages of the files, past the
//! page cache, one after the other with a pause between. How long each takes is what a person waits for
//! his graph.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use benzene_engine::clock;
use benzene_engine::ring::direct::DirectFile;

use super::scratch::Scratch;

/// From the end of one read to the next.
const PAUSE: Duration = Duration::from_millis(10);

/// The reader; it reads while it is told to.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    scratch: &'a Scratch,
    files: u32,
    is_reading: AtomicBool,
    is_over: AtomicBool,
}

impl<'a> Reader<'a> {
    /// A reader of the first so many files.
    pub(super) fn new(scratch: &'a Scratch, files: u32) -> Reader<'a> {
        Reader {
            scratch,
            files,
            is_reading: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }

    /// Reads until it is over, on a thread of its own. What each read has taken.
    #[expect(clippy::disallowed_methods, reason = "a tool's thread may sleep")]
    pub(super) fn run(&self) -> Vec<Duration> {
        let (mut waits, mut turn) = (Vec::new(), 0);
        while !self.is_over.load(Ordering::Relaxed) {
            if self.is_reading.load(Ordering::Relaxed) {
                waits.extend(self.read(turn));
                turn += 1;
            }
            std::thread::sleep(PAUSE);
        }
        waits
    }

    /// From now on it reads, or pauses.
    pub(super) fn set_reading(&self, is_reading: bool) {
        self.is_reading.store(is_reading, Ordering::Relaxed);
    }

    /// It ends.
    pub(super) fn finish(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// One page of some file, other than those that the last reads were of.
    fn read(&self, turn: u32) -> Option<Duration> {
        let number = turn.wrapping_mul(2_654_435_761) % self.files.max(1);
        let mut file = DirectFile::open(&self.scratch.file(number)).ok()?;
        let page = u64::from(turn) % file.pages().max(1);
        let begun = clock::now().instant;
        file.read_page(page).ok()?;
        Some(clock::now().instant.saturating_duration_since(begun))
    }
}

/// The median and the 99th percentile, where there are any.
pub(super) fn percentiles(mut waits: Vec<Duration>) -> Option<(Duration, Duration)> {
    waits.sort_unstable();
    let at = |percent: usize| waits.get((waits.len() * percent / 100).min(waits.len() - 1));
    if waits.is_empty() {
        return None;
    }
    Some((*at(50)?, *at(99)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_and_of_many() {
        let waits = |count: u64| (0..count).rev().map(Duration::from_millis).collect();
        assert_eq!(percentiles(waits(0)), None);
        let both = |p50, p99| Some((Duration::from_millis(p50), Duration::from_millis(p99)));
        assert_eq!(percentiles(waits(1)), both(0, 0));
        assert_eq!(percentiles(waits(1000)), both(500, 990));
    }
}
