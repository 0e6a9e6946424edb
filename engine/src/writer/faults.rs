//! Why a file could not be made or written, said once per cause and minute.
//! A full disk under a million metrics is one line a minute, with the first path and how many
//! more there were since; the counters know the rest.

use std::path::Path;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::ring::{FileError, Stage};
use crate::whisper::{HeaderError, LayoutError, PlanError};

/// How long a cause stays quiet after it was said.
const QUIET: Duration = Duration::from_secs(60);

/// What went wrong with one file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The kernel refused.
    #[error("{0}")]
    Io(FileError),
    /// The file is no Whisper file, or a damaged one.
    #[error("not a usable Whisper file: {0}")]
    Header(#[source] HeaderError),
    /// The file does not hold what its header says.
    #[error("not a usable Whisper file: {0}")]
    Plan(#[source] PlanError),
    /// storage-schemas.conf asks for what Whisper cannot hold.
    #[error("its schema cannot be made: {0}")]
    Layout(#[source] LayoutError),
}

/// What makes two faults the same for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Cause {
    Io(Stage, i32),
    Corrupt,
    Layout,
    Pattern,
}

impl Fault {
    /// Somebody else holds the file's lock: no fault, only a matter of time.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Fault::Io(FileError { stage: Stage::Lock, errno })
            if *errno == rustix::io::Errno::WOULDBLOCK.raw_os_error())
    }

    /// The file or a directory above it is not there: it is to be made again.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Fault::Io(FileError { stage: Stage::Open, errno })
            if *errno == rustix::io::Errno::NOENT.raw_os_error())
    }

    fn cause(&self) -> Cause {
        match self {
            Fault::Io(error) => Cause::Io(error.stage, error.errno),
            Fault::Header(_) | Fault::Plan(_) => Cause::Corrupt,
            Fault::Layout(_) => Cause::Layout,
        }
    }
}

#[derive(Debug)]
struct Said {
    at: Instant,
    more: u64,
}

/// When each cause was last said.
#[derive(Debug, Default)]
pub(super) struct Faults {
    said: HashMap<Cause, Said>,
}

impl Faults {
    /// Logs the fault, or counts it towards the next line of its cause.
    pub(super) fn say(&mut self, fault: &Fault, path: &Path, now: Instant) {
        if let Some(more) = self.due(fault.cause(), now) {
            let path = path.display();
            if more == 0 {
                tracing::warn!("cannot write {path}: {fault}; its points wait and are tried again");
            } else {
                tracing::warn!("cannot write {path}: {fault}; {more} more since the last message");
            }
        }
    }

    /// Logs that a section's pattern was given up on for a name.
    pub(super) fn say_pattern(&mut self, section: &str, name: &str, now: Instant) {
        if let Some(more) = self.due(Cause::Pattern, now) {
            tracing::warn!(
                "the pattern of [{section}] needs too many steps on {name:?} and counts as not \
                 matching; make it simpler ({more} more since the last message)"
            );
        }
    }

    /// How many were kept quiet, where the cause may be said now.
    fn due(&mut self, cause: Cause, now: Instant) -> Option<u64> {
        let first = Said { at: now, more: 0 };
        let Some(said) = self.said.get_mut(&cause) else {
            self.said.insert(cause, first);
            return Some(0);
        };
        if now.saturating_duration_since(said.at) < QUIET {
            said.more += 1;
            return None;
        }
        Some(std::mem::replace(said, first).more)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some Instant to count from"
)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once_a_minute_with_the_count_of_the_others() {
        let (mut faults, start) = (Faults::default(), Instant::now());
        assert_eq!(faults.due(Cause::Corrupt, start), Some(0));
        assert_eq!(faults.due(Cause::Corrupt, start + QUIET / 2), None);
        assert_eq!(faults.due(Cause::Io(Stage::Open, 13), start), Some(0));
        assert_eq!(faults.due(Cause::Corrupt, start + QUIET), Some(1));
        assert_eq!(faults.due(Cause::Corrupt, start + QUIET), None);
    }
}
