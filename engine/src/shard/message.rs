//! What shards say to each other: batches of points, questions, answers.

use super::routes::RouteId;
use crate::limits::{BATCH_POINTS_MAX, METRIC_NAME_BYTES_MAX};
use crate::metric::ShardIndex;
use crate::point::Point;
use crate::stats::Counter;
use crate::writer::{Inspection, MetadataAnswer};

/// A message from one shard to another.
#[derive(Debug)]
pub enum Message {
    /// Points of the receiving shard's series, and whose route numbers they come under.
    Points(ShardIndex, PointBatch),
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

/// Room for the names of a batch of new metrics.
const NAMES_BYTES_USUAL: usize = BATCH_POINTS_MAX * 40;

/// A point under the number of its route: the sending shard's number of the metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RoutePoint {
    pub(super) route: RouteId,
    timestamp: u32,
    value: f64,
}
const _: () = assert!(size_of::<RoutePoint>() == 16);

impl RoutePoint {
    #[inline]
    pub(super) fn new(route: RouteId, point: Point) -> Self {
        let Point { timestamp, value } = point;
        Self {
            route,
            timestamp,
            value,
        }
    }

    #[inline]
    pub(super) fn point(self) -> Point {
        Point {
            timestamp: self.timestamp,
            value: self.value,
        }
    }
}

/// What a batch says of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteChange<'a> {
    /// The route's metric, by its canonical name; its first point follows.
    Begins(RouteId, &'a str),
    /// No point comes under this number any more, until it begins again.
    Ends(RouteId),
}

/// A change, and how many points of its batch stand before it.
#[derive(Clone, Copy, Debug)]
struct Change {
    before: u16,
    /// Of the name in the batch's text; 0 where the route ends.
    name_bytes: u16,
    route: RouteId,
}

/// Points under the numbers of their routes, and between them what these numbers mean.
/// They arrive in the order sent, so that a number always means what was said of it last.
#[derive(Debug, Default)]
pub struct PointBatch {
    origin: Origin,
    points: Vec<RoutePoint>,
    changes: Vec<Change>,
    /// The names of the routes that begin, one behind the other.
    names: String,
}

const _: () = assert!(METRIC_NAME_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(BATCH_POINTS_MAX <= u16::MAX as usize);

impl PointBatch {
    /// Where its points came from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// How many points it holds.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// True when it says nothing.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.changes.is_empty()
    }

    /// True when it should be sent before more is put in.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.points.len() + self.changes.len() >= BATCH_POINTS_MAX
    }

    /// Bytes of the bound that it holds while it is on its way: its own, and what its new series
    /// take in their cache.
    pub fn held_bytes(&self) -> u64 {
        let points = self.points.len() * size_of::<RoutePoint>();
        (points + self.names.len() + self.changes.len() * NEW_SERIES_BYTES) as u64
    }

    /// Adds a point of a route that has begun. It is put together here and nowhere before: read back
    /// in another width than it was written in, it would wait for all earlier writes.
    #[inline]
    pub(super) fn push(&mut self, route: RouteId, point: Point, origin: Origin) {
        if self.points.is_empty() {
            self.origin = origin;
            self.points.reserve_exact(BATCH_POINTS_MAX);
        }
        debug_assert!(self.origin == origin, "a batch holds points of one origin");
        self.points.push(RoutePoint::new(route, point));
    }

    /// Says what a route's number means; its first point must follow.
    pub(super) fn begin(&mut self, route: RouteId, name: &str) {
        assert!(!name.is_empty(), "a route begins without a name");
        if self.names.is_empty() {
            // Where one begins many do: all metrics after a start.
            self.names.reserve(NAMES_BYTES_USUAL);
            self.changes.reserve_exact(BATCH_POINTS_MAX);
        }
        self.names.push_str(name);
        self.change(route, name.len());
    }

    /// Says that a route's number means nothing any more.
    pub(super) fn end(&mut self, route: RouteId) {
        self.change(route, 0);
    }

    fn change(&mut self, route: RouteId, name_bytes: usize) {
        self.changes.push(Change {
            before: short(self.points.len()),
            name_bytes: short(name_bytes),
            route,
        });
    }

    /// What the batch says, in order: changes, and the points up to the next change.
    pub(super) fn stretches(
        &self,
    ) -> impl Iterator<Item = (Option<RouteChange<'_>>, &[RoutePoint])> {
        let first = self
            .changes
            .first()
            .map_or(self.points.len(), |change| change.place());
        let mut names = self.names.as_str();
        let changes = self.changes.iter().enumerate().map(move |(index, change)| {
            let (name, rest) = names.split_at(usize::from(change.name_bytes));
            names = rest;
            let end = self
                .changes
                .get(index + 1)
                .map_or(self.points.len(), |change| change.place());
            let said = match name {
                "" => RouteChange::Ends(change.route),
                name => RouteChange::Begins(change.route, name),
            };
            (Some(said), &self.points[change.place()..end])
        });
        std::iter::once((None, &self.points[..first])).chain(changes)
    }
}

impl Change {
    fn place(self) -> usize {
        usize::from(self.before)
    }
}

fn short(count: usize) -> u16 {
    let Ok(short) = u16::try_from(count) else {
        unreachable!("{count} in a batch");
    };
    short
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
    /// There are more points than a reply holds (`limits::QUERY_POINTS_MAX`).
    TooManyPoints,
    /// The header's method, or why it could not be read or changed.
    Metadata(MetadataAnswer),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(route: u32, timestamp: u32) -> RoutePoint {
        let value = f64::from(timestamp);
        RoutePoint::new(RouteId(route), Point { timestamp, value })
    }

    fn push(batch: &mut PointBatch, route: u32, timestamp: u32) {
        let point = point(route, timestamp);
        batch.push(point.route, point.point(), Origin::Own);
    }

    #[test]
    fn a_batch_gives_back_what_was_said_in_its_order() {
        let mut batch = PointBatch::default();
        assert!(batch.is_empty());
        push(&mut batch, 9, 1);
        batch.begin(RouteId(7), "a.b");
        push(&mut batch, 7, 2);
        push(&mut batch, 9, 3);
        batch.end(RouteId(9));
        batch.begin(RouteId(9), "\u{65e5}\u{672c}");
        push(&mut batch, 9, 4);
        batch.end(RouteId(7));
        let said: Vec<_> = batch.stretches().collect();
        let expected: [(_, &[_]); 5] = [
            (None, &[point(9, 1)]),
            (
                Some(RouteChange::Begins(RouteId(7), "a.b")),
                &[point(7, 2), point(9, 3)],
            ),
            (Some(RouteChange::Ends(RouteId(9))), &[]),
            (
                Some(RouteChange::Begins(RouteId(9), "\u{65e5}\u{672c}")),
                &[point(9, 4)],
            ),
            (Some(RouteChange::Ends(RouteId(7))), &[]),
        ];
        assert_eq!(said, expected);
        assert_eq!((batch.origin(), batch.len()), (Origin::Own, 4));
    }
}
