//! Starts the real program for a test, on ports and a data directory of its own, and stops it.
//! Ports come from the kernel and are read from the log, so that tests run side by side. What the
//! daemon logs is kept and printed when a test fails. Dropping a `Daemon` kills it.
//! BENZENE_TEST_DRIVER says how all daemons of a run reach the kernel, so that the same tests can be
//! run over each way (`Way`); every daemon is checked to have gone it.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "a test waits, reads clocks, locks and prints"
)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use benzene_server::wire::client::{self, Reply};
use benzene_server::wire::pickle::Machine;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use crate::forbidden;

/// Longest wait for anything that has no bound of its own; a test that hits it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How a daemon reaches the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// io_uring for sockets and files, as nobody says otherwise. The default.
    Uring,
    /// io_uring for sockets, threads for files.
    Sync,
    /// poll and threads, as carbon.conf says.
    Poll,
    /// io_uring answers EPERM, and nobody says anything.
    Forbidden,
}

impl Way {
    /// The way of this run.
    pub(crate) fn of_this_run() -> Way {
        match std::env::var("BENZENE_TEST_DRIVER").as_deref() {
            Err(_) | Ok("uring") => Way::Uring,
            Ok("sync") => Way::Sync,
            Ok("poll") => Way::Poll,
            Ok("forbidden") => Way::Forbidden,
            Ok(other) => panic!("BENZENE_TEST_DRIVER = {other}: uring, sync, poll or forbidden"),
        }
    }

    fn conf(self) -> &'static str {
        match self {
            Way::Uring | Way::Forbidden => "",
            Way::Sync => "WRITER_BACKEND = sync\n",
            Way::Poll => "RING_DRIVER = poll\n",
        }
    }

    /// What stands before the program on the command line.
    pub(crate) fn wrapper(self) -> Vec<String> {
        match self {
            Way::Uring | Way::Sync | Way::Poll => Vec::new(),
            Way::Forbidden => forbidden::wrapper(Errno::PERM),
        }
    }

    /// Starts and ends of what the log says of it.
    fn description(self) -> (&'static str, &'static str) {
        match self {
            Way::Uring => ("ring driver: io_uring on ", "ftruncate"),
            Way::Sync => ("ring driver: io_uring on ", " threads (sync)"),
            Way::Poll | Way::Forbidden => ("ring driver: poll (epoll) on ", " threads (sync)"),
        }
    }
}

/// Where the program is. Whoever starts it without its way does not test what the run is to test:
/// only by `program` and its kin.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_benzene");

/// The program, without arguments; where io_uring is forbidden to the daemons of this run, to this
/// one too.
pub(crate) fn program() -> Command {
    command(&Way::of_this_run().wrapper())
}

/// The same under another name that leads to it.
pub(crate) fn program_at(link: &Path) -> Command {
    command_at(&Way::of_this_run().wrapper(), link)
}

/// The same as words of a shell.
pub(crate) fn program_for_shell() -> String {
    let mut words = Way::of_this_run().wrapper();
    words.push(PROGRAM.to_owned());
    let quoted = words
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', "'\\''")));
    quoted.collect::<Vec<_>>().join(" ")
}

/// The program behind a wrapper's words.
pub(crate) fn command(wrapper: &[String]) -> Command {
    command_at(wrapper, Path::new(PROGRAM))
}

fn command_at(wrapper: &[String], program: &Path) -> Command {
    let mut words = wrapper.iter().map(OsStr::new).chain([program.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

/// How a test wants its daemon.
#[derive(Default)]
pub(crate) struct Setup {
    /// Lines of `[cache]` besides the directories. Where they name no write order it is `sorted`,
    /// which writes points as soon as it can, so that a test need not wait for its files.
    pub(crate) conf: String,
    /// storage-schemas.conf; the default is one schema, `1s:6h` for everything.
    pub(crate) schemas: Option<String>,
    /// storage-aggregation.conf, if any.
    pub(crate) aggregation: Option<String>,
    /// carbon.conf says where it listens; else the kernel chooses ports of 127.0.0.1.
    pub(crate) own_ports: bool,
    /// `--shards`.
    pub(crate) shards: Option<usize>,
    /// Other flags.
    pub(crate) flags: &'static [&'static str],
    /// What stands in its environment besides.
    pub(crate) env: Vec<(&'static str, String)>,
    /// Soft and hard limit on open files.
    pub(crate) open_files: Option<u32>,
    /// Soft limit on open files alone.
    pub(crate) soft_open_files: Option<u32>,
    /// How it reaches the kernel, where that is not as in the whole run.
    pub(crate) way: Option<Way>,
    /// What io_uring_setup answers to it.
    pub(crate) refusal: Option<Errno>,
}

impl Setup {
    pub(crate) fn conf(lines: &str) -> Self {
        Self {
            conf: lines.to_owned(),
            ..Self::default()
        }
    }

    /// What stands before the program on the command line, but for limits.
    fn wrapper(&self, way: Way) -> Vec<String> {
        match self.refusal {
            Some(errno) => forbidden::wrapper(errno),
            None => way.wrapper(),
        }
    }
}

/// A running daemon.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    root: tempfile::TempDir,
    pub(crate) line: SocketAddr,
    pub(crate) udp: SocketAddr,
    pub(crate) pickle: SocketAddr,
    pub(crate) protobuf: SocketAddr,
    pub(crate) query: SocketAddr,
}

/// What is left of a daemon that has ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
    pub(crate) root: tempfile::TempDir,
}

impl Ended {
    /// The directory of its Whisper files.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("whisper")
    }
}

impl Daemon {
    /// Starts a daemon in a directory of its own.
    pub(crate) fn start(setup: &Setup) -> Daemon {
        Daemon::start_in(setup, tempfile::tempdir().unwrap())
    }

    /// Starts a daemon in a directory that may hold another's files.
    pub(crate) fn start_in(setup: &Setup, root: tempfile::TempDir) -> Daemon {
        let way = setup.way.unwrap_or_else(Way::of_this_run);
        let order = if setup.conf.contains("CACHE_WRITE_STRATEGY") {
            ""
        } else {
            "CACHE_WRITE_STRATEGY = sorted\n"
        };
        // A test looks at the files after the stop, unless it is about what a stop leaves.
        let stop = if setup.conf.lines().any(|line| line.starts_with("SHUTDOWN")) {
            ""
        } else {
            "SHUTDOWN = drain\n"
        };
        let conf = format!(
            "[cache]\nSTORAGE_DIR = {}\n{order}{stop}{}{}\n",
            root.path().display(),
            way.conf(),
            setup.conf
        );
        std::fs::write(root.path().join("carbon.conf"), conf).unwrap();
        let schemas = setup
            .schemas
            .as_deref()
            .unwrap_or("[all]\npattern = .*\nretentions = 1s:6h\n");
        std::fs::write(root.path().join("storage-schemas.conf"), schemas).unwrap();
        let aggregation = setup.aggregation.as_deref().unwrap_or("");
        std::fs::write(root.path().join("storage-aggregation.conf"), aggregation).unwrap();
        let both = setup.open_files.map(|limit| format!("ulimit -n {limit}"));
        let soft = setup
            .soft_open_files
            .map(|limit| format!("ulimit -S -n {limit}"));
        let mut wrapper = setup.wrapper(way);
        if let Some(limit) = both.or(soft) {
            let script = format!("{limit}; exec \"$@\"");
            let shell = ["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()];
            wrapper.splice(0..0, shell);
        }
        let mut command = command(&wrapper);
        command
            .arg("cache")
            .arg("--config")
            .arg(root.path().join("carbon.conf"));
        for port in ["--line", "--udp", "--pickle", "--protobuf", "--query"] {
            if !setup.own_ports {
                command.args([port, "127.0.0.1:0"]);
            }
        }
        if let Some(shards) = setup.shards {
            command.args(["--shards", &shards.to_string()]);
        }
        command.args(setup.flags);
        command.envs(setup.env.iter().map(|(key, value)| (key, value)));
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let reader = keep_log(child.stderr.take().unwrap(), Arc::clone(&log));
        let nowhere = SocketAddr::from(([0; 4], 0));
        let mut daemon = Daemon {
            child,
            log,
            reader: Some(reader),
            root,
            line: nowhere,
            udp: nowhere,
            pickle: nowhere,
            protobuf: nowhere,
            query: nowhere,
        };
        daemon.wait_for_log(" is ready");
        daemon.check_way(way, setup.conf.contains("LOCAL_DATA_DIRS"));
        daemon.find_addresses(!setup.own_ports);
        daemon
    }

    fn find_addresses(&mut self, has_all: bool) {
        self.line = self.address("line receiver (TCP)");
        self.pickle = self.address("pickle receiver");
        self.query = self.address("cache query");
        if has_all {
            self.udp = self.address("line receiver (UDP)");
            self.protobuf = self.address("protobuf receiver");
        }
    }

    /// The files of several data directories, and those behind another program, are left to threads where
    /// nobody says otherwise.
    fn check_way(&self, way: Way, are_several: bool) {
        let log = self.log();
        let are_left = are_several || log.contains("its files are written by threads");
        let way = if way == Way::Uring && are_left {
            Way::Sync
        } else {
            way
        };
        let (start, end) = way.description();
        let line = log.lines().find(|line| line.contains("ring driver: "));
        let line = line.unwrap_or_else(|| panic!("no ring driver in {log}"));
        assert!(
            line.contains(start) && line.ends_with(end),
            "not {way:?}: {line}"
        );
    }

    fn address(&self, service: &str) -> SocketAddr {
        let log = self.log();
        let needle = format!("{service} listens on ");
        let at = log
            .find(&needle)
            .unwrap_or_else(|| panic!("no {needle:?} in {log}"));
        let rest = &log[at + needle.len()..];
        rest.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Its carbon.conf.
    pub(crate) fn config(&self) -> PathBuf {
        self.root.path().join("carbon.conf")
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log holds a text.
    pub(crate) fn wait_for_log(&mut self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(
                start.elapsed() < PATIENCE,
                "no {text:?} in the log: {}",
                self.log()
            );
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the daemon ended with {status}: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The directory of its Whisper files.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("whisper")
    }

    /// The file of an untagged metric.
    pub(crate) fn file(&self, metric: &str) -> PathBuf {
        file_of(&self.data(), metric)
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it open no further files where it has so many. Its hard limit stays that of this process.
    pub(crate) fn limit_open_files(&self, limit: u64) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let soft = Rlimit {
            current: Some(limit),
            ..getrlimit(Resource::Nofile)
        };
        prlimit(Some(pid), Resource::Nofile, soft).unwrap();
    }

    /// Opens a connection to the line receiver.
    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(self.line).unwrap()
    }

    /// Sends text to the line receiver on a connection of its own.
    pub(crate) fn send(&self, text: &str) {
        self.connect().write_all(text.as_bytes()).unwrap();
    }

    /// Asks for the cached points of a metric.
    pub(crate) fn points(&self, metric: &str) -> Vec<(u32, f64)> {
        Querier::connect(self.query).points(metric)
    }

    /// Waits until the cache answers with so many points.
    pub(crate) fn wait_for_points(&self, metric: &str, count: usize) -> Vec<(u32, f64)> {
        let mut querier = Querier::connect(self.query);
        wait_for(|| Some(querier.points(metric)).filter(|points| points.len() == count))
            .unwrap_or_else(|| panic!("{metric} never had {count} points: {}", self.log()))
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.pid().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(self) -> Ended {
        self.signal("TERM");
        self.wait()
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Ended {
        let status = wait_for(|| self.child.try_wait().unwrap());
        let status = status.unwrap_or_else(|| panic!("it did not end: {}", self.log()));
        self.reader.take().unwrap().join().unwrap();
        let root = std::mem::replace(&mut self.root, tempfile::tempdir().unwrap());
        Ended {
            status,
            log: self.log(),
            root,
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        }
    }
}

fn keep_log(from: impl Read + Send + 'static, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let line = line.unwrap();
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    })
}

/// The file of an untagged metric below a data directory.
pub(crate) fn file_of(data: &Path, metric: &str) -> PathBuf {
    data.join(format!("{}.wsp", metric.replace('.', "/")))
}

/// Asks again and again until there is something; `None` after `PATIENCE`.
pub(crate) fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// A connection to the cache query port.
pub(crate) struct Querier {
    socket: TcpStream,
}

impl Querier {
    pub(crate) fn connect(address: SocketAddr) -> Querier {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Querier { socket }
    }

    /// The cached points of a metric.
    pub(crate) fn points(&mut self, metric: &str) -> Vec<(u32, f64)> {
        let mut request = Vec::new();
        client::encode_query(metric, &mut request).unwrap();
        match self.ask(&request) {
            Reply::Datapoints(points) => points
                .iter()
                .map(|point| (whole(point.timestamp), point.value))
                .collect(),
            other
            @ (Reply::Bulk(_) | Reply::Value(_) | Reply::Changed { .. } | Reply::Error(_)) => {
                panic!("asked for {metric}, got {other:?}")
            }
        }
    }

    /// Sends a framed request and reads the reply.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Reply {
        self.socket.write_all(request).unwrap();
        let mut length = [0; 4];
        self.socket.read_exact(&mut length).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.socket.read_exact(&mut frame).unwrap();
        client::decode_reply(&frame, &mut Machine::default()).unwrap()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be whole"
)]
fn whole(timestamp: f64) -> u32 {
    assert!((0.0..=f64::from(u32::MAX)).contains(&timestamp) && timestamp.fract() == 0.0);
    timestamp as u32
}

/// Runs Python of the reference environment; its standard output.
pub(crate) fn python(script: &str, arguments: &[&str]) -> String {
    let python = benzene_fixtures::python().unwrap();
    let output = Command::new(python)
        .arg("-c")
        .arg(script)
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "python failed: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// All points of a Whisper file's archive by Python whisper's own reading, sorted by time.
pub(crate) fn whisper_points(file: &Path, archive: usize) -> Vec<(u32, f64)> {
    const SCRIPT: &str = "
import struct, sys, whisper
path, archive = sys.argv[1], int(sys.argv[2])
info = whisper.info(path)['archives'][archive]
data = open(path, 'rb').read()[info['offset']:info['offset'] + info['size']]
for at in range(0, len(data), 12):
    timestamp, value = struct.unpack('>Ld', data[at:at + 12])
    if timestamp:
        print(timestamp, value.hex())
";
    let text = python(SCRIPT, &[file.to_str().unwrap(), &archive.to_string()]);
    let mut points: Vec<(u32, f64)> = text
        .lines()
        .map(|line| {
            let (timestamp, value) = line.split_once(' ').unwrap();
            (timestamp.parse().unwrap(), hex_float(value))
        })
        .collect();
    points.sort_by_key(|(timestamp, _)| *timestamp);
    points
}

/// A Whisper file as Python's whisper reads it.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Seen {
    /// Seconds and points of each archive.
    pub(crate) archives: Vec<(u32, u32)>,
    /// What `whisper.fetch` says of the time that the first archive covers, as of a moment.
    pub(crate) points: BTreeMap<u32, f64>,
}

/// All Whisper files below a directory, by metric, as one Python reads them at a moment by its `fetch`.
/// It fails where one is no valid file, or has another length than its header says.
pub(crate) fn whisper_files(directory: &Path, now: u32) -> BTreeMap<String, Seen> {
    const SCRIPT: &str = "
import json, os, sys, whisper
root, now = sys.argv[1], int(sys.argv[2])
seen = {}
for directory, _, names in os.walk(root):
    for name in names:
        path = os.path.join(directory, name)
        if not name.endswith('.wsp'):
            sys.exit(path + ' is no Whisper file')
        info = whisper.info(path)
        archives = info['archives']
        end = max(archive['offset'] + archive['size'] for archive in archives)
        if os.path.getsize(path) != end:
            sys.exit('%s has %d bytes, not %d' % (path, os.path.getsize(path), end))
        (start, end, step), values = whisper.fetch(path, now - archives[0]['retention'], now, now)
        if step != archives[0]['secondsPerPoint']:
            sys.exit(path + ' was read with a step of ' + str(step))
        points = {time: value for time, value in zip(range(start, end, step), values) if value is not None}
        metric = os.path.relpath(path, root)[:-4].replace('/', '.')
        layout = [(archive['secondsPerPoint'], archive['points']) for archive in archives]
        seen[metric] = {'archives': layout, 'points': points}
print(json.dumps(seen))
";
    let text = python(SCRIPT, &[directory.to_str().unwrap(), &now.to_string()]);
    serde_json::from_str(&text).unwrap()
}

/// Reads the output of Python's float.hex().
fn hex_float(text: &str) -> f64 {
    let (sign, text) = text
        .strip_prefix('-')
        .map_or((1.0, text), |rest| (-1.0, rest));
    match text {
        "inf" => return sign * f64::INFINITY,
        "nan" => return f64::NAN,
        _ => {}
    }
    let (mantissa, exponent) = text.strip_prefix("0x").unwrap().split_once('p').unwrap();
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let bits = u64::from_str_radix(&format!("{whole}{fraction}"), 16).unwrap();
    let scale = exponent.parse::<i32>().unwrap() - 4 * i32::try_from(fraction.len()).unwrap();
    #[expect(clippy::cast_precision_loss, reason = "53 bits at most")]
    let value = bits as f64;
    // In two steps, so that a subnormal's scale does not underflow before the product is taken.
    sign * value * 2f64.powi(scale / 2) * 2f64.powi(scale - scale / 2)
}
