//! What a ledger tells its journal outside the way of a point, and what comes back from earlier runs:
//! what keeps the journal from going on, what it is to know once more, and points that are recalled.
//! Bounded: so many series a turn.

use super::Ledger;
use crate::cache::{Inserted, SeriesId};
use crate::limits::{
    JOURNAL_CARRIED_POINT_BYTES, JOURNALED_AGAIN_PER_TURN_MAX, NOTED_WRITTEN_PER_TURN_MAX,
};
use crate::point::Point;
use crate::stats::Counter;

impl Ledger {
    /// Series with points received up to this second keep the journal from going on: those that can
    /// be written come first, those that cannot are journaled once more, or given up where that
    /// takes more than its share (`carried_bytes_max`).
    pub fn push(&mut self, until: u32, carried_bytes_max: u64) {
        for series in self.cache.look_for_pins(until) {
            let (points, age_s) = self.cache.owed(series);
            let waiting = self.cache.stuck_points(self.cache.volume(series));
            let bytes_max = carried_bytes_max / self.cache.volumes() as u64;
            if waiting * JOURNAL_CARRIED_POINT_BYTES > bytes_max {
                self.discard(series, Counter::DroppedJournalFull);
                continue;
            }
            if let Some(journal) = self.keeper.journal_mut() {
                journal.carry(series, self.cache.name(series), &points, age_s);
                self.cache.carried(series);
            }
        }
    }

    /// Journals the points of all series once more, a bounded number a turn from this number on.
    /// Says where to go on, or that all are done.
    pub fn journal_again(&mut self, from: u32) -> Option<u32> {
        let end = self
            .cache
            .series_end()
            .min(from + JOURNALED_AGAIN_PER_TURN_MAX);
        for series in (from..end).map(SeriesId) {
            if self.cache.owes(series) {
                self.journal_series_again(series);
            }
        }
        (end < self.cache.series_end()).then_some(end)
    }

    /// Notes of series without unwritten points that all of theirs are in files, where the journal
    /// was not to say so before; a bounded number a turn from this number on. Says where to go on, or
    /// that all are done.
    pub fn note_all_written(&mut self, from: u32) -> Option<u32> {
        let series_end = self.cache.series_end();
        let end = series_end.min(from.saturating_add(NOTED_WRITTEN_PER_TURN_MAX));
        if let Some(journal) = self.keeper.journal_mut() {
            for series in (from..end).map(SeriesId) {
                let is_written = self.cache.is_known(series) && !self.cache.owes(series);
                if is_written && journal.has_named(series) {
                    journal.written(series, self.cache.name(series), None);
                }
            }
        }
        (end < series_end).then_some(end)
    }

    /// The same of one series: what is in flight first, so that its record means these copies.
    fn journal_series_again(&mut self, series: SeriesId) {
        let (flying, (cached, age_s)) = (self.cache.flying(series), self.cache.owed(series));
        self.keeper.note_again(&self.cache, series, &flying, age_s);
        let mark = self.keeper.mark();
        self.keeper.note_again(&self.cache, series, &cached, age_s);
        self.cache.mark_again(series, mark);
    }

    /// Points of an earlier run up to this second come back from now on.
    pub fn begin_recall(&mut self, until: u32) {
        self.keeper.begin_recall(until);
    }

    /// None comes back any more, and earlier epochs owe nothing.
    pub fn end_recall(&mut self) {
        self.keeper.end_recall(&mut self.cache);
    }

    /// Puts in a point of an earlier run that was received so many seconds ago, of the metric of this
    /// name; room was reserved. One of a second that was received since the start is superseded.
    /// Says its series.
    pub fn recall(&mut self, name: &str, point: Point, age_s: u32) -> SeriesId {
        let hash = self.cache.hash(name);
        if let Some(id) = self.cache.find_hashed(hash, name) {
            self.recall_known(id, point, age_s);
            return id;
        }
        self.stats.add(Counter::Replayed, 1);
        let inserted = self.cache.insert_new(hash, name, point);
        self.keeper
            .note_recalled_new(&self.cache, inserted.outcome.series(), name, (point, age_s));
        self.recalled(inserted, age_s)
    }

    /// The same for a series that is known: its number is linked.
    pub fn recall_known(&mut self, id: SeriesId, point: Point, age_s: u32) {
        self.stats.add(Counter::Replayed, 1);
        if self.keeper.is_overruled(id, point.timestamp) {
            self.superseded(1);
            return;
        }
        let inserted = self.cache.insert_known(id, point);
        self.keeper
            .note_recalled(&self.cache, inserted.outcome, point, age_s);
        self.recalled(inserted, age_s);
    }

    fn recalled(&mut self, inserted: Inserted, age_s: u32) -> SeriesId {
        let id = self.account(inserted).series();
        self.cache.age(id, age_s);
        id
    }
}
