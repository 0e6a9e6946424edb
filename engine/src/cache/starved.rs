//! Who is passed over by a write order of Python's, and is written next instead of its choice.
//! `max` and `bucketmax` may never come to a metric with few points while others have more,
//! `random` may take long, and `timesorted` with a lag waits for the time of points from the future.
//! A metric is *starved* when its oldest point is older than MAX_POINT_AGE (and the lag, where there
//! is one) and the order has come round twice since: a *round* is as many choices as there were ready
//! series when it began, or the end of what the order would write. So a limiter that makes all wait
//! for long starves nobody: in two rounds a fair order has come to everyone.
//! Costs nothing a point, a count an update. While some series are that old they are looked for
//! through the stamps of `ages`, a bounded number a turn and each once a second.
//! Each data directory has its own order, and so its own rounds.
//! Invariant: who is found stays ready and that old, or is passed over when its turn comes.

use std::collections::VecDeque;

use super::{Cache, Place, Strategy, Volume};
use crate::limits::{STARVED_LOOKED_AT_PER_TURN_MAX, STARVED_SERIES_MAX};

/// What is known of starved series.
#[derive(Debug, Default)]
pub(super) struct Starved {
    /// How old a point may become before the order is overruled; 0: it never is.
    age_s: u32,
    /// Starved series, to be written before others, oldest find first.
    found: VecDeque<u32>,
    /// Stamps up to this one are meant; none are before there is one.
    until: Option<u32>,
    /// Where the look of this second goes on; None: it is done.
    cursor: Option<u32>,
    /// When the present round began, the one before, and the one before that.
    rounds: [u32; 3],
    /// Choices until the present round ends.
    left: usize,
}

impl Starved {
    /// Nobody is starved; points may be so old.
    pub(super) fn new(strategy: Strategy, max_point_age_s: u32) -> Self {
        let is_ours = strategy == Strategy::Deadline;
        Self {
            age_s: if is_ours { 0 } else { max_point_age_s },
            ..Self::default()
        }
    }

    /// The order has come round; so many series are ready at this second.
    fn begin_round(&mut self, second: u32, ready: usize) {
        let [present, before, _] = self.rounds;
        self.rounds = [second, present, before];
        self.left = ready.max(1);
    }

    /// Stamps up to this one are of starved series.
    fn until(&self, second: u32, lag_s: u32) -> Option<u32> {
        let old = second.checked_sub(self.age_s.saturating_add(lag_s))?;
        let [_, _, passed] = self.rounds;
        Some(old.min(passed.checked_sub(1)?))
    }
}

impl Cache {
    /// Looks for starved series; `is_new` once a second.
    pub(super) fn look_for_starved(&mut self, is_new: bool) {
        for volume in Volume::all(self.volumes()) {
            self.look_for_starved_of(volume, is_new);
        }
    }

    fn look_for_starved_of(&mut self, volume: Volume, is_new: bool) {
        let starved = &mut self.starved[volume.index()];
        if starved.age_s == 0 {
            return;
        }
        if is_new {
            let lag_s = self.orders.of(volume).lag_s();
            let until = starved.until(self.ages.present(), lag_s);
            starved.until = until;
            let oldest = self.ages.oldest();
            let is_any = oldest
                .zip(until)
                .is_some_and(|(oldest, until)| oldest <= until);
            if is_any && starved.cursor.is_none() {
                starved.cursor = Some(0);
            }
        }
        if let (Some(from), Some(until)) = (starved.cursor, starved.until) {
            let next = self.look_from(volume, from, until);
            self.starved[volume.index()].cursor = next;
        }
    }

    /// Looks at a bounded number of series. Says where to go on.
    fn look_from(&mut self, volume: Volume, from: u32, until: u32) -> Option<u32> {
        let end = self.ages.end_of_pages();
        let last = end.min(from.saturating_add(STARVED_LOOKED_AT_PER_TURN_MAX));
        for id in from..last {
            let found = &mut self.starved[volume.index()].found;
            if found.len() >= STARVED_SERIES_MAX {
                return Some(id);
            }
            if self.ages.has(id)
                && self.ages.stamp(id) <= until
                && self.volumes.of(id) == volume
                && self.table.records()[id].place == Place::Ready
                && !self.unfinished.has(id)
            {
                found.push_back(id);
            }
        }
        (last < end).then_some(last)
    }

    /// The next starved series of a data directory.
    pub(super) fn next_starved(&mut self, volume: Volume) -> Option<u32> {
        while let Some(id) = self.starved[volume.index()].found.front().copied() {
            if self.volumes.of(id) == volume && self.is_starved(id) {
                return Some(id);
            }
            self.starved[volume.index()].found.pop_front();
        }
        None
    }

    /// Is a series starved that is about to be taken?
    pub(super) fn is_starved(&self, id: u32) -> bool {
        let starved = &self.starved[self.volumes.of(id).index()];
        starved.found.front() == Some(&id)
            && !self.unfinished.has(id)
            && self.ages.has(id)
            && Some(self.ages.stamp(id)) <= starved.until
            && self.table.records()[id].place == Place::Ready
    }

    /// One more choice was taken: this series.
    pub(super) fn count_choice(&mut self, id: u32) {
        let volume = self.volumes.of(id);
        let left = &mut self.starved[volume.index()].left;
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.come_round(volume);
        }
    }

    /// The order of a data directory has come round.
    pub(super) fn come_round(&mut self, volume: Volume) {
        let ready = self.orders.of(volume).len();
        self.starved[volume.index()].begin_round(self.ages.present(), ready);
    }
}
