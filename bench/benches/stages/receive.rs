//! Benches of the whole way from received bytes to the cache: lines and frames in pieces of a
//! receive buffer, through the codec, the connection's trail and the shard; and of the handing
//! over from shard to shard by itself.
//! What a sender does is not timed: a piece is written just before it is taken, so that it lies in
//! the processor's cache as it does behind the kernel's copy.
//! Series have files that wait for nothing. After `ROUNDS_HELD` rounds all begin anew, untimed: a
//! first round makes the names known, and the order they come in.

use std::time::Duration;

use anyhow::{Result, ensure};
use benzene_engine::clock;
use criterion::{Criterion, Throughput};

use crate::cores::Cores;
use crate::sender::{Form, Stream};
use crate::{NOW, ROUNDS_HELD, SERIES, name};

/// Which points come, in which order, to how many cores.
#[derive(Clone, Copy, Debug)]
struct Load {
    form: Form,
    series: u32,
    /// Each gets a part of the series, whoever owns them.
    cores: u16,
    order: Order,
    timed: Timed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// In every round the same, as senders do.
    Same,
    /// In every round another.
    Random,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timed {
    /// From the bytes to the owner's cache.
    All,
    /// From the shard that received a point to its owner's cache.
    HandOver,
}

/// From received bytes to the cache: known names, and new ones.
pub(crate) fn receive(criterion: &mut Criterion) {
    for form in [Form::Lines, Form::Frames] {
        let mut group = criterion.benchmark_group(format!("receive/{form:?}").to_lowercase());
        let same = Load {
            form,
            series: SERIES,
            cores: 1,
            order: Order::Same,
            timed: Timed::All,
        };
        let loads = [
            ("100k/same_order", same),
            (
                "100k/random_order",
                Load {
                    order: Order::Random,
                    ..same
                },
            ),
            ("100k/two_shards", Load { cores: 2, ..same }),
            (
                "1M/same_order",
                Load {
                    series: 10 * SERIES,
                    ..same
                },
            ),
        ];
        for (what, load) in loads {
            let mut site = Site::new(load);
            group.throughput(Throughput::ElementsAndBytes {
                elements: u64::from(load.series),
                bytes: site.round_bytes(),
            });
            group.bench_function(what, |bencher| {
                bencher.iter_custom(|rounds| (0..rounds).map(|_| site.time_round()).sum());
            });
        }
        let mut site = Site::new(same);
        group.throughput(Throughput::ElementsAndBytes {
            elements: u64::from(same.series),
            bytes: site.round_bytes(),
        });
        group.bench_function("100k/new", |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| site.time_first()).sum());
        });
        group.finish();
    }
}

/// From shard to shard, of metrics whose routes have begun.
pub(crate) fn hand_over(criterion: &mut Criterion) -> Result<()> {
    let load = Load {
        form: Form::Lines,
        series: SERIES,
        cores: 2,
        order: Order::Same,
        timed: Timed::HandOver,
    };
    let mut site = Site::new(load);
    site.begin_anew();
    let points = site.handed_over;
    ensure!(
        (40_000..60_000).contains(&points),
        "{points} of {SERIES} points went to the other of two shards"
    );
    let mut group = criterion.benchmark_group("hand_over");
    group.throughput(Throughput::Elements(points as u64));
    group.bench_function("100k/same_order", |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| site.time_round()).sum());
    });
    group.finish();
    Ok(())
}

/// Cores, and the senders that send to them.
#[derive(Debug)]
struct Site {
    load: Load,
    names: Vec<String>,
    order: Vec<u32>,
    cores: Cores,
    timestamp: u32,
    /// Rounds that the cache holds.
    rounds_held: u32,
    /// Points that the last round handed over.
    handed_over: usize,
    shuffles: u64,
}

impl Site {
    fn new(load: Load) -> Self {
        Self {
            load,
            names: (0..load.series).map(name).collect(),
            order: (0..load.series).collect(),
            cores: Cores::new(load.cores),
            timestamp: NOW,
            rounds_held: 0,
            handed_over: 0,
            shuffles: 1,
        }
    }

    /// How many bytes are sent in a round; those of one round are as good as those of another.
    fn round_bytes(&self) -> u64 {
        let mut stream = Stream::new(&self.names, &self.order, self.load.form, NOW);
        let mut bytes = 0;
        while let Some(piece) = stream.next_piece() {
            bytes += piece.len() as u64;
        }
        bytes
    }

    /// A round of known names.
    fn time_round(&mut self) -> Duration {
        if self.rounds_held == 0 || self.rounds_held == ROUNDS_HELD {
            self.begin_anew();
        }
        if self.load.order == Order::Random {
            self.shuffle();
        }
        self.round()
    }

    /// A round of new names.
    fn time_first(&mut self) -> Duration {
        self.cores = Cores::new(self.load.cores);
        self.rounds_held = 0;
        self.round()
    }

    fn begin_anew(&mut self) {
        self.time_first();
        self.cores.prove_all();
    }

    /// A point of each series. Each core receives its part piece by piece, and passes on what is
    /// not its own before the next piece, as a daemon does in each turn.
    fn round(&mut self) -> Duration {
        self.timestamp += 10;
        self.rounds_held += 1;
        self.handed_over = 0;
        let part = self.order.len().div_ceil(usize::from(self.load.cores));
        let parts = self.order.chunks(part);
        let mut streams: Vec<Stream<'_>> = parts
            .map(|part| Stream::new(&self.names, part, self.load.form, self.timestamp))
            .collect();
        let (mut taken, mut is_more) = (Duration::ZERO, true);
        while std::mem::take(&mut is_more) {
            for (core, stream) in streams.iter_mut().enumerate() {
                let Some(piece) = stream.next_piece() else {
                    continue;
                };
                is_more = true;
                let started = clock::now().instant;
                self.cores.receive(core, self.load.form, piece);
                let received = clock::now().instant;
                self.handed_over += self.cores.hand_over(core);
                let ended = clock::now().instant;
                taken += match self.load.timed {
                    Timed::All => ended.duration_since(started),
                    Timed::HandOver => ended.duration_since(received),
                };
            }
        }
        let sent = u64::from(self.rounds_held) * u64::from(self.load.series);
        assert_eq!(self.cores.points_received(), sent, "points were lost");
        taken
    }

    /// Another order, by the generator of Lehmer.
    fn shuffle(&mut self) {
        for last in (1..self.order.len()).rev() {
            self.shuffles = self.shuffles * 48_271 % 2_147_483_647;
            let other = usize::try_from(self.shuffles).unwrap_or(0) % (last + 1);
            self.order.swap(last, other);
        }
    }
}
