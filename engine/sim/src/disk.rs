//! A disk with a kernel's page cache before it: what is written is seen at once, and on the disk
//! only after a sync, or when the kernel likes.
//! Two file systems, by the first part of the path (`/data`, `/journal`): names come to the disk in
//! the order in which they were made, as those of a file system with a journal do, and a sync takes
//! along all that came before.
//! A power cut keeps, loses or tears each sector of the journal that was written since the last sync,
//! by itself, and keeps or loses each write to a data file: a point across two sectors of which one
//! was lost is what no daemon can mend that does not write files twice. A kill leaves the page cache
//! as it is. Operations that were under way then have happened, or not,
//! or in part.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use benzene_engine::ring::{
    ByteRange, FileError, FileLook, FileOperation, FileOutcome, Piece, Stage, VisitId,
};

use crate::inode::{Inode, place};
use crate::prng::Prng;

const ENOENT: i32 = 2;
const EIO: i32 = 5;
const EEXIST: i32 = 17;
const ENFILE: i32 = 23;
const ENOSPC: i32 = 28;
const ENODATA: i32 = 61;
const ESTALE: i32 = 116;

/// The least that cannot be read of a journal's file.
const UNREADABLE_BYTES: u64 = 4096;
/// Stretches that cannot be read at the same time.
const UNREADABLE_MAX: u64 = 4;

/// A change of the directory tree.
#[derive(Clone, Debug)]
enum NameChange {
    Add(PathBuf, usize),
    Remove(PathBuf),
}

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// One operation on data files in so many fails, in part carried out or not; 0 is none.
    pub(crate) data_once_in: u64,
    /// One change of the journal's files in so many fails; 0 is none.
    pub(crate) journal_once_in: u64,
    /// One read of the journal's files in so many finds no descriptor; 0 is none.
    pub(crate) descriptors_once_in: u64,
    /// There is no room for anything new below `/data`.
    pub(crate) is_full: bool,
}

/// What a sync that begins now will bring to the disk: of each file so many writes.
#[derive(Debug, Default)]
pub(crate) struct SyncMark(Vec<(usize, u64)>);

/// The disk.
#[derive(Debug)]
pub(crate) struct Disk {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names that may not be on the disk, oldest first.
    changes: Vec<NameChange>,
    /// Open files of the running process, by visit.
    visits: Vec<usize>,
    /// Files that somebody broke.
    planted: BTreeSet<usize>,
    /// Stretches of files that mostly cannot be read.
    unreadable: BTreeSet<(usize, u64)>,
    /// What goes wrong at present.
    pub(crate) faults: Faults,
}

impl Disk {
    /// An empty disk.
    pub(crate) fn new() -> Disk {
        Disk {
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            visits: Vec::new(),
            planted: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            faults: Faults::default(),
        }
    }

    /// Files below a directory with their content.
    pub(crate) fn files<'a>(
        &'a self,
        below: &'a Path,
    ) -> impl Iterator<Item = (&'a Path, &'a [u8])> {
        let files = self.names.iter();
        files
            .filter(move |(path, _)| path.starts_with(below))
            .map(|(path, inode)| (path.as_path(), self.inodes[*inode].bytes.as_slice()))
    }

    /// The content of a file.
    pub(crate) fn file(&self, path: &Path) -> Option<&[u8]> {
        let inode = self.names.get(path)?;
        Some(&self.inodes[*inode].bytes)
    }

    /// What of a file will be on the disk once the kernel has written everything: as everybody sees it,
    /// but for what a failed sync has lost.
    pub(crate) fn lasting(&self, path: &Path) -> Option<Vec<u8>> {
        Some(self.inodes[*self.names.get(path)?].lasting())
    }

    /// A syncfs of the file system of this directory begins.
    pub(crate) fn begin_sync(&self, below: &Path) -> SyncMark {
        let files = self.names.iter();
        let below = files.filter(|(path, _)| path.starts_with(below));
        SyncMark(
            below
                .map(|(_, inode)| (*inode, self.inodes[*inode].changes))
                .collect(),
        )
    }

    /// It ends: what was written before it began is on the disk.
    pub(crate) fn end_sync(&mut self, below: &Path, mark: &SyncMark) {
        for (inode, changes) in &mark.0 {
            self.inodes[*inode].settle_until(*changes);
        }
        self.settle_names(|path| path.starts_with(below));
    }

    /// It fails: some of what was not on the disk never gets there, though everybody sees it.
    /// What was written to these places of files does.
    pub(crate) fn fail_sync(&mut self, below: &Path, spared: &[usize], prng: &mut Prng) {
        for (path, inode) in &self.names {
            if path.starts_with(below) {
                self.inodes[*inode].lose_some(spared, prng);
            }
        }
    }

    /// What a sync of one file that begins now will bring to the disk; nothing for other operations.
    pub(crate) fn mark(&self, operation: &FileOperation) -> SyncMark {
        let FileOperation::Sync { visit } = operation else {
            return SyncMark(Vec::new());
        };
        let inode = self.visits[visit.slot as usize];
        SyncMark(vec![(inode, self.inodes[inode].changes)])
    }

    /// Somebody else puts a file there, or leaves only so much of one.
    pub(crate) fn plant(&mut self, path: &Path, bytes: Vec<u8>) {
        let inode = match self.names.get(path) {
            Some(inode) => *inode,
            None => self.add(path.to_owned(), Vec::new()),
        };
        self.planted.insert(inode);
        let planted = &mut self.inodes[inode];
        planted.dirty.clear();
        planted.is_apart = false;
        planted.durable.clone_from(&bytes);
        planted.bytes = bytes;
        planted.changes += 1;
    }

    /// Somebody else removes a file, if there is one.
    pub(crate) fn remove(&mut self, path: &Path) {
        if self.names.remove(path).is_some() {
            self.changes.push(NameChange::Remove(path.to_owned()));
        }
    }

    /// Names below a directory come to the disk.
    pub(crate) fn sync_names(&mut self, below: &Path) {
        self.settle_names(|path| path.starts_with(below));
    }

    /// A few stretches of files below a directory cannot be read from now on; says how many.
    pub(crate) fn spoil(&mut self, below: &Path, prng: &mut Prng) -> usize {
        let files = self.names.iter();
        let below = files.filter(|(path, _)| path.starts_with(below));
        let inodes: Vec<usize> = below.map(|(_, inode)| *inode).collect();
        for _ in 0..prng.within(1, UNREADABLE_MAX) {
            if !inodes.is_empty() {
                let inode = inodes[prng.index(inodes.len())];
                let stretches = self.inodes[inode].bytes.len() as u64 / UNREADABLE_BYTES;
                self.unreadable.insert((inode, prng.below(stretches + 1)));
            }
        }
        self.unreadable.len()
    }

    /// Everything can be read again.
    pub(crate) fn mend(&mut self) {
        self.unreadable.clear();
    }

    /// Carries an operation out. `prng` says what goes wrong.
    /// A sync covers what its mark says.
    pub(crate) fn carry_out(
        &mut self,
        operation: FileOperation,
        mark: &SyncMark,
        prng: &mut Prng,
    ) -> Result<FileOutcome, FileError> {
        match operation {
            FileOperation::Probe { path } => {
                self.data_fault(Stage::Probe, prng)?;
                Ok(FileOutcome::Probed(self.names.contains_key(&path)))
            }
            FileOperation::Locate { path } => {
                self.data_fault(Stage::Probe, prng)?;
                let location = self
                    .names
                    .get(&path)
                    .map(|_| u32::try_from(prng.below(1 << 20)).unwrap_or(0));
                Ok(FileOutcome::Located(location))
            }
            FileOperation::Look { path } => {
                let look = self.names.get(&path).map(|inode| self.look(*inode));
                Ok(FileOutcome::Looked(look))
            }
            FileOperation::SetAside { path, aside, look } => self.set_aside(&path, aside, look),
            FileOperation::Adopt { path, old } => Ok(self.adopt(&path, &old)),
            FileOperation::Open { path, ranges, .. } => {
                if path.starts_with("/data") {
                    self.data_fault(Stage::Open, prng)?;
                }
                let inode = *self.names.get(&path).ok_or(error(Stage::Open, ENOENT))?;
                if path.starts_with("/data") {
                    self.data_read_fault(prng)?;
                } else if !ranges.is_empty() {
                    self.journal_read_fault(inode, &ranges, prng)?;
                }
                let visit = self.visit(inode);
                Ok(FileOutcome::Opened {
                    visit,
                    pieces: self.read(visit, &ranges),
                })
            }
            FileOperation::Read { visit, ranges } => {
                self.data_read_fault(prng)?;
                Ok(FileOutcome::Read(self.read(visit, &ranges)))
            }
            FileOperation::Write {
                visit,
                pieces,
                sync,
            } => {
                if let Err(error) = self.data_fault(Stage::Write, prng) {
                    let some = &pieces[..prng.index(pieces.len() + 1)];
                    // What is said of the part is what went wrong with the whole.
                    return self.write_within(visit, some, false).and(Err(error));
                }
                self.write_within(visit, &pieces, sync)
            }
            FileOperation::Close { .. } => Ok(FileOutcome::Closed),
            FileOperation::Create {
                path,
                head,
                file_bytes,
                ..
            } => {
                self.data_fault(Stage::Create, prng)?;
                self.create(path, head, file_bytes)
            }
            segment @ (FileOperation::Reserve { .. }
            | FileOperation::Append { .. }
            | FileOperation::Sync { .. }
            | FileOperation::Remove { .. }) => self.carry_out_segment(segment, mark, prng),
        }
    }

    fn carry_out_segment(
        &mut self,
        operation: FileOperation,
        mark: &SyncMark,
        prng: &mut Prng,
    ) -> Result<FileOutcome, FileError> {
        match operation {
            FileOperation::Reserve { path, bytes } => {
                self.journal_fault(Stage::Allocate, prng)?;
                if self.names.contains_key(&path) {
                    return Err(error(Stage::Create, EEXIST));
                }
                let Ok(bytes) = usize::try_from(bytes) else {
                    return Err(error(Stage::Allocate, ENOSPC));
                };
                let inode = self.add(path, vec![0; bytes]);
                Ok(FileOutcome::Opened {
                    visit: self.visit(inode),
                    pieces: Vec::new(),
                })
            }
            FileOperation::Append { visit, piece, sync } => {
                let inode = self.visits[visit.slot as usize];
                if let Err(error) = self.journal_fault(Stage::Write, prng) {
                    let some = &piece.bytes[..prng.index(piece.bytes.len() + 1)];
                    self.inodes[inode].write(place(piece.offset), some);
                    return Err(error);
                }
                self.inodes[inode].write(place(piece.offset), &piece.bytes);
                if sync {
                    self.sync(inode, u64::MAX);
                }
                Ok(FileOutcome::Appended(piece.bytes))
            }
            FileOperation::Sync { visit } => {
                let inode = self.visits[visit.slot as usize];
                if let Err(error) = self.journal_fault(Stage::Sync, prng) {
                    self.inodes[inode].lose_some(&[], prng);
                    return Err(error);
                }
                let changes = mark.0.first().map_or(0, |(_, changes)| *changes);
                self.sync(inode, changes);
                Ok(FileOutcome::Synced)
            }
            FileOperation::Remove { path } => {
                if !self.names.contains_key(&path) {
                    return Err(error(Stage::Remove, ENOENT));
                }
                self.remove(&path);
                Ok(FileOutcome::Removed)
            }
            other @ (FileOperation::Probe { .. }
            | FileOperation::Locate { .. }
            | FileOperation::Look { .. }
            | FileOperation::SetAside { .. }
            | FileOperation::Adopt { .. }
            | FileOperation::Open { .. }
            | FileOperation::Read { .. }
            | FileOperation::Write { .. }
            | FileOperation::Close { .. }
            | FileOperation::Create { .. }) => unreachable!("{other:?} is of no segment"),
        }
    }

    /// An operation that was under way when the process was killed: it has happened, or not, or a
    /// part of what it was to write.
    pub(crate) fn cut_short(&mut self, operation: FileOperation, prng: &mut Prng) {
        if prng.once_in(2) {
            return;
        }
        let operation = match operation {
            FileOperation::Append {
                visit,
                mut piece,
                sync: _,
            } => {
                piece.bytes.truncate(prng.index(piece.bytes.len() + 1));
                FileOperation::Append {
                    visit,
                    piece,
                    sync: false,
                }
            }
            FileOperation::Write {
                visit, mut pieces, ..
            } => {
                pieces.truncate(prng.index(pieces.len() + 1));
                FileOperation::Write {
                    visit,
                    pieces,
                    sync: false,
                }
            }
            whole @ (FileOperation::Probe { .. }
            | FileOperation::Locate { .. }
            | FileOperation::Look { .. }
            | FileOperation::SetAside { .. }
            | FileOperation::Adopt { .. }
            | FileOperation::Open { .. }
            | FileOperation::Read { .. }
            | FileOperation::Close { .. }
            | FileOperation::Create { .. }
            | FileOperation::Reserve { .. }
            | FileOperation::Sync { .. }
            | FileOperation::Remove { .. }) => whole,
        };
        // Nobody is there to hear of it.
        drop(self.carry_out(operation, &SyncMark(Vec::new()), prng));
    }

    /// The kernel writes some of what is dirty out by itself.
    pub(crate) fn write_back(&mut self, prng: &mut Prng) {
        if self.inodes.is_empty() {
            return;
        }
        let inode = prng.index(self.inodes.len());
        let dirty = self.inodes[inode].dirty.len();
        self.inodes[inode].settle(prng.index(dirty + 1));
    }

    /// All that the process had open is closed.
    pub(crate) fn kill(&mut self) {
        self.visits.clear();
    }

    /// Power is gone: what was not synced is kept, lost or torn, sector by sector.
    pub(crate) fn cut_power(&mut self, prng: &mut Prng) {
        self.visits.clear();
        let data: BTreeSet<usize> = self
            .names
            .iter()
            .filter(|(path, _)| path.starts_with("/data"))
            .map(|(_, inode)| *inode)
            .collect();
        for (number, inode) in self.inodes.iter_mut().enumerate() {
            inode.cut_power(data.contains(&number), prng);
        }
        let survive = prng.index(self.changes.len() + 1);
        let changes: Vec<NameChange> = self.changes.drain(..).take(survive).collect();
        for change in changes {
            apply(&mut self.durable_names, change);
        }
        self.names.clone_from(&self.durable_names);
    }

    fn data_fault(&self, stage: Stage, prng: &mut Prng) -> Result<(), FileError> {
        if self.faults.is_full && stage == Stage::Create {
            return Err(error(stage, ENOSPC));
        }
        fault(self.faults.data_once_in, stage, prng)
    }

    fn data_read_fault(&self, prng: &mut Prng) -> Result<(), FileError> {
        let once_in = self.faults.data_once_in;
        if once_in > 0 && prng.once_in(once_in) {
            return Err(error(Stage::Read, EIO));
        }
        Ok(())
    }

    /// A stretch that cannot be read can be, now and then.
    fn journal_read_fault(
        &self,
        inode: usize,
        ranges: &[ByteRange],
        prng: &mut Prng,
    ) -> Result<(), FileError> {
        let once_in = self.faults.descriptors_once_in;
        if once_in > 0 && prng.once_in(once_in) {
            return Err(error(Stage::Open, ENFILE));
        }
        let is_hit = |range: &ByteRange| {
            let last = (range.offset + u64::from(range.len)).saturating_sub(1);
            let stretches = range.offset / UNREADABLE_BYTES..=last / UNREADABLE_BYTES;
            let bad = (inode, *stretches.start())..=(inode, *stretches.end());
            self.unreadable.range(bad).next().is_some()
        };
        if ranges.iter().any(is_hit) && !prng.once_in(5) {
            return Err(error(Stage::Read, EIO));
        }
        Ok(())
    }

    fn journal_fault(&self, stage: Stage, prng: &mut Prng) -> Result<(), FileError> {
        fault(self.faults.journal_once_in, stage, prng)
    }

    fn add(&mut self, path: PathBuf, bytes: Vec<u8>) -> usize {
        let inode = self.inodes.len();
        self.inodes.push(Inode {
            durable: vec![0; bytes.len()],
            bytes,
            ..Inode::default()
        });
        self.names.insert(path.clone(), inode);
        self.changes.push(NameChange::Add(path, inode));
        inode
    }

    /// A whisper file: its data is on the disk before it has its name (docs/decisions/0013).
    fn create(
        &mut self,
        path: PathBuf,
        mut head: Vec<u8>,
        file_bytes: u64,
    ) -> Result<FileOutcome, FileError> {
        if self.names.contains_key(&path) {
            return Err(error(Stage::Publish, EEXIST));
        }
        head.resize(place(file_bytes), 0);
        let inode = self.add(path, head);
        let made = &mut self.inodes[inode];
        made.durable.clone_from(&made.bytes);
        Ok(FileOutcome::Created)
    }

    fn visit(&mut self, inode: usize) -> VisitId {
        let Ok(slot) = u32::try_from(self.visits.len()) else {
            unreachable!("no run opens that many files")
        };
        self.visits.push(inode);
        VisitId {
            slot,
            generation: 0,
        }
    }

    fn read(&self, visit: VisitId, ranges: &[ByteRange]) -> Vec<Piece> {
        let bytes = &self.inodes[self.visits[visit.slot as usize]].bytes;
        let read = |range: &ByteRange| {
            let start = place(range.offset).min(bytes.len());
            let end = (start + range.len as usize).min(bytes.len());
            Piece {
                offset: range.offset,
                bytes: bytes[start..end].to_vec(),
            }
        };
        ranges.iter().map(read).collect()
    }

    fn write_within(
        &mut self,
        visit: VisitId,
        pieces: &[Piece],
        sync: bool,
    ) -> Result<FileOutcome, FileError> {
        let number = self.visits[visit.slot as usize];
        let inode = &mut self.inodes[number];
        let end = |piece: &Piece| place(piece.offset) + piece.bytes.len();
        if pieces
            .iter()
            .map(end)
            .max()
            .is_some_and(|end| end > inode.bytes.len())
        {
            return Err(error(Stage::Reach, ENODATA));
        }
        for piece in pieces {
            inode.write(place(piece.offset), &piece.bytes);
        }
        if sync {
            self.sync(number, u64::MAX);
        }
        Ok(FileOutcome::Written)
    }

    /// Brings the first so many writes to a file to the disk, and the names of its file system.
    fn sync(&mut self, inode: usize, changes: u64) {
        self.inodes[inode].settle_until(changes);
        let names: Vec<&PathBuf> = self
            .names
            .iter()
            .filter(|(_, named)| **named == inode)
            .map(|(path, _)| path)
            .collect();
        let below = names
            .first()
            .and_then(|path| path.iter().nth(1))
            .map(PathBuf::from);
        if let Some(below) = below {
            let root = Path::new("/").join(below);
            self.settle_names(|path| path.starts_with(&root));
        }
    }

    /// Brings changes of these names to the disk.
    fn settle_names(&mut self, is_meant: impl Fn(&Path) -> bool) {
        let mut later = Vec::new();
        for change in std::mem::take(&mut self.changes) {
            let (NameChange::Add(path, _) | NameChange::Remove(path)) = &change;
            if is_meant(path) {
                apply(&mut self.durable_names, change);
            } else {
                later.push(change);
            }
        }
        self.changes = later;
    }

    fn look(&self, inode: usize) -> FileLook {
        FileLook {
            inode: inode as u64,
            bytes: self.inodes[inode].bytes.len() as u64,
            modified_s: i64::try_from(self.inodes[inode].changes).unwrap_or(i64::MAX),
            modified_ns: 0,
        }
    }

    fn adopt(&mut self, path: &Path, old: &Path) -> FileOutcome {
        if !self.names.contains_key(path)
            && let Some(inode) = self.names.remove(old)
        {
            self.changes.push(NameChange::Remove(old.to_owned()));
            self.names.insert(path.to_owned(), inode);
            self.changes.push(NameChange::Add(path.to_owned(), inode));
        }
        FileOutcome::Adopted(self.names.contains_key(path))
    }

    fn set_aside(
        &mut self,
        path: &Path,
        aside: PathBuf,
        look: FileLook,
    ) -> Result<FileOutcome, FileError> {
        let inode = *self.names.get(path).ok_or(error(Stage::SetAside, ENOENT))?;
        assert!(
            self.planted.contains(&inode),
            "{} is set aside, and nobody broke it",
            path.display()
        );
        if self.look(inode) != look {
            return Err(error(Stage::SetAside, ESTALE));
        }
        self.names.remove(path);
        self.changes.push(NameChange::Remove(path.to_owned()));
        self.names.insert(aside.clone(), inode);
        self.changes.push(NameChange::Add(aside, inode));
        Ok(FileOutcome::SetAside)
    }
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, change: NameChange) {
    match change {
        NameChange::Add(path, inode) => {
            names.insert(path, inode);
        }
        NameChange::Remove(path) => {
            names.remove(&path);
        }
    }
}

fn fault(once_in: u64, stage: Stage, prng: &mut Prng) -> Result<(), FileError> {
    if once_in > 0 && prng.once_in(once_in) {
        let errno = if prng.once_in(2) { EIO } else { ENOSPC };
        return Err(error(stage, errno));
    }
    Ok(())
}

fn error(stage: Stage, errno: i32) -> FileError {
    FileError { stage, errno }
}
