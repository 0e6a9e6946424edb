//! How far the shards of a process are with what earlier runs left: the one thing that they share of
//! it. Each arrives once all of its points are on its journal's disk; files are written, and earlier
//! epochs end, when all have. Each shard's way there is `recall`'s.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use crate::metric::ShardIndex;

/// How far the shards of a process are together.
#[derive(Debug)]
pub struct Together {
    /// Shards that do not have all of theirs on the disk yet.
    left: AtomicU16,
    /// Shards of these whose journal has failed.
    failing: AtomicU16,
    /// Files may be written.
    is_released: AtomicBool,
    /// Earlier epochs owe nothing, on the disk.
    is_sealed: AtomicBool,
    /// A shard has ended before that: they owe until the next start what they owe.
    is_given_up: AtomicBool,
    /// By shard that has arrived: the files that it could not read in whole.
    unread: Box<[OnceLock<BTreeSet<PathBuf>>]>,
}

impl Together {
    /// None of so many shards has begun.
    pub fn new(shards: u16) -> Together {
        Together {
            left: AtomicU16::new(shards),
            failing: AtomicU16::new(0),
            is_released: AtomicBool::new(false),
            is_sealed: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            unread: (0..shards).map(|_| OnceLock::new()).collect(),
        }
    }

    /// What any of the shards that have arrived could not read.
    pub(super) fn unread(&self) -> BTreeSet<PathBuf> {
        let unread = self.unread.iter().filter_map(OnceLock::get);
        unread.flatten().cloned().collect()
    }

    /// A shard has all of its points on the disk, and could not read these files in whole.
    pub(super) fn arrive(&self, shard: ShardIndex, unread: BTreeSet<PathBuf>) {
        let is_first = self.unread[usize::from(shard.0)].set(unread).is_ok();
        assert!(is_first, "shard {} arrives a second time", shard.0);
        let before = self.left.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "more shards arrived than there are");
    }

    pub(super) fn are_all_there(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    pub(super) fn begin_failing(&self) {
        self.failing.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end_failing(&self) {
        let before = self.failing.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "more shards are well than had failed");
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::SeqCst) > 0
    }

    pub(super) fn release(&self) {
        self.is_released.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_released(&self) -> bool {
        self.is_released.load(Ordering::SeqCst)
    }

    pub(super) fn seal(&self) {
        self.is_sealed.store(true, Ordering::SeqCst);
        self.release();
    }

    /// In this run earlier epochs are not ended any more.
    pub(super) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::SeqCst)
    }

    /// Do earlier epochs owe nothing, on the disk?
    pub fn is_sealed(&self) -> bool {
        self.is_sealed.load(Ordering::SeqCst)
    }
}
