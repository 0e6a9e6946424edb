//! Files that no update can use, under the running daemon: those that stay broken for a minute get
//! another name and are made again, and whatever else is wrong only delays. Root is needed, for a
//! disk that fails and for files that even root may not write.
//! What the file systems of this machine do not answer (EDQUOT, ENAMETOOLONG) is in disk_errors.rs, and
//! in the engine's tests, engine/src/shard/tests/broken.rs.
#![expect(
    clippy::disallowed_methods,
    reason = "a test waits, reads clocks and opens files simply"
)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::clients::counted;
use crate::daemon::{Daemon, python, wait_for, whisper_points};
use crate::faults::{Mount, lines, python_file, setup, spoil};
use crate::first_use::{now, wait_for_file};

/// The names beside a file that begin with its own.
fn asides(file: &Path) -> Vec<PathBuf> {
    let own = format!("{}.broken-", file.file_name().unwrap().to_str().unwrap());
    let entries = fs::read_dir(file.parent().unwrap()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_aside = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.strip_prefix(&own)
            .is_some_and(|time| time.parse::<u32>().is_ok())
    };
    paths.filter(is_aside).collect()
}

/// Waits for what takes a minute.
fn wait_longer(mut look: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(120) {
        if look() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// Gives a file a first point, so that those of today belong to byte 8,428 and not to its start.
fn begin_early(file: &fs::File) {
    let base = now() - 700;
    file.write_all_at(&base.to_be_bytes(), 28).unwrap();
}

/// More broken files, beside those of `spoil`: cut where only a write comes to, and one that a
/// compressing writer may have left.
fn spoil_more(data: &Path) {
    let bad = data.join("bad");
    let cut = bad.join("cut.wsp");
    python_file(&cut);
    let file = fs::OpenOptions::new().write(true).open(&cut).unwrap();
    file.set_len(5000).unwrap();
    begin_early(&file);
    let mut compressed = b"whisper_compressed".to_vec();
    compressed.resize(5000, 1);
    fs::write(bad.join("compressed.wsp"), compressed).unwrap();
    fs::write(bad.join("copied.wsp"), b"").unwrap();
}

/// A copy that goes on for longer than a minute, a little at a time.
struct SlowCopy {
    from: Vec<u8>,
    to: fs::File,
    copied: usize,
}

impl SlowCopy {
    fn new(from: &Path, to: &Path) -> Self {
        let from = fs::read(from).unwrap();
        let to = fs::OpenOptions::new().append(true).open(to).unwrap();
        let copied = 0;
        Self { from, to, copied }
    }

    /// As far as it comes in so long: 100 bytes a second, and never to its end.
    fn go_on(&mut self, elapsed: Duration) {
        let due = usize::try_from(elapsed.as_secs() * 100).unwrap();
        self.copy_to(due.min(self.from.len() - 1));
    }

    fn finish(&mut self) {
        self.copy_to(self.from.len());
    }

    fn copy_to(&mut self, end: usize) {
        self.to.write_all(&self.from[self.copied..end]).unwrap();
        self.copied = end;
    }
}

#[test]
fn broken_files_are_set_aside_and_everything_else_waits() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("whisper");
    spoil(&data);
    spoil_more(&data);
    let sound = data.join("sound.wsp");
    python_file(&sound);
    begin_early(&fs::OpenOptions::new().write(true).open(&sound).unwrap());
    let broken = ["empty", "head", "slot", "archives", "offset", "step", "cut"];
    let waiting = ["directory", "link", "compressed", "copied"];
    let file = |name: &str| data.join(format!("bad/{name}.wsp"));
    let before = broken.map(|name| fs::read(file(name)).unwrap());
    let daemon = Daemon::start_in(&setup(""), root);
    let (time, start) = (now(), Instant::now());
    for name in broken.iter().chain(&waiting) {
        daemon.send(&format!("bad.{name} 3 {time}\n"));
    }
    let mut copy = SlowCopy::new(&sound, &file("copied"));
    // The others go on at full speed meanwhile.
    daemon.send(&lines("good", 1000, time));
    wait_for_file(&daemon, "good.m999", 1);
    assert!(start.elapsed() < Duration::from_secs(30));
    let all_aside = wait_longer(|| {
        copy.go_on(start.elapsed());
        let done = broken.iter().filter(|name| !asides(&file(name)).is_empty());
        let done = done.count();
        let is_early = start.elapsed() < Duration::from_secs(59);
        assert!(!is_early || done == 0, "too early: {}", daemon.log());
        done == broken.len()
    });
    assert!(all_aside, "{}", daemon.log());
    for (name, bytes) in broken.iter().zip(before) {
        let aside = asides(&file(name));
        assert_eq!(aside.len(), 1, "{name}");
        assert_eq!(fs::read(&aside[0]).unwrap(), bytes, "{name} was changed");
        let metric = format!("bad.{name}");
        assert_eq!(wait_for_file(&daemon, &metric, 1), [(time, 3.0)]);
    }
    for name in waiting {
        assert_eq!(asides(&file(name)), [] as [PathBuf; 0], "{name}");
        daemon.wait_for_points(&format!("bad.{name}"), 1);
    }
    reader_sees_no_asides(&data);
    // The stop tries once more what waits: the copy, which is complete now, and the others in vain.
    copy.finish();
    let ended = daemon.stop();
    let points = whisper_points(&ended.data().join("bad/copied.wsp"), 0);
    assert!(points.contains(&(time, 3.0)), "{points:?} {}", ended.log);
    assert_eq!(ended.status.code(), Some(7), "{}", ended.log);
    check_what_was_said(&ended.log, broken.len(), start.elapsed());
}

/// Each cause was counted, and said once a minute.
fn check_what_was_said(log: &str, broken: usize, elapsed: Duration) {
    let counts = counted(log);
    assert_eq!(counts["setAside"], broken as u64, "{log}");
    for cause in ["broken", "foreign", "directory", "other"] {
        assert!(
            counts[&format!("errors.{cause}")] > 0,
            "{cause}: {counts:?}"
        );
    }
    let causes = counts.iter();
    let causes = causes.filter(|(label, _)| label.starts_with("errors."));
    let sum: u64 = causes.map(|(_, count)| count).sum();
    assert_eq!(counts["errors"], sum, "{counts:?}");
    assert_eq!(log.matches(" is now ").count(), 1, "{log}");
    let minutes = usize::try_from(elapsed.as_secs() / 60 + 1).unwrap();
    let said = log.matches("cannot write ").count();
    assert!(said <= 4 * minutes, "{said} lines: {log}");
}

/// graphite-web's finder and Python's whisper see the metrics and no more.
fn reader_sees_no_asides(data: &Path) {
    const SCRIPT: &str = "
import os, sys
sys.path.insert(0, sys.argv[2])
os.environ['DJANGO_SETTINGS_MODULE'] = 'graphite_settings'
from django.conf import settings
from graphite.finders.standard import StandardFinder
from graphite.finders.utils import FindQuery
nodes = StandardFinder([sys.argv[1]]).find_nodes(FindQuery('bad.*', None, None))
print(sorted(node.path for node in nodes if node.is_leaf))";
    let settings = benzene_fixtures::path("python");
    let found = python(
        SCRIPT,
        &[data.to_str().unwrap(), settings.to_str().unwrap()],
    );
    assert!(found.contains("'bad.empty'"), "{found}");
    assert!(!found.contains("broken"), "{found}");
}

#[test]
fn a_file_cut_short_does_not_grow() {
    let daemon = Daemon::start(&setup(""));
    let time = now() - 700;
    daemon.send(&format!("cut.short 1 {time}\n"));
    wait_for_file(&daemon, "cut.short", 1);
    // The next daemon has not seen the file: what it does not remember it cannot look at beforehand.
    let daemon = Daemon::start_in(&setup(""), daemon.stop().root);
    let path = daemon.file("cut.short");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    // A header that speaks of 268 million points, and less than half of the file.
    file.set_len(5000).unwrap();
    file.write_all_at(&[0x0f, 0xff, 0xff, 0xff], 24).unwrap();
    let before = fs::read(&path).unwrap();
    daemon.send(&format!("cut.short 2 {}\n", time + 600));
    let said = wait_for(|| daemon.log().contains("it ends before a slot").then_some(()));
    assert!(said.is_some(), "{}", daemon.log());
    daemon.wait_for_points("cut.short", 1);
    assert_eq!(fs::read(&path).unwrap(), before, "it was written to");
    // A slot that is there is written, as Python does.
    daemon.send(&format!("cut.short 3 {}\n", time + 1));
    fs::remove_file(&path).unwrap();
    wait_for_file(&daemon, "cut.short", 2);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(counted(&ended.log)["errors.broken"] > 0, "{}", ended.log);
}

/// A flag of the file system that keeps a file from being changed, also by root.
struct Unchangeable(PathBuf);

impl Unchangeable {
    fn new(path: PathBuf) -> Self {
        chattr("+i", &path);
        Self(path)
    }
}

impl Drop for Unchangeable {
    fn drop(&mut self) {
        chattr("-i", &self.0);
    }
}

fn chattr(flag: &str, path: &Path) {
    let status = Command::new("chattr").arg(flag).arg(path).status().unwrap();
    assert!(status.success(), "this test needs root: chattr {flag}");
}

#[test]
fn a_file_and_a_directory_that_may_not_be_changed_wait() {
    let disk = Disk::new();
    let mut daemon = Daemon::start_in(&setup(""), disk.root());
    let time = now();
    daemon.send(&format!("kept.file 1 {time}\n"));
    wait_for_file(&daemon, "kept.file", 1);
    let file = Unchangeable::new(daemon.file("kept.file"));
    fs::create_dir(daemon.data().join("shut")).unwrap();
    let directory = Unchangeable::new(daemon.data().join("shut"));
    daemon.send(&format!("kept.file 2 {}\nshut.file 3 {time}\n", time - 1));
    daemon.wait_for_log("Operation not permitted");
    daemon.wait_for_points("shut.file", 1);
    // Others are written meanwhile.
    daemon.send(&lines("other", 50, time));
    wait_for_file(&daemon, "other.m49", 1);
    drop((file, directory));
    wait_for_file(&daemon, "kept.file", 2);
    assert_eq!(wait_for_file(&daemon, "shut.file", 1), [(time, 3.0)]);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(counted(&ended.log)["errors.access"] > 1, "{}", ended.log);
}

/// An ext4 of its own in a file, without a journal, so that nothing but a file's data lies in its
/// upper half; below a directory that `root` hands to the daemon.
struct Disk {
    image: tempfile::NamedTempFile,
    mount: Option<Mount>,
    root: Option<tempfile::TempDir>,
}

impl Disk {
    fn new() -> Self {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(32 << 20).unwrap();
        let status = Command::new("mkfs.ext4")
            .args(["-q", "-O", "^has_journal"])
            .arg(image.path())
            .status();
        assert!(status.unwrap().success(), "mkfs.ext4");
        let root = tempfile::tempdir().unwrap();
        let mut disk = Self {
            image,
            mount: None,
            root: None,
        };
        fs::create_dir(root.path().join("whisper")).unwrap();
        disk.mount(root.path());
        disk.root = Some(root);
        disk
    }

    /// Mounts it; what was mounted before goes away, and with it all that is in memory of it.
    fn mount(&mut self, root: &Path) {
        self.mount = None;
        let image = self.image.path().to_str().unwrap();
        let mount = Mount::new(&["-o", "loop", image], &root.join("whisper"));
        self.mount = Some(mount);
    }

    fn root(&self) -> tempfile::TempDir {
        let path = self.root.as_ref().unwrap().path().join("daemon");
        fs::create_dir(&path).unwrap();
        let root = tempfile::tempdir_in(path).unwrap();
        let whisper = self.root.as_ref().unwrap().path().join("whisper");
        std::os::unix::fs::symlink(whisper, root.path().join("whisper")).unwrap();
        root
    }
}

/// The block of its device that a file begins with.
fn place(file: &Path) -> u64 {
    let output = Command::new("filefrag").arg("-v").arg(file).output();
    let output = String::from_utf8(output.unwrap().stdout).unwrap();
    let line = output.lines().find(|line| line.trim().starts_with("0:"));
    let block: u64 = line
        .and_then(|line| line.split(':').nth(2))
        .and_then(|places| places.trim().split("..").next()?.parse().ok())
        .unwrap_or_else(|| panic!("no place in {output}"));
    block
}

/// A block of a file that the device does not give: the image under it ends before the block, and
/// a loop device answers EIO for what its file does not have.
#[test]
fn a_file_on_a_bad_block_waits_until_it_can_be_read() {
    let mut disk = Disk::new();
    let whisper = disk.root.as_ref().unwrap().path().join("whisper");
    // Ballast, so that the file lies high up, behind all that the file system keeps for itself.
    fs::write(whisper.join("ballast"), vec![1; 16 << 20]).unwrap();
    python_file(&whisper.join("bad/block.wsp"));
    let start = place_synced(&whisper.join("bad/block.wsp"));
    let root = disk.root.as_ref().unwrap().path().to_owned();
    disk.mount(&root);
    let image = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(disk.image.path())
        .unwrap();
    let mut rest = vec![0; usize::try_from((32 << 20) - start).unwrap()];
    image.read_exact_at(&mut rest, start).unwrap();
    image.set_len(start).unwrap();

    let mut daemon = Daemon::start_in(&setup(""), disk.root());
    let time = now();
    daemon.send(&format!("bad.block 3 {time}\n"));
    daemon.wait_for_log("Input/output error");
    daemon.wait_for_points("bad.block", 1);
    image.write_all_at(&rest, start).unwrap();
    assert_eq!(wait_for_file(&daemon, "bad.block", 1), [(time, 3.0)]);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let counts = counted(&ended.log);
    assert!(counts["errors.io"] > 0, "{}", ended.log);
    assert_eq!(counts.get("setAside"), None, "{}", ended.log);
}

/// Where a file lies, once it does.
fn place_synced(file: &Path) -> u64 {
    fs::File::open(file).unwrap().sync_all().unwrap();
    let status = Command::new("sync").status().unwrap();
    assert!(status.success());
    place(file) * block_bytes(file)
}

fn block_bytes(file: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::blksize(&fs::metadata(file).unwrap())
}

#[test]
fn a_name_that_no_file_system_takes_is_refused_and_the_longest_is_written() {
    let daemon = Daemon::start(&setup(""));
    let time = now();
    let longest = "x".repeat(251);
    daemon.send(&format!(
        "long.{longest}y 1 {time}\nlong.{longest} 2 {time}\nnext.one 3 {time}\n"
    ));
    assert_eq!(
        wait_for_file(&daemon, &format!("long.{longest}"), 1),
        [(time, 2.0)]
    );
    wait_for_file(&daemon, "next.one", 1);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let counts = counted(&ended.log);
    assert_eq!(counts["refused.name"], 1, "{}", ended.log);
    assert_eq!(counts.get("errors"), None, "{}", ended.log);
}
