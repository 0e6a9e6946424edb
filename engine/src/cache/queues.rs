//! Lists of series that wait for something, linked through their records: first in, first out, and
//! a series can leave from the middle.
//! Who is to be looked for or made waits in a list of its data directory; who is idle, or unplaced, in
//! one for all.
//! Invariant: a series is in the list that its record's `place` names, and in no other.

use super::Volume;
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
    unplaced: Queue,
    by_volume: Vec<OfVolume>,
}

/// The lists of a data directory.
#[derive(Debug, Default)]
struct OfVolume {
    unproven: Queue,
    missing: Queue,
    once: Queue,
    repeated: Queue,
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            idle: EMPTY,
            unplaced: EMPTY,
            by_volume: vec![OfVolume::default()],
        }
    }
}

impl Queues {
    /// One data directory more.
    pub(super) fn add_volume(&mut self) {
        self.by_volume.push(OfVolume::default());
    }

    /// Puts a series that is nowhere at the end of a list.
    pub(super) fn push(
        &mut self,
        records: &mut Slab<Record>,
        (place, volume): (Place, Volume),
        id: u32,
    ) {
        let now = records[id].place;
        assert!(now == Place::Nowhere, "series {id} is in {now:?}");
        self.of(place, volume).push(records, id);
        records[id].place = place;
    }

    /// Takes a series, of this directory, out of its list; it is nowhere then.
    pub(super) fn remove(&mut self, records: &mut Slab<Record>, volume: Volume, id: u32) {
        let place = records[id].place;
        self.of(place, volume).remove(records, id);
        records[id].place = Place::Nowhere;
    }

    /// The series that has been in a list for longest.
    pub(super) fn first(&self, place: Place, volume: Volume) -> Option<u32> {
        self.get(place, volume).first()
    }

    /// Who comes after a series in its list.
    pub(super) fn after(records: &Slab<Record>, id: u32) -> Option<u32> {
        let after = records[id].after;
        (after != NONE).then_some(after)
    }

    /// How many series are in a list.
    pub(super) fn len(&self, place: Place, volume: Volume) -> usize {
        self.get(place, volume).len()
    }

    /// How many series' files are to be looked for, wherever that may be.
    pub(super) fn unproven(&self) -> usize {
        let unproven = self.by_volume.iter().map(|of| of.unproven.len());
        unproven.sum::<usize>() + self.unplaced.len()
    }

    fn get(&self, place: Place, volume: Volume) -> &Queue {
        let of = &self.by_volume[volume.index()];
        match place {
            Place::Idle => &self.idle,
            Place::Unplaced => &self.unplaced,
            Place::Unproven => &of.unproven,
            Place::Missing => &of.missing,
            Place::Once => &of.once,
            Place::Repeated => &of.repeated,
            Place::Nowhere | Place::Ready => unreachable!("{place:?} is no list"),
        }
    }

    fn of(&mut self, place: Place, volume: Volume) -> &mut Queue {
        let of = &mut self.by_volume[volume.index()];
        match place {
            Place::Idle => &mut self.idle,
            Place::Unplaced => &mut self.unplaced,
            Place::Unproven => &mut of.unproven,
            Place::Missing => &mut of.missing,
            Place::Once => &mut of.once,
            Place::Repeated => &mut of.repeated,
            Place::Nowhere | Place::Ready => unreachable!("{place:?} is no list"),
        }
    }
}
