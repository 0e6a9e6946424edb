//! A steady load for tests of what goes wrong meanwhile: one point of each metric in every round, which
//! are a second apart by their times and a twentieth by the clock. It keeps account of all that it sent.
#![expect(clippy::disallowed_methods, reason = "a test waits and reads clocks")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, file_of, wait_for};
use crate::vitals::file_points;

/// Longest wait: what failed is tried again after a minute at most.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two rounds.
const ROUND: Duration = Duration::from_millis(50);

/// Groups of metrics that are sent a point each in every round.
pub(crate) struct Load {
    socket: TcpStream,
    /// Of each group.
    metrics: usize,
    /// Where files may be.
    files: Vec<PathBuf>,
    pub(crate) start: u32,
    /// The second that was sent last.
    pub(crate) time: u32,
    pub(crate) groups: BTreeSet<String>,
    /// When the points of each second were sent.
    pub(crate) sent_at: BTreeMap<u32, Instant>,
    /// All that was sent, by metric.
    pub(crate) sent: BTreeMap<String, BTreeMap<u32, f64>>,
}

impl Load {
    /// Of groups of so many metrics, whose points begin at a second.
    pub(crate) fn new(daemon: &Daemon, metrics: usize, start: u32, files: Vec<PathBuf>) -> Load {
        Load {
            socket: daemon.connect(),
            metrics,
            files,
            start,
            time: start,
            groups: BTreeSet::new(),
            sent_at: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }

    /// Begins to send points of a group's metrics, `GROUP.m0` and so on.
    pub(crate) fn add(&mut self, group: &str) {
        self.groups.insert(group.to_owned());
    }

    /// Sends no more of them for now.
    pub(crate) fn leave_out(&mut self, group: &str) {
        self.groups.remove(group);
    }

    /// One point of one metric.
    pub(crate) fn send_one(&mut self, metric: &str) {
        self.time += 1;
        let text = self.line(metric);
        self.socket.write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self, metric: &str) -> String {
        let value = self.time - self.start;
        let points = self.sent.entry(metric.to_owned()).or_default();
        points.insert(self.time, f64::from(value));
        format!("{metric} {value} {}\n", self.time)
    }

    /// A point of each metric.
    pub(crate) fn round(&mut self) {
        self.time += 1;
        self.sent_at.insert(self.time, Instant::now());
        let mut text = String::new();
        for group in self.groups.clone() {
            for metric in 0..self.metrics {
                let line = self.line(&format!("{group}.m{metric}"));
                text.write_str(&line).unwrap();
            }
        }
        self.socket.write_all(text.as_bytes()).unwrap();
        std::thread::sleep(ROUND);
    }

    /// Sends rounds until something holds.
    pub(crate) fn until(
        &mut self,
        what: &str,
        daemon: &Daemon,
        mut holds: impl FnMut(&Load) -> bool,
    ) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < PATIENCE, "not {what}: {}", daemon.log());
            self.round();
        }
    }

    /// Is all of a group in its files, of what was sent until a second?
    pub(crate) fn is_written(&self, group: &str, until: u32) -> bool {
        (0..self.metrics).all(|metric| {
            let metric = format!("{group}.m{metric}");
            let Some(sent) = self.sent.get(&metric) else {
                return false;
            };
            let mut places = self.files.iter().map(|data| file_of(data, &metric));
            let found = places
                .find_map(|file| file_points(&file))
                .unwrap_or_default();
            sent.range(..=until)
                .all(|(time, value)| found.get(time) == Some(value))
        })
    }

    /// Sends rounds until all that was sent before is in the files.
    pub(crate) fn until_all_written(&mut self, what: &str, daemon: &Daemon) {
        let sent = self.time;
        self.until(what, daemon, |load| {
            let mut groups = load.groups.iter();
            groups.all(|group| load.is_written(group, sent))
        });
    }

    /// Sends nothing more, and waits until all is in the files.
    pub(crate) fn rests(&self, daemon: &Daemon) {
        let groups = self.groups.iter();
        wait_for(|| {
            groups
                .clone()
                .all(|group| self.is_written(group, self.time))
                .then_some(())
        })
        .unwrap_or_else(|| panic!("not all is written: {}", daemon.log()));
    }

    /// How many points were sent.
    pub(crate) fn points(&self) -> u64 {
        let counts = self.sent.values().map(|points| points.len() as u64);
        counts.sum()
    }
}
