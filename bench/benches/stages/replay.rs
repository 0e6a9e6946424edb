//! What a journaled point costs at the next start: both passes of a replay over segments of 64 MiB in
//! memory, names and lookups included, as one shard that owns all of it. `regular` is twenty million
//! points, a hundred thousand series in the same order every round, all of them owed; `written` the
//! same with each round but the last marked as written; `random` a million series in any order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use benzene_engine::journal::block::{Head, Kind, block_bytes};
use benzene_engine::journal::entry::PointEncoder;
use benzene_engine::journal::name_entry::NameEncoder;
use benzene_engine::journal::replay::{Owed, Progress, Replay};
use benzene_engine::journal::survey::{Looked, Survey, wants};
use benzene_engine::ring::{ByteRange, FileOperation, FileOutcome, Piece, VisitId};
use criterion::{BatchSize, Criterion, Throughput};

use crate::{NOW, SAMPLES_OF_LONG_ROUNDS, SERIES, name, value_of};

const POINTS: u32 = 20_000_000;
const RANDOM_POINTS: u32 = 2_000_000;
const RANDOM_SERIES: u32 = 1_000_000;
const SEGMENT_BYTES: usize = 64 << 20;
/// A buffer of the journal.
const BLOCK_BYTES: usize = 1 << 20;
/// Points that a turn of a core decodes.
const TURN_POINTS: usize = 8192;

/// The files of a journal, being written.
#[derive(Default)]
struct Files {
    bytes: BTreeMap<PathBuf, Vec<u8>>,
    heads: [(u32, u32); 2],
    serials: [u64; 2],
}

impl Files {
    fn write(&mut self, kind: Kind, entries: u32, mut block: Vec<u8>) {
        let lane = usize::from(kind == Kind::Names);
        let folder = ["points", "names"][lane];
        let path = |segment: u32| PathBuf::from(format!("00000001-00000-{segment:08}.{folder}"));
        let (segment, _) = self.heads[lane];
        let used = self.bytes.get(&path(segment)).map_or(0, Vec::len);
        if used + block_bytes(block.len()) > SEGMENT_BYTES {
            self.heads[lane] = (segment + 1, 0);
        }
        let (segment, block_number) = self.heads[lane];
        let head = Head {
            kind,
            shard: 0,
            epoch: 1,
            segment,
            block: block_number,
            generation: 0,
            serial: self.serials[lane],
            received_ms: u64::from(NOW) * 1000,
            entries,
            retired: 0,
            epochs_done: 0,
            mount: 1,
        };
        head.seal(&mut block);
        self.bytes
            .entry(path(segment))
            .or_default()
            .append(&mut block);
        self.heads[lane].1 += 1;
        self.serials[lane] += u64::from(entries);
    }
}

fn files(series: u32, points: u32, random: bool, written: bool) -> Files {
    let mut files = Files::default();
    let mut encoder = NameEncoder::new(Vec::new());
    for id in 0..series {
        encoder.name(id, &name(id));
        if encoder.payload_bytes() > BLOCK_BYTES || id + 1 == series {
            let full = std::mem::replace(&mut encoder, NameEncoder::new(Vec::new()));
            files.write(Kind::Names, full.names(), full.finish());
        }
    }
    let received_ms = u64::from(NOW) * 1000;
    let mut encoder = PointEncoder::new(Vec::new(), received_ms);
    for index in 0..points {
        let id = if random {
            index.wrapping_mul(2_654_435_761) % series
        } else {
            index % series
        };
        let timestamp = NOW + index / series * 10;
        if written && id == 0 {
            encoder.written(0, series);
        }
        encoder.point(id, value_of(id, timestamp));
        if encoder.payload_bytes() > BLOCK_BYTES || index + 1 == points {
            let full = std::mem::replace(&mut encoder, PointEncoder::new(Vec::new(), received_ms));
            files.write(Kind::Points, full.points(), full.finish());
        }
    }
    files
}

fn begin(files: &Files) -> Result<Replay> {
    let looked = files.bytes.iter().map(|(path, bytes)| {
        let mut first = Vec::new();
        while let Some(wanted) = wants(&first, bytes.len() as u64) {
            first = bytes[..wanted].to_vec();
        }
        Looked {
            path: path.clone(),
            bytes: bytes.len() as u64,
            first,
        }
    });
    Ok(Replay::new(Survey::new(looked)?, Box::new(|_, _| true), 1))
}

fn read(files: &Files, path: &Path, ranges: &[ByteRange]) -> Result<FileOutcome> {
    let bytes = files
        .bytes
        .get(path)
        .ok_or_else(|| anyhow!("{}", path.display()))?;
    let range = ranges.first().ok_or_else(|| anyhow!("no range"))?;
    let (offset, from) = (range.offset, usize::try_from(range.offset)?);
    let bytes = bytes[from..from + range.len as usize].to_vec();
    let (slot, generation) = (0, 0);
    Ok(FileOutcome::Opened {
        visit: VisitId { slot, generation },
        pieces: vec![Piece { offset, bytes }],
    })
}

/// Reads everything; says how many points were given out.
fn run(mut replay: Replay, files: &Files) -> Result<u64> {
    let mut sum = 0.0;
    loop {
        while let Some((token, operation)) = replay.next_operation() {
            let answer = if let FileOperation::Open { path, ranges, .. } = operation {
                read(files, &path, &ranges)?
            } else {
                // A replay opens and closes, nothing else.
                FileOutcome::Closed
            };
            replay.complete(token, Ok(answer));
        }
        let progress = replay.work(TURN_POINTS, &mut |owed: &[Owed]| {
            sum += owed.iter().map(|owed| owed.value).sum::<f64>();
            owed.len()
        });
        if progress == Progress::Done {
            assert!(replay.report().is_sound(), "{:?}", replay.report());
            assert!(sum > 0.0, "points have values");
            return Ok(replay.report().given);
        }
    }
}

/// A replay of each kind.
pub(crate) fn replay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(SAMPLES_OF_LONG_ROUNDS);
    for (order, series, points, random, written) in [
        ("regular", SERIES, POINTS, false, false),
        ("written", SERIES, POINTS, false, true),
        ("random", RANDOM_SERIES, RANDOM_POINTS, true, false),
    ] {
        // Made only where it is asked for: it takes some hundred megabytes.
        let mut made = None;
        group.throughput(Throughput::Elements(u64::from(points)));
        group.bench_function(order, |bencher| {
            let files = made.get_or_insert_with(|| files(series, points, random, written));
            let owed = if written {
                u64::from(series)
            } else {
                u64::from(points)
            };
            bencher.iter_batched(
                || begin(files),
                |replay| {
                    let given = replay.and_then(|replay| run(replay, files));
                    assert!(
                        given.as_ref().is_ok_and(|given| *given == owed),
                        "{given:?}"
                    );
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}
