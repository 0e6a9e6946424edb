//! The write order: which series is written next.
//! The names are those of CACHE_WRITE_STRATEGY in carbon.conf, and so are the choices.

/// A write order of Python carbon, by its carbon.conf name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Snapshot of all series, the latest to enter the cache first.
    Naive,
    /// Always the series with the most points; of equals the first to enter the cache.
    Max,
    /// Snapshot of all series, most points first; of equals the latest to enter the cache.
    Sorted,
    /// Snapshot of all series, the oldest unwritten timestamp first.
    TimeSorted,
    /// Always one of the series with the most points; of equals the first to have that many.
    BucketMax,
    /// Any series, all with the same chance.
    Random,
}

impl Strategy {
    /// Every strategy, in the order of declaration.
    pub const ALL: &[Strategy] = &[
        Strategy::Naive,
        Strategy::Max,
        Strategy::Sorted,
        Strategy::TimeSorted,
        Strategy::BucketMax,
        Strategy::Random,
    ];

    /// The strategy that carbon.conf calls `name` (lower case, as Python compares it).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|strategy| strategy.name() == name)
    }

    /// Its name in carbon.conf.
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::Naive => "naive",
            Strategy::Max => "max",
            Strategy::Sorted => "sorted",
            Strategy::TimeSorted => "timesorted",
            Strategy::BucketMax => "bucketmax",
            Strategy::Random => "random",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_strategy() {
        for strategy in Strategy::ALL {
            assert_eq!(Strategy::from_name(strategy.name()), Some(*strategy));
        }
        assert_eq!(Strategy::from_name("Sorted"), None);
        assert_eq!(Strategy::from_name(""), None);
    }
}
