//! Histories of daemons, drawn from a seed: what their shards journaled, with a record of every
//! block, and the files that they left. Then files are damaged, cut, or used again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::journal::block::{Block, HEAD_BYTES, Head, Kind};
use crate::journal::entry::{CUT_NONE, PointEncoder};
use crate::journal::name_entry::NameEncoder;
use crate::journal::survey::Looked;
use crate::journal::walk::SegmentKey;
use crate::point::Point;

/// Numbers that look like any others.
#[derive(Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        let mixed = (self.0 ^ (self.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 33) % bound
    }

    pub(super) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }

    fn small(&mut self, bound: u64) -> u32 {
        u32::try_from(self.below(bound)).unwrap()
    }

    pub(super) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// An entry of a block, as it was meant.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Note {
    Point { id: u32, point: Point, age_s: u32 },
    Written { first: u32, count: u32 },
    Part { id: u32, back: u64, cut: u32 },
    Name { id: u32, name: String },
}

/// A block that was written.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) head: Head,
    pub(super) file: PathBuf,
    pub(super) offset: usize,
    pub(super) notes: Vec<Note>,
}

impl Record {
    pub(super) fn key(&self) -> SegmentKey {
        SegmentKey::of(&self.head)
    }
}

/// What is on the disk, and all that was ever written there.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) files: BTreeMap<PathBuf, Vec<u8>>,
    pub(super) records: Vec<Record>,
    pub(super) has_parts: bool,
}

const FILE_BYTES: usize = 1536;
pub(super) const NAMES: u32 = 11;
const START_S: u32 = 1_700_000_000;

/// The files that a shard writes one kind of segments into.
#[derive(Debug)]
struct Lane {
    kind: Kind,
    file: PathBuf,
    at: usize,
    segment: u32,
    block: u32,
    files: u32,
}

/// One shard of one epoch.
struct Shard<'a> {
    history: &'a mut History,
    dice: &'a mut Dice,
    epoch: u32,
    number: u16,
    epochs_done: u32,
    lanes: [Lane; 2],
    serial: u64,
    generation: u32,
    ids: BTreeMap<u32, u32>,
    retired: u32,
    /// Files of retired segments, to be used again once a block has said so.
    free: Vec<PathBuf>,
    freed: Vec<PathBuf>,
    /// Files of the segments of points, by number.
    segments: Vec<PathBuf>,
    /// By segment: points that are not written, as (name, serial, timestamp).
    unwritten: Vec<(u32, u32, u64, u32)>,
    now_ms: u64,
}

impl History {
    /// A few epochs of a few shards.
    pub(super) fn draw(dice: &mut Dice) -> History {
        let mut history = History::default();
        let mut epoch = dice.small(3);
        for _ in 0..=dice.below(3) {
            let shards = 1 + dice.below(3);
            let done = if dice.one_in(3) { epoch } else { 0 };
            for shard in 0..shards {
                let shard = u16::try_from(shard).unwrap();
                let mut shard = Shard::new(&mut history, dice, epoch, shard);
                shard.run(done);
            }
            epoch += 1 + dice.small(2);
        }
        history
    }

    /// What a survey is given.
    pub(super) fn looked(&self) -> Vec<Looked> {
        let files = self.files.iter();
        files
            .map(|(path, bytes)| Looked::of(path.clone(), bytes))
            .collect()
    }

    /// The block of a record as the disk has it now, if it is still whole.
    pub(super) fn is_sound(&self, record: &Record) -> bool {
        let bytes = &self.files[&record.file];
        bytes
            .get(record.offset..)
            .is_some_and(|bytes| Block::parse(bytes).is_ok_and(|block| block.head == record.head))
    }

    /// Changes a byte of a block, or cuts its rest off as a power cut does.
    pub(super) fn damage(&mut self, dice: &mut Dice) {
        let Some(index) = self
            .records
            .len()
            .checked_sub(1)
            .map(|last| dice.index(last + 1))
        else {
            return;
        };
        let record = &self.records[index];
        let Some(bytes) = self.files.get_mut(&record.file) else {
            return;
        };
        match dice.below(6) {
            0 => {
                let kept = record.offset + dice.index(HEAD_BYTES + 30);
                let kept = kept.min(bytes.len());
                bytes[kept..].fill(0);
            }
            1 => bytes.truncate(record.offset + dice.index(100)),
            2 => {
                let end = (record.offset + dice.index(700)).min(bytes.len());
                bytes[record.offset.min(end)..end].fill(0);
            }
            _ => {
                let at = record.offset + dice.index(HEAD_BYTES + 20);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
        }
    }
}

impl<'a> Shard<'a> {
    fn new(history: &'a mut History, dice: &'a mut Dice, epoch: u32, shard: u16) -> Shard<'a> {
        let lane = |kind| Lane {
            kind,
            file: PathBuf::new(),
            at: 0,
            segment: 0,
            block: 0,
            files: 0,
        };
        let mut shard = Shard {
            history,
            dice,
            epoch,
            number: shard,
            epochs_done: 0,
            lanes: [lane(Kind::Points), lane(Kind::Names)],
            serial: 0,
            generation: 0,
            ids: BTreeMap::new(),
            retired: 0,
            free: Vec::new(),
            freed: Vec::new(),
            segments: Vec::new(),
            unwritten: Vec::new(),
            now_ms: u64::from(START_S) * 1000 + u64::from(epoch) * 1_000_000,
        };
        shard.open(0);
        shard.open(1);
        shard
    }

    /// Some blocks; in the midst of them the epochs before may be done with.
    fn run(&mut self, done: u32) {
        for _ in 0..self.dice.below(40) {
            self.seal_points();
            if self.dice.one_in(8) {
                self.epochs_done = done;
            }
        }
    }

    fn open(&mut self, lane: usize) {
        let (epoch, shard) = (self.epoch, self.number);
        let used = if lane == 0 { self.free.pop() } else { None };
        let lane = &mut self.lanes[lane];
        lane.file = used.unwrap_or_else(|| {
            lane.files += 1;
            let kind = ["points", "names"][usize::from(lane.kind == Kind::Names)];
            let name = format!("{epoch:08}-{shard:05}-{:08}.{kind}", lane.files - 1);
            PathBuf::from("/journal").join(name)
        });
        (lane.at, lane.block) = (0, 0);
        let file = self.history.files.entry(lane.file.clone()).or_default();
        file.resize(FILE_BYTES, 0);
        if lane.kind == Kind::Points {
            self.segments.push(lane.file.clone());
        }
    }

    /// Writes a block behind the last one of its lane.
    fn write(&mut self, lane: usize, mut head: Head, mut block: Vec<u8>, notes: Vec<Note>) {
        let bytes = block.len().next_multiple_of(64);
        if self.lanes[lane].at + bytes > FILE_BYTES {
            self.lanes[lane].segment += 1;
            self.open(lane);
        }
        let lane = &mut self.lanes[lane];
        (head.segment, head.block) = (lane.segment, lane.block);
        head.seal(&mut block);
        let Some(file) = self.history.files.get_mut(&lane.file) else {
            unreachable!("it was opened")
        };
        file[lane.at..lane.at + block.len()].copy_from_slice(&block);
        self.history.records.push(Record {
            head,
            file: lane.file.clone(),
            offset: lane.at,
            notes,
        });
        lane.at += block.len();
        lane.block += 1;
    }

    fn head(&self, kind: Kind, serial: u64, entries: u32) -> Head {
        Head {
            kind,
            shard: self.number,
            epoch: self.epoch,
            segment: 0,
            block: 0,
            generation: self.generation,
            serial,
            received_ms: self.now_ms,
            entries,
            retired: self.retired,
            epochs_done: self.epochs_done,
            mount: 1,
        }
    }

    /// The id of a name; a new one comes with a block of names, before the points.
    fn id(&mut self, name: u32, fresh: &mut Vec<(u32, u32)>) -> u32 {
        let next = u32::try_from(self.ids.len()).unwrap() * (1 + self.epoch * 300);
        *self.ids.entry(name).or_insert_with(|| {
            fresh.push((next, name));
            next
        })
    }

    fn seal_points(&mut self) {
        if self.dice.one_in(12) {
            self.generation += 1;
            self.ids.clear();
        }
        self.now_ms += self.dice.below(5000);
        let mut fresh = Vec::new();
        let mut notes = Vec::new();
        let mut encoder = PointEncoder::new(Vec::new(), self.now_ms);
        let begun = self.serial;
        let known = self.ids.len() as u64;
        for _ in 0..self.dice.below(25) {
            let note = self.draw_note(&mut fresh, begun + u64::from(encoder.points()));
            match &note {
                Note::Point { id, point, age_s } => encoder.aged_point(*id, *point, *age_s),
                Note::Written { first, count } => encoder.written(*first, *count),
                Note::Part { id, back, cut } => encoder.written_part(*id, *back, *cut),
                Note::Name { .. } => unreachable!("not among points"),
            }
            notes.push(note);
        }
        if !fresh.is_empty() {
            let mut names = NameEncoder::new(Vec::new());
            let mut notes = Vec::new();
            for (id, name) in &fresh {
                let (id, name) = (*id, name_of(*name));
                names.name(id, &name);
                notes.push(Note::Name { id, name });
            }
            let head = self.head(Kind::Names, known, names.names());
            self.write(1, head, names.finish(), notes);
        }
        let head = self.head(Kind::Points, begun, encoder.points());
        self.serial += u64::from(encoder.points());
        let segment = self.lanes[0].segment;
        self.write(0, head, encoder.finish(), notes);
        if self.lanes[0].segment != segment {
            // The points of this block went into the next segment.
            for unwritten in &mut self.unwritten {
                unwritten.0 += u32::from(unwritten.2 >= begun);
            }
        }
        // A head has said what is retired: those files may be used again.
        self.free.append(&mut self.freed);
        let owing = self.unwritten.iter().map(|unwritten| unwritten.0).min();
        let owing = owing.unwrap_or(u32::MAX).min(self.lanes[0].segment);
        if self.dice.one_in(2) && owing > self.retired {
            let files = &self.segments[self.retired as usize..owing as usize];
            self.freed.extend_from_slice(files);
            self.retired = owing;
        }
    }

    fn draw_note(&mut self, fresh: &mut Vec<(u32, u32)>, present: u64) -> Note {
        let name = self.dice.small(u64::from(NAMES));
        let id = self.id(name, fresh);
        match self.dice.below(8) {
            0 | 1 => {
                let count = if self.dice.one_in(4) {
                    1 + self.dice.small(3000)
                } else {
                    1
                };
                let ids = &self.ids;
                let covered = |name: u32| {
                    ids.get(&name)
                        .is_some_and(|other| (id..id + count).contains(other))
                };
                self.unwritten.retain(|(_, name, ..)| !covered(*name));
                Note::Written { first: id, count }
            }
            2 => {
                let back = self.dice.below(4) * self.dice.below(6);
                let none = self.dice.one_in(3);
                let cut = if none {
                    CUT_NONE
                } else {
                    START_S + self.dice.small(100)
                };
                self.history.has_parts = true;
                let serial = present.saturating_sub(back);
                self.unwritten.retain(|(_, other, point, timestamp)| {
                    !(*other == name && *point < serial && (cut == CUT_NONE || *timestamp < cut))
                });
                Note::Part { id, back, cut }
            }
            _ => {
                let timestamp = START_S + self.dice.small(100);
                let age_s = if self.dice.one_in(5) {
                    self.dice.small(900)
                } else {
                    0
                };
                let segment = self.lanes[0].segment;
                self.unwritten.push((segment, name, present, timestamp));
                let value = f64::from(self.dice.small(1000)) / 8.0;
                let point = Point { timestamp, value };
                Note::Point { id, point, age_s }
            }
        }
    }
}

pub(super) fn name_of(number: u32) -> String {
    format!("host.{number}.load")
}
