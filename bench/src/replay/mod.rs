//! `benzene-bench replay`: what a start costs that has a full cache to get back from the journal.
//! A daemon whose writer is all but off takes points in, is stopped as it stops by itself, which leaves
//! them in its journal, and is started again. What that start takes is measured from the moment at which
//! its program is executed until every shard has said that it has its points; queries go on meanwhile.
//! Processor time is the whole process's by then, queries and what else a start does included.
//! Every cached point must come back, no more and no fewer: where not, it is said, and the exit code is 1.

pub(crate) mod restart;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use benzene_engine::clock;

use crate::accounts::{self, Accounts};
use crate::daemon::{Daemon, DaemonArgs, Launch, Site};
use crate::figures::{self, Column, Figures, Row, per, row};
use crate::ingest;
use crate::load::{self, LoadArgs, Order, Protocol};
use crate::machine;
use crate::progress::per_second;
use crate::said;
use crate::workload::{Shape, Workload};
use restart::Restarted;

/// carbon.conf besides what holds the writer back: a stop leaves what is cached in the journal.
const CONF: &str = "SHUTDOWN = journal\n";
/// Longest wait for a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of a block of `st_blocks`.
const BLOCK_BYTES: u64 = 512;
/// Points of a pickle frame; none is sent.
const BATCH: u32 = 500;

/// All figures, in the order of the report.
static ROWS: [Row; 20] = [
    row("points cached at the stop", 0),
    row("stop, s", 2),
    row("journal on disk, MiB", 1),
    row("  of its files, bytes/point", 1),
    row("  written to them, bytes/point", 1),
    row("first line accepted, ms", 1),
    row("first query answered, ms", 1),
    row("all points back, s", 2),
    row("  points/s", 0),
    row("CPU until then, s", 2),
    row("  user, s", 2),
    row("  system, s", 2),
    row("  points/s and core", 0),
    row("  CPU, ns/point", 0),
    row("queries until then", 0),
    row("  p50, us", 0),
    row("  p99, us", 0),
    row("  worst, us", 0),
    row("resident, peak, MiB", 1),
    row("resident, all back, MiB", 1),
];

/// Options of `replay`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    daemon: DaemonArgs,
    /// Points, the same number of each metric
    #[arg(long, default_value_t = 20_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    points: u32,
    /// Metrics
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    metrics: u32,
    /// How many connections send them, one thread each
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    connections: u32,
    /// How often all of it is done
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Milliseconds from an answer to the next cache query
    #[arg(long, default_value_t = 10)]
    query_pause: u64,
    /// A further line of carbon.conf, `KEY = VALUE`, such as SHARDS = 1; repeatable
    #[arg(long = "conf", value_name = "LINE")]
    lines: Vec<String>,
}

/// Runs the command and prints its report. False: what came back is not what was cached.
pub(crate) fn command(args: &ReplayArgs) -> Result<bool> {
    ensure!(
        args.points.is_multiple_of(args.metrics),
        "--points {} gives {} metrics no whole number each",
        args.points,
        args.metrics
    );
    let program = args.daemon.program()?;
    print!("{}", machine::head(&args.daemon.parent(), Some(&program)));
    for line in &args.lines {
        println!("carbon.conf {line}");
    }
    println!(
        "\n{} points of {} metrics by line, stop, start; CPU is utime + stime of /proc/PID/stat, exact to \
         10 ms a run, its split is sampled",
        args.points, args.metrics
    );
    let launch = Launch::Own(program);
    let mut column = Column::new("benzene");
    let mut sound = true;
    for number in 1..=args.repeats {
        eprintln!("run {number} of {}", args.repeats);
        let (figures, problem) = run(args, &launch)?;
        column.runs.push(figures);
        if let Some(problem) = problem {
            println!("  run {number}: {problem}");
            sound = false;
        }
    }
    print!("{}", figures::table(&ROWS, &[column], None));
    Ok(sound)
}

/// One run, and what is wrong with it.
fn run(args: &ReplayArgs, launch: &Launch) -> Result<(Figures, Option<String>)> {
    let conf = format!("{}{CONF}{}\n", ingest::CONF, args.lines.join("\n"));
    let site = args.daemon.site(&conf, ingest::SCHEMAS)?;
    let mut figures = Figures::new(&ROWS);
    let daemon = Daemon::start(launch, &site)?;
    let load = load_of(args, &daemon);
    let start = load::default_start(&load.shape, clock::now().unix_seconds);
    let workload = Workload::new(load.shape.clone(), start)?;
    let sent = load::send(&load, &workload)?;
    if let Some((number, points, error)) = sent.errors.first() {
        bail!("connection {number} stopped after {points} points: {error:#}");
    }
    let at_stop = stop(daemon, &site, &mut figures)?;
    let between = Duration::from_millis(args.query_pause);
    let restarted = restart::start(launch, &site, &workload, between)?;
    fill_in(&restarted, &mut figures);
    let back = restarted.points;
    let (at_end, _) = ended(restarted.daemon, &site)?;
    let problem = if back != at_stop.cached || at_end.replayed != back {
        Some(format!(
            "{back} points came back of {} that were cached: {at_end}",
            at_stop.cached
        ))
    } else if at_stop.received != workload.points() || !at_stop.balance() || !at_end.balance() {
        Some(format!(
            "{} points were sent: {at_stop}, and then: {at_end}",
            workload.points()
        ))
    } else {
        None
    };
    Ok((figures, problem))
}

/// The options of `load` that send the points.
fn load_of(args: &ReplayArgs, daemon: &Daemon) -> LoadArgs {
    LoadArgs {
        shape: Shape {
            metrics: args.metrics,
            rounds: args.points / args.metrics,
            step: ingest::STEP_S,
            prefix: String::from("bench.replay"),
            seed: 1,
        },
        start: None,
        protocol: Protocol::Line,
        target: daemon.offered().line.to_string(),
        connections: args.connections,
        rate: 0,
        batch: BATCH,
        order: Order::Same,
        timeout: 300,
        nice: 19,
        pid: None,
    }
}

/// Ends a daemon, which must end well: its accounts then, and its last words.
pub(crate) fn ended(daemon: Daemon, site: &Site) -> Result<(Accounts, String)> {
    let before = site.log().len();
    let status = daemon.stop(STOP_PATIENCE)?;
    let log = site.log().split_off(before);
    ensure!(
        status.success(),
        "the daemon ended with {status}:\n{}",
        site.log_tail()
    );
    let accounts =
        accounts::at_stop(&log).context("the daemon has stopped without its accounts")?;
    Ok((accounts, log))
}

/// The stop that leaves all in the journal, and what that is.
fn stop(daemon: Daemon, site: &Site, figures: &mut Figures) -> Result<Accounts> {
    let begun = clock::now().instant;
    let (accounts, log) = ended(daemon, site)?;
    let took = clock::now().instant.duration_since(begun);
    figures.set("points cached at the stop", per(accounts.cached.into(), 1));
    figures.set("stop, s", took.as_millis());
    let bytes = bytes_on_disk(&site.journal())?;
    figures.set("journal on disk, MiB", per(bytes.into(), 1 << 20));
    let written = said::counted(&log, "journal.bytes").context("no bytes were journaled")?;
    for (name, bytes) in [
        ("of its files, bytes/point", bytes),
        ("written to them, bytes/point", written),
    ] {
        figures.set(name, per(bytes.into(), accounts.received));
    }
    Ok(accounts)
}

fn fill_in(restarted: &Restarted, figures: &mut Figures) {
    let Restarted {
        accepted,
        answered,
        back,
        points,
        usage,
        seen,
        ..
    } = restarted;
    for (name, time) in [
        ("first line accepted, ms", accepted),
        ("first query answered, ms", answered),
    ] {
        figures.set(name, time.as_micros());
    }
    let spent = usage.spent.sum();
    for (name, time) in [
        ("all points back, s", *back),
        ("CPU until then, s", spent),
        ("user, s", usage.spent.user),
        ("system, s", usage.spent.system),
    ] {
        figures.set(name, time.as_millis());
    }
    figures.set("points/s", per(per_second(*points, *back).into(), 1));
    figures.set(
        "points/s and core",
        per(per_second(*points, spent).into(), 1),
    );
    figures.set("CPU, ns/point", per(spent.as_nanos(), *points));
    figures.set("queries until then", per(seen.asked.len().into(), 1));
    for (name, quantile) in [("p50, us", 0.5), ("p99, us", 0.99), ("worst, us", 1.0)] {
        // Nanoseconds are thousandths of the unit.
        figures.set(name, seen.asked.value_at_quantile(quantile).into());
    }
    for (name, bytes) in [
        ("resident, peak, MiB", usage.peak),
        ("resident, all back, MiB", usage.resident),
    ] {
        figures.set(name, per(bytes.into(), 1 << 20));
    }
}

/// What the files below a directory take of the disk.
fn bytes_on_disk(dir: &Path) -> Result<u64> {
    let files = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut bytes = 0;
    for file in files {
        bytes += file?.metadata()?.blocks() * BLOCK_BYTES;
    }
    Ok(bytes)
}
