//! Trees as /sys shows them, made of files: each machine is a few directories and links.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::source::source_in;
use super::*;
use crate::limits::DEVICE_CHAIN_DEPTH_MAX;
use crate::ring::mount::{self, DeviceNumber};

/// A tree with disks, which are named by their place below devices/.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Machine {
        let root = tempfile::tempdir().unwrap();
        for directory in ["dev/block", "class/block"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        Machine { root }
    }

    /// Makes a device and its links; `says` is its word about rotation.
    fn device(&self, number: &str, place: &str, says: Option<&str>) -> PathBuf {
        let directory = self.root.path().join("devices").join(place);
        fs::create_dir_all(&directory).unwrap();
        if let Some(says) = says {
            fs::create_dir_all(directory.join("queue")).unwrap();
            fs::write(directory.join("queue/rotational"), format!("{says}\n")).unwrap();
        }
        let name = directory.file_name().unwrap().to_owned();
        symlink(&directory, self.root.path().join("dev/block").join(number)).unwrap();
        symlink(&directory, self.root.path().join("class/block").join(name)).unwrap();
        fs::write(directory.join("dev"), format!("{number}\n")).unwrap();
        directory
    }

    fn disk(&self, major: u32, minor: u32) -> Disk {
        let root = fs::canonicalize(self.root.path()).unwrap();
        let seen = Tree::at(&root).look(&[DeviceNumber { major, minor }]);
        let ((class, reason), chain) = (judge(&seen.bottoms), seen.chain);
        let disks = seen.bottoms.into_iter().map(|disk| disk.name).collect();
        Disk {
            class,
            reason,
            chain,
            disks,
        }
    }
}

/// Names of the chain, with their layers.
fn chain(disk: &Disk) -> Vec<(&str, Layer)> {
    let links = disk.chain.iter();
    links.map(|link| (link.name.as_str(), link.layer)).collect()
}

#[test]
fn a_partition_leads_to_its_disk() {
    let machine = Machine::new();
    machine.device("8:0", "pci0/ata1/block/sda", Some("1"));
    let partition = machine.device("8:1", "pci0/ata1/block/sda/sda1", None);
    fs::write(partition.join("partition"), "1\n").unwrap();
    let disk = machine.disk(8, 1);
    assert_eq!(disk.class, Class::Hdd);
    assert_eq!(disk.reason.to_string(), "sda rotates");
    assert_eq!(
        chain(&disk),
        [("sda1", Layer::Partition), ("sda", Layer::Disk)]
    );
    assert_eq!(disk.place(), "sda1 (partition) on sda (disk)");
    machine.device("259:0", "pci0/nvme/nvme0/nvme0n1", Some("0"));
    let disk = machine.disk(259, 0);
    assert_eq!((disk.class, disk.reason), (Class::Ssd, Reason::NoneRotates));
}

#[test]
fn a_volume_is_as_slow_as_its_slowest_disk() {
    let machine = Machine::new();
    machine.device("8:0", "pci0/ata1/block/sda", Some("0"));
    machine.device("8:16", "pci0/ata2/block/sdb", Some("1"));
    let raid = machine.device("9:0", "virtual/block/md0", Some("1"));
    let volume = machine.device("252:0", "virtual/block/dm-0", Some("1"));
    fs::create_dir_all(raid.join("md")).unwrap();
    fs::create_dir_all(volume.join("dm")).unwrap();
    for (above, below) in [(&raid, "sda"), (&raid, "sdb"), (&volume, "md0")] {
        fs::create_dir_all(above.join("slaves").join(below)).unwrap();
    }
    let disk = machine.disk(252, 0);
    assert_eq!(disk.class, Class::Hdd);
    assert_eq!(disk.reason.to_string(), "sdb rotates");
    assert_eq!(
        chain(&disk),
        [
            ("dm-0", Layer::Mapper),
            ("md0", Layer::Raid),
            ("sda", Layer::Disk),
            ("sdb", Layer::Disk)
        ]
    );
}

#[test]
fn virtual_disks_that_say_they_rotate_are_not_believed() {
    let machine = Machine::new();
    machine.device("254:0", "pci0/virtio1/block/vda", Some("1"));
    machine.device("254:16", "pci0/virtio2/block/vdb", Some("0"));
    machine.device("202:0", "vbd-51712/block/xvda", Some("1"));
    let file = machine.device("7:0", "virtual/block/loop0", Some("1"));
    fs::create_dir_all(file.join("loop")).unwrap();
    let scsi = machine.device("8:0", "pci0/host0/block/sda", Some("1"));
    fs::create_dir_all(scsi.join("device")).unwrap();
    fs::write(scsi.join("device/vendor"), "VMware  \n").unwrap();
    for (major, word) in [(254, "virtio"), (202, "Xen"), (7, "file"), (8, "machine")] {
        let disk = machine.disk(major, 0);
        assert_eq!(disk.class, Class::Unknown, "{disk:?}");
        let reason = disk.reason.to_string();
        assert!(reason.contains(word), "{reason}");
    }
    assert_eq!(machine.disk(254, 16).class, Class::Ssd, "0 is believed");
}

#[test]
fn what_sys_does_not_show_is_unknown() {
    let machine = Machine::new();
    let disk = machine.disk(8, 0);
    assert_eq!(disk.class, Class::Unknown);
    assert_eq!(disk.reason.to_string(), "/sys does not show device 8:0");
    assert_eq!(disk.chain, []);
}

#[test]
fn a_tree_that_turns_in_a_circle_ends() {
    let machine = Machine::new();
    for (number, name, below) in [("252:0", "dm-0", "dm-1"), ("252:1", "dm-1", "dm-0")] {
        let place = machine.device(number, &format!("virtual/block/{name}"), Some("0"));
        fs::create_dir_all(place.join("dm")).unwrap();
        fs::create_dir_all(place.join("slaves").join(below)).unwrap();
    }
    let disk = machine.disk(252, 0);
    assert_eq!(
        disk.class,
        Class::Unknown,
        "what is not reached is not known"
    );
    assert_eq!(disk.chain.len(), DEVICE_CHAIN_DEPTH_MAX);
}

#[test]
fn a_loop_device_is_as_slow_as_what_its_file_lies_on() {
    let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let here = mount::device_of(directory.path()).unwrap();
    let machine = Machine::new();
    let file = directory.path().join("disk.image");
    fs::write(&file, "a disk").unwrap();
    machine.device(&here.to_string(), "pci0/ata1/block/sda", Some("1"));
    let place = machine.device("7:0", "virtual/block/loop0", Some("0"));
    fs::create_dir_all(place.join("loop")).unwrap();
    fs::write(
        place.join("loop/backing_file"),
        format!("{}\n", file.display()),
    )
    .unwrap();
    // A checkout on btrfs or in a container lies on no block device of its own.
    if here.major != 0 {
        let disk = machine.disk(7, 0);
        assert_eq!(disk.reason.to_string(), "sda rotates");
        assert_eq!(disk.place(), "loop0 (loop) on sda (disk)");
    }
    if Path::new("/dev/shm").is_dir() {
        let memory = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        let text = format!("{}\n", memory.path().display());
        fs::write(place.join("loop/backing_file"), text).unwrap();
        assert_eq!(machine.disk(7, 0).class, Class::Ssd);
    }
    fs::write(place.join("loop/backing_file"), "/gone (deleted)\n").unwrap();
    assert_eq!(machine.disk(7, 0).class, Class::Ssd, "its own word");
    fs::write(place.join("queue/rotational"), "1\n").unwrap();
    assert_eq!(machine.disk(7, 0).class, Class::Unknown, "not believed");
}

#[test]
fn all_devices_of_a_btrfs_count() {
    let machine = Machine::new();
    machine.device("8:0", "pci0/ata1/block/sda", Some("0"));
    machine.device("8:16", "pci0/ata2/block/sdb", Some("1"));
    let devices = machine.root.path().join("fs/btrfs/some-uuid/devices");
    fs::create_dir_all(&devices).unwrap();
    for name in ["sda", "sdb"] {
        let place = machine.root.path().join("class/block").join(name);
        symlink(place, devices.join(name)).unwrap();
    }
    let tree = Tree::at(machine.root.path());
    let numbers: Vec<String> = tree
        .btrfs_devices("sda")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(numbers, ["8:0", "8:16"]);
    assert_eq!(tree.btrfs_devices("sdc"), []);
}

#[test]
fn an_overlay_lies_where_it_is_written() {
    let overlay = |upper: &str| Mount {
        point: "/".into(),
        kind: "overlay".to_owned(),
        source: "overlay".into(),
        options: vec!["rw".to_owned(), format!("upperdir={upper}")],
    };
    let tree = Tree::at(Path::new("/sys"));
    // A path whose device number is anonymous, as every path in an overlay has.
    let anonymous = Path::new("/proc");
    let upper = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let source = |path: &str| source_in(anonymous, &overlay(path), tree, 0).unwrap();
    let own = source_in(upper.path(), &mount::of(upper.path()).unwrap(), tree, 0).unwrap();
    assert_eq!(source(upper.path().to_str().unwrap()), own);
    let none = Source::NoDevice {
        kind: "overlay".to_owned(),
    };
    assert_eq!(source("/no/such/directory"), none);
    assert_eq!(source("relative"), none);
}

#[test]
fn the_slower_class_holds_points_longer_and_the_unknown_is_no_slow_one() {
    let [ssd, unknown, hdd] = [Class::Ssd, Class::Unknown, Class::Hdd].map(Profile::of);
    assert_eq!(ssd, unknown);
    assert_eq!((ssd.max_point_age_s, hdd.max_point_age_s), (60, 300));
    assert!(hdd.kernel_workers > ssd.kernel_workers);
}

#[test]
fn this_machines_directory_has_a_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mount = mount::of(directory.path()).unwrap();
    let disk = Disk::below(directory.path(), &mount).unwrap();
    let explained = !disk.chain.is_empty() || disk.reason != Reason::NoneRotates;
    assert!(explained, "{disk:?}");
    let memory = Path::new("/dev/shm");
    if memory.is_dir() && mount::of(memory).is_ok_and(|mount| mount.kind == "tmpfs") {
        let disk = Disk::below(memory, &mount::of(memory).unwrap()).unwrap();
        assert_eq!((disk.class, disk.reason), (Class::Ssd, Reason::Memory));
    }
}
