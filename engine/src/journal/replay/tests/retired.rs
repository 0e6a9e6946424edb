//! All points of a journal whose files were used again: the oldest segments that are left need not
//! follow each other.

use super::*;

/// A segment of one block of three points.
fn segment(number: u32, first: u32, retired: u32) -> Vec<u8> {
    let mut encoder = PointEncoder::new(Vec::new(), u64::from(AT_S) * 1000);
    for id in 0..3 {
        let (timestamp, value) = (AT_S + number, 1.0);
        encoder.point(id, Point { timestamp, value });
    }
    let mut bytes = encoder.finish();
    let head = Head {
        segment: number,
        retired,
        ..head(Kind::Points, first, u64::from(number) * 3, 3)
    };
    head.seal(&mut bytes);
    bytes
}

/// The points, those lost, and the places where it is not known: of segments that begin with these
/// blocks, the last of which says how many are retired.
fn all(segments: &[(u32, u32)], retired: u32) -> (usize, u64, u64) {
    let mut history = History::default();
    history.files.insert(PathBuf::from(NAMES_FILE), names(3));
    for (number, first) in segments {
        let path = format!("/journal/00000001-00000-{number:08}.points");
        let bytes = segment(*number, *first, retired);
        history.files.insert(PathBuf::from(path), bytes);
    }
    let mut replay = replay_of(&history, |_| true).wanting(Wanted::All, None);
    let (given, progress) = run(&mut replay, &mut disk(&history), &mut Dice(1));
    assert_eq!(progress, Progress::Done);
    let report = replay.report();
    (given.len(), report.lost, report.lost_uncounted)
}

#[test]
fn what_is_retired_and_used_again_between_two_segments_is_no_loss() {
    assert_eq!(all(&[(0, 0), (2, 0), (3, 0)], 2), (9, 0, 0));
    assert_eq!(all(&[(0, 0), (3, 0), (4, 0)], 3), (9, 0, 0));
    // The own first blocks are gone all the same; nothing tells how many points they had.
    assert_eq!(all(&[(0, 0), (2, 1), (3, 0)], 2), (9, 0, 1));
    // Segment 2 owes something yet, and is gone.
    assert_eq!(all(&[(0, 0), (3, 0), (4, 0)], 2), (9, 6, 0));
}
