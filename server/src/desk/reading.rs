//! A replay without a ring: its files are read by ordinary system calls, one after the other. For who
//! looks at a journal before there are cores, and beside them.
//! Changes nothing. What cannot be read is an answer to the replay, which says so in its report; for want
//! of descriptors or memory it waits.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use benzene_engine::journal::replay::{Owed, Progress, Replay, ReplayToken};
use benzene_engine::journal::survey::{NewerVersion, wants};
use benzene_engine::limits::JOURNAL_SCARCE_RETRY;
use benzene_engine::ring::{
    ByteRange, FileError, FileOperation, FileOutcome, Piece, Stage, VisitId,
};

/// Runs a replay to its end, with each point and its name; an error of the sink ends it.
pub(crate) fn drive<E: From<NewerVersion>>(
    replay: &mut Replay,
    sink: &mut dyn FnMut(&str, Owed) -> Result<(), E>,
) -> Result<(), E> {
    /// Points between two looks at what is to be read.
    const POINTS: usize = 64 << 10;
    let mut points = Vec::new();
    loop {
        while let Some((token, operation)) = replay.next_operation() {
            answer(replay, token, &operation);
        }
        let progress = replay.work(POINTS, &mut |owed: &[Owed]| {
            points.extend_from_slice(owed);
            owed.len()
        });
        for owed in points.drain(..) {
            sink(replay.name(owed.name), owed)?;
        }
        if replay.put_off().is_some() {
            pause();
            replay.try_again();
        }
        match progress {
            Progress::More | Progress::Waiting | Progress::Full => {}
            Progress::Done => return Ok(()),
            Progress::Refused(newer) => return Err(newer.into()),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "no core runs on this thread, which has nothing else to do"
)]
fn pause() {
    std::thread::sleep(JOURNAL_SCARCE_RETRY);
}

fn answer(replay: &mut Replay, token: ReplayToken, operation: &FileOperation) {
    let answer = if let FileOperation::Open { path, ranges, .. } = operation {
        open(path, ranges)
    } else {
        let closes = matches!(operation, FileOperation::Close { .. });
        assert!(closes, "a replay asks for {operation:?}");
        // It is closed already.
        Ok(FileOutcome::Closed)
    };
    replay.complete(token, answer);
}

/// Reads stretches of a file.
fn open(path: &Path, ranges: &[ByteRange]) -> Result<FileOutcome, FileError> {
    let failed = |stage, error: &io::Error| FileError {
        stage,
        errno: error.raw_os_error().unwrap_or(0),
    };
    let file = File::open(path).map_err(|error| failed(Stage::Open, &error))?;
    let read = |range: &ByteRange| {
        let offset = range.offset;
        let bytes = read_at(&file, offset, range.len as usize);
        bytes.map(|bytes| Piece { offset, bytes })
    };
    let pieces: io::Result<Vec<Piece>> = ranges.iter().map(read).collect();
    let (slot, generation) = (0, 0);
    Ok(FileOutcome::Opened {
        visit: VisitId { slot, generation },
        pieces: pieces.map_err(|error| failed(Stage::Read, &error))?,
    })
}

/// So many bytes from an offset on, fewer where the file ends.
pub(crate) fn read_at(file: &File, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut read = vec![0; bytes];
    let mut at = 0;
    while at < bytes {
        match file.read_at(&mut read[at..], offset + at as u64) {
            Ok(0) => break,
            Ok(count) => at += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    read.truncate(at);
    Ok(read)
}

/// The stretch of a file that was read last, for who walks through it.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    offset: u64,
    bytes: Vec<u8>,
}

impl Stretch {
    /// Bytes that are read at once, unless one block is longer.
    pub(crate) const BYTES: usize = 1 << 20;

    /// What there is from an offset on.
    pub(crate) fn from(&self, offset: u64) -> &[u8] {
        let passed = usize::try_from(offset - self.offset).unwrap_or(usize::MAX);
        self.bytes.get(passed..).unwrap_or_default()
    }

    /// Goes on with what `read` gives of so many bytes from an offset on, of which those up to `until`
    /// are needed.
    pub(crate) fn go_on<E>(
        &mut self,
        (offset, until): (u64, u64),
        read: impl FnOnce(u64, usize) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        let needed = usize::try_from(until - offset).unwrap_or(usize::MAX);
        self.bytes = read(offset, needed.max(Self::BYTES))?;
        self.offset = offset;
        Ok(())
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// The file was cut meanwhile: zeros behind its end, up to there and as far as is read at once, in
    /// which no block is found.
    pub(crate) fn fill(&mut self, until: u64) {
        let needed = usize::try_from(until - self.offset).unwrap_or(usize::MAX);
        self.bytes.resize(needed.max(Self::BYTES), 0);
    }
}

/// A file's first bytes, as many as tell whether a block is there.
pub(crate) fn first_bytes(path: &Path, file_bytes: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut first = Vec::new();
    while let Some(wanted) = wants(&first, file_bytes) {
        let read = read_at(&file, 0, wanted)?;
        if read.len() <= first.len() {
            break;
        }
        first = read;
    }
    Ok(first)
}
