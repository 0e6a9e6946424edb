//! Benches of the codecs: lines and frames into items, and the check of a name. They touch nothing
//! but their input and what they make of it, so these are costs with all of it in the nearest
//! caches of the processor.

use std::fmt::Write;
use std::hint::black_box;

use anyhow::{Result, ensure};
use benzene_engine::metric::Metric;
use benzene_engine::point::Point;
use benzene_server::wire::line::Splitter;
use benzene_server::wire::pickle::{self, Batch, Machine};
use benzene_server::wire::window::Window;
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::pickled::{Protocol, push_pickled};
use crate::{FRAME_ITEMS, NOW, name};

/// Lines of one parsed text: several receive buffers, and still in the processor's cache.
const LINES: u32 = 4_000;
/// Real collectd's lines: other names, fractions, carriage returns, a few NaN.
const COLLECTD: &[u8] = include_bytes!("../../../fixtures/collectd/capture.line");

/// Cut a text into lines and read each.
pub(crate) fn parse(criterion: &mut Criterion) -> Result<()> {
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
pub(crate) fn unpickle(criterion: &mut Criterion) -> Result<()> {
    let (mut machine, mut batch) = (Machine::default(), Batch::default());
    let points: Vec<(String, Point)> = (0..)
        .take(FRAME_ITEMS)
        .map(|index| (name(index), fraction_of(index)))
        .collect();
    let mut group = criterion.benchmark_group("unpickle");
    group.throughput(Throughput::Elements(FRAME_ITEMS as u64));
    for (what, protocol) in [
        ("protocol_2", Protocol::Two),
        ("protocol_4", Protocol::Four),
    ] {
        let mut frame = Vec::new();
        let points = points.iter().map(|(name, point)| (name.as_str(), *point));
        push_pickled(&mut frame, protocol, points);
        pickle::decode(&frame, &mut machine, &mut batch)?;
        let items = batch.len();
        ensure!(items == FRAME_ITEMS, "{items} items of {what}");
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

/// A point with all the digits that a float has.
fn fraction_of(index: u32) -> Point {
    Point {
        timestamp: NOW,
        value: f64::from(index) / 7.0,
    }
}

/// Check names that are canonical already, as nearly all are.
pub(crate) fn canonical(criterion: &mut Criterion) -> Result<()> {
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
