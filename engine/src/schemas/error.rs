//! What is wrong with a schema file: too much to use the file, or a section that is left out.
//! The line between the two is Python carbon's. A refused file stops the start, and leaves the
//! rules in force when it is reloaded; a section left out is said, and the others stand.

use thiserror::Error;

use super::ini::IniError;
use super::pattern::PatternError;
use super::retention::RetentionError;
use crate::whisper::LayoutError;

/// Why a schema file was refused.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum SchemaError {
    /// The file's grammar.
    #[error(transparent)]
    Grammar(#[from] IniError),
    /// A retention definition.
    #[error("line {line}: [{section}] retentions: {reason}")]
    Retention {
        /// Line of the key.
        line: usize,
        /// Its section.
        section: String,
        /// What is wrong.
        reason: RetentionError,
    },
    /// A regular expression.
    #[error("line {line}: [{section}] pattern: {reason}")]
    Pattern {
        /// Line of the key.
        line: usize,
        /// Its section.
        section: String,
        /// What is wrong.
        reason: PatternError,
    },
    /// A data directory that carbon.conf does not list.
    #[error(
        "line {line}: [{section}] volume '{found}' is no data directory of carbon.conf; there {known}: \
         name one of these, or take the line out"
    )]
    Volume {
        /// Line of the key.
        line: usize,
        /// Its section.
        section: String,
        /// The value as written.
        found: String,
        /// Which there are.
        known: String,
    },
    /// An xFilesFactor outside 0 to 1.
    #[error(
        "line {line}: [{section}] xFilesFactor {found} is not between 0 and 1; write a share such as \
         0.5"
    )]
    XFilesFactor {
        /// Line of the key.
        line: usize,
        /// Its section.
        section: String,
        /// The value as written.
        found: String,
    },
    /// An aggregationMethod that Whisper does not have.
    #[error(
        "line {line}: [{section}] aggregationMethod '{found}' is unknown; there are average, sum, \
         last, max, min, avg_zero, absmax and absmin"
    )]
    Method {
        /// Line of the key.
        line: usize,
        /// Its section.
        section: String,
        /// The value as written.
        found: String,
    },
}

impl SchemaError {
    /// The line that it names.
    pub fn line(&self) -> usize {
        match self {
            SchemaError::Grammar(fault) => fault.line(),
            SchemaError::Retention { line, .. }
            | SchemaError::Pattern { line, .. }
            | SchemaError::XFilesFactor { line, .. }
            | SchemaError::Method { line, .. }
            | SchemaError::Volume { line, .. } => *line,
        }
    }
}

/// A section that does not do what it seems to say.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("line {line}: [{section}] {reason}")]
pub struct Warning {
    /// Line of the key or, where one is missing, of the section.
    pub line: usize,
    /// The section.
    pub section: String,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a section.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Reason {
    /// Text behind the section's name, on its line.
    #[error(
        "is left out, as Python carbon leaves it out: something follows the name on its line; put a comment \
         on a line of its own"
    )]
    NotAlone,
    /// No `pattern`, or an empty one.
    #[error("is left out: it has no pattern; add a line such as pattern = .*")]
    NoPattern,
    /// No `retentions`.
    #[error("is left out: it has no retentions; add a line such as retentions = 60s:7d")]
    NoRetentions,
    /// Whisper cannot lay the archives out.
    #[error("is left out: {0}; correct its retentions")]
    Layout(LayoutError),
    /// An xFilesFactor that is no number.
    #[error("is left out: its xFilesFactor '{found}' is no number; write a share such as 0.5")]
    XFilesFactorText {
        /// The value as written.
        found: String,
    },
    /// A key that means nothing here; the section stands.
    #[error("has a key '{key}' that means nothing here; it is ignored")]
    UnknownKey {
        /// Key as written.
        key: String,
    },
}
