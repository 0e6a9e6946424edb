//! How a received point finds its series: foreseen, by its name, or as a new metric; and where it
//! goes from here, into the own cache or to the shard that owns it.
//! See `routes` for what is known by number, and docs/decisions/0008 for why.

#![expect(
    clippy::inline_always,
    reason = "the calls of a known metric's point, left alone, took a tenth of its time"
)]

use super::inbound::Inbound;
use super::message::Origin;
use super::routes::{Guesses, Kind, Known, Target, Trail};
use super::{Accept, Shard};
use crate::limits::{
    METRIC_NAME_BYTES_MAX, ROUTES_LOOKED_AT_PER_NEW, ROUTES_LOOKED_AT_PER_TURN_MAX,
    WARMED_TOGETHER_MAX,
};
use crate::metric::{Metric, NameError, ShardIndex, owner};
use crate::names;
use crate::near::AHEAD;
use crate::point::Point;

/// What a shard knows of a name.
#[derive(Clone, Copy, Debug)]
enum Found {
    Known(Known),
    /// Nothing: its hash, and who owns the metric.
    New {
        hash: u64,
        owner: ShardIndex,
    },
}

impl Shard {
    /// The metric that followed the last one on this trail before, and its name as it was sent.
    /// Where the name received next is the same, its point goes to `accept_known`.
    #[inline]
    pub fn foresee(&self, trail: Trail) -> Option<(Known, &[u8])> {
        if trail.is_lost() {
            return None;
        }
        let known = self.successor(trail.last);
        let name = self.name_of(known);
        (!name.is_empty()).then_some((known, name))
    }

    /// What followed a metric last time.
    #[inline]
    fn successor(&self, last: Known) -> Known {
        match last.kind() {
            Kind::Own(series) => Known::from_number(self.ledger.successor(series)),
            Kind::Routed(route) => self.routes.successor(route),
        }
    }

    /// Offers a received point of a metric that was foreseen, and whose name was received indeed.
    #[inline(always)]
    pub fn accept_known(&mut self, trail: &mut Trail, known: Known, point: Point) -> Accept {
        let accept = self.take_known(known, point, Origin::Received);
        if accept == Accept::Taken {
            trail.last = known;
        }
        accept
    }

    /// From now on a received name has to be admitted, and none is yet: what was known before is
    /// neither foreseen nor guessed until it was judged. Names of our own metrics and of points that
    /// come from other shards or back from the journal are not asked.
    pub fn judge_anew(&mut self) {
        self.judges = true;
        self.ledger.judge_anew();
        self.routes.judge_anew();
    }

    /// Offers a received point under its raw name.
    pub fn accept(&mut self, trail: &mut Trail, raw: &str, point: Point) -> Accept {
        self.offer(trail, raw, point, !self.judges)
    }

    /// Offers a received point whose raw name was judged and may pass, from now on.
    pub fn accept_admitted(&mut self, trail: &mut Trail, raw: &str, point: Point) -> Accept {
        self.offer(trail, raw, point, true)
    }

    fn offer(&mut self, trail: &mut Trail, raw: &str, point: Point, may_pass: bool) -> Accept {
        let found = match self.find(raw) {
            Ok(Found::Known(known)) if !may_pass && !self.is_admitted(known) => {
                return Accept::Unjudged;
            }
            Ok(Found::New { .. }) | Err(_) if !may_pass => return Accept::Unjudged,
            Ok(found) => found,
            Err(error) => return Accept::Refused(error),
        };
        let known = match found {
            Found::Known(known) => {
                let accept = self.take_known(known, point, Origin::Received);
                if accept != Accept::Taken {
                    return accept;
                }
                known
            }
            Found::New { hash, owner } => {
                if !self.find_room(owner, Origin::Received) {
                    return Accept::Full;
                }
                self.take_new((hash, raw), owner, point, Origin::Received)
            }
        };
        let was_next = self.successor(trail.last) == known;
        if !was_next {
            self.learn(trail.last, known, raw);
        }
        trail.found(known, was_next);
        if self.judges && may_pass {
            self.admit_name(known, raw);
        }
        Accept::Taken
    }

    /// Was the name under which something is known judged, and may pass?
    #[inline]
    fn is_admitted(&self, known: Known) -> bool {
        match known.kind() {
            Kind::Own(series) => self.ledger.is_admitted(series),
            Kind::Routed(route) => self.routes.is_admitted(route),
        }
    }

    /// A name was judged and may pass. Where so many routes lead to its series that it has none of
    /// its own, it is known by another name, of which nothing was said.
    fn admit_name(&mut self, known: Known, raw: &str) {
        if self.bare_name(known) != raw.as_bytes() {
            return;
        }
        match known.kind() {
            Kind::Own(series) => self.ledger.admit(series),
            Kind::Routed(route) => self.routes.admit(route),
        }
    }

    /// Notes what followed a metric. A name with whitespace is never foreseen: a pickle can have
    /// one, and a line that begins with the same bytes is another metric's, or wrong.
    fn learn(&mut self, last: Known, next: Known, raw: &str) {
        let has_whitespace = if raw.is_ascii() {
            raw.as_bytes().contains(&b' ')
        } else {
            raw.contains(char::is_whitespace)
        };
        self.set_successor(last, if has_whitespace { Known::NONE } else { next });
    }

    #[inline]
    fn set_successor(&mut self, last: Known, next: Known) {
        match last.kind() {
            Kind::Own(series) => self.ledger.set_successor(series, next.number()),
            Kind::Routed(route) => self.routes.set_successor(route, next),
        }
    }

    /// Looks for these names all at once: one after the other, each would wait for memory twice. Says
    /// of each what is most likely known by it, to be compared with the name (`name_of`); looks at
    /// `limits::WARMED_TOGETHER_MAX` at most. What their points touch is asked for, that of the first
    /// here, that of the others by `next_guess`. With each name comes where its point ends, in whatever
    /// the caller counts (`Guesses::reach`).
    pub fn guess<'n>(&self, names: impl Iterator<Item = (&'n [u8], usize)>) -> Guesses {
        // Short loops, so that the processor has the loads of many names under way at once.
        let mut hashes = [0; WARMED_TOGETHER_MAX];
        let (mut count, mut end) = (0, 0);
        for (hash, (name, name_end)) in hashes.iter_mut().zip(names) {
            // Of one that is too long to be known nothing is found, and less is hashed in vain.
            let name = &name[..name.len().min(METRIC_NAME_BYTES_MAX)];
            *hash = names::hash_bytes(self.seed, name);
            count += 1;
            end = name_end;
        }
        let mut known = [Known::NONE; WARMED_TOGETHER_MAX];
        for (known, hash) in known.iter_mut().zip(&hashes[..count]) {
            // Where the name is no canonical one this may be wrong, and nothing is gained.
            let likely = if owner(*hash, self.shards) == self.index {
                self.ledger.likely(*hash).map(Known::own)
            } else {
                self.routes.likely(*hash).map(Known::routed)
            };
            *known = likely.unwrap_or(Known::NONE);
        }
        // What the first points touch; `next_guess` goes on from there.
        for first in known[..count].iter().take(2 * AHEAD) {
            self.fetch_record(*first);
        }
        for first in known[..count].iter().take(AHEAD) {
            self.fetch_rest(*first);
        }
        Guesses {
            known,
            count,
            end,
            next: 0,
        }
    }

    /// The next guess. Asks for what the points of later ones touch, so that it is near in their turn.
    pub fn next_guess(&self, guesses: &mut Guesses) -> Option<Known> {
        if let Some(known) = guesses.behind(2 * AHEAD) {
            self.fetch_record(known);
        }
        if let Some(known) = guesses.behind(AHEAD) {
            self.fetch_rest(known);
        }
        guesses.next()
    }

    #[inline]
    fn fetch_record(&self, known: Known) {
        match known.kind() {
            Kind::Own(series) => self.ledger.fetch_record(series),
            Kind::Routed(route) => self.routes.fetch_record(route),
        }
    }

    #[inline]
    fn fetch_rest(&self, known: Known) {
        match known.kind() {
            Kind::Own(series) => self.ledger.fetch_rest(series),
            Kind::Routed(route) => self.routes.fetch_name(route),
        }
    }

    /// The name under which something is known; empty where it is not any more, or where the name is
    /// to be judged first.
    #[inline]
    pub fn name_of(&self, known: Known) -> &[u8] {
        if self.judges && !self.is_admitted(known) {
            return &[];
        }
        self.bare_name(known)
    }

    #[inline]
    fn bare_name(&self, known: Known) -> &[u8] {
        match known.kind() {
            Kind::Own(series) => self.ledger.name_bytes(series),
            Kind::Routed(route) => self.routes.name_bytes(route),
        }
    }

    /// Offers a received point of a metric that was guessed, and whose name was received indeed, on
    /// a line.
    #[inline]
    pub fn accept_guessed(&mut self, trail: &mut Trail, known: Known, point: Point) -> Accept {
        let accept = self.take_known(known, point, Origin::Received);
        if accept == Accept::Taken {
            let was_next = self.successor(trail.last) == known;
            if !was_next {
                self.set_successor(trail.last, known);
            }
            trail.found(known, was_next);
        }
        accept
    }

    /// Takes one of our own metrics, whatever the bound: they are few and must not be lost.
    pub fn accept_own(&mut self, name: &str, point: Point) -> Result<(), NameError> {
        match self.find(name)? {
            Found::Known(known) => {
                self.take_known(known, point, Origin::Own);
            }
            Found::New { hash, owner } => {
                self.find_room(owner, Origin::Own);
                self.take_new((hash, name), owner, point, Origin::Own);
            }
        }
        Ok(())
    }

    /// Takes a point of a live known metric, where there is room.
    #[inline(always)]
    fn take_known(&mut self, known: Known, point: Point, origin: Origin) -> Accept {
        let series = match known.kind() {
            Kind::Own(series) => series,
            Kind::Routed(route) => match self.routes.follow(route) {
                Target::Alias(series) => series,
                Target::Shard(owner) => {
                    if !self.find_room(owner, origin) {
                        return Accept::Full;
                    }
                    self.outboxes[usize::from(owner.0)].push_point(route, point, origin);
                    return Accept::Taken;
                }
            },
        };
        if !self.find_room(self.index, origin) {
            return Accept::Full;
        }
        self.ledger.insert_known(series, point, origin.counter());
        Accept::Taken
    }

    /// Reserves room for a point, with its owner too.
    #[inline(always)]
    fn find_room(&mut self, owner: ShardIndex, origin: Origin) -> bool {
        match origin {
            Origin::Own => {
                self.ledger.reserve_anyway();
                true
            }
            Origin::Received => {
                let is_full = owner != self.index && self.outboxes[usize::from(owner.0)].is_full();
                !is_full && self.ledger.reserve()
            }
        }
    }

    /// Looks for what is known of a name as sent.
    fn find(&mut self, raw: &str) -> Result<Found, NameError> {
        // First: a small pickle can name one of half a megabyte a hundred thousand times.
        Metric::check_length(raw)?;
        let hash = names::hash(self.seed, raw);
        // Untagged and canonical as it stands: the hash is its owner's too.
        if Metric::is_plain(raw) {
            let owner = owner(hash, self.shards);
            let known = if owner == self.index {
                self.ledger.find_hashed(hash, raw).map(Known::own)
            } else {
                self.routes.find(hash, raw).map(Known::routed)
            };
            return Ok(known.map_or(Found::New { hash, owner }, Found::Known));
        }
        if let Some(route) = self.routes.find(hash, raw) {
            return Ok(Found::Known(Known::routed(route)));
        }
        let metric = Metric::parse(raw, &mut self.scratch)?;
        let owner = owner(metric.owner_hash(self.leaf, self.seed), self.shards);
        if owner == self.index
            && metric.as_str() == raw
            && let Some(series) = self.ledger.find_hashed(hash, raw)
        {
            return Ok(Found::Known(Known::own(series)));
        }
        Ok(Found::New { hash, owner })
    }

    /// Puts in the first point of a metric that `find` did not know, for which there is room.
    fn take_new(
        &mut self,
        (hash, raw): (u64, &str),
        owner: ShardIndex,
        point: Point,
        origin: Origin,
    ) -> Known {
        let Ok(metric) = Metric::parse(raw, &mut self.scratch) else {
            unreachable!("{raw:?} was a metric a moment ago");
        };
        if owner != self.index {
            let route = self.routes.begin(hash, raw, Target::Shard(owner));
            let begun = (route, metric.as_str());
            self.outboxes[usize::from(owner.0)].begin_route(begun, point, origin);
            return Known::routed(route);
        }
        let counter = origin.counter();
        if metric.as_str() == raw {
            let inserted = self.ledger.insert_hashed(hash, raw, point, counter);
            return Known::own(inserted.series());
        }
        let inserted = self.ledger.insert(metric.as_str(), point, counter);
        let series = inserted.series();
        if !self.ledger.link(series) {
            return Known::own(series);
        }
        Known::routed(self.routes.begin(hash, raw, Target::Alias(series)))
    }

    /// Publishes the bytes held beside the cache, and gives up some that are not used where bytes are short:
    /// as fast as new ones come, and a good deal faster where nothing is read any more.
    pub(super) fn settle_memory(&mut self) {
        let begun = self.routes.take_begun();
        let looks = if self.ledger.is_short_of_bytes() {
            ROUTES_LOOKED_AT_PER_TURN_MAX
        } else if self.ledger.is_near_full() {
            begun * ROUTES_LOOKED_AT_PER_NEW
        } else {
            0
        };
        for _ in 0..looks {
            match self.routes.look_at_next() {
                Some((_, Target::Alias(series))) => self.ledger.unlink(series),
                Some((route, Target::Shard(owner))) => {
                    self.outboxes[usize::from(owner.0)].end_route(route);
                }
                None => {}
            }
        }
        let inbound: usize = self.inbound.iter().map(Inbound::bytes).sum();
        let bytes = (self.routes.bytes() + inbound + self.writer.memory_bytes()) as u64;
        if bytes != self.beside_bytes {
            self.ledger.hold_bytes(bytes);
            self.ledger.release_bytes(self.beside_bytes);
            self.beside_bytes = bytes;
        }
    }
}
