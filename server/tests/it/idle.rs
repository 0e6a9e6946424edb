//! Ten thousand connections that say nothing: the daemon has room for them, in descriptors and in
//! memory, and serves those that speak after all.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use benzene_engine::ring::host;

use crate::daemon::{Daemon, Querier, Setup, wait_for};
use crate::first_use::now;
use crate::vitals::{Own, memory_bytes};

/// Connections wanted; fewer where this process may not open as many.
const CONNECTIONS: usize = 10_000;
/// Descriptors that tests beside this one may need.
const SPARE_DESCRIPTORS: u64 = 2000;
/// Memory that one of them may cost: its state, its socket's slot, its places in two tables that
/// have just grown.
const BYTES_EACH_MAX: u64 = 1500;

fn connections() -> usize {
    let limit = host::raise_open_files().unwrap();
    let affordable = limit.map_or(CONNECTIONS, |limit| {
        usize::try_from(limit.saturating_sub(SPARE_DESCRIPTORS)).unwrap()
    });
    affordable.min(CONNECTIONS)
}

#[test]
fn idle_connections_cost_next_to_nothing() {
    let count = connections();
    let daemon = Daemon::start(&Setup {
        conf: "CARBON_METRIC_INTERVAL = 1".to_owned(),
        shards: Some(2),
        // It raises its own limit: 300 would not do.
        soft_open_files: Some(300),
        ..Setup::default()
    });
    let mut own = Own::of(&daemon);
    own.wait_until(&["activeConnections"], |values| values[0] == 0);
    let before = memory_bytes(daemon.pid(), "VmRSS");
    // Four in nine send lines; one in nine asks, for an eighth of the limit is for those.
    let targets = [daemon.line, daemon.pickle, daemon.line, daemon.pickle];
    let targets = [&targets[..], &targets, &[daemon.query]].concat();
    let mut sockets: Vec<TcpStream> = (0..count)
        .map(|index| TcpStream::connect(targets[index % targets.len()]).unwrap())
        .collect();
    let wanted = count as u64;
    own.wait_until(&["benzene.connections"], |values| values[0] > wanted);
    let grown = memory_bytes(daemon.pid(), "VmRSS").saturating_sub(before);
    assert!(
        grown < wanted * BYTES_EACH_MAX,
        "{count} idle connections cost {grown} bytes"
    );
    // All of those that send lines are served, and a query as fast as ever.
    let time = now();
    let is_line = |index: usize| targets[index % targets.len()] == daemon.line;
    let lines = (0..count).filter(|index| is_line(*index)).count();
    let woken = sockets.iter_mut().enumerate();
    for (index, socket) in woken.filter(|(index, _)| is_line(*index)) {
        let index = u32::try_from(index).unwrap();
        let line = format!("idle.woken {index} {}\n", time - index);
        socket.write_all(line.as_bytes()).unwrap();
    }
    let mut querier = Querier::connect(daemon.query);
    let points = wait_for(|| Some(querier.points("idle.woken")).filter(|it| it.len() == lines));
    assert!(points.is_some(), "not every idle connection was served");
    // What has spoken and falls silent again keeps no buffer.
    let grown = memory_bytes(daemon.pid(), "VmRSS").saturating_sub(before);
    assert!(
        grown < wanted * BYTES_EACH_MAX * 2,
        "{count} connections that fell silent cost {grown} bytes"
    );
    for socket in &sockets {
        socket.shutdown(Shutdown::Both).unwrap();
    }
    own.wait_until(&["activeConnections"], |values| values[0] == 0);
}

#[test]
fn a_small_limit_on_open_files_is_said() {
    let daemon = Daemon::start(&Setup {
        open_files: Some(400),
        ..Setup::default()
    });
    let said = "no more than 400 files and connections";
    assert!(daemon.log().contains(said), "{}", daemon.log());
}
