//! Power cuts while files are made: on ext4 and on XFS, each on a loop device of its own.
//! The file system is told to go down at once without writing its log (`EXT4_IOC_SHUTDOWN`,
//! `XFS_IOC_GOINGDOWN`): what was not on the device then is lost, as in a power cut. The daemon is
//! killed, the file system mounted again. Whatever `.wsp` is there then must be whole, by its header
//! and by Python whisper, also after the daemon has run on it again.
//! Beside the daemon another file is synced all the time, which makes the journal write names that
//! are milliseconds old: without that a cut takes them all, and proves nothing.
//! Root is needed, and mkfs.ext4, mkfs.xfs and losetup.
#![expect(
    clippy::disallowed_methods,
    reason = "a test opens files and sleeps simply"
)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, Ended, Setup, python, wait_for};
use crate::faults::{assert_whole, files_below, lines};
use crate::first_use::now;

/// Metrics that are sent before each cut: more than can be made until then.
const METRICS: usize = 60_000;

/// How many cuts of each kind; `BENZENE_LONG` asks for ten.
fn cuts() -> usize {
    if std::env::var_os("BENZENE_LONG").is_some() {
        10
    } else {
        2
    }
}

/// A file system in a file.
pub(crate) struct Disk {
    image: PathBuf,
    /// Where it is mounted.
    pub(crate) at: PathBuf,
    _directory: tempfile::TempDir,
}

impl Disk {
    pub(crate) fn new(kind: &str) -> Disk {
        let directory = tempfile::tempdir().unwrap();
        let (image, at) = (directory.path().join("image"), directory.path().join("at"));
        fs::File::create(&image).unwrap().set_len(4 << 30).unwrap();
        fs::create_dir(&at).unwrap();
        let made = Command::new(format!("mkfs.{kind}"))
            .arg("-q")
            .arg(&image)
            .status();
        let made = made.unwrap_or_else(|error| panic!("mkfs.{kind}: {error}"));
        assert!(made.success(), "mkfs.{kind}: {made}");
        Disk {
            image,
            at,
            _directory: directory,
        }
    }

    pub(crate) fn mount(&self) {
        let status = Command::new("mount")
            .args(["-o", "loop"])
            .args([&self.image, &self.at])
            .status();
        assert!(status.unwrap().success(), "this test needs root: mount");
    }

    /// Takes the file system off for good: what a killed daemon's rings still hold is let go a
    /// moment later, and a file system that is only detached would be found again by the next mount.
    pub(crate) fn unmount(&self) {
        let unmounted = wait_for(|| {
            let status = Command::new("umount")
                .arg(&self.at)
                .stderr(Stdio::null())
                .status();
            status.unwrap().success().then_some(())
        });
        assert!(unmounted.is_some(), "{} stays busy", self.at.display());
    }

    /// The power fails: nothing more reaches the device.
    pub(crate) fn cut(&self) {
        const SCRIPT: &str = "
import fcntl, os, struct, sys
SHUTDOWN = 2 << 30 | 4 << 16 | ord('X') << 8 | 125  # _IOR('X', 125, __u32), ext4 and XFS alike
NO_LOG_FLUSH = 2
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), SHUTDOWN, struct.pack('I', NO_LOG_FLUSH))
";
        python(SCRIPT, &[self.at.to_str().unwrap()]);
    }

    /// After a cut, and the daemon's end: the machine is there again. What the cut has left of the data and
    /// the journal, in a directory that goes away with the test.
    pub(crate) fn start_again(&self, ended: Ended) -> tempfile::TempDir {
        let home = ended.root.keep();
        self.unmount();
        self.mount();
        let aside = home.with_extension("before");
        fs::rename(&home, &aside).unwrap();
        // It keeps its name: notes in the journal's directories say by whom they are.
        let name = home.file_name().unwrap();
        let mut named = tempfile::Builder::new();
        let root = named.prefix(name).rand_bytes(0).tempdir_in(&self.at);
        let root = root.unwrap();
        for name in ["whisper", "journal"] {
            fs::rename(aside.join(name), root.path().join(name)).unwrap();
        }
        drop(fs::remove_dir_all(&aside));
        root
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Still mounted only where the test has failed.
        let detach = Command::new("umount")
            .arg("-l")
            .arg(&self.at)
            .stderr(Stdio::null())
            .status();
        drop(detach);
    }
}

/// Syncs a file again and again until it is dropped or the power fails.
pub(crate) struct Syncer {
    stop: Arc<AtomicBool>,
    /// When each sync began, and then when it ended.
    told: Receiver<Instant>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Syncer {
    /// Writes and syncs as `sync` does, which is given the number of its call.
    pub(crate) fn start(mut sync: impl FnMut(u32) -> io::Result<()> + Send + 'static) -> Syncer {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            for turn in 0.. {
                tell.send(Instant::now()).unwrap();
                let synced = sync(turn);
                tell.send(Instant::now()).unwrap();
                if stopped.load(Ordering::Relaxed) || synced.is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Syncer {
            stop,
            told,
            thread: Some(thread),
        }
    }

    /// The times since the last call: when each sync began, and then when it ended.
    pub(crate) fn times(&self) -> impl Iterator<Item = Instant> {
        self.told.try_iter()
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Looks at every Whisper file, with our eyes and Python whisper's; how many there are.
pub(crate) fn whole_files(data: &Path) -> usize {
    const SCRIPT: &str = "
import os, sys, whisper
count = 0
for directory, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(directory, name)
        info = whisper.info(path)
        assert info is not None, path
        end = max(archive['offset'] + archive['size'] for archive in info['archives'])
        assert os.path.getsize(path) == end, path
        whisper.fetch(path, 0)
        count += 1
print(count)
";
    let mut names = Vec::new();
    for file in files_below(data) {
        assert_whole(&file);
        names.push(file);
    }
    let seen: usize = python(SCRIPT, &[data.to_str().unwrap()])
        .trim()
        .parse()
        .unwrap();
    assert_eq!(seen, names.len());
    seen
}

fn setup(conf: &str) -> Setup {
    Setup {
        conf: format!("CARBON_METRIC_INTERVAL = 0\n{conf}"),
        schemas: Some("[all]\npattern = .*\nretentions = 10s:20m,1m:2h\n".to_owned()),
        shards: Some(2),
        ..Setup::default()
    }
}

/// Cuts the power while files are made, on a fresh file system of this kind.
fn power_fails(kind: &str, conf: &str) {
    let disk = Disk::new(kind);
    let mut survived = Vec::new();
    for cut in 0..cuts() {
        disk.mount();
        let root = tempfile::tempdir_in(&disk.at).unwrap();
        let home = root.path().to_owned();
        let daemon = Daemon::start_in(&setup(conf), root);
        let data = daemon.data();
        assert!(
            !daemon.log().contains("each new file is synced"),
            "the order is not known to be kept on {kind}"
        );
        let file = disk.at.join("synced");
        let syncer = Syncer::start(move |turn| {
            fs::write(&file, turn.to_string())?;
            fs::File::open(&file)?.sync_all()
        });
        daemon.send(&lines(&format!("cut.c{cut}"), METRICS, now()));
        // Each time a little later among the creates.
        let wanted = 500 + cut * 397 % 2_000;
        wait_for(|| (files_below(&data).len() >= wanted).then_some(())).unwrap();
        disk.cut();
        daemon.signal("KILL");
        let ended: Ended = daemon.wait();
        drop(syncer);
        // Its directory is on the file system that is gone: nothing is to be removed now.
        let _kept: PathBuf = ended.root.keep();
        disk.unmount();
        disk.mount();
        let files = whole_files(&data);
        // The next start, with the same metrics: no file is in its way.
        let root = tempfile::tempdir_in(&disk.at).unwrap();
        if data.exists() {
            fs::rename(&data, root.path().join("whisper")).unwrap();
        }
        let daemon = Daemon::start_in(&setup(conf), root);
        daemon.send(&lines(&format!("cut.c{cut}"), 2_000, now()));
        let ended = daemon.stop();
        assert!(ended.status.success(), "{}", ended.log);
        let after = whole_files(&ended.data());
        assert!(after >= files.max(2_000), "{after} files, {files} before");
        survived.push(files);
        drop(ended);
        drop(fs::remove_dir_all(&home));
        disk.unmount();
    }
    // A cut that takes everything proves nothing.
    assert!(
        survived.iter().all(|files| *files > 0),
        "whole files after each cut on {kind} ({conf}): {survived:?}"
    );
}

#[test]
fn a_power_cut_during_creates_leaves_whole_files_on_ext4() {
    power_fails("ext4", "WHISPER_FALLOCATE_CREATE = True");
    power_fails("ext4", "WHISPER_SPARSE_CREATE = True");
    power_fails("ext4", "");
}

#[test]
fn a_power_cut_during_creates_leaves_whole_files_on_xfs() {
    power_fails("xfs", "WHISPER_FALLOCATE_CREATE = True");
    power_fails("xfs", "WHISPER_SPARSE_CREATE = True");
    power_fails("xfs", "");
}
