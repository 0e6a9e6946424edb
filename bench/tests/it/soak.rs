//! `soak` for some seconds: a daemon that is well is found sound through its restarts, and one
//! whose file or journal is taken away, or that dies, is not.

use std::fs;

use crate::programs::{bench, benzene, said, text, write_script};

const SHORT: &[&str] = &[
    "--duration",
    "28s",
    "--step",
    "1",
    "--metrics",
    "240",
    "--connections",
    "1",
];

fn options<'t>(more: &[&'t str]) -> Vec<&'t str> {
    [SHORT, more].concat()
}

#[test]
fn a_daemon_that_is_well_stays_so_through_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("record.txt");
    let options = options(&[
        "--first-port",
        "24403",
        "--restart-every",
        "7s",
        "--record",
        record.to_str().unwrap(),
    ]);
    let output = bench("soak", benzene(), dir.path(), &options);
    let report = text(&output);
    assert_eq!(fs::read_to_string(&record).unwrap(), report);
    for line in [
        "accounts that did not balance: 0",
        ", wrong 0",
        "points found: 6720 of 6720",
        "points wrong: 0",
    ] {
        assert!(report.contains(line), "no {line:?} in {}", said(&output));
    }
    let stops = report
        .lines()
        .find_map(|line| line.strip_prefix("accounts, "));
    let stops = stops.and_then(|rest| rest.split_once(" stops: "));
    let stops: u32 = stops
        .unwrap_or_else(|| panic!("{report}"))
        .0
        .parse()
        .unwrap();
    assert!(stops >= 4, "{report}");
    let ended = "ended by: 2 drain, 1 stop, 1 kill";
    assert!(report.contains(ended), "{report}");
    // Memory is not judged: in so short a time it is that of a start.
    let problems = report.lines().filter(|line| line.starts_with("PROBLEM"));
    let others: Vec<&str> = problems.filter(|line| !line.contains("memory")).collect();
    assert!(others.is_empty(), "{}", said(&output));
}

#[test]
fn a_daemon_that_dies_is_a_problem_with_its_directory_kept() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("mortal");
    let text_of = format!(
        "#!/bin/sh\ntest \"$1\" = --version && exec echo mortal 1\n\
         (sleep 2; kill -s KILL $$) &\nexec {} \"$@\"\n",
        benzene().display()
    );
    write_script(&script, &text_of);
    let options = options(&["--first-port", "24703"]);
    let output = bench("soak", &script, dir.path(), &options);
    let report = text(&output);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        report.contains("PROBLEM: the daemon ended by itself"),
        "{report}"
    );
    assert!(report.trim_end().ends_with("NOT SOUND"), "{report}");
}

#[test]
fn a_journal_that_vanishes_after_a_stop_or_a_kill_is_noticed() {
    for (lost_before_start, port, problem) in [
        ("3", "24803", "points came back after a stop"),
        ("4", "24903", "regular points are not"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("oblivious");
        let text_of = format!(
            "#!/bin/sh\ntest \"$1\" = --version && exec echo oblivious 1\n\
             root=\"${{3%/*}}\"\ntest \"$1\" = cache && echo x >> \"$root/starts\"\n\
             test \"$1\" = cache && test $(wc -l < \"$root/starts\") = {lost_before_start} && \
             truncate --size 0 \"$root\"/storage/journal/a/*.points\nexec {} \"$@\"\n",
            benzene().display()
        );
        write_script(&script, &text_of);
        let options = options(&["--first-port", port, "--restart-every", "7s"]);
        let output = bench("soak", &script, dir.path(), &options);
        let report = text(&output);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let problems = report.lines().filter(|line| line.starts_with("PROBLEM"));
        assert!(
            problems.clone().any(|line| line.contains(problem)),
            "no {problem:?} in {}",
            said(&output)
        );
    }
}

#[test]
fn a_file_that_vanishes_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("forgetful");
    let text_of = format!(
        "#!/bin/sh\ntest \"$1\" = --version && exec echo forgetful 1\n\
         (sleep 4; rm -r \"${{3%/*}}/whisper/soak/regular/host-000001\") &\nexec {} \"$@\"\n",
        benzene().display()
    );
    write_script(&script, &text_of);
    let options = options(&["--first-port", "24503", "--restart-every", "1h"]);
    let output = bench("soak", &script, dir.path(), &options);
    let report = text(&output);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    // Whether a question falls on what is gone is chance; the comparison at the end is not.
    assert!(
        report.contains("PROBLEM: regular points are not"),
        "{report}"
    );
    assert!(report.trim_end().ends_with("NOT SOUND"), "{report}");
    assert!(
        report.contains("the daemon's directory is kept"),
        "{report}"
    );
}
