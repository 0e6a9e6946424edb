//! The journal's turns: blocks end when their time has come, go to the disk in order, and are synced
//! on time; segments follow each other and retire.
//! Invariants: a block of names is answered before a block of points that uses them is handed out; a
//! round of syncs covers every block that was answered before it began.

use std::time::{Duration, Instant};

use super::block::{Head, Kind};
use super::lane::{Finished, Last};
use super::task::{JournalToken, Task};
use super::{Earlier, Intake, Journal, OnError, Retry, Round, State, Sync};
use crate::breaks::{self, Break};
use crate::clock::Now;
use crate::limits::{
    JOURNAL_BLOCK_BYTES_NEAR, JOURNAL_COMMIT_AWAITED, JOURNAL_LAST_WANT, JOURNAL_RETRY,
};
use crate::ring::{FileError, FileOperation, Piece};
use crate::stats::Counter;

impl Journal {
    /// A turn begins; `second` is the time of receipt of what comes in it, on the clock of the
    /// cache's ages.
    pub fn begin_turn(&mut self, now: Now, second: u32) {
        assert!(
            now.instant >= self.now.instant && second >= self.second,
            "the clock went back: second {second} after {}",
            self.second
        );
        self.now = now;
        self.second = second;
    }

    /// A turn ends: asks for what is due. `oldest_unwritten` is when the oldest point was noted that
    /// is not written yet; a carried point was noted when it was carried.
    pub fn end_turn(&mut self, oldest_unwritten: Option<u32>) {
        self.assert_bounded();
        self.hear_of_syncs();
        if self.is_noting() {
            self.note_run();
            self.note_marks();
        }
        self.recover();
        // What was carried before a failure may be lost with it: nothing goes until all is carried
        // again. Nor does it while all is to come back behind what earlier epochs owe.
        if self.state == State::Healthy && self.earlier == Earlier::Done {
            self.retire(oldest_unwritten);
        }
        self.free_files();
        self.make_ahead();
        self.end_blocks();
        self.send(Kind::Names);
        self.send(Kind::Points);
        self.begin_round();
        self.close_quiet();
    }

    /// Somebody waits for what was noted to be as safe as it gets, whatever the times are.
    pub fn hurry(&mut self) {
        self.awaited_serial = self.serial();
    }

    /// How long a block waits for further entries.
    fn commit_wait(&self) -> Duration {
        let commit = match self.config.sync {
            // A sync begins with what is written.
            Sync::Every(wait) => {
                let wait = wait.saturating_sub(self.round_takes.min(wait / 2));
                self.config.commit.min(wait)
            }
            Sync::Always | Sync::Never => self.config.commit,
        };
        if self.is_block_awaited() {
            commit.min(JOURNAL_COMMIT_AWAITED)
        } else {
            commit
        }
    }

    /// Does somebody wait for what the block says that is being filled? Files are not written before it
    /// is said that earlier epochs owe nothing.
    fn is_block_awaited(&self) -> bool {
        self.awaited_serial > self.block_serial || self.epochs_done > self.epochs_done_committed
    }

    /// Does somebody wait for a sync of what is written?
    fn is_sync_awaited(&self) -> bool {
        let (awaited, sealed) = (self.awaited_serial, self.epochs_done);
        self.is_now_committed(awaited)
            || (sealed > self.epochs_done_synced && sealed == self.epochs_done_committed)
            || (self.is_short() && self.is_next_to_go_awaited())
    }

    /// Is what was noted below this serial written, and not synced yet?
    fn is_now_committed(&self, serial: u64) -> bool {
        serial > self.synced_serial && serial <= self.committed_serial
    }

    /// Would a sync let the oldest segment go, or a file of one that went be used again?
    fn is_next_to_go_awaited(&self) -> bool {
        let oldest = self.kept.front().and_then(|kept| kept.retires);
        oldest.is_some_and(|retires| self.is_now_committed(retires.serial))
            || (self.retired_committed > self.retired_synced && !self.limbo.is_empty())
    }

    /// When the next round of syncs is due: at once where somebody waits for it.
    fn round_due(&self) -> Option<Instant> {
        let due = self.sync_due.filter(|_| self.round.is_none())?;
        Some(if self.is_sync_awaited() {
            due.min(self.now.instant)
        } else {
            due
        })
    }

    /// What is to be done on the disk; `complete` takes each answer.
    pub fn next_operation(&mut self) -> Option<(JournalToken, FileOperation)> {
        self.tasks.hand_out()
    }

    /// When the next turn is due without an answer or a point; besides, one a second sees what the
    /// data disk has synced.
    pub fn deadline(&self) -> Option<Instant> {
        let began = self.began.filter(|_| self.point_lane.is_done());
        let commit = began.map(|began| began.at + self.commit_wait());
        [commit, self.round_due(), self.retry_at()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Senders have been told to stop: what was read of them is taken, in segments past the bound if
    /// need be, and without being noted where the disk has failed and the process is to end for it.
    pub fn take_all(&mut self) {
        if self.intake == Intake::Open {
            self.intake = Intake::Last(self.now.instant + JOURNAL_LAST_WANT);
            self.try_anew();
        }
    }

    /// Next segments are asked for at once: what was lacking may be there.
    fn try_anew(&mut self) {
        for kind in Kind::ALL {
            self.lane(kind).failure = None;
        }
    }

    /// Nothing is noted any more: what there is goes to the disk, and is synced.
    pub fn stop(&mut self) {
        if self.intake != Intake::Over {
            self.intake = Intake::Over;
            self.try_anew();
        }
    }

    /// After `stop`: everything is written, answered, and synced unless that is `Never`.
    pub fn is_quiet(&self) -> bool {
        let is_clean = |kind: &super::Lane| {
            let is_dirty = kind.present.as_ref().is_some_and(|open| !open.is_quiet());
            kind.is_done() && !is_dirty
        };
        let is_written = self.began.is_none()
            && self.names.names() == 0
            && is_clean(&self.point_lane)
            && is_clean(&self.name_lane)
            && self.closing.is_empty();
        self.tasks.is_empty() && (is_written || !self.is_noting())
    }

    /// The journal's disk has failed, and nothing says yet that it is well.
    pub(super) fn fail(&mut self, error: FileError) {
        if !self.is_noting() {
            return;
        }
        self.state = State::Failed(error);
        self.era += 1;
        self.has_news = true;
        for kept in &mut self.kept {
            kept.retires = None;
        }
        self.give_up_entries();
        for kind in Kind::ALL {
            let present = self.lane(kind).present.take();
            self.closing.extend(present);
        }
        self.retry = match self.config.on_error {
            OnError::Stop => Retry::Never,
            OnError::Continue => Retry::At(self.now.instant + JOURNAL_RETRY),
        };
    }

    /// When new segments are tried after a failure: never behind the stop, when nothing is noted any more.
    fn retry_at(&self) -> Option<Instant> {
        let at = self.retry.next_at();
        at.filter(|_| self.intake != Intake::Over)
    }

    /// After a failure: asks for new segments from time to time, and notes again once they are there.
    fn recover(&mut self) {
        let now = self.now.instant;
        if self.retry_at().is_some_and(|at| now >= at) {
            self.retry = Retry::Trying(now + JOURNAL_RETRY);
            self.try_anew();
            for kind in Kind::ALL {
                self.make_next(kind, true);
            }
        }
        let are_ready = self.point_lane.is_ready() && self.name_lane.is_ready();
        if are_ready && matches!(self.retry, Retry::Trying(_)) {
            self.state = State::Recovering;
            self.retry = Retry::Never;
            self.recovery_segment = self.point_lane.upcoming;
        }
    }

    /// Asks for next segments before they are needed.
    fn make_ahead(&mut self) {
        if !self.is_noting() || self.intake == Intake::Over {
            return;
        }
        let segment_bytes = self.config.segment_bytes;
        if self.point_lane.is_half_full(segment_bytes) {
            self.make_next(Kind::Points, false);
        }
        if self.ids.is_worn() || self.name_lane.is_half_full(segment_bytes) {
            self.make_next(Kind::Names, false);
        }
    }

    /// Ends blocks that are full or whose time has come, where the ones before are written.
    fn end_blocks(&mut self) {
        if !self.is_noting() {
            return;
        }
        if self.began.is_none() && self.has_news && self.point_lane.is_done() {
            self.begin_block();
        }
        let full = match self.config.sync {
            Sync::Every(_) | Sync::Never => self.block_bytes_full().min(JOURNAL_BLOCK_BYTES_NEAR),
            // Each block costs a sync.
            Sync::Always => self.block_bytes_full(),
        };
        if let Some(began) = self.began.filter(|_| self.point_lane.is_done()) {
            let waited = self.now.instant.saturating_duration_since(began.at);
            let is_due = waited >= self.commit_wait() || self.intake == Intake::Over;
            if is_due || self.points.payload_bytes() >= full {
                let (bytes, entries) = self.end_block();
                self.began = None;
                self.point_lane.last = Last::Waiting(Finished {
                    bytes,
                    entries,
                    generation: began.generation,
                    serial: self.block_serial - u64::from(entries),
                    received_ms: u64::from(began.unix_seconds) * 1000,
                    began_at: began.at,
                    names_needed: self.names_noted,
                    last_second: (entries > 0).then_some(self.second),
                });
            }
        }
        let is_full = self.names.payload_bytes() >= full;
        let is_needed = matches!(&self.point_lane.last, Last::Waiting(points) if
            points.names_needed > self.names_committed);
        if self.names.names() > 0 && self.name_lane.is_done() && (is_full || is_needed) {
            self.end_names();
        }
    }

    fn end_names(&mut self) {
        let empty = super::NameEncoder::new(Vec::new());
        let ended = std::mem::replace(&mut self.names, empty);
        let entries = ended.names();
        self.name_lane.last = Last::Waiting(Finished {
            bytes: ended.finish(),
            entries,
            generation: self.ids.generation(),
            serial: self.names_serial,
            received_ms: u64::from(self.now.unix_seconds) * 1000,
            began_at: self.now.instant,
            names_needed: 0,
            last_second: None,
        });
        self.names_serial += u64::from(entries);
    }

    /// Hands a lane's block out, where its names are written and a segment has room for it.
    fn send(&mut self, kind: Kind) {
        let names_committed = self.names_committed;
        let Last::Waiting(finished) = &self.lane(kind).last else {
            return;
        };
        let (generation, needed) = (finished.generation, finished.names_needed);
        let (bytes, last_second) = (finished.bytes.len(), finished.last_second);
        let has_names = needed <= names_committed || breaks::is(Break::Names);
        if !has_names || !self.find_room(kind, bytes, generation) {
            return;
        }
        let lane = self.lane(kind);
        let (Last::Waiting(finished), Some(present)) =
            (std::mem::replace(&mut lane.last, Last::Done), &lane.present)
        else {
            unreachable!("it waited, and room was found")
        };
        let (segment, block, visit) = (present.segment, present.blocks, present.visits.append);
        let head = Head {
            kind,
            shard: self.config.shard,
            epoch: self.config.epoch,
            segment,
            block,
            generation,
            serial: finished.serial,
            received_ms: finished.received_ms,
            entries: finished.entries,
            retired: self.retired,
            epochs_done: self.epochs_done,
            mount: self.mount(),
        };
        let (bytes, offset) = self.lane(kind).send(head, finished);
        if kind == Kind::Points {
            self.has_news = false;
            let Some(kept) = self.kept.back_mut().filter(|kept| kept.segment == segment) else {
                unreachable!("segment {segment} is written and kept")
            };
            kept.last_second = kept.last_second.max(last_second);
        }
        let era = self.era;
        self.tasks.ask(
            Task::Append { kind, visit, era },
            FileOperation::Append {
                visit,
                piece: Piece { offset, bytes },
                sync: self.config.sync == Sync::Always,
            },
        );
    }

    /// Makes the present segment one that has room for a block of so many bytes.
    fn find_room(&mut self, kind: Kind, block_bytes: usize, generation: u32) -> bool {
        let (segment_bytes, now) = (self.config.segment_bytes, self.now.instant);
        let lane = self.lane(kind);
        if lane.has_room(block_bytes, segment_bytes) {
            return true;
        }
        if lane.is_ready() {
            self.rotate(kind, generation);
            return true;
        }
        match lane.failure {
            Some((error, retry_at)) if !lane.has_next() && now < retry_at => {
                if self.is_final(error) {
                    self.fail(error);
                }
            }
            _ => self.make_next(kind, true),
        }
        false
    }

    /// Whether a segment that could not be opened is a failure of the journal. Want of descriptors or
    /// memory is none while senders can wait with the block, nor while they end, which leaves theirs; behind
    /// them nothing waits.
    pub(super) fn is_final(&self, error: FileError) -> bool {
        let waits = match self.intake {
            Intake::Open => true,
            Intake::Last(until) => self.now.instant < until,
            Intake::Over => false,
        };
        !error.is_passing() || !waits
    }

    /// Begins a round of syncs when it is due: of all files that were written since the last one.
    fn begin_round(&mut self) {
        let is_idle = self.began.is_none() && self.point_lane.is_done() && self.name_lane.is_done();
        let is_last = self.intake == Intake::Over && is_idle;
        let is_due = self.round_due().is_some_and(|due| self.now.instant >= due);
        if self.round.is_some() || !(is_due || is_last) {
            return;
        }
        let present = [&mut self.point_lane.present, &mut self.name_lane.present];
        let open = present.into_iter().flatten().chain(&mut self.closing);
        let mut files_left = 0;
        for segment in open.filter(|segment| segment.is_dirty) {
            if breaks::is(Break::Sync) {
                segment.is_dirty = false;
                continue;
            }
            let Some(visit) = segment.visits.sync else {
                unreachable!("{segment:?} is dirty and cannot be synced")
            };
            assert!(!segment.is_syncing, "{segment:?} is synced outside a round");
            segment.is_dirty = false;
            segment.is_syncing = true;
            files_left += 1;
            self.tasks
                .ask(Task::Sync { visit }, FileOperation::Sync { visit });
        }
        self.sync_due = None;
        if breaks::is(Break::Sync) {
            self.synced_serial = self.committed_serial;
            self.retired_synced = self.retired_committed;
            self.epochs_done_synced = self.epochs_done_committed;
        }
        if files_left > 0 {
            self.stats.add(Counter::JournalSyncs, files_left as u64);
            self.round = Some(Round {
                began_at: self.now.instant,
                files_left,
                serial: self.committed_serial,
                retired: self.retired_committed,
                epochs_done: self.epochs_done_committed,
                has_failed: false,
            });
        }
    }
}
