//! The report as one HTML page that needs nothing else (`report`).
//! A case has a bar for each path in each plot; whiskers are the smallest and the largest repeat.

use super::row::{Figures, Row, Spread};
use super::table::cases;
use crate::report::bars::{Bar, LEFT, LINE, RIGHT, amount, bars, label, lines_framed};
use crate::report::{self, escape, short};

/// The whole page: `head` says on what was measured, `table` is the report as text.
pub(crate) fn page(head: &str, table: &str, rows: &[Row]) -> String {
    let mut body = String::new();
    for case in cases(rows) {
        let measured: Vec<(&str, &Figures)> = rows
            .iter()
            .filter(|row| row.case == case)
            .filter_map(|row| Some((row.path.as_str(), row.figures.as_ref()?)))
            .collect();
        let mut section = format!("<h2>{}</h2>\n", escape(&case.title()));
        for (title, figure) in PLOTS {
            section.push_str(&figures_as_bars(title, &measured, figure));
        }
        section.push_str(&latencies(&measured));
        body.push_str(&section);
    }
    let body = format!(
        "<pre>{}</pre>\n{body}<h2>All figures</h2>\n<pre>{}</pre>\n",
        escape(head),
        escape(table)
    );
    report::page("Write paths", "", &body)
}

type Figure = fn(&Figures) -> Option<Spread>;

const PLOTS: [(&str, Figure); 4] = [
    ("Files a second (more is better)", |figures| {
        Some(figures.per_second)
    }),
    ("Processor time a file, us (less is better)", |figures| {
        Some(figures.cpu_us)
    }),
    (
        "Files a second until they are on the disk (more is better)",
        |figures| Some(figures.per_second_flushed),
    ),
    (
        "Requests to the device a point (less is better)",
        |figures| {
            let device = figures.device_per_point?;
            let all = device.writes + device.reads;
            Some(Spread {
                median: all,
                min: all,
                max: all,
            })
        },
    ),
];

/// One bar a path.
fn figures_as_bars(title: &str, measured: &[(&str, &Figures)], figure: Figure) -> String {
    let lines: Vec<Bar<'_>> = measured
        .iter()
        .filter_map(|(name, figures)| {
            let spread = figure(figures)?;
            Some(Bar {
                name,
                class: class_of(name),
                figure: spread.median,
                text: short(spread.median),
                range: Some((spread.min, spread.max)),
            })
        })
        .collect();
    bars(title, &lines)
}

/// A line a path from the median latency to the longest, with marks at p99 and p99.9; logarithmic.
fn latencies(measured: &[(&str, &Figures)]) -> String {
    let all = measured.iter().map(|(_, figures)| figures.latency_us);
    let least = all.clone().map(|us| us.p50).fold(f64::MAX, f64::min);
    let most = all.map(|us| us.max).fold(0.0, f64::max);
    if most <= 0.0 || least <= 0.0 {
        return String::new();
    }
    let span = (most / least).log10().max(0.1);
    let at = |value: f64| LEFT + (RIGHT - LEFT) * (value / least).log10() / span;
    let mut plot = String::new();
    let mut top = 0.0;
    for (name, figures) in measured {
        let (us, middle) = (figures.latency_us, top + LINE / 2.0);
        let range = format!(
            "<line class=\"range\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>\n",
            at(us.p50),
            at(us.max),
        );
        plot.push_str(&range);
        for (mark, radius) in [(us.p50, 6.0), (us.p99, 4.0), (us.p999, 2.5)] {
            let class = class_of(name);
            let mark = format!(
                "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"{radius}\"/>\n",
                at(mark),
            );
            plot.push_str(&mark);
        }
        plot.push_str(&label(name, middle));
        plot.push_str(&amount(&short(us.max), at(us.max) + 6.0, middle));
        top += LINE;
    }
    let title =
        "Latency of a file, us, logarithmic: p50, p99, p99.9 as ever smaller marks, to the longest";
    lines_framed(title, &plot, top)
}

/// Ours stand out.
fn class_of(name: &str) -> &'static str {
    if name.starts_with("ring") {
        "bar ours"
    } else {
        "bar"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::assert_whole;
    use crate::writepath::row::tests::{row, unmeasured};

    #[test]
    fn the_page_is_whole_and_fetches_nothing() {
        let rows = [row("ring", 1), row("pwrite", 1), unmeasured("glommio", 1)];
        let page = page("a <head>", "a & table", &rows);
        for wanted in [
            "a &lt;head&gt;",
            "a &amp; table",
            "prefers-color-scheme",
            "</html>",
        ] {
            assert!(page.contains(wanted), "no {wanted}");
        }
        assert_whole(&page);
        assert_eq!(page.matches("<svg").count(), 5);
        assert_eq!(page.matches("class=\"bar ours\" x=").count(), 4);
    }
}
