//! Which disk lies below each data directory, and how it is treated: found out once, at the start, and said with
//! the reason. What carbon.conf sets wins over the profile of the disk's class; what nobody knows is
//! treated as an SSD. A rate in carbon.conf that holds the disk back is named, with what `auto` would
//! allow.

use benzene_engine::cache::Strategy;
use benzene_engine::device::{Class, Disk, Profile, Watch};
use benzene_engine::limits::{VOLUME_OTHERS, VOLUME_UPDATES_HDD, VOLUME_UPDATES_SSD};
use benzene_engine::ring::{Access, mount};

use super::files::Backend;
use crate::config::{Chosen, DataDirectory, Rate, Settings};

/// How the disk of the data directory is treated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Treatment {
    /// The class of the disk.
    pub(super) class: Class,
    /// Updates a second.
    pub(super) updates: Chosen,
    /// Creates a minute.
    pub(super) creates: Chosen,
    /// What carbon.conf left of its class's profile, and what it put in its place.
    pub(super) profile: Profile,
}

/// What was found out.
#[derive(Debug)]
pub(super) struct Found {
    /// How the disk is treated.
    pub(super) treatment: Treatment,
    /// What the operator is told of it.
    pub(super) said: Vec<String>,
    /// The disks, where they can be watched.
    pub(super) watch: Option<Watch>,
    /// What lies below the directory, where that is to be had.
    pub(super) disk: Option<Disk>,
}

/// What is said of the journal's disk, where it is none of the data's.
pub(super) fn journal_said(settings: &Settings, found: &[Found]) -> Option<String> {
    let journal = settings.journal.as_ref()?;
    // One disk is tried once: where both lie on one device there is nothing to say.
    let device = mount::device_of(&journal.dir).ok();
    let mut data = settings.data.iter();
    if data.any(|data| mount::device_of(&data.path).ok() == device) {
        return None;
    }
    let disk = Disk::of(&journal.dir).ok()?;
    let mut known = found.iter().filter_map(|found| found.disk.as_ref());
    if found.iter().all(|found| found.disk.is_none()) || known.any(|it| it.chain == disk.chain) {
        return None;
    }
    Some(format!(
        "the journal in {} has a disk of its own, {}: class {} ({})",
        journal.dir.display(),
        disk.place(),
        disk.class.name(),
        disk.reason
    ))
}

impl Treatment {
    /// How the disk below a data directory is to be treated.
    pub(super) fn find(settings: &Settings, directory: &DataDirectory, backend: Backend) -> Found {
        let name = directory.name.as_deref();
        let called = name.map_or_else(String::new, |name| format!("{name}: "));
        let directory = &directory.path;
        let found = Disk::of(directory);
        let (class, because) = match (settings.disk.class, &found) {
            (Some(class), _) => (class, "as DEVICE_CLASS says".to_owned()),
            (None, Ok(disk)) => (disk.class, disk.reason.to_string()),
            (None, Err(error)) => (Class::Unknown, error.to_string()),
        };
        let treatment = Treatment::of(settings, class, backend);
        let watch = found.as_ref().ok().and_then(|disk| Watch::new(&disk.disks));
        let mut said = vec![format!(
            "{called}{} is on {}: class {}{} ({because})",
            directory.display(),
            place(found.as_ref().ok()),
            class.name(),
            if class == Class::Unknown {
                ", treated as ssd; DEVICE_CLASS = hdd in carbon.conf if it spins"
            } else {
                ""
            },
        )];
        let profile = treatment.profile_said(settings, backend);
        said.push(format!("{called}{profile}"));
        said.extend(treatment.held_back());
        if treatment.updates.rate == Rate::Auto && watch.is_none() {
            said.push(
                "the disk cannot be watched, so that updates have no limit: \
                 MAX_UPDATES_PER_SECOND = a number sets one"
                    .to_owned(),
            );
        }
        Found {
            treatment,
            said,
            watch,
            disk: found.ok(),
        }
    }

    /// How a disk of a class is treated with these settings.
    pub(super) fn of(settings: &Settings, class: Class, backend: Backend) -> Treatment {
        let (disk, usual) = (&settings.disk, Profile::of(class));
        let usual = if settings.data.len() == 1 {
            *usual
        } else {
            one_of_several(*usual, class, disk.updates_in_flight_max)
        };
        Treatment {
            class,
            updates: disk.updates.of(class),
            creates: disk.creates.of(class),
            profile: Profile {
                updates_in_flight: backend.updates(
                    disk.updates_in_flight_max
                        .unwrap_or(usual.updates_in_flight),
                ),
                kernel_workers: disk.kernel_workers_max.unwrap_or(usual.kernel_workers),
                in_disk_order: disk.in_disk_order.unwrap_or(usual.in_disk_order),
                read_wait_ms: disk.read_wait_ms.unwrap_or(usual.read_wait_ms),
                max_point_age_s: disk.max_point_age_s.unwrap_or(usual.max_point_age_s),
                read_ahead: usual.read_ahead && !disk.fadvise_random,
                ..usual
            },
        }
    }

    /// How files on this disk are opened for updates.
    pub(super) fn access(&self, settings: &Settings) -> Access {
        Access {
            lock: settings.lock_writes,
            random: !self.profile.read_ahead,
            lazy: !self.profile.has_heads,
        }
    }

    fn profile_said(&self, settings: &Settings, backend: Backend) -> String {
        let strategy = settings.strategy;
        let class = match self.class {
            Class::Ssd | Class::Unknown => "ssd",
            Class::Hdd => "hdd",
        };
        let Profile {
            updates_in_flight,
            kernel_workers,
            in_disk_order,
            max_point_age_s,
            ..
        } = self.profile;
        let held = if strategy == Strategy::Deadline {
            let order = if in_disk_order {
                ", and written in the order of the disk"
            } else {
                ""
            };
            format!(
                "points are held for up to {max_point_age_s} s, so that an update has many{order}"
            )
        } else {
            let name = strategy.name();
            format!(
                "write order {name}, which passes over no metric for longer than {max_point_age_s} s"
            )
        };
        // What carbon.conf names is no directory's own.
        let is_shared = settings.data.len() > 1 && settings.disk.kernel_workers_max.is_some();
        let of_whom = if is_shared {
            " for all directories"
        } else {
            ""
        };
        format!(
            "profile {class}: {} updates/s, {} creates/min; in flight up to {updates_in_flight} \
             updates a shard, {kernel_workers} {}{of_whom}; {held}",
            match self.updates.rate {
                Rate::Auto => format!(
                    "tuned (reads wait at most {} ms)",
                    self.profile.read_wait_ms
                ),
                rate @ (Rate::Unlimited | Rate::Limited(_)) => said(rate),
            },
            said(self.creates.rate),
            backend.workers()
        )
    }

    /// The limits of carbon.conf, each with what auto would do.
    fn held_back(&self) -> Vec<String> {
        let updates = format!(
            "begin with {} and go on from there as long as one read in a hundred waits no longer than \
             {} ms",
            self.profile.updates_first, self.profile.read_wait_ms
        );
        let both = [(self.updates, &*updates), (self.creates, "set no limit")];
        let both = both.into_iter();
        both.filter_map(|(chosen, auto)| held_back(chosen, auto))
            .collect()
    }
}

/// Where there are several, each disk has workers of its own, as many as it may have operations in
/// flight: one that answers late takes none of another's.
fn one_of_several(usual: Profile, class: Class, updates: Option<usize>) -> Profile {
    let updates_in_flight = updates.unwrap_or(match class {
        Class::Hdd => VOLUME_UPDATES_HDD,
        Class::Ssd | Class::Unknown => VOLUME_UPDATES_SSD,
    });
    let workers = updates_in_flight + VOLUME_OTHERS;
    Profile {
        updates_in_flight,
        kernel_workers: u32::try_from(workers).unwrap_or(u32::MAX),
        ..usual
    }
}

/// Creates a second on a disk of this class, where this is said of creates a minute.
pub(super) fn creates_per_s(a_minute: Rate, class: Class) -> Option<f64> {
    let a_minute = match a_minute {
        Rate::Auto => Profile::of(class).creates_per_minute,
        set @ (Rate::Unlimited | Rate::Limited(_)) => set.limit(),
    };
    a_minute.map(|a_minute| a_minute / 60.0)
}

fn place(disk: Option<&Disk>) -> String {
    disk.map_or_else(|| "a disk that cannot be looked at".to_owned(), Disk::place)
}

fn said(rate: Rate) -> String {
    match rate {
        Rate::Auto => "as many".to_owned(),
        Rate::Unlimited => "unlimited".to_owned(),
        Rate::Limited(limit) => format!("at most {limit}"),
    }
}

fn held_back(chosen: Chosen, auto: &str) -> Option<String> {
    let (Rate::Limited(limit), Some(line)) = (chosen.rate, chosen.line) else {
        return None;
    };
    Some(format!(
        "{} = {limit} is obeyed, as line {line} of carbon.conf says; auto would {auto}",
        chosen.option
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use benzene_engine::ring::Driver;

    use super::*;
    use crate::cli::CacheOptions;
    use crate::config;

    #[test]
    fn threads_that_carbon_conf_names_are_said_to_be_those_of_all_directories() {
        for (directories, want) in [
            (
                "LOCAL_DATA_DIRS = a=/srv/a/whisper, b=/srv/b/whisper\n",
                ", 12 file threads for all directories; ",
            ),
            ("", ", 12 file threads; "),
        ] {
            let conf = format!("[cache]\n{directories}KERNEL_WORKERS = 12\n");
            let options = CacheOptions {
                config: Some("carbon.conf".into()),
                ..CacheOptions::default()
            };
            let read = |_: &Path| Ok(conf.clone());
            let loaded = config::load_conf(&options, &|_| None, &read);
            let settings = loaded.unwrap().settings;
            let backend = Backend::of(Driver::UringSync, 2, settings.data.len(), None);
            let treatment = Treatment::of(&settings, Class::Ssd, backend);
            let said = treatment.profile_said(&settings, backend);
            assert!(said.contains(want), "{said}");
        }
    }
}
