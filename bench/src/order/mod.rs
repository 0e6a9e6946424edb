//! `benzene-bench order`: what the order of the disk is worth. Points of cold files wait in the cache of
//! the real daemon, on a model of a spinning disk; they are drained and synced, once as the daemon
//! treats such a disk, and once without order and depth: one operation at a time, in an order that has
//! nothing to do with the disk's. Beside both stands what the head needs at least: every block that
//! was touched once, in one sweep for the reads and one for the writes.
//! Needs root: the disk is made and mounted, and the page cache of the machine is dropped.

mod row;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use benzene_engine::clock;

use crate::daemon::{Daemon, DaemonArgs, Launch, Site, pause};
use crate::device::{Device, drop_caches};
use crate::disk::{Format, ModelDisk, ModelName, Params, Place, Wish};
use crate::load::connection::shuffle;
use crate::machine;
use row::{Row, table};

/// How long the daemon may take for its files.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Until all that was sent is in the cache and its files are found; the points are held for five
/// minutes.
const SETTLE: Duration = Duration::from_secs(10);
/// Seconds between two points of a metric.
const STEP_S: u32 = 60;
/// How old the files' first points are: those that wait lie behind them, also sixty, and none in
/// the last slots of a file.
const FIRST_AGE_S: u32 = 3 * 3600;
/// Directories that the files are in.
const DIRECTORIES: u32 = 200;
/// What both ways have. Zeros of large files would be written into the memory that the model is in.
const COMMON: &str = "DEVICE_CLASS = hdd\nSHUTDOWN = drain\nCARBON_METRIC_INTERVAL = 0\n\
                      MAX_UPDATES_PER_SECOND = inf\nMAX_CREATES_PER_MINUTE = inf\n\
                      WHISPER_FALLOCATE_CREATE = True\n";
/// The ways: what is said of one, and its lines of carbon.conf.
const WAYS: [(&str, &str); 2] = [
    ("in disk order", ""),
    (
        "one by one",
        "SHARDS = 1\nDISK_ORDER = off\nUPDATES_IN_FLIGHT = 1\nKERNEL_WORKERS = 1\n",
    ),
];

/// Options of `order`.
#[derive(Debug, clap::Args)]
pub(crate) struct OrderArgs {
    #[command(flatten)]
    daemon: DaemonArgs,
    /// How many files
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(200..))]
    files: u32,
    /// Their archives, as storage-schemas.conf has them
    #[arg(long, default_value = "60s:1d,5m:7d")]
    retentions: String,
    /// Points of each metric that wait
    #[arg(long, value_delimiter = ',', default_value = "3")]
    points: Vec<u32>,
    /// Which disk
    #[arg(long, value_enum, default_value_t = ModelName::Hdd7200)]
    model: ModelName,
    /// What it is formatted with
    #[arg(long, value_enum, default_value_t = Format::Ext4)]
    fs: Format,
    /// Where the model's bytes are; only what is written takes room
    #[arg(long, default_value = "/dev/shm/benzene-order")]
    disk: std::path::PathBuf,
    /// How large the disk is, in GB
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=1000))]
    gigabytes: u64,
}

/// Runs it and prints the table.
pub(crate) fn command(args: &OrderArgs) -> Result<bool> {
    ensure!(
        args.model.rotates(),
        "{} has no heads to be saved a way",
        args.model.name()
    );
    let program = args.daemon.program()?;
    let disk = ModelDisk::up(&Wish {
        params: Params {
            model: args.model,
            bytes: args.gigabytes << 30,
            stroke_percent: 20,
            write_cache: None,
        },
        format: args.fs,
        place: Place::new(&args.disk)?,
        mount: None,
    })?;
    print!("{}", machine::head(disk.mount(), Some(&program)));
    let bench = Bench {
        args,
        disk: &disk,
        launch: Launch::Own(program),
    };
    bench.make_files()?;
    let mut rows = Vec::new();
    for (round, points) in (1..).zip(&args.points) {
        for (number, (way, conf)) in (0..).zip(WAYS) {
            let row = bench.drain((way, conf), *points, 2 * round + number)?;
            eprintln!("{row:?}");
            rows.push(row);
        }
    }
    print!("{}", table(&rows, args.files));
    Ok(true)
}

struct Bench<'a> {
    args: &'a OrderArgs,
    disk: &'a ModelDisk,
    launch: Launch,
}

impl Bench<'_> {
    /// The files, in an order of their own.
    fn make_files(&self) -> Result<()> {
        let site = self.site("DISK_ORDER = off\n")?;
        let daemon = Daemon::start(&self.launch, &site)?;
        self.send(&daemon, (1, FIRST_AGE_S), 0)?;
        stop(daemon, &site)?;
        self.disk.settle()
    }

    /// One row: points wait, caches are empty, and then all is written and synced.
    fn drain(&self, (way, conf): (&'static str, &str), points: u32, seed: u64) -> Result<Row> {
        let site = self.site(conf)?;
        let daemon = Daemon::start(&self.launch, &site)?;
        self.send(&daemon, (points, 0), seed)?;
        pause(SETTLE);
        let device = Device::of(self.disk.mount())?;
        self.disk.settle()?;
        drop_caches()?;
        self.disk.sweep()?;
        let (before, begin) = (self.disk.counters()?, clock::now().instant);
        stop(daemon, &site)?;
        device.flush()?;
        let took = clock::now().instant.duration_since(begin);
        Ok(Row {
            way,
            points,
            took,
            counted: self.disk.counters()? - before,
            sweep: self.disk.sweep()?,
        })
    }

    fn site(&self, conf: &str) -> Result<Site> {
        let data = self.disk.mount().join("whisper");
        let schemas = format!(
            "[all]\npattern = .*\nretentions = {}\n",
            self.args.retentions
        );
        let conf = format!("{COMMON}{conf}");
        self.args.daemon.site_over(Some(&data), &conf, &schemas)
    }

    /// Points of all metrics, the newest so old, the metrics in an order that `seed` decides.
    fn send(&self, daemon: &Daemon, (points, age_s): (u32, u32), seed: u64) -> Result<()> {
        let mut order: Vec<u32> = (0..self.args.files).collect();
        shuffle(&mut order, seed, 0);
        let newest = clock::now().unix_seconds - age_s;
        let mut socket = TcpStream::connect(daemon.offered().line).context("cannot connect")?;
        for back in (0..points).rev() {
            let time = newest - back * STEP_S;
            let mut lines = String::new();
            for number in &order {
                let directory = number % DIRECTORIES;
                writeln!(lines, "order.d{directory}.m{number} {back} {time}")?;
            }
            socket
                .write_all(lines.as_bytes())
                .context("the daemon takes nothing more")?;
        }
        Ok(())
    }
}

fn stop(daemon: Daemon, site: &Site) -> Result<()> {
    let ended = daemon.stop(PATIENCE)?;
    ensure!(
        ended.success(),
        "the daemon ended with {ended}; its log:\n{}",
        site.log_tail()
    );
    Ok(())
}
