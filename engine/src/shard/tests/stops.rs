//! A stop that leaves points in the journal while the data disk does not answer, or cannot write them.

use super::*;
use crate::journal::{DataSync, JournalConfig, State};
use crate::limits::{JOURNAL_RETRY, STOP_UPDATES_WAIT};
use crate::shard::keep::Asker;

impl World {
    /// One shard with a journal.
    fn journaled() -> World {
        World::journaled_with_room(None)
    }

    /// One with room for so many points, also where their files cannot be made.
    fn journaled_with_room(points_max: Option<u64>) -> World {
        World::changed((1, points_max, 1 << 30), |config| {
            config.cache.waiting_points_max = u64::MAX;
            config.journal = Some(JournalConfig {
                shard: 0,
                segment_bytes: 64 << 10,
                ..crate::journal::tests::config()
            });
        })
    }

    /// Turns until the journal's disk has answered everything; the data's disk answers nothing.
    pub(super) fn settle_journal(&mut self) {
        self.settle_disk(|asker| asker != Asker::Writer);
    }

    /// Turns until this disk has answered everything; the other one answers nothing.
    pub(super) fn settle_disk(&mut self, is_answered: impl Fn(Asker) -> bool) {
        self.hold = true;
        let answers = |token: &FileToken| is_answered(Asker::of(*token));
        loop {
            let asked: Vec<_> = (self.held)
                .extract_if(.., |(_, token, _)| answers(token))
                .collect();
            self.shards[0].begin_turn(self.now);
            let is_last = asked.is_empty();
            for (_, token, operation) in asked {
                let result = self.disk.carry_out(operation);
                self.shards[0].complete(token, result);
            }
            self.turn();
            if is_last && !self.held.iter().any(|(_, token, _)| answers(token)) {
                return;
            }
        }
    }
}

#[test]
fn a_stop_does_not_wait_for_ever_for_a_data_disk_that_hangs() {
    let mut world = World::journaled();
    world.settle();
    let point = world.point(5, 1.5);
    world.take("a.b", point);
    world.settle_journal();
    assert_eq!(world.held.len(), 1, "an operation on the data is under way");
    world.shards[0].rest();
    world.later(STOP_UPDATES_WAIT.as_secs() - 1);
    world.settle_journal();
    assert!(!world.shards[0].is_at_rest());
    world.later(2);
    for _ in 0..3 {
        world.settle_journal();
        world.later(1);
    }
    assert!(world.shards[0].is_at_rest());
    assert!(
        world.shards[0].report().usage.points > 0,
        "it is in no file"
    );
    // What comes after all changes nothing.
    world.hold = false;
    world.settle();
    assert_eq!(world.disk.points("/data/a/b.wsp").len(), 0);
    assert!(world.shards[0].is_at_rest());
}

#[test]
fn an_update_that_ends_behind_the_stop_stays_owed() {
    let mut world = World::journaled();
    let first = world.point(9, 0.5);
    world.take("a.b", first);
    world.settle();
    let point = world.point(5, 1.5);
    world.take("a.b", point);
    world.settle_journal();
    world.shards[0].rest();
    world.later(STOP_UPDATES_WAIT.as_secs());
    world.settle_journal();
    world.later(1);
    world.settle_journal();
    assert!(world.shards[0].is_at_rest());
    world.hold = false;
    world.settle();
    assert_eq!(world.disk.points("/data/a/b.wsp"), [first, point]);
    assert!(world.shards[0].is_at_rest());
}

#[test]
fn a_stop_takes_what_was_read_past_a_full_cache_that_stays_in_the_journal() {
    let mut world = World::journaled_with_room(Some(100));
    for age in 0..100 {
        let point = world.point(age, 1.0);
        world.take("a.b", point);
    }
    world.settle_journal();
    assert!(!world.held.is_empty(), "the data disk answers nothing");
    let over = world.point(200, 1.0);
    assert_eq!(world.offer("a.b", over), Accept::Full);
    // A stop that writes everything out waits for the disk, with what the bound allows.
    world.shards[0].take_all();
    assert_eq!(world.offer("a.b", over), Accept::Full);
    assert!(!world.shards[0].has_room());

    world.shards[0].take_all_past_bound();
    assert!(world.shards[0].has_room() && !world.shards[0].is_full());
    for age in 200..400 {
        let point = world.point(age, 1.0);
        world.take("a.b", point);
    }
    assert_eq!(world.room.points(), 300);
    world.shards[0].rest();
    world.later(STOP_UPDATES_WAIT.as_secs());
    for _ in 0..3 {
        world.settle_journal();
        world.later(1);
    }
    assert!(world.shards[0].is_at_rest());
    let status = world.shards[0].report().journal.unwrap();
    assert_eq!((status.serial, status.synced_serial), (300, 300));
}

#[test]
fn nothing_is_taken_past_the_bound_that_the_journal_does_not_keep() {
    let mut world = World::journaled_with_room(Some(100));
    for age in 0..100 {
        let point = world.point(age, 1.0);
        world.take("a.b", point);
    }
    world.disk.failing = vec![(Stage::Write, EIO), (Stage::Create, EIO)];
    world.settle_journal();
    let status = world.shards[0].report().journal.unwrap();
    assert!(matches!(status.state, State::Failed(_)), "{status:?}");
    world.shards[0].take_all_past_bound();
    let over = world.point(200, 1.0);
    assert_eq!(world.offer("a.b", over), Accept::Full);
    assert!(!world.shards[0].has_room());
}

/// A shard that is told to rest, and whose journal's disk fails at this stage before it has everything.
fn journal_fails_in_a_stop(stage: Stage) {
    const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let mut world = World::journaled();
    let first = world.point(1000, 0.5);
    for name in NAMES {
        world.take(name, first);
    }
    world.settle();
    // Where no segment can be made the present one has room yet, and all is well.
    world.disk.failing.push((stage, ENOSPC));
    let second = world.point(999, 1.5);
    world.take("a", second);
    world.now.instant += Duration::from_millis(20);
    world.settle();
    let journal_is = |world: &World| world.shards[0].report().journal.unwrap().state;
    assert_eq!(journal_is(&world), State::Healthy);
    // What the sockets still hold is more than a segment.
    world.shards[0].take_all();
    let last = |name: u32| {
        let value = move |age_s: u32| 1.0 / (f64::from(age_s + name) + 3.0);
        (0..900).rev().map(move |age_s| (age_s, value(age_s)))
    };
    for (index, name) in (0..).zip(NAMES) {
        for (age_s, value) in last(index) {
            let point = world.point(age_s, value);
            world.take(name, point);
        }
    }
    world.shards[0].rest();
    assert!(!world.shards[0].is_written_out());
    world.settle_for(4);
    assert!(matches!(journal_is(&world), State::Failed(_)));
    assert!(world.shards[0].is_written_out() && world.shards[0].is_at_rest());
    assert_eq!(world.shards[0].report().usage.points, 0);
    for (index, name) in (0..).zip(NAMES) {
        let points = world.disk.points(&format!("/data/{name}.wsp"));
        let values = points.iter().rev().take(900).rev().map(|point| point.value);
        assert!(values.eq(last(index).map(|(_, value)| value)), "{name}");
    }
    // Who waits for the other shards then sleeps meanwhile.
    world.later(JOURNAL_RETRY.as_secs() + 1);
    world.settle();
    let deadline = world.shards[0].next_deadline();
    assert!(deadline.is_some_and(|at| at > world.now.instant));
}

#[test]
fn a_journal_that_cannot_go_on_in_a_stop_has_all_written_out() {
    journal_fails_in_a_stop(Stage::Create);
}

#[test]
fn a_journal_whose_last_sync_fails_has_all_written_out() {
    journal_fails_in_a_stop(Stage::Sync);
}

/// A shard that was told to write everything out, and has left the point of `a.b` to its journal: nobody
/// can look for its file.
fn drained_in_vain() -> (World, Point) {
    let mut world = World::all_started(1, Disk::default(), &Arc::default());
    let point = world.point(10, 1.5);
    world.disk.failing = vec![(Stage::Probe, EIO)];
    world.take("a.b", point);
    world.settle();
    world.drain_in_vain();
    (world, point)
}

#[test]
fn a_drain_leaves_what_cannot_be_written_to_a_journal_that_is_well() {
    let (mut world, point) = drained_in_vain();
    world.shards[0].rest();
    world.settle_for(3);
    assert!(world.shards[0].is_at_rest());
    assert_eq!(world.count(Counter::DroppedAtStop), 0);
    assert_eq!(world.shards[0].report().usage.points, 1);
    // The next start, on a disk that is well.
    world.disk.failing.clear();
    let data_sync = Arc::new(DataSync::default());
    let mut world = World::all_started(1, world.disk, &data_sync);
    let number = data_sync.begin();
    data_sync.done(number);
    world.settle_for(10);
    assert_eq!(world.count(Counter::Replayed), 1);
    assert_eq!(world.disk.points("/data/a/b.wsp"), [point]);
}

#[test]
fn a_drain_into_a_full_cache_takes_what_senders_were_read_of() {
    let mut world = World::journaled_with_room(Some(4));
    world.disk.failing = vec![(Stage::Probe, EIO)];
    for age_s in 1..=4 {
        let point = world.point(age_s, 1.5);
        world.take("a.b", point);
    }
    let late = world.point(0, 2.5);
    assert_eq!(world.offer("a.b", late), Accept::Full);
    world.settle();
    world.shards[0].drain();
    for _ in 0..DRAIN_ATTEMPTS_MAX {
        world.settle();
        world.later(1);
        assert_eq!(
            world.offer("a.b", late),
            Accept::Full,
            "files may make room"
        );
    }
    world.settle_for(STOP_UPDATES_WAIT.as_secs() + 1);
    assert!(world.shards[0].has_room(), "no file makes any");
    world.take("a.b", late);
    world.settle();
    assert!(world.shards[0].is_drained());
    assert_eq!(world.shards[0].report().usage.points, 5);
    assert_eq!(world.count(Counter::DroppedAtStop), 0);
}

/// The disk of a run that has left eight points to its journal.
fn eight_owed() -> Disk {
    let mut world = World::all_started(1, Disk::default(), &Arc::default());
    world.disk.failing = vec![(Stage::Probe, EIO)];
    for number in 0..8 {
        let point = world.point(10, 1.5);
        world.take(&format!("a.m{number}"), point);
    }
    world.settle_for(3);
    world.disk
}

#[test]
fn a_drain_ends_though_what_it_leaves_has_the_room_of_what_comes_back() {
    let mut world = World::started_with((1, Some(4)), eight_owed(), &Arc::default(), |_| {});
    world.settle();
    world.shards[0].drain();
    world.settle_for(3 * u64::from(DRAIN_ATTEMPTS_MAX));
    assert!(world.shards[0].is_drained());
    assert_eq!(world.count(Counter::DroppedAtStop), 0);
}

#[test]
fn a_drain_ends_though_no_sync_of_the_data_succeeds_or_begins() {
    for ends in [DataSync::failed, DataSync::not_begun] {
        let data_sync = Arc::new(DataSync::default());
        let mut world = World::all_started(1, eight_owed(), &data_sync);
        data_sync.begin();
        ends(&data_sync);
        world.shards[0].drain();
        world.settle_for(STOP_UPDATES_WAIT.as_secs() + 3 * u64::from(DRAIN_ATTEMPTS_MAX));
        assert!(world.shards[0].is_drained());
        assert_eq!(world.count(Counter::DroppedAtStop), 0);
        assert_eq!(world.shards[0].report().usage.points, 8);
    }
}

/// Until all is read nothing may be written; in a drain that is not for ever.
#[test]
fn a_drain_does_not_wait_for_reads_that_are_put_off() {
    const ENFILE: i32 = 23;
    let mut disk = eight_owed();
    disk.failing = vec![(Stage::Open, ENFILE)];
    let mut world = World::all_started(1, disk, &Arc::default());
    let point = world.point(10, 2.5);
    world.take("a.live", point);
    world.settle_for(2);
    assert!(world.disk.points("/data/a/live.wsp").is_empty());
    world.shards[0].drain();
    world.settle_for(STOP_UPDATES_WAIT.as_secs() + 3 * u64::from(DRAIN_ATTEMPTS_MAX));
    assert!(world.shards[0].is_drained());
    assert!(world.shards[0].report().has_unread);
    assert_eq!(world.disk.points("/data/a/live.wsp"), [point]);
}

/// A directory that is not mounted, in a daemon that makes no new file.
#[test]
fn a_drain_leaves_what_has_a_file_that_is_out_of_reach_to_the_journal() {
    let mut world = World::journaled();
    let first = world.point(10, 1.5);
    world.take("a.b", first);
    world.settle();
    assert_eq!(world.disk.points("/data/a/b.wsp"), [first]);
    world
        .disk
        .files
        .retain(|path, _| !path.starts_with("/data"));
    world.budgets.creates.set_rate(Some(0.0), world.now.instant);
    let point = world.point(5, 2.5);
    world.take("a.b", point);
    world.take("a.new", point);
    // It is seen before the drain begins.
    world.settle();
    world.later(1);
    world.shards[0].drain();
    world.settle_for(3 * u64::from(DRAIN_ATTEMPTS_MAX));
    assert!(world.shards[0].is_drained());
    assert_eq!(world.count(Counter::DroppedCreateWait), 1, "the new one's");
    assert_eq!(world.shards[0].report().usage.points, 1);
    // And so does the next one, which knows nothing of the file.
    let data_sync = Arc::new(DataSync::default());
    let mut next = World::all_started(1, world.disk, &data_sync);
    next.budgets.creates.set_rate(Some(0.0), next.now.instant);
    let number = data_sync.begin();
    data_sync.done(number);
    next.settle_for(3);
    assert_eq!(next.count(Counter::Replayed), 1);
    assert!(next.shards[0].recalled().is_some());
    next.shards[0].drain();
    next.settle_for(3 * u64::from(DRAIN_ATTEMPTS_MAX));
    assert!(next.shards[0].is_drained());
    assert_eq!(next.count(Counter::DroppedCreateWait), 0);
    assert_eq!(next.shards[0].report().usage.points, 1);
}

#[test]
fn a_drain_waits_for_what_can_be_read_though_another_shard_has_given_up() {
    let mut world = World::all_started(2, eight_owed(), &Arc::default());
    world.hold = true;
    world.turn();
    world.shards[1].give_up_recall();
    world.shards[0].drain();
    world.turn();
    assert!(!world.shards[0].is_drained());
    assert!(world.shards[0].report().has_unread);
}

#[test]
fn a_drain_writes_what_came_back_though_nobody_ends_earlier_epochs_any_more() {
    let mut disk = eight_owed();
    disk.failing.clear();
    // No sync of the data is done: no shard arrives.
    let mut world = World::all_started(2, disk, &Arc::default());
    world.shards[0].give_up_recall();
    world.shards.iter_mut().for_each(Shard::drain);
    world.settle_for(5);
    assert!(world.shards.iter().all(Shard::is_drained));
    for number in 0..8 {
        let path = format!("/data/a/m{number}.wsp");
        assert_eq!(world.disk.points(&path).len(), 1, "{path}");
    }
}

#[test]
fn a_core_that_rests_has_no_work_with_what_does_not_come_back_any_more() {
    let mut world = World::all_started(1, eight_owed(), &Arc::default());
    world.hold = true;
    world.shards[0].rest();
    world.turn();
    assert!(world.shards[0].recall.is_some(), "nothing has come back");
    assert!(!world.shards[0].has_work());
}

#[test]
fn what_was_left_to_a_journal_that_fails_then_is_tried_again_and_given_up() {
    let (mut world, _) = drained_in_vain();
    let failing = [Stage::Probe, Stage::Write, Stage::Sync, Stage::Create];
    world.disk.failing = failing.map(|stage| (stage, EIO)).to_vec();
    let late = world.point(5, 2.5);
    world.take("a.b", late);
    world.shards[0].rest();
    world.settle_for(u64::from(DRAIN_ATTEMPTS_MAX) + 3);
    let Report { usage, journal, .. } = world.shards[0].report();
    assert!(matches!(journal.unwrap().state, State::Failed(_)));
    assert!(world.shards[0].is_drained() && world.shards[0].is_at_rest());
    assert_eq!((usage.points, world.count(Counter::DroppedAtStop)), (0, 2));
}

#[test]
fn a_drain_gives_a_broken_files_points_up_though_the_journal_is_well() {
    let mut world = World::all_started(1, Disk::default(), &Arc::default());
    world.disk.files.insert("/data/a.wsp".into(), Vec::new());
    let point = world.point(10, 1.5);
    world.take("a", point);
    world.settle();
    world.shards[0].drain();
    world.settle_for(2 * u64::from(DRAIN_ATTEMPTS_MAX));
    assert!(world.shards[0].is_drained());
    assert_eq!(world.count(Counter::DroppedAtStop), 1);
}

/// All that nobody could write in a drain is found out at once: no share of the cache bounds that.
#[test]
fn a_drain_drops_nothing_of_what_it_cannot_write_for_want_of_room() {
    let mut world = World::changed((1, None, 1 << 30), |config| {
        config.cache.waiting_points_max = 2;
        config.journal = Some(JournalConfig {
            shard: 0,
            segment_bytes: 64 << 10,
            ..crate::journal::tests::config()
        });
    });
    world.hold = true;
    let point = world.point(10, 1.5);
    for name in ["a", "b", "c", "d", "e"] {
        world.take(name, point);
    }
    world.settle();
    world.disk.failing = vec![(Stage::Probe, EIO)];
    world.shards[0].drain();
    world.hold = false;
    world.settle_for(u64::from(DRAIN_ATTEMPTS_MAX));
    assert!(world.shards[0].is_drained());
    assert_eq!(world.count(Counter::DroppedParked), 0);
    assert_eq!(world.shards[0].report().usage.points, 5);
}
