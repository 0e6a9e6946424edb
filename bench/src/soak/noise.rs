//! Everything that is not regular: new names all the time, datagrams, lines and frames that are
//! none, connections that say nothing, that stop in the middle of a line or frame, that come and go.
//! None of it may harm the regular points; what becomes of it is counted by the daemon.
//! One thread; a socket that fails is made anew at its next turn, and nothing is sent again.

use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use benzene_engine::clock;

use super::scene::Scene;
use crate::daemon::{local, pause};
use crate::load::even::has_closed;

/// One turn of the thread.
const TICK: Duration = Duration::from_millis(100);
/// Turns of a second.
const TICKS_PER_SECOND: u64 = 10;
/// Turns after which connections that are held are dropped and made anew.
const HELD_TICKS: u64 = 600;
/// Lines of a datagram, and how many metrics they go to.
const DATAGRAM_LINES: u64 = 20;
const DATAGRAM_METRICS: u64 = 1000;
/// Connections held of each kind.
const HELD: usize = 10;
/// Longest time of a connect or write.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of a line that is too long: 16,384 are accepted.
const TOO_LONG_BYTES: usize = 20_000;
/// Lines that are none, each refused for another reason.
const GARBAGE: &[&[u8]] = &[
    b"\n",
    b"soak.garbage\n",
    b"soak.garbage 1\n",
    b"soak.garbage 1 2 3\n",
    b"soak.garbage one 1600000000\n",
    b"soak.garbage nan 1600000000\n",
    b"soak.garbage 1 yesterday\n",
    b"soak.garbage 1 99999999999999\n",
    b"... 1 1600000000\n",
    b"\xff\xfe\xfd 1 1600000000\n",
    b"soak.\x01garbage 1 1600000000\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
];
/// Frames that are none: no pickle, too long, a pickle that asks for a call.
const GARBAGE_FRAMES: &[&[u8]] = &[
    b"\0\0\0\x10no pickle at all",
    b"\xff\xff\xff\xff",
    b"\0\0\0\x0fcos\nsystem\n(tR.",
];

/// What the thread keeps from turn to turn.
struct Noise<'a> {
    scene: &'a Scene,
    new_names_per_second: u64,
    new_names: u64,
    datagrams: u64,
    names_to: Option<TcpStream>,
    garbage_to: Option<TcpStream>,
    udp: Option<UdpSocket>,
    held: Vec<TcpStream>,
}

/// Makes noise until the scene is over.
pub(crate) fn make(scene: &Scene, new_names_per_second: u64) {
    let mut noise = Noise {
        scene,
        new_names_per_second,
        new_names: 0,
        datagrams: 0,
        names_to: None,
        garbage_to: None,
        udp: None,
        held: Vec::new(),
    };
    let mut tick = 0;
    while !scene.pace.is_over() {
        noise.names(tick);
        noise.datagram();
        if tick % TICKS_PER_SECOND == 0 {
            noise.garbage();
            noise.come_and_go();
        }
        if tick % HELD_TICKS == 0 {
            noise.held.clear();
        }
        noise.hold();
        tick += 1;
        pause(TICK);
    }
}

impl Noise<'_> {
    /// Names that were never sent before, each with one point.
    fn names(&mut self, tick: u64) {
        let due = (tick + 1) * self.new_names_per_second / TICKS_PER_SECOND;
        let now = clock::now().unix_seconds;
        let mut text = Vec::new();
        let mut names = 0;
        for number in self.new_names..due {
            let (group, name) = (number / 1000, number % 1000);
            let line = format!("soak.new.g{group:06}.n{name:03} {number} {now}\n");
            text.extend_from_slice(line.as_bytes());
            names += 1;
        }
        self.new_names = due;
        if write(&mut self.names_to, self.scene.offered.line, &text) {
            self.scene.sent.new_names.add(names);
        }
    }

    fn datagram(&mut self) {
        let Some(target) = self.scene.offered.udp else {
            return;
        };
        let now = clock::now().unix_seconds;
        let mut text = String::new();
        for line in 0..DATAGRAM_LINES {
            let metric = (self.datagrams * DATAGRAM_LINES + line) % DATAGRAM_METRICS;
            let line = format!("soak.udp.m{metric:03} {metric} {now}\n");
            text.push_str(&line);
        }
        self.datagrams += 1;
        self.udp = self.udp.take().or_else(|| UdpSocket::bind(local(0)).ok());
        let sent = self
            .udp
            .as_ref()
            .is_some_and(|udp| udp.send_to(text.as_bytes(), target).is_ok());
        if sent {
            self.scene.sent.udp.add(DATAGRAM_LINES);
        }
    }

    /// Garbage with a good line behind it, which must still be taken.
    fn garbage(&mut self) {
        let now = clock::now().unix_seconds;
        let mut text = GARBAGE.concat();
        text.resize(text.len() + TOO_LONG_BYTES, b'x');
        text.extend_from_slice(format!("\nsoak.good 1 {now}\n").as_bytes());
        if write(&mut self.garbage_to, self.scene.offered.line, &text) {
            self.scene.sent.garbage.add(GARBAGE.len() as u64 + 1);
        }
        for frame in GARBAGE_FRAMES {
            let mut socket = None;
            let sent = self.scene.offered.pickle;
            if sent.is_some_and(|target| write(&mut socket, target, frame)) {
                self.scene.sent.garbage.add(1);
            }
        }
    }

    /// A connection to each port that ends at once, the line receiver's in the middle of a line.
    fn come_and_go(&self) {
        for target in self.ports() {
            drop(connect(target));
        }
        write(&mut None, self.scene.offered.line, b"soak.unfinished 1");
    }

    /// Idle connections, and those that stopped in the middle of a line, frame or question.
    fn hold(&mut self) {
        self.held
            .retain(|socket| has_closed(socket).is_ok_and(|closed| !closed));
        let ports = self.ports();
        let wanted = HELD * 2 * ports.len();
        for number in self.held.len()..wanted {
            let Some(mut socket) = connect(ports[number % ports.len()]) else {
                return;
            };
            let unfinished = number < wanted / 2;
            // A frame's length of 16 bytes, or the begin of a name.
            if !unfinished || socket.write_all(b"\0\0\0\x10soak").is_ok() {
                self.held.push(socket);
            }
        }
    }

    fn ports(&self) -> Vec<SocketAddr> {
        let offered = self.scene.offered;
        let others = [offered.pickle, offered.query];
        let mut ports = vec![offered.line];
        ports.extend(others.iter().flatten());
        ports
    }
}

fn connect(target: SocketAddr) -> Option<TcpStream> {
    let socket = TcpStream::connect_timeout(&target, PATIENCE).ok()?;
    socket.set_write_timeout(Some(PATIENCE)).ok()?;
    Some(socket)
}

/// Writes to a connection that is made where there is none. False: it failed, and is dropped.
fn write(socket: &mut Option<TcpStream>, target: SocketAddr, bytes: &[u8]) -> bool {
    let mut open = match socket.take() {
        Some(open) => open,
        None => match connect(target) {
            Some(open) => open,
            None => return false,
        },
    };
    let sent = open.write_all(bytes).is_ok();
    *socket = Some(open).filter(|_| sent);
    sent
}
