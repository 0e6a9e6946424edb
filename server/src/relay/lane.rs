//! One destination: a bounded queue, and a task that keeps a connection and sends from it.
//! Never waits for room: what the queue cannot take is dropped, newest first, and counted, as in
//! Python carbon. A frame that could not be written whole goes out again on the next connection, so
//! that a point may arrive twice, which stores it once; one that the kernel has taken counts as sent,
//! whatever becomes of its connection.
//! On failure it connects again after 1 s, then 2 s and so on up to 5 s, and says so once a minute. At
//! a stop it sends what is queued until something fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use benzene_engine::clock;
use benzene_engine::limits::{RELAY_CONNECT_TIMEOUT, RELAY_RETRY_PAUSE_MAX, RELAY_SEND_TIMEOUT};
use benzene_engine::point::Point;
use benzene_engine::quiet::Quiet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::destination::Destination;
use super::{RelaySettings, frame};

/// The first pause before another attempt to connect.
const RETRY_PAUSE_MIN: Duration = Duration::from_secs(1);

/// What lanes count, all together.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) sent: AtomicU64,
    pub(super) dropped: AtomicU64,
    /// Of those dropped: in the queues when these ended.
    pub(super) left: AtomicU64,
}

/// The near end of a destination's queue.
#[derive(Debug)]
pub(super) struct Lane {
    queue: Sender<(String, Point)>,
    tally: Arc<Tally>,
    carrier: AbortHandle,
}

impl Lane {
    /// Begins to serve a destination, on the runtime of the caller.
    pub(super) fn start(
        destination: Destination,
        settings: &RelaySettings,
        tally: &Arc<Tally>,
        stopping: &watch::Sender<bool>,
    ) -> Lane {
        let (queue, points) = channel(settings.queue_max);
        let carrier = Carrier {
            destination,
            points,
            message_points_max: settings.message_points_max,
            batch: Vec::new(),
            tally: Arc::clone(tally),
            stopping: stopping.subscribe(),
            failing: Quiet::default(),
        };
        Lane {
            queue,
            tally: Arc::clone(tally),
            carrier: tokio::spawn(carrier.run()).abort_handle(),
        }
    }

    /// Puts a point into the queue, or drops and counts it.
    pub(super) fn push(&self, name: String, point: Point) {
        if self.queue.try_send((name, point)).is_err() {
            self.tally.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until the far end has gone, and has counted what it left.
    pub(super) async fn ended(&self) {
        self.queue.closed().await;
    }

    /// Has the far end go, whatever it is about.
    pub(super) fn abort(&self) {
        self.carrier.abort();
    }

    /// Points that wait.
    pub(super) fn queued(&self) -> u64 {
        (self.queue.max_capacity() - self.queue.capacity()) as u64
    }
}

/// The far end.
struct Carrier {
    destination: Destination,
    points: Receiver<(String, Point)>,
    message_points_max: usize,
    /// Points on their way; kept until they are written.
    batch: Vec<(String, Point)>,
    tally: Arc<Tally>,
    stopping: watch::Receiver<bool>,
    failing: Quiet,
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let left = (self.batch.len() + self.points.len()) as u64;
        self.tally.left.fetch_add(left, Ordering::Relaxed);
        self.tally.dropped.fetch_add(left, Ordering::Relaxed);
    }
}

impl Carrier {
    /// Until a stop, or until the near end goes.
    async fn run(mut self) {
        let mut pause = RETRY_PAUSE_MIN;
        loop {
            // Nobody is connected to before there is something to say.
            if self.batch.is_empty() && !self.take_batch().await {
                return;
            }
            match self.connect().await {
                Ok(stream) => {
                    pause = RETRY_PAUSE_MIN;
                    self.say_well();
                    if !self.carry(stream).await {
                        return;
                    }
                }
                Err(error) => self.say(&error),
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = told(&mut self.stopping) => return,
            }
            pause = (pause * 2).min(RELAY_RETRY_PAUSE_MAX);
        }
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let place = (self.destination.node.server.as_str(), self.destination.port);
        let stream = timeout(RELAY_CONNECT_TIMEOUT, TcpStream::connect(place)).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Waits for points; false where none come any more.
    async fn take_batch(&mut self) -> bool {
        let points = self
            .points
            .recv_many(&mut self.batch, self.message_points_max);
        tokio::select! {
            // What is queued comes first.
            biased;
            count = points => count > 0,
            () = told(&mut self.stopping) => false,
        }
    }

    /// Sends over a connection until it fails; false where there is nothing more to come.
    async fn carry(&mut self, stream: TcpStream) -> bool {
        let (mut from, mut to) = stream.into_split();
        loop {
            if self.batch.is_empty() {
                // A connection that ends while nothing is sent would swallow the next frame.
                tokio::select! {
                    is_more = self.take_batch() => if !is_more { return false },
                    () = ended(&mut from) => return true,
                }
            }
            if let Err(error) = self.send(&mut to).await {
                self.say(&error);
                return true;
            }
        }
    }

    async fn send(&mut self, to: &mut OwnedWriteHalf) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        frame::encode(&self.batch, &mut bytes);
        timeout(RELAY_SEND_TIMEOUT, to.write_all(&bytes)).await??;
        let sent = self.batch.len() as u64;
        self.tally.sent.fetch_add(sent, Ordering::Relaxed);
        self.batch.clear();
        Ok(())
    }

    fn say(&mut self, error: &std::io::Error) {
        if self.failing.due(clock::now().instant).is_some() {
            tracing::warn!(
                "own metrics cannot be relayed to {}: {error}; they wait in its queue \
                 (RELAY_CACHE_METRICS, DESTINATIONS, MAX_QUEUE_SIZE in carbon.conf)",
                self.destination
            );
        }
    }

    fn say_well(&mut self) {
        if self.failing.end() {
            tracing::info!("own metrics are relayed to {} again", self.destination);
        }
    }
}

/// Waits for the stop.
async fn told(stopping: &mut watch::Receiver<bool>) {
    // Who could tell is gone: that is one too.
    drop(stopping.wait_for(|is_stopping| *is_stopping).await);
}

/// Waits until the other side closes; what it says is passed over.
async fn ended(from: &mut OwnedReadHalf) {
    let mut bytes = [0; 64];
    while from.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}
