//! From settings to running cores: the ring's driver is chosen and proven, sockets are bound, the
//! data directory is proven, then one thread a core is started, pinned, and given its ring, its
//! shard and its sockets. They run once all are there.
//! Whatever fails ends the start with one message that says why and how to mend it, before
//! anything was accepted.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use benzene_engine::cache::CacheConfig;
use benzene_engine::clock;
use benzene_engine::limiter::Room;
use benzene_engine::limits::{
    AGES_BEFORE_START, CACHE_BYTES_MIN, COUNTED_PERCENT, DATA_DIR_BYTES_MAX, OPEN_FILES_WANTED,
    OWN_OF_PROCESS, RECENT_SHARE, RING_ENTRIES_MIN, RING_WORKERS_MAX, SHARDS_MAX, WAITING_SHARE,
};
use benzene_engine::metric::{ShardIndex, TaggedLeaf};
use benzene_engine::ring::{Driver, Ring, RingConfig, RingError, host};
use benzene_engine::shard::ShardConfig;
use benzene_engine::writer::{
    self, AnnounceConfig, Away, Further, FurtherVolume, Outlet, Said, Tells, WriterConfig,
};

use super::disk::{self, Found, Treatment};
use super::doors::{DoorError, Doors, SocketFiles};
use super::files::{Backend, Files};
use super::hold::Held;
use super::journal::{self, Journal, JournalError, JournalPlan};
use super::rules::{listed, said};
use super::sprout::{Gate, Sprout};
use super::volumes::{self, DataVolume};
use crate::config::{DataDirectory, Door, Drive, Loaded, Rules, Settings};
use crate::core::{Diary, Most, Peers};
use crate::exit::Exit;
use crate::front::{FrontConfig, Intake, Memory};
use crate::process::{Process, ProcessError};
use crate::tagdb::TagDb;

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// A socket cannot be bound.
    #[error("{0}")]
    Doors(#[from] DoorError),
    /// The data directory cannot be made or written.
    #[error(
        "the data directory {} cannot be used: {source}; make it writable for this user (and for the \
         unit, by ReadWritePaths), or set LOCAL_DATA_DIR (or STORAGE_DIR) in carbon.conf",
        path.display()
    )]
    DataDirectory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// One of several data directories is not there.
    #[error(
        "the data directory {} is not there, and one of several is not made: mount its disk, make the \
         directory, or take it out of LOCAL_DATA_DIRS", path.display()
    )]
    DataDirectoryAway {
        /// The directory.
        path: PathBuf,
    },
    /// Two data directories share their files.
    #[error("{said}")]
    DataDirectoriesOverlap {
        /// Which, and what to do.
        said: String,
    },
    /// The data directory's path leaves no room for names.
    #[error(
        "the data directory's path has {found} bytes, at most {DATA_DIR_BYTES_MAX} leave room for names: set LOCAL_DATA_DIR to a shorter one"
    )]
    DataDirectoryLong {
        /// Its length.
        found: usize,
    },
    /// More shards than we can number.
    #[error("{found} shards, at most {SHARDS_MAX} can be had: set SHARDS to fewer")]
    Shards {
        /// How many were asked for.
        found: usize,
    },
    /// A core's ring cannot be made.
    #[error("{0}")]
    Ring(#[source] RingError),
    /// There is no io_uring, and it was asked for by name.
    #[error(
        "{0}. carbon.conf asks for it (RING_DRIVER or WRITER_BACKEND = uring); with auto for both, \
         poll and sync serve instead"
    )]
    RingAskedFor(#[source] RingError),
    /// Which processors this process may use is not to be had.
    #[error("cannot tell which processors may be used: {0}")]
    Cpus(#[source] std::io::Error),
    /// A core's thread, or the one that announces series, cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The journal cannot be used.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// The process cannot be what it is to be.
    #[error("{0}")]
    Process(#[from] ProcessError),
}

impl StartError {
    /// The exit code that tells this apart.
    pub(super) fn exit(&self) -> Exit {
        match self {
            StartError::Doors(error) => error.exit(),
            StartError::DataDirectory { .. }
            | StartError::DataDirectoryAway { .. }
            | StartError::DataDirectoryLong { .. } => Exit::DataDirectory,
            StartError::Journal(_) => Exit::Journal,
            StartError::RingAskedFor(_) => Exit::RingUnavailable,
            StartError::Process(error) => error.exit(),
            StartError::DataDirectoriesOverlap { .. } | StartError::Shards { .. } => Exit::Config,
            StartError::Ring(_) | StartError::Cpus(_) | StartError::Thread(_) => Exit::Failure,
        }
    }
}

/// The cores, and what leads them.
pub(super) struct Running {
    pub(super) peers: Arc<Peers>,
    pub(super) volumes: Vec<DataVolume>,
    pub(super) away: Arc<Away>,
    pub(super) room: Arc<Room>,
    pub(super) journal: Option<JournalPlan>,
    pub(super) tagdb: Option<TagDb>,
    pub(super) threads: Vec<JoinHandle<()>>,
    /// The locks on the instances, until the process ends.
    pub(super) held: Held,
    /// The files of the Unix sockets, which go with it.
    pub(super) socket_files: SocketFiles,
}

/// Starts everything.
pub(super) fn start(loaded: &Loaded, process: &mut Process) -> Result<Running, StartError> {
    let settings = &loaded.settings;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let (driver, held, doors) = reach_out(settings, process)?;
    let problems = prove_data_dirs(&settings.data)?;
    raise_open_files();
    if let Err(error) = host::no_huge_pages() {
        tracing::debug!("huge pages stay on: {error}");
    }
    let cpus = host::cpus().map_err(StartError::Cpus)?;
    let shards = settings.shards.unwrap_or_else(|| shards_of(cpus.len()));
    let count = u16::try_from(shards)
        .ok()
        .filter(|count| usize::from(*count) <= SHARDS_MAX);
    let count = count.ok_or(StartError::Shards { found: shards })?;

    let journal = open_journal(settings, &held, count)?;
    let is_logged = process.logs().is_some();
    let plan = Plan::new(loaded, (count, driver), (journal, is_logged), &problems);
    let (mut threads, mut gate) = (Vec::new(), Gate::default());
    let (send, ready) = mpsc::channel();
    let (mut sockets, socket_files) = doors.dealt(count);
    for index in plan.peers.indices() {
        let sprout = Sprout {
            index,
            cpu: cpus.get(usize::from(index.0) % cpus.len().max(1)).copied(),
            sockets: sockets.pop_front().unwrap_or_default(),
            driver,
            files: plan.files,
            shard: plan.shard(settings, index),
            front: plan.front(settings),
            lists: plan.rules.lists.clone().map(Arc::new),
            peers: Arc::clone(&plan.peers),
            diary: process.logs().map(|logs| Diary::new(logs, settings.logged)),
        };
        let (send, place) = (send.clone(), gate.place());
        let thread = std::thread::Builder::new()
            .name(format!("benzene-{}", index.0))
            .spawn(move || sprout.grow(&send, place))
            .map_err(StartError::Thread)?;
        threads.push(thread);
        // One after the other: what fails for one fails for all, and is said once.
        match ready.recv() {
            Ok(Ok(description)) if index.0 == 0 => tracing::info!("ring driver: {description}"),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(StartError::Ring(error)),
            Err(_) => unreachable!("a core says that it is ready, or aborts the process"),
        }
    }
    let tagdb = settings.tags.as_deref();
    let tagdb = tagdb
        .map(|tags| TagDb::start(tags, Arc::clone(&plan.outlet)))
        .transpose()
        .map_err(StartError::Thread)?;
    // Nothing can fail any more.
    gate.open();
    say(loaded, count, &plan);
    Ok(Running {
        peers: plan.peers,
        volumes: plan.volumes,
        away: plan.away,
        room: plan.room,
        journal: plan.journal,
        tagdb,
        threads,
        held,
        socket_files,
    })
}

/// As many open files as the hard limit allows.
fn raise_open_files() {
    match host::raise_open_files() {
        Ok(Some(limit)) if limit < OPEN_FILES_WANTED => tracing::warn!(
            "no more than {limit} files and connections can be open at once; raise the hard limit \
             on open files (ulimit -Hn, LimitNOFILE= under systemd) where there are to be more"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!("the limit on open files stays as it is: {error}"),
    }
}

/// The bound of all caches: what is asked for, or what so many shards' tables take before a point, with
/// something to work with.
fn cache_bytes(settings: &Settings, shards: u16) -> u64 {
    let bound = settings.cache_bytes(host::memory_bytes());
    let least = CACHE_BYTES_MIN / 2 * u64::from(shards);
    if bound < least {
        tracing::warn!(
            "MAX_CACHE_BYTES leaves {shards} shards {} KiB each, which their tables take: the bound is {} KiB; \
             set SHARDS to fewer for a smaller one",
            (bound >> 10) / u64::from(shards),
            least >> 10
        );
    }
    bound.max(least)
}

/// The room of all caches.
fn room(settings: &Settings, counted_bytes: u64) -> Room {
    let room = Room::new(settings.cache_points_max, counted_bytes);
    if settings.flow_control {
        room
    } else {
        room.without_low_mark()
    }
}

/// Chooses the way to the kernel, takes the instances' locks, binds the sockets, and becomes who the
/// daemon is to be.
fn reach_out<'s>(
    settings: &'s Settings,
    process: &mut Process,
) -> Result<(Driver, Held, Doors<'s>), StartError> {
    let mut doors = Doors::default();
    let (driver, held);
    if process.changes_user() {
        // Only root may bind low ports, and only the user can tell what the user may have.
        let (first, later): (Vec<&Door>, Vec<&Door>) =
            (settings.doors.iter()).partition(|door| process.binds_now(&door.at));
        for path in doors.open(&first, settings)? {
            process.give_socket(path)?;
        }
        process.settle(settings)?;
        held = Held::take(settings)?;
        doors.open(&later, settings)?;
        driver = choose_driver(drive_of(settings))?;
    } else {
        driver = choose_driver(drive_of(settings))?;
        // Before the ports: who has them says less than who has the instance.
        held = Held::take(settings)?;
        doors.open(&settings.doors.iter().collect::<Vec<_>>(), settings)?;
        process.settle(settings)?;
    }
    doors.say(settings);
    Ok((driver, held, doors))
}

/// The journal, where there is one.
fn open_journal(
    settings: &Settings,
    held: &Held,
    shards: u16,
) -> Result<Option<JournalPlan>, StartError> {
    let Some(journal) = &settings.journal else {
        let bare = settings.bare_journals.iter().map(PathBuf::as_path);
        for directory in settings.journal_dirs().chain(bare) {
            journal::say_left_behind(directory);
        }
        return Ok(None);
    };
    let opened = Journal::open(journal, settings, held)?;
    Ok(Some(opened.plan(journal, &settings.data, shards)?))
}

/// As many shards as the affinity mask and the cgroup's CPU quota allow.
pub(crate) fn shards_of(cpus: usize) -> usize {
    let quota = std::thread::available_parallelism().map_or(1, usize::from);
    quota.min(cpus.max(1)).min(SHARDS_MAX)
}

/// What is to drive the cores, as the file systems of the data are.
pub(crate) fn drive_of(settings: &Settings) -> Drive {
    let directories = settings.data.iter().map(|it| it.path.as_path());
    drive_for(settings.drive, directories, |directory| {
        host::answers_at_close(directory).unwrap_or(false)
    })
}

/// Files behind a network or another program are left to threads where nobody says otherwise: a file system
/// of that kind may say only at a close that it is full, and the ring does not ask there; it may also hold
/// a core up, which asks it for a lock or begins a read.
fn drive_for<'d>(
    drive: Drive,
    mut directories: impl Iterator<Item = &'d Path>,
    answers_at_close: impl Fn(&Path) -> bool,
) -> Drive {
    // Of one that is to be made, what it will lie in.
    let is_behind = |directory: &&Path| {
        let there = directory.ancestors().find(|path| path.exists());
        there.is_some_and(&answers_at_close)
    };
    if drive.first == Driver::Uring
        && drive.are_files_open
        && let Some(directory) = directories.find(is_behind)
    {
        tracing::info!(
            "the data directory {} lies behind a network or another program: its files are written by \
             threads (WRITER_BACKEND = sync)",
            directory.display()
        );
        return Drive {
            first: Driver::UringSync,
            ..drive
        };
    }
    drive
}

/// The driver that all cores get. Only a machine that forbids io_uring, or whose io_uring is too
/// old, makes us fall back, and only where nobody asked for io_uring by name: what is merely short
/// now would leave the daemon slow until its next start.
fn choose_driver(drive: Drive) -> Result<Driver, StartError> {
    let Drive {
        first, fallback, ..
    } = drive;
    let Err(error) = prove_ring(first) else {
        return Ok(first);
    };
    let Some(fallback) = fallback.filter(|_| error.is_unavailable()) else {
        return Err(if error.is_unavailable() {
            StartError::RingAskedFor(error)
        } else {
            StartError::Ring(error)
        });
    };
    prove_ring(fallback).map_err(StartError::Ring)?;
    tracing::warn!(
        "{error}. Until then sockets are served by poll and files are written by threads, which \
         takes more processor time a point (RING_DRIVER = poll in carbon.conf has the same without \
         this warning, RING_DRIVER = uring refuses to start)"
    );
    Ok(fallback)
}

/// Makes a small ring and drops it: where that is not allowed, nobody is to connect to us first.
fn prove_ring(driver: Driver) -> Result<(), RingError> {
    let config = RingConfig {
        driver,
        file_threads: 1,
        entries: RING_ENTRIES_MIN,
        visits_max: 1,
        kernel_workers_max: RING_WORKERS_MAX,
        ..RingConfig::default()
    };
    Ring::new(config).map(drop)
}

/// Proves that files can be made in the data directories. Of several, some may be away: none is made,
/// for one that is not there is not mounted, most likely. Says what is the matter with each.
fn prove_data_dirs(directories: &[DataDirectory]) -> Result<Vec<Option<String>>, StartError> {
    if let [one] = directories {
        return prove_data_dir(&one.path, true).map(|()| vec![None]);
    }
    if let Some(said) = volumes::overlap(directories) {
        return Err(StartError::DataDirectoriesOverlap { said });
    }
    let (mut problems, mut first) = (Vec::new(), None);
    for directory in directories {
        let proof = prove_data_dir(&directory.path, false);
        problems.push(proof.as_ref().err().map(ToString::to_string));
        first = first.or(proof.err());
    }
    match first {
        Some(error) if problems.iter().all(Option::is_some) => Err(error),
        Some(_) | None => Ok(problems),
    }
}

/// Proves that files can be made in a data directory, which is made where that is wanted.
pub(super) fn prove_data_dir(path: &Path, is_made: bool) -> Result<(), StartError> {
    let found = path.as_os_str().len();
    if found > DATA_DIR_BYTES_MAX {
        return Err(StartError::DataDirectoryLong { found });
    }
    let unusable = |source| StartError::DataDirectory {
        path: path.to_owned(),
        source,
    };
    if is_made {
        std::fs::create_dir_all(path).map_err(unusable)?;
    } else if !path.exists() {
        let path = path.to_owned();
        return Err(StartError::DataDirectoryAway { path });
    }
    let probe = path.join(format!(".benzene-{}.probe", std::process::id()));
    std::fs::File::create(&probe).map_err(unusable)?;
    std::fs::remove_file(&probe).map_err(unusable)
}

/// Whether new files are synced one by one: where that was asked for, or nothing less is known to
/// bring them back whole after a power cut.
fn sync_creates(settings: &Settings, data_dir: &Path) -> bool {
    if settings.autoflush {
        return true;
    }
    let directory = data_dir.display();
    match host::keeps_order(data_dir) {
        Ok(true) => return false,
        Ok(false) => tracing::info!(
            "the data directory {directory} is neither on ext4 nor on XFS: each new file is synced before it \
             appears, so that a power cut cannot leave it empty"
        ),
        Err(error) => tracing::warn!(
            "the file system of the data directory {directory} is not to be had: {error}; each new file is \
             synced before it appears"
        ),
    }
    true
}

/// A close through io_uring does not ask what the file's writes came to.
fn warn_of_closes(data_dir: &Path) {
    if host::answers_at_close(data_dir).unwrap_or(false) {
        tracing::warn!(
            "the data directory {} lies behind a network or another program, which may say only where a \
             file is closed that it is full, and io_uring does not ask there: points may be lost unseen. Set \
             WRITER_BACKEND = sync",
            data_dir.display()
        );
    }
}

/// What all cores share.
struct Plan {
    peers: Arc<Peers>,
    /// The data directories; at least one.
    volumes: Vec<DataVolume>,
    /// How the disk of each is treated.
    treatments: Vec<Treatment>,
    sync_creates: Vec<bool>,
    away: Arc<Away>,
    files: Files,
    room: Arc<Room>,
    memory: Arc<Memory>,
    rules: Rules,
    /// What is said of the disks.
    treatment_said: Vec<String>,
    /// When the ages of points began to count, on all cores.
    began: Instant,
    journal: Option<JournalPlan>,
    cache_bytes_max: u64,
    /// What of it the caches may count: see `limits::COUNTED_PERCENT`.
    counted_bytes: u64,
    shards: u16,
    seed: u64,
    /// Through which shards say which series are to be announced.
    outlet: Arc<Outlet>,
    said: Arc<Said>,
    /// Whether there are log files.
    is_logged: bool,
}

impl Plan {
    fn new(
        loaded: &Loaded,
        (shards, driver): (u16, Driver),
        (journal, is_logged): (Option<JournalPlan>, bool),
        problems: &[Option<String>],
    ) -> Self {
        let Loaded {
            settings, rules, ..
        } = loaded;
        let now = clock::now().instant;
        let open_files = host::open_files().soft;
        let backend = Backend::of(driver, shards, settings.data.len(), open_files);
        let mut found: Vec<Found> = (settings.data.iter())
            .map(|directory| Treatment::find(settings, directory, backend))
            .collect();
        let journal_said = disk::journal_said(settings, &found);
        let mut treatment_said: Vec<String> = Vec::new();
        let said = found.iter_mut().flat_map(|found| found.said.drain(..));
        for said in said.chain(journal_said) {
            // What is said of an option is the same of each disk.
            if !treatment_said.contains(&said) {
                treatment_said.push(said);
            }
        }
        let treatments: Vec<Treatment> = found.iter().map(|found| found.treatment).collect();
        let all = settings.data.iter().zip(found).zip(problems);
        let volumes: Vec<DataVolume> = all
            .map(|((directory, found), problem)| {
                DataVolume::new(directory, found, problem.as_deref())
            })
            .collect();
        for problem in problems.iter().flatten() {
            tracing::error!("{problem}; until then its metrics wait, and the others go on");
        }
        let cache_bytes_max = cache_bytes(settings, shards);
        let counted_bytes = cache_bytes_max / 100 * COUNTED_PERCENT;
        let files = Files::new(settings, &treatments);
        let own = OWN_OF_PROCESS + u64::from(shards) * files.descriptors(driver);
        let most = Most::of(settings.senders_max, host::open_files().soft, own);
        if driver == Driver::Uring && !settings.autoflush {
            settings.data.iter().for_each(|it| warn_of_closes(&it.path));
        }
        Self {
            peers: Arc::new(Peers::new(shards, most)),
            sync_creates: (settings.data.iter())
                .map(|directory| sync_creates(settings, &directory.path))
                .collect(),
            away: Arc::new(volumes::away_of(&volumes)),
            files,
            volumes,
            treatments,
            room: Arc::new(room(settings, counted_bytes)),
            memory: Arc::default(),
            rules: rules.clone(),
            treatment_said,
            // So that points of earlier runs have an age too.
            began: now.checked_sub(AGES_BEFORE_START).unwrap_or(now),
            journal,
            cache_bytes_max,
            counted_bytes,
            shards,
            seed: std::hash::BuildHasher::hash_one(&hashbrown::DefaultHashBuilder::default(), now),
            outlet: Arc::default(),
            said: Arc::default(),
            is_logged,
        }
    }

    fn shard(&self, settings: &Settings, index: ShardIndex) -> ShardConfig {
        let shards = u64::from(self.shards);
        let share = |total: u64| total / WAITING_SHARE / shards;
        let first = self.further_volume(settings, 0);
        ShardConfig {
            index,
            shards: self.shards,
            seed: self.seed,
            cache: CacheConfig {
                seed: self.seed,
                strategy: settings.strategy,
                timestamp_lag_s: settings.timestamp_lag_s,
                max_point_age_s: first.max_point_age_s,
                in_disk_order: first.in_disk_order,
                began: self.began,
                recent_bytes_max: self.counted_bytes / RECENT_SHARE / shards,
                waiting_bytes_max: share(self.counted_bytes),
                waiting_points_max: settings.cache_points_max.map_or(u64::MAX, share).max(1),
            },
            writer: WriterConfig {
                data_dir: first.data_dir,
                leaf: leaf(settings),
                access: first.access,
                allocation: settings.allocation,
                sync: settings.autoflush,
                sync_creates: first.sync_creates,
                updates_in_flight_max: first.updates_in_flight_max,
                schemas: Arc::clone(&self.rules.schemas),
                aggregations: Arc::clone(&self.rules.aggregations),
                announce: settings.tags.as_ref().map(|tags| AnnounceConfig {
                    outlet: Arc::clone(&self.outlet),
                    every_updates: tags.update_interval,
                    untagged: tags.untagged,
                }),
                tells: if self.is_logged {
                    Diary::tells(settings.logged)
                } else {
                    Tells::default()
                },
                said: Arc::clone(&self.said),
            },
            budgets: first.budgets,
            further: self.further(settings),
            room: Arc::clone(&self.room),
            journal: self.journal.as_ref().map(|journal| journal.config(index)),
            recall: self.journal.as_ref().and_then(JournalPlan::recall),
        }
    }

    /// The data directories beside the first; nothing where there is none.
    fn further(&self, settings: &Settings) -> Further {
        if self.volumes.len() == 1 {
            return Further::default();
        }
        let numbers = 1..self.volumes.len();
        Further {
            volumes: (numbers.map(|number| self.further_volume(settings, number))).collect(),
            salts: (settings.data.iter())
                .map(|directory| writer::salt(&directory.key()))
                .collect(),
            away: Arc::clone(&self.away),
        }
    }

    fn further_volume(&self, settings: &Settings, number: usize) -> FurtherVolume {
        let (volume, treatment) = (&self.volumes[number], &self.treatments[number]);
        let profile = &treatment.profile;
        FurtherVolume {
            data_dir: volume.directory.path.clone(),
            budgets: volume.budgets.clone(),
            sync_creates: self.sync_creates[number],
            updates_in_flight_max: profile.updates_in_flight,
            access: treatment.access(settings),
            max_point_age_s: profile.max_point_age_s,
            in_disk_order: profile.in_disk_order,
        }
    }

    fn front(&self, settings: &Settings) -> FrontConfig {
        FrontConfig {
            intake: Intake::new(
                settings.timestamp_resolution_s,
                settings.flow_control,
                clock::now(),
            ),
            pickle_frame_bytes_max: settings.pickle_frame_bytes_max,
            client_idle: settings.client_idle,
            tells_answers: self.is_logged && settings.logged.cache_hits,
            tells_refused: self.is_logged,
            memory: Arc::clone(&self.memory),
            instances: settings.instances.len(),
        }
    }
}

fn leaf(settings: &Settings) -> TaggedLeaf {
    if settings.tag_hash_filenames {
        TaggedLeaf::Hashed
    } else {
        TaggedLeaf::Readable
    }
}

fn say_most(settings: &Settings, most: Most) {
    let (Some(senders), Some(askers)) = (most.senders, most.askers) else {
        return;
    };
    if settings.senders_max.is_some() && !most.is_set {
        tracing::warn!(
            "the limit on open files has no room for as many senders as MAX_RECEIVER_CONNECTIONS says, \
             but for {senders}: raise the hard limit (ulimit -Hn, LimitNOFILE= under systemd)"
        );
    }
    tracing::info!("connections: up to {senders} that send, up to {askers} that query the cache");
}

fn say(loaded: &Loaded, shards: u16, plan: &Plan) {
    let settings = &loaded.settings;
    for fact in &loaded.said {
        tracing::info!("{fact}");
    }
    let directories: Vec<String> = settings.data.iter().map(DataDirectory::said).collect();
    tracing::info!(
        "{shards} shards; data directory {}; cache bound {} MiB, {} points; write order {}",
        directories.join(", "),
        plan.cache_bytes_max >> 20,
        settings
            .cache_points_max
            .map_or("any number of".to_owned(), |points| points.to_string()),
        settings.strategy.name(),
    );
    for said in &plan.treatment_said {
        tracing::info!("{said}");
    }
    say_most(settings, plan.peers.places.most());
    let rules = &plan.rules;
    let schemas = rules.schemas.iter().map(|rule| rule.name.as_str());
    let aggregations = rules.aggregations.iter().map(|rule| rule.name.as_str());
    tracing::info!(
        "schemas: {}; aggregation: {}",
        listed(schemas),
        listed(aggregations)
    );
    if let Some(lists) = &rules.lists {
        let (blacklist, whitelist) = (said(&lists.blacklist), said(&lists.whitelist));
        tracing::info!("names are received by the lists: {blacklist}, {whitelist}");
    }
    tracing::info!("benzene {} is ready", env!("CARGO_PKG_VERSION"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_behind_a_network_are_left_to_threads_unless_uring_is_named() {
        let root = tempfile::tempdir().unwrap();
        let to_be_made = root.path().join("whisper/a");
        let open = Drive {
            first: Driver::Uring,
            fallback: Some(Driver::PollSync),
            are_files_open: true,
        };
        let named = Drive {
            are_files_open: false,
            ..open
        };
        let by_threads = Drive {
            first: Driver::UringSync,
            ..open
        };
        let with = |drive, is_behind| {
            let directories = [to_be_made.as_path()].into_iter();
            drive_for(drive, directories, |path| is_behind && path == root.path())
        };
        assert_eq!(with(open, true), by_threads);
        assert_eq!(with(open, false), open);
        assert_eq!(with(named, true), named);
    }
}
