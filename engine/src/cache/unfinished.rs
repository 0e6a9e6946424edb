//! Series of which an update took as many points as one takes, and left others: they are written next,
//! whatever the order, so that a year that was sent at once is not held in memory for as many rounds as
//! it takes updates. A metric has one update in flight, so that others come in between.
//! An update takes `UPDATE_POINTS_MAX`, or fewer where it would have to read much of the file for each.
//! Invariant: a series is here once at most. One that is taken, or cannot be written, goes.

use super::{Cache, Place, Volume};
use crate::limits::UPDATE_POINTS_MAX;

/// The series, in the order in which their updates ended, and how many points of each one takes. There
/// are as many as have that many points: few, so that a look at all of them costs nothing.
#[derive(Debug, Default)]
pub(super) struct Unfinished(Vec<(u32, u32)>);

impl Unfinished {
    /// An update has left points of a series; the next one takes so many at most.
    pub(super) fn note(&mut self, id: u32, points_max: u32) {
        self.remove(id);
        self.0.push((id, points_max));
    }

    /// An update of a series begins.
    pub(super) fn remove(&mut self, id: u32) {
        self.0.retain(|(other, _)| *other != id);
    }

    /// How many points the next update of a series takes at most.
    pub(super) fn points_max(&self, id: u32) -> u32 {
        let found = self.0.iter().find(|(other, _)| *other == id);
        found.map_or(UPDATE_POINTS_MAX, |(_, points_max)| *points_max)
    }

    /// Bytes of the list.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<(u32, u32)>()
    }
}

impl Cache {
    /// The unfinished series of a data directory that comes next.
    pub(super) fn next_unfinished(&mut self, volume: Volume) -> Option<u32> {
        let table = &self.table;
        let is_ready = |id: &u32| table.contains(*id) && table.records()[*id].place == Place::Ready;
        self.unfinished.0.retain(|(id, _)| is_ready(id));
        let mut all = self.unfinished.0.iter().map(|(id, _)| *id);
        all.find(|id| self.volumes.of(*id) == volume)
    }

    /// How many series of a data directory are unfinished.
    pub(super) fn unfinished(&self, volume: Volume) -> usize {
        let of_volume = |(id, _): &&(u32, u32)| self.volumes.of(*id) == volume;
        self.unfinished.0.iter().filter(of_volume).count()
    }
}
