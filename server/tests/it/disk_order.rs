//! In which order files are written on a disk with heads: by the times at which they were written,
//! one at a time, beside where they lie.
//! Root is needed, and mkfs.ext4 and losetup: a file system of its own tells where files lie.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use benzene_engine::ring::{Event, FileOperation, FileOutcome, FileToken, Ring, RingConfig};

use crate::daemon::{Daemon, Setup, file_of};
use crate::first_use::now;
use crate::power;

const METRICS: u64 = 400;

fn metric(number: u64) -> String {
    format!("d{}.m{number}", number % 7)
}

/// All numbers once, in an order that has nothing to do with them.
fn shuffled(step: u64) -> impl Iterator<Item = u64> {
    (0..METRICS).map(move |index| index * step % METRICS)
}

fn send(daemon: &Daemon, step: u64, time: u32) {
    let line = |number| format!("{} 1 {time}\n", metric(number));
    daemon.send(&shuffled(step).map(line).collect::<String>());
}

/// Where a file lies, as the daemon itself asks.
fn location(ring: &mut Ring, path: &Path) -> u32 {
    let path = path.to_owned();
    ring.file(FileToken(1), FileOperation::Locate { path });
    loop {
        ring.turn(Some(Duration::from_secs(1)));
        if let Some(Event::File { result, .. }) = ring.next_event() {
            let Ok(FileOutcome::Located(Some(location))) = result else {
                panic!("{result:?}")
            };
            return location;
        }
    }
}

/// Of the files in the order in which they lie: how many were written after the one that follows.
fn written_before_their_turn(conf: &str) -> usize {
    let disk = power::Disk::new("ext4");
    disk.mount();
    let slow = "MAX_UPDATES_PER_SECOND_ON_SHUTDOWN = 1000\nUPDATES_IN_FLIGHT = 1\n\
                CACHE_WRITE_STRATEGY = deadline\nJOURNAL = False";
    let setup = Setup {
        conf: format!("{slow}\n{conf}"),
        shards: Some(1),
        ..Setup::default()
    };
    let root = tempfile::tempdir_in(&disk.at).unwrap();
    let daemon = Daemon::start_in(&setup, root);
    send(&daemon, 151, now() - 60);
    let made = daemon.stop();
    assert!(made.status.success(), "{}", made.log);
    let daemon = Daemon::start_in(&setup, made.root);
    send(&daemon, 237, now());
    daemon.wait_for_points(&metric(237 * (METRICS - 1) % METRICS), 1);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let mut ring = Ring::new(RingConfig::default()).unwrap();
    let mut files: Vec<_> = (0..METRICS)
        .map(|number| {
            let path = file_of(&ended.data(), &metric(number));
            let seen = fs::metadata(&path).unwrap();
            let written = (seen.mtime(), seen.mtime_nsec());
            (location(&mut ring, &path), written)
        })
        .collect();
    files.sort_unstable();
    drop(ended);
    disk.unmount();
    let pairs = files.windows(2);
    pairs.filter(|pair| pair[1].1 < pair[0].1).count()
}

/// The daemon may have begun to write when not all points had come: passes over the disk, each of which
/// goes back to its begin.
const PASSES_MAX: usize = 3;

#[test]
fn files_are_written_as_they_lie() {
    assert!(written_before_their_turn("DEVICE_CLASS = hdd") <= PASSES_MAX);
    let unordered = written_before_their_turn("DEVICE_CLASS = hdd\nDISK_ORDER = off");
    assert!(unordered > 50, "{unordered}");
    assert!(written_before_their_turn("DEVICE_CLASS = ssd\nDISK_ORDER = on") <= PASSES_MAX);
}
