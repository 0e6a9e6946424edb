//! Segments against the real kernel, whatever the driver: made, written, synced, kept open, removed.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "any other answer fails the test"
)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;

use super::files::run;
use super::*;

fn reserve(ring: &mut Ring, path: &Path, bytes: u64) -> Result<VisitId, FileError> {
    let path = path.to_owned();
    match run(ring, FileOperation::Reserve { path, bytes })? {
        FileOutcome::Opened { visit, pieces } => {
            assert_eq!(pieces, []);
            Ok(visit)
        }
        other => panic!("{other:?}"),
    }
}

fn append(visit: VisitId, offset: u64, bytes: Vec<u8>, sync: bool) -> FileOperation {
    let piece = Piece { offset, bytes };
    FileOperation::Append { visit, piece, sync }
}

#[test]
fn a_segment_is_written_piece_by_piece() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.points");
    let mut ring = Ring::new(small()).unwrap();
    let visit = reserve(&mut ring, &path, 3 << 20).unwrap();
    let allocated = fs::metadata(&path).unwrap();
    assert_eq!(allocated.len(), 3 << 20);
    assert!(allocated.blocks() * 512 >= 3 << 20, "it is sparse");

    let (one, two) = (vec![1; 1 << 20], vec![2; (1 << 20) + 64]);
    let answer = run(&mut ring, append(visit, 0, one.clone(), false));
    assert_eq!(answer, Ok(FileOutcome::Appended(one.clone())));
    let answer = run(&mut ring, append(visit, 1 << 20, two.clone(), true));
    assert_eq!(answer, Ok(FileOutcome::Appended(two.clone())));
    assert_eq!(
        run(&mut ring, FileOperation::Sync { visit }),
        Ok(FileOutcome::Synced)
    );
    let mut expected = [one, two].concat();
    expected.resize(3 << 20, 0);
    assert!(fs::read(&path).unwrap() == expected);

    // It is used again from its start.
    let again = run(&mut ring, append(visit, 0, vec![3; 64], false));
    assert_eq!(again, Ok(FileOutcome::Appended(vec![3; 64])));
    assert_eq!(
        fs::read(&path).unwrap()[..65],
        [&[3; 64][..], &[1]].concat()
    );
    assert_eq!(
        run(&mut ring, FileOperation::Close { visit }),
        Ok(FileOutcome::Closed)
    );
    let remove = FileOperation::Remove { path: path.clone() };
    assert_eq!(run(&mut ring, remove.clone()), Ok(FileOutcome::Removed));
    assert!(!path.exists());
    let gone = run(&mut ring, remove).unwrap_err();
    assert_eq!(
        (gone.stage, gone.errno),
        (Stage::Remove, Errno::NOENT.raw_os_error())
    );
}

#[test]
fn a_segment_that_is_there_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.points");
    fs::write(&path, b"somebody's").unwrap();
    let mut ring = Ring::new(small()).unwrap();
    let refused = reserve(&mut ring, &path, 4096).unwrap_err();
    assert_eq!(
        (refused.stage, refused.errno),
        (Stage::Create, Errno::EXIST.raw_os_error())
    );
    assert_eq!(fs::read(&path).unwrap(), b"somebody's");
    // The visit that it would have had is free again, whichever it was.
    for number in 0..small().visits_max {
        let path = directory.path().join(format!("n{number}"));
        reserve(&mut ring, &path, 0).unwrap();
    }
}

#[test]
fn a_segment_without_room_leaves_no_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.points");
    let mut ring = Ring::new(small()).unwrap();
    // More than any file system here has.
    let refused = reserve(&mut ring, &path, 1 << 60).unwrap_err();
    assert_eq!(refused.stage, Stage::Allocate, "{refused}");
    assert!(!path.exists(), "its name is left");
}

#[test]
fn a_write_that_fails_leaves_the_segment_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.points");
    let mut ring = Ring::new(small()).unwrap();
    let visit = reserve(&mut ring, &path, 0).unwrap();
    // Beyond the longest file that there can be.
    let beyond = append(visit, i64::MAX as u64 - 64, vec![1; 32], false);
    let refused = run(&mut ring, beyond).unwrap_err();
    assert_eq!(refused.stage, Stage::Write, "{refused}");
    let answer = run(&mut ring, append(visit, 0, vec![7; 64], true));
    assert_eq!(answer, Ok(FileOutcome::Appended(vec![7; 64])));
    assert_eq!(fs::read(&path).unwrap(), [7; 64]);
}
