//! The operators' textbook case, on the real daemon: each metric gets a point a second, in the naive
//! order. Unlimited, every point is an update. At half as many updates a second an update has two
//! points and the cache stays as it is. At a sixth the cache grows; released again, it comes back. The
//! limits change by SIGHUP; what needs a start is named.
//! What the daemon did is read from its own metrics, which a busy machine makes late, so that one counts
//! for longer than another. `BENZENE_LONG` asks for the limit within its few per cent, on a quiet
//! machine with 6,000 metrics, and the engine's own tests ask for it exactly, on a clock set by hand.
#![expect(
    clippy::disallowed_methods,
    clippy::format_push_string,
    clippy::cast_precision_loss,
    reason = "a test waits, and builds its text simply"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use benzene_engine::device::Disk;

use crate::daemon::{Daemon, Setup, wait_for};
use crate::first_use::{now, wait_for_file};
use crate::selfmetrics::{Values, host, reports_by_time};

/// Seconds between two reports.
const INTERVAL_S: u32 = 5;

fn is_long() -> bool {
    std::env::var_os("BENZENE_LONG").is_some()
}

fn metrics() -> u32 {
    if is_long() { 6000 } else { 1500 }
}

/// Sends a point of each metric every second.
fn send(mut socket: TcpStream, stop: &AtomicBool) {
    let begin = Instant::now();
    for second in 0.. {
        let due = begin + Duration::from_secs(second);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (time, mut text) = (now(), String::new());
        for metric in 0..metrics() {
            text += &format!("textbook.m{metric} {second} {time}\n");
        }
        socket.write_all(text.as_bytes()).unwrap();
    }
}

/// A carbon.conf with another limit, which is told to the daemon.
fn limit(daemon: &mut Daemon, limit: &str) -> u32 {
    let path = daemon.config();
    let text = std::fs::read_to_string(&path).unwrap();
    let kept = text
        .lines()
        .filter(|line| !line.starts_with("MAX_UPDATES_PER_SECOND ="));
    let text = kept.collect::<Vec<&str>>().join("\n");
    let text = format!("{text}\nMAX_UPDATES_PER_SECOND = {limit}\n");
    std::fs::write(&path, text).unwrap();
    daemon.signal("HUP");
    daemon.wait_for_log(&format!("from now on MAX_UPDATES_PER_SECOND = {limit}"));
    now()
}

/// Reports whose whole interval lies in a time.
fn within(reports: &BTreeMap<u32, Values>, from: u32, to: u32) -> Vec<&Values> {
    reports
        .range(from + INTERVAL_S..=to)
        .map(|(_, report)| report)
        .collect()
}

fn sum(reports: &[&Values], name: &str) -> f64 {
    assert!(!reports.is_empty());
    reports.iter().filter_map(|report| report.get(name)).sum()
}

/// Of all of them together.
fn points_an_update(reports: &[&Values]) -> f64 {
    sum(reports, "committedPoints") / sum(reports, "updateOperations")
}

fn average(reports: &[&Values], name: &str) -> f64 {
    sum(reports, name) / reports.len() as f64
}

#[test]
fn points_per_update_follow_the_limit_and_the_cache_comes_back() {
    let setup = Setup {
        shards: Some(2),
        ..Setup::conf(&format!(
            "CACHE_WRITE_STRATEGY = naive\nCARBON_METRIC_INTERVAL = {INTERVAL_S}\n\
             MAX_UPDATES_PER_SECOND = inf\n"
        ))
    };
    let mut daemon = Daemon::start(&setup);
    let (half, sixth) = (metrics() / 2, metrics() / 6);
    let stop = AtomicBool::new(false);
    let seconds = |seconds| std::thread::sleep(Duration::from_secs(seconds));
    let own = format!("carbon/agents/{}-a", host());
    let mut times = Vec::new();
    daemon.send(&format!("textbook.m0 1 {}\n", now()));
    wait_for_file(&daemon, "textbook.m0", 1);
    std::thread::scope(|scope| {
        let (socket, stop) = (daemon.connect(), &stop);
        scope.spawn(move || send(socket, stop));
        seconds(5);
        times.push(now());
        seconds(16);
        times.push(limit(&mut daemon, &half.to_string()));
        seconds(21);
        times.push(limit(&mut daemon, &sixth.to_string()));
        seconds(16);
        times.push(limit(&mut daemon, "inf"));
        seconds(16);
        times.push(now());
        stop.store(true, Ordering::Relaxed);
    });
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let reports = reports_by_time(&ended.data().join(own));
    let phase = |index: usize| within(&reports, times[index], times[index + 1]);
    let [free, halved, strangled, released] = [0, 1, 2, 3].map(phase);
    let own = reports.values().last().unwrap().len() as f64 / f64::from(INTERVAL_S);
    let name = "updateOperations";
    let updates_a_second = |reports: &[&Values]| average(reports, name) / f64::from(INTERVAL_S);

    let all = f64::from(metrics()) + own;
    // Least and most of what is expected: a burst is a tenth of a second's, and a report may be late.
    let (least, most) = if is_long() { (0.98, 1.03) } else { (0.7, 1.15) };
    let free_share = updates_a_second(&free) / all;
    assert!(
        (least - 0.08..most + 0.07).contains(&free_share),
        "{free:?}"
    );
    let each = average(&free, "pointsPerUpdate");
    assert!((each - 1.0).abs() < 0.05, "{each} points an update");

    for (reports, limit) in [(&halved, f64::from(half)), (&strangled, f64::from(sixth))] {
        let did = updates_a_second(reports);
        assert!(
            (limit * least..limit * most).contains(&did),
            "{did} a second, {limit} were allowed"
        );
    }
    let sizes = |reports: &[&Values]| -> Vec<f64> {
        reports.iter().map(|report| report["cache.size"]).collect()
    };
    // In the first report the points are yet to gather.
    assert!(points_an_update(&halved[1..]) > 1.8, "{halved:?}");
    let [before, grown] = [&halved, &strangled].map(|reports| average(reports, "cache.size"));
    assert!(grown > before * 2.0, "{before} to {grown}");
    let settled = *sizes(&released).last().unwrap();
    assert!(settled < all * 2.0, "{:?}", sizes(&released));
    if is_long() {
        let (first, end) = (sizes(&halved)[1], *sizes(&halved).last().unwrap());
        assert!(
            (end - first).abs() < all,
            "the cache is not stable: {first} to {end}"
        );
    }
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_what_waits_is_named() {
    let mut daemon = Daemon::start(&Setup::conf("MAX_UPDATES_PER_SECOND = 500\n"));
    let path = daemon.config();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("= 500", "= many")).unwrap();
    daemon.signal("HUP");
    daemon.wait_for_log(": everything stays as it is");
    daemon.wait_for_log("that is no rate");
    let other = text.replace("= 500", "= 400") + "MAX_CACHE_SIZE = 1000\n";
    std::fs::write(&path, other).unwrap();
    daemon.signal("HUP");
    daemon.wait_for_log(
        ": from now on MAX_UPDATES_PER_SECOND = 400; changed, but as before until the next \
         start: MAX_CACHE_SIZE",
    );
    daemon.signal("HUP");
    daemon.wait_for_log("carbon.conf was read again and says what it said");
    assert!(daemon.stop().status.success());
}

/// The latest value of an own metric in the cache.
fn own_value(daemon: &Daemon, name: &str) -> Option<f64> {
    let points = daemon.points(&format!("carbon.agents.{}-a.benzene.{name}", host()));
    points.last().map(|(_, value)| *value)
}

#[test]
fn a_number_and_auto_take_turns_while_the_daemon_runs() {
    let setup = Setup::conf(
        "DEVICE_CLASS = ssd\nCARBON_METRIC_INTERVAL = 1\nREAD_WAIT_MAX = 70ms\n\
         MAX_UPDATES_PER_SECOND = 500\n",
    );
    let mut daemon = Daemon::start(&setup);
    daemon.wait_for_log("auto would begin with 4000");
    daemon.wait_for_log("waits no longer than 70 ms");
    let reported = |daemon: &Daemon, rate: f64, reason: f64| {
        let same = |name: &str, wanted: f64| {
            own_value(daemon, name).filter(|value| (value - wanted).abs() < wanted * 0.01 + 0.1)
        };
        wait_for(|| same("writer.rateReason", reason).and(same("writer.updatesPerSecondMax", rate)))
    };
    assert!(reported(&daemon, 500.0, 0.0).is_some(), "{}", daemon.log());
    let can_watch = !Disk::of(&daemon.data())
        .unwrap()
        .disks
        .iter()
        .all(|disk| std::fs::read(format!("/sys/class/block/{disk}/stat")).is_err());
    limit(&mut daemon, "auto");
    if can_watch {
        daemon.wait_for_log("updates are tuned: 4000 a second");
        daemon.wait_for_log(" of 70 ms");
        let dirty = wait_for(|| own_value(&daemon, "device.dirtyPercent"));
        assert!(dirty.is_some(), "{}", daemon.log());
    }
    limit(&mut daemon, "300");
    assert!(reported(&daemon, 300.0, 0.0).is_some(), "{}", daemon.log());
    assert!(daemon.stop().status.success());
}
