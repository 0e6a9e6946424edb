//! `replay` with few points: all come back, every figure is there, and no daemon stays behind; and a
//! journal that is taken away before the start is found out.
//! What the figures are is not looked at: that is for machines with nothing else to do.

use crate::programs::{bench, benzene, columns, said, text, write_script};

const FEW: [&str; 4] = ["--points", "6000", "--metrics", "300"];

#[test]
fn all_that_was_cached_comes_back_and_nothing_stays_behind() {
    let dir = tempfile::tempdir().unwrap();
    let options = [&FEW[..], &["--first-port", "25203", "--repeats", "2"]].concat();
    let output = bench("replay", benzene(), dir.path(), &options);
    assert!(output.status.success(), "{}", said(&output));
    let text = text(&output);
    // The writer may have taken some series' points meanwhile: one a second.
    let cached = columns(&text, "points cached at the stop")[0];
    let cached: u64 = cached.parse().unwrap();
    assert!((5_000..=6_000).contains(&cached), "{text}");
    for figure in [
        "journal on disk, MiB",
        "written to them, bytes/point",
        "first line accepted, ms",
        "first query answered, ms",
        "all points back, s",
        "points/s and core",
        "worst, us",
        "resident, peak, MiB",
    ] {
        let value = columns(&text, figure)[0];
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{figure}: {text}"));
        assert!(value > 0.0, "{figure}: {text}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn points_that_do_not_come_back_are_missed() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("oblivious");
    let text_of = format!(
        "#!/bin/sh\ntest \"$1\" = --version && exec echo oblivious 1\n\
         test -e \"${{3%/*}}/once\" && truncate --size 0 \"${{3%/*}}\"/storage/journal/a/*.points\n\
         touch \"${{3%/*}}/once\"\nexec {} \"$@\"\n",
        benzene().display()
    );
    write_script(&script, &text_of);
    let options = [&FEW[..], &["--first-port", "25303"]].concat();
    let output = bench("replay", &script, dir.path(), &options);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report = text(&output);
    assert!(report.contains("0 points came back of "), "{report}");
}

#[test]
fn points_that_metrics_cannot_share_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let options = ["--points", "1000", "--metrics", "300"];
    let output = bench("replay", benzene(), dir.path(), &options);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("no whole number each"));
}
