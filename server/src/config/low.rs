//! carbon.conf as the operator wrote it: the entries of [cache], then those of [cache:NAME], which
//! win, each read by its option's type, with the line it came from.
//! Order and inheritance are Python's: a section's entries include those of `[DEFAULT]`, also where
//! [cache] had set the same key before. Other sections belong to other programs and are not read.
//! Nothing is decided here: relations between options, directories and addresses are `high`'s.
//! The first value that cannot be read refuses the file.

use std::path::{Path, PathBuf};

use benzene_engine::schemas::ini::{DEFAULT_SECTION, IniError, IniFile, Section};

use super::error::{ConfigError, Place, RefusedSetting, ReplacedSetting};
use super::option::{self, ConfOption, Standing};
use super::secret;
use super::value::{Fault, Rate, Value};

/// The section that every instance reads.
pub(super) const CACHE_SECTION: &str = "cache";

/// What carbon.conf says to this instance; without a file, nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Low {
    /// The file, if there is one.
    pub(super) file: Option<PathBuf>,
    /// Which of [cache] and [cache:NAME] it has.
    pub(super) sections: Vec<String>,
    /// In the order in which they apply: of two with one name the later wins.
    entries: Vec<Written>,
    /// Keys that no table knows.
    pub(super) strangers: Vec<Stranger>,
    /// Of other instances of the same process: what is not acted on.
    others: Vec<Written>,
}

/// An option that was set.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) option: &'static ConfOption,
    /// What was written, references resolved.
    pub(super) text: String,
    pub(super) value: Value,
    /// Why that is used in the place of what was written.
    pub(super) fault: Option<Fault>,
    pub(super) place: Place,
    /// Whether it comes with [cache:NAME] rather than with [cache].
    pub(super) by_instance: bool,
}

impl Written {
    /// Says that another value is used in the place of this one, and why.
    pub(super) fn replaced(&self, fault: &Fault, used: String) -> String {
        let said = ReplacedSetting {
            place: &self.place,
            key: self.option.name,
            written: &self.text,
            fault,
            used,
        };
        said.to_string()
    }
}

/// A key that we do not know.
#[derive(Clone, Debug)]
pub(super) struct Stranger {
    /// The key as written.
    pub(super) key: String,
    pub(super) place: Place,
    /// What may have been meant.
    pub(super) nearest: Option<&'static str>,
}

impl Low {
    /// Reads what a file says to an instance, or without one what [cache] says to all. `fallbacks` are
    /// what `%(KEY)s` may name beside the section's own keys.
    pub(super) fn read(
        file: &Path,
        ini: &IniFile,
        instance: Option<&str>,
        fallbacks: &[(&str, &str)],
    ) -> Result<Low, ConfigError> {
        let mut low = Low {
            file: Some(file.to_owned()),
            ..Low::default()
        };
        let own = instance.map(|instance| format!("{CACHE_SECTION}:{instance}"));
        for name in [Some(CACHE_SECTION), own.as_deref()].into_iter().flatten() {
            if let Some(section) = ini.section(name) {
                let entries: Result<Vec<_>, _> = resolve(ini, section, fallbacks);
                let entries = entries.map_err(|source| ConfigError::Syntax {
                    path: file.to_owned(),
                    source,
                })?;
                low.add(section, entries)?;
            }
        }
        Ok(low)
    }

    /// What a carbon.conf of this text says to instance a.
    #[cfg(test)]
    pub(super) fn of(text: &str) -> Low {
        let ini = IniFile::parse(text).unwrap();
        Low::read(Path::new("carbon.conf"), &ini, Some("a"), &[]).unwrap()
    }

    /// Lets another value hold for an option.
    pub(super) fn overrule(&mut self, written: Written) {
        self.entries.push(written);
    }

    /// Takes over what another instance's section has that is not acted on, to be named.
    pub(super) fn name_too(&mut self, other: &Low) {
        for section in &other.sections {
            if !self.sections.contains(section) {
                self.sections.push(section.clone());
            }
        }
        for stranger in &other.strangers {
            if !self.strangers.iter().any(|it| it.place == stranger.place) {
                self.strangers.push(stranger.clone());
            }
        }
        let not_yet = |it: &&Written| matches!(it.option.standing, Standing::NotYet { .. });
        let is_known = |it: &Written| self.entries.iter().any(|known| known.place == it.place);
        let more = other.holding().filter(not_yet).filter(|it| !is_known(it));
        let more: Vec<Written> = more.cloned().collect();
        self.others.extend(more);
    }

    /// What other instances' sections say and is not acted on.
    pub(super) fn of_others(&self) -> impl Iterator<Item = &Written> {
        self.others.iter()
    }

    fn add(&mut self, section: &Section, entries: Vec<Resolved>) -> Result<(), ConfigError> {
        let Some(file) = self.file.clone() else {
            unreachable!("entries of [{}] come from a file", section.name)
        };
        self.sections.push(section.name.clone());
        for Resolved {
            key,
            text,
            line,
            inherited,
        } in entries
        {
            let from = if inherited {
                DEFAULT_SECTION
            } else {
                &section.name
            };
            let place = Place {
                file: file.clone(),
                section: from.to_owned(),
                line,
            };
            let name = key.to_uppercase();
            let Some(option) = option::find(&name) else {
                let nearest = option::nearest(&name);
                // [DEFAULT] is for all programs, and holds names that only %(NAME)s refers to.
                if !inherited || nearest.is_some() {
                    self.strangers.push(Stranger {
                        key,
                        place,
                        nearest,
                    });
                }
                continue;
            };
            let (value, fault) = match accept(option, &text) {
                Ok(accepted) => accepted,
                Err(fault) => return Err(refused(place, option.name, &text, fault)),
            };
            let by_instance = section.name != CACHE_SECTION;
            self.entries.push(Written {
                option,
                text,
                value,
                fault,
                place,
                by_instance,
            });
        }
        Ok(())
    }

    /// The entry that holds for an option, if it was set.
    pub(super) fn written(&self, name: &str) -> Option<&Written> {
        self.entries.iter().rfind(|entry| entry.option.name == name)
    }

    /// As `written`, but what [cache] alone says.
    pub(super) fn written_in_cache(&self, name: &str) -> Option<&Written> {
        self.entries
            .iter()
            .rfind(|entry| entry.option.name == name && !entry.by_instance)
    }

    /// The entries that hold, in the order of the file; overridden ones are left out.
    pub(super) fn holding(&self) -> impl Iterator<Item = &Written> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| {
                let later = self.entries.iter().skip(index + 1);
                let overridden = later
                    .into_iter()
                    .any(|other| other.option.name == entry.option.name);
                (!overridden).then_some(entry)
            })
    }

    /// An option's value: what was written, else what the table assumes.
    pub(super) fn value(&self, name: &str) -> Value {
        match self.written(name) {
            Some(written) => written.value.clone(),
            None => match option::find(name) {
                Some(option) => option.assumed(self.file.is_some()),
                None => unreachable!("{name} is not in the option table"),
            },
        }
    }

    /// The value of a switch.
    pub(super) fn switch(&self, name: &str) -> bool {
        let value = self.value(name);
        let Value::Switch(on) = value else {
            unreachable!("{name} is no switch but {value:?}")
        };
        on
    }

    /// The value of a whole number or an amount of bytes; None where it is left open.
    pub(super) fn integer(&self, name: &str) -> Option<u64> {
        let value = self.set_value(name)?;
        let Value::Integer(number) = value else {
            unreachable!("{name} is no number: {value:?}")
        };
        Some(number)
    }

    /// The value of a limit; None is no limit.
    pub(super) fn limit(&self, name: &str) -> Option<u64> {
        let value = self.value(name);
        let Value::Limit(limit) = value else {
            unreachable!("{name} is no limit but {value:?}")
        };
        limit
    }

    /// The value of a rate; None where it is left open.
    pub(super) fn rate(&self, name: &str) -> Option<Rate> {
        let value = self.set_value(name)?;
        let Value::Rate(rate) = value else {
            unreachable!("{name} is no rate but {value:?}")
        };
        Some(rate)
    }

    /// The value of a text or a choice; None where it is left open.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let value = self.set_value(name)?;
        if let Value::Choice(choice) = value {
            return Some(choice.to_owned());
        }
        let Value::Text(text) = value else {
            unreachable!("{name} is no text but {value:?}")
        };
        Some(text)
    }

    fn set_value(&self, name: &str) -> Option<Value> {
        Some(self.value(name)).filter(|value| *value != Value::Unset)
    }

    /// The error for a value that read well and is refused for what it says.
    pub(super) fn refuse(&self, name: &'static str, fault: Fault) -> ConfigError {
        if let Some(Written { place, text, .. }) = self.written(name) {
            return refused(place.clone(), name, text, fault);
        }
        let written = self.text(name).unwrap_or_default();
        ConfigError::Default {
            key: name,
            written,
            fault,
        }
    }
}

fn refused(place: Place, key: &'static str, written: &str, fault: Fault) -> ConfigError {
    let written = secret::shown(key, written);
    ConfigError::Setting(Box::new(RefusedSetting {
        place,
        key,
        written,
        fault,
    }))
}

/// An entry with its references resolved.
pub(super) struct Resolved {
    pub(super) key: String,
    pub(super) text: String,
    pub(super) line: usize,
    pub(super) inherited: bool,
}

/// The entries of a section as Python's `items()` has them: those that `[DEFAULT]` lends first.
pub(super) fn resolve<C: FromIterator<Result<Resolved, IniError>>>(
    ini: &IniFile,
    section: &Section,
    fallbacks: &[(&str, &str)],
) -> C {
    let own = |key: &str| {
        section
            .entries()
            .iter()
            .any(|entry| entry.key.to_lowercase() == key.to_lowercase())
    };
    let lent = ini
        .defaults()
        .entries()
        .iter()
        .filter(|entry| !own(&entry.key));
    let lent = lent.map(|entry| (entry, true));
    let entries = lent.chain(section.entries().iter().map(|entry| (entry, false)));
    entries
        .map(|(entry, inherited)| {
            let text = ini
                .get_with(&section.name, &entry.key, fallbacks)?
                .unwrap_or_default();
            let (key, text) = (entry.key.clone(), text.trim().to_owned());
            Ok(Resolved {
                key,
                text,
                line: entry.line,
                inherited,
            })
        })
        .collect()
}

/// Reads a value, and refuses one that we will not act on; or says what is used in its place, and why.
pub(super) fn accept(option: &ConfOption, text: &str) -> Result<(Value, Option<Fault>), Fault> {
    let (value, fault) = option.take(text)?;
    match option.standing {
        Standing::Refused { same, reason } if !option.means(&value, same) => {
            Err(Fault::Refused { reason, same })
        }
        Standing::Acted
        | Standing::NotYet { .. }
        | Standing::Refused { .. }
        | Standing::Idle { .. } => Ok((value, fault)),
    }
}
