//! The files of earlier runs go, or are set aside, once those owe nothing: the first shard's work.
//! The notes that directories are taken over go last, and only where all else has gone: what stays
//! without its note would be taken for owed by the next start, and come back in front of what was
//! received since.

use std::collections::BTreeSet;
use std::mem;
use std::path::PathBuf;

use super::keep::Asker;
use super::recall::RecallConfig;
use super::unread::{self, Kept};
use crate::journal::survey::{self, SegmentFile};
use crate::limits::REMOVALS_IN_FLIGHT_MAX;
use crate::ring::{FileError, FileOperation, FileOutcome, FileToken, Stage};

/// What there is to be removed, and how far that is.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// Files of earlier runs, until it is known which of them go.
    segments: Vec<SegmentFile>,
    /// Bytes of them that may be set aside.
    aside_bytes_max: u64,
    /// To be set aside.
    aside: Vec<PathBuf>,
    /// To be removed.
    files: Vec<PathBuf>,
    /// To be removed behind all others.
    notes: Vec<PathBuf>,
    under_way: usize,
    begun: u64,
}

impl Removal {
    /// All that earlier runs have left.
    pub(super) fn new(config: &RecallConfig) -> Removal {
        let adopted = config.adopted.iter().flat_map(|it| &it.survey.files);
        let notes = config.adopted.iter().map(|it| it.note.clone());
        Removal {
            segments: adopted.chain(&config.survey.files).cloned().collect(),
            aside_bytes_max: config.aside_bytes_max,
            notes: notes.collect(),
            ..Removal::default()
        }
    }

    /// Earlier runs owe nothing: their files go, but for those that not every shard could read. Returns
    /// what is to be said of these.
    pub(super) fn begin(&mut self, unread: BTreeSet<PathBuf>) -> Option<Kept> {
        let segments = mem::take(&mut self.segments);
        let (gone, kept) = unread::sort(segments, unread, self.aside_bytes_max);
        self.files = gone;
        self.aside = kept.iter().flat_map(|kept| &kept.aside).cloned().collect();
        kept
    }

    /// May files that are to be set aside have their old names yet?
    pub(super) fn is_setting_aside(&self) -> bool {
        self.under_way > 0 || !self.aside.is_empty()
    }

    /// Has everything gone that is to go?
    pub(super) fn is_over(&self) -> bool {
        !self.is_setting_aside() && self.files.is_empty() && self.notes.is_empty()
    }

    /// The next operation. In a rest only names are changed: the next start removes files too.
    pub(super) fn next_operation(
        &mut self,
        is_resting: bool,
    ) -> Option<(FileToken, FileOperation)> {
        if self.under_way == REMOVALS_IN_FLIGHT_MAX {
            return None;
        }
        let operation = if let Some(old) = self.aside.pop() {
            let path = survey::aside(&old);
            FileOperation::Adopt { path, old }
        } else if is_resting {
            return None;
        } else if let Some(path) = self.files.pop() {
            FileOperation::Remove { path }
        } else if self.under_way == 0 {
            let path = self.notes.pop()?;
            FileOperation::Remove { path }
        } else {
            return None;
        };
        self.under_way += 1;
        self.begun += 1;
        Some((Asker::Removal(self.begun).token(), operation))
    }

    /// Takes the outcome of an operation. A file that stays owes nothing, as long as its note stays too.
    pub(super) fn complete(&mut self, result: &Result<FileOutcome, FileError>) {
        self.under_way -= 1;
        let Err(error) = result else {
            return;
        };
        self.notes.clear();
        if error.stage == Stage::Adopt {
            tracing::error!(
                "a file of the journal that was to be set aside has its name yet: {error}; the next start \
                 removes it"
            );
        } else {
            tracing::warn!("an old file of the journal stays: {error}");
        }
    }
}
