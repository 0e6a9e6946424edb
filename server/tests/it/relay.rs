//! Python's own carbon-relay in front of Benzene: every point that it is given arrives, under the
//! name that Python carbon would store it under.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use crate::daemon::{Daemon, Setup, wait_for};
use crate::first_use::now;
use crate::instances::{NAMES, Three};
use crate::peer::Peer;
use crate::stop::number_before;

const METRICS: u32 = 200;
const POINTS: u32 = 20;

/// Starts a carbon-relay that sends everything to these carbons.
fn start(carbon: &str, method: &str, protocol: &str) -> Peer {
    let root = tempfile::tempdir().unwrap();
    // The relay cannot choose a free port itself: 0 is off.
    let line = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    // Past its queue it drops points itself, 1,000 unless told otherwise.
    let conf = format!(
        "[relay]\nLINE_RECEIVER_INTERFACE = 127.0.0.1\nLINE_RECEIVER_PORT = {}\n\
         PICKLE_RECEIVER_PORT = 0\nRELAY_METHOD = {method}\nDESTINATIONS = {carbon}\n\
         DESTINATION_PROTOCOL = {protocol}\nCARBON_METRIC_INTERVAL = 0\n\
         MAX_QUEUE_SIZE = 100000\n",
        line.port()
    );
    let at = root.path().join("carbon.conf");
    std::fs::write(&at, conf).unwrap();
    // It asks for this file and does not look into it.
    std::fs::write(root.path().join("storage-schemas.conf"), "").unwrap();
    let rules = format!("[all]\ndefault = true\ndestinations = {carbon}\n");
    std::fs::write(root.path().join("relay-rules.conf"), rules).unwrap();
    let python = benzene_fixtures::python().unwrap();
    let mut command = Command::new(&python);
    command
        .arg(python.with_file_name("carbon-relay.py"))
        .args(["--debug", "--config"])
        .arg(&at)
        .arg("--pidfile")
        .arg(root.path().join("pid"))
        .arg("start")
        .env("GRAPHITE_ROOT", root.path());
    Peer::start("carbon-relay", &mut command, line, root)
}

/// SIGTERM, and waits for the end.
fn stop(mut relay: Peer) {
    let pid = relay.child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    let status = wait_for(|| relay.child.try_wait().unwrap()).unwrap();
    // Twisted ends itself with the signal once it has shut down in order.
    let log = relay.log();
    let orderly = status.success() || status.signal() == Some(15);
    assert!(
        orderly && log.contains("Server Shut Down"),
        "{status}: {log}"
    );
}

/// Names as senders write them; tags are not in the order in which they are stored.
fn name(metric: u32) -> String {
    match metric % 4 {
        0 => format!("relayed.plain.m{metric}"),
        1 => format!("relayed.\u{6771}\u{4eac}.\u{6e29}\u{5ea6}{metric}"),
        2 => format!("relayed.disk;rack=r{metric};datacenter=\u{e9};bay=7"),
        _ => format!("relayed.http{{verb=\"get\",code=\"{metric}\"}}"),
    }
}

/// Looks for exactly the points of the lines in the files, by Python carbon's own paths.
pub(crate) const COMPARE: &str = r#"
import os, struct, sys, whisper
from carbon.util import TaggedSeries
root, lines = sys.argv[1:]
want = {}
for line in open(lines, encoding="utf-8", newline="\n"):
    metric, value, timestamp = line.split()
    metric = TaggedSeries.parse(metric).path
    if ";" in metric:
        path = TaggedSeries.encode(metric, os.sep, hash_only=True)
    else:
        path = metric.replace(".", os.sep)
    want.setdefault(path + ".wsp", {})[int(timestamp)] = float(value)
found = 0
for path, points in want.items():
    path = os.path.join(root, path)
    archive = whisper.info(path)["archives"][0]
    body = open(path, "rb").read()[archive["offset"]:archive["offset"] + archive["size"]]
    got = {t: v for t, v in struct.iter_unpack(">Ld", body) if t}
    assert got == points, (path, got, points)
    found += len(got)
print(len(want), found)
"#;

fn through_python_s_relay(method: &str, protocol: &str) {
    let daemon = Daemon::start(&Setup {
        shards: Some(2),
        ..Setup::default()
    });
    let port = match protocol {
        "pickle" => daemon.pickle.port(),
        _ => daemon.line.port(),
    };
    let carbon = format!("127.0.0.1:{port}:a");
    arrive_whole(daemon, start(&carbon, method, protocol));
}

fn arrive_whole(daemon: Daemon, mut relay: Peer) {
    let mut socket = relay.connect();
    let time = now();
    let lines: Vec<String> = (0..POINTS)
        .flat_map(|round| (0..METRICS).map(move |metric| (round, metric)))
        .map(|(round, metric)| {
            // Few digits: the relay's line protocol writes ten after the point.
            let value = f64::from(round) + f64::from(metric) / 8.0;
            format!("{} {value} {}\n", name(metric), time - POINTS + round)
        })
        .collect();
    socket.write_all(lines.concat().as_bytes()).unwrap();
    socket
        .write_all(format!("relayed.last 1 {time}\n").as_bytes())
        .unwrap();
    drop(socket);
    // The relay keeps the order of its queue, so that with this one all have arrived, from one queue.
    let file = daemon.file("relayed.last");
    wait_for(|| file.exists().then_some(()))
        .unwrap_or_else(|| panic!("{}\n{}", relay.log(), daemon.log()));
    // At its stop it empties its queues.
    stop(relay);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let sent = u64::from(METRICS * POINTS) + 1;
    assert_eq!(number_before(&ended.log, " received"), sent);
    assert_eq!(number_before(&ended.log, " committed"), sent);
    let text = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(text.path(), lines.concat()).unwrap();
    let found = crate::daemon::python(
        COMPARE,
        &[
            ended.data().to_str().unwrap(),
            text.path().to_str().unwrap(),
        ],
    );
    assert_eq!(found.trim(), format!("{METRICS} {}", METRICS * POINTS));
}

#[test]
fn carbon_relay_s_pickles_arrive_whole() {
    through_python_s_relay("consistent-hashing", "pickle");
}

#[test]
fn carbon_relay_s_lines_arrive_whole() {
    through_python_s_relay("rules", "line");
}

#[test]
fn carbon_relay_s_hash_ring_of_three_instances_reaches_one_process() {
    let three = Three::new();
    let daemon = three.start("CACHE_WRITE_STRATEGY = sorted\n");
    let carbons = three.ports.map(|ports| ports.pickle).into_iter().zip(NAMES);
    let carbons: Vec<String> = carbons
        .map(|(port, name)| format!("127.0.0.1:{port}:{name}"))
        .collect();
    let relay = start(&carbons.join(", "), "consistent-hashing", "pickle");
    arrive_whole(daemon, relay);
}
