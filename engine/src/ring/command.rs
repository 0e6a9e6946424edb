//! Requests of a file operation, in our words: what the state machines ask for, one by one.
//! They carry numbers, never addresses; paths and buffers belong to the machine that asks, and the
//! driver looks them up there when it makes a kernel entry of a command.
//! A machine is stepped in *rounds*: it asks for some commands, sees the answer to each, and is
//! asked again. It must be able to go on from any mixture of answers, also from cut links and
//! short transfers.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::operation::{FileError, FileOutcome, Piece, Stage};
use crate::limits::{FILE_PIECES_MAX, TRANSIENT_RETRIES_MAX};

/// Which of a machine's paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathOf {
    /// The file that the operation is about.
    Target,
    /// Its directory.
    Parent,
    /// The start of its directory that is being made.
    Prefix,
    /// The temporary name beside it.
    Temporary,
    /// The name of the open, still nameless file under /proc.
    Nameless,
}

/// Which open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handle {
    /// The direct file in this slot.
    Visit(u32),
    /// The machine's plain descriptor.
    Plain,
}

/// A stretch of one of the machine's buffers and its place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Which buffer.
    pub buffer: u32,
    /// First byte in it.
    pub from: u32,
    /// How many bytes.
    pub bytes: u32,
    /// Where in the file.
    pub offset: u64,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// statx of the target into the machine's buffer.
    Look,
    /// Open the target for reading and writing into this direct slot; `noatime`: reading leaves the
    /// time of the last access alone, which only the file's owner may ask for.
    OpenVisit { slot: u32, noatime: bool },
    /// The same onto a plain descriptor.
    OpenPlain,
    /// O_CREAT | O_EXCL of the target, into this direct slot.
    MakeVisit(u32),
    /// fallocate the file in this direct slot from 0 to this length.
    AllocateVisit(u32, u64),
    /// Done at once by the driver: where the plain descriptor's file lies.
    Locate,
    /// Done at once by the driver: flock the plain descriptor, then put it into this direct slot.
    Lock(u32),
    /// POSIX_FADV_RANDOM.
    Advise(u32),
    /// Read into a buffer, from a visit.
    Read(u32, Span),
    /// Write from a buffer.
    Write(Handle, Span),
    /// Write zeros to the plain descriptor.
    Zero { offset: u64, bytes: u32 },
    /// fallocate the plain descriptor from 0 to this length.
    Allocate(u64),
    /// ftruncate the plain descriptor to this length.
    Truncate(u64),
    /// fdatasync.
    Sync(Handle),
    /// Wait until all of the plain descriptor's data is written and its blocks are its own; the
    /// device may still hold it in a cache.
    Settle,
    /// Begin to write what is dirty in the file of this direct slot to the device, and wait for none
    /// of it.
    WriteBack(u32),
    /// Empty this direct slot.
    CloseVisit(u32),
    /// Close the plain descriptor.
    ClosePlain,
    /// O_TMPFILE in the parent, onto the plain descriptor.
    OpenNameless,
    /// O_CREAT | O_EXCL of the temporary name, onto the plain descriptor.
    OpenTemporary,
    /// mkdir of the prefix.
    MakeDirectory,
    /// link of the nameless file to the target.
    LinkNameless,
    /// renameat2 of the temporary name to the target, RENAME_NOREPLACE; of a file that is set
    /// aside, from its name to its new one.
    Rename,
    /// link of the temporary name to the target.
    LinkTemporary,
    /// unlink of the temporary name; of a file whose name is to go, of that.
    Unlink,
}

impl Command {
    /// Whether a success answers a new descriptor.
    pub(super) fn opens_plain(self) -> bool {
        matches!(
            self,
            Command::OpenPlain | Command::OpenNameless | Command::OpenTemporary
        )
    }
}

/// What a machine wants next.
#[derive(Debug)]
pub(super) enum Next {
    /// The commands of this round, all at once.
    Together,
    /// The commands of this round, each after the one before has fully succeeded.
    Linked,
    /// Nothing more: the operation is over, and nothing is open that should not be.
    Done(Result<FileOutcome, FileError>),
}

/// A file operation as a state machine without I/O. It may be stepped on another thread than the
/// one that made it.
pub(super) trait Machine: std::fmt::Debug + Send {
    /// What to do next. Called when every command of the last round was answered.
    fn next(&mut self, round: &mut Vec<Command>) -> Next;
    /// The answer to one command of the round, in any order; not for opened descriptors.
    fn answered(&mut self, command: Command, answer: Result<u32, i32>);
    /// A command opened this descriptor.
    fn opened(&mut self, command: Command, descriptor: OwnedFd);
    /// The plain descriptor, while there is one.
    fn plain(&self) -> Option<BorrowedFd<'_>>;
    /// One of its paths, which stays where it is while a round is out.
    fn path(&self, which: PathOf) -> &CStr;
    /// A stretch of one of its buffers, which stays where it is while a round is out.
    fn buffer(&mut self, span: Span) -> &mut [u8];
    /// A temporary name that the operation has left behind, when it is cut short.
    fn leftover(&self) -> Option<&CStr>;
    /// Whether the operation ends with a file in its direct slot that the kernel would not close: the
    /// slot is never to be used again.
    fn is_stuck(&self) -> bool {
        false
    }
}

/// How often errors that pass by themselves are still forgiven: rounds, not answers, because one
/// failing link makes the whole rest of its chain answer ECANCELED.
#[derive(Debug)]
pub(super) struct Patience {
    rounds_left: u32,
    stumbled: bool,
}

impl Patience {
    pub(super) fn new() -> Patience {
        Patience {
            rounds_left: TRANSIENT_RETRIES_MAX,
            stumbled: false,
        }
    }

    /// A round begins.
    pub(super) fn begin_round(&mut self) {
        self.rounds_left -= u32::from(std::mem::take(&mut self.stumbled));
    }

    /// Something moved.
    pub(super) fn renew(&mut self) {
        self.rounds_left = TRANSIENT_RETRIES_MAX;
    }

    /// Whether the command may be asked for again after this error.
    pub(super) fn forgives(&mut self, errno: i32) -> bool {
        let forgiven = passes(errno) && self.rounds_left > 0;
        self.stumbled |= forgiven;
        forgiven
    }
}

/// Whether an error passes by itself. A command for a direct slot that has it was not carried out.
pub(super) fn passes(errno: i32) -> bool {
    let passing = [Errno::INTR, Errno::AGAIN, Errno::NOMEM, Errno::CANCELED];
    passing
        .iter()
        .any(|passing| passing.raw_os_error() == errno)
}

/// Keeps the first failure of an operation.
pub(super) fn note(failure: &mut Option<FileError>, stage: Stage, errno: i32) {
    failure.get_or_insert(FileError { stage, errno });
}

/// Pieces on their way between memory and a file, resumed where they were short.
#[derive(Debug)]
pub(super) struct Transfers {
    pieces: Vec<Piece>,
    done: Vec<u32>,
    /// Pieces before this one are complete.
    first_open: u32,
}

impl Transfers {
    /// Nothing of `pieces` is done yet.
    pub(super) fn new(pieces: Vec<Piece>) -> Transfers {
        assert!(
            pieces.len() <= FILE_PIECES_MAX,
            "{} pieces in one operation",
            pieces.len()
        );
        for piece in &pieces {
            assert!(
                piece.bytes.len() < i32::MAX as usize,
                "{} bytes",
                piece.bytes.len()
            );
            assert!(
                piece.offset < i64::MAX as u64,
                "offset {} in a file",
                piece.offset
            );
        }
        let done = vec![0; pieces.len()];
        Transfers {
            pieces,
            done,
            first_open: 0,
        }
    }

    /// The next stretches that are missing, at most `spans_max`. Costs no more for those that are
    /// complete.
    pub(super) fn missing(&mut self, spans_max: usize) -> impl Iterator<Item = Span> {
        while self
            .pieces
            .get(self.first_open as usize)
            .is_some_and(|piece| piece.bytes.len() == self.done[self.first_open as usize] as usize)
        {
            self.first_open += 1;
        }
        let from = self.first_open as usize;
        let open = self.pieces[from..].iter().zip(&self.done[from..]);
        let spans = open
            .zip(self.first_open..)
            .map(|((piece, done), buffer)| Span {
                buffer,
                from: *done,
                bytes: len_u32(&piece.bytes) - done,
                offset: piece.offset + u64::from(*done),
            });
        spans.filter(|span| span.bytes > 0).take(spans_max)
    }

    /// `bytes` of this span were transferred.
    pub(super) fn advance(&mut self, span: Span, bytes: u32) {
        assert!(
            bytes <= span.bytes,
            "{bytes} of {} bytes transferred",
            span.bytes
        );
        let done = &mut self.done[span.buffer as usize];
        assert!(
            *done == span.from,
            "buffer {} moved on meanwhile",
            span.buffer
        );
        *done += bytes;
    }

    /// The file ends here: the piece is as long as what was read.
    pub(super) fn end(&mut self, span: Span) {
        self.pieces[span.buffer as usize]
            .bytes
            .truncate(span.from as usize);
    }

    /// Everything is to be transferred anew.
    pub(super) fn restart(&mut self) {
        self.done.fill(0);
        self.first_open = 0;
    }

    /// The bytes of a span.
    pub(super) fn bytes(&mut self, span: Span) -> &mut [u8] {
        let from = span.from as usize;
        &mut self.pieces[span.buffer as usize].bytes[from..from + span.bytes as usize]
    }

    /// The pieces, for the answer.
    pub(super) fn take(&mut self) -> Vec<Piece> {
        self.done.clear();
        std::mem::take(&mut self.pieces)
    }
}

fn len_u32(bytes: &[u8]) -> u32 {
    let Ok(len) = u32::try_from(bytes.len()) else {
        unreachable!("`Transfers::new` has checked the length")
    };
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn very_many_pieces_cost_no_more_each_than_few() {
        let begin = crate::clock::now().instant;
        let piece = |number: u32| Piece {
            offset: u64::from(number) * 24,
            bytes: vec![1; 12],
        };
        let count = 300_000;
        let mut transfers = Transfers::new((0..count).map(piece).collect());
        let mut transferred = 0;
        loop {
            let spans: Vec<Span> = transfers.missing(13).collect();
            if spans.is_empty() {
                break;
            }
            for span in spans {
                assert_eq!(
                    span.offset,
                    u64::from(span.buffer) * 24 + u64::from(span.from)
                );
                // The first half of each first.
                let bytes = if span.from == 0 { 5 } else { span.bytes };
                transfers.advance(span, bytes);
                transferred += bytes;
            }
        }
        assert_eq!(transferred, count * 12);
        let took = crate::clock::now().instant - begin;
        // Who looks at all pieces in every round takes minutes.
        assert!(took.as_secs() < 10, "took {took:?}");
    }
}
