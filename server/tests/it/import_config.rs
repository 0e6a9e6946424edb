//! `benzene import-config`: go-carbon's documented defaults and a site's own file become a carbon.conf
//! that the check finds usable; every setting is translated or named with a reason.

use std::fs;
use std::path::Path;

use crate::daemon::program;

/// Runs it; exit code, what it wrote, what it complained of.
fn import(arguments: &[&str]) -> (i32, String, String) {
    let output = program()
        .arg("import-config")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn example() -> String {
    let path = benzene_fixtures::path("go-carbon/go-carbon.conf");
    path.into_os_string().into_string().unwrap()
}

/// The settings that are written, in their order.
fn settings(conf: &str) -> Vec<&str> {
    conf.lines()
        .filter(|line| !line.starts_with('#') && line.contains('='))
        .collect()
}

#[test]
fn every_documented_default_is_translated_or_named_with_its_reason() {
    let (code, conf, errors) = import(&[&example()]);
    assert_eq!(code, 0, "{errors}");
    assert_eq!(
        settings(&conf),
        [
            "MAX_CACHE_SIZE = 1000000",
            "CACHE_WRITE_STRATEGY = max",
            "CACHE_QUERY_INTERFACE = 127.0.0.1",
            "CACHE_QUERY_PORT = 7002",
            "CARBON_METRIC_PREFIX = carbon",
            "SHARDS = 4",
            "CARBON_METRIC_INTERVAL = 60",
            "USER = carbon",
            "PICKLE_RECEIVER_INTERFACE = 0.0.0.0",
            "PICKLE_RECEIVER_PORT = 2004",
            "PICKLE_RECEIVER_MAX_LENGTH = 67108864",
            "ENABLE_TAGS = False",
            "TAG_BATCH_SIZE = 32",
            "TAG_UPDATE_INTERVAL = 100",
            "GRAPHITE_URL = http://127.0.0.1:8000",
            "LINE_RECEIVER_INTERFACE = 0.0.0.0",
            "LINE_RECEIVER_PORT = 2003",
            "ENABLE_UDP_LISTENER = True",
            "UDP_RECEIVER_INTERFACE = 0.0.0.0",
            "UDP_RECEIVER_PORT = 2003",
            "LOCAL_DATA_DIR = /var/lib/graphite/whisper",
            "STORAGE_DIR = /var/lib/graphite",
            "WHISPER_LOCK_WRITES = True",
            "TAG_HASH_FILENAMES = True",
            "MAX_CREATES_PER_MINUTE = inf",
            "MAX_UPDATES_PER_SECOND = inf",
            "CONF_DIR = /etc/go-carbon",
            "WHISPER_SPARSE_CREATE = False",
            "LOG_UPDATES = False",
            "LOG_CACHE_HITS = False",
        ],
        "{conf}"
    );
    // Each key of the file stands in the result, as a setting's origin or with a reason.
    let mut section = "";
    for line in fs::read_to_string(example()).unwrap().lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) = line.split_once(" = ") {
            let whole = ["carbonserver", "grpc", "dump", "pprof", "[logging"].contains(&section);
            let wanted = if whole {
                format!("[{section}]")
            } else if key == "enabled" || key == "listen" {
                continue;
            } else {
                format!("[{section}] {key} = ")
            };
            assert!(conf.contains(&wanted), "no {wanted} in {conf}");
        }
    }
    for reason in [
        "[grpc]: there is no gRPC",
        "[carbonserver]: it is not enabled",
        "[dump]: the journal does that",
        "[whisper] workers = 8: every shard",
        "storage-aggregation.conf\": it is read there, in CONF_DIR",
    ] {
        assert!(conf.contains(reason), "no {reason:?} in {conf}");
    }
    assert!(!conf.contains("no such setting"), "{conf}");
}

/// A site's own: other strategies and limits, more receivers, storage files that mean something else.
#[test]
fn what_would_be_lost_is_named_to_look_at() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let schemas = "[slow]\npattern = ^slow\\.\nretentions = 60s:1440\npriority = 10\n\
                   [rest]\npattern = \".*\"\nretentions = 60s:1d\n";
    fs::write(at("storage-schemas.conf"), schemas).unwrap();
    let methods = "[mix]\npattern = mix\naggregationMethod = average,sum,p95\n";
    fs::write(at("methods.conf"), methods).unwrap();
    let conf = format!(
        "[whisper]\nschemas-file = \"{}\"\naggregation-file = \"{}\"\n\
         data-dir = \"/data\"\ncompressed = true\nmax-creates-per-second = 5\n\
         max-updates-per-second = 2000\n[cache]\nwrite-strategy = \"sorted\"\nmax-size = 0\n\
         [tcp]\nlisten = \"[::1]:2003\"\ncompression = \"snappy\"\n[udp]\nenabled = false\n\
         [pickle]\nenabled = false\n[carbonserver]\nenabled = true\n\
         [receiver.proto]\nprotocol = \"protobuf\"\nlisten = \":2005\"\n\
         [receiver.more]\nprotocol = \"tcp\"\nlisten = \":2103\"\n\
         [receiver.bus]\nprotocol = \"kafka\"\n[common]\nfuture = 1\n",
        at("storage-schemas.conf").display(),
        at("methods.conf").display()
    );
    fs::write(at("go-carbon.conf"), conf).unwrap();
    let (code, conf, errors) = import(&[at("go-carbon.conf").to_str().unwrap()]);
    assert_eq!(code, 0, "{errors}");
    for setting in [
        "MAX_CREATES_PER_MINUTE = 300",
        "MAX_UPDATES_PER_SECOND = 2000",
        "CACHE_WRITE_STRATEGY = timesorted",
        "MAX_CACHE_SIZE = inf",
        "LINE_RECEIVER_INTERFACE = ::1",
        "ENABLE_UDP_LISTENER = False",
        "PICKLE_RECEIVER_PORT = 0",
        "PROTOBUF_RECEIVER_PORT = 2005",
    ] {
        assert!(settings(&conf).contains(&setting), "no {setting} in {conf}");
    }
    let (_, look) = conf.split_once("# To look at:\n").unwrap();
    let (look, _) = look.split_once("# Without a counterpart:").unwrap();
    for words in [
        "compressed = true: compressed files are not read",
        "[tcp] compression = \"snappy\"",
        "[carbonserver]: there is no HTTP read API",
        "[receiver.more] listen = \":2103\": one receiver",
        "[receiver.bus] protocol = \"kafka\": there is no such receiver",
        "[common] future = 1: go-carbon's documentation has no such setting",
        "line 3 [slow] retentions: the second number has no unit",
        "line 4 [slow] priority: go-carbon tries sections by priority",
        "methods.conf\": copy it to CONF_DIR as storage-aggregation.conf",
        "methods.conf line 3 [mix] aggregationMethod: Benzene has Python carbon's methods",
        "[whisper] data-dir = \"/data\": journal, log files and pid file are in STORAGE_DIR",
        "line 6 [rest] pattern: the quotes are part of the value",
    ] {
        assert!(look.contains(words), "no {words:?} in {look}");
    }
}

/// What a go-carbon.conf with this text becomes.
fn import_text(text: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("go-carbon.conf");
    fs::write(&file, text).unwrap();
    let (code, conf, errors) = import(&[file.to_str().unwrap()]);
    assert_eq!(code, 0, "{errors}");
    conf
}

/// go-carbon reads its file over what it assumes: what is left out is asked for all the same.
#[test]
fn what_a_file_leaves_out_is_what_go_carbon_assumes() {
    let conf = import_text("");
    assert_eq!(
        settings(&conf),
        [
            "MAX_CACHE_SIZE = 1000000",
            "CACHE_WRITE_STRATEGY = max",
            "CACHE_QUERY_INTERFACE = 127.0.0.1",
            "SHARDS = 1",
            "USER = carbon",
            "PICKLE_RECEIVER_MAX_LENGTH = 67108864",
            "ENABLE_TAGS = False",
            "TAG_BATCH_SIZE = 32",
            "GRAPHITE_URL = http://127.0.0.1:8000",
            "ENABLE_UDP_LISTENER = True",
            "LOCAL_DATA_DIR = /var/lib/graphite/whisper/",
            "STORAGE_DIR = /var/lib/graphite",
            "MAX_CREATES_PER_MINUTE = inf",
            "MAX_UPDATES_PER_SECOND = inf",
            "CONF_DIR = /etc/go-carbon",
            "LOG_UPDATES = False",
            "LOG_CACHE_HITS = False",
        ],
        "{conf}"
    );
    for words in [
        "# [udp] enabled = true, as go-carbon assumes where the file leaves it out\nENABLE_UDP",
        "# [grpc], as go-carbon assumes where the file leaves it out: there is no gRPC",
        "# [whisper] aggregation-file = \"\", as go-carbon assumes",
    ] {
        assert!(conf.contains(words), "no {words:?} in {conf}");
    }
    assert!(!conf.contains("[carbonserver]"), "{conf}");
}

#[test]
fn what_is_written_wins_over_what_go_carbon_assumes() {
    let conf = import_text(
        "[udp]\nlisten = \":2103\"\n[tcp]\nenabled = false\n[carbonlink]\nlisten = \":7002\"\n\
         [grpc]\nenabled = false\n[tags]\nenabled = true\n[common]\nmax-cpu = 0\n\
         [whisper]\ndata-dir = \"/srv/100%/whisper\"\nschemas-file = \"/etc/g/storage-schemas.conf\"\n\
         aggregation-file = \"/etc/g/storage-aggregation.conf\"\n\
         [receiver.second]\nprotocol = \"tcp\"\n[receiver.third]\nprotocol = \"udp\"\n",
    );
    let written = settings(&conf);
    for setting in [
        "ENABLE_UDP_LISTENER = True",
        "UDP_RECEIVER_PORT = 2103",
        "CACHE_QUERY_INTERFACE = 0.0.0.0",
        "ENABLE_TAGS = True",
        "GRAPHITE_URL = http://127.0.0.1:8000",
        // The main receiver is off, and another takes its place.
        "LINE_RECEIVER_PORT = 2003",
        "LOCAL_DATA_DIR = /srv/100%%/whisper",
        "CONF_DIR = /etc/g",
    ] {
        assert!(written.contains(&setting), "no {setting} in {conf}");
    }
    assert!(!conf.contains("SHARDS"), "max-cpu = 0 is all cores: {conf}");
    assert!(!conf.contains("[grpc], as"), "{conf}");
    assert!(
        conf.contains("storage-aggregation.conf\": it is read there"),
        "{conf}"
    );
    let (_, look) = conf.split_once("# To look at:\n").unwrap();
    assert!(
        look.contains("[receiver.third] listen = \":2003\", as go-carbon"),
        "{look}"
    );
}

#[test]
fn it_writes_a_file_that_the_check_finds_usable_and_never_over_another() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("carbon.conf");
    let at = output.to_str().unwrap();
    let (code, printed, errors) = import(&[&example(), "--output", at]);
    assert_eq!((code, printed.as_str()), (0, ""), "{errors}");
    let schemas = benzene_fixtures::path("carbon/storage-schemas.conf.example");
    let aggregation = benzene_fixtures::path("carbon/storage-aggregation.conf.example");
    let checked = program()
        .args(["check-config", at])
        .args([schemas, aggregation])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "{said}");
    let (code, _, errors) = import(&[&example(), "--output", at]);
    assert_eq!(code, 1);
    assert!(errors.contains("exists"), "{errors}");
    let broken = |text: &str| {
        let path = directory.path().join("go-carbon.conf");
        fs::write(&path, text).unwrap();
        import(&[path.to_str().unwrap()])
    };
    let (code, _, errors) = broken("[common]\nuser = carbon\n");
    assert_eq!(code, 3);
    assert!(errors.contains("line 2"), "{errors}");
    let (code, _, errors) = broken("[common]\nmax-cpu = 5000\n");
    assert_eq!(code, 3);
    assert!(errors.contains("SHARDS"), "{errors}");
    let (code, _, _) = import(&[Path::new("/nonexistent").to_str().unwrap()]);
    assert_eq!(code, 3);
}
