//! The command line: `benzene cache` is the daemon, `benzene doctor` says whether it can run here,
//! `benzene check-config` reads configuration files, `benzene query` asks a daemon what it holds,
//! `benzene journal` looks into its journal.
//! Only words are read here: no file, no socket, no environment. What a setting means stands in
//! carbon.conf's table (`config`); a flag exists only where an operator wants to try something
//! without touching a file. Flags win over carbon.conf. Long flags only.
//! A wrong command line ends with `Exit::Usage` before anything is started.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::process::CacheRun;
use crate::tools::check_config::ConfKind;
use crate::tools::shadow::ShadowOptions;
use crate::tools::tune::TuneOptions;
use crate::{config, exit};

/// The whole command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "benzene",
    version,
    about = "A drop-in replacement for Graphite's carbon-cache",
    after_help = exit::help_section(),
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `benzene` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the daemon, in the foreground until SIGTERM or SIGINT; or start, stop, status as carbon-cache
    #[command(after_help = CACHE_EXAMPLES, after_long_help = cache_long_help())]
    Cache(Box<CacheRun>),
    /// Say what this machine allows: kernel, io_uring, limits, data directory, disk, clock, ports,
    /// and what to change. Changes nothing on disk
    Doctor(DoctorOptions),
    /// Read configuration files as the daemon does, and say what is used, what is ignored and what is
    /// wrong, with how to mend it. Changes nothing
    CheckConfig(CheckConfigOptions),
    /// Write a carbon.conf that says what go-carbon's configuration says
    ImportConfig(ImportConfigOptions),
    /// Stop the daemon that uses this journal, and wait for its end; --drain writes all files first
    Stop(StopOptions),
    /// Ask running daemons which points of a metric are still in their caches
    Query(QueryOptions),
    /// Measure a disk with Whisper's access pattern, and say what carbon.conf should say for it
    Tune(TuneOptions),
    /// Take a copy of the stream of a carbon-cache that runs, store it aside, and say where the files
    /// differ and what the move would save. Changes nothing of what runs
    Shadow(ShadowOptions),
    /// Look into a journal: what is in it, is it sound, its points as carbon lines. Changes nothing
    Journal(JournalOptions),
}

const CACHE_EXAMPLES: &str = "\
Examples:
  benzene cache
      try it: listens on 127.0.0.1, keeps everything under ./benzene-data
  benzene cache --config /opt/graphite/conf/carbon.conf start
      one process for [cache] and every [cache:NAME], else as `carbon-cache.py --config ... start`; also stop and status, with its exit codes. A link named
      carbon-cache.py to this program takes carbon-cache.py's own command line
  benzene cache --config /etc/carbon/carbon.conf --instance b --udp off
      instance b alone: [cache] with the changes of [cache:b], and no UDP
";

/// What `benzene cache` was told on the command line.
#[derive(Args, Clone, Debug, Default)]
pub struct CacheOptions {
    /// carbon.conf to read; storage-schemas.conf and storage-aggregation.conf lie beside it.
    /// Without it, carbon.conf is looked for where GRAPHITE_CONF_DIR or GRAPHITE_ROOT says; where
    /// neither is set, built-in defaults serve, or under the name carbon-cache.py the file that Python's
    /// program would find above its own directory
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the program lies that was called carbon-cache (`called`): GRAPHITE_ROOT is the directory
    /// above, where nothing else says where carbon.conf is
    #[arg(long, value_name = "FILE", hide = true)]
    pub program: Option<PathBuf>,
    /// Answer for this one instance: `[cache:NAME]` changes what `[cache]` says, and the name is part of
    /// our own metrics' names. Without it, one process answers for all instances of carbon.conf
    #[arg(long, value_name = "NAME", value_parser = instance)]
    pub instance: Option<String>,
    /// Instead of STORAGE_DIR: what carbon.conf does not place elsewhere goes below it
    #[arg(long, value_name = "DIR")]
    pub storage_dir: Option<PathBuf>,
    /// Instead of LOCAL_DATA_DIR: the directory of the Whisper files
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Instead of JOURNAL_DIR: the directory of the journal
    #[arg(long, value_name = "DIR")]
    pub journal_dir: Option<PathBuf>,
    /// Write log files in this directory itself, instead of one for each instance below LOG_DIR; also
    /// in the foreground
    #[arg(long, value_name = "DIR")]
    pub logdir: Option<PathBuf>,
    /// Instead of PID_DIR/carbon-cache-INSTANCE.pid; in the foreground a pid file is written only where
    /// this names one
    #[arg(long, value_name = "FILE")]
    pub pidfile: Option<PathBuf>,
    /// Line receiver (TCP): `[HOST:]PORT`, or off. Port 0 takes a free one and says which
    #[arg(long, value_name = "ADDR")]
    pub line: Option<Listen>,
    /// Line receiver (UDP): `[HOST:]PORT`, or off
    #[arg(long, value_name = "ADDR")]
    pub udp: Option<Listen>,
    /// Pickle receiver: `[HOST:]PORT`, or off
    #[arg(long, value_name = "ADDR")]
    pub pickle: Option<Listen>,
    /// Protobuf receiver: `[HOST:]PORT`, or off
    #[arg(long, value_name = "ADDR")]
    pub protobuf: Option<Listen>,
    /// Cache query, which graphite-web asks: `[HOST:]PORT`, or off
    #[arg(long, value_name = "ADDR")]
    pub query: Option<Listen>,
    /// Instead of SHARDS: how many pinned threads, each with its own ring, files and connections
    #[arg(long, value_name = "COUNT")]
    pub shards: Option<usize>,
    /// With USE_WHITELIST: the whitelist, instead of CONF_DIR/whitelist.conf
    #[arg(long, value_name = "FILE")]
    pub whitelist: Option<PathBuf>,
    /// With USE_WHITELIST: the blacklist, instead of CONF_DIR/blacklist.conf
    #[arg(long, value_name = "FILE")]
    pub blacklist: Option<PathBuf>,
    /// Instead of LOG_LEVEL: how much is logged
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub log: Option<LogLevel>,
}

fn cache_long_help() -> String {
    format!("{CACHE_EXAMPLES}\n{}", config::help_section())
}

fn instance(name: &str) -> Result<String, String> {
    if !config::is_instance_name(name) {
        return Err("an instance is a word without spaces, `/`, `:` or `]`, such as a".to_owned());
    }
    Ok(name.to_owned())
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Only what stops the daemon or loses points.
    Error,
    /// Also what an operator should look at.
    Warn,
    /// Also starts, stops and what was decided at start.
    #[default]
    Info,
    /// Also connections and files.
    Debug,
    /// Everything; slow.
    Trace,
}

impl LogLevel {
    /// The level's name as `tracing` filters spell it.
    pub const fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }

    /// Whether what is said at `info` is logged.
    pub const fn has_info(self) -> bool {
        match self {
            LogLevel::Error | LogLevel::Warn => false,
            LogLevel::Info | LogLevel::Debug | LogLevel::Trace => true,
        }
    }

    /// The level of that name.
    pub fn from_name(name: &str) -> Option<LogLevel> {
        let all = LogLevel::value_variants().iter();
        all.copied().find(|level| level.name() == name)
    }
}

/// Where a receiver listens, as a flag says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Not at all.
    Off,
    /// At this port; without a host, on the interface that carbon.conf names.
    At {
        /// Host name, IPv4 address, or IPv6 address without its brackets.
        host: Option<String>,
        /// The port; 0 lets the kernel choose a free one.
        port: u16,
    },
}

/// Why an address on the command line was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// What should be a port is none.
    #[error("`{found}` is no port; write a number from 0 to 65535")]
    Port {
        /// What stood there.
        found: String,
    },
    /// An IPv6 address without brackets, or an empty host.
    #[error("`{found}` is no host; write a name, an IPv4 address, or an IPv6 address in brackets")]
    Host {
        /// What stood there.
        found: String,
    },
    /// A Unix socket without a path.
    #[error("`{found}` names no socket; write its path, such as unix:/run/carbon/query.sock")]
    Socket {
        /// What stood there.
        found: String,
    },
    /// A range that is not two ports with a dash between them, the lower first.
    #[error("`{found}` is no range of ports; write it as 7201-7210")]
    Range {
        /// What stood there.
        found: String,
    },
}

impl FromStr for Listen {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Listen, AddressError> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(Listen::Off);
        }
        let (host, port) = split_port(text)?;
        match port {
            Some(port) => Ok(Listen::At {
                host: host.map(str::to_owned),
                port: parse_port(port)?,
            }),
            None => Ok(Listen::At {
                host: None,
                port: parse_port(text)?,
            }),
        }
    }
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    text.parse().map_err(|_not_a_port| AddressError::Port {
        found: text.to_owned(),
    })
}

/// Splits `HOST:PORT`, `[V6]:PORT`, `[V6]` and `HOST`; brackets are taken off.
fn split_port(text: &str) -> Result<(Option<&str>, Option<&str>), AddressError> {
    let refused = || AddressError::Host {
        found: text.to_owned(),
    };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(refused)?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(refused()),
            }
        }
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(refused()),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        Err(refused())
    } else {
        Ok((Some(host), port))
    }
}

const DOCTOR_EXAMPLES: &str = "\
Examples:
  benzene doctor --config /opt/graphite/conf/carbon.conf
      can it take over from the carbon-cache that reads this file? Start it as who is to start the
      daemon; root looks as USER of carbon.conf
  benzene doctor --data-dir /srv/whisper --json
Ends with 0 when `benzene cache` can start with the same flags, otherwise with what it would end with.
";

/// What `benzene doctor` was told on the command line.
#[derive(Args, Clone, Debug)]
#[command(after_help = DOCTOR_EXAMPLES, after_long_help = DOCTOR_EXAMPLES)]
pub struct DoctorOptions {
    /// What `benzene cache` would be told.
    #[command(flatten)]
    pub daemon: CacheOptions,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

const CHECK_CONFIG_EXAMPLES: &str = "\
Examples:
  benzene check-config /opt/graphite/conf/carbon.conf
      this file, and those beside it that it makes the daemon read
  benzene check-config --metric servers.web1.load /etc/carbon/carbon.conf
      where this metric goes: its file, its retentions, how it is aggregated
  benzene check-config --files --quiet --strict /etc/carbon/carbon.conf
      for a cron job: also which existing files were made by other rules
Ends with 0 when the files are usable, 3 when something is to be mended, and with --strict 1 when
there are warnings.
";

/// What `benzene check-config` was told on the command line.
#[derive(Args, Clone, Debug)]
#[command(after_help = CHECK_CONFIG_EXAMPLES, after_long_help = CHECK_CONFIG_EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct CheckConfigOptions {
    /// carbon.conf, storage-schemas.conf, storage-aggregation.conf, whitelist.conf, blacklist.conf,
    /// relay-rules.conf, aggregation-rules.conf, rewrite-rules.conf
    #[arg(value_name = "FILE", required = true)]
    pub paths: Vec<PathBuf>,
    /// Which of them the files are, where neither name nor text tells
    #[arg(long = "as", value_name = "KIND", value_enum)]
    pub kind: Option<ConfKind>,
    /// Say what becomes of this metric; may be given several times
    #[arg(long = "metric", value_name = "NAME")]
    pub metrics: Vec<String>,
    /// Compare the existing Whisper files with the schemas: reads the head of each
    #[arg(long)]
    pub files: bool,
    /// Instead of LOCAL_DATA_DIR and LOCAL_DATA_DIRS: where the existing files are
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// End with 1 where there are warnings
    #[arg(long)]
    pub strict: bool,
    /// Print warnings and errors only
    #[arg(long, conflicts_with = "json")]
    pub quiet: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

const IMPORT_CONFIG_EXAMPLES: &str = "\
Examples:
  benzene import-config /etc/go-carbon/go-carbon.conf
      shows what it comes to
  benzene import-config /etc/go-carbon/go-carbon.conf --output /etc/carbon/carbon.conf
  benzene check-config /etc/carbon/carbon.conf
";

/// What `benzene import-config` was told on the command line.
#[derive(Args, Clone, Debug)]
#[command(after_help = IMPORT_CONFIG_EXAMPLES)]
pub struct ImportConfigOptions {
    /// go-carbon's configuration, a file in TOML
    #[arg(value_name = "FILE")]
    pub path: PathBuf,
    /// Write into this file, which must not be there yet
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

const STOP_EXAMPLES: &str = "\
Examples:
  benzene stop --config /opt/graphite/conf/carbon.conf
      what is cached stays in the journal, and is in the cache after the next start
  benzene stop --config /opt/graphite/conf/carbon.conf --drain
      everything goes to its file, as before a return to Python carbon; ends with 7, and says how
      many points it is, where that cannot be done
";

/// What `benzene stop` was told on the command line.
#[derive(Args, Clone, Debug)]
#[command(after_help = STOP_EXAMPLES)]
pub struct StopOptions {
    /// The daemon's own options: they say where its journal is.
    #[command(flatten)]
    pub daemon: CacheOptions,
    /// Write everything that is cached to the files first, however long that takes
    #[arg(long)]
    pub drain: bool,
    /// Give up waiting after so many seconds; the daemon goes on stopping
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
}

const JOURNAL_EXAMPLES: &str = "\
Examples:
  benzene journal inspect /opt/graphite/storage/journal/a
  benzene journal verify /opt/graphite/storage/journal/a && echo sound
      ends with 1 where blocks are damaged or points are missing
  benzene journal export /opt/graphite/storage/journal/a | nc -q 1 10.0.0.2 2003
      what is in no file yet, to another daemon
Can be used beside a running daemon: the end of a segment that is being written then moves.
";

/// What `benzene journal` was told on the command line.
#[derive(Args, Clone, Debug)]
#[command(after_help = JOURNAL_EXAMPLES, after_long_help = JOURNAL_EXAMPLES)]
pub struct JournalOptions {
    /// What to do.
    #[command(subcommand)]
    pub command: JournalCommand,
}

/// What `benzene journal` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum JournalCommand {
    /// Say what is in each file and stream
    Inspect(JournalInspectOptions),
    /// Say whether every block is sound and no point is missing; the exit code tells a script
    Verify(JournalVerifyOptions),
    /// Print the points that are owed to files, as lines `name value timestamp`
    Export(JournalExportOptions),
}

/// What `benzene journal inspect` was told on the command line.
#[derive(Args, Clone, Debug)]
pub struct JournalInspectOptions {
    /// Directories of journals, or files in them
    #[arg(value_name = "FILE|DIRECTORY", required = true)]
    pub paths: Vec<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// What `benzene journal verify` was told on the command line.
#[derive(Args, Clone, Debug)]
pub struct JournalVerifyOptions {
    /// Directories of journals; or files, of which only what is inside can be told
    #[arg(value_name = "FILE|DIRECTORY", required = true)]
    pub paths: Vec<PathBuf>,
}

/// What `benzene journal export` was told on the command line.
#[derive(Args, Clone, Debug)]
pub struct JournalExportOptions {
    /// Directories of journals, or files in them; what is written and what names are is read from the
    /// whole directory
    #[arg(value_name = "FILE|DIRECTORY", required = true)]
    pub paths: Vec<PathBuf>,
    /// Every point that is there, whether it is written or not
    #[arg(long)]
    pub all: bool,
    /// Believe of every point that the journal calls written that it is in its file, also after a power
    /// cut or where the data are elsewhere; without this they are printed until a sync of the data
    /// proves it
    #[arg(long)]
    pub trust_written: bool,
    /// Write the lines into this file, whose contents are replaced
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

const QUERY_EXAMPLES: &str = "\
Examples:
  benzene query servers.web1.load
      which of its points are not in the file yet
  benzene query servers.web1.load --host 10.0.0.1:7002,10.0.0.2:7002 --json
  benzene query servers.web1.load --host 10.0.0.1 --range 7201-7210
      ten instances on one host
  benzene query servers.web1.load --host unix:/run/carbon/query.sock
      through the Unix socket of CACHE_QUERY_SOCKET
";

/// What `benzene query` was told on the command line.
#[derive(Args, Clone, Debug)]
#[command(after_help = QUERY_EXAMPLES)]
pub struct QueryOptions {
    /// Names of metrics, tags included (`disk.used;host=web1`)
    #[arg(value_name = "METRIC", required = true)]
    pub metrics: Vec<String>,
    /// Cache-query addresses to ask, with commas between them; a missing port is 7002. Entries
    /// of graphite-web's CARBONLINK_HOSTS can be pasted. A Unix socket is `unix:PATH`, or its path as
    /// CACHE_QUERY_SOCKET has it
    #[arg(
        long = "host",
        value_name = "HOST[:PORT]|unix:PATH",
        value_delimiter = ',',
        default_value = "127.0.0.1"
    )]
    pub hosts: Vec<QueryHost>,
    /// Ask each host on every port of this range instead; a Unix socket, which has none, once
    #[arg(long, value_name = "FIRST-LAST")]
    pub range: Option<PortRange>,
    /// Print one JSON document
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print metric,timestamp,value lines
    #[arg(long)]
    pub csv: bool,
    /// Give up on a host after so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wanted: f64 = text
        .parse()
        .map_err(|error| format!("{error}; write seconds, such as 2.5"))?;
    match Duration::try_from_secs_f64(wanted) {
        Ok(timeout) if !timeout.is_zero() => Ok(timeout),
        Ok(_) => Err("0 would never wait for an answer; write seconds, such as 2.5".to_owned()),
        Err(error) => Err(format!("{error}; write seconds, such as 2.5")),
    }
}

/// A daemon to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryHost {
    /// `HOST`, `HOST:PORT` or `HOST:PORT:INSTANCE`.
    Inet {
        /// Host name, IPv4 address, or IPv6 address without its brackets.
        host: String,
        /// Its cache-query port.
        port: u16,
        /// The instance after a second colon, as in CARBONLINK_HOSTS; places it in the hash ring.
        instance: Option<String>,
    },
    /// `unix:PATH`, or an absolute path.
    Unix(PathBuf),
}

impl FromStr for QueryHost {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<QueryHost, AddressError> {
        let text = text.trim();
        let path = text.strip_prefix("unix:");
        match path.or_else(|| text.starts_with('/').then_some(text)) {
            None => {}
            Some("") => {
                let found = text.to_owned();
                return Err(AddressError::Socket { found });
            }
            Some(path) => return Ok(QueryHost::Unix(path.into())),
        }
        let after_host = text.rfind(']').unwrap_or(0);
        let (address, instance) = match text[after_host..].match_indices(':').nth(1) {
            Some((at, _)) => (&text[..after_host + at], Some(&text[after_host + at + 1..])),
            None => (text, None),
        };
        let (host, port) = split_port(address)?;
        Ok(QueryHost::Inet {
            host: host.unwrap_or_default().to_owned(),
            port: port.map_or(Ok(config::QUERY_PORT_DEFAULT), parse_port)?,
            instance: instance.map(str::to_owned),
        })
    }
}

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port, not below the first.
    pub last: u16,
}

impl FromStr for PortRange {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<PortRange, AddressError> {
        let refused = || AddressError::Range {
            found: text.to_owned(),
        };
        let (first, last) = text.split_once('-').ok_or_else(refused)?;
        let (first, last) = (parse_port(first)?, parse_port(last)?);
        if first == 0 || first > last {
            return Err(refused());
        }
        Ok(PortRange { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn cache(words: &[&str]) -> Result<CacheOptions, String> {
        let line = ["benzene", "cache"].iter().chain(words);
        let parsed = Cli::try_parse_from(line).map_err(|error| error.to_string())?;
        let Command::Cache(run) = parsed.command else {
            panic!("{parsed:?}")
        };
        Ok(run.daemon)
    }

    fn query(words: &[&str]) -> Result<QueryOptions, String> {
        let line = ["benzene", "query"].iter().chain(words);
        let parsed = Cli::try_parse_from(line).map_err(|error| error.to_string())?;
        let Command::Query(options) = parsed.command else {
            panic!("{parsed:?}")
        };
        Ok(options)
    }

    fn at(host: &str, port: u16) -> Listen {
        Listen::At {
            host: (!host.is_empty()).then(|| host.to_owned()),
            port,
        }
    }

    #[test]
    fn the_definition_is_sound_and_has_long_flags_only() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            for flag in command.get_arguments() {
                assert_eq!(flag.get_short(), None, "{} {flag:?}", command.get_name());
            }
        }
    }

    #[test]
    fn without_flags_no_instance_is_named_and_nothing_is_overridden() {
        let options = cache(&[]).unwrap();
        assert_eq!(options.instance, None);
        assert_eq!(options.log, None);
        assert_eq!(
            (options.config, options.line, options.shards),
            (None, None, None)
        );
    }

    #[test]
    fn listen_addresses() {
        for (text, want) in [
            ("off", Listen::Off),
            ("OFF", Listen::Off),
            ("2003", at("", 2003)),
            ("0", at("", 0)),
            ("127.0.0.1:2003", at("127.0.0.1", 2003)),
            ("graphite.example:2003", at("graphite.example", 2003)),
            ("[::1]:2003", at("::1", 2003)),
        ] {
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
        for (text, word) in [
            ("65536", "no port"),
            ("", "no host"),
            ("host:", "no port"),
            (":2003", "no host"),
            ("::1", "brackets"),
            ("::1:2003", "brackets"),
            ("[::1", "no host"),
            ("[::1]2003", "no host"),
        ] {
            let error = text.parse::<Listen>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn instances_that_could_leave_their_directory_are_refused() {
        for name in ["", "a/b", "a b", "b]", "a:b", "a,b", ".."] {
            let error = cache(&["--instance", name]).unwrap_err();
            assert!(error.contains("instance is a word"), "{name}: {error}");
        }
        let named = cache(&["--instance", "b-2"]).unwrap().instance;
        assert_eq!(named.as_deref(), Some("b-2"));
    }

    #[test]
    fn query_hosts_as_graphite_web_writes_them() {
        let options = query(&["a.b", "--host", "10.0.0.1:7102:a, [::1]:7002:b,web"]).unwrap();
        let inet = |host: &str, port, instance: Option<&str>| QueryHost::Inet {
            host: host.to_owned(),
            port,
            instance: instance.map(str::to_owned),
        };
        let want = [
            inet("10.0.0.1", 7102, Some("a")),
            inet("::1", 7002, Some("b")),
            inet("web", 7002, None),
        ];
        assert_eq!(options.hosts, want);
        assert_eq!(options.timeout, Duration::from_secs(5));
    }

    #[test]
    fn query_hosts_that_are_sockets() {
        let options = query(&["a.b", "--host", "unix:/run/query.sock,/srv/a:1,web"]).unwrap();
        let unix = |path: &str| QueryHost::Unix(path.into());
        assert_eq!(
            options.hosts[..2],
            [unix("/run/query.sock"), unix("/srv/a:1")]
        );
        assert_eq!(options.hosts.len(), 3);
        let error = query(&["a", "--host", "unix:"]).unwrap_err();
        assert!(error.contains("names no socket"), "{error}");
    }

    #[test]
    fn query_ranges_formats_and_timeouts() {
        let options = query(&["a", "--range", "7201-7210", "--csv", "--timeout", "0.5"]).unwrap();
        assert_eq!(
            options.range,
            Some(PortRange {
                first: 7201,
                last: 7210
            })
        );
        assert_eq!(options.timeout, Duration::from_millis(500));
        for (words, word) in [
            (&["a", "--range", "7210-7201"][..], "7201-7210"),
            (&["a", "--range", "7201"], "7201-7210"),
            (&["a", "--json", "--csv"], "cannot be used with"),
            (&["a", "--timeout", "0"], "never wait"),
            (&["a", "--timeout", "soon"], "such as 2.5"),
            (&[], "METRIC"),
        ] {
            let error = query(words).unwrap_err();
            assert!(error.contains(word), "{words:?}: {error}");
        }
    }

    #[test]
    fn help_texts_name_examples_options_and_exit_codes() {
        let mut command = Cli::command();
        assert!(
            command
                .render_long_help()
                .to_string()
                .contains("Exit codes:")
        );
        let cache = command.find_subcommand_mut("cache").unwrap();
        let long = cache.render_long_help().to_string();
        for word in ["Examples:", "MAX_CACHE_SIZE", "--storage-dir"] {
            assert!(long.contains(word), "{word} is missing from {long}");
        }
        let doctor = command.find_subcommand_mut("doctor").unwrap();
        let long = doctor.render_long_help().to_string();
        for word in ["can it take over", "--data-dir", "--json"] {
            assert!(long.contains(word), "{word} is missing from {long}");
        }
        let cache = command.find_subcommand_mut("cache").unwrap();
        assert!(
            !cache.render_help().to_string().contains("MAX_CACHE_SIZE"),
            "-h stays short"
        );
    }
}
