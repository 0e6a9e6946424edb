//! An even load that lasts: each metric has a point a step, spread evenly over the step.
//! Where the connection is lost, by a restart of the daemon, it is made again, and all is sent once more
//! from the place that was known to have been read (`Place`) when the daemon was told to end: a carbon
//! sender cannot know of later points whether they were read. What lies before that place is never sent
//! again: the daemon has promised it. Where no such place is known, it is so many steps ago (`Pace`).
//! So every point has been taken when the last connection has ended, unless the load was ended before.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use benzene_engine::clock;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::Protocol;
use super::connection::Names;
use super::encode::{Encoder, Sample};
use crate::daemon::pause;
use crate::progress::Done;
use crate::workload::Workload;

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

/// What all connections of a load share: its points, and when they are due.
#[derive(Debug)]
pub(crate) struct Pace {
    pub(crate) workload: Workload,
    /// When round 0 begins.
    pub(crate) begin: Instant,
    /// A metric has its first value for good.
    pub(crate) keeps_values: bool,
    /// How many steps back is begun where a connection was lost, and nobody knows what was read of it.
    pub(crate) resent_steps: u32,
    /// Points that were handed to the kernel, those sent again included.
    pub(crate) sent: Done,
    /// Connections that were lost and made again.
    pub(crate) reconnects: Done,
    is_over: AtomicBool,
}

impl Pace {
    /// Round 0 begins then. Nothing is sent again that is not known to be lost.
    pub(crate) fn new(workload: Workload, begin: Instant) -> Self {
        Self {
            workload,
            begin,
            keeps_values: false,
            resent_steps: 0,
            sent: Done::default(),
            reconnects: Done::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// From one point of a metric to the next.
    pub(crate) fn step(&self) -> Duration {
        Duration::from_secs(self.workload.shape().step.into())
    }

    /// Time since `begin`; nothing before it.
    pub(crate) fn elapsed(&self) -> Duration {
        clock::now().instant.saturating_duration_since(self.begin)
    }

    /// The round whose points are being sent.
    pub(crate) fn round(&self) -> u32 {
        let steps = self.elapsed().as_nanos() / self.step().as_nanos().max(1);
        u32::try_from(steps).unwrap_or(u32::MAX)
    }

    /// Nothing more is sent.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

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

/// A connection's part of the metrics.
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

/// What sends over a connection.
pub(crate) struct Sender<'a> {
    pace: &'a Pace,
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
        pace: &'a Pace,
        protocol: Protocol,
        target: SocketAddr,
        connection: &'a Connection,
    ) -> Self {
        Self {
            names: Names::build(&pace.workload, connection.metrics.clone()),
            pace,
            target,
            protocol,
            connection,
            socket: None,
            next: 0,
            farthest: 0,
            buffer: Vec::new(),
        }
    }

    /// Sends everything, until the peer has closed after the last point, or the load is over.
    pub(crate) fn run(mut self) -> Result<()> {
        let total = self.connection.points() * u64::from(self.pace.workload.rounds());
        loop {
            if self.pace.is_over() {
                return Ok(());
            }
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
        let elapsed = self.pace.elapsed().as_nanos();
        let due =
            elapsed * u128::from(self.connection.points()) / self.pace.step().as_nanos().max(1);
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
        self.pace.sent.add(points);
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
            let valued = if self.pace.keeps_values { 0 } else { round };
            let sample = Sample {
                name: self.names.get(index - self.connection.metrics.start),
                value: self.pace.workload.value(index, valued),
                timestamp: self.pace.workload.timestamp(round),
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
    /// is, it is one of some steps ago.
    fn start_over(&mut self) -> Result<()> {
        let start = clock::now().instant;
        if self.socket.take().is_some() {
            self.pace.reconnects.add(1);
            let steps_ago = self.connection.points() * u64::from(self.pace.resent_steps);
            let read = self.connection.place.lost();
            self.next = read.unwrap_or(self.next.saturating_sub(steps_ago));
        }
        loop {
            if self.pace.is_over() {
                return Ok(());
            }
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
