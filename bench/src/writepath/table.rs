//! The report as text: a table for each case, a line for each path.

use super::row::{Case, Figures, Row, Spread};
use crate::report::short;

/// What a case's columns are.
const COLUMNS: [&str; 14] = [
    "files/s (min to max)",
    "CPU us/file (min to max)",
    "files/CPU-s",
    "p50 us",
    "p90",
    "p99",
    "p99.9",
    "max",
    "workers",
    "B written/pt",
    "writes/pt",
    "B read/pt",
    "reads/pt",
    "files/s flushed",
];
/// Width of the column of names.
const NAME_WIDTH: usize = 30;

/// All cases in the order of the rows.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut text = String::new();
    for case in cases(rows) {
        let lines: Vec<(String, Vec<String>)> = rows
            .iter()
            .filter(|row| row.case == case)
            .map(|row| (row.path.clone(), cells(row)))
            .collect();
        let widths: Vec<usize> = (0..COLUMNS.len())
            .map(|column| {
                let measured = lines
                    .iter()
                    .filter(|(_, cells)| cells.len() == COLUMNS.len());
                let cells = measured.filter_map(|(_, cells)| cells.get(column));
                let longest = cells.map(String::len).max().unwrap_or(0);
                longest.max(COLUMNS.get(column).map_or(0, |title| title.len()))
            })
            .collect();
        text.push_str(&case.title());
        text.push('\n');
        let titles = COLUMNS.map(str::to_owned).to_vec();
        for (name, cells) in [(String::new(), titles)].into_iter().chain(lines) {
            let mut line = format!("  {name:<NAME_WIDTH$}");
            if cells.len() == 1 {
                line.push_str(&cells.concat());
            } else {
                for (cell, width) in cells.iter().zip(&widths) {
                    let cell = format!("  {cell:>width$}");
                    line.push_str(&cell);
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

/// The cases, each once, in the order of the rows.
pub(crate) fn cases(rows: &[Row]) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for row in rows {
        if !cases.contains(&row.case) {
            cases.push(row.case);
        }
    }
    cases
}

/// A row's figures, or one cell that says why there are none.
fn cells(row: &Row) -> Vec<String> {
    match (&row.figures, &row.failure) {
        (Some(figures), _) => figure_cells(figures),
        (None, Some(failure)) => vec![format!("  not measured: {failure}")],
        (None, None) => vec![String::from("  not measured")],
    }
}

fn figure_cells(figures: &Figures) -> Vec<String> {
    let spread = |spread: Spread| match (short(spread.median), short(spread.min), short(spread.max))
    {
        (median, min, max) if figures.repeats > 1 => format!("{median} ({min} to {max})"),
        (median, ..) => median,
    };
    let latency = figures.latency_us;
    let device = |figure: Option<f64>| figure.map_or_else(|| String::from("-"), short);
    let per_point = figures.device_per_point;
    vec![
        spread(figures.per_second),
        spread(figures.cpu_us),
        short(figures.per_cpu_second.median),
        short(latency.p50),
        short(latency.p90),
        short(latency.p99),
        short(latency.p999),
        short(latency.max),
        figures.kernel_workers_max.to_string(),
        device(per_point.map(|device| device.written_bytes)),
        device(per_point.map(|device| device.writes)),
        device(per_point.map(|device| device.read_bytes)),
        device(per_point.map(|device| device.reads)),
        short(figures.per_second_flushed.median),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writepath::row::tests::{row, unmeasured};

    #[test]
    fn every_case_has_its_lines_and_every_line_its_columns() {
        let rows = [
            row("ring", 1),
            row("pwrite", 1),
            row("ring", 8),
            unmeasured("glommio", 8),
        ];
        let text = text(&rows);
        assert_eq!(text.matches("warm page cache").count(), 2, "{text}");
        let columns = |name: &str| {
            let lines = text.lines().filter(|line| line.trim().starts_with(name));
            lines
                .map(|line| {
                    line.split("  ")
                        .filter(|cell| !cell.trim().is_empty())
                        .count()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(columns("ring"), [15, 15], "{text}");
        assert_eq!(columns("pwrite"), [15], "{text}");
        assert!(text.contains("not measured: no memory"), "{text}");
    }
}
