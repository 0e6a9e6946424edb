//! The write orders of a shard, one for each data directory: what one disk cannot take just now never
//! stands before what another can. With one directory there is one.
//! What all of them share: the strategy, the tick by which ranks are given, and where files lie.
//! Invariant: a ready series is in the order of its directory, and in no other.

use std::time::Duration;

use super::deadline::Deadline;
use super::order::{Field, Order, Strategy};
use super::series::Record;
use super::{CacheConfig, Volume};
use crate::names::slab::Slab;

/// The write orders.
#[derive(Debug)]
pub(super) struct Lanes {
    config: CacheConfig,
    tick: u64,
    /// Where files lie, by series, for the orders that ask for it; 0 is not known.
    locations: Vec<u32>,
    orders: Vec<Order>,
}

impl Lanes {
    /// The order of the first directory.
    pub(super) fn new(config: CacheConfig) -> Self {
        Self {
            config,
            tick: 0,
            locations: Vec::new(),
            orders: vec![Order::new(&config, Volume::FIRST)],
        }
    }

    /// One directory more.
    pub(super) fn add(&mut self, max_point_age_s: u32, in_disk_order: bool) {
        let config = CacheConfig {
            max_point_age_s,
            in_disk_order,
            ..self.config
        };
        let volume = Volume::new(self.orders.len());
        self.orders.push(Order::new(&config, volume));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.orders.len()
    }

    /// The order of a directory.
    pub(super) fn of(&self, volume: Volume) -> &Order {
        &self.orders[volume.index()]
    }

    /// The same, to be changed.
    pub(super) fn of_mut(&mut self, volume: Volume) -> &mut Order {
        &mut self.orders[volume.index()]
    }

    /// Which order they all are.
    pub(super) fn strategy(&self) -> Strategy {
        self.config.strategy
    }

    /// Is it the order `deadline`?
    pub(super) fn is_deadline(&self) -> bool {
        self.config.strategy == Strategy::Deadline
    }

    /// What there is of the order `deadline`, where that is the order.
    pub(super) fn deadline(&self, volume: Volume) -> Option<&Deadline> {
        self.of(volume).deadline()
    }

    /// Does every point of a series change its rank, and not only the first?
    #[inline]
    pub(super) fn ranks_points(&self) -> bool {
        matches!(self.config.strategy, Strategy::Max | Strategy::BucketMax)
    }

    /// A rank behind everybody's, for a series that got its first or one more cached point; None
    /// where it keeps the one it has.
    pub(super) fn rank(&mut self, is_first: bool) -> Option<u64> {
        let is_ranked = match self.config.strategy {
            Strategy::BucketMax => true,
            Strategy::Deadline => false,
            Strategy::Naive
            | Strategy::Max
            | Strategy::Sorted
            | Strategy::TimeSorted
            | Strategy::Random => is_first,
        };
        if !is_ranked {
            return None;
        }
        self.tick += 1;
        Some(self.tick)
    }

    /// The series of a directory that is to be written next.
    pub(super) fn next(&mut self, volume: Volume, field: Field<'_>, unix_now: u32) -> Option<u32> {
        let tick = self.tick;
        self.of_mut(volume).next(field, unix_now, tick)
    }

    /// The time since the beginning, and its second.
    pub(super) fn begin_turn(&mut self, records: &mut Slab<Record>, now: Duration, second: u32) {
        for order in &mut self.orders {
            order.begin_turn((records, &self.locations), now, second);
        }
    }

    /// From now on nothing is held back.
    pub(super) fn drain(&mut self) {
        for order in &mut self.orders {
            order.drain();
        }
    }

    /// Memory is short, or is so no longer.
    pub(super) fn set_rushed(&mut self, is_rushed: bool) {
        for order in &mut self.orders {
            if let Some(deadline) = order.deadline_mut() {
                deadline.set_rushed(is_rushed);
            }
        }
    }

    /// Are series of a directory written in the order of its disk?
    pub(super) fn is_swept(&self, volume: Volume) -> bool {
        self.deadline(volume).is_some_and(Deadline::is_swept)
    }

    /// Where the file of a series lies, in units of its disk's order; 0: nobody knows.
    pub(super) fn set_location(&mut self, id: u32, location: u32) {
        let index = id as usize;
        if self.locations.len() <= index {
            self.locations.resize(index + 1, 0);
        }
        self.locations[index] = location;
    }

    /// The same, where it is known.
    pub(super) fn location(&self, id: u32) -> Option<u32> {
        let location = self.locations.get(id as usize).copied();
        location.filter(|location| *location > 0)
    }

    /// The number may stand for another series from now on, whose file lies elsewhere.
    pub(super) fn forget(&mut self, id: u32) {
        if let Some(location) = self.locations.get_mut(id as usize) {
            *location = 0;
        }
    }

    /// Bytes of the lists, the heaps and the locations.
    pub(super) fn bytes(&self) -> usize {
        self.orders.iter().map(Order::bytes).sum::<usize>()
            + self.locations.capacity() * size_of::<u32>()
    }
}
