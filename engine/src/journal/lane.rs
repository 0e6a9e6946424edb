//! A lane of the journal: its segments of one kind, the block that is on its way to the disk, and
//! the buffers that go round. Points have one, names have one.
//! Invariants: at most one block of a lane is between its end and its answer, so that blocks reach
//! their segment in order; a segment is open twice where it is synced beside its writes, for the ring
//! carries out one operation on a visit at a time.

use std::path::PathBuf;
use std::time::Instant;

use super::block::{ALIGNMENT, Head};
use crate::limits::JOURNAL_BLOCK_BYTES;
use crate::ring::{FileError, VisitId};

/// Buffers that wait to be filled: one is filled while the other is written.
const SPARES_MAX: usize = 2;
/// Capacity of a new buffer: a full block, and what comes in the turn in which it gets full.
const BUFFER_BYTES: usize = JOURNAL_BLOCK_BYTES + (64 << 10);

/// Segments of one kind.
#[derive(Debug)]
pub(super) struct Lane {
    /// The segment that is written.
    pub(super) present: Option<OpenSegment>,
    /// The one after it.
    pub(super) next: Next,
    /// Why there is no next one, and when to try again.
    pub(super) failure: Option<(FileError, Instant)>,
    /// The block before the one that is being filled.
    pub(super) last: Last,
    spares: Vec<Vec<u8>>,
    /// Number of the next segment.
    pub(super) upcoming: u32,
}

/// A segment whose file is open.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub(super) segment: u32,
    /// Number of its next block.
    pub(super) blocks: u32,
    /// Where that begins.
    pub(super) end: u64,
    pub(super) visits: Visits,
    /// Bytes were written since its last sync began.
    pub(super) is_dirty: bool,
    pub(super) is_syncing: bool,
    pub(super) is_appending: bool,
}

/// The visits of an open file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visits {
    pub(super) append: VisitId,
    /// Where it is synced apart from its writes.
    pub(super) sync: Option<VisitId>,
}

impl OpenSegment {
    /// Nothing is to be done with it, nor under way.
    pub(super) fn is_quiet(&self) -> bool {
        !self.is_dirty && !self.is_syncing && !self.is_appending
    }
}

/// The segment after the present one.
#[derive(Debug)]
pub(super) enum Next {
    /// Nobody has asked for it.
    None,
    /// It is being opened.
    Making {
        path: PathBuf,
        /// Its first visit, once that is there.
        append: Option<VisitId>,
        /// The file has its name.
        is_made: bool,
    },
    /// It can be written.
    Ready { path: PathBuf, visits: Visits },
}

/// A block that is full, or whose time has come.
#[derive(Debug)]
pub(super) struct Finished {
    /// Room for the head, then the payload.
    pub(super) bytes: Vec<u8>,
    pub(super) entries: u32,
    pub(super) generation: u32,
    pub(super) serial: u64,
    pub(super) received_ms: u64,
    /// When its first entry was noted.
    pub(super) began_at: Instant,
    /// Names that must be on the disk before it.
    pub(super) names_needed: u64,
    /// When its last point was received.
    pub(super) last_second: Option<u32>,
}

/// What remains to be known of a block that is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    pub(super) entries: u32,
    pub(super) serial_end: u64,
    pub(super) retired: u32,
    pub(super) epochs_done: u32,
    pub(super) bytes: u64,
    pub(super) began_at: Instant,
}

/// The block before the one that is being filled.
#[derive(Debug)]
pub(super) enum Last {
    /// It is written.
    Done,
    /// It waits for its segment, or for its names.
    Waiting(Finished),
    /// It is being written.
    Out(Out),
}

impl Lane {
    pub(super) fn new() -> Lane {
        Lane {
            present: None,
            next: Next::None,
            failure: None,
            last: Last::Done,
            spares: Vec::with_capacity(SPARES_MAX),
            upcoming: 0,
        }
    }

    /// Whether the block before is written.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.last, Last::Done)
    }

    /// Whether the next segment is there or on its way.
    pub(super) fn has_next(&self) -> bool {
        !matches!(self.next, Next::None)
    }

    /// Whether the next segment is there.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.next, Next::Ready { .. })
    }

    /// Whether the next segment is wanted: there is none to write, or it is half full.
    pub(super) fn is_half_full(&self, segment_bytes: u32) -> bool {
        let half = u64::from(segment_bytes / 2);
        self.present
            .as_ref()
            .is_none_or(|present| present.end >= half)
    }

    /// Whether so many bytes of entries go into the present segment. An empty one takes all.
    pub(super) fn has_room(&self, block_bytes: usize, segment_bytes: u32) -> bool {
        self.present.as_ref().is_some_and(|present| {
            let bytes = block_bytes.next_multiple_of(ALIGNMENT) as u64;
            present.blocks == 0 || present.end + bytes <= u64::from(segment_bytes)
        })
    }

    /// Goes on in the next segment; gives the path of that, and the one that was present.
    pub(super) fn rotate(&mut self) -> (PathBuf, Option<OpenSegment>) {
        let next = std::mem::replace(&mut self.next, Next::None);
        let Next::Ready { path, visits } = next else {
            unreachable!("the caller has seen that it is ready: {next:?}")
        };
        let segment = self.upcoming;
        let Some(upcoming) = segment.checked_add(1) else {
            unreachable!("numbers of segments last for 256 PB of the smallest blocks")
        };
        self.upcoming = upcoming;
        let present = OpenSegment {
            segment,
            blocks: 0,
            end: 0,
            visits,
            is_dirty: false,
            is_syncing: false,
            is_appending: false,
        };
        (path, self.present.replace(present))
    }

    /// Makes a block of what waits, for the present segment: its bytes and where they go.
    pub(super) fn send(&mut self, head: Head, finished: Finished) -> (Vec<u8>, u64) {
        let Some(present) = &mut self.present else {
            unreachable!("the caller has seen that it has room")
        };
        assert!(!present.is_appending, "{present:?} is written already");
        let mut bytes = finished.bytes;
        let offset = present.end;
        head.seal(&mut bytes);
        let block_bytes = bytes.len() as u64;
        present.end += block_bytes;
        present.blocks += 1;
        present.is_appending = true;
        self.last = Last::Out(Out {
            entries: finished.entries,
            serial_end: finished.serial + u64::from(finished.entries),
            retired: head.retired,
            epochs_done: head.epochs_done,
            bytes: block_bytes,
            began_at: finished.began_at,
        });
        (bytes, offset)
    }

    /// A buffer to be filled.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.spares
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// A buffer comes back. One that a full journal has made longer is not kept.
    pub(super) fn give_back(&mut self, buffer: Vec<u8>) {
        if self.spares.len() < SPARES_MAX && buffer.capacity() <= 2 * BUFFER_BYTES {
            self.spares.push(buffer);
        }
    }

    /// Gives up the block before, whatever it waits for; says how many entries it had.
    pub(super) fn give_up(&mut self) -> u32 {
        match std::mem::replace(&mut self.last, Last::Done) {
            Last::Done => 0,
            Last::Waiting(finished) => {
                self.give_back(finished.bytes);
                finished.entries
            }
            Last::Out(out) => out.entries,
        }
    }
}
