//! Horizontal bars from 0: a name to the left, its figure to the right, a whisker from the smallest
//! to the largest where it was measured several times.

use super::{escape, framed};

/// Height of a bar's line, in pixels.
pub(crate) const LINE: f64 = 22.0;
/// Where bars begin and end; names stand to their left, figures to their right.
pub(crate) const LEFT: f64 = 210.0;
pub(crate) const RIGHT: f64 = 560.0;
const WIDTH: f64 = 680.0;

/// One bar.
#[derive(Clone, Debug)]
pub(crate) struct Bar<'a> {
    pub(crate) name: &'a str,
    /// What it looks like, in the page's style.
    pub(crate) class: &'a str,
    pub(crate) figure: f64,
    /// The figure as it is shown.
    pub(crate) text: String,
    /// Smallest and largest, where there were several.
    pub(crate) range: Option<(f64, f64)>,
}

/// One below the other; nothing where there is nothing to show.
pub(crate) fn bars(title: &str, lines: &[Bar<'_>]) -> String {
    let end = |bar: &Bar<'_>| bar.range.map_or(bar.figure, |(_, most)| most);
    let most = lines.iter().map(end).fold(0.0, f64::max);
    if !most.is_normal() {
        return String::new();
    }
    let at = |value: f64| LEFT + (RIGHT - LEFT) * value / most;
    let mut plot = String::new();
    let mut top = 0.0;
    for bar in lines {
        let (middle, height) = (top + LINE / 2.0, LINE - 8.0);
        let rect = format!(
            "<rect class=\"{}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height}\"/>\n",
            bar.class,
            top + 4.0,
            at(bar.figure) - LEFT,
        );
        plot.push_str(&rect);
        if let Some((least, most)) = bar.range {
            let whisker = format!(
                "<line class=\"whisker\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>\n",
                at(least),
                at(most),
            );
            plot.push_str(&whisker);
        }
        plot.push_str(&label(bar.name, middle));
        plot.push_str(&amount(&bar.text, at(end(bar)) + 6.0, middle));
        top += LINE;
    }
    lines_framed(title, &plot, top)
}

/// A plot whose lines have names to the left of an axis.
pub(crate) fn lines_framed(title: &str, plot: &str, height: f64) -> String {
    let axis = format!(
        "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{LEFT}\" y1=\"0\" y2=\"{height}\"/>\n{plot}"
    );
    framed(title, &axis, (WIDTH, height))
}

/// The name of a line.
pub(crate) fn label(name: &str, middle: f64) -> String {
    let x = LEFT - 8.0;
    format!(
        "<text x=\"{x}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
        middle + 4.0,
        escape(name)
    )
}

/// The figure of a line.
pub(crate) fn amount(figure: &str, x: f64, middle: f64) -> String {
    format!(
        "<text x=\"{x:.1}\" y=\"{:.1}\">{figure}</text>\n",
        middle + 4.0
    )
}
