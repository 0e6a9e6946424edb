//! What the journal costs a point: its entry written into a block, and read again; and all of it but
//! the kernel's part, with ids, checksums and turns. `regular` is what
//! senders do, a hundred thousand series in the same order every round; `random` is a million series
//! in any order, the other end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use benzene_engine::cache::SeriesId;
use benzene_engine::clock::{self, Now};
use benzene_engine::journal::block::HEAD_BYTES;
use benzene_engine::journal::entry::{Entry, PointDecoder, PointEncoder};
use benzene_engine::journal::{Journal, JournalConfig, JournalToken, OnError, Sync};
use benzene_engine::limits::JOURNAL_SEGMENT_BYTES;
use benzene_engine::point::Point;
use benzene_engine::ring::{FileOperation, FileOutcome, VisitId};
use criterion::{Criterion, Throughput};

use crate::{NOW, SERIES, name, value_of};

/// Series of the random order.
const RANDOM_SERIES: u32 = 1_000_000;
/// Points of a block: what a megabyte holds.
const BLOCK_POINTS: u32 = 100_000;

/// Ids and points of a block in the order that senders keep, or in any.
fn points(random: bool) -> Vec<(u32, Point)> {
    let ids = (0..BLOCK_POINTS).map(|index| {
        if random {
            index.wrapping_mul(2_654_435_761) % RANDOM_SERIES
        } else {
            index % SERIES
        }
    });
    ids.map(|id| (id, value_of(id, NOW))).collect()
}

fn encode(bytes: Vec<u8>, points: &[(u32, Point)]) -> Vec<u8> {
    let mut encoder = PointEncoder::new(bytes, u64::from(NOW) * 1000);
    for (id, point) in points {
        encoder.point(*id, *point);
    }
    encoder.finish()
}

fn decode(block: &[u8]) -> Result<f64> {
    let mut sum = 0.0;
    for entry in PointDecoder::new(&block[HEAD_BYTES..], u64::from(NOW) * 1000) {
        if let Entry::Point { value, .. } = entry? {
            sum += value;
        }
    }
    Ok(sum)
}

/// Entries of points, without the journal around them.
pub(crate) fn entries(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(u64::from(BLOCK_POINTS)));
    for (order, random) in [("regular", false), ("random", true)] {
        let points = points(random);
        let block = encode(Vec::new(), &points);
        decode(&block)?;
        group.bench_function(format!("encode/{order}"), |bencher| {
            let mut kept = Some(block.clone());
            bencher.iter(|| kept = Some(encode(kept.take().unwrap_or_default(), &points)));
        });
        group.bench_function(format!("decode/{order}"), |bencher| {
            bencher.iter(|| decode(&block));
        });
    }
    group.finish();
    Ok(())
}

/// A journal whose disk answers at once, and forgets.
struct Noting {
    journal: Journal,
    started: Now,
    turns: u32,
}

impl Noting {
    fn start(names: &[String]) -> Noting {
        let config = JournalConfig {
            directory: "journal".into(),
            shard: 0,
            epoch: 1,
            segment_bytes: JOURNAL_SEGMENT_BYTES,
            segments_max: 8,
            commit: Duration::from_millis(10),
            sync: Sync::Every(Duration::from_secs(1)),
            on_error: OnError::Stop,
            data_sync: Arc::default(),
            mount: 1,
        };
        let started = clock::now();
        let mut noting = Noting {
            journal: Journal::new(config, started, 0),
            started,
            turns: 0,
        };
        let order: Vec<u32> = (0..).take(names.len()).collect();
        noting.round(names, &order, NOW);
        noting
    }

    /// A point of each series, a hundred a turn, a turn a millisecond.
    fn round(&mut self, names: &[String], order: &[u32], timestamp: u32) {
        for some in order.chunks(100) {
            for index in some {
                let name = || &*names[*index as usize];
                let point = value_of(*index, timestamp);
                self.journal.point(SeriesId(*index), name, point);
            }
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.turns += 1;
        let passed = Duration::from_millis(u64::from(self.turns));
        let now = Now {
            instant: self.started.instant + passed,
            unix_seconds: NOW + self.turns / 1000,
        };
        self.journal.begin_turn(now, self.turns / 1000);
        self.journal.end_turn(None);
        while let Some((token, operation)) = self.journal.next_operation() {
            self.journal.complete(token, Ok(answer(operation, token)));
            self.journal.end_turn(None);
        }
    }
}

fn answer(operation: FileOperation, token: JournalToken) -> FileOutcome {
    match operation {
        FileOperation::Append { piece, .. } => FileOutcome::Appended(piece.bytes),
        FileOperation::Sync { .. } => FileOutcome::Synced,
        FileOperation::Close { .. } => FileOutcome::Closed,
        FileOperation::Remove { .. } => FileOutcome::Removed,
        FileOperation::Reserve { .. }
        | FileOperation::Open { .. }
        | FileOperation::Probe { .. }
        | FileOperation::Locate { .. }
        | FileOperation::Read { .. }
        | FileOperation::Write { .. }
        | FileOperation::Look { .. }
        | FileOperation::SetAside { .. }
        | FileOperation::Adopt { .. }
        | FileOperation::Create { .. } => FileOutcome::Opened {
            visit: VisitId {
                slot: u32::try_from(token.0).unwrap_or(u32::MAX),
                generation: 0,
            },
            pieces: Vec::new(),
        },
    }
}

/// A point through the journal: its id, its entry, its share of the block's checksum and of the turns.
pub(crate) fn note(criterion: &mut Criterion) {
    for (size, series, random) in [
        ("100k/same_order", SERIES, false),
        ("1M/random_order", RANDOM_SERIES, true),
    ] {
        let names: Vec<String> = (0..series).map(name).collect();
        let mut order: Vec<u32> = (0..series).collect();
        if random {
            order.sort_by_key(|index| u64::from(*index) * 2_654_435_761 % 4_294_967_291);
        }
        let mut noting = Noting::start(&names);
        let mut group = criterion.benchmark_group("journal");
        group.throughput(Throughput::Elements(u64::from(series)));
        let mut timestamp = NOW;
        group.bench_function(format!("note/{size}"), |bencher| {
            bencher.iter(|| {
                timestamp += 10;
                noting.round(&names, &order, timestamp);
            });
        });
        group.finish();
    }
}
