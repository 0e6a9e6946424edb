//! Reads of earlier runs' segments that fail for one shard and not for the other.

use super::recalled::JOURNAL_DIR;
use super::*;
use crate::journal::DataSync;
use crate::journal::replay::{Owed, Progress, Replay};
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
    world.settle_for(3);
    world.disk.failing.clear();
    world.disk
}

/// Is it a read of the points that the second shard has journaled in an epoch?
fn is_of_second(epoch: u32, operation: &FileOperation) -> bool {
    let stream = format!("/{epoch:08}-00001-");
    matches!(operation, FileOperation::Open { path, .. }
        if path.extension().is_some_and(|it| it == "points")
            && path.starts_with(JOURNAL_DIR)
            && path.to_string_lossy().contains(&stream))
}

/// What came of a start.
struct Started {
    world: World,
    said: [Vec<Recalled>; 2],
    failed: usize,
    is_at_rest: bool,
}

/// A start over what a disk has, while such reads of the second shard fail, the first ones. After so many
/// turns the daemon is to end, and does as soon as both shards are at rest.
fn start_and_stop(
    disk: Disk,
    (epoch, reads_failing, errno): (u32, usize, i32),
    stop_at: usize,
) -> Started {
    let data_sync = Arc::new(DataSync::default());
    let mut world = World::all_started(2, disk, &data_sync);
    let number = data_sync.begin();
    data_sync.done(number);
    world.hold = true;
    let (mut failed, mut said) = (0, [Vec::new(), Vec::new()]);
    let mut is_at_rest = false;
    for turn in 0..300 {
        if turn == stop_at {
            world.shards.iter_mut().for_each(Shard::rest);
        }
        world.turn();
        is_at_rest = world.shards.iter().all(Shard::is_at_rest);
        if is_at_rest {
            break;
        }
        for (shard, token, operation) in std::mem::take(&mut world.held) {
            let is_one = shard == 1 && is_of_second(epoch, &operation);
            let fails = is_one && failed < reads_failing;
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
        if turn % 5 == 0 {
            world.later(1);
        }
    }
    Started {
        world,
        said,
        failed,
        is_at_rest,
    }
}

/// One that is left in peace, and what each shard said.
fn start(disk: Disk, failing: (u32, usize, i32)) -> (World, [Vec<Recalled>; 2]) {
    let Started {
        world,
        said,
        failed,
        ..
    } = start_and_stop(disk, failing, usize::MAX);
    assert!(world.shards.iter().all(|shard| !shard.is_recalling()));
    assert!(failed > 0 || failing.1 == 0, "no read has failed");
    (world, said)
}

/// What a replay gives, by the names of the metrics.
fn given(mut replay: Replay, disk: &mut Disk) -> Vec<String> {
    let mut given = Vec::new();
    loop {
        while let Some((token, operation)) = replay.next_operation() {
            replay.complete(token, disk.carry_out(operation));
        }
        let progress = replay.work(1000, &mut |owed: &[Owed]| {
            given.extend_from_slice(owed);
            owed.len()
        });
        if progress == Progress::Done {
            break;
        }
    }
    assert!(replay.report().is_sound(), "{:?}", replay.report());
    let name = |owed: &Owed| replay.name(owed.name).to_owned();
    given.iter().map(name).collect()
}

fn replay(survey: Survey) -> Replay {
    Replay::new(survey, Box::new(|_, _| true), 7)
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
    let (world, [first, second]) = start(left_behind(), (1, usize::MAX, EIO));
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
    let mut disk = world.disk;
    let given = given(replay(aside), &mut disk).len() as u64;
    assert!(given >= missing, "{given} of {missing}");
}

#[test]
fn copies_that_one_shard_cannot_read_are_owed_without_the_files_of_the_first() {
    // What the first run owes is copied by the second one, and written by neither.
    let mut disk = left_behind();
    disk.failing.push((Stage::Probe, EIO));
    let (mut world, _) = start(disk, (1, 0, EIO));
    assert_eq!(world.count(Counter::Replayed), METRICS);
    assert_eq!(earlier(&world.disk), 0, "earlier runs owe nothing");
    world.disk.failing.clear();
    let (world, [first, _]) = start(world.disk, (2, usize::MAX, EIO));
    let missing = METRICS - world.count(Counter::Replayed);
    assert!(missing > 0, "the second shard has it all");
    let [Recalled::All(_), Recalled::Kept(kept)] = &first[..] else {
        panic!("{first:?}")
    };
    let is_of_second = |path: &PathBuf| path.to_string_lossy().contains("/00000002-00001-");
    assert!(kept.aside.iter().all(is_of_second), "{kept:?}");
    let aside = Survey::of_aside(files(&world.disk)).unwrap();
    let mut disk = world.disk;
    let given = given(replay(aside), &mut disk).len() as u64;
    assert!(given >= missing, "{given} of {missing}");
}

#[test]
fn a_stop_at_any_moment_leaves_nothing_to_be_removed_that_could_not_be_read() {
    let (mut stops, mut stops_behind_the_end) = (0, 0);
    for stop_at in 0..200 {
        let failing = (1, usize::MAX, EIO);
        let started = start_and_stop(left_behind(), failing, stop_at);
        assert!(started.is_at_rest, "a stop in turn {stop_at}");
        let mut disk = started.world.disk;
        // What the next start reads, and what it does not remove.
        let next = Survey::new(files(&disk)).unwrap();
        let aside = Survey::of_aside(files(&disk)).unwrap();
        stops_behind_the_end += usize::from(!aside.files.is_empty());
        stops += 1;
        let mut names = given(replay(next), &mut disk);
        names.extend(given(replay(aside).of_aside(), &mut disk));
        for metric in 0..METRICS {
            let name = format!("m{metric}");
            let is_written = !disk.points(&format!("/data/{name}.wsp")).is_empty();
            assert!(
                is_written || names.contains(&name),
                "{name} is nowhere after a stop in turn {stop_at}"
            );
        }
    }
    let is_both = stops_behind_the_end > 0 && stops_behind_the_end < stops;
    assert!(is_both, "{stops_behind_the_end} of {stops}");
}

#[test]
fn a_read_that_fails_for_want_of_descriptors_is_done_once_there_are_some() {
    let (world, [first, second]) = start(left_behind(), (1, 7, ENFILE));
    for said in [first, second] {
        let [Recalled::All(report)] = &said[..] else {
            panic!("{said:?}")
        };
        assert!(report.is_sound(), "{report:?}");
    }
    assert_eq!(world.count(Counter::Replayed), METRICS);
    assert_eq!(earlier(&world.disk), 0, "all is read, and gone");
}
