//! A metric's canonical name, its file's path below the data directory, and its owner shard.
//! Python carbon caches under the name as sent and writes under a cleaned path, so that `a..b` and
//! `a.b` share a file but not a cache entry. Here a name is made canonical once, where it comes in,
//! and cache, journal, file and query agree from then on. The only way to get a `Metric` is through
//! these checks.
//! Untagged: leading `~` go, `/` is `.`, empty components fold. Tagged: as Python's TaggedSeries
//! (see `tags`). Spaces and any script are kept; control characters are refused.
//! Invariants: `parse` of a canonical name is that name; a path is relative, stays below the data
//! directory, and has no `.`, `..` or empty component.
//! On failure: a typed error, and the point is counted as refused. Never a panic, never a log line.

mod path;
mod tags;

use std::path::PathBuf;

use thiserror::Error;

use crate::limits::{
    METRIC_NAME_BYTES_MAX, METRIC_NAME_PASSES_MAX, PATH_COMPONENT_BYTES_MAX, SHARDS_MAX,
};
use crate::names;

/// What follows the last component of a metric in its file's name.
const FILE_SUFFIX: &str = ".wsp";
/// Longest name that fits into one path component together with `FILE_SUFFIX`.
const LAST_COMPONENT_BYTES_MAX: usize = PATH_COMPONENT_BYTES_MAX - FILE_SUFFIX.len();

/// A canonical, checked metric name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Metric<'a>(&'a str);

/// How the file of a tagged metric is named: TAG_HASH_FILENAMES.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum TaggedLeaf {
    /// By the SHA-256 of its name (TAG_HASH_FILENAMES = True).
    #[default]
    Hashed,
    /// By its name, with `.` written `_DOT_` (TAG_HASH_FILENAMES = False). A name that is no safe
    /// file name, because it holds a `/` or is too long, is hashed all the same: graphite-web looks
    /// for both, while Python carbon would leave the directory or fail.
    Readable,
}

/// Which shard, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct ShardIndex(pub u16);

/// Why a name cannot be a metric.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// Nothing is left of the name: it is empty, or all dots, slashes and leading tildes.
    #[error("the metric name is empty")]
    Empty,
    /// The name as received is longer than a path may become.
    #[error("the metric name has {found} bytes, {allowed} are allowed")]
    TooLong {
        /// Bytes as received.
        found: usize,
        /// The bound, `METRIC_NAME_BYTES_MAX`.
        allowed: usize,
    },
    /// A part between dots is longer than a directory's or file's name may be.
    #[error("a part of the metric name between dots has {found} bytes, {allowed} are allowed")]
    ComponentTooLong {
        /// Bytes of the part.
        found: usize,
        /// The bound; less for the last part, which gets `.wsp`.
        allowed: usize,
    },
    /// NUL, a line end or another control character (C0, DEL, C1).
    #[error("the metric name holds the control character U+{:04X} at byte {offset}", u32::from(*.found))]
    ControlCharacter {
        /// The first one.
        found: char,
        /// Where, in bytes from the start of the name as received.
        offset: usize,
    },
    /// An untagged name that would be written among the files of tagged metrics.
    #[error("metric names under '_tagged' belong to tagged metrics")]
    ReservedTagged,
    /// Rewriting the name never came to rest.
    #[error("the metric name mixes two forms of tags and has no canonical form")]
    Unsettled,
    /// `from_canonical` was given a name that `parse` would have changed.
    #[error("the metric name is not canonical")]
    NotCanonical,
}

impl<'a> Metric<'a> {
    /// Checks a received name and makes it canonical. A name that is canonical already is lent on
    /// as it is, without allocation; ASCII without tags, the ordinary case, takes one pass over its
    /// bytes. Any other is built in `scratch`, whose contents are lost.
    pub fn parse(raw: &'a str, scratch: &'a mut String) -> Result<Metric<'a>, NameError> {
        if path::is_plainly_canonical(raw) {
            return Ok(Metric(raw));
        }
        check_received(raw)?;
        if is_canonical(raw) {
            return Self::bounded(raw);
        }
        rewrite(raw, scratch);
        for _ in 1..METRIC_NAME_PASSES_MAX {
            if scratch.is_empty() {
                return Err(NameError::Empty);
            }
            if is_canonical(scratch) {
                return Self::bounded(scratch);
            }
            let before = std::mem::take(scratch);
            rewrite(&before, scratch);
        }
        Err(NameError::Unsettled)
    }

    /// Whether a name as received is short enough, which no rewriting is asked for.
    #[inline]
    pub fn check_length(raw: &str) -> Result<(), NameError> {
        if raw.len() > METRIC_NAME_BYTES_MAX {
            return Err(NameError::TooLong {
                found: raw.len(),
                allowed: METRIC_NAME_BYTES_MAX,
            });
        }
        Ok(())
    }

    /// The quick check: whether a name is canonical as it stands, and untagged. False also for
    /// some that are, such as names beyond ASCII.
    #[inline]
    pub fn is_plain(raw: &str) -> bool {
        path::is_plainly_canonical(raw)
    }

    /// Takes back a name that came from `as_str`, from the cache or the journal. It is checked
    /// again, without allocation, so that nobody has to vouch for it.
    pub fn from_canonical(name: &'a str) -> Result<Metric<'a>, NameError> {
        if path::is_plainly_canonical(name) {
            return Ok(Metric(name));
        }
        check_received(name)?;
        if !is_canonical(name) {
            return Err(NameError::NotCanonical);
        }
        Self::bounded(name)
    }

    /// The canonical name.
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// Whether the metric's file lies under `_tagged`.
    pub fn is_tagged(&self) -> bool {
        tags::has_separator(self.0)
    }

    /// The metric's file, relative to the data directory.
    pub fn file_path(&self, leaf: TaggedLeaf) -> PathBuf {
        let path = if self.is_tagged() {
            path::tagged(self.0, leaf)
        } else {
            path::untagged(self.0)
        };
        PathBuf::from(path)
    }

    /// The file that a tagged metric would have under its readable name, relative to the data
    /// directory; none where the metric is untagged or its name is no safe file name.
    pub fn readable_path(&self) -> Option<PathBuf> {
        let is_readable = self.is_tagged() && path::readable_leaf(self.0).is_some();
        is_readable.then(|| self.file_path(TaggedLeaf::Readable))
    }

    /// Whether it is a tagged metric whose tags graphite-web can read.
    pub fn has_sound_tags(&self) -> bool {
        tags::is_sound(self.0)
    }

    /// A hash that is equal for metrics whose `file_path` is equal, for `owner`. `seed` is the
    /// process's, drawn at start: senders must not be able to choose the shard.
    pub fn owner_hash(&self, leaf: TaggedLeaf, seed: u64) -> u64 {
        if leaf == TaggedLeaf::Readable
            && self.is_tagged()
            && let Some(file) = path::readable_leaf(self.0)
        {
            return names::hash(seed, &file);
        }
        names::hash(seed, self.0)
    }

    /// The last check, of a name whose form is canonical.
    fn bounded(name: &'a str) -> Result<Metric<'a>, NameError> {
        assert!(
            name.len() <= METRIC_NAME_BYTES_MAX,
            "{} bytes passed the check",
            name.len()
        );
        if !tags::has_separator(name) {
            path::check_components(name)?;
        }
        Ok(Metric(name))
    }
}

/// The shard that owns a metric, out of `shards`, by its `owner_hash`.
pub fn owner(hash: u64, shards: u16) -> ShardIndex {
    assert!(shards > 0, "no shard to own a metric");
    assert!(
        usize::from(shards) <= SHARDS_MAX,
        "{shards} shards, {SHARDS_MAX} allowed"
    );
    // Bits 16 to 47 decide, most of all the upper ones, so that a table of names within the shard
    // may use the ends of the same hash (`names`).
    let middle = (hash >> 16) & u64::from(u32::MAX);
    let [.., high, low] = ((middle * u64::from(shards)) >> 32).to_be_bytes();
    ShardIndex(u16::from_be_bytes([high, low]))
}

/// What holds for a name before anything is changed in it.
fn check_received(raw: &str) -> Result<(), NameError> {
    Metric::check_length(raw)?;
    match raw.char_indices().find(|(_, c)| c.is_control()) {
        Some((offset, found)) => Err(NameError::ControlCharacter { found, offset }),
        None => Ok(()),
    }
}

/// Whether `rewrite` would leave the name as it is.
fn is_canonical(name: &str) -> bool {
    if !tags::has_form(name) {
        return path::is_folded(name);
    }
    tags::is_settled(name) && (tags::has_separator(name) || path::is_folded(name))
}

/// One pass: Python's normalisation of tags, then the folding of what is untagged. Only a name that
/// mixes OpenMetrics braces with `;` or with a slash at its end needs a second.
fn rewrite(name: &str, canonical: &mut String) {
    canonical.clear();
    if !tags::has_form(name) {
        path::fold(name, canonical);
        return;
    }
    if !tags::normalise(name, canonical) {
        canonical.clear();
        canonical.push_str(name);
    }
    if !tags::has_separator(canonical) {
        let untagged = std::mem::take(canonical);
        path::fold(&untagged, canonical);
    }
}

#[cfg(test)]
mod tests;
