//! A model disk as `disk hdd up` makes it: files go through it, its counters say so, and nothing of it
//! is left: not after `down`, not after SIGTERM, and not after its server was killed with SIGKILL.
//! Root is needed, and mkfs.ext4, mkfs.xfs, losetup and /dev/fuse; elsewhere the test says what is
//! missing and looks at that message only.
//! How fast the disk is depends on what else the machine does: only what no machine can change is
//! looked at, that a request takes no less than the model's time.

#![expect(clippy::print_stdout, reason = "a test that is skipped says why")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::programs::{said, text};

/// A model disk's directory, which is taken down when it goes.
pub(crate) struct Disk {
    dir: PathBuf,
    _parent: tempfile::TempDir,
}

impl Disk {
    /// In memory where there is some: other tests keep the machine's disk busy.
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        };
        let parent = parent.unwrap();
        Self {
            dir: parent.path().join("disk"),
            _parent: parent,
        }
    }

    fn command(&self, verb: &str, options: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_benzene-bench"))
            .args(["disk", "hdd", verb, "--dir"])
            .arg(&self.dir)
            .args(options)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    pub(crate) fn up(&self, options: &[&str]) {
        let output = self.command("up", options);
        assert!(output.status.success(), "{}", said(&output));
    }

    pub(crate) fn mount(&self) -> PathBuf {
        self.dir.join("mnt")
    }

    /// A number of the counters.
    fn counter(&self, name: &str) -> u64 {
        let output = self.command("status", &["--json"]);
        assert!(output.status.success(), "{}", said(&output));
        number(&text(&output), name)
    }

    /// Nothing leads here any more: no mount, no loop device, no process, no file.
    fn assert_gone(&self) {
        let name = self.dir.to_str().unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(name), "still mounted:\n{mounts}");
        let loops = Command::new("losetup").arg("--all").output().unwrap();
        assert!(!text(&loops).contains(name), "{}", said(&loops));
        assert_eq!(self.servers(), [0; 0], "a server is left");
        assert!(!self.dir.exists(), "{} is left", self.dir.display());
    }

    fn servers(&self) -> Vec<i32> {
        let of = |pid: &i32| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.contains("serve\0") && line.contains(self.dir.to_str().unwrap())
        };
        let entries = fs::read_dir("/proc").unwrap();
        let pids = entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        pids.filter(of).collect()
    }

    fn signal(&self, signal: Signal) {
        let servers = self.servers();
        let [server] = *servers else {
            panic!("one server, not {servers:?}");
        };
        kill_process(Pid::from_raw(server).unwrap(), signal).unwrap();
        let ended = eventually(|| self.servers().is_empty());
        assert!(ended, "the server goes on after {signal:?}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It is there only where the test has failed.
        drop(self.command("down", &[]));
    }
}

/// The number behind a name in JSON.
fn number(json: &str, name: &str) -> u64 {
    let (_, rest) = json
        .split_once(&format!("\"{name}\": "))
        .unwrap_or_else(|| panic!("{json}"));
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap();
    rest[..digits].parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test waits")]
fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    for _ in 0..1000 {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Root, and what the kernel has for it. Says what is missing.
pub(crate) fn is_possible() -> bool {
    let root = rustix::process::geteuid().is_root();
    for (there, what) in [
        (root, "root"),
        (Path::new("/dev/fuse").exists(), "/dev/fuse"),
        (Path::new("/dev/loop-control").exists(), "/dev/loop-control"),
    ] {
        if !there {
            println!("skipped: a model disk needs {what}");
            return false;
        }
    }
    true
}

fn write_files(dir: &Path) {
    for index in 0..20_u8 {
        let mut file = File::create(dir.join(format!("{index}.wsp"))).unwrap();
        file.write_all(&vec![index; 41_000]).unwrap();
    }
    File::open(dir).and_then(|dir| dir.sync_all()).unwrap();
    rustix::fs::syncfs(File::open(dir).unwrap()).unwrap();
}

/// The disk's bytes anew, past the page cache of its file system.
fn read_device(device: &str, reads: u64) {
    let disk = File::open(device).unwrap();
    let size = 60 << 20;
    let mut block = [0; 4096];
    for read in 0..reads {
        rustix::fs::fadvise(&disk, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        disk.read_exact_at(&mut block, read * 7_919 * 4096 % size)
            .unwrap();
    }
}

/// What the daemon takes it for.
#[test]
fn it_spins_for_the_daemon_too() {
    if !is_possible() {
        return;
    }
    let disk = Disk::new();
    disk.up(&["--size", "256M"]);
    let seen = benzene_engine::device::Disk::of(&disk.mount()).unwrap();
    assert_eq!(seen.class, benzene_engine::device::Class::Hdd, "{seen:?}");
    let down = disk.command("down", &[]);
    assert!(down.status.success(), "{}", said(&down));
}

#[test]
fn files_go_through_it_and_nothing_is_left_after_down() {
    if !is_possible() {
        return;
    }
    let disk = Disk::new();
    disk.up(&["--size", "256M"]);
    let again = disk.command("up", &[]);
    assert!(!again.status.success(), "{}", said(&again));
    assert!(
        said(&again).contains("take it down first"),
        "{}",
        said(&again)
    );
    write_files(&disk.mount());
    let mut back = Vec::new();
    let mut file = File::open(disk.mount().join("7.wsp")).unwrap();
    file.read_to_end(&mut back).unwrap();
    assert_eq!(back, vec![7; 41_000]);
    drop(file);
    assert!(disk.counter("written_bytes") >= 20 * 41_000);
    assert!(disk.counter("flushes") > 0);
    let status = text(&disk.command("status", &["--json"]));
    let (_, device) = status.split_once("\"device\": \"").unwrap();
    let (device, _) = device.split_once('"').unwrap();
    assert_eq!(
        fs::read_to_string(format!("/sys/block/{}/queue/rotational", &device[5..])).unwrap(),
        "1\n"
    );
    let (reads, seeks) = (disk.counter("reads"), disk.counter("seeks"));
    let begin = benzene_engine::clock::now().instant;
    read_device(device, 40);
    let took = begin.elapsed();
    assert!(disk.counter("reads") >= reads + 40);
    assert!(disk.counter("seeks") > seeks + 20);
    // A read far away waits half a revolution on average, 4 ms, and never gets by without a seek.
    assert!(took > Duration::from_millis(40), "40 reads in {took:?}");
    let shown = text(&disk.command("status", &[]));
    assert!(
        shown.contains("hdd-7200") && shown.contains("full strokes"),
        "{shown}"
    );
    assert!(disk.command("down", &[]).status.success());
    disk.assert_gone();
    let again = disk.command("down", &[]);
    assert!(again.status.success(), "{}", said(&again));
    assert!(text(&again).contains("was not there"), "{}", said(&again));
}

#[test]
fn a_killed_server_leaves_what_the_next_command_takes_away() {
    if !is_possible() {
        return;
    }
    let disk = Disk::new();
    for next in ["down", "up"] {
        disk.up(&["--size", "400M", "--fs", "xfs"]);
        // Something is dirty when the disk goes.
        fs::write(disk.mount().join("dirty"), vec![1; 100_000]).unwrap();
        disk.signal(Signal::KILL);
        let status = disk.command("status", &[]);
        assert!(!status.status.success(), "{}", said(&status));
        assert!(text(&status).contains("is gone"), "{}", said(&status));
        let output = disk.command(next, &[]);
        assert!(output.status.success(), "{}", said(&output));
        if next == "up" {
            write_files(&disk.mount());
            assert!(said(&output).contains("took away"), "{}", said(&output));
            assert!(disk.command("down", &[]).status.success());
        }
        disk.assert_gone();
    }
}

#[test]
fn a_signal_takes_it_down_without_its_delays() {
    if !is_possible() {
        return;
    }
    let disk = Disk::new();
    disk.up(&["--size", "256M", "--model", "hdd-5400"]);
    fs::write(disk.mount().join("dirty"), vec![1; 20 << 20]).unwrap();
    disk.signal(Signal::TERM);
    assert!(disk.command("down", &[]).status.success());
    disk.assert_gone();
}

#[test]
fn without_root_the_remedy_is_named() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    let output = Disk::new().command("up", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("run this with sudo"),
        "{}",
        said(&output)
    );
}
