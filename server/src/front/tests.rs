//! What becomes of a datagram's points where there is no place for them at once.

use std::path::PathBuf;
use std::sync::Arc;

use benzene_engine::cache::{CacheConfig, Strategy};
use benzene_engine::clock;
use benzene_engine::limiter::{Budget, Room};
use benzene_engine::limits::UPDATES_IN_FLIGHT_MAX;
use benzene_engine::metric::{ShardIndex, TaggedLeaf};
use benzene_engine::ring::{Access, Allocation};
use benzene_engine::schemas::{Aggregations, Schemas};
use benzene_engine::shard::{Message, Shard, ShardConfig, Trail};
use benzene_engine::stats::Counter;
use benzene_engine::writer::{Budgets, Tells, WriterConfig};

use super::Intake;

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
            strategy: Strategy::Sorted,
            timestamp_lag_s: 0,
            max_point_age_s: 60,
            in_disk_order: false,
            began: now.instant,
            recent_bytes_max: 1 << 20,
            waiting_bytes_max: 1 << 20,
            waiting_points_max: points_max,
        },
        writer: WriterConfig {
            data_dir: PathBuf::from("/data"),
            leaf: TaggedLeaf::Hashed,
            access: Access::default(),
            allocation: Allocation::Sparse,
            sync: false,
            sync_creates: false,
            updates_in_flight_max: UPDATES_IN_FLIGHT_MAX,
            schemas: Arc::new(schemas.0),
            aggregations: Arc::new(Aggregations::builtin()),
            announce: None,
            tells: Tells::default(),
        },
        budgets: Budgets {
            updates: budget(),
            creates: budget(),
        },
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
    let lines: Vec<String> = (1..=POINTS).map(|at| format!("{name} 1 {at}")).collect();
    let (datagram, mut trail) = (lines.join("\n").into_bytes(), Trail::default());
    let (mut at, mut waits, mut passed_on) = (0, 0, 0);
    loop {
        at += intake.datagram(&mut trail, &datagram[at..], shard);
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
