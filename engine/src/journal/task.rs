//! What the journal has asked of the disk and not been answered yet.
//! Invariant: every operation that was handed out is answered once; an answer to none is our bug.

use std::collections::VecDeque;

use super::block::Kind;
use crate::ring::{FileOperation, VisitId};

/// The journal's number for an operation; comes back with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalToken(pub u64);

/// What an operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// A block of a lane, sent in this era.
    Append {
        kind: Kind,
        visit: VisitId,
        era: u32,
    },
    /// A visit of a lane's next segment.
    Open { kind: Kind },
    /// A segment's part in a round of syncs.
    Sync { visit: VisitId },
    /// The end of a visit.
    Close,
    /// The end of a file.
    Remove,
}

/// Operations on their way, a handful at a time.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    queue: VecDeque<(JournalToken, FileOperation)>,
    under_way: Vec<(JournalToken, Task)>,
    token: u64,
}

impl Tasks {
    /// Asks for an operation.
    pub(super) fn ask(&mut self, task: Task, operation: FileOperation) {
        self.token += 1;
        let token = JournalToken(self.token);
        self.under_way.push((token, task));
        self.queue.push_back((token, operation));
    }

    /// Hands the next one out.
    pub(super) fn hand_out(&mut self) -> Option<(JournalToken, FileOperation)> {
        self.queue.pop_front()
    }

    /// What an answer is for.
    pub(super) fn answered(&mut self, token: JournalToken) -> Task {
        let place = self.under_way.iter().position(|(asked, _)| *asked == token);
        let Some(place) = place else {
            unreachable!("{token:?} was answered before, or never asked for")
        };
        let (_, task) = self.under_way.swap_remove(place);
        task
    }

    /// Whether nothing waits for an answer.
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }
}
