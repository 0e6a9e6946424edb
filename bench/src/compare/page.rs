//! The report as one HTML page that needs nothing else (`report`): in plain words what each disk
//! carries, then plots with all disks side by side, then every figure.

use super::figures::{Comparison, DiskFigures, Single, Steady};
use super::text;
use crate::report::bars::{Bar, bars};
use crate::report::curves::{self, Axis, Curve, curves};
use crate::report::{self, escape, tables};
use crate::writepath::row::{Cache, Work};

const STYLE: &str = "\
.hdd { --ink: var(--ours); } .ssd { --ink: var(--bar); }
.cards { display: flex; flex-wrap: wrap; gap: 1em; }
.card { flex: 1 1 24em; border: 1px solid var(--faint); border-left: 6px solid var(--ink);
  border-radius: 6px; padding: 0.6em 1.2em; }
.card h2 { margin: 0; font-size: 1.1em; } .card p { margin: 0.5em 0; }
.card .large { font-size: 2.2em; font-weight: 700; color: var(--ink); line-height: 1.1; margin: 0.3em 0 0; }
.about { font-size: 13px; max-width: 60em; }
";

/// The whole page.
pub(super) fn page(comparison: &Comparison) -> String {
    let mut body = String::from("<div class=\"cards\">\n");
    for disk in &comparison.disks {
        body.push_str(&card(disk));
    }
    body.push_str("</div>\n");
    for (title, plots) in [
        ("What it carries", vec![carried(comparison)]),
        ("Points written together", together(comparison)),
        ("Up to the highest rate", steady(comparison)),
        ("The limiter", limiter(comparison)),
    ] {
        let line = format!("<h2>{title}</h2>\n{}", plots.concat());
        body.push_str(&line);
    }
    let line = format!(
        "<h2>What the figures mean</h2>\n<p class=\"about\">{}</p>\n<h2>All figures</h2>\n",
        escape(&comparison.definitions)
    );
    body.push_str(&line);
    for table in text::tables(comparison) {
        body.push_str(&table.html());
    }
    let mut head = comparison.head.clone();
    for disk in &comparison.disks {
        let line = format!("{:<11} {}\n", disk.place.class, text::place(disk));
        head.push_str(&line);
    }
    let line = format!(
        "<h2>On what it was measured</h2>\n<pre>{}</pre>\n",
        escape(&head)
    );
    body.push_str(&line);
    let style = [STYLE, curves::STYLE, tables::STYLE].concat();
    report::page("What these disks carry", &style, &body)
}

/// The first thing that is seen of a disk.
fn card(disk: &DiskFigures) -> String {
    let place = &disk.place;
    let what = match (&place.model, &*place.class) {
        (Some(model), _) => format!("Model disk {model}"),
        (None, "hdd") => String::from("Spinning disk"),
        (None, _) => String::from("Flash disk"),
    };
    let ten = disk.cold.carries.first();
    let large = ten.map_or_else(|| String::from("-"), |it| text::metrics(it.metrics_advised));
    let sentences: Vec<String> = text::words(disk)
        .iter()
        .map(|sentence| format!("<p>{}</p>\n", escape(sentence)))
        .collect();
    let sentences = sentences.concat();
    format!(
        "<section class=\"card {}\"><h2>{} ({}, {})</h2>\n<p class=\"large\">{large}</p>\n\
         <p>metrics with a point every 10 s, a fifth to spare</p>\n{sentences}</section>\n",
        place.class,
        escape(&what),
        escape(&place.filesystem),
        escape(&place.device)
    )
}

fn carried(comparison: &Comparison) -> String {
    let mut lines = Vec::new();
    for disk in &comparison.disks {
        for (state, sustained) in [("cold", &disk.cold), ("warm", &disk.warm)] {
            if let Some(carries) = sustained.carries.first() {
                let name = format!("{}, {state} files", disk.place.class);
                lines.push((name, class_of_bar(disk), carries.metrics_advised));
            }
        }
    }
    let lines: Vec<Bar<'_>> = lines
        .iter()
        .map(|(name, class, figure)| Bar {
            name,
            class,
            figure: *figure,
            text: text::metrics(*figure),
            range: None,
        })
        .collect();
    bars("Metrics with a point every 10 s, a fifth to spare", &lines)
}

fn class_of_bar(disk: &DiskFigures) -> &'static str {
    if disk.place.class == "hdd" {
        "bar ours"
    } else {
        "bar"
    }
}

const POINTS: Axis<'static> = Axis {
    label: "points an update",
    is_logarithmic: true,
};

fn logarithmic(label: &str) -> Axis<'_> {
    Axis {
        label,
        is_logarithmic: true,
    }
}

fn linear(label: &str) -> Axis<'_> {
    Axis {
        label,
        is_logarithmic: false,
    }
}

/// Updates of more and more points.
fn together(comparison: &Comparison) -> Vec<String> {
    type Figure = fn(&Single) -> Option<f64>;
    let plots: [(&str, &str, Figure); 3] = [
        (
            "Points a second until they are on the disk (more is better)",
            "points/s",
            |it| Some(it.figures.per_second_flushed.median * f64::from(it.case.points)),
        ),
        (
            "Processor time of a point (less is better)",
            "us of CPU",
            |it| Some(it.figures.cpu_us.median / f64::from(it.case.points)),
        ),
        (
            "Requests to the disk for a point (less is better)",
            "requests",
            |it| {
                let device = it.figures.device_per_point?;
                Some(device.reads + device.writes)
            },
        ),
    ];
    let states = [
        (Cache::Forgotten, "cold", false),
        (Cache::Warm, "warm", true),
    ];
    let plot = |(title, label, figure): (&str, &str, Figure)| {
        let mut all = Vec::new();
        for disk in &comparison.disks {
            for (cache, state, is_dashed) in states {
                let updates = disk.single.iter();
                let updates = updates
                    .filter(|it| it.case.work == Work::Update && it.case.cache == cache)
                    .filter_map(|it| Some((f64::from(it.case.points), figure(it)?)));
                all.push(Curve {
                    name: Some(format!("{}, {state} files", disk.place.class)),
                    class: &disk.place.class,
                    is_dashed,
                    has_marks: true,
                    points: updates.collect(),
                });
            }
        }
        curves(title, (POINTS, logarithmic(label)), &all)
    };
    plots.map(plot).into()
}

/// A curve for each disk over some of its stretches.
fn over(comparison: &Comparison, all: impl Fn(&DiskFigures) -> Vec<(f64, f64)>) -> Vec<Curve<'_>> {
    let curves = comparison.disks.iter().map(|disk| Curve {
        name: Some(disk.place.class.clone()),
        class: &disk.place.class,
        is_dashed: false,
        has_marks: true,
        points: all(disk),
    });
    curves.collect()
}

/// What the cache held at each rate, as the time in which it came in.
fn caches(comparison: &Comparison) -> Vec<Curve<'_>> {
    let mut all = Vec::new();
    for disk in &comparison.disks {
        let mut is_named = [false; 2];
        for rate in &disk.cold.rates {
            let word = if rate.is_held { "held" } else { "not held" };
            let named = &mut is_named[usize::from(rate.is_held)];
            let name = (!*named).then(|| format!("{}, a rate that is {word}", disk.place.class));
            *named = true;
            let points = rate.cached_points_over_time.iter();
            let behind = points.map(|(at, cached)| (*at, cached / rate.offered_points_per_s));
            all.push(Curve {
                name,
                class: &disk.place.class,
                is_dashed: !rate.is_held,
                has_marks: false,
                points: behind.collect(),
            });
        }
    }
    all
}

/// Rates around the highest that is held.
fn steady(comparison: &Comparison) -> Vec<String> {
    let share = |disk: &DiskFigures, steady: &Steady| {
        let found = disk.cold.updates_per_s?;
        Some(steady.offered_points_per_s / found * 100.0)
    };
    let written = over(comparison, |disk| {
        let rates = disk.cold.rates.iter();
        let rates = rates.map(|it| (it.offered_points_per_s, it.updates_per_s));
        rates.collect()
    });
    let behind = over(comparison, |disk| {
        let rates = disk.cold.rates.iter();
        let rates = rates.filter_map(|it| Some((share(disk, it)?, it.behind_growth_s_per_s)));
        rates.collect()
    });
    let waits = over(comparison, |disk| {
        let rates = disk.cold.rates.iter();
        let rates = rates.filter_map(|it| Some((share(disk, it)?, it.reader_wait_ms?.p99)));
        rates.collect()
    });
    let caches = caches(comparison);
    vec![
        curves(
            "What comes in and what is written, cold files",
            (
                logarithmic("updates/s that come in"),
                logarithmic("updates/s written"),
            ),
            &written,
        ),
        curves(
            "How fast the daemon falls behind, cold files: held below a tenth",
            (
                linear("rate, % of the highest that is held"),
                linear("seconds behind more, a second"),
            ),
            &behind,
        ),
        curves(
            "The cache at each rate, cold files",
            (
                linear("seconds"),
                linear("points in the cache / points a second"),
            ),
            &caches,
        ),
        curves(
            "What somebody waits who reads the same disk (less is better)",
            (
                linear("rate, % of the highest that is held"),
                logarithmic("ms, 99th percentile"),
            ),
            &waits,
        ),
    ]
}

/// The textbook trade: fewer updates, more points in each, and a cache that holds them.
fn limiter(comparison: &Comparison) -> Vec<String> {
    type Figure = fn(&Steady) -> Option<f64>;
    let plots: [(&str, &str, Figure); 4] = [
        (
            "Points an update: what comes in / the limit",
            "points an update",
            |it| Some(it.points_per_update),
        ),
        ("What the cache holds for it", "seconds of points", |it| {
            Some(it.cached_points / it.offered_points_per_s)
        }),
        (
            "Requests to the disk for a point (less is better)",
            "requests",
            |it| {
                let device = it.device_per_update?;
                Some((device.reads + device.writes) / it.points_per_update)
            },
        ),
        (
            "What somebody waits who reads the same disk (less is better)",
            "ms, 99th percentile",
            |it| Some(it.reader_wait_ms?.p99),
        ),
    ];
    let plot = |(title, label, figure): (&str, &str, Figure)| {
        let all = over(comparison, |disk| {
            let found = disk.cold.updates_per_s.unwrap_or(1.0);
            let stretches = disk.limiter.iter().filter_map(|it| {
                // Without a limit: at what it comes to.
                let rate = it.limit_updates_per_s.unwrap_or(it.updates_per_s);
                Some((rate / found * 100.0, figure(it)?))
            });
            stretches.collect()
        });
        let x = logarithmic("limit, % of the highest rate that is held; last: none");
        curves(title, (x, logarithmic(label)), &all)
    };
    plots.map(plot).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::figures::tests::comparison;
    use crate::report::tests::assert_whole;

    #[test]
    fn the_page_is_whole_and_has_both_disks_in_every_plot() {
        let page = page(&comparison());
        assert_whole(&page);
        assert!(page.contains("<p class=\"large\">48,000</p>"), "{page}");
        let plots: Vec<&str> = page.split("<svg").skip(1).collect();
        assert_eq!(plots.len(), 12);
        for plot in &plots[1..] {
            let (plot, _) = plot.split_once("</svg>").unwrap();
            for class in ["hdd", "ssd"] {
                let curve = format!("<polyline class=\"curve {class}");
                assert!(plot.contains(&curve), "no {class} in {plot}");
            }
        }
    }
}
