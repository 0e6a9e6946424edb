//! Operations on a file that only grows by whole writes and is kept open, as state machines: a
//! segment is made and allocated, written piece by piece, synced.
//! It is made by its name at once, for it counts by what stands in it: one that was half made, or
//! never written, reads as empty. Where it cannot be allocated for want of room, its name goes again.
//! Invariants: `open` says whether the direct slot holds the file; a segment that could not be made
//! leaves it empty or stuck (`visit`), one that could not be written stays open.

use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::command::{
    Command, Handle, Machine, Next, PathOf, Patience, Span, Transfers, note, passes,
};
use super::operation::{FileError, FileOutcome, Piece, Stage, VisitId};

/// What a segment's operation is to do.
#[derive(Debug)]
enum Intent {
    Reserve {
        path: CString,
        bytes: u64,
        allocated: bool,
        /// The name is there, and is to go again where the rest fails.
        named: bool,
    },
    Append {
        sync: bool,
        /// Synced since the last byte was written.
        synced: bool,
    },
    Sync {
        synced: bool,
    },
}

/// One operation on the segment in a direct slot.
#[derive(Debug)]
pub(super) struct Segment {
    intent: Intent,
    id: VisitId,
    open: bool,
    /// It could not be closed, and nobody asks for that again.
    stuck: bool,
    transfers: Transfers,
    failure: Option<FileError>,
    patience: Patience,
}

impl Segment {
    /// Makes the file at `path` into the slot of `id`, with room for `bytes`.
    pub(super) fn reserve(id: VisitId, path: CString, bytes: u64) -> Segment {
        let intent = Intent::Reserve {
            path,
            bytes,
            allocated: bytes == 0,
            named: false,
        };
        Segment {
            open: false,
            ..Segment::new(id, intent, Vec::new())
        }
    }

    /// Writes a piece.
    pub(super) fn append(id: VisitId, piece: Piece, sync: bool) -> Segment {
        Segment::new(
            id,
            Intent::Append {
                sync,
                synced: !sync,
            },
            vec![piece],
        )
    }

    /// fdatasync.
    pub(super) fn sync(id: VisitId) -> Segment {
        Segment::new(id, Intent::Sync { synced: false }, Vec::new())
    }

    fn new(id: VisitId, intent: Intent, pieces: Vec<Piece>) -> Segment {
        Segment {
            intent,
            id,
            open: true,
            stuck: false,
            transfers: Transfers::new(pieces),
            failure: None,
            patience: Patience::new(),
        }
    }

    /// The visit that this works on.
    pub(super) fn id(&self) -> VisitId {
        self.id
    }

    fn fail(&mut self, stage: Stage, errno: i32) {
        if !self.patience.forgives(errno) {
            // What is left to do is forgiven as much as all before.
            if self.failure.is_none() {
                self.patience.renew();
            }
            note(&mut self.failure, stage, errno);
        }
    }

    fn next_reserve(&mut self, round: &mut Vec<Command>) -> Next {
        let Intent::Reserve {
            bytes,
            allocated,
            named,
            ..
        } = self.intent
        else {
            unreachable!("only a reserve makes a file")
        };
        let slot = self.id.slot;
        if let Some(failure) = self.failure {
            if self.open && !self.stuck {
                round.push(Command::CloseVisit(slot));
            }
            if named {
                round.push(Command::Unlink);
            }
            if round.is_empty() {
                return Next::Done(Err(failure));
            }
            return Next::Together;
        }
        if !self.open {
            round.push(Command::MakeVisit(slot));
        }
        if !allocated {
            round.push(Command::AllocateVisit(slot, bytes));
        }
        if round.is_empty() {
            return Next::Done(Ok(FileOutcome::Opened {
                visit: self.id,
                pieces: Vec::new(),
            }));
        }
        Next::Linked
    }

    fn next_append(&mut self, round: &mut Vec<Command>, synced: bool) -> Next {
        let handle = Handle::Visit(self.id.slot);
        round.extend(
            self.transfers
                .missing(1)
                .map(|span| Command::Write(handle, span)),
        );
        if !synced {
            round.push(Command::Sync(handle));
        }
        if !round.is_empty() {
            return Next::Linked;
        }
        let Some(piece) = self.transfers.take().pop() else {
            unreachable!("an append has a piece")
        };
        Next::Done(Ok(FileOutcome::Appended(piece.bytes)))
    }
}

impl Machine for Segment {
    fn next(&mut self, round: &mut Vec<Command>) -> Next {
        self.patience.begin_round();
        if matches!(self.intent, Intent::Reserve { .. }) {
            return self.next_reserve(round);
        }
        if let Some(failure) = self.failure {
            return Next::Done(Err(failure));
        }
        match self.intent {
            Intent::Append { synced, .. } => self.next_append(round, synced),
            Intent::Sync { synced: true } => Next::Done(Ok(FileOutcome::Synced)),
            Intent::Sync { synced: false } => {
                round.push(Command::Sync(Handle::Visit(self.id.slot)));
                Next::Together
            }
            Intent::Reserve { .. } => unreachable!("handled above"),
        }
    }

    fn answered(&mut self, command: Command, answer: Result<u32, i32>) {
        let unsupported = [Errno::OPNOTSUPP, Errno::NOSYS].map(Errno::raw_os_error);
        match (command, answer, &mut self.intent) {
            (Command::MakeVisit(_), Ok(_), Intent::Reserve { named, .. }) => {
                self.patience.renew();
                self.open = true;
                *named = true;
            }
            (Command::AllocateVisit(..), Ok(_), Intent::Reserve { allocated, .. }) => {
                *allocated = true;
            }
            // A file system that cannot allocate: the file grows as it is written.
            (Command::AllocateVisit(..), Err(errno), Intent::Reserve { allocated, .. })
                if unsupported.contains(&errno) =>
            {
                *allocated = true;
            }
            (Command::Write(_, span), Ok(bytes), _) if bytes > 0 => {
                self.patience.renew();
                self.transfers.advance(span, bytes);
                if let Intent::Append { sync, synced } = &mut self.intent {
                    *synced = !*sync;
                }
            }
            // A regular file that takes no byte and gives no reason would do so for ever.
            (Command::Write(..), Ok(_), _) => self.fail(Stage::Write, Errno::IO.raw_os_error()),
            (Command::Sync(_), Ok(_), Intent::Append { synced, .. } | Intent::Sync { synced }) => {
                *synced = true;
            }
            (Command::CloseVisit(_), Err(errno), _) if passes(errno) => {
                self.stuck = !self.patience.forgives(errno);
            }
            // Whatever else it answers, the slot is empty afterwards.
            (Command::CloseVisit(_), _, _) => self.open = false,
            (Command::Unlink, Err(errno), _) if self.patience.forgives(errno) => {}
            (Command::Unlink, _, Intent::Reserve { named, .. }) => *named = false,
            (Command::MakeVisit(_), Err(errno), _) => self.fail(Stage::Create, errno),
            (Command::AllocateVisit(..), Err(errno), _) => self.fail(Stage::Allocate, errno),
            (Command::Write(..), Err(errno), _) => self.fail(Stage::Write, errno),
            (Command::Sync(_), Err(errno), _) => self.fail(Stage::Sync, errno),
            (command, answer, _) => {
                unreachable!("a segment was answered {answer:?} to {command:?}")
            }
        }
    }

    fn opened(&mut self, command: Command, _descriptor: OwnedFd) {
        unreachable!("a segment opens no descriptor, yet {command:?} did")
    }

    fn plain(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn path(&self, which: PathOf) -> &CStr {
        let Intent::Reserve { path, .. } = &self.intent else {
            unreachable!("only a reserve has a path, not {which:?}")
        };
        path
    }

    fn buffer(&mut self, span: Span) -> &mut [u8] {
        self.transfers.bytes(span)
    }

    fn leftover(&self) -> Option<&CStr> {
        None
    }

    fn is_stuck(&self) -> bool {
        self.stuck
    }
}
