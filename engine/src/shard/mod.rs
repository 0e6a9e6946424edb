//! One core's storage state machine: points, completions and time in, operations and replies out.
//!
//! A shard owns the series whose file's path hashes to it: their cache, their writer, their part
//! of the accounts. Points for other shards leave in batches, questions about their series as
//! messages. It has no file, socket, clock or thread: the core's loop calls
//! `begin_turn`, hands in what came (`accept`, `deliver`, `complete`), calls `end_turn`, and then
//! takes out operations, messages and answers. So a simulator can run many of them from one seed.
//! Invariants: a point is counted as received where it enters its owner's cache, so that every
//! shard's own accounts balance at any moment; points and questions to one shard arrive in the order
//! sent, so that a question never overtakes the points that were accepted before it.

mod alone;
mod inbound;
mod inbox;
mod keep;
mod message;
mod outbox;
mod recall;
mod receive;
mod removal;
mod routes;
#[cfg(test)]
mod tests;
mod together;
mod unread;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

pub use inbox::Inbox;
pub use message::{Answer, Ask, Message, Origin, PointBatch, Question, Reply};
pub use recall::{Adopted, RecallConfig, Recalled};
pub use routes::{Guesses, Known, Trail};
pub use together::Together;
pub use unread::Kept;

use crate::cache::{Cache, CacheConfig, Ledger, SeriesId, Usage, Volume};
use crate::clock::Now;
use crate::journal::{Journal, JournalConfig, State, Status};
use crate::latency::{Latencies, Latency};
use crate::limiter::Room;
use crate::limits::{QUERY_POINTS_MAX, WARMED_TOGETHER_MAX};
use crate::metric::{Metric, NameError, ShardIndex, TaggedLeaf, owner};
use crate::point::Point;
use crate::ring::{FileError, FileOperation, FileOutcome, FileToken};
use crate::schemas::{Aggregations, Schemas};
use crate::stats::{Counter, Stats};
use crate::writer::{
    Budgets, Further, Inspection, Tells, Told, VolumeCounts, Writer, WriterConfig,
};
use inbound::{Inbound, Lead};
use keep::{Asker, Keep};
use message::RouteChange;
use outbox::Outbox;
use recall::Recall;
use routes::Routes;

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
    /// Updates a second and creates a minute, shared by all shards; those of the first data directory.
    pub budgets: Budgets,
    /// Data directories beside the first.
    pub further: Further,
    /// The bound on cached points and bytes, shared by all shards.
    pub room: Arc<Room>,
    /// Its journal; none is without one.
    pub journal: Option<JournalConfig>,
    /// What earlier runs have left in the journal's directory; none is nothing.
    pub recall: Option<RecallConfig>,
}

/// What became of a point that was offered.
#[derive(Debug, PartialEq, Eq)]
pub enum Accept {
    /// It is cached, or on its way to its owner's cache.
    Taken,
    /// There is no room just now: offer it again later, or count it with `drop_full`.
    Full,
    /// Its name is one to be judged first: then it is offered with `accept_admitted`, or not at all.
    Unjudged,
    /// Its name cannot be a metric.
    Refused(NameError),
}

/// A shard's numbers at one moment.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which shard it is.
    pub index: ShardIndex,
    /// Counters since the start.
    pub stats: Stats,
    /// What its cache holds.
    pub usage: Usage,
    /// Its journal; none is without one.
    pub journal: Option<Status>,
    /// Points that earlier runs owe have not all come back.
    pub has_unread: bool,
    /// By data directory.
    pub volumes: Vec<VolumeReport>,
}

/// A shard's numbers of one data directory.
#[derive(Clone, Copy, Debug, Default)]
pub struct VolumeReport {
    /// What it did there since the start.
    pub counts: VolumeCounts,
    /// Points that wait for their create, or whose file cannot be written.
    pub stuck_points: u64,
    /// Series whose file is there and that have points to be written.
    pub ready: u64,
}

impl std::ops::AddAssign for VolumeReport {
    fn add_assign(&mut self, other: Self) {
        self.counts.updates += other.counts.updates;
        self.counts.late_updates += other.counts.late_updates;
        self.counts.creates += other.counts.creates;
        self.counts.errors += other.counts.errors;
        self.stuck_points += other.stuck_points;
        self.ready += other.ready;
    }
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
    /// Received names have to be admitted.
    judges: bool,
    /// What other shards' routes lead to, by shard.
    inbound: Vec<Inbound>,
    /// What was last published of the bytes of both, and of what the writer remembers of files.
    beside_bytes: u64,
    writer: Writer,
    keep: Keep,
    recall: Option<Box<Recall>>,
    /// By data directory.
    budgets: Vec<Budgets>,
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
        let mut cache = Cache::new(config.cache);
        for volume in &config.further.volumes {
            cache.add_volume(volume.max_point_age_s, volume.in_disk_order);
        }
        cache.begin_turn(now);
        let further = config.further.volumes.iter();
        let further = further.map(|volume| volume.budgets.clone());
        let budgets = [config.budgets].into_iter().chain(further).collect();
        let journal_bytes = config.journal.as_ref().map_or(0, JournalConfig::bytes_max);
        let journal = config
            .journal
            .map(|config| Journal::new(config, now, cache.present()));
        let secrets = (config.seed, config.writer.leaf);
        let is_past_bound = config.recall.as_ref().is_some_and(|it| it.is_past_bound);
        let recall = config
            .recall
            .map(|it| Box::new(Recall::new(it, config.index, config.shards, secrets)));
        let mut ledger = Ledger::new(cache, config.room, journal);
        if recall.is_some() {
            // Until it is known which seconds may come back, all may.
            ledger.begin_recall(u32::MAX);
            if is_past_bound && let Some(journal) = ledger.journal_mut() {
                journal.hold_senders();
            }
        }
        Self {
            index: config.index,
            shards: config.shards,
            seed: config.seed,
            leaf: config.writer.leaf,
            ledger,
            keep: Keep::new(journal_bytes),
            recall,
            routes: Routes::new(config.index, config.seed),
            judges: false,
            inbound: (0..config.shards).map(|_| Inbound::default()).collect(),
            beside_bytes: 0,
            writer: Writer::new(config.writer, config.further),
            budgets,
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
        self.ledger.begin_turn(now);
    }

    /// Files are made by these rules from now on; those that are there stay as they are.
    pub fn set_rules(&mut self, schemas: Arc<Schemas>, aggregations: Arc<Aggregations>) {
        self.writer.set_rules(schemas, aggregations);
    }

    /// What is told of the files' work from now on (`next_told`).
    pub fn set_tells(&mut self, tells: Tells) {
        self.writer.set_tells(tells);
    }

    /// Counts a point that was offered, found no room and cannot wait.
    pub fn drop_full(&mut self) {
        self.ledger.count(Counter::Received, 1);
        self.ledger.count(Counter::DroppedCacheFull, 1);
    }

    /// Received points that this core has taken or dropped so far, whoever owns their metrics. Between
    /// two calls without a turn's end the difference is what was taken between them.
    pub fn accepted(&self) -> u64 {
        let passed_on: usize = self.outboxes.iter().map(Outbox::received).sum();
        self.counted(Counter::Received) + passed_on as u64
    }

    /// What a counter of this core stands at.
    pub fn counted(&self, counter: Counter) -> u64 {
        self.ledger.stats().get(counter)
    }

    /// Counts something that happened on this core.
    pub fn count(&mut self, counter: Counter, amount: u64) {
        self.ledger.count(counter, amount);
    }

    /// Notes how long something on this core took.
    pub fn time(&mut self, what: Latency, took: Duration) {
        self.ledger.time(what, took);
    }

    /// Takes an empty set of times for the next interval, and gives the full one.
    pub fn swap_latencies(&mut self, empty: Box<Latencies>) -> Box<Latencies> {
        self.ledger.swap_latencies(empty)
    }

    /// True where the cache holds as many points or bytes as it may.
    pub fn is_full(&self) -> bool {
        self.ledger.is_full()
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
            let mut are_apart = false;
            for (index, point) in points.iter().enumerate() {
                let rest = &points[index..];
                if index % WARMED_TOGETHER_MAX == 0 {
                    are_apart = inbound.begin_group(rest, are_apart, ledger);
                }
                if are_apart {
                    inbound.fetch_ahead(rest, ledger);
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
                let found = self.points_of(names);
                let reply = found.map_or(Reply::TooManyPoints, Reply::Points);
                self.reply_when_safe(from, Answer { ticket, reply });
            }
            Ask::Metadata { name, inspection } => {
                self.inspections_begun += 1;
                self.inspections
                    .insert(self.inspections_begun, (from, ticket));
                let wanted = (&*name, inspection);
                self.writer
                    .inspect(&self.ledger, self.inspections_begun, wanted);
            }
        }
    }

    /// What a query sees of metrics, by the asker's index of each; none where no reply holds so much.
    fn points_of(&self, names: Vec<(u32, String)>) -> Option<Vec<(u32, Vec<Point>)>> {
        let mut left = QUERY_POINTS_MAX;
        let points = names.into_iter().map(|(index, name)| {
            let points = self.ledger.points(&name, left)?;
            left -= points.len();
            Some((index, points))
        });
        points.collect()
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
        match Asker::of(token) {
            Asker::Writer => self.complete_of_writer(token, result),
            Asker::Journal(number) => self.complete_of_journal(number, result),
            Asker::Replay(number) => self.complete_of_replay(number, result),
            Asker::Removal(_) => self.complete_of_removal(&result),
        }
    }

    fn complete_of_writer(&mut self, token: FileToken, result: Result<FileOutcome, FileError>) {
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
        self.settle_memory();
        self.recall();
        self.writer.forgive(self.ledger.forgotten());
        if self.may_write() {
            self.writer.start(&mut self.ledger, &self.budgets, self.now);
            // Who waits for a create may have made room for another.
            self.writer.forgive(self.ledger.forgotten());
        }
        self.ledger.settle(self.now.instant);
        self.keep();
    }

    /// The next operation for the driver.
    pub fn next_operation(&mut self) -> Option<(FileToken, FileOperation)> {
        self.next_of_writer()
            .or_else(|| self.next_of_journal())
            .or_else(|| self.next_of_recall())
    }

    /// Is this one of the journal's, which no data file's is to keep waiting?
    pub fn goes_apart(token: FileToken) -> bool {
        matches!(Asker::of(token), Asker::Journal(_))
    }

    /// What there is to tell of the writer's work, where somebody asked for it.
    pub fn next_told(&mut self) -> Option<Told> {
        self.writer.next_told()
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
            .may_write()
            .then(|| {
                self.writer
                    .next_deadline(&self.ledger, &self.budgets, self.now)
            })
            .flatten();
        [writer, self.ledger.next_deadline(), self.journal_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// From now on everything is written out, held back by the budgets only.
    pub fn drain(&mut self) {
        self.ledger.drain();
        self.writer.drain(self.now);
    }

    /// True when nothing is in flight or waiting for another shard, and nothing cached but what a
    /// drain cannot write and leaves to a journal that is well.
    pub fn is_drained(&self) -> bool {
        self.is_drained_of_recall()
            && self.ledger.usage().points == self.left_points()
            && self.writer.in_flight() == 0
            && !self.has_messages()
    }

    fn left_points(&self) -> u64 {
        let state = self.ledger.journal().map(Journal::state);
        if state == Some(State::Healthy) && self.writer.has_left_parked() {
            self.ledger.usage().parked_points
        } else {
            0
        }
    }

    /// This shard's numbers.
    pub fn report(&self) -> Report {
        let journal = self.ledger.journal();
        let mut stats = self.ledger.stats().clone();
        if let Some(journal) = journal {
            stats.merge(journal.stats());
        }
        Report {
            index: self.index,
            stats,
            usage: self.ledger.usage(),
            journal: journal.map(Journal::status),
            has_unread: self.has_unread(),
            volumes: self.volume_reports(),
        }
    }

    fn volume_reports(&self) -> Vec<VolumeReport> {
        let counts = self.writer.volume_counts();
        let volumes = Volume::all(self.ledger.volumes()).zip(counts);
        let report = |(volume, counts)| VolumeReport {
            counts,
            stuck_points: self.ledger.stuck_points(volume),
            ready: self.ledger.ready(volume) as u64,
        };
        volumes.map(report).collect()
    }
}
