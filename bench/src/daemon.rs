//! A daemon of our own making: a directory with its configuration, free ports on 127.0.0.1, the
//! process, and its end.
//! Benzene is started by its program; any other daemon by a shell command that stays in the
//! foreground. Both get the same carbon.conf. What they write to stdout and stderr is kept in
//! `daemon.log` of the directory, and its end is part of every error.
//! Invariant: no daemon outlives its `Daemon`; dropping it kills the process and its descendants.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use benzene_engine::clock;
use rustix::process::Signal;

use crate::process::{self, Usage};

/// Longest wait for a daemon's line receiver.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for the other ports once that one is there; what does not come is not offered.
const OTHERS_PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// Longest part of a log that an error shows.
const LOG_TAIL_BYTES: usize = 2000;

/// Options of every command that starts daemons.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DaemonArgs {
    /// Program of Benzene [default: the `benzene` beside this program]
    #[arg(long)]
    daemon: Option<PathBuf>,
    /// Below which directory the daemon's own is made [default: that of temporary files]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Ports are the first free ones from this one on
    #[arg(long, default_value_t = 14003)]
    first_port: u16,
}

impl DaemonArgs {
    /// Where Benzene's program is.
    pub(crate) fn program(&self) -> Result<PathBuf> {
        let program = match &self.daemon {
            Some(program) => program.clone(),
            None => std::env::current_exe()
                .context("cannot tell where this program is")?
                .with_file_name("benzene"),
        };
        ensure!(
            program.is_file(),
            "{} is no program: build it (cargo build --release), or name it with --daemon",
            program.display()
        );
        Ok(program)
    }

    /// Where the directories of daemons are made.
    pub(crate) fn parent(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// Makes a directory and chooses ports. `conf` is lines of `[cache]` besides directories and
    /// ports, `schemas` storage-schemas.conf.
    pub(crate) fn site(&self, conf: &str, schemas: &str) -> Result<Site> {
        self.site_over(None, conf, schemas)
    }

    /// The same with its Whisper files in a directory that is there already; None: in its own.
    pub(crate) fn site_over(&self, data: Option<&Path>, conf: &str, schemas: &str) -> Result<Site> {
        let parent = self.parent();
        let root = tempfile::Builder::new()
            .prefix("benzene-bench-")
            .tempdir_in(&parent)
            .with_context(|| format!("cannot make a directory below {}", parent.display()))?;
        let site = Site {
            data: data.map_or_else(|| root.path().join("whisper"), Path::to_owned),
            root,
            ports: Ports::free_from(self.first_port)?,
        };
        site.write_conf(conf, schemas)?;
        Ok(site)
    }
}

/// Ports of a daemon, all on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) line: u16,
    pub(crate) pickle: u16,
    pub(crate) query: u16,
    pub(crate) udp: u16,
}

impl Ports {
    /// Four ports that nobody listens on. Nothing keeps them free until the daemon has them: where
    /// another takes one meanwhile, the start fails and says so.
    fn free_from(first: u16) -> Result<Self> {
        let mut free = (first..=u16::MAX).filter(|port| is_free(*port));
        let mut next = || free.next().context("no port is free from --first-port on");
        Ok(Self {
            line: next()?,
            pickle: next()?,
            query: next()?,
            udp: next()?,
        })
    }
}

fn is_free(port: u16) -> bool {
    port > 0 && TcpListener::bind(local(port)).is_ok() && UdpSocket::bind(local(port)).is_ok()
}

/// A port of this machine.
pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A directory with a daemon's configuration, removed with this value.
#[derive(Debug)]
pub(crate) struct Site {
    root: tempfile::TempDir,
    data: PathBuf,
    ports: Ports,
}

impl Site {
    /// Where carbon.conf lies.
    pub(crate) fn dir(&self) -> &Path {
        self.root.path()
    }

    /// Where the Whisper files go.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// Where Benzene's journal lies.
    pub(crate) fn journal(&self) -> PathBuf {
        self.storage().join("journal").join("a")
    }

    fn storage(&self) -> PathBuf {
        self.dir().join("storage")
    }

    pub(crate) fn ports(&self) -> Ports {
        self.ports
    }

    fn conf_path(&self) -> PathBuf {
        self.dir().join("carbon.conf")
    }

    /// Gives an option that carbon.conf has another value, for the daemon's next look at it.
    pub(crate) fn set(&self, option: &str, value: &str) -> Result<()> {
        let path = self.conf_path();
        let conf =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut text = String::new();
        let mut is_there = false;
        for line in conf.lines() {
            let key = line.split(" = ").next().unwrap_or(line);
            is_there |= key == option;
            if key == option {
                writeln!(text, "{option} = {value}")?;
            } else {
                writeln!(text, "{line}")?;
            }
        }
        ensure!(is_there, "carbon.conf has no {option}");
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn log_path(&self) -> PathBuf {
        self.dir().join("daemon.log")
    }

    /// To be written behind what is there.
    fn open_log(&self) -> Result<File> {
        File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .context("cannot open the daemon's log")
    }

    /// What daemons of this site have said so far.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The end of it.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let mut start = log.len().saturating_sub(LOG_TAIL_BYTES);
        while !log.is_char_boundary(start) {
            start += 1;
        }
        log[start..].to_owned()
    }

    /// Keeps the directory when this value goes; where it is.
    pub(crate) fn keep(self) -> PathBuf {
        self.root.keep()
    }

    fn write_conf(&self, lines: &str, schemas: &str) -> Result<()> {
        let dir = self.dir();
        let mut conf = String::from("[cache]\n");
        for (key, place) in [
            ("STORAGE_DIR", self.storage()),
            ("LOCAL_DATA_DIR", self.data()),
            ("LOG_DIR", dir.join("log")),
            ("PID_DIR", dir.join("pid")),
        ] {
            fs::create_dir_all(&place)
                .with_context(|| format!("cannot make {}", place.display()))?;
            writeln!(conf, "{key} = {}", place.display())?;
        }
        let Ports {
            line,
            pickle,
            query,
            udp,
        } = self.ports;
        for (service, port) in [
            ("LINE_RECEIVER", line),
            ("PICKLE_RECEIVER", pickle),
            ("CACHE_QUERY", query),
            ("UDP_RECEIVER", udp),
        ] {
            writeln!(
                conf,
                "{service}_INTERFACE = 127.0.0.1\n{service}_PORT = {port}"
            )?;
        }
        writeln!(conf, "ENABLE_UDP_LISTENER = True\n{lines}")?;
        for (name, text) in [
            ("carbon.conf", conf.as_str()),
            ("storage-schemas.conf", schemas),
            ("storage-aggregation.conf", ""),
        ] {
            let path = dir.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// How a daemon is started.
#[derive(Clone, Debug)]
pub(crate) enum Launch {
    /// Benzene, by its program.
    Own(PathBuf),
    /// Another, by a shell command with `{conf}`, `{dir}` and names of ports in braces.
    Against(String),
}

impl Launch {
    fn command(&self, site: &Site) -> Command {
        match self {
            Self::Own(program) => {
                let mut command = Command::new(program);
                command.args(["cache", "--config"]);
                command.arg(site.conf_path());
                command
            }
            Self::Against(template) => {
                let mut command = Command::new("sh");
                command.args(["-c", &filled_in(template, site.dir(), site.ports)]);
                command
            }
        }
    }
}

/// The template with its placeholders filled in; `{conf}` and `{dir}` are one directory.
fn filled_in(template: &str, dir: &Path, ports: Ports) -> String {
    let dir = dir.display().to_string();
    let mut text = template.to_owned();
    for (name, value) in [
        ("{conf}", dir.clone()),
        ("{dir}", dir),
        ("{line}", ports.line.to_string()),
        ("{pickle}", ports.pickle.to_string()),
        ("{query}", ports.query.to_string()),
        ("{udp}", ports.udp.to_string()),
    ] {
        text = text.replace(name, &value);
    }
    text
}

/// Which ports answer; None is a port on which nothing came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) line: SocketAddr,
    pub(crate) pickle: Option<SocketAddr>,
    pub(crate) query: Option<SocketAddr>,
    pub(crate) udp: Option<SocketAddr>,
}

impl Offered {
    fn all(self) -> bool {
        self.pickle.is_some() && self.query.is_some() && self.udp.is_some()
    }
}

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    offered: Offered,
}

impl Daemon {
    /// Starts a daemon and waits until its ports are there.
    pub(crate) fn start(launch: &Launch, site: &Site) -> Result<Self> {
        let mut daemon = Self::spawn(launch, site)?;
        daemon.await_ports(launch, site)?;
        Ok(daemon)
    }

    /// Executes a daemon's program, which offers nothing yet.
    pub(crate) fn spawn(launch: &Launch, site: &Site) -> Result<Self> {
        let log = site.open_log()?;
        let child = launch
            .command(site)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {launch:?}"))?;
        Ok(Self {
            child,
            offered: Offered {
                line: local(site.ports.line),
                pickle: None,
                query: None,
                udp: None,
            },
        })
    }

    /// Waits until its ports are there. Benzene must offer all of them, another daemon the line receiver
    /// at least.
    pub(crate) fn await_ports(&mut self, launch: &Launch, site: &Site) -> Result<()> {
        self.look_for_ports(site.ports)
            .and_then(|()| {
                let complete = matches!(launch, Launch::Against(_)) || self.offered.all();
                ensure!(complete, "a port did not come: {:?}", self.offered);
                Ok(())
            })
            .with_context(|| format!("the daemon did not start; its log:\n{}", site.log_tail()))
    }

    fn look_for_ports(&mut self, ports: Ports) -> Result<()> {
        let start = clock::now().instant;
        while !accepts(self.offered.line) {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}");
            }
            ensure!(
                clock::now().instant.duration_since(start) < START_PATIENCE,
                "nothing listens on {} after {START_PATIENCE:?}",
                self.offered.line
            );
            pause(LOOK_PAUSE);
        }
        let start = clock::now().instant;
        loop {
            let there = |port: u16| Some(local(port)).filter(|address| accepts(*address));
            self.offered.pickle = self.offered.pickle.or_else(|| there(ports.pickle));
            self.offered.query = self.offered.query.or_else(|| there(ports.query));
            self.offered.udp = Some(local(ports.udp)).filter(|_| takes_datagrams(ports.udp));
            let waited = clock::now().instant.duration_since(start);
            if self.offered.all() || waited >= OTHERS_PATIENCE {
                return Ok(());
            }
            pause(LOOK_PAUSE);
        }
    }

    pub(crate) fn offered(&self) -> Offered {
        self.offered
    }

    /// The process that was started: itself, or the shell of its command.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has used so far, descendants included.
    pub(crate) fn usage(&self) -> Result<Usage> {
        process::usage(self.child.id())
    }

    /// SIGHUP: it reads carbon.conf again.
    pub(crate) fn reload(&self) -> Result<()> {
        process::signal(self.child.id(), Signal::HUP)
    }

    /// Directories of the threads of Benzene that answer, one a shard; none of another daemon, whose
    /// names are not known.
    pub(crate) fn cores(&self) -> Result<Vec<PathBuf>> {
        process::threads(self.pid(), |name| {
            let number = name.strip_prefix("benzene-");
            number.is_some_and(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()))
        })
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(mut self, patience: Duration) -> Result<ExitStatus> {
        process::signal(self.child.id(), Signal::TERM)?;
        self.await_end(patience)
    }

    /// Benzene's own `stop --drain`, which writes everything to the files, and the daemon's end. What the
    /// command says is in the daemon's log.
    pub(crate) fn drain(
        mut self,
        program: &Path,
        site: &Site,
        patience: Duration,
    ) -> Result<ExitStatus> {
        let log = site.open_log()?;
        let command = Command::new(program)
            .arg("stop")
            .arg("--config")
            .arg(site.conf_path())
            .arg("--drain")
            .arg("--timeout")
            .arg(patience.as_secs().to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let ended = self.await_end(patience)?;
        ensure!(
            command.success() || !ended.success(),
            "`benzene stop --drain` ended with {command}, the daemon with {ended}"
        );
        Ok(ended)
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(mut self) -> Result<()> {
        process::signal(self.child.id(), Signal::KILL)?;
        self.child.wait().context("cannot wait for the daemon")?;
        Ok(())
    }

    fn await_end(&mut self, patience: Duration) -> Result<ExitStatus> {
        let start = clock::now().instant;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(
                clock::now().instant.duration_since(start) < patience,
                "the daemon did not end within {patience:?} of being told to"
            );
            pause(LOOK_PAUSE);
        }
    }

    /// How it ended, where it has ended by itself.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // Nothing is left to be done where this fails.
        drop(process::signal(self.child.id(), Signal::KILL));
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, START_PATIENCE).is_ok()
}

/// Whether a UDP socket is bound to the port, by the kernel's own list: asking it with a datagram
/// would be input.
fn takes_datagrams(port: u16) -> bool {
    ["/proc/net/udp", "/proc/net/udp6"].iter().any(|path| {
        let list = fs::read_to_string(path).unwrap_or_default();
        list.lines().skip(1).any(|line| has_port(line, port))
    })
}

/// A line of `/proc/net/udp`: number, local address and port in hexadecimal digits.
fn has_port(line: &str, port: u16) -> bool {
    line.split_ascii_whitespace()
        .nth(1)
        .and_then(|address| address.rsplit_once(':'))
        .is_some_and(|(_, found)| u16::from_str_radix(found, 16) == Ok(port))
}

/// Sleeps; for threads that wait for a daemon.
#[expect(clippy::disallowed_methods, reason = "a client's thread, no shard")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(first_port: u16) -> DaemonArgs {
        DaemonArgs {
            daemon: None,
            dir: None,
            first_port,
        }
    }

    #[test]
    fn ports_are_free_and_differ() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let first = taken.local_addr().unwrap().port().min(60_000);
        let Ports {
            line,
            pickle,
            query,
            udp,
        } = Ports::free_from(first).unwrap();
        assert!(first <= line && line < pickle && pickle < query && query < udp);
        assert_ne!(line, taken.local_addr().unwrap().port());
    }

    #[test]
    fn placeholders_are_filled_in() {
        let ports = Ports {
            line: 1,
            pickle: 2,
            query: 3,
            udp: 4,
        };
        let text = filled_in(
            "{conf}/a {dir} {line}{pickle}{query} ${x} {udp}",
            Path::new("/d"),
            ports,
        );
        assert_eq!(text, "/d/a /d 123 ${x} 4");
    }

    #[test]
    fn a_command_that_ends_is_an_error_with_its_last_words() {
        let site = args(24_003).site("", "").unwrap();
        let launch = Launch::Against(String::from("echo no such thing >&2; exit 3"));
        let error = format!("{:#}", Daemon::start(&launch, &site).unwrap_err());
        assert!(
            error.contains("no such thing") && error.contains('3'),
            "{error}"
        );
    }

    #[test]
    fn an_option_gets_another_value_and_all_else_stays() {
        let site = args(24_053).site("A_B = 1\nA = 2", "").unwrap();
        let before = fs::read_to_string(site.conf_path()).unwrap();
        site.set("A", "inf").unwrap();
        let after = fs::read_to_string(site.conf_path()).unwrap();
        assert_eq!(after, before.replace("A = 2", "A = inf"));
        assert!(site.set("B", "3").is_err());
    }

    #[test]
    fn a_bound_port_is_seen_without_a_datagram() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert!(takes_datagrams(port));
        let line = "  1: 0100007F:36B3 00000000:0000 07 00000000:00000000";
        assert!(has_port(line, 14003) && !has_port(line, 14004));
        assert!(!has_port("", 14003));
    }
}
