//! Marks: how far the written entries are true on the data's device, and not in the page cache only.
//! After a kill every written entry is true. After a power cut, or where the data was mounted anew,
//! those before the last mark of which the journal says so are, and what the others speak of is
//! written again.
//! While there are written entries behind the last mark, one is noted every so often, and with it the
//! next sync of the data's file system is asked for; when that is done the journal says so.
//! Where a sync has failed there are none while anything of then is kept (`doubt`).

use std::time::Instant;

use super::{Intake, Journal};
use crate::limits::DATA_MARK_EVERY;

/// The marks of a journal.
#[derive(Debug, Default)]
pub(super) struct Marks {
    last: u32,
    /// The ticket of the sync that the last mark waits for.
    ticket: Option<u64>,
    /// When the next one is due; none while nothing is written.
    due: Option<Instant>,
}

impl Journal {
    /// A written entry was noted.
    pub(super) fn want_mark(&mut self) {
        let due = self.now.instant + DATA_MARK_EVERY;
        self.marks.due.get_or_insert(due);
    }

    /// Notes what is due, behind all written entries of the turn.
    pub(super) fn note_marks(&mut self) {
        if self.intake == Intake::Over {
            return;
        }
        // What a mark speaks of may be what a failed sync has lost.
        if self.is_doubtful() {
            self.marks.ticket = None;
            return;
        }
        let done = self.heard.done;
        let is_done = self.marks.ticket.is_some_and(|ticket| done >= ticket);
        if is_done && self.begin_record() {
            self.points.data_synced(self.marks.last);
            self.marks.ticket = None;
        }
        let is_due = self.marks.due.is_some_and(|due| due <= self.now.instant);
        if is_due && self.marks.ticket.is_none() && self.begin_record() {
            let Some(mark) = self.marks.last.checked_add(1) else {
                unreachable!("marks come seconds apart")
            };
            self.points.mark(mark);
            self.marks = Marks {
                last: mark,
                ticket: Some(self.config.data_sync.ticket()),
                due: None,
            };
        }
    }
}
