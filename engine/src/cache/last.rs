//! What was written last of each series, once its time as recent points is over and until its next
//! update: that update looks whether the file still has it, and writes it again where the file was
//! replaced or made anew meanwhile (docs/decisions/0014). No query sees it.
//! Bounded in bytes and in time. What has been here longest goes first; a series whose last points
//! went is updated like one that has none.
//! Invariants: a series has at most one entry, and none while it has recent points; entries are
//! linked in the order in which they came.

use std::time::{Duration, Instant};

use super::points::{Blocks, Run};
use crate::limits::LAST_S;
use crate::names::slab::Slab;

/// No entry.
const NONE: u32 = u32::MAX;

/// The last points of one series.
#[derive(Clone, Copy, Debug)]
struct Entry {
    series: u32,
    before: u32,
    after: u32,
    /// Second since `Last::began`.
    since: u32,
    run: Run,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            series: NONE,
            before: NONE,
            after: NONE,
            since: 0,
            run: Run::default(),
        }
    }
}

/// The last points of a shard's series.
#[derive(Debug)]
pub(super) struct Last {
    entries: Slab<Entry>,
    oldest: u32,
    newest: u32,
    bytes: u64,
    bytes_max: u64,
    began: Instant,
    kept_s: u32,
}

impl Last {
    /// Nothing; points may be held for so long that the next update is later.
    pub(super) fn new(bytes_max: u64, began: Instant, max_point_age_s: u32) -> Self {
        Self {
            entries: Slab::default(),
            oldest: NONE,
            newest: NONE,
            bytes: 0,
            bytes_max,
            began,
            kept_s: LAST_S.max(max_point_age_s.saturating_mul(2)),
        }
    }

    /// Keeps a series' last points. Returns the series' number now.
    pub(super) fn push(&mut self, blocks: &Blocks, series: u32, run: Run, now: Instant) -> u32 {
        let entry = Entry {
            series,
            before: self.newest,
            after: NONE,
            since: self.second(now),
            run,
        };
        let number = self.entries.insert(entry);
        let before = std::mem::replace(&mut self.newest, number);
        if before == NONE {
            self.oldest = number;
        } else {
            self.entries[before].after = number;
        }
        self.bytes += entry_bytes(blocks, &run);
        number
    }

    /// The last points of a series that was last given `number`, if they are here.
    pub(super) fn get(&self, series: u32, number: u32) -> Option<&Run> {
        let entry = self.entries.peek(number)?;
        let is_here = entry.series == series && self.entries.contains(number);
        is_here.then_some(&entry.run)
    }

    /// Lets go of a series' last points, if they are here.
    pub(super) fn remove(&mut self, blocks: &Blocks, series: u32, number: u32) -> Option<Run> {
        self.get(series, number)?;
        let Entry {
            before, after, run, ..
        } = self.entries.remove(number);
        if before == NONE {
            self.oldest = after;
        } else {
            self.entries[before].after = after;
        }
        if after == NONE {
            self.newest = before;
        } else {
            self.entries[after].before = before;
        }
        self.bytes -= entry_bytes(blocks, &run);
        Some(run)
    }

    /// Removes what has been here longest where more is here than may be.
    pub(super) fn pop_over(&mut self, blocks: &Blocks) -> Option<Run> {
        let is_over = self.bytes > self.bytes_max;
        is_over.then(|| self.pop(blocks)).flatten()
    }

    /// The same where it is past its time.
    pub(super) fn pop_past(&mut self, blocks: &Blocks, now: Instant) -> Option<Run> {
        let is_past = self.next_past().is_some_and(|at| at <= now);
        is_past.then(|| self.pop(blocks)).flatten()
    }

    /// When what has been here longest is past its time.
    pub(super) fn next_past(&self) -> Option<Instant> {
        if self.oldest == NONE {
            return None;
        }
        let second = u64::from(self.entries[self.oldest].since) + u64::from(self.kept_s);
        Some(self.began + Duration::from_secs(second))
    }

    fn pop(&mut self, blocks: &Blocks) -> Option<Run> {
        if self.oldest == NONE {
            return None;
        }
        self.remove(blocks, self.entries[self.oldest].series, self.oldest)
    }

    /// Bytes of the entries in use, without their blocks.
    pub(super) fn used_bytes(&self) -> usize {
        self.entries.used_bytes()
    }

    /// Bytes of all entries held, without their blocks.
    pub(super) fn held_bytes(&self) -> usize {
        self.entries.held_bytes()
    }

    fn second(&self, now: Instant) -> u32 {
        let since = now.saturating_duration_since(self.began);
        u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
    }
}

fn entry_bytes(blocks: &Blocks, run: &Run) -> u64 {
    size_of::<Entry>() as u64 + blocks.run_bytes(run)
}
