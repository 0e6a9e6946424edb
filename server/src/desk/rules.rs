//! Schemas, aggregation and lists while the daemon runs: read again when their files have changed,
//! and handed to the cores as messages. New files are made by new rules, those that are there stay as
//! they are; new lists judge every name anew.
//! A file that cannot be read or is wrong changes nothing: what was there before holds, and that is
//! said once for each change, and by the gauge `config.refusedFiles`.

use std::path::Path;
use std::sync::Arc;

use benzene_engine::schemas::{Aggregations, Schemas};

use super::Desk;
use super::reload::Cause;
use super::watch::Source;
use crate::config::{ConfigError, Ruled, Rules, read_file, rules};
use crate::core::Parcel;
use crate::lists::{List, Lists};

impl Desk {
    /// Reads a file of rules again, and takes over what it says.
    pub(super) async fn reload_rules(&self, source: Source, path: &Path, cause: Cause) {
        let cause = cause.of(path);
        let handed = match source {
            Source::Conf => unreachable!("carbon.conf is no file of rules"),
            Source::Schemas => self.read_schemas(path, &cause),
            Source::Aggregation => self.read_aggregations(path, &cause),
            Source::Blacklist | Source::Whitelist => self.read_list(source, path, &cause),
        };
        // Said once it holds: every core has it before it looks at what is received after that.
        if let Some((parcel, what)) = handed {
            self.tell_all(|| parcel.copy()).await;
            tracing::info!("{cause}: {what}");
        }
    }

    fn read_schemas(&self, path: &Path, cause: &str) -> Option<(Handed, String)> {
        let read = rules::schemas(path, &self.settings.data, &read_file);
        let found = self.sound(Source::Schemas, cause, "files are made as before", read)?;
        let names = listed(found.rules.iter().map(|rule| rule.name.as_str()));
        let mut rules = self.rules.borrow_mut();
        rules.schemas = Arc::new(found.rules);
        Some((Handed::rules(&rules), of_new_files(path, &names)))
    }

    fn read_aggregations(&self, path: &Path, cause: &str) -> Option<(Handed, String)> {
        let read = rules::aggregations(path, &read_file);
        let stays = "files are aggregated as before";
        let found = self.sound(Source::Aggregation, cause, stays, read)?;
        let names = listed(found.rules.iter().map(|rule| rule.name.as_str()));
        let mut rules = self.rules.borrow_mut();
        rules.aggregations = Arc::new(found.rules);
        Some((Handed::rules(&rules), of_new_files(path, &names)))
    }

    fn read_list(&self, source: Source, path: &Path, cause: &str) -> Option<(Handed, String)> {
        let read = rules::list(path, &read_file);
        let found = self.sound(source, cause, "names are received as before", read)?;
        let what = match found.print {
            Some(_) => said(&found.rules),
            None => format!(
                "{} is not there any more and has no pattern",
                path.display()
            ),
        };
        let what = format!("{what}; names are judged anew");
        let mut rules = self.rules.borrow_mut();
        let Some(lists) = &mut rules.lists else {
            unreachable!("{source:?} is watched and there are no lists")
        };
        if source == Source::Blacklist {
            lists.blacklist = Arc::new(found.rules);
        } else {
            lists.whitelist = Arc::new(found.rules);
        }
        Some((Handed::Lists(Arc::new(lists.clone())), what))
    }

    /// What a file says, where it is sound and says something else than what holds.
    fn sound<R>(
        &self,
        source: Source,
        cause: &str,
        stays: &str,
        read: Result<Ruled<R>, ConfigError>,
    ) -> Option<Ruled<R>> {
        let ruled = match read {
            Ok(ruled) => ruled,
            Err(error) => {
                self.watch.borrow_mut().refuse(source);
                tracing::error!("{cause}: {stays}: {error}");
                return None;
            }
        };
        let (is_new, was_refused) = self.watch.borrow_mut().accept(source, ruled.print);
        if !is_new {
            if was_refused {
                tracing::info!("{cause}: what it says is what holds");
            }
            return None;
        }
        for warning in &ruled.warnings {
            tracing::warn!("{warning}");
        }
        Some(ruled)
    }
}

/// What is handed to every core.
enum Handed {
    Rules(Arc<Schemas>, Arc<Aggregations>),
    Lists(Arc<Lists>),
}

impl Handed {
    fn rules(rules: &Rules) -> Handed {
        Handed::Rules(Arc::clone(&rules.schemas), Arc::clone(&rules.aggregations))
    }

    fn copy(&self) -> Parcel {
        match self {
            Handed::Rules(schemas, aggregations) => {
                Parcel::Rules(Arc::clone(schemas), Arc::clone(aggregations))
            }
            Handed::Lists(lists) => Parcel::Lists(Arc::clone(lists)),
        }
    }
}

fn of_new_files(path: &Path, names: &str) -> String {
    format!(
        "{} holds for files that are made from now on: {names}",
        path.display()
    )
}

/// A list, for the log.
pub(super) fn said(list: &List) -> String {
    let what = match list.len() {
        0 => "no pattern".to_owned(),
        1 => "one pattern".to_owned(),
        count => format!("{count} patterns"),
    };
    format!("{} has {what}", list.file().display())
}

/// The names of rules in their order, the first ones where there are many.
pub(super) fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    const SAID_MAX: usize = 20;
    let names: Vec<&str> = names.collect();
    let said = names[..names.len().min(SAID_MAX)].join(", ");
    match names.len().saturating_sub(SAID_MAX) {
        0 => said,
        more => format!("{said} and {more} more"),
    }
}
