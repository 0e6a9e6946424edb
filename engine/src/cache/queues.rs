//! Lists of series that wait for something, linked through their records: first in, first out, and
//! a series can leave from the middle.
//! Invariant: a series is in the list that its record's `place` names, and in no other.

use super::series::{NONE, Place, Record};
use crate::names::slab::Slab;

/// One list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    first: u32,
    last: u32,
    len: u32,
}

const EMPTY: Queue = Queue {
    first: NONE,
    last: NONE,
    len: 0,
};

impl Default for Queue {
    fn default() -> Self {
        EMPTY
    }
}

impl Queue {
    /// Puts a series that is in no list at the end; its place is the caller's to note.
    pub(super) fn push(&mut self, records: &mut Slab<Record>, id: u32) {
        let last = std::mem::replace(&mut self.last, id);
        self.len += 1;
        if last == NONE {
            self.first = id;
        } else {
            records[last].after = id;
        }
        let record = &mut records[id];
        record.before = last;
        record.after = NONE;
    }

    /// Takes a series out, which is in this list.
    pub(super) fn remove(&mut self, records: &mut Slab<Record>, id: u32) {
        let Record { before, after, .. } = records[id];
        assert!(self.len > 0, "series {id} is in a list that is empty");
        self.len -= 1;
        if before == NONE {
            assert!(self.first == id, "series {id} is not first in its list");
            self.first = after;
        } else {
            records[before].after = after;
        }
        if after == NONE {
            assert!(self.last == id, "series {id} is not last in its list");
            self.last = before;
        } else {
            records[after].before = before;
        }
        let record = &mut records[id];
        record.before = NONE;
        record.after = NONE;
    }

    /// The series that has been in it for longest.
    pub(super) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// How many series are in it.
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }
}

/// The lists of a shard. `Place::Nowhere` and `Place::Ready` are not among them.
#[derive(Debug)]
pub(super) struct Queues {
    idle: Queue,
    unproven: Queue,
    once: Queue,
    repeated: Queue,
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            idle: EMPTY,
            unproven: EMPTY,
            once: EMPTY,
            repeated: EMPTY,
        }
    }
}

impl Queues {
    /// Puts a series that is nowhere at the end of a list.
    pub(super) fn push(&mut self, records: &mut Slab<Record>, place: Place, id: u32) {
        let now = records[id].place;
        assert!(now == Place::Nowhere, "series {id} is in {now:?}");
        self.of(place).push(records, id);
        records[id].place = place;
    }

    /// Takes a series out of its list; it is nowhere then.
    pub(super) fn remove(&mut self, records: &mut Slab<Record>, id: u32) {
        let place = records[id].place;
        self.of(place).remove(records, id);
        records[id].place = Place::Nowhere;
    }

    /// The series that has been in a list for longest.
    pub(super) fn first(&self, place: Place) -> Option<u32> {
        self.get(place).first()
    }

    /// Who comes after a series in its list.
    pub(super) fn after(records: &Slab<Record>, id: u32) -> Option<u32> {
        let after = records[id].after;
        (after != NONE).then_some(after)
    }

    /// How many series are in a list.
    pub(super) fn len(&self, place: Place) -> usize {
        self.get(place).len()
    }

    fn get(&self, place: Place) -> &Queue {
        match place {
            Place::Idle => &self.idle,
            Place::Unproven => &self.unproven,
            Place::Once => &self.once,
            Place::Repeated => &self.repeated,
            Place::Nowhere | Place::Ready => unreachable!("{place:?} is no list"),
        }
    }

    fn of(&mut self, place: Place) -> &mut Queue {
        match place {
            Place::Idle => &mut self.idle,
            Place::Unproven => &mut self.unproven,
            Place::Once => &mut self.once,
            Place::Repeated => &mut self.repeated,
            Place::Nowhere | Place::Ready => unreachable!("{place:?} is no list"),
        }
    }
}
