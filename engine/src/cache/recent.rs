//! Points that were written and stay answerable for a while.
//! graphite-web reads the file first and the cache second: a point that is written in between would
//! be in neither answer. They are not counted as cached; a bound in bytes drops the oldest early.
//! Invariant: oldest first, so that only the front is ever removed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::points::{Blocks, Run};
use crate::names::slab::number;

const RECENT: Duration = Duration::from_secs(crate::limits::RECENT_S);

/// Points of one series, written together.
#[derive(Debug)]
struct Landed {
    series: u32,
    run: Run,
    at: Instant,
    /// Number of what was written before for the same series and was here then.
    before: Option<u32>,
}

/// What was just written of a series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Landing {
    pub(super) series: u32,
    pub(super) run: Run,
    /// The number that the series had.
    pub(super) before: u32,
}

/// All recent points of a shard.
#[derive(Debug)]
pub(super) struct Recent {
    queue: VecDeque<Landed>,
    /// Number of the front. Numbers wrap: a series whose number is past its time has nothing here,
    /// so that whatever that number leads to by now belongs to another series.
    front: u32,
    bytes: u64,
    bytes_max: u64,
}

impl Recent {
    /// Nothing recent.
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            front: 0,
            bytes: 0,
            bytes_max,
        }
    }

    /// Keeps what was just written. Returns the series' number now.
    pub(super) fn push(&mut self, blocks: &Blocks, landing: Landing, at: Instant) -> u32 {
        let Landing {
            series,
            run,
            before,
        } = landing;
        if let Some(last) = self.queue.back() {
            assert!(
                at >= last.at,
                "the clock went back from {:?} to {at:?}",
                last.at
            );
        }
        self.bytes += landed_bytes(blocks, &run);
        let before = self.has(series, before).then_some(before);
        self.queue.push_back(Landed {
            series,
            run,
            at,
            before,
        });
        self.front.wrapping_add(number(self.queue.len() - 1))
    }

    /// Removes the oldest where it is past its time or the bound: its series, the number that this
    /// had with it, and its points.
    pub(super) fn pop_past(&mut self, blocks: &Blocks, now: Instant) -> Option<(u32, u32, Run)> {
        let oldest = self.queue.front()?;
        let is_past = now.saturating_duration_since(oldest.at) >= RECENT;
        if !is_past && self.bytes <= self.bytes_max {
            return None;
        }
        let Landed { series, run, .. } = self.queue.pop_front()?;
        let number = self.front;
        self.front = number.wrapping_add(1);
        self.bytes -= landed_bytes(blocks, &run);
        if self.queue.len() < self.queue.capacity() / 8 {
            self.queue.shrink_to(self.queue.len() * 2);
        }
        Some((series, number, run))
    }

    /// Has the series that was last given `number` anything here?
    pub(super) fn has(&self, series: u32, number: u32) -> bool {
        self.get(series, number).is_some()
    }

    /// What the series that was last given `number` has here, newest first.
    pub(super) fn runs(&self, series: u32, number: u32) -> impl Iterator<Item = &Run> {
        let newest = self.get(series, number);
        std::iter::successors(newest, move |landed| self.get(series, landed.before?))
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

    fn get(&self, series: u32, number: u32) -> Option<&Landed> {
        self.queue
            .get(number.wrapping_sub(self.front) as usize)
            .filter(|landed| landed.series == series)
    }
}

fn landed_bytes(blocks: &Blocks, run: &Run) -> u64 {
    size_of::<Landed>() as u64 + blocks.run_bytes(run)
}
