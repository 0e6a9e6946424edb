//! Power cuts under load with the journal and the data on one file system, ext4 and XFS (`Disk` of
//! `power` has how a cut is made): after a mount and a start every point that was read JOURNAL_SYNC
//! and 100 ms before the cut is there, and no file is broken.
//! Root is needed, and mkfs.ext4, mkfs.xfs and losetup.
#![expect(
    clippy::disallowed_methods,
    reason = "a test opens files and reads clocks simply"
)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::journal::{
    Load, PACE, Sent, assert_nothing_owed, balance, draw, order, setup, wait_for_recall,
};
use crate::power::{Disk, Syncer, whole_files};
use crate::vitals::is_long;

/// A tenth of the disk is the journal's.
const SEGMENTS: &str = "JOURNAL_SEGMENT_BYTES = 8m\n";

/// A sync of a few bytes where nothing else uses the disk.
const USUAL_SYNC: Duration = Duration::from_millis(100);

/// Syncs of the disk all the time, by which is seen how long they take: the daemon's are begun in time by what
/// the last ones took, and nobody foresees one that takes longer. Others use the device below the loop, too.
fn syncer(disk: &Disk) -> Syncer {
    let file = File::create(disk.at.join("synced")).unwrap();
    Syncer::start(move |_| {
        file.write_at(&[1; 4096], 0)?;
        file.sync_data()
    })
}

/// A sync waits for the one before, and is slow itself: twice what the slowest of the last two seconds took
/// beyond the usual. `seen` is when each began, and then when it ended.
fn late(seen: &[Instant]) -> Duration {
    let now = Instant::now();
    // The last one may not have ended yet.
    let times = seen.chunks(2);
    let times = times.map(|sync| (sync[0], *sync.get(1).unwrap_or(&now)));
    let late = times.filter(|(_, ended)| now.duration_since(*ended) < Duration::from_secs(2));
    let slowest = late.map(|(at, ended)| ended.duration_since(at)).max();
    2 * slowest.unwrap_or_default().saturating_sub(USUAL_SYNC)
}

fn power_fails(kind: &str) {
    let disk = Disk::new(kind);
    draw(if is_long() { 20 } else { 2 }, |cut| {
        cut_under_load(&disk, cut)
    });
}

fn cut_under_load(disk: &Disk, cut: usize) -> Sent {
    let order = order(cut);
    disk.mount();
    // JOURNAL_SYNC is 1 s.
    let load = Load::new(50, PACE, Duration::from_millis(1_100));
    let root = tempfile::tempdir_in(&disk.at).unwrap();
    let daemon = Daemon::start_in(&setup(2, &format!("{SEGMENTS}{order}")), root);
    let until_cut = Duration::from_millis(1_600 + u64::try_from(cut).unwrap() * 397 % 1_000);
    let (syncer, mut seen) = (syncer(disk), Vec::new());
    let sent = load.run_beside(
        &daemon,
        until_cut,
        || {
            seen.extend(syncer.times());
            late(&seen)
        },
        || {
            disk.cut();
            daemon.signal("KILL");
        },
    );
    drop(syncer);
    let root = disk.start_again(daemon.wait());
    let promised: u32 = sent.promised.iter().sum();
    assert!(promised > 0, "cut {cut}: nothing was promised: {sent:?}");
    let whole = whole_files(&root.path().join("whisper"));
    let shards = 1 + cut % 3;
    let daemon = Daemon::start_in(
        &setup(shards, &format!("SHUTDOWN = drain\n{SEGMENTS}{order}")),
        root,
    );
    assert!(
        wait_for_recall(&daemon, shards) > 0,
        "cut {cut}: {whole} files"
    );
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    balance(&ended.log);
    load.check(&ended.data(), &sent, false);
    assert!(whole_files(&ended.data()) >= whole);
    assert_nothing_owed(&ended.data());
    drop(ended);
    disk.unmount();
    sent
}

#[test]
fn a_power_cut_under_load_loses_a_journal_sync_at_most_on_ext4() {
    power_fails("ext4");
}

#[test]
fn a_power_cut_under_load_loses_a_journal_sync_at_most_on_xfs() {
    power_fails("xfs");
}
