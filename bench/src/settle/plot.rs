//! A run drawn: the rate and what was done of it, the cache's size, and what the reader waited, each
//! over the same time. One SVG without scripts or fonts of its own.

use std::fmt::Write as _;

use super::row::{Row, Rows, percentile_ms};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 70.0;
const PANEL: f64 = 130.0;
const GAP: f64 = 46.0;
const TOP: f64 = 26.0;

/// A line of a panel.
struct Line {
    name: &'static str,
    colour: &'static str,
    value: fn(&Row) -> Option<f64>,
}

/// A panel: its name, its lines.
type Panel = (&'static str, &'static [Line]);

const PANELS: [Panel; 3] = [
    (
        "updates a second",
        &[
            Line {
                name: "allowed",
                colour: "#c0392b",
                value: |row| row.rate,
            },
            Line {
                name: "done",
                colour: "#2c6fbb",
                value: |row| Some(row.did),
            },
        ],
    ),
    (
        "points in the cache",
        &[Line {
            name: "cached",
            colour: "#2c6fbb",
            value: |row| Some(row.cached),
        }],
    ),
    (
        "a read of the reader waits, ms",
        &[
            Line {
                name: "p99",
                colour: "#c0392b",
                value: |row| (!row.waits.is_empty()).then(|| percentile_ms(&row.waits, 99)),
            },
            Line {
                name: "p50",
                colour: "#2c6fbb",
                value: |row| (!row.waits.is_empty()).then(|| percentile_ms(&row.waits, 50)),
            },
        ],
    ),
];

/// The drawing.
pub(crate) fn svg(rows: &Rows) -> String {
    let end_s = rows.last().map_or(1.0, |row| row.at.as_secs_f64()).max(1.0);
    let height = TOP + 3.0 * (PANEL + GAP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let mut top = TOP;
    for panel in &PANELS {
        draw(&mut out, rows, panel, (top, end_s));
        top += PANEL + GAP;
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, rows: &Rows, (name, lines): &Panel, (top, end_s): (f64, f64)) {
    let values = lines
        .iter()
        .flat_map(|line| rows.iter().filter_map(line.value));
    let most = round_up(values.fold(0.0, f64::max));
    let (bottom, right) = (top + PANEL, WIDTH - 20.0);
    let x = |seconds: f64| LEFT + (right - LEFT) * seconds / end_s;
    let y = |value: f64| bottom - PANEL * value / most;
    for part in [0.0, 0.5, 1.0] {
        let (value, at) = (most * part, y(most * part));
        put(
            out,
            &format!(
                "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>\n",
                LEFT - 6.0,
                at + 4.0
            ),
        );
    }
    for step in 0..=6_u32 {
        let seconds = (end_s * f64::from(step) / 6.0).round();
        put(
            out,
            &format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{seconds} s</text>\n",
                x(seconds),
                bottom + 16.0
            ),
        );
    }
    let mut key = format!("<text x=\"{LEFT}\" y=\"{:.1}\">{name}:", top - 8.0);
    for line in *lines {
        let points: Vec<String> = rows
            .iter()
            .filter_map(|row| Some((row.at.as_secs_f64(), (line.value)(row)?)))
            .map(|(seconds, value)| format!("{:.1},{:.1}", x(seconds), y(value)))
            .collect();
        put(
            out,
            &format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\"/>\n",
                points.join(" "),
                line.colour
            ),
        );
        put(
            &mut key,
            &format!(" <tspan fill=\"{}\">{}</tspan>", line.colour, line.name),
        );
    }
    put(out, &format!("{key}</text>\n"));
}

/// The next of 1, 2, 5, 10, 20 and so on.
fn round_up(value: f64) -> f64 {
    let mut unit = 1.0;
    loop {
        for digit in [1.0, 2.0, 5.0] {
            if digit * unit >= value {
                return digit * unit;
            }
        }
        unit *= 10.0;
    }
}

fn put(out: &mut String, text: &str) {
    if out.write_str(text).is_err() {
        unreachable!("a String takes every text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_number() {
        for (value, end) in [
            (0.0, 1.0),
            (1.5, 2.0),
            (43.0, 50.0),
            (50.0, 50.0),
            (5001.0, 10_000.0),
        ] {
            assert!((round_up(value) - end).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn every_line_is_drawn() {
        let mut rows = Rows::default();
        for number in 1..4 {
            rows.push(Row {
                at: std::time::Duration::from_secs(number * 5),
                ..Row::default()
            });
        }
        let drawn = svg(&rows);
        assert_eq!(drawn.matches("<polyline").count(), 5, "{drawn}");
        assert!(drawn.ends_with("</svg>\n"));
    }
}
