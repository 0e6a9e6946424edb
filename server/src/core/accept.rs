//! Accepting: the listeners of the core that has them, and how connections are dealt to all cores.
//! Where the number of those who send, or of those who ask, is bounded (`places`), their listeners wait for
//! one connection at a time, take with it those that have come meanwhile, and rest while all cores
//! together serve as many as are allowed: whoever comes then waits in the kernel's queue, with what it
//! has sent, and is refused nothing. What a listener had accepted when the last place went waits here, at
//! most one of each. Whoever rests for a place goes on as soon as a core gives one back. An accept that fails rests,
//! too; ten times a second all are looked at anew. What keeps them is said once a minute.
//! Invariant: while a connection waits here, the listener that accepted it rests, however many
//! connections other cores close meanwhile: so it is looked at again.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use benzene_engine::clock::Now;
use benzene_engine::limits::ACCEPTS_PER_TURN_MAX;
use benzene_engine::quiet::Quiet;
use benzene_engine::ring::SocketId;
use benzene_engine::stats::Counter;

use super::{Core, Parcel, Phase};
use crate::config::Service;
use crate::front::{Entrance, Guest};

/// How long accepting rests after it failed, for want of descriptors most likely, or where there are
/// as many connections of a kind as may be.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What a core accepts from, and what keeps it.
#[derive(Debug, Default)]
pub(super) struct Accepting {
    listeners: Vec<(SocketId, Entrance)>,
    /// Listeners that rest, and until when.
    again: Vec<Rest>,
    /// Connections that were accepted and for which there was no place.
    waiting: Vec<(Entrance, OwnedFd)>,
    failed: Quiet,
    no_senders_more: Quiet,
    no_askers_more: Quiet,
}

/// A listener that rests.
#[derive(Clone, Copy, Debug)]
struct Rest {
    listener: SocketId,
    until: Instant,
    /// There was no place for such a guest: as soon as there is one it goes on.
    lacks: Option<Guest>,
}

impl Accepting {
    /// When a listener goes on.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.again.iter().map(|rest| rest.until).min()
    }

    fn entrance_of(&self, listener: SocketId) -> Option<Entrance> {
        let found = self.listeners.iter().find(|(id, _)| *id == listener)?;
        Some(found.1)
    }

    fn rest(&mut self, listener: SocketId, lacks: Option<Guest>, now: Now) {
        self.again.push(Rest {
            listener,
            until: now.instant + ACCEPT_RETRY,
            lacks,
        });
    }
}

impl Core {
    /// Accepts connections from a listening socket and deals them to the cores.
    pub(crate) fn listen(&mut self, entrance: Entrance, listener: OwnedFd) {
        let listener = self.ring.adopt(listener);
        self.accepting.listeners.push((listener, entrance));
        self.arm(listener, entrance.service);
    }

    fn arm(&mut self, listener: SocketId, service: Service) {
        if self.bounds(service).is_some() {
            self.ring.accept_one(listener);
        } else {
            self.ring.accept(listener);
        }
    }

    pub(super) fn accepted(&mut self, listener: SocketId, socket: OwnedFd, now: Now) {
        let Some(entrance) = self.accepting.entrance_of(listener) else {
            return;
        };
        self.shard.count(Counter::Connections, 1);
        let Some(guest) = self.bounds(entrance.service) else {
            return self.place(entrance, socket);
        };
        self.accepting.waiting.push((entrance, socket));
        self.place_waiting();
        // Others that wait already, without a turn of the ring for each.
        for _ in 1..ACCEPTS_PER_TURN_MAX {
            if !self.has_place(guest) || !self.take_waiting(listener, entrance) {
                break;
            }
        }
        if self.has_place(guest) {
            return self.arm(listener, entrance.service);
        }
        self.rest_full(listener, guest, now);
        self.shard.count(Counter::AcceptPauses, 1);
        self.say_full(guest, now);
    }

    fn rest_full(&mut self, listener: SocketId, guest: Guest, now: Now) {
        self.accepting.rest(listener, Some(guest), now);
        self.peers.places.wait();
    }

    fn say_full(&mut self, guest: Guest, now: Now) {
        let (quiet, who) = match guest {
            Guest::Sender => (&mut self.accepting.no_senders_more, "senders"),
            Guest::Asker => (&mut self.accepting.no_askers_more, "cache queries"),
        };
        if let Some(unsaid) = quiet.due(now.instant) {
            let places = &self.peers.places;
            let option = if guest == Guest::Sender && places.most().is_set {
                "MAX_RECEIVER_CONNECTIONS in carbon.conf"
            } else {
                "the hard limit on open files (ulimit -Hn, LimitNOFILE= under systemd)"
            };
            let most = places.most_of(guest).unwrap_or(usize::MAX);
            tracing::warn!(
                "as many connections of {who} as there may be ({most}): further ones wait, with what \
                 they send, until others close; {unsaid} more times since the last message. Raise \
                 {option}, or see who connects (ss -tn)"
            );
        }
    }

    /// Who connects to this service, where there may be only so many of them.
    fn bounds(&self, service: Service) -> Option<Guest> {
        service
            .guest()
            .filter(|guest| self.peers.places.most_of(*guest).is_some())
    }

    /// Whether one more may be served, and none that is accepted waits for that.
    fn has_place(&self, guest: Guest) -> bool {
        let mut waiting = self.accepting.waiting.iter();
        waiting.all(|(entrance, _)| entrance.service.guest() != Some(guest))
            && self.peers.places.has_one(guest)
    }

    /// Places those that wait here, oldest first, as long as there are places for them.
    fn place_waiting(&mut self) {
        while let Some(first) = self.first_with_place() {
            let (entrance, socket) = self.accepting.waiting.remove(first);
            self.place(entrance, socket);
        }
    }

    fn first_with_place(&self) -> Option<usize> {
        let places = &self.peers.places;
        self.accepting.waiting.iter().position(|(entrance, _)| {
            let guest = entrance.service.guest();
            guest.is_none_or(|guest| places.has_one(guest))
        })
    }

    /// Accepts a connection that waits in the kernel's queue and places it; false where none waits.
    fn take_waiting(&mut self, listener: SocketId, entrance: Entrance) -> bool {
        let Some(socket) = self.ring.accept_now(listener) else {
            return false;
        };
        self.shard.count(Counter::Connections, 1);
        self.place(entrance, socket);
        true
    }

    /// Gives a connection to the core with the fewest.
    fn place(&mut self, entrance: Entrance, socket: OwnedFd) {
        if let Some(guest) = entrance.service.guest() {
            self.peers.places.take(guest);
        }
        if self.phase != Phase::Running {
            self.peers.opened(self.index);
            return self.serve(entrance, socket);
        }
        let target = self.peers.deal();
        tracing::debug!("{entrance:?}: connection accepted, for core {}", target.0);
        if target == self.index {
            return self.serve(entrance, socket);
        }
        match self
            .peers
            .push(target, Parcel::Connection(entrance, socket))
        {
            Ok(()) => self.wake(target),
            Err(Parcel::Connection(entrance, socket)) => {
                // Its inbox is full: better a busier core here than a connection that waits.
                self.peers.closed(target);
                self.peers.opened(self.index);
                self.serve(entrance, socket);
            }
            Err(parcel) => unreachable!("pushed a connection, got back {parcel:?}"),
        }
    }

    pub(super) fn accept_failed(&mut self, listener: SocketId, errno: i32, now: Now) {
        self.accepting.rest(listener, None, now);
        let Some(unsaid) = self.accepting.failed.due(now.instant) else {
            return;
        };
        let error = std::io::Error::from_raw_os_error(errno);
        tracing::warn!(
            "cannot accept connections: {error}; they wait and are tried again (the limit on open \
             files is ulimit -n, LimitNOFILE= under systemd; {unsaid} more since the last message)"
        );
    }

    /// Is there a place for who connects to a listener that rests for want of one?
    pub(super) fn may_accept(&self) -> bool {
        let mut lacking = self.accepting.again.iter().filter_map(|rest| rest.lacks);
        lacking.any(|guest| self.peers.places.has_one(guest))
    }

    /// Goes on with what has rested for long enough, or has a place now, those that wait here first.
    pub(super) fn accept_again(&mut self, now: Now) {
        if self.accepting.again.is_empty() {
            return;
        }
        self.place_waiting();
        let rests = std::mem::take(&mut self.accepting.again);
        for rest in rests {
            let listener = rest.listener;
            let is_due = rest.until <= now.instant;
            let Some(Entrance { service, .. }) = self.accepting.entrance_of(listener) else {
                unreachable!("{listener:?} rests, and is no listener")
            };
            match self.bounds(service).filter(|guest| !self.has_place(*guest)) {
                Some(guest) if is_due => self.rest_full(listener, guest, now),
                None if is_due || rest.lacks.is_some() => self.arm(listener, service),
                _ => self.accepting.again.push(rest),
            }
        }
    }

    /// At a stop: takes what waits, whatever the limit, and closes the receivers' listeners.
    pub(super) fn accept_the_last(&mut self) {
        for (entrance, socket) in std::mem::take(&mut self.accepting.waiting) {
            self.place(entrance, socket);
        }
        let receivers: Vec<_> = self
            .accepting
            .listeners
            .extract_if(.., |(_, entrance)| entrance.service != Service::Query)
            .collect();
        for (listener, entrance) in receivers {
            while self.take_waiting(listener, entrance) {}
            self.ring.close(listener);
            // One that rests has nothing to wait for any more.
            self.accepting
                .again
                .retain(|rest| rest.listener != listener);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use benzene_engine::clock;
    use benzene_engine::limiter::Room;
    use benzene_engine::ring::socket;

    use super::super::tests::core_alone;
    use super::super::{Most, Peers};
    use super::*;

    const LINE: Entrance = Entrance {
        service: Service::Line,
        instance: 0,
    };

    /// As many as a listener keeps.
    const BACKLOG: u16 = 1024;

    /// A core that accepts senders of lines, as many as the peers allow, and where.
    fn core(peers: Arc<Peers>, now: Now) -> (Core, SocketAddr) {
        let mut core = core_alone(peers, Arc::new(Room::new(None, 1 << 30)), now);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = socket::listen_tcp(address, BACKLOG.into()).unwrap();
        let address = socket::local_addr(&listener).unwrap();
        core.listen(LINE, listener);
        (core, address)
    }

    fn peers_of_one_sender() -> Arc<Peers> {
        let most = Most {
            senders: Some(1),
            ..Most::default()
        };
        Arc::new(Peers::new(1, most))
    }

    /// The kernel has many that wait, and each makes room for the next: none waits for a rest to be over.
    #[test]
    fn a_place_that_is_given_back_is_taken_at_once() {
        const SENDERS: u64 = 50;
        let peers = peers_of_one_sender();
        let now = clock::now();
        let (mut core, address) = core(Arc::clone(&peers), now);
        for _ in 0..SENDERS {
            // What it leaves open is closed with it: the daemon sees its end.
            drop(TcpStream::connect(address).unwrap());
        }
        while core.shard.counted(Counter::Connections) < SENDERS
            || !peers.places.has_one(Guest::Sender)
        {
            core.ring.turn(Some(Duration::from_millis(1)));
            while let Some(event) = core.ring.next_event() {
                core.dispatch(event, now);
            }
            // No time passes.
            core.accept_again(now);
            core.work_bulk();
            core.obey_front();
            let accepted = core.shard.counted(Counter::Connections);
            assert!(
                now.instant.elapsed() < Duration::from_secs(60),
                "{accepted} accepted"
            );
        }
        assert!(core.shard.counted(Counter::AcceptPauses) > 0);
    }

    /// Other cores open and close senders all the while: also between two looks at one accept.
    #[test]
    fn whoever_waits_for_a_place_has_a_listener_that_is_looked_at_again() {
        const ROUNDS: usize = 1_000;
        // On a busy machine the thread that takes the places may not come in between for long.
        const GIVE_UP: Duration = Duration::from_secs(60);
        let peers = peers_of_one_sender();
        let now = clock::now();
        let (mut core, address) = core(Arc::clone(&peers), now);
        let is_over = AtomicBool::new(false);
        let (mut rounds, mut connected, mut paused, mut later) = (0, 0, 0, now);
        let has_failed = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    peers.places.take(Guest::Sender);
                    peers.places.give_back(Guest::Sender);
                }
            });
            let has_failed = loop {
                if rounds >= ROUNDS && (paused > 0 || now.instant.elapsed() > GIVE_UP) {
                    break false;
                }
                rounds += 1;
                // Those that found no place yet stand in the kernel's queue, where one more than it
                // keeps would wait for good.
                if connected < core.shard.counted(Counter::Connections) + u64::from(BACKLOG) / 2 {
                    connected += u64::from(TcpStream::connect(address).is_ok());
                }
                core.ring.turn(Some(Duration::from_millis(1)));
                while let Some(event) = core.ring.next_event() {
                    core.dispatch(event, now);
                }
                let accepting = &core.accepting;
                let (waits, rests) = (accepting.waiting.len(), accepting.again.len());
                if waits > 0 && rests == 0 {
                    break true;
                }
                paused += waits;
                later.instant += ACCEPT_RETRY;
                core.accept_again(later);
                core.work_bulk();
                core.obey_front();
            };
            is_over.store(true, Ordering::Relaxed);
            has_failed
        });
        assert!(!has_failed, "a connection waits, and no listener rests");
        assert!(paused > 0, "there was a place for each: nothing was tried");
    }
}
