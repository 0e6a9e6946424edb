//! `benzene-bench soak`: lives with a daemon for a bounded time and looks whether anything goes
//! wrong. Regular metrics come in over line and pickle connections at an even pace; beside them new
//! names, datagrams, garbage, idle and unfinished connections; the cache is asked all the while, and
//! the daemon is stopped and started every so often. A line a minute says how things stand.
//! The first restart comes early, and memory counts from then on: a daemon that finds its files
//! and is sent again what may be lost comes to another size than one that begins with nothing.
//! In the end: memory is as flat as promised, every report of the accounts balances exactly, no
//! answer was wrong, each stop was clean, and every regular point is in its file. What fails is
//! said, and the exit code is 1; the daemon's directory is kept then.

mod accounts;
mod memory;
mod noise;
mod scene;
mod sender;
mod witness;

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use benzene_engine::clock;

use crate::asker::Asker;
use crate::check::{self, CheckArgs, Tally};
use crate::daemon::{Daemon, DaemonArgs, Launch, Site, pause};
use crate::load::{Protocol, share};
use crate::machine;
use crate::workload::{Shape, Workload};
use accounts::{Accounts, Totals};
use memory::Memory;
use scene::Scene;
use sender::Sender;

/// carbon.conf besides directories and ports: own metrics every second, so that a report is always
/// answerable; points are written as they come, so that a short run sees files too; a stop writes
/// everything out, so that the files can be compared; the rest as the daemon chooses it.
const CONF: &str = "CARBON_METRIC_INTERVAL = 1\nCACHE_WRITE_STRATEGY = sorted\nSHUTDOWN = drain\n";
/// Own metrics and noise need no long past; regular points are all kept.
const SCHEMAS: &str = "\
[own]
pattern = ^carbon\\.
retentions = 1s:10m
[noise]
pattern = ^soak\\.(new|udp|good|garbage|unfinished)
retentions = 10s:10m
[regular]
pattern = .*
";
/// Shortest past that regular files keep.
const PAST_S_MIN: u64 = 3600;
/// Longest wait for a stop: all that is cached is written.
const STOP_PATIENCE: Duration = Duration::from_secs(300);
/// Longest wait for a report of the daemon's own metrics, which comes every second.
const REPORT_PATIENCE: Duration = Duration::from_secs(30);
/// How often the director looks.
const LOOK: Duration = Duration::from_millis(200);
/// Seconds after a start in which memory is not looked at, or a third of the time to the restart
/// where that is shorter.
const GROWING_S_MAX: u64 = 20;
/// Longest time from the last due point to the end of all senders.
const OVERTIME: Duration = Duration::from_secs(120);
/// Steps from the begin to the first restart.
const FIRST_RESTART_STEPS: u32 = 3;
/// Without --restart-every: so many times in all, but at most so many seconds apart.
const RESTARTS: u64 = 4;
const RESTART_S_MAX: u64 = 600;

/// Options of `soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct SoakArgs {
    #[command(flatten)]
    daemon: DaemonArgs,
    /// How long: a number and s, m, h or d
    #[arg(long, default_value = "1h", value_parser = seconds)]
    duration: u64,
    /// Regular metrics, one point a step each
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(16..))]
    metrics: u32,
    /// Seconds between two points of a regular metric
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    step: u32,
    /// Connections of regular metrics, so many of each protocol: line and pickle
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=8))]
    connections: u32,
    /// New names a second
    #[arg(long, default_value_t = 5)]
    new_names: u64,
    /// Time from one start of the daemon to its restart [default: a quarter of the duration, at
    /// most 10m]
    #[arg(long, value_parser = seconds)]
    restart_every: Option<u64>,
    /// File that the report is written to besides stdout
    #[arg(long)]
    record: Option<PathBuf>,
}

impl SoakArgs {
    /// Seconds from a start to its restart.
    fn restart_every(&self) -> u64 {
        self.restart_every
            .unwrap_or_else(|| (self.duration / RESTARTS).clamp(1, RESTART_S_MAX))
    }
}

/// A time as `90`, `90s`, `5m`, `1h` or `2d`, in seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let refused = || format!("{text:?} is no time; 90s, 5m, 1h and 2d are");
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(refused()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|error| format!("{}: {error}", refused()))?;
    let whole = number.checked_mul(unit).ok_or_else(refused)?;
    Some(whole).filter(|whole| *whole > 0).ok_or_else(refused)
}

/// Where the report goes.
struct Report {
    record: Option<File>,
}

impl Report {
    fn new(path: Option<&Path>) -> Result<Self> {
        let record = path
            .map(|path| {
                File::create(path).with_context(|| format!("cannot write {}", path.display()))
            })
            .transpose()?;
        Ok(Self { record })
    }

    /// Lines to stdout and into the record.
    fn say(&mut self, text: &str) -> Result<()> {
        let text = text.trim_end();
        println!("{text}");
        if let Some(record) = &mut self.record {
            writeln!(record, "{text}").context("cannot write the record")?;
        }
        Ok(())
    }
}

/// Runs the command and prints its report. False: something went wrong with the daemon.
pub(crate) fn command(args: &SoakArgs) -> Result<bool> {
    let mut report = Report::new(args.record.as_deref())?;
    let program = args.daemon.program()?;
    report.say(&machine::head(&args.daemon.parent(), Some(&program)))?;
    let rounds = u32::try_from(args.duration / u64::from(args.step))?;
    ensure!(rounds >= 6, "--duration must be six steps at least");
    let past = (2 * args.duration).max(PAST_S_MIN);
    let past = past.next_multiple_of(u64::from(args.step));
    let schemas = format!("{SCHEMAS}retentions = {}s:{past}s\n", args.step);
    let site = args.daemon.site(CONF, &schemas)?;
    let launch = Launch::Own(program);
    let daemon = Daemon::start(&launch, &site)?;
    let scene = scene(args, rounds, &daemon)?;
    let mut director = Director {
        args,
        scene: &scene,
        site: &site,
        launch: &launch,
        report: &mut report,
        memory: Memory::default(),
        up_since_s: 0,
        earlier: Accounts::default(),
        stops: 0,
        unbalanced: 0,
        problems: Vec::new(),
    };
    let outcome = director.direct(daemon);
    if !matches!(outcome, Ok(true)) {
        let kept = site.keep();
        report.say(&format!(
            "the daemon's directory is kept: {}",
            kept.display()
        ))?;
    }
    let sound = match outcome {
        Ok(sound) => sound,
        Err(error) => {
            report.say(&format!("PROBLEM: {error:#}"))?;
            false
        }
    };
    report.say(if sound { "SOUND" } else { "NOT SOUND" })?;
    Ok(sound)
}

/// The regular points, from the next multiple of the step on.
fn scene(args: &SoakArgs, rounds: u32, daemon: &Daemon) -> Result<Scene> {
    let shape = Shape {
        metrics: args.metrics,
        rounds,
        step: args.step,
        prefix: String::from("soak.regular"),
        seed: 1,
    };
    let now = clock::now();
    let start = (now.unix_seconds + 1).next_multiple_of(args.step);
    let begin = now.instant + Duration::from_secs(u64::from(start - now.unix_seconds));
    let step = Duration::from_secs(u64::from(args.step));
    let workload = Workload::new(shape, start)?;
    Ok(Scene::new(workload, step, begin, daemon.offered()))
}

/// The daemon's newest report; after a start it takes a second to come.
fn newest_report(query: SocketAddr) -> Result<Totals> {
    let mut asker = Asker::connect(query)?;
    let start = clock::now().instant;
    loop {
        if let Some(totals) = accounts::read(&mut asker)? {
            return Ok(totals);
        }
        ensure!(
            clock::now().instant.duration_since(start) < REPORT_PATIENCE,
            "the daemon has no report of its own metrics"
        );
        pause(LOOK);
    }
}

/// Runs the soak and gathers what it sees.
struct Director<'a> {
    args: &'a SoakArgs,
    scene: &'a Scene,
    site: &'a Site,
    launch: &'a Launch,
    report: &'a mut Report,
    memory: Memory,
    /// Second of the daemon's last start.
    up_since_s: u64,
    /// What daemons counted that have stopped.
    earlier: Accounts,
    stops: u32,
    /// Reports of the accounts that did not balance.
    unbalanced: u32,
    /// What went wrong, for the verdict.
    problems: Vec<String>,
}

impl Director<'_> {
    /// The whole soak. An error ends it early, for everyone.
    fn direct(&mut self, daemon: Daemon) -> Result<bool> {
        let scene = self.scene;
        let query = scene.offered.query.context("no cache query port")?;
        let data = self.site.data();
        let (daemon, faults) = thread::scope(|scope| {
            let (sender, finished) = mpsc::channel();
            let senders = self.senders(scene)?;
            for one in senders {
                let sender = sender.clone();
                // The receiver lives until every sender is gone, so this cannot fail.
                scope.spawn(move || drop(sender.send(one.run())));
            }
            drop(sender);
            let new_names = self.args.new_names;
            scope.spawn(move || noise::make(scene, new_names));
            let watching = scope.spawn(|| witness::watch(scene, query, &data));
            let outcome = self.watch_over(daemon, &finished);
            scene.stop.store(true, Ordering::SeqCst);
            let faults = watching
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok::<_, anyhow::Error>((outcome?, faults))
        })?;
        self.tell(&daemon, query)?;
        self.stop(daemon)?;
        self.verdict(&faults)
    }

    /// The senders of regular points: equal shares, line and pickle in turn.
    fn senders<'s>(&self, scene: &'s Scene) -> Result<Vec<Sender<'s>>> {
        let offered = scene.offered;
        let pickle = offered.pickle.context("no pickle receiver")?;
        let connections = 2 * self.args.connections;
        let senders = (0..connections).map(|number| {
            let metrics = share(self.args.metrics, connections, number);
            let (protocol, target) = match number % 2 {
                0 => (Protocol::Line, offered.line),
                _ => (Protocol::Pickle, pickle),
            };
            Sender::new(scene, protocol, target, metrics)
        });
        Ok(senders.collect())
    }

    /// Until all senders are done: memory every second, a line every minute, restarts.
    fn watch_over(
        &mut self,
        mut daemon: Daemon,
        finished: &Receiver<Result<()>>,
    ) -> Result<Daemon> {
        let query = self.scene.offered.query.context("no cache query port")?;
        let duration = self.args.duration;
        let every = self.args.restart_every();
        let first = u64::from(FIRST_RESTART_STEPS * self.args.step);
        let (mut sampled, mut minutes) = (0, 0);
        loop {
            match finished.recv_timeout(LOOK) {
                Ok(Ok(())) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Err(error)) => self.problems.push(format!("a sender gave up: {error:#}")),
                Err(RecvTimeoutError::Disconnected) => return Ok(daemon),
            }
            if let Some(status) = daemon.ended()? {
                bail!(
                    "the daemon ended by itself with {status}:\n{}",
                    self.site.log_tail()
                );
            }
            let second = self.scene.elapsed().as_secs();
            ensure!(
                second < duration + OVERTIME.as_secs(),
                "senders are not done {OVERTIME:?} after their last point was due"
            );
            if second > sampled {
                sampled = second;
                self.sample(&daemon, second)?;
            }
            if second / 60 > minutes {
                minutes = second / 60;
                self.tell(&daemon, query)?;
            }
            let left = duration.saturating_sub(second);
            let due = if self.stops == 0 {
                every.min(first)
            } else {
                every
            };
            if second >= self.up_since_s + due && left > 3 * u64::from(self.args.step) {
                daemon = self.restart(daemon)?;
            }
        }
    }

    fn sample(&mut self, daemon: &Daemon, second: u64) -> Result<()> {
        let growing = GROWING_S_MAX.min(self.args.restart_every() / 3);
        if self.stops > 0 && second >= self.up_since_s + growing {
            self.memory.add(second, daemon.usage()?.resident);
        }
        Ok(())
    }

    /// The line of a minute.
    fn tell(&mut self, daemon: &Daemon, query: SocketAddr) -> Result<()> {
        let Totals { accounts, reasons } = newest_report(query)?;
        if !accounts.balance() {
            self.unbalanced += 1;
            self.problems
                .push(format!("accounts do not balance: {accounts}"));
        }
        let sent = &self.scene.sent;
        let reasons: Vec<String> = reasons
            .iter()
            .map(|(label, count)| format!("{label} {count}"))
            .collect();
        let line = format!(
            "{:>5} s: resident {} KiB; sent {} regular, {} new names, {} UDP, {} garbage; {}; since \
             its start {}; answers {} right, {} wrong; {} restarts, {} reconnects",
            self.scene.elapsed().as_secs(),
            daemon.usage()?.resident >> 10,
            sent.regular.get(),
            sent.new_names.get(),
            sent.udp.get(),
            sent.garbage.get(),
            self.earlier.and(&accounts),
            if reasons.is_empty() {
                String::from("nothing refused")
            } else {
                reasons.join(", ")
            },
            sent.answers.get() - sent.faults.get(),
            sent.faults.get(),
            self.stops,
            sent.reconnects.get(),
        );
        self.report.say(&line)
    }

    fn restart(&mut self, daemon: Daemon) -> Result<Daemon> {
        self.scene.goes_down();
        self.stop(daemon)?;
        let daemon = Daemon::start(self.launch, self.site)?;
        self.up_since_s = self.scene.elapsed().as_secs();
        self.scene.goes_up();
        Ok(daemon)
    }

    /// Stops the daemon; it must end well, with its accounts balanced and nothing left over.
    fn stop(&mut self, daemon: Daemon) -> Result<()> {
        let said = self.site.log().len();
        let status = daemon.stop(STOP_PATIENCE)?;
        self.stops += 1;
        let log = self.site.log();
        let accounts = accounts::at_stop(log.get(said..).unwrap_or_default());
        let accounts = accounts.context("the daemon has stopped without its accounts")?;
        if !status.success() || accounts.cached > 0 {
            self.problems
                .push(format!("a stop ended with {status}: {accounts}"));
        }
        if !accounts.balance() {
            self.unbalanced += 1;
            self.problems
                .push(format!("accounts do not balance: {accounts}"));
        }
        self.earlier = self.earlier.and(&accounts);
        Ok(())
    }

    /// The end of the report. True: all is well.
    fn verdict(&mut self, faults: &Tally) -> Result<bool> {
        let accounts = self.earlier;
        self.report
            .say(&format!("accounts, {} stops: {accounts}", self.stops))?;
        self.report.say(&format!(
            "accounts that did not balance: {}",
            self.unbalanced
        ))?;
        match self.memory.thirds() {
            None => self
                .problems
                .push(String::from("too few samples of the memory")),
            Some(thirds) => {
                let (first, last) = (thirds.first >> 10, thirds.last >> 10);
                self.report.say(&format!(
                    "resident, mean of the first third {first} KiB, of the last third {last} KiB"
                ))?;
                if !thirds.are_flat() {
                    self.problems.push(String::from("memory is not flat"));
                }
            }
        }
        let answers = self.scene.sent.answers.get();
        self.report
            .say(&format!("answers: {answers}, wrong {}", faults.text(5)))?;
        if !faults.is_none() || answers == 0 {
            self.problems
                .push(String::from("answers were wrong, or there were none"));
        }
        let (sound, findings) = self.check()?;
        self.report.say(&findings)?;
        if !sound {
            self.problems
                .push(String::from("regular points are not as they were sent"));
        }
        for problem in &self.problems {
            self.report.say(&format!("PROBLEM: {problem}"))?;
        }
        Ok(self.problems.is_empty())
    }

    /// Looks for every regular point in its file.
    fn check(&self) -> Result<(bool, String)> {
        let workload = &self.scene.workload;
        let args = CheckArgs::of(workload, self.site.data());
        let findings = check::check(&args, workload)?;
        Ok((findings.is_sound(), findings.text(workload, args.examples)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("5m"), Ok(300));
        assert_eq!(seconds("2d"), Ok(172_800));
        for wrong in [
            "",
            "m",
            "0s",
            "-1s",
            "1.5h",
            "5 m",
            "1w",
            "99999999999999999999d",
        ] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_record_has_what_was_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.txt");
        let mut report = Report::new(Some(&path)).unwrap();
        report.say("one\ntwo\n").unwrap();
        report.say("three").unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "one\ntwo\nthree\n");
    }
}
