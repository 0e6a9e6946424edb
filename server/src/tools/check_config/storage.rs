//! storage-schemas.conf and storage-aggregation.conf: each section with what it comes to, sections
//! that are left out, refused, or never reached because an earlier one takes everything.
//! Read by the engine's own reader; existing files are `existing`'s.

use benzene_engine::schemas::ini::IniFile;
use benzene_engine::schemas::pattern::Pattern;
use benzene_engine::schemas::{
    AggregationRule, Aggregations, Schema, SchemaError, Schemas, Warning,
};
use benzene_engine::whisper::{Aggregation, Header, Retention};

use super::finding::{Level, Notes};
use crate::config::{self, DataDirectory};

/// Whisper's own, where a rule leaves it open.
pub(super) const X_FILES_FACTOR_DEFAULT: f32 = 0.5;

/// Rules, and where their sections stand.
#[derive(Debug)]
pub(super) struct RuleFile<R> {
    pub(super) rules: R,
    pub(super) ini: IniFile,
}

impl<R> RuleFile<R> {
    /// The line of a section; none for the default that stands in no file.
    pub(super) fn line(&self, section: &str) -> Option<usize> {
        self.ini.section(section).map(|section| section.line)
    }
}

/// storage-schemas.conf, whose sections may name one of these data directories; none where no
/// carbon.conf says which there are.
pub(super) fn schemas(
    text: &str,
    data: Option<&[DataDirectory]>,
    notes: &mut Notes,
) -> RuleFile<Schemas> {
    let mut survey = Schemas::survey(text);
    let (ini, _) = IniFile::survey(text);
    let unknown = data.map(|data| config::resolve_volumes(&mut survey.rules, data));
    survey.errors.extend(unknown.into_iter().flatten());
    faults(&survey.errors, &survey.warnings, notes);
    reach(&ini, notes);
    let written = survey.rules.iter().count() - 1;
    for schema in survey.rules.iter().take(written) {
        if let Some(section) = ini.section(&schema.name) {
            let pattern = raw(&ini, &schema.name, "pattern");
            let means = format!("[{}] {pattern} gets {}", schema.name, archives(schema));
            notes.used(section.line, means);
        }
    }
    if ini.sections().is_empty() && written == 0 {
        let text = "it has no section, so every new file gets 60s:7d; write one with a pattern and \
                    retentions";
        notes.whole(Level::Warning, text);
    }
    RuleFile {
        rules: survey.rules,
        ini,
    }
}

/// storage-aggregation.conf.
pub(super) fn aggregations(text: &str, notes: &mut Notes) -> RuleFile<Aggregations> {
    let survey = Aggregations::survey(text);
    let (ini, _) = IniFile::survey(text);
    faults(&survey.errors, &survey.warnings, notes);
    reach(&ini, notes);
    let written = survey.rules.iter().count() - 1;
    for rule in survey.rules.iter().take(written) {
        if let Some(section) = ini.section(&rule.name) {
            let pattern = raw(&ini, &rule.name, "pattern");
            let (method, factor) = method_and_factor(rule);
            let (name, method) = (&rule.name, method.name());
            let means = format!("[{name}] {pattern} gets {method}, xFilesFactor {factor}");
            notes.used(section.line, means);
        }
    }
    RuleFile {
        rules: survey.rules,
        ini,
    }
}

fn faults(errors: &[SchemaError], warnings: &[Warning], notes: &mut Notes) {
    for error in errors {
        let mend = match error {
            SchemaError::Pattern { .. } => "; correct the pattern, a regular expression of Python",
            SchemaError::Retention { .. } => "; write a list such as 60s:1d, 5m:30d",
            SchemaError::Grammar(_)
            | SchemaError::XFilesFactor { .. }
            | SchemaError::Method { .. }
            | SchemaError::Volume { .. } => "",
        };
        notes.error(error.line(), format!("{error}{mend}"));
    }
    for warning in warnings {
        notes.warning(warning.line, warning.to_string());
    }
}

/// Sections that no metric comes to, and keys without effect.
fn reach(ini: &IniFile, notes: &mut Notes) {
    let mut before: Vec<(&str, String)> = Vec::new();
    for section in ini.rules().filter(|section| section.is_alone) {
        let pattern = value(ini, &section.name, "pattern").unwrap_or_default();
        let name = &section.name;
        let all = before.iter().find(|(_, earlier)| takes_all(earlier));
        let same = before.iter().find(|(_, earlier)| *earlier == pattern);
        if let Some((first, _)) = all {
            let text = format!(
                "[{name}] is never reached: [{first}] above takes every metric; move [{name}] above \
                 [{first}]"
            );
            notes.warning(section.line, text);
        } else if let Some((first, _)) = same.filter(|_| !pattern.is_empty()) {
            let text = format!(
                "[{name}] is never reached: [{first}] above has the same pattern; remove one of them"
            );
            notes.warning(section.line, text);
        }
        if ini.get(name, "priority").is_ok_and(|found| found.is_some()) {
            let text =
                format!("[{name}] priority: the order of the file decides, as with Python carbon");
            notes.ignored(ini.line(section, "priority"), text);
        }
        before.push((name, pattern));
    }
}

/// Whether a pattern occurs in every name, as far as that is plain to see.
fn takes_all(pattern: &str) -> bool {
    let core = pattern.trim_start_matches('^').trim_end_matches('$');
    !pattern.is_empty() && matches!(core, "" | ".*" | ".+" | "(.*)" | ".")
}

fn value(ini: &IniFile, section: &str, key: &str) -> Option<String> {
    ini.get(section, key).ok().flatten()
}

fn raw(ini: &IniFile, section: &str, key: &str) -> String {
    value(ini, section, key).unwrap_or_default()
}

/// What a new file is made with.
pub(super) fn method_and_factor(rule: &AggregationRule) -> (Aggregation, f32) {
    (
        rule.method.unwrap_or(Aggregation::Average),
        rule.x_files_factor.unwrap_or(X_FILES_FACTOR_DEFAULT),
    )
}

/// A schema's archives in the words of the file, the bytes of a file, and its data directory where it
/// names one.
pub(super) fn archives(schema: &Schema) -> String {
    let bytes = match Header::new(&schema.archives, 0.0, Aggregation::Average) {
        Ok(header) => format!(", {} bytes a file", header.file_bytes()),
        Err(_) => String::new(),
    };
    let volume = schema.volume.as_ref();
    let place = volume.map_or_else(String::new, |volume| format!(", in {}", volume.text));
    retentions(&schema.archives) + &bytes + &place
}

/// Archives as they are written in storage-schemas.conf.
pub(super) fn retentions(archives: &[Retention]) -> String {
    let one = |archive: &Retention| {
        let (step, whole) = (u64::from(archive.step_s), archive.retention_s());
        format!("{}:{}", span(step), span(whole))
    };
    archives.iter().map(one).collect::<Vec<_>>().join(",")
}

/// Seconds in the largest unit that they are whole in.
fn span(seconds: u64) -> String {
    const UNITS: [(&str, u64); 5] = [
        ("y", 365 * 86_400),
        ("d", 86_400),
        ("h", 3_600),
        ("m", 60),
        ("s", 1),
    ];
    let unit = UNITS
        .iter()
        .find(|(_, size)| seconds >= *size && seconds.is_multiple_of(*size));
    match unit {
        Some((unit, size)) => format!("{}{unit}", seconds / size),
        None => format!("{seconds}s"),
    }
}

/// A pattern, or what is wrong with it and that it is to be corrected.
pub(super) fn compile(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|fault| format!("{fault}; correct the pattern"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retentions_are_said_as_they_are_written() {
        let archive = |step_s, points| Retention { step_s, points };
        let archives = [archive(10, 2160), archive(60, 10_080), archive(3600, 8760)];
        assert_eq!(retentions(&archives), "10s:6h,1m:7d,1h:1y");
        assert_eq!(retentions(&[archive(7, 1)]), "7s:7s");
    }

    #[test]
    fn patterns_that_take_everything_are_known() {
        for (pattern, all) in [
            (".*", true),
            ("^.*$", true),
            (".+", true),
            ("^", true),
            ("", false),
            ("^carbon", false),
            (".*cpu", false),
        ] {
            assert_eq!(takes_all(pattern), all, "{pattern}");
        }
    }
}
