//! carbon.conf as whoever checks one sees it: every section and every key, with what becomes of it.
//! Grammar, table and readers are those of the start (`low`), but nothing stops at the first fault,
//! and the sections of carbon-relay and carbon-aggregator are looked at too.
//! Nothing is decided here: relations between options are `high`'s, and asked of `config::load`. One is
//! known: options of the relay do nothing in a cache's section where RELAY_CACHE_METRICS is off.
//! It never fails: what is wrong is part of the answer.

use benzene_engine::schemas::ini::{DEFAULT_SECTION, IniError, IniFile, Section};

use super::low::{self, CACHE_SECTION, Resolved};
use super::option::{self, ConfOption, Standing};
use super::relay;
use super::secret;
use super::value::{Fault, Kind, Value};

const NO_RELAY: &str = "it acts only with RELAY_CACHE_METRICS = True, which sends own metrics to other \
                        carbons";

/// Everything that a carbon.conf says.
#[derive(Debug)]
pub struct Survey {
    /// Lines that are no part of any entry.
    pub faults: Vec<IniError>,
    /// Its sections, in their order.
    pub sections: Vec<SectionSurvey>,
}

/// One section.
#[derive(Debug)]
pub struct SectionSurvey {
    /// Its name, without brackets.
    pub name: String,
    /// Where it begins.
    pub line: usize,
    /// Who reads it.
    pub program: Program,
    /// Its keys. A cache's has those that `[DEFAULT]` lends, unless an earlier cache's has them.
    pub keys: Vec<Key>,
    /// Values whose references lead nowhere.
    pub faults: Vec<IniError>,
}

/// Which program reads a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// carbon-cache, and we.
    Cache,
    /// carbon-relay.
    Relay,
    /// carbon-aggregator, carbon-aggregator-cache.
    Aggregator,
    /// None that we know.
    Nobody,
}

/// One key and its value.
#[derive(Debug)]
pub struct Key {
    /// As written.
    pub name: String,
    /// The section that it stands in: that of the survey, or DEFAULT.
    pub section: String,
    /// Its line.
    pub line: usize,
    /// What may be shown of its value, references resolved, in one line.
    pub shown: String,
    /// The value itself.
    pub text: String,
    /// What happens to it.
    pub becomes: Becomes,
}

/// What becomes of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Becomes {
    /// It is acted on.
    Used,
    /// Another value is used in its place.
    Replaced {
        /// What is wrong with it.
        fault: Fault,
        /// What is used.
        used: String,
    },
    /// It says what is done anyway.
    Already,
    /// Nothing depends on it here, and nothing is lost by that.
    Idle {
        /// Why not.
        why: &'static str,
    },
    /// It asks for what is not done.
    NotDone {
        /// What is done instead.
        instead: &'static str,
    },
    /// Another program reads it, and can.
    Elsewhere,
    /// Its value is refused.
    Wrong(Fault),
    /// Nobody knows it.
    Unknown {
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
}

/// Looks at a whole carbon.conf. `fallbacks` are what `%(KEY)s` may name beside a section's own keys.
pub fn survey(text: &str, fallbacks: &[(&str, &str)]) -> Survey {
    let (ini, faults) = IniFile::survey(text);
    let mut lent = Vec::new();
    let sections = ini.sections().iter();
    let sections = sections.map(|section| section_of(&ini, section, fallbacks, &mut lent));
    let sections = sections.collect();
    Survey { faults, sections }
}

fn section_of(
    ini: &IniFile,
    section: &Section,
    fallbacks: &[(&str, &str)],
    lent: &mut Vec<usize>,
) -> SectionSurvey {
    let program = program(&section.name);
    let entries: Vec<Result<Resolved, IniError>> = low::resolve(ini, section, fallbacks);
    let reader = Reader {
        program,
        relays: relays(ini, section, fallbacks),
    };
    let (mut keys, mut faults) = (Vec::new(), Vec::new());
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        if entry.inherited {
            if program != Program::Cache || lent.contains(&entry.line) {
                continue;
            }
            lent.push(entry.line);
        }
        keys.extend(key(entry, section, reader));
    }
    SectionSurvey {
        name: section.name.clone(),
        line: section.line,
        program,
        keys,
        faults,
    }
}

fn program(section: &str) -> Program {
    let program = section.split_once(':').map_or(section, |(name, _)| name);
    match program {
        "cache" => Program::Cache,
        "relay" => Program::Relay,
        "aggregator" | "aggregator-cache" => Program::Aggregator,
        _ => Program::Nobody,
    }
}

/// Whether a cache's section sends own metrics to other carbons; [cache:NAME] has what [cache] says.
fn relays(ini: &IniFile, section: &Section, fallbacks: &[(&str, &str)]) -> bool {
    let said = |section: &str| {
        ini.get_with(section, relay::SWITCH, fallbacks)
            .ok()
            .flatten()
    };
    let text = said(&section.name).or_else(|| said(CACHE_SECTION));
    let value = text.and_then(|text| option::find(relay::SWITCH)?.read(text.trim()).ok());
    value == Some(Value::Switch(true))
}

/// Who reads a section.
#[derive(Clone, Copy)]
struct Reader {
    program: Program,
    /// With RELAY_CACHE_METRICS.
    relays: bool,
}

fn key(entry: Resolved, section: &Section, reader: Reader) -> Option<Key> {
    let name = entry.key.to_uppercase();
    let known = option::find(&name);
    let becomes = if let Some(option) = known {
        becomes(option, &entry.text, reader)
    } else {
        let nearest = option::nearest(&name);
        // [DEFAULT] is for all programs, and holds names that only %(NAME)s refers to.
        if entry.inherited && nearest.is_none() {
            return None;
        }
        Becomes::Unknown { nearest }
    };
    let section = if entry.inherited {
        DEFAULT_SECTION
    } else {
        &section.name
    };
    Some(Key {
        shown: shown(known, &entry.text, &becomes),
        name: entry.key,
        section: section.to_owned(),
        line: entry.line,
        text: entry.text,
        becomes,
    })
}

fn becomes(option: &ConfOption, text: &str, reader: Reader) -> Becomes {
    if reader.program != Program::Cache {
        return match option.take(text) {
            Ok(_) => Becomes::Elsewhere,
            Err(fault) => Becomes::Wrong(fault),
        };
    }
    let is_loose = matches!(option.kind, Kind::Loose(_));
    let accepted = if is_loose && reader.relays {
        relay::read(option.name, text)
    } else {
        low::accept(option, text)
    };
    let value = match accepted {
        Ok((value, None)) => value,
        Ok((value, Some(fault))) => {
            let used = option.shown(&value);
            return Becomes::Replaced { fault, used };
        }
        Err(fault) => return Becomes::Wrong(fault),
    };
    match option.standing {
        Standing::Acted if !reader.relays && relay::OPTIONS.contains(&option.name) => {
            Becomes::Idle { why: NO_RELAY }
        }
        Standing::Acted => Becomes::Used,
        Standing::Idle { why } => Becomes::Idle { why },
        Standing::Refused { .. } => Becomes::Already,
        Standing::NotYet { same, .. } if option.means(&value, same) => Becomes::Already,
        Standing::NotYet { instead, .. } => Becomes::NotDone { instead },
    }
}

/// What may be shown of a value: of a key that nobody knows nothing, and of one that is refused the first
/// line, for the next may be another option's.
fn shown(option: Option<&ConfOption>, text: &str, becomes: &Becomes) -> String {
    let shown = option.map(|option| secret::shown(option.name, text));
    let shown = shown.unwrap_or_default();
    match becomes {
        Becomes::Wrong(_) => shown.lines().next().unwrap_or_default().to_owned(),
        Becomes::Used
        | Becomes::Replaced { .. }
        | Becomes::Already
        | Becomes::Idle { .. }
        | Becomes::NotDone { .. }
        | Becomes::Elsewhere
        | Becomes::Unknown { .. } => shown.replace('\n', " "),
    }
}
