//! A cache that is far smaller than what is sent: senders are slowed, on the connection, and lose
//! nothing. Every point is in its file, none was dropped, and the memory stays what it was, however many
//! connections wait. A connection that comes while the cache is full is accepted, waits its turn, and is
//! served.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test measures time and says what it saw"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use benzene_engine::limits::HELD_TOGETHER_BYTES_MAX;

use crate::daemon::{Daemon, Querier, Setup, file_of, wait_for};
use crate::first_use::now;
use crate::vitals::{self, Own, accounts, file_points};

/// MAX_CACHE_SIZE.
const CACHE_POINTS: u32 = 1000;
const METRICS: u32 = 1000;
const CONNECTIONS: u32 = 4;
/// What the peak may lie above the memory of the idle daemon: the senders' receive buffers, and
/// what a thousand files in flight take.
const GROWN_BYTES: u64 = 32 << 20;

fn rounds() -> u32 {
    if vitals::is_long() { 1000 } else { 50 }
}

fn name(metric: u32) -> String {
    format!("slow.host{}.metric{}", metric / 10, metric % 10)
}

/// Sends every fourth metric's points, round after round.
fn send(connection: u32, address: SocketAddr, start: u32) {
    let mut socket = TcpStream::connect(address).unwrap();
    for round in 0..rounds() {
        let mut text = String::new();
        for metric in (connection..METRICS).step_by(CONNECTIONS as usize) {
            writeln!(
                text,
                "{} {} {}",
                name(metric),
                metric + round,
                start + round
            )
            .unwrap();
        }
        socket.write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn a_full_cache_slows_its_senders_and_loses_nothing() {
    let daemon = Daemon::start(&Setup {
        // Written points stay answerable for five seconds, in a sixteenth of MAX_CACHE_BYTES.
        conf: format!(
            "MAX_CACHE_SIZE = {CACHE_POINTS}\nUSE_FLOW_CONTROL = True\nMAX_CACHE_BYTES = 64M"
        ),
        schemas: Some("[all]\npattern = .*\nretentions = 1s:2h\n".to_owned()),
        shards: Some(2),
        ..Setup::default()
    });
    let idle_bytes = vitals::memory_bytes(daemon.pid(), "VmRSS");
    let (start, began) = (now() - rounds() - 60, Instant::now());
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let address = daemon.line;
            scope.spawn(move || send(connection, address, start));
        }
    });
    let sent_after = began.elapsed();
    let ended_peak = vitals::memory_bytes(daemon.pid(), "VmHWM");
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let points = u64::from(METRICS * rounds());
    eprintln!(
        "{points} points through a cache of {CACHE_POINTS}: sent in {sent_after:?}, \
         resident {} KiB idle, {} peak",
        idle_bytes >> 10,
        ended_peak >> 10,
    );
    let accounts = accounts(&ended.log);
    assert_eq!(accounts.received, points, "{}", ended.log);
    let rest = accounts.superseded + accounts.dropped + accounts.cached;
    assert_eq!(rest, 0, "{}", ended.log);
    for metric in 0..METRICS {
        let found = file_points(&file_of(&ended.data(), &name(metric)));
        let wanted = (0..rounds()).map(|round| (start + round, f64::from(metric + round)));
        assert_eq!(found, Some(wanted.collect()), "{}", name(metric));
    }
    assert!(
        ended_peak < idle_bytes + GROWN_BYTES,
        "{ended_peak} bytes at the peak, {idle_bytes} idle"
    );
}

#[test]
fn who_comes_while_the_cache_is_full_waits_and_is_served() {
    let daemon = Daemon::start(&Setup {
        conf: "MAX_CACHE_SIZE = 200\nMAX_UPDATES_PER_SECOND = 100\nUSE_FLOW_CONTROL = True\n\
               CARBON_METRIC_INTERVAL = 1"
            .to_owned(),
        shards: Some(2),
        ..Setup::default()
    });
    let time = now();
    let mut flood = TcpStream::connect(daemon.line).unwrap();
    let mut text = String::new();
    for metric in 0..1000 {
        writeln!(text, "flood.metric{metric} 1 {time}").unwrap();
    }
    flood.write_all(text.as_bytes()).unwrap();
    let mut own = Own::of(&daemon);
    let received = own.wait_until(&["benzene.received"], |received| received[0] >= 200);
    assert!(received[0] < 1000, "nobody is held up: {received:?}");

    let mut late = TcpStream::connect(daemon.line).unwrap();
    late.write_all(format!("late.comer 5 {time}\n").as_bytes())
        .unwrap();
    let mut querier = Querier::connect(daemon.query);
    let asked = Instant::now();
    querier.points("flood.metric0");
    assert!(asked.elapsed() < Duration::from_secs(2), "queries wait too");
    let path = file_of(&daemon.data(), "late.comer");
    let found = wait_for(|| file_points(&path).filter(|points| !points.is_empty()));
    assert_eq!(found, Some([(time, 5.0)].into()));

    drop((flood, late));
    let ended = daemon.stop();
    let accounts = accounts(&ended.log);
    assert_eq!(
        (accounts.received, accounts.dropped),
        (1001, 0),
        "{}",
        ended.log
    );
}

/// Senders that each fill a receive buffer: more than three times what may be held of all.
const MANY: u32 = 1800;
/// Lines of each, of 8 KiB, so that 64 KiB are few points.
const LONG_LINES: u32 = 8;
/// Few, so that an update has many points.
const MANY_METRICS: u32 = 10;

/// What one of many sends: eight seconds of a metric, which no other sends.
fn long_lines(connection: u32, start: u32) -> String {
    let (metric, padding) = (name(connection % MANY_METRICS), " ".repeat(8100));
    let first = connection / MANY_METRICS * LONG_LINES;
    let lines = (first..first + LONG_LINES)
        .map(|at| format!("{metric}{padding} {at} {}\n", start + at))
        .collect::<Vec<_>>();
    lines.concat()
}

#[test]
fn what_many_senders_have_sent_past_a_full_cache_is_bounded_in_sum() {
    let daemon = Daemon::start(&Setup {
        conf: format!(
            "MAX_CACHE_SIZE = {CACHE_POINTS}\nUSE_FLOW_CONTROL = True\nMAX_CACHE_BYTES = 64M\n\
             MAX_UPDATES_PER_SECOND = 10\nMAX_UPDATES_PER_SECOND_ON_SHUTDOWN = inf\n\
             CARBON_METRIC_INTERVAL = 0"
        ),
        schemas: Some("[all]\npattern = .*\nretentions = 1s:1h\n".to_owned()),
        shards: Some(2),
        ..Setup::default()
    });
    let idle_bytes = vitals::memory_bytes(daemon.pid(), "VmRSS");
    let points = MANY / MANY_METRICS * LONG_LINES;
    let start = now() - points - 60;
    let mut senders = Vec::new();
    for connection in 0..MANY {
        let mut socket = daemon.connect();
        socket
            .write_all(long_lines(connection, start).as_bytes())
            .unwrap();
        senders.push(socket);
    }
    let asked = Instant::now();
    daemon.points(&name(0));
    assert!(asked.elapsed() < Duration::from_secs(2), "queries wait too");
    let wanted = (0..points).map(|at| (start + at, f64::from(at)));
    let wanted: BTreeMap<u32, f64> = wanted.collect();
    for metric in 0..MANY_METRICS {
        let path = daemon.file(&name(metric));
        let found = wait_for(|| file_points(&path).filter(|found| *found == wanted));
        assert!(found.is_some(), "{} lacks points", name(metric));
    }
    let peak = vitals::memory_bytes(daemon.pid(), "VmHWM");
    eprintln!(
        "{MANY} senders: resident {} KiB idle, {} peak",
        idle_bytes >> 10,
        peak >> 10,
    );
    drop(senders);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let accounts = accounts(&ended.log);
    let sent = u64::from(MANY * LONG_LINES);
    assert_eq!(accounts.received, sent, "{}", ended.log);
    let rest = accounts.superseded + accounts.dropped + accounts.cached;
    assert_eq!(rest, 0, "{}", ended.log);
    let held = HELD_TOGETHER_BYTES_MAX as u64;
    assert!(
        peak > idle_bytes + held / 2,
        "{peak} bytes at the peak, {idle_bytes} idle: nobody had to wait"
    );
    assert!(
        peak < idle_bytes + held + GROWN_BYTES,
        "{peak} bytes at the peak, {idle_bytes} idle"
    );
}

/// Sixteen shards' tables alone are more than the smallest bound that can be set.
#[test]
fn a_bound_that_the_tables_of_so_many_shards_take_is_raised() {
    let daemon = Daemon::start(&Setup {
        conf: "MAX_CACHE_BYTES = 1M\nMAX_CREATES_PER_MINUTE = inf\n".to_owned(),
        shards: Some(16),
        ..Setup::default()
    });
    let (metrics, rounds) = (600, 1000);
    let start = now() - rounds;
    let mut socket = daemon.connect();
    // More than the kernel's buffers hold: it goes on only as it is read.
    let patience = Some(Duration::from_secs(60));
    socket.set_write_timeout(patience).unwrap();
    for round in 0..rounds {
        let mut text = String::new();
        for metric in 0..metrics {
            writeln!(text, "{} {round} {}", name(metric), start + round).unwrap();
        }
        socket.write_all(text.as_bytes()).unwrap();
    }
    drop(socket);
    let ended = daemon.stop();
    let said = "MAX_CACHE_BYTES leaves 16 shards 64 KiB each";
    assert!(ended.log.contains(said), "{}", ended.log);
    let received = crate::stop::number_before(&ended.log, " received");
    assert_eq!(received, u64::from(metrics * rounds), "{}", ended.log);
}
