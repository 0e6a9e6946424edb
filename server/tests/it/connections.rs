//! Connections of senders: probed by the kernel when they are silent, closed when they send no point
//! for too long, kept waiting when they are too many. And what all receivers do with timestamps.
#![expect(
    clippy::disallowed_methods,
    reason = "a test measures time, and opens the files it looks at"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::clients::pickles::{float, frame, int, item, list};
use crate::clients::{counted, packed, payloads};
use crate::daemon::{Daemon, PATIENCE, Setup, wait_for};
use crate::first_use::now;
use crate::vitals::Own;

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Whether the daemon has closed a connection on which it never answers.
fn is_closed(socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    let peeked = socket.peek(&mut [0]);
    socket.set_nonblocking(false).unwrap();
    !peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Which timer the kernel runs for the daemon's end of a connection (2 is the one for probes), and
/// the hundredths of a second until it ends.
fn timer(client: &TcpStream) -> (u8, u64) {
    let (port, daemon) = (
        client.local_addr().unwrap().port(),
        client.peer_addr().unwrap().port(),
    );
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let line = table.lines().find(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[1].ends_with(&format!(":{daemon:04X}"))
            && fields[2].ends_with(&format!(":{port:04X}"))
    });
    let line = line.unwrap_or_else(|| panic!("no {daemon} to {port} in {table}"));
    let timer = line.split_whitespace().nth(5).unwrap();
    let (kind, left) = timer.split_once(':').unwrap();
    (
        u8::from_str_radix(kind, 16).unwrap(),
        u64::from_str_radix(left, 16).unwrap(),
    )
}

#[test]
fn silent_connections_are_probed_as_carbon_conf_says() {
    for (conf, probed) in [
        ("TCP_KEEPIDLE = 300", Some(30_000)),
        ("", Some(1000)),
        ("TCP_KEEPALIVE = False", None),
    ] {
        let daemon = Daemon::start(&Setup {
            conf: format!("CARBON_METRIC_INTERVAL = 1\n{conf}"),
            shards: Some(2),
            ..Setup::default()
        });
        let ports = [daemon.line, daemon.pickle, daemon.protobuf, daemon.query];
        let sockets = ports.map(connect);
        Own::of(&daemon).wait_until(&["benzene.connections"], |values| values[0] > 4);
        for (socket, port) in sockets.iter().zip(ports) {
            let (kind, left) = timer(socket);
            match probed {
                None => assert_ne!(kind, 2, "{port} with {conf:?}"),
                Some(all) => {
                    assert_eq!(kind, 2, "{port} with {conf:?}");
                    // After the first probe of the shortest it is the time between two of them.
                    let most = if all == 1000 { 3000 } else { all };
                    assert!(left <= most && left + 6000 > all, "{port}: {left} of {all}");
                }
            }
        }
    }
}

/// Sends every quarter of a second until the daemon closes the connection; answers after how long
/// that was.
fn closed_after(mut socket: TcpStream, bytes: &[u8]) -> Duration {
    let begin = Instant::now();
    while !is_closed(&socket) {
        assert!(begin.elapsed() < PATIENCE, "it is never closed");
        // The daemon may close it at any moment.
        drop(socket.write_all(bytes));
        std::thread::sleep(Duration::from_millis(250));
    }
    begin.elapsed()
}

/// Keeps connections open with points while those of the bad are closed, and answers after how long
/// each was.
fn close_beside(
    bad: &[(SocketAddr, Vec<u8>)],
    kept: &[TcpStream],
    good: &[(SocketAddr, Vec<u8>)],
) -> Vec<Duration> {
    std::thread::scope(|scope| {
        let closed: Vec<_> = bad
            .iter()
            .map(|(port, bytes)| {
                let socket = connect(*port);
                scope.spawn(move || closed_after(socket, bytes))
            })
            .collect();
        let begin = Instant::now();
        while !closed
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
            || begin.elapsed() < Duration::from_secs(5)
        {
            for (mut socket, (port, bytes)) in kept.iter().zip(good) {
                assert!(!is_closed(socket), "{port} sends points, and is closed");
                socket.write_all(bytes).unwrap();
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        let after = closed.into_iter().map(|closed| closed.join().unwrap());
        after.collect()
    })
}

#[test]
fn only_accepted_points_keep_a_connection_open() {
    let daemon = Daemon::start(&Setup {
        conf: "CARBON_METRIC_INTERVAL = 0\nMETRIC_CLIENT_IDLE_TIMEOUT = 2".to_owned(),
        shards: Some(2),
        ..Setup::default()
    });
    let time = now();
    let good = [
        (daemon.line, b"idle.line 1 -1\n".to_vec()),
        (
            daemon.pickle,
            frame(&list(&item(b"idle.pickle", &int(time), &float(1.0)))),
        ),
        (
            daemon.protobuf,
            frame(&payloads::metric(b"idle.protobuf", &[(time, 1.0)])),
        ),
    ];
    let bad = [
        (daemon.line, b"\nno three\nidle.nan nan -1\n\n".to_vec()),
        (daemon.line, b"unfinished.but.never.so.long".to_vec()),
        (daemon.line, Vec::new()),
        (
            daemon.pickle,
            frame(&list(&item(b"idle.nan", &int(time), &float(f64::NAN)))),
        ),
        (daemon.protobuf, frame(b"\xff")),
    ];
    let query = connect(daemon.query);
    let kept: Vec<TcpStream> = good.iter().map(|(port, _)| connect(*port)).collect();
    for after in close_beside(&bad, &kept, &good) {
        assert!(
            after >= Duration::from_millis(1900),
            "closed after {after:?}"
        );
    }
    assert!(!is_closed(&query), "a cache query is not a sender");
    // Those that fall silent are closed in their turn.
    for socket in kept {
        closed_after(socket, b"");
    }
    assert!(!is_closed(&query), "a cache query is not a sender");
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(counted(&ended.log)["closed.idle"], 8, "{}", ended.log);
    assert_eq!(
        counted(&ended.log)["refused.unfinished"],
        1,
        "{}",
        ended.log
    );
}

/// A cache that is full for longer than the timeout: those who wait are not idle.
#[test]
fn who_has_to_wait_for_a_full_cache_is_not_idle() {
    let daemon = Daemon::start(&Setup {
        conf: "CARBON_METRIC_INTERVAL = 0\nMETRIC_CLIENT_IDLE_TIMEOUT = 1\nMAX_CACHE_SIZE = 100\n\
               MAX_UPDATES_PER_SECOND = 50\nUSE_FLOW_CONTROL = True"
            .to_owned(),
        shards: Some(2),
        ..Setup::default()
    });
    let time = now();
    let mut senders: Vec<TcpStream> = (0..3).map(|_| connect(daemon.line)).collect();
    for (index, socket) in senders.iter_mut().enumerate() {
        let lines = (0..100).map(|metric| format!("waits.s{index}.m{metric} 1 {time}\n"));
        let text = lines.collect::<Vec<_>>().concat();
        socket.write_all(text.as_bytes()).unwrap();
    }
    // Some 200 points wait for room, which comes with 50 updates a second.
    for index in 0..3 {
        let last = daemon.file(&format!("waits.s{index}.m99"));
        wait_for(|| last.exists().then_some(())).unwrap_or_else(|| panic!("{}", daemon.log()));
    }
    let ended = daemon.stop();
    let counts = counted(&ended.log);
    assert_eq!(counts["received"], 300, "{}", ended.log);
    assert_eq!(counts.get("refused.unfinished"), None, "{}", ended.log);
}

#[test]
fn too_many_senders_wait_and_lose_nothing() {
    let mut daemon = Daemon::start(&Setup {
        conf: "CARBON_METRIC_INTERVAL = 0\nMAX_RECEIVER_CONNECTIONS = 4".to_owned(),
        shards: Some(2),
        ..Setup::default()
    });
    let time = now();
    let pickle = |name: &str| frame(&list(&item(name.as_bytes(), &int(time), &float(1.0))));
    let payload = |name: &str| frame(&payloads::metric(name.as_bytes(), &[(time, 1.0)]));
    let line = |name: &str| format!("{name} 1 {time}\n").into_bytes();
    let sent = |name: &str, port: SocketAddr| {
        let mut socket = connect(port);
        let bytes = if port == daemon.line {
            line(name)
        } else if port == daemon.pickle {
            pickle(name)
        } else {
            payload(name)
        };
        socket.write_all(&bytes).unwrap();
        socket
    };
    let ports = [daemon.line, daemon.pickle, daemon.protobuf];
    let mut first: Vec<TcpStream> = (0..4)
        .map(|index| sent(&format!("full.first{index}"), ports[index % 3]))
        .collect();
    for index in 0..4 {
        daemon.wait_for_points(&format!("full.first{index}"), 1);
    }
    // Twelve more connect and send, on every port, and none is served or refused.
    let mut later: Vec<TcpStream> = (0..12)
        .map(|index| sent(&format!("full.later{index}"), ports[index % 3]))
        .collect();
    // Cache queries are not counted, and go on.
    let others: Vec<TcpStream> = (0..6).map(|_| connect(daemon.query)).collect();
    let waits = |daemon: &Daemon| {
        (0..12)
            .filter(|index| daemon.points(&format!("full.later{index}")).is_empty())
            .count()
    };
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(waits(&daemon), 12, "some are served beyond the limit");
    assert!(
        later.iter().all(|socket| !is_closed(socket)),
        "some are refused"
    );
    daemon.wait_for_log("as many connections of senders as there may be (4)");
    // Each that goes lets one in.
    for gone in 1..=4 {
        drop(first.pop());
        wait_for(|| (waits(&daemon) == 12 - gone).then_some(()))
            .unwrap_or_else(|| panic!("{} wait after {gone} have gone", waits(&daemon)));
        std::thread::sleep(Duration::from_millis(250));
        assert_eq!(waits(&daemon), 12 - gone, "more were let in than have gone");
    }
    // Those that wait still are served at a stop.
    for socket in &mut later {
        drop(socket.shutdown(std::net::Shutdown::Write));
    }
    let log = daemon.log();
    assert_eq!(
        log.matches("as many connections of senders as there may be")
            .count(),
        1,
        "{log}"
    );
    drop(others);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let counts = counted(&ended.log);
    assert_eq!(counts["received"], 16, "{}", ended.log);
    assert!(counts["acceptPauses"] >= 1, "{}", ended.log);
}

/// What a stop finds waiting is read, whatever the limit.
#[test]
fn a_stop_reads_those_that_wait_for_a_place() {
    let daemon = Daemon::start(&Setup {
        conf: "CARBON_METRIC_INTERVAL = 0\nMAX_RECEIVER_CONNECTIONS = 1".to_owned(),
        shards: Some(2),
        ..Setup::default()
    });
    let time = now();
    let mut sockets = Vec::new();
    for index in 0..6 {
        let mut socket = connect(daemon.line);
        socket
            .write_all(format!("stopped.m{index} 1 {time}\n").as_bytes())
            .unwrap();
        sockets.push(socket);
        daemon.wait_for_points("stopped.m0", 1);
    }
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(counted(&ended.log)["received"], 6, "{}", ended.log);
    for mut socket in sockets {
        let end = socket.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
    }
}

#[test]
fn every_receiver_cuts_timestamps_and_knows_now() {
    let daemon = Daemon::start(&Setup {
        conf: "CARBON_METRIC_INTERVAL = 0\nMIN_TIMESTAMP_RESOLUTION = 60".to_owned(),
        shards: Some(2),
        ..Setup::default()
    });
    let time = now() / 60 * 60 - 60 + 59;
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let text = |name: &str| format!("{name} 1 {time}\n{name}.now 1 -1\n").into_bytes();
    udp.send_to(&text("cut.udp"), daemon.udp).unwrap();
    connect(daemon.line).write_all(&text("cut.line")).unwrap();
    let pickled = [
        item(b"cut.pickle", &int(time), &float(1.0)),
        item(b"cut.pickle.now", &float(-1.0), &float(1.0)),
    ];
    connect(daemon.pickle)
        .write_all(&frame(&list(&pickled.concat())))
        .unwrap();
    connect(daemon.protobuf)
        .write_all(&frame(&payloads::metric(b"cut.protobuf", &[(time, 1.0)])))
        .unwrap();
    connect(daemon.line)
        .write_all(&packed::gzip(&text("cut.packed")))
        .unwrap();
    for name in [
        "cut.udp",
        "cut.line",
        "cut.packed",
        "cut.pickle",
        "cut.protobuf",
    ] {
        assert_eq!(
            daemon.wait_for_points(name, 1),
            [(time - 59, 1.0)],
            "{name}"
        );
    }
    for name in [
        "cut.udp.now",
        "cut.line.now",
        "cut.packed.now",
        "cut.pickle.now",
    ] {
        let (found, after) = (daemon.wait_for_points(name, 1)[0].0, now());
        assert!(found % 60 == 0 && after - found < 120, "{name} at {found}");
    }
}
