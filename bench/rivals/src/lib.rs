//! Ways to write Whisper files that Benzene does not take, to be measured beside the one it does.
//! Every path carries out the same `Round`: a number of points for each of many files, planned by
//! the engine's own `whisper::plan`, so that all of them leave the same bytes behind and only the
//! way from the plan to the disk differs. None of them retries, parks or bounds anything: they are
//! yardsticks, and a fault ends the measurement.
//! What is measured is a round's `carry_out`: time, processor time, and each file's latency.

mod kept;
mod plain;
mod round;
mod with_glommio;
mod with_tokio_uring;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

pub use plain::{KeptDescriptors, SystemCalls};
pub use round::{Round, Series, Target};
pub use with_glommio::Glommio;
pub use with_tokio_uring::TokioUring;

/// Longest latency that is told apart from longer ones: a file that took longer is counted here.
const LATENCY_NS_MAX: u64 = 120_000_000_000;

/// A way from points to files. One value serves one list of files: what it keeps of a file is found
/// by the file's place in the list.
pub trait WritePath {
    /// Takes a round in, as far as that is no work on files; not measured.
    fn prepare(&mut self, _round: &Arc<Round>) -> Result<()> {
        Ok(())
    }

    /// Writes every file of the round, each once. A file's latency lasts from the moment at which
    /// work on it begins until all its bytes are written.
    fn carry_out(&mut self, round: &Arc<Round>, latencies: &mut Latencies) -> Result<()>;

    /// Closes what is still open; not measured.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Latencies of files, in nanoseconds, within a tenth of a percent.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)?))
    }

    /// Adds that of one file.
    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanos.max(1));
    }

    /// Adds those of another measurement.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that `percent` of the files did not pass.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_percentile(percent))
    }
}

#[cfg(test)]
mod tests;
