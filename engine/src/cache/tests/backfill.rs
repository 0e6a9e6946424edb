//! Backfills, which the order `deadline` does not hold: written once their sender has stopped, not
//! before, and nobody else for it.

use super::deadline::{Clocked, HOLD_S, cache};
use super::*;
use crate::limits::{BACKFILL_HOLDS, BACKFILL_POINTS_MIN, BACKFILL_QUIET_S};

/// What span of points, in seconds, makes a backfill.
const SPAN_S: u32 = HOLD_S * BACKFILL_HOLDS;

/// So many points, which span as much as a backfill does.
fn spanning(points: u32) -> Vec<u32> {
    (0..points)
        .map(|number| 500 + number * SPAN_S / (points - 1))
        .collect()
}

#[test]
fn a_backfill_is_written_once_its_sender_has_stopped() {
    let points = BACKFILL_POINTS_MIN;
    let mut clocked = Clocked::new();
    clocked.at(100.0);
    let backfill = clocked.put("backfill", &spanning(points));
    let few = clocked.put("few", &spanning(points - 1));
    let short = clocked.put("short", &(500..500 + SPAN_S).collect::<Vec<u32>>());
    let goes_on = clocked.put("goes on", &spanning(points));
    let mut written = Vec::new();
    for second in 101..115_u32 {
        if second < 108 {
            clocked.put("goes on", &[600 + second]);
        }
        written.extend(clocked.run(f64::from(second)));
    }
    let quiet = Duration::from_secs(BACKFILL_QUIET_S.into());
    let seen: Vec<_> = written.iter().map(|(id, _)| *id).collect();
    assert_eq!(seen, [backfill, goes_on], "neither {few:?} nor {short:?}");
    assert_eq!(written[0].1, Duration::from_secs(100) + quiet);
    assert_eq!(written[1].1, Duration::from_secs(109) + quiet);
    // It is as any other from then on.
    clocked.put("backfill", &[900]);
    clocked.run(129.0);
    assert_eq!(clocked.cache.len(backfill), 1);
    assert_eq!(clocked.cache.late_s(backfill), 0);
}

#[test]
fn a_backfill_that_the_limiter_holds_up_counts_as_late() {
    let mut clocked = Clocked::new();
    clocked.at(100.0);
    let id = clocked.put("a", &spanning(20));
    clocked.at(110.0);
    assert_eq!(clocked.cache.next(Volume::FIRST, 0), Some(id));
    assert_eq!(clocked.cache.late_s(id), 0);
    clocked.at(125.0);
    assert_eq!(clocked.cache.late_s(id), 5);
}

#[test]
fn in_the_order_of_the_disk_a_backfill_is_held() {
    let mut clocked = Clocked::in_disk_order();
    clocked.at(100.0);
    let id = clocked.put("a", &spanning(20));
    assert_eq!(clocked.run(115.0), []);
    assert_eq!(clocked.cache.len(id), 20);
}

/// Looks at series that have gone, or have other points by now, find nothing.
#[test]
fn who_was_written_since_is_no_backfill() {
    let mut clocked = Clocked::new();
    clocked.at(100.0);
    let id = clocked.put("a", &spanning(20));
    clocked.cache.set_rushed(true);
    assert_eq!(clocked.write_due(), [id]);
    clocked.cache.set_rushed(false);
    clocked.put("a", &(900..920).collect::<Vec<u32>>());
    assert_eq!(clocked.run(110.0), []);
    let gone = clocked.put("b", &spanning(20));
    clocked.cache.set_rushed(true);
    clocked.write_due();
    clocked.at(120.0);
    clocked.cache.expire(clocked.instant());
    clocked.cache.forget_idle(u64::MAX);
    assert!(clocked.cache.find("b").is_none(), "{gone:?}");
    clocked.at(130.0);
}

/// What is held longer there, in the order of the disk, is none here.
#[test]
fn a_disk_with_heads_beside_it_leaves_flash_its_backfills() {
    let flash = Volume(1);
    let mut both = cache(true);
    both.add_volume(HOLD_S / 2, false);
    let mut clocked = Clocked::of(both);
    clocked.at(100.0);
    let points: Vec<u32> = spanning(20)
        .iter()
        .map(|second| 500 + (second - 500) / 2)
        .collect();
    let [here, there] = [("here", flash), ("there", Volume::FIRST)].map(|(name, volume)| {
        let id = put(&mut clocked.cache, name, points[0]);
        clocked.cache.set_volume(id, volume);
        clocked.put(name, &points[1..])
    });
    clocked.at(102.9);
    assert_eq!(clocked.cache.next(flash, 0), None);
    clocked.at(103.0);
    assert_eq!(clocked.cache.next(flash, 0), Some(here));
    assert_eq!(clocked.cache.next(Volume::FIRST, 0), None, "{there:?}");
}
