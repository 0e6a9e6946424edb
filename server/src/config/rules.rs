//! The files of rules beside carbon.conf: schemas, aggregation, and the two lists. Each is read by
//! itself, at the start and again when it has changed.
//! What a missing file means is Python carbon's: no start without schemas, averages without
//! aggregation, an empty list without a list.
//! On failure: a `ConfigError` with file, line and mend, and the caller keeps what he had.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use benzene_engine::schemas::{Aggregations, Schemas};

use super::error::ConfigError;
use super::volumes::{self, DataDirectory};
use super::{Reader, read_if_there};
use crate::lists::{List, Lists};

/// Where the files of rules are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFiles {
    /// storage-schemas.conf and storage-aggregation.conf; none without a carbon.conf.
    pub storage: Option<StorageFiles>,
    /// The lists; none where every name is received.
    pub lists: Option<ListFiles>,
}

/// The files that say how new Whisper files are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageFiles {
    /// storage-schemas.conf.
    pub schemas: PathBuf,
    /// storage-aggregation.conf.
    pub aggregation: PathBuf,
}

/// The files that say which names are received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListFiles {
    /// whitelist.conf.
    pub whitelist: PathBuf,
    /// blacklist.conf.
    pub blacklist: PathBuf,
}

/// What all files of rules say.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which archives a new file gets.
    pub schemas: Arc<Schemas>,
    /// Which aggregation a new file gets.
    pub aggregations: Arc<Aggregations>,
    /// Which names are received; none is all.
    pub lists: Option<Lists>,
    /// `Ruled::print` of each file that is there.
    pub prints: BTreeMap<PathBuf, u64>,
}

/// What one file of rules says.
#[derive(Debug)]
pub struct Ruled<R> {
    /// Its rules.
    pub rules: R,
    /// What of it is left out or means nothing; ready to log.
    pub warnings: Vec<String>,
    /// A hash of its text, by which a change is known; none where there is no such file.
    pub print: Option<u64>,
}

impl RuleFiles {
    /// Where they are for settings with this CONF_DIR.
    pub(super) fn beside(with_file: bool, conf_dir: &Path, lists: Option<ListFiles>) -> RuleFiles {
        RuleFiles {
            storage: with_file.then(|| StorageFiles {
                schemas: conf_dir.join("storage-schemas.conf"),
                aggregation: conf_dir.join("storage-aggregation.conf"),
            }),
            lists,
        }
    }

    /// Reads them all, for these data directories. Without a carbon.conf every file gets what Python gives to metrics that no
    /// schema matches.
    pub(super) fn read(
        &self,
        data: &[DataDirectory],
        read: Reader<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Rules, ConfigError> {
        let mut keep = Keep {
            warnings,
            prints: BTreeMap::new(),
        };
        let (schemas, aggregations) = match &self.storage {
            Some(StorageFiles {
                schemas: schemas_file,
                aggregation,
            }) => (
                keep.rules(schemas_file, schemas(schemas_file, data, read)?),
                keep.rules(aggregation, aggregations(aggregation, read)?),
            ),
            None => (Schemas::builtin(), Aggregations::builtin()),
        };
        let lists = match &self.lists {
            Some(files) => Some(Lists {
                blacklist: Arc::new(keep.rules(&files.blacklist, list(&files.blacklist, read)?)),
                whitelist: Arc::new(keep.rules(&files.whitelist, list(&files.whitelist, read)?)),
            }),
            None => None,
        };
        Ok(Rules {
            schemas: Arc::new(schemas),
            aggregations: Arc::new(aggregations),
            lists,
            prints: keep.prints,
        })
    }
}

/// Where it is kept what is said of rules while they are read.
struct Keep<'a> {
    warnings: &'a mut Vec<String>,
    prints: BTreeMap<PathBuf, u64>,
}

impl Keep<'_> {
    fn rules<R>(&mut self, path: &Path, ruled: Ruled<R>) -> R {
        self.warnings.extend(ruled.warnings);
        let print = ruled.print.map(|print| (path.to_owned(), print));
        self.prints.extend(print);
        ruled.rules
    }
}

fn print(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Warnings with the file that they are about.
fn named(path: &Path, warnings: &[impl std::fmt::Display]) -> Vec<String> {
    let warnings = warnings.iter();
    warnings
        .map(|warning| format!("{}: {warning}", path.display()))
        .collect()
}

/// Reads storage-schemas.conf, whose sections may name one of these data directories.
pub fn schemas(
    path: &Path,
    data: &[DataDirectory],
    read: Reader<'_>,
) -> Result<Ruled<Schemas>, ConfigError> {
    let Some(text) = read_if_there(path, read)? else {
        let path = path.to_owned();
        return Err(ConfigError::SchemasMissing { path });
    };
    let (mut rules, found) = Schemas::parse(&text).map_err(|source| refused(path, source))?;
    if let Some(source) = volumes::resolve(&mut rules, data).into_iter().next() {
        return Err(refused(path, source));
    }
    Ok(Ruled {
        rules,
        warnings: named(path, &found),
        print: Some(print(&text)),
    })
}

/// Reads storage-aggregation.conf.
pub fn aggregations(path: &Path, read: Reader<'_>) -> Result<Ruled<Aggregations>, ConfigError> {
    let Some(text) = read_if_there(path, read)? else {
        let warning = format!(
            "{}: there is no such file: new files average their points (xFilesFactor 0.5), as with \
             Python carbon",
            path.display()
        );
        return Ok(Ruled {
            rules: Aggregations::builtin(),
            warnings: vec![warning],
            print: None,
        });
    };
    let (rules, found) = Aggregations::parse(&text).map_err(|source| refused(path, source))?;
    Ok(Ruled {
        rules,
        warnings: named(path, &found),
        print: Some(print(&text)),
    })
}

fn refused(path: &Path, source: benzene_engine::schemas::SchemaError) -> ConfigError {
    ConfigError::Rules {
        path: path.to_owned(),
        source,
    }
}

/// Reads whitelist.conf or blacklist.conf.
pub fn list(path: &Path, read: Reader<'_>) -> Result<Ruled<List>, ConfigError> {
    let Some(text) = read_if_there(path, read)? else {
        return Ok(Ruled {
            rules: List::empty(path),
            warnings: Vec::new(),
            print: None,
        });
    };
    let (rules, found) = List::parse(path, &text).map_err(|source| ConfigError::List {
        path: path.to_owned(),
        source,
    })?;
    Ok(Ruled {
        rules,
        warnings: named(path, &found),
        print: Some(print(&text)),
    })
}
