//! Files and limits that fail under the running daemon: files that are none,
//! files exchanged by other tools, locks held by others, kills during creates, no descriptors.
//! Points wait and are written once the fault is mended, without a restart; one message a cause.
//! Root is needed, for mounts. A read-only file is made by a read-only bind mount, as root may
//! write whatever its mode says.
#![expect(
    clippy::disallowed_methods,
    clippy::format_collect,
    reason = "a test opens files and builds its text simply"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::clients::{counted, descriptors};
use crate::daemon::{
    Daemon, Ended, Setup, Way, file_of, python, wait_for, whisper_files, whisper_points,
};
use crate::first_use::{now, wait_for_file};
use crate::stop::number_before;

/// A mount that goes away with it, also where the test fails.
pub(crate) struct Mount(PathBuf);

impl Mount {
    pub(crate) fn new(arguments: &[&str], at: &Path) -> Mount {
        mount(&[arguments, &[at.to_str().unwrap()]].concat());
        Mount(at.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

pub(crate) fn mount(arguments: &[&str]) {
    let status = Command::new("mount").args(arguments).status().unwrap();
    assert!(
        status.success(),
        "this test needs root: mount {arguments:?}"
    );
}

/// Twenty minutes of seconds: 14,428 bytes a file.
pub(crate) fn setup(conf: &str) -> Setup {
    Setup {
        conf: format!("CARBON_METRIC_INTERVAL = 0\n{conf}"),
        schemas: Some("[all]\npattern = .*\nretentions = 1s:20m\n".to_owned()),
        shards: Some(1),
        ..Setup::default()
    }
}

/// One line for each metric, all of one second.
pub(crate) fn lines(prefix: &str, count: usize, time: u32) -> String {
    (0..count)
        .map(|metric| format!("{prefix}.m{metric} {metric} {time}\n"))
        .collect()
}

/// The texts of "cannot write" messages without their paths, with how often each was said.
fn complaints(log: &str) -> BTreeMap<String, usize> {
    let mut said = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("cannot write ")) {
        let (_, text) = line.split_once(".wsp: ").unwrap();
        *said.entry(text.to_owned()).or_insert(0) += 1;
    }
    said
}

pub(crate) fn assert_said_once(log: &str) {
    for (text, times) in complaints(log) {
        assert_eq!(times, 1, "{text:?} was said {times} times: {log}");
    }
}

/// The length that a Whisper file's header asks for.
fn bytes_by_header(file: &Path) -> u64 {
    let data = fs::read(file).unwrap();
    let word = |at: usize| u64::from(u32::from_be_bytes(data[at..at + 4].try_into().unwrap()));
    let archives = usize::try_from(word(12)).unwrap();
    (0..archives).fold(16 + 12 * archives as u64, |sum, index| {
        sum + 12 * word(16 + 12 * index + 8)
    })
}

/// That a file has its final name, and the length that its header asks for.
pub(crate) fn assert_whole(file: &Path) {
    let path = file.display();
    assert_eq!(file.extension().unwrap(), "wsp", "{path} is left");
    let bytes = fs::metadata(file).unwrap().len();
    assert!(bytes >= 28, "{path} has {bytes} bytes");
    assert_eq!(bytes, bytes_by_header(file), "{path}");
}

/// All files below a directory.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// A valid file by Python, of the schema of `setup`.
pub(crate) fn python_file(file: &Path) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    python(
        "import sys, whisper; whisper.create(sys.argv[1], [(1, 1200)])",
        &[file.to_str().unwrap()],
    );
}

/// Puts what is no usable file where files should be; their metrics.
pub(crate) fn spoil(data: &Path) -> Vec<(&'static str, PathBuf)> {
    let good = data.join("good.wsp");
    python_file(&good);
    let valid = fs::read(&good).unwrap();
    fs::remove_file(&good).unwrap();
    let bad = data.join("bad");
    fs::create_dir_all(bad.join("directory.wsp")).unwrap();
    fs::write(bad.join("empty.wsp"), b"").unwrap();
    fs::write(bad.join("head.wsp"), &valid[..20]).unwrap();
    fs::write(bad.join("slot.wsp"), &valid[..30]).unwrap();
    let mut lies = valid.clone();
    lies[12..16].fill(0xff);
    fs::write(bad.join("archives.wsp"), &lies).unwrap();
    let mut lies = valid.clone();
    lies[16..20].fill(0xff);
    fs::write(bad.join("offset.wsp"), &lies).unwrap();
    let mut lies = valid.clone();
    lies[20..24].fill(0);
    fs::write(bad.join("step.wsp"), &lies).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", bad.join("link.wsp")).unwrap();
    fs::write(data.join("file"), b"no directory").unwrap();
    let names = [
        "directory",
        "empty",
        "head",
        "slot",
        "archives",
        "offset",
        "step",
        "link",
    ];
    let mut spoilt: Vec<_> = names
        .into_iter()
        .map(|name| (name, bad.join(format!("{name}.wsp"))))
        .collect();
    spoilt.push(("file", data.join("file")));
    spoilt
}

#[test]
fn what_is_no_file_waits_until_it_is_taken_away() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("whisper");
    let spoilt = spoil(&data);
    let before: Vec<_> = spoilt.iter().map(|(_, path)| fs::read(path).ok()).collect();
    let daemon = Daemon::start_in(&setup(""), root);
    let time = now();
    let metric = |name: &str| match name {
        "file" => "file.below".to_owned(),
        name => format!("bad.{name}"),
    };
    for (name, _) in &spoilt {
        daemon.send(&format!("{} 3 {time}\n", metric(name)));
        daemon.wait_for_points(&metric(name), 1);
    }
    daemon.send(&lines("good", 20, time));
    for number in 0..20 {
        wait_for_file(&daemon, &format!("good.m{number}"), 1);
    }
    let after: Vec<_> = spoilt.iter().map(|(_, path)| fs::read(path).ok()).collect();
    for (index, (name, _)) in spoilt.iter().enumerate() {
        assert_eq!(before[index], after[index], "{name} was written into");
    }
    for (name, _) in &spoilt {
        daemon.wait_for_points(&metric(name), 1);
    }
    for (_, path) in &spoilt {
        if path.is_dir() {
            fs::remove_dir(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    for (name, _) in &spoilt {
        assert_eq!(wait_for_file(&daemon, &metric(name), 1), [(time, 3.0)]);
    }
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_said_once(&ended.log);
    let counts = counted(&ended.log);
    assert_eq!(counts["committed"], counts["received"], "{}", ended.log);
    // A link that leads nowhere, too, is tried again after a pause, not for ever at once.
    assert!(counts["errors"] < 100, "{}", ended.log);
}

#[test]
fn a_deleted_file_is_made_again() {
    let daemon = Daemon::start(&setup(""));
    let time = now();
    for round in 0..5 {
        daemon.send(&format!("gone.again {round} {}\n", time - round));
        let file = daemon.file("gone.again");
        let sent: Vec<_> = (0..=round).map(|r| (time - r, f64::from(r))).collect();
        let found = wait_for(|| {
            let found = file.exists().then(|| whisper_points(&file, 0))?;
            found.contains(&sent[round as usize]).then_some(found)
        })
        .unwrap();
        // What was written a moment before it was deleted may be in it again.
        assert!(found.iter().all(|point| sent.contains(point)), "{found:?}");
        fs::remove_dir_all(daemon.data().join("gone")).unwrap();
    }
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(counted(&ended.log).get("errors"), None, "{}", ended.log);
}

/// The last seconds' points are written again into an older copy, moved or copied over the file.
#[test]
fn a_restored_file_gets_the_last_seconds_again() {
    let daemon = Daemon::start(&setup(""));
    let time = now();
    let backup = daemon.data().join("copy");
    for moved in [true, false] {
        let mut attempt = 0;
        // On a machine so slow that the seconds pass before the restore, it is tried again.
        let restored = wait_for(|| {
            attempt += 1;
            let metric = format!("back.moved_{moved}.attempt{attempt}");
            let file = daemon.file(&metric);
            daemon.send(&format!("{metric} 1 {}\n", time - 9));
            wait_for_file(&daemon, &metric, 1);
            fs::copy(&file, &backup).unwrap();
            daemon.send(&format!("{metric} 2 {}\n", time - 8));
            wait_for_file(&daemon, &metric, 2);
            if moved {
                fs::rename(&backup, &file).unwrap();
            } else {
                fs::copy(&backup, &file).unwrap();
            }
            daemon.send(&format!("{metric} 3 {}\n", time - 7));
            let found = wait_for(|| {
                let found = whisper_points(&file, 0);
                found.contains(&(time - 7, 3.0)).then_some(found)
            });
            found.filter(|found| found.len() == 3)
        });
        let expected = [(time - 9, 1.0), (time - 8, 2.0), (time - 7, 3.0)];
        assert_eq!(restored.as_deref(), Some(&expected[..]), "moved: {moved}");
    }
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let again = counted(&ended.log).get("writtenAgain").copied();
    assert!(again >= Some(2), "{}", ended.log);
}

/// With the default order the next update comes seconds later; a file that was put back to an older
/// copy meanwhile, or deleted, still gets the points of the update before.
#[test]
fn a_restored_file_gets_its_last_update_again_while_points_are_held() {
    let conf = "CACHE_WRITE_STRATEGY = deadline\nMAX_POINT_AGE = 10\n";
    let daemon = Daemon::start(&setup(conf));
    let time = now();
    let backup = daemon.data().join("copy");
    for metric in ["held.restored", "held.deleted"] {
        let file = daemon.file(metric);
        daemon.send(&format!("{metric} 1 {}\n", time - 9));
        wait_for_file(&daemon, metric, 1);
        fs::copy(&file, &backup).unwrap();
        daemon.send(&format!("{metric} 2 {}\n", time - 8));
        wait_for_file(&daemon, metric, 2);
        let mut expected = vec![(time - 8, 2.0), (time - 7, 3.0)];
        if metric == "held.restored" {
            fs::rename(&backup, &file).unwrap();
            expected.insert(0, (time - 9, 1.0));
        } else {
            fs::remove_file(&file).unwrap();
        }
        daemon.send(&format!("{metric} 3 {}\n", time - 7));
        let found = wait_for(|| {
            let found = file.exists().then(|| whisper_points(&file, 0))?;
            found.contains(&(time - 7, 3.0)).then_some(found)
        });
        assert_eq!(found.as_deref(), Some(&expected[..]), "{metric}");
    }
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let again = counted(&ended.log).get("writtenAgain").copied();
    assert_eq!(again, Some(2), "{}", ended.log);
}

#[test]
fn a_file_on_a_read_only_mount_waits() {
    let mut daemon = Daemon::start(&setup(""));
    let time = now();
    daemon.send(&format!("read.only 1 {time}\n"));
    wait_for_file(&daemon, "read.only", 1);
    let file = daemon.file("read.only");
    let path = file.to_str().unwrap();
    let held = Mount::new(&["--bind", path], &file);
    mount(&["-o", "remount,bind,ro", path]);
    daemon.send(&format!("read.only 2 {}\n", time - 1));
    daemon.wait_for_log("Read-only file system");
    drop(held);
    wait_for_file(&daemon, "read.only", 2);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(counted(&ended.log)["errors.readOnly"] > 0, "{}", ended.log);
}

/// Checks by Python that every point of a file stands where its header says, and returns them.
fn placed_points(file: &Path) -> Vec<(u32, f64)> {
    const SCRIPT: &str = "
import os, struct, sys, whisper
path = sys.argv[1]
info = whisper.info(path)
data = open(path, 'rb').read()
assert len(data) == max(a['offset'] + a['size'] for a in info['archives']), (len(data), info)
for archive in info['archives']:
    step, count = archive['secondsPerPoint'], archive['points']
    body = data[archive['offset']:archive['offset'] + archive['size']]
    slots = list(struct.iter_unpack('>Ld', body))
    base = slots[0][0]
    for index, (timestamp, value) in enumerate(slots):
        if timestamp:
            assert base and timestamp % step == 0, (path, index, timestamp)
            assert (timestamp - base) // step % count == index, (path, index, timestamp)
";
    python(SCRIPT, &[file.to_str().unwrap()]);
    whisper_points(file, 0)
}

/// Sends the points of one metric one after the other, so that each is an update of its own.
fn send_slowly(daemon: &Daemon, metric: &str, times: std::ops::Range<u32>) {
    let mut socket = daemon.connect();
    socket.set_nodelay(true).unwrap();
    for time in times {
        let value = time % 1000;
        socket
            .write_all(format!("{metric} {value} {time}\n").as_bytes())
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Exchanges a file by a command under load: every point is in the old or the new one, in its
/// place, and what is sent afterwards is in the new one.
fn exchange_under_load(script: &str) {
    let daemon = Daemon::start(&setup(""));
    let start = now() - 1000;
    daemon.send(&format!("big.file {} {}\n", (start - 1) % 1000, start - 1));
    wait_for_file(&daemon, "big.file", 1);
    let file = daemon.file("big.file");
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send_slowly(&daemon, "big.file", start..start + 900));
        let bin = benzene_fixtures::python().unwrap();
        let status = Command::new("sh")
            .args(["-ec", script, "sh", file.to_str().unwrap()])
            .arg(bin.parent().unwrap())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{script}");
        sender.join().unwrap();
    });
    daemon.send(
        &(900..950)
            .map(|index| format!("big.file {} {}\n", (start + index) % 1000, start + index))
            .collect::<String>(),
    );
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let new = file_of(&ended.data(), "big.file");
    let mut all: BTreeMap<u32, f64> = placed_points(&new.with_extension("wsp.bak"))
        .into_iter()
        .collect();
    let fresh: BTreeMap<u32, f64> = placed_points(&new).into_iter().collect();
    for index in 900..950 {
        assert!(
            fresh.contains_key(&(start + index)),
            "{index} is not in the new file"
        );
    }
    all.extend(fresh);
    for time in start - 1..start + 950 {
        assert_eq!(
            all.get(&time).copied(),
            Some(f64::from(time % 1000)),
            "{time}"
        );
    }
    let archives = python(
        "import sys, whisper; print([(a['secondsPerPoint'], a['points']) for a in whisper.info(sys.argv[1])['archives']])",
        &[new.to_str().unwrap()],
    );
    assert_eq!(archives.trim(), "[(1, 3000), (10, 720)]");
    assert_eq!(counted(&ended.log)["committed"], 951, "{}", ended.log);
}

/// A file is changed in place by commands of Python's, again and again, while the daemon writes it: what
/// both write is there. `source` in them is a file with the first hundred points.
fn change_under_load(conf: &str, scripts: &[&str]) {
    const MAKE: &str = "
import sys, whisper
path, start = sys.argv[1], int(sys.argv[2])
whisper.create(path, [(1, 1200)])
whisper.update_many(path, [(time, time % 1000) for time in range(start, start + 100)])
";
    let daemon = Daemon::start(&setup(conf));
    let start = now() - 1000;
    let source = daemon.data().join("source");
    python(MAKE, &[source.to_str().unwrap(), &start.to_string()]);
    daemon.send(&format!("big.file {} {}\n", (start - 1) % 1000, start - 1));
    wait_for_file(&daemon, "big.file", 1);
    let file = daemon.file("big.file");
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send_slowly(&daemon, "big.file", start + 100..start + 1000));
        let bin = benzene_fixtures::python().unwrap();
        let mut runs = scripts.iter().cycle();
        let mut done = 0;
        while !sender.is_finished() || done < scripts.len() {
            let script = runs.next().unwrap();
            let status = Command::new("sh")
                .args(["-ec", &format!("\"$0/python\" \"$0/{script}")])
                .arg(bin.parent().unwrap())
                .args([&file, &source])
                .stdout(Stdio::null())
                .status();
            assert!(status.unwrap().success(), "{script}");
            done += 1;
        }
    });
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let found = placed_points(&file_of(&ended.data(), "big.file"));
    let expected = (start - 1..start + 1000).map(|time| (time, f64::from(time % 1000)));
    assert_eq!(found, expected.collect::<Vec<_>>());
    assert_eq!(counted(&ended.log)["committed"], 901, "{}", ended.log);
}

/// A gap is filled by `whisper-fill --lock` while the daemon, which locks as well, writes the file.
#[test]
fn whisper_fill_with_locks_under_load_loses_nothing() {
    change_under_load(
        "WHISPER_LOCK_WRITES = True",
        &["whisper-fill.py\" --lock \"$2\" \"$1\""],
    );
}

/// Those take no lock, and change the head or write points by the layout, which stays.
#[test]
fn tools_that_change_a_file_in_place_under_load_lose_nothing() {
    change_under_load(
        "",
        &[
            "whisper-set-aggregation-method.py\" \"$1\" max",
            "whisper-merge.py\" \"$2\" \"$1\"",
            "whisper-set-xfilesfactor.py\" \"$1\" 0.25",
            "whisper-set-aggregation-method.py\" \"$1\" average",
        ],
    );
}

#[test]
fn whisper_resize_under_load_misplaces_nothing() {
    exchange_under_load("\"$2/python\" \"$2/whisper-resize.py\" \"$1\" 1s:50m 10s:2h");
}

#[test]
fn another_file_moved_over_it_under_load_misplaces_nothing() {
    exchange_under_load(
        "\"$2/python\" \"$2/whisper-create.py\" \"$1.other\" 1s:50m 10s:2h; ln \"$1\" \"$1.bak\"; mv \"$1.other\" \"$1\"",
    );
}

/// Holds a flock on a file until it is dropped.
struct Lock(Child);

impl Lock {
    fn take(file: &Path) -> Lock {
        const SCRIPT: &str = "
import fcntl, sys
file = open(sys.argv[1], 'r+b')
fcntl.flock(file, fcntl.LOCK_EX)
print('locked', flush=True)
sys.stdin.read()";
        let mut child = Command::new(benzene_fixtures::python().unwrap())
            .args(["-c", SCRIPT, file.to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 7];
        child.stdout.take().unwrap().read_exact(&mut said).unwrap();
        assert_eq!(&said, b"locked\n");
        Lock(child)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

#[test]
fn a_locked_file_waits_for_its_release() {
    let daemon = Daemon::start(&setup("WHISPER_LOCK_WRITES = True"));
    let time = now();
    daemon.send(&format!("locked.file 1 {time}\n"));
    wait_for_file(&daemon, "locked.file", 1);
    let file = daemon.file("locked.file");
    let lock = Lock::take(&file);
    daemon.send(&format!("locked.file 2 {}\n", time - 1));
    daemon.wait_for_points("locked.file", 2);
    // Others are written meanwhile.
    daemon.send(&lines("other", 50, time));
    wait_for_file(&daemon, "other.m49", 1);
    assert_eq!(
        whisper_points(&file, 0),
        [(time, 1.0)],
        "written under a lock"
    );
    drop(lock);
    assert_eq!(wait_for_file(&daemon, "locked.file", 2)[0], (time - 1, 2.0));
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(counted(&ended.log).get("errors"), None, "{}", ended.log);
}

#[test]
fn a_stop_does_not_wait_for_ever_for_a_lock() {
    let daemon = Daemon::start(&setup("WHISPER_LOCK_WRITES = True"));
    let time = now();
    daemon.send(&format!("locked.file 1 {time}\n"));
    wait_for_file(&daemon, "locked.file", 1);
    let lock = Lock::take(&daemon.file("locked.file"));
    daemon.send(&format!("locked.file 2 {}\n", time - 1));
    daemon.wait_for_points("locked.file", 2);
    let ended = daemon.stop();
    drop(lock);
    assert_eq!(ended.status.code(), Some(7), "{}", ended.log);
    let said = "1 points stay in the journal, for their files cannot be written";
    assert!(ended.log.contains(said), "{}", ended.log);
    let dropped = counted(&ended.log).get("dropped.atStop").copied();
    assert_eq!(dropped, None, "{}", ended.log);
    // The next start writes it.
    let daemon = Daemon::start_in(&setup(""), ended.root);
    wait_for_file(&daemon, "locked.file", 2);
}

/// The blocks of a fresh file of 1,036,828 bytes with one point, in bytes.
fn fresh_file_blocks(conf: &str) -> u64 {
    let daemon = Daemon::start(&Setup {
        schemas: Some("[all]\npattern = .*\nretentions = 1s:1d\n".to_owned()),
        ..setup(conf)
    });
    daemon.send(&format!("fresh.file 1 {}\n", now()));
    wait_for_file(&daemon, "fresh.file", 1);
    let metadata = fs::metadata(daemon.file("fresh.file")).unwrap();
    assert_eq!(metadata.len(), 28 + 12 * 86_400);
    metadata.blocks() * 512
}

#[test]
fn files_are_allocated_as_asked() {
    const BYTES: u64 = 28 + 12 * 86_400;
    assert!(fresh_file_blocks("") >= BYTES);
    assert!(fresh_file_blocks("WHISPER_FALLOCATE_CREATE = True") >= BYTES);
    assert!(fresh_file_blocks("WHISPER_SPARSE_CREATE = True") <= 64 << 10);
}

/// The flags that filefrag gives the extents of a file on an ext4 of its own, right after its
/// first point is in it; `delalloc` is what no sync has reached. The file is sparse, so that its
/// coarse archive, which the point reaches as well, has no block before the update.
fn extents_after_a_write(conf: &str) -> String {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("whisper");
    fs::create_dir(&data).unwrap();
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(32 << 20).unwrap();
    let status = Command::new("mkfs.ext4")
        .arg("-q")
        .arg(image.path())
        .status();
    assert!(status.unwrap().success(), "mkfs.ext4");
    let disk = Mount::new(&["-o", "loop", image.path().to_str().unwrap()], &data);
    let setup = Setup {
        schemas: Some("[all]\npattern = .*\nretentions = 1s:20m,1m:2h\n".to_owned()),
        aggregation: Some("[all]\npattern = .*\nxFilesFactor = 0\n".to_owned()),
        ..setup(&format!("WHISPER_SPARSE_CREATE = True\n{conf}"))
    };
    let daemon = Daemon::start_in(&setup, root);
    daemon.send(&format!("synced.file 1 {}\n", now()));
    wait_for_file(&daemon, "synced.file", 1);
    let output = Command::new("filefrag")
        .arg("-v")
        .arg(daemon.file("synced.file"))
        .output()
        .unwrap();
    assert!(output.status.success(), "filefrag");
    drop((daemon, disk));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn autoflush_brings_files_to_the_disk() {
    let (lazy, flushed) = (
        extents_after_a_write(""),
        extents_after_a_write("WHISPER_AUTOFLUSH = True"),
    );
    assert!(lazy.contains("delalloc"), "{lazy}");
    assert!(!flushed.contains("delalloc"), "{flushed}");
}

/// How many kills; `BENZENE_LONG` asks for fifty.
fn kills() -> usize {
    if std::env::var_os("BENZENE_LONG").is_some() {
        50
    } else {
        5
    }
}

#[test]
fn a_kill_during_creates_leaves_whole_files() {
    const METRICS: usize = 3000;
    let mut root = tempfile::tempdir().unwrap();
    let mut sent = BTreeMap::new();
    for round in 0..kills() {
        let daemon = Daemon::start_in(&setup(""), root);
        let before = files_below(&daemon.data()).len();
        let time = now();
        let value = |metric: usize| f64::from(u32::try_from(metric).unwrap());
        sent.extend((0..METRICS).map(|metric| {
            let name = format!("killed.r{round}.m{metric}");
            (name, BTreeMap::from([(time, value(metric))]))
        }));
        daemon.send(&lines(&format!("killed.r{round}"), METRICS, time));
        // Each round a little later among its creates.
        let wanted = before + 1 + round * 97 % 700;
        wait_for(|| (files_below(&daemon.data()).len() >= wanted).then_some(())).unwrap();
        daemon.signal("KILL");
        let ended: Ended = daemon.wait();
        for file in files_below(&ended.data()) {
            assert_whole(&file);
        }
        for (metric, file) in whisper_files(&ended.data(), now()) {
            assert_eq!(file.archives, [(1, 1200)], "{metric}");
            // A file may have been made for a point that was not yet in it.
            let is_empty = file.points.is_empty();
            assert!(
                is_empty || file.points == sent[&metric],
                "{metric}: {file:?}"
            );
        }
        // Its files need not pile up.
        fs::remove_dir_all(ended.data().join(format!("killed/r{round}"))).unwrap();
        root = ended.root;
    }
}

#[test]
fn senders_leave_descriptors_to_files() {
    let mut daemon = Daemon::start(&Setup {
        open_files: Some(160),
        ..setup("")
    });
    let mut sockets: Vec<_> = (0..300).map(|_| daemon.connect()).collect();
    daemon.wait_for_log("as many connections of senders as there may be (60)");
    let time = now();
    sockets[0]
        .write_all(format!("beside.all 5 {time}\n").as_bytes())
        .unwrap();
    let found = wait_for_file(&daemon, "beside.all", 1);
    assert_eq!(found, [(time, 5.0)]);
    // Whoever waits is served when others have gone.
    sockets[299]
        .write_all(format!("beside.last 6 {time}\n").as_bytes())
        .unwrap();
    sockets.drain(..250);
    let found = wait_for_file(&daemon, "beside.last", 1);
    assert_eq!(found, [(time, 6.0)]);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(!ended.log.contains("Too many open files"), "{}", ended.log);
}

#[test]
fn running_out_of_descriptors_passes() {
    let mut daemon = Daemon::start(&setup(""));
    let (time, quiet) = (now(), descriptors(&daemon));
    let mut first = daemon.connect();
    daemon.send(&format!("before.all 1 {time}\n"));
    wait_for_file(&daemon, "before.all", 1);
    // Whoever lowers the limit of a running daemon, or another process that takes the system's last.
    daemon.limit_open_files(1);
    let crowd: Vec<_> = (0..9)
        .map(|_| TcpStream::connect(daemon.query).unwrap())
        .collect();
    daemon.wait_for_log("cannot accept");
    first
        .write_all(format!("before.all 2 {}\nduring.all 3 {time}\n", time - 1).as_bytes())
        .unwrap();
    // Through io_uring an update needs no descriptor. A create does, and whatever threads open.
    if Way::of_this_run() == Way::Uring {
        wait_for_file(&daemon, "before.all", 2);
        daemon.wait_for_log("during/all.wsp");
    }
    daemon.wait_for_log("Too many open files");
    drop(crowd);
    daemon.limit_open_files(1024);
    wait_for_file(&daemon, "before.all", 2);
    daemon.send(&format!("after.all 4 {time}\n"));
    assert_eq!(wait_for_file(&daemon, "after.all", 1), [(time, 4.0)]);
    assert_eq!(wait_for_file(&daemon, "during.all", 1), [(time, 3.0)]);
    drop(first);
    wait_for(|| (descriptors(&daemon) == quiet).then_some(())).unwrap();
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_said_once(&ended.log);
    assert_eq!(
        ended.log.matches("cannot accept").count(),
        1,
        "{}",
        ended.log
    );
}

/// The stop takes a second, many times as long as accepting rests after it failed.
#[test]
fn a_stop_without_descriptors_is_a_stop() {
    let slow = "MAX_UPDATES_PER_SECOND = 1\nMAX_UPDATES_PER_SECOND_ON_SHUTDOWN = 20";
    let mut daemon = Daemon::start(&Setup {
        open_files: Some(160),
        ..setup(slow)
    });
    // Those that wait are taken in at the stop, until there is no descriptor left.
    let mut sockets: Vec<_> = (0..300).map(|_| daemon.connect()).collect();
    daemon.wait_for_log("as many connections of senders as there may be");
    sockets[0]
        .write_all(lines("last", 30, now()).as_bytes())
        .unwrap();
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(number_before(&ended.log, " committed"), 30, "{}", ended.log);
}
