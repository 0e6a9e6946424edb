//! The data directories as the desk has them: each with its disk's treatment, its budgets and what
//! tunes them; and, where there are several, whether each is where it was (docs/decisions/0020).
//! A directory that is gone, or on another file system than at the start, is away: nothing is looked
//! for, made or written there, so that a mount point without its disk gets no files and an empty one is
//! not taken for metrics that are new. One that comes back goes on without a start. One that does not
//! for `DATA_DIR_PATIENCE` is away for long: only what belongs there waits for it.
//! A disk that hangs keeps its own look waiting and nobody else's.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use benzene_engine::cache::Volume;
use benzene_engine::clock;
use benzene_engine::device::Class;
use benzene_engine::limiter::Budget;
use benzene_engine::limits::{BUDGET_BURST_S, DATA_DIR_LOOK_EVERY, DATA_DIR_PATIENCE};
use benzene_engine::ring::mount;
use benzene_engine::writer::{Away, Budgets, Presence};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Desk;
use super::disk::{Found, creates_per_s};
use super::start::prove_data_dir;
use super::tuning::Tuning;
use crate::config::{DataDirectory, Rate};

/// A data directory.
#[derive(Debug)]
pub(super) struct DataVolume {
    pub(super) directory: DataDirectory,
    pub(super) class: Class,
    /// How long points may be held back.
    pub(super) max_point_age_s: u32,
    pub(super) budgets: Budgets,
    /// How the rate of updates is tuned.
    pub(super) tuning: RefCell<Tuning>,
    /// The file system that it is on; None: that was never to be had.
    device: Cell<Option<u64>>,
    absence: Cell<Option<Absence>>,
    free_bytes: Cell<Option<u64>>,
}

/// A directory is away.
#[derive(Clone, Copy, Debug)]
struct Absence {
    since: Instant,
    /// That patience with it has ended was said.
    is_said: bool,
}

impl Absence {
    fn new(since: Instant) -> Self {
        Self {
            since,
            is_said: false,
        }
    }

    /// What it is at this moment, and whether that is to be said.
    fn at(&mut self, now: Instant) -> (Presence, bool) {
        if now.saturating_duration_since(self.since) < DATA_DIR_PATIENCE {
            return (Presence::Away, false);
        }
        let was_said = std::mem::replace(&mut self.is_said, true);
        (Presence::LongAway, !was_said)
    }
}

/// A look at a directory: its file system, and the room there.
type Look = io::Result<(u64, Option<u64>)>;

impl DataVolume {
    /// A directory whose disk is treated so; `problem` is why it cannot be used now.
    pub(super) fn new(directory: &DataDirectory, found: Found, problem: Option<&str>) -> Self {
        let Found {
            treatment, watch, ..
        } = found;
        let now = clock::now().instant;
        let tuning = Tuning::new(watch, &treatment.profile, treatment.updates.rate);
        let budget = |per_s| std::sync::Arc::new(Budget::new(per_s, BUDGET_BURST_S, now));
        let creates = creates_per_s(treatment.creates.rate, treatment.class);
        Self {
            directory: directory.clone(),
            class: treatment.class,
            max_point_age_s: treatment.profile.max_point_age_s,
            budgets: Budgets {
                updates: budget(tuning.begin(treatment.updates.rate)),
                creates: budget(creates),
            },
            tuning: RefCell::new(tuning),
            device: Cell::new(
                look(&directory.path)
                    .ok()
                    .map(|(device, _)| device)
                    .filter(|_| problem.is_none()),
            ),
            absence: Cell::new(problem.map(|_| Absence::new(now))),
            free_bytes: Cell::new(None),
        }
    }

    /// Is it not where it was?
    pub(super) fn is_away(&self) -> bool {
        self.absence.get().is_some()
    }

    /// Is it where it was? Says once that patience with it has ended.
    fn presence(&self, now: Instant) -> Presence {
        let Some(mut absence) = self.absence.get() else {
            return Presence::There;
        };
        let (presence, is_to_be_said) = absence.at(now);
        self.absence.set(Some(absence));
        if is_to_be_said {
            tracing::warn!(
                "the data directory {} has been away for {} s: new metrics that belong elsewhere are made \
                 without asking it; one that has a file there too keeps its new one (secondFiles). Mount \
                 its disk again, or take it out of LOCAL_DATA_DIRS and restart",
                self.directory.path.display(),
                DATA_DIR_PATIENCE.as_secs()
            );
        }
        presence
    }

    /// Room on its file system, as far as that is known.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        self.free_bytes.get()
    }

    /// What a stop that drains allows.
    pub(super) fn stop(&self, on_shutdown: Option<Rate>) {
        let now = clock::now().instant;
        let Budgets { updates, creates } = &self.budgets;
        if let Some(rate) = on_shutdown {
            updates.set_rate(rate.limit(), now);
        }
        // Points that were accepted get their files at a stop, whatever the limit on creates, unless
        // that lets none be made; and nobody tunes any more.
        if !creates.grants_nothing() {
            let rate = on_shutdown.unwrap_or(Rate::Unlimited);
            creates.set_rate(rate.limit(), now);
        }
        if on_shutdown.is_some() {
            return;
        }
        if self.tuning.borrow().is_tuned() {
            updates.set_rate(Rate::Unlimited.limit(), now);
        }
    }

    /// Takes in what a look has found.
    fn saw(&self, found: Look, now: Instant) {
        let path = &self.directory.path;
        let (why, free) = match found {
            Err(error) => (Some(error.to_string()), None),
            Ok((device, free)) => match self.device.get() {
                Some(known) if known == device => (None, free),
                Some(_) => (Some("another file system is there".to_owned()), None),
                None => match prove_data_dir(path, false) {
                    Ok(()) => {
                        self.device.set(Some(device));
                        (None, free)
                    }
                    Err(error) => (Some(error.to_string()), None),
                },
            },
        };
        self.free_bytes.set(free);
        let was_away = self.absence.get();
        match (&why, was_away) {
            (Some(why), None) => {
                self.absence.set(Some(Absence::new(now)));
                tracing::error!(
                    "the data directory {} is away: {why}. Nothing is written there, and points of its \
                     metrics wait; mount its disk again (the others go on)",
                    path.display()
                );
            }
            (None, Some(absence)) => {
                self.absence.set(None);
                tracing::info!(
                    "the data directory {} is there again: what waits is written{}",
                    path.display(),
                    if absence.is_said {
                        ", and new metrics ask it again"
                    } else {
                        ""
                    }
                );
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

fn look(path: &Path) -> Look {
    let found = std::fs::metadata(path)?;
    if !found.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok((found.dev(), mount::free(path).ok().map(|free| free.bytes)))
}

/// What is the matter where two of several directories are one on the disk, by a link or a mount, or one lies
/// in the other: then each file would be two directories'. Those that are not there are not looked at.
pub(crate) fn overlap(directories: &[DataDirectory]) -> Option<String> {
    let identity = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    // Each directory by itself, and with all that it lies in.
    let lines: Vec<Vec<(u64, u64)>> = directories
        .iter()
        .map(|directory| {
            let real = std::fs::canonicalize(&directory.path);
            let real = real.unwrap_or_default();
            real.ancestors().filter_map(identity).collect()
        })
        .collect();
    for (index, line) in lines.iter().enumerate() {
        for (other, other_line) in lines.iter().enumerate().take(index) {
            let lies_in = |one: &[(u64, u64)], in_other: &[(u64, u64)]| {
                in_other.first().is_some_and(|own| one.contains(own))
            };
            if lies_in(line, other_line) || lies_in(other_line, line) {
                return Some(format!(
                    "{} and {} of LOCAL_DATA_DIRS are one directory on the disk, or one lies in the other, \
                     by a link or a mount; list directories that do not share files",
                    directories[other].said(),
                    directories[index].said()
                ));
            }
        }
    }
    None
}

/// One directory of each file system that is there, for what is done by file system.
pub(super) fn one_of_each(volumes: &[DataVolume]) -> Vec<PathBuf> {
    let mut devices = Vec::new();
    let mut paths = Vec::new();
    for volume in volumes.iter().filter(|volume| !volume.is_away()) {
        let device = volume.device.get();
        if device.is_none() || !devices.contains(&device) {
            devices.push(device);
            paths.push(volume.directory.path.clone());
        }
    }
    paths
}

impl Desk {
    /// Looks after several data directories, as long as this is asked.
    pub(super) async fn watch_volumes(&self) {
        if self.volumes.len() == 1 {
            return std::future::pending().await;
        }
        let mut looks: Vec<Option<JoinHandle<Look>>> = self.volumes.iter().map(|_| None).collect();
        loop {
            let now = clock::now().instant;
            let all = self.volumes.iter().zip(&mut looks).enumerate();
            for (number, (volume, slot)) in all {
                if let Some(handle) = slot.take_if(|handle| handle.is_finished())
                    && let Ok(found) = handle.await
                {
                    volume.saw(found, now);
                }
                self.away.set(Volume::new(number), volume.presence(now));
                let path = volume.directory.path.clone();
                slot.get_or_insert_with(|| tokio::task::spawn_blocking(move || look(&path)));
            }
            sleep(DATA_DIR_LOOK_EVERY).await;
        }
    }
}

/// Creates a minute that are allowed in all of them together; None where one has no limit.
pub(super) fn creates_per_minute(volumes: &[DataVolume]) -> Option<f64> {
    let rates = volumes.iter().map(|volume| volume.budgets.creates.rate());
    let a_second: Option<f64> = rates.sum();
    a_second.map(|a_second| a_second * 60.0)
}

/// Sets which directories are away at the start.
pub(super) fn away_of(volumes: &[DataVolume]) -> Away {
    let away = Away::default();
    for (number, volume) in volumes.iter().enumerate() {
        away.set(Volume::new(number), volume.presence(clock::now().instant));
    }
    away
}

/// How long a directory is asked to bring what was written to its disk, and fails, before the journal
/// goes on without it; only where there are others.
pub(super) const SYNC_PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use benzene_engine::device::Profile;

    use super::super::disk::Treatment;
    use super::*;
    use crate::config::Chosen;

    fn volume(path: &Path, problem: Option<&str>) -> DataVolume {
        let chosen = Chosen {
            rate: Rate::Unlimited,
            option: "MAX_UPDATES_PER_SECOND",
            line: None,
        };
        let found = Found {
            treatment: Treatment {
                class: Class::Ssd,
                updates: chosen,
                creates: chosen,
                profile: *Profile::of(Class::Ssd),
            },
            said: Vec::new(),
            watch: None,
            disk: None,
        };
        DataVolume::new(&DataDirectory::of(path.to_owned()), found, problem)
    }

    #[test]
    fn patience_counts_from_the_start_or_from_when_it_went() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("whisper");
        let begin = clock::now().instant;
        let volume = volume(&path, Some("it is not there"));
        let started = clock::now().instant;
        let moment = Duration::from_millis(1);
        let after = |time: Instant| time + DATA_DIR_PATIENCE;
        let just_before = |time: Instant| time + DATA_DIR_PATIENCE.saturating_sub(moment);
        let looked = |now: Instant| {
            volume.saw(look(&path), now);
            volume.presence(now)
        };
        assert_eq!(looked(just_before(begin)), Presence::Away);
        // Nobody need have answered.
        assert_eq!(volume.presence(after(started)), Presence::LongAway);
        assert_eq!(looked(after(started)), Presence::LongAway);

        std::fs::create_dir(&path).unwrap();
        let went = after(started) + moment;
        assert_eq!(looked(went), Presence::There);
        std::fs::remove_dir(&path).unwrap();
        assert_eq!(looked(went), Presence::Away);
        assert_eq!(looked(just_before(went)), Presence::Away);
        assert_eq!(looked(after(went)), Presence::LongAway);
    }

    #[test]
    fn the_end_of_patience_is_said_once_in_an_absence() {
        let begin = clock::now().instant;
        let mut absence = Absence::new(begin);
        let end = begin + DATA_DIR_PATIENCE;
        assert_eq!(absence.at(begin), (Presence::Away, false));
        assert_eq!(absence.at(end), (Presence::LongAway, true));
        assert_eq!(absence.at(end), (Presence::LongAway, false));
    }
}
