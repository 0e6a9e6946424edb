//! What is known of each file, and what the serials of one segment and the next say is missing.
//! Pure. A segment's own gaps are known while it is read; what is missing between two segments, and
//! whether it counts at all, only once all heads have been seen.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;

use super::{Damage, Harm, Report, Stretch};
use crate::journal::block::{Head, Kind};
use crate::journal::survey::SegmentFile;
use crate::journal::walk::{Gap, SegmentKey, Tail};
use crate::limits::JOURNAL_HARMS_KEPT_MAX;

/// The first sound block of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    block: u32,
    serial: u64,
}

/// Blocks that follow each other.
#[derive(Clone, Debug)]
struct Run {
    bytes: Range<u64>,
    serials: Range<u64>,
}

/// A file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) key: Option<SegmentKey>,
    pub(super) tail: Tail,
    /// Points in it of metrics that are owned.
    pub(super) points_owned: u64,
    /// Points gone inside it.
    pub(super) lost: u64,
    /// Where the last part of it ends that could not be read.
    pub(super) unread_until: Option<u64>,
    first: Option<First>,
    runs: Vec<Run>,
    harms: Vec<(u64, Damage)>,
    harms_more: u64,
}

impl Segment {
    pub(super) fn new(file: SegmentFile) -> Segment {
        Segment {
            path: file.path,
            bytes: file.bytes,
            key: file.key,
            tail: Tail::default(),
            points_owned: 0,
            lost: 0,
            unread_until: None,
            first: None,
            runs: Vec::new(),
            harms: Vec::new(),
            harms_more: 0,
        }
    }

    pub(super) fn is(&self, kind: Kind) -> bool {
        self.key.is_some_and(|key| key.kind == kind)
    }

    pub(super) fn harm(&mut self, offset: u64, what: Damage) {
        if self.harms.len() < JOURNAL_HARMS_KEPT_MAX {
            self.harms.push((offset, what));
        } else {
            self.harms_more += 1;
        }
    }

    /// A sound block with these bytes, and what is missing before it.
    pub(super) fn note(&mut self, head: &Head, bytes: Range<u64>, gap: Option<Gap>) {
        let serials = head.serial..head.serial + u64::from(head.entries);
        if let Some(gap) = gap {
            let what = Damage::Blocks {
                bytes: gap.until - gap.from,
                entries: gap.entries,
            };
            self.harm(gap.from, what);
            if head.kind == Kind::Points {
                self.lost += gap.entries.unwrap_or(0);
            }
        }
        let (block, serial) = (head.block, head.serial);
        self.first.get_or_insert(First { block, serial });
        match self.runs.last_mut() {
            Some(run) if run.bytes.end == bytes.start && run.serials.end == serials.start => {
                run.bytes.end = bytes.end;
                run.serials.end = serials.end;
            }
            Some(_) | None => self.runs.push(Run { bytes, serials }),
        }
    }

    /// What the second pass reads of it.
    pub(super) fn stretches(&self, file: usize) -> impl Iterator<Item = Stretch> {
        self.runs.iter().map(move |run| Stretch {
            file,
            from: run.bytes.start,
            until: run.bytes.end,
            serials: (run.serials.start, run.serials.end),
        })
    }

    fn points(&self) -> u64 {
        let points = |run: &Run| run.serials.end - run.serials.start;
        self.runs.iter().map(points).sum()
    }

    fn serial_end(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.serials.end)
    }
}

/// Whole files, in the order of their segments.
pub(super) fn whole(files: &[Segment], wanted: impl Fn(&Segment) -> bool) -> VecDeque<Stretch> {
    let mut indexes: Vec<usize> = (0..files.len()).collect();
    indexes.retain(|index| wanted(&files[*index]));
    indexes.sort_by_key(|index| files[*index].key);
    let stretch = |file: usize| Stretch {
        file,
        from: 0,
        until: files[file].bytes,
        serials: (0, 0),
    };
    indexes.into_iter().map(stretch).collect()
}

/// Says in the report what is missing within and between the segments that count, those for which it
/// is known how many of their stream are retired; returns those of points in the order in which they
/// are given out.
pub(super) fn settle(
    files: &mut [Segment],
    counted: &[Option<u32>],
    report: &mut Report,
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_key(|index| files[*index].key);
    for index in &order {
        let file = &mut files[*index];
        // What cannot be read has no key, and may be anything.
        if counted[*index].is_some() || file.key.is_none() {
            for (offset, what) in file.harms.drain(..) {
                let path = file.path.clone();
                report.harm(Harm { path, offset, what });
            }
            report.harms_more += std::mem::take(&mut file.harms_more);
            if file.unread_until.is_some() {
                report.unread.insert(file.path.clone());
            }
        }
    }
    order.retain(|index| counted[*index].is_some() && files[*index].is(Kind::Points));
    order.retain(|index| files[*index].first.is_some());
    report.segments = order.len();
    for (place, index) in order.iter().enumerate() {
        let file = &files[*index];
        report.lost += file.lost;
        report.points += file.points();
        let before = place.checked_sub(1).map(|before| &files[order[before]]);
        let before = before.filter(|before| is_same_stream(before, file));
        before_segment(before, file, counted[*index], report);
        let after = order.get(place + 1).map(|after| &files[*after]);
        if after.is_some_and(|after| is_same_stream(file, after)) {
            if file.tail.torn_bytes > 0 {
                report.harm(Harm {
                    path: file.path.clone(),
                    offset: file.tail.from,
                    what: Damage::End,
                });
            }
        } else {
            report.torn_bytes += file.tail.torn_bytes;
            // What the disk cannot read behind the last sound block may be blocks, too.
            let sound_until = file.runs.last().map(|run| run.bytes.end);
            report.lost_uncounted += u64::from(file.unread_until > sound_until);
        }
    }
    order
}

/// What is missing before the first sound block of a segment.
fn before_segment(
    before: Option<&Segment>,
    file: &Segment,
    retired: Option<u32>,
    report: &mut Report,
) {
    let (Some(key), Some(first)) = (file.key, file.first) else {
        unreachable!("only what was read is settled")
    };
    // Files that were used again hold others than the oldest: what lay between owes nothing.
    let follows = |before: &&Segment| {
        let next = before.key.map(|before| before.segment + 1);
        next == Some(key.segment) || Some(key.segment) > retired
    };
    let expected = match before.filter(follows) {
        Some(before) => Some(before.serial_end()),
        None if key.segment == 0 => Some(0),
        None => None,
    };
    let points = match expected {
        Some(expected) if first.serial > expected => Some(first.serial - expected),
        // Before it lie the retired ones, which owe nothing; unless more than those is missing, or its
        // own first blocks.
        None if first.block > 0 || Some(key.segment) > retired => None,
        Some(_) | None => return,
    };
    match points {
        Some(points) => report.lost += points,
        None => report.lost_uncounted += 1,
    }
    report.harm(Harm {
        path: file.path.clone(),
        offset: 0,
        what: Damage::Before { points },
    });
}

fn is_same_stream(one: &Segment, other: &Segment) -> bool {
    let stream = |segment: &Segment| segment.key.map(|key| (key.epoch, key.shard));
    stream(one) == stream(other)
}
