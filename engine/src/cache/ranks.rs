//! Series by how many points they have, for the orders that always want the most: per number of
//! points a heap by rank.
//! Entries are left behind when a series moves on and are recognised as stale when they come up. A
//! heap that is more than half stale is rebuilt, so that a step costs the same however many series
//! there are, rebuilding included, and stale entries never outweigh live ones.
//! Invariant: every live series has an entry in the heap of its number of points.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Where a series stands among those with as many points: lower first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) entered: u64,
    pub(super) id: u32,
}

/// Stale entries that a small heap may keep.
const STALE_MIN: usize = 64;

#[derive(Debug, Default)]
struct Level {
    live: usize,
    heap: BinaryHeap<Reverse<Rank>>,
}

/// All levels.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    levels: BTreeMap<u32, Level>,
    heap_slots: usize,
}

impl Ranks {
    /// A series has `points` points now.
    pub(super) fn add(&mut self, points: u32, rank: Rank) {
        assert!(points > 0, "series {} has no points", rank.id);
        let level = self.levels.entry(points).or_default();
        level.live += 1;
        self.heap_slots -= level.heap.capacity();
        level.heap.push(Reverse(rank));
        self.heap_slots += level.heap.capacity();
    }

    /// A series has `points` points no longer. `is_live` tells for an entry of that level whether
    /// it still holds.
    pub(super) fn remove(&mut self, points: u32, is_live: impl Fn(Rank) -> bool) {
        let Some(level) = self.levels.get_mut(&points) else {
            unreachable!("no series has {points} points");
        };
        assert!(level.live > 0, "no series is left with {points} points");
        level.live -= 1;
        if level.live == 0 {
            self.heap_slots -= level.heap.capacity();
            self.levels.remove(&points);
        } else if level.heap.len() > 2 * level.live + STALE_MIN {
            self.heap_slots -= level.heap.capacity();
            let mut ranks = std::mem::take(&mut level.heap).into_vec();
            ranks.retain(|Reverse(rank)| is_live(*rank));
            // A series that left and came back may be there twice.
            ranks.sort_unstable();
            ranks.dedup();
            ranks.shrink_to(ranks.len() * 2);
            level.heap = BinaryHeap::from(ranks);
            self.heap_slots += level.heap.capacity();
        }
    }

    /// The first of those with the most points. `is_live` tells for a number of points and an
    /// entry whether it still holds.
    pub(super) fn first(&mut self, is_live: impl Fn(u32, Rank) -> bool) -> Option<u32> {
        let mut highest = self.levels.last_entry()?;
        let points = *highest.key();
        let level = highest.get_mut();
        while let Some(Reverse(rank)) = level.heap.peek() {
            if is_live(points, *rank) {
                return Some(rank.id);
            }
            level.heap.pop();
        }
        unreachable!(
            "{} series with {points} points are not in their heap",
            level.live
        )
    }

    /// Bytes of the heaps.
    pub(super) fn bytes(&self) -> usize {
        self.heap_slots * size_of::<Reverse<Rank>>() + self.levels.len() * 2 * size_of::<Level>()
    }
}
