//! A burst as large as the senders can make it: many metrics, several points each, on four
//! connections as fast as they go. Every point is in its file afterwards, both shards have worked,
//! the counters add up, queries are answered meanwhile, and the memory comes back.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::format_push_string,
    reason = "a test waits, builds its text simply and says what it measured"
)]

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, Querier, Setup, file_of, wait_for};
use crate::first_use::now;
use crate::vitals::{self, Own, accounts, file_points};

const CONNECTIONS: u32 = 4;
const ROUNDS: u32 = 20;
const STEP_S: u32 = 60;
/// What the memory may lie above its level before the burst, once all is written: some 12 MB of
/// 100,000 series that were seen, and what the allocator keeps, up to 25 MB; the peak lies 70 to
/// 130 MB above.
const KEPT_BYTES: u64 = 48 << 20;
/// What the last burst may leave more than the second: a fifth of what the points of the two between take in
/// full counts. The allocator takes some 1 MB.
const GROWTH_BYTES: u64 = 6 << 20;

fn metrics() -> u32 {
    if vitals::is_long() { 100_000 } else { 5_000 }
}

/// How often the same metrics burst: with few of them what the allocator takes is more than their points.
fn bursts() -> u32 {
    if vitals::is_long() { 4 } else { 1 }
}

fn name(metric: u32) -> String {
    format!(
        "ingest.rack{}.host{}.metric{}",
        metric / 1000,
        metric / 50 % 20,
        metric % 50
    )
}

fn value(metric: u32, round: u32) -> u32 {
    metric * 100 + round
}

/// Sends every fourth metric's points of one burst, round after round.
fn send(connection: u32, address: SocketAddr, (start, burst): (u32, u32)) {
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    for round in burst * ROUNDS..(burst + 1) * ROUNDS {
        let time = start + round * STEP_S;
        let mut text = String::new();
        for metric in (connection..metrics()).step_by(CONNECTIONS as usize) {
            text.push_str(&format!(
                "{} {} {time}\n",
                name(metric),
                value(metric, round)
            ));
            if text.len() > 64 << 10 {
                socket.write_all(text.as_bytes()).unwrap();
                text.clear();
            }
        }
        socket.write_all(text.as_bytes()).unwrap();
    }
}

/// Asks for metric after metric until it is told to stop; the longest wait for an answer, and how
/// many there were.
fn ask(address: SocketAddr, stop: &AtomicBool) -> (Duration, u32) {
    let mut querier = Querier::connect(address);
    let (mut worst, mut count) = (Duration::ZERO, 0);
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        querier.points(&name(count * 7919 % metrics()));
        worst = worst.max(asked.elapsed());
        count += 1;
        std::thread::sleep(Duration::from_millis(2));
    }
    (worst, count)
}

/// Sends one burst while somebody asks, and waits until it is written.
fn burst_in(daemon: &Daemon, own: &mut Own, (start, burst): (u32, u32)) {
    let points = u64::from(metrics() * ROUNDS);
    let (began, cpu_before) = (Instant::now(), vitals::cpu(daemon.pid()));
    let stop = AtomicBool::new(false);
    let (sent_after, (worst, queries)) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(daemon.query, &stop));
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                let address = daemon.line;
                scope.spawn(move || send(connection, address, (start, burst)))
            })
            .collect();
        for sender in senders {
            sender.join().unwrap();
        }
        let sent_after = began.elapsed();
        let all = points * u64::from(burst + 1);
        own.wait_until(&["benzene.committed"], |committed| committed[0] >= all);
        stop.store(true, Ordering::Relaxed);
        (sent_after, asking.join().unwrap())
    });
    assert!(queries > 0);
    let written_after = began.elapsed();
    let cpu = vitals::cpu(daemon.pid()).saturating_sub(cpu_before);
    vitals::assert_shards_busy(daemon.pid(), 2);
    eprintln!(
        "burst {burst}: {points} points: sent in {sent_after:?}, written after {written_after:?}, CPU {cpu:?} \
         ({} ns a point); {queries} queries, the slowest {worst:?}; threads {:?}",
        cpu.as_nanos() / u128::from(points),
        vitals::thread_ticks(daemon.pid()),
    );
}

#[test]
fn bursts_are_written_whole_and_leave_the_memory_as_it_was() {
    let daemon = Daemon::start(&Setup {
        conf:
            "CARBON_METRIC_INTERVAL = 1\nMAX_CREATES_PER_MINUTE = inf\nMAX_UPDATES_PER_SECOND = inf"
                .to_owned(),
        schemas: Some(format!(
            "[own]\npattern = ^carbon\\.\nretentions = 1s:1h\n[all]\npattern = .*\nretentions = {STEP_S}s:2h\n"
        )),
        shards: Some(2),
        ..Setup::default()
    });
    let mut own = Own::of(&daemon);
    own.wait_until(&["benzene.committed"], |committed| committed[0] > 0);
    let idle_bytes = vitals::memory_bytes(daemon.pid(), "VmRSS");
    let start = now() / STEP_S * STEP_S - bursts() * ROUNDS * STEP_S;

    let resident: Vec<u64> = (0..bursts())
        .map(|burst| {
            burst_in(&daemon, &mut own, (start, burst));
            let after_bytes = settle(&daemon, &mut own, idle_bytes);
            eprintln!(
                "resident {} KiB idle, {} peak, {} after",
                idle_bytes >> 10,
                vitals::memory_bytes(daemon.pid(), "VmHWM") >> 10,
                after_bytes >> 10
            );
            after_bytes
        })
        .collect();
    // What the first two bursts leave is there for good; further ones leave next to nothing.
    if let [_, second, .., last] = resident[..] {
        assert!(
            last <= second + GROWTH_BYTES,
            "resident after each: {resident:?}"
        );
    }

    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let accounts = accounts(&ended.log);
    assert_eq!(
        accounts.received,
        u64::from(metrics() * ROUNDS * bursts()),
        "{}",
        ended.log
    );
    let rest = accounts.superseded + accounts.dropped + accounts.cached;
    assert_eq!(rest, 0, "{}", ended.log);
    for metric in 0..metrics() {
        let found = file_points(&file_of(&ended.data(), &name(metric)));
        let wanted = (0..bursts() * ROUNDS).map(|round| {
            let value = f64::from(value(metric, round));
            (start + round * STEP_S, value)
        });
        assert_eq!(found, Some(wanted.collect()), "{}", name(metric));
    }
}

/// Waits until nothing of the burst is held any more; the resident memory then.
fn settle(daemon: &Daemon, own: &mut Own, idle_bytes: u64) -> u64 {
    // Its own metrics' points are cached or recent at any time: some 60 a second.
    own.wait_until(&["benzene.cached", "benzene.recentBytes"], |values| {
        values[0] < 1000 && values[1] < 200_000
    });
    let pid = daemon.pid();
    let resident = wait_for(|| {
        let bytes = vitals::memory_bytes(pid, "VmRSS");
        (bytes < idle_bytes + KEPT_BYTES).then_some(bytes)
    });
    resident.unwrap_or_else(|| {
        let bytes = vitals::memory_bytes(pid, "VmRSS");
        panic!("{bytes} bytes stay resident, {idle_bytes} were before")
    })
}
