//! What a writer asks of a ledger's cache, and tells it of files and of the order: nothing here changes what
//! a point is counted as, so that nothing is counted.

use std::time::Instant;

use super::Ledger;
use crate::cache::{SeriesId, Volume};

impl Ledger {
    /// How many data directories there are.
    pub fn volumes(&self) -> usize {
        self.cache.volumes()
    }

    /// The data directory of a series (see `Cache::volume`).
    pub fn volume(&self, series: SeriesId) -> Volume {
        self.cache.volume(series)
    }

    /// The series of this name, if it is known.
    pub fn find(&self, name: &str) -> Option<SeriesId> {
        self.cache.find(name)
    }

    /// The next series of which is to be said in which data directory it is to be looked for.
    pub fn unplaced(&self) -> Option<SeriesId> {
        self.cache.unplaced()
    }

    /// A series is to be looked for, or made, in this directory (see `Cache::set_volume`).
    pub fn set_volume(&mut self, series: SeriesId, volume: Volume) {
        self.cache.set_volume(series, volume);
    }

    /// Points for a data directory that cannot be written now, whatever holds them up: also those that only
    /// wait for a place among the creates in flight.
    pub fn stuck_points(&self, volume: Volume) -> u64 {
        self.cache.stuck_points(volume) + self.cache.missing_points(volume)
    }

    /// The next series whose file is to be looked for.
    pub fn unproven_next(&mut self, volume: Volume) -> Option<SeriesId> {
        self.cache.unproven_next(volume)
    }

    /// How many series' files are to be looked for and are not yet.
    pub fn unproven(&self, volume: Volume) -> usize {
        self.cache.unproven(volume)
    }

    /// True where these hold so much that they are to be looked for as fast as can be.
    pub fn has_many_unproven(&self, volume: Volume) -> bool {
        self.cache.has_many_unproven(volume)
    }

    /// True while series wait for their create.
    pub fn has_waiting(&self, volume: Volume) -> bool {
        self.cache.has_waiting(volume)
    }

    /// True where the file of a series is to be made as soon as there is a place.
    pub fn has_missing(&self, volume: Volume) -> bool {
        self.cache.has_missing(volume)
    }

    /// The next of these.
    pub fn missing_next(&mut self, volume: Volume) -> Option<SeriesId> {
        self.cache.missing_next(volume)
    }

    /// The next series whose file is to be made.
    pub fn waiting_next(&mut self, volume: Volume) -> Option<SeriesId> {
        self.cache.waiting_next(volume)
    }

    /// How many series could be written now.
    pub fn ready(&self, volume: Volume) -> usize {
        self.cache.ready(volume)
    }

    /// At most so many of these are to be written now (see `Cache::due`).
    pub fn due(&self, volume: Volume) -> usize {
        self.cache.due(volume)
    }

    /// When an order that holds series back may have one to write; None: that is not known.
    pub fn next_due(&self, volume: Volume, now: Instant) -> Option<Instant> {
        self.cache.next_due(volume, now)
    }

    /// How long points are usually held, in seconds (see `Cache::usual_hold_s`).
    pub fn usual_hold_s(&self, volume: Volume) -> Option<u32> {
        self.cache.usual_hold_s(volume)
    }

    /// How long points of a series may be held (see `Cache::set_hold`).
    pub fn set_hold(&mut self, series: SeriesId, hold_s: u32) {
        self.cache.set_hold(series, hold_s);
    }

    /// The second of the receipt of the oldest point that is in no file (see
    /// `Cache::oldest_unwritten`).
    pub fn oldest_unwritten(&self) -> Option<u32> {
        self.cache.oldest_unwritten()
    }

    /// Does it matter where files lie?
    pub fn is_in_disk_order(&self, volume: Volume) -> bool {
        self.cache.is_in_disk_order(volume)
    }

    /// Where the file of a series lies, if that is known.
    pub fn location(&self, series: SeriesId) -> Option<u32> {
        self.cache.location(series)
    }

    /// The file of a series lies here.
    pub fn set_location(&mut self, series: SeriesId, location: u32) {
        self.cache.set_location(series, location);
    }

    /// The write order's choice; none while it is under way (see `is_choosing`).
    pub fn next(&mut self, volume: Volume, unix_now: u32) -> Option<SeriesId> {
        self.cache.next(volume, unix_now)
    }

    /// Was `next` not done with its choice? Then it is to be asked again soon.
    pub fn is_choosing(&self, volume: Volume) -> bool {
        self.cache.is_choosing(volume)
    }

    /// One step of a choice that is under way, where others came before it.
    pub fn go_on_choosing(&mut self, volume: Volume, unix_now: u32) {
        self.cache.go_on_choosing(volume, unix_now);
    }

    /// Updates of a series have failed: the next one takes turns with others.
    pub fn stand_back(&mut self, series: SeriesId) {
        self.cache.stand_back(series);
    }

    /// Series that were forgotten since the last `settle`.
    pub fn forgotten(&self) -> &[SeriesId] {
        self.cache.forgotten()
    }
}
