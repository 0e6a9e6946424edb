//! How long a cache query takes while points come in: one connection, one question after another,
//! spread over all metrics, with a pause between them so that the answering is not the load.
//! A question that had to wait long has kept others from being asked. Told apart: the questions as
//! they were asked, and with those others, as if they had been asked at their time and had waited
//! for the rest of it.
//! Of those that took more than a millisecond it is told who waited for a processor meanwhile: on a
//! machine that is flat out, all of its threads do now and then.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use benzene_engine::clock;
use hdrhistogram::Histogram;

use crate::asker::Asker;
use crate::daemon::pause;
use crate::runqueue::Runqueue;
use crate::workload::Workload;

/// Longest wait that is told from a longer one.
const LONGEST_NANOS: u64 = 600_000_000_000;
/// Step from one metric to the next: a prime, so that all metrics have their turn.
const STRIDE: u64 = 7919;
/// A question that took longer is slow.
const SLOW_NANOS: u64 = 1_000_000;

/// Nanoseconds of each question.
#[derive(Debug)]
pub(crate) struct Seen {
    /// As they were asked.
    pub(crate) asked: Histogram<u64>,
    /// With those that were due while one waited.
    pub(crate) due: Histogram<u64>,
    /// None where the kernel does not tell how long a thread waits for a processor.
    pub(crate) slow: Option<Slow>,
}

/// Slow questions, and during how many of them a thread was without a processor for half of the time or
/// more. During the others a hypervisor may have had the processor, or the daemon so much to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slow {
    pub(crate) all: u64,
    /// The thread that asked.
    pub(crate) asker: u64,
    /// Not that one, but one of the daemon's cores.
    pub(crate) core: u64,
}

/// Asks until `stop`. `cores` are the daemon's threads that answer, where they are known.
pub(crate) fn measure(
    address: SocketAddr,
    workload: &Workload,
    between: Duration,
    stop: &AtomicBool,
    cores: &[Runqueue],
) -> Result<Seen> {
    let needed = Runqueue::own().map(|asker| Needed { asker, cores });
    let empty = Histogram::new_with_bounds(1, LONGEST_NANOS, 3)?;
    let mut seen = Seen {
        asked: empty.clone(),
        due: empty,
        slow: needed.is_some().then(Slow::default),
    };
    let mut asker = Asker::connect(address)?;
    let between_nanos = nanos(between);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let index = u32::try_from(number * STRIDE % u64::from(workload.metrics()))?;
        let name = workload.name(index);
        let before = needed.as_ref().and_then(Needed::waits);
        let start = clock::now().instant;
        asker.points(&name)?;
        let waited = nanos(clock::now().instant.duration_since(start)).clamp(1, LONGEST_NANOS);
        seen.asked.record(waited)?;
        seen.due.record_correct(waited, between_nanos)?;
        if waited > SLOW_NANOS
            && let (Some(slow), Some(before)) = (&mut seen.slow, before)
            && let Some(after) = needed.as_ref().and_then(Needed::waits)
        {
            slow.note(waited, &before, &after);
        }
        number += 1;
        pause(between);
    }
    Ok(seen)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The threads that an answer needs.
#[derive(Debug)]
struct Needed<'a> {
    asker: Runqueue,
    cores: &'a [Runqueue],
}

impl Needed<'_> {
    fn waits(&self) -> Option<Waits> {
        let cores = self.cores.iter().map(Runqueue::nanos);
        Some(Waits {
            asker: self.asker.nanos()?,
            cores: cores.collect::<Option<_>>()?,
        })
    }
}

/// How long each of them has been without a processor so far, in nanoseconds.
#[derive(Debug)]
struct Waits {
    asker: u64,
    cores: Vec<u64>,
}

impl Slow {
    fn note(&mut self, took: u64, before: &Waits, after: &Waits) {
        let is_half = |before: u64, after: u64| after.saturating_sub(before) * 2 >= took;
        let mut cores = before.cores.iter().zip(&after.cores);
        self.all += 1;
        if is_half(before.asker, after.asker) {
            self.asker += 1;
        } else if cores.any(|(before, after)| is_half(*before, *after)) {
            self.core += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_question_is_laid_to_who_had_no_processor() {
        let waits = |asker, cores: [u64; 2]| Waits {
            asker,
            cores: cores.to_vec(),
        };
        let (mut slow, before) = (Slow::default(), waits(5, [7, 9]));
        for after in [
            waits(1_000_005, [1_000_007, 9]),
            waits(5, [7, 1_000_009]),
            waits(900_000, [900_000, 9]),
        ] {
            slow.note(2_000_000, &before, &after);
        }
        let (all, asker, core) = (3, 1, 1);
        assert_eq!(slow, Slow { all, asker, core });
    }
}
