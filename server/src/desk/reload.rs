//! SIGHUP: carbon.conf is read again, and what can change while the daemon runs does: the limits on
//! updates and creates. What else has changed is named, for it waits for the next start. A file that
//! cannot be read or is wrong changes nothing, and is told like at a start.

use benzene_engine::clock;
use benzene_engine::device::Profile;

use super::Desk;
use crate::config::{ConfigError, Loaded, Written};

/// What can change while the daemon runs.
const CHANGES: [&str; 8] = [
    "MAX_UPDATES_PER_SECOND",
    "MAX_UPDATES_PER_SECOND_SSD",
    "MAX_UPDATES_PER_SECOND_HDD",
    "READ_WAIT_MAX",
    "MAX_UPDATES_PER_SECOND_ON_SHUTDOWN",
    "MAX_CREATES_PER_MINUTE",
    "MAX_CREATES_PER_MINUTE_SSD",
    "MAX_CREATES_PER_MINUTE_HDD",
];

impl Desk {
    /// Takes over what has changed in the files.
    pub(super) fn reload(&self, read_again: Result<Loaded, ConfigError>) {
        let loaded = match read_again {
            Ok(loaded) => loaded,
            Err(error) => return tracing::error!("SIGHUP: everything stays as it is: {error}"),
        };
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let settings = loaded.settings;
        let class = self.class;
        let read_wait_ms = settings.disk.read_wait_ms;
        self.tuning.borrow_mut().reload(
            settings.disk.updates.of(class).rate,
            read_wait_ms.unwrap_or(Profile::of(class).read_wait_ms),
            &self.budgets.updates,
        );
        let creates = settings.disk.creates.of(class).rate.limit();
        let creates = creates.map(|a_minute| a_minute / 60.0);
        self.budgets.creates.set_rate(creates, clock::now().instant);
        self.updates_per_second_on_shutdown
            .set(settings.updates_per_second_on_shutdown);
        let before = self.written.replace(loaded.written);
        let (now, later) = changed(&before, &self.written.borrow());
        let rules = format!("{:?}", settings.schemas) != format!("{:?}", self.settings.schemas)
            || format!("{:?}", settings.aggregations)
                != format!("{:?}", self.settings.aggregations);
        tracing::info!("SIGHUP: {}", said(&now, &later, rules));
    }
}

/// What differs: what holds now, and what waits for the next start.
fn changed(before: &Written, after: &Written) -> (Vec<String>, Vec<&'static str>) {
    let names = before
        .keys()
        .chain(after.keys().filter(|name| !before.contains_key(*name)));
    let differing = names.filter(|name| before.get(*name) != after.get(*name));
    let (now, later): (Vec<&str>, Vec<&str>) = differing.partition(|name| CHANGES.contains(name));
    let now = now.into_iter().map(|name| match after.get(name) {
        Some(text) => format!("{name} = {text}"),
        None => format!("{name} is not set any more"),
    });
    (now.collect(), later)
}

fn said(now: &[String], later: &[&str], rules: bool) -> String {
    let mut parts = Vec::new();
    if !now.is_empty() {
        parts.push(format!("from now on {}", now.join(", ")));
    }
    if !later.is_empty() {
        parts.push(format!(
            "changed, but as before until the next start: {}",
            later.join(", ")
        ));
    }
    if rules {
        parts.push(
            "storage-schemas.conf or storage-aggregation.conf has changed, and holds from the next \
             start on"
                .to_owned(),
        );
    }
    if parts.is_empty() {
        return "carbon.conf was read again and says what it said".to_owned();
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(entries: &[(&'static str, &str)]) -> Written {
        let entries = entries.iter();
        entries
            .map(|(name, text)| (*name, (*text).to_owned()))
            .collect()
    }

    #[test]
    fn what_changes_now_and_what_later_is_told_apart() {
        let before = written(&[
            ("MAX_UPDATES_PER_SECOND", "500"),
            ("MAX_CREATES_PER_MINUTE", "50"),
            ("SHARDS", "2"),
            ("MAX_CACHE_SIZE", "inf"),
        ]);
        let after = written(&[
            ("MAX_UPDATES_PER_SECOND", "3000"),
            ("MAX_CACHE_SIZE", "inf"),
            ("LINE_RECEIVER_PORT", "2103"),
        ]);
        let (now, later) = changed(&before, &after);
        let said = said(&now, &later, false);
        assert_eq!(
            said,
            "from now on MAX_CREATES_PER_MINUTE is not set any more, MAX_UPDATES_PER_SECOND = 3000; \
             changed, but as before until the next start: SHARDS, LINE_RECEIVER_PORT"
        );
    }

    #[test]
    fn nothing_new_is_said_too() {
        let same = written(&[("SHARDS", "2")]);
        let (now, later) = changed(&same, &same);
        assert_eq!(
            said(&now, &later, false),
            "carbon.conf was read again and says what it said"
        );
        assert!(said(&now, &later, true).contains("storage-schemas.conf"));
    }
}
