//! What shards say to each other: batches of points, questions, answers.

use crate::limits::METRIC_NAME_BYTES_MAX;
use crate::metric::ShardIndex;
use crate::point::Point;
use crate::stats::Counter;
use crate::writer::{Inspection, MetadataAnswer};

/// A message from one shard to another.
#[derive(Debug)]
pub enum Message {
    /// Points of the receiving shard's series.
    Points(PointBatch),
    /// A question about its series.
    Question(Question),
    /// The answer to a question of its own.
    Answer(Answer),
}

/// Where a point came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A receiver.
    #[default]
    Received,
    /// Our own metrics.
    Own,
}

impl Origin {
    /// The counter that such a point is counted by.
    pub fn counter(self) -> Counter {
        match self {
            Origin::Received => Counter::Received,
            Origin::Own => Counter::Own,
        }
    }
}

/// What a new series takes besides its name: its record and its place in the table.
const NEW_SERIES_BYTES: usize = 80;

/// Points under their canonical names, all names in one string.
#[derive(Debug, Default)]
pub struct PointBatch {
    origin: Origin,
    names: String,
    points: Vec<(u16, Point)>,
}

const _: () = assert!(METRIC_NAME_BYTES_MAX <= u16::MAX as usize);

impl PointBatch {
    /// Where its points came from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// How many points it holds.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// True when it holds none.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Bytes of the bound that it holds while it is on its way: what its points take in their cache
    /// if every one of them is the first of its series.
    pub fn held_bytes(&self) -> u64 {
        (self.names.len() + self.points.len() * NEW_SERIES_BYTES) as u64
    }

    /// Adds a point; an empty batch takes its origin.
    pub fn push(&mut self, name: &str, point: Point, origin: Origin) {
        if self.is_empty() {
            self.origin = origin;
        }
        assert!(self.origin == origin, "a batch holds points of one origin");
        let Ok(name_bytes) = u16::try_from(name.len()) else {
            unreachable!("a canonical name of {} bytes", name.len());
        };
        self.names.push_str(name);
        self.points.push((name_bytes, point));
    }

    /// The points in the order in which they were pushed.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Point)> {
        let mut rest = self.names.as_str();
        self.points.iter().map(move |(name_bytes, point)| {
            let (name, after) = rest.split_at(usize::from(*name_bytes));
            rest = after;
            (name, *point)
        })
    }
}

/// A question from one shard to another.
#[derive(Debug)]
pub struct Question {
    /// Who wants the answer.
    pub from: ShardIndex,
    /// The asker's own number for it.
    pub ticket: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What can be asked.
#[derive(Debug)]
pub enum Ask {
    /// The cached points of metrics: the asker's index of each, and its canonical name.
    Points(Vec<(u32, String)>),
    /// To read or change a file's header.
    Metadata {
        /// The canonical name.
        name: String,
        /// What to do.
        inspection: Inspection,
    },
}

/// The answer to a question.
#[derive(Debug)]
pub struct Answer {
    /// The asker's number.
    pub ticket: u64,
    /// What was found.
    pub reply: Reply,
}

/// What was found.
#[derive(Debug)]
pub enum Reply {
    /// Per metric the asker's index and its points, sorted by time.
    Points(Vec<(u32, Vec<Point>)>),
    /// The header's method, or why it could not be read or changed.
    Metadata(MetadataAnswer),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_was_pushed() {
        let mut batch = PointBatch::default();
        let pushed = [("a.b", 1), ("", 2), ("\u{65e5}\u{672c}", 3)];
        for (name, timestamp) in pushed {
            batch.push(
                name,
                Point {
                    timestamp,
                    value: f64::from(timestamp),
                },
                Origin::Own,
            );
        }
        let held: Vec<_> = batch
            .iter()
            .map(|(name, point)| (name, point.timestamp))
            .collect();
        assert_eq!(
            (held.as_slice(), batch.origin()),
            (pushed.as_slice(), Origin::Own)
        );
    }
}
