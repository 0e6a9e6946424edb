//! No point that was accepted is ever out of sight: a reader who reads the file first and asks the
//! cache second, as graphite-web does, finds every point of a metric up to the newest, at any
//! moment: before and while its file is made, while updates are held back, while they run.
//! What any look has found must be found by every look whose question comes later.
//! A look is judged only if it took less than the time for which written points stay answerable.
#![expect(
    clippy::disallowed_methods,
    clippy::format_push_string,
    reason = "a test waits, and builds its text simply"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use benzene_server::wire::client::{self, Reply};

use crate::daemon::{Daemon, PATIENCE, Querier, Setup, file_of};
use crate::first_use::now;
use crate::vitals::{self, file_points};

const CONNECTIONS: u32 = 2;
const METRICS: u32 = 40;
/// Looks per round of points.
const LOOKS: u32 = 4;
/// A look that took longer proves nothing: points stay answerable for five seconds.
const JUDGED: Duration = Duration::from_secs(4);
/// How long the slow reader takes from the files to the cache.
const DAWDLE: Duration = Duration::from_secs(2);

fn rounds() -> u32 {
    if vitals::is_long() { 3_000 } else { 500 }
}

fn name(metric: u32) -> String {
    format!("gaps.host{}.metric{metric}", metric % 4)
}

/// The first round in which a metric gets a point: half of them from the start, the others one by
/// one, so that files are made all the while.
fn first_round(metric: u32) -> u32 {
    metric.saturating_sub(METRICS / 2) * rounds() / METRICS
}

fn value(metric: u32, round: u32) -> f64 {
    f64::from(metric * 10_000 + round + 1)
}

struct Watch<'a> {
    daemon: &'a Daemon,
    data: &'a Path,
    start: u32,
    /// Looks so far; the senders follow them.
    looks: AtomicU32,
    /// All rounds are sent.
    sent: AtomicBool,
    /// The most points of each metric that any look has found.
    known: Vec<AtomicU32>,
}

impl Watch<'_> {
    fn send(&self, connection: u32) {
        let mut socket = self.daemon.connect();
        socket.set_nodelay(true).unwrap();
        for round in 0..rounds() {
            let began = Instant::now();
            while self.looks.load(Ordering::Relaxed) < round * LOOKS {
                assert!(began.elapsed() < PATIENCE, "nobody looks any more");
                std::thread::sleep(Duration::from_micros(200));
            }
            let mut text = String::new();
            for metric in (connection..METRICS).step_by(CONNECTIONS as usize) {
                if round >= first_round(metric) {
                    let (name, value) = (name(metric), value(metric, round));
                    text.push_str(&format!("{name} {value} {}\n", self.start + round));
                }
            }
            socket.write_all(text.as_bytes()).unwrap();
        }
    }

    /// How many points of each metric a look that asks from now on must find.
    fn known(&self) -> Vec<u32> {
        let known = self.known.iter();
        known.map(|count| count.load(Ordering::SeqCst)).collect()
    }

    /// Judges what was seen of a metric. None may be missing up to the newest, nor any that was
    /// known before the question.
    fn judge(&self, metric: u32, seen: &BTreeMap<u32, f64>, known: u32) {
        let count = u32::try_from(seen.len()).unwrap();
        let first = self.start + first_round(metric);
        for (time, found) in (first..).zip(seen) {
            let wanted = value(metric, time - self.start);
            assert!(
                found == (&time, &wanted),
                "{}: {found:?} follows {} points, of {known} known before; wanted {:?}",
                name(metric),
                time - first,
                (time, wanted),
            );
        }
        assert!(
            count >= known,
            "{}: {count} of {known} points",
            name(metric)
        );
        self.known[metric as usize].fetch_max(count, Ordering::SeqCst);
    }

    fn file(&self, metric: u32) -> BTreeMap<u32, f64> {
        file_points(&file_of(self.data, &name(metric))).unwrap_or_default()
    }

    /// Looks at one metric after the other until all is sent, and once more; the looks judged.
    fn look(&self) -> u32 {
        let _released = Released(&self.looks);
        let mut querier = Querier::connect(self.daemon.query);
        let mut judged = 0;
        for look in 0.. {
            let (done, metric) = (self.sent.load(Ordering::Relaxed), look % METRICS);
            let began = Instant::now();
            let mut seen = self.file(metric);
            let known = self.known();
            seen.extend(querier.points(&name(metric)));
            if began.elapsed() < JUDGED {
                self.judge(metric, &seen, known[metric as usize]);
                judged += 1;
            }
            self.looks.fetch_add(1, Ordering::Relaxed);
            if done && metric == METRICS - 1 {
                break;
            }
        }
        judged
    }

    /// Looks at all files, takes its time, and asks for all metrics at once; the looks judged.
    fn dawdle(&self) -> u32 {
        let mut querier = Querier::connect(self.daemon.query);
        let mut request = Vec::new();
        let names: Vec<String> = (0..METRICS).map(name).collect();
        client::encode_bulk_query(names.iter().map(String::as_str), &mut request).unwrap();
        let mut judged = 0;
        loop {
            let done = self.sent.load(Ordering::Relaxed);
            let began = Instant::now();
            let mut seen: Vec<_> = (0..METRICS).map(|metric| self.file(metric)).collect();
            std::thread::sleep(DAWDLE);
            let known = self.known();
            let Reply::Bulk(found) = querier.ask(&request) else {
                panic!("a bulk query was not answered")
            };
            for (metric, (_, points)) in found.iter().enumerate() {
                seen[metric].extend(
                    points
                        .iter()
                        .map(|point| (whole(point.timestamp), point.value)),
                );
            }
            if began.elapsed() < JUDGED {
                for ((metric, seen), known) in (0..).zip(&seen).zip(known) {
                    self.judge(metric, seen, known);
                }
                judged += 1;
            }
            if done {
                return judged;
            }
        }
    }
}

/// Sets the senders free when the reader whom they follow ends, with a panic perhaps.
struct Released<'a>(&'a AtomicU32);

impl Drop for Released<'_> {
    fn drop(&mut self) {
        self.0.store(u32::MAX / 2, Ordering::Relaxed);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the daemon stores whole seconds"
)]
fn whole(timestamp: f64) -> u32 {
    timestamp as u32
}

fn no_gap_with(conf: &str) {
    let daemon = Daemon::start(&Setup {
        conf: conf.to_owned(),
        schemas: Some("[all]\npattern = .*\nretentions = 1s:2h,60s:1d\n".to_owned()),
        shards: Some(2),
        ..Setup::default()
    });
    let start = now() - 3_600;
    let watch = Watch {
        data: &daemon.data(),
        daemon: &daemon,
        start,
        looks: AtomicU32::new(0),
        sent: AtomicBool::new(false),
        known: (0..METRICS).map(|_| AtomicU32::new(0)).collect(),
    };
    let (quick, slow) = std::thread::scope(|scope| {
        let quick = scope.spawn(|| watch.look());
        let slow = scope.spawn(|| watch.dawdle());
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                scope.spawn({
                    let watch = &watch;
                    move || watch.send(connection)
                })
            })
            .collect();
        for sender in senders {
            sender.join().unwrap();
        }
        watch.sent.store(true, Ordering::Relaxed);
        (quick.join().unwrap(), slow.join().unwrap())
    });
    assert!(
        quick > 0 && slow > 0,
        "{quick} and {slow} looks were judged"
    );
    let data = daemon.data();
    let files = (0..METRICS).filter(|metric| file_of(&data, &name(*metric)).exists());
    assert!(files.count() > 0, "nothing was written meanwhile");
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    for metric in 0..METRICS {
        let found = file_points(&file_of(&ended.data(), &name(metric))).unwrap();
        let wanted =
            (first_round(metric)..rounds()).map(|round| (start + round, value(metric, round)));
        assert_eq!(found, wanted.collect(), "{}", name(metric));
    }
}

#[test]
fn none_while_every_point_is_written_at_once() {
    no_gap_with("CACHE_WRITE_STRATEGY = sorted\nMAX_UPDATES_PER_SECOND = inf");
}

#[test]
fn none_while_updates_are_held_back() {
    no_gap_with("CACHE_WRITE_STRATEGY = max\nMAX_UPDATES_PER_SECOND = 20");
}

#[test]
fn none_while_creates_are_held_back() {
    no_gap_with(
        "CACHE_WRITE_STRATEGY = timesorted\nMAX_UPDATES_PER_SECOND = 200\nMAX_CREATES_PER_MINUTE = 300",
    );
}

#[test]
fn none_in_the_other_orders() {
    for strategy in ["naive", "random", "bucketmax"] {
        no_gap_with(&format!(
            "CACHE_WRITE_STRATEGY = {strategy}\nMAX_UPDATES_PER_SECOND = 500"
        ));
    }
}
