//! What the doctor found about one thing: what was seen, what it means, how to mend it.
//! One line of text each, or one object of JSON. Nothing is looked at here.
//! Invariant: only what keeps the daemon from starting is `fail`, and it says with which exit code.

use serde::Serialize;

use crate::exit::Exit;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// The daemon starts, but this will hurt.
    Warn,
    /// The daemon does not start.
    Fail,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    /// What was looked at: a few words, the same ones at every run.
    pub(super) what: &'static str,
    pub(super) level: Level,
    /// What was seen.
    pub(super) seen: String,
    /// What that means for the daemon.
    pub(super) means: String,
    /// What to change; `None` where nothing need be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
    /// With what the daemon would end.
    #[serde(skip)]
    pub(super) exit: Option<Exit>,
}

impl Finding {
    /// All is well.
    pub(super) fn ok(
        what: &'static str,
        seen: impl Into<String>,
        means: impl Into<String>,
    ) -> Self {
        Finding {
            what,
            level: Level::Ok,
            seen: seen.into(),
            means: means.into(),
            mend: None,
            exit: None,
        }
    }

    /// Something will hurt, and this is how to mend it.
    pub(super) fn but(self, mend: impl Into<String>) -> Self {
        Finding {
            level: Level::Warn,
            mend: Some(mend.into()),
            ..self
        }
    }

    /// The daemon ends with `exit`, until this is mended.
    pub(super) fn fails(self, exit: Exit, mend: impl Into<String>) -> Self {
        Finding {
            level: Level::Fail,
            mend: Some(mend.into()),
            exit: Some(exit),
            ..self
        }
    }

    /// Would the daemon end?
    pub(super) fn is_failure(&self) -> bool {
        self.level == Level::Fail
    }

    /// What would end the daemon does not: this is what happens instead.
    pub(super) fn soften(&mut self, instead: &str) {
        if self.is_failure() {
            self.level = Level::Warn;
            self.exit = None;
            self.means = format!("{}; {instead}", self.means);
        }
    }

    /// The finding as one line.
    pub(super) fn line(&self) -> String {
        let level = self.level.word();
        let mend = match &self.mend {
            Some(mend) => format!(". To mend it: {mend}"),
            None => String::new(),
        };
        let line = format!(
            "{level:<4}  {}: {}; {}{mend}",
            self.what, self.seen, self.means
        );
        line.replace('\n', " ")
    }
}

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether the daemon can start as configured.
    pub(super) starts: bool,
    /// The exit code with which it would end otherwise, and with which we end.
    pub(super) exit: u8,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    /// Takes the findings in the order in which the daemon meets them: the first failure is the one
    /// that it would end with.
    pub(super) fn new(findings: Vec<Finding>) -> (Report, Exit) {
        let first = findings.iter().find_map(|finding| finding.exit);
        let report = Report {
            starts: first.is_none(),
            exit: first.unwrap_or(Exit::Success).code(),
            findings,
        };
        (report, first.unwrap_or(Exit::Success))
    }

    /// A line each, and one that sums them up.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            text.push_str(&finding.line());
            text.push('\n');
        }
        let of = |level| {
            let like = self.findings.iter().filter(|found| found.level == level);
            like.count()
        };
        let (warnings, failures) = (of(Level::Warn), of(Level::Fail));
        let verdict = if self.starts {
            "benzene cache can start here"
        } else {
            "benzene cache cannot start here"
        };
        text + &format!("{verdict}: {failures} to mend, {warnings} to look at\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_decides_how_it_ends() {
        let fine = Finding::ok("kernel", "6.18", "new enough");
        let hurts = Finding::ok("open files", "1024", "few").but("ulimit -n");
        let ends = |exit| Finding::ok("port", "2003", "taken").fails(exit, "stop it");
        let (report, exit) = Report::new(vec![fine.clone(), hurts.clone()]);
        assert_eq!((report.starts, report.exit, exit), (true, 0, Exit::Success));
        let (report, exit) = Report::new(vec![
            fine,
            hurts,
            ends(Exit::PortInUse),
            ends(Exit::DataDirectory),
        ]);
        assert_eq!(
            (report.starts, report.exit, exit),
            (false, 4, Exit::PortInUse)
        );
        assert_eq!(
            report.text(),
            "ok    kernel: 6.18; new enough\n\
             warn  open files: 1024; few. To mend it: ulimit -n\n\
             fail  port: 2003; taken. To mend it: stop it\n\
             fail  port: 2003; taken. To mend it: stop it\n\
             benzene cache cannot start here: 2 to mend, 1 to look at\n"
        );
    }

    #[test]
    fn a_finding_is_one_line_whatever_it_quotes() {
        let quoting = Finding::ok("configuration", "line 1\nline 2", "means");
        assert_eq!(quoting.line().lines().count(), 1);
    }
}
