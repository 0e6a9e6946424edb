//! Points of a series: a compressed run in blocks from a pool, and what came too late for it.
//! Points in order are appended; one that belongs among the newest few is put into its place there;
//! any other late one goes into the series' tree of late points, so that no order of arrival makes
//! an insert cost more than a search. A second deep in the run that is sent again stays there and
//! is overruled from the tree. Blocks have one size, so that a freed one serves any series.
//! Invariants: a late point wins over one of the same second in the run, and `overruling` counts
//! these, so that every second counts once; a long run has a landmark every `STRIDE` points, or every
//! two where its oldest points were taken away.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::run::{self, Pool};
pub(super) use super::run::{BLOCK_BYTES, Run};
use crate::names::slab::number;
use crate::point::Point;

/// A point that belongs among so many of the newest is put there: senders that race one another are
/// a few points apart, and so many are decoded and written again in less time than a tree takes.
const REACH: u32 = 8;
/// Every so many points a long run remembers how it was, so that a search reads no more of it.
const STRIDE: u32 = 128;
/// What a late point costs in its tree, of leaves of 11 that are half to three quarters full.
pub(super) const LATE_BYTES: usize = 24;

/// What a series with a long run or with late points has besides its run.
#[derive(Debug, Default)]
struct Deep {
    late: BTreeMap<u32, f64>,
    /// How many of these are of a second that the run has too.
    overruling: u32,
    /// The run as it was with `STRIDE` points, with twice as many, three times ...; the points that
    /// were taken away since count no more.
    landmarks: Vec<Run>,
}

/// The blocks of a shard, and the late points of its series.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pool: Pool,
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
    #[inline]
    pub(super) fn put(&mut self, series: u32, run: &mut Run, point: Point) -> Put {
        if run.len() == 0 || run.newest().timestamp < point.timestamp {
            self.append(series, run, point);
            return Put::Added;
        }
        self.put_late(series, run, point)
    }

    fn put_late(&mut self, series: u32, run: &mut Run, point: Point) -> Put {
        if let Some(value) = self.late_mut(series, point.timestamp) {
            *value = point.value;
            return Put::Replaced;
        }
        if self.is_near(run, point.timestamp) {
            return self.put_near(series, run, point);
        }
        let in_run = self.find(series, run, point.timestamp);
        if in_run.is_some_and(|value| value.to_bits() == point.value.to_bits()) {
            return Put::Replaced;
        }
        let deep = self.deep.entry(series).or_default();
        deep.late.insert(point.timestamp, point.value);
        deep.overruling += u32::from(in_run.is_some());
        self.late += 1;
        match in_run {
            Some(_) => Put::Replaced,
            None => Put::Added,
        }
    }

    fn late_mut(&mut self, series: u32, timestamp: u32) -> Option<&mut f64> {
        if self.late == 0 {
            return None;
        }
        self.deep.get_mut(&series)?.late.get_mut(&timestamp)
    }

    /// Is this second, or the place where it belongs, among the newest points?
    fn is_near(&self, run: &Run, timestamp: u32) -> bool {
        if run.len() <= REACH {
            return true;
        }
        let mut at = *run;
        for _ in 1..REACH {
            if at.newest().timestamp <= timestamp {
                return true;
            }
            at.back(&self.pool);
        }
        at.newest().timestamp <= timestamp
    }

    /// Puts a point among the newest ones of the run.
    fn put_near(&mut self, series: u32, run: &mut Run, point: Point) -> Put {
        let mut newer = [point; REACH as usize];
        let mut held = 0;
        while run.len() > 0 && run.newest().timestamp > point.timestamp {
            newer[held] = self.pop(series, run);
            held += 1;
        }
        let mut put = Put::Added;
        if run.len() > 0 && run.newest().timestamp == point.timestamp {
            self.pop(series, run);
            put = Put::Replaced;
        }
        self.append(series, run, point);
        for point in newer[..held].iter().rev() {
            self.append(series, run, *point);
        }
        put
    }

    /// Points of `series` outside its run, of other seconds than those of the run.
    pub(super) fn late_len(&self, series: u32) -> u32 {
        self.deep
            .get(&series)
            .map_or(0, |deep| number(deep.late.len()) - deep.overruling)
    }

    /// The oldest point of `series` outside its run.
    pub(super) fn late_oldest(&self, series: u32) -> Option<u32> {
        let (timestamp, _) = self.deep.get(&series)?.late.first_key_value()?;
        Some(*timestamp)
    }

    /// Has `series` a point at this second?
    pub(super) fn has(&self, series: u32, run: &Run, timestamp: u32) -> bool {
        self.find(series, run, timestamp).is_some()
            || self
                .deep
                .get(&series)
                .is_some_and(|deep| deep.late.contains_key(&timestamp))
    }

    /// Asks for the end of a run's last block.
    #[inline]
    pub(super) fn fetch(&self, run: &Run) {
        run.fetch(&self.pool);
    }

    /// Adds the points of a run alone to `out`, in order.
    pub(super) fn read(&self, run: &Run, out: &mut Vec<Point>) {
        run.read(&self.pool, out);
    }

    /// Adds all points of `series` to `out`, in order.
    pub(super) fn read_all(&self, series: u32, run: &Run, out: &mut Vec<Point>) {
        let begin = out.len();
        run.read(&self.pool, out);
        if let Some(deep) = self.deep.get(&series) {
            out.extend(deep.late.iter().map(|(timestamp, value)| Point {
                timestamp: *timestamp,
                value: *value,
            }));
            // Two sorted stretches: the stable sort merges them in one pass.
            super::keep_latest(out, begin);
        }
    }

    /// The same for the newest points of a run up to a second, at most so many.
    pub(super) fn read_until(&self, run: &Run, until: u32, most: usize, out: &mut Vec<Point>) {
        run.read_until(&self.pool, until, most, out);
    }

    /// The same for the points of `series`: of those in its run and of those outside it at most so many
    /// each, the latter behind the former, which they overrule.
    pub(super) fn read_all_until(
        &self,
        series: u32,
        run: &Run,
        (until, most): (u32, usize),
        out: &mut Vec<Point>,
    ) {
        let near = self.early(series, run, |early| early.newest().timestamp >= until);
        near.read_until(&self.pool, until, most, out);
        if let Some(deep) = self.deep.get(&series) {
            let late = deep.late.range(..=until).rev().take(most);
            out.extend(late.map(|(timestamp, value)| Point {
                timestamp: *timestamp,
                value: *value,
            }));
        }
    }

    /// Frees the blocks of a run.
    pub(super) fn release(&mut self, run: Run) {
        run.release(&mut self.pool);
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
        let has_late = self
            .deep
            .get(&series)
            .is_some_and(|deep| !deep.late.is_empty());
        if !has_late {
            self.forget_deep(series);
            return std::mem::take(run);
        }
        self.clear(series, run);
        let mut whole = Run::default();
        for point in &out[begin..] {
            whole.push(&mut self.pool, *point);
        }
        whole
    }

    /// The oldest points of `series`, so many at most, in order.
    pub(super) fn oldest(&self, series: u32, run: &Run, points_max: u32) -> Vec<Point> {
        let mut points = Vec::new();
        let mut at = self.early(series, run, |early| early.len() >= points_max);
        while at.len() > points_max {
            at.back(&self.pool);
        }
        at.read(&self.pool, &mut points);
        if let Some(deep) = self.deep.get(&series) {
            let late = deep.late.iter().take(points_max as usize);
            points.extend(late.map(|(timestamp, value)| Point {
                timestamp: *timestamp,
                value: *value,
            }));
            super::keep_latest(&mut points, 0);
            points.truncate(points_max as usize);
        }
        points
    }

    /// Takes the points of `series` before a second away as one run and adds them to `out`, in order;
    /// others stay. Costs nothing for those but a look at each of their landmarks.
    pub(super) fn detach_before(
        &mut self,
        series: u32,
        run: &mut Run,
        (cut, out): (u32, &mut Vec<Point>),
    ) -> Run {
        assert!(
            run.newest().timestamp >= cut,
            "series {series} has no point from {cut} on"
        );
        let begin = out.len();
        if run.oldest() < cut {
            let mut first = self.early(series, run, |early| early.newest().timestamp >= cut);
            let mut older = first;
            while older.newest().timestamp >= cut {
                first = older;
                older.back(&self.pool);
            }
            older.read(&self.pool, out);
            self.forget_before(series, run, &first);
        }
        if let Some(deep) = self.deep.get_mut(&series) {
            let in_run = out.len();
            while let Some(late) = deep.late.first_entry()
                && *late.key() < cut
            {
                let (timestamp, value) = late.remove_entry();
                out.push(Point { timestamp, value });
            }
            let taken = out.len();
            self.late -= taken - in_run;
            super::keep_latest(out, begin);
            deep.overruling -= number(taken - out.len());
        }
        let mut older = Run::default();
        for point in &out[begin..] {
            older.push(&mut self.pool, *point);
        }
        older
    }

    /// Takes the points of a run before the newest of `first`, an earlier state of it, away.
    fn forget_before(&mut self, series: u32, run: &mut Run, first: &Run) {
        let freed = first.free_older(&mut self.pool);
        run.forget(first, freed);
        run.count_blocks(&self.pool);
        if let Some(deep) = self.deep.get_mut(&series) {
            let landmarks = &mut deep.landmarks;
            let gone = landmarks.partition_point(|early| early.len() < first.len() + STRIDE);
            landmarks.drain(..gone);
            for landmark in landmarks {
                landmark.forget(first, freed);
            }
        }
    }

    /// Has `series` points outside its run?
    pub(super) fn has_late(&self, series: u32) -> bool {
        let deep = self.deep.get(&series);
        deep.is_some_and(|deep| !deep.late.is_empty())
    }

    /// Takes the points of `series` from a second on away and returns them, in order. Outside its run
    /// it has none of other seconds than those of the run.
    pub(super) fn split(&mut self, series: u32, run: &mut Run, from: u32) -> Vec<Point> {
        assert!(
            self.late_len(series) == 0,
            "series {series} has late points"
        );
        let mut taken = Vec::new();
        while run.len() > 0 && run.newest().timestamp >= from {
            let point = self.pop(series, run);
            let value = self.take_overruling(series, point.timestamp);
            taken.push(Point {
                value: value.unwrap_or(point.value),
                ..point
            });
        }
        taken.reverse();
        taken
    }

    /// Takes away the value that stands outside the run for a second of the run.
    fn take_overruling(&mut self, series: u32, timestamp: u32) -> Option<f64> {
        if self.late == 0 {
            return None;
        }
        let deep = self.deep.get_mut(&series)?;
        let value = deep.late.remove(&timestamp)?;
        deep.overruling -= 1;
        self.late -= 1;
        Some(value)
    }

    /// Makes a run that was detached the points of `series` again, which has none.
    pub(super) fn attach(&mut self, series: u32, run: Run) -> Run {
        assert!(
            !self.deep.contains_key(&series),
            "series {series} still has points"
        );
        if run.len() < STRIDE {
            return run;
        }
        let mut landmarks = Vec::with_capacity((run.len() / STRIDE) as usize);
        let mut at = run;
        while at.len() >= STRIDE {
            if at.len().is_multiple_of(STRIDE) {
                landmarks.push(at);
            }
            at.back(&self.pool);
        }
        landmarks.reverse();
        self.landmark_bytes += landmarks.capacity() * size_of::<Run>();
        let deep = Deep {
            landmarks,
            ..Deep::default()
        };
        self.deep.insert(series, deep);
        run
    }

    /// Bytes of the points of `series` outside its record.
    pub(super) fn bytes(&self, series: u32, run: &Run) -> u64 {
        let late = self.deep.get(&series).map_or(0, |deep| deep.late.len());
        self.run_bytes(run) + (late * LATE_BYTES) as u64
    }

    /// Bytes of the blocks of a run.
    pub(super) fn run_bytes(&self, run: &Run) -> u64 {
        u64::from(run.blocks(&self.pool)) * BLOCK_BYTES as u64
    }

    /// The same of all series and runs.
    #[inline]
    pub(super) fn point_bytes(&self) -> u64 {
        (self.pool.len() * BLOCK_BYTES + self.late * LATE_BYTES) as u64
    }

    /// Bytes that a second which is not there may take outside the record.
    #[inline]
    pub(super) fn more_bytes(run: &Run, timestamp: u32) -> u64 {
        let is_in_order = run.len() == 0 || run.newest().timestamp < timestamp;
        if is_in_order && !run.may_need_block() {
            return 0;
        }
        // A late point costs less than a block, or makes the newest ones take one more.
        BLOCK_BYTES as u64
    }

    /// How many of the newest of these points, which are in order, fit in so many bytes of blocks.
    pub(super) fn newest_in(points: &[Point], bytes: u64) -> usize {
        let (mut least, mut most) = (1.min(points.len()), points.len());
        while least < most {
            let middle = most - (most - least) / 2;
            let blocks = run::blocks_for(&points[points.len() - middle..]);
            if u64::from(blocks) * BLOCK_BYTES as u64 <= bytes {
                least = middle;
            } else {
                most = middle - 1;
            }
        }
        least
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

    /// Appends a point that is newer than all in the run. Says how many bytes that took outside
    /// the record.
    #[inline]
    pub(super) fn append(&mut self, series: u32, run: &mut Run, point: Point) -> u64 {
        let took_block = run.push(&mut self.pool, point);
        if run.len().is_multiple_of(STRIDE) {
            self.remember(series, run);
        }
        u64::from(took_block) * BLOCK_BYTES as u64
    }

    #[cold]
    fn remember(&mut self, series: u32, run: &Run) {
        let deep = self.deep.entry(series).or_default();
        self.landmark_bytes -= deep.landmarks.capacity() * size_of::<Run>();
        deep.landmarks.push(*run);
        self.landmark_bytes += deep.landmarks.capacity() * size_of::<Run>();
    }

    /// Takes the newest point of the run away.
    fn pop(&mut self, series: u32, run: &mut Run) -> Point {
        if run.len() >= STRIDE
            && let Some(deep) = self.deep.get_mut(&series)
        {
            deep.landmarks
                .pop_if(|landmark| landmark.len() == run.len());
            let last = deep.landmarks.last();
            assert!(
                last.is_none_or(|landmark| landmark.len() < run.len()),
                "a run of {} points has {last:?} as a landmark",
                run.len()
            );
        }
        run.pop(&mut self.pool)
    }

    /// The value that the run has for a second.
    fn find(&self, series: u32, run: &Run, timestamp: u32) -> Option<f64> {
        if run.len() == 0 || timestamp < run.oldest() || timestamp > run.newest().timestamp {
            return None;
        }
        let mut at = self.early(series, run, |early| early.newest().timestamp >= timestamp);
        while at.newest().timestamp > timestamp {
            at.back(&self.pool);
        }
        let found = at.newest();
        (found.timestamp == timestamp).then_some(found.value)
    }

    /// The run as it was at its first landmark for which this holds, as it does for all later ones; the
    /// run itself where there is none.
    fn early(&self, series: u32, run: &Run, holds: impl Fn(&Run) -> bool) -> Run {
        if run.len() > STRIDE
            && let Some(deep) = self.deep.get(&series)
        {
            let first = deep.landmarks.partition_point(|landmark| !holds(landmark));
            return deep.landmarks.get(first).copied().unwrap_or(*run);
        }
        *run
    }

    fn forget_deep(&mut self, series: u32) {
        if self.deep.is_empty() {
            return;
        }
        if let Some(deep) = self.deep.remove(&series) {
            self.late -= deep.late.len();
            self.landmark_bytes -= deep.landmarks.capacity() * size_of::<Run>();
            if self.deep.len() < self.deep.capacity() / 8 {
                self.deep.shrink_to(self.deep.len() * 2);
            }
        }
    }
}
