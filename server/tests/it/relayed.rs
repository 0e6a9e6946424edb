//! RELAY_CACHE_METRICS: the daemon's own metrics arrive at other carbons, each at the one that Python's
//! hashing says, and none in its own cache.
#![expect(clippy::format_collect, reason = "a test builds its text simply")]

use std::io::Read as _;
use std::net::TcpListener;

use crate::daemon::{Daemon, PATIENCE, Setup, wait_for};
use crate::selfmetrics::host;
use crate::stop::number_before;

/// Says of every name on standard input which of the nodes Python carbon would send it to.
const ROUTE: &str = r#"
import sys
from carbon.hashing import ConsistentHashRing
ring = ConsistentHashRing([("127.0.0.1", "a"), ("127.0.0.1", "b")], hash_type=sys.argv[1])
for name in sys.argv[2].split():
    print(ring.get_node(name)[1])
"#;

/// Names of the metrics below a data directory.
fn names(data: &std::path::Path) -> Vec<String> {
    const LIST: &str = r"
import glob, os, sys
for path in sorted(glob.glob(sys.argv[1] + '/**/*.wsp', recursive=True)):
    print(os.path.relpath(path, sys.argv[1])[:-4].replace('/', '.'))
";
    let text = crate::daemon::python(LIST, &[data.to_str().unwrap()]);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn own_metrics_go_to_the_carbons_that_pythons_hashing_says() {
    for hash in ["carbon_ch", "fnv1a_ch"] {
        let quiet = "CARBON_METRIC_INTERVAL = 0";
        let others = [(), ()].map(|()| Daemon::start(&Setup::conf(quiet)));
        let [first, second] = &others;
        let conf = format!(
            "CARBON_METRIC_INTERVAL = 1\nRELAY_CACHE_METRICS = True\n\
             RELAY_METHOD = consistent-hashing\nROUTER_HASH_TYPE = {hash}\n\
             DESTINATIONS = 127.0.0.1:{}:a, 127.0.0.1:{}:b\n",
            first.pickle.port(),
            second.pickle.port()
        );
        let daemon = Daemon::start(&Setup::conf(&conf));
        let own = format!("carbon.agents.{}-a", host());
        // Where this one goes they all have gone, but for the last of a report.
        let sent = format!("{own}.benzene.relay.sent");
        let has_come = || others.iter().any(|other| other.points(&sent).len() >= 2);
        wait_for(|| has_come().then_some(())).unwrap_or_else(|| panic!("{}", daemon.log()));
        let ended = daemon.stop();
        assert!(ended.status.success(), "{}", ended.log);
        assert!(names(&ended.data()).is_empty(), "some stayed here");
        let mut seen = 0;
        for (other, instance) in others.into_iter().zip(["a", "b"]) {
            let ended = other.stop();
            assert!(ended.status.success(), "{}", ended.log);
            let names = names(&ended.data());
            assert!(!names.is_empty(), "none came to {instance}");
            seen += names.len();
            let routed = crate::daemon::python(ROUTE, &[hash, &names.join(" ")]);
            for (name, want) in names.iter().zip(routed.lines()) {
                assert_eq!(want, instance, "{name} by {hash}");
            }
        }
        assert!(seen > 100, "{seen} metrics");
    }
}

/// Reads a frame with Python's own pickle; the names of its points.
const UNPICKLE: &str = r"
import pickle, sys
points = pickle.loads(bytes.fromhex(sys.argv[1]))
assert isinstance(points, list) and len(points) <= 50, points
for name, (timestamp, value) in points:
    assert isinstance(name, str) and type(timestamp) is float and type(value) is float
    print(name)
";

#[test]
fn frames_are_pickles_that_python_reads() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let conf = format!(
        "CARBON_METRIC_INTERVAL = 1\nRELAY_CACHE_METRICS = True\nRELAY_METHOD = constant\n\
         MAX_DATAPOINTS_PER_MESSAGE = 50\nDESTINATIONS = {}\n",
        listener.local_addr().unwrap()
    );
    let daemon = Daemon::start(&Setup::conf(&conf));
    let (mut socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut length = [0; 4];
    socket.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut frame).unwrap();
    let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    let names = crate::daemon::python(UNPICKLE, &[&hex]);
    assert_eq!(names.lines().count(), 50);
    let own = format!("carbon.agents.{}-a.", host());
    assert!(names.lines().all(|name| name.starts_with(&own)), "{names}");
    assert!(daemon.stop().status.success());
}

#[test]
fn a_stop_says_what_no_carbon_has_taken() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = free.local_addr().unwrap();
    drop(free);
    let conf = format!(
        "CARBON_METRIC_INTERVAL = 1\nRELAY_CACHE_METRICS = True\nRELAY_METHOD = constant\n\
         DESTINATIONS = {away}\n"
    );
    let mut daemon = Daemon::start(&Setup::conf(&conf));
    daemon.wait_for_log("own metrics cannot be relayed");
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let left = number_before(&ended.log, " points of own metrics were not relayed");
    assert!(left > 0, "{}", ended.log);
    let counted = format!("relay.dropped {left}");
    assert!(ended.log.contains(&counted), "{}", ended.log);
}
