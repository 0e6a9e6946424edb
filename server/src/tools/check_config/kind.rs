//! Which of carbon's configuration files a file is: by its name, else by what stands in it.
//! Never reads a file. A file that cannot be told is asked for with --as, not guessed.

use benzene_engine::schemas::ini::{IniFile, Section};
use clap::ValueEnum;
use std::path::Path;

/// The files that carbon's programs read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConfKind {
    /// carbon.conf
    Carbon,
    /// storage-schemas.conf
    Schemas,
    /// storage-aggregation.conf
    Aggregation,
    /// whitelist.conf
    Whitelist,
    /// blacklist.conf
    Blacklist,
    /// relay-rules.conf
    RelayRules,
    /// aggregation-rules.conf, of carbon-aggregator
    AggregationRules,
    /// rewrite-rules.conf, of carbon-aggregator
    RewriteRules,
}

/// Parts of names that tell a file, the more special ones first.
const NAMES: [(&str, ConfKind); 9] = [
    ("storage-schemas", ConfKind::Schemas),
    ("storage-aggregation", ConfKind::Aggregation),
    ("aggregation-rules", ConfKind::AggregationRules),
    ("rewrite-rules", ConfKind::RewriteRules),
    ("relay-rules", ConfKind::RelayRules),
    ("whitelist", ConfKind::Whitelist),
    ("blacklist", ConfKind::Blacklist),
    ("carbon.conf", ConfKind::Carbon),
    ("schemas", ConfKind::Schemas),
];

impl ConfKind {
    /// Tells a file by its name, else by its text.
    pub(super) fn tell(path: &Path, text: &str) -> Option<ConfKind> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let by_name = NAMES.iter().find(|(part, _)| name.contains(part));
        by_name.map(|(_, kind)| *kind).or_else(|| by_text(text))
    }
}

fn by_text(text: &str) -> Option<ConfKind> {
    let (ini, _) = IniFile::survey(text);
    let sections = || ini.sections().iter();
    let head = |name: &str| {
        let program = name.split(':').next().unwrap_or_default();
        ["cache", "relay", "aggregator", "aggregator-cache"].contains(&program)
    };
    if sections().any(|section| head(&section.name)) {
        return Some(ConfKind::Carbon);
    }
    let mut heads = sections().map(|section| section.name.to_lowercase());
    if heads.any(|head| head == "pre" || head == "post") {
        return Some(ConfKind::RewriteRules);
    }
    for (key, kind) in [
        ("retentions", ConfKind::Schemas),
        ("xfilesfactor", ConfKind::Aggregation),
        ("aggregationmethod", ConfKind::Aggregation),
        ("destinations", ConfKind::RelayRules),
    ] {
        let has = |key: &str| {
            sections()
                .flat_map(Section::entries)
                .any(|entry| entry.key.eq_ignore_ascii_case(key))
        };
        if has(key) {
            return Some(kind);
        }
    }
    let rule = |line: &str| {
        let (left, _) = line.split_once('=')?;
        left.trim_end().ends_with(')').then_some(())
    };
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.find_map(rule).map(|()| ConfKind::AggregationRules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_name_or_by_text() {
        for (name, text, kind) in [
            ("/etc/carbon/carbon.conf", "", Some(ConfKind::Carbon)),
            ("carbon.conf.example", "", Some(ConfKind::Carbon)),
            ("storage-schemas.conf", "[cache]", Some(ConfKind::Schemas)),
            ("my-blacklist.conf", "", Some(ConfKind::Blacklist)),
            ("a.conf", "[cache:b]\nX = 1", Some(ConfKind::Carbon)),
            ("a.conf", "[x]\nretentions = 1", Some(ConfKind::Schemas)),
            ("a", "[x]\nxFilesFactor = 0", Some(ConfKind::Aggregation)),
            ("a", "[x]\ndestinations = h:1", Some(ConfKind::RelayRules)),
            ("a", "[post]\na = b", Some(ConfKind::RewriteRules)),
            ("a", "x (60) = sum y", Some(ConfKind::AggregationRules)),
            ("a", "some words", None),
            ("a", "", None),
        ] {
            assert_eq!(ConfKind::tell(Path::new(name), text), kind, "{name} {text}");
        }
    }
}
