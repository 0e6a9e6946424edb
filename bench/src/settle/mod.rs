//! `benzene-bench settle`: how a daemon settles on a disk beside somebody who reads there.
//! Files are made and let go from memory, the daemon is started over them with no limit set, and a load
//! in phases comes in, point after point of another metric, so that no update finds its file in memory.
//! Beside it a reader reads random pages. A line every five seconds says what the rate, the cache and
//! the reader stand at; in the end they may be drawn (`--svg`).
//! The rate and the cache's size are the daemon's own metrics, asked of its cache as graphite-web asks.

mod plot;
mod reader;
mod row;
mod sender;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use benzene_engine::clock;
use benzene_engine::ring::{direct, host};

use crate::asker::Asker;
use crate::daemon::{Daemon, DaemonArgs, Launch, Site, pause};
use crate::machine;
use crate::writepath::site::{Layout, Site as Files, metric_of};
use row::{Row, Rows};
use sender::{Phase, Sender, phase};

/// What the files look like: two archives, so that an update has two places to write to.
const RETENTIONS: &str = "60s:1d,5m:7d";
const SCHEMAS: &str = "[all]\npattern = .*\nretentions = 60s:1d,5m:7d\n";
/// A line.
const ROW: Duration = Duration::from_secs(5);
/// Points are held back for a short time, so that a load shows at once, and own metrics come often.
const CONF: &str = "MAX_POINT_AGE = 10\nCARBON_METRIC_INTERVAL = 5\nSHUTDOWN = journal\n";
/// By then it is to have settled.
const SETTLED: Duration = Duration::from_secs(60);
/// Longest wait for a stop, which leaves what is cached in the journal.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Options of `settle`.
#[derive(Debug, clap::Args)]
pub(crate) struct SettleArgs {
    #[command(flatten)]
    daemon: DaemonArgs,
    /// Files that are updated and read
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    files: u32,
    /// Points a second and for how many seconds, one phase after the other
    #[arg(long, default_value = "150:120,30:120", value_delimiter = ',', value_parser = phase)]
    load: Vec<Phase>,
    /// Mean time between two reads of the reader, in milliseconds
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pause: u32,
    /// Where the journal is [default: on the same disk]
    #[arg(long)]
    journal_dir: Option<PathBuf>,
    /// A line for carbon.conf, as READ_WAIT_MAX = 50ms; may be given more than once
    #[arg(long)]
    conf: Vec<String>,
    /// File that the run is drawn into
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// Runs it. True: nothing went wrong.
pub(crate) fn command(args: &SettleArgs) -> Result<bool> {
    let program = args.daemon.program()?;
    let journal = args.journal_dir.as_ref();
    let journal = journal.map(|dir| format!("JOURNAL_DIR = {}", dir.display()));
    let lines: Vec<&str> = args
        .conf
        .iter()
        .chain(&journal)
        .map(|line| &**line)
        .collect();
    let conf = format!("{CONF}{}\n", lines.join("\n"));
    let site = args.daemon.site(&conf, SCHEMAS)?;
    print!("{}", machine::head(site.dir(), Some(&program)));
    make_files(&site, args.files)?;
    let daemon = Daemon::start(&Launch::Own(program), &site)?;
    for line in site
        .log()
        .lines()
        .filter(|line| line.contains("class ") || line.contains("profile "))
    {
        println!("{line}");
    }
    let rows = watch(args, &site, &daemon);
    let status = daemon.stop(STOP_PATIENCE)?;
    ensure!(
        status.success(),
        "the daemon ended with {status}: {}",
        site.log_tail()
    );
    let rows = rows?;
    for line in site
        .log()
        .lines()
        .filter(|line| line.contains("updates are tuned"))
    {
        println!("{line}");
    }
    println!("{}", rows.summary(SETTLED));
    if let Some(path) = &args.svg {
        fs::write(path, plot::svg(&rows))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(true)
}

/// Full files where the daemon looks for them, none of them in memory.
fn make_files(site: &Site, files: u32) -> Result<()> {
    let made = Files::make(site.dir(), Layout::new(RETENTIONS)?, files, false)?;
    for entry in fs::read_dir(made.data_dir())? {
        let entry = entry?;
        fs::rename(entry.path(), site.data().join(entry.file_name()))?;
    }
    host::sync_file_system(site.dir())?;
    for number in 0..files {
        direct::forget(&site.data().join(metric_of(number).1))?;
    }
    Ok(())
}

/// The load, the reader, and a line every five seconds.
fn watch(args: &SettleArgs, site: &Site, daemon: &Daemon) -> Result<Rows> {
    let stop = AtomicBool::new(false);
    let (waited, waits) = mpsc::channel();
    let (data, between) = (site.data(), Duration::from_millis(args.pause.into()));
    let sender = Sender::connect(daemon.offered().line, args.files)?;
    let query = daemon.offered().query.context("no cache query")?;
    thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || reader::read(&data, args.files, between, (&waited, stop)));
        let sending = scope.spawn(move || sender.run(&args.load, stop));
        let (mut rows, begun) = (Rows::default(), clock::now().instant);
        let mut asker = Asker::connect(query)?;
        println!("{}", Row::head());
        let watched = (|| -> Result<()> {
            for number in 1.. {
                let due = begun + ROW * number;
                pause(due.saturating_duration_since(clock::now().instant));
                let at = clock::now().instant.saturating_duration_since(begun);
                let row = Row::look(at, &mut asker, waits.try_iter().collect(), rows.last())?;
                println!("{row}");
                rows.push(row);
                if sending.is_finished() {
                    break;
                }
            }
            Ok(())
        })();
        stop.store(true, Ordering::Relaxed);
        let outcome = sending.join();
        watched?;
        outcome.unwrap_or_else(|_| unreachable!("a panic aborts"))?;
        Ok(rows)
    })
}
