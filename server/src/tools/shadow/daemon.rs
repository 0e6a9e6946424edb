//! The shadow's own daemon: this program as `benzene cache`, with a carbon.conf that is made here.
//! Of the carbon.conf that was named it has what decides which points are stored, where within the tree,
//! and how they are written; nothing that reaches outside its directory, and no bound that holds for a
//! tree that is there already (`OWN`): its own is empty, and every metric is new to it.
//! It is stopped with a drain, so that all its points are in files, and killed where this program ends
//! without having stopped it, killed itself or not.
//! Signals of the terminal are this program's to answer: its daemon is in a process group of its own, as
//! one that heard them too would take this program's SIGTERM for a second one, which cuts a stop short.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use benzene_engine::ring::host::{self, Used};

use super::{LOOK, ShadowError, ShadowOptions};
use crate::cli::Listen;
use crate::config::Loaded;

/// The options that the shadow has of the carbon.conf that was named.
const KEPT: &[&str] = &[
    "CACHE_WRITE_STRATEGY",
    "DEVICE_CLASS",
    "DISK_ORDER",
    "KERNEL_WORKERS",
    "MAX_CACHE_BYTES",
    "MAX_POINT_AGE",
    "MAX_UPDATES_PER_SECOND",
    "MAX_UPDATES_PER_SECOND_HDD",
    "MAX_UPDATES_PER_SECOND_SSD",
    "MIN_TIMESTAMP_LAG",
    "MIN_TIMESTAMP_RESOLUTION",
    "PICKLE_RECEIVER_MAX_LENGTH",
    "READ_WAIT_MAX",
    "RING_DRIVER",
    "SHARDS",
    "TAG_HASH_FILENAMES",
    "UPDATES_IN_FLIGHT",
    "USE_WHITELIST",
    "WHISPER_AUTOFLUSH",
    "WHISPER_FADVISE_RANDOM",
    "WHISPER_FALLOCATE_CREATE",
    "WHISPER_LOCK_WRITES",
    "WHISPER_SPARSE_CREATE",
    "WRITER_BACKEND",
];
/// What the shadow has in their place, whatever the carbon.conf says.
const OWN: &[(&str, &str)] = &[
    // Every metric is new at once.
    ("MAX_CREATES_PER_MINUTE", "inf"),
    ("MAX_CACHE_SIZE", "inf"),
    // A relay whose one destination is slow holds all its senders back: the shadow never is, and what
    // it has no room for is counted.
    ("USE_FLOW_CONTROL", "False"),
    // So that its counters are those of the copy alone.
    ("CARBON_METRIC_INTERVAL", "0"),
    ("SHUTDOWN", "drain"),
    // The tag index is that of the daemon that runs.
    ("ENABLE_TAGS", "False"),
];
/// How many of the last lines of its log are said when it ends by itself.
const SAID_LINES: usize = 5;
/// What its log says when it serves.
const READY: &str = "is ready";

/// What it counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) received: u64,
    pub(super) committed: u64,
    pub(super) updates: u64,
    pub(super) creates: u64,
    /// Points whose second was sent again.
    pub(super) superseded: u64,
    /// Points that are older than all archives, which no carbon-cache stores.
    pub(super) too_old: u64,
    /// Points that it did not accept: names, values, lists.
    pub(super) refused: u64,
    /// Points that it should have stored and has not: there was no room, or they could not be written.
    pub(super) lost: u64,
}

/// The daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    process: Child,
    log: PathBuf,
    /// Where its files are.
    pub(super) data_dir: PathBuf,
    /// When it was started, by the clock that files have.
    pub(super) since: SystemTime,
    used: Used,
}

impl Daemon {
    /// Starts it and waits until it serves.
    pub(super) async fn start(
        options: &ShadowOptions,
        loaded: &Loaded,
        directory: &Path,
    ) -> Result<Daemon, ShadowError> {
        let conf = directory.join("carbon.conf");
        fs::write(&conf, carbon_conf(loaded, directory)).map_err(ShadowError::path(&conf))?;
        let log = directory.join("log");
        let file = File::create(&log).map_err(ShadowError::path(&log))?;
        let since = file.metadata().and_then(|found| found.modified());
        let since = since.map_err(ShadowError::path(&log))?;
        let program = std::env::current_exe().map_err(ShadowError::System)?;
        let process = Command::new(&program)
            .args(["cache", "--udp", "off", "--query", "off"])
            .args(["--line", &address(&options.line)])
            .args(["--pickle", &address(&options.pickle)])
            // In the place of all directories that sections of storage-schemas.conf name.
            .arg("--data-dir")
            .arg(directory.join("whisper"))
            .arg("--config")
            .arg(&conf)
            .args(["--ends-with", &std::process::id().to_string()])
            .process_group(0)
            // What its log says is read here, and a service manager is told of nobody else.
            .env_remove("BENZENE_LOG")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(ShadowError::path(&program))?;
        let mut daemon = Daemon {
            process,
            log,
            data_dir: directory.join("whisper"),
            since,
            used: Used::default(),
        };
        while !daemon.said()?.contains(READY) {
            if daemon.has_ended()? {
                return Err(daemon.last_words());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(daemon)
    }

    /// Its receivers, as its log names them.
    pub(super) fn listens(&self) -> String {
        let said = self.said().unwrap_or_default();
        let receivers = said
            .lines()
            .filter(|line| line.contains(" listens on "))
            .filter_map(|line| Some(line.split_once("INFO ")?.1.trim()));
        receivers.collect::<Vec<_>>().join(", ")
    }

    /// Waits until it ends by itself.
    pub(super) async fn ended(&mut self) -> ShadowError {
        loop {
            match self.has_ended() {
                Ok(false) => tokio::time::sleep(LOOK).await,
                Ok(true) => return self.last_words(),
                Err(error) => return error,
            }
        }
    }

    /// Has it write everything out and waits for its end; what it counted, and what it has used.
    pub(super) async fn stop(&mut self) -> Result<(Totals, Used), ShadowError> {
        let process = i32::try_from(self.process.id()).unwrap_or(0);
        host::terminate(process).map_err(ShadowError::System)?;
        while !self.has_ended()? {
            tokio::time::sleep(LOOK).await;
        }
        let said = self.said()?;
        let totals = totals(&said).ok_or_else(|| self.last_words())?;
        Ok((totals, self.used))
    }

    /// Whether it has ended; while it has not, what it uses is looked at.
    fn has_ended(&mut self) -> Result<bool, ShadowError> {
        if self
            .process
            .try_wait()
            .map_err(ShadowError::System)?
            .is_some()
        {
            return Ok(true);
        }
        // Between the two calls it may have ended: then the last look counts.
        if let Ok(used) = host::used_by(self.process.id())
            && used.resident_bytes > 0
        {
            self.used = Used {
                cpu_s: used.cpu_s,
                resident_bytes: used.resident_bytes.max(self.used.resident_bytes),
            };
        }
        Ok(false)
    }

    fn said(&self) -> Result<String, ShadowError> {
        fs::read_to_string(&self.log).map_err(ShadowError::path(&self.log))
    }

    fn last_words(&self) -> ShadowError {
        let said = self.said().unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        ShadowError::Ended {
            said: lines[lines.len().saturating_sub(SAID_LINES)..].join("\n"),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended where this fails.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The carbon.conf of the shadow.
fn carbon_conf(loaded: &Loaded, directory: &Path) -> String {
    // A percent sign in a value begins an interpolation, as in Python's configuration files.
    let path = |path: &Path| path.display().to_string().replace('%', "%%");
    let mut text = String::from("[cache]\n");
    let mut put = |name: &str, value: &str| {
        // A value that goes on in the next line does so indented.
        let value = value.replace('\n', "\n  ");
        let written = writeln!(text, "{name} = {value}");
        assert!(written.is_ok(), "a string takes what is written to it");
    };
    for (name, value) in &loaded.written {
        if KEPT.contains(name) {
            put(name, &value.replace('%', "%%"));
        }
    }
    put("CONF_DIR", &path(&loaded.settings.conf_dir));
    put("STORAGE_DIR", &path(directory));
    for (name, value) in OWN {
        put(name, value);
    }
    text
}

/// An address as a flag says it; where it names no host, one that only this machine reaches.
fn address(listen: &Listen) -> String {
    match listen {
        Listen::Off => "off".to_owned(),
        Listen::At { host: None, port } => format!("127.0.0.1:{port}"),
        Listen::At {
            host: Some(host),
            port,
        } if host.contains(':') => format!("[{host}]:{port}"),
        Listen::At {
            host: Some(host),
            port,
        } => format!("{host}:{port}"),
    }
}

/// What a daemon counted, from what it says at its end.
fn totals(said: &str) -> Option<Totals> {
    let counted = said
        .lines()
        .rev()
        .find_map(|line| Some(line.split_once("counted: ")?.1))?;
    let counts = counted.split(", ").filter_map(|part| {
        let (label, count) = part.split_once(' ')?;
        Some((label, count.parse::<u64>().ok()?))
    });
    let mut totals = Totals::default();
    for (label, count) in counts {
        match label {
            "received" => totals.received = count,
            "committed" => totals.committed = count,
            "updates" => totals.updates = count,
            "creates" => totals.creates = count,
            "superseded" => totals.superseded = count,
            "dropped.tooOld" => totals.too_old = count,
            _ if label.starts_with("refused.") => totals.refused += count,
            _ => {}
        }
    }
    let Totals {
        received,
        committed,
        superseded,
        too_old,
        ..
    } = totals;
    // What the accounts have beside these is dropped, or cached and in no file.
    totals.lost = received.saturating_sub(committed + superseded + too_old);
    Some(totals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::find;

    #[test]
    fn what_is_kept_is_there_to_be_kept() {
        for name in KEPT {
            assert!(find(name).is_some(), "{name}");
        }
        assert!(KEPT.is_sorted());
        for (name, value) in OWN {
            assert!(find(name).unwrap().read(value).is_ok(), "{name}");
            let is_kept = |kept: &&str| kept.starts_with(name);
            assert!(!KEPT.iter().any(is_kept), "{name} is said twice");
        }
    }

    #[test]
    fn addresses_are_read_back_as_they_were() {
        for (text, written) in [
            ("off", "off"),
            ("2103", "127.0.0.1:2103"),
            ("relay.example:0", "relay.example:0"),
            ("[::1]:2103", "[::1]:2103"),
        ] {
            assert_eq!(address(&text.parse().unwrap()), written);
        }
    }

    #[test]
    fn totals_are_those_of_the_last_line_that_counts() {
        let said = "INFO counted: received 1\nINFO counted: received 30, committed 21, superseded 2, \
                    dropped.cacheFull 3, dropped.tooOld 1, updates 3, refused.name 4, refused.nan 5\n\
                    INFO stopped";
        let found = totals(said).unwrap();
        assert_eq!((found.received, found.committed), (30, 21));
        assert_eq!((found.updates, found.creates), (3, 0));
        assert_eq!((found.too_old, found.refused), (1, 9));
        // Three were dropped, and three more are in no file.
        assert_eq!(found.lost, 6);
        assert_eq!(totals("ready"), None);
    }
}
