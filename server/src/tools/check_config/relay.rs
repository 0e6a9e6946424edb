//! The sections of carbon-relay and carbon-aggregator in carbon.conf, and relay-rules.conf. They are
//! not ours to act on: whether the program that reads them can, is what is said.
//! Shapes and choices are those of Python carbon 1.1.10. Settings that a cache has too are read as a
//! cache's. A section with nothing wrong has one line.

use benzene_engine::schemas::Reason;
use benzene_engine::schemas::ini::{IniFile, Section};
use benzene_engine::schemas::pattern::{Pattern, Search};

use super::carbon::unknown;
use super::finding::{Level, Notes};
use super::storage::compile;
use crate::config::{self, Becomes, Key, Program, SectionSurvey, is_quoted};

/// What a value has to be.
#[derive(Clone, Copy)]
enum Shape {
    Switch,
    /// Python fails on any other number.
    Whole,
    /// Python only compares and multiplies by it, so that `1e6` and `inf` serve.
    Amount,
    Number,
    Destinations,
    Words(&'static [&'static str]),
}

/// Ways of routing.
const METHODS: &[&str] = &[
    "constant",
    "rules",
    "consistent-hashing",
    "aggregated-consistent-hashing",
    "fast-hashing",
    "fast-aggregated-hashing",
];

/// Settings of relays and aggregators whose values have a shape.
const SHAPES: &[(&str, Shape)] = &[
    ("RELAY_METHOD", Shape::Words(METHODS)),
    (
        "ROUTER_HASH_TYPE",
        Shape::Words(&["carbon_ch", "fnv1a_ch", "mmh3_ch", "None"]),
    ),
    (
        "DESTINATION_PROTOCOL",
        Shape::Words(&["pickle", "line", "protobuf"]),
    ),
    ("DESTINATION_TRANSPORT", Shape::Words(&["none", "ssl"])),
    ("DESTINATIONS", Shape::Destinations),
    ("REPLICATION_FACTOR", Shape::Whole),
    ("DIVERSE_REPLICAS", Shape::Switch),
    ("DESTINATION_POOL_REPLICAS", Shape::Switch),
    ("DYNAMIC_ROUTER", Shape::Switch),
    ("DYNAMIC_ROUTER_MAX_RETRIES", Shape::Whole),
    ("MAX_DATAPOINTS_PER_MESSAGE", Shape::Whole),
    ("MAX_QUEUE_SIZE", Shape::Amount),
    ("QUEUE_LOW_WATERMARK_PCT", Shape::Number),
    ("MAX_QUEUE_SIZE_HARD_PCT", Shape::Number),
    ("TIME_TO_DEFER_SENDING", Shape::Number),
    ("TAG_RELAY_NORMALIZED", Shape::Switch),
    ("USE_RATIO_RESET", Shape::Switch),
    ("MIN_RESET_STAT_FLOW", Shape::Amount),
    ("MIN_RESET_RATIO", Shape::Number),
    ("MIN_RESET_INTERVAL", Shape::Amount),
    ("FORWARD_ALL", Shape::Switch),
    ("MAX_AGGREGATION_INTERVALS", Shape::Amount),
    ("CACHE_METRIC_NAMES_MAX", Shape::Number),
    ("CACHE_METRIC_NAMES_TTL", Shape::Number),
    ("LOG_AGGREGATOR_MISSES", Shape::Switch),
];

/// Looks at [relay], [aggregator] and their like.
pub(super) fn check_section(section: &SectionSurvey, notes: &mut Notes) {
    let mut wrong = 0;
    for key in &section.keys {
        match &key.becomes {
            Becomes::Wrong(fault) => {
                wrong += 1;
                let (name, shown) = (&key.name, &key.shown);
                notes.error(
                    key.line,
                    format!("[{}] {name} = {shown}: {fault}", key.section),
                );
            }
            Becomes::Unknown { nearest } => unknown(key, *nearest, notes),
            Becomes::Used
            | Becomes::Replaced { .. }
            | Becomes::Already
            | Becomes::Idle { .. }
            | Becomes::NotDone { .. }
            | Becomes::Elsewhere => {
                let is_wrong = check_shape(key, notes);
                wrong += usize::from(is_wrong);
                if !is_wrong && is_quoted(&key.text) {
                    let text = format!(
                        "[{}] {} stands in quotes, and these are part of its value; take them off",
                        key.section, key.name
                    );
                    notes.warning(key.line, text);
                }
            }
        }
    }
    if wrong == 0 {
        let program = match section.program {
            Program::Relay => "carbon-relay",
            Program::Aggregator | Program::Cache | Program::Nobody => "carbon-aggregator",
        };
        let (name, count) = (&section.name, section.keys.len());
        let text = format!("[{name}] {program} reads it: {count} settings, all readable");
        notes.ignored(section.line, text);
    }
}

/// Whether a value's shape is wrong, which is said.
fn check_shape(key: &Key, notes: &mut Notes) -> bool {
    let shape = SHAPES
        .iter()
        .find(|(name, _)| key.name.eq_ignore_ascii_case(name));
    let Some((_, shape)) = shape else {
        return false;
    };
    let text = key.text.as_str();
    let wrong = match shape {
        Shape::Switch => {
            let words = ["1", "yes", "true", "on", "0", "no", "false", "off"];
            let known = words.contains(&text.to_ascii_lowercase().as_str());
            (!known).then(|| "that is neither true nor false; write True or False".to_owned())
        }
        Shape::Whole => {
            let whole = text.parse::<u64>().is_ok();
            (!whole).then(|| "that is no whole number; write one such as 500".to_owned())
        }
        Shape::Amount => {
            let amount = config::number(text).is_some_and(|number| number >= 0.0);
            (!amount).then(|| "that is no number from 0 up; write one such as 500".to_owned())
        }
        Shape::Number => {
            let number = config::number(text).is_some();
            (!number).then(|| "that is no number; write one such as 0.8".to_owned())
        }
        Shape::Words(words) => {
            let known = words.contains(&text);
            (!known).then(|| format!("there is no such choice; write one of {}", words.join(", ")))
        }
        Shape::Destinations => text.split(',').find_map(|one| destination(one).err()),
    };
    let Some(wrong) = wrong else { return false };
    let (section, name) = (&key.section, &key.name);
    let shown = &key.shown;
    notes.error(key.line, format!("[{section}] {name} = {shown}: {wrong}"));
    true
}

/// Reads `HOST:PORT[:INSTANCE]`; the error says what is wrong and how to mend it.
fn destination(text: &str) -> Result<String, String> {
    let text = text.trim();
    let rest = match text.strip_prefix('[') {
        Some(inside) => inside.split_once("]:").map(|(_, rest)| rest),
        None => text.split_once(':').map(|(_, rest)| rest),
    };
    let port = rest.and_then(|rest| rest.split(':').next());
    let fine = port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if fine && !text.starts_with(':') {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{text}` is no destination; write HOST:PORT or HOST:PORT:INSTANCE, such as \
             127.0.0.1:2004:a, and commas between several"
        ))
    }
}

/// The destinations of a list that can be read.
pub(super) fn destinations(text: &str) -> Vec<String> {
    let parts = text.split(',').map(destination);
    parts.filter_map(Result::ok).collect()
}

/// One rule of relay-rules.conf.
#[derive(Debug)]
pub(super) struct RelayRule {
    pub(super) section: String,
    /// `None` takes every metric.
    pattern: Option<Pattern>,
    pub(super) destinations: Vec<String>,
    goes_on: bool,
}

/// The rules that a metric goes by, in their order.
pub(super) fn routes<'a>(rules: &'a [RelayRule], metric: &str) -> Vec<&'a RelayRule> {
    let mut found = Vec::new();
    for rule in rules {
        let matches = match &rule.pattern {
            Some(pattern) => pattern.search(metric) == Search::Match,
            None => true,
        };
        if matches {
            found.push(rule);
            if !rule.goes_on {
                break;
            }
        }
    }
    found
}

/// relay-rules.conf. `known` are the relay's DESTINATIONS, where a carbon.conf says them.
pub(super) fn rules(text: &str, known: &[String], notes: &mut Notes) -> Vec<RelayRule> {
    let (ini, faults) = IniFile::survey(text);
    for fault in faults {
        notes.error(fault.line(), fault.to_string());
    }
    let mut rules = Vec::new();
    let mut default: Option<RelayRule> = None;
    for section in ini.sections() {
        if !section.is_alone {
            let text = format!("[{}] {}", section.name, Reason::NotAlone);
            notes.warning(section.line, text);
            continue;
        }
        let Some(rule) = rule(&ini, section, notes) else {
            continue;
        };
        for destination in rule.destinations.iter().filter(|_| !known.is_empty()) {
            if !known.contains(destination) {
                let text = format!(
                    "[{}] {destination} is not among [relay]'s DESTINATIONS, and the relay skips it \
                     in silence; add it there",
                    section.name
                );
                notes.warning(ini.line(section, "destinations"), text);
            }
        }
        match (&rule.pattern, &default) {
            (Some(_), _) => rules.push(rule),
            (None, None) => default = Some(rule),
            (None, Some(first)) => {
                let (name, first) = (&section.name, &first.section);
                let text = format!(
                    "[{name}] is a second default beside [{first}]; leave default = true in one"
                );
                notes.error(section.line, text);
            }
        }
    }
    if default.is_none() {
        let text = "no section has default = true, without which carbon-relay does not start; add \
                    one with default = true and destinations";
        notes.whole(Level::Error, text);
    }
    rules.extend(default);
    rules
}

fn rule(ini: &IniFile, section: &Section, notes: &mut Notes) -> Option<RelayRule> {
    let name = &section.name;
    strange_keys(section, notes);
    let line = |key| ini.line(section, key);
    let get = |key: &str, notes: &mut Notes| match ini.get(name, key) {
        Ok(value) => value,
        Err(fault) => {
            notes.error(fault.line(), fault.to_string());
            None
        }
    };
    let Some(list) = get("destinations", notes) else {
        let mend = "add a line destinations = HOST:PORT:INSTANCE";
        notes.error(
            section.line,
            format!("[{name}] has no destinations; {mend}"),
        );
        return None;
    };
    for wrong in list.split(',').filter_map(|one| destination(one).err()) {
        notes.error(
            line("destinations"),
            format!("[{name}] destinations: {wrong}"),
        );
    }
    let goes_on = switch(get("continue", notes), name, line("continue"), notes);
    let default = get("default", notes);
    let is_default = switch(default.clone(), name, line("default"), notes);
    let pattern = match (get("pattern", notes), default) {
        (Some(_), Some(_)) => {
            let text = format!("[{name}] has both pattern and default; keep one of the two");
            notes.error(section.line, text);
            return None;
        }
        // The relay looks for patterns without regard to case.
        (Some(text), None) => match compile(&format!("(?i){text}")) {
            Ok(pattern) => Some(pattern),
            Err(wrong) => {
                notes.error(line("pattern"), format!("[{name}] pattern: {wrong}"));
                return None;
            }
        },
        (None, _) if is_default => None,
        (None, _) => {
            let text = format!(
                "[{name}] has neither pattern nor default = true, so that it routes nothing; add one"
            );
            notes.warning(section.line, text);
            return None;
        }
    };
    let takes = if pattern.is_some() {
        "its pattern"
    } else {
        "what no other takes"
    };
    let to = destinations(&list);
    let said = format!("[{name}] carbon-relay sends {takes} to {}", to.join(", "));
    notes.ignored(section.line, said);
    Some(RelayRule {
        section: name.clone(),
        pattern,
        destinations: to,
        goes_on,
    })
}

fn strange_keys(section: &Section, notes: &mut Notes) {
    let name = &section.name;
    for entry in section.entries() {
        let known = ["pattern", "destinations", "continue", "default"];
        if !known.contains(&entry.key.to_lowercase().as_str()) {
            let key = &entry.key;
            let text = format!("[{name}] has a key '{key}' that means nothing here; remove it");
            notes.warning(entry.line, text);
        }
    }
}

/// A switch; what is neither true nor false is said, and false.
fn switch(text: Option<String>, section: &str, line: usize, notes: &mut Notes) -> bool {
    let Some(text) = text else { return false };
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => true,
        "0" | "no" | "false" | "off" => false,
        _ => {
            let text =
                format!("[{section}] `{text}` is neither true nor false; write true or false");
            notes.error(line, text);
            false
        }
    }
}
