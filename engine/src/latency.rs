//! How long things take on one core: histograms with constant labels, for percentiles.
//! Recording costs some ten nanoseconds and allocates nothing; the desk hands in an empty set for
//! each report and gets the full one, so that what is reported is of one interval.
//! Bounded: 13 KB for each label, values to two digits, from 1 us to an hour; what takes longer counts
//! as an hour.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::limits::LATENCY_MAX;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// An update: from the taking of its points to the answer that its file is written; where a new
    /// file has its first points from the start, the whole create.
    Update,
    /// A create: from its order to the answer that the file has its name.
    Create,
    /// A cache query: from its request, read whole, to its reply on the way out.
    Query,
    /// A sync of the journal's files.
    JournalSync,
}

impl Latency {
    /// Every one, in the order of declaration.
    pub const ALL: [Latency; 4] = [
        Latency::Update,
        Latency::Create,
        Latency::Query,
        Latency::JournalSync,
    ];

    /// Its constant label; times under it are milliseconds.
    pub const fn label(self) -> &'static str {
        match self {
            Latency::Update => "updateMs",
            Latency::Create => "createMs",
            Latency::Query => "queryMs",
            Latency::JournalSync => "journalSyncMs",
        }
    }
}

/// The times of one core, or of several.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// Microseconds, by `Latency`.
    each: [Histogram<u32>; Latency::ALL.len()],
}

impl Default for Latencies {
    fn default() -> Self {
        let empty = || {
            let max = u64::try_from(LATENCY_MAX.as_micros()).unwrap_or(u64::MAX);
            match Histogram::new_with_bounds(1, max, 2) {
                Ok(histogram) => histogram,
                Err(error) => unreachable!("bounds are constant: {error}"),
            }
        };
        Self {
            each: std::array::from_fn(|_| empty()),
        }
    }
}

/// What is told of one label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    /// Half took so long at most, in milliseconds.
    pub p50_ms: f64,
    /// 95 of 100.
    pub p95_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Latencies {
    /// Notes that something took so long.
    pub fn record(&mut self, what: Latency, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.each[what as usize].saturating_record(micros.max(1));
    }

    /// Adds all that another set has.
    pub fn merge(&mut self, other: &Latencies) {
        for (mine, theirs) in self.each.iter_mut().zip(&other.each) {
            if let Err(error) = mine.add(theirs) {
                unreachable!("both have the same bounds: {error}");
            }
        }
    }

    /// What is told of a label; none where nothing was noted.
    pub fn percentiles(&self, what: Latency) -> Option<Percentiles> {
        let histogram = &self.each[what as usize];
        let ms = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1e3;
        let at = |quantile| ms(histogram.value_at_quantile(quantile));
        (!histogram.is_empty()).then(|| Percentiles {
            p50_ms: at(0.5),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            max_ms: ms(histogram.max()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_that_was_merged() {
        let (mut one, mut two) = (Latencies::default(), Latencies::default());
        for micros in 1..=500 {
            one.record(Latency::Update, Duration::from_micros(micros));
            two.record(Latency::Update, Duration::from_micros(micros + 500));
        }
        one.merge(&two);
        let found = one.percentiles(Latency::Update).unwrap();
        let near = |found: f64, want: f64| (found - want).abs() <= want * 0.011;
        assert!(near(found.p50_ms, 0.5), "{found:?}");
        assert!(
            near(found.p95_ms, 0.95) && near(found.p99_ms, 0.99),
            "{found:?}"
        );
        assert!(near(found.max_ms, 1.0), "{found:?}");
        assert_eq!(one.percentiles(Latency::Query), None);
    }

    #[test]
    fn what_takes_no_time_or_for_ever_is_counted_too() {
        let mut latencies = Latencies::default();
        latencies.record(Latency::Create, Duration::ZERO);
        latencies.record(Latency::Create, Duration::from_secs(1 << 40));
        let found = latencies.percentiles(Latency::Create).unwrap();
        assert!(found.p50_ms < 0.002 && found.max_ms >= 3.5e6, "{found:?}");
    }
}
