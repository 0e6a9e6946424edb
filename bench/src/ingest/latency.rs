//! How long a cache query takes while points come in: one connection, one question after another,
//! spread over all metrics, with a pause between them so that the answering is not the load.
//! A question that had to wait long has kept others from being asked. Told apart: the questions as
//! they were asked, and with those others, as if they had been asked at their time and had waited
//! for the rest of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use benzene_engine::clock;
use hdrhistogram::Histogram;

use crate::asker::Asker;
use crate::daemon::pause;
use crate::workload::Workload;

/// Longest wait that is told from a longer one.
const LONGEST_NANOS: u64 = 600_000_000_000;
/// Step from one metric to the next: a prime, so that all metrics have their turn.
const STRIDE: u64 = 7919;

/// Nanoseconds of each question.
#[derive(Debug)]
pub(crate) struct Seen {
    /// As they were asked.
    pub(crate) asked: Histogram<u64>,
    /// With those that were due while one waited.
    pub(crate) due: Histogram<u64>,
}

/// Asks until `stop`.
pub(crate) fn measure(
    address: SocketAddr,
    workload: &Workload,
    between: Duration,
    stop: &AtomicBool,
) -> Result<Seen> {
    let empty = Histogram::new_with_bounds(1, LONGEST_NANOS, 3)?;
    let mut seen = Seen {
        asked: empty.clone(),
        due: empty,
    };
    let mut asker = Asker::connect(address)?;
    let between_nanos = nanos(between);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let index = u32::try_from(number * STRIDE % u64::from(workload.metrics()))?;
        let name = workload.name(index);
        let start = clock::now().instant;
        asker.points(&name)?;
        let waited = nanos(clock::now().instant.duration_since(start)).clamp(1, LONGEST_NANOS);
        seen.asked.record(waited)?;
        seen.due.record_correct(waited, between_nanos)?;
        number += 1;
        pause(between);
    }
    Ok(seen)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
