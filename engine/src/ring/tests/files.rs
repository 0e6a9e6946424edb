//! Tests of file operations against the real kernel, on a temporary directory.
//! Each checks what is on the disk with std, and that no descriptor and no visit is left.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "any other answer fails the test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::create::Way;
use super::*;
use crate::ring::tests::{elsewhere, until};

type Answer = Result<FileOutcome, FileError>;

/// Turns until `enough` has seen enough answers. Threads that have finished something wake the ring;
/// nothing else happens.
fn until_answered(ring: &mut Ring, mut enough: impl FnMut(&mut Ring, FileToken, Answer) -> bool) {
    until(ring, |ring, event| match event {
        Event::File { token, result } => enough(ring, token, result),
        Event::Woken { word: 0 } => false,
        other => panic!("{other:?}"),
    });
}

/// Runs one operation to its end.
pub(super) fn run(ring: &mut Ring, operation: FileOperation) -> Answer {
    let mut answers = run_all(ring, vec![operation]);
    answers.pop().unwrap()
}

/// Runs operations together; answers in the order asked.
fn run_all(ring: &mut Ring, operations: Vec<FileOperation>) -> Vec<Answer> {
    let count = operations.len();
    for (operation, token) in operations.into_iter().zip(0..) {
        ring.file(FileToken(token), operation);
    }
    assert_eq!(ring.in_flight(), count);
    let mut answers: Vec<Option<Answer>> = (0..count).map(|_| None).collect();
    let mut missing = count;
    until_answered(ring, |_, token, result| {
        let answer = &mut answers[usize::try_from(token.0).unwrap()];
        assert!(answer.is_none(), "{token:?} was answered twice");
        *answer = Some(result);
        missing -= 1;
        missing == 0
    });
    assert_eq!(ring.in_flight(), 0);
    answers.into_iter().map(Option::unwrap).collect()
}

fn open(path: &Path, read_bytes: u32) -> FileOperation {
    FileOperation::Open {
        path: path.to_owned(),
        access: Access::default(),
        ranges: head(read_bytes),
    }
}

fn head(len: u32) -> Vec<ByteRange> {
    vec![ByteRange { offset: 0, len }]
}

fn opened(answer: Answer) -> (VisitId, Vec<u8>) {
    match answer.unwrap() {
        FileOutcome::Opened { visit, mut pieces } => (visit, pieces.remove(0).bytes),
        other => panic!("{other:?}"),
    }
}

fn create(path: &Path, allocation: Allocation, file_bytes: u64) -> FileOperation {
    let head = vec![b'h'; 52];
    FileOperation::Create {
        path: path.to_owned(),
        head,
        file_bytes,
        allocation,
        sync: false,
    }
}

fn failure(stage: Stage, errno: Errno) -> Answer {
    Err(FileError {
        stage,
        errno: errno.raw_os_error(),
    })
}

/// Descriptors of this process that lead into `directory`, direct files excluded.
fn descriptors_into(directory: &Path) -> Vec<PathBuf> {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    let targets = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
    targets
        .filter(|target| target.starts_with(directory))
        .collect()
}

fn assert_nothing_left(ring: &Ring, directory: &Path) {
    assert_eq!(descriptors_into(directory), Vec::<PathBuf>::new());
    assert_eq!(ring.admission().visits_in_use(), 0, "visits left");
}

/// What a visit reads at these offsets and lengths.
fn read(ring: &mut Ring, visit: VisitId, ranges: &[(u64, u32)]) -> Vec<(u64, Vec<u8>)> {
    let ranges = ranges
        .iter()
        .map(|&(offset, len)| ByteRange { offset, len })
        .collect();
    let answer = run(ring, FileOperation::Read { visit, ranges });
    let FileOutcome::Read(pieces) = answer.unwrap() else {
        panic!("no pieces")
    };
    pieces
        .into_iter()
        .map(|piece| (piece.offset, piece.bytes))
        .collect()
}

fn write(ring: &mut Ring, visit: VisitId, pieces: &[(u64, &[u8])], sync: bool) -> Answer {
    let piece = |&(offset, bytes): &(u64, &[u8])| Piece {
        offset,
        bytes: bytes.to_vec(),
    };
    let pieces = pieces.iter().map(piece).collect();
    run(
        ring,
        FileOperation::Write {
            visit,
            pieces,
            sync,
        },
    )
}

#[test]
fn a_visit_reads_and_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.wsp");
    fs::write(&path, b"0123456789").unwrap();
    let mut ring = Ring::new(small()).unwrap();
    for (random, sync, write_back) in [
        (false, false, false),
        (true, true, false),
        (false, false, true),
    ] {
        ring.spare_heads(write_back);
        let access = Access {
            lock: false,
            random,
            lazy: false,
        };
        let operation = FileOperation::Open {
            path: path.clone(),
            access,
            ranges: head(4),
        };
        let (visit, head) = opened(run(&mut ring, operation));
        assert_eq!(head, b"0123");
        let found = read(
            &mut ring,
            visit,
            &[(8, 2), (2, 3), (8, 100), (100, 5), (0, 0)],
        );
        let expected: [(u64, &[u8]); 5] =
            [(8, b"89"), (2, b"234"), (8, b"89"), (100, b""), (0, b"")];
        assert_eq!(
            found,
            expected.map(|(offset, bytes)| (offset, bytes.to_vec()))
        );
        let answer = write(&mut ring, visit, &[(1, b"1"), (8, b"89")], sync);
        assert_eq!(answer, Ok(FileOutcome::Written));
        assert_eq!(fs::read(&path).unwrap(), b"0123456789");
        assert_nothing_left(&ring, directory.path());
    }
}

/// Kernel workers of this thread's rings, each named by its thread.
fn kernel_workers() -> usize {
    let own = format!("iou-wrk-{}", rustix::thread::gettid().as_raw_nonzero());
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let names =
        threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim_end() == own).count()
}

#[test]
fn reads_are_left_to_kernel_workers_where_the_disk_may_keep_them_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.wsp");
    fs::write(&path, b"0123456789").unwrap();
    for by_workers in [false, true] {
        let mut ring = Ring::new(small()).unwrap();
        ring.spare_heads(by_workers);
        let (visit, head) = opened(run(&mut ring, open(&path, 4)));
        assert_eq!(head, b"0123");
        let found = read(&mut ring, visit, &[(8, 2), (100, 5)]);
        assert_eq!(found, [(8, b"89".to_vec()), (100, Vec::new())]);
        // The file is in memory: nothing else needs a worker. Threads are none of the kernel's.
        let is_of_ring = small().driver == Driver::Uring;
        assert_eq!(kernel_workers() > 0, by_workers && is_of_ring);
        let closed = run(&mut ring, FileOperation::Close { visit });
        assert_eq!(closed, Ok(FileOutcome::Closed));
        assert_nothing_left(&ring, directory.path());
    }
}

#[test]
fn a_write_reaches_the_last_byte_of_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.wsp");
    fs::write(&path, b"0123456789").unwrap();
    let mut ring = Ring::new(small()).unwrap();
    let (visit, _) = opened(run(&mut ring, open(&path, 0)));
    write(&mut ring, visit, &[(0, b"ab"), (9, b"z")], true).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"ab2345678z");
    let (visit, _) = opened(run(&mut ring, open(&path, 0)));
    assert_eq!(
        run(&mut ring, FileOperation::Close { visit }),
        Ok(FileOutcome::Closed)
    );
    assert_nothing_left(&ring, directory.path());
}

#[test]
fn a_file_does_not_grow_whatever_was_read_before() {
    let directory = tempfile::tempdir().unwrap();
    let (short, long) = (
        directory.path().join("short"),
        directory.path().join("long"),
    );
    fs::write(&short, b"0123456789").unwrap();
    fs::write(&long, vec![b'.'; 100]).unwrap();
    let mut ring = Ring::new(small()).unwrap();
    let refused = Err(FileError {
        stage: Stage::Reach,
        errno: Errno::NODATA.raw_os_error(),
    });
    for read_bytes in [0, 5, 10, 100] {
        // What was seen of the file before, in the same slot, says nothing of this one.
        let (visit, _) = opened(run(&mut ring, open(&long, 100)));
        assert_eq!(
            write(&mut ring, visit, &[(99, b"#")], false),
            Ok(FileOutcome::Written)
        );
        for (offset, bytes) in [(5, b"abcdef"), (94, b"ghijkl")] {
            let (visit, _) = opened(run(&mut ring, open(&short, read_bytes)));
            read(&mut ring, visit, &[(3, 2), (8, 100), (94, 6)]);
            let answer = write(&mut ring, visit, &[(offset, bytes)], false);
            assert_eq!(answer, refused, "after {read_bytes} bytes were read");
        }
        let (visit, _) = opened(run(&mut ring, open(&short, read_bytes)));
        let answer = write(&mut ring, visit, &[(4, b"456789")], false);
        assert_eq!(answer, Ok(FileOutcome::Written));
        assert_eq!(fs::read(&short).unwrap(), b"0123456789");
    }
    assert_nothing_left(&ring, directory.path());
}

#[test]
fn a_short_file_has_a_short_head() {
    let directory = tempfile::tempdir().unwrap();
    let mut ring = Ring::new(small()).unwrap();
    for len in [0_usize, 1, 99, 100, 101, 200_000] {
        let path = directory.path().join(len.to_string());
        fs::write(&path, vec![7; len]).unwrap();
        let (visit, head) = opened(run(&mut ring, open(&path, 100)));
        assert_eq!(head, vec![7; len.min(100)]);
        run(&mut ring, FileOperation::Close { visit }).unwrap();
    }
    assert_nothing_left(&ring, directory.path());
}

#[test]
fn more_pieces_than_one_chain_are_all_written_and_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.wsp");
    fs::write(&path, vec![b'.'; 3_000]).unwrap();
    let mut ring = Ring::new(small()).unwrap();
    for count in [12_u16, 13, 14, 15, 16, 17, 300] {
        let (visit, _) = opened(run(&mut ring, open(&path, 10)));
        let number = |at: u16| at.wrapping_mul(count).to_be_bytes().to_vec();
        let offset = |at: u16| u64::from(at) * 10;
        let pieces = (0..count)
            .map(|at| Piece {
                offset: offset(at),
                bytes: number(at),
            })
            .collect();
        run(
            &mut ring,
            FileOperation::Write {
                visit,
                pieces,
                sync: count == 15,
            },
        )
        .unwrap();
        let (visit, _) = opened(run(&mut ring, open(&path, 10)));
        let ranges = (0..count)
            .map(|at| ByteRange {
                offset: offset(at),
                len: 2,
            })
            .collect();
        let answer = run(&mut ring, FileOperation::Read { visit, ranges });
        let FileOutcome::Read(pieces) = answer.unwrap() else {
            panic!("no pieces")
        };
        for (piece, at) in pieces.iter().zip(0..) {
            assert_eq!(piece.bytes, number(at));
        }
        run(&mut ring, FileOperation::Close { visit }).unwrap();
    }
    assert_eq!(fs::metadata(&path).unwrap().len(), 3_000);
    assert_nothing_left(&ring, directory.path());
}

#[test]
fn more_files_than_slots_wait_for_their_turn() {
    let directory = tempfile::tempdir().unwrap();
    let mut ring = Ring::new(small()).unwrap();
    let paths: Vec<PathBuf> = (0..300)
        .map(|number| directory.path().join(format!("{number}.wsp")))
        .collect();
    for (path, number) in paths.iter().zip(0_u32..) {
        fs::write(path, [&number.to_be_bytes()[..], &[0; 8]].concat()).unwrap();
    }
    for (path, token) in paths.iter().zip(0..) {
        ring.file(FileToken(token), open(path, 4));
    }
    let (mut written, mut together) = (0, 0);
    until_answered(&mut ring, |ring, token, result| {
        together = together.max(ring.admission().visits_in_use());
        if result == Ok(FileOutcome::Written) {
            written += 1;
            return written == 300;
        }
        let (visit, head) = opened(result);
        assert_eq!(
            u64::from(u32::from_be_bytes(head.try_into().unwrap())),
            token.0
        );
        let bytes = (token.0 * 3).to_be_bytes().to_vec();
        let pieces = vec![Piece { offset: 4, bytes }];
        ring.file(
            token,
            FileOperation::Write {
                visit,
                pieces,
                sync: false,
            },
        );
        false
    });
    assert_eq!(together, 8);
    for (path, number) in paths.iter().zip(0_u64..) {
        assert_eq!(fs::read(path).unwrap()[4..], (number * 3).to_be_bytes());
    }
    assert_nothing_left(&ring, directory.path());
}

#[test]
fn a_probe_knows_files_from_gaps() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.wsp");
    fs::write(&path, b"").unwrap();
    let mut ring = Ring::new(small()).unwrap();
    let mut probe = |path: PathBuf| run(&mut ring, FileOperation::Probe { path });
    assert_eq!(probe(path.clone()), Ok(FileOutcome::Probed(true)));
    assert_eq!(
        probe(directory.path().join("b.wsp")),
        Ok(FileOutcome::Probed(false))
    );
    assert_eq!(
        probe(directory.path().join("b/c.wsp")),
        Ok(FileOutcome::Probed(false))
    );
    assert_eq!(probe(path.join("c.wsp")), Ok(FileOutcome::Probed(false)));
    let long = directory.path().join("x".repeat(256));
    assert_eq!(probe(long), failure(Stage::Probe, Errno::NAMETOOLONG));
    assert_eq!(probe("a\0b".into()), failure(Stage::Probe, Errno::INVAL));
    assert_nothing_left(&ring, directory.path());
}

#[test]
fn an_open_that_fails_leaves_nothing_open() {
    let directory = tempfile::tempdir().unwrap();
    let mut ring = Ring::new(small()).unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let cases = [
        (directory.path().to_owned(), Errno::ISDIR),
        (directory.path().join("gone"), Errno::NOENT),
        (directory.path().join("x".repeat(256)), Errno::NAMETOOLONG),
        (file.join("below"), Errno::NOTDIR),
        ("zero\0byte".into(), Errno::INVAL),
    ];
    for (path, errno) in cases {
        for lock in [false, true] {
            let access = Access {
                lock,
                random: true,
                lazy: false,
            };
            let operation = FileOperation::Open {
                path: path.clone(),
                access,
                ranges: head(16),
            };
            assert_eq!(
                run(&mut ring, operation),
                failure(Stage::Open, errno),
                "{path:?}"
            );
            assert_nothing_left(&ring, directory.path());
        }
    }
}

#[test]
fn a_file_without_permission_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.wsp");
    fs::write(&path, b"").unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    let wide = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory.path(), wide).unwrap();
    let below = directory.path().join("b.wsp");
    // Root may open everything: the thread that makes the ring, and only it, becomes nobody.
    let refused = elsewhere(move || {
        if rustix::process::geteuid().is_root() {
            let nobody = rustix::process::Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        let mut ring = Ring::new(small()).unwrap();
        assert_eq!(
            run(&mut ring, open(&path, 1)),
            failure(Stage::Open, Errno::ACCESS)
        );
        assert_eq!(ring.admission().visits_in_use(), 0);
        run(&mut ring, create(&below, Allocation::Zeros, 100))
    });
    let refused = refused.join().unwrap();
    if rustix::process::geteuid().is_root() {
        assert_eq!(refused, failure(Stage::Create, Errno::ACCESS));
    }
}

#[test]
fn a_failed_write_and_a_failed_read_close_the_visit() {
    let mut ring = Ring::new(small()).unwrap();
    // The kernel's own device that is always full.
    let (visit, _) = opened(run(&mut ring, open(Path::new("/dev/full"), 0)));
    let pieces = vec![
        Piece {
            offset: 0,
            bytes: vec![1; 10],
        },
        Piece {
            offset: 20,
            bytes: vec![1; 10],
        },
    ];
    let answer = run(
        &mut ring,
        FileOperation::Write {
            visit,
            pieces,
            sync: true,
        },
    );
    assert_eq!(answer, failure(Stage::Write, Errno::NOSPC));
    assert_eq!(ring.admission().visits_in_use(), 0);
    // A file whose reads fail: our own memory at an address where nothing is.
    let (visit, _) = opened(run(&mut ring, open(Path::new("/proc/self/mem"), 0)));
    let ranges = vec![ByteRange { offset: 16, len: 4 }];
    let answer = run(&mut ring, FileOperation::Read { visit, ranges });
    assert_eq!(answer, failure(Stage::Read, Errno::IO));
    assert_eq!(ring.admission().visits_in_use(), 0);
}

#[test]
fn a_locked_file_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.wsp");
    fs::write(&path, b"0123").unwrap();
    let mut ring = Ring::new(small()).unwrap();
    let lock = || FileOperation::Open {
        path: path.clone(),
        access: Access {
            lock: true,
            random: false,
            lazy: false,
        },
        ranges: head(4),
    };
    let other = fs::OpenOptions::new().read(true).open(&path).unwrap();
    let exclusive = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    rustix::fs::flock(&other, exclusive).unwrap();
    assert_eq!(
        run(&mut ring, lock()),
        failure(Stage::Lock, Errno::WOULDBLOCK)
    );
    assert_eq!(
        descriptors_into(directory.path()).len(),
        1,
        "only the test's own"
    );
    rustix::fs::flock(&other, rustix::fs::FlockOperation::Unlock).unwrap();
    let (visit, head) = opened(run(&mut ring, lock()));
    assert_eq!(head, b"0123");
    // A visit of io_uring has no descriptor; a visit of the threads has one, and the lock is its own.
    let visits = usize::from(small().driver != Driver::Uring);
    assert_eq!(descriptors_into(directory.path()).len(), 1 + visits);
    assert_eq!(rustix::fs::flock(&other, exclusive), Err(Errno::WOULDBLOCK));
    assert_eq!(
        run(&mut ring, lock()),
        failure(Stage::Lock, Errno::WOULDBLOCK)
    );
    let pieces = vec![Piece {
        offset: 0,
        bytes: b"xy".to_vec(),
    }];
    run(
        &mut ring,
        FileOperation::Write {
            visit,
            pieces,
            sync: false,
        },
    )
    .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"xy23");
    // The lock ends with the file, which the kernel lets go a moment after the answer.
    let unlocked = (0..100).any(|_| {
        ring.turn(Some(Duration::from_millis(10)));
        rustix::fs::flock(&other, exclusive).is_ok()
    });
    assert!(unlocked, "the lock outlived its visit");
}

#[test]
#[should_panic(expected = "is over")]
fn a_visit_that_is_over_cannot_be_used() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.wsp");
    fs::write(&path, b"0123").unwrap();
    let mut ring = Ring::new(RingConfig {
        visits_max: 1,
        ..small()
    })
    .unwrap();
    let (visit, _) = opened(run(&mut ring, open(&path, 4)));
    run(&mut ring, FileOperation::Close { visit }).unwrap();
    opened(run(&mut ring, open(&path, 4)));
    ring.file(FileToken(9), FileOperation::Close { visit });
}

/// Every name below `directory`, temporary ones included.
fn names(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(names(&path));
        } else {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    found.sort();
    found
}

#[test]
fn a_created_file_has_its_size_and_content() {
    let directory = tempfile::tempdir().unwrap();
    let mut ring = Ring::new(small()).unwrap();
    for way in [Way::Nameless, Way::Renamed, Way::Linked] {
        ring.admission_mut().way = way;
        for allocation in [Allocation::Fallocate, Allocation::Sparse, Allocation::Zeros] {
            for file_bytes in [52_u64, 53, 41_000, 65_536, 65_537, 3_000_001] {
                let name = format!("{way:?}/{allocation:?}/{file_bytes}.wsp");
                let path = directory.path().join(name);
                let answer = run(&mut ring, create(&path, allocation, file_bytes));
                assert_eq!(answer, Ok(FileOutcome::Created), "{path:?}");
                let found = fs::read(&path).unwrap();
                assert_eq!(found.len() as u64, file_bytes);
                assert_eq!(found[..52], [b'h'; 52]);
                assert!(found[52..].iter().all(|byte| *byte == 0));
                let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).unwrap());
                let holes = blocks * 512 < file_bytes.min(65_536);
                let meant = allocation == Allocation::Sparse && file_bytes > 10_000;
                assert_eq!(holes, meant, "{path:?} has {blocks} blocks");
            }
        }
    }
    let temporary = names(directory.path())
        .into_iter()
        .find(|name| name.starts_with('.'));
    assert_eq!(temporary, None);
    assert_nothing_left(&ring, directory.path());
}

#[test]
fn a_sparse_file_needs_no_truncate() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.wsp");
    let mut ring = Ring::new(small()).unwrap();
    ring.admission_mut().ftruncate = false;
    run(&mut ring, create(&path, Allocation::Sparse, 1_000_000)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 1_000_000);
}

#[test]
fn a_file_that_is_there_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b.wsp");
    fs::create_dir(directory.path().join("a")).unwrap();
    fs::write(&path, b"precious").unwrap();
    let mut ring = Ring::new(small()).unwrap();
    for way in [Way::Nameless, Way::Renamed, Way::Linked] {
        ring.admission_mut().way = way;
        let answer = run(&mut ring, create(&path, Allocation::Zeros, 10_000));
        assert_eq!(answer, failure(Stage::Publish, Errno::EXIST), "{way:?}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        assert_eq!(names(directory.path()), ["b.wsp"], "{way:?}");
        assert_nothing_left(&ring, directory.path());
    }
}

#[test]
fn a_file_has_the_permissions_of_python() {
    let directory = tempfile::tempdir().unwrap();
    let mut ring = Ring::new(small()).unwrap();
    let mode = |path: &Path| {
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
    };
    let reference = directory.path().join("reference");
    fs::create_dir(&reference).unwrap();
    fs::write(reference.join("file"), b"").unwrap();
    for way in [Way::Nameless, Way::Renamed] {
        ring.admission_mut().way = way;
        let path = directory.path().join(format!("{way:?}/a.wsp"));
        run(&mut ring, create(&path, Allocation::Zeros, 100)).unwrap();
        assert_eq!(mode(&path), mode(&reference.join("file")));
        assert_eq!(mode(path.parent().unwrap()), mode(&reference));
    }
}

#[test]
fn a_create_that_fails_leaves_no_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    std::os::unix::fs::symlink("nowhere", directory.path().join("dangling")).unwrap();
    let mut ring = Ring::new(small()).unwrap();
    let cases = [
        (file.join("a.wsp"), Stage::Directory, Errno::NOTDIR),
        (file.join("a/b/c.wsp"), Stage::Directory, Errno::NOTDIR),
        (
            directory.path().join("x".repeat(256)),
            Stage::Publish,
            Errno::NAMETOOLONG,
        ),
        (
            directory.path().join("x".repeat(256)).join("a"),
            Stage::Directory,
            Errno::NAMETOOLONG,
        ),
        (
            directory.path().join("new").join("x".repeat(256)),
            Stage::Publish,
            Errno::NAMETOOLONG,
        ),
        (
            directory.path().join("dangling/a.wsp"),
            Stage::Directory,
            Errno::NOENT,
        ),
        ("zero\0byte/a".into(), Stage::Create, Errno::INVAL),
        ("/".into(), Stage::Create, Errno::INVAL),
    ];
    for way in [Way::Nameless, Way::Renamed] {
        ring.admission_mut().way = way;
        for (path, stage, errno) in &cases {
            let answer = run(&mut ring, create(path, Allocation::Zeros, 1_000));
            assert_eq!(answer, failure(*stage, *errno), "{way:?} {path:?}");
            assert_eq!(names(directory.path()).len(), 2, "{way:?} {path:?}");
            assert_nothing_left(&ring, directory.path());
        }
    }
}

#[test]
fn a_file_system_without_nameless_files_gets_a_temporary_name() {
    // /proc has neither: the open of a nameless file is refused in its own words, the temporary
    // name then too, and what comes out is an error, not a loop.
    let mut ring = Ring::new(small()).unwrap();
    let answer = run(
        &mut ring,
        create(Path::new("/proc/a.wsp"), Allocation::Zeros, 100),
    );
    let Err(FileError { stage, .. }) = answer else {
        panic!("{answer:?}")
    };
    assert!(
        stage == Stage::Create || stage == Stage::Directory,
        "{answer:?}"
    );
}

#[test]
fn two_thousand_creates_run_beside_visits() {
    const CREATES: u64 = 2_000;
    let directory = tempfile::tempdir().unwrap();
    let old = directory.path().join("old.wsp");
    fs::write(&old, vec![0; 8_000]).unwrap();
    let mut ring = Ring::new(RingConfig {
        visits_max: 64,
        ..small()
    })
    .unwrap();
    let path = |number: u64| {
        let (low, high) = (number % 7, number % 13);
        directory
            .path()
            .join(format!("new/{low}/{high}/{number}.wsp"))
    };
    for number in 0..CREATES {
        ring.file(
            FileToken(number),
            create(&path(number), Allocation::Zeros, 4_000),
        );
        if number % 4 == 0 {
            ring.file(FileToken(CREATES + number), open(&old, 16));
        }
    }
    let (mut created, mut written) = (0, 0);
    until_answered(&mut ring, |ring, token, result| {
        match result.unwrap() {
            FileOutcome::Created => created += 1,
            FileOutcome::Opened { visit, .. } => {
                let number = token.0 - CREATES;
                let bytes = u32::try_from(number).unwrap().to_be_bytes().to_vec();
                let pieces = vec![Piece {
                    offset: number * 4,
                    bytes,
                }];
                ring.file(
                    token,
                    FileOperation::Write {
                        visit,
                        pieces,
                        sync: false,
                    },
                );
            }
            FileOutcome::Written => written += 1,
            other => panic!("{other:?}"),
        }
        created == CREATES && written == CREATES / 4
    });
    for number in 0..CREATES {
        let found = fs::read(path(number)).unwrap();
        assert_eq!(found.len(), 4_000);
        assert_eq!(found[..52], [b'h'; 52]);
    }
    let found = fs::read(&old).unwrap();
    for number in (0..CREATES).step_by(4) {
        let at = usize::try_from(number).unwrap() * 4;
        let expected = u32::try_from(number).unwrap().to_be_bytes();
        assert_eq!(found[at..at + 4], expected);
    }
    assert_eq!(names(directory.path()).len() as u64, CREATES + 1);
    assert_nothing_left(&ring, directory.path());
}
