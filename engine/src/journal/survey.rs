//! What a journal's directory holds, from the first bytes of its files: which segments of which
//! streams, which epoch was the last, which files are not ours.
//! Pure: whoever surveys lists the directory and reads; `wants` says how much of each file.
//! A journal of a newer version is an error that names the file: nothing of it may be used, and
//! nothing beside it begun. A file whose first block is damaged stays in the list without a key, and
//! the reading looks for its first sound block. What was set aside is no part of the journal any more,
//! and is surveyed by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::FileName;
use super::block::{Block, BlockError, HEAD_BYTES, Kind, VERSION};
use super::walk::SegmentKey;

/// Name of the file that the process which uses the directory has locked.
pub const LOCK_NAME: &str = "lock";

/// Ending of a file's name behind its own, once it is set aside: a shard could not read it, and its
/// points may be missing.
pub const ASIDE_ENDING: &str = ".aside";

/// Is a file set aside?
pub fn is_aside(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().ends_with(ASIDE_ENDING.as_bytes())
}

/// The name that a file gets which is set aside.
pub fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ASIDE_ENDING);
    PathBuf::from(name)
}

/// A file of the directory, as its first bytes show it.
#[derive(Clone, Debug)]
pub struct Looked {
    /// Its path.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Its first bytes, as many as `wants` asks for; empty where they cannot be read.
    pub first: Vec<u8>,
}

impl Looked {
    /// The look at a file all of whose bytes are at hand.
    pub fn of(path: PathBuf, bytes: &[u8]) -> Looked {
        let mut first = Vec::new();
        while let Some(wanted) = wants(&first, bytes.len() as u64) {
            assert!(wanted > first.len(), "{wanted} bytes are there already");
            first = bytes[..wanted].to_vec();
        }
        Looked {
            path,
            bytes: bytes.len() as u64,
            first,
        }
    }
}

/// A file that holds, or may hold, a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Its path.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Its segment; none where its first block is not sound.
    pub key: Option<SegmentKey>,
}

/// A journal that a newer Benzene wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is of a newer Benzene's journal (version {found}, this one knows {VERSION}): start that Benzene, or move the journal away to give up what it holds",
    path.display()
)]
pub struct NewerVersion {
    /// The file.
    pub path: PathBuf,
    /// Its version.
    pub found: u8,
}

/// What a directory holds.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Files that hold segments, or may, by path.
    pub files: Vec<SegmentFile>,
    /// The highest epoch of all heads and all names of files, those that are set aside among them.
    pub epoch_highest: Option<u32>,
    /// Epochs below this one owe nothing, as far as first blocks tell.
    pub epochs_done: u32,
    /// By epoch and shard: segments of points below this number owe nothing, as far as first blocks
    /// tell.
    pub retired: BTreeMap<(u32, u16), u32>,
    /// Files that are not the journal's.
    pub strangers: Vec<PathBuf>,
    /// Files that hold a segment that another file holds too; they are not read.
    pub twins: Vec<PathBuf>,
    /// Files that an earlier run has set aside; they are not read.
    pub aside: Vec<PathBuf>,
}

/// How many of a file's first bytes a survey needs, where these are not enough.
pub fn wants(first: &[u8], file_bytes: u64) -> Option<usize> {
    let missing = match Block::parse(first) {
        Err(BlockError::Cut { bytes }) => Some(bytes),
        Err(_) if first.is_empty() => Some(HEAD_BYTES),
        Ok(_) | Err(_) => None,
    };
    missing.filter(|bytes| *bytes as u64 <= file_bytes)
}

impl Survey {
    /// Takes the files of a directory, in any order.
    pub fn new(looked: impl IntoIterator<Item = Looked>) -> Result<Survey, NewerVersion> {
        let (aside, looked) = looked
            .into_iter()
            .partition(|it: &Looked| is_aside(&it.path));
        let mut survey = Survey::of_all(looked)?;
        let mut aside: Vec<PathBuf> = aside.into_iter().map(|it: Looked| it.path).collect();
        aside.sort();
        // Whatever is set aside later has another name.
        let named = aside
            .iter()
            .filter_map(|path| named(path))
            .map(|name| name.epoch);
        survey.epoch_highest = survey.epoch_highest.max(named.max());
        survey.aside = aside;
        Ok(survey)
    }

    /// Does a file owe nothing, as far as first blocks tell? It is of an epoch of which a later one has
    /// all, or of points that are in files.
    pub fn owes_nothing(&self, file: &SegmentFile) -> bool {
        file.key.is_some_and(|key| {
            let retired = self.retired.get(&(key.epoch, key.shard));
            let is_retired = retired.is_some_and(|retired| key.segment < *retired);
            key.epoch < self.epochs_done || (key.kind == Kind::Points && is_retired)
        })
    }

    /// The epoch of the process that begins here.
    pub fn epoch_next(&self) -> u32 {
        self.epoch_highest.map_or(1, |highest| highest + 1)
    }

    /// Takes those files of a directory that were set aside, and no others.
    pub fn of_aside(looked: impl IntoIterator<Item = Looked>) -> Result<Survey, NewerVersion> {
        let looked = looked.into_iter().filter(|it| is_aside(&it.path));
        Survey::of_all(looked.collect())
    }

    fn of_all(mut looked: Vec<Looked>) -> Result<Survey, NewerVersion> {
        looked.sort_by(|one, other| one.path.cmp(&other.path));
        let mut survey = Survey::default();
        let mut keys = BTreeSet::new();
        for file in looked {
            let named = named(&file.path).map(|name| name.epoch);
            survey.epoch_highest = survey.epoch_highest.max(named);
            let key = match Block::parse(&file.first) {
                Ok(block) => {
                    let key = SegmentKey::of(&block.head);
                    survey.epoch_highest = survey.epoch_highest.max(Some(key.epoch));
                    survey.epochs_done = survey.epochs_done.max(block.head.epochs_done);
                    let retired = survey.retired.entry((key.epoch, key.shard)).or_default();
                    *retired = (*retired).max(block.head.retired);
                    Some(key)
                }
                Err(BlockError::Version { found }) => {
                    let path = file.path;
                    return Err(NewerVersion { path, found });
                }
                Err(_) if named.is_some() => None,
                Err(_) => {
                    if file.path.file_name().is_none_or(|name| name != LOCK_NAME) {
                        survey.strangers.push(file.path);
                    }
                    continue;
                }
            };
            if key.is_some_and(|key| !keys.insert(key)) {
                survey.twins.push(file.path);
                continue;
            }
            survey.files.push(SegmentFile {
                path: file.path,
                bytes: file.bytes,
                key,
            });
        }
        Ok(survey)
    }
}

/// What the name of a segment's file says, also of one that is set aside; none of another file.
pub fn named(path: &Path) -> Option<FileName> {
    let name = path.file_name()?.to_str()?;
    FileName::parse(name.strip_suffix(ASIDE_ENDING).unwrap_or(name))
}
