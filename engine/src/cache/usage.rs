//! What the cache holds, in points, series and bytes.
//! Bytes are what was asked of the allocator: records, names, the name table, blocks, lists. Free
//! units in pages that are held count apart, for they take the next points without growing.

use super::series::SERIES_BYTES;
use super::share::Load;
use super::{Cache, Place, Standing, Volume};

/// What a shard's cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Cached points, those in flight included, recent ones not.
    pub points: u64,
    /// Of these, points in flight.
    pub points_in_flight: u64,
    /// Bytes in use by everything, written points that are kept included: to be held against the bound.
    pub bytes: u64,
    /// Bytes held from the allocator: with the free units of pages that are partly used.
    pub held_bytes: u64,
    /// Series in the table.
    pub series: u64,
    /// Series with cached points, those in flight included.
    pub queues: u64,
    /// Series with nothing cached, in flight or recent, and without links.
    pub idle_series: u64,
    /// Series whose file is still to be looked for.
    pub unproven_series: u64,
    /// Points of series whose file is made as soon as there is a place among those in flight.
    pub missing_points: u64,
    /// Points of series that wait until a limit grants their create.
    pub waiting_points: u64,
    /// Bytes of these series, with records and names.
    pub waiting_bytes: u64,
    /// Points of series whose file cannot be made just now, or is parked.
    pub parked_points: u64,
    /// Bytes of these series, with records and names.
    pub parked_bytes: u64,
    /// Bytes of recent points.
    pub recent_bytes: u64,
    /// Seconds since the oldest point was received that is in no file, or some more; 0 where every
    /// point is. Of several shards the largest.
    pub oldest_age_s: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.points += other.points;
        self.points_in_flight += other.points_in_flight;
        self.bytes += other.bytes;
        self.held_bytes += other.held_bytes;
        self.series += other.series;
        self.queues += other.queues;
        self.idle_series += other.idle_series;
        self.unproven_series += other.unproven_series;
        self.missing_points += other.missing_points;
        self.waiting_points += other.waiting_points;
        self.waiting_bytes += other.waiting_bytes;
        self.parked_points += other.parked_points;
        self.parked_bytes += other.parked_bytes;
        self.recent_bytes += other.recent_bytes;
        self.oldest_age_s = self.oldest_age_s.max(other.oldest_age_s);
    }
}

impl Cache {
    /// What the cache holds now. Costs the same however much that is.
    pub fn usage(&self) -> Usage {
        let lists = self.orders.bytes()
            + self.volumes.bytes()
            + self.recent.queue_bytes()
            + self.flights.allocation_size()
            + self.ages.bytes()
            + self.backfills.bytes()
            + self.unfinished.bytes();
        let used = self.table.used_bytes() + self.blocks.used_bytes() + self.last.used_bytes();
        let held = self.table.held_bytes() + self.blocks.held_bytes() + self.last.held_bytes();
        let held_for = |standing| {
            let shares = self.shares.iter();
            shares.fold(Load::default(), |sum, share| sum + share.held(standing))
        };
        let waiting = held_for(Standing::Waiting);
        let parked = held_for(Standing::Unmade) + held_for(Standing::Parked);
        Usage {
            points: self.points,
            points_in_flight: self.points_in_flight,
            bytes: (used + lists) as u64,
            held_bytes: (held + lists) as u64,
            series: self.table.len() as u64,
            queues: self.ages.len() as u64,
            idle_series: self.queues.len(Place::Idle, Volume::FIRST) as u64,
            unproven_series: self.queues.unproven() as u64,
            missing_points: held_for(Standing::Missing).points,
            waiting_points: waiting.points,
            waiting_bytes: waiting.bytes,
            parked_points: parked.points,
            parked_bytes: parked.bytes,
            recent_bytes: self.recent.bytes(),
            oldest_age_s: u64::from(
                self.ages.present() - self.ages.oldest().unwrap_or(self.ages.present()),
            ),
        }
    }
}

/// What a series costs without points outside its record.
pub(super) fn series_bytes(name_len: usize) -> u64 {
    // A name is listed with its owner in its chunk.
    SERIES_BYTES + (name_len + size_of::<u32>()) as u64
}
