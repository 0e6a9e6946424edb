//! Series table, cached points, write order and byte accounting of one shard.
//! Owned by one thread and lent as `&mut`; reads no file and no clock.
//! A point is *cached* from `insert` until `written`; between `take` and `written` it is also *in
//! flight*, afterwards *recent*: answerable for five seconds more, no longer counted as cached. What
//! was written last is kept until the next update looks for it in the file.
//! Each data directory has its own lists, write order and share, so that none waits for another
//! (docs/decisions/0020).
//! A series goes from `Standing::Unproven` (its file is looked for) to `Writable`, `Missing` (its file is
//! made as soon as there is a place) or `Waiting` (for a limit to grant that); a file that fails is
//! `Parked`, one that cannot be looked for or made `Unmade`. Only writable series are in the write order;
//! points of waiting, unmade and parked ones have a share of the bound of their own.
//! Invariants: of all points inserted, each is cached, was written, was superseded by a later one
//! of the same second, or was reported in a `Dropped`, once; a `SeriesId` stays valid while its
//! series has points that are cached, in flight or recent (a waiting series that was seen once and
//! was not handed out excepted) or a link, and until `forget_idle` otherwise.

mod ages;
mod backfill;
mod cut;
mod deadline;
mod due;
mod encoding;
mod flight;
mod idle;
mod insert;
mod keeper;
mod lanes;
mod last;
mod ledger;
mod links;
mod order;
mod pins;
mod points;
mod queues;
mod ranks;
mod recent;
mod run;
mod series;
mod series_set;
mod share;
mod snapshot;
mod standing;
mod starved;
mod sweep;
#[cfg(test)]
mod tests;
mod unfinished;
mod usage;
mod volumes;

use std::time::Instant;

use hashbrown::HashMap;

pub use insert::{Insert, Inserted};
pub use ledger::{Again, Ledger};
pub use order::Strategy;
pub use series::Standing;
pub use standing::Dropped;
pub use usage::Usage;
pub use volumes::Volume;

use crate::clock::Now;
use crate::limits::UPDATE_POINTS_MAX;
use crate::names;
use crate::point::Point;
use ages::Ages;
use backfill::Backfills;
use due::Due;
use flight::Flight;
use lanes::Lanes;
use last::Last;
use order::Field;
use pins::Pins;
use points::{Blocks, Run};
use queues::Queues;
use recent::Recent;
use series::{Hands, Place, Table};
use share::{Load, Share};
use starved::Starved;
use unfinished::Unfinished;
use volumes::Volumes;

/// Number of a series in its shard's cache. It is used again after the series was forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Default)]
pub struct SeriesId(pub u32);

/// How a shard's cache is set up.
#[derive(Clone, Copy, Debug)]
pub struct CacheConfig {
    /// Seed of the name table and of the random order: the process's, by which owners are chosen.
    pub seed: u64,
    /// CACHE_WRITE_STRATEGY.
    pub strategy: Strategy,
    /// MIN_TIMESTAMP_LAG in seconds, for the order by time.
    pub timestamp_lag_s: u32,
    /// How long a point may be held with the order `deadline`, and passed over with another, in
    /// seconds (MAX_POINT_AGE); 0: not held, and passed over for ever. This and the next are
    /// the first data directory's (see `Cache::add_volume`).
    pub max_point_age_s: u32,
    /// With the order `deadline`: what is due is written in the order in which its files lie on the
    /// disk (DISK_ORDER).
    pub in_disk_order: bool,
    /// When the process began; the ages of points count in seconds from there.
    pub began: Instant,
    /// Bound of the recent points, in bytes; those kept for the next update have as much besides.
    pub recent_bytes_max: u64,
    /// Bound of what waiting, unmade and parked series hold, in bytes of records, names and points.
    pub waiting_bytes_max: u64,
    /// The same bound in points; `u64::MAX` where MAX_CACHE_SIZE is inf.
    pub waiting_points_max: u64,
}

impl CacheConfig {
    /// A cache of an order that began then: nothing is held or passed over, recent points and what
    /// waits may have a mebibyte each.
    #[must_use]
    pub const fn new(strategy: Strategy, began: Instant) -> Self {
        Self {
            seed: 1,
            strategy,
            timestamp_lag_s: 0,
            max_point_age_s: 0,
            in_disk_order: false,
            began,
            recent_bytes_max: 1 << 20,
            waiting_bytes_max: 1 << 20,
            waiting_points_max: u64::MAX,
        }
    }
}

/// One shard's cache.
#[derive(Debug)]
pub struct Cache {
    table: Table,
    seed: u64,
    blocks: Blocks,
    queues: Queues,
    /// In which data directory series belong; what follows is by data directory.
    volumes: Volumes,
    orders: Lanes,
    /// What of the bound is open to points that cannot be written soon.
    shares: Vec<Share>,
    recent: Recent,
    /// What the next update of a series looks for in its file.
    last: Last,
    began: Instant,
    /// The wall clock of this turn.
    unix_now: u32,
    /// Since when series have points that are in no file.
    ages: Ages,
    /// Apart, as hardly anybody needs it, and a core is moved about by value when it starts.
    pins: Box<Pins>,
    /// Who is not held for as long as others.
    backfills: Backfills,
    /// Who is passed over, by data directory.
    starved: Vec<Starved>,
    /// Who has more points than an update took, and whose updates have failed.
    unfinished: Unfinished,
    /// Series that were forgotten, until whoever is to know of it knows.
    forgotten: Vec<SeriesId>,
    /// Points being written, by series.
    flights: HashMap<u32, Flight, foldhash::fast::FixedState>,
    /// Cached points, those in flight included.
    points: u64,
    /// Points in flight.
    points_in_flight: u64,
}

impl Cache {
    /// An empty cache.
    pub fn new(config: CacheConfig) -> Self {
        let mut backfills = Backfills::default();
        backfills.add_volume(
            config.strategy,
            config.max_point_age_s,
            config.in_disk_order,
        );
        Self {
            table: Table::new(config.seed),
            seed: config.seed,
            blocks: Blocks::default(),
            queues: Queues::default(),
            volumes: Volumes::default(),
            orders: Lanes::new(config),
            shares: vec![Share::new(Load {
                points: config.waiting_points_max,
                bytes: config.waiting_bytes_max,
            })],
            recent: Recent::new(config.recent_bytes_max),
            last: Last::new(
                config.recent_bytes_max,
                config.began,
                config.max_point_age_s,
            ),
            began: config.began,
            unix_now: 0,
            ages: Ages::default(),
            pins: Box::default(),
            backfills,
            starved: vec![Starved::new(config.strategy, config.max_point_age_s)],
            unfinished: Unfinished::default(),
            forgotten: Vec::new(),
            flights: HashMap::default(),
            points: 0,
            points_in_flight: 0,
        }
    }

    /// The series of this canonical name, if it is known.
    pub fn find(&self, name: &str) -> Option<SeriesId> {
        self.find_hashed(names::hash(self.seed, name), name)
    }

    /// The same for who has the name's hash, by the cache's seed, already.
    pub fn find_hashed(&self, hash: u64, name: &str) -> Option<SeriesId> {
        self.table.find(hash, name).map(SeriesId)
    }

    /// The canonical name of a series.
    pub fn name(&self, id: SeriesId) -> &str {
        self.assert_known(id);
        self.table.name(id.0)
    }

    /// What is known of a series' file.
    pub fn standing(&self, id: SeriesId) -> Standing {
        self.assert_known(id);
        self.table.records()[id.0].standing
    }

    /// Cached points of a series, those in flight included.
    pub fn len(&self, id: SeriesId) -> u32 {
        self.assert_known(id);
        self.cached_len(id.0) + self.flights.get(&id.0).map_or(0, Flight::len)
    }

    /// A query sees no more points of a series than this: those of one second count as often as they
    /// came.
    pub fn seen_len(&self, id: SeriesId) -> usize {
        let recent = self.table.records()[id.0].recent;
        let runs = self.recent.runs(id.0, recent);
        self.len(id) as usize + runs.map(|run| run.len() as usize).sum::<usize>()
    }

    /// Has the cache no point that must still be written?
    pub fn is_empty(&self) -> bool {
        self.points == 0
    }

    /// The write order's choice among the writable series of a data directory with cached
    /// points and nothing in flight; before it come those that keep the journal, those that the order
    /// passes over for too long, and every second time those that an update has left unfinished or whose
    /// updates have failed. Asked again it chooses the same, until that series is taken or set aside (the
    /// random order excepted, and who is found to come before). None: nothing to write, or with the
    /// order by time and a lag, nothing old enough; or the choice is still under way
    /// (`is_choosing`), for no call looks at more than a bounded number of series.
    pub fn next(&mut self, volume: Volume, unix_now: u32) -> Option<SeriesId> {
        let first = (self.next_pinned(volume)).or_else(|| self.next_starved(volume));
        if first.is_some() {
            return first.map(SeriesId);
        }
        let unfinished = self.next_unfinished(volume);
        if unfinished.is_some() && self.unfinished.have_turn(volume) {
            return unfinished.map(SeriesId);
        }
        let choice = self.choose(volume, unix_now);
        if choice.is_some() || self.orders.of(volume).is_choosing() {
            return choice.map(SeriesId);
        }
        self.come_round(volume);
        unfinished.map(SeriesId)
    }

    /// Was `next` not done with its choice? Then it is to be asked again soon.
    pub fn is_choosing(&self, volume: Volume) -> bool {
        self.orders.of(volume).is_choosing()
    }

    /// One step of a choice that is under way, where others came before it.
    pub fn go_on_choosing(&mut self, volume: Volume, unix_now: u32) {
        if self.is_choosing(volume) {
            let _is_asked_again = self.choose(volume, unix_now);
        }
    }

    /// The order's own choice, or one step towards it.
    fn choose(&mut self, volume: Volume, unix_now: u32) -> Option<u32> {
        let field = Field {
            records: self.table.records(),
            blocks: &self.blocks,
        };
        self.orders.next(volume, field, unix_now)
    }

    /// How many series the write order chooses from.
    pub fn ready(&self, volume: Volume) -> usize {
        self.orders.of(volume).len()
    }

    /// How many series' files are to be looked for and were not handed out.
    pub fn unproven(&self, volume: Volume) -> usize {
        self.queues.len(Place::Unproven, volume)
    }

    /// Is the file of a series that was not handed out to be made as soon as there is a place?
    pub fn has_missing(&self, volume: Volume) -> bool {
        self.queues.len(Place::Missing, volume) > 0
    }

    /// Does a series wait for its create that was not handed out?
    pub fn has_waiting(&self, volume: Volume) -> bool {
        self.queues.len(Place::Repeated, volume) + self.queues.len(Place::Once, volume) > 0
    }

    /// At most so many series are to be written now: fewer than are ready where an order holds
    /// them back, and then `next` says when there are none.
    pub fn due(&self, volume: Volume) -> usize {
        let order = self.orders.of(volume);
        let due = order.due(self.table.records()) + self.unfinished(volume);
        due.max(self.pinned(volume))
    }

    /// From now on no order holds points back, as Python does at shutdown. What turns out not to be
    /// written keeps its place: with all tried at once that may be everything.
    pub fn drain(&mut self) {
        self.orders.drain();
        self.shares.iter_mut().for_each(Share::lift);
    }

    /// Memory is short: what is held is written, the oldest first; or it is so no longer.
    pub fn set_rushed(&mut self, is_rushed: bool) {
        self.orders.set_rushed(is_rushed);
    }

    /// Are series of a data directory written in the order of the disk, so that it matters where their
    /// files lie?
    pub fn is_in_disk_order(&self, volume: Volume) -> bool {
        self.orders.is_swept(volume)
    }

    /// Where the file of a series lies, if that is known; None too where it does not matter.
    pub fn location(&self, id: SeriesId) -> Option<u32> {
        self.orders.location(id.0)
    }

    /// The file of a series lies here, in units that rise along the disk; 0: nobody knows.
    pub fn set_location(&mut self, id: SeriesId, location: u32) {
        if self.orders.is_swept(self.volume(id)) {
            self.orders.set_location(id.0, location);
        }
    }

    /// When an order that holds series back may have one to write; None: that is not known.
    pub fn next_due(&self, volume: Volume, now: Instant) -> Option<Instant> {
        let deadline = self.orders.deadline(volume)?;
        if self.unfinished(volume) > 0 {
            return Some(now);
        }
        let next = now + deadline.next_look(self.table.records());
        let look = self.next_backfill().map(|look| self.began + look);
        Some(look.map_or(next, |look| next.min(look)))
    }

    /// The time until the next turn.
    pub fn begin_turn(&mut self, now: Now) {
        self.unix_now = now.unix_seconds;
        let since = now.instant.saturating_duration_since(self.began);
        let second = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
        let is_new = second > self.ages.present();
        self.ages.advance(second);
        self.look_for_starved(is_new);
        self.look_for_backfills();
        let records = self.table.records_mut();
        self.orders.begin_turn(records, since, second);
    }

    /// The second of this turn, since the process began.
    pub(crate) fn present(&self) -> u32 {
        self.ages.present()
    }

    /// The second, since the process began, at which or before which the oldest point was received
    /// that is in no file. None where every point is.
    pub fn oldest_unwritten(&self) -> Option<u32> {
        self.ages.oldest()
    }

    /// The point of a series that was put in last was received so many seconds ago, by an earlier
    /// run: nothing of it is younger than that.
    pub(super) fn age(&mut self, id: SeriesId, age_s: u32) {
        self.assert_known(id);
        let (id, second) = (id.0, self.ages.present().saturating_sub(age_s));
        // It may have been one from the future.
        self.note_whole(id);
        if !self.ages.has(id) || self.ages.stamp(id) <= second {
            return;
        }
        self.ages.set(id, second);
        if !self.orders.is_deadline() {
            return;
        }
        if self.table.records()[id].place == Place::Ready {
            self.unlist(id);
        }
        let record = &mut self.table.records_mut()[id];
        let due = record.due();
        record.set_due(Due {
            since: due.since.min(second),
            ..due
        });
        self.settle(id);
    }

    /// Adds to `out` what a query sees of a series: recent, in flight and cached points, sorted by
    /// time, one a second; of two in one second the one received later.
    pub fn points(&self, id: SeriesId, out: &mut Vec<Point>) {
        self.assert_known(id);
        let record = &self.table.records()[id.0];
        let begin = out.len();
        self.read_recent(id, usize::MAX, out);
        if record.hands == Hands::InFlight {
            self.blocks.read(self.flights[&id.0].run(), out);
        }
        self.blocks.read_all(id.0, &record.cached, out);
        keep_latest(out, begin);
    }

    /// The points that a new file of this series may begin with: all cached ones, sorted by time. None
    /// where the write order holds points back, where some were written before and the file is gone
    /// since, where there are more than an update takes, or none.
    pub(super) fn firsts(&self, id: SeriesId) -> Option<Vec<Point>> {
        self.assert_known(id);
        let record = &self.table.records()[id.0];
        let order = self.orders.of(self.volume(id));
        let is_held = order.has_lag() || self.recent.has(id.0, record.recent);
        let is_kept = self.last.get(id.0, record.recent).is_some();
        let points = self.cached_len(id.0);
        if is_held || is_kept || points == 0 || points > self.unfinished.points_max(id.0) {
            return None;
        }
        let mut points = Vec::new();
        self.blocks.read_all(id.0, &record.cached, &mut points);
        Some(points)
    }

    /// Adds to `out` the points of a series that its file must have, sorted by time: the recent
    /// ones, or what was written last. Of very many those that were written last: an update's, and those
    /// of the one that makes them as many.
    pub fn recent(&self, id: SeriesId, out: &mut Vec<Point>) {
        self.assert_known(id);
        let begin = out.len();
        if let Some(run) = self.last.get(id.0, self.table.records()[id.0].recent) {
            self.blocks.read(run, out);
        }
        self.read_recent(id, UPDATE_POINTS_MAX as usize, out);
        keep_latest(out, begin);
    }

    /// Adds recent points in the order in which they were written; the oldest runs are left out once the
    /// others have so many points.
    fn read_recent(&self, id: SeriesId, enough: usize, out: &mut Vec<Point>) {
        let number = self.table.records()[id.0].recent;
        let mut later = 0;
        let is_wanted = |run: &&Run| {
            let is_wanted = later < enough;
            later += run.len() as usize;
            is_wanted
        };
        let runs = self.recent.runs(id.0, number).take_while(is_wanted);
        let mut runs: Vec<&Run> = runs.collect();
        while let Some(run) = runs.pop() {
            self.blocks.read(run, out);
        }
    }

    /// What was written last of a series is of no more use.
    fn forget_last(&mut self, id: u32) {
        let number = self.table.records()[id].recent;
        if let Some(run) = self.last.remove(&self.blocks, id, number) {
            self.blocks.release(run);
        }
    }

    fn assert_known(&self, id: SeriesId) {
        assert!(self.table.contains(id.0), "{id:?} is forgotten");
    }

    /// Cached points of a series, not in flight.
    fn cached_len(&self, id: u32) -> u32 {
        self.field().len(id)
    }

    fn field(&self) -> Field<'_> {
        Field {
            records: self.table.records(),
            blocks: &self.blocks,
        }
    }

    /// The list in which a series belongs as it is now.
    fn place_of(&self, id: u32) -> Place {
        let record = &self.table.records()[id];
        if record.hands != Hands::Ours {
            return Place::Nowhere;
        }
        let points = self.cached_len(id);
        if points == 0 {
            let is_held = record.links() > 0 || self.recent.has(id, record.recent);
            return if is_held { Place::Nowhere } else { Place::Idle };
        }
        match record.standing {
            Standing::Unproven if !self.volumes.is_placed(id) => Place::Unplaced,
            Standing::Unproven => Place::Unproven,
            Standing::Missing => Place::Missing,
            Standing::Writable => Place::Ready,
            Standing::Waiting if points == 1 => Place::Once,
            Standing::Waiting => Place::Repeated,
            Standing::Unmade | Standing::Parked => Place::Nowhere,
        }
    }

    /// A series without unwritten points gets one now.
    fn wake(&mut self, id: u32) {
        self.ages.begin(id);
        if self.orders.is_deadline() {
            let since = self.ages.present();
            let record = &mut self.table[id];
            let class = record.due().class;
            record.set_due(Due {
                since,
                class,
                ..Due::default()
            });
        }
    }

    /// A series has no unwritten points any more.
    fn sleep(&mut self, id: u32) {
        self.ages.end(id);
    }

    /// Moves a series to the list in which it belongs; one that is there already keeps its turn.
    fn settle(&mut self, id: u32) {
        let place = self.place_of(id);
        if self.table.records()[id].place == place {
            return;
        }
        self.unlist(id);
        let (records, volume) = (self.table.records_mut(), self.volumes.of(id));
        if place == Place::Ready {
            let order = self.orders.of_mut(volume);
            order.enter(records, &self.blocks, id);
        } else if place != Place::Nowhere {
            self.queues.push(records, (place, volume), id);
        }
    }

    /// Changes what the order `deadline` notes of a series, and by it its place.
    fn relist(&mut self, id: u32, change: impl FnOnce(&mut Due)) {
        self.unlist(id);
        let record = &mut self.table.records_mut()[id];
        let mut due = record.due();
        change(&mut due);
        record.set_due(due);
        self.settle(id);
    }

    /// Takes a series out of its list, before what put it there changes.
    fn unlist(&mut self, id: u32) {
        let (records, volume) = (self.table.records_mut(), self.volumes.of(id));
        let place = records[id].place;
        if place == Place::Ready {
            let order = self.orders.of_mut(volume);
            order.leave(records, &self.blocks, id);
        } else if place != Place::Nowhere {
            self.queues.remove(records, volume, id);
        }
    }
}

/// Sorts `out[begin..]` by time and keeps, of those in one second, the last.
fn keep_latest(out: &mut Vec<Point>, begin: usize) {
    if out[begin..].is_sorted_by(|one, next| one.timestamp < next.timestamp) {
        return;
    }
    out[begin..].sort_by_key(|point| point.timestamp);
    let mut kept = begin;
    for index in begin + 1..out.len() {
        if out[index].timestamp != out[kept].timestamp {
            kept += 1;
        }
        out[kept] = out[index];
    }
    out.truncate(kept + 1);
}
