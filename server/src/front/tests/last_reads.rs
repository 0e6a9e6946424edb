//! What a stop reads of a connection: what was there, what its sender's kernel still holds, and not for
//! ever what is sent on.

use std::time::Duration;

use benzene_engine::limits::{
    LAST_LOOK_EVERY, LAST_LOOKS_MAX, LAST_LOOKS_TOGETHER_MAX, LAST_READ_SILENCE,
};
use benzene_engine::ring::{End, ReceiveNow, SocketId};
use benzene_engine::shard::Shard;

use super::{clock, front_of, ring, shard_of};
use crate::config::Service;
use crate::front::{Command, Front};

/// A front in a stop, with one connection, and the time of its turns.
struct Stopping {
    front: Front,
    socket: SocketId,
    shard: Shard,
    now: clock::Now,
}

impl Stopping {
    /// Something came, then nothing for so long, then the daemon was told to stop.
    fn after(service: Service, silence: Duration) -> Self {
        let (mut front, sockets) = front_of(&mut ring(), &[service]);
        let mut now = clock::now();
        let (mut shard, socket) = (shard_of(1, 1 << 30), sockets[0]);
        front.begin_turn(now);
        front.received(socket, b"a 1 1\n", &mut shard);
        now.instant += silence;
        front.begin_turn(now);
        front.stop(true);
        front.ended(socket, End::Stopped, &mut shard);
        while front.next_command().is_some() {}
        Self {
            front,
            socket,
            shard,
            now,
        }
    }

    /// Time goes by, and the connection is looked at where it is to be; false where it is not.
    fn look(&mut self, after: Duration, bytes: &[u8]) -> bool {
        self.now.instant += after;
        self.front.begin_turn(self.now);
        let Some((socket, _)) = self.front.next_last_read() else {
            return false;
        };
        assert_eq!(socket, self.socket);
        let outcome = if bytes.is_empty() {
            ReceiveNow::Empty
        } else {
            ReceiveNow::Bytes(bytes.len())
        };
        self.front
            .last_read(socket, bytes, &outcome, &mut self.shard);
        true
    }

    /// Closed by a reset, so that its sender is told.
    fn is_closed(&mut self) -> bool {
        let commands: Vec<Command> = std::iter::from_fn(|| self.front.next_command()).collect();
        let is_reset = matches!(commands[..], [Command::Reset(_), Command::Close(..)]);
        assert!(is_reset || commands.is_empty(), "{commands:?}");
        assert_eq!(self.front.is_silent(), is_reset);
        is_reset
    }
}

#[test]
fn what_comes_a_round_trip_later_is_read_too() {
    let mut stopping = Stopping::after(Service::Line, Duration::ZERO);
    assert!(stopping.look(Duration::ZERO, b""));
    let due = stopping.front.next_last_look();
    assert_eq!(due, Some(stopping.now.instant + LAST_LOOK_EVERY));
    assert!(!stopping.look(LAST_LOOK_EVERY / 2, b"b 1 1\n"), "too early");
    assert!(stopping.look(LAST_LOOK_EVERY / 2, b"b 1 1\n"));
    // At once, and no sooner than nothing has come for a while.
    assert!(stopping.look(Duration::ZERO, b"c 1 1\n"));
    let mut silence = Duration::ZERO;
    while silence < LAST_READ_SILENCE {
        assert!(!stopping.is_closed(), "after {silence:?}");
        assert!(stopping.look(LAST_LOOK_EVERY, b""));
        silence += LAST_LOOK_EVERY;
    }
    assert!(stopping.is_closed());
    assert_eq!(stopping.shard.accepted(), 3);
}

#[test]
fn who_sends_on_now_and_then_is_read_for_a_while() {
    let mut stopping = Stopping::after(Service::Line, Duration::ZERO);
    stopping.front.last.until = None;
    let mut looks = 0;
    while !stopping.is_closed() {
        assert!(looks < LAST_LOOKS_MAX, "still read");
        assert!(stopping.look(LAST_LOOK_EVERY, b""));
        looks += 1;
        if !stopping.front.is_silent() {
            assert!(stopping.look(LAST_LOOK_EVERY, b"b 1 1\n"));
        }
    }
    assert_eq!(looks, LAST_LOOKS_MAX);
    assert_eq!(stopping.shard.accepted(), u64::from(looks));
}

#[test]
fn who_sends_as_fast_as_the_network_takes_is_read_on() {
    let mut stopping = Stopping::after(Service::Line, Duration::ZERO);
    stopping.front.last.until = None;
    let lines = "b 1 1\n".repeat(5_000);
    for _ in 0..3 * LAST_LOOKS_MAX {
        assert!(stopping.look(LAST_LOOK_EVERY, lines.as_bytes()));
        assert!(stopping.look(Duration::ZERO, b""));
        assert!(!stopping.is_closed());
    }
}

#[test]
fn a_stop_that_is_to_be_quick_looks_at_none_for_longer() {
    let mut stopping = Stopping::after(Service::Line, Duration::ZERO);
    assert!(stopping.look(LAST_LOOKS_TOGETHER_MAX, b"b 1 1\n"));
    assert!(!stopping.is_closed());
    assert!(stopping.look(Duration::ZERO, b""));
    assert!(stopping.is_closed());
    assert_eq!(stopping.shard.accepted(), 2);
}

/// The journal's disk hangs, or another core's.
#[test]
fn time_in_which_nothing_can_be_read_does_not_count() {
    let mut stopping = Stopping::after(Service::Line, Duration::ZERO);
    stopping.now.instant += LAST_LOOKS_TOGETHER_MAX;
    stopping.front.begin_turn(stopping.now);
    stopping.front.put_off_last();
    assert!(stopping.look(LAST_LOOK_EVERY, b"b 1 1\n"));
    assert!(stopping.look(Duration::ZERO, b""));
    assert!(!stopping.is_closed());
    assert!(stopping.look(LAST_LOOK_EVERY, b"c 1 1\n"));
    assert_eq!(stopping.shard.accepted(), 3);
}

#[test]
fn who_is_closed_in_line_keeps_no_core_awake() {
    let mut stopping = Stopping::after(Service::Line, Duration::ZERO);
    assert!(stopping.look(Duration::ZERO, b"half"));
    assert!(stopping.look(Duration::ZERO, b""));
    stopping.front.close(stopping.socket);
    stopping.now.instant += 2 * LAST_LOOK_EVERY;
    stopping.front.begin_turn(stopping.now);
    assert!(stopping.front.is_silent());
    assert_eq!(stopping.front.next_last_look(), None);
}

#[test]
fn who_came_in_the_stop_is_read_once_a_round() {
    let mut ring = ring();
    let (mut front, sockets) = front_of(&mut ring, &[Service::Line]);
    front.stop_one(sockets[0], false);
    front.stop(true);
    assert!(front.next_last_read().is_some());
    assert!(front.next_last_read().is_none());
}

#[test]
fn one_that_was_silent_is_looked_at_once() {
    for (service, silence) in [
        (Service::Line, LAST_READ_SILENCE),
        (Service::Datagram, Duration::ZERO),
    ] {
        let mut stopping = Stopping::after(service, silence);
        assert!(stopping.look(Duration::ZERO, b""));
        let commands: Vec<Command> = std::iter::from_fn(|| stopping.front.next_command()).collect();
        assert!(matches!(commands.last(), Some(Command::Close(..))));
        assert!(stopping.front.is_silent());
    }
}
