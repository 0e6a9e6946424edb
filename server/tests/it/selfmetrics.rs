//! The daemon's own metrics: Python carbon's names with plausible values, the accounts that the
//! exported totals keep, and docs/operating/metrics.md, which has to name every one of them.
#![expect(
    clippy::disallowed_methods,
    clippy::format_push_string,
    reason = "a test waits, and builds its text simply"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use benzene_server::wire::client;

use crate::daemon::{Daemon, Querier, Setup, wait_for};
use crate::first_use::now;
use crate::stop::number_before;

/// One report: names without their prefix, and values.
pub(crate) type Values = BTreeMap<String, f64>;

/// What carbon-cache reports in every interval.
const PYTHONS: &[&str] = &[
    "cache.size",
    "cache.queues",
    "updateOperations",
    "committedPoints",
    "creates",
    "droppedCreates",
    "errors",
    "cache.queries",
    "cache.bulk_queries",
    "cache.overflow",
    "activeConnections",
    "metricsReceived",
    "blacklistMatches",
    "whitelistRejects",
    "cpuUsage",
    "memUsage",
];
/// What is reported only where there is something to divide by, or a limit.
const RATIOS: &[&str] = &[
    "avgUpdateTime",
    "pointsPerUpdate",
    "cache.bulk_queries_average_size",
    "benzene.limiter.createsPerMinuteMax",
];

pub(crate) fn host() -> String {
    let script = "import socket; print(socket.gethostname().replace('.', '_'))";
    crate::daemon::python(script, &[]).trim().to_owned()
}

const READ: &str = r"
import glob, os, struct, sys, whisper
root = sys.argv[1]
for path in glob.glob(root + '/**/*.wsp', recursive=True):
    name = os.path.relpath(path, root)[:-4].replace('/', '.')
    archive = whisper.info(path)['archives'][0]
    body = open(path, 'rb').read()[archive['offset']:archive['offset'] + archive['size']]
    for timestamp, value in struct.iter_unpack('>Ld', body):
        if timestamp:
            print(timestamp, name, value)
";

/// All reports below a directory of own metrics, oldest first.
fn reports(directory: &std::path::Path) -> Vec<Values> {
    reports_by_time(directory).into_values().collect()
}

/// All reports of a daemon's own metrics below its data directory.
pub(crate) fn all_reports(data: &std::path::Path) -> Vec<Values> {
    reports(&data.join(format!("carbon/agents/{}-a", host())))
}

/// The same with their seconds.
pub(crate) fn reports_by_time(directory: &std::path::Path) -> BTreeMap<u32, Values> {
    let mut reports: BTreeMap<u32, Values> = BTreeMap::new();
    for line in crate::daemon::python(READ, &[directory.to_str().unwrap()]).lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let report = reports.entry(fields[0].parse().unwrap()).or_default();
        report.insert(fields[1].to_owned(), fields[2].parse().unwrap());
    }
    reports
}

fn page() -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating/metrics.md");
    std::fs::read_to_string(page).unwrap()
}

/// Names that docs/operating/metrics.md explains: Python's, then ours.
fn documented() -> BTreeSet<String> {
    let text = page();
    let (pythons, ours) = text.split_once("\n## Benzene's own").unwrap();
    let names = |part: &str, prefix: &str| -> Vec<String> {
        part.lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
            .map(|(name, _)| format!("{prefix}{name}"))
            .collect()
    };
    let mut all: BTreeSet<String> = names(pythons, "").into_iter().collect();
    all.extend(names(ours, "benzene."));
    all
}

/// Equal as numbers that were counted, not measured.
fn same(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-6
}

fn accounts_balance(report: &Values) {
    let value = |name: &str| report[&format!("benzene.{name}")];
    let dropped: f64 = report
        .iter()
        .filter(|(name, _)| name.starts_with("benzene.dropped."))
        .map(|(_, value)| value)
        .sum();
    let came = value("received") + value("own") + value("replayed");
    let went = value("committed") + value("cached") + value("superseded") + dropped;
    assert!(
        same(came, went),
        "{came} came, {went} are accounted for: {report:?}"
    );
}

/// Pairs of reports of one daemon between which none lies: no further apart than its interval of two
/// seconds, and with own points in between, which begin at none with a restart.
fn following(reports: &BTreeMap<u32, Values>) -> Vec<[&Values; 2]> {
    let own = |report: &Values| report["benzene.own"];
    let later = reports.iter().skip(1);
    reports
        .iter()
        .zip(later)
        .filter(|((at, report), (next_at, next))| **next_at <= **at + 2 && own(next) > own(report))
        .map(|((_, report), (_, next))| [report, next])
        .collect()
}

/// Python's counts agree with ours in every pair of reports that follow each other; how many that are.
fn intervals_agree(reports: &BTreeMap<u32, Values>) -> usize {
    let pairs = following(reports);
    for [report, next] in &pairs {
        interval_agrees(report, next);
    }
    pairs.len()
}

/// Python's counts per interval are the differences of our totals.
fn interval_agrees(before: &Values, report: &Values) {
    for (python, ours) in [
        ("updateOperations", "updates"),
        ("committedPoints", "committed"),
        ("creates", "creates"),
        ("errors", "errors"),
        ("cache.queries", "queries"),
        ("cache.bulk_queries", "bulkQueries"),
        ("cache.overflow", "dropped.cacheFull"),
        ("droppedCreates", "dropped.createWait"),
        ("metricsReceived", "received"),
        ("blacklistMatches", "refused.blacklist"),
        ("whitelistRejects", "refused.whitelist"),
    ] {
        let ours = format!("benzene.{ours}");
        let since = report[&ours] - before[&ours];
        assert!(
            same(report[python], since),
            "{python}: {since} by {ours}, {report:?}"
        );
    }
    assert!(same(report["cache.size"], report["benzene.cached"]));
    assert!(report["cache.queues"] <= report["cache.size"]);
    let (committed, updates) = (report["committedPoints"], report["updateOperations"]);
    match report.get("pointsPerUpdate") {
        Some(ratio) => assert!(same(*ratio, committed / updates), "{report:?}"),
        None => assert!(same(committed, 0.0), "{report:?}"),
    }
    match report.get("avgUpdateTime") {
        Some(seconds) => assert!(*seconds > 0.0 && *seconds < 60.0, "{report:?}"),
        None => assert!(same(updates, 0.0), "{report:?}"),
    }
}

/// Sends what every counter of the accounts sees: many points, the same second again, points older
/// than their file reaches, and lines that are refused.
fn send_round(socket: &mut std::net::TcpStream, round: u32) {
    let time = now();
    let mut text = String::new();
    for metric in 0..500 {
        text += &format!("busy.m{metric} {round} {time}\nbusy.m{metric} {round}.5 {time}\n");
    }
    text += &format!("short.m 1 {}\nbusy.nan nan {time}\nonly two\n", time - 7200);
    socket.write_all(text.as_bytes()).unwrap();
}

#[test]
fn own_metrics_are_pythons_and_keep_the_accounts() {
    let daemon = Daemon::start(&Setup {
        schemas: Some(
            "[short]\npattern = ^short\nretentions = 1s:1m\n[all]\npattern = .*\nretentions = 1s:1h\n"
                .to_owned(),
        ),
        shards: Some(2),
        // Two, so that two reports fall into one second only if one is a second late.
        ..Setup::conf("CARBON_METRIC_INTERVAL = 2")
    });
    let own = format!("carbon.agents.{}-a", host());
    let idle = [daemon.connect(), daemon.connect()];
    let mut socket = daemon.connect();
    let mut querier = Querier::connect(daemon.query);
    let mut seen = BTreeSet::new();
    for round in 0..10_000 {
        send_round(&mut socket, round);
        let mut bulk = Vec::new();
        client::encode_bulk_query(["busy.m1", "busy.m2", "absent"], &mut bulk).unwrap();
        querier.ask(&bulk);
        for (time, connections) in querier.points(&format!("{own}.activeConnections")) {
            if same(connections, 3.0) {
                seen.insert(time);
            }
        }
        if seen.len() >= 4 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(seen.len() >= 4, "{seen:?}: {}", daemon.log());
    drop(idle);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let by_time = reports_by_time(&ended.data().join(own.replace('.', "/")));
    let reports: Vec<&Values> = by_time.values().collect();
    assert!(reports.len() >= 4);
    for report in &reports {
        for name in PYTHONS {
            assert!(report.contains_key(*name), "no {name} in {report:?}");
        }
        accounts_balance(report);
        cores_are_plausible(report);
    }
    let agreeing = intervals_agree(&by_time);
    assert!(agreeing >= 2, "{agreeing} of {reports:?}");
    let last = reports.last().unwrap();
    for name in [
        "superseded",
        "dropped.tooOld",
        "refused.nan",
        "refused.fields",
        "connections",
    ] {
        assert!(last[&format!("benzene.{name}")] > 0.0, "{name}: {last:?}");
    }
    let any = |name: &str, plausible: &dyn Fn(f64) -> bool| {
        assert!(
            reports
                .iter()
                .filter_map(|report| report.get(name))
                .any(|value| plausible(*value)),
            "{name} in {reports:?}"
        );
    };
    any("cpuUsage", &|percent| percent > 0.0 && percent < 6400.0);
    any("memUsage", &|bytes| bytes > 1e6);
    any("cache.bulk_queries_average_size", &|size| same(size, 3.0));
    any("metricsReceived", &|points| points >= 1000.0);
    names_are_documented(&reports);
}

/// A name with `N` for the number of a shard, as the page has it.
fn of_any_shard(name: &str) -> String {
    const SHARDS: &str = "benzene.shards.";
    match name
        .strip_prefix(SHARDS)
        .and_then(|rest| rest.split_once('.'))
    {
        Some((_, rest)) => format!("{SHARDS}N.{rest}"),
        None => name.to_owned(),
    }
}

/// Whoever reckons what the files of own metrics take begins with their number.
#[test]
fn the_page_says_how_many_there_are() {
    let documented = documented();
    let of_shards = documented
        .iter()
        .filter(|name| name.starts_with("benzene.shards.N."))
        .count();
    let of_process = documented.len() - of_shards;
    let said = format!("A process has {of_process} of them and {of_shards} for each shard");
    assert!(page().contains(&said), "not on the page: {said}");
}

/// Each shard's part adds up to the whole, and percentiles rise.
fn cores_are_plausible(report: &Values) {
    for name in ["cached", "cacheBytes", "received", "updates"] {
        let parts: Vec<f64> = report
            .iter()
            .filter(|(found, _)| {
                found.starts_with("benzene.shards.")
                    && of_any_shard(found).ends_with(&format!(".N.{name}"))
            })
            .map(|(_, value)| *value)
            .collect();
        assert_eq!(parts.len(), 2, "{name}: {report:?}");
        let whole = report[&format!("benzene.{name}")];
        assert!(
            same(parts.iter().sum(), whole),
            "{name}: {parts:?} of {report:?}"
        );
    }
    for what in ["updateMs", "createMs", "queryMs", "journalSyncMs"] {
        let value = |name: &str| report.get(&format!("benzene.latency.{what}.{name}"));
        let found = ["p50", "p95", "p99", "max"].map(value);
        let found: Vec<f64> = found.into_iter().flatten().copied().collect();
        assert!(found.is_empty() || found.len() == 4, "{what}: {report:?}");
        assert!(
            found.is_sorted() && found.iter().all(|ms| *ms > 0.0),
            "{what}: {found:?}"
        );
    }
}

/// Everything that is reported is explained, and what is explained is reported.
fn names_are_documented(reports: &[&Values]) {
    let names = reports.iter().flat_map(|report| report.keys());
    let reported: BTreeSet<String> = names.map(|name| of_any_shard(name)).collect();
    let documented = documented();
    assert_eq!(
        reported.difference(&documented).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "reported and not in docs/operating/metrics.md"
    );
    let missing: Vec<&String> = documented.difference(&reported).collect();
    assert!(
        missing.iter().all(|name| RATIOS.contains(&name.as_str())),
        "in docs/operating/metrics.md and not reported: {missing:?}"
    );
}

/// Once more points are sent than a small cache takes, for new files of which one a minute is made
/// and for one that cannot be written: every kind of drop.
fn flood(socket: &mut std::net::TcpStream, round: u32) {
    let time = now();
    let mut text = String::new();
    for metric in 0..3000 {
        text += &format!("new.r{round}.m{metric} 1 {time}\n");
    }
    for back in 0..1500 {
        text += &format!("parked.m 1 {}\n", time - back);
    }
    text += &format!("short.m 1 {}\n", time - 7200);
    socket.write_all(text.as_bytes()).unwrap();
}

#[test]
fn the_accounts_hold_whatever_is_dropped() {
    let schemas =
        "[short]\npattern = ^short\nretentions = 1s:1m\n[all]\npattern = .*\nretentions = 1s:1h\n";
    let setup = |conf: &str| Setup {
        schemas: Some(schemas.to_owned()),
        shards: Some(2),
        ..Setup::conf(&format!("CARBON_METRIC_INTERVAL = 2\n{conf}"))
    };
    let own = format!("carbon.agents.{}-a", host());
    // First the files of the own metrics and of short.m, without a limit.
    let daemon = Daemon::start(&setup("MAX_CREATES_PER_MINUTE = 1000000"));
    daemon.send(&format!("short.m 1 {}\n", now()));
    daemon.points("short.m");
    let names = [
        "benzene.forgotten",
        "benzene.latency.queryMs.max",
        "benzene.latency.createMs.max",
        "benzene.latency.updateMs.max",
        "benzene.latency.journalSyncMs.max",
        "avgUpdateTime",
        "pointsPerUpdate",
    ];
    let names = names.map(|name| format!("{own}.{name}"));
    for name in names.iter().map(String::as_str).chain(["short.m"]) {
        let file = daemon.file(name);
        wait_for(|| file.exists().then_some(())).unwrap();
    }
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    // Where the file of parked.m should be lies a directory.
    let obstacle = ended.data().join("parked/m.wsp");
    std::fs::create_dir_all(&obstacle).unwrap();

    let limits = "MAX_CREATES_PER_MINUTE = 1\nMAX_CACHE_SIZE = 2000\nUSE_FLOW_CONTROL = False";
    let daemon = Daemon::start_in(&setup(limits), ended.root);
    let mut socket = daemon.connect();
    let mut querier = Querier::connect(daemon.query);
    let drops = ["cacheFull", "createWait", "parked", "tooOld"];
    let mut missing: BTreeSet<&str> = drops.into();
    let (mut round, mut seen) = (0, BTreeSet::new());
    wait_for(|| {
        flood(&mut socket, round);
        round += 1;
        missing.retain(|drop| {
            let points = querier.points(&format!("{own}.benzene.dropped.{drop}"));
            points.iter().all(|(_, count)| same(*count, 0.0))
        });
        let points = querier.points(&format!("{own}.benzene.own"));
        seen.extend(points.iter().map(|(time, _)| *time));
        (missing.is_empty() && seen.len() >= 3).then_some(())
    })
    .unwrap_or_else(|| panic!("never dropped: {missing:?}: {}", daemon.log()));
    drop(socket);
    std::fs::remove_dir(&obstacle).unwrap();
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let by_time = reports_by_time(&ended.data().join(own.replace('.', "/")));
    let reports: Vec<&Values> = by_time.values().collect();
    for report in &reports {
        accounts_balance(report);
    }
    assert!(intervals_agree(&by_time) > 0, "{reports:?}");
    for drop in drops {
        let last = reports.last().unwrap();
        assert!(
            last[&format!("benzene.dropped.{drop}")] > 0.0,
            "{drop}: {last:?}"
        );
    }
}

#[test]
fn prefix_instance_and_interval_are_obeyed() {
    let quiet = Daemon::start(&Setup::conf("CARBON_METRIC_INTERVAL = 0"));
    let setup = Setup {
        flags: &["--instance", "b"],
        ..Setup::conf("CARBON_METRIC_INTERVAL = 1\n[cache:b]\nCARBON_METRIC_PREFIX = of.ours")
    };
    let daemon = Daemon::start(&setup);
    let name = format!("of.ours.agents.{}-b.metricsReceived", host());
    let mut querier = Querier::connect(daemon.query);
    wait_for(|| (querier.points(&name).len() >= 2).then_some(())).unwrap();
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(!ended.data().join("carbon").exists());
    let directory = format!("of/ours/agents/{}-b", host());
    for report in &reports(&ended.data().join(directory)) {
        for name in PYTHONS {
            assert!(report.contains_key(*name), "no {name} in {report:?}");
        }
        accounts_balance(report);
    }
    assert!(number_before(&ended.log, " own") >= 2 * PYTHONS.len() as u64);
    // The other one was started before, and has reported nothing in all this time.
    let ended = quiet.stop();
    assert_eq!(number_before(&ended.log, " own"), 0, "{}", ended.log);
    assert!(!ended.data().join("carbon").exists());
}
