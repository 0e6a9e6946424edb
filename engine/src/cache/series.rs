//! The series table: a record per series, found by name.
//! Names are hashed with a seed of the process, so that no sender can choose names that collide.
//! Senders repeat their order, so each record remembers which series followed it last time: one
//! comparison, and only a miss is hashed. The table keeps 32 bits of the hash beside the number,
//! so that growing it touches no record and no name.
//! Invariant: every live record is in the table once, under its name.

use std::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use super::names::{NameRef, Names};
use super::points::Run;
use super::slab::Slab;

/// No series.
pub(super) const NONE: u32 = u32::MAX;

/// What is known of a series' file; decides who may write its points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Not known whether its file is there.
    #[default]
    Unproven,
    /// Its file is there.
    Writable,
    /// Its file is missing; it waits for its create.
    Waiting,
    /// Its file cannot be written just now; to be tried again later.
    Parked,
}

/// The list that a series is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// In none: in flight, handed out, parked, or with nothing but recent points.
    #[default]
    Nowhere,
    /// Nothing cached, in flight or recent.
    Idle,
    /// Waits to be looked for.
    Unproven,
    /// Waits for its create, with one point.
    Once,
    /// Waits for its create, with several points.
    Repeated,
    /// In the write order.
    Ready,
}

/// Who has a series in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Hands {
    /// The cache alone.
    #[default]
    Ours,
    /// Its points are being written.
    InFlight,
    /// Its file is looked for, or being made.
    HandedOut,
}

/// What is known of a series. One cache line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) name: NameRef,
    /// Which series was asked for after this one last time.
    pub(super) successor: u32,
    /// Cached points, not in flight, without those that came too late for it.
    pub(super) cached: Run,
    /// When it came to its rank in the write order, in ticks of the order.
    pub(super) entered: u64,
    /// Neighbours in its list; in the write order, `before` is its place there.
    pub(super) before: u32,
    pub(super) after: u32,
    /// Number of its newest recent points; means nothing once those are gone.
    pub(super) recent: u32,
    pub(super) standing: Standing,
    pub(super) place: Place,
    pub(super) hands: Hands,
    /// Some of its cached points are outside the run.
    pub(super) has_late: bool,
}
const _: () = assert!(size_of::<Record>() == 64);

impl Default for Record {
    fn default() -> Self {
        Self {
            name: NameRef::default(),
            successor: NONE,
            cached: Run::default(),
            entered: 0,
            before: NONE,
            after: NONE,
            recent: 0,
            standing: Standing::Unproven,
            place: Place::Nowhere,
            hands: Hands::Ours,
            has_late: false,
        }
    }
}

/// A number of the table with the hash of its name.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: u32,
    hash: u32,
}

/// hashbrown takes the place from the low bits and the tag from the high ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

/// What a series costs besides its name and points: its record and its share of the table, which
/// is between half and seven eighths full.
pub(super) const SERIES_BYTES: u64 = (size_of::<Record>() + 14) as u64;

/// Series by number and by name.
#[derive(Debug)]
pub(super) struct Table {
    records: Slab<Record>,
    names: Names,
    by_name: HashTable<Entry>,
    hasher: FixedState,
    /// The series that was asked for last.
    last: u32,
}

impl Table {
    /// An empty table.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            records: Slab::default(),
            names: Names::default(),
            by_name: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            last: NONE,
        }
    }

    /// The series of this name.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.find_hashed(name, self.hash(name))
    }

    /// The series of this name, most likely the one that followed last time; a new one where there
    /// is none (then true).
    pub(super) fn find_or_add(&mut self, name: &str) -> (u32, bool) {
        if let Some(guess) = self.guess(name) {
            self.last = guess;
            return (guess, false);
        }
        let hash = self.hash(name);
        let (id, added) = match self.find_hashed(name, hash) {
            Some(id) => (id, false),
            None => (self.add(name, hash), true),
        };
        if self.records.contains(self.last) {
            self.records[self.last].successor = id;
        }
        self.last = id;
        (id, added)
    }

    /// The series that followed last time, where it has this name. A record that is no longer live
    /// has an empty name, which nobody asks for, so that this touches nothing but the two records
    /// and the name.
    #[inline]
    fn guess(&self, name: &str) -> Option<u32> {
        let guess = self.records.peek(self.last)?.successor;
        let record = self.records.peek(guess)?;
        self.names.is(record.name, name).then_some(guess)
    }

    /// The name of a series.
    pub(super) fn name(&self, id: u32) -> &str {
        self.names.get(self.records[id].name)
    }

    /// Is there a series of this number?
    pub(super) fn contains(&self, id: u32) -> bool {
        self.records.contains(id)
    }

    /// How many series.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Forgets a series, which is in no list and has no points.
    pub(super) fn remove(&mut self, id: u32) {
        let record = self.records[id];
        assert!(record.place == Place::Nowhere, "series {id} is in a list");
        assert!(record.cached.len() == 0, "series {id} has points");
        let hash = self.hash(self.name(id));
        let Ok(entry) = self
            .by_name
            .find_entry(spread(hash), |entry| entry.id == id)
        else {
            unreachable!("series {id} is not in the table");
        };
        entry.remove();
        self.records[id].name = NameRef::default();
        self.records.remove(id);
        let sparse = self.names.release(record.name);
        self.move_names(sparse);
        if self.by_name.len() < self.by_name.capacity() / 8 {
            let room = self.by_name.len() * 2;
            self.by_name.shrink_to(room, |entry| spread(entry.hash));
        }
    }

    /// The records, for those who know the numbers.
    pub(super) fn records(&self) -> &Slab<Record> {
        &self.records
    }

    /// The records, to be changed; names stay as they are.
    pub(super) fn records_mut(&mut self) -> &mut Slab<Record> {
        &mut self.records
    }

    /// Bytes in use.
    pub(super) fn used_bytes(&self) -> usize {
        self.records.used_bytes() + self.names.held_bytes() + self.by_name.allocation_size()
    }

    /// The same with the free records of pages that are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.records.held_bytes() + self.names.held_bytes() + self.by_name.allocation_size()
    }

    fn hash(&self, name: &str) -> u32 {
        let [a, b, c, d, ..] = self.hasher.hash_one(name).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    fn find_hashed(&self, name: &str, hash: u32) -> Option<u32> {
        self.by_name
            .find(spread(hash), |entry| {
                entry.hash == hash && self.name(entry.id) == name
            })
            .map(|entry| entry.id)
    }

    fn add(&mut self, name: &str, hash: u32) -> u32 {
        let id = self.records.insert(Record::default());
        self.records[id].name = self.names.push(name, id);
        self.move_names(None);
        let entry = Entry { id, hash };
        self.by_name
            .insert_unique(spread(hash), entry, |entry| spread(entry.hash));
        id
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
            if self.records.contains(*owner) && self.records[*owner].name.is_in(chunk) {
                let name = self.records[*owner].name;
                self.records[*owner].name = self.names.push(old.get(name), *owner);
            }
        }
        self.names.close(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u32) -> String {
        format!("servers.web{number:07}.cpu.user")
    }

    #[test]
    fn series_are_found_after_others_went_and_names_moved() {
        let mut table = Table::new(7);
        let ids: Vec<u32> = (0u32..40_000)
            .map(|number| table.find_or_add(&name(number)).0)
            .collect();
        let full = table.used_bytes();
        for number in (0u32..40_000).filter(|number| number % 10 != 3) {
            table.remove(ids[number as usize]);
        }
        assert!(
            table.used_bytes() < full / 3,
            "{} of {full} bytes",
            table.used_bytes()
        );
        let names = table.names.held_bytes();
        assert!(
            names < 2 * (4_000 * 31 + (1 << 16)),
            "{names} bytes of names"
        );
        for number in 0u32..40_000 {
            let found = table.find(&name(number));
            assert_eq!(found, (number % 10 == 3).then_some(ids[number as usize]));
            assert!(found.is_none_or(|id| table.name(id) == name(number)));
        }
    }

    #[test]
    fn a_repeated_order_is_foreseen_and_a_changed_one_is_still_right() {
        let mut table = Table::new(7);
        let ids: Vec<u32> = (0u32..100)
            .map(|number| table.find_or_add(&name(number)).0)
            .collect();
        for _ in 0..2 {
            for number in 0u32..100 {
                assert_eq!(
                    table.find_or_add(&name(number)),
                    (ids[number as usize], false)
                );
            }
        }
        assert_eq!(table.records[ids[4]].successor, ids[5]);
        table.remove(ids[5]);
        for number in [4, 5, 6, 4, 9, 4, 9] {
            let (id, _) = table.find_or_add(&name(number));
            assert_eq!(table.name(id), name(number));
        }
        assert_eq!(table.records[ids[4]].successor, ids[9]);
    }
}
