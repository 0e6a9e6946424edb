//! A shard by itself: no other shards, limits or journal, for tools that measure a disk with the
//! daemon's own writer.

use std::path::Path;
use std::sync::Arc;

use super::ShardConfig;
use crate::cache::{CacheConfig, Strategy};
use crate::clock::Now;
use crate::limiter::{Budget, Room};
use crate::limits::BUDGET_BURST_S;
use crate::metric::ShardIndex;
use crate::ring::{Allocation, host};
use crate::schemas::{Aggregations, Schemas};
use crate::writer::{Budgets, Further, WriterConfig};

/// Bytes of written points that stay answerable, as a daemon has them.
const RECENT_BYTES_MAX: u64 = 64 << 20;
/// More than any tool caches.
const BYTES_MAX: u64 = 1 << 40;

impl ShardConfig {
    /// A shard whose files lie below `data_dir`, that writes whatever it has at once (order naive).
    pub fn alone(
        data_dir: &Path,
        schemas: Arc<Schemas>,
        aggregations: Arc<Aggregations>,
        now: Now,
    ) -> ShardConfig {
        let unlimited = || Arc::new(Budget::new(None, BUDGET_BURST_S, now.instant));
        ShardConfig {
            index: ShardIndex(0),
            shards: 1,
            seed: 1,
            cache: CacheConfig {
                recent_bytes_max: RECENT_BYTES_MAX,
                waiting_bytes_max: BYTES_MAX,
                ..CacheConfig::new(Strategy::Naive, now.instant)
            },
            writer: WriterConfig {
                allocation: Allocation::Fallocate,
                sync_creates: !host::keeps_order(data_dir).unwrap_or(false),
                schemas,
                aggregations,
                ..WriterConfig::new(data_dir)
            },
            budgets: Budgets {
                updates: unlimited(),
                creates: unlimited(),
            },
            further: Further::default(),
            room: Arc::new(Room::new(None, BYTES_MAX)),
            journal: None,
            recall: None,
        }
    }
}
