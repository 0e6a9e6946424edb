//! Names without end, each sent once: a broken client that puts a request's number into its
//! metric. Few of them can get a file (MAX_CREATES_PER_MINUTE), so they fill the cache. Its bound
//! holds; what waits for its create stays within its share, and past it is dropped and counted;
//! series that nobody needs are forgotten; and a well-behaved client's points go through all the
//! while and are all in its files in the end. Its new metrics get their files before the flood's,
//! from the moment that they are told from them: by a second point.
//! The daemon is killed in the end: a stop makes all files that are waited for.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::format_collect,
    clippy::format_push_string,
    reason = "a test waits, builds its text simply and says what it measured"
)]

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use benzene_engine::limits::COUNTED_PERCENT;

use crate::daemon::{Daemon, Querier, Setup, file_of, wait_for};
use crate::first_use::now;
use crate::vitals::{self, Own, file_points};

const FLOODERS: u64 = 2;
/// Metrics of the well-behaved client that have files, and that have none yet.
const OLD: u32 = 30;
const NEW: u32 = 20;
/// Rounds of the well-behaved client when the flood is over.
const AFTERWARDS: u32 = 3;
/// What the daemon needs besides its cache: receive buffers (8 MiB), messages between its two cores
/// (up to 24 MiB), and what an allocator keeps.
const BESIDES_BYTES: u64 = 64 << 20;
/// What the cache may hold beyond its bound: names in messages between the cores come in whatever
/// room there is (512 of them in one, and dozens of messages).
const ON_THE_WAY_BYTES: u64 = 8 << 20;
/// A name of the flood, in its cache: record, part of the table, name with its length.
const NAME_BYTES: u64 = 64 + 14 + 4 + 29;

struct Scale {
    names: u64,
    cache_bytes: u64,
    /// Metrics that have files and get one point at the beginning.
    idle: u32,
    /// Between two rounds of the well-behaved client.
    pause: Duration,
}

fn scale() -> Scale {
    if vitals::is_long() {
        Scale {
            names: 10_000_000,
            cache_bytes: 500_000_000,
            idle: 20_000,
            pause: Duration::from_secs(1),
        }
    } else {
        Scale {
            names: 400_000,
            cache_bytes: 10_000_000,
            idle: 2_000,
            pause: Duration::from_millis(100),
        }
    }
}

fn setup(conf: &str) -> Setup {
    Setup {
        conf: format!("CARBON_METRIC_INTERVAL = 1\nMAX_UPDATES_PER_SECOND = inf\n{conf}"),
        schemas: Some("[own]\npattern = ^carbon\\.\nretentions = 1s:1h\n[steady]\npattern = ^steady\\.\nretentions = 1s:2h\n[all]\npattern = .*\nretentions = 60s:1h\n".to_owned()),
        shards: Some(2),
        ..Setup::default()
    }
}

fn steady(metric: u32) -> String {
    let age = if metric < OLD { "old" } else { "new" };
    format!("steady.{age}.metric{metric}")
}

/// A directory with the files of the well-behaved client's old metrics and of the idle ones.
fn with_files(scale: &Scale, time: u32) -> tempfile::TempDir {
    let daemon = Daemon::start(&setup("MAX_CREATES_PER_MINUTE = inf"));
    daemon.send(&idle_text(scale, time));
    let text: String = (0..OLD)
        .map(|metric| format!("{} 0 {time}\n", steady(metric)))
        .collect();
    daemon.send(&text);
    daemon.wait_for_points(&steady(OLD - 1), 1);
    let mut own = Own::of(&daemon);
    let wanted = u64::from(scale.idle + OLD);
    own.wait_until(&["benzene.committed"], |committed| committed[0] >= wanted);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    ended.root
}

fn idle_text(scale: &Scale, time: u32) -> String {
    let names = 0..scale.idle;
    names
        .map(|name| format!("idle.d{}.m{name} 1 {time}\n", name % 100))
        .collect()
}

/// What runs beside the flood, and what it has seen.
struct Watch<'a> {
    daemon: &'a Daemon,
    scale: &'a Scale,
    start: u32,
    sent: AtomicU64,
    over: AtomicBool,
}

impl Watch<'_> {
    /// Sends every name of its part once.
    fn flood(&self, part: u64) {
        let mut socket = self.daemon.connect();
        let mut text = String::new();
        for name in (part..self.scale.names).step_by(usize::try_from(FLOODERS).unwrap()) {
            // 29 bytes each, a hundred to a directory.
            text.push_str(&format!(
                "flood.{:09}.name{name:09} 1 {}\n",
                name / 100,
                self.start
            ));
            if text.len() > 32 << 10 || name + FLOODERS >= self.scale.names {
                socket.write_all(text.as_bytes()).unwrap();
                self.sent.fetch_add(1, Ordering::Relaxed);
                text.clear();
            }
        }
    }

    /// Sends a round of the well-behaved client's points, sees that it arrives, and so on until the
    /// flood is over and some more; how many rounds there were in the flood and in all, and how
    /// long the slowest took to be seen, and the slowest answer.
    fn behave(&self) -> (u32, u32, Duration, Duration) {
        let mut socket = self.daemon.connect();
        let mut querier = Querier::connect(self.daemon.query);
        let (mut slowest, mut slowest_answer, mut in_flood) = (Duration::ZERO, Duration::ZERO, 0);
        for round in 1.. {
            let over = self.over.load(Ordering::Relaxed);
            let time = self.start + round;
            let metrics = 0..OLD + NEW;
            let text: String = metrics
                .map(|metric| format!("{} {round} {time}\n", steady(metric)))
                .collect();
            let began = Instant::now();
            socket.write_all(text.as_bytes()).unwrap();
            let metric = steady(OLD - 1);
            let seen = wait_for(|| {
                let asked = Instant::now();
                let points = querier.points(&metric);
                slowest_answer = slowest_answer.max(asked.elapsed());
                points.contains(&(time, f64::from(round))).then_some(())
            });
            assert!(seen.is_some(), "round {round} of {metric} never arrived");
            slowest = slowest.max(began.elapsed());
            if !over {
                in_flood = round;
            } else if round >= in_flood + AFTERWARDS {
                return (in_flood, round, slowest, slowest_answer);
            }
            std::thread::sleep(self.scale.pause.saturating_sub(began.elapsed()));
        }
        unreachable!("rounds have no end")
    }

    /// Sees that the bounds hold, until the flood is over; the highest resident memory.
    fn check(&self, idle_bytes: u64) -> Peaks {
        let mut own = Own::of(self.daemon);
        let mut peaks = Peaks::default();
        while !self.over.load(Ordering::Relaxed) {
            let resident = vitals::memory_bytes(self.daemon.pid(), "VmRSS");
            peaks.resident = peaks.resident.max(resident);
            let bound = self.scale.cache_bytes;
            // A tenth is what MAX_CACHE_BYTES allows itself. Where the cache is small, what is beside it is
            // more than that.
            let besides = if vitals::is_long() { 0 } else { BESIDES_BYTES };
            assert!(
                resident < idle_bytes + besides + bound / 10 * 11,
                "{resident} bytes are resident, {idle_bytes} were before"
            );
            if let Some(values) = own.values(&ACCOUNTS) {
                peaks.take(&values, bound);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        peaks
    }
}

/// Ends what runs beside the flood when the flood has ended, or the test has failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The accounts and gauges that are looked at.
const ACCOUNTS: [&str; 11] = [
    "benzene.received",
    "benzene.own",
    "benzene.committed",
    "benzene.cached",
    "benzene.superseded",
    "benzene.dropped.createWait",
    "benzene.dropped.tooOld",
    "benzene.cacheBytes",
    "benzene.waitingPoints",
    "benzene.series",
    "benzene.forgotten",
];

/// The highest of what was seen.
#[derive(Debug, Default)]
struct Peaks {
    resident: u64,
    cache_bytes: u64,
    waiting_points: u64,
    series: u64,
    looks: u64,
}

impl Peaks {
    fn take(&mut self, values: &[u64], bound: u64) {
        let [
            received,
            own,
            committed,
            cached,
            superseded,
            dropped,
            too_old,
            bytes,
            waiting,
            series,
            _,
        ] = *values
        else {
            unreachable!("{values:?}")
        };
        assert_eq!(
            received + own,
            committed + cached + superseded + dropped + too_old,
            "{ACCOUNTS:?} {values:?}"
        );
        assert!(
            bytes < bound / 100 * (COUNTED_PERCENT + 2) + ON_THE_WAY_BYTES,
            "{bytes} bytes in a cache of {bound}"
        );
        // The well-behaved client's points wait there too.
        assert!(
            waiting * NAME_BYTES < bound / 16 * 3 + (1 << 20),
            "{waiting} points wait in a cache of {bound} bytes"
        );
        self.cache_bytes = self.cache_bytes.max(bytes);
        self.waiting_points = self.waiting_points.max(waiting);
        self.series = self.series.max(series);
        self.looks += 1;
    }
}

#[test]
fn names_without_end_hold_nobody_up() {
    let scale = scale();
    let start = now() - 3_000;
    let root = with_files(&scale, start);
    let daemon = Daemon::start_in(
        &setup(&format!(
            "MAX_CREATES_PER_MINUTE = 600\nMAX_CACHE_BYTES = {}",
            scale.cache_bytes
        )),
        root,
    );
    let mut own = Own::of(&daemon);
    daemon.send(&idle_text(&scale, start));
    // Written, and no longer kept for queries: 20 KB are our own metrics' points.
    let waits = ["benzene.committed", "benzene.recentBytes"];
    own.wait_until(&waits, |values| {
        values[0] >= u64::from(scale.idle) && values[1] < 50_000
    });
    let idle_bytes = vitals::memory_bytes(daemon.pid(), "VmRSS");
    let watch = Watch {
        daemon: &daemon,
        scale: &scale,
        start,
        sent: AtomicU64::new(0),
        over: AtomicBool::new(false),
    };
    let began = Instant::now();
    let cpu_before = vitals::cpu(daemon.pid());
    let (peaks, behaved) = std::thread::scope(|scope| {
        let over = Over(&watch.over);
        let checking = scope.spawn(|| watch.check(idle_bytes));
        let behaving = scope.spawn(|| watch.behave());
        let flooding: Vec<_> = (0..FLOODERS)
            .map(|part| {
                scope.spawn({
                    let watch = &watch;
                    move || watch.flood(part)
                })
            })
            .collect();
        for flooder in flooding {
            flooder.join().unwrap();
        }
        // All names are received, and looked for: what can be dropped is dropped.
        let waits = ["benzene.received", "benzene.unprovenSeries"];
        own.wait_until(&waits, |values| values[0] >= scale.names && values[1] == 0);
        drop(over);
        (checking.join().unwrap(), behaving.join().unwrap())
    });
    let (took, cpu) = (
        began.elapsed(),
        vitals::cpu(daemon.pid()).saturating_sub(cpu_before),
    );
    let (in_flood, rounds, slowest, slowest_answer) = behaved;
    eprintln!(
        "{} names in {took:?}, CPU {cpu:?} ({} ns a name); {peaks:?}, resident before {idle_bytes}; \
         {in_flood} rounds meanwhile, the slowest seen after {slowest:?}; slowest answer {slowest_answer:?}; {:?}",
        scale.names,
        cpu.as_nanos() / u128::from(scale.names),
        own.values(&ACCOUNTS)
            .map(|values| ACCOUNTS.into_iter().zip(values).collect::<Vec<_>>()),
    );
    assert!(
        peaks.looks > 0 && in_flood > 2,
        "the flood was over too soon: {peaks:?}, {in_flood} rounds"
    );
    judge(&watch, &mut own, &peaks, rounds);
}

/// What must have been dropped and forgotten, and what must be in files.
fn judge(watch: &Watch<'_>, own: &mut Own, peaks: &Peaks, rounds: u32) {
    let Watch {
        daemon,
        scale,
        start,
        ..
    } = *watch;
    let kept = scale.cache_bytes / 16 * 3 / NAME_BYTES;
    let dropped = own.value("benzene.dropped.createWait");
    assert!(
        dropped + kept * 3 / 2 > scale.names,
        "only {dropped} of {} names went",
        scale.names
    );
    // Only where the names came faster than they could be looked for was there any pressure.
    let forgotten = own.value("benzene.forgotten");
    assert!(
        forgotten >= u64::from(scale.idle) || peaks.cache_bytes < scale.cache_bytes / 10 * 7,
        "only {forgotten} series were forgotten: {peaks:?}"
    );
    for metric in 0..OLD + NEW {
        let file = file_of(&daemon.data(), &steady(metric));
        let last = start + rounds;
        let found = wait_for(|| file_points(&file).filter(|points| points.contains_key(&last)));
        let found = found.unwrap_or_else(|| panic!("{} lacks its last points", steady(metric)));
        let (first, _) = found.first_key_value().unwrap();
        // A metric that was seen once cannot be told from those of the flood, and may have to go:
        // from the second point that finds the first still there, nothing is missing.
        assert!(
            *first == start || metric >= OLD && *first <= last + 1 - AFTERWARDS,
            "{} begins at {first}, of {start} to {last}",
            steady(metric)
        );
        let wanted = (*first..=last).map(|time| (time, f64::from(time - start)));
        assert_eq!(found, wanted.collect(), "{}", steady(metric));
    }
}
