//! Points that are held back (CACHE_WRITE_STRATEGY = deadline): every point is in its file before it
//! is too old and not at once, what graphite-web cannot merge is not held, its merge of file and
//! cache is right, and a stop writes all.
#![expect(
    clippy::disallowed_methods,
    clippy::format_push_string,
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
    daemon.wait_for_log(
        "points are held for up to 5 s, so that an update has many: as MAX_POINT_AGE says",
    );
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

/// Reads the series through graphite-web's reader by the second archive, whose slots are of two
/// seconds, and compares each slot with the mean of all that was sent for it.
const MERGE: &str = r#"
import json, os, time
from graphite.readers.whisper import WhisperReader
settings.CARBONLINK_PICKLE_PROTOCOL = 2
data, sent = sys.argv[3], json.loads(sys.argv[4])
judged_until, seconds, full = int(sys.argv[5]), float(sys.argv[6]), 0
begin = time.time()
while time.time() - begin < seconds:
    for metric, points in sent.items():
        slots = {}
        for t, v in points:
            slots.setdefault(t - t % 2, []).append(v)
        path = os.path.join(data, metric.replace(".", "/") + ".wsp")
        now = int(time.time())
        (start, end, step), values = WhisperReader(path, metric).fetch(now - 9000, now)
        assert step == 2, step
        seen = {start + 2 * i: v for i, v in enumerate(values)}
        for slot, values in slots.items():
            if slot + 2 <= judged_until:
                want = sum(values) / len(values)
                assert seen[slot] == want, (metric, slot, seen[slot], values, time.time())
                full += 1
    time.sleep(0.05)
print(full)
"#;

#[test]
fn graphite_web_s_merge_of_coarse_slots_is_right_while_points_are_held() {
    let daemon = held_daemon("MAX_POINT_AGE = 6", "1s:2h,2s:1d");
    let names: Vec<String> = (0..5).map(|number| format!("merged.m{number}")).collect();
    begin(&daemon, &names);
    // The first update of a file that nobody has read is not cut.
    std::thread::sleep(Duration::from_secs(1));
    let mut socket = daemon.connect();
    let mut points: BTreeMap<&str, Vec<(u32, u32)>> = BTreeMap::new();
    let first = now() + 1;
    for second in first..first + SENT_S {
        wait_for(|| (now() >= second).then_some(())).unwrap();
        let mut lines = String::new();
        for (number, name) in (0..).zip(&names) {
            let value = second % 100 * 10 + number;
            lines += &format!("{name} {value} {second}\n");
            points.entry(name).or_default().push((second, value));
        }
        socket.write_all(lines.as_bytes()).unwrap();
    }
    let data = daemon.data().display().to_string();
    let list = |points: &Vec<(u32, u32)>| -> String {
        let pair = |(at, value): &(u32, u32)| format!("[{at}, {value}]");
        points.iter().map(pair).collect::<Vec<_>>().join(", ")
    };
    let sent: Vec<String> = points
        .iter()
        .map(|(name, points)| format!("\"{name}\": [{}]", list(points)))
        .collect();
    let sent = format!("{{{}}}", sent.join(", "));
    let last = first + SENT_S;
    wait_for(|| (now() > last).then_some(())).unwrap();
    // From the first update of this test on slots are whole: the one of its first point is as it
    // was found. What is still held then goes while this looks.
    let text = graphite(&daemon, MERGE, &[&data, &sent, &last.to_string(), "12"]);
    let looks: u32 = text.trim().parse().unwrap();
    assert!(looks > 500, "{looks} slots were looked at");
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
