//! Benches of planning: from a file's head and the points of its series to the pieces to write.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use benzene_engine::point::Point;
use benzene_engine::ring::ByteRange;
use benzene_engine::whisper::{
    Aggregation, HEAD_READ_BYTES, Header, Image, Outcome, Plan, Retention, plan,
};
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::NOW;

/// Plan the update of one full file, from its head to the pieces to write; what is read comes from
/// memory.
pub(crate) fn plan_updates(criterion: &mut Criterion) -> Result<()> {
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
