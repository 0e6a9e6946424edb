//! How Python carbon writes a line, and how its files are called when their day is over.
//! Times are the machine's own, as Python's `time.strftime`. Nothing here reads a clock.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Datelike, Local, NaiveDate};

/// A moment as the machine's clock on the wall shows it.
fn local(unix_seconds: u32) -> DateTime<Local> {
    let utc = DateTime::from_timestamp(i64::from(unix_seconds), 0).unwrap_or_default();
    utc.with_timezone(&Local)
}

/// A line's head, up to the message: kept while the second is the same.
#[derive(Debug, Default)]
pub(super) struct Head {
    second: Option<u32>,
    text: String,
    day: NaiveDate,
}

impl Head {
    /// Is the head of lines of that second from now on.
    pub(super) fn turn_to(&mut self, unix_seconds: u32) {
        if self.second.replace(unix_seconds) != Some(unix_seconds) {
            let time = local(unix_seconds);
            self.text = time.format("%d/%m/%Y %H:%M:%S :: ").to_string();
            self.day = time.date_naive();
        }
    }

    /// How a line of this second begins.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The day of this second.
    pub(super) fn day(&self) -> NaiveDate {
        self.day
    }
}

/// The day of a moment.
pub(super) fn day(unix_seconds: u32) -> NaiveDate {
    local(unix_seconds).date_naive()
}

/// What a file of that day is called afterwards, as by Twisted: `console.log.2026_11_3`.
pub(super) fn of_day(path: &Path, day: NaiveDate) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}_{}_{}", day.year(), day.month(), day.day()));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_pythons_and_follow_the_second() {
        let mut head = Head::default();
        let mut at = |second| {
            head.turn_to(second);
            head.text().to_owned()
        };
        let first = at(1_800_000_000);
        assert_eq!(first.len(), "15/01/2027 08:00:00 :: ".len(), "{first}");
        assert!(
            first.ends_with(" :: ") && first.contains("/01/2027 "),
            "{first}"
        );
        assert_eq!(at(1_800_000_000), first);
        assert_ne!(at(1_800_000_001), first);
        assert_eq!(head.day(), day(1_800_000_001));
    }

    #[test]
    fn days_are_named_without_leading_zeros() {
        let day = NaiveDate::from_ymd_opt(2026, 3, 7).unwrap();
        let named = of_day(Path::new("/var/log/updates.log"), day);
        assert_eq!(named, Path::new("/var/log/updates.log.2026_3_7"));
    }
}
