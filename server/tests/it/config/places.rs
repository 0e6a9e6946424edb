//! What holds where several say something: sections, references, environment, file, flags.
//! Each case says the same thing in several places and checks who wins, as in Python carbon; flags,
//! which Python has not, win over all.

use std::path::{Path, PathBuf};

use benzene_server::cli::Listen;
use benzene_server::config::Service;

use super::{SCHEMAS, Start, address};

#[test]
fn an_instance_changes_what_the_cache_section_says() {
    let conf = "[cache]\nLINE_RECEIVER_PORT = 2003\nMAX_CACHE_SIZE = 5\n\
                [cache:b]\nLINE_RECEIVER_PORT = 2103\n[cache:c]\nLINE_RECEIVER_PORT = 2203\n";
    for (instance, port) in [("a", 2003), ("b", 2103), ("c", 2203)] {
        let start = Start::with(conf).flags(|flags| flags.instance = Some(instance.to_owned()));
        let settings = start.settings();
        assert_eq!(
            settings.address(Service::Line),
            address(&format!("0.0.0.0:{port}")),
            "{instance}"
        );
        assert_eq!(settings.cache_points_max, Some(5), "{instance}");
        assert_eq!(settings.instance, instance);
    }
}

#[test]
fn default_section_lends_its_keys_as_in_python() {
    let conf = "[DEFAULT]\nSITE = /srv/berlin\nMAX_CACHE_SIZE = 5\n\
                [cache]\nSTORAGE_DIR = %(SITE)s/storage\nMAX_CACHE_SIZE = 6\n";
    let loaded = Start::with(conf).load().unwrap();
    assert_eq!(
        loaded.settings.data_dir(),
        Path::new("/srv/berlin/storage/whisper")
    );
    assert_eq!(
        loaded.settings.cache_points_max,
        Some(6),
        "[cache] wins over [DEFAULT]"
    );
    assert_eq!(loaded.warnings, [""; 0], "SITE is there to be referred to");
    let again = Start::with(&format!("{conf}[cache:a]\nUSE_FLOW_CONTROL = off\n")).settings();
    assert_eq!(
        again.cache_points_max,
        Some(5),
        "[cache:a] inherits [DEFAULT] over [cache]"
    );
}

#[test]
fn references_name_keys_of_the_section_and_the_derived_directories() {
    for (conf, data) in [
        (
            "STORAGE_DIR = /srv/g\nLOCAL_DATA_DIR = %(STORAGE_DIR)s/x\n",
            "/srv/g/x",
        ),
        (
            "storage_dir: /srv/g/\nLOCAL_DATA_DIR: %(Storage_Dir)s/100%%\n",
            "/srv/g/100%",
        ),
        (
            "LOCAL_DATA_DIR = %(STORAGE_DIR)s/x\n",
            "/opt/graphite/storage/x",
        ),
    ] {
        let settings = Start::with(&format!("[cache]\n{conf}")).settings();
        assert_eq!(settings.data_dir(), Path::new(data), "{conf}");
    }
}

#[test]
fn log_files_and_pid_file_lie_where_python_has_them() {
    for (conf, want) in [
        (
            "STORAGE_DIR = /s\n",
            [
                "/s/log/carbon-cache/carbon-cache-a",
                "/s/carbon-cache-a.pid",
            ],
        ),
        (
            "STORAGE_DIR = /s\nLOG_DIR = /var/log/carbon/\nPID_DIR = /run\n",
            ["/var/log/carbon/carbon-cache-a", "/run/carbon-cache-a.pid"],
        ),
        // As the Whisper files: derived before [cache:a] is read.
        (
            "STORAGE_DIR = /s\n[cache:a]\nSTORAGE_DIR = /t\n",
            [
                "/s/log/carbon-cache/carbon-cache-a",
                "/s/carbon-cache-a.pid",
            ],
        ),
    ] {
        let start = Start::with(&format!("[cache]\n{conf}"));
        let settings = start.settings();
        let found = [settings.log_dir, settings.pid_file];
        assert_eq!(found, want.map(PathBuf::from), "{conf:?}");
        let flagged = start.flags(|flags| {
            flags.logdir = Some(PathBuf::from("/flag/logs"));
            flags.pidfile = Some(PathBuf::from("/flag/pid"));
        });
        let settings = flagged.settings();
        let found = [settings.log_dir, settings.pid_file];
        assert_eq!(found, ["/flag/logs", "/flag/pid"].map(PathBuf::from));
    }
}

#[test]
fn each_instance_has_its_journal_below_journal_dir() {
    let paths = |paths: &[PathBuf]| -> Vec<String> {
        paths.iter().map(|it| it.display().to_string()).collect()
    };
    let conf = "[cache]\nJOURNAL_DIR = /j/\n[cache:b]\nCACHE_QUERY_PORT = 7102\n";
    let settings = Start::with(conf).settings();
    assert_eq!(settings.journal_dir, Path::new("/j/a"));
    let of_all: Vec<&Path> = settings.journal_dirs().skip(1).collect();
    assert_eq!(of_all, [Path::new("/j/a"), Path::new("/j/b")]);
    assert_eq!(paths(&settings.journals), ["/j"]);
    assert_eq!(paths(&settings.bare_journals), ["/j"]);
    let of_b = Start::with(conf).flags(|flags| flags.instance = Some("b".to_owned()));
    assert_eq!(of_b.settings().journal_dir, Path::new("/j/b"));
    // A flag is the directory itself, and no other is asked for.
    let flagged = of_b.flags(|flags| flags.journal_dir = Some(PathBuf::from("/flag")));
    let settings = flagged.settings();
    assert_eq!(settings.journal_dir, Path::new("/flag"));
    assert_eq!(paths(&settings.bare_journals), [""; 0]);
    let settings = Start::with("[cache]\n").settings();
    assert_eq!(paths(&settings.journals), ["/opt/graphite/storage/journal"]);
    assert_eq!(paths(&settings.bare_journals), [""; 0]);
}

#[test]
fn environment_file_and_flags_place_the_directories() {
    let storage = ("GRAPHITE_STORAGE_DIR", "/env/storage");
    let root = ("GRAPHITE_ROOT", "/env/root");
    for (variables, conf, want) in [
        (
            &[][..],
            "",
            ["/opt/graphite/storage", "/opt/graphite/storage/whisper"],
        ),
        (
            &[root],
            "",
            ["/env/root/storage", "/env/root/storage/whisper"],
        ),
        (
            &[root, storage],
            "",
            ["/env/storage", "/env/storage/whisper"],
        ),
        (
            &[storage],
            "STORAGE_DIR =\n",
            ["/env/storage", "/env/storage/whisper"],
        ),
        (
            &[storage],
            "STORAGE_DIR = /conf\n",
            ["/conf", "/conf/whisper"],
        ),
        (
            &[storage],
            "STORAGE_DIR = ~/g\n",
            ["/home/c/g", "/home/c/g/whisper"],
        ),
        (
            &[storage],
            "LOCAL_DATA_DIR = /conf/w/\n",
            ["/env/storage", "/conf/w"],
        ),
        (
            &[],
            "STORAGE_DIR = /s\n[cache:a]\nSTORAGE_DIR = /t\n",
            ["/t", "/s/whisper"],
        ),
    ] {
        let mut start = Start::with(&format!("[cache]\n{conf}")).variable("HOME", "/home/c");
        start.environment.extend(variables);
        let settings = start.settings();
        let found = [settings.storage_dir.clone(), settings.data_dir().to_owned()];
        assert_eq!(found, want.map(PathBuf::from), "{variables:?} {conf:?}");
        let flagged = start.flags(|flags| flags.storage_dir = Some(PathBuf::from("/flag")));
        assert_eq!(flagged.settings().storage_dir, Path::new("/flag"));
        let flagged = flagged.flags(|flags| flags.data_dir = Some(PathBuf::from("/flag/w")));
        assert_eq!(flagged.settings().data_dir(), Path::new("/flag/w"));
    }
}

#[test]
fn the_environment_leads_to_carbon_conf_as_for_python() {
    let conf = "[cache]\nMAX_CACHE_SIZE = 7\n";
    let start = Start::without_config()
        .variable("GRAPHITE_CONF_DIR", "/env/conf")
        .file("/env/conf/carbon.conf", conf)
        .file("/env/conf/storage-schemas.conf", SCHEMAS);
    assert_eq!(start.settings().cache_points_max, Some(7));
    assert_eq!(start.settings().conf_dir, Path::new("/env/conf"));
    let refusal = start.without_file("/env/conf/carbon.conf").refusal();
    for word in [
        "/env/conf/carbon.conf",
        "GRAPHITE_CONF_DIR",
        "give --config",
    ] {
        assert!(refusal.contains(word), "{word}: {refusal}");
    }
}

#[test]
fn conf_dir_of_the_file_says_where_the_rules_are() {
    let start = Start::with("[cache]\nCONF_DIR = /rules\n")
        .without_file("/etc/carbon/storage-schemas.conf")
        .file("/rules/storage-schemas.conf", SCHEMAS);
    assert_eq!(start.settings().conf_dir, Path::new("/rules"));
}

#[test]
fn flags_win_over_the_file() {
    let conf = "[cache]\nLINE_RECEIVER_INTERFACE = 127.0.0.3\nSHARDS = 8\n";
    let settings = Start::with(conf)
        .flags(|flags| {
            flags.line = Some(Listen::At {
                host: None,
                port: 0,
            });
            flags.udp = "127.0.0.1:2999".parse().ok();
            flags.pickle = Some(Listen::Off);
            flags.query = "localhost:7999".parse().ok();
            flags.shards = Some(2);
        })
        .settings();
    assert_eq!(
        settings.address(Service::Line),
        address("127.0.0.3:0"),
        "the file's interface, the flag's port"
    );
    assert_eq!(
        settings.address(Service::Datagram),
        address("127.0.0.1:2999"),
        "a flag turns UDP on"
    );
    assert_eq!(settings.address(Service::Pickle), None);
    assert_eq!(settings.address(Service::Query), address("127.0.0.1:7999"));
    assert_eq!(settings.shards, Some(2));
    let refusal = Start::with(conf)
        .flags(|flags| flags.shards = Some(0))
        .refusal();
    assert!(
        refusal.contains("--shards 0: the smallest is 1"),
        "{refusal}"
    );
    let wrong = "no-such-host.invalid:1".parse().ok();
    let refusal = Start::with(conf)
        .flags(|flags| flags.query = wrong)
        .refusal();
    assert!(
        refusal.starts_with("--query no-such-host.invalid: no address"),
        "{refusal}"
    );
}

#[test]
fn port_0_turns_a_listener_off() {
    let conf = "[cache]\nLINE_RECEIVER_PORT = 0\nPICKLE_RECEIVER_PORT = 0\nCACHE_QUERY_PORT = 0\n\
                ENABLE_UDP_LISTENER = True\nUDP_RECEIVER_PORT = 0\n";
    let doors = Start::with(conf).settings().doors;
    assert!(doors.is_empty(), "{doors:?}");
}
