//! Python's carbon-cache beside Benzene, on the same input: what is in the files, what the own metrics
//! count and what graphite-web shows must be the same, and what differs must stand in
//! docs/operating/differences.md. The work is done in Python (parity.py, web.py), which has carbon's
//! daemons, whisper and graphite-web at hand; here Benzene is started and the page is read.
//! BENZENE_LONG=1 goes on sending for half an hour, over io_uring: what is stored does not depend on the way.

use std::process::Command;

use crate::daemon::{Daemon, Setup, Way};

/// First archives longer than what is sent of recent points, so that nothing wraps around, and coarse
/// ones that they fill.
const SCHEMAS: &str = r"
[carbon]
pattern = ^carbon\.agents\.
retentions = 1s:2h

[single]
pattern = ^single\.
retentions = 10s:1d

[all]
pattern = .*
retentions = 10s:6h,60s:1d,600s:7d
";

const AGGREGATION: &str = r"
[sum]
pattern = _sum$
xFilesFactor = 0
aggregationMethod = sum

[max]
pattern = _max$
xFilesFactor = 0.1
aggregationMethod = max

[min]
pattern = _min$
xFilesFactor = 0.5
aggregationMethod = min

[last]
pattern = _last$
xFilesFactor = 0
aggregationMethod = last

[tags]
pattern = ;
xFilesFactor = 0.2
aggregationMethod = average
";

/// Runs one of the scripts beside this file with the reference Python; its output.
fn run(script: &str, arguments: &[&str]) -> String {
    let at = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/parity");
    let output = Command::new(benzene_fixtures::python().unwrap())
        .arg(format!("{at}/{script}"))
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said}\n{errors}");
    said
}

#[test]
fn fed_by_one_relay_both_daemons_end_with_the_same_files_and_counts() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("blacklist.conf"), "^blocked\\.\n").unwrap();
    std::fs::write(root.path().join("whitelist.conf"), "^(?!odd\\.)\n").unwrap();
    let (interval, lists) = ("CARBON_METRIC_INTERVAL = 4", "USE_WHITELIST = True");
    let setup = Setup {
        schemas: Some(SCHEMAS.to_owned()),
        aggregation: Some(AGGREGATION.to_owned()),
        shards: Some(2),
        ..Setup::conf(&format!(
            "MIN_TIMESTAMP_RESOLUTION = 1\nENABLE_TAGS = False\n{interval}\n{lists}"
        ))
    };
    let daemon = Daemon::start_in(&setup, root);
    let is_long = std::env::var("BENZENE_LONG").is_ok_and(|long| long == "1")
        && Way::of_this_run() == Way::Uring;
    let seconds = if is_long { "1800" } else { "0" };
    let root = daemon.data().parent().unwrap().to_owned();
    let said = run(
        "parity.py",
        &[
            root.to_str().unwrap(),
            &daemon.line.port().to_string(),
            &daemon.pickle.port().to_string(),
            seconds,
            interval,
            lists,
        ],
    );
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/operating/differences.md"
    );
    let page = std::fs::read_to_string(page).unwrap();
    let differences: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("differs: "))
        .collect();
    assert!(differences.len() >= 6, "{said}");
    for entry in differences {
        assert!(page.contains(entry), "{entry:?} is not on the list");
    }
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
}

#[test]
fn graphite_web_renders_the_same_over_either_daemon_and_no_gaps() {
    let order = "CACHE_WRITE_STRATEGY = timesorted";
    let lag = "MIN_TIMESTAMP_LAG = 1800";
    let daemon = Daemon::start(&Setup {
        schemas: Some("[all]\npattern = .*\nretentions = 10s:3h,60s:1d\n".to_owned()),
        aggregation: Some(AGGREGATION.to_owned()),
        shards: Some(2),
        ..Setup::conf(&format!("{order}\n{lag}\nENABLE_TAGS = False"))
    });
    let line = daemon.line.port().to_string();
    let query = daemon.query.port().to_string();
    let root = daemon.data().parent().unwrap().to_owned();
    let root = root.to_str().unwrap();
    let said = run("web.py", &[root, &line, &query, "0", order, lag]);
    assert!(said.contains("the same: 64 answers"), "{said}");
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let said = run("web.py", &[root, &line, &query, "1"]);
    assert!(said.contains("after the drain: 48 answers"), "{said}");
}
