//! Journals of other directories come back once, whatever becomes of their files afterwards.

use super::recalled::survey_of;
use super::*;
use crate::journal::DataSync;
use crate::shard::keep::Asker;

const OTHER_DIR: &str = "/other";
const NOTE: &str = "/other/taken";

/// What a process has left whose journal is in the other directory: a point, in its file or in none.
fn left_elsewhere(is_written: bool) -> (Disk, Point) {
    let in_other = |journal: &mut JournalConfig| journal.directory = PathBuf::from(OTHER_DIR);
    let mut world = World::started_with((1, None), Disk::default(), &Arc::default(), in_other);
    if !is_written {
        world.disk.failing.push((Stage::Probe, EIO));
    }
    let point = world.point(10, 1.0);
    world.take("a.b", point);
    world.settle_for(3);
    world.disk.failing.clear();
    world.disk.files.insert(PathBuf::from(NOTE), Vec::new());
    (world.disk, point)
}

/// A start that takes it over, where these epochs have begun to; no sync of the data has ended.
fn taking_over(disk: Disk, begun: &[u32]) -> (World, Arc<DataSync>) {
    let adopted = Adopted {
        survey: survey_of(&disk, OTHER_DIR),
        begun: begun.to_vec(),
        note: PathBuf::from(NOTE),
        is_later: false,
    };
    let data_sync = Arc::new(DataSync::default());
    let world = World::adopting((1, None), (disk, vec![adopted]), &data_sync, |_| {});
    (world, data_sync)
}

/// The same, and one ends well.
fn taking_over_synced(disk: Disk, begun: &[u32]) -> World {
    let (world, data_sync) = taking_over(disk, begun);
    let number = data_sync.begin();
    data_sync.done(number);
    world
}

/// Files of the other directory, with its note.
fn elsewhere(disk: &Disk) -> usize {
    let files = disk.files.keys();
    files.filter(|path| path.starts_with(OTHER_DIR)).count()
}

#[test]
fn what_a_power_cut_brings_back_is_not_given_again() {
    let (disk, first) = left_elsewhere(false);
    let removed = disk.files.clone();
    let mut world = taking_over_synced(disk, &[]);
    world.settle_for(5);
    assert_eq!(world.count(Counter::Replayed), 1);
    assert_eq!(elsewhere(&world.disk), 0);
    // Its second is received again and written, and another metric's point is in no file.
    let again = Point {
        value: 2.0,
        ..first
    };
    world.take("a.b", again);
    world.settle_for(2);
    world.disk.failing.push((Stage::Probe, EIO));
    world.take("c.d", again);
    world.settle_for(3);
    let mut disk = world.disk;
    disk.failing.clear();
    disk.files.extend(removed);
    let mut world = taking_over_synced(disk, &[1]);
    world.settle_for(5);
    assert_eq!(world.count(Counter::Replayed), 1, "what the own one owes");
    assert_eq!(elsewhere(&world.disk), 0);
    for path in ["/data/a/b.wsp", "/data/c/d.wsp"] {
        assert_eq!(world.disk.points(path), [again], "{path}");
    }
}

#[test]
fn what_was_not_taken_over_to_the_end_is_given_again_in_front_of_its_copies() {
    let (disk, first) = left_elsewhere(false);
    let (mut world, _) = taking_over(disk, &[]);
    world.settle_for(3);
    let again = Point {
        value: 2.0,
        ..first
    };
    world.take("a.b", again);
    world.settle_for(3);
    assert!(elsewhere(&world.disk) > 1, "it was not at its end");
    let mut world = taking_over_synced(world.disk, &[1]);
    world.settle_for(5);
    let counts = [Counter::Replayed, Counter::Superseded];
    assert_eq!(counts.map(|counter| world.count(counter)), [2, 1]);
    assert_eq!(elsewhere(&world.disk), 0);
    assert_eq!(world.disk.points("/data/a/b.wsp"), [again]);
}

#[test]
fn what_a_failed_sync_may_have_lost_comes_back_though_the_takeover_was_cut_off() {
    let (disk, point) = left_elsewhere(true);
    let (mut world, data_sync) = taking_over(disk, &[]);
    world.settle_for(2);
    data_sync.begin();
    data_sync.failed();
    world.take("c.d", point);
    world.settle_for(3);
    assert_eq!(world.count(Counter::Replayed), 0, "it is in its file");
    // Killed; the file never came to the disk, and nobody says that again.
    let mut disk = world.disk;
    disk.files.remove(Path::new("/data/a/b.wsp"));
    let mut world = taking_over_synced(disk, &[1]);
    world.settle_for(5);
    for path in ["/data/a/b.wsp", "/data/c/d.wsp"] {
        assert_eq!(world.disk.points(path), [point], "{path}");
    }
}

#[test]
fn a_note_outlives_all_that_it_is_about() {
    // Removals go in pairs.
    for (failing, free) in [(0, false), (0, true), (1, false)] {
        let mut disk = left_elsewhere(false).0;
        if free {
            let path = format!("{OTHER_DIR}/00000001-00000-00000009.points");
            disk.files.insert(PathBuf::from(path), vec![0; 4096]);
        }
        let mut world = taking_over_synced(disk, &[]);
        world.hold = true;
        let mut removals = 0;
        for turn in 0..200 {
            world.turn();
            // What was asked for last is done first.
            while let Some((shard, token, operation)) = world.held.pop() {
                let is_removal = matches!(Asker::of(token), Asker::Removal(_));
                removals += usize::from(is_removal);
                let result = if is_removal && removals == failing {
                    let (stage, errno) = (Stage::Remove, EIO);
                    Err(FileError { stage, errno })
                } else {
                    world.disk.carry_out(operation)
                };
                world.shards[shard].begin_turn(world.now);
                world.shards[shard].complete(token, result);
                let has_note = world.disk.files.contains_key(Path::new(NOTE));
                assert!(has_note || elsewhere(&world.disk) == 0);
            }
            while world.shards[0].recalled().is_some() {}
            if turn % 5 == 0 {
                world.later(1);
            }
        }
        assert!(!world.shards[0].is_recalling() && removals > 1);
        // One that stays, and the note that says what it is worth.
        assert_eq!(elsewhere(&world.disk), 2 * failing);
    }
}
