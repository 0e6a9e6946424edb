//! The journal's directory as the desk sees it: it is looked through before anything is accepted (`hold`
//! has made and locked it, `adopted` looks for those that are taken over); and while the daemon runs,
//! the data's file systems are synced when a shard asks for it, each directory's, side by side. One of
//! several that cannot be synced for a minute is passed over, so that it stops no other's points
//! (docs/decisions/0020). The descriptor through which a single one is synced stays open; several are
//! opened each time, so that each can be unmounted.
//! A directory that another process holds, or that a newer version has written, ends the start.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use benzene_engine::clock;
use benzene_engine::journal::survey::{NewerVersion, Survey};
use benzene_engine::journal::{DataSync, JournalConfig, OnError, State, Sync};
use benzene_engine::limits::{
    DATA_SYNC_EVERY, DATA_SYNC_LOOK, JOURNAL_SEGMENT_BYTES, JOURNAL_SEGMENT_BYTES_MIN,
    JOURNAL_SEGMENTS_MIN, JOURNAL_SEGMENTS_USUAL_MIN,
};
use benzene_engine::metric::ShardIndex;
use benzene_engine::quiet::Quiet;
use benzene_engine::ring::host::{self, FileSystem};
use benzene_engine::ring::{FileError, Stage, mount};
use benzene_engine::shard::{Adopted, RecallConfig, Together};
use benzene_engine::stats::Counter;
use tokio::time::sleep;

use super::Desk;
use super::adopted::{self, NEW_NAME, TAKEN_NAME, TOGETHER_NAME};
use super::cut_off;
use super::hold::{Held, LOCK_NAME};
use super::look::{left_in, look_through};
use super::mounts::{self, DATA_NAME};
use super::volumes::{SYNC_PATIENCE, one_of_each};
use crate::config::{DataDirectory, JournalSettings, JournalSync, Settings, Shutdown};
use crate::core::{self, Ending};

/// Segments of no given length are a multiple of this: a page of the page cache, many times.
const SEGMENT_UNIT_BYTES: u64 = 64 << 10;
/// How long a failing sync of the data rests.
const SYNC_RETRY: Duration = Duration::from_secs(10);
/// The file that asks the next stop to write everything out (`benzene stop --drain`).
pub(crate) const DRAIN_NAME: &str = "drain";
/// Files of the directory that are no part of the journal.
pub(super) const NOTES: [&str; 6] = [
    LOCK_NAME,
    DRAIN_NAME,
    TAKEN_NAME,
    TOGETHER_NAME,
    NEW_NAME,
    DATA_NAME,
];

/// Is a file of the directory one of these?
pub(crate) fn is_note(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    NOTES.iter().any(|note| name == *note)
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// Its directory cannot be made, read or written.
    #[error(
        "the journal's directory {} cannot be used: {source}; make it writable for this user (and for \
         the unit, by ReadWritePaths), set JOURNAL_DIR in carbon.conf, or JOURNAL = False for a cache \
         that a crash loses",
        path.display()
    )]
    Directory {
        /// The directory, or a file in it.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// One of its files cannot be read by this user.
    #[error(
        "the journal's file {} cannot be read: {source}; give it, and all files beside it, to the user of \
         the daemon (chown), or move it away to give up the points that are in no other file",
        path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another process uses it.
    #[error(
        "the journal in {} is in use by process {holder}: stop that one first, or set JOURNAL_DIR \
         (or --instance) so that each process has its own", path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The number of the other process, as it wrote it down.
        holder: String,
    },
    /// One process answers for the instance that is asked for, and for others.
    #[error(
        "instance {instance} is answered for by process {process}, which answers for the instances \
         {instances} in one: leave --instance away and that one alone, or stop it first (`benzene stop`, \
         without --instance; --drain leaves nothing of this instance in its journal)"
    )]
    AnsweredFor {
        /// The instance.
        instance: String,
        /// The process.
        process: String,
        /// What it answers for.
        instances: String,
    },
    /// An instance that we are to answer for, among others, has a process of its own.
    #[error(
        "instance {instance} runs by itself as process {process}, which holds {}: stop it first \
         (`benzene stop --instance {instance}`; what it has cached comes back here), or leave the \
         instance to it and name the others in INSTANCES, in [cache] of carbon.conf", path.display()
    )]
    ByItself {
        /// The instance.
        instance: String,
        /// Its process.
        process: String,
        /// The directory of its journal.
        path: PathBuf,
    },
    /// It cannot be replayed by this version.
    #[error(
        "the journal cannot be read: {0}; start the version that wrote it, and stop it with \
         `benzene stop --drain`"
    )]
    Newer(#[source] NewerVersion),
    /// Its bound leaves too little for each shard.
    #[error(
        "a journal of {bytes} bytes has no room for {shards} shards with {JOURNAL_SEGMENTS_MIN} \
         segments of {segment_bytes} bytes each: raise JOURNAL_MAX_BYTES or lower \
         JOURNAL_SEGMENT_BYTES"
    )]
    TooSmall {
        /// The bound.
        bytes: u64,
        /// How many shards there are.
        shards: u16,
        /// Bytes of a segment.
        segment_bytes: u64,
    },
}

/// The directory, which is held for this process.
#[derive(Debug)]
pub(super) struct Journal {
    /// Where it is.
    pub(super) directory: PathBuf,
    /// What earlier processes have left in it.
    pub(super) survey: Survey,
    /// That is more than the bound.
    is_past_bound: bool,
    /// What the bound leaves for files that are set aside.
    aside_bytes_max: u64,
    /// What is taken over from other directories.
    adopted: Vec<Adopted>,
}

impl Journal {
    /// Looks through the directory, and those of the other instances and what else is held.
    pub(super) fn open(
        journal: &JournalSettings,
        settings: &Settings,
        held: &Held,
    ) -> Result<Journal, JournalError> {
        let path = &journal.dir;
        // One that was left behind asks for nothing any more.
        Journal::takes_drain_note(path);
        let files = look_through(path)?;
        let survey = Survey::new(files).map_err(JournalError::Newer)?;
        let survey = cut_off::remove_ended(survey);
        let bytes_max = Journal::bytes_max(journal)?;
        let (survey, is_past_bound) = cut_off::remove(path, survey, bytes_max)?;
        for stranger in &survey.strangers {
            tracing::warn!(
                "{} is no file of the journal, and left alone",
                stranger.display()
            );
        }
        say_aside(path, survey.aside.len());
        let mut opened = Journal {
            directory: path.clone(),
            survey,
            is_past_bound,
            aside_bytes_max: bytes_max,
            adopted: Vec::new(),
        };
        opened.adopted = adopted::find(settings, held.bare(), (path, opened.survey.epoch_next()))?;
        opened.aside_bytes_max = bytes_max.saturating_sub(opened.aside_bytes());
        Ok(opened)
    }

    /// Bytes of the files that are set aside already, where others may be.
    fn aside_bytes(&self) -> u64 {
        let adopted = self.adopted.iter().flat_map(|it| &it.survey.aside);
        let files = self.survey.aside.iter().chain(adopted);
        files
            .map(|path| fs::metadata(path).map_or(0, |it| it.len()))
            .sum()
    }

    /// What all shards share of it.
    pub(super) fn plan(
        self,
        settings: &JournalSettings,
        data: &[DataDirectory],
        shards: u16,
    ) -> Result<JournalPlan, JournalError> {
        let mount = mounts::note(&self.directory, data)?;
        let bytes_max = Journal::bytes_max(settings)?;
        let (segment_bytes, segments_max) = segments(settings, bytes_max, shards)?;
        tracing::info!(
            "the journal is in {}: up to {} MiB, in segments of {} KiB",
            self.directory.display(),
            (u64::from(segment_bytes) * u64::from(segments_max) * u64::from(shards)) >> 20,
            segment_bytes >> 10,
        );
        let disk_bytes = host::disk_bytes(&self.directory).unwrap_or(u64::MAX);
        if bytes_max > disk_bytes {
            tracing::warn!(
                "JOURNAL_MAX_BYTES is {} MiB, and the file system of {} has {} MiB in all: where the journal \
                 fills that, it cannot be written until what it has is in files (JOURNAL_ON_ERROR); half \
                 of it leaves room for a start, too",
                bytes_max >> 20,
                self.directory.display(),
                disk_bytes >> 20
            );
        }
        if is_left_behind(settings, data) {
            tracing::warn!(
                "the journal in {} goes with this container, or with a reboot, and the data do not: what \
                 is in it then is lost. Put STORAGE_DIR or JOURNAL_DIR on a volume; until then a stop \
                 writes everything out, unless SHUTDOWN = journal",
                self.directory.display()
            );
        }
        if let JournalSync::Every(every) = settings.sync
            && settings.commit > every
        {
            tracing::warn!(
                "JOURNAL_COMMIT is {:?} and JOURNAL_SYNC {every:?}: what is accepted is written within \
                 the shorter of them",
                settings.commit
            );
        }
        Ok(JournalPlan {
            epoch: self.survey.epoch_next(),
            segments_max,
            segment_bytes,
            commit: settings.commit,
            sync: match settings.sync {
                JournalSync::Every(every) => Sync::Every(every),
                JournalSync::Always => Sync::Always,
                JournalSync::Never => Sync::Never,
            },
            on_error: if settings.stop_on_error {
                OnError::Stop
            } else {
                OnError::Continue
            },
            together: Arc::new(Together::new(shards)),
            data_sync: Arc::default(),
            mount,
            is_void: Cell::new(false),
            journal: self,
        })
    }

    /// Whether the last `benzene stop` asked for everything to be written out; it is forgotten.
    fn takes_drain_note(directory: &Path) -> bool {
        // Looked for first: a disk that hangs may know what is there, and does not take a removal.
        let path = directory.join(DRAIN_NAME);
        path.exists() && fs::remove_file(path).is_ok()
    }

    /// Most bytes of all files.
    fn bytes_max(settings: &JournalSettings) -> Result<u64, JournalError> {
        if let Some(bytes) = settings.bytes_max {
            return Ok(bytes);
        }
        let disk = host::disk_bytes(&settings.dir);
        disk.map(|disk| settings.bytes(disk))
            .map_err(|source| JournalError::Directory {
                path: settings.dir.clone(),
                source,
            })
    }
}

/// How long a segment of a journal of at most `bytes` is, and how many each shard may have.
pub(crate) fn segments(
    settings: &JournalSettings,
    bytes: u64,
    shards: u16,
) -> Result<(u32, u32), JournalError> {
    let share = bytes / u64::from(shards);
    let few = share / JOURNAL_SEGMENTS_USUAL_MIN / SEGMENT_UNIT_BYTES * SEGMENT_UNIT_BYTES;
    let segment_bytes = settings.segment_bytes.unwrap_or_else(|| {
        few.clamp(
            u64::from(JOURNAL_SEGMENT_BYTES_MIN),
            u64::from(JOURNAL_SEGMENT_BYTES),
        )
    });
    let segments = u32::try_from(share / segment_bytes).unwrap_or(u32::MAX);
    if segments < JOURNAL_SEGMENTS_MIN {
        return Err(JournalError::TooSmall {
            bytes,
            shards,
            segment_bytes,
        });
    }
    Ok((u32::try_from(segment_bytes).unwrap_or(u32::MAX), segments))
}

/// The journal of all shards.
#[derive(Debug)]
pub(super) struct JournalPlan {
    /// The directory, held.
    journal: Journal,
    epoch: u32,
    segments_max: u32,
    segment_bytes: u32,
    commit: Duration,
    sync: Sync,
    on_error: OnError,
    together: Arc<Together>,
    /// Wishes for a sync of the data.
    pub(super) data_sync: Arc<DataSync>,
    mount: u32,
    /// It goes once the cores have ended.
    is_void: Cell<bool>,
}

impl JournalPlan {
    /// One shard's journal.
    pub(super) fn config(&self, index: ShardIndex) -> JournalConfig {
        JournalConfig {
            directory: self.journal.directory.clone(),
            shard: index.0,
            epoch: self.epoch,
            segment_bytes: self.segment_bytes,
            segments_max: self.segments_max,
            commit: self.commit,
            sync: self.sync,
            on_error: self.on_error,
            data_sync: Arc::clone(&self.data_sync),
            mount: self.mount,
        }
    }

    /// What comes back to each shard; none where earlier runs have left nothing.
    pub(super) fn recall(&self) -> Option<RecallConfig> {
        let Journal {
            survey,
            adopted,
            is_past_bound,
            aside_bytes_max,
            ..
        } = &self.journal;
        (!survey.files.is_empty() || !adopted.is_empty()).then(|| RecallConfig {
            survey: survey.clone(),
            adopted: adopted.clone(),
            together: Arc::clone(&self.together),
            data_sync: Arc::clone(&self.data_sync),
            mount: self.mount,
            is_past_bound: *is_past_bound,
            aside_bytes_max: *aside_bytes_max,
        })
    }

    /// Waits until what was written so far is on the data's disk, or that fails. Is it?
    pub(super) async fn data_synced(&self) -> bool {
        let ticket = self.data_sync.ticket();
        while !self.data_sync.has_done(ticket) && !self.data_sync.is_in_trouble() {
            sleep(DATA_SYNC_LOOK).await;
        }
        self.data_sync.has_done(ticket) && !self.data_sync.is_in_trouble()
    }

    /// A drain has written everything out, to the data's disk, and behind it the journal was in this state.
    /// Where that could not be written, which may have been for want of room, and nothing of another
    /// directory's is left, it is to go.
    pub(super) fn note_all_written(&self, state: State) {
        let is_own = self.journal.adopted.is_empty() || self.together.is_sealed();
        let has_failed = matches!(state, State::Failed(_));
        self.is_void.set(has_failed && is_own);
    }

    /// The cores have ended: a journal that owes nothing, and could not be written, goes, so that the next
    /// start finds room.
    pub(super) fn end(&self) {
        if !self.is_void.get() {
            return;
        }
        let directory = &self.journal.directory;
        match cut_off::remove_all(directory) {
            Ok(removed) => tracing::info!(
                "all that the journal has is in files: {removed} files of it are removed, so that the next \
                 start has room"
            ),
            Err(error) => tracing::error!(
                "all that the journal has is in files, and it cannot be removed: {error}; remove \
                 {}/*.points, then *.names there, before the next start",
                directory.display()
            ),
        }
    }

    /// Do senders wait until what earlier runs owe is read?
    pub(super) fn holds_senders(&self) -> bool {
        self.journal.is_past_bound && !self.together.is_sealed()
    }
}

impl Desk {
    /// Serves the journal's wishes for a sync of the data, and says how it is when that changes.
    /// Ends when the daemon is to stop for its sake.
    pub(super) async fn watch_journal(&self) -> &'static str {
        let Some(plan) = &self.journal else {
            return std::future::pending().await;
        };
        tokio::select! {
            () = self.sync_data() => unreachable!("it never ends"),
            name = self.watch_state(plan.on_error) => name,
        }
    }

    /// Syncs the data's file systems when a shard asks for it, for as long as this is asked.
    pub(super) async fn sync_data(&self) {
        let Some(plan) = &self.journal else {
            return std::future::pending().await;
        };
        let mut impatient = Patience::default();
        loop {
            let wish = &plan.data_sync;
            if !wish.is_wanted() {
                sleep(DATA_SYNC_LOOK).await;
                continue;
            }
            let number = wish.begin();
            // What is away was synced when it was unmounted, or is lost.
            let are_several = self.volumes.len() > 1;
            let directories = one_of_each(&self.volumes);
            let rest = if impatient.sync(directories, are_several, wish).await {
                wish.done(number);
                DATA_SYNC_EVERY
            } else {
                SYNC_RETRY
            };
            // Of a failure too the journal hears at once, for the kernel says it to nobody else.
            self.wake_all();
            sleep(rest).await;
        }
    }

    async fn watch_state(&self, on_error: OnError) -> &'static str {
        let (mut before, mut given_up) = (State::Healthy, 0);
        let mut lacking = Quiet::default();
        loop {
            sleep(DATA_SYNC_LOOK).await;
            if let Some(why) = self.peers.failure() {
                tracing::error!("{why}");
                return "the journal";
            }
            let totals = Box::pin(self.totals()).await;
            let now_given_up = totals.stats.get(Counter::JournalGivenUp);
            if std::mem::replace(&mut given_up, now_given_up) < now_given_up {
                tracing::error!(
                    "the journal is at its bound, and lets go of what it kept since a sync of the data \
                     failed: a power cut may lose of that what never came to the disk"
                );
            }
            if let Some(error) = totals.journal.lacks
                && let Some(unsaid) = lacking.due(clock::now().instant)
            {
                tracing::error!(
                    "the journal waits for its next segment, and senders with it: {error}; it is tried \
                     again every second (the limit on open files is ulimit -n, LimitNOFILE= under \
                     systemd; {unsaid} more since the last message)"
                );
            }
            let state = totals.journal.state();
            if std::mem::replace(&mut before, state) == state {
                continue;
            }
            match (state, on_error) {
                (State::Healthy, _) => tracing::info!("the journal is well again"),
                (State::Recovering, _) => {
                    tracing::info!("the journal can be written again, and gets what is cached");
                }
                (State::Failed(error), OnError::Continue) => tracing::error!(
                    "the journal cannot be written: {error}. What is cached is lost if the daemon is \
                     killed now; it is tried again every 10 seconds (JOURNAL_ON_ERROR = continue); a \
                     stop writes everything out and empties it"
                ),
                (State::Failed(error), OnError::Stop) => {
                    tracing::error!(
                        "the journal cannot be written: {error}. The daemon writes everything out \
                         and ends (JOURNAL_ON_ERROR = stop); make room in {} or see to its disk",
                        plan_directory(&self.settings)
                    );
                    return "JOURNAL_ON_ERROR = stop";
                }
            }
        }
    }

    /// Whether a stop may leave what is cached in the journal: where that was asked for, or nothing
    /// else was, and the journal is well.
    pub(super) async fn ending(&self) -> Ending {
        let Some(settings) = &self.settings.journal else {
            return Ending::Drain;
        };
        let is_asked = Journal::takes_drain_note(&settings.dir);
        let is_drained = match self.settings.shutdown {
            Shutdown::Auto => is_left_behind(settings, &self.settings.data),
            Shutdown::Journal => false,
            Shutdown::Drain => true,
        };
        if is_asked || is_drained {
            return Ending::Drain;
        }
        if self.totals().await.journal.state() == State::Healthy {
            return Ending::Rest;
        }
        tracing::warn!("the journal is not well: everything is written out instead");
        Ending::Drain
    }
}

/// Whether the data may outlive the journal: it goes with a container or with a reboot, and they are
/// elsewhere.
pub(super) fn is_left_behind(settings: &JournalSettings, data: &[DataDirectory]) -> bool {
    let device = |path: &Path| mount::device_of(path).ok();
    let here = device(&settings.dir);
    host::is_passing(&settings.dir).unwrap_or(false)
        && data.iter().any(|data| device(&data.path) != here)
}

/// Where the journal is, for messages.
fn plan_directory(settings: &Settings) -> String {
    let journal = settings.journal.as_ref();
    journal.map_or_else(String::new, |journal| journal.dir.display().to_string())
}

/// Says what to do with the files that are set aside in a directory, where there are any.
pub(super) fn say_aside(directory: &Path, files: usize) {
    if files > 0 {
        tracing::warn!("the journal: {}", core::advice(directory, files));
    }
}

/// Without a journal: says where an earlier run has left one, whose points nobody reads. What no start
/// reads comes first: the other advice ends with the directory's removal.
pub(super) fn say_left_behind(directory: &Path) {
    let left = left_in(directory);
    say_aside(directory, left.aside);
    if left.has_journal {
        tracing::warn!(
            "JOURNAL = False, and an earlier run has left its journal in {0}: `benzene journal export \
             {0}/*` prints the points in it that are in no file. If there are any, start once with \
             JOURNAL = True and end that with `benzene stop --drain`; then remove {0}",
            directory.display()
        );
    }
}

/// Syncs file systems side by side, and remembers which of them fail, and since when.
#[derive(Debug, Default)]
struct Patience {
    failing: Vec<(PathBuf, Instant)>,
    /// The only one, open.
    held: Option<FileSystem>,
    lacking: Quiet,
}

impl Patience {
    /// Syncs the file systems of these directories. Whether the journal may go on: all are synced, or of
    /// several those that are not have failed for long enough. Else the shards are told of the failure,
    /// also where nobody waits for the outcome any more: a kernel says it once.
    async fn sync(
        &mut self,
        directories: Vec<PathBuf>,
        are_several: bool,
        wish: &Arc<DataSync>,
    ) -> bool {
        let mut syncs = Vec::new();
        for path in directories {
            let (directory, held, wish) = (path.clone(), self.held.take(), Arc::clone(wish));
            let is_passed_over = self.is_past_patience(&path, are_several);
            let sync = move || {
                let synced = sync_through(&directory, held);
                match synced {
                    Synced::Failed(..) if !is_passed_over => wish.failed(),
                    Synced::NotBegun(_) => wish.not_begun(),
                    Synced::Whole(_) | Synced::Failed(..) => {}
                }
                synced
            };
            syncs.push((path, is_passed_over, tokio::task::spawn_blocking(sync)));
        }
        let mut may_go_on = true;
        for (path, is_passed_over, sync) in syncs {
            match sync.await {
                Ok(Synced::Whole(used)) => {
                    self.held = Some(used).filter(|_| !are_several);
                    self.failing.retain(|(failing, _)| *failing != path);
                }
                Ok(Synced::Failed(error, used)) => {
                    self.held = used.filter(|_| !are_several);
                    self.failed(path, &error, is_passed_over);
                    may_go_on &= is_passed_over;
                }
                Ok(Synced::NotBegun(error)) => {
                    self.not_begun(&path, &error);
                    may_go_on = false;
                }
                Err(error) => {
                    tracing::error!("the sync of {} was cut off: {error}", path.display());
                    may_go_on = false;
                }
            }
        }
        may_go_on
    }

    /// Since when a directory's syncs fail, if they do.
    fn failing_since(&self, path: &Path) -> Option<Instant> {
        let mut failing = self.failing.iter();
        failing.find(|(failing, _)| failing == path).map(|it| it.1)
    }

    /// Do the syncs of one of several fail for longer than the others are to wait for it?
    fn is_past_patience(&self, path: &Path, are_several: bool) -> bool {
        let since = self.failing_since(path).filter(|_| are_several);
        since.is_some_and(|since| clock::now().instant.duration_since(since) >= SYNC_PATIENCE)
    }

    /// There was no descriptor or memory for a sync.
    fn not_begun(&mut self, path: &Path, error: &io::Error) {
        if let Some(unsaid) = self.lacking.due(clock::now().instant) {
            tracing::warn!(
                "the file system of {} cannot be synced now: {error}; it is tried again, and the \
                 journal keeps meanwhile what was written there (the limit on open files is ulimit -n, \
                 LimitNOFILE= under systemd; {unsaid} more since the last message)",
                path.display()
            );
        }
    }

    /// A sync has failed.
    fn failed(&mut self, path: PathBuf, error: &io::Error, is_passed_over: bool) {
        let (directory, means) = (
            path.display(),
            if is_passed_over {
                "the journal goes on without it, and a power cut may lose what was written there last"
            } else {
                "what was written there since the last sync may never come to its disk. The journal keeps \
                 it for the next start, which writes it again: see to the disk, then restart"
            },
        );
        tracing::error!("the file system of {directory} cannot be synced: {error}; {means}");
        if self.failing_since(&path).is_none() {
            self.failing.push((path, clock::now().instant));
        }
    }
}

/// What came of the sync of a file system.
enum Synced {
    /// All that was written is on the disk.
    Whole(FileSystem),
    /// What was written may not be; the descriptor, where the directory could be opened.
    Failed(io::Error, Option<FileSystem>),
    /// There was no descriptor or memory for it: the disk has said nothing.
    NotBegun(io::Error),
}

/// Syncs the file system of a directory through the descriptor that is held, where it is of that one.
fn sync_through(directory: &Path, held: Option<FileSystem>) -> Synced {
    let held = held.filter(|held| held.is_at(directory));
    sync_opened(held.map_or_else(|| FileSystem::of(directory), Ok))
}

fn sync_opened(opened: io::Result<FileSystem>) -> Synced {
    match opened {
        Ok(file_system) => match file_system.sync() {
            Ok(()) => Synced::Whole(file_system),
            Err(error) => Synced::Failed(error, Some(file_system)),
        },
        Err(error) if is_passing(&error) => Synced::NotBegun(error),
        Err(error) => Synced::Failed(error, None),
    }
}

/// Does it say nothing of what could not be opened, and pass by itself?
fn is_passing(error: &io::Error) -> bool {
    let stage = Stage::Open;
    let errno = error.raw_os_error();
    errno.is_some_and(|errno| FileError { stage, errno }.is_passing())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_for_which_there_is_no_descriptor_has_not_failed() {
        let opened = |errno| sync_opened(Err(io::Error::from_raw_os_error(errno)));
        let (not_there, no_descriptor, none_anywhere) = (2, 24, 23);
        assert!(matches!(opened(not_there), Synced::Failed(_, None)));
        for errno in [no_descriptor, none_anywhere] {
            assert!(matches!(opened(errno), Synced::NotBegun(_)), "{errno}");
        }
    }
}
