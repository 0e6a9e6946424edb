//! One shard's cache with its accounts: every change of a point's state goes through here, so
//! that it is counted once and its room is given back once.
//! Invariant: received + own + replayed = committed + cached + superseded + dropped, at any moment (points
//! dropped before they reached a cache are counted as received by the core that dropped them).
//! Room is reserved in small credits, so that the shared bound is touched once in many points;
//! what is left of a credit goes back at the end of the turn.

#![expect(
    clippy::inline_always,
    reason = "the calls of a known metric's point, left alone, took a tenth of its time"
)]

mod asked;
mod journaled;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use journaled::Again;

use super::keeper::Keeper;
use super::{Cache, Dropped, Insert, Inserted, SeriesId, Standing, Usage};
use crate::breaks::{self, Break};
use crate::clock::Now;
use crate::journal::Journal;
use crate::latency::{Latencies, Latency};
use crate::limiter::Room;
use crate::point::Point;
use crate::stats::{Counter, Stats};
use crate::whisper::Outcome;
use journaled::Carrying;

/// Points of room that are reserved at once.
const CREDIT_POINTS: u32 = 64;
/// Part of the bound in bytes (one in so many) that is freed of idle series at once under pressure.
const FORGET_PART: i64 = 64;
/// How often recent points are looked through for those past their time.
const EXPIRE_EVERY: Duration = Duration::from_millis(500);

/// The cache of one shard and its accounts.
#[derive(Debug)]
pub struct Ledger {
    cache: Cache,
    keeper: Keeper,
    stats: Stats,
    latencies: Box<Latencies>,
    room: Arc<Room>,
    /// Points for which room is reserved and which have not come yet.
    credit: u32,
    /// All that could be written was, and the room stayed closed to what comes back.
    is_stuck: bool,
    /// What senders were read of is taken beyond the bound too.
    takes_past_bound: bool,
    /// What was last published of the cache's bytes.
    published_bytes: u64,
    expire_at: Option<Instant>,
    /// Whose points are carried in parts.
    carrying: Option<Carrying>,
    /// Everything is written out.
    is_draining: bool,
    /// What was last published of the points that this leaves to the journal.
    published_left: u64,
}

impl Ledger {
    /// A ledger of an empty cache, and of a journal if there is one.
    pub fn new(cache: Cache, room: Arc<Room>, journal: Option<Journal>) -> Self {
        Self {
            cache,
            keeper: Keeper::new(journal),
            stats: Stats::default(),
            latencies: Box::default(),
            room,
            credit: 0,
            is_stuck: false,
            takes_past_bound: false,
            published_bytes: 0,
            expire_at: None,
            carrying: None,
            is_draining: false,
            published_left: 0,
        }
    }

    /// Sets the time for everything until the next turn.
    pub fn begin_turn(&mut self, now: Now) {
        self.cache.begin_turn(now);
        let second = self.cache.present();
        if let Some(journal) = self.keeper.journal_mut() {
            journal.begin_turn(now, second);
        }
        self.cache.set_rushed(self.room.is_pressed());
    }

    /// Reserves room for one point; false when the cache is full.
    #[inline(always)]
    pub fn reserve(&mut self) -> bool {
        self.reserve_by(Keeper::is_congested, Room::take) || self.reserve_past_bound()
    }

    #[cold]
    fn reserve_past_bound(&mut self) -> bool {
        let takes = self.takes_past_bound() && !self.keeper.is_congested();
        if takes {
            self.room.take_anyway(1);
        }
        takes
    }

    /// From now on a point is taken also beyond the bound, as long as the journal keeps it, or a drain
    /// writes or counts it.
    pub fn take_past_bound(&mut self) {
        self.takes_past_bound = true;
    }

    fn takes_past_bound(&self) -> bool {
        let is_noted = self.keeper.journal().is_some_and(Journal::is_noting);
        self.takes_past_bound && (self.is_draining || is_noted)
    }

    /// The same for a point of an earlier run. It waits for the low mark like everybody, or senders would
    /// have no place before all is back; but not once all was written, and that has not led there.
    pub fn reserve_recalled(&mut self) -> bool {
        if self.credit == 0 {
            let is_closed = self.room.is_closed();
            self.is_stuck = is_closed && (self.is_stuck || self.has_nothing_to_write());
        }
        let take = if self.is_stuck {
            Room::take_returning
        } else {
            Room::take
        };
        self.reserve_by(Keeper::is_congested_for_copies, take)
    }

    /// Are there no points but those whose files are not there, or cannot be written?
    fn has_nothing_to_write(&self) -> bool {
        let usage = self.usage();
        usage.points == usage.waiting_points + usage.parked_points
    }

    #[inline]
    fn reserve_by(
        &mut self,
        is_congested: impl Fn(&Keeper) -> bool,
        take: impl Fn(&Room, u32) -> u32,
    ) -> bool {
        if self.credit == 0 {
            self.publish_bytes();
            if is_congested(&self.keeper) {
                return false;
            }
            self.credit = take(&self.room, CREDIT_POINTS);
        }
        let granted = self.credit > 0;
        self.credit -= u32::from(granted);
        granted
    }

    /// Reserves room for one point, also beyond the bound.
    pub fn reserve_anyway(&mut self) {
        if !self.reserve() {
            self.room.take_anyway(1);
        }
    }

    /// True where there are as many points or bytes as there may be.
    pub fn is_full(&self) -> bool {
        self.is_at_bound() && !self.takes_past_bound()
    }

    /// Are there as many points or bytes as there may be, whatever is taken beyond that?
    pub fn is_at_bound(&self) -> bool {
        self.credit == 0 && self.room.is_full()
    }

    /// Has a series points that are in no file?
    pub fn owes(&self, series: SeriesId) -> bool {
        self.cache.owes(series)
    }

    /// A drain leaves so many points to the journal. Is nothing else cached, in any shard?
    pub fn note_left(&mut self, points: u64) -> bool {
        let before = std::mem::replace(&mut self.published_left, points);
        self.room.note_left(before, points);
        self.room.is_all_left()
    }

    /// True where a point that found no room may be offered again. Where nobody waits for room it always
    /// may, and is dropped if there is none.
    pub fn has_room(&self) -> bool {
        let has_place = !self.room.is_closed() || self.takes_past_bound();
        self.credit > 0 || (has_place && !self.keeper.is_congested())
    }

    /// Are bytes so near their bound that what nobody needs is to be forgotten?
    pub fn is_near_full(&self) -> bool {
        self.room.is_near_full()
    }

    /// Are bytes so short that nothing is read any more?
    pub fn is_short_of_bytes(&self) -> bool {
        self.room.is_short_of_bytes()
    }

    /// Holds bytes of the bound for points on their way to another shard's cache.
    pub fn hold_bytes(&self, bytes: u64) {
        self.room.add_bytes(signed(bytes));
    }

    /// Gives held bytes back: their points are cached here, and counted from now on.
    pub fn release_bytes(&mut self, bytes: u64) {
        self.publish_bytes();
        self.room.add_bytes(-signed(bytes));
    }

    /// Puts in a point for which room was reserved; `origin` counts where it came from.
    pub fn insert(&mut self, name: &str, point: Point, origin: Counter) -> Insert {
        self.insert_hashed(self.cache.hash(name), name, point, origin)
    }

    /// The same for who has the name's hash, by the cache's seed, already.
    pub fn insert_hashed(
        &mut self,
        hash: u64,
        name: &str,
        point: Point,
        origin: Counter,
    ) -> Insert {
        self.stats.add(origin, 1);
        let inserted = self.cache.insert_hashed(hash, name, point);
        if let Insert::New(id) = inserted.outcome {
            self.keeper.note_new(&mut self.cache, id, name, point);
            return self.account(inserted);
        }
        self.inserted(inserted, point)
    }

    /// The same for a series that is known: its number is linked, or was just compared with the
    /// name.
    #[inline(always)]
    pub fn insert_known(&mut self, id: SeriesId, point: Point, origin: Counter) -> Insert {
        self.stats.add(origin, 1);
        if self.cache.append(id, point) {
            self.keeper.note(&mut self.cache, id, point);
            return Insert::Added(id);
        }
        let inserted = self.cache.insert_known(id, point);
        self.inserted(inserted, point)
    }

    fn inserted(&mut self, inserted: Inserted, point: Point) -> Insert {
        self.keeper
            .note_insert(&mut self.cache, inserted.outcome, point);
        self.account(inserted)
    }

    fn account(&mut self, inserted: Inserted) -> Insert {
        match inserted.outcome {
            Insert::New(_) | Insert::Woke(_) | Insert::Added(_) | Insert::Refused(_) => {}
            Insert::Superseded(_) => self.superseded(1),
        }
        self.dropped(inserted.dropped);
        inserted.outcome
    }

    fn superseded(&mut self, points: u64) {
        self.stats.add(Counter::Superseded, points);
        self.room.give(points);
    }

    fn dropped(&mut self, dropped: Dropped) {
        if dropped.total() == 0 {
            return;
        }
        self.stats
            .add(Counter::DroppedCreateWait, dropped.create_wait);
        self.stats.add(Counter::DroppedParked, dropped.parked);
        self.room.give(dropped.total());
    }

    /// Counts something that changes no point's state.
    pub fn count(&mut self, counter: Counter, amount: u64) {
        self.stats.add(counter, amount);
    }

    /// Notes how long something took.
    pub fn time(&mut self, what: Latency, took: Duration) {
        self.latencies.record(what, took);
    }

    /// Takes an empty set of times for the next interval, and gives the full one.
    pub fn swap_latencies(&mut self, empty: Box<Latencies>) -> Box<Latencies> {
        std::mem::replace(&mut self.latencies, empty)
    }

    /// The series of this name, of which `hash` is the hash by the cache's seed.
    pub fn find_hashed(&self, hash: u64, name: &str) -> Option<SeriesId> {
        self.cache.find_hashed(hash, name)
    }

    /// Whether this number names a series, and not one that was forgotten.
    #[inline]
    pub fn is_known(&self, series: SeriesId) -> bool {
        self.cache.is_known(series)
    }

    /// The bytes of a series' name; none where the number names no series.
    #[inline]
    pub fn name_bytes(&self, series: SeriesId) -> &[u8] {
        self.cache.name_bytes(series)
    }

    /// The series whose name most likely has this hash, for `fetch_record`.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<SeriesId> {
        self.cache.likely(hash)
    }

    /// Asks for a series' record, which says where the rest is.
    #[inline]
    pub fn fetch_record(&self, series: SeriesId) {
        self.cache.fetch_record(series);
    }

    /// Asks for what else a point of a series touches that comes by name.
    #[inline]
    pub fn fetch_rest(&self, series: SeriesId) {
        self.cache.fetch_name(series);
        self.fetch_points(series);
    }

    /// The same without the name.
    #[inline]
    pub fn fetch_points(&self, series: SeriesId) {
        self.cache.fetch_points(series);
        self.keeper.fetch(series);
    }

    /// What was last set as coming after a series (see `Cache::successor`).
    #[inline]
    pub fn successor(&self, series: SeriesId) -> u32 {
        self.cache.successor(series)
    }

    /// Notes what comes after a series; nothing is noted for one that was forgotten.
    #[inline]
    pub fn set_successor(&mut self, series: SeriesId, successor: u32) {
        self.cache.set_successor(series, successor);
    }

    /// Was the name of a series judged, as one that is received, and may pass?
    #[inline]
    pub fn is_admitted(&self, series: SeriesId) -> bool {
        self.cache.is_admitted(series)
    }

    /// The name of a series was judged, and may pass.
    pub fn admit(&mut self, series: SeriesId) {
        self.cache.admit(series);
    }

    /// Every name is to be judged anew.
    pub fn judge_anew(&mut self) {
        self.cache.judge_anew();
    }

    /// One more route leads to a series; false where points must come by name (see `Cache::link`).
    #[must_use]
    pub fn link(&mut self, series: SeriesId) -> bool {
        self.cache.link(series)
    }

    /// One route less leads to a series.
    pub fn unlink(&mut self, series: SeriesId) {
        self.cache.unlink(series);
    }

    /// What a query sees of a metric: recent, in flight and cached points, sorted by time. None where
    /// they may be more than `most`.
    pub fn points(&self, name: &str, most: usize) -> Option<Vec<Point>> {
        let mut points = Vec::new();
        if let Some(series) = self.cache.find(name) {
            if self.cache.seen_len(series) > most {
                return None;
            }
            self.cache.points(series, &mut points);
        }
        Some(points)
    }

    /// The points of a series that were written a moment ago, sorted by time.
    pub fn recent(&self, series: SeriesId) -> Vec<Point> {
        let mut points = Vec::new();
        self.cache.recent(series, &mut points);
        points
    }

    /// The name of a series.
    pub fn name(&self, series: SeriesId) -> &str {
        self.cache.name(series)
    }

    /// Has a series points that an earlier run may have written?
    pub fn is_late(&self, series: SeriesId) -> bool {
        self.keeper.is_late(series)
    }

    /// Are there points among its recent ones that an earlier run may have written?
    pub fn has_come_back(&self, series: SeriesId) -> bool {
        self.keeper.has_come_back(series)
    }

    /// The points that a new file of this series may begin with (see `Cache::firsts`); none where an
    /// earlier run may have written some.
    pub fn firsts(&self, series: SeriesId) -> Option<Vec<Point>> {
        if self.is_late(series) {
            return None;
        }
        self.cache.firsts(series)
    }

    /// Takes cached points of a series for a write: all, or those of whole slots of its file's
    /// second archive, which has this step (see `Cache::take_whole`).
    pub fn take(&mut self, series: SeriesId, step_s: Option<u32>) -> Vec<Point> {
        let mut points = Vec::new();
        let mark = self.keeper.mark();
        if self.cache.is_starved(series.0) {
            self.stats.add(Counter::StarvedUpdates, 1);
        }
        self.cache.take_whole(series, step_s, mark, &mut points);
        self.keeper.note_taken(series);
        if breaks::is(Break::Record) {
            let left = self.cache.left_behind(series);
            self.keeper.note_written(&self.cache, series, left);
        }
        points
    }

    /// Has an update that is written now held its oldest point longer than it may?
    pub fn is_overdue(&self, series: SeriesId) -> bool {
        self.cache.late_s(series) > 0
    }

    /// The points of a series that were in flight are in its file, those too old for it excepted.
    pub fn written(&mut self, series: SeriesId, outcome: &Outcome, now: Instant) {
        if self.is_overdue(series) {
            self.stats.add(Counter::LateUpdates, 1);
        }
        let left = self.cache.left_behind(series);
        self.keeper.note_written(&self.cache, series, left);
        let points = u64::from(self.cache.written(series, now));
        assert!(
            outcome.written + outcome.too_old + outcome.spared == points,
            "{points} points were in flight, the plan knew of {outcome:?}"
        );
        self.stats.add(Counter::Committed, outcome.written);
        self.stats.add(Counter::DroppedTooOld, outcome.too_old);
        self.stats.add(Counter::Superseded, outcome.spared);
        self.room.give(points);
        let soon = now + EXPIRE_EVERY;
        self.expire_at = Some(self.expire_at.map_or(soon, |at| at.min(soon)));
    }

    /// The points of a series that were in flight could not be written.
    pub fn put_back(&mut self, series: SeriesId) {
        let superseded = self.cache.put_back(series);
        self.superseded(u64::from(superseded));
    }

    /// The points of a series that were in flight are too many for one update, which takes so many at most.
    pub fn put_back_for_fewer(&mut self, series: SeriesId, points_max: u32) {
        let superseded = self.cache.put_back_for_fewer(series, points_max);
        self.superseded(u64::from(superseded));
    }

    /// Notes what is known of a series' file.
    pub fn set_standing(&mut self, series: SeriesId, standing: Standing) {
        let dropped = self.cache.set_standing(series, standing);
        self.dropped(dropped);
    }

    /// The file of a series was just made: it can be written, and is to be at once.
    pub fn created(&mut self, series: SeriesId) {
        self.set_standing(series, Standing::Writable);
        self.cache.hurry(series);
    }

    /// The file of a series has a second archive of another step than was known: the next update does not
    /// rely on where the one under way ends.
    pub fn note_other_slots(&mut self, series: SeriesId) {
        self.cache.note_other_slots(series);
    }

    /// What is known of a series' file.
    pub fn standing(&self, series: SeriesId) -> Standing {
        self.cache.standing(series)
    }

    /// True while a series waits for its retry. One that lost all its points may be forgotten
    /// meanwhile.
    pub fn is_parked(&self, series: SeriesId) -> bool {
        self.cache.is_known(series)
            && matches!(self.standing(series), Standing::Unmade | Standing::Parked)
    }

    /// Gives up all cached points of a series, for the reason given.
    pub fn discard(&mut self, series: SeriesId, reason: Counter) {
        let points = self.cache.discard(series);
        self.keeper.note_written(&self.cache, series, None);
        self.stats.add(reason, points);
        self.room.give(points);
    }

    /// Lets go of what is past its time, gives back what is left of the credit, publishes the
    /// bytes held, and forgets idle series while these are near their bound.
    pub fn settle(&mut self, now: Instant) {
        self.keeper.forget(&self.cache);
        self.cache.empty_forgotten();
        if self.expire_at.is_some_and(|at| at <= now) {
            let has_more = self.cache.expire(now);
            let is_recent = self.cache.usage().recent_bytes > 0;
            self.expire_at = if has_more {
                Some(now)
            } else if is_recent {
                Some(now + EXPIRE_EVERY)
            } else {
                self.cache.next_past()
            };
        }
        if self.credit > 0 {
            self.room.give(u64::from(std::mem::take(&mut self.credit)));
        }
        self.publish_bytes();
        if self.room.is_near_full() {
            let wanted = self.room.bytes() / FORGET_PART;
            let forgotten = self.cache.forget_idle(u64::try_from(wanted).unwrap_or(0));
            self.stats.add(Counter::Forgotten, forgotten);
            self.publish_bytes();
        }
    }

    /// Publishes the bytes held: with every credit and every batch, for a turn alone can bring more
    /// new names than a small cache has room for.
    fn publish_bytes(&mut self) {
        let bytes = self.cache.usage().bytes + self.keeper.bytes();
        if bytes != self.published_bytes {
            self.room
                .add_bytes(signed(bytes) - signed(self.published_bytes));
            self.published_bytes = bytes;
        }
    }

    /// The journal, if there is one.
    pub fn journal(&self) -> Option<&Journal> {
        self.keeper.journal()
    }

    /// The same, to be driven.
    pub fn journal_mut(&mut self) -> Option<&mut Journal> {
        self.keeper.journal_mut()
    }

    /// When `settle` is due though nothing happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.expire_at
    }

    /// From now on no order holds points back, and none is dropped for want of room.
    pub fn drain(&mut self) {
        self.is_draining = true;
        self.cache.drain();
    }

    /// What the cache holds.
    pub fn usage(&self) -> Usage {
        self.cache.usage()
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
