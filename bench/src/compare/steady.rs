//! A real daemon on the disk, its points coming in evenly: what it does in a stretch of time.
//! The files are there. Its own metrics get no files, so that they cost the disk nothing and stay in
//! its cache, where they are asked for every second. Its journal is not on the disk.
//! All limits are said, so that nothing tunes itself meanwhile. Between two stretches what waits is
//! written, without a limit.
//! Syncs go on all the while, and what became of it is judged in `verdict`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use benzene_engine::clock;

use super::args::CompareArgs;
use super::figures::Steady;
use super::load::{self, Pace, Scene, Sync};
use super::stop::Interrupt;
use super::subject::Subject;
use super::verdict::{self, LABELS, Mark, Reports, Syncs, of};
use crate::asker::Asker;
use crate::daemon::{Daemon, Launch, Site, pause};
use crate::own_metrics::{self, whole_u32};

/// carbon.conf besides directories, ports, the class, the order and the hold time.
const CONF: &str = "\
MAX_UPDATES_PER_SECOND = inf
MAX_CREATES_PER_MINUTE = 0.02
MAX_CACHE_SIZE = inf
CARBON_METRIC_INTERVAL = 1
";
/// storage-schemas.conf: the files are there.
const SCHEMAS: &str = "[all]\npattern = .*\nretentions = 60s:1d\n";
/// Syncs before a stretch counts.
const SETTLING_SYNCS: u32 = 2;
/// How often is looked whether a report has come.
const LOOK: Duration = Duration::from_millis(50);
/// Longest wait for one.
const REPORT_PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait until all that waits is written.
const DRAIN_PATIENCE: Duration = Duration::from_secs(300);
/// So few points are none: those of own metrics, where one has got a file.
const DRAINED_POINTS_MAX: f64 = 100.0;
/// Longest wait for the end of a daemon.
const STOP_PATIENCE: Duration = Duration::from_secs(120);
/// Slots of the finest archive that a measurement uses, as a part of them: the oldest ones pass away.
const SLOTS_PART: f64 = 0.75;

/// What comes in, and how it is treated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) points_per_s: f64,
    /// Of how many metrics.
    pub(super) metrics: u32,
    /// MAX_UPDATES_PER_SECOND; None: inf.
    pub(super) limit: Option<f64>,
    /// Whether files are in memory only while they are written.
    pub(super) is_cold: bool,
    /// Time before it counts, above the least.
    pub(super) settle: Duration,
    pub(super) time: Duration,
}

/// A daemon and what it is measured with.
pub(super) struct Runner<'a> {
    subject: &'a Subject,
    interrupt: &'a Interrupt,
    // Before the site, which takes the directory away.
    daemon: Daemon,
    site: Site,
    asker: Asker,
    /// Rounds of points that the files have had.
    rounds: u32,
    limit: Option<f64>,
}

impl<'a> Runner<'a> {
    /// Starts a daemon with an order and a hold time. Every metric gets a point, so that it knows all
    /// files.
    pub(super) fn start(
        args: &CompareArgs,
        subject: &'a Subject,
        (order, hold_s): (&str, u32),
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        let class = subject.class.name();
        let conf = format!(
            "{CONF}DEVICE_CLASS = {class}\nCACHE_WRITE_STRATEGY = {order}\nMAX_POINT_AGE = {hold_s}\n"
        );
        let data = subject.files.data_dir();
        let site = args.daemon.site_over(Some(&data), &conf, SCHEMAS)?;
        let daemon = Daemon::start(&Launch::Own(args.daemon.program()?), &site)?;
        let query = daemon.offered().query.context("no cache query port")?;
        Ok(Self {
            asker: Asker::connect(query)?,
            subject,
            interrupt,
            daemon,
            site,
            rounds: 0,
            limit: None,
        })
    }

    /// Gives every metric a point and waits until all are written.
    pub(super) fn meet_files(&mut self) -> Result<()> {
        let targets = self.subject.files.targets();
        let scene = Scene::new(targets, &self.subject.device);
        let pace = self.pace(f64::INFINITY);
        load::send_round(&scene, self.daemon.offered().line, pace)?;
        self.rounds += 1;
        self.drain(targets.len() as u64)?;
        self.subject.device.flush()
    }

    /// One stretch, and what waits then.
    pub(super) fn run(&mut self, stretch: &Stretch) -> Result<Steady> {
        let metrics = stretch.metrics as usize;
        let targets = self.subject.files.targets();
        let targets = targets.get(..metrics).context("more metrics than files")?;
        self.set_limit(stretch.limit)?;
        self.subject.device.flush()?;
        if stretch.is_cold {
            load::forget(targets.iter())?;
        } else {
            load::remember(targets)?;
        }
        let clean_at = clock::now().instant;
        let scene = Scene::new(targets, &self.subject.device);
        let (pace, line) = (self.pace(stretch.points_per_s), self.daemon.offered().line);
        let (is_noted, period) = (AtomicBool::new(false), self.subject.sync_period);
        let seen = thread::scope(|scope| -> Result<_> {
            let sending = scope.spawn(|| load::send(&scene, line, pace));
            let syncing = scope.spawn(|| load::sync(&scene, period, stretch.is_cold));
            let reading = scope.spawn(|| load::read(&scene, &is_noted));
            let seen = self.watch(stretch, &is_noted);
            scene.stop.store(true, Ordering::Relaxed);
            joined(sending)?;
            let mut made = joined(syncing)?;
            made.push(Sync::make(&self.subject.device)?);
            let syncs = Syncs {
                clean_at,
                period,
                made,
            };
            Ok((seen?, syncs, joined(reading)?))
        })?;
        let sent = scene.sent.load(Ordering::Relaxed);
        self.rounds += u32::try_from(sent.div_ceil(metrics as u64)).unwrap_or(0);
        let ((reports, marks), syncs, waits) = seen;
        let steady = verdict::judge(stretch, &reports, marks, (&syncs, &waits))
            .with_context(|| format!("the daemon's log:\n{}", self.site.log_tail()))?;
        self.set_limit(None)?;
        self.drain(sent)?;
        Ok(steady)
    }

    /// Ends the daemon, which must end well.
    pub(super) fn stop(self) -> Result<()> {
        let status = self.daemon.stop(STOP_PATIENCE)?;
        ensure!(
            status.success(),
            "the daemon ended with {status}:\n{}",
            self.site.log_tail()
        );
        Ok(())
    }

    /// Times go on from stretch to stretch, so that every point goes into a slot of its own.
    fn pace(&self, points_per_s: f64) -> Pace {
        let finest = self.subject.files.layout.finest();
        let slots = crate::report::whole(f64::from(finest.points) * SLOTS_PART);
        let rounds = u32::try_from(slots).unwrap_or(u32::MAX).max(1);
        let step_s = finest.step_s;
        let now_s = clock::now().unix_seconds;
        let oldest_s = now_s - now_s % step_s - rounds * step_s;
        Pace {
            points_per_s,
            first_s: oldest_s,
            step_s,
            rounds,
            begin: self.rounds,
        }
    }

    fn set_limit(&mut self, limit: Option<f64>) -> Result<()> {
        if limit.map(f64::to_bits) == self.limit.map(f64::to_bits) {
            return Ok(());
        }
        let value = limit.map_or_else(|| String::from("inf"), |limit| format!("{limit:.1}"));
        self.site.set("MAX_UPDATES_PER_SECOND", &value)?;
        self.daemon.reload()?;
        self.limit = limit;
        Ok(())
    }

    /// Settles, and then watches for the time that counts.
    fn watch(&mut self, stretch: &Stretch, is_noted: &AtomicBool) -> Result<(Reports, [Mark; 2])> {
        let mut reports = Reports::new();
        let settle = stretch
            .settle
            .max(self.subject.sync_period * SETTLING_SYNCS);
        let begun = clock::now().instant;
        self.look_until(begun + settle, &mut reports)?;
        is_noted.store(true, Ordering::Relaxed);
        let before = self.mark()?;
        self.look_until(before.at + stretch.time, &mut reports)?;
        let after = self.mark()?;
        is_noted.store(false, Ordering::Relaxed);
        // The report of the last second is made after it.
        let start = clock::now().instant;
        while reports
            .keys()
            .next_back()
            .is_none_or(|last| *last < after.unix_s)
        {
            let now = clock::now().instant;
            ensure!(
                now.saturating_duration_since(start) < REPORT_PATIENCE,
                "the daemon does not report"
            );
            self.look_until(now + LOOK, &mut reports)?;
        }
        Ok((reports, [before, after]))
    }

    fn mark(&self) -> Result<Mark> {
        let now = clock::now();
        Ok(Mark {
            at: now.instant,
            unix_s: now.unix_seconds,
            spent: self.daemon.usage()?.spent,
            device: self.subject.device.counters(),
            head: self.subject.head()?,
        })
    }

    /// Gathers reports until then.
    fn look_until(&mut self, until: Instant, reports: &mut Reports) -> Result<()> {
        loop {
            self.interrupt.check()?;
            if let Some(status) = self.daemon.ended()? {
                bail!("the daemon ended with {status}:\n{}", self.site.log_tail());
            }
            let left = until.saturating_duration_since(clock::now().instant);
            pause(left.min(Duration::from_millis(500)));
            self.ask(reports)
                .with_context(|| format!("the daemon's log:\n{}", self.site.log_tail()))?;
            if clock::now().instant >= until {
                return Ok(());
            }
        }
    }

    /// Adds the whole reports that the cache has.
    fn ask(&mut self, reports: &mut Reports) -> Result<()> {
        let mut found: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for label in LABELS {
            for point in own_metrics::points(&mut self.asker, label)? {
                found
                    .entry(whole_u32(point.timestamp)?)
                    .or_default()
                    .push(point.value);
            }
        }
        for (second, values) in found {
            if let Ok(values) = <[f64; LABELS.len()]>::try_from(values) {
                reports.insert(second, values);
            }
        }
        Ok(())
    }

    /// Waits until nothing waits any more, in this daemon that was sent so many points.
    fn drain(&mut self, points: u64) -> Result<()> {
        let start = clock::now();
        let mut reports = Reports::new();
        loop {
            let now = clock::now().instant;
            self.look_until(now + LOOK, &mut reports)?;
            // A report that was made after the last point had come.
            let newest = reports.range(start.unix_seconds + 1..).next_back();
            let left = newest.map(|(_, report)| of("cached", report) - of("waitingPoints", report));
            if left.is_some_and(|left| left <= DRAINED_POINTS_MAX) {
                return Ok(());
            }
            ensure!(
                now.saturating_duration_since(start.instant) < DRAIN_PATIENCE,
                "{points} points are not written after {DRAIN_PATIENCE:?}"
            );
        }
    }
}

/// What a thread gives; where it panicked, so does this one.
fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
