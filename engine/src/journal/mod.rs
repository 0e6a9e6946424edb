//! The journal of one shard: what it has accepted is on the disk before it is in its file.
//! `Journal` is a state machine without I/O: points, what became of them, answers and time go in;
//! operations on segments come out. `block`, `entry` and `name_entry` are the bytes of
//! docs/formats/journal.md, pure; `data_sync` is what shards and the desk share.
//! A turn of the owner: `begin_turn`, then any of `point`, `carry`, `written`, `complete`, then
//! `end_turn`, then `next_operation` until there is none.
//!
//! Promises: a point that was noted is written within `commit` (and the time of a write) and synced
//! within `sync`, for which a sync begins earlier where the disk takes its time; names are written before points that use them; a segment's file is used again only
//! when nothing in it is owed, what was written from it is on the data disk, and the journal itself
//! says so on its own disk. Nothing is allocated per point or block in the steady state.
//! What fails is a state that is told (`state`), never a switch in silence: points that were not noted
//! are counted, and noted again by the owner before it is `Healthy` again.

mod answers;
pub mod block;
mod data_sync;
mod doubt;
pub mod entry;
#[cfg(test)]
mod entry_tests;
mod file_name;
mod ids;
mod lane;
mod marks;
pub mod name_entry;
mod noting;
mod number;
pub mod replay;
mod segments;
mod status;
pub mod survey;
mod task;
#[cfg(test)]
pub(crate) mod tests;
mod turn;
pub mod walk;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use data_sync::DataSync;
pub use doubt::MOUNT_DOUBTFUL;
pub use file_name::FileName;
pub use noting::Part;
pub use status::{Pressure, Status};
pub use task::JournalToken;

use crate::clock::Now;
use crate::limits::{
    JOURNAL_BLOCK_BYTES, JOURNAL_SEGMENT_BYTES_MAX, JOURNAL_SEGMENT_BYTES_MIN, JOURNAL_SEGMENTS_MIN,
};
use crate::ring::FileError;
use crate::stats::Stats;
use block::Kind;
use data_sync::Heard;
use entry::PointEncoder;
use ids::Ids;
use lane::{Lane, OpenSegment};
use marks::Marks;
use name_entry::NameEncoder;
use segments::{Kept, Limbo, NameFile};
use task::Tasks;

/// When what was written is synced (JOURNAL_SYNC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// So long after the first point that is not on the disk was noted.
    Every(Duration),
    /// With each block.
    Always,
    /// When the kernel likes.
    Never,
}

/// What happens when the journal's disk fails (JOURNAL_ON_ERROR).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// `must_stop` says why; no point is taken any more.
    Stop,
    /// Points are taken and not noted, which is counted, until a segment can be made again.
    Continue,
}

/// How a shard's journal is set up.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// Where its files are; it exists.
    pub directory: PathBuf,
    /// The shard.
    pub shard: u16,
    /// This run of the daemon.
    pub epoch: u32,
    /// Length of a segment's file.
    pub segment_bytes: u32,
    /// Files of both kinds; names may take what they need, points are left two at least.
    pub segments_max: u32,
    /// How long a point waits to be written: less where it would not be synced in time, or where
    /// somebody waits for that.
    pub commit: Duration,
    /// When it is synced.
    pub sync: Sync,
    /// What happens when the disk fails.
    pub on_error: OnError,
    /// Syncs of the data disk.
    pub data_sync: Arc<DataSync>,
    /// Which mount of the data's file system files are written through: another number after a
    /// start of the machine and after each mount; not `MOUNT_DOUBTFUL`.
    pub mount: u32,
}

impl JournalConfig {
    /// Bytes of all its files.
    pub fn bytes_max(&self) -> u64 {
        u64::from(self.segments_max) * u64::from(self.segment_bytes)
    }
}

/// How the journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// What is accepted is noted.
    Healthy,
    /// Nothing is noted, for this reason.
    Failed(FileError),
    /// New points are noted again; the owner is to `carry` all that are unwritten and then to say
    /// `recovered`.
    Recovering,
}

/// One shard's journal.
#[derive(Debug)]
pub struct Journal {
    config: JournalConfig,
    now: Now,
    second: u32,
    state: State,
    /// Rises with each failure: answers of earlier ones are about blocks that were given up.
    era: u32,
    intake: Intake,
    earlier: Earlier,
    /// Senders wait while earlier epochs owe points.
    holds_senders: bool,
    /// Syncs of the data, as of the begin of this turn's end.
    heard: Heard,
    /// Somebody waits for points below this serial to be on the disk.
    awaited_serial: u64,
    /// Segments of points below this number may have had points written that a failed sync has lost.
    doubtful_below: u32,
    retry: Retry,

    /// A block is begun and nothing stands before a point: the hot path asks only this.
    is_flowing: bool,
    ids: Ids,
    points: PointEncoder,
    /// The block of points that is being filled.
    began: Option<Began>,
    /// Points of the stream before that block.
    block_serial: u64,
    /// Ids whose points are all written, not yet noted: first and count.
    written_run: Option<(u32, u32)>,
    marks: Marks,
    names: NameEncoder,
    /// Names noted, and written, in all generations.
    names_noted: u64,
    names_committed: u64,
    /// Names of this generation before the block of names that is being filled.
    names_serial: u64,

    point_lane: Lane,
    name_lane: Lane,
    /// Segments of points that owe something or may, by number; the present one is among them.
    kept: VecDeque<Kept>,
    /// Segments that owe nothing, until the disk knows that.
    limbo: VecDeque<Limbo>,
    /// Files to be used again.
    free: Vec<PathBuf>,
    name_files: VecDeque<NameFile>,
    /// Segments that are written no more and still open.
    closing: Vec<OpenSegment>,
    file_number: u32,

    retired: u32,
    epochs_done: u32,
    /// A head would say something new.
    has_news: bool,
    committed_serial: u64,
    retired_committed: u32,
    epochs_done_committed: u32,
    synced_serial: u64,
    retired_synced: u32,
    epochs_done_synced: u32,
    round: Option<Round>,
    sync_due: Option<Instant>,
    /// How long a round takes: the longest of late.
    round_takes: Duration,
    /// How long the last round of syncs took, until somebody has asked.
    round_took: Option<Duration>,
    /// First segment since the last failure.
    recovery_segment: u32,

    tasks: Tasks,
    stats: Stats,
}

/// Which points are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intake {
    /// Those that there is room for.
    Open,
    /// Whatever was read, at the bound and without a disk too: the last ones come. Until then a segment
    /// that lacks a descriptor is waited for.
    Last(Instant),
    /// None.
    Over,
}

/// What earlier epochs owe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Earlier {
    /// Nothing, and their files may go.
    Done,
    /// Points.
    Owing,
    /// The same, and files were written meanwhile, of which nothing is noted.
    OwingAndWritten,
}

/// When a new segment is tried after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    /// There was none, or the process is to stop.
    Never,
    /// Then.
    At(Instant),
    /// It is being tried; again at this time.
    Trying(Instant),
}

impl Retry {
    /// When it is tried next.
    fn next_at(self) -> Option<Instant> {
        match self {
            Retry::Never => None,
            Retry::At(at) | Retry::Trying(at) => Some(at),
        }
    }
}

/// When a block began.
#[derive(Clone, Copy, Debug)]
struct Began {
    at: Instant,
    unix_seconds: u32,
    generation: u32,
}

/// A sync of all that was written before it began.
#[derive(Clone, Copy, Debug)]
struct Round {
    began_at: Instant,
    files_left: usize,
    serial: u64,
    retired: u32,
    epochs_done: u32,
    has_failed: bool,
}

impl Journal {
    /// A journal without a file. Points are noted at once; `end_turn` asks for the first segments.
    pub fn new(config: JournalConfig, now: Now, second: u32) -> Journal {
        let sizes = JOURNAL_SEGMENT_BYTES_MIN..=JOURNAL_SEGMENT_BYTES_MAX;
        assert!(
            sizes.contains(&config.segment_bytes),
            "segments of {} bytes",
            config.segment_bytes
        );
        assert!(
            config.segments_max >= JOURNAL_SEGMENTS_MIN,
            "{} segments",
            config.segments_max
        );
        let heard = config.data_sync.hear();
        Journal {
            config,
            now,
            second,
            state: State::Healthy,
            era: 0,
            intake: Intake::Open,
            earlier: Earlier::Done,
            holds_senders: false,
            heard,
            awaited_serial: 0,
            doubtful_below: 0,
            retry: Retry::Never,
            is_flowing: false,
            ids: Ids::new(),
            points: PointEncoder::new(Vec::new(), 0),
            began: None,
            block_serial: 0,
            written_run: None,
            marks: Marks::default(),
            names: NameEncoder::new(Vec::new()),
            names_noted: 0,
            names_committed: 0,
            names_serial: 0,
            point_lane: Lane::new(),
            name_lane: Lane::new(),
            kept: VecDeque::new(),
            limbo: VecDeque::new(),
            free: Vec::new(),
            name_files: VecDeque::new(),
            closing: Vec::new(),
            file_number: 0,
            retired: 0,
            epochs_done: 0,
            has_news: false,
            committed_serial: 0,
            retired_committed: 0,
            epochs_done_committed: 0,
            synced_serial: 0,
            retired_synced: 0,
            epochs_done_synced: 0,
            round: None,
            sync_due: None,
            round_takes: Duration::ZERO,
            round_took: None,
            recovery_segment: 0,
            tasks: Tasks::default(),
            stats: Stats::default(),
        }
    }

    /// Length of a payload that is full.
    fn block_bytes_full(&self) -> usize {
        JOURNAL_BLOCK_BYTES.min(self.config.segment_bytes as usize / 4)
    }

    /// Whether entries are taken.
    pub fn is_noting(&self) -> bool {
        !matches!(self.state, State::Failed(_))
    }

    fn lane(&mut self, kind: Kind) -> &mut Lane {
        match kind {
            Kind::Points => &mut self.point_lane,
            Kind::Names => &mut self.name_lane,
        }
    }
}
