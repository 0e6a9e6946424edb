//! One update: open and read, plan, read what the plan needs, write, close.
//! The plan is asked again after every read until it has all it needs (at most three rounds).
//! Whatever fails, the file is closed and the fault comes out; the points are the caller's.

use std::path::PathBuf;
use std::time::Instant;

use super::faults::Fault;
use crate::cache::SeriesId;
use crate::clock::Now;
use crate::point::Point;
use crate::ring::{Access, ByteRange, FileError, FileOperation, FileOutcome, VisitId};
use crate::whisper::{HEAD_READ_BYTES, Header, Image, Outcome, Plan, plan};

/// What an update does next.
#[derive(Debug)]
pub(super) enum Step {
    /// Goes on with this operation.
    Operation(FileOperation),
    /// Is written.
    Done(Outcome),
    /// Failed; the file is closed.
    Failed(Fault),
}

/// How the update ends once its visit is closed without a write.
#[derive(Debug)]
enum End {
    Done(Outcome),
    Failed(Fault),
}

/// An update in flight.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) series: SeriesId,
    pub(super) started: Instant,
    /// The wall clock at the start: every round plans for the same moment.
    unix_now: u32,
    points: Vec<Point>,
    visit: Option<VisitId>,
    head: Vec<u8>,
    image: Image,
    asked: Vec<ByteRange>,
    end: Option<End>,
}

impl Update {
    pub(super) fn new(series: SeriesId, points: Vec<Point>, now: Now) -> Self {
        Self {
            series,
            started: now.instant,
            unix_now: now.unix_seconds,
            points,
            visit: None,
            head: Vec::new(),
            image: Image::new(),
            asked: Vec::new(),
            end: None,
        }
    }

    /// The operation that every update begins with.
    pub(super) fn open(path: PathBuf, access: Access) -> FileOperation {
        FileOperation::Open {
            path,
            access,
            read_bytes: HEAD_READ_BYTES,
        }
    }

    /// Takes the outcome of the last operation.
    pub(super) fn step(&mut self, result: Result<FileOutcome, FileError>, sync: bool) -> Step {
        match result {
            Err(error) => Step::Failed(Fault::Io(error)),
            Ok(FileOutcome::Opened { visit, head }) => {
                self.visit = Some(visit);
                self.image.add(
                    ByteRange {
                        offset: 0,
                        len: HEAD_READ_BYTES,
                    },
                    head.clone(),
                );
                self.head = head;
                self.plan(visit, sync)
            }
            Ok(FileOutcome::Read(pieces)) => {
                let Some(visit) = self.visit else {
                    unreachable!("read before it was open")
                };
                for (asked, piece) in self.asked.drain(..).zip(pieces) {
                    if asked.offset == self.head.len() as u64 {
                        self.head.extend_from_slice(&piece.bytes);
                    }
                    self.image.add(asked, piece.bytes);
                }
                self.plan(visit, sync)
            }
            Ok(FileOutcome::Written | FileOutcome::Closed) => match self.end.take() {
                Some(End::Done(outcome)) => Step::Done(outcome),
                Some(End::Failed(fault)) => Step::Failed(fault),
                None => unreachable!("an update was closed before it knew its end"),
            },
            Ok(
                outcome @ (FileOutcome::Probed(_)
                | FileOutcome::Created
                | FileOutcome::Looked(_)
                | FileOutcome::SetAside),
            ) => {
                unreachable!("an update was answered with {outcome:?}")
            }
        }
    }

    fn plan(&mut self, visit: VisitId, sync: bool) -> Step {
        if let Some(missing) = missing_head(&self.head) {
            return self.read(visit, vec![missing]);
        }
        let planned = Header::parse(&self.head)
            .map_err(Fault::Header)
            .and_then(|header| {
                plan(&header, &self.points, self.unix_now, &self.image).map_err(Fault::Plan)
            });
        match planned {
            Ok(Plan::Need(ranges)) => self.read(visit, ranges),
            Ok(Plan::Write { pieces, outcome }) => {
                self.end = Some(End::Done(outcome));
                Step::Operation(if pieces.is_empty() {
                    FileOperation::Close { visit }
                } else {
                    FileOperation::Write {
                        visit,
                        pieces,
                        sync,
                    }
                })
            }
            Err(fault) => {
                self.end = Some(End::Failed(fault));
                Step::Operation(FileOperation::Close { visit })
            }
        }
    }

    fn read(&mut self, visit: VisitId, ranges: Vec<ByteRange>) -> Step {
        self.asked.clone_from(&ranges);
        Step::Operation(FileOperation::Read { visit, ranges })
    }
}

/// What the first read did not reach of a header with many archives. A head shorter than what was
/// asked for is the whole file: nothing is missing, and parsing says what is wrong with it.
pub(super) fn missing_head(head: &[u8]) -> Option<ByteRange> {
    let have = u32::try_from(head.len()).ok()?;
    let needed = u32::try_from(Header::needed_bytes(head)?).ok()?;
    (needed > have && have == HEAD_READ_BYTES).then(|| ByteRange {
        offset: u64::from(have),
        len: needed - have,
    })
}
