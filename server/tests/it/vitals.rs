//! What a running daemon is seen to be doing: its memory and CPU by /proc, its counters by its own
//! metrics, its accounts by the last line of its log, its files by our own reading of them.
#![expect(
    clippy::disallowed_methods,
    reason = "a test waits, and opens the files it looks at"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use benzene_engine::whisper::{Header, archive_points};

use crate::daemon::{Daemon, PATIENCE, Querier};
use crate::stop::number_before;

/// True where the full counts are wanted and not those of the gate.
pub(crate) fn is_long() -> bool {
    std::env::var_os("BENZENE_LONG").is_some()
}

/// A number of /proc/PID/status, in bytes: `VmRSS` what is resident, `VmHWM` its peak.
pub(crate) fn memory_bytes(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field));
    let line = line.unwrap_or_else(|| panic!("no {field} in {status}"));
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

/// User and system time of a process or thread, in ticks of 10 ms, and its name.
fn ticks(stat: &Path) -> Option<(String, u64)> {
    let stat = std::fs::read_to_string(stat).ok()?;
    let (before, after) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let sum = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
    Some((before.split_once('(')?.1.to_owned(), sum))
}

/// CPU of a process, kernel workers of its rings included.
pub(crate) fn cpu(pid: u32) -> Duration {
    let (_, ticks) = ticks(Path::new(&format!("/proc/{pid}/stat"))).unwrap();
    Duration::from_millis(ticks * 10)
}

/// Ticks of CPU by thread name.
pub(crate) fn thread_ticks(pid: u32) -> BTreeMap<String, u64> {
    let mut by_name = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        // A kernel worker may end between the listing and the look.
        if let Some((name, ticks)) = ticks(&task.unwrap().path().join("stat")) {
            *by_name.entry(name).or_default() += ticks;
        }
    }
    by_name
}

/// Each of the shards has done at least a fifth of what all of them did.
pub(crate) fn assert_shards_busy(pid: u32, shards: usize) {
    let ticks = thread_ticks(pid);
    let of = |shard| {
        let name = format!("benzene-{shard}");
        *ticks
            .get(&name)
            .unwrap_or_else(|| panic!("no {name} in {ticks:?}"))
    };
    let all: u64 = (0..shards).map(of).sum();
    for shard in 0..shards {
        assert!(
            of(shard) * 5 >= all,
            "shard {shard} idles beside the others: {ticks:?}"
        );
    }
}

/// The newest value of each of the daemon's own metrics, by name behind the prefix.
/// They need CARBON_METRIC_INTERVAL = 1, so that one is always answerable.
pub(crate) struct Own {
    querier: Querier,
    prefix: String,
}

impl Own {
    pub(crate) fn of(daemon: &Daemon) -> Own {
        let host = benzene_engine::ring::host::hostname().replace('.', "_");
        Own {
            querier: Querier::connect(daemon.query),
            prefix: format!("carbon.agents.{host}-a."),
        }
    }

    /// The newest second at which all these metrics have a value, and those values. `None` before
    /// the first.
    pub(crate) fn values(&mut self, names: &[&str]) -> Option<Vec<u64>> {
        let found = names
            .iter()
            .map(|name| self.querier.points(&format!("{}{name}", self.prefix)));
        let found: Vec<BTreeMap<u32, f64>> =
            found.map(|points| points.into_iter().collect()).collect();
        let newest = found[0]
            .keys()
            .rev()
            .find(|time| found.iter().all(|points| points.contains_key(time)))?;
        Some(found.iter().map(|points| count(points[newest])).collect())
    }

    /// The newest value of one of them, nought before the first.
    pub(crate) fn value(&mut self, name: &str) -> u64 {
        self.values(&[name]).map_or(0, |values| values[0])
    }

    /// Waits until a condition on some of them holds. Gives up once they have not changed for
    /// `PATIENCE`.
    pub(crate) fn wait_until(
        &mut self,
        names: &[&str],
        holds: impl Fn(&[u64]) -> bool,
    ) -> Vec<u64> {
        let mut last = None;
        let mut changed = Instant::now();
        while changed.elapsed() < PATIENCE {
            let values = self.values(names);
            if let Some(values) = values.as_ref().filter(|values| holds(values)) {
                return values.clone();
            }
            if values.is_some() && values != last {
                last = values;
                changed = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{names:?} stay at {last:?}");
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counters are whole"
)]
fn count(value: f64) -> u64 {
    assert!(
        value >= 0.0 && value.fract() == 0.0,
        "{value} is no counter"
    );
    value as u64
}

/// The daemon's last words on its points.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accounts {
    pub(crate) received: u64,
    pub(crate) own: u64,
    pub(crate) replayed: u64,
    pub(crate) committed: u64,
    pub(crate) cached: u64,
    pub(crate) superseded: u64,
    pub(crate) dropped: u64,
}

/// Reads the accounts of a daemon that has stopped; they must balance.
pub(crate) fn accounts(log: &str) -> Accounts {
    let number = |word| number_before(log, word);
    let accounts = Accounts {
        received: number(" received"),
        own: number(" own + "),
        replayed: number(" replayed = "),
        committed: number(" committed"),
        cached: number(" cached + "),
        superseded: number(" superseded"),
        dropped: number(" dropped"),
    };
    assert_eq!(
        accounts.received + accounts.own + accounts.replayed,
        accounts.committed + accounts.cached + accounts.superseded + accounts.dropped,
        "{log}"
    );
    accounts
}

/// The points of a file's first archive by time; `None` where there is no file. A file that is
/// there must be whole: its header and its full length.
pub(crate) fn file_points(file: &Path) -> Option<BTreeMap<u32, f64>> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{}: {error}", file.display()),
    };
    let header = Header::parse(&bytes).unwrap_or_else(|error| {
        panic!("{}: {error}", file.display());
    });
    assert_eq!(
        bytes.len() as u64,
        header.file_bytes(),
        "{}",
        file.display()
    );
    Some(first_archive(&header, &bytes))
}

/// The same of a file that Python carbon makes, under its name from the start: `None` until it is whole.
pub(crate) fn points_once_whole(file: &Path) -> Option<BTreeMap<u32, f64>> {
    let bytes = std::fs::read(file).ok()?;
    let header = Header::parse(&bytes).ok()?;
    (bytes.len() as u64 == header.file_bytes()).then(|| first_archive(&header, &bytes))
}

fn first_archive(header: &Header, bytes: &[u8]) -> BTreeMap<u32, f64> {
    let archive = &header.archives[0];
    let body = &bytes[usize::try_from(archive.offset).unwrap()..];
    let points = archive_points(archive, body).into_iter();
    points.map(|point| (point.timestamp, point.value)).collect()
}
