//! What is no longer needed goes: recent points past their time (what was written last of a series is
//! kept on for its next update, `last`), and under pressure the records of
//! series with nothing cached, in flight or recent, the one that has been so longest first.
//! A series that is forgotten costs a look for its file when it comes back, nothing else.

use std::time::Instant;

use super::usage::series_bytes;
use super::{Cache, Place, SeriesId, Volume};
use crate::limits::{FORGOTTEN_PER_TURN_MAX, LAST_LET_GO_PER_TURN_MAX};

impl Cache {
    /// Recent points past their time, or past their bound in bytes, go. True where more of what is kept
    /// on is past its time than goes in one turn.
    pub fn expire(&mut self, now: Instant) -> bool {
        self.let_go(now, LAST_LET_GO_PER_TURN_MAX)
    }

    /// The same, of what is kept on only so many as are past their time.
    pub(super) fn let_go(&mut self, now: Instant, outdated_max: usize) -> bool {
        while let Some((id, number, run)) = self.recent.pop_past(&self.blocks, now) {
            let record = &mut self.table.records_mut()[id];
            if record.recent == number {
                record.recent = self.last.push(&self.blocks, id, run, now);
            } else {
                self.blocks.release(run);
            }
            self.settle(id);
        }
        while let Some(run) = self.last.pop_over(&self.blocks) {
            self.blocks.release(run);
        }
        for _ in 0..outdated_max {
            let Some(run) = self.last.pop_past(&self.blocks, now) else {
                return false;
            };
            self.blocks.release(run);
        }
        true
    }

    /// When something that is kept on is past its time.
    pub fn next_past(&self) -> Option<Instant> {
        self.last.next_past()
    }

    /// Forgets idle series, the one that has been idle longest first, until so many bytes are free.
    /// Says how many series; fewer bytes are free where there are no more, or more than go in a turn.
    pub fn forget_idle(&mut self, bytes_wanted: u64) -> u64 {
        let (mut forgotten, mut freed) = (0, 0);
        while freed < bytes_wanted && forgotten < FORGOTTEN_PER_TURN_MAX {
            let Some(id) = self.queues.first(Place::Idle, Volume::FIRST) else {
                break;
            };
            freed += series_bytes(self.table.name(id).len());
            self.unlist(id);
            self.forget(id);
            forgotten += 1;
        }
        forgotten
    }

    /// Forgets a series, which is in no list and has no points.
    pub(super) fn forget(&mut self, id: u32) {
        let record = &self.table[id];
        assert!(record.place == Place::Nowhere, "series {id} is in a list");
        assert!(record.cached.len() == 0, "series {id} has points");
        self.forget_last(id);
        self.orders.forget(id);
        self.table.remove(id);
        self.forgotten.push(SeriesId(id));
    }

    /// Series that were forgotten since this was emptied; their numbers may stand for others by now.
    pub fn forgotten(&self) -> &[SeriesId] {
        &self.forgotten
    }

    /// Whoever is to know of these knows.
    pub fn empty_forgotten(&mut self) {
        self.forgotten = Vec::new();
    }
}
