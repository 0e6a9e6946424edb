//! What a seed chooses once for its world: how the daemon is set up, and what may go wrong.
//! Most worlds are set up as a site is; each setting that is scarce or strange in one comes alone in
//! some and together with others in others.

use std::time::Duration;

use benzene_engine::cache::Strategy;
use benzene_engine::journal::{OnError, Sync};

use crate::prng::Prng;

/// How the daemon is set up.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each comes alone or with any other"
)]
pub(crate) struct Settings {
    /// CACHE_WRITE_STRATEGY.
    pub(crate) strategy: Strategy,
    /// MAX_POINT_AGE.
    pub(crate) max_point_age_s: u32,
    /// DISK_ORDER.
    pub(crate) in_disk_order: bool,
    /// MAX_UPDATES_PER_SECOND; none is inf.
    pub(crate) updates_per_s: Option<f64>,
    /// MAX_CREATES_PER_MINUTE, a second; none is inf.
    pub(crate) creates_per_s: Option<f64>,
    /// JOURNAL_SYNC.
    pub(crate) sync: Sync,
    /// JOURNAL_ON_ERROR.
    pub(crate) on_error: OnError,
    /// MAX_CACHE_SIZE; none is inf.
    pub(crate) cache_points_max: Option<u64>,
    /// MAX_CACHE_BYTES.
    pub(crate) cache_bytes_max: u64,
    /// What waits for its create or for a broken file has a bound of its own, as in the daemon;
    /// without it nothing is ever dropped.
    pub(crate) is_waiting_bounded: bool,
    /// Length of a segment.
    pub(crate) segment_bytes: u32,
    /// Files of a shard's journal.
    pub(crate) segments_max: u32,
    /// First archives reach ten minutes back and the last ones half a day, points come as old as that and
    /// older, and days may pass before a start.
    pub(crate) is_far: bool,
    /// What goes wrong at times.
    pub(crate) troubles: Troubles,
    /// Many names come once and never again.
    pub(crate) has_generations: bool,
    /// Now and then the journal of another instance is the own one, and the others are taken over.
    pub(crate) has_instances: bool,
}

/// What goes wrong at times.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each comes alone or with any other"
)]
pub(crate) struct Troubles {
    /// Operations on data files fail.
    pub(crate) has_data_faults: bool,
    /// The data's disk is full for a while.
    pub(crate) has_full_disk: bool,
    /// The journal's disk fails.
    pub(crate) has_journal_faults: bool,
    /// Somebody breaks files.
    pub(crate) has_broken_files: bool,
    /// Some of the journal cannot be read at a start.
    pub(crate) has_unreadable: bool,
    /// Descriptors are short at times.
    pub(crate) has_few_descriptors: bool,
}

impl Settings {
    /// What this seed chooses.
    pub(crate) fn draw(prng: &mut Prng) -> Settings {
        let number = |from: u64| u32::try_from(from).unwrap_or(u32::MAX);
        let has_generations = prng.once_in(4);
        let is_tight = prng.once_in(3);
        Settings {
            strategy: Strategy::ALL[prng.index(Strategy::ALL.len())],
            max_point_age_s: number(prng.within(2, 120)),
            in_disk_order: prng.once_in(2),
            updates_per_s: match prng.below(4) {
                0 => Some(f64::from(number(prng.within(1, 8)))),
                1 => Some(f64::from(number(prng.within(20, 400)))),
                _ => None,
            },
            creates_per_s: match prng.below(4) {
                0 => Some(f64::from(number(prng.within(2, 120))) / 60.0),
                1 => Some(f64::from(number(prng.within(200, 3_000))) / 60.0),
                _ => None,
            },
            sync: match prng.below(8) {
                0 => Sync::Never,
                1 | 2 => Sync::Always,
                3 => Sync::Every(Duration::from_millis(prng.within(50, 2_500))),
                _ => Sync::Every(Duration::from_secs(1)),
            },
            on_error: if prng.once_in(3) {
                OnError::Stop
            } else {
                OnError::Continue
            },
            cache_points_max: is_tight.then(|| prng.within(100, 3_000)),
            cache_bytes_max: match (has_generations, prng.below(3)) {
                (true, 0 | 1) => prng.within(500, 1_500) << 10,
                _ => 1 << 30,
            },
            is_waiting_bounded: prng.once_in(5),
            segment_bytes: number(prng.within(8, 64) << 10),
            segments_max: match prng.below(3) {
                0 => number(prng.within(4, 8)),
                1 => number(prng.within(8, 30)),
                _ => 200,
            },
            is_far: prng.once_in(3),
            troubles: Troubles {
                has_data_faults: prng.once_in(4),
                has_full_disk: prng.once_in(5),
                has_journal_faults: prng.once_in(5),
                has_broken_files: prng.once_in(5),
                has_unreadable: prng.once_in(4),
                has_few_descriptors: prng.once_in(4),
            },
            has_generations,
            has_instances: prng.once_in(3),
        }
    }
}
