//! What only io_uring has: its setup, single-shot requests, messages between rings.

use super::uring::sockets::echo;
use super::{elsewhere, small, until};
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
