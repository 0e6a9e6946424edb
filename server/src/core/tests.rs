//! What the loop takes of what receivers brought, and what it leaves in the receive buffers.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use benzene_engine::clock::{self, Now};
use benzene_engine::limiter::Room;
use benzene_engine::limits::HELD_TOGETHER_BYTES_MAX;
use benzene_engine::metric::ShardIndex;
use benzene_engine::ring::{Driver, Ring, RingConfig};
use benzene_engine::schemas::{Aggregations, Schemas};
use benzene_engine::shard::{Shard, ShardConfig};
use benzene_engine::stats::Counter;

use super::{Core, INBOX_RETRY, Most, Peers, Phase};
use crate::config::Service;
use crate::front::{Entrance, Front, FrontConfig};

const LINE: Entrance = Entrance {
    service: Service::Line,
    instance: 0,
};
/// The points that the cache has room for.
const POINTS: u32 = 100_000;

/// A core by itself, with the peers and the cache's room that it is given.
pub(super) fn core_alone(peers: Arc<Peers>, room: Arc<Room>, now: Now) -> Core {
    let ring = Ring::new(RingConfig {
        driver: Driver::PollSync,
        file_threads: 1,
        ..RingConfig::default()
    });
    let schemas = Schemas::parse("[all]\npattern = .*\nretentions = 1s:1h\n").unwrap();
    let aggregations = Arc::new(Aggregations::parse("").unwrap().0);
    let shard = ShardConfig {
        room,
        ..ShardConfig::alone(Path::new("/"), Arc::new(schemas.0), aggregations, now)
    };
    let front = Front::new(FrontConfig::quiet(now), now);
    let shard = Shard::new(shard, now);
    Core::new(ShardIndex(0), ring.unwrap(), shard, front, peers)
}

/// A core whose cache has room for `POINTS`, and that room.
fn core() -> (Core, Arc<Room>) {
    let room = Arc::new(Room::new(Some(u64::from(POINTS)), 1 << 30));
    let peers = Arc::new(Peers::new(1, Most::default()));
    (core_alone(peers, Arc::clone(&room), clock::now()), room)
}

#[test]
fn nothing_further_is_taken_while_what_waits_is_over_its_bound() {
    let (mut core, room) = core();
    let now = clock::now();
    let time = now.unix_seconds;
    assert_eq!(room.take(POINTS), POINTS);
    // A connection that finds no room for its first line. What is behind it is no line.
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let waits = core.ring.adopt(ours.into());
    core.front.open(waits, LINE);
    let mut bytes = format!("waits 1 {time}\n").into_bytes();
    bytes.resize(HELD_TOGETHER_BYTES_MAX + 1, b'x');
    bytes.push(b'\n');
    core.front.received(waits, &bytes, &mut core.shard);
    core.obey_front();
    // Another that sends one line.
    let (mut late, ours) = UnixStream::pair().unwrap();
    core.serve(LINE, ours.into());
    late.write_all(format!("late 1 {time}\n").as_bytes())
        .unwrap();
    while core.bulk.is_empty() {
        core.ring.turn(Some(Duration::from_millis(1)));
        while let Some(event) = core.ring.next_event() {
            core.dispatch(event, now);
        }
    }
    // It stays in its receive buffer, and the loop neither spins nor sleeps over it.
    core.work_bulk();
    assert!(!core.bulk.is_empty(), "the receive buffer was emptied");
    let wait = core.wait();
    let is_short = |wait: Duration| !wait.is_zero() && wait < Duration::from_millis(100);
    assert!(wait.is_some_and(is_short), "{wait:?}");
    assert_eq!(core.shard.counted(Counter::Received), 0);
    // Nor over who is to be read for the last time.
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let last = core.ring.adopt(ours.into());
    core.front.open(last, LINE);
    core.front.stop_one(last, false);
    core.obey_front();
    let wait = core.wait();
    assert!(wait.is_some_and(is_short), "{wait:?}");
    // What waits finds room, and nothing has to be received for that.
    room.give(u64::from(POINTS));
    for _ in 0..100 {
        core.front.resume(usize::MAX, &mut core.shard);
    }
    assert_eq!(core.shard.counted(Counter::Received), 1);
    for _ in 0..100 {
        core.work_bulk();
    }
    assert!(core.bulk.is_empty(), "the receive buffer is still there");
    assert_eq!(core.shard.counted(Counter::Received), 2);
}

#[test]
fn no_core_sleeps_over_the_moment_from_which_all_are_quiet() {
    let room = Arc::new(Room::new(None, 1 << 30));
    let peers = Arc::new(Peers::new(2, Most::default()));
    let mut core = core_alone(Arc::clone(&peers), room, clock::now());
    core.phase = Phase::Quiet;
    core.peers.quiet();
    core.advance();
    // The other one, between this one's look and its sleep.
    peers.quiet();
    assert!(core.wait().is_some_and(|wait| wait <= INBOX_RETRY));
    core.advance();
    assert_eq!(core.wait(), Some(Duration::ZERO), "its end is to be made");
}
