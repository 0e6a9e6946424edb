//! Writes that the disk has answered and not yet carried out. Their order is the disk's; a flush
//! waits for those that were there when it came. Bounded by number and by bytes.

/// One write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dirty {
    pub(super) offset: u64,
    pub(super) end: u64,
    /// The order of their coming; flushes go by it.
    pub(super) sequence: u64,
}

/// The writes.
#[derive(Debug)]
pub(super) struct WriteCache {
    writes_max: usize,
    bytes_max: u64,
    writes: Vec<Dirty>,
    bytes: u64,
    next: u64,
}

impl WriteCache {
    pub(super) fn new(writes_max: usize, bytes_max: u64) -> Self {
        Self {
            writes_max,
            bytes_max,
            writes: Vec::new(),
            bytes: 0,
            next: 0,
        }
    }

    /// Whether another write finds room; one that is larger than everything does when it is alone.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.writes.len() < self.writes_max
            && (self.writes.is_empty() || self.bytes + bytes <= self.bytes_max)
    }

    /// Whether reads have to stand back for it.
    pub(super) fn presses(&self) -> bool {
        self.writes.len() >= self.writes_max / 4 * 3 || self.bytes >= self.bytes_max / 4 * 3
    }

    /// Takes a write; what it covers is gone.
    pub(super) fn put(&mut self, offset: u64, end: u64) {
        let covered = |dirty: &Dirty| offset <= dirty.offset && dirty.end <= end;
        self.writes.retain(|dirty| !covered(dirty));
        let sequence = self.next;
        self.next += 1;
        self.writes.push(Dirty {
            offset,
            end,
            sequence,
        });
        self.bytes = self
            .writes
            .iter()
            .map(|dirty| dirty.end - dirty.offset)
            .sum();
    }

    /// Whether one write has all of these bytes.
    pub(super) fn covers(&self, offset: u64, end: u64) -> bool {
        let has = |dirty: &Dirty| dirty.offset <= offset && end <= dirty.end;
        self.writes.iter().any(has)
    }

    pub(super) fn writes(&self) -> &[Dirty] {
        &self.writes
    }

    /// Takes one out, to be carried out.
    pub(super) fn take(&mut self, index: usize) -> Dirty {
        let dirty = self.writes.swap_remove(index);
        self.bytes -= dirty.end - dirty.offset;
        dirty
    }

    /// What the next write will have; all before it belong to a flush that comes now.
    pub(super) fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Whether a write from before is still here.
    pub(super) fn has_before(&self, sequence: u64) -> bool {
        self.writes.iter().any(|dirty| dirty.sequence < sequence)
    }
}
