//! Where carbon.conf is and which directories follow from it, as Python carbon derives them.
//! GRAPHITE_ROOT, GRAPHITE_CONF_DIR and GRAPHITE_STORAGE_DIR say where an installation lies; the
//! file says otherwise where it wants; flags have the last word. Paths are cleaned up as by
//! Python's expanduser and normpath: by their text alone, no directory is looked at or made.
//! Without carbon.conf and without those variables, everything lies below ./benzene-data.

use std::path::{Component, Path, PathBuf};

use benzene_engine::limits::DATA_DIR_BYTES_MAX;

use super::error::{ConfigError, NamedBy};
use super::low::Low;
use super::value::{Fault, Value};
use super::volumes::{self, DataDirectory};
use crate::cli::CacheOptions;

/// The storage directory when nobody names one and there is no carbon.conf.
pub const STORAGE_DIR_ALONE: &str = "benzene-data";
/// The directory below the storage directory that has a journal for each instance.
const JOURNALS: &str = "journal";
/// Where Python carbon's packages install themselves.
const GRAPHITE_ROOT_USUAL: &str = "/opt/graphite";

/// What Python calls the program, also in the names of its files.
const PROGRAM: &str = "carbon-cache";

/// Looks up an environment variable.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What flags and environment say before carbon.conf is read.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// carbon.conf and who named it; None runs on built-in defaults.
    pub(super) config: Option<(PathBuf, NamedBy)>,
    /// CONF_DIR unless the file sets it.
    pub(super) conf_dir: PathBuf,
    /// STORAGE_DIR unless the file sets it.
    pub(super) storage_dir: PathBuf,
    /// Why it is that one: the end of a sentence.
    pub(super) storage_because: String,
    home: Option<String>,
}

/// An installation's directory.
#[derive(Debug)]
struct Root {
    path: PathBuf,
    named_by: NamedBy,
    /// Why the storage directory is the one below: the end of a sentence.
    storage_because: &'static str,
}

impl Root {
    /// The one in whose `bin` a program lies.
    fn above(program: &Path) -> Option<Root> {
        let program = normal_path(program);
        Some(Root {
            path: program.parent()?.parent()?.to_owned(),
            named_by: NamedBy::Program,
            storage_because: "it lies beside the directory of the program",
        })
    }
}

/// Where this instance finds and keeps things.
#[derive(Debug)]
pub(super) struct Directories {
    pub(super) storage: PathBuf,
    pub(super) conf: PathBuf,
    /// At least one.
    pub(super) data: Vec<DataDirectory>,
    pub(super) logs: PathBuf,
    pub(super) pid_file: PathBuf,
}

impl Surroundings {
    pub(super) fn find(options: &CacheOptions, environment: Environment<'_>) -> Surroundings {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        let home = set("HOME");
        let clean = |text: &str| clean_path(text, home.as_deref());
        let root = set("GRAPHITE_ROOT").map(|root| Root {
            path: clean(&root),
            named_by: NamedBy::Environment("GRAPHITE_ROOT"),
            storage_because: "it lies below GRAPHITE_ROOT",
        });
        // Python's program always guesses from its own place. Where carbon.conf is named, what lies beside
        // that is the better guess: a link need not be where Python was installed.
        let is_told = options.config.is_some() || set("GRAPHITE_CONF_DIR").is_some();
        let program = options.program.as_deref().filter(|_| !is_told);
        let root = root.or_else(|| Root::above(program?));
        let config = match (&options.config, set("GRAPHITE_CONF_DIR"), &root) {
            (Some(path), _, _) => Some((normal_path(path), NamedBy::Flag)),
            (None, Some(conf_dir), _) => Some((
                clean(&conf_dir).join("carbon.conf"),
                NamedBy::Environment("GRAPHITE_CONF_DIR"),
            )),
            (None, None, Some(root)) => {
                Some((root.path.join("conf").join("carbon.conf"), root.named_by))
            }
            (None, None, None) => None,
        };
        let conf_dir = match &config {
            Some((path, _)) => parent_of(path),
            None => PathBuf::from("."),
        };
        let (storage_dir, storage_because) = match (set("GRAPHITE_STORAGE_DIR"), root, &config) {
            (Some(storage), _, _) => (clean(&storage), "GRAPHITE_STORAGE_DIR says so".to_owned()),
            (None, Some(root), _) => (root.path.join("storage"), root.storage_because.to_owned()),
            (None, None, Some(_)) => beside(&conf_dir),
            (None, None, None) => (
                PathBuf::from(STORAGE_DIR_ALONE),
                "no carbon.conf names another".to_owned(),
            ),
        };
        Surroundings {
            config,
            conf_dir,
            storage_dir,
            storage_because,
            home,
        }
    }

    /// The directories, once the file has had its say.
    pub(super) fn settle(
        &self,
        low: &Low,
        options: &CacheOptions,
        instance: &str,
    ) -> Result<Directories, ConfigError> {
        let written = |name| self.written(low, name);
        let data = match (&options.data_dir, written("LOCAL_DATA_DIR")) {
            (Some(flag), _) => vec![DataDirectory {
                takes_all: true,
                ..one(normal_path(flag))?
            }],
            (None, data) => match self.data_list(low, data.as_deref())? {
                Some(list) => list,
                None => vec![one(data.unwrap_or_else(|| {
                    self.storage_of_all(low, options).join("whisper")
                }))?],
            },
        };
        let conf = written("CONF_DIR").unwrap_or_else(|| self.conf_dir.clone());
        // As Python: a flag is the place itself, LOG_DIR gets a directory for each instance.
        let named = format!("{PROGRAM}-{instance}");
        let of_all = self.storage_of_all(low, options);
        let logs = match (&options.logdir, written("LOG_DIR")) {
            (Some(flag), _) => normal_path(flag),
            (None, Some(logs)) => logs.join(&named),
            (None, None) => of_all.join("log").join(PROGRAM).join(&named),
        };
        let pid_file = match (&options.pidfile, written("PID_DIR")) {
            (Some(flag), _) => normal_path(flag),
            (None, written) => written.unwrap_or(of_all).join(named + ".pid"),
        };
        Ok(Directories {
            storage: self.storage(low, options),
            conf,
            data,
            logs,
            pid_file,
        })
    }

    fn written(&self, low: &Low, name: &str) -> Option<PathBuf> {
        low.text(name)
            .map(|text| clean_path(&text, self.home.as_deref()))
    }

    fn storage(&self, low: &Low, options: &CacheOptions) -> PathBuf {
        match &options.storage_dir {
            Some(flag) => normal_path(flag),
            None => self
                .written(low, "STORAGE_DIR")
                .unwrap_or_else(|| self.storage_dir.clone()),
        }
    }

    /// Where an instance has its journal, in a directory of its name, unless a flag says otherwise.
    pub(super) fn journals(&self, low: &Low, options: &CacheOptions) -> PathBuf {
        self.named_journals(low)
            .unwrap_or_else(|| self.storage(low, options).join(JOURNALS))
    }

    /// The same where carbon.conf says it.
    pub(super) fn named_journals(&self, low: &Low) -> Option<PathBuf> {
        self.written(low, "JOURNAL_DIR")
    }

    /// The directories of LOCAL_DATA_DIRS, where that is set; `data` is LOCAL_DATA_DIR.
    fn data_list(
        &self,
        low: &Low,
        data: Option<&Path>,
    ) -> Result<Option<Vec<DataDirectory>>, ConfigError> {
        const NAME: &str = "LOCAL_DATA_DIRS";
        let Some(text) = low.text(NAME).filter(|_| low.written(NAME).is_some()) else {
            return Ok(None);
        };
        let refuse = |problem| low.refuse(NAME, Fault::NotDirectories { problem });
        let list =
            volumes::read(&text, |text| clean_path(text, self.home.as_deref())).map_err(refuse)?;
        if let Some(data) = data.filter(|data| list.iter().all(|it| it.path != *data)) {
            return Err(refuse(format!(
                "LOCAL_DATA_DIR = {} is not in it, and the files there would not be found; add it to \
                 the list, or take LOCAL_DATA_DIR out",
                data.display()
            )));
        }
        Ok(Some(list))
    }

    /// The storage directory from which LOCAL_DATA_DIR follows. Python derives it before it reads
    /// [cache:NAME], so that a STORAGE_DIR there leaves the Whisper files where they are.
    fn storage_of_all(&self, low: &Low, options: &CacheOptions) -> PathBuf {
        let written = low.written_in_cache("STORAGE_DIR");
        match (&options.storage_dir, written.map(|written| &written.value)) {
            (Some(flag), _) => normal_path(flag),
            (None, Some(Value::Text(text))) => clean_path(text, self.home.as_deref()),
            (None, _) => self.storage_dir.clone(),
        }
    }
}

/// The data directory, where it is one.
fn one(path: PathBuf) -> Result<DataDirectory, ConfigError> {
    if path.as_os_str().len() > DATA_DIR_BYTES_MAX {
        return Err(ConfigError::DataDirectoryTooLong { path });
    }
    Ok(DataDirectory::of(path))
}

/// The storage directory of an installation of which only the place of carbon.conf is known.
fn beside(conf_dir: &Path) -> (PathBuf, String) {
    if conf_dir.ends_with("conf") {
        let storage = parent_of(conf_dir).join("storage");
        return (
            normal_path(&storage),
            "carbon.conf lies in the conf directory beside it".to_owned(),
        );
    }
    let because = "GRAPHITE_ROOT is not set and Python carbon is usually installed there";
    (
        Path::new(GRAPHITE_ROOT_USUAL).join("storage"),
        because.to_owned(),
    )
}

/// The directory of a path; `.` for a bare name.
fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// A path as written in a file or variable: `~` is the home directory, then as `normal_path`.
fn clean_path(text: &str, home: Option<&str>) -> PathBuf {
    match (text.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            normal_path(&Path::new(home).join(rest.trim_start_matches('/')))
        }
        _ => normal_path(Path::new(text)),
    }
}

/// Takes `.`, `..` and double slashes out of a path by its text, as Python's normpath.
pub fn normal_path(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                let last = normal.components().next_back();
                match last {
                    Some(Component::Normal(_)) => {
                        normal.pop();
                    }
                    Some(Component::RootDir) => {}
                    Some(Component::ParentDir | Component::CurDir | Component::Prefix(_))
                    | None => {
                        normal.push("..");
                    }
                }
            }
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => normal.push(part),
        }
    }
    if normal.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_by_python() {
        for (text, want) in [
            ("/var/lib/carbon/", "/var/lib/carbon"),
            ("/a//b/./c/../d", "/a/b/d"),
            ("/..", "/"),
            ("a/../..", ".."),
            ("../../a", "../../a"),
            ("", "."),
            ("./", "."),
            ("~", "/home/carbon"),
            ("~/storage", "/home/carbon/storage"),
            ("~other/storage", "~other/storage"),
            ("/a/~/b", "/a/~/b"),
        ] {
            assert_eq!(
                clean_path(text, Some("/home/carbon")),
                Path::new(want),
                "{text}"
            );
        }
        assert_eq!(clean_path("~/x", None), Path::new("~/x"));
    }

    fn find(config: Option<&str>, variables: &[(&str, &str)]) -> Surroundings {
        let options = CacheOptions {
            config: config.map(PathBuf::from),
            ..CacheOptions::default()
        };
        find_as(&options, variables)
    }

    fn find_as(options: &CacheOptions, variables: &[(&str, &str)]) -> Surroundings {
        let environment = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Surroundings::find(options, &environment)
    }

    #[test]
    fn under_carbons_name_the_root_is_above_the_program_where_nobody_says_otherwise() {
        let called = CacheOptions {
            program: Some("/opt/graphite/x/../bin/carbon-cache.py".into()),
            ..CacheOptions::default()
        };
        let found = find_as(&called, &[]);
        let conf = PathBuf::from("/opt/graphite/conf/carbon.conf");
        assert_eq!(found.config, Some((conf, NamedBy::Program)));
        assert_eq!(found.storage_dir, Path::new("/opt/graphite/storage"));
        let (root, conf) = (
            ("GRAPHITE_ROOT", "/srv"),
            ("GRAPHITE_CONF_DIR", "/etc/carbon"),
        );
        assert_eq!(
            find_as(&called, &[root]).storage_dir,
            Path::new("/srv/storage")
        );
        let by_variable = find_as(&called, &[conf]);
        assert_eq!(
            by_variable.config.unwrap().0,
            Path::new("/etc/carbon/carbon.conf")
        );
        let by_flag = CacheOptions {
            config: Some("/etc/carbon/carbon.conf".into()),
            ..called
        };
        let by_flag = find_as(&by_flag, &[]);
        assert_eq!(by_flag.config.unwrap().1, NamedBy::Flag);
        assert_eq!(
            by_flag.storage_dir,
            Path::new("/opt/graphite/storage"),
            "the usual one"
        );
    }

    #[test]
    fn carbon_conf_is_found_as_by_python() {
        let conf_dir = ("GRAPHITE_CONF_DIR", "/etc/carbon/");
        let root = ("GRAPHITE_ROOT", "/srv/graphite");
        let by_conf_dir = NamedBy::Environment("GRAPHITE_CONF_DIR");
        let by_root = NamedBy::Environment("GRAPHITE_ROOT");
        for (config, variables, want) in [
            (None, &[][..], None),
            (None, &[("GRAPHITE_ROOT", "")], None),
            (
                None,
                &[conf_dir, root],
                Some(("/etc/carbon/carbon.conf", by_conf_dir)),
            ),
            (
                None,
                &[root],
                Some(("/srv/graphite/conf/carbon.conf", by_root)),
            ),
            (
                Some("x/../my.conf"),
                &[conf_dir, root],
                Some(("my.conf", NamedBy::Flag)),
            ),
        ] {
            let want = want.map(|(path, by)| (PathBuf::from(path), by));
            assert_eq!(
                find(config, variables).config,
                want,
                "{config:?} {variables:?}"
            );
        }
    }

    #[test]
    fn conf_dir_is_where_carbon_conf_lies() {
        let conf_dir = ("GRAPHITE_CONF_DIR", "/etc/carbon");
        for (config, want) in [
            (Some("/opt/graphite/conf/carbon.conf"), "/opt/graphite/conf"),
            (Some("carbon.conf"), "."),
            (None, "/etc/carbon"),
        ] {
            assert_eq!(
                find(config, &[conf_dir]).conf_dir,
                Path::new(want),
                "{config:?}"
            );
        }
    }

    #[test]
    fn storage_dir_follows_from_the_installation() {
        let storage = ("GRAPHITE_STORAGE_DIR", "/data/graphite/");
        let root = ("GRAPHITE_ROOT", "/srv/graphite");
        for (config, variables, want) in [
            (None, &[][..], "benzene-data"),
            (None, &[storage], "/data/graphite"),
            (None, &[root], "/srv/graphite/storage"),
            (Some("/etc/carbon.conf"), &[root, storage], "/data/graphite"),
            (Some("/etc/carbon.conf"), &[root], "/srv/graphite/storage"),
            (Some("/home/g/conf/carbon.conf"), &[], "/home/g/storage"),
            (Some("conf/carbon.conf"), &[], "storage"),
            (
                Some("/etc/carbon/carbon.conf"),
                &[],
                "/opt/graphite/storage",
            ),
        ] {
            let found = find(config, variables);
            assert_eq!(
                found.storage_dir,
                Path::new(want),
                "{config:?} {variables:?}"
            );
        }
    }
}
