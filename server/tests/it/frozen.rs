//! A data disk that answers nothing, with the journal on another disk: what is accepted meanwhile is in
//! the journal, and a stop does not wait for the data, also where the cache is full. And a journal's disk
//! that answers nothing: then a second signal ends the daemon.
//! The file system is frozen, as a snapshot or a dead controller does it: each write waits in the
//! kernel until it is thawed. Root is needed, and fsfreeze, mkfs.ext4 and losetup.

#![expect(clippy::disallowed_methods, reason = "a test waits and has senders")]

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::daemon::{Daemon, wait_for};
use crate::faults::lines;
use crate::first_use::now;
use crate::journal::{benzene, came_back, journal_dir, setup, wait_for_recall};
use crate::power::Disk;
use crate::stop::number_before;
use crate::vitals::file_points;

/// More than a core has updates in flight at once.
const METRICS: usize = 400;

/// A file system that takes no write until this is dropped.
pub(crate) struct Frozen(PathBuf);

impl Frozen {
    pub(crate) fn new(disk: &Disk) -> Frozen {
        let status = Command::new("fsfreeze").arg("-f").arg(&disk.at).status();
        assert!(status.unwrap().success(), "this test needs root: fsfreeze");
        Frozen(disk.at.clone())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(Command::new("fsfreeze").arg("-u").arg(&self.0).status());
    }
}

/// How many points of these metrics the journal on the disk has, as of this moment.
fn journaled(daemon: &Daemon, prefix: &str) -> usize {
    let directory = journal_dir(&daemon.data());
    let output = benzene(&["journal", "export", directory.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| line.starts_with(prefix)).count()
}

#[test]
fn a_data_disk_that_hangs_keeps_neither_points_from_the_journal_nor_a_stop_from_its_end() {
    disk_hangs(|daemon| {
        daemon.signal("TERM");
        daemon.wait_for_log("the stop goes on without them");
        daemon.wait_for_log("cached + ");
        0
    });
}

#[test]
fn a_kill_while_the_data_disk_hangs_loses_nothing() {
    disk_hangs(|daemon| {
        daemon.signal("KILL");
        9
    });
}

/// The disk hangs, and then the daemon ends in this way, by this signal if by one.
fn disk_hangs(end: impl FnOnce(&mut Daemon) -> i32) {
    let disk = Disk::new("ext4");
    disk.mount();
    let root = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&disk.at, root.path().join("whisper")).unwrap();
    let mut daemon = Daemon::start_in(&setup(1, ""), root);
    let start = now() - 100;
    daemon.send(&lines("held", METRICS, start));
    let has_all = |second: u32| {
        (0..METRICS).all(|metric| {
            let points = file_points(&daemon.file(&format!("held.m{metric}")));
            points.is_some_and(|points| points.contains_key(&second))
        })
    };
    wait_for(|| has_all(start).then_some(())).expect("the files are not made");

    let frozen = Frozen::new(&disk);
    // More updates than may be in flight; when all of these points are in the journal, the first hang.
    daemon.send(&lines("held", METRICS, start + 1));
    wait_for(|| (journaled(&daemon, "held.") >= METRICS).then_some(()))
        .unwrap_or_else(|| panic!("they wait behind the data: {}", daemon.log()));
    daemon.send(&lines("later", METRICS, start + 2));
    wait_for(|| (journaled(&daemon, "later.") == METRICS).then_some(()))
        .unwrap_or_else(|| panic!("they wait behind the data: {}", daemon.log()));

    let signal = end(&mut daemon);
    // What hangs in the kernel ends with the disk's answer only, and the process with it.
    drop(frozen);
    let ended = daemon.wait();
    assert_eq!(ended.status.signal().unwrap_or(0), signal, "{}", ended.log);
    assert!(signal > 0 || ended.status.success(), "{}", ended.log);

    let daemon = Daemon::start_in(&setup(2, "SHUTDOWN = drain\n"), ended.root);
    assert!(wait_for_recall(&daemon, 2) >= METRICS as u64);
    let ended = daemon.stop();
    assert_eq!(came_back(&ended.log).len(), 2);
    for metric in 0..METRICS {
        let file = |prefix: &str| ended.data().join(prefix).join(format!("m{metric}.wsp"));
        let held = file_points(&file("held")).unwrap();
        assert!(
            held.keys().copied().eq([start, start + 1]),
            "held.m{metric}: {held:?}"
        );
        let later = file_points(&file("later")).unwrap();
        assert!(
            later.keys().copied().eq([start + 2]),
            "later.m{metric}: {later:?}"
        );
    }
    drop(ended);
    disk.unmount();
}

/// Rounds of points, far more than the cache has room for; the sender's socket holds what is not read.
const ROUNDS: u32 = 10;

#[test]
fn a_stop_reads_what_sockets_hold_though_the_cache_is_full_and_the_data_disk_hangs() {
    let disk = Disk::new("ext4");
    disk.mount();
    let root = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&disk.at, root.path().join("whisper")).unwrap();
    let mut daemon = Daemon::start_in(&setup(2, "MAX_CACHE_SIZE = 1000\n"), root);
    let start = now() - 100;
    daemon.send(&lines("full", METRICS, start));
    let has_file = |metric| daemon.file(&format!("full.m{metric}")).exists();
    wait_for(|| (0..METRICS).all(has_file).then_some(())).expect("the files are not made");

    let frozen = Frozen::new(&disk);
    let text: String = (1..ROUNDS)
        .map(|round| lines("full", METRICS, start + round))
        .collect();
    daemon.send(&text);
    wait_for(|| (journaled(&daemon, "full.") >= 900).then_some(()))
        .unwrap_or_else(|| panic!("the cache is not full: {}", daemon.log()));
    daemon.signal("TERM");
    daemon.wait_for_log("cached + ");
    drop(frozen);
    let ended = daemon.wait();
    assert!(ended.status.success(), "{}", ended.log);
    let all = METRICS as u64 * u64::from(ROUNDS);
    assert_eq!(number_before(&ended.log, " received"), all, "{}", ended.log);

    let daemon = Daemon::start_in(&setup(2, "SHUTDOWN = drain\n"), ended.root);
    wait_for_recall(&daemon, 2);
    let ended = daemon.stop();
    for metric in 0..METRICS {
        let points = file_points(&ended.data().join("full").join(format!("m{metric}.wsp")));
        let points = points.unwrap();
        assert!(
            points.keys().copied().eq(start..start + ROUNDS),
            "full.m{metric}: {points:?}"
        );
    }
    drop(ended);
    disk.unmount();
}

/// One core's buffers are full of what another has received for it: no more of that is taken, and all
/// that is asked of the core comes through.
#[test]
fn a_journal_disk_that_hangs_keeps_no_second_signal_waiting() {
    const CONNECTIONS: u32 = 4;
    let disk = Disk::new("ext4");
    disk.mount();
    let root = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&disk.at, root.path().join("journal")).unwrap();
    let daemon = Daemon::start_in(&setup(2, ""), root);
    daemon.send(&format!("one.metric 1 {}\n", now()));
    daemon.wait_for_points("one.metric", 1);
    let frozen = Frozen::new(&disk);
    // One metric, so that one core owns all that both receive.
    let sockets: Vec<TcpStream> = (0..CONNECTIONS).map(|_| daemon.connect()).collect();
    let (sent, start) = (AtomicUsize::new(0), now() - 10_000);
    std::thread::scope(|scope| {
        // In this order, so that a failure thaws before it ends the daemon.
        let (mut daemon, frozen) = (daemon, frozen);
        for socket in sockets {
            let sent = &sent;
            scope.spawn(move || send_one_metric(socket, start, sent));
        }
        let mut before = 0;
        let stands = || {
            std::thread::sleep(Duration::from_millis(500));
            let sent = sent.load(Ordering::Relaxed);
            (sent == std::mem::replace(&mut before, sent)).then_some(())
        };
        wait_for(stands).unwrap_or_else(|| panic!("senders go on: {}", daemon.log()));
        let begun = cpu_ticks(daemon.pid());
        std::thread::sleep(Duration::from_secs(2));
        let used = cpu_ticks(daemon.pid()) - begun;
        // Of the 200 that one core has; looking for room five thousand times a second takes some.
        assert!(used < 150, "{used} ticks: a core spins");
        daemon.signal("TERM");
        daemon.wait_for_log("SIGTERM: receivers stop");
        daemon.signal("TERM");
        daemon.wait_for_log("a second signal (SIGTERM) cut the stop short");
        drop(frozen);
        let ended = daemon.wait();
        assert_eq!(ended.status.code(), Some(7), "{}", ended.log);
    });
    disk.unmount();
}

/// Sends points of one metric until the connection ends; `sent` counts them in hundreds.
fn send_one_metric(mut socket: TcpStream, start: u32, sent: &AtomicUsize) {
    for second in (start..start + 10_000).cycle() {
        let text = format!("one.metric 1 {second}\n").repeat(100);
        if socket.write_all(text.as_bytes()).is_err() {
            return;
        }
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// Processor time that a process has used, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |field: usize| fields[field].parse::<u64>().unwrap();
    ticks(11) + ticks(12)
}
