//! The cases of `ingest`: what is sent, in which form and order. Each stands for a site: a hundred
//! thousand series at a small one, a million at a large one; lines as agents send them, frames of
//! 500 as a relay sends them, an order that no daemon can foresee, and datagrams.

use clap::ValueEnum;

use super::IngestArgs;
use crate::load::{LoadArgs, Order, Protocol};
use crate::workload::Shape;

/// A case by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// Lines, 100,000 metrics x 40 rounds
    Line,
    /// Lines, 1,000,000 metrics x 10 rounds
    LineMillion,
    /// Pickle frames of 500 points, 100,000 metrics x 40 rounds
    Pickle,
    /// Lines, 100,000 metrics x 40 rounds, each round in another order
    LineRandom,
    /// Datagrams at --rate, 100,000 metrics x 10 rounds
    Udp,
}

/// Seconds between two rounds; the finest archive of the schema has the same step.
pub(crate) const STEP_S: u32 = 10;
/// Points of a pickle frame: MAX_DATAPOINTS_PER_MESSAGE, what a relay sends at once.
const BATCH: u32 = 500;

impl Case {
    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::Line | Self::LineMillion | Self::LineRandom => Protocol::Line,
            Self::Pickle => Protocol::Pickle,
            Self::Udp => Protocol::Udp,
        }
    }

    /// The word on the command line.
    pub(crate) fn word(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    fn size(self) -> (u32, u32) {
        match self {
            Self::Line | Self::Pickle | Self::LineRandom => (100_000, 40),
            Self::LineMillion => (1_000_000, 10),
            Self::Udp => (100_000, 10),
        }
    }

    fn order(self) -> Order {
        match self {
            Self::LineRandom => Order::Random,
            Self::Line | Self::LineMillion | Self::Pickle | Self::Udp => Order::Same,
        }
    }

    /// The options of `load` that send this case to `target`.
    pub(crate) fn load(self, args: &IngestArgs, target: String) -> LoadArgs {
        let (metrics, rounds) = self.size();
        LoadArgs {
            shape: Shape {
                metrics: args.metrics.unwrap_or(metrics),
                rounds: args.rounds.unwrap_or(rounds),
                step: STEP_S,
                prefix: String::from("bench.ingest"),
                seed: 1,
            },
            start: None,
            protocol: self.protocol(),
            target,
            connections: args.connections,
            rate: if self == Self::Udp { args.rate } else { 0 },
            batch: BATCH,
            order: self.order(),
            timeout: args.timeout,
            nice: args.nice,
            pid: None,
        }
    }

    /// One line: what is sent, and how.
    pub(crate) fn describe(self, load: &LoadArgs) -> String {
        let order = match load.order {
            Order::Same => "same order",
            Order::Random => "random order",
        };
        let pace = match load.rate {
            0 => String::from("as fast as it goes"),
            rate => format!("{rate} points/s"),
        };
        format!(
            "{}: {} metrics x {} rounds, {} protocol, {order}, {} connections at nice {}, {pace}",
            self.word(),
            load.shape.metrics,
            load.shape.rounds,
            load.protocol.word(),
            load.connections,
            load.nice
        )
    }
}
