//! Which disk a directory lies on, what kind it is, and how a disk of that kind is treated.
//! The way leads from the directory's file system to its block devices and through what they stand on
//! (`source`, `tree`); each step is kept, so that an operator can see where an answer comes from. A
//! virtual disk that says it rotates is not believed, but tried: a few reads tell (`probe`).
//! Nothing is written or changed. What nobody knows is `Class::Unknown`, never a guess, and is treated
//! as an SSD (`profile`).

mod activity;
mod probe;
mod profile;
mod source;
#[cfg(test)]
mod tests;
mod tree;
mod watch;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

pub use activity::{Activity, Counters};
pub use profile::Profile;
pub use tree::{Layer, Link};
pub use watch::{Watch, dirty_share};

use crate::limits::DEVICE_PROBE_SLOW;
use crate::ring::mount::{self, Mount};
use source::Source;
use tree::{Bottom, Tree};

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
    /// This disk says that it rotates, but virtual ones say so whatever they stand on; and how long a
    /// read takes, where that could be tried.
    Virtual {
        /// Its name in /sys/block.
        disk: String,
        /// What makes it virtual.
        because: &'static str,
        /// What a quarter of a few reads stayed below.
        read: Option<Duration>,
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
        /// Its name, or its number.
        device: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoneRotates => write!(f, "no disk below it rotates"),
            Reason::Rotates { disk } => write!(f, "{disk} rotates"),
            Reason::Virtual {
                disk,
                because,
                read,
            } => {
                write!(f, "{disk} says that it rotates, but it is {because}, ")?;
                match read {
                    Some(read) => write!(f, "and a read takes {:.1} ms", read.as_secs_f64() * 1e3),
                    None => write!(
                        f,
                        "which says so over any disk, and there was nothing to read to find out"
                    ),
                }
            }
            Reason::Memory => write!(f, "its file system lives in memory"),
            Reason::NoDevice { kind } => write!(f, "{kind} shows no block device"),
            Reason::Hidden { device } => write!(f, "/sys does not show device {device}"),
        }
    }
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
    /// The names of the disks at the lower ends, where requests wait.
    pub disks: Vec<String>,
}

impl Disk {
    /// The disk below a directory that exists.
    pub fn of(directory: &Path) -> io::Result<Disk> {
        Disk::below(directory, &mount::of(directory)?)
    }

    /// The disk below a directory that exists and lies in `mount`. Where the kernel's word is not to
    /// be believed it is read a little, a quarter of a second at most.
    pub fn below(directory: &Path, mount: &Mount) -> io::Result<Disk> {
        let mut disk = Disk::look(directory, mount, Tree::at(Path::new("/sys")))?;
        if let Reason::Virtual { read, .. } = &mut disk.reason {
            let device = disk.chain.first().map(|link| &*link.name);
            *read = probe::read_time(device, directory);
            disk.class = match *read {
                Some(read) if read >= DEVICE_PROBE_SLOW => Class::Hdd,
                Some(_) => Class::Ssd,
                None => Class::Unknown,
            };
        }
        Ok(disk)
    }

    /// What the kernel says.
    fn look(directory: &Path, mount: &Mount, tree: Tree<'_>) -> io::Result<Disk> {
        Ok(match source::source_in(directory, mount, tree, 0)? {
            Source::Memory => Disk::without_chain(Class::Ssd, Reason::Memory),
            Source::NoDevice { kind } => {
                Disk::without_chain(Class::Unknown, Reason::NoDevice { kind })
            }
            Source::Devices(devices) => {
                let seen = tree.look(&devices);
                let (class, reason) = judge(&seen.bottoms);
                let disks = seen.bottoms.into_iter().map(|disk| disk.name);
                Disk {
                    class,
                    reason,
                    chain: seen.chain,
                    disks: disks.collect(),
                }
            }
        })
    }

    fn without_chain(class: Class, reason: Reason) -> Disk {
        Disk {
            class,
            reason,
            chain: Vec::new(),
            disks: Vec::new(),
        }
    }

    /// The devices from the file system down: `sda2 (partition) on sda (disk)`.
    pub fn place(&self) -> String {
        let links = self.chain.iter();
        let links: Vec<String> = links
            .map(|link| format!("{} ({})", link.name, link.layer.name()))
            .collect();
        if links.is_empty() {
            return "no block device that can be seen".to_owned();
        }
        links.join(" on ")
    }
}

/// The class of what stands on these disks: as slow as the slowest, and known only if all are.
fn judge(bottoms: &[Bottom]) -> (Class, Reason) {
    let real = |disk: &&Bottom| disk.rotational == Some(true) && disk.virtual_because.is_none();
    if let Some(disk) = bottoms.iter().find(real) {
        let disk = disk.name.clone();
        return (Class::Hdd, Reason::Rotates { disk });
    }
    for disk in bottoms {
        if let (Some(true), Some(because)) = (disk.rotational, disk.virtual_because) {
            let reason = Reason::Virtual {
                disk: disk.name.clone(),
                because,
                read: None,
            };
            return (Class::Unknown, reason);
        }
    }
    if let Some(disk) = bottoms.iter().find(|disk| disk.rotational.is_none()) {
        let device = disk.name.clone();
        return (Class::Unknown, Reason::Hidden { device });
    }
    (Class::Ssd, Reason::NoneRotates)
}
