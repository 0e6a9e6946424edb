//! Reads of earlier runs' segments that fail for one shard and not for the other.

use super::recalled::JOURNAL_DIR;
use super::*;
use crate::journal::DataSync;
use crate::journal::replay::{Progress, Replay};
use crate::journal::survey::{Looked, Survey, is_aside};

const ENFILE: i32 = 23;
const METRICS: u64 = 20;

/// What one that was killed has left: a point each of so many metrics of two shards, in no file.
fn left_behind() -> Disk {
    let mut world = World::all_started(2, Disk::default(), &Arc::default());
    world.disk.failing.push((Stage::Probe, EIO));
    for metric in 0..METRICS {
        world.take(&format!("m{metric}"), world.point(10, 1.0));
    }
    for _ in 0..3 {
        world.settle();
        world.later(1);
    }
    world.disk.failing.clear();
    world.disk
}

/// Is it a read of the points that the second shard has journaled?
fn is_of_second(operation: &FileOperation) -> bool {
    matches!(operation, FileOperation::Open { path, .. }
        if path.extension().is_some_and(|it| it == "points")
            && path.starts_with(JOURNAL_DIR)
            && path.to_string_lossy().contains("00000001-00001"))
}

/// A start over that, while such reads of the second shard fail, the first ones: what each shard said.
fn start(reads_failing: usize, errno: i32) -> (World, [Vec<Recalled>; 2]) {
    let data_sync = Arc::new(DataSync::default());
    let mut world = World::all_started(2, left_behind(), &data_sync);
    let number = data_sync.begin();
    data_sync.done(number);
    world.hold = true;
    let (mut failed, mut said) = (0, [Vec::new(), Vec::new()]);
    for second in 0..300 {
        world.turn();
        for (shard, token, operation) in std::mem::take(&mut world.held) {
            let fails = shard == 1 && failed < reads_failing && is_of_second(&operation);
            let result = if fails {
                failed += 1;
                let stage = Stage::Open;
                Err(FileError { stage, errno })
            } else {
                world.disk.carry_out(operation)
            };
            world.shards[shard].begin_turn(world.now);
            world.shards[shard].complete(token, result);
        }
        for (shard, said) in world.shards.iter_mut().zip(&mut said) {
            said.extend(std::iter::from_fn(|| shard.recalled()));
        }
        if second % 5 == 0 {
            world.later(1);
        }
    }
    assert!(world.shards.iter().all(|shard| !shard.is_recalling()));
    assert!(failed > 0, "no read has failed");
    (world, said)
}

fn files(disk: &Disk) -> Vec<Looked> {
    let files = disk.files.iter();
    let files = files.filter(|(path, _)| path.starts_with(JOURNAL_DIR));
    files
        .map(|(path, bytes)| Looked::of(path.clone(), bytes))
        .collect()
}

/// Segments of the run that was killed.
fn earlier(disk: &Disk) -> usize {
    let files = files(disk);
    let is_earlier = |it: &&Looked| it.path.to_string_lossy().contains("/00000001-");
    files.iter().filter(is_earlier).count()
}

#[test]
fn what_one_shard_cannot_read_is_said_by_it_and_set_aside() {
    let (world, [first, second]) = start(usize::MAX, EIO);
    let [Recalled::All(whole), Recalled::Kept(kept)] = &first[..] else {
        panic!("{first:?}")
    };
    assert!(whole.is_sound() && whole.unread.is_empty(), "{whole:?}");
    let [Recalled::All(part)] = &second[..] else {
        panic!("{second:?}")
    };
    assert!(part.harms[0].what.is_of_reading(), "{part:?}");
    let missing = METRICS - world.count(Counter::Replayed);
    assert!(missing > 0, "the second shard has it all");
    assert_eq!(kept.unread, part.unread);
    assert_eq!(kept.gone, 0);

    let aside = Survey::of_aside(files(&world.disk)).unwrap();
    assert_eq!(aside.files.len(), kept.aside.len());
    assert_eq!(
        earlier(&world.disk),
        kept.aside.len(),
        "the others are gone"
    );
    // The next start does not count them, and what was missed is in them yet.
    let next = Survey::new(files(&world.disk)).unwrap();
    assert!(next.files.iter().all(|file| !is_aside(&file.path)));
    assert_eq!(next.aside.len(), kept.aside.len());
    let mut replay = Replay::new(aside, Box::new(|_, _| true), 7);
    let mut disk = world.disk;
    let mut given = 0;
    loop {
        while let Some((token, operation)) = replay.next_operation() {
            replay.complete(token, disk.carry_out(operation));
        }
        let progress = replay.work(1000, &mut |owed| {
            given += owed.len() as u64;
            owed.len()
        });
        if progress == Progress::Done {
            break;
        }
    }
    assert!(given >= missing, "{given} of {missing}");
    assert!(replay.report().is_sound(), "{:?}", replay.report());
}

#[test]
fn a_read_that_fails_for_want_of_descriptors_is_done_once_there_are_some() {
    let (world, [first, second]) = start(7, ENFILE);
    for said in [first, second] {
        let [Recalled::All(report)] = &said[..] else {
            panic!("{said:?}")
        };
        assert!(report.is_sound(), "{report:?}");
    }
    assert_eq!(world.count(Counter::Replayed), METRICS);
    assert_eq!(earlier(&world.disk), 0, "all is read, and gone");
}
