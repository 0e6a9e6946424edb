//! The points of one frame, of whatever protocol: owned, so that the caller can stop after any item
//! and go on later, with the frame long gone. Names lie one behind the other, each once for all the
//! points that have it. Used again for the next frame, so that nothing is allocated per item; the
//! memory that only a large frame needs is given back.

use benzene_engine::limits::PICKLE_OBJECTS_KEPT;

use super::{Item, Refusal, Refusals, Stamp};

/// The points of one frame. Used again for the next, so that nothing is allocated per item.
#[derive(Debug, Default)]
pub struct Batch {
    /// The names of all entries, one behind the other.
    pub(in crate::wire) names: String,
    pub(in crate::wire) entries: Vec<Entry>,
    pub(in crate::wire) refused: Refusals,
}

/// One item: where its name lies, and its point.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) struct Entry {
    pub(in crate::wire) name_start: u32,
    pub(in crate::wire) name_length: u32,
    pub(in crate::wire) stamp: Stamp,
    pub(in crate::wire) value: f64,
}

impl Entry {
    /// The last checks of an item: of numbers that are numbers, under a name that is a text.
    pub(in crate::wire) fn new(
        place: (u32, u32),
        seconds: f64,
        value: f64,
    ) -> Result<Self, Refusal> {
        if value.is_nan() {
            return Err(Refusal::Nan);
        }
        let (name_start, name_length) = place;
        Ok(Self {
            name_start,
            name_length,
            stamp: Stamp::from_seconds(seconds).ok_or(Refusal::Timestamp)?,
            value,
        })
    }
}

impl Batch {
    /// How many items are in it, the refused ones not counted.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no item is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// An item by its place; they stand in the order of the frame.
    pub fn get(&self, index: usize) -> Option<Item<'_>> {
        let entry = self.entries.get(index)?;
        Some(Item {
            name: &self.names[entry.name_start as usize..][..entry.name_length as usize],
            stamp: entry.stamp,
            value: entry.value,
        })
    }

    /// All items.
    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> + '_ {
        self.iter_from(0)
    }

    /// The items from a place on.
    pub fn iter_from(&self, index: usize) -> impl Iterator<Item = Item<'_>> + '_ {
        (index..self.len()).filter_map(|index| self.get(index))
    }

    /// The items of the frame that were refused, by reason.
    pub fn refused(&self) -> &Refusals {
        &self.refused
    }

    /// Bytes of memory that it takes.
    pub fn allocated_bytes(&self) -> usize {
        self.names.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Forgets all items, and gives back memory that only a large frame needs.
    pub fn clear(&mut self) {
        if self.entries.capacity().max(self.names.capacity()) > PICKLE_OBJECTS_KEPT {
            *self = Self::default();
        }
        self.names.clear();
        self.entries.clear();
        self.refused = Refusals::default();
    }
}
