//! One thing that is said of a configuration file: where it stands, what is wrong or what is done
//! with it, and how to mend it. A line of text each, or an object of JSON.
//! Nothing is looked at here. Invariant: a finding is one line, whatever it quotes.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::existing::Existing;
use super::trace::Trace;
use crate::exit::Exit;

/// What a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// It is acted on.
    Used,
    /// It does nothing here, and nothing is lost by that.
    Ignored,
    /// It does not do what it seems to say, and the daemon starts all the same.
    Warning,
    /// The program that reads the file refuses it, or the line.
    Error,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Level::Used => "used",
            Level::Ignored => "ignored",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// One thing that is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) file: PathBuf,
    /// `None` where it concerns the whole file.
    pub(super) line: Option<usize>,
    pub(super) text: String,
}

impl Finding {
    fn line_of_text(&self) -> String {
        let (level, file) = (self.level.word(), self.file.display());
        let place = match self.line {
            Some(line) => format!("{file} line {line}"),
            None => file.to_string(),
        };
        format!("{level:<8} {place}: {}", self.text).replace('\n', " ")
    }
}

/// What is said of one file.
#[derive(Debug)]
pub(super) struct Notes {
    file: PathBuf,
    findings: Vec<Finding>,
}

impl Notes {
    pub(super) fn of(file: &Path) -> Notes {
        Notes {
            file: file.to_owned(),
            findings: Vec::new(),
        }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn used(&mut self, line: usize, text: impl Into<String>) {
        self.add(Level::Used, Some(line), text.into());
    }

    pub(super) fn ignored(&mut self, line: usize, text: impl Into<String>) {
        self.add(Level::Ignored, Some(line), text.into());
    }

    pub(super) fn warning(&mut self, line: usize, text: impl Into<String>) {
        self.add(Level::Warning, Some(line), text.into());
    }

    pub(super) fn error(&mut self, line: usize, text: impl Into<String>) {
        self.add(Level::Error, Some(line), text.into());
    }

    pub(super) fn at(&mut self, level: Level, line: usize, text: impl Into<String>) {
        self.add(level, Some(line), text.into());
    }

    /// What concerns the whole file.
    pub(super) fn whole(&mut self, level: Level, text: impl Into<String>) {
        self.add(level, None, text.into());
    }

    fn add(&mut self, level: Level, line: Option<usize>, text: String) {
        // An error's own words begin with its place, which is a field here.
        let text = match line.and_then(|line| text.strip_prefix(&format!("line {line}: "))) {
            Some(rest) => rest.to_owned(),
            None => text,
        };
        let file = self.file.clone();
        let finding = Finding {
            level,
            file,
            line,
            text,
        };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|finding| finding.level == Level::Error)
    }

    /// In the order of the file; what concerns the whole file goes first.
    pub(super) fn into_findings(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|finding| finding.line);
        self.findings
    }
}

/// Everything that is said.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether no error was found.
    pub(super) sound: bool,
    /// The exit code that we end with.
    pub(super) exit: u8,
    pub(super) errors: usize,
    pub(super) warnings: usize,
    pub(super) findings: Vec<Finding>,
    /// What becomes of the metrics that were asked about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) metrics: Vec<Trace>,
    /// What the existing files of each data directory are like, where that was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) existing: Vec<Existing>,
}

impl Report {
    pub(super) fn new(findings: Vec<Finding>, strict: bool) -> (Report, Exit) {
        let of = |level| {
            let like = findings.iter().filter(|finding| finding.level == level);
            like.count()
        };
        let (errors, warnings) = (of(Level::Error), of(Level::Warning));
        let exit = if errors > 0 {
            Exit::Config
        } else if strict && warnings > 0 {
            Exit::Failure
        } else {
            Exit::Success
        };
        let report = Report {
            sound: errors == 0,
            exit: exit.code(),
            errors,
            warnings,
            findings,
            metrics: Vec::new(),
            existing: Vec::new(),
        };
        (report, exit)
    }

    /// A line each, and one that sums them up. `quiet` leaves out what is as it should be.
    pub(super) fn text(&self, quiet: bool) -> String {
        let mut text = String::new();
        let shown = |level| !quiet || matches!(level, Level::Warning | Level::Error);
        for finding in &self.findings {
            if shown(finding.level) {
                text.push_str(&finding.line_of_text());
                text.push('\n');
            }
        }
        for trace in &self.metrics {
            text.push_str(&trace.text());
        }
        for existing in &self.existing {
            text.push_str(&existing.text());
        }
        let verdict = if self.sound { "usable" } else { "not usable" };
        let (errors, warnings) = (self.errors, self.warnings);
        text + &format!("{verdict}: {errors} to mend, {warnings} to look at\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_strictness_decide_how_it_ends() {
        for (level, strict, exit) in [
            (Level::Used, true, Exit::Success),
            (Level::Ignored, true, Exit::Success),
            (Level::Warning, false, Exit::Success),
            (Level::Warning, true, Exit::Failure),
            (Level::Error, false, Exit::Config),
        ] {
            let mut notes = Notes::of(Path::new("carbon.conf"));
            notes.whole(level, "text");
            let (report, found) = Report::new(notes.into_findings(), strict);
            assert_eq!(found, exit, "{level:?} {strict}");
            assert_eq!(report.exit, exit.code());
        }
    }

    #[test]
    fn a_finding_is_one_line_said_once_at_its_place() {
        let mut notes = Notes::of(Path::new("a.conf"));
        notes.error(7, "line 7: two\nlines");
        notes.error(7, "two\nlines");
        notes.used(3, "before");
        let (report, _) = Report::new(notes.into_findings(), false);
        assert_eq!(
            report.text(false),
            "used     a.conf line 3: before\n\
             error    a.conf line 7: two lines\n\
             not usable: 1 to mend, 0 to look at\n"
        );
        assert_eq!(report.text(true).lines().count(), 2);
    }
}
