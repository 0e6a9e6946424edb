//! Which disk the daemon says that it writes to: a loop device, a partition, a bind mount, a file
//! system in memory; and what carbon.conf may say instead. Disks of other kinds are trees of files in
//! the engine's own tests.
//! Root is needed, and mkfs.ext4, losetup and addpart.

use std::fs;
use std::path::Path;
use std::process::Command;

use benzene_engine::device::{Class, Disk, Layer};

use crate::daemon::{Daemon, Setup, Way};
use crate::faults::Mount;
use crate::power;

fn disk_of(directory: &Path) -> Disk {
    Disk::of(directory).unwrap()
}

/// What a device says of the file that it stands on, below the device itself.
fn stands_on(disk: &Disk, below: &Disk, own: &[Layer]) {
    let layers: Vec<Layer> = disk.chain.iter().map(|link| link.layer).collect();
    assert_eq!(layers[..own.len()], *own, "{}", disk.place());
    assert_eq!(disk.chain[own.len()..], below.chain, "{}", disk.place());
    // A read of a virtual disk takes longer at one time than at another, and of what was just
    // written not at all.
    let is_probed = disk.reason.to_string().contains("virtio");
    assert!(disk.class == below.class || is_probed, "{disk:?}");
}

#[test]
fn a_loop_device_and_a_bind_mount_have_the_class_of_what_they_stand_on() {
    let loop_disk = power::Disk::new("ext4");
    loop_disk.mount();
    let image = disk_of(&std::env::temp_dir());
    let seen = disk_of(&loop_disk.at);
    if !image.chain.is_empty() {
        stands_on(&seen, &image, &[Layer::Loop]);
    }
    let (storage, bound) = (loop_disk.at.join("storage"), loop_disk.at.join("bound"));
    fs::create_dir(&storage).unwrap();
    fs::create_dir(&bound).unwrap();
    {
        let bind = Mount::new(&["--bind", storage.to_str().unwrap()], &bound);
        assert_eq!(disk_of(&bound).chain, seen.chain);
        let memory = Mount::new(&["-t", "tmpfs", "none"], &storage);
        assert_eq!(disk_of(&storage).class, Class::Ssd);
        assert_eq!(disk_of(&storage).chain, []);
        drop((memory, bind));
    }
    let setup = Setup::conf("DEVICE_CLASS = hdd\nMAX_UPDATES_PER_SECOND_HDD = 90\n");
    let root = tempfile::tempdir_in(&loop_disk.at).unwrap();
    let mut daemon = Daemon::start_in(&setup, root);
    daemon.wait_for_log(&format!(
        "is on {}: class hdd (as DEVICE_CLASS says)",
        seen.place()
    ));
    daemon.wait_for_log("profile hdd: at most 90 updates/s, as many creates/min");
    daemon.wait_for_log(match Way::of_this_run() {
        Way::Uring => "32 kernel workers",
        Way::Sync | Way::Poll | Way::Forbidden => "32 file threads",
    });
    if Way::of_this_run() != Way::Uring {
        daemon.wait_for_log("files by 32 threads (sync)");
    }
    daemon.wait_for_log("MAX_UPDATES_PER_SECOND_HDD = 90 is obeyed, as line");
    drop(daemon);
    loop_disk.unmount();
}

/// A loop device with one partition, which goes away with it. Not every kernel reads tables of
/// partitions; each lets one be added.
struct Partitioned {
    device: String,
    _image: tempfile::NamedTempFile,
}

impl Partitioned {
    /// A partition from the first mebibyte to the end of 64.
    fn new() -> Partitioned {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(64 << 20).unwrap();
        let made = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(image.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "this test needs root: {made:?}");
        let disk = Partitioned {
            device: String::from_utf8(made.stdout).unwrap().trim().to_owned(),
            _image: image,
        };
        let added = Command::new("addpart")
            .args([&disk.device, "1", "2048", "129024"])
            .status();
        assert!(added.unwrap().success(), "addpart {}", disk.device);
        disk
    }
}

impl Drop for Partitioned {
    fn drop(&mut self) {
        for (program, arguments) in [
            ("delpart", &[&self.device, "1"][..]),
            ("losetup", &["-d", &self.device]),
        ] {
            drop(Command::new(program).args(arguments).status());
        }
    }
}

#[test]
fn a_partition_has_the_class_of_its_disk() {
    let disk = Partitioned::new();
    let partition = format!("{}p1", disk.device);
    let made = Command::new("mkfs.ext4").args(["-q", &partition]).status();
    assert!(made.unwrap().success(), "mkfs.ext4 {partition}");
    let at = tempfile::tempdir().unwrap();
    let mounted = Mount::new(&[&partition], at.path());
    let image = disk_of(&std::env::temp_dir());
    if !image.chain.is_empty() {
        stands_on(
            &disk_of(at.path()),
            &image,
            &[Layer::Partition, Layer::Loop],
        );
    }
    drop(mounted);
}
