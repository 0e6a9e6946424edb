//! `benzene-bench writepath`: updates and creates of Whisper files over our own write path and over
//! those that we did not take, on the disk of whoever runs it.
//! Every path gets the same files and the same work, planned by the same code; behind every
//! measurement all files are read back and compared. A path's first round is not measured: it
//! opens what is to be kept open, and tells our shard that its files are there. Before a measured
//! round the file system is synced, for a cold one the page cache dropped; behind it the file
//! system is synced again, so that what the round left to the kernel is seen at the device.
//! Each measurement has a thread of its own, and with it kernel workers of its own.
//! Paths take turns, repeat by repeat, so that what else the machine does meets all of them.
//! Processor time is the whole process's, kernel workers included, the look at them left out.

mod config;
mod device;
mod page;
mod pipeline;
mod row;
pub(crate) mod site;
mod table;
mod verify;
mod workers;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use benzene_engine::clock;
use benzene_engine::limits::UPDATES_IN_FLIGHT_MAX;
use benzene_rivals::{Latencies, Round, WritePath};
use clap::ValueEnum;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

use crate::progress::per_second;
use crate::{cpu, machine};
use config::{Backend, Config};
use device::{Device, drop_caches};
use row::{Cache, Case, Figures, Row, Sample, Work};
use site::{Layout, Site};
use verify::verify;
use workers::{Watch, wait_for_none};

/// Descriptors that are not files of the run.
const DESCRIPTORS_BESIDE: u64 = 512;

/// In which order files are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    /// Any, the same at every run: senders do not know how files lie
    Shuffled,
    /// As the files were made
    Made,
}

/// Options of `writepath`.
#[derive(Debug, clap::Args)]
pub(crate) struct WritepathArgs {
    /// Where the files go: a directory on the disk to be measured
    #[arg(long)]
    dir: PathBuf,
    /// How many files are updated
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    files: u32,
    /// How many files are created in a round, each with an update of the first number of points; 0:
    /// none
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    creates: u32,
    /// Points of a file that are written together
    #[arg(long, value_delimiter = ',', default_value = "1,8,64", value_parser = clap::value_parser!(u32).range(1..=64))]
    points_per_update: Vec<u32>,
    /// The files' archives, as storage-schemas.conf has them
    #[arg(long, default_value = "10s:6h,1m:21h")]
    archives: String,
    /// Files at work at once, for the paths that can
    #[arg(long, value_delimiter = ',', default_value = "1,128", value_parser = clap::value_parser!(u32).range(1..=UPDATES_IN_FLIGHT_MAX as i64))]
    depth: Vec<u32>,
    /// Cap on the kernel's workers, for our own path
    #[arg(long, value_delimiter = ',', default_value = "4", value_parser = clap::value_parser!(u32).range(1..=1024))]
    kernel_workers: Vec<u32>,
    /// Which paths [default: all]
    #[arg(long = "backend", value_enum, value_delimiter = ',')]
    backends: Vec<Backend>,
    /// In which order files are visited
    #[arg(long, value_enum, default_value_t = Order::Shuffled)]
    order: Order,
    /// Measure with a cold page cache too: drops that of the whole machine before each round; root
    #[arg(long)]
    cold: bool,
    /// Leave the warm page cache out
    #[arg(long, requires = "cold")]
    skip_warm: bool,
    /// How often everything is measured
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeats: u32,
    /// Write the figures to this file too, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write a page with plots to this file too; it needs nothing else
    #[arg(long)]
    html: Option<PathBuf>,
}

/// Runs it all and reports. True: every path was measured.
pub(crate) fn command(args: &WritepathArgs) -> Result<bool> {
    let rows = measure_all(args)?;
    let head = head(args)?;
    let table = table::text(&rows);
    print!("{head}\n{table}");
    if let Some(path) = &args.json {
        let report = Report {
            head: &head,
            rows: &rows,
        };
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &args.html {
        let page = page::page(&head, &table, &rows);
        fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(rows.iter().all(|row| row.figures.is_some()))
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    head: &'a str,
    rows: &'a [Row],
}

fn head(args: &WritepathArgs) -> Result<String> {
    let layout = Layout::new(&args.archives)?;
    let device = Device::of(&args.dir)?;
    let order = match args.order {
        Order::Shuffled => "in an order of their own",
        Order::Made => "in the order of their making",
    };
    let bytes = layout.header.file_bytes();
    Ok(format!(
        "{}device      {}\n\
         files       of {bytes} bytes, archives {}, full, visited {order}\n\
         CPU is that of the process with its kernel workers; latency is of one file, from its begin \
         to its last byte written.\n\
         What reached the device, by its own counters, and \"flushed\" count the sync behind the \
         round. Medians of {} repeats.\n",
        machine::head(&args.dir, None),
        device.name(),
        args.archives,
        args.repeats,
    ))
}

/// What was measured so far of one path.
#[derive(Debug)]
struct Track {
    config: Config,
    samples: Vec<(Case, Sample)>,
    failure: Option<String>,
}

fn measure_all(args: &WritepathArgs) -> Result<Vec<Row>> {
    ensure!(
        !args.cold || rustix::process::geteuid().is_root(),
        "--cold drops the page cache of the whole machine: only root may"
    );
    let layout = Layout::new(&args.archives)?;
    let finest = layout
        .header
        .archives
        .first()
        .map_or(0, |finest| finest.points);
    let most = args.points_per_update.iter().max().copied().unwrap_or(1);
    ensure!(most <= finest, "{most} points do not fit {}", args.archives);
    fs::create_dir_all(&args.dir).with_context(|| format!("cannot make {}", args.dir.display()))?;
    let shuffled = args.order == Order::Shuffled;
    let site = Site::make(&args.dir, layout, args.files, shuffled)?;
    let device = Device::of(site.root())?;
    let mut run = Run { args, site, device };
    let mut tracks = tracks(args);
    let caches = [(Cache::Warm, !args.skip_warm), (Cache::Cold, args.cold)];
    for (cache, _) in caches.iter().filter(|(_, wanted)| *wanted) {
        for repeat in 0..args.repeats {
            // Everybody is the first once.
            let turned = repeat as usize % tracks.len().max(1);
            tracks.rotate_left(turned);
            for track in &mut tracks {
                let name = track.config.name();
                eprintln!(
                    "{cache:?}, repeat {} of {}: {name}",
                    repeat + 1,
                    args.repeats
                );
                on_its_own_thread(|| run.measure(track, *cache))?
                    .with_context(|| format!("{name} fails"))?;
            }
            tracks.rotate_right(turned);
        }
    }
    rows(args, &tracks)
}

/// The kernel's workers, and the cap on them, belong to the thread that made a ring: a path that
/// followed ours on one thread would find our cap and our workers. On Linux 6.18 such a thread has
/// also been seen, once, without any worker for minutes after several rings.
fn on_its_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
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

fn tracks(args: &WritepathArgs) -> Vec<Track> {
    let backends = match &*args.backends {
        [] => Backend::value_variants(),
        some => some,
    };
    let files = u64::from(args.files.max(args.creates));
    let enough = allow_descriptors(files + DESCRIPTORS_BESIDE);
    let configs = backends
        .iter()
        .flat_map(|backend| Config::all(*backend, &args.depth, &args.kernel_workers));
    configs
        .map(|config| Track {
            config,
            samples: Vec::new(),
            failure: match &enough {
                Err(error) if config.keeps_descriptors() => Some(format!("{error:#}")),
                Ok(()) | Err(_) => None,
            },
        })
        .collect()
}

/// The rows of all cases, paths in their order.
fn rows(args: &WritepathArgs, tracks: &[Track]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for case in cases(args) {
        for track in tracks {
            let samples = track.samples.iter().filter(|(of, _)| *of == case);
            let samples: Vec<Sample> = samples.map(|(_, sample)| sample.clone()).collect();
            rows.push(Row {
                case,
                path: track.config.name(),
                figures: Figures::of(&case, &samples)?,
                failure: track.failure.clone(),
            });
        }
    }
    Ok(rows)
}

/// All cases that are asked for, in the order of the report.
fn cases(args: &WritepathArgs) -> Vec<Case> {
    let mut cases = Vec::new();
    for (cache, wanted) in [(Cache::Warm, !args.skip_warm), (Cache::Cold, args.cold)] {
        if !wanted {
            continue;
        }
        let case = |work, points: &u32, files| Case {
            work,
            cache,
            points: *points,
            files,
        };
        let updates = args.points_per_update.iter();
        cases.extend(updates.map(|points| case(Work::Update, points, args.files)));
        let creates = args
            .points_per_update
            .iter()
            .take(1)
            .filter(|_| args.creates > 0);
        cases.extend(creates.map(|points| case(Work::Create, points, args.creates)));
    }
    cases
}

/// Everything that a measurement needs.
#[derive(Debug)]
struct Run<'a> {
    args: &'a WritepathArgs,
    site: Site,
    device: Device,
}

impl Run<'_> {
    /// One repeat of one path: updates, then creates.
    fn measure(&mut self, track: &mut Track, cache: Cache) -> Result<()> {
        if track.failure.is_some() {
            return Ok(());
        }
        let data_dir = self.site.data_dir();
        let mut path = match track.config.start(&self.site.layout, &data_dir) {
            Ok(path) => path,
            Err(error) => {
                track.failure = Some(format!("{error:#}"));
                return Ok(());
            }
        };
        let first = self.site.update(1);
        path.prepare(&first)?;
        path.carry_out(&first, &mut Latencies::new()?)?;
        for points in &self.args.points_per_update {
            let round = self.site.update(*points);
            let case = case_of(&round, cache)?;
            track
                .samples
                .push((case, self.sample(&mut *path, &round, cache)?));
        }
        path.close()?;
        drop(path);
        wait_for_none();
        self.measure_creates(track, cache)
    }

    /// Creates, each with an update of the first number of points.
    fn measure_creates(&mut self, track: &mut Track, cache: Cache) -> Result<()> {
        let Some(points) = self
            .args
            .points_per_update
            .first()
            .filter(|_| self.args.creates > 0)
        else {
            return Ok(());
        };
        let (data_dir, round) = self.site.create(self.args.creates, *points)?;
        let mut path = track.config.start(&self.site.layout, &data_dir)?;
        let case = case_of(&round, cache)?;
        let sample = self.sample(&mut *path, &round, cache)?;
        track.samples.push((case, sample));
        path.close()?;
        drop(path);
        wait_for_none();
        remove(&data_dir)
    }

    /// One measured round, read back afterwards.
    fn sample(&self, path: &mut dyn WritePath, round: &Arc<Round>, cache: Cache) -> Result<Sample> {
        path.prepare(round)?;
        let mut latencies = Latencies::new()?;
        self.device.flush()?;
        if cache == Cache::Cold {
            drop_caches()?;
        }
        let before = self.device.counters();
        let watch = Watch::start()?;
        let (begun, spent) = (clock::now().instant, cpu::own());
        path.carry_out(round, &mut latencies)?;
        let (written, spent) = (clock::now().instant, cpu::own().saturating_sub(spent));
        let seen = watch.stop()?;
        let flush_begun = clock::now().instant;
        self.device.flush()?;
        let flush = clock::now().instant.saturating_duration_since(flush_begun);
        let device = match (self.device.counters(), before) {
            (Some(after), Some(before)) => Some(after - before),
            (_, None) | (None, _) => None,
        };
        verify(round)?;
        let files = round.targets.len() as u64;
        let wall = written.saturating_duration_since(begun);
        let rate = per_second(files, wall);
        eprintln!("  {}: {rate} files/s", case_of(round, cache)?.title());
        ensure!(
            latencies.count() == files,
            "{} of {files} files were timed",
            latencies.count()
        );
        Ok(Sample {
            wall,
            cpu: spent.saturating_sub(seen.spent),
            flush,
            workers: seen.workers,
            device,
            latencies,
        })
    }
}

fn case_of(round: &Round, cache: Cache) -> Result<Case> {
    Ok(Case {
        work: if round.creates {
            Work::Create
        } else {
            Work::Update
        },
        cache,
        points: round.points,
        files: u32::try_from(round.targets.len())?,
    })
}

fn remove(dir: &Path) -> Result<()> {
    fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))
}

/// Raises the limit on open files as far as it must be.
fn allow_descriptors(wanted: u64) -> Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum: maximum.map(|maximum| maximum.max(wanted)),
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => Ok(()),
        Err(error) => bail!("{wanted} open files are needed (ulimit -n): {error}"),
    }
}
