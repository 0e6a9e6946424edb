//! The bytes of one file, in order, read ahead by a bounded number of operations.
//! Every piece is an open, a read and a close by itself: a piece that the disk cannot read then
//! concerns no other, and no descriptor stays open while a shard waits for room.
//! A piece that cannot be read is read again in small ones; those that fail again are given as
//! zeros, in which no block is found, and named. A file that ends before it should is zeros there.
//! What fails for want of descriptors or memory says nothing of the file: it is put off, and so are all
//! reads, until `try_again`.
//! Invariants: pieces come in the order of their offsets and without holes; never more than
//! `JOURNAL_READS_AHEAD_MAX` operations are unanswered, closes apart; each visit that an answer
//! begins is closed, also of a file that is done with by then.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use super::ReplayToken;
use crate::limits::{JOURNAL_READ_BYTES, JOURNAL_READS_AHEAD_MAX, JOURNAL_REREAD_BYTES};
use crate::ring::{Access, ByteRange, FileError, FileOperation, FileOutcome, Stage, VisitId};

/// A stretch that could not be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unreadable {
    /// Where it begins.
    pub(super) offset: u64,
    /// Its length.
    pub(super) bytes: u64,
    /// Why.
    pub(super) error: FileError,
}

/// What comes next of the file.
#[derive(Debug)]
pub(super) enum Next {
    /// The next bytes.
    Bytes(Vec<u8>),
    /// They are being read.
    Waiting,
    /// Everything that was asked for has been given.
    End,
}

#[derive(Debug)]
struct Piece {
    range: ByteRange,
    /// Set once it is asked for.
    token: Option<u64>,
    bytes: Option<Vec<u8>>,
}

/// Reads one file after the other.
#[derive(Debug)]
pub(super) struct Fetch {
    /// Bytes of a read, and of one that is done again; a test has smaller ones.
    pub(super) piece_bytes: (u32, u32),
    path: PathBuf,
    next: u64,
    end: u64,
    pieces: VecDeque<Piece>,
    /// Operations without an answer; true where they read.
    unanswered: BTreeMap<u64, bool>,
    closes: Vec<VisitId>,
    tokens: u64,
    unreadable: Vec<Unreadable>,
    /// Why nothing is read until `try_again`.
    put_off: Option<FileError>,
}

impl Default for Fetch {
    fn default() -> Fetch {
        Fetch {
            piece_bytes: (JOURNAL_READ_BYTES, JOURNAL_REREAD_BYTES),
            path: PathBuf::new(),
            next: 0,
            end: 0,
            pieces: VecDeque::new(),
            unanswered: BTreeMap::new(),
            closes: Vec::new(),
            tokens: 0,
            unreadable: Vec::new(),
            put_off: None,
        }
    }
}

impl Fetch {
    /// Goes over to a stretch of a file.
    pub(super) fn begin(&mut self, path: PathBuf, from: u64, end: u64) {
        assert!(from <= end, "a file is read from {from} to {end}");
        (self.path, self.next, self.end) = (path, from, end);
        self.pieces.clear();
        self.unreadable.clear();
        self.put_off = None;
    }

    /// Why nothing is read until `try_again`, and of which file.
    pub(super) fn put_off(&self) -> Option<(&Path, FileError)> {
        self.put_off.map(|error| (self.path.as_path(), error))
    }

    /// What was put off is asked for once more.
    pub(super) fn try_again(&mut self) {
        self.put_off = None;
    }

    /// What is to be done, while anything is.
    pub(super) fn next_operation(&mut self) -> Option<(ReplayToken, FileOperation)> {
        if let Some(visit) = self.closes.pop() {
            let token = self.token(false);
            return Some((token, FileOperation::Close { visit }));
        }
        let reads = self.unanswered.values().filter(|reads| **reads).count();
        if reads >= JOURNAL_READS_AHEAD_MAX || self.put_off.is_some() {
            return None;
        }
        let waiting = self.pieces.iter().position(|piece| piece.token.is_none());
        let index = match waiting {
            Some(index) => index,
            None if self.next < self.end && self.pieces.len() < JOURNAL_READS_AHEAD_MAX => {
                let len = u64::from(self.piece_bytes.0).min(self.end - self.next);
                self.pieces.push_back(piece(self.next, len));
                self.next += len;
                self.pieces.len() - 1
            }
            None => return None,
        };
        let token = self.token(true);
        let piece = &mut self.pieces[index];
        piece.token = Some(token.0);
        let operation = FileOperation::Open {
            path: self.path.clone(),
            access: Access::default(),
            ranges: vec![piece.range],
        };
        Some((token, operation))
    }

    /// The answer to an operation.
    pub(super) fn complete(&mut self, token: ReplayToken, answer: Result<FileOutcome, FileError>) {
        let Some(reads) = self.unanswered.remove(&token.0) else {
            unreachable!("{token:?} was answered before, or never asked for")
        };
        if !reads {
            // A close that fails has closed all the same.
            return;
        }
        let answer = answer.map(|outcome| {
            let FileOutcome::Opened { visit, mut pieces } = outcome else {
                unreachable!("a read was answered by {outcome:?}")
            };
            self.closes.push(visit);
            pieces.pop().map_or_else(Vec::new, |piece| piece.bytes)
        });
        let asked = |piece: &Piece| piece.token == Some(token.0);
        let Some(index) = self.pieces.iter().position(asked) else {
            // Of a file that is done with.
            return;
        };
        let len = self.pieces[index].range.len;
        match answer {
            Ok(mut bytes) => {
                bytes.resize(len as usize, 0);
                self.pieces[index].bytes = Some(bytes);
            }
            Err(error) if error.is_passing() => {
                self.pieces[index].token = None;
                self.put_off = Some(error);
            }
            Err(error) if error.stage != Stage::Read => self.give_up(index, error),
            Err(_) if len > self.piece_bytes.1 => self.split(index),
            Err(error) => {
                let range = self.pieces[index].range;
                self.pieces[index].bytes = Some(vec![0; len as usize]);
                self.unreadable.push(Unreadable {
                    offset: range.offset,
                    bytes: u64::from(range.len),
                    error,
                });
            }
        }
    }

    /// The next bytes of the file.
    pub(super) fn next(&mut self) -> Next {
        let Some(first) = self.pieces.front_mut() else {
            return if self.next < self.end {
                Next::Waiting
            } else {
                Next::End
            };
        };
        let Some(bytes) = first.bytes.take() else {
            return Next::Waiting;
        };
        self.pieces.pop_front();
        Next::Bytes(bytes)
    }

    /// What could not be read since this was asked last.
    pub(super) fn take_unreadable(&mut self) -> Vec<Unreadable> {
        std::mem::take(&mut self.unreadable)
    }

    /// Is every operation answered?
    pub(super) fn is_quiet(&self) -> bool {
        self.unanswered.is_empty() && self.closes.is_empty()
    }

    fn token(&mut self, reads: bool) -> ReplayToken {
        self.tokens += 1;
        self.unanswered.insert(self.tokens, reads);
        ReplayToken(self.tokens)
    }

    /// The file cannot be opened: it ends before this piece.
    fn give_up(&mut self, index: usize, error: FileError) {
        let offset = self.pieces[index].range.offset;
        self.unreadable.push(Unreadable {
            offset,
            bytes: self.end - offset,
            error,
        });
        self.pieces.truncate(index);
        (self.next, self.end) = (offset, offset);
    }

    fn split(&mut self, index: usize) {
        let whole = self.pieces.remove(index).map(|piece| piece.range);
        let Some(ByteRange { offset, len }) = whole else {
            unreachable!("piece {index} was found")
        };
        let mut at = 0;
        let mut place = index;
        while at < len {
            let part = self.piece_bytes.1.min(len - at);
            let begin = offset + u64::from(at);
            self.pieces.insert(place, piece(begin, u64::from(part)));
            place += 1;
            at += part;
        }
    }
}

fn piece(offset: u64, len: u64) -> Piece {
    let Ok(len) = u32::try_from(len) else {
        unreachable!("a piece of {len} bytes")
    };
    Piece {
        range: ByteRange { offset, len },
        token: None,
        bytes: None,
    }
}

/// The bytes of a file that are held: a walk stands somewhere in them.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    base: u64,
}

impl Window {
    /// Begins anew at an offset.
    pub(super) fn begin(&mut self, at: u64) {
        self.bytes.clear();
        self.base = at;
    }

    /// The offset behind the last byte.
    pub(super) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// The bytes from an offset on.
    pub(super) fn from(&self, at: u64) -> &[u8] {
        let passed = usize::try_from(at - self.base).unwrap_or(usize::MAX);
        &self.bytes[passed.min(self.bytes.len())..]
    }

    /// Appends the next bytes of the file, and forgets those before `keep`.
    pub(super) fn push(&mut self, bytes: Vec<u8>, keep: u64) {
        assert!(keep >= self.base, "{keep} is before {}", self.base);
        if keep >= self.end() {
            self.base = self.end();
            self.bytes = bytes;
            return;
        }
        let passed = usize::try_from(keep - self.base).unwrap_or(usize::MAX);
        self.bytes.drain(..passed);
        self.base = keep;
        self.bytes.extend_from_slice(&bytes);
    }
}
