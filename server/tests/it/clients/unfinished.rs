//! Unfinished frames share one bound in the process: past it the connection that has been silent
//! longest in the middle of a frame is closed and counted, and no other; what the finished ones
//! held is given back.

use std::io::Write;
use std::net::TcpStream;

use super::pickles::{float, frame, int, item, list, text};
use super::{connect, counted, descriptors, peak_bytes};
use crate::daemon::{Daemon, Querier, Setup, wait_for};
use crate::first_use::now;

/// A frame of exactly 1 MiB: one good point, and one item that is refused for being no pair.
fn megabyte_frame(metric: &str, time: u32) -> Vec<u8> {
    let point = item(metric.as_bytes(), &int(time), &float(2.5));
    let rest = (1 << 20) - b"\x80\x02](e.".len() - point.len() - b"X....".len();
    frame(&list(&[point, text(&vec![b'x'; rest])].concat()))
}

/// A connection with an unfinished frame: its metric, its socket, the byte that is missing.
type Unfinished = (String, TcpStream, u8);

/// Opens a connection that sends a frame but for its last byte.
fn open_unfinished(daemon: &Daemon, metric: String, time: u32) -> Unfinished {
    let bytes = megabyte_frame(&metric, time);
    let mut socket = connect(daemon.pickle);
    let (last, most) = bytes.split_last().unwrap();
    // The daemon may close it at any moment, also while it is still being sent.
    drop(socket.write_all(most));
    (metric, socket, *last)
}

/// How many of them the daemon has closed.
fn closed(open: &[Unfinished]) -> usize {
    let closed = open.iter().filter(|(_, socket, _)| is_closed(socket));
    closed.count()
}

/// Whether the daemon has closed a connection on which it never answers.
fn is_closed(socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    let peeked = socket.peek(&mut [0]);
    socket.set_nonblocking(false).unwrap();
    !peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn unfinished_frames_share_one_bound_that_is_given_back() {
    let setup = Setup {
        conf: "CARBON_METRIC_INTERVAL = 0".to_owned(),
        schemas: Some("[all]\npattern = .*\nretentions = 1s:20m\n".to_owned()),
        shards: Some(1),
        ..Setup::default()
    };
    let daemon = Daemon::start(&setup);
    let (time, quiet) = (now(), descriptors(&daemon));
    // An honest relay, silent for longest, in the middle of nothing. Its first frame came in two
    // parts, so that its connection has kept memory.
    let mut relay = connect(daemon.pickle);
    let honest = |name: &str| {
        let items: Vec<u8> = (0..500)
            .flat_map(|index| item(name.as_bytes(), &int(time - index), &float(1.0)))
            .collect();
        frame(&list(&items))
    };
    let first = honest("honest.first");
    relay.write_all(&first[..10_000]).unwrap();
    let mut querier = Querier::connect(daemon.query);
    querier.points("honest.first");
    relay.write_all(&first[10_000..]).unwrap();
    daemon.wait_for_points("honest.first", 500);

    let mut finished = 0;
    for round in 0..2 {
        let begin = |index| {
            let metric = format!("unfinished.r{round}.c{index}");
            open_unfinished(&daemon, metric, time)
        };
        let wait_for_closed = |open: &[Unfinished], count| {
            wait_for(|| {
                let is_so = closed(open) == count && descriptors(&daemon) == quiet + 130;
                is_so.then_some(())
            })
            .unwrap_or_else(|| panic!("{} of {} were closed", closed(open), open.len()));
        };
        let mut open: Vec<Unfinished> = (0..159).map(begin).collect();
        // All of these have been read when so many are closed; the last is heard after them.
        wait_for_closed(&open, 31);
        open.push(begin(159));
        wait_for_closed(&open, 32);
        assert!(!is_closed(&open[159].1), "the one heard last was closed");
        let left: Vec<_> = open
            .into_iter()
            .filter(|(_, socket, _)| !is_closed(socket))
            .collect();
        for (metric, mut socket, last) in left {
            socket.write_all(&[last]).unwrap();
            daemon.wait_for_points(&metric, 1);
            finished += 1;
        }
        wait_for(|| (descriptors(&daemon) == quiet + 2).then_some(())).unwrap();
    }
    relay.write_all(&honest("honest.last")).unwrap();
    daemon.wait_for_points("honest.last", 500);
    let peak = peak_bytes(&daemon);
    drop((relay, querier));
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let counts = counted(&ended.log);
    assert_eq!(counts["closed.unfinished"], 64, "{}", ended.log);
    assert_eq!(counts["refused.item"], finished, "{}", ended.log);
    assert_eq!(counts["received"], 1000 + finished, "{}", ended.log);
    // 128 MiB of frames, what the allocator keeps besides, and one core's own memory.
    assert!(peak < 300 << 20, "{peak} bytes resident");
}
