//! How a process ends: killed, without power, or in order, with the points left in the journal; what
//! each of these may take; and the end of a world, when nothing is wrong any more.

use std::collections::VecDeque;
use std::mem;

use benzene_engine::shard::Shard;

use crate::disk::Faults;
use crate::process::{Left, Process};
use crate::trouble::Frail;
use crate::world::{KILL_SLACK_MS, World};

const HOUR_US: u64 = 3_600_000_000;
/// Senders that are held up are heard within so long once nothing is wrong any more: a broken file is
/// set aside after two looks, a failed journal is tried again every ten seconds.
const HELD_UP_US_MAX: u64 = 1_800_000_000;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// kill -9.
    Kill,
    /// The machine loses its power.
    PowerCut,
    /// SIGTERM, the fast way: what is cached stays in the journal.
    Stop,
    /// The journal has failed, and JOURNAL_ON_ERROR = stop: everything is written out.
    Failure,
}

impl World {
    /// The daemon ends somehow, some time passes, and it starts again.
    pub(crate) fn end_and_start(&mut self) {
        let end = match self.prng.below(5) {
            0 | 1 => End::Kill,
            2 | 3 => End::PowerCut,
            _ => End::Stop,
        };
        self.end(end);
        self.rest_and_start();
    }

    /// The daemon ends by itself, as its journal has failed and that is to stop it; somebody sees to the
    /// disk, or not, and starts it again.
    pub(crate) fn end_by_failure(&mut self) {
        self.end(End::Failure);
        self.rest_and_start();
    }

    fn rest_and_start(&mut self) {
        let idle_us = match self.prng.below(3) {
            0 => self.prng.below(50_000),
            1 => self.prng.below(20_000_000),
            _ if self.settings.is_far => self.far_rest_us(),
            _ => self.prng.below(HOUR_US),
        };
        self.now_us += idle_us;
        self.start();
    }

    /// A rest after which no first archive reaches what was accepted before, or none.
    fn far_rest_us(&mut self) -> u64 {
        match self.prng.below(8) {
            0..=2 => self.prng.below(HOUR_US),
            3..=6 => self.prng.below(14 * HOUR_US),
            _ => self.prng.below(20 * 24 * HOUR_US),
        }
    }

    fn end(&mut self, end: End) {
        let name = match end {
            End::Kill => "kills",
            End::PowerCut => "power cuts",
            End::Stop => "stops",
            End::Failure => "stops by the journal",
        };
        self.say(|| name.to_owned());
        *self.ends.entry(name).or_insert(0) += 1;
        let is_written_out = match end {
            End::Kill | End::PowerCut => false,
            End::Stop => self.stop(),
            End::Failure => {
                self.write_out();
                true
            }
        };
        let Some(process) = self.process.take() else {
            unreachable!("a daemon runs")
        };
        self.end_life(&process);
        self.excuse_dropped(&process);
        assert!(
            process.left != Left::Unread || process.is_recalling(),
            "files of the journal that could not be read are gone"
        );
        // The next start removes what has its old name yet; and what was set aside may not be on the disk.
        if end == End::PowerCut || (process.left != Left::Read && process.is_recalling()) {
            self.oracle.forget_unread();
        }
        self.disk.mend();
        // A kill before the journal has noted that a sync of the data failed: nobody knows of it any more.
        let unknown_since_ms = self.now_ms().saturating_sub(KILL_SLACK_MS);
        let failed_ms = process.sync_failed_ms;
        self.has_given_up |= end == End::Kill && failed_ms.is_some_and(|ms| ms >= unknown_since_ms);
        for flying in process.flying {
            self.disk.cut_short(flying.operation, &mut self.prng);
        }
        self.mark_what_may_be_lost(end, is_written_out);
        if end == End::PowerCut {
            self.disk.cut_power(&mut self.prng);
            self.power_cuts += 1;
            self.is_torn = true;
        } else {
            self.disk.kill();
        }
    }

    /// Tells the oracle what this end may take.
    fn mark_what_may_be_lost(&mut self, end: End, is_written_out: bool) {
        let before_ms = |slack_ms: u64| self.now_ms().saturating_sub(slack_ms);
        let frail_ms = self.frail.since_ms.unwrap_or(u64::MAX);
        let power_slack_ms = self.power_slack_ms();
        let synced_until_ms = before_ms(power_slack_ms.unwrap_or(0));
        let safe_until_ms = match end {
            End::Kill => before_ms(KILL_SLACK_MS),
            End::PowerCut => synced_until_ms,
            End::Stop | End::Failure => u64::MAX,
        };
        let (safe_until_ms, settled_until_ms) = if is_written_out {
            // The next start may bring an older value of a second back, and what only files have is on
            // their disk once that has synced it.
            self.oracle.forget_order_since(frail_ms);
            self.is_unsynced |= self.frail.since_ms.is_some();
            (u64::MAX, frail_ms)
        } else {
            let safe_until_ms = safe_until_ms.min(frail_ms);
            let settled_until_ms = match end {
                End::Kill => synced_until_ms.min(safe_until_ms),
                End::PowerCut | End::Stop | End::Failure => u64::MAX,
            };
            (safe_until_ms, settled_until_ms)
        };
        if end == End::PowerCut {
            self.oracle.unsettled();
        }
        // The next start believes nothing that was written, and of what the journal had lost before the
        // sync of the data failed it knows the older values at most.
        if self.has_given_up {
            self.oracle.forget_order();
        }
        self.oracle.crash(safe_until_ms, settled_until_ms);
        if end == End::PowerCut && (power_slack_ms.is_none() || mem::take(&mut self.has_given_up)) {
            self.oracle.promise_nothing();
        }
        self.frail = Frail::default();
    }

    /// The daemon ends in order: what is cached stays in the journal, or is written out where that
    /// has failed. Was it written out?
    fn stop(&mut self) -> bool {
        let is_healthy = self.process.as_ref().is_some_and(Process::is_healthy);
        if !is_healthy || self.disk.faults.journal_once_in > 0 {
            self.disk.faults.journal_once_in = 0;
            self.write_out();
            return true;
        }
        self.settle(
            "rest",
            Shard::take_all_past_bound,
            Shard::rest,
            Shard::is_at_rest,
        );
        false
    }

    /// The daemon writes everything out and ends; the data's disk is well meanwhile.
    fn write_out(&mut self) {
        self.disk.faults = Faults {
            journal_once_in: self.disk.faults.journal_once_in,
            ..Faults::default()
        };
        self.lift_limits();
        self.settle("drain", Shard::take_all, Shard::drain, Shard::is_drained);
        // After a drain too the journal has last words.
        self.settle(
            "rest",
            Shard::take_all_past_bound,
            Shard::rest,
            Shard::is_at_rest,
        );
    }

    /// Limits hold no more, as when a daemon writes everything out.
    fn lift_limits(&self) {
        let now = self.now().instant;
        for budgets in self.process.iter().map(|process| &process.budgets) {
            budgets.updates.set_rate(None, now);
            budgets.creates.set_rate(None, now);
        }
    }

    /// Tells all shards to take what they must yet and to come to an end of some sort, and turns until
    /// they have.
    fn settle(
        &mut self,
        what: &str,
        take: impl Fn(&mut Shard),
        tell: impl Fn(&mut Shard),
        is_there: impl Fn(&Shard) -> bool,
    ) {
        const TURNS_MAX: u32 = 200_000;
        if let Some(process) = &mut self.process {
            process.shards.iter_mut().for_each(&take);
        }
        // What is on its way between shards comes first, as in the daemon.
        for round in 0..TURNS_MAX {
            let Some(process) = &mut self.process else {
                unreachable!("a daemon runs")
            };
            process.pending.iter_mut().for_each(VecDeque::clear);
            if process.is_quiet() && round > 0 {
                process.shards.iter_mut().for_each(&tell);
                break;
            }
            self.now_us += 100;
            self.turn(&[]);
        }
        for _ in 0..TURNS_MAX {
            self.now_us = self.next_event_us().unwrap_or(self.now_us + 1_000);
            self.turn(&[]);
            let shards = self.process.as_ref().map(|process| &process.shards);
            if shards.is_some_and(|shards| shards.iter().all(&is_there)) {
                return;
            }
        }
        panic!("the shards never came to {what}: {:?}", self.process);
    }

    /// Nothing is wrong any more: all senders are heard, the daemon writes everything out and ends;
    /// every file is compared.
    pub(crate) fn finish(&mut self) {
        self.disk.faults = Faults::default();
        if self.has_to_end() {
            self.end_by_failure();
        }
        self.disk.mend();
        self.lift_limits();
        self.hear_all();
        self.settle("drain", Shard::take_all, Shard::drain, Shard::is_drained);
        let mut has_unread = false;
        if let Some(process) = self.process.take() {
            self.end_last_life(&process);
            self.excuse_dropped(&process);
            has_unread = (process.shards.iter()).any(|shard| shard.report().has_unread);
        }
        self.minutes = self.compare();
        self.check_unread(has_unread);
    }

    fn hear_all(&mut self) {
        let until_us = self.now_us + HELD_UP_US_MAX;
        while self.now_us < until_us {
            let pending = self.process.as_ref().map(|process| &process.pending);
            if pending.is_none_or(|pending| pending.iter().all(VecDeque::is_empty)) {
                return;
            }
            self.now_us = self.next_event_us().unwrap_or(self.now_us + 1_000);
            self.turn(&[]);
        }
        let reports = self.process.as_ref().map(|process| {
            let reports = process.shards.iter().map(Shard::report);
            reports.collect::<Vec<_>>()
        });
        panic!("senders are held up for ever: {reports:?}");
    }
}
