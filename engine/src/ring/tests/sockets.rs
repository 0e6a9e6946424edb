//! Sockets, wakes, and the end of a ring, against the real kernel; whatever the driver.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "any other event fails the test"
)]

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::*;
use crate::ring::tests::{
    connection, elsewhere, listener, now, open_sockets, pause, unleased, until,
};

/// Echoes whatever comes; answers the number of sockets that ended.
fn serve(ring: &mut Ring, connections: usize) {
    let mut queues: hashbrown::HashMap<SocketId, (Vec<u8>, bool, bool)> = hashbrown::HashMap::new();
    let mut ended = 0;
    until(ring, |ring, event| {
        let id = match event {
            Event::Accepted { socket, .. } => {
                let id = ring.adopt(socket);
                queues.insert(id, (Vec::new(), false, false));
                ring.receive(id, Lane::Bulk);
                return false;
            }
            Event::Received { socket, lease } => {
                let queue = &mut queues.get_mut(&socket).unwrap().0;
                queue.extend_from_slice(ring.bytes(&lease));
                ring.release(lease);
                socket
            }
            Event::Ended { socket, cause } => {
                assert_eq!(cause, End::Closed);
                queues.get_mut(&socket).unwrap().2 = true;
                socket
            }
            Event::Sent { socket, result } => {
                result.unwrap();
                queues.get_mut(&socket).unwrap().1 = false;
                socket
            }
            other => panic!("{other:?}"),
        };
        let (queue, sending, closed) = queues.get_mut(&id).unwrap();
        if !*sending && !queue.is_empty() {
            *sending = true;
            ring.send(id, std::mem::take(queue));
        } else if !*sending && *closed {
            ring.close(id);
            ended += 1;
        }
        ended == connections
    });
}

/// Peers that send 2 MB each and read slowly, so that sends and receives are partial.
pub(in crate::ring::tests) fn echo(mut ring: Ring) {
    const CONNECTIONS: usize = 40;
    const BYTES: usize = 400_000;
    let (listener, address) = listener(&mut ring);
    ring.accept(listener);
    let peers: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            elsewhere(move || {
                let mut peer = TcpStream::connect(address).unwrap();
                let text: Vec<u8> = (0..BYTES)
                    .map(|at| u8::try_from((at * 7 + number) % 251).unwrap())
                    .collect();
                let mut reader = peer.try_clone().unwrap();
                let expected = text.clone();
                let reading = elsewhere(move || {
                    pause(20);
                    let mut found = Vec::new();
                    reader.read_to_end(&mut found).unwrap();
                    assert!(found == expected, "the echo differs");
                });
                peer.write_all(&text).unwrap();
                peer.shutdown(std::net::Shutdown::Write).unwrap();
                reading.join().unwrap();
            })
        })
        .collect();
    serve(&mut ring, CONNECTIONS);
    for peer in peers {
        peer.join().unwrap();
    }
    ring.close(listener);
}

#[test]
fn many_connections_get_back_what_they_sent() {
    echo(Ring::new(small()).unwrap());
}

#[test]
fn a_send_larger_than_every_socket_buffer_arrives_whole() {
    let mut ring = Ring::new(small()).unwrap();
    let (id, mut peer) = connection(&mut ring);
    let text: Vec<u8> = (0..20_000_000_u32)
        .map(|at| (at % 253).to_be_bytes()[3])
        .collect();
    let expected = text.clone();
    let reading = elsewhere(move || {
        let mut found = vec![0; expected.len()];
        peer.read_exact(&mut found).unwrap();
        assert!(found == expected);
    });
    ring.send(id, text);
    until(&mut ring, |_, event| {
        assert!(
            matches!(event, Event::Sent { result: Ok(()), .. }),
            "{event:?}"
        );
        true
    });
    reading.join().unwrap();
    ring.send(id, Vec::new());
    until(&mut ring, |_, event| {
        matches!(event, Event::Sent { result: Ok(()), .. })
    });
}

#[test]
fn a_send_to_a_peer_that_is_gone_fails() {
    let mut ring = Ring::new(small()).unwrap();
    let (id, peer) = connection(&mut ring);
    drop(peer);
    let mut failed = None;
    while failed.is_none() {
        ring.send(id, vec![1; 100_000]);
        until(&mut ring, |_, event| {
            let Event::Sent { result, .. } = event else {
                panic!("{event:?}")
            };
            failed = result.err();
            true
        });
    }
    let gone = [rustix::io::Errno::PIPE, rustix::io::Errno::CONNRESET];
    assert!(
        gone.iter()
            .any(|errno| Some(errno.raw_os_error()) == failed),
        "{failed:?}"
    );
}

#[test]
fn a_receive_goes_on_when_buffers_come_back() {
    let mut ring = Ring::new(small()).unwrap();
    let mut peers = Vec::new();
    for _ in 0..4 {
        let (id, mut peer) = connection(&mut ring);
        ring.receive(id, Lane::Bulk);
        let writing = elsewhere(move || peer.write_all(&vec![b'x'; 3_000_000]).unwrap());
        peers.push(writing);
    }
    // Nothing is given back until all 8 buffers are out.
    let mut leases = Vec::new();
    until(&mut ring, |_, event| {
        let Event::Received { lease, .. } = event else {
            panic!("{event:?}")
        };
        leases.push(lease);
        leases.len() == 8
    });
    for _ in 0..5 {
        ring.turn(Some(Duration::from_millis(10)));
        assert!(ring.next_event().is_none());
    }
    let mut received = 0;
    for lease in leases {
        received += lease.len();
        ring.release(lease);
    }
    let mut closed = 0;
    until(&mut ring, |ring, event| {
        match event {
            Event::Received { lease, .. } => {
                assert!(ring.bytes(&lease).iter().all(|byte| *byte == b'x'));
                received += lease.len();
                ring.release(lease);
            }
            Event::Ended {
                cause: End::Closed, ..
            } => closed += 1,
            other => panic!("{other:?}"),
        }
        closed == 4
    });
    assert_eq!(received, 12_000_000);
    for peer in peers {
        peer.join().unwrap();
    }
}

#[test]
fn a_starved_receive_can_be_stopped_and_closed() {
    let mut ring = Ring::new(RingConfig {
        bulk_buffers: BufferSizes {
            count: 1,
            bytes: 65_536,
        },
        ..small()
    })
    .unwrap();
    let (first, mut first_peer) = connection(&mut ring);
    let (second, mut second_peer) = connection(&mut ring);
    first_peer.write_all(b"one").unwrap();
    ring.receive(first, Lane::Bulk);
    let mut kept = None;
    until(&mut ring, |_, event| {
        let Event::Received { lease, .. } = event else {
            panic!("{event:?}")
        };
        kept = Some(lease);
        true
    });
    second_peer.write_all(b"two").unwrap();
    ring.receive(second, Lane::Bulk);
    for _ in 0..3 {
        ring.turn(Some(Duration::from_millis(10)));
        assert!(ring.next_event().is_none());
    }
    ring.stop_receive(second);
    until(&mut ring, |_, event| {
        assert!(
            matches!(
                event,
                Event::Ended {
                    cause: End::Stopped,
                    ..
                }
            ),
            "{event:?}"
        );
        true
    });
    let mut text = Vec::new();
    assert_eq!(
        ring.receive_now(second, &mut text, 100),
        ReceiveNow::Bytes(3)
    );
    assert_eq!(text, b"two");
    assert_eq!(ring.receive_now(second, &mut text, 100), ReceiveNow::Empty);
    drop(second_peer);
    assert_eq!(ring.receive_now(second, &mut text, 100), ReceiveNow::Closed);
    ring.close(second);
    ring.close(first);
    ring.release(kept.unwrap());
}

#[test]
fn lanes_share_no_buffer() {
    let mut ring = Ring::new(RingConfig {
        bulk_buffers: BufferSizes {
            count: 1,
            bytes: 65_536,
        },
        ..small()
    })
    .unwrap();
    let (bulk, mut bulk_peer) = connection(&mut ring);
    let (urgent, mut urgent_peer) = connection(&mut ring);
    bulk_peer.write_all(b"bulk").unwrap();
    ring.receive(bulk, Lane::Bulk);
    let mut kept = Vec::new();
    let mut take = |ring: &mut Ring, wanted: SocketId, lane: Lane| {
        until(ring, |ring, event| {
            let Event::Received { socket, lease } = event else {
                panic!("{event:?}")
            };
            assert_eq!((socket, lease.lane()), (wanted, lane));
            assert_eq!(
                ring.bytes(&lease).len(),
                4 + usize::from(lane == Lane::Urgent) * 2
            );
            kept.push(lease);
            true
        });
    };
    take(&mut ring, bulk, Lane::Bulk);
    // Every bulk buffer is leased now.
    bulk_peer.write_all(b"more").unwrap();
    ring.receive(urgent, Lane::Urgent);
    urgent_peer.write_all(b"urgent").unwrap();
    take(&mut ring, urgent, Lane::Urgent);
    for lease in kept {
        ring.release(lease);
    }
    until(&mut ring, |ring, event| {
        let Event::Received { socket, lease } = event else {
            panic!("{event:?}")
        };
        assert_eq!((socket, ring.bytes(&lease)), (bulk, b"more".as_slice()));
        ring.release(lease);
        true
    });
}

#[test]
fn what_is_submitted_between_turns_goes_out_before_the_next() {
    let mut ring = Ring::new(small()).unwrap();
    let (id, mut peer) = connection(&mut ring);
    peer.set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    ring.send(id, b"now".to_vec());
    ring.submit();
    let mut text = [0; 3];
    peer.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"now");
}

#[test]
fn stopping_and_resuming_loses_no_byte() {
    const NUMBERS: u32 = 1_000_000;
    // Small buffers make thousands of events, and so hundreds of stops.
    let mut ring = Ring::new(RingConfig {
        bulk_buffers: BufferSizes {
            count: 8,
            bytes: 1_000,
        },
        ..small()
    })
    .unwrap();
    let (id, mut peer) = connection(&mut ring);
    let writing = elsewhere(move || {
        let text: Vec<u8> = (0..NUMBERS).flat_map(u32::to_be_bytes).collect();
        for (chunk, number) in text.chunks(37_003).zip(0_u32..) {
            peer.write_all(chunk).unwrap();
            if number % 16 == 0 {
                pause(1);
            }
        }
    });
    ring.receive(id, Lane::Bulk);
    let mut found: Vec<u8> = Vec::new();
    let (mut stops, mut random, mut held) = (0, 12_345_u32, Vec::new());
    until(&mut ring, |ring, event| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match event {
            Event::Received { lease, .. } => {
                found.extend_from_slice(ring.bytes(&lease));
                held.push(lease);
                // Leases are kept for a while, so that stops meet starved receives too.
                if held.len() > (random >> 8) as usize % 8 {
                    held.drain(..).for_each(|lease| ring.release(lease));
                }
                if (random >> 16).is_multiple_of(3) {
                    ring.stop_receive(id);
                }
                false
            }
            Event::Ended {
                cause: End::Stopped,
                ..
            } => {
                held.drain(..).for_each(|lease| ring.release(lease));
                if (random >> 16).is_multiple_of(5) {
                    assert!(!matches!(
                        ring.receive_now(id, &mut found, 10_000),
                        ReceiveNow::Failed(_)
                    ));
                }
                stops += 1;
                ring.receive(id, Lane::Bulk);
                false
            }
            Event::Ended { cause, .. } => {
                assert_eq!(cause, End::Closed);
                true
            }
            other => panic!("{other:?}"),
        }
    });
    writing.join().unwrap();
    let expected: Vec<u8> = (0..NUMBERS).flat_map(u32::to_be_bytes).collect();
    assert!(
        found == expected,
        "{} bytes of {}",
        found.len(),
        expected.len()
    );
    assert!(stops > 100, "only {stops} stops");
}

#[test]
fn a_closed_socket_is_never_heard_of_again() {
    let mut ring = Ring::new(small()).unwrap();
    for round in 0..50_u64 {
        let (id, mut peer) = connection(&mut ring);
        ring.receive(id, Lane::Bulk);
        ring.send(id, vec![7; 10_000_000]);
        peer.write_all(&vec![1; 100_000]).unwrap();
        ring.turn(Some(Duration::from_millis(round % 3)));
        if round % 2 == 0 {
            // Only the first event is looked at: the others wait while the socket is closed.
            if let Some(Event::Received { lease, .. }) = ring.next_event() {
                ring.release(lease);
            }
        }
        ring.close(id);
        let late = ring.next_event();
        assert!(late.is_none(), "an event after the close: {late:?}");
        for _ in 0..3 {
            ring.turn(Some(Duration::from_millis(2)));
            assert!(ring.next_event().is_none());
        }
        // Really closed: the peer reads to the end.
        peer.set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let read = peer.read_to_end(&mut Vec::new());
        let reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(read.is_ok() || read.as_ref().is_err_and(reset), "{read:?}");
    }
    assert_eq!(unleased(&ring, Lane::Bulk), 8, "a buffer was lost");
    assert_eq!(open_sockets(&ring), 0);
}

#[test]
fn the_next_write_to_a_connection_that_was_reset_fails() {
    let mut ring = Ring::new(small()).unwrap();
    for is_reset in [false, true] {
        let (id, mut peer) = connection(&mut ring);
        ring.receive(id, Lane::Bulk);
        ring.turn(Some(Duration::from_millis(1)));
        if is_reset {
            socket::reset_when_closed(ring.descriptor(id)).unwrap();
        }
        ring.close(id);
        // Until the kernel has given up the receive.
        for _ in 0..3 {
            ring.turn(Some(Duration::from_millis(2)));
            assert!(ring.next_event().is_none());
        }
        let end = peer.read(&mut [0]).map_err(|error| error.kind());
        let reset = Err(std::io::ErrorKind::ConnectionReset);
        assert_eq!(end, if is_reset { reset } else { Ok(0) });
        assert_eq!(peer.write(b"a.b 1 2\n").is_err(), is_reset);
    }
}

#[test]
fn an_accept_that_fails_says_so_and_can_be_armed_again() {
    let mut ring = Ring::new(small()).unwrap();
    // A socket that does not listen stands for any failing accept; its error is forgiven only so often.
    let id = ring.adopt(OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap()));
    ring.accept(id);
    until(&mut ring, |_, event| {
        let Event::AcceptFailed { listener, errno } = event else {
            panic!("{event:?}")
        };
        assert_eq!(listener, id);
        assert!(errno > 0);
        true
    });
    ring.accept(id);
    until(&mut ring, |_, event| {
        matches!(event, Event::AcceptFailed { .. })
    });
}

#[test]
fn a_listener_that_is_to_accept_one_accepts_one() {
    let mut ring = Ring::new(small()).unwrap();
    let (listener, address) = listener(&mut ring);
    let peers: Vec<_> = (0..5)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let mut accepted = Vec::new();
    for _ in 0..3 {
        ring.accept_one(listener);
        until(&mut ring, |_, event| {
            let Event::Accepted { socket, .. } = event else {
                panic!("{event:?}")
            };
            accepted.push(socket::peer_addr(&socket).unwrap());
            true
        });
        for _ in 0..3 {
            ring.turn(Some(Duration::from_millis(10)));
            assert!(ring.next_event().is_none(), "one more was accepted");
        }
    }
    // From now on all.
    ring.accept(listener);
    until(&mut ring, |_, event| {
        let Event::Accepted { socket, .. } = event else {
            panic!("{event:?}")
        };
        accepted.push(socket::peer_addr(&socket).unwrap());
        accepted.len() == peers.len()
    });
    let wanted: Vec<_> = peers
        .iter()
        .map(|peer| peer.local_addr().unwrap())
        .collect();
    assert_eq!(accepted, wanted);
}

#[test]
fn accept_now_takes_what_waits_and_never_blocks() {
    let mut ring = Ring::new(small()).unwrap();
    let (listener, address) = listener(&mut ring);
    assert!(ring.accept_now(listener).is_none());
    let peer = TcpStream::connect(address).unwrap();
    let accepted = ring.accept_now(listener).unwrap();
    assert_eq!(
        socket::peer_addr(&accepted).unwrap(),
        peer.local_addr().unwrap()
    );
    assert!(ring.accept_now(listener).is_none());
    ring.accept(listener);
    let second = TcpStream::connect(address).unwrap();
    until(&mut ring, |_, event| {
        let Event::Accepted { socket, .. } = event else {
            panic!("{event:?}")
        };
        assert_eq!(
            socket::peer_addr(&socket).unwrap(),
            second.local_addr().unwrap()
        );
        let flags = rustix::io::fcntl_getfd(&socket).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        true
    });
    drop(peer);
}

#[test]
fn datagrams_keep_their_bounds_up_to_the_largest() {
    let mut ring = Ring::new(small()).unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let descriptor = socket::bind_udp(any, 1 << 20).unwrap();
    let address = socket::local_addr(descriptor.as_fd()).unwrap();
    let id = ring.adopt(descriptor);
    ring.receive(id, Lane::Bulk);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    for len in [1_usize, 60_000, 0, 65_507, 0, 17] {
        peer.send_to(&vec![b'd'; len], address).unwrap();
    }
    let mut lens = Vec::new();
    until(&mut ring, |ring, event| {
        let Event::Received { lease, .. } = event else {
            panic!("{event:?}")
        };
        assert!(ring.bytes(&lease).iter().all(|byte| *byte == b'd'));
        if !lease.is_empty() {
            lens.push(lease.len());
        }
        ring.release(lease);
        lens.len() == 4
    });
    assert_eq!(lens, [1, 60_000, 65_507, 17]);
    ring.stop_receive(id);
    until(&mut ring, |_, event| {
        matches!(
            event,
            Event::Ended {
                cause: End::Stopped,
                ..
            }
        )
    });
}

#[test]
fn a_wake_of_a_ring_that_is_gone_harms_nobody() {
    let mut ring = Ring::new(small()).unwrap();
    let gone = Ring::new(small()).unwrap();
    let (handle, waker) = (gone.handle(), gone.waker());
    drop(gone);
    ring.wake(&handle, 1);
    waker.wake();
    ring.turn(Some(Duration::from_millis(5)));
    assert!(ring.next_event().is_none());
}

#[test]
fn a_waker_wakes_a_ring_that_waits_for_ever() {
    let mut ring = Ring::new(small()).unwrap();
    let waker = ring.waker();
    for _ in 0..3 {
        let waker = waker.clone();
        let waking = elsewhere(move || {
            pause(20);
            waker.wake();
            waker.wake();
        });
        loop {
            ring.turn(None);
            if let Some(Event::Woken { word: 0 }) = ring.next_event() {
                break;
            }
        }
        waking.join().unwrap();
        // The second wake may come on its own.
        ring.turn(Some(Duration::from_millis(5)));
        while ring.next_event().is_some() {}
    }
}

#[test]
fn an_idle_ring_sleeps() {
    let mut ring = Ring::new(small()).unwrap();
    let (listener, _) = listener(&mut ring);
    ring.accept(listener);
    let thread = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).tv_nsec;
    let (start, used) = (now(), thread());
    let mut turns = 0;
    while now() - start < Duration::from_millis(300) {
        ring.turn(Some(Duration::from_millis(100)));
        assert!(ring.next_event().is_none());
        turns += 1;
    }
    assert!(turns <= 4, "{turns} turns of 100 ms in 300 ms");
    assert!(
        thread() - used < 50_000_000,
        "{} ns of work while idle",
        thread() - used
    );
    let start = now();
    for _ in 0..100 {
        ring.turn(Some(Duration::ZERO));
    }
    assert!(
        now() - start < Duration::from_millis(100),
        "turns without waiting have waited"
    );
}

#[test]
fn a_ring_may_be_dropped_with_anything_in_flight() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..20_u64 {
        let mut ring = Ring::new(small()).unwrap();
        let (listener, address) = listener(&mut ring);
        ring.accept(listener);
        let peer = TcpStream::connect(address).unwrap();
        let (id, mut other) = connection(&mut ring);
        ring.receive(id, Lane::Bulk);
        ring.send(id, vec![3; 5_000_000]);
        other.write_all(&vec![4; 50_000]).unwrap();
        if round % 2 == 0 {
            ring.admission_mut().way = create::Way::Renamed;
        }
        for number in 0..30 {
            let path = directory.path().join(format!("{round}/{number}.wsp"));
            let create = FileOperation::Create {
                path: path.clone(),
                head: vec![1; 100],
                file_bytes: 200_000,
                allocation: Allocation::Zeros,
                sync: number % 7 == 0,
            };
            ring.file(FileToken(number), create);
            ring.file(FileToken(number + 100), FileOperation::Probe { path });
        }
        ring.wake(&ring.handle(), 1);
        for _ in 0..round {
            ring.turn(Some(Duration::from_micros(300)));
            if round % 3 == 0 {
                while ring.next_event().is_some() {}
            }
        }
        drop(ring);
        drop(peer);
    }
    // What there is, is whole; nothing else is there.
    for round in std::fs::read_dir(directory.path()).unwrap() {
        for file in std::fs::read_dir(round.unwrap().path()).unwrap() {
            let file = file.unwrap();
            assert!(
                !file.file_name().to_str().unwrap().starts_with('.'),
                "{file:?}"
            );
            assert_eq!(file.metadata().unwrap().len(), 200_000);
        }
    }
}
