//! What changes while the daemon runs: on SIGHUP, and when a configuration file has changed.
//! Of carbon.conf the limits on updates and creates, the level of the log and what goes into the log
//! files are taken over; what else has changed is named, for it waits for the next start. So do the limits
//! where the file has other instances than this process answers for: they are the sums of all. The files
//! of rules are `rules`'.
//! A file that cannot be read or is wrong changes nothing, and is told like at a start.

use std::collections::BTreeSet;
use std::path::Path;

use benzene_engine::clock;
use benzene_engine::device::Profile;
use benzene_engine::limits::CONFIG_LOOK_EVERY;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::disk::creates_per_s;
use super::watch::{self, Source};
use super::{Desk, ReadAgain};
use crate::cli::LogLevel;
use crate::config::{Conf, ConfigError, Settings, Written};
use crate::core::Parcel;
use crate::logging::Logs;

/// What can change while the daemon runs, as long as it answers for the instances of the file.
const RATES: [&str; 8] = [
    "MAX_UPDATES_PER_SECOND",
    "MAX_UPDATES_PER_SECOND_SSD",
    "MAX_UPDATES_PER_SECOND_HDD",
    "READ_WAIT_MAX",
    "MAX_UPDATES_PER_SECOND_ON_SHUTDOWN",
    "MAX_CREATES_PER_MINUTE",
    "MAX_CREATES_PER_MINUTE_SSD",
    "MAX_CREATES_PER_MINUTE_HDD",
];
/// What can in any case.
const LOG: [&str; 6] = [
    LOG_LEVEL,
    "LOG_UPDATES",
    "LOG_CREATES",
    "LOG_CACHE_HITS",
    "LOG_LISTENER_CONN_SUCCESS",
    "LOG_LISTENER_CONN_LOST",
];
const LOG_LEVEL: &str = "LOG_LEVEL";

/// Why files are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The operator asked for it.
    Hangup,
    /// A file was found changed.
    Change,
}

impl Cause {
    /// How a message about a file begins.
    pub(super) fn of(self, path: &Path) -> String {
        match (self, path.file_name()) {
            (Cause::Change, Some(name)) => format!("{} has changed", name.display()),
            (Cause::Change | Cause::Hangup, _) => "SIGHUP".to_owned(),
        }
    }
}

/// Names the files that root has read and that the user whom the daemon has become may not.
pub(super) fn say_out_of_reach(settings: &Settings) {
    let Some(user) = &settings.user else { return };
    for path in watch::out_of_reach(settings) {
        tracing::warn!(
            "user {user} may not read {0}, which root has read at this start: what changes there holds from the \
             next start on, and not on SIGHUP. To have it followed: {1}",
            path.display(),
            give_to(user, path)
        );
    }
}

/// How a file is made readable for a user, in commands.
pub(crate) fn give_to(user: &str, path: &Path) -> String {
    let path = path.display();
    format!(
        "chgrp $(id -gn {user}) {path} && chmod 0640 {path}, in a directory that {user} can enter"
    )
}

impl Desk {
    /// Reads files again when they have changed, and all of them when `hangup` tells so; for ever.
    pub(super) async fn follow_files(&self, read_again: &ReadAgain<'_>, hangup: &Notify) {
        let mut looks = interval(CONFIG_LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let cause = tokio::select! {
                () = hangup.notified() => Cause::Hangup,
                _ = looks.tick() => Cause::Change,
            };
            let files = match cause {
                Cause::Hangup => self.watch.borrow_mut().all(),
                Cause::Change => self.watch.borrow_mut().look(),
            };
            if cause == Cause::Hangup {
                self.notify.reloading();
                self.logs.iter().for_each(Logs::reopen);
            }
            if files.is_empty() && cause == Cause::Hangup {
                tracing::info!("SIGHUP: there is no configuration file that could have changed");
            }
            for (source, path) in files {
                if source == Source::Conf {
                    Box::pin(self.reload_conf(cause, &path, read_again())).await;
                } else {
                    self.reload_rules(source, &path, cause).await;
                }
            }
            if cause == Cause::Hangup {
                self.notify.ready();
            }
        }
    }

    /// Takes over what has changed in carbon.conf.
    async fn reload_conf(&self, cause: Cause, path: &Path, read_again: Result<Conf, ConfigError>) {
        let is_asked = cause == Cause::Hangup;
        let cause = cause.of(path);
        let conf = match read_again {
            Ok(conf) => conf,
            Err(error) => {
                self.watch.borrow_mut().refuse(Source::Conf);
                return tracing::error!("{cause}: everything stays as it is: {error}");
            }
        };
        let (_, was_refused) = self.watch.borrow_mut().accept(Source::Conf, None);
        let is_same = conf.written == *self.written.borrow();
        if is_same && !is_asked && !was_refused {
            return;
        }
        for warning in &conf.warnings {
            tracing::warn!("{warning}");
        }
        let settings = conf.settings;
        let takes_rates = instances(&settings) == instances(&self.settings);
        if takes_rates {
            self.take_rates(&settings);
        }
        self.tell_all(|| Parcel::Logged(settings.logged)).await;
        let before = self.written.replace(conf.written);
        let (mut now, later) = changed(&before, &self.written.borrow(), takes_rates);
        if !takes_rates {
            keep_rates(&before, &mut self.written.borrow_mut());
        }
        let level = settings.log_level.unwrap_or_default();
        let overrides = self.log.overrides();
        for text in now.iter_mut().filter(|text| text.starts_with(LOG_LEVEL)) {
            text.extend(overrides.map(|what| format!(" ({what} wins)")));
        }
        let said = said(&now, &later);
        // Said while it is heard: before the log gets quieter than this, or behind that.
        if level.has_info() {
            self.set_log_level(level, &cause);
            tracing::info!("{cause}: {said}");
        } else {
            tracing::info!("{cause}: {said}");
            self.set_log_level(level, &cause);
        }
    }

    /// Lets the limits on updates and creates hold from now on.
    fn take_rates(&self, settings: &Settings) {
        for volume in &self.volumes {
            let (class, budgets) = (volume.class, &volume.budgets);
            let read_wait_ms = settings.disk.read_wait_ms;
            volume.tuning.borrow_mut().reload(
                settings.disk.updates.of(class).rate,
                read_wait_ms.unwrap_or(Profile::of(class).read_wait_ms),
                &budgets.updates,
            );
            let creates = creates_per_s(settings.disk.creates.of(class).rate, class);
            budgets.creates.set_rate(creates, clock::now().instant);
        }
        // A core that was granted nothing may have gone to sleep for long.
        self.wake_all();
        self.updates_per_second_on_shutdown
            .set(settings.updates_per_second_on_shutdown);
    }

    fn set_log_level(&self, level: LogLevel, cause: &str) {
        if let Err(error) = self.log.set(level) {
            tracing::error!("{cause}: LOG_LEVEL stays as it is: {error}");
        }
    }
}

/// The names of the instances, in whatever order their sections stand.
fn instances(settings: &Settings) -> BTreeSet<&str> {
    let instances = settings.instances.iter();
    instances.map(|it| it.name.as_str()).collect()
}

/// What differs: what holds now, and what waits for the next start.
fn changed(
    before: &Written,
    after: &Written,
    takes_rates: bool,
) -> (Vec<String>, Vec<&'static str>) {
    let names = before
        .keys()
        .chain(after.keys().filter(|name| !before.contains_key(*name)));
    let differing = names.filter(|name| before.get(*name) != after.get(*name));
    let (now, later): (Vec<&str>, Vec<&str>) =
        differing.partition(|name| LOG.contains(name) || takes_rates && RATES.contains(name));
    let now = now.into_iter().map(|name| match after.get(name) {
        Some(text) => format!("{name} = {text}"),
        None => format!("{name} is not set any more"),
    });
    (now.collect(), later)
}

/// What is written of the rates stays what holds: they have changed as long as they wait.
fn keep_rates(before: &Written, after: &mut Written) {
    for name in RATES {
        if let Some(text) = before.get(name) {
            after.insert(name, text.clone());
        } else {
            after.remove(name);
        }
    }
}

fn said(now: &[String], later: &[&str]) -> String {
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
        let (now, later) = changed(&before, &after, true);
        let told = said(&now, &later);
        assert_eq!(
            told,
            "from now on MAX_CREATES_PER_MINUTE is not set any more, MAX_UPDATES_PER_SECOND = 3000; \
             changed, but as before until the next start: SHARDS, LINE_RECEIVER_PORT"
        );
        let (now, later) = changed(&before, &after, false);
        let told = said(&now, &later);
        assert_eq!(
            told,
            "changed, but as before until the next start: MAX_CREATES_PER_MINUTE, \
             MAX_UPDATES_PER_SECOND, SHARDS, LINE_RECEIVER_PORT"
        );
    }

    #[test]
    fn nothing_new_is_said_too() {
        let same = written(&[("SHARDS", "2")]);
        let (now, later) = changed(&same, &same, true);
        assert_eq!(
            said(&now, &later),
            "carbon.conf was read again and says what it said"
        );
    }
}
