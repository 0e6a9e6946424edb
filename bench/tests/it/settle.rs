//! The same daemon and configuration on the model of a spinning disk and on this machine's own: each
//! settles on a rate of its own, and a reader beside it waits no longer than the bound.
//! How long anybody waits depends on what else the machine does: a short run looks only at what no
//! machine can change, `BENZENE_LONG` asks for the bound.
//! Root is needed for the model disk; elsewhere the test says so and looks at this machine's alone.

use std::path::Path;

use crate::disk::{Disk, is_possible};
use crate::programs::{bench, benzene, said, text};

fn is_long() -> bool {
    std::env::var_os("BENZENE_LONG").is_some()
}

/// What a run ends with: the least and the largest rate after a minute, and what the reader waited,
/// p99 in ms.
#[derive(Debug)]
struct Settled {
    report: String,
    /// The last rate.
    rate: f64,
}

impl Settled {
    /// The number before these words of the summary.
    fn number(&self, end: &str) -> f64 {
        let summary = self.report.lines().last().unwrap();
        let (before, _) = summary
            .split_once(end)
            .unwrap_or_else(|| panic!("{summary}"));
        before.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

/// Runs it with so many points a second.
fn settle(dir: &Path, (rate, seconds): (u32, u32), port: &str, class: &str) -> Settled {
    let journal = tempfile::tempdir().unwrap();
    let load = format!("{rate}:{seconds}");
    let conf = format!("DEVICE_CLASS = {class}");
    // More than are updated in a long run: what is in memory costs a disk less.
    let files = if is_long() { "30000" } else { "2000" };
    let journal_dir = journal.path().to_str().unwrap();
    let svg = journal.path().join("run.svg");
    let options = [
        "--first-port",
        port,
        "--files",
        files,
        "--load",
        &load,
        "--conf",
        &conf,
    ];
    let more = ["--journal-dir", journal_dir, "--svg", svg.to_str().unwrap()];
    let output = bench("settle", benzene(), dir, &[&options[..], &more].concat());
    assert!(output.status.success(), "{}", said(&output));
    assert!(svg.is_file());
    let report = text(&output);
    let mut rates = report.lines().rev().filter_map(|line| {
        let mut fields = line.split_whitespace();
        fields.next()?.parse::<u32>().ok()?;
        fields.next()?.parse::<f64>().ok()
    });
    let rate = rates.next().unwrap_or_else(|| panic!("{report}"));
    Settled { report, rate }
}

#[test]
fn each_disk_settles_on_a_rate_of_its_own_and_leaves_readers_their_bound() {
    let seconds = if is_long() { 180 } else { 20 };
    let own = tempfile::tempdir().unwrap();
    let ssd = settle(own.path(), (5000, seconds), "25003", "ssd");
    assert!(ssd.report.contains("updates are tuned"), "{}", ssd.report);
    assert!(ssd.rate >= 200.0, "{}", ssd.report);
    if is_long() {
        assert!(ssd.number(" ms, at most") <= 20.0, "{}", ssd.report);
    }
    if !is_possible() {
        return;
    }
    let disk = Disk::new();
    disk.up(&["--size", "3G"]);
    let hdd = settle(&disk.mount(), (150, seconds), "25103", "hdd");
    assert!(hdd.report.contains("updates are tuned"), "{}", hdd.report);
    assert!((10.0..300.0).contains(&hdd.rate), "{}", hdd.report);
    assert!(hdd.rate < ssd.rate, "{} and {}", hdd.report, ssd.report);
    if is_long() {
        assert!(hdd.number(" ms, at most") <= 100.0, "{}", hdd.report);
        let (least, most) = (hdd.number(" to "), hdd.number(" updates a second"));
        assert!(least > 20.0 && most < least * 2.0, "{}", hdd.report);
    }
}
