//! Written entries of which it is not known whether they are true on the data's device.
//! Where the data was mounted anew since, after a power cut most likely, what was written last may be
//! gone from the files. Such entries wait here until the journal says that a mark behind them was
//! reached by a sync of the data; what waits in the end does not count, and its points are owed.
//! Memory: 32 bytes for each that names an owned metric; the other shards keep theirs.

use std::collections::{BTreeMap, VecDeque};

use super::Stream;
use super::coverage::{Coverage, Ids, Whose};
use crate::journal::entry::Entry;
use crate::journal::walk::Effort;

/// So many ids of an entry are looked at to learn whether one of them is owned.
const LOOKED_THROUGH_MAX: u32 = 64;

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recorded {
    /// Of the names that its ids have.
    pub(super) generation: u32,
    /// Of the next point.
    pub(super) serial: u64,
    /// The data is mounted as it was then.
    pub(super) is_believed: bool,
}

/// A written entry, or a mark.
#[derive(Clone, Copy, Debug)]
enum Unproven {
    /// Of ids of a generation, first and last: points below a serial.
    Ids {
        generation: u32,
        ids: (u32, u32),
        serial: u64,
    },
    /// Of one id: points below a serial and before a timestamp.
    Part {
        generation: u32,
        id: u32,
        part: (u64, u32),
    },
    /// A mark.
    Mark(u32),
}

/// Those of a stream, in order.
#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<Unproven>);

impl Stream {
    /// Takes a record of what was written. Says which ids are to be covered now.
    pub(super) fn record(&mut self, record: Entry, at: Recorded) -> Option<(u32, u32)> {
        let Recorded {
            generation,
            serial,
            is_believed,
        } = at;
        match record {
            Entry::Point { .. } => unreachable!("a point is no record"),
            Entry::Written { first, count } => {
                let ids = (first, first + (count - 1));
                if is_believed {
                    return Some(ids);
                }
                if self.are_foreign(generation, ids) {
                    return None;
                }
                self.unproven.0.push_back(Unproven::Ids {
                    generation,
                    ids,
                    serial,
                });
            }
            Entry::WrittenPart { id, back, cut } => {
                let part = (serial.saturating_sub(back), cut);
                if is_believed {
                    let known = self.generations.entry(generation).or_default();
                    self.coverage.cover_part(known, id, part, back == 0);
                } else if !self.are_foreign(generation, (id, id)) {
                    self.unproven.0.push_back(Unproven::Part {
                        generation,
                        id,
                        part,
                    });
                }
            }
            Entry::Mark(mark) => self.unproven.0.push_back(Unproven::Mark(mark)),
            Entry::DataSynced(mark) => {
                self.unproven
                    .prove(mark, &mut self.generations, &mut self.coverage);
            }
        }
        None
    }

    /// Are all of these ids names of other shards, which keep what is written of them? Not looked
    /// through where there are many: such an entry stands for as many.
    fn are_foreign(&self, generation: u32, (first, last): (u32, u32)) -> bool {
        let known = self.generations.get(&generation);
        let is_foreign = |id: u32| known.is_some_and(|it| it.whose(id) == Whose::Foreign);
        last - first < LOOKED_THROUGH_MAX && (first..=last).all(is_foreign)
    }
}

impl Waiting {
    /// How many entries and marks wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What was written before this mark is on the data's device.
    fn prove(&mut self, mark: u32, generations: &mut BTreeMap<u32, Ids>, coverage: &mut Coverage) {
        let is_meant = |it: &Unproven| matches!(it, Unproven::Mark(known) if *known <= mark);
        let Some(last) = self.0.iter().rposition(is_meant) else {
            return;
        };
        for proven in self.0.drain(..=last) {
            match proven {
                Unproven::Ids {
                    generation,
                    ids,
                    serial,
                } => {
                    let known = generations.entry(generation).or_default();
                    let mut begin = ids.0;
                    let mut effort = Effort::of_points(usize::MAX >> 16);
                    while let Some(next) =
                        coverage.cover(known, (begin, ids.1), (serial, false), &mut effort)
                    {
                        begin = next;
                        effort = Effort::of_points(usize::MAX >> 16);
                    }
                }
                Unproven::Part {
                    generation,
                    id,
                    part,
                } => {
                    let known = generations.entry(generation).or_default();
                    coverage.cover_part(known, id, part, false);
                }
                Unproven::Mark(_) => {}
            }
        }
    }
}
