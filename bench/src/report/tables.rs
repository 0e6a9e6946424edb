//! A table that is shown as text and as HTML: the first column has names, the others figures.

use super::escape;

/// Cells as they are shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) title: String,
    /// The first is above the names.
    pub(crate) columns: Vec<String>,
    /// As many cells as columns.
    pub(crate) rows: Vec<Vec<String>>,
}

/// Style that a page with tables needs.
pub(crate) const STYLE: &str = "\
table { border-collapse: collapse; font-size: 13px; margin: 0 0 1.2em; display: block; overflow-x: auto; }
caption { font-weight: 600; text-align: left; padding-bottom: 0.3em; }
th, td { padding: 0.15em 0.7em; text-align: right; border-bottom: 1px solid var(--faint); }
th { font-weight: 600; vertical-align: bottom; } th:first-child, td:first-child { text-align: left; }
";

impl Table {
    /// Columns under each other, two blanks between them.
    pub(crate) fn text(&self) -> String {
        let lines = || std::iter::once(&self.columns).chain(&self.rows);
        let width = |column: usize| {
            let cells = lines().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = format!("{}\n", self.title);
        for line in lines() {
            let mut row = String::from(" ");
            for (place, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let cell = if place == 0 {
                    format!(" {cell:<width$}")
                } else {
                    format!("  {cell:>width$}")
                };
                row.push_str(&cell);
            }
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }

    /// The same as HTML.
    pub(crate) fn html(&self) -> String {
        let row = |tag: &str, cells: &[String]| {
            let cells: Vec<String> = cells
                .iter()
                .map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)))
                .collect();
            format!("<tr>{}</tr>\n", cells.concat())
        };
        let rows: String = self.rows.iter().map(|cells| row("td", cells)).collect();
        format!(
            "<table><caption>{}</caption>\n{}{rows}</table>\n",
            escape(&self.title),
            row("th", &self.columns)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_page_have_every_cell() {
        let cells = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let table = Table {
            title: String::from("Rates"),
            columns: cells(["", "hdd & more"]),
            rows: vec![cells(["updates/s", "170"]), cells(["metrics", "40,000"])],
        };
        let expected =
            "Rates\n             hdd & more\n  updates/s         170\n  metrics        40,000\n";
        assert_eq!(table.text(), expected);
        let html = table.html();
        assert_eq!(html.matches("<td>").count(), 4);
        assert!(html.contains("<th>hdd &amp; more</th>"), "{html}");
    }
}
