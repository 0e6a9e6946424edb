//! What only io_uring has: its setup, single-shot requests, messages between rings.

use std::io::Write;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;

use super::uring::sockets::echo;
use super::{connection, elsewhere, now, small, unleased, until};
use crate::ring::native::Native;
use crate::ring::tag::{Kind, Tag};
use crate::ring::*;

fn native(ring: &mut Ring) -> &mut Native {
    let Side::Uring(native) = &mut ring.sockets else {
        panic!("not the uring driver")
    };
    native
}

#[test]
fn this_kernel_is_described() {
    let ring = Ring::new(small(Driver::Uring)).unwrap();
    let text = ring.description();
    assert!(text.contains("deferred task work"), "{text}");
    assert!(text.contains(&host::kernel_release()), "{text}");
}

#[test]
fn single_shot_requests_serve_where_there_are_no_multishot_ones() {
    let mut ring = Ring::new(small(Driver::Uring)).unwrap();
    let sockets = &mut native(&mut ring).sockets;
    (sockets.multishot_accept, sockets.multishot_receive) = (false, false);
    echo(ring);
}

#[test]
fn rings_wake_each_other_with_words() {
    const WORDS: u64 = 20_000;
    let (to_main, from_thread) = std::sync::mpsc::channel();
    let mut ring = Ring::new(small(Driver::Uring)).unwrap();
    let ours = ring.handle();
    let other = elsewhere(move || {
        let mut ring = Ring::new(small(Driver::Uring)).unwrap();
        to_main.send(ring.handle()).unwrap();
        let mut next = 0;
        until(&mut ring, |ring, event| {
            let Event::Woken { word } = event else {
                panic!("{event:?}")
            };
            assert_eq!(word, u64::MAX - next);
            next += 1;
            ring.wake(&ours, word);
            next == WORDS
        });
        ring.turn(Some(Duration::ZERO));
    });
    let theirs = from_thread.recv().unwrap();
    for word in 0..WORDS {
        ring.wake(&theirs, u64::MAX - word);
        if word % 100 == 0 {
            ring.turn(Some(Duration::ZERO));
        }
    }
    let mut came = 0;
    until(&mut ring, |_, event| {
        let Event::Woken { word } = event else {
            panic!("{event:?}")
        };
        assert_eq!(word, u64::MAX - came);
        came += 1;
        came == WORDS
    });
    other.join().unwrap();
}

#[test]
fn a_message_that_cannot_be_delivered_becomes_a_plain_wake() {
    let mut ring = Ring::new(small(Driver::Uring)).unwrap();
    let mut target = Ring::new(small(Driver::Uring)).unwrap();
    // The tag of a failed message, as the kernel would answer it.
    let handle = target.handle();
    ring.wake(&handle, 5);
    native(&mut ring)
        .wakes
        .undelivered(Tag::new(Kind::WakeSent, 0, 0));
    let mut words = Vec::new();
    ring.turn(Some(Duration::ZERO));
    until(&mut target, |_, event| {
        let Event::Woken { word } = event else {
            panic!("{event:?}")
        };
        words.push(word);
        words.len() == 2
    });
    words.sort_unstable();
    assert_eq!(words, [0, 5]);
}

/// A ring with so many small buffers for those who send much.
fn with_buffers(count: u16) -> Ring {
    Ring::new(RingConfig {
        bulk_buffers: BufferSizes { count, bytes: 4096 },
        ..small(Driver::Uring)
    })
    .unwrap()
}

/// One turn, after which all that came is given back at once. Who was heard?
fn hear(ring: &mut Ring) -> Vec<SocketId> {
    ring.turn(Some(Duration::from_secs(10)));
    let (mut heard, mut leases) = (Vec::new(), Vec::new());
    while let Some(event) = ring.next_event() {
        let Event::Received { socket, lease } = event else {
            panic!("{event:?}")
        };
        heard.push(socket);
        leases.push(lease);
    }
    for lease in leases {
        ring.release(lease);
    }
    heard
}

/// The flood is received for some turns, then another has something to say.
fn is_heard_soon(ring: &mut Ring, flood: SocketId) {
    let (quiet, mut peer) = connection(ring);
    ring.receive(flood, Lane::Bulk);
    ring.receive(quiet, Lane::Bulk);
    for _ in 0..10 {
        let heard = hear(ring);
        assert!(heard.iter().all(|id| *id == flood) && !heard.is_empty());
    }
    peer.write_all(b"hello").unwrap();
    for turn in 0.. {
        let heard = hear(ring);
        if heard.contains(&quiet) {
            break;
        }
        assert!(heard.contains(&flood), "the flood has ended");
        assert!(turn < 10, "a flood has {turn} turns to itself");
    }
}

/// A multishot receive takes every buffer that is free, however many.
#[test]
fn a_flood_leaves_others_their_turn() {
    let mut ring = with_buffers(4);
    let (flood, mut flooding) = connection(&mut ring);
    let writing = elsewhere(move || drop(flooding.write_all(&vec![b'f'; 40_000_000])));
    is_heard_soon(&mut ring, flood);
    drop(ring);
    writing.join().unwrap();
}

#[test]
fn a_flood_of_datagrams_leaves_others_their_turn() {
    let mut ring = with_buffers(4);
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    // They lie in the kernel: enough for all turns of the test, in which no sender has to keep up.
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..200 {
        sender.send_to(b"a 1 1\n", address).unwrap();
    }
    let flood = ring.adopt(OwnedFd::from(receiver));
    is_heard_soon(&mut ring, flood);
}

/// Those who wait for a buffer and have nothing to receive, or are closed, keep none from those behind
/// them, though nothing happens that would end a wait.
#[test]
fn free_buffers_go_to_whoever_has_something_to_receive() {
    const IDLE: usize = 20;
    let mut ring = with_buffers(1);
    let (first, mut talking) = connection(&mut ring);
    let idle: Vec<_> = (0..IDLE).map(|_| connection(&mut ring)).collect();
    let closed: Vec<_> = (0..IDLE).map(|_| connection(&mut ring)).collect();
    let (last, mut peer) = connection(&mut ring);
    talking.write_all(b"hello").unwrap();
    ring.receive(first, Lane::Bulk);
    let mut held = None;
    until(&mut ring, |_, event| {
        let Event::Received { lease, .. } = event else {
            panic!("{event:?}")
        };
        held = Some(lease);
        true
    });
    let waiting = idle.iter().chain(&closed).map(|(id, _)| *id);
    for id in waiting.chain([last]) {
        ring.receive(id, Lane::Bulk);
    }
    // All find the only buffer in use.
    for _ in 0..3 {
        ring.turn(Some(Duration::ZERO));
        assert!(ring.next_event().is_none());
    }
    for (id, _) in &closed {
        ring.close(*id);
    }
    peer.write_all(b"hello").unwrap();
    ring.release(held.unwrap());
    assert_eq!(unleased(&ring, Lane::Bulk), 1);
    let start = now();
    let mut turns = 0;
    while !hear(&mut ring).contains(&last) {
        turns += 1;
        assert!(turns <= IDLE + 3, "{turns} turns");
    }
    assert!(now() - start < Duration::from_secs(5), "it slept");
    // Nobody waits any more, and no turn is without a rest.
    let start = now();
    ring.turn(Some(Duration::from_millis(200)));
    ring.turn(Some(Duration::from_millis(200)));
    assert!(now() - start >= Duration::from_millis(300), "it spins");
}
