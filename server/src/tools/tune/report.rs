//! What was measured and what follows, for people and as JSON.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use benzene_engine::device::{Class, Disk};
use serde_json::json;

use super::advice::Measured;
use super::{MANY, TuneError, TuneOptions};

/// Everything that is said.
#[derive(Debug)]
pub(super) struct Report<'a> {
    options: &'a TuneOptions,
    disk: &'a Disk,
    class: Class,
    measured: Measured,
    point_age_s: u32,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        options: &'a TuneOptions,
        disk: &'a Disk,
        measured: Measured,
        point_age_s: u32,
    ) -> Report<'a> {
        Report {
            options,
            disk,
            class: options.device_class.map_or(disk.class, Class::from),
            measured,
            point_age_s,
        }
    }

    /// Whether the daemon finds the class out by itself.
    fn is_known(&self) -> bool {
        self.disk.class == self.class && self.class != Class::Unknown
    }

    fn reason(&self) -> String {
        if self.options.device_class.is_some() {
            return "as --device-class says".to_owned();
        }
        self.disk.reason.to_string()
    }

    /// The lines for carbon.conf, with where they come from.
    pub(super) fn lines(&self) -> String {
        let mut text = format!(
            "# benzene tune --dir {}: {}\n",
            self.options.dir.display(),
            self.disk.place()
        );
        for line in self.measured.lines(self.class, self.is_known()) {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    pub(super) fn print(&self, as_json: bool) -> Result<(), TuneError> {
        let text = if as_json { self.json() } else { self.text() };
        let printed = std::io::stdout().write_all(text.as_bytes());
        printed.map_err(TuneError::path(Path::new("standard output")))
    }

    fn text(&self) -> String {
        let measured = &self.measured;
        let mut text = format!(
            "{} is on {}: class {} ({})\n{} files of {} bytes were made, written and synced; updates \
             found them on the disk, not in memory\n\n",
            self.options.dir.display(),
            self.disk.place(),
            self.class.name(),
            self.reason(),
            measured.files,
            measured.file_bytes
        );
        let rows = [
            ("new metrics a second".to_owned(), measured.creates_per_s),
            ("updates of 1 point a second".to_owned(), measured.one_per_s),
            (
                format!("updates of {MANY} points a second"),
                measured.many_per_s,
            ),
        ];
        for (what, rate) in rows {
            put(&mut text, &format!("{what:32}{rate:>10.0}\n"));
        }
        if let Some((p50, p99)) = measured.waits {
            let ms = |wait: Duration| wait.as_secs_f64() * 1e3;
            let line = format!(
                "{:32}{:>10.1} (p99 {:.1})\n",
                "a reader beside it waits, ms",
                ms(p50),
                ms(p99)
            );
            put(&mut text, &line);
        }
        put(
            &mut text,
            &format!("\nfor carbon.conf:\n{}\n", self.lines()),
        );
        let held = self.point_age_s;
        put(
            &mut text,
            &format!("with that it carries, points held for up to {held} s:\n"),
        );
        for carries in measured.carries(self.point_age_s) {
            let line = format!(
                "{:>12} metrics with a point every {} s ({} points an update)\n",
                carries.metrics, carries.step_s, carries.points_per_update
            );
            put(&mut text, &line);
        }
        text
    }

    fn json(&self) -> String {
        let measured = &self.measured;
        let ms = |wait: Duration| wait.as_secs_f64() * 1e3;
        let carries = measured.carries(self.point_age_s).map(|it| {
            json!({
                "step_s": it.step_s,
                "metrics": it.metrics,
                "points_per_update": it.points_per_update,
            })
        });
        let document = json!({
            "directory": self.options.dir,
            "disk": self.disk.place(),
            "class": self.class.name(),
            "reason": self.reason(),
            "files": measured.files,
            "file_bytes": measured.file_bytes,
            "creates_per_second": measured.creates_per_s,
            "updates_of_1_point_per_second": measured.one_per_s,
            format!("updates_of_{MANY}_points_per_second"): measured.many_per_s,
            "reader_waits_ms": measured.waits.map(|(p50, p99)| json!({
                "p50": ms(p50),
                "p99": ms(p99),
            })),
            "max_updates_per_second": measured.updates_advised(),
            "max_creates_per_minute": measured.creates_advised(),
            "max_point_age_s": self.point_age_s,
            "carries": carries,
            "carbon_conf": measured.lines(self.class, self.is_known()),
        });
        format!("{document:#}\n")
    }
}

fn put(text: &mut String, line: &str) {
    if text.write_str(line).is_err() {
        unreachable!("a String takes every text")
    }
}
