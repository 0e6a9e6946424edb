//! The daemon's own metrics, under Python carbon's names and ours.
//! Pure: two sums of reports and what the process used in, named points out. Python's set counts
//! per interval; ours (`benzene.*`) are totals since the start, so that the accounts can be checked
//! from any two of them: received + own + replayed = committed + cached + superseded + dropped.*.
//! Where the process answers for several instances, each has what came through its own ports; what is
//! the whole process's stands once, under the first, so that a sum over all is true.

use std::time::Duration;

use benzene_engine::cache::Usage;
use benzene_engine::journal::{State, Status};
use benzene_engine::latency::Latencies;
use benzene_engine::ring::FileError;
use benzene_engine::shard::{Report, VolumeReport};
use benzene_engine::stats::{Counter, Stats};

use super::cores::{self, CoreTotals};
use super::tuning::Tuned;
use super::volumes::DataVolume;
use crate::front::Through;

/// What the process and all its shards stand at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    /// Sum of the shards' counters.
    pub(crate) stats: Box<Stats>,
    /// Sum of the shards' caches.
    pub(crate) usage: Usage,
    /// What came through the ports of each instance.
    pub(super) through: Vec<Through>,
    /// User and system CPU seconds of the process.
    pub(crate) cpu_s: f64,
    /// Resident bytes of the process.
    pub(crate) resident_bytes: u64,
    /// The shards' journals together.
    pub(crate) journal: JournalTotals,
    /// Points that earlier runs owe have not all come back.
    pub(super) has_unread: bool,
    /// Configuration files that are refused as they are now.
    pub(super) refused_files: u64,
    /// Series that wait to be announced to graphite-web.
    pub(crate) tags_queued: u64,
    /// Own metrics that wait to be relayed.
    pub(crate) relay_queued: u64,
    /// Creates a minute that are allowed; none is no limit.
    pub(crate) creates_per_minute: Option<f64>,
    /// Each core by itself.
    pub(super) cores: Vec<CoreTotals>,
    /// How long things took since the last report, on all cores; only in a report.
    pub(super) latencies: Option<Box<Latencies>>,
    /// By data directory.
    pub(super) volumes: Vec<VolumeTotals>,
}

/// What a data directory stands at.
#[derive(Clone, Debug, Default)]
pub(crate) struct VolumeTotals {
    /// What it is called in metrics.
    label: String,
    /// Sum of the shards' numbers.
    pub(super) report: VolumeReport,
    /// Its disks and its rate of updates.
    tuned: Tuned,
    is_away: bool,
    free_bytes: Option<u64>,
}

impl VolumeTotals {
    /// What the desk knows of one.
    pub(super) fn of(volume: &DataVolume) -> VolumeTotals {
        VolumeTotals {
            label: volume.directory.label(),
            report: VolumeReport::default(),
            tuned: volume.tuning.borrow().tuned(),
            is_away: volume.is_away(),
            free_bytes: volume.free_bytes(),
        }
    }

    fn points(&self) -> Vec<(String, f64)> {
        let VolumeReport {
            counts,
            stuck_points,
            ready,
        } = self.report;
        let numbers = [
            ("updates", Some(counts.updates)),
            ("lateUpdates", Some(counts.late_updates)),
            ("creates", Some(counts.creates)),
            ("errors", Some(counts.errors)),
            ("queues", Some(ready)),
            ("stuckPoints", Some(stuck_points)),
            ("away", Some(u64::from(self.is_away))),
            ("freeBytes", self.free_bytes),
        ];
        let numbers = numbers.into_iter();
        let name = |name| format!("benzene.volume.{}.{name}", self.label);
        numbers
            .filter_map(|(number, value)| Some((name(number), float(value?))))
            .collect()
    }
}

/// What the shards' journals stand at.
#[derive(Clone, Debug, Default)]
pub(crate) struct JournalTotals {
    /// The worst state of all; none is without a journal.
    worst: Option<State>,
    /// What some journal lacks for its next segment.
    pub(super) lacks: Option<FileError>,
    bytes: u64,
    segments: u64,
    /// Of these, those that are kept since a sync of the data has failed.
    doubtful: u64,
    /// Points noted that are not as safe as they get.
    unsynced: u64,
    /// Points cached by shards whose journal has failed.
    pub(super) unkept: u64,
}

impl JournalTotals {
    /// How the journals are: as the worst of them.
    pub(crate) fn state(&self) -> State {
        self.worst.unwrap_or(State::Healthy)
    }

    /// 0 well, 1 gets what is cached again, 2 failed.
    fn severity(state: State) -> u64 {
        match state {
            State::Healthy => 0,
            State::Recovering => 1,
            State::Failed(_) => 2,
        }
    }

    fn add(&mut self, status: &Status, cached: u64) {
        if matches!(status.state, State::Failed(_)) {
            self.unkept += cached;
        }
        let is_worse = |known: State| Self::severity(known) < Self::severity(status.state);
        if self.worst.is_none_or(is_worse) {
            self.worst = Some(status.state);
        }
        self.lacks = self.lacks.or(status.lacks);
        self.bytes += status.bytes;
        self.doubtful += status.doubtful_segments as u64;
        self.segments += (status.segments + status.name_segments) as u64;
        self.unsynced += status.serial.saturating_sub(status.synced_serial);
    }

    fn gauges(&self) -> [(&'static str, u64); 5] {
        [
            ("journal.state", Self::severity(self.state())),
            ("journal.diskBytes", self.bytes),
            ("journal.segments", self.segments),
            ("journal.doubtfulSegments", self.doubtful),
            ("journal.unsyncedPoints", self.unsynced),
        ]
    }
}

impl Totals {
    /// Adds one core's report and what came through its connections.
    pub(crate) fn add(&mut self, report: &Report, through: &[Through]) {
        self.stats.merge(&report.stats);
        self.usage += report.usage;
        self.has_unread |= report.has_unread;
        self.through.resize(through.len(), Through::default());
        for (all, one) in self.through.iter_mut().zip(through) {
            all.merge(one);
        }
        let senders = through.iter().map(|one| one.senders).sum();
        self.cores.push(CoreTotals::new(report, senders));
        for (total, report) in self.volumes.iter_mut().zip(&report.volumes) {
            total.report += *report;
        }
        if let Some(status) = &report.journal {
            self.journal.add(status, report.usage.points);
        }
    }

    /// An instance's connections of senders.
    fn senders(&self, instance: usize) -> u64 {
        self.through.get(instance).map_or(0, |it| it.senders)
    }

    /// A counter as far as it is an instance's.
    fn of(&self, instance: usize, counter: Counter) -> u64 {
        let apart = match self.through.as_slice() {
            [] | [_] => None,
            several => several[instance].get(counter),
        };
        apart.unwrap_or_else(|| self.stats.get(counter))
    }
}

/// `carbon.agents.<host>-<instance>`: dots in the host's name become underscores. Without a prefix,
/// `agents.<host>-<instance>`.
pub(crate) fn prefix(metric_prefix: &str, host: &str, instance: &str) -> String {
    let dot = if metric_prefix.is_empty() { "" } else { "." };
    format!(
        "{metric_prefix}{dot}agents.{}-{instance}",
        host.replace('.', "_")
    )
}

/// The points of one interval of so many seconds, names without the prefix: those of the process, and
/// what came through the ports of the instance under whose name they go.
pub(crate) fn points(
    before: &Totals,
    after: &Totals,
    (instance, elapsed_s): (usize, f64),
) -> Vec<(String, f64)> {
    let mut points = apart(before, after, instance);
    points.extend(pythons(before, after, elapsed_s));
    points.extend(ours(after));
    let are_several = after.volumes.len() > 1;
    for (before, after) in before.volumes.iter().zip(&after.volumes) {
        let within = if are_several {
            points.extend(after.points());
            format!("benzene.volume.{}", after.label)
        } else {
            "benzene".to_owned()
        };
        let disks = disks(&before.tuned, &after.tuned, elapsed_s);
        points.extend(disks.map(|(name, value)| (format!("{within}.{name}"), value)));
    }
    let creates = after.creates_per_minute;
    points.extend(creates.map(|rate| ("benzene.limiter.createsPerMinuteMax".to_owned(), rate)));
    points.extend(cores::by_shard(&after.cores));
    let latencies = after.latencies.iter();
    points.extend(latencies.flat_map(|all| cores::latencies(all)));
    points
}

#[expect(clippy::cast_precision_loss, reason = "Graphite values are doubles")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// What came through the ports of one instance, names without the prefix.
pub(crate) fn apart(before: &Totals, after: &Totals, instance: usize) -> Vec<(String, f64)> {
    let since = |counter| float(after.of(instance, counter) - before.of(instance, counter));
    let bulk_queries = since(Counter::BulkQueries);
    let mut points = vec![
        ("cache.queries", since(Counter::Queries)),
        ("cache.bulk_queries", bulk_queries),
        ("cache.overflow", since(Counter::DroppedCacheFull)),
        ("activeConnections", float(after.senders(instance))),
        ("metricsReceived", since(Counter::Received)),
        ("blacklistMatches", since(Counter::RefusedBlacklist)),
        ("whitelistRejects", since(Counter::RefusedWhitelist)),
    ];
    if bulk_queries > 0.0 {
        let average = since(Counter::BulkQueryMetrics) / bulk_queries;
        points.push(("cache.bulk_queries_average_size", average));
    }
    named(points)
}

fn named(points: Vec<(&'static str, f64)>) -> Vec<(String, f64)> {
    points
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn pythons(before: &Totals, after: &Totals, elapsed_s: f64) -> Vec<(String, f64)> {
    let since = |counter| float(after.stats.get(counter) - before.stats.get(counter));
    let updates = since(Counter::Updates);
    let committed = since(Counter::Committed);
    let mut points = vec![
        ("cache.size", float(after.usage.points)),
        ("cache.queues", float(after.usage.queues)),
        ("updateOperations", updates),
        ("committedPoints", committed),
        ("creates", since(Counter::Creates)),
        ("droppedCreates", since(Counter::DroppedCreateWait)),
        ("errors", since(Counter::Errors)),
        ("cpuUsage", (after.cpu_s - before.cpu_s) / elapsed_s * 100.0),
        ("memUsage", float(after.resident_bytes)),
    ];
    if updates > 0.0 {
        points.push((
            "avgUpdateTime",
            since(Counter::UpdateMicros) / 1e6 / updates,
        ));
    }
    if committed > 0.0 {
        points.push(("pointsPerUpdate", committed / updates));
    }
    named(points)
}

fn ours(after: &Totals) -> Vec<(String, f64)> {
    let usage = &after.usage;
    let gauges = [
        ("cached", usage.points),
        ("cacheBytes", usage.bytes),
        ("series", usage.series),
        ("unprovenSeries", usage.unproven_series),
        ("waitingPoints", usage.missing_points + usage.waiting_points),
        ("parkedPoints", usage.parked_points),
        ("recentBytes", usage.recent_bytes),
        ("oldestUnwrittenSeconds", usage.oldest_age_s),
        ("config.refusedFiles", after.refused_files),
        ("tags.queued", after.tags_queued),
        ("relay.queued", after.relay_queued),
    ];
    let gauges = gauges.into_iter().chain(after.journal.gauges());
    let gauges = gauges.map(|(name, value)| (name, float(value)));
    let totals = Counter::ALL
        .iter()
        .map(|counter| (counter.label(), float(after.stats.get(*counter))));
    gauges
        .chain(totals)
        .map(|(name, value)| (format!("benzene.{name}"), value))
        .collect()
}

/// The disks of a data directory, and the rate that is tuned by them.
fn disks(
    before: &Tuned,
    tuned: &Tuned,
    elapsed_s: f64,
) -> impl Iterator<Item = (&'static str, f64)> {
    let done = tuned.done.since(&before.done);
    let mean_ms = |wait: Duration, requests: u64| {
        (requests > 0).then(|| wait.as_secs_f64() * 1e3 / float(requests))
    };
    let busy_percent = done.busy.as_secs_f64() / elapsed_s * 100.0;
    let points = [
        ("writer.updatesPerSecondMax", tuned.rate),
        ("writer.rateReason", Some(float(tuned.reason))),
        (
            "device.readWaitMs",
            Some(tuned.read_wait.as_secs_f64() * 1e3),
        ),
        ("device.readMeanMs", mean_ms(done.read_wait, done.reads)),
        ("device.writeMeanMs", mean_ms(done.write_wait, done.writes)),
        ("device.busyPercent", Some(busy_percent)),
        ("device.dirtyPercent", Some(float(tuned.dirty_percent))),
    ];
    let points = points.into_iter();
    points.filter_map(|(name, value)| Some((name, value?)))
}

#[cfg(test)]
mod tests {
    use benzene_engine::device::Activity;

    use super::*;

    fn value(points: &[(String, f64)], name: &str) -> Option<f64> {
        points
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| *value)
    }

    #[test]
    fn dots_of_the_host_become_underscores() {
        assert_eq!(prefix("carbon", "a.b.c", "x"), "carbon.agents.a_b_c-x");
        assert_eq!(prefix("", "a.b.c", "x"), "agents.a_b_c-x");
    }

    #[test]
    fn pythons_set_counts_per_interval_and_ours_since_the_start() {
        let (mut before, mut after) = (Totals::default(), Totals::default());
        before.stats.add(Counter::Committed, 10);
        before.stats.add(Counter::Updates, 5);
        after.stats.add(Counter::Committed, 40);
        after.stats.add(Counter::Updates, 15);
        after.stats.add(Counter::UpdateMicros, 20_000);
        after.cpu_s = 1.5;
        let points = points(&before, &after, (0, 10.0));
        assert_eq!(value(&points, "committedPoints"), Some(30.0));
        assert_eq!(value(&points, "benzene.committed"), Some(40.0));
        assert_eq!(value(&points, "pointsPerUpdate"), Some(3.0));
        assert_eq!(value(&points, "avgUpdateTime"), Some(0.002));
        assert_eq!(value(&points, "cpuUsage"), Some(15.0));
        assert_eq!(value(&points, "cache.bulk_queries_average_size"), None);
    }

    #[test]
    fn waits_are_of_the_interval_and_absent_where_there_was_no_request() {
        let (mut before, mut after) = (Totals::default(), Totals::default());
        let done = |reads, read_ms, busy_ms| Activity {
            reads,
            read_wait: Duration::from_millis(read_ms),
            busy: Duration::from_millis(busy_ms),
            ..Activity::default()
        };
        let volume = |label: &str, done| VolumeTotals {
            label: label.to_owned(),
            tuned: Tuned {
                done,
                ..Tuned::default()
            },
            ..VolumeTotals::default()
        };
        before.volumes = vec![volume("a", done(10, 1000, 5000))];
        after.volumes = vec![volume("a", done(30, 1100, 7500))];
        let points = points(&before, &after, (0, 10.0));
        assert_eq!(value(&points, "benzene.device.readMeanMs"), Some(5.0));
        assert_eq!(value(&points, "benzene.device.busyPercent"), Some(25.0));
        assert_eq!(value(&points, "benzene.device.writeMeanMs"), None);
        assert_eq!(value(&points, "benzene.writer.updatesPerSecondMax"), None);
        assert_eq!(value(&points, "benzene.volume.a.updates"), None);
        before.volumes.push(volume("b", done(0, 0, 0)));
        after.volumes.push(volume("b", done(10, 20, 0)));
        after.volumes[1].report.counts.updates = 7;
        let points = super::points(&before, &after, (0, 10.0));
        let of = |name: &str| value(&points, &format!("benzene.{name}"));
        assert_eq!(of("device.readMeanMs"), None, "of which disk?");
        assert_eq!(of("volume.a.device.readMeanMs"), Some(5.0));
        assert_eq!(of("volume.b.device.readMeanMs"), Some(2.0));
        assert_eq!(
            (of("volume.a.updates"), of("volume.b.updates")),
            (Some(0.0), Some(7.0))
        );
        assert_eq!(
            (of("volume.b.away"), of("volume.b.freeBytes")),
            (Some(0.0), None)
        );
    }

    #[test]
    fn ratios_are_absent_where_nothing_was_written() {
        let points = points(&Totals::default(), &Totals::default(), (0, 1.0));
        assert_eq!(value(&points, "avgUpdateTime"), None);
        assert_eq!(value(&points, "pointsPerUpdate"), None);
        assert_eq!(value(&points, "updateOperations"), Some(0.0));
    }
}
