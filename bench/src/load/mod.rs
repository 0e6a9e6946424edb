//! `benzene-bench load`: sends points to a receiver and says how fast they went and what they
//! cost. One thread a connection, each with metrics of its own, so that the points of a metric
//! arrive in the order of their rounds.
//! "Taken" means that the peer has closed after us, which a carbon receiver does once it has read
//! everything; over UDP nothing says so, and only what was handed to the kernel is known.
//! The time of a report begins when the first connection can send, with all names made, and ends
//! when the last is done.
//! The report names the options with which `check` finds the same points again.

pub(crate) mod connection;
pub(crate) mod encode;
pub(crate) mod even;

use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::Range;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use benzene_engine::clock;
use clap::ValueEnum;

use crate::cpu;
use crate::progress::{Done, Progress, TICK, per_second};
use crate::workload::{Shape, Workload};
use connection::{Outcome, Task};

/// In which form points are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// Lines over TCP (port 2003 of carbon)
    Line,
    /// Pickle frames over TCP (port 2004)
    Pickle,
    /// Lines in datagrams (port 2003, ENABLE_UDP_LISTENER)
    Udp,
}

impl Protocol {
    /// The word of the report, as on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Pickle => "pickle",
            Self::Udp => "udp",
        }
    }
}

/// In which order a round's metrics are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// The same in every round, as senders do
    Same,
    /// Another one in every round
    Random,
}

/// Options of `load`.
#[derive(Debug, clap::Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// Timestamp of the first round, Unix seconds [default: such that the last round is now]
    #[arg(long)]
    pub(crate) start: Option<u32>,
    /// In which form points are sent
    #[arg(long, value_enum, default_value_t = Protocol::Line)]
    pub(crate) protocol: Protocol,
    /// Where to, as host:port
    #[arg(long, default_value = "127.0.0.1:2003")]
    pub(crate) target: String,
    /// How many connections, one thread each
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) connections: u32,
    /// Points a second over all connections; 0 is as fast as it goes
    #[arg(long, default_value_t = 0)]
    pub(crate) rate: u64,
    /// Points of a pickle frame
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: u32,
    /// In which order a round's metrics are sent
    #[arg(long, value_enum, default_value_t = Order::Same)]
    pub(crate) order: Order,
    /// Seconds in which the peer must take at least something
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    /// Nice value of the sending threads: 19 leaves the processor to the receiver where both want it
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=19))]
    pub(crate) nice: i32,
    /// Process whose processor time is reported too: the receiver's
    #[arg(long)]
    pub(crate) pid: Option<u32>,
}

/// Runs the command and prints its report. False: not everything was sent.
pub(crate) fn command(args: &LoadArgs) -> Result<bool> {
    let now = clock::now().unix_seconds;
    let start = args
        .start
        .unwrap_or_else(|| default_start(&args.shape, now));
    let workload = Workload::new(args.shape.clone(), start)?;
    ensure!(
        args.rate == 0 || args.rate >= u64::from(args.connections),
        "--rate {} gives {} connections less than a point a second each",
        args.rate,
        args.connections
    );
    let server_before = args.pid.map(cpu::of_process).transpose()?;
    let own_before = cpu::own();
    let summary = send(args, &workload)?;
    let own = cpu::own().saturating_sub(own_before);
    println!(
        "load: {} to {}, {} connections",
        args.protocol.word(),
        args.target,
        args.connections
    );
    summary.print();
    println!("client cpu: {}", cost(own, summary.points));
    if let (Some(pid), Some(before)) = (args.pid, server_before) {
        let server = cpu::of_process(pid)?.saturating_sub(before);
        println!("server cpu: {} (pid {pid})", cost(server, summary.points));
    }
    println!("check with: benzene-bench check DIR {}", workload.options());
    Ok(summary.errors.is_empty())
}

/// What all connections did together.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) points_wanted: u64,
    pub(crate) points: u64,
    pub(crate) bytes: u64,
    /// From the first connection that could send to the last that was done.
    pub(crate) time: Duration,
    /// Connection number, its points, and what ended it early.
    pub(crate) errors: Vec<(usize, u64, anyhow::Error)>,
}

impl Summary {
    fn print(&self) {
        let Self {
            points_wanted,
            points,
            bytes,
            time,
            errors,
        } = self;
        println!(
            "sent: {points} of {points_wanted} points, {bytes} bytes in {:.3} s: {} points/s, \
             {} bytes/s",
            time.as_secs_f64(),
            per_second(*points, *time),
            per_second(*bytes, *time)
        );
        for (number, points, error) in errors {
            println!("connection {number}: stopped after {points} points: {error:#}");
        }
    }
}

/// Sends everything over all connections.
pub(crate) fn send(args: &LoadArgs, workload: &Workload) -> Result<Summary> {
    let target = resolve(&args.target)?;
    let done = Done::default();
    let mut progress = Progress::start("points sent", workload.points());
    let mut summary = Summary {
        points_wanted: workload.points(),
        ..Summary::default()
    };
    let mut span: Option<(Instant, Instant)> = None;
    let connections = args.connections.min(workload.metrics());
    thread::scope(|scope| -> Result<()> {
        let (sender, finished) = mpsc::channel::<(usize, Outcome)>();
        for number in 0..connections {
            let task = Task {
                workload,
                metrics: share(workload.metrics(), connections, number),
                protocol: args.protocol,
                order: args.order,
                batch: args.batch as usize,
                rate: (args.rate > 0).then(|| (args.rate / u64::from(connections)).max(1)),
                target,
                nice: args.nice,
                timeout: Duration::from_secs(args.timeout),
            };
            let (sender, done) = (sender.clone(), &done);
            thread::Builder::new()
                .name(format!("load-{number}"))
                .spawn_scoped(scope, move || {
                    // The receiver lives until every sender is gone, so this cannot fail.
                    drop(sender.send((number as usize, task.run(done))));
                })
                .context("cannot start a thread")?;
        }
        drop(sender);
        loop {
            match finished.recv_timeout(TICK) {
                Ok((number, outcome)) => {
                    span = hull(span, outcome.span);
                    summary.add(number, outcome);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            progress.tick(done.get());
        }
    })?;
    summary.time = span.map_or(Duration::ZERO, |(first, last)| last.duration_since(first));
    summary.errors.sort_by_key(|(number, ..)| *number);
    Ok(summary)
}

/// From the earlier beginning to the later end.
fn hull(
    one: Option<(Instant, Instant)>,
    other: Option<(Instant, Instant)>,
) -> Option<(Instant, Instant)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (one, other) => one.or(other),
    }
}

impl Summary {
    fn add(&mut self, number: usize, outcome: Outcome) {
        self.points += outcome.points;
        self.bytes += outcome.bytes;
        if let Some(error) = outcome.error {
            self.errors.push((number, outcome.points, error));
        }
    }
}

/// The metrics of connection `number` of `connections`: equal shares, side by side.
pub(crate) fn share(metrics: u32, connections: u32, number: u32) -> Range<u32> {
    let edge = |number: u32| {
        let metrics = u64::from(metrics) * u64::from(number) / u64::from(connections);
        u32::try_from(metrics).unwrap_or_else(|_| unreachable!("a share is at most the whole"))
    };
    edge(number)..edge(number + 1)
}

/// The last round's timestamp is the last multiple of the step.
pub(crate) fn default_start(shape: &Shape, now: u32) -> u32 {
    let last = now - now % shape.step;
    last.saturating_sub((shape.rounds - 1).saturating_mul(shape.step))
}

fn resolve(target: &str) -> Result<SocketAddr> {
    target
        .to_socket_addrs()
        .with_context(|| format!("--target {target} is no host:port"))?
        .next()
        .with_context(|| format!("--target {target} has no address"))
}

/// Processor time, whole and a point.
fn cost(time: Duration, points: u64) -> String {
    let nanos = time.as_nanos() / u128::from(points.max(1));
    format!("{:.3} s, {nanos} ns a point", time.as_secs_f64())
}

#[cfg(test)]
mod tests;
