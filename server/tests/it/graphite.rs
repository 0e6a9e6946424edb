//! graphite-web's own code asks Benzene: its CarbonLink client, its file reader, and by hand every
//! request in every pickle protocol.
//! The writer is held back by MIN_TIMESTAMP_LAG, so that recent points stay in the cache however
//! long a test takes, while old ones go into their files.
#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a test builds its text simply"
)]

use crate::daemon::{Daemon, Ended, Setup, wait_for};
use crate::first_use::{now, wait_for_file};

/// Points younger than half an hour stay in the cache.
const HELD: &str = "CACHE_WRITE_STRATEGY = timesorted\nMIN_TIMESTAMP_LAG = 1800";

/// Django's settings for graphite-web, from the first two arguments: fixtures/python, query port.
const DJANGO: &str = r#"
import os, sys
sys.path.insert(0, sys.argv[1])
os.environ["DJANGO_SETTINGS_MODULE"] = "graphite_settings"
os.environ["CARBONLINK_HOSTS"] = "127.0.0.1:%s:a" % sys.argv[2]
from django.conf import settings
"#;

/// Runs Python with graphite-web's settings; the daemon's query port is known to it.
pub(crate) fn graphite(daemon: &Daemon, script: &str, arguments: &[&str]) -> String {
    let fixtures = benzene_fixtures::path("python");
    let port = daemon.query.port().to_string();
    let mut all = vec![fixtures.to_str().unwrap(), port.as_str()];
    all.extend(arguments);
    crate::daemon::python(&format!("{DJANGO}{script}"), &all)
}

fn held_daemon(schemas: &str) -> Daemon {
    Daemon::start(&Setup {
        schemas: Some(format!("[all]\npattern = .*\nretentions = {schemas}\n")),
        shards: Some(2),
        ..Setup::conf(HELD)
    })
}

/// (as sent, as asked for): graphite-web asks for canonical names.
fn names() -> Vec<(String, String)> {
    let mut names: Vec<(String, String)> = (0..400)
        .map(|metric| format!("web.host{}.m{metric}", metric % 7))
        .map(|name| (name.clone(), name))
        .collect();
    let same = [
        "\u{30b5}\u{30fc}\u{30d0}\u{30fc}.\u{6771}\u{4eac}.\u{6e29}\u{5ea6}".to_owned(),
        "r\u{e9}seau.\u{1f40b}".to_owned(),
        // Longer than 255 bytes: another pickle opcode.
        format!("{}.{}", "l".repeat(200), "m".repeat(200)),
        // Asked of all hosts, by another path of the client.
        "carbon.relays.host-a.sent".to_owned(),
        "disk.used;host=web1".to_owned(),
    ];
    names.extend(same.map(|name| (name.clone(), name)));
    names.push((
        "disk.free;rack=b;host=\u{e9}t\u{e9}".to_owned(),
        "disk.free;host=\u{e9}t\u{e9};rack=b".to_owned(),
    ));
    names.push((
        "http_requests{verb=\"get\",code=\"200\"}".to_owned(),
        "http_requests;code=200;verb=get".to_owned(),
    ));
    names
}

/// Sends three points of every name, the latest first. Returns what is to be found, as lines.
fn send_names(daemon: &Daemon, time: u32) -> String {
    let (mut sent, mut wanted) = (String::new(), String::new());
    for (index, (raw, asked)) in names().iter().enumerate() {
        for back in 0..3_u32 {
            let value = index as u64 * 10 + u64::from(back);
            sent += &format!("{raw} {value}.125 {}\n", time - back);
            wanted += &format!("{asked} {value}.125 {}\n", time - back);
        }
    }
    daemon.send(&sent);
    wanted
}

const CLIENT: &str = r#"
from graphite.carbonlink import CarbonLink
protocol, lines = int(sys.argv[3]), sys.argv[4]
settings.CARBONLINK_PICKLE_PROTOCOL = protocol
want = {}
for line in open(lines, encoding="utf-8", newline="\n"):
    metric, value, timestamp = line.split()
    want.setdefault(metric, []).append((int(timestamp), float(value)))
link = CarbonLink()
asked = 0
for metric, points in want.items():
    got = link.query(metric)
    if isinstance(got, dict):
        got = list(got.items())
    assert got == sorted(points), (metric, got, points)
    assert all(type(t) is int and type(v) is float for t, v in got), got
    assert link.query(metric + ".absent") in ([], {}), metric
    asked += 1
# One connection served them all and none failed.
assert [len(pool) for pool in link.connections.values()] == [1], link.connections
assert not link.last_failure, link.last_failure
print(asked)
"#;

#[test]
fn graphite_web_s_client_finds_all_that_is_cached() {
    let daemon = held_daemon("1s:1d");
    let time = now();
    let wanted = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(wanted.path(), send_names(&daemon, time)).unwrap();
    for (_, asked) in names() {
        daemon.wait_for_points(&asked, 3);
    }
    for protocol in ["-1", "5", "2"] {
        let asked = graphite(
            &daemon,
            CLIENT,
            &[protocol, wanted.path().to_str().unwrap()],
        );
        assert_eq!(asked.trim(), "407", "protocol {protocol}");
    }
}

/// Reads the series through graphite-web's reader at both steps, and checks every slot.
const READER: &str = r#"
import whisper
from graphite.readers.whisper import WhisperReader
settings.CARBONLINK_PICKLE_PROTOCOL = int(sys.argv[3])
path, lines, now = sys.argv[4], sys.argv[5], int(sys.argv[6])
metric = "read.both"
points = [(int(t), float(v)) for t, v in (line.split() for line in open(lines))]
raw = {t - t % 10: v for t, v in points}
held = [(t - t % 10, v) for t, v in points if t > now - 1700]

(start, end, step), values = WhisperReader(path, metric).fetch(now - 6500, now)
assert step == 10, step
shown = {start + 10 * i: v for i, v in enumerate(values) if v is not None}
assert shown == raw, (set(shown.items()) ^ set(raw.items()))
info, alone = whisper.fetch(path, now - 6500, now)
assert sum(v is not None for v in alone) == len(raw) - len(held), "the file holds the old points only"

(start, end, step), values = WhisperReader(path, metric).fetch(now - 20000, now)
assert step == 60, step
_, alone = whisper.fetch(path, now - 20000, now)
buckets = {}
for t, v in held:
    buckets.setdefault(t - t % 60, []).append(v)
for i, v in enumerate(values):
    t = start + 60 * i
    want = sum(buckets[t]) / len(buckets[t]) if t in buckets else alone[i]
    assert v == want, (t, v, want)
print(len(shown), len(buckets))
"#;

const FILE_ALONE: &str = r"
import sys, whisper
path, lines, now = sys.argv[1], sys.argv[2], int(sys.argv[3])
raw = {t - t % 10: v for t, v in ((int(t), float(v)) for t, v in (line.split() for line in open(lines)))}
(start, end, step), values = whisper.fetch(path, now - 6500, now, now=now)
assert {start + 10 * i: v for i, v in enumerate(values) if v is not None} == raw
print(len(raw))
";

#[test]
fn graphite_web_s_reader_sees_file_and_cache_as_one_series() {
    let daemon = held_daemon("10s:3h,60s:1d");
    let time = now();
    let point = |back: u32| (time - back, f64::from(back) * 0.5);
    // Old points first, which are written; then recent ones, which are held.
    let old: Vec<_> = (200..600).map(|tens| point(tens * 10)).collect();
    let recent: Vec<_> = (1..150).rev().map(|tens| point(tens * 10)).collect();
    let text = |points: &[(u32, f64)], name: &str| -> String {
        let line = |(time, value): &(u32, f64)| format!("{name}{value} {time}\n");
        points.iter().map(line).collect()
    };
    daemon.send(&text(&old, "read.both "));
    wait_for_file(&daemon, "read.both", old.len());
    // Written points stay answerable for a while, and then go.
    daemon.wait_for_points("read.both", 0);
    daemon.send(&text(&recent, "read.both "));
    daemon.wait_for_points("read.both", recent.len());
    let all: String = old
        .iter()
        .chain(&recent)
        .map(|(time, value)| format!("{time} {value}\n"))
        .collect();
    let lines = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(lines.path(), all).unwrap();
    let file = daemon.file("read.both");
    let lines = lines.path().to_str().unwrap();
    for protocol in ["-1", "2"] {
        let path = file.to_str().unwrap();
        let seen = graphite(&daemon, READER, &[protocol, path, lines, &time.to_string()]);
        let seen = seen.split_once(' ').unwrap().0;
        assert_eq!(seen, (old.len() + recent.len()).to_string());
    }
    let ended: Ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let file = ended.data().join("read/both.wsp");
    crate::daemon::python(
        FILE_ALONE,
        &[file.to_str().unwrap(), lines, &time.to_string()],
    );
}

/// Every request in every protocol, all sent before the first reply is read.
const BY_HAND: &str = r#"
import pickle, socket, struct, sys
port, time = int(sys.argv[1]), int(sys.argv[2])
points = [(time - 1, 2.0), (time, 1.0)]
exchanges = [
    ({"type": "cache-query", "metric": "hand.held"}, {"datapoints": points}),
    ({"metric": "hand.absent", "type": "cache-query"}, {"datapoints": []}),
    ({"type": "cache-query-bulk", "metrics": []}, {"datapointsByMetric": {}}),
    ({"type": "cache-query-bulk", "metrics": ["hand.held", "hand.absent", "hand.\u6771"]},
     {"datapointsByMetric": {"hand.held": points, "hand.absent": [], "hand.\u6771": [(time, 3.0)]}}),
    ({"type": "get-metadata", "metric": "hand.old", "key": "aggregationMethod"}, {"value": "average"}),
    ({"type": "set-metadata", "metric": "hand.old", "key": "aggregationMethod", "value": "max"},
     {"old_value": "average", "new_value": "max"}),
    ({"type": "get-metadata", "metric": "hand.old", "key": "aggregationMethod"}, {"value": "max"}),
    ({"type": "set-metadata", "metric": "hand.old", "key": "aggregationMethod", "value": "average"},
     {"old_value": "max", "new_value": "average"}),
    ({"type": "foo"}, {"error": 'Invalid request type "foo"'}),
]
def exactly(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, "closed after %d of %d bytes" % (len(data), count)
        data += more
    return data
for protocol in range(6):
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    for request, _ in exchanges:
        body = pickle.dumps(request, protocol=protocol)
        connection.sendall(struct.pack("!L", len(body)) + body)
    for request, want in exchanges:
        length, = struct.unpack("!L", exactly(connection, 4))
        body = exactly(connection, length)
        assert body[:2] == b"\x80\x02", body[:2]
        got = pickle.loads(body)
        assert got == want, (protocol, request, got)
    connection.close()
print("ok")
"#;

#[test]
fn every_request_in_every_protocol_is_answered_in_order() {
    let daemon = held_daemon("1s:1d");
    let time = now();
    daemon.send(&format!(
        "hand.held 1 {time}\nhand.held 2 {}\nhand.\u{6771} 3 {time}\nhand.old 4 {}\n",
        time - 1,
        time - 7200
    ));
    daemon.wait_for_points("hand.held", 2);
    daemon.wait_for_points("hand.\u{6771}", 1);
    let file = daemon.file("hand.old");
    wait_for(|| file.exists().then_some(())).unwrap();
    let said = crate::daemon::python(
        BY_HAND,
        &[&daemon.query.port().to_string(), &time.to_string()],
    );
    assert_eq!(said.trim(), "ok");
}
