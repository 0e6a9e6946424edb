//! Real senders' bytes, replayed with the storage-schemas.conf and storage-aggregation.conf that their
//! own documentation advises: every file must hold what Python whisper makes of the same points.
//! statsd's graphite backend, Icinga 2's GraphiteWriter and Diamond's Graphite handler; collectd's are
//! in `replay`.

use std::collections::BTreeSet;
use std::io::Write as _;

use crate::daemon::{Daemon, Setup};
use crate::first_use::wait_for_file;
use crate::replay::{compare_with_python, recent_capture};
use crate::stop::number_before;

/// A capture, and what is known of it.
struct Sender {
    capture: &'static str,
    schemas: &'static str,
    aggregation: &'static str,
    lines: usize,
    metrics: usize,
    /// A metric that comes all the time, and the step of its first archive.
    steady: (&'static str, u32),
}

const STATSD: Sender = Sender {
    capture: "statsd/capture.line",
    schemas: "[stats]\npattern = ^stats.*\nretentions = 10s:6h,1m:6d,10m:30d\n",
    aggregation: r"
[min]
pattern = \.lower$
xFilesFactor = 0.1
aggregationMethod = min
[max]
pattern = \.upper(_\d+)?$
xFilesFactor = 0.1
aggregationMethod = max
[sum]
pattern = \.sum$
xFilesFactor = 0
aggregationMethod = sum
[count]
pattern = \.count$
xFilesFactor = 0
aggregationMethod = sum
[default_average]
pattern = .*
xFilesFactor = 0.3
aggregationMethod = average
",
    lines: 461,
    metrics: 66,
    steady: ("stats.counters.statsd.packets_received.count", 10),
};

const ICINGA: Sender = Sender {
    capture: "icinga2/capture.line",
    schemas: r"
[icinga2_internals]
pattern = ^icinga2\..*\.(max_check_attempts|reachable|current_attempt|execution_time|latency|state|state_type)
retentions = 5m:7d
[icinga2_default]
pattern = ^icinga2\.
retentions = 1m:2d,5m:10d,30m:90d,360m:4y
",
    // Not Icinga's advice: with less a capture of a minute fills no coarse archive.
    aggregation: "[perfdata]\npattern = \\.perfdata\\.\nxFilesFactor = 0\naggregationMethod = max\n",
    lines: 1231,
    metrics: 118,
    steady: ("icinga2.web_example_org.host.dummy.perfdata.rta.value", 60),
};

const DIAMOND: Sender = Sender {
    capture: "diamond/capture.line",
    schemas: "[all]\npattern = .*\nretentions = 10s:6h,1m:7d\n",
    aggregation: "[load]\npattern = loadavg\nxFilesFactor = 0\naggregationMethod = max\n",
    lines: 204,
    metrics: 34,
    steady: ("servers.diamond-host.loadavg.01", 10),
};

/// Distinct slots of the first archive that these lines fill of a metric.
fn slots<'l>(lines: impl Iterator<Item = &'l String>, (metric, step_s): (&str, u32)) -> usize {
    let of_metric = lines.filter_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    let timestamps = of_metric.map(|rest| rest.split_whitespace().nth(1).unwrap());
    let slots: BTreeSet<u32> = timestamps
        .map(|timestamp| timestamp.parse::<u32>().unwrap() / step_s)
        .collect();
    slots.len()
}

fn replay(sender: &Sender) {
    let daemon = Daemon::start(&Setup {
        schemas: Some(sender.schemas.to_owned()),
        aggregation: Some(sender.aggregation.to_owned()),
        shards: Some(2),
        ..Setup::default()
    });
    let lines = recent_capture(sender.capture, "\n");
    assert_eq!(lines.len(), sender.lines, "the fixture has changed");
    // In three parts, each in its files before the next is sent.
    let third = lines.len().div_ceil(3);
    let mut socket = daemon.connect();
    for (part, number) in lines.chunks(third).zip(1..) {
        for piece in part.concat().as_bytes().chunks(1447) {
            socket.write_all(piece).unwrap();
        }
        let filled = slots(lines.iter().take(number * third), sender.steady);
        wait_for_file(&daemon, sender.steady.0, filled);
    }
    drop(socket);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(
        number_before(&ended.log, " received"),
        sender.lines as u64,
        "{}",
        ended.log
    );
    let [files, points, coarse] = compare_with_python(&ended, &lines);
    assert_eq!(files, sender.metrics);
    assert!(points >= files && coarse > 0, "{points} points, {coarse}");
}

#[test]
fn every_file_of_statsd_s_points_is_what_python_whisper_makes() {
    replay(&STATSD);
}

#[test]
fn every_file_of_icinga_s_points_is_what_python_whisper_makes() {
    replay(&ICINGA);
}

#[test]
fn every_file_of_diamond_s_points_is_what_python_whisper_makes() {
    replay(&DIAMOND);
}
