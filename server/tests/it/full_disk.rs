//! A full disk under the running daemon: points wait and are written once there is room, without a
//! restart; one message a cause. On a tmpfs, and on an ext4 filled to its last block.
//! Root is needed, for mounts, and mkfs.ext4.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clients::counted;
use crate::daemon::{Daemon, Querier, wait_for};
use crate::faults::{Mount, assert_said_once, assert_whole, files_below, lines, mount, setup};
use crate::first_use::now;

/// A small disk that can be given more room.
#[derive(Clone, Copy)]
enum SmallDisk {
    /// Made larger.
    Tmpfs,
    /// On a loop device, with a file that takes nearly all of it until it is removed.
    Ext4,
}

const FILLER: &str = "filler";

impl SmallDisk {
    fn mount(self, data: &Path) -> Mount {
        match self {
            SmallDisk::Tmpfs => Mount::new(&["-t", "tmpfs", "-o", "size=128k", "tmpfs"], data),
            SmallDisk::Ext4 => {
                let image = data.with_file_name("image");
                fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
                let image = image.to_str().unwrap();
                let made = Command::new("mkfs.ext4").args(["-q", image]).status();
                assert!(made.unwrap().success(), "mkfs.ext4");
                let mount = Mount::new(&["-o", "loop", image], data);
                let mut filler = fs::File::create(data.join(FILLER)).unwrap();
                let mut bytes = 0;
                while let Ok(written) = filler.write(&[1; 4096]) {
                    bytes += written as u64;
                }
                filler.set_len(bytes - (100 << 10)).unwrap();
                filler.sync_all().unwrap();
                mount
            }
        }
    }

    fn make_room(self, data: &Path) {
        match self {
            SmallDisk::Tmpfs => mount(&["-o", "remount,size=64m", data.to_str().unwrap()]),
            SmallDisk::Ext4 => fs::remove_file(data.join(FILLER)).unwrap(),
        }
    }

    /// The files of metrics.
    fn files(data: &Path) -> Vec<PathBuf> {
        let mut files = files_below(data);
        files.retain(|file| !file.ends_with(FILLER));
        files
    }
}

/// Whether a file of one archive of seconds holds points of these times.
fn has_points(file: &Path, times: &[u32]) -> bool {
    let Ok(data) = fs::read(file) else {
        return false;
    };
    let slots = data.get(28..).unwrap_or_default();
    let stored: Vec<&[u8]> = slots.chunks(12).map(|slot| &slot[..4]).collect();
    times
        .iter()
        .all(|time| stored.contains(&&time.to_be_bytes()[..]))
}

/// Fills a small disk, sees that points wait, makes room, and sees that they are written.
fn disk_runs_full(disk: SmallDisk, conf: &str) {
    const METRICS: usize = 100;
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("whisper");
    fs::create_dir(&data).unwrap();
    let mount_point = disk.mount(&data);
    let mut daemon = Daemon::start_in(&setup(conf), root);
    let time = now();
    let mut querier = Querier::connect(daemon.query);
    daemon.send(&lines("full", METRICS, time));
    daemon.wait_for_log("No space left on device");
    daemon.wait_for_points("full.m99", 1);
    // More of them and to the same files, while nothing can be written.
    daemon.send(&lines("full", METRICS, time - 1));
    let waiting = wait_for(|| Some(querier.points("full.m99")).filter(|points| points.len() == 2));
    assert_eq!(waiting, Some(vec![(time - 1, 99.0), (time, 99.0)]));
    let files = SmallDisk::files(&data);
    assert!(files.len() < METRICS, "the disk was not full");
    for file in files {
        assert_whole(&file);
    }
    disk.make_room(&data);
    for metric in 0..METRICS {
        let name = format!("full.m{metric}");
        let file = daemon.file(&name);
        wait_for(|| has_points(&file, &[time, time - 1]).then_some(()))
            .unwrap_or_else(|| panic!("{name} was never written: {}", daemon.log()));
    }
    let ended = daemon.stop();
    drop(mount_point);
    assert!(ended.status.success(), "{}", ended.log);
    assert_said_once(&ended.log);
    let counts = counted(&ended.log);
    assert_eq!(counts["committed"], 2 * METRICS as u64, "{}", ended.log);
    assert!(counts["errors.noSpace"] > 0, "{}", ended.log);
}

#[test]
fn a_full_disk_delays_points_and_loses_none() {
    disk_runs_full(SmallDisk::Tmpfs, "");
}

#[test]
fn a_full_disk_under_sparse_files_delays_points_and_loses_none() {
    disk_runs_full(SmallDisk::Tmpfs, "WHISPER_SPARSE_CREATE = True");
}

#[test]
fn a_full_ext4_delays_points_and_loses_none() {
    disk_runs_full(SmallDisk::Ext4, "");
}

#[test]
fn a_full_ext4_under_sparse_files_delays_points_and_loses_none() {
    disk_runs_full(SmallDisk::Ext4, "WHISPER_SPARSE_CREATE = True");
}

#[test]
fn a_full_disk_under_allocated_files_delays_points_and_loses_none() {
    disk_runs_full(SmallDisk::Tmpfs, "WHISPER_FALLOCATE_CREATE = True");
}

#[test]
fn a_full_ext4_under_allocated_files_delays_points_and_loses_none() {
    disk_runs_full(SmallDisk::Ext4, "WHISPER_FALLOCATE_CREATE = True");
}
