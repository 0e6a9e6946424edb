//! A year of one metric that is sent at once, each point alone in its file, through a real ring.

use super::*;
use crate::limits::{UPDATE_POINTS_MAX, UPDATE_READ_BYTES_MAX};
use crate::ring::{ByteRange, Driver, Event, FileOperation, Ring, RingConfig};
use crate::whisper::{Image, Late, Plan, Planner, late};

const POINTS: u32 = 262_800;
const SPACING_S: u32 = 120;

/// A shard whose files lie in a directory of the machine, by these schemas.
fn world(directory: &Path, retentions: &str) -> World {
    let schemas = format!("[all]\npattern = .*\nretentions = {retentions}\n");
    let schemas = Arc::new(Schemas::parse(&schemas).unwrap().0);
    World::changed((1, None, 1 << 30), |config| {
        config.writer = WriterConfig {
            schemas: Arc::clone(&schemas),
            ..WriterConfig::new(directory)
        };
        config.cache.recent_bytes_max = 1 << 26;
    })
}

fn year(world: &World) -> impl Iterator<Item = Point> {
    let first = world.now.unix_seconds - POINTS * SPACING_S + 60;
    (0..POINTS).map(move |number| Point {
        timestamp: first + number * SPACING_S,
        value: f64::from(number),
    })
}

impl World {
    /// Turns, with the ring's own clock and disk, until all is written.
    fn write_out(&mut self, driver: Driver) {
        let mut ring = Ring::new(RingConfig {
            driver,
            ..RingConfig::default()
        })
        .unwrap();
        let mut out = self.held.len();
        for (_, token, operation) in self.held.drain(..) {
            ring.file(token, operation);
        }
        while out > 0 || self.shards[0].report().usage.points > 0 {
            self.now.instant = clock::now().instant;
            self.shards[0].begin_turn(self.now);
            while let Some(event) = ring.next_event() {
                if let Event::File { token, result } = event {
                    self.shards[0].complete(token, result);
                    out -= 1;
                }
            }
            self.shards[0].end_turn();
            while let Some((token, operation)) = self.shards[0].next_operation() {
                if let FileOperation::Open { ranges, .. } | FileOperation::Read { ranges, .. } =
                    &operation
                {
                    let windows = 2 * 4320;
                    assert!(ByteRange::total(ranges) <= UPDATE_READ_BYTES_MAX + windows);
                }
                ring.file(token, operation);
                out += 1;
            }
            ring.turn(Some(Duration::from_millis(5)));
        }
        self.check_accounts(0);
        assert_eq!(self.count(Counter::Errors), 0);
    }
}

/// What one update with all of the points leaves of a file.
fn updated(mut bytes: Vec<u8>, points: &[Point], now: u32, is_late: bool) -> Vec<u8> {
    let header = Header::parse(&bytes).unwrap();
    let mut image = Image::new();
    let at = |range: &ByteRange| {
        let from = usize::try_from(range.offset).unwrap();
        from..from + range.len as usize
    };
    loop {
        let found = if is_late {
            late(&header, points, now, &image)
        } else {
            Late::Write(points.to_vec())
        };
        let planned = match found {
            Late::Write(points) => Planner::default()
                .plan_some(&header, (&points, is_late), now, &image)
                .unwrap(),
            Late::Need(needs) => Plan::Need(needs),
        };
        match planned {
            Plan::Need(needs) => {
                let read = needs
                    .iter()
                    .map(|range| (*range, bytes[at(range)].to_vec()));
                image.add_all(read);
            }
            Plan::Write { pieces, .. } => {
                for piece in pieces {
                    let from = usize::try_from(piece.offset).unwrap();
                    bytes[from..from + piece.bytes.len()].copy_from_slice(&piece.bytes);
                }
                return bytes;
            }
        }
    }
}

/// An empty file of these archives.
fn empty(archives: &[(u32, u32)]) -> Vec<u8> {
    let retention = |&(step_s, points): &(u32, u32)| crate::whisper::Retention { step_s, points };
    let archives: Vec<_> = archives.iter().map(retention).collect();
    let header = Header::new(&archives, 0.5, Aggregation::Average).unwrap();
    let mut bytes = header.encode();
    bytes.resize(usize::try_from(header.file_bytes()).unwrap(), 0);
    bytes
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap()
}

/// Sends a year, queries it, has it written, and compares with what one update leaves.
fn check(driver: Driver, retentions: &str, archives: &[(u32, u32)]) {
    let directory = directory();
    let mut world = world(directory.path(), retentions);
    let points: Vec<Point> = year(&world).collect();
    for point in &points {
        world.take("a", *point);
    }
    assert!(world.query("a") == points);
    world.write_out(driver);
    let written = std::fs::read(directory.path().join("a.wsp")).unwrap();
    let expected = updated(empty(archives), &points, world.now.unix_seconds, false);
    assert!(same(&written, &expected), "{driver:?} {retentions}");
    assert_eq!(world.count(Counter::Committed), u64::from(POINTS));
    let updates = world.count(Counter::Updates);
    let least = u64::from(POINTS / UPDATE_POINTS_MAX);
    assert!((least..3 * least).contains(&updates), "{updates}");
}

#[test]
fn a_year_of_points_that_lie_apart_is_written_as_by_one_update() {
    check(Driver::Uring, "60s:1y", &[(60, 525_600)]);
}

#[test]
fn the_same_by_system_calls() {
    check(Driver::UringSync, "60s:1y", &[(60, 525_600)]);
}

#[test]
fn the_same_with_a_coarser_archive_behind_each_of_them() {
    let archives = [(60, 525_600), (3600, 17_520)];
    check(Driver::Uring, "60s:1y,1h:2y", &archives);
}

#[test]
fn the_same_with_a_coarser_archive_for_most_of_them() {
    let archives = [(60, 43_200), (600, 52_560)];
    check(Driver::PollSync, "60s:30d,10m:1y", &archives);
}

/// Do two files hold the same, wherever their archives begin?
fn same(one: &[u8], other: &[u8]) -> bool {
    let points = |bytes: &[u8]| -> Vec<Vec<Point>> {
        let header = Header::parse(bytes).unwrap();
        let archive = |archive| {
            let mut points =
                archive_points(archive, &bytes[usize::try_from(archive.offset).unwrap()..]);
            points.sort_by_key(|point| point.timestamp);
            points
        };
        header.archives.iter().map(archive).collect()
    };
    points(one) == points(other)
}

#[test]
fn a_year_that_came_back_late_is_written_as_by_one_update() {
    for is_reversed in [false, true] {
        let directory = directory();
        let mut world = world(directory.path(), "60s:30d,10m:1y");
        let now = world.now.unix_seconds;
        let mut points: Vec<Point> = year(&world).collect();
        // The file has aggregates of some of the time, from hours on and for hours.
        let earlier: Vec<Point> = (points.iter())
            .filter(|point| point.timestamp / 7000 % 3 == 0 && point.timestamp < now - 31 * 86_400)
            .map(|point| Point {
                value: -1.0,
                ..*point
            })
            .collect();
        let file = updated(empty(&[(60, 43_200), (600, 52_560)]), &earlier, now, false);
        std::fs::write(directory.path().join("a.wsp"), &file).unwrap();
        let expected = updated(file, &points, now, true);
        if is_reversed {
            points.reverse();
        }
        for point in &points {
            assert!(world.shards[0].ledger.reserve_recalled());
            world.shards[0].ledger.recall("a", *point, 0);
        }
        world.write_out(Driver::Uring);
        let written = std::fs::read(directory.path().join("a.wsp")).unwrap();
        assert!(same(&written, &expected));
        let spared = world.count(Counter::Superseded);
        assert!(spared > u64::from(POINTS / 5), "{spared} were spared");
    }
}

#[test]
fn points_of_which_each_reads_a_window_are_written_as_by_one_update() {
    for (is_late, driver) in [
        (false, Driver::Uring),
        (true, Driver::Uring),
        (false, Driver::PollSync),
    ] {
        let directory = directory();
        let mut world = world(directory.path(), "10s:1y,1h:2y");
        let now = world.now.unix_seconds;
        let archives = [(10, 3_153_600), (3600, 17_520)];
        let hour = |number: u32| Point {
            timestamp: now - (8000 - number) * 3600,
            value: f64::from(number),
        };
        let points: Vec<Point> = (1..8000).map(hour).collect();
        // The archives have begun: else there is nothing to be read.
        let file = updated(empty(&archives), &[hour(0)], now, false);
        std::fs::write(directory.path().join("a.wsp"), &file).unwrap();
        let expected = updated(file, &points, now, is_late);
        for point in &points {
            if is_late {
                assert!(world.shards[0].ledger.reserve_recalled());
                world.shards[0].ledger.recall("a", *point, 0);
            } else {
                world.take("a", *point);
            }
        }
        world.write_out(driver);
        let written = std::fs::read(directory.path().join("a.wsp")).unwrap();
        assert!(same(&written, &expected), "{is_late} {driver:?}");
        // 4,320 bytes each.
        let least = 8000 * 4320 / UPDATE_READ_BYTES_MAX;
        let updates = world.count(Counter::Updates);
        assert!((least..least * 2).contains(&updates), "{updates}");
    }
}
