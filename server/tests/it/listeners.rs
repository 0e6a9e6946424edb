//! Where a daemon listens besides one address of TCP: Unix sockets with the mode that was asked for,
//! several addresses at one port, IPv4 and IPv6 side by side.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use benzene_server::wire::client::{self, Reply};
use benzene_server::wire::pickle::Machine;

use crate::daemon::{Daemon, Setup};
use crate::first_use::now;

fn listening(directory: &std::path::Path) -> Setup {
    let at = directory.display();
    Setup::conf(&format!(
        "LINE_RECEIVER_SOCKET = {at}/line\nCACHE_QUERY_SOCKET = {at}/query\nSOCKET_MODE = 600\n\
         PICKLE_RECEIVER_SOCKET = {at}/pickle\nCACHE_WRITE_STRATEGY = timesorted\n\
         MIN_TIMESTAMP_LAG = 1800\n"
    ))
}

fn ask(socket: &mut UnixStream, metric: &str) -> usize {
    let mut request = Vec::new();
    client::encode_query(metric, &mut request).unwrap();
    socket.write_all(&request).unwrap();
    let mut length = [0; 4];
    socket.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut frame).unwrap();
    match client::decode_reply(&frame, &mut Machine::default()).unwrap() {
        Reply::Datapoints(points) => points.len(),
        other @ (Reply::Bulk(_) | Reply::Value(_) | Reply::Changed { .. } | Reply::Error(_)) => {
            panic!("{other:?}")
        }
    }
}

#[test]
fn unix_sockets_serve_lines_pickles_and_queries_and_go_with_the_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    // What a daemon that was killed has left.
    drop(UnixListener::bind(path("line")).unwrap());
    let daemon = Daemon::start(&listening(directory.path()));
    for name in ["line", "pickle", "query"] {
        let mode = std::fs::metadata(path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let time = now();
    let mut line = UnixStream::connect(path("line")).unwrap();
    line.write_all(format!("by.line 1 {time}\n").as_bytes())
        .unwrap();
    // [("by.pickle", (time, 2.0))], protocol 0.
    let body = format!("(lp0\n(S'by.pickle'\np1\n(I{time}\nF2.0\ntp2\ntp3\na.");
    let mut pickle = UnixStream::connect(path("pickle")).unwrap();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    pickle
        .write_all(&[&length, body.as_bytes()].concat())
        .unwrap();
    daemon.wait_for_points("by.line", 1);
    daemon.wait_for_points("by.pickle", 1);
    let mut query = UnixStream::connect(path("query")).unwrap();
    assert_eq!(ask(&mut query, "by.line"), 1);
    assert_eq!(ask(&mut query, "by.pickle"), 1);
    assert_eq!(ask(&mut query, "by.nobody"), 0);
    let at = path("query").display().to_string();
    for host in [format!("unix:{at}"), at.clone()] {
        let words = ["query", "by.pickle", "--csv", "--host", host.as_str()];
        let output = crate::journal::benzene(&words);
        let said = String::from_utf8(output.stdout).unwrap();
        let line = format!("unix:{at},by.pickle,{time},2\n");
        assert!(output.status.success() && said.ends_with(&line), "{said}");
    }
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    for name in ["line", "pickle", "query"] {
        assert!(!path(name).exists(), "{name} stays");
    }
}

#[test]
fn a_socket_of_another_and_a_file_that_is_none_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("line");
    let other = UnixListener::bind(&path).unwrap();
    let root = tempfile::tempdir().unwrap();
    let conf = root.path().join("carbon.conf");
    std::fs::write(root.path().join("storage-schemas.conf"), "").unwrap();
    let text = format!(
        "[cache]\nSTORAGE_DIR = {}\nLINE_RECEIVER_SOCKET = {}\nLINE_RECEIVER_PORT = 0\n\
         PICKLE_RECEIVER_PORT = 0\nCACHE_QUERY_PORT = 0\n",
        root.path().display(),
        path.display()
    );
    std::fs::write(&conf, text).unwrap();
    let start = || {
        let words = ["cache", "--config", conf.to_str().unwrap()];
        let output = crate::journal::benzene(&words);
        let log = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), log)
    };
    let (code, log) = start();
    assert_eq!(code, Some(4), "{log}");
    assert!(log.contains("another process listens there"), "{log}");
    assert!(log.contains("LINE_RECEIVER_SOCKET"), "{log}");
    drop(other);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "kept").unwrap();
    let (code, log) = start();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("a file that is no socket"), "{log}");
    assert_eq!(std::fs::read(&path).unwrap(), b"kept");
}

/// A port that is free on IPv4 and, where the machine has it, on IPv6.
fn free_port() -> u16 {
    let listener = TcpListener::bind(SocketAddr::from(([0; 4], 0))).unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn one_port_has_several_addresses() {
    let (line, query) = (free_port(), free_port());
    let has_v6 = TcpListener::bind("[::1]:0").is_ok();
    let v6 = if has_v6 { ", ::" } else { "" };
    let setup = Setup {
        own_ports: true,
        ..Setup::conf(&format!(
            "LINE_RECEIVER_INTERFACE = 127.0.0.1, 127.0.0.2, localhost\nLINE_RECEIVER_PORT = {line}\n\
             CACHE_QUERY_INTERFACE = 0.0.0.0{v6}\nCACHE_QUERY_PORT = {query}\n\
             PICKLE_RECEIVER_INTERFACE = 127.0.0.1\nPICKLE_RECEIVER_PORT = {}\n\
             CACHE_WRITE_STRATEGY = timesorted\nMIN_TIMESTAMP_LAG = 1800\n",
            free_port()
        ))
    };
    let daemon = Daemon::start(&setup);
    let time = now();
    for (index, host) in ["127.0.0.1", "127.0.0.2"].iter().enumerate() {
        let mut socket = TcpStream::connect((*host, line)).unwrap();
        socket
            .write_all(format!("at.address{index} 1 {time}\n").as_bytes())
            .unwrap();
    }
    assert!(TcpStream::connect(("127.0.0.3", line)).is_err());
    let mut hosts = vec!["127.0.0.1"];
    hosts.extend(has_v6.then_some("::1"));
    for host in hosts {
        let address = SocketAddr::new(host.parse().unwrap(), query);
        let mut querier = crate::daemon::Querier::connect(address);
        for metric in ["at.address0", "at.address1"] {
            let found =
                crate::daemon::wait_for(|| (querier.points(metric).len() == 1).then_some(()));
            assert!(found.is_some(), "{metric} at {host}: {}", daemon.log());
        }
    }
    assert!(daemon.stop().status.success());
}

/// As a port of a daemon that was killed a moment ago.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test waits")]
fn a_port_that_is_let_go_in_a_moment_is_waited_for() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let line = taken.local_addr().unwrap().port();
    let setup = Setup {
        own_ports: true,
        ..Setup::conf(&format!(
            "LINE_RECEIVER_INTERFACE = 127.0.0.1\nLINE_RECEIVER_PORT = {line}\n\
             CACHE_QUERY_PORT = {}\nPICKLE_RECEIVER_PORT = {}\n",
            free_port(),
            free_port()
        ))
    };
    let letting_go = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(700));
        drop(taken);
    });
    let daemon = Daemon::start(&setup);
    letting_go.join().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", line)).is_ok());
    assert!(daemon.stop().status.success());
}
