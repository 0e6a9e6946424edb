//! What goes wrong beside kills and power cuts: disks that fail or are full for a while, files that
//! somebody breaks; and what a failing journal and a bound excuse.

use benzene_engine::journal::{OnError, State};
use benzene_engine::limits::JOURNAL_CARRIED_POINT_BYTES;
use benzene_engine::limits::JOURNAL_CARRIED_SHARE;
use benzene_engine::ring::FileError;
use benzene_engine::shard::Report;
use benzene_engine::stats::Counter;

use crate::content::{file_of, is_broken, points_of};
use crate::disk::Faults;
use crate::process::Process;
use crate::settings::Settings;
use crate::world::World;

/// Bytes that somebody writes into a file by mistake.
const GARBAGE: &[u8] = b"a text that somebody put there for whatever reason, longer than a header";
/// What goes into the journal past its bound, in files: one more of points, and one of names.
const FILES_PAST_BOUND: u64 = 2;
/// The same in bytes: what other shards had accepted, in full inboxes and outboxes, and its records.
const BYTES_PAST_BOUND: u64 = 96 << 10;

/// Points that a shard takes at most after its journal has failed for good: room for so many is taken
/// at once (`cache::ledger`).
const TAKEN_AFTER_FAILURE_MAX: u64 = 64;

/// Whether what is accepted may be missing in the journal, whose disk fails or failed a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Frail {
    /// What was accepted from then on may be lost by a crash, in milliseconds.
    pub(crate) since_ms: Option<u64>,
    /// When all journals were healthy again, and the number of the last sync of the data before.
    healed: Option<(u64, u64)>,
}

impl Frail {
    /// Looks at a process after a turn. What was written to files while nothing was noted is safe
    /// after a sync of the data, and what was cached when what was noted again has been synced.
    pub(crate) fn look(&mut self, process: &Process, now_ms: u64, slack_ms: u64) {
        if !process.is_healthy() {
            self.since_ms.get_or_insert(now_ms.saturating_sub(slack_ms));
            self.healed = None;
            return;
        }
        // What earlier epochs owe would come back over what was written and not noted.
        if self.since_ms.is_none() || process.is_recalling() {
            return;
        }
        let (healed_ms, begun) = *self.healed.get_or_insert((now_ms, process.syncs_begun));
        if process.syncs_done > begun && now_ms > healed_ms + 2 * slack_ms {
            *self = Frail::default();
        }
    }
}

/// A shard whose journal has failed where that is to stop the daemon (JOURNAL_ON_ERROR = stop).
#[derive(Clone, Debug, Default)]
pub(crate) struct Failure {
    /// Why the daemon has to end, as an operator is told.
    why: Option<FileError>,
    /// Points taken since.
    taken: u64,
}

impl Failure {
    /// Looks at a shard after its turn. Such a journal never gets well again by itself.
    pub(crate) fn look(&mut self, settings: &Settings, report: &Report) {
        let state = report.journal.as_ref().map(|journal| journal.state);
        match (settings.on_error, state) {
            (OnError::Stop, Some(State::Failed(error))) => self.why = Some(error),
            (OnError::Stop, Some(State::Healthy | State::Recovering)) => assert!(
                self.why.is_none(),
                "a journal that stops the daemon goes on after {:?}: {report:?}",
                self.why
            ),
            (OnError::Continue, _) | (OnError::Stop, None) => {}
        }
    }

    /// A point was taken: of those that have no journal any more only what there was room for before.
    pub(crate) fn take(&mut self) {
        self.taken += u64::from(self.why.is_some());
        assert!(
            self.taken <= TAKEN_AFTER_FAILURE_MAX,
            "points are taken without a journal after {:?}",
            self.why
        );
    }

    /// Is the daemon to end?
    pub(crate) fn is_to_end(&self) -> bool {
        self.why.is_some()
    }
}

impl World {
    /// Something goes wrong, or is mended.
    pub(crate) fn stir(&mut self) {
        let troubles = self.settings.troubles;
        if self.prng.once_in(150) {
            let prng = &mut self.prng;
            let some = |has: bool, once_in: u64, prng: &mut crate::prng::Prng| {
                if has && prng.once_in(2) { once_in } else { 0 }
            };
            let data_once_in = 2 + prng.below(40);
            let journal_once_in = 1 + prng.below(60);
            let descriptors_once_in = 1 + prng.below(8);
            self.disk.faults = Faults {
                data_once_in: some(troubles.has_data_faults, data_once_in, prng),
                journal_once_in: some(troubles.has_journal_faults, journal_once_in, prng),
                descriptors_once_in: some(troubles.has_few_descriptors, descriptors_once_in, prng),
                is_full: troubles.has_full_disk && prng.once_in(2),
            };
            let faults = self.disk.faults;
            self.say(|| format!("disks: {faults:?}"));
            if self.prng.once_in(2) {
                self.disk.mend();
            }
        }
        if troubles.has_broken_files && self.prng.once_in(1_000) {
            self.break_a_file();
        }
    }

    /// Somebody breaks the file of a metric, or puts a broken one where there was none.
    pub(crate) fn break_a_file(&mut self) {
        let metric = self.workload.regular(&mut self.prng);
        let path = file_of(metric);
        let mut bytes = self.disk.file(&path).unwrap_or_default().to_vec();
        match self.prng.below(4) {
            0 => bytes.clear(),
            1 => bytes = GARBAGE.to_vec(),
            2 => bytes = vec![0; 4096],
            _ => bytes.truncate(self.prng.index(bytes.len() + 1) / 12),
        }
        self.say(|| format!("somebody breaks the file of metric {metric}"));
        self.disk.plant(&path, bytes);
        self.oracle.forgive(metric);
        self.tampered.insert(metric);
    }

    /// What bounds allowed to be dropped need not be there, unless it is in its file, as everybody sees it
    /// and as it will be on the disk: what a failed sync has lost is seen until the next power cut.
    pub(crate) fn excuse_dropped(&mut self, process: &Process) {
        if !process.has_dropped {
            return;
        }
        self.say(|| "points were dropped at a bound".to_owned());
        for metric in self.workload.metrics() {
            let path = file_of(metric);
            let seen = self.disk.file(&path).map(<[u8]>::to_vec);
            for bytes in [seen, self.disk.lasting(&path)] {
                let sound = bytes.filter(|bytes| !is_broken(bytes));
                let in_file = sound.map(|bytes| points_of(&bytes, 0)).unwrap_or_default();
                self.oracle.may_be_dropped(metric, &in_file);
            }
        }
        // What came back may have been in its file already, and then dropped but for its oldest values; or in
        // the first archive alone, where a crash came between.
        if process.has_recalled {
            self.oracle.forget_order();
            self.minutes_from = self.now().unix_seconds;
        }
    }
}

/// Checks what is always so of a shard, after a turn of it; `journal_dropped` is what it had dropped
/// for its journal's sake before, `owed_bytes` what it may note of earlier runs past its journal's
/// bound. Says whether anything was dropped that may be.
pub(crate) fn check_report(
    settings: &Settings,
    report: &Report,
    (journal_dropped, owed_bytes): (&mut u64, u64),
) -> bool {
    check_accounts(report);
    let stats = &report.stats;
    assert!(
        stats.get(Counter::DroppedCacheFull) == 0,
        "nobody is in a hurry: {report:?}"
    );
    assert!(
        stats.get(Counter::DroppedTooOld) == 0 || settings.is_far,
        "nothing is old: {report:?}"
    );
    let waited = stats.get(Counter::DroppedCreateWait) + stats.get(Counter::DroppedParked);
    assert!(
        waited == 0 || settings.is_waiting_bounded,
        "what waits has no bound: {report:?}"
    );
    let dropped = stats.get(Counter::DroppedJournalFull);
    let dropped_now = dropped - *journal_dropped;
    *journal_dropped = dropped;
    let journal_bytes = u64::from(settings.segments_max) * u64::from(settings.segment_bytes);
    let usage = &report.usage;
    let waiting = usage.waiting_points + usage.parked_points + dropped_now;
    assert!(
        dropped_now == 0
            || waiting * JOURNAL_CARRIED_POINT_BYTES > journal_bytes / JOURNAL_CARRIED_SHARE,
        "{dropped_now} points were dropped for a journal with room for them: {report:?}"
    );
    // Nothing retires while the journal's disk fails, and each new try may take a file.
    let journal = report.journal.as_ref();
    if let Some(journal) = journal.filter(|_| !settings.troubles.has_journal_faults) {
        let names = journal.name_segments as u64;
        let files = u64::from(settings.segments_max).max(names + 2) + FILES_PAST_BOUND;
        let bound = (files * u64::from(settings.segment_bytes)).max(owed_bytes);
        assert!(
            journal.bytes <= bound + BYTES_PAST_BOUND,
            "the journal is beyond its bound: {journal:?}"
        );
    }
    waited + dropped > 0
}

/// What came is somewhere, and counted once.
fn check_accounts(report: &Report) {
    let stats = &report.stats;
    let came = [Counter::Received, Counter::Own, Counter::Replayed]
        .map(|counter| stats.get(counter))
        .iter()
        .sum::<u64>();
    let went = stats.get(Counter::Committed) + stats.get(Counter::Superseded) + stats.dropped();
    assert_eq!(came, went + report.usage.points, "{report:?}");
}
