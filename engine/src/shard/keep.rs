//! A shard's journal in its turns: what presses it, what it asks of the disk, how it recovers, how it
//! ends.
//! Operations of the writer and of the journal go to the same driver; a mark in the token says whose
//! they are.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Answer, Shard};
use crate::cache::Again;
use crate::journal::{Journal, JournalToken, Pressure, State};
use crate::latency::Latency;
use crate::limits::{DATA_SYNC_LOOK, JOURNAL_CARRIED_SHARE, STOP_UPDATES_WAIT};
use crate::metric::ShardIndex;
use crate::ring::{FileError, FileOperation, FileOutcome, FileToken};

/// Whose operation it is, in the two highest bits of the token's lower half: slots of the writer
/// never reach them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    Writer,
    Journal(u64),
    Replay(u64),
    Removal(u64),
}

const MARK_SHIFT: u32 = 30;
const NUMBER_MASK: u64 = (1 << MARK_SHIFT) - 1;

impl Asker {
    /// Who asked.
    pub(super) fn of(token: FileToken) -> Asker {
        let number = token.0 >> 32 << MARK_SHIFT | token.0 & NUMBER_MASK;
        match token.0 >> MARK_SHIFT & 3 {
            0 => Asker::Writer,
            1 => Asker::Journal(number),
            2 => Asker::Replay(number),
            _ => Asker::Removal(number),
        }
    }

    /// The token of a journal's or a replay's operation.
    pub(super) fn token(self) -> FileToken {
        let (mark, number) = match self {
            Asker::Writer => unreachable!("the writer makes its tokens itself"),
            Asker::Journal(number) => (1, number),
            Asker::Replay(number) => (2, number),
            Asker::Removal(number) => (3, number),
        };
        assert!(number < 1 << 62, "{number} operations");
        FileToken(number >> MARK_SHIFT << 32 | mark << MARK_SHIFT | number & NUMBER_MASK)
    }
}

/// Whether the daemon ends, and what is cached stays in the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    #[default]
    NotAsked,
    /// It is to, and the journal has failed.
    Refused,
    /// It does: no update begins any more.
    Granted,
}

/// What a shard knows of its journal besides.
#[derive(Debug, Default)]
pub(super) struct Keep {
    /// Bytes of the journal that points may take which cannot be written.
    pub(super) carried_bytes_max: u64,
    /// Points are journaled once more: after how many failures, and where to go on.
    again: Option<(u32, Again)>,
    /// Series are noted whose points were written while earlier epochs owed points: the next one.
    unsaid: Option<u32>,
    rest: Rest,
    /// The journal has failed in that, and all is written out instead.
    is_written_out: bool,
    /// Until then it waits for updates that are under way.
    waits_until: Option<Instant>,
    /// The journal was told so.
    has_stopped: bool,
    /// Since when a drain stands still.
    still_since: Option<Instant>,
    /// JOURNAL_SYNC = always: answers that show points up to a serial, and to whom they go.
    held: VecDeque<(u64, ShardIndex, Answer)>,
    /// The same: what brings points up to a serial into a file.
    held_writes: VecDeque<(u64, FileToken, FileOperation)>,
}

impl Keep {
    pub(super) fn new(journal_bytes_max: u64) -> Keep {
        Keep {
            carried_bytes_max: journal_bytes_max / JOURNAL_CARRIED_SHARE,
            ..Keep::default()
        }
    }

    /// Does the daemon end with what is cached in the journal?
    pub(super) fn is_resting(&self) -> bool {
        self.rest == Rest::Granted
    }
}

impl Shard {
    /// The journal's part of the end of a turn.
    pub(super) fn keep(&mut self) {
        if !self.keep.has_stopped {
            self.heed_earlier_epochs();
            self.press();
            self.recover();
        }
        self.look_for_stand_still();
        self.settle_rest();
        let oldest = self.ledger.oldest_unwritten();
        let is_resting = self.may_rest() && self.keep.unsaid.is_none();
        if is_resting && !self.keep.has_stopped {
            self.say_left_behind();
            self.give_up_recall();
        }
        self.keep.has_stopped |= is_resting;
        let Some(journal) = self.ledger.journal_mut() else {
            return;
        };
        if is_resting {
            journal.stop();
        }
        journal.end_turn(oldest);
        if let Some(took) = journal.take_sync_time() {
            self.ledger.time(Latency::JournalSync, took);
        }
        self.release_answers();
    }

    /// A drain in which what is left to the journal has all the room, of this shard or of another, stands
    /// still: senders are read past the bound then, and what does not come back is the next start's. Not
    /// before: what comes out of a sender's socket as room is made comes from behind it, too. It stands
    /// still also where no file may be written before earlier epochs are read and the data's disk is synced,
    /// and that fails.
    fn look_for_stand_still(&mut self) {
        if !self.writer.is_draining() {
            return;
        }
        let points = self.ledger.usage().points;
        let is_left = self.writer.in_flight() == 0 && points == self.left_points();
        let are_all_left = self.ledger.note_left(if is_left { points } else { 0 });
        let is_full = is_left && are_all_left && self.ledger.is_at_bound();
        if !is_full && !self.recalls_in_vain() {
            self.keep.still_since = None;
            return;
        }
        self.keep.still_since.get_or_insert(self.now.instant);
        if self.stands_still() {
            if is_full {
                self.ledger.take_past_bound();
            }
            self.give_up_recall();
        }
    }

    /// Has a drain stood still for so long that nothing makes room any more?
    pub(super) fn stands_still(&self) -> bool {
        let since = self.keep.still_since;
        since.is_some_and(|at| self.now.instant.saturating_duration_since(at) >= STOP_UPDATES_WAIT)
    }

    /// While earlier epochs owe points the journal says nothing of files, and makes up for it
    /// afterwards.
    fn heed_earlier_epochs(&mut self) {
        let is_owing = self.is_indebted();
        if let Some(journal) = self.ledger.journal_mut()
            && journal.set_earlier_owing(is_owing)
        {
            self.keep.unsaid = Some(0);
        }
        if is_owing {
            self.keep.unsaid = None;
            return;
        }
        self.ledger.end_recall();
        let is_blocked = self.ledger.journal().is_some_and(Journal::is_blocked);
        if let Some(from) = self.keep.unsaid.filter(|_| !is_blocked) {
            self.keep.unsaid = self.ledger.note_all_written(from);
        }
    }

    /// May updates begin? Not while the daemon ends with its points in the journal, nor where their
    /// record would find no room.
    pub(super) fn may_write(&self) -> bool {
        let journal = self.ledger.journal();
        !self.keep.is_resting()
            && !self.is_held_by_recall()
            && !journal.is_some_and(Journal::is_blocked)
    }

    /// Answers a question about points. With JOURNAL_SYNC = always nobody sees a point before it is on
    /// the journal's device: then the answer waits for that.
    pub(super) fn reply_when_safe(&mut self, to: ShardIndex, answer: Answer) {
        let journal = self.ledger.journal_mut();
        match journal.filter(|journal| journal.syncs_always()) {
            Some(journal) => {
                if journal.synced_serial() < journal.serial() {
                    journal.hurry();
                }
                self.keep.held.push_back((journal.serial(), to, answer));
            }
            None => self.reply(to, answer),
        }
    }

    /// Sends the answers that have waited for long enough.
    fn release_answers(&mut self) {
        while let Some((serial, _, _)) = self.keep.held.front()
            && self.may_be_seen(*serial)
            && let Some((_, to, answer)) = self.keep.held.pop_front()
        {
            self.reply(to, answer);
        }
    }

    /// Are points up to this serial on the journal's disk? All may be seen where it has failed.
    fn may_be_seen(&self, serial: u64) -> bool {
        self.ledger.journal().is_none_or(|journal| {
            matches!(journal.state(), State::Failed(_)) || journal.synced_serial() >= serial
        })
    }

    /// The writer's next operation. With JOURNAL_SYNC = always what begins an update or makes a file waits
    /// until the points that are noted by then are on the disk: its own are among them.
    pub(super) fn next_of_writer(&mut self) -> Option<(FileToken, FileOperation)> {
        let journal = self.ledger.journal_mut();
        let Some(journal) = journal.filter(|journal| journal.syncs_always()) else {
            return self.writer.next_operation();
        };
        while let Some((token, operation)) = self.writer.next_operation() {
            if !matches!(
                operation,
                FileOperation::Open { .. } | FileOperation::Create { .. }
            ) {
                return Some((token, operation));
            }
            let serial = journal.serial();
            if journal.synced_serial() < serial {
                journal.hurry();
            }
            let held = (serial, token, operation);
            self.keep.held_writes.push_back(held);
        }
        let first = self.keep.held_writes.front().map(|(serial, _, _)| *serial);
        first.filter(|serial| self.may_be_seen(*serial))?;
        let (_, token, operation) = self.keep.held_writes.pop_front()?;
        self.writer.goes(token, self.now.instant);
        Some((token, operation))
    }

    /// Where the journal is short of segments, what keeps the oldest is written first.
    fn press(&mut self) {
        let pressure = self.ledger.journal().map(Journal::pressure);
        let Some(Pressure::Push(until) | Pressure::Full(Some(until))) = pressure else {
            return;
        };
        self.ledger.push(until, self.keep.carried_bytes_max);
    }

    /// After a failure of its disk the journal knows nothing of what is cached: it is told again.
    fn recover(&mut self) {
        let journal = self.ledger.journal();
        let Some(journal) = journal.filter(|journal| journal.state() == State::Recovering) else {
            self.keep.again = None;
            return;
        };
        let failures = journal.failures();
        let from = match self.keep.again {
            Some((known, from)) if known == failures => from,
            _ => Again::at(0),
        };
        // Where only segments are missing, what is carried goes into one past the bound: none retires
        // before all is carried.
        let next = self.ledger.journal_again(from);
        self.keep.again = next.map(|next| (failures, next));
        if next.is_none()
            && let Some(journal) = self.ledger.journal_mut()
        {
            // Where it says no, it has failed again meanwhile, which the next turn sees.
            let _is_well = journal.recovered(failures);
        }
    }

    /// May no points of others be delivered just now, as the journal's buffers are full?
    pub fn is_journal_overrun(&self) -> bool {
        self.ledger.journal().is_some_and(Journal::is_overrun)
    }

    /// The journal's next operation.
    pub(super) fn next_of_journal(&mut self) -> Option<(FileToken, FileOperation)> {
        let (token, operation) = self.ledger.journal_mut()?.next_operation()?;
        Some((Asker::Journal(token.0).token(), operation))
    }

    /// Takes the outcome of one.
    pub(super) fn complete_of_journal(
        &mut self,
        number: u64,
        result: Result<FileOutcome, FileError>,
    ) {
        let Some(journal) = self.ledger.journal_mut() else {
            unreachable!("operation {number} of a journal that is not there")
        };
        journal.complete(JournalToken(number), result);
    }

    /// When the journal wants a turn though nothing happens.
    pub(super) fn journal_deadline(&self) -> Option<Instant> {
        let journal = self.ledger.journal()?;
        let look = self.now.instant + DATA_SYNC_LOOK;
        Some(journal.deadline().map_or(look, |at| at.min(look)))
    }

    /// The daemon ends: what its senders were read of is still taken, however the journal is.
    pub fn take_all(&mut self) {
        if let Some(journal) = self.ledger.journal_mut() {
            journal.take_all();
        }
    }

    /// The same, and however full the cache is: what is cached stays in the journal, and no data disk is
    /// waited for. What comes beyond the bound is what the senders' sockets hold, at most
    /// `limits::LAST_READ_TOTAL_BYTES_MAX` of each.
    pub fn take_all_past_bound(&mut self) {
        self.take_all();
        self.ledger.take_past_bound();
    }

    /// The daemon ends and what is cached, if anything, stays in the journal: no further update
    /// begins. Those that are under way are waited for, but not for ever: the journal owes their points
    /// until they are noted as written.
    /// Where the journal has failed, or fails before it has everything on its disk, all is written out
    /// instead, as by `drain`.
    pub fn rest(&mut self) {
        self.keep.rest = Rest::Granted;
        self.settle_rest();
    }

    /// Whether the journal keeps what is cached is asked anew in each turn until the end: its disk may
    /// fail with the last block, or the last sync.
    fn settle_rest(&mut self) {
        if self.keep.rest == Rest::NotAsked {
            return;
        }
        if self.is_kept() {
            self.keep.rest = Rest::Granted;
            let until = self.now.instant + STOP_UPDATES_WAIT;
            self.keep.waits_until.get_or_insert(until);
            return;
        }
        self.keep.rest = Rest::Refused;
        self.keep.waits_until = None;
        if !self.keep.is_written_out {
            self.keep.is_written_out = true;
            self.drain();
        }
    }

    /// Is nothing cached but what the journal has, or will have?
    fn is_kept(&self) -> bool {
        let state = self.ledger.journal().map(Journal::state);
        state.is_none_or(|state| state == State::Healthy) || self.is_drained()
    }

    /// Is there a journal that notes nothing, as its disk has failed?
    pub fn has_failed_journal(&self) -> bool {
        let journal = self.ledger.journal();
        journal.is_some_and(|journal| !journal.is_noting())
    }

    /// Has the journal failed while the daemon ends, so that what was to stay there is written out?
    pub fn is_written_out(&self) -> bool {
        self.keep.is_written_out
    }

    /// Has the daemon to end, and no update is waited for any more?
    fn may_rest(&self) -> bool {
        let has_journal = self.ledger.journal().is_some();
        self.keep.is_resting() && (self.writer.is_idle() || (self.is_late() && has_journal))
    }

    /// Does the end wait no longer for what does not come about?
    fn is_late(&self) -> bool {
        let until = self.keep.waits_until;
        until.is_some_and(|at| self.now.instant >= at)
    }

    fn say_left_behind(&self) {
        let left = self.writer.in_flight();
        if !self.writer.is_idle() {
            tracing::warn!(
                "{left} operations on data files are not done after {} s: the stop goes on without them, \
                 and the journal keeps their points",
                STOP_UPDATES_WAIT.as_secs()
            );
        }
    }

    /// Is the journal to be told of the end, which no event brings about?
    pub(super) fn has_to_stop(&self) -> bool {
        !self.keep.has_stopped && self.may_rest()
    }

    /// Is everything that was accepted in a file or in the journal, on its disk, and what the journal
    /// says of files? And has what the next start would remove another name?
    pub fn is_at_rest(&self) -> bool {
        let journal = self.ledger.journal();
        self.keep.has_stopped
            && self.may_rest()
            && !self.has_messages()
            && journal.is_none_or(Journal::is_quiet)
            && self.is_kept()
            && (self.is_late() || !self.is_setting_aside())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_lead_back_to_who_asked() {
        for number in [0, 1, NUMBER_MASK, NUMBER_MASK + 1, (1 << 62) - 1] {
            for asker in [
                Asker::Journal(number),
                Asker::Replay(number),
                Asker::Removal(number),
            ] {
                assert_eq!(Asker::of(asker.token()), asker);
            }
        }
        let of_writer = FileToken(u64::from(u32::MAX) << 32 | 1023);
        assert_eq!(Asker::of(of_writer), Asker::Writer);
    }
}
