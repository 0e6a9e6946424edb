//! Where an update of the order `deadline` ends, and what is then known of the points it left.
//! graphite-web lets cached points override the file's, for each slot of the archive it reads with
//! only those points that are cached. So an update ends where a slot of the second archive does, if
//! it can: what stays cached is then the whole newest slot, and no slot is half here, half there.
//! Not everything is cut: a backfill, whose points span more than the time in which they came, is
//! written whole, and so is everything while memory is short or the daemon stops, and what would be
//! due again at once.
//!
//! What is left behind came before the update and nobody has noted when. But no point comes before
//! its timestamp (a series with one from the future is not cut, `Due::is_whole`), so that what is left
//! came no earlier than its slot began: the order holds it from then. Points that come late, or
//! together, are so held for a shorter time than they might be, never for a longer one.
//! The series' stamp in `ages`, which must not depend on the wall clock, becomes the second of the
//! take before, where all that is left has come since: no point older than those that were left last
//! time came, nor has the file come to have slots of another length meanwhile (`Due::is_whole`), so these
//! stood first, in slots that are written now. So a stamp is an update's interval behind.
//!
//! With every order an update ends where it has `UPDATE_POINTS_MAX` points, or as many as it can read
//! for, or somewhat before: where a slot of any usual archive does, so that no slot gets points of two
//! updates (points that come late would keep each other out of one, `whisper::late`). What is then left
//! is as old as it was and takes turns with the order's choices (`unfinished`). In the order itself it
//! comes as if it had been received then: else it would be first there, too.

use super::due::{Due, TAKEN_AFTER_S_MAX};
use super::flight::Terms;
use super::{Cache, Place, SeriesId, Volume};
use crate::limits::CLOCK_AHEAD_S;

/// Where slots of coarse archives begin, in seconds: all of those that last a week or less, most of
/// them, or few. An update that has too many points ends at the last of the first kind that it meets.
const SLOTS_S: [u32; 4] = [7 * 86_400, 86_400, 3600, 60];
/// Both clocks are read in whole seconds.
const CLOCK_ROUNDING_S: u32 = 1;

/// Where an update ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Points of this second and later ones stay.
    pub(super) at: u32,
    /// None of these was received earlier; not in the future. None: of what stays is known what was
    /// known before, for the update has all the points that one takes.
    pub(super) since: Option<u32>,
}

impl Cache {
    /// Where an update of a series ends whose file's second archive has this step; None: it takes
    /// all.
    pub(super) fn cut(&self, id: u32, step_s: u32) -> Option<Cut> {
        let deadline = self.orders.deadline(self.volumes.of(id))?;
        let record = &self.table.records()[id];
        let due = record.due();
        if deadline.is_everything_due() || record.has_late || due.is_whole {
            return None;
        }
        let (oldest, newest) = (record.cached.oldest(), record.cached.newest().timestamp);
        let at = newest - newest.checked_rem(step_s)?;
        if oldest >= at {
            return None;
        }
        let present = self.ages.present();
        let received_in_s = present - due.since;
        if newest - oldest > received_in_s.saturating_add(step_s) {
            return None;
        }
        let since = self.received_since(at).max(due.since).min(present);
        let opens_at = deadline.opens_at(Due { since, ..due });
        let since = Some(since);
        (opens_at > present).then_some(Cut { at, since })
    }

    /// Where an update of a series ends that would have more points than so many.
    pub(super) fn full_cut(&self, id: u32, points_max: u32) -> Option<Cut> {
        if self.cached_len(id) <= points_max {
            return None;
        }
        let cached = &self.table.records()[id].cached;
        let points = self.blocks.oldest(id, cached, points_max + 1);
        let (first, last) = (points.first()?.timestamp, points.last()?.timestamp);
        let slots = SLOTS_S.iter().map(|slot_s| last - last % slot_s);
        let at = slots.into_iter().find(|at| *at > first).unwrap_or(last);
        Some(Cut { at, since: None })
    }

    /// No point of this timestamp or a later one was received before this second.
    fn received_since(&self, timestamp: u32) -> u32 {
        let age_s = self.unix_now.saturating_sub(timestamp);
        let since = self.ages.present().saturating_sub(age_s);
        since.saturating_sub(CLOCK_AHEAD_S + CLOCK_ROUNDING_S)
    }

    /// A point came. One from the future may have been received any time before its timestamp.
    #[inline]
    pub(super) fn note_future(&mut self, id: u32, timestamp: u32) {
        if timestamp > self.unix_now.saturating_add(CLOCK_AHEAD_S) {
            self.note_whole(id);
        }
    }

    /// An update is written that left points behind, or points have come since it was taken.
    pub(super) fn go_on(&mut self, id: u32, taken_at: u32, terms: Terms) {
        let cut = terms.cut;
        if let Some(Cut { since: None, .. }) = cut {
            let volume = self.volumes.of(id);
            self.unfinished.note(id, volume, terms.points_max);
            return self.hold_anew(id, taken_at);
        }
        let stamp = self.ages.stamp(id);
        if !self.orders.is_deadline() {
            return self.ages.set(id, stamp.max(taken_at));
        }
        let record = &mut self.table.records_mut()[id];
        let mut due = record.due();
        let taken_before = stamp + u32::from(due.taken_after_s);
        let came_after = if cut.is_some() {
            taken_before
        } else {
            taken_at
        };
        // Somebody may have given it a later stamp meanwhile.
        let stamp = stamp.max(came_after.min(taken_at));
        let taken_after_s = u16::try_from(taken_at.saturating_sub(stamp)).unwrap_or(u16::MAX);
        due.taken_after_s = taken_after_s.min(TAKEN_AFTER_S_MAX);
        due.since = cut.and_then(|cut| cut.since).unwrap_or(taken_at).max(stamp);
        due.is_hurried = false;
        due.is_backfill = false;
        record.set_due(due);
        self.ages.set(id, stamp);
    }

    /// For the order, what an update has left of a series comes when that was taken, behind the others.
    pub(super) fn hold_anew(&mut self, id: u32, taken_at: u32) {
        self.note_whole(id);
        if let Some(rank) = self.orders.rank(true) {
            self.table[id].enter(rank);
        }
        if self.orders.is_deadline() {
            let record = &mut self.table.records_mut()[id];
            let due = record.due();
            record.set_due(Due {
                since: due.since.max(taken_at),
                is_hurried: false,
                is_backfill: false,
                ..due
            });
        }
    }

    /// The updates of a series end where slots of another length do from now on: what one of the old length
    /// left need not stand first in slots that the next one writes.
    pub fn note_other_slots(&mut self, id: SeriesId) {
        self.assert_known(id);
        self.note_whole(id.0);
    }

    /// Nothing is known of when points of a series were received from their timestamps: a point older
    /// than all cached ones may have come, or one from the future.
    pub(super) fn note_whole(&mut self, id: u32) {
        if self.orders.is_deadline() {
            let record = &mut self.table.records_mut()[id];
            let mut due = record.due();
            due.is_whole = true;
            record.set_due(due);
        }
    }

    /// How long points of a series may be held, in seconds, from now on. The series is in hand: its
    /// file is looked for, made or written. Without effect on other orders than `deadline`.
    pub fn set_hold(&mut self, id: SeriesId, hold_s: u32) {
        self.assert_known(id);
        let order = self.orders.of_mut(self.volumes.of(id.0));
        let Some(deadline) = order.deadline_mut() else {
            return;
        };
        let class = deadline.class(hold_s.min(deadline.hold_s()));
        let record = &mut self.table.records_mut()[id.0];
        assert!(
            record.place != Place::Ready,
            "{id:?} is in the order by another hold"
        );
        let due = record.due();
        record.set_due(Due { class, ..due });
    }

    /// How long points for a data directory are usually held, in seconds; None where the order is
    /// another.
    pub fn usual_hold_s(&self, volume: Volume) -> Option<u32> {
        Some(self.orders.deadline(volume)?.hold_s())
    }

    /// A series whose file was just made is written at once, where the order is `deadline`.
    pub fn hurry(&mut self, id: SeriesId) {
        self.assert_known(id);
        if !self.orders.is_deadline() || !self.ages.has(id.0) {
            return;
        }
        self.relist(id.0, |due| due.is_hurried = true);
    }

    /// Seconds by which an update that is written now has held its oldest point longer than it may.
    /// The first update of a new file waited for its create and does not count; what an update has left
    /// unfinished counts from that one on.
    pub fn late_s(&self, id: SeriesId) -> u32 {
        let Some(deadline) = self.orders.deadline(self.volume(id)) else {
            return 0;
        };
        let due = self.table.records()[id.0].due();
        let hold_s = deadline.class_hold_s(due.class);
        if due.is_hurried {
            return 0;
        }
        let waited_s = self.ages.present().saturating_sub(due.since);
        waited_s.saturating_sub(hold_s.max(1))
    }
}
