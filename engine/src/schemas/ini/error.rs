//! Why a configuration file was refused: what was found, in which line, and what mends it.
//! The cases are those in which Python's ConfigParser raises, and one bound that it lacks.
//! Lines count from 1; texts quoted from the file are cut short.

use thiserror::Error;

/// Why a configuration file was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum IniError {
    /// An entry stands before the first section.
    #[error("line {line}: '{text}' stands before the first [section]; put a section head above it")]
    NoSection {
        /// Line found.
        line: usize,
        /// The line, cut short.
        text: String,
    },
    /// The file begins with a byte order mark, which ConfigParser takes for a letter.
    #[error(
        "line {line}: an invisible byte order mark stands before the first letter; save the file as \
         UTF-8 without one"
    )]
    ByteOrderMark {
        /// The first.
        line: usize,
    },
    /// A section head lacks its `]`, or its name.
    #[error("line {line}: '{text}' is no section head; write a name between '[' and ']'")]
    OpenHead {
        /// Line found.
        line: usize,
        /// The line, cut short.
        text: String,
    },
    /// A section appears twice.
    #[error(
        "line {line}: section [{name}] appears twice, first in line {first_line}; join the two"
    )]
    DuplicateSection {
        /// Line of the second.
        line: usize,
        /// Line of the first.
        first_line: usize,
        /// Its name.
        name: String,
    },
    /// A key appears twice in one section; case does not count.
    #[error(
        "line {line}: '{key}' appears twice in [{section}], first in line {first_line}; \
         remove one of the two"
    )]
    DuplicateKey {
        /// Line of the second.
        line: usize,
        /// Line of the first.
        first_line: usize,
        /// Section of both.
        section: String,
        /// Key as written the second time.
        key: String,
    },
    /// A line is neither a section head nor an entry.
    #[error(
        "line {line}: '{text}' is neither '[section]' nor 'key = value'; \
         indent it if it continues the value above, or begin it with '#'"
    )]
    NoDelimiter {
        /// Line found.
        line: usize,
        /// The line, cut short.
        text: String,
    },
    /// An entry begins with its delimiter.
    #[error("line {line}: no key stands before '=' or ':'")]
    EmptyKey {
        /// Line found.
        line: usize,
    },
    /// A `%` begins neither `%%` nor `%(key)s`.
    #[error(
        "line {line}: '{key}' in [{section}] holds a bare '%'; \
         write '%%' for a percent sign, or '%(key)s' for another key's value"
    )]
    BarePercent {
        /// Line of the key asked for.
        line: usize,
        /// Its section.
        section: String,
        /// Its name.
        key: String,
    },
    /// A `%(key)s` names a key that neither the section nor `[DEFAULT]` has.
    #[error(
        "line {line}: '{key}' in [{section}] refers to '%({reference})s', \
         which neither [{section}] nor [DEFAULT] sets"
    )]
    UnknownReference {
        /// Line of the key asked for.
        line: usize,
        /// Its section.
        section: String,
        /// Its name.
        key: String,
        /// The key referred to.
        reference: String,
    },
    /// References lead through too many keys, or in a circle.
    #[error(
        "line {line}: '{key}' in [{section}] refers through more than {allowed} keys; \
         look for a circle"
    )]
    ReferenceDepth {
        /// Line of the key asked for.
        line: usize,
        /// Its section.
        section: String,
        /// Its name.
        key: String,
        /// The bound.
        allowed: usize,
    },
    /// A value grows beyond its bound when references are resolved.
    #[error("line {line}: '{key}' in [{section}] is longer than {allowed} bytes")]
    ValueTooLong {
        /// Line of the key asked for.
        line: usize,
        /// Its section.
        section: String,
        /// Its name.
        key: String,
        /// The bound.
        allowed: usize,
    },
}

impl IniError {
    /// The line that it names.
    pub fn line(&self) -> usize {
        match self {
            IniError::NoSection { line, .. }
            | IniError::ByteOrderMark { line }
            | IniError::OpenHead { line, .. }
            | IniError::DuplicateSection { line, .. }
            | IniError::DuplicateKey { line, .. }
            | IniError::NoDelimiter { line, .. }
            | IniError::EmptyKey { line }
            | IniError::BarePercent { line, .. }
            | IniError::UnknownReference { line, .. }
            | IniError::ReferenceDepth { line, .. }
            | IniError::ValueTooLong { line, .. } => *line,
        }
    }
}
