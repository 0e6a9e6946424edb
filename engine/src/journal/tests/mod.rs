//! The journal on a simulated disk: each promise by itself (`cases`, and `failures` of the
//! disk), then all of them together over schedules that nobody would think of (`schedules`), then once on
//! the ring itself (`real`).

mod cases;
mod disk;
mod doubt;
mod failures;
mod reading;
mod real;
mod schedules;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{DataSync, Journal, JournalConfig, OnError, Sync};
use crate::cache::SeriesId;
use crate::clock::{self, Now};
use crate::point::Point;
use disk::{Dice, Disk};
use reading::Reading;

/// The wall clock at the start.
const START_UNIX: u32 = 1_600_000_000;
/// The monotonic second of receipt at the start.
const START_SECOND: u32 = 1000;

/// A small journal of one shard.
pub(crate) fn config() -> JournalConfig {
    JournalConfig {
        directory: PathBuf::from("/journal"),
        shard: 3,
        epoch: 7,
        segment_bytes: 8 << 10,
        segments_max: 8,
        commit: Duration::from_millis(10),
        sync: Sync::Every(Duration::from_secs(1)),
        on_error: OnError::Continue,
        data_sync: Arc::new(DataSync::default()),
        mount: 1,
    }
}

/// A journal, its disk and its clock.
struct Rig {
    journal: Journal,
    disk: Disk,
    data_sync: Arc<DataSync>,
    started: Now,
    passed: Duration,
    /// What the next `end_turn` says.
    oldest_unwritten: Option<u32>,
}

impl Rig {
    fn new(config: JournalConfig) -> Rig {
        let started = Now {
            unix_seconds: START_UNIX,
            ..clock::now()
        };
        let data_sync = config.data_sync.clone();
        Rig {
            journal: Journal::new(config, started, START_SECOND),
            disk: Disk::default(),
            data_sync,
            started,
            passed: Duration::ZERO,
            oldest_unwritten: Some(START_SECOND),
        }
    }

    fn seconds(&self) -> u32 {
        u32::try_from(self.passed.as_secs()).unwrap()
    }

    /// The second of receipt.
    fn second(&self) -> u32 {
        START_SECOND + self.seconds()
    }

    fn pass(&mut self, time: Duration) {
        self.passed += time;
        let now = Now {
            instant: self.started.instant + self.passed,
            unix_seconds: START_UNIX + self.seconds(),
        };
        self.journal.begin_turn(now, self.second());
    }

    fn pass_ms(&mut self, milliseconds: u64) {
        self.pass(Duration::from_millis(milliseconds));
    }

    /// Notes a point whose value is its timestamp.
    fn point(&mut self, series: u32, timestamp: u32) {
        let point = point(timestamp);
        let name = name(series);
        self.journal.point(SeriesId(series), || &name, point);
    }

    /// Ends the turn without an answer.
    fn end_turn(&mut self) {
        self.journal.end_turn(self.oldest_unwritten);
        self.disk.take_in(&mut self.journal);
    }

    /// Ends turns and answers everything, until nothing follows.
    fn settle(&mut self) {
        loop {
            self.end_turn();
            if self.disk.waiting() == 0 {
                return;
            }
            self.disk.answer_all(&mut self.journal);
        }
    }

    /// Lets so much time pass, and everything that is due be done.
    fn wait(&mut self, time: Duration) {
        self.pass(time);
        self.settle();
    }

    fn commit(&mut self) {
        self.wait(Duration::from_millis(10));
    }

    fn sync(&mut self) {
        self.wait(Duration::from_secs(1));
    }

    fn sync_data(&self) {
        let number = self.data_sync.begin();
        self.data_sync.done(number);
    }

    /// What the files say to the next process.
    fn read(&self) -> Reading {
        reading::read(&self.disk.killed(&mut Dice::new(1)))
    }
}

fn point(timestamp: u32) -> Point {
    Point {
        timestamp,
        value: f64::from(timestamp),
    }
}

fn name(series: u32) -> String {
    format!("site.host-{series:03}.metric")
}

/// Fills segments until there are so many, a second apart.
fn fill(rig: &mut Rig, segments: usize) {
    let mut timestamp = rig.journal.serial();
    while rig.journal.status().segments < segments {
        for _ in 0..100 {
            timestamp += 1;
            let spread = u32::try_from(timestamp).unwrap() * 1_000_003;
            rig.point(u32::try_from(timestamp % 7).unwrap(), spread);
        }
        rig.sync();
    }
}
