//! A file behind a kernel's page cache: as everybody sees it, and as it is on the disk.

use crate::prng::Prng;

const SECTOR_BYTES: usize = 512;

/// A file's content.
#[derive(Debug, Default)]
pub(crate) struct Inode {
    /// As everybody sees it.
    pub(crate) bytes: Vec<u8>,
    /// As it is on the disk.
    pub(crate) durable: Vec<u8>,
    /// What was written and may not be on the disk, oldest first: where, and the bytes.
    pub(crate) dirty: Vec<(usize, Vec<u8>)>,
    /// How often it was written.
    pub(crate) changes: u64,
    /// A sync failed, and the kernel holds as clean what it could not write.
    pub(crate) is_apart: bool,
}

impl Inode {
    /// What will be on the disk once the kernel has written everything.
    pub(crate) fn lasting(&self) -> Vec<u8> {
        if !self.is_apart {
            return self.bytes.clone();
        }
        let mut lasting = self.durable.clone();
        for (at, bytes) in &self.dirty {
            put(&mut lasting, *at, bytes);
        }
        lasting
    }

    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
        self.dirty.push((at, bytes.to_vec()));
        self.changes += 1;
    }

    /// Brings the first so many writes to the disk.
    pub(crate) fn settle(&mut self, writes_max: usize) {
        let writes = writes_max.min(self.dirty.len());
        for (at, bytes) in self.dirty.drain(..writes) {
            put(&mut self.durable, at, &bytes);
        }
    }

    /// The same of all writes up to this number.
    pub(crate) fn settle_until(&mut self, changes: u64) {
        let settled = self.changes - self.dirty.len() as u64;
        self.settle(place(changes.saturating_sub(settled)));
    }

    /// Some of what is not on the disk never gets there, though it is seen; but for writes to these places.
    pub(crate) fn lose_some(&mut self, spared: &[usize], prng: &mut Prng) {
        if self.dirty.is_empty() {
            return;
        }
        self.dirty.retain(|(at, bytes)| {
            let has_spared = |place: &usize| (*at..at + bytes.len()).contains(place);
            prng.once_in(2) || spared.iter().any(has_spared)
        });
        self.is_apart = true;
    }

    pub(crate) fn cut_power(&mut self, is_data: bool, prng: &mut Prng) {
        if self.dirty.is_empty() && !self.is_apart {
            return;
        }
        self.is_apart = false;
        for (at, bytes) in std::mem::take(&mut self.dirty) {
            if is_data {
                if prng.once_in(2) {
                    put(&mut self.durable, at, &bytes);
                }
                continue;
            }
            let mut from = 0;
            while from < bytes.len() {
                // Up to the end of its sector.
                let to = bytes
                    .len()
                    .min(from + SECTOR_BYTES - (at + from) % SECTOR_BYTES);
                let kept = match prng.below(4) {
                    0 | 1 => to,
                    2 => from,
                    _ => from + prng.index(to - from + 1),
                };
                put(&mut self.durable, at + from, &bytes[from..kept]);
                from = to;
            }
        }
        self.bytes.clone_from(&self.durable);
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    let end = at + new.len();
    if new.is_empty() {
        return;
    }
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(new);
}

/// Where a byte of a file lies in memory.
pub(crate) fn place(offset: u64) -> usize {
    let Ok(offset) = usize::try_from(offset) else {
        unreachable!("{offset} is past every memory")
    };
    offset
}
