//! Points that were written and stay answerable for a while.
//! graphite-web reads the file first and the cache second: a point that is written in between would
//! be in neither answer. They are not counted as cached; a bound in bytes drops the oldest early.
//! Invariant: oldest first, so that only the front is ever removed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::points::{BLOCK_BYTES, Run};

const RECENT: Duration = Duration::from_secs(crate::limits::RECENT_S);

/// Points of one series, written together.
#[derive(Debug)]
struct Landed {
    series: u32,
    run: Run,
    at: Instant,
    /// Number of what was written before for the same series.
    before: u64,
}

/// All recent points of a shard.
#[derive(Debug)]
pub(super) struct Recent {
    queue: VecDeque<Landed>,
    /// Number of the front; zero is no number.
    front: u64,
    bytes: u64,
    bytes_max: u64,
}

impl Recent {
    /// Nothing recent.
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            front: 1,
            bytes: 0,
            bytes_max,
        }
    }

    /// Keeps what was just written; `before` is the number that the series had. Returns its number
    /// now.
    pub(super) fn push(&mut self, series: u32, run: Run, at: Instant, before: u64) -> u64 {
        if let Some(last) = self.queue.back() {
            assert!(
                at >= last.at,
                "the clock went back from {:?} to {at:?}",
                last.at
            );
        }
        self.bytes += landed_bytes(&run);
        self.queue.push_back(Landed {
            series,
            run,
            at,
            before,
        });
        self.front + self.queue.len() as u64 - 1
    }

    /// Removes the oldest where it is past its time or the bound, and returns its series and
    /// points.
    pub(super) fn pop_past(&mut self, now: Instant) -> Option<(u32, Run)> {
        let oldest = self.queue.front()?;
        let is_past = now.saturating_duration_since(oldest.at) >= RECENT;
        if !is_past && self.bytes <= self.bytes_max {
            return None;
        }
        let Landed { series, run, .. } = self.queue.pop_front()?;
        self.front += 1;
        self.bytes -= landed_bytes(&run);
        if self.queue.len() < self.queue.capacity() / 8 {
            self.queue.shrink_to(self.queue.len() * 2);
        }
        Some((series, run))
    }

    /// Has the series that was last given `number` anything here?
    pub(super) fn has(&self, series: u32, number: u64) -> bool {
        self.get(series, number).is_some()
    }

    /// What the series that was last given `number` has here, newest first.
    pub(super) fn runs(&self, series: u32, number: u64) -> impl Iterator<Item = &Run> {
        let newest = self.get(series, number);
        std::iter::successors(newest, move |landed| self.get(series, landed.before))
            .map(|landed| &landed.run)
    }

    /// Bytes of the points, and of what is noted about them.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of the queue itself.
    pub(super) fn queue_bytes(&self) -> usize {
        self.queue.capacity() * size_of::<Landed>()
    }

    fn get(&self, series: u32, number: u64) -> Option<&Landed> {
        let place = usize::try_from(number.checked_sub(self.front)?).ok()?;
        self.queue
            .get(place)
            .filter(|landed| landed.series == series)
    }
}

fn landed_bytes(run: &Run) -> u64 {
    (size_of::<Landed>() + run.blocks() as usize * BLOCK_BYTES) as u64
}
