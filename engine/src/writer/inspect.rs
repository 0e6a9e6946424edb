//! Reads or changes what a file's header says, for cache-query's get-metadata and set-metadata.
//! With several data directories the file is looked for in one after the other, and each time before it
//! is opened: reading from a pipe would wait for ever (docs/decisions/0012).
//! Only the aggregation method can be asked for, as in Python carbon. A change rewrites the four
//! bytes of the method and nothing else, so that it meets no update of the same file.

use std::path::PathBuf;

use super::faults::Fault;
use super::layouts::HEAD;
use crate::ring::{
    Access, ByteRange, FileError, FileOperation, FileOutcome, Piece, Stage, VisitId,
};
use crate::whisper::{Aggregation, HEAD_READ_BYTES, Header, HeaderError};

/// What a client wants of a file's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// The aggregation method.
    Get,
    /// Another aggregation method.
    Set(Aggregation),
}

/// The answer: the method before, and the one set if any; or why not, for the client to read.
pub type MetadataAnswer = Result<(Aggregation, Option<Aggregation>), MetadataError>;

/// Why a header could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The kernel refused.
    #[error("cannot open the metric's file: {0}")]
    Io(FileError),
    /// The file is no Whisper file, or a damaged one.
    #[error("the metric's file is not a usable Whisper file: {0}")]
    Header(#[source] HeaderError),
}

/// What an inspection does next.
#[derive(Debug)]
pub(super) enum Step {
    Operation(Inspect, FileOperation),
    Answer(u64, MetadataAnswer),
}

/// An inspection in flight.
#[derive(Debug)]
pub(super) struct Inspect {
    ticket: u64,
    inspection: Inspection,
    access: Access,
    /// Where the file is looked for.
    at: PathBuf,
    /// Where else it may lie, the last place first.
    elsewhere: Vec<PathBuf>,
    visit: Option<VisitId>,
    head: Vec<u8>,
    answer: Option<MetadataAnswer>,
}

impl Inspect {
    pub(super) fn begin(
        ticket: u64,
        mut paths: Vec<PathBuf>,
        inspection: Inspection,
        access: Access,
    ) -> Step {
        paths.reverse();
        let Some(path) = paths.pop() else {
            unreachable!("a file without a place")
        };
        let inspect = Self {
            at: PathBuf::new(),
            ticket,
            inspection,
            access: match inspection {
                Inspection::Get => Access::default(),
                Inspection::Set(_) => access,
            },
            elsewhere: paths,
            visit: None,
            head: Vec::new(),
            answer: None,
        };
        inspect.look_at(path)
    }

    fn look_at(mut self, path: PathBuf) -> Step {
        self.at.clone_from(&path);
        Step::Operation(self, FileOperation::Probe { path })
    }

    /// It is there.
    fn open(mut self) -> Step {
        let operation = FileOperation::Open {
            path: std::mem::take(&mut self.at),
            access: self.access,
            ranges: vec![HEAD],
        };
        Step::Operation(self, operation)
    }

    /// Takes the outcome of the last operation.
    pub(super) fn step(mut self, result: Result<FileOutcome, FileError>) -> Step {
        match result {
            Err(error) => self.refused(error),
            Ok(FileOutcome::Probed(true)) => self.open(),
            Ok(FileOutcome::Probed(false)) => self.refused(FileError {
                stage: Stage::Open,
                errno: rustix::io::Errno::NOENT.raw_os_error(),
            }),
            Ok(FileOutcome::Opened { visit, pieces }) => {
                self.visit = Some(visit);
                self.read(pieces)
            }
            Ok(FileOutcome::Read(pieces)) => self.read(pieces),
            Ok(FileOutcome::Written | FileOutcome::Closed) => match self.answer.take() {
                Some(answer) => Step::Answer(self.ticket, answer),
                None => unreachable!("an inspection was closed before it had its answer"),
            },
            Ok(outcome) => unreachable!("an inspection was answered with {outcome:?}"),
        }
    }

    /// The file is not to be had there.
    fn refused(mut self, error: FileError) -> Step {
        let is_missing = Fault::Io(error).is_missing();
        match self.elsewhere.pop().filter(|_| is_missing) {
            Some(path) => self.look_at(path),
            None => Step::Answer(self.ticket, Err(MetadataError::Io(error))),
        }
    }

    fn read(mut self, pieces: Vec<Piece>) -> Step {
        for piece in pieces {
            self.head.extend(piece.bytes);
        }
        let Some(visit) = self.visit else {
            unreachable!("read before the file was open")
        };
        if let Some(missing) = missing_head(&self.head) {
            let operation = FileOperation::Read {
                visit,
                ranges: vec![missing],
            };
            return Step::Operation(self, operation);
        }
        let operation = match (Header::parse(&self.head), self.inspection) {
            (Ok(mut header), Inspection::Set(method)) => {
                self.answer = Some(Ok((header.aggregation, Some(method))));
                header.aggregation = method;
                let bytes = header.encode()[..size_of::<u32>()].to_vec();
                let pieces = vec![Piece { offset: 0, bytes }];
                FileOperation::Write {
                    visit,
                    pieces,
                    sync: false,
                }
            }
            (Ok(header), Inspection::Get) => {
                self.answer = Some(Ok((header.aggregation, None)));
                FileOperation::Close { visit }
            }
            (Err(error), _) => {
                self.answer = Some(Err(MetadataError::Header(error)));
                FileOperation::Close { visit }
            }
        };
        Step::Operation(self, operation)
    }
}

/// What the first read did not reach of a header with many archives. A head shorter than what was
/// asked for is the whole file: nothing is missing, and parsing says what is wrong with it.
fn missing_head(head: &[u8]) -> Option<ByteRange> {
    let have = u32::try_from(head.len()).ok()?;
    let needed = u32::try_from(Header::needed_bytes(head)?).ok()?;
    (needed > have && have == HEAD_READ_BYTES).then(|| ByteRange {
        offset: u64::from(have),
        len: needed - have,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_seen_before_it_is_opened() {
        let path = PathBuf::from("/data/a.wsp");
        let ask = || Inspect::begin(7, vec![path.clone()], Inspection::Get, Access::default());
        let Step::Operation(inspect, FileOperation::Probe { path: at }) = ask() else {
            panic!("{:?}", ask())
        };
        assert_eq!(at, path);
        let error = FileError {
            stage: Stage::Probe,
            errno: rustix::io::Errno::NXIO.raw_os_error(),
        };
        let Step::Answer(7, Err(MetadataError::Io(refused))) = inspect.step(Err(error)) else {
            panic!("a pipe is opened")
        };
        assert_eq!(refused, error);
    }

    #[test]
    fn a_file_that_is_there_is_opened_where_it_was_seen() {
        let [first, second] = ["/data/a.wsp", "/other/a.wsp"].map(PathBuf::from);
        let paths = vec![first, second.clone()];
        let Step::Operation(inspect, _) =
            Inspect::begin(7, paths, Inspection::Get, Access::default())
        else {
            panic!("nothing is looked for")
        };
        let step = inspect.step(Ok(FileOutcome::Probed(false)));
        let Step::Operation(inspect, FileOperation::Probe { .. }) = step else {
            panic!("{step:?}")
        };
        let step = inspect.step(Ok(FileOutcome::Probed(true)));
        let Step::Operation(_, FileOperation::Open { path, .. }) = step else {
            panic!("{step:?}")
        };
        assert_eq!(path, second);
    }
}
