//! Which disk a directory lies on, and what kind it is, from what the kernel says in /sys.
//! The way leads from the directory's file system to its block device, from a partition to its
//! disk, and through device mapper, md and loop to what they stand on; each step is kept, so that
//! an operator can see where an answer comes from. Only looks: nothing is read from a disk, written
//! or measured. What the kernel does not know is `Class::Unknown`, never a guess.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::limits::{DEVICE_CHAIN_DEPTH_MAX, DEVICE_CHAIN_LINKS_MAX};
use crate::ring::mount::{self, DeviceNumber, Mount};

/// What moves when a block far away is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing: flash or memory.
    Ssd,
    /// A head: a spinning disk.
    Hdd,
    /// The kernel does not know, or what it says is not to be believed.
    Unknown,
}

impl Class {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Ssd => "ssd",
            Class::Hdd => "hdd",
            Class::Unknown => "unknown",
        }
    }
}

/// Why a disk has its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Every disk below says that it does not rotate.
    NoneRotates,
    /// This disk says that it rotates, and it is a real one.
    Rotates {
        /// Its name in /sys/block.
        disk: String,
    },
    /// This disk says that it rotates, but virtual ones say so whatever they stand on.
    Virtual {
        /// Its name in /sys/block.
        disk: String,
        /// What makes it virtual.
        because: &'static str,
    },
    /// The file system lives in memory.
    Memory,
    /// The file system is not on a block device of this machine.
    NoDevice {
        /// The kind of file system.
        kind: String,
    },
    /// /sys says nothing about this device, as in some containers.
    Hidden {
        /// The device.
        device: DeviceNumber,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoneRotates => write!(f, "no disk below it rotates"),
            Reason::Rotates { disk } => write!(f, "{disk} rotates"),
            Reason::Virtual { disk, because } => write!(
                f,
                "{disk} says that it rotates, but it is {because}, which says so over any disk"
            ),
            Reason::Memory => write!(f, "its file system lives in memory"),
            Reason::NoDevice { kind } => write!(f, "{kind} shows no block device"),
            Reason::Hidden { device } => write!(f, "/sys does not show device {device}"),
        }
    }
}

/// What a device is to the one above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A partition of the next one.
    Partition,
    /// Device mapper: LVM, encryption, multipath.
    Mapper,
    /// A RAID of the kernel.
    Raid,
    /// A file that is used as a disk.
    Loop,
    /// A disk; nothing below it.
    Disk,
}

impl Layer {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Layer::Partition => "partition",
            Layer::Mapper => "device mapper",
            Layer::Raid => "raid",
            Layer::Loop => "loop",
            Layer::Disk => "disk",
        }
    }
}

/// One device on the way down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name in /sys/block.
    pub name: String,
    /// What it is.
    pub layer: Layer,
    /// What it says of itself; `None` where it says nothing, as partitions.
    pub rotational: Option<bool>,
}

/// What is known of the disk below a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its class.
    pub class: Class,
    /// Why.
    pub reason: Reason,
    /// The devices from the file system down, in the order in which they were found.
    pub chain: Vec<Link>,
}

impl Disk {
    /// Looks at the disk below a directory that exists and lies in `mount`.
    pub fn below(directory: &Path, mount: &Mount) -> io::Result<Disk> {
        if ["tmpfs", "ramfs"].contains(&&*mount.kind) {
            return Ok(Disk::without_chain(Class::Ssd, Reason::Memory));
        }
        let device = match mount::device_of(directory)? {
            // btrfs and the like number their own; what was mounted may still be one device.
            DeviceNumber { major: 0, .. } => mount::block_device(&mount.source).ok().flatten(),
            device => Some(device),
        };
        Ok(device.map_or_else(
            || {
                let kind = mount.kind.clone();
                Disk::without_chain(Class::Unknown, Reason::NoDevice { kind })
            },
            |device| Tree::at(Path::new("/sys")).disk(device),
        ))
    }

    fn without_chain(class: Class, reason: Reason) -> Disk {
        Disk {
            class,
            reason,
            chain: Vec::new(),
        }
    }
}

/// The kernel's tree of devices.
struct Tree<'a> {
    root: &'a Path,
}

/// A disk at the lower end of a way down.
struct Bottom {
    name: String,
    rotational: Option<bool>,
    virtual_because: Option<&'static str>,
}

impl<'a> Tree<'a> {
    fn at(root: &'a Path) -> Self {
        Tree { root }
    }

    fn disk(&self, device: DeviceNumber) -> Disk {
        let link = self.root.join(format!("dev/block/{device}"));
        let (mut chain, mut bottoms) = (Vec::new(), Vec::new());
        if let Ok(place) = fs::canonicalize(link) {
            self.descend(&place, 0, &mut chain, &mut bottoms);
        }
        let (class, reason) = judge(device, &bottoms);
        Disk {
            class,
            reason,
            chain,
        }
    }

    /// Goes down from a device's directory. Depth and number of links are bounded: a tree that is
    /// deeper ends there, and what is not reached is not known.
    fn descend(&self, place: &Path, depth: usize, chain: &mut Vec<Link>, found: &mut Vec<Bottom>) {
        let Some(name) = place.file_name().map(|name| name.to_string_lossy()) else {
            return;
        };
        let name = name.into_owned();
        let rotational = flag(&place.join("queue/rotational"));
        let lower = self.below(place);
        let layer = layer_of(place);
        if chain.len() >= DEVICE_CHAIN_LINKS_MAX || depth >= DEVICE_CHAIN_DEPTH_MAX {
            let (rotational, virtual_because) = (None, None);
            return found.push(Bottom {
                name,
                rotational,
                virtual_because,
            });
        }
        chain.push(Link {
            name: name.clone(),
            layer,
            rotational,
        });
        if lower.is_empty() {
            let virtual_because = virtual_because(place, &name, layer);
            found.push(Bottom {
                name,
                rotational,
                virtual_because,
            });
        }
        for place in lower {
            self.descend(&place, depth + 1, chain, found);
        }
    }

    /// The directories of what a device stands on; none for a disk.
    fn below(&self, place: &Path) -> Vec<PathBuf> {
        if place.join("partition").exists() {
            return place.parent().map(Path::to_owned).into_iter().collect();
        }
        let slaves = fs::read_dir(place.join("slaves")).into_iter().flatten();
        let names = slaves.flatten().map(|slave| slave.file_name());
        let mut lower: Vec<PathBuf> = names
            .filter_map(|name| fs::canonicalize(self.root.join("class/block").join(name)).ok())
            .collect();
        lower.sort();
        lower
    }
}

/// The class of what stands on these disks: as slow as the slowest, and known only if all are.
fn judge(device: DeviceNumber, bottoms: &[Bottom]) -> (Class, Reason) {
    let real = |disk: &&Bottom| disk.rotational == Some(true) && disk.virtual_because.is_none();
    if let Some(disk) = bottoms.iter().find(real) {
        let disk = disk.name.clone();
        return (Class::Hdd, Reason::Rotates { disk });
    }
    for disk in bottoms {
        if let (Some(true), Some(because)) = (disk.rotational, disk.virtual_because) {
            let disk = disk.name.clone();
            return (Class::Unknown, Reason::Virtual { disk, because });
        }
    }
    if bottoms.is_empty() || bottoms.iter().any(|disk| disk.rotational.is_none()) {
        return (Class::Unknown, Reason::Hidden { device });
    }
    (Class::Ssd, Reason::NoneRotates)
}

fn layer_of(place: &Path) -> Layer {
    let has = |what: &str| place.join(what).exists();
    if has("partition") {
        Layer::Partition
    } else if has("dm") {
        Layer::Mapper
    } else if has("md") {
        Layer::Raid
    } else if has("loop") {
        Layer::Loop
    } else {
        Layer::Disk
    }
}

/// Why a disk's word about rotation is not to be believed.
fn virtual_because(place: &Path, name: &str, layer: Layer) -> Option<&'static str> {
    if layer == Layer::Loop || name.starts_with("loop") {
        return Some("a file used as a disk");
    }
    let path = place.to_string_lossy();
    if path.contains("/virtio") {
        return Some("a virtio disk of a virtual machine");
    }
    if path.contains("/vbd-") || name.starts_with("xvd") {
        return Some("a Xen disk of a virtual machine");
    }
    if ["nbd", "rbd"].iter().any(|net| name.starts_with(net)) {
        return Some("a disk behind the network");
    }
    let vendor = fs::read_to_string(place.join("device/vendor")).unwrap_or_default();
    let makers = ["QEMU", "VMware", "VBOX", "Msft", "Google"];
    makers
        .contains(&vendor.trim())
        .then_some("a disk of a virtual machine")
}

fn flag(path: &Path) -> Option<bool> {
    match fs::read_to_string(path).ok()?.trim() {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
