//! Input that is worked off in many slices: nothing of it is lost, doubled or taken out of order.

use std::io::Write;
use std::net::{Shutdown, UdpSocket};

use super::connect;
use super::pickles::{float, frame, int, item, list};
use crate::daemon::{Daemon, Setup, wait_for};
use crate::first_use::now;
use crate::vitals::Own;

/// Points of each frame and each text: dozens of slices of `limits::TURN_ITEMS_MAX`.
const POINTS: u32 = 20_000;

#[test]
fn long_frames_and_texts_keep_their_order() {
    let daemon = Daemon::start(&Setup {
        conf: "CARBON_METRIC_INTERVAL = 1\nMAX_CREATES_PER_MINUTE = 1".to_owned(),
        shards: Some(2),
        ..Setup::default()
    });
    let time = now();
    // It takes the one file of this minute: what follows stays cached.
    daemon.send(&format!("slices.first 1 {time}\n"));
    let first = daemon.file("slices.first");
    wait_for(|| first.exists().then_some(())).unwrap();
    // Every second three times over, so that the last value tells the order.
    let (mut pickles, mut lines) = (connect(daemon.pickle), connect(daemon.line));
    for round in [1.0, 2.0, 3.0] {
        let items: Vec<u8> = (0..POINTS)
            .flat_map(|index| item(b"slices.pickle", &int(time - index), &float(round)))
            .collect();
        pickles.write_all(&frame(&list(&items))).unwrap();
        let mut text = Vec::new();
        for index in 0..POINTS {
            writeln!(text, "slices.line {round} {}", time - index).unwrap();
        }
        lines.write_all(&text).unwrap();
    }
    pickles.shutdown(Shutdown::Write).unwrap();
    lines.shutdown(Shutdown::Write).unwrap();
    // Datagrams of two slices, the last line of each without a newline.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for datagram in 0..4 {
        let text: Vec<String> = (0..2000)
            .map(|index| format!("slices.udp 3 {}", time - datagram * 2000 - index))
            .collect();
        let text = text.join("\n");
        assert!(text.len() > benzene_engine::limits::TURN_BYTES_MAX);
        socket.send_to(text.as_bytes(), daemon.udp).unwrap();
    }
    let mut own = Own::of(&daemon);
    let received = u64::from(1 + 2 * 3 * POINTS + 4 * 2000);
    own.wait_until(&["benzene.received"], |values| values[0] == received);
    for (name, count) in [
        ("slices.pickle", POINTS),
        ("slices.line", POINTS),
        ("slices.udp", 8000),
    ] {
        let points = daemon.points(name);
        let expected: Vec<(u32, f64)> = (0..count).rev().map(|index| (time - index, 3.0)).collect();
        let differing = points
            .iter()
            .zip(&expected)
            .find(|(is, should)| is != should);
        assert!(
            points == expected,
            "{name} is not what was sent last: {} of {count} points, {differing:?}",
            points.len()
        );
    }
    own.wait_until(&["activeConnections"], |values| values[0] == 0);
}
