//! Power cuts under load with the journal and the data on one file system, ext4 and XFS (`Disk` of
//! `power` has how a cut is made): after a mount and a start every point that was read JOURNAL_SYNC
//! and 100 ms before the cut is there, and no file is broken.
//! Root is needed, and mkfs.ext4, mkfs.xfs and losetup.

use std::time::Duration;

use crate::daemon::Daemon;
use crate::journal::{
    Load, PACE, Sent, assert_nothing_owed, balance, draw, order, setup, wait_for_recall,
};
use crate::power::{Disk, whole_files};
use crate::vitals::is_long;

/// A tenth of the disk is the journal's.
const SEGMENTS: &str = "JOURNAL_SEGMENT_BYTES = 8m\n";

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
    let sent = load.run(&daemon, until_cut, || {
        disk.cut();
        daemon.signal("KILL");
    });
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
