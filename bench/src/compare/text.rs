//! The report in words and tables; the page has the same ones, and plots.

use super::figures::{Carries, Comparison, DiskFigures, Single, Steady};
use crate::report::tables::Table;
use crate::report::{grouped, real, short, whole};
use crate::writepath::row::{Cache, Case, Work};

/// What the figures mean.
pub(super) const DEFINITIONS: &str = "\
The highest rate that a disk holds is the most updates a second (an update: one file, all its waiting \
points) at which a real daemon does not fall behind. Points come in evenly, one an update; syncs go on \
all the while, and somebody reads single pages of the same disk. What the daemon is behind is what its \
cache holds (as the time in which it came in) and what it has written that is not on the disk (as the \
time until a sync has brought it there, less one and a half times the usual time between two syncs: two \
seconds on a spinning disk, one on flash): a rate is held where the sum grows by less than a tenth of \
the time that passes, and counts for that much less. It is found by trying rates, to a tenth. Cold: a file's contents \
are in memory only from its update to the next sync, as with more files than memory; names and inodes \
stay. Warm: all files are in memory. Metrics that a disk carries are that rate times the time for which \
points are held on a disk of its class (MAX_POINT_AGE: 60 s on flash, 300 s on a spinning disk): each \
metric is written once in that time. Advised are four fifths. Processor time is \
the daemon's with its kernel workers; what reached the device is by its own counters, of everything on \
it, syncs and the reader included.";

/// Updates of one point a second, synced, of files that are in memory or are not.
pub(super) fn single_rate(single: &[Single], is_cold: bool) -> Option<f64> {
    let cache = if is_cold {
        Cache::Forgotten
    } else {
        Cache::Warm
    };
    let mut cases = single.iter();
    let one = cases.find(|single| {
        let case = single.case;
        case.work == Work::Update && case.points == 1 && case.cache == cache
    })?;
    Some(one.figures.per_second_flushed.median)
}

/// The whole report.
pub(super) fn text(comparison: &Comparison) -> String {
    let mut text = comparison.head.clone();
    for disk in &comparison.disks {
        let line = format!("{:<11} {}\n", disk.place.class, place(disk));
        text.push_str(&line);
    }
    text.push('\n');
    for disk in &comparison.disks {
        for sentence in words(disk) {
            let line = format!("{sentence}\n");
            text.push_str(&line);
        }
        text.push('\n');
    }
    for table in tables(comparison) {
        text.push_str(&table.text());
        text.push('\n');
    }
    text.push_str(&wrapped(&comparison.definitions));
    text
}

/// Which disk it is, and how it is treated.
pub(super) fn place(disk: &DiskFigures) -> String {
    let place = &disk.place;
    let model = place
        .model
        .as_ref()
        .map_or_else(String::new, |model| format!("model {model}, "));
    format!(
        "{model}{} on {}, {}; Benzene finds class {} ({}); {} files of {} bytes; {} updates in flight and \
         {} kernel workers a shard",
        place.filesystem,
        place.device,
        place.directory,
        place.class_found,
        place.class_reason,
        grouped(place.files.into()),
        grouped(place.file_bytes),
        place.updates_in_flight,
        place.kernel_workers
    )
}

/// Two digits and zeros, downwards.
fn rounded(figure: f64) -> u64 {
    let amount = whole(figure.floor());
    let unit = amount
        .checked_ilog10()
        .map_or(1, |digits| 10_u64.pow(digits.saturating_sub(1)));
    amount / unit * unit
}

/// A number of metrics, with no more digits than it deserves.
pub(super) fn metrics(figure: f64) -> String {
    grouped(rounded(figure))
}

/// What a person wants to know first.
pub(super) fn words(disk: &DiskFigures) -> Vec<String> {
    let place = &disk.place;
    let (Some(rate), Some(advised), Some(ten)) = (
        disk.cold.updates_per_s,
        disk.cold.advised(),
        disk.cold.carries.first(),
    ) else {
        return vec![format!(
            "The {} held none of the rates that were tried.",
            place.class
        )];
    };
    let mut words = vec![
        format!(
            "The {} holds {} updates a second of files that are not in memory.",
            place.class,
            short(rate)
        ),
        format!(
            "It carries {} metrics with a point every {} s, points held for up to {} s, {} an update; at \
             most {}.",
            metrics(ten.metrics_advised),
            ten.step_s,
            place.hold_s,
            ten.points_per_update,
            metrics(ten.metrics_at_most)
        ),
        format!(
            "MAX_UPDATES_PER_SECOND_{} = {} leaves a fifth to readers.",
            place.class.to_uppercase(),
            rounded(advised)
        ),
    ];
    if let (Some(warm), Some(ten)) = (disk.warm.updates_per_s, disk.warm.carries.first()) {
        let gigabytes = ten.metrics_advised * real(place.file_bytes) / 1e9;
        words.push(format!(
            "Where all files are in memory it holds {} updates a second: {} such metrics, whose files \
             take {} GB.",
            short(warm),
            metrics(ten.metrics_advised),
            short(gigabytes)
        ));
    }
    if let Some(shipped) = &disk.as_shipped {
        let steady = &shipped.steady;
        words.push(format!(
            "Tried with the default order, times {} times shorter: {} metrics, a point every {} s, held \
             for {} s: {} updates a second of {} points, {} late; a reader waits {} ms (99th percentile).",
            short(shipped.scale),
            grouped(steady.metrics.into()),
            short(shipped.step_s),
            shipped.hold_s,
            short(steady.updates_per_s),
            short(steady.points_per_update),
            whole(steady.late_updates),
            steady
                .reader_wait_ms
                .map_or_else(|| String::from("-"), |wait| short(wait.p99))
        ));
    }
    words
}

/// All tables.
pub(super) fn tables(comparison: &Comparison) -> Vec<Table> {
    let mut tables = vec![carried(comparison), singles(comparison)];
    for disk in &comparison.disks {
        let class = &disk.place.class;
        for (state, sustained) in [("cold", &disk.cold), ("warm", &disk.warm)] {
            let title = format!("{class}: a daemon in its steady state, {state} files");
            tables.push(steadies(title, &sustained.rates));
        }
        let title = format!("{class}: the limiter, cold files");
        tables.push(steadies(title, &disk.limiter));
        if let Some(shipped) = &disk.as_shipped {
            let title = format!(
                "{class}: as shipped (order deadline), points held for {} s, cold files",
                shipped.hold_s
            );
            tables.push(steadies(title, std::slice::from_ref(&shipped.steady)));
        }
    }
    tables
}

fn header(comparison: &Comparison) -> Vec<String> {
    let classes = comparison.disks.iter().map(|disk| disk.place.class.clone());
    std::iter::once(String::new()).chain(classes).collect()
}

/// A row with a cell for each disk.
fn row(
    comparison: &Comparison,
    name: String,
    cell: impl Fn(&DiskFigures) -> Option<String>,
) -> Vec<String> {
    let cells = comparison.disks.iter();
    let cells = cells.map(|disk| cell(disk).unwrap_or_else(|| String::from("-")));
    std::iter::once(name).chain(cells).collect()
}

fn carried(comparison: &Comparison) -> Table {
    let mut rows = vec![
        row(
            comparison,
            "updates a second, cold files".to_owned(),
            |disk| disk.cold.updates_per_s.map(short),
        ),
        row(
            comparison,
            "updates a second, warm files".to_owned(),
            |disk| disk.warm.updates_per_s.map(short),
        ),
        row(
            comparison,
            "MAX_UPDATES_PER_SECOND advised (cold)".to_owned(),
            |disk| disk.cold.advised().map(|rate| rounded(rate).to_string()),
        ),
        row(comparison, "points held for, s".to_owned(), |disk| {
            Some(disk.place.hold_s.to_string())
        }),
    ];
    let of = |carries: &[Carries], step: usize, figure: fn(&Carries) -> f64| {
        let carries = carries.get(step)?;
        Some(metrics(figure(carries))).filter(|text| text != "0")
    };
    let steps = comparison.disks.first().map(|disk| &disk.cold.carries);
    for (place, carries) in steps.into_iter().flatten().enumerate() {
        let step = carries.step_s;
        rows.push(row(
            comparison,
            format!("metrics with a point every {step} s: advised, cold"),
            |disk| of(&disk.cold.carries, place, |it| it.metrics_advised),
        ));
        rows.push(row(comparison, "  at most, cold".to_owned(), |disk| {
            of(&disk.cold.carries, place, |it| it.metrics_at_most)
        }));
        rows.push(row(comparison, "  advised, warm".to_owned(), |disk| {
            of(&disk.warm.carries, place, |it| it.metrics_advised)
        }));
        rows.push(row(comparison, "  points an update".to_owned(), |disk| {
            let carries = disk.cold.carries.get(place)?;
            Some(carries.points_per_update.to_string())
        }));
    }
    Table {
        title: String::from("What each disk carries"),
        columns: header(comparison),
        rows,
    }
}

/// What was done, whatever the number of files.
pub(super) fn is_same_work(one: Case, other: Case) -> bool {
    let work = |case: Case| (case.work, case.cache, case.points);
    work(one) == work(other)
}

/// Without the number of files, which differs.
pub(super) fn work_name(case: Case) -> String {
    let title = case.title();
    let (_, name) = title.split_once(' ').unwrap_or(("", &title));
    name.to_owned()
}

fn singles(comparison: &Comparison) -> Table {
    let mut rows = Vec::new();
    let cases = comparison.disks.first().map(|disk| &disk.single);
    for first in cases.into_iter().flatten() {
        let of = |disk: &DiskFigures, figure: &dyn Fn(&Single) -> Option<f64>| {
            let mut all = disk.single.iter();
            let single = all.find(|single| is_same_work(single.case, first.case))?;
            figure(single).map(short)
        };
        let mut add = |name: String, figure: &dyn Fn(&Single) -> Option<f64>| {
            rows.push(row(comparison, name, |disk| of(disk, figure)));
        };
        add(work_name(first.case), &|it| {
            Some(it.figures.per_second_flushed.median)
        });
        add(String::from("  CPU, us each"), &|it| {
            Some(it.figures.cpu_us.median)
        });
        let points = f64::from(first.case.points);
        add(String::from("  requests to the device each"), &|it| {
            let device = it.figures.device_per_point?;
            Some((device.reads + device.writes) * points)
        });
        add(String::from("  bytes to and from it each"), &|it| {
            let device = it.figures.device_per_point?;
            Some((device.read_bytes + device.written_bytes) * points)
        });
        if comparison.disks.iter().any(|disk| {
            let heads = disk.single.iter().filter_map(|it| it.head_per_file);
            heads.count() > 0
        }) {
            add(String::from("  seeks each"), &|it| {
                it.head_per_file.map(|head| head.seeks)
            });
        }
    }
    Table {
        title: String::from("Files a second until they are on the disk, by the writer alone"),
        columns: header(comparison),
        rows,
    }
}

/// Stretches of a daemon, one a row.
fn steadies(title: String, all: &[Steady]) -> Table {
    let columns = [
        "points/s",
        "limit",
        "updates/s",
        "points an update",
        "cached",
        "sync lag s",
        "behind s/s",
        "held",
        "CPU us/update",
        "CPU us/point",
        "reads/update",
        "writes/update",
        "KB/update",
        "seeks/update",
        "reader p50 ms",
        "p99",
        "late",
    ];
    let optional = |figure: Option<f64>| figure.map_or_else(|| String::from("-"), short);
    let rows = all.iter().map(|steady| {
        let device = steady.device_per_update;
        let bytes = device.map(|device| (device.read_bytes + device.written_bytes) / 1e3);
        let wait = steady.reader_wait_ms;
        vec![
            short(steady.offered_points_per_s),
            steady
                .limit_updates_per_s
                .map_or_else(|| String::from("inf"), short),
            short(steady.updates_per_s),
            short(steady.points_per_update),
            short(steady.cached_points),
            short(steady.sync_lag_s),
            short(steady.behind_growth_s_per_s),
            String::from(match (steady.limit_updates_per_s, steady.is_held) {
                // A lap over all metrics is longer than the stretch: the cache rises and falls in it.
                (Some(_), _) => "-",
                (None, true) => "yes",
                (None, false) => "no",
            }),
            short(steady.cpu_us_per_update),
            short(steady.cpu_us_per_point),
            optional(device.map(|device| device.reads)),
            optional(device.map(|device| device.writes)),
            optional(bytes),
            optional(steady.head_per_update.map(|head| head.seeks)),
            optional(wait.map(|wait| wait.p50)),
            optional(wait.map(|wait| wait.p99)),
            whole(steady.late_updates).to_string(),
        ]
    });
    Table {
        title,
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// Lines of a hundred letters at most.
fn wrapped(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && line.len() + word.len() >= 100 {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line.clear();
        }
        line.push_str(word);
        line.push(' ');
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::figures::tests::comparison;

    #[test]
    fn what_a_disk_carries_stands_in_plain_words() {
        let text = text(&comparison());
        for wanted in [
            "The hdd holds 200 updates a second",
            "It carries 48,000 metrics with a point every 10 s",
            "MAX_UPDATES_PER_SECOND_HDD = 160",
            "The ssd holds 5000 updates",
            "hdd: the limiter",
            "less than a tenth",
        ] {
            assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
        }
        assert!(text.lines().all(|line| line.trim_end() == line));
    }

    #[test]
    fn a_disk_that_holds_nothing_says_so() {
        let mut comparison = comparison();
        comparison.disks[0].cold.updates_per_s = None;
        assert!(text(&comparison).contains("The hdd held none"));
    }

    #[test]
    fn two_digits_are_kept() {
        assert_eq!(rounded(0.4), 0);
        assert_eq!(rounded(9.9), 9);
        assert_eq!(rounded(4_999.0), 4_900);
        assert_eq!(rounded(54_321.0), 54_000);
    }
}
