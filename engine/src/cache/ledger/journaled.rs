//! What a ledger tells its journal outside the way of a point, and what comes back from earlier runs:
//! what keeps the journal from going on, what it is to know once more, and points that are recalled.
//! Bounded: so many series a turn, and no more than what fills a block of the journal, with one part of
//! one series on top; what is left then goes on in the next turn.

use super::Ledger;
use crate::cache::{Inserted, SeriesId};
use crate::journal::Journal;
use crate::limits::{
    JOURNAL_CARRIED_PART_POINTS, JOURNAL_CARRIED_POINT_BYTES, JOURNALED_AGAIN_PER_TURN_MAX,
    NOTED_WRITTEN_PER_TURN_MAX, PINS_LOOKED_AT_PER_TURN_MAX,
};
use crate::point::Point;
use crate::stats::Counter;

/// How far the points of all series are journaled once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// The next series' number.
    series: u32,
    /// Its points of later seconds are noted already.
    until: u32,
}

impl Again {
    /// Begins with a series.
    pub fn at(series: u32) -> Again {
        Again {
            series,
            until: u32::MAX,
        }
    }
}

/// A series of which points were carried and others are to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carrying {
    series: SeriesId,
    /// Those of later seconds were.
    until: u32,
    /// The second at which that began.
    since: u32,
    /// How often the journal had failed by then.
    failures: u32,
}

impl Ledger {
    /// Is there a journal that notes what is cached? One that has failed notes nothing, and one that
    /// recovers is told of everything again.
    pub fn is_noted(&self) -> bool {
        self.keeper.journal().is_some_and(Journal::is_noting)
    }

    /// Series with points received up to this second keep the journal from going on: those that can
    /// be written come first, those that cannot are journaled once more, or given up where that
    /// takes more than its share (`carried_bytes_max`). Those that nobody has looked for yet, or whose update
    /// does not come back, are never given up. Ends for this turn where the journal has no room,
    /// and goes on from there in the next. While a segment is about to go nothing is carried or given up:
    /// that may do, and what was carried just now would be so again, in each second until it is gone. Nor
    /// is it in a drain: no new points come for which a segment is needed.
    pub fn push(&mut self, second: u32, carried_bytes_max: u64) {
        let mut looks = PINS_LOOKED_AT_PER_TURN_MAX;
        let is_leaving = self.keeper.journal().is_some_and(Journal::is_leaving);
        while self.may_carry()
            && let Some(series) = self.cache.next_stuck(second, &mut looks)
        {
            if is_leaving || self.is_draining {
                continue;
            }
            let waiting = self.cache.stuck_points(self.cache.volume(series));
            let bytes_max = carried_bytes_max / self.cache.volumes() as u64;
            let is_too_much = waiting * JOURNAL_CARRIED_POINT_BYTES > bytes_max;
            if is_too_much && self.cache.is_stuck(series) {
                self.discard(series, Counter::DroppedJournalFull);
            } else {
                self.carry(series);
            }
        }
    }

    /// Journals the points of a series once more, or goes on with that.
    fn carry(&mut self, series: SeriesId) {
        let failures = self.keeper.journal().map_or(0, Journal::failures);
        let begun = self.carrying.take();
        let begun = begun.filter(|it| it.series == series && it.failures == failures);
        let mut carrying = begun.unwrap_or(Carrying {
            series,
            until: u32::MAX,
            since: self.cache.present(),
            failures,
        });
        match self.journal_series_again(series, carrying.until) {
            None => self.cache.carried(series, carrying.since),
            Some(until) => {
                carrying.until = until;
                self.carrying = Some(carrying);
                self.cache.look_again_at(series);
            }
        }
    }

    /// Journals the points of all series once more, a bounded number a turn and as many as the journal
    /// has room for, from here on. Says where to go on, or that all are done.
    pub fn journal_again(&mut self, from: Again) -> Option<Again> {
        let series_end = self.cache.series_end();
        let end = series_end.min(from.series + JOURNALED_AGAIN_PER_TURN_MAX);
        let mut next = from;
        while next.series < end {
            if !self.may_carry() {
                return Some(next);
            }
            let series = SeriesId(next.series);
            if self.cache.owes(series)
                && let Some(until) = self.journal_series_again(series, next.until)
            {
                return Some(Again { until, ..next });
            }
            next = Again::at(next.series + 1);
        }
        (end < series_end).then_some(next)
    }

    /// May the journal be told something once more in this turn?
    fn may_carry(&self) -> bool {
        let journal = self.keeper.journal();
        journal.is_some_and(Journal::has_room_to_carry)
    }

    /// Notes points of a series that are in no file, those of the latest seconds first, in parts for as
    /// long as there is room. Says up to which second to go on, or that all are noted.
    /// Between two parts points of the series may come, be written, or fail to be: of each second what
    /// stands in the journal last is what was received last, as a part takes the values that hold when
    /// it is noted, and what comes later is noted as it comes. What is written from copies is noted as
    /// ever; one that a record of a take before it does not mean is written once more after a crash.
    fn note_parts(&mut self, series: SeriesId, mut until: u32) -> Option<u32> {
        let age_s = self.cache.owed_age_s(series);
        while self.may_carry() {
            let part = self
                .cache
                .owed_until(series, until, JOURNAL_CARRIED_PART_POINTS);
            self.keeper.note_again(&self.cache, series, &part, age_s);
            if part.len() < JOURNAL_CARRIED_PART_POINTS {
                return None;
            }
            until = part.first()?.timestamp.checked_sub(1)?;
        }
        Some(until)
    }

    /// Notes of series without unwritten points that all of theirs are in files, where the journal
    /// was not to say so before; a bounded number a turn from this number on. Says where to go on, or
    /// that all are done.
    pub fn note_all_written(&mut self, from: u32) -> Option<u32> {
        let numbers_end = self.cache.numbers_end();
        let end = numbers_end.min(from.saturating_add(NOTED_WRITTEN_PER_TURN_MAX));
        if let Some(journal) = self.keeper.journal_mut() {
            for series in (from..end).map(SeriesId) {
                let is_written = self.cache.is_known(series) && !self.cache.owes(series);
                if is_written && journal.has_named(series) {
                    journal.written(series, self.cache.name(series), None);
                }
            }
        }
        (end < numbers_end).then_some(end)
    }

    /// Journals the points of a series up to a second once more. Few at once, what is in flight first, so
    /// that its record means these copies and no others.
    fn journal_series_again(&mut self, series: SeriesId, until: u32) -> Option<u32> {
        let is_begun = until < u32::MAX;
        if is_begun || self.cache.len(series) as usize > JOURNAL_CARRIED_PART_POINTS {
            return self.note_parts(series, until);
        }
        let (flying, cached) = (self.cache.flying(series), self.cache.owed(series));
        let age_s = self.cache.owed_age_s(series);
        self.keeper.note_again(&self.cache, series, &flying, age_s);
        let mark = self.keeper.mark();
        self.keeper.note_again(&self.cache, series, &cached, age_s);
        self.cache.mark_again(series, mark);
        None
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
