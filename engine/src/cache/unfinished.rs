//! Series of which an update took as many points as one takes, and left others, and those whose updates have
//! failed: they take turns with the choices of the write order, so that a year that was sent at once is not
//! held in memory for as many rounds as it takes updates, and neither many such years nor many files that
//! fail, each of which has waited longest, keep all others waiting.
//! An update takes `UPDATE_POINTS_MAX`, or fewer where it would have to read much of the file for each.
//! Invariants: a series is here once at most, with one entry in a queue; one that is taken, or is found
//! not to be writable, goes. A queue is at most twice as long as there are series.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::{Cache, Place, SeriesId, Volume};
use crate::limits::UPDATE_POINTS_MAX;

/// A series that is unfinished.
#[derive(Clone, Copy, Debug)]
struct Left {
    /// How many points its next update takes at most.
    points_max: u32,
    /// The number of its entry in the queue.
    number: u64,
}

/// The unfinished series of a data directory.
#[derive(Debug, Default)]
struct Lane {
    series: HashMap<u32, Left, foldhash::fast::FixedState>,
    /// In the order in which their updates ended: the entry's number, and the series.
    queue: VecDeque<(u64, u32)>,
    number: u64,
    /// Was the update that began last one of these?
    had_turn: bool,
}

impl Lane {
    fn add(&mut self, id: u32, points_max: u32) {
        self.number += 1;
        let number = self.number;
        self.series.insert(id, Left { points_max, number });
        self.queue.push_back((number, id));
        if self.queue.len() > 2 * self.series.len() {
            let series = &self.series;
            self.queue
                .retain(|(number, id)| series.get(id).is_some_and(|left| left.number == *number));
        }
    }

    /// A series is none of these any more. Was it?
    fn remove(&mut self, id: u32) -> bool {
        let was_here = self.series.remove(&id).is_some();
        if was_here && self.series.is_empty() {
            self.series.shrink_to(0);
            self.queue = VecDeque::new();
        }
        was_here
    }

    /// Whose entry comes first.
    fn first(&mut self) -> Option<u32> {
        while let Some((number, id)) = self.queue.front() {
            let left = self.series.get(id);
            if left.is_some_and(|left| left.number == *number) {
                return Some(*id);
            }
            self.queue.pop_front();
        }
        None
    }
}

/// Who is unfinished, by data directory.
#[derive(Debug)]
pub(super) struct Unfinished(Vec<Lane>);

impl Default for Unfinished {
    fn default() -> Self {
        Self(vec![Lane::default()])
    }
}

impl Unfinished {
    /// One data directory more.
    pub(super) fn add_volume(&mut self) {
        self.0.push(Lane::default());
    }

    /// An update has left points of a series; the next one takes so many at most.
    pub(super) fn note(&mut self, id: u32, volume: Volume, points_max: u32) {
        self.remove(id);
        self.0[volume.index()].add(id, points_max);
    }

    /// An update of a series begins.
    pub(super) fn begin(&mut self, id: u32, volume: Volume) {
        self.0[volume.index()].had_turn = self.remove(id);
    }

    /// Is a series one of these?
    pub(super) fn has(&self, id: u32) -> bool {
        self.left(id).is_some()
    }

    /// How many points the next update of a series takes at most.
    pub(super) fn points_max(&self, id: u32) -> u32 {
        self.left(id)
            .map_or(UPDATE_POINTS_MAX, |left| left.points_max)
    }

    /// Do these come before the write order's choice?
    pub(super) fn have_turn(&self, volume: Volume) -> bool {
        !self.0[volume.index()].had_turn
    }

    /// Bytes of the tables and the queues.
    pub(super) fn bytes(&self) -> usize {
        let of = |lane: &Lane| {
            lane.series.allocation_size() + lane.queue.capacity() * size_of::<(u64, u32)>()
        };
        self.0.iter().map(of).sum()
    }

    fn left(&self, id: u32) -> Option<&Left> {
        self.0.iter().find_map(|lane| lane.series.get(&id))
    }

    /// Wherever it was: a series may have come to belong in another directory.
    fn remove(&mut self, id: u32) -> bool {
        self.0.iter_mut().any(|lane| lane.remove(id))
    }
}

impl Cache {
    /// The first of the unfinished series of a data directory.
    pub(super) fn next_unfinished(&mut self, volume: Volume) -> Option<u32> {
        while let Some(id) = self.unfinished.0[volume.index()].first() {
            let is_ready =
                self.table.contains(id) && self.table.records()[id].place == Place::Ready;
            if is_ready && self.volumes.of(id) == volume {
                return Some(id);
            }
            self.unfinished.remove(id);
        }
        None
    }

    /// Updates of a series have failed: the next one takes turns with the order's choices, however long its
    /// points have waited. The series is in hand.
    pub fn stand_back(&mut self, id: SeriesId) {
        self.assert_known(id);
        let points_max = self.unfinished.points_max(id.0);
        let volume = self.volumes.of(id.0);
        self.unfinished.note(id.0, volume, points_max);
        self.hold_anew(id.0, self.ages.present());
    }

    /// How many series of a data directory are unfinished.
    pub(super) fn unfinished(&self, volume: Volume) -> usize {
        self.unfinished.0[volume.index()].series.len()
    }
}
