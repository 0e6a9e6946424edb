//! go-carbon's storage-schemas.conf beside Python carbon's rules: the same format, some words of which
//! mean something else. What a site's own file has of that is named with its line.
//! Never changes a file; a file that is not there is not missed, for it may be on another machine.

use std::path::Path;

use benzene_engine::schemas::ini::{Entry, IniFile};
use benzene_engine::whisper::Aggregation;

use super::Translation;
use super::defaults::Section;
use crate::config;

/// Looks at the storage files that go-carbon reads, as far as they can be read.
pub(super) fn look(whisper: Section<'_>, translation: &mut Translation) {
    for key in ["schemas-file", "aggregation-file"] {
        let named = whisper.get(key).and_then(|(value, _)| value.as_str());
        let Some(path) = named.filter(|path| !path.is_empty()) else {
            continue;
        };
        let Ok(text) = config::read_file(Path::new(path)) else {
            let reason = "it could not be read here; sections with priority, retentions such as \
                          60s:1440 and quoted values mean something else in go-carbon \
                          (docs/operating/migrate.md)";
            translation.look(path, reason);
            continue;
        };
        look_at(path, &text, translation);
    }
}

fn look_at(path: &str, text: &str, translation: &mut Translation) {
    let (ini, _) = IniFile::survey(text);
    for section in ini.sections() {
        for entry in section.entries() {
            if let Some(reason) = differs(entry) {
                let (name, line) = (&section.name, entry.line);
                translation.look(
                    &format!("{path} line {line} [{name}] {}", entry.key),
                    reason,
                );
            }
        }
    }
}

/// What an entry means here that it does not mean there.
fn differs(entry: &Entry) -> Option<&'static str> {
    let value = entry.value.trim();
    match entry.key.to_lowercase().as_str() {
        "priority" => Some(
            "go-carbon tries sections by priority, Benzene in the order of the file, as Python carbon; \
             put the sections in the order of their priorities",
        ),
        "compressed" => Some("files are never compressed; the key means nothing here"),
        "migration" | "xffmigration" | "aggregationmigration" => {
            Some("existing files stay as they were made; the key means nothing here")
        }
        "aggregationmethod" if Aggregation::from_name(value).is_none() => Some(
            "Benzene has Python carbon's methods; files that go-carbon has made with another, or with \
             several, are of a kind of their own and are not read",
        ),
        _ if value.starts_with('"') => Some("the quotes are part of the value here; take them off"),
        _ if value.contains('%') => {
            Some("a percent sign begins a reference here; write %% for one")
        }
        "retentions" if value.split(',').any(seconds_there) => Some(
            "the second number has no unit: go-carbon takes it for seconds where the first has a unit, \
             Benzene for points, as Python carbon; write it with a unit",
        ),
        _ => None,
    }
}

/// `60s:1440`, which is 24 points in go-carbon and 1,440 here.
fn seconds_there(definition: &str) -> bool {
    let Some((step, points)) = definition.trim().split_once(':') else {
        return false;
    };
    step.ends_with(|letter: char| letter.is_ascii_alphabetic())
        && points.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retentions_that_differ_are_known() {
        for (definition, differs) in [
            ("60s:1440", true),
            (" 1m:60", true),
            ("60:1440", false),
            ("60s:1d", false),
            ("60s", false),
        ] {
            assert_eq!(seconds_there(definition), differs, "{definition}");
        }
    }
}
