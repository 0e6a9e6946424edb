//! The writer by injection: what it asks of the disk and when, answered by hand in simulated time.

use super::*;
use crate::cache::{Cache, CacheConfig, Insert, Strategy};
use crate::clock;
use crate::journal::Journal;
use crate::limiter::Room;
use crate::point::Point;
use crate::ring::Stage;

struct Rig {
    ledger: Ledger,
    writer: Writer,
    budgets: Budgets,
    now: Now,
    /// What the answer to a probe is.
    has_files: bool,
    /// No file may be opened.
    is_denied: bool,
    /// Files of series below this number cannot be read.
    unreadable: u32,
    /// Series whose files were looked for, in order.
    probed: Vec<u32>,
    /// Series whose files were opened for an update, with the time since the start.
    opened: Vec<(u32, Duration)>,
    turns: usize,
    begin: Instant,
}

/// An empty cache in order of size.
fn empty(waiting_bytes_max: u64, journal: Option<Journal>) -> Ledger {
    ordered(Strategy::Sorted, waiting_bytes_max, journal)
}

fn ordered(strategy: Strategy, waiting_bytes_max: u64, journal: Option<Journal>) -> Ledger {
    let cache = Cache::new(CacheConfig {
        max_point_age_s: 60,
        waiting_bytes_max,
        ..CacheConfig::new(strategy, clock::now().instant)
    });
    Ledger::new(cache, Arc::new(Room::new(None, 1 << 30)), journal)
}

/// The same, and a writer of files of one archive.
pub(super) fn bare(waiting_bytes_max: u64) -> (Ledger, Writer) {
    let schemas = "[all]\npattern = .*\nretentions = 1s:1h\n";
    let config = WriterConfig {
        schemas: Arc::new(Schemas::parse(schemas).unwrap().0),
        ..WriterConfig::new("/data")
    };
    let writer = Writer::new(config, Further::default());
    (empty(waiting_bytes_max, None), writer)
}

impl Rig {
    fn new(waiting_bytes_max: u64, updates: Option<f64>, creates: Option<f64>) -> Self {
        let now = clock::now();
        let (ledger, writer) = bare(waiting_bytes_max);
        let budget = |rate| Arc::new(Budget::new(rate, 0.1, now.instant));
        Self {
            ledger,
            writer,
            budgets: Budgets {
                updates: budget(updates),
                creates: budget(creates),
            },
            now,
            has_files: false,
            is_denied: false,
            unreadable: 0,
            probed: Vec::new(),
            opened: Vec::new(),
            turns: 0,
            begin: now.instant,
        }
    }

    /// A writer as a site has it that holds its disk back by hand.
    fn throttled(waiting_bytes_max: u64) -> Self {
        Self::new(waiting_bytes_max, Some(1.0), Some(1.0 / 60.0))
    }

    fn fill(&mut self, series: std::ops::Range<u32>) {
        for number in series {
            let point = Point {
                timestamp: self.now.unix_seconds,
                value: 1.0,
            };
            assert!(self.ledger.reserve());
            let insert = self
                .ledger
                .insert(&format!("m{number}"), point, Counter::Received);
            assert!(matches!(insert, Insert::New(_)), "{insert:?}");
        }
    }

    /// Turns at this moment, each answering what the one before asked for, until nothing is asked.
    /// Files that are opened stay open, or may not be.
    fn turn(&mut self) {
        loop {
            self.turns += 1;
            let budgets = std::slice::from_ref(&self.budgets);
            self.writer.start(&mut self.ledger, budgets, self.now);
            let asked: Vec<_> = std::iter::from_fn(|| self.writer.next_operation()).collect();
            let mut answered = false;
            // Operations are taken last first.
            for (token, operation) in asked.into_iter().rev() {
                match operation {
                    FileOperation::Probe { path } => {
                        self.probed.push(number_of(&path));
                        let outcome = Ok(FileOutcome::Probed(self.has_files));
                        self.writer
                            .complete(&mut self.ledger, token, outcome, self.now);
                        answered = true;
                    }
                    FileOperation::Open { path, .. } => {
                        let since = self.now.instant - self.begin;
                        let number = number_of(&path);
                        self.opened.push((number, since));
                        answered |= self.deny(token, number);
                    }
                    FileOperation::Create { .. } => {}
                    other @ (FileOperation::Read { .. }
                    | FileOperation::Locate { .. }
                    | FileOperation::Write { .. }
                    | FileOperation::Look { .. }
                    | FileOperation::SetAside { .. }
                    | FileOperation::Adopt { .. }
                    | FileOperation::Reserve { .. }
                    | FileOperation::Append { .. }
                    | FileOperation::Sync { .. }
                    | FileOperation::Remove { .. }
                    | FileOperation::Close { .. }) => {
                        panic!("{other:?} was not to be expected")
                    }
                }
            }
            if !answered {
                return;
            }
        }
    }

    /// Answers that this file may not be opened, if none may, or cannot be read.
    fn deny(&mut self, token: FileToken, number: u32) -> bool {
        let (stage, errno) = if self.is_denied {
            (Stage::Open, rustix::io::Errno::ACCESS)
        } else if number < self.unreadable {
            (Stage::Read, rustix::io::Errno::IO)
        } else {
            return false;
        };
        let denied = Err(FileError {
            stage,
            errno: errno.raw_os_error(),
        });
        self.writer
            .complete(&mut self.ledger, token, denied, self.now);
        true
    }

    fn deadline(&self) -> Option<Instant> {
        let budgets = std::slice::from_ref(&self.budgets);
        self.writer.next_deadline(&self.ledger, budgets, self.now)
    }

    /// Turns whenever one is due, for so long.
    fn run(&mut self, span: Duration) {
        let end = self.now.instant + span;
        self.turn();
        while let Some(at) = self.deadline().filter(|at| *at <= end) {
            assert!(self.turns < 100_000, "a turn is due again and again");
            self.now.instant = at.max(self.now.instant);
            self.turn();
        }
        self.now.instant = end;
    }
}

fn number_of(path: &std::path::Path) -> u32 {
    let name = path.file_stem().unwrap().to_str().unwrap();
    name[1..].parse().unwrap()
}

fn all(series: u32) -> Vec<u32> {
    (0..series).collect()
}

#[test]
fn a_throttled_writer_looks_for_files_at_a_pace_and_for_all_of_them() {
    let mut rig = Rig::throttled(1 << 30);
    rig.fill(0..5_000);
    rig.turn();
    let burst = rig.probed.len();
    assert!((64..=101).contains(&burst), "{burst} at once");
    rig.run(Duration::from_secs(1));
    let probed = rig.probed.len();
    assert!((1_050..=1_110).contains(&probed), "{probed} in a second");
    assert!(rig.turns < 120, "{} turns", rig.turns);
    // Names that come meanwhile have to wait for those that came before.
    rig.fill(5_000..6_000);
    rig.run(Duration::from_secs(6));
    assert!(rig.probed == all(6_000));
    assert_eq!(rig.ledger.usage().waiting_points, 5_999, "one was created");
    assert_eq!(rig.ledger.usage().unproven_series, 0);
}

#[test]
fn without_limits_files_are_looked_for_at_once() {
    for (updates, creates) in [(None, Some(1.0)), (Some(1.0), None), (Some(1e6), Some(1e6))] {
        let mut rig = Rig::new(1 << 30, updates, creates);
        rig.has_files = true;
        rig.fill(0..5_000);
        rig.turn();
        assert!(rig.probed == all(5_000), "{updates:?} {creates:?}");
    }
}

#[test]
fn the_pace_follows_the_budgets() {
    let mut rig = Rig::throttled(1 << 30);
    rig.has_files = true;
    rig.fill(0..30_000);
    rig.run(Duration::from_secs(1));
    assert!(rig.probed.len() < 1_200, "{}", rig.probed.len());
    rig.budgets.updates.set_rate(Some(5_000.0), rig.now.instant);
    let before = rig.probed.len();
    rig.run(Duration::from_secs(1));
    let probed = rig.probed.len() - before;
    // No update is answered, so that what is looked for is not written.
    assert!((10_000..13_000).contains(&probed), "{probed} in a second");
    rig.budgets.updates.set_rate(None, rig.now.instant);
    rig.turn();
    assert!(rig.probed == all(30_000));
}

#[test]
fn a_flood_of_names_is_recognised_without_a_pace() {
    let bytes = 4_000_000;
    let mut rig = Rig::throttled(bytes);
    rig.fill(0..20_000);
    let flood = rig.ledger.usage().points;
    assert!(rig.ledger.has_many_unproven(Volume::FIRST));
    rig.turn();
    assert!(!rig.ledger.has_many_unproven(Volume::FIRST));
    // An eighth of the share is 500,000 bytes: five to six thousand series of one point.
    let left = rig.ledger.usage().unproven_series;
    assert!((4_000..7_000).contains(&left), "{left} of {flood} are left");
    assert_eq!(rig.probed.len() as u64, flood - left);
    rig.turn();
    assert_eq!(rig.ledger.usage().unproven_series, left, "paced again");
    rig.run(Duration::from_secs(8));
    assert!(rig.probed == all(20_000));
}

#[test]
fn a_stop_looks_for_everything_at_once() {
    let mut rig = Rig::throttled(1 << 30);
    rig.fill(0..5_000);
    rig.turn();
    assert!(rig.probed.len() < 200);
    rig.ledger.drain();
    rig.writer.drain(rig.now);
    rig.turn();
    assert!(rig.probed == all(5_000));
}

#[test]
fn a_choice_among_many_takes_turns_that_are_due_at_once() {
    let mut rig = Rig::new(1 << 30, None, None);
    rig.has_files = true;
    // None is granted before the files are known, then one a second.
    rig.budgets.updates.set_rate(Some(0.0), rig.now.instant);
    rig.budgets.creates.set_rate(None, rig.now.instant);
    rig.fill(0..10_000);
    rig.turn();
    assert_eq!(
        (rig.ledger.ready(Volume::FIRST), rig.opened.len()),
        (10_000, 0)
    );
    rig.budgets.updates.set_rate(Some(1.0), rig.now.instant);
    let begin = rig.turns;
    rig.turn();
    assert!(rig.ledger.is_choosing(Volume::FIRST) && rig.opened.is_empty());
    assert_eq!(rig.deadline(), Some(rig.now.instant));
    rig.run(Duration::from_millis(3_500));
    let (numbers, times): (Vec<u32>, Vec<Duration>) = rig.opened.iter().copied().unzip();
    assert_eq!(numbers, [9_999, 9_998, 9_997, 9_996]);
    // The first is granted before the choice is there, which takes no time but turns.
    for (at, due_ms) in times.iter().zip([0, 900, 1_900, 2_900]) {
        let late = at.checked_sub(Duration::from_millis(due_ms)).unwrap();
        assert!(late < Duration::from_millis(5), "{times:?}");
    }
    assert!(rig.turns - begin < 12, "{} turns", rig.turns - begin);
}

#[test]
fn few_updates_begin_together_however_often_it_is_asked() {
    let mut rig = Rig::new(1 << 30, Some(200.0), None);
    rig.has_files = true;
    rig.fill(0..100);
    for _ in 0..=100 {
        rig.turn();
        rig.now.instant += Duration::from_millis(1);
    }
    let mut times: Vec<Duration> = rig.opened.iter().map(|(_, at)| *at).collect();
    assert_eq!(times.len(), 40, "a burst of 20, and 100 ms");
    times.dedup();
    let every_20_ms = (0..=5).map(|n| n * WAIT_MIN);
    assert!(times.iter().copied().eq(every_20_ms), "{times:?}");
    // A stop does not wait.
    rig.budgets.updates.set_rate(None, rig.now.instant);
    rig.ledger.drain();
    rig.writer.drain(rig.now);
    rig.turn();
    assert_eq!(rig.opened.len(), 100);
}

#[test]
fn a_moment_in_which_no_file_can_be_opened_parks_no_more_than_the_limit() {
    let mut rig = Rig::new(1 << 30, Some(20.0), None);
    (rig.has_files, rig.is_denied) = (true, true);
    rig.fill(0..500);
    rig.run(Duration::from_secs(1));
    let parked = rig.ledger.usage().parked_points;
    assert!((15..=25).contains(&parked), "{parked} at 20 a second");
    // In a drain the journal keeps them, so that no grant is spent on what is not written; without one
    // a moment is not to take all ten attempts of all of them.
    for (is_journaled, parked) in [(true, 500..501), (false, 20..200)] {
        let mut rig = Rig::new(1 << 30, Some(20.0), None);
        let (config, second) = (crate::journal::tests::config(), rig.now.unix_seconds);
        let journal = is_journaled.then(|| Journal::new(config, rig.now, second));
        rig.ledger = empty(1 << 30, journal);
        (rig.has_files, rig.is_denied) = (true, true);
        rig.fill(0..500);
        rig.ledger.drain();
        rig.writer.drain(rig.now);
        rig.run(Duration::from_secs(6));
        let found = rig.ledger.usage().parked_points;
        assert!(parked.contains(&found), "{found}, {is_journaled}");
    }
}

#[test]
fn files_that_cannot_be_opened_again_use_up_no_updates() {
    let mut rig = Rig::new(1 << 30, Some(20.0), None);
    (rig.has_files, rig.is_denied) = (true, true);
    rig.fill(0..20);
    rig.run(Duration::from_secs(1));
    assert_eq!(rig.ledger.usage().parked_points, 20);
    rig.budgets.updates.set_rate(Some(1.0), rig.now.instant);
    // One in 20 ms, for few wait for others; each is tried again after a second.
    let before = rig.opened.len();
    rig.run(Duration::from_millis(1_500));
    let again = rig.opened.len() - before;
    assert!(again >= 18, "{again} of 20 were tried again");
}

#[test]
fn files_that_fail_again_and_again_leave_updates_to_others() {
    let mut rig = Rig::new(1 << 30, Some(10.0), None);
    rig.ledger = ordered(Strategy::Deadline, 1 << 30, None);
    rig.has_files = true;
    rig.writer.lanes.of_mut(Volume::FIRST).updates_max = 10_000;
    // Each is tried again once a minute in the end, which is all that is granted.
    rig.unreadable = 600;
    rig.fill(0..600);
    let mut next = 600;
    for _ in 0..400 {
        rig.turns = 0;
        rig.fill(next..next + 4);
        next += 4;
        rig.run(Duration::from_secs(1));
        rig.ledger.begin_turn(rig.now);
    }
    let sound = rig.opened.iter().filter(|(number, _)| *number >= 600);
    let (sound, failed) = (sound.count(), rig.opened.len());
    let failed = failed - sound;
    // The last minute's are held yet.
    assert!(sound > 1000, "{sound} of 1600, beside {failed} attempts");
    assert!(failed > 1500, "{failed} attempts");
}

#[test]
fn a_moment_in_which_nothing_can_be_written_parks_no_more_than_rests_allow() {
    let mut rig = Rig::new(1 << 30, None, None);
    (rig.has_files, rig.is_denied) = (true, true);
    rig.fill(0..20_000);
    rig.run(Duration::from_secs(1));
    let parked = rig.ledger.usage().parked_points;
    assert!((500..=1500).contains(&parked), "{parked} of 20,000");
    rig.is_denied = false;
    rig.writer.lanes.of_mut(Volume::FIRST).updates_max = 100_000;
    let before = rig.opened.len();
    rig.run(Duration::from_secs(2));
    assert!(rig.opened.len() - before >= 18_000);
}

#[test]
fn a_turn_begins_no_further_update_behind_many_points() {
    let mut rig = Rig::new(1 << 30, None, None);
    rig.has_files = true;
    rig.fill(0..60);
    for age_s in 1..1000 {
        for number in 0..60 {
            let timestamp = rig.now.unix_seconds - age_s;
            let point = Point {
                timestamp,
                value: 1.0,
            };
            assert!(rig.ledger.reserve());
            rig.ledger
                .insert(&format!("m{number}"), point, Counter::Received);
        }
    }
    rig.turn();
    assert_eq!(rig.opened.len(), 17);
    rig.run(Duration::from_secs(1));
    assert_eq!(rig.opened.len(), 60);
}
