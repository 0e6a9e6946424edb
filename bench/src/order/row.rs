//! What is said of one drain, and the table of all.

use std::time::Duration;

use crate::disk::{Counters, Sweep};
use crate::report::real;

/// One drain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) way: &'static str,
    /// Points an update.
    pub(super) points: u32,
    /// Until all was synced.
    pub(super) took: Duration,
    /// By the disk.
    pub(super) counted: Counters,
    /// What the same blocks take at least.
    pub(super) sweep: Sweep,
}

/// The rows, two by two: in disk order, and one by one.
pub(super) fn table(rows: &[Row], files: u32) -> String {
    let mut text = format!(
        "\n{files} files; requests and seeks are those of the disk, for each file; strokes: the head's way \
         in full strokes\nsweep: every block that was touched once, in one sweep of reads and one of \
         writes\n\npoints  way             seconds  files/s  reads  writes  seeks  strokes     sweep, s  \
         of one by one\n"
    );
    for pair in rows.chunks(2) {
        let slow = pair.last().map_or(0.0, |row| row.took.as_secs_f64());
        for row in pair {
            line(&mut text, row, (f64::from(files), slow));
        }
    }
    text
}

fn line(text: &mut String, row: &Row, (files, slow): (f64, f64)) {
    let seconds = row.took.as_secs_f64();
    let each = |count: u64| real(count) / files;
    let counted = &row.counted;
    let line = format!(
        "{:>6}  {:<14}  {:>7.1}  {:>7.0}  {:>5.2}  {:>6.2}  {:>5.2}  {:>7.1}  {:>11.1}  {:>11.1} %\n",
        row.points,
        row.way,
        seconds,
        files / seconds,
        each(counted.reads),
        each(counted.writes),
        each(counted.seeks),
        real(counted.head_travel_stroke_ppb) / 1e9,
        real(row.sweep.takes_ns) / 1e9,
        100.0 * seconds / slow,
    );
    text.push_str(&line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_of_the_pair() {
        let row = |way, seconds, reads| Row {
            way,
            points: 3,
            took: Duration::from_secs(seconds),
            counted: Counters {
                reads,
                ..Counters::default()
            },
            sweep: Sweep::default(),
        };
        let rows = [row("in disk order", 20, 1000), row("one by one", 80, 2000)];
        let text = table(&rows, 1000);
        let lines: Vec<&str> = text.lines().rev().take(2).collect();
        assert!(
            lines[0].ends_with("100.0 %") && lines[0].contains(" 2.00 "),
            "{text}"
        );
        assert!(
            lines[1].ends_with("25.0 %") && lines[1].contains("50  "),
            "{text}"
        );
    }
}
