//! carbon.conf as operators have it, from Python's own example to every mistake that we can name.
//! Files lie in memory except where reading them is what is tested. Expected values stand beside
//! the text they come from; every refusal is checked for its line, its key and its mend.

mod instances;
mod pages;
mod places;
mod refusals;

use std::io;
use std::path::{Path, PathBuf};

use benzene_engine::cache::Strategy;
use benzene_engine::device::Class;
use benzene_engine::ring::{Allocation, Driver};
use benzene_server::cli::CacheOptions;
use benzene_server::config::{self, ConfigError, Drive, Loaded, Rate, Service, Settings};

const SCHEMAS: &str = "[all]\npattern = .*\nretentions = 60s:1d\n";

/// Files, environment and flags of one start.
struct Start {
    files: Vec<(PathBuf, String)>,
    environment: Vec<(&'static str, &'static str)>,
    options: CacheOptions,
}

impl Start {
    /// `--config /etc/carbon/carbon.conf` with this text, and both rule files beside it.
    fn with(conf: &str) -> Start {
        let mut start = Start::without_config();
        start.options.config = Some(PathBuf::from("/etc/carbon/carbon.conf"));
        start
            .file("/etc/carbon/carbon.conf", conf)
            .file("/etc/carbon/storage-schemas.conf", SCHEMAS)
            .file("/etc/carbon/storage-aggregation.conf", "")
    }

    fn without_config() -> Start {
        let options = CacheOptions::default();
        Start {
            files: Vec::new(),
            environment: Vec::new(),
            options,
        }
    }

    fn file(mut self, path: &str, text: &str) -> Start {
        self.files.retain(|(known, _)| known != Path::new(path));
        self.files.push((PathBuf::from(path), text.to_owned()));
        self
    }

    fn without_file(mut self, path: &str) -> Start {
        self.files.retain(|(known, _)| known != Path::new(path));
        self
    }

    fn variable(mut self, name: &'static str, value: &'static str) -> Start {
        self.environment.push((name, value));
        self
    }

    fn flags(mut self, change: impl FnOnce(&mut CacheOptions)) -> Start {
        change(&mut self.options);
        self
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        let environment = |name: &str| {
            let found = self.environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let read = |path: &Path| {
            let found = self.files.iter().find(|(known, _)| known == path);
            found
                .map(|(_, text)| text.clone())
                .ok_or(io::ErrorKind::NotFound.into())
        };
        config::load(&self.options, &environment, &read)
    }

    fn settings(&self) -> Settings {
        self.load().unwrap().settings
    }

    fn refusal(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

fn address(text: &str) -> Option<std::net::SocketAddr> {
    let address = text.parse().ok();
    assert!(address.is_some(), "{text} is no address");
    address
}

#[test]
fn without_a_carbon_conf_everything_stays_on_this_machine() {
    let Loaded {
        settings,
        warnings,
        said,
        ..
    } = Start::without_config().load().unwrap();
    assert_eq!(settings.address(Service::Line), address("127.0.0.1:2003"));
    assert_eq!(
        settings.address(Service::Datagram),
        address("127.0.0.1:2003")
    );
    assert_eq!(settings.address(Service::Pickle), address("127.0.0.1:2004"));
    assert_eq!(settings.address(Service::Query), address("127.0.0.1:7002"));
    assert_eq!(settings.data_dir(), Path::new("benzene-data/whisper"));
    assert_eq!(settings.config_file, None);
    assert_eq!(settings.allocation, Allocation::Fallocate);
    assert_eq!(warnings, [""; 0]);
    assert!(
        said.iter().any(|fact| fact.contains("no carbon.conf")),
        "{said:?}"
    );
}

#[test]
fn an_empty_cache_section_has_the_defaults_of_python() {
    let Loaded {
        settings,
        warnings,
        said,
        ..
    } = Start::with("[cache]\n").load().unwrap();
    assert_eq!(settings.address(Service::Line), address("0.0.0.0:2003"));
    assert_eq!(settings.address(Service::Datagram), None);
    assert_eq!(settings.address(Service::Pickle), address("0.0.0.0:2004"));
    assert_eq!(settings.address(Service::Query), address("0.0.0.0:7002"));
    assert_eq!(settings.pickle_frame_bytes_max, 1 << 20);
    assert_eq!(
        (settings.cache_points_max, settings.cache_bytes_max),
        (None, None)
    );
    assert!(settings.flow_control && settings.tag_hash_filenames);
    for class in [Class::Ssd, Class::Hdd, Class::Unknown] {
        let (updates, creates) = (
            settings.disk.updates.of(class),
            settings.disk.creates.of(class),
        );
        assert_eq!((updates.rate, updates.line), (Rate::Auto, None));
        assert_eq!((creates.rate, creates.line), (Rate::Auto, None));
    }
    assert_eq!(settings.disk.class, None);
    assert_eq!(settings.disk.updates_in_flight_max, None);
    assert_eq!(settings.disk.kernel_workers_max, None);
    assert_eq!(settings.disk.in_disk_order, None);
    assert!(!settings.disk.fadvise_random);
    assert_eq!(settings.updates_per_second_on_shutdown, None);
    assert_eq!(settings.strategy, Strategy::Deadline);
    assert_eq!(
        (settings.timestamp_lag_s, settings.timestamp_resolution_s),
        (0, 1)
    );
    assert_eq!(settings.allocation, Allocation::Zeros);
    assert!(!settings.autoflush && !settings.lock_writes);
    assert_eq!(
        (settings.metric_prefix.as_str(), settings.metric_interval_s),
        ("carbon", 60)
    );
    assert_eq!(settings.shards, None);
    assert_eq!(warnings, [""; 0]);
    for word in [
        "listening on 0.0.0.0",
        "UDP is off",
        "announced to graphite-web at http://127.0.0.1:80",
        "[cache] of /etc/carbon",
    ] {
        assert!(
            said.iter().any(|fact| fact.contains(word)),
            "{word}: {said:?}"
        );
    }
}

#[test]
fn one_warning_names_everything_without_effect() {
    let conf = "[cache]\nUSE_INSECURE_UNPICKLER = True\nLOG_UPDATES = False\nMAX_CACHE_SIE = 5\n\
                LOG_DIR = /var/log/carbon\nSITE = berlin\nWHITELISTS_DIR = /x\nUSER = carbon\n\
                MAX_QUEUE_SIZE = 5\nENABLE_AMQP = False\nAMQP_HOST = mq ; old\nRAVEN_DSN = https://key@sentry\n";
    let warnings = Start::with(conf).load().unwrap().warnings;
    let [warning] = warnings.as_slice() else {
        panic!("{warnings:?}")
    };
    for word in [
        "/etc/carbon/carbon.conf",
        "USE_INSECURE_UNPICKLER = True in line 2 (no pickle ever runs code",
        "MAX_CACHE_SIE in line 4 is no option (did you mean MAX_CACHE_SIZE?)",
        "SITE in line 6 is no option",
        "RAVEN_DSN in line 12",
    ] {
        assert!(warning.contains(word), "{word}: {warning}");
    }
    for word in [
        "LOG_UPDATES",
        "LOG_DIR",
        "USER in line",
        "WHITELISTS_DIR",
        "MAX_QUEUE_SIZE",
        "AMQP",
        "key@",
    ] {
        assert!(!warning.contains(word), "{word}: {warning}");
    }
}

#[test]
fn settings_that_do_less_than_they_seem_to_are_named() {
    for (conf, word) in [
        (
            "MIN_TIMESTAMP_LAG = 5",
            "only with CACHE_WRITE_STRATEGY = timesorted",
        ),
        ("MIN_TIMESTAMP_RESOLUTION = 0", "acts as 1"),
        ("GRAPHITE_URL =", "GRAPHITE_URL is empty, and no series"),
        (
            "USER =\n[cache:a]\nSTORAGE_DIR = /b",
            "set LOCAL_DATA_DIR too",
        ),
    ] {
        let loaded = Start::with(&format!("[cache]\n{conf}\n")).load().unwrap();
        let [warning] = loaded.warnings.as_slice() else {
            panic!("{:?}", loaded.warnings)
        };
        assert!(warning.contains(word), "{conf}: {warning}");
        assert_eq!(loaded.settings.timestamp_resolution_s, 1);
    }
    let conf = "[cache]\nMIN_TIMESTAMP_LAG = 5\nCACHE_WRITE_STRATEGY = timesorted\n";
    assert_eq!(Start::with(conf).load().unwrap().warnings, [""; 0]);
    let conf = "[cache]\nMAX_POINT_AGE = 30\nCACHE_WRITE_STRATEGY = max\n";
    assert_eq!(Start::with(conf).load().unwrap().warnings, [""; 0]);
    let conf = "[cache]\nMAX_POINT_AGE = 5\nCACHE_WRITE_STRATEGY = deadline\n";
    let loaded = Start::with(conf).load().unwrap();
    assert_eq!(loaded.warnings, [""; 0]);
    let settings = loaded.settings;
    assert_eq!(
        (settings.strategy, settings.disk.max_point_age_s),
        (Strategy::Deadline, Some(5))
    );
    let conf = "[cache]\nMAX_POINT_AGE = auto\n";
    let loaded = Start::with(conf).load().unwrap();
    assert_eq!(
        (
            loaded.warnings.as_slice(),
            loaded.settings.disk.max_point_age_s
        ),
        (&[][..], None)
    );
}

#[test]
fn a_rate_of_a_class_wins_over_the_one_for_all() {
    let conf = "[cache]\nDEVICE_CLASS = hdd\nMAX_UPDATES_PER_SECOND = 500\n\
                MAX_UPDATES_PER_SECOND_HDD = 90\nMAX_CREATES_PER_MINUTE_SSD = inf\n\
                UPDATES_IN_FLIGHT = 8\nKERNEL_WORKERS = 16\nDISK_ORDER = off\n";
    let loaded = Start::with(conf).load().unwrap();
    assert_eq!(loaded.warnings, [""; 0]);
    let disk = loaded.settings.disk;
    assert_eq!(disk.class, Some(Class::Hdd));
    let chosen = [Class::Hdd, Class::Ssd, Class::Unknown].map(|class| disk.updates.of(class));
    let [hdd, ssd, unknown] = chosen;
    assert_eq!((hdd.rate, hdd.line), (Rate::Limited(90.0), Some(4)));
    assert_eq!(hdd.option, "MAX_UPDATES_PER_SECOND_HDD");
    assert_eq!((ssd.rate, ssd.line), (Rate::Limited(500.0), Some(3)));
    assert_eq!((unknown.rate, unknown.line), (ssd.rate, ssd.line));
    assert_eq!(disk.creates.of(Class::Ssd).rate, Rate::Unlimited);
    assert_eq!(disk.creates.of(Class::Hdd).rate, Rate::Auto);
    assert_eq!(disk.updates_in_flight_max, Some(8));
    assert_eq!(disk.kernel_workers_max, Some(16));
    assert_eq!(disk.in_disk_order, Some(false));
}

#[test]
fn a_file_without_our_section_says_so() {
    let warnings = Start::with("[relay]\nUSER = x\n").load().unwrap().warnings;
    assert!(
        warnings[0].contains("neither [cache] nor [cache:a]"),
        "{warnings:?}"
    );
}

#[test]
fn fallocate_wins_over_sparse_as_in_python() {
    for (sparse, fallocate, want) in [
        ("off", "off", Allocation::Zeros),
        ("on", "off", Allocation::Sparse),
        ("off", "on", Allocation::Fallocate),
        ("on", "on", Allocation::Fallocate),
    ] {
        let conf = format!(
            "[cache]\nWHISPER_SPARSE_CREATE = {sparse}\nWHISPER_FALLOCATE_CREATE = {fallocate}\n"
        );
        assert_eq!(Start::with(&conf).settings().allocation, want, "{conf}");
    }
}

#[test]
fn only_a_driver_that_nobody_named_falls_back() {
    let poll = Some(Driver::PollSync);
    for (sockets, files, first, fallback) in [
        ("auto", "auto", Driver::Uring, poll),
        ("auto", "sync", Driver::UringSync, poll),
        ("auto", "uring", Driver::Uring, None),
        ("uring", "auto", Driver::Uring, None),
        ("uring", "sync", Driver::UringSync, None),
        ("uring", "uring", Driver::Uring, None),
        ("poll", "auto", Driver::PollSync, None),
        ("poll", "sync", Driver::PollSync, None),
    ] {
        let conf = format!("[cache]\nRING_DRIVER = {sockets}\nWRITER_BACKEND = {files}\n");
        let want = Drive {
            first,
            fallback,
            are_files_open: files == "auto",
        };
        assert_eq!(Start::with(&conf).settings().drive, want, "{conf}");
    }
    let alone = Start::without_config().settings().drive;
    assert_eq!((alone.first, alone.fallback), (Driver::Uring, poll));
}

#[test]
fn several_data_directories_are_written_by_threads_unless_uring_is_named() {
    let poll = Some(Driver::PollSync);
    for (sockets, files, first, fallback) in [
        ("auto", "auto", Driver::UringSync, poll),
        ("auto", "sync", Driver::UringSync, poll),
        ("auto", "uring", Driver::Uring, None),
        ("uring", "auto", Driver::UringSync, None),
        ("uring", "uring", Driver::Uring, None),
        ("poll", "auto", Driver::PollSync, None),
    ] {
        let conf = format!(
            "[cache]\nLOCAL_DATA_DIRS = /srv/a, /srv/b\nRING_DRIVER = {sockets}\n\
             WRITER_BACKEND = {files}\n"
        );
        let loaded = Start::with(&conf).load().unwrap();
        let want = Drive {
            first,
            fallback,
            are_files_open: files == "auto",
        };
        assert_eq!(loaded.settings.drive, want, "{conf}");
        let is_warned = |said: &String| said.contains("a disk that hangs holds up the others");
        let warned = loaded.warnings.iter().any(is_warned);
        assert_eq!(warned, first == Driver::Uring, "{:?}", loaded.warnings);
    }
    let one = "[cache]\nLOCAL_DATA_DIRS = /srv/a\n";
    assert_eq!(Start::with(one).settings().drive.first, Driver::Uring);
}
