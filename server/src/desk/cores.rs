//! What is told of each core by itself, and of how long things took: names and numbers of
//! `benzene.shards.N.*` and `benzene.latency.*`.
//! Pure: reports and histograms in, named points out.

use benzene_engine::latency::{Latencies, Latency};
use benzene_engine::shard::Report;
use benzene_engine::stats::Counter;

use super::selfmetrics::float;

/// What is kept of one core's report.
#[derive(Clone, Debug)]
pub(super) struct CoreTotals {
    shard: u16,
    values: [(&'static str, u64); 6],
}

impl CoreTotals {
    pub(super) fn new(report: &Report, senders: u64) -> CoreTotals {
        let (stats, usage) = (&report.stats, &report.usage);
        CoreTotals {
            shard: report.index.0,
            values: [
                ("cached", usage.points),
                ("cacheBytes", usage.bytes),
                ("oldestUnwrittenSeconds", usage.oldest_age_s),
                ("connections", senders),
                ("received", stats.get(Counter::Received)),
                ("updates", stats.get(Counter::Updates)),
            ],
        }
    }
}

/// Each core's part.
pub(super) fn by_shard(cores: &[CoreTotals]) -> impl Iterator<Item = (String, f64)> {
    cores.iter().flat_map(|core| {
        let values = core.values.iter();
        values.map(|(name, value)| {
            let shard = core.shard;
            (format!("benzene.shards.{shard}.{name}"), float(*value))
        })
    })
}

/// How long things took; nothing of what did not happen.
pub(super) fn latencies(latencies: &Latencies) -> impl Iterator<Item = (String, f64)> {
    Latency::ALL.into_iter().flat_map(|what| {
        let found = latencies.percentiles(what);
        let values = found.map(|found| {
            [
                ("p50", found.p50_ms),
                ("p95", found.p95_ms),
                ("p99", found.p99_ms),
                ("max", found.max_ms),
            ]
        });
        let label = what.label();
        let values = values.into_iter().flatten();
        values.map(move |(name, value)| (format!("benzene.latency.{label}.{name}"), value))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_happened_is_told() {
        let mut noted = Latencies::default();
        noted.record(Latency::Query, Duration::from_millis(3));
        let told: Vec<String> = latencies(&noted).map(|(name, _)| name).collect();
        let want = ["p50", "p95", "p99", "max"];
        assert_eq!(
            told,
            want.map(|name| format!("benzene.latency.queryMs.{name}"))
        );
    }
}
