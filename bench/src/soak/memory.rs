//! Resident memory over a soak: whether it grows while the daemon runs.
//! Each start begins anew: what a process has leaked goes with it, and the level that one settles at
//! hangs on how it began (a start that reads points back from the journal keeps 1 to 5 MB more with the
//! allocator than one that finds nothing). So growth is measured within each life of the daemon, from
//! the first third of its samples to the last, and added up: as much as one life of all that time would
//! have grown. The levels of the lives are said beside it.

use std::fmt;

/// Growth over the whole time that still counts as flat, percent of the level.
const GROWTH_PERCENT_MAX: i128 = 10;
/// Parts that the samples of a life are cut into; one with fewer samples says nothing.
const PARTS: usize = 3;

/// Samples at an even pace, in bytes, by life of the daemon.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    lives: Vec<Vec<u64>>,
}

/// Mean bytes of the first and of the last third of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Life {
    first: u64,
    last: u64,
    samples: usize,
}

/// What there is to be said of all lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Growth {
    lives: Vec<Life>,
    /// Mean of the lives' first thirds.
    level: u64,
    /// Bytes by which a life of all that time would have grown.
    bytes: i128,
}

impl Life {
    fn of(samples: &[u64]) -> Option<Self> {
        let third = samples.len() / PARTS;
        Some(Self {
            first: mean(samples.get(..third)?)?,
            last: mean(samples.get(samples.len() - third..)?)?,
            samples: samples.len(),
        })
    }

    fn grown(self) -> i128 {
        i128::from(self.last) - i128::from(self.first)
    }

    /// Samples from the middle of the first third to that of the last.
    fn span(self) -> usize {
        self.samples - self.samples / PARTS
    }
}

impl Growth {
    pub(crate) fn is_flat(&self) -> bool {
        self.bytes * 100 <= i128::from(self.level) * GROWTH_PERCENT_MAX
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (level, bytes) = (self.level >> 10, self.bytes / 1024);
        let lives = self.lives.iter();
        let lives: Vec<String> = lives
            .map(|life| format!("{} to {}", life.first >> 10, life.last >> 10))
            .collect();
        let lives = lives.join(", ");
        write!(
            f,
            "resident {level} KiB, in all this time one life would have grown by {bytes} KiB \
             (first to last third of each life: {lives})"
        )
    }
}

impl Memory {
    /// The daemon was started, and its memory counts.
    pub(crate) fn begin_life(&mut self) {
        self.lives.push(Vec::new());
    }

    /// A sample. Before the first life that counts it is none.
    pub(crate) fn add(&mut self, bytes: u64) {
        if let Some(life) = self.lives.last_mut() {
            life.push(bytes);
        }
    }

    /// None: no life was long enough.
    pub(crate) fn growth(&self) -> Option<Growth> {
        let lives: Vec<Life> = self
            .lives
            .iter()
            .filter_map(|life| Life::of(life))
            .collect();
        let firsts: Vec<u64> = lives.iter().map(|life| life.first).collect();
        let level = mean(&firsts)?;
        let grown: i128 = lives.iter().map(|life| life.grown()).sum();
        let span: usize = lives.iter().map(|life| life.span()).sum();
        let samples: usize = lives.iter().map(|life| life.samples).sum();
        let bytes = grown * i128::try_from(samples).ok()? / i128::try_from(span).ok()?;
        Some(Growth {
            lives,
            level,
            bytes,
        })
    }
}

fn mean(samples: &[u64]) -> Option<u64> {
    let sum: u128 = samples.iter().map(|bytes| u128::from(*bytes)).sum();
    u64::try_from(sum.checked_div(samples.len() as u128)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(lives: &[&dyn Fn(u64) -> u64]) -> Memory {
        let mut memory = Memory::default();
        for bytes in lives {
            memory.begin_life();
            (0..90).for_each(|second| memory.add(bytes(second)));
        }
        memory
    }

    #[test]
    fn growth_within_lives_is_seen_and_added_up() {
        let leaks = |second: u64| (1000 << 10) + (second << 10);
        let growth = memory(&[&leaks]).growth().unwrap();
        assert_eq!((growth.level, growth.bytes), (1_038_848, 90 << 10));
        assert!(growth.is_flat());
        // The same leak over three times as long is too much.
        let growth = memory(&[&leaks, &leaks, &leaks]).growth().unwrap();
        assert_eq!(growth.bytes, 270 << 10);
        assert!(!growth.is_flat());
        let said = growth.to_string();
        assert!(said.starts_with("resident 1014 KiB, "), "{said}");
        assert!(said.contains(" grown by 270 KiB "), "{said}");
        assert!(said.contains("1014 to 1074, 1014 to 1074, "), "{said}");
    }

    #[test]
    fn the_level_of_a_start_is_no_growth() {
        let falls = |second: u64| 150 - second / 10;
        let lives: [&dyn Fn(u64) -> u64; 3] = [&|_| 100, &|_| 120, &falls];
        let growth = memory(&lives).growth().unwrap();
        assert!(growth.bytes < 0 && growth.is_flat());
    }

    #[test]
    fn what_lies_in_the_middle_of_a_life_does_not_count() {
        let peak = |second: u64| if (30..60).contains(&second) { 900 } else { 100 };
        let growth = memory(&[&peak]).growth().unwrap();
        assert_eq!((growth.level, growth.bytes), (100, 0));
    }

    #[test]
    fn a_life_without_three_samples_gives_no_verdict() {
        let mut memory = Memory::default();
        memory.add(7);
        assert_eq!(memory.growth(), None);
        memory.begin_life();
        memory.add(1);
        memory.add(2);
        assert_eq!(memory.growth(), None);
        memory.add(3);
        assert_eq!(memory.growth().unwrap().bytes, 3);
        // Killed soon.
        memory.begin_life();
        assert_eq!(memory.growth().unwrap().bytes, 3);
    }
}
