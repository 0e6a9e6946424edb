//! Who keeps the oldest segment of the journal: series with unwritten points that old.
//! When the journal is short of segments its owner asks for them, a bounded number of looks a turn.
//! Those that can be written come before the write order's choice; those that wait for their file, or whose
//! update does not come back, are handed back, for their points to be journaled once more (`carried`).
//! Invariant: a pinned series is written at most once for it, as its stamp is younger afterwards, or as
//! often as it takes, where it has more points than one update takes.

use std::collections::VecDeque;

use super::due::Due;
use super::{Cache, Hands, Place, SeriesId, Standing, Volume};
use crate::limits::{IN_FLIGHT_LONG_S, PINNED_SERIES_MAX};
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
    /// Looks on for series with unwritten points received up to `until`, at so many at most. Says which
    /// is the next that cannot be written now; not one of this very second, for what was carried in it
    /// would be found again, and fill segment after segment.
    pub(super) fn next_stuck(&mut self, until: u32, looks: &mut usize) -> Option<SeriesId> {
        self.pins.until = until;
        if self.ages.oldest().is_none_or(|oldest| oldest > until) {
            return None;
        }
        while *looks > 0 {
            // One directory whose disk is slow keeps nobody else's from being found.
            if (self.pins.ready.iter()).all(|ready| ready.len() >= PINNED_SERIES_MAX) {
                break;
            }
            *looks -= 1;
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
                (Hands::InFlight, _) if !self.is_long_in_flight(id) => {}
                (Hands::Ours, Place::Ready) => {
                    let ready = &mut self.pins.ready[self.volumes.of(id).index()];
                    if ready.len() < PINNED_SERIES_MAX {
                        ready.push_back(id);
                    }
                }
                _ if self.ages.stamp(id) == self.ages.present() => {}
                (Hands::Ours | Hands::InFlight | Hands::HandedOut, _) => return Some(SeriesId(id)),
            }
        }
        None
    }

    /// Was the update in flight of a series begun so long ago that nobody waits for its end?
    fn is_long_in_flight(&self, id: u32) -> bool {
        let flight = self.flights.get(&id);
        flight.is_some_and(|flight| self.ages.present() - flight.taken_at() > IN_FLIGHT_LONG_S)
    }

    /// Do the points of a series wait for something that may never come, so that they may be given up?
    pub(super) fn is_stuck(&self, id: SeriesId) -> bool {
        let record = &self.table.records()[id.0];
        record.hands == Hands::Ours && Standing::STUCK.contains(&record.standing)
    }

    /// The next look begins with a series, of which points are to be carried yet.
    pub(super) fn look_again_at(&mut self, id: SeriesId) {
        self.pins.cursor = id.0;
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

    /// The cached points of a series.
    pub(super) fn owed(&self, id: SeriesId) -> Vec<Point> {
        self.assert_known(id);
        let mut points = Vec::new();
        self.blocks
            .read_all(id.0, &self.table.records()[id.0].cached, &mut points);
        points
    }

    /// How many seconds ago the oldest point of a series was received at most that is in no file.
    pub(super) fn owed_age_s(&self, id: SeriesId) -> u32 {
        self.ages.present() - self.ages.stamp(id.0)
    }

    /// Of the points of a series that are in no file, those in flight included, the newest up to a
    /// second: at most so many, sorted by time, of two in one second the one received later. What that
    /// costs is as bounded, but where many are in flight.
    pub(super) fn owed_until(&self, id: SeriesId, until: u32, most: usize) -> Vec<Point> {
        self.assert_known(id);
        let mut points = Vec::new();
        if let Some(flight) = self.flights.get(&id.0) {
            self.blocks
                .read_until(flight.run(), until, most, &mut points);
        }
        let cached = &self.table.records()[id.0].cached;
        self.blocks
            .read_all_until(id.0, cached, (until, most), &mut points);
        super::keep_latest(&mut points, 0);
        points.drain(..points.len().saturating_sub(most));
        points
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

    /// No series has this number or a higher one.
    pub(super) fn numbers_end(&self) -> u32 {
        self.table.records().numbers()
    }

    /// No series has this number or a higher one and unwritten points.
    pub(super) fn series_end(&self) -> u32 {
        self.ages.end_of_pages()
    }

    /// All that is cached of a series was journaled once more, since this second: no older segment
    /// matters.
    pub(super) fn carried(&mut self, id: SeriesId, since: u32) {
        let before = self.ages.stamp(id.0);
        let stamp = since.max(before);
        self.ages.set(id.0, stamp);
        if self.orders.is_deadline() {
            // The last take is as long ago as it was, though it is reckoned from the stamp.
            let record = &mut self.table.records_mut()[id.0];
            let due = record.due();
            let passed_s = u16::try_from(stamp - before).unwrap_or(u16::MAX);
            let taken_after_s = due.taken_after_s.saturating_sub(passed_s);
            record.set_due(Due {
                taken_after_s,
                ..due
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cache::{CacheConfig, Strategy};

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
        let stuck = |cache: &mut Cache, until| cache.next_stuck(until, &mut 5000);
        assert_eq!(stuck(&mut cache, second), None, "of this second");
        cache.begin_turn(crate::cache::tests::at(began + Duration::from_secs(2)));
        assert_eq!(stuck(&mut cache, second), Some(id));
        cache.carried(id, cache.present());
        let until = cache.present();
        assert_eq!(stuck(&mut cache, until), None, "carried just now");
        cache.begin_turn(crate::cache::tests::at(began + Duration::from_secs(4)));
        assert_eq!(stuck(&mut cache, until), Some(id));
    }
}
