//! When to ask where files lie, for a disk with heads: the probe of a metric asks, so does the first
//! update of a new file, and of a shard every so many updates one, for files are moved by those who
//! resize or restore them.
//! Nobody waits for an answer: where a file lies decides the order of updates and nothing else.

use std::path::PathBuf;

use super::Writer;
use super::jobs::Job;
use crate::cache::{Ledger, SeriesId, Volume};
use crate::limits::UPDATES_PER_LOCATE;
use crate::ring::FileOperation;

/// Updates since a file was asked again.
#[derive(Debug, Default)]
pub(super) struct Locations {
    updates: u32,
}

impl Locations {
    /// The question whether a file is there, and where.
    pub(super) fn probe(ledger: &Ledger, volume: Volume, path: PathBuf) -> FileOperation {
        if ledger.is_in_disk_order(volume) {
            FileOperation::Locate { path }
        } else {
            FileOperation::Probe { path }
        }
    }
}

impl Writer {
    /// A series was written: is its file to be asked where it lies?
    pub(super) fn locate_written(&mut self, ledger: &Ledger, series: SeriesId) {
        let volume = ledger.volume(series);
        if !ledger.is_in_disk_order(volume) {
            return;
        }
        self.locations.updates += 1;
        let is_wanted =
            ledger.location(series).is_none() || self.locations.updates >= UPDATES_PER_LOCATE;
        if is_wanted && self.jobs.locates(volume) < self.lanes.of(volume).probes_max {
            self.locations.updates = 0;
            self.begin(ledger, series, |path| {
                (Job::Locate { series }, FileOperation::Locate { path })
            });
        }
    }
}
