//! What carbon.conf, flags and environment mean: checked, typed, relations proven.
//! The engine and the front see `Settings` and nothing below it. Every value is inside its bound,
//! addresses are resolved, and no two listeners collide. Nothing is read from disk here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use benzene_engine::cache::Strategy;
use benzene_engine::limits::{CACHE_BYTES_MIN, METRIC_PREFIX_BYTES_MAX};
use benzene_engine::ring::socket::KeepAlive;
use benzene_engine::ring::{Allocation, Driver};

use super::address::{At, Door, Service};
use super::directories::{Directories, Surroundings, normal_path};
use super::disk::{self, DiskSettings};
use super::error::ConfigError;
use super::instances::{Instance, Instances, Share};
use super::journal::{self, JournalSettings, Shutdown};
use super::low::Low;
use super::option;
use super::relay;
use super::rules::{ListFiles, RuleFiles};
use super::tags;
use super::value::{Fault, Kind, Rate};
use super::volumes::DataDirectory;
use crate::cli::{CacheOptions, LogLevel};
use crate::relay::RelaySettings;
use crate::tagdb::TagSettings;

/// Everything the daemon is told at its start.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of carbon.conf of its own"
)]
pub struct Settings {
    /// Which instance this is; of several the one under which the process's own metrics are.
    pub instance: String,
    /// The instances that this process answers for, at least one.
    pub instances: Vec<Instance>,
    /// `--instance` has named it.
    pub is_asked_for: bool,
    /// What of the machine is its.
    pub share: Share,
    /// The carbon.conf that was read; None runs on built-in defaults.
    pub config_file: Option<PathBuf>,
    /// What is stored goes below it.
    pub storage_dir: PathBuf,
    /// Where the other configuration files are.
    pub conf_dir: PathBuf,
    /// Where the Whisper files are; one directory, mostly.
    pub data: Vec<DataDirectory>,
    /// Where log files go, if any are written.
    pub log_dir: PathBuf,
    /// Whether a log file gets another name at the end of its day.
    pub log_rotation: bool,
    /// What of the daemon's work is written into log files.
    pub logged: Logged,
    /// The file with the daemon's process number, if one is written.
    pub pid_file: PathBuf,
    /// The user that the daemon becomes; None keeps the one that starts it.
    pub user: Option<String>,
    /// What is listened on.
    pub doors: Vec<Door>,
    /// The mode of the Unix sockets' files.
    pub socket_mode: u32,
    /// Most connections to all receivers together; None is no limit.
    pub senders_max: Option<usize>,
    /// How long a connection to a receiver may send no point; None is for ever.
    pub client_idle: Option<Duration>,
    /// How silent connections are probed; None is not at all.
    pub keep_alive: Option<KeepAlive>,
    /// Longest pickle in bytes that is accepted.
    pub pickle_frame_bytes_max: usize,
    /// Most points in the cache; None is no limit.
    pub cache_points_max: Option<u64>,
    /// Most bytes for the cache; None is decided at start from the host's memory (`cache_bytes`).
    pub cache_bytes_max: Option<u64>,
    /// Whether senders are held back when the cache is full; otherwise points are dropped.
    pub flow_control: bool,
    /// How the disk is to be treated, as far as it is said.
    pub disk: DiskSettings,
    /// Updates a second while stopping; None is as before.
    pub updates_per_second_on_shutdown: Option<Rate>,
    /// How the journal is kept; None is without one.
    pub journal: Option<JournalSettings>,
    /// Where the journal is, or an earlier run may have left one.
    pub journal_dir: PathBuf,
    /// The directories that have the journals of instances, each in one of its name.
    pub journals: Vec<PathBuf>,
    /// Directories that JOURNAL_DIR names, where a journal may lie that is not below them but in them: it
    /// is taken over.
    pub bare_journals: Vec<PathBuf>,
    /// What a stop does with what is cached.
    pub shutdown: Shutdown,
    /// Which metric is written next.
    pub strategy: Strategy,
    /// With `Strategy::TimeSorted`: seconds that a metric's oldest point waits.
    pub timestamp_lag_s: u32,
    /// Timestamps are cut to a multiple of so many seconds; at least 1.
    pub timestamp_resolution_s: u32,
    /// How the space of a new file is made.
    pub allocation: Allocation,
    /// Whether every update is synced.
    pub autoflush: bool,
    /// Whether files are locked while they are written.
    pub lock_writes: bool,
    /// Whether files of tagged series are named by a hash.
    pub tag_hash_filenames: bool,
    /// Where the files of rules are.
    pub rule_files: RuleFiles,
    /// How much is logged, as far as it is said.
    pub log_level: Option<LogLevel>,
    /// How series are announced to graphite-web's tag index; None: they are not.
    pub tags: Option<Box<TagSettings>>,
    /// Start of our own metrics' names, without a dot at its end; may be empty.
    pub metric_prefix: String,
    /// Seconds between two points of our own metrics; 0 is none.
    pub metric_interval_s: u32,
    /// Where our own metrics go instead of into the own cache; None: nowhere else.
    pub relay: Option<Box<RelaySettings>>,
    /// Pinned threads; None is the cores that the process may use.
    pub shards: Option<usize>,
    /// How sockets and files are reached.
    pub drive: Drive,
}

/// What of the daemon's work is written into log files, where there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of carbon.conf of its own"
)]
pub struct Logged {
    /// Every update of a file.
    pub updates: bool,
    /// Every new file.
    pub creates: bool,
    /// Every cache query that was answered.
    pub cache_hits: bool,
    /// Connections of senders that come, and that end as they should.
    pub connections: bool,
    /// Connections of senders that end otherwise.
    pub connections_lost: bool,
}

/// Who carries out what the cores ask of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drive {
    /// The driver to begin with.
    pub first: Driver,
    /// The one for machines without io_uring; None where the first was asked for by name.
    pub fallback: Option<Driver>,
    /// Nobody says how files are written (WRITER_BACKEND).
    pub are_files_open: bool,
}

/// What was worked out before the settings: paths and addresses.
pub(super) struct Prepared {
    pub(super) directories: Directories,
    pub(super) journals: Journals,
    pub(super) share: Share,
    pub(super) instances: Vec<Instance>,
    pub(super) doors: Vec<Door>,
}

/// Where journals are.
pub(super) struct Journals {
    /// The process's own.
    own: PathBuf,
    all: Vec<PathBuf>,
    bare: Vec<PathBuf>,
}

impl Journals {
    pub(super) fn of(
        told: &Instances,
        surroundings: &Surroundings,
        options: &CacheOptions,
        instances: &[Instance],
    ) -> Journals {
        let lows = || told.all.iter().map(|it| &it.low);
        let once = |mut paths: Vec<PathBuf>| {
            paths.sort();
            paths.dedup();
            paths
        };
        let all = lows().map(|low| surroundings.journals(low, options));
        let named = lows().filter_map(|low| surroundings.named_journals(low));
        // A flag is the place itself.
        let named = named.filter(|_| options.journal_dir.is_none());
        Journals {
            own: match &options.journal_dir {
                Some(flag) => normal_path(flag),
                None => first_of(instances).journal_dir.clone(),
            },
            all: once(all.collect()),
            bare: once(named.collect()),
        }
    }
}

impl Settings {
    /// The data directory, or the first of several.
    pub fn data_dir(&self) -> &Path {
        let Some(first) = self.data.first() else {
            unreachable!("there is always one")
        };
        &first.path
    }
}

/// Puts the settings together.
pub(super) fn settle(
    low: &Low,
    options: &CacheOptions,
    prepared: Prepared,
) -> Result<Settings, ConfigError> {
    let Prepared {
        directories,
        journals,
        share,
        instances,
        doors,
    } = prepared;
    let journal_dir = journals.own;
    let lists = low
        .switch("USE_WHITELIST")
        .then(|| list_files(options, &directories.conf));
    let rule_files = RuleFiles::beside(low.file.is_some(), &directories.conf, lists);
    let journal = journal::journal(low, journal_dir.clone(), share);
    let shutdown = journal::shutdown(low, journal.is_some())?;
    Ok(Settings {
        instance: first_of(&instances).name.clone(),
        instances,
        is_asked_for: options.instance.is_some(),
        share,
        config_file: low.file.clone(),
        storage_dir: directories.storage,
        conf_dir: directories.conf,
        drive: drive(low, directories.data.len() > 1)?,
        data: directories.data,
        log_dir: directories.logs,
        log_rotation: low.switch("ENABLE_LOGROTATION"),
        logged: Logged {
            updates: low.switch("LOG_UPDATES"),
            creates: low.switch("LOG_CREATES"),
            cache_hits: low.switch("LOG_CACHE_HITS"),
            connections: low.switch("LOG_LISTENER_CONN_SUCCESS"),
            connections_lost: low.switch("LOG_LISTENER_CONN_LOST"),
        },
        pid_file: directories.pid_file,
        user: low.text("USER").filter(|user| !user.is_empty()),
        doors,
        socket_mode: socket_mode(low)?,
        senders_max: senders_max(low),
        client_idle: low
            .integer("METRIC_CLIENT_IDLE_TIMEOUT")
            .map(Duration::from_secs),
        keep_alive: keep_alive(low),
        pickle_frame_bytes_max: size(low, "PICKLE_RECEIVER_MAX_LENGTH"),
        cache_points_max: low.limit("MAX_CACHE_SIZE"),
        cache_bytes_max: low.integer("MAX_CACHE_BYTES"),
        flow_control: low.switch("USE_FLOW_CONTROL"),
        disk: disk::disk(low),
        updates_per_second_on_shutdown: low.rate("MAX_UPDATES_PER_SECOND_ON_SHUTDOWN"),
        journal,
        journal_dir,
        journals: journals.all,
        bare_journals: journals.bare,
        shutdown,
        strategy: strategy(low),
        timestamp_lag_s: seconds(low, "MIN_TIMESTAMP_LAG"),
        timestamp_resolution_s: seconds(low, "MIN_TIMESTAMP_RESOLUTION").max(1),
        allocation: allocation(low),
        autoflush: low.switch("WHISPER_AUTOFLUSH"),
        lock_writes: low.switch("WHISPER_LOCK_WRITES"),
        tag_hash_filenames: low.switch("TAG_HASH_FILENAMES"),
        rule_files,
        log_level: log_level(low, options),
        tags: tags::tags(low)?,
        metric_prefix: metric_prefix(low)?,
        metric_interval_s: seconds(low, "CARBON_METRIC_INTERVAL"),
        relay: relay::relay(low)?,
        shards: shards(low, options)?,
    })
}

impl Settings {
    /// The first address of a service; None where it has none.
    pub fn address(&self, service: Service) -> Option<std::net::SocketAddr> {
        let doors = self.doors.iter().filter(|door| door.service == service);
        let mut addresses = doors.filter_map(|door| match &door.at {
            At::Inet(address) => Some(*address),
            At::Unix(_) => None,
        });
        addresses.next()
    }

    /// The directories of the instances' journals, the process's own first.
    pub fn journal_dirs(&self) -> impl Iterator<Item = &Path> {
        let instances = self.instances.iter().map(|it| it.journal_dir.as_path());
        std::iter::once(self.journal_dir.as_path()).chain(instances)
    }

    /// Most bytes for the cache on a host with so much memory: half of it, where nobody says otherwise, and
    /// of that what is this process's.
    pub fn cache_bytes(&self, memory: u64) -> u64 {
        let usual = || self.share.of(memory / 2).max(CACHE_BYTES_MIN);
        self.cache_bytes_max.unwrap_or_else(usual)
    }

    /// The names of the instances, as they are said.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.instances.iter().map(|it| it.name.as_str()).collect();
        names.join(", ")
    }
}

/// The instance that the process goes by: the first that something listens for.
pub(super) fn first_of(instances: &[Instance]) -> &Instance {
    let first = instances.iter().find(|it| it.has_doors);
    let Some(first) = first.or(instances.first()) else {
        unreachable!("there is at least one instance")
    };
    first
}

fn socket_mode(low: &Low) -> Result<u32, ConfigError> {
    const NAME: &str = "SOCKET_MODE";
    let text = low.text(NAME).unwrap_or_default();
    let mode = u32::from_str_radix(&text, 8).ok();
    mode.filter(|mode| *mode <= 0o777 && text.len() >= 3)
        .ok_or_else(|| low.refuse(NAME, Fault::NotMode))
}

/// What is named is had or refused; only what is left open may fall back. Several data directories are
/// left to threads where nobody says otherwise: a disk that hangs would hold up the others' files in the
/// workers of a ring, which are for all of them (docs/decisions/0020).
fn drive(low: &Low, are_several: bool) -> Result<Drive, ConfigError> {
    const BACKEND: &str = "WRITER_BACKEND";
    let (sockets, files) = (low.text("RING_DRIVER"), low.text(BACKEND));
    let (first, fallback) = match (sockets.as_deref(), files.as_deref()) {
        (Some("poll"), Some("uring")) => {
            return Err(low.refuse(
                BACKEND,
                Fault::Refused {
                    reason: "RING_DRIVER = poll does without io_uring, for files too",
                    same: "sync",
                },
            ));
        }
        (Some("poll"), _) => (Driver::PollSync, None),
        (None, None) if are_several => (Driver::UringSync, Some(Driver::PollSync)),
        (_, None) if are_several => (Driver::UringSync, None),
        (None, None) => (Driver::Uring, Some(Driver::PollSync)),
        (None, Some("sync")) => (Driver::UringSync, Some(Driver::PollSync)),
        (_, Some("sync")) => (Driver::UringSync, None),
        (_, _) => (Driver::Uring, None),
    };
    let are_files_open = files.is_none();
    Ok(Drive {
        first,
        fallback,
        are_files_open,
    })
}

fn list_files(options: &CacheOptions, conf_dir: &Path) -> ListFiles {
    let file = |flag: &Option<PathBuf>, usual| flag.clone().unwrap_or_else(|| conf_dir.join(usual));
    ListFiles {
        whitelist: file(&options.whitelist, "whitelist.conf"),
        blacklist: file(&options.blacklist, "blacklist.conf"),
    }
}

fn log_level(low: &Low, options: &CacheOptions) -> Option<LogLevel> {
    let written = || LogLevel::from_name(&low.text("LOG_LEVEL")?);
    options.log.or_else(written)
}

/// A whole number that has a default.
pub(super) fn size(low: &Low, name: &str) -> usize {
    match low.integer(name).map(usize::try_from) {
        Some(Ok(size)) => size,
        other => unreachable!("{name} has a default and a bound that fits memory: {other:?}"),
    }
}

fn seconds(low: &Low, name: &str) -> u32 {
    match low.integer(name).map(u32::try_from) {
        Some(Ok(seconds)) => seconds,
        other => unreachable!("{name} has a default and a bound of a day: {other:?}"),
    }
}

fn senders_max(low: &Low) -> Option<usize> {
    let max = low.limit("MAX_RECEIVER_CONNECTIONS")?;
    Some(usize::try_from(max).unwrap_or(usize::MAX))
}

fn keep_alive(low: &Low) -> Option<KeepAlive> {
    low.switch("TCP_KEEPALIVE").then(|| KeepAlive {
        idle: Duration::from_secs(seconds(low, "TCP_KEEPIDLE").into()),
        interval: Duration::from_secs(seconds(low, "TCP_KEEPINTVL").into()),
        probes: seconds(low, "TCP_KEEPCNT"),
    })
}

fn strategy(low: &Low) -> Strategy {
    let name = low.text("CACHE_WRITE_STRATEGY").unwrap_or_default();
    let Some(strategy) = Strategy::from_name(&name) else {
        unreachable!("the option table lets {name} through, which the cache does not know")
    };
    strategy
}

/// As in Python whisper, fallocate wins over sparse.
fn allocation(low: &Low) -> Allocation {
    if low.switch("WHISPER_FALLOCATE_CREATE") {
        Allocation::Fallocate
    } else if low.switch("WHISPER_SPARSE_CREATE") {
        Allocation::Sparse
    } else {
        Allocation::Zeros
    }
}

/// The prefix must be the start of a name that a receiver would accept too. Empty parts of it are left out,
/// as in the files that Python carbon makes of such names.
fn metric_prefix(low: &Low) -> Result<String, ConfigError> {
    const NAME: &str = "CARBON_METRIC_PREFIX";
    let written = low.text(NAME).unwrap_or_default();
    let parts: Vec<&str> = written.split('.').filter(|part| !part.is_empty()).collect();
    let prefix = parts.join(".");
    let wrong = |letter: char| letter.is_whitespace() || letter.is_control() || letter == ';';
    let too_long = prefix.len() > METRIC_PREFIX_BYTES_MAX;
    if too_long || prefix.starts_with('~') || prefix.contains(wrong) {
        return Err(low.refuse(NAME, Fault::NotPrefix));
    }
    Ok(prefix)
}

fn shards(low: &Low, options: &CacheOptions) -> Result<Option<usize>, ConfigError> {
    const NAME: &str = "SHARDS";
    let Some(flag) = options.shards else {
        return Ok(low.integer(NAME).map(|_| size(low, NAME)));
    };
    let Some(Kind::Integer(bound)) = option::find(NAME).map(|option| option.kind) else {
        unreachable!("{NAME} is a whole number in the option table")
    };
    let wanted = u64::try_from(flag).unwrap_or(u64::MAX);
    match bound.check(wanted) {
        Ok(_) => Ok(Some(flag)),
        Err(fault) => Err(ConfigError::Flag {
            flag: "--shards",
            written: flag.to_string(),
            fault,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_what_python_makes_of_it_in_file_names() {
        for (written, want) in [
            ("carbon", "carbon"),
            ("own.carbon", "own.carbon"),
            ("", ""),
            (".", ""),
            ("carbon.", "carbon"),
            (".own..carbon", "own.carbon"),
        ] {
            let low = Low::of(&format!("[cache]\nCARBON_METRIC_PREFIX = {written}\n"));
            assert_eq!(metric_prefix(&low).unwrap(), want, "{written}");
        }
        for written in ["~own", "own;x", "own x"] {
            let low = Low::of(&format!("[cache]\nCARBON_METRIC_PREFIX = {written}\n"));
            assert!(metric_prefix(&low).is_err(), "{written}");
        }
    }
}
