//! Reads that fail for want of descriptors or memory, or that one pass cannot do: what is waited for,
//! and what is said to be unread.

use super::*;

#[test]
fn what_fails_for_want_of_something_is_waited_for_and_costs_nothing() {
    for seed in 0..100 {
        let mut dice = Dice(seed);
        let history = History::draw(&mut dice);
        let mut replay = replay_of(&history, |_| true);
        let mut disk = disk(&history);
        for _ in 0..dice.below(60) {
            let errno = [11, 4, 12, 23, 24][dice.index(5)];
            let stage = [Stage::Open, Stage::Read][dice.index(2)];
            disk.scarce.push(FileError { stage, errno });
        }
        let (given, progress) = run(&mut replay, &mut disk, &mut dice);
        assert_eq!(progress, Progress::Done);
        assert_eq!(given, expected(&history, &|_| true).given);
        let report = replay.report();
        assert!(report.is_sound() && report.unread.is_empty(), "{report:#?}");
    }
}

#[test]
fn while_it_is_put_off_nothing_is_asked_for_and_the_file_is_named() {
    let history = five_blocks();
    let mut replay = replay_of(&history, |_| true);
    assert_eq!(replay.work(100, &mut <[Owed]>::len), Progress::Waiting);
    let (token, _) = replay.next_operation().unwrap();
    let (stage, errno) = (Stage::Open, 24);
    let error = FileError { stage, errno };
    replay.complete(token, Err(error));
    assert_eq!(replay.put_off(), Some((Path::new(NAMES_FILE), error)));
    assert!(replay.next_operation().is_none());
    assert_eq!(replay.work(100, &mut <[Owed]>::len), Progress::Waiting);
    replay.try_again();
    assert!(replay.next_operation().is_some());
}

#[test]
fn what_cannot_be_read_is_unread_and_what_is_damaged_is_not() {
    let mut history = five_blocks();
    let mut disk = disk(&history);
    disk.broken.push((PathBuf::from(FILE), 65));
    let (_, report, _) = run_plainly(&history, &mut disk);
    assert_eq!(report.unread, [PathBuf::from(FILE)].into());
    history.files.get_mut(Path::new(FILE)).unwrap()[65] ^= 1;
    let (_, report, _) = run_plainly(&history, &mut super::disk(&history));
    assert!(
        !report.is_sound() && report.unread.is_empty(),
        "{report:#?}"
    );
}

/// Another reading may find a later point there than any that this one saw.
#[test]
fn while_something_is_unread_nobody_knows_which_point_is_the_latest() {
    let history = five_blocks();
    for (broken, is_known) in [(None, true), (Some(FILE), false), (Some(NAMES_FILE), false)] {
        let mut disk = disk(&history);
        disk.broken
            .extend(broken.map(|file| (PathBuf::from(file), 65)));
        let mut replay = replay_of(&history, |_| true);
        let (_, progress) = run(&mut replay, &mut disk, &mut Dice(1));
        assert_eq!(progress, Progress::Done);
        assert_eq!(replay.latest() < u32::MAX, is_known, "{broken:?}");
    }
}
