//! Points of a block, some dozens at once: decoded in one loop and looked up in the next, so that the
//! processor has many of the lookups under way together, and so that whose a point is, which nobody
//! can foresee where several shards read a stream, is a number to add and not a way to go.

use super::coverage::{FOREIGN, Ids, NAMELESS};
use crate::journal::entry::{Entry, EntryError, Plain, PointDecoder};
use crate::journal::walk::Effort;

/// Points of a batch: few enough that it stays in the processor's first cache.
pub(super) const BATCH_POINTS: usize = 64;

/// What comes next of a block.
pub(super) enum Read {
    /// Points, of one age: those of the batch.
    Points,
    /// What is not a point.
    Record(Entry),
    /// Nothing that could be read.
    Fault(EntryError),
    /// Its end.
    End,
}

/// A point that is owned.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Owned {
    /// Number of its name.
    pub(super) number: u32,
    /// Its place in the batch.
    pub(super) place: u32,
}

/// Points that follow each other in a block.
pub(super) struct Batch {
    points: [Plain; BATCH_POINTS],
    len: u32,
    owned: [Owned; BATCH_POINTS],
    owned_len: usize,
    has_nameless: bool,
}

impl Batch {
    pub(super) fn new() -> Batch {
        Batch {
            points: [Plain::default(); BATCH_POINTS],
            len: 0,
            owned: [Owned::default(); BATCH_POINTS],
            owned_len: 0,
            has_nameless: false,
        }
    }

    /// Reads what comes next: points as far as the effort goes, of the `left` that the block should
    /// have, or one more where it has more.
    pub(super) fn read(
        &mut self,
        decoder: &mut PointDecoder<'_>,
        left: u32,
        effort: &mut Effort,
    ) -> Read {
        let most = BATCH_POINTS.min(effort.points()).min(left as usize);
        let read = decoder.points(&mut self.points[..most]);
        effort.spend_points(read.max(1));
        self.len = u32::try_from(read).unwrap_or(0);
        if self.len > 0 {
            return Read::Points;
        }
        match decoder.next() {
            Some(Ok(Entry::Point {
                id,
                timestamp,
                value,
                ..
            })) => {
                self.points[0] = Plain {
                    id,
                    timestamp,
                    value,
                };
                self.len = 1;
                Read::Points
            }
            Some(Ok(record)) => Read::Record(record),
            Some(Err(error)) => Read::Fault(error),
            None => Read::End,
        }
    }

    /// Looks up whose they are.
    pub(super) fn look_up(&mut self, ids: &Ids) {
        (self.owned_len, self.has_nameless) = (0, false);
        for (point, place) in self.points.iter().zip(0..self.len) {
            let number = ids.number(point.id);
            self.owned[self.owned_len] = Owned { number, place };
            self.owned_len += usize::from(number < FOREIGN);
            self.has_nameless |= number == NAMELESS;
        }
    }

    /// How many points.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Those that are owned, in order.
    pub(super) fn owned(&self) -> impl Iterator<Item = (Owned, Plain)> {
        let owned = self.owned[..self.owned_len].iter();
        owned.map(|owned| (*owned, self.points[owned.place as usize]))
    }

    /// How many are.
    pub(super) fn owned_len(&self) -> usize {
        self.owned_len
    }

    /// Places and points of ids without a name, which are rare.
    pub(super) fn nameless(&self, ids: &Ids) -> Vec<(u32, Plain)> {
        if !self.has_nameless {
            return Vec::new();
        }
        let points = (0..self.len).zip(self.points);
        let is_nameless = |(_, point): &(u32, Plain)| ids.number(point.id) == NAMELESS;
        points.filter(is_nameless).collect()
    }
}
