//! Whisper files on a spindle, the journal on another disk, and more points than the spindle could take
//! one by one: a kill loses none of them, and the spindle sees one update for many.
//! Needs root, as any model disk; elsewhere it says what is missing.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use benzene_engine::clock;
use rustix::process::{Pid, Signal, kill_process};

use crate::disk::{Disk, eventually, is_possible};
use crate::programs::{BENCH, benzene, said};

const PORT: u16 = 28_003;
const METRICS: &str = "1500";
/// In all: twenty times what the model takes of single updates in that time.
const POINTS_PER_S: u32 = 3_000;

/// A point of each metric every half second, a minute apart by their timestamps.
fn rounds() -> u32 {
    let is_long = std::env::var("BENZENE_LONG").is_ok_and(|long| long == "1");
    if is_long { 120 } else { 20 }
}

/// The load, or its check; `of` is where it goes to.
fn run(what: &str, of: &[&str]) -> Output {
    let rounds = rounds().to_string();
    Command::new(BENCH)
        .args([what, "--metrics", METRICS, "--rounds", &rounds])
        .args(["--step", "60", "--prefix", "spindle.load"])
        .args(of)
        .output()
        .unwrap()
}

fn write_conf(dir: &Path, data: &Path) {
    let mut conf = String::from(
        "[cache]\nDEVICE_CLASS = hdd\nSHUTDOWN = drain\nMAX_CREATES_PER_MINUTE = inf\n\
         CARBON_METRIC_INTERVAL = 0\nENABLE_UDP_LISTENER = False\n",
    );
    writeln!(conf, "LOCAL_DATA_DIR = {}", data.display()).unwrap();
    writeln!(conf, "STORAGE_DIR = {}", dir.display()).unwrap();
    for (service, port) in ["LINE_RECEIVER", "PICKLE_RECEIVER", "CACHE_QUERY"]
        .into_iter()
        .zip(PORT..)
    {
        writeln!(
            conf,
            "{service}_INTERFACE = 127.0.0.1\n{service}_PORT = {port}"
        )
        .unwrap();
    }
    fs::write(dir.join("carbon.conf"), conf).unwrap();
    let schemas = "[all]\npattern = .*\nretentions = 60s:1d,5m:7d\n";
    fs::write(dir.join("storage-schemas.conf"), schemas).unwrap();
}

fn start(dir: &Path) -> Child {
    let log = File::create(dir.join("log")).unwrap();
    let daemon = Command::new(benzene())
        .args(["cache", "--config"])
        .arg(dir.join("carbon.conf"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let is_up = eventually(|| log_of(dir).contains(" is ready"));
    assert!(is_up, "{}", log_of(dir));
    daemon
}

fn log_of(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap()
}

fn end(mut daemon: Child, signal: Signal) -> bool {
    let pid = Pid::from_raw(i32::try_from(daemon.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
    daemon.wait().unwrap().success()
}

/// The number behind a counter's name in what a daemon says in the end.
fn counted(log: &str, name: &str) -> u64 {
    let (_, counters) = log
        .rsplit_once("counted: ")
        .unwrap_or_else(|| panic!("{log}"));
    let line = counters.lines().next().unwrap_or_default();
    let mut pairs = line.split(", ").filter_map(|pair| pair.split_once(' '));
    let found = pairs.find(|(key, _)| *key == name);
    found.map_or(0, |(_, number)| number.parse().unwrap())
}

#[expect(clippy::disallowed_methods, reason = "a test waits")]
fn settle() {
    std::thread::sleep(Duration::from_secs(2));
}

#[test]
fn more_than_a_spindle_takes_one_by_one_survives_a_kill() {
    if !is_possible() {
        return;
    }
    let disk = Disk::new();
    disk.up(&["--size", "4G"]);
    let dir = tempfile::tempdir().unwrap();
    let data = disk.mount().join("whisper");
    write_conf(dir.path(), &data);
    let daemon = start(dir.path());
    let (target, rate) = (format!("127.0.0.1:{PORT}"), POINTS_PER_S.to_string());
    let start_s = (clock::now().unix_seconds - 60 * rounds()).to_string();
    let sent = run(
        "load",
        &["--target", &target, "--rate", &rate, "--start", &start_s],
    );
    assert!(sent.status.success(), "{}", said(&sent));
    // What was sent is read a moment later, and journaled 10 ms after that.
    settle();
    assert!(!end(daemon, Signal::KILL));
    let daemon = start(dir.path());
    assert!(end(daemon, Signal::TERM), "{}", log_of(dir.path()));
    let log = log_of(dir.path());
    let checked = run("check", &["--start", &start_s, data.to_str().unwrap()]);
    assert!(checked.status.success(), "{}{log}", said(&checked));
    let (committed, updates) = (counted(&log, "committed"), counted(&log, "updates"));
    assert!(committed >= 5 * updates && updates > 0, "{log}");
    disk.command("down", &[]);
    disk.assert_gone();
}
