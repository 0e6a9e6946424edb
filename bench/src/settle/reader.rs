//! The foreground reader: random pages of random files, past the page cache, with pauses of random
//! length, so that no rhythm of the disk's hides from it. Sends what each read waited.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use benzene_engine::clock;
use benzene_engine::ring::direct::DirectFile;

use crate::daemon::pause;
use crate::workload::mix;
use crate::writepath::site::metric_of;

/// Reads until `stop`; the pause is `between` on average.
pub(crate) fn read(
    data: &Path,
    files: u32,
    between: Duration,
    (waits, stop): (&Sender<Duration>, &AtomicBool),
) {
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let draw = mix(number);
        if let Some(wait) = one(data, files, draw)
            && waits.send(wait).is_err()
        {
            return;
        }
        // From none to twice the mean.
        let percent = u32::try_from(mix(draw) % 200).unwrap_or(100);
        pause(between * percent / 100);
    }
}

/// One page of some file.
fn one(data: &Path, files: u32, draw: u64) -> Option<Duration> {
    let number = u32::try_from(draw % u64::from(files)).ok()?;
    let mut file = DirectFile::open(&data.join(metric_of(number).1)).ok()?;
    let page = (draw >> 32) % file.pages().max(1);
    let begun = clock::now().instant;
    file.read_page(page).ok()?;
    Some(clock::now().instant.saturating_duration_since(begun))
}
