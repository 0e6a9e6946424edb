//! What a run of a case gave, and the table of several runs: the median of each figure, its range
//! where there were several runs, and how two daemons compare.
//! Figures are whole numbers in thousandths of their unit. One that a daemon cannot give is a
//! dash, and no ratio is made of it.

/// One figure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    name: &'static str,
    /// Digits shown behind the point, 0 to 3.
    decimals: u32,
}

/// A figure by name; one that belongs to the figure above it is indented.
pub(crate) const fn row(name: &'static str, decimals: u32) -> Row {
    Row { name, decimals }
}

/// Figures of one run, in thousandths of the unit that their rows name.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    rows: &'static [Row],
    values: Vec<Option<u64>>,
}

impl Figures {
    /// None is known.
    pub(crate) fn new(rows: &'static [Row]) -> Self {
        Self {
            rows,
            values: vec![None; rows.len()],
        }
    }

    /// Sets the figure with this name. It must be one of the rows.
    pub(crate) fn set(&mut self, name: &str, thousandths: u128) {
        let Some(place) = self.rows.iter().position(|row| row.name.trim() == name) else {
            unreachable!("no figure is named {name}")
        };
        let value = &mut self.values[place];
        assert!(value.is_none(), "{name} is set twice");
        *value = Some(u64::try_from(thousandths).unwrap_or(u64::MAX));
    }
}

/// `amount / share` in thousandths, rounded to the nearest.
pub(crate) fn per(amount: u128, share: u64) -> u128 {
    let share = u128::from(share.max(1));
    (amount * 1000 + share / 2) / share
}

/// All runs of a daemon in one case.
#[derive(Debug)]
pub(crate) struct Column {
    title: &'static str,
    pub(crate) runs: Vec<Figures>,
}

impl Column {
    /// Without a run.
    pub(crate) fn new(title: &'static str) -> Self {
        Self {
            title,
            runs: Vec::new(),
        }
    }

    /// Smallest, median (the upper one of two) and largest of a figure.
    fn spread(&self, place: usize) -> Option<[u64; 3]> {
        let mut values: Vec<u64> = self
            .runs
            .iter()
            .filter_map(|run| run.values[place])
            .collect();
        values.sort_unstable();
        let median = *values.get(values.len() / 2)?;
        Some([*values.first()?, median, *values.last()?])
    }
}

/// Widest name of a row, and least width of a column of values.
const NAME_WIDTH: usize = 33;
const VALUE_WIDTH: usize = 12;

/// The table. With a title for it, and two columns, the last one is second / first.
pub(crate) fn table(rows: &[Row], columns: &[Column], ratio_title: Option<&str>) -> String {
    let ratio_title = ratio_title.filter(|_| columns.len() == 2);
    let mut lines = vec![vec![String::new()]];
    lines[0].extend(columns.iter().map(|column| column.title.to_owned()));
    lines[0].extend(ratio_title.map(str::to_owned));
    for (place, row) in rows.iter().enumerate() {
        let spreads: Vec<_> = columns.iter().map(|column| column.spread(place)).collect();
        if spreads.iter().all(Option::is_none) {
            continue;
        }
        let mut line = vec![row.name.to_owned()];
        line.extend(spreads.iter().map(|spread| row.show(*spread)));
        if let ([Some([_, first, _]), Some([_, second, _])], Some(_)) = (&spreads[..], ratio_title)
        {
            line.push(ratio(*second, *first));
        }
        lines.push(line);
    }
    let values = lines.iter().flat_map(|line| &line[1..]).map(String::len);
    let width = values.max().unwrap_or(0).max(VALUE_WIDTH);
    let mut text = String::new();
    for line in lines {
        let mut shown = format!("  {:<NAME_WIDTH$}", line[0]);
        for value in &line[1..] {
            let value = format!(" {value:>width$}");
            shown.push_str(&value);
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

impl Row {
    fn show(self, spread: Option<[u64; 3]>) -> String {
        match spread {
            None => String::from("-"),
            Some([least, median, most]) if least == most => self.number(median),
            Some([least, median, most]) => format!(
                "{} ({} to {})",
                self.number(median),
                self.number(least),
                self.number(most)
            ),
        }
    }

    fn number(self, thousandths: u64) -> String {
        let step = 10_u64.pow(3 - self.decimals);
        let rounded = thousandths.saturating_add(step / 2) / step;
        let unit = 10_u64.pow(self.decimals);
        if self.decimals == 0 {
            return rounded.to_string();
        }
        let width = self.decimals as usize;
        format!("{}.{:0width$}", rounded / unit, rounded % unit)
    }
}

/// `second / first`, two digits behind the point.
fn ratio(second: u64, first: u64) -> String {
    if first == 0 {
        return String::from("-");
    }
    let hundredths = (u128::from(second) * 100 + u128::from(first) / 2) / u128::from(first);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    static ROWS: [Row; 3] = [
        row("points/s", 0),
        row("after above empty, bytes/point", 1),
        row("  p50, us", 0),
    ];

    fn run(name: &str, value: u128) -> Figures {
        let mut figures = Figures::new(&ROWS);
        figures.set(name, value);
        figures
    }

    #[test]
    fn a_table_has_medians_ranges_and_ratios() {
        let name = "after above empty, bytes/point";
        let columns = [
            Column {
                title: "benzene",
                runs: [13_260, 12_000, 99_949]
                    .map(|value| run(name, value))
                    .into(),
            },
            Column {
                title: "against",
                runs: vec![run(name, 118_000)],
            },
        ];
        let table = table(&ROWS, &columns, Some("against / benzene"));
        let lines: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0], ["benzene", "against", "against", "/", "benzene"]);
        let expected = "after above empty, bytes/point 13.3 (12.0 to 99.9) 118.0 8.90";
        assert_eq!(lines[1].join(" "), expected);
        assert_eq!(lines.len(), 2);
        assert!(table.lines().all(|line| line.trim_end() == line));
    }

    #[test]
    fn what_one_of_them_cannot_give_is_a_dash_without_a_ratio() {
        let columns = [
            Column {
                title: "benzene",
                runs: vec![run("p50, us", 34_400)],
            },
            Column {
                title: "against",
                runs: vec![Figures::new(&ROWS)],
            },
        ];
        let table = table(&ROWS, &columns, Some("against / benzene"));
        let last: Vec<&str> = table.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(last, ["p50,", "us", "34", "-"]);
    }

    #[test]
    fn shares_are_rounded() {
        assert_eq!(per(2, 3), 667);
        assert_eq!(per(1, 0), 1000);
        assert_eq!(ratio(1, 3), "0.33");
        assert_eq!(ratio(5, 0), "-");
    }
}
