//! Carries updates and creates out over many files at once, retries, parks what fails.
//!
//! A series takes one of three jobs at a time: *probe* (is its file there?), *create*, *update*
//! (open and read, plan, write, close). Which series comes next is the cache's choice, how many
//! may start is the limiter's; the writer keeps what is in flight and decides what an outcome
//! means. It opens no file itself: operations go out, outcomes come in.
//! Each data directory has bounds and budgets of its own (`volumes`).
//! Invariants: a series has at most one job; points leave the cache only when their write has
//! completed; a job that fails gives its points back and is tried again after a pause, so that
//! one bad file holds nobody up. Every retry begins with a probe.

mod announce;
mod brake;
mod broken;
mod creates;
mod faults;
mod held;
mod holds;
mod inspect;
mod jobs;
mod layouts;
mod locations;
mod pace;
mod parked;
#[cfg(test)]
mod tests;
mod together;
mod told;
mod unused;
mod update;
mod volumes;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use announce::{AnnounceConfig, Outlet};
pub use faults::Said;
pub use inspect::{Inspection, MetadataAnswer};
pub use told::{Tells, Told};
pub use volumes::{Away, Further, FurtherVolume, Presence, VolumeCounts, salt};

use crate::cache::{Ledger, SeriesId, Standing, Volume};
use crate::clock::Now;
use crate::latency::Latency;
use crate::limiter::Budget;
use crate::limits::{UPDATE_POINTS_MAX, UPDATES_IN_FLIGHT_MAX};
use crate::metric::{Metric, TaggedLeaf};
use crate::ring::{Access, Allocation, FileError, FileOperation, FileOutcome, FileToken};
use crate::schemas::{Aggregations, Schemas};
use crate::stats::Counter;
use crate::whisper::{Outcome, Planner};
use announce::Announcements;
use broken::Broken;
use faults::{Fault, Faults};
use holds::Holds;
use jobs::{Job, Jobs};
use layouts::Layouts;
use locations::Locations;
use parked::Parked;
use together::Could;
use update::Update;
use volumes::Lanes;

/// No wait of the writer is shorter: a limited writer then begins some updates together (`together`),
/// and a wake-up does not cost several times what the update does. A fifth of the limiter's burst, which
/// loses nothing by it; at a high rate updates that end begin others at once.
const WAIT_MIN: Duration = Duration::from_millis(20);
/// The same for looks at files, which have a pace of their own: a few dozen are taken together.
const PROBE_WAIT: Duration = Duration::from_millis(20);
/// How often a write order that holds points back (`MIN_TIMESTAMP_LAG`) is asked again.
const ORDER_RETRY: Duration = Duration::from_secs(1);

/// Where files lie and how they are made and written.
#[derive(Clone, Debug)]
pub struct WriterConfig {
    /// The directory of the Whisper files (LOCAL_DATA_DIR), or the first of them.
    pub data_dir: PathBuf,
    /// How files of tagged series are named (TAG_HASH_FILENAMES).
    pub leaf: TaggedLeaf,
    /// How files are opened for an update.
    pub access: Access,
    /// How the space of a new file is made.
    pub allocation: Allocation,
    /// Sync every update (WHISPER_AUTOFLUSH).
    pub sync: bool,
    /// Sync every new file before it appears: with WHISPER_AUTOFLUSH, and where the file system is
    /// not known to keep the order of data and name (`host::keeps_order`).
    pub sync_creates: bool,
    /// Updates in flight at most, up to `limits::UPDATES_IN_FLIGHT_MAX`.
    pub updates_in_flight_max: usize,
    /// Which archives a new file gets.
    pub schemas: Arc<Schemas>,
    /// Which method and xFilesFactor a new file gets.
    pub aggregations: Arc<Aggregations>,
    /// Who hears of new series; none is nobody (ENABLE_TAGS).
    pub announce: Option<AnnounceConfig>,
    /// What is told of the work.
    pub tells: Tells,
    /// What was said of faults; one for all shards of a process.
    pub said: Arc<Said>,
}

impl WriterConfig {
    /// Files below a directory with the built-in rules, hashed names for tagged series, made sparse,
    /// synced by nobody; nobody hears of the work.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            leaf: TaggedLeaf::Hashed,
            access: Access::default(),
            allocation: Allocation::Sparse,
            sync: false,
            sync_creates: false,
            updates_in_flight_max: UPDATES_IN_FLIGHT_MAX,
            schemas: Arc::new(Schemas::builtin()),
            aggregations: Arc::new(Aggregations::builtin()),
            announce: None,
            tells: Tells::default(),
            said: Arc::default(),
        }
    }
}

/// The two budgets of a data directory, which all shards share.
#[derive(Clone, Debug)]
pub struct Budgets {
    /// MAX_UPDATES_PER_SECOND.
    pub updates: Arc<Budget>,
    /// MAX_CREATES_PER_MINUTE.
    pub creates: Arc<Budget>,
}

/// A data directory, and what may be done in it now.
type Site<'a> = (Volume, &'a Budgets);

/// One shard's writer.
#[derive(Debug)]
pub struct Writer {
    config: WriterConfig,
    jobs: Jobs,
    layouts: Layouts,
    planner: Planner,
    holds: Holds,
    locations: Locations,
    lanes: Lanes,
    parked: Box<Parked>,
    faults: Box<Faults>,
    /// Apart, because hardly anybody needs it, and a core is moved about by value when it starts.
    broken: Box<Broken>,
    announcements: Option<Box<Announcements>>,
    operations: Vec<(FileToken, FileOperation)>,
    answers: Vec<(u64, MetadataAnswer)>,
    told: VecDeque<Told>,
    draining: bool,
}

impl Writer {
    /// A writer with nothing in flight, of one data directory and those beside it.
    pub fn new(config: WriterConfig, further: Further) -> Self {
        let lanes = Lanes::new(&config, further);
        let said = Arc::clone(&config.said);
        Self {
            holds: Holds::new(&config.schemas, &config.aggregations),
            announcements: config
                .announce
                .clone()
                .map(|config| Box::new(Announcements::new(config))),
            config,
            jobs: Jobs::new(lanes.len()),
            layouts: Layouts::default(),
            planner: Planner::default(),
            locations: Locations::default(),
            lanes,
            parked: Box::default(),
            faults: Box::new(Faults::new(said)),
            broken: Box::default(),
            operations: Vec::new(),
            answers: Vec::new(),
            told: VecDeque::new(),
            draining: false,
        }
    }

    /// Files are made by these rules from now on.
    pub fn set_rules(&mut self, schemas: Arc<Schemas>, aggregations: Arc<Aggregations>) {
        self.holds = Holds::new(&schemas, &aggregations);
        self.config.schemas = schemas;
        self.config.aggregations = aggregations;
    }

    /// What is told of the work from now on.
    pub fn set_tells(&mut self, tells: Tells) {
        self.config.tells = tells;
    }

    /// Starts what may start now: retries that are due, then for each data directory creates, probes
    /// and updates. `budgets` are by data directory.
    pub fn start(&mut self, ledger: &mut Ledger, budgets: &[Budgets], now: Now) {
        if !ledger.is_noted() {
            self.parked.take_back(now.instant);
        }
        while let Some(series) = self.parked.due(now.instant) {
            if ledger.is_parked(series) {
                if ledger.standing(series) == Standing::Parked && ledger.owes(series) {
                    self.parked.note_seen(series, ledger.volume(series));
                }
                ledger.set_standing(series, Standing::Unproven);
            }
        }
        self.place_new(ledger);
        for (volume, budgets) in self.lanes.all().zip(budgets) {
            self.lanes.of_mut(volume).unused.give_back(budgets);
            let to = (volume, budgets);
            self.start_creates(ledger, to, now);
            self.start_probes(ledger, to, now);
            self.start_updates(ledger, to, now);
        }
    }

    /// Files are looked for in the order in which their series came, and no faster than what is
    /// found could be written: what waits to be looked for costs nothing meanwhile.
    fn start_probes(&mut self, ledger: &mut Ledger, (volume, budgets): Site<'_>, now: Now) {
        let wanted = self.probes_wanted(ledger, volume);
        if wanted == 0 {
            return;
        }
        let granted = if self.draining || ledger.has_many_unproven(volume) {
            wanted
        } else {
            let pace = &mut self.lanes.of_mut(volume).pace;
            pace.grant(wanted, budgets, now.instant)
        };
        for _ in 0..granted {
            let Some(series) = ledger.unproven_next(volume) else {
                unreachable!("{wanted} were seen above");
            };
            if self.lanes.is_away(volume) {
                self.not_answered(ledger, series, &Fault::Away, now);
                continue;
            }
            self.begin(ledger, series, |path| {
                (
                    Job::Probe { series },
                    Locations::probe(ledger, volume, path),
                )
            });
        }
    }

    /// Series whose files are to be looked for, as many as may be in flight beside others. However many
    /// wait for their create: behind them may be some whose file is there.
    fn probes_wanted(&self, ledger: &Ledger, volume: Volume) -> u32 {
        let lane = self.lanes.of(volume);
        let free = lane.probes_max.saturating_sub(self.jobs.probes(volume));
        clamped(free.min(ledger.unproven(volume)))
    }

    fn start_updates(&mut self, ledger: &mut Ledger, (volume, budgets): Site<'_>, now: Now) {
        if self.jobs.updates(volume) == 0 {
            self.lanes.of_mut(volume).together.ended(now.instant);
        }
        // One step of a choice a turn, whatever the budget has, so that it is there in time.
        if ledger.is_choosing(volume) && ledger.next(volume, now.unix_seconds).is_none() {
            return;
        }
        ledger.go_on_choosing(volume, now.unix_seconds);
        if self.rests_until(volume, now).is_some() {
            return;
        }
        let due = ledger.due(volume);
        let in_flight = self.jobs.updates(volume);
        let lane = self.lanes.of_mut(volume);
        let wanted = clamped(due.min(lane.updates_max - in_flight));
        if wanted == 0 {
            return lane.held.end();
        }
        let could = Could {
            ready: clamped(ledger.ready(volume)),
            hold_s: ledger.usual_hold_s(volume),
            due: clamped(due),
            granted: budgets.updates.ready(clamped(due), now.instant),
            in_flight_max: clamped(lane.updates_max),
        };
        if !self.draining && lane.together.waits(could, now.instant) {
            return;
        }
        let granted = budgets.updates.grant(wanted, now.instant);
        let mut held_for = lane.held.granted(granted, wanted, now.instant);
        // An update of many points is long work for the core: no further one begins behind so many.
        let (mut used, mut begun_points) = (0, 0);
        while used < granted && begun_points < UPDATE_POINTS_MAX as usize {
            let Some(series) = ledger.next(volume, now.unix_seconds) else {
                break;
            };
            used += 1;
            if self.lanes.is_away(volume) {
                self.keep_home(ledger, series);
                self.park(ledger, series, &Fault::Away, now);
                if self.leaves_to_journal(ledger) {
                    self.lanes.of_mut(volume).unused.update();
                }
                continue;
            }
            let access = self.lanes.of(volume).access;
            let points = ledger.take(series, self.layouts.second_step_s(series));
            assert!(
                !points.is_empty(),
                "series {series:?} was chosen with nothing to write"
            );
            begun_points += points.len();
            let update = Update::new(series, points, ledger.recent(series), now);
            let mut update = update
                .late(ledger.is_late(series), ledger.has_come_back(series))
                .held(std::mem::take(&mut held_for))
                .whole(ledger.is_in_disk_order(volume));
            let path = self.path(ledger, series);
            let operation = update.open(path, access, (&self.layouts, &mut self.planner));
            let token = self.jobs.insert(volume, Job::Update(update));
            self.operations.push((token, operation));
        }
        budgets.updates.refund(granted - used);
        if used > 0 {
            let lane = self.lanes.of_mut(volume);
            lane.together.began(used, could, now.instant);
        }
    }

    fn begin(
        &mut self,
        ledger: &Ledger,
        series: SeriesId,
        make: impl FnOnce(PathBuf) -> (Job, FileOperation),
    ) {
        let (job, operation) = make(self.path(ledger, series));
        let token = self.jobs.insert(ledger.volume(series), job);
        self.operations.push((token, operation));
    }

    fn path(&self, ledger: &Ledger, series: SeriesId) -> PathBuf {
        self.path_in(ledger.volume(series), ledger.name(series))
    }

    /// Where the file of a tagged series may be under its readable name, while ours are hashed.
    fn readable_path(&self, ledger: &Ledger, series: SeriesId) -> Option<PathBuf> {
        if self.config.leaf != TaggedLeaf::Hashed {
            return None;
        }
        let metric = Metric::from_canonical(ledger.name(series)).ok()?;
        let data_dir = &self.lanes.of(ledger.volume(series)).data_dir;
        Some(data_dir.join(metric.readable_path()?))
    }

    /// Takes the outcome of an operation and goes on with its job.
    pub fn complete(
        &mut self,
        ledger: &mut Ledger,
        token: FileToken,
        result: Result<FileOutcome, FileError>,
        now: Now,
    ) {
        match (self.jobs.remove(token), result) {
            (
                Job::Probe { series },
                Ok(found @ (FileOutcome::Probed(true) | FileOutcome::Located(Some(_)))),
            ) => {
                if let FileOutcome::Located(Some(location)) = found {
                    ledger.set_location(series, location);
                }
                self.there(ledger, series);
            }
            (
                Job::Probe { series },
                Ok(FileOutcome::Probed(false) | FileOutcome::Located(None)),
            ) => self.not_found(ledger, series, now),
            (Job::Adopt { series }, Ok(FileOutcome::Adopted(false))) => {
                self.not_here(ledger, series, now);
            }
            (Job::Adopt { series }, Ok(FileOutcome::Adopted(true))) => {
                ledger.count(Counter::TagFilesRenamed, 1);
                self.there(ledger, series);
            }
            (Job::SecondLook { path }, Ok(FileOutcome::Probed(true))) => {
                ledger.count(Counter::SecondFiles, 1);
                self.faults.say_second(&path, now.instant);
            }
            (Job::Locate { series }, Ok(FileOutcome::Located(Some(location)))) => {
                ledger.set_location(series, location);
            }
            // What was written a moment ago is gone, or cannot be opened: the next update says so. What
            // cannot be asked for a second file is asked another time.
            (Job::Locate { .. }, Ok(FileOutcome::Located(None)) | Err(_))
            | (Job::SecondLook { .. }, Ok(FileOutcome::Probed(false)) | Err(_)) => {}
            (Job::Create(create), Ok(FileOutcome::Created)) => self.made(ledger, create, now),
            (Job::Create(create), Err(error)) if error.is_exists() => {
                self.found(ledger, &create, now);
            }
            (Job::Create(create), Err(error)) => {
                self.not_made(ledger, &create, &Fault::Io(error), now);
            }
            (Job::Probe { series } | Job::Adopt { series }, Err(error)) => {
                self.not_answered(ledger, series, &Fault::Io(error), now);
            }
            (Job::Update(update), result) => self.step_update(ledger, update, result, now),
            (Job::Inspect(inspect), result) => {
                let step = inspect.step(result);
                self.step_inspect(step);
            }
            (Job::Look(suspect), result) => self.step_look(ledger, suspect, result, now),
            (Job::SetAside(suspect, aside), result) => {
                self.step_aside(ledger, (&suspect, &aside), result, now);
            }
            (job, Ok(outcome)) => unreachable!("{job:?} was answered with {outcome:?}"),
        }
    }

    /// A series has no file under its name. A tagged one may have it under the readable name, from the
    /// days of TAG_HASH_FILENAMES = False: then it gets the hashed one.
    fn not_found(&mut self, ledger: &mut Ledger, series: SeriesId, now: Now) {
        let Some(old) = self.readable_path(ledger, series) else {
            return self.not_here(ledger, series, now);
        };
        self.begin(ledger, series, |path| {
            (Job::Adopt { series }, FileOperation::Adopt { path, old })
        });
    }

    fn step_update(
        &mut self,
        ledger: &mut Ledger,
        mut update: Update,
        result: Result<FileOutcome, FileError>,
        now: Now,
    ) {
        let series = update.series;
        let step_s = self.layouts.second_step_s(series);
        let known = (&mut self.layouts, &mut self.planner);
        let step = update.step(result, self.config.sync, known);
        if step_s.is_some() && self.layouts.second_step_s(series) != step_s {
            ledger.note_other_slots(series);
        }
        match step {
            update::Step::Operation(operation) => {
                let token = self.jobs.insert(ledger.volume(series), Job::Update(update));
                self.operations.push((token, operation));
            }
            update::Step::Done(outcome, again) => {
                ledger.count(Counter::WrittenAgain, again as u64);
                let Update {
                    started, waited, ..
                } = update;
                self.wrote(ledger, (series, started, waited), &outcome, now);
            }
            update::Step::Wide(points_max) => ledger.put_back_for_fewer(series, points_max),
            update::Step::Failed(fault) => {
                ledger.put_back(series);
                let gives_back = self.leaves_to_journal(ledger) || self.parked.has_failed(series);
                if fault.is_unopened() && gives_back {
                    self.lanes.of_mut(ledger.volume(series)).unused.update();
                }
                if !fault.is_missing() {
                    self.keep_home(ledger, series);
                }
                // Missing again right after it was made or found: a link that leads nowhere.
                if fault.is_missing() && self.parked.is_first_miss(series) {
                    ledger.set_standing(series, Standing::Unproven);
                    return;
                }
                if !fault.is_busy() {
                    let lane = self.lanes.of_mut(ledger.volume(series));
                    lane.brake.failed(now.instant);
                }
                if fault.is_suspect() {
                    self.suspect(ledger, series, fault, now);
                } else {
                    self.park(ledger, series, &fault, now);
                }
            }
        }
    }

    /// The file of a series is there. One whose updates have failed before takes turns with others, however
    /// long its points have waited: it may fail again and again.
    fn there(&mut self, ledger: &mut Ledger, series: SeriesId) {
        self.lanes.forget(series);
        self.foresee_hold(ledger, series);
        self.parked.take_seen(series);
        if self.parked.has_failed(series) {
            ledger.stand_back(series);
        }
        ledger.set_standing(series, Standing::Writable);
    }

    /// Until when no update begins, for those before have failed (`Brake`). A drain tries all.
    fn rests_until(&self, volume: Volume, now: Now) -> Option<Instant> {
        let until = self.lanes.of(volume).brake.until(now.instant);
        until.filter(|_| !self.draining)
    }

    /// Nothing is known against these series: their file was written, or their number may stand for another.
    pub fn forgive(&mut self, series: &[SeriesId]) {
        for series in series {
            self.parked.succeeded(*series);
            self.broken.forget(*series);
        }
    }

    /// Points of a series are in its file, taken out of the cache at that moment; how long the limiter
    /// had kept them from it.
    fn wrote(
        &mut self,
        ledger: &mut Ledger,
        (series, taken, waited): (SeriesId, Instant, Duration),
        outcome: &Outcome,
        now: Now,
    ) {
        self.forgive(&[series]);
        let took = now.instant.saturating_duration_since(taken);
        ledger.time(Latency::Update, took);
        let lane = self.lanes.of_mut(ledger.volume(series));
        lane.brake.succeeded();
        lane.counts.updates += 1;
        lane.counts.late_updates += u64::from(ledger.is_overdue(series));
        ledger.count(Counter::Updates, 1);
        ledger.count(
            Counter::UpdateMicros,
            u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        );
        if self.config.tells.updates {
            self.told.push_back(Told::Wrote {
                name: ledger.name(series).to_owned(),
                points: outcome.written,
                took,
                waited,
            });
        }
        self.note_hold(ledger, series);
        self.locate_written(ledger, series);
        self.announce_written(ledger, series);
        self.look_for_second(ledger, series);
        ledger.written(series, outcome, now.instant);
    }

    /// The next that there is to tell.
    pub fn next_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// Does a journal keep what a drain cannot open? Then nobody's points have to go for it.
    fn leaves_to_journal(&self, ledger: &Ledger) -> bool {
        self.draining && ledger.is_noted()
    }

    /// Puts a series aside until its retry; its points stay cached, within the share of those that
    /// have a file, where it was seen, or of those that have none.
    fn park(&mut self, ledger: &mut Ledger, series: SeriesId, fault: &Fault, now: Now) {
        let was_seen = self.parked.take_seen(series);
        // A stop does not wait for ever for somebody who never lets go.
        if fault.is_busy() && !self.draining {
            if self.parked.soon(series, now.instant) {
                self.count_fault(ledger, series, fault, now);
            }
        } else {
            self.count_fault(ledger, series, fault, now);
            if self.parked.failed(series, now.instant) && self.draining {
                self.parked.succeeded(series);
                if fault.is_broken() || !ledger.is_noted() {
                    ledger.discard(series, Counter::DroppedAtStop);
                    // Nothing tries it again by itself; what an earlier run owes may come back yet.
                    ledger.set_standing(series, Standing::Unproven);
                    return;
                }
                self.parked.leave(series);
            }
        }
        let standing = match ledger.standing(series) {
            Standing::Writable | Standing::Parked => Standing::Parked,
            Standing::Unproven if was_seen => Standing::Parked,
            Standing::Unproven | Standing::Missing | Standing::Waiting | Standing::Unmade => {
                Standing::Unmade
            }
        };
        ledger.set_standing(series, standing);
    }

    /// Counts and says why a series is not written.
    fn count_fault(&mut self, ledger: &mut Ledger, series: SeriesId, fault: &Fault, now: Now) {
        ledger.count(Counter::Errors, 1);
        ledger.count(fault.cause().counter(), 1);
        let volume = ledger.volume(series);
        self.lanes.of_mut(volume).counts.errors += 1;
        let at = (self.path(ledger, series), volume);
        self.faults.say(fault, &at, now.instant);
    }

    /// Reads or changes what a file's header says; the answer comes with `next_answer`.
    pub fn inspect(
        &mut self,
        ledger: &Ledger,
        ticket: u64,
        (name, inspection): (&str, Inspection),
    ) {
        let paths = self.paths(ledger, name);
        let step = inspect::Inspect::begin(ticket, paths, inspection, self.config.access);
        self.step_inspect(step);
    }

    fn step_inspect(&mut self, step: inspect::Step) {
        match step {
            inspect::Step::Operation(job, operation) => {
                let token = self.jobs.insert(Volume::FIRST, Job::Inspect(job));
                self.operations.push((token, operation));
            }
            inspect::Step::Answer(ticket, answer) => self.answers.push((ticket, answer)),
        }
    }

    /// Bytes of what is remembered of files, which count in MAX_CACHE_BYTES.
    pub fn memory_bytes(&self) -> usize {
        let announcements = self.announcements.as_ref();
        self.layouts.bytes() + announcements.map_or(0, |counts| counts.bytes())
    }

    /// The next operation for the driver.
    pub fn next_operation(&mut self) -> Option<(FileToken, FileOperation)> {
        self.operations.pop()
    }

    /// An operation that was held back goes to the disk now: what it takes counts from here.
    pub fn goes(&mut self, token: FileToken, now: Instant) {
        match self.jobs.of(token) {
            Job::Create(create) => create.since = now,
            Job::Update(update) => update.started = now,
            Job::Probe { .. }
            | Job::Adopt { .. }
            | Job::SecondLook { .. }
            | Job::Locate { .. }
            | Job::Inspect(_)
            | Job::Look(_)
            | Job::SetAside(..) => {}
        }
    }

    /// The next finished inspection: its ticket and what came of it.
    pub fn next_answer(&mut self) -> Option<(u64, MetadataAnswer)> {
        self.answers.pop()
    }

    /// Is no job in flight? Series may wait for their create.
    pub fn is_idle(&self) -> bool {
        self.jobs.len() == 0
    }

    /// Jobs in flight.
    pub fn in_flight(&self) -> usize {
        self.jobs.len()
    }

    /// From now on everything is written out: what is parked is tried at once, and given up after
    /// `limits::DRAIN_ATTEMPTS_MAX` failures instead of kept for ever. Where a journal notes what is
    /// cached it stays parked, for the next start; else, and where its file is broken, it is dropped and
    /// counted.
    pub fn drain(&mut self, now: Now) {
        self.draining = true;
        self.parked.drain(now.instant);
    }

    /// Is everything to be written out?
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Is what is parked, if anything is, left to the journal by a drain? With jobs in flight that may
    /// change.
    pub fn has_left_parked(&self) -> bool {
        self.draining && self.parked.next_due().is_none()
    }

    /// When `start` could do something that it cannot do now; `None`: only an event can tell.
    pub fn next_deadline(&self, ledger: &Ledger, budgets: &[Budgets], now: Now) -> Option<Instant> {
        let unplaced = ledger.unplaced().map(|_| now.instant);
        let of_volumes = (self.lanes.all().zip(budgets))
            .filter_map(|(volume, budgets)| self.deadline_of(ledger, (volume, budgets), now));
        let others = [unplaced, self.parked.next_due()];
        of_volumes.chain(others.into_iter().flatten()).min()
    }

    fn deadline_of(
        &self,
        ledger: &Ledger,
        (volume, budgets): Site<'_>,
        now: Now,
    ) -> Option<Instant> {
        let lane = self.lanes.of(volume);
        let together_at = lane.together.next_at(now.instant);
        let soonest = together_at.unwrap_or(now.instant + WAIT_MIN);
        let creates = self.creates_due(ledger, (volume, budgets), now);
        let rests_until = self.rests_until(volume, now);
        let updates = (ledger.ready(volume) > 0 && self.jobs.updates(volume) < lane.updates_max)
            .then(|| {
                let granted = budgets.updates.next_at(now.instant);
                match (granted, ledger.next_due(volume, now.instant)) {
                    (None, None) => together_at.unwrap_or(now.instant + ORDER_RETRY),
                    (Some(at), due) => at.max(soonest).max(due.unwrap_or(at)),
                    (None, Some(due)) => due.max(soonest),
                }
            });
        let updates = updates.map(|at| rests_until.map_or(at, |until| at.max(until)));
        let probes = (self.probes_wanted(ledger, volume) > 0).then(|| {
            let at = lane.pace.next_at(now.instant);
            at.unwrap_or(soonest).max(now.instant + PROBE_WAIT)
        });
        let choice = ledger.is_choosing(volume).then_some(now.instant);
        [probes, creates, updates, choice]
            .into_iter()
            .flatten()
            .min()
    }
}

fn clamped(updates: usize) -> u32 {
    u32::try_from(updates).unwrap_or(u32::MAX)
}
