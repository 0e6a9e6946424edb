//! The report as one HTML page that needs nothing else: no script, no network. Plots are SVG, made
//! here; colours follow the reader's choice of light or dark.
//! A case has a bar for each path in each plot; whiskers are the smallest and the largest repeat.

use super::row::{Figures, Row, Spread};
use super::table::{cases, short};

/// Height of a bar's line, in pixels.
const LINE: f64 = 22.0;
/// Where bars begin and end; names stand to their left, figures to their right.
const LEFT: f64 = 210.0;
const RIGHT: f64 = 560.0;
const WIDTH: f64 = 680.0;

const STYLE: &str = "\
:root { color-scheme: light dark; --bar: #4878a8; --ours: #c2571a; --faint: #8888; }
@media (prefers-color-scheme: dark) { :root { --bar: #7aa5d2; --ours: #f08c4a; } }
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em; }
pre { overflow-x: auto; font-size: 12px; }
figure { display: inline-block; margin: 0 1.5em 1em 0; vertical-align: top; }
figcaption { font-weight: 600; margin-bottom: 0.3em; }
svg { max-width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
.bar { fill: var(--bar); } .ours { fill: var(--ours); }
.whisker, .range { stroke: currentColor; stroke-width: 1.5; }
.range { stroke: var(--faint); stroke-width: 6; }
.axis { stroke: var(--faint); }
";

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
            section.push_str(&bars(title, &measured, figure));
        }
        section.push_str(&latencies(&measured));
        body.push_str(&section);
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Write paths</title>\n\
         <style>\n{STYLE}</style>\n<h1>Write paths</h1>\n<pre>{}</pre>\n{body}\
         <h2>All figures</h2>\n<pre>{}</pre>\n</html>\n",
        escape(head),
        escape(table)
    )
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

/// One bar a path, from 0.
fn bars(title: &str, measured: &[(&str, &Figures)], figure: Figure) -> String {
    let lines: Vec<(&str, Spread)> = measured
        .iter()
        .filter_map(|(name, figures)| Some((*name, figure(figures)?)))
        .collect();
    let most = lines
        .iter()
        .map(|(_, spread)| spread.max)
        .fold(0.0, f64::max);
    if lines.is_empty() || most <= 0.0 {
        return String::new();
    }
    let at = |value: f64| LEFT + (RIGHT - LEFT) * value / most;
    let mut plot = String::new();
    let mut top = 0.0;
    for (name, spread) in lines {
        let (middle, height) = (top + LINE / 2.0, LINE - 8.0);
        let class = class_of(name);
        let bar = format!(
            "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height}\"/>\
             <line class=\"whisker\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>\n",
            top + 4.0,
            at(spread.median) - LEFT,
            at(spread.min),
            at(spread.max),
        );
        plot.push_str(&bar);
        plot.push_str(&label(name, middle));
        plot.push_str(&amount(&short(spread.median), at(spread.max) + 6.0, middle));
        top += LINE;
    }
    framed(title, &plot, top)
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
    framed(title, &plot, top)
}

fn framed(title: &str, plot: &str, height: f64) -> String {
    format!(
        "<figure><figcaption>{}</figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <line class=\"axis\" x1=\"{LEFT}\" x2=\"{LEFT}\" y1=\"0\" y2=\"{height}\"/>\n{plot}</svg></figure>\n",
        escape(title)
    )
}

fn label(name: &str, middle: f64) -> String {
    let x = LEFT - 8.0;
    format!(
        "<text x=\"{x}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
        middle + 4.0,
        escape(name)
    )
}

fn amount(figure: &str, x: f64, middle: f64) -> String {
    format!(
        "<text x=\"{x:.1}\" y=\"{:.1}\">{figure}</text>\n",
        middle + 4.0
    )
}

/// Ours stand out.
fn class_of(name: &str) -> &'static str {
    if name.starts_with("ring") {
        "bar ours"
    } else {
        "bar"
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
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
        for foreign in ["http:", "https:", "<script", "url(", "@import", " src="] {
            assert!(!page.contains(foreign), "it fetches: {foreign}");
        }
        assert_eq!(page.matches("<svg").count(), 5);
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert_eq!(page.matches("class=\"bar ours\" x=").count(), 4);
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}
