//! What a model disk has counted since it came up. Sums only; whoever wants a rate subtracts.

use std::ops::Sub;

use serde::{Deserialize, Serialize};

/// The sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counters {
    /// Requests that came.
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) flushes: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
    /// Reads answered from the disk's buffer.
    pub(crate) buffered_reads: u64,
    /// Writes answered from the disk's buffer, and what of them has reached the platter.
    pub(crate) cached_writes: u64,
    pub(crate) destaged_writes: u64,
    /// Moves of the head to another track; the tracks' ends within a transfer do not count.
    pub(crate) seeks: u64,
    /// Way of the head: as bytes passed, and in thousand-millionths of the full stroke.
    pub(crate) head_travel_bytes: u64,
    pub(crate) head_travel_stroke_ppb: u64,
    /// Times of the head: moving, waiting for the platter, reading or writing.
    pub(crate) seek_ns: u64,
    pub(crate) rotation_ns: u64,
    pub(crate) transfer_ns: u64,
    /// Requests served before nearer ones, because they had waited too long.
    pub(crate) impatient: u64,
    /// Requests that have been answered, and how long they took in the model, all together.
    pub(crate) answered: u64,
    pub(crate) latency_ns: u64,
    /// Requests in the disk: now, and the most since it came up.
    pub(crate) outstanding: u64,
    pub(crate) outstanding_max: u64,
    /// Answers that the server gave more than a millisecond later than the model had them, and all
    /// the time that answers were late: the machine's share in what was measured.
    pub(crate) late_answers: u64,
    pub(crate) late_ns: u64,
}

impl Counters {
    /// A request has come.
    pub(crate) fn begin(&mut self) {
        self.outstanding += 1;
        self.outstanding_max = self.outstanding_max.max(self.outstanding);
    }

    /// A request is answered after this time.
    pub(crate) fn end(&mut self, latency_ns: u64) {
        assert!(self.outstanding > 0, "an answer without a request");
        self.outstanding -= 1;
        self.answered += 1;
        self.latency_ns += latency_ns;
    }

    /// How long the head was at work.
    pub(crate) fn busy_ns(&self) -> u64 {
        self.seek_ns + self.rotation_ns + self.transfer_ns
    }
}

/// What was counted between two looks; `outstanding` and its maximum stay those of the second.
impl Sub for Counters {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            reads: self.reads - before.reads,
            writes: self.writes - before.writes,
            flushes: self.flushes - before.flushes,
            read_bytes: self.read_bytes - before.read_bytes,
            written_bytes: self.written_bytes - before.written_bytes,
            buffered_reads: self.buffered_reads - before.buffered_reads,
            cached_writes: self.cached_writes - before.cached_writes,
            destaged_writes: self.destaged_writes - before.destaged_writes,
            seeks: self.seeks - before.seeks,
            head_travel_bytes: self.head_travel_bytes - before.head_travel_bytes,
            head_travel_stroke_ppb: self.head_travel_stroke_ppb - before.head_travel_stroke_ppb,
            seek_ns: self.seek_ns - before.seek_ns,
            rotation_ns: self.rotation_ns - before.rotation_ns,
            transfer_ns: self.transfer_ns - before.transfer_ns,
            impatient: self.impatient - before.impatient,
            answered: self.answered - before.answered,
            latency_ns: self.latency_ns - before.latency_ns,
            outstanding: self.outstanding,
            outstanding_max: self.outstanding_max,
            late_answers: self.late_answers - before.late_answers,
            late_ns: self.late_ns - before.late_ns,
        }
    }
}
