//! What becomes of a metric: from the name as it is sent to its canonical form, its file, the lists,
//! the archives and the aggregation that a new file gets, and the rules of relay and aggregator.
//! Asked of the rules that were read, as the daemon asks them; no file is looked at.

use std::path::PathBuf;

use benzene_engine::metric::{Metric, TaggedLeaf};
use serde::Serialize;

use super::Rules;
use super::aggregator;
use super::relay;
use super::storage::{archives, method_and_factor};

/// What becomes of one metric.
#[derive(Debug, Serialize)]
pub(super) struct Trace {
    /// As it is sent.
    metric: String,
    /// Its canonical form; `None` where the name is refused.
    name: Option<String>,
    /// Why the daemon takes no point of it.
    refused: Option<String>,
    /// Below the data directory.
    file: Option<PathBuf>,
    /// What a new file gets.
    schema: Option<ChosenRule>,
    aggregation: Option<ChosenRule>,
    /// What relay and aggregator do with it before.
    before: Vec<String>,
}

/// A section that was chosen.
#[derive(Debug, Serialize)]
struct ChosenRule {
    /// `None` for the default that stands in no file.
    line: Option<usize>,
    section: String,
    gives: String,
}

impl Trace {
    /// Follows a metric.
    pub(super) fn of(metric: &str, rules: &Rules) -> Trace {
        let mut trace = Trace {
            metric: metric.to_owned(),
            name: None,
            refused: refused(metric, rules),
            file: None,
            schema: None,
            aggregation: None,
            before: before(metric, rules),
        };
        let mut scratch = String::new();
        let parsed = match Metric::parse(metric, &mut scratch) {
            Ok(parsed) => parsed,
            Err(error) => {
                trace.refused = Some(error.to_string());
                return trace;
            }
        };
        trace.name = Some(parsed.as_str().to_owned());
        trace.file = Some(parsed.file_path(rules.leaf.unwrap_or(TaggedLeaf::Hashed)));
        trace.schema = rules.schemas.as_ref().map(|file| {
            let chosen = file.rules.archives(parsed.as_str());
            ChosenRule {
                line: file.line(&chosen.rule.name),
                section: chosen.rule.name.clone(),
                gives: archives(chosen.rule) + &gave_up(chosen.gave_up),
            }
        });
        trace.aggregation = rules.aggregations.as_ref().map(|file| {
            let chosen = file.rules.rule(parsed.as_str());
            let (method, factor) = method_and_factor(chosen.rule);
            let gives = format!("{}, xFilesFactor {factor}", method.name());
            ChosenRule {
                line: file.line(&chosen.rule.name),
                section: chosen.rule.name.clone(),
                gives: gives + &gave_up(chosen.gave_up),
            }
        });
        trace
    }

    /// A few lines.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!("metric   {}", self.metric)];
        lines.extend(self.before.clone());
        match &self.refused {
            Some(why) => lines.push(format!("is refused: {why}")),
            None => lines.push("is accepted".to_owned()),
        }
        if let Some(name) = &self.name {
            lines.push(format!("is named {name}"));
        }
        if let Some(file) = &self.file {
            lines.push(format!("is in the file {}", file.display()));
        }
        for (what, rule) in [("schema", &self.schema), ("aggregation", &self.aggregation)] {
            if let Some(ChosenRule {
                line,
                section,
                gives,
            }) = rule
            {
                let line = match line {
                    Some(line) => format!(" line {line}"),
                    None => String::new(),
                };
                lines.push(format!("{what} [{section}]{line}: {gives}"));
            }
        }
        lines.join("\n         ") + "\n"
    }
}

fn gave_up(section: Option<&str>) -> String {
    section.map_or_else(String::new, |section| {
        format!(" ([{section}] backtracks too far on this name and was passed over)")
    })
}

/// Why the lists keep it out: the black one goes first, and the white one counts where it has lines.
fn refused(metric: &str, rules: &Rules) -> Option<String> {
    let black = rules.blacklist.as_ref().and_then(|list| list.first(metric));
    if let Some(found) = black {
        return Some(format!("blacklist line {}: {}", found.line(), found.text()));
    }
    let white = rules.whitelist.as_ref().filter(|list| !list.is_empty())?;
    let found = white.first(metric).is_some();
    (!found).then(|| "no line of the whitelist occurs in it".to_owned())
}

/// What relay and aggregator do with it, as far as their rules are known.
fn before(metric: &str, rules: &Rules) -> Vec<String> {
    let mut before = Vec::new();
    for rule in aggregator::matching(&rules.rewrites, metric) {
        before.push(format!(
            "carbon-aggregator rewrites it by line {}: {}",
            rule.line, rule.said
        ));
    }
    for rule in aggregator::matching(&rules.aggregates, metric) {
        before.push(format!(
            "carbon-aggregator counts it in line {}: {}",
            rule.line, rule.said
        ));
    }
    for rule in relay::routes(&rules.routes, metric) {
        before.push(format!(
            "carbon-relay sends it to {} by [{}]",
            rule.destinations.join(", "),
            rule.section
        ));
    }
    before
}
