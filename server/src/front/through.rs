//! What came through the ports of one instance, where a process answers for several: what of the
//! counters can be told apart. They are the shard's own, read before and after each piece of work on a
//! connection's bytes, so that nothing is counted twice and a point costs nothing more.

use benzene_engine::shard::Shard;
use benzene_engine::stats::Counter;

/// Counters that stand still while others' bytes are worked on.
const APART: [Counter; 7] = [
    Counter::Received,
    Counter::DroppedCacheFull,
    Counter::RefusedBlacklist,
    Counter::RefusedWhitelist,
    Counter::Queries,
    Counter::BulkQueries,
    Counter::BulkQueryMetrics,
];

/// What came through an instance's ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Through {
    /// Open connections of senders.
    pub(crate) senders: u64,
    counts: [u64; APART.len()],
}

impl Through {
    /// What a shard stands at. Points for other shards count where they were received: their owners
    /// count them a little later.
    pub(super) fn stand(shard: &Shard) -> Through {
        Through {
            senders: 0,
            counts: APART.map(|counter| {
                if counter == Counter::Received {
                    shard.accepted()
                } else {
                    shard.counted(counter)
                }
            }),
        }
    }

    /// Adds what was counted between two stands.
    pub(super) fn add_since(&mut self, before: &Through, after: &Through) {
        let stands = before.counts.iter().zip(after.counts);
        for (count, (before, after)) in self.counts.iter_mut().zip(stands) {
            *count += after - before;
        }
    }

    /// Adds what came through on another core.
    pub(crate) fn merge(&mut self, other: &Through) {
        self.senders += other.senders;
        self.add_since(&Through::default(), other);
    }

    /// What a counter stands at; none where it cannot be told apart.
    pub(crate) fn get(&self, counter: Counter) -> Option<u64> {
        let found = APART.iter().zip(self.counts);
        let mut found = found.filter(|(known, _)| **known == counter);
        found.next().map(|(_, count)| count)
    }
}
