//! Errors of a disk under load, of updates and of creates, at each step of them: what they hit waits,
//! everything else is written meanwhile, the cause is counted, and said once a minute with the first
//! path. When the disk is well again all is written without a restart: Python's whisper finds exactly
//! what was sent.
//! The disk is `FailingDisk`, and for EROFS an ext4 as well. Root is needed, for mounts.
#![expect(clippy::disallowed_methods, reason = "a test waits and reads clocks")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::clients::counted;
use crate::daemon::{Daemon, Ended, Seen, Setup, Way, wait_for, whisper_files};
use crate::failing_disk::{FailingDisk, Refusal, Wanted};
use crate::first_use::now;
use crate::journal::balance;
use crate::load::Load;
use crate::power::Disk;
use crate::vitals::is_long;

/// Metrics of a group.
const METRICS: usize = 20;
/// Seconds that the files hold: more than there are rounds.
const SECONDS: u32 = 7200;

/// Where a disk refuses what is asked for the metrics of a group.
struct Step {
    group: &'static str,
    wanted: Wanted,
    /// The files are there before.
    is_update: bool,
}

const fn create(group: &'static str, wanted: Wanted) -> Step {
    let is_update = false;
    Step {
        group,
        wanted,
        is_update,
    }
}

const fn update(group: &'static str, wanted: Wanted) -> Step {
    let is_update = true;
    Step {
        group,
        wanted,
        is_update,
    }
}

fn setup() -> Setup {
    // The disk is a program's, which threads write to where nobody says otherwise.
    let named = match Way::of_this_run() {
        Way::Uring => "WRITER_BACKEND = uring\n",
        Way::Sync | Way::Poll | Way::Forbidden => "",
    };
    Setup {
        conf: format!("CARBON_METRIC_INTERVAL = 0\n{named}"),
        schemas: Some(format!("[all]\npattern = .*\nretentions = 1s:{SECONDS}s\n")),
        shards: Some(2),
        ..Setup::default()
    }
}

fn new_load(daemon: &Daemon, files: Vec<PathBuf>) -> Load {
    Load::new(daemon, METRICS, now() - SECONDS + 600, files)
}

/// An error of a disk.
struct Case {
    errno: Errno,
    /// How the log calls it, and what counts it.
    said: &'static str,
    counter: &'static str,
    /// Each with metrics of its own; the first is hit first.
    steps: Vec<Step>,
}

/// A disk begins to refuse each of these steps with an error, and is well again later.
fn disk_refuses(case: &Case) {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("whisper");
    std::fs::create_dir(&data).unwrap();
    let disk = FailingDisk::mount(&data);
    let mut daemon = Daemon::start_in(&setup(), root);
    let mut load = new_load(&daemon, vec![disk.files()]);
    load.add("sound.old");
    let updates = case.steps.iter().filter(|step| step.is_update);
    for step in updates.clone() {
        load.add(step.group);
    }
    let old: Vec<String> = load.groups.iter().cloned().collect();
    load.until("all files are made", &daemon, |load| {
        old.iter()
            .all(|group| load.is_written(group, load.start + 1))
    });
    for step in updates {
        load.leave_out(step.group);
    }
    let quiet = load.time;
    load.until("all of it is written", &daemon, |load| {
        old.iter().all(|group| load.is_written(group, quiet))
    });

    for step in &case.steps {
        disk.refuse(Refusal {
            wanted: step.wanted,
            below: PathBuf::from(step.group.replace('.', "/")),
            errno: case.errno,
        });
    }
    let (first, began) = (format!("{}.m7", case.steps[0].group), Instant::now());
    load.send_one(&first);
    daemon.wait_for_log(case.said);
    load.add("sound.new");
    for step in &case.steps {
        load.add(step.group);
    }
    let since = load.time;
    load.until("others are written meanwhile", &daemon, |load| {
        let groups = ["sound.old", "sound.new"];
        let are_written = groups
            .iter()
            .all(|group| load.is_written(group, since + 20));
        // Twenty seconds of points, and of each metric that is hit a second attempt.
        are_written && disk.refused().iter().all(|times| *times >= 2 * METRICS)
    });
    for step in &case.steps {
        assert!(
            !load.is_written(step.group, since + 20),
            "{:?}",
            step.wanted
        );
    }
    if is_long() {
        said_again_after_a_minute(case, &daemon, &mut load);
    }
    disk.heal();
    load.until_all_written("written once the disk is well", &daemon);
    let said = assert_said(&daemon.log(), began.elapsed());
    assert!(said.contains(case.said), "{said}");
    let path = daemon.file(&first).display().to_string();
    assert!(said.contains(&path), "{said}");
    let ended = ends_whole(daemon, &load, case.counter);
    drop(disk);
    let home = ended.root.path().to_owned();
    drop(ended);
    assert!(!home.exists(), "{} is left", home.display());
}

/// Of the only cause of so long a time the first path is named, and a line came once a minute at most: the
/// first one.
fn assert_said(log: &str, lasted: Duration) -> String {
    let lines = complaints(log);
    let most = 1 + lasted.as_secs() / 60;
    assert!((1..=most).contains(&(lines.len() as u64)), "{log}");
    lines[0].to_owned()
}

/// While the disk goes on failing, the cause is said again after a minute, and how often it came.
fn said_again_after_a_minute(case: &Case, daemon: &Daemon, load: &mut Load) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(61) {
        load.round();
    }
    load.until("said again", daemon, |_load| {
        complaints(&daemon.log()).len() == 2
    });
    let log = daemon.log();
    let again = complaints(&log)[1];
    assert!(again.contains(case.said), "{again}");
    assert!(again.contains(" more since the last message"), "{again}");
}

/// The lines of files that cannot be written.
fn complaints(log: &str) -> Vec<&str> {
    log.lines()
        .filter(|line| line.contains("cannot write "))
        .collect()
}

/// Nothing more is sent: all of it is in the files, nothing was given up, and the cause was counted.
fn ends_whole(daemon: Daemon, load: &Load, counter: &str) -> Ended {
    load.rests(&daemon);
    // Through the mount, as graphite-web would.
    reads_as_sent(&whisper_files(&daemon.data(), now()), load);
    let ended = daemon.stop();
    assert_counted(&ended, load, counter);
    ended
}

/// All that was sent was committed, and nothing went wrong but what this counts.
fn assert_counted(ended: &Ended, load: &Load, counter: &str) {
    assert!(ended.status.success(), "{}", ended.log);
    let counts = counted(&ended.log);
    assert!(counts[counter] > 0, "{}", ended.log);
    assert_eq!(counts[counter], counts["errors"], "{}", ended.log);
    let committed = balance(&ended.log).committed;
    assert_eq!(committed, load.points(), "{}", ended.log);
}

/// Python's whisper reads exactly what was sent, and there is no other file.
fn reads_as_sent(seen: &BTreeMap<String, Seen>, load: &Load) {
    let names: Vec<&String> = seen.keys().collect();
    assert_eq!(names, load.sent.keys().collect::<Vec<_>>());
    for (metric, file) in seen {
        assert_eq!(file.archives, [(1, SECONDS)], "{metric}");
        assert_eq!(file.points, load.sent[metric], "{metric}");
    }
}

#[test]
fn a_quota_that_is_exceeded_delays_what_it_hits_and_no_more() {
    disk_refuses(&Case {
        errno: Errno::DQUOT,
        said: "Disk quota exceeded",
        counter: "errors.quota",
        steps: vec![
            update("quota.update.write", Wanted::Write),
            create("quota.create.directory", Wanted::MakeDirectory),
            create("quota.create.file", Wanted::Create),
            create("quota.create.write", Wanted::Write),
            create("quota.create.sync", Wanted::Sync),
            create("quota.create.name", Wanted::Rename),
        ],
    });
}

#[test]
fn a_disk_that_takes_no_more_writes_delays_what_it_hits_and_no_more() {
    disk_refuses(&Case {
        errno: Errno::ROFS,
        said: "Read-only file system",
        counter: "errors.readOnly",
        steps: vec![
            create("fixed.create.file", Wanted::Create),
            create("fixed.create.directory", Wanted::MakeDirectory),
            create("fixed.create.name", Wanted::Rename),
            update("fixed.update.open", Wanted::OpenToWrite),
            update("fixed.update.write", Wanted::Write),
        ],
    });
}

#[test]
fn a_disk_with_errors_delays_what_they_hit_and_no_more() {
    disk_refuses(&Case {
        errno: Errno::IO,
        said: "Input/output error",
        counter: "errors.io",
        steps: vec![
            update("bad.update.read", Wanted::Read),
            update("bad.update.look", Wanted::LookUp),
            update("bad.update.open", Wanted::OpenToWrite),
            update("bad.update.write", Wanted::Write),
            create("bad.create.look", Wanted::LookUp),
            create("bad.create.directory", Wanted::MakeDirectory),
            create("bad.create.file", Wanted::Create),
            create("bad.create.write", Wanted::Write),
            create("bad.create.sync", Wanted::Sync),
            create("bad.create.name", Wanted::Rename),
        ],
    });
}

/// As on a file system whose names are shorter than usual, until it is another one.
#[test]
fn names_that_a_disk_does_not_take_delay_their_own_points_and_no_more() {
    disk_refuses(&Case {
        errno: Errno::NAMETOOLONG,
        said: "File name too long",
        counter: "errors.nameTooLong",
        steps: vec![
            create("long.create.file", Wanted::Create),
            create("long.create.look", Wanted::LookUp),
            create("long.create.directory", Wanted::MakeDirectory),
            create("long.create.name", Wanted::Rename),
            update("long.update.look", Wanted::LookUp),
        ],
    });
}

#[test]
fn a_disk_behind_a_program_is_written_to_by_threads_where_nobody_says_otherwise() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("whisper");
    std::fs::create_dir(&data).unwrap();
    let disk = FailingDisk::mount(&data);
    let conf = "CARBON_METRIC_INTERVAL = 0\n".to_owned();
    let daemon = Daemon::start_in(&Setup { conf, ..setup() }, root);
    let is_said = daemon.log().contains("its files are written by threads");
    // With threads anyway there is nothing to say.
    assert_eq!(
        is_said,
        Way::of_this_run() == Way::Uring || Way::of_this_run() == Way::Forbidden
    );
    let mut load = new_load(&daemon, vec![disk.files()]);
    load.add("behind.a");
    load.until_all_written("written by threads", &daemon);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    drop(disk);
}

/// A metric that can have a file nowhere is refused when it comes, and counted; it waits for nothing.
#[test]
fn names_that_no_disk_takes_are_refused_and_delay_nothing() {
    let daemon = Daemon::start(&setup());
    let mut load = new_load(&daemon, vec![daemon.data()]);
    load.add("sound.new");
    let mut refused = 0;
    load.until("others are written", &daemon, |load| {
        for bytes in [252, 255, 256, 300] {
            let name = "x".repeat(bytes);
            daemon.send(&format!(
                "long.{name} 1 {0}\n{name}.below 1 {0}\n",
                load.time
            ));
            // A directory's name needs no `.wsp`.
            refused += if bytes > 255 { 2 } else { 1 };
        }
        load.is_written("sound.new", load.start + 20)
    });
    let last = load.time;
    load.until("all of it is written", &daemon, |load| {
        load.is_written("sound.new", last)
    });
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let counts = counted(&ended.log);
    assert_eq!(counts["refused.name"], refused, "{}", ended.log);
    assert_eq!(counts.get("errors"), None, "{}", ended.log);
}

/// `bad` takes what begins with bad., `good` with sound.
const TWO_DISKS: &str = "[bad]\npattern = ^bad\\.\nretentions = 1s:7200s\nvolume = bad\n\
                         [good]\npattern = .*\nretentions = 1s:7200s\nvolume = good\n";

#[test]
fn a_remounted_disk_delays_its_own_metrics_and_no_other_disks() {
    let disk = Disk::new("ext4");
    disk.mount();
    let remount = |how: &str| {
        // Under load some file is nearly always open to be written, and then it is refused.
        let remounted = wait_for(|| {
            let mut mount = Command::new("mount");
            mount.args(["-o", &format!("remount,{how}")]).arg(&disk.at);
            mount
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success()
                .then_some(())
        });
        assert!(remounted.is_some(), "remount,{how}");
    };
    let root = tempfile::tempdir().unwrap();
    let (bad, good) = (disk.at.join("bad"), root.path().join("good"));
    let dirs = format!(
        "LOCAL_DATA_DIRS = bad={}, good={}\n",
        bad.display(),
        good.display()
    );
    std::fs::create_dir(&bad).unwrap();
    std::fs::create_dir(&good).unwrap();
    let daemon = Daemon::start_in(
        &Setup {
            conf: format!("CARBON_METRIC_INTERVAL = 0\n{dirs}"),
            schemas: Some(TWO_DISKS.to_owned()),
            ..setup()
        },
        root,
    );
    let mut load = new_load(&daemon, vec![bad.clone(), good.clone()]);
    load.add("bad.old");
    load.add("sound.old");
    load.until("all files are made", &daemon, |load| {
        load.is_written("bad.old", load.start + 1) && load.is_written("sound.old", load.start + 1)
    });
    let began = Instant::now();
    remount("ro");
    load.add("bad.new");
    load.add("sound.new");
    let since = load.time;
    load.until("said", &daemon, |_load| {
        daemon.log().contains("Read-only file system")
    });
    load.until("others are written meanwhile", &daemon, |load| {
        load.is_written("sound.old", since + 20) && load.is_written("sound.new", since + 20)
    });
    assert!(!load.is_written("bad.old", since + 20) && !load.is_written("bad.new", since + 20));
    remount("rw");
    load.until_all_written("written once the disk is well", &daemon);
    load.rests(&daemon);
    let mut found = whisper_files(&bad, now());
    assert!(found.keys().all(|metric| metric.starts_with("bad.")));
    found.extend(whisper_files(&good, now()));
    reads_as_sent(&found, &load);
    assert_said(&daemon.log(), began.elapsed());
    assert_counted(&daemon.stop(), &load, "errors.readOnly");
    disk.unmount();
}
