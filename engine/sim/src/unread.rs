//! Journals that cannot be read in whole: what a start says of that, what may be missing then, and that
//! all of it is in the files that are set aside, as `benzene journal export` prints them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use benzene_engine::journal::replay::{Progress, Replay};
use benzene_engine::journal::survey::Survey;

use crate::content::{JOURNAL_DIR, file_of, is_broken, points_of};
use crate::disk::SyncMark;
use crate::oracle::Asked;
use crate::process::{Left, Process};
use crate::workload::Workload;
use crate::world::World;

/// Points that a replay decodes in one go.
const WORK_POINTS: usize = 1 << 16;

impl World {
    /// Some of what the journal holds cannot be read for a while.
    pub(crate) fn spoil(&mut self) {
        if self.settings.troubles.has_unreadable && self.prng.once_in(2) {
            let spoilt = self.disk.spoil(Path::new(JOURNAL_DIR), &mut self.prng);
            self.say(|| format!("{spoilt} pieces of the journal cannot be read"));
        }
    }

    /// A shard could not read all: what earlier runs have accepted, and is in no file, may be missing; and
    /// what says that something is written may be, so that old values of a second come back.
    pub(crate) fn excuse_unread(&mut self, process: &mut Process) {
        process.left = Left::Unread;
        self.oracle.forget_order();
        // It may be in the first archive alone, where an end came between.
        self.minutes_from = self.now().unix_seconds;
        let before_ms = self.life.from_ms;
        for metric in self.workload.metrics() {
            let path = file_of(metric);
            let seen = self.disk.file(&path).map(<[u8]>::to_vec);
            for bytes in [seen, self.disk.lasting(&path)] {
                let sound = bytes.filter(|bytes| !is_broken(bytes));
                let in_file = sound.map(|bytes| points_of(&bytes, 0)).unwrap_or_default();
                self.oracle.may_be_unread(metric, &in_file, before_ms);
            }
        }
    }

    /// What was missing in files in the end, and may be, is in what was set aside; or in what the next start
    /// reads, where the last one says so.
    pub(crate) fn check_unread(&mut self, is_left: bool) {
        let mut missing = Vec::new();
        let sound = |metric: &usize| !self.tampered.contains(metric);
        for metric in self.workload.metrics().filter(sound) {
            let file = self.disk.file(&file_of(metric));
            let found = file.map(|bytes| points_of(bytes, 0)).unwrap_or_default();
            let asked = Asked::all(metric, self.now().unix_seconds, self.settings.is_far);
            let seconds = self.oracle.unread(metric, &found, &asked);
            missing.extend(seconds.map(|second| (metric, second)));
        }
        if missing.is_empty() {
            return;
        }
        let mut aside = BTreeSet::new();
        let mut surveys = self.aside_of_all();
        if is_left {
            surveys.extend(self.surveys());
        }
        for survey in surveys {
            aside.extend(self.export_aside(survey));
        }
        for (metric, second) in &missing {
            assert!(
                aside.contains(&(Workload::name(*metric), *second)),
                "metric {metric} has nothing at {second}, nor has what is left of the journal"
            );
        }
        self.aside = missing.len();
    }

    /// The metrics and seconds that the files owe which were set aside.
    fn export_aside(&mut self, survey: Survey) -> BTreeSet<(String, u32)> {
        let replay = Replay::new(survey, Box::new(|_, _| true), 0);
        let mut replay = replay.of_aside().in_doubt();
        let mut owed = BTreeMap::new();
        loop {
            let progress = replay.work(WORK_POINTS, &mut |some| {
                for one in some {
                    let seconds: &mut BTreeSet<u32> = owed.entry(one.name).or_default();
                    seconds.insert(one.timestamp);
                }
                some.len()
            });
            while let Some((token, operation)) = replay.next_operation() {
                let none = SyncMark::default();
                let answer = self.disk.carry_out(operation, &none, &mut self.prng);
                replay.complete(token, answer);
            }
            match progress {
                Progress::More | Progress::Waiting => {}
                Progress::Done => break,
                Progress::Full | Progress::Refused(_) => unreachable!("{progress:?}"),
            }
        }
        let named = owed.into_iter().flat_map(|(name, seconds)| {
            let name = replay.name(name).to_owned();
            seconds
                .into_iter()
                .map(move |second| (name.clone(), second))
        });
        named.collect()
    }
}
