//! A point comes in: its series is found or made, the point is put into its place.
//! A point of a series that waits or is parked needs room in their share: where there is none, the
//! series that has waited for its create longest and was seen only once makes room, and where there
//! is no such series the point is refused.

use super::points::{Put, blocks_of};
use super::queues::Queues;
use super::share::{Load, Share};
use super::usage::{points_bytes, series_bytes};
use super::{Cache, Dropped, Field, Place, SeriesId, Standing};
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

impl Cache {
    /// Puts in a point of the series with this canonical name.
    pub fn insert(&mut self, name: &str, point: Point) -> Inserted {
        let (id, is_new) = self.table.find_or_add(name);
        let mut dropped = Dropped::default();
        let standing = self.table.records()[id].standing;
        if Share::counts(standing) && !self.has_share(id, point, &mut dropped) {
            dropped.count(standing, 1);
            let outcome = Insert::Refused(SeriesId(id));
            return Inserted { outcome, dropped };
        }
        let outcome = self.put(id, is_new, point);
        Inserted { outcome, dropped }
    }

    fn put(&mut self, id: u32, is_new: bool, point: Point) -> Insert {
        let points = self.cached_len(id);
        let record = &mut self.table.records_mut()[id];
        let (in_run, standing, place) = (record.cached.len(), record.standing, record.place);
        let blocks = record.cached.blocks();
        if self.blocks.put(id, &mut record.cached, point) == Put::Replaced {
            return Insert::Superseded(SeriesId(id));
        }
        let is_late = record.cached.len() == in_run;
        record.has_late |= is_late;
        let new_blocks = record.cached.blocks() - blocks;
        if let Some(rank) = self.order.rank(points == 0) {
            record.entered = rank;
        }
        self.points += 1;
        if Share::counts(standing) {
            let bytes = match points {
                0 => self.series_load(id).bytes,
                _ => points_bytes(new_blocks, u32::from(is_late)),
            };
            self.share.add(standing, Load { points: 1, bytes });
        }
        if place == Place::Ready {
            let field = Field {
                records: self.table.records(),
                blocks: &self.blocks,
            };
            self.order.grew(field, id);
        } else {
            self.settle(id);
        }
        self.fate(id, is_new, points)
    }

    fn fate(&mut self, id: u32, is_new: bool, points_before: u32) -> Insert {
        let id = SeriesId(id);
        if points_before > 0 || self.flights.contains_key(&id.0) {
            return Insert::Added(id);
        }
        self.owed += 1;
        if is_new {
            Insert::New(id)
        } else {
            Insert::Woke(id)
        }
    }

    /// Makes room in the share for one point of a series; false where there is none to be had.
    fn has_share(&mut self, id: u32, point: Point, dropped: &mut Dropped) -> bool {
        let record = &self.table.records()[id];
        if self.blocks.has(id, &record.cached, point.timestamp) {
            return true;
        }
        // A late point costs less than the block that is asked for here.
        let blocks = blocks_of(record.cached.len() + 1) - record.cached.blocks();
        let late = u32::from(blocks == 0);
        let mut bytes = points_bytes(blocks, late);
        if record.cached.len() == 0 {
            bytes = series_bytes(self.table.name(id).len());
        }
        let more = Load { points: 1, bytes };
        while !self.share.has_room(more) {
            if !self.evict_once(id, dropped) {
                return false;
            }
        }
        true
    }

    /// Drops the point of the series that has waited longest for its create of those seen once,
    /// and forgets the series. `except` stays.
    pub(super) fn evict_once(&mut self, except: u32, dropped: &mut Dropped) -> bool {
        let mut oldest = self.queues.first(Place::Once);
        if oldest == Some(except) {
            oldest = Queues::after(self.table.records(), except);
        }
        let Some(id) = oldest else {
            return false;
        };
        dropped.count(Standing::Waiting, self.drop_cached(id));
        if self.place_of(id) == Place::Idle {
            self.table.remove(id);
        }
        true
    }
}
