//! What only the drivers without io_uring have: turns that share, and threads that end.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::{connection, elsewhere, listener, small, unleased};
use crate::limits::ACCEPTS_PER_TURN_MAX;
use crate::ring::*;

fn ring() -> Ring {
    Ring::new(small(Driver::PollSync)).unwrap()
}

#[test]
fn a_flood_leaves_others_their_turn() {
    let mut ring = Ring::new(RingConfig {
        bulk_buffers: BufferSizes {
            count: 1,
            bytes: 4096,
        },
        ..small(Driver::PollSync)
    })
    .unwrap();
    let (flood, mut flooding) = connection(&mut ring);
    let (quiet, mut peer) = connection(&mut ring);
    // Enough that both buffers of the connection stay full until the end.
    let writing = elsewhere(move || drop(flooding.write_all(&vec![b'f'; 40_000_000])));
    ring.receive(flood, Lane::Bulk);
    ring.receive(quiet, Lane::Bulk);
    let (mut floods, mut turns) = (0, 0);
    // Let the flood come first.
    while floods < 100 {
        ring.turn(Some(Duration::from_secs(10)));
        while let Some(event) = ring.next_event() {
            let Event::Received { socket, lease } = event else {
                panic!("{event:?}")
            };
            assert_eq!(socket, flood);
            ring.release(lease);
            floods += 1;
        }
    }
    peer.write_all(b"hello").unwrap();
    let mut heard = false;
    while !heard {
        ring.turn(Some(Duration::from_secs(10)));
        turns += 1;
        while let Some(event) = ring.next_event() {
            let Event::Received { socket, lease } = event else {
                panic!("{event:?}")
            };
            heard |= socket == quiet;
            ring.release(lease);
        }
        assert!(turns < 10, "a flood has {turns} turns to itself");
    }
    ring.close(flood);
    writing.join().unwrap();
}

#[test]
fn a_turn_accepts_a_bounded_number_of_connections() {
    const CONNECTIONS: usize = ACCEPTS_PER_TURN_MAX * 2 + 7;
    let mut ring = ring();
    let (listener, address) = listener(&mut ring);
    let peers: Vec<_> = (0..CONNECTIONS)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    ring.accept(listener);
    let mut per_turn = Vec::new();
    while per_turn.iter().sum::<usize>() < CONNECTIONS {
        ring.turn(Some(Duration::from_secs(10)));
        let mut accepted = 0;
        while let Some(event) = ring.next_event() {
            assert!(matches!(event, Event::Accepted { .. }), "{event:?}");
            accepted += 1;
        }
        per_turn.push(accepted);
    }
    assert_eq!(per_turn, [ACCEPTS_PER_TURN_MAX, ACCEPTS_PER_TURN_MAX, 7]);
    drop(peers);
}

#[test]
fn a_stopped_socket_may_go_on_in_the_other_lane() {
    let mut ring = ring();
    let (id, mut peer) = connection(&mut ring);
    ring.receive(id, Lane::Bulk);
    ring.stop_receive(id);
    ring.receive(id, Lane::Urgent);
    peer.write_all(b"now").unwrap();
    let mut lanes = Vec::new();
    while lanes.is_empty() {
        ring.turn(Some(Duration::from_secs(10)));
        while let Some(event) = ring.next_event() {
            if let Event::Received { lease, .. } = event {
                lanes.push(lease.lane());
                ring.release(lease);
            }
        }
    }
    assert_eq!(lanes, [Lane::Urgent]);
    assert_eq!(unleased(&ring, Lane::Urgent), 2);
}

#[test]
fn the_threads_of_a_ring_end_with_it() {
    let directory = tempfile::tempdir().unwrap();
    for driver in [Driver::UringSync, Driver::PollSync] {
        let mut ring = Ring::new(small(driver)).unwrap();
        for number in 0..200 {
            let path = directory.path().join(format!("{number}.wsp"));
            ring.file(FileToken(number), FileOperation::Probe { path });
        }
        ring.submit();
        let shared = Arc::downgrade(&ring.threads.as_ref().unwrap().shared);
        assert_eq!(shared.strong_count(), 1 + 4);
        drop(ring);
        assert_eq!(shared.strong_count(), 0);
    }
}
