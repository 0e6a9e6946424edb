//! The figures of one path in one case: medians over its repeats, with the smallest and the
//! largest; latencies of all repeats together. Everything a report shows is computed here, once.

use std::time::Duration;

use anyhow::Result;
use benzene_rivals::Latencies;
use serde::{Deserialize, Serialize};

use crate::device::Counters;
use crate::report::real;

/// What is done to the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    Update,
    Create,
}

/// What the page cache holds at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cache {
    /// Everything.
    Warm,
    /// Inodes and names, and nothing of the files' contents: a daemon that has run for a while, with
    /// more files than memory.
    Forgotten,
    /// Nothing.
    Cold,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) work: Work,
    pub(crate) cache: Cache,
    pub(crate) points: u32,
    pub(crate) files: u32,
}

impl Case {
    /// As a heading.
    pub(crate) fn title(&self) -> String {
        let Self { points, files, .. } = self;
        let work = match self.work {
            Work::Update => "updates",
            Work::Create => "creates, each with an update",
        };
        let cache = match self.cache {
            Cache::Warm => "warm",
            Cache::Forgotten => "contents not in the",
            Cache::Cold => "cold",
        };
        let plural = if *points == 1 { "" } else { "s" };
        format!("{files} {work} of {points} point{plural}, {cache} page cache")
    }
}

/// One round of one path.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// From the end of the round until everything was on the disk.
    pub(crate) flush: Duration,
    pub(crate) workers: u32,
    /// What reached the device from the start of the round to the end of the flush.
    pub(crate) device: Option<Counters>,
    pub(crate) latencies: Latencies,
}

/// Median (between the middle two of an even number), smallest and largest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let upper = *values.get(values.len() / 2)?;
        let lower = *values.get((values.len() - 1) / 2)?;
        Some(Self {
            median: f64::midpoint(lower, upper),
            min: *values.first()?,
            max: *values.last()?,
        })
    }
}

/// Latency of a file, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LatencyUs {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// What reached the device for each point; medians.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DevicePerPoint {
    pub(crate) written_bytes: f64,
    pub(crate) read_bytes: f64,
    pub(crate) writes: f64,
    pub(crate) reads: f64,
}

/// The figures of one path in one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) repeats: usize,
    pub(crate) per_second: Spread,
    pub(crate) per_cpu_second: Spread,
    pub(crate) cpu_us: Spread,
    pub(crate) latency_us: LatencyUs,
    pub(crate) kernel_workers_max: u32,
    /// None: the file system has no block device of its own.
    pub(crate) device_per_point: Option<DevicePerPoint>,
    pub(crate) flush_s: Spread,
    /// Files a second when the flush is counted in.
    pub(crate) per_second_flushed: Spread,
}

impl Figures {
    /// None where there is no sample.
    pub(crate) fn of(case: &Case, samples: &[Sample]) -> Result<Option<Self>> {
        let files = f64::from(case.files);
        let spread = |figure: &dyn Fn(&Sample) -> f64| Spread::of(samples.iter().map(figure));
        let (Some(per_second), Some(per_cpu_second), Some(cpu_us), Some(flush_s), Some(flushed)) = (
            spread(&|sample| files / seconds(sample.wall)),
            spread(&|sample| files / seconds(sample.cpu)),
            spread(&|sample| seconds(sample.cpu) * 1e6 / files),
            spread(&|sample| seconds(sample.flush)),
            spread(&|sample| files / seconds(sample.wall + sample.flush)),
        ) else {
            return Ok(None);
        };
        let mut latencies = Latencies::new()?;
        for sample in samples {
            latencies.add(&sample.latencies)?;
        }
        let us = |percent: f64| latencies.percentile(percent).as_secs_f64() * 1e6;
        Ok(Some(Self {
            repeats: samples.len(),
            per_second,
            per_cpu_second,
            cpu_us,
            latency_us: LatencyUs {
                p50: us(50.0),
                p90: us(90.0),
                p99: us(99.0),
                p999: us(99.9),
                max: us(100.0),
            },
            kernel_workers_max: samples
                .iter()
                .map(|sample| sample.workers)
                .max()
                .unwrap_or(0),
            device_per_point: device_per_point(case, samples),
            flush_s,
            per_second_flushed: flushed,
        }))
    }
}

fn device_per_point(case: &Case, samples: &[Sample]) -> Option<DevicePerPoint> {
    let points = f64::from(case.files) * f64::from(case.points);
    let all: Option<Vec<Counters>> = samples.iter().map(|sample| sample.device).collect();
    let all = all?;
    let median = |figure: &dyn Fn(&Counters) -> u64| {
        let each = all.iter().map(|counters| real(figure(counters)) / points);
        Spread::of(each).map(|spread| spread.median)
    };
    Some(DevicePerPoint {
        written_bytes: median(&|counters| counters.written_bytes)?,
        read_bytes: median(&|counters| counters.read_bytes)?,
        writes: median(&|counters| counters.writes)?,
        reads: median(&|counters| counters.reads)?,
    })
}

/// Never zero, so that it may divide.
fn seconds(time: Duration) -> f64 {
    time.max(Duration::from_nanos(1)).as_secs_f64()
}

/// One path in one case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    #[serde(flatten)]
    pub(crate) case: Case,
    /// What the path is called in reports.
    pub(crate) path: String,
    pub(crate) figures: Option<Figures>,
    /// Why there are none.
    pub(crate) failure: Option<String>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn sample(wall_ms: u64, written: u64) -> Sample {
        let mut latencies = Latencies::new().unwrap();
        for micros in 1..=1000 {
            latencies.record(Duration::from_micros(micros));
        }
        Sample {
            wall: Duration::from_millis(wall_ms),
            cpu: Duration::from_millis(500),
            flush: Duration::from_secs(1),
            workers: 4,
            device: Some(Counters {
                reads: 10,
                writes: 2000,
                read_bytes: 0,
                written_bytes: written,
            }),
            latencies,
        }
    }

    /// A row for reports.
    pub(crate) fn row(path: &str, points: u32) -> Row {
        let case = Case {
            work: Work::Update,
            cache: Cache::Warm,
            points,
            files: 1000,
        };
        let samples = [sample(500, 1 << 20), sample(700, 1 << 21)];
        Row {
            case,
            path: path.to_owned(),
            figures: Figures::of(&case, &samples).unwrap(),
            failure: None,
        }
    }

    /// A row of a path that did not start.
    pub(crate) fn unmeasured(path: &str, points: u32) -> Row {
        Row {
            figures: None,
            failure: Some(String::from("no memory")),
            ..row(path, points)
        }
    }

    #[test]
    fn figures_are_per_file_second_and_point() {
        let case = Case {
            work: Work::Update,
            cache: Cache::Warm,
            points: 2,
            files: 1000,
        };
        let samples = [
            sample(500, 1 << 33),
            sample(1000, 1 << 33),
            sample(2000, 1 << 33),
        ];
        let figures = Figures::of(&case, &samples).unwrap().unwrap();
        let near = |found: f64, expected: f64| {
            assert!(
                (found - expected).abs() <= expected * 0.002,
                "{found}, not {expected}"
            );
        };
        near(figures.per_second.median, 1000.0);
        near(figures.per_second.min, 500.0);
        near(figures.per_second.max, 2000.0);
        near(figures.per_cpu_second.median, 2000.0);
        near(figures.cpu_us.median, 500.0);
        near(figures.per_second_flushed.median, 500.0);
        near(figures.latency_us.p50, 500.0);
        near(figures.latency_us.p999, 999.0);
        near(figures.latency_us.max, 1000.0);
        let device = figures.device_per_point.unwrap();
        near(device.written_bytes, 8_589_934_592.0 / 2000.0);
        near(device.writes, 1.0);
        near(device.reads, 0.005);
        assert_eq!(figures.repeats, 3);
        let two = Figures::of(&case, &samples[1..]).unwrap().unwrap();
        near(two.per_second.median, 750.0);
        assert_eq!(Figures::of(&case, &[]).unwrap(), None);
    }

    #[test]
    fn a_device_without_counters_has_no_figures() {
        let case = Case {
            work: Work::Create,
            cache: Cache::Cold,
            points: 1,
            files: 10,
        };
        let mut samples = [sample(1, 1), sample(1, 1)];
        samples[1].device = None;
        let figures = Figures::of(&case, &samples).unwrap().unwrap();
        assert_eq!(figures.device_per_point, None);
        assert!(case.title().contains("10 creates"), "{}", case.title());
    }
}
