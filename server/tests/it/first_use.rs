//! What a new user does first: start, send a line, ask, look at the file, stop. And what he is
//! told when the start cannot succeed.
#![expect(
    clippy::disallowed_methods,
    reason = "a test waits, reads clocks and prints"
)]

use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::daemon::{Daemon, Querier, Setup, file_of, program, wait_for, whisper_points};

/// Seconds since the Unix epoch.
pub(crate) fn now() -> u32 {
    benzene_engine::clock::now().unix_seconds
}

/// The points of a file once it holds so many.
pub(crate) fn wait_for_file(daemon: &Daemon, metric: &str, count: usize) -> Vec<(u32, f64)> {
    let file = daemon.file(metric);
    wait_for(|| Some(whisper_points_or_none(&file)).filter(|points| points.len() == count))
        .unwrap_or_else(|| {
            panic!(
                "{} never had {count} points: {}",
                file.display(),
                daemon.log()
            )
        })
}

fn whisper_points_or_none(file: &std::path::Path) -> Vec<(u32, f64)> {
    if file.exists() {
        whisper_points(file, 0)
    } else {
        Vec::new()
    }
}

#[test]
fn a_line_is_seen_by_a_query_and_in_the_file() {
    let daemon = Daemon::start(&Setup::default());
    let time = now();
    daemon.send(&format!("local.random.diceroll 4 {time}\n"));
    assert_eq!(
        daemon.wait_for_points("local.random.diceroll", 1),
        [(time, 4.0)]
    );
    assert_eq!(
        wait_for_file(&daemon, "local.random.diceroll", 1),
        [(time, 4.0)]
    );
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(ended.log.contains("stopped: 1 received"), "{}", ended.log);
}

#[test]
fn every_receiver_brings_points_in() {
    let daemon = Daemon::start(&Setup {
        shards: Some(2),
        ..Setup::default()
    });
    let time = now();
    daemon.send(&format!(
        "by.line 1.5 {time}\nby.line 2.5 {}\nnow.line 7 -1\n",
        time - 1
    ));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.send_to(
        format!("by.udp 2 {time}\nby.udp2 3 {time}").as_bytes(),
        daemon.udp,
    )
    .unwrap();
    let script = "import pickle, socket, struct, sys
points = pickle.dumps([('by.pickle', (int(sys.argv[2]), 4))], protocol=2)
socket.create_connection(('127.0.0.1', int(sys.argv[1]))).sendall(struct.pack('!L', len(points)) + points)";
    crate::daemon::python(
        script,
        &[&daemon.pickle.port().to_string(), &time.to_string()],
    );
    assert_eq!(
        daemon.wait_for_points("by.line", 2),
        [(time - 1, 2.5), (time, 1.5)]
    );
    assert_eq!(daemon.wait_for_points("by.udp", 1), [(time, 2.0)]);
    assert_eq!(daemon.wait_for_points("by.udp2", 1), [(time, 3.0)]);
    assert_eq!(daemon.wait_for_points("by.pickle", 1), [(time, 4.0)]);
    assert!(daemon.wait_for_points("now.line", 1)[0].0.abs_diff(time) <= 60);
    assert_eq!(daemon.points("by.nobody"), []);
}

#[test]
fn names_for_one_file_are_one_metric() {
    let daemon = Daemon::start(&Setup::default());
    let time = now();
    daemon.send(&format!(
        "a..b 1 {time}\n.a.b 2 {}\na/b. 3 {}\n~a.b 4 {}\n",
        time - 1,
        time - 2,
        time - 3
    ));
    let points = [
        (time - 3, 4.0),
        (time - 2, 3.0),
        (time - 1, 2.0),
        (time, 1.0),
    ];
    assert_eq!(daemon.wait_for_points("a.b", 4), points);
    assert_eq!(daemon.wait_for_points("a..b", 4), points);
    assert_eq!(wait_for_file(&daemon, "a.b", 4), points);
}

#[test]
fn without_a_configuration_it_starts_in_an_empty_directory() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = program();
    command.arg("cache").current_dir(directory.path());
    for variable in ["GRAPHITE_ROOT", "GRAPHITE_CONF_DIR", "GRAPHITE_STORAGE_DIR"] {
        command.env_remove(variable);
    }
    let line = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for port in ["--udp", "--pickle", "--query"] {
        command.args([port, "127.0.0.1:0"]);
    }
    let child = command
        .args(["--line", &line.to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut socket = wait_for(|| TcpStream::connect(line).ok()).unwrap();
    socket
        .write_all(format!("first.point 1 {}\n", now()).as_bytes())
        .unwrap();
    let file = file_of(
        &directory.path().join("benzene-data/whisper"),
        "first.point",
    );
    wait_for(|| file.exists().then_some(())).unwrap();
    let status = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(status.success());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(whisper_points(&file, 0).len(), 1);
}

fn try_cache(arguments: &[&str]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let output: Output = program()
        .arg("cache")
        .args(["--udp", "off", "--pickle", "off", "--query", "off"])
        .args(arguments)
        .current_dir(directory.path())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_port_in_use_is_named_with_its_mend() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, log) = try_cache(&["--line", &address]);
    assert_eq!(code, Some(4), "{log}");
    for word in [
        address.as_str(),
        "another process has that port",
        "LINE_RECEIVER_PORT",
    ] {
        assert!(log.contains(word), "no {word:?} in {log}");
    }
}

#[test]
fn a_forgotten_daemon_that_shares_its_port_is_noticed() {
    let script = "import socket, sys, time
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(('127.0.0.1', 0))
listener.listen()
print(listener.getsockname()[1], flush=True)
sys.stdin.read()";
    let mut carbon = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    let mut output = std::io::BufReader::new(carbon.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut port).unwrap();
    let (code, log) = try_cache(&["--line", &format!("127.0.0.1:{}", port.trim())]);
    drop(carbon.stdin.take());
    carbon.wait().unwrap();
    assert_eq!(code, Some(4), "{log}");
}

#[test]
fn a_data_directory_that_is_a_file_is_named_with_its_mend() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let (code, log) = try_cache(&["--line", "off", "--data-dir", path]);
    assert_eq!(code, Some(6), "{log}");
    assert!(
        log.contains(path) && log.contains("LOCAL_DATA_DIR"),
        "{log}"
    );
}

#[test]
fn an_idle_daemon_sleeps() {
    let daemon = Daemon::start(&Setup {
        shards: Some(2),
        ..Setup::default()
    });
    daemon.send(&format!("one.point 1 {}\n", now()));
    wait_for_file(&daemon, "one.point", 1);
    // Past the five seconds in which written points stay answerable.
    std::thread::sleep(Duration::from_secs(6));
    let before = cpu_ticks(daemon.pid());
    std::thread::sleep(Duration::from_secs(5));
    let ticks = cpu_ticks(daemon.pid()) - before;
    // 100 ticks a second: five of them in five seconds would be 1 % of a core.
    assert!(ticks < 5, "{ticks} ticks of CPU in five idle seconds");
}

/// User and system time of a process, in ticks of 10 ms.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn query_asks_all_and_reports_who_is_down() {
    let daemon = Daemon::start(&Setup::default());
    let time = now();
    daemon.send(&format!("asked.metric 4.5 {time}\n"));
    daemon.wait_for_points("asked.metric", 1);
    let down = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let hosts = format!("{down},{}", daemon.query);
    let output = program()
        .args(["query", "asked.metric", "--csv", "--host", &hosts])
        .output()
        .unwrap();
    let (text, errors) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(
        text,
        format!(
            "cache,metric,timestamp,value\n{},asked.metric,{time},4.5\n",
            daemon.query
        )
    );
    assert!(errors.contains(&down.to_string()), "{errors}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn metadata_is_read_and_changed_through_the_query_port() {
    use benzene_server::wire::client::{self, Reply};
    let daemon = Daemon::start(&Setup::default());
    daemon.send(&format!("meta.data 1 {}\n", now()));
    wait_for_file(&daemon, "meta.data", 1);
    let mut querier = Querier::connect(daemon.query);
    let mut ask = |encode: &dyn Fn(&mut Vec<u8>)| {
        let mut request = Vec::new();
        encode(&mut request);
        querier.ask(&request)
    };
    let key = "aggregationMethod";
    let get = |metric: &'static str| {
        move |out: &mut Vec<u8>| client::encode_get_metadata(metric, key, out).unwrap()
    };
    assert_eq!(ask(&get("meta.data")), Reply::Value("average".to_owned()));
    let set = |out: &mut Vec<u8>| {
        client::encode_set_metadata("meta.data", key, "max", out).unwrap();
    };
    let Reply::Changed { old, new } = ask(&set) else {
        panic!("nothing was changed")
    };
    assert_eq!((old.as_str(), new.as_str()), ("average", "max"));
    assert_eq!(ask(&get("meta.data")), Reply::Value("max".to_owned()));
    assert!(matches!(ask(&get("no.such")), Reply::Error(_)));
    let file = daemon.file("meta.data");
    let method = crate::daemon::python(
        "import sys, whisper; print(whisper.info(sys.argv[1])['aggregationMethod'])",
        &[file.to_str().unwrap()],
    );
    assert_eq!(method.trim(), "max");
}
