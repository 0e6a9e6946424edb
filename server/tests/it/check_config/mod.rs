//! `benzene check-config`: twenty-seven broken files, each with every message that it must bring: the
//! line, what is wrong and how to mend it, and no other; the way of a metric; existing files; codes.
//! The program itself is run, as a script would, and its JSON read.

mod broken;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::daemon::{Daemon, Setup, program, python, wait_for};
use broken::BROKEN;

/// Runs the check; its exit code and its JSON.
fn check(arguments: &[&str]) -> (i32, Value) {
    check_in(Path::new("."), arguments)
}

/// The same, in a directory.
fn check_in(directory: &Path, arguments: &[&str]) -> (i32, Value) {
    let output = program()
        .current_dir(directory)
        .args(["check-config", "--json"])
        .args(arguments)
        .env_remove("GRAPHITE_ROOT")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let json = serde_json::from_slice(&output.stdout);
    let json = json.unwrap_or_else(|error| panic!("{error}: {errors}"));
    (output.status.code().unwrap(), json)
}

fn fixture(name: &str) -> String {
    let path = benzene_fixtures::path(&format!("carbon/{name}"));
    path.into_os_string().into_string().unwrap()
}

/// What is said of a file beyond what is as it should be.
fn messages(report: &Value, file: &str) -> Vec<(String, u64, String)> {
    let findings = report["findings"].as_array().unwrap().iter();
    let of_file = findings.filter(|finding| finding["file"] == file);
    of_file
        .map(|finding| {
            (
                finding["level"].as_str().unwrap().to_owned(),
                finding["line"].as_u64().unwrap_or(0),
                finding["text"].as_str().unwrap().to_owned(),
            )
        })
        .filter(|(level, _, _)| level == "error" || level == "warning")
        .collect()
}

#[test]
fn every_message_on_broken_files_names_line_fault_and_mend() {
    let directory = benzene_fixtures::path("carbon/broken");
    let files = fs::read_dir(directory).unwrap().count();
    assert_eq!(files, BROKEN.len(), "each file stands in the table");
    let (schemas, aggregation) = (
        fixture("storage-schemas.conf.example"),
        fixture("storage-aggregation.conf.example"),
    );
    for (name, wanted) in BROKEN {
        let file = fixture(&format!("broken/{name}"));
        let (code, report) = check(&[&file, &schemas, &aggregation]);
        let found = messages(&report, &file);
        assert_eq!(found.len(), wanted.len(), "{name}: {found:#?}");
        for ((level, line, text), (want_level, want_line, words)) in found.iter().zip(*wanted) {
            assert_eq!(
                (level.as_str(), line),
                (*want_level, want_line),
                "{name}: {text}"
            );
            let mut rest = text.as_str();
            for word in *words {
                let at = rest.find(word);
                let at = at.unwrap_or_else(|| panic!("{name}: no {word:?} in its place in {text}"));
                rest = &rest[at + word.len()..];
            }
        }
        let errors = wanted.iter().any(|(level, _, _)| *level == "error");
        assert_eq!(code, if errors { 3 } else { 0 }, "{name}");
        assert_eq!(report["exit"], code);
        assert_eq!(report["sound"], !errors);
        let (strict, _) = check(&["--strict", &file, &schemas, &aggregation]);
        assert_eq!(strict, if errors { 3 } else { 1 }, "{name} --strict");
    }
}

/// Where the daemon refuses to start, the check says so, and the other way round.
#[test]
fn the_check_and_the_start_agree() {
    let directory = tempfile::tempdir().unwrap();
    let conf = directory.path().join("carbon.conf");
    for name in ["storage-schemas.conf", "storage-aggregation.conf"] {
        let example = fixture(&format!("{name}.example"));
        fs::copy(example, directory.path().join(name)).unwrap();
    }
    for (name, _) in BROKEN
        .iter()
        .filter(|(name, _)| name.contains(".carbon.conf"))
    {
        fs::copy(fixture(&format!("broken/{name}")), &conf).unwrap();
        let (code, report) = check(&[conf.to_str().unwrap()]);
        let mut doctor = program();
        doctor.args(["doctor", "--json", "--config"]).arg(&conf);
        let told = doctor.output().unwrap();
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        let refused = told["findings"][0]["level"] == "fail";
        let in_cache = messages(&report, conf.to_str().unwrap())
            .iter()
            .any(|(level, _, text)| {
                level == "error"
                    && !text.starts_with("[relay]")
                    && !text.starts_with("[aggregator]")
            });
        // Python's daemon of instance a does not read [cache:b], nor ours; the check does.
        assert_eq!(refused, in_cache, "{name}: {told}");
        assert_eq!(code == 3, in_cache || name.contains("relay"), "{name}");
    }
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path.into_os_string().into_string().unwrap()
}

/// The settings are those of the file that was read, by whatever way it is named.
#[test]
fn a_carbon_conf_is_found_by_every_way_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::create_dir(at.join("a")).unwrap();
    write(at, "storage-schemas.conf", "");
    write(at, "storage-aggregation.conf", "");
    write(at, "carbon.conf", "[cache]\n[cache:b]\n");
    let whole = at.join("a/../carbon.conf");
    for way in [
        "carbon.conf",
        "./carbon.conf",
        "a/../carbon.conf",
        "a/.././carbon.conf",
    ]
    .into_iter()
    .chain(whole.to_str())
    {
        let (code, report) = check_in(at, &[way]);
        assert_eq!((code, messages(&report, way)), (0, vec![]), "{way}");
    }
    // What the start says stands at its line, without the file's name once more.
    write(at, "carbon.conf", "[cache]\nINSTANCES = a, a\n");
    for way in ["carbon.conf", "./carbon.conf", "a/../carbon.conf"] {
        let (code, report) = check_in(at, &[way]);
        let found = messages(&report, way);
        let [(level, line, text)] = &found[..] else {
            panic!("{way}: {found:?}")
        };
        assert_eq!(
            (code, level.as_str(), *line),
            (3, "error", 2),
            "{way}: {text}"
        );
        assert!(!text.contains("carbon.conf"), "{way}: {text}");
    }
}

/// A process for each instance is a way to run them, and where they differ the only one.
#[test]
fn instances_that_differ_run_one_by_one_and_that_is_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    write(at, "storage-schemas.conf", "");
    write(at, "storage-aggregation.conf", "");
    let ports = "LINE_RECEIVER_PORT = 2103\nPICKLE_RECEIVER_PORT = 2104\nCACHE_QUERY_PORT = 7102\n";
    let text = |of_b: &str| {
        format!("[cache]\nCACHE_WRITE_STRATEGY = max\n[cache:a]\n[cache:b]\n{ports}{of_b}")
    };
    let conf = write(at, "carbon.conf", &text("CACHE_WRITE_STRATEGY = sorted\n"));
    let (code, report) = check(&[&conf]);
    let found = messages(&report, &conf);
    let [(level, _, said)] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((code, level.as_str()), (0, "warning"), "{said}");
    for word in [
        "one by one",
        "--instance",
        "CACHE_WRITE_STRATEGY of instance b",
        "max",
    ] {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    assert_eq!(check(&["--strict", &conf]).0, 1);
    // One that does not run by itself either is a fault.
    let wrong = "CACHE_WRITE_STRATEGY = sorted\nLOCAL_DATA_DIRS = x=/srv/a, x=/srv/b\n";
    let conf = write(at, "carbon.conf", &text(wrong));
    let (code, report) = check(&[&conf]);
    let found = messages(&report, &conf);
    assert_eq!(code, 3, "{found:?}");
    assert!(
        found.iter().all(|(level, _, _)| level == "error"),
        "{found:?}"
    );
}

/// The sections of storage-schemas.conf name data directories of carbon.conf, or the start refuses.
#[test]
fn a_data_directory_that_carbon_conf_does_not_list_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let conf = write(
        at,
        "carbon.conf",
        "[cache]\nLOCAL_DATA_DIRS = ssd=/srv/nvme, /srv/disk\n",
    );
    let schemas = "[fast]\npattern = ^a\nretentions = 10s:1h\nvolume = ssd\n\n\
                   [slow]\npattern = ^b\nretentions = 60s:1d\nvolume = hdd\n\n\
                   [path]\npattern = ^c\nretentions = 60s:1d\nvolume = /srv/disk/\n\n\
                   [typo]\npattern = ^d\nretentions = 60s:1d\nvolume = /srv/dsik\n";
    let schemas = write(at, "storage-schemas.conf", schemas);
    write(at, "storage-aggregation.conf", "");
    let (code, report) = check(&[&conf, "--metric", "a.b"]);
    let found = messages(&report, &schemas);
    let said = |index: usize, line, word: &str| {
        let (level, at, text) = &found[index];
        assert_eq!((level.as_str(), *at), ("error", line), "{text}");
        assert!(text.contains(word), "{text}");
        let known = "there are ssd (/srv/nvme), /srv/disk: name one of these, or take the line out";
        assert!(text.contains(known), "{text}");
    };
    assert_eq!((code, found.len()), (3, 2), "{found:?}");
    said(0, 9, "[slow] volume 'hdd'");
    said(1, 19, "[typo] volume '/srv/dsik'");
    let gives = report["metrics"][0]["schema"]["gives"].as_str().unwrap();
    assert!(gives.ends_with(" bytes a file, in ssd"), "{gives}");
    // Without LOCAL_DATA_DIRS there is one, and without a carbon.conf nobody knows.
    write(at, "carbon.conf", "[cache]\nLOCAL_DATA_DIR = /srv/nvme\n");
    let (code, report) = check(&[&conf]);
    let found = messages(&report, &schemas);
    assert_eq!((code, found.len()), (3, 4), "{found:?}");
    let only = "is only /srv/nvme (LOCAL_DATA_DIRS lists several)";
    assert!(found[0].2.contains(only), "{found:?}");
    assert_eq!(check(&[&schemas]).0, 0);
}

/// `[DEFAULT]` with a pattern is a rule in its place, as in Python carbon.
#[test]
fn a_default_section_that_takes_every_metric_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let conf = write(at, "carbon.conf", "[cache]\n");
    let schemas = "[a]\npattern = ^a\nretentions = 10s:1h\n[DEFAULT]\npattern = .*\n\
                   retentions = 60s:1y\n[z]\npattern = ^z\nretentions = 1s:1h\n";
    let schemas = write(at, "storage-schemas.conf", schemas);
    write(at, "storage-aggregation.conf", "");
    let (code, report) = check(&[&conf, "--metric", "z.b"]);
    let found = messages(&report, &schemas);
    assert_eq!((code, found.len()), (0, 1), "{found:?}");
    let (level, line, text) = &found[0];
    assert_eq!((level.as_str(), *line), ("warning", 7), "{text}");
    let said = "[z] is never reached: [DEFAULT] above takes every metric";
    assert!(text.starts_with(said), "{text}");
    assert_eq!(report["metrics"][0]["schema"]["section"], "DEFAULT");
    assert_eq!(report["metrics"][0]["schema"]["line"], 4);
}

#[test]
fn a_metric_is_followed_through_lists_schemas_and_rules() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let conf = write(
        at,
        "carbon.conf",
        "[cache]\nUSE_WHITELIST = True\n[relay]\nDESTINATIONS = 127.0.0.1:2004:a, h:2104:b\n\
         [aggregator]\nFORWARD_ALL = True\n",
    );
    let schemas = "[carbon]\npattern = ^carbon\\.\nretentions = 60s:90d\n\n\
                   [all]\npattern = .*\nretentions = 10s:6h,1m:7d\n";
    write(at, "storage-schemas.conf", schemas);
    write(
        at,
        "storage-aggregation.conf",
        "[sum]\npattern = \\.count$\nxFilesFactor = 0\naggregationMethod = sum\n",
    );
    write(at, "blacklist.conf", "# none of these\n^scratch\\.\n");
    write(
        at,
        "relay-rules.conf",
        "[web]\npattern = ^WEB\\.\ndestinations = h:2104:b\ncontinue = true\n\
         [rest]\ndefault = true\ndestinations = 127.0.0.1:2004:a\n",
    );
    write(
        at,
        "aggregation-rules.conf",
        "all.count (60) = sum web.*.count\n",
    );
    write(at, "rewrite-rules.conf", "[pre]\n^web = www\n");
    let (code, report) = check(&[
        &conf,
        "--metric",
        "web.n1.count",
        "--metric",
        "scratch.x",
        "--metric",
        "a..b;c=d",
        "--metric",
        "carbon.agents.h-a.creates",
    ]);
    assert_eq!(code, 0, "{report:#}");
    let metrics = &report["metrics"];
    let web = &metrics[0];
    assert_eq!(web["file"], "web/n1/count.wsp");
    assert_eq!(web["schema"]["section"], "all");
    assert_eq!(web["schema"]["line"], 5);
    let gives = web["schema"]["gives"].as_str().unwrap();
    assert!(gives.starts_with("10s:6h,1m:7d, "), "{gives}");
    assert_eq!(web["aggregation"]["gives"], "sum, xFilesFactor 0");
    let before: Vec<&str> = web["before"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(
        before,
        [
            "carbon-aggregator rewrites it by line 2: ^web = www",
            "carbon-aggregator counts it in line 1: all.count (60) = sum web.*.count",
            "carbon-relay sends it to h:2104:b by [web]",
            "carbon-relay sends it to 127.0.0.1:2004:a by [rest]",
        ]
    );
    assert_eq!(metrics[1]["refused"], "blacklist line 2: ^scratch\\.");
    assert_eq!(metrics[2]["name"], "a..b;c=d");
    assert_eq!(metrics[3]["schema"]["section"], "carbon");
    assert_eq!(metrics[3]["aggregation"]["line"], Value::Null);
}

/// Files that a daemon has made, a rule that changes, and files that are none.
#[test]
fn existing_files_that_new_ones_would_not_be_like_are_counted_and_named() {
    let setup = Setup {
        schemas: Some("[all]\npattern = .*\nretentions = 1s:6h\n".to_owned()),
        ..Setup::default()
    };
    let daemon = Daemon::start(&setup);
    daemon.send("a.b 1 -1\na.c 2 -1\na.count 3 -1\nt;x=y 1 -1\n");
    let made = || {
        let there = ["a.b", "a.c", "a.count"]
            .iter()
            .all(|name| daemon.file(name).exists());
        (there && daemon.data().join("_tagged").exists()).then_some(())
    };
    wait_for(made).expect("the files are made");
    let ended = daemon.stop();
    let data = ended.data();
    fs::write(data.join("a/broken.wsp"), "no header").unwrap();
    let resize = "import sys, whisper\nwhisper.setAggregationMethod(sys.argv[1], 'max', 0.25)\n";
    python(resize, &[data.join("a/c.wsp").to_str().unwrap()]);
    let conf = ended.root.path().join("carbon.conf");
    let schemas = "[count]\npattern = count$\nretentions = 1s:1h\n\n[all]\npattern = .*\nretentions = 1s:6h\n";
    write(ended.root.path(), "storage-schemas.conf", schemas);
    let conf = conf.to_str().unwrap();
    let (code, report) = check(&["--files", conf]);
    let existing = &report["existing"][0];
    let counted = |name: &str| existing[name].as_u64().unwrap();
    // Own metrics may have been written too; they agree.
    assert_eq!(counted("files") - counted("agree"), 4, "{existing:#}");
    assert_eq!(counted("retentions"), 1, "{existing:#}");
    assert_eq!(counted("method"), 1);
    assert_eq!(counted("x_files_factor"), 1);
    assert_eq!(counted("unnamed"), 1);
    assert_eq!(counted("unreadable"), 1);
    let examples = existing["examples"].as_array().unwrap();
    let of = |file: &str| {
        let found = examples.iter().find(|example| example["file"] == file);
        found.unwrap_or_else(|| panic!("no {file} in {examples:?}"))["differs"].clone()
    };
    assert_eq!(of("a/count.wsp"), "has 1s:6h, [count] gives 1s:1h");
    assert_eq!(
        of("a/c.wsp"),
        "has xFilesFactor 0.25, [default] gives 0.5; has max, [default] gives average"
    );
    assert_eq!(code, 0, "existing files are no error");
    let (strict, _) = check(&["--files", "--strict", conf]);
    assert_eq!(strict, 1);
}

/// Two data directories, and links that lead in circles and from one into the other.
#[test]
fn every_data_directory_is_looked_at_and_every_file_once() {
    let root = tempfile::tempdir().unwrap();
    let at = |place: &str| root.path().join(place);
    let header = "\0\0\0\u{1}\0\0\0\u{3c}\0\0\0\0\0\0\0\u{1}";
    for place in ["one/a/x.wsp", "two/a/y.wsp", "two/a/z.wsp"] {
        fs::create_dir_all(at(place).parent().unwrap()).unwrap();
        fs::write(at(place), header).unwrap();
    }
    for (target, link) in [
        ("one", "one/x"),
        ("one", "one/y"),
        ("one/a", "one/alias"),
        ("two/a", "one/far"),
    ] {
        std::os::unix::fs::symlink(at(target), at(link)).unwrap();
    }
    let conf = format!(
        "[cache]\nLOCAL_DATA_DIRS = one={0}/one, two={0}/two, three={0}/three\n",
        root.path().display()
    );
    let conf = write(root.path(), "carbon.conf", &conf);
    write(
        root.path(),
        "storage-schemas.conf",
        "[all]\npattern = .*\nretentions = 1s:6h\n",
    );
    let (code, report) = check(&["--files", &conf]);
    let counted: Vec<_> = report["existing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|existing| (&existing["directory"], existing["files"].as_u64().unwrap()))
        .collect();
    let (one, two) = (at("one"), at("two"));
    let wanted = [(one.to_str(), 1), (two.to_str(), 2)];
    let wanted = wanted.map(|(path, files)| (Value::from(path.unwrap()), files));
    let wanted: Vec<_> = wanted.iter().map(|(path, files)| (path, *files)).collect();
    assert_eq!(counted, wanted, "{report:#}");
    // One that is not there is said, and keeps none of the others from being looked at.
    assert_eq!(code, 3, "{report:#}");
    let found = messages(&report, at("three").to_str().unwrap());
    assert!(found[0].2.contains("see --data-dir"), "{found:?}");
}

/// What decides is what the daemon would do, whichever section says so.
#[test]
fn lists_that_an_instance_turns_on_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    write(
        at,
        "storage-schemas.conf",
        "[all]\npattern = .*\nretentions = 1s:1h\n",
    );
    write(at, "storage-aggregation.conf", "");
    let list = write(at, "blacklist.conf", "^scratch\\.\n");
    for (conf, read) in [
        ("[cache]\n[cache:a]\nUSE_WHITELIST = True\n", true),
        (
            "[cache]\nUSE_WHITELIST = True\n[cache:a]\nUSE_WHITELIST = False\n",
            false,
        ),
        // The start refuses it, and the list is looked at all the same.
        (
            "[cache]\nUSE_WHITELIST = True\nLINE_RECEIVER_PORT = no\n",
            true,
        ),
    ] {
        let conf = write(at, "carbon.conf", conf);
        let (_, report) = check(&[&conf, "--metric", "scratch.x"]);
        let findings = report["findings"].as_array().unwrap().iter();
        let not_read = findings
            .filter(|it| it["file"] == list.as_str())
            .any(|it| it["text"].as_str().unwrap().starts_with("it is not read"));
        assert_eq!(not_read, !read, "{report:#}");
        let refused = report["metrics"][0]["refused"].as_str();
        assert_eq!(refused.is_some(), read, "{report:#}");
    }
}

/// Numbers that Python's relay and aggregator only compare and multiply by need not be whole.
#[test]
fn what_a_relay_of_python_runs_with_is_usable() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    for name in ["storage-schemas.conf", "storage-aggregation.conf"] {
        fs::copy(fixture(&format!("{name}.example")), at.join(name)).unwrap();
    }
    write(
        at,
        "relay-rules.conf",
        "[rest]\ndefault = true\ndestinations = h:2004:a\n",
    );
    write(at, "aggregation-rules.conf", "");
    write(at, "rewrite-rules.conf", "");
    let conf = |queue: &str, interval: &str| {
        let text = format!(
            "[cache]\n[relay]\nDESTINATIONS = h:2004:a\nMAX_QUEUE_SIZE = {queue}\n\
             MIN_RESET_INTERVAL = {interval}\nMIN_RESET_STAT_FLOW = {interval}\n\
             [aggregator]\nDESTINATIONS = h:2004:a\nMAX_AGGREGATION_INTERVALS = {interval}\n\
             CACHE_METRIC_NAMES_MAX = {interval}\nCACHE_METRIC_NAMES_TTL = {interval}\n"
        );
        write(at, "carbon.conf", &text)
    };
    for (queue, interval) in [("inf", "60.5"), ("1e6", "1e2"), ("1_000", "inf")] {
        let (code, report) = check(&[&conf(queue, interval)]);
        assert_eq!(code, 0, "{report:#}");
    }
    for (queue, interval, wrong) in [("-1", "1", 1), ("nan", "1", 1), ("many", "few", 6)] {
        let conf = conf(queue, interval);
        let (code, report) = check(&[&conf]);
        let found = messages(&report, &conf);
        assert_eq!((code, found.len()), (3, wrong), "{report:#}");
    }
}

/// What Python carbon's relays route by, and no other.
#[test]
fn every_method_of_pythons_relay_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    for name in ["storage-schemas.conf", "storage-aggregation.conf"] {
        write(at, name, "");
    }
    write(
        at,
        "relay-rules.conf",
        "[all]\ndefault = true\ndestinations = h:2004:a\n",
    );
    for (method, wanted) in [
        ("constant", 0),
        ("rules", 0),
        ("consistent-hashing", 0),
        ("aggregated-consistent-hashing", 0),
        ("fast-hashing", 0),
        ("fast-aggregated-hashing", 0),
        ("constantly", 3),
    ] {
        let text = format!("[cache]\n[relay]\nDESTINATIONS = h:2004:a\nRELAY_METHOD = {method}\n");
        let conf = write(at, "carbon.conf", &text);
        let (code, report) = check(&[&conf]);
        assert_eq!(code, wanted, "{method}: {report:#}");
    }
}

/// Options of the relay act in a cache's section with RELAY_CACHE_METRICS only.
#[test]
fn options_of_a_relay_that_is_off_are_not_called_used() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["storage-schemas.conf", "storage-aggregation.conf"] {
        let example = fixture(&format!("{name}.example"));
        fs::copy(example, directory.path().join(name)).unwrap();
    }
    let options = "DESTINATIONS = 127.0.0.1:2104\nRELAY_METHOD = constant\nMAX_QUEUE_SIZE = 500\n";
    for (switch, level) in [
        ("", "ignored"),
        ("RELAY_CACHE_METRICS = off\n", "ignored"),
        ("RELAY_CACHE_METRICS = True\n", "used"),
    ] {
        let conf = format!("[cache]\n{options}{switch}");
        let conf = write(directory.path(), "carbon.conf", &conf);
        let (code, report) = check(&[&conf]);
        assert_eq!(code, 0, "{report:#}");
        let findings = report["findings"].as_array().unwrap().iter();
        let found: Vec<_> = findings
            .filter(|it| {
                it["file"] == conf.as_str() && it["line"].as_u64().is_some_and(|at| at < 5)
            })
            .collect();
        assert_eq!(found.len(), 3, "{report:#}");
        assert!(found.iter().all(|it| it["level"] == level), "{report:#}");
    }
}

#[test]
fn files_that_nobody_can_tell_are_asked_for_and_no_secret_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "mine", "words\n");
    let (code, report) = check(&[&file]);
    assert_eq!(code, 3);
    let found = messages(&report, &file);
    assert!(found[0].2.contains("say so with --as"), "{found:?}");
    let (code, _) = check(&["--as", "whitelist", &file]);
    assert_eq!(code, 0);
    let absent: PathBuf = directory.path().join("absent/carbon.conf");
    let (code, report) = check(&[absent.to_str().unwrap()]);
    let found = messages(&report, absent.to_str().unwrap());
    assert_eq!(code, 3);
    assert!(found[0].2.contains("check its name"), "{found:?}");
    let conf =
        "[cache]\nAMQP_PASSWORD = sesame\nRAVEN_DSN = https://sesame@sentry\nMY_KEY = sesame\n";
    let conf = write(directory.path(), "carbon.conf", conf);
    let (_, report) = check(&[&conf]);
    assert!(!report.to_string().contains("sesame"), "{report:#}");
    // Nor where it is refused, or before a section is open.
    for conf in [
        "[cache]\nGRAPHITE_URL = ftp://me:sesame@web\n",
        "[cache]\nRAVEN_DSN = sesame # ours\nMAX_CACHE_SIZE = 5\n  AMQP_PASSWORD = sesame\n",
        "GRAPHITE_URL = http://me:sesame@web\nRAVEN_DSN = sesame\n",
    ] {
        let conf = write(directory.path(), "carbon.conf", conf);
        let (code, report) = check(&[&conf]);
        assert_eq!(code, 3, "{report:#}");
        assert!(!report.to_string().contains("sesame"), "{report:#}");
    }
}
