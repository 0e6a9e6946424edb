//! Streams of lines compressed with gzip: those of a real carbon-c-relay arrive with each flush, those
//! of a sender that has to wait lose nothing, and a bomb takes neither memory nor time from others.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::format_push_string,
    reason = "a test measures time and says what it saw"
)]

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::clients::{counted, packed};
use crate::daemon::{Daemon, Querier, Setup, file_of, wait_for};
use crate::first_use::now;
use crate::vitals::{accounts, file_points, memory_bytes};

/// What is sent through the full cache: so many metrics, each round a point of each, dealt to so many
/// senders.
const METRICS: u32 = 400;
const ROUNDS: u32 = 50;
const SENDERS: u32 = 4;

#[test]
fn what_carbon_c_relay_flushes_is_there_at_once() {
    let path = benzene_fixtures::path("carbon-c-relay/gzip-stream.bin");
    let stream = std::fs::read(path).unwrap();
    let daemon = Daemon::start(&Setup {
        conf: "CARBON_METRIC_INTERVAL = 0\nMAX_UPDATES_PER_SECOND = 0.02".to_owned(),
        schemas: Some("[all]\npattern = .*\nretentions = 1s:20y\n".to_owned()),
        shards: Some(2),
        ..Setup::default()
    });
    let mut socket = TcpStream::connect(daemon.line).unwrap();
    for (round, part) in [0..147, 147..247, 247..348].into_iter().enumerate() {
        socket.write_all(&stream[part]).unwrap();
        for metric in 0..20_u32 {
            let name = format!("relayed.host{}.metric{}", metric / 5, metric % 5);
            let wanted: Vec<(u32, f64)> = (0..=u32::try_from(round).unwrap())
                .map(|round| {
                    (
                        1_700_000_000 + 60 * round,
                        f64::from(metric * 3 + round) + 0.5,
                    )
                })
                .collect();
            assert_eq!(daemon.wait_for_points(&name, round + 1), wanted, "{name}");
        }
    }
}

/// Sends every fourth metric's points, each round a member.
fn send_packed(sender: u32, address: SocketAddr, start: u32) {
    let mut socket = TcpStream::connect(address).unwrap();
    for round in 0..ROUNDS {
        let mut text = String::new();
        for metric in (sender..METRICS).step_by(SENDERS as usize) {
            let (value, time) = (metric + round, start + round);
            text.push_str(&format!("packed.metric{metric} {value} {time}\n"));
        }
        socket.write_all(&packed::gzip(text.as_bytes())).unwrap();
    }
}

/// Compressed streams through a cache that is far smaller, and a stop while most of it still lies in
/// sockets and compressed: every point is in its file.
#[test]
fn a_full_cache_slows_compressed_senders_and_loses_nothing() {
    const CACHE_POINTS: u32 = 1000;
    let daemon = Daemon::start(&Setup {
        conf: format!(
            "MAX_CACHE_SIZE = {CACHE_POINTS}\nUSE_FLOW_CONTROL = True\nMAX_CACHE_BYTES = 64M\n\
             CARBON_METRIC_INTERVAL = 0"
        ),
        schemas: Some("[all]\npattern = .*\nretentions = 1s:2h\n".to_owned()),
        shards: Some(2),
        ..Setup::default()
    });
    let idle_bytes = memory_bytes(daemon.pid(), "VmRSS");
    let (start, address) = (now() - ROUNDS - 60, daemon.line);
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            scope.spawn(move || send_packed(sender, address, start));
        }
    });
    let peak = memory_bytes(daemon.pid(), "VmHWM");
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let accounts = accounts(&ended.log);
    assert_eq!(
        accounts.received,
        u64::from(METRICS * ROUNDS),
        "{}",
        ended.log
    );
    let rest = accounts.superseded + accounts.dropped + accounts.cached;
    assert_eq!(rest, 0, "{}", ended.log);
    for metric in 0..METRICS {
        let name = format!("packed.metric{metric}");
        let found = file_points(&file_of(&ended.data(), &name));
        let wanted = (0..ROUNDS).map(|round| (start + round, f64::from(metric + round)));
        assert_eq!(found, Some(wanted.collect()), "{name}");
    }
    assert!(
        peak < idle_bytes + (32 << 20),
        "{peak} bytes at the peak, {idle_bytes} idle"
    );
}

/// Much in few bytes, on the only core: queries and other senders are
/// served meanwhile, and the memory stays what it was.
#[test]
fn a_bomb_takes_neither_memory_nor_time_from_others() {
    let daemon = Daemon::start(&Setup {
        conf: "CARBON_METRIC_INTERVAL = 0".to_owned(),
        shards: Some(1),
        ..Setup::default()
    });
    let idle_bytes = memory_bytes(daemon.pid(), "VmRSS");
    // An endless line.
    let member = packed::gzip(&vec![b'x'; 4 << 20]);
    // As much as takes a while to unpack.
    let members = if cfg!(debug_assertions) { 4 } else { 64 };
    let bomb = member.repeat(members);
    let most = members * 5_000;
    assert!(bomb.len() < most, "{} bytes are no bomb", bomb.len());
    let mut bombers: Vec<TcpStream> = (0..4)
        .map(|_| TcpStream::connect(daemon.line).unwrap())
        .collect();
    for socket in &mut bombers {
        socket.write_all(&bomb).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
    }
    let (time, begin) = (now(), Instant::now());
    let (mut querier, mut slowest, mut rounds) =
        (Querier::connect(daemon.query), Duration::ZERO, 0);
    let mut sender = TcpStream::connect(daemon.line).unwrap();
    // The daemon closes its ends when all is unpacked.
    let is_over = |socket: &TcpStream| {
        socket.set_nonblocking(true).unwrap();
        socket.peek(&mut [0]).is_ok_and(|bytes| bytes == 0)
    };
    while !bombers.iter().all(is_over) {
        let asked = Instant::now();
        sender
            .write_all(format!("beside.bomb {rounds} {}\n", time - rounds).as_bytes())
            .unwrap();
        let wanted = (time - rounds, f64::from(rounds));
        wait_for(|| {
            querier
                .points("beside.bomb")
                .contains(&wanted)
                .then_some(())
        })
        .unwrap();
        slowest = slowest.max(asked.elapsed());
        rounds += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    let peak = memory_bytes(daemon.pid(), "VmHWM");
    eprintln!(
        "{} MiB unpacked in {:?}; {rounds} points beside, seen after {slowest:?} at most",
        16 * members,
        begin.elapsed()
    );
    assert!(rounds > 5, "it was over before anything was seen");
    assert!(slowest < Duration::from_secs(2), "a point took {slowest:?}");
    assert!(
        peak < idle_bytes + (16 << 20),
        "{peak} bytes at the peak, {idle_bytes} idle"
    );
    let ended = daemon.stop();
    assert_eq!(
        counted(&ended.log)["received"],
        u64::from(rounds),
        "{}",
        ended.log
    );
}
