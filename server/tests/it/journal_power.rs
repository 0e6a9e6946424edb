//! Power cuts under load with the journal and the data on one file system, ext4 and XFS (`Disk` of
//! `power` has how a cut is made): after a mount and a start every point that was read JOURNAL_SYNC
//! and 100 ms before the cut is there, and no file is broken.
//! Root is needed, and mkfs.ext4, mkfs.xfs and losetup.
#![expect(
    clippy::disallowed_methods,
    reason = "a test opens files and reads clocks simply"
)]

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::journal::{
    Load, PACE, Sent, assert_nothing_owed, balance, draw, order, setup, wait_for_recall,
};
use crate::power::{Disk, whole_files};
use crate::vitals::is_long;

/// A tenth of the disk is the journal's.
const SEGMENTS: &str = "JOURNAL_SEGMENT_BYTES = 8m\n";

/// A sync of a few bytes where nothing else uses the disk.
const USUAL_SYNC: Duration = Duration::from_millis(100);

/// How long syncs of the disk take, which are asked for all the time: the daemon's are begun in time by what the
/// last ones took, and nobody foresees one that takes longer. Others use the device below the loop, too.
struct Syncs {
    /// When each began, and then when it ended.
    told: Receiver<Instant>,
    seen: RefCell<Vec<Instant>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Syncs {
    fn start(path: PathBuf) -> Syncs {
        let (tell, told) = mpsc::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let syncs = move || {
            let file = File::create(path).unwrap();
            while !ends.load(Ordering::Relaxed) && tell.send(Instant::now()).is_ok() {
                // Behind the cut it fails.
                drop(file.write_at(&[1; 4096], 0).and_then(|_| file.sync_data()));
                if tell.send(Instant::now()).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        Syncs {
            told,
            seen: RefCell::default(),
            is_over,
            thread: Some(std::thread::spawn(syncs)),
        }
    }

    /// A sync waits for the one before, and is slow itself: twice what the slowest of the last two seconds took
    /// beyond the usual.
    fn late(&self) -> Duration {
        let now = Instant::now();
        let mut seen = self.seen.borrow_mut();
        seen.extend(self.told.try_iter());
        // The last one may not have ended yet.
        let syncs = seen.chunks(2);
        let times = syncs.map(|sync| (sync[0], *sync.get(1).unwrap_or(&now)));
        let late = times.filter(|(_, ended)| now.duration_since(*ended) < Duration::from_secs(2));
        let slowest = late.map(|(at, ended)| ended.duration_since(at)).max();
        2 * slowest.unwrap_or_default().saturating_sub(USUAL_SYNC)
    }
}

impl Drop for Syncs {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
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
    let syncs = Syncs::start(disk.at.join("synced"));
    let sent = load.run_beside(
        &daemon,
        until_cut,
        || syncs.late(),
        || {
            disk.cut();
            daemon.signal("KILL");
        },
    );
    drop(syncs);
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
