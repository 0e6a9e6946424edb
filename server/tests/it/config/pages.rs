//! The option table against the world: Python's own example, our manual page, our sample.
//! The example has to load unchanged and hold no key that the table lacks; an option that the table
//! calls acted on has to change the settings; the committed pages have to be the table's.

use std::path::{Path, PathBuf};

use benzene_engine::device::Class;
use benzene_engine::ring::Allocation;
use benzene_server::cli::CacheOptions;
use benzene_server::config::{self, Loaded, OPTIONS, Rate, Service, Standing, find, read_file};

use super::{SCHEMAS, Start, address};

#[test]
fn pythons_own_example_loads_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("conf");
    std::fs::create_dir(&conf).unwrap();
    for name in [
        "carbon.conf",
        "storage-schemas.conf",
        "storage-aggregation.conf",
    ] {
        std::fs::copy(fixture(&format!("{name}.example")), conf.join(name)).unwrap();
    }
    let options = CacheOptions {
        config: Some(conf.join("carbon.conf")),
        ..CacheOptions::default()
    };
    let Loaded {
        settings, warnings, ..
    } = config::load(&options, &|_| None, &read_file).unwrap();
    assert_eq!(
        warnings, [""; 0],
        "every written value is acted on, or says what we do"
    );
    assert_eq!(settings.data_dir(), dir.path().join("storage/whisper"));
    for class in [Class::Ssd, Class::Hdd, Class::Unknown] {
        let updates = settings.disk.updates.of(class);
        assert_eq!(updates.rate, Rate::Limited(500.0));
        assert!(updates.line.is_some(), "{updates:?}");
        let creates = settings.disk.creates.of(class);
        assert_eq!(creates.rate, Rate::Limited(50.0));
    }
    assert_eq!(settings.cache_points_max, None);
    assert_eq!(settings.timestamp_resolution_s, 1);
    assert_eq!(settings.allocation, Allocation::Fallocate);
    assert_eq!(settings.address(Service::Line), address("0.0.0.0:2003"));
}

#[test]
fn every_key_of_pythons_example_is_known() {
    let example = std::fs::read_to_string(fixture("carbon.conf.example")).unwrap();
    let (cache, _) = example.split_once("\n[relay]").unwrap();
    let mut keys = 0;
    for line in cache.lines() {
        let Some((key, _)) = line.trim_start_matches(['#', ' ']).split_once('=') else {
            continue;
        };
        let key = key.trim();
        if !key.is_empty()
            && key
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        {
            assert!(find(key).is_some(), "{key} is not in the option table");
            keys += 1;
        }
    }
    assert!(
        keys > 70,
        "only {keys} keys were found: the example is read wrongly"
    );
}

/// A value of every acted option other than its default.
const OTHER_VALUES: &[(&str, &str)] = &[
    ("STORAGE_DIR", "/other"),
    ("CONF_DIR", "/other/conf"),
    ("LOCAL_DATA_DIR", "/other/whisper"),
    ("LOCAL_DATA_DIRS", "ssd=/a/whisper, /b/whisper"),
    ("JOURNAL", "False"),
    ("JOURNAL_DIR", "/other/journal"),
    ("JOURNAL_COMMIT", "5ms"),
    ("JOURNAL_SYNC", "always"),
    ("JOURNAL_MAX_BYTES", "3g"),
    ("JOURNAL_SEGMENT_BYTES", "32m"),
    ("JOURNAL_ON_ERROR", "stop"),
    ("SHUTDOWN", "drain"),
    ("SHARDS", "3"),
    ("RING_DRIVER", "poll"),
    ("WRITER_BACKEND", "sync"),
    ("INSTANCES", "b"),
    ("LINE_RECEIVER_SOCKET", "/run/benzene/line"),
    ("PICKLE_RECEIVER_SOCKET", "/run/benzene/pickle"),
    ("CACHE_QUERY_SOCKET", "/run/benzene/query"),
    ("SOCKET_MODE", "666"),
    ("LINE_RECEIVER_INTERFACE", "127.0.0.2"),
    ("LINE_RECEIVER_PORT", "2103"),
    ("ENABLE_UDP_LISTENER", "True"),
    (
        "UDP_RECEIVER_INTERFACE",
        "127.0.0.2\nENABLE_UDP_LISTENER = on",
    ),
    ("UDP_RECEIVER_PORT", "2103\nENABLE_UDP_LISTENER = on"),
    ("PICKLE_RECEIVER_INTERFACE", "127.0.0.2"),
    ("PICKLE_RECEIVER_PORT", "2104"),
    ("PICKLE_RECEIVER_MAX_LENGTH", "2097152"),
    (
        "PROTOBUF_RECEIVER_INTERFACE",
        "127.0.0.2\nPROTOBUF_RECEIVER_PORT = 2105",
    ),
    ("PROTOBUF_RECEIVER_PORT", "2105"),
    ("MAX_RECEIVER_CONNECTIONS", "1000"),
    ("METRIC_CLIENT_IDLE_TIMEOUT", "300"),
    ("TCP_KEEPALIVE", "False"),
    ("TCP_KEEPIDLE", "60"),
    ("TCP_KEEPINTVL", "15"),
    ("TCP_KEEPCNT", "4"),
    ("CACHE_QUERY_INTERFACE", "127.0.0.2"),
    ("CACHE_QUERY_PORT", "7102"),
    ("MAX_CACHE_SIZE", "1000000"),
    ("MAX_CACHE_BYTES", "2g"),
    ("USE_FLOW_CONTROL", "False"),
    ("CACHE_WRITE_STRATEGY", "bucketmax"),
    ("MAX_POINT_AGE", "30"),
    ("MIN_TIMESTAMP_RESOLUTION", "10"),
    ("MIN_TIMESTAMP_LAG", "30"),
    ("MAX_UPDATES_PER_SECOND", "500"),
    ("DEVICE_CLASS", "hdd"),
    ("MAX_UPDATES_PER_SECOND_SSD", "500"),
    ("MAX_UPDATES_PER_SECOND_HDD", "500"),
    ("READ_WAIT_MAX", "50ms"),
    ("MAX_UPDATES_PER_SECOND_ON_SHUTDOWN", "inf"),
    ("MAX_CREATES_PER_MINUTE", "inf"),
    ("MAX_CREATES_PER_MINUTE_SSD", "600"),
    ("MAX_CREATES_PER_MINUTE_HDD", "600"),
    ("UPDATES_IN_FLIGHT", "16"),
    ("KERNEL_WORKERS", "16"),
    ("DISK_ORDER", "on"),
    ("WHISPER_AUTOFLUSH", "True"),
    ("WHISPER_SPARSE_CREATE", "True"),
    ("WHISPER_FALLOCATE_CREATE", "True"),
    ("WHISPER_LOCK_WRITES", "True"),
    ("WHISPER_FADVISE_RANDOM", "True"),
    ("TAG_HASH_FILENAMES", "False"),
    ("ENABLE_TAGS", "False"),
    ("GRAPHITE_URL", "https://web/sub"),
    ("SKIP_TAGS_FOR_NONTAGGED", "False"),
    ("TAG_UPDATE_INTERVAL", "50"),
    ("TAG_BATCH_SIZE", "50"),
    ("TAG_QUEUE_SIZE", "500"),
    ("LOG_DIR", "/var/log/carbon"),
    ("ENABLE_LOGROTATION", "False"),
    ("LOG_UPDATES", "False"),
    ("LOG_CREATES", "False"),
    ("LOG_CACHE_HITS", "False"),
    ("LOG_LISTENER_CONN_SUCCESS", "False"),
    ("LOG_LISTENER_CONN_LOST", "True"),
    ("PID_DIR", "/run/carbon"),
    ("USER", "carbon"),
    (
        "RELAY_CACHE_METRICS",
        "True\nDESTINATIONS = h:2004\nRELAY_METHOD = constant",
    ),
    ("DESTINATIONS", "i:2004"),
    ("RELAY_METHOD", "constant"),
    ("REPLICATION_FACTOR", "2"),
    ("DIVERSE_REPLICAS", "False"),
    ("ROUTER_HASH_TYPE", "fnv1a_ch"),
    ("MAX_QUEUE_SIZE", "500"),
    ("MAX_QUEUE_SIZE_HARD_PCT", "2"),
    ("MAX_DATAPOINTS_PER_MESSAGE", "50"),
    ("CARBON_METRIC_PREFIX", "own.carbon"),
    ("CARBON_METRIC_INTERVAL", "10"),
    ("USE_WHITELIST", "True"),
    ("LOG_LEVEL", "debug"),
];

/// Lines that turn the relay on, but for the one that a test writes itself.
fn relaying(without: &str) -> String {
    let lines = [
        "RELAY_CACHE_METRICS = True\n",
        "DESTINATIONS = h:2004\n",
        "RELAY_METHOD = consistent-hashing\n",
    ];
    let is_other = |line: &&str| line.split(' ').next() != Some(without);
    lines.into_iter().filter(is_other).collect()
}

#[test]
fn every_acted_option_changes_the_settings() {
    let load = |extra: &str| {
        let start = Start::with(&format!("[cache]\n{extra}"))
            .file("/other/conf/storage-schemas.conf", SCHEMAS)
            .file("/other/conf/storage-aggregation.conf", "");
        let found = start.load().unwrap();
        assert_eq!(
            found.warnings.len(),
            usize::from(extra.contains("_LAG")),
            "{extra}"
        );
        format!("{:?}", found.settings)
    };
    let plain = load("");
    let with_udp = load("ENABLE_UDP_LISTENER = on\n");
    let with_protobuf = load("PROTOBUF_RECEIVER_PORT = 2105\n");
    for option in OPTIONS
        .iter()
        .filter(|option| option.standing == Standing::Acted)
    {
        let other = OTHER_VALUES.iter().find(|(name, _)| *name == option.name);
        let Some((name, value)) = other else {
            panic!(
                "{} is acted on and has no other value in this test",
                option.name
            )
        };
        let changed = load(&format!("{name} = {value}\n"));
        if option.meaning.starts_with("With RELAY_CACHE_METRICS") {
            assert_eq!(
                changed, plain,
                "{name} = {value} acts with RELAY_CACHE_METRICS only"
            );
            let changed = load(&format!("{name} = {value}\n{}", relaying(name)));
            assert_ne!(
                changed,
                load(&relaying("")),
                "{name} = {value} changes nothing"
            );
            continue;
        }
        assert_ne!(changed, plain, "{name} = {value} changes nothing");
        if name.starts_with("UDP_") {
            assert_ne!(changed, with_udp, "{name} = {value} changes nothing");
        }
        if *name == "PROTOBUF_RECEIVER_INTERFACE" {
            assert_ne!(changed, with_protobuf, "{name} = {value} changes nothing");
        }
    }
}

#[test]
fn the_sample_file_loads_silently_and_says_the_defaults() {
    let sample = config::sample_file();
    let as_it_is = Start::with(&sample).load().unwrap();
    assert_eq!(as_it_is.warnings, [""; 0]);
    let mut opened = String::new();
    for line in sample.lines() {
        let is_option = |text: &str| {
            text.split(' ')
                .next()
                .is_some_and(|name| find(name).is_some())
        };
        match line
            .strip_prefix("# ")
            .filter(|text| is_option(text) && !text.ends_with('='))
        {
            Some(text) => opened.push_str(text),
            None => opened.push_str(line),
        }
        opened.push('\n');
    }
    let opened = Start::with(&opened).load().unwrap();
    // Where each address is from differs, of course.
    let told = |loaded: Loaded| {
        let mut settings = loaded.settings;
        for door in &mut settings.doors {
            (door.place, door.is_open_by_default) = (None, false);
        }
        format!("{settings:?}")
    };
    assert_eq!(told(opened), told(as_it_is));
}

/// With BENZENE_WRITE_DOCS set, writes the pages instead.
#[test]
fn the_committed_pages_are_those_of_the_table() {
    for (name, want) in [
        ("carbon.conf.md", config::manual_page()),
        ("carbon.conf", config::sample_file()),
    ] {
        let path = root().join("docs/operating").join(name);
        if std::env::var_os("BENZENE_WRITE_DOCS").is_some() {
            std::fs::write(&path, &want).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == want,
            "{} is old: run the test with BENZENE_WRITE_DOCS=1",
            path.display()
        );
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn fixture(name: &str) -> PathBuf {
    root().join("fixtures/carbon").join(name)
}
