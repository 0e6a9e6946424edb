//! What a point costs at each stage that is pure: parse its line or unpickle its item, check its
//! name, append it to the cache, plan the update that puts it into its file. One core, no socket,
//! no file, no kernel.
//! Inputs are as senders make them: a hundred thousand series in the same order every round, lines
//! of some fifty bytes, a file of three archives that is full. `random` orders are the other end.
//! Run with `cargo bench --package benzene-bench --bench stages`; a filter may follow: `-- append`.
//! Numbers hold for one machine; compare only runs of the same one.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use benzene_engine::cache::{Cache, CacheConfig, Insert, SeriesId, Standing, Strategy};
use benzene_engine::clock;
use benzene_engine::metric::Metric;
use benzene_engine::point::Point;
use benzene_engine::ring::ByteRange;
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
/// Rounds after which the cache is emptied: a minute of points that come every ten seconds.
const ROUNDS_HELD: u32 = 6;
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

/// Append one point to each series. Emptying the cache is not measured.
fn append(criterion: &mut Criterion) -> Result<()> {
    let names: Vec<String> = (0..SERIES).map(name).collect();
    let same: Vec<u32> = (0..SERIES).collect();
    let mut random = same.clone();
    // Sorted by a product modulo a prime: no neighbours stay together, and no generator is needed.
    random.sort_by_key(|index| u64::from(*index) * 2_654_435_761 % 4_294_967_291);
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(u64::from(SERIES)));
    for (what, order) in [("same_order", same), ("random_order", random)] {
        let mut filling = Filling::start(&names)?;
        group.bench_function(BenchmarkId::from_parameter(what), |bencher| {
            bencher.iter_custom(|rounds| {
                (0..rounds)
                    .map(|_| filling.time_round(&names, &order))
                    .sum()
            });
        });
    }
    group.finish();
    Ok(())
}

/// A cache that knows every series, and takes round after round.
struct Filling {
    cache: Cache,
    ids: Vec<SeriesId>,
    timestamp: u32,
    rounds: u32,
    written: Vec<Point>,
}

impl Filling {
    fn start(names: &[String]) -> Result<Self> {
        let mut cache = Cache::new(CacheConfig {
            seed: 1,
            strategy: Strategy::Naive,
            timestamp_lag_s: 0,
            recent_bytes_max: 1 << 20,
            waiting_bytes_max: u64::MAX,
            waiting_points_max: u64::MAX,
        });
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            let point = Point {
                timestamp: NOW,
                value: 0.0,
            };
            let Insert::New(id) = cache.insert(name, point).outcome else {
                anyhow::bail!("{name} occurs twice");
            };
            let dropped = cache.set_standing(id, Standing::Writable);
            ensure!(dropped.total() == 0, "points of {name} were dropped");
            ids.push(id);
        }
        Ok(Self {
            cache,
            ids,
            timestamp: NOW,
            rounds: 1,
            written: Vec::new(),
        })
    }

    fn time_round(&mut self, names: &[String], order: &[u32]) -> Duration {
        if self.rounds == ROUNDS_HELD {
            self.empty();
        }
        self.rounds += 1;
        self.timestamp += 10;
        let point = Point {
            timestamp: self.timestamp,
            value: 1.5,
        };
        let started = clock::now().instant;
        for index in order {
            black_box(self.cache.insert(&names[*index as usize], point));
        }
        clock::now().instant.duration_since(started)
    }

    fn empty(&mut self) {
        let now = clock::now().instant;
        for id in &self.ids {
            self.written.clear();
            self.cache.take(*id, &mut self.written);
            self.cache.written(*id, now);
        }
        self.rounds = 0;
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
