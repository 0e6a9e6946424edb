//! What became of a stretch of a daemon's time: its figures, and whether it held the rate.
//! What a daemon is *behind* has two parts: the points in its cache, and what it has written that is
//! not on the disk yet, for which syncs go on all the while. Both are times: how long the points took to
//! come in, and how long it takes until a sync has brought to the disk what is written, less what one
//! takes that keeps up. A rate is *held* where their sum grows by less than a tenth of the time that
//! passes. The cache alone would say nothing: writes end in memory, and the disk's debt grows there.
//! Pure: reports, marks and syncs in, figures out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use benzene_rivals::Latencies;

use super::figures::{DevicePerUpdate, HeadPerUpdate, Steady, Waits};
use super::load::{self, Sync};
use super::steady::Stretch;
use crate::cpu::Spent;
use crate::device::Counters;
use crate::disk;
use crate::report::real;

/// What is asked for every second.
pub(super) const LABELS: [&str; 6] = [
    "cached",
    "waitingPoints",
    "updates",
    "committed",
    "lateUpdates",
    "errors",
];
/// Until what was written is on the disk, where syncs keep up: half of one that goes on, and the next;
/// none takes longer than the time from one to the next.
const SYNCING_PERIODS: f64 = 1.5;
/// Growth of what it is behind that is none, as a part of the time that passes.
const GROWTH_PART: f64 = 0.1;
/// Reports of the daemon, by second.
pub(super) type Reports = BTreeMap<u32, [f64; LABELS.len()]>;

/// How things stand at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) at: Instant,
    pub(super) unix_s: u32,
    pub(super) spent: Spent,
    pub(super) device: Option<Counters>,
    pub(super) head: Option<disk::Counters>,
}

/// The syncs of a stretch.
#[derive(Clone, Debug)]
pub(super) struct Syncs {
    /// When everything was on the disk.
    pub(super) clean_at: Instant,
    /// From the begin of one to that of the next, where there is time.
    pub(super) period: Duration,
    pub(super) made: Vec<Sync>,
}

/// What a stretch gave.
pub(super) fn judge(
    stretch: &Stretch,
    reports: &Reports,
    [before, after]: [Mark; 2],
    (syncs, waits): (&Syncs, &Latencies),
) -> Result<Steady> {
    let within = || reports.range(before.unix_s..=after.unix_s);
    let (Some((first_s, first)), Some((last_s, last))) = (within().next(), within().next_back())
    else {
        bail!("the daemon did not report")
    };
    let seconds = f64::from(last_s - first_s);
    ensure!(seconds >= 1.0, "a single report");
    ensure!(of("errors", last) <= of("errors", first), "updates failed");
    let rate = |label| (of(label, last) - of(label, first)) / seconds;
    let cached: Vec<(f64, f64)> = within()
        .map(|(second, report)| {
            let cached = of("cached", report) - of("waitingPoints", report);
            (f64::from(second - first_s), cached)
        })
        .collect();
    let growth = growth_per_s(&cached);
    let (updates, points) = (rate("updates"), rate("committed"));
    let time = after.at.saturating_duration_since(before.at).as_secs_f64();
    let spent = (after.spent - before.spent).sum().as_secs_f64() * 1e6;
    let lag = load::lag(&syncs.made, after.at).context("no sync behind it")?;
    let debt = lag.saturating_sub(syncs.period.mul_f64(SYNCING_PERIODS));
    let since_clean = after.at.saturating_duration_since(syncs.clean_at);
    let behind = growth / stretch.points_per_s + debt.as_secs_f64() / since_clean.as_secs_f64();
    let (device, head) = disk_since(&before, &after, updates * time);
    Ok(Steady {
        offered_points_per_s: stretch.points_per_s,
        limit_updates_per_s: stretch.limit,
        metrics: stretch.metrics,
        seconds,
        updates_per_s: updates,
        committed_points_per_s: points,
        points_per_update: points / updates.max(1e-9),
        cached_points: mean(&cached),
        cached_points_growth_per_s: growth,
        sync_lag_s: lag.as_secs_f64(),
        behind_growth_s_per_s: behind,
        is_held: behind <= GROWTH_PART,
        late_updates: of("lateUpdates", last) - of("lateUpdates", first),
        cpu_us_per_update: spent / (updates * time).max(1.0),
        cpu_us_per_point: spent / (points * time).max(1.0),
        device_per_update: device,
        head_per_update: head,
        reader_wait_ms: (waits.count() > 0).then(|| {
            let ms = |percent| waits.percentile(percent).as_secs_f64() * 1e3;
            Waits {
                p50: ms(50.0),
                p99: ms(99.0),
                max: ms(100.0),
            }
        }),
        cached_points_over_time: cached,
    })
}

/// What the disk did between two moments, for each of so many updates.
fn disk_since(
    before: &Mark,
    after: &Mark,
    updates: f64,
) -> (Option<DevicePerUpdate>, Option<HeadPerUpdate>) {
    let device = match (after.device, before.device) {
        (Some(after), Some(before)) => Some(DevicePerUpdate::new(after - before, updates)),
        (_, None) | (None, _) => None,
    };
    let head = match (after.head, before.head) {
        (Some(after), Some(before)) => HeadPerUpdate::new(&(after - before), updates),
        (_, None) | (None, _) => None,
    };
    (device, head)
}

/// A figure of a report.
pub(super) fn of(label: &str, report: &[f64; LABELS.len()]) -> f64 {
    let place = LABELS.iter().position(|known| *known == label);
    let Some(figure) = place.and_then(|place| report.get(place)) else {
        unreachable!("{label} is asked for")
    };
    *figure
}

fn mean(points: &[(f64, f64)]) -> f64 {
    let sum: f64 = points.iter().map(|(_, cached)| cached).sum();
    sum / real(points.len().max(1) as u64)
}

/// From the middle of the first half to that of the second.
fn growth_per_s(cached: &[(f64, f64)]) -> f64 {
    let (first, second) = cached.split_at(cached.len() / 2);
    let (Some((from, _)), Some((until, _))) = (cached.first(), cached.last()) else {
        return 0.0;
    };
    let half = ((until - from) / 2.0).max(0.5);
    (mean(second) - mean(first)) / half
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(at: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..=10)
            .map(|second| (f64::from(second), at(f64::from(second))))
            .collect()
    }

    #[test]
    fn growth_is_that_of_the_cache() {
        let near = |found: f64, expected: f64| {
            assert!(
                (found - expected).abs() <= 0.1 * expected.abs() + 2.0,
                "{found}, not {expected}"
            );
        };
        near(growth_per_s(&cached(|_| 500.0)), 0.0);
        near(growth_per_s(&cached(|second| 500.0 + 40.0 * second)), 44.0);
        // A sync that stands in the way every two seconds is no growth.
        near(growth_per_s(&cached(|second| 100.0 * (second % 2.0))), 0.0);
        near(growth_per_s(&[]), 0.0);
    }

    /// Forty seconds in which so many points a second come in and so many updates a second are made;
    /// then it takes so long until what was written is on the disk.
    fn judged(offered: f64, updates: f64, lag_s: u64) -> Steady {
        let begun = benzene_engine::clock::now().instant;
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let mark = |second: u32| Mark {
            at: at(second.into()),
            unix_s: 1000 + second,
            spent: Spent {
                user: Duration::from_millis(second.into()),
                system: Duration::ZERO,
            },
            device: None,
            head: None,
        };
        let reports = (0..=40_u32).map(|second| {
            let passed = f64::from(second);
            let cached = 50.0 + (offered - updates) * passed;
            let written = updates * passed;
            // The daemon's own points wait for files.
            let report = [cached + 7.0, 7.0, written, written, 0.0, 0.0];
            (1000 + second, report)
        });
        let syncs = Syncs {
            clean_at: begun,
            period: Duration::from_secs(2),
            made: [(39, 40), (40, 40 + lag_s)]
                .map(|(from, until)| Sync {
                    begun: at(from),
                    ended: at(until),
                })
                .into(),
        };
        let stretch = Stretch {
            points_per_s: offered,
            metrics: 1000,
            limit: None,
            is_cold: true,
            settle: Duration::ZERO,
            time: Duration::from_secs(40),
        };
        let waits = Latencies::new().unwrap();
        let marks = [mark(0), mark(40)];
        judge(&stretch, &reports.collect(), marks, (&syncs, &waits)).unwrap()
    }

    #[test]
    fn a_rate_is_held_where_neither_cache_nor_syncs_fall_behind() {
        let steady = judged(200.0, 200.0, 3);
        assert!(steady.is_held, "{steady:?}");
        assert!(steady.behind_growth_s_per_s.abs() < 1e-6, "{steady:?}");
        assert!((steady.updates_per_s - 200.0).abs() < 1e-6);
        assert!((steady.cpu_us_per_update - 5.0).abs() < 1e-6);
        assert!((steady.sync_lag_s - 3.0).abs() < 1e-6);
        // The cache grows, or what is written piles up in memory, or a little of both.
        assert!(!judged(200.0, 170.0, 2).is_held);
        assert!(!judged(200.0, 200.0, 8).is_held);
        assert!(!judged(200.0, 186.0, 5).is_held);
        assert!(judged(200.0, 195.0, 4).is_held);
        assert!(judged(200.0, 200.0, 6).is_held);
    }
}
