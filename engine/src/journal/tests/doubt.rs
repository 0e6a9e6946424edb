//! A sync of the data fails: what was written since the last good one is owed to the next start.

use super::*;
use crate::journal::MOUNT_DOUBTFUL;
use crate::journal::block::{ALIGNMENT, Block};
use crate::limits::DATA_MARK_EVERY;
use crate::stats::Counter;

impl Rig {
    fn fail_data_sync(&self) {
        self.data_sync.begin();
        self.data_sync.failed();
    }

    /// The mounts of the blocks of points, by file and place.
    fn mounts(&self) -> Vec<u32> {
        let files = self.disk.killed(&mut Dice::new(1));
        let is_of_points = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "points");
        let points = files.iter().filter(|(path, _)| is_of_points(path));
        let places = points.flat_map(|(_, bytes)| {
            let places = (0..bytes.len()).step_by(ALIGNMENT);
            places.filter_map(|at| Block::parse(&bytes[at..]).ok())
        });
        places.map(|block| block.head.mount).collect()
    }

    /// Everything is written, and the data is synced again and again.
    fn rest(&mut self) {
        self.oldest_unwritten = None;
        for _ in 0..3 {
            self.sync();
            self.sync_data();
        }
        self.sync();
    }
}

#[test]
fn what_was_written_before_a_failed_sync_is_kept_and_the_heads_say_so() {
    let mut rig = Rig::new(config());
    fill(&mut rig, 3);
    assert!(!rig.mounts().contains(&MOUNT_DOUBTFUL));
    rig.fail_data_sync();
    rig.rest();
    assert_eq!((rig.journal.retired, rig.journal.free.len()), (0, 0));
    assert_eq!(rig.journal.status().doubtful_segments, 3);
    assert_eq!(rig.mounts().last(), Some(&MOUNT_DOUBTFUL));
    assert_eq!(rig.read().owed.len() as u64, rig.journal.serial());
}

#[test]
fn what_retired_by_a_sync_before_the_failure_is_gone_for_good() {
    let mut rig = Rig::new(config());
    fill(&mut rig, 4);
    rig.rest();
    assert_eq!(rig.journal.status().segments, 1);
    rig.fail_data_sync();
    rig.rest();
    let status = rig.journal.status();
    assert_eq!((status.segments, status.doubtful_segments), (1, 1));
}

#[test]
fn nothing_is_carried_while_one_in_doubt_goes_first() {
    let mut rig = Rig::new(config());
    fill(&mut rig, 5);
    // The first ones owe nothing, the others something.
    let second = rig.journal.kept[2].last_second;
    rig.oldest_unwritten = second;
    rig.end_turn();
    assert_eq!(rig.journal.oldest_second(), second);
    rig.fail_data_sync();
    rig.end_turn();
    assert_eq!(rig.journal.oldest_second(), None);
    // At the bound they go, and then it is the turn of the others.
    while rig.journal.retired < 2 {
        for _ in 0..100 {
            rig.point(1, u32::try_from(rig.journal.serial()).unwrap() * 1_000_003);
        }
        rig.sync();
        rig.sync_data();
        assert!(rig.journal.files() <= 9, "{}", rig.journal.files());
    }
    assert_eq!(rig.journal.oldest_second(), second);
}

#[test]
fn no_mark_proves_what_a_failed_sync_may_have_lost() {
    let mut rig = Rig::new(config());
    rig.point(1, 100);
    rig.commit();
    rig.journal.written(SeriesId(1), &name(1), None);
    rig.commit();
    // The mark is noted, and its sync asked for.
    rig.wait(DATA_MARK_EVERY);
    let ticket = rig.data_sync.begin();
    rig.data_sync.failed();
    rig.commit();
    assert_eq!(rig.data_sync.begin(), ticket + 1);
    rig.data_sync.done(ticket + 1);
    rig.wait(DATA_MARK_EVERY);
    rig.wait(DATA_MARK_EVERY);
    assert_eq!(rig.mounts().last(), Some(&MOUNT_DOUBTFUL));
}

#[test]
fn at_its_bound_the_journal_lets_the_oldest_in_doubt_go_and_counts_it() {
    let mut rig = Rig::new(config());
    fill(&mut rig, 4);
    rig.fail_data_sync();
    rig.end_turn();
    let doubtful = rig.journal.status().doubtful_segments as u64;
    let given_up = |rig: &Rig| rig.journal.stats().get(Counter::JournalGivenUp);
    let mut timestamp = 7_u32;
    for _ in 0..200 {
        for _ in 0..100 {
            timestamp = timestamp.wrapping_add(1_000_003);
            if !rig.journal.is_congested() {
                rig.point(1, timestamp);
            }
        }
        rig.oldest_unwritten = Some(rig.second());
        rig.sync();
        rig.sync_data();
        assert!(rig.journal.files() <= 9, "{}", rig.journal.files());
        if rig.journal.point_files() < rig.journal.point_files_max() {
            assert_eq!(given_up(&rig), 0, "there was room");
        }
    }
    // One more than was there: what stood in buffers may have gone into the next.
    assert_eq!(given_up(&rig), doubtful + 1);
    assert_eq!(rig.journal.status().doubtful_segments, 0);
    rig.point(1, timestamp);
    rig.commit();
    assert!(
        rig.mounts().contains(&1),
        "what is written now is believed again"
    );
}
