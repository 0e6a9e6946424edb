//! Two hundred clients at once: slow ones, half-closed ones, some cut off or reset in the middle,
//! some that send garbage or attacks. Every good point is in its file, every refusal is counted
//! under its reason, no other file exists, memory and descriptors come back.
//! Each client has metrics of its own, so that all files together are known exactly.
#![expect(clippy::format_push_string, reason = "a test builds its text simply")]

mod guessed;
pub(crate) mod packed;
pub(crate) mod payloads;
pub(crate) mod pickles;
mod queries;
mod slices;
mod unfinished;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use crate::daemon::{Daemon, Ended, PATIENCE, Setup, wait_for};
use crate::first_use::now;
use crate::stop::number_before;
use pickles::{float, frame, int, item, list};

const CLIENTS: usize = 200;
/// Counters of what goes as it should.
const HONEST: &[&str] = &[
    "received",
    "committed",
    "updates",
    "updateMicros",
    "creates",
    "connections",
    "queries",
];

/// How many rounds; `BENZENE_LONG` asks for ten.
fn rounds() -> u64 {
    if std::env::var_os("BENZENE_LONG").is_some() {
        10
    } else {
        1
    }
}

/// What a client has to leave behind.
#[derive(Default)]
struct Expected {
    /// By canonical name: the points of its file.
    points: BTreeMap<String, BTreeMap<u32, f64>>,
    refused: BTreeMap<&'static str, u64>,
}

impl Expected {
    fn point(&mut self, name: &str, time: u32, value: f64) {
        let before = self
            .points
            .entry(name.to_owned())
            .or_default()
            .insert(time, value);
        assert!(before.is_none(), "{name} at {time} is sent twice");
    }

    fn refuse(&mut self, reason: &'static str, count: u64) {
        *self.refused.entry(reason).or_insert(0) += count;
    }

    fn merge(&mut self, other: Expected) {
        for (name, points) in other.points {
            let before = self.points.insert(name, points);
            assert!(before.is_none(), "two clients have one metric");
        }
        for (reason, count) in other.refused {
            self.refuse(reason, count);
        }
    }
}

/// A small generator of repeatable numbers (xorshift64*).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % 1_000_000).unwrap() % bound
    }
}

/// How a client ends its connection.
#[derive(Clone, Copy)]
enum Goodbye {
    /// Closes its sending side and reads to the end.
    HalfClose,
    /// Closes.
    Close,
    /// Resets (SO_LINGER 0).
    Reset,
}

/// Where the daemon is.
#[derive(Clone, Copy)]
struct Ports {
    line: SocketAddr,
    udp: SocketAddr,
    pickle: SocketAddr,
    protobuf: SocketAddr,
    query: SocketAddr,
}

/// One client at work.
struct Client {
    number: usize,
    time: u32,
    draw: Draw,
    expected: Expected,
    /// A file that an attack would make.
    loot: String,
}

impl Client {
    fn metric(&self, name: &str) -> String {
        format!("hostile.c{}.{name}", self.number)
    }

    fn time_before(&self, seconds: usize) -> u32 {
        self.time - u32::try_from(seconds).unwrap()
    }

    /// Good lines, each of its own second.
    fn good_lines(&mut self, name: &str, count: usize) -> String {
        let metric = self.metric(name);
        let mut text = String::new();
        for index in 0..count {
            let time = self.time_before(index);
            let value = self.draw.below(1000);
            text.push_str(&format!("{metric} {value} {time}\n"));
            #[expect(clippy::cast_precision_loss, reason = "below 1000")]
            self.expected.point(&metric, time, value as f64);
        }
        text
    }

    /// A good frame: one point for each of `count` seconds.
    fn good_frame(&mut self, name: &str, count: usize) -> Vec<u8> {
        let metric = self.metric(name);
        let mut items = Vec::new();
        for index in 0..count {
            let time = self.time_before(index);
            items.extend(item(metric.as_bytes(), &int(time), &float(1.5)));
            self.expected.point(&metric, time, 1.5);
        }
        frame(&list(&items))
    }

    /// Sends in pieces of random size up to `piece_max`.
    fn send(&mut self, socket: &mut TcpStream, bytes: &[u8], piece_max: usize) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let size = (1 + self.draw.below(piece_max)).min(rest.len());
            socket.write_all(&rest[..size]).unwrap();
            rest = &rest[size..];
        }
    }

    fn slow_lines(&mut self, ports: Ports) {
        let text = self.good_lines("slow", 10);
        let mut socket = connect(ports.line);
        self.send(&mut socket, text.as_bytes(), 1);
        leave(socket, Goodbye::Close);
    }

    fn half_closed_lines(&mut self, ports: Ports) {
        let text = self.good_lines("half", 20);
        let mut socket = connect(ports.line);
        self.send(&mut socket, text.as_bytes(), 64);
        leave(socket, Goodbye::HalfClose);
    }

    fn cut_lines(&mut self, ports: Ports, goodbye: Goodbye) {
        let mut text = self.good_lines("cut", 20);
        text.push_str(&self.metric("cut"));
        text.push_str(" 4 1700000");
        self.expected.refuse("refused.unfinished", 1);
        let mut socket = connect(ports.line);
        self.send(&mut socket, text.as_bytes(), 200);
        leave(socket, goodbye);
    }

    /// Garbage lines between good ones: bytes that are no UTF-8, or not three fields.
    fn garbage_lines(&mut self, ports: Ports) {
        let mut bytes = Vec::new();
        for round in 0..10 {
            bytes.extend(self.good_lines(&format!("garbage{round}"), 1).as_bytes());
            bytes.push(0xff);
            bytes.extend((0..50).map(|_| match self.draw.byte() {
                b'\n' => b'?',
                byte => byte,
            }));
            bytes.extend(b"\nno three\nfour fields are much\n  \n\r\n\n");
        }
        self.expected.refuse("refused.utf8", 10);
        self.expected.refuse("refused.fields", 30);
        let mut socket = connect(ports.line);
        self.send(&mut socket, &bytes, 100);
        leave(socket, Goodbye::Close);
    }

    fn long_lines(&mut self, ports: Ports) {
        let mut text = self.good_lines("before", 2);
        text.push_str(&format!("{}\n", "x".repeat(16_385)));
        text.push_str(&self.good_lines("between", 2));
        text.push_str(&format!("{}\n", "x".repeat(16_384)));
        text.push_str(&format!("{}\n", "y".repeat(300_000)));
        text.push_str(&self.good_lines("after", 2));
        text.push_str(&"z".repeat(20_000));
        self.expected.refuse("refused.lineLength", 3);
        self.expected.refuse("refused.fields", 1);
        let mut socket = connect(ports.line);
        self.send(&mut socket, text.as_bytes(), 7000);
        leave(socket, Goodbye::HalfClose);
    }

    /// Names as raw bytes: those that become a metric, and those that cannot.
    fn names(&mut self) -> Vec<Vec<u8>> {
        let number = self.number;
        let good = [
            (
                format!("../../etc/benzene-{number}"),
                format!("etc.benzene-{number}"),
            ),
            (
                format!("/tmp/benzene/abs{number}"),
                format!("tmp.benzene.abs{number}"),
            ),
            (format!("..hidden.h{number}"), format!("hidden.h{number}")),
            (
                format!("~root/.ssh/k{number}"),
                format!("root.ssh.k{number}"),
            ),
            (format!("up/../../w{number}"), format!("up.w{number}")),
            (
                format!("tag{number};z=../../../etc/passwd;a=/b/../c"),
                format!("tag{number};a=/b/../c;z=../../../etc/passwd"),
            ),
            (
                format!("../../t{number};a=b"),
                format!("../../t{number};a=b"),
            ),
        ];
        let mut names = Vec::new();
        for (sent, canonical) in good {
            self.expected.point(&canonical, self.time, 7.0);
            names.push(sent.into_bytes());
        }
        let bad = [
            "..".to_owned(),
            "/".to_owned(),
            "~~".to_owned(),
            "a\0b".to_owned(),
            "a\u{1}b".to_owned(),
            "a\u{7f}b".to_owned(),
            format!("a.{}.b", "c".repeat(300)),
            "d".repeat(5000),
            "_tagged.x".to_owned(),
            "/_tagged/abc/def/x".to_owned(),
        ];
        self.expected.refuse("refused.name", bad.len() as u64);
        names.extend(bad.map(String::into_bytes));
        names
    }

    fn name_lines(&mut self, ports: Ports) {
        let mut bytes = Vec::new();
        for name in self.names() {
            bytes.extend(name);
            bytes.extend(format!(" 7 {}\n", self.time).into_bytes());
        }
        let mut socket = connect(ports.line);
        self.send(&mut socket, &bytes, 300);
        leave(socket, Goodbye::Close);
    }

    fn number_lines(&mut self, ports: Ports) {
        let (metric, time) = (self.metric("numbers"), self.time);
        let stamps = [
            "nan",
            "inf",
            "-inf",
            "-2",
            "-1e300",
            "1e20",
            "4294967296",
            "soon",
        ];
        let mut text = String::new();
        for stamp in stamps {
            text.push_str(&format!("{metric} 1 {stamp}\n"));
        }
        self.expected
            .refuse("refused.timestamp", stamps.len() as u64);
        text.push_str(&format!("{metric} nan {time}\n{metric} -NaN {time}\n"));
        self.expected.refuse("refused.nan", 2);
        text.push_str(&format!("{metric} 0x10 {time}\n{metric} one {time}\n"));
        self.expected.refuse("refused.value", 2);
        text.push_str(&format!("{metric} inf {time}\n"));
        self.expected.point(&metric, time, f64::INFINITY);
        text.push_str(&format!("{metric} -1e400 {}\n", time - 1));
        self.expected.point(&metric, time - 1, f64::NEG_INFINITY);
        let mut socket = connect(ports.line);
        self.send(&mut socket, text.as_bytes(), 50);
        leave(socket, Goodbye::Close);
    }

    fn slow_frames(&mut self, ports: Ports) {
        let mut bytes = self.good_frame("slow", 5);
        bytes.extend(self.good_frame("slow2", 1));
        let mut socket = connect(ports.pickle);
        self.send(&mut socket, &bytes, 1);
        leave(socket, Goodbye::HalfClose);
    }

    fn cut_frames(&mut self, ports: Ports, goodbye: Goodbye) {
        let mut bytes = self.good_frame("whole", 5);
        let other = frame(&list(&item(b"never", &int(self.time), &float(1.0))));
        let cut = 1 + self.draw.below(other.len() - 1);
        bytes.extend(&other[..cut]);
        self.expected.refuse("refused.unfinished", 1);
        let mut socket = connect(ports.pickle);
        self.send(&mut socket, &bytes, 40);
        leave(socket, goodbye);
    }

    fn huge_frames(&mut self, ports: Ports) {
        let mut bytes = self.good_frame("before", 3);
        bytes.extend([0xff; 4]);
        self.expected.refuse("refused.frameLength", 1);
        let mut socket = connect(ports.pickle);
        self.send(&mut socket, &bytes, 1000);
        expect_end(socket);
    }

    fn attack_frames(&mut self, ports: Ports) {
        let command = format!("touch {}", self.loot);
        let short = u8::try_from(command.len()).unwrap();
        let mut reduce = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c".to_vec();
        reduce.push(short);
        reduce.extend(command.as_bytes());
        reduce.extend(b"\x85R.");
        let attacks = [
            format!("cos\nsystem\n(S'{command}'\ntR.").into_bytes(),
            format!("(S'{command}'\nios\nsystem\n.").into_bytes(),
            reduce,
            b"\x80\x02(cos\nsystem\no.".to_vec(),
            b"\x80\x02}\x80\x02}b.".to_vec(),
            b"\x80\x02P0\n.".to_vec(),
            b"\x80\x02h\xff.".to_vec(),
            b"\x80\x02X\xff\xff\xff\x7fa.".to_vec(),
            b"\x80\x09].".to_vec(),
            b"".to_vec(),
            vec![0xfe; 300],
            b"\x80\x02N.".to_vec(),
        ];
        let mut bytes = Vec::new();
        for (round, attack) in attacks.iter().enumerate() {
            bytes.extend(frame(attack));
            bytes.extend(self.good_frame(&format!("after{round}"), 1));
        }
        self.expected.refuse("refused.pickle", attacks.len() as u64);
        let mut socket = connect(ports.pickle);
        self.send(&mut socket, &bytes, 500);
        leave(socket, Goodbye::Close);
    }

    /// Frames that are plain data and want much memory or a deep stack of their reader.
    fn bomb_frames(&mut self, ports: Ports) {
        let depth = 100_000;
        let mut nested = vec![b']'; depth];
        nested.extend(vec![b'a'; depth - 1]);
        nested.push(b'.');
        // Each list holds the one before it twice: 2 to the power of 30 places for a naive reader.
        let mut doubling = b"\x80\x02]q\x00".to_vec();
        for level in 0..30_u8 {
            doubling.extend([
                b'0',
                b']',
                b'q',
                level + 1,
                b'(',
                b'h',
                level,
                b'h',
                level,
                b'e',
            ]);
        }
        doubling.push(b'.');
        let mut tuples = b"\x80\x02".to_vec();
        tuples.extend(vec![b'('; 50_000]);
        tuples.push(b'.');
        let bytes: Vec<u8> = [
            frame(&nested),
            frame(&doubling),
            frame(&tuples),
            self.good_frame("after", 2),
        ]
        .concat();
        self.expected.refuse("refused.item", 1);
        self.expected.refuse("refused.timestamp", 2);
        self.expected.refuse("refused.pickle", 1);
        let mut socket = connect(ports.pickle);
        self.send(&mut socket, &bytes, 9000);
        leave(socket, Goodbye::HalfClose);
    }

    fn item_frames(&mut self, ports: Ports) {
        let (metric, time) = (self.metric("items").into_bytes(), int(self.time));
        let mut items = Vec::new();
        for name in self.names() {
            items.extend(item(&name, &time, &float(7.0)));
        }
        for stamp in [f64::NAN, f64::INFINITY, -7.0, 1e20] {
            items.extend(item(&metric, &float(stamp), &float(1.0)));
        }
        items.extend(item(&metric, b"N", &float(1.0)));
        self.expected.refuse("refused.timestamp", 5);
        items.extend(item(&metric, &time, &float(f64::NAN)));
        self.expected.refuse("refused.nan", 1);
        items.extend(item(&metric, &time, b"N"));
        self.expected.refuse("refused.value", 1);
        items.extend(item(b"not\xffutf8", &time, &float(1.0)));
        self.expected.refuse("refused.utf8", 1);
        items.extend(b"NK\x01]}");
        self.expected.refuse("refused.item", 4);
        let mut bytes = frame(&list(&items));
        bytes.extend(self.good_frame("after", 2));
        let mut socket = connect(ports.pickle);
        self.send(&mut socket, &bytes, 300);
        leave(socket, Goodbye::Close);
    }

    fn datagrams(&mut self, ports: Ports) {
        let mut bytes = self.good_lines("first", 3).into_bytes();
        bytes.extend(b"\xff\xfe\nno three\n\x00\n");
        self.expected.refuse("refused.utf8", 1);
        self.expected.refuse("refused.fields", 2);
        bytes.extend(self.good_lines("last", 3).trim_end().as_bytes());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(&bytes, ports.udp).unwrap();
        socket.send_to(b"", ports.udp).unwrap();
    }

    fn work(mut self, ports: Ports) -> Expected {
        match self.number % 26 {
            0 => self.slow_lines(ports),
            2 => self.cut_lines(ports, Goodbye::Close),
            3 => self.cut_lines(ports, Goodbye::Reset),
            4 => self.cut_lines(ports, Goodbye::HalfClose),
            5 => self.garbage_lines(ports),
            6 => self.long_lines(ports),
            7 => self.name_lines(ports),
            8 => self.number_lines(ports),
            9 => self.slow_frames(ports),
            10 => self.cut_frames(ports, Goodbye::Close),
            11 => self.cut_frames(ports, Goodbye::Reset),
            12 => self.huge_frames(ports),
            13 => self.attack_frames(ports),
            14 => self.bomb_frames(ports),
            15 => self.item_frames(ports),
            16 => self.broken_queries(ports),
            17 => self.cut_queries(ports),
            18 => self.datagrams(ports),
            19 => self.payloads(ports),
            20 => self.cut_payloads(ports),
            21 => self.huge_payloads(ports),
            22 => self.packed_lines(ports),
            23 => self.broken_packed(ports),
            24 => self.packed_bomb(ports),
            25 => self.almost_packed(ports),
            _ => self.half_closed_lines(ports),
        }
        self.expected
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn leave(mut socket: TcpStream, goodbye: Goodbye) {
    match goodbye {
        Goodbye::Close => {}
        Goodbye::Reset => set_socket_linger(&socket, Some(Duration::ZERO)).unwrap(),
        Goodbye::HalfClose => {
            socket.shutdown(Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            socket.read_to_end(&mut rest).unwrap();
            assert!(rest.is_empty(), "a receiver answered {rest:?}");
        }
    }
}

/// Waits until the daemon has closed the connection.
fn expect_end(mut socket: TcpStream) {
    let mut byte = [0];
    let read = socket.read(&mut byte);
    let ended = match &read {
        Ok(bytes) => *bytes == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    };
    assert!(ended, "the connection was not closed: {read:?}");
}

/// Compares all files below the directory with what is expected, by Python's own names and reading.
fn check_files(data: &Path, expected: &Expected) {
    const SCRIPT: &str = "
import os, struct, sys, whisper
from carbon.util import TaggedSeries
root, wanted = sys.argv[1:]
expected = {}
for line in open(wanted, newline='\\n'):
    name, points = line.rstrip('\\n').split('\\t')
    if ';' in name:
        path = TaggedSeries.encode(name, sep='/', hash_only=True)
    else:
        path = name.replace('.', '/')
    expected[path + '.wsp'] = dict((int(t), float(v)) for t, v in (p.split('=') for p in points.split(' ')))
found = [os.path.relpath(os.path.join(at, name), root) for at, _, names in os.walk(root) for name in names]
assert set(found) == set(expected), (sorted(set(found) - set(expected)), sorted(set(expected) - set(found)))
for path, points in expected.items():
    with open(os.path.join(root, path), 'rb') as file:
        data = file.read()
    archive = whisper.info(os.path.join(root, path))['archives'][0]
    body = data[archive['offset']:archive['offset'] + archive['size']]
    stored = dict(p for p in struct.iter_unpack('>Ld', body) if p[0])
    assert stored == points, (path, stored, points)
print(len(found))
";
    let mut wanted = String::new();
    for (name, points) in &expected.points {
        let points: Vec<String> = points
            .iter()
            .map(|(time, value)| format!("{time}={value}"))
            .collect();
        wanted.push_str(&format!("{name}\t{}\n", points.join(" ")));
    }
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), wanted).unwrap();
    let found = crate::daemon::python(
        SCRIPT,
        &[data.to_str().unwrap(), list.path().to_str().unwrap()],
    );
    assert_eq!(found.trim(), expected.points.len().to_string());
}

/// The counters of the last log line, by label.
pub(crate) fn counted(log: &str) -> BTreeMap<String, u64> {
    let line = log.lines().rev().find(|line| line.contains("counted: "));
    let line = line.unwrap_or_else(|| panic!("nothing is counted in {log}"));
    let (_, counts) = line.split_once("counted: ").unwrap();
    counts
        .split(", ")
        .map(|count| {
            let (label, number) = count.rsplit_once(' ').unwrap();
            (label.to_owned(), number.parse().unwrap())
        })
        .collect()
}

/// How many descriptors the daemon has open beside those of its journal, which opens its segments
/// when points first need them.
pub(crate) fn descriptors(daemon: &Daemon) -> usize {
    let all = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    all.map(|entry| entry.unwrap().path())
        .filter(|path| {
            let target = std::fs::read_link(path).unwrap_or_default();
            !target
                .extension()
                .is_some_and(|kind| kind == "points" || kind == "names")
        })
        .count()
}

/// The most memory that was resident at once, in bytes.
pub(crate) fn peak_bytes(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kibibytes.trim().parse::<u64>().unwrap() << 10
}

/// Everything in a directory, sorted.
fn entries(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Runs all clients, and gathers what they leave behind.
fn work_together(seed: u64, ports: Ports, loot: &str) -> Expected {
    let (time, together) = (now(), Barrier::new(CLIENTS));
    let mut expected = Expected::default();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let client = Client {
                    number,
                    time,
                    draw: Draw((seed << 32) | (number as u64 + 1)),
                    expected: Expected::default(),
                    loot: loot.to_owned(),
                };
                let together = &together;
                scope.spawn(move || {
                    together.wait();
                    client.work(ports)
                })
            })
            .collect();
        for client in clients {
            expected.merge(client.join().unwrap());
        }
    });
    expected
}

fn check_counts(ended: &Ended, expected: &Expected, seed: u64) {
    let mut refused = counted(&ended.log);
    refused.retain(|label, _| !HONEST.contains(&label.as_str()) && !label.starts_with("journal."));
    let wanted: BTreeMap<String, u64> = expected
        .refused
        .iter()
        .map(|(label, count)| ((*label).to_owned(), *count))
        .collect();
    assert_eq!(refused, wanted, "seed {seed}: {}", ended.log);
    let points: usize = expected.points.values().map(BTreeMap::len).sum();
    assert_eq!(
        number_before(&ended.log, " received"),
        points as u64,
        "{}",
        ended.log
    );
    assert_eq!(
        number_before(&ended.log, " committed"),
        points as u64,
        "{}",
        ended.log
    );
}

/// Questions to the other core and datagrams with points for it, all in one turn of the loop: the
/// daemon is stopped meanwhile. The cache is empty, so that nothing is to be dropped.
#[test]
fn datagrams_between_queries_are_not_dropped() {
    let daemon = Daemon::start(&Setup {
        conf: "CARBON_METRIC_INTERVAL = 0".to_owned(),
        schemas: Some("[all]\npattern = .*\nretentions = 1s:20m\n".to_owned()),
        shards: Some(2),
        ..Setup::default()
    });
    let mut sockets: Vec<TcpStream> = (0..200).map(|_| connect(daemon.query)).collect();
    for socket in &mut sockets {
        let mut request = Vec::new();
        benzene_server::wire::client::encode_query("none", &mut request).unwrap();
        socket.write_all(&request).unwrap();
        socket.read_exact(&mut [0]).unwrap();
    }
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let time = now();
    daemon.signal("STOP");
    for (index, socket) in sockets.iter_mut().enumerate() {
        let mut request = Vec::new();
        let metric = format!("asked.m{index}");
        benzene_server::wire::client::encode_query(&metric, &mut request).unwrap();
        socket.write_all(&request).unwrap();
    }
    for datagram in 0..20 {
        let mut text = String::new();
        for metric in 0..20 {
            text.push_str(&format!("burst.d{datagram}.m{metric} 1 {time}\n"));
        }
        udp.send_to(text.as_bytes(), daemon.udp).unwrap();
    }
    daemon.signal("CONT");
    daemon.wait_for_points("burst.d19.m19", 1);
    let ended = daemon.stop();
    let counts = counted(&ended.log);
    assert_eq!(counts.get("dropped.cacheFull"), None, "{}", ended.log);
    assert_eq!(counts["committed"], 400, "{}", ended.log);
}

#[test]
fn two_hundred_clients_do_no_harm() {
    for seed in 1..=rounds() {
        all_clients_at_once(seed);
    }
}

fn all_clients_at_once(seed: u64) {
    let outer = tempfile::tempdir().unwrap();
    let setup = Setup {
        // Some names have tags, and there is no graphite-web to announce them to.
        conf: "CARBON_METRIC_INTERVAL = 0\nENABLE_TAGS = False".to_owned(),
        schemas: Some("[all]\npattern = .*\nretentions = 1s:20m\n".to_owned()),
        shards: Some(2),
        ..Setup::default()
    };
    let daemon = Daemon::start_in(&setup, tempfile::tempdir_in(outer.path()).unwrap());
    let quiet = descriptors(&daemon);
    let ports = Ports {
        line: daemon.line,
        udp: daemon.udp,
        pickle: daemon.pickle,
        protobuf: daemon.protobuf,
        query: daemon.query,
    };
    let loot = outer.path().join("loot");
    let expected = work_together(seed, ports, loot.to_str().unwrap());
    // When the daemon has closed them all, it has read them all.
    wait_for(|| (descriptors(&daemon) <= quiet).then_some(()))
        .unwrap_or_else(|| panic!("{} descriptors, {quiet} before", descriptors(&daemon)));
    let peak = peak_bytes(&daemon);
    assert!(peak < 200 << 20, "seed {seed}: {peak} bytes resident");
    let ended = daemon.stop();
    assert!(ended.status.success(), "seed {seed}: {}", ended.log);
    check_counts(&ended, &expected, seed);
    check_files(&ended.data(), &expected);

    let root = ended.root.path();
    assert_eq!(
        entries(root),
        [
            "carbon.conf",
            "journal",
            "storage-aggregation.conf",
            "storage-schemas.conf",
            "whisper"
        ]
    );
    assert_eq!(
        entries(outer.path()),
        [root.file_name().unwrap().to_str().unwrap()]
    );
    for outside in [
        "/etc/benzene-7.wsp",
        "/etc/benzene-19.wsp",
        "/tmp/benzene",
        "/benzene",
        "/tmp/loot",
    ] {
        assert!(!Path::new(outside).exists(), "{outside} was made");
    }
}
