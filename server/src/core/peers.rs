//! What the cores and the desk know of each other: inboxes, how to wake whom, who has how many
//! connections, and how far everyone is with stopping.
//! Shared and read by all; nothing here is locked, and nothing waits.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};

use benzene_engine::latency::Latencies;
use benzene_engine::limits::SHARDS_MAX;
use benzene_engine::metric::ShardIndex;
use benzene_engine::point::Point;
use benzene_engine::ring::{RingHandle, Waker};
use benzene_engine::schemas::{Aggregations, Schemas};
use benzene_engine::shard::{Inbox, Message, Report};

use super::places::{Most, Places};
use crate::config::Logged;
use crate::front::{Entrance, Through};
use crate::lists::Lists;

/// How the daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Everything is written to its file.
    Drain,
    /// What is cached stays in the journal.
    Rest,
}

/// What can lie in a core's inbox.
#[derive(Debug)]
pub(crate) enum Parcel {
    /// From another core's shard.
    Shard(Message),
    /// A connection that another core accepted and dealt to this one.
    Connection(Entrance, std::os::fd::OwnedFd),
    /// Our own metrics, to be cached like received ones.
    Own(Vec<(String, Point)>),
    /// Names are received by these lists from now on.
    Lists(Arc<Lists>),
    /// Files are made by these rules from now on.
    Rules(Arc<Schemas>, Arc<Aggregations>),
    /// What goes into the log files from now on.
    Logged(Logged),
    /// The desk wants this core's numbers, and what came through each instance's ports.
    Report(tokio::sync::mpsc::UnboundedSender<(Report, Vec<Through>)>),
    /// The desk wants this core's times of the last interval, for which it brings an empty set.
    Latencies(
        Box<Latencies>,
        tokio::sync::mpsc::UnboundedSender<Box<Latencies>>,
    ),
    /// Read what the sockets hold, take no more, and end in this way.
    Stop(Ending),
    /// End the loop.
    Exit,
}

impl Parcel {
    /// Whether it may come before points that others have accepted, which wait while the journal's
    /// buffers are full: what the desk wants of a core then, the end most of all, and answers, which
    /// show no points of this core's. A question may not: it is asked behind the points it is to find.
    fn is_express(&self) -> bool {
        match self {
            Parcel::Report(_)
            | Parcel::Latencies(..)
            | Parcel::Stop(_)
            | Parcel::Exit
            | Parcel::Shard(Message::Answer(_)) => true,
            Parcel::Shard(Message::Points(..) | Message::Question(_))
            | Parcel::Connection(..)
            | Parcel::Own(_)
            | Parcel::Lists(_)
            | Parcel::Rules(..)
            | Parcel::Logged(_) => false,
        }
    }
}

#[derive(Debug, Default)]
struct Peer {
    inbox: Inbox<Parcel>,
    /// What does not wait behind points.
    express: Inbox<Parcel>,
    /// How to wake it: set once its ring is made.
    handle: OnceLock<(RingHandle, Waker)>,
    /// It blocks in its ring, or is about to, and nobody has set out to wake it.
    asleep: AtomicBool,
    connections: AtomicU32,
}

/// All cores of the process.
#[derive(Debug)]
pub(crate) struct Peers {
    cores: Vec<Peer>,
    /// Connections that all cores serve or have been given.
    pub(crate) places: Places,
    /// No core deals connections to others any more.
    accepting_ended: AtomicBool,
    /// Cores that have read their sockets to the end and passed everything on.
    quiet: AtomicUsize,
    /// Cores that have written everything out since all were quiet.
    drained: AtomicUsize,
    /// The journal of a core failed while it was to keep what is cached: that is written out.
    is_written_out: AtomicBool,
    /// Why the daemon cannot go on.
    failure: OnceLock<String>,
}

impl Peers {
    pub(crate) fn new(shards: u16, most: Most) -> Self {
        assert!(
            shards > 0 && usize::from(shards) <= SHARDS_MAX,
            "{shards} shards"
        );
        Self {
            cores: (0..shards).map(|_| Peer::default()).collect(),
            places: Places::new(most),
            accepting_ended: AtomicBool::new(false),
            quiet: AtomicUsize::new(0),
            drained: AtomicUsize::new(0),
            is_written_out: AtomicBool::new(false),
            failure: OnceLock::new(),
        }
    }

    fn peer(&self, index: ShardIndex) -> &Peer {
        &self.cores[usize::from(index.0)]
    }

    /// All cores' numbers.
    pub(crate) fn indices(&self) -> impl Iterator<Item = ShardIndex> + use<> {
        (0..self.cores.len())
            .filter_map(|index| u16::try_from(index).ok())
            .map(ShardIndex)
    }

    /// Puts a parcel into a core's inbox, or gives it back where that is full.
    pub(crate) fn push(&self, index: ShardIndex, parcel: Parcel) -> Result<(), Parcel> {
        let peer = self.peer(index);
        if parcel.is_express() {
            peer.express.push(parcel)
        } else {
            peer.inbox.push(parcel)
        }
    }

    /// The oldest parcel that does not wait behind points.
    pub(crate) fn pop_express(&self, index: ShardIndex) -> Option<Parcel> {
        self.peer(index).express.pop()
    }

    /// The oldest of the others.
    pub(crate) fn pop(&self, index: ShardIndex) -> Option<Parcel> {
        self.peer(index).inbox.pop()
    }

    /// True where none of the others waits.
    pub(crate) fn is_empty(&self, index: ShardIndex) -> bool {
        self.peer(index).inbox.is_empty()
    }

    /// Makes a core known to the others, once, when its ring is there.
    pub(crate) fn introduce(&self, index: ShardIndex, handle: RingHandle, waker: Waker) {
        let fresh = self.peer(index).handle.set((handle, waker)).is_ok();
        assert!(fresh, "core {index:?} was introduced twice");
    }

    /// How to wake a core from a ring; `None` until it is introduced.
    pub(crate) fn handle(&self, index: ShardIndex) -> Option<&RingHandle> {
        self.peer(index).handle.get().map(|(handle, _)| handle)
    }

    /// Says that a core is about to block. False where a parcel has come meanwhile that it takes
    /// (`express_only`: it would leave points lying): then it must not, and nothing was said.
    ///
    /// A parcel is never left lying: its sender pushes it, then reads `asleep`; the core writes
    /// `asleep`, then looks into its inbox. Between the two steps of each stands a SeqCst fence,
    /// and of two such fences one is first: so the sender reads what the core wrote, or the core
    /// sees the parcel, or both. Relaxed accesses do, as nothing else is read through the flag.
    pub(crate) fn fall_asleep(&self, index: ShardIndex, express_only: bool) -> bool {
        let peer = self.peer(index);
        peer.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if peer.express.is_empty() && (express_only || peer.inbox.is_empty()) {
            return true;
        }
        peer.asleep.store(false, Ordering::Relaxed);
        false
    }

    /// Says that a core blocks no longer, whoever woke it. A wake that is still on its way then
    /// finds it awake and costs one turn.
    pub(crate) fn woke_up(&self, index: ShardIndex) {
        self.peer(index).asleep.store(false, Ordering::Relaxed);
    }

    /// After a push: true where the core sleeps and the caller is the one who is to wake it. A core
    /// that is awake looks into its inbox in every turn.
    pub(crate) fn must_wake(&self, index: ShardIndex) -> bool {
        let peer = self.peer(index);
        fence(Ordering::SeqCst);
        // Reading first keeps the flag's cache line shared between cores that are all busy.
        peer.asleep.load(Ordering::Relaxed) && peer.asleep.swap(false, Ordering::Relaxed)
    }

    /// Wakes a core from a thread without a ring.
    pub(crate) fn wake(&self, index: ShardIndex) {
        if let Some((_, waker)) = self.peer(index).handle.get() {
            waker.wake();
        }
    }

    /// The core with the fewest connections, which is counted to have one more from now on.
    pub(crate) fn deal(&self) -> ShardIndex {
        let fewest = self
            .indices()
            .min_by_key(|index| self.connections_of(*index));
        let Some(index) = fewest else {
            unreachable!("there is at least one core")
        };
        self.opened(index);
        index
    }

    /// A connection is served by this core from now on.
    pub(crate) fn opened(&self, index: ShardIndex) {
        self.peer(index).connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection dealt to this core is closed.
    pub(crate) fn closed(&self, index: ShardIndex) {
        self.peer(index).connections.fetch_sub(1, Ordering::Relaxed);
    }

    fn connections_of(&self, index: ShardIndex) -> u32 {
        self.peer(index).connections.load(Ordering::Relaxed)
    }

    /// The core that accepts deals no more connections; those it dealt lie in the inboxes.
    pub(crate) fn end_accepting(&self) {
        self.accepting_ended.store(true, Ordering::Release);
    }

    /// True when every connection that was dealt lies in its core's inbox, or was taken out.
    pub(crate) fn is_accepting_ended(&self) -> bool {
        self.accepting_ended.load(Ordering::Acquire)
    }

    /// One more core has passed on all that its sockets held.
    pub(crate) fn quiet(&self) {
        self.quiet.fetch_add(1, Ordering::Release);
    }

    /// True when nothing new can come from any core.
    pub(crate) fn all_quiet(&self) -> bool {
        self.quiet.load(Ordering::Acquire) == self.cores.len()
    }

    /// One more core has written everything out.
    pub(crate) fn drained(&self) {
        self.drained.fetch_add(1, Ordering::Release);
    }

    /// What a core has cached was to stay in the journal, and is written out.
    pub(crate) fn write_out(&self) {
        self.is_written_out.store(true, Ordering::Release);
    }

    /// True when a core writes out what was to stay in the journal.
    pub(crate) fn is_written_out(&self) -> bool {
        self.is_written_out.load(Ordering::Acquire)
    }

    /// Something makes going on impossible; the desk ends the process.
    pub(crate) fn fail(&self, why: String) {
        // The first reason counts.
        drop(self.failure.set(why));
    }

    /// Why the daemon cannot go on.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// True when everything is written out.
    pub(crate) fn all_drained(&self) -> bool {
        self.drained.load(Ordering::Acquire) == self.cores.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SLEEPER: ShardIndex = ShardIndex(0);

    #[test]
    fn only_a_sleeper_is_woken_and_once() {
        let peers = Peers::new(1, Most::default());
        assert!(!peers.must_wake(SLEEPER));
        assert!(peers.fall_asleep(SLEEPER, false));
        assert!(peers.must_wake(SLEEPER));
        assert!(!peers.must_wake(SLEEPER), "a second sender wakes it again");
        peers.push(SLEEPER, Parcel::Stop(Ending::Drain)).unwrap();
        assert!(
            !peers.fall_asleep(SLEEPER, false),
            "it sleeps over a parcel"
        );
        assert!(!peers.must_wake(SLEEPER), "it is awake");
        peers.pop_express(SLEEPER).unwrap();
        assert!(peers.fall_asleep(SLEEPER, false));
        peers.woke_up(SLEEPER);
        assert!(!peers.must_wake(SLEEPER), "it is awake");
    }

    /// A journal whose buffers are full keeps points in the inbox: they neither keep the core awake nor
    /// its end from it.
    #[test]
    fn points_that_wait_keep_nothing_else_waiting() {
        let peers = Peers::new(1, Most::default());
        while peers.push(SLEEPER, Parcel::Own(Vec::new())).is_ok() {}
        assert!(!peers.fall_asleep(SLEEPER, false), "it sleeps over points");
        assert!(peers.fall_asleep(SLEEPER, true));
        peers.push(SLEEPER, Parcel::Stop(Ending::Rest)).unwrap();
        peers.push(SLEEPER, Parcel::Exit).unwrap();
        assert!(peers.must_wake(SLEEPER));
        assert!(!peers.fall_asleep(SLEEPER, true), "it sleeps over a stop");
        let express = || peers.pop_express(SLEEPER);
        assert!(matches!(express(), Some(Parcel::Stop(Ending::Rest))));
        assert!(matches!(express(), Some(Parcel::Exit)));
        assert!(express().is_none() && !peers.is_empty(SLEEPER));
    }

    /// A core that takes `parcels` out of its inbox and blocks whenever there is none. Answers how
    /// often it blocked.
    fn take_all(peers: &Peers, parcels: usize) -> usize {
        let (mut taken, mut naps) = (0, 0);
        while taken < parcels {
            while peers.pop_express(SLEEPER).is_some() || peers.pop(SLEEPER).is_some() {
                taken += 1;
            }
            if taken < parcels && peers.fall_asleep(SLEEPER, false) {
                naps += 1;
                std::thread::park_timeout(Duration::from_secs(30));
                peers.woke_up(SLEEPER);
            }
        }
        naps
    }

    /// Sends parcels one by one, each once the inbox is empty again.
    fn send(peers: &Peers, sleeper: &std::thread::Thread, parcels: usize) {
        for parcel in 0..parcels {
            let parcel = if parcel % 2 == 0 {
                Parcel::Stop(Ending::Drain)
            } else {
                Parcel::Own(Vec::new())
            };
            peers.push(SLEEPER, parcel).unwrap();
            if peers.must_wake(SLEEPER) {
                sleeper.unpark();
            }
            while !peers.is_empty(SLEEPER) || !peers.peer(SLEEPER).express.is_empty() {
                std::thread::yield_now();
            }
        }
    }

    /// The core is about to sleep whenever the next parcel comes. Where it does not look into its
    /// inbox again before it sleeps, a parcel is soon missed, and it sleeps for thirty seconds.
    #[test]
    fn no_parcel_is_slept_over() {
        const SENDERS: usize = 2;
        const PARCELS: usize = 50_000;
        let peers = Peers::new(1, Most::default());
        let start = benzene_engine::clock::now().instant;
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| take_all(&peers, SENDERS * PARCELS));
            for _ in 0..SENDERS {
                let thread = sleeper.thread().clone();
                let peers = &peers;
                scope.spawn(move || send(peers, &thread, PARCELS));
            }
            let naps = sleeper.join().unwrap();
            assert!(naps > 100, "it blocked {naps} times: nothing was tried");
        });
        let elapsed = benzene_engine::clock::now().instant - start;
        assert!(
            elapsed < Duration::from_secs(30),
            "a parcel lay for {elapsed:?}"
        );
    }
}
