//! `order` with few files: far fewer seeks in the order of the disk than one by one, which no load of the
//! machine changes; and nothing is left. How long it takes is not looked at.
//! Needs root, as any model disk; elsewhere it says so.

use std::fs;
use std::path::Path;

use crate::disk::is_possible;
use crate::programs::{bench, benzene, said, text};

/// The columns of a way's row behind its name.
fn figures(report: &str, way: &str) -> Vec<f64> {
    let row = report.lines().rev().find_map(|line| line.split_once(way));
    let (_, figures) = row.unwrap_or_else(|| panic!("no {way} in {report}"));
    let figures = figures.split_whitespace().filter(|word| *word != "%");
    figures.map(|word| word.parse().unwrap()).collect()
}

#[test]
fn the_order_of_the_disk_saves_seeks() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Path::new("/dev/shm");
    let models = tempfile::tempdir_in(if memory.is_dir() { memory } else { dir.path() }).unwrap();
    let disk = models.path().join("disk");
    let options = [
        "--files",
        "400",
        "--gigabytes",
        "4",
        "--first-port",
        "26003",
    ];
    let options = [&options[..], &["--disk", disk.to_str().unwrap()]].concat();
    let output = bench("order", benzene(), dir.path(), &options);
    if !is_possible() {
        assert!(!output.status.success() && said(&output).contains("root"));
        return;
    }
    assert!(output.status.success(), "{}", said(&output));
    let report = text(&output);
    let [ordered, single] = ["in disk order", "one by one"].map(|way| figures(&report, way));
    let [_, _, reads, writes, seeks, ..] = ordered[..] else {
        panic!("{report}")
    };
    // One of the file, and of the directories, two files each, and of inodes.
    assert!(reads < 2.0, "{report}");
    assert!((1.0..3.0).contains(&writes), "{report}");
    assert!(seeks < single[4] / 2.0, "{report}");
    // Rounded to a tenth of a second.
    assert!(
        ordered[0] > ordered[6] / 2.0 && single[0] > single[6],
        "{report}"
    );
    assert_eq!(fs::read_dir(models.path()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
