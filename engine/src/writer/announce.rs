//! Which series are to be announced to graphite-web's tag index: each when its file is made, and
//! again with every so many of its updates, for an index forgets, or was away.
//! The updates are counted by series, so that each comes round, and series begin at different
//! counts, so that they do not come round together. Never waits and never drops a new series: where
//! the queue is full, it comes again with its next update. A repeated announcement that finds no
//! room pushes out the oldest one, which is counted.
//! Two bytes a series that was written, counted in MAX_CACHE_BYTES.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use super::Writer;
use crate::cache::{Ledger, SeriesId};
use crate::limits::{ANNOUNCEMENTS_QUEUED_MAX, TAG_UPDATE_INTERVAL_MAX};
use crate::metric::Metric;
use crate::stats::Counter;

/// The queues between all shards and who posts.
#[derive(Debug)]
pub struct Outlet {
    /// Series whose files were made.
    pub news: ArrayQueue<Box<str>>,
    /// Series that were announced before.
    pub repeats: ArrayQueue<Box<str>>,
}

impl Default for Outlet {
    fn default() -> Self {
        Self {
            news: ArrayQueue::new(ANNOUNCEMENTS_QUEUED_MAX),
            repeats: ArrayQueue::new(ANNOUNCEMENTS_QUEUED_MAX),
        }
    }
}

/// What is announced, and where to.
#[derive(Clone, Debug)]
pub struct AnnounceConfig {
    /// Where announcements go.
    pub outlet: Arc<Outlet>,
    /// TAG_UPDATE_INTERVAL: from 1 to `limits::TAG_UPDATE_INTERVAL_MAX`.
    pub every_updates: u16,
    /// Series without tags are announced too (SKIP_TAGS_FOR_NONTAGGED = False).
    pub untagged: bool,
}

/// Nothing is known of the series yet.
const UNSEEN: u16 = 0;
/// It is new and found the queue full.
const OWED: u16 = u16::MAX;
const _: () = assert!(TAG_UPDATE_INTERVAL_MAX < OWED as u64);
/// Spreads numbers of series over all counts: 2^32 through the golden ratio.
const SPREAD: u32 = 0x9e37_79b9;

/// How many updates each series is from its next announcement.
#[derive(Debug)]
pub(super) struct Announcements {
    config: AnnounceConfig,
    /// By number of the series. A number that is another series' by now comes round early or late,
    /// once.
    left: Vec<u16>,
}

impl Announcements {
    pub(super) fn new(config: AnnounceConfig) -> Self {
        assert!(config.every_updates > 0, "announced with every 0th update");
        Self {
            config,
            left: Vec::new(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.left.capacity() * size_of::<u16>()
    }

    /// Whether graphite-web is to hear of a metric, and could read its name.
    fn wants(&self, name: &str) -> bool {
        if memchr::memchr(b';', name.as_bytes()).is_none() {
            return self.config.untagged;
        }
        let Ok(metric) = Metric::from_canonical(name) else {
            unreachable!("the cache holds canonical names, and {name:?}");
        };
        metric.has_sound_tags()
    }

    fn left(&mut self, series: SeriesId) -> &mut u16 {
        let index = series.0 as usize;
        if self.left.len() <= index {
            self.left.resize(index + 1, UNSEEN);
        }
        &mut self.left[index]
    }

    /// The file of a series was made; whether there was room to say so.
    fn made(&mut self, series: SeriesId, name: &str) -> bool {
        let is_queued = self.config.outlet.news.push(name.into()).is_ok();
        let every = self.config.every_updates;
        *self.left(series) = if is_queued { every } else { OWED };
        is_queued
    }

    /// A series was written: whether its turn has come, and whether it is owed as a new one.
    fn is_due(&mut self, series: SeriesId) -> (bool, bool) {
        let every = self.config.every_updates;
        let left = self.left(series);
        match *left {
            OWED => return (true, true),
            UNSEEN => *left = first(series, every),
            _ => {}
        }
        *left -= 1;
        let is_due = *left == UNSEEN;
        if is_due {
            *left = every;
        }
        (is_due, false)
    }

    /// Says a known series once more; whether another one's was pushed out for it.
    fn repeat(&self, name: &str) -> bool {
        let pushed_out = self.config.outlet.repeats.force_push(name.into());
        pushed_out.is_some()
    }
}

/// With which of its updates a series that was there before is announced first: from 1 to `every`.
fn first(series: SeriesId, every: u16) -> u16 {
    let spread = u64::from(series.0.wrapping_mul(SPREAD)) * u64::from(every);
    u16::try_from(spread >> 32).unwrap_or(0) + 1
}

impl Writer {
    /// The file of a series was made just now.
    pub(super) fn announce_made(&mut self, ledger: &mut Ledger, series: SeriesId) {
        let Some(announcements) = &mut self.announcements else {
            return;
        };
        let name = ledger.name(series);
        if announcements.wants(name) {
            if !announcements.made(series, name) {
                ledger.count(Counter::TagsDeferred, 1);
            }
        } else if memchr::memchr(b';', name.as_bytes()).is_some() {
            ledger.count(Counter::TagsUnsound, 1);
        }
    }

    /// A series was written just now.
    pub(super) fn announce_written(&mut self, ledger: &mut Ledger, series: SeriesId) {
        let Some(announcements) = &mut self.announcements else {
            return;
        };
        let name = ledger.name(series);
        if !announcements.wants(name) {
            return;
        }
        match announcements.is_due(series) {
            (true, true) => {
                if !announcements.made(series, name) {
                    ledger.count(Counter::TagsDeferred, 1);
                }
            }
            (true, false) => {
                if announcements.repeat(name) {
                    ledger.count(Counter::TagsDropped, 1);
                }
            }
            (false, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcements(every_updates: u16) -> Announcements {
        Announcements::new(AnnounceConfig {
            outlet: Arc::default(),
            every_updates,
            untagged: false,
        })
    }

    #[test]
    fn a_new_series_comes_round_with_every_so_many_updates() {
        let mut all = announcements(3);
        let series = SeriesId(5);
        assert!(all.made(series, "m;a=1"));
        let due: Vec<bool> = (0..7).map(|_| all.is_due(series).0).collect();
        assert_eq!(due, [false, false, true, false, false, true, false]);
    }

    #[test]
    fn series_that_were_there_before_come_round_once_each_and_not_together() {
        let mut all = announcements(100);
        let mut by_update = vec![0; 100];
        for update in &mut by_update {
            for series in 0..10_000 {
                *update += u32::from(all.is_due(SeriesId(series)).0);
            }
        }
        assert_eq!(by_update.iter().sum::<u32>(), 10_000);
        assert!(by_update.iter().all(|count| *count < 200), "{by_update:?}");
    }

    #[test]
    fn a_new_series_that_finds_no_room_comes_again_with_its_next_update() {
        let mut all = announcements(50);
        for number in 0..ANNOUNCEMENTS_QUEUED_MAX {
            assert!(all.made(SeriesId(0), &format!("m;a={number}")));
        }
        assert!(!all.made(SeriesId(1), "late;a=1"));
        assert_eq!(all.is_due(SeriesId(1)), (true, true));
        assert!(!all.made(SeriesId(1), "late;a=1"));
        all.config.outlet.news.pop().unwrap();
        assert_eq!(all.is_due(SeriesId(1)), (true, true));
        assert!(all.made(SeriesId(1), "late;a=1"));
        assert_eq!(all.is_due(SeriesId(1)), (false, false));
    }

    #[test]
    fn a_repeat_pushes_the_oldest_out() {
        let all = announcements(1);
        for _ in 0..ANNOUNCEMENTS_QUEUED_MAX {
            assert!(!all.repeat("m;a=1"));
        }
        assert!(all.repeat("m;a=2"));
        assert_eq!(all.config.outlet.repeats.len(), ANNOUNCEMENTS_QUEUED_MAX);
    }

    #[test]
    fn tagged_series_are_wanted_where_their_tags_can_be_read() {
        let mut all = announcements(1);
        let wanted = |all: &Announcements| ["a.b;k=v", "a.b;k", "a.b"].map(|name| all.wants(name));
        assert_eq!(wanted(&all), [true, false, false]);
        all.config.untagged = true;
        assert_eq!(wanted(&all), [true, false, true]);
    }
}
