//! Schemas, aggregation, limits and the log's level while the daemon runs: each change of a file is
//! taken over within the bound, by itself and on SIGHUP; a bad file keeps what holds and is said
//! once; files that are there stay as they are.
#![expect(clippy::disallowed_methods, reason = "a test reads a clock")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use benzene_engine::whisper::{Aggregation, Header};

use crate::daemon::{Daemon, Setup, wait_for};
use crate::first_use::now;
use crate::vitals::Own;

/// How long Python carbon takes to notice a change of these files.
const BOUND: Duration = Duration::from_secs(60);

/// The header of a metric's file, which is made by a point.
fn header(daemon: &Daemon, metric: &str) -> Header {
    daemon.send(&format!("{metric} 1 {}\n", now()));
    let file = daemon.file(metric);
    let bytes = wait_for(|| std::fs::read(&file).ok());
    Header::parse(&bytes.unwrap_or_else(|| panic!("no {metric}: {}", daemon.log()))).unwrap()
}

fn retention_s(daemon: &Daemon, metric: &str) -> u32 {
    let first = header(daemon, metric).archives[0];
    first.step_s * first.points
}

fn schemas(retentions: &str) -> String {
    format!("[all]\npattern = .*\nretentions = {retentions}\n")
}

fn file(daemon: &Daemon, name: &str) -> PathBuf {
    daemon.config().with_file_name(name)
}

fn noticed(daemon: &mut Daemon, word: &str, change: impl FnOnce()) {
    let begin = Instant::now();
    change();
    daemon.wait_for_log(word);
    assert!(begin.elapsed() < BOUND, "{:?}: {word}", begin.elapsed());
}

#[test]
fn new_schemas_hold_for_new_files() {
    let mut daemon = Daemon::start(&Setup {
        schemas: Some(schemas("1s:1h")),
        shards: Some(2),
        ..Setup::conf("CARBON_METRIC_INTERVAL = 1")
    });
    let mut own = Own::of(&daemon);
    let path = file(&daemon, "storage-schemas.conf");
    assert_eq!(retention_s(&daemon, "a.one"), 3600);
    noticed(&mut daemon, "storage-schemas.conf has changed: ", || {
        let new = path.with_extension("new");
        std::fs::write(&new, schemas("1s:2h")).unwrap();
        std::fs::rename(&new, &path).unwrap();
    });
    assert_eq!(retention_s(&daemon, "b.two"), 7200);
    assert_eq!(retention_s(&daemon, "a.one"), 3600, "it was there before");
    // A bad file: line, mend, and what holds.
    noticed(&mut daemon, "files are made as before: ", || {
        std::fs::write(&path, schemas("1s:3h,10X:1d")).unwrap();
    });
    daemon.wait_for_log("line 3: [all] retentions:");
    own.wait_until(&["benzene.config.refusedFiles"], |values| values[0] == 1);
    assert_eq!(retention_s(&daemon, "c.three"), 7200);
    // Asked for, it is said again; a missing file is no reason to guess either.
    daemon.signal("HUP");
    daemon.wait_for_log("SIGHUP: files are made as before: ");
    noticed(&mut daemon, "without it nobody has said how long", || {
        std::fs::remove_file(&path).unwrap();
    });
    assert_eq!(retention_s(&daemon, "d.four"), 7200);
    noticed(&mut daemon, "from now on: late, default", || {
        let text = schemas("1s:4h").replace("[all]", "[late]");
        std::fs::write(&path, text).unwrap();
    });
    assert_eq!(retention_s(&daemon, "e.five"), 4 * 3600);
    own.wait_until(&["benzene.config.refusedFiles"], |values| values[0] == 0);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let said = |word: &str| ended.log.matches(word).count();
    assert_eq!(
        said("conf has changed: files are made as before: "),
        2,
        "{}",
        ended.log
    );
}

#[test]
fn aggregation_comes_changes_and_goes() {
    let mut daemon = Daemon::start(&Setup {
        aggregation: Some("[sums]\npattern = ^sum\naggregationMethod = sum\n".to_owned()),
        ..Setup::default()
    });
    let path = file(&daemon, "storage-aggregation.conf");
    assert_eq!(header(&daemon, "sum.one").aggregation, Aggregation::Sum);
    noticed(
        &mut daemon,
        "storage-aggregation.conf has changed: ",
        || {
            let text = "[maxima]\npattern = ^sum\nxFilesFactor = 0\naggregationMethod = max\n";
            std::fs::write(&path, text).unwrap();
        },
    );
    assert_eq!(header(&daemon, "sum.two").aggregation, Aggregation::Max);
    noticed(&mut daemon, "files are aggregated as before: ", || {
        std::fs::write(&path, "[x]\npattern = .\naggregationMethod = median\n").unwrap();
    });
    daemon.wait_for_log("line 3: [x] aggregationMethod 'median' is unknown");
    assert_eq!(header(&daemon, "sum.three").aggregation, Aggregation::Max);
    noticed(&mut daemon, "new files average their points", || {
        std::fs::remove_file(&path).unwrap();
    });
    assert_eq!(
        header(&daemon, "sum.four").aggregation,
        Aggregation::Average
    );
    assert!(daemon.stop().status.success());
}

#[test]
fn limits_and_the_level_of_the_log_follow_carbon_conf() {
    let mut daemon = Daemon::start(&Setup::conf("MAX_UPDATES_PER_SECOND = 500\n"));
    let path = daemon.config();
    let text = std::fs::read_to_string(&path).unwrap();
    let change = |lines: &str| std::fs::write(&path, format!("{text}{lines}")).unwrap();
    noticed(
        &mut daemon,
        "carbon.conf has changed: from now on MAX_CREATES_PER_MINUTE = 600",
        || change("MAX_CREATES_PER_MINUTE = 600\n"),
    );
    daemon.connect();
    assert!(!daemon.log().contains("connection accepted"));
    noticed(&mut daemon, "LOG_LEVEL = warn", || {
        change("LOG_LEVEL = warn\n");
    });
    noticed(&mut daemon, "LOG_LEVEL = debug", || {
        change("LOG_LEVEL = debug\n");
    });
    // A connection now and then, until one is logged.
    let logged = wait_for(|| {
        daemon.connect();
        daemon.log().contains("connection accepted").then_some(())
    });
    assert!(logged.is_some(), "{}", daemon.log());
    noticed(
        &mut daemon,
        "carbon.conf has changed: everything stays as it is: ",
        || change("LOG_LEVEL = loud\n"),
    );
    noticed(
        &mut daemon,
        "as before until the next start: MAX_CACHE_SIZE",
        || change("MAX_CACHE_SIZE = 1000\n"),
    );
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(ended.log.matches("everything stays as it is").count(), 1);
}

/// The limits of several instances add up, and one that is new in the file is the next start's.
#[test]
fn instances_that_wait_for_the_next_start_bring_no_rates() {
    let conf = "MAX_UPDATES_PER_SECOND = 500\nCARBON_METRIC_INTERVAL = 1\n";
    let mut daemon = Daemon::start(&Setup::conf(conf));
    let mut own = Own::of(&daemon);
    let names = ["benzene.writer.updatesPerSecondMax", "benzene.own"];
    own.wait_until(&names, |values| values[0] == 500);
    let path = daemon.config();
    let text = std::fs::read_to_string(&path).unwrap();
    let waits = "changed, but as before until the next start: INSTANCES, MAX_UPDATES_PER_SECOND";
    noticed(&mut daemon, waits, || {
        std::fs::write(&path, format!("{text}[cache:b]\n")).unwrap();
    });
    let reported = own.value("benzene.own");
    let values = own.wait_until(&names, |values| values[1] > reported);
    assert_eq!(values[0], 500, "{}", daemon.log());
    let said = "from now on MAX_UPDATES_PER_SECOND = 800; changed, but as before until the next start: \
                INSTANCES";
    noticed(&mut daemon, said, || {
        std::fs::write(&path, text.replace("= 500", "= 800")).unwrap();
    });
    own.wait_until(&names, |values| values[0] == 800);
    assert!(daemon.stop().status.success());
}

#[test]
fn what_was_read_a_moment_ago_is_not_taken_for_changed() {
    let mut daemon = Daemon::start(&Setup::conf(
        "USE_WHITELIST = on\nCARBON_METRIC_INTERVAL = 1",
    ));
    // Some looks at the files go by.
    Own::of(&daemon).wait_until(&["benzene.own"], |values| values[0] > 300);
    daemon.signal("HUP");
    daemon.wait_for_log("SIGHUP: carbon.conf was read again and says what it said");
    let ended = daemon.stop();
    assert!(!ended.log.contains("has changed"), "{}", ended.log);
    assert!(!ended.log.contains("judged anew"), "{}", ended.log);
}
