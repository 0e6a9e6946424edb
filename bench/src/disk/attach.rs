//! What a model disk is to the kernel: a loop device, mounts, a process. Each is found by the paths of
//! its [`Place`], not by what was noted of it, so that also what a killed process left behind is found,
//! and nothing that is somebody else's is touched.
//! Taking apart is done again and again until nothing is there; a second time it does nothing.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use benzene_engine::clock;
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::place::Place;

/// How long a mount may be in use before it is taken away from whoever uses it.
const BUSY: Duration = Duration::from_secs(5);
/// How long the kernel may take to let a loop device go: whoever made a mount name space of his own has
/// the mounts in it as well.
const RELEASE: Duration = Duration::from_secs(30);
/// How often it is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(20);

/// Runs a program that may be missing; `package` is where Debian has it.
pub(super) fn run(program: &str, package: &str, arguments: &[&Path]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("{program} is missing: install the package {package}")
        }
        other => other.with_context(|| format!("cannot run {program}"))?,
    };
    ensure!(
        output.status.success(),
        "{program} fails: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Makes a loop device of the place's disk; returns its name in the kernel.
pub(super) fn attach(place: &Place) -> Result<String> {
    let disk = place.disk();
    let options = ["--find", "--show", "--direct-io=on"].map(Path::new);
    let arguments = [&options[..], &[&disk]].concat();
    let device = run("losetup", "mount", &arguments)?;
    let Some(name) = device.strip_prefix("/dev/") else {
        bail!("losetup names no device, but: {device}");
    };
    // Through the page cache the kernel would ask for other requests than were made.
    let direct = fs::read_to_string(format!("/sys/block/{name}/loop/dio"));
    ensure!(
        direct.is_ok_and(|direct| direct.trim() == "1"),
        "{device} has no direct I/O"
    );
    Ok(name.to_owned())
}

/// Makes the kernel treat the device as what it models.
pub(super) fn describe(name: &str, rotates: bool) -> Result<()> {
    let queue = Path::new("/sys/block").join(name).join("queue");
    let put = |file: &str, value: &str| {
        let path = queue.join(file);
        fs::write(&path, value).with_context(|| format!("cannot write {}", path.display()))
    };
    put("rotational", if rotates { "1" } else { "0" })?;
    // What the kernel gives a SATA disk; a loop device would go without.
    put("scheduler", "mq-deadline")
}

/// Takes everything away that leads to the place's disk: mounts, loop device, FUSE mount.
pub(super) fn take_apart(place: &Place) -> Result<()> {
    for name in loops(place)? {
        let device = format!("/dev/{name}");
        for mount in mounts()?
            .iter()
            .rev()
            .filter(|mount| mount.source == device)
        {
            take_off(&mount.point)?;
        }
        if loops(place)?.contains(&name) {
            run("losetup", "mount", &["--detach", &device].map(Path::new))?;
        }
        let gone = wait_for(RELEASE, || Ok(!loops(place)?.contains(&name)))?;
        ensure!(
            gone,
            "{device} is still in use: end who uses its files, then try again"
        );
    }
    for mount in mounts()?
        .iter()
        .rev()
        .filter(|mount| mount.point == place.fuse())
    {
        take_off(&mount.point)?;
    }
    Ok(())
}

/// Unmounts. Whoever uses it for too long loses it.
fn take_off(point: &Path) -> Result<()> {
    let busy = || match unmount(point, UnmountFlags::empty()) {
        // Not mounted any more: somebody was faster.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(true),
        Err(Errno::BUSY) => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot unmount {}", point.display())),
    };
    if wait_for(BUSY, busy)? {
        return Ok(());
    }
    eprintln!(
        "{} is in use; it is taken away all the same",
        point.display()
    );
    unmount(point, UnmountFlags::DETACH)
        .with_context(|| format!("cannot detach {}", point.display()))
}

/// Loop devices of the place's disk, by their names in the kernel.
pub(super) fn loops(place: &Place) -> Result<Vec<String>> {
    let disk = place.disk();
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block").context("cannot list /sys/block")? {
        let entry = entry.context("cannot list /sys/block")?;
        // One that stands on nothing has no such file.
        let Ok(mut file) = fs::read(entry.path().join("loop/backing_file")) else {
            continue;
        };
        file.truncate(file.trim_ascii_end().len());
        let file = file.strip_suffix(b" (deleted)").unwrap_or(&file).to_vec();
        if Path::new(&std::ffi::OsString::from_vec(file)) == disk {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

/// Processes that serve the place's disk. One that has ended and not been waited for is none.
pub(super) fn servers(place: &Place) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let name = entry.context("cannot list /proc")?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if is_server(&line, place.dir()) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Whether a command line, its words ended by zeros, is `... disk serve --dir DIR ...`.
fn is_server(line: &[u8], dir: &Path) -> bool {
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).skip(1).take(4).collect();
    let dir = dir.as_os_str().as_encoded_bytes();
    words == [b"disk".as_slice(), b"serve", b"--dir", dir]
}

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    source: String,
}

fn mounts() -> Result<Vec<Mount>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("cannot read mountinfo")?;
    Ok(text.lines().filter_map(mount_of).collect())
}

/// A line of mountinfo, proc(5).
fn mount_of(line: &str) -> Option<Mount> {
    let (mount, device) = line.split_once(" - ")?;
    Some(Mount {
        point: PathBuf::from(unescaped(mount.split(' ').nth(4)?)),
        source: unescaped(device.split(' ').nth(1)?),
    })
}

/// The kernel writes blanks, and the backslash itself, as a backslash and three octal digits.
fn unescaped(text: &str) -> String {
    let escapes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    let replace = |text: String, (from, to): (&str, &str)| text.replace(from, to);
    escapes.into_iter().fold(text.to_owned(), replace)
}

/// Looks again and again until it holds. False: it did not within `longest`.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing else waits for this thread"
)]
pub(super) fn wait_for(longest: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<bool> {
    let begin = clock::now().instant;
    while !holds()? {
        if begin.elapsed() > longest {
            return Ok(false);
        }
        thread::sleep(LOOK);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_its_point_and_its_source() {
        let line = "36 35 7:0 / /srv/a\\040b rw,relatime shared:1 master:2 - ext4 /dev/loop0 rw";
        let expected = Mount {
            point: PathBuf::from("/srv/a b"),
            source: String::from("/dev/loop0"),
        };
        assert_eq!(mount_of(line), Some(expected));
        assert_eq!(mount_of("36 35 7:0 / /srv"), None);
    }

    #[test]
    fn only_a_server_of_this_directory_is_one() {
        let dir = Path::new("/var/tmp/x");
        let line = |words: &str| words.replace(' ', "\0").into_bytes();
        assert!(is_server(
            &line("/a/benzene-bench disk serve --dir /var/tmp/x --params {}"),
            dir
        ));
        assert!(!is_server(
            &line("/a/benzene-bench disk serve --dir /var/tmp/xy --params {}"),
            dir
        ));
        assert!(!is_server(&line("vi disk serve"), dir));
        assert!(!is_server(b"", dir));
    }
}
