//! Whisper against Python's own: the same sequence of batches on both sides, the same clock, and
//! then the same file and the same answers to queries.
//! Compared are the header's bytes and, per archive, the set of (timestamp, value) with values bit
//! by bit; any NaN equals any NaN, because its payload is the processor's business. Where a coarse
//! archive begins depends in Python on the iteration order of a set, so places are not compared;
//! every third case runs Python with that set sorted, and then the whole file must be equal byte
//! by byte. Where two coarse intervals of one batch share a slot, that order even decides which one
//! stays: such a batch is given to Python with the set sorted in the other cases too.
//! Left out by construction: equal timestamps (Python keeps the first received, we the last; it is
//! fed the batch already reduced), and unbroken runs longer than an archive plus one, which Python
//! writes past the archive's end.
//! The cases are the same every run; WHISPER_SEED=n runs others, and a failure names its own.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod draw;
mod file;
mod python;

use std::collections::BTreeMap;

use benzene_engine::point::Point;
use benzene_engine::whisper::{Aggregation, Header, Retention, archive_points};

use draw::Draw;
use file::File;
use python::Python;

const CASES: u64 = 2_400;

#[test]
fn sequences_of_updates_leave_python_s_file() {
    let first: u64 = std::env::var("WHISPER_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut python = Python::start();
    let mut met = Met::default();
    for seed in first..first + CASES {
        run_case(seed, &mut python, &mut met);
    }
    met.assert_everything_was_met();
}

#[test]
fn the_layouts_that_python_refuses_are_refused() {
    let mut python = Python::start();
    let mut draw = Draw(1);
    let mut accepted = 0;
    for _ in 0..1000 {
        let mut archives = draw.archives();
        for retention in &mut archives {
            match draw.below(8) {
                0 => retention.points = draw.small(1, 20),
                1 => retention.step_s = draw.small(1, 30),
                _ => {}
            }
        }
        let ours = Header::new(&archives, 0.5, Aggregation::Average);
        let theirs = python.ask(&format!("validate {}", pairs(&archives)));
        assert_eq!(
            ours.is_ok(),
            theirs == "ok",
            "{archives:?}: {ours:?}, Python: {theirs}"
        );
        accepted += u32::from(ours.is_ok());
    }
    assert!((200..800).contains(&accepted), "{accepted} of 1000");
}

fn pairs(archives: &[Retention]) -> String {
    let pair = |archive: &Retention| format!("{}:{}", archive.step_s, archive.points);
    archives.iter().map(pair).collect::<Vec<_>>().join(",")
}

/// What the cases together must have met; otherwise they prove less than they say.
#[derive(Debug, Default)]
struct Met {
    methods: [u64; 8],
    propagated: u64,
    too_old: u64,
    superseded: u64,
    future: u64,
    spanning: u64,
    laps: u64,
    known_values: u64,
    odd_layouts: u64,
    no_answers: u64,
    /// Batches that Python got with its set sorted, because its order would have decided.
    sorted_by_need: u64,
}

impl Met {
    fn assert_everything_was_met(&self) {
        assert!(self.methods.iter().all(|cases| *cases > 100), "{self:?}");
        let counts = [
            self.propagated,
            self.too_old,
            self.superseded,
            self.future,
            self.spanning,
            self.laps,
            self.known_values,
            self.odd_layouts,
            self.no_answers,
        ];
        assert!(counts.iter().all(|count| *count > 200), "{self:?}");
        assert!(self.sorted_by_need < CASES, "{self:?}");
    }
}

fn run_case(seed: u64, python: &mut Python, met: &mut Met) {
    let mut draw = Draw(seed);
    let header = draw.header();
    let sorted = seed.is_multiple_of(3);
    let context = format!("WHISPER_SEED={seed} (the first case of that run)");
    let mut file = File::new(&header);
    python.create(&header);
    met.methods[header.aggregation as usize - 1] += 1;
    met.odd_layouts += u64::from(is_odd(&header));
    let mut now = draw.between(1_000_000_000, 2_000_000_000);
    let finest = header.archives[0];
    for _ in 0..draw.between(1, 6) {
        now += match draw.below(4) {
            0 => draw.below(2),
            1 => draw.below(u64::from(finest.step_s) * 4),
            2 => draw.below(finest.retention_s()),
            _ => draw.below(u64::from(header.max_retention_s)),
        };
        let batch = draw.batch(&header, now);
        let shared = share_a_slot(&header, &batch, now);
        met.sorted_by_need += u64::from(shared);
        met.note(&header, &batch, now);
        let clock = u32::try_from(now).unwrap();
        let outcome = file.update(&header, &batch, clock, draw.head_bytes(&header));
        met.propagated += outcome.propagated;
        met.too_old += outcome.too_old;
        met.superseded += outcome.superseded;
        python.update(clock, sorted || shared, &batch);
        let theirs = python.file();
        assert_same_file(
            &header,
            &file.bytes,
            &theirs,
            &format!("{context}\n{batch:?} at {now}"),
        );
        if sorted {
            assert_eq!(
                plain_nans(&file.bytes, &header),
                plain_nans(&theirs, &header),
                "{context}"
            );
        }
    }
    for _ in 0..4 {
        let request = draw.request(&header, now);
        let ours = file.fetch(&header, request);
        let theirs = python.fetch(request);
        assert_eq!(ours, theirs, "{context}\n{request:?}");
        met.no_answers += u64::from(ours == "none");
        met.known_values += ours
            .split(' ')
            .skip(3)
            .filter(|value| *value != "-")
            .count() as u64;
    }
}

impl Met {
    fn note(&mut self, header: &Header, batch: &[Point], now: u64) {
        let ages = || {
            batch
                .iter()
                .map(|point| i64::try_from(now).unwrap() - i64::from(point.timestamp))
        };
        let finest = i64::try_from(header.archives[0].retention_s()).unwrap();
        self.future += u64::from(ages().any(|age| age < 0));
        self.spanning +=
            u64::from(ages().any(|age| age > finest) && ages().any(|age| age <= finest));
        self.laps += u64::from(ages().any(|age| age == finest));
    }
}

type Points = BTreeMap<u32, Vec<u64>>;

/// The values of each timestamp, bit by bit; a timestamp that stood in two slots would show.
fn point_set(bytes: &[u8], header: &Header, number: usize) -> Points {
    let archive = &header.archives[number];
    let start = usize::try_from(archive.offset).unwrap();
    let mut points = Points::new();
    for point in archive_points(archive, &bytes[start..]) {
        points
            .entry(point.timestamp)
            .or_default()
            .push(bits(point.value));
    }
    for values in points.values_mut() {
        values.sort_unstable();
    }
    points
}

fn bits(value: f64) -> u64 {
    if value.is_nan() {
        f64::NAN.to_bits()
    } else {
        value.to_bits()
    }
}

fn assert_same_file(header: &Header, ours: &[u8], theirs: &[u8], context: &str) {
    assert_eq!(ours.len(), theirs.len(), "{context}");
    let head = header.header_bytes();
    assert_eq!(ours[..head], theirs[..head], "{context}");
    for number in 0..header.archives.len() {
        let ours = point_set(ours, header, number);
        let theirs = point_set(theirs, header, number);
        assert_eq!(ours, theirs, "archive {number} of {header:?}\n{context}");
    }
}

/// The archives' bytes with every NaN the same.
fn plain_nans(bytes: &[u8], header: &Header) -> Vec<u8> {
    let mut plain = bytes.to_vec();
    for value in plain[header.header_bytes()..]
        .chunks_exact_mut(12)
        .map(|point| &mut point[4..])
    {
        let read = f64::from_be_bytes(value.try_into().unwrap());
        value.copy_from_slice(&bits(read).to_be_bytes());
    }
    plain
}
/// Whether `Header::new` would not have made this layout.
fn is_odd(header: &Header) -> bool {
    let retention = |archive: &benzene_engine::whisper::Archive| Retention {
        step_s: archive.step_s,
        points: archive.points,
    };
    let archives: Vec<Retention> = header.archives.iter().map(retention).collect();
    Header::new(&archives, header.x_files_factor, header.aggregation).is_err()
}
/// Whether two intervals of a coarser archive that one batch touches have the same slot.
fn share_a_slot(header: &Header, batch: &[Point], now: u64) -> bool {
    let reaching = |point: &Point| {
        let age = now.saturating_sub(u64::from(point.timestamp));
        header
            .archives
            .iter()
            .position(|archive| archive.retention_s() >= age)
    };
    (0..header.archives.len()).any(|from| {
        let raw = header.archives[from];
        let taken: Vec<u32> = batch
            .iter()
            .filter(|point| reaching(point) == Some(from))
            .map(|point| point.timestamp - point.timestamp % raw.step_s)
            .collect();
        header.archives[from + 1..].iter().any(|coarse| {
            let mut intervals: Vec<u32> = taken.iter().map(|time| time / coarse.step_s).collect();
            intervals.sort_unstable();
            intervals.dedup();
            let all = intervals.len();
            let mut slots: Vec<u32> = intervals.iter().map(|nth| nth % coarse.points).collect();
            slots.sort_unstable();
            slots.dedup();
            slots.len() < all
        })
    })
}
