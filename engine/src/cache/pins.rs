//! Who keeps the oldest segment of the journal: series with unwritten points that old.
//! When the journal is short of segments its owner asks for them, a bounded number of looks a turn.
//! Those that can be written come before the write order's choice; those that wait for their file
//! are handed back, for their points to be journaled once more (`carried`).
//! Invariant: a pinned series is written at most once for it, as its stamp is younger afterwards, or as
//! often as it takes, where it has more points than one update takes.

use std::collections::VecDeque;

use super::{Cache, Hands, Place, SeriesId, Volume};
use crate::limits::{PINNED_SERIES_MAX, PINS_LOOKED_AT_PER_TURN_MAX};
use crate::point::Point;

/// What was found so far.
#[derive(Debug)]
pub(super) struct Pins {
    /// To be written before others, oldest find first, by data directory.
    ready: Vec<VecDeque<u32>>,
    /// Stamps up to this one are meant.
    until: u32,
    /// Where the next look begins.
    cursor: u32,
}

impl Default for Pins {
    fn default() -> Self {
        Self {
            ready: vec![VecDeque::new()],
            until: 0,
            cursor: 0,
        }
    }
}

impl Pins {
    /// One data directory more.
    pub(super) fn add_volume(&mut self) {
        self.ready.push(VecDeque::new());
    }
}

impl Cache {
    /// Looks on for series with unwritten points received up to `until`. Says which of them cannot
    /// be written now; not of this very second, for what was carried in it would be found again, and
    /// fill segment after segment.
    pub(super) fn look_for_pins(&mut self, until: u32) -> Vec<SeriesId> {
        self.pins.until = until;
        let mut stuck = Vec::new();
        if self.ages.oldest().is_none_or(|oldest| oldest > until) {
            return stuck;
        }
        for _ in 0..PINS_LOOKED_AT_PER_TURN_MAX {
            // One directory whose disk is slow keeps nobody else's from being found.
            if (self.pins.ready.iter()).all(|ready| ready.len() >= PINNED_SERIES_MAX) {
                break;
            }
            let id = self.pins.cursor;
            self.pins.cursor = if id < self.ages.end_of_pages() {
                id + 1
            } else {
                0
            };
            if !self.ages.has(id) || self.ages.stamp(id) > until {
                continue;
            }
            let record = &self.table.records()[id];
            match (record.hands, record.place) {
                (Hands::InFlight | Hands::HandedOut, _) => {}
                (Hands::Ours, Place::Ready) => {
                    let ready = &mut self.pins.ready[self.volumes.of(id).index()];
                    if ready.len() < PINNED_SERIES_MAX {
                        ready.push_back(id);
                    }
                }
                (Hands::Ours, _) if self.ages.stamp(id) == self.ages.present() => {}
                (Hands::Ours, _) => stuck.push(SeriesId(id)),
            }
        }
        stuck
    }

    /// The next pinned series of a data directory that can still be written.
    pub(super) fn next_pinned(&mut self, volume: Volume) -> Option<u32> {
        let until = self.pins.until;
        let ready = &mut self.pins.ready[volume.index()];
        while let Some(id) = ready.front().copied() {
            let is_meant = self.ages.has(id)
                && self.ages.stamp(id) <= until
                && self.volumes.of(id) == volume
                && self.table.records()[id].place == Place::Ready;
            if is_meant {
                return Some(id);
            }
            ready.pop_front();
        }
        None
    }

    /// How many pinned series are known.
    pub(super) fn pinned(&self, volume: Volume) -> usize {
        self.pins.ready[volume.index()].len()
    }

    /// The cached points of a series, and how many seconds ago the oldest was received at most.
    pub(super) fn owed(&self, id: SeriesId) -> (Vec<Point>, u32) {
        self.assert_known(id);
        let mut points = Vec::new();
        self.blocks
            .read_all(id.0, &self.table.records()[id.0].cached, &mut points);
        (points, self.ages.present() - self.ages.stamp(id.0))
    }

    /// Has a number a series with points that are in no file?
    pub(super) fn owes(&self, id: SeriesId) -> bool {
        self.ages.has(id.0)
    }

    /// The points of a series that are in flight.
    pub(super) fn flying(&self, id: SeriesId) -> Vec<Point> {
        let mut points = Vec::new();
        if let Some(flight) = self.flights.get(&id.0) {
            self.blocks.read(flight.run(), &mut points);
        }
        points
    }

    /// The taker of what is in flight remembers this of the moment from now on.
    pub(super) fn mark_again(&mut self, id: SeriesId, mark: u64) {
        if let Some(flight) = self.flights.get_mut(&id.0) {
            flight.set_mark(mark);
        }
    }

    /// No series has this number or a higher one and unwritten points.
    pub(super) fn series_end(&self) -> u32 {
        self.ages.end_of_pages()
    }

    /// All that is cached of a series was journaled once more just now: no older segment matters.
    pub(super) fn carried(&mut self, id: SeriesId) {
        self.ages.set(id.0, self.ages.present());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cache::{CacheConfig, Standing, Strategy};

    #[test]
    fn what_is_stuck_is_carried_once_in_a_second() {
        let began = crate::clock::now().instant;
        let mut cache = Cache::new(CacheConfig::new(Strategy::Sorted, began));
        let point = Point {
            timestamp: 1,
            value: 1.0,
        };
        let id = cache.insert("stuck", point).outcome.series();
        assert_eq!(cache.set_standing(id, Standing::Parked).total(), 0);
        let second = cache.present();
        assert!(cache.look_for_pins(second).is_empty(), "of this second");
        cache.begin_turn(crate::cache::tests::at(began + Duration::from_secs(2)));
        assert_eq!(cache.look_for_pins(second), [id]);
        cache.carried(id);
        let until = cache.present();
        assert!(cache.look_for_pins(until).is_empty(), "carried just now");
        cache.begin_turn(crate::cache::tests::at(began + Duration::from_secs(4)));
        assert_eq!(cache.look_for_pins(until), [id]);
    }
}
