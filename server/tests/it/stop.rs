//! SIGTERM at any moment: every point whose line was read is in its file.
//! Several connections send as fast as they can; at a random moment the daemon is told to stop.
//! What it read of a connection is a prefix of what was sent on it, so each metric's file must
//! hold an unbroken run of points from the first one on, and all files together exactly as many
//! as the daemon says it received.
#![expect(
    clippy::disallowed_methods,
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a test waits, and builds its text simply"
)]

use std::collections::BTreeMap;
use std::io::{Read as _, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::daemon::{Daemon, Ended, Setup, wait_for};
use crate::first_use::now;
use crate::journal::{benzene, journal_dir};
use crate::vitals::file_points;

const CONNECTIONS: usize = 4;
const METRICS: usize = 50;

/// How many of these stops; `BENZENE_LONG` asks for all twenty.
fn stops() -> u64 {
    if std::env::var_os("BENZENE_LONG").is_some() {
        20
    } else {
        3
    }
}

/// Sends point after point of this connection's metrics until the daemon is gone.
fn send_until_cut(connection: usize, mut socket: TcpStream, start: u32, stop: &AtomicBool) {
    for round in 0_u32.. {
        let mut text = String::new();
        for metric in 0..METRICS {
            text.push_str(&format!(
                "stop.c{connection}.m{metric} {round} {}\n",
                start + round
            ));
        }
        if stop.load(Ordering::Relaxed) || socket.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn whatever_was_read_is_in_the_files() {
    for seed in 0..stops() {
        stop_under_load(seed);
    }
}

fn stop_under_load(seed: u64) {
    let setup = Setup {
        shards: Some(2),
        ..Setup::default()
    };
    let daemon = Daemon::start(&setup);
    let start = now() - 20_000;
    let done = AtomicBool::new(false);
    // Before the stop: a listener that is closed refuses who comes then.
    let sockets = [(); CONNECTIONS].map(|()| daemon.connect());
    let ended = std::thread::scope(|scope| {
        for (connection, socket) in sockets.into_iter().enumerate() {
            let done = &done;
            scope.spawn(move || send_until_cut(connection, socket, start, done));
        }
        // Spread over the first half second, which holds the creates and the first updates.
        std::thread::sleep(Duration::from_millis(seed * 7919 % 500));
        let ended = daemon.stop();
        done.store(true, Ordering::Relaxed);
        ended
    });
    assert!(ended.status.success(), "seed {seed}: {}", ended.log);
    let received = number_before(&ended.log, " received");
    let counts = points_by_metric(&ended);
    assert_eq!(
        counts.values().sum::<u64>(),
        received,
        "seed {seed}: {}",
        ended.log
    );
    for (metric, count) in &counts {
        assert!(*count > 0, "seed {seed}: {metric} has a file and no point");
    }
}

/// A sender that only writes learns of a stop by its next write: one that was taken would be lost.
#[test]
fn the_next_write_after_a_stop_fails() {
    let daemon = Daemon::start(&Setup::default());
    let ports = [daemon.line, daemon.pickle, daemon.protobuf];
    let open = ports.map(|port| TcpStream::connect(port).unwrap());
    // Who is done with sending is answered in order.
    let mut done = daemon.connect();
    done.write_all(format!("a.b 1 {}\n", now()).as_bytes())
        .unwrap();
    done.shutdown(Shutdown::Write).unwrap();
    assert!(daemon.stop().status.success());
    for mut socket in open {
        assert!(socket.write(b"c.d 1 2\n").is_err(), "{socket:?}");
    }
    assert_eq!(done.read(&mut [0]).unwrap(), 0);
}

/// Python carbon's MAX_CREATES_PER_MINUTE = 0 of a site that lets no metric in any more.
#[test]
fn where_no_file_may_be_made_updates_go_on_and_a_stop_does_not_wait() {
    let time = now();
    let daemon = Daemon::start(&Setup::default());
    daemon.send(&format!("old.metric 1 {time}\n"));
    daemon.wait_for_points("old.metric", 1);
    let root = daemon.stop().root;
    let setup = Setup::conf("MAX_CREATES_PER_MINUTE = 0\n");
    let daemon = Daemon::start_in(&setup, root);
    assert!(
        daemon
            .log()
            .contains("MAX_CREATES_PER_MINUTE = 0 makes no new file")
    );
    daemon.send(&format!("new.metric 1 {time}\nold.metric 2 {}\n", time + 1));
    let file = |name: &str| daemon.data().join(name);
    wait_for(|| (file_points(&file("old/metric.wsp"))?.len() == 2).then_some(())).unwrap();
    // What waits for its file is there for queries.
    daemon.wait_for_points("new.metric", 1);
    assert!(!file("new").exists());
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(ended.log.contains("dropped.createWait 1"), "{}", ended.log);
    assert!(!ended.data().join("new").exists());
}

/// The number that stands before a word in the last line of the log that has it.
pub(crate) fn number_before(log: &str, word: &str) -> u64 {
    let line = log.lines().rev().find(|line| line.contains(word));
    let line = line.unwrap_or_else(|| panic!("no {word:?} in {log}"));
    let before = &line[..line.find(word).unwrap()];
    before.rsplit([' ', ':']).next().unwrap().parse().unwrap()
}

/// How many points each file holds; each must be an unbroken run of rounds from 0 on.
fn points_by_metric(ended: &Ended) -> BTreeMap<String, u64> {
    const SCRIPT: &str = "
import glob, os, struct, sys, whisper
root = sys.argv[1]
for path in glob.glob(os.path.join(root, '**', '*.wsp'), recursive=True):
    data = open(path, 'rb').read()
    archive = whisper.info(path)['archives'][0]
    body = data[archive['offset']:archive['offset'] + archive['size']]
    points = sorted(p for p in struct.iter_unpack('>Ld', body) if p[0])
    for index, (timestamp, value) in enumerate(points):
        assert value == index and timestamp == points[0][0] + index, (path, index, value)
    print(os.path.relpath(path, root), len(points))
";
    if !ended.data().exists() {
        return BTreeMap::new();
    }
    crate::daemon::python(SCRIPT, &[ended.data().to_str().unwrap()])
        .lines()
        .map(|line| {
            let (metric, count) = line.rsplit_once(' ').unwrap();
            (metric.to_owned(), count.parse().unwrap())
        })
        .collect()
}

#[test]
fn a_writer_that_is_held_back_is_drained_at_the_shutdown_rate() {
    let conf = "MAX_UPDATES_PER_SECOND = 1\nMAX_CREATES_PER_MINUTE = 1\nMAX_UPDATES_PER_SECOND_ON_SHUTDOWN = 1000";
    let daemon = Daemon::start(&Setup::conf(conf));
    let time = now();
    let text: String = (0..300)
        .map(|metric| format!("held.m{metric} {metric} {time}\n"))
        .collect();
    daemon.send(&text);
    daemon.wait_for_points("held.m299", 1);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let files = crate::daemon::python(
        "import glob, sys; print(len(glob.glob(sys.argv[1] + '/held/*.wsp')))",
        &[ended.data().to_str().unwrap()],
    );
    assert_eq!(files.trim(), "300", "{}", ended.log);
}

#[test]
fn a_stop_that_is_asked_for_twice_is_cut_short_by_nobody() {
    let conf =
        "MAX_UPDATES_PER_SECOND = 1\nMAX_UPDATES_PER_SECOND_ON_SHUTDOWN = 100\nSHUTDOWN = drain";
    let mut daemon = Daemon::start(&Setup::conf(conf));
    let time = now();
    let text: String = (0..300)
        .map(|metric| format!("slow.m{metric} {metric} {time}\n"))
        .collect();
    daemon.send(&text);
    daemon.wait_for_points("slow.m299", 1);
    let conf = daemon.config();
    let words = ["stop", "--config", conf.to_str().unwrap()];
    let said = std::thread::scope(|scope| {
        let first = scope.spawn(|| benzene(&words));
        daemon.wait_for_log("receivers stop");
        let second = benzene(&words);
        let first = first.join().unwrap();
        assert!(first.status.success(), "{first:?}");
        assert!(second.status.success(), "{second:?}");
        String::from_utf8(second.stderr).unwrap()
    });
    assert!(said.contains("stops already"), "{said}");
    let ended = daemon.wait();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(!ended.log.contains("cut the stop short"), "{}", ended.log);
}

/// In the lock's file of a daemon in a container stands a number that is somebody else's here.
#[test]
fn a_daemon_of_another_namespace_is_not_taken_for_who_has_its_number() {
    let daemon = Daemon::start(&Setup::conf(""));
    let lock = journal_dir(&daemon.data()).join("lock");
    let ours = std::fs::read_to_string(&lock).unwrap();
    let mut bystander = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let theirs = ours.replacen(&daemon.pid().to_string(), &bystander.id().to_string(), 1);
    std::fs::write(&lock, theirs).unwrap();
    let conf = daemon.config();
    let refused = benzene(&["stop", "--config", conf.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("stop it there"), "{said}");
    assert_eq!(bystander.try_wait().unwrap(), None);
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    std::fs::write(&lock, ours).unwrap();
    assert!(
        benzene(&["stop", "--config", conf.to_str().unwrap()])
            .status
            .success()
    );
    assert!(daemon.wait().status.success());
}

#[test]
fn what_a_socket_holds_is_read_once_more() {
    let daemon = Daemon::start(&Setup::default());
    let mut sockets: Vec<_> = (0..50).map(|_| daemon.connect()).collect();
    let time = now();
    for (index, socket) in sockets.iter_mut().enumerate() {
        socket
            .write_all(format!("last.words{index} 1 {time}\n").as_bytes())
            .unwrap();
    }
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(number_before(&ended.log, " received"), 50, "{}", ended.log);
    assert_eq!(number_before(&ended.log, " committed"), 50, "{}", ended.log);
}

/// Sends lines of as many bytes until neither end's kernel takes any more, and says how many that were.
fn fill(mut socket: &TcpStream, connection: u32, time: u32) -> u64 {
    const LINE_BYTES: usize = 40;
    let lines = (0..100_000).map(|at| {
        let name = format!("kernel.c{connection}.m{:0>3}", at % 100);
        let line = format!("{name} {at:>7} {}", time + at / 100);
        format!("{line:<width$}\n", width = LINE_BYTES - 1)
    });
    let text: String = lines.collect();
    let (mut sent, mut waits) = (0, 0);
    socket.set_nonblocking(true).unwrap();
    while waits < 20 {
        if let Ok(bytes) = socket.write(&text.as_bytes()[sent % text.len()..]) {
            sent += bytes;
        } else {
            waits += 1;
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    (sent / LINE_BYTES) as u64
}

/// Under a full cache most of what senders have sent lies in their own kernels, which send on only when
/// there is room in the daemon's: a stop reads that too, of those that have closed and of others.
#[test]
fn what_the_senders_kernels_hold_is_read_too() {
    for (how, shards) in [("journal", 1), ("drain", 2)] {
        let daemon = Daemon::start(&Setup {
            shards: Some(shards),
            ..Setup::conf(&format!(
                "MAX_CACHE_SIZE = 1000\nMAX_UPDATES_PER_SECOND = 10\nSHUTDOWN = {how}\n\
                 MAX_UPDATES_PER_SECOND_ON_SHUTDOWN = inf\nMAX_CREATES_PER_MINUTE = inf\n"
            ))
        });
        let (time, mut open) = (now() - 10_000, Vec::new());
        let mut sent = 0;
        for connection in 0..2 {
            let socket = daemon.connect();
            sent += fill(&socket, connection, time);
            // The other one is closed here, which its kernel tells when all it holds is sent.
            if connection == 0 {
                open.push(socket);
            }
        }
        assert!(sent > 20_000, "{sent} lines: nothing was held");
        let ended = daemon.stop();
        assert!(ended.status.success(), "{how}: {}", ended.log);
        let received = number_before(&ended.log, " received");
        assert_eq!(received, sent, "{how}: {}", ended.log);
    }
}

#[test]
fn queries_are_answered_until_the_end() {
    let conf = "MAX_UPDATES_PER_SECOND = 50\nMAX_UPDATES_PER_SECOND_ON_SHUTDOWN = 100";
    let daemon = Daemon::start(&Setup::conf(conf));
    let time = now();
    let text: String = (0..300)
        .map(|metric| format!("late.m{metric} {metric} {time}\n"))
        .collect();
    daemon.send(&text);
    daemon.wait_for_points("late.m299", 1);
    let mut querier = crate::daemon::Querier::connect(daemon.query);
    daemon.signal("TERM");
    // Two of the three seconds that the stop takes at least.
    for _ in 0..20 {
        querier.points("late.m0");
        std::thread::sleep(Duration::from_millis(100));
    }
    let ended = daemon.wait();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(
        number_before(&ended.log, " committed"),
        300,
        "{}",
        ended.log
    );
}
