//! Slots with generations: where things live that the kernel answers for by number.
//! A slot is used again only after it was emptied, and each use has its own generation, so that a
//! late number is recognised and never reaches the wrong thing.
//! Invariant: a slot is in the free list exactly when it is empty.

use super::tag::GENERATIONS;

/// Index and generation of one use of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Index of the slot.
    pub slot: u32,
    /// Which use of it.
    pub generation: u32,
}

/// A growing table of slots.
#[derive(Debug)]
pub(super) struct Slots<T> {
    table: Vec<Slot<T>>,
    free: Vec<u32>,
    len_max: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    /// An empty table that never holds more than `slots_max` things.
    pub(super) fn new(slots_max: usize) -> Slots<T> {
        assert!(slots_max <= 1 << 24, "{slots_max} slots do not fit a tag");
        Slots {
            table: Vec::new(),
            free: Vec::new(),
            len_max: slots_max,
        }
    }

    /// How many slots are full.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len() - self.free.len()
    }

    /// Puts `value` into a free slot.
    pub(super) fn insert(&mut self, value: T) -> Key {
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.table[slot as usize];
            assert!(
                entry.value.is_none(),
                "slot {slot} was in the free list while full"
            );
            entry.value = Some(value);
            return Key {
                slot,
                generation: entry.generation,
            };
        }
        assert!(
            self.table.len() < self.len_max,
            "more than {} slots in use",
            self.len_max
        );
        let Ok(slot) = u32::try_from(self.table.len()) else {
            unreachable!("slots_max fits 24 bits")
        };
        self.table.push(Slot {
            generation: 0,
            value: Some(value),
        });
        Key {
            slot,
            generation: 0,
        }
    }

    /// What lives there, unless that use is over.
    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let entry = self.table.get(key.slot as usize)?;
        if entry.generation == key.generation {
            entry.value.as_ref()
        } else {
            None
        }
    }

    /// What lives there, unless that use is over.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.table.get_mut(key.slot as usize)?;
        if entry.generation == key.generation {
            entry.value.as_mut()
        } else {
            None
        }
    }

    /// Empties the slot; its next use has another generation.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.table.get_mut(key.slot as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = (entry.generation + 1) % GENERATIONS;
        self.free.push(key.slot);
        Some(value)
    }

    /// The keys of all full slots.
    pub(super) fn keys(&self) -> Vec<Key> {
        let full = self
            .table
            .iter()
            .zip(0u32..)
            .filter(|(entry, _)| entry.value.is_some());
        full.map(|(entry, slot)| Key {
            slot,
            generation: entry.generation,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_key_reaches_nothing() {
        let mut slots = Slots::new(2);
        let first = slots.insert("first");
        assert_eq!(slots.remove(first), Some("first"));
        assert_eq!(slots.remove(first), None);
        let second = slots.insert("second");
        assert_eq!(second.slot, first.slot);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.get(second), Some(&"second"));
        assert_eq!(slots.len(), 1);
        assert_eq!(slots.keys(), vec![second]);
    }

    #[test]
    fn generations_wrap_within_their_bits() {
        let mut slots = Slots::new(1);
        for _ in 0..=GENERATIONS {
            let key = slots.insert(());
            assert!(key.generation < GENERATIONS);
            slots.remove(key);
        }
    }

    #[test]
    #[should_panic(expected = "more than 1 slots")]
    fn the_bound_holds() {
        let mut slots = Slots::new(1);
        slots.insert(());
        slots.insert(());
    }
}
