//! What a run of a case gave, and the table of several runs: the median of each figure, its range
//! where there were several runs, and how two daemons compare.
//! Figures are whole numbers in thousandths of their unit. One that a daemon cannot give is a
//! dash, and no ratio is made of it.

/// Figures of one run, in thousandths of the unit that `ROWS` names.
pub(crate) type Figures = [Option<u64>; ROWS.len()];

/// One figure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Digits shown behind the point, 0 to 3.
    decimals: u32,
}

const fn row(name: &'static str, decimals: u32) -> Row {
    Row { name, decimals }
}

/// All figures, in the order of a report.
pub(crate) const ROWS: [Row; 24] = [
    row("received, points/s", 0),
    row("CPU, ns/point", 0),
    row("  user, ns/point", 0),
    row("  system, ns/point", 0),
    row("client CPU, ns/point", 0),
    row("resident, empty, MiB", 1),
    row("resident, peak, MiB", 1),
    row("resident, after, MiB", 1),
    row("peak above empty, bytes/point", 1),
    row("after above empty, bytes/point", 1),
    row("peak above empty, bytes/series", 0),
    row("after above empty, bytes/series", 0),
    row("queries during the load", 0),
    row("  p50, us", 0),
    row("  p99, us", 0),
    row("  p99.9, us", 0),
    row("  max, us", 0),
    row("  p99 of all that were due, us", 0),
    row("queries over 1 ms", 0),
    row("  the asker had no processor", 0),
    row("  a core had no processor", 0),
    row("metrics asked for all points", 0),
    row("  points missing", 0),
    row("  points missing, percent", 3),
];

/// Sets the figure with this name. It must be one of `ROWS`.
pub(crate) fn set(figures: &mut Figures, name: &str, thousandths: u128) {
    let Some(place) = ROWS.iter().position(|row| row.name.trim() == name) else {
        unreachable!("no figure is named {name}")
    };
    assert!(figures[place].is_none(), "{name} is set twice");
    figures[place] = Some(u64::try_from(thousandths).unwrap_or(u64::MAX));
}

/// `amount / share` in thousandths, rounded to the nearest.
pub(crate) fn per(amount: u128, share: u64) -> u128 {
    let share = u128::from(share.max(1));
    (amount * 1000 + share / 2) / share
}

/// All runs of a daemon in one case.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) runs: Vec<Figures>,
}

impl Column {
    /// Smallest, median (the upper one of two) and largest of a figure.
    fn spread(&self, place: usize) -> Option<[u64; 3]> {
        let mut values: Vec<u64> = self.runs.iter().filter_map(|run| run[place]).collect();
        values.sort_unstable();
        let median = *values.get(values.len() / 2)?;
        Some([*values.first()?, median, *values.last()?])
    }
}

/// Widest name of a row, and width of a column of values.
const NAME_WIDTH: usize = 33;
const VALUE_WIDTH: usize = 30;

/// The table. With a second column, the last one is second / first.
pub(crate) fn table(columns: &[Column]) -> String {
    let mut text = format!("  {:<NAME_WIDTH$}", "");
    for column in columns {
        push(&mut text, column.title);
    }
    if columns.len() > 1 {
        push(&mut text, "against / benzene");
    }
    end(&mut text);
    for (place, row) in ROWS.iter().enumerate() {
        let spreads: Vec<_> = columns.iter().map(|column| column.spread(place)).collect();
        if spreads.iter().all(Option::is_none) {
            continue;
        }
        let name = format!("  {:<NAME_WIDTH$}", row.name);
        text.push_str(&name);
        for spread in &spreads {
            push(&mut text, &row.show(*spread));
        }
        if let [Some([_, first, _]), Some([_, second, _])] = spreads[..] {
            push(&mut text, &ratio(second, first));
        }
        end(&mut text);
    }
    text
}

fn push(text: &mut String, value: &str) {
    let value = format!(" {value:>VALUE_WIDTH$}");
    text.push_str(&value);
}

/// Ends a line without blanks at its end.
fn end(text: &mut String) {
    text.truncate(text.trim_end().len());
    text.push('\n');
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

    fn run(name: &str, value: u128) -> Figures {
        let mut figures = [None; ROWS.len()];
        set(&mut figures, name, value);
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
        let table = table(&columns);
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
                runs: vec![[None; ROWS.len()]],
            },
        ];
        let table = table(&columns);
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
