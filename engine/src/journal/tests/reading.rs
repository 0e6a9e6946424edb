//! What files of a journal say, read with the decoders by the rules of docs/formats/journal.md: the
//! points that are owed. Only what these tests need: one stream, and damage where a test made it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::journal::FileName;
use crate::journal::block::{ALIGNMENT, Block, Kind};
use crate::journal::entry::{CUT_NONE, Entry, PointDecoder};
use crate::journal::name_entry::NameDecoder;

/// A point as the journal has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// `None` where the block of its name is lost.
    pub(super) name: Option<String>,
    pub(super) timestamp: u32,
    pub(super) value: f64,
    pub(super) age_s: u32,
}

/// What the files say.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Points that are owed, by serial.
    pub(super) owed: BTreeMap<u64, Found>,
    /// Highest `epochs_done`.
    pub(super) epochs_done: u32,
    /// Generations that points belong to.
    pub(super) generations: BTreeSet<u32>,
    /// Bytes of points' payloads.
    pub(super) payload_bytes: usize,
}

type Names = BTreeMap<(u32, u32), String>;

/// Blocks of points that are not ignored, by segment and block.
type Blocks<'a> = BTreeMap<(u32, u32), Block<'a>>;

fn sound_blocks(image: &[u8]) -> impl Iterator<Item = Block<'_>> {
    let places = (0..image.len()).step_by(ALIGNMENT);
    places.filter_map(|at| Block::parse(&image[at..]).ok())
}

/// Reads all files of one stream.
pub(super) fn read(files: &[(PathBuf, Vec<u8>)]) -> Reading {
    let mut reading = Reading::default();
    let all = || files.iter().flat_map(|(_, image)| sound_blocks(image));
    let retired = all().map(|block| block.head.retired).max().unwrap_or(0);
    reading.epochs_done = all().map(|block| block.head.epochs_done).max().unwrap_or(0);
    let (mut names, mut blocks) = (Names::new(), Blocks::new());
    for (path, image) in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let kind = FileName::parse(name).unwrap().kind;
        let mut segments = BTreeSet::new();
        for block in sound_blocks(image) {
            assert_eq!(block.head.kind, kind, "{path:?}");
            if kind == Kind::Names {
                read_names(&block, &mut names);
            } else if block.head.segment >= retired {
                segments.insert(block.head.segment);
                let key = (block.head.segment, block.head.block);
                assert!(
                    blocks.insert(key, block).is_none(),
                    "block {key:?} is there twice"
                );
            }
        }
        assert!(
            segments.len() < 2,
            "{path:?} shows {segments:?}, {retired} are retired"
        );
    }
    for block in blocks.values() {
        reading.payload_bytes += block.payload.len();
        reading.take(block, &names);
    }
    reading
}

fn read_names(block: &Block<'_>, names: &mut Names) {
    let mut entries = 0;
    for entry in NameDecoder::new(block.payload) {
        let entry = entry.unwrap();
        let key = (block.head.generation, entry.id);
        let before = names.insert(key, entry.name.to_owned());
        assert_eq!(before, None, "{key:?} is named twice");
        entries += 1;
    }
    assert_eq!(entries, block.head.entries);
}

impl Reading {
    fn take(&mut self, block: &Block<'_>, names: &Names) {
        let head = block.head;
        let name = |id: u32| names.get(&(head.generation, id)).cloned();
        let mut serial = head.serial;
        for entry in PointDecoder::new(block.payload, head.received_ms) {
            match entry.unwrap() {
                Entry::Point {
                    id,
                    timestamp,
                    value,
                    age_s,
                } => {
                    let found = Found {
                        name: name(id),
                        timestamp,
                        value,
                        age_s,
                    };
                    let before = self.owed.insert(serial, found);
                    assert_eq!(before, None, "serial {serial} is there twice");
                    self.generations.insert(head.generation);
                    serial += 1;
                }
                Entry::Written { first, count } => {
                    let ids = first..=first + (count - 1);
                    let written: BTreeSet<_> = ids.filter_map(name).collect();
                    let is_written = |found: &Found| {
                        let name = found.name.as_ref();
                        name.is_some_and(|name| written.contains(name))
                    };
                    self.owed.retain(|_, found| !is_written(found));
                }
                Entry::Mark(_) | Entry::DataSynced(_) => {}
                Entry::WrittenPart { id, back, cut } => {
                    let (name, until) = (name(id), serial - back);
                    self.owed.retain(|serial, found| {
                        let is_early = found.timestamp < cut || cut == CUT_NONE;
                        name.is_none() || found.name != name || *serial >= until || !is_early
                    });
                }
            }
        }
        assert_eq!(serial - head.serial, u64::from(head.entries));
    }

    /// Values of what is owed, in the order of serials.
    pub(super) fn values(&self) -> Vec<f64> {
        self.owed.values().map(|found| found.value).collect()
    }
}
