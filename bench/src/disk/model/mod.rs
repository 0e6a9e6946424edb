//! A disk as a calculation: requests and the time go in, answers with their times come out.
//! Pure: it moves no bytes, reads no clock and sleeps nowhere; time is what the caller says, in
//! nanoseconds since the disk came up. It may be told of a time late: what lies before is then
//! worked off in its order, as if it had been told at once, so that no delay of the caller adds up.
//! Every request is answered exactly once.

pub(crate) mod counters;
mod due;
mod layout;
pub(crate) mod params;
mod queue;
mod read_buffer;
mod spindle;
mod ssd;
#[cfg(test)]
mod tests;
mod write_cache;

use counters::Counters;
use params::{Params, Spec};
use spindle::Spindle;
use ssd::Ssd;

/// What is wanted of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Read,
    Write,
    /// Everything answered before is to be on the platter.
    Flush,
}

/// A request; a flush has no bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// The caller's, to know the answer by.
    pub(crate) id: u64,
    pub(crate) wanted: Wanted,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

impl Request {
    /// The byte behind it.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.bytes
    }
}

/// An answer and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Answer {
    pub(crate) at_ns: u64,
    pub(crate) id: u64,
}

/// A disk.
#[derive(Debug)]
pub(crate) enum Model {
    Hdd(Box<Spindle>),
    Ssd(Box<Ssd>),
}

impl Model {
    pub(crate) fn new(params: &Params) -> Self {
        match params.model.spec() {
            Spec::Hdd(mut spec) => {
                spec.write_cache = params.write_cache.unwrap_or(spec.write_cache);
                Model::Hdd(Box::new(Spindle::new(spec, params)))
            }
            Spec::Ssd(spec) => Model::Ssd(Box::new(Ssd::new(spec))),
        }
    }

    /// A request that has come at this time; it may lie before what was said already.
    pub(crate) fn submit(&mut self, request: Request, at_ns: u64) {
        match self {
            Model::Hdd(hdd) => hdd.submit(request, at_ns),
            Model::Ssd(ssd) => ssd.submit(request, at_ns),
        }
    }

    /// When there is something to do next, if nothing comes until then.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        match self {
            Model::Hdd(hdd) => hdd.next_ns(),
            Model::Ssd(ssd) => ssd.next_ns(),
        }
    }

    /// Goes on to this time; answers that have become due go into `answers`, in their order.
    pub(crate) fn advance(&mut self, now_ns: u64, answers: &mut Vec<Answer>) {
        match self {
            Model::Hdd(hdd) => hdd.advance(now_ns, answers),
            Model::Ssd(ssd) => ssd.advance(now_ns, answers),
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        match self {
            Model::Hdd(hdd) => hdd.counters(),
            Model::Ssd(ssd) => ssd.counters(),
        }
    }
}

/// Counts what a request is.
fn count(counters: &mut Counters, request: &Request) {
    counters.begin();
    match request.wanted {
        Wanted::Read => {
            counters.reads += 1;
            counters.read_bytes += request.bytes;
        }
        Wanted::Write => {
            counters.writes += 1;
            counters.written_bytes += request.bytes;
        }
        Wanted::Flush => counters.flushes += 1,
    }
}

/// How long bytes take at a rate.
fn transfer_ns(bytes: u64, rate: u64) -> u64 {
    bytes * 1000 / (rate / 1_000_000)
}
