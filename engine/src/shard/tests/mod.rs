//! Shards on a disk of vectors: what becomes of points, whatever the disk answers.
//! `World` carries operations out at once or keeps them, lets them fail, moves the clock by hand,
//! and checks the accounts after every turn.

mod adopted;
mod always;
mod broken;
mod carried;
mod firsts;
mod held;
mod judged;
mod limits;
mod questions;
mod recalled;
mod routes;
mod stops;
mod unread;
mod year;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::cache::Strategy;
use crate::clock;
use crate::limiter::Budget;
use crate::limits::DRAIN_ATTEMPTS_MAX;
use crate::point::Point;
use crate::ring::{ByteRange, FileLook, Piece, Stage, VisitId};
use crate::schemas::{Aggregations, Schemas};
use crate::whisper::{Aggregation, Header, archive_points};

const EIO: i32 = 5;
const ENOENT: i32 = 2;
const EEXIST: i32 = 17;
const ENOSPC: i32 = 28;
const ENODATA: i32 = 61;
const ESTALE: i32 = 116;

/// Files by path, and what is to go wrong.
#[derive(Default)]
struct Disk {
    files: BTreeMap<PathBuf, Vec<u8>>,
    visits: Vec<PathBuf>,
    /// When a file was last changed from outside; 0 where it is not here.
    changed: BTreeMap<PathBuf, i64>,
    /// Stages that fail, with their errno.
    failing: Vec<(Stage, i32)>,
}

impl Disk {
    fn check(&self, stage: Stage) -> Result<(), FileError> {
        let failing = self.failing.iter().find(|(failing, _)| *failing == stage);
        failing.map_or(Ok(()), |(stage, errno)| {
            Err(FileError {
                stage: *stage,
                errno: *errno,
            })
        })
    }

    fn ranges(&self, visit: VisitId, ranges: &[ByteRange]) -> Vec<Piece> {
        let bytes = &self.files[&self.visits[visit.slot as usize]];
        let read = |range: &ByteRange| {
            let start = usize::try_from(range.offset).unwrap().min(bytes.len());
            let end = (start + range.len as usize).min(bytes.len());
            Piece {
                offset: range.offset,
                bytes: bytes[start..end].to_vec(),
            }
        };
        ranges.iter().map(read).collect()
    }

    fn carry_out(&mut self, operation: FileOperation) -> Result<FileOutcome, FileError> {
        match operation {
            FileOperation::Probe { path } => {
                self.check(Stage::Probe)?;
                Ok(FileOutcome::Probed(self.files.contains_key(&path)))
            }
            FileOperation::Locate { path } => {
                self.check(Stage::Probe)?;
                let location = self.files.get(&path).map(|_| 1);
                Ok(FileOutcome::Located(location))
            }
            FileOperation::Open { path, ranges, .. } => {
                self.check(Stage::Open)?;
                if !self.files.contains_key(&path) {
                    return Err(FileError {
                        stage: Stage::Open,
                        errno: ENOENT,
                    });
                }
                self.check(Stage::Read)?;
                let visit = self.visit(path);
                let pieces = self.ranges(visit, &ranges);
                Ok(FileOutcome::Opened { visit, pieces })
            }
            FileOperation::Read { visit, ranges } => {
                self.check(Stage::Read)?;
                Ok(FileOutcome::Read(self.ranges(visit, &ranges)))
            }
            FileOperation::Write { visit, pieces, .. } => {
                self.check(Stage::Write)?;
                self.write(visit, &pieces)
            }
            FileOperation::Close { .. } => Ok(FileOutcome::Closed),
            FileOperation::Reserve { .. }
            | FileOperation::Append { .. }
            | FileOperation::Sync { .. }
            | FileOperation::Remove { .. } => self.carry_out_segment(operation),
            FileOperation::Look { path } => {
                self.check(Stage::Look)?;
                Ok(FileOutcome::Looked(self.look(&path)))
            }
            FileOperation::SetAside { path, aside, look } => {
                self.check(Stage::SetAside)?;
                self.set_aside(&path, aside, look)
            }
            FileOperation::Adopt { path, old } => {
                self.check(Stage::Adopt)?;
                if let Some(bytes) = self.files.remove(&old) {
                    assert_eq!(self.files.insert(path.clone(), bytes), None);
                }
                Ok(FileOutcome::Adopted(self.files.contains_key(&path)))
            }
            FileOperation::Create {
                path,
                mut head,
                file_bytes,
                ..
            } => {
                self.check(Stage::Create)?;
                if self.files.contains_key(&path) {
                    return Err(FileError {
                        stage: Stage::Publish,
                        errno: EEXIST,
                    });
                }
                head.resize(usize::try_from(file_bytes).unwrap(), 0);
                self.files.insert(path, head);
                Ok(FileOutcome::Created)
            }
        }
    }

    fn carry_out_segment(&mut self, operation: FileOperation) -> Result<FileOutcome, FileError> {
        match operation {
            FileOperation::Reserve { path, bytes } => {
                self.check(Stage::Create)?;
                if self.files.contains_key(&path) {
                    return Err(FileError {
                        stage: Stage::Create,
                        errno: EEXIST,
                    });
                }
                let bytes = vec![0; usize::try_from(bytes).unwrap()];
                self.files.insert(path.clone(), bytes);
                Ok(FileOutcome::Opened {
                    visit: self.visit(path),
                    pieces: Vec::new(),
                })
            }
            FileOperation::Append { visit, piece, .. } => {
                self.check(Stage::Write)?;
                Ok(FileOutcome::Appended(self.append(visit, piece)))
            }
            FileOperation::Sync { .. } => {
                self.check(Stage::Sync)?;
                Ok(FileOutcome::Synced)
            }
            FileOperation::Remove { path } => {
                self.check(Stage::Remove)?;
                assert!(self.files.remove(&path).is_some(), "no {path:?} to remove");
                Ok(FileOutcome::Removed)
            }
            FileOperation::Probe { .. }
            | FileOperation::Locate { .. }
            | FileOperation::Open { .. }
            | FileOperation::Read { .. }
            | FileOperation::Write { .. }
            | FileOperation::Close { .. }
            | FileOperation::Look { .. }
            | FileOperation::SetAside { .. }
            | FileOperation::Adopt { .. }
            | FileOperation::Create { .. } => unreachable!("{operation:?} is of no segment"),
        }
    }

    fn visit(&mut self, path: PathBuf) -> VisitId {
        let slot = u32::try_from(self.visits.len()).unwrap();
        self.visits.push(path);
        VisitId {
            slot,
            generation: 0,
        }
    }

    /// Writes a piece of a file that may get longer.
    fn append(&mut self, visit: VisitId, piece: Piece) -> Vec<u8> {
        let path = &self.visits[visit.slot as usize];
        let bytes = self.files.get_mut(path).unwrap();
        let from = usize::try_from(piece.offset).unwrap();
        let end = from + piece.bytes.len();
        bytes.resize(bytes.len().max(end), 0);
        bytes[from..end].copy_from_slice(&piece.bytes);
        piece.bytes
    }

    fn write(&mut self, visit: VisitId, pieces: &[Piece]) -> Result<FileOutcome, FileError> {
        let path = self.visits[visit.slot as usize].clone();
        let bytes = self.files.get_mut(&path).unwrap();
        let end = |piece: &Piece| piece.offset + piece.bytes.len() as u64;
        if pieces.iter().map(end).max() > Some(bytes.len() as u64) {
            let (stage, errno) = (Stage::Reach, ENODATA);
            return Err(FileError { stage, errno });
        }
        for piece in pieces {
            let at = usize::try_from(piece.offset).unwrap();
            bytes[at..at + piece.bytes.len()].copy_from_slice(&piece.bytes);
        }
        Ok(FileOutcome::Written)
    }

    fn set_aside(
        &mut self,
        path: &Path,
        aside: PathBuf,
        look: FileLook,
    ) -> Result<FileOutcome, FileError> {
        if self.look(path) != Some(look) {
            let (stage, errno) = (Stage::SetAside, ESTALE);
            return Err(FileError { stage, errno });
        }
        let bytes = self.files.remove(path).unwrap();
        assert_eq!(self.files.insert(aside, bytes), None);
        Ok(FileOutcome::SetAside)
    }

    fn look(&self, path: &Path) -> Option<FileLook> {
        let bytes = self.files.get(path)?;
        Some(FileLook {
            inode: 1,
            bytes: bytes.len() as u64,
            modified_s: self.changed.get(path).copied().unwrap_or(0),
            modified_ns: 0,
        })
    }

    /// The points of a file's first archive, sorted by time.
    fn points(&self, path: &str) -> Vec<Point> {
        let Some(bytes) = self.files.get(Path::new(path)) else {
            return Vec::new();
        };
        let archive = Header::parse(bytes).unwrap().archives[0];
        let start = usize::try_from(archive.offset).unwrap();
        let length = usize::try_from(archive.bytes()).unwrap();
        let mut points = archive_points(&archive, &bytes[start..start + length]);
        points.sort_by_key(|point| point.timestamp);
        points
    }
}

/// Is a file looked for or opened by such a path?
fn is_by(operation: &FileOperation, part: &str) -> bool {
    let (FileOperation::Probe { path }
    | FileOperation::Locate { path }
    | FileOperation::Open { path, .. }) = operation
    else {
        return false;
    };
    path.to_string_lossy().contains(part)
}

/// Shards, their disk, and a clock set by hand.
struct World {
    shards: Vec<Shard>,
    disk: Disk,
    /// Operations that are not carried out yet, where they are held back.
    held: Vec<(usize, FileToken, FileOperation)>,
    hold: bool,
    /// What of a path leads to something that hangs: operations by such a one are not answered.
    hangs: Option<&'static str>,
    now: Now,
    room: Arc<Room>,
    budgets: Budgets,
    trail: Trail,
}

impl World {
    fn new(shards: u16, points_max: Option<u64>) -> World {
        World::bounded(shards, points_max, 1 << 30)
    }

    fn bounded(shards: u16, points_max: Option<u64>, bytes_max: u64) -> World {
        World::changed((shards, points_max, bytes_max), |_| {})
    }

    /// A world of shards that are set up otherwise than usual.
    fn changed(
        (shards, points_max, bytes_max): (u16, Option<u64>, u64),
        change: impl Fn(&mut ShardConfig),
    ) -> World {
        let mut now = clock::now();
        now.unix_seconds = 1_700_000_000;
        let budget = || Arc::new(Budget::new(None, 0.1, now.instant));
        let budgets = Budgets {
            updates: budget(),
            creates: budget(),
        };
        let room = Arc::new(Room::new(points_max, bytes_max));
        let schemas = "[all]\npattern = .*\nretentions = 1s:1h,1m:1d\n";
        let schemas = Arc::new(Schemas::parse(schemas).unwrap().0);
        let config = |index| ShardConfig {
            index: ShardIndex(index),
            shards,
            seed: 7,
            cache: CacheConfig {
                seed: 7,
                max_point_age_s: 60,
                waiting_points_max: points_max.unwrap_or(u64::MAX),
                ..CacheConfig::new(Strategy::Sorted, now.instant)
            },
            writer: WriterConfig {
                schemas: Arc::clone(&schemas),
                ..WriterConfig::new("/data")
            },
            budgets: budgets.clone(),
            further: Further::default(),
            room: Arc::clone(&room),
            journal: None,
            recall: None,
        };
        let shards = (0..shards)
            .map(|index| {
                let mut config = config(index);
                change(&mut config);
                Shard::new(config, now)
            })
            .collect();
        let (disk, held) = (Disk::default(), Vec::new());
        World {
            shards,
            disk,
            held,
            hold: false,
            hangs: None,
            now,
            room,
            budgets,
            trail: Trail::default(),
        }
    }

    fn point(&self, age_s: u32, value: f64) -> Point {
        Point {
            timestamp: self.now.unix_seconds - age_s,
            value,
        }
    }

    fn offer(&mut self, name: &str, point: Point) -> Accept {
        offer(&mut self.shards[0], &mut self.trail, name, point)
    }

    fn take(&mut self, name: &str, point: Point) {
        assert_eq!(self.offer(name, point), Accept::Taken);
    }

    /// Turns of all shards until nothing moves any more.
    fn settle(&mut self) {
        for _ in 0..1000 {
            if !self.turn() {
                return;
            }
        }
        panic!("the shards never came to rest");
    }

    /// Turns in each of so many seconds until nothing moves.
    fn settle_for(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.settle();
            self.later(1);
        }
    }

    /// One turn of every shard; whether anything moved.
    fn turn(&mut self) -> bool {
        let mut moved = false;
        for index in 0..self.shards.len() {
            self.shards[index].begin_turn(self.now);
            if !self.hold {
                let held = std::mem::take(&mut self.held).into_iter();
                let path = self.hangs;
                let (hung, others): (Vec<_>, Vec<_>) =
                    held.partition(|(_, _, asked)| path.is_some_and(|path| is_by(asked, path)));
                self.held = hung;
                for (shard, token, operation) in others {
                    let result = self.disk.carry_out(operation);
                    self.shards[shard].complete(token, result);
                    moved = true;
                }
            }
            self.shards[index].end_turn();
            while let Some((token, operation)) = self.shards[index].next_operation() {
                self.held.push((index, token, operation));
                moved |= !self.hold;
            }
            for target in 0..self.shards.len() {
                let to = ShardIndex(u16::try_from(target).unwrap());
                while let Some(message) = self.shards[index].next_message(to) {
                    self.shards[target].deliver(message);
                    moved = true;
                }
            }
            self.check_accounts(index);
        }
        moved
    }

    fn check_accounts(&self, index: usize) {
        let Report { stats, usage, .. } = self.shards[index].report();
        let came = [Counter::Received, Counter::Own, Counter::Replayed];
        let came: u64 = came.iter().map(|counter| stats.get(*counter)).sum();
        let went = stats.get(Counter::Committed) + stats.get(Counter::Superseded) + stats.dropped();
        assert_eq!(came, went + usage.points, "{stats:?} {usage:?}");
    }

    fn count(&self, counter: Counter) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard.report().stats.get(counter))
            .sum()
    }

    fn later(&mut self, seconds: u64) {
        self.now.instant += Duration::from_secs(seconds);
        self.now.unix_seconds += u32::try_from(seconds).unwrap();
    }

    /// Tells the first shard to write everything out, which nothing lets it, until it gives that up.
    fn drain_in_vain(&mut self) {
        self.shards[0].drain();
        for _ in 0..DRAIN_ATTEMPTS_MAX {
            assert!(!self.shards[0].is_drained());
            self.settle();
            self.later(1);
        }
        assert!(self.shards[0].is_drained());
    }

    /// What a query sees.
    fn query(&mut self, name: &str) -> Vec<Point> {
        let parts = self.shards[0].ask_points(1, std::iter::once(name));
        assert_eq!(parts, 1);
        let (hold, before) = (std::mem::replace(&mut self.hold, true), self.held.len());
        self.settle();
        self.hold = hold;
        assert!(self.held.len() >= before);
        let answer = self.shards[0].next_answer().expect("an answer");
        let Reply::Points(mut parts) = answer.reply else {
            panic!("{answer:?}")
        };
        parts.remove(0).1
    }
}

/// Offers a point as a front does: foreseen, guessed, or by its name.
fn offer(shard: &mut Shard, trail: &mut Trail, name: &str, point: Point) -> Accept {
    if let Some((known, foreseen)) = shard.foresee(*trail)
        && foreseen == name.as_bytes()
    {
        return shard.accept_known(trail, known, point);
    }
    let mut guesses = shard.guess(std::iter::once((name.as_bytes(), 1)));
    let guess = shard.next_guess(&mut guesses);
    if trail.is_lost()
        && let Some(known) = guess
        && shard.name_of(known) == name.as_bytes()
        && !name.contains(' ')
    {
        return shard.accept_guessed(trail, known, point);
    }
    shard.accept(trail, name, point)
}

#[test]
fn a_point_reaches_its_file_and_stays_answerable_for_a_while() {
    let mut world = World::new(1, None);
    let point = world.point(5, 1.5);
    world.take("a.b", point);
    assert_eq!(world.query("a.b"), [point]);
    world.settle();
    assert_eq!(world.disk.points("/data/a/b.wsp"), [point]);
    assert_eq!(
        (
            world.count(Counter::Creates),
            world.count(Counter::Committed)
        ),
        (1, 1)
    );
    assert_eq!(world.query("a.b"), [point]);
    world.later(6);
    world.settle();
    assert_eq!(world.query("a.b"), []);
    assert_eq!(world.room.points(), 0);
}

#[test]
fn every_shard_gets_its_own_and_questions_find_them() {
    let mut world = World::new(4, None);
    for metric in 0..400_u32 {
        let point = world.point(metric, f64::from(metric));
        world.take(&format!("many.m{metric}"), point);
    }
    world.hold = true;
    world.settle();
    for metric in 0..400_u32 {
        assert_eq!(world.query(&format!("many.m{metric}")).len(), 1);
    }
    for index in 0..4 {
        assert!(
            world.shards[index].report().usage.points > 50,
            "shard {index} has too few"
        );
    }
    world.hold = false;
    world.settle();
    assert_eq!(
        (world.disk.files.len(), world.count(Counter::Committed)),
        (400, 400)
    );
}

#[test]
fn points_in_flight_are_seen_and_superseded_ones_are_counted() {
    let mut world = World::new(1, None);
    let (old, new) = (world.point(5, 1.0), world.point(5, 2.0));
    world.take("a", old);
    world.settle();
    world.hold = true;
    world.take("a", new);
    world.take("b", old);
    world.take("b", new);
    world.settle();
    assert_eq!(world.query("a"), [new]);
    assert_eq!(world.query("b"), [new]);
    world.hold = false;
    world.settle();
    assert_eq!(world.disk.points("/data/a.wsp"), [new]);
    assert_eq!(world.disk.points("/data/b.wsp"), [new]);
    assert_eq!(
        (
            world.count(Counter::Committed),
            world.count(Counter::Superseded)
        ),
        (3, 1)
    );
}

#[test]
fn a_write_that_fails_keeps_its_points_and_is_tried_again() {
    for (stage, errno) in [
        (Stage::Write, ENOSPC),
        (Stage::Read, EIO),
        (Stage::Open, 13),
    ] {
        let mut world = World::new(1, None);
        let first = world.point(2000, 1.0);
        world.take("a.b", first);
        world.settle();
        world.later(60);
        world.disk.failing = vec![(stage, errno)];
        // Old enough to be propagated, so that an update reads beyond the head.
        let second = world.point(1000, 2.0);
        world.take("a.b", second);
        world.settle();
        assert_eq!(world.query("a.b"), [second], "{stage:?}");
        assert_eq!(world.count(Counter::Errors), 1);
        world.later(1);
        world.settle();
        assert_eq!(
            world.count(Counter::Errors),
            2,
            "tried again after a second"
        );
        world.disk.failing.clear();
        world.later(2);
        world.settle();
        assert_eq!(world.disk.points("/data/a/b.wsp"), [first, second]);
        assert_eq!(world.count(Counter::Committed), 2);
    }
}

#[test]
fn a_create_that_fails_is_tried_again_while_others_go_on() {
    let mut world = World::new(1, None);
    let point = world.point(1, 1.0);
    world.disk.failing = vec![(Stage::Create, ENOSPC)];
    world.take("a", point);
    world.settle();
    world.disk.failing.clear();
    world.take("b", point);
    world.settle();
    assert_eq!(
        (
            world.disk.points("/data/a.wsp"),
            world.disk.points("/data/b.wsp").len()
        ),
        (vec![], 1)
    );
    world.later(1);
    world.settle();
    assert_eq!(world.disk.points("/data/a.wsp"), [point]);
}

#[test]
fn a_file_that_was_deleted_is_made_again_with_its_points() {
    let mut world = World::new(1, None);
    let (first, second) = (world.point(20, 1.0), world.point(10, 2.0));
    world.take("a", first);
    world.settle();
    world.later(1);
    world.disk.files.clear();
    world.take("a", second);
    world.settle();
    // The update that found no file began a moment ago: its next try waits for others, in vain.
    world.later(1);
    world.settle();
    // What was written a moment before is in the new file too.
    assert_eq!(world.disk.points("/data/a.wsp"), [first, second]);
    let counts = [Counter::Creates, Counter::Errors, Counter::WrittenAgain];
    assert_eq!(counts.map(|counter| world.count(counter)), [2, 0, 1]);
}

#[test]
fn a_broken_file_is_parked_and_used_again_once_it_is_mended() {
    let mut world = World::new(1, None);
    let point = world.point(1, 1.0);
    world.take("a", point);
    world.settle();
    let sound = world.disk.files[Path::new("/data/a.wsp")].clone();
    for broken in [
        Vec::new(),
        sound[..20].to_vec(),
        sound[..sound.len() / 2].to_vec(),
        vec![0xff; 4096],
    ] {
        world
            .disk
            .files
            .insert("/data/a.wsp".into(), broken.clone());
        // In the second half of the first archive, which a file cut in the middle has lost.
        let later = world.point(0, 2.0);
        world.later(120);
        world.take("a", later);
        world.settle();
        assert_eq!(world.query("a").last(), Some(&later));
        world.disk.files.insert("/data/a.wsp".into(), sound.clone());
        world.later(120);
        world.settle();
        assert_eq!(world.disk.points("/data/a.wsp").last(), Some(&later));
    }
}

#[test]
fn a_metric_over_the_create_limit_waits_and_the_repeated_come_first() {
    let mut world = World::new(1, None);
    world.budgets.creates.set_rate(Some(1.0), world.now.instant);
    let (early, late) = (world.point(20, 1.0), world.point(10, 2.0));
    for metric in 0..5 {
        world.take(&format!("once.m{metric}"), early);
    }
    world.take("twice", early);
    world.take("twice", late);
    world.settle();
    assert_eq!(
        world.disk.points("/data/twice.wsp").len(),
        2,
        "it was created first"
    );
    assert_eq!(world.disk.files.len(), 1);
    for files in 2..=6 {
        world.later(1);
        world.settle();
        assert_eq!(world.disk.files.len(), files);
    }
    assert_eq!(world.count(Counter::Committed), 7);
}

#[test]
fn a_full_cache_takes_nothing_until_it_has_written() {
    let mut world = World::new(1, Some(100));
    world.hold = true;
    for age in 0..100 {
        let point = world.point(age, 1.0);
        world.take("a", point);
    }
    let over = world.point(200, 1.0);
    assert_eq!(world.offer("a", over), Accept::Full);
    assert!(!world.shards[0].has_room());
    world.settle();
    assert_eq!(world.offer("a", over), Accept::Full);
    world.hold = false;
    world.settle();
    assert!(world.shards[0].has_room());
    world.later(1);
    world.take("a", over);
    world.settle();
    assert_eq!(world.disk.points("/data/a.wsp").len(), 101);
}

#[test]
fn a_drain_gives_up_what_cannot_be_written_and_counts_it() {
    let mut world = World::new(1, None);
    let point = world.point(1, 1.0);
    world.disk.failing = vec![(Stage::Create, EIO)];
    world.take("lost", point);
    world.settle();
    world.drain_in_vain();
    assert_eq!(world.count(Counter::DroppedAtStop), 1);
}

#[test]
fn points_too_old_for_every_archive_are_counted_and_nothing_is_written() {
    let mut world = World::new(1, None);
    let (old, fresh) = (world.point(90_000, 1.0), world.point(1, 2.0));
    world.take("a", old);
    world.settle();
    world.take("a", old);
    world.take("a", fresh);
    world.settle();
    assert_eq!(world.disk.points("/data/a.wsp"), [fresh]);
    assert_eq!(
        (
            world.count(Counter::DroppedTooOld),
            world.count(Counter::Committed)
        ),
        (2, 1)
    );
}

#[test]
fn own_metrics_are_cached_beyond_the_bound() {
    let mut world = World::new(2, Some(1));
    let point = world.point(1, 1.0);
    for metric in 0..5 {
        world.shards[0]
            .accept_own(&format!("carbon.agents.h-a.m{metric}"), point)
            .unwrap();
    }
    world.settle();
    assert_eq!(
        (world.count(Counter::Own), world.count(Counter::Committed)),
        (5, 5)
    );
    assert_eq!(world.room.points(), 0);
}

#[test]
fn a_header_is_read_and_changed_for_a_client() {
    let mut world = World::new(2, None);
    let point = world.point(1, 1.0);
    world.take("a.b", point);
    world.settle();
    let mut ask = |inspection| {
        world.shards[0].ask_metadata(3, "a..b", inspection).unwrap();
        world.settle();
        let answer = world.shards[0].next_answer().unwrap();
        let Reply::Metadata(metadata) = answer.reply else {
            panic!("{answer:?}")
        };
        metadata.map_err(|error| error.to_string())
    };
    let (average, max) = (Aggregation::Average, Aggregation::Max);
    assert_eq!(ask(Inspection::Get), Ok((average, None)));
    assert_eq!(ask(Inspection::Set(max)), Ok((average, Some(max))));
    assert_eq!(ask(Inspection::Get), Ok((max, None)));
    world.shards[0]
        .ask_metadata(4, "no.such", Inspection::Get)
        .unwrap();
    world.settle();
    let answer = world.shards[0].next_answer().unwrap();
    assert!(
        matches!(answer.reply, Reply::Metadata(Err(_))),
        "{answer:?}"
    );
}
