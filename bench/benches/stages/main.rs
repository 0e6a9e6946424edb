//! What a point costs at each stage that is pure: parse its line or unpickle its item, check its
//! name, append it to the cache, plan the update that puts it into its file; and the way from
//! received bytes to the cache as one, through the shard and from shard to shard. One core, no
//! socket, no file, no kernel.
//! Inputs are as senders make them: a hundred thousand series in the same order every round, lines
//! of some fifty bytes, a file of three archives that is full. `random` orders are the other end.
//! Run with `cargo bench --package benzene-bench --bench stages`; a filter may follow: `-- append`.
//! Numbers hold for one machine; compare only runs of the same one.

mod append;
mod codec;
mod cores;
mod journal;
mod pickled;
mod plan;
mod receive;
mod replay;
mod sender;

use std::time::Duration;

use anyhow::Result;
use benzene_engine::cache::{CacheConfig, Strategy};
use benzene_engine::point::Point;
use criterion::Criterion;

/// As many series as one core of a busy site has.
const SERIES: u32 = 100_000;
/// Items of one frame: MAX_DATAPOINTS_PER_MESSAGE, what a relay sends at once.
const FRAME_ITEMS: usize = 500;
/// Samples of a bench whose single round takes a second or so.
const SAMPLES_OF_LONG_ROUNDS: usize = 10;
/// Rounds after which the cache is emptied: as many points as a throttled writer leaves there.
const ROUNDS_HELD: u32 = 10;
/// 2020-09-13 12:30:00, a multiple of each archive's step.
const NOW: u32 = 1_600_000_200;

fn main() -> Result<()> {
    // All benches together stay below four minutes.
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    codec::parse(&mut criterion)?;
    codec::unpickle(&mut criterion)?;
    codec::canonical(&mut criterion)?;
    append::append(&mut criterion)?;
    receive::receive(&mut criterion);
    receive::hand_over(&mut criterion)?;
    plan::plan_updates(&mut criterion)?;
    journal::entries(&mut criterion)?;
    journal::note(&mut criterion);
    replay::replay(&mut criterion);
    criterion.final_summary();
    Ok(())
}

fn name(index: u32) -> String {
    format!("site.host-{:05}.app.metric-{:02}", index / 100, index % 100)
}

/// A cache that takes whatever comes; the seed is also that of the hashes.
fn cache_config() -> CacheConfig {
    CacheConfig {
        max_point_age_s: 60,
        waiting_bytes_max: 1 << 40,
        ..CacheConfig::new(Strategy::Sorted, benzene_engine::clock::now().instant)
    }
}

/// A point of `whole_value`.
fn value_of(index: u32, timestamp: u32) -> Point {
    Point {
        timestamp,
        value: f64::from(whole_value(index, timestamp)),
    }
}

/// A whole number below a million that looks like any other.
fn whole_value(index: u32, timestamp: u32) -> u32 {
    let mixed = (u64::from(index) << 32 | u64::from(timestamp)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from((mixed >> 32) % 1_000_000).unwrap_or(0)
}
