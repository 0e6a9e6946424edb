//! What a daemon and a reader stand at every few seconds, and what came of all of it.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use benzene_engine::ring::host;

use crate::asker::Asker;

/// A line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// Since the begin.
    pub(crate) at: Duration,
    /// Updates a second that are allowed; None: no limit, or not said yet.
    pub(crate) rate: Option<f64>,
    /// Updates a second that were done.
    pub(crate) did: f64,
    /// Points in the cache.
    pub(crate) cached: f64,
    /// What each read of the reader waited.
    pub(crate) waits: Vec<Duration>,
    /// Why the rate is what it is, as in docs/operating/metrics.md.
    pub(super) reason: f64,
    /// What the daemon reckons that one read in a hundred waits, in milliseconds.
    pub(super) reckoned_ms: f64,
    /// Updates so far, and in which second that was said.
    pub(super) updates: (f64, f64),
}

impl Row {
    /// What is so now; what the daemon says nothing of is as before.
    pub(crate) fn look(
        at: Duration,
        asker: &mut Asker,
        mut waits: Vec<Duration>,
        before: Option<&Row>,
    ) -> Result<Row> {
        let prefix = format!("carbon.agents.{}-a.", host::hostname().replace('.', "_"));
        let mut ask = |name: &str| -> Result<Option<(f64, f64)>> {
            let points = asker.points(&format!("{prefix}{name}"))?;
            Ok(points.last().map(|point| (point.value, point.timestamp)))
        };
        let nothing = Row::default();
        let before = before.unwrap_or(&nothing);
        let mut value = |name: &str, before: f64| -> Result<f64> {
            Ok(ask(name)?.map_or(before, |(value, _)| value))
        };
        let cached = value("cache.size", before.cached)?;
        let reason = value("benzene.writer.rateReason", before.reason)?;
        let reckoned_ms = value("benzene.device.readWaitMs", before.reckoned_ms)?;
        let rate = ask("benzene.writer.updatesPerSecondMax")?.map(|(rate, _)| rate);
        let updates = ask("benzene.updates")?.unwrap_or(before.updates);
        let passed_s = updates.1 - before.updates.1;
        let is_first = before.updates.1 < 1.0;
        let did = if passed_s < 1.0 || is_first {
            before.did
        } else {
            (updates.0 - before.updates.0) / passed_s
        };
        waits.sort_unstable();
        Ok(Row {
            at,
            rate: rate.or(before.rate),
            did,
            cached,
            waits,
            reason,
            reckoned_ms,
            updates,
        })
    }

    /// What stands above the lines.
    pub(crate) fn head() -> String {
        "    s      rate  reason   updates/s     cached  reckoned ms    reads   p50 ms   p99 ms   max ms"
            .to_owned()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>5.0} {:>9.1} {:>7.0} {:>11.1} {:>10.0} {:>12.1} {:>8} {:>8.1} {:>8.1} {:>8.1}",
            self.at.as_secs_f64(),
            self.rate.unwrap_or(0.0),
            self.reason,
            self.did,
            self.cached,
            self.reckoned_ms,
            self.waits.len(),
            percentile_ms(&self.waits, 50),
            percentile_ms(&self.waits, 99),
            percentile_ms(&self.waits, 100)
        )
    }
}

/// All lines.
#[derive(Debug, Default)]
pub(crate) struct Rows(Vec<Row>);

impl Rows {
    pub(crate) fn push(&mut self, row: Row) {
        self.0.push(row);
    }

    pub(crate) fn last(&self) -> Option<&Row> {
        self.0.last()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.0.iter()
    }

    /// What was so from a time on.
    pub(crate) fn summary(&self, from: Duration) -> String {
        let rows = || self.0.iter().filter(|row| row.at > from);
        let mut waits: Vec<Duration> = rows().flat_map(|row| row.waits.clone()).collect();
        waits.sort_unstable();
        let rates = || rows().filter_map(|row| row.rate);
        let least = rates().fold(f64::INFINITY, f64::min);
        let most = rates().fold(0.0, f64::max);
        format!(
            "after {} s: {least:.0} to {most:.0} updates a second allowed; {} reads waited p50 {:.1} ms, \
             p99 {:.1} ms, at most {:.1} ms",
            from.as_secs(),
            waits.len(),
            percentile_ms(&waits, 50),
            percentile_ms(&waits, 99),
            percentile_ms(&waits, 100)
        )
    }
}

/// Of sorted waits, in milliseconds; 0 of none.
pub(crate) fn percentile_ms(waits: &[Duration], percent: usize) -> f64 {
    let last = waits.len().saturating_sub(1);
    let at = (waits.len() * percent / 100).min(last);
    waits.get(at).map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seconds: u64, rate: f64, waits: &[u64]) -> Row {
        Row {
            at: Duration::from_secs(seconds),
            rate: Some(rate),
            waits: waits.iter().map(|ms| Duration::from_millis(*ms)).collect(),
            ..Row::default()
        }
    }

    #[test]
    fn the_summary_is_of_what_came_after() {
        let mut rows = Rows::default();
        rows.push(row(30, 500.0, &[900]));
        rows.push(row(61, 40.0, &[10, 20]));
        rows.push(row(66, 50.0, &[5]));
        let said = rows.summary(Duration::from_secs(60));
        assert!(said.contains("40 to 50 updates"), "{said}");
        assert!(
            said.contains("3 reads waited p50 10.0 ms, p99 20.0 ms"),
            "{said}"
        );
        assert!(percentile_ms(&[], 50).abs() < 1e-9);
    }
}
