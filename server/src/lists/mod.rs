//! whitelist.conf and blacklist.conf: which raw names are received, as in Python carbon.
//!
//! A pattern a line, searched for in the name as it was sent; the blacklist is asked first, then the
//! whitelist, where that has a pattern at all. Asked once for each raw name (`front::gate`), some
//! patterns at a time (`judged`), and for those alone that can occur in it (`sieve`).
//! Never reads a file, never logs: text in, lists and warnings out, a name in, a verdict out.
//! Invariant: a name for which a pattern backtracks beyond its bound does not match that pattern.
//! On failure: a line that is no pattern is a `Warning`, and the others stand; a list with too many
//! is a `ListError`.

mod judged;
mod refused;
mod sieve;

pub use judged::Judged;
pub(crate) use judged::Judging;
pub(crate) use refused::RefusedNames;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use benzene_engine::limits::{LIST_BACKTRACKS_MAX, LIST_PATTERNS_MAX};
use benzene_engine::schemas::pattern::{Pattern, PatternError, Search};
use sieve::Sieve;
use thiserror::Error;

/// What the lists say of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its points are received.
    Admitted,
    /// The blacklist has it.
    Blacklisted,
    /// There is a whitelist, and it does not have it.
    NotWhitelisted,
}

/// Both lists.
#[derive(Clone, Debug)]
pub struct Lists {
    /// Asked first.
    pub blacklist: Arc<List>,
    /// Asked then, unless it is empty.
    pub whitelist: Arc<List>,
}

/// The patterns of one file.
#[derive(Debug)]
pub struct List {
    file: PathBuf,
    entries: Vec<Entry>,
    sieve: Sieve,
}

/// A pattern and where it stands.
#[derive(Debug)]
pub struct Entry {
    line: usize,
    text: String,
    pattern: Pattern,
    gave_up: AtomicBool,
}

/// A line that is left out.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}: `{text}` is left out: {reason}")]
pub struct Warning {
    /// The line, from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
    /// What is wrong.
    pub reason: PatternError,
}

/// Why a list was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ListError {
    /// More patterns than a list may have.
    #[error(
        "line {line}: more than {LIST_PATTERNS_MAX} patterns, each of which every new name is \
         compared with; put names with a common beginning into one pattern"
    )]
    TooMany {
        /// The first that is too many.
        line: usize,
    },
}

impl List {
    /// A list without patterns, as a file that is not there.
    pub fn empty(file: &Path) -> List {
        List {
            file: file.to_owned(),
            entries: Vec::new(),
            sieve: Sieve::default(),
        }
    }

    /// Reads a list as Python carbon does: `#` in the first column begins a comment, what stands
    /// around a pattern is cut off, empty lines are passed over.
    pub fn parse(file: &Path, text: &str) -> Result<(List, Vec<Warning>), ListError> {
        let mut list = List::empty(file);
        let mut warnings = Vec::new();
        for (line, text) in (1..).zip(lines(text)) {
            let pattern = text.trim();
            if text.starts_with('#') || pattern.is_empty() {
                continue;
            }
            if list.entries.len() == LIST_PATTERNS_MAX {
                return Err(ListError::TooMany { line });
            }
            let text = pattern.to_owned();
            match Pattern::bounded(pattern, LIST_BACKTRACKS_MAX) {
                Ok(pattern) => list.entries.push(Entry {
                    line,
                    text,
                    pattern,
                    gave_up: AtomicBool::new(false),
                }),
                Err(reason) => warnings.push(Warning { line, text, reason }),
            }
        }
        list.sieve = Sieve::new(list.entries.iter().map(|entry| entry.pattern.literal()));
        Ok((list, warnings))
    }

    /// Its file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// How many patterns it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Has it none?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Its patterns, in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The first pattern that occurs in a name.
    pub fn first(&self, name: &str) -> Option<&Entry> {
        let mut entries = self.entries.iter();
        entries.find(|entry| entry.pattern.search(name) == Search::Match)
    }
}

impl Entry {
    /// Its line in the file, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The pattern as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True once: for the first who is to say that this pattern was given up on.
    pub fn is_to_be_said(&self) -> bool {
        !self.gave_up.swap(true, Ordering::Relaxed)
    }
}

/// Lines as Python's files have them: `\n`, `\r\n` or `\r` ends one.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.split('\r')
    })
}

#[cfg(test)]
mod tests;
