//! Points that an earlier run of the daemon owed come back: each shard reads what there is, keeps
//! what it owns, puts it into its cache behind what was received since, and journals it anew.
//! When every shard has that on its disk, and what earlier runs have written to files is on theirs,
//! the first says that earlier epochs owe nothing, and when that is on the disk their files go. Until
//! then no file is written, so that a crash in between finds everything as it was. Where the cache
//! has no room for all, or the journal's disk fails, files are written before, and until earlier
//! epochs are at their end the journal says nothing of that and lets nothing go
//! (`Journal::set_earlier_owing`): a crash in between writes points again, in their order. A shard
//! whose journal has failed goes on once it is well again, so that earlier epochs end at last.
//! Nothing here holds up receivers or queries: a turn does a bounded piece.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use super::Shard;
use super::keep::Asker;
use crate::cache::SeriesId;
use crate::journal::replay::{NameIndex, Owed, Progress, Replay, ReplayToken, Report};
use crate::journal::survey::{NewerVersion, Survey};
use crate::journal::{DataSync, Journal, State};
use crate::limits::{RECALLED_PER_TURN_MAX, REMOVALS_IN_FLIGHT_MAX};
use crate::metric::{Metric, ShardIndex, TaggedLeaf, owner};
use crate::point::Point;
use crate::ring::{FileError, FileOperation, FileOutcome, FileToken};

/// How far the shards of a process are together.
#[derive(Debug)]
pub struct Together {
    /// Shards that do not have all of theirs on the disk yet.
    left: AtomicU16,
    /// Shards of these whose journal has failed.
    failing: AtomicU16,
    /// Files may be written.
    is_released: AtomicBool,
    /// Earlier epochs owe nothing, on the disk.
    is_sealed: AtomicBool,
}

impl Together {
    /// None of so many shards has begun.
    pub fn new(shards: u16) -> Together {
        Together {
            left: AtomicU16::new(shards),
            failing: AtomicU16::new(0),
            is_released: AtomicBool::new(false),
            is_sealed: AtomicBool::new(false),
        }
    }

    fn arrive(&self) {
        let before = self.left.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "more shards arrived than there are");
    }

    fn are_all_there(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    fn begin_failing(&self) {
        self.failing.fetch_add(1, Ordering::SeqCst);
    }

    fn end_failing(&self) {
        let before = self.failing.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "more shards are well than had failed");
    }

    fn is_failing(&self) -> bool {
        self.failing.load(Ordering::SeqCst) > 0
    }

    fn release(&self) {
        self.is_released.store(true, Ordering::SeqCst);
    }

    fn is_released(&self) -> bool {
        self.is_released.load(Ordering::SeqCst)
    }

    fn seal(&self) {
        self.is_sealed.store(true, Ordering::SeqCst);
        self.release();
    }

    fn is_sealed(&self) -> bool {
        self.is_sealed.load(Ordering::SeqCst)
    }
}

/// What is to come back.
#[derive(Debug)]
pub struct RecallConfig {
    /// What the journal's directory holds.
    pub survey: Survey,
    /// Shared by all shards.
    pub together: Arc<Together>,
    /// Syncs of the data: what earlier runs have written is to be on the device before the journal
    /// forgets of it.
    pub data_sync: Arc<DataSync>,
    /// Which mount of the data's file system this is (see `JournalConfig::mount`).
    pub mount: u32,
}

/// What came of it, to be said once.
#[derive(Debug)]
pub enum Recalled {
    /// Everything that was owed to this shard is in its cache.
    All(Report),
    /// Nothing can be read; the daemon must not go on.
    Refused(NewerVersion),
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Reading,
    /// All is cached; this shard's copies end at the serial.
    Settling(u64),
    /// All is cached, and the journal has failed: what the cache holds is to be noted anew.
    Failing,
    /// This shard has arrived.
    Waiting,
    /// The first shard has said that earlier epochs owe nothing.
    Sealing,
    /// The first shard removes the files.
    Removing,
    Over,
}

/// A shard's part.
#[derive(Debug)]
pub(super) struct Recall {
    replay: Replay,
    together: Arc<Together>,
    data_sync: Arc<DataSync>,
    /// Of a sync of the data that begins after the start, and after files were last written while
    /// nothing was noted.
    ticket: u64,
    phase: Phase,
    /// Series by the replay's numbers of names, while they are linked.
    series: Vec<Option<SeriesId>>,
    is_weighed: bool,
    /// The journal of this shard has failed, and the others know.
    is_failing: bool,
    /// The last turn's work was bounded: there is more to do at once.
    is_busy: bool,
    files: Vec<PathBuf>,
    removals: usize,
    removals_begun: u64,
    said: Option<Recalled>,
}

impl Recall {
    pub(super) fn new(
        config: RecallConfig,
        index: ShardIndex,
        shards: u16,
        (seed, leaf): (u64, TaggedLeaf),
    ) -> Recall {
        let owns = move |name: &str, hash: u64| {
            // Untagged, as it stands: the hash is its owner's too.
            if Metric::is_plain(name) {
                return owner(hash, shards) == index;
            }
            Metric::from_canonical(name)
                .is_ok_and(|metric| owner(metric.owner_hash(leaf, seed), shards) == index)
        };
        let files = config.survey.files.iter().map(|file| file.path.clone());
        Recall {
            files: if index == ShardIndex(0) {
                files.collect()
            } else {
                Vec::new()
            },
            replay: Replay::new(config.survey, Box::new(owns), seed).mounted(config.mount),
            together: config.together,
            ticket: config.data_sync.ticket(),
            data_sync: config.data_sync,
            phase: Phase::Reading,
            series: Vec::new(),
            is_weighed: false,
            is_failing: false,
            is_busy: true,
            removals: 0,
            removals_begun: 0,
            said: None,
        }
    }
}

impl Shard {
    /// A turn's part of the recall.
    pub(super) fn recall(&mut self) {
        // What ends fast leaves the rest to the next run, and with it all that earlier ones left.
        if self.keep.is_resting {
            return;
        }
        let Some(mut recall) = self.recall.take() else {
            return;
        };
        recall.is_busy = false;
        self.look_for_failure(&mut recall);
        match recall.phase {
            Phase::Reading => self.recall_points(&mut recall),
            Phase::Settling(serial) => self.settle_recall(&mut recall, serial),
            Phase::Failing => self.recover_recall(&mut recall),
            Phase::Waiting => self.wait_for_others(&mut recall),
            Phase::Sealing => {
                let journal = self.ledger.journal();
                if journal.is_some_and(Journal::has_sealed_epochs) {
                    recall.together.seal();
                    recall.phase = Phase::Removing;
                }
            }
            Phase::Removing | Phase::Over => {}
        }
        let is_removing = recall.removals > 0 || !recall.files.is_empty();
        if recall.phase == Phase::Removing && !is_removing {
            recall.phase = Phase::Over;
        }
        let is_over = recall.phase == Phase::Over && recall.said.is_none();
        if !is_over || !recall.replay.is_quiet() {
            self.recall = Some(recall);
        } else if recall.is_failing {
            recall.together.end_failing();
        }
    }

    /// While a journal has failed, files are written although earlier epochs are not at their end.
    fn look_for_failure(&mut self, recall: &mut Recall) {
        let journal = self.ledger.journal();
        let is_failing = journal.is_some_and(|journal| journal.state() != State::Healthy);
        match (is_failing, recall.is_failing) {
            (true, false) => recall.together.begin_failing(),
            (false, true) => recall.together.end_failing(),
            (true, true) | (false, false) => {}
        }
        recall.is_failing = is_failing;
        if is_failing && recall.phase != Phase::Reading {
            recall.together.release();
        }
    }

    fn recall_points(&mut self, recall: &mut Recall) {
        if !recall.is_weighed && recall.replay.has_weighed() {
            recall.is_weighed = true;
            let newest = recall.replay.report().newest;
            self.ledger.begin_recall(newest.unwrap_or(0));
        }
        let (ledger, series) = (&mut self.ledger, &mut recall.series);
        let now_ms = u64::from(self.now.unix_seconds) * 1000;
        // Names are lent by the replay while it works: they are looked up afterwards.
        let mut taken: Vec<(NameIndex, Point, u32)> = Vec::new();
        let mut sink = |owed: &[Owed]| {
            let granted = owed.iter().take_while(|_| ledger.reserve_recalled());
            let granted = granted.count();
            let known = |owed: &Owed| series.get(owed.name.0 as usize).copied().flatten();
            let touched = owed[..granted].iter().filter_map(known);
            black_box(touched.fold(0, |all, id| all ^ ledger.touch_points(id)));
            for owed in &owed[..granted] {
                let point = Point {
                    timestamp: owed.timestamp,
                    value: owed.value,
                };
                let age_s = now_ms.saturating_sub(owed.received_ms) / 1000;
                let age_s = u32::try_from(age_s).unwrap_or(u32::MAX);
                match known(owed) {
                    Some(id) => ledger.recall_known(id, point, age_s),
                    None => taken.push((owed.name, point, age_s)),
                }
            }
            granted
        };
        let progress = recall.replay.work(RECALLED_PER_TURN_MAX, &mut sink);
        for (name, point, age_s) in taken {
            let index = name.0 as usize;
            if recall.series.len() <= index {
                recall.series.resize(index + 1, None);
            }
            if let Some(id) = recall.series[index] {
                self.ledger.recall_known(id, point, age_s);
                continue;
            }
            let id = self.ledger.recall(recall.replay.name(name), point, age_s);
            if self.ledger.is_known(id) && self.ledger.link(id) {
                recall.series[index] = Some(id);
            }
        }
        match progress {
            Progress::More => recall.is_busy = true,
            Progress::Waiting => {}
            // The writer makes room in the cache; the journal gets on by itself.
            Progress::Full => {
                if self.ledger.is_full() {
                    recall.together.release();
                }
            }
            Progress::Done => self.end_recall(recall),
            Progress::Refused(newer) => {
                recall.said = Some(Recalled::Refused(newer));
                recall.phase = Phase::Over;
            }
        }
    }

    fn end_recall(&mut self, recall: &mut Recall) {
        for id in recall.series.drain(..).flatten() {
            self.ledger.unlink(id);
        }
        recall.said = Some(Recalled::All(recall.replay.report().clone()));
        let Some(journal) = self.ledger.journal() else {
            unreachable!("without a journal nothing comes back")
        };
        // What came back while the journal had failed, and was written, is in its file only.
        if journal.failures() > 0 {
            recall.ticket = recall.data_sync.ticket();
        }
        recall.phase = Phase::Settling(journal.serial());
    }

    fn settle_recall(&mut self, recall: &mut Recall, serial: u64) {
        let Some(journal) = self.ledger.journal() else {
            unreachable!("without a journal nothing comes back")
        };
        if journal.state() != State::Healthy {
            recall.phase = Phase::Failing;
        } else if journal.safe_serial() >= serial && recall.data_sync.has_done(recall.ticket) {
            recall.together.arrive();
            recall.phase = Phase::Waiting;
        }
    }

    /// The journal is well again, and knows what the cache holds: what was written meanwhile is in
    /// files, and on the disk after one more sync of the data.
    fn recover_recall(&mut self, recall: &mut Recall) {
        let journal = self.ledger.journal();
        let Some(journal) = journal.filter(|journal| journal.state() == State::Healthy) else {
            return;
        };
        recall.ticket = recall.data_sync.ticket();
        recall.phase = Phase::Settling(journal.serial());
    }

    fn wait_for_others(&mut self, recall: &mut Recall) {
        if self.index != ShardIndex(0) {
            if recall.together.is_sealed() {
                recall.phase = Phase::Over;
            }
            return;
        }
        if recall.together.are_all_there()
            && let Some(journal) = self.ledger.journal_mut()
        {
            let epoch = journal.epoch();
            journal.seal_epochs_done(epoch);
            recall.phase = Phase::Sealing;
        }
    }

    /// Do points that are to come back keep files from being written?
    pub(super) fn is_held_by_recall(&self) -> bool {
        let together = self.recall.as_ref().map(|recall| &recall.together);
        together.is_some_and(|together| !together.is_released())
    }

    /// Do earlier epochs owe points yet?
    pub(super) fn is_indebted(&self) -> bool {
        let together = self.recall.as_ref().map(|recall| &recall.together);
        together.is_some_and(|together| !together.is_sealed())
    }

    /// Do points of earlier runs come back, or have their files to go yet?
    pub fn is_recalling(&self) -> bool {
        self.recall.is_some()
    }

    /// Do points come back yet, or is what earlier runs owe still to be ended? Not waited for while a
    /// journal has failed.
    pub(super) fn is_drained_of_recall(&self) -> bool {
        let Some(recall) = &self.recall else {
            return true;
        };
        recall.phase != Phase::Reading && recall.together.is_failing()
    }

    /// Is there something to do at once, without an event?
    pub fn has_work(&self) -> bool {
        self.has_to_stop() || self.recall.as_ref().is_some_and(|recall| recall.is_busy)
    }

    /// What came of the recall, once.
    pub fn recalled(&mut self) -> Option<Recalled> {
        self.recall.as_mut()?.said.take()
    }

    /// The recall's next operation.
    pub(super) fn next_of_recall(&mut self) -> Option<(FileToken, FileOperation)> {
        let recall = self.recall.as_mut()?;
        if let Some((token, operation)) = recall.replay.next_operation() {
            return Some((Asker::Replay(token.0).token(), operation));
        }
        if recall.phase != Phase::Removing || recall.removals == REMOVALS_IN_FLIGHT_MAX {
            return None;
        }
        let path = recall.files.pop()?;
        recall.removals += 1;
        recall.removals_begun += 1;
        let token = Asker::Removal(recall.removals_begun).token();
        Some((token, FileOperation::Remove { path }))
    }

    /// Takes the outcome of a read.
    pub(super) fn complete_of_replay(
        &mut self,
        number: u64,
        result: Result<FileOutcome, FileError>,
    ) {
        let Some(recall) = self.recall.as_mut() else {
            unreachable!("read {number} of a replay that is over")
        };
        recall.replay.complete(ReplayToken(number), result);
    }

    /// Takes the outcome of a removal. A file that stays owes nothing all the same.
    pub(super) fn complete_of_removal(&mut self, result: &Result<FileOutcome, FileError>) {
        let Some(recall) = self.recall.as_mut() else {
            unreachable!("a removal after the last")
        };
        recall.removals -= 1;
        if let Err(error) = result {
            tracing::warn!("an old segment of the journal stays: {error}");
        }
    }
}
