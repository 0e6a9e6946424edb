//! Points of a series: one inside its record, the others in blocks of one cache line from a pool.
//! A run is sorted by time and has every second once. Points in order are appended; one that comes
//! a little late is put into its place in the last block; one that comes very late goes into the
//! series' tree of late points, so that no order of arrival makes an insert cost more than a
//! search. Blocks have one size, so that a freed one serves any series.
//! Invariants: every block but the last is full; late points are older than the run's newest point,
//! and no second is in both.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::slab::{Slab, number};
use crate::point::Point;

/// No block.
const NONE: u32 = u32::MAX;
/// Points in a block: five of 12 bytes and the number of the next block are one cache line.
pub(super) const BLOCK_POINTS: u32 = 5;
const BLOCK_LEN: usize = BLOCK_POINTS as usize;
/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = size_of::<Block>();
const _: () = assert!(BLOCK_BYTES == 64);
/// Every so many blocks a long run remembers one, so that a search need not walk all of it.
const STRIDE_BLOCKS: u32 = 16;
/// What a late point costs in its tree, of leaves of 11 that are half to three quarters full.
pub(super) const LATE_BYTES: usize = 24;

/// A point in 12 bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Packed {
    timestamp: u32,
    value: [u8; 8],
}

impl Packed {
    fn new(point: Point) -> Self {
        Self {
            timestamp: point.timestamp,
            value: point.value.to_le_bytes(),
        }
    }

    fn point(self) -> Point {
        Point {
            timestamp: self.timestamp,
            value: f64::from_le_bytes(self.value),
        }
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Block {
    points: [Packed; BLOCK_LEN],
    next: u32,
}

impl Default for Block {
    fn default() -> Self {
        Self {
            points: [Packed::default(); BLOCK_LEN],
            next: NONE,
        }
    }
}

/// Points of one series, in order: the first here, the rest in blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    first: Packed,
    head: u32,
    tail: u32,
    count: u32,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            first: Packed::default(),
            head: NONE,
            tail: NONE,
            count: 0,
        }
    }
}

impl Run {
    /// How many points.
    pub(super) fn len(&self) -> u32 {
        self.count
    }

    /// How many blocks they take.
    pub(super) fn blocks(&self) -> u32 {
        blocks_of(self.count)
    }

    /// Timestamp of the oldest point; the run is not empty.
    pub(super) fn oldest(&self) -> u32 {
        assert!(self.count > 0, "an empty run has no oldest point");
        self.first.timestamp
    }

    /// Points in the last block.
    fn tail_len(&self) -> usize {
        match self.count {
            0 | 1 => 0,
            count => (count as usize - 2) % BLOCK_LEN + 1,
        }
    }
}

/// Blocks that so many points take.
pub(super) fn blocks_of(count: u32) -> u32 {
    count.saturating_sub(1).div_ceil(BLOCK_POINTS)
}

/// What a series with a long run or with late points has besides its run.
#[derive(Debug, Default)]
struct Deep {
    late: BTreeMap<u32, f64>,
    /// Block number `STRIDE_BLOCKS`, twice that, three times ..., of the run.
    landmarks: Vec<u32>,
}

/// The blocks of a shard, and the late points of its series.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pool: Slab<Block>,
    deep: HashMap<u32, Deep, foldhash::fast::FixedState>,
    late: usize,
    landmark_bytes: usize,
}

/// How `put` left a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// One point more.
    Added,
    /// That second was there; its value is replaced.
    Replaced,
}

impl Blocks {
    /// Puts a point into the points of `series`, of which `run` is the part in order.
    pub(super) fn put(&mut self, series: u32, run: &mut Run, point: Point) -> Put {
        let newest = self.newest(run);
        if newest.is_none_or(|newest| newest < point.timestamp) {
            self.append(series, run, point);
            return Put::Added;
        }
        if self.replace(series, run, point) {
            return Put::Replaced;
        }
        if run.blocks() <= 1 {
            self.insert_short(series, run, point);
        } else if self.pool[run.tail].points[0].timestamp < point.timestamp {
            self.insert_tail(series, run, point);
        } else {
            let deep = self.deep.entry(series).or_default();
            let before = deep.late.insert(point.timestamp, point.value);
            assert!(
                before.is_none(),
                "second {} was late twice",
                point.timestamp
            );
            self.late += 1;
        }
        Put::Added
    }

    /// Points of `series` outside its run.
    pub(super) fn late_len(&self, series: u32) -> u32 {
        self.deep
            .get(&series)
            .map_or(0, |deep| number(deep.late.len()))
    }

    /// The oldest point of `series` outside its run.
    pub(super) fn late_oldest(&self, series: u32) -> Option<u32> {
        let (timestamp, _) = self.deep.get(&series)?.late.first_key_value()?;
        Some(*timestamp)
    }

    /// Has `series` a point at this second?
    pub(super) fn has(&self, series: u32, run: &Run, timestamp: u32) -> bool {
        run.count > 0 && run.first.timestamp == timestamp
            || self.find(series, run, timestamp).is_some()
            || self
                .deep
                .get(&series)
                .is_some_and(|deep| deep.late.contains_key(&timestamp))
    }

    /// Adds the points of a run alone to `out`, in order.
    pub(super) fn read(&self, run: &Run, out: &mut Vec<Point>) {
        if run.count == 0 {
            return;
        }
        out.push(run.first.point());
        let mut block = run.head;
        let mut left = run.count as usize - 1;
        while left > 0 {
            let here = left.min(BLOCK_LEN);
            let unit = &self.pool[block];
            out.extend(unit.points[..here].iter().map(|packed| packed.point()));
            block = unit.next;
            left -= here;
        }
    }

    /// Adds all points of `series` to `out`, in order.
    pub(super) fn read_all(&self, series: u32, run: &Run, out: &mut Vec<Point>) {
        let begin = out.len();
        self.read(run, out);
        let Some(deep) = self.deep.get(&series).filter(|deep| !deep.late.is_empty()) else {
            return;
        };
        out.extend(deep.late.iter().map(|(timestamp, value)| Point {
            timestamp: *timestamp,
            value: *value,
        }));
        // Two sorted stretches: the stable sort merges them in one pass.
        out[begin..].sort_by_key(|point| point.timestamp);
    }

    /// Frees the blocks of a run.
    pub(super) fn release(&mut self, run: Run) {
        let mut block = run.head;
        for _ in 0..run.blocks() {
            block = self.pool.remove(block).next;
        }
        assert_eq!(block, NONE, "a run of {} points goes on", run.count);
    }

    /// Frees all points of `series`.
    pub(super) fn clear(&mut self, series: u32, run: &mut Run) {
        self.forget_deep(series);
        self.release(std::mem::take(run));
    }

    /// Takes the points of `series` away as one run and adds them to `out`, in order.
    pub(super) fn detach(&mut self, series: u32, run: &mut Run, out: &mut Vec<Point>) -> Run {
        let begin = out.len();
        self.read_all(series, run, out);
        if self.late_len(series) == 0 {
            self.forget_deep(series);
            return std::mem::take(run);
        }
        self.clear(series, run);
        let mut whole = Run::default();
        for point in &out[begin..] {
            self.append_plain(&mut whole, *point);
        }
        whole
    }

    /// Makes a run that was detached the points of `series` again, which has none.
    pub(super) fn attach(&mut self, series: u32, run: Run) -> Run {
        assert!(
            !self.deep.contains_key(&series),
            "series {series} still has points"
        );
        let mut walked = Run { count: 1, ..run };
        while walked.blocks() < run.blocks() {
            walked.tail = match walked.count {
                1 => run.head,
                _ => self.pool[walked.tail].next,
            };
            walked.count += BLOCK_POINTS;
            if walked.blocks() > STRIDE_BLOCKS {
                self.remember(series, &walked);
            }
        }
        run
    }

    /// Bytes in use by points, without the part inside the records.
    pub(super) fn used_bytes(&self) -> usize {
        self.pool.used_bytes() + self.deep_bytes()
    }

    /// The same with the free blocks of pages that are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.pool.held_bytes() + self.deep_bytes()
    }

    fn deep_bytes(&self) -> usize {
        self.late * LATE_BYTES + self.landmark_bytes + self.deep.allocation_size()
    }

    fn newest(&self, run: &Run) -> Option<u32> {
        match run.count {
            0 => None,
            1 => Some(run.first.timestamp),
            _ => Some(self.pool[run.tail].points[run.tail_len() - 1].timestamp),
        }
    }

    fn append(&mut self, series: u32, run: &mut Run, point: Point) {
        if self.append_plain(run, point) && run.blocks() > STRIDE_BLOCKS {
            self.remember(series, run);
        }
    }

    /// Appends to a run; true where that took a new block.
    fn append_plain(&mut self, run: &mut Run, point: Point) -> bool {
        let packed = Packed::new(point);
        let filled = run.tail_len();
        run.count += 1;
        if run.count == 1 {
            run.first = packed;
            return false;
        }
        if run.count > 2 && filled < BLOCK_LEN {
            self.pool[run.tail].points[filled] = packed;
            return false;
        }
        let mut block = Block::default();
        block.points[0] = packed;
        let id = self.pool.insert(block);
        if run.head == NONE {
            run.head = id;
        } else {
            self.pool[run.tail].next = id;
        }
        run.tail = id;
        true
    }

    /// The run has a new last block: notes it where it is one to be remembered.
    fn remember(&mut self, series: u32, run: &Run) {
        if !(run.blocks() - 1).is_multiple_of(STRIDE_BLOCKS) {
            return;
        }
        let deep = self.deep.entry(series).or_default();
        self.landmark_bytes -= deep.landmarks.capacity() * size_of::<u32>();
        deep.landmarks.push(run.tail);
        self.landmark_bytes += deep.landmarks.capacity() * size_of::<u32>();
    }

    /// Replaces the value of a second that is there already.
    fn replace(&mut self, series: u32, run: &mut Run, point: Point) -> bool {
        let packed = Packed::new(point);
        if run.count > 0 && run.first.timestamp == point.timestamp {
            run.first = packed;
            return true;
        }
        if let Some((block, place)) = self.find(series, run, point.timestamp) {
            self.pool[block].points[place] = packed;
            return true;
        }
        let late = self.deep.get_mut(&series).map(|deep| &mut deep.late);
        let Some(value) = late.and_then(|late| late.get_mut(&point.timestamp)) else {
            return false;
        };
        *value = point.value;
        true
    }

    /// Block and place of a second in the blocks of a run.
    fn find(&self, series: u32, run: &Run, timestamp: u32) -> Option<(u32, usize)> {
        if run.count < 2 || timestamp < self.pool[run.head].points[0].timestamp {
            return None;
        }
        let tail = self.pool[run.tail];
        let (block, filled) = if timestamp >= tail.points[0].timestamp {
            (run.tail, run.tail_len())
        } else {
            (self.find_block(series, run, timestamp), BLOCK_LEN)
        };
        self.pool[block].points[..filled]
            .iter()
            .position(|packed| packed.timestamp == timestamp)
            .map(|place| (block, place))
    }

    /// The last block that does not begin after `timestamp`; the first one does not.
    fn find_block(&self, series: u32, run: &Run, timestamp: u32) -> u32 {
        let mut block = run.head;
        if run.blocks() > STRIDE_BLOCKS
            && let Some(deep) = self.deep.get(&series)
        {
            let after = deep
                .landmarks
                .partition_point(|id| self.pool[*id].points[0].timestamp <= timestamp);
            block = after
                .checked_sub(1)
                .map_or(run.head, |index| deep.landmarks[index]);
        }
        for _ in 0..STRIDE_BLOCKS {
            let next = self.pool[block].next;
            if next == NONE || self.pool[next].points[0].timestamp > timestamp {
                return block;
            }
            block = next;
        }
        unreachable!("block {block} is more than {STRIDE_BLOCKS} past a remembered one")
    }

    /// Puts a point into a run of at most one block.
    fn insert_short(&mut self, series: u32, run: &mut Run, point: Point) {
        if run.first.timestamp < point.timestamp {
            return self.insert_tail(series, run, point);
        }
        let displaced = std::mem::replace(&mut run.first, Packed::new(point)).point();
        if run.count == 1 {
            self.append(series, run, displaced);
        } else {
            self.insert_tail(series, run, displaced);
        }
    }

    /// Puts a point into the last block, before its last point at the latest.
    fn insert_tail(&mut self, series: u32, run: &mut Run, point: Point) {
        let filled = run.tail_len();
        let points = &mut self.pool[run.tail].points;
        let place = points[..filled].partition_point(|packed| packed.timestamp < point.timestamp);
        assert!(
            place < filled,
            "second {} belongs at the end",
            point.timestamp
        );
        let last = points[filled - 1].point();
        points.copy_within(place..filled - 1, place + 1);
        points[place] = Packed::new(point);
        self.append(series, run, last);
    }

    fn forget_deep(&mut self, series: u32) {
        if self.deep.is_empty() {
            return;
        }
        if let Some(deep) = self.deep.remove(&series) {
            self.late -= deep.late.len();
            self.landmark_bytes -= deep.landmarks.capacity() * size_of::<u32>();
            if self.deep.len() < self.deep.capacity() / 8 {
                self.deep.shrink_to(self.deep.len() * 2);
            }
        }
    }
}
