//! The requests that wait for the head: those among which the disk may choose, as many as it has
//! tags for, and the others, which the host keeps and hands over in the order of their place, upwards
//! and again from the front, as the kernel's elevator does.
//! Bounded by what the kernel keeps outstanding.

use super::Request;

/// A request and when it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) request: Request,
    pub(super) came_ns: u64,
}

/// All that wait.
#[derive(Debug)]
pub(super) struct Queue {
    tags: usize,
    patience_ns: u64,
    /// In the disk.
    taken: Vec<Waiting>,
    /// In the host.
    kept: Vec<Waiting>,
    /// Where the elevator is.
    sweep: u64,
}

impl Queue {
    pub(super) fn new(tags: usize, patience_ns: u64) -> Self {
        assert!(tags > 0, "a disk that takes no request");
        Self {
            tags,
            patience_ns,
            taken: Vec::new(),
            kept: Vec::new(),
            sweep: 0,
        }
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        self.kept.push(waiting);
        self.refill(waiting.came_ns);
    }

    /// What the disk may choose from.
    pub(super) fn taken(&self) -> &[Waiting] {
        &self.taken
    }

    /// Whether it has waited too long.
    pub(super) fn is_impatient(&self, waiting: &Waiting, now_ns: u64) -> bool {
        waiting.came_ns + self.patience_ns <= now_ns
    }

    /// Takes one out; another one moves up.
    pub(super) fn take(&mut self, index: usize, now_ns: u64) -> Waiting {
        let waiting = self.taken.remove(index);
        self.refill(now_ns);
        waiting
    }

    fn refill(&mut self, now_ns: u64) {
        while self.taken.len() < self.tags
            && let Some(index) = self.next_kept(now_ns)
        {
            let waiting = self.kept.remove(index);
            self.sweep = waiting.request.end();
            self.taken.push(waiting);
        }
    }

    /// The one that has waited too long, or the next one upwards, or the first one.
    fn next_kept(&self, now_ns: u64) -> Option<usize> {
        let kept = || self.kept.iter().enumerate();
        let (oldest, waiting) = kept().min_by_key(|(_, waiting)| waiting.came_ns)?;
        if self.is_impatient(waiting, now_ns) {
            return Some(oldest);
        }
        let place = |waiting: &Waiting| waiting.request.offset;
        let upwards = kept().filter(|(_, waiting)| place(waiting) >= self.sweep);
        let next = upwards.min_by_key(|(_, waiting)| place(waiting));
        next.or_else(|| kept().min_by_key(|(_, waiting)| place(waiting)))
            .map(|(index, _)| index)
    }
}
