//! A journal whose disk is full, whose bound is reached, or whose oldest segment is kept by a metric
//! that cannot be written: what is promised in docs/durability.md, with the real program.
//! Root is needed, for a small tmpfs.
#![expect(
    clippy::disallowed_methods,
    clippy::format_push_string,
    reason = "a test waits, reads clocks and files, and builds its text simply"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, Ended, Querier, Setup, file_of, wait_for};
use crate::faults::{Mount, files_below};
use crate::first_use::now;
use crate::journal::{
    THROTTLED, balance, benzene, journal_dir, kill, known, setup, wait_for_recall,
};
use crate::vitals::{Own, file_points};

/// Rounds of points of all metrics, a second apart.
struct Rounds {
    metrics: u32,
    count: u32,
    start: u32,
}

impl Rounds {
    fn new(metrics: u32, rounds: u32) -> Rounds {
        let start = now() - 1_500;
        assert!(rounds <= 1_400, "they end before now");
        Rounds {
            metrics,
            count: rounds,
            start,
        }
    }

    fn text(&self, round: u32) -> String {
        let mut text = String::new();
        for metric in 0..self.metrics {
            let second = self.start + round;
            text += &format!("fault.m{metric} {} {second}\n", metric + round);
        }
        text
    }

    /// Sends until all are sent or the connection ends; `sent` counts whole rounds.
    fn send(&self, address: SocketAddr, sent: &AtomicU32, stop: &AtomicBool) {
        let mut socket = TcpStream::connect(address).unwrap();
        for round in 0..self.count {
            let is_cut = socket.write_all(self.text(round).as_bytes()).is_err();
            if is_cut || stop.load(Ordering::SeqCst) {
                return;
            }
            sent.store(round + 1, Ordering::SeqCst);
        }
        while !stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// How many points the files have: of each metric the first rounds without a gap.
    fn points_in_files(&self, data: &Path) -> u64 {
        let mut count = 0;
        for metric in 0..self.metrics {
            let name = format!("fault.m{metric}");
            let points = file_points(&file_of(data, &name)).unwrap_or_default();
            let rounds = 0..u32::try_from(points.len()).unwrap();
            let sent = rounds.map(|round| (self.start + round, f64::from(metric + round)));
            count += points.len() as u64;
            assert!(points.into_iter().eq(sent), "{name}");
        }
        count
    }

    /// Waits until the cache or the files have everything.
    fn wait_for_all(&self, daemon: &Daemon) {
        let mut querier = Querier::connect(daemon.query);
        for metric in (0..self.metrics).rev() {
            let name = format!("fault.m{metric}");
            let all = self.count as usize;
            wait_for(|| (known(daemon, &mut querier, &name).len() == all).then_some(()))
                .unwrap_or_else(|| panic!("{name} has not all: {}", daemon.log()));
        }
    }
}

/// All that was received is in the files, first.point among it; says how much.
fn all_in_files(load: &Rounds, ended: &Ended) -> u64 {
    let received = crate::stop::number_before(&ended.log, " received");
    assert_eq!(
        load.points_in_files(&ended.data()) + 1,
        received,
        "{}",
        ended.log
    );
    received
}

/// A daemon whose journal is on a full disk of its own, with room for its first segments only.
fn on_a_full_disk(conf: &str) -> (Daemon, Mount, std::path::PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = journal_dir(&root.path().join("whisper"));
    fs::create_dir_all(&dir).unwrap();
    let mount = Mount::new(&["-t", "tmpfs", "-o", "size=4m", "tmpfs"], &dir);
    let small = "JOURNAL_SEGMENT_BYTES = 256k\nJOURNAL_MAX_BYTES = 64m\n";
    let setup = Setup {
        conf: format!("CARBON_METRIC_INTERVAL = 1\n{small}{conf}"),
        ..setup(1, "")
    };
    let daemon = Daemon::start_in(&setup, root);
    daemon.send(&format!("first.point 1 {}\n", now()));
    daemon.wait_for_points("first.point", 1);
    let ballast = dir.join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    (daemon, mount, ballast)
}

fn said(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

#[test]
fn a_full_journal_disk_is_said_and_recovers_by_itself() {
    let (mut daemon, mount, ballast) = on_a_full_disk("MAX_UPDATES_PER_SECOND = 50\n");
    let load = Rounds::new(2_000, 150);
    let mut own = Own::of(&daemon);
    let mut socket = daemon.connect();
    for round in 0..load.count {
        socket.write_all(load.text(round).as_bytes()).unwrap();
    }
    daemon.wait_for_log("the journal cannot be written");
    // It is accepted and written all the same.
    load.wait_for_all(&daemon);
    wait_for(|| (own.value("benzene.journal.state") == 2).then_some(())).unwrap();
    let data = daemon.data();
    let before = load.points_in_files(&data);
    wait_for(|| (load.points_in_files(&data) > before).then_some(())).unwrap();
    fs::remove_file(&ballast).unwrap();
    daemon.wait_for_log("the journal is well again");
    let log = daemon.log();
    assert_eq!(said(&log, "the journal cannot be written"), 1, "{log}");
    wait_for(|| (own.value("benzene.journal.state") == 0).then_some(())).unwrap();
    drop(own);
    // What was accepted meanwhile is in the journal now.
    let ended = kill(daemon);
    let in_files = load.points_in_files(&ended.data());
    let all = u64::from(load.metrics) * u64::from(load.count);
    assert!(in_files < all, "everything was written before the kill");
    let daemon = Daemon::start_in(
        &setup(
            2,
            "SHUTDOWN = drain\nJOURNAL_SEGMENT_BYTES = 256k\nJOURNAL_MAX_BYTES = 64m\n",
        ),
        ended.root,
    );
    wait_for_recall(&daemon, 2);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(load.points_in_files(&ended.data()), all, "{}", ended.log);
    drop(mount);
}

/// Senders wait with the block that has no segment. Nothing is said of a failure, and nothing is lost.
#[test]
fn a_segment_for_which_there_is_no_descriptor_is_waited_for() {
    let small = "JOURNAL_SEGMENT_BYTES = 64k\nJOURNAL_MAX_BYTES = 64m\n";
    let mut daemon = Daemon::start(&setup(
        1,
        &format!("{small}JOURNAL_ON_ERROR = stop\nSHUTDOWN = drain\n"),
    ));
    daemon.send(&format!("first.point 1 {}\n", now()));
    let mut socket = daemon.connect();
    let load = Rounds::new(2_000, 150);
    let first = load.text(0);
    socket.write_all(first.as_bytes()).unwrap();
    let made = || files_below(&daemon.data()).len() > load.metrics as usize;
    wait_for(|| made().then_some(())).unwrap();
    let mut querier = Querier::connect(daemon.query);
    let last = format!("fault.m{}", load.metrics - 1);
    // Who asks is accepted before, and not only connected.
    assert!(!known(&daemon, &mut querier, &last).is_empty());
    daemon.limit_open_files(1);
    let others: String = (1..load.count).map(|round| load.text(round)).collect();
    let sender = std::thread::spawn(move || socket.write_all(others.as_bytes()).map(|()| socket));
    daemon.wait_for_log("the journal waits for its next segment, and senders with it: ");
    // What has room in the buffers is taken; then nothing, for longer than until it is tried again.
    let mut taken = || known(&daemon, &mut querier, &last).len();
    let before = wait_for(|| {
        let first = taken();
        std::thread::sleep(Duration::from_millis(500));
        (taken() == first).then_some(first)
    });
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(before, Some(taken()), "nobody waits: {}", daemon.log());
    assert!(before < Some(load.count as usize), "{}", daemon.log());
    daemon.limit_open_files(1024);
    drop(sender.join().unwrap().unwrap());
    load.wait_for_all(&daemon);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(said(&ended.log, "the journal waits"), 1, "{}", ended.log);
    // Nor does a sync of the data count as failed that was not begun.
    for not in ["cannot be written", "may never come to its disk"] {
        assert_eq!(said(&ended.log, not), 0, "{}", ended.log);
    }
    let all = u64::from(load.metrics) * u64::from(load.count) + 1;
    assert_eq!(all_in_files(&load, &ended), all);
}

/// A start writes over what stands in its directory: a disk that is full has no room for it anew.
#[test]
fn a_full_journal_disk_does_not_keep_a_daemon_from_starting() {
    let (daemon, mount, ballast) = on_a_full_disk("");
    // In its file, whatever became of it in the journal.
    let first = daemon.file("first.point");
    wait_for(|| file_points(&first).filter(|it| !it.is_empty())).unwrap();
    let ended = kill(daemon);
    let mut more = fs::File::options().append(true).open(&ballast).unwrap();
    while more.write_all(&[1; 4096]).is_ok() {}
    let daemon = Daemon::start_in(&setup(1, ""), ended.root);
    daemon.send(&format!("second.point 2 {}\n", now()));
    daemon.wait_for_points("second.point", 1);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    for metric in ["first.point", "second.point"] {
        let points = file_points(&file_of(&ended.data(), metric)).unwrap();
        assert_eq!(points.len(), 1, "{metric}: {}", ended.log);
    }
    drop(mount);
}

#[test]
fn a_full_journal_disk_ends_the_daemon_where_that_is_asked_for() {
    let (daemon, mount, _) = on_a_full_disk("JOURNAL_ON_ERROR = stop\n");
    let load = Rounds::new(2_000, 1_000);
    let (sent, stop) = (AtomicU32::new(0), AtomicBool::new(false));
    let ended = std::thread::scope(|scope| {
        let (address, load, sent, stop) = (daemon.line, &load, &sent, &stop);
        scope.spawn(move || load.send(address, sent, stop));
        let ended = daemon.wait();
        stop.store(true, Ordering::SeqCst);
        ended
    });
    assert_eq!(ended.status.code(), Some(8), "{}", ended.log);
    assert_eq!(
        said(&ended.log, "the journal cannot be written"),
        1,
        "{}",
        ended.log
    );
    assert!(
        ended.log.contains("No space left on device"),
        "{}",
        ended.log
    );
    let received = all_in_files(&load, &ended);
    assert!(received > 10_000, "{}", ended.log);
    drop(mount);
}

/// A start needs room beside what earlier runs have left, and a journal that cannot be written frees none:
/// what owes nothing goes before, and all of it where a stop has written everything out.
#[test]
fn a_journal_that_has_filled_its_disk_does_not_end_every_start() {
    let root = tempfile::tempdir().unwrap();
    let dir = journal_dir(&root.path().join("whisper"));
    fs::create_dir_all(&dir).unwrap();
    let mount = Mount::new(&["-t", "tmpfs", "-o", "size=4608k", "tmpfs"], &dir);
    let conf = |more: &str| {
        let conf = format!("JOURNAL_SEGMENT_BYTES = 256k\nJOURNAL_MAX_BYTES = 8m\n{more}");
        setup(2, &conf)
    };
    let mut daemon = Daemon::start_in(&conf(THROTTLED), root);
    let load = Rounds::new(2_000, 1_000);
    let (sent, stop) = (AtomicU32::new(0), AtomicBool::new(false));
    let ended = std::thread::scope(|scope| {
        let (address, load, sent, stop) = (daemon.line, &load, &sent, &stop);
        scope.spawn(move || load.send(address, sent, stop));
        daemon.wait_for_log("the journal cannot be written");
        stop.store(true, Ordering::SeqCst);
        kill(daemon)
    });
    let daemon = Daemon::start_in(&conf("JOURNAL_ON_ERROR = stop\n"), ended.root);
    let ended = daemon.wait();
    assert_eq!(ended.status.code(), Some(8), "{}", ended.log);
    let came_back = balance(&ended.log).replayed;
    assert!(came_back > 100_000, "{}", ended.log);
    let files = |ended: &Ended| load.points_in_files(&ended.data());
    // A few were there before the kill.
    let in_files = files(&ended);
    assert!(in_files >= came_back, "{in_files}: {}", ended.log);
    let left = |dir: &Path| {
        let names = fs::read_dir(dir).unwrap().map(|it| it.unwrap().path());
        let is_left = |path: &std::path::PathBuf| path.extension().is_some();
        names.filter(is_left).count()
    };
    assert_eq!(left(&dir), 0, "{}", ended.log);
    let daemon = Daemon::start_in(&conf("JOURNAL_ON_ERROR = stop\n"), ended.root);
    daemon.send(&format!("first.point 1 {}\n", now()));
    daemon.wait_for_points("first.point", 1);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(said(&ended.log, "the journal cannot"), 0, "{}", ended.log);
    assert!(left(&dir) > 0, "the journal is where it was");
    assert_eq!(files(&ended), in_files);
    drop(mount);
}

/// Who sends the first signal to a daemon that ends by itself does not mean the second one, which
/// leaves behind what is not written yet.
#[test]
fn the_first_signal_does_not_cut_short_a_stop_that_the_journal_began() {
    let (mut daemon, mount, _) = on_a_full_disk(
        "JOURNAL_ON_ERROR = stop\nMAX_UPDATES_PER_SECOND = 1\n\
         MAX_UPDATES_PER_SECOND_ON_SHUTDOWN = 200\n",
    );
    let load = Rounds::new(1_000, 1_000);
    let (sent, stop) = (AtomicU32::new(0), AtomicBool::new(false));
    let ended = std::thread::scope(|scope| {
        let (address, load, sent, stop) = (daemon.line, &load, &sent, &stop);
        scope.spawn(move || load.send(address, sent, stop));
        daemon.wait_for_log("JOURNAL_ON_ERROR = stop: receivers stop");
        daemon.signal("TERM");
        daemon.wait_for_log("SIGTERM: the daemon stops already");
        let ended = daemon.wait();
        stop.store(true, Ordering::SeqCst);
        ended
    });
    assert_eq!(ended.status.code(), Some(8), "{}", ended.log);
    all_in_files(&load, &ended);
    drop(mount);
}

#[test]
fn senders_wait_at_the_bound_and_nothing_is_lost() {
    const SMALL: &str = "JOURNAL_SEGMENT_BYTES = 64k\nJOURNAL_MAX_BYTES = 512k\n";
    let load = Rounds::new(500, 1_000);
    // Files first: metrics that wait for a file would be carried, and dropped where that is too much.
    let daemon = Daemon::start(&setup(1, SMALL));
    daemon.send(&load.text(0));
    wait_for(|| (files_below(&daemon.data()).len() == 500).then_some(())).unwrap();
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let throttled = format!("{SMALL}MAX_UPDATES_PER_SECOND = 1\n");
    let daemon = Daemon::start_in(&setup(1, &throttled), ended.root);
    let (sent, stop) = (AtomicU32::new(0), AtomicBool::new(false));
    let ended = std::thread::scope(|scope| {
        let (address, load, sent, stop) = (daemon.line, &load, &sent, &stop);
        scope.spawn(move || load.send(address, sent, stop));
        let (mut querier, mut longest) = (Querier::connect(daemon.query), Duration::ZERO);
        let (mut known, mut since) = (0, Instant::now());
        while since.elapsed() < Duration::from_secs(2) {
            let present = sent.load(Ordering::SeqCst);
            if present != known {
                (known, since) = (present, Instant::now());
            }
            let asked = Instant::now();
            querier.points("fault.m499");
            longest = longest.max(asked.elapsed());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(known < load.count, "nobody waited");
        assert!(longest < Duration::from_secs(1), "a query took {longest:?}");
        let ended = daemon.stop();
        stop.store(true, Ordering::SeqCst);
        ended
    });
    assert!(ended.status.success(), "{}", ended.log);
    // The first round came before; the first point of it once more.
    let read = balance(&ended.log).received + u64::from(load.metrics);
    let points = |data: &Path| load.points_in_files(data);
    assert!(points(&ended.data()) < read, "{}", ended.log);
    // With another bound and no limit on updates it goes on, from the start.
    let large = "JOURNAL_SEGMENT_BYTES = 256k\nSHUTDOWN = drain\n";
    let daemon = Daemon::start_in(&setup(2, large), ended.root);
    wait_for_recall(&daemon, 2);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    balance(&ended.log);
    assert_eq!(
        points(&ended.data()) + u64::from(load.metrics),
        read,
        "{}",
        ended.log
    );
    let daemon = Daemon::start_in(&setup(2, large), ended.root);
    for round in 0..load.count {
        daemon.send(&load.text(round));
    }
    load.wait_for_all(&daemon);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let all = u64::from(load.metrics) * u64::from(load.count);
    assert_eq!(points(&ended.data()), all);
}

#[test]
fn a_metric_that_cannot_be_written_does_not_keep_the_journal() {
    const SMALL: &str = "JOURNAL_SEGMENT_BYTES = 16k\nJOURNAL_MAX_BYTES = 128k\n";
    let root = tempfile::tempdir().unwrap();
    let parked = root.path().join("whisper").join("parked.wsp");
    fs::create_dir_all(&parked).unwrap();
    let conf = format!("CARBON_METRIC_INTERVAL = 1\n{SMALL}");
    let setup_small = Setup {
        conf,
        ..setup(1, "")
    };
    let mut daemon = Daemon::start_in(&setup_small, root);
    let (mut socket, load) = (daemon.connect(), Rounds::new(100, 800));
    let expected: BTreeMap<u32, f64> = (0..10).map(|at| (load.start + at, f64::from(at))).collect();
    for (second, value) in &expected {
        daemon.send(&format!("parked {value} {second}\n"));
    }
    daemon.wait_for_points("parked", expected.len());
    daemon.wait_for_log("parked.wsp");
    // Several times what the journal may hold: the segment with these points is used again.
    for round in 0..load.count {
        socket.write_all(load.text(round).as_bytes()).unwrap();
    }
    load.wait_for_all(&daemon);
    let mut own = Own::of(&daemon);
    own.wait_until(&["benzene.journal.carried"], |carried| carried[0] >= 10);
    // What was accepted before the bound was met goes past it.
    own.wait_until(
        &["benzene.journal.diskBytes", "benzene.journal.bytes"],
        |bytes| bytes[0] <= 256 << 10 && bytes[1] > 320 << 10,
    );
    drop(own);
    std::thread::sleep(Duration::from_millis(100));
    let ended = kill(daemon);
    let owed = benzene(&[
        "journal",
        "export",
        journal_dir(&ended.data()).to_str().unwrap(),
    ]);
    assert!(owed.status.success(), "{owed:?}");
    fs::remove_dir(&parked).unwrap();
    let daemon = Daemon::start_in(&setup(1, &format!("{SMALL}SHUTDOWN = drain\n")), ended.root);
    wait_for_recall(&daemon, 1);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let found = file_points(&file_of(&ended.data(), "parked"));
    assert_eq!(found, Some(expected), "{}", ended.log);
    let all = u64::from(load.metrics) * u64::from(load.count);
    assert_eq!(load.points_in_files(&ended.data()), all);
}
