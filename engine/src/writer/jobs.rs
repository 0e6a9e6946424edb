//! What is in flight: one slot a job, found again by the token of its operation.
//! The token holds the slot's index and generation, so that an outcome can never reach a job that
//! took the slot later. Bounded by the in-flight limits of each data directory and the number of
//! inspections. What waits for a directory's disk is counted for that directory.

use std::path::PathBuf;

use super::broken::Suspect;
use super::creates::Create;
use super::inspect::Inspect;
use super::update::Update;
use crate::cache::{SeriesId, Volume};
use crate::ring::FileToken;

/// A job between two operations.
#[derive(Debug)]
pub(super) enum Job {
    /// Is the file there?
    Probe { series: SeriesId },
    /// Is the file there under its readable name? Then it gets its hashed one.
    Adopt { series: SeriesId },
    /// Is this there, a second file of a series that is in nobody's hands meanwhile?
    SecondLook { path: PathBuf },
    /// Where does the file lie? The series is in nobody's hands meanwhile.
    Locate { series: SeriesId },
    /// Make the file.
    Create(Create),
    /// Write a series' points into its file.
    Update(Update),
    /// Read or change a header for a client.
    Inspect(Inspect),
    /// Is the broken file still the same?
    Look(Suspect),
    /// Give the broken file this name.
    SetAside(Suspect, PathBuf),
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    job: Option<Job>,
    volume: Volume,
}

/// The jobs in flight, counted by kind.
#[derive(Debug)]
pub(super) struct Jobs {
    slots: Vec<Slot>,
    free: Vec<u32>,
    counts: Vec<Counts>,
}

/// The jobs of a data directory.
#[derive(Clone, Debug, Default)]
struct Counts {
    probes: usize,
    creates: usize,
    updates: usize,
    looks: usize,
    locates: usize,
}

impl Jobs {
    /// No job, of so many data directories.
    pub(super) fn new(volumes: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            counts: vec![Counts::default(); volumes],
        }
    }

    /// Puts a job on files of a directory in flight; the token names it until `remove`.
    pub(super) fn insert(&mut self, volume: Volume, job: Job) -> FileToken {
        if let Some(count) = self.counts[volume.index()].of(&job) {
            *count += 1;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            let Ok(index) = u32::try_from(self.slots.len() - 1) else {
                unreachable!("jobs are bounded by the in-flight limits");
            };
            index
        });
        let slot = &mut self.slots[index as usize];
        assert!(
            slot.job.is_none(),
            "slot {index} was on the free list with a job in it"
        );
        slot.job = Some(job);
        slot.volume = volume;
        FileToken(u64::from(slot.generation) << 32 | u64::from(index))
    }

    fn slot(&mut self, token: FileToken) -> (u32, &mut Slot) {
        let (generation, index) = (token.0 >> 32, token.0 & u64::from(u32::MAX));
        let Ok(index) = u32::try_from(index) else {
            unreachable!("masked to 32 bits")
        };
        let slot = &mut self.slots[index as usize];
        assert!(
            u64::from(slot.generation) == generation,
            "outcome for a job that is gone: {token:?}"
        );
        (index, slot)
    }

    /// A job in flight.
    pub(super) fn of(&mut self, token: FileToken) -> &mut Job {
        let Some(job) = &mut self.slot(token).1.job else {
            unreachable!("no job in flight for {token:?}")
        };
        job
    }

    /// Takes the job that an outcome belongs to.
    pub(super) fn remove(&mut self, token: FileToken) -> Job {
        let (index, slot) = self.slot(token);
        let Some(job) = slot.job.take() else {
            unreachable!("no job in flight for {token:?}")
        };
        slot.generation = slot.generation.wrapping_add(1);
        let volume = slot.volume;
        self.free.push(index);
        if let Some(count) = self.counts[volume.index()].of(&job) {
            *count -= 1;
        }
        job
    }

    /// Probes in flight, those under the readable name included.
    pub(super) fn probes(&self, volume: Volume) -> usize {
        self.counts[volume.index()].probes
    }

    /// Creates in flight.
    pub(super) fn creates(&self, volume: Volume) -> usize {
        self.counts[volume.index()].creates
    }

    /// Updates in flight.
    pub(super) fn updates(&self, volume: Volume) -> usize {
        self.counts[volume.index()].updates
    }

    /// Looks at broken files and their renames in flight.
    pub(super) fn looks(&self, volume: Volume) -> usize {
        self.counts[volume.index()].looks
    }

    /// Questions where written files lie, or whether there is a second one, in flight.
    pub(super) fn locates(&self, volume: Volume) -> usize {
        self.counts[volume.index()].locates
    }

    /// All jobs in flight.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl Counts {
    fn of(&mut self, job: &Job) -> Option<&mut usize> {
        match job {
            Job::Probe { .. } | Job::Adopt { .. } => Some(&mut self.probes),
            Job::Create(_) => Some(&mut self.creates),
            Job::Update(_) => Some(&mut self.updates),
            Job::Look(_) | Job::SetAside(..) => Some(&mut self.looks),
            Job::Locate { .. } | Job::SecondLook { .. } => Some(&mut self.locates),
            Job::Inspect(_) => None,
        }
    }
}
