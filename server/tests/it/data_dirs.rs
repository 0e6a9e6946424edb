//! Several data directories (LOCAL_DATA_DIRS): files are found where they are, new ones go by `volume`
//! and by hash; a directory that is full, held back, gone or hangs stops its own metrics and no other's,
//! and goes on by itself afterwards; kills lose nothing.
//! Root is needed, for mounts, and mkfs.ext4, losetup and fsfreeze.
#![expect(clippy::disallowed_methods, reason = "a test reads files simply")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use benzene_server::wire::client::{self, Reply};

use crate::clients::counted;
use crate::daemon::{Daemon, Ended, Querier, Setup, file_of, program, wait_for};
use crate::faults::{Mount, assert_whole, files_below, lines};
use crate::first_use::now;
use crate::frozen::Frozen;
use crate::journal::{balance, kill, wait_for_recall};
use crate::power::Disk;
use crate::vitals::{file_points, is_long};

/// `one` takes what begins with one., `two` with two., anything else goes by hash.
const SCHEMAS: &str = "[one]\npattern = ^one\\.\nretentions = 1s:20m\nvolume = one\n\
                       [two]\npattern = ^two\\.\nretentions = 1s:20m\nvolume = two\n\
                       [all]\npattern = .*\nretentions = 1s:20m\n";

fn setup(one: &Path, two: &Path, conf: &str) -> Setup {
    Setup {
        conf: format!(
            "CARBON_METRIC_INTERVAL = 0\nLOCAL_DATA_DIRS = one={}, two={}\n{conf}",
            one.display(),
            two.display()
        ),
        schemas: Some(SCHEMAS.to_owned()),
        shards: Some(2),
        ..Setup::default()
    }
}

/// Two directories of a test, below a directory of the daemon's own.
fn two_in(root: &tempfile::TempDir) -> [PathBuf; 2] {
    ["disk1", "disk2"].map(|disk| {
        let path = root.path().join(disk);
        fs::create_dir(&path).unwrap();
        path
    })
}

/// The points of a metric's file below a data directory.
fn points(data: &Path, metric: &str) -> Option<BTreeMap<u32, f64>> {
    file_points(&file_of(data, metric))
}

/// Waits until metrics `PREFIX.m0` and so on have a point of this time in a directory.
fn wait_for_all(daemon: &Daemon, data: &Path, (prefix, count): (&str, usize), time: u32) {
    for metric in 0..count {
        let name = format!("{prefix}.m{metric}");
        wait_for(|| points(data, &name)?.get(&time).copied())
            .unwrap_or_else(|| panic!("{name} was never written: {}", daemon.log()));
    }
}

/// Waits until so many points of a metric are in the cache or in its file.
fn wait_for_known(daemon: &Daemon, data: &[PathBuf; 2], metric: &str, count: u32) {
    let mut querier = Querier::connect(daemon.query);
    wait_for(|| {
        let files = data.iter().find_map(|data| points(data, metric));
        let mut known = files.unwrap_or_default();
        known.extend(querier.points(metric));
        (known.len() == count as usize).then_some(())
    })
    .unwrap_or_else(|| panic!("{metric} never had {count} points: {}", daemon.log()));
}

/// Which of two directories has a metric's file; one of them must, and no other.
fn place(data: &[PathBuf; 2], metric: &str) -> usize {
    let has = |data: &PathBuf| file_of(data, metric).exists();
    match (has(&data[0]), has(&data[1])) {
        (true, false) => 0,
        (false, true) => 1,
        both => panic!("{metric}: {both:?}"),
    }
}

fn assert_ended_well(ended: &Ended) {
    assert!(ended.status.success(), "{}", ended.log);
    balance(&ended.log);
}

#[test]
fn files_stay_where_they_are_and_new_ones_go_by_volume_and_by_hash() {
    let root = tempfile::tempdir().unwrap();
    let data = two_in(&root);
    let conf = format!(
        "CARBON_METRIC_INTERVAL = 0\nLOCAL_DATA_DIR = {}\n",
        data[1].display()
    );
    let alone = Setup {
        conf,
        schemas: Some("[all]\npattern = .*\nretentions = 1s:20m\n".to_owned()),
        ..Setup::default()
    };
    let daemon = Daemon::start_in(&alone, root);
    let time = now();
    // Of these some would go to the first directory by hash, and all of `one` by its name.
    daemon.send(&lines("old", 60, time - 1));
    daemon.send(&lines("one.old", 5, time - 1));
    let ended = daemon.stop();
    assert_ended_well(&ended);

    let daemon = Daemon::start_in(&setup(&data[0], &data[1], ""), ended.root);
    daemon.send(&lines("old", 60, time));
    daemon.send(&lines("one.old", 5, time));
    daemon.send(&lines("one.new", 5, time));
    daemon.send(&lines("two.new", 5, time));
    daemon.send(&lines("any", 200, time));
    wait_for_all(&daemon, &data[1], ("old", 60), time);
    let mut querier = Querier::connect(daemon.query);
    for metric in ["one.old.m0", "one.new.m0", "two.new.m0", "any.m0", "any.m1"] {
        wait_for(|| data.iter().find_map(|data| points(data, metric)))
            .unwrap_or_else(|| panic!("{metric} has no file: {}", daemon.log()));
        let mut request = Vec::new();
        client::encode_get_metadata(metric, "aggregationMethod", &mut request).unwrap();
        let reply = querier.ask(&request);
        assert!(matches!(reply, Reply::Value(_)), "{metric}: {reply:?}");
    }
    let ended = daemon.stop();
    assert_ended_well(&ended);
    for metric in 0..60 {
        let name = format!("old.m{metric}");
        assert_eq!(place(&data, &name), 1, "{name} was there");
        let found = points(&data[1], &name).unwrap();
        assert_eq!(found.len(), 2, "{name}: {found:?}");
    }
    for metric in 0..5 {
        assert_eq!(place(&data, &format!("one.old.m{metric}")), 1);
        assert_eq!(place(&data, &format!("one.new.m{metric}")), 0);
        assert_eq!(place(&data, &format!("two.new.m{metric}")), 1);
    }
    let places = |count: usize| -> Vec<usize> {
        let names = (0..count).map(|metric| format!("any.m{metric}"));
        names.map(|name| place(&data, &name)).collect()
    };
    let before = places(200);
    let second = before.iter().sum::<usize>();
    assert!((60..=140).contains(&second), "{second} of 200 by hash");

    // By the same hash again, whatever the order of the list and the process.
    for file in data.iter().flat_map(|data| files_below(data)) {
        fs::remove_file(file).unwrap();
    }
    let mut turned = setup(&data[0], &data[1], "");
    turned.conf = format!(
        "CARBON_METRIC_INTERVAL = 0\nLOCAL_DATA_DIRS = two={}, one={}\n",
        data[1].display(),
        data[0].display()
    );
    let daemon = Daemon::start_in(&turned, ended.root);
    daemon.send(&lines("any", 200, time));
    let ended = daemon.stop();
    assert_ended_well(&ended);
    assert_eq!(places(200), before);
}

#[test]
fn a_second_file_is_told_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let data = two_in(&root);
    let mut daemon = Daemon::start_in(&setup(&data[0], &data[1], ""), root);
    let time = now();
    daemon.send(&lines("one", 1, time - 400));
    wait_for_all(&daemon, &data[0], ("one", 1), time - 400);
    let (file, second) = (file_of(&data[0], "one.m0"), file_of(&data[1], "one.m0"));
    fs::create_dir_all(second.parent().unwrap()).unwrap();
    fs::copy(&file, &second).unwrap();
    let before = fs::read(&second).unwrap();
    // One update in 64 looks, in one of the two directories.
    for round in 1..=300 {
        let at = time - 400 + round;
        daemon.send(&format!("one.m0 {round} {at}\n"));
        wait_for(|| points(&data[0], "one.m0")?.get(&at).copied()).unwrap();
        if daemon.log().contains("is a second file of a metric") {
            break;
        }
    }
    daemon.wait_for_log(&format!("{} is a second file", second.display()));
    let ended = daemon.stop();
    assert_ended_well(&ended);
    assert!(counted(&ended.log)["secondFiles"] > 0, "{}", ended.log);
    assert_eq!(fs::read(&second).unwrap(), before, "it was written to");
}

#[test]
fn a_full_directory_stops_its_own_metrics_until_there_is_room() {
    const FULL: usize = 100;
    const FREE: usize = 400;
    let root = tempfile::tempdir().unwrap();
    let data = two_in(&root);
    let small = Mount::new(&["-t", "tmpfs", "-o", "size=128k", "tmpfs"], &data[0]);
    let large = Mount::new(&["-t", "tmpfs", "-o", "size=64m", "tmpfs"], &data[1]);
    let mut daemon = Daemon::start_in(&setup(&data[0], &data[1], ""), root);
    let time = now();
    daemon.send(&lines("one", FULL, time));
    daemon.wait_for_log("No space left on device");
    // While all of one directory wait, the other has everything, old metrics and new ones.
    for round in 1..=3 {
        daemon.send(&lines("one", FULL, time - round));
        daemon.send(&lines("two", FREE, time - round));
        daemon.send(&lines(&format!("two.new{round}"), FREE, time - round));
        wait_for_all(&daemon, &data[1], ("two", FREE), time - round);
        let new = format!("two.new{round}");
        wait_for_all(&daemon, &data[1], (&new, FREE), time - round);
    }
    let made = files_below(&data[0]);
    assert!(made.len() < FULL, "the disk was not full");
    for file in &made {
        assert_whole(file);
    }
    assert!(points(&data[1], "one.m99").is_none(), "it went elsewhere");
    let status = std::process::Command::new("mount")
        .args(["-o", "remount,size=64m"])
        .arg(&data[0])
        .status();
    assert!(status.unwrap().success());
    for round in 0..=3 {
        wait_for_all(&daemon, &data[0], ("one", FULL), time - round);
    }
    let ended = daemon.stop();
    assert_ended_well(&ended);
    let counts = counted(&ended.log);
    let sent = FULL * 4 + FREE * 6;
    assert_eq!(counts["committed"], sent as u64, "{}", ended.log);
    drop((small, large));
}

#[test]
fn each_directory_has_a_limit_of_its_own() {
    let root = tempfile::tempdir().unwrap();
    let data = two_in(&root);
    let conf = "MAX_UPDATES_PER_SECOND = 4\nSHUTDOWN = journal\n";
    let daemon = Daemon::start_in(&setup(&data[0], &data[1], conf), root);
    let time = now();
    daemon.send(&lines("one", 400, time));
    let written = |data: &Path| {
        let files = files_below(data).into_iter();
        let points = files.filter_map(|file| file_points(&file));
        points.filter(|points| !points.is_empty()).count()
    };
    wait_for(|| (written(&data[0]) > 0).then_some(())).unwrap();
    // Behind 400 metrics of the first directory at 4 a second these would wait for a minute.
    daemon.send(&lines("two", 3, time));
    wait_for_all(&daemon, &data[1], ("two", 3), time);
    let ahead = written(&data[0]);
    assert!(ahead < 300, "{ahead} were written before");
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
}

#[test]
fn a_directory_that_goes_away_gets_nothing_and_comes_back() {
    let disk = Disk::new("ext4");
    disk.mount();
    let away = disk.at.join("whisper");
    fs::create_dir(&away).unwrap();
    let root = tempfile::tempdir().unwrap();
    let [one, _] = two_in(&root);
    let mut daemon = Daemon::start_in(&setup(&one, &away, ""), root);
    let time = now();
    daemon.send(&lines("one", 50, time - 1));
    daemon.send(&lines("two", 50, time - 1));
    wait_for_all(&daemon, &away, ("two", 50), time - 1);
    disk.unmount();
    daemon.wait_for_log("is away");
    daemon.send(&lines("one", 50, time));
    daemon.send(&lines("two", 50, time));
    daemon.send(&lines("two.new", 50, time));
    daemon.send(&lines("any", 50, time));
    // What is known to be elsewhere goes on; what may be on the missing disk waits.
    wait_for_all(&daemon, &one, ("one", 50), time);
    daemon.wait_for_log("cannot write ");
    assert_eq!(daemon.wait_for_points("two.new.m49", 1), [(time, 49.0)]);
    assert_eq!(daemon.wait_for_points("any.m49", 1), [(time, 49.0)]);
    assert_eq!(
        files_below(&disk.at),
        Vec::<PathBuf>::new(),
        "below the mount"
    );
    assert!(points(&one, "two.m0").is_none() && points(&one, "any.m0").is_none());
    disk.mount();
    daemon.wait_for_log("is there again");
    wait_for_all(&daemon, &away, ("two", 50), time);
    wait_for_all(&daemon, &away, ("two.new", 50), time);
    for metric in 0..50 {
        let name = format!("any.m{metric}");
        wait_for(|| points(&one, &name).or_else(|| points(&away, &name)))
            .unwrap_or_else(|| panic!("{name} was never written: {}", daemon.log()));
    }
    let ended = daemon.stop();
    assert_ended_well(&ended);
    assert!(counted(&ended.log)["errors.away"] > 0, "{}", ended.log);
    disk.unmount();
}

/// Of the ring's workers one writes at a time to each of 64 sets of files, whatever directory they are of:
/// some updates of the other directory would wait behind the disk that hangs, and soon all.
#[test]
fn a_directory_whose_disk_hangs_holds_up_no_other() {
    const METRICS: usize = 400;
    const ROUNDS: u32 = 5;
    let disks = ["ext4"; 2].map(Disk::new);
    for disk in &disks {
        disk.mount();
    }
    let data = disks.each_ref().map(|disk| disk.at.clone());
    let root = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_in(&setup(&data[0], &data[1], ""), root);
    let time = now() - 100;
    for (directory, prefix) in data.iter().zip(["one", "two"]) {
        daemon.send(&lines(prefix, METRICS, time));
        wait_for_all(&daemon, directory, (prefix, METRICS), time);
    }
    let frozen = Frozen::new(&disks[0]);
    daemon.send(&lines("one", METRICS, time + 1));
    // Until as many updates hang as may be in flight there.
    std::thread::sleep(std::time::Duration::from_secs(1));
    for round in 1..=ROUNDS {
        daemon.send(&lines("two", METRICS, time + round));
        wait_for_all(&daemon, &data[1], ("two", METRICS), time + round);
    }
    let hung = points(&data[0], "one.m0").unwrap();
    assert!(!hung.contains_key(&(time + 1)), "the disk did not hang");
    drop(frozen);
    wait_for_all(&daemon, &data[0], ("one", METRICS), time + 1);
    let ended = daemon.stop();
    assert_ended_well(&ended);
    for disk in &disks {
        disk.unmount();
    }
}

#[test]
fn a_start_goes_without_a_directory_that_is_missing_and_not_without_all() {
    let root = tempfile::tempdir().unwrap();
    let [one, two] = ["disk1", "disk2"].map(|disk| root.path().join(disk));
    fs::create_dir(&one).unwrap();
    let mut daemon = Daemon::start_in(&setup(&one, &two, ""), root);
    daemon.wait_for_log("until then its metrics wait, and the others go on");
    daemon.wait_for_log("one of several is not made: mount its disk");
    let time = now();
    daemon.send(&lines("one.a", 5, time));
    daemon.send(&lines("two.b", 5, time));
    daemon.wait_for_log("cannot write ");
    assert!(!two.exists(), "it was made");
    fs::create_dir(&two).unwrap();
    daemon.wait_for_log("is there again");
    wait_for_all(&daemon, &one, ("one.a", 5), time);
    wait_for_all(&daemon, &two, ("two.b", 5), time);
    let ended = daemon.stop();
    assert_ended_well(&ended);

    fs::remove_dir_all(&one).unwrap();
    fs::remove_dir_all(&two).unwrap();
    let conf = ended.root.path().join("carbon.conf");
    for command in ["cache", "doctor"] {
        let output = program()
            .args([command, "--config"])
            .arg(&conf)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(6), "{command}: {output:?}");
    }
    fs::create_dir(&one).unwrap();
    let output = program()
        .args(["doctor", "--line", "0", "--config"])
        .arg(&conf)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let missing = text.lines().find(|line| line.contains("two: "));
    assert!(
        missing.is_some_and(|line| line.starts_with("warn") && line.contains("not mounted?")),
        "{text}"
    );
    assert_eq!(fs::metadata(&one).unwrap().nlink(), 2, "nothing was made");
}

/// With `BENZENE_LONG` only: the daemon's patience is a minute. What ends it and what it means for a metric
/// is tested beside the code.
#[test]
fn a_directory_that_stays_away_keeps_no_other_metrics_waiting() {
    if !is_long() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let data = ["disk1", "disk2"].map(|disk| root.path().join(disk));
    let staged = root.path().join("staged");
    fs::create_dir(&data[0]).unwrap();
    let conf = "SHUTDOWN = drain\n";
    let mut daemon = Daemon::start_in(&setup(&data[0], &data[1], conf), root);
    let time = now();
    for prefix in ["one", "two", "any"] {
        daemon.send(&lines(prefix, 50, time));
    }
    daemon.wait_for_log("cannot write ");
    daemon.wait_for_points("one.m49", 1);
    assert_eq!(files_below(&data[0]), Vec::<PathBuf>::new());
    let end =
        "has been away for 60 s: new metrics that belong elsewhere are made without asking it";
    let is_said = || daemon.log().contains(end).then_some(());
    wait_for(is_said)
        .or_else(|| wait_for(is_said))
        .unwrap_or_else(|| panic!("it was never said: {}", daemon.log()));
    daemon.send(&lines("one.late", 50, time));
    wait_for_all(&daemon, &data[0], ("one.late", 50), time);
    wait_for_all(&daemon, &data[0], ("one", 50), time);
    assert!(!data[1].exists(), "it was made");

    // It comes back with files of metrics that have a new one by now.
    let histories = files_below(&data[0]);
    for file in &histories {
        let file_there = staged.join(file.strip_prefix(&data[0]).unwrap());
        fs::create_dir_all(file_there.parent().unwrap()).unwrap();
        fs::copy(file, file_there).unwrap();
    }
    fs::rename(&staged, &data[1]).unwrap();
    daemon.wait_for_log("is there again: what waits is written, and new metrics ask it again");
    daemon.send(&lines("two.late", 50, time));
    wait_for_all(&daemon, &data[1], ("two.late", 50), time);
    // One update in 64 looks for a second file.
    for round in 1..=20 {
        daemon.send(&lines("one", 50, time - round));
        wait_for_all(&daemon, &data[0], ("one", 50), time - round);
    }
    daemon.wait_for_log("is a second file of a metric");
    let ended = daemon.stop();
    assert_ended_well(&ended);
    assert_eq!(ended.log.matches(end).count(), 1, "{}", ended.log);
    assert!(counted(&ended.log)["secondFiles"] > 0, "{}", ended.log);
    for metric in 0..50 {
        let (two, any) = (format!("two.m{metric}"), format!("any.m{metric}"));
        assert!(points(&data[1], &two).unwrap().contains_key(&time));
        assert!(points(&data[0], &two).is_none(), "{two} went elsewhere");
        let found = data.iter().find_map(|data| points(data, &any));
        assert!(found.unwrap().contains_key(&time), "{any}");
    }
}

#[test]
fn two_that_are_one_on_the_disk_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let [one, two] = two_in(&root);
    let link = root.path().join("link");
    symlink(&one, &link).unwrap();
    fs::create_dir(one.join("inner")).unwrap();
    let inner = root.path().join("inner");
    symlink(one.join("inner"), &inner).unwrap();
    let path = root.path().join("carbon.conf");
    let schemas = root.path().join("storage-schemas.conf");
    fs::write(schemas, "[all]\npattern = .*\nretentions = 1s:20m\n").unwrap();
    for (other, is_fine) in [(&two, true), (&link, false), (&inner, false)] {
        let conf = format!(
            "[cache]\nSTORAGE_DIR = {}\nLOCAL_DATA_DIRS = one={}, two={}\n",
            root.path().display(),
            one.display(),
            other.display()
        );
        fs::write(&path, conf).unwrap();
        let run = |words: &[&str]| {
            let output = program().args(words).arg(&path).output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            (output.status.code(), String::from_utf8(said).unwrap())
        };
        let (code, said) = run(&["check-config"]);
        assert_eq!(code == Some(0), is_fine, "{said}");
        if !is_fine {
            let quiet = [
                "--line", "off", "--pickle", "off", "--query", "off", "--config",
            ];
            for words in [
                vec!["check-config"],
                [&["doctor"], &quiet[..]].concat(),
                [&["cache"], &quiet[..]].concat(),
            ] {
                let found = run(&words);
                assert_eq!(found.0, Some(3), "{words:?}: {}", found.1);
                assert!(
                    found.1.contains("are one directory on the disk"),
                    "{found:?}"
                );
            }
        }
    }
}

#[test]
fn a_kill_loses_nothing_of_either() {
    let root = tempfile::tempdir().unwrap();
    let data = two_in(&root);
    let large = Mount::new(&["-t", "tmpfs", "-o", "size=64m", "tmpfs"], &data[1]);
    let conf = "MAX_UPDATES_PER_SECOND = 40\n";
    let mut daemon = Daemon::start_in(&setup(&data[0], &data[1], conf), root);
    let time = now() - 100;
    let prefixes = ["one", "two", "any"];
    for round in 0..3 {
        for second in 0..20 {
            for prefix in prefixes {
                daemon.send(&lines(prefix, 40, time + round * 20 + second));
            }
        }
        for prefix in prefixes {
            wait_for_known(&daemon, &data, &format!("{prefix}.m39"), 20 * (round + 1));
        }
        // What is in the cache is in the journal within 10 ms.
        std::thread::sleep(std::time::Duration::from_millis(200));
        let ended = kill(daemon);
        daemon = Daemon::start_in(&setup(&data[0], &data[1], conf), ended.root);
        wait_for_recall(&daemon, 2);
    }
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    balance(&ended.log);
    for prefix in prefixes {
        for metric in 0..40 {
            let name = format!("{prefix}.m{metric}");
            let found = points(&data[place(&data, &name)], &name).unwrap();
            let times: Vec<u32> = found.keys().copied().collect();
            assert_eq!(times, (time..time + 60).collect::<Vec<u32>>(), "{name}");
        }
    }
    drop(large);
}
