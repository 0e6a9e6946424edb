//! A disk for journals: files as the kernel shows them, and what a power cut may leave of each.
//! Operations wait until the test answers them, in any order; what waits when the machine dies may
//! have been done in part. A visit that is used twice at once, or after its end, fails the test.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "any other operation fails the test"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::journal::{Journal, JournalToken};
use crate::ring::{FileError, FileOperation, FileOutcome, Stage, VisitId};

/// What a power cut keeps or loses as one.
const SECTOR_BYTES: usize = 512;

/// A generator of numbers that look like any others, from a seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(2).wrapping_add(1))
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ mixed >> 31) >> 32).unwrap() % bound
    }

    /// True once in so many times.
    pub(super) fn once_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }
}

#[derive(Clone, Debug, Default)]
struct File {
    live: Vec<u8>,
    /// What is on the disk for certain.
    durable: Vec<u8>,
}

#[derive(Debug)]
struct Visit {
    path: PathBuf,
    is_busy: bool,
    is_open: bool,
}

/// Files, visits, and operations that wait.
#[derive(Default)]
pub(super) struct Disk {
    files: BTreeMap<PathBuf, File>,
    visits: Vec<Visit>,
    waiting: Vec<(JournalToken, FileOperation)>,
    /// How often each kind of operation was done: appends, syncs, reserves, opens, removes.
    pub(super) done: Done,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) appends: u32,
    pub(super) syncs: u32,
    pub(super) reserves: u32,
    pub(super) opens: u32,
    pub(super) removes: u32,
}

impl Disk {
    /// Takes what the journal asks for.
    pub(super) fn take_in(&mut self, journal: &mut Journal) {
        while let Some((token, operation)) = journal.next_operation() {
            if let Some(visit) = visit_of(&operation) {
                let visit = &mut self.visits[visit.slot as usize];
                assert!(visit.is_open, "{operation:?} on a visit that is over");
                assert!(!visit.is_busy, "{operation:?} beside another");
                visit.is_busy = true;
            }
            self.waiting.push((token, operation));
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.keys()
    }

    pub(super) fn open_visits(&self) -> usize {
        self.visits.iter().filter(|visit| visit.is_open).count()
    }

    /// The kinds of what waits, in the order asked.
    pub(super) fn waits(&self) -> Vec<&FileOperation> {
        self.waiting
            .iter()
            .map(|(_, operation)| operation)
            .collect()
    }

    /// Carries the operation at a place out, or fails it, and answers it.
    pub(super) fn answer(&mut self, journal: &mut Journal, place: usize, errno: Option<i32>) {
        let (token, operation) = self.waiting.remove(place);
        if let Some(visit) = visit_of(&operation) {
            self.visits[visit.slot as usize].is_busy = false;
        }
        let result = match errno {
            Some(errno) => self.refuse(operation, errno),
            None => Ok(self.carry_out(operation)),
        };
        journal.complete(token, result);
    }

    /// Answers everything in the order asked, what follows from it too, until nothing waits.
    pub(super) fn answer_all(&mut self, journal: &mut Journal) {
        self.take_in(journal);
        while !self.waiting.is_empty() {
            self.answer(journal, 0, None);
            self.take_in(journal);
        }
    }

    fn refuse(&mut self, operation: FileOperation, errno: i32) -> Result<FileOutcome, FileError> {
        let stage = match operation {
            FileOperation::Append { .. } => Stage::Write,
            FileOperation::Sync { .. } => Stage::Sync,
            FileOperation::Reserve { .. } => Stage::Allocate,
            FileOperation::Open { .. } => Stage::Open,
            FileOperation::Remove { .. } => Stage::Remove,
            other => return Ok(self.carry_out(other)),
        };
        Err(FileError { stage, errno })
    }

    fn carry_out(&mut self, operation: FileOperation) -> FileOutcome {
        match operation {
            FileOperation::Reserve { path, bytes } => {
                self.done.reserves += 1;
                let live = vec![0; usize::try_from(bytes).unwrap()];
                let durable = live.clone();
                let before = self.files.insert(path.clone(), File { live, durable });
                assert!(before.is_none(), "{path:?} was there");
                self.open(path)
            }
            FileOperation::Open { path, .. } => {
                self.done.opens += 1;
                assert!(self.files.contains_key(&path), "no {path:?}");
                self.open(path)
            }
            FileOperation::Append { visit, piece, .. } => {
                self.done.appends += 1;
                let file = self.file(visit);
                write(&mut file.live, piece.offset, &piece.bytes);
                FileOutcome::Appended(piece.bytes)
            }
            FileOperation::Sync { visit } => {
                self.done.syncs += 1;
                let file = self.file(visit);
                file.durable.clone_from(&file.live);
                FileOutcome::Synced
            }
            FileOperation::Close { visit } => {
                self.visits[visit.slot as usize].is_open = false;
                FileOutcome::Closed
            }
            FileOperation::Remove { path } => {
                self.done.removes += 1;
                assert!(self.files.remove(&path).is_some(), "no {path:?} to remove");
                FileOutcome::Removed
            }
            other => panic!("a journal asked for {other:?}"),
        }
    }

    fn open(&mut self, path: PathBuf) -> FileOutcome {
        let slot = u32::try_from(self.visits.len()).unwrap();
        self.visits.push(Visit {
            path,
            is_busy: false,
            is_open: true,
        });
        let visit = VisitId {
            slot,
            generation: 0,
        };
        FileOutcome::Opened {
            visit,
            pieces: Vec::new(),
        }
    }

    fn file(&mut self, visit: VisitId) -> &mut File {
        let path = &self.visits[visit.slot as usize].path;
        self.files.get_mut(path).unwrap()
    }

    /// The files after the process was killed: what it asked for last may be done, or in part.
    pub(super) fn killed(&self, dice: &mut Dice) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = self.files.clone();
        for (_, operation) in &self.waiting {
            if let FileOperation::Append { visit, piece, .. } = operation {
                let path = &self.visits[visit.slot as usize].path;
                let kept = dice.below(u32::try_from(piece.bytes.len() + 1).unwrap());
                let Some(file) = files.get_mut(path) else {
                    continue;
                };
                write(&mut file.live, piece.offset, &piece.bytes[..kept as usize]);
            }
        }
        let images = files.into_iter().map(|(path, file)| (path, file.live));
        images.collect()
    }

    /// The files after a power cut: of what was not synced each sector is kept or lost.
    pub(super) fn cut_off(&self, dice: &mut Dice) -> Vec<(PathBuf, Vec<u8>)> {
        let mut images = self.killed(dice);
        for (path, image) in &mut images {
            let durable = &self.files[path].durable;
            let length = image.len();
            for (index, sector) in image.chunks_mut(SECTOR_BYTES).enumerate() {
                let from = index * SECTOR_BYTES;
                if dice.once_in(2) && from < durable.len() {
                    let end = (from + SECTOR_BYTES).min(length).min(durable.len());
                    sector[..end - from].copy_from_slice(&durable[from..end]);
                }
            }
        }
        images
    }
}

fn write(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let from = usize::try_from(offset).unwrap();
    let end = from + bytes.len();
    file.resize(file.len().max(end), 0);
    file[from..end].copy_from_slice(bytes);
}

fn visit_of(operation: &FileOperation) -> Option<VisitId> {
    match operation {
        FileOperation::Append { visit, .. }
        | FileOperation::Sync { visit }
        | FileOperation::Close { visit } => Some(*visit),
        _ => None,
    }
}
