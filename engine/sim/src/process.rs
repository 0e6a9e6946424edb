//! A running daemon: its shards, their inboxes, the senders' connections, and what is on its way to
//! the disk. It is dropped where it ends, whatever it was about.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use benzene_engine::cache::CacheConfig;
use benzene_engine::clock::Now;
use benzene_engine::journal::{DataSync, JournalConfig, State};
use benzene_engine::limiter::{Budget, Room};
use benzene_engine::limits::{AGES_BEFORE_START, BUDGET_BURST_S, RECENT_SHARE, WAITING_SHARE};
use benzene_engine::metric::ShardIndex;
use benzene_engine::point::Point;
use benzene_engine::ring::{Access, FileOperation, FileToken};
use benzene_engine::schemas::{Aggregations, Schemas};
use benzene_engine::shard::{Message, RecallConfig, Shard, ShardConfig, Together, Trail};
use benzene_engine::writer::{Budgets, Further, WriterConfig};

use crate::content::{AGGREGATIONS, DATA_DIR, SCHEMAS, SCHEMAS_FAR};
use crate::disk::SyncMark;
use crate::instances::Journals;
use crate::query::Query;
use crate::settings::Settings;
use crate::trouble::Failure;

/// Messages that an inbox takes, small so that it fills.
const INBOX_MESSAGES: usize = 4;
/// Points that a sender has in hand while it is held up; what comes beyond is never sent.
const PENDING_MAX: usize = 500;

/// All that cannot be read is set aside.
const ASIDE_BYTES_MAX: u64 = 1 << 40;

/// An operation under way.
#[derive(Debug)]
pub(crate) struct Flying {
    pub(crate) due_us: u64,
    pub(crate) shard: usize,
    pub(crate) token: FileToken,
    pub(crate) operation: FileOperation,
    pub(crate) mark: SyncMark,
}

/// A sync of the data that is under way.
#[derive(Debug)]
pub(crate) struct Syncing {
    pub(crate) number: u64,
    pub(crate) due_us: u64,
    pub(crate) mark: SyncMark,
    pub(crate) has_failed: bool,
}

/// When and as what a daemon starts.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) shards: u16,
    pub(crate) seed: u64,
    pub(crate) now: Now,
    pub(crate) journals: Journals,
    pub(crate) mount: u32,
    /// Senders wait until what comes back is there.
    pub(crate) is_past_bound: bool,
}

/// What became of the files that earlier runs have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// All that was read could be.
    Read,
    /// Some could not.
    Unread,
    /// Some could not, and it was said what is set aside for that.
    Kept,
}

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) shards: Vec<Shard>,
    pub(crate) inboxes: Vec<VecDeque<Message>>,
    pub(crate) trails: Vec<Trail>,
    /// What senders have in hand, by the shard that reads them.
    pub(crate) pending: Vec<VecDeque<(usize, Point)>>,
    pub(crate) flying: Vec<Flying>,
    pub(crate) data_sync: Arc<DataSync>,
    pub(crate) syncing: Option<Syncing>,
    /// Number of the last sync of the data that began, and of the last that is done.
    pub(crate) syncs_begun: u64,
    pub(crate) syncs_done: u64,
    pub(crate) budgets: Budgets,
    pub(crate) queries: BTreeMap<u64, Query>,
    /// Points that were dropped for the journal's sake, by shard.
    pub(crate) journal_dropped: Vec<u64>,
    /// What a failed journal does to each shard.
    pub(crate) failures: Vec<Failure>,
    /// Points were dropped by a bound that allows it.
    pub(crate) has_dropped: bool,
    /// Bytes of the files that earlier runs have left: what they owe is noted past the journal's bound,
    /// where these had more shards, say.
    pub(crate) left_bytes: u64,
    /// Points of earlier runs came back.
    pub(crate) has_recalled: bool,
    /// How far what they have left could be read.
    pub(crate) left: Left,
    /// Those bytes again where a sync of the data has failed while points came back: then they are noted
    /// once more.
    pub(crate) again_bytes: u64,
    /// When a sync of the data has failed last, in milliseconds.
    pub(crate) sync_failed_ms: Option<u64>,
}

impl Process {
    /// A daemon that has just started.
    pub(crate) fn new(settings: &Settings, start: &Start) -> Process {
        let count = usize::from(start.shards);
        let budget = |rate| Arc::new(Budget::new(rate, BUDGET_BURST_S, start.now.instant));
        let common = Shared {
            budgets: Budgets {
                updates: budget(settings.updates_per_s),
                creates: budget(settings.creates_per_s),
            },
            room: Arc::new(Room::new(
                settings.cache_points_max,
                settings.cache_bytes_max,
            )),
            schemas: schemas(settings.is_far),
            aggregations: aggregations(),
            data_sync: Arc::new(DataSync::default()),
            together: Arc::new(Together::new(start.shards)),
        };
        let shard = |index| Shard::new(common.config(settings, start, index), start.now);
        Process {
            shards: (0..start.shards).map(shard).collect(),
            inboxes: (0..count).map(|_| VecDeque::new()).collect(),
            trails: vec![Trail::default(); count],
            pending: (0..count).map(|_| VecDeque::new()).collect(),
            flying: Vec::new(),
            data_sync: Arc::clone(&common.data_sync),
            syncing: None,
            syncs_begun: 0,
            syncs_done: 0,
            budgets: common.budgets,
            queries: BTreeMap::new(),
            journal_dropped: vec![0; count],
            failures: vec![Failure::default(); count],
            has_dropped: false,
            left_bytes: start.journals.bytes(),
            has_recalled: false,
            left: Left::Read,
            again_bytes: 0,
            sync_failed_ms: None,
        }
    }

    /// A sync of the data has failed.
    pub(crate) fn sync_failed(&mut self, now_ms: u64) {
        self.data_sync.failed();
        self.sync_failed_ms = Some(now_ms);
        if self.is_recalling() {
            self.again_bytes = self.left_bytes;
        }
    }

    /// Do points of earlier runs come back?
    pub(crate) fn is_recalling(&self) -> bool {
        self.shards.iter().any(Shard::is_recalling)
    }

    /// Is what is accepted noted everywhere, and what failures have left of the journal over?
    pub(crate) fn is_healthy(&self) -> bool {
        let reports = self.shards.iter().map(Shard::report);
        reports
            .filter_map(|report| report.journal)
            .all(|journal| journal.state == State::Healthy)
    }

    /// Is nothing on its way between shards?
    pub(crate) fn is_quiet(&self) -> bool {
        self.inboxes.iter().all(VecDeque::is_empty) && !self.shards.iter().any(Shard::has_messages)
    }

    /// Senders bring points; each metric has one connection, so that its points keep their order.
    pub(crate) fn send(&mut self, points: &[(usize, Point)]) {
        let fronts = self.shards.len();
        for (metric, point) in points {
            let pending = &mut self.pending[metric % fronts];
            if pending.len() < PENDING_MAX {
                pending.push_back((*metric, *point));
            }
        }
    }

    /// Messages of a shard go to their inboxes, as far as these have room.
    pub(crate) fn pass_messages(&mut self, from: usize) {
        for to in 0..self.shards.len() {
            let Ok(target) = u16::try_from(to).map(ShardIndex) else {
                unreachable!("a few shards at most")
            };
            while let Some(message) = self.shards[from].next_message(target) {
                if self.inboxes[to].len() == INBOX_MESSAGES {
                    self.shards[from].return_message(target, message);
                    break;
                }
                self.inboxes[to].push_back(message);
            }
        }
    }
}

/// What the shards of a process share.
#[derive(Debug)]
struct Shared {
    budgets: Budgets,
    room: Arc<Room>,
    schemas: Arc<Schemas>,
    aggregations: Arc<Aggregations>,
    data_sync: Arc<DataSync>,
    together: Arc<Together>,
}

impl Shared {
    fn config(&self, settings: &Settings, start: &Start, index: u16) -> ShardConfig {
        let shards = u64::from(start.shards);
        let has_left_something = start.journals.files() > 0;
        ShardConfig {
            index: ShardIndex(index),
            shards: start.shards,
            seed: start.seed,
            cache: cache(settings, start, shards),
            writer: WriterConfig {
                schemas: Arc::clone(&self.schemas),
                aggregations: Arc::clone(&self.aggregations),
                access: Access {
                    lazy: !settings.in_disk_order,
                    ..Access::default()
                },
                ..WriterConfig::new(DATA_DIR)
            },
            budgets: self.budgets.clone(),
            further: Further::default(),
            room: Arc::clone(&self.room),
            journal: Some(JournalConfig {
                directory: start.journals.directory.clone(),
                shard: index,
                epoch: start.journals.survey.epoch_next(),
                segment_bytes: settings.segment_bytes,
                segments_max: settings.segments_max,
                commit: Duration::from_millis(10),
                sync: settings.sync,
                on_error: settings.on_error,
                data_sync: Arc::clone(&self.data_sync),
                mount: start.mount,
            }),
            recall: has_left_something.then(|| RecallConfig {
                survey: start.journals.survey.clone(),
                adopted: start.journals.adopted.clone(),
                together: Arc::clone(&self.together),
                data_sync: Arc::clone(&self.data_sync),
                mount: start.mount,
                is_past_bound: start.is_past_bound,
                aside_bytes_max: ASIDE_BYTES_MAX,
            }),
        }
    }
}

fn cache(settings: &Settings, start: &Start, shards: u64) -> CacheConfig {
    let waiting = |total: u64| (total / WAITING_SHARE / shards).max(1);
    let (bytes, points) = (settings.cache_bytes_max, settings.cache_points_max);
    let is_bounded = settings.is_waiting_bounded;
    CacheConfig {
        seed: start.seed,
        strategy: settings.strategy,
        timestamp_lag_s: 0,
        max_point_age_s: settings.max_point_age_s,
        in_disk_order: settings.in_disk_order,
        began: start
            .now
            .instant
            .checked_sub(AGES_BEFORE_START)
            .unwrap_or(start.now.instant),
        recent_bytes_max: bytes / RECENT_SHARE / shards,
        waiting_bytes_max: if is_bounded { waiting(bytes) } else { 1 << 40 },
        waiting_points_max: points.filter(|_| is_bounded).map_or(u64::MAX, waiting),
    }
}

fn schemas(is_far: bool) -> Arc<Schemas> {
    let Ok((schemas, _)) = Schemas::parse(if is_far { SCHEMAS_FAR } else { SCHEMAS }) else {
        unreachable!("the schemas are sound")
    };
    Arc::new(schemas)
}

fn aggregations() -> Arc<Aggregations> {
    let Ok((aggregations, _)) = Aggregations::parse(AGGREGATIONS) else {
        unreachable!("the rules are sound")
    };
    Arc::new(aggregations)
}
