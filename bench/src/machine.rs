//! On what something was measured: the head of a report.
//! Everything is read from `/proc` at the time of the report; what cannot be read is "unknown",
//! never left out.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

/// The head's lines. `dir` is where files go, `daemon` the program of the daemon if there is one.
pub(crate) fn head(dir: &Path, daemon: Option<&Path>) -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let unknown = || String::from("unknown");
    let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown);
    let cores = available_parallelism().map_or_else(|_| unknown(), |cores| cores.to_string());
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_else(unknown);
    let kernel = read("/proc/sys/kernel/osrelease");
    let filesystem = dir
        .canonicalize()
        .ok()
        .and_then(|dir| filesystem_of(&dir, &read("/proc/self/mountinfo")))
        .unwrap_or_else(unknown);
    let ours = format!("benzene-bench {}", env!("CARGO_PKG_VERSION"));
    let command: Vec<String> = std::env::args().collect();
    let mut text = String::new();
    for (name, value) in [
        ("machine", format!("{cores} cores, {cpu}, memory {memory}")),
        ("kernel", kernel.trim().to_owned()),
        ("filesystem", format!("{filesystem} ({})", dir.display())),
        (
            "versions",
            daemon.map_or_else(
                || ours.clone(),
                |daemon| format!("{ours}, {}", version_of(daemon)),
            ),
        ),
        ("command", command.join(" ")),
    ] {
        let line = format!("{name:<11} {value}\n");
        text.push_str(&line);
    }
    text
}

/// Behind `name` and a colon, of the first line that has it.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim().to_owned())
    })
}

/// Type of the file system whose mount point is the longest that leads to `path`; of several on
/// one point the last, which covers the others.
fn filesystem_of(path: &Path, mountinfo: &str) -> Option<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, device) = line.split_once(" - ")?;
        let point = Path::new(mount.split(' ').nth(4)?);
        path.starts_with(point)
            .then_some((point.components().count(), device.split(' ').next()?))
    });
    mounts
        .max_by_key(|(depth, _)| *depth)
        .map(|(_, kind)| kind.to_owned())
}

/// First line of what the program says to `--version`.
fn version_of(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let said = output.ok().filter(|output| output.status.success());
    let first = said.and_then(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().next().map(str::to_owned)
    });
    first.unwrap_or_else(|| format!("{} of unknown version", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_and_last_mount_counts() {
        let mounts = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 8:2 / /srv rw shared:2 - xfs /dev/sdb1 rw
24 23 0:5 / /srv/a rw - tmpfs tmpfs rw
25 24 8:3 / /srv/a rw - btrfs /dev/sdc1 rw
";
        let kind = |path| filesystem_of(Path::new(path), mounts).unwrap();
        assert_eq!(kind("/srv-2/x"), "ext4");
        assert_eq!(kind("/srv/b"), "xfs");
        assert_eq!(kind("/srv/a/b"), "btrfs");
    }

    #[test]
    fn every_line_of_the_head_has_a_value() {
        let dir = tempfile::tempdir().unwrap();
        let head = head(dir.path(), Some(Path::new("true")));
        assert_eq!(head.lines().count(), 5, "{head}");
        for line in head.lines().filter(|line| !line.starts_with("versions")) {
            assert!(line.len() > 12 && !line.contains("unknown"), "{line}");
        }
    }
}
