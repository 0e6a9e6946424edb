//! Points that an earlier run of the daemon owed come back: each shard reads what there is, keeps
//! what it owns, puts it into its cache behind what was received since, and journals it anew.
//! When every shard has that on its disk, and what earlier runs have written to files is on theirs,
//! the first says that earlier epochs owe nothing, and when that is on the disk the others say so too,
//! so that each one's files tell what they are worth without the first one's, and the old files go, but
//! for those that a shard could not read (`unread`). Until then no file is written, so that a crash in
//! between finds everything as it was. Where the cache has no room for all, or the journal's disk
//! fails, files are written before, and until earlier
//! epochs are at their end the journal says nothing of that and lets nothing go
//! (`Journal::set_earlier_owing`): a crash in between writes points again, in their order. A shard
//! whose journal has failed goes on once it is well again, so that earlier epochs end at last.
//! Journals of other directories are taken over in the same way, one after the other in the order in
//! which they and the own one were last written; an own epoch that took them over and ended the earlier
//! ones has them already.
//! Where a sync of the data fails before that, what earlier runs have written last may be gone: all is
//! read once more, and what is not known to be on the device comes back too.
//! Nothing here holds up receivers or queries: a turn does a bounded piece.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use std::{iter, mem};

use super::Shard;
use super::keep::Asker;
use super::removal::Removal;
use super::together::Together;
use super::unread::Kept;
use crate::breaks::{self, Break};
use crate::cache::SeriesId;
use crate::journal::replay::{NameIndex, Owed, Owns, Progress, Replay, ReplayToken, Report};
use crate::journal::survey::{NewerVersion, Survey};
use crate::journal::{DataSync, Journal, State};
use crate::limits::{
    INSTANCES_MAX, JOURNAL_SCARCE_RETRY, RECALLED_PER_TURN_MAX, RECALLED_TOGETHER_MAX,
};
use crate::metric::{Metric, ShardIndex, TaggedLeaf, owner};
use crate::point::Point;
use crate::quiet::Quiet;
use crate::ring::{FileError, FileOperation, FileOutcome, FileToken};

/// What is to come back.
#[derive(Clone, Debug)]
pub struct RecallConfig {
    /// What the journal's directory holds.
    pub survey: Survey,
    /// Journals of other directories that are taken over, in the order in which they come back; at
    /// most `limits::INSTANCES_MAX`.
    pub adopted: Vec<Adopted>,
    /// Shared by all shards.
    pub together: Arc<Together>,
    /// Syncs of the data: what earlier runs have written is to be on the device before the journal
    /// forgets of it.
    pub data_sync: Arc<DataSync>,
    /// Which mount of the data's file system this is (see `JournalConfig::mount`).
    pub mount: u32,
    /// Earlier runs have left more than the journal's bound: senders wait until they owe nothing.
    pub is_past_bound: bool,
    /// Bytes of files that may be set aside: what JOURNAL_MAX_BYTES leaves beside those that are so
    /// already.
    pub aside_bytes_max: u64,
}

/// A journal of another directory, which this one takes over.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// What that directory holds.
    pub survey: Survey,
    /// Earlier epochs of this journal that began to take it over. Where it is the latest of them that
    /// says that earlier epochs owe nothing, all is taken over already.
    pub begun: Vec<u32>,
    /// The file that says so, which goes with the others.
    pub note: PathBuf,
    /// It was written later than this one's: what it owes comes back behind what this one does.
    pub is_later: bool,
}

/// One that is being taken over.
#[derive(Debug)]
struct Adoption {
    /// Marks its operations; the own replay's is 0.
    number: u64,
    begun: Vec<u32>,
    is_later: bool,
    replay: Replay,
}

/// Which replay an operation is of: the lowest bits of its number.
const REPLAYS: u64 = INSTANCES_MAX as u64 + 1;

/// What came of it, to be said once.
#[derive(Debug)]
pub enum Recalled {
    /// Everything that was owed to this shard is in its cache.
    All(Report),
    /// Nothing can be read; the daemon must not go on.
    Refused(NewerVersion),
    /// Files that not every shard could read do not go with the others.
    Kept(Kept),
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

/// How far this directory's journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// It is being read.
    Read,
    /// Nothing else comes back any more, and the cache knows which seconds may.
    Weighed,
    /// All that it owed is cached.
    Given,
}

/// What a recall is begun with.
#[derive(Debug)]
struct Again {
    config: RecallConfig,
    shards: u16,
    secrets: (u64, TaggedLeaf),
}

/// A shard's part.
#[derive(Debug)]
pub(super) struct Recall {
    replay: Replay,
    adoptions: VecDeque<Adoption>,
    together: Arc<Together>,
    data_sync: Arc<DataSync>,
    /// To begin once more where a sync of the data fails before what earlier runs have written is on
    /// its device; none once that was done.
    again: Option<Box<Again>>,
    /// Of a sync of the data that begins after the start, and after files were last written while
    /// nothing was noted. None where nothing is believed that is not on the device already.
    ticket: Option<u64>,
    /// No point of the journals that were taken over so far is of a later time.
    latest: u32,
    phase: Phase,
    /// Series by the replay's numbers of names, while they are linked.
    series: Vec<Option<SeriesId>>,
    own: Own,
    /// The journal of this shard has failed, and the others know.
    is_failing: bool,
    /// The last turn's work was bounded: there is more to do at once.
    is_busy: bool,
    /// The first shard's: files of earlier runs, which go or are set aside once those owe nothing.
    removal: Removal,
    said: VecDeque<Recalled>,
    /// Files that this shard could not read in whole.
    unread: BTreeSet<PathBuf>,
    /// When reads are tried again that were put off.
    retry_at: Option<Instant>,
    /// Reads were put off, and none has gone well since.
    lacks_reads: bool,
    /// That they wait is said.
    quiet: Quiet,
}

/// Says which metrics are this shard's.
fn owns(index: ShardIndex, shards: u16, (seed, leaf): (u64, TaggedLeaf)) -> Owns {
    Box::new(move |name: &str, hash: u64| {
        // Untagged, as it stands: the hash is its owner's too.
        if Metric::is_plain(name) {
            return owner(hash, shards) == index;
        }
        Metric::from_canonical(name)
            .is_ok_and(|metric| owner(metric.owner_hash(leaf, seed), shards) == index)
    })
}

impl Recall {
    pub(super) fn new(
        config: RecallConfig,
        index: ShardIndex,
        shards: u16,
        secrets: (u64, TaggedLeaf),
    ) -> Recall {
        assert!(
            config.adopted.len() <= INSTANCES_MAX,
            "{} journals to take over",
            config.adopted.len()
        );
        let again = Box::new(Again {
            config: config.clone(),
            shards,
            secrets,
        });
        let read = |survey: Survey| {
            let replay = Replay::new(survey, owns(index, shards, secrets), secrets.0);
            replay.mounted(config.mount)
        };
        let removal = if index == ShardIndex(0) {
            Removal::new(&config)
        } else {
            Removal::default()
        };
        let adoptions = (1..).zip(config.adopted);
        let adoptions = adoptions.map(|(number, adopted)| Adoption {
            number,
            begun: adopted.begun,
            is_later: adopted.is_later,
            replay: read(adopted.survey),
        });
        Recall {
            removal,
            adoptions: adoptions.collect(),
            replay: read(config.survey),
            together: config.together,
            again: Some(again),
            ticket: Some(config.data_sync.ticket()),
            data_sync: config.data_sync,
            latest: 0,
            phase: Phase::Reading,
            series: Vec::new(),
            own: Own::Read,
            is_failing: false,
            is_busy: true,
            said: VecDeque::new(),
            unread: BTreeSet::new(),
            retry_at: None,
            lacks_reads: false,
            quiet: Quiet::default(),
        }
    }

    /// A sync of the data has failed: what earlier runs have written last may never come to its device.
    /// All is read once more, and given again that no mark proves: in the same order, behind what was
    /// received since the start.
    fn begin_in_doubt(&mut self, index: ShardIndex) {
        let Some(again) = self.again.take() else {
            unreachable!("it is begun in doubt once")
        };
        let mut begun = Recall::new(again.config, index, again.shards, again.secrets);
        begun.replay = begun.replay.in_doubt();
        begun.doubt_adopted();
        (begun.again, begun.ticket) = (None, None);
        begun.is_failing = self.is_failing;
        begun.said = mem::take(&mut self.said);
        begun.unread = mem::take(&mut self.unread);
        *self = begun;
    }

    /// Has a sync of the data failed since the start, and was this not begun anew for that?
    fn is_to_begin_in_doubt(&self) -> bool {
        self.again.is_some() && self.data_sync.hear().failures > 0 && !breaks::is(Break::Doubt)
    }

    /// Is what earlier runs have written on the data's device, or given again?
    fn is_data_safe(&self) -> bool {
        self.ticket
            .is_none_or(|ticket| self.data_sync.has_done(ticket))
    }

    /// Is nothing that its replays asked for under way?
    fn is_quiet(&self) -> bool {
        self.replay.is_quiet() && self.adoptions.iter().all(|it| it.replay.is_quiet())
    }

    /// Reads that failed for want of something are tried again after a pause, for as long as it takes:
    /// nothing goes before all is read.
    fn try_reads_again(&mut self, now: Instant) {
        let others = self.adoptions.iter_mut().map(|it| &mut it.replay);
        let replays = iter::once(&mut self.replay).chain(others);
        let mut waiting = replays.filter(|it| it.put_off().is_some()).peekable();
        let Some((path, error)) = waiting.peek().and_then(|it| it.put_off()) else {
            self.retry_at = None;
            return;
        };
        self.lacks_reads = true;
        if self.quiet.due(now).is_some() {
            tracing::warn!(
                "{} cannot be read just now: {error}; the journal is read on once it can be, and \
                 nothing of it is lost meanwhile",
                path.display()
            );
        }
        if now >= *self.retry_at.get_or_insert(now + JOURNAL_SCARCE_RETRY) {
            self.retry_at = None;
            waiting.for_each(Replay::try_again);
        }
    }

    /// What a journal was found to hold, to be said.
    fn say_all(&mut self, report: Report) {
        self.unread.extend(report.unread.iter().cloned());
        self.said.push_back(Recalled::All(report));
    }

    /// Goes on while the daemon ends. What ends fast leaves the rest to the next run, and with it all that
    /// earlier ones left; but what is said to owe nothing the next run removes, and what is to be set
    /// aside with it.
    fn is_ending(&self) -> bool {
        match self.phase {
            Phase::Sealing | Phase::Removing => true,
            Phase::Waiting => self.together.is_sealed(),
            Phase::Reading | Phase::Settling(_) | Phase::Failing | Phase::Over => false,
        }
    }

    /// Which of the journals that are to be taken over are so already is known once the own one has
    /// been weighed, and whether a sync of the data has failed since they were left.
    fn weigh_adopted(&mut self) {
        let done = self.replay.epochs_done();
        self.adoptions.retain(|it| !it.begun.contains(&done));
        if self.replay.is_in_doubt() {
            self.doubt_adopted();
        }
    }

    /// Of the journals that are to be taken over nothing is believed that no mark proves.
    fn doubt_adopted(&mut self) {
        let doubt = |it: Adoption| Adoption {
            replay: it.replay.in_doubt(),
            ..it
        };
        self.adoptions = mem::take(&mut self.adoptions)
            .into_iter()
            .map(doubt)
            .collect();
    }
}

impl Shard {
    /// A turn's part of the recall.
    pub(super) fn recall(&mut self) {
        let is_resting = self.keep.is_resting();
        let goes_on = self.recall.take_if(|it| !is_resting || it.is_ending());
        let Some(mut recall) = goes_on else {
            return;
        };
        recall.is_busy = false;
        self.look_for_failure(&mut recall);
        self.release_early(&recall);
        recall.try_reads_again(self.now.instant);
        match recall.phase {
            Phase::Reading => self.recall_points(&mut recall),
            Phase::Settling(serial) => self.settle_recall(&mut recall, serial),
            Phase::Failing => self.recover_recall(&mut recall),
            Phase::Waiting => self.wait_for_others(&mut recall),
            Phase::Sealing => {
                let journal = self.ledger.journal();
                if journal.is_some_and(Journal::has_sealed_epochs) {
                    recall.together.seal();
                    let kept = recall.removal.begin(recall.together.unread());
                    recall.said.extend(kept.map(Recalled::Kept));
                    recall.phase = Phase::Removing;
                }
            }
            Phase::Removing | Phase::Over => {}
        }
        if recall.phase == Phase::Removing && recall.removal.is_over() {
            recall.phase = Phase::Over;
        }
        let is_over = recall.phase == Phase::Over && recall.said.is_empty();
        if !is_over || !recall.is_quiet() {
            self.recall = Some(recall);
        } else if recall.is_failing {
            recall.together.end_failing();
        }
    }

    /// Others are told that a journal has failed, or is well again.
    fn look_for_failure(&mut self, recall: &mut Recall) {
        let journal = self.ledger.journal();
        let is_failing = journal.is_some_and(|journal| journal.state() != State::Healthy);
        match (is_failing, recall.is_failing) {
            (true, false) => recall.together.begin_failing(),
            (false, true) => recall.together.end_failing(),
            (true, true) | (false, false) => {}
        }
        recall.is_failing = is_failing;
    }

    /// Once all is back, files are written although earlier epochs are not at their end where a journal has
    /// failed, or the cache is full: the sync that is waited for may never return.
    fn release_early(&self, recall: &Recall) {
        if recall.phase != Phase::Reading && (recall.is_failing || self.ledger.is_at_bound()) {
            recall.together.release();
        }
    }

    fn recall_points(&mut self, recall: &mut Recall) {
        let has_weighed = recall.replay.has_weighed();
        let is_given = recall.own == Own::Given;
        let is_next = |it: &Adoption| !it.is_later || is_given;
        let progress = if !has_weighed && !recall.adoptions.is_empty() {
            // Its points wait until it is known what of the others is taken over already.
            let progress = recall.replay.work(RECALLED_PER_TURN_MAX, &mut |_| 0);
            // Whatever it has come to: the next turn goes on with what is left.
            if recall.replay.has_weighed() {
                recall.weigh_adopted();
                Progress::More
            } else {
                progress
            }
        } else if recall.adoptions.front().is_some_and(is_next)
            && let Some(adoption) = recall.adoptions.front_mut()
        {
            let progress = self.take_points(&mut adoption.replay, &mut recall.series);
            if progress == Progress::Done {
                self.end_adoption(recall)
            } else {
                progress
            }
        } else if recall.own != Own::Given {
            if recall.own == Own::Read && has_weighed && recall.adoptions.is_empty() {
                recall.own = Own::Weighed;
                // What is written already may come back too, where a sync of the data fails.
                let latest = recall.latest.max(recall.replay.latest());
                self.ledger.begin_recall(latest);
            }
            let progress = self.take_points(&mut recall.replay, &mut recall.series);
            if progress == Progress::Done {
                recall.own = Own::Given;
                self.let_go(recall);
                let report = recall.replay.report().clone();
                recall.say_all(report);
                Progress::More
            } else {
                progress
            }
        } else {
            Progress::Done
        };
        match progress {
            Progress::More => (recall.is_busy, recall.lacks_reads) = (true, false),
            Progress::Waiting => {}
            // The writer makes room in the cache; the journal gets on by itself.
            Progress::Full => {
                if self.ledger.is_at_bound() {
                    recall.together.release();
                }
            }
            Progress::Done => self.end_recall(recall),
            Progress::Refused(newer) => {
                recall.said.push_back(Recalled::Refused(newer));
                recall.phase = Phase::Over;
            }
        }
    }

    /// Puts a bounded piece of what a replay gives into the cache, as far as the journal's buffers have
    /// room for it.
    fn take_points(&mut self, replay: &mut Replay, series: &mut Vec<Option<SeriesId>>) -> Progress {
        for _ in 0..RECALLED_PER_TURN_MAX / RECALLED_TOGETHER_MAX {
            // Its disk's answer is an event, and brings the next turn.
            if self.is_journal_overrun() {
                return Progress::Full;
            }
            let progress = self.take_together(replay, series);
            if progress != Progress::More {
                return progress;
            }
        }
        Progress::More
    }

    /// The same of so few points that the journal has room for them whatever their names are.
    fn take_together(
        &mut self,
        replay: &mut Replay,
        series: &mut Vec<Option<SeriesId>>,
    ) -> Progress {
        let ledger = &mut self.ledger;
        let now_ms = u64::from(self.now.unix_seconds) * 1000;
        // Names are lent by the replay while it works: they are looked up afterwards.
        let mut taken: Vec<(NameIndex, Point, u32)> = Vec::new();
        let mut sink = |owed: &[Owed]| {
            let granted = owed.iter().take_while(|_| ledger.reserve_recalled());
            let granted = granted.count();
            let known = |owed: &Owed| series.get(owed.name.0 as usize).copied().flatten();
            // Records first: they say where the rest is.
            for id in owed[..granted].iter().filter_map(known) {
                ledger.fetch_record(id);
            }
            for id in owed[..granted].iter().filter_map(known) {
                ledger.fetch_points(id);
            }
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
        let progress = replay.work(RECALLED_TOGETHER_MAX, &mut sink);
        for (name, point, age_s) in taken {
            let index = name.0 as usize;
            if series.len() <= index {
                series.resize(index + 1, None);
            }
            if let Some(id) = series[index] {
                self.ledger.recall_known(id, point, age_s);
                continue;
            }
            let id = self.ledger.recall(replay.name(name), point, age_s);
            if self.ledger.is_known(id) && self.ledger.link(id) {
                series[index] = Some(id);
            }
        }
        progress
    }

    /// All of another directory's journal is cached; it is let go of once no read is under way.
    fn end_adoption(&mut self, recall: &mut Recall) -> Progress {
        self.let_go(recall);
        let is_quiet = |it: &Adoption| it.replay.is_quiet();
        if !recall.adoptions.front().is_some_and(is_quiet) {
            return Progress::Waiting;
        }
        if let Some(adoption) = recall.adoptions.pop_front() {
            recall.latest = recall.latest.max(adoption.replay.latest());
            recall.say_all(adoption.replay.report().clone());
        }
        Progress::More
    }

    /// A replay has given everything: its numbers of series mean nothing any more.
    fn let_go(&mut self, recall: &mut Recall) {
        for id in recall.series.drain(..).flatten() {
            self.ledger.unlink(id);
        }
    }

    fn end_recall(&mut self, recall: &mut Recall) {
        let Some(journal) = self.ledger.journal_mut() else {
            unreachable!("without a journal nothing comes back")
        };
        // What came back while the journal had failed, and was written, is in its file only.
        if journal.failures() > 0 {
            recall.ticket = Some(recall.data_sync.ticket());
        }
        // No file is written before: the journal's times are not waited for.
        journal.hurry();
        recall.phase = Phase::Settling(journal.serial());
    }

    fn settle_recall(&mut self, recall: &mut Recall, serial: u64) {
        let Some(journal) = self.ledger.journal() else {
            unreachable!("without a journal nothing comes back")
        };
        if journal.state() != State::Healthy {
            recall.phase = Phase::Failing;
        } else if journal.safe_serial() >= serial && recall.is_data_safe() {
            // Looked at behind the success, which may be of a sync that came after the failure.
            if recall.is_to_begin_in_doubt() {
                // The answer to a close, say, would be taken for one to the replay that begins.
                if recall.is_quiet() {
                    recall.begin_in_doubt(self.index);
                }
                return;
            }
            let mut unread = mem::take(&mut recall.unread);
            if breaks::is(Break::Unread) {
                unread.clear();
            }
            recall.together.arrive(self.index, unread);
            recall.phase = Phase::Waiting;
        }
    }

    /// The journal is well again, and knows what the cache holds: what was written meanwhile is in
    /// files, and on the disk after one more sync of the data.
    fn recover_recall(&mut self, recall: &mut Recall) {
        let journal = self.ledger.journal_mut();
        let Some(journal) = journal.filter(|journal| journal.state() == State::Healthy) else {
            return;
        };
        recall.ticket = Some(recall.data_sync.ticket());
        journal.hurry();
        recall.phase = Phase::Settling(journal.serial());
    }

    fn wait_for_others(&mut self, recall: &mut Recall) {
        let is_first = self.index == ShardIndex(0);
        let is_to_be_said = if is_first {
            recall.together.are_all_there()
        } else {
            recall.together.is_sealed()
        };
        if is_to_be_said && let Some(journal) = self.ledger.journal_mut() {
            let epoch = journal.epoch();
            journal.seal_epochs_done(epoch);
            recall.phase = if is_first {
                Phase::Sealing
            } else {
                Phase::Over
            };
        }
    }

    /// Do points that are to come back keep files from being written? Not those of which a drain does not
    /// wait for the end any more.
    pub(super) fn is_held_by_recall(&self) -> bool {
        let together = self.recall.as_ref().map(|recall| &recall.together);
        let is_given_up = |it: &Together| it.is_given_up() && self.writer.is_draining();
        together.is_some_and(|it| !it.is_released() && !is_given_up(it))
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
    /// journal has failed, nor once a shard has ended before.
    pub(super) fn is_drained_of_recall(&self) -> bool {
        let Some(recall) = &self.recall else {
            return true;
        };
        let together = &recall.together;
        if recall.phase == Phase::Reading {
            // Only what finds no room is left unread, and what is not to be read in a rest.
            let is_unread = self.stands_still() || self.is_written_out();
            return together.is_given_up() && is_unread;
        }
        together.is_given_up() || together.is_failing()
    }

    /// Have points that earlier runs owe not all come back? Nor have those of a file that could not be read
    /// in whole, before it is set aside.
    pub(super) fn has_unread(&self) -> bool {
        let Some(recall) = &self.recall else {
            return false;
        };
        let has_left = || !recall.unread.is_empty() || !recall.together.unread().is_empty();
        recall.phase == Phase::Reading || (!recall.together.is_sealed() && has_left())
    }

    /// Earlier epochs are the next start's to end, unless they have ended already: no shard waits for it.
    pub(super) fn give_up_recall(&self) {
        if let Some(recall) = self.recall.as_ref().filter(|it| !it.is_ending()) {
            recall.together.give_up();
        }
    }

    /// Does nothing end earlier epochs, for they cannot be read just now, or syncs of the data fail or cannot
    /// be begun?
    pub(super) fn recalls_in_vain(&self) -> bool {
        self.recall
            .as_ref()
            .is_some_and(|recall| match recall.phase {
                Phase::Reading => recall.lacks_reads,
                Phase::Settling(_) => !recall.is_data_safe() && recall.data_sync.is_in_trouble(),
                Phase::Failing
                | Phase::Waiting
                | Phase::Sealing
                | Phase::Removing
                | Phase::Over => false,
            })
    }

    /// Have earlier epochs ended, while files that are to be set aside may have their old names yet?
    pub(super) fn is_setting_aside(&self) -> bool {
        let Some(recall) = &self.recall else {
            return false;
        };
        match recall.phase {
            // That is seen in the next turn.
            Phase::Sealing => self
                .ledger
                .journal()
                .is_some_and(Journal::has_sealed_epochs),
            Phase::Removing => recall.removal.is_setting_aside(),
            Phase::Reading | Phase::Settling(_) | Phase::Failing | Phase::Waiting | Phase::Over => {
                false
            }
        }
    }

    /// Is there something to do at once, without an event?
    pub fn has_work(&self) -> bool {
        let is_resting = self.keep.is_resting();
        let has_more = |it: &Recall| it.is_busy && (!is_resting || it.is_ending());
        self.has_to_stop() || self.recall.as_deref().is_some_and(has_more)
    }

    /// What came of a journal that was read, each once.
    pub fn recalled(&mut self) -> Option<Recalled> {
        self.recall.as_mut()?.said.pop_front()
    }

    /// The recall's next operation.
    pub(super) fn next_of_recall(&mut self) -> Option<(FileToken, FileOperation)> {
        let recall = self.recall.as_mut()?;
        let replays = iter::once((0, &mut recall.replay)).chain(
            recall
                .adoptions
                .front_mut()
                .map(|it| (it.number, &mut it.replay)),
        );
        for (number, replay) in replays {
            if let Some((token, operation)) = replay.next_operation() {
                let token = Asker::Replay(token.0 * REPLAYS + number).token();
                return Some((token, operation));
            }
        }
        if recall.phase != Phase::Removing {
            return None;
        }
        recall.removal.next_operation(self.keep.is_resting())
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
        let token = ReplayToken(number / REPLAYS);
        match number % REPLAYS {
            0 => recall.replay.complete(token, result),
            of => {
                let Some(adoption) = recall.adoptions.iter_mut().find(|it| it.number == of) else {
                    unreachable!("read {number} of a journal that is let go of")
                };
                adoption.replay.complete(token, result);
            }
        }
    }

    /// Takes the outcome of a removal, or of another name.
    pub(super) fn complete_of_removal(&mut self, result: &Result<FileOutcome, FileError>) {
        let Some(recall) = self.recall.as_mut() else {
            unreachable!("a removal after the last")
        };
        recall.removal.complete(result);
    }
}
