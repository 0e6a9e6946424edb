//! whitelist.conf and blacklist.conf on the real daemon, beside what Python carbon's own
//! `regexlist` and `MetricReceiver` make of the same lists and names; exact counts over every
//! receiver; changes of the files while points come in.
#![expect(
    clippy::format_push_string,
    clippy::disallowed_methods,
    reason = "a test builds its text simply, and reads a clock"
)]

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use benzene_server::lists::{List, Lists, Verdict};

use crate::daemon::{Daemon, Querier, Setup, python, wait_for};
use crate::first_use::now;
use crate::vitals::Own;

/// How long Python carbon takes to notice a change of a list.
const BOUND: Duration = Duration::from_secs(10);

/// What carbon-cache itself says of names, given the two files: by its own lists, in its own order.
const JUDGE: &str = r"
import sys
from carbon import events, instrumentation, protocols
from carbon.conf import settings
from carbon.regexlist import BlackList, WhiteList
BlackList.list_file, WhiteList.list_file = sys.argv[1:3]
BlackList.read_list(); WhiteList.read_list()
settings.MIN_TIMESTAMP_RESOLUTION = 0
taken = []
events.metricReceived.handlers[:] = [lambda metric, datapoint: taken.append(metric)]
receiver = protocols.MetricReceiver.__new__(protocols.MetricReceiver)
receiver.resetTimeout = lambda: None
for name in open(sys.argv[3], encoding='utf-8', newline='\n').read().split('\n'):
    before = dict(instrumentation.stats)
    taken.clear()
    receiver.metricReceived(name, (1700000000.0, 1.0))
    grown = [key for key in ('blacklistMatches', 'whitelistRejects')
             if instrumentation.stats.get(key, 0) > before.get(key, 0)]
    print(grown[0] if grown else 'taken' if taken else 'lost')
";

fn by_python(blacklist: &str, whitelist: &str, names: &[&str]) -> Vec<Verdict> {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| -> String {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let files = [
        write("blacklist.conf", blacklist),
        write("whitelist.conf", whitelist),
        write("names", &names.join("\n")),
    ];
    let output = python(JUDGE, &files.each_ref().map(String::as_str));
    let verdicts = output
        .lines()
        .filter_map(|line| match line {
            "taken" => Some(Verdict::Admitted),
            "blacklistMatches" => Some(Verdict::Blacklisted),
            "whitelistRejects" => Some(Verdict::NotWhitelisted),
            // What the lists themselves log.
            _ => None,
        })
        .collect::<Vec<Verdict>>();
    assert_eq!(verdicts.len(), names.len(), "{output}");
    verdicts
}

fn ours(blacklist: &str, whitelist: &str) -> Lists {
    let parse = |text| List::parse(Path::new("list"), text).unwrap().0;
    Lists {
        blacklist: parse(blacklist).into(),
        whitelist: parse(whitelist).into(),
    }
}

/// As senders write them: canonical ones and others that are the same metric, tags in any order.
const NAMES: &[&str] = &[
    "stats.web1.load",
    "stats..web1.load",
    ".stats.web1.load",
    "stats/web1/load",
    "stats.gauges.temp",
    "stats.gauges.debug.x",
    "carbon.agents.x-a.size",
    "disk.used;host=web1;dc=fra",
    "disk.used;dc=fra;host=web1",
    "disk.used{dc=\"fra\"}",
    "~odd",
    "COUNT.a",
    "count.a",
    "caf\u{e9}.\u{130}",
    "#three",
    "a.b.tmp",
    "a.b.tmp.c",
    "jobs.123",
    "jobs.\u{661}\u{662}",
    "twin.twin",
    "twin.other",
];

/// Pairs of a blacklist and a whitelist.
const LISTS: &[(&str, &str)] = &[
    ("", ""),
    ("^stats\\.gauges\\.\n", ""),
    ("# all\n  \\.tmp$  \n\n", "# none\n\n"),
    ("#three\n", "stats\n"),
    (" #three\n", "stats\n\n #three"),
    ("^stats\\.\\.web1", ""),
    ("", "^stats\\.web1\\.load$\r\n^disk\\.used;host"),
    ("^(?!stats\\.)", "load$"),
    (";dc=fra(;|$)", "^disk"),
    ("(\n[z-a]\n*x\n^count", ""),
    ("(?i)^COUNT", "^(\\w+)\\.\\1$\ncount\n(?<=jobs\\.)\\d+$"),
    ("^jobs\\.\\d+$\rtmp\\Z", ""),
    ("caf.\\.", "."),
];

#[test]
fn verdicts_are_those_of_pythons_regexlist() {
    for (blacklist, whitelist) in LISTS {
        let expected = by_python(blacklist, whitelist, NAMES);
        let lists = ours(blacklist, whitelist);
        for (name, expected) in NAMES.iter().zip(expected) {
            assert_eq!(
                lists.judge(name).verdict,
                expected,
                "{name:?} by {blacklist:?} and {whitelist:?}"
            );
        }
    }
}

const BLACKLIST: &str =
    "# what nobody reads\n^stats\\.gauges\\.debug\n\\.tmp$\n^stats\\.\\.\n(\n;host=web1;dc=fra$\n";
const WHITELIST: &str = "^stats[./]\n^disk\\.used\n^a\\.b\n";

/// A daemon with these lists in files of its own.
fn daemon(lists: &[(&str, &str)], conf: &str) -> Daemon {
    daemon_of(2, lists, conf)
}

fn daemon_of(shards: usize, lists: &[(&str, &str)], conf: &str) -> Daemon {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in lists {
        std::fs::write(root.path().join(name), text).unwrap();
    }
    let setup = Setup {
        shards: Some(shards),
        ..Setup::conf(&format!(
            "USE_WHITELIST = True\nCARBON_METRIC_INTERVAL = 1\n{conf}"
        ))
    };
    Daemon::start_in(&setup, root)
}

const SEND: &str = r"
import pickle, socket, struct, sys
line, udp, frames, time, path = *map(int, sys.argv[1:5]), sys.argv[5]
names = open(path, encoding='utf-8').read().split('\n')
stream = socket.create_connection(('127.0.0.1', line))
batches = socket.create_connection(('127.0.0.1', frames))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for back in range(3):
    text = ''.join(f'{name} 1 {time - back}\n' for name in names).encode()
    stream.sendall(text)
    datagrams.sendto(text, ('127.0.0.1', udp))
    body = pickle.dumps([(name, (time - back, 1)) for name in names], protocol=2)
    batches.sendall(struct.pack('!L', len(body)) + body)
";

#[test]
fn counts_are_exact_over_line_pickle_and_udp() {
    let daemon = daemon(
        &[("blacklist.conf", BLACKLIST), ("whitelist.conf", WHITELIST)],
        "",
    );
    let log = daemon.log();
    assert!(
        log.contains("blacklist.conf: line 5: `(` is left out"),
        "{log}"
    );
    assert!(log.contains("blacklist.conf has 4 patterns"), "{log}");
    let names = daemon.config().with_file_name("names");
    std::fs::write(&names, NAMES.join("\n")).unwrap();
    let ports = [daemon.line, daemon.udp, daemon.pickle].map(|at| at.port().to_string());
    let [line, udp, pickle] = ports.each_ref().map(String::as_str);
    let time = now().to_string();
    python(SEND, &[line, udp, pickle, &time, names.to_str().unwrap()]);

    let verdicts = by_python(BLACKLIST, WHITELIST, NAMES);
    let count = |wanted| verdicts.iter().filter(|it| **it == wanted).count() as u64 * 3 * 3;
    let expected = [
        count(Verdict::Admitted),
        count(Verdict::Blacklisted),
        count(Verdict::NotWhitelisted),
    ];
    assert!(expected.iter().all(|count| *count > 0), "{expected:?}");
    // Our own metrics are on no list, and are there.
    let counters = ["received", "refused.blacklist", "refused.whitelist"];
    let counters = counters.map(|name| format!("benzene.{name}"));
    let mut own = Own::of(&daemon);
    own.wait_until(&counters.each_ref().map(String::as_str), |values| {
        values == expected
    });
    // The raw name is judged: of two names of one metric one came through.
    assert_eq!(daemon.points("stats.web1.load").len(), 3);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    for (name, count) in ["refused.blacklist", "refused.whitelist"]
        .iter()
        .zip(&expected[1..])
    {
        assert!(
            ended.log.contains(&format!("{name} {count}")),
            "{}",
            ended.log
        );
    }
    let python = ["blacklistMatches", "whitelistRejects"];
    let reports = crate::selfmetrics::all_reports(&ended.data());
    for (name, count) in python.iter().zip(&expected[1..]) {
        let sum: f64 = reports.iter().filter_map(|report| report.get(*name)).sum();
        let whole = f64::from(u32::try_from(*count).unwrap());
        assert!((sum - whole).abs() < 0.5, "{name}: {sum} of {count}");
    }
}

/// A sender that repeats its order, so that its metrics are foreseen.
struct Sender {
    socket: TcpStream,
    rounds: u64,
    time: u32,
}

const KEPT: u64 = 40;
const SPAM: u64 = 60;

impl Sender {
    fn round(&mut self) {
        let mut text = String::new();
        for metric in 0..KEPT + SPAM {
            let kind = if metric % 5 < 2 { "kept" } else { "spam" };
            text += &format!("{kind}.m{metric} 1 {}\n", self.time);
        }
        self.time -= 1;
        self.rounds += 1;
        self.socket.write_all(text.as_bytes()).unwrap();
    }

    fn rounds(&mut self, count: u32) {
        for _ in 0..count {
            self.round();
        }
    }
}

const COUNTERS: [&str; 2] = ["benzene.received", "benzene.refused.blacklist"];

/// Sends rounds until points are refused, or none are any more, and then some; both counters are
/// exact from then on.
fn changed(own: &mut Own, sender: &mut Sender, refused: bool) {
    // All that was sent before is counted.
    let before = own.wait_until(&COUNTERS, |values| {
        values[0] + values[1] == sender.rounds * (KEPT + SPAM)
    });
    sender.rounds(50);
    let after = own.wait_until(&COUNTERS, |values| {
        values[0] + values[1] == sender.rounds * (KEPT + SPAM)
    });
    let grown: Vec<u64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
    let expected = if refused {
        [50 * KEPT, 50 * SPAM]
    } else {
        [50 * (KEPT + SPAM), 0]
    };
    assert_eq!(grown, expected);
}

/// Waits for the log's word of a change, which is there within the bound.
fn noticed(daemon: &mut Daemon, word: &str, change: impl FnOnce(&Path)) {
    let path = blacklist(daemon);
    let begin = Instant::now();
    change(&path);
    daemon.wait_for_log(word);
    assert!(begin.elapsed() < BOUND, "{:?}: {word}", begin.elapsed());
}

fn blacklist(daemon: &Daemon) -> PathBuf {
    daemon.config().with_file_name("blacklist.conf")
}

#[test]
fn what_is_known_is_judged_anew_when_a_list_changes() {
    let mut daemon = daemon(&[], "");
    let mut own = Own::of(&daemon);
    let mut sender = Sender {
        socket: daemon.connect(),
        rounds: 0,
        time: now(),
    };
    sender.rounds(20);
    changed(&mut own, &mut sender, false);
    noticed(
        &mut daemon,
        "has one pattern; names are judged anew",
        |path| {
            std::fs::write(path, "^spam\\.\n").unwrap();
        },
    );
    changed(&mut own, &mut sender, true);
    // Replaced by a rename, as editors and configuration tools do.
    noticed(
        &mut daemon,
        "has 2 patterns; names are judged anew",
        |path| {
            let new = path.with_extension("new");
            std::fs::write(&new, "^nothing\n^spa.\\.\n").unwrap();
            std::fs::rename(&new, path).unwrap();
        },
    );
    changed(&mut own, &mut sender, true);
    // A bad line is said and left out, the others hold.
    noticed(
        &mut daemon,
        "blacklist.conf: line 2: `(?P<` is left out",
        |path| {
            std::fs::write(path, "^spam\n(?P<\n").unwrap();
        },
    );
    changed(&mut own, &mut sender, true);
    // A file that cannot be read changes nothing, and is said once.
    noticed(&mut daemon, "names are received as before: ", |path| {
        std::fs::write(path, b"\xff\xfe^kept").unwrap();
    });
    own.wait_until(&["benzene.config.refusedFiles"], |values| values[0] == 1);
    changed(&mut own, &mut sender, true);
    noticed(&mut daemon, "what it says is what holds", |path| {
        std::fs::write(path, "^spam\n(?P<\n").unwrap();
    });
    own.wait_until(&["benzene.config.refusedFiles"], |values| values[0] == 0);
    noticed(
        &mut daemon,
        "has no pattern; names are judged anew",
        |path| {
            std::fs::remove_file(path).unwrap();
        },
    );
    changed(&mut own, &mut sender, false);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let said = |word: &str| ended.log.matches(word).count();
    assert_eq!(said("names are received as before"), 1, "{}", ended.log);
    assert_eq!(said("names are judged anew"), 4, "{}", ended.log);
}

#[test]
fn flags_name_the_lists_and_a_pattern_without_end_is_given_up_on() {
    let root = tempfile::tempdir().unwrap();
    let black = root.path().join("black.list");
    std::fs::write(&black, "^(a|a)+(?=[.!])$\n^b\n").unwrap();
    std::fs::write(root.path().join("blacklist.conf"), "^c\n").unwrap();
    let flags = ["--blacklist", black.to_str().unwrap()].map(|flag| &*flag.to_owned().leak());
    let setup = Setup {
        flags: Vec::leak(flags.to_vec()),
        ..Setup::conf("USE_WHITELIST = True")
    };
    let mut daemon = Daemon::start_in(&setup, root);
    let endless = "a".repeat(80);
    let time = now();
    daemon.send(&format!("{endless} 1 {time}\nb.x 1 {time}\nc.x 1 {time}\n"));
    daemon.wait_for_points("c.x", 1);
    assert_eq!(daemon.wait_for_points(&endless, 1).len(), 1);
    assert_eq!(daemon.points("b.x"), []);
    daemon.wait_for_log("black.list line 1: `^(a|a)+(?=[.!])$` backtracks too long");
    let ended = daemon.stop();
    assert!(ended.log.contains("lists.gaveUp 1"), "{}", ended.log);
}

/// A word at which each of the slow patterns is given up on.
const WORD: &str = "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm";
const SLOW_PATTERNS: usize = 4;
const ROUNDS: u32 = 30;

/// On one core: what is known would wait behind all names of the slice of bytes that brought it.
#[test]
fn new_names_and_many_patterns_lose_nothing_and_let_queries_pass() {
    let mut patterns = "^(\\w|\\w)+(?=[?!])$\n".repeat(SLOW_PATTERNS);
    for app in 0..500 {
        patterns += &format!("^apps\\.app{app}\\.\n");
    }
    patterns += "\\.spam$\n";
    let daemon = daemon_of(1, &[("blacklist.conf", &patterns)], "");
    let time = now();
    let mut text = String::new();
    for round in 1..=ROUNDS {
        let new = format!("{WORD}.m{round}");
        text += &format!("{new} 1 {time}\n{new}.spam 1 {time}\nlast {round} {time}\n");
    }
    let mut querier = Querier::connect(daemon.query);
    daemon.send(&text);
    // The points of `last` come in their order, and queries are answered between them.
    let (mut last, mut between) = (0.0, 0);
    let arrived = wait_for(|| {
        let (_, value) = *querier.points("last").last()?;
        assert!(value >= last, "{value} after {last}");
        last = value;
        between += u32::from(value < f64::from(ROUNDS));
        (value >= f64::from(ROUNDS)).then_some(())
    });
    assert!(arrived.is_some(), "the last that came is {last}");
    assert!(between > 0, "all came at once");

    // The same names by every receiver at once, each of which waits by itself.
    let names: Vec<String> = (0..20)
        .map(|number| format!("{WORD}.n{number}{}", ["", ".spam"][number % 2]))
        .collect();
    let file = daemon.config().with_file_name("names");
    std::fs::write(&file, names.join("\n")).unwrap();
    let ports = [daemon.line, daemon.udp, daemon.pickle].map(|at| at.port().to_string());
    let [line, udp, pickle] = ports.each_ref().map(String::as_str);
    let (path, time) = (file.to_str().unwrap(), time.to_string());
    python(SEND, &[line, udp, pickle, &time, path]);
    let counters = ["benzene.received", "benzene.refused.blacklist"];
    let (rounds, each) = (u64::from(ROUNDS), 3 * 3 * 10);
    Own::of(&daemon).wait_until(&counters, |values| {
        values == [2 * rounds + each, rounds + each]
    });
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
}

#[test]
fn without_use_whitelist_no_list_is_read() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("blacklist.conf"), ".\n").unwrap();
    let flags: &'static [&'static str] = &["--whitelist", "/nowhere"];
    let setup = Setup {
        flags,
        ..Setup::default()
    };
    let daemon = Daemon::start_in(&setup, root);
    daemon.send(&format!("a.b 1 {}\n", now()));
    daemon.wait_for_points("a.b", 1);
    let log = daemon.log();
    assert!(
        log.contains("--blacklist act only with USE_WHITELIST = True"),
        "{log}"
    );
    assert!(wait_for(|| daemon.file("a.b").exists().then_some(())).is_some());
}
