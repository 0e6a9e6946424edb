//! Points that are held back (CACHE_WRITE_STRATEGY = deadline): every point is in its file before it
//! is too old and not at once, what graphite-web cannot merge is not held, its merge of file and
//! cache is right, and a stop writes all.
#![expect(
    clippy::disallowed_methods,
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a test waits, and builds its text simply"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, Setup, file_of, python, wait_for};
use crate::first_use::{now, wait_for_file};
use crate::graphite::graphite;
use crate::vitals::file_points;

const METRICS: u32 = 20;
/// How long each test sends, in seconds: several times the age.
const SENT_S: u32 = 15;
/// What a busy machine may take from the moment a write is due.
const GRACE: Duration = Duration::from_millis(900);

fn held_daemon(conf: &str, schemas: &str) -> Daemon {
    Daemon::start(&Setup {
        schemas: Some(format!("[all]\npattern = .*\nretentions = {schemas}\n")),
        aggregation: Some("[peak]\npattern = peak$\naggregationMethod = absmax\n".to_owned()),
        shards: Some(2),
        ..Setup::conf(&format!("CACHE_WRITE_STRATEGY = deadline\n{conf}"))
    })
}

/// Makes files of these metrics, and waits until their first points are no longer answerable.
fn begin(daemon: &Daemon, names: &[String]) -> u32 {
    let first = now();
    let lines: String = names
        .iter()
        .map(|name| format!("{name} 1 {first}\n"))
        .collect();
    daemon.send(&lines);
    for name in names {
        wait_for_file(daemon, name, 1);
    }
    first
}

#[test]
fn a_point_is_in_its_file_before_it_is_too_old_and_not_at_once() {
    let age = Duration::from_secs(5);
    let mut daemon = held_daemon("MAX_POINT_AGE = 5", "1s:6h");
    daemon.wait_for_log("points are held for up to 5 s, so that an update has many");
    let mut names: Vec<String> = (0..METRICS)
        .map(|number| format!("held.m{number}"))
        .collect();
    names.push("held.peak".to_owned());
    begin(&daemon, &names);
    let mut socket = daemon.connect();
    let began = Instant::now();
    let mut sent: BTreeMap<u32, Instant> = BTreeMap::new();
    let mut delays: Vec<BTreeMap<u32, Duration>> = vec![BTreeMap::new(); names.len()];
    let end = Duration::from_secs(u64::from(SENT_S)) + age + GRACE;
    while began.elapsed() < end {
        let second = now();
        let is_time = sent.last_key_value().is_none_or(|(last, _)| *last < second);
        if is_time && began.elapsed() < Duration::from_secs(u64::from(SENT_S)) {
            let lines: String = names
                .iter()
                .map(|name| format!("{name} 2 {second}\n"))
                .collect();
            socket.write_all(lines.as_bytes()).unwrap();
            sent.insert(second, Instant::now());
        }
        for (name, delays) in names.iter().zip(&mut delays) {
            for (timestamp, value) in file_points(&daemon.file(name)).unwrap() {
                if value > 1.5 {
                    delays
                        .entry(timestamp)
                        .or_insert_with(|| sent[&timestamp].elapsed());
                }
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    for (name, delays) in names.iter().zip(&delays) {
        assert!(delays.keys().eq(sent.keys()), "{name}: {delays:?}");
        let longest = delays.values().max().unwrap();
        let (least, most) = if name == "held.peak" {
            (Duration::ZERO, GRACE)
        } else {
            (Duration::from_millis(2_900), age)
        };
        assert!(
            (least..=most + GRACE).contains(longest),
            "{name}: {delays:?}"
        );
    }
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(!ended.log.contains("lateUpdates"), "{}", ended.log);
}

/// Slots of the second archive in the test of the merge, in seconds.
const SLOT_S: u32 = 4;

/// Reads the series through graphite-web's reader by the second archive while they are sent, and
/// compares each slot that is complete with the mean of what was sent for it.
const MERGE: &str = r#"
import os, time
from graphite.readers.whisper import WhisperReader
settings.CARBONLINK_PICKLE_PROTOCOL = 2
data, first, last, slot_s, metrics = sys.argv[3], *map(int, sys.argv[4:8])
looks = 0
while time.time() < last + 10:
    for number in range(metrics):
        metric = "merged.m%d" % number
        path = os.path.join(data, metric.replace(".", "/") + ".wsp")
        now = int(time.time())
        (start, end, step), values = WhisperReader(path, metric).fetch(now - 9000, now)
        assert step == slot_s, step
        seen = {start + step * i: v for i, v in enumerate(values)}
        # A second for the newest point on its way.
        for slot in range(first, min(last, now - 1) - slot_s + 1, slot_s):
            values = [t % 100 * 10 + number for t in range(slot, slot + slot_s)]
            want = sum(values) / len(values)
            assert seen[slot] == want, (metric, slot - first, seen[slot], values, now - first)
            looks += 1
    time.sleep(0.05)
print(looks)
"#;

#[test]
fn graphite_web_s_merge_of_coarse_slots_is_right_while_points_are_held() {
    const NAMES: u32 = 5;
    let daemon = held_daemon("MAX_POINT_AGE = 8", &format!("1s:2h,{SLOT_S}s:1d"));
    let names: Vec<String> = (0..NAMES)
        .map(|number| format!("merged.m{number}"))
        .collect();
    begin(&daemon, &names);
    let first = (now() / SLOT_S + 2) * SLOT_S;
    let last = first + 6 * SLOT_S;
    let (mut socket, data) = (daemon.connect(), daemon.data().display().to_string());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for second in first..last {
                wait_for(|| (now() >= second).then_some(())).unwrap();
                let mut lines = String::new();
                for (number, name) in (0..).zip(&names) {
                    lines += &format!("{name} {} {second}\n", second % 100 * 10 + number);
                }
                socket.write_all(lines.as_bytes()).unwrap();
            }
        });
        let numbers = [first, last, SLOT_S, NAMES].map(|number| number.to_string());
        let mut arguments = vec![data.as_str()];
        arguments.extend(numbers.iter().map(String::as_str));
        let looks: u32 = graphite(&daemon, MERGE, &arguments).trim().parse().unwrap();
        assert!(looks > 500, "{looks} slots were looked at");
    });
    assert!(daemon.stop().status.success());
}

#[test]
fn a_stop_writes_what_is_held() {
    let daemon = held_daemon("MAX_POINT_AGE = 300", "1s:6h");
    let names: Vec<String> = (0..METRICS)
        .map(|number| format!("held.m{number}"))
        .collect();
    let first = begin(&daemon, &names);
    let mut lines = String::new();
    for name in &names {
        for back in 1..100 {
            lines += &format!("{name} {back} {}\n", first - back);
        }
    }
    daemon.send(&lines);
    for name in &names {
        daemon.wait_for_points(name, 99);
    }
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(
        file_points(&daemon.file(&names[0])).unwrap().len(),
        1,
        "held"
    );
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    for name in &names {
        let found = file_points(&file_of(&ended.data(), name)).unwrap();
        assert_eq!(found.len(), 100, "{name}");
    }
    let newest =
        "import sys, whisper; print(whisper.fetch(sys.argv[1], int(sys.argv[2]) - 50)[1][0])";
    let file = file_of(&ended.data(), &names[0]);
    let value = python(newest, &[file.to_str().unwrap(), &first.to_string()]);
    assert_eq!(value.trim(), "49.0");
}

#[test]
fn a_backfill_is_in_its_file_long_before_what_is_held() {
    let daemon = held_daemon("MAX_POINT_AGE = 60\nDEVICE_CLASS = ssd", "1s:6h");
    let names = ["held.backfill", "held.live"].map(String::from);
    let first = begin(&daemon, &names);
    let began = Instant::now();
    let [backfill, live] = &names;
    let points: String = (1..=300)
        .map(|second| format!("{backfill} {second} {}\n", first - 1000 + second))
        .collect();
    daemon.send(&format!("{points}{live} 2 {}\n", first + 1));
    wait_for_file(&daemon, backfill, 301);
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(45),
        "{took:?}, when all was due that is held"
    );
    assert_eq!(
        file_points(&daemon.file(live)).unwrap().len(),
        1,
        "held after {took:?}"
    );
    assert!(daemon.stop().status.success());
}
