//! `benzene-bench ingest`: what taking points in costs a daemon, in processor time, memory and
//! latency of cache queries, with its writer all but off. Each run starts a fresh daemon in a
//! fresh directory; with `--against`, another daemon gets the same load between Benzene's runs,
//! so that what else the machine does meets both.
//! The load's threads run at nice 19: where both want the processor the daemon has it, and its
//! figures are not those of the sender. The thread that asks queries keeps the usual priority.
//! A run ends when the daemon has closed after the senders, which it does once it has read
//! everything, and its processor time stands still. Then metrics are asked for all their points:
//! a daemon that threw points away cannot look fast. Benzene must have all that came over TCP.

mod case;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use benzene_engine::clock;

use crate::asker::Asker;
use crate::cpu;
use crate::daemon::{Daemon, DaemonArgs, Launch, Offered, Site, pause};
use crate::figures::{self, Column, Figures, Row, per, row};
use crate::latency;
use crate::load::{self, LoadArgs, Protocol, Summary};
use crate::machine;
use crate::process::Usage;
use crate::progress::per_second;
use crate::runqueue::Runqueue;
use crate::workload::Workload;
use case::Case;
pub(crate) use case::STEP_S;

/// carbon.conf besides directories and ports: a writer that does next to nothing, no own metrics,
/// no bound on the cache in points, and no log line per point or query in Python carbon.
pub(crate) const CONF: &str = "\
MAX_CACHE_SIZE = inf
MAX_UPDATES_PER_SECOND = 1
MAX_CREATES_PER_MINUTE = 1
CARBON_METRIC_INTERVAL = 0
LOG_UPDATES = False
LOG_CREATES = False
LOG_CACHE_HITS = False
LOG_CACHE_QUEUE_SORTS = False
";
/// storage-schemas.conf: small files, for the few that are made.
pub(crate) const SCHEMAS: &str = "[all]\npattern = .*\nretentions = 10s:1d\n";
/// All figures, in the order of a report.
static ROWS: [Row; 24] = [
    row("received, points/s", 0),
    row("CPU, ns/point", 0),
    row("  user, ns/point", 0),
    row("  system, ns/point", 0),
    row("client CPU, ns/point", 0),
    row("resident, empty, MiB", 1),
    row("resident, peak, MiB", 1),
    row("resident, after, MiB", 1),
    row("peak above empty, bytes/point", 1),
    row("after above empty, bytes/point", 1),
    row("peak above empty, bytes/series", 0),
    row("after above empty, bytes/series", 0),
    row("queries during the load", 0),
    row("  p50, us", 0),
    row("  p99, us", 0),
    row("  p99.9, us", 0),
    row("  max, us", 0),
    row("  p99 of all that were due, us", 0),
    row("queries over 1 ms", 0),
    row("  the asker had no processor", 0),
    row("  a core had no processor", 0),
    row("metrics asked for all points", 0),
    row("  points missing", 0),
    row("  points missing, percent", 3),
];
/// Metrics that are asked for all their points after a load over TCP. After UDP it is all of them.
const ASKED: u32 = 1000;
/// Questions ahead of their answers.
const PIPELINE: usize = 64;
/// A daemon is at rest when its processor time stands still over two of these.
const REST_LOOK: Duration = Duration::from_millis(100);
/// Longest wait for that; daemons that never rest are measured as they are.
const REST_PATIENCE: Duration = Duration::from_secs(15);

/// Options of `ingest`.
#[derive(Debug, clap::Args)]
pub(crate) struct IngestArgs {
    #[command(flatten)]
    daemon: DaemonArgs,
    /// Which cases [default: all]
    #[arg(long = "case", value_enum)]
    cases: Vec<Case>,
    /// Metrics, in place of each case's own number
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    metrics: Option<u32>,
    /// Points of each metric, in place of each case's own number
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// How many connections, one thread each
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    connections: u32,
    /// How often each case is run
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Points a second of the case `udp`
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1024..))]
    rate: u64,
    /// Nice value of the sending threads
    #[arg(long, default_value_t = 19, value_parser = clap::value_parser!(i32).range(0..=19))]
    nice: i32,
    /// Microseconds from an answer to the next cache query; 0: no queries during the load
    #[arg(long, default_value_t = 1000)]
    query_pause: u64,
    /// Seconds in which a daemon must take at least something
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// A further line of carbon.conf, `KEY = VALUE`, such as JOURNAL = False or SHARDS = 1; repeatable
    #[arg(long = "conf", value_name = "LINE")]
    lines: Vec<String>,
    /// Another daemon, measured in turn: a shell command that stays in the foreground; {conf} is
    /// the directory of carbon.conf, {dir} its own, {line} {pickle} {query} {udp} are its ports
    #[arg(long, value_name = "CMD")]
    against: Option<String>,
}

/// Runs the command and prints its report. False: Benzene lost points that came over TCP.
pub(crate) fn command(args: &IngestArgs) -> Result<bool> {
    let program = args.daemon.program()?;
    print!("{}", machine::head(&args.daemon.parent(), Some(&program)));
    println!(
        "CPU is utime + stime of /proc/PID/stat, all threads and children, exact to 10 ms a run; \
         its split is sampled"
    );
    for line in &args.lines {
        println!("carbon.conf {line}");
    }
    let mut daemons = vec![("benzene", Launch::Own(program))];
    if let Some(command) = &args.against {
        println!("against     {command}");
        daemons.push(("against", Launch::Against(command.clone())));
    }
    let all = [
        Case::Line,
        Case::LineMillion,
        Case::Pickle,
        Case::LineRandom,
        Case::Udp,
    ];
    let cases = if args.cases.is_empty() {
        &all[..]
    } else {
        &args.cases[..]
    };
    let mut sound = true;
    for case in cases {
        sound &= run_case(args, *case, &daemons)?;
    }
    Ok(sound)
}

/// All runs of a case, the daemons in turn, and its table.
fn run_case(args: &IngestArgs, case: Case, daemons: &[(&'static str, Launch)]) -> Result<bool> {
    let columns = daemons.iter().map(|(title, _)| Column::new(title));
    let mut columns: Vec<Column> = columns.collect();
    let (mut sound, mut unsaid) = (true, true);
    for number in 1..=args.repeats {
        for ((title, launch), column) in daemons.iter().zip(&mut columns) {
            eprintln!("{}: run {number} of {}, {title}", case.word(), args.repeats);
            let run = Run::start(args, case, launch)
                .with_context(|| format!("{title}, case {}", case.word()))?;
            let Some(run) = run else {
                println!(
                    "\n{title} has no port for the case {}: left out",
                    case.word()
                );
                continue;
            };
            if number == 1 && run.daemon.offered().query.is_none() {
                println!("\n{title} has no cache query: what is asked of it is left out");
            }
            if std::mem::take(&mut unsaid) {
                println!("\n{}", case.describe(&run.load));
            }
            let lost = run
                .measure(args, column)
                .with_context(|| format!("{title}, case {}", case.word()))?;
            if lost > 0 && case.protocol() != Protocol::Udp {
                println!("  {title} has lost {lost} points of the metrics that were asked for");
                sound &= matches!(launch, Launch::Against(_));
            }
        }
    }
    print!(
        "{}",
        figures::table(&ROWS, &columns, Some("against / benzene"))
    );
    Ok(sound)
}

/// A daemon that is ready for its load.
struct Run {
    // Before the site, which takes the directory away.
    daemon: Daemon,
    site: Site,
    load: LoadArgs,
    workload: Workload,
}

impl Run {
    /// None: the daemon does not offer the port that the case needs.
    fn start(args: &IngestArgs, case: Case, launch: &Launch) -> Result<Option<Self>> {
        let conf = format!("{CONF}{}\n", args.lines.join("\n"));
        let site = args.daemon.site(&conf, SCHEMAS)?;
        let daemon = Daemon::start(launch, &site)?;
        let Offered {
            line, pickle, udp, ..
        } = daemon.offered();
        let target = match case.protocol() {
            Protocol::Line => Some(line),
            Protocol::Pickle => pickle,
            Protocol::Udp => udp,
        };
        let Some(target) = target else {
            return Ok(None);
        };
        let load = case.load(args, target.to_string());
        let now = clock::now().unix_seconds;
        let start = load::default_start(&load.shape, now);
        let workload = Workload::new(load.shape.clone(), start)?;
        Ok(Some(Self {
            daemon,
            site,
            load,
            workload,
        }))
    }

    /// Sends the load and adds a run's figures to the column; how many points are missing.
    fn measure(self, args: &IngestArgs, column: &mut Column) -> Result<u64> {
        let mut figures = Figures::new(&ROWS);
        let before = self.at_rest()?;
        let client_before = cpu::own();
        let summary = self.send(args, &mut figures)?;
        let client = cpu::own().saturating_sub(client_before);
        let after = self.at_rest()?;
        if let Some((number, points, error)) = summary.errors.first() {
            bail!("connection {number} stopped after {points} points: {error:#}");
        }
        figures.set(
            "client CPU, ns/point",
            per(client.as_nanos(), summary.points),
        );
        self.fill_in((before, after), &summary, &mut figures);
        let missing = self.look_for_points(&mut figures)?;
        column.runs.push(figures);
        Ok(missing)
    }

    /// What the daemon has used, once its processor time stands still.
    fn at_rest(&self) -> Result<Usage> {
        let start = clock::now().instant;
        let (mut last, mut still) = (self.daemon.usage()?, 0);
        while still < 2 && clock::now().instant.duration_since(start) < REST_PATIENCE {
            pause(REST_LOOK);
            let usage = self.daemon.usage()?;
            still = if usage.spent == last.spent {
                still + 1
            } else {
                0
            };
            last = usage;
        }
        Ok(last)
    }

    /// The load, with queries beside it where the daemon answers them.
    fn send(&self, args: &IngestArgs, figures: &mut Figures) -> Result<Summary> {
        let between = Duration::from_micros(args.query_pause);
        let query = self.daemon.offered().query.filter(|_| !between.is_zero());
        let Some(query) = query else {
            return load::send(&self.load, &self.workload);
        };
        let (stop, cores) = (AtomicBool::new(false), self.cores()?);
        let (summary, seen) = thread::scope(|scope| {
            let asking =
                scope.spawn(|| latency::measure(query, &self.workload, between, &stop, &cores));
            let summary = load::send(&self.load, &self.workload);
            stop.store(true, Ordering::Relaxed);
            let seen = asking
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (summary, seen)
        });
        let (summary, seen) = (summary?, seen.context("cache queries during the load")?);
        if !seen.asked.is_empty() {
            let count = u128::from(seen.asked.len()) * 1000;
            figures.set("queries during the load", count);
            for (name, waits, quantile) in [
                ("p50, us", &seen.asked, 0.5),
                ("p99, us", &seen.asked, 0.99),
                ("p99.9, us", &seen.asked, 0.999),
                ("max, us", &seen.asked, 1.0),
                ("p99 of all that were due, us", &seen.due, 0.99),
            ] {
                // Nanoseconds are thousandths of the unit.
                figures.set(name, waits.value_at_quantile(quantile).into());
            }
        }
        if let Some(slow) = seen.slow {
            for (name, count) in [
                ("queries over 1 ms", slow.all),
                ("the asker had no processor", slow.asker),
                ("a core had no processor", slow.core),
            ] {
                figures.set(name, u128::from(count) * 1000);
            }
        }
        Ok(summary)
    }

    /// The threads of the daemon that answer, where they are known.
    fn cores(&self) -> Result<Vec<Runqueue>> {
        let threads = self.daemon.cores()?;
        let found = threads.iter().filter_map(|thread| Runqueue::of(thread));
        Ok(found.collect())
    }

    fn fill_in(&self, (before, after): (Usage, Usage), summary: &Summary, figures: &mut Figures) {
        let (points, series) = (summary.points, u64::from(self.workload.metrics()));
        let rate = per_second(points, summary.time);
        figures.set("received, points/s", u128::from(rate) * 1000);
        let spent = after.spent - before.spent;
        for (name, time) in [
            ("CPU, ns/point", spent.sum()),
            ("user, ns/point", spent.user),
            ("system, ns/point", spent.system),
        ] {
            figures.set(name, per(time.as_nanos(), points));
        }
        for (name, bytes) in [
            ("resident, empty, MiB", before.resident),
            ("resident, peak, MiB", after.peak),
            ("resident, after, MiB", after.resident),
        ] {
            figures.set(name, per(bytes.into(), 1 << 20));
        }
        for (name, bytes, share) in [
            ("peak above empty, bytes/point", after.peak, points),
            ("after above empty, bytes/point", after.resident, points),
            ("peak above empty, bytes/series", after.peak, series),
            ("after above empty, bytes/series", after.resident, series),
        ] {
            let above = bytes.saturating_sub(before.resident);
            figures.set(name, per(above.into(), share));
        }
    }

    /// Asks for all points of some metrics; how many are missing. Metrics that have a file by now
    /// are left out: their points may have left the cache.
    fn look_for_points(&self, figures: &mut Figures) -> Result<u64> {
        let Some(query) = self.daemon.offered().query else {
            return Ok(0);
        };
        let metrics = self.workload.metrics();
        let step = match self.load.protocol {
            Protocol::Udp => 1,
            Protocol::Line | Protocol::Pickle => metrics.div_ceil(ASKED),
        };
        let names: Vec<String> = (0..metrics)
            .step_by(step as usize)
            .map(|index| self.workload.name(index))
            .filter(|name| !self.has_file(name))
            .collect();
        let mut asker = Asker::connect(query)?;
        let (mut found, rounds) = (0, u64::from(self.workload.rounds()));
        for some in names.chunks(PIPELINE) {
            let some: Vec<&str> = some.iter().map(String::as_str).collect();
            asker.ask(&some)?;
            for name in some {
                let points = u64::try_from(asker.answer()?.len())?;
                ensure!(
                    points <= rounds,
                    "{name} has {points} points, {rounds} were sent"
                );
                found += points;
            }
        }
        let wanted = u64::try_from(names.len())? * rounds;
        let missing = wanted - found;
        let metrics = u128::try_from(names.len())?;
        figures.set("metrics asked for all points", metrics * 1000);
        figures.set("points missing", u128::from(missing) * 1000);
        let percent = per(u128::from(missing) * 100, wanted);
        figures.set("points missing, percent", percent);
        Ok(missing)
    }

    fn has_file(&self, name: &str) -> bool {
        let file = format!("{}.wsp", name.replace('.', "/"));
        self.site.data().join(file).exists()
    }
}
