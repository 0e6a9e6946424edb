//! How many connections are served at a time, of those who send and of those who ask: each kind has
//! places of its own, so that neither can take the other's, nor the descriptors of files.
//! Shared and read by all cores; nothing here is locked, and nothing waits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use benzene_engine::limits::ASKERS_PART;

use crate::front::Guest;

/// How many of each may be served at a time; without a number any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Most {
    pub(crate) senders: Option<usize>,
    pub(crate) askers: Option<usize>,
    /// MAX_RECEIVER_CONNECTIONS bounds the senders, and not the limit on open files.
    pub(crate) is_set: bool,
}

impl Most {
    /// As many connections as leave the daemon its own descriptors under the limit on open files, and half of
    /// the limit at least. Those who ask have an eighth of the limit, and what senders may not have.
    pub(crate) fn of(senders_max: Option<usize>, open_files: Option<u64>, own: u64) -> Most {
        let Some(limit) = open_files else {
            return Most {
                senders: senders_max,
                askers: None,
                is_set: true,
            };
        };
        let number = |descriptors: u64| usize::try_from(descriptors).unwrap_or(usize::MAX);
        let left = number(limit.saturating_sub(own).max(limit / 2));
        let by_files = left - number(limit / ASKERS_PART);
        let senders = senders_max.map_or(by_files, |max| max.min(by_files));
        Most {
            senders: Some(senders),
            askers: Some(left - senders),
            is_set: senders_max.is_some_and(|max| max <= by_files),
        }
    }
}

/// Who is served, by all cores together.
#[derive(Debug)]
pub(crate) struct Places {
    most: Most,
    senders: AtomicUsize,
    askers: AtomicUsize,
    /// A listener rests until some place is free.
    is_awaited: AtomicBool,
}

impl Places {
    pub(crate) fn new(most: Most) -> Places {
        Places {
            most,
            senders: AtomicUsize::new(0),
            askers: AtomicUsize::new(0),
            is_awaited: AtomicBool::new(false),
        }
    }

    fn taken(&self, guest: Guest) -> &AtomicUsize {
        match guest {
            Guest::Sender => &self.senders,
            Guest::Asker => &self.askers,
        }
    }

    /// How many may be served at a time.
    pub(crate) fn most(&self) -> Most {
        self.most
    }

    /// How many of a kind may be served at a time, where that is bounded.
    pub(crate) fn most_of(&self, guest: Guest) -> Option<usize> {
        match guest {
            Guest::Sender => self.most.senders,
            Guest::Asker => self.most.askers,
        }
    }

    /// Whether one more may be served. Only one core accepts, so that no two think so of the same place.
    pub(crate) fn has_one(&self, guest: Guest) -> bool {
        let taken = self.taken(guest).load(Ordering::Relaxed);
        self.most_of(guest).is_none_or(|most| taken < most)
    }

    /// A connection is served from now on, by whichever core.
    pub(crate) fn take(&self, guest: Guest) {
        self.taken(guest).fetch_add(1, Ordering::Relaxed);
    }

    /// The core that accepts is to hear of the next place that is free. It looks by itself, too: a place may
    /// have become free just before.
    pub(crate) fn wait(&self) {
        self.is_awaited.store(true, Ordering::Relaxed);
    }

    /// A connection is closed. Whether the core that accepts waits for that.
    pub(crate) fn give_back(&self, guest: Guest) -> bool {
        self.taken(guest).fetch_sub(1, Ordering::Relaxed);
        self.is_awaited.load(Ordering::Relaxed) && self.is_awaited.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_what_is_the_daemon_s_own() {
        for (senders_max, open_files, own, senders, askers) in [
            (None, Some(1024), 400, 496, 128),
            (None, Some(1024), 900, 384, 128),
            (None, Some(65_536), 400, 56_944, 8192),
            (Some(10_000), Some(1024), 400, 496, 128),
            // What senders may not have is for those who ask.
            (Some(50), Some(1024), 400, 50, 574),
        ] {
            let most = Most::of(senders_max, open_files, own);
            assert_eq!((most.senders, most.askers), (Some(senders), Some(askers)));
            assert_eq!(most.is_set, senders_max == Some(50));
        }
        let most = Most::of(Some(50), None, 400);
        assert_eq!((most.senders, most.askers), (Some(50), None));
    }
}
