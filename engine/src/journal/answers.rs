//! Answers of the disk, in any order.
//! Invariants: a block counts as committed when its answer is there, as synced when a round that
//! began later is answered whole; answers to what was given up change nothing but their file.

use std::time::Duration;

use super::block::Kind;
use super::lane::{Last, Out};
use super::task::{JournalToken, Task};
use super::{Journal, Sync};
use crate::ring::{FileError, FileOutcome, VisitId};
use crate::stats::Counter;

impl Journal {
    /// Takes the answer to an operation; `end_turn` goes on from it.
    pub fn complete(&mut self, token: JournalToken, result: Result<FileOutcome, FileError>) {
        let task = self.tasks.answered(token);
        if result.is_err() {
            self.stats.add(Counter::JournalErrors, 1);
        }
        match (task, result) {
            (Task::Append { kind, visit, era }, result) => self.appended(kind, visit, era, result),
            (Task::Open { kind }, Ok(FileOutcome::Opened { visit, .. })) => {
                self.opened(kind, visit);
            }
            (Task::Open { kind }, Err(error)) => self.not_opened(kind, error),
            (Task::Sync { visit }, Ok(FileOutcome::Synced)) => self.synced(visit, None),
            (Task::Sync { visit }, Err(error)) => self.synced(visit, Some(error)),
            // A file that cannot be closed or removed is in nobody's way; the error was counted.
            (Task::Close, Ok(FileOutcome::Closed) | Err(_))
            | (Task::Remove, Ok(FileOutcome::Removed) | Err(_)) => {}
            (task, Ok(outcome)) => unreachable!("{task:?} was answered with {outcome:?}"),
        }
    }

    /// How long the last round of syncs took; once.
    pub fn take_sync_time(&mut self) -> Option<Duration> {
        self.round_took.take()
    }

    fn appended(
        &mut self,
        kind: Kind,
        visit: VisitId,
        era: u32,
        result: Result<FileOutcome, FileError>,
    ) {
        let is_present = era == self.era;
        let is_synced_apart = matches!(self.config.sync, Sync::Every(_));
        let segment = self.segment_of(visit);
        assert!(segment.is_appending, "{segment:?} was not written");
        segment.is_appending = false;
        let bytes = match result {
            Ok(FileOutcome::Appended(bytes)) => bytes,
            Ok(outcome) => unreachable!("a block was answered with {outcome:?}"),
            Err(error) => {
                if is_present {
                    self.fail(error);
                }
                return;
            }
        };
        segment.is_dirty |= is_synced_apart;
        let lane = self.lane(kind);
        lane.give_back(bytes);
        if !is_present {
            self.sync_due.get_or_insert(self.now.instant);
            return;
        }
        let Last::Out(out) = lane.last else {
            unreachable!(
                "{visit:?} was written, and nothing was on its way: {:?}",
                lane.last
            )
        };
        lane.last = Last::Done;
        self.committed(kind, out);
    }

    fn committed(&mut self, kind: Kind, out: Out) {
        self.stats.add(Counter::JournalBlocks, 1);
        self.stats.add(Counter::JournalBytes, out.bytes);
        match kind {
            Kind::Names => self.names_committed += u64::from(out.entries),
            Kind::Points => {
                assert!(
                    out.serial_end >= self.committed_serial
                        && out.retired >= self.retired_committed,
                    "{out:?} behind serial {} and segment {}",
                    self.committed_serial,
                    self.retired_committed
                );
                self.committed_serial = out.serial_end;
                self.retired_committed = out.retired;
                self.epochs_done_committed = out.epochs_done;
            }
        }
        match self.config.sync {
            Sync::Every(wait) => {
                // What is promised is the end of the sync.
                let due = out.began_at + wait.saturating_sub(self.round_takes.min(wait / 2));
                self.sync_due = Some(self.sync_due.map_or(due, |earlier| earlier.min(due)));
            }
            Sync::Always => {
                self.stats.add(Counter::JournalSyncs, 1);
                self.synced_serial = self.committed_serial;
                self.retired_synced = self.retired_committed;
                self.epochs_done_synced = self.epochs_done_committed;
            }
            Sync::Never => {}
        }
    }

    fn synced(&mut self, visit: VisitId, error: Option<FileError>) {
        let segment = self.segment_of(visit);
        assert!(segment.is_syncing, "{segment:?} was not synced");
        segment.is_syncing = false;
        if error.is_some() {
            // After a failed sync the kernel holds as clean what it could not write: another one
            // would say nothing.
            segment.is_dirty = false;
        }
        let Some(round) = &mut self.round else {
            unreachable!("{visit:?} was synced outside a round")
        };
        round.files_left -= 1;
        round.has_failed |= error.is_some();
        let round = *round;
        if round.files_left == 0 {
            self.round = None;
            // One that was quick says little of the next: what is remembered fades slowly.
            let took = self.now.instant.saturating_duration_since(round.began_at);
            self.round_takes = took.max(self.round_takes * 7 / 8);
            self.round_took = Some(took);
            if !round.has_failed {
                self.synced_serial = round.serial;
                self.retired_synced = round.retired;
                self.epochs_done_synced = round.epochs_done;
            }
        }
        if let Some(error) = error {
            self.fail(error);
        }
    }
}
