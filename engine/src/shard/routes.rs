//! How a receiving shard knows metrics again: by the number it found last time, not by their name.
//!
//! A metric of its own, sent under its canonical name, is known by its series' number in its own
//! cache. Every other one has a *route* here: the name as sent, its owner, and the number under
//! which its points are handed over. Senders repeat their order, so each of both kinds remembers
//! which metric followed it last time; a connection's `Trail` says where it stands, and the next
//! metric is foreseen and verified by comparing names, without hashing anything.
//! Invariants: a number means one metric from the moment it begins until it ends, for its owner
//! too, because messages arrive in order; a name has at most one route. A trail or successor may be
//! stale: then the names differ, and nothing is done by it.
//! Bounded: routes are counted in MAX_CACHE_BYTES, and near it those that were not used since the
//! last look are given up, so that ten million names sent once each do not stay here.

use super::SeriesId;
use crate::limits::WARMED_TOGETHER_MAX;
use crate::metric::ShardIndex;
use crate::names::{NameRef, NameTable, Named};
use crate::near;

/// Set in the number of a route, clear in the number of a series.
const ROUTE: u32 = 1 << 31;

/// A sending shard's number of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct RouteId(pub(super) u32);

/// A metric that was found before. It may be gone since, and its number another metric's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known(u32);

/// The two kinds of what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A series of this shard, under its canonical name.
    Own(SeriesId),
    /// Anything else.
    Routed(RouteId),
}

impl Known {
    /// Nothing is known.
    pub(super) const NONE: Self = Self(u32::MAX);

    #[inline]
    pub(super) fn own(series: SeriesId) -> Self {
        Self(series.0)
    }

    #[inline]
    pub(super) fn routed(route: RouteId) -> Self {
        Self(route.0 | ROUTE)
    }

    #[inline]
    pub(super) fn from_number(number: u32) -> Self {
        Self(number)
    }

    #[inline]
    pub(super) fn number(self) -> u32 {
        self.0
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
        if self.0 & ROUTE == 0 {
            Kind::Own(SeriesId(self.0))
        } else {
            Kind::Routed(RouteId(self.0 & !ROUTE))
        }
    }
}

/// Which metric a sender sent last. One for each connection.
#[derive(Clone, Copy, Debug)]
pub struct Trail {
    pub(super) last: Known,
    /// How many metrics in a row were others than what followed the last time.
    misses: u8,
}

/// After so many misses nothing is foreseen until something has followed as it did before: the
/// look at a wrong metric waits for memory twice, and for nothing.
const MISSES_MAX: u8 = 2;

impl Default for Trail {
    fn default() -> Self {
        Self {
            last: Known::NONE,
            misses: 0,
        }
    }
}

impl Trail {
    /// True where the order of metrics is not the one of before, so that they are found by their
    /// names; then `Shard::guess` helps.
    #[inline]
    pub fn is_lost(self) -> bool {
        self.misses >= MISSES_MAX
    }

    /// A metric came that was found by its name.
    pub(super) fn found(&mut self, known: Known, was_next: bool) {
        self.last = known;
        self.misses = if was_next {
            0
        } else {
            self.misses.saturating_add(1)
        };
    }
}

/// How many times as far as they were looked at names are passed over where most of them are new.
const COLD_REACH: usize = 8;

/// What some names that come next are most likely known by.
#[derive(Clone, Debug)]
pub struct Guesses {
    pub(super) known: [Known; WARMED_TOGETHER_MAX],
    pub(super) count: usize,
    /// Where the point of the last name ends.
    pub(super) end: usize,
    pub(super) next: usize,
}

impl Guesses {
    /// Nothing is guessed.
    pub const NONE: Self = Self {
        known: [Known::NONE; WARMED_TOGETHER_MAX],
        count: 0,
        end: 0,
        next: 0,
    };

    /// How far to go before the next names are guessed: to the end of these, and further where most
    /// of them are new, for new names gain nothing by it.
    pub fn reach(&self) -> usize {
        let known = self.known[..self.count].iter();
        let hits = known.filter(|known| **known != Known::NONE).count();
        if hits * 2 < self.count {
            self.end * COLD_REACH
        } else {
            self.end
        }
    }

    /// The guess that comes so many behind the next one.
    #[inline]
    pub(super) fn behind(&self, names: usize) -> Option<Known> {
        self.known[..self.count].get(self.next + names).copied()
    }
}

impl Iterator for Guesses {
    type Item = Known;

    /// The guess for the next name.
    #[inline]
    fn next(&mut self) -> Option<Known> {
        let known = self.known[..self.count].get(self.next)?;
        self.next += 1;
        Some(*known)
    }
}

/// What is known of a name that is no canonical name of an own series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    name: NameRef,
    successor: Known,
    /// The series, where the owner is this shard.
    series: SeriesId,
    pub(super) owner: ShardIndex,
    /// It was used again since it began, or since the last look.
    is_used: bool,
}
const _: () = assert!(size_of::<Route>() == 20);

impl Default for Route {
    fn default() -> Self {
        Self {
            name: NameRef::default(),
            successor: Known::NONE,
            series: SeriesId(u32::MAX),
            owner: ShardIndex(0),
            is_used: false,
        }
    }
}

impl Named for Route {
    fn name(&self) -> NameRef {
        self.name
    }

    fn set_name(&mut self, name: NameRef) {
        self.name = name;
    }
}

/// Where the points of a route go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To a series of this shard, which has another name than the one sent.
    Alias(SeriesId),
    /// To another shard.
    Shard(ShardIndex),
}

/// The routes of one shard.
#[derive(Debug)]
pub(super) struct Routes {
    table: NameTable<Route>,
    own: ShardIndex,
    /// Where the next look for unused routes begins.
    hand: u32,
    begun: usize,
}

impl Routes {
    /// No routes of the shard `own`; `seed` is that of the hashes.
    pub(super) fn new(own: ShardIndex, seed: u64) -> Self {
        Self {
            table: NameTable::new(seed),
            own,
            hand: 0,
            begun: 0,
        }
    }

    /// The route of a name as sent, whose hash is given.
    pub(super) fn find(&self, hash: u64, raw: &str) -> Option<RouteId> {
        self.table.find(hash, raw).map(RouteId)
    }

    /// The route whose name most likely has this hash, for `fetch_record`.
    #[inline]
    pub(super) fn likely(&self, hash: u64) -> Option<RouteId> {
        self.table.likely(hash).map(RouteId)
    }

    /// Asks for a route's record, which says where its name is, and may lie in two lines of the
    /// processor's cache.
    #[inline]
    pub(super) fn fetch_record(&self, route: RouteId) {
        self.table.fetch_record(route.0);
        if let Some(route) = self.table.peek(route.0) {
            near::fetch(&route.is_used);
        }
    }

    /// Asks for a route's name.
    #[inline]
    pub(super) fn fetch_name(&self, route: RouteId) {
        self.table.fetch_name(route.0);
    }

    /// Begins a route for a name that has none.
    pub(super) fn begin(&mut self, hash: u64, raw: &str, target: Target) -> RouteId {
        let (owner, series) = match target {
            Target::Alias(series) => (self.own, series),
            Target::Shard(owner) => (owner, Route::default().series),
        };
        self.begun += 1;
        let route = Route {
            series,
            owner,
            ..Route::default()
        };
        RouteId(self.table.add(hash, raw, route))
    }

    /// Where the points of a live route go; from now on it counts as used.
    #[inline]
    pub(super) fn follow(&mut self, route: RouteId) -> Target {
        let route = &mut self.table[route.0];
        route.is_used = true;
        if route.owner == self.own {
            Target::Alias(route.series)
        } else {
            Target::Shard(route.owner)
        }
    }

    /// The name of a route, empty where it is no live one.
    #[inline]
    pub(super) fn name_bytes(&self, route: RouteId) -> &[u8] {
        self.table.name_bytes(route.0)
    }

    /// Was the name of a route judged, and may pass?
    #[inline]
    pub(super) fn is_admitted(&self, route: RouteId) -> bool {
        self.table.is_admitted(route.0)
    }

    /// The name of a live route was judged, and may pass.
    pub(super) fn admit(&mut self, route: RouteId) {
        self.table.admit(route.0);
    }

    /// Every name is to be judged anew.
    pub(super) fn judge_anew(&mut self) {
        self.table.judge_anew();
    }

    /// What followed a route last time, live or not.
    #[inline]
    pub(super) fn successor(&self, route: RouteId) -> Known {
        self.table
            .peek(route.0)
            .map_or(Known::NONE, |route| route.successor)
    }

    /// Notes what followed a route, if it is live.
    pub(super) fn set_successor(&mut self, route: RouteId, successor: Known) {
        if self.table.contains(route.0) {
            self.table[route.0].successor = successor;
        }
    }

    /// How many routes began since the last call.
    pub(super) fn take_begun(&mut self) -> usize {
        std::mem::take(&mut self.begun)
    }

    /// Looks at one route, the next one in turn, and ends it where it was not used since the last
    /// look.
    pub(super) fn look_at_next(&mut self) -> Option<(RouteId, Target)> {
        let id = self.hand;
        self.hand = (id + 1) % self.table.numbers().max(1);
        if !self.table.contains(id) || std::mem::take(&mut self.table[id].is_used) {
            return None;
        }
        let target = self.follow(RouteId(id));
        self.table.remove(id);
        Some((RouteId(id), target))
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        self.table.used_bytes()
    }
}
