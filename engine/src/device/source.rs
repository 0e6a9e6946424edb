//! What a file system stands on: memory, block devices of this machine, or nothing that can be seen.
//! Bind mounts and subvolumes need no step of their own, for a path's device is asked, not its
//! mount's; btrfs may have several; what is written to an overlay goes to its upper directory.

use std::io;
use std::path::Path;

use super::tree::Tree;
use crate::limits::OVERLAYS_DEPTH_MAX;
use crate::ring::mount::{self, DeviceNumber, Mount};

/// What a file system stands on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Memory.
    Memory,
    /// These block devices, of which it may use each.
    Devices(Vec<DeviceNumber>),
    /// No block device of this machine that can be seen.
    NoDevice {
        /// The kind of file system.
        kind: String,
    },
}

/// What the file system stands on that holds a path.
pub(super) fn source_of(path: &Path, tree: Tree<'_>) -> io::Result<Source> {
    source_in(path, &mount::of(path)?, tree, 0)
}

/// The same for a path in a mount that is known.
pub(super) fn source_in(
    path: &Path,
    mount: &Mount,
    tree: Tree<'_>,
    depth: usize,
) -> io::Result<Source> {
    if ["tmpfs", "ramfs"].contains(&&*mount.kind) {
        return Ok(Source::Memory);
    }
    let device = mount::device_of(path)?;
    if device.major != 0 {
        return Ok(Source::Devices(vec![device]));
    }
    let none = Source::NoDevice {
        kind: mount.kind.clone(),
    };
    if mount.kind == "overlay" {
        let upper = mount.value("upperdir").map(Path::new);
        // Its path is the one of who mounted it: in a container it usually leads nowhere.
        return Ok(match upper {
            Some(upper) if depth < OVERLAYS_DEPTH_MAX && upper.is_absolute() => mount::of(upper)
                .and_then(|mount| source_in(upper, &mount, tree, depth + 1))
                .unwrap_or(none),
            Some(_) | None => none,
        });
    }
    // btrfs and the like number their own; what was mounted may still be a device.
    let Ok(Some(device)) = mount::block_device(&mount.source) else {
        return Ok(none);
    };
    let name = mount.source.canonicalize().unwrap_or(mount.source.clone());
    let all = match name.file_name() {
        Some(name) if mount.kind == "btrfs" => tree.btrfs_devices(&name.to_string_lossy()),
        Some(_) | None => Vec::new(),
    };
    Ok(Source::Devices(if all.contains(&device) {
        all
    } else {
        vec![device]
    }))
}
