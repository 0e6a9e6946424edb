//! What a point costs at each stage that is pure: parse its line or unpickle its item, check its
//! name, append it to the cache, plan the update that puts it into its file. One core, no socket,
//! no file, no kernel.
//! Inputs are as senders make them: a hundred thousand series in the same order every round, lines
//! of some fifty bytes, a file of three archives that is full. `random` orders are the other end.
//! Run with `cargo bench --package benzene-bench --bench stages`; a filter may follow: `-- append`.
//! Numbers hold for one machine; compare only runs of the same one.

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use benzene_engine::cache::{Cache, CacheConfig, Ledger, SeriesId, Standing, Strategy};
use benzene_engine::clock;
use benzene_engine::limiter::Room;
use benzene_engine::metric::Metric;
use benzene_engine::point::Point;
use benzene_engine::ring::ByteRange;
use benzene_engine::stats::Counter;
use benzene_engine::whisper::{
    Aggregation, HEAD_READ_BYTES, Header, Image, Outcome, Plan, Retention, plan,
};
use benzene_server::wire::line::Splitter;
use benzene_server::wire::pickle::{self, Batch, Machine};
use benzene_server::wire::window::Window;
use criterion::{BenchmarkId, Criterion, Throughput};

/// As many series as one core of a busy site has.
const SERIES: u32 = 100_000;
/// Lines of one parsed text: several receive buffers, and still in the processor's cache.
const LINES: u32 = 4_000;
/// Items of one frame: MAX_DATAPOINTS_PER_MESSAGE, what a relay sends at once.
const ITEMS: u32 = 500;
/// Rounds after which the cache is emptied: as many points as a throttled writer leaves there.
const ROUNDS_HELD: u32 = 10;
/// 2020-09-13 12:30:00, a multiple of each archive's step.
const NOW: u32 = 1_600_000_200;
/// Real collectd's lines: other names, fractions, carriage returns, a few NaN.
const COLLECTD: &[u8] = include_bytes!("../../fixtures/collectd/capture.line");

fn main() -> Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    parse(&mut criterion)?;
    unpickle(&mut criterion)?;
    canonical(&mut criterion)?;
    append(&mut criterion)?;
    plan_updates(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn name(index: u32) -> String {
    format!("site.host-{:05}.app.metric-{:02}", index / 100, index % 100)
}

/// Cut a text into lines and read each.
fn parse(criterion: &mut Criterion) -> Result<()> {
    let (mut whole, mut decimals) = (String::new(), String::new());
    for index in 0..LINES {
        let value = index * 37 % 1_000_000;
        writeln!(whole, "{} {value} {NOW}", name(index))?;
        writeln!(
            decimals,
            "{} {:.6} {NOW}",
            name(index),
            f64::from(value) / 7.0
        )?;
    }
    for text in [&whole, &decimals] {
        let points = read_lines(text.as_bytes());
        ensure!(points == u64::from(LINES), "{points} lines are points");
    }
    let mut group = criterion.benchmark_group("parse");
    for (what, text) in [
        ("whole_numbers", whole.as_bytes()),
        ("decimals", decimals.as_bytes()),
        ("collectd", COLLECTD),
    ] {
        group.throughput(Throughput::ElementsAndBytes {
            elements: text.split(|byte| *byte == b'\n').count() as u64 - 1,
            bytes: text.len() as u64,
        });
        group.bench_with_input(BenchmarkId::from_parameter(what), text, |bencher, text| {
            bencher.iter(|| read_lines(black_box(text)));
        });
    }
    group.finish();
    Ok(())
}

/// How many lines of a text are points.
fn read_lines(text: &[u8]) -> u64 {
    let (mut splitter, mut window) = (Splitter::default(), Window::new(text));
    let (mut at, mut points) = (0, 0);
    while let Some(item) = splitter.next_item(&mut window, &mut at) {
        if let Ok(item) = item {
            black_box(item);
            points += 1;
        }
    }
    points
}

/// Read a relay's frame into a batch.
fn unpickle(criterion: &mut Criterion) -> Result<()> {
    let (mut machine, mut batch) = (Machine::default(), Batch::default());
    let mut group = criterion.benchmark_group("unpickle");
    group.throughput(Throughput::Elements(u64::from(ITEMS)));
    for (what, protocol) in [("protocol_2", 2), ("protocol_4", 4)] {
        let frame = pickled(protocol)?;
        pickle::decode(&frame, &mut machine, &mut batch)?;
        let items = batch.len();
        ensure!(items == ITEMS as usize, "{items} items of {what}");
        group.bench_with_input(
            BenchmarkId::from_parameter(what),
            &frame,
            |bencher, frame| {
                bencher.iter(|| pickle::decode(black_box(frame), &mut machine, &mut batch));
            },
        );
    }
    group.finish();
    Ok(())
}

/// The list of (metric, (timestamp, value)) as Python 3 pickles it: floats, and everything else
/// put into the memo.
fn pickled(protocol: u8) -> Result<Vec<u8>> {
    let mut memoized = 0u32;
    let mut put = |frame: &mut Vec<u8>| {
        match u8::try_from(memoized) {
            _ if protocol >= 4 => frame.push(0x94),
            Ok(index) => frame.extend([b'q', index]),
            Err(_) => {
                frame.push(b'r');
                frame.extend(memoized.to_le_bytes());
            }
        }
        memoized += 1;
    };
    let mut list = vec![b']'];
    put(&mut list);
    list.push(b'(');
    for index in 0..ITEMS {
        let name = name(index);
        let length = u8::try_from(name.len())?;
        match protocol {
            4.. => list.extend([0x8c, length]),
            _ => list.extend([b'X', length, 0, 0, 0]),
        }
        list.extend(name.as_bytes());
        put(&mut list);
        for float in [f64::from(NOW), f64::from(index) / 7.0] {
            list.push(b'G');
            list.extend(float.to_be_bytes());
        }
        for _ in 0..2 {
            list.push(0x86);
            put(&mut list);
        }
    }
    list.extend(b"e.");
    let mut frame = vec![0x80, protocol];
    if protocol >= 4 {
        frame.push(0x95);
        frame.extend(u64::try_from(list.len())?.to_le_bytes());
    }
    frame.extend(list);
    Ok(frame)
}

/// Check names that are canonical already, as nearly all are.
fn canonical(criterion: &mut Criterion) -> Result<()> {
    let mut scratch = String::new();
    let mut group = criterion.benchmark_group("canonical");
    group.throughput(Throughput::Elements(u64::from(LINES)));
    let plain: Vec<String> = (0..LINES).map(name).collect();
    let tagged = plain.iter().map(|name| format!("{name};host=a;region=b"));
    for (what, names) in [("tagged", tagged.collect()), ("plain", plain.clone())] {
        for name in &names {
            ensure!(
                Metric::parse(name, &mut scratch)?.as_str() == name,
                "{name}"
            );
        }
        group.bench_with_input(
            BenchmarkId::from_parameter(what),
            &names,
            |bencher, names| {
                bencher.iter(|| {
                    for name in black_box(names) {
                        black_box(Metric::parse(name, &mut scratch).is_ok());
                    }
                });
            },
        );
    }
    group.finish();
    Ok(())
}

/// Append one point to each of many series, by the accounts that a daemon keeps: to series whose
/// file is there, to series that wait for their create, and to new ones. Emptying the cache is not
/// measured.
fn append(criterion: &mut Criterion) -> Result<()> {
    for (size, series) in [("100k", SERIES), ("1M", 10 * SERIES)] {
        let names: Vec<String> = (0..series).map(name).collect();
        let same: Vec<u32> = (0..series).collect();
        let mut random = same.clone();
        // Sorted by a product modulo a prime: no neighbours stay together, and no generator is
        // needed.
        random.sort_by_key(|index| u64::from(*index) * 2_654_435_761 % 4_294_967_291);
        let mut group = criterion.benchmark_group(format!("append/{size}"));
        group.throughput(Throughput::Elements(u64::from(series)));
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

/// An empty cache with its accounts; the seed is also that of the hashes.
fn ledger() -> Ledger {
    let cache = Cache::new(CacheConfig {
        seed: 1,
        strategy: Strategy::Sorted,
        timestamp_lag_s: 0,
        recent_bytes_max: 1 << 20,
        waiting_bytes_max: 1 << 40,
        waiting_points_max: u64::MAX,
    });
    Ledger::new(cache, Arc::new(Room::new(None, 1 << 40)))
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

/// A whole number below a million that looks like any other.
fn value_of(index: u32, timestamp: u32) -> Point {
    let mixed = (u64::from(index) << 32 | u64::from(timestamp)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let value = f64::from(u32::try_from((mixed >> 32) % 1_000_000).unwrap_or(0));
    Point { timestamp, value }
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
        while let Some(id) = ledger.unproven_next() {
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

/// Plan the update of one full file, from its head to the pieces to write; what is read comes from
/// memory.
fn plan_updates(criterion: &mut Criterion) -> Result<()> {
    let retentions = [(10, 2160), (60, 10_080), (600, 52_560)];
    let retentions = retentions.map(|(step_s, points)| Retention { step_s, points });
    let header = Header::new(&retentions, 0.5, Aggregation::Average)?;
    let file = full_file(&header);
    let mut group = criterion.benchmark_group("plan");
    for count in [1, 6, 60] {
        let points: Vec<Point> = (0..count)
            .map(|back| Point {
                timestamp: NOW - (count - 1 - back) * 10,
                value: 2.5,
            })
            .collect();
        let outcome = update(&file, &points)?;
        ensure!(outcome.written == u64::from(count), "{outcome:?}");
        group.throughput(Throughput::Elements(u64::from(count)));
        group.bench_with_input(
            BenchmarkId::new("points", count),
            &points,
            |bencher, points| bencher.iter(|| update(&file, black_box(points))),
        );
    }
    group.finish();
    Ok(())
}

/// What a daemon does with one file, without its system calls.
fn update(file: &[u8], points: &[Point]) -> Result<Outcome> {
    let head = ByteRange {
        offset: 0,
        len: HEAD_READ_BYTES,
    };
    let bytes = read(file, head)?;
    let header = Header::parse(&bytes)?;
    let mut image = Image::new();
    image.add(head, bytes);
    loop {
        match plan(&header, points, NOW, &image)? {
            Plan::Write { pieces, outcome } => {
                black_box(pieces);
                return Ok(outcome);
            }
            Plan::Need(ranges) => {
                for range in ranges {
                    image.add(range, read(file, range)?);
                }
            }
        }
    }
}

fn read(file: &[u8], range: ByteRange) -> Result<Vec<u8>> {
    let start = usize::try_from(range.offset)?;
    let end = file.len().min(start + range.len as usize);
    let bytes = file.get(start..end).context("a read past the end")?;
    Ok(bytes.to_vec())
}

/// A file whose every slot holds a point, the newest of them now.
fn full_file(header: &Header) -> Vec<u8> {
    let mut bytes = header.encode();
    for archive in &header.archives {
        let first = NOW - (archive.points - 1) * archive.step_s;
        for slot in 0..archive.points {
            bytes.extend_from_slice(&(first + slot * archive.step_s).to_be_bytes());
            bytes.extend_from_slice(&1.5_f64.to_be_bytes());
        }
    }
    bytes
}
