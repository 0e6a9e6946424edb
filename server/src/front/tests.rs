//! What becomes of a datagram's points where there is no place for them at once; and what compressed
//! streams may hold and cost.

use std::sync::Arc;

use benzene_engine::cache::{CacheConfig, Strategy};
use benzene_engine::clock;
use benzene_engine::limiter::{Budget, Room};
use benzene_engine::limits::{
    GZIP_STREAM_BYTES, TURN_BYTES_MAX, TURN_SLICE_BYTES, UNFINISHED_BYTES_MAX,
};
use benzene_engine::metric::ShardIndex;
use benzene_engine::ring::{Driver, Ring, RingConfig, SocketId};
use benzene_engine::schemas::Schemas;
use benzene_engine::shard::{Message, Shard, ShardConfig, Trail};
use benzene_engine::stats::Counter;
use benzene_engine::writer::{Budgets, Further, WriterConfig};

use miniz_oxide::deflate::compress_to_vec;

use super::{Command, Entrance, Front, FrontConfig, Intake, Refused};
use crate::config::Service;

const POINTS: usize = 20_000;

/// The first of two shards, which has room for so many points.
fn shard(points_max: u64) -> Shard {
    let now = clock::now();
    let budget = || Arc::new(Budget::new(None, 0.1, now.instant));
    let schemas = Schemas::parse("[all]\npattern = .*\nretentions = 1s:1h\n").unwrap();
    let config = ShardConfig {
        index: ShardIndex(0),
        shards: 2,
        seed: 7,
        cache: CacheConfig {
            seed: 7,
            max_point_age_s: 60,
            waiting_points_max: points_max,
            ..CacheConfig::new(Strategy::Sorted, now.instant)
        },
        writer: WriterConfig {
            schemas: Arc::new(schemas.0),
            ..WriterConfig::new("/data")
        },
        budgets: Budgets {
            updates: budget(),
            creates: budget(),
        },
        further: Further::default(),
        room: Arc::new(Room::new(Some(points_max), 1 << 30)),
        journal: None,
        recall: None,
    };
    Shard::new(config, now)
}

/// Hands a datagram of this metric to the shard, and whenever it takes no more of it, takes away
/// what is on its way. Says how often that was, how many points were taken away, and how many lost.
fn hand_over(name: &str, shard: &mut Shard) -> (u32, usize, u64) {
    let mut intake = Intake::new(1, true, clock::now());
    let mut refused = Refused::default();
    let lines: Vec<String> = (1..=POINTS).map(|at| format!("{name} 1 {at}")).collect();
    let (datagram, mut trail) = (lines.join("\n").into_bytes(), Trail::default());
    let (mut at, mut waits, mut passed_on) = (0, 0, 0);
    loop {
        at += intake.datagram(&mut trail, &datagram[at..], (shard, &mut refused));
        while let Some(message) = shard.next_message(ShardIndex(1)) {
            if let Message::Points(_, batch) = message {
                passed_on += batch.len();
            }
        }
        if at == datagram.len() {
            let dropped = shard.report().stats.get(Counter::DroppedCacheFull);
            return (waits, passed_on, dropped);
        }
        waits += 1;
    }
}

#[test]
fn a_datagram_waits_for_its_way_to_another_shard() {
    let mut owners = [0, 0];
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let (waits, passed_on, dropped) = hand_over(name, &mut shard(1 << 30));
        assert_eq!(dropped, 0);
        assert_eq!(passed_on, [0, POINTS][usize::from(waits > 0)]);
        owners[usize::from(waits > 0)] += 1;
    }
    assert!(owners.iter().all(|count| *count > 0), "{owners:?}");
}

#[test]
fn a_datagram_does_not_wait_for_a_full_cache() {
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let (waits, passed_on, dropped) = hand_over(name, &mut shard(10_000));
        assert!(passed_on == 0 || waits > 0);
        assert_eq!(dropped, POINTS as u64 - 10_000);
    }
}

/// A front that serves connections of lines, and the ring that numbers them.
fn front(ring: &mut Ring, connections: usize) -> (Front, Vec<SocketId>) {
    let now = clock::now();
    let config = FrontConfig {
        intake: Intake::new(1, true, now),
        pickle_frame_bytes_max: 1 << 20,
        client_idle: None,
        tells_answers: false,
        tells_refused: false,
        unfinished: Arc::default(),
        instances: 1,
    };
    let mut front = Front::new(config, now);
    let sockets = (0..connections).map(|_| {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let socket = ring.adopt(ours.into());
        let entrance = Entrance {
            service: Service::Line,
            instance: 0,
        };
        front.open(socket, entrance);
        socket
    });
    let sockets = sockets.collect();
    (front, sockets)
}

fn ring() -> Ring {
    Ring::new(RingConfig {
        driver: Driver::PollSync,
        file_threads: 1,
        ..RingConfig::default()
    })
    .unwrap()
}

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

#[test]
fn a_compressed_stream_costs_what_it_unpacks_to() {
    let (mut ring, mut shard) = (ring(), shard(1 << 30));
    let (mut front, sockets) = front(&mut ring, 2);
    let lines = b"\n".repeat(1 << 20);
    let bomb = [&HEADER[..], &compress_to_vec(&lines, 6)].concat();
    assert!(bomb.len() < TURN_SLICE_BYTES, "{} bytes", bomb.len());
    let mut turns = 0;
    for socket in sockets {
        let cost = front.received(socket, &bomb, &mut shard);
        assert!(
            (TURN_SLICE_BYTES..TURN_SLICE_BYTES * 2).contains(&cost),
            "{cost}"
        );
    }
    // Both wait for their turns, which are bounded for both together.
    loop {
        while front.next_command().is_some() {}
        if !front.has_work() {
            break;
        }
        front.resume(TURN_BYTES_MAX, &mut shard);
        turns += 1;
    }
    assert!(
        turns >= 2 * lines.len() / TURN_BYTES_MAX - 2,
        "{turns} turns"
    );
}

#[test]
fn streams_that_never_end_share_the_bound_on_what_is_unfinished() {
    let (mut ring, mut shard) = (ring(), shard(1 << 30));
    let room = UNFINISHED_BYTES_MAX / GZIP_STREAM_BYTES;
    // Descriptors are few: one socket stands for them all, as the front touches none.
    let (mut front, sockets) = front(&mut ring, 10);
    for (index, socket) in sockets.iter().enumerate() {
        let unfinished = i64::try_from((room - 5) * GZIP_STREAM_BYTES).unwrap();
        if index == 0 {
            front.config.unfinished.publish(unfinished);
        }
        front.received(*socket, &HEADER, &mut shard);
    }
    let commands: Vec<Command> = std::iter::from_fn(|| front.next_command()).collect();
    // Those who go on sending are told by a reset.
    let closed: Vec<SocketId> = commands
        .windows(2)
        .filter_map(|two| match two {
            [Command::Reset(reset), Command::Close(closed, _)] if reset == closed => Some(*reset),
            _ => None,
        })
        .collect();
    assert_eq!(closed.len(), 5, "{commands:?}");
    assert_eq!(shard.report().stats.get(Counter::ClosedUnfinished), 5);
}
