//! Points that come back from the journal while answers are late and syncs of the data fail.

use super::*;
use crate::journal::survey::{Looked, Survey};
use crate::journal::{DataSync, JournalConfig, Sync};
use crate::shard::keep::Asker;

pub(super) const JOURNAL_DIR: &str = "/journal";

/// What the journal's directory holds.
pub(super) fn survey(disk: &Disk) -> Survey {
    survey_of(disk, JOURNAL_DIR)
}

/// What a journal's directory holds.
pub(super) fn survey_of(disk: &Disk, directory: &str) -> Survey {
    let files = (disk.files.iter()).filter(|(path, _)| path.starts_with(directory));
    let looked = files.map(|(path, bytes)| Looked::of(path.clone(), bytes));
    Survey::new(looked).unwrap()
}

impl World {
    /// One shard of a daemon that has just started over what an earlier one left on the disk.
    fn started(disk: Disk, data_sync: &Arc<DataSync>) -> World {
        World::all_started(1, disk, data_sync)
    }

    /// All shards of one.
    pub(super) fn all_started(shards: u16, disk: Disk, data_sync: &Arc<DataSync>) -> World {
        World::started_with((shards, None), disk, data_sync, |_| {})
    }

    /// The same with journals that are set up otherwise than usual.
    pub(super) fn started_with(
        bounds: (u16, Option<u64>),
        disk: Disk,
        data_sync: &Arc<DataSync>,
        change: impl Fn(&mut JournalConfig),
    ) -> World {
        World::adopting(bounds, (disk, Vec::new()), data_sync, change)
    }

    /// The same where journals of other directories are taken over.
    pub(super) fn adopting(
        (shards, points_max): (u16, Option<u64>),
        (disk, adopted): (Disk, Vec<Adopted>),
        data_sync: &Arc<DataSync>,
        change: impl Fn(&mut JournalConfig),
    ) -> World {
        let survey = survey(&disk);
        let has_left_something = !survey.files.is_empty() || !adopted.is_empty();
        let together = Arc::new(Together::new(shards));
        let mut world = World::changed((shards, points_max, 1 << 30), |config| {
            // What cannot be written may have all the room.
            config.cache.waiting_points_max = u64::MAX;
            let mut journal = JournalConfig {
                shard: config.index.0,
                epoch: survey.epoch_next(),
                segment_bytes: 64 << 10,
                data_sync: Arc::clone(data_sync),
                ..crate::journal::tests::config()
            };
            change(&mut journal);
            config.journal = Some(journal);
            config.recall = has_left_something.then(|| RecallConfig {
                survey: survey.clone(),
                adopted: adopted.clone(),
                together: Arc::clone(&together),
                data_sync: Arc::clone(data_sync),
                mount: 1,
                is_past_bound: false,
                aside_bytes_max: 1 << 30,
            });
        });
        world.disk = disk;
        world
    }

    /// Turns until nothing moves, with nothing answered that is held back.
    fn settle_all_but(&mut self, is_held: impl Fn(FileToken, &FileOperation) -> bool) {
        self.hold = true;
        for _ in 0..500 {
            let answered: Vec<_> = (self.held)
                .extract_if(.., |(_, token, operation)| !is_held(*token, operation))
                .collect();
            self.shards[0].begin_turn(self.now);
            let is_still = answered.is_empty() && !self.shards[0].has_work();
            for (_, token, operation) in answered {
                let result = self.disk.carry_out(operation);
                self.shards[0].complete(token, result);
            }
            let before = self.held.len();
            self.turn();
            if is_still && self.held.len() == before {
                return;
            }
        }
        panic!("the shard never came to rest");
    }
}

#[test]
fn a_failed_sync_begins_the_reading_anew_once_all_answers_are_there() {
    let data_sync = Arc::new(DataSync::default());
    let mut world = World::started(Disk::default(), &data_sync);
    let (first, second) = (world.point(20, 1.0), world.point(10, 2.0));
    world.take("a.b", first);
    world.take("a.b", second);
    world.settle_for(3);
    // Killed: what it wrote is in the page cache, and no mark says that it is on the device.
    let data_sync = Arc::new(DataSync::default());
    let mut world = World::started(world.disk, &data_sync);
    let is_late_close = |token: FileToken, operation: &FileOperation| {
        let is_close = matches!(operation, FileOperation::Close { .. });
        is_close && matches!(Asker::of(token), Asker::Replay(_))
    };
    world.settle_all_but(is_late_close);
    assert!(!world.held.is_empty(), "a close of the replay is under way");
    assert_eq!(world.count(Counter::Replayed), 0, "all of it is written");
    // What was written last is lost, and the next sync succeeds without it.
    data_sync.begin();
    data_sync.failed();
    let next = data_sync.begin();
    data_sync.done(next);
    world.later(1);
    world.settle_all_but(is_late_close);
    assert_eq!(world.count(Counter::Replayed), 0, "it waits for the close");
    world.hold = false;
    world.settle_for(5);
    assert_eq!(world.count(Counter::Replayed), 2);
    assert_eq!(world.count(Counter::JournalCarried), 0, "it came back");
    let said = std::iter::from_fn(|| world.shards[0].recalled());
    let given = said.map(|recalled| match recalled {
        Recalled::All(report) => report.given,
        Recalled::Refused(newer) => panic!("{newer}"),
        Recalled::Kept(kept) => panic!("{kept:?}"),
    });
    assert_eq!(given.collect::<Vec<_>>(), [0, 2]);
    world.settle();
    assert!(!world.shards[0].is_recalling(), "earlier runs owe nothing");
    assert_eq!(world.disk.points("/data/a/b.wsp"), [first, second]);
}

#[test]
fn long_new_names_come_back_as_the_journal_has_room_for_them() {
    const METRICS: u64 = 4096;
    let long = "long-name.".repeat(300);
    let is_of_data = |token: FileToken, _: &FileOperation| Asker::of(token) == Asker::Writer;
    let mut world = World::started(Disk::default(), &Arc::default());
    for metric in 0..METRICS {
        let point = world.point(10, 1.0);
        world.take(&format!("{long}{metric}"), point);
        if metric.is_multiple_of(256) {
            world.settle_all_but(is_of_data);
        }
    }
    for _ in 0..2 {
        world.later(1);
        world.settle_all_but(is_of_data);
    }
    // Killed. All names together are twice what the buffers of a shard may ever hold.
    let mut world = World::started(world.disk, &Arc::default());
    for _ in 0..3 {
        while world.turn() || world.shards[0].has_work() {}
        world.later(1);
    }
    assert_eq!(world.count(Counter::Replayed), METRICS);
    assert_eq!(world.shards[0].report().usage.points, METRICS);
}

/// One of several data disks may hang for good.
#[test]
fn a_full_cache_is_written_though_the_sync_of_the_data_does_not_return() {
    let mut world = World::started(Disk::default(), &Arc::default());
    world.disk.failing.push((Stage::Probe, EIO));
    let point = world.point(10, 1.0);
    world.take("a.b", point);
    world.settle_for(2);
    // Killed.
    let mut disk = std::mem::take(&mut world.disk);
    disk.failing.clear();
    let mut next = World::started_with((1, Some(4)), disk, &Arc::default(), |_| {});
    next.settle_for(6);
    assert_eq!(next.query("a.b"), [point]);
    assert_eq!(next.disk.points("/data/a/b.wsp"), [], "there is room yet");
    for number in 0..3 {
        let point = next.point(number, 2.0);
        next.take("a.c", point);
    }
    next.settle_for(2);
    assert_eq!(next.disk.points("/data/a/b.wsp"), [point]);
    assert_eq!(next.disk.points("/data/a/c.wsp").len(), 3);
}

#[test]
fn files_are_written_within_seconds_of_a_start_however_seldom_the_journal_is_synced() {
    let data_sync = Arc::new(DataSync::default());
    let mut world = World::started(Disk::default(), &data_sync);
    world.disk.failing.push((Stage::Probe, EIO));
    let point = world.point(10, 1.0);
    world.take("a.b", point);
    world.settle_for(2);
    world.disk.failing.clear();
    // Killed.
    for sync in [Sync::Every(Duration::from_secs(600)), Sync::Never] {
        let disk = Disk {
            files: world.disk.files.clone(),
            ..Disk::default()
        };
        let data_sync = Arc::new(DataSync::default());
        let mut next = World::started_with((1, None), disk, &data_sync, |journal| {
            (journal.sync, journal.commit) = (sync, Duration::from_secs(60));
        });
        let number = data_sync.begin();
        data_sync.done(number);
        next.settle_for(6);
        assert_eq!(next.disk.points("/data/a/b.wsp"), [point], "{sync:?}");
    }
}
