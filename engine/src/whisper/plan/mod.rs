//! From points and what was read of a file to what must be written: Python's `update_many`, pure.
//! `plan` is called again and again with a fuller image: first with the head alone, then with what
//! it asked for, until it answers with the pieces to write. It keeps nothing between the calls.
//! Writes are collected per archive and read back through, so that propagation sees what the same
//! batch wrote, as in Python.
//! Invariants: at most `NEED_ROUNDS_MAX` rounds of `Need`; pieces are sorted, disjoint and merged;
//! all lie inside the archives. A file that is shorter than its header says is refused, not grown.
//! Differences from Python: docs/formats/whisper.md.

use std::borrow::Cow;

use crate::limits::{
    PLANNER_KEPT_MAX, WHISPER_WINDOW_BYTES_MAX, WITNESS_SLOTS, WITNESSED_SLOTS_MAX,
};
use crate::point::Point;
use crate::ring::{ByteRange, Piece};

use super::aggregate::Aggregate;
use super::archive::Archive;
use super::codec::{self, POINT_BYTES};
use super::header::Header;
use super::image::Image;

/// Most rounds of `Need` that any file takes after its head was read. One of two archives takes
/// one; the third round is for four archives and more, where the second asks for all bases and the
/// third for all windows that are left.
pub const NEED_ROUNDS_MAX: u32 = 3;

/// What to do next with a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Read these stretches, add them to the image, ask again. Sorted by offset.
    Need(Vec<ByteRange>),
    /// Write these pieces; done.
    Write {
        /// What to write where: disjoint, sorted by offset, neighbours merged. Empty where no
        /// point fits the file.
        pieces: Vec<Piece>,
        /// What became of the points.
        outcome: Outcome,
    },
}

/// What becomes of the points of a batch: `written + superseded + too_old + spared` is their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Points that an archive takes in. Of several in one interval the newest is what stays.
    pub written: u64,
    /// Points with the timestamp of a point further back in the slice.
    pub superseded: u64,
    /// Points older than any archive reaches, or of the interval at second 0, whose slot would be
    /// an empty one.
    pub too_old: u64,
    /// Late points whose coarse slot was kept (`late`); the plan itself spares none.
    pub spared: u64,
    /// Points of coarser archives that were aggregated from finer ones.
    pub propagated: u64,
}

/// Why a file with a sound header is not written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The file ends before its last archive does.
    #[error("the file ends by byte {found}, its header asks for {needed} bytes")]
    FileTooShort {
        /// A byte at or behind its end.
        found: u64,
        /// The length its archives add up to.
        needed: u64,
    },
    /// One point of an archive is aggregated from more points than we read at once.
    #[error(
        "a point of archive {archive} is made of {found} bytes; at most {WHISPER_WINDOW_BYTES_MAX} are read"
    )]
    WindowTooLong {
        /// The coarser archive's number, from 0.
        archive: usize,
        /// Bytes of finer points that make one of its points.
        found: u64,
    },
}

/// Plans the update of one file with `points`, as a `Planner` does.
pub fn plan(header: &Header, points: &[Point], now: u32, image: &Image) -> Result<Plan, PlanError> {
    Planner::default().plan(header, points, now, image)
}

/// Plans one update after the other, in memory that is the same for all of them and therefore in the
/// processor's caches: a fresh vector is memory that was freed long ago (docs/decisions/0014).
/// Bounded: between two updates a few vectors of `PLANNER_KEPT_MAX`.
#[derive(Debug, Default)]
pub struct Planner {
    levels: Vec<Level>,
    stage: Vec<Point>,
    needs: Vec<ByteRange>,
}

impl Planner {
    /// Plans the update of one file with `points`, in any order, at the time `now` (Unix seconds).
    ///
    /// Of several points with one timestamp the one further back in the slice wins. Points newer than
    /// `now` go to the finest archive.
    pub fn plan(
        &mut self,
        header: &Header,
        points: &[Point],
        now: u32,
        image: &Image,
    ) -> Result<Plan, PlanError> {
        self.plan_some(header, (points, false), now, image)
    }

    /// The same for points of which some may come late (`late`): where a finer archive no longer reaches the
    /// begin of a coarse interval, the aggregate that the file has of it is then not made anew of what is
    /// left, but written once more.
    pub fn plan_some(
        &mut self,
        header: &Header,
        (points, are_late): (&[Point], bool),
        now: u32,
        image: &Image,
    ) -> Result<Plan, PlanError> {
        check(header, image)?;
        let sorted = in_time_order(points);
        self.begin(header, image);
        let mut update = Update {
            header,
            image,
            planner: self,
            now,
            are_late,
            outcome: Outcome::default(),
        };
        update.outcome.superseded = (points.len() - sorted.len()) as u64;
        update.take(&sorted);
        let outcome = update.outcome;
        if !self.needs.is_empty() {
            merge(&mut self.needs, 0);
            return Ok(Plan::Need(self.needs.clone()));
        }
        assert_eq!(
            outcome.written + outcome.superseded + outcome.too_old,
            points.len() as u64,
            "every point is accounted for"
        );
        let pieces = self.pieces();
        Ok(Plan::Write { pieces, outcome })
    }

    /// Where points wait that go to one archive; put back by who took it.
    fn stage(&mut self) -> Vec<Point> {
        let mut stage = std::mem::take(&mut self.stage);
        empty(&mut stage);
        stage
    }

    /// Forgets the update before.
    fn begin(&mut self, header: &Header, image: &Image) {
        empty(&mut self.needs);
        self.levels.truncate(header.archives.len());
        for (number, archive) in header.archives.iter().enumerate() {
            let base = match image.base(header, number) {
                None => Base::Unread,
                Some(0) => Base::Empty,
                Some(base) => Base::Stored(base),
            };
            if let Some(level) = self.levels.get_mut(number) {
                (level.archive, level.base) = (*archive, base);
                empty(&mut level.writes);
            } else {
                self.levels.push(Level {
                    archive: *archive,
                    base,
                    writes: Vec::new(),
                });
            }
        }
    }

    /// The writes of all archives as bytes; what lies side by side in the file becomes one piece.
    fn pieces(&self) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        for level in &self.levels {
            let runs = level.writes.chunk_by(|one, next| next.slot == one.slot + 1);
            for run in runs {
                let offset = level.archive.slot_offset(run[0].slot);
                let continues = |piece: &Piece| piece.offset + piece.bytes.len() as u64 == offset;
                if !pieces.last().is_some_and(continues) {
                    let bytes = Vec::with_capacity(run.len() * POINT_BYTES);
                    pieces.push(Piece { offset, bytes });
                }
                let Some(piece) = pieces.last_mut() else {
                    unreachable!("a piece was pushed or is continued")
                };
                for write in run {
                    codec::encode_point(write.point, &mut piece.bytes);
                }
            }
        }
        pieces
    }
}

/// Empties a vector that stays.
fn empty<T>(vector: &mut Vec<T>) {
    vector.clear();
    vector.shrink_to(PLANNER_KEPT_MAX);
}

/// Whether a file with this header can be written to, as far as what was read of it says.
pub fn check(header: &Header, image: &Image) -> Result<(), PlanError> {
    assert!(!header.archives.is_empty(), "a header has an archive");
    let needed = header.file_bytes();
    if let Some(found) = image.file_end()
        && found < needed
    {
        return Err(PlanError::FileTooShort { found, needed });
    }
    for (archive, found) in (1..).zip(window_bytes(header)) {
        if found > WHISPER_WINDOW_BYTES_MAX {
            return Err(PlanError::WindowTooLong { archive, found });
        }
    }
    Ok(())
}

/// How many bytes of the archive before it make one point of each but the first.
pub fn window_bytes(header: &Header) -> impl Iterator<Item = u64> {
    let pairs = header.archives.windows(2);
    pairs.map(|pair| u64::from(window_slots(&pair[0], &pair[1])) * POINT_BYTES as u64)
}

/// The points oldest first, one per timestamp: the one further back in the slice. Senders keep
/// time order, so that nothing is copied as a rule.
fn in_time_order(points: &[Point]) -> Cow<'_, [Point]> {
    if points.is_sorted_by(|earlier, later| earlier.timestamp < later.timestamp) {
        return Cow::Borrowed(points);
    }
    let mut sorted = points.to_vec();
    sorted.sort_by_key(|point| point.timestamp);
    keep_later(&mut sorted, |point| point.timestamp);
    Cow::Owned(sorted)
}

/// Of neighbours with the same key keeps the later.
fn keep_later<T: Copy, K: PartialEq>(sorted: &mut Vec<T>, key: impl Fn(&T) -> K) {
    sorted.dedup_by(|later, kept| {
        let same = key(later) == key(kept);
        if same {
            *kept = *later;
        }
        same
    });
}

/// How many points of `higher` make one of `lower`.
fn window_slots(higher: &Archive, lower: &Archive) -> u32 {
    higher.slots_read(u64::from(lower.step_s / higher.step_s))
}

/// A point on its way to a slot.
#[derive(Clone, Copy, Debug)]
struct Write {
    slot: u32,
    point: Point,
}

/// What is known of an archive's first slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// It has not been read.
    Unread,
    /// It was empty, and so is the whole archive: the first point written becomes the base.
    Empty,
    /// It was empty, and the first point of this batch has become the base.
    New(u32),
    /// It holds this timestamp.
    Stored(u32),
}

/// One archive with what this batch writes to it, sorted by slot, a slot once.
#[derive(Debug)]
struct Level {
    archive: Archive,
    base: Base,
    writes: Vec<Write>,
}

/// One run of the update over an image, which may turn out to lack bytes.
struct Update<'a> {
    header: &'a Header,
    image: &'a Image,
    planner: &'a mut Planner,
    now: u32,
    are_late: bool,
    outcome: Outcome,
}

impl Update<'_> {
    /// Deals the points to the archives, newest first: each goes to the first archive, from the one
    /// in hand on, that reaches back to it. A point exactly as old as the archive still fits.
    fn take(&mut self, sorted: &[Point]) {
        let now = self.now;
        let too_old = |point: &Point, archive: &Archive| {
            let age = i64::from(now) - i64::from(point.timestamp);
            u64::try_from(age).is_ok_and(|age| age > archive.retention_s())
        };
        let mut left = sorted;
        let mut archive = 0;
        while let Some(newest) = left.last() {
            let reaches = |level: &Level| !too_old(newest, &level.archive);
            let Some(further) = self.planner.levels[archive..].iter().position(reaches) else {
                self.outcome.too_old += left.len() as u64;
                return;
            };
            archive += further;
            let layout = self.header.archives[archive];
            let older = left.partition_point(|point| too_old(point, &layout));
            self.store(archive, &left[older..]);
            self.propagate(archive, &left[older..]);
            left = &left[..older];
        }
    }

    /// Writes points, oldest first, as they are into an archive.
    fn store(&mut self, archive: usize, points: &[Point]) {
        let layout = self.header.archives[archive];
        let mut stage = self.planner.stage();
        for point in points {
            let timestamp = layout.align(point.timestamp);
            if timestamp == 0 {
                self.outcome.too_old += 1;
                continue;
            }
            self.outcome.written += 1;
            let value = point.value;
            match stage.last_mut() {
                Some(last) if last.timestamp == timestamp => last.value = value,
                _ => stage.push(Point { timestamp, value }),
            }
        }
        if !stage.is_empty() && self.has_base(archive) {
            self.planner.levels[archive].settle(&stage);
        }
        self.planner.stage = stage;
    }

    /// Carries what `points` changed in an archive on to the coarser ones, as far as something
    /// was aggregated.
    fn propagate(&mut self, from: usize, points: &[Point]) {
        for lower in from + 1..self.planner.levels.len() {
            // An archive without a base cannot be read: what it holds is known in the next round.
            if self.planner.levels[lower - 1].base == Base::Unread {
                return;
            }
            let mut stage = self.planner.stage();
            let goes_on = self.aggregate(from, lower, points, &mut stage);
            if goes_on && self.has_base(lower) {
                self.outcome.propagated += stage.len() as u64;
                self.planner.levels[lower].settle(&stage);
            }
            self.planner.stage = stage;
            if !goes_on {
                return;
            }
        }
    }

    /// Aggregates every interval of `lower` that `points` touch, oldest first, from the archive
    /// before it. True when something was aggregated, or may be: once bytes lack, everything
    /// coarser counts as reached and is asked for in the same round.
    fn aggregate(
        &mut self,
        from: usize,
        lower: usize,
        points: &[Point],
        stage: &mut Vec<Point>,
    ) -> bool {
        let (raw, coarse) = (self.header.archives[from], self.header.archives[lower]);
        let Planner { levels, needs, .. } = &mut *self.planner;
        let higher = &levels[lower - 1];
        let slots = window_slots(&higher.archive, &coarse);
        let mut previous = 0;
        for point in points {
            let interval = coarse.align(raw.align(point.timestamp));
            // Interval 0 cannot be stored: its timestamp marks an empty slot.
            if interval == previous || interval == 0 {
                continue;
            }
            previous = interval;
            let reached = || u64::from(interval) + higher.archive.retention_s();
            if self.are_late && reached() <= u64::from(self.now) {
                match levels[lower].stored(self.image, interval) {
                    Ok(None) => {}
                    Ok(Some(point)) => {
                        stage.push(point);
                        continue;
                    }
                    Err(range) => needs.push(range),
                }
            }
            let mut known = Aggregate::new(self.header.aggregation);
            if !higher.window(self.image, interval, slots, &mut known) {
                higher.ask(interval, slots, needs);
                continue;
            }
            if let Some(value) = known.finish(slots, self.header.x_files_factor) {
                stage.push(Point {
                    timestamp: interval,
                    value,
                });
            }
        }
        !stage.is_empty() || !needs.is_empty()
    }

    /// Whether an archive's base was read. If not, it is asked for: the second archive's alone,
    /// because coarser ones are often not reached; otherwise all, to keep the rounds few.
    fn has_base(&mut self, archive: usize) -> bool {
        if self.planner.levels[archive].base != Base::Unread {
            return true;
        }
        let asked = if archive == 1 {
            1..2
        } else {
            0..self.planner.levels.len()
        };
        let Planner { levels, needs, .. } = &mut *self.planner;
        for level in &levels[asked] {
            if level.base == Base::Unread {
                needs.push(byte_range(level.archive.offset, 1));
            }
        }
        false
    }
}

impl Level {
    /// Puts points, oldest first, into their slots; in a slot the newer wins over the older, and
    /// both over what an earlier stage of the same batch put there.
    fn settle(&mut self, points: &[Point]) {
        let Some(oldest) = points.first() else { return };
        let base = match self.base {
            Base::Unread => unreachable!("a base is read before anything is written"),
            Base::Empty => oldest.timestamp,
            Base::New(base) | Base::Stored(base) => base,
        };
        if self.base == Base::Empty {
            self.base = Base::New(base);
        }
        self.writes.reserve(points.len());
        let mut before: Option<Write> = None;
        for &point in points {
            let slot = match before {
                // the usual case without its two divisions
                Some(write) if point.timestamp - write.point.timestamp == self.archive.step_s => {
                    self.archive.slot_after(write.slot)
                }
                _ => self.archive.slot(base, i64::from(point.timestamp)),
            };
            let write = Write { slot, point };
            before = Some(write);
            self.writes.push(write);
        }
        if !self
            .writes
            .is_sorted_by(|before, after| before.slot < after.slot)
        {
            self.writes.sort_by_key(|write| write.slot);
            keep_later(&mut self.writes, |write| write.slot);
        }
    }

    /// Takes in what is known of `slots` slots from `interval` on, oldest first. False when bytes
    /// are lacking.
    fn window(&self, image: &Image, interval: u32, slots: u32, known: &mut Aggregate) -> bool {
        let (base, on_disk) = match self.base {
            Base::Unread => return false,
            Base::Empty => return true,
            Base::New(base) => (base, false),
            Base::Stored(base) => (base, true),
        };
        let step = u64::from(self.archive.step_s);
        let mut expected = u64::from(interval);
        let first = self.archive.slot(base, i64::from(interval));
        for stretch in self.archive.stretches(first, slots) {
            let written = self
                .writes
                .partition_point(|write| write.slot < stretch.start);
            let mut written = self.writes[written..].iter().peekable();
            for slot in stretch {
                let point = match written.next_if(|write| write.slot == slot) {
                    Some(write) => Some(write.point),
                    None if !on_disk => None,
                    None => match image.point(self.archive.slot_offset(slot)) {
                        None => return false,
                        stored => stored,
                    },
                };
                if let Some(point) = point
                    && u64::from(point.timestamp) == expected
                {
                    known.add(point.value);
                }
                expected += step;
            }
        }
        true
    }

    /// What the file has of an interval; what is to be read to know that.
    fn stored(&self, image: &Image, interval: u32) -> Result<Option<Point>, ByteRange> {
        let base = match self.base {
            Base::Unread => return Err(byte_range(self.archive.offset, 1)),
            Base::Empty | Base::New(_) => return Ok(None),
            Base::Stored(base) => base,
        };
        let (_, stored) = image.in_slot_of(&self.archive, (base, interval))?;
        Ok((stored.timestamp == interval).then_some(stored))
    }

    /// Asks for the bytes of a window.
    fn ask(&self, interval: u32, slots: u32, needs: &mut Vec<ByteRange>) {
        let Base::Stored(base) = self.base else {
            unreachable!(
                "nothing is read of an archive whose base is {:?}",
                self.base
            )
        };
        let first = self.archive.slot(base, i64::from(interval));
        for stretch in self.archive.stretches(first, slots) {
            if !stretch.is_empty() {
                let offset = self.archive.slot_offset(stretch.start);
                needs.push(byte_range(offset, stretch.end - stretch.start));
            }
        }
    }
}

/// The bytes of so many slots.
pub(super) fn byte_range(offset: u64, slots: u32) -> ByteRange {
    let bytes = u64::from(slots) * POINT_BYTES as u64;
    let Ok(len) = u32::try_from(bytes) else {
        unreachable!("a window of {bytes} bytes was refused")
    };
    ByteRange { offset, len }
}

/// What to read of an archive that has this base to see, in one stretch, that it still has it, and
/// that the file reaches as far as the slots of these points, oldest first: those slots and some
/// before. Where they pass the archive's end or are many, its first slot, which holds the base.
pub fn witness(archive: &Archive, base: u32, points: &[Point]) -> Option<ByteRange> {
    let [oldest, newest] =
        [points.first()?, points.last()?].map(|point| archive.align(point.timestamp));
    // From the first second to the last these are more than a u32 holds.
    let further = newest.checked_sub(oldest)? / archive.step_s;
    let first = archive.slot(base, i64::from(oldest));
    if further >= WITNESSED_SLOTS_MAX || further >= archive.points - first {
        return Some(byte_range(archive.offset, 1));
    }
    let slots = further + 1;
    let before = WITNESS_SLOTS.min(first);
    let offset = archive.slot_offset(first - before);
    Some(byte_range(offset, before + slots))
}

/// Sorts stretches and joins those that overlap or lie no more than `gap_max` bytes apart, as long as
/// one read stays within bounds.
pub fn merge(needs: &mut Vec<ByteRange>, gap_max: u64) {
    needs.sort_unstable_by_key(|range| (range.offset, range.len));
    needs.dedup_by(|next, kept| {
        let kept_end = kept.offset + u64::from(kept.len);
        let end = kept_end.max(next.offset + u64::from(next.len));
        let len = end - kept.offset;
        let joins = next.offset <= kept_end + gap_max && len <= WHISPER_WINDOW_BYTES_MAX;
        if joins && let Ok(len) = u32::try_from(len) {
            kept.len = len;
        }
        joins
    });
}

#[cfg(test)]
mod tests;
