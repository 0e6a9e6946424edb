//! Cache queries: a request becomes questions to the shards, their answers become one reply.
//! A connection has one request under way; replies go out in the order of the requests.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use benzene_engine::clock;
use benzene_engine::limits::{METRIC_NAME_BYTES_MAX, QUERY_REPLY_BYTES_MAX};
use benzene_engine::point::Point;
use benzene_engine::ring::SocketId;
use benzene_engine::shard::{Reply, Shard};
use benzene_engine::stats::Counter;
use benzene_engine::whisper::Aggregation;
use benzene_engine::writer::Inspection;

use super::refused::quoted;
use crate::wire::carbonlink::{self, FrameTooLong, Request};

/// The metadata key that Python carbon knows.
const KEY: &str = "aggregationMethod";

/// A request whose answers are not all in.
#[derive(Debug)]
pub(super) struct Pending {
    socket: SocketId,
    kind: Kind,
    missing: usize,
    since: Instant,
}

#[derive(Debug)]
enum Kind {
    One(String, Vec<Point>),
    Bulk(Vec<(String, Vec<Point>)>),
    /// There are more points than a reply holds.
    TooMany,
    Metadata(Vec<u8>),
}

/// What a request comes down to.
#[derive(Debug)]
pub(super) enum Wanted {
    /// The points of one metric.
    One(String),
    /// The points of no metric.
    Nameless,
    /// The points of several metrics.
    Bulk(Vec<String>),
    /// A file's aggregation method.
    Metadata(String, Inspection),
    /// Nothing: this is the reply.
    Reply(Vec<u8>),
    /// Nothing, and the request is counted as refused: this is the reply.
    Refused(Vec<u8>),
}

impl From<Request<'_>> for Wanted {
    fn from(request: Request<'_>) -> Self {
        match request {
            Request::Query { metric } => Wanted::One(metric.to_owned()),
            Request::Nameless => Wanted::Nameless,
            Request::Bulk { metrics } => {
                Wanted::Bulk(metrics.into_iter().map(str::to_owned).collect())
            }
            Request::GetMetadata { metric, key: KEY } => {
                Wanted::Metadata(metric.to_owned(), Inspection::Get)
            }
            Request::SetMetadata {
                metric,
                key: KEY,
                value,
            } => match Aggregation::from_name(value) {
                Some(method) => Wanted::Metadata(metric.to_owned(), Inspection::Set(method)),
                None => Wanted::Reply(error(&format!("Unrecognized aggregation method {value}"))),
            },
            Request::GetMetadata { key, .. } | Request::SetMetadata { key, .. } => {
                Wanted::Reply(error(&format!("Unsupported metadata key \"{key}\"")))
            }
            Request::Unknown { kind } => {
                let mut out = Vec::new();
                carbonlink::encode_invalid_type(kind, &mut out);
                Wanted::Refused(out)
            }
        }
    }
}

/// Asks the shards what a client wants to know. Err: the reply, where nobody has to be asked.
pub(super) fn ask(
    socket: SocketId,
    ticket: u64,
    wanted: Wanted,
    shard: &mut Shard,
) -> Result<Pending, Vec<u8>> {
    let since = clock::now().instant;
    match wanted {
        Wanted::One(metric) => {
            shard.count(Counter::Queries, 1);
            let missing = shard.ask_points(ticket, std::iter::once(metric.as_str()));
            Ok(Pending {
                socket,
                kind: Kind::One(metric, Vec::new()),
                missing,
                since,
            })
        }
        Wanted::Nameless => {
            shard.count(Counter::Queries, 1);
            let mut none = Vec::new();
            let encoded = carbonlink::encode_datapoints(&[], &mut none);
            Err(encoded.map_or_else(|too_long| error(&too_long.to_string()), |()| none))
        }
        Wanted::Bulk(metrics) => {
            shard.count(Counter::BulkQueries, 1);
            shard.count(Counter::BulkQueryMetrics, metrics.len() as u64);
            let missing = shard.ask_points(ticket, metrics.iter().map(String::as_str));
            let found = metrics
                .into_iter()
                .map(|metric| (metric, Vec::new()))
                .collect();
            let pending = Pending {
                socket,
                kind: Kind::Bulk(found),
                missing,
                since,
            };
            if missing == 0 {
                Err(pending.encode())
            } else {
                Ok(pending)
            }
        }
        Wanted::Metadata(metric, inspection) => {
            match shard.ask_metadata(ticket, &metric, inspection) {
                Ok(()) => Ok(Pending {
                    socket,
                    kind: Kind::Metadata(Vec::new()),
                    missing: 1,
                    since,
                }),
                Err(refusal) => Err(error(&refusal.to_string())),
            }
        }
        Wanted::Reply(reply) => Err(reply),
        Wanted::Refused(reply) => {
            shard.count(Counter::RefusedQuery, 1);
            Err(reply)
        }
    }
}

fn error(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    carbonlink::encode_error(text, &mut out);
    out
}

impl Pending {
    /// The connection that waits.
    pub(super) fn socket(&self) -> SocketId {
        self.socket
    }

    /// How long it has waited.
    pub(super) fn took(&self) -> Duration {
        clock::now().instant.saturating_duration_since(self.since)
    }

    /// Takes one answer in; true when it was the last.
    pub(super) fn take(&mut self, reply: Reply) -> bool {
        assert!(self.missing > 0, "an answer too many");
        self.missing -= 1;
        match (&mut self.kind, reply) {
            (Kind::One(..) | Kind::Bulk(_), Reply::TooManyPoints) => self.kind = Kind::TooMany,
            (Kind::TooMany, Reply::Points(_) | Reply::TooManyPoints) => {}
            (Kind::One(_, found), Reply::Points(parts)) => {
                found.extend(parts.into_iter().flat_map(|(_, points)| points));
            }
            (Kind::Bulk(found), Reply::Points(parts)) => {
                for (index, points) in parts {
                    found[index as usize].1 = points;
                }
            }
            (Kind::Metadata(bytes), Reply::Metadata(answer)) => match answer {
                Ok((old, None)) => carbonlink::encode_value(old.name(), bytes),
                Ok((old, Some(new))) => {
                    carbonlink::encode_set(old.name(), new.name(), bytes);
                }
                Err(refusal) => carbonlink::encode_error(&refusal.to_string(), bytes),
            },
            (kind, reply) => unreachable!("{kind:?} was answered with {reply:?}"),
        }
        self.missing == 0
    }

    /// What was asked for and found, in Python's words; none where no points were asked for.
    pub(super) fn said(&self) -> Option<String> {
        match &self.kind {
            Kind::One(metric, points) => {
                let metric = shown(metric);
                Some(format!("for \"{metric}\" returned {} values", points.len()))
            }
            Kind::Bulk(found) => {
                let points: usize = found.iter().map(|(_, points)| points.len()).sum();
                let metrics = found.len();
                Some(format!(
                    "bulk for \"{metrics}\" metrics returned {points} values"
                ))
            }
            Kind::TooMany | Kind::Metadata(_) => None,
        }
    }

    /// True where points were found.
    pub(super) fn is_hit(&self) -> bool {
        match &self.kind {
            Kind::One(_, points) => !points.is_empty(),
            Kind::Bulk(found) => found.iter().any(|(_, points)| !points.is_empty()),
            Kind::TooMany => true,
            Kind::Metadata(_) => false,
        }
    }

    /// The reply, as it goes out.
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        let encoded = match self.kind {
            Kind::One(_, points) => carbonlink::encode_datapoints(&points, &mut out),
            Kind::Bulk(found) => carbonlink::encode_bulk(
                found
                    .iter()
                    .map(|(name, points)| (name.as_str(), points.as_slice())),
                &mut out,
            ),
            Kind::TooMany => Err(FrameTooLong {
                bytes: QUERY_REPLY_BYTES_MAX + 1,
                bound_bytes: QUERY_REPLY_BYTES_MAX,
            }),
            Kind::Metadata(bytes) => return bytes,
        };
        encoded.map_or_else(|too_long| error(&too_long.to_string()), |()| out)
    }
}

/// A name as it was asked for; what can be none is cut and escaped: a request has megabytes.
fn shown(name: &str) -> Cow<'_, str> {
    if name.len() <= METRIC_NAME_BYTES_MAX && !name.contains(char::is_control) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(quoted(name.as_bytes()))
    }
}
