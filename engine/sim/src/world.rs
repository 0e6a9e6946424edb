//! The world: a disk, a clock, and a process of shards that is started, fed, asked, killed and
//! started again, until the steps are done; then it is stopped in order, and everything is compared.
//! Shards meet as in the daemon: through bounded inboxes, messages in order. Operations complete in
//! any order after some time. Everything follows from the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use benzene_engine::clock::{self, Now};
use benzene_engine::journal::Sync;
use benzene_engine::point::Point;
use benzene_engine::ring::FileOperation;
use benzene_engine::shard::{Accept, Recalled, Shard};
use benzene_engine::stats::Counter;

use crate::content::{DATA_DIR, JOURNAL_DIR, bases};
use crate::disk::Disk;
use crate::far::Life;
use crate::instances::Instances;
use crate::oracle::Oracle;
use crate::prng::Prng;
use crate::process::{Flying, Left, Process, Start, Syncing};
use crate::settings::Settings;
use crate::trouble::{Failure, Frail, check_report};
use crate::workload::Workload;

/// Longest time that an operation on the journal takes, in microseconds.
const JOURNAL_OPERATION_US: u64 = 3_000;
/// The same for data files, now and then.
const DATA_OPERATION_US: u64 = 200_000;
/// What is accepted so long before a kill survives: JOURNAL_COMMIT and what the operations take.
pub(crate) const KILL_SLACK_MS: u64 = 60;
/// What a power cut takes besides JOURNAL_SYNC.
const SYNC_SLACK_MS: u64 = 100;
/// So long after its begin a world ends at the latest, in microseconds, in which first archives are to
/// reach so far.
const REACH_US: u64 = 5 * 3_600_000_000;
/// A world begins so late that every slack before its first crash is a moment after zero.
const BEGIN_US: u64 = 10_000_000;

/// Everything.
#[derive(Debug)]
pub struct World {
    pub(crate) settings: Settings,
    pub(crate) prng: Prng,
    pub(crate) disk: Disk,
    base: Now,
    /// Microseconds since the world began.
    pub(crate) now_us: u64,
    pub(crate) process: Option<Process>,
    pub(crate) oracle: Oracle,
    pub(crate) workload: Workload,
    pub(crate) frail: Frail,
    /// Metrics whose file somebody broke.
    pub(crate) tampered: BTreeSet<usize>,
    pub(crate) tickets: u64,
    pub(crate) power_cuts: u32,
    /// What a failed sync of the data may have lost is owed by no journal any more.
    pub(crate) has_given_up: bool,
    /// An earlier run wrote out what its journal had not, and no sync of the data has ended since.
    pub(crate) is_unsynced: bool,
    /// What the journal holds of earlier runs has been through a power cut.
    pub(crate) is_torn: bool,
    pub(crate) life: Life,
    pub(crate) instances: Instances,
    /// Seconds that were missing in the end, and are in what was set aside of the journal.
    pub(crate) aside: usize,
    says: Option<fn(&str)>,
    /// What happened, for the summary.
    pub(crate) ends: BTreeMap<&'static str, u32>,
    replayed: u64,
    pub(crate) checked: u64,
    /// Second archives are what they should be from this second on.
    pub(crate) minutes_from: u32,
    /// Minutes of second archives that were compared in the end.
    pub(crate) minutes: usize,
}

impl World {
    /// A world that has just begun, with a running daemon. What happens in it is told to `says`.
    pub fn new(seed: u64, says: Option<fn(&str)>) -> World {
        let mut prng = Prng::new(seed);
        let mut base = clock::now();
        base.unix_seconds = 1_700_000_000;
        let settings = Settings::draw(&mut prng);
        let workload = Workload::new((settings.has_generations, settings.is_far), &mut prng);
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
            is_unsynced: false,
            is_torn: false,
            life: Life::default(),
            instances: Instances::default(),
            aside: 0,
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
            "{} values accepted, {} came back, {} are aside, {} queries and {} minutes compared, {:?}",
            self.oracle.accepted(),
            self.replayed,
            self.aside,
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
    pub(crate) fn power_slack_ms(&self) -> Option<u64> {
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
    pub(crate) fn start(&mut self) {
        let Ok(shards) = u16::try_from(self.prng.within(1, 3)) else {
            unreachable!("three fits")
        };
        let start = Start {
            shards,
            seed: self.prng.bits(),
            now: self.now(),
            journals: self.journals(),
            mount: self.power_cuts + 1,
            is_past_bound: self.prng.once_in(6),
        };
        self.begin_life();
        self.spoil();
        let (files, adopted) = (start.journals.files(), start.journals.adopted.len());
        let own = start.journals.directory.display();
        self.say(|| {
            format!("a start with {shards} shards, {files} files of journals, in {own}, beside {adopted}")
        });
        self.process = Some(Process::new(&self.settings, &start));
    }

    /// The desk's part: the data disk is synced when a shard asks for it.
    fn sync_data(&mut self, process: &mut Process) {
        let data = Path::new(DATA_DIR);
        if let Some(ended) = process
            .syncing
            .take_if(|syncing| syncing.due_us <= self.now_us)
        {
            if ended.has_failed {
                let spared = bases(&self.settings);
                self.disk.fail_sync(data, spared, &mut self.prng);
                process.sync_failed(self.now_ms());
                // What was written while nothing was noted is owed by nobody.
                self.has_given_up |= self.frail.since_ms.is_some() || self.is_unsynced;
                self.say(|| "a sync of the data fails".to_owned());
            } else {
                self.disk.end_sync(data, &ended.mark);
                process.data_sync.done(ended.number);
                process.syncs_done = ended.number;
                self.is_unsynced = false;
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
            if self.now_us > REACH_US && !self.settings.is_far {
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
            if self.has_to_end() && self.prng.once_in(40) {
                self.end_by_failure();
            } else if self.prng.once_in(600) {
                self.end_and_start();
            }
        }
        self.finish();
    }

    /// Some milliseconds, or a rest of seconds in which only what is due happens.
    fn pass_time(&mut self) {
        let rest_us = match self.prng.below(300) {
            0 if self.settings.is_far && self.prng.once_in(12) => {
                self.prng.within(600, 9_000) * 1_000_000
            }
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
    pub(crate) fn next_event_us(&self) -> Option<u64> {
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

    /// Has a journal failed that is to stop the daemon then?
    pub(crate) fn has_to_end(&self) -> bool {
        let mut failures = self.process.iter().flat_map(|process| &process.failures);
        failures.any(Failure::is_to_end)
    }

    /// One turn of every shard.
    pub(crate) fn turn(&mut self, points: &[(usize, Point)]) {
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
                self.recalled(&mut process, index, recalled);
            }
            let report = process.shards[index].report();
            let before = &mut process.journal_dropped[index];
            let noted = (before, process.left_bytes + process.again_bytes);
            process.has_dropped |= check_report(&self.settings, &report, noted);
            process.failures[index].look(&self.settings, &report);
            self.has_given_up |= report.stats.get(Counter::JournalGivenUp) > 0;
            process.has_recalled |= report.stats.get(Counter::Replayed) > 0;
        }
        let slack_ms = self.power_slack_ms().unwrap_or(KILL_SLACK_MS);
        self.frail
            .look(&process, self.now_ms(), slack_ms.max(KILL_SLACK_MS));
        if !process.is_recalling() && self.frail.since_ms.is_none() && !self.is_unsynced {
            self.oracle.settled();
        }
        self.is_torn &= process.is_recalling();
        self.look_for_calm(&process);
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
        let at = (self.now_ms(), self.now().unix_seconds);
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
                Accept::Taken => {
                    self.oracle.accept(metric, point, at);
                    process.failures[index].take();
                }
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
    fn recalled(&mut self, process: &mut Process, shard: usize, recalled: Recalled) {
        match recalled {
            Recalled::All(report) => {
                self.say(|| format!("shard {shard}: {report:?}"));
                // A power cut may take any block of the last second, and leave later ones, or points
                // without their names.
                let is_read = report.unread.is_empty();
                let may_be_torn =
                    self.is_torn || self.settings.troubles.has_journal_faults || !is_read;
                assert!(
                    may_be_torn || report.is_sound(),
                    "shard {shard}: {report:?}"
                );
                assert!(
                    self.is_torn || !is_read || report.lost_nameless == 0,
                    "a kill, and points without a name: {report:?}"
                );
                self.replayed += report.given;
                if !is_read {
                    self.excuse_unread(process);
                }
            }
            Recalled::Refused(newer) => panic!("shard {shard}: {newer}"),
            Recalled::Kept(kept) => {
                self.say(|| format!("shard {shard}: {kept:?}"));
                let is_all =
                    kept.gone == 0 && !kept.aside.is_empty() && process.left == Left::Unread;
                assert!(is_all, "not all is set aside: {kept:?}");
                process.left = Left::Kept;
            }
        }
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
