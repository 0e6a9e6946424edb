//! `benzene tune`: what it says can be read by a program and by the daemon, and nothing of it stays,
//! also where it is ended by a signal or the one before was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use crate::daemon::{program, wait_for};

fn tune(directory: &Path, flags: &[&str]) -> Output {
    let mut command = program();
    command.arg("tune").arg("--dir").arg(directory).args(flags);
    command.output().unwrap()
}

fn names(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_measurement_is_bounded_says_what_it_found_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join("servers.wsp");
    fs::write(&own, "somebody's").unwrap();
    let output = directory.path().join("advice.conf");
    let flags = ["--seconds", "2", "--files", "400", "--json", "--write"];
    let run = tune(
        directory.path(),
        &[&flags[..], &[output.to_str().unwrap()]].concat(),
    );
    assert!(run.status.success(), "{run:?}");
    let found: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    for rate in [
        "creates_per_second",
        "updates_of_1_point_per_second",
        "updates_of_60_points_per_second",
        "max_updates_per_second",
        "max_creates_per_minute",
    ] {
        assert!(
            found[rate].as_f64().is_some_and(|rate| rate >= 1.0),
            "{rate}: {found}"
        );
    }
    assert_eq!(found["files"], 400);
    assert_eq!(fs::read_to_string(&own).unwrap(), "somebody's");
    let mut left = names(directory.path());
    left.sort();
    assert_eq!(left, [output.clone(), own.clone()]);
    // What it advises is a carbon.conf.
    let conf = tempfile::tempdir().unwrap();
    fs::copy(&output, conf.path().join("carbon.conf")).unwrap();
    let schemas = "[all]\npattern = .*\nretentions = 60s:1d\n";
    fs::write(conf.path().join("storage-schemas.conf"), schemas).unwrap();
    let doctor = program()
        .args(["doctor", "--json", "--config"])
        .arg(conf.path().join("carbon.conf"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&doctor.stderr).into_owned();
    assert!(
        !said.contains("ERROR") && !said.contains("has no effect"),
        "{said}"
    );
    let again = tune(directory.path(), &["--write", output.to_str().unwrap()]);
    assert!(!again.status.success());
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(said.contains("is there already"), "{said}");
}

/// A measurement that has begun to write.
fn begin(directory: &Path) -> Child {
    let mut command = program();
    command.arg("tune").arg("--dir").arg(directory);
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = wait_for(|| {
        let scratch = names(directory).pop()?;
        (fs::read_dir(scratch).ok()?.count() > 0).then_some(())
    });
    assert!(begun.is_some());
    child
}

#[test]
fn a_signal_ends_it_cleanly_and_what_a_killed_one_left_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let mut ended = begin(directory.path());
    let pid = ended.id().to_string();
    let killed = std::process::Command::new("kill").arg(&pid).status();
    assert!(killed.unwrap().success());
    assert!(!ended.wait().unwrap().success());
    assert!(names(directory.path()).is_empty());
    let mut killed = begin(directory.path());
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(names(directory.path()).len(), 1);
    let run = tune(directory.path(), &["--seconds", "2", "--files", "100"]);
    assert!(run.status.success(), "{run:?}");
    assert!(names(directory.path()).is_empty());
}

#[test]
fn what_cannot_be_measured_is_said() {
    let directory = tempfile::tempdir().unwrap();
    for (flags, word) in [
        (&["--retentions", "60s"][..], "--retentions 60s: line 3"),
        (
            &["--retentions", "1s:30y"],
            "name another directory, or shorter --retentions",
        ),
        (&["--seconds", "1"], "2..=3600"),
    ] {
        let run = tune(directory.path(), flags);
        let said = String::from_utf8(run.stderr).unwrap();
        assert!(
            !run.status.success() && said.contains(word),
            "{flags:?}: {said}"
        );
    }
    let run = tune(&directory.path().join("none"), &[]);
    assert!(
        String::from_utf8(run.stderr)
            .unwrap()
            .contains("No such file")
    );
    assert!(names(directory.path()).is_empty());
}
