//! Each promise of the journal by itself. Long, for each is a few lines that stand alone.

use std::time::Duration;

use super::{Rig, START_SECOND, config, fill, name, point};
use crate::cache::SeriesId;
use crate::journal::block::Kind;
use crate::journal::entry::CUT_NONE;
use crate::journal::{JournalConfig, Part, Pressure, Sync};
use crate::ring::FileOperation;
use crate::stats::Counter;

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
fn where_segments_are_short_those_that_owe_nothing_go_without_waiting_for_the_time_of_a_sync() {
    let hours = Duration::from_secs(3600);
    let mut rig = Rig::new(JournalConfig {
        sync: Sync::Every(hours),
        ..config()
    });
    rig.settle();
    let mut timestamp = 0_u32;
    while !rig.journal.is_congested() {
        for _ in 0..100 {
            timestamp = timestamp.wrapping_add(1_000_003);
            rig.point(1, timestamp);
        }
        rig.commit();
    }
    rig.pass_ms(1000);
    rig.journal.written(SeriesId(1), &name(1), None);
    rig.oldest_unwritten = None;
    for _ in 0..20 {
        rig.commit();
        rig.sync_data();
    }
    assert!(!rig.journal.is_congested());
    let committed = rig.journal.committed_serial();
    rig.point(1, timestamp.wrapping_add(1_000_003));
    rig.commit();
    assert!(rig.journal.committed_serial() > committed);
    assert_eq!(
        rig.journal.synced_serial(),
        committed,
        "what is new waits for its time"
    );
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
