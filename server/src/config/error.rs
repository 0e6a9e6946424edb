//! Why a configuration was refused. Every message names file, line and key where there are such,
//! and says what to write instead, so that it can be mended without reading documentation.
//! A `ConfigError` ends the start with `Exit::Config`; nothing has been opened or listened on then.

use std::fmt;
use std::io;
use std::path::PathBuf;

use benzene_engine::limits::{DATA_DIR_BYTES_MAX, INSTANCES_MAX};
use benzene_engine::schemas::SchemaError;
use benzene_engine::schemas::ini::IniError;

use super::value::Fault;
use crate::lists::ListError;

/// Where in a file something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The section, without brackets.
    pub section: String,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} line {} [{}]",
            self.file.display(),
            self.line,
            self.section
        )
    }
}

/// Who said where carbon.conf is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// `--config`.
    Flag,
    /// This environment variable.
    Environment(&'static str),
    /// The program's own place, under carbon-cache's name.
    Program,
}

impl fmt::Display for NamedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NamedBy::Flag => write!(f, "--config names it; give the path of carbon.conf there"),
            NamedBy::Environment(name) => write!(
                f,
                "the environment variable {name} leads there; give --config, correct {name}, or \
                 unset it to run on built-in defaults"
            ),
            NamedBy::Program => write!(
                f,
                "a program called carbon-cache looks there, above its own directory, as Python's \
                 does; give --config, or set GRAPHITE_ROOT or GRAPHITE_CONF_DIR"
            ),
        }
    }
}

/// Which option asks for something, of which instance, and where that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The option.
    pub key: &'static str,
    /// The instance, where there are several.
    pub instance: Option<String>,
    /// Where it is written; none is its default, or a flag.
    pub place: Option<Place>,
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if let Some(instance) = &self.instance {
            write!(f, " of instance {instance}")?;
        }
        match &self.place {
            Some(place) => write!(f, " ({place})"),
            None => write!(f, " (not set in carbon.conf)"),
        }
    }
}

/// An option of which instances of one process say different things.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{other} = {other_text}, and {one} = {one_text}: one process answers for all instances of \
     carbon.conf, and here they must agree; write the same for all, or start a process for each \
     (--instance NAME)"
)]
pub struct Disagreement {
    /// What the first instance asks for.
    pub one: Asker,
    /// Its value.
    pub one_text: String,
    /// What another asks for.
    pub other: Asker,
    /// Its value.
    pub other_text: String,
}

/// A value in carbon.conf that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {key} = {}: {fault}", first_line(written))]
pub struct RefusedSetting {
    /// Where it stands.
    pub place: Place,
    /// The option.
    pub key: &'static str,
    /// What was written, as far as it may be shown.
    pub written: String,
    /// Why not, and what to write instead.
    pub fault: Fault,
}

/// A value in carbon.conf in whose place another is used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{place}: {key} = {}: {fault}; until then {used} is used",
    first_line(written)
)]
pub(super) struct ReplacedSetting<'a> {
    /// Where it stands.
    pub(super) place: &'a Place,
    /// The option.
    pub(super) key: &'static str,
    /// What was written.
    pub(super) written: &'a str,
    /// What is wrong with it, and what to write instead.
    pub(super) fault: &'a Fault,
    /// What is used.
    pub(super) used: String,
}

/// Where a file is no text in UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: the byte {byte:02x} is no UTF-8; save the file as UTF-8 (iconv -f latin1 -t utf8)"
)]
pub struct NoText {
    /// The line, from 1.
    pub line: usize,
    /// The first byte that is none.
    pub byte: u8,
}

/// Why the configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no carbon.conf where it should be.
    #[error("{}: there is no such file; {named_by}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// Who said so.
        named_by: NamedBy,
    },
    /// A file is there and cannot be read.
    #[error("{}: cannot be read: {source}; check its owner, its mode, and that it is text", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is there and is no text in UTF-8.
    #[error("{}: {source}", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
        /// Which line, and what to do.
        source: io::Error,
    },
    /// carbon.conf breaks the grammar of such files.
    #[error("{}: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Which line and what to do.
        source: IniError,
    },
    /// The value of an option was refused.
    #[error(transparent)]
    Setting(Box<RefusedSetting>),
    /// The value of a flag was refused.
    #[error("{flag} {written}: {fault}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What was written.
        written: String,
        /// Why not.
        fault: Fault,
    },
    /// A default interface cannot be resolved.
    #[error("{key} is not set, and its default {written} fails: {fault}")]
    Default {
        /// The option.
        key: &'static str,
        /// Its default.
        written: String,
        /// Why not.
        fault: Fault,
    },
    /// Two listeners would have the same address.
    #[error("{first} and {second} both ask for {at}; give one of them another, or 0 for off")]
    SamePort {
        /// One.
        first: Box<Asker>,
        /// The other.
        second: Box<Asker>,
        /// What both ask for.
        at: String,
    },
    /// Instances of one process say different things where they must agree.
    #[error(transparent)]
    Disagreement(Box<Disagreement>),
    /// A name that cannot be an instance's.
    #[error(
        "{place}: `{name}` is no name of an instance; write a word without spaces, `/`, `:` or `]`, \
         such as b"
    )]
    InstanceName {
        /// Where it stands.
        place: Place,
        /// What stands there.
        name: String,
    },
    /// INSTANCES names one twice.
    #[error("{place}: INSTANCES names `{name}` twice; name it once")]
    InstanceTwice {
        /// Where it stands.
        place: Place,
        /// The name.
        name: String,
    },
    /// INSTANCES names nothing, or there is a comma too many.
    #[error(
        "{place}: INSTANCES has an empty name; write names with commas between them, or put # before \
         the line to mean all of the file"
    )]
    InstanceEmpty {
        /// Where it stands.
        place: Place,
    },
    /// More instances than one process answers for.
    #[error(
        "{}: {found} instances, and one process answers for {INSTANCES_MAX} at most; name those that it \
         is to answer for in INSTANCES, in [cache]",
        path.display()
    )]
    TooManyInstances {
        /// carbon.conf.
        path: PathBuf,
        /// How many there are.
        found: usize,
    },
    /// The data directory's path leaves too little of PATH_MAX for metric names.
    #[error(
        "LOCAL_DATA_DIR {} is {} bytes long; the longest is {DATA_DIR_BYTES_MAX}, for metric names \
         follow it in paths; choose a shorter one",
        path.display(), path.as_os_str().len()
    )]
    DataDirectoryTooLong {
        /// The directory.
        path: PathBuf,
    },
    /// There is no storage-schemas.conf.
    #[error(
        "{}: there is no such file, and without it nobody has said how long points are kept; \
         put it beside carbon.conf, or set CONF_DIR to where it is",
        path.display()
    )]
    SchemasMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// storage-schemas.conf or storage-aggregation.conf is wrong.
    #[error("{}: {source}", path.display())]
    Rules {
        /// The file.
        path: PathBuf,
        /// Which line and what to do.
        source: SchemaError,
    },
    /// whitelist.conf or blacklist.conf is wrong.
    #[error("{}: {source}", path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// Which line and what to do.
        source: ListError,
    },
}

/// A written value in one line, for a message.
fn first_line(written: &str) -> String {
    match written.split_once('\n') {
        Some((first, _)) => format!("{first} ..."),
        None => written.to_owned(),
    }
}
