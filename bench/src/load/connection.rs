//! One connection's work: its metrics, all rounds, in large writes, at its share of the rate.
//! Never opens a second connection for what the first could not send: a failure ends the work,
//! is reported with what had been handed to the kernel by then, and is not hidden by a retry.
//! A TCP connection ends by closing its own direction and reading until the peer has closed too:
//! a carbon receiver does that once it has read everything.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use benzene_engine::clock;
use rustix::process::setpriority_process;

use super::encode::{Encoder, Sample};
use super::{Order, Protocol};
use crate::progress::Done;
use crate::workload::{Workload, mix};

/// Bytes of one write to a TCP socket: large enough that the system call costs nothing a point.
const WRITE_BYTES: usize = 128 << 10;
/// Largest datagram: what fits an Ethernet frame unfragmented, as statsd and collectd keep to.
const DATAGRAM_BYTES_MAX: usize = 1432;
/// What a line has besides its name: value, timestamp, two spaces, newline.
const LINE_REST_BYTES_MAX: usize = 6 + 10 + 3;
/// With a rate, points are sent this many times a second.
const PACED_WRITES_PER_SECOND: u64 = 100;

/// What one connection has to do.
#[derive(Debug)]
pub(crate) struct Task<'a> {
    pub(crate) workload: &'a Workload,
    pub(crate) metrics: Range<u32>,
    pub(crate) protocol: Protocol,
    pub(crate) order: Order,
    pub(crate) batch: usize,
    /// Points a second; None is as fast as it goes.
    pub(crate) rate: Option<u64>,
    pub(crate) target: SocketAddr,
    /// Nice value of the thread that sends.
    pub(crate) nice: i32,
    /// How long the peer may take nothing before the connection counts as dead.
    pub(crate) timeout: Duration,
}

/// What one connection did.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Points handed to the kernel whole.
    pub(crate) points: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
    /// From the moment it could send to the moment it was done.
    pub(crate) span: Option<(Instant, Instant)>,
    /// Why it stopped early.
    pub(crate) error: Option<anyhow::Error>,
}

impl Task<'_> {
    /// Sends everything. Never fails as a whole: what was sent before an error still counts.
    pub(crate) fn run(&self, done: &Done) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.error = self.send_all(done, &mut outcome).err();
        if let Some((_, end)) = &mut outcome.span {
            *end = clock::now().instant;
        }
        outcome
    }

    fn send_all(&self, done: &Done, outcome: &mut Outcome) -> Result<()> {
        if self.nice != 0 {
            // On Linux this is the calling thread's alone.
            setpriority_process(None, self.nice).context("cannot set the nice value")?;
        }
        let names = Names::build(self.workload, self.metrics.clone());
        let socket = Socket::open(self)?;
        let started = clock::now().instant;
        outcome.span = Some((started, started));
        let mut sender = Sender {
            flush_bytes: self.flush_bytes(&names),
            flush_points: self
                .rate
                .map_or(u64::MAX, |rate| (rate / PACED_WRITES_PER_SECOND).max(1)),
            rate: self.rate,
            started,
            encoder: match self.protocol {
                Protocol::Line | Protocol::Udp => Encoder::line(),
                Protocol::Pickle => Encoder::pickle(self.batch),
            },
            buffer: Vec::with_capacity(2 * WRITE_BYTES),
            waiting: 0,
            socket,
            done,
            outcome,
        };
        let mut order: Vec<u32> = self.metrics.clone().collect();
        for round in 0..self.workload.rounds() {
            if self.order == Order::Random {
                shuffle(&mut order, self.workload.seed(), round);
            }
            let timestamp = self.workload.timestamp(round);
            for &index in &order {
                sender.push(Sample {
                    name: names.get(index - self.metrics.start),
                    value: self.workload.value(index, round),
                    timestamp,
                })?;
            }
        }
        sender.finish()
    }

    /// From how many bytes on the buffer is sent. A datagram must not pass its bound, so it is
    /// sent as soon as the longest line might not fit.
    fn flush_bytes(&self, names: &Names) -> usize {
        match self.protocol {
            Protocol::Line | Protocol::Pickle => WRITE_BYTES,
            Protocol::Udp => DATAGRAM_BYTES_MAX - (names.longest + LINE_REST_BYTES_MAX),
        }
    }
}

/// The buffer on its way into the socket.
struct Sender<'a> {
    flush_bytes: usize,
    flush_points: u64,
    rate: Option<u64>,
    started: Instant,
    encoder: Encoder,
    buffer: Vec<u8>,
    /// Points in the buffer.
    waiting: u64,
    socket: Socket,
    done: &'a Done,
    outcome: &'a mut Outcome,
}

impl Sender<'_> {
    fn push(&mut self, sample: Sample<'_>) -> Result<()> {
        self.encoder.push(&mut self.buffer, sample);
        self.waiting += 1;
        let full = self.buffer.len() >= self.flush_bytes || self.waiting >= self.flush_points;
        if full && self.encoder.is_whole() {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        assert!(self.encoder.is_whole(), "a frame is cut");
        self.pace();
        self.socket.send(&self.buffer)?;
        self.outcome.points += self.waiting;
        self.outcome.bytes += u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        self.done.add(self.waiting);
        self.buffer.clear();
        self.waiting = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.encoder.finish(&mut self.buffer);
        if self.waiting > 0 {
            self.flush()?;
        }
        self.socket.close()
    }

    /// Waits until what is in the buffer is due.
    #[expect(clippy::disallowed_methods, reason = "a client's thread, no shard")]
    fn pace(&self) {
        let Some(rate) = self.rate else { return };
        let nanos = u128::from(self.outcome.points) * 1_000_000_000 / u128::from(rate);
        let due = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let spent = clock::now().instant.duration_since(self.started);
        if let Some(early) = due.checked_sub(spent) {
            std::thread::sleep(early);
        }
    }
}

/// A connected socket.
enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Socket {
    fn open(task: &Task<'_>) -> Result<Self> {
        let target = task.target;
        if task.protocol == Protocol::Udp {
            let any = if target.is_ipv4() {
                "0.0.0.0:0"
            } else {
                "[::]:0"
            };
            let socket = UdpSocket::bind(any).context("cannot make a UDP socket")?;
            socket
                .connect(target)
                .with_context(|| format!("cannot send to {target}"))?;
            return Ok(Self::Udp(socket));
        }
        let stream = TcpStream::connect_timeout(&target, task.timeout)
            .with_context(|| format!("cannot connect to {target}"))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(task.timeout))?;
        stream.set_read_timeout(Some(task.timeout))?;
        Ok(Self::Tcp(stream))
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes).map_err(waited),
            Self::Udp(socket) => socket.send(bytes).map(|_| ()),
        }
        .context("cannot send")
    }

    /// Closes our direction and waits until the peer has closed its own.
    fn close(self) -> Result<()> {
        let Self::Tcp(mut stream) = self else {
            return Ok(());
        };
        stream
            .shutdown(Shutdown::Write)
            .context("cannot close the sending direction")?;
        let mut unasked = [0; 4096];
        loop {
            match stream.read(&mut unasked) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    bail!(
                        anyhow::Error::new(waited(error))
                            .context("the peer did not close, and may not have read everything")
                    )
                }
            }
        }
    }
}

/// A socket's timeout reads "resource temporarily unavailable"; says what happened instead.
fn waited(error: io::Error) -> io::Error {
    let kind = error.kind();
    if kind == ErrorKind::WouldBlock || kind == ErrorKind::TimedOut {
        return io::Error::new(ErrorKind::TimedOut, "nothing moved for the whole --timeout");
    }
    error
}

/// The names of one connection's metrics, back to back.
pub(crate) struct Names {
    text: Vec<u8>,
    /// Where each name ends.
    ends: Vec<usize>,
    longest: usize,
}

impl Names {
    pub(crate) fn build(workload: &Workload, metrics: Range<u32>) -> Self {
        let mut names = Self {
            text: Vec::new(),
            ends: Vec::with_capacity(metrics.len()),
            longest: 0,
        };
        for index in metrics {
            let name = workload.name(index);
            names.longest = names.longest.max(name.len());
            names.text.extend_from_slice(name.as_bytes());
            names.ends.push(names.text.len());
        }
        names
    }

    pub(crate) fn get(&self, place: u32) -> &[u8] {
        let place = place as usize;
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.text[start..self.ends[place]]
    }
}

/// Puts the indices into an order of their own for each round (Fisher and Yates).
pub(crate) fn shuffle(order: &mut [u32], seed: u64, round: u32) {
    let mut state = mix(seed ^ u64::from(round) << 32);
    for place in (1..order.len()).rev() {
        state = mix(state);
        let bound = u64::try_from(place + 1).unwrap_or(u64::MAX);
        let other = usize::try_from(state % bound)
            .unwrap_or_else(|_| unreachable!("a remainder of {bound} is an index"));
        order.swap(place, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_keeps_every_index_and_follows_from_seed_and_round() {
        let sorted: Vec<u32> = (0..1000).collect();
        let shuffled = |seed, round| {
            let mut order = sorted.clone();
            shuffle(&mut order, seed, round);
            order
        };
        let (one, again, other) = (shuffled(1, 0), shuffled(1, 0), shuffled(1, 1));
        assert_eq!(one, again);
        assert_ne!(one, other);
        assert_ne!(one, sorted);
        let mut back = one;
        back.sort_unstable();
        assert_eq!(back, sorted);
    }
}
