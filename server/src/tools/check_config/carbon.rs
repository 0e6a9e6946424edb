//! carbon.conf: every key of every section with what becomes of it, and where the other files and
//! the data are, as the daemon itself would work it out.
//! Values are read by `config::survey`, relations between settings by `config::load`, which is what
//! the start does; nothing is read twice in two ways.

use std::path::{Path, PathBuf};

use benzene_engine::metric::TaggedLeaf;

use super::finding::{Level, Notes};
use super::relay;
use crate::cli::CacheOptions;
use crate::config::{
    self, Becomes, Conf, ConfigError, DataDirectory, Key, Program, SectionSurvey, Survey,
};
use crate::desk;

/// What a carbon.conf says about everything else.
#[derive(Debug)]
pub(super) struct Carbon {
    /// Where the other files are.
    pub(super) conf_dir: PathBuf,
    /// Where new files go; none where the start would refuse this carbon.conf.
    pub(super) data: Option<Vec<DataDirectory>>,
    /// Where the Whisper files of all instances are.
    pub(super) data_dirs: Vec<PathBuf>,
    /// How files of tagged series are named.
    pub(super) leaf: TaggedLeaf,
    /// Whether the lists are read.
    pub(super) lists: bool,
    /// relay-rules.conf, where [relay] routes by it.
    pub(super) relay_rules: Option<String>,
    /// aggregation-rules.conf and rewrite-rules.conf, where there is a section that reads them.
    pub(super) aggregator: Option<(String, String)>,
    /// What [relay] sends to.
    pub(super) destinations: Vec<String>,
}

/// Looks at a carbon.conf.
pub(super) fn check(text: &str, notes: &mut Notes) -> Carbon {
    let file = notes.file().to_owned();
    let options = options(&file, None);
    let environment = |name: &str| std::env::var(name).ok();
    let (storage, conf) = config::usual_directories(&options, &environment);
    let (storage, conf) = (storage.to_string_lossy(), conf.to_string_lossy());
    let fallbacks = [("STORAGE_DIR", &*storage), ("CONF_DIR", &*conf)];
    let survey = config::survey(text, &fallbacks);
    for fault in &survey.faults {
        notes.error(fault.line(), fault.to_string());
    }
    for section in &survey.sections {
        check_section(section, notes);
    }
    if !survey
        .sections
        .iter()
        .any(|found| found.program == Program::Cache)
    {
        let text = "there is no [cache] section, so every setting has its default; write [cache] \
                    above the settings";
        notes.whole(Level::Warning, text);
    }
    let loaded = if notes.has_errors() {
        Vec::new()
    } else {
        load(text, &survey, notes)
    };
    settle(&survey, &loaded, &file)
}

fn options(file: &Path, instance: Option<&str>) -> CacheOptions {
    CacheOptions {
        config: Some(file.to_owned()),
        instance: instance.map(str::to_owned),
        ..CacheOptions::default()
    }
}

/// What the start would make of it: all instances in one process, as without --instance, and each that has a
/// section by itself. Where they do so by themselves and differ, that is a way to run them, and the only one.
fn load(text: &str, survey: &Survey, notes: &mut Notes) -> Vec<Conf> {
    let caches = survey.sections.iter();
    let caches = caches.filter(|section| section.program == Program::Cache);
    let named = caches.filter_map(|section| section.name.split_once(':'));
    let mut instances: Vec<String> = named.map(|(_, instance)| instance.to_owned()).collect();
    let together = load_one(text, None, notes);
    if let Err(ConfigError::Disagreement(who)) = &together {
        // Without a section, too.
        let both = [&who.one, &who.other].into_iter();
        for instance in both.filter_map(|it| it.instance.as_ref()) {
            if !instances.contains(instance) {
                instances.push(instance.clone());
            }
        }
    }
    let each = instances.iter();
    let each = each.map(|instance| load_one(text, Some(instance), notes));
    let mut all = vec![together];
    all.extend(each);
    let run_by_themselves = all[1..].iter().all(Result::is_ok);
    let mut loaded = Vec::new();
    for found in all {
        match found {
            Ok(found) => {
                for text in &found.misleading {
                    whole(Level::Warning, text, survey, notes);
                }
                if let Some(said) = desk::overlap_of_data(&found.settings.data) {
                    whole(Level::Error, &said, survey, notes);
                }
                loaded.push(found);
            }
            Err(error @ ConfigError::Disagreement(_)) if run_by_themselves => {
                let text = format!(
                    "these instances run one by one only, each with its --instance, and a start without that is \
                     refused: {error}"
                );
                whole(Level::Warning, &text, survey, notes);
            }
            Err(error) => whole(Level::Error, &error.to_string(), survey, notes),
        }
    }
    loaded
}

/// The same for one instance, or for all.
fn load_one(text: &str, instance: Option<&str>, notes: &Notes) -> Result<Conf, ConfigError> {
    let environment = |name: &str| std::env::var(name).ok();
    // Nothing else is asked for, and by another name where this one has `.` or `..` in it.
    let read = |_: &Path| Ok(text.to_owned());
    config::load_conf(&options(notes.file(), instance), &environment, &read)
}

/// A message of the start, without the file's name, which stands in front already, and at the line
/// that it names or that the last of the settings in it has.
fn whole(level: Level, text: &str, survey: &Survey, notes: &mut Notes) {
    let name = config::normal_path(notes.file()).display().to_string();
    let here = text.replace(&format!("{name} line"), "line");
    let rest = here.strip_prefix(&name).unwrap_or(&here);
    let text = rest.trim_start_matches([' ', ':']);
    let line = text.strip_prefix("line ").and_then(|rest| {
        let (line, rest) = rest.split_once(' ')?;
        Some((line.parse().ok()?, rest))
    });
    if let Some((line, text)) = line {
        notes.at(level, line, text);
        return;
    }
    let keys = survey.sections.iter().flat_map(|section| &section.keys);
    let named = keys.filter(|key| {
        let name = key.name.to_uppercase();
        text.split(|sign: char| sign != '_' && !sign.is_ascii_uppercase())
            .any(|word| word == name)
    });
    match named.map(|key| key.line).max() {
        Some(line) => notes.at(level, line, text),
        None => notes.whole(level, text),
    }
}

fn check_section(section: &SectionSurvey, notes: &mut Notes) {
    for fault in &section.faults {
        notes.error(fault.line(), fault.to_string());
    }
    match section.program {
        Program::Cache => {
            for key in &section.keys {
                check_key(key, notes);
            }
        }
        Program::Relay | Program::Aggregator => relay::check_section(section, notes),
        Program::Nobody => {
            let name = &section.name;
            let text = format!(
                "[{name}] is read by no program; there are [cache], [relay], [aggregator] and \
                 [aggregator-cache], each also with :NAME behind it"
            );
            notes.warning(section.line, text);
        }
    }
}

fn check_key(key: &Key, notes: &mut Notes) {
    let Key { section, line, .. } = key;
    let said = format!("[{section}] {}", said(key));
    match &key.becomes {
        Becomes::Used => notes.used(*line, said),
        Becomes::Already => notes.ignored(*line, format!("{said}: it says what is done anyway")),
        Becomes::Idle { why } => notes.ignored(*line, format!("{said}: {why}")),
        Becomes::Elsewhere => notes.ignored(*line, format!("{said}: another program reads it")),
        Becomes::NotDone { instead } => {
            notes.warning(*line, format!("{said} has no effect: {instead}"));
        }
        Becomes::Replaced { fault, used } => {
            notes.warning(*line, format!("{said}: {fault}; until then {used} is used"));
        }
        Becomes::Wrong(fault) => notes.error(*line, format!("{said}: {fault}")),
        Becomes::Unknown { nearest } => unknown(key, *nearest, notes),
    }
}

/// The key and, where it is no secret, its value.
fn said(key: &Key) -> String {
    if key.shown.is_empty() {
        key.name.clone()
    } else {
        format!("{} = {}", key.name, key.shown)
    }
}

/// A key that nobody knows.
pub(super) fn unknown(key: &Key, nearest: Option<&str>, notes: &mut Notes) {
    let (name, section) = (&key.name, &key.section);
    let mend = match nearest {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "remove it, or put # before the line".to_owned(),
    };
    let text = format!("[{section}] {name} is no option and does nothing; {mend}");
    notes.warning(key.line, text);
}

/// What holds for the other files. Where the start would refuse this one, the directory beside it.
fn settle(survey: &Survey, loaded: &[Conf], file: &Path) -> Carbon {
    let beside = file.parent().unwrap_or(Path::new("")).to_owned();
    let settings = loaded.first().map(|loaded| &loaded.settings);
    let relay = last(survey, "relay", "RELAY_METHOD");
    let by_rules = relay.as_deref().unwrap_or("rules") == "rules";
    let has = |program| survey.sections.iter().any(|found| found.program == program);
    let or = |section: &str, key: &str, default: &str| {
        last(survey, section, key).unwrap_or_else(|| default.to_owned())
    };
    let destinations = last(survey, "relay", "DESTINATIONS").unwrap_or_default();
    let hashed = settings.is_none_or(|settings| settings.tag_hash_filenames);
    // Where the start would refuse this one, what was meant.
    let wants_lists = || {
        let word = last(survey, "cache", "USE_WHITELIST").unwrap_or_default();
        ["1", "yes", "true", "on"].contains(&word.to_ascii_lowercase().as_str())
    };
    Carbon {
        conf_dir: settings.map_or(beside, |settings| settings.conf_dir.clone()),
        data: settings.map(|settings| settings.data.clone()),
        data_dirs: data_dirs(loaded),
        leaf: if hashed {
            TaggedLeaf::Hashed
        } else {
            TaggedLeaf::Readable
        },
        lists: settings.map_or_else(wants_lists, |it| it.rule_files.lists.is_some()),
        relay_rules: (has(Program::Relay) && by_rules)
            .then(|| or("relay", "RELAY_RULES", "relay-rules.conf")),
        aggregator: has(Program::Aggregator).then(|| {
            (
                or("aggregator", "AGGREGATION_RULES", "aggregation-rules.conf"),
                or("aggregator", "REWRITE_RULES", "rewrite-rules.conf"),
            )
        }),
        destinations: relay::destinations(&destinations),
    }
}

/// The data directories of all instances, each once.
fn data_dirs(loaded: &[Conf]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for directory in loaded.iter().flat_map(|loaded| &loaded.settings.data) {
        if !paths.contains(&directory.path) {
            paths.push(directory.path.clone());
        }
    }
    paths
}

/// What a section says of a key.
fn last(survey: &Survey, section: &str, key: &str) -> Option<String> {
    let mut sections = survey.sections.iter();
    let section = sections.find(|found| found.name == section)?;
    let keys = section.keys.iter();
    let mut found = keys.filter(|found| found.name.eq_ignore_ascii_case(key));
    found.next_back().map(|found| found.text.clone())
}
