//! `steady` with few metrics and short phases: every figure of every phase is there, each restart has
//! back what was cached, and nothing stays behind.
//! What the figures are is not looked at but where no machine can change them.

use crate::programs::{bench, benzene, columns, said, text};

#[test]
fn each_phase_has_its_figures_and_nothing_stays_behind() {
    let dir = tempfile::tempdir().unwrap();
    let options = [
        "--first-port",
        "25403",
        "--metrics",
        "300",
        "--step",
        "1",
        "--creation",
        "6s",
        "--steady",
        "5s",
        "--limited",
        "5s",
        "--released",
        "5s",
    ];
    let output = bench("steady", benzene(), dir.path(), &options);
    assert!(output.status.success(), "{}", said(&output));
    let text = text(&output);
    assert_eq!(
        columns(&text, "creation"),
        ["steady", "limited", "released"],
        "{text}"
    );
    for figure in [
        "points/s",
        "CPU, us/point",
        "resident at the end, MiB",
        "cached points at the end",
        "most on disk, MiB",
        "journal written, bytes/point",
        "worst, us",
    ] {
        let values = columns(&text, figure);
        assert_eq!(values.len(), 4, "{figure}: {text}");
        for value in values {
            assert!(value.parse::<f64>().unwrap() > 0.0, "{figure}: {text}");
        }
    }
    for limit in ["30", "auto"] {
        let start = format!("start, MAX_UPDATES_PER_SECOND = {limit}: a line accepted after ");
        let line = text.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("no {start:?} in {text}"));
        assert!(!line.contains("; 0 points back"), "{text}");
    }
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("drain: "))
            .count(),
        1
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
