//! The order of the disk: who is next, and that a pass keeps the promise of `deadline`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::deadline::{Clocked, HOLD_S, LATE_S};
use super::*;
use crate::limits::SWEEP_STEP_SERIES;

/// As many series, whose files lie so.
fn put(clocked: &mut Clocked, locations: &[u32]) -> Vec<SeriesId> {
    let put = |(number, location): (usize, &u32)| {
        let id = clocked.put(&format!("m{number}"), &[1000]);
        clocked.cache.set_location(id, *location);
        id
    };
    locations.iter().enumerate().map(put).collect()
}

/// Makes due what may be, and writes it.
fn write_due(clocked: &mut Clocked, at: f64) -> Vec<SeriesId> {
    clocked.at(at);
    clocked.write_due()
}

#[test]
fn what_is_due_is_written_in_the_order_of_the_disk() {
    for is_drain in [false, true] {
        let mut clocked = Clocked::in_disk_order();
        clocked.at(10.0);
        let ids = put(&mut clocked, &[50, 0, 30, 70, 30]);
        assert_eq!(clocked.cache.next(Volume::FIRST, 0), None, "held");
        if is_drain {
            clocked.cache.drain();
        } else {
            clocked.cache.set_rushed(true);
        }
        let now = clocked.instant();
        assert_eq!(
            clocked.cache.next_due(Volume::FIRST, now),
            Some(now),
            "a turn makes them due"
        );
        clocked.at(10.0);
        assert_eq!(clocked.cache.due(Volume::FIRST), 5);
        let written = clocked.write_due();
        assert_eq!(written, [1, 2, 4, 0, 3].map(|number| ids[number]));
        assert!(clocked.cache.is_empty());
    }
}

#[test]
fn who_becomes_due_behind_the_head_waits_for_the_next_pass() {
    let mut clocked = Clocked::in_disk_order();
    clocked.cache.drain();
    clocked.at(1.0);
    let ids = put(&mut clocked, &[10, 20, 30, 40]);
    let next = |clocked: &mut Clocked| {
        clocked.at(1.0);
        let id = clocked.cache.next(Volume::FIRST, 0)?;
        let mut out = Vec::new();
        clocked.cache.take_whole(id, None, 0, &mut out);
        Some(id)
    };
    assert_eq!(next(&mut clocked), Some(ids[0]));
    assert_eq!(next(&mut clocked), Some(ids[1]));
    let behind = clocked.put("behind", &[1000]);
    clocked.cache.set_location(behind, 15);
    clocked.at(1.0);
    let ahead = clocked.put("ahead", &[1000]);
    clocked.cache.set_location(ahead, 35);
    let rest: Vec<_> = std::iter::from_fn(|| next(&mut clocked)).collect();
    assert_eq!(rest, [ids[2], ahead, ids[3], behind]);
}

#[test]
fn who_may_not_wait_is_written_before_and_does_not_hurry_the_others() {
    let mut clocked = Clocked::in_disk_order();
    clocked.at(10.0);
    put(&mut clocked, &[1, 2, 3]);
    let new = clocked.put("new", &[1]);
    clocked.cache.set_location(new, 9);
    clocked.cache.hurry(new);
    let at_once = super::put(&mut clocked.cache, "at once", 1);
    clocked.cache.set_hold(at_once, 0);
    clocked.cache.set_location(at_once, 8);
    stand(&mut clocked.cache, at_once, Standing::Writable);
    assert_eq!(write_due(&mut clocked, 11.0), [new, at_once]);
}

/// What is written where thirty updates a second are granted, and others come at a hundred a second.
fn more_than_the_disk_takes(come: impl Fn(&mut Clocked, u32, u32)) {
    let mut clocked = Clocked::in_disk_order();
    clocked.at(1.0);
    let held = put(&mut clocked, &(0..50).collect::<Vec<_>>());
    let mut written = Vec::new();
    for second in 1..60_u32 {
        clocked.at(f64::from(second));
        for number in 0..100 {
            come(&mut clocked, second, number);
        }
        for _ in 0..30 {
            let id = clocked.cache.next(Volume::FIRST, 0).unwrap();
            clocked.cache.take_whole(id, None, 0, &mut Vec::new());
            let now = clocked.instant();
            clocked.cache.written(id, now);
            written.push((id, second));
        }
    }
    let others = written.iter().filter(|(id, _)| held.contains(id));
    let last = others.clone().map(|(_, second)| *second).max();
    assert_eq!(others.count(), held.len());
    // 50 at 15 a second, from when the first is late.
    assert!(last.is_some_and(|second| second <= LATE_S + 6), "{last:?}");
}

#[test]
fn more_than_the_disk_takes_of_those_who_may_not_wait_leaves_a_half_for_the_others() {
    more_than_the_disk_takes(|clocked, second, number| {
        let id = super::put(&mut clocked.cache, &format!("at once {number}"), second);
        if clocked.cache.standing(id) != Standing::Writable {
            clocked.cache.set_hold(id, 0);
            stand(&mut clocked.cache, id, Standing::Writable);
        }
    });
}

#[test]
fn more_new_files_than_the_disk_takes_leave_a_half_for_the_others() {
    more_than_the_disk_takes(|clocked, second, number| {
        let name = format!("new {second} {number}");
        let id = super::put(&mut clocked.cache, &name, second);
        stand(&mut clocked.cache, id, Standing::Writable);
        clocked.cache.hurry(id);
    });
}

#[test]
fn a_burst_is_spread_over_the_window_and_lies_in_order() {
    let mut clocked = Clocked::in_disk_order();
    clocked.at(50.0);
    let count = 3_000;
    let locations: Vec<u32> = (0..count).map(|number| number * 7919 % count).collect();
    put(&mut clocked, &locations);
    let log = clocked.run(75.0);
    let written: Vec<_> = log.iter().map(|(id, _)| locations[id.0 as usize]).collect();
    assert_eq!(written, (0..count).collect::<Vec<_>>());
    let (first, last) = (log[0].1.as_secs_f64(), log[2_999].1.as_secs_f64());
    assert!((66.0..66.2).contains(&first), "{first}");
    assert!((68.0..=69.1).contains(&last), "{last}");
    for tenth in 660..690 {
        let begin = Duration::from_millis(tenth * 100);
        let end = begin + Duration::from_millis(100);
        let count = log.iter().filter(|(_, at)| (begin..end).contains(at));
        assert!(count.count() <= 200, "the tenth of a second at {begin:?}");
    }
}

#[test]
fn more_than_become_due_in_a_turn_are_due_after_some() {
    let mut clocked = Clocked::in_disk_order();
    clocked.at(1.0);
    let count = u32::try_from(SWEEP_STEP_SERIES).unwrap() * 2 + 9;
    put(&mut clocked, &(0..count).rev().collect::<Vec<_>>());
    clocked.cache.drain();
    let written: Vec<usize> = (0..4).map(|_| write_due(&mut clocked, 1.0).len()).collect();
    assert_eq!(written, [SWEEP_STEP_SERIES, SWEEP_STEP_SERIES, 9, 0]);
}

#[test]
fn a_stream_settles_within_the_window_in_passes_that_are_long() {
    let mut clocked = Clocked::in_disk_order();
    let (mut late, mut passes, mut head, mut written) = (Duration::ZERO, 0, 0, 0);
    let mut received = BTreeMap::new();
    let series = 2_000_u32;
    for second in 1..200_u32 {
        clocked.at(f64::from(second));
        for number in 0..100 {
            let number = (second * 100 + number) * 7 % series;
            let id = clocked.put(&format!("m{number}"), &[second]);
            clocked.cache.set_location(id, 1 + number * 7919 % series);
            received.entry(id).or_insert(second);
        }
        for (id, age) in clocked.ages(f64::from(second) + 0.999, &mut received) {
            late = late.max(age);
            let location = clocked.cache.location(id).unwrap();
            if second > 100 {
                written += 1;
                passes += u32::from(location < head);
            }
            head = location;
        }
    }
    let bound = Duration::from_secs(u64::from(LATE_S)) + Duration::from_millis(100);
    assert!(late <= bound, "{late:?}");
    // Of 3 seconds of window a pass takes half: 60 passes or so in 100 s, not one a series.
    assert!(written > 4_000, "{written}");
    assert!((20..100).contains(&passes), "{passes} of {written}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Series come, leave from wherever they are and come back; nobody is lost or chosen twice.
    #[test]
    fn nobody_is_lost(
        steps in prop::collection::vec((0..40_u32, 0..50_u32, 0..5_u8), 1..300),
    ) {
        let mut clocked = Clocked::in_disk_order();
        let mut ready: BTreeMap<SeriesId, u32> = BTreeMap::new();
        let mut second = 1;
        for (number, location, step) in steps {
            clocked.at(f64::from(second));
            match step {
                0 | 1 => {
                    let id = clocked.put(&format!("m{number}"), &[second]);
                    if clocked.cache.standing(id) == Standing::Parked {
                        stand(&mut clocked.cache, id, Standing::Writable);
                    }
                    clocked.cache.set_location(id, location);
                    ready.insert(id, second);
                }
                2 => {
                    let id = clocked.cache.find(&format!("m{number}"));
                    if let Some(id) = id.filter(|id| ready.contains_key(id)) {
                        stand(&mut clocked.cache, id, Standing::Parked);
                        ready.remove(&id);
                    }
                }
                3 => {
                    if let Some(id) = clocked.cache.next(Volume::FIRST, 0) {
                        prop_assert!(ready.remove(&id).is_some());
                        let mut out = Vec::new();
                        clocked.cache.take_whole(id, None, 0, &mut out);
                        let now = clocked.instant();
                        clocked.cache.written(id, now);
                    }
                }
                _ => second += location % HOLD_S,
            }
        }
        clocked.cache.drain();
        let written = write_due(&mut clocked, f64::from(second));
        prop_assert_eq!(written.len(), ready.len());
        prop_assert!(written.iter().all(|id| ready.contains_key(id)));
    }
}
