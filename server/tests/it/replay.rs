//! A real collectd's bytes, replayed: every file must hold what Python whisper makes of the same
//! points. Python carbon's own reading of storage-schemas.conf and storage-aggregation.conf decides
//! what each file is to look like, and Python's float() what each line says.
//! Compared are the header's bytes and each archive's set of (timestamp, value), bit for bit; where
//! in a coarse archive a point lies is not compared (see docs/operating/differences.md).
#![expect(clippy::format_collect, reason = "a test builds its text simply")]

use std::io::Write as _;

use crate::daemon::{Daemon, Querier, Setup, wait_for};
use crate::first_use::{now, wait_for_file};
use crate::stop::number_before;

/// Several retentions, matched by pattern as Python carbon does: the first section wins.
const SCHEMAS: &str = r"
[second]
pattern = \.(interface|load)\b
retentions = 1s:1h,10s:1d,1m:7d

[cpu]
pattern = ^collectd\.[^.]+\.cpu-\d+\.
retentions = 10s:1h,1m:1d,10m:7d

[disk]
pattern = disk-
retentions = 10s:30m,1m:6h

[memory]
pattern = memory
retentions = 60s:1d,5m:30d

[single]
pattern = .*
retentions = 1s:2h
";

/// Every method that Python 1.1.10 knows, at shares known that some buckets reach and some do not.
const AGGREGATION: &str = r"
[idle]
pattern = cpu-idle$
xFilesFactor = 0.5
aggregationMethod = average

[user]
pattern = cpu-user$
xFilesFactor = 1
aggregationMethod = average

[system]
pattern = cpu-(system|wait)$
xFilesFactor = 0
aggregationMethod = avg_zero

[octets]
pattern = octets
xFilesFactor = 0
aggregationMethod = sum

[ops]
pattern = _ops|_merged|_packets
xFilesFactor = 0.1
aggregationMethod = max

[time]
pattern = _time|_errors
xFilesFactor = 0.05
aggregationMethod = min

[load]
pattern = load
xFilesFactor = 0
aggregationMethod = last

[memory]
pattern = memory-(used|free)
aggregationMethod = absmax

[rest of memory]
pattern = memory
xFilesFactor = 0.2
aggregationMethod = absmin
";

/// Makes Python's files from the same lines and compares. Prints how many files and points.
const COMPARE: &str = r#"
import glob, os, struct, sys
ours, conf, lines, theirs = sys.argv[1:]
from carbon.conf import settings
settings.CONF_DIR = conf
import carbon.storage as storage
import whisper
schemas, aggregations = storage.loadStorageSchemas(), storage.loadAggregationSchemas()

cache = {}
for line in open(lines, newline="\n"):
    metric, value, timestamp = line.strip().split()
    value, timestamp = float(value), int(float(timestamp))
    if value == value:
        cache.setdefault(metric, {})[timestamp] = value

def contents(path):
    data = open(path, "rb").read()
    header = data[:16 + 12 * struct.unpack(">L", data[12:16])[0]]
    archives = []
    for offset, step, count in struct.iter_unpack(">LLL", header[16:]):
        body = data[offset:offset + 12 * count]
        points = [p for p in (body[at:at + 12] for at in range(0, len(body), 12)) if p[:4] != bytes(4)]
        # A slot that was overwritten by wrapping around may be old: readers tell by its timestamp,
        # and so does the set.
        archives.append(set(points))
    return len(data), header, archives

compared = 0
for metric, points in cache.items():
    archives = next(s.archives for s in schemas if s.matches(metric))
    factor, method = next(s.archives for s in aggregations if s.matches(metric))
    path = os.path.join(theirs, metric.replace(".", "/") + ".wsp")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    whisper.create(path, [a.getTuple() for a in archives], factor, method)
    whisper.update_many(path, sorted(points.items()))
    want, found = contents(path), contents(os.path.join(ours, os.path.relpath(path, theirs)))
    assert found[0] == want[0], (metric, "size", found[0], want[0])
    assert found[1] == want[1], (metric, "header", found[1], want[1])
    for index, (mine, whispers) in enumerate(zip(found[2], want[2])):
        unpack = lambda s: sorted(struct.unpack(">Ld", p) for p in s)
        assert mine == whispers, (metric, index, "ours only", unpack(mine - whispers), "whisper's only", unpack(whispers - mine))
        compared += len(whispers)
tree = lambda root: {os.path.relpath(p, root) for p in glob.glob(root + "/**/*.wsp", recursive=True)}
assert tree(ours) == tree(theirs), tree(ours) ^ tree(theirs)
coarse = sum(1 for m in cache for a in contents(os.path.join(theirs, m.replace(".", "/") + ".wsp"))[2][1:] if a)
print(len(cache), compared, coarse)
"#;

/// A capture's lines, moved by whole minutes so that the last one is a minute or two old.
pub(crate) fn recent_capture(fixture: &str, line_end: &str) -> Vec<String> {
    let text = std::fs::read_to_string(benzene_fixtures::path(fixture)).unwrap();
    let timestamp =
        |line: &str| -> i64 { line.rsplit(' ').next().unwrap().trim().parse().unwrap() };
    let last = text.lines().map(timestamp).max().unwrap();
    let shift = (i64::from(now()) - last).div_euclid(60) * 60 - 60;
    text.split_inclusive('\n')
        .map(|line| {
            let (rest, _) = line.rsplit_once(' ').unwrap();
            format!("{rest} {}{line_end}", timestamp(line) + shift)
        })
        .collect()
}

/// The third line of each metric again with another value, as a sender that repeats itself. Not of
/// the metrics whose first archive has a slot a minute: there the second that is written last wins
/// its slot, which Python decides within one update.
fn sent_again(lines: &[String]) -> Vec<String> {
    let mut third = std::collections::BTreeMap::new();
    for line in lines.iter().filter(|line| !line.contains("memory")) {
        let (metric, rest) = line.split_once(' ').unwrap();
        let seen = third.entry(metric).or_insert((0, ""));
        if seen.0 < 3 {
            *seen = (seen.0 + 1, rest.rsplit_once(' ').unwrap().1);
        }
    }
    third
        .iter()
        .map(|(metric, (_, timestamp))| format!("{metric} 12345.0625 {timestamp}"))
        .collect()
}

#[test]
fn every_file_of_collectd_s_points_is_what_python_whisper_makes() {
    let daemon = Daemon::start(&Setup {
        schemas: Some(SCHEMAS.to_owned()),
        aggregation: Some(AGGREGATION.to_owned()),
        shards: Some(2),
        ..Setup::default()
    });
    let mut lines = recent_capture("collectd/capture.line", "\r\n");
    assert_eq!(lines.len(), 1698, "the fixture has changed");
    let again = sent_again(&lines);
    // In five parts, each in a file before the next is sent: several updates of every file, with
    // buckets that one update begins and another completes.
    let mut socket = daemon.connect();
    let parts: Vec<&[String]> = lines.chunks(lines.len().div_ceil(5)).collect();
    let uptime = "collectd.collectd-host.uptime.uptime";
    let mut uptimes = 0;
    for part in parts {
        // Cut anywhere, not at the ends of lines, as a network does.
        for piece in part.concat().as_bytes().chunks(1447) {
            socket.write_all(piece).unwrap();
        }
        uptimes += part.iter().filter(|line| line.starts_with(uptime)).count();
        wait_for_file(&daemon, uptime, uptimes);
    }
    socket.write_all(again.concat().as_bytes()).unwrap();
    drop(socket);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    lines.extend(again);
    let numbers = lines.iter().filter(|line| !line.contains(" nan ")).count();
    assert_eq!(number_before(&ended.log, " received"), numbers as u64);
    let [files, points, coarse] = compare_with_python(&ended, &lines);
    assert_eq!(files, 64);
    // More points than the first archives hold, and coarse archives that are not empty: the
    // comparison has seen propagated values.
    assert!(points > 1700 && coarse > 40, "{points} points, {coarse}");
}

/// Compares every file with what Python whisper makes of these lines. Says how many files and points
/// that were, and how many coarse archives were not empty.
pub(crate) fn compare_with_python(ended: &crate::daemon::Ended, lines: &[String]) -> [usize; 3] {
    let theirs = tempfile::tempdir().unwrap();
    let text = theirs.path().join("lines");
    std::fs::write(&text, lines.concat()).unwrap();
    let root = ended.data().parent().unwrap().to_owned();
    let output = crate::daemon::python(
        COMPARE,
        &[
            ended.data().to_str().unwrap(),
            root.to_str().unwrap(),
            text.to_str().unwrap(),
            theirs.path().to_str().unwrap(),
        ],
    );
    let counts: Vec<usize> = output
        .split_whitespace()
        .map(|count| count.parse().unwrap())
        .collect();
    counts
        .try_into()
        .unwrap_or_else(|counts| panic!("{counts:?}"))
}

/// Reads the points of a minute-wide archive near a time, with Python whisper's fetch.
const FETCH: &str = r"
import sys, whisper
path, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
(start, end, step), values = whisper.fetch(path, first - 600, last + 600)
assert step == 60
for i, value in enumerate(values):
    if value is not None:
        print(start + 60 * i, value)
";

/// The points of japanese.line, by metric and in order.
fn japanese() -> (String, std::collections::BTreeMap<String, Vec<(u32, f64)>>) {
    let text = std::fs::read_to_string(benzene_fixtures::path("names/japanese.line")).unwrap();
    let mut points = std::collections::BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let of_metric: &mut Vec<_> = points.entry(fields[0].to_owned()).or_default();
        of_metric.push((fields[2].parse().unwrap(), fields[1].parse().unwrap()));
    }
    (text, points)
}

/// Brings the Japanese points into the cache of a daemon that cannot write them for now. None when
/// the machine was so slow that its first report came before all of them.
fn japanese_in_the_cache(own: &str) -> Option<Daemon> {
    // One file a minute: the first one that comes has it, and the others wait.
    let daemon = Daemon::start(&Setup {
        schemas: Some(
            "[first]\npattern = ^first\nretentions = 1s:1h\n[all]\npattern = .*\nretentions = 1m:20y\n"
                .to_owned(),
        ),
        shards: Some(2),
        ..Setup::conf(
            "MAX_CREATES_PER_MINUTE = 1\nCARBON_METRIC_INTERVAL = 4\nWHISPER_SPARSE_CREATE = True",
        )
    });
    daemon.send(&format!("first.file 1 {}\n", now()));
    wait_for_file(&daemon, "first.file", 1);
    let (text, metrics) = japanese();
    daemon.send(&text);
    for (metric, points) in &metrics {
        assert_eq!(&daemon.wait_for_points(metric, 10), points);
    }
    let received = first_report(&daemon, &format!("{own}.metricsReceived"));
    (received.to_bits() == 21f64.to_bits()).then_some(daemon)
}

/// What the first report says. It was counted before its own points were stored.
fn first_report(daemon: &Daemon, name: &str) -> f64 {
    let mut querier = Querier::connect(daemon.query);
    wait_for(|| querier.points(name).first().map(|point| point.1)).unwrap()
}

#[test]
fn twenty_points_of_two_japanese_names_are_two_queues_and_a_size_of_twenty() {
    let host = crate::daemon::python(
        "import socket; print(socket.gethostname().replace('.', '_'))",
        &[],
    );
    let own = format!("carbon.agents.{}-a", host.trim());
    let daemon = (0..5)
        .find_map(|_| japanese_in_the_cache(&own))
        .unwrap_or_else(|| panic!("the first report always came before the points"));
    let size = first_report(&daemon, &format!("{own}.cache.size"));
    let queues = first_report(&daemon, &format!("{own}.cache.queues"));
    assert_eq!(
        (queues.to_bits(), size.to_bits()),
        (2f64.to_bits(), 20f64.to_bits())
    );
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    for (metric, points) in japanese().1 {
        let file = crate::daemon::file_of(&ended.data(), &metric);
        let (first, last) = (points[0].0, points[points.len() - 1].0);
        let arguments = [
            file.to_str().unwrap(),
            &first.to_string(),
            &last.to_string(),
        ];
        let found = crate::daemon::python(FETCH, &arguments);
        let slots: String = points
            .iter()
            .map(|(time, value)| format!("{} {value:?}\n", time - time % 60))
            .collect();
        assert_eq!(found, slots, "{}", file.display());
    }
}
