//! The cache query, server side: what graphite-web asks, and the answers in the form that Python
//! carbon gives. Requests and replies are pickled dicts in frames; `frame` cuts them.
//! Requests of protocols 0 to 5 are read. Replies are of protocol 2 without memo, which every
//! reader takes, with whole seconds as ints. A point is 15 bytes.
//! A request that is no pickle, no dict, or lacks a key is a `QueryError`: Python closes the
//! connection without a reply, and so should the caller. A type that is not known gets an error
//! reply, `encode_invalid_type`. A reply that would pass `QUERY_REPLY_BYTES_MAX` is not written.

use benzene_engine::limits::{QUERY_ERROR_BYTES_MAX, QUERY_REPLY_BYTES_MAX};
use benzene_engine::point::Point;
use benzene_engine::stats::Counter;
use hashbrown::HashSet;

use super::frame::HEADER_BYTES;
use super::pickle::{Dict, Machine, PickleError, small};

/// What a client asks. Names are as sent: Python looks them up without normalising, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// The cached points of one metric.
    Query {
        /// The metric.
        metric: &'a str,
    },
    /// The cached points of what can be no metric: Python looks up any key, and finds nothing.
    Nameless,
    /// The cached points of several metrics.
    Bulk {
        /// The metrics in the order asked, each once: the reply is a dict.
        metrics: Vec<&'a str>,
    },
    /// One property of a metric's file.
    GetMetadata {
        /// The metric.
        metric: &'a str,
        /// The property; carbon knows `aggregationMethod`.
        key: &'a str,
    },
    /// A change of one property of a metric's file.
    SetMetadata {
        /// The metric.
        metric: &'a str,
        /// The property; carbon knows `aggregationMethod`.
        key: &'a str,
        /// What it shall be.
        value: &'a str,
    },
    /// Anything else; to be answered with `encode_invalid_type`.
    Unknown {
        /// The type asked for.
        kind: &'a str,
    },
}

/// Why a request cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// It cannot be unpickled.
    #[error("the request cannot be unpickled: {0}")]
    Pickle(#[from] PickleError),
    /// It is no dict.
    #[error("the request is no dict")]
    NoDict,
    /// A key is missing.
    #[error("the request has no {key:?}")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A value is not of the kind that its key needs: a UTF-8 text, or a list of them, or for one metric
    /// anything that Python can look up.
    #[error("{key:?} in the request is not what it should be")]
    Value {
        /// The key.
        key: &'static str,
    },
}

impl QueryError {
    /// Where it is counted.
    pub const fn counter(self) -> Counter {
        Counter::RefusedQuery
    }
}

/// A frame that would be longer than its reader takes; nothing of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {bytes} bytes or more would be longer than {bound_bytes}")]
pub struct FrameTooLong {
    /// How long it had become.
    pub bytes: usize,
    /// How long it may be.
    pub bound_bytes: usize,
}

/// Reads a request, given without its length.
pub fn decode_request<'a>(
    frame: &'a [u8],
    machine: &'a mut Machine,
) -> Result<Request<'a>, QueryError> {
    let mut dict = Dict::run(frame, machine)?.ok_or(QueryError::NoDict)?;
    let kind = text(&mut dict, "type")?;
    Ok(match kind {
        "cache-query" => one(&mut dict)?,
        "cache-query-bulk" => Request::Bulk {
            metrics: metrics(&mut dict)?,
        },
        "get-metadata" => Request::GetMetadata {
            metric: text(&mut dict, "metric")?,
            key: text(&mut dict, "key")?,
        },
        "set-metadata" => Request::SetMetadata {
            metric: text(&mut dict, "metric")?,
            key: text(&mut dict, "key")?,
            value: text(&mut dict, "value")?,
        },
        kind => Request::Unknown { kind },
    })
}

/// Appends the reply to `Request::Query`, header included: the points in the order given.
pub fn encode_datapoints(points: &[Point], out: &mut Vec<u8>) -> Result<(), FrameTooLong> {
    let mut reply = FrameWriter::begin(out, QUERY_REPLY_BYTES_MAX);
    reply.text("datapoints");
    reply.points(points)?;
    reply.raw(b"s");
    reply.end()
}

/// Appends the reply to `Request::Bulk`, header included.
pub fn encode_bulk<'p>(
    replies: impl IntoIterator<Item = (&'p str, &'p [Point])>,
    out: &mut Vec<u8>,
) -> Result<(), FrameTooLong> {
    let mut reply = FrameWriter::begin(out, QUERY_REPLY_BYTES_MAX);
    reply.text("datapointsByMetric");
    reply.raw(b"}(");
    for (metric, points) in replies {
        reply.text(metric);
        reply.points(points)?;
    }
    reply.raw(b"us");
    reply.end()
}

/// Appends the reply to `Request::GetMetadata`, header included. The value is cut as errors are.
pub fn encode_value(value: &str, out: &mut Vec<u8>) {
    short_texts(&[("value", value)], out);
}

/// Appends the reply to `Request::SetMetadata`, header included. Both are cut as errors are.
pub fn encode_set(old: &str, new: &str, out: &mut Vec<u8>) {
    short_texts(&[("old_value", old), ("new_value", new)], out);
}

/// Appends the reply to a request that failed, header included. The text is cut at
/// `QUERY_ERROR_BYTES_MAX`.
pub fn encode_error(text: &str, out: &mut Vec<u8>) {
    short_texts(&[("error", text)], out);
}

/// Appends the reply to `Request::Unknown`, header included, in carbon's words.
pub fn encode_invalid_type(kind: &str, out: &mut Vec<u8>) {
    encode_error(&format!("Invalid request type \"{}\"", cut(kind)), out);
}

/// A frame under way, of a pickled dict: its header is set when its length is known.
pub(super) struct FrameWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    bytes_max: usize,
}

impl<'o> FrameWriter<'o> {
    /// Begins a pickle of protocol 2 that is a dict.
    pub(super) fn begin(out: &'o mut Vec<u8>, bytes_max: usize) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        out.extend_from_slice(b"\x80\x02}");
        Self {
            out,
            start,
            bytes_max,
        }
    }

    pub(super) fn raw(&mut self, opcodes: &[u8]) {
        self.out.extend_from_slice(opcodes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.out.push(b'X');
        self.out.extend_from_slice(&small(text.len()).to_le_bytes());
        self.out.extend_from_slice(text.as_bytes());
    }

    /// A list of points. Fails before it grows the frame beyond the bound.
    fn points(&mut self, points: &[Point]) -> Result<(), FrameTooLong> {
        self.room_for(points.len().saturating_mul(POINT_BYTES))?;
        let (before, after): (&[u8], &[u8]) = match points.len() {
            0 => (b"]", b""),
            1 => (b"]", b"a"),
            _ => (b"](", b"e"),
        };
        self.raw(before);
        for point in points {
            if let Ok(seconds) = i32::try_from(point.timestamp) {
                self.out.push(b'J');
                self.out.extend_from_slice(&seconds.to_le_bytes());
            } else {
                // Past January 2038: an integer of five bytes, so that its sign bit is clear.
                self.out.extend_from_slice(&[0x8a, 5]);
                self.out.extend_from_slice(&point.timestamp.to_le_bytes());
                self.out.push(0);
            }
            self.out.push(b'G');
            self.out.extend_from_slice(&point.value.to_be_bytes());
            self.out.push(0x86);
        }
        self.raw(after);
        Ok(())
    }

    /// Fails, and takes the frame back, if `more` bytes would not fit.
    pub(super) fn room_for(&mut self, more: usize) -> Result<(), FrameTooLong> {
        let bytes = (self.out.len() - self.start - HEADER_BYTES).saturating_add(more);
        if bytes <= self.bytes_max {
            return Ok(());
        }
        self.out.truncate(self.start);
        Err(FrameTooLong {
            bytes,
            bound_bytes: self.bytes_max,
        })
    }

    pub(super) fn end(mut self) -> Result<(), FrameTooLong> {
        self.raw(b".");
        self.room_for(0)?;
        let length = small(self.out.len() - self.start - HEADER_BYTES);
        self.out[self.start..][..HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// Most bytes of a point, with a timestamp past 2038: LONG1 of five bytes, float, tuple.
const POINT_BYTES: usize = 7 + 9 + 1;

/// A reply of one or two texts, cut so that it always fits.
fn short_texts(texts: &[(&str, &str)], out: &mut Vec<u8>) {
    let mut reply = FrameWriter::begin(out, QUERY_REPLY_BYTES_MAX);
    for (key, text) in texts {
        reply.text(key);
        reply.text(cut(text));
        reply.raw(b"s");
    }
    if let Err(error) = reply.end() {
        unreachable!("texts of at most {QUERY_ERROR_BYTES_MAX} bytes each: {error}");
    }
}

/// A text without what is beyond `QUERY_ERROR_BYTES_MAX`.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(QUERY_ERROR_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn text<'a>(dict: &mut Dict<'a>, key: &'static str) -> Result<&'a str, QueryError> {
    let node = dict.get(key).ok_or(QueryError::Missing { key })?;
    dict.text(node)?.ok_or(QueryError::Value { key })
}

fn one<'a>(dict: &mut Dict<'a>) -> Result<Request<'a>, QueryError> {
    let key = "metric";
    let node = dict.get(key).ok_or(QueryError::Missing { key })?;
    match dict.text(node)? {
        Some(metric) => Ok(Request::Query { metric }),
        None if dict.is_other_key(node) => Ok(Request::Nameless),
        None => Err(QueryError::Value { key }),
    }
}

fn metrics<'a>(dict: &mut Dict<'a>) -> Result<Vec<&'a str>, QueryError> {
    let key = "metrics";
    let node = dict.get(key).ok_or(QueryError::Missing { key })?;
    let list = dict.list(node).ok_or(QueryError::Value { key })?;
    let mut metrics = Vec::new();
    let mut seen = HashSet::new();
    for node in list {
        let metric = dict.text(node)?.ok_or(QueryError::Value { key })?;
        if seen.insert(metric) {
            metrics.push(metric);
        }
    }
    Ok(metrics)
}
