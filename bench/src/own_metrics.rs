//! What a running Benzene says about itself, asked of its cache: points of its own metrics, one a
//! CARBON_METRIC_INTERVAL, all of a report with the same timestamp.
//! Only what is not in a file yet, or was written seconds ago, is there: where no file may be made for
//! them (MAX_CREATES_PER_MINUTE), that is everything since its start.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use benzene_engine::ring::host::hostname;

use crate::asker::{Asker, Datapoint};

/// The points of `benzene.LABEL` (docs/operating/metrics.md) that the cache has.
pub(crate) fn points(asker: &mut Asker, label: &str) -> Result<Vec<Datapoint>> {
    let host = hostname().replace('.', "_");
    asker.points(&format!("carbon.agents.{host}-a.benzene.{label}"))
}

/// The newest report of later than this second that has all these counts, and its second.
/// Reports of earlier daemons may have come back from the journal: `after` is when this one was started, or
/// later.
pub(crate) fn newest(
    asker: &mut Asker,
    labels: &[&'static str],
    after: u32,
) -> Result<Option<(u32, BTreeMap<&'static str, u64>)>> {
    let mut reports: BTreeMap<u32, BTreeMap<&str, u64>> = BTreeMap::new();
    for label in labels {
        for point in points(asker, label)? {
            let second = whole_u32(point.timestamp)?;
            if second > after {
                let report = reports.entry(second).or_default();
                report.insert(label, whole(point.value)?);
            }
        }
    }
    Ok(reports
        .into_iter()
        .rfind(|(_, report)| report.len() == labels.len()))
}

/// A timestamp that is a whole second.
pub(crate) fn whole_u32(number: f64) -> Result<u32> {
    Ok(u32::try_from(whole(number)?)?)
}

/// A count that came as a float.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be whole, not negative and exact"
)]
pub(crate) fn whole(number: f64) -> Result<u64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    ensure!(
        (0.0..=EXACT_MAX).contains(&number) && number.fract().abs() < f64::MIN_POSITIVE,
        "{number} is no count"
    );
    Ok(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_are_counts() {
        assert_eq!(whole(12.0).unwrap(), 12);
        for wrong in [-1.0, 0.5, f64::NAN, f64::INFINITY, 1e300] {
            assert!(whole(wrong).is_err(), "{wrong}");
        }
    }
}
