//! `benzene-bench soak`: lives with a daemon for a bounded time and looks whether anything goes
//! wrong. Regular metrics come in over line and pickle connections at an even pace; beside them new
//! names, datagrams, garbage, idle and unfinished connections; the cache is asked all the while, and
//! the daemon is ended and started every so often: by a drain, by a stop that leaves what is cached in
//! the journal, and by a kill, in turn. A line a minute says how things stand.
//! The first restart comes early, and memory counts from then on: a daemon that finds its files
//! comes to another size than one that begins with nothing.
//! A restart is held to docs/durability.md exactly. Before it, each connection's newest point is looked
//! for until a reader sees it: all up to it has been read. Senders go back to that point and no further,
//! so that what lies before it is there in the end only if the daemon has kept it: at a drain and a stop
//! all that was seen by then, at a kill all that was seen a second before. A drain must leave an empty
//! cache, and nothing may come back; after a stop exactly what was cached must come back, and of
//! seconds that were received twice what was replaced besides (`Way::owed`). A killed daemon has no last
//! word: what it did after its last report is in no sum here, and what came back after it is only said.
//! In the end all is drained: memory is as flat as promised (`memory`), every report of the accounts
//! balances exactly, no answer was wrong, each end was clean, no log has an error, and every regular
//! point is in its file. What fails is said, and the exit code is 1; the daemon's directory is kept then.

mod memory;
mod noise;
mod restart;
mod scene;
mod witness;

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use benzene_engine::clock;

use crate::accounts::{self, Accounts, Totals};
use crate::asker::Asker;
use crate::check::{self, CheckArgs, Tally};
use crate::daemon::{Daemon, DaemonArgs, Launch, Site, pause};
use crate::load::Protocol;
use crate::load::even::{Connection, Sender};
use crate::machine;
use crate::said;
use crate::workload::{Shape, Workload};
use memory::Memory;
use restart::Way;
use scene::Scene;

/// carbon.conf besides directories and ports: own metrics every second, so that a report is always
/// answerable; and a stop leaves what is cached in the journal wherever that lies. The rest as the
/// daemon chooses it.
const CONF: &str = "CARBON_METRIC_INTERVAL = 1\nSHUTDOWN = journal\n";
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
/// From when a point has been seen to a kill that must not cost it: JOURNAL_COMMIT is 10 ms of the time
/// in which the daemon has a processor, and the rest is for a machine whose processors others have.
const KEPT_AFTER: Duration = Duration::from_secs(1);
/// Longest wait until a connection's newest point is seen.
const SEEN_PATIENCE: Duration = Duration::from_secs(60);
/// How often that is looked for.
const SEEN_LOOK: Duration = Duration::from_millis(5);
/// Longest wait for a report of the daemon's own metrics, which comes every second.
const REPORT_PATIENCE: Duration = Duration::from_secs(30);
/// How often the director looks.
const LOOK: Duration = Duration::from_millis(200);
/// Seconds after a start in which memory is not looked at, or a third of the time to the restart
/// where that is shorter: points are held for up to 60 s, so that a drained cache is as full as before
/// only then.
const GROWING_S_MAX: u64 = 90;
/// Longest time from the last due point to the end of all senders.
const OVERTIME: Duration = Duration::from_secs(120);
/// Most errors of the log that are shown.
const ERRORS_MAX: usize = 20;
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
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
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
    let started_at = clock::now().unix_seconds;
    let daemon = Daemon::start(&Launch::Own(program.clone()), &site)?;
    let scene = scene(args, rounds, &daemon)?;
    let mut director = Director {
        args,
        scene: &scene,
        site: &site,
        program: &program,
        report: &mut report,
        memory: Memory::default(),
        started_at,
        up_since_s: 0,
        earlier: Accounts::default(),
        ends: Vec::new(),
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
    let workload = Workload::new(shape, start)?;
    let senders = (daemon.offered(), 2 * args.connections);
    Ok(Scene::new(workload, begin, senders))
}

/// The newest report of a daemon that was started in this second; the first takes a second to come.
fn newest_report(query: SocketAddr, started_at: u32) -> Result<Totals> {
    let mut asker = Asker::connect(query)?;
    let start = clock::now().instant;
    loop {
        if let Some(totals) = accounts::read(&mut asker, started_at)? {
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
    program: &'a Path,
    report: &'a mut Report,
    memory: Memory,
    /// Unix second of the daemon's last start.
    started_at: u32,
    /// Second of the soak from which it was up and had what came back.
    up_since_s: u64,
    /// What daemons counted that have ended.
    earlier: Accounts,
    /// How they ended.
    ends: Vec<Way>,
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
            let senders = Self::senders(scene)?;
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
            scene.pace.end();
            let faults = watching
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok::<_, anyhow::Error>((outcome?, faults))
        })?;
        self.tell(&daemon, query)?;
        self.end(daemon, Way::Drain)?;
        self.verdict(&faults)
    }

    /// The senders of regular points: equal shares, line and pickle in turn.
    fn senders(scene: &Scene) -> Result<Vec<Sender<'_>>> {
        let offered = scene.offered;
        let pickle = offered.pickle.context("no pickle receiver")?;
        let senders = (0..).zip(&scene.connections).map(|(number, connection)| {
            let (protocol, target) = match number % 2 {
                0 => (Protocol::Line, offered.line),
                _ => (Protocol::Pickle, pickle),
            };
            Sender::new(&scene.pace, protocol, target, connection)
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
            let second = self.scene.pace.elapsed().as_secs();
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
            let due = if self.ends.is_empty() {
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
        if second >= self.up_since_s + growing {
            self.memory.add(daemon.usage()?.resident);
        }
        Ok(())
    }

    /// The line of a minute.
    fn tell(&mut self, daemon: &Daemon, query: SocketAddr) -> Result<()> {
        let Totals { accounts, reasons } = newest_report(query, self.started_at)?;
        self.weigh(&accounts);
        let sent = &self.scene.sent;
        let reasons: Vec<String> = reasons
            .iter()
            .map(|(label, count)| format!("{label} {count}"))
            .collect();
        let line = format!(
            "{:>5} s: resident {} KiB; sent {} regular, {} new names, {} UDP, {} garbage; {}; since \
             its start {}; answers {} right, {} wrong; {} restarts, {} reconnects",
            self.scene.pace.elapsed().as_secs(),
            daemon.usage()?.resident >> 10,
            self.scene.pace.sent.get(),
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
            self.ends.len(),
            self.scene.pace.reconnects.get(),
        );
        self.report.say(&line)
    }

    /// Accounts must balance.
    fn weigh(&mut self, accounts: &Accounts) {
        if !accounts.balance() {
            self.unbalanced += 1;
            self.problems
                .push(format!("accounts do not balance: {accounts}"));
        }
    }

    /// Ends the daemon in the way whose turn it is, and starts it again; what it owes must come back.
    fn restart(&mut self, daemon: Daemon) -> Result<Daemon> {
        let way = Way::in_turn(self.ends.len());
        self.mark_read()?;
        if way == Way::Kill {
            pause(KEPT_AFTER);
        }
        self.scene.goes_down();
        let begun = clock::now();
        let at_end = self.end(daemon, way)?;
        let ended = clock::now();
        let said = self.site.log().len();
        self.started_at = ended.unix_seconds;
        let mut daemon = Daemon::start(&Launch::Own(self.program.to_owned()), self.site)?;
        let back = said::await_all_back(&mut daemon, self.site, said)?;
        let owed = way.owed(&at_end);
        if !owed.contains(&back) {
            self.problems.push(format!(
                "{back} points came back after a {way}, {owed:?} had to: {at_end}"
            ));
        }
        self.up_since_s = self.scene.pace.elapsed().as_secs();
        self.memory.begin_life();
        self.scene.goes_up();
        let times = [begun.instant, ended.instant, clock::now().instant];
        let seconds = |from: usize| times[from + 1].duration_since(times[from]).as_secs_f64();
        self.report.say(&format!(
            "{:>5} s: {way}: over after {:.1} s with {} cached; {back} points came back {:.1} s after that",
            self.up_since_s,
            seconds(0),
            at_end.cached,
            seconds(1),
        ))?;
        Ok(daemon)
    }

    /// Waits until each connection's newest point is seen, and tells its sender so.
    fn mark_read(&self) -> Result<()> {
        let query = self.scene.offered.query.context("no cache query port")?;
        let (mut asker, data) = (Asker::connect(query)?, self.site.data());
        for connection in &self.scene.connections {
            let start = clock::now().instant;
            while !self.is_read(connection, &mut asker, &data)? {
                ensure!(
                    clock::now().instant.duration_since(start) < SEEN_PATIENCE,
                    "what was sent is not seen after {SEEN_PATIENCE:?}"
                );
                pause(SEEN_LOOK);
            }
        }
        Ok(())
    }

    /// Whether the newest point is seen; its sender knows then.
    fn is_read(&self, connection: &Connection, asker: &mut Asker, data: &Path) -> Result<bool> {
        let Some(sent) = connection.place.sent() else {
            return Ok(false);
        };
        let (index, round) = connection.point(sent - 1);
        let seen = witness::seen(self.scene, asker, data, index)?;
        let is_read = seen.contains_key(&self.scene.pace.workload.timestamp(round));
        if is_read {
            connection.place.was_read(sent);
        }
        Ok(is_read)
    }

    /// Ends the daemon, which must end well, with its accounts balanced; what they were then, or in the
    /// last report of a daemon that is killed.
    fn end(&mut self, daemon: Daemon, way: Way) -> Result<Accounts> {
        let said = self.site.log().len();
        let status = match way {
            Way::Drain => daemon.drain(self.program, self.site, STOP_PATIENCE)?,
            Way::Journal => daemon.stop(STOP_PATIENCE)?,
            Way::Kill => return self.kill(daemon),
        };
        let log = self.site.log();
        let accounts = accounts::at_stop(log.get(said..).unwrap_or_default());
        let accounts = accounts.context("the daemon has stopped without its accounts")?;
        if !status.success() || (way == Way::Drain && accounts.cached > 0) {
            self.problems
                .push(format!("a {way} ended with {status}: {accounts}"));
        }
        self.has_ended(way, &accounts);
        Ok(accounts)
    }

    /// Its last report counts.
    fn kill(&mut self, daemon: Daemon) -> Result<Accounts> {
        let query = self.scene.offered.query.context("no cache query port")?;
        let accounts = newest_report(query, self.started_at)?.accounts;
        daemon.kill()?;
        self.has_ended(Way::Kill, &accounts);
        Ok(accounts)
    }

    fn has_ended(&mut self, way: Way, accounts: &Accounts) {
        self.ends.push(way);
        self.weigh(accounts);
        self.earlier = self.earlier.and(accounts);
    }

    /// The end of the report. True: all is well.
    fn verdict(&mut self, faults: &Tally) -> Result<bool> {
        let accounts = self.earlier;
        self.report
            .say(&format!("accounts, {} stops: {accounts}", self.ends.len()))?;
        let ways = restart::counts(&self.ends);
        self.report.say(&format!(
            "ended by: {ways}; of a killed one its last report counts"
        ))?;
        self.report.say(&format!(
            "accounts that did not balance: {}",
            self.unbalanced
        ))?;
        match self.memory.growth() {
            None => self
                .problems
                .push(String::from("too few samples of the memory")),
            Some(growth) => {
                self.report.say(&growth.to_string())?;
                if !growth.is_flat() {
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
        let log = self.site.log();
        let errors = said::errors(&log).take(ERRORS_MAX);
        self.problems
            .extend(errors.map(|error| format!("the daemon said: {error}")));
        for problem in &self.problems {
            self.report.say(&format!("PROBLEM: {problem}"))?;
        }
        Ok(self.problems.is_empty())
    }

    /// Looks for every regular point in its file.
    fn check(&self) -> Result<(bool, String)> {
        let workload = &self.scene.pace.workload;
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
