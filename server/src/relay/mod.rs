//! A relay's client side: points go to other carbons instead of into the own cache.
//! `ring` is Python's consistent hashing, `destination` says which points go where, `lane` keeps a
//! connection and a bounded queue for each. Today it carries the daemon's own metrics
//! (RELAY_CACHE_METRICS).
//! Runs on the desk's runtime, never on a core, and never makes who hands in a point wait.
//! Invariant: a point handed in is sent, waits in a queue, or was counted as dropped, once for each
//! of its destinations.

mod destination;
mod frame;
mod lane;
mod ring;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use benzene_engine::point::Point;
use benzene_engine::stats::{Counter, Stats};

use destination::Router;
pub(crate) use destination::{Destination, Method};
use lane::{Lane, Tally};
pub(crate) use ring::HashType;

/// Where points go, and how.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// DESTINATIONS.
    pub(crate) destinations: Vec<Destination>,
    /// RELAY_METHOD.
    pub(crate) method: Method,
    /// Points that wait for a destination at most (MAX_QUEUE_SIZE, MAX_QUEUE_SIZE_HARD_PCT).
    pub(crate) queue_max: usize,
    /// Points in a frame at most (MAX_DATAPOINTS_PER_MESSAGE).
    pub(crate) message_points_max: usize,
}

/// A running relay.
#[derive(Debug)]
pub(crate) struct Relay {
    router: Router,
    lanes: Vec<Lane>,
    tally: Arc<Tally>,
}

impl Relay {
    /// Begins to serve the destinations; called on the runtime that is to do it.
    pub(crate) fn start(settings: &RelaySettings) -> Relay {
        let tally = Arc::new(Tally::default());
        let lanes = settings.destinations.iter().map(|destination| {
            let (queue_max, points_max) = (settings.queue_max, settings.message_points_max);
            Lane::start(destination.clone(), queue_max, points_max, &tally)
        });
        Relay {
            router: Router::new(&settings.destinations, settings.method),
            lanes: lanes.collect(),
            tally,
        }
    }

    /// Hands a point in for each of its destinations.
    pub(crate) fn send(&self, name: &str, point: Point) {
        for number in self.router.route(name) {
            self.lanes[number].push(name.to_owned(), point);
        }
    }

    /// Points that wait, for all destinations together.
    pub(crate) fn queued(&self) -> u64 {
        self.lanes.iter().map(Lane::queued).sum()
    }

    /// Adds what was counted.
    pub(crate) fn add_to(&self, stats: &mut Stats) {
        for (counter, count) in [
            (Counter::RelaySent, &self.tally.sent),
            (Counter::RelayDropped, &self.tally.dropped),
        ] {
            stats.add(counter, count.load(Ordering::Relaxed));
        }
    }
}
