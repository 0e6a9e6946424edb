//! Series of which an update took as many points as one takes, and left others: they are written next,
//! whatever the order, so that a year that was sent at once is not held in memory for as many rounds as
//! it takes updates. A metric has one update in flight, so that others come in between.
//! Invariant: a series is here once at most. One that is written otherwise, or cannot be written, goes.

use super::{Cache, Place, Volume};

/// The series, in the order in which their updates ended. There are as many as have that many points:
/// few, so that a look at all of them costs nothing.
#[derive(Debug, Default)]
pub(super) struct Unfinished(Vec<u32>);

impl Unfinished {
    /// An update has left points of a series.
    pub(super) fn note(&mut self, id: u32) {
        if !self.0.contains(&id) {
            self.0.push(id);
        }
    }

    /// Bytes of the list.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<u32>()
    }
}

impl Cache {
    /// The unfinished series of a data directory that comes next.
    pub(super) fn next_unfinished(&mut self, volume: Volume) -> Option<u32> {
        let table = &self.table;
        let is_ready = |id: &u32| table.contains(*id) && table.records()[*id].place == Place::Ready;
        self.unfinished.0.retain(is_ready);
        let mut all = self.unfinished.0.iter().copied();
        all.find(|id| self.volumes.of(*id) == volume)
    }

    /// How many series of a data directory are unfinished.
    pub(super) fn unfinished(&self, volume: Volume) -> usize {
        let of_volume = |id: &&u32| self.volumes.of(**id) == volume;
        self.unfinished.0.iter().filter(of_volume).count()
    }
}
