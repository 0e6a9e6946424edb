//! `load` against listeners of our own: everything arrives once, in a metric's order, whatever
//! the connections, the order and the protocol; and what cannot be sent is reported.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};

use super::*;
use crate::workload::tests::shape;

fn args(protocol: Protocol, target: String, connections: u32) -> LoadArgs {
    LoadArgs {
        shape: shape(1003, 5, 10),
        start: Some(1000),
        protocol,
        target,
        connections,
        rate: 0,
        batch: 7,
        order: Order::Same,
        timeout: 20,
        nice: 5,
        pid: None,
    }
}

/// Sends to a listener that reads each connection to its end; what each one received.
fn received(args: &mut LoadArgs, connections: usize) -> (Summary, Vec<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    args.target = listener.local_addr().unwrap().to_string();
    let workload = Workload::new(args.shape.clone(), 1000).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let streams: Vec<_> = (0..connections)
                .map(|_| listener.accept().unwrap().0)
                .collect();
            streams
                .into_iter()
                .map(|mut stream| {
                    let mut bytes = Vec::new();
                    stream.read_to_end(&mut bytes).unwrap();
                    bytes
                })
                .collect()
        });
        let summary = send(args, &workload).unwrap();
        (summary, reader.join().unwrap())
    })
}

/// name -> (timestamp, value) in the order of arrival.
fn points_of_lines(text: &[u8]) -> BTreeMap<String, Vec<(u32, u32)>> {
    let mut points: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in std::str::from_utf8(text).unwrap().lines() {
        let [name, value, timestamp] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line:?} is no line");
        };
        points
            .entry(name.to_owned())
            .or_default()
            .push((timestamp.parse().unwrap(), value.parse().unwrap()));
    }
    points
}

fn assert_everything(points: &BTreeMap<String, Vec<(u32, u32)>>, workload: &Workload) {
    assert_eq!(points.len(), workload.metrics() as usize);
    for index in 0..workload.metrics() {
        let expected: Vec<_> = (0..5)
            .map(|round| (workload.timestamp(round), workload.value(index, round)))
            .collect();
        assert_eq!(points[&workload.name(index)], expected);
    }
}

#[test]
fn lines_arrive_whole_over_several_connections_in_either_order() {
    for order in [Order::Same, Order::Random] {
        let mut args = args(Protocol::Line, String::new(), 3);
        args.order = order;
        let (summary, streams) = received(&mut args, 3);
        assert!(summary.errors.is_empty(), "{:?}", summary.errors);
        assert_eq!(summary.points, 1003 * 5);
        let all: Vec<u8> = streams.concat();
        assert_eq!(summary.bytes, all.len() as u64);
        let workload = Workload::new(args.shape, 1000).unwrap();
        assert_everything(&points_of_lines(&all), &workload);
    }
}

#[test]
fn pickle_frames_are_cut_at_the_batch_and_end_with_what_is_left() {
    let mut args = args(Protocol::Pickle, String::new(), 1);
    let (summary, streams) = received(&mut args, 1);
    assert!(summary.errors.is_empty(), "{:?}", summary.errors);
    let (mut rest, mut frames, mut items) = (&streams[0][..], 0, 0);
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let (body, tail) = tail.split_at(u32::from_be_bytes(*head) as usize);
        assert!(body.starts_with(b"\x80\x02]q\x00") && body.ends_with(b"."));
        items += body
            .windows(11)
            .filter(|window| window == b"bench.load.")
            .count();
        frames += 1;
        rest = tail;
    }
    assert_eq!(items, 1003 * 5);
    assert_eq!(frames, (1003 * 5_usize).div_ceil(7));
}

#[test]
fn datagrams_hold_whole_lines_and_stay_below_their_bound() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut args = args(Protocol::Udp, socket.local_addr().unwrap().to_string(), 1);
    // Few enough for the socket's buffer to hold all of them, however late the reader comes.
    args.shape = shape(203, 5, 10);
    let workload = Workload::new(args.shape.clone(), 1000).unwrap();
    let points = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut all, mut lines) = (Vec::new(), 0);
            while lines < 203 * 5 {
                let mut datagram = vec![0; 65_536];
                let bytes = socket.recv(&mut datagram).unwrap();
                assert!(bytes <= 1432 && datagram[bytes - 1] == b'\n');
                lines += datagram[..bytes].split(|byte| *byte == b'\n').count() - 1;
                all.extend_from_slice(&datagram[..bytes]);
            }
            points_of_lines(&all)
        });
        send(&args, &workload).unwrap();
        reader.join().unwrap()
    });
    assert_everything(&points, &workload);
}

#[test]
fn a_rate_is_kept_from_above() {
    let mut args = args(Protocol::Line, String::new(), 2);
    args.rate = 20_000;
    let (summary, _) = received(&mut args, 2);
    // The last write is due after all but its own points: 5,015 - 200 points at 20,000 a second.
    assert!(summary.time >= Duration::from_millis(230), "{summary:?}");
}

#[test]
fn a_peer_that_is_not_there_and_one_that_leaves_are_errors() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = free.local_addr().unwrap().to_string();
    drop(free);
    let workload = Workload::new(shape(1003, 5, 10), 1000).unwrap();
    let summary = send(&args(Protocol::Line, target, 2), &workload).unwrap();
    assert_eq!((summary.errors.len(), summary.points), (2, 0));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut args = args(
        Protocol::Line,
        listener.local_addr().unwrap().to_string(),
        1,
    );
    args.shape = shape(200_000, 1, 10);
    let workload = Workload::new(args.shape.clone(), 1000).unwrap();
    let summary = thread::scope(|scope| {
        scope.spawn(|| drop(listener.accept().unwrap()));
        send(&args, &workload).unwrap()
    });
    assert_eq!(summary.errors.len(), 1);
}

#[test]
fn a_peer_that_never_closes_is_an_error_after_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut args = args(
        Protocol::Line,
        listener.local_addr().unwrap().to_string(),
        1,
    );
    args.timeout = 1;
    let workload = Workload::new(args.shape.clone(), 1000).unwrap();
    let summary = send(&args, &workload).unwrap();
    let [(0, _, error)] = &summary.errors[..] else {
        panic!("{summary:?}");
    };
    assert!(format!("{error:#}").contains("did not close"), "{error:#}");
    drop(listener);
}

#[test]
fn shares_cover_every_metric_once() {
    for (metrics, connections) in [(10, 3), (1, 1), (1000, 7), (u32::MAX, 1024)] {
        let mut next = 0;
        for number in 0..connections {
            let share = share(metrics, connections, number);
            assert_eq!(share.start, next);
            next = share.end;
        }
        assert_eq!(next, metrics);
    }
}

#[test]
fn the_default_start_puts_the_last_round_at_the_last_step() {
    assert_eq!(default_start(&shape(1, 3, 10), 1_000_009), 999_980);
    assert_eq!(default_start(&shape(1, 1, 60), 1_000_000), 999_960);
}
