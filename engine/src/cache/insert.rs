//! A point comes in: its series is found or made, the point is put into its place.
//! A point of a series that waits or is parked needs room in their share: where there is none, the
//! series that has waited for its create longest and was seen only once makes room, and where there
//! is no such series the point is refused.

use super::points::{Blocks, Put, Run};
use super::queues::Queues;
use super::series::Record;
use super::share::{Load, Share};
use super::usage::series_bytes;
use super::{Cache, Dropped, Field, Hands, Place, SeriesId, Standing};
use crate::names;
use crate::point::Point;

/// What became of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insert {
    /// Cached; its series was not known.
    New(SeriesId),
    /// Cached; its series was known and had nothing cached.
    Woke(SeriesId),
    /// Cached; its series had others.
    Added(SeriesId),
    /// Cached in place of an earlier one of the same second.
    Superseded(SeriesId),
    /// Dropped: its series waits or is parked, and their share is full.
    Refused(SeriesId),
}

/// What became of a point, and what had to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// The point's own fate.
    pub outcome: Insert,
    /// Every point dropped by this insert: the refused one, and those of series that made room.
    pub dropped: Dropped,
}

impl Insert {
    /// The point's series.
    pub fn series(self) -> SeriesId {
        match self {
            Insert::New(id)
            | Insert::Woke(id)
            | Insert::Added(id)
            | Insert::Superseded(id)
            | Insert::Refused(id) => id,
        }
    }
}

impl Inserted {
    fn alone(outcome: Insert) -> Self {
        let dropped = Dropped::default();
        Self { outcome, dropped }
    }
}

impl Cache {
    /// Puts in a point of the series with this canonical name.
    pub fn insert(&mut self, name: &str, point: Point) -> Inserted {
        self.insert_hashed(self.hash(name), name, point)
    }

    /// The same for who has the name's hash, by the cache's seed, already.
    pub fn insert_hashed(&mut self, hash: u64, name: &str, point: Point) -> Inserted {
        if let Some(id) = self.table.find(hash, name) {
            return self.insert_known(SeriesId(id), point);
        }
        self.insert_new(hash, name, point)
    }

    /// The hash of a name, for those that take one.
    pub(super) fn hash(&self, name: &str) -> u64 {
        names::hash(self.seed, name)
    }

    /// Puts in the first point of a series that is not known under this name.
    pub(super) fn insert_new(&mut self, hash: u64, name: &str, point: Point) -> Inserted {
        Inserted::alone(Insert::New(self.begin(hash, name, point)))
    }

    /// A new series with its first point; its file is to be looked for.
    fn begin(&mut self, hash: u64, name: &str, point: Point) -> SeriesId {
        let mut record = Record::default();
        record.cached = Run::of(point);
        if let Some(rank) = self.orders.rank(true) {
            record.enter(rank);
        }
        let standing = record.standing;
        let id = self.table.add(hash, name, record);
        self.volumes.begin(id);
        let bytes = series_bytes(name.len());
        let share = self.share_mut(id);
        share.add(standing, Load { points: 1, bytes });
        self.points += 1;
        self.wake(id);
        self.note_future(id, point.timestamp);
        self.settle(id);
        SeriesId(id)
    }

    /// Puts in a point of a series that is known: its number is linked, or was just compared with
    /// the name.
    #[inline]
    pub fn insert_known(&mut self, id: SeriesId, point: Point) -> Inserted {
        if self.append(id, point) {
            Inserted::alone(Insert::Added(id))
        } else {
            self.insert_anywhere(id.0, point)
        }
    }

    /// Puts in a point as nearly all of them come: newer than all cached ones of a series that has
    /// some, which changes neither its list nor its rank. False where anything else is the case;
    /// then nothing was done.
    #[inline]
    pub(super) fn append(&mut self, id: SeriesId, point: Point) -> bool {
        let record = &mut self.table[id.0];
        assert!(record.is_live(), "{id:?} is forgotten");
        let run = &mut record.cached;
        if run.len() == 0
            || run.newest().timestamp >= point.timestamp
            || record.place == Place::Once
            || self.orders.ranks_points()
        {
            return false;
        }
        let standing = record.standing;
        if Share::bounds(standing) {
            let bytes = Blocks::more_bytes(run, point.timestamp);
            let more = Load { points: 1, bytes };
            let share = &self.shares[self.volumes.of(id.0).index()];
            if !share.has_room(standing, more) {
                return false;
            }
        }
        let is_backfill = self.backfills.begins(run, point.timestamp);
        let bytes = self.blocks.append(id.0, run, point);
        if Share::counts(standing) {
            let share = self.share_mut(id.0);
            share.add(standing, Load { points: 1, bytes });
        }
        self.points += 1;
        self.note_future(id.0, point.timestamp);
        if is_backfill {
            self.note_backfill(id.0);
        }
        true
    }

    fn insert_anywhere(&mut self, id: u32, point: Point) -> Inserted {
        let mut dropped = Dropped::default();
        let standing = self.table[id].standing;
        if Share::bounds(standing) && !self.has_share(id, point, &mut dropped) {
            dropped.count(standing, 1);
            let outcome = Insert::Refused(SeriesId(id));
            return Inserted { outcome, dropped };
        }
        let outcome = self.put(id, point);
        if Share::bounds(standing) && self.share(id).is_over() {
            self.fit(id, &mut dropped);
        }
        Inserted { outcome, dropped }
    }

    fn put(&mut self, id: u32, point: Point) -> Insert {
        let points = self.cached_len(id);
        let bytes_before = self.blocks.point_bytes();
        let is_older =
            points > 0 && self.orders.is_deadline() && point.timestamp < self.field().oldest(id);
        let record = &mut self.table.records_mut()[id];
        let (in_run, standing, place) = (record.cached.len(), record.standing, record.place);
        let put = self.blocks.put(id, &mut record.cached, point);
        record.has_late |= put == Put::Added && record.cached.len() == in_run;
        if Share::counts(standing) {
            self.share_grew(id, put, bytes_before);
        }
        if put == Put::Replaced {
            return Insert::Superseded(SeriesId(id));
        }
        let record = &mut self.table.records_mut()[id];
        if let Some(rank) = self.orders.rank(points == 0) {
            record.enter(rank);
        }
        self.points += 1;
        let is_woken = points == 0 && record.hands != Hands::InFlight;
        if is_woken {
            self.wake(id);
        } else if is_older {
            self.note_whole(id);
        }
        self.note_future(id, point.timestamp);
        if place == Place::Ready {
            let field = Field {
                records: self.table.records(),
                blocks: &self.blocks,
            };
            self.orders.of_mut(self.volumes.of(id)).grew(field, id);
        } else {
            self.settle(id);
        }
        if is_woken {
            Insert::Woke(SeriesId(id))
        } else {
            Insert::Added(SeriesId(id))
        }
    }

    /// The share of a series' data directory.
    pub(super) fn share(&self, id: u32) -> &Share {
        &self.shares[self.volumes.of(id).index()]
    }

    /// The same, to be changed.
    pub(super) fn share_mut(&mut self, id: u32) -> &mut Share {
        &mut self.shares[self.volumes.of(id).index()]
    }

    /// Counts in the share what a point has changed; `bytes_before` of points were held before.
    fn share_grew(&mut self, id: u32, put: Put, bytes_before: u64) {
        let standing = self.table.records()[id].standing;
        if put == Put::Added && self.cached_len(id) == 1 {
            let load = self.series_load(id);
            return self.share_mut(id).add(standing, load);
        }
        let bytes = self.blocks.point_bytes();
        let grown = Load {
            points: u64::from(put == Put::Added),
            bytes: bytes.saturating_sub(bytes_before),
        };
        let shrunk = Load {
            points: 0,
            bytes: bytes_before.saturating_sub(bytes),
        };
        let share = self.share_mut(id);
        share.add(standing, grown);
        share.take(standing, shrunk);
    }

    /// Makes room in the share for one point of a series; false where there is none to be had.
    fn has_share(&mut self, id: u32, point: Point, dropped: &mut Dropped) -> bool {
        let record = &self.table.records()[id];
        let standing = record.standing;
        if self.blocks.has(id, &record.cached, point.timestamp) {
            return true;
        }
        let mut bytes = Blocks::more_bytes(&record.cached, point.timestamp);
        if record.cached.len() == 0 {
            bytes = series_bytes(self.table.name(id).len());
        }
        let more = Load { points: 1, bytes };
        if self.share(id).attainable(standing, more) != more {
            return false;
        }
        while !self.share(id).has_room(standing, more) {
            if !self.evict_once(id, dropped) {
                return false;
            }
        }
        true
    }

    /// Drops the point of the series that has waited longest for its create of those seen once in the
    /// same data directory, and forgets the series. `except` stays.
    pub(super) fn evict_once(&mut self, except: u32, dropped: &mut Dropped) -> bool {
        let mut oldest = self.queues.first(Place::Once, self.volumes.of(except));
        if oldest == Some(except) {
            oldest = Queues::after(self.table.records(), except);
        }
        let Some(id) = oldest else {
            return false;
        };
        dropped.count(Standing::Waiting, self.drop_cached(id));
        if self.place_of(id) == Place::Idle {
            self.forget(id);
        }
        true
    }
}
