//! The daemon's accounts, by its own metrics while it runs and by the last line of its log when it
//! has stopped: received + own + replayed = committed + cached + superseded + dropped. Exactly, always.
//! A running daemon's numbers are those of one of its reports: all of the same second.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use benzene_engine::stats::Counter;

use crate::asker::Asker;
use crate::own_metrics;

/// What the identity is made of, and what is refused before it comes into the accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accounts {
    pub(crate) received: u64,
    pub(crate) own: u64,
    /// Came back from the journal of the daemon before.
    pub(crate) replayed: u64,
    pub(crate) committed: u64,
    pub(crate) cached: u64,
    pub(crate) superseded: u64,
    pub(crate) dropped: u64,
}

impl Accounts {
    pub(crate) fn balance(&self) -> bool {
        let went = [self.committed, self.cached, self.superseded, self.dropped];
        self.received + self.own + self.replayed == went.iter().sum::<u64>()
    }

    /// What two daemons, one after the other, have counted together. What the first had in its
    /// cache at its end is the second's only as far as it came back, and then it counts as replayed.
    pub(crate) fn and(&self, later: &Self) -> Self {
        Self {
            received: self.received + later.received,
            own: self.own + later.own,
            replayed: self.replayed + later.replayed,
            committed: self.committed + later.committed,
            cached: self.cached + later.cached,
            superseded: self.superseded + later.superseded,
            dropped: self.dropped + later.dropped,
        }
    }
}

impl fmt::Display for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            received,
            own,
            replayed,
            committed,
            cached,
            superseded,
            dropped,
        } = self;
        write!(
            f,
            "{received} received + {own} own + {replayed} replayed = {committed} committed + {cached} cached + \
             {superseded} superseded + {dropped} dropped"
        )
    }
}

/// One of the daemon's reports.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    pub(crate) accounts: Accounts,
    /// Drops and refusals that have happened, by reason.
    pub(crate) reasons: Vec<(&'static str, u64)>,
}

/// Reads the newest whole report of later than this second. None: there is none in the cache yet.
pub(crate) fn read(asker: &mut Asker, after: u32) -> Result<Option<Totals>> {
    let mut labels = vec!["cached"];
    labels.extend(Counter::ALL.iter().map(|counter| counter.label()));
    let newest = own_metrics::newest(asker, &labels, after)?;
    Ok(newest.map(|(_, report)| Totals::from_report(&report)))
}

impl Totals {
    fn from_report(report: &BTreeMap<&'static str, u64>) -> Self {
        let of = |label| report.get(label).copied().unwrap_or(0);
        let reasons: Vec<(&'static str, u64)> = report
            .iter()
            .filter(|(label, count)| {
                **count > 0 && (label.starts_with("dropped.") || label.starts_with("refused."))
            })
            .map(|(label, count)| (*label, *count))
            .collect();
        let drops = reasons
            .iter()
            .filter(|(label, _)| label.starts_with("dropped."));
        Self {
            accounts: Accounts {
                received: of("received"),
                own: of("own"),
                replayed: of("replayed"),
                committed: of("committed"),
                cached: of("cached"),
                superseded: of("superseded"),
                dropped: drops.map(|(_, count)| count).sum(),
            },
            reasons,
        }
    }
}

/// The accounts in the last words of a daemon that has stopped.
pub(crate) fn at_stop(log: &str) -> Option<Accounts> {
    let (_, words) = log.rsplit_once("stopped: ")?;
    let line = words.lines().next()?;
    let mut numbers = line.split(' ').filter_map(|word| word.parse().ok());
    let mut next = || numbers.next();
    Some(Accounts {
        received: next()?,
        own: next()?,
        replayed: next()?,
        committed: next()?,
        cached: next()?,
        superseded: next()?,
        dropped: next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_read_and_must_balance() {
        let log = "x\n12:00 INFO stopped: 10 received + 4 own + 1 replayed = 9 committed + 1 cached + \
                   2 superseded + 3 dropped\n12:00 ERROR stopped with 4 points\n";
        let log = log.replace("ERROR stopped with", "ERROR ended with");
        let accounts = at_stop(&log).unwrap();
        assert_eq!((accounts.received, accounts.dropped), (10, 3));
        assert!(accounts.balance());
        assert!(accounts.and(&accounts).balance());
        let lost = Accounts {
            received: 11,
            ..accounts
        };
        assert!(!lost.balance());
        assert!(log.contains(&accounts.to_string()));
        assert_eq!(at_stop("killed"), None);
        assert_eq!(at_stop("stopped: 1 received + 2 own"), None);
    }
}
