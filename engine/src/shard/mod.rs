//! One core's storage state machine: points, completions and time in, operations and replies out.
//!
//! A shard owns the series whose file's path hashes to it: their cache, their writer, their part
//! of the accounts. Points for other shards leave in batches, questions about their series as
//! messages. It has no file, socket, clock or thread: the core's loop calls
//! `begin_turn`, hands in what came (`accept`, `deliver`, `complete`), calls `end_turn`, and then
//! takes out operations, messages and answers. So a simulator can run many of them from one seed.
//! Invariants: a point is counted as received where it enters its owner's cache, so that every
//! shard's own accounts balance at any moment; messages to one shard arrive in the order sent, so
//! that a question never overtakes the points that were accepted before it.

mod inbound;
mod inbox;
mod message;
mod outbox;
mod routes;
#[cfg(test)]
mod tests;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;

pub use inbox::Inbox;
pub use message::{Answer, Ask, Message, Origin, PointBatch, Question, Reply};
pub use routes::{Known, Trail};

use crate::cache::{Cache, CacheConfig, Ledger, SeriesId, Usage};
use crate::clock::Now;
use crate::limiter::Room;
use crate::limits::{ROUTES_LOOKED_AT_PER_NEW, ROUTES_LOOKED_AT_PER_TURN_MAX, WARMED_TOGETHER_MAX};
use crate::metric::{Metric, NameError, ShardIndex, TaggedLeaf, owner};
use crate::names;
use crate::point::Point;
use crate::ring::{FileError, FileOperation, FileOutcome, FileToken};
use crate::stats::{Counter, Stats};
use crate::writer::{Budgets, Inspection, Writer, WriterConfig};
use inbound::{Inbound, Lead};
use message::{RouteChange, RoutePoint};
use outbox::Outbox;
use routes::{Kind, Routes, Target};

/// What a shard is made of.
#[derive(Debug)]
pub struct ShardConfig {
    /// This shard's number.
    pub index: ShardIndex,
    /// How many shards there are.
    pub shards: u16,
    /// Seed of the owner hash, the same in all shards.
    pub seed: u64,
    /// Its cache.
    pub cache: CacheConfig,
    /// Its writer.
    pub writer: WriterConfig,
    /// Updates a second and creates a minute, shared by all shards.
    pub budgets: Budgets,
    /// The bound on cached points and bytes, shared by all shards.
    pub room: Arc<Room>,
}

/// What became of a point that was offered.
#[derive(Debug, PartialEq, Eq)]
pub enum Accept {
    /// It is cached, or on its way to its owner's cache.
    Taken,
    /// There is no room just now: offer it again later, or count it with `drop_full`.
    Full,
    /// Its name cannot be a metric.
    Refused(NameError),
}

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

/// A shard's numbers at one moment.
#[derive(Clone, Debug)]
pub struct Report {
    /// Counters since the start.
    pub stats: Stats,
    /// What its cache holds.
    pub usage: Usage,
}

/// One core's storage.
#[derive(Debug)]
pub struct Shard {
    index: ShardIndex,
    shards: u16,
    seed: u64,
    leaf: TaggedLeaf,
    ledger: Ledger,
    /// Metrics that are received here and are not known by their own series.
    routes: Routes,
    /// What other shards' routes lead to, by shard.
    inbound: Vec<Inbound>,
    /// What was last published of the bytes of both.
    routing_bytes: u64,
    writer: Writer,
    budgets: Budgets,
    outboxes: Vec<Outbox>,
    answers: Vec<Answer>,
    /// Who asked for an inspection: the writer's ticket -> shard and its ticket.
    inspections: HashMap<u64, (ShardIndex, u64)>,
    inspections_begun: u64,
    now: Now,
    scratch: String,
}

impl Shard {
    /// An empty shard.
    pub fn new(config: ShardConfig, now: Now) -> Self {
        assert!(
            config.index.0 < config.shards,
            "{:?} of {} shards",
            config.index,
            config.shards
        );
        Self {
            index: config.index,
            shards: config.shards,
            seed: config.seed,
            leaf: config.writer.leaf,
            ledger: Ledger::new(Cache::new(config.cache), config.room),
            routes: Routes::new(config.index, config.seed),
            inbound: (0..config.shards).map(|_| Inbound::default()).collect(),
            routing_bytes: 0,
            writer: Writer::new(config.writer),
            budgets: config.budgets,
            outboxes: (0..config.shards)
                .map(|_| Outbox::new(config.index))
                .collect(),
            answers: Vec::new(),
            inspections: HashMap::new(),
            inspections_begun: 0,
            now,
            scratch: String::new(),
        }
    }

    /// Sets the time for everything until the next turn.
    pub fn begin_turn(&mut self, now: Now) {
        self.now = now;
    }

    /// The metric that followed the last one on this trail before, and its name as it was sent.
    /// Where the name received next is the same, its point goes to `accept_known`.
    #[inline]
    pub fn foresee(&self, trail: Trail) -> Option<(Known, &[u8])> {
        if trail.is_lost() {
            return None;
        }
        let known = self.successor(trail.last);
        let name = match known.kind() {
            Kind::Own(series) => self.ledger.name_bytes(series),
            Kind::Routed(route) => self.routes.name_bytes(route),
        };
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
    #[inline]
    pub fn accept_known(&mut self, trail: &mut Trail, known: Known, point: Point) -> Accept {
        let accept = self.take_known(known, point, Origin::Received);
        if accept == Accept::Taken {
            trail.last = known;
        }
        accept
    }

    /// Offers a received point under its raw name.
    pub fn accept(&mut self, trail: &mut Trail, raw: &str, point: Point) -> Accept {
        let found = match self.find(raw) {
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
                if !self.admit(owner, Origin::Received) {
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
        Accept::Taken
    }

    /// Notes what followed a metric. A name with whitespace is never foreseen: a pickle can have
    /// one, and a line that begins with the same bytes is another metric's, or wrong.
    fn learn(&mut self, last: Known, next: Known, raw: &str) {
        let has_whitespace = if raw.is_ascii() {
            raw.as_bytes().contains(&b' ')
        } else {
            raw.contains(char::is_whitespace)
        };
        let next = if has_whitespace { Known::NONE } else { next };
        match last.kind() {
            Kind::Own(series) => self.ledger.set_successor(series, next.number()),
            Kind::Routed(route) => self.routes.set_successor(route, next),
        }
    }

    /// Brings near what points of these metrics will touch: for all of them at once, where one after
    /// the other would wait for memory three or four times. Changes nothing. Says how many of them
    /// seem to be known; looks at `limits::WARMED_TOGETHER_MAX` at most.
    pub fn warm<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> usize {
        // Short loops, so that the processor has the loads of many names under way at once.
        let mut hashes = [0; WARMED_TOGETHER_MAX];
        let mut asked = 0;
        for (hash, name) in hashes.iter_mut().zip(names) {
            *hash = names::hash_bytes(self.seed, name);
            asked += 1;
        }
        let mut known = [Known::NONE; WARMED_TOGETHER_MAX];
        let mut count = 0;
        for hash in &hashes[..asked] {
            // Where the name is no canonical one this may be wrong, and nothing is gained.
            let likely = if owner(*hash, self.shards) == self.index {
                self.ledger.likely(*hash).map(Known::own)
            } else {
                self.routes.likely(*hash).map(Known::routed)
            };
            known[count] = likely.unwrap_or(Known::NONE);
            count += usize::from(likely.is_some());
        }
        let touched = known[..count].iter().map(|known| match known.kind() {
            Kind::Own(series) => self.ledger.touch(series),
            Kind::Routed(route) => self.routes.touch(route),
        });
        black_box(touched.fold(0, |all, byte| all ^ byte));
        count
    }

    /// Takes one of our own metrics, whatever the bound: they are few and must not be lost.
    pub fn accept_own(&mut self, name: &str, point: Point) -> Result<(), NameError> {
        match self.find(name)? {
            Found::Known(known) => {
                self.take_known(known, point, Origin::Own);
            }
            Found::New { hash, owner } => {
                self.admit(owner, Origin::Own);
                self.take_new((hash, name), owner, point, Origin::Own);
            }
        }
        Ok(())
    }

    /// Takes a point of a live known metric, where there is room.
    #[inline]
    fn take_known(&mut self, known: Known, point: Point, origin: Origin) -> Accept {
        let series = match known.kind() {
            Kind::Own(series) => series,
            Kind::Routed(route) => match self.routes.follow(route) {
                Target::Alias(series) => series,
                Target::Shard(owner) => {
                    if !self.admit(owner, origin) {
                        return Accept::Full;
                    }
                    let point = RoutePoint::new(route, point);
                    self.outboxes[usize::from(owner.0)].push_point(point, origin);
                    return Accept::Taken;
                }
            },
        };
        if !self.admit(self.index, origin) {
            return Accept::Full;
        }
        self.ledger.insert_known(series, point, origin.counter());
        Accept::Taken
    }

    /// Reserves room for a point, with its owner too.
    #[inline]
    fn admit(&mut self, owner: ShardIndex, origin: Origin) -> bool {
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
            let point = RoutePoint::new(route, point);
            self.outboxes[usize::from(owner.0)].begin_route(metric.as_str(), point, origin);
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

    /// Publishes the bytes of routes, and gives up some that are not used where bytes are short:
    /// as fast as new ones come, and a good deal faster where nothing is read any more.
    fn settle_routes(&mut self) {
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
        let bytes = (self.routes.bytes() + inbound) as u64;
        if bytes != self.routing_bytes {
            self.ledger.hold_bytes(bytes);
            self.ledger.release_bytes(self.routing_bytes);
            self.routing_bytes = bytes;
        }
    }

    /// Counts a point that was offered, found no room and cannot wait.
    pub fn drop_full(&mut self) {
        self.ledger.count(Counter::Received, 1);
        self.ledger.count(Counter::DroppedCacheFull, 1);
    }

    /// Counts something that happened on this core.
    pub fn count(&mut self, counter: Counter, amount: u64) {
        self.ledger.count(counter, amount);
    }

    /// True where a point that found no room would find it now.
    pub fn has_room(&self) -> bool {
        self.ledger.has_room()
    }

    /// Asks for the cached points of metrics (raw names). Each owner answers for its part; the
    /// parts name the index of each metric in `names`. Returns how many answers will come.
    pub fn ask_points<'n>(&mut self, ticket: u64, names: impl Iterator<Item = &'n str>) -> usize {
        let mut parts: Vec<Vec<(u32, String)>> = vec![Vec::new(); usize::from(self.shards)];
        for (index, name) in (0..).zip(names) {
            // What cannot be a metric has no points; any owner can say so.
            let (shard, name) = match Metric::parse(name, &mut self.scratch) {
                Ok(metric) => (
                    owner(metric.owner_hash(self.leaf, self.seed), self.shards),
                    metric.as_str().to_owned(),
                ),
                Err(_) => (self.index, String::new()),
            };
            parts[usize::from(shard.0)].push((index, name));
        }
        let mut count = 0;
        for (shard, part) in (0..self.shards).map(ShardIndex).zip(parts) {
            if !part.is_empty() {
                count += 1;
                self.ask(shard, ticket, Ask::Points(part));
            }
        }
        count
    }

    /// Asks for a metric's header to be read or changed. One answer will come, unless the name
    /// cannot be a metric.
    pub fn ask_metadata(
        &mut self,
        ticket: u64,
        name: &str,
        inspection: Inspection,
    ) -> Result<(), NameError> {
        let metric = Metric::parse(name, &mut self.scratch)?;
        let shard = owner(metric.owner_hash(self.leaf, self.seed), self.shards);
        let name = metric.as_str().to_owned();
        self.ask(shard, ticket, Ask::Metadata { name, inspection });
        Ok(())
    }

    fn ask(&mut self, shard: ShardIndex, ticket: u64, ask: Ask) {
        let question = Question {
            from: self.index,
            ticket,
            ask,
        };
        if shard == self.index {
            self.answer(question);
        } else {
            self.outboxes[usize::from(shard.0)].push(Message::Question(question));
        }
    }

    /// Takes a message from another shard's core.
    pub fn deliver(&mut self, message: Message) {
        match message {
            Message::Points(from, batch) => self.deliver_points(from, &batch),
            Message::Question(question) => self.answer(question),
            Message::Answer(answer) => self.answers.push(answer),
        }
    }

    fn deliver_points(&mut self, from: ShardIndex, batch: &PointBatch) {
        let (ledger, counter) = (&mut self.ledger, batch.origin().counter());
        let inbound = &mut self.inbound[usize::from(from.0)];
        for (change, mut points) in batch.stretches() {
            match change {
                None => {}
                Some(RouteChange::Ends(route)) => {
                    if let Some(series) = inbound.end(route) {
                        ledger.unlink(series);
                    }
                }
                Some(RouteChange::Begins(route, name)) => {
                    let Some(first) = points.split_off_first() else {
                        unreachable!("{route:?} begins without a point");
                    };
                    let series = ledger.insert(name, first.point(), counter).series();
                    let lead = if ledger.link(series) {
                        Lead::Series(series)
                    } else {
                        Lead::Name(name)
                    };
                    inbound.begin(route, lead);
                }
            }
            for (index, point) in points.iter().enumerate() {
                if index % WARMED_TOGETHER_MAX == 0 {
                    let soon = &points[index..points.len().min(index + WARMED_TOGETHER_MAX)];
                    inbound.warm(soon, ledger);
                }
                match inbound.follow(point.route) {
                    Lead::Series(series) => ledger.insert_known(series, point.point(), counter),
                    Lead::Name(name) => ledger.insert(name, point.point(), counter),
                };
            }
        }
        ledger.release_bytes(batch.held_bytes());
    }

    fn answer(&mut self, question: Question) {
        let Question { from, ticket, ask } = question;
        match ask {
            Ask::Points(names) => {
                let points = names
                    .into_iter()
                    .map(|(index, name)| (index, self.ledger.points(&name)))
                    .collect();
                self.reply(
                    from,
                    Answer {
                        ticket,
                        reply: Reply::Points(points),
                    },
                );
            }
            Ask::Metadata { name, inspection } => {
                self.inspections_begun += 1;
                self.inspections
                    .insert(self.inspections_begun, (from, ticket));
                self.writer
                    .inspect(self.inspections_begun, &name, inspection);
            }
        }
    }

    fn reply(&mut self, to: ShardIndex, answer: Answer) {
        if to == self.index {
            self.answers.push(answer);
        } else {
            self.outboxes[usize::from(to.0)].push(Message::Answer(answer));
        }
    }

    /// Takes the outcome of a file operation.
    pub fn complete(&mut self, token: FileToken, result: Result<FileOutcome, FileError>) {
        self.writer
            .complete(&mut self.ledger, token, result, self.now);
        while let Some((ticket, metadata)) = self.writer.next_answer() {
            let Some((from, ticket)) = self.inspections.remove(&ticket) else {
                unreachable!("inspection {ticket} was not asked for");
            };
            self.reply(
                from,
                Answer {
                    ticket,
                    reply: Reply::Metadata(metadata),
                },
            );
        }
    }

    /// Starts what may start, lets go of what is past its time, balances the accounts.
    pub fn end_turn(&mut self) {
        self.settle_routes();
        self.writer.start(&mut self.ledger, &self.budgets, self.now);
        self.ledger.settle(self.now.instant);
    }

    /// The next operation for the driver.
    pub fn next_operation(&mut self) -> Option<(FileToken, FileOperation)> {
        self.writer.next_operation()
    }

    /// The next message for another shard.
    pub fn next_message(&mut self, to: ShardIndex) -> Option<Message> {
        let message = self.outboxes[usize::from(to.0)].pop()?;
        if let Message::Points(_, batch) = &message {
            self.ledger.hold_bytes(batch.held_bytes());
        }
        Some(message)
    }

    /// Takes a message back that found its target's inbox full; it goes first next time.
    pub fn return_message(&mut self, to: ShardIndex, message: Message) {
        if let Message::Points(_, batch) = &message {
            self.ledger.release_bytes(batch.held_bytes());
        }
        self.outboxes[usize::from(to.0)].push_front(message);
    }

    /// True while messages wait for other shards.
    pub fn has_messages(&self) -> bool {
        self.outboxes.iter().any(|outbox| !outbox.is_empty())
    }

    /// True where points for another shard find no room until messages have left.
    pub fn is_congested(&self) -> bool {
        self.outboxes.iter().any(Outbox::is_full)
    }

    /// The next answer to a question asked here.
    pub fn next_answer(&mut self) -> Option<Answer> {
        self.answers.pop()
    }

    /// When a turn is due though nothing happens; `None`: only an event can tell.
    pub fn next_deadline(&self) -> Option<Instant> {
        let writer = self
            .writer
            .next_deadline(&self.ledger, &self.budgets, self.now);
        [writer, self.ledger.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// From now on everything is written out, held back by the budgets only.
    pub fn drain(&mut self) {
        self.ledger.drain();
        self.writer.drain(self.now);
    }

    /// True when nothing is cached, in flight or waiting for another shard.
    pub fn is_drained(&self) -> bool {
        self.ledger.usage().points == 0 && self.writer.in_flight() == 0 && !self.has_messages()
    }

    /// This shard's numbers.
    pub fn report(&self) -> Report {
        Report {
            stats: self.ledger.stats().clone(),
            usage: self.ledger.usage(),
        }
    }
}
