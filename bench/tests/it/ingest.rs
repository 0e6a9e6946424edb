//! `ingest` with few points: every case runs, every figure is there, and no daemon stays behind.
//! What the figures are is not looked at: that is for machines with nothing else to do.

use crate::programs::{bench, benzene, columns, said, text, write_script};

#[test]
fn every_case_is_taken_whole_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    for case in ["line", "line-million", "pickle", "line-random", "udp"] {
        let options = [
            "--first-port",
            "24103",
            "--case",
            case,
            "--metrics",
            "300",
            "--rounds",
            "5",
            "--rate",
            "5000",
        ];
        let output = bench("ingest", benzene(), dir.path(), &options);
        assert!(output.status.success(), "{}", said(&output));
        let text = text(&output);
        for figure in [
            "received, points/s",
            "CPU, ns/point",
            "resident, after, MiB",
        ] {
            assert_eq!(columns(&text, figure).len(), 1, "{text}");
        }
        assert_eq!(columns(&text, "points missing"), ["0"], "{text}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn another_daemon_has_a_column_and_a_ratio() {
    let dir = tempfile::tempdir().unwrap();
    // A child of the shell, without a port for queries.
    let program = benzene().display();
    let against = format!(
        "sed -i 's/^CACHE_QUERY_PORT.*/CACHE_QUERY_PORT = 0/' {{conf}}/carbon.conf; \
         {program} cache --config {{conf}}/carbon.conf --line 127.0.0.1:{{line}}; exit $?"
    );
    let options = [
        "--first-port",
        "24203",
        "--case",
        "line",
        "--metrics",
        "300",
        "--rounds",
        "5",
        "--repeats",
        "2",
        "--against",
        &against,
    ];
    let output = bench("ingest", benzene(), dir.path(), &options);
    assert!(output.status.success(), "{}", said(&output));
    let text = text(&output);
    let resident = columns(&text, "resident, after, MiB");
    assert!(
        resident
            .iter()
            .filter(|column| column.contains('.'))
            .count()
            >= 3,
        "{text}"
    );
    assert_eq!(columns(&text, "points missing"), ["0", "-"], "{text}");
    assert!(text.contains("against has no cache query"), "{text}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_case_that_another_daemon_has_no_port_for_is_left_out_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let program = benzene().display();
    let against = format!(
        "sed -i s/^ENABLE_UDP.*// {{conf}}/carbon.conf; exec {program} cache --config {{conf}}/carbon.conf"
    );
    let options = [
        "--first-port",
        "24603",
        "--case",
        "udp",
        "--metrics",
        "100",
        "--rounds",
        "2",
        "--rate",
        "5000",
        "--against",
        &against,
    ];
    let output = bench("ingest", benzene(), dir.path(), &options);
    assert!(output.status.success(), "{}", said(&output));
    let text = text(&output);
    assert!(
        text.contains("against has no port for the case udp: left out"),
        "{text}"
    );
    assert_eq!(columns(&text, "points missing"), ["0", "-"], "{text}");
}

#[test]
fn a_daemon_that_throws_points_away_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    // A cache that is full after 100 points, and drops what does not fit.
    let script = dir.path().join("lossy");
    let text_of = format!(
        "#!/bin/sh\ntest \"$1\" = --version && exec echo lossy 1\n\
         sed -i 's/^MAX_CACHE_SIZE.*/MAX_CACHE_SIZE = 100\\nUSE_FLOW_CONTROL = False/' \"$3\"\n\
         exec {} \"$@\"\n",
        benzene().display()
    );
    write_script(&script, &text_of);
    let options = [
        "--first-port",
        "24303",
        "--case",
        "line",
        "--metrics",
        "300",
        "--rounds",
        "5",
    ];
    let output = bench("ingest", &script, dir.path(), &options);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        text(&output).contains("benzene has lost"),
        "{}",
        said(&output)
    );
}
