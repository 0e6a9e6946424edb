//! The kernel's tree of block devices: from a device down to the disks that it stands on, through
//! partitions, device mapper, md and loop files.
//! Only looks, and keeps each step. Depth and number of links are bounded: what is not reached is not
//! known.

use std::fs;
use std::path::{Path, PathBuf};

use super::source::{Source, source_of};
use crate::limits::{DEVICE_CHAIN_DEPTH_MAX, DEVICE_CHAIN_LINKS_MAX};
use crate::ring::mount::DeviceNumber;

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

/// A disk at the lower end of a way down.
#[derive(Debug)]
pub(super) struct Bottom {
    pub(super) name: String,
    pub(super) rotational: Option<bool>,
    pub(super) virtual_because: Option<&'static str>,
}

/// The devices on all ways down, and the disks at their ends.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) chain: Vec<Link>,
    pub(super) bottoms: Vec<Bottom>,
}

/// The tree, at /sys or where a test has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree<'a> {
    root: &'a Path,
}

impl<'a> Tree<'a> {
    pub(super) fn at(root: &'a Path) -> Self {
        Tree { root }
    }

    /// Looks at all that these devices stand on.
    pub(super) fn look(&self, devices: &[DeviceNumber]) -> Seen {
        let mut seen = Seen::default();
        for device in devices {
            self.look_below(*device, 0, &mut seen);
        }
        seen
    }

    /// The numbers of all devices of the btrfs file system to which one of this name belongs; none
    /// where it is not known.
    pub(super) fn btrfs_devices(&self, name: &str) -> Vec<DeviceNumber> {
        let systems = fs::read_dir(self.root.join("fs/btrfs"))
            .into_iter()
            .flatten();
        let devices = systems
            .flatten()
            .map(|system| system.path().join("devices"))
            .find(|devices| devices.join(name).exists());
        let entries = devices.and_then(|devices| fs::read_dir(devices).ok());
        let numbers = entries.into_iter().flatten().flatten().filter_map(|entry| {
            let place = self.root.join("class/block").join(entry.file_name());
            number(&fs::read_to_string(place.join("dev")).ok()?)
        });
        let mut numbers: Vec<DeviceNumber> = numbers.collect();
        numbers.sort_by_key(|number| (number.major, number.minor));
        numbers
    }

    fn look_below(&self, device: DeviceNumber, depth: usize, seen: &mut Seen) {
        let link = self.root.join(format!("dev/block/{device}"));
        match fs::canonicalize(link) {
            Ok(place) => self.descend(&place, depth, seen),
            Err(_) => seen.bottoms.push(Bottom {
                name: device.to_string(),
                rotational: None,
                virtual_because: None,
            }),
        }
    }

    /// Goes down from a device's directory.
    fn descend(&self, place: &Path, depth: usize, seen: &mut Seen) {
        let Some(name) = place.file_name().map(|name| name.to_string_lossy()) else {
            return;
        };
        let name = name.into_owned();
        let rotational = flag(&place.join("queue/rotational"));
        if seen.chain.len() >= DEVICE_CHAIN_LINKS_MAX || depth >= DEVICE_CHAIN_DEPTH_MAX {
            return seen.bottoms.push(Bottom {
                name,
                rotational: None,
                virtual_because: None,
            });
        }
        let layer = layer_of(place);
        seen.chain.push(Link {
            name: name.clone(),
            layer,
            rotational,
        });
        if layer == Layer::Loop && self.follow_file(place, depth, seen) {
            return;
        }
        let lower = self.below(place);
        if lower.is_empty() {
            let virtual_because = virtual_because(place, &name, layer);
            seen.bottoms.push(Bottom {
                name,
                rotational,
                virtual_because,
            });
        }
        for place in lower {
            self.descend(&place, depth + 1, seen);
        }
    }

    /// Goes on with the disk below the file that a loop device stands on; false where that is not to
    /// be seen: in another namespace, removed, or on no block device.
    fn follow_file(&self, place: &Path, depth: usize, seen: &mut Seen) -> bool {
        let Ok(file) = fs::read_to_string(place.join("loop/backing_file")) else {
            return false;
        };
        match source_of(Path::new(file.trim_end_matches('\n')), *self) {
            Ok(Source::Devices(devices)) => {
                for device in devices {
                    self.look_below(device, depth + 1, seen);
                }
                true
            }
            Ok(Source::Memory) => {
                seen.bottoms.push(Bottom {
                    name: "memory".to_owned(),
                    rotational: Some(false),
                    virtual_because: None,
                });
                true
            }
            Ok(Source::NoDevice { .. }) | Err(_) => false,
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

/// A device's number as its `dev` file has it.
fn number(text: &str) -> Option<DeviceNumber> {
    let (major, minor) = text.trim().split_once(':')?;
    Some(DeviceNumber {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}
