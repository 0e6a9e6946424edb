//! What a replay found: how much was owed and given out, and everything that was not as it should be.
//! Nothing that is missing is silent: it is a number here, and a place while there are not too many.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use crate::journal::entry::EntryError;
use crate::limits::JOURNAL_HARMS_KEPT_MAX;
use crate::ring::FileError;

/// What a replay found so far; final once it is done.
/// What is said of names, of points owed, given and written is of the metrics that this shard owns;
/// all else is of the whole journal, and the same in the replay of every shard whose reads succeed. What
/// fails is this shard's own reading (`unread`), and so is what is lost by that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Names of this shard's metrics.
    pub names: u32,
    /// Points of this shard's metrics that no written entry covers, as far as was read.
    pub owed: u64,
    /// Of those, the points that were taken.
    pub given: u64,
    /// Points of this shard's metrics that are in their files, as far as was read.
    pub written: u64,
    /// The latest time of all points that are owed; known with the first pass. With points that were
    /// written in part it may be that of a written one.
    pub newest: Option<u32>,
    /// Points in the segments that count; known with the first pass.
    pub points: u64,
    /// Segments of points that count; known with the first pass.
    pub segments: usize,
    /// Points that are gone because blocks are damaged or missing, written ones among them.
    pub lost: u64,
    /// Points that are owed and have no name, because names are damaged or missing.
    pub lost_nameless: u64,
    /// Places where points may be gone and nothing tells how many.
    pub lost_uncounted: u64,
    /// Bytes of unfinished blocks at the ends of streams: they were being written when the process
    /// ended, and nothing was promised of them.
    pub torn_bytes: u64,
    /// Places of damage, the first ones.
    pub harms: Vec<Harm>,
    /// How many more there are.
    pub harms_more: u64,
    /// Files that count and that could not be read in whole, or not a second time: another reader may
    /// find there what is missing.
    pub unread: BTreeSet<PathBuf>,
}

impl Report {
    pub(super) fn harm(&mut self, harm: Harm) {
        if self.harms.len() < JOURNAL_HARMS_KEPT_MAX {
            self.harms.push(harm);
        } else {
            self.harms_more += 1;
        }
    }

    /// Is everything there that was ever synced?
    pub fn is_sound(&self) -> bool {
        self.harms.is_empty()
            && self.lost == 0
            && self.lost_nameless == 0
            && self.lost_uncounted == 0
    }
}

/// A place of damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Harm {
    /// The file.
    pub path: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// What is wrong there.
    pub what: Damage,
}

/// What is wrong at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Blocks are damaged or missing from here to the next sound one.
    Blocks {
        /// Bytes to the next sound block.
        bytes: u64,
        /// Points (or names) gone; unknown where nothing sound comes before.
        entries: Option<u64>,
    },
    /// The blocks from here to the end of the file are damaged, and later ones are there.
    End,
    /// A sound block holds what no version writes.
    Entries {
        /// Points (or names) of the block that are gone.
        entries: u64,
        /// What is wrong; none where there are fewer or more than the head says.
        error: Option<EntryError>,
    },
    /// Blocks are missing between this segment and the one before it.
    Before {
        /// Points gone; unknown where nothing comes before.
        points: Option<u64>,
    },
    /// The disk cannot read this.
    Unreadable {
        /// How many bytes.
        bytes: u64,
        /// Why.
        error: FileError,
    },
    /// Blocks that were sound when they were read first cannot be read a second time.
    Changed {
        /// Points gone.
        points: u64,
    },
    /// Another file holds the same segment; this one was not read.
    Twin,
}

impl Damage {
    /// Is it of one shard's reading, so that another's may have succeeded?
    pub fn is_of_reading(&self) -> bool {
        matches!(self, Damage::Unreadable { .. } | Damage::Changed { .. })
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: ", self.path.display(), self.offset)?;
        match self.what {
            Damage::Blocks {
                bytes,
                entries: Some(entries),
            } => write!(f, "{bytes} bytes are damaged, {entries} entries are gone"),
            Damage::Blocks {
                bytes,
                entries: None,
            } => write!(f, "{bytes} bytes are damaged, entries may be gone"),
            Damage::End => write!(f, "the rest of the file is damaged"),
            Damage::Entries {
                entries,
                error: Some(error),
            } => write!(f, "{entries} entries of a block cannot be read: {error}"),
            Damage::Entries {
                entries,
                error: None,
            } => write!(
                f,
                "a block has not the entries it claims, {entries} are gone"
            ),
            Damage::Before {
                points: Some(points),
            } => write!(f, "{points} points before this segment are gone"),
            Damage::Before { points: None } => {
                write!(f, "points before this segment may be gone")
            }
            Damage::Unreadable { bytes, error } => {
                write!(f, "{bytes} bytes cannot be read: {error}")
            }
            Damage::Changed { points } => {
                write!(f, "{points} points could be read once and not again")
            }
            Damage::Twin => write!(
                f,
                "another file holds the same segment, this one was not read"
            ),
        }
    }
}
