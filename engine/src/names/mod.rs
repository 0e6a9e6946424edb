//! Records by number and by name: the series of a cache, and whatever else is kept per metric name.
//! A number stays valid until its record is removed, and may then be given out again; a record is
//! found by its name through 32 bits of the name's hash, which the caller has already, because the
//! owner of a metric is chosen by the same hash. The hash has a seed of the process, so that no
//! sender can choose names that collide. Growing touches no record and no name.
//! Never reads a clock or a file; knows nothing of points.
//! Invariants: every live record is in the table once, under its name; a number that is not live
//! has the empty name, which no metric has, so that a stale number can be compared without harm.

mod admitted;
mod arena;
pub(crate) mod slab;

use std::hash::{BuildHasher, Hasher};
use std::ops::{Index, IndexMut};

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use crate::near;
use admitted::Admitted;
pub(crate) use arena::NameRef;
use arena::Names;
use slab::Slab;

/// Numbers stay below this, so that who keeps them may use the topmost bit for something else.
pub(crate) const NUMBERS_MAX: u32 = 1 << 31;
/// Bytes of the table per record: eight and a byte of hashbrown's, half to seven eighths full.
pub(crate) const ENTRY_BYTES: usize = 14;

/// The hash of a name, for tables and for `metric::owner`.
#[inline]
pub(crate) fn hash(seed: u64, name: &str) -> u64 {
    FixedState::with_seed(seed).hash_one(name)
}

/// The same of a name's bytes, whether they are UTF-8 or not.
#[inline]
pub(crate) fn hash_bytes(seed: u64, name: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(seed).build_hasher();
    hasher.write(name);
    // What `str` adds to its bytes.
    hasher.write_u8(0xff);
    hasher.finish()
}

/// A record that holds the place of its name. The table alone sets it.
pub(crate) trait Named: Copy + Default {
    /// Where its name is.
    fn name(&self) -> NameRef;
    /// Its name is here from now on.
    fn set_name(&mut self, name: NameRef);
}

/// Tables that share the names. One that grows moves all it has in one go, which took 21 ms where a
/// million names were in one; in so many it takes a third of a millisecond, at another name each.
const PARTS: usize = 64;

/// A number of the table with 32 bits of the hash of its name.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: u32,
    hash: u32,
}

/// The 32 bits that are kept: the topmost 16 above the lowest 16, turned so that the topmost come
/// to lie below. Bits 16 to 47 have chosen the owner: of the names of one owner many of these bits
/// are the same, so that a table of them must not look there.
#[inline]
fn kept(hash: u64) -> u32 {
    let [low, high, .., lowest_of_top, top] = hash.to_le_bytes();
    u32::from_le_bytes([lowest_of_top, top, low, high])
}

/// Which part a name is in: by bits that neither its place there (the low 19, of half a million)
/// nor its tag (the high 7) is taken from.
#[inline]
fn part(hash: u32) -> usize {
    (hash >> 19) as usize % PARTS
}

/// hashbrown takes the place from the low bits and the tag from the high ones.
#[inline]
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

/// Records by number and by name.
#[derive(Debug)]
pub(crate) struct NameTable<R> {
    records: Slab<R>,
    names: Names,
    by_name: Box<[HashTable<Entry>]>,
    /// Whose names may pass, where names are judged.
    admitted: Admitted,
    /// Bytes of all parts.
    part_bytes: usize,
    seed: u64,
}

impl<R: Named> NameTable<R> {
    /// An empty table. Every hash that it is given must be `hash(seed, name)`.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            records: Slab::default(),
            names: Names::default(),
            by_name: (0..PARTS).map(|_| HashTable::new()).collect(),
            admitted: Admitted::default(),
            part_bytes: 0,
            seed,
        }
    }

    /// The record of this name, of which `hash` is the hash.
    #[inline]
    pub(crate) fn find(&self, hash: u64, name: &str) -> Option<u32> {
        debug_assert_eq!(hash, self::hash(self.seed, name), "the hash of {name:?}");
        let kept = kept(hash);
        self.by_name[part(kept)]
            .find(spread(kept), |entry| {
                entry.hash == kept && self.is(entry.id, name)
            })
            .map(|entry| entry.id)
    }

    /// The record whose name most likely has this hash; names are not compared, and no record is
    /// looked at.
    #[inline]
    pub(crate) fn likely(&self, hash: u64) -> Option<u32> {
        let kept = kept(hash);
        let entry = self.by_name[part(kept)].find(spread(kept), |entry| entry.hash == kept);
        entry.map(|entry| entry.id)
    }

    /// Puts in a record under a name that the table does not have yet; says its number.
    pub(crate) fn add(&mut self, hash: u64, name: &str, record: R) -> u32 {
        debug_assert_eq!(hash, self::hash(self.seed, name), "the hash of {name:?}");
        let id = self.records.insert(record);
        assert!(id < NUMBERS_MAX, "{id} has its topmost bit set");
        let place = self.names.push(name, id);
        self.records[id].set_name(place);
        self.move_names(None);
        let hash = kept(hash);
        let part = &mut self.by_name[part(hash)];
        self.part_bytes -= part.allocation_size();
        part.insert_unique(spread(hash), Entry { id, hash }, |entry| spread(entry.hash));
        self.part_bytes += part.allocation_size();
        id
    }

    /// Removes a record and its name; returns what it was.
    pub(crate) fn remove(&mut self, id: u32) -> R {
        assert!(self.contains(id), "record {id} is removed twice");
        let hash = kept(hash(self.seed, self.name(id)));
        let part = &mut self.by_name[part(hash)];
        let Ok(entry) = part.find_entry(spread(hash), |entry| entry.id == id) else {
            unreachable!("record {id} is not in the table");
        };
        entry.remove();
        if part.len() < part.capacity() / 8 {
            self.part_bytes -= part.allocation_size();
            part.shrink_to(part.len() * 2, |entry| spread(entry.hash));
            self.part_bytes += part.allocation_size();
        }
        self.admitted.remove(id);
        let removed = self.records[id];
        self.records[id].set_name(NameRef::default());
        self.records.remove(id);
        let sparse = self.names.release(removed.name());
        self.move_names(sparse);
        removed
    }

    /// The name of a live record.
    pub(crate) fn name(&self, id: u32) -> &str {
        self.names.get(self.records[id].name())
    }

    /// The bytes of a number's name, live or not; none where it is not live.
    #[inline]
    pub(crate) fn name_bytes(&self, id: u32) -> &[u8] {
        self.records
            .peek(id)
            .map_or(&[], |record| self.names.bytes(record.name()))
    }

    /// Asks for a number's record, live or not, which says where the name is.
    #[inline]
    pub(crate) fn fetch_record(&self, id: u32) {
        if let Some(record) = self.records.peek(id) {
            near::fetch(record);
        }
    }

    /// Asks for the ends of a number's name, live or not: a name lies in two lines of the processor's
    /// cache at most, unless it is very long.
    #[inline]
    pub(crate) fn fetch_name(&self, id: u32) {
        if let [first, .., last] = self.name_bytes(id) {
            near::fetch(first);
            near::fetch(last);
        }
    }

    /// Is this the name of that number? False of a number that is not live.
    #[inline]
    pub(crate) fn is(&self, id: u32, name: &str) -> bool {
        self.name_bytes(id) == name.as_bytes()
    }

    /// Is there a record of this number? Looks at nothing but the record: only one that is not
    /// live has an empty name.
    #[inline]
    pub(crate) fn contains(&self, id: u32) -> bool {
        self.peek(id).is_some_and(|record| record.name().len() > 0)
    }

    /// What is at a number, live or not; nothing where its page is not held. One that is not live
    /// is as it was when it was removed.
    #[inline]
    pub(crate) fn peek(&self, id: u32) -> Option<&R> {
        self.records.peek(id)
    }

    /// Was the name of this number judged, and may pass? False of a number that is not live.
    #[inline]
    pub(crate) fn is_admitted(&self, id: u32) -> bool {
        self.admitted.contains(id)
    }

    /// The name of a live record was judged, and may pass.
    pub(crate) fn admit(&mut self, id: u32) {
        assert!(self.contains(id), "record {id} is admitted and not there");
        self.admitted.insert(id);
    }

    /// Every name is to be judged anew.
    pub(crate) fn judge_anew(&mut self) {
        self.admitted.clear();
    }

    /// How many records.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// All numbers are below this, live or not.
    pub(crate) fn numbers(&self) -> u32 {
        self.records.numbers()
    }

    /// The records, for those who know the numbers.
    pub(crate) fn records(&self) -> &Slab<R> {
        &self.records
    }

    /// The records, to be changed; names stay as they are.
    pub(crate) fn records_mut(&mut self) -> &mut Slab<R> {
        &mut self.records
    }

    /// Bytes in use.
    pub(crate) fn used_bytes(&self) -> usize {
        self.records.used_bytes() + self.beside_bytes()
    }

    /// The same with the free records of pages that are held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.records.held_bytes() + self.beside_bytes()
    }

    fn beside_bytes(&self) -> usize {
        self.names.held_bytes() + self.part_bytes + self.admitted.bytes()
    }

    /// Moves the live names out of a chunk that is mostly dead, and out of the one that this may
    /// complete.
    fn move_names(&mut self, mut sparse: Option<u32>) {
        while let Some(chunk) = sparse.or_else(|| self.names.take_sparse()) {
            self.empty_chunk(chunk);
            sparse = None;
        }
    }

    fn empty_chunk(&mut self, chunk: u32) {
        let old = self.names.take(chunk);
        for owner in old.owners() {
            // An owner that is gone, or whose name is elsewhere by now, has none here.
            if self.contains(*owner) && self.records[*owner].name().is_in(chunk) {
                let name = self.records[*owner].name();
                let moved = self.names.push(old.get(name), *owner);
                self.records[*owner].set_name(moved);
            }
        }
        self.names.close(chunk);
    }
}

impl<R: Named> Index<u32> for NameTable<R> {
    type Output = R;

    #[inline]
    fn index(&self, id: u32) -> &R {
        &self.records[id]
    }
}

impl<R: Named> IndexMut<u32> for NameTable<R> {
    #[inline]
    fn index_mut(&mut self, id: u32) -> &mut R {
        &mut self.records[id]
    }
}

#[cfg(test)]
mod tests;
