//! Our own write path as the daemon drives it: a whole engine shard over a driver of file
//! operations, turn by turn like `server/src/core`, with no limit on updates and creates.
//! The driver is the ring; whatever else carries out the engine's `FileOperation`s becomes another
//! configuration of the same pipeline by implementing `Driver`.
//! `depth` holds operations back here, before the driver: so many files are at work at once, and a
//! file's latency begins when it is let through. A failed operation ends the measurement.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use benzene_engine::clock::{self, Now};
use benzene_engine::limits::{RING_ENTRIES, UPDATES_IN_FLIGHT_MAX};
use benzene_engine::ring::{
    self, Event, FileError, FileOperation, FileOutcome, FileToken, Ring, RingConfig,
};
use benzene_engine::shard::{Accept, Shard, ShardConfig, Trail};
use benzene_engine::stats::Counter;
use benzene_rivals::{Latencies, Round, WritePath};
use hashbrown::HashMap;

use super::site::Layout;

/// Longest wait for a completion before the shard is asked again.
const TURN_MAX: Duration = Duration::from_millis(100);

/// What carries out the operations of a shard.
pub(crate) trait Driver: fmt::Debug {
    /// Takes an operation; it is answered once.
    fn begin(&mut self, token: FileToken, operation: FileOperation);
    /// Waits for at least one answer, at most so long.
    fn turn(&mut self, wait: Duration);
    /// The next answer that has come.
    fn next_answer(&mut self) -> Option<(FileToken, Result<FileOutcome, FileError>)>;
}

impl Driver for Ring {
    fn begin(&mut self, token: FileToken, operation: FileOperation) {
        self.file(token, operation);
    }

    fn turn(&mut self, wait: Duration) {
        Ring::turn(self, Some(wait));
    }

    fn next_answer(&mut self) -> Option<(FileToken, Result<FileOutcome, FileError>)> {
        while let Some(event) = self.next_event() {
            if let Event::File { token, result } = event {
                return Some((token, result));
            }
        }
        None
    }
}

/// Where the work on a file stands: when it began, and which file it is where it is a new one.
#[derive(Debug)]
struct Begun {
    at: Instant,
    path: Option<PathBuf>,
}

/// A shard and its driver.
#[derive(Debug)]
pub(crate) struct Pipeline<D> {
    driver: D,
    shard: Box<Shard>,
    depth: usize,
    /// Operations that begin work on a file, until they are let through.
    held: VecDeque<(FileToken, FileOperation)>,
    /// What the driver works on.
    begun: HashMap<FileToken, Begun>,
    /// New files, from the first look at them until their points are in.
    new_files: HashMap<PathBuf, Instant>,
}

impl Pipeline<Ring> {
    /// The pipeline of the daemon: files below `data_dir`, at most `depth` of them at work, with so
    /// many kernel workers, or by system calls of the ring's own threads.
    pub(crate) fn over_ring(
        layout: &Layout,
        data_dir: &Path,
        depth: u32,
        workers: Option<u32>,
    ) -> Result<Self> {
        let config = RingConfig {
            entries: RING_ENTRIES,
            visits_max: u32::try_from(UPDATES_IN_FLIGHT_MAX)?,
            ..RingConfig::default()
        };
        let ring = Ring::new(match workers {
            Some(kernel_workers_max) => RingConfig {
                kernel_workers_max,
                ..config
            },
            None => RingConfig {
                driver: ring::Driver::UringSync,
                ..config
            },
        })
        .context("no ring")?;
        Ok(Self::new(ring, layout, data_dir, depth as usize))
    }
}

impl<D: Driver> Pipeline<D> {
    /// A pipeline over any driver.
    pub(crate) fn new(driver: D, layout: &Layout, data_dir: &Path, depth: usize) -> Self {
        let now = clock::now();
        let (schemas, aggregations) = (&layout.schemas, &layout.aggregations);
        let config =
            ShardConfig::alone(data_dir, Arc::clone(schemas), Arc::clone(aggregations), now);
        Self {
            driver,
            shard: Box::new(Shard::new(config, now)),
            depth,
            held: VecDeque::new(),
            begun: HashMap::new(),
            new_files: HashMap::new(),
        }
    }

    /// Takes what has come in; the next step on the same file goes out at once.
    fn take_answers(&mut self, round: &Round, latencies: &mut Latencies) -> Result<()> {
        while let Some((token, result)) = self.driver.next_answer() {
            let begun = self.begun.remove(&token).context("an answer to nothing")?;
            let is_written = result == Ok(FileOutcome::Written);
            // A new file may have its points from the start.
            let updates = (result == Ok(FileOutcome::Created)).then(|| self.updates());
            if let Err(error) = result {
                return Err(error).context("a file operation failed");
            }
            self.shard.complete(token, result);
            let written = is_written || updates.is_some_and(|updates| self.updates() > updates);
            if let Some((token, operation)) = self.shard.next_operation() {
                self.begun.insert(token, begun);
                self.driver.begin(token, operation);
            } else if written {
                let first_look = begun.path.and_then(|path| self.new_files.remove(&path));
                let since = if round.creates { first_look } else { None };
                let now = clock::now().instant;
                latencies.record(now.saturating_duration_since(since.unwrap_or(begun.at)));
            }
        }
        Ok(())
    }

    fn updates(&self) -> u64 {
        self.shard.report().stats.get(Counter::Updates)
    }

    /// Hands on work on as many further files as may be at work.
    fn let_through(&mut self, round: &Round) {
        while let Some((token, operation)) = self.shard.next_operation() {
            // A new file that was begun is finished before the next is looked for.
            let path = path_of(&operation).filter(|_| round.creates);
            if path.is_some_and(|path| self.new_files.contains_key(&path)) {
                self.held.push_front((token, operation));
            } else {
                self.held.push_back((token, operation));
            }
        }
        while self.begun.len() < self.depth {
            let Some((token, operation)) = self.held.pop_front() else {
                return;
            };
            let at = clock::now().instant;
            let path = round.creates.then(|| path_of(&operation)).flatten();
            if let Some(path) = &path {
                self.new_files.entry(path.clone()).or_insert(at);
            }
            self.begun.insert(token, Begun { at, path });
            self.driver.begin(token, operation);
        }
    }
}

impl<D: Driver> WritePath for Pipeline<D> {
    fn prepare(&mut self, round: &Arc<Round>) -> Result<()> {
        let mut trail = Trail::default();
        // The order `naive` takes the latest first: what is fed last is begun first.
        for target in round.targets.iter().rev() {
            for point in round.points_of(target) {
                let accept = self.shard.accept(&mut trail, &target.metric, point);
                ensure!(accept == Accept::Taken, "{accept:?} of {}", target.metric);
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, round: &Arc<Round>, latencies: &mut Latencies) -> Result<()> {
        loop {
            self.shard.begin_turn(Now {
                instant: clock::now().instant,
                unix_seconds: round.now_s,
            });
            self.take_answers(round, latencies)?;
            self.shard.end_turn();
            self.let_through(round);
            if self.shard.is_drained() {
                return Ok(());
            }
            let now = clock::now().instant;
            let due = self.shard.next_deadline();
            let wait = due.map_or(TURN_MAX, |due| due.saturating_duration_since(now));
            // While operations are held back, only an answer makes room for them.
            let wait = if self.held.is_empty() { wait } else { TURN_MAX };
            self.driver.turn(wait.min(TURN_MAX));
        }
    }
}

/// The file that an operation begins work on.
fn path_of(operation: &FileOperation) -> Option<PathBuf> {
    match operation {
        FileOperation::Probe { path }
        | FileOperation::Locate { path }
        | FileOperation::Look { path }
        | FileOperation::SetAside { path, .. }
        | FileOperation::Adopt { path, .. }
        | FileOperation::Open { path, .. }
        | FileOperation::Reserve { path, .. }
        | FileOperation::Remove { path }
        | FileOperation::Create { path, .. } => Some(path.clone()),
        FileOperation::Read { .. }
        | FileOperation::Write { .. }
        | FileOperation::Append { .. }
        | FileOperation::Sync { .. }
        | FileOperation::Close { .. } => None,
    }
}
