//! The daemon's own writer by itself: a shard over a ring, fed with points as fast as it writes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use benzene_engine::clock::{self, Now};
use benzene_engine::device::Profile;
use benzene_engine::point::Point;
use benzene_engine::ring::{Allocation, Driver, Event, Ring};
use benzene_engine::shard::{Accept, Shard, ShardConfig, Trail};
use benzene_engine::stats::Counter;

use super::scratch::Scratch;
use super::{TuneError, Work};
use crate::desk::core_ring;

/// Metrics whose points wait in the cache at once: twice what may be in flight, so that the end is near
/// when the time is over.
const QUEUES_MAX: u64 = 256;
/// Longest wait for a completion before the shard is asked again.
const TURN_MAX: Duration = Duration::from_millis(100);
/// The time of the first points: some multiple of every usual step.
const FIRST_S: u32 = 1_700_006_400;

/// The writer.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    scratch: &'a Scratch,
    stop: &'a AtomicBool,
    ring: Ring,
    shard: Shard,
    trail: Trail,
    /// Up to where all files have points.
    now_s: u32,
}

impl<'a> Worker<'a> {
    /// A writer of files in this directory, on a disk that is treated so.
    pub(super) fn new(
        scratch: &'a Scratch,
        profile: &Profile,
        stop: &'a AtomicBool,
    ) -> Result<Box<Worker<'a>>, TuneError> {
        let now = Now {
            instant: clock::now().instant,
            unix_seconds: FIRST_S,
        };
        let ring = [Driver::Uring, Driver::PollSync]
            .map(|driver| Ring::new(core_ring(driver, profile.kernel_workers)))
            .into_iter()
            .reduce(Result::or);
        let Some(Ok(mut ring)) = ring else {
            return Err(TuneError::Writer(
                "neither io_uring nor threads are to be had".to_owned(),
            ));
        };
        ring.spare_heads(profile.has_heads);
        let mut config = ShardConfig::alone(
            scratch.path(),
            Arc::clone(&scratch.schemas),
            Arc::clone(&scratch.aggregations),
            now,
        );
        config.writer.updates_in_flight_max = profile.updates_in_flight;
        // Blocks that were only allocated are not read from the disk, and files in use have others.
        config.writer.allocation = Allocation::Zeros;
        Ok(Box::new(Worker {
            scratch,
            stop,
            ring,
            shard: Shard::new(config, now),
            trail: Trail::default(),
            now_s: FIRST_S,
        }))
    }

    /// From now on the disk is treated so.
    pub(super) fn treat(&mut self, profile: &Profile) -> Result<(), TuneError> {
        self.ring.spare_heads(profile.has_heads);
        let capped = self.ring.cap_kernel_workers(profile.kernel_workers);
        capped.map_err(|error| TuneError::Writer(error.to_string()))
    }

    /// Writes the next so many points of each of these metrics, as many as can be begun in a time, and
    /// syncs them.
    pub(super) fn write(
        &mut self,
        metrics: &[u32],
        points: u32,
        time: Duration,
    ) -> Result<Work, TuneError> {
        let scratch = self.scratch;
        let begun = clock::now().instant;
        let (mut next, first_s) = (0, self.now_s + scratch.step_s());
        self.now_s += points * scratch.step_s();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(TuneError::Interrupted);
            }
            let now = clock::now().instant;
            self.shard.begin_turn(Now {
                instant: now,
                unix_seconds: self.now_s,
            });
            self.take_answers();
            let report = self.shard.report();
            if report.stats.get(Counter::Errors) > 0 {
                let problem = format!(
                    "a file below {} cannot be written",
                    scratch.path().display()
                );
                return Err(TuneError::Writer(problem));
            }
            let mut room = QUEUES_MAX.saturating_sub(report.usage.queues);
            while room > 0
                && now < begun + time
                && let Some(metric) = metrics.get(next)
            {
                self.offer(&scratch.metric(*metric), first_s, points, scratch.step_s());
                next += 1;
                room -= 1;
            }
            self.shard.end_turn();
            while let Some((token, operation)) = self.shard.next_operation() {
                self.ring.file(token, operation);
            }
            let is_fed = next == metrics.len() || now >= begun + time;
            if is_fed && self.shard.is_drained() {
                break;
            }
            let due = self.shard.next_deadline();
            let wait = due.map_or(TURN_MAX, |due| due.saturating_duration_since(now));
            self.ring.turn(Some(wait.min(TURN_MAX)));
        }
        scratch.sync()?;
        Ok(Work {
            files: u32::try_from(next).unwrap_or(u32::MAX),
            took: clock::now().instant.saturating_duration_since(begun),
        })
    }

    fn take_answers(&mut self) {
        while let Some(event) = self.ring.next_event() {
            if let Event::File { token, result } = event {
                self.shard.complete(token, result);
            }
        }
    }

    fn offer(&mut self, metric: &str, first_s: u32, points: u32, step_s: u32) {
        for index in 0..points {
            let point = Point {
                timestamp: first_s + index * step_s,
                value: f64::from(first_s % 1000 + index),
            };
            let accept = self.shard.accept(&mut self.trail, metric, point);
            assert!(accept == Accept::Taken, "{accept:?} of {metric}");
        }
    }
}
