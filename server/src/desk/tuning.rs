//! The rate of updates, tuned by what the disk does (docs/decisions/0018): looks at the disk's counters
//! four times a second, asks the engine's tuner, and sets the budget that all cores share.
//! Where carbon.conf has a number the disk is watched all the same, and the rate left alone. A change
//! of the reason is logged, once a minute at most and with what was measured.

use std::time::{Duration, Instant};

use benzene_engine::clock;
use benzene_engine::device::{Activity, Profile, Watch, dirty_share};
use benzene_engine::limiter::{Bounds, Budget, Reason, Room, Sample, Tuner, Verdict};
use benzene_engine::limits::TUNER_LOOK_EVERY;
use benzene_engine::writer::Budgets;
use tokio::time::{MissedTickBehavior, interval};

use super::Desk;
use crate::config::Rate;

/// Between two lines of the log.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// What the disks and the rate stand at, for our own metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tuned {
    /// Why the rate is what it is.
    pub(super) reason: u64,
    /// Updates a second; None: no limit.
    pub(super) rate: Option<f64>,
    /// What one read in a hundred waits.
    pub(super) read_wait: Duration,
    /// What the disks did since the start.
    pub(super) done: Activity,
    /// Hundredths of what memory may hold unwritten.
    pub(super) dirty_percent: u64,
}

/// Watches and tunes.
#[derive(Debug)]
pub(super) struct Tuning {
    /// None: no disk can be watched.
    watch: Option<Watch>,
    bounds: Bounds,
    /// None: carbon.conf sets the rate, or nothing can be watched.
    tuner: Option<Tuner>,
    looked_at: Instant,
    granted: u64,
    made: u64,
    reason: Reason,
    said: Option<(Instant, Reason)>,
    tuned: Tuned,
}

impl Tuning {
    /// Of these disks, treated so.
    pub(super) fn new(watch: Option<Watch>, profile: &Profile, rate: Rate) -> Tuning {
        let mut tuning = Tuning {
            watch,
            bounds: Bounds {
                read_wait: Duration::from_millis(profile.read_wait_ms.into()),
                first: profile.updates_first,
                least: profile.updates_least,
            },
            tuner: None,
            looked_at: clock::now().instant,
            granted: 0,
            made: 0,
            reason: Reason::Set,
            said: None,
            tuned: Tuned::default(),
        };
        tuning.set(rate);
        tuning
    }

    /// From now on this is the rate; `auto` begins anew, where it was not so already.
    fn set(&mut self, rate: Rate) {
        let is_auto = rate == Rate::Auto;
        let is_tuned = is_auto && self.watch.is_some();
        self.reason = match (is_auto, is_tuned) {
            (_, true) => Reason::Enough,
            (true, false) => Reason::Blind,
            (false, false) => Reason::Set,
        };
        if !is_tuned {
            self.tuner = None;
        } else if self.tuner.is_none() {
            self.tuner = Some(Tuner::new(self.bounds));
        }
    }

    /// The rate to begin with, or that of carbon.conf.
    pub(super) fn begin(&self, rate: Rate) -> Option<f64> {
        match self.tuner {
            Some(_) => Some(self.bounds.first),
            None => rate.limit(),
        }
    }

    /// Takes over what a reload has found.
    pub(super) fn reload(&mut self, rate: Rate, read_wait_ms: u32, budget: &Budget) {
        self.bounds.read_wait = Duration::from_millis(read_wait_ms.into());
        let was_tuned = self.tuner.is_some();
        self.set(rate);
        match &mut self.tuner {
            Some(tuner) if was_tuned => tuner.set_read_wait(self.bounds.read_wait),
            Some(_) | None => budget.set_rate(self.begin(rate), clock::now().instant),
        }
    }

    /// What it stands at.
    pub(super) fn tuned(&self) -> Tuned {
        self.tuned
    }

    /// Whether the rate is tuned.
    pub(super) fn is_tuned(&self) -> bool {
        self.tuner.is_some()
    }

    /// One look.
    fn look(&mut self, name: Option<&str>, budgets: &Budgets, room: &Room) {
        let now = clock::now().instant;
        let span = now.saturating_duration_since(self.looked_at);
        self.looked_at = now;
        let disks = self.watch.as_mut().map(Watch::look).unwrap_or_default();
        let budget = &budgets.updates;
        let used = since(&mut self.granted, budget.granted());
        let made = since(&mut self.made, budgets.creates.granted());
        let dirty = dirty_share();
        for disk in &disks {
            self.tuned.done += *disk;
        }
        self.tuned.dirty_percent = percent(dirty);
        if let Some(tuner) = &mut self.tuner {
            let verdict = tuner.step(&Sample {
                span,
                disks: &disks,
                used,
                made,
                dirty,
                is_cache_full: room.is_pressed(),
            });
            self.tuned.read_wait = verdict.read_wait.unwrap_or_default();
            self.reason = verdict.reason;
            budget.set_rate(verdict.rate, now);
            self.say(name, &verdict, now);
        }
        self.tuned.reason = self.reason.number();
        self.tuned.rate = budget.rate();
    }

    /// Says why the rate is what it is, where that has changed.
    fn say(&mut self, name: Option<&str>, verdict: &Verdict, now: Instant) {
        let is_said = self.said.is_some_and(|(at, reason)| {
            reason == verdict.reason || now.saturating_duration_since(at) < SAY_EVERY
        });
        if is_said {
            return;
        }
        self.said = Some((now, verdict.reason));
        tracing::info!(
            "{}updates are tuned: {}, {}; one read in a hundred waits {} of {} ms",
            name.map_or_else(String::new, |name| format!("{name}: ")),
            verdict.rate.map_or("any number".to_owned(), |rate| format!(
                "{rate:.0} a second"
            )),
            verdict.reason.said(),
            verdict.read_wait.unwrap_or_default().as_millis(),
            self.bounds.read_wait.as_millis()
        );
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is not negative, and far below 2^63 hundredths"
)]
fn percent(share: f64) -> u64 {
    (share * 100.0) as u64
}

/// How much a count has grown since it was looked at last.
fn since(last: &mut u64, count: u64) -> u64 {
    count.saturating_sub(std::mem::replace(last, count))
}

impl Desk {
    /// Watches the disks and tunes their rates.
    pub(super) async fn tune(&self) {
        let mut ticks = interval(TUNER_LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            for volume in &self.volumes {
                let name = (self.volumes.len() > 1).then(|| volume.directory.label());
                let mut tuning = volume.tuning.borrow_mut();
                tuning.look(name.as_deref(), &volume.budgets, &self.room);
            }
        }
    }
}
