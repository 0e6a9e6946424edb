//! A limit of 1,024 open files, which many systems set, and far more metrics than that: a file is
//! open only while it is made or written, so that the metrics may be any number; and where threads open
//! them, no more are open than the limit has room for beside senders.
#![expect(clippy::disallowed_methods, reason = "a test looks while others work")]

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use benzene_engine::limits::{
    CREATES_IN_FLIGHT_MAX, FILE_THREADS, JOURNAL_VISITS_MAX, UPDATES_IN_FLIGHT_LEAST,
    UPDATES_IN_FLIGHT_MAX,
};
use benzene_engine::ring::host;

use crate::daemon::{Daemon, Querier, Setup, Way, wait_for};
use crate::faults::{files_below, lines};
use crate::first_use::now;
use crate::vitals::{Own, accounts, is_long};

const SHARDS: usize = 2;
/// The test's own connections: one that sends, one that asks for the daemon's metrics.
const CONNECTIONS: usize = 2;
/// So many shards that the files which all of them might have open, and senders, are more than 1,024.
const MANY_SHARDS: usize = 8;
/// Senders that take most of their part: half of the limit, but for the eighth of those who ask.
const SENDERS: usize = 350;
/// What is written at once, and an own metric for each second.
const CONF: &str = "CARBON_METRIC_INTERVAL = 1\nMAX_CREATES_PER_MINUTE = inf\n\
                    MAX_UPDATES_PER_SECOND = inf\n";
const SCHEMAS: &str = "[own]\npattern = ^carbon\\.\nretentions = 1s:1h\n\
                       [all]\npattern = .*\nretentions = 60s:1h\n";

/// How many metrics; `BENZENE_LONG` asks for a million.
fn metrics() -> usize {
    if is_long() { 1_000_000 } else { 8_000 }
}

/// Descriptors that the files of all shards may take at a time. Through io_uring only creates take
/// some, a second each where directories are made; files that are updated take the ring's own.
fn budget() -> usize {
    let creates = 2 * CREATES_IN_FLIGHT_MAX;
    SHARDS
        * match Way::of_this_run() {
            Way::Uring => creates,
            Way::Sync | Way::Poll | Way::Forbidden => creates + UPDATES_IN_FLIGHT_MAX,
        }
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count()
}

/// Sends three rounds of points of so many metrics, each when the one before is written. The most
/// descriptors that the daemon had meanwhile.
fn most_open(daemon: &Daemon, own: &mut Own, count: usize) -> usize {
    let pid = daemon.pid();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !is_done.load(Ordering::Relaxed) {
                most = descriptors(pid).max(most);
                std::thread::sleep(Duration::from_micros(500));
            }
            most
        });
        // The first points make the files, the later ones find them.
        let time = now() - 600;
        for round in 1..=3_u32 {
            daemon.send(&lines("many.metrics", count, time + 60 * round));
            let wanted = count as u64 * u64::from(round);
            own.wait_until(&["benzene.committed"], |values| values[0] >= wanted);
        }
        is_done.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    })
}

/// Stops it: it never lacked a descriptor, and all of these metrics' points are in their files.
fn ends_well(daemon: Daemon, count: usize) {
    let files = files_below(&daemon.data().join("many")).len();
    assert_eq!(files, count);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(!ended.log.contains("Too many open files"), "{}", ended.log);
    let accounts = accounts(&ended.log);
    assert_eq!(accounts.dropped + accounts.cached, 0, "{}", ended.log);
    assert!(accounts.committed >= 3 * count as u64, "{}", ended.log);
}

#[test]
fn a_thousand_open_files_are_enough_for_any_number_of_metrics() {
    let count = metrics();
    let daemon = Daemon::start(&Setup {
        conf: CONF.to_owned(),
        schemas: Some(SCHEMAS.to_owned()),
        shards: Some(SHARDS),
        open_files: Some(1024),
        ..Setup::default()
    });
    let mut own = Own::of(&daemon);
    own.wait_until(&["benzene.committed"], |_| true);
    let quiet = descriptors(daemon.pid());
    let most = most_open(&daemon, &mut own, count);
    let allowed = quiet + CONNECTIONS + budget();
    assert!(allowed < 1024, "a budget of {allowed} is none");
    assert!(most > quiet, "no file was seen open beside {quiet}");
    assert!(most <= allowed, "{most} open, {allowed} allowed");
    ends_well(daemon, count);
}

#[test]
fn threads_of_many_shards_open_no_more_files_than_senders_leave() {
    const METRICS: usize = 4000;
    host::raise_open_files().unwrap();
    let daemon = Daemon::start(&Setup {
        conf: format!("{CONF}DEVICE_CLASS = ssd\n"),
        schemas: Some(SCHEMAS.to_owned()),
        shards: Some(MANY_SHARDS),
        open_files: Some(1024),
        way: Some(Way::Poll),
        ..Setup::default()
    });
    let said = format!("in flight up to {UPDATES_IN_FLIGHT_LEAST} updates a shard");
    assert!(daemon.log().contains(&said), "{}", daemon.log());
    let mut own = Own::of(&daemon);
    let senders: Vec<TcpStream> = (0..SENDERS).map(|_| daemon.connect()).collect();
    own.wait_until(&["activeConnections"], |values| values[0] >= SENDERS as u64);
    let quiet = descriptors(daemon.pid());
    let most = most_open(&daemon, &mut own, METRICS);
    let of_core = UPDATES_IN_FLIGHT_LEAST + FILE_THREADS + JOURNAL_VISITS_MAX as usize;
    let allowed = quiet + CONNECTIONS + MANY_SHARDS * of_core;
    assert!(most <= allowed, "{most} open, {allowed} allowed");
    drop(senders);
    ends_well(daemon, METRICS);
}

/// Nine times as many as there are places for. An eighth of the limit is theirs: the journal, which has a
/// segment to open, files and senders have the rest.
#[test]
fn those_who_ask_leave_descriptors_to_all_others() {
    const OPEN_FILES: u32 = 160;
    let mut daemon = Daemon::start(&Setup {
        conf: "CARBON_METRIC_INTERVAL = 0\n".to_owned(),
        schemas: Some(SCHEMAS.to_owned()),
        shards: Some(SHARDS),
        open_files: Some(OPEN_FILES),
        ..Setup::default()
    });
    let places = OPEN_FILES as usize / 8;
    let mut crowd: Vec<Querier> = (0..9 * places)
        .map(|_| Querier::connect(daemon.query))
        .collect();
    daemon.wait_for_log("as many connections of cache queries as there may be (20)");
    let time = now();
    daemon.send(&lines("beside.crowd", 40, time));
    let cached = wait_for(|| Some(crowd[0].points("beside.crowd.m39")).filter(|it| !it.is_empty()));
    assert_eq!(cached, Some(vec![(time, 39.0)]));
    let all = |daemon: &Daemon| files_below(&daemon.data()).len() == 40;
    wait_for(|| all(&daemon).then_some(())).unwrap_or_else(|| panic!("{}", daemon.log()));
    // Whoever waits is answered when others have gone.
    let mut last = crowd.pop().unwrap();
    drop(crowd);
    assert_eq!(last.points("beside.nobody"), []);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    for not in ["Too many open files", "cannot accept"] {
        assert!(!ended.log.contains(not), "{}", ended.log);
    }
}
