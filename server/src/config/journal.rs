//! What carbon.conf says of the journal and of the stop, checked against each other.
//! Nothing is read from disk here: how large the journal's disk is shows at the start.

use std::path::PathBuf;
use std::time::Duration;

use benzene_engine::limits::JOURNAL_BYTES_USUAL;

use super::error::ConfigError;
use super::instances::Share;
use super::low::Low;
use super::value::{Fault, Value};

/// When what was journaled is brought to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalSync {
    /// Every so often.
    Every(Duration),
    /// At once: what a query shows is on the device.
    Always,
    /// When the kernel likes.
    Never,
}

/// How the journal is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalSettings {
    /// Where its files are.
    pub dir: PathBuf,
    /// After how long an accepted point is with the kernel.
    pub commit: Duration,
    /// After how long it is on the device.
    pub sync: JournalSync,
    /// Most bytes of all its files; None is decided at start from the size of its disk (`bytes`).
    pub bytes_max: Option<u64>,
    /// What of the machine is the process's.
    pub share: Share,
    /// Bytes of one of its files; None is as large as is usual, or as the bound allows.
    pub segment_bytes: Option<u64>,
    /// Whether the daemon stops when the journal cannot be written.
    pub stop_on_error: bool,
}

impl JournalSettings {
    /// Most bytes of all its files on a disk of that size: where nobody says otherwise what is usual, or a
    /// tenth of the disk where that is less, and of that what is the process's.
    pub fn bytes(&self, disk_bytes: u64) -> u64 {
        let usual = JOURNAL_BYTES_USUAL.min(disk_bytes / 10);
        self.bytes_max.unwrap_or_else(|| self.share.of(usual))
    }
}

/// What SIGTERM does with the points that are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// They stay in the journal, unless that may be gone at the next start.
    Auto,
    /// They stay in the journal, and are in the cache after the next start.
    Journal,
    /// They are written to their files.
    Drain,
}

/// The journal in `dir`; None where it is switched off.
pub(super) fn journal(low: &Low, dir: PathBuf, share: Share) -> Option<JournalSettings> {
    if !low.switch("JOURNAL") {
        return None;
    }
    Some(JournalSettings {
        dir,
        commit: Duration::from_millis(number(low, "JOURNAL_COMMIT")),
        sync: sync(low),
        bytes_max: low.integer("JOURNAL_MAX_BYTES"),
        share,
        segment_bytes: low.integer("JOURNAL_SEGMENT_BYTES"),
        stop_on_error: low.text("JOURNAL_ON_ERROR").as_deref() == Some("stop"),
    })
}

/// What a stop does: what was asked for, else what the journal allows.
pub(super) fn shutdown(low: &Low, has_journal: bool) -> Result<Shutdown, ConfigError> {
    const NAME: &str = "SHUTDOWN";
    match (low.text(NAME).as_deref(), has_journal) {
        (Some("journal"), false) => Err(low.refuse(
            NAME,
            Fault::Refused {
                reason: "JOURNAL = False leaves nowhere to keep what is cached",
                same: "drain",
            },
        )),
        (Some("drain"), _) | (None, false) => Ok(Shutdown::Drain),
        (Some("journal"), true) => Ok(Shutdown::Journal),
        (None, true) => Ok(Shutdown::Auto),
        (Some(_), _) => unreachable!("the option table lets journal and drain through"),
    }
}

fn sync(low: &Low) -> JournalSync {
    let value = low.value("JOURNAL_SYNC");
    if let Value::Integer(ms) = value {
        return JournalSync::Every(Duration::from_millis(ms));
    }
    if value == Value::Choice("always") {
        JournalSync::Always
    } else {
        JournalSync::Never
    }
}

fn number(low: &Low, name: &str) -> u64 {
    let Some(number) = low.integer(name) else {
        unreachable!("{name} has a default")
    };
    number
}
