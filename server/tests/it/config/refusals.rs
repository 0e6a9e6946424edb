//! Every mistake that we can name: the message has the file, the line, the key and the mend.
//! The table below is what an operator may type; a new refusal gets a row there. What concerns
//! whole files, missing or unreadable, follows it.

use benzene_engine::cache::Strategy;
use benzene_engine::device::Class;
use benzene_server::cli::CacheOptions;
use benzene_server::config::{self, Loaded, Rate, read_file};

use super::Start;

/// What an operator may get wrong, one a line: the line that is named (`-` where two lines are at
/// fault), the text below [cache], and what the message says. `\n` begins a line.
const REFUSALS: &str = r"
2 | MAX_CACHE_SIZE = lots | MAX_CACHE_SIZE = lots | whole number nor inf | or inf
2 | MAX_CACHE_SIZE = inf  # all | MAX_CACHE_SIZE | `# all` | a line of its own
2 | USE_FLOW_CONTROL = True ; yes | USE_FLOW_CONTROL | `; yes` | line of its own
2 | LOCAL_DATA_DIR = /data # disk | LOCAL_DATA_DIR | `# disk` | line of its own
2 | LOCAL_DATA_DIRS = whisper | LOCAL_DATA_DIRS | `whisper` is no full path | NAME=/PATH
2 | LOCAL_DATA_DIRS = a=/x, a=/y | LOCAL_DATA_DIRS | called a | names that differ
2 | LOCAL_DATA_DIRS = /x, /x/y | LOCAL_DATA_DIRS | /x/y are one directory | do not share files
2 | LOCAL_DATA_DIRS = , | LOCAL_DATA_DIRS | no directory | put # before the line
2 | LOCAL_DATA_DIRS = /x, /y\nLOCAL_DATA_DIR = /z | LOCAL_DATA_DIRS | /z is not in it | add it to the list
2 | MAX_CACHE_SIZE = 0 | MAX_CACHE_SIZE = 0 | smallest is 1, with none nothing is received | or more
2 | JOURNAL_COMMIT = 100 | JOURNAL_COMMIT = 100 | largest is 60s, a killed process loses | or less
2 | JOURNAL_SYNC = 5000 | JOURNAL_SYNC = 5000 | largest is 3600s | or less
2 | READ_WAIT_MAX = 120 | READ_WAIT_MAX = 120 | largest is 60s | or less
2 | READ_WAIT_MAX = 0 | READ_WAIT_MAX = 0 | smallest is 1ms | or more
2 | INSTANCES = a, a | INSTANCES names `a` twice | name it once
2 | INSTANCES = a,,b | INSTANCES has an empty name | commas between
2 | INSTANCES = a, b/c | `b/c` is no name of an instance | such as b
2 | [relay | '[relay' | no section head
2 | MAX_CACHE_SIZE = | MAX_CACHE_SIZE | is empty | put # before the line
2 | MAX_CACHE_BYTES = 4 gigs | MAX_CACHE_BYTES | no amount of bytes | 2g
2 | MAX_CACHE_BYTES = 1k | MAX_CACHE_BYTES = 1k | smallest is 1048576 | or more
2 | LINE_RECEIVER_PORT = 70000 | LINE_RECEIVER_PORT | largest is 65535 | 16 bits
2 | LINE_RECEIVER_PORT = graphite | LINE_RECEIVER_PORT | write one from 0 to 65535
2 | LINE_RECEIVER_PORT = -1 | LINE_RECEIVER_PORT | write one from 0 to 65535
2 | USE_FLOW_CONTROL = maybe | USE_FLOW_CONTROL = maybe | write True or False
2 | MAX_UPDATES_PER_SECOND = 0 | MAX_UPDATES_PER_SECOND | from 0.02 | inf | auto
2 | MAX_CREATES_PER_MINUTE = none | MAX_CREATES_PER_MINUTE | from 0.02 | 0 for none at all | inf | auto
2 | PICKLE_RECEIVER_MAX_LENGTH = large | PICKLE_RECEIVER_MAX_LENGTH | write one from 64 to 67108864
5 | RELAY_CACHE_METRICS = True\nDESTINATIONS = h:1\nRELAY_METHOD = constant\nMAX_QUEUE_SIZE = lots | MAX_QUEUE_SIZE = lots | no whole number | write one from 1
5 | RELAY_CACHE_METRICS = True\nDESTINATIONS = h:1\nRELAY_METHOD = constant\nMAX_QUEUE_SIZE = 0 | MAX_QUEUE_SIZE = 0 | smallest is 1 | or more
2 | MAX_POINT_AGE = 0 | MAX_POINT_AGE = 0 | smallest is 1 | or more
2 | MAX_POINT_AGE = 90000 | MAX_POINT_AGE = 90000 | largest is 86400 | outlive | or less
2 | MAX_POINT_AGE = inf | MAX_POINT_AGE = inf | no whole number
2 | RING_DRIVER = epoll | RING_DRIVER = epoll | auto, uring, poll
2 | WRITER_BACKEND = poll | WRITER_BACKEND = poll | auto, uring, sync
3 | RING_DRIVER = poll\nWRITER_BACKEND = uring | WRITER_BACKEND = uring | without io_uring | write sync
2 | GRAPHITE_URL = ftp://web | GRAPHITE_URL = ftp://web | no way to graphite-web | http://HOST:PORT
2 | TAG_UPDATE_INTERVAL = 0 | TAG_UPDATE_INTERVAL = 0 | smallest is 1 | or more
3 | RELAY_CACHE_METRICS = True\nDESTINATIONS = relay | DESTINATIONS = relay | no host:port | host:port:instance
- | RELAY_CACHE_METRICS = True | DESTINATIONS | there is none | host:port:instance
4 | RELAY_CACHE_METRICS = True\nDESTINATIONS = h:2004\nRELAY_METHOD = rules | RELAY_METHOD = rules | constant | write consistent-hashing
5 | RELAY_CACHE_METRICS = True\nDESTINATIONS = h:1\nRELAY_METHOD = constant\nDESTINATION_TRANSPORT = ssl | DESTINATION_TRANSPORT = ssl | without TLS | write none
2 | SHARDS = 0 | SHARDS = 0 | smallest is 1
2 | CARBON_METRIC_PREFIX = own x | CARBON_METRIC_PREFIX = own x | words with dots
2 | METRIC_CLIENT_IDLE_TIMEOUT = 0 | METRIC_CLIENT_IDLE_TIMEOUT = 0 | smallest is 1 | or more
2 | METRIC_CLIENT_IDLE_TIMEOUT = 60 # a minute | METRIC_CLIENT_IDLE_TIMEOUT | `# a minute` | a line of its own
2 | LINE_RECEIVER_INTERFACE = no such host | LINE_RECEIVER_INTERFACE | such as 0.0.0.0
2 | DATABASE = ceres | DATABASE = ceres | only Whisper | write whisper
2 | ENABLE_AMQP = True | ENABLE_AMQP = True | AMQP | write False
2 | ENABLE_MANHOLE = yes | ENABLE_MANHOLE = yes | no Python | write False
2 | LOG_UPDATES = often | LOG_UPDATES = often | write True or False
2 | MAX_CACHE_SIZE = 5\n USER = x | MAX_CACHE_SIZE = 5 ... | `USER = x` | column
5 | USER = x\n\n# y\nUSE_FLOW_CONTROL = 2 | USE_FLOW_CONTROL = 2 | True or False
- | PICKLE_RECEIVER_PORT = 2003 | LINE_RECEIVER_PORT | PICKLE_RECEIVER_PORT | another
3 | MAX_CACHE_SIZE = 5\nmax_cache_size = 6 | 'max_cache_size' appears twice | remove
2 | MAX_CACHE_SIZE | 'MAX_CACHE_SIZE' | 'key = value'
2 | LOCAL_DATA_DIR = /50% | 'LOCAL_DATA_DIR' | '%' | write '%%'
2 | LOCAL_DATA_DIR = %(ROOT)s/x | 'LOCAL_DATA_DIR' | '%(ROOT)s' | neither [cache] nor [DEFAULT] sets
2 | [cache] | [cache] appears twice | join
";

#[test]
fn every_mistake_names_its_line_its_key_and_its_mend() {
    for row in REFUSALS.trim().lines() {
        let mut cells = row.split(" | ");
        let line = cells.next().unwrap();
        let lines = cells.next().unwrap().replace("\\n", "\n");
        let refusal = Start::with(&format!("[cache]\n{lines}\n")).refusal();
        let file = "/etc/carbon/carbon.conf";
        let named = [
            format!("{file} line {line} [cache]: "),
            format!("{file}: line {line}: "),
        ];
        let named = line == "-" || named.iter().any(|start| refusal.starts_with(start));
        assert!(named, "{row}: {refusal}");
        let words: Vec<&str> = cells.collect();
        assert!(
            words.len() >= 2,
            "{row}: the key and the mend are to be checked"
        );
        for word in words {
            assert!(refusal.contains(word), "{row} lacks {word:?}: {refusal}");
        }
        assert!(!refusal.contains('\n'), "{refusal:?}");
    }
}

/// Values with which Python carbon runs and that are outside of our bounds: what is written, what is
/// wrong with it, and what is used.
const REPLACED: &str = r"
MAX_UPDATES_PER_SECOND = 1000000000 | largest is 100000000, more than any device does | inf
MAX_CREATES_PER_MINUTE = 1e10 | largest is 6000000000 | inf
MAX_CREATES_PER_MINUTE = -1 | no rate | 0
MAX_CACHE_SIZE = 1e17 | more than any machine's memory holds | inf
TAG_UPDATE_INTERVAL = 1000000 | largest is 60000 | 60000
TAG_QUEUE_SIZE = -1 | no whole number | 0
PICKLE_RECEIVER_MAX_LENGTH = 104857600 | held in memory whole | 67108864
CARBON_METRIC_INTERVAL = 0.5 | no whole number | 1
CACHE_WRITE_STRATEGY = Sorted | no such choice; write one of sorted, timesorted | sorted
METRIC_CLIENT_IDLE_TIMEOUT = none | no whole number | None
METRIC_CLIENT_IDLE_TIMEOUT = -1 | no whole number | None
MAX_UPDATES_PER_SECOND_ON_SHUTDOWN = 0 | no rate | the default
";

#[test]
fn what_only_python_takes_is_named_and_something_else_is_used() {
    for row in REPLACED.trim().lines() {
        let [line, wrong, used] = row.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let loaded = Start::with(&format!("[cache]\n{line}\n")).load().unwrap();
        let said = &loaded.warnings[0];
        let start = format!("/etc/carbon/carbon.conf line 2 [cache]: {line}: ");
        let end = format!("; until then {used} is used");
        assert!(said.starts_with(&start), "{row}: {said}");
        assert!(
            said.contains(wrong) && said.ends_with(&end),
            "{row}: {said}"
        );
        // Of two instances of one process as of one.
        let two = format!("[cache]\n{line}\n[cache:b]\nCACHE_QUERY_PORT = 7102\n");
        let of_two = Start::with(&two).load().unwrap().warnings;
        assert_eq!(
            of_two.iter().filter(|it| *it == said).count(),
            1,
            "{of_two:?}"
        );
    }
    let settings = Start::with(
        "[cache]\nMAX_UPDATES_PER_SECOND = 1e9\nMAX_CACHE_SIZE = 1e17\nCARBON_METRIC_INTERVAL = 0.5\n\
         CACHE_WRITE_STRATEGY = Sorted\nMETRIC_CLIENT_IDLE_TIMEOUT = -1\n\
         MAX_UPDATES_PER_SECOND_ON_SHUTDOWN = 0\n",
    )
    .settings();
    assert_eq!(settings.client_idle, None);
    assert_eq!(settings.updates_per_second_on_shutdown, None);
    assert_eq!(settings.disk.updates.of(Class::Ssd).rate, Rate::Unlimited);
    assert_eq!(settings.cache_points_max, None);
    assert_eq!(settings.metric_interval_s, 1);
    assert_eq!(settings.strategy, Strategy::Sorted);
}

#[test]
fn no_refusal_shows_a_password() {
    for lines in [
        "GRAPHITE_URL = ftp://me:hidden@web/x",
        "GRAPHITE_URL = http://me:hidden",
        "GRAPHITE_URL = http://me:hid den@web",
        "GRAPHITE_URL = http://me:hidden@web/?x",
        "GRAPHITE_URL = http://me:hidden@web # note",
        "GRAPHITE_URL = http://me:a #hidden@web",
        "GRAPHITE_URL = http://me:hidden@web\n  /x",
        "RAVEN_DSN = https://key:hidden@sentry/1 # note",
        "RAVEN_DSN = hidden ; note",
        "MAX_CACHE_SIZE = 5\n  RAVEN_DSN = hidden",
        "MAX_CACHE_SIZE = http://me:hidden@web",
        "GRAPHITE_URL = http://me:hidden@web\n[cache:b]\nCACHE_QUERY_PORT = 7102\nGRAPHITE_URL = http://web",
    ] {
        let refusal = Start::with(&format!("[cache]\n{lines}\n")).refusal();
        for word in ["hidden", "hid den", "den@"] {
            assert!(!refusal.contains(word), "{lines}: {refusal}");
        }
        assert!(refusal.contains("***"), "{lines}: {refusal}");
    }
}

#[test]
fn no_creates_at_all_are_a_limit_too() {
    let loaded = Start::with("[cache]\nMAX_CREATES_PER_MINUTE = 0\n")
        .load()
        .unwrap();
    let creates = loaded.settings.disk.creates.of(Class::Hdd).rate;
    assert_eq!(creates, Rate::Limited(0.0));
    let [said] = &loaded.warnings[..] else {
        panic!("{:?}", loaded.warnings)
    };
    assert!(
        said.contains("line 2 [cache]: MAX_CREATES_PER_MINUTE = 0 makes no new file"),
        "{said}"
    );
    // Two of which one may make some, may together.
    let two = "[cache]\nMAX_CREATES_PER_MINUTE = 0\n[cache:b]\nCACHE_QUERY_PORT = 7102\n\
               MAX_CREATES_PER_MINUTE = 50\n";
    let loaded = Start::with(two).load().unwrap();
    let creates = loaded.settings.disk.creates.of(Class::Ssd).rate;
    assert_eq!(creates, Rate::Limited(50.0));
    assert_eq!(loaded.warnings, [""; 0]);
}

#[test]
fn few_threads_for_several_disks_are_warned_of() {
    let warnings = |lines: &str| {
        let conf = format!("[cache]\n{lines}\n");
        Start::with(&conf).load().unwrap().warnings
    };
    let dirs = "LOCAL_DATA_DIRS = one=/srv/a, two=/srv/b\n";
    for (lines, words) in [
        (
            "KERNEL_WORKERS = 8",
            "KERNEL_WORKERS = 8 is for all data directories together",
        ),
        (
            "UPDATES_IN_FLIGHT = 128\nKERNEL_WORKERS = 64",
            "auto has 256",
        ),
    ] {
        let said = warnings(&format!("{dirs}{lines}"));
        assert!(said.iter().any(|it| it.contains(words)), "{said:?}");
    }
    for lines in [
        "KERNEL_WORKERS = 8".to_owned(),
        format!("{dirs}KERNEL_WORKERS = 64"),
        format!("{dirs}UPDATES_IN_FLIGHT = 4\nKERNEL_WORKERS = 56"),
    ] {
        let said = warnings(&lines);
        assert!(
            said.iter().all(|it| !it.contains("KERNEL_WORKERS")),
            "{said:?}"
        );
    }
}

#[test]
fn numbers_of_a_relay_are_looked_at_where_there_is_one() {
    let numbers = "MAX_QUEUE_SIZE = 100000000\nMAX_DATAPOINTS_PER_MESSAGE = 50000\n\
                   REPLICATION_FACTOR = 5000\n";
    let off = Start::with(&format!("[cache]\n{numbers}REPLICATION_FACTORS = 0\n"));
    let loaded = off.load().unwrap();
    assert!(loaded.settings.relay.is_none());
    let [said] = &loaded.warnings[..] else {
        panic!("{:?}", loaded.warnings)
    };
    assert!(said.contains("REPLICATION_FACTORS in line 5"), "{said}");
    for nonsense in ["0", "-1", "lots", ""] {
        let text = format!("[cache]\nMAX_QUEUE_SIZE = {nonsense}\n");
        assert!(Start::with(&text).load().is_ok(), "{text}");
    }
    let on = Start::with(&format!(
        "[cache]\nRELAY_CACHE_METRICS = True\nDESTINATIONS = h:1\nRELAY_METHOD = consistent-hashing\n\
         {numbers}"
    ));
    let loaded = on.load().unwrap();
    let relay = format!("{:?}", loaded.settings.relay.unwrap());
    for word in ["message_points_max: 10000", "queue_max: 10000000"] {
        assert!(relay.contains(word), "no {word:?} in {relay}");
    }
    let said = loaded.warnings.join("\n");
    for word in [
        "MAX_QUEUE_SIZE = 100000000: the largest is 10000000",
        "until then 10000 is used",
        "until then 1000 is used",
    ] {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
}

#[test]
fn mistakes_of_other_programs_sections_are_theirs() {
    let conf = "[relay]\nLINE_RECEIVER_PORT = what\nX = %(Y)s\n[aggregator:b]\nUSER = # me\n\
                [cache:other]\nSHARDS = none\n[cache]\nMAX_CACHE_SIZE = 7\n";
    let Loaded {
        settings, warnings, ..
    } = Start::with(conf)
        .flags(|flags| flags.instance = Some("a".to_owned()))
        .load()
        .unwrap();
    assert_eq!(settings.cache_points_max, Some(7));
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn missing_files_say_where_they_were_looked_for() {
    let start = Start::with("").without_file("/etc/carbon/carbon.conf");
    let refusal = start.refusal();
    assert!(
        refusal.starts_with("/etc/carbon/carbon.conf: there is no such file"),
        "{refusal}"
    );
    assert!(refusal.contains("--config"), "{refusal}");

    let start = Start::with("[cache]\n").without_file("/etc/carbon/storage-schemas.conf");
    let refusal = start.refusal();
    for word in [
        "/etc/carbon/storage-schemas.conf",
        "beside carbon.conf",
        "CONF_DIR",
    ] {
        assert!(refusal.contains(word), "{word}: {refusal}");
    }

    let start = Start::with("[cache]\n").without_file("/etc/carbon/storage-aggregation.conf");
    let warnings = start.load().unwrap().warnings;
    let [warning] = warnings.as_slice() else {
        panic!("{warnings:?}")
    };
    assert!(warning.contains("/etc/carbon/storage-aggregation.conf: there is no such file"));
}

#[test]
fn a_wrong_schema_names_its_file_and_line() {
    let wrong = "[all]\npattern = .*\nretentions = 60x:1d\n";
    let refusal = Start::with("[cache]\n")
        .file("/etc/carbon/storage-schemas.conf", wrong)
        .refusal();
    for word in [
        "/etc/carbon/storage-schemas.conf: line 3",
        "[all] retentions",
        "unit 'x'",
    ] {
        assert!(refusal.contains(word), "{word}: {refusal}");
    }
}

#[test]
fn a_volume_that_is_no_data_directory_is_refused() {
    let schemas = "[all]\npattern = .*\nretentions = 60s:1d\nvolume = nvme\n";
    for (conf, known) in [
        ("[cache]\n", "is only "),
        (
            "[cache]\nLOCAL_DATA_DIRS = ssd=/srv/a, /srv/b\n",
            "are ssd (/srv/a), /srv/b: name one of these",
        ),
    ] {
        let refusal = Start::with(conf)
            .file("/etc/carbon/storage-schemas.conf", schemas)
            .refusal();
        for word in [
            "/etc/carbon/storage-schemas.conf: line 4",
            "[all] volume 'nvme'",
            known,
        ] {
            assert!(refusal.contains(word), "{word}: {refusal}");
        }
    }
    for named in ["ssd", "/srv/a", "/srv/b/"] {
        let schemas = schemas.replace("nvme", named);
        let loaded = Start::with("[cache]\nLOCAL_DATA_DIRS = ssd=/srv/a, /srv/b\n")
            .file("/etc/carbon/storage-schemas.conf", &schemas)
            .load()
            .unwrap();
        let number = loaded.rules.schemas.volume("a.b");
        assert_eq!(number, Some(usize::from(named == "/srv/b/")), "{named}");
        assert_eq!(loaded.warnings, [""; 0]);
    }
}

#[test]
fn files_that_cannot_be_read_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let latin = dir.path().join("latin.conf");
    std::fs::write(&latin, b"[cache]\nUSER = M\xfcller\n").unwrap();
    let huge = dir.path().join("huge.conf");
    std::fs::File::create(&huge)
        .unwrap()
        .set_len(17 << 20)
        .unwrap();
    for (path, word) in [
        (
            &latin,
            "line 2: the byte fc is no UTF-8; save the file as UTF-8",
        ),
        (&huge, "longer than"),
        (&dir.path().into(), "directory"),
    ] {
        let options = CacheOptions {
            config: Some(path.clone()),
            ..CacheOptions::default()
        };
        let refusal = config::load(&options, &|_| None, &read_file)
            .unwrap_err()
            .to_string();
        assert!(refusal.contains(word), "{word}: {refusal}");
        assert!(refusal.contains(&path.display().to_string()), "{refusal}");
    }
}

#[test]
fn a_data_directory_that_leaves_no_room_for_names_is_refused() {
    let conf = format!("[cache]\nLOCAL_DATA_DIR = /{}\n", "d".repeat(1024));
    let refusal = Start::with(&conf).refusal();
    assert!(
        refusal.contains("1025 bytes long; the longest is 1024"),
        "{refusal}"
    );
}
