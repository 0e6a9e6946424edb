//! Datagrams that the kernel drops before the daemon can read them: each is counted, once.

use std::net::UdpSocket;

use crate::daemon::{Daemon, Setup};
use crate::first_use::now;
use crate::stop::number_before;
use crate::vitals::Own;

/// Datagrams sent at once, of a line and empty lines: 120 MB, more than any socket's buffer holds.
const DATAGRAMS: u32 = 2000;
const DATAGRAM_BYTES: usize = 60_000;

#[test]
fn what_the_kernel_dropped_is_counted() {
    let daemon = Daemon::start(&Setup::conf("CARBON_METRIC_INTERVAL = 1"));
    let time = now();
    daemon.send(&format!("datagrams.before 1 {time}\n"));
    daemon.wait_for_points("datagrams.before", 1);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon.signal("STOP");
    for index in 0..DATAGRAMS {
        let mut datagram = format!("datagrams.burst 1 {}\n", time - index).into_bytes();
        datagram.resize(DATAGRAM_BYTES, b'\n');
        socket.send_to(&datagram, daemon.udp).unwrap();
    }
    daemon.signal("CONT");
    let mut own = Own::of(&daemon);
    let names = ["benzene.udp.kernelDrops", "benzene.received"];
    own.wait_until(&names, |values| {
        values[0] + values[1] == u64::from(DATAGRAMS) + 1
    });
    let drops = own.value("benzene.udp.kernelDrops");
    assert!(
        drops > 0 && drops < u64::from(DATAGRAMS),
        "{drops} of {DATAGRAMS} were dropped"
    );
    let kept = daemon.points("datagrams.burst").len();
    assert_eq!(kept as u64 + drops, u64::from(DATAGRAMS));
    let ended = daemon.stop();
    assert_eq!(
        ended.log.matches("udp.kernelDrops ").count(),
        1,
        "{}",
        ended.log
    );
    assert!(
        ended.log.contains(&format!("udp.kernelDrops {drops}")),
        "{}",
        ended.log
    );
    assert_eq!(number_before(&ended.log, " dropped"), 0);
}
