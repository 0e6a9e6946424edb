//! The cache query, client side: requests as graphite-web sends them, and replies of Python
//! carbon, go-carbon and ourselves. For tools and tests that ask a running daemon.
//! Requests are of protocol 2 without memo, which go-carbon's byte matching takes as well.
//! Timestamps of replies are doubles: Python carbon keeps fractions where its resolution is 0.
//! A reply that is none of the known dicts is a `ReplyError`; the connection is of no more use.

use benzene_engine::limits::QUERY_FRAME_BYTES_MAX;

use super::carbonlink::{FrameTooLong, FrameWriter};
use super::pickle::{Dict, Machine, NodeIndex, PickleError};

/// One cached point, as a reply has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Datapoint {
    /// Seconds since the Unix epoch, with a fraction perhaps.
    pub timestamp: f64,
    /// The value.
    pub value: f64,
}

/// What a daemon answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To a query: the cached points, in the daemon's order.
    Datapoints(Vec<Datapoint>),
    /// To a bulk query: the cached points by metric.
    Bulk(Vec<(String, Vec<Datapoint>)>),
    /// To get-metadata.
    Value(String),
    /// To set-metadata.
    Changed {
        /// What was set before.
        old: String,
        /// What is set now.
        new: String,
    },
    /// The request failed, for this reason.
    Error(String),
}

/// Why a reply cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// It cannot be unpickled.
    #[error("the reply cannot be unpickled: {0}")]
    Pickle(#[from] PickleError),
    /// It is no dict, or a dict without any key that we know.
    #[error("the reply is none that a cache query can have")]
    Unknown,
    /// A value is not of the kind that its key needs.
    #[error("{key:?} in the reply is not what it should be")]
    Value {
        /// The key.
        key: &'static str,
    },
    /// It says the same points again and again, more than a frame of its length can hold.
    #[error("the reply repeats its points too often")]
    TooManyPoints,
}

/// Appends a request for the cached points of a metric, header included.
pub fn encode_query(metric: &str, out: &mut Vec<u8>) -> Result<(), FrameTooLong> {
    request(&[("type", "cache-query"), ("metric", metric)], out)
}

/// Appends a request for the cached points of several metrics, header included. go-carbon does
/// not know it.
pub fn encode_bulk_query<'m>(
    metrics: impl IntoIterator<Item = &'m str>,
    out: &mut Vec<u8>,
) -> Result<(), FrameTooLong> {
    let mut request = FrameWriter::begin(out, QUERY_FRAME_BYTES_MAX);
    request.raw(b"(");
    request.text("type");
    request.text("cache-query-bulk");
    request.text("metrics");
    request.raw(b"](");
    for metric in metrics {
        request.room_for(metric.len())?;
        request.text(metric);
    }
    request.raw(b"eu");
    request.end()
}

/// Appends a request for a property of a metric's file, header included.
pub fn encode_get_metadata(metric: &str, key: &str, out: &mut Vec<u8>) -> Result<(), FrameTooLong> {
    let texts = [("type", "get-metadata"), ("metric", metric), ("key", key)];
    request(&texts, out)
}

/// Appends a request to change a property of a metric's file, header included.
pub fn encode_set_metadata(
    metric: &str,
    key: &str,
    value: &str,
    out: &mut Vec<u8>,
) -> Result<(), FrameTooLong> {
    let texts = [
        ("type", "set-metadata"),
        ("metric", metric),
        ("key", key),
        ("value", value),
    ];
    request(&texts, out)
}

/// Reads a reply, given without its length.
pub fn decode_reply(frame: &[u8], machine: &mut Machine) -> Result<Reply, ReplyError> {
    let dict = Dict::run(frame, machine)?.ok_or(ReplyError::Unknown)?;
    let mut reader = Reader {
        dict,
        // A point takes two bytes at the very least, where the memo names it again.
        points_left: frame.len() / 2,
    };
    if let Some(node) = reader.dict.get("datapoints") {
        return Ok(Reply::Datapoints(reader.points(node, "datapoints")?));
    }
    if let Some(text) = reader.text("error")? {
        return Ok(Reply::Error(text));
    }
    if let Some(text) = reader.text("value")? {
        return Ok(Reply::Value(text));
    }
    if let Some(old) = reader.text("old_value")? {
        let new = reader.text("new_value")?.ok_or(ReplyError::Unknown)?;
        return Ok(Reply::Changed { old, new });
    }
    reader.bulk().map(Reply::Bulk)
}

struct Reader<'a> {
    dict: Dict<'a>,
    /// Points that may still be read: a whole list can be named again in two bytes.
    points_left: usize,
}

impl Reader<'_> {
    fn text(&mut self, key: &'static str) -> Result<Option<String>, ReplyError> {
        let Some(node) = self.dict.get(key) else {
            return Ok(None);
        };
        match self.dict.text(node)? {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(ReplyError::Value { key }),
        }
    }

    fn bulk(mut self) -> Result<Vec<(String, Vec<Datapoint>)>, ReplyError> {
        let key = "datapointsByMetric";
        let wrong = ReplyError::Value { key };
        let node = self.dict.get(key).ok_or(ReplyError::Unknown)?;
        let mut pairs = self.dict.pairs(node).ok_or(wrong)?;
        let mut metrics = Vec::new();
        while let (Some(metric), Some(points)) = (pairs.next(), pairs.next()) {
            let metric = self.dict.text(metric)?.ok_or(wrong)?.to_owned();
            metrics.push((metric, self.points(points, key)?));
        }
        Ok(metrics)
    }

    fn points(&mut self, node: NodeIndex, key: &'static str) -> Result<Vec<Datapoint>, ReplyError> {
        let wrong = ReplyError::Value { key };
        let machine = self.dict.machine();
        let mut points = Vec::new();
        for node in self.dict.list(node).ok_or(wrong)? {
            let left = self.points_left.checked_sub(1);
            self.points_left = left.ok_or(ReplyError::TooManyPoints)?;
            let (timestamp, value) = machine.pair(node).ok_or(wrong)?;
            points.push(Datapoint {
                timestamp: machine.node(timestamp).number().ok_or(wrong)?,
                value: machine.node(value).number().ok_or(wrong)?,
            });
        }
        Ok(points)
    }
}

fn request(texts: &[(&str, &str)], out: &mut Vec<u8>) -> Result<(), FrameTooLong> {
    let mut request = FrameWriter::begin(out, QUERY_FRAME_BYTES_MAX);
    request.raw(b"(");
    for (key, text) in texts {
        request.room_for(text.len())?;
        request.text(key);
        request.text(text);
    }
    request.raw(b"u");
    request.end()
}
