//! The world: a disk, a clock, and a process of shards that is started, fed, asked, killed and
//! started again, until the steps are done; then it is stopped in order, and everything is compared.
//! Shards meet as in the daemon: through bounded inboxes, messages in order. Operations complete in
//! any order after some time. Everything follows from the seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::path::Path;
use std::time::Duration;

use benzene_engine::clock::{self, Now};
use benzene_engine::journal::Sync;
use benzene_engine::journal::survey::{Looked, Survey};
use benzene_engine::point::Point;
use benzene_engine::ring::FileOperation;
use benzene_engine::shard::{Accept, Recalled, Shard};
use benzene_engine::stats::Counter;

use crate::content::{DATA_DIR, JOURNAL_DIR};
use crate::disk::{Disk, Faults};
use crate::oracle::Oracle;
use crate::prng::Prng;
use crate::process::{Flying, Process, Start, Syncing};
use crate::settings::Settings;
use crate::trouble::{Frail, check_report};
use crate::workload::Workload;

/// Longest time that an operation on the journal takes, in microseconds.
const JOURNAL_OPERATION_US: u64 = 3_000;
/// The same for data files, now and then.
const DATA_OPERATION_US: u64 = 200_000;
/// What is accepted so long before a kill survives: JOURNAL_COMMIT and what the operations take.
const KILL_SLACK_MS: u64 = 60;
/// What a power cut takes besides JOURNAL_SYNC.
const SYNC_SLACK_MS: u64 = 100;
/// So long after its begin a world ends at the latest, in microseconds: first archives reach so far.
const REACH_US: u64 = 5 * 3_600_000_000;
/// A world begins so late that every slack before its first crash is a moment after zero.
const BEGIN_US: u64 = 10_000_000;
/// Senders that are held up are heard within so long once nothing is wrong any more: a broken file is
/// set aside after two looks, a failed journal is tried again every ten seconds.
const HELD_UP_US_MAX: u64 = 1_800_000_000;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// kill -9.
    Kill,
    /// The machine loses its power.
    PowerCut,
    /// SIGTERM, the fast way: what is cached stays in the journal.
    Stop,
}

/// Everything.
#[derive(Debug)]
pub struct World {
    pub(crate) settings: Settings,
    pub(crate) prng: Prng,
    pub(crate) disk: Disk,
    base: Now,
    /// Microseconds since the world began.
    now_us: u64,
    process: Option<Process>,
    pub(crate) oracle: Oracle,
    pub(crate) workload: Workload,
    pub(crate) frail: Frail,
    /// Metrics whose file somebody broke.
    pub(crate) tampered: BTreeSet<usize>,
    pub(crate) tickets: u64,
    power_cuts: u32,
    /// What a failed sync of the data may have lost is owed by no journal any more.
    has_given_up: bool,
    /// What the journal holds of earlier runs has been through a power cut.
    is_torn: bool,
    says: Option<fn(&str)>,
    /// What happened, for the summary.
    ends: BTreeMap<&'static str, u32>,
    replayed: u64,
    pub(crate) checked: u64,
    /// Second archives are what they should be from this second on.
    pub(crate) minutes_from: u32,
    /// Minutes of second archives that were compared in the end.
    minutes: usize,
}

impl World {
    /// A world that has just begun, with a running daemon. What happens in it is told to `says`.
    pub fn new(seed: u64, says: Option<fn(&str)>) -> World {
        let mut prng = Prng::new(seed);
        let mut base = clock::now();
        base.unix_seconds = 1_700_000_000;
        let settings = Settings::draw(&mut prng);
        let workload = Workload::new(settings.has_generations, &mut prng);
        let mut world = World {
            settings,
            prng,
            disk: Disk::new(),
            base,
            now_us: BEGIN_US,
            process: None,
            oracle: Oracle::default(),
            workload,
            frail: Frail::default(),
            tampered: BTreeSet::new(),
            tickets: 0,
            power_cuts: 0,
            has_given_up: false,
            is_torn: false,
            says,
            ends: BTreeMap::new(),
            replayed: 0,
            checked: 0,
            minutes_from: 0,
            minutes: 0,
        };
        let settings = world.settings.clone();
        world.say(|| format!("{settings:?}"));
        if world.settings.troubles.has_broken_files {
            world.break_a_file();
        }
        world.start();
        world
    }

    /// What came of it, in a line.
    pub fn summary(&self) -> String {
        format!(
            "{} values accepted, {} came back, {} queries and {} minutes compared, {:?}",
            self.oracle.accepted(),
            self.replayed,
            self.checked,
            self.minutes,
            self.ends
        )
    }

    /// Tells what happens, to who wants to know.
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if let Some(says) = self.says {
            says(&format!("{} ms: {}", self.now_ms(), what()));
        }
    }

    pub(crate) fn now(&self) -> Now {
        let Ok(seconds) = u32::try_from(self.now_us / 1_000_000) else {
            unreachable!("no run lasts that long")
        };
        Now {
            instant: self.base.instant + Duration::from_micros(self.now_us),
            unix_seconds: self.base.unix_seconds + seconds,
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us / 1_000
    }

    /// What was accepted so long before a power cut survives; none where nothing is promised.
    fn power_slack_ms(&self) -> Option<u64> {
        match self.settings.sync {
            Sync::Every(wait) => {
                let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                Some(wait + SYNC_SLACK_MS)
            }
            Sync::Always => Some(KILL_SLACK_MS),
            Sync::Never => None,
        }
    }

    /// A daemon starts, with another number of shards each time.
    fn start(&mut self) {
        let Ok(shards) = u16::try_from(self.prng.within(1, 3)) else {
            unreachable!("three fits")
        };
        let start = Start {
            shards,
            seed: self.prng.bits(),
            now: self.now(),
            survey: self.survey(),
            mount: self.power_cuts + 1,
            is_past_bound: self.prng.once_in(6),
        };
        let files = start.survey.files.len();
        self.say(|| format!("a start with {shards} shards, {files} files of journals"));
        self.process = Some(Process::new(&self.settings, &start));
    }

    /// What the journal's directory holds.
    fn survey(&self) -> Survey {
        let files = self.disk.files(Path::new(JOURNAL_DIR));
        let looked = files.map(|(path, bytes)| Looked::of(path.to_owned(), bytes));
        match Survey::new(looked) {
            Ok(survey) => survey,
            Err(error) => panic!("{error}"),
        }
    }

    /// The desk's part: the data disk is synced when a shard asks for it.
    fn sync_data(&mut self, process: &mut Process) {
        let data = Path::new(DATA_DIR);
        if let Some(ended) = process
            .syncing
            .take_if(|syncing| syncing.due_us <= self.now_us)
        {
            if ended.has_failed {
                self.disk.fail_sync(data, &mut self.prng);
                process.sync_failed(self.now_ms());
                // What was written while nothing was noted is owed by nobody.
                self.has_given_up |= self.frail.since_ms.is_some();
                self.say(|| "a sync of the data fails".to_owned());
            } else {
                self.disk.end_sync(data, &ended.mark);
                process.data_sync.done(ended.number);
                process.syncs_done = ended.number;
            }
        } else if process.syncing.is_none() && process.data_sync.is_wanted() {
            let is_failing = self.disk.faults.data_once_in > 0;
            process.syncs_begun = process.data_sync.begin();
            process.syncing = Some(Syncing {
                number: process.syncs_begun,
                due_us: self.now_us + self.prng.within(100, 300_000),
                mark: self.disk.begin_sync(data),
                has_failed: is_failing && self.prng.once_in(3),
            });
        }
    }

    /// So many steps: time passes, points come, now and then the daemon ends and starts again.
    pub fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            if self.now_us > REACH_US {
                break;
            }
            self.pass_time();
            self.stir();
            let now = self.now();
            let points = self.workload.points(now.unix_seconds, &mut self.prng);
            self.turn(&points);
            if self.prng.once_in(40) {
                self.disk.write_back(&mut self.prng);
            }
            if self.prng.once_in(600) {
                self.end_and_start();
            }
        }
        self.finish();
    }

    /// Some milliseconds, or a rest of seconds in which only what is due happens.
    fn pass_time(&mut self) {
        let rest_us = match self.prng.below(300) {
            0 => self.prng.within(1, 90) * 1_000_000,
            1..=9 => self.prng.within(100, 1_500) * 1_000,
            _ => self.prng.within(50, 3_000),
        };
        let until_us = self.now_us + rest_us;
        while let Some(next_us) = self.next_event_us().filter(|next_us| *next_us < until_us) {
            self.now_us = self.now_us.max(next_us);
            self.turn(&[]);
        }
        self.now_us = until_us;
    }

    /// When something happens by itself: not within the next twentieth of a millisecond, as a turn
    /// takes its time.
    fn next_event_us(&self) -> Option<u64> {
        let process = self.process.as_ref()?;
        let flying = process.flying.iter().map(|flying| flying.due_us).min();
        let base = self.base.instant;
        let deadlines = process.shards.iter().filter_map(Shard::next_deadline);
        let deadline = deadlines.min().map(|at| {
            let after = at.saturating_duration_since(base).as_micros();
            u64::try_from(after).unwrap_or(u64::MAX).saturating_add(1)
        });
        let soon = self.now_us + 50;
        let is_busy = !process.is_quiet() || process.shards.iter().any(Shard::has_work);
        let busy = is_busy.then_some(soon);
        let next = [flying, deadline, busy].into_iter().flatten().min()?;
        Some(next.max(soon))
    }

    /// One turn of every shard.
    fn turn(&mut self, points: &[(usize, Point)]) {
        let Some(mut process) = self.process.take() else {
            unreachable!("a daemon runs")
        };
        self.sync_data(&mut process);
        process.send(points);
        let now = self.now();
        for index in 0..process.shards.len() {
            process.shards[index].begin_turn(now);
            self.complete(&mut process, index);
            self.deliver(&mut process, index);
            self.offer(&mut process, index);
            if self.prng.once_in(200) {
                self.ask(&mut process, index);
            }
            process.shards[index].end_turn();
            self.take_operations(&mut process, index);
            process.pass_messages(index);
            while let Some(answer) = process.shards[index].next_answer() {
                self.answered(&mut process, answer);
            }
            if let Some(recalled) = process.shards[index].recalled() {
                self.recalled(index, recalled);
            }
            let report = process.shards[index].report();
            let before = &mut process.journal_dropped[index];
            let noted = (before, process.left_bytes + process.again_bytes);
            process.has_dropped |= check_report(&self.settings, &report, noted);
            self.has_given_up |= report.stats.get(Counter::JournalGivenUp) > 0;
            process.has_recalled |= report.stats.get(Counter::Replayed) > 0;
        }
        let slack_ms = self.power_slack_ms().unwrap_or(KILL_SLACK_MS);
        self.frail
            .look(&process, self.now_ms(), slack_ms.max(KILL_SLACK_MS));
        if !process.is_recalling() && self.frail.since_ms.is_none() {
            self.oracle.settled();
        }
        self.is_torn &= process.is_recalling();
        self.process = Some(process);
    }

    /// A shard takes some of the messages that wait for it, where its journal has room for them.
    fn deliver(&mut self, process: &mut Process, index: usize) {
        for _ in 0..self.prng.below(4) {
            if process.shards[index].is_journal_overrun() {
                return;
            }
            let Some(message) = process.inboxes[index].pop_front() else {
                return;
            };
            process.shards[index].deliver(message);
        }
    }

    /// Offers a shard what its senders have in hand, as a front does; what finds no room waits.
    fn offer(&mut self, process: &mut Process, index: usize) {
        let at_ms = self.now_ms();
        let (shard, trail) = (&mut process.shards[index], &mut process.trails[index]);
        let pending = &mut process.pending[index];
        while let Some((metric, point)) = pending.front().copied() {
            let name = Workload::name(metric);
            let known = shard
                .foresee(*trail)
                .filter(|(_, foreseen)| *foreseen == name.as_bytes())
                .map(|(known, _)| known);
            let accept = match known {
                Some(known) => shard.accept_known(trail, known, point),
                None => shard.accept(trail, &name, point),
            };
            match accept {
                Accept::Taken => self.oracle.accept(metric, point, at_ms),
                Accept::Full => return,
                Accept::Unjudged => unreachable!("{name} is to be judged, by nobody"),
                Accept::Refused(error) => unreachable!("{name} was refused: {error}"),
            }
            pending.pop_front();
        }
    }

    /// Carries out what is due of a shard's operations, in any order.
    fn complete(&mut self, process: &mut Process, index: usize) {
        let now_us = self.now_us;
        let is_due = |flying: &mut Flying| flying.shard == index && flying.due_us <= now_us;
        let mut due: Vec<Flying> = process.flying.extract_if(.., is_due).collect();
        while !due.is_empty() {
            let next = due.swap_remove(self.prng.index(due.len()));
            let result = self
                .disk
                .carry_out(next.operation, &next.mark, &mut self.prng);
            process.shards[index].complete(next.token, result);
        }
    }

    fn take_operations(&mut self, process: &mut Process, index: usize) {
        while let Some((token, operation)) = process.shards[index].next_operation() {
            let is_slow = self.prng.once_in(50) && !is_of_journal(&operation);
            let longest_us = if is_slow {
                DATA_OPERATION_US
            } else {
                JOURNAL_OPERATION_US
            };
            process.flying.push(Flying {
                due_us: self.now_us + self.prng.within(30, longest_us),
                shard: index,
                token,
                mark: self.disk.mark(&operation),
                operation,
            });
        }
    }

    /// A shard has what was owed to it: nothing may be damaged but by a power cut, or where the
    /// journal's disk has failed.
    fn recalled(&mut self, shard: usize, recalled: Recalled) {
        match recalled {
            Recalled::All(report) => {
                self.say(|| format!("shard {shard}: {report:?}"));
                // A power cut may take any block of the last second, and leave later ones, or points
                // without their names.
                let may_be_torn = self.is_torn || self.settings.troubles.has_journal_faults;
                assert!(
                    may_be_torn || report.is_sound(),
                    "shard {shard}: {report:?}"
                );
                assert!(
                    self.is_torn || report.lost_nameless == 0,
                    "a kill, and points without a name: {report:?}"
                );
                self.replayed += report.given;
            }
            Recalled::Refused(newer) => panic!("shard {shard}: {newer}"),
            Recalled::Kept(kept) => {
                panic!("shard {shard}: no read of a journal fails here: {kept:?}")
            }
        }
    }

    /// The daemon ends somehow, some time passes, and it starts again.
    fn end_and_start(&mut self) {
        let end = match self.prng.below(5) {
            0 | 1 => End::Kill,
            2 | 3 => End::PowerCut,
            _ => End::Stop,
        };
        self.end(end);
        let idle_us = match self.prng.below(3) {
            0 => self.prng.below(50_000),
            1 => self.prng.below(20_000_000),
            _ => self.prng.below(3_600_000_000),
        };
        self.now_us += idle_us;
        self.start();
    }

    fn end(&mut self, end: End) {
        let name = match end {
            End::Kill => "kills",
            End::PowerCut => "power cuts",
            End::Stop => "stops",
        };
        self.say(|| name.to_owned());
        *self.ends.entry(name).or_insert(0) += 1;
        if end == End::Stop {
            self.stop();
        }
        let Some(process) = self.process.take() else {
            unreachable!("a daemon runs")
        };
        self.excuse_dropped(&process);
        // A kill before the journal has noted that a sync of the data failed: nobody knows of it any more.
        let unknown_since_ms = self.now_ms().saturating_sub(KILL_SLACK_MS);
        let failed_ms = process.sync_failed_ms;
        self.has_given_up |= end == End::Kill && failed_ms.is_some_and(|ms| ms >= unknown_since_ms);
        for flying in process.flying {
            self.disk.cut_short(flying.operation, &mut self.prng);
        }
        self.mark_what_may_be_lost(end);
        if end == End::PowerCut {
            self.disk.cut_power(&mut self.prng);
            self.power_cuts += 1;
            self.is_torn = true;
        } else {
            self.disk.kill();
        }
    }

    /// Tells the oracle what this end may take.
    fn mark_what_may_be_lost(&mut self, end: End) {
        let before_ms = |slack_ms: u64| self.now_ms().saturating_sub(slack_ms);
        let frail_ms = self.frail.since_ms.unwrap_or(u64::MAX);
        let power_slack_ms = self.power_slack_ms();
        let synced_until_ms = before_ms(power_slack_ms.unwrap_or(0));
        let safe_until_ms = match end {
            End::Kill => before_ms(KILL_SLACK_MS),
            End::PowerCut => synced_until_ms,
            End::Stop => u64::MAX,
        };
        let safe_until_ms = safe_until_ms.min(frail_ms);
        let settled_until_ms = match end {
            End::Kill => synced_until_ms.min(safe_until_ms),
            End::PowerCut | End::Stop => u64::MAX,
        };
        if end == End::PowerCut {
            self.oracle.unsettled();
        }
        // The next start believes nothing that was written, and of what the journal had lost before the
        // sync of the data failed it knows the older values at most.
        if self.has_given_up {
            self.oracle.forget_order();
        }
        self.oracle.crash(safe_until_ms, settled_until_ms);
        if end == End::PowerCut && (power_slack_ms.is_none() || mem::take(&mut self.has_given_up)) {
            self.oracle.promise_nothing();
        }
        self.frail = Frail::default();
    }

    /// The daemon ends in order: what is cached stays in the journal, or is written out where that
    /// has failed.
    fn stop(&mut self) {
        let is_healthy = self.process.as_ref().is_some_and(Process::is_healthy);
        if !is_healthy || self.disk.faults.journal_once_in > 0 {
            self.disk.faults = Faults::default();
            self.lift_limits();
            self.settle("drain", Shard::drain, Shard::is_drained);
        }
        // After a drain too the journal has last words.
        self.settle("rest", Shard::rest, Shard::is_at_rest);
    }

    /// Limits hold no more, as when a daemon writes everything out.
    fn lift_limits(&self) {
        let now = self.now().instant;
        for budgets in self.process.iter().map(|process| &process.budgets) {
            budgets.updates.set_rate(None, now);
            budgets.creates.set_rate(None, now);
        }
    }

    /// Tells all shards to come to an end of some sort, and turns until they have.
    fn settle(&mut self, what: &str, tell: impl Fn(&mut Shard), is_there: impl Fn(&Shard) -> bool) {
        const TURNS_MAX: u32 = 200_000;
        // What is on its way between shards comes first, as in the daemon.
        for round in 0..TURNS_MAX {
            let Some(process) = &mut self.process else {
                unreachable!("a daemon runs")
            };
            process.pending.iter_mut().for_each(VecDeque::clear);
            if process.is_quiet() && round > 0 {
                process.shards.iter_mut().for_each(&tell);
                break;
            }
            self.now_us += 100;
            self.turn(&[]);
        }
        for _ in 0..TURNS_MAX {
            self.now_us = self.next_event_us().unwrap_or(self.now_us + 1_000);
            self.turn(&[]);
            let shards = self.process.as_ref().map(|process| &process.shards);
            if shards.is_some_and(|shards| shards.iter().all(&is_there)) {
                return;
            }
        }
        panic!("the shards never came to {what}: {:?}", self.process);
    }

    /// Nothing is wrong any more: all senders are heard, the daemon writes everything out and ends;
    /// every file is compared.
    fn finish(&mut self) {
        self.disk.faults = Faults::default();
        self.lift_limits();
        self.hear_all();
        self.settle("drain", Shard::drain, Shard::is_drained);
        if let Some(process) = self.process.take() {
            self.excuse_dropped(&process);
        }
        self.minutes = self.compare();
    }

    fn hear_all(&mut self) {
        let until_us = self.now_us + HELD_UP_US_MAX;
        while self.now_us < until_us {
            let pending = self.process.as_ref().map(|process| &process.pending);
            if pending.is_none_or(|pending| pending.iter().all(VecDeque::is_empty)) {
                return;
            }
            self.now_us = self.next_event_us().unwrap_or(self.now_us + 1_000);
            self.turn(&[]);
        }
        let reports = self.process.as_ref().map(|process| {
            let reports = process.shards.iter().map(Shard::report);
            reports.collect::<Vec<_>>()
        });
        panic!("senders are held up for ever: {reports:?}");
    }
}

fn is_of_journal(operation: &FileOperation) -> bool {
    match operation {
        FileOperation::Reserve { .. }
        | FileOperation::Append { .. }
        | FileOperation::Sync { .. } => true,
        FileOperation::Open { path, .. } => path.starts_with(JOURNAL_DIR),
        FileOperation::Probe { .. }
        | FileOperation::Locate { .. }
        | FileOperation::Look { .. }
        | FileOperation::SetAside { .. }
        | FileOperation::Adopt { .. }
        | FileOperation::Read { .. }
        | FileOperation::Write { .. }
        | FileOperation::Close { .. }
        | FileOperation::Create { .. }
        | FileOperation::Remove { .. } => false,
    }
}
