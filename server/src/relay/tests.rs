//! Relaying over real connections: to somebody who is away at first, who hangs up in between, whose
//! queue is full; and what a stop does with what is queued.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::*;
use crate::wire::Stamp;
use crate::wire::pickle::{Batch, Machine, decode};

const PATIENCE: Duration = Duration::from_secs(60);

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

fn settings(destinations: &str, queue_max: usize) -> RelaySettings {
    RelaySettings {
        destinations: Destination::parse_all(destinations).unwrap(),
        method: Method::Constant,
        queue_max,
        message_points_max: 3,
    }
}

fn point(timestamp: u32) -> Point {
    Point {
        timestamp,
        value: f64::from(timestamp) / 2.0,
    }
}

/// Names and timestamps of the next frame.
async fn frame(socket: &mut TcpStream) -> Vec<(String, Stamp)> {
    let length = timeout(PATIENCE, socket.read_u32()).await.unwrap().unwrap();
    let mut bytes = vec![0; length as usize];
    socket.read_exact(&mut bytes).await.unwrap();
    let mut batch = Batch::default();
    decode(&bytes, &mut Machine::default(), &mut batch).unwrap();
    let items = batch.iter();
    items
        .map(|item| (item.name.to_owned(), item.stamp))
        .collect()
}

fn stats(relay: &Relay) -> [u64; 2] {
    let mut stats = Stats::default();
    relay.add_to(&mut stats);
    [Counter::RelaySent, Counter::RelayDropped].map(|counter| stats.get(counter))
}

#[test]
fn points_wait_for_their_destination_and_survive_its_restart() {
    runtime().block_on(async {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let relay = Relay::start(&settings(&address.to_string(), 100));
        for second in 0..5 {
            relay.send("own.m", point(second));
        }
        let listener = TcpListener::bind(address).await.unwrap();
        let (mut socket, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        let mut seen = Vec::new();
        while seen.len() < 5 {
            let points = frame(&mut socket).await;
            assert!(points.len() <= 3, "{points:?}");
            seen.extend(points);
        }
        let want: Vec<_> = (0..5)
            .map(|second| ("own.m".to_owned(), Stamp::At(second)))
            .collect();
        assert_eq!(seen, want);
        // It goes, and comes again: the next point is not lost in the old connection.
        drop(socket);
        sleep(Duration::from_millis(50)).await;
        relay.send("own.m", point(7));
        let (mut socket, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        assert_eq!(
            frame(&mut socket).await,
            [("own.m".to_owned(), Stamp::At(7))]
        );
        while stats(&relay)[0] < 6 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!((stats(&relay), relay.queued()), ([6, 0], 0));
    });
}

#[test]
fn what_the_queue_cannot_take_is_dropped_and_counted() {
    runtime().block_on(async {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let relay = Relay::start(&settings(&address.to_string(), 4));
        for second in 0..10 {
            relay.send("own.m", point(second));
        }
        assert_eq!((stats(&relay), relay.queued()), ([0, 6], 4));
    });
}

#[test]
fn a_stop_sends_what_is_queued_and_counts_what_nobody_takes() {
    runtime().block_on(async {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let away = free.local_addr().unwrap();
        drop(free);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let relay = Relay::start(&settings(&format!("{there}:a,{away}:b"), 100));
        relay.send("own.m", point(0));
        let (mut socket, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        assert_eq!(frame(&mut socket).await.len(), 1);
        for second in 1..10 {
            relay.send("own.m", point(second));
        }
        // Whoever has failed already is not waited for.
        timeout(RELAY_LAST_WORDS, relay.flush()).await.unwrap();
        relay.end().await;
        assert_eq!(stats(&relay), [10, 10]);
        for _ in 0..3 {
            assert_eq!(frame(&mut socket).await.len(), 3);
        }
    });
}

/// A second signal ends the daemon while a frame is on its way.
#[test]
fn what_an_end_cuts_off_is_counted() {
    runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let relay = Relay::start(&settings(&address.to_string(), 100));
        for second in 0..5 {
            relay.send("own.m", point(second));
        }
        relay.end().await;
        assert_eq!((stats(&relay), relay.queued()), ([0, 5], 0));
    });
}
