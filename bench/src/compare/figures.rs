//! The figures of a comparison, with their units in their names: what the JSON has is what the text
//! and the page show. And what follows from them: how many metrics a disk carries.
//! Pure: nothing here measures.

use serde::{Deserialize, Serialize};

use crate::device::Counters;
use crate::disk;
use crate::report::real;
use crate::writepath::row::{Case, Figures};

/// Part of the highest rate that is advised, as `benzene tune` does: the rest is for readers, and for a
/// disk that fills.
const ADVISED_PART: f64 = 0.8;
/// Steps of usual senders, in seconds.
const STEPS_S: [u32; 3] = [10, 60, 300];

/// Everything.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Comparison {
    /// On what it was measured.
    pub(super) head: String,
    /// What the figures mean.
    pub(super) definitions: String,
    pub(super) seconds_per_measurement: u32,
    pub(super) disks: Vec<DiskFigures>,
}

/// One disk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DiskFigures {
    pub(super) place: Place,
    pub(super) single: Vec<Single>,
    pub(super) cold: Sustained,
    pub(super) warm: Sustained,
    pub(super) limiter: Vec<Steady>,
    pub(super) as_shipped: Option<AsShipped>,
}

/// Which disk it is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Place {
    /// What the user says it is: hdd or ssd.
    pub(super) class: String,
    /// What Benzene finds, and why.
    pub(super) class_found: String,
    pub(super) class_reason: String,
    pub(super) directory: String,
    pub(super) device: String,
    pub(super) filesystem: String,
    /// The model, where it is one.
    pub(super) model: Option<String>,
    pub(super) files: u32,
    pub(super) file_bytes: u64,
    /// How long points are held on such a disk (MAX_POINT_AGE).
    pub(super) hold_s: u32,
    pub(super) updates_in_flight: usize,
    pub(super) kernel_workers: u32,
}

/// A round of single updates or creates, by the daemon's writer without a daemon.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Single {
    pub(super) case: Case,
    pub(super) figures: Figures,
    pub(super) head_per_file: Option<HeadPerUpdate>,
}

/// The search for the highest rate that a disk holds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sustained {
    /// The highest rate that was held, less by what it fell behind all the same; None: none was held.
    pub(super) updates_per_s: Option<f64>,
    /// Every rate that was tried, lowest first.
    pub(super) rates: Vec<Steady>,
    pub(super) carries: Vec<Carries>,
}

impl Sustained {
    /// What follows from the rates that were tried.
    pub(super) fn new(mut rates: Vec<Steady>, hold_s: u32) -> Self {
        let held = rates.iter().filter(|it| it.is_held);
        let updates_per_s = held
            .map(|it| it.offered_points_per_s * (1.0 - it.behind_growth_s_per_s.max(0.0)))
            .reduce(f64::max);
        rates.sort_by(|one, other| {
            one.offered_points_per_s
                .total_cmp(&other.offered_points_per_s)
        });
        let carried = updates_per_s.unwrap_or(0.0);
        Self {
            updates_per_s,
            rates,
            carries: STEPS_S
                .map(|step_s| Carries::at(carried, step_s, hold_s))
                .into(),
        }
    }

    /// MAX_UPDATES_PER_SECOND that leaves room for others.
    pub(super) fn advised(&self) -> Option<f64> {
        self.updates_per_s.map(|rate| rate * ADVISED_PART)
    }
}

/// How many metrics a disk carries whose points come with this step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Carries {
    pub(super) step_s: u32,
    pub(super) points_per_update: u32,
    /// At the highest rate that is held.
    pub(super) metrics_at_most: f64,
    /// At four fifths of it.
    pub(super) metrics_advised: f64,
}

impl Carries {
    /// Each metric is written once while its points may be held.
    fn at(updates_per_s: f64, step_s: u32, hold_s: u32) -> Self {
        let every_s = hold_s.max(step_s);
        let metrics_at_most = updates_per_s * f64::from(every_s);
        Self {
            step_s,
            points_per_update: every_s / step_s,
            metrics_at_most,
            metrics_advised: metrics_at_most * ADVISED_PART,
        }
    }
}

/// A daemon with points that come in evenly, over one stretch of time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Steady {
    pub(super) offered_points_per_s: f64,
    /// MAX_UPDATES_PER_SECOND; None: inf.
    pub(super) limit_updates_per_s: Option<f64>,
    pub(super) metrics: u32,
    pub(super) seconds: f64,
    pub(super) updates_per_s: f64,
    pub(super) committed_points_per_s: f64,
    pub(super) points_per_update: f64,
    /// Points in the cache, on average.
    pub(super) cached_points: f64,
    /// By how much that grew.
    pub(super) cached_points_growth_per_s: f64,
    /// From its end until what was written by then was on the disk.
    pub(super) sync_lag_s: f64,
    /// By how much the daemon fell behind: the points in its cache as the time in which they came, and
    /// the lag of the syncs.
    pub(super) behind_growth_s_per_s: f64,
    pub(super) is_held: bool,
    /// Updates later than MAX_POINT_AGE, with the order `deadline`.
    pub(super) late_updates: f64,
    pub(super) cpu_us_per_update: f64,
    pub(super) cpu_us_per_point: f64,
    pub(super) device_per_update: Option<DevicePerUpdate>,
    pub(super) head_per_update: Option<HeadPerUpdate>,
    pub(super) reader_wait_ms: Option<Waits>,
    /// Seconds from the begin, points in the cache.
    pub(super) cached_points_over_time: Vec<(f64, f64)>,
}

/// What a reader beside it waited for a page.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Waits {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

/// By the block device's own counters.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct DevicePerUpdate {
    pub(super) reads: f64,
    pub(super) writes: f64,
    pub(super) read_bytes: f64,
    pub(super) written_bytes: f64,
}

impl DevicePerUpdate {
    pub(super) fn new(counters: Counters, updates: f64) -> Self {
        let per = |amount| real(amount) / updates.max(1.0);
        Self {
            reads: per(counters.reads),
            writes: per(counters.writes),
            read_bytes: per(counters.read_bytes),
            written_bytes: per(counters.written_bytes),
        }
    }
}

/// By a model disk's counters.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct HeadPerUpdate {
    pub(super) seeks: f64,
    /// Way of the head, in full strokes.
    pub(super) strokes: f64,
    /// Time of the head: moving, waiting for the platter, reading and writing.
    pub(super) busy_ms: f64,
}

impl HeadPerUpdate {
    /// None where there is no head.
    pub(super) fn new(counters: &disk::Counters, updates: f64) -> Option<Self> {
        let per = |amount| real(amount) / updates.max(1.0);
        (counters.seeks > 0).then(|| Self {
            seeks: per(counters.seeks),
            strokes: per(counters.head_travel_stroke_ppb) / 1e9,
            busy_ms: per(counters.busy_ns()) / 1e6,
        })
    }
}

/// The order that is the default, at four fifths of the highest rate, with times made shorter.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AsShipped {
    /// MAX_POINT_AGE, in place of the class's own.
    pub(super) hold_s: u32,
    /// By how much times and metrics were made fewer.
    pub(super) scale: f64,
    /// From one point of a metric to the next.
    pub(super) step_s: f64,
    pub(super) steady: Steady,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::writepath::row::Cache;
    use crate::writepath::row::tests::row;

    fn steady(offered: f64, updates: f64) -> Steady {
        Steady {
            offered_points_per_s: offered,
            limit_updates_per_s: (updates < offered).then_some(updates),
            metrics: 1000,
            seconds: 10.0,
            updates_per_s: updates,
            committed_points_per_s: updates,
            points_per_update: offered / updates,
            cached_points: offered - updates + 1.0,
            cached_points_growth_per_s: 0.0,
            sync_lag_s: 1.1,
            behind_growth_s_per_s: 0.0,
            is_held: updates >= offered,
            late_updates: 0.0,
            cpu_us_per_update: 30.0,
            cpu_us_per_point: 10.0,
            device_per_update: Some(DevicePerUpdate::new(
                Counters {
                    reads: 10,
                    writes: 20,
                    read_bytes: 30,
                    written_bytes: 40,
                },
                10.0,
            )),
            head_per_update: None,
            reader_wait_ms: Some(Waits {
                p50: 10.0,
                p99: 50.0,
                max: 90.0,
            }),
            cached_points_over_time: vec![(0.0, 5.0), (1.0, 7.0)],
        }
    }

    fn single(cache: Cache, points: u32) -> Single {
        let row = row("ring", points);
        Single {
            case: Case { cache, ..row.case },
            figures: row.figures.unwrap(),
            head_per_file: None,
        }
    }

    fn figures(class: &str, rate: f64, hold_s: u32) -> DiskFigures {
        let rates = |rate| vec![steady(rate * 1.1, rate), steady(rate, rate)];
        let caches = [Cache::Warm, Cache::Forgotten];
        let single = caches.map(|cache| [1, 60].map(|points| single(cache, points)));
        DiskFigures {
            place: Place {
                class: class.to_owned(),
                class_found: class.to_owned(),
                class_reason: String::from("it rotates"),
                directory: String::from("/srv"),
                device: String::from("sda"),
                filesystem: String::from("ext4"),
                model: None,
                files: 1000,
                file_bytes: 41_512,
                hold_s,
                updates_in_flight: 128,
                kernel_workers: 4,
            },
            single: single.into_iter().flatten().collect(),
            cold: Sustained::new(rates(rate), hold_s),
            warm: Sustained::new(rates(rate * 3.0), hold_s),
            limiter: vec![steady(rate * 2.0, rate / 2.0), steady(rate * 2.0, rate)],
            as_shipped: Some(AsShipped {
                hold_s: 30,
                scale: 10.0,
                step_s: 1.0,
                steady: steady(rate, rate),
            }),
        }
    }

    /// A comparison for reports.
    pub(in crate::compare) fn comparison() -> Comparison {
        Comparison {
            head: String::from("machine     2 cores\n"),
            definitions: crate::compare::text::DEFINITIONS.to_owned(),
            seconds_per_measurement: 10,
            disks: vec![figures("hdd", 200.0, 300), figures("ssd", 5000.0, 60)],
        }
    }

    #[test]
    fn a_disk_carries_what_its_updates_and_the_hold_time_allow() {
        let sustained = Sustained::new(vec![steady(200.0, 200.0)], 300);
        let metrics: Vec<f64> = sustained
            .carries
            .iter()
            .map(|carries| carries.metrics_at_most)
            .collect();
        assert_eq!(metrics.len(), 3);
        assert!(
            metrics
                .iter()
                .all(|metrics| (metrics - 60_000.0).abs() < 1.0)
        );
        let points = sustained.carries.iter().map(|it| it.points_per_update);
        assert_eq!(points.collect::<Vec<_>>(), [30, 5, 1]);
        assert!((sustained.advised().unwrap() - 160.0).abs() < 1e-9);
        let fast = Sustained::new(vec![steady(5000.0, 5000.0)], 60);
        assert!((fast.carries[2].metrics_advised - 1_200_000.0).abs() < 1.0);
        assert_eq!(fast.carries[0].points_per_update, 6);
    }

    #[test]
    fn a_rate_that_falls_behind_a_little_counts_for_less() {
        let mut rates = vec![steady(190.0, 190.0), steady(200.0, 200.0)];
        rates[1].behind_growth_s_per_s = 0.08;
        let found = Sustained::new(rates.clone(), 300).updates_per_s.unwrap();
        assert!((found - 190.0).abs() < 1e-9);
        rates[1].behind_growth_s_per_s = 0.02;
        let found = Sustained::new(rates, 300).updates_per_s.unwrap();
        assert!((found - 196.0).abs() < 1e-9);
    }

    #[test]
    fn rates_are_in_order_and_none_found_carries_nothing() {
        let rates = vec![steady(30.0, 10.0), steady(20.0, 10.0)];
        let sustained = Sustained::new(rates, 300);
        assert!(sustained.rates[0].offered_points_per_s < sustained.rates[1].offered_points_per_s);
        assert!(sustained.advised().is_none());
        assert!(sustained.carries.iter().all(|it| it.metrics_at_most < 1e-9));
    }

    #[test]
    fn json_names_its_units() {
        let json = serde_json::to_value(comparison()).unwrap();
        let again: Comparison = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(again).unwrap(), json);
        let hdd = &json["disks"][0];
        assert_eq!(hdd["place"]["class"], "hdd");
        assert_eq!(hdd["cold"]["updates_per_s"], 200.0);
        assert_eq!(hdd["cold"]["carries"][0]["step_s"], 10);
        for name in ["offered_points_per_s", "cpu_us_per_point", "sync_lag_s"] {
            assert!(hdd["cold"]["rates"][0][name].is_number(), "{name}");
        }
        assert_eq!(hdd["single"][2]["case"]["cache"], "forgotten");
        assert!(hdd["limiter"][1]["reader_wait_ms"]["p99"].is_number());
        let stroke = HeadPerUpdate::new(
            &disk::Counters {
                seeks: 30,
                head_travel_stroke_ppb: 2_000_000_000,
                ..disk::Counters::default()
            },
            10.0,
        );
        assert!((stroke.unwrap().strokes - 0.2).abs() < 1e-9);
        assert!(HeadPerUpdate::new(&disk::Counters::default(), 10.0).is_none());
    }
}
