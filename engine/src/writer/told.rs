//! What the writer tells of its work, file by file, where somebody wants it for a log.
//! Nothing is kept where nobody does. Whoever asked takes it in every turn (`Writer::next_told`): more
//! than the files in flight end in a turn there never is.

use std::time::Duration;

use crate::whisper::{Aggregation, Retention};

/// What is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tells {
    /// Every update that was carried out (LOG_UPDATES).
    pub updates: bool,
    /// Every file that is to be made (LOG_CREATES).
    pub creates: bool,
}

/// A piece of work.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Points are in their file.
    Wrote {
        /// The metric.
        name: String,
        /// How many points.
        points: u64,
        /// From the open of the file to its close.
        took: Duration,
        /// How long it had waited for nothing but the limiter.
        waited: Duration,
    },
    /// A file is to be made.
    Creates {
        /// The metric.
        name: String,
        /// The section of storage-schemas.conf that it matched.
        schema: String,
        /// The section of storage-aggregation.conf.
        aggregation: String,
        /// Its archives.
        archives: Vec<Retention>,
        /// What that section says.
        x_files_factor: Option<f32>,
        /// What that section says.
        method: Option<Aggregation>,
    },
}
