//! Each promise of the journal by itself. Long, for each is a few lines that stand alone.

use std::time::Duration;

use super::{Rig, START_SECOND, config, fill, name, point};
use crate::cache::SeriesId;
use crate::journal::block::Kind;
use crate::journal::entry::CUT_NONE;
use crate::journal::{JournalConfig, OnError, Part, Pressure, State, Sync};
use crate::limits::JOURNAL_SCARCE_RETRY;
use crate::ring::{FileError, FileOperation, Stage};
use crate::stats::Counter;

const EIO: i32 = 5;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

#[test]
fn points_are_written_when_their_time_has_come_and_their_names_before() {
    let mut rig = Rig::new(config());
    rig.settle();
    rig.point(1, 100);
    rig.point(2, 101);
    rig.pass_ms(9);
    rig.end_turn();
    assert_eq!(rig.disk.waiting(), 0, "the block's time has not come");
    let due = rig.journal.deadline().unwrap();
    rig.pass_ms(1);
    assert_eq!(due, rig.started.instant + rig.passed);
    rig.end_turn();
    // The names first, alone.
    assert_eq!(rig.disk.waiting(), 1);
    assert_eq!(rig.read().owed.len(), 0);
    rig.disk.answer(&mut rig.journal, 0, None);
    assert_eq!(rig.journal.committed_serial(), 0);
    rig.end_turn();
    assert_eq!(rig.disk.waiting(), 1);
    rig.disk.answer(&mut rig.journal, 0, None);
    assert_eq!(rig.journal.committed_serial(), 2);
    let owed: Vec<_> = rig.read().owed.into_values().collect();
    assert_eq!(owed[0].name.as_deref(), Some(&*name(1)));
    assert_eq!(owed[1].name.as_deref(), Some(&*name(2)));
    assert_eq!((owed[1].timestamp, owed[1].value), (101, 101.0));
}

#[test]
fn a_round_of_syncs_covers_both_kinds_and_leaves_writes_alone() {
    let mut rig = Rig::new(config());
    rig.settle();
    rig.point(1, 100);
    rig.commit();
    assert_eq!(rig.journal.synced_serial(), 0);
    rig.pass_ms(990);
    rig.point(1, 101);
    rig.end_turn();
    let is_sync = |operation: &&FileOperation| matches!(operation, FileOperation::Sync { .. });
    assert_eq!(rig.disk.waits().iter().filter(|op| is_sync(op)).count(), 2);
    // While the disk syncs, the next block is written.
    rig.pass_ms(10);
    rig.end_turn();
    let append = rig.disk.waits().iter().position(|op| !is_sync(op)).unwrap();
    rig.disk.answer(&mut rig.journal, append, None);
    assert_eq!(rig.journal.committed_serial(), 2);
    rig.disk.answer(&mut rig.journal, 1, None);
    assert_eq!(rig.journal.synced_serial(), 0, "half a round");
    rig.disk.answer(&mut rig.journal, 0, None);
    assert_eq!(
        rig.journal.synced_serial(),
        1,
        "the second came after it began"
    );
    rig.sync();
    assert_eq!(rig.journal.synced_serial(), 2);
    assert_eq!(rig.journal.stats().get(Counter::JournalSyncs), 3);
}

#[test]
fn a_sync_begins_earlier_where_the_disk_takes_its_time() {
    let mut rig = Rig::new(config());
    rig.settle();
    // It takes 300 ms, and then none.
    rig.point(1, 100);
    rig.commit();
    rig.pass_ms(990);
    rig.end_turn();
    assert_eq!(rig.disk.waiting(), 2, "syncs of both kinds");
    rig.pass_ms(300);
    rig.settle();
    assert_eq!(rig.journal.synced_serial(), 1);
    let due_ms = |rig: &mut Rig, timestamp| {
        rig.point(1, timestamp);
        let came = rig.started.instant + rig.passed;
        rig.commit();
        let due = rig.journal.deadline().unwrap();
        rig.sync();
        due.duration_since(came).as_millis()
    };
    assert_eq!(due_ms(&mut rig, 101), 700);
    let later = due_ms(&mut rig, 102);
    assert!((701..800).contains(&later), "{later}: forgotten slowly");
    for round in 0..60 {
        due_ms(&mut rig, 103 + round);
    }
    assert!((990..=1_000).contains(&due_ms(&mut rig, 200)));
}

#[test]
fn always_syncs_each_block_and_never_none() {
    for (sync, synced) in [(Sync::Always, 1), (Sync::Never, 0)] {
        let mut rig = Rig::new(JournalConfig { sync, ..config() });
        rig.settle();
        rig.point(1, 100);
        rig.pass_ms(10);
        rig.end_turn();
        let asked = rig.disk.waits()[0];
        let is_synced = matches!(asked, FileOperation::Append { sync: true, .. });
        assert_eq!(is_synced, sync == Sync::Always, "{asked:?}");
        rig.settle();
        rig.sync();
        assert_eq!(rig.journal.synced_serial(), synced);
        let status = rig.journal.status();
        assert_eq!(status.synced_serial, 1, "it is as safe as it gets");
        assert_eq!((rig.disk.done.syncs, rig.disk.open_visits()), (0, 2));
    }
}

#[test]
fn a_full_journal_stops_points_until_the_disk_answers() {
    let mut rig = Rig::new(config());
    rig.settle();
    let fill = |rig: &mut Rig| {
        for timestamp in 0..300 {
            rig.point(1, 1_000_000 * timestamp);
        }
        rig.end_turn();
    };
    // A quarter of a segment is full, whatever the time.
    fill(&mut rig);
    assert_eq!(rig.disk.waiting(), 1, "names");
    assert!(!rig.journal.is_congested());
    fill(&mut rig);
    assert!(rig.journal.is_congested() && rig.journal.is_blocked());
    rig.settle();
    assert!(!rig.journal.is_congested());
    rig.commit();
    assert_eq!(rig.read().owed.len(), 600);
}

#[test]
fn what_is_written_is_owed_no_more() {
    let mut rig = Rig::new(config());
    for series in 0..5 {
        rig.point(series, 100 + series);
    }
    for series in [1, 2, 4] {
        rig.journal.written(SeriesId(series), &name(series), None);
    }
    // A point behind its record is owed.
    rig.point(2, 110);
    let serial = rig.journal.serial();
    rig.point(0, 120);
    rig.point(0, 130);
    let part = |serial, cut| Some(Part { serial, cut });
    let zero = (SeriesId(0), name(0));
    rig.journal.written(zero.0, &zero.1, part(serial, CUT_NONE));
    rig.commit();
    assert_eq!(rig.read().values(), [103.0, 110.0, 120.0, 130.0]);
    let all = rig.journal.serial();
    rig.journal.written(zero.0, &zero.1, part(all, 125));
    rig.commit();
    assert_eq!(rig.read().values(), [103.0, 110.0, 130.0]);
}

#[test]
fn neighbours_that_are_written_become_one_entry() {
    let mut rig = Rig::new(config());
    rig.settle();
    for series in 0..1000 {
        rig.point(series, 0);
    }
    rig.commit();
    let before = rig.read().payload_bytes;
    for series in 0..1000 {
        rig.journal.written(SeriesId(series), &name(series), None);
    }
    rig.commit();
    let reading = rig.read();
    assert_eq!(reading.owed.len(), 0);
    assert_eq!(reading.payload_bytes - before, 4);
}

#[test]
fn a_number_that_was_forgotten_means_another_name() {
    let mut rig = Rig::new(config());
    rig.point(1, 100);
    rig.journal.forget(SeriesId(1));
    let other = "other.metric";
    rig.journal.point(SeriesId(1), || other, point(101));
    rig.commit();
    let names: Vec<_> = rig
        .read()
        .owed
        .into_values()
        .map(|found| found.name)
        .collect();
    assert_eq!(names, [Some(name(1)), Some(other.to_owned())]);
}

#[test]
fn a_carried_point_keeps_its_age() {
    let mut rig = Rig::new(config());
    rig.point(1, 100);
    rig.journal
        .carry(SeriesId(1), &name(1), &[point(7), point(8)], 300);
    rig.point(1, 101);
    rig.commit();
    let ages: Vec<_> = rig
        .read()
        .owed
        .into_values()
        .map(|found| found.age_s)
        .collect();
    assert_eq!(ages, [0, 300, 300, 0]);
    assert_eq!(rig.journal.stats().get(Counter::JournalCarried), 2);
    // In a block that waits for the disk an age counts from its begin.
    rig.point(1, 102);
    rig.pass_ms(2000);
    rig.journal.carry(SeriesId(1), &name(1), &[point(9)], 300);
    rig.commit();
    assert_eq!(rig.read().owed[&5].age_s, 298);
}

#[test]
fn segments_retire_oldest_first_and_are_used_again_only_when_the_disk_knows() {
    let mut rig = Rig::new(config());
    fill(&mut rig, 4);
    let reserved = rig.disk.done.reserves;
    // Nothing is unwritten, but the data may not be on its disk.
    rig.oldest_unwritten = None;
    rig.commit();
    assert_eq!(rig.journal.status().segments, 4);
    assert!(rig.data_sync.is_wanted());
    rig.sync_data();
    rig.end_turn();
    assert_eq!(rig.journal.status().segments, 1);
    assert_eq!(rig.journal.free.len(), 0, "no head says so yet");
    // A head that says so is written without any point.
    rig.commit();
    rig.commit();
    assert_eq!(rig.journal.free.len(), 0, "it is not synced");
    rig.sync();
    assert_eq!(rig.journal.free.len(), 3);
    assert_eq!(rig.read().values().len() as u64 % 100, 0);
    rig.oldest_unwritten = Some(rig.second());
    fill(&mut rig, 4);
    // The one that was made ahead was there before; the others are the old ones.
    assert_eq!(rig.disk.done.reserves, reserved);
    let owed = rig.read();
    assert!(owed.owed.len() > 300);
}

#[test]
fn an_unwritten_point_pins_its_segment_and_all_later_ones_until_it_is_carried() {
    let mut rig = Rig::new(config());
    fill(&mut rig, 3);
    let first = rig.journal.kept[0].last_second.unwrap();
    rig.oldest_unwritten = Some(first);
    rig.sync();
    assert!(!rig.data_sync.is_wanted());
    rig.journal.carry(SeriesId(1), &name(1), &[point(5)], 60);
    rig.oldest_unwritten = Some(rig.second());
    rig.end_turn();
    assert!(rig.data_sync.is_wanted());
    rig.sync_data();
    rig.end_turn();
    // The carried point is not on the disk yet.
    assert_eq!(rig.journal.retired, 0);
    rig.sync();
    rig.sync();
    assert_eq!(rig.journal.status().segments, 1);
    assert!(rig.read().values().contains(&5.0));
}

#[test]
fn while_earlier_epochs_owe_nothing_is_noted_as_written_and_nothing_retires() {
    let mut rig = Rig::new(config());
    rig.journal.set_earlier_owing(true);
    let mut timestamp = 0_u32;
    while rig.journal.files() <= 8 {
        for _ in 0..100 {
            timestamp = timestamp.wrapping_add(1_000_003);
            rig.point(1, timestamp);
        }
        rig.sync();
    }
    let noted = rig.journal.serial();
    rig.journal.written(SeriesId(1), &name(1), None);
    rig.oldest_unwritten = None;
    for _ in 0..3 {
        rig.sync();
        rig.sync_data();
    }
    assert_eq!(
        (
            rig.journal.retired,
            rig.journal.stats().get(Counter::JournalCarried)
        ),
        (0, 0)
    );
    assert_eq!(rig.read().owed.len() as u64, noted);
    // Senders wait at the bound, and what comes back does not: nothing retires before it is all noted.
    assert!(rig.journal.is_congested() && !rig.journal.is_congested_for_copies());
    assert_eq!(rig.journal.pressure(), Pressure::None);
    assert!(
        rig.journal.set_earlier_owing(false),
        "what was written is to be noted"
    );
    assert!(!rig.journal.set_earlier_owing(false));
    rig.journal.written(SeriesId(1), &name(1), None);
    for _ in 0..3 {
        rig.sync();
        rig.sync_data();
        rig.sync();
    }
    assert_eq!(rig.read().owed.len(), 0);
    assert_eq!(rig.journal.status().segments, 1);
    assert!(!rig.journal.is_congested());
}

#[test]
fn pressure_rises_and_points_stop_within_the_bound() {
    let mut rig = Rig::new(config());
    rig.settle();
    assert_eq!(rig.journal.pressure(), Pressure::None);
    let mut timestamp = 0_u32;
    let mut pushed = false;
    while !rig.journal.is_congested() {
        for _ in 0..100 {
            timestamp = timestamp.wrapping_add(1_000_003);
            rig.point(1, timestamp);
        }
        rig.sync();
        if let Pressure::Push(second) = rig.journal.pressure() {
            pushed = true;
            assert_eq!(Some(second), rig.journal.kept[0].last_second);
        }
    }
    assert!(pushed);
    let oldest = rig.journal.kept[0].last_second;
    assert_eq!(rig.journal.pressure(), Pressure::Full(oldest));
    assert!(!rig.journal.is_blocked(), "records still go in");
    assert_eq!(rig.journal.files(), 8);
    // What is accepted elsewhere still goes in, past the bound if need be.
    for _ in 0..4 {
        for _ in 0..300 {
            timestamp = timestamp.wrapping_add(1_000_003);
            rig.point(1, timestamp);
        }
        rig.sync();
    }
    assert!(rig.journal.files() > 8);
    assert!(rig.journal.is_congested());
    let noted = rig.journal.serial();
    assert_eq!(rig.read().owed.len() as u64, noted);
    // Once it is written, files past the bound go.
    rig.journal.written(SeriesId(1), &name(1), None);
    rig.oldest_unwritten = None;
    for _ in 0..3 {
        rig.sync();
        rig.sync_data();
        rig.sync();
    }
    assert!(!rig.journal.is_congested());
    assert_eq!(rig.journal.pressure(), Pressure::None);
    assert!(rig.journal.files() <= 8 && rig.disk.files().count() <= 8);
}

#[test]
fn names_begin_anew_when_most_of_them_are_dead_and_their_files_go() {
    let mut rig = Rig::new(config());
    rig.oldest_unwritten = None;
    // Metrics that come once: their names are all that grows.
    for round in 0..60 {
        for series in 0..20 {
            let name = format!("short.lived.{round:03}.number.{series:03}");
            rig.journal.point(SeriesId(series), || &name, point(round));
            rig.journal.written(SeriesId(series), &name, None);
            rig.journal.forget(SeriesId(series));
        }
        // One stays.
        rig.point(100, 1_000_003 * round);
        for filler in 0..100 {
            rig.point(100, filler);
        }
        rig.journal.written(SeriesId(100), &name(100), None);
        rig.sync_data();
        rig.sync();
    }
    assert!(rig.journal.ids.generation() > 0);
    assert!(
        rig.journal.status().name_segments < 6,
        "{:?}",
        rig.journal.status()
    );
    rig.point(100, 42);
    rig.commit();
    let reading = rig.read();
    assert_eq!(reading.values(), [42.0]);
    let found = reading.owed.into_values().next().unwrap();
    assert_eq!(found.name, Some(name(100)));
}

#[test]
fn a_written_entry_means_the_name_in_all_generations() {
    let mut rig = Rig::new(config());
    rig.point(1, 100);
    rig.point(2, 101);
    rig.sync();
    rig.journal.begin_generation();
    rig.journal.make_next(Kind::Names, true);
    rig.settle();
    let generation = rig.journal.ids.generation();
    rig.journal.rotate(Kind::Names, generation);
    rig.journal.written(SeriesId(1), &name(1), None);
    rig.sync();
    assert_eq!(rig.read().values(), [101.0]);
}

#[test]
fn heads_say_which_epochs_are_done() {
    let mut rig = Rig::new(config());
    rig.point(1, 100);
    rig.commit();
    assert_eq!(rig.read().epochs_done, 0);
    rig.journal.seal_epochs_done(7);
    rig.commit();
    rig.commit();
    assert_eq!(rig.read().epochs_done, 7);
}

#[test]
fn a_stop_writes_and_syncs_what_there_is() {
    let mut rig = Rig::new(config());
    rig.settle();
    rig.point(1, 100);
    rig.journal.stop();
    assert!(!rig.journal.is_quiet());
    rig.settle();
    assert!(rig.journal.is_quiet());
    assert_eq!(rig.journal.synced_serial(), 1);
    assert_eq!(rig.read().values(), [100.0]);
}

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

/// Ends turns until a file is being made, of which the journal hears that it cannot be.
fn refuse_segment(rig: &mut Rig, errno: i32) {
    rig.end_turn();
    let is_reserve = |op: &&FileOperation| matches!(op, FileOperation::Reserve { .. });
    while rig.disk.waiting() > 0 {
        let refused = rig.disk.waits().iter().position(is_reserve);
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

/// Points until the buffers are full, as there is no descriptor for the next segment.
fn fill_for_want_of_a_descriptor(rig: &mut Rig) {
    lose_the_next_segment(rig, EMFILE);
    while !rig.journal.is_blocked() {
        points(rig);
        rig.pass_ms(10);
        refuse_segment(rig, EMFILE);
    }
}

/// Until it is made senders wait, and nothing is missed.
#[test]
fn a_segment_that_lacks_a_descriptor_is_waited_for() {
    let mut rig = Rig::new(config());
    rig.settle();
    fill_for_want_of_a_descriptor(&mut rig);
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

/// It is tried once more, and then is no segment for this run.
#[test]
fn a_stop_waits_for_no_descriptor() {
    for is_there in [true, false] {
        let mut rig = Rig::new(config());
        rig.settle();
        fill_for_want_of_a_descriptor(&mut rig);
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
#[should_panic(expected = "the clock went back")]
fn time_does_not_go_back() {
    let mut rig = Rig::new(config());
    rig.pass_ms(2000);
    rig.journal.begin_turn(rig.started, START_SECOND);
}

#[test]
#[should_panic(expected = "bytes of entries wait")]
fn whoever_does_not_heed_congestion_is_stopped() {
    let mut rig = Rig::new(config());
    for timestamp in 0..700_000 {
        rig.point(1, timestamp * 4099);
    }
    rig.end_turn();
}

#[test]
fn a_sync_is_in_time_however_long_points_may_wait_to_be_written() {
    let mut rig = Rig::new(JournalConfig {
        commit: Duration::from_secs(20),
        ..config()
    });
    rig.settle();
    rig.point(1, 100);
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig.journal.synced_serial(), 1);
}

#[test]
fn with_always_who_waits_for_a_point_does_not_wait_for_commit() {
    let mut rig = Rig::new(JournalConfig {
        commit: Duration::from_secs(20),
        sync: Sync::Always,
        ..config()
    });
    rig.settle();
    rig.point(1, 100);
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig.journal.synced_serial(), 0, "nobody waits");
    rig.journal.hurry();
    rig.settle();
    assert_eq!(rig.journal.synced_serial(), 1);
    rig.point(1, 101);
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig.journal.synced_serial(), 1, "nobody waits any more");
}

#[test]
fn who_waits_for_a_sync_does_not_wait_until_it_is_due() {
    let mut rig = Rig::new(JournalConfig {
        commit: Duration::from_secs(20),
        sync: Sync::Every(Duration::from_secs(600)),
        ..config()
    });
    rig.settle();
    rig.point(1, 100);
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig.journal.committed_serial(), 0, "nobody waits");
    rig.journal.hurry();
    rig.settle();
    assert_eq!(rig.journal.synced_serial(), 1);
    // Nor does who waits for the end of earlier epochs.
    rig.journal.seal_epochs_done(7);
    rig.settle();
    assert!(!rig.journal.has_sealed_epochs());
    rig.commit();
    assert!(rig.journal.has_sealed_epochs());
    rig.point(1, 101);
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig.journal.committed_serial(), 1, "nobody waits any more");
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
