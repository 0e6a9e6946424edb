//! storage-schemas.conf and storage-aggregation.conf: which archives and which method a new file gets.
//! Sections are tried in the order of the file; the first whose pattern occurs in the canonical
//! name wins, and a default takes the rest. `[DEFAULT]` is a section among them where it has a pattern,
//! beside lending its keys to the others, as in Python carbon. Asked once per new metric; existing files
//! never change.
//! Never reads a file and never logs: text in, rules and warnings out.
//! Invariant: the archives of every rule can be laid out in a Whisper file, finest first.
//! On failure: what stops Python carbon's start is a `SchemaError`; what makes it skip a section is
//! a `Warning`, and the section is skipped.

mod error;
pub mod ini;
mod literal;
pub mod pattern;
mod python_re;
pub mod retention;
mod rules;

pub use error::{Reason, SchemaError, Warning};
pub use rules::Chosen;

use crate::whisper::{Aggregation, Header, Retention};
use ini::{DEFAULT_SECTION, IniFile, Section};
use pattern::Pattern;
use rules::Rules;

/// Name of the rule that takes what no section takes.
pub const DEFAULT_RULE: &str = "default";
/// Archives of that rule: a point a minute for seven days, as Python carbon's.
const DEFAULT_RETENTION: Retention = Retention {
    step_s: 60,
    points: 7 * 24 * 60,
};

/// The rules of storage-schemas.conf.
#[derive(Clone, Debug)]
pub struct Schemas {
    rules: Rules<Schema>,
    /// Some section names a data directory.
    name_volumes: bool,
}

/// One section of storage-schemas.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The section's name.
    pub name: String,
    /// Its archives, finest first.
    pub archives: Vec<Retention>,
    /// The data directory of its new files, where it names one.
    pub volume: Option<NamedVolume>,
}

/// A data directory as a section names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedVolume {
    /// As written: its name or its path.
    pub text: String,
    /// Line of the key.
    pub line: usize,
    /// Its number in the list of carbon.conf, once that is known (`Schemas::resolve_volumes`).
    pub number: Option<usize>,
}

/// The rules of storage-aggregation.conf.
#[derive(Clone, Debug)]
pub struct Aggregations {
    rules: Rules<AggregationRule>,
}

/// One section of storage-aggregation.conf. What is None is Whisper's default: 0.5 and average.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregationRule {
    /// The section's name.
    pub name: String,
    /// The share of known points from which a coarser one is made, 0 to 1.
    pub x_files_factor: Option<f32>,
    /// How it is made.
    pub method: Option<Aggregation>,
}

impl Schemas {
    /// Reads storage-schemas.conf.
    pub fn parse(text: &str) -> Result<(Schemas, Vec<Warning>), SchemaError> {
        Self::survey(text).settle()
    }

    /// Reads storage-schemas.conf past whatever is wrong with it, for whoever checks one.
    pub fn survey(text: &str) -> Survey<Schemas> {
        let mut survey = Survey::new(Self::builtin());
        let known = ["pattern", "retentions", "priority", "volume"];
        survey.sections(text, &known, schema, |schemas, name, pattern, schema| {
            schemas.rules.push(name, pattern, schema);
        });
        survey
    }

    /// The default alone: a point a minute for seven days.
    pub fn builtin() -> Schemas {
        let name = DEFAULT_RULE.to_owned();
        Schemas {
            rules: Rules::new(Schema {
                name,
                archives: vec![DEFAULT_RETENTION],
                volume: None,
            }),
            name_volumes: false,
        }
    }

    /// The archives of a new metric.
    pub fn archives(&self, metric: &str) -> Chosen<'_, Schema> {
        self.rules.find(metric)
    }

    /// Finds the data directories that sections name; `find` knows their numbers, and `known` says which
    /// there are. Answers every section that names none of them.
    pub fn resolve_volumes(
        &mut self,
        find: impl Fn(&str) -> Option<usize>,
        known: &str,
    ) -> Vec<SchemaError> {
        let mut unknown = Vec::new();
        for rule in self.rules.iter_mut() {
            let Some(volume) = &mut rule.volume else {
                continue;
            };
            volume.number = find(&volume.text);
            self.name_volumes |= volume.number.is_some();
            if volume.number.is_none() {
                unknown.push(SchemaError::Volume {
                    line: volume.line,
                    section: rule.name.clone(),
                    found: volume.text.clone(),
                    known: known.to_owned(),
                });
            }
        }
        unknown
    }

    /// The number of the data directory in which a new metric's section wants its file; None where it
    /// says nothing.
    pub fn volume(&self, metric: &str) -> Option<usize> {
        // Most sites name none, and then no pattern is tried.
        if !self.name_volumes {
            return None;
        }
        self.archives(metric).rule.volume.as_ref()?.number
    }

    /// Every rule in order, the default last.
    pub fn iter(&self) -> impl Iterator<Item = &Schema> {
        self.rules.iter()
    }
}

impl Aggregations {
    /// Reads storage-aggregation.conf.
    pub fn parse(text: &str) -> Result<(Aggregations, Vec<Warning>), SchemaError> {
        Self::survey(text).settle()
    }

    /// Reads storage-aggregation.conf past whatever is wrong with it, for whoever checks one.
    pub fn survey(text: &str) -> Survey<Aggregations> {
        let mut survey = Survey::new(Self::builtin());
        let known = ["pattern", "xfilesfactor", "aggregationmethod", "priority"];
        survey.sections(text, &known, aggregation, |rules, name, pattern, rule| {
            rules.rules.push(name, pattern, rule);
        });
        survey
    }

    /// The default alone: Whisper's own.
    pub fn builtin() -> Aggregations {
        let name = DEFAULT_RULE.to_owned();
        let default = AggregationRule {
            name,
            x_files_factor: None,
            method: None,
        };
        Aggregations {
            rules: Rules::new(default),
        }
    }

    /// How a new metric is aggregated.
    pub fn rule(&self, metric: &str) -> Chosen<'_, AggregationRule> {
        self.rules.find(metric)
    }

    /// Every rule in order, the default last.
    pub fn iter(&self) -> impl Iterator<Item = &AggregationRule> {
        self.rules.iter()
    }
}

/// A file of rules with everything that is wrong with it.
#[derive(Clone, Debug)]
pub struct Survey<R> {
    /// The rules of the sections that could be read.
    pub rules: R,
    /// What would refuse the file, in the order in which it was met; the grammar first.
    pub errors: Vec<SchemaError>,
    /// What would be left out or has no meaning.
    pub warnings: Vec<Warning>,
}

/// What becomes of a section: refused, left out, or a rule and its pattern.
type Read<T> = Result<Result<(Pattern, T), Warning>, SchemaError>;

impl<R> Survey<R> {
    fn new(rules: R) -> Self {
        Self {
            rules,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn sections<T>(
        &mut self,
        text: &str,
        known: &[&str],
        read: impl Fn(&Values<'_>) -> Read<T>,
        keep: impl Fn(&mut R, &str, Pattern, T),
    ) {
        let (file, faults) = IniFile::survey(text);
        self.errors
            .extend(faults.into_iter().map(SchemaError::from));
        for section in file.rules() {
            if !section.is_alone {
                self.warnings.push(Warning {
                    line: section.line,
                    section: section.name.clone(),
                    reason: Reason::NotAlone,
                });
                continue;
            }
            let values = match Values::new(&file, section) {
                Ok(values) => values,
                Err(error) => {
                    self.errors.push(error);
                    continue;
                }
            };
            let is_default = section.name == DEFAULT_SECTION;
            // What only `%(KEY)s` of other sections refers to is in its place there.
            if !is_default {
                values.warn_of_unknown(known, &mut self.warnings);
            }
            match read(&values) {
                Ok(Ok((pattern, rule))) => keep(&mut self.rules, &section.name, pattern, rule),
                // Without a pattern it is there for the other sections alone.
                Ok(Err(_)) if is_default && values.get("pattern").is_none() => {}
                Ok(Err(warning)) => self.warnings.push(warning),
                Err(error) => self.errors.push(error),
            }
        }
    }

    /// The rules, or the first error.
    fn settle(mut self) -> Result<(R, Vec<Warning>), SchemaError> {
        if self.errors.is_empty() {
            Ok((self.rules, self.warnings))
        } else {
            Err(self.errors.swap_remove(0))
        }
    }
}

/// A section's values with references resolved, those of `[DEFAULT]` among them.
struct Values<'a> {
    file: &'a IniFile,
    section: &'a Section,
    resolved: Vec<(String, String)>,
}

impl<'a> Values<'a> {
    fn new(file: &'a IniFile, section: &'a Section) -> Result<Self, SchemaError> {
        let resolved = file.values(section)?;
        Ok(Self {
            file,
            section,
            resolved,
        })
    }

    fn get(&self, folded: &str) -> Option<&str> {
        let mut values = self.resolved.iter();
        values
            .find(|(key, _)| key == folded)
            .map(|(_, value)| value.as_str())
    }

    fn line(&self, folded: &str) -> usize {
        self.file.line(self.section, folded)
    }

    fn warning(&self, folded: &str, reason: Reason) -> Warning {
        Warning {
            line: self.line(folded),
            section: self.section.name.clone(),
            reason,
        }
    }

    fn warn_of_unknown(&self, known: &[&str], warnings: &mut Vec<Warning>) {
        for entry in self.section.entries() {
            let folded = entry.key.to_lowercase();
            if !known.contains(&folded.as_str()) {
                let reason = Reason::UnknownKey {
                    key: entry.key.clone(),
                };
                warnings.push(self.warning(&folded, reason));
            }
        }
    }

    fn pattern(&self) -> Result<Option<Pattern>, SchemaError> {
        let text = self.get("pattern").filter(|text| !text.is_empty());
        text.map(Pattern::new)
            .transpose()
            .map_err(|reason| SchemaError::Pattern {
                line: self.line("pattern"),
                section: self.section.name.clone(),
                reason,
            })
    }
}

/// A section of storage-schemas.conf: refused, left out with a warning, or a rule. What comes
/// first wins, in Python's order: retentions missing, retentions bad, pattern, layout.
fn schema(values: &Values<'_>) -> Read<Schema> {
    let Some(definitions) = values.get("retentions") else {
        return Ok(Err(values.warning("retentions", Reason::NoRetentions)));
    };
    let archives: Result<Vec<Retention>, _> =
        definitions.split(',').map(retention::parse).collect();
    let mut archives = archives.map_err(|reason| SchemaError::Retention {
        line: values.line("retentions"),
        section: values.section.name.clone(),
        reason,
    })?;
    let Some(pattern) = values.pattern()? else {
        return Ok(Err(values.warning("pattern", Reason::NoPattern)));
    };
    // The layout does not depend on how points are aggregated; any method will do.
    if let Err(broken) = Header::new(&archives, 0.0, Aggregation::Average) {
        return Ok(Err(values.warning("retentions", Reason::Layout(broken))));
    }
    archives.sort_by_key(|archive| archive.step_s);
    Ok(Ok((
        pattern,
        Schema {
            name: values.section.name.clone(),
            archives,
            volume: values.get("volume").map(|text| NamedVolume {
                text: text.to_owned(),
                line: values.line("volume"),
                number: None,
            }),
        },
    )))
}

/// A section of storage-aggregation.conf, likewise: factor, method, pattern.
fn aggregation(values: &Values<'_>) -> Read<AggregationRule> {
    let section = || values.section.name.clone();
    let x_files_factor = match values.get("xfilesfactor") {
        None => None,
        Some(text) => {
            let found = text.to_owned();
            let Ok(factor) = text.parse::<f64>() else {
                let reason = Reason::XFilesFactorText { found };
                return Ok(Err(values.warning("xfilesfactor", reason)));
            };
            // NaN is in no range, as in Python.
            if !(0.0..=1.0).contains(&factor) {
                let line = values.line("xfilesfactor");
                return Err(SchemaError::XFilesFactor {
                    line,
                    section: section(),
                    found,
                });
            }
            Some(stored(factor))
        }
    };
    let method = match values.get("aggregationmethod") {
        None => None,
        Some(name) => {
            let method = Aggregation::from_name(name).ok_or_else(|| SchemaError::Method {
                line: values.line("aggregationmethod"),
                section: section(),
                found: name.to_owned(),
            })?;
            Some(method)
        }
    };
    let Some(pattern) = values.pattern()? else {
        return Ok(Err(values.warning("pattern", Reason::NoPattern)));
    };
    Ok(Ok((
        pattern,
        AggregationRule {
            name: section(),
            x_files_factor,
            method,
        },
    )))
}

/// The factor as a file's header holds it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the header has 32 bits; Python rounds alike"
)]
fn stored(factor: f64) -> f32 {
    factor as f32
}

#[cfg(test)]
mod tests;
