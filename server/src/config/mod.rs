//! carbon.conf: what was written (`low`) becomes what is meant (`high`), as Python carbon means it.
//! `table` is the one list of options; `value` reads by type, and `beyond` says what is used in the place
//! of a value that only Python carbon takes; `directories` and `address` work out what follows from
//! environment and flags; `notice` says what the operator should know; `manual` writes the help, the
//! manual page and the sample file from the table; `survey` goes on past the first fault, for
//! `benzene check-config`.
//! Never opens a socket, never makes a directory, never looks at the data; files are read through
//! the reader that is handed in. On failure: a `ConfigError` that names file, line, key and mend,
//! and nothing has happened.

mod address;
mod beyond;
mod bounds;
mod directories;
mod disk;
mod error;
mod high;
mod instances;
mod journal;
mod low;
mod manual;
mod notice;
mod option;
mod relay;
pub mod rules;
mod secret;
mod survey;
mod table;
mod tags;
#[cfg(test)]
mod tests;
mod value;
mod volumes;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use benzene_engine::limits::CONFIG_FILE_BYTES_MAX;

pub use address::{At, Door, Service};
pub use beyond::Beyond;
pub use directories::{STORAGE_DIR_ALONE, normal_path};
pub use disk::{ByClass, Chosen, DiskSettings};
pub use error::{Asker, ConfigError, Disagreement, NamedBy, NoText, Place, RefusedSetting};
pub use high::{Drive, Logged, Settings};
pub use instances::{Instance, Share, is_instance_name};
pub use journal::{JournalSettings, JournalSync, Shutdown};
pub use manual::{help_section, manual_page, sample_file};
pub use option::{Among, ConfOption, Standing, find, nearest};
pub use rules::{ListFiles, RuleFiles, Ruled, Rules, StorageFiles};
pub use survey::{Becomes, Key, Program, SectionSurvey, Survey, survey};
pub use table::OPTIONS;
pub use value::{Bound, Fault, Kind, Rate, Value, float as number, is_quoted};
pub use volumes::{DataDirectory, resolve as resolve_volumes};

use crate::cli::CacheOptions;
use address::Doors;
use directories::Surroundings;
use high::{Journals, Prepared};
use instances::Instances;

/// The instance when nobody names one, as for Python carbon.
pub const INSTANCE_DEFAULT: &str = "a";
/// Python carbon's cache-query port.
pub const QUERY_PORT_DEFAULT: u16 = 7002;

/// Settings, and what to say about them.
#[derive(Debug)]
pub struct Loaded {
    /// What the daemon is to do.
    pub settings: Settings,
    /// How it makes files, and which names it receives.
    pub rules: Rules,
    /// Things in the files that an operator should look at; ready to log.
    pub warnings: Vec<String>,
    /// Facts worth a line at start; ready to log.
    pub said: Vec<String>,
    /// What carbon.conf sets.
    pub written: Written,
}

/// What carbon.conf alone says.
#[derive(Debug)]
pub struct Conf {
    /// What the daemon is to do.
    pub settings: Settings,
    /// Things in carbon.conf that an operator should look at; ready to log.
    pub warnings: Vec<String>,
    /// Those of the warnings that are about settings which do something else than they seem to.
    pub misleading: Vec<String>,
    /// Facts worth a line at start; ready to log.
    pub said: Vec<String>,
    /// What it sets.
    pub written: Written,
}

/// Options that are set, with what is written.
pub type Written = BTreeMap<&'static str, String>;

/// Reads a whole file as text; `read_file` outside tests.
pub type Reader<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// Reads a configuration file of at most `CONFIG_FILE_BYTES_MAX` bytes of UTF-8. One that is something
/// else is `InvalidData`, for the reason `NoText`.
pub fn read_file(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(CONFIG_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > CONFIG_FILE_BYTES_MAX {
        let problem = format!("longer than {CONFIG_FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    String::from_utf8(bytes).map_err(|error| {
        let sound = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let line = bytes[..sound].split(|byte| *byte == b'\n').count();
        let byte = bytes[sound];
        io::Error::new(io::ErrorKind::InvalidData, NoText { line, byte })
    })
}

/// Works out what `benzene cache` is to do, from flags, environment and files.
pub fn load(
    options: &CacheOptions,
    environment: &dyn Fn(&str) -> Option<String>,
    read: Reader<'_>,
) -> Result<Loaded, ConfigError> {
    let Conf {
        settings,
        mut warnings,
        said,
        written,
        misleading: _,
    } = load_conf(options, environment, read)?;
    let rules = settings
        .rule_files
        .read(&settings.data, read, &mut warnings)?;
    Ok(Loaded {
        settings,
        rules,
        warnings,
        said,
        written,
    })
}

/// The same from carbon.conf alone, for who has the rules already.
pub fn load_conf(
    options: &CacheOptions,
    environment: &dyn Fn(&str) -> Option<String>,
    read: Reader<'_>,
) -> Result<Conf, ConfigError> {
    let surroundings = Surroundings::find(options, environment);
    let asked = options.instance.as_deref();
    let told = match &surroundings.config {
        Some((path, named_by)) => {
            let Some(text) = read_if_there(path, read)? else {
                let (path, named_by) = (path.clone(), *named_by);
                return Err(ConfigError::Missing { path, named_by });
            };
            let storage = surroundings.storage_dir.to_string_lossy();
            let conf = surroundings.conf_dir.to_string_lossy();
            let fallbacks = [("STORAGE_DIR", &*storage), ("CONF_DIR", &*conf)];
            Instances::read(path, &text, asked, &fallbacks)?
        }
        None => Instances::without_file(asked),
    };
    let low = &told.together;
    let Doors {
        all: doors,
        said,
        warnings: of_doors,
    } = Doors::settle(&told, options)?;
    let instances = instances_of(&told, &surroundings, options, &doors);
    let name = &high::first_of(&instances).name;
    let directories = surroundings.settle(low, options, name)?;
    let prepared = Prepared {
        directories,
        journals: Journals::of(&told, &surroundings, options, &instances),
        share: told.share,
        instances,
        doors,
    };
    let settings = high::settle(low, options, prepared)?;
    let mut facts = notice::facts(low, &settings, &surroundings);
    facts.extend(told.said.iter().cloned().chain(said));
    let mut warnings = notice::replaced(&told, &settings);
    warnings.extend(notice::warnings(low, &settings, options));
    warnings.extend(told.warnings.iter().chain(&of_doors).cloned());
    let mut misleading = notice::misleading(low, &settings);
    misleading.extend(told.warnings.iter().chain(&of_doors).cloned());
    Ok(Conf {
        said: facts,
        warnings,
        misleading,
        settings,
        written: written(&told),
    })
}

/// The instances, with where each has its journal.
fn instances_of(
    told: &Instances,
    surroundings: &Surroundings,
    options: &CacheOptions,
    doors: &[Door],
) -> Vec<Instance> {
    let all = told.all.iter().enumerate();
    all.map(|(index, it)| Instance {
        name: it.name.clone(),
        journal_dir: match &options.journal_dir {
            Some(flag) if told.all.len() == 1 => normal_path(flag),
            Some(_) | None => surroundings.journals(&it.low, options).join(&it.name),
        },
        has_doors: doors.iter().any(|door| door.instance == index),
    })
    .collect()
}

/// What is written: what holds for the process, and where each instance has its own, what each says.
/// INSTANCES are those that come of it, for sections bring them, too.
fn written(told: &Instances) -> Written {
    let mut all = Written::new();
    for it in &told.all {
        for written in it.low.holding() {
            let text = all.entry(written.option.name).or_default();
            if !text.is_empty() && *text != written.text {
                text.push_str(", ");
                text.push_str(&written.text);
            } else {
                text.clone_from(&written.text);
            }
        }
    }
    if told.all.len() > 1 {
        for written in told.together.holding() {
            if instances::among(written.option.name) != Among::Own {
                all.insert(written.option.name, written.text.clone());
            }
        }
    }
    let mut names: Vec<&str> = told.all.iter().map(|it| it.name.as_str()).collect();
    names.sort_unstable();
    all.insert(instances::INSTANCES, names.join(", "));
    all
}

/// STORAGE_DIR and CONF_DIR where carbon.conf does not set them: what its own values may refer to.
pub fn usual_directories(
    options: &CacheOptions,
    environment: &dyn Fn(&str) -> Option<String>,
) -> (PathBuf, PathBuf) {
    let surroundings = Surroundings::find(options, environment);
    (surroundings.storage_dir, surroundings.conf_dir)
}

/// The file's text; None where there is no such file.
fn read_if_there(path: &Path, read: Reader<'_>) -> Result<Option<String>, ConfigError> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) if source.kind() == io::ErrorKind::InvalidData => Err(ConfigError::NoText {
            path: path.to_owned(),
            source,
        }),
        Err(source) => Err(ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        }),
    }
}
