//! The ways in which a soak ends its daemon, in turn, and what each must leave to the next: a drain
//! leaves nothing, the default stop leaves in the journal what is cached, and a kill whatever it leaves.
//! The journal has every point as it was received, also one that a later one of its second has replaced
//! in the cache: so what comes back may be more than what was cached, by so many at most.

use std::fmt;
use std::ops::RangeInclusive;

use crate::accounts::Accounts;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `benzene stop --drain`
    Drain,
    /// SIGTERM as the daemon takes it by itself.
    Journal,
    /// SIGKILL
    Kill,
}

/// In their order.
const TURNS: [Way; 3] = [Way::Drain, Way::Journal, Way::Kill];

impl Way {
    /// That of a restart, from 0 on.
    pub(crate) fn in_turn(restart: usize) -> Self {
        TURNS[restart % TURNS.len()]
    }

    /// How many points must come back to the daemon that is started next. `at_end` is what the daemon
    /// stood at when it had ended; a killed one says nothing.
    pub(crate) fn owed(self, at_end: &Accounts) -> RangeInclusive<u64> {
        match self {
            Self::Drain => 0..=0,
            Self::Journal => at_end.cached..=at_end.cached + at_end.superseded,
            Self::Kill => 0..=u64::MAX,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drain => "drain",
            Self::Journal => "stop",
            Self::Kill => "kill",
        })
    }
}

/// How often each way was taken: "2 drain, 1 stop, 1 kill".
pub(crate) fn counts(ways: &[Way]) -> String {
    let count = |way: &Way| ways.iter().filter(|taken| *taken == way).count();
    let counts: Vec<String> = TURNS
        .iter()
        .map(|way| format!("{} {way}", count(way)))
        .collect();
    counts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_take_turns_and_are_counted() {
        let ways: Vec<Way> = (0..4).map(Way::in_turn).collect();
        assert_eq!(ways, [Way::Drain, Way::Journal, Way::Kill, Way::Drain]);
        assert_eq!(counts(&ways), "2 drain, 1 stop, 1 kill");
        assert_eq!(counts(&[]), "0 drain, 0 stop, 0 kill");
    }

    #[test]
    fn what_is_owed_lies_between_what_was_cached_and_what_was_noted() {
        let at_end = Accounts {
            cached: 10,
            superseded: 3,
            ..Accounts::default()
        };
        assert_eq!(Way::Drain.owed(&at_end), 0..=0);
        assert_eq!(Way::Journal.owed(&at_end), 10..=13);
        assert!(Way::Kill.owed(&at_end).contains(&0));
    }
}
