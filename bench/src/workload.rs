//! What is sent: metric names, timestamps and values, each a pure function of the parameters.
//! Metric `index` (from 0) has one point a round; round `r` has timestamp `start + r * step`.
//! Values are whole numbers below a million, so that they pass through any text or float form
//! unchanged. Names are plain ASCII in directories of a hundred files, as hosts with a hundred
//! metrics each would make them.
//! Nothing here reads a clock: two runs with the same parameters are the same points.

use anyhow::{Context, Result, bail, ensure};

/// Metrics below one directory.
const METRICS_PER_HOST: u32 = 100;
/// Values are below this.
const VALUE_BOUND: u64 = 1_000_000;
/// Longest prefix; what follows it is some thirty bytes.
const PREFIX_BYTES_MAX: usize = 200;

/// The parameters that `load` and `check` share.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Shape {
    /// How many metrics
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) metrics: u32,
    /// How many points each metric gets
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Seconds from one round's timestamp to the next
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) step: u32,
    /// What every metric name begins with
    #[arg(long, default_value = "bench.load")]
    pub(crate) prefix: String,
    /// Decides every value, and the order where it is random
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Points to send or to look for.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    shape: Shape,
    start: u32,
}

impl Workload {
    /// The points of `shape` from Unix second `start` on. Refused where a timestamp would pass
    /// what Whisper stores or the prefix is no plain metric name.
    pub(crate) fn new(shape: Shape, start: u32) -> Result<Self> {
        check_prefix(&shape.prefix)?;
        (shape.rounds - 1)
            .checked_mul(shape.step)
            .and_then(|span| span.checked_add(start))
            .with_context(|| {
                let (rounds, step) = (shape.rounds, shape.step);
                format!("{rounds} rounds of {step} s from {start} pass the largest timestamp")
            })?;
        Ok(Self { shape, start })
    }

    pub(crate) fn metrics(&self) -> u32 {
        self.shape.metrics
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.shape.rounds
    }

    pub(crate) fn seed(&self) -> u64 {
        self.shape.seed
    }

    /// How many points there are in all.
    pub(crate) fn points(&self) -> u64 {
        u64::from(self.shape.metrics) * u64::from(self.shape.rounds)
    }

    /// Unix second of a round.
    pub(crate) fn timestamp(&self, round: u32) -> u32 {
        assert!(
            round < self.shape.rounds,
            "round {round} of {}",
            self.shape.rounds
        );
        self.start + round * self.shape.step
    }

    /// Round that has this timestamp, if any.
    pub(crate) fn round_at(&self, timestamp: u32) -> Option<u32> {
        let since = timestamp.checked_sub(self.start)?;
        let round = since / self.shape.step;
        (since % self.shape.step == 0 && round < self.shape.rounds).then_some(round)
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(crate) fn start(&self) -> u32 {
        self.start
    }

    /// Value of a metric in a round, below a million.
    pub(crate) fn value(&self, index: u32, round: u32) -> u32 {
        let place = u64::from(index) << 32 | u64::from(round);
        let drawn = mix(mix(self.shape.seed) ^ place) % VALUE_BOUND;
        u32::try_from(drawn).unwrap_or_else(|_| unreachable!("{drawn} is below {VALUE_BOUND}"))
    }

    /// Name of a metric.
    pub(crate) fn name(&self, index: u32) -> String {
        assert!(
            index < self.shape.metrics,
            "metric {index} of {}",
            self.shape.metrics
        );
        let (host, metric) = (index / METRICS_PER_HOST, index % METRICS_PER_HOST);
        format!(
            "{}.host-{host:06}.app.metric-{metric:02}",
            self.shape.prefix
        )
    }

    /// The options that make `check` look for these points.
    pub(crate) fn options(&self) -> String {
        let Shape {
            metrics,
            rounds,
            step,
            prefix,
            seed,
        } = &self.shape;
        let start = self.start;
        format!(
            "--metrics {metrics} --rounds {rounds} --step {step} --start {start} \
             --prefix {prefix} --seed {seed}"
        )
    }
}

/// A number that looks drawn by lot and follows from `input` alone (the finisher of SplitMix64).
pub(crate) fn mix(input: u64) -> u64 {
    let mut word = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A prefix must be a plain metric name, so that a name's path is its dots made slashes.
fn check_prefix(prefix: &str) -> Result<()> {
    ensure!(
        prefix.len() <= PREFIX_BYTES_MAX,
        "the prefix has {} bytes, at most {PREFIX_BYTES_MAX} are taken",
        prefix.len()
    );
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if prefix
        .split('.')
        .any(|node| node.is_empty() || !node.bytes().all(plain))
    {
        bail!("the prefix {prefix:?} is no plain name: letters, digits, '-', '_' between dots");
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn shape(metrics: u32, rounds: u32, step: u32) -> Shape {
        Shape {
            metrics,
            rounds,
            step,
            prefix: String::from("bench.load"),
            seed: 7,
        }
    }

    #[test]
    fn points_follow_from_the_parameters() {
        let workload = Workload::new(shape(250, 3, 10), 1000).unwrap();
        assert_eq!(workload.points(), 750);
        assert_eq!(workload.timestamp(2), 1020);
        let rounds = [990, 1000, 1005, 1020, 1030].map(|timestamp| workload.round_at(timestamp));
        assert_eq!(rounds, [None, Some(0), None, Some(2), None]);
        assert_eq!(workload.name(249), "bench.load.host-000002.app.metric-49");
        let again = Workload::new(shape(250, 3, 10), 5000).unwrap();
        assert_eq!(workload.value(249, 2), again.value(249, 2));
    }

    #[test]
    fn values_differ_between_metrics_rounds_and_seeds() {
        let workload = Workload::new(shape(100, 100, 1), 0).unwrap();
        let other = Shape {
            seed: 8,
            ..shape(100, 100, 1)
        };
        let other = Workload::new(other, 0).unwrap();
        let mut same = 0;
        let mut drawn = Vec::new();
        for (index, round) in (0..100).flat_map(|index| (0..100).map(move |round| (index, round))) {
            same += u32::from(workload.value(index, round) == other.value(index, round));
            drawn.push(workload.value(index, round));
        }
        assert!(drawn.iter().all(|value| u64::from(*value) < VALUE_BOUND));
        drawn.sort_unstable();
        drawn.dedup();
        assert!(same < 5, "{same} values of two seeds are the same");
        assert!(drawn.len() > 9_900, "{} different values", drawn.len());
    }

    #[test]
    fn a_timestamp_past_the_largest_is_refused() {
        assert!(Workload::new(shape(1, 2, 1), u32::MAX - 1).is_ok());
        assert!(Workload::new(shape(1, 2, 2), u32::MAX - 1).is_err());
        assert!(Workload::new(shape(1, u32::MAX, 2), 0).is_err());
    }

    #[test]
    fn a_prefix_that_is_no_plain_name_is_refused() {
        for prefix in ["", ".", "a.", ".a", "a..b", "a b", "a/b", "a;t=v"] {
            assert!(check_prefix(prefix).is_err(), "{prefix:?}");
        }
        for prefix in ["a", "a.b", "bench.load-2_x"] {
            assert!(check_prefix(prefix).is_ok(), "{prefix:?}");
        }
    }
}
