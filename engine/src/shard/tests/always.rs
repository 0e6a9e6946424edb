//! JOURNAL_SYNC = always: neither a query nor a file shows a point that a power cut could take.

use super::*;
use crate::journal::{JournalConfig, Sync};
use crate::limits::CREATES_IN_FLIGHT_MAX;
use crate::shard::keep::Asker;

const FILE: &str = "/data/a/b.wsp";

fn world() -> World {
    let mut world = World::changed((1, None, 1 << 30), |config| {
        config.journal = Some(JournalConfig {
            shard: 0,
            segment_bytes: 64 << 10,
            sync: Sync::Always,
            ..crate::journal::tests::config()
        });
    });
    world.settle();
    world
}

/// The data's disk answers at once, that of the journal not at all, for so long.
fn only_data(world: &mut World, seconds: u64) {
    for _ in 0..seconds {
        world.settle_disk(|asker| asker == Asker::Writer);
        world.later(1);
    }
}

#[test]
fn no_file_shows_what_the_journal_s_disk_does_not_have() {
    let mut world = world();
    for (age, in_file) in [(9, 0), (8, 1), (7, 2)] {
        let point = world.point(age, 1.5);
        world.take("a.b", point);
        only_data(&mut world, 3);
        assert_eq!(world.disk.points(FILE).len(), in_file);
        world.hold = false;
        world.settle();
        assert_eq!(world.disk.points(FILE).len(), in_file + 1);
    }
}

/// A create is slow by its own disk, not by the journal's: one slow sync did not leave two at a time.
#[test]
fn what_waits_for_the_journal_is_no_slow_create() {
    let mut world = world();
    let point = world.point(9, 1.5);
    world.take("a.b", point);
    only_data(&mut world, 1);
    world.hold = false;
    world.settle();
    assert_eq!(world.disk.points(FILE), [point]);
    for number in 0..40 {
        world.take(&format!("a.new{number}"), point);
    }
    only_data(&mut world, 1);
    world.settle_journal();
    let is_create = |operation: &FileOperation| matches!(operation, FileOperation::Create { .. });
    let creates = world.held.iter().filter(|(_, _, it)| is_create(it));
    assert_eq!(creates.count(), CREATES_IN_FLIGHT_MAX);
}

#[test]
fn a_journal_that_has_failed_holds_nothing_back() {
    let mut world = world();
    let point = world.point(9, 1.5);
    world.take("a.b", point);
    only_data(&mut world, 3);
    assert_eq!(world.disk.points(FILE), []);
    world.disk.failing.push((Stage::Write, EIO));
    world.settle_journal();
    world.disk.failing.pop();
    only_data(&mut world, 3);
    assert_eq!(world.disk.points(FILE), [point]);
}
