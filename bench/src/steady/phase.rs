//! A phase of a steady load, seen through the daemon's own reports: what it did a second between the
//! first and the last of them, and what it stood at. Processor time and memory are read from `/proc` when
//! a report is first seen, some tenths of a second after it was made.

use std::collections::BTreeMap;
use std::fmt;

use crate::figures::{Figures, Row, per, row};
use crate::latency::Seen;
use crate::process::Usage;

/// What is asked of a report (docs/operating/metrics.md).
pub(super) const LABELS: [&str; 9] = [
    "received",
    "own",
    "committed",
    "updates",
    "creates",
    "cached",
    "oldestUnwrittenSeconds",
    "journal.bytes",
    "journal.diskBytes",
];

/// All figures, in the order of the report.
pub(super) static ROWS: [Row; 18] = [
    row("seconds", 0),
    row("points/s", 0),
    row("updates/s", 0),
    row("  points an update", 1),
    row("files made", 0),
    row("CPU, us/point", 1),
    row("resident at the end, MiB", 0),
    row("  most resident, MiB", 0),
    row("cached points at the end", 0),
    row("  most cached points", 0),
    row("oldest point at the end, s", 0),
    row("  oldest of all, s", 0),
    row("journal on disk, least, MiB", 0),
    row("  most on disk, MiB", 0),
    row("journal written, bytes/point", 1),
    row("queries", 0),
    row("  p99, us", 0),
    row("  worst, us", 0),
];

/// A report, and what the process had used.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// Unix second of the report.
    pub(super) second: u32,
    pub(super) report: BTreeMap<&'static str, u64>,
    pub(super) usage: Usage,
}

impl Mark {
    /// That of a process which has just been started in this second, and has done nothing.
    pub(super) fn of_start(second: u32) -> Self {
        Self {
            second,
            report: LABELS.iter().map(|label| (*label, 0)).collect(),
            usage: Usage::default(),
        }
    }

    fn of(&self, label: &str) -> u64 {
        let Some(number) = self.report.get(label) else {
            unreachable!("{label} is not asked for")
        };
        *number
    }
}

/// What was done from one report to another.
#[derive(Clone, Copy)]
struct Between<'a> {
    first: &'a Mark,
    last: &'a Mark,
}

impl Between<'_> {
    fn seconds(self) -> u64 {
        u64::from(self.last.second - self.first.second)
    }

    fn count(self, label: &str) -> u64 {
        self.last.of(label).saturating_sub(self.first.of(label))
    }

    fn per_second(self, label: &str) -> u128 {
        per(self.count(label).into(), self.seconds())
    }
}

/// The reports of a phase so far.
#[derive(Debug, Default)]
pub(super) struct Marks(Vec<Mark>);

impl Marks {
    pub(super) fn push(&mut self, mark: Mark) {
        assert!(self.last_second() < mark.second, "reports go back");
        self.0.push(mark);
    }

    /// That of the last report; 0 before the first.
    pub(super) fn last_second(&self) -> u32 {
        self.0.last().map_or(0, |mark| mark.second)
    }

    /// Whether there are two reports, so that something lies between them.
    pub(super) fn are_enough(&self) -> bool {
        self.0.len() > 1
    }

    /// The last report, with what was done since the first one that is at most so many seconds older.
    pub(super) fn tell(&self, seconds: u32) -> Option<Told<'_>> {
        let last = self.0.last()?;
        let first = self
            .0
            .iter()
            .find(|mark| mark.second + seconds >= last.second)?;
        Some(Told(Between { first, last }))
    }

    /// All figures of the phase, which has two reports at least.
    pub(super) fn figures(&self, seen: &Seen) -> Figures {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else {
            unreachable!("a phase ends with two reports")
        };
        let all = Between { first, last };
        let spent = last.usage.spent - first.usage.spent;
        let mut figures = Figures::new(&ROWS);
        figures.set("seconds", per(all.seconds().into(), 1));
        figures.set("points/s", all.per_second("received"));
        figures.set("updates/s", all.per_second("updates"));
        if all.count("updates") > 0 {
            let points = per(all.count("committed").into(), all.count("updates"));
            figures.set("points an update", points);
        }
        figures.set("files made", per(all.count("creates").into(), 1));
        // Nanoseconds are thousandths of the unit.
        let points = all.count("received").max(1);
        let cost = spent.sum().as_nanos() / u128::from(points);
        figures.set("CPU, us/point", cost);
        let appended = all.count("received") + all.count("own");
        let written = per(all.count("journal.bytes").into(), appended);
        figures.set("journal written, bytes/point", written);
        let resident = |mark: &Mark| mark.usage.resident;
        let disk = |mark: &Mark| mark.of("journal.diskBytes");
        for (name, bytes) in [
            ("resident at the end, MiB", resident(last)),
            ("most resident, MiB", self.most(resident)),
            (
                "journal on disk, least, MiB",
                self.0.iter().map(disk).min().unwrap_or(0),
            ),
            ("most on disk, MiB", self.most(disk)),
        ] {
            figures.set(name, per(bytes.into(), 1 << 20));
        }
        for (name, most, label) in [
            ("cached points at the end", "most cached points", "cached"),
            (
                "oldest point at the end, s",
                "oldest of all, s",
                "oldestUnwrittenSeconds",
            ),
        ] {
            figures.set(name, per(last.of(label).into(), 1));
            figures.set(most, per(self.most(|mark| mark.of(label)).into(), 1));
        }
        figures.set("queries", per(seen.asked.len().into(), 1));
        for (name, quantile) in [("p99, us", 0.99), ("worst, us", 1.0)] {
            figures.set(name, seen.asked.value_at_quantile(quantile).into());
        }
        figures
    }

    fn most(&self, of: impl Fn(&Mark) -> u64) -> u64 {
        self.0.iter().map(of).max().unwrap_or(0)
    }
}

/// A line of how things stand.
pub(super) struct Told<'a>(Between<'a>);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(between) = self;
        let last = between.last;
        let per_second = |label| between.per_second(label) / 1000;
        write!(
            f,
            "{} points/s, {} updates/s, {} files made; {} cached, the oldest {} s; resident {} MiB, journal {} \
             MiB",
            per_second("received"),
            per_second("updates"),
            last.of("creates"),
            last.of("cached"),
            last.of("oldestUnwrittenSeconds"),
            last.usage.resident >> 20,
            last.of("journal.diskBytes") >> 20
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hdrhistogram::Histogram;

    use super::*;
    use crate::cpu::Spent;
    use crate::figures::{Column, table};

    fn mark(second: u32, counts: u64, cached: u64) -> Mark {
        let report = LABELS.iter().map(|label| match *label {
            "cached" => ("cached", cached),
            "updates" => ("updates", counts / 10),
            "journal.bytes" => ("journal.bytes", counts * 12),
            label => (label, counts),
        });
        Mark {
            second,
            report: report.collect(),
            usage: Usage {
                spent: Spent {
                    user: Duration::from_micros(counts * 5),
                    system: Duration::from_micros(counts),
                },
                resident: cached << 20,
                peak: 0,
            },
        }
    }

    #[test]
    fn figures_are_of_what_lies_between_the_first_report_and_the_last() {
        let mut marks = Marks::default();
        marks.push(mark(100, 1000, 7));
        assert!(!marks.are_enough());
        marks.push(mark(105, 2000, 90));
        marks.push(mark(110, 6000, 30));
        assert!(marks.are_enough());
        assert_eq!(marks.last_second(), 110);
        let asked = Histogram::new(3).unwrap();
        let seen = Seen {
            due: asked.clone(),
            asked,
            slow: None,
        };
        let mut column = Column::new("phase");
        column.runs.push(marks.figures(&seen));
        let table = table(&ROWS, &[column], None);
        for (name, value) in [
            ("seconds", "10"),
            ("points/s", "500"),
            ("updates/s", "50"),
            ("points an update", "10.0"),
            ("CPU, us/point", "6.0"),
            ("resident at the end, MiB", "30"),
            ("most cached points", "90"),
            // Own metrics are points too.
            ("journal written, bytes/point", "6.0"),
        ] {
            let line = table
                .lines()
                .find_map(|line| line.trim().strip_prefix(name));
            assert_eq!(line.map(str::trim), Some(value), "{name}: {table}");
        }
        let mut fresh = Marks::default();
        fresh.push(Mark::of_start(98));
        fresh.push(mark(100, 1000, 7));
        assert!(
            fresh
                .tell(5)
                .unwrap()
                .to_string()
                .starts_with("500 points/s")
        );
        let told = marks.tell(5).unwrap().to_string();
        assert!(told.starts_with("800 points/s, 80 updates/s"), "{told}");
    }
}
