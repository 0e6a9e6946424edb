//! Several instances of carbon.conf in one process: graphite-web and relays find every metric at every
//! port, each instance has its own metrics, two processes never answer for one instance, and what
//! single processes left in their journals comes back, whenever a kill cuts that short.
#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    clippy::disallowed_methods,
    reason = "a test builds its text simply, and sleeps before a kill"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::daemon::{Daemon, Ended, Querier, Setup, Way, python, wait_for};
use crate::first_use::now;
use crate::journal::{balance, benzene, kill};
use crate::power::Disk;
use crate::selfmetrics::{host, reports_by_time};
use crate::vitals::{file_points, is_long};

pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];

/// Where an instance listens.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) line: u16,
    pub(crate) pickle: u16,
    pub(crate) query: u16,
}

/// A carbon.conf with the instances a, which is [cache] alone, b and c.
pub(crate) struct Three {
    pub(crate) ports: [Ports; 3],
}

/// What holds points back for as long as a test takes.
pub(crate) const HELD: &str = "CACHE_WRITE_STRATEGY = timesorted\nMIN_TIMESTAMP_LAG = 1800\n";

pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Three {
    /// On ports that nobody has.
    pub(crate) fn new() -> Three {
        let free: Vec<TcpListener> = (0..9)
            .map(|_| TcpListener::bind(local(0)).unwrap())
            .collect();
        let port = |index: usize| free[index].local_addr().unwrap().port();
        let ports = [0, 3, 6].map(|from| Ports {
            line: port(from),
            pickle: port(from + 1),
            query: port(from + 2),
        });
        Three { ports }
    }

    /// The lines of [cache] and the other sections.
    fn conf(&self, more: &str) -> String {
        let mut conf = format!(
            "{more}LINE_RECEIVER_INTERFACE = 127.0.0.1\nPICKLE_RECEIVER_INTERFACE = 127.0.0.1\n\
             CACHE_QUERY_INTERFACE = 127.0.0.1\n"
        );
        for (name, ports) in NAMES.iter().zip(self.ports) {
            if *name != "a" {
                conf.push_str(&format!("[cache:{name}]\n"));
            }
            conf.push_str(&format!(
                "LINE_RECEIVER_PORT = {}\nPICKLE_RECEIVER_PORT = {}\nCACHE_QUERY_PORT = {}\n",
                ports.line, ports.pickle, ports.query
            ));
        }
        conf
    }

    pub(crate) fn setup(&self, more: &str, flags: &'static [&'static str]) -> Setup {
        Setup {
            own_ports: true,
            shards: Some(2),
            flags,
            schemas: Some("[all]\npattern = .*\nretentions = 1s:1d\n".to_owned()),
            ..Setup::conf(&self.conf(more))
        }
    }

    /// One process for all.
    pub(crate) fn start(&self, more: &str) -> Daemon {
        Daemon::start(&self.setup(more, &[]))
    }

    fn start_in(&self, more: &str, root: tempfile::TempDir) -> Daemon {
        Daemon::start_in(&self.setup(more, &[]), root)
    }
}

fn send(port: u16, text: &str) {
    let mut socket = TcpStream::connect(local(port)).unwrap();
    socket.write_all(text.as_bytes()).unwrap();
}

/// Asks for every metric at the port that graphite-web's ring says.
const CLIENT: &str = r#"
import os, sys
sys.path.insert(0, sys.argv[1])
os.environ["DJANGO_SETTINGS_MODULE"] = "graphite_settings"
os.environ["CARBONLINK_HOSTS"] = sys.argv[2]
from django.conf import settings
from graphite.carbonlink import CarbonLink
link = CarbonLink()
asked = {}
for line in open(sys.argv[3], encoding="utf-8", newline="\n"):
    metric, value, timestamp = line.split()
    got = link.query(metric)
    assert got == [(int(timestamp), float(value))], (metric, got)
    host = link.select_host(metric)
    asked[host] = asked.get(host, 0) + 1
assert not link.last_failure, link.last_failure
print(sum(asked.values()), len(asked), min(asked.values()))
"#;

#[test]
fn graphite_web_misses_none_of_ten_thousand_metrics_at_three_ports() {
    let three = Three::new();
    let daemon = three.start(HELD);
    let time = now();
    let lines: Vec<String> = (0..10_000_u32)
        .map(|metric| {
            // As it is asked for, tags in their order.
            let name = if metric % 2 == 0 {
                format!("site.host{}.m{metric}", metric % 97)
            } else {
                format!("disk.used;host=web{};rack=r{metric}", metric % 89)
            };
            format!("{name} {metric} {time}\n")
        })
        .collect();
    // To whichever port, as a relay does that hashes otherwise.
    for (part, ports) in three.ports.iter().enumerate() {
        let text: String = lines.iter().skip(part).step_by(3).cloned().collect();
        send(ports.line, &text);
    }
    for metric in ["site.host7.m9998", "disk.used;host=web31;rack=r9999"] {
        let _: Vec<_> = daemon.wait_for_points(metric, 1);
    }
    let mut querier = Querier::connect(daemon.query);
    for line in lines.iter().rev().take(300) {
        let name = line.split(' ').next().unwrap();
        wait_for(|| (querier.points(name).len() == 1).then_some(())).unwrap();
    }
    let wanted = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(wanted.path(), lines.concat()).unwrap();
    let hosts: Vec<String> = three
        .ports
        .iter()
        .zip(NAMES)
        .map(|(ports, name)| format!("127.0.0.1:{}:{name}", ports.query))
        .collect();
    let fixtures = benzene_fixtures::path("python");
    let arguments = [
        fixtures.to_str().unwrap(),
        &hosts.join(","),
        wanted.path().to_str().unwrap(),
    ];
    let said = python(CLIENT, &arguments);
    let counts: Vec<u32> = said
        .split_whitespace()
        .map(|it| it.parse().unwrap())
        .collect();
    let [asked, hosts, fewest] = counts[..] else {
        panic!("{said}")
    };
    assert_eq!((asked, hosts), (10_000, 3));
    assert!(fewest > 1_000, "the ring asked one host hardly: {said}");
}

#[test]
fn every_instance_has_its_own_metrics_and_their_sum_is_the_process_s() {
    let three = Three::new();
    let daemon = three.start("CARBON_METRIC_INTERVAL = 1\nCACHE_WRITE_STRATEGY = sorted\n");
    let time = now();
    // From the first report on everything counts for an interval.
    let last = format!("carbon.agents.{}-c.metricsReceived", host());
    let mut querier = Querier::connect(daemon.query);
    wait_for(|| (!querier.points(&last).is_empty()).then_some(())).unwrap();
    let mut open = Vec::new();
    for (index, ports) in three.ports.iter().enumerate() {
        let mut socket = TcpStream::connect(local(ports.line)).unwrap();
        for point in 0..10 * (u32::try_from(index).unwrap() + 1) {
            socket
                .write_all(format!("told.i{index}.m{point} 1 {time}\n").as_bytes())
                .unwrap();
        }
        open.push(socket);
        let mut querier = Querier::connect(local(ports.query));
        for _ in 0..=index {
            querier.points("told.apart");
        }
    }
    // Until what was sent has been reported.
    wait_for(|| {
        let points = querier.points(&last);
        points.iter().any(|(_, value)| *value > 0.0).then_some(())
    })
    .unwrap();
    let seen = querier.points(&last).iter().map(|(time, _)| *time).max();
    wait_for(|| {
        let points = querier.points(&last);
        points
            .iter()
            .any(|(time, _)| Some(*time) > seen)
            .then_some(())
    })
    .unwrap();
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let agents = ended.data().join("carbon/agents");
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for (index, name) in NAMES.iter().enumerate() {
        let directory = agents.join(format!("{}-{name}", host()));
        let reports = reports_by_time(&directory);
        let sum = |metric: &str| reports.values().map(|it| it[metric]).sum::<f64>();
        let number = u32::try_from(index).unwrap() + 1;
        let received = sum("metricsReceived");
        assert!(
            (received - f64::from(10 * number)).abs() < 0.5,
            "{name}: {received}"
        );
        let most = reports.values().map(|it| it["activeConnections"]);
        let most = most.fold(0.0, f64::max);
        assert!((most - 1.0).abs() < 0.5, "{name}: {most} connections");
        for metric in ["metricsReceived", "cache.queries"] {
            *sums.entry(metric.to_owned()).or_default() += sum(metric);
        }
        for report in reports.values() {
            let has = report.contains_key("memUsage");
            assert_eq!(has, index == 0, "{name}: {report:?}");
        }
    }
    // The process's own totals stand under the first.
    let reports = reports_by_time(&agents.join(format!("{}-a", host())));
    let last = reports.values().last().unwrap();
    for (python, ours) in [
        ("metricsReceived", "benzene.received"),
        ("cache.queries", "benzene.queries"),
    ] {
        assert!((sums[python] - last[ours]).abs() < 0.5, "{sums:?} {last:?}");
    }
}

/// Starts another daemon on the same carbon.conf; its exit code and log.
fn beside(daemon: &Daemon, words: &[&str]) -> (Option<i32>, String) {
    let conf = daemon.config();
    let output = benzene(&[&["cache", "--config", conf.to_str().unwrap()], words].concat());
    let log = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), log)
}

const NO_DOORS: [&str; 8] = [
    "--line", "off", "--udp", "off", "--pickle", "off", "--query", "off",
];

#[test]
fn nobody_answers_for_an_instance_beside_the_process_that_does() {
    for journal in ["", "JOURNAL = False\n"] {
        let three = Three::new();
        let daemon = three.start(journal);
        // Not even with ports of its own.
        let (code, log) = beside(&daemon, &[&["--instance", "b"], &NO_DOORS[..]].concat());
        assert_eq!(code, Some(8), "{log}");
        let pid = daemon.pid().to_string();
        for word in [
            "instance b is answered for by process",
            &pid,
            "a, b, c",
            "--instance away",
        ] {
            assert!(log.contains(word), "no {word:?} in {log}");
        }
        let (code, log) = beside(&daemon, &NO_DOORS);
        assert_eq!(code, Some(8), "{log}");
        assert!(log.contains("is in use by process"), "{log}");
        // One that is no part of it may run; `stop` ends none but the one that is meant.
        let conf = daemon.config();
        let stop = [
            "stop",
            "--config",
            conf.to_str().unwrap(),
            "--instance",
            "b",
        ];
        let output = benzene(&stop);
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && log.contains("a, b, c"), "{log}");
        let output = benzene(&stop[..3]);
        assert!(output.status.success(), "{output:?}");
        assert!(daemon.wait().status.success());

        let single = Daemon::start(&three.setup(journal, &["--instance", "b"]));
        let (code, log) = beside(&single, &NO_DOORS);
        assert_eq!(code, Some(8), "{log}");
        let pid = single.pid().to_string();
        for word in [
            "instance b runs by itself as process",
            &pid,
            "benzene stop --instance b",
        ] {
            assert!(log.contains(word), "no {word:?} in {log}");
        }
        assert!(single.stop().status.success());
    }
}

/// One process for each instance, each with points of its own that are in no file, killed.
fn killed_one_by_one(three: &Three, time: u32) -> tempfile::TempDir {
    killed_in(tempfile::tempdir().unwrap(), three, time)
}

fn killed_in(mut root: tempfile::TempDir, three: &Three, time: u32) -> tempfile::TempDir {
    const FLAGS: [&[&str]; 3] = [
        &["--instance", "a"],
        &["--instance", "b"],
        &["--instance", "c"],
    ];
    for ((name, ports), flags) in NAMES.iter().zip(three.ports).zip(FLAGS) {
        // What is answered is on the disk then.
        let conf = format!("{HELD}JOURNAL_SYNC = always\n");
        let daemon = Daemon::start_in(&three.setup(&conf, flags), root);
        let lines: String = (0..500)
            .map(|metric| format!("moved.{name}.m{metric} {metric} {time}\n"))
            .collect();
        send(ports.line, &lines);
        let mut querier = Querier::connect(daemon.query);
        for metric in 0..500 {
            let metric = format!("moved.{name}.m{metric}");
            wait_for(|| (querier.points(&metric).len() == 1).then_some(())).unwrap();
        }
        root = kill(daemon).root;
    }
    root
}

fn assert_moved(daemon: &Daemon, ports: Ports, time: u32) {
    let mut querier = Querier::connect(local(ports.query));
    for name in NAMES {
        for metric in 0..500 {
            let metric_name = format!("moved.{name}.m{metric}");
            let found = wait_for(|| Some(querier.points(&metric_name)).filter(|it| !it.is_empty()));
            let found = found.unwrap_or_else(|| panic!("no {metric_name}: {}", daemon.log()));
            assert_eq!(found, [(time, f64::from(metric))], "{metric_name}");
        }
    }
}

/// The other directories have nothing any more, not even the note.
fn wait_until_taken_over(daemon: &Daemon) {
    for name in ["b", "c"] {
        let directory = daemon.data().parent().unwrap().join("journal").join(name);
        let left = || {
            let files = std::fs::read_dir(&directory).unwrap();
            let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
            names.filter(|file| file != "lock").collect::<Vec<_>>()
        };
        wait_for(|| left().is_empty().then_some(()))
            .unwrap_or_else(|| panic!("{name} has {:?}: {}", left(), daemon.log()));
    }
}

fn assert_in_files(ended: &Ended, time: u32) {
    for name in NAMES {
        for metric in 0..500 {
            let file = ended.data().join(format!("moved/{name}/m{metric}.wsp"));
            let points = file_points(&file);
            assert_eq!(
                points,
                Some([(time, f64::from(metric))].into()),
                "{name} {metric}"
            );
        }
    }
}

#[test]
fn what_single_processes_left_in_their_journals_comes_back_to_one() {
    let (three, time) = (Three::new(), now());
    let mut root = killed_one_by_one(&three, time);
    // Cut short at some moments: before the start is done, in the middle of it, behind it.
    for pause_ms in [0, 1, 3, 10, 30, 100, 300] {
        // By poll: the kernel gives the memory of rings back a while after their process.
        let setup = Setup {
            way: Some(Way::Poll),
            ..three.setup(HELD, &[])
        };
        let daemon = Daemon::start_in(&setup, root);
        std::thread::sleep(Duration::from_millis(pause_ms));
        root = kill(daemon).root;
    }
    assert_taken_over_once(&three, root, time);
}

/// Each point comes back once and is written, however often the start before was cut short.
fn assert_taken_over_once(three: &Three, root: tempfile::TempDir, time: u32) {
    let daemon = three.start_in(HELD, root);
    assert_moved(&daemon, three.ports[2], time);
    wait_until_taken_over(&daemon);
    let ended = daemon.stop();
    let balance = balance(&ended.log);
    assert_eq!(
        (balance.replayed, balance.committed),
        (1500, 1500),
        "{}",
        ended.log
    );
    assert_in_files(&ended, time);
}

/// Root is needed, and mkfs.ext4.
#[test]
fn what_single_processes_left_survives_power_cuts_while_one_takes_it_over() {
    let (three, time) = (Three::new(), now());
    let disk = Disk::new("ext4");
    disk.mount();
    let home = tempfile::tempdir_in(&disk.at).unwrap();
    let mut root = killed_in(home, &three, time);
    let pauses_ms: &[u64] = if is_long() {
        &[0, 1, 3, 10, 30, 60, 100, 150, 200, 300, 500, 1_000]
    } else {
        &[3, 60, 1_000]
    };
    for pause_ms in pauses_ms {
        let daemon = three.start_in(HELD, root);
        std::thread::sleep(Duration::from_millis(*pause_ms));
        disk.cut();
        root = disk.start_again(kill(daemon));
    }
    assert_taken_over_once(&three, root, time);
    disk.unmount();
}

#[test]
fn what_one_process_left_comes_back_to_the_first_of_several() {
    let (three, time) = (Three::new(), now());
    let root = killed_one_by_one(&three, time);
    let daemon = three.start_in(HELD, root);
    assert_moved(&daemon, three.ports[1], time);
    wait_until_taken_over(&daemon);
    let ended = kill(daemon);
    let b = Daemon::start_in(&three.setup(HELD, &["--instance", "b"]), ended.root);
    let said = b.log();
    assert!(
        said.contains("points of instance b may be in the journal in") && said.contains("--drain"),
        "{said}"
    );
    let root = b.stop().root;
    let a = Daemon::start_in(&three.setup(HELD, &["--instance", "a"]), root);
    let said = a.log();
    assert!(
        said.contains("one process for the instances a, b, c"),
        "{said}"
    );
    assert_moved(&a, three.ports[0], time);
    let ended = a.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_in_files(&ended, time);
    // From here on nothing is to be said: all is in its file.
    let b = Daemon::start_in(&three.setup(HELD, &["--instance", "b"]), ended.root);
    assert!(!b.log().contains("may be in the journal"), "{}", b.log());
    assert!(b.stop().status.success());
}

#[test]
fn a_relay_of_the_file_that_runs_has_its_port_and_one_that_does_not_takes_none() {
    let three = Three::new();
    let Ports { line, pickle, .. } = three.ports[0];
    let relay = format!("[relay]\nLINE_RECEIVER_PORT = {line}\nPICKLE_RECEIVER_PORT = {pickle}\n");
    let start = || {
        let mut setup = three.setup("", &[]);
        // Behind the lines of [cache].
        setup.conf = setup
            .conf
            .replacen("[cache:b]", &format!("{relay}[cache:b]"), 1);
        Daemon::start(&setup)
    };
    let daemon = start();
    send(line, &format!("a.b 1 {}\n", now()));
    daemon.wait_for_points("a.b", 1);
    assert!(daemon.log().contains("[relay] (line "), "{}", daemon.log());
    assert!(daemon.stop().status.success());
    let relays = TcpListener::bind(local(line)).unwrap();
    let daemon = start();
    let log = daemon.log();
    let said = format!(
        "instance a does not listen for the line receiver (TCP) on 127.0.0.1:{line}: another process"
    );
    assert!(log.contains(&said), "{log}");
    assert!(log.contains(&format!(
        "pickle receiver listens on 127.0.0.1:{pickle} (instance a)"
    )));
    send(three.ports[1].line, &format!("a.b 1 {}\n", now()));
    daemon.wait_for_points("a.b", 1);
    assert!(daemon.stop().status.success());
    drop(relays);
}

/// Lets a file of an instance's journal be set aside; which directory is to be named.
fn set_aside_of(root: &Path, instance: &str) -> String {
    let directory = root.join("journal").join(instance);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("x.points.aside"), "points").unwrap();
    format!("set aside as {}/*.aside", directory.display())
}

#[test]
fn what_is_set_aside_in_a_directory_that_is_taken_over_is_named_at_each_start() {
    let (three, mut root) = (Three::new(), tempfile::tempdir().unwrap());
    let of_b = set_aside_of(root.path(), "b");
    for _ in 0..2 {
        let daemon = three.start_in("", root);
        assert!(daemon.log().contains(&of_b), "{}", daemon.log());
        root = daemon.stop().root;
    }
}

#[test]
fn what_is_set_aside_is_named_where_nobody_uses_the_directory() {
    let (three, root) = (Three::new(), tempfile::tempdir().unwrap());
    // No instance of carbon.conf.
    let of_d = set_aside_of(root.path(), "d");
    let daemon = three.start_in("", root);
    assert!(daemon.log().contains(&of_d), "{}", daemon.log());
    let root = daemon.stop().root;
    let of_a = set_aside_of(root.path(), "a");
    let daemon = three.start_in("JOURNAL = False\n", root);
    assert!(daemon.log().contains(&of_a), "{}", daemon.log());
    assert!(daemon.stop().status.success());
}

/// The files of a directory that are no lock, and no directory.
fn journal_files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let names = files.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name != "lock").collect()
}

#[test]
fn processes_of_one_carbon_conf_have_a_journal_each_below_journal_dir() {
    let (three, journals) = (Three::new(), tempfile::tempdir().unwrap());
    let conf = format!("JOURNAL_DIR = {}\n", journals.path().display());
    let of_a = Daemon::start(&three.setup(&conf, &["--instance", "a"]));
    let of_b = Daemon::start(&three.setup(&conf, &["--instance", "b"]));
    for name in ["a", "b"] {
        assert!(journals.path().join(name).join("lock").exists(), "{name}");
    }
    for daemon in [of_a, of_b] {
        assert!(daemon.stop().status.success());
    }
    assert_eq!(journal_files(journals.path()), [""; 0]);
}

#[test]
fn a_journal_in_journal_dir_itself_is_taken_over() {
    let (three, time) = (Three::new(), now());
    let journals = tempfile::tempdir().unwrap();
    let path: &'static str = journals.path().to_str().unwrap().to_owned().leak();
    let conf = format!("{HELD}JOURNAL_SYNC = always\nJOURNAL_DIR = {path}\n");
    let flags: &'static [&'static str] = vec!["--instance", "a", "--journal-dir", path].leak();
    let before = Daemon::start(&three.setup(&conf, flags));
    let lines = (0..500).map(|metric| format!("bare.m{metric} {metric} {time}\n"));
    send(three.ports[0].line, &lines.collect::<String>());
    let is_there = |daemon: &Daemon| {
        let mut querier = Querier::connect(daemon.query);
        for metric in 0..500 {
            let name = format!("bare.m{metric}");
            wait_for(|| (querier.points(&name).len() == 1).then_some(()))
                .unwrap_or_else(|| panic!("no {name}: {}", daemon.log()));
        }
    };
    is_there(&before);
    // As long as another process has it, it is left to that.
    let beside = Daemon::start(&three.setup(&conf, &["--instance", "c"]));
    assert!(
        beside.log().contains("is in use by another process"),
        "{}",
        beside.log()
    );
    assert!(beside.stop().status.success());
    let root = kill(before).root;
    assert_ne!(journal_files(journals.path()), [""; 0]);
    let after = Daemon::start_in(&three.setup(&conf, &["--instance", "b"]), root);
    is_there(&after);
    wait_for(|| journal_files(journals.path()).is_empty().then_some(()))
        .unwrap_or_else(|| panic!("{:?}: {}", journal_files(journals.path()), after.log()));
    let ended = after.stop();
    let balance = balance(&ended.log);
    assert_eq!(
        (balance.replayed, balance.committed),
        (500, 500),
        "{}",
        ended.log
    );
}
