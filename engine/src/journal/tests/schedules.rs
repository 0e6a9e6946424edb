//! The journal over random schedules: an owner with a small cache, a disk that answers in any order
//! and fails at times, a desk that syncs data when it likes, and looks in between at
//! what a kill or a power cut would leave. The files are read as the next process would read them, and
//! compared with what was promised.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::disk::Dice;
use super::reading::{self, Reading};
use super::{Rig, config};
use crate::cache::SeriesId;
use crate::journal::entry::CUT_NONE;
use crate::journal::{JournalConfig, OnError, Part, Pressure, State, Sync};
use crate::limits::JOURNAL_RETRY;
use crate::point::Point;

/// Numbers of series; their names change when they are forgotten.
const SERIES: u32 = 12;
/// Steps of a schedule.
const STEPS: u32 = 400;
/// Steps between two looks at what would be left if this were the end.
const STEPS_PER_LOOK: u32 = 7;

/// A point that was accepted. Its value is its own, so that it is known again.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    point: Point,
    /// When it was noted last.
    second: u32,
    /// Serial of its last note; `None` where it was not noted.
    serial: Option<u64>,
    /// A write has taken it.
    is_in_flight: bool,
}

/// A write on its way: what it took, and the part that says so.
struct Take {
    series: u32,
    part: Option<Part>,
    values: Vec<u64>,
}

/// The journal's owner, and what it was promised.
struct Owner {
    rig: Rig,
    dice: Dice,
    /// By series: how often its number was given to another name.
    lives: Vec<u32>,
    /// By series and value: what is not written.
    cached: Vec<BTreeMap<u64, Accepted>>,
    takes: Vec<Take>,
    /// All notes, by serial: name and value.
    noted: BTreeMap<u64, (String, u64)>,
    /// Values that are written, and whether their record is certain to be read.
    written: BTreeMap<u64, bool>,
    next_value: u64,
    has_failed: bool,
}

impl Owner {
    fn new(seed: u64, config: JournalConfig) -> Owner {
        Owner {
            rig: Rig::new(config),
            dice: Dice::new(seed),
            lives: vec![0; SERIES as usize],
            cached: vec![BTreeMap::new(); SERIES as usize],
            takes: Vec::new(),
            noted: BTreeMap::new(),
            written: BTreeMap::new(),
            next_value: 1,
            has_failed: false,
        }
    }

    fn name(&self, series: u32) -> String {
        format!("site.{series:02}.life.{:04}", self.lives[series as usize])
    }

    fn is_noting(&self) -> bool {
        !matches!(self.rig.journal.state(), State::Failed(_))
    }

    fn accept(&mut self) {
        let count = 1 + self.dice.below(60);
        for _ in 0..count {
            let series = self.dice.below(SERIES);
            let value = self.next_value;
            self.next_value += 1;
            let spread = if self.dice.once_in(4) { 100_000 } else { 3 };
            let point = Point {
                timestamp: 1_600_000_000 + self.dice.below(spread),
                value: f64::from(u32::try_from(value).unwrap()),
            };
            let (name, serial) = (self.name(series), self.rig.journal.serial());
            self.rig.journal.point(SeriesId(series), || &name, point);
            let is_noted = self.is_noting();
            if is_noted {
                self.noted.insert(serial, (name, value));
            }
            let accepted = Accepted {
                point,
                second: self.rig.second(),
                serial: is_noted.then_some(serial),
                is_in_flight: false,
            };
            self.cached[series as usize].insert(value, accepted);
        }
    }

    fn take(&mut self) {
        let series = self.dice.below(SERIES);
        if self.takes.iter().any(|take| take.series == series) {
            return;
        }
        let cached = &mut self.cached[series as usize];
        let mut times: Vec<u32> = cached
            .values()
            .map(|cached| cached.point.timestamp)
            .collect();
        times.sort_unstable();
        let cut = match times.get(times.len() / 2) {
            Some(middle) if self.dice.once_in(3) => *middle,
            _ => CUT_NONE,
        };
        let mut values = Vec::new();
        for (value, cached) in cached {
            if cached.point.timestamp < cut {
                cached.is_in_flight = true;
                values.push(*value);
            }
        }
        let serial = self.rig.journal.serial();
        let part = Some(Part { serial, cut });
        self.takes.push(Take {
            series,
            part,
            values,
        });
    }

    /// A write has ended.
    fn written(&mut self) {
        if self.takes.is_empty() {
            return;
        }
        let place = self.dice.below(u32::try_from(self.takes.len()).unwrap());
        let mut take = self.takes.swap_remove(place as usize);
        let cached = &mut self.cached[take.series as usize];
        for value in &take.values {
            cached.remove(value);
        }
        // Nothing is left of it: the record may mean all.
        if cached.is_empty() && self.dice.once_in(2) {
            take.part = None;
        }
        let name = self.name(take.series);
        self.rig
            .journal
            .written(SeriesId(take.series), &name, take.part);
        // While it fails no record is noted: what is written then may be read again.
        let records = take.values.into_iter().map(|value| (value, false));
        if self.is_noting() {
            self.written.extend(records);
        } else {
            let lost: Vec<_> = records.map(|(value, _)| value).collect();
            self.noted.retain(|_, (_, value)| !lost.contains(value));
        }
    }

    fn rename(&mut self) {
        let series = self.dice.below(SERIES);
        let is_taken = self.takes.iter().any(|take| take.series == series);
        if !is_taken && self.cached[series as usize].is_empty() {
            self.rig.journal.forget(SeriesId(series));
            self.lives[series as usize] += 1;
        }
    }

    /// Notes once more what was noted up to a second, but for what is being written.
    fn carry(&mut self, second: u32) {
        for series in 0..SERIES {
            let name = self.name(series);
            let now = self.rig.second();
            for (value, cached) in &mut self.cached[series as usize] {
                if cached.second > second || cached.is_in_flight {
                    continue;
                }
                let serial = self.rig.journal.serial();
                let age_s = now - cached.second;
                let points = [cached.point];
                self.rig
                    .journal
                    .carry(SeriesId(series), &name, &points, age_s);
                self.noted.insert(serial, (name.clone(), *value));
                (cached.second, cached.serial) = (now, Some(serial));
            }
        }
    }

    fn recover(&mut self) {
        if self.rig.journal.state() == State::Recovering && self.takes.is_empty() {
            self.carry(u32::MAX);
            let failures = self.rig.journal.failures();
            assert!(self.rig.journal.recovered(failures));
        }
    }

    fn end_turn(&mut self) {
        let cached = self.cached.iter().flat_map(BTreeMap::values);
        self.rig.oldest_unwritten = cached.map(|cached| cached.second).min();
        self.rig.end_turn();
        // It may be well again within one turn.
        if self.rig.journal.failures() > 0 {
            self.has_failed = true;
        }
        let journal = &self.rig.journal;
        let lane = &journal.point_lane;
        let is_committed = journal.began.is_none() && lane.is_done();
        let is_synced = journal.synced_serial() == journal.serial()
            && journal.sync_due.is_none()
            && journal.round.is_none();
        if is_committed && (is_synced || journal.config.sync == Sync::Never) && self.is_noting() {
            self.written
                .values_mut()
                .for_each(|is_certain| *is_certain = true);
        }
    }

    fn answer(&mut self, fails: bool) {
        for _ in 0..self.dice.below(4) {
            let waiting = u32::try_from(self.rig.disk.waiting()).unwrap();
            if waiting == 0 {
                return;
            }
            let place = self.dice.below(waiting) as usize;
            let errno = (fails && self.dice.once_in(40)).then_some(5);
            self.rig.disk.answer(&mut self.rig.journal, place, errno);
            if self.dice.once_in(2) {
                self.rig.disk.take_in(&mut self.rig.journal);
            }
        }
    }

    fn step(&mut self, fails: bool) {
        let jump = self.dice.once_in(30);
        let longest = if jump && fails {
            11_000
        } else if jump {
            1500
        } else {
            12
        };
        let time = Duration::from_millis(u64::from(self.dice.below(longest)));
        self.rig.pass(time);
        self.recover();
        match self.dice.below(8) {
            0..3 if !self.rig.journal.is_congested() => self.accept(),
            3 if !self.rig.journal.is_blocked() => self.take(),
            4 | 5 => self.written(),
            6 => self.rename(),
            7 if self.rig.data_sync.is_wanted() => self.rig.sync_data(),
            _ => {}
        }
        if let Pressure::Push(second) = self.rig.journal.pressure()
            && self.is_noting()
            && self.dice.once_in(5)
        {
            self.carry(second);
        }
        self.end_turn();
        self.answer(fails);
    }

    /// What must be read: noted below this serial, not written, and in no write.
    fn promised(&self, below: u64) -> impl Iterator<Item = u64> {
        let cached = self.cached.iter().flatten();
        cached
            .filter(move |(_, cached)| cached.serial.is_some_and(|serial| serial < below))
            .map(|(value, _)| *value)
    }

    /// Compares what was read with what was promised below a serial.
    fn check(
        &self,
        reading: &Reading,
        below: u64,
        is_power_cut: bool,
    ) -> Result<(), TestCaseError> {
        let mut read = Vec::new();
        for (serial, found) in &reading.owed {
            let value = f64_to_value(found.value);
            let Some(name) = &found.name else {
                // A failure can take names from the disk and leave their points, which were noted again.
                prop_assert!(
                    self.has_failed || is_power_cut && *serial >= below,
                    "serial {} has no name",
                    serial
                );
                continue;
            };
            match self.noted.get(serial) {
                Some(noted) => prop_assert_eq!((name, value), (&noted.0, noted.1)),
                None => prop_assert!(self.has_failed, "serial {} was never noted", serial),
            }
            let is_certain = self.written.get(&value) == Some(&true);
            prop_assert!(!is_certain || self.has_failed, "{} is written", value);
            read.push(value);
        }
        read.sort_unstable();
        for value in self.promised(below) {
            prop_assert!(read.binary_search(&value).is_ok(), "{} is lost", value);
        }
        Ok(())
    }

    /// What a kill at this moment would leave, and what a power cut would.
    fn look(&mut self) -> Result<(), TestCaseError> {
        let killed = reading::read(&self.rig.disk.killed(&mut self.dice));
        self.check(&killed, self.rig.journal.committed_serial(), false)?;
        if matches!(self.rig.journal.config.sync, Sync::Every(_)) {
            let cut = reading::read(&self.rig.disk.cut_off(&mut self.dice));
            self.check(&cut, self.rig.journal.synced_serial(), true)?;
        }
        Ok(())
    }

    /// Stops in order, and compares what is then on the disk: exactly what is not written.
    fn stop(mut self) -> Result<(), TestCaseError> {
        while !self.takes.is_empty() {
            self.written();
        }
        // A failed one gets its chance.
        for _ in 0..8 {
            self.rig.wait(JOURNAL_RETRY);
            self.recover();
            self.end_turn();
        }
        prop_assert_eq!(self.rig.journal.state(), State::Healthy);
        self.rig.journal.stop();
        self.rig.settle();
        prop_assert!(self.rig.journal.is_quiet());
        let below = self.rig.journal.serial();
        prop_assert_eq!(self.rig.journal.committed_serial(), below);
        let files = match self.rig.journal.config.sync {
            Sync::Every(_) => self.rig.disk.cut_off(&mut self.dice),
            Sync::Always | Sync::Never => self.rig.disk.killed(&mut self.dice),
        };
        let reading = reading::read(&files);
        self.check(&reading, below, false)?;
        if !self.has_failed {
            let mut values: Vec<_> = reading.values().into_iter().map(f64_to_value).collect();
            values.sort_unstable();
            values.dedup();
            let mut left: Vec<_> = self.promised(below).collect();
            left.sort_unstable();
            prop_assert_eq!(values, left);
        }
        Ok(())
    }
}

fn f64_to_value(value: f64) -> u64 {
    format!("{value}").parse().unwrap()
}

/// Runs a schedule, looks at it on the way, and stops it in order.
fn run(seed: u64, sync: Sync, fails: bool) -> Result<(), TestCaseError> {
    let config = JournalConfig {
        sync,
        on_error: OnError::Continue,
        segment_bytes: 8 << 10,
        segments_max: 5,
        ..config()
    };
    let mut owner = Owner::new(seed, config);
    let steps = owner.dice.below(STEPS);
    for step in 0..steps {
        owner.step(fails);
        // What was promised before a failure is promised again once all is carried and synced.
        if step % STEPS_PER_LOOK == 0 && !owner.has_failed {
            owner.look()?;
        }
    }
    owner.stop()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_was_promised_is_read_after_a_kill_or_a_power_cut(seed in any::<u64>()) {
        run(seed, Sync::Every(Duration::from_millis(200)), false)?;
    }

    #[test]
    fn the_same_without_syncs_after_a_kill(seed in any::<u64>()) {
        run(seed, Sync::Never, false)?;
    }

    #[test]
    fn the_same_with_a_sync_for_each_block(seed in any::<u64>()) {
        run(seed, Sync::Always, false)?;
    }

    #[test]
    fn after_failures_all_that_is_unwritten_is_there_again(seed in any::<u64>()) {
        run(seed, Sync::Every(Duration::from_millis(200)), true)?;
    }
}
