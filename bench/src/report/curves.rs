//! Curves in a field with two axes, each linear or logarithmic, with ticks, grid and a legend.
//! A point that an axis cannot show (no number, or not above 0 on a logarithmic one) is left out.

use super::{escape, framed};

/// The field, in pixels; ticks of y and the label stand to its left, those of x below.
const LEFT: f64 = 74.0;
const TOP: f64 = 10.0;
const FIELD_WIDTH: f64 = 440.0;
const FIELD_HEIGHT: f64 = 250.0;
const WIDTH: f64 = LEFT + FIELD_WIDTH + 20.0;
/// Height of a line of the legend.
const LEGEND_LINE: f64 = 18.0;
/// Below the field: ticks and the label.
const BELOW: f64 = 44.0;
/// Ticks of a linear axis, about.
const TICKS: f64 = 5.0;
/// Decades over which a logarithmic axis has ticks at 2 and 5 too.
const FINE_DECADES: f64 = 2.5;

/// One axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis<'a> {
    /// With the unit.
    pub(crate) label: &'a str,
    pub(crate) is_logarithmic: bool,
}

/// One curve.
#[derive(Clone, Debug)]
pub(crate) struct Curve<'a> {
    /// For the legend; None: it has no line there.
    pub(crate) name: Option<String>,
    /// What it looks like: a class of the page's style that sets `--ink`.
    pub(crate) class: &'a str,
    pub(crate) is_dashed: bool,
    /// Whether each point has a mark.
    pub(crate) has_marks: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Style that a page with curves needs.
pub(crate) const STYLE: &str = "\
.curve { fill: none; stroke: var(--ink); stroke-width: 2; stroke-linejoin: round; }
.dashed { stroke-dasharray: 6 4; }
.mark { fill: var(--ink); stroke: var(--paper); stroke-width: 1; }
.grid { stroke: var(--faint); stroke-width: 0.5; }
";

/// How values lie along an axis.
#[derive(Clone, Copy, Debug)]
struct Scale {
    is_logarithmic: bool,
    least: f64,
    most: f64,
}

impl Scale {
    /// None where there is nothing to show.
    fn over(axis: Axis<'_>, values: impl Iterator<Item = f64>) -> Option<Self> {
        let is_logarithmic = axis.is_logarithmic;
        let shown = values.filter(|value| is_shown(is_logarithmic, *value));
        let (least, most) = shown.fold((f64::MAX, f64::MIN), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        if least > most {
            return None;
        }
        let (least, most) = if is_logarithmic {
            (least / 1.2, most * 1.2)
        } else {
            let most = most.max(0.0);
            (least.min(0.0), if most > 0.0 { most * 1.05 } else { 1.0 })
        };
        Some(Self {
            is_logarithmic,
            least,
            most,
        })
    }

    /// From 0 to 1.
    fn place(self, value: f64) -> f64 {
        if self.is_logarithmic {
            (value / self.least).log10() / (self.most / self.least).log10()
        } else {
            (value - self.least) / (self.most - self.least)
        }
    }

    fn ticks(self) -> Vec<f64> {
        let mut ticks = Vec::new();
        if self.is_logarithmic {
            let decades = (self.most / self.least).log10();
            let steps: &[f64] = if decades <= FINE_DECADES {
                &[1.0, 2.0, 5.0]
            } else {
                &[1.0]
            };
            let mut decade = 10_f64.powf(self.least.log10().floor());
            while decade <= self.most {
                ticks.extend(steps.iter().map(|step| step * decade));
                decade *= 10.0;
            }
        } else {
            let rough = (self.most - self.least) / TICKS;
            let decade = 10_f64.powf(rough.log10().floor());
            let step = [1.0, 2.0, 5.0, 10.0]
                .into_iter()
                .find(|step| step * decade >= rough)
                .unwrap_or(10.0)
                * decade;
            let mut tick = (self.least / step).ceil() * step;
            while tick <= self.most + step * 0.5 {
                ticks.push(tick);
                tick += step;
            }
        }
        let slack = (self.most - self.least) * 1e-9;
        ticks.retain(|tick| (self.least - slack..=self.most + slack).contains(tick));
        ticks
    }
}

fn is_shown(is_logarithmic: bool, value: f64) -> bool {
    value.is_finite() && (value > 0.0 || !is_logarithmic)
}

/// All curves in one field; nothing where there is nothing to show.
pub(crate) fn curves(title: &str, (x, y): (Axis<'_>, Axis<'_>), all: &[Curve<'_>]) -> String {
    let points = || all.iter().flat_map(|curve| curve.points.iter());
    let both = points()
        .filter(|(over, up)| is_shown(x.is_logarithmic, *over) && is_shown(y.is_logarithmic, *up));
    let scales = (
        Scale::over(x, both.clone().map(|(over, _)| *over)),
        Scale::over(y, both.map(|(_, up)| *up)),
    );
    let (Some(over), Some(up)) = scales else {
        return String::new();
    };
    let mut plot = axes((x, over), (y, up));
    for curve in all {
        plot.push_str(&line(curve, over, up));
    }
    let (legend, lines) = legend(all);
    plot.push_str(&legend);
    let height = TOP + FIELD_HEIGHT + BELOW + lines * LEGEND_LINE;
    framed(title, &plot, (WIDTH, height))
}

fn axes((x, over): (Axis<'_>, Scale), (y, up): (Axis<'_>, Scale)) -> String {
    let mut plot = String::new();
    let bottom = TOP + FIELD_HEIGHT;
    let right = LEFT + FIELD_WIDTH;
    for tick in over.ticks() {
        let at = LEFT + FIELD_WIDTH * over.place(tick);
        let line = format!(
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
            bottom + 16.0,
            tick_text(tick)
        );
        plot.push_str(&line);
    }
    for tick in up.ticks() {
        let at = bottom - FIELD_HEIGHT * up.place(tick);
        let line = format!(
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            LEFT - 6.0,
            at + 4.0,
            tick_text(tick)
        );
        plot.push_str(&line);
    }
    let line = format!(
        "<path class=\"axis\" fill=\"none\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
         <text transform=\"translate(14 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
        LEFT + FIELD_WIDTH / 2.0,
        bottom + 34.0,
        escape(x.label),
        TOP + FIELD_HEIGHT / 2.0,
        escape(y.label)
    );
    plot.push_str(&line);
    plot
}

fn line(curve: &Curve<'_>, over: Scale, up: Scale) -> String {
    let shown = curve
        .points
        .iter()
        .filter(|(x, y)| is_shown(over.is_logarithmic, *x) && is_shown(up.is_logarithmic, *y));
    let places: Vec<(f64, f64)> = shown
        .map(|(x, y)| {
            let x = LEFT + FIELD_WIDTH * over.place(*x);
            (x, TOP + FIELD_HEIGHT * (1.0 - up.place(*y)))
        })
        .collect();
    let all: Vec<String> = places
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let dashed = if curve.is_dashed { " dashed" } else { "" };
    let class = curve.class;
    let mut plot = format!(
        "<polyline class=\"curve {class}{dashed}\" points=\"{}\"/>\n",
        all.join(" ")
    );
    for (x, y) in places.iter().filter(|_| curve.has_marks) {
        let line =
            format!("<circle class=\"mark {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>\n");
        plot.push_str(&line);
    }
    plot
}

/// Below everything else, and how many lines it has.
fn legend(all: &[Curve<'_>]) -> (String, f64) {
    let (mut plot, mut lines) = (String::new(), 0.0);
    for curve in all {
        let Some(name) = &curve.name else { continue };
        let middle = TOP + FIELD_HEIGHT + BELOW + lines * LEGEND_LINE + 4.0;
        let dashed = if curve.is_dashed { " dashed" } else { "" };
        let line = format!(
            "<line class=\"curve {}{dashed}\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{middle}\" y2=\"{middle}\"/>\
             <text x=\"{}\" y=\"{}\">{}</text>\n",
            curve.class,
            LEFT + 26.0,
            LEFT + 34.0,
            middle + 4.0,
            escape(name)
        );
        plot.push_str(&line);
        lines += 1.0;
    }
    (plot, lines)
}

/// Few digits: 0.5, 20, 5k, 2M.
fn tick_text(tick: f64) -> String {
    let (amount, unit) = match tick.abs() {
        size if size >= 1e6 => (tick / 1e6, "M"),
        size if size >= 1e3 => (tick / 1e3, "k"),
        _ => (tick, ""),
    };
    let text = format!("{amount:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    // What is all but 0 may lie below it.
    let text = if text == "-0" { "0" } else { text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINEAR: Axis<'_> = Axis {
        label: "points, s",
        is_logarithmic: false,
    };
    const LOGARITHMIC: Axis<'_> = Axis {
        label: "updates/s & more",
        is_logarithmic: true,
    };

    fn curve(points: &[(f64, f64)]) -> Curve<'static> {
        Curve {
            name: Some(String::from("a <name>")),
            class: "hdd",
            is_dashed: false,
            has_marks: true,
            points: points.to_vec(),
        }
    }

    #[test]
    fn every_point_that_can_be_shown_is() {
        let points = [(1.0, 2.0), (10.0, 0.0), (100.0, f64::NAN), (1000.0, 20.0)];
        let plot = curves("t", (LOGARITHMIC, LOGARITHMIC), &[curve(&points)]);
        assert_eq!(plot.matches("<circle").count(), 2, "{plot}");
        let plot = curves("t", (LOGARITHMIC, LINEAR), &[curve(&points)]);
        assert_eq!(plot.matches("<circle").count(), 3, "{plot}");
        assert!(plot.contains("a &lt;name&gt;") && plot.contains("updates/s &amp; more"));
        assert!(!plot.contains("NaN"), "{plot}");
        assert_eq!(
            curves("t", (LINEAR, LOGARITHMIC), &[curve(&[(1.0, 0.0)])]),
            ""
        );
        assert_eq!(curves("t", (LINEAR, LINEAR), &[]), "");
    }

    #[test]
    fn all_of_it_lies_in_the_field() {
        let points = [(0.0, 5.0), (3.0, 5.0), (7.0, 9000.0)];
        let plot = curves("t", (LINEAR, LOGARITHMIC), &[curve(&points)]);
        for circle in plot.lines().filter(|line| line.starts_with("<circle")) {
            let number = |name: &str| -> f64 {
                let (_, rest) = circle.split_once(name).unwrap();
                rest.split('"').next().unwrap().parse().unwrap()
            };
            assert!((LEFT..=LEFT + FIELD_WIDTH).contains(&number("cx=\"")));
            assert!((TOP..=TOP + FIELD_HEIGHT).contains(&number("cy=\"")));
        }
    }

    #[test]
    fn ticks_are_round_numbers() {
        let scale = |is_logarithmic, least, most| Scale {
            is_logarithmic,
            least,
            most,
        };
        let texts =
            |scale: Scale| -> Vec<String> { scale.ticks().into_iter().map(tick_text).collect() };
        assert_eq!(texts(scale(false, 0.0, 1050.0)), ["0", "500", "1k"]);
        assert_eq!(texts(scale(true, 90.0, 600.0)), ["100", "200", "500"]);
        assert_eq!(texts(scale(false, -0.01, 0.09))[0], "0");
        let wide = texts(scale(true, 0.9, 2e6));
        assert_eq!(wide, ["1", "10", "100", "1k", "10k", "100k", "1M"]);
        assert_eq!(texts(scale(false, 0.0, 0.3)), ["0", "0.1", "0.2", "0.3"]);
    }
}
