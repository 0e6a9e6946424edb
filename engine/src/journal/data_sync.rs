//! What the shards' journals and the thread that syncs the data disk tell each other: numbers in
//! atomics. A segment may go once what was written from it is on the disk; one syncfs serves all
//! shards. Nothing here syncs, waits or reads a clock.
//! Invariants: a ticket is the number of a syncfs that had not begun when it was asked for, so that
//! it covers everything written before; numbers only rise; a syncfs that failed is never `done`, and
//! its tickets wait for the next.
//! A kernel does not write again what it could not write: a success after a failure says nothing of
//! what was written before the failure. So failures are counted, and whoever hears of one owes again
//! what was written since the last success (`Heard`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Syncs of one data disk, by number from 1.
#[derive(Debug, Default)]
pub struct DataSync {
    /// The last one that has begun.
    begun: AtomicU64,
    /// The highest one that succeeded.
    done: AtomicU64,
    /// The highest one that somebody waits for.
    wanted: AtomicU64,
    failures: AtomicU64,
    /// The last one could not be begun.
    lacking: AtomicBool,
}

/// What is known of the syncs at one moment: each failure that came before the last success is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The highest number that succeeded.
    pub(crate) done: u64,
    /// How many have failed.
    pub(crate) failures: u64,
}

impl DataSync {
    /// The number of the next syncfs to begin, which is asked for by this.
    pub fn ticket(&self) -> u64 {
        // One order for all three numbers: a ticket must not miss a syncfs that has begun already.
        let ticket = self.begun.load(Ordering::SeqCst) + 1;
        self.wanted.fetch_max(ticket, Ordering::SeqCst);
        ticket
    }

    /// Whether a syncfs is waited for that has not succeeded: for who begins one at a time.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) > self.done.load(Ordering::SeqCst)
    }

    /// A syncfs begins: call it before the system call. Says its number.
    pub fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The syncfs of this number has succeeded.
    pub fn done(&self, number: u64) {
        let begun = self.begun.load(Ordering::SeqCst);
        assert!(
            (1..=begun).contains(&number),
            "sync {number} of {begun} is done"
        );
        self.done.fetch_max(number, Ordering::SeqCst);
        self.lacking.store(false, Ordering::SeqCst);
    }

    /// A syncfs has failed: what was written since the last one that succeeded may never come to the
    /// disk.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::SeqCst);
    }

    /// There was no descriptor or memory for a syncfs. That says nothing of what was written, but whoever
    /// waits for it may wait for long.
    pub fn not_begun(&self) {
        self.lacking.store(true, Ordering::SeqCst);
    }

    /// Does nothing come of what is waited for, as far as is known?
    pub fn is_in_trouble(&self) -> bool {
        self.lacking.load(Ordering::SeqCst) || self.failures.load(Ordering::SeqCst) > 0
    }

    /// What is known now.
    pub(crate) fn hear(&self) -> Heard {
        // In this order: a failure before a success is not to be missed beside it.
        let done = self.done.load(Ordering::SeqCst);
        let failures = self.failures.load(Ordering::SeqCst);
        Heard { done, failures }
    }

    /// Whether a sync that began after this ticket was asked for has succeeded.
    pub fn has_done(&self, ticket: u64) -> bool {
        self.done.load(Ordering::SeqCst) >= ticket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_waits_for_a_sync_that_begins_later() {
        let sync = DataSync::default();
        assert!(!sync.is_wanted());
        let running = sync.begin();
        let ticket = sync.ticket();
        sync.done(running);
        assert!(!sync.has_done(ticket), "it may have begun before the write");
        assert!(sync.is_wanted());
        let next = sync.begin();
        assert_eq!(next, ticket);
        sync.done(next);
        assert!(sync.has_done(ticket));
        assert!(!sync.is_wanted());
    }

    #[test]
    fn a_failed_sync_is_heard_of_beside_the_success_of_the_next() {
        let sync = DataSync::default();
        let ticket = sync.ticket();
        sync.begin();
        sync.failed();
        assert!(sync.is_wanted());
        let next = sync.begin();
        assert!(!sync.has_done(ticket));
        sync.done(next);
        let (done, failures) = (next, 1);
        assert_eq!(sync.hear(), Heard { done, failures });
    }

    #[test]
    #[should_panic(expected = "sync 1 of 0 is done")]
    fn a_sync_that_never_began_is_not_done() {
        DataSync::default().done(1);
    }
}
