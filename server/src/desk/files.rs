//! How a core's ring serves the files of the data directories: by the kernel's workers, or by threads of
//! the core (`sync`); and how many of them may be open at a time.
//! The kernel's workers open files into the ring's own table. What threads open takes a descriptor of the
//! process from its open to its write, so that with them the updates in flight follow from the limit on
//! open files: the files have half of it at least, and connections the other half.
//! Invariant: some updates go on however small the limit is; past what it has room for they wait, and
//! do not fail.

use std::path::Path;

use benzene_engine::device::{Class, Disk};
use benzene_engine::limits::{
    CREATES_IN_FLIGHT_MAX, FILE_THREADS_MAX, JOURNAL_THREADS, JOURNAL_VISITS_MAX, OWN_OF_CORE,
    RING_ENTRIES, UPDATES_IN_FLIGHT_LEAST, UPDATES_IN_FLIGHT_MAX, VOLUME_CREATES,
};
use benzene_engine::ring::{Driver, RingConfig, host};

use super::disk::Treatment;
use crate::config::Settings;

/// The ring of a core: so many wait for the disk, workers of the kernel or threads.
pub(crate) fn core_ring(driver: Driver, workers_max: u32) -> RingConfig {
    let threads = usize::try_from(workers_max).unwrap_or(FILE_THREADS_MAX);
    RingConfig {
        driver,
        file_threads: threads.min(FILE_THREADS_MAX),
        entries: RING_ENTRIES,
        visits_max: visits(UPDATES_IN_FLIGHT_MAX),
        kernel_workers_max: workers_max,
        ..RingConfig::default()
    }
}

/// The ring of a core as the start makes it with these settings.
pub(crate) fn ring_of(settings: &Settings, driver: Driver, shards: u16) -> RingConfig {
    // The start raises the soft limit to the hard one.
    let open_files = host::open_files().hard;
    let backend = Backend::of(driver, shards, settings.data.len(), open_files);
    let treatments = settings.data.iter().map(|directory| {
        let class = settings.disk.class.unwrap_or_else(|| {
            let found = Disk::of(standing(settings, &directory.path));
            found.map_or(Class::Unknown, |disk| disk.class)
        });
        Treatment::of(settings, class, backend)
    });
    let treatments: Vec<Treatment> = treatments.collect();
    Files::new(settings, &treatments).ring(driver)
}

/// Where a data directory's disk is to be looked at: one alone is made by the start, where it is missing,
/// on the disk of the nearest that is there. Of several none is.
fn standing<'a>(settings: &Settings, path: &'a Path) -> &'a Path {
    if settings.data.len() > 1 {
        return path;
    }
    let here = Path::new(".");
    let upwards = path.ancestors();
    let mut upwards = upwards.map(|it| if it.as_os_str().is_empty() { here } else { it });
    upwards.find(|it| it.is_dir()).unwrap_or(path)
}

fn visits(updates: usize) -> u32 {
    let updates = u32::try_from(updates).unwrap_or(u32::MAX);
    updates.saturating_add(JOURNAL_VISITS_MAX)
}

/// Who carries out what a core does to files (WRITER_BACKEND).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    /// The kernel's workers, whose files are the ring's.
    Uring,
    /// Threads of the core, whose files take descriptors of the process.
    Sync {
        /// Updates of a shard in one data directory that these have room for.
        updates_max: usize,
    },
}

impl Backend {
    /// That of a driver, where so many shards write to so many data directories and `open_files` is the
    /// limit on open files, if there is one.
    pub(super) fn of(
        driver: Driver,
        shards: u16,
        directories: usize,
        open_files: Option<u64>,
    ) -> Backend {
        match driver {
            Driver::Uring => Backend::Uring,
            Driver::UringSync | Driver::PollSync => Backend::Sync {
                updates_max: open_files.map_or(UPDATES_IN_FLIGHT_MAX, |open_files| {
                    let of_core = open_files / 2 / u64::from(shards.max(1));
                    let of_core = usize::try_from(of_core).unwrap_or(usize::MAX);
                    let left = of_core.saturating_sub(beside_updates(directories));
                    let updates = left.max(UPDATES_IN_FLIGHT_LEAST) / directories.max(1);
                    updates.clamp(1, UPDATES_IN_FLIGHT_MAX)
                }),
            },
        }
    }

    /// What those are called who wait for its disks.
    pub(super) fn workers(self) -> &'static str {
        match self {
            Backend::Uring => "kernel workers",
            Backend::Sync { .. } => "file threads",
        }
    }

    /// How many updates of a shard go on at once in a data directory that would have so many.
    pub(super) fn updates(self, wanted: usize) -> usize {
        match self {
            Backend::Uring => wanted,
            Backend::Sync { updates_max } => wanted.min(updates_max),
        }
    }
}

/// Descriptors of a core for what is no update: its creates, with two each at most, and its journal.
fn beside_updates(directories: usize) -> usize {
    let creates = match directories {
        1 => CREATES_IN_FLIGHT_MAX,
        several => several * VOLUME_CREATES,
    };
    creates * 2 + JOURNAL_VISITS_MAX as usize
}

/// How a core's ring serves the files of all data directories.
#[derive(Clone, Copy)]
pub(super) struct Files {
    /// Who wait for the disks, of the kernel or of the core.
    workers: u32,
    /// Threads of the journal, where there is one.
    apart: usize,
    updates: usize,
    /// Updates lock files, or are asked where these lie: through descriptors of the process, in any case.
    opens_plain: bool,
    /// Descriptors for what is no update.
    beside: usize,
    /// Some disk has heads; who writes to another one says so (`Access::lazy`).
    pub(super) has_heads: bool,
}

impl Files {
    /// Of several directories each has as many workers as it may have operations in flight, so that one
    /// whose disk answers late takes none of another's.
    pub(super) fn new(settings: &Settings, treatments: &[Treatment]) -> Files {
        let has_heads = treatments.iter().any(|it| it.profile.has_heads);
        let apart = if settings.journal.is_some() {
            JOURNAL_THREADS
        } else {
            0
        };
        let opens_plain =
            settings.lock_writes || treatments.iter().any(|it| it.profile.in_disk_order);
        let beside = beside_updates(treatments.len());
        if let [one] = treatments {
            return Files {
                workers: one.profile.kernel_workers,
                apart,
                updates: one.profile.updates_in_flight,
                opens_plain,
                beside,
                has_heads,
            };
        }
        let profiles = treatments.iter().map(|it| it.profile);
        let workers = profiles.clone().map(|it| it.kernel_workers).sum::<u32>();
        Files {
            workers: settings.disk.kernel_workers_max.unwrap_or(workers),
            apart,
            updates: profiles.map(|it| it.updates_in_flight).sum(),
            opens_plain,
            beside,
            has_heads,
        }
    }

    /// A core's ring. Where threads open the files, no more are open than there may be updates.
    pub(super) fn ring(self, driver: Driver) -> RingConfig {
        RingConfig {
            apart_threads: self.apart,
            visits_max: match driver {
                Driver::Uring => visits(self.updates.max(UPDATES_IN_FLIGHT_MAX)),
                Driver::UringSync | Driver::PollSync => visits(self.updates),
            },
            ..core_ring(driver, self.workers)
        }
    }

    /// Descriptors that a core may take: without one no file is made, and the journal cannot go on in its
    /// next segment.
    pub(super) fn descriptors(self, driver: Driver) -> u64 {
        let updates = match driver {
            Driver::Uring if self.opens_plain => self.updates.max(UPDATES_IN_FLIGHT_MAX),
            Driver::Uring => 0,
            Driver::UringSync | Driver::PollSync => self.updates,
        };
        OWN_OF_CORE + (updates + self.beside) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::CacheOptions;
    use crate::config;

    const SEVERAL: &str = "LOCAL_DATA_DIRS = a=/srv/a/whisper, b=/srv/b/whisper\n";

    /// With a carbon.conf.
    fn settings(conf: &str) -> Settings {
        let conf = format!("[cache]\n{conf}");
        let options = CacheOptions {
            config: Some("carbon.conf".into()),
            ..CacheOptions::default()
        };
        let read = |_: &Path| Ok(conf.clone());
        let settings = config::load_conf(&options, &|_| None, &read);
        settings.unwrap().settings
    }

    /// Of directories on disks of a class, with a carbon.conf, shards and a limit on open files.
    fn files(conf: &str, class: Class, driver: Driver, limits: (u16, Option<u64>)) -> Files {
        let settings = settings(conf);
        let directories = settings.data.len();
        let (shards, open_files) = limits;
        let backend = Backend::of(driver, shards, directories, open_files);
        let treatment = Treatment::of(&settings, class, backend);
        Files::new(&settings, &vec![treatment; directories])
    }

    #[test]
    fn threads_open_no_more_than_the_limit_has_room_for() {
        let several_of_many = format!("{SEVERAL}UPDATES_IN_FLIGHT = 128\n");
        for (conf, limits, updates) in [
            ("", (1, None), 128),
            ("", (64, Some(65_536)), 128),
            ("", (1, Some(1024)), 128),
            ("", (4, Some(1024)), 48),
            ("UPDATES_IN_FLIGHT = 20\n", (4, Some(1024)), 20),
            ("", (8, Some(1024)), 8),
            ("", (1024, Some(1024)), 8),
            (SEVERAL, (8, Some(1024)), 16),
            (SEVERAL, (64, Some(1024)), 8),
            (&*several_of_many, (8, Some(1024)), 16),
            (&*several_of_many, (8, Some(65_536)), 256),
        ] {
            for driver in [Driver::PollSync, Driver::UringSync] {
                let ring = files(conf, Class::Ssd, driver, limits).ring(driver);
                let wanted = updates + JOURNAL_VISITS_MAX;
                assert_eq!(ring.visits_max, wanted, "{conf} {limits:?}");
            }
        }
    }

    #[test]
    fn as_many_threads_wait_for_a_disk_as_workers_would() {
        let several_of_few = format!("{SEVERAL}KERNEL_WORKERS = 12\n");
        for (conf, class, threads) in [
            ("", Class::Ssd, 4),
            ("", Class::Hdd, 32),
            ("KERNEL_WORKERS = 16\n", Class::Hdd, 16),
            ("KERNEL_WORKERS = 256\n", Class::Ssd, FILE_THREADS_MAX),
            (SEVERAL, Class::Hdd, 2 * (24 + 8 + 16)),
            (&*several_of_few, Class::Hdd, 12),
        ] {
            for driver in [Driver::PollSync, Driver::UringSync] {
                let ring = files(conf, class, driver, (2, None)).ring(driver);
                assert_eq!(ring.file_threads, threads, "{conf} {class:?}");
            }
            let ring = files(conf, class, Driver::Uring, (2, None)).ring(Driver::Uring);
            assert_eq!(usize::try_from(ring.kernel_workers_max), Ok(threads));
        }
    }

    #[test]
    fn a_ring_can_be_made_as_the_start_makes_it() {
        let settings = settings(&format!("{SEVERAL}DEVICE_CLASS = ssd\n"));
        let ring = ring_of(&settings, Driver::UringSync, 2);
        assert_eq!((ring.file_threads, ring.apart_threads), (64, 4));
        assert_eq!(ring.driver, Driver::UringSync);
    }

    #[test]
    fn a_ring_s_own_table_has_no_such_limit() {
        let files = files("", Class::Ssd, Driver::Uring, (64, Some(1024)));
        assert_eq!(
            files.ring(Driver::Uring).visits_max,
            128 + JOURNAL_VISITS_MAX
        );
        // Thirty-two creates of two each, and the journal's 16.
        assert_eq!(files.descriptors(Driver::Uring), OWN_OF_CORE + 64 + 16);
    }

    #[test]
    fn a_ring_s_updates_take_descriptors_where_they_lock_or_locate() {
        let limits = (4, Some(1024));
        for (conf, class) in [
            ("WHISPER_LOCK_WRITES = True\n", Class::Ssd),
            ("", Class::Hdd),
        ] {
            let files = files(conf, class, Driver::Uring, limits);
            let wanted = OWN_OF_CORE + 128 + 64 + 16;
            assert_eq!(files.descriptors(Driver::Uring), wanted, "{conf}");
        }
    }

    #[test]
    fn senders_leave_what_the_files_of_several_directories_take() {
        let conf = format!("{SEVERAL}UPDATES_IN_FLIGHT = 128\n");
        let limits = (4, Some(4096));
        let files = files(&conf, Class::Ssd, Driver::PollSync, limits);
        // Two times 128 updates, two times eight creates of two each, and the journal's 16.
        assert_eq!(
            files.descriptors(Driver::PollSync),
            OWN_OF_CORE + 256 + 32 + 16
        );
    }
}
