//! The protocols as pure, bounded codecs: bytes in, points and requests out, and the way back.
//! `line` reads the line protocol of TCP and UDP, `frame` cuts a stream into length-prefixed
//! frames, `pickle` and `protobuf` read relays' batches (`batch`), `gzip` unpacks compressed lines,
//! `carbonlink` is the cache query's server side and `client` its other end. `number` is Python's float(), on which all of them rest; `window` and
//! `word` look at many bytes at once.
//! Never touches a socket, a clock or a thread, and never trusts a length it has not compared.
//! What is wrong with one line or item refuses that line or item and nothing beside it, under a
//! `Refusal` that is counted; what is wrong with a whole frame is the typed error of its codec.

pub mod batch;
pub mod carbonlink;
pub mod client;
pub mod frame;
pub mod gzip;
pub mod line;
pub mod number;
pub mod pickle;
pub mod protobuf;
#[cfg(test)]
mod tests;
pub mod window;
pub(crate) mod word;

use benzene_engine::stats::Counter;

/// A point as it came: the name is raw and not yet canonical.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item<'a> {
    /// The metric's name as sent: any text without whitespace from a line, any text from a pickle.
    pub name: &'a str,
    /// When it was measured.
    pub stamp: Stamp,
    /// The value, infinite perhaps, never NaN.
    pub value: f64,
}

/// When a point was measured, as its sender says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// The sender leaves it to us: `-1`, as every carbon since 0.9 reads it.
    Now,
    /// Seconds since the Unix epoch.
    At(u32),
}

impl Stamp {
    /// The stamp that Python's `int(timestamp)` gives; `None` for what Whisper cannot store.
    pub fn from_seconds(seconds: f64) -> Option<Stamp> {
        if seconds > -1.0 && seconds < f64::from(u32::MAX) + 1.0 {
            return Some(Stamp::At(number::whole_seconds(seconds)));
        }
        (seconds > -2.0 && seconds <= -1.0).then_some(Stamp::Now)
    }
}

/// Why one line or one item was refused. Counted, never logged one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A line without exactly three fields.
    #[error("not exactly three fields: metric, value, timestamp")]
    Fields,
    /// A value that Python's float() would not take, or an integer beyond the range of a double.
    #[error("the value is no number")]
    Value,
    /// A value that is NaN, which carbon drops.
    #[error("the value is NaN")]
    Nan,
    /// A timestamp that is no number, not finite, negative but not -1, or past the year 2106.
    #[error("the timestamp is no number that Whisper can store")]
    Timestamp,
    /// Bytes that are not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// A line longer than `LINE_BYTES_MAX`.
    #[error("the line is too long")]
    LineLength,
    /// An item of a batch that is not (metric, (timestamp, value)) with a text as metric.
    #[error("not (metric, (timestamp, value))")]
    Item,
    /// A line or a frame cut off by the end of its connection.
    #[error("cut off by the end of the connection")]
    Unfinished,
}

impl Refusal {
    /// Every reason, in the order of declaration.
    pub const ALL: &[Refusal] = &[
        Refusal::Fields,
        Refusal::Value,
        Refusal::Nan,
        Refusal::Timestamp,
        Refusal::Utf8,
        Refusal::LineLength,
        Refusal::Item,
        Refusal::Unfinished,
    ];

    /// Where this reason is counted.
    pub const fn counter(self) -> Counter {
        match self {
            Refusal::Fields => Counter::RefusedFields,
            Refusal::Value => Counter::RefusedValue,
            Refusal::Nan => Counter::RefusedNan,
            Refusal::Timestamp => Counter::RefusedTimestamp,
            Refusal::Utf8 => Counter::RefusedUtf8,
            Refusal::LineLength => Counter::RefusedLineLength,
            Refusal::Item => Counter::RefusedItem,
            Refusal::Unfinished => Counter::RefusedUnfinished,
        }
    }
}

/// How many items were refused, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    counts: [u64; Refusal::ALL.len()],
}

impl Refusals {
    /// Counts one refused item.
    pub fn add(&mut self, refusal: Refusal) {
        self.counts[refusal as usize] += 1;
    }

    /// How many were refused for this reason.
    pub fn get(&self, refusal: Refusal) -> u64 {
        self.counts[refusal as usize]
    }

    /// How many were refused in all.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The reasons that occurred, each with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        let all = Refusal::ALL.iter().copied().zip(self.counts);
        all.filter(|(_, count)| *count > 0)
    }
}
