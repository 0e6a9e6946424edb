//! Points that are journaled once more: as many as a block of the journal holds in a turn, however many
//! there are, so that no turn meets the bound of its buffers, which would end the process.

use super::recalled::survey;
use super::*;
use crate::journal::{DataSync, JournalConfig, Pressure, State};

const FIRST_SECOND: u32 = 1_000_000_000;
/// Between two points of a series: so far apart that an entry has the whole timestamp.
const STEP_S: u32 = 100;

/// A value of which no byte is zero.
fn value(number: u32) -> f64 {
    1.0 / (f64::from(number) + 3.0)
}

/// A shard with a journal whose data files cannot be looked for.
struct Stuck {
    world: World,
    data_sync: Arc<DataSync>,
}

impl Stuck {
    /// A journal of so many segments, over what an earlier run has left on the disk.
    fn new(disk: Disk, segment_bytes: u32, segments_max: u32) -> Stuck {
        let survey = survey(&disk);
        let data_sync = Arc::new(DataSync::default());
        let mut world = World::changed((1, None, 1 << 30), |config| {
            config.cache.waiting_bytes_max = 1 << 30;
            config.journal = Some(JournalConfig {
                shard: 0,
                epoch: survey.epoch_next(),
                segment_bytes,
                segments_max,
                data_sync: Arc::clone(&data_sync),
                ..crate::journal::tests::config()
            });
            config.recall = (!survey.files.is_empty()).then(|| RecallConfig {
                aside_bytes_max: 0,
                survey: survey.clone(),
                adopted: Vec::new(),
                together: Arc::new(Together::new(1)),
                data_sync: Arc::clone(&data_sync),
                mount: 1,
                is_past_bound: false,
            });
        });
        world.disk = Disk {
            files: disk.files,
            failing: vec![(Stage::Probe, EIO)],
            ..Disk::default()
        };
        world.settle();
        Stuck { world, data_sync }
    }

    /// Started over what the disk has now, once everything came back.
    fn killed(&self, segment_bytes: u32) -> Stuck {
        let disk = Disk {
            files: self.world.disk.files.clone(),
            ..Disk::default()
        };
        let mut next = Stuck::new(disk, segment_bytes, 64);
        for _ in 0..100 {
            while next.world.shards[0].recalled().is_some() {}
            if !next.world.shards[0].is_recalling() {
                return next;
            }
            while next.world.turn() || next.world.shards[0].has_work() {}
            next.second();
        }
        panic!("it never had everything back")
    }

    /// A second passes, in which what is due is done, and the data are synced.
    fn second(&mut self) {
        self.world.later(1);
        self.world.settle();
        let number = self.data_sync.begin();
        self.data_sync.done(number);
    }

    /// So many points for each of so many series, which stay in the cache.
    fn take(&mut self, series: u32, points: u32) {
        let names: Vec<String> = (0..series).map(|it| format!("stuck.{it}")).collect();
        for number in 0..points {
            for (index, name) in (0..).zip(&names) {
                let timestamp = FIRST_SECOND + number * STEP_S;
                let value = value(number * series + index);
                self.world.take(name, Point { timestamp, value });
                if (number * series + index).is_multiple_of(20_000) {
                    self.world.settle();
                }
            }
        }
        self.second();
        self.second();
    }

    /// Other points fill the journal, as if they were written since, until what pins it is pushed.
    fn fill_journal(&mut self) {
        let other = SeriesId(1 << 14);
        for _ in 0..400 {
            self.world.later(1);
            self.world.shards[0].begin_turn(self.world.now);
            let journal = self.world.shards[0].ledger.journal_mut().unwrap();
            for number in 0..20_000 {
                let timestamp = FIRST_SECOND + number % 2 * 1_000_000;
                let value = value(number);
                journal.point(other, || "other", Point { timestamp, value });
            }
            while self.world.turn() {
                if self.journal().pressure() != Pressure::None {
                    return;
                }
            }
        }
        panic!("the journal is never short of segments")
    }

    fn journal(&self) -> &Journal {
        self.world.shards[0].ledger.journal().unwrap()
    }

    fn carried(&self) -> u64 {
        self.world.count(Counter::JournalCarried)
    }

    /// The journal's disk is full for a while, and then well again.
    fn fail_journal(&mut self) {
        self.world.disk.failing.push((Stage::Write, ENOSPC));
        let (timestamp, value) = (FIRST_SECOND, 0.5);
        self.world.take("late.comer", Point { timestamp, value });
        self.second();
        assert!(matches!(self.journal().state(), State::Failed(_)));
        self.world.disk.failing.pop();
        self.world.later(11);
    }
}

#[test]
fn what_cannot_be_written_is_carried_a_block_a_turn() {
    let mut stuck = Stuck::new(Disk::default(), 8 << 20, 8);
    stuck.take(1000, 600);
    stuck.fill_journal();
    // The disk takes its time: what is noted meanwhile stays below the bound.
    stuck.world.hold = true;
    for _ in 0..20 {
        stuck.world.turn();
    }
    let carried = stuck.carried();
    assert!((1..200_000).contains(&carried), "{carried} points");
    stuck.world.hold = false;
    stuck.world.settle();
    assert_eq!(stuck.carried(), 600_000, "each once, in blocks");
    for _ in 0..3 {
        stuck.second();
    }
    assert_eq!(stuck.carried(), 600_000);
    assert_eq!(stuck.journal().pressure(), Pressure::None);
    assert_eq!(stuck.world.count(Counter::DroppedJournalFull), 0);
}

#[test]
fn an_update_that_hangs_keeps_no_segment() {
    let mut stuck = Stuck::new(Disk::default(), 64 << 10, 24);
    stuck.world.disk.failing.clear();
    let point = stuck.world.point(60, value(1));
    stuck.world.take("stuck.0", point);
    stuck.second();
    assert_eq!(stuck.world.count(Counter::Committed), 1);
    stuck.world.hangs = Some("stuck/0.wsp");
    let point = stuck.world.point(50, value(2));
    stuck.world.take("stuck.0", point);
    stuck.second();
    assert_eq!(stuck.world.held.len(), 1, "its update is under way");
    stuck.fill_journal();
    for _ in 0..30 {
        stuck.second();
    }
    assert_eq!(stuck.journal().pressure(), Pressure::None);
    assert!(stuck.carried() > 0);
    let mut next = stuck.killed(64 << 10);
    assert_eq!(next.world.query("stuck.0").len(), 1, "it is owed still");
    stuck.world.hangs = None;
    stuck.second();
    stuck.second();
    assert_eq!(stuck.world.shards[0].report().usage.points, 0);
    let next = stuck.killed(64 << 10);
    assert_eq!(
        next.world.count(Counter::Replayed),
        0,
        "its record means the copy"
    );
}

#[test]
fn metrics_that_nobody_has_looked_for_are_not_given_up_for_others_that_cannot_be_written() {
    const FRESH: u32 = 40;
    let mut stuck = Stuck::new(Disk::default(), 64 << 10, 24);
    stuck.world.disk.failing.clear();
    let creates = &stuck.world.budgets.creates;
    creates.set_rate(Some(0.0), stuck.world.now.instant);
    stuck.world.hangs = Some("fresh");
    let (timestamp, value) = (FIRST_SECOND, value(1));
    for number in 0..FRESH {
        let name = format!("fresh.{number}");
        stuck.world.take(&name, Point { timestamp, value });
    }
    // More than a journal of that size carries.
    stuck.take(10, 2500);
    stuck.fill_journal();
    for _ in 0..5 {
        stuck.second();
    }
    assert!(stuck.world.count(Counter::DroppedJournalFull) > 0);
    for number in 0..FRESH {
        let name = format!("fresh.{number}");
        assert_eq!(stuck.world.query(&name).len(), 1, "{name}");
    }
}

#[test]
fn what_was_written_while_earlier_runs_owed_something_is_noted_afterwards() {
    let mut stuck = Stuck::new(Disk::default(), 64 << 10, 24);
    stuck.world.disk.failing.clear();
    stuck.world.hold = true;
    let point = stuck.world.point(60, value(1));
    stuck.world.take("stuck.0", point);
    for _ in 0..20 {
        stuck.world.turn();
        stuck.world.later(1);
        stuck.world.shards[0].begin_turn(stuck.world.now);
        for (_, token, operation) in std::mem::take(&mut stuck.world.held) {
            if matches!(operation, FileOperation::Create { .. }) {
                let journal = stuck.world.shards[0].ledger.journal_mut().unwrap();
                journal.set_earlier_owing(true);
            }
            let result = stuck.world.disk.carry_out(operation);
            stuck.world.shards[0].complete(token, result);
        }
    }
    assert_eq!(stuck.world.count(Counter::Committed), 1);
    let next = stuck.killed(64 << 10);
    assert_eq!(next.world.count(Counter::Replayed), 0);
}

#[test]
fn a_drain_drops_nothing_for_want_of_segments() {
    let mut stuck = Stuck::new(Disk::default(), 64 << 10, 24);
    // A little more than a journal of that size carries.
    stuck.take(10, 1980);
    stuck.fill_journal();
    stuck.world.shards[0].drain();
    for _ in 0..DRAIN_ATTEMPTS_MAX + 2 {
        stuck.second();
    }
    assert!(stuck.world.shards[0].is_drained());
    assert_eq!(stuck.world.count(Counter::DroppedJournalFull), 0);
    assert_eq!(stuck.world.shards[0].report().usage.points, 19_800);
}

#[test]
fn a_journal_that_is_well_again_gets_a_block_a_turn() {
    let mut stuck = Stuck::new(Disk::default(), 8 << 20, 8);
    stuck.take(600, 1200);
    stuck.fail_journal();
    stuck.world.settle();
    assert_eq!(stuck.journal().state(), State::Healthy);
    assert_eq!(stuck.carried(), 720_001);
    // What was noted before the failure goes.
    for _ in 0..4 {
        stuck.second();
    }
    let mut next = stuck.killed(8 << 20);
    assert_eq!(next.world.count(Counter::Replayed), 720_001);
    let points = next.world.query("stuck.599");
    assert_eq!(points.len(), 1200);
    assert_eq!(points[1199].value.to_bits(), value(719_999).to_bits());
}

#[test]
fn a_million_points_of_one_series_are_noted_in_parts() {
    const POINTS: u32 = 1_000_000;
    let mut stuck = Stuck::new(Disk::default(), 8 << 20, 12);
    stuck.take(1, POINTS);
    stuck.fill_journal();
    stuck.world.settle();
    for _ in 0..3 {
        stuck.second();
    }
    assert_eq!(stuck.carried(), u64::from(POINTS), "each once, in parts");
    assert_eq!(stuck.journal().pressure(), Pressure::None);
    stuck.fail_journal();
    stuck.world.settle();
    assert_eq!(stuck.journal().state(), State::Healthy);
    assert_eq!(stuck.carried(), u64::from(POINTS) * 2 + 1);
    assert_eq!(stuck.world.count(Counter::DroppedJournalFull), 0);
}

impl Stuck {
    /// A turn of a second in which a point comes.
    fn turn_with(&mut self, point: Point) {
        self.world.later(1);
        for _ in 0..10 {
            self.world.shards[0].begin_turn(self.world.now);
            for (_, token, operation) in std::mem::take(&mut self.world.held) {
                let result = self.world.disk.carry_out(operation);
                self.world.shards[0].complete(token, result);
            }
            let accept = self.world.offer("stuck.0", point);
            self.world.turn();
            if accept == Accept::Taken {
                return;
            }
        }
        panic!("the journal takes nothing");
    }

    /// What a query sees of the first series, by the second; those in the list excepted.
    fn seen(&mut self, late: &[u32]) -> BTreeMap<u32, u64> {
        let points = self.world.query("stuck.0").into_iter();
        let points = points.filter(|point| !late.contains(&point.timestamp));
        points
            .map(|point| (point.timestamp, point.value.to_bits()))
            .collect()
    }
}

#[test]
fn between_two_parts_what_was_received_last_stands_last() {
    const POINTS: u32 = 17_000;
    for fails in [false, true] {
        let mut stuck = Stuck::new(Disk::default(), 64 << 10, 24);
        stuck.take(1, POINTS);
        if fails {
            stuck.fail_journal();
            while stuck.journal().state() != State::Recovering {
                stuck.world.turn();
            }
        } else {
            stuck.fill_journal();
        }
        let (mut came, mut cuts) = (Vec::new(), 0);
        for turn in 0..100 {
            // Seconds of the parts before, of this one and of those to come get another value.
            let timestamp = FIRST_SECOND + turn * 4871 % POINTS * STEP_S;
            let value = -value(turn);
            stuck.turn_with(Point { timestamp, value });
            came.push((stuck.journal().serial(), timestamp));
            let carried = stuck.carried();
            if carried >= u64::from(POINTS) {
                break;
            }
            cuts += u32::from(carried > 0);
            let written = stuck.journal().committed_serial();
            let late = came.iter().filter(|(serial, _)| *serial > written);
            let late: Vec<u32> = late.map(|(_, timestamp)| *timestamp).collect();
            let mut next = stuck.killed(64 << 10);
            assert_eq!(next.seen(&late), stuck.seen(&late), "turn {turn}");
        }
        assert!(cuts > 2, "{cuts} kills between two parts");
        // What has all its points in younger segments goes, and nothing else.
        for _ in 0..6 {
            stuck.second();
        }
        assert_eq!(stuck.journal().pressure(), Pressure::None);
        let mut next = stuck.killed(64 << 10);
        assert_eq!(next.seen(&[]), stuck.seen(&[]));
    }
}
