//! Operations on a file that is there: open, read, write, close, as state machines.
//! An open goes out together with the reads of what was asked for, unlinked: an open that need not
//! wait is done before the kernel looks at the reads, and those that come too early find the slot
//! empty (EBADF) and go out again. Reads of an open file are not linked either, because a short one
//! would cut the link. A write is one chain (the pieces in order, fdatasync, close). Where nothing
//! that was read shows that the file reaches as far as the pieces do, the chain begins with a read of
//! the last byte to be written, which cuts it where the file ends before that byte. Where a chain is
//! cut, the next round asks for what is still missing.
//! A close that is cut off, or refused by an error that passes, has not happened, however often: it is
//! asked for alone, and where that is refused for too long the operation ends and the slot is *stuck*.
//! Any other error of a close comes when the file is gone from its slot. After a write it is the answer:
//! a file system behind a network tells only then that what was written found no room.
//! Invariant: `open` says whether the direct slot holds a file; no machine ends with an error, and no
//! write or close ends, before it is empty or stuck.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::command::{
    Command, Handle, Machine, Next, PathOf, Patience, Span, Transfers, note, passes,
};
use super::operation::{Access, ByteRange, FileError, FileOutcome, Piece, Stage, VisitId};
use crate::limits::{FILE_PIECES_MAX, FILE_REQUESTS_TOGETHER_MAX};

/// A chain of writes leaves room for the read before them, its sync and its close, one of reads for
/// its open and advice.
const LINKED_TOGETHER_MAX: usize = FILE_REQUESTS_TOGETHER_MAX - 3;

/// The buffer of the byte that is read before a write, apart from those that are written.
const REACH_BUFFER: u32 = u32::MAX;
const _: () = assert!(FILE_PIECES_MAX <= REACH_BUFFER as usize);

/// What a visit is to do.
#[derive(Debug)]
enum Intent {
    Open {
        path: CString,
        access: Access,
        /// The time of the last access is left alone; given up where that is not permitted.
        noatime: bool,
        advised: bool,
        /// The open is in the round that is out.
        opening: bool,
    },
    Read,
    Write {
        sync: bool,
        /// The last byte that is to be written is still to be seen in the file: files of this
        /// format never grow, and a header that lies would make one of gigabytes. None where what
        /// the visit has read lies further back.
        unseen: Option<Span>,
        /// What was written begins its way to the device before the file is closed.
        write_back: bool,
    },
    Close,
}

/// One operation on the file in a direct slot.
#[derive(Debug)]
pub(super) struct Visit {
    intent: Intent,
    id: VisitId,
    /// The direct slot holds the file.
    open: bool,
    /// The round that is out is a close and nothing else.
    closes_alone: bool,
    /// That was refused for so long that nobody asks for it again.
    stuck: bool,
    /// Only between the open and the lock of a file to be locked.
    plain: Option<OwnedFd>,
    transfers: Transfers,
    /// The last byte that is to be written, as it was before.
    last: [u8; 1],
    failure: Option<FileError>,
    patience: Patience,
}

impl Visit {
    /// Opens `path` into the slot of `id` and reads from it.
    pub(super) fn open(
        id: VisitId,
        path: CString,
        access: Access,
        noatime: bool,
        ranges: &[ByteRange],
    ) -> Visit {
        let intent = Intent::Open {
            path,
            access,
            noatime,
            advised: !access.random,
            opening: false,
        };
        Visit {
            open: false,
            ..Visit::new(id, intent, empty(ranges))
        }
    }

    /// Reads from the open file.
    pub(super) fn read(id: VisitId, ranges: &[ByteRange]) -> Visit {
        Visit::new(id, Intent::Read, empty(ranges))
    }

    /// Writes to the open file, which is known to reach to `seen` at least, and closes it.
    pub(super) fn write(id: VisitId, pieces: Vec<Piece>, seen: u64, sync: bool) -> Visit {
        let unseen = end_of(&pieces).filter(|end| *end > seen).map(|end| Span {
            buffer: REACH_BUFFER,
            from: 0,
            bytes: 1,
            offset: end - 1,
        });
        let intent = Intent::Write {
            sync,
            unseen,
            write_back: false,
        };
        Visit::new(id, intent, pieces)
    }

    /// The same, which begins to write to the device at once where it does not wait for it anyway.
    pub(super) fn write_back(mut self, wanted: bool) -> Visit {
        if let Intent::Write {
            sync, write_back, ..
        } = &mut self.intent
        {
            *write_back = wanted && !*sync;
        }
        self
    }

    /// Closes the open file.
    pub(super) fn close(id: VisitId) -> Visit {
        Visit::new(id, Intent::Close, Vec::new())
    }

    fn new(id: VisitId, intent: Intent, pieces: Vec<Piece>) -> Visit {
        Visit {
            intent,
            id,
            open: true,
            closes_alone: false,
            stuck: false,
            plain: None,
            transfers: Transfers::new(pieces),
            last: [0],
            failure: None,
            patience: Patience::new(),
        }
    }

    /// The visit that this works on.
    pub(super) fn id(&self) -> VisitId {
        self.id
    }

    fn next_open(&mut self, round: &mut Vec<Command>) -> Next {
        let slot = self.id.slot;
        let Intent::Open {
            access,
            noatime,
            advised,
            opening,
            ..
        } = &mut self.intent
        else {
            unreachable!("only an open opens")
        };
        *opening = !self.open;
        if !self.open && access.lock {
            let locked = self.plain.is_some();
            round.push(if locked {
                Command::Lock(slot)
            } else {
                Command::OpenPlain
            });
            return Next::Linked;
        }
        if !self.open {
            round.push(Command::OpenVisit {
                slot,
                noatime: *noatime,
            });
        }
        // Advice comes before the first read.
        let is_chain = !*advised;
        if is_chain {
            round.push(Command::Advise(slot));
        }
        let spans = self.transfers.missing(LINKED_TOGETHER_MAX);
        round.extend(spans.map(|span| Command::Read(slot, span)));
        if round.is_empty() {
            return Next::Done(Ok(FileOutcome::Opened {
                visit: self.id,
                pieces: self.transfers.take(),
            }));
        }
        if is_chain {
            Next::Linked
        } else {
            Next::Together
        }
    }

    fn next_write(&mut self, round: &mut Vec<Command>) -> Next {
        let Intent::Write {
            sync,
            unseen,
            write_back,
        } = self.intent
        else {
            unreachable!("only a write writes")
        };
        let handle = Handle::Visit(self.id.slot);
        if let Some(last) = unseen {
            round.push(Command::Read(self.id.slot, last));
        }
        // One more than fits is asked for, to see whether this round is the last.
        let spans = self.transfers.missing(LINKED_TOGETHER_MAX + 1);
        round.extend(spans.map(|span| Command::Write(handle, span)));
        let together = LINKED_TOGETHER_MAX + usize::from(unseen.is_some());
        if round.len() > together {
            round.truncate(together);
            return Next::Linked;
        }
        if sync {
            round.push(Command::Sync(handle));
        }
        if write_back {
            round.push(Command::WriteBack(self.id.slot));
        }
        round.push(Command::CloseVisit(self.id.slot));
        Next::Linked
    }

    /// Whether a read has failed because the slot was empty when the kernel looked at it.
    fn came_too_early(&self, errno: i32) -> bool {
        errno == Errno::BADF.raw_os_error()
            && matches!(self.intent, Intent::Open { opening: true, .. })
    }

    fn fail(&mut self, stage: Stage, errno: i32) {
        if !self.patience.forgives(errno) {
            self.give_up(stage, errno);
        }
    }

    /// The operation has failed; its close is forgiven as much as all before.
    fn give_up(&mut self, stage: Stage, errno: i32) {
        if self.failure.is_none() {
            self.patience.renew();
        }
        note(&mut self.failure, stage, errno);
    }

    /// Whatever a close answers that is not to be asked for again, the slot is empty.
    fn closed(&mut self, answer: Result<u32, i32>) {
        self.open = false;
        let is_written = matches!(self.intent, Intent::Write { .. });
        if let Err(errno) = answer
            && is_written
        {
            self.give_up(Stage::Write, errno);
        }
    }

    /// Is there a file in the slot that can be closed yet?
    fn is_to_close(&self) -> bool {
        self.open && !self.stuck
    }

    fn next_round(&mut self, round: &mut Vec<Command>) -> Next {
        let slot = self.id.slot;
        if let Some(failure) = self.failure {
            self.plain = None;
            if !self.is_to_close() {
                return Next::Done(Err(failure));
            }
            round.push(Command::CloseVisit(slot));
            return Next::Together;
        }
        match self.intent {
            Intent::Open { .. } => self.next_open(round),
            Intent::Read => {
                let spans = self.transfers.missing(FILE_REQUESTS_TOGETHER_MAX);
                round.extend(spans.map(|span| Command::Read(slot, span)));
                if round.is_empty() {
                    return Next::Done(Ok(FileOutcome::Read(self.transfers.take())));
                }
                Next::Together
            }
            Intent::Write { .. } if self.is_to_close() => self.next_write(round),
            Intent::Write { sync, .. } => {
                // A chain that the kernel took in two parts (out of memory) may close too early.
                if sync || self.transfers.missing(1).next().is_some() {
                    let errno = Errno::CANCELED.raw_os_error();
                    return Next::Done(Err(FileError {
                        stage: Stage::Write,
                        errno,
                    }));
                }
                Next::Done(Ok(FileOutcome::Written))
            }
            Intent::Close if !self.is_to_close() => Next::Done(Ok(FileOutcome::Closed)),
            Intent::Close => {
                round.push(Command::CloseVisit(slot));
                Next::Together
            }
        }
    }
}

/// Where the last of these pieces ends; none where there is no byte in them.
pub(super) fn end_of(pieces: &[Piece]) -> Option<u64> {
    let filled = pieces.iter().filter(|piece| !piece.bytes.is_empty());
    filled
        .map(|piece| piece.offset + piece.bytes.len() as u64)
        .max()
}

/// Pieces to be read into.
fn empty(ranges: &[ByteRange]) -> Vec<Piece> {
    let piece = |range: &ByteRange| Piece {
        offset: range.offset,
        bytes: vec![0; range.len as usize],
    };
    ranges.iter().map(piece).collect()
}

impl Machine for Visit {
    fn next(&mut self, round: &mut Vec<Command>) -> Next {
        self.patience.begin_round();
        let next = self.next_round(round);
        self.closes_alone = matches!(round[..], [Command::CloseVisit(_)]);
        next
    }

    fn answered(&mut self, command: Command, answer: Result<u32, i32>) {
        match (command, answer) {
            (Command::Read(_, span), Ok(bytes)) if span.buffer == REACH_BUFFER => {
                if bytes == 0 {
                    self.give_up(Stage::Reach, Errno::NODATA.raw_os_error());
                } else if let Intent::Write { unseen, .. } = &mut self.intent {
                    self.patience.renew();
                    *unseen = None;
                }
            }
            (Command::Read(_, span), Ok(0)) => self.transfers.end(span),
            (Command::Read(_, span) | Command::Write(_, span), Ok(bytes)) if bytes > 0 => {
                self.patience.renew();
                self.transfers.advance(span, bytes);
            }
            // A regular file that takes no byte and gives no reason would do so for ever.
            (Command::Write(..), Ok(_)) => self.fail(Stage::Write, Errno::IO.raw_os_error()),
            (Command::OpenVisit { .. } | Command::Lock(_), Ok(_)) => {
                self.patience.renew();
                self.plain = None;
                self.open = true;
            }
            (Command::Sync(_), Ok(_)) => {
                if let Intent::Write { sync, .. } = &mut self.intent {
                    *sync = false;
                }
            }
            (Command::Advise(_), answer) => {
                // Advice that is refused is no failure; advice that was cut off is given again.
                let cut = Err(Errno::CANCELED.raw_os_error());
                let given =
                    answer != cut || !self.patience.forgives(Errno::CANCELED.raw_os_error());
                if let Intent::Open { advised, .. } = &mut self.intent {
                    *advised |= given;
                }
            }
            (Command::WriteBack(_), answer) => {
                // Where it is refused the kernel writes when it likes; what was cut off is asked again.
                let cut = Err(Errno::CANCELED.raw_os_error());
                let done = answer != cut || !self.patience.forgives(Errno::CANCELED.raw_os_error());
                if let Intent::Write { write_back, .. } = &mut self.intent {
                    *write_back &= !done;
                }
            }
            (Command::CloseVisit(_), Err(errno)) if passes(errno) => {
                self.stuck = !self.patience.forgives(errno) && self.closes_alone;
            }
            (Command::CloseVisit(_), answer) => self.closed(answer),
            (Command::OpenVisit { noatime: true, .. }, Err(errno))
                if errno == Errno::PERM.raw_os_error() =>
            {
                if let Intent::Open { noatime, .. } = &mut self.intent {
                    *noatime = false;
                }
            }
            (Command::OpenVisit { .. } | Command::OpenPlain, Err(errno)) => {
                self.fail(Stage::Open, errno);
            }
            // Never forgiven: somebody else's lock answers EAGAIN, and waiting is not ours.
            (Command::Lock(_), Err(errno)) => self.give_up(Stage::Lock, errno),
            (Command::Read(_, span), Err(errno)) if span.buffer == REACH_BUFFER => {
                self.fail(Stage::Reach, errno);
            }
            (Command::Read(..), Err(errno)) if self.came_too_early(errno) => {}
            (Command::Read(..), Err(errno)) => self.fail(Stage::Read, errno),
            (Command::Write(..), Err(errno)) => self.fail(Stage::Write, errno),
            (Command::Sync(_), Err(errno)) => self.fail(Stage::Sync, errno),
            (command, answer) => unreachable!("a visit was answered {answer:?} to {command:?}"),
        }
    }

    fn opened(&mut self, command: Command, descriptor: OwnedFd) {
        assert!(
            command == Command::OpenPlain,
            "a visit opened by {command:?}"
        );
        self.patience.renew();
        self.plain = Some(descriptor);
    }

    fn plain(&self) -> Option<BorrowedFd<'_>> {
        self.plain.as_ref().map(AsFd::as_fd)
    }

    fn path(&self, which: PathOf) -> &CStr {
        let Intent::Open { path, .. } = &self.intent else {
            unreachable!("only an open has a path")
        };
        assert!(which == PathOf::Target, "a visit has no {which:?}");
        path
    }

    fn buffer(&mut self, span: Span) -> &mut [u8] {
        if span.buffer == REACH_BUFFER {
            return &mut self.last;
        }
        self.transfers.bytes(span)
    }

    fn leftover(&self) -> Option<&CStr> {
        None
    }

    fn is_stuck(&self) -> bool {
        self.stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: VisitId = VisitId {
        slot: 0,
        generation: 1,
    };

    /// How a write of eight bytes ends whose close answers this.
    fn written(closed: Result<u32, i32>) -> Result<FileOutcome, FileError> {
        let piece = Piece {
            offset: 0,
            bytes: vec![1; 8],
        };
        let mut write = Visit::write(ID, vec![piece], 8, false);
        let mut round = Vec::new();
        assert!(matches!(write.next(&mut round), Next::Linked));
        let [piece @ Command::Write(..), close @ Command::CloseVisit(0)] = round[..] else {
            panic!("{round:?}")
        };
        write.answered(piece, Ok(8));
        write.answered(close, closed);
        assert!(!write.open && !write.is_stuck());
        round.clear();
        let Next::Done(result) = write.next(&mut round) else {
            panic!("{round:?}")
        };
        result
    }

    #[test]
    fn a_full_disk_that_only_the_close_tells_of_fails_the_write() {
        assert_eq!(written(Ok(0)), Ok(FileOutcome::Written));
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::IO] {
            let (stage, errno) = (Stage::Write, errno.raw_os_error());
            assert_eq!(written(Err(errno)), Err(FileError { stage, errno }));
        }
    }

    #[test]
    fn what_the_close_of_a_file_answers_that_was_only_read_is_no_failure() {
        let mut close = Visit::close(ID);
        let mut round = Vec::new();
        assert!(matches!(close.next(&mut round), Next::Together));
        assert_eq!(round, [Command::CloseVisit(0)]);
        close.answered(Command::CloseVisit(0), Err(Errno::IO.raw_os_error()));
        round.clear();
        let Next::Done(result) = close.next(&mut round) else {
            panic!("{round:?}")
        };
        assert_eq!(result, Ok(FileOutcome::Closed));
    }
}
