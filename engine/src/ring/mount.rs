//! What lies below a directory: its mount, its file system, the room that is left, and whether this
//! user may make files in it. Asked at start and by `benzene doctor`, never per point.
//! Nothing here makes, writes or changes anything: whether a directory can be written is asked, not
//! tried. On failure: the kernel's error for the path that was asked about.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, StatxFlags};

/// A block device or the anonymous number of a file system without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceNumber {
    /// Which driver; 0 where the file system has no block device of its own.
    pub major: u32,
    /// Which of the driver's devices.
    pub minor: u32,
}

impl std::fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// The mount that a directory lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// The kind of file system, as /proc/self/mountinfo names it.
    pub kind: String,
    /// What was mounted: a device, a share, or a word.
    pub source: PathBuf,
    /// Options of the mount and of the file system, each once.
    pub options: Vec<String>,
}

impl Mount {
    /// Whether an option is set, such as `ro`.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|set| set == option)
    }

    /// What an option is set to, such as `upperdir`.
    pub fn value(&self, option: &str) -> Option<&str> {
        let mut options = self.options.iter().filter_map(|set| set.split_once('='));
        options.find_map(|(name, value)| (name == option).then_some(value))
    }
}

/// What is left on a file system for this user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// Free bytes.
    pub bytes: u64,
    /// Of so many.
    pub bytes_total: u64,
    /// Free inodes: files that can still be made.
    pub inodes: u64,
    /// Of so many; 0 where the file system makes them as they are needed.
    pub inodes_total: u64,
}

/// The mount of a path that exists.
pub fn of(path: &Path) -> io::Result<Mount> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    let found = rustix::fs::statx(CWD, path, AtFlags::empty(), wanted)?;
    let table = fs::read("/proc/self/mountinfo")?;
    let missing = || io::Error::new(io::ErrorKind::NotFound, "its mount is not in mountinfo");
    parse(&table, found.stx_mnt_id).ok_or_else(missing)
}

/// The device that a path's file system says it lies on.
pub fn device_of(path: &Path) -> io::Result<DeviceNumber> {
    let found = rustix::fs::stat(path)?;
    Ok(DeviceNumber {
        major: rustix::fs::major(found.st_dev),
        minor: rustix::fs::minor(found.st_dev),
    })
}

/// The number of a device file such as /dev/sda1; `None` where the path is no block device.
pub fn block_device(path: &Path) -> io::Result<Option<DeviceNumber>> {
    let found = rustix::fs::stat(path)?;
    let is_block = FileType::from_raw_mode(found.st_mode) == FileType::BlockDevice;
    Ok(is_block.then(|| DeviceNumber {
        major: rustix::fs::major(found.st_rdev),
        minor: rustix::fs::minor(found.st_rdev),
    }))
}

/// What is left where a path lies.
pub fn free(path: &Path) -> io::Result<Free> {
    let found = rustix::fs::statvfs(path)?;
    Ok(Free {
        bytes: found.f_bavail.saturating_mul(found.f_frsize),
        bytes_total: found.f_blocks.saturating_mul(found.f_frsize),
        inodes: found.f_favail,
        inodes_total: found.f_files,
    })
}

/// Whether the user that this process acts as may make files in a directory: asked, not tried.
pub fn may_make_files(directory: &Path) -> io::Result<()> {
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    Ok(rustix::fs::accessat(
        CWD,
        directory,
        wanted,
        AtFlags::EACCESS,
    )?)
}

/// Finds a mount by its number in the text of /proc/self/mountinfo, whose lines are
/// `number parent major:minor root point options [optional..] - kind source options`.
fn parse(table: &[u8], number: u64) -> Option<Mount> {
    table.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let found: u64 = text(fields.next()?).parse().ok()?;
        if found != number {
            return None;
        }
        let point = path(fields.nth(3)?);
        let own = text(fields.next()?);
        fields.find(|field| *field == b"-")?;
        let kind = text(fields.next()?);
        let source = path(fields.next()?);
        let of_all = text(fields.next().unwrap_or_default());
        let mut options: Vec<String> = Vec::new();
        for option in own.split(',').chain(of_all.split(',')) {
            let option = path(option.as_bytes()).to_string_lossy().into_owned();
            if !option.is_empty() && !options.contains(&option) {
                options.push(option);
            }
        }
        // A read-only mount of a writable file system has `ro` and `rw`: the mount's word counts.
        if own.split(',').any(|option| option == "ro") {
            options.retain(|option| option != "rw");
        }
        Some(Mount {
            point,
            kind,
            source,
            options,
        })
    })
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

/// Spaces and the like stand as three octal digits behind a backslash.
fn path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..3).filter(|_| *first == b'\\');
        let escaped = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        let (byte, used) = escaped.map_or((*first, 1), |byte| (byte, 4));
        bytes.push(byte);
        rest = rest.get(used..).unwrap_or_default();
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 253:0 / / rw,relatime - ext4 /dev/vda rw,discard
36 22 98:0 /sub /with\\040space ro,noatime master:1 propagate_from:2 - xfs /dev/root rw,noquota
40 22 0:45 / /share rw,relatime shared:5 - nfs4 host:/export rw,vers=4.2
41 22 0:46 / /var/lib rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/srv/the\\040upper,workdir=/w
";

    #[test]
    fn a_mount_is_found_by_its_number() {
        let mount = parse(TABLE.as_bytes(), 36).unwrap();
        assert_eq!(mount.point, Path::new("/with space"));
        assert_eq!(
            (&*mount.kind, mount.source.as_path()),
            ("xfs", Path::new("/dev/root"))
        );
        assert_eq!(mount.options, ["ro", "noatime", "noquota"]);
        assert!(mount.has("ro") && !mount.has("rw"));
        let share = parse(TABLE.as_bytes(), 40).unwrap();
        assert_eq!(share.source, Path::new("host:/export"));
        assert!(share.has("rw") && share.has("vers=4.2"));
        let overlay = parse(TABLE.as_bytes(), 41).unwrap();
        assert_eq!(overlay.value("upperdir"), Some("/srv/the upper"));
        assert_eq!((overlay.value("rw"), overlay.value("upper")), (None, None));
        assert_eq!(parse(TABLE.as_bytes(), 42), None);
        assert_eq!(parse(b"no mounts here", 1), None);
    }

    #[test]
    fn this_machine_has_mounts() {
        let directory = tempfile::tempdir().unwrap();
        let mount = of(directory.path()).unwrap();
        assert!(
            directory.path().starts_with(&mount.point),
            "{mount:?} for {directory:?}"
        );
        assert_eq!(of(Path::new("/proc")).unwrap().kind, "proc");
        let left = free(directory.path()).unwrap();
        assert!(left.bytes > 0 && left.bytes <= left.bytes_total, "{left:?}");
        may_make_files(directory.path()).unwrap();
        assert_eq!(block_device(directory.path()).unwrap(), None);
        let missing = may_make_files(&directory.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
