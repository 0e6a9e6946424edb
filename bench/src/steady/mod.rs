//! `benzene-bench steady`: a daemon under the even load of a site, as it starts with nothing, as it is,
//! with a writer that is too slow, and as it gets over that. Every metric has a point a minute, all of them
//! spread evenly over it and sent over one connection by line.
//! Four phases: files are made; then all is as on any day; then MAX_UPDATES_PER_SECOND is a tenth of the
//! load, so that points gather; then it is what it was. Before the third and the fourth the daemon is
//! stopped, which leaves what is cached in the journal, and started, while the load comes. In the end all
//! is written out. Figures of a phase are the daemon's own (`phase`); a query every 10 ms waits beside it.
//! A daemon that ends by itself, does not end well or loses what its journal owes is an error.

mod phase;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use benzene_engine::clock;

use crate::asker::Asker;
use crate::daemon::{Daemon, DaemonArgs, Launch, Site, local, pause};
use crate::figures::{self, Column};
use crate::latency;
use crate::load::Protocol;
use crate::load::even::{Connection, Pace, Sender};
use crate::machine;
use crate::own_metrics;
use crate::replay::{ended, restart};
use crate::soak::seconds;
use crate::workload::{Shape, Workload};
use phase::{LABELS, Mark, Marks, ROWS};

/// The option that the third phase has otherwise, and what it is by itself.
const LIMIT: &str = "MAX_UPDATES_PER_SECOND";
const NO_LIMIT: &str = "auto";
/// carbon.conf besides directories and ports: reports come often, and a stop leaves what is cached in the
/// journal wherever that lies.
const CONF: &str =
    "CARBON_METRIC_INTERVAL = 2\nSHUTDOWN = journal\nMAX_UPDATES_PER_SECOND = auto\n";
/// The limited writer may do so small a part of the load.
const LIMITED_PART: u32 = 10;
/// Slots of a file, a point each: four hours of minutes.
const SLOTS: u32 = 240;
/// From an answer to the next question.
const QUERY_PAUSE: Duration = Duration::from_millis(10);
/// How often is looked for a report.
const LOOK: Duration = Duration::from_millis(200);
/// Seconds from a line of how things stand to the next.
const TELL_S: u32 = 30;
/// Longest time without a report.
const REPORT_PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait until all is written out.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1800);

/// Options of `steady`.
#[derive(Debug, clap::Args)]
pub(crate) struct SteadyArgs {
    #[command(flatten)]
    daemon: DaemonArgs,
    /// Metrics, one point a step each
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u32).range(10..))]
    metrics: u32,
    /// Seconds between two points of a metric
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    step: u32,
    /// How long files are made: a number and s, m, h or d
    #[arg(long, default_value = "5m", value_parser = seconds)]
    creation: u64,
    /// How long all is as on any day
    #[arg(long, default_value = "3m", value_parser = seconds)]
    steady: u64,
    /// How long the writer is too slow
    #[arg(long, default_value = "600s", value_parser = seconds)]
    limited: u64,
    /// How long it may get over that
    #[arg(long, default_value = "3m", value_parser = seconds)]
    released: u64,
    /// A metric keeps its value: a journal needs less for that
    #[arg(long)]
    equal_values: bool,
    /// A further line of carbon.conf, `KEY = VALUE`, such as SHARDS = 1; repeatable
    #[arg(long = "conf", value_name = "LINE")]
    lines: Vec<String>,
}

impl SteadyArgs {
    /// Points a second.
    fn load(&self) -> u32 {
        self.metrics / self.step
    }

    /// Rounds that no run comes to the end of: restarts and drains take time too.
    fn rounds(&self) -> Result<u32> {
        let phases = self.creation + self.steady + self.limited + self.released;
        let longest = 2 * phases + 4 * DRAIN_PATIENCE.as_secs();
        Ok(u32::try_from(longest.div_ceil(self.step.into()))?)
    }

    fn pace(&self) -> Result<Pace> {
        let shape = Shape {
            metrics: self.metrics,
            rounds: self.rounds()?,
            step: self.step,
            prefix: String::from("bench.steady"),
            seed: 1,
        };
        let now = clock::now();
        let workload = Workload::new(shape, now.unix_seconds)?;
        let mut pace = Pace::new(workload, now.instant);
        pace.keeps_values = self.equal_values;
        Ok(pace)
    }
}

/// Runs the command and prints its report.
pub(crate) fn command(args: &SteadyArgs) -> Result<bool> {
    let program = args.daemon.program()?;
    let limit = args.load() / LIMITED_PART;
    ensure!(
        limit > 0,
        "a tenth of the load is less than a point a second"
    );
    let (step, past) = (args.step, args.step * SLOTS);
    let schemas = format!("[all]\npattern = .*\nretentions = {step}s:{past}s\n");
    let conf = format!("{CONF}{}\n", args.lines.join("\n"));
    let site = args.daemon.site(&conf, &schemas)?;
    print!("{}", machine::head(site.dir(), Some(&program)));
    for line in &args.lines {
        println!("carbon.conf {line}");
    }
    println!(
        "\n{} metrics, a point each {step} s, {} points/s by line over one connection, {} values",
        args.metrics,
        args.load(),
        if args.equal_values { "equal" } else { "drawn" }
    );
    let pace = args.pace()?;
    let connection = Connection::new(0..args.metrics);
    let target = local(site.ports().line);
    let columns = thread::scope(|scope| {
        let sender = Sender::new(&pace, Protocol::Line, target, &connection);
        let sending = scope.spawn(move || sender.run());
        let mut course = Course {
            args,
            site: &site,
            launch: Launch::Own(program.clone()),
            pace: &pace,
            columns: Vec::new(),
        };
        let outcome = course.run(limit).map(|daemon| (daemon, course.columns));
        pace.end();
        let sent = sending
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (daemon, columns) = outcome?;
        sent.context("the load")?;
        let begun = clock::now().instant;
        let status = daemon.drain(&program, &site, DRAIN_PATIENCE)?;
        ensure!(status.success(), "a drain ended with {status}");
        println!(
            "drain: {:.1} s",
            clock::now().instant.duration_since(begun).as_secs_f64()
        );
        Ok::<_, anyhow::Error>(columns)
    })
    .with_context(|| format!("the daemon's log:\n{}", site.log_tail()))?;
    print!("\n{}", figures::table(&ROWS, &columns, None));
    Ok(true)
}

/// A daemon, and the second in which it was started.
struct Up {
    daemon: Daemon,
    started_at: u32,
}

/// The phases, one after the other.
struct Course<'a> {
    args: &'a SteadyArgs,
    site: &'a Site,
    launch: Launch,
    pace: &'a Pace,
    columns: Vec<Column>,
}

impl Course<'_> {
    /// The daemon that is left in the end.
    fn run(&mut self, limit: u32) -> Result<Daemon> {
        let args = self.args;
        let started_at = clock::now().unix_seconds;
        let daemon = Daemon::start(&self.launch, self.site)?;
        let mut up = Up { daemon, started_at };
        let mut creation = Marks::default();
        creation.push(Mark::of_start(started_at));
        self.phase(&mut up, ("creation", args.creation), creation)?;
        self.phase(&mut up, ("steady", args.steady), Marks::default())?;
        let mut up = self.restart(up, &limit.to_string())?;
        self.phase(&mut up, ("limited", args.limited), Marks::default())?;
        let mut up = self.restart(up, NO_LIMIT)?;
        self.phase(&mut up, ("released", args.released), Marks::default())?;
        Ok(up.daemon)
    }

    /// Stops the daemon and starts it with another limit.
    fn restart(&self, up: Up, limit: &str) -> Result<Up> {
        let begun = clock::now().instant;
        let (at_stop, _) = ended(up.daemon, self.site)?;
        let took = clock::now().instant.duration_since(begun);
        println!(
            "stop: {:.2} s with {} points cached",
            took.as_secs_f64(),
            at_stop.cached
        );
        self.site.set(LIMIT, limit)?;
        let started_at = clock::now().unix_seconds;
        let workload = &self.pace.workload;
        let start = restart::start(&self.launch, self.site, workload, QUERY_PAUSE)?;
        println!(
            "start, {LIMIT} = {limit}: a line accepted after {:.1} ms, a query answered after {:.1} ms; {} \
             points back after {:.2} s and {:.2} s of processor time, {} queries meanwhile, the worst {:.1} ms",
            start.accepted.as_secs_f64() * 1e3,
            start.answered.as_secs_f64() * 1e3,
            start.points,
            start.back.as_secs_f64(),
            start.usage.spent.sum().as_secs_f64(),
            start.seen.asked.len(),
            Duration::from_nanos(start.seen.asked.max()).as_secs_f64() * 1e3
        );
        ensure!(
            start.points >= at_stop.cached,
            "{} points came back of {}",
            start.points,
            at_stop.cached
        );
        Ok(Up {
            daemon: start.daemon,
            started_at,
        })
    }

    /// So long, with queries beside it; its figures. `marks` is what is known before the first report.
    fn phase(
        &mut self,
        up: &mut Up,
        (name, seconds): (&'static str, u64),
        marks: Marks,
    ) -> Result<()> {
        let query = up.daemon.offered().query.context("no cache query port")?;
        let (stop, workload) = (AtomicBool::new(false), &self.pace.workload);
        let (marks, seen) = thread::scope(|scope| {
            let asking = scope.spawn(|| latency::measure(query, workload, QUERY_PAUSE, &stop, &[]));
            let marks = self.look(up, (name, Duration::from_secs(seconds)), marks);
            stop.store(true, Ordering::Relaxed);
            let seen = asking
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok::<_, anyhow::Error>((marks?, seen.with_context(|| format!("queries, {name}"))?))
        })?;
        let mut column = Column::new(name);
        column.runs.push(marks.figures(&seen));
        self.columns.push(column);
        Ok(())
    }

    /// Gathers reports, and says every half minute how things stand.
    fn look(&self, up: &mut Up, (name, time): (&str, Duration), mut marks: Marks) -> Result<Marks> {
        let query = up.daemon.offered().query.context("no cache query port")?;
        let mut asker = Asker::connect(query)?;
        let (begun, mut told) = (clock::now().instant, 0);
        let mut newest_at = begun;
        loop {
            let now = clock::now().instant;
            if let Some(status) = up.daemon.ended()? {
                bail!("the daemon ended by itself with {status}");
            }
            let after = up.started_at.max(marks.last_second());
            if let Some((second, report)) = own_metrics::newest(&mut asker, &LABELS, after)? {
                let usage = up.daemon.usage()?;
                marks.push(Mark {
                    second,
                    report,
                    usage,
                });
                newest_at = now;
            }
            ensure!(
                now.duration_since(newest_at) < REPORT_PATIENCE,
                "the daemon has made no report for {REPORT_PATIENCE:?}"
            );
            let passed = now.duration_since(begun);
            let is_over = passed >= time && marks.are_enough();
            let is_due = passed.as_secs() / u64::from(TELL_S) > told || is_over;
            if let Some(line) = marks.tell(TELL_S).filter(|_| is_due) {
                told = passed.as_secs() / u64::from(TELL_S);
                println!("{:>5} s {name}: {line}", self.pace.elapsed().as_secs());
            }
            if is_over {
                return Ok(marks);
            }
            pause(LOOK);
        }
    }
}
