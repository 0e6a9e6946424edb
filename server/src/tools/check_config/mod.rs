//! `benzene check-config`: reads carbon's configuration files as the daemon does and says, line by
//! line, what is used, what is ignored and why, and what is wrong with how to mend it; where a
//! metric goes, and which existing files disagree with the schemas.
//! A carbon.conf brings the files along that it makes the daemon read. Files of carbon-relay and
//! carbon-aggregator are looked at too, because they are changed together.
//! Changes nothing. Ends with `Exit::Config` where the daemon would refuse a file or a line would do
//! nothing at all, and with --strict with `Exit::Failure` where there are warnings.

mod aggregator;
mod carbon;
mod existing;
mod finding;
mod kind;
mod lists;
mod relay;
mod storage;
mod trace;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use benzene_engine::metric::TaggedLeaf;
use benzene_engine::schemas::{Aggregations, Schemas};

pub use kind::ConfKind;

use crate::cli::CheckConfigOptions;
use crate::config::{self, NoText};
use crate::exit::Exit;
use crate::lists::List;
use aggregator::LineRule;
use carbon::Carbon;
use existing::Existing;
use finding::{Finding, Level, Notes, Report};
use relay::RelayRule;
use storage::RuleFile;
use trace::Trace;

/// The rules that were read, as the daemon would have them.
#[derive(Debug, Default)]
struct Rules {
    leaf: Option<TaggedLeaf>,
    schemas: Option<RuleFile<Schemas>>,
    aggregations: Option<RuleFile<Aggregations>>,
    whitelist: Option<List>,
    blacklist: Option<List>,
    routes: Vec<RelayRule>,
    aggregates: Vec<LineRule>,
    rewrites: Vec<LineRule>,
}

/// A file to look at.
struct Source {
    kind: ConfKind,
    path: PathBuf,
    text: String,
}

/// What has been looked at.
struct Check<'a> {
    options: &'a CheckConfigOptions,
    findings: Vec<Finding>,
    carbon: Option<Carbon>,
    rules: Rules,
}

/// Looks and prints.
pub fn run(options: &CheckConfigOptions) -> Exit {
    let mut check = Check {
        options,
        findings: Vec::new(),
        carbon: None,
        rules: Rules::default(),
    };
    let mut sources = check.given();
    // carbon.conf says where the others are and whether they are read.
    sources.sort_by_key(|source| source.kind != ConfKind::Carbon);
    let given: Vec<ConfKind> = sources.iter().map(|source| source.kind).collect();
    for source in &sources {
        check.look(source);
        if source.kind == ConfKind::Carbon {
            let others = check.others(&given);
            for other in &others {
                check.look(other);
            }
        }
    }
    let existing = if options.files {
        check.existing()
    } else {
        Vec::new()
    };
    let (mut report, exit) = Report::new(check.findings, options.strict);
    let metrics = options.metrics.iter();
    report.metrics = metrics
        .map(|metric| Trace::of(metric, &check.rules))
        .collect();
    report.existing = existing;
    print(&report, options).unwrap_or(exit)
}

impl Check<'_> {
    /// The files of the command line.
    fn given(&mut self) -> Vec<Source> {
        let mut sources = Vec::new();
        for path in &self.options.paths {
            let mut notes = Notes::of(path);
            match config::read_file(path) {
                Ok(text) => {
                    let kind = self.options.kind.or_else(|| ConfKind::tell(path, &text));
                    let path = path.clone();
                    match kind {
                        Some(kind) => sources.push(Source { kind, path, text }),
                        None => notes.whole(
                            Level::Error,
                            "neither its name nor its text tells which of carbon's files it is; \
                             say so with --as, such as --as schemas",
                        ),
                    }
                }
                Err(error) => note_unreadable(&error, &mut notes),
            }
            self.findings.extend(notes.into_findings());
        }
        sources
    }

    fn look(&mut self, source: &Source) {
        let text = source.text.as_str();
        let mut notes = Notes::of(&source.path);
        let lists = self.carbon.as_ref().is_none_or(|carbon| carbon.lists);
        match source.kind {
            ConfKind::Carbon => {
                let carbon = carbon::check(text, &mut notes);
                self.rules.leaf = Some(carbon.leaf);
                self.carbon = Some(carbon);
            }
            ConfKind::Schemas => {
                let data = self
                    .carbon
                    .as_ref()
                    .and_then(|carbon| carbon.data.as_deref());
                self.rules.schemas = Some(storage::schemas(text, data, &mut notes));
            }
            ConfKind::Aggregation => {
                self.rules.aggregations = Some(storage::aggregations(text, &mut notes));
            }
            ConfKind::Whitelist => {
                self.rules.whitelist = lists::check(text, lists, &mut notes);
            }
            ConfKind::Blacklist => {
                self.rules.blacklist = lists::check(text, lists, &mut notes);
            }
            ConfKind::RelayRules => {
                let carbon = self.carbon.as_ref();
                let known = carbon.map_or(&[][..], |carbon| &carbon.destinations);
                self.rules.routes = relay::rules(text, known, &mut notes);
            }
            ConfKind::AggregationRules => {
                self.rules.aggregates = aggregator::aggregation_rules(text, &mut notes);
            }
            ConfKind::RewriteRules => {
                self.rules.rewrites = aggregator::rewrite_rules(text, &mut notes);
            }
        }
        self.findings.extend(notes.into_findings());
    }

    /// The files that a carbon.conf brings along, as far as they were not given by name.
    fn others(&mut self, given: &[ConfKind]) -> Vec<Source> {
        let Some(carbon) = &self.carbon else {
            return Vec::new();
        };
        let mut wanted: Vec<(ConfKind, String)> = [
            (ConfKind::Schemas, "storage-schemas.conf"),
            (ConfKind::Aggregation, "storage-aggregation.conf"),
            (ConfKind::Whitelist, "whitelist.conf"),
            (ConfKind::Blacklist, "blacklist.conf"),
        ]
        .map(|(kind, name)| (kind, name.to_owned()))
        .to_vec();
        wanted.extend(
            carbon
                .relay_rules
                .clone()
                .map(|name| (ConfKind::RelayRules, name)),
        );
        if let Some((aggregation, rewrite)) = carbon.aggregator.clone() {
            wanted.push((ConfKind::AggregationRules, aggregation));
            wanted.push((ConfKind::RewriteRules, rewrite));
        }
        let conf_dir = carbon.conf_dir.clone();
        let mut sources = Vec::new();
        for (kind, name) in wanted.into_iter().filter(|(kind, _)| !given.contains(kind)) {
            sources.extend(self.other(kind, conf_dir.join(name)));
        }
        sources
    }

    fn other(&mut self, kind: ConfKind, path: PathBuf) -> Option<Source> {
        let mut notes = Notes::of(&path);
        let found = match config::read_file(&path) {
            Ok(text) => Some(Source { kind, path, text }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing(kind, &mut notes);
                None
            }
            Err(error) => {
                note_unreadable(&error, &mut notes);
                None
            }
        };
        self.findings.extend(notes.into_findings());
        found
    }

    /// The existing files, and what they are worth saying.
    fn existing(&mut self) -> Vec<Existing> {
        let configured = self.carbon.as_ref().map(|carbon| carbon.data_dirs.clone());
        let directories = match &self.options.data_dir {
            Some(named) => vec![named.clone()],
            None => configured.unwrap_or_default(),
        };
        if directories.is_empty() {
            let mut notes = Notes::of(Path::new("--files"));
            let text = "no carbon.conf says where the Whisper files are; give --data-dir";
            notes.whole(Level::Error, text);
            self.findings.extend(notes.into_findings());
        }
        let mut readable = Vec::new();
        for directory in &directories {
            match fs::read_dir(directory) {
                Ok(_) => readable.push(directory.as_path()),
                Err(error) => {
                    let mut notes = Notes::of(directory);
                    let text = format!("{}; see --data-dir", unreadable(&error));
                    notes.whole(Level::Error, text);
                    self.findings.extend(notes.into_findings());
                }
            }
        }
        let found = Existing::below(&readable, &self.rules);
        for existing in &found {
            self.findings.extend(what_differs(existing));
        }
        found
    }
}

/// What the files of a data directory are worth saying.
fn what_differs(existing: &Existing) -> Vec<Finding> {
    let mut notes = Notes::of(existing.directory());
    let (files, differ) = (existing.files, existing.differ());
    if differ > 0 {
        let text = format!(
            "{differ} of {files} existing files are not as new ones would be, and stay so; \
             whisper-resize.py changes retentions, whisper-set-xfilesfactor.py and \
             whisper-set-aggregation-method.py the rest"
        );
        notes.whole(Level::Warning, text);
    }
    if existing.unreadable > 0 {
        let text = format!(
            "{} of {files} files have no header that can be read; the daemon renames such a \
             file and makes it again when a point comes and it stays so for a minute",
            existing.unreadable
        );
        notes.whole(Level::Warning, text);
    }
    notes.into_findings()
}

/// Notes why a file cannot be read, with the line where there is one.
fn note_unreadable(error: &io::Error, notes: &mut Notes) {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(no_text @ NoText { line, .. }) => notes.error(*line, no_text.to_string()),
        None => notes.whole(Level::Error, unreadable(error)),
    }
}

fn unreadable(error: &io::Error) -> String {
    format!("cannot be read: {error}; check its name, its owner, its mode, and that it is text")
}

/// What it means that a file is not there.
fn missing(kind: ConfKind, notes: &mut Notes) {
    match kind {
        ConfKind::Schemas => notes.whole(
            Level::Error,
            "there is no such file, and without it nobody has said how long points are kept; put it \
             beside carbon.conf, or set CONF_DIR to where it is",
        ),
        ConfKind::Aggregation => notes.whole(
            Level::Warning,
            "there is no such file: new files average their points (xFilesFactor 0.5); write one if \
             counters are to be summed",
        ),
        // Every example has a [relay], whether anybody runs one or not.
        ConfKind::RelayRules => notes.whole(
            Level::Ignored,
            "there is no such file; a carbon-relay that reads [relay] does not start without it, or \
             without another RELAY_METHOD",
        ),
        ConfKind::Carbon
        | ConfKind::Whitelist
        | ConfKind::Blacklist
        | ConfKind::AggregationRules
        | ConfKind::RewriteRules => {}
    }
}

/// Prints; the exit code where that fails.
fn print(report: &Report, options: &CheckConfigOptions) -> Option<Exit> {
    let text = if options.json {
        match serde_json::to_string_pretty(report) {
            Ok(json) => json + "\n",
            Err(error) => unreachable!("texts and numbers become JSON: {error}"),
        }
    } else {
        report.text(options.quiet)
    };
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => None,
        Err(error) => Some(fail(&format!("cannot print: {error}"))),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a tool's errors belong on standard error"
)]
fn fail(message: &str) -> Exit {
    eprintln!("benzene check-config: {message}");
    Exit::Failure
}
