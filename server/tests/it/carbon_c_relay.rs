//! A real carbon-c-relay in front of three instances of one process: whichever port its hash picks, a
//! metric is found at all of them, and a restart behind its back loses nothing.
//! Its hash leaves tags out, graphite-web's does not: where each instance is a process of its own,
//! tagged metrics are asked for at the wrong one.
#![expect(
    clippy::disallowed_methods,
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a test builds its text simply, and sends for a while"
)]

use std::io::Write as _;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use crate::daemon::{Daemon, Querier, Setup, python, wait_for};
use crate::first_use::now;
use crate::instances::{HELD, NAMES, Three, local};
use crate::peer::Peer;
use crate::relay::COMPARE;
use crate::selfmetrics::host;

const METRICS: u32 = 10_000;

/// What keeps points in the cache for as long as they are asked for.
const CONF: &str = "ENABLE_TAGS = False\nCARBON_METRIC_INTERVAL = 1\nMAX_POINT_AGE = 3600\n";

/// Starts one that deals what it gets to three instances, by a hash.
fn start(hash: &str, three: &Three) -> Peer {
    let root = tempfile::tempdir().unwrap();
    let free = TcpListener::bind(local(0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let members: String = three
        .ports
        .iter()
        .zip(NAMES)
        .map(|(ports, name)| format!("    127.0.0.1:{}={name}\n", ports.line))
        .collect();
    let conf = format!(
        "cluster carbons {hash} replication 1\n{members}    ;\nmatch * send to carbons stop;\n\
         listen type linemode 127.0.0.1:{port} proto tcp;\n\
         statistics submit every 3600 seconds;\n"
    );
    let at = root.path().join("relay.conf");
    std::fs::write(&at, conf).unwrap();
    let mut command = Command::new(benzene_fixtures::carbon_c_relay().unwrap());
    command.arg("-f").arg(at);
    Peer::start("carbon-c-relay", &mut command, local(port), root)
}

/// Every other one is tagged, as graphite-web asks for it.
fn name(metric: u32) -> String {
    match metric % 2 {
        0 => format!("site.host{}.m{metric}", metric % 97),
        _ => format!("disk.d{};host=web{metric};rack=r7", metric % 50),
    }
}

/// How many points of others the instances say that they have received.
fn received(querier: &mut Querier) -> [f64; 3] {
    NAMES.map(|instance| {
        let own = format!("carbon.agents.{}-{instance}.metricsReceived", host());
        querier.points(&own).iter().map(|(_, value)| value).sum()
    })
}

/// That these are the cached points of the metrics, each asked for at one of the ports in turn: at a
/// wrong one, for the relay, two times in three.
fn assert_found(three: &Three, wanted: &[Vec<(u32, f64)>]) {
    let ports = three.ports.map(|ports| ports.query);
    let mut queriers = ports.map(|port| Querier::connect(local(port)));
    for (metric, points) in (0..).zip(wanted) {
        let name = name(metric);
        let at = metric as usize % NAMES.len();
        let found = queriers[at].points(&name);
        assert_eq!(&found, points, "{name} at {}", NAMES[at]);
    }
}

/// How many points of others each instance has received, once they are so many in all.
fn wait_until_received(querier: &mut Querier, all: u32, relay: &Peer) -> [f64; 3] {
    let found =
        wait_for(|| Some(received(querier)).filter(|it| it.iter().sum::<f64>() >= f64::from(all)));
    found.unwrap_or_else(|| panic!("{:?} of {all}: {}", received(querier), relay.log()))
}

/// Each hash has a minute of its own; a metric's minutes come in by different ports.
#[test]
fn metrics_are_found_at_every_port_whichever_hash_deals_them() {
    const HASHES: [&str; 3] = ["carbon_ch", "fnv1a_ch", "jump_fnv1a_ch"];
    let three = Three::new();
    let daemon = Daemon::start(&Setup {
        schemas: Some("[all]\npattern = .*\nretentions = 60s:2h\n".to_owned()),
        ..three.setup(&format!("{HELD}{CONF}"), &[])
    });
    let mut querier = Querier::connect(daemon.query);
    let (mut time, mut sent, mut lines) = (now() / 60 * 60 - 180, 0, String::new());
    let (mut before, mut wanted) = ([0.0; 3], vec![Vec::new(); METRICS as usize]);
    for hash in HASHES {
        let mut relay = start(hash, &three);
        time += 60;
        let mut text = String::new();
        for (metric, points) in (sent..).zip(&mut wanted) {
            text.push_str(&format!("{} {metric} {time}\n", name(metric - sent)));
            points.push((time, f64::from(metric)));
        }
        relay.connect().write_all(text.as_bytes()).unwrap();
        lines += &text;
        sent += METRICS;
        let counts = wait_until_received(&mut querier, sent, &relay);
        // It deals to all three.
        let dealt = || counts.iter().zip(before).map(|(now, before)| now - before);
        assert!(dealt().all(|count| count > 300.0), "{hash}: {counts:?}");
        before = counts;
    }
    assert_found(&three, &wanted);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let text = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(text.path(), lines).unwrap();
    let data = ended.data();
    let arguments = [data.to_str().unwrap(), text.path().to_str().unwrap()];
    assert_eq!(
        python(COMPARE, &arguments).trim(),
        format!("{METRICS} {sent}")
    );
}

/// It learns only by a write that fails that the other side has gone. A write that is taken and that
/// nobody reads is a metric lost, for each of its connections, unless the stop resets them.
#[test]
fn a_restart_behind_its_back_loses_nothing() {
    // In all fewer than it queues for one destination.
    const MANY: u32 = 400;
    const ROUNDS: u32 = 30;
    let three = Three::new();
    let conf = format!("{HELD}{CONF}SHUTDOWN = journal\n");
    let setup = three.setup(&conf, &[]);
    let mut daemon = Daemon::start(&setup);
    let mut relay = start("carbon_ch", &three);
    let (mut sender, start) = (relay.connect(), now() - ROUNDS);
    let value = |metric, round| f64::from(metric) + f64::from(round) / 32.0;
    let mut send = |round: u32| {
        let line = |it| format!("{} {} {}\n", name(it), value(it, round), start + round);
        let lines: String = (0..MANY).map(line).collect();
        sender.write_all(lines.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    };
    (0..ROUNDS / 3).for_each(&mut send);
    // Nothing is on its way: what a stop finds between its last read and the close, it has to lose.
    let mut querier = Querier::connect(daemon.query);
    wait_until_received(&mut querier, MANY * (ROUNDS / 3), &relay);
    drop(querier);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    (ROUNDS / 3..ROUNDS * 2 / 3).for_each(&mut send);
    daemon = Daemon::start_in(&setup, ended.root);
    (ROUNDS * 2 / 3..ROUNDS).for_each(&mut send);
    let mut querier = Querier::connect(daemon.query);
    for metric in 0..MANY {
        let name = name(metric);
        let has_last = |points: &[(u32, f64)]| points.iter().any(|it| it.0 == start + ROUNDS - 1);
        wait_for(|| has_last(&querier.points(&name)).then_some(()))
            .unwrap_or_else(|| panic!("{name} never arrives: {}", relay.log()));
    }
    let points = |metric| {
        (0..ROUNDS)
            .map(|it| (start + it, value(metric, it)))
            .collect()
    };
    assert_found(&three, &(0..MANY).map(points).collect::<Vec<_>>());
    assert!(daemon.stop().status.success());
}
