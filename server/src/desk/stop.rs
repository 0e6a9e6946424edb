//! The stop: what the sockets hold is read, what is cached is written out or left to the journal, the
//! cores end, and what became of every point is said.

use std::time::Duration;

use benzene_engine::clock;
use benzene_engine::journal::State;
use benzene_engine::stats::Counter;
use tokio::time::{sleep, timeout};

use super::selfmetrics::Totals;
use super::{Desk, Ended, Signals, adopted, journal};
use crate::core::{Ending, Parcel};
use crate::exit::Exit;

/// How often the desk looks whether the cores have written everything out.
const DRAIN_LOOK: Duration = Duration::from_millis(10);
/// How often the desk says how far the stop has come.
const DRAIN_SAY: Duration = Duration::from_secs(2);

/// How long a stop waits for what it has written to come to its disk, behind a journal that failed: a
/// manager waits for another thirty seconds.
const SYNC_WAIT: Duration = Duration::from_secs(20);

/// What began a stop.
#[derive(Clone, Copy)]
pub(super) enum Begun {
    /// The signal of this name.
    BySignal(&'static str),
    /// The daemon itself, for this reason.
    ByItself(&'static str),
}

/// What becomes of the journal behind the stop.
#[derive(Clone, Copy)]
enum Journal {
    /// The next start finds it.
    Lasting,
    /// It goes with a container or a reboot, and the data does not.
    Passing,
}

impl Desk {
    /// Reads what the sockets hold, writes everything out, ends the cores.
    pub(super) async fn stop(&self, begun: Begun, signals: &mut Signals) -> Ended {
        let ending = Box::pin(self.ending()).await;
        let (Begun::BySignal(why) | Begun::ByItself(why)) = begun;
        tracing::info!(
            "{why}: receivers stop, what is cached {}",
            match ending {
                Ending::Drain => "is written out",
                Ending::Rest => "stays in the journal",
            }
        );
        if ending == Ending::Drain {
            self.lift_limits();
        }
        self.tell_all(|| Parcel::Stop(ending)).await;
        let (is_data_safe, cut_short) = tokio::select! {
            is_data_safe = async {
                tokio::join!(self.drained(ending), self.flush_relay());
                self.data_synced(ending).await
            } => (is_data_safe, None),
            signal = signals.second(begun) => (false, Some(signal)),
            // What has come back from the journal is written once earlier writes are on the device.
            () = self.sync_data() => unreachable!("it never ends"),
            () = Box::pin(self.watch_volumes()) => unreachable!("it never ends"),
        };
        if let Some(relay) = &self.relay {
            relay.end().await;
        }
        let totals = Box::pin(self.totals()).await;
        self.tell_all(|| Parcel::Exit).await;
        let journal = self.settings.journal.as_ref();
        let journal = match journal {
            Some(it) if journal::is_left_behind(it, &self.settings.data) => Journal::Passing,
            Some(_) | None => Journal::Lasting,
        };
        let ended = Self::say_end(&totals, (ending, journal), cut_short);
        if ended.exit == Exit::Success && ending == Ending::Drain {
            adopted::forget_several(&self.settings.journal_dir);
            if let Some(plan) = self.journal.as_ref().filter(|_| is_data_safe) {
                plan.note_all_written(totals.journal.state());
            }
        }
        ended
    }

    /// Is what a drain has written on the data's disk? Only asked, and waited for, where the journal has
    /// failed.
    async fn data_synced(&self, ending: Ending) -> bool {
        let Some(plan) = self.journal.as_ref().filter(|_| ending == Ending::Drain) else {
            return false;
        };
        if self.totals().await.journal.state() == State::Healthy {
            return false;
        }
        self.notify.still_stopping(0);
        (timeout(SYNC_WAIT, plan.data_synced()).await).unwrap_or(false)
    }

    async fn flush_relay(&self) {
        if let Some(relay) = &self.relay {
            relay.flush().await;
        }
    }

    /// The disks are for what is written out.
    fn lift_limits(&self) {
        let rate = self.updates_per_second_on_shutdown.get();
        self.volumes.iter().for_each(|volume| volume.stop(rate));
    }

    /// Says what became of every point, and how the process is to end.
    fn say_end(
        totals: &Totals,
        (ending, journal): (Ending, Journal),
        cut_short: Option<&str>,
    ) -> Ended {
        let cached = totals.usage.points;
        // Cores that have come to their end leave nothing cached that a journal does not keep.
        let kept = if cut_short.is_none() {
            cached.saturating_sub(totals.journal.unkept)
        } else {
            0
        };
        let lost = cached - kept + totals.stats.get(Counter::DroppedAtStop);
        // What was to be written out, and its files do not take.
        let left = if ending == Ending::Drain { kept } else { 0 };
        let count = |counter| totals.stats.get(counter);
        let counts: Vec<String> = Counter::ALL
            .iter()
            .filter(|counter| count(**counter) > 0)
            .map(|counter| format!("{} {}", counter.label(), count(*counter)))
            .collect();
        tracing::info!("counted: {}", counts.join(", "));
        tracing::info!(
            "stopped: {} received + {} own + {} replayed = {} committed + {} cached + {} superseded + {} dropped",
            count(Counter::Received),
            count(Counter::Own),
            count(Counter::Replayed),
            count(Counter::Committed),
            cached,
            count(Counter::Superseded),
            totals.stats.dropped(),
        );
        // One that had failed before was told of then.
        if ending == Ending::Rest
            && let State::Failed(error) = totals.journal.state()
        {
            tracing::error!("the journal failed in the stop: {error}");
        }
        if let Some(signal) = cut_short {
            tracing::error!("a second signal ({signal}) cut the stop short");
        }
        match journal {
            _ if left == 0 => {}
            Journal::Lasting => tracing::error!(
                "{left} points stay in the journal, for their files cannot be written: see to the disk \
                 before the next start, which writes them, but on a disk as it was keeps no more than an \
                 eighth of the cache holds; `benzene journal export` prints them"
            ),
            Journal::Passing => tracing::error!(
                "{left} points are in no file but the journal, which goes with this container, or with a \
                 reboot: have `benzene journal export` print them before that"
            ),
        }
        if lost > 0 {
            tracing::error!("stopped with {lost} points that are in no file");
        }
        let is_unread = ending == Ending::Drain && totals.has_unread;
        if is_unread {
            tracing::error!(
                "what earlier runs owe has not all come back: the next start reads it, and \
                 `benzene journal export` prints it"
            );
        }
        let unwritten = lost + left;
        let exit = if unwritten > 0 || is_unread {
            Exit::PointsLost
        } else {
            Exit::Success
        };
        let kept = match journal {
            Journal::Lasting => left,
            Journal::Passing => 0,
        };
        Ended {
            exit,
            unwritten,
            kept,
        }
    }

    /// Waits until every core has written everything out, or has it in the journal, and says how far it
    /// is.
    async fn drained(&self, ending: Ending) {
        let mut said = clock::now().instant;
        let mut before = u64::MAX;
        let mut may_fail = ending == Ending::Rest;
        while !self.peers.all_drained() {
            sleep(DRAIN_LOOK).await;
            if may_fail && self.peers.is_written_out() {
                may_fail = false;
                tracing::error!("the journal has failed: what is cached is written out instead");
                self.lift_limits();
            }
            let now = clock::now().instant;
            if now.duration_since(said) >= DRAIN_SAY {
                said = now;
                let usage = self.totals().await.usage;
                // A disk that takes nothing any more is to be given up at the manager's own time.
                if usage.points < std::mem::replace(&mut before, usage.points) {
                    self.notify.still_stopping(usage.points);
                }
                tracing::info!(
                    "{} points of {} metrics to write",
                    usage.points,
                    usage.queues
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use benzene_engine::cache::Usage;
    use benzene_engine::journal::Status;
    use benzene_engine::metric::ShardIndex;
    use benzene_engine::ring::{FileError, Stage};
    use benzene_engine::shard::Report;
    use benzene_engine::stats::Stats;

    use super::*;

    /// What a core with so many cached points says, whose journal is in this state.
    fn report(points: u64, state: State) -> Report {
        Report {
            index: ShardIndex(0),
            stats: Stats::default(),
            usage: Usage {
                points,
                ..Usage::default()
            },
            journal: Some(Status {
                state,
                lacks: None,
                bytes: 0,
                memory_bytes: 0,
                segments: 0,
                doubtful_segments: 0,
                name_segments: 0,
                serial: 0,
                committed_serial: 0,
                synced_serial: 0,
            }),
            has_unread: false,
            volumes: Vec::new(),
        }
    }

    fn ended(reports: &[Report], ending: (Ending, Journal), cut_short: Option<&str>) -> Ended {
        let mut totals = Totals::default();
        for report in reports {
            totals.add(report, &[]);
        }
        Desk::say_end(&totals, ending, cut_short)
    }

    fn end(reports: &[Report], ending: Ending, cut_short: Option<&str>) -> Exit {
        ended(reports, (ending, Journal::Lasting), cut_short).exit
    }

    #[test]
    fn what_no_journal_keeps_is_lost() {
        let failed = State::Failed(FileError {
            stage: Stage::Write,
            errno: 28,
        });
        let (kept, written, lost) = (
            report(7, State::Healthy),
            report(0, failed),
            report(1, failed),
        );
        let all = [kept, written, lost];
        assert_eq!(end(&all[..1], Ending::Rest, None), Exit::Success);
        assert_eq!(end(&all[..2], Ending::Rest, None), Exit::Success);
        assert_eq!(end(&all, Ending::Rest, None), Exit::PointsLost);
        let kept = &all[..1];
        assert_eq!(end(kept, Ending::Drain, None), Exit::PointsLost);
        assert_eq!(end(kept, Ending::Rest, Some("SIGINT")), Exit::PointsLost);
    }

    #[test]
    fn a_journal_that_passes_keeps_nothing_for_the_next_start() {
        let reports = [report(7, State::Healthy)];
        for (journal, kept) in [(Journal::Lasting, 7), (Journal::Passing, 0)] {
            let ended = ended(&reports, (Ending::Drain, journal), None);
            assert_eq!(ended.exit, Exit::PointsLost);
            assert_eq!((ended.unwritten, ended.kept), (7, kept));
        }
    }

    #[test]
    fn a_drain_that_leaves_points_unread_has_not_written_all() {
        let mut unread = report(0, State::Healthy);
        unread.has_unread = true;
        let reports = [unread];
        assert_eq!(end(&reports, Ending::Drain, None), Exit::PointsLost);
        assert_eq!(end(&reports, Ending::Rest, None), Exit::Success);
    }
}
