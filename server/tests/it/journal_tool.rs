//! `benzene journal` on journals that the codec wrote: what it says of them, what it exports, and how
//! it ends where they are damaged.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use benzene_engine::journal::block::{HEAD_BYTES, Head, Kind};
use benzene_engine::journal::entry::PointEncoder;
use benzene_engine::journal::name_entry::NameEncoder;
use benzene_engine::point::Point;
use benzene_engine::ring::host::mount_number;
use serde_json::Value;

use crate::daemon::program;

const AT_S: u32 = 1_700_000_000;
/// Doubles that are hard to print.
const VALUES: [f64; 8] = [
    0.1,
    -0.0,
    1e300,
    5e-324,
    1.797_693_134_862_315_7e308,
    123_456_789.123_456_79,
    f64::INFINITY,
    2.5,
];
const NAMES: [&str; 3] = ["a.b", "tagged;host=web1", "with space"];

fn head(kind: Kind, block: u32, serial: u64, entries: u32) -> Head {
    Head {
        kind,
        shard: 2,
        epoch: 7,
        segment: 0,
        block,
        generation: 0,
        serial,
        received_ms: u64::from(AT_S) * 1000 + 123,
        entries,
        retired: 0,
        epochs_done: 6,
        mount: 1,
    }
}

/// A journal of three names and four blocks of points; the last says that the first name is written
/// up to there, but for a point that comes behind.
fn journal(directory: &Path) -> PathBuf {
    journal_through(directory, 1)
}

/// The same, written through a mount of the data.
fn journal_through(directory: &Path, mount: u32) -> PathBuf {
    let mut encoder = NameEncoder::new(Vec::new());
    for (id, name) in (0..).zip(NAMES) {
        encoder.name(id, name);
    }
    let mut names = encoder.finish();
    head(Kind::Names, 0, 0, 3).seal(&mut names);
    fs::write(directory.join("00000007-00002-00000001.names"), names).unwrap();
    let mut bytes = Vec::new();
    for block in 0..4 {
        let received_ms = u64::from(AT_S) * 1000 + 123;
        let mut encoder = PointEncoder::new(Vec::new(), received_ms);
        if block == 3 {
            encoder.written(0, 1);
        }
        for id in 0..3 {
            let value = VALUES[usize::try_from((block * 3 + id) % 8).unwrap()];
            let timestamp = AT_S + 10 * block;
            encoder.point(id, Point { timestamp, value });
        }
        let mut sealed = encoder.finish();
        let head = head(Kind::Points, block, u64::from(block) * 3, 3);
        Head { mount, ..head }.seal(&mut sealed);
        bytes.extend(sealed);
    }
    bytes.resize(4096, 0);
    fs::write(directory.join("lock"), "").unwrap();
    let path = directory.join("00000007-00002-00000000.points");
    fs::write(&path, bytes).unwrap();
    path
}

/// A run's stream of one metric, `eEPOCH.sSHARD`: three points, or three copies of what earlier runs owed.
/// What its heads say of earlier epochs is given. Returns its files.
fn stream(
    directory: &Path,
    (epoch, shard): (u32, u16),
    epochs_done: u32,
    are_copies: bool,
) -> [PathBuf; 2] {
    let of = |kind, entries| Head {
        shard,
        epoch,
        epochs_done,
        ..head(kind, 0, 0, entries)
    };
    let mut names = NameEncoder::new(Vec::new());
    names.name(0, &format!("e{epoch}.s{shard}"));
    let mut names = names.finish();
    of(Kind::Names, 1).seal(&mut names);
    let mut points = PointEncoder::new(Vec::new(), u64::from(AT_S) * 1000 + 123);
    for timestamp in AT_S..AT_S + 3 {
        let point = Point {
            timestamp,
            value: 1.5,
        };
        if are_copies {
            points.copied_point(0, point, 5);
        } else {
            points.point(0, point);
        }
    }
    let mut points = points.finish();
    of(Kind::Points, 3).seal(&mut points);
    let written = |file: u32, kind: &str, bytes: &[u8]| {
        let path = directory.join(format!("{epoch:08}-{shard:05}-{file:08}.{kind}"));
        fs::write(&path, bytes).unwrap();
        path
    };
    [written(0, "points", &points), written(1, "names", &names)]
}

/// Sets files aside, as a daemon does.
fn set_aside(files: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let renamed = |path: PathBuf| {
        let aside = PathBuf::from(format!("{}.aside", path.display()));
        fs::rename(path, &aside).unwrap();
        aside
    };
    files.into_iter().map(renamed).collect()
}

/// What `benzene journal export FILES` prints, sorted.
fn exported(files: &[PathBuf]) -> Vec<String> {
    let mut command = program();
    command.args(["journal", "export"]).args(files);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut lines: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The lines of such a stream's points.
fn lines_of(epoch: u32, shard: u16) -> [String; 3] {
    [0, 1, 2].map(|age_s| format!("e{epoch}.s{shard} 1.5 {}", AT_S + age_s))
}

fn benzene(words: &[&str], path: &Path) -> Output {
    let mut command = program();
    command.arg("journal").args(words).arg(path);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

#[test]
fn a_journal_is_inspected() {
    let directory = tempfile::tempdir().unwrap();
    journal(directory.path());
    let output = benzene(&["inspect", "--json"], directory.path());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let stream = &document["streams"][0];
    for (field, value) in [
        ("epoch", 7),
        ("shard", 2),
        ("points", 12),
        ("names", 3),
        ("epochs_done", 6),
    ] {
        assert_eq!(stream[field], value, "{field}: {document:#}");
    }
    let file = &document["files"][0];
    for (field, value) in [
        ("blocks", 4),
        ("points", 12),
        ("written", 1),
        ("file_bytes", 4096),
    ] {
        assert_eq!(file[field], value, "{field}: {document:#}");
    }
    assert_eq!(file["serials"], serde_json::json!([0, 12]));
    assert_eq!(file["received_ms"][1], u64::from(AT_S) * 1000 + 123);
    assert_eq!(document["files"].as_array().unwrap().len(), 2);
    let output = benzene(&["inspect"], directory.path());
    let said = text(&output.stdout);
    assert!(
        said.contains("epoch 7 shard 2: 12 points in 1 segments, 3 names in 1"),
        "{said}"
    );
    assert!(said.contains("received 1700000000.123"), "{said}");
}

#[test]
fn export_is_what_is_owed_as_python_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = journal(directory.path());
    let output = benzene(&["export", "--trust-written"], directory.path());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text(&output.stderr).contains("4 points have spaces"),
        "{output:?}"
    );
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    // Three of the first name's four points are written.
    assert_eq!(lines.len(), 9, "{lines:?}");
    assert!(lines.contains(&"a.b -0.0 1700000030"), "{lines:?}");
    let all = benzene(&["export", "--all"], &file);
    assert_eq!(all.status.code(), Some(0), "{all:?}");
    let python = benzene_fixtures::python().unwrap();
    let script = "import struct, sys\nfor line in sys.stdin:\n    name, value, at = line.rsplit(' ', 2)\n    print(name, struct.pack('>d', float(value)).hex(), int(at), sep='|')\n";
    let exported = directory.path().join("lines");
    fs::write(&exported, &all.stdout).unwrap();
    let read = Command::new(python)
        .args(["-c", script])
        .stdin(fs::File::open(&exported).unwrap())
        .output()
        .unwrap();
    let expected: Vec<String> = (0..12_u32)
        .map(|place| {
            let value = VALUES[usize::try_from(place % 8).unwrap()].to_bits();
            let name = NAMES[usize::try_from(place % 3).unwrap()];
            format!("{name}|{value:016x}|{}", AT_S + 10 * (place / 3))
        })
        .collect();
    assert_eq!(
        text(&read.stdout).lines().collect::<Vec<_>>(),
        expected,
        "{read:?}"
    );
}

#[test]
fn export_goes_into_a_file_or_to_a_reader_that_reads_all() {
    let directory = tempfile::tempdir().unwrap();
    let file = journal(directory.path());
    let target = directory.path().join("target");
    let words = [
        "export",
        "--trust-written",
        "--output",
        target.to_str().unwrap(),
    ];
    let output = benzene(&words, directory.path());
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(0), 0),
        "{output:?}"
    );
    assert_eq!(fs::read_to_string(&target).unwrap().lines().count(), 9);
    // Far more lines than a pipe holds, and a reader that goes after the first bytes.
    let mut many = program();
    many.args(["journal", "export", "--all"]);
    for index in 0..400 {
        let copy = directory.path().join(index.to_string());
        fs::create_dir(&copy).unwrap();
        for name in [
            "00000007-00002-00000000.points",
            "00000007-00002-00000001.names",
        ] {
            fs::copy(directory.path().join(name), copy.join(name)).unwrap();
        }
        many.arg(&copy);
    }
    assert!(file.exists());
    let mut child = many
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let mut first = [0; 3];
    pipe.read_exact(&mut first).unwrap();
    drop(pipe);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(
        (&first, ended.status.code()),
        (b"a.b", Some(1)),
        "{ended:?}"
    );
}

#[test]
fn verify_names_the_damaged_place_and_ends_with_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = journal(directory.path());
    let names = directory.path().join("00000007-00002-00000001.names");
    for path in [directory.path(), &file, &names] {
        let output = benzene(&["verify"], path);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(text(&output.stdout).contains(": sound: "), "{output:?}");
    }
    let whole = fs::read(&file).unwrap();
    let second = whole[HEAD_BYTES..]
        .windows(4)
        .position(|word| word == b"BzJl")
        .unwrap()
        + HEAD_BYTES;
    let mut damaged = whole.clone();
    damaged[second + HEAD_BYTES] ^= 1;
    fs::write(&file, &damaged).unwrap();
    let output = benzene(&["verify"], directory.path());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = text(&output.stdout);
    assert!(
        said.contains(&format!("{} at byte {second}: ", file.display())),
        "{said}"
    );
    assert!(said.contains(": 3 points are gone"), "{said}");
    let output = benzene(&["verify"], &file);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let output = benzene(&["export", "--all"], directory.path());
    assert_eq!(
        (output.status.code(), text(&output.stdout).lines().count()),
        (Some(1), 9)
    );
    assert!(
        text(&output.stderr).contains("benzene journal verify"),
        "{output:?}"
    );
    // A torn tail was never promised.
    let mut torn = whole;
    let last = torn.windows(4).rposition(|word| word == b"BzJl").unwrap();
    torn[last + HEAD_BYTES..].fill(0);
    fs::write(&file, &torn).unwrap();
    let output = benzene(&["verify"], directory.path());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text(&output.stdout).contains("bytes of unfinished blocks"),
        "{output:?}"
    );
    // Without names nobody knows whose the points are.
    fs::remove_file(&names).unwrap();
    let output = benzene(&["verify"], directory.path());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stdout).contains("9 owed points have no name"),
        "{output:?}"
    );
}

#[test]
fn export_beside_a_daemon_says_that_it_may_be_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let file = journal(directory.path());
    // What it looks like where a file has been used again, or is gone.
    let mut bytes = fs::read(&file).unwrap();
    bytes[HEAD_BYTES] ^= 1;
    fs::write(&file, bytes).unwrap();
    let said = || {
        let output = benzene(&["export"], directory.path());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        text(&output.stderr).to_owned()
    };
    let damaged = said();
    assert!(damaged.contains(" is damaged and not all"), "{damaged}");
    let lock = fs::File::create(directory.path().join("lock")).unwrap();
    lock.lock().unwrap();
    writeln!(&lock, "{}", std::process::id()).unwrap();
    let beside = said();
    let user = format!("was used by process {} while", std::process::id());
    assert!(
        beside.contains(&user) && beside.contains("export it once more"),
        "{beside}"
    );
}

#[test]
fn what_nothing_proves_to_be_written_is_exported() {
    let directory = tempfile::tempdir().unwrap();
    journal(directory.path());
    let exported = |mount: &[u8]| {
        fs::write(directory.path().join("data"), mount).unwrap();
        let output = benzene(&["export"], directory.path());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        text(&output.stdout).lines().count()
    };
    // Three points are written, through another mount than any of here.
    assert_eq!(exported(b"/"), 12);
    assert_eq!(exported(b"/nowhere"), 12);
    fs::remove_file(directory.path().join("data")).unwrap();
    let output = benzene(&["export"], directory.path());
    assert_eq!(text(&output.stdout).lines().count(), 12, "{output:?}");
    let output = benzene(&["export", "--trust-written"], directory.path());
    assert_eq!(text(&output.stdout).lines().count(), 9, "{output:?}");
    // Through the one that is noted.
    let here = mount_number(Path::new("/")).unwrap();
    journal_through(directory.path(), here);
    assert_eq!(exported(b"/"), 9);
    assert_eq!(exported(b"/\n/"), 12, "of two directories");
}

#[test]
fn what_was_set_aside_is_read_where_it_is_asked_for_and_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    journal(directory.path());
    let whole = benzene(&["export", "--all"], directory.path());
    let mut aside = directory.path().to_owned();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        aside = PathBuf::from(format!("{}.aside", path.display()));
        fs::rename(path, &aside).unwrap();
    }
    let output = benzene(&["export", "--all"], directory.path());
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(0), 0),
        "{output:?}"
    );
    fs::write(directory.path().join("00000008-00000-00000000.points"), "").unwrap();
    let mut files: Vec<PathBuf> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension() == aside.extension());
    let mut command = program();
    command.args(["journal", "export", "--all"]).args(&files);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stdout), text(&whole.stdout));
    assert_eq!(text(&output.stdout).lines().count(), 12);
}

#[test]
fn copies_that_were_set_aside_are_exported_without_what_says_that_they_count() {
    let directory = tempfile::tempdir().unwrap();
    // The first shard's heads said it, and its files went.
    let aside = set_aside(stream(directory.path(), (2, 1), 0, true));
    assert_eq!(exported(&aside), lines_of(2, 1));
}

#[test]
fn what_several_starts_set_aside_is_exported_whatever_the_last_says_of_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let files = [
        stream(directory.path(), (2, 0), 0, false),
        stream(directory.path(), (3, 0), 3, true),
    ];
    let aside = set_aside(files.concat());
    assert_eq!(exported(&aside), [lines_of(2, 0), lines_of(3, 0)].concat());
}

#[test]
fn what_is_set_aside_beside_a_journal_is_exported_or_named() {
    let directory = tempfile::tempdir().unwrap();
    let files = |directory: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    fs::write(directory.path().join("lock"), "").unwrap();
    set_aside(stream(directory.path(), (2, 1), 0, true));
    // As the shell has it: the lock is named too.
    assert_eq!(exported(&files(directory.path())), lines_of(2, 1));
    stream(directory.path(), (4, 0), 4, false);
    let both = [lines_of(2, 1), lines_of(4, 0)].concat();
    assert_eq!(exported(&files(directory.path())), both);
    let output = benzene(&["export"], directory.path());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stdout).lines().count(), 3, "{output:?}");
    let aside = format!("export {}/*.aside`", directory.path().display());
    let said = text(&output.stderr);
    assert!(
        said.contains("2 files of") && said.contains(&aside),
        "{said}"
    );
}

#[test]
fn what_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none");
    for word in ["inspect", "verify", "export"] {
        let output = benzene(&[word], &missing);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(
            text(&output.stderr).contains("none: No such file"),
            "{output:?}"
        );
        let output = benzene(&[word], directory.path());
        assert_eq!(
            (output.status.code(), output.stderr.len()),
            (Some(0), 0),
            "{output:?}"
        );
    }
}

#[test]
fn verify_names_what_is_no_segment_and_what_has_lost_its_points() {
    let directory = tempfile::tempdir().unwrap();
    let file = journal(directory.path());
    // A segment that waits to be written is one.
    let next = directory.path().join("00000007-00002-00000002.points");
    fs::write(&next, vec![0; 4096]).unwrap();
    for path in [directory.path(), &next] {
        let output = benzene(&["verify"], path);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    let refused = |path: &Path, what: &str| {
        let output = benzene(&["verify"], path);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output.stdout).contains(what), "{output:?}");
    };
    refused(Path::new("/bin/ls"), "/bin/ls: no segment of a journal");
    fs::write(&next, [b'x'; 4096]).unwrap();
    refused(&next, "00000002.points: no segment of a journal");
    refused(directory.path(), "00000002.points: no segment of a journal");
    fs::write(&next, vec![0; 4096]).unwrap();
    fs::remove_file(&file).unwrap();
    refused(
        directory.path(),
        "shard 2 of epoch 7 has names and no points",
    );
}

/// As a shell names it, with the notes that a daemon leaves beside the segments.
#[test]
fn all_that_lies_in_a_journals_directory_is_sound() {
    let directory = tempfile::tempdir().unwrap();
    journal(directory.path());
    fs::write(directory.path().join("lock"), "1\na\n").unwrap();
    fs::write(directory.path().join("data"), "/").unwrap();
    let all = fs::read_dir(directory.path()).unwrap();
    let all: Vec<PathBuf> = all.map(|entry| entry.unwrap().path()).collect();
    let mut command = program();
    command.args(["journal", "verify"]).args(&all);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!text(&output.stdout).contains("/lock"), "{output:?}");
}

/// Points on their way to another daemon, say: what was not read is nowhere.
#[test]
fn an_export_whose_reader_goes_away_has_failed() {
    let directory = tempfile::tempdir().unwrap();
    journal(directory.path());
    for (word, code) in [("export", 1), ("inspect", 0)] {
        let mut command = program();
        command.args(["journal", word]).arg(directory.path());
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).stderr(Stdio::piped());
        let output = output.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{word}: {output:?}");
        let is_said = text(&output.stderr).contains("Broken pipe");
        assert_eq!(is_said, code == 1, "{output:?}");
    }
}
