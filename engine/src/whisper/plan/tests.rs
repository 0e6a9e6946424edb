//! The rules of an update, one by one, on files in memory. The comparison with Python itself is in
//! engine/tests/it/whisper_python/.

use super::*;
use crate::whisper::{Aggregation, HEAD_READ_BYTES, Retention, archive_points};
use proptest::prelude::*;

/// A file in memory.
struct File {
    bytes: Vec<u8>,
    header: Header,
    /// Rounds of `Need` of the last update.
    rounds: Vec<Vec<ByteRange>>,
    outcome: Outcome,
}

impl File {
    fn new(archives: &[(u32, u32)], x_files_factor: f32, aggregation: Aggregation) -> Self {
        let archives: Vec<Retention> = archives
            .iter()
            .map(|&(step_s, points)| Retention { step_s, points })
            .collect();
        let header = Header::new(&archives, x_files_factor, aggregation).unwrap();
        let mut bytes = header.encode();
        bytes.resize(usize::try_from(header.file_bytes()).unwrap(), 0);
        Self::with(header, bytes)
    }

    fn with(header: Header, bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            header,
            rounds: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    fn read(&self, range: ByteRange) -> Vec<u8> {
        let start = usize::try_from(range.offset).unwrap().min(self.bytes.len());
        let end = (start + range.len as usize).min(self.bytes.len());
        self.bytes[start..end].to_vec()
    }

    /// Carries an update out and returns the pieces that it wrote.
    fn try_update(&mut self, points: &[(u32, f64)], now: u32) -> Result<Vec<Piece>, PlanError> {
        let points: Vec<Point> = points
            .iter()
            .map(|&(timestamp, value)| Point { timestamp, value })
            .collect();
        let mut image = Image::new();
        let head = byte_head(HEAD_READ_BYTES);
        image.add(head, self.read(head));
        self.rounds.clear();
        loop {
            match plan(&self.header, &points, now, &image)? {
                Plan::Need(ranges) => {
                    for range in &ranges {
                        image.add(*range, self.read(*range));
                    }
                    self.rounds.push(ranges);
                    assert!(
                        self.rounds.len() <= NEED_ROUNDS_MAX as usize,
                        "{:?}",
                        self.rounds
                    );
                }
                Plan::Write { pieces, outcome } => {
                    for piece in &pieces {
                        let start = usize::try_from(piece.offset).unwrap();
                        self.bytes[start..][..piece.bytes.len()].copy_from_slice(&piece.bytes);
                    }
                    self.outcome = outcome;
                    return Ok(pieces);
                }
            }
        }
    }

    fn update(&mut self, points: &[(u32, f64)], now: u32) -> Vec<Piece> {
        self.try_update(points, now).unwrap()
    }

    /// What an archive holds, in slot order.
    fn archive(&self, number: usize) -> Vec<(u32, f64)> {
        let archive = &self.header.archives[number];
        let start = usize::try_from(archive.offset).unwrap();
        let points = archive_points(archive, &self.bytes[start..]);
        points
            .into_iter()
            .map(|point| (point.timestamp, point.value))
            .collect()
    }
}

fn byte_head(len: u32) -> ByteRange {
    ByteRange { offset: 0, len }
}

fn places(pieces: &[Piece]) -> Vec<(u64, usize)> {
    pieces
        .iter()
        .map(|piece| (piece.offset, piece.bytes.len() / POINT_BYTES))
        .collect()
}

const NOW: u32 = 1_700_000_000 - 1_700_000_000 % 3600;

#[test]
fn a_first_point_becomes_the_base() {
    let mut file = File::new(&[(60, 5), (300, 4)], 0.5, Aggregation::Sum);
    let pieces = file.update(&[(NOW + 61, 2.5)], NOW + 70);
    assert_eq!(places(&pieces), [(40, 1)]);
    assert_eq!(file.archive(0), [(NOW + 60, 2.5)]);
    assert_eq!(file.archive(1), []);
    // an empty archive is not read
    assert!(file.rounds.is_empty(), "{:?}", file.rounds);
    assert_eq!(
        file.outcome,
        Outcome {
            written: 1,
            ..Outcome::default()
        }
    );
}

#[test]
fn one_point_of_a_file_of_two_archives_takes_one_round() {
    let mut file = File::new(&[(60, 20), (300, 8)], 0.5, Aggregation::Average);
    file.update(&[(NOW, 0.0)], NOW);
    file.update(&[(NOW + 600, 1.0), (NOW + 660, 2.0)], NOW + 660);
    let pieces = file.update(&[(NOW + 720, 6.0)], NOW + 720);
    let window = ByteRange {
        offset: 160,
        len: 60,
    };
    let base = ByteRange {
        offset: 280,
        len: 12,
    };
    assert_eq!(file.rounds, [vec![window, base]]);
    assert_eq!(places(&pieces), [(184, 1), (280, 1)]);
    assert_eq!(file.archive(1), [(NOW + 600, 3.0)]);
    assert_eq!(file.outcome.propagated, 1);
}

#[test]
fn neighbours_are_one_piece_and_two_where_the_ring_wraps() {
    let mut file = File::new(&[(60, 5)], 0.5, Aggregation::Sum);
    file.update(&[(NOW, 0.0)], NOW);
    let points: Vec<(u32, f64)> = (3..=6).map(|n| (NOW + n * 60, f64::from(n))).collect();
    let pieces = file.update(&points, NOW + 360);
    assert_eq!(places(&pieces), [(28, 2), (64, 2)]);
    assert_eq!(
        file.archive(0),
        [
            (NOW + 300, 5.0),
            (NOW + 360, 6.0),
            (NOW + 180, 3.0),
            (NOW + 240, 4.0)
        ]
    );
}

#[test]
fn pieces_that_touch_across_archives_are_one() {
    let mut file = File::new(&[(60, 5), (300, 4)], 0.0, Aggregation::Sum);
    file.update(&[(NOW, 1.0)], NOW);
    let pieces = file.update(&[(NOW + 240, 2.0)], NOW + 240);
    assert_eq!(places(&pieces), [(88, 2)]);
}

#[test]
fn the_newest_second_of_an_interval_wins_and_the_later_of_a_second() {
    let mut file = File::new(&[(60, 5)], 0.5, Aggregation::Sum);
    file.update(
        &[
            (NOW + 50, 3.0),
            (NOW + 10, 1.0),
            (NOW + 50, 4.0),
            (NOW + 20, 2.0),
        ],
        NOW + 50,
    );
    assert_eq!(file.archive(0), [(NOW, 4.0)]);
    assert_eq!((file.outcome.written, file.outcome.superseded), (3, 1));
}

#[test]
fn a_point_as_old_as_the_archive_still_fits_and_laps_the_newest() {
    let mut file = File::new(&[(60, 5)], 0.5, Aggregation::Sum);
    let points: Vec<(u32, f64)> = (0..=5).map(|n| (NOW + n * 60, f64::from(n))).collect();
    // six slots in a ring of five: the newest overwrites the oldest
    file.update(&points, NOW + 300);
    assert_eq!(file.outcome.written, 6);
    assert_eq!(file.archive(0)[0], (NOW + 300, 5.0));
    assert_eq!(file.archive(0).len(), 5);
    // one second later it no longer does
    let pieces = file.update(&[(NOW, 9.0)], NOW + 301);
    assert_eq!((pieces.len(), file.outcome.too_old), (0, 1));
}

#[test]
fn a_batch_that_spans_archives_leaves_the_raw_point_in_the_coarse_one() {
    let mut file = File::new(&[(60, 5), (300, 4)], 0.0, Aggregation::Sum);
    // 299 s and 301 s ago: the same coarse interval; the older one lands raw over the aggregate
    let now = NOW + 420;
    let points = [(now - 301, 5.0), (now - 299, 7.0)];
    file.update(&points, now);
    assert_eq!(file.archive(0), [(NOW + 120, 7.0)]);
    assert_eq!(file.archive(1), [(NOW, 5.0)]);
    assert_eq!((file.outcome.written, file.outcome.propagated), (2, 1));
}

#[test]
fn points_older_than_every_archive_are_counted() {
    let mut file = File::new(&[(60, 5), (300, 4)], 0.5, Aggregation::Sum);
    let now = NOW + 1500;
    let pieces = file.update(&[(NOW, 1.0), (NOW + 299, 1.0), (NOW + 300, 2.0)], now);
    assert_eq!((file.outcome.written, file.outcome.too_old), (1, 2));
    assert_eq!(places(&pieces), [(100, 1)]);
}

#[test]
fn future_points_go_to_the_finest_archive_however_far() {
    let mut file = File::new(&[(60, 5), (300, 4)], 0.5, Aggregation::Sum);
    file.update(&[(NOW, 1.0)], NOW);
    let pieces = file.update(
        &[(u32::MAX, 2.0), (NOW + 60, 1.0), (NOW + 86_400, 3.0)],
        NOW,
    );
    assert!(
        pieces
            .iter()
            .all(|piece| piece.bytes.len() <= 5 * POINT_BYTES),
        "{pieces:?}"
    );
    assert_eq!(file.outcome.written, 3);
    assert!(file.archive(0).contains(&(u32::MAX - u32::MAX % 60, 2.0)));
}

#[test]
fn a_run_longer_than_the_ring_ends_with_its_newest_lap() {
    let mut file = File::new(&[(60, 5), (300, 4)], 1.0, Aggregation::Sum);
    let points: Vec<(u32, f64)> = (0..23).map(|n| (NOW + n * 60, f64::from(n))).collect();
    let pieces = file.update(&points, NOW);
    assert_eq!(places(&pieces), [(40, 5)], "the ring once, and no more");
    let mut newest = file.archive(0);
    newest.sort_by_key(|point| point.0);
    let expected: Vec<(u32, f64)> = points[18..].to_vec();
    assert_eq!(newest, expected);
}

#[test]
fn the_x_files_factor_decides_as_in_python() {
    for (tenths, propagates) in
        (1..=9).zip([false, false, false, false, true, false, true, false, true])
    {
        let factor = f32::from(u8::try_from(tenths).unwrap()) / 10.0;
        let mut file = File::new(&[(60, 60), (600, 60)], factor, Aggregation::Sum);
        let points: Vec<(u32, f64)> = (0..tenths).map(|n| (NOW + n * 60, 1.0)).collect();
        file.update(&points, NOW + 600);
        assert_eq!(file.archive(1).len(), usize::from(propagates), "{factor}");
    }
}

#[test]
fn where_nothing_was_aggregated_coarser_archives_are_not_reached() {
    let mut file = File::new(&[(1, 60), (10, 60), (60, 60)], 0.5, Aggregation::Max);
    let second: Vec<(u32, f64)> = (0..50).map(|n| (NOW + n, f64::from(n))).collect();
    file.update(&second[..40], NOW + 40);
    assert_eq!(file.archive(1).len(), 4);
    assert_eq!(file.archive(2), [(NOW, 39.0)]);
    // two of ten known: neither the next archive nor the one after it
    file.update(&second[40..42], NOW + 42);
    assert_eq!(file.archive(1).len(), 4);
    assert_eq!(file.archive(2), [(NOW, 39.0)]);
    file.update(&second[42..50], NOW + 50);
    assert_eq!(file.archive(2), [(NOW, 49.0)]);
}

#[test]
fn the_oldest_interval_of_a_batch_becomes_a_coarse_archive_s_base() {
    let mut file = File::new(&[(60, 30), (300, 40)], 0.0, Aggregation::Last);
    let points: Vec<(u32, f64)> = (0..20)
        .rev()
        .map(|n| (NOW + n * 60, f64::from(n)))
        .collect();
    file.update(&points, NOW + 1200);
    let expected = [(0, 4.0), (300, 9.0), (600, 14.0), (900, 19.0)];
    assert_eq!(file.archive(1), expected.map(|(s, value)| (NOW + s, value)));
}

#[test]
fn a_file_of_four_archives_takes_three_rounds() {
    let archives = [(1, 10), (10, 6), (60, 5), (300, 10)];
    let mut file = File::new(&archives, 0.0, Aggregation::Sum);
    file.update(&[(NOW, 1.0), (NOW + 1, 1.0)], NOW + 1);
    file.update(&[(NOW + 2, 1.0)], NOW + 2);
    assert_eq!(file.rounds.len(), 3);
    assert_eq!(file.archive(3), [(NOW, 3.0)]);
}

#[test]
fn a_lapped_window_counts_only_its_own_interval() {
    let mut file = File::new(&[(60, 5), (300, 4)], 0.5, Aggregation::Sum);
    file.update(&[(NOW, 1.0), (NOW + 60, 1.0), (NOW + 120, 1.0)], NOW + 120);
    // the next lap: the three old points lie in the window's slots and are not of it
    file.update(&[(NOW + 480, 8.0), (NOW + 540, 8.0)], NOW + 540);
    assert_eq!(file.archive(1), [(NOW, 3.0)]);
}

#[test]
fn the_interval_at_second_zero_is_never_written() {
    let mut file = File::new(&[(60, 5), (300, 4)], 0.0, Aggregation::Sum);
    file.update(&[(59, 1.0), (60, 2.0)], 100);
    assert_eq!((file.outcome.written, file.outcome.too_old), (1, 1));
    assert_eq!(file.archive(0), [(60, 2.0)]);
    assert_eq!(file.archive(1), []);
}

#[test]
fn no_points_need_nothing() {
    let mut file = File::new(&[(60, 5)], 0.5, Aggregation::Sum);
    assert_eq!(file.update(&[], NOW), []);
    assert_eq!(file.outcome, Outcome::default());
}

#[test]
fn a_file_that_ends_early_is_refused_and_not_grown() {
    let mut file = File::new(&[(60, 100), (300, 100)], 0.0, Aggregation::Sum);
    file.update(&[(NOW, 1.0)], NOW);
    let needed = file.header.file_bytes();
    for (length, found) in [(40, 40), (99, 99), (130, 130), (600, 1240), (1250, 1250)] {
        let mut cut = File::with(file.header.clone(), file.bytes[..length].to_vec());
        // 5, 15 and 25 slots on, so that every cut is met by the head, the window or a base
        let refused = [5, 15, 25].map(|n| cut.try_update(&[(NOW + n * 60, 1.0)], NOW + n * 60));
        let error = PlanError::FileTooShort { found, needed };
        assert!(refused.contains(&Err(error)), "{length}: {refused:?}");
        assert_eq!(cut.bytes.len(), length);
    }
}

#[test]
fn a_window_of_gigabytes_is_refused() {
    let sizes = [(1, 40_000_000), (40_000_000, 2)];
    let sizes = sizes.map(|(step_s, points)| Retention { step_s, points });
    let header = Header::new(&sizes, 0.5, Aggregation::Sum).unwrap();
    let error = PlanError::WindowTooLong {
        archive: 1,
        found: 480_000_000,
    };
    assert_eq!(plan(&header, &[], NOW, &Image::new()), Err(error));
}

/// A planner that has planned updates of more points than it keeps room for.
fn used_planner() -> Planner {
    let header = File::new(&[(1, 20_000), (60, 600), (300, 300)], 0.0, Aggregation::Sum).header;
    let mut planner = Planner::default();
    let count = u32::try_from(PLANNER_KEPT_MAX).unwrap() * 8;
    let points: Vec<Point> = (0..count)
        .map(|age| Point {
            timestamp: NOW - count + age,
            value: f64::from(age),
        })
        .collect();
    for image in [Image::of_new(&header), Image::new()] {
        planner.plan(&header, &points, NOW, &image).unwrap();
    }
    planner
}

#[test]
fn what_a_large_update_took_is_given_back() {
    let header = File::new(&[(1, 100)], 0.0, Aggregation::Sum).header;
    let mut planner = used_planner();
    assert_eq!(planner.levels.len(), 3);
    let point = Point {
        timestamp: NOW,
        value: 1.0,
    };
    (planner.plan(&header, &[point], NOW, &Image::of_new(&header))).unwrap();
    assert_eq!(planner.levels.len(), 1);
    let kept = [
        planner.levels[0].writes.capacity(),
        planner.stage.capacity(),
        planner.needs.capacity(),
    ];
    assert!(
        kept.iter().all(|kept| *kept <= PLANNER_KEPT_MAX),
        "{kept:?}"
    );
}

fn any_points() -> impl Strategy<Value = Vec<(u32, f64)>> {
    let near = (NOW - 20_000..NOW + 2_000).boxed();
    let timestamp = prop_oneof![8 => near, 1 => any::<u32>().boxed()];
    prop::collection::vec((timestamp, any::<f64>()), 0..40)
}

proptest! {
    /// Whatever an archive holds: rounds, bounds and shape of the pieces stay.
    #[test]
    fn a_witness_lies_in_its_archive_whatever_the_points(
        step_s in prop_oneof![Just(1u32), 1..4000u32],
        points in 1..5000u32,
        base in prop_oneof![Just(u32::MAX), any::<u32>()],
        times in prop_oneof![Just((0, u32::MAX)), any::<(u32, u32)>()],
    ) {
        let archive = Archive { offset: 28, step_s, points };
        let base = archive.align(base);
        let seen = [times.0.min(times.1), times.0.max(times.1)];
        let seen = seen.map(|timestamp| Point { timestamp, value: 1.0 });
        let range = witness(&archive, base, &seen).unwrap();
        let end = range.offset + u64::from(range.len);
        prop_assert!(range.len > 0 && range.offset >= 28 && end <= 28 + archive.bytes());
    }

    #[test]
    fn a_file_full_of_rubbish_is_written_to_within_its_bounds(
        infos in prop::collection::vec((1u32..8, 1u32..40), 1..7),
        rubbish in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 12..400),
        empty in prop::collection::vec(any::<bool>(), 7),
        points in any_points(),
        now in prop_oneof![4 => Just(NOW), 1 => any::<u32>()],
        head in prop_oneof![Just(0u32), 1..=HEAD_READ_BYTES],
    ) {
        let mut step_s = 0;
        let mut offset = (16 + 12 * infos.len()) as u64;
        let mut archives = Vec::new();
        for (more, points) in infos {
            step_s += more * if archives.is_empty() { 1 } else { 10 };
            archives.push(Archive { offset, step_s, points });
            offset += u64::from(points) * 12;
        }
        let header = Header {
            aggregation: Aggregation::Average,
            max_retention_s: 1,
            x_files_factor: 0.0,
            archives,
        };
        let mut bytes = header.encode();
        prop_assert_eq!(Header::parse(&bytes), Ok(header.clone()));
        let whole = usize::try_from(header.file_bytes()).unwrap();
        bytes.extend(rubbish.iter().cycle().take(whole - bytes.len()));
        for (archive, _) in header.archives.iter().zip(empty).filter(|(_, empty)| *empty) {
            bytes[usize::try_from(archive.offset).unwrap()..][..4].fill(0);
        }
        let points: Vec<Point> = points
            .into_iter()
            .map(|(timestamp, value)| Point { timestamp, value })
            .collect();
        let file = File::with(header, bytes);
        let mut image = Image::new();
        image.add(byte_head(head), file.read(byte_head(head)));
        let mut planner = used_planner();
        for round in 0.. {
            let planned = planner.plan(&file.header, &points, now, &image).unwrap();
            prop_assert_eq!(&plan(&file.header, &points, now, &image).unwrap(), &planned);
            match planned {
                Plan::Need(ranges) => {
                    prop_assert!(round < NEED_ROUNDS_MAX);
                    prop_assert!(!ranges.is_empty());
                    for range in ranges {
                        prop_assert!(range.offset + u64::from(range.len) <= whole as u64);
                        image.add(range, file.read(range));
                    }
                }
                Plan::Write { pieces, .. } => {
                    let mut end = file.header.header_bytes() as u64;
                    for (nth, piece) in pieces.iter().enumerate() {
                        prop_assert!(piece.offset > end || nth == 0 && piece.offset == end);
                        end = piece.offset + piece.bytes.len() as u64;
                    }
                    prop_assert!(end <= whole as u64);
                    break;
                }
            }
        }
    }
}
