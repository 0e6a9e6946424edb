//! How many connections are served at a time, of those who send and of those who ask: each kind has
//! places of its own, so that neither can take the other's, nor the descriptors of files.
//! Shared and read by all cores; nothing here is locked, and nothing waits.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::front::Guest;

/// How many of each may be served at a time; without a number any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Most {
    pub(crate) senders: Option<usize>,
    pub(crate) askers: Option<usize>,
}

/// Who is served, by all cores together.
#[derive(Debug)]
pub(crate) struct Places {
    most: Most,
    senders: AtomicUsize,
    askers: AtomicUsize,
}

impl Places {
    pub(crate) fn new(most: Most) -> Places {
        Places {
            most,
            senders: AtomicUsize::new(0),
            askers: AtomicUsize::new(0),
        }
    }

    fn taken(&self, guest: Guest) -> &AtomicUsize {
        match guest {
            Guest::Sender => &self.senders,
            Guest::Asker => &self.askers,
        }
    }

    /// How many may be served at a time, where that is bounded.
    pub(crate) fn most(&self, guest: Guest) -> Option<usize> {
        match guest {
            Guest::Sender => self.most.senders,
            Guest::Asker => self.most.askers,
        }
    }

    /// Whether one more may be served. Only one core accepts, so that no two think so of the same place.
    pub(crate) fn has_one(&self, guest: Guest) -> bool {
        let taken = self.taken(guest).load(Ordering::Relaxed);
        self.most(guest).is_none_or(|most| taken < most)
    }

    /// A connection is served from now on, by whichever core.
    pub(crate) fn take(&self, guest: Guest) {
        self.taken(guest).fetch_add(1, Ordering::Relaxed);
    }

    /// A connection is closed.
    pub(crate) fn give_back(&self, guest: Guest) {
        self.taken(guest).fetch_sub(1, Ordering::Relaxed);
    }
}
