//! What a replay must give out of a history: worked out from the records of the blocks that are still
//! sound, point by point, by the words of docs/formats/journal.md and by nothing of the replay's code.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{History, Note, Record};
use crate::journal::block::Kind;
use crate::journal::entry::CUT_NONE;
use crate::journal::walk::SegmentKey;

/// A point: name, timestamp, bits of its value, milliseconds of receipt.
pub(super) type Given = (String, u32, u64, u64);

/// What is expected.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) given: Vec<Given>,
    pub(super) written: u64,
    pub(super) lost: u64,
    pub(super) lost_nameless: u64,
    pub(super) lost_uncounted: u64,
    pub(super) newest: Option<u32>,
}

/// Whose point or entry it is: a name, or an id of a generation that has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Name(String),
    Nameless(u32, u32),
}

pub(super) fn expected(history: &History, owns: &dyn Fn(&str) -> bool) -> Expected {
    let seen = seen(history);
    let done = seen
        .iter()
        .map(|record| record.head.epochs_done)
        .max()
        .unwrap_or(0);
    let streams: BTreeSet<(u32, u16)> = seen
        .iter()
        .filter(|record| record.head.epoch >= done)
        .map(|record| (record.head.epoch, record.head.shard))
        .collect();
    let mut expected = Expected::default();
    for stream in streams {
        let of_stream = |record: &&Record| (record.head.epoch, record.head.shard) == stream;
        let all: Vec<&Record> = history.records.iter().filter(of_stream).collect();
        let seen: Vec<&Record> = seen.iter().copied().filter(of_stream).collect();
        add_stream(&all, &seen, owns, &mut expected);
    }
    expected
}

/// The records that a reader comes to see: sound, and of the segment that their file is taken for,
/// that of its first sound block.
fn seen(history: &History) -> Vec<&Record> {
    let mut keys: BTreeMap<_, (usize, SegmentKey)> = BTreeMap::new();
    let sound = || {
        history
            .records
            .iter()
            .filter(|record| history.is_sound(record))
    };
    for record in sound() {
        let first = keys
            .entry(&record.file)
            .or_insert((record.offset, record.key()));
        if record.offset <= first.0 {
            *first = (record.offset, record.key());
        }
    }
    sound()
        .filter(|record| keys[&record.file].1 == record.key())
        .collect()
}

fn add_stream(
    all: &[&Record],
    seen: &[&Record],
    owns: &dyn Fn(&str) -> bool,
    expected: &mut Expected,
) {
    let points = |record: &&&Record| record.head.kind == Kind::Points;
    let retired = seen.iter().map(|record| record.head.retired).max();
    let retired = retired.unwrap_or(0);
    let names = names(seen);
    let whose = |generation: u32, id: u32| {
        let name = names.get(&(generation, id));
        name.map_or(Whose::Nameless(generation, id), |name| {
            Whose::Name(name.clone())
        })
    };
    let counted: Vec<&Record> = seen
        .iter()
        .filter(|record| points(record) && record.head.segment >= retired)
        .copied()
        .collect();
    let entries: Vec<(u64, u32, &Note)> = counted
        .iter()
        .flat_map(|record| with_serials(record))
        .collect();
    let is_covered = |owner: &Whose, serial: u64, timestamp: u32| {
        entries
            .iter()
            .any(|(present, generation, note)| match note {
                Note::Written { first, count } if serial < *present => {
                    let (first, last) = ((*generation, *first), (*generation, first + count - 1));
                    match owner {
                        Whose::Nameless(generation, id) => {
                            (first..=last).contains(&(*generation, *id))
                        }
                        Whose::Name(owner) => {
                            names.range(first..=last).any(|(_, name)| name == owner)
                        }
                    }
                }
                Note::Part { id, back, cut } => {
                    whose(*generation, *id) == *owner
                        && serial < present.saturating_sub(*back)
                        && (*cut == CUT_NONE || timestamp < *cut)
                }
                Note::Written { .. } | Note::Point { .. } | Note::Name { .. } => false,
            })
    };
    for record in &counted {
        for (serial, generation, note) in with_serials(record) {
            let Note::Point { id, point, age_s } = note else {
                continue;
            };
            let owner = whose(generation, *id);
            let covered = is_covered(&owner, serial, point.timestamp);
            match owner {
                Whose::Nameless(..) => expected.lost_nameless += u64::from(!covered),
                Whose::Name(name) if owns(&name) && covered => expected.written += 1,
                Whose::Name(name) if owns(&name) => {
                    let received_ms = record.head.received_ms - u64::from(*age_s) * 1000;
                    let bits = point.value.to_bits();
                    expected
                        .given
                        .push((name, point.timestamp, bits, received_ms));
                    expected.newest = expected.newest.max(Some(point.timestamp));
                }
                Whose::Name(_) => {}
            }
        }
    }
    count_lost(all, &counted, retired, expected);
}

/// The names that are left, by generation and id.
fn names(seen: &[&Record]) -> BTreeMap<(u32, u32), String> {
    let mut names = BTreeMap::new();
    for record in seen {
        for note in &record.notes {
            if let Note::Name { id, name } = note {
                names.insert((record.head.generation, *id), name.clone());
            }
        }
    }
    names
}

/// What of a stream is gone, by the records of what there was.
fn count_lost(all: &[&Record], counted: &[&Record], retired: u32, expected: &mut Expected) {
    let (Some(first), Some(last)) = (counted.first(), counted.last()) else {
        return;
    };
    let is_counted = |record: &Record| counted.iter().any(|other| other.head == record.head);
    let is_whole_before = first.head.segment == 0;
    for record in all {
        let head = &record.head;
        let gone = head.kind == Kind::Points && head.segment >= retired && !is_counted(record);
        let after = is_whole_before || head.serial >= first.head.serial;
        let place = (head.segment, head.block);
        if gone && after && place < (last.head.segment, last.head.block) {
            expected.lost += u64::from(head.entries);
        }
    }
    let is_missing = first.head.block > 0 || first.head.segment > retired;
    expected.lost_uncounted += u64::from(!is_whole_before && is_missing);
}

/// The notes of a block with the serial at which each stands.
fn with_serials(record: &Record) -> Vec<(u64, u32, &Note)> {
    let mut serial = record.head.serial;
    let mut notes = Vec::new();
    for note in &record.notes {
        notes.push((serial, record.head.generation, note));
        serial += u64::from(matches!(note, Note::Point { .. }));
    }
    notes
}
