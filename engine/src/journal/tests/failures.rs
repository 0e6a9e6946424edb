//! What a failing disk, or a want of descriptors, does to the journal: told, counted, made up for, or waited for.

use std::time::Duration;

use super::{Rig, START_SECOND, config, fill, name, point};
use crate::cache::SeriesId;
use crate::journal::block::Kind;
use crate::journal::{JournalConfig, OnError, State};
use crate::limits::{JOURNAL_LAST_WANT, JOURNAL_SCARCE_RETRY};
use crate::ring::{FileError, FileOperation, Stage};
use crate::stats::Counter;

const EIO: i32 = 5;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

fn failure(rig: &Rig) -> FileError {
    let State::Failed(error) = rig.journal.state() else {
        panic!("it is {:?}", rig.journal.state())
    };
    error
}

#[test]
fn a_failure_is_told_counted_and_made_up_for() {
    let mut rig = Rig::new(config());
    rig.settle();
    rig.point(1, 100);
    rig.sync();
    rig.point(1, 101);
    rig.pass_ms(10);
    rig.end_turn();
    rig.disk.answer(&mut rig.journal, 0, Some(EIO));
    let expected = FileError {
        stage: Stage::Write,
        errno: EIO,
    };
    assert_eq!(failure(&rig), expected);
    assert_eq!(rig.journal.must_stop(), None);
    rig.point(1, 102);
    rig.settle();
    assert!(!rig.journal.is_congested());
    assert_eq!(rig.journal.stats().get(Counter::JournalMissed), 2);
    // Every ten seconds a new segment is tried: the disk is full at first.
    rig.pass_ms(9_000);
    rig.settle();
    assert_eq!(failure(&rig), expected);
    rig.pass_ms(1_000);
    rig.end_turn();
    while rig.disk.waiting() > 0 {
        rig.disk.answer(&mut rig.journal, 0, Some(ENOSPC));
    }
    rig.settle();
    assert_eq!(failure(&rig), expected, "the first reason stays");
    rig.wait(Duration::from_secs(10));
    rig.settle();
    assert_eq!(rig.journal.state(), State::Recovering);
    rig.point(1, 103);
    rig.journal.carry(
        SeriesId(1),
        &name(1),
        &[point(100), point(101), point(102)],
        20,
    );
    assert!(!rig.journal.recovered(0), "that was before the failure");
    assert_eq!(rig.journal.state(), State::Recovering);
    assert!(rig.journal.recovered(1));
    assert_eq!(rig.journal.state(), State::Healthy);
    rig.oldest_unwritten = Some(START_SECOND);
    rig.sync();
    rig.sync_data();
    rig.sync();
    rig.sync();
    // What was before the failure owes nothing, whatever the owner's oldest point is.
    assert_eq!(rig.read().values(), [103.0, 100.0, 101.0, 102.0]);
    assert_eq!(rig.journal.stats().get(Counter::JournalErrors), 3);
}

#[test]
fn a_sync_that_fails_is_a_failure_too() {
    let mut rig = Rig::new(config());
    rig.settle();
    rig.point(1, 100);
    rig.commit();
    rig.pass_ms(1000);
    rig.end_turn();
    rig.disk.answer(&mut rig.journal, 1, Some(EIO));
    rig.disk.answer(&mut rig.journal, 0, None);
    assert_eq!(failure(&rig).stage, Stage::Sync);
    assert_eq!(rig.journal.synced_serial(), 0);
    rig.settle();
    // Only the segments that were made ahead are open.
    rig.wait(Duration::from_secs(10));
    assert_eq!(rig.journal.state(), State::Recovering);
}

fn points(rig: &mut Rig) {
    for timestamp in 0..40 {
        rig.point(1, timestamp * 1_000_003);
    }
}

/// Ends turns until a file is being made or opened, of which the journal hears that it cannot be.
fn refuse_segment(rig: &mut Rig, errno: i32) {
    use FileOperation::{Open, Reserve};
    rig.end_turn();
    let opens = |operation: &&FileOperation| matches!(operation, Reserve { .. } | Open { .. });
    while rig.disk.waiting() > 0 {
        let refused = rig.disk.waits().iter().position(opens);
        rig.disk.answer(
            &mut rig.journal,
            refused.unwrap_or(0),
            refused.map(|_| errno),
        );
        rig.end_turn();
    }
}

/// Points until the next segment is asked for, which cannot be made.
fn lose_the_next_segment(rig: &mut Rig, errno: i32) {
    let errors = rig.journal.stats().get(Counter::JournalErrors);
    while rig.journal.stats().get(Counter::JournalErrors) == errors {
        points(rig);
        rig.pass_ms(10);
        refuse_segment(rig, errno);
    }
}

#[test]
fn a_segment_that_cannot_be_made_fails_when_it_is_needed() {
    let mut rig = Rig::new(config());
    rig.settle();
    lose_the_next_segment(&mut rig, ENOSPC);
    assert_eq!(
        rig.journal.state(),
        State::Healthy,
        "half a segment is left"
    );
    let before = rig.journal.stats().get(Counter::JournalMissed);
    for _ in 0..20 {
        points(&mut rig);
        rig.commit();
    }
    assert_eq!(failure(&rig).errno, ENOSPC);
    assert!(rig.journal.stats().get(Counter::JournalMissed) > before);
}

/// The disk is full while a new segment is made, and meanwhile, or right after, an old one gets free.
#[test]
fn a_free_segment_serves_where_a_new_one_was_refused() {
    for is_refused_first in [true, false] {
        let mut rig = Rig::new(config());
        fill(&mut rig, 2);
        let is_reserve = |op: &&FileOperation| matches!(op, FileOperation::Reserve { .. });
        let refused = |rig: &Rig| rig.disk.waits().iter().position(is_reserve);
        // Everything else is answered.
        let settle_beside = |rig: &mut Rig| {
            rig.end_turn();
            while let Some(place) = (0..rig.disk.waiting()).find(|it| Some(*it) != refused(rig)) {
                rig.disk.answer(&mut rig.journal, place, None);
                rig.end_turn();
            }
        };
        while refused(&rig).is_none() {
            points(&mut rig);
            rig.pass_ms(10);
            settle_beside(&mut rig);
        }
        let refuse = |rig: &mut Rig| {
            let place = refused(rig).unwrap();
            rig.disk.answer(&mut rig.journal, place, Some(ENOSPC));
        };
        if is_refused_first {
            refuse(&mut rig);
        }
        rig.oldest_unwritten = None;
        for _ in 0..3 {
            rig.pass_ms(1_000);
            settle_beside(&mut rig);
            rig.sync_data();
        }
        if !is_refused_first {
            assert!(!rig.journal.free.is_empty(), "none got free");
            refuse(&mut rig);
        }
        rig.oldest_unwritten = Some(rig.second());
        let (segments, missed) = (rig.journal.point_lane.upcoming, Counter::JournalMissed);
        while rig.journal.point_lane.upcoming == segments {
            points(&mut rig);
            rig.commit();
            assert_eq!(rig.journal.state(), State::Healthy, "{is_refused_first}");
        }
        assert_eq!(rig.journal.stats().get(missed), 0);
    }
}

/// Its buffers are full, as there is no descriptor for the next segment.
fn full_for_want_of_a_descriptor() -> Rig {
    let mut rig = Rig::new(config());
    rig.settle();
    lose_the_next_segment(&mut rig, EMFILE);
    while !rig.journal.is_blocked() {
        points(&mut rig);
        rig.pass_ms(10);
        refuse_segment(&mut rig, EMFILE);
    }
    rig
}

/// Until it is made senders wait, and nothing is missed.
#[test]
fn a_segment_that_lacks_a_descriptor_is_waited_for() {
    let mut rig = full_for_want_of_a_descriptor();
    assert_eq!(rig.journal.state(), State::Healthy);
    assert_eq!(rig.journal.status().lacks.map(|it| it.errno), Some(EMFILE));
    let (noted, tried) = (rig.journal.serial(), rig.disk.waiting());
    assert!(rig.journal.committed_serial() < noted && tried == 0);
    let errors = rig.journal.stats().get(Counter::JournalErrors);
    for _ in 0..3 {
        rig.pass(JOURNAL_SCARCE_RETRY);
        refuse_segment(&mut rig, EMFILE);
    }
    assert_eq!(
        rig.journal.stats().get(Counter::JournalErrors),
        errors + 3,
        "it is tried once a second"
    );
    rig.wait(JOURNAL_SCARCE_RETRY);
    rig.commit();
    assert_eq!(rig.journal.committed_serial(), noted);
    assert_eq!(rig.journal.status().lacks, None);
    assert_eq!(rig.journal.stats().get(Counter::JournalMissed), 0);
    assert_eq!(rig.read().values().len() as u64, noted);
}

/// The disk may have no room to make them anew.
#[test]
fn want_of_descriptors_costs_no_free_segment() {
    let mut rig = Rig::new(config());
    fill(&mut rig, 4);
    rig.oldest_unwritten = None;
    rig.commit();
    rig.sync_data();
    for _ in 0..3 {
        rig.sync();
    }
    let free = rig.journal.free.len();
    assert!(free > 1, "{free} are free");
    rig.oldest_unwritten = Some(rig.second());
    lose_the_next_segment(&mut rig, EMFILE);
    for _ in 0..5 {
        rig.pass(JOURNAL_SCARCE_RETRY);
        refuse_segment(&mut rig, EMFILE);
    }
    assert_eq!(rig.disk.done.removes, 0);
    rig.wait(JOURNAL_SCARCE_RETRY);
    let reserved = rig.disk.done.reserves;
    fill(&mut rig, 3);
    assert_eq!(rig.disk.done.reserves, reserved, "a free one serves");
}

/// The last points wait for a descriptor while connections end, though not for long.
#[test]
fn behind_a_stop_a_segment_is_waited_for_while_connections_end() {
    for is_late in [false, true] {
        let mut rig = full_for_want_of_a_descriptor();
        rig.journal.take_all();
        refuse_segment(&mut rig, EMFILE);
        assert_eq!(rig.journal.state(), State::Healthy);
        if is_late {
            rig.pass(JOURNAL_LAST_WANT);
            refuse_segment(&mut rig, EMFILE);
            assert_eq!(failure(&rig).errno, EMFILE);
            continue;
        }
        rig.journal.stop();
        rig.settle();
        assert!(rig.journal.is_quiet());
        assert_eq!(rig.read().values().len() as u64, rig.journal.serial());
    }
}

/// It is tried once more, and then is no segment for this run.
#[test]
fn a_stop_waits_for_no_descriptor() {
    for is_there in [true, false] {
        let mut rig = full_for_want_of_a_descriptor();
        rig.journal.stop();
        if !is_there {
            refuse_segment(&mut rig, EMFILE);
            assert_eq!(failure(&rig).errno, EMFILE);
        }
        rig.settle();
        assert!(rig.journal.is_quiet());
        let all = rig.journal.serial();
        assert_eq!(rig.read().values().len() as u64 == all, is_there);
    }
}

#[test]
fn a_segment_that_was_there_before_a_failure_is_not_tried_at_once() {
    let mut rig = Rig::new(config());
    fill(&mut rig, 2);
    while !(rig.journal.point_lane.is_ready() && rig.journal.name_lane.is_ready()) {
        rig.journal.make_next(Kind::Names, true);
        rig.point(1, u32::try_from(rig.journal.serial()).unwrap() * 4099);
        rig.commit();
    }
    rig.point(1, 1);
    rig.pass_ms(10);
    rig.end_turn();
    rig.disk.answer(&mut rig.journal, 0, Some(EIO));
    rig.settle();
    rig.wait(Duration::from_secs(9));
    assert_eq!(failure(&rig).errno, EIO);
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig.journal.state(), State::Recovering);
}

#[test]
fn a_failure_stops_the_process_where_that_is_asked_for() {
    let on_error = OnError::Stop;
    let mut rig = Rig::new(JournalConfig {
        on_error,
        ..config()
    });
    rig.end_turn();
    rig.disk.answer(&mut rig.journal, 0, Some(EIO));
    assert_eq!(rig.journal.must_stop(), Some(failure(&rig)));
    assert!(rig.journal.is_congested());
    rig.settle();
    rig.wait(Duration::from_secs(100));
    assert!(rig.journal.must_stop().is_some());
    rig.journal.stop();
    assert!(rig.journal.is_quiet());
}

#[test]
fn behind_the_stop_no_failure_is_made_up_for() {
    let mut rig = Rig::new(config());
    rig.settle();
    rig.point(1, 100);
    rig.journal.stop();
    rig.end_turn();
    rig.disk.answer(&mut rig.journal, 0, Some(EIO));
    assert_eq!(failure(&rig).stage, Stage::Write);
    rig.wait(Duration::from_secs(11));
    assert_eq!(rig.journal.deadline(), None);
}
