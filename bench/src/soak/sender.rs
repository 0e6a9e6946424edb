//! A connection's regular points: each metric one a step, spread evenly over the step.
//! Where the connection is lost, by a restart of the daemon, it is made again, and all is sent once more
//! from the place that was known to have been read (`Place`) when the daemon was told to end: a carbon
//! sender cannot know of later points whether they were read. What lies before that place is never sent
//! again: the daemon has promised it.
//! So every regular point has been taken when the last connection has ended.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use benzene_engine::clock;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::scene::{SEEN_STEPS, Scene};
use crate::daemon::pause;
use crate::load::Protocol;
use crate::load::connection::Names;
use crate::load::encode::{Encoder, Sample};

/// How often points are sent.
const TICK: Duration = Duration::from_millis(100);
/// Most points of a write.
const WRITE_POINTS: u64 = 2000;
/// Points of a pickle frame.
const BATCH: usize = 500;
/// Longest time without a daemon to connect to: a stop that drains, and a start.
const DOWN_MAX: Duration = Duration::from_secs(600);
/// Longest wait of a write or of the peer's close.
const STALL_MAX: Duration = Duration::from_secs(60);

/// How far a connection is, in points, which are numbered in the order in which they are sent.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// So many were sent, each of them for the first time at last; 0 while some are sent again.
    sent: AtomicU64,
    /// So many are known to have been read; 0 where nobody has said so since the connection was made.
    read: AtomicU64,
}

impl Place {
    /// How many points were sent on this connection or on earlier ones. None: there is no newest point
    /// just now that was never sent before, so that one which is seen says nothing of this connection.
    pub(crate) fn sent(&self) -> Option<u64> {
        Some(self.sent.load(Ordering::SeqCst)).filter(|sent| *sent > 0)
    }

    /// So many were read. What is lost with this connection begins there.
    pub(crate) fn was_read(&self, points: u64) {
        self.read.store(points, Ordering::SeqCst);
    }

    /// The connection is lost: how many were read, if that is known.
    fn lost(&self) -> Option<u64> {
        self.sent.store(0, Ordering::SeqCst);
        Some(self.read.swap(0, Ordering::SeqCst)).filter(|read| *read > 0)
    }
}

/// A connection of regular points.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) metrics: Range<u32>,
    pub(crate) place: Place,
}

impl Connection {
    pub(crate) fn new(metrics: Range<u32>) -> Self {
        assert!(!metrics.is_empty(), "a connection of nothing");
        Self {
            metrics,
            place: Place::default(),
        }
    }

    /// Points of a round.
    fn points(&self) -> u64 {
        u64::from(self.metrics.end - self.metrics.start)
    }

    /// Metric and round of the point with this number.
    pub(crate) fn point(&self, number: u64) -> (u32, u32) {
        let (round, place) = (number / self.points(), number % self.points());
        let (Ok(round), Ok(place)) = (u32::try_from(round), u32::try_from(place)) else {
            unreachable!("point {number} of {:?} is in no round", self.metrics)
        };
        (self.metrics.start + place, round)
    }
}

/// One connection's part.
pub(crate) struct Sender<'a> {
    scene: &'a Scene,
    target: SocketAddr,
    protocol: Protocol,
    connection: &'a Connection,
    names: Names,
    socket: Option<TcpStream>,
    /// Points are numbered round by round; this one is the next.
    next: u64,
    /// As far as it has ever been.
    farthest: u64,
    buffer: Vec<u8>,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(
        scene: &'a Scene,
        protocol: Protocol,
        target: SocketAddr,
        connection: &'a Connection,
    ) -> Self {
        Self {
            names: Names::build(&scene.workload, connection.metrics.clone()),
            scene,
            target,
            protocol,
            connection,
            socket: None,
            next: 0,
            farthest: 0,
            buffer: Vec::new(),
        }
    }

    /// Sends everything, until the peer has closed after the last point.
    pub(crate) fn run(mut self) -> Result<()> {
        let total = self.connection.points() * u64::from(self.scene.workload.rounds());
        loop {
            ensure!(!self.scene.is_over(), "the soak was ended early");
            let due = self.due().min(total);
            let done = if self.next < due {
                self.send(due)
            } else if self.next == total {
                match self.close() {
                    Ok(()) => return Ok(()),
                    Err(error) => Err(error),
                }
            } else {
                pause(TICK);
                continue;
            };
            if done.is_err() {
                self.start_over()?;
            }
        }
    }

    /// How many points should have been sent by now.
    fn due(&self) -> u64 {
        let elapsed = self.scene.elapsed().as_nanos();
        let due =
            elapsed * u128::from(self.connection.points()) / self.scene.step.as_nanos().max(1);
        u64::try_from(due).unwrap_or(u64::MAX)
    }

    /// One write of points up to `due`.
    fn send(&mut self, due: u64) -> Result<()> {
        let points = (due - self.next).min(WRITE_POINTS);
        self.encode(self.next..self.next + points);
        let socket = self.socket.as_mut().context("not connected")?;
        ensure!(!has_closed(socket)?, "the peer has closed");
        socket.write_all(&self.buffer)?;
        self.next += points;
        if self.next > self.farthest {
            self.farthest = self.next;
            self.connection
                .place
                .sent
                .store(self.next, Ordering::SeqCst);
        }
        self.scene.sent.regular.add(points);
        Ok(())
    }

    fn encode(&mut self, numbers: Range<u64>) {
        let mut encoder = match self.protocol {
            Protocol::Pickle => Encoder::pickle(BATCH),
            Protocol::Line | Protocol::Udp => Encoder::line(),
        };
        self.buffer.clear();
        for number in numbers {
            let (index, round) = self.connection.point(number);
            let sample = Sample {
                name: self.names.get(index - self.connection.metrics.start),
                value: self.scene.workload.value(index, round),
                timestamp: self.scene.workload.timestamp(round),
            };
            encoder.push(&mut self.buffer, sample);
        }
        encoder.finish(&mut self.buffer);
    }

    /// Ends our direction and waits for the peer's end.
    fn close(&mut self) -> Result<()> {
        let socket = self.socket.as_mut().context("not connected")?;
        socket.shutdown(Shutdown::Write)?;
        let mut unasked = [0; 64];
        while socket.read(&mut unasked)? > 0 {}
        Ok(())
    }

    /// Connects anew, and goes back to the oldest point that may be lost. Where nobody knows which that
    /// is, for the connection was lost without a restart, it is one of two steps ago.
    fn start_over(&mut self) -> Result<()> {
        let start = clock::now().instant;
        if self.socket.take().is_some() {
            self.scene.sent.reconnects.add(1);
            let steps_ago = self.connection.points() * u64::from(SEEN_STEPS);
            let read = self.connection.place.lost();
            self.next = read.unwrap_or(self.next.saturating_sub(steps_ago));
        }
        loop {
            ensure!(!self.scene.is_over(), "the soak was ended early");
            match TcpStream::connect_timeout(&self.target, STALL_MAX) {
                Ok(socket) => {
                    socket.set_nodelay(true)?;
                    socket.set_read_timeout(Some(STALL_MAX))?;
                    socket.set_write_timeout(Some(STALL_MAX))?;
                    self.socket = Some(socket);
                    return Ok(());
                }
                Err(error) if clock::now().instant.duration_since(start) > DOWN_MAX => {
                    bail!("cannot connect to {} any more: {error}", self.target)
                }
                Err(_) => pause(TICK),
            }
        }
    }
}

/// Whether the peer has closed its direction. Takes nothing out of the socket.
pub(crate) fn has_closed(socket: &TcpStream) -> Result<bool> {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    match recv(socket, &mut [0_u8; 1][..], flags) {
        Ok((_, bytes)) => Ok(bytes == 0),
        Err(Errno::AGAIN) => Ok(false),
        Err(Errno::CONNRESET | Errno::PIPE) => Ok(true),
        Err(error) => Err(error).context("cannot look at a socket"),
    }
}
