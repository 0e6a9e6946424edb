//! What goes on beside a daemon while it is measured, each on a thread of its own until it is told to
//! stop: points that come in evenly, syncs that bring what was written to the disk, and somebody who
//! reads the same disk.
//! Files are visited in the order of the list, round by round; that is not the order in which they lie.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use benzene_engine::clock;
use benzene_engine::ring::direct::{self, DirectFile};
use benzene_rivals::{Latencies, Target};

use crate::daemon::pause;
use crate::device::Device;
use crate::load::encode::{Encoder, Sample};
use crate::workload::mix;

/// How often points are sent.
const TICK: Duration = Duration::from_millis(10);
/// From the end of one read to the next, as `benzene tune` has it.
const READ_PAUSE: Duration = Duration::from_millis(10);
/// Longest wait of a write to the daemon.
const STALL_MAX: Duration = Duration::from_secs(60);
/// Values are whole numbers below this.
const VALUE_BOUND: u32 = 65_536;

/// What all threads of a measurement share.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    /// The files whose metrics get points.
    pub(super) targets: &'a [Target],
    pub(super) device: &'a Device,
    /// Points sent so far.
    pub(super) sent: AtomicU64,
    pub(super) stop: AtomicBool,
}

impl<'a> Scene<'a> {
    pub(super) fn new(targets: &'a [Target], device: &'a Device) -> Self {
        assert!(!targets.is_empty(), "no files");
        Self {
            targets,
            device,
            sent: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The file of the point with this number.
    fn target(&self, point: u64) -> &'a Target {
        let place = point % (self.targets.len() as u64);
        let Some(target) = usize::try_from(place)
            .ok()
            .and_then(|place| self.targets.get(place))
        else {
            unreachable!("{place} is below the number of files")
        };
        target
    }
}

/// When points are due, and what time they carry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) points_per_s: f64,
    /// Time of the first round's points.
    pub(super) first_s: u32,
    /// From one round to the next.
    pub(super) step_s: u32,
    /// Rounds after which times begin anew.
    pub(super) rounds: u32,
    /// Rounds that the files have had before.
    pub(super) begin: u32,
}

impl Pace {
    /// How many points are due after so long.
    fn due(&self, passed: Duration) -> u64 {
        crate::report::whole((self.points_per_s * passed.as_secs_f64()).floor())
    }

    fn timestamp(&self, round: u64) -> u32 {
        let round = (u64::from(self.begin) + round) % u64::from(self.rounds.max(1));
        let round = u32::try_from(round).unwrap_or(0);
        self.first_s + round * self.step_s
    }
}

/// Sends points evenly over one connection, until the scene is over.
pub(super) fn send(scene: &Scene<'_>, target: SocketAddr, pace: Pace) -> Result<()> {
    let mut sender = Sender::connect(scene, target, pace)?;
    let begun = clock::now().instant;
    while !scene.is_over() {
        sender.send_until(pace.due(since(begun)))?;
        pause(TICK);
    }
    Ok(())
}

/// Sends one point of every metric, as fast as they are taken.
pub(super) fn send_round(scene: &Scene<'_>, target: SocketAddr, pace: Pace) -> Result<()> {
    Sender::connect(scene, target, pace)?.send_until(scene.targets.len() as u64)
}

/// A connection.
struct Sender<'a> {
    scene: &'a Scene<'a>,
    pace: Pace,
    socket: TcpStream,
    encoder: Encoder,
    buffer: Vec<u8>,
    /// The number of the next point.
    next: u64,
}

impl<'a> Sender<'a> {
    fn connect(scene: &'a Scene<'a>, target: SocketAddr, pace: Pace) -> Result<Self> {
        let socket = TcpStream::connect_timeout(&target, STALL_MAX)
            .with_context(|| format!("cannot connect to {target}"))?;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(STALL_MAX))?;
        Ok(Self {
            scene,
            pace,
            socket,
            encoder: Encoder::line(),
            buffer: Vec::new(),
            next: 0,
        })
    }

    fn send_until(&mut self, due: u64) -> Result<()> {
        self.buffer.clear();
        for point in self.next..due {
            let target = self.scene.target(point);
            let round = point / (self.scene.targets.len() as u64);
            let timestamp = self.pace.timestamp(round);
            let sample = Sample {
                name: target.metric.as_bytes(),
                value: target.number.wrapping_add(timestamp) % VALUE_BOUND,
                timestamp,
            };
            self.encoder.push(&mut self.buffer, sample);
        }
        self.socket
            .write_all(&self.buffer)
            .context("cannot send points")?;
        self.next = self.next.max(due);
        self.scene.sent.store(self.next, Ordering::Relaxed);
        Ok(())
    }
}

/// A sync of the file system: when it began and when it ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sync {
    pub(super) begun: Instant,
    pub(super) ended: Instant,
}

impl Sync {
    /// One, now.
    pub(super) fn make(device: &Device) -> Result<Self> {
        let begun = clock::now().instant;
        device.flush()?;
        Ok(Self {
            begun,
            ended: clock::now().instant,
        })
    }
}

/// How long it took from `at` until everything that was written by then was on the disk: until the
/// end of the first sync that began later. None: there was none.
pub(super) fn lag(syncs: &[Sync], at: Instant) -> Option<Duration> {
    let first = syncs.iter().find(|sync| sync.begun >= at)?;
    Some(first.ended.saturating_duration_since(at))
}

/// Syncs the file system again and again, so that what was written is on the disk soon, and what hides
/// in memory is seen. `is_cold`: the files of points that were sent before a sync have left the page
/// cache after it, as with more files than memory.
pub(super) fn sync(scene: &Scene<'_>, period: Duration, is_cold: bool) -> Result<Vec<Sync>> {
    // A file that still waits for its update at its first turn is forgotten at its second.
    let (mut from, mut until) = (0, 0);
    let mut syncs = Vec::new();
    let mut begun = clock::now().instant;
    while !scene.is_over() {
        let rest = period.saturating_sub(since(begun));
        if !rest.is_zero() {
            pause(rest.min(TICK));
            continue;
        }
        begun = clock::now().instant;
        let sent = scene.sent.load(Ordering::Relaxed);
        syncs.push(Sync::make(scene.device)?);
        if is_cold {
            let every = scene.targets.len() as u64;
            let from = from.max(sent.saturating_sub(every));
            forget((from..sent).map(|point| scene.target(point)))?;
        }
        (from, until) = (until, sent);
    }
    Ok(syncs)
}

/// The contents of these files leave the page cache.
pub(super) fn forget<'a>(targets: impl Iterator<Item = &'a Target>) -> Result<()> {
    for target in targets {
        direct::forget(&target.path)
            .with_context(|| format!("cannot forget {}", target.path.display()))?;
    }
    Ok(())
}

/// The contents of these files are in the page cache, whoever dropped it. They are read as they were
/// made, which is about as they lie.
pub(super) fn remember(targets: &[Target]) -> Result<()> {
    let mut all: Vec<&Target> = targets.iter().collect();
    all.sort_unstable_by_key(|target| target.number);
    for target in all {
        let path = &target.path;
        fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(())
}

/// Reads single pages of the files past the page cache, one after the other: what a person waits for
/// who looks at a graph. Notes nothing of what was read while `is_noted` is not set.
pub(super) fn read(scene: &Scene<'_>, is_noted: &AtomicBool) -> Result<Latencies> {
    let mut waits = Latencies::new()?;
    let mut draw = 1;
    while !scene.is_over() {
        draw = mix(draw);
        let path = &scene.target(draw).path;
        let mut file = DirectFile::open(path)
            .with_context(|| format!("cannot read {} directly", path.display()))?;
        let page = (draw >> 32) % file.pages().max(1);
        let begun = clock::now().instant;
        file.read_page(page)?;
        if is_noted.load(Ordering::Relaxed) {
            waits.record(since(begun));
        }
        pause(READ_PAUSE);
    }
    Ok(waits)
}

fn since(begun: Instant) -> Duration {
    clock::now().instant.saturating_duration_since(begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_on_the_disk_with_the_next_sync_that_begins() {
        let at = |seconds| clock_at(seconds);
        let syncs = [(0, 2), (2, 5), (5, 9)].map(|(begun, ended)| Sync {
            begun: at(begun),
            ended: at(ended),
        });
        assert_eq!(lag(&syncs, at(1)), Some(Duration::from_secs(4)));
        assert_eq!(lag(&syncs, at(5)), Some(Duration::from_secs(4)));
        assert_eq!(lag(&syncs, at(6)), None);
    }

    /// So many seconds after some moment.
    fn clock_at(seconds: u64) -> Instant {
        static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *FIRST.get_or_init(|| clock::now().instant) + Duration::from_secs(seconds)
    }

    #[test]
    fn points_are_due_evenly_and_times_begin_anew_after_the_last_round() {
        let pace = Pace {
            points_per_s: 250.0,
            first_s: 6000,
            step_s: 60,
            rounds: 3,
            begin: 1,
        };
        assert_eq!(pace.due(Duration::from_millis(500)), 125);
        let times = [0, 1, 2, 3].map(|round| pace.timestamp(round));
        assert_eq!(times, [6060, 6120, 6000, 6060]);
    }
}
