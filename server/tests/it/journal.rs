//! What docs/durability.md promises of a process that ends, with the real program: kill -9 under
//! full load, SIGTERM, `benzene stop`, with a journal and without one.
//! Senders send rounds, one point of each metric a round, and a new metric with each. How far a
//! connection has been read is told by marks at the end of each round, which the cache is asked for
//! all the time: when all marks of a round are answered, all of that round is in some cache.
//! The load and its check are lent to the tests of power cuts.
#![expect(
    clippy::disallowed_methods,
    clippy::format_push_string,
    clippy::print_stderr,
    reason = "a test waits, reads clocks, builds its text simply and says what it saw"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use benzene_engine::whisper::{Header, archive_points};
use benzene_server::wire::client::{self, Reply};

use crate::daemon::{Daemon, Ended, PATIENCE, Querier, Setup, file_of, program, wait_for};
use crate::first_use::now;
use crate::stop::number_before;
use crate::vitals::{file_points, is_long};

const CONNECTIONS: u32 = 4;
/// Marks of each connection: so many names that each of three shards has one of them.
const MARKS: u32 = 16;
/// Most rounds: they are a second apart, and end before now.
const ROUNDS_MAX: u32 = 1_000;
const STEP_S: u32 = 10;
/// How long a look and the rest before it take where the machine is not busy.
const USUAL_LOOK: Duration = Duration::from_millis(15);
/// Rest between two rounds: they take as long as any end is waited for.
pub(crate) const PACE: Duration = Duration::from_millis(4);
const SCHEMAS: &str = "[all]\npattern = .*\nretentions = 1s:30m,10s:1h\n";

/// What a test sends.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Metrics of each connection in the first round; each round has one more.
    pub(crate) metrics: u32,
    /// Rest between two rounds.
    pub(crate) pace: Duration,
    /// What is promised of a point that was read this long ago.
    pub(crate) promised_after: Duration,
    /// The second of the first round.
    start: u32,
}

/// How far each connection had been read, and when.
type Look = (Instant, Vec<u32>);

/// So much later than it says a promise may hold where others have the processor; past that the end waits
/// for a calmer moment, for so long.
const LATE_USUAL: Duration = Duration::from_millis(50);
const CALM_PATIENCE: Duration = Duration::from_millis(1_200);

/// How much longer than usual the daemon's steps take because others have the processor: its turn, the
/// kernel's write and the answer to it may each wait as long as the slowest look of the last second.
fn waited_for_processor(looks: &[Look], cut_at: Instant) -> Duration {
    let times = looks.iter().map(|(at, _)| *at).chain([cut_at]);
    let times: Vec<Instant> = times
        .filter(|at| cut_at.duration_since(*at) < Duration::from_secs(1))
        .collect();
    let slowest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    3 * slowest.unwrap_or_default().saturating_sub(USUAL_LOOK)
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Sent {
    /// By connection: rounds that are promised.
    pub(crate) promised: Vec<u32>,
    /// By connection: rounds of which a part may have been sent.
    begun: Vec<u32>,
    /// So much later than it says the promise holds, as others had the processor.
    late: Duration,
}

impl Sent {
    /// Was the machine so calm that the promise is about what it says?
    pub(crate) fn is_calm(&self) -> bool {
        self.late <= LATE_USUAL
    }
}

/// Draws rounds until so many were calm, and says how often another one was drawn. On a machine that is
/// never calm a few show all that can be shown, so that only full counts ask for calm ones.
pub(crate) fn draw(count: usize, mut round: impl FnMut(usize) -> Sent) {
    let (mut calm, mut drawn) = (0, 0);
    while calm < count {
        let sent = round(drawn);
        drawn += 1;
        calm += usize::from(sent.is_calm() || !is_long());
        assert!(
            drawn < count * 3,
            "{calm} of {drawn} rounds were calm: something else has the processor"
        );
    }
    eprintln!("{drawn} rounds, {} of them again", drawn - calm);
}

impl Load {
    pub(crate) fn new(metrics: u32, pace: Duration, promised_after: Duration) -> Load {
        let start = now() - ROUNDS_MAX;
        Load {
            metrics,
            pace,
            promised_after,
            start,
        }
    }

    /// Rounds begin with this one for a metric.
    fn first_round(&self, metric: u32) -> u32 {
        (metric + 1).saturating_sub(self.metrics)
    }

    /// Sends until `cut` has been called, which is so long after each connection was read once.
    /// Says how far each had been read `promised_after` before that, in a calm moment if there is one.
    pub(crate) fn run(&self, daemon: &Daemon, lead: Duration, cut: impl FnOnce()) -> Sent {
        self.run_beside(daemon, lead, || Duration::ZERO, cut)
    }

    /// The same where something else, too, keeps the promise waiting, and how long of late.
    pub(crate) fn run_beside(
        &self,
        daemon: &Daemon,
        lead: Duration,
        mut else_late: impl FnMut() -> Duration,
        cut: impl FnOnce(),
    ) -> Sent {
        let stop = AtomicBool::new(false);
        let begun: Vec<AtomicU32> = (0..CONNECTIONS).map(|_| AtomicU32::new(0)).collect();
        let (promised, late) = std::thread::scope(|scope| {
            for (connection, begun) in (0..).zip(&begun) {
                let (address, stop) = (daemon.line, &stop);
                scope.spawn(move || self.send(connection, address, begun, stop));
            }
            let mut looks = Vec::new();
            let mut querier = Querier::connect(daemon.query);
            let mut begun_at: Option<Instant> = None;
            let waiting = Instant::now();
            let promised = loop {
                let since = begun_at.map_or(Duration::ZERO, |at| at.elapsed());
                let late = waited_for_processor(&looks, Instant::now()) + else_late();
                let is_calm = late <= LATE_USUAL || since >= lead + CALM_PATIENCE;
                let is_time = begun_at.is_some() && since >= lead && is_calm;
                if let Some(promised) = self.promised(&looks, late).filter(|_| is_time) {
                    break (promised, late);
                }
                assert!(waiting.elapsed() < PATIENCE, "nothing is read");
                let read = rounds_read(&mut querier);
                if read.iter().all(|rounds| *rounds > 0) {
                    begun_at.get_or_insert_with(Instant::now);
                }
                looks.push((Instant::now(), read));
                std::thread::sleep(Duration::from_millis(3));
            };
            let rounds = begun.iter().map(|rounds| rounds.load(Ordering::SeqCst));
            assert!(
                rounds.min() < Some(ROUNDS_MAX),
                "the load is over before the end"
            );
            cut();
            stop.store(true, Ordering::SeqCst);
            promised
        });
        let begun = begun.iter().map(|rounds| rounds.load(Ordering::SeqCst));
        Sent {
            promised,
            begun: begun.collect(),
            late,
        }
    }

    /// How far each connection had been read so long ago that it is promised now, so much later than
    /// usual.
    fn promised(&self, looks: &[Look], late: Duration) -> Option<Vec<u32>> {
        let now = Instant::now();
        let promised_after = self.promised_after + late;
        let old = |(at, read): &&Look| {
            *at + promised_after <= now && read.iter().all(|rounds| *rounds > 0)
        };
        Some(looks.iter().rev().find(old)?.1.clone())
    }

    fn send(&self, connection: u32, address: SocketAddr, begun: &AtomicU32, stop: &AtomicBool) {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        for round in 0..ROUNDS_MAX {
            let mut text = String::new();
            for metric in 0..self.metrics + round {
                let value = value(connection, metric, round);
                text += &format!(
                    "load.c{connection}.m{metric} {value} {}\n",
                    self.start + round
                );
            }
            for mark in 0..MARKS {
                text += &format!(
                    "{} {} {}\n",
                    mark_name(connection, mark),
                    round + 1,
                    self.start
                );
            }
            begun.store(round + 1, Ordering::SeqCst);
            if stop.load(Ordering::SeqCst) || socket.write_all(text.as_bytes()).is_err() {
                return;
            }
            std::thread::sleep(self.pace);
        }
        while !stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Compares every archive of every metric with what was sent, and says how many points are there and
    /// how many had to be.
    /// Without gaps: what is there beyond the promise goes on where that ends. A power cut takes
    /// pages in any order.
    pub(crate) fn check(&self, data: &Path, sent: &Sent, is_gapless: bool) {
        let (mut count, mut least) = (0, 0);
        for (connection, (promised, begun)) in (0..).zip(sent.promised.iter().zip(&sent.begun)) {
            for metric in 0..self.metrics + begun {
                let rounds = Rounds {
                    first: self.first_round(metric),
                    promised: *promised,
                    begun: *begun,
                };
                let name = format!("load.c{connection}.m{metric}");
                let Some(archives) = archives(&file_of(data, &name)) else {
                    assert!(rounds.promised <= rounds.first, "{name} is lost: {sent:?}");
                    continue;
                };
                let value = |second: u32| value(connection, metric, second - self.start);
                self.check_raw((&name, is_gapless), &archives[0], &rounds, value);
                self.check_coarse(&name, &archives, &rounds, is_gapless);
                count += archives[0].len();
                least += promised.saturating_sub(rounds.first) as usize;
            }
            for mark in 0..MARKS {
                let name = mark_name(connection, mark);
                let points = file_points(&file_of(data, &name)).unwrap_or_default();
                let expected = f64::from(*promised)..=f64::from(*begun);
                let found = points.get(&self.start).copied();
                assert!(
                    found.map_or(*promised == 0, |value| expected.contains(&value)),
                    "{name}: {points:?}, {sent:?}"
                );
                count += points.len();
                least += usize::from(*promised > 0);
            }
        }
        assert!(count >= least, "{count} of {least} points: {sent:?}");
        eprintln!(
            "{least} points were promised, {} ms later than usual; {count} are there",
            sent.late.as_millis()
        );
    }

    fn check_raw(
        &self,
        (name, is_gapless): (&str, bool),
        raw: &BTreeMap<u32, f64>,
        rounds: &Rounds,
        value: impl Fn(u32) -> f64,
    ) {
        for (second, found) in raw {
            let expected = value(*second);
            assert!(
                found.total_cmp(&expected).is_eq(),
                "{name} at {second}: {found}, {expected}"
            );
        }
        let must = self.start + rounds.first..self.start + rounds.promised;
        let missing: Vec<u32> = must.filter(|second| !raw.contains_key(second)).collect();
        assert!(missing.is_empty(), "{name} has lost {missing:?} {rounds:?}");
        let may = self.start + rounds.first..self.start + rounds.begun;
        assert!(
            raw.keys().all(|second| may.contains(second)),
            "{name}: {raw:?}"
        );
        if let (Some((first, _)), Some((last, _)), true) =
            (raw.first_key_value(), raw.last_key_value(), is_gapless)
        {
            let seconds = usize::try_from(last - first + 1).unwrap();
            assert_eq!(raw.len(), seconds, "{name} has gaps");
        }
    }

    /// A coarse slot is the mean of its seconds. Where the last ones were not promised, it may be the
    /// mean without them.
    fn check_coarse(
        &self,
        name: &str,
        archives: &[BTreeMap<u32, f64>],
        rounds: &Rounds,
        is_gapless: bool,
    ) {
        let (raw, coarse) = (&archives[0], &archives[1]);
        let promised_end = self.start + rounds.promised;
        let slots = raw.keys().map(|second| second / STEP_S * STEP_S);
        for slot in slots.chain(coarse.keys().copied()) {
            if !is_gapless && slot + STEP_S > promised_end {
                continue;
            }
            let seconds: Vec<f64> = raw
                .range(slot..slot + STEP_S)
                .map(|(_, value)| *value)
                .collect();
            let least = raw
                .range(slot..promised_end.clamp(slot, slot + STEP_S))
                .count();
            let found = coarse.get(&slot).map(|value| value.to_bits());
            let is_right = (least..=seconds.len())
                .any(|count| mean(&seconds[..count]).map(f64::to_bits) == found);
            assert!(
                is_right,
                "{name} at {slot}: {found:?}, {seconds:?}, {least} promised"
            );
        }
    }
}

#[derive(Debug)]
struct Rounds {
    first: u32,
    promised: u32,
    begun: u32,
}

fn value(connection: u32, metric: u32, round: u32) -> f64 {
    f64::from((connection * 31 + metric * 7 + round * 3) % 1_000)
}

fn mark_name(connection: u32, mark: u32) -> String {
    format!("mark.c{connection}.k{mark}")
}

/// The mean of a slot, where at least half of it is there (xFilesFactor).
#[expect(clippy::cast_precision_loss, reason = "ten at most")]
fn mean(values: &[f64]) -> Option<f64> {
    let is_enough = values.len() * 2 >= STEP_S as usize;
    is_enough.then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// By connection: of how many rounds all marks are answered.
fn rounds_read(querier: &mut Querier) -> Vec<u32> {
    let names: Vec<String> = (0..CONNECTIONS)
        .flat_map(|connection| (0..MARKS).map(move |mark| mark_name(connection, mark)))
        .collect();
    let mut request = Vec::new();
    client::encode_bulk_query(names.iter().map(String::as_str), &mut request).unwrap();
    let Reply::Bulk(found) = querier.ask(&request) else {
        panic!("asked for {names:?}")
    };
    let found: BTreeMap<String, _> = found.into_iter().collect();
    let round = |connection, mark| {
        let points = found.get(&mark_name(connection, mark));
        let newest = points.and_then(|points| points.first());
        newest.map_or(0, |point| whole(point.value))
    };
    (0..CONNECTIONS)
        .map(|connection| (0..MARKS).map(|mark| round(connection, mark)).min())
        .map(|least| least.unwrap_or(0))
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounds are whole and few"
)]
fn whole(value: f64) -> u32 {
    value as u32
}

/// The points of all archives of a file; `None` where there is none.
fn archives(file: &Path) -> Option<Vec<BTreeMap<u32, f64>>> {
    if !file.exists() {
        return None;
    }
    let bytes = std::fs::read(file).unwrap();
    let header =
        Header::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert_eq!(
        bytes.len() as u64,
        header.file_bytes(),
        "{}",
        file.display()
    );
    let points = header.archives.iter().map(|archive| {
        let body = &bytes[usize::try_from(archive.offset).unwrap()..];
        let points = archive_points(archive, body).into_iter();
        points.map(|point| (point.timestamp, point.value)).collect()
    });
    Some(points.collect())
}

/// A daemon of a test of the journal: no own metrics, so that the accounts are the test's.
pub(crate) fn setup(shards: usize, conf: &str) -> Setup {
    let has_own = conf.lines().any(|line| line.starts_with("SHUTDOWN"));
    let stop = if has_own { "" } else { "SHUTDOWN = auto\n" };
    Setup {
        conf: format!("{stop}CARBON_METRIC_INTERVAL = 0\n{conf}"),
        schemas: Some(SCHEMAS.to_owned()),
        shards: Some(shards),
        ..Setup::default()
    }
}

/// A writer that all but stands still.
pub(crate) const THROTTLED: &str = "MAX_UPDATES_PER_SECOND = 1\nMAX_CREATES_PER_MINUTE = 1\n";

/// Kills it, and gives its directory back.
pub(crate) fn kill(daemon: Daemon) -> Ended {
    daemon.signal("KILL");
    daemon.wait()
}

/// Waits until every shard has got what the journal owes; how many points that were.
pub(crate) fn wait_for_recall(daemon: &Daemon, shards: usize) -> u64 {
    let came = wait_for(|| {
        let log = daemon.log();
        (came_back(&log).len() == shards).then_some(log)
    });
    let log = came.unwrap_or_else(|| panic!("it never came back: {}", daemon.log()));
    came_back(&log).iter().sum()
}

/// What the shards said of the replay so far.
pub(crate) fn came_back(log: &str) -> Vec<u64> {
    let lines = log
        .lines()
        .filter(|line| line.contains(" came back to shard "));
    lines
        .map(|line| number_before(line, " points of "))
        .collect()
}

/// The accounts of a daemon that has ended: received, replayed, committed, superseded.
#[derive(Debug)]
pub(crate) struct Balance {
    pub(crate) received: u64,
    pub(crate) replayed: u64,
    pub(crate) committed: u64,
    pub(crate) cached: u64,
    pub(crate) superseded: u64,
}

/// They must balance, and nothing may be dropped.
pub(crate) fn balance(log: &str) -> Balance {
    let balance = Balance {
        received: number_before(log, " received"),
        replayed: number_before(log, " replayed = "),
        committed: number_before(log, " committed"),
        cached: number_before(log, " cached + "),
        superseded: number_before(log, " superseded"),
    };
    assert_eq!(number_before(log, " dropped"), 0, "{log}");
    assert_eq!(
        balance.received + balance.replayed,
        balance.committed + balance.cached + balance.superseded,
        "{log}"
    );
    balance
}

/// Runs `benzene WORDS`.
pub(crate) fn benzene(words: &[&str]) -> Output {
    program().args(words).output().unwrap()
}

/// Where its journal is.
pub(crate) fn journal_dir(data: &Path) -> std::path::PathBuf {
    data.parent().unwrap().join("journal").join("a")
}

/// `benzene stop` on the daemon's own carbon.conf.
fn stop_by_command(daemon: Daemon, words: &[&str]) -> Ended {
    let conf = daemon.data().parent().unwrap().join("carbon.conf");
    let output = benzene(&[&["stop", "--config", conf.to_str().unwrap()], words].concat());
    assert!(output.status.success(), "{output:?}: {}", daemon.log());
    daemon.wait()
}

/// The journal owes nothing.
pub(crate) fn assert_nothing_owed(data: &Path) {
    let output = benzene(&["journal", "export", journal_dir(data).to_str().unwrap()]);
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
}

/// What is known of a metric: what its file has, and over it what the cache answers.
pub(crate) fn known(daemon: &Daemon, querier: &mut Querier, metric: &str) -> BTreeMap<u32, f64> {
    // Asked first: what is written in between is then in the file.
    let cached = querier.points(metric);
    let mut points = file_points(&daemon.file(metric)).unwrap_or_default();
    points.extend(cached);
    points
}

/// Shards of the run that is killed, and of the next one.
const SHARDS: [(usize, usize); 3] = [(2, 3), (1, 2), (3, 1)];

/// Write orders by round: Python's, so that much is written meanwhile; ours, with points that are held for
/// a second and cut at the slots of the second archive; ours as it is where nobody says anything.
const ORDERS: [&str; 3] = [
    "CACHE_WRITE_STRATEGY = sorted\n",
    "CACHE_WRITE_STRATEGY = deadline\nMAX_POINT_AGE = 1\n",
    "CACHE_WRITE_STRATEGY = deadline\n",
];

/// Each with each number of shards.
pub(crate) fn order(round: usize) -> &'static str {
    ORDERS[(round + round / ORDERS.len()) % ORDERS.len()]
}

#[test]
fn a_killed_daemon_loses_nothing_that_was_read_a_moment_before() {
    let mut replayed = 0;
    draw(if is_long() { 50 } else { 3 }, |round| {
        let (sent, came_back) = killed_under_load(round);
        replayed += came_back;
        sent
    });
    // In one round or another all may be in the files by then.
    assert!(replayed > 0, "whatever was killed, all was in the files");
}

/// Says how many points came back.
fn killed_under_load(round: usize) -> (Sent, u64) {
    let (before, after) = SHARDS[round % SHARDS.len()];
    let order = order(round);
    // JOURNAL_COMMIT is 10 ms.
    let load = Load::new(250, PACE, Duration::from_millis(60));
    let daemon = Daemon::start(&setup(before, order));
    let until_kill = Duration::from_millis(200 + u64::try_from(round).unwrap() * 7919 % 1_500);
    let sent = load.run(&daemon, until_kill, || daemon.signal("KILL"));
    let ended = daemon.wait();
    let promised: u32 = sent.promised.iter().sum();
    assert!(
        promised > 0,
        "round {round}: nothing was promised: {sent:?}"
    );
    let daemon = Daemon::start_in(
        &setup(after, &format!("SHUTDOWN = drain\n{order}")),
        ended.root,
    );
    let replayed = wait_for_recall(&daemon, after);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let balance = balance(&ended.log);
    eprintln!("{order:?}, {before} shards and then {after}: {replayed} points came back");
    assert_eq!(
        (balance.replayed, balance.received, balance.cached),
        (replayed, 0, 0)
    );
    assert!(!ended.log.contains("cannot be read"), "{}", ended.log);
    load.check(&ended.data(), &sent, true);
    assert_nothing_owed(&ended.data());
    (sent, replayed)
}

const CACHED_METRICS: u32 = 2_000;
const CACHED_POINTS: u32 = 100;

/// Sends 200,000 points to a daemon that writes next to nothing; the second before the first.
fn cache_many(daemon: &Daemon) -> u32 {
    let start = now() - 1_000;
    let mut socket = daemon.connect();
    for round in 0..CACHED_POINTS {
        let mut text = String::new();
        for metric in 0..CACHED_METRICS {
            text += &format!("many.m{metric} {} {}\n", metric + round, start + round);
        }
        socket.write_all(text.as_bytes()).unwrap();
    }
    assert_many(daemon, start);
    start
}

/// All points are in a file or answered by the cache.
fn assert_many(daemon: &Daemon, start: u32) {
    let mut querier = Querier::connect(daemon.query);
    // The last ones may be on their way.
    for metric in (0..CACHED_METRICS).rev() {
        let name = format!("many.m{metric}");
        let found = wait_for(|| {
            let known = known(daemon, &mut querier, &name);
            (known.len() == CACHED_POINTS as usize).then_some(known)
        });
        let found = found.unwrap_or_else(|| panic!("{name} is not there: {}", daemon.log()));
        let sent = (0..CACHED_POINTS).map(|round| (start + round, f64::from(metric + round)));
        assert!(found.into_iter().eq(sent), "{name}");
    }
}

fn assert_many_in_files(data: &Path, start: u32) {
    for metric in 0..CACHED_METRICS {
        let found = file_points(&file_of(data, &format!("many.m{metric}"))).unwrap_or_default();
        let sent = (0..CACHED_POINTS).map(|round| (start + round, f64::from(metric + round)));
        assert!(found.into_iter().eq(sent), "many.m{metric}");
    }
}

/// What a fast stop may take: two seconds, and beside other tests what they add.
fn fast() -> Duration {
    Duration::from_secs(if is_long() { 2 } else { 5 })
}

#[test]
fn a_stop_is_fast_and_the_next_start_has_every_point() {
    let daemon = Daemon::start(&setup(2, THROTTLED));
    let start = cache_many(&daemon);
    let begun = Instant::now();
    let ended = daemon.stop();
    let (elapsed, first) = (begun.elapsed(), balance(&ended.log));
    assert!(
        ended.status.success() && elapsed < fast(),
        "{elapsed:?}: {}",
        ended.log
    );
    assert!(
        ended
            .log
            .contains("SIGTERM: receivers stop, what is cached stays in the journal")
    );
    assert!(first.cached > 190_000, "{first:?}");
    // The same by command, after the points came back; and once more.
    let daemon = Daemon::start_in(&setup(2, THROTTLED), ended.root);
    assert_eq!(wait_for_recall(&daemon, 2), first.cached);
    assert_many(&daemon, start);
    let begun = Instant::now();
    let ended = stop_by_command(daemon, &[]);
    let elapsed = begun.elapsed();
    assert!(
        ended.status.success() && elapsed < fast(),
        "{elapsed:?}: {}",
        ended.log
    );
    let second = balance(&ended.log);
    assert_eq!(second.replayed, first.cached);
    let daemon = Daemon::start_in(&setup(2, ""), ended.root);
    // So soon after a start the journal may hold some points twice.
    assert!(wait_for_recall(&daemon, 2) >= second.cached);
    assert_many(&daemon, start);
    let ended = stop_by_command(daemon, &["--drain"]);
    assert!(ended.status.success(), "{}", ended.log);
    assert!(
        ended
            .log
            .contains("SIGTERM: receivers stop, what is cached is written out")
    );
    assert_many_in_files(&ended.data(), start);
    assert_nothing_owed(&ended.data());
    // A drain is for once.
    let daemon = Daemon::start_in(&setup(2, THROTTLED), ended.root);
    daemon.send(&format!("many.again 1 {start}\n"));
    daemon.wait_for_points("many.again", 1);
    let ended = daemon.stop();
    assert!(
        ended.log.contains("what is cached stays in the journal"),
        "{}",
        ended.log
    );
}

#[test]
fn a_stop_is_a_drain_where_that_is_asked_for_or_no_journal_is() {
    for conf in ["SHUTDOWN = drain\n", "JOURNAL = False\n"] {
        let fast = "MAX_UPDATES_PER_SECOND_ON_SHUTDOWN = 100000\n";
        let daemon = Daemon::start(&setup(2, &format!("{THROTTLED}{fast}{conf}")));
        let start = now() - 1_000;
        let mut text = String::new();
        for metric in 0..500 {
            text += &format!("drained.m{metric} {metric} {start}\n");
        }
        daemon.send(&text);
        daemon.wait_for_points("drained.m499", 1);
        let journal = journal_dir(&daemon.data());
        // Without a journal its directory holds the lock of the instance, and nothing else.
        let is_kept = !conf.starts_with("JOURNAL");
        let names = std::fs::read_dir(&journal).unwrap();
        assert_eq!(names.count() > 1, is_kept, "{conf}");
        let ended = daemon.stop();
        assert!(ended.status.success(), "{}", ended.log);
        assert!(
            ended.log.contains("what is cached is written out"),
            "{}",
            ended.log
        );
        let balance = balance(&ended.log);
        assert_eq!((balance.committed, balance.cached), (500, 0), "{conf}");
        for metric in 0..500_u32 {
            let file = file_of(&ended.data(), &format!("drained.m{metric}"));
            let expected = BTreeMap::from([(start, f64::from(metric))]);
            assert_eq!(file_points(&file), Some(expected), "{conf}");
        }
        if is_kept {
            assert_nothing_owed(&ended.data());
        }
    }
}

#[test]
fn a_journal_that_goes_with_a_reboot_keeps_nothing_at_a_stop() {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let fast = "MAX_UPDATES_PER_SECOND_ON_SHUTDOWN = 100000\n";
    let conf = format!(
        "{THROTTLED}{fast}JOURNAL_DIR = {}\n",
        memory.path().display()
    );
    for (more, is_written) in [("SHUTDOWN = journal\n", false), ("", true)] {
        let mut daemon = Daemon::start(&setup(1, &format!("{conf}{more}")));
        daemon.wait_for_log("goes with this container, or with a reboot");
        let lines = (0..50).map(|metric| format!("passing.m{metric} 1 {}\n", now()));
        daemon.send(&lines.collect::<String>());
        daemon.wait_for_points("passing.m49", 1);
        let ended = daemon.stop();
        assert!(ended.status.success(), "{}", ended.log);
        let balance = balance(&ended.log);
        assert_eq!(balance.cached == 0, is_written, "{}", ended.log);
    }
}

#[test]
fn a_journal_that_nobody_reads_any_more_is_named() {
    let with_journal = setup(1, THROTTLED);
    let without = setup(1, "JOURNAL = False\n");
    let said = "an earlier run has left its journal in ";
    let daemon = Daemon::start(&without);
    let ended = daemon.stop();
    assert!(!ended.log.contains(said), "{}", ended.log);
    let daemon = Daemon::start_in(&with_journal, ended.root);
    daemon.send(&format!("left.m1 1 {0}\nleft.m2 2 {0}\n", now()));
    daemon.wait_for_points("left.m2", 1);
    let ended = daemon.stop();
    let daemon = Daemon::start_in(&without, ended.root);
    let ended = daemon.stop();
    assert!(ended.log.contains(said), "{}", ended.log);
}

#[test]
fn a_stop_by_command_ends_as_the_daemon_does() {
    let daemon = Daemon::start(&setup(1, ""));
    let time = now();
    // Something else stands where the file would be.
    std::fs::create_dir_all(daemon.file("in.way")).unwrap();
    daemon.send(&format!("in.way 1 {time}\n"));
    daemon.wait_for_points("in.way", 1);
    let conf = daemon.config();
    let output = benzene(&["stop", "--drain", "--config", conf.to_str().unwrap()]);
    let ended = daemon.wait();
    assert_eq!(ended.status.code(), Some(7), "{}", ended.log);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let number = "1 points that are in no file, and 1 of them stay in the journal";
    assert!(said.contains(number), "{said}");
    // What it says is so: the next start has the point, and this time its file can be made.
    let file = file_of(&ended.data(), "in.way");
    std::fs::remove_dir(&file).unwrap();
    let daemon = Daemon::start_in(&setup(1, ""), ended.root);
    assert_eq!(wait_for_recall(&daemon, 1), 1);
    let ended = stop_by_command(daemon, &["--drain"]);
    assert_eq!(file_points(&file), Some(BTreeMap::from([(time, 1.0)])));
    assert_nothing_owed(&ended.data());
}
