//! One measured round of a write path: time, processor time, kernel workers, what reached the device,
//! and the sync behind it. The file system is synced before, and what is to be cold is made so.
//! What the round wrote is not looked at here (`verify`).

use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, ensure};
use benzene_engine::clock;
use benzene_engine::ring::direct;
use benzene_rivals::{Latencies, Round, WritePath};

use super::row::{Cache, Sample};
use super::workers::Watch;
use crate::cpu;
use crate::device::{Device, drop_caches};

/// Carries a round out.
pub(crate) fn measure(
    device: &Device,
    path: &mut dyn WritePath,
    round: &Arc<Round>,
    cache: Cache,
) -> Result<Sample> {
    path.prepare(round)?;
    let mut latencies = Latencies::new()?;
    device.flush()?;
    match cache {
        Cache::Warm => {}
        Cache::Forgotten => forget(round)?,
        Cache::Cold => drop_caches()?,
    }
    let before = device.counters();
    let watch = Watch::start()?;
    let (begun, spent) = (clock::now().instant, cpu::own());
    path.carry_out(round, &mut latencies)?;
    let (written, spent) = (clock::now().instant, cpu::own().saturating_sub(spent));
    let seen = watch.stop()?;
    let flush_begun = clock::now().instant;
    device.flush()?;
    let flush = clock::now().instant.saturating_duration_since(flush_begun);
    let device = match (device.counters(), before) {
        (Some(after), Some(before)) => Some(after - before),
        (_, None) | (None, _) => None,
    };
    let files = round.targets.len() as u64;
    ensure!(
        latencies.count() == files,
        "{} of {files} files were timed",
        latencies.count()
    );
    Ok(Sample {
        wall: written.saturating_duration_since(begun),
        cpu: spent.saturating_sub(seen.spent),
        flush,
        workers: seen.workers,
        device,
        latencies,
    })
}

/// The contents of the round's files leave the page cache; their inodes and names stay.
fn forget(round: &Round) -> Result<()> {
    for target in round.targets.iter().filter(|_| !round.creates) {
        direct::forget(&target.path)
            .with_context(|| format!("cannot forget {}", target.path.display()))?;
    }
    Ok(())
}

/// The kernel's workers, and the cap on them, belong to the thread that made a ring: a path that
/// followed ours on one thread would find our cap and our workers. On Linux 6.18 such a thread has
/// also been seen, once, without any worker for minutes after several rings.
pub(crate) fn on_its_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name(String::from("write-path"))
            .spawn_scoped(scope, work)
            .context("cannot start a thread")?;
        thread
            .join()
            .map_err(|_panic| anyhow::anyhow!("the thread of a write path ended"))
    })
}
