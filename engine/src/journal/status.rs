//! What the journal says of itself: whether it can take points, what presses, and its numbers.

use super::lane::{Lane, Last};
use super::segments::Kept;
use super::{Earlier, Intake, Journal, OnError, State, Sync};
use crate::breaks::{self, Break};
use crate::limits::{JOURNAL_OVERRUN_BYTES, JOURNAL_OVERRUN_PART, JOURNAL_PUSH_QUARTERS};
use crate::ring::FileError;
use crate::stats::Stats;

/// What waits in a buffer is told in steps of this.
const BUFFERED_STEP_BYTES: usize = 64 << 10;

/// How short of segments the journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// There are enough.
    None,
    /// Series with points that were noted up to this second and are not written pin the oldest
    /// segment: they should be written first, or carried.
    Push(u32),
    /// There are none: no more points are taken before a segment retires. Until this second, if that
    /// helps, points should be written or carried.
    Full(Option<u32>),
}

/// What the journal holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// How it is; `Recovering` also until its disk knows that what stands before its last failure
    /// owes nothing: a crash may bring an old value of a second back over one written meanwhile.
    pub state: State,
    /// For want of what a block waits for its segment, which is tried again.
    pub lacks: Option<FileError>,
    /// Bytes of its files, whatever is in them.
    pub bytes: u64,
    /// Bytes of its tables and of what waits in its buffers.
    pub memory_bytes: u64,
    /// Segments of points that owe something, the present one included.
    pub segments: usize,
    /// Of these, the ones that are kept because a sync of the data has failed.
    pub doubtful_segments: usize,
    /// Files of names.
    pub name_segments: usize,
    /// Points noted, written, and on the disk.
    pub serial: u64,
    /// Of these, written.
    pub committed_serial: u64,
    /// Of these, synced; where nothing is ever synced, written.
    pub synced_serial: u64,
}

impl Journal {
    /// Whether the owner is to take no new point: the buffers are full, or there is no segment to go
    /// on in. What other shards have accepted already still has room.
    pub fn is_congested(&self) -> bool {
        match self.state {
            State::Failed(_) => {
                let has_to_stop = self.config.on_error == OnError::Stop;
                has_to_stop && self.intake == Intake::Open && !breaks::is(Break::Stop)
            }
            State::Healthy | State::Recovering => {
                let is_held = self.holds_senders && self.earlier != Earlier::Done;
                let is_full = is_held || self.is_out_of_segments();
                self.is_blocked() || (is_full && self.intake == Intake::Open)
            }
        }
    }

    /// The same for points of earlier epochs: the bound of segments is not for them, for none retires
    /// before they are all noted.
    pub fn is_congested_for_copies(&self) -> bool {
        match self.state {
            State::Failed(_) => self.is_congested(),
            State::Healthy | State::Recovering => self.is_blocked(),
        }
    }

    /// Whether the buffers are full: the owner is to begin no update either, for its record would
    /// have no room.
    pub fn is_blocked(&self) -> bool {
        let full = self.block_bytes_full();
        let is_full = |bytes: usize, lane: &Lane| bytes >= full && !lane.is_done();
        self.is_noting()
            && (is_full(self.points.payload_bytes(), &self.point_lane)
                || is_full(self.names.payload_bytes(), &self.name_lane))
    }

    /// Whether points may be noted once more in this turn: until the block that is being filled is full.
    /// Nobody waits for them, and what lies beyond is for points that must be taken.
    pub fn has_room_to_carry(&self) -> bool {
        let noted = self.points.payload_bytes().max(self.names.payload_bytes());
        self.is_noting() && noted < self.block_bytes_full()
    }

    /// Whether not even points that others have accepted have room: what its buffers take beyond their
    /// bound is used up to what one more turn may bring.
    pub fn is_overrun(&self) -> bool {
        let most = self.block_bytes_full() + JOURNAL_OVERRUN_BYTES / JOURNAL_OVERRUN_PART;
        self.is_noting() && self.points.payload_bytes().max(self.names.payload_bytes()) >= most
    }

    /// How short of segments it is.
    pub fn pressure(&self) -> Pressure {
        // Nothing that is written or carried would let a segment retire.
        if self.earlier != Earlier::Done {
            return Pressure::None;
        }
        if self.is_noting() && self.is_out_of_segments() {
            return Pressure::Full(self.oldest_second());
        }
        match self.oldest_second() {
            Some(second) if self.is_short() => Pressure::Push(second),
            _ => Pressure::None,
        }
    }

    /// Whether so many segments may owe something that the oldest are to go.
    pub(super) fn is_short(&self) -> bool {
        let (used, most) = (self.kept.len() * 4, self.point_files_max());
        used >= most * JOURNAL_PUSH_QUARTERS as usize || self.is_out_of_segments()
    }

    /// Of the oldest segment that is pinned and not the present one. None while one in doubt stands
    /// before it that owes nothing: it goes first, at the bound one at a time, and to write or carry what
    /// younger ones owe brings that no nearer. What is carried each time would take more segments than go.
    pub(super) fn oldest_second(&self) -> Option<u32> {
        let waits_in_doubt = |kept: &Kept| kept.retires.is_some() && self.is_in_doubt(kept.segment);
        if self.kept.front().is_some_and(waits_in_doubt) {
            return None;
        }
        let present = self.point_lane.present.as_ref();
        let present = present.map(|present| present.segment);
        let mut pinned = self
            .kept
            .iter()
            .filter(|kept| kept.retires.is_none() && Some(kept.segment) != present);
        pinned.next().and_then(|kept| kept.last_second)
    }

    /// Whether its oldest segment owes nothing, and goes once its disk and the data's know that.
    pub fn is_leaving(&self) -> bool {
        self.kept.front().is_some_and(|kept| kept.retires.is_some())
    }

    /// How it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// How often it has failed.
    pub fn failures(&self) -> u32 {
        self.era
    }

    /// Why the process must stop, where a failure of the journal is to stop it.
    pub fn must_stop(&self) -> Option<FileError> {
        match (self.state, self.config.on_error) {
            (State::Failed(error), OnError::Stop) => Some(error),
            (State::Failed(_) | State::Healthy | State::Recovering, _) => None,
        }
    }

    /// Points below this serial are written, or were given up by a failure.
    pub fn committed_serial(&self) -> u64 {
        self.committed_serial
    }

    /// Points below this serial are on the disk, or were given up by a failure.
    pub fn synced_serial(&self) -> u64 {
        self.synced_serial
    }

    /// Points below this serial are as safe as they get: on the disk, or written where nothing is
    /// ever synced.
    pub fn safe_serial(&self) -> u64 {
        match self.config.sync {
            Sync::Every(_) | Sync::Always => self.synced_serial,
            Sync::Never => self.committed_serial,
        }
    }

    /// Segments below this number owe nothing, and that is as safe as it gets.
    pub(super) fn retired_safe(&self) -> u32 {
        match self.config.sync {
            Sync::Every(_) | Sync::Always => self.retired_synced,
            Sync::Never => self.retired_committed,
        }
    }

    /// Is each block synced as it is written (JOURNAL_SYNC = always)?
    pub fn syncs_always(&self) -> bool {
        self.config.sync == Sync::Always
    }

    /// This run of the daemon.
    pub fn epoch(&self) -> u32 {
        self.config.epoch
    }

    /// Is what `seal_epochs_done` said last as safe as it gets?
    pub fn has_sealed_epochs(&self) -> bool {
        let sealed = match self.config.sync {
            Sync::Every(_) | Sync::Always => self.epochs_done_synced,
            Sync::Never => self.epochs_done_committed,
        };
        sealed == self.epochs_done
    }

    /// Counters of this journal.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Bytes of its tables and of what waits in its buffers, these in steps: whoever publishes this
    /// with every few points is to find it as it was.
    pub fn memory_bytes(&self) -> u64 {
        let buffers = [self.points.payload_bytes(), self.names.payload_bytes()];
        let buffered = buffers.map(|bytes| bytes.next_multiple_of(BUFFERED_STEP_BYTES));
        self.ids.bytes() + buffered.iter().sum::<usize>() as u64
    }

    /// What a block waits for that has no segment, where that is no failure.
    fn lacks(&self) -> Option<FileError> {
        let segment_bytes = self.config.segment_bytes;
        let lacking = |lane: &Lane| match &lane.last {
            Last::Waiting(block) if !lane.has_room(block.bytes.len(), segment_bytes) => {
                lane.failure.map(|(error, _)| error)
            }
            Last::Waiting(_) | Last::Out(_) | Last::Done => None,
        };
        lacking(&self.point_lane).or_else(|| lacking(&self.name_lane))
    }

    /// What it holds.
    pub fn status(&self) -> Status {
        Status {
            state: if self.state == State::Healthy && self.retired_safe() < self.recovery_segment {
                State::Recovering
            } else {
                self.state
            },
            lacks: self.lacks(),
            bytes: self.files() as u64 * u64::from(self.config.segment_bytes),
            memory_bytes: self.memory_bytes(),
            segments: self.kept.len(),
            doubtful_segments: self.doubtful_segments(),
            name_segments: self.name_files.len(),
            serial: self.serial(),
            committed_serial: self.committed_serial,
            synced_serial: self.safe_serial(),
        }
    }
}
