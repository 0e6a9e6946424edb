//! What is known of a series' file changes: who looks for it, who makes it, who waits.
//! Points that come under the share of waiting, unmade and parked series by such a change, and find no
//! room there, are dropped oldest first, after series that were seen once have made room.

use super::points::Blocks;
use super::share::{Load, Share};
use super::usage::series_bytes;
use super::{Cache, Hands, Place, SeriesId, Standing, Volume};
use crate::point::Point;

/// Points dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "dropped points are to be counted"]
pub struct Dropped {
    /// Their series waited for its create.
    pub create_wait: u64,
    /// Their series' file could not be made, or was parked.
    pub parked: u64,
}

impl Dropped {
    /// All of them.
    pub fn total(self) -> u64 {
        self.create_wait + self.parked
    }

    pub(super) fn count(&mut self, standing: Standing, points: u64) {
        match standing {
            Standing::Waiting => self.create_wait += points,
            Standing::Unmade | Standing::Parked => self.parked += points,
            Standing::Unproven | Standing::Missing | Standing::Writable => {
                assert!(
                    points == 0,
                    "{points} points of {standing:?} series are dropped"
                );
            }
        }
    }
}

impl Cache {
    /// The unproven series that woke first of those whose file is not looked for yet. It is handed
    /// out once; `set_standing` brings the answer.
    pub fn unproven_next(&mut self, volume: Volume) -> Option<SeriesId> {
        self.hand_out(Place::Unproven, volume)
    }

    /// Do series whose file was not looked for yet hold more than an eighth of the share of waiting and
    /// parked ones? Then it is better known soon which of them wait.
    pub fn has_many_unproven(&self, volume: Volume) -> bool {
        self.shares[volume.index()].has_many_unproven()
    }

    /// The series that has been `Missing` for longest. It is handed out once; `set_standing` brings the
    /// answer.
    pub fn missing_next(&mut self, volume: Volume) -> Option<SeriesId> {
        self.hand_out(Place::Missing, volume)
    }

    /// Whose file is to be made next of those that wait for a limit: series with several points first, for
    /// they repeat, then those seen once; each in the order in which they came to wait. It is handed out
    /// once, and is not dropped meanwhile; `set_standing` brings the answer.
    pub fn waiting_next(&mut self, volume: Volume) -> Option<SeriesId> {
        self.hand_out(Place::Repeated, volume)
            .or_else(|| self.hand_out(Place::Once, volume))
    }

    /// Notes what is known now of a series' file, and takes the series back where it was handed
    /// out; one that is still `Unproven`, `Missing` or `Waiting` goes to the end of its queue. A series whose
    /// points are in flight must be landed first (`written` or `put_back`).
    pub fn set_standing(&mut self, id: SeriesId, standing: Standing) -> Dropped {
        self.assert_known(id);
        let id = id.0;
        let old = self.table.records()[id];
        assert!(old.hands != Hands::InFlight, "series {id} is in flight");
        let load = self.series_load(id);
        self.unlist(id);
        if Share::counts(old.standing) {
            self.share_mut(id).take(old.standing, load);
        }
        let record = &mut self.table.records_mut()[id];
        record.standing = standing;
        record.hands = Hands::Ours;
        let mut dropped = Dropped::default();
        if Share::bounds(standing) {
            let wanted = self.attainable(id, standing, load);
            while !self.share(id).has_room(standing, wanted) && self.evict_once(id, &mut dropped) {}
            dropped.count(standing, self.trim(id));
        }
        if Share::counts(standing) {
            let load = self.series_load(id);
            self.share_mut(id).add(standing, load);
        }
        self.settle(id);
        dropped
    }

    /// How much of what a series holds finds room, whoever else makes some: nothing, where that is less
    /// than one point takes with its record and name.
    fn attainable(&self, id: u32, standing: Standing, load: Load) -> Load {
        let most = self.share(id).attainable(standing, load);
        if most.points == 0 || most.bytes < series_bytes(self.table.name(id).len()) {
            return Load::default();
        }
        most
    }

    /// A series that counts in the share has come to hold more than there is room for: others that
    /// were seen once make room, and then its own oldest points.
    pub(super) fn fit(&mut self, id: u32, dropped: &mut Dropped) {
        let standing = self.table.records()[id].standing;
        while self.share(id).is_over_together() && self.evict_once(id, dropped) {}
        if !self.share(id).is_over() {
            return;
        }
        self.unlist(id);
        let load = self.series_load(id);
        self.share_mut(id).take(standing, load);
        dropped.count(standing, self.trim(id));
        let load = self.series_load(id);
        self.share_mut(id).add(standing, load);
        self.settle(id);
    }

    /// Drops the oldest cached points of a series that is not in the share, until the rest has room
    /// there. Says how many.
    fn trim(&mut self, id: u32) -> u64 {
        let (load, standing) = (self.series_load(id), self.table.records()[id].standing);
        if self.share(id).has_room(standing, load) {
            return 0;
        }
        let mut points = Vec::new();
        let record = &mut self.table.records_mut()[id];
        record.has_late = false;
        let run = self.blocks.detach(id, &mut record.cached, &mut points);
        self.blocks.release(run);
        let kept = self.kept_in(id, self.share(id).room(standing), &points);
        let gone = points.len() - kept;
        let record = &mut self.table.records_mut()[id];
        for point in &points[gone..] {
            self.blocks.put(id, &mut record.cached, *point);
        }
        self.points -= gone as u64;
        if kept == 0 {
            self.sleep(id);
        }
        gone as u64
    }

    /// How many of the newest of these points of a series fit in so much room, with its record and
    /// name.
    fn kept_in(&self, id: u32, room: Load, points: &[Point]) -> usize {
        let alone = series_bytes(self.table.name(id).len());
        let Some(bytes) = room.bytes.checked_sub(alone) else {
            return 0;
        };
        let most = usize::try_from(room.points).unwrap_or(usize::MAX);
        let newest = &points[points.len().saturating_sub(most)..];
        Blocks::newest_in(newest, bytes)
    }

    /// Gives up all cached points of a series, whether it was handed out or not; none may be in
    /// flight. Says how many.
    pub fn discard(&mut self, id: SeriesId) -> u64 {
        self.assert_known(id);
        let record = &mut self.table.records_mut()[id.0];
        assert!(record.hands != Hands::InFlight, "{id:?} is in flight");
        record.hands = Hands::Ours;
        let dropped = self.drop_cached(id.0);
        self.settle(id.0);
        dropped
    }

    /// Drops all cached points of a series; it is in no list then. Says how many.
    pub(super) fn drop_cached(&mut self, id: u32) -> u64 {
        let load = self.series_load(id);
        self.unlist(id);
        let record = &self.table.records()[id];
        assert!(
            record.hands == Hands::Ours,
            "series {id} is {:?}",
            record.hands
        );
        let standing = record.standing;
        if Share::counts(standing) {
            self.share_mut(id).take(standing, load);
        }
        let record = &mut self.table.records_mut()[id];
        record.has_late = false;
        self.blocks.clear(id, &mut record.cached);
        self.points -= load.points;
        if load.points > 0 {
            self.sleep(id);
        }
        load.points
    }

    /// What a series holds of the share: nothing without cached points.
    pub(super) fn series_load(&self, id: u32) -> Load {
        let points = self.cached_len(id);
        if points == 0 {
            return Load::default();
        }
        let alone = series_bytes(self.table.name(id).len());
        let run = &self.table.records()[id].cached;
        Load {
            points: u64::from(points),
            bytes: alone + self.blocks.bytes(id, run),
        }
    }

    fn hand_out(&mut self, place: Place, volume: Volume) -> Option<SeriesId> {
        let id = self.queues.first(place, volume)?;
        self.unlist(id);
        self.table.records_mut()[id].hands = Hands::HandedOut;
        Some(SeriesId(id))
    }
}
