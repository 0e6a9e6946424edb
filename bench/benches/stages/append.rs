//! Benches of the cache alone: points that are parsed already, by name and by number.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use benzene_engine::cache::{Cache, Ledger, SeriesId, Standing, Volume};
use benzene_engine::clock;
use benzene_engine::limiter::Room;
use benzene_engine::stats::Counter;
use criterion::{Criterion, Throughput};

use crate::{NOW, ROUNDS_HELD, SAMPLES_OF_LONG_ROUNDS, SERIES, cache_config, name, value_of};

/// Append one point to each of many series, by the accounts that a daemon keeps: to series whose
/// file is there, to series that wait for their create, and to new ones. Emptying the cache is not
/// measured.
pub(crate) fn append(criterion: &mut Criterion) -> Result<()> {
    for (size, series) in [("100k", SERIES), ("1M", 10 * SERIES)] {
        let names: Vec<String> = (0..series).map(name).collect();
        let same: Vec<u32> = (0..series).collect();
        let mut random = same.clone();
        // Sorted by a product modulo a prime: no neighbours stay together, and no generator is
        // needed.
        random.sort_by_key(|index| u64::from(*index) * 2_654_435_761 % 4_294_967_291);
        let mut group = criterion.benchmark_group(format!("append/{size}"));
        group.throughput(Throughput::Elements(u64::from(series)));
        if series > SERIES {
            group.sample_size(SAMPLES_OF_LONG_ROUNDS);
        }
        let orders = [("same_order", &same), ("random_order", &random)];
        for held in [Standing::Writable, Standing::Waiting] {
            for ((what, order), by) in orders
                .iter()
                .flat_map(|order| [(order, By::Name), (order, By::Number)])
            {
                let mut filling = Filling::start(&names, held)?;
                group.bench_function(format!("{held:?}/{what}/{by:?}"), |bencher| {
                    bencher.iter_custom(|rounds| filling.time_rounds(rounds, &names, order, by));
                });
            }
        }
        group.bench_function("new", |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| time_first(&names)).sum());
        });
        group.finish();
    }
    Ok(())
}

/// An empty cache with its accounts.
fn ledger() -> Ledger {
    Ledger::new(
        Cache::new(cache_config()),
        Arc::new(Room::new(None, 1 << 40)),
        None,
    )
}

/// The first point of every series.
fn time_first(names: &[String]) -> Duration {
    let mut ledger = ledger();
    let started = clock::now().instant;
    for (index, name) in (0..).zip(names) {
        ledger.reserve();
        ledger.insert(name, value_of(index, NOW), Counter::Received);
    }
    clock::now().instant.duration_since(started)
}

/// How a point names its series: by its name, looked up each time, or by its number, as a sender
/// does whose order repeats.
#[derive(Clone, Copy, Debug)]
enum By {
    Name,
    Number,
}

/// A cache that knows every series, and takes round after round.
struct Filling {
    ledger: Ledger,
    ids: Vec<SeriesId>,
    timestamp: u32,
    rounds: u32,
}

impl Filling {
    fn start(names: &[String], standing: Standing) -> Result<Self> {
        let mut ledger = ledger();
        for (index, name) in (0..).zip(names) {
            ledger.reserve();
            ledger.insert(name, value_of(index, NOW), Counter::Received);
        }
        let mut ids = Vec::with_capacity(names.len());
        while let Some(id) = ledger.unproven_next(Volume::FIRST) {
            ensure!(
                ledger.name(id) == names[ids.len()],
                "{id:?} is out of order"
            );
            ledger.set_standing(id, standing);
            ids.push(id);
        }
        ensure!(ids.len() == names.len(), "{} of {}", ids.len(), names.len());
        Ok(Self {
            ledger,
            ids,
            timestamp: NOW,
            rounds: 1,
        })
    }

    fn time_rounds(&mut self, rounds: u64, names: &[String], order: &[u32], by: By) -> Duration {
        (0..rounds).map(|_| self.time_round(names, order, by)).sum()
    }

    fn time_round(&mut self, names: &[String], order: &[u32], by: By) -> Duration {
        if self.rounds == ROUNDS_HELD {
            self.empty(names);
        }
        self.rounds += 1;
        self.timestamp += 10;
        let started = clock::now().instant;
        for index in order {
            let point = value_of(*index, self.timestamp);
            self.ledger.reserve();
            let index = *index as usize;
            let inserted = match by {
                By::Name => self.ledger.insert(&names[index], point, Counter::Received),
                By::Number => self
                    .ledger
                    .insert_known(self.ids[index], point, Counter::Received),
            };
            black_box(inserted);
        }
        clock::now().instant.duration_since(started)
    }

    /// Gives up all points; a first one each stays out of what is measured.
    fn empty(&mut self, names: &[String]) {
        self.timestamp += 10;
        for (index, id) in (0..).zip(&self.ids) {
            self.ledger.discard(*id, Counter::DroppedAtStop);
            self.ledger.reserve();
            let point = value_of(index, self.timestamp);
            self.ledger
                .insert(&names[index as usize], point, Counter::Received);
        }
        self.rounds = 1;
    }
}
