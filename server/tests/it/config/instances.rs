//! Several instances of one carbon.conf in one process: which they are, what adds up, what has to
//! agree, and which ports are whose.

use benzene_engine::device::Class;
use benzene_server::config::{At, Door, Rate, Service, Share};

use super::Start;

/// (instance, service, address) of every door.
fn doors(start: &Start) -> Vec<(String, Service, String)> {
    let settings = start.settings();
    let told = |door: &Door| {
        let name = settings.instances[door.instance].name.clone();
        (name, door.service, door.at.to_string())
    };
    settings.doors.iter().map(told).collect()
}

fn names(conf: &str) -> Vec<String> {
    let settings = Start::with(conf).settings();
    settings.instances.into_iter().map(|it| it.name).collect()
}

#[test]
fn every_section_is_an_instance_and_cache_alone_is_a() {
    for (conf, want) in [
        ("[cache]\n", &["a"][..]),
        ("[relay]\n", &["a"]),
        ("[cache]\n[cache:a]\n", &["a"]),
        ("[cache]\n[cache:c]\n[cache:b]\n", &["a", "c", "b"]),
        ("[cache:2]\n[cache:1]\n[cache:a]\n", &["a", "2", "1"]),
        (
            "[cache]\nINSTANCES = 1, 2\n[cache:1]\nCACHE_QUERY_PORT = 7102\n[cache:2]\n[cache:3]\n",
            &["1", "2"],
        ),
        ("[cache]\nINSTANCES = b\n[cache:b]\n", &["b"]),
    ] {
        let conf = numbered(conf);
        assert_eq!(names(&conf), want, "{conf}");
    }
    let start = Start::with("[cache]\n[cache:b]\n").flags(|it| it.instance = Some("c".to_owned()));
    assert_eq!(start.settings().instances.len(), 1);
}

/// Gives each section of an instance a query port of its own.
fn numbered(conf: &str) -> String {
    let mut port = 7200;
    let lines = conf.lines().map(|line| {
        port += 1;
        if line.starts_with("[cache:") {
            format!("{line}\nCACHE_QUERY_PORT = {port}\n")
        } else if line.starts_with("CACHE_QUERY_PORT") {
            String::new()
        } else {
            format!("{line}\n")
        }
    });
    lines.collect()
}

const TWO: &str = "[cache]\nMAX_CACHE_SIZE = 1000\nMAX_UPDATES_PER_SECOND = 500\n\
                   MAX_CREATES_PER_MINUTE = 50\nMAX_CACHE_BYTES = 1g\n\
                   MAX_UPDATES_PER_SECOND_ON_SHUTDOWN = 1000\n\
                   [cache:b]\nLINE_RECEIVER_PORT = 2103\nPICKLE_RECEIVER_PORT = 2104\n\
                   CACHE_QUERY_PORT = 7102\nMAX_CACHE_SIZE = 500\n";

#[test]
fn sizes_and_rates_add_up_and_open_ones_stay_open() {
    let loaded = Start::with(TWO).load().unwrap();
    let settings = loaded.settings;
    assert_eq!(settings.cache_points_max, Some(1500));
    assert_eq!(settings.cache_bytes_max, Some(2 << 30));
    let updates = settings.disk.updates.of(Class::Ssd);
    assert_eq!(
        (updates.rate, updates.line),
        (Rate::Limited(1000.0), Some(3))
    );
    assert_eq!(
        settings.disk.creates.of(Class::Hdd).rate,
        Rate::Limited(100.0)
    );
    let shutdown = settings.updates_per_second_on_shutdown;
    assert_eq!(shutdown, Some(Rate::Limited(2000.0)));
    let said = loaded.said.join("\n");
    for word in [
        "instances a, b in one process",
        "MAX_CACHE_SIZE = 1500",
        "MAX_UPDATES_PER_SECOND = 1000",
    ] {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    for (line, points, rate) in [
        ("MAX_CACHE_SIZE = inf", None, Rate::Limited(1000.0)),
        ("MAX_UPDATES_PER_SECOND = inf", Some(1500), Rate::Unlimited),
        ("MAX_UPDATES_PER_SECOND = auto", Some(1500), Rate::Auto),
    ] {
        let conf = TWO.replace(
            "CACHE_QUERY_PORT = 7102\n",
            &format!("CACHE_QUERY_PORT = 7102\n{line}\n"),
        );
        let conf = if line.starts_with("MAX_CACHE_SIZE") {
            conf.replace("MAX_CACHE_SIZE = 500\n", "")
        } else {
            conf
        };
        let settings = Start::with(&conf).settings();
        assert_eq!(settings.cache_points_max, points, "{line}");
        assert_eq!(settings.disk.updates.of(Class::Ssd).rate, rate, "{line}");
    }
    // By class of disk: an instance that has no rate for the class has the one for all.
    let settings = Start::with(&format!("{TWO}MAX_UPDATES_PER_SECOND_HDD = 90\n")).settings();
    assert_eq!(
        settings.disk.updates.of(Class::Hdd).rate,
        Rate::Limited(590.0)
    );
    assert_eq!(
        settings.disk.updates.of(Class::Ssd).rate,
        Rate::Limited(1000.0)
    );
    // By itself each has its own.
    let single = Start::with(TWO).flags(|flags| flags.instance = Some("b".to_owned()));
    assert_eq!(single.settings().cache_points_max, Some(500));
}

#[test]
fn a_process_takes_its_part_of_the_machine() {
    let eight: Vec<String> = (1..=8)
        .map(|n| format!("[cache:{n}]\nCACHE_QUERY_PORT = {}\n", 7100 + n))
        .collect();
    let of = |conf: &str, instance: Option<&str>| {
        let start = Start::with(conf).flags(|flags| flags.instance = instance.map(str::to_owned));
        let Share { served, all } = start.settings().share;
        (served, all)
    };
    let eight = format!("[cache]\n{}", eight.concat());
    let listed = eight.replace("[cache]\n", "[cache]\nINSTANCES = 1, 2, 9\n");
    for (conf, instance, want) in [
        ("[cache]\n", None, (1, 1)),
        ("[cache]\n", Some("b"), (1, 1)),
        ("[cache]\n[cache:a]\n", Some("a"), (1, 1)),
        (TWO, None, (2, 2)),
        (TWO, Some("a"), (1, 2)),
        (TWO, Some("b"), (1, 2)),
        (TWO, Some("c"), (1, 3)),
        (&eight, None, (9, 9)),
        (&eight, Some("3"), (1, 9)),
        (&listed, None, (3, 9)),
        (&listed, Some("3"), (1, 9)),
    ] {
        assert_eq!(of(conf, instance), want, "{conf} {instance:?}");
    }
    let gib = 1 << 30;
    let open = Start::with("[cache]\n[cache:b]\nCACHE_QUERY_PORT = 7102\n");
    let settings = open.settings();
    assert_eq!(settings.cache_bytes(16 * gib), 8 * gib);
    let loaded = open
        .flags(|flags| flags.instance = Some("b".to_owned()))
        .load()
        .unwrap();
    assert_eq!(loaded.settings.cache_bytes(16 * gib), 4 * gib);
    assert_eq!(loaded.settings.journal.unwrap().bytes(40 * gib), 2 * gib);
    let said = loaded.said.join("\n");
    assert!(said.contains("it takes 1/2"), "{said}");
    // What is written holds for each.
    let b = Start::with(TWO).flags(|flags| flags.instance = Some("b".to_owned()));
    assert_eq!(b.settings().cache_bytes(16 * gib), gib);
}

#[test]
fn what_must_agree_is_refused_with_both_lines() {
    for (line, words) in [
        (
            "LOCAL_DATA_DIR = /other",
            [
                "LOCAL_DATA_DIR of instance b",
                "line 12 [cache:b]",
                "instance a (not set",
            ],
        ),
        (
            "CACHE_WRITE_STRATEGY = max",
            [
                "CACHE_WRITE_STRATEGY of instance b",
                "line 12",
                "--instance NAME",
            ],
        ),
        (
            "JOURNAL = False",
            ["JOURNAL of instance b", "= False", "= True"],
        ),
    ] {
        let refusal = Start::with(&format!("{TWO}{line}\n")).refusal();
        for word in words {
            assert!(refusal.contains(word), "no {word:?} in {refusal}");
        }
    }
    let agreeing = format!("{TWO}CACHE_WRITE_STRATEGY = deadline\nJOURNAL = yes\n");
    assert!(Start::with(&agreeing).load().is_ok());
    let refusal = Start::with("[cache]\n[cache:x y]\n").refusal();
    assert!(
        refusal.contains("line 2 [cache:x y]") && refusal.contains("no name"),
        "{refusal}"
    );
}

#[test]
fn a_port_is_one_instance_s_unless_receivers_share_it() {
    let refusal = Start::with(
        "[cache]\nCACHE_QUERY_PORT = 7005\n[cache:a]\n[cache:b]\nCACHE_QUERY_PORT = 7005\n",
    )
    .refusal();
    for word in [
        "CACHE_QUERY_PORT of instance a",
        "line 2 [cache]",
        "CACHE_QUERY_PORT of instance b",
        "line 5 [cache:b]",
        "0.0.0.0:7005",
    ] {
        assert!(refusal.contains(word), "no {word:?} in {refusal}");
    }
    let refusal = Start::with(
        "[cache]\n[cache:a]\n[cache:b]\nCACHE_QUERY_PORT = 7102\nLINE_RECEIVER_PORT = 2004\n",
    )
    .refusal();
    for word in [
        "PICKLE_RECEIVER_PORT of instance a (not set",
        "LINE_RECEIVER_PORT of instance b",
        "line 5",
    ] {
        assert!(refusal.contains(word), "no {word:?} in {refusal}");
    }
    // Python's instances share receivers' ports by SO_REUSEPORT, and so may these.
    let start = Start::with("[cache]\n[cache:a]\n[cache:b]\nCACHE_QUERY_PORT = 7102\n");
    let said = start.load().unwrap().said.join("\n");
    assert!(
        said.contains("instances a and b share the line receiver (TCP) at 0.0.0.0:2003"),
        "{said}"
    );
    let found = doors(&start);
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn an_instance_that_nobody_named_gives_way() {
    let conf = "[cache]\n[cache:1]\n[cache:2]\nLINE_RECEIVER_PORT = 2103\nPICKLE_RECEIVER_PORT = 2104\n\
                CACHE_QUERY_PORT = 7102\n";
    let start = Start::with(conf);
    let settings = start.settings();
    assert_eq!(settings.instance, "1", "a has nothing left to listen on");
    assert!(doors(&start).iter().all(|(name, ..)| name != "a"));
    assert_eq!(
        settings.journal_dir,
        std::path::Path::new("/opt/graphite/storage/journal/1")
    );
    // What a relay has that runs in front of the others.
    let relay = "[relay]\nLINE_RECEIVER_PORT = 2003\nPICKLE_RECEIVER_PORT = 2004\n";
    let conf = format!("{relay}DESTINATIONS = 10.0.0.1:2104:b, [::1]:2204:c\n{TWO}");
    let start = Start::with(&conf);
    let found = doors(&start);
    let of_a: Vec<_> = found.iter().filter(|(name, ..)| name == "a").collect();
    assert_eq!(
        of_a,
        [&("a".to_owned(), Service::Query, "0.0.0.0:7002".to_owned())]
    );
    let loaded = start.load().unwrap();
    let said = loaded.warnings.join("\n");
    for word in [
        "instance a does not listen for the line receiver (TCP): port 2003 is that of [relay] (line 2)",
        "instance a does not listen for the pickle receiver: port 2004",
        "name it in INSTANCES",
    ] {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    // By itself it does as Python's does.
    let single = Start::with(&conf).flags(|flags| flags.instance = Some("a".to_owned()));
    assert_eq!(doors(&single).len(), 3);
}

/// One carbon.conf for the hosts of relays and for those of caches.
#[test]
fn an_instance_listens_where_no_relay_of_the_file_runs_in_front_of_others() {
    let relay = "[relay]\nLINE_RECEIVER_PORT = 2003\nPICKLE_RECEIVER_PORT = 2004\n";
    for destinations in [
        "",
        "DESTINATIONS =\n",
        // A relay does not send to its own port, unless that is another host's.
        "DESTINATIONS = 10.0.0.1:2004:a, 10.0.0.1:2104:b\n",
    ] {
        let start = Start::with(&format!("{relay}{destinations}{TWO}"));
        let found = doors(&start);
        let of_a = found.iter().filter(|(name, ..)| name == "a");
        assert_eq!(of_a.count(), 3, "{destinations}: {found:?}");
        let loaded = start.load().unwrap();
        let rivals: Vec<_> = loaded
            .settings
            .doors
            .iter()
            .map(|door| &door.rival)
            .collect();
        let wanted = [Some("[relay] (line 2)"), Some("[relay] (line 3)"), None];
        let rivals: Vec<_> = rivals[..3].iter().map(|it| it.as_deref()).collect();
        assert_eq!(rivals, wanted, "{destinations}");
        let said = loaded.warnings.join("\n");
        assert!(
            said.contains("port 2003, which [relay] (line 2) asks for too"),
            "{said}"
        );
    }
    // One that is named has its ports, whatever else there is.
    let named = format!("{relay}{TWO}").replace("[cache]\n", "[cache]\nINSTANCES = a, b\n");
    let loaded = Start::with(&named).load().unwrap();
    assert!(
        loaded
            .settings
            .doors
            .iter()
            .all(|door| door.rival.is_none())
    );
    assert_eq!(loaded.warnings, [""; 0]);
}

#[test]
fn flags_stand_for_all_instances() {
    let start = Start::with(TWO).flags(|flags| {
        flags.line = "127.0.0.1:2999".parse().ok();
        flags.query = "off".parse().ok();
    });
    let found = doors(&start);
    let lines: Vec<_> = found
        .iter()
        .filter(|(_, it, _)| *it == Service::Line)
        .collect();
    assert_eq!(
        lines,
        [&("a".to_owned(), Service::Line, "127.0.0.1:2999".to_owned())]
    );
    assert!(
        found
            .iter()
            .all(|(_, service, _)| *service != Service::Query)
    );
}

#[test]
fn an_interface_may_be_several() {
    let conf = "[cache]\nLINE_RECEIVER_INTERFACE = 0.0.0.0, ::\nPICKLE_RECEIVER_INTERFACE = ::\n\
                CACHE_QUERY_INTERFACE = 127.0.0.1, localhost, 127.0.0.2\nLINE_RECEIVER_SOCKET = /run/line\n";
    let settings = Start::with(conf).settings();
    let found: Vec<(String, bool)> = settings
        .doors
        .iter()
        .map(|door| (door.at.to_string(), door.is_only_v6))
        .collect();
    let want = [
        ("0.0.0.0:2003", false),
        ("[::]:2003", true),
        ("/run/line", false),
        ("[::]:2004", false),
        ("127.0.0.1:7002", false),
        ("127.0.0.2:7002", false),
    ];
    assert_eq!(found, want.map(|(at, only)| (at.to_owned(), only)));
    assert!(matches!(settings.doors[2].at, At::Unix(_)));
    for (line, word) in [
        ("LINE_RECEIVER_SOCKET = relative", "absolute path"),
        ("SOCKET_MODE = 888", "octal"),
        ("SOCKET_MODE = 66", "octal"),
        (
            "LINE_RECEIVER_INTERFACE = 0.0.0.0, no such host",
            "no address is known",
        ),
    ] {
        let refusal = Start::with(&format!("[cache]\n{line}\n")).refusal();
        assert!(
            refusal.contains("line 2") && refusal.contains(word),
            "{refusal}"
        );
    }
}
