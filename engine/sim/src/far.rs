//! What coarser archives hold of points that are too old for the first one, as Python's `update_many`
//! has it (docs/formats/whisper.md): a point goes into the first archive that reaches as far back as it
//! is old when it is written, as it is, over an average that may be there; what no archive reaches is
//! dropped and counted. But one that came back with the journal, and may have been written before, leaves
//! a minute alone that is there (docs/decisions/0015).
//! Which points are written together nobody here knows: what depends on that is bounded, not known.

use std::collections::BTreeMap;

use benzene_engine::stats::Counter;

use crate::content::{archives, file_of, is_broken, points_of, reach, seconds_wanted};
use crate::process::Process;
use crate::world::World;

/// The step of second archives, in seconds.
pub(crate) const MINUTE_S: u32 = 60;

/// What is known of a process from its start.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// When it started, in milliseconds, and as senders count.
    pub(crate) from_ms: u64,
    from_s: u32,
    /// The second archives then, by metric.
    minutes: BTreeMap<usize, BTreeMap<u32, f64>>,
    /// Nothing was cached then, nor yet to come back, in milliseconds: what is written now was accepted
    /// since.
    calm_ms: Option<u64>,
}

impl World {
    /// A daemon starts.
    pub(crate) fn begin_life(&mut self) {
        self.life = Life {
            from_ms: self.now_ms(),
            from_s: self.now().unix_seconds,
            minutes: BTreeMap::new(),
            calm_ms: None,
        };
        if self.settings.is_far {
            let metrics = self.workload.metrics();
            let minutes = metrics.filter_map(|metric| Some((metric, self.minutes_of(metric)?)));
            self.life.minutes = minutes.collect();
        }
    }

    /// Looks at a process after a turn: is nothing cached?
    pub(crate) fn look_for_calm(&mut self, process: &Process) {
        if self.settings.is_far && !process.is_recalling() {
            let mut reports = process.shards.iter().map(|shard| shard.report().usage);
            if reports.all(|usage| usage.points == 0) && process.is_quiet() {
                self.life.calm_ms = Some(self.now_ms());
            }
        }
    }

    /// A daemon ends: what no point was accepted of since its start, and what was too old for the first
    /// archive even then, stands as it did; and what was too old for all is counted, and nothing else.
    pub(crate) fn end_life(&self, process: &Process) {
        if !self.settings.is_far {
            return;
        }
        let (now_s, life) = (self.now().unix_seconds, &self.life);
        let sound = |metric: &usize| !self.tampered.contains(metric);
        for (metric, before) in life.minutes.iter().filter(|(metric, _)| sound(metric)) {
            let after = self.minutes_of(*metric).unwrap_or_default();
            let reach = reach(*metric, true);
            let is_settled = |minute: u32| {
                let last = minute + MINUTE_S - 1;
                minute + reach.first_s < life.from_s
                    && minute + reach.last_s > now_s
                    && !self.oracle.has_since(*metric, (minute, last), life.from_ms)
                    && !self.is_overwritten(*metric, minute)
            };
            for (minute, value) in before.iter().filter(|(minute, _)| is_settled(**minute)) {
                let found = after.get(minute);
                assert!(
                    found.is_some_and(|found| found.to_bits() == value.to_bits()),
                    "metric {metric} had {value} for the minute {minute} when the daemon started, and \
                     {found:?} when it ended at {} ms, and nobody sent anything",
                    self.now_ms()
                );
            }
        }
        let counted = too_old(process);
        let too_old = self
            .oracle
            .count(|metric, timestamp, _| timestamp + reach(metric, true).last_s < now_s);
        // What the journal has twice may come back twice, and is dropped twice then.
        let may_repeat = process.has_recalled && too_old > 0;
        assert!(
            counted <= too_old || may_repeat,
            "{counted} points were dropped as too old, and {too_old} are"
        );
    }

    /// The same where the daemon has written everything out.
    pub(crate) fn end_last_life(&self, process: &Process) {
        self.end_life(process);
        if !self.settings.is_far || process.has_dropped || !self.tampered.is_empty() {
            return;
        }
        let counted = too_old(process);
        let from_ms = self.life.from_ms;
        let seconds = self.oracle.count_seconds(|metric, at_ms, age_s| {
            at_ms >= from_ms && age_s > reach(metric, true).last_s
        });
        assert!(
            counted >= seconds,
            "{seconds} seconds were sent that no archive reaches, and {counted} points dropped"
        );
    }

    /// Everything is written: compares what is too old for the first archive. How many minutes were.
    pub(crate) fn check_far(&self, metric: usize, bytes: &[u8]) -> usize {
        let reach = reach(metric, self.settings.is_far);
        if let Err(wrong) = self
            .oracle
            .check_ages(metric, &points_of(bytes, 0), reach.first_s)
        {
            panic!("{wrong}");
        }
        if !self.settings.is_far || archives(bytes) == 1 {
            return 0;
        }
        let (now_s, coarse) = (self.now().unix_seconds, points_of(bytes, 1));
        for (minute, value) in &coarse {
            let seconds = (*minute, *minute + MINUTE_S - 1);
            let hull = self.oracle.hull(metric, seconds, reach.last_s);
            let slack = value.abs() * 1e-9;
            assert!(
                hull.is_some_and(|(min, max)| min - slack <= *value && *value <= max + slack),
                "metric {metric} has {value} for the minute {minute}, and what was sent of it is between \
                 {hull:?}"
            );
        }
        let mut compared = 0;
        for minute in self.oracle.minutes(metric) {
            let seconds = (minute, minute + MINUTE_S - 1);
            let is_far = seconds.1 + reach.first_s < now_s && minute + reach.last_s > now_s;
            if !is_far || minute < self.minutes_from || self.is_overwritten(metric, minute) {
                continue;
            }
            let found = coarse.get(&minute);
            // One second of the others makes no minute.
            if seconds_wanted(metric) == 1 && self.oracle.is_owed(metric, seconds, reach.first_s) {
                compared += 1;
                assert!(
                    found.is_some(),
                    "metric {metric} has nothing for the minute {minute}, of which points were accepted"
                );
            }
            let calm_ms = self.life.calm_ms.unwrap_or(u64::MAX);
            let Some(last) = self
                .oracle
                .last_of(metric, seconds, (reach.first_s, calm_ms))
            else {
                continue;
            };
            compared += 1;
            assert!(
                found.is_some_and(|found| last.iter().any(|it| it.to_bits() == found.to_bits())),
                "metric {metric} has {found:?} for the minute {minute}, and the last of it was {last:?}"
            );
        }
        compared
    }

    /// May an older point have taken the slot of this minute, or of one of its seconds? One that is just
    /// as old as an archive reaches lies where the present is.
    pub(crate) fn is_overwritten(&self, metric: usize, minute: u32) -> bool {
        let reach = reach(metric, self.settings.is_far);
        let (first, last) = (minute, minute + MINUTE_S - 1);
        let laps = [reach.first_s, reach.last_s];
        laps.iter().any(|lap_s| {
            self.oracle
                .has_since(metric, (first - lap_s, last - lap_s), 0)
        })
    }

    /// The second archive of a metric whose file nobody broke.
    fn minutes_of(&self, metric: usize) -> Option<BTreeMap<u32, f64>> {
        let bytes = self.disk.file(&file_of(metric))?;
        let is_whole = !self.tampered.contains(&metric) && !is_broken(bytes);
        (is_whole && archives(bytes) > 1).then(|| points_of(bytes, 1))
    }
}

/// Points that a process has dropped as too old.
fn too_old(process: &Process) -> u64 {
    let stats = process.shards.iter().map(|shard| shard.report().stats);
    stats.map(|stats| stats.get(Counter::DroppedTooOld)).sum()
}
