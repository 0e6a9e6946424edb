//! A relay's client side: points go to other carbons instead of into the own cache.
//! `ring` is Python's consistent hashing, `destination` says which points go where, `lane` keeps a
//! connection and a bounded queue for each. Today it carries the daemon's own metrics
//! (RELAY_CACHE_METRICS).
//! Runs on the desk's runtime, never on a core, and never makes who hands in a point wait. A stop waits
//! for a few seconds for destinations that take what is queued, and says what was left.
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

use benzene_engine::limits::RELAY_LAST_WORDS;
use benzene_engine::point::Point;
use benzene_engine::stats::{Counter, Stats};
use tokio::sync::watch;
use tokio::time::timeout;

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
    /// True: what is queued is all.
    stopping: watch::Sender<bool>,
}

impl Relay {
    /// Begins to serve the destinations; called on the runtime that is to do it.
    pub(crate) fn start(settings: &RelaySettings) -> Relay {
        let tally = Arc::new(Tally::default());
        let stopping = watch::Sender::new(false);
        let lanes = settings
            .destinations
            .iter()
            .map(|destination| Lane::start(destination.clone(), settings, &tally, &stopping));
        Relay {
            router: Router::new(&settings.destinations, settings.method),
            lanes: lanes.collect(),
            tally,
            stopping,
        }
    }

    /// Hands a point in for each of its destinations.
    pub(crate) fn send(&self, name: &str, point: Point) {
        for number in self.router.route(name) {
            self.lanes[number].push(name.to_owned(), point);
        }
    }

    /// Sends what waits, as far as destinations take it at once and it does not take long; nothing is
    /// handed in any more.
    pub(crate) async fn flush(&self) {
        self.stopping.send_replace(true);
        let ended = async {
            for lane in &self.lanes {
                lane.ended().await;
            }
        };
        if timeout(RELAY_LAST_WORDS, ended).await.is_err() {
            tracing::debug!("a destination of the relay has not taken all in time");
        }
    }

    /// Ends it. What was not sent is dropped, counted and said.
    pub(crate) async fn end(&self) {
        for lane in &self.lanes {
            lane.abort();
            lane.ended().await;
        }
        let left = self.tally.left.load(Ordering::Relaxed);
        if left > 0 {
            tracing::warn!(
                "{left} points of own metrics were not relayed and are dropped: their destinations did \
                 not take them (RELAY_CACHE_METRICS, DESTINATIONS in carbon.conf)"
            );
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
