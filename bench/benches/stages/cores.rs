//! Cores of a daemon without their sockets: each has one connection and one shard, and takes bytes
//! to its cache, or to another core's, the way the daemon does.
//! `Core::receive` goes the steps of the daemon's `front`, less what it does when there is no room:
//! here there always is, and a point that is not taken ends the bench.

use std::sync::Arc;
use std::time::Duration;

use benzene_engine::clock::{self, Now};
use benzene_engine::limiter::{Budget, Room};
use benzene_engine::metric::ShardIndex;
use benzene_engine::point::Point;
use benzene_engine::ring::{FileOperation, FileOutcome};
use benzene_engine::shard::{Accept, Guesses, Message, Shard, ShardConfig, Trail};
use benzene_engine::stats::Counter;
use benzene_engine::writer::{Budgets, Further, WriterConfig};
use benzene_server::wire::frame::Frames;
use benzene_server::wire::line::{self, Splitter};
use benzene_server::wire::pickle::{self, Batch, Machine};
use benzene_server::wire::window::Window;
use benzene_server::wire::{Item, Stamp};

use crate::cache_config;
use crate::sender::Form;

/// PICKLE_RECEIVER_MAX_LENGTH.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// All cores of one daemon.
#[derive(Debug)]
pub(crate) struct Cores {
    cores: Vec<Core>,
    now: Now,
}

#[derive(Debug)]
struct Core {
    shard: Shard,
    trail: Trail,
    splitter: Splitter,
    frames: Frames,
    machine: Machine,
    batch: Batch,
}

impl Cores {
    /// Cores that know no metric. Their writers have no budget, so that what is taken stays.
    pub(crate) fn new(count: u16) -> Self {
        let now = clock::now();
        let budget = || Arc::new(Budget::new(Some(0.0), 1.0, now.instant));
        let budgets = Budgets {
            updates: budget(),
            creates: budget(),
        };
        let room = Arc::new(Room::new(None, 1 << 40));
        let writer = WriterConfig::new("/data");
        let cores = (0..count).map(|index| {
            let config = ShardConfig {
                index: ShardIndex(index),
                shards: count,
                seed: cache_config().seed,
                cache: cache_config(),
                writer: writer.clone(),
                budgets: budgets.clone(),
                further: Further::default(),
                room: Arc::clone(&room),
                journal: None,
                recall: None,
            };
            Core::new(Shard::new(config, now))
        });
        Self {
            cores: cores.collect(),
            now,
        }
    }

    /// How many points entered a cache so far.
    pub(crate) fn points_received(&self) -> u64 {
        let reports = self.cores.iter().map(|core| core.shard.report());
        reports
            .map(|report| report.stats.get(Counter::Received))
            .sum()
    }

    /// Takes bytes that one core received, up to what its shard owns or has for others.
    pub(crate) fn receive(&mut self, core: usize, form: Form, bytes: &[u8]) {
        let core = &mut self.cores[core];
        match form {
            Form::Lines => core.receive_lines(bytes),
            Form::Frames => core.receive_frames(bytes),
        }
    }

    /// Delivers what one core has for the others. Says how many points that were.
    pub(crate) fn hand_over(&mut self, from: usize) -> usize {
        let mut points = 0;
        for (to, index) in (0..self.cores.len()).zip((0..).map(ShardIndex)) {
            while let Some(message) = self.cores[from].shard.next_message(index) {
                if let Message::Points(_, batch) = &message {
                    points += batch.len();
                }
                self.cores[to].shard.deliver(message);
            }
        }
        points
    }

    /// Says of each series that its file is there, as a daemon finds out soon after its start.
    pub(crate) fn prove_all(&mut self) {
        for core in &mut self.cores {
            loop {
                // Looks have a pace; a second is enough for as many as may be under way.
                self.now.instant += Duration::from_secs(1);
                core.shard.begin_turn(self.now);
                core.shard.end_turn();
                let mut proven = 0;
                while let Some((token, operation)) = core.shard.next_operation() {
                    assert!(
                        matches!(operation, FileOperation::Probe { .. }),
                        "{operation:?} without a budget"
                    );
                    core.shard.complete(token, Ok(FileOutcome::Probed(true)));
                    proven += 1;
                }
                if proven == 0 {
                    break;
                }
            }
        }
    }
}

impl Core {
    fn new(shard: Shard) -> Self {
        Self {
            shard,
            trail: Trail::default(),
            splitter: Splitter::default(),
            frames: Frames::new(FRAME_BYTES_MAX),
            machine: Machine::default(),
            batch: Batch::default(),
        }
    }

    fn receive_lines(&mut self, bytes: &[u8]) {
        let (shard, trail) = (&mut self.shard, &mut self.trail);
        let (mut window, mut at) = (Window::new(bytes), 0);
        let mut clock = line::Clock::default();
        let (mut guesses, mut guessed_to) = (Guesses::NONE, 0);
        loop {
            while self.splitter.is_between_lines()
                && let Some((known, name)) = shard.foresee(*trail)
                && let Some((value, timestamp, length)) =
                    line::known(&bytes[at..], name, &mut clock)
            {
                let accept = shard.accept_known(trail, known, Point { timestamp, value });
                assert_eq!(accept, Accept::Taken, "{known:?}");
                at += length;
            }
            if trail.is_lost() && at >= guessed_to {
                guesses = shard.guess(line::names(&bytes[at..]));
                guessed_to = at + guesses.reach();
            }
            if let Some(known) = shard.next_guess(&mut guesses)
                && self.splitter.is_between_lines()
                && let name = shard.name_of(known)
                && !name.is_empty()
                && name.is_ascii()
                && let Some((value, timestamp, length)) =
                    line::known(&bytes[at..], name, &mut clock)
            {
                let accept = shard.accept_guessed(trail, known, Point { timestamp, value });
                assert_eq!(accept, Accept::Taken, "{known:?}");
                at += length;
                continue;
            }
            match self.splitter.next_item(&mut window, &mut at) {
                None => return,
                Some(Ok(item)) => take(shard, trail, &item),
                Some(Err(refusal)) => panic!("a line was refused: {refusal:?}"),
            }
        }
    }

    fn receive_frames(&mut self, bytes: &[u8]) {
        let (shard, trail) = (&mut self.shard, &mut self.trail);
        let mut at = 0;
        while let Some(frame) = self.frames.next(bytes, &mut at) {
            let decoded =
                frame.map(|frame| pickle::decode(frame, &mut self.machine, &mut self.batch));
            assert_eq!(decoded, Ok(Ok(())), "a frame was refused");
            self.frames.release();
            let (mut guesses, mut guessed_to) = (Guesses::NONE, 0);
            for (index, item) in self.batch.iter_from(0).enumerate() {
                if trail.is_lost() && index >= guessed_to {
                    let items = self.batch.iter_from(index).zip(1..);
                    guesses = shard.guess(items.map(|(item, end)| (item.name.as_bytes(), end)));
                    guessed_to = index + guesses.reach();
                }
                match shard.next_guess(&mut guesses) {
                    Some(known) if shard.name_of(known) == item.name.as_bytes() => {
                        let accept = shard.accept_guessed(trail, known, point(&item));
                        assert_eq!(accept, Accept::Taken, "{known:?}");
                    }
                    Some(_) | None => take(shard, trail, &item),
                }
            }
        }
    }
}

/// The point of an item.
fn point(item: &Item<'_>) -> Point {
    let Stamp::At(timestamp) = item.stamp else {
        panic!("{item:?} has no time");
    };
    Point {
        timestamp,
        value: item.value,
    }
}

/// Offers the point of an item.
fn take(shard: &mut Shard, trail: &mut Trail, item: &Item<'_>) {
    let point = point(item);
    let accept = match shard.foresee(*trail) {
        Some((known, name)) if name == item.name.as_bytes() => {
            shard.accept_known(trail, known, point)
        }
        Some(_) | None => shard.accept(trail, item.name, point),
    };
    assert_eq!(accept, Accept::Taken, "{item:?}");
}
