//! Tests of the ring against the real kernel: the same tests over every driver, and those of one.
//! Machines without a kernel have theirs in `machine_tests`.
#![expect(
    clippy::duplicate_mod,
    reason = "one text of tests, over each driver in its own module"
)]

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::*;

mod native;
mod poll;

#[path = "."]
mod uring {
    use super::super::*;

    fn small() -> RingConfig {
        super::small(Driver::Uring)
    }

    #[path = "files.rs"]
    pub(super) mod files;
    #[path = "segments.rs"]
    mod segments;
    #[path = "sockets.rs"]
    pub(super) mod sockets;
}

#[path = "."]
mod uring_sync {
    use super::super::*;

    fn small() -> RingConfig {
        super::small(Driver::UringSync)
    }

    #[path = "files.rs"]
    pub(super) mod files;
    #[path = "segments.rs"]
    mod segments;
    #[path = "sockets.rs"]
    mod sockets;
}

#[path = "."]
mod poll_sync {
    use super::super::*;

    fn small() -> RingConfig {
        super::small(Driver::PollSync)
    }

    #[path = "files.rs"]
    pub(super) mod files;
    #[path = "segments.rs"]
    mod segments;
    #[path = "sockets.rs"]
    mod sockets;
}

fn small(driver: Driver) -> RingConfig {
    RingConfig {
        driver,
        file_threads: 4,
        apart_threads: 2,
        entries: 64,
        visits_max: 8,
        kernel_workers_max: 4,
        bulk_buffers: BufferSizes {
            count: 8,
            bytes: 65_536,
        },
        urgent_buffers: BufferSizes {
            count: 2,
            bytes: 4096,
        },
    }
}

/// Turns until `wanted` says that it has seen enough; a minute is a hang.
fn until(ring: &mut Ring, mut wanted: impl FnMut(&mut Ring, Event) -> bool) {
    let deadline = now() + Duration::from_secs(60);
    loop {
        ring.turn(Some(Duration::from_millis(200)));
        let mut enough = false;
        while let Some(event) = ring.next_event() {
            enough |= wanted(ring, event);
        }
        if enough {
            return;
        }
        assert!(now() < deadline, "nothing more came: {ring:?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "tests run on the real clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread that plays a sender or a slow reader"
)]
fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::spawn(work)
}

#[expect(clippy::disallowed_methods, reason = "a peer that is slow on purpose")]
fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

/// Buffers of a lane that are not leased.
fn unleased(ring: &Ring, lane: Lane) -> usize {
    match &ring.sockets {
        Side::Uring(native) => native.buffers.of(lane).unleased().into(),
        Side::Poll(poll) => poll.unleased(lane),
    }
}

/// Sockets that are not closed.
fn open_sockets(ring: &Ring) -> usize {
    match &ring.sockets {
        Side::Uring(native) => native.sockets.open_sockets().len(),
        Side::Poll(poll) => poll.open_sockets(),
    }
}

/// A listener that does not accept yet, and its address.
fn listener(ring: &mut Ring) -> (SocketId, SocketAddr) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let descriptor = socket::listen_tcp(any, 1024).unwrap();
    let address = socket::local_addr(&descriptor).unwrap();
    (ring.adopt(descriptor), address)
}

/// A connected pair: the ring's end, and the peer's.
fn connection(ring: &mut Ring) -> (SocketId, TcpStream) {
    let (listener, address) = listener(ring);
    let peer = TcpStream::connect(address).unwrap();
    let accepted = ring.accept_now(listener).unwrap();
    ring.close(listener);
    (ring.adopt(accepted), peer)
}
