//! Backfills, which the order `deadline` does not hold for as long as other points: what came of a
//! series spans several holds, and its sender has stopped.
//! Points are held so that others join them. Who was cut off for twenty minutes and sends these at once
//! sends the next point in its time, a minute later: one point more, for an update that has twenty. Written
//! now, they are in the file earlier, leave memory earlier, and are still in the processor's caches.
//! At most it costs one update for each `BACKFILL_HOLDS` holds of points, which held and live would
//! have been as many updates.
//! Costs a comparison a point. Who comes to span as much is looked at every `BACKFILL_QUIET_S` until
//! it gets no more points, or is due anyway: a bounded number a turn, in the order in which they came.
//! On a disk with heads its order counts for more, and everything is held.
//! Invariants: looks are in the order of their seconds; a look whose series has gone, or was written
//! since, finds too few points and is over.

use std::collections::VecDeque;
use std::time::Duration;

use super::points::Run;
use super::{Cache, Place, Strategy};
use crate::limits::{
    BACKFILL_HOLDS, BACKFILL_LOOKED_AT_PER_TURN_MAX, BACKFILL_LOOKS_MAX, BACKFILL_POINTS_MIN,
    BACKFILL_QUIET_S,
};

/// A series is to be looked at.
#[derive(Clone, Copy, Debug)]
struct Look {
    id: u32,
    /// So many points it had when this was noted.
    points: u32,
    /// From this second on.
    at: u32,
}

/// Who may be a backfill.
#[derive(Debug)]
pub(super) struct Backfills {
    /// Whose points span so many seconds; `u32::MAX`: nobody's.
    span_s: u32,
    looks: VecDeque<Look>,
}

impl Default for Backfills {
    fn default() -> Self {
        Self {
            span_s: u32::MAX,
            looks: VecDeque::new(),
        }
    }
}

impl Backfills {
    /// Points for one more data directory are held for so long; of several, the longest time counts.
    pub(super) fn add_volume(&mut self, strategy: Strategy, hold_s: u32, in_disk_order: bool) {
        if strategy != Strategy::Deadline || in_disk_order || hold_s == 0 {
            return;
        }
        let span_s = hold_s.saturating_mul(BACKFILL_HOLDS);
        self.span_s = if self.span_s == u32::MAX {
            span_s
        } else {
            self.span_s.max(span_s)
        };
    }

    /// Do the points of a run span enough with this one, newer than all, and without it not yet?
    #[inline]
    pub(super) fn begins(&self, run: &Run, newest: u32) -> bool {
        let oldest = run.oldest();
        newest - oldest >= self.span_s && run.newest().timestamp - oldest < self.span_s
    }

    /// The series is to be looked at some time after this second.
    fn note(&mut self, id: u32, points: u32, second: u32) {
        if self.looks.len() < BACKFILL_LOOKS_MAX {
            let at = second + BACKFILL_QUIET_S;
            self.looks.push_back(Look { id, points, at });
        }
    }

    /// Bytes of the list.
    pub(super) fn bytes(&self) -> usize {
        self.looks.capacity() * size_of::<Look>()
    }

    fn next(&mut self, second: u32) -> Option<Look> {
        let look = self.looks.front().filter(|look| look.at <= second)?;
        let look = *look;
        self.looks.pop_front();
        if self.looks.len() < self.looks.capacity() / 8 {
            self.looks.shrink_to(self.looks.len() * 2);
        }
        Some(look)
    }
}

impl Cache {
    /// Looks at a bounded number of series that may be a backfill.
    pub(super) fn look_for_backfills(&mut self) {
        let present = self.ages.present();
        for _ in 0..BACKFILL_LOOKED_AT_PER_TURN_MAX {
            let Some(Look { id, points, .. }) = self.backfills.next(present) else {
                break;
            };
            if !self.is_held(id) {
                continue;
            }
            let points_now = self.cached_len(id);
            if points_now != points {
                self.backfills.note(id, points_now, present);
            } else if points >= BACKFILL_POINTS_MIN {
                self.relist(id, |due| due.is_backfill = true);
            }
        }
    }

    /// When there is one to be looked at, since the process began.
    pub(super) fn next_backfill(&self) -> Option<Duration> {
        let look = self.backfills.looks.front()?;
        Some(Duration::from_secs(look.at.into()))
    }

    /// Does the order hold the points of a series back that span so much?
    fn is_held(&self, id: u32) -> bool {
        if !self.table.contains(id) {
            return false;
        }
        let record = &self.table.records()[id];
        if record.place != Place::Ready || record.cached.len() == 0 {
            return false;
        }
        let span_s = record.cached.newest().timestamp - record.cached.oldest();
        let deadline = self.orders.deadline(self.volumes.of(id));
        deadline.is_some_and(|deadline| {
            span_s >= self.backfills.span_s
                && !deadline.is_swept()
                && deadline.opens_at(record.due()) > self.ages.present()
        })
    }

    /// The points of a series span enough by now.
    #[cold]
    pub(super) fn note_backfill(&mut self, id: u32) {
        let points = self.cached_len(id);
        self.backfills.note(id, points, self.ages.present());
    }
}
