//! Which instances of carbon.conf this process answers for, and what their sections come to together.
//! With `--instance` it is that one, as in Python carbon. Without, it is every `[cache:NAME]`, and `a`,
//! Python's name for [cache] alone, where no section has it; INSTANCES in [cache] says otherwise.
//! Sizes and rates add up, ports are each instance's own, and the rest must agree (`RULES`); where it
//! does not, the start is refused with both lines, for one process has one cache and one journal.
//! The `a` that nobody named gives way where its ports are another's: an instance's, or a relay's that
//! runs in front of the instances of the file. Whether another relay of the file runs on this machine
//! shows only when the port is opened.

use std::path::PathBuf;

use benzene_engine::limits::{INSTANCES_MAX, TAG_QUEUE_MAX};
use benzene_engine::schemas::ini::{IniFile, Section};

use super::INSTANCE_DEFAULT;
use super::error::{Asker, ConfigError, Disagreement, Place};
use super::low::{CACHE_SECTION, Low, Written};
use super::option::{Among, ConfOption, Standing};
use super::secret;
use super::table::OPTIONS;
use super::tags::TAG_QUEUE_SIZE;
use super::value::{Kind, Rate, Value};

/// The option that names the instances.
pub(super) const INSTANCES: &str = "INSTANCES";

/// An instance of carbon.conf that this process answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// Where its journal is when it has a process of its own.
    pub journal_dir: PathBuf,
    /// Something listens for it.
    pub has_doors: bool,
}

/// How much of the machine a process takes where carbon.conf does not say: each of its instances one part,
/// as others of the file may have processes of their own beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Instances that this process answers for.
    pub served: u64,
    /// Instances of the file.
    pub all: u64,
}

impl Share {
    /// A machine for one process.
    pub const WHOLE: Share = Share { served: 1, all: 1 };

    /// The part of something.
    pub fn of(self, whole: u64) -> u64 {
        whole / self.all * self.served
    }
}

/// One of them, and what the file says to it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) name: String,
    pub(super) low: Low,
    /// Nobody has named it: it is [cache] alone.
    pub(super) is_implied: bool,
}

/// A port that another program's section of the same file asks for.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) port: u16,
    pub(super) is_udp: bool,
    pub(super) section: String,
    pub(super) line: usize,
    /// It sends to ports that are not its own, so that it runs beside those who listen there.
    pub(super) is_in_front: bool,
}

/// All of them, at least one.
#[derive(Debug)]
pub(super) struct Instances {
    pub(super) all: Vec<Told>,
    /// What holds for the process.
    pub(super) together: Low,
    pub(super) taken: Vec<Taken>,
    pub(super) share: Share,
    /// To be said at start.
    pub(super) warnings: Vec<String>,
    pub(super) said: Vec<String>,
}

/// What holds for several instances in one process, where that is not that they must agree.
const RULES: &[(Among, &[&str])] = &[
    (
        Among::Own,
        &[
            "STORAGE_DIR",
            "JOURNAL_DIR",
            "INSTANCES",
            "LINE_RECEIVER_INTERFACE",
            "LINE_RECEIVER_PORT",
            "LINE_RECEIVER_SOCKET",
            "ENABLE_UDP_LISTENER",
            "UDP_RECEIVER_INTERFACE",
            "UDP_RECEIVER_PORT",
            "PICKLE_RECEIVER_INTERFACE",
            "PICKLE_RECEIVER_PORT",
            "PICKLE_RECEIVER_SOCKET",
            "PROTOBUF_RECEIVER_INTERFACE",
            "PROTOBUF_RECEIVER_PORT",
            "CACHE_QUERY_INTERFACE",
            "CACHE_QUERY_PORT",
            "CACHE_QUERY_SOCKET",
        ],
    ),
    (
        Among::Sum,
        &[
            "MAX_RECEIVER_CONNECTIONS",
            "MAX_CACHE_SIZE",
            "MAX_CACHE_BYTES",
            "MAX_UPDATES_PER_SECOND",
            "MAX_UPDATES_PER_SECOND_SSD",
            "MAX_UPDATES_PER_SECOND_HDD",
            "MAX_UPDATES_PER_SECOND_ON_SHUTDOWN",
            "MAX_CREATES_PER_MINUTE",
            "MAX_CREATES_PER_MINUTE_SSD",
            "MAX_CREATES_PER_MINUTE_HDD",
            "JOURNAL_MAX_BYTES",
        ],
    ),
    (
        Among::Largest,
        &["PICKLE_RECEIVER_MAX_LENGTH", TAG_QUEUE_SIZE],
    ),
    (
        Among::First,
        &[
            "LOG_DIR",
            "PID_DIR",
            "ENABLE_LOGROTATION",
            "LOG_UPDATES",
            "LOG_CREATES",
            "LOG_CACHE_HITS",
            "LOG_CACHE_QUEUE_SORTS",
            "LOG_LISTENER_CONN_SUCCESS",
            "LOG_LISTENER_CONN_LOST",
            "RAVEN_DSN",
        ],
    ),
];

/// What holds for an option where one process answers for several instances.
pub(super) fn among(option: &str) -> Among {
    let rule = RULES.iter().find(|(_, names)| names.contains(&option));
    rule.map_or(Among::Same, |(among, _)| *among)
}

/// Whether a word can be an instance's name: a directory gets it, and a section has it.
pub fn is_instance_name(name: &str) -> bool {
    let has_sign = name.contains(['/', ']', ':', ',']) || name.contains(char::is_whitespace);
    !(name.is_empty() || has_sign || name == "." || name == "..")
}

impl Instances {
    /// Without a carbon.conf there is one.
    pub(super) fn without_file(asked: Option<&str>) -> Instances {
        Instances {
            all: vec![Told {
                name: asked.unwrap_or(INSTANCE_DEFAULT).to_owned(),
                low: Low::default(),
                is_implied: false,
            }],
            together: Low::default(),
            taken: Vec::new(),
            share: Share::WHOLE,
            warnings: Vec::new(),
            said: Vec::new(),
        }
    }

    /// Reads a carbon.conf for the instance that is asked for, or for all. `fallbacks` as for
    /// `Low::read`.
    pub(super) fn read(
        file: &std::path::Path,
        text: &str,
        asked: Option<&str>,
        fallbacks: &[(&str, &str)],
    ) -> Result<Instances, ConfigError> {
        let ini = IniFile::parse(text).map_err(|source| ConfigError::Syntax {
            path: file.to_owned(),
            source,
        })?;
        let names = match asked {
            Some(name) => vec![(name.to_owned(), false)],
            None => names(file, &ini, &Low::read(file, &ini, None, fallbacks)?)?,
        };
        if names.len() > INSTANCES_MAX {
            let (path, found) = (file.to_owned(), names.len());
            return Err(ConfigError::TooManyInstances { path, found });
        }
        let all = names.into_iter().map(|(name, is_implied)| {
            let low = Low::read(file, &ini, Some(&name), fallbacks)?;
            Ok(Told {
                name,
                low,
                is_implied,
            })
        });
        let all: Vec<Told> = all.collect::<Result<_, ConfigError>>()?;
        let mut instances = Instances {
            together: all[0].low.clone(),
            taken: taken(&ini, fallbacks),
            share: share(&ini, &all),
            warnings: Vec::new(),
            said: Vec::new(),
            all,
        };
        if instances.all.len() > 1 {
            instances.put_together()?;
        }
        Ok(instances)
    }

    /// What all of them come to.
    fn put_together(&mut self) -> Result<(), ConfigError> {
        for told in &self.all[1..] {
            self.together.name_too(&told.low);
        }
        let mut sums = Vec::new();
        for option in OPTIONS {
            if option.standing != Standing::Acted {
                continue;
            }
            match among(option.name) {
                Among::Own => {}
                Among::Same => self.must_agree(option)?,
                Among::First => self.name_differing(option),
                Among::Sum | Among::Largest => {
                    if let Some(text) = self.combine(option) {
                        sums.push(format!("{} = {text}", option.name));
                    }
                }
            }
        }
        if !sums.is_empty() {
            self.said.push(format!(
                "what {} instances may, one process may: {}",
                self.all.len(),
                sums.join(", ")
            ));
        }
        Ok(())
    }

    fn must_agree(&self, option: &ConfOption) -> Result<(), ConfigError> {
        let first = &self.all[0];
        let value = first.low.value(option.name);
        let differing = |told: &&Told| told.low.value(option.name) != value;
        let Some(other) = self.all[1..].iter().find(differing) else {
            return Ok(());
        };
        let asker = |told: &Told| {
            let written = told.low.written(option.name);
            let asker = Asker {
                key: option.name,
                instance: Some(told.name.clone()),
                place: written.map(|written| written.place.clone()),
            };
            let text = written.map_or(option.default, |written| &written.text);
            (asker, secret::shown(option.name, text))
        };
        let ((one, one_text), (other, other_text)) = (asker(first), asker(other));
        Err(ConfigError::Disagreement(Box::new(Disagreement {
            one,
            one_text,
            other,
            other_text,
        })))
    }

    fn name_differing(&mut self, option: &ConfOption) {
        let first = &self.all[0];
        let value = first.low.value(option.name);
        for told in &self.all[1..] {
            if told.low.value(option.name) != value
                && let Some(written) = told.low.written(option.name)
            {
                self.warnings.push(format!(
                    "{}: {} = {} has no effect: one process answers for all instances, and takes what \
                     instance {} says",
                    written.place, option.name, written.text, first.name
                ));
            }
        }
    }

    /// Lets the sum, or the largest, hold for the process; says what that is where it is no single
    /// instance's.
    fn combine(&mut self, option: &'static ConfOption) -> Option<String> {
        let writes = |told: &Told| told.low.written(option.name).cloned();
        let written = self.all.iter().find_map(writes)?;
        let values = self.all.iter().map(|told| effective(&told.low, option));
        let combined = match among(option.name) {
            Among::Largest => values.map(|value| meant(value, option)).reduce(largest),
            Among::Sum | Among::Same | Among::Own | Among::First => values.reduce(sum),
        };
        let combined = combined.map(|value| bounded(value, option))?;
        let said = option.shown(&combined);
        let text = if combined == Value::Unset {
            option.default.to_owned()
        } else {
            combined.to_string()
        };
        self.together.overrule(Written {
            option,
            text,
            value: combined,
            fault: None,
            place: written.place,
            by_instance: false,
        });
        Some(said)
    }
}

/// The names of the instances that a file has, and which of them nobody named; `a` first.
fn names(
    file: &std::path::Path,
    ini: &IniFile,
    cache: &Low,
) -> Result<Vec<(String, bool)>, ConfigError> {
    let place = |section: &str, line: usize| Place {
        file: file.to_owned(),
        section: section.to_owned(),
        line,
    };
    let mut names: Vec<(String, bool)> = Vec::new();
    if let Some(listed) = cache.text(INSTANCES) {
        let Some(written) = cache.written(INSTANCES) else {
            unreachable!("{INSTANCES} has no default")
        };
        for name in listed.split(',').map(str::trim) {
            let (place, name) = (written.place.clone(), name.to_owned());
            if name.is_empty() {
                return Err(ConfigError::InstanceEmpty { place });
            }
            if !is_instance_name(&name) {
                return Err(ConfigError::InstanceName { place, name });
            }
            if names.iter().any(|(known, _)| *known == name) {
                return Err(ConfigError::InstanceTwice { place, name });
            }
            names.push((name, false));
        }
    } else {
        for Section { name, line, .. } in ini.sections() {
            let Some((CACHE_SECTION, instance)) = name.split_once(':') else {
                continue;
            };
            if !is_instance_name(instance) {
                let (place, name) = (place(name, *line), instance.to_owned());
                return Err(ConfigError::InstanceName { place, name });
            }
            names.push((instance.to_owned(), false));
        }
        if !names.iter().any(|(name, _)| name == INSTANCE_DEFAULT) {
            let is_implied = !names.is_empty();
            names.push((INSTANCE_DEFAULT.to_owned(), is_implied));
        }
    }
    names.sort_by_key(|(name, _)| name != INSTANCE_DEFAULT);
    Ok(names)
}

/// How many instances the file has: those of its sections and of INSTANCES, those that are asked for, and
/// `a`, where it is [cache] alone beside sections of others.
fn share(ini: &IniFile, served: &[Told]) -> Share {
    let of_section = |section: &Section| {
        let (program, instance) = section.name.split_once(':')?;
        (program == CACHE_SECTION).then(|| instance.to_owned())
    };
    let mut all: Vec<String> = ini.sections().iter().filter_map(of_section).collect();
    let listed = served.iter().find_map(|it| it.low.text(INSTANCES));
    match listed {
        Some(listed) => all.extend(listed.split(',').map(|name| name.trim().to_owned())),
        None if !all.is_empty() => all.push(INSTANCE_DEFAULT.to_owned()),
        None => {}
    }
    all.extend(served.iter().map(|it| it.name.clone()));
    all.sort();
    all.dedup();
    Share {
        served: served.len() as u64,
        all: all.len() as u64,
    }
}

/// Ports that the sections of relays and aggregators ask for.
fn taken(ini: &IniFile, fallbacks: &[(&str, &str)]) -> Vec<Taken> {
    let mut taken = Vec::new();
    for section in ini.sections() {
        let program = section.name.split(':').next().unwrap_or_default();
        if !matches!(program, "relay" | "aggregator" | "aggregator-cache") {
            continue;
        }
        let get = |key: &str| ini.get_with(&section.name, key, fallbacks).ok().flatten();
        let from = taken.len();
        for entry in section.entries() {
            let key = entry.key.to_uppercase();
            let port = get(&entry.key).and_then(|it| it.trim().parse().ok());
            if key.ends_with("_RECEIVER_PORT")
                && let Some(port) = port.filter(|port| *port != 0)
            {
                taken.push(Taken {
                    port,
                    is_udp: key.starts_with("UDP_"),
                    section: section.name.clone(),
                    line: entry.line,
                    is_in_front: false,
                });
            }
        }
        let sends_to = ports_of(&get("DESTINATIONS").unwrap_or_default());
        let own = &mut taken[from..];
        let is_own = |port: &u16| own.iter().any(|taken| taken.port == *port);
        if !sends_to.is_empty() && !sends_to.iter().any(is_own) {
            for taken in own {
                taken.is_in_front = true;
            }
        }
    }
    taken
}

/// The ports of destinations, each HOST:PORT or HOST:PORT:INSTANCE; what cannot be read has none.
fn ports_of(destinations: &str) -> Vec<u16> {
    let one = |text: &str| {
        let after_host = match text.split_once(']') {
            Some((_, rest)) => rest.strip_prefix(':')?,
            None => text.split_once(':')?.1,
        };
        after_host.split(':').next()?.trim().parse().ok()
    };
    destinations.split(',').filter_map(one).collect()
}

/// What an instance by itself would have: a rate that is not set for a class of disks is the one for
/// all.
fn effective(low: &Low, option: &ConfOption) -> Value {
    let value = low.value(option.name);
    let for_all = ["_SSD", "_HDD"]
        .iter()
        .find_map(|class| option.name.strip_suffix(class));
    match for_all {
        Some(name) if value == Value::Unset => low.value(name),
        Some(_) | None => value,
    }
}

fn sum(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Limit(Some(one)), Value::Limit(Some(other))) => {
            Value::Limit(Some(one.saturating_add(other)))
        }
        (Value::Limit(_), Value::Limit(_)) => Value::Limit(None),
        (Value::Integer(one), Value::Integer(other)) => Value::Integer(one.saturating_add(other)),
        (Value::Rate(Rate::Limited(one)), Value::Rate(Rate::Limited(other))) => {
            Value::Rate(Rate::Limited(one + other))
        }
        (Value::Rate(Rate::Unlimited), Value::Rate(_))
        | (Value::Rate(_), Value::Rate(Rate::Unlimited)) => Value::Rate(Rate::Unlimited),
        (Value::Rate(_), Value::Rate(_)) => Value::Rate(Rate::Auto),
        (Value::Unset, _) | (_, Value::Unset) => Value::Unset,
        (one, other) => unreachable!("{one:?} and {other:?} are no sizes"),
    }
}

/// What a number stands for: of a queue for tags, 0 is as many as can be.
fn meant(value: Value, option: &ConfOption) -> Value {
    if option.name == TAG_QUEUE_SIZE && value == Value::Integer(0) {
        return Value::Integer(TAG_QUEUE_MAX as u64);
    }
    value
}

fn largest(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => Value::Integer(one.max(other)),
        (one, other) => unreachable!("{one:?} and {other:?} are no whole numbers"),
    }
}

/// No more than one option may ask for.
fn bounded(value: Value, option: &ConfOption) -> Value {
    match (value, option.kind) {
        (Value::Integer(sum), Kind::Bytes(bound) | Kind::Integer(bound)) => {
            Value::Integer(sum.min(bound.max))
        }
        (Value::Limit(Some(sum)), Kind::Limit(bound)) => Value::Limit(Some(sum.min(bound.max))),
        (Value::Rate(Rate::Limited(sum)), Kind::Rate { bound, .. }) => {
            Value::Rate(Rate::Limited(bound.rate(sum)))
        }
        (value, _) => value,
    }
}

#[cfg(test)]
mod tests {
    use benzene_engine::clock;
    use benzene_engine::limiter::Budget;
    use benzene_engine::limits::BUDGET_BURST_S;

    use super::super::option::find;
    use super::super::tags::tags;
    use super::*;

    #[test]
    fn every_rule_is_of_an_option_and_a_sum_has_no_default_that_adds_up() {
        for (among, names) in RULES {
            for name in *names {
                let option = find(name).unwrap_or_else(|| panic!("{name} is no option"));
                let open = matches!(option.default, "" | "auto" | "inf");
                let is_acted = option.standing == Standing::Acted;
                assert!(
                    *among != Among::Sum || open || !is_acted,
                    "{name}: eight defaults would be one"
                );
            }
        }
    }

    #[test]
    fn sums_of_what_is_open_stay_open() {
        let limited = |rate| Value::Rate(Rate::Limited(rate));
        let (auto, inf) = (Value::Rate(Rate::Auto), Value::Rate(Rate::Unlimited));
        for (one, other, want) in [
            (limited(500.0), limited(0.5), limited(500.5)),
            (limited(500.0), auto.clone(), auto.clone()),
            (inf.clone(), auto, inf.clone()),
            (limited(1.0), inf.clone(), inf),
            (
                Value::Limit(Some(5)),
                Value::Limit(Some(u64::MAX)),
                Value::Limit(Some(u64::MAX)),
            ),
            (
                Value::Limit(Some(5)),
                Value::Limit(None),
                Value::Limit(None),
            ),
            (Value::Integer(5), Value::Unset, Value::Unset),
        ] {
            assert_eq!(sum(one.clone(), other.clone()), want, "{one:?} {other:?}");
            assert_eq!(sum(other, one), want);
        }
    }

    #[test]
    fn rates_add_up_to_no_more_than_the_limiter_takes() {
        let conf = "[cache]\nMAX_UPDATES_PER_SECOND = 100000000\nMAX_CREATES_PER_MINUTE = 6000000000\n\
                    MAX_UPDATES_PER_SECOND_ON_SHUTDOWN = 100000000\n[cache:b]\n";
        let told = Instances::read(std::path::Path::new("carbon.conf"), conf, None, &[]).unwrap();
        assert_eq!(told.all.len(), 2);
        for (name, want, seconds) in [
            ("MAX_UPDATES_PER_SECOND", 1e8, 1.0),
            ("MAX_CREATES_PER_MINUTE", 6e9, 60.0),
            ("MAX_UPDATES_PER_SECOND_ON_SHUTDOWN", 1e8, 1.0),
        ] {
            let rate = told.together.rate(name);
            assert_eq!(rate, Some(Rate::Limited(want)), "{name}");
            let per_s = rate.and_then(Rate::limit).map(|rate| rate / seconds);
            let _made = Budget::new(per_s, BUDGET_BURST_S, clock::now().instant);
        }
    }

    #[test]
    fn of_queues_for_tags_one_without_a_bound_is_the_largest() {
        for (one, other, want) in [
            (0, 500, TAG_QUEUE_MAX),
            (500, 0, TAG_QUEUE_MAX),
            (0, 0, TAG_QUEUE_MAX),
            (500, 600, 600),
        ] {
            let conf = format!(
                "[cache]\nENABLE_TAGS = True\nTAG_QUEUE_SIZE = {one}\n[cache:b]\n\
                 TAG_QUEUE_SIZE = {other}\n"
            );
            let file = std::path::Path::new("carbon.conf");
            let told = Instances::read(file, &conf, None, &[]).unwrap();
            let tags = tags(&told.together).unwrap().unwrap();
            assert_eq!(tags.queue_max, want, "{one} and {other}");
        }
    }

    #[test]
    fn what_an_instance_leaves_open_is_said_to_be_open() {
        let conf = "[cache]\nMAX_UPDATES_PER_SECOND_ON_SHUTDOWN = 0\n[cache:b]\n";
        let told = Instances::read(std::path::Path::new("carbon.conf"), conf, None, &[]).unwrap();
        let said = "what 2 instances may, one process may: MAX_UPDATES_PER_SECOND_ON_SHUTDOWN = the default";
        assert_eq!(told.said, [said]);
    }
}
