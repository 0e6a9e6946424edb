//! The data directories: in which of them a metric's file is looked for, and where a new one is made
//! (docs/decisions/0020).
//! A series is looked for first where its file would be made: there it is, nearly always, and no other
//! disk is asked. Where it is not, the others are asked in the order of the list, and the first that has
//! it keeps it. A file is made when all have answered that they have none: one that cannot answer may
//! have it, and the series waits as for a fault of that directory, `DATA_DIR_PATIENCE` at most. For its
//! own place, and for a directory that is known to have its file, it waits as long as it takes.
//! Each directory has its own budgets, pace and bounds, so that a series waits for its own disk alone.

#[cfg(test)]
mod tests;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use hashbrown::HashMap;

use super::brake::Brake;
use super::creates::Pressure;
use super::faults::Fault;
use super::held::Held;
use super::jobs::Job;
use super::pace::Pace;
use super::together::Together;
use super::unused::Unused;
use super::{Budgets, Ledger, Now, Writer, WriterConfig};
use crate::cache::{SeriesId, Standing, Volume};
use crate::limits::{
    CREATES_IN_FLIGHT_MAX, DATA_DIR_PATIENCE, PLACED_PER_TURN_MAX, PROBES_IN_FLIGHT_MAX,
    UPDATES_IN_FLIGHT_MAX, UPDATES_PER_SECOND_LOOK, VOLUME_CREATES, VOLUME_PROBES,
};
use crate::metric::Metric;
use crate::ring::{Access, FileOperation};

/// A data directory beside the first.
#[derive(Clone, Debug)]
pub struct FurtherVolume {
    /// The directory.
    pub data_dir: PathBuf,
    /// Its own budgets.
    pub budgets: Budgets,
    /// As `WriterConfig::sync_creates`.
    pub sync_creates: bool,
    /// As `WriterConfig::updates_in_flight_max`.
    pub updates_in_flight_max: usize,
    /// As `WriterConfig::access`.
    pub access: Access,
    /// As `CacheConfig::max_point_age_s`.
    pub max_point_age_s: u32,
    /// As `CacheConfig::in_disk_order`.
    pub in_disk_order: bool,
}

/// What is said of the data directories beside the first; nothing, where there is none.
#[derive(Clone, Debug, Default)]
pub struct Further {
    /// These, in the order of the list.
    pub volumes: Vec<FurtherVolume>,
    /// By what the hash puts new files apart: a number for each directory, the first among them, that
    /// does not change from start to start.
    pub salts: Vec<u64>,
    /// Which directories are away.
    pub away: Arc<Away>,
}

/// Whether a data directory is where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    There,
    /// It is not mounted, or gone: nothing is looked for, made or written in it.
    Away,
    /// It is away for `DATA_DIR_PATIENCE`: nobody waits for it who belongs elsewhere.
    LongAway,
}

/// Directories that are not where they were. Set by who looks after them.
#[derive(Debug, Default)]
pub struct Away {
    away: AtomicU32,
    /// Those that have been for long.
    long: AtomicU32,
}

impl Away {
    /// Whether a directory is where it was, from now on.
    pub fn set(&self, volume: Volume, presence: Presence) {
        // Bits, by which nothing is published: relaxed is enough.
        let set = |bits: &AtomicU32, is_in: bool| {
            if is_in {
                bits.fetch_or(volume.bit(), Ordering::Relaxed);
            } else {
                bits.fetch_and(!volume.bit(), Ordering::Relaxed);
            }
        };
        set(&self.away, presence != Presence::There);
        set(&self.long, presence == Presence::LongAway);
    }

    /// All that are away.
    fn all(&self) -> u32 {
        self.away.load(Ordering::Relaxed)
    }

    /// Is it away for long?
    fn is_long(&self, volume: Volume) -> bool {
        self.long.load(Ordering::Relaxed) & volume.bit() != 0
    }
}

/// What a shard did in a data directory, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeCounts {
    /// Updates carried out.
    pub updates: u64,
    /// Of these, late ones (MAX_POINT_AGE).
    pub late_updates: u64,
    /// Files made.
    pub creates: u64,
    /// Updates and creates that failed.
    pub errors: u64,
}

/// One data directory of a shard's writer.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) data_dir: PathBuf,
    pub(super) sync_creates: bool,
    pub(super) access: Access,
    pub(super) updates_max: usize,
    pub(super) creates_max: usize,
    pub(super) probes_max: usize,
    pub(super) pace: Pace,
    pub(super) held: Held,
    pub(super) together: Together,
    pub(super) pressure: Pressure,
    pub(super) unused: Unused,
    pub(super) brake: Brake,
    pub(super) counts: VolumeCounts,
    salt: u64,
}

/// A series on its way through the directories.
#[derive(Clone, Copy, Debug, Default)]
struct Search {
    /// Directories that have answered, or could not.
    asked: u32,
    /// Those that could not.
    failed: u32,
    /// For which it waits, between its tries.
    wait: Option<Wait>,
}

/// A wait for directories that could not be asked, and are not the series' own.
#[derive(Clone, Copy, Debug)]
struct Wait {
    since: Instant,
    failed: u32,
}

/// The data directories.
#[derive(Debug)]
pub(super) struct Lanes {
    each: Vec<Lane>,
    away: Arc<Away>,
    /// Bounded, as `homes`, by the number of series in the cache.
    searches: HashMap<SeriesId, Search>,
    /// Which directory has the file, of series that cannot be written there and whose new file would be
    /// made in another.
    homes: HashMap<SeriesId, Volume>,
    /// Updates since a second file was looked for, and the directory that was asked.
    second_look: (u32, usize),
}

impl Lanes {
    /// The first directory, and those beside it.
    pub(super) fn new(config: &WriterConfig, further: Further) -> Self {
        let Further {
            volumes,
            salts,
            away,
        } = further;
        let are_several = !volumes.is_empty();
        let (creates_max, probes_max) = if are_several {
            (VOLUME_CREATES, VOLUME_PROBES)
        } else {
            (CREATES_IN_FLIGHT_MAX, PROBES_IN_FLIGHT_MAX)
        };
        let lane = |data_dir: PathBuf, sync_creates, access: Access, updates_max| Lane {
            data_dir,
            sync_creates,
            access,
            updates_max,
            creates_max,
            probes_max,
            pace: Pace::default(),
            held: Held::default(),
            together: Together::new(access.lazy),
            pressure: Pressure::default(),
            unused: Unused::default(),
            brake: Brake::default(),
            counts: VolumeCounts::default(),
            salt: 0,
        };
        let first = lane(
            config.data_dir.clone(),
            config.sync_creates,
            config.access,
            config.updates_in_flight_max,
        );
        let mut lanes = vec![first];
        lanes.extend(volumes.into_iter().map(|it| {
            lane(
                it.data_dir,
                it.sync_creates,
                it.access,
                it.updates_in_flight_max,
            )
        }));
        assert!(
            !are_several || salts.len() == lanes.len(),
            "{} salts for {} directories",
            salts.len(),
            lanes.len()
        );
        for (lane, salt) in lanes.iter_mut().zip(salts) {
            lane.salt = salt;
        }
        for Lane { updates_max, .. } in &lanes {
            assert!(
                (1..=UPDATES_IN_FLIGHT_MAX).contains(updates_max),
                "{updates_max} updates in flight"
            );
        }
        Self {
            each: lanes,
            away,
            searches: HashMap::new(),
            homes: HashMap::new(),
            second_look: (0, 0),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.each.len()
    }

    /// One of them.
    pub(super) fn of(&self, volume: Volume) -> &Lane {
        &self.each[volume.index()]
    }

    /// The same, to be changed.
    pub(super) fn of_mut(&mut self, volume: Volume) -> &mut Lane {
        &mut self.each[volume.index()]
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = Volume> + use<> {
        Volume::all(self.each.len())
    }

    /// Is it away?
    pub(super) fn is_away(&self, volume: Volume) -> bool {
        self.away.all() & volume.bit() != 0
    }

    /// The file of a series was found or made, or the series is a new one.
    pub(super) fn forget(&mut self, series: SeriesId) {
        if !self.searches.is_empty() {
            self.searches.remove(&series);
        }
        if !self.homes.is_empty() {
            self.homes.remove(&series);
        }
    }

    /// The next search for a series begins anew; what it waits for is kept.
    fn end_search(&mut self, series: SeriesId) {
        let wait = self.searches.get(&series).and_then(|search| search.wait);
        if wait.is_none() {
            self.searches.remove(&series);
            return;
        }
        let anew = Search {
            wait,
            ..Search::default()
        };
        self.searches.insert(series, anew);
    }

    /// The directory for which a series waits that was found in none and would be made in `target`;
    /// None where all have answered, or need not.
    fn waits_for(&mut self, series: SeriesId, target: Volume, now: Instant) -> Option<Volume> {
        let search = self.searches.get_mut(&series)?;
        let failed = search.failed;
        let has_failed = |volume: &Volume| failed & volume.bit() != 0;
        let home = self.homes.get(&series).copied();
        let own = home.into_iter().chain([target]).find(has_failed);
        if failed == 0 || own.is_some() {
            search.wait = None;
            return own;
        }
        // One that has answered meanwhile is waited for anew.
        let wait = search.wait.filter(|wait| failed & !wait.failed == 0);
        let since = wait.map_or(now, |wait| wait.since);
        let is_over = now.saturating_duration_since(since) >= DATA_DIR_PATIENCE;
        let waits_for = Volume::all(self.each.len())
            .filter(has_failed)
            .find(|volume| !is_over && !self.away.is_long(*volume));
        if waits_for.is_some() {
            search.wait = Some(Wait { since, failed });
        }
        waits_for
    }

    /// By hash, where a new file of this path below its data directory goes: to the directory whose own
    /// hash of it is the largest, so that one more directory takes its share of each and nothing else
    /// changes.
    fn by_hash(&self, path: &Path) -> Volume {
        let name = fnv(path.as_os_str().as_bytes());
        let weight = |volume: &Volume| mixed(name ^ self.of(*volume).salt);
        self.all().max_by_key(weight).unwrap_or_default()
    }
}

/// The salt of a data directory of this name, for `Further`.
pub fn salt(name: &str) -> u64 {
    mixed(fnv(name.as_bytes()))
}

/// FNV-1a. The same on every machine and in every version: it decides where files lie.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The last steps of splitmix64.
fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

impl Writer {
    /// New series are to be looked for where their files would be made.
    pub(super) fn place_new(&mut self, ledger: &mut Ledger) {
        for _ in 0..PLACED_PER_TURN_MAX {
            let Some(series) = ledger.unplaced() else {
                return;
            };
            self.lanes.forget(series);
            self.parked.succeeded(series);
            let volume = self.volume_of_new(ledger.name(series));
            ledger.set_volume(series, volume);
        }
    }

    /// Where a new file of this metric goes.
    fn volume_of_new(&self, name: &str) -> Volume {
        let by_schema = self.config.schemas.volume(name).map(Volume::new);
        by_schema.unwrap_or_else(|| self.lanes.by_hash(&self.relative_path(name)))
    }

    /// A directory has no file of a series: the next is asked, or the file is to be made.
    pub(super) fn not_here(&mut self, ledger: &mut Ledger, series: SeriesId, now: Now) {
        self.parked.not_there(series, ledger.volume(series));
        if self.lanes.len() == 1 {
            return ledger.set_standing(series, Standing::Missing);
        }
        self.ask_next(ledger, series, None, now);
    }

    /// A directory cannot say whether it has a file of a series.
    pub(super) fn not_answered(
        &mut self,
        ledger: &mut Ledger,
        series: SeriesId,
        fault: &Fault,
        now: Now,
    ) {
        if self.lanes.len() == 1 {
            return self.park(ledger, series, fault, now);
        }
        self.ask_next(ledger, series, Some(fault), now);
    }

    fn ask_next(&mut self, ledger: &mut Ledger, series: SeriesId, fault: Option<&Fault>, now: Now) {
        let here = ledger.volume(series);
        let away = self.lanes.away.all();
        let search = self.lanes.searches.entry(series).or_default();
        search.asked |= here.bit();
        if fault.is_some() {
            search.failed |= here.bit();
        } else {
            search.failed &= !here.bit();
        }
        // Who is away cannot say anything, and nobody stands in line there to hear that.
        let silent = away & !search.asked;
        search.asked |= silent;
        search.failed |= silent;
        let asked = search.asked;
        if let Some(next) = (self.lanes.all()).find(|volume| asked & volume.bit() == 0) {
            return ledger.set_volume(series, next);
        }
        let target = self.volume_of_new(ledger.name(series));
        if let Some(waits_for) = self.lanes.waits_for(series, target, now.instant) {
            self.lanes.end_search(series);
            ledger.set_volume(series, waits_for);
            return match fault {
                Some(fault) if waits_for == here => self.park(ledger, series, fault, now),
                Some(_) | None => self.park(ledger, series, &Fault::NoAnswer, now),
            };
        }
        if here == target {
            self.lanes.end_search(series);
            return ledger.set_standing(series, Standing::Missing);
        }
        // Asked once more, in its turn and at the pace of its directory.
        ledger.set_volume(series, target);
    }

    /// A series cannot be written where its file is. Where a new one would be made elsewhere, that is
    /// kept in mind, so that none is.
    pub(super) fn keep_home(&mut self, ledger: &Ledger, series: SeriesId) {
        let home = ledger.volume(series);
        if self.lanes.len() > 1 && self.volume_of_new(ledger.name(series)) != home {
            self.lanes.homes.insert(series, home);
        }
    }

    /// Every so many updates the file just written is looked for in another directory: a second one
    /// is nobody's, and whoever made it is to know.
    pub(super) fn look_for_second(&mut self, ledger: &Ledger, series: SeriesId) {
        let count = self.lanes.len();
        if count == 1 {
            return;
        }
        let (updates, last) = &mut self.lanes.second_look;
        *updates += 1;
        if *updates < UPDATES_PER_SECOND_LOOK {
            return;
        }
        *updates = 0;
        *last = (*last + 1) % count;
        let volume = Volume::new(*last);
        let is_free = self.jobs.locates(volume) < self.lanes.of(volume).probes_max;
        if volume == ledger.volume(series) || !is_free || self.lanes.is_away(volume) {
            return;
        }
        let path = self.path_in(volume, ledger.name(series));
        let job = Job::SecondLook { path: path.clone() };
        let token = self.jobs.insert(volume, job);
        self.operations.push((token, FileOperation::Probe { path }));
    }

    /// Where the file of a metric would lie in a directory.
    pub(super) fn path_in(&self, volume: Volume, name: &str) -> PathBuf {
        let (data_dir, file) = (&self.lanes.of(volume).data_dir, self.relative_path(name));
        let mut path =
            PathBuf::with_capacity(data_dir.as_os_str().len() + 1 + file.as_os_str().len());
        path.push(data_dir);
        path.push(file);
        path
    }

    fn relative_path(&self, name: &str) -> PathBuf {
        let Ok(metric) = Metric::from_canonical(name) else {
            unreachable!("the cache holds canonical names, and {name:?}");
        };
        metric.file_path(self.config.leaf)
    }

    /// Where a metric's file may lie, the likeliest place first.
    pub(super) fn paths(&self, ledger: &Ledger, name: &str) -> Vec<PathBuf> {
        if self.lanes.len() == 1 {
            return vec![self.path_in(Volume::FIRST, name)];
        }
        let known = ledger.find(name).map(|series| ledger.volume(series));
        let first = known.unwrap_or_else(|| self.volume_of_new(name));
        let others = self.lanes.all().filter(|volume| *volume != first);
        let volumes = [first].into_iter().chain(others);
        volumes.map(|volume| self.path_in(volume, name)).collect()
    }

    /// What was done in each directory.
    pub fn volume_counts(&self) -> impl Iterator<Item = VolumeCounts> {
        self.lanes.each.iter().map(|lane| lane.counts)
    }
}
