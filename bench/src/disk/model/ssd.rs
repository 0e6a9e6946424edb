//! The model of an SSD: channels that serve a request each, one rate for all, a price for a flush.
//! Neither its flash translation nor its garbage collection is modelled: a read costs the same
//! wherever it lies and whatever was written before.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::counters::Counters;
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
    due: BinaryHeap<Reverse<(Answer, u64)>>,
    counters: Counters,
}

impl Ssd {
    pub(super) fn new(spec: SsdSpec) -> Self {
        assert!(spec.channels > 0, "an SSD without channels");
        Self {
            spec,
            channels: vec![0; spec.channels],
            link_free_ns: 0,
            due: BinaryHeap::new(),
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
        self.due.push(Reverse((answer, at_ns)));
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
        self.due.peek().map(|Reverse((answer, _))| answer.at_ns)
    }

    pub(super) fn advance(&mut self, now_ns: u64, answers: &mut Vec<Answer>) {
        while let Some(Reverse((answer, came_ns))) = self.due.peek().copied() {
            if answer.at_ns > now_ns {
                return;
            }
            self.due.pop();
            self.counters.end(answer.at_ns.saturating_sub(came_ns));
            answers.push(answer);
        }
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }
}
