//! `writepath` with few files: every path runs, what it wrote is read back (or the run fails), and
//! the three forms of the report are whole. What the figures are is not looked at.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::programs::{said, text};

fn writepath(dir: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_benzene-bench"))
        .arg("writepath")
        .arg("--dir")
        .arg(dir)
        .args(options)
        .output()
        .unwrap()
}

const PATHS: [&str; 10] = [
    "ring, 1 at once",
    "ring, 16 at once, cap 4",
    "sync, 1 at once",
    "sync, 16 at once",
    "system calls",
    "pwrite, kept",
    "glommio, kept, 1 at once",
    "glommio, kept, 16 at once",
    "tokio-uring, kept, 1 at once",
    "tokio-uring, kept, 16 at once",
];

#[test]
fn every_path_is_measured_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("files");
    let (json, html) = (dir.path().join("a.json"), dir.path().join("a.html"));
    let options = [
        "--files",
        "300",
        "--creates",
        "120",
        "--points-per-update",
        "1,16",
        "--depth",
        "1,16",
        "--repeats",
        "2",
        "--json",
        json.to_str().unwrap(),
        "--html",
        html.to_str().unwrap(),
    ];
    let output = writepath(&files, &options);
    assert!(output.status.success(), "{}", said(&output));
    let table = text(&output);
    for path in PATHS {
        let lines = table.lines().filter(|line| line.trim().starts_with(path));
        // Updates of one and of sixteen points, creates.
        assert_eq!(lines.count(), 3, "{path} in\n{table}");
    }
    assert!(!table.contains("not measured"), "{table}");
    assert_eq!(fs::read_dir(&files).unwrap().count(), 0, "files are left");
    let json = fs::read_to_string(json).unwrap();
    assert_eq!(
        json.matches("\"kernel_workers_max\"").count(),
        PATHS.len() * 3,
        "{json}"
    );
    let html = fs::read_to_string(html).unwrap();
    assert!(html.ends_with("</html>\n"), "{html}");
    assert!(html.matches("<svg").count() >= 4 * 3, "{html}");
}

#[test]
fn only_the_paths_that_are_asked_for_run() {
    let dir = tempfile::tempdir().unwrap();
    let options = "--files 50 --creates 0 --points-per-update 2 --repeats 1 --depth 4 \
                   --kernel-workers 1,2 --backend ring,system-calls --order made";
    let output = writepath(dir.path(), &options.split_whitespace().collect::<Vec<_>>());
    assert!(output.status.success(), "{}", said(&output));
    let table = text(&output);
    assert!(
        table.contains("50 updates of 2 points, warm page cache"),
        "{table}"
    );
    for path in [
        "ring, 4 at once, cap 1",
        "ring, 4 at once, cap 2",
        "system calls",
    ] {
        assert!(table.contains(path), "{table}");
    }
    for other in ["glommio", "tokio-uring", "pwrite", "cold page", "creates"] {
        assert!(
            !table.contains(&format!("  {other}")),
            "{other} in\n{table}"
        );
    }
}

/// Dropping the page cache slows whatever else runs on the machine: only in the full counts.
#[test]
fn a_cold_cache_is_for_root() {
    let is_root = rustix::process::geteuid().is_root();
    if is_root && std::env::var_os("BENZENE_LONG").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let options = "--files 50 --creates 20 --points-per-update 1 --repeats 1 --cold --skip-warm";
    let output = writepath(dir.path(), &options.split_whitespace().collect::<Vec<_>>());
    if is_root {
        assert!(output.status.success(), "{}", said(&output));
        let table = text(&output);
        assert!(
            table.contains("50 updates of 1 point, cold page cache"),
            "{table}"
        );
        assert!(!table.contains("warm page"), "{table}");
    } else {
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("only root"), "{}", said(&output));
    }
}
