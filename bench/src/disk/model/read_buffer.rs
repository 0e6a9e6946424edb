//! What the disk has read and still has: a few stretches, the newest last. While the head reads on
//! behind a read, the newest one grows.

/// From a byte up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    start: u64,
    end: u64,
}

/// The stretches.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    segments_max: usize,
    /// The longest that a stretch gets; its begin goes first.
    bytes_max: u64,
    segments: Vec<Segment>,
}

impl ReadBuffer {
    pub(super) fn new(segments_max: usize, bytes_max: u64) -> Self {
        assert!(segments_max > 0, "a buffer without segments");
        Self {
            segments_max,
            bytes_max,
            segments: Vec::new(),
        }
    }

    /// Whether all of these bytes are there.
    pub(super) fn covers(&self, start: u64, end: u64) -> bool {
        let has = |segment: &Segment| segment.start <= start && end <= segment.end;
        self.segments.iter().any(has)
    }

    /// Whether a read that begins there goes on where the newest stretch is.
    pub(super) fn newest_reaches(&self, start: u64) -> bool {
        let newest = self.segments.last();
        newest.is_some_and(|newest| (newest.start..=newest.end).contains(&start))
    }

    /// The newest stretch has grown up to this byte.
    pub(super) fn grow(&mut self, end: u64) {
        let Some(newest) = self.segments.last_mut() else {
            return;
        };
        newest.end = newest.end.max(end);
        newest.start = newest.start.max(newest.end.saturating_sub(self.bytes_max));
    }

    /// A read has come from the platter; it lengthens the newest stretch or begins another.
    pub(super) fn add(&mut self, start: u64, end: u64) {
        if self.newest_reaches(start) {
            self.grow(end);
            return;
        }
        if self.segments.len() == self.segments_max {
            self.segments.remove(0);
        }
        self.segments.push(Segment { start, end });
    }

    /// These bytes are written anew. True: the newest stretch is gone.
    pub(super) fn forget(&mut self, start: u64, end: u64) -> bool {
        let newest = self.segments.last().copied();
        let apart = |segment: &Segment| end <= segment.start || segment.end <= start;
        self.segments.retain(apart);
        self.segments.last().copied() != newest
    }
}
