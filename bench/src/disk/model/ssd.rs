//! The model of an SSD: channels that serve a request each, one rate for all, a price for a flush.
//! Neither its flash translation nor its garbage collection is modelled: a read costs the same
//! wherever it lies and whatever was written before.

use super::counters::Counters;
use super::due::Due;
use super::params::SsdSpec;
use super::{Answer, Request, Wanted, count, transfer_ns};

/// An SSD.
#[derive(Debug)]
pub(crate) struct Ssd {
    spec: SsdSpec,
    /// When each channel is free.
    channels: Vec<u64>,
    /// When the rate allows the next byte.
    link_free_ns: u64,
    due: Due,
    counters: Counters,
}

impl Ssd {
    pub(super) fn new(spec: SsdSpec) -> Self {
        assert!(spec.channels > 0, "an SSD without channels");
        Self {
            spec,
            channels: vec![0; spec.channels],
            link_free_ns: 0,
            due: Due::default(),
            counters: Counters::default(),
        }
    }

    pub(super) fn submit(&mut self, request: Request, at_ns: u64) {
        count(&mut self.counters, &request);
        let answer = match request.wanted {
            Wanted::Read => self.served(at_ns, &request, self.spec.read_ns, self.spec.read_rate),
            Wanted::Write => self.served(at_ns, &request, self.spec.write_ns, self.spec.write_rate),
            Wanted::Flush => {
                let last = self.channels.iter().copied().max().unwrap_or(0);
                let end = last.max(at_ns) + self.spec.flush_ns;
                self.channels.fill(end);
                end
            }
        };
        let answer = Answer {
            at_ns: answer,
            id: request.id,
        };
        self.due.push(answer, at_ns);
    }

    /// The first free channel takes it.
    fn served(&mut self, at_ns: u64, request: &Request, latency_ns: u64, rate: u64) -> u64 {
        let transfer_ns = transfer_ns(request.bytes, rate);
        self.link_free_ns = self.link_free_ns.max(at_ns) + transfer_ns;
        let rated = self.link_free_ns;
        let Some(channel) = self.channels.iter_mut().min() else {
            unreachable!("an SSD has channels");
        };
        let end = (at_ns.max(*channel) + latency_ns).max(rated);
        *channel = end;
        self.counters.transfer_ns += latency_ns.max(transfer_ns);
        end
    }

    pub(super) fn next_ns(&self) -> Option<u64> {
        self.due.next_ns()
    }

    pub(super) fn advance(&mut self, now_ns: u64, answers: &mut Vec<Answer>) {
        self.due.give(now_ns, &mut self.counters, answers);
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }
}
