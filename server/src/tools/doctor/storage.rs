//! The data directory, the journal's and the one of the log files: whether files can be made in them,
//! and what they lie on. Asked, never tried: no directory and no file is made. Where it does not exist
//! yet, the daemon makes it, so the nearest directory above it that exists is looked at in its place.
//! Of files, those that the start opens by name: Python carbon may have left them to root.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use benzene_engine::device::{Class, Disk};
use benzene_engine::limits::DATA_DIR_BYTES_MAX;
use benzene_engine::ring::host;
use benzene_engine::ring::mount::{self, Free, Mount};
use rustix::fs::{Access, AtFlags, CWD};

use super::bytes;
use super::finding::Finding;
use super::machine;
use crate::cli::CacheOptions;
use crate::config::{DataDirectory, JournalSettings, Settings};
use crate::desk;
use crate::exit::Exit;
use crate::process::User;

/// Free room below which it is said: a full disk stops every file at once.
const FREE_PERCENT_MIN: u64 = 5;

/// A directory of the daemon's.
struct Place {
    what: &'static str,
    /// The options that say where it is.
    options: &'static str,
    /// How a start ends that cannot use it.
    exit: Exit,
}

const DATA: Place = Place {
    what: "data directory",
    options: "LOCAL_DATA_DIR (or STORAGE_DIR)",
    exit: Exit::DataDirectory,
};
const JOURNAL: Place = Place {
    what: "journal directory",
    options: "JOURNAL_DIR (or STORAGE_DIR)",
    exit: Exit::Journal,
};

const LOGS: Place = Place {
    what: "log directory",
    options: "LOG_DIR in carbon.conf (or --logdir)",
    exit: Exit::Failure,
};

/// Links that the kernel follows on one way.
const LINKS_MAX: usize = 40;

/// What a file is called that says which process runs.
const PID_FILE: &str = "pid file";

/// What a failure that `start` alone meets means for the foreground.
const ONLY_START: &str = "only `benzene cache start` needs it, which would not start";

/// As whom it is looked.
#[derive(Default)]
pub(super) struct Looks {
    /// The user whom root has become, as the daemon does.
    pub(super) user: Option<User>,
    /// What root saw of the disk below each data directory, before.
    disks: Vec<Option<Disk>>,
}

impl Looks {
    /// Looks at the disks of the data directories, which the daemon's user may not read.
    pub(super) fn see_disks_as_root(&mut self, data: &[DataDirectory]) {
        let disks = data.iter().map(|directory| {
            let (standing, mount) = standing(&directory.path).ok()?;
            Disk::below(&standing, &mount).ok()
        });
        self.disks = disks.collect();
    }

    /// Whether root makes the first directory below this one, and gives it away.
    fn has_root_make_below(&self, directory: &Path) -> bool {
        let user = self.user.as_ref();
        // What lies below it the user has to reach.
        let reaches = || std::fs::metadata(directory.join(".")).is_ok();
        user.is_some_and(|user| user.leaves_to_root(directory)) && reaches()
    }

    /// The daemon's user, in a command.
    fn name(&self) -> &str {
        self.user.as_ref().map_or("USER", User::name)
    }
}

/// Whether the log files can be made; only `start` and --logdir write them.
pub(super) fn of_logs(looks: &Looks, directory: &Path, are_wanted: bool) -> Finding {
    let mut found = match look(&LOGS, directory) {
        Ok((standing, mount)) => looks.access(&LOGS, directory, &standing, &mount),
        Err(finding) => finding,
    };
    if !are_wanted {
        found.soften(ONLY_START);
    }
    found
}

/// The files of `start` that are there and that the daemon's user may not write. One that the command line
/// names is written in the foreground, too.
pub(super) fn of_files(looks: &Looks, settings: &Settings, named: &CacheOptions) -> Vec<Finding> {
    let console = settings.log_dir.join("console.log");
    let pid_file = settings.pid_file.as_path();
    let user = looks.user.as_ref();
    // There root takes it, before the user is taken on.
    let is_roots = user.is_some_and(|user| user.leaves_to_root(directory_of(pid_file)));
    let aside = "the start gives it the name of its day, and makes a new one";
    let anew = "the start makes it anew, where its process does not run";
    let mut log = in_the_way("log file", &console, aside);
    // Root may write it, but follows no link either.
    let is_link = std::fs::symlink_metadata(pid_file).is_ok_and(|found| found.is_symlink());
    let mut pid = in_the_way(PID_FILE, pid_file, anew).filter(|_| !is_roots || is_link);
    if let (Some(found), None) = (&mut log, &named.logdir) {
        found.soften(ONLY_START);
    }
    if let (Some(found), None) = (&mut pid, &named.pidfile) {
        found.soften(ONLY_START);
    }
    log.into_iter().chain(pid).collect()
}

/// A file that is there and that this user may not write. Another user's makes room where its directory
/// lets; any other is no start.
fn in_the_way(what: &'static str, file: &Path, room: &str) -> Option<Finding> {
    let found = std::fs::symlink_metadata(file).ok()?;
    // What a link to a log leads to is made by the start, as the log itself is, where this user may.
    if what != PID_FILE && leads_nowhere(file) && may_make_behind(file) {
        return None;
    }
    let is_writable = rustix::fs::accessat(CWD, file, Access::WRITE_OK, AtFlags::EACCESS).is_ok();
    // A link may lead to a log; a pid file is never looked for behind one.
    if is_writable && !(found.is_symlink() && what == PID_FILE) {
        return None;
    }
    if found.is_symlink() {
        let means =
            "it is a link that the start does not follow, or that leads to where it may not write";
        let mend = format!(
            "rm {}, or name another place (LOG_DIR, PID_DIR)",
            file.display()
        );
        let found = Finding::ok(what, file.display().to_string(), means);
        return Some(found.fails(Exit::Failure, mend));
    }
    let (user, owner, seen) = (host::user(), found.uid(), file.display().to_string());
    let means = format!("it is uid {owner}'s, and uid {user} may not write it");
    let makes_room = found.is_file() && owner != user;
    if makes_room && mount::may_make_files(directory_of(file)).is_ok() {
        return Some(Finding::ok(what, seen, format!("{means}; {room}")));
    }
    let mend = format!("as root: chown {user} {seen} && chmod u+w {seen}");
    Some(Finding::ok(what, seen, means).fails(Exit::Failure, mend))
}

fn leads_nowhere(link: &Path) -> bool {
    let led = std::fs::metadata(link);
    led.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// May this user make what a link leads to?
fn may_make_behind(link: &Path) -> bool {
    let mut place = link.to_path_buf();
    for _ in 0..LINKS_MAX {
        let Ok(to) = std::fs::read_link(&place) else {
            break;
        };
        place = directory_of(&place).join(to);
    }
    mount::may_make_files(directory_of(&place)).is_ok()
}

/// Where a file lies.
fn directory_of(file: &Path) -> &Path {
    let directory = file.parent().unwrap_or(Path::new(""));
    if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    }
}

/// Everything about the directories of the instances' journals, of which the first is the process's; nothing
/// where there is no journal.
pub(super) fn of_journals(looks: &Looks, settings: &Settings) -> Vec<Finding> {
    let Some(journal) = &settings.journal else {
        return Vec::new();
    };
    let mut findings = of_journal(looks, journal, machine::shards(Some(settings)));
    let mut known = vec![journal.dir.as_path()];
    for directory in settings.journal_dirs() {
        if known.contains(&directory) {
            continue;
        }
        known.push(directory);
        findings.push(match look(&JOURNAL, directory) {
            Ok((standing, mount)) => looks.access(&JOURNAL, directory, &standing, &mount),
            Err(finding) => finding,
        });
    }
    findings
}

/// Everything about the journal's directory.
fn of_journal(looks: &Looks, journal: &JournalSettings, shards: usize) -> Vec<Finding> {
    let (directory, mount) = match look(&JOURNAL, &journal.dir) {
        Ok(found) => found,
        Err(finding) => return vec![finding],
    };
    let mut findings = vec![looks.access(&JOURNAL, &journal.dir, &directory, &mount)];
    if is_in_memory(&mount) {
        let seen = format!("{} on {}", mount.kind, mount.point.display());
        let means = "it lives in memory: a power cut takes what was accepted with it";
        let finding = Finding::ok("journal's disk", seen, means);
        findings.push(finding.but("set JOURNAL_DIR to a directory on a disk"));
    }
    if let Ok(free) = mount::free(&directory) {
        findings.push(journal_room(journal, free.bytes, free.bytes_total));
        findings.push(journal_segments(journal, free.bytes_total, shards));
    }
    findings
}

/// Whether the journal finds the room that it may take.
fn journal_room(journal: &JournalSettings, left: u64, total: u64) -> Finding {
    const WHAT: &str = "journal's room";
    let bound = journal.bytes(total);
    let seen = format!("up to {}, {} are free", bytes(bound), bytes(left));
    if left < bound {
        let means = "on a full disk nothing more is journaled, and a kill loses what is cached";
        return Finding::ok(WHAT, seen, means)
            .but("make room, set JOURNAL_MAX_BYTES lower, or JOURNAL_DIR to another disk");
    }
    Finding::ok(WHAT, seen, "there is room for all that it may hold")
}

/// Whether what the journal may take is enough for each shard, as the start reckons it.
fn journal_segments(journal: &JournalSettings, total: u64, shards: usize) -> Finding {
    const WHAT: &str = "journal's segments";
    let shards = u16::try_from(shards).unwrap_or(u16::MAX);
    match desk::journal_segments(journal, journal.bytes(total), shards) {
        Ok((segment_bytes, segments)) => {
            let seen = format!("{segments} of {}", bytes(segment_bytes.into()));
            Finding::ok(WHAT, seen, format!("for each of {shards} shards"))
        }
        Err(error) => Finding::ok(WHAT, error.to_string(), "the daemon does not start")
            .fails(Exit::Journal, "do as it says, or set SHARDS to fewer"),
    }
}

/// Everything about the data directories. Of several, one that cannot be used stops its own metrics, and
/// only where all are so there is no start.
pub(super) fn findings(looks: &Looks, data: &[DataDirectory]) -> Vec<Finding> {
    let as_root = |index: usize| looks.disks.get(index).and_then(Option::as_ref);
    if let [one] = data {
        return of_data(looks, &one.path, as_root(0));
    }
    let each = data.iter().enumerate();
    let mut all: Vec<Vec<Finding>> = each
        .map(|(index, directory)| of_several(looks, directory, as_root(index)))
        .collect();
    let are_all_unusable = all
        .iter()
        .all(|found| found.iter().any(Finding::is_failure));
    for found in all.iter_mut().flatten().filter(|_| !are_all_unusable) {
        found.soften("until then its metrics wait, and the others go on");
    }
    let mut all: Vec<Finding> = all.into_iter().flatten().collect();
    if let Some(said) = desk::overlap_of_data(data) {
        let found = Finding::ok("data directories", "share files", said);
        let mend = "list each directory once, by its own path, in LOCAL_DATA_DIRS";
        all.push(found.fails(Exit::Config, mend));
    }
    all
}

/// Everything about one of several data directories. None of these is made by the daemon.
fn of_several(looks: &Looks, directory: &DataDirectory, as_root: Option<&Disk>) -> Vec<Finding> {
    let path = &directory.path;
    let mut findings = if path.is_dir() {
        of_data(looks, path, as_root)
    } else {
        let means = "is not there, and one of several is not made: its disk is not mounted?";
        let mend = format!(
            "mount its disk, or as root: mkdir -p {0} && chown -R {1} {0}, with the daemon's user",
            path.display(),
            looks.name()
        );
        let found = Finding::ok(DATA.what, path.display().to_string(), means);
        vec![found.fails(DATA.exit, mend)]
    };
    if mount::of(path).is_ok_and(|mount| mount.point == *path) {
        let means = "is a mount point itself: at a start without its disk, files would be made in the \
                     empty directory below";
        let found = Finding::ok(DATA.what, path.display().to_string(), means);
        let mend = format!(
            "make a directory on that disk (mkdir {0}/whisper) and list that one",
            path.display()
        );
        findings.push(found.but(mend));
    }
    for finding in &mut findings {
        finding.seen = format!("{}: {}", directory.label(), finding.seen);
    }
    findings
}

/// Everything about a data directory, and what root saw of its disk.
fn of_data(looks: &Looks, data_dir: &Path, as_root: Option<&Disk>) -> Vec<Finding> {
    const WHAT: &str = DATA.what;
    let length = data_dir.as_os_str().len();
    if length > DATA_DIR_BYTES_MAX {
        let seen = Finding::ok(
            WHAT,
            format!("its path has {length} bytes"),
            format!("more than {DATA_DIR_BYTES_MAX} leave no room for names"),
        );
        return vec![seen.fails(Exit::DataDirectory, "set LOCAL_DATA_DIR to a shorter path")];
    }
    let (directory, mount) = match look(&DATA, data_dir) {
        Ok(found) => found,
        Err(finding) => return vec![finding],
    };
    let mut findings = vec![looks.access(&DATA, data_dir, &directory, &mount)];
    findings.push(file_system(&mount));
    findings.push(options(&mount));
    match mount::free(&directory) {
        Ok(free) => findings.push(room(free)),
        Err(error) => findings.push(
            Finding::ok("free space", error.to_string(), "nothing is known of it")
                .but("look at df and df -i"),
        ),
    }
    findings.push(device(Disk::below(&directory, &mount), as_root));
    findings
}

/// Where a place is or would be made, or why it cannot be.
fn look(place: &Place, directory: &Path) -> Result<(PathBuf, Mount), Finding> {
    standing(directory).map_err(|Unusable { path, error }| {
        let seen = Finding::ok(place.what, path.display().to_string(), error.to_string());
        let options = place.options;
        let mend = format!("set {options} to a directory that this user can reach");
        seen.fails(place.exit, mend)
    })
}

/// What is in the way of a directory.
struct Unusable {
    path: PathBuf,
    error: io::Error,
}

/// The nearest directory that exists, from this one upwards, and its mount.
fn standing(directory: &Path) -> Result<(PathBuf, Mount), Unusable> {
    let here = Path::new(".");
    for path in directory.ancestors() {
        let path = if path.as_os_str().is_empty() {
            here
        } else {
            path
        };
        let unusable = |error| Unusable {
            path: path.to_owned(),
            error,
        };
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => {
                let mount = mount::of(path).map_err(unusable)?;
                return Ok((path.to_owned(), mount));
            }
            Ok(_) => return Err(unusable(io::Error::from(io::ErrorKind::NotADirectory))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unusable(error)),
        }
    }
    Err(Unusable {
        path: directory.to_owned(),
        error: io::Error::from(io::ErrorKind::NotFound),
    })
}

impl Looks {
    /// Whether files can be made in a directory, or it itself in the one that stands above it.
    fn access(&self, place: &Place, wanted: &Path, directory: &Path, mount: &Mount) -> Finding {
        let user = host::user();
        let found = |means: String| Finding::ok(place.what, wanted.display().to_string(), means);
        let at = directory.display();
        let error = match mount::may_make_files(directory) {
            Ok(()) if directory == wanted => {
                return found(format!("uid {user} may make files in it"));
            }
            Ok(()) => return found(format!("does not exist; uid {user} may make it below {at}")),
            Err(error) => error,
        };
        let is_read_only = mount.has("ro");
        if directory != wanted && !is_read_only && self.has_root_make_below(directory) {
            return found(format!(
                "does not exist; root makes it below {at}, and gives it to uid {user}"
            ));
        }
        let mend = if is_read_only {
            let point = mount.point.display();
            format!(
                "mount -o remount,rw {point}; for docker a volume without :ro, under systemd \
                 ReadWritePaths={}",
                wanted.display()
            )
        } else {
            format!(
                "as root: mkdir -p {0} && chown -R {1} {0}, with the daemon's user; then ask again \
                 as root or as that user (runuser -u {1} benzene doctor ...)",
                wanted.display(),
                self.name()
            )
        };
        found(format!("uid {user} may make no files in {at}: {error}")).fails(place.exit, mend)
    }
}

fn is_in_memory(mount: &Mount) -> bool {
    ["tmpfs", "ramfs"].contains(&mount.kind.as_str())
}

/// What the kind of file system means for the files.
fn file_system(mount: &Mount) -> Finding {
    const NAMELESS: [&str; 9] = [
        "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "bcachefs", "overlay",
    ];
    const REMOTE: [&str; 8] = [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "9p",
        "ceph",
        "glusterfs",
        "virtiofs",
    ];
    const WHAT: &str = "file system";
    let kind = mount.kind.as_str();
    let seen = format!(
        "{kind} on {} from {}",
        mount.point.display(),
        mount.source.display()
    );
    if is_in_memory(mount) {
        return Finding::ok(
            WHAT,
            seen,
            "it lives in memory: a restart of the machine loses it",
        )
        .but("set LOCAL_DATA_DIR to a directory on a disk");
    }
    if kind == "overlay" {
        let means = "this is the container's own layer: files go with the container, and writing \
                     is slower";
        return Finding::ok(WHAT, seen, means)
            .but("mount a volume: docker run -v /srv/graphite/whisper:DATA_DIR");
    }
    if REMOTE.contains(&kind) || kind.starts_with("fuse") {
        let means = "files lie behind a network or another program: updates wait for it, new files \
                     go by a temporary name, and what a power cut leaves is not ours to say";
        return Finding::ok(WHAT, seen, means).but(
            "keep Whisper files on a local ext4 or XFS; if they must be here, have WRITER_BACKEND = sync, which \
             auto means here: that it is full such a file system may say only at a file's close, and \
             io_uring's does not ask",
        );
    }
    let means = if NAMELESS.contains(&kind) {
        "new files are made without a name (O_TMPFILE) and appear whole"
    } else {
        "not known to us: where it has no O_TMPFILE, new files go by a temporary name and a rename"
    };
    Finding::ok(WHAT, seen, means)
}

/// Options of the mount that matter for many small writes.
fn options(mount: &Mount) -> Finding {
    const WHAT: &str = "mount options";
    let seen = mount.options.join(",");
    let point = mount.point.display();
    let found = |means: &str| Finding::ok(WHAT, seen.clone(), means);
    if mount.has("ro") {
        let means = "read-only: no file can be made or written";
        return found(means).fails(
            Exit::DataDirectory,
            format!(
                "mount -o remount,rw {point}; dmesg says whether errors of the disk made it so"
            ),
        );
    }
    let slow = mount
        .options
        .iter()
        .find(|option| ["sync", "dirsync", "strictatime"].contains(&option.as_str()));
    if let Some(option) = slow {
        return found(&format!("`{option}` makes the disk write at every access")).but(format!(
            "take {option} out of /etc/fstab and mount -o remount {point}"
        ));
    }
    let unsafe_one = mount
        .options
        .iter()
        .find(|option| ["nobarrier", "barrier=0"].contains(&option.as_str()));
    if let Some(option) = unsafe_one {
        let means = format!("`{option}`: a power cut can spoil the whole file system");
        return found(&means).but(format!(
            "take {option} out of /etc/fstab unless the disk's cache has a battery"
        ));
    }
    if mount.has("noatime") || mount.has("relatime") {
        found("reading a file does not write to the disk each time")
    } else {
        let means = "neither noatime nor relatime: reading a file may write to the disk";
        found(means).but(format!("mount -o remount,relatime {point}"))
    }
}

fn room(free: Free) -> Finding {
    const WHAT: &str = "free space";
    let Free {
        bytes: left,
        bytes_total,
        inodes,
        inodes_total,
    } = free;
    let files = if inodes_total == 0 {
        "inodes as needed".to_owned()
    } else {
        format!("{inodes} of {inodes_total} inodes")
    };
    let seen = format!("{} of {}, {files}", bytes(left), bytes(bytes_total));
    let percent = |part: u64, whole: u64| u128::from(part) * 100 / u128::from(whole.max(1));
    if inodes_total > 0 && inodes == 0 {
        let means = "no file can be made, not even the one that the start makes to be sure";
        return Finding::ok(WHAT, seen, means).fails(
            Exit::DataDirectory,
            "remove files, or take a larger file system",
        );
    }
    if percent(left, bytes_total) < u128::from(FREE_PERCENT_MIN) {
        let means = "nearly full: then points stay in the cache until there is room again";
        return Finding::ok(WHAT, seen, means)
            .but("remove old metrics, make the file system larger, or shorten retentions");
    }
    if inodes_total > 0 && percent(inodes, inodes_total) < u128::from(FREE_PERCENT_MIN) {
        let means = "nearly no inodes: each new metric needs one";
        return Finding::ok(WHAT, seen, means)
            .but("remove old metrics; ext4 gets its number of inodes at mkfs (-i), XFS as needed");
    }
    Finding::ok(WHAT, seen, "there is room")
}

fn device(disk: io::Result<Disk>, as_root: Option<&Disk>) -> Finding {
    const WHAT: &str = "device";
    let disk = match disk {
        Ok(disk) => disk,
        Err(error) => {
            return Finding::ok(WHAT, error.to_string(), "its class is not known");
        }
    };
    let seen = disk.place();
    let class = disk.class.name();
    let reason = &disk.reason;
    if let Some(root) = as_root.filter(|root| root.class != disk.class) {
        let (known, why) = (root.class.name(), &root.reason);
        let means = format!(
            "class {known} as root sees it: {why}; class {class} for the daemon's user: {reason}"
        );
        return Finding::ok(WHAT, seen, means)
            .but(format!("say DEVICE_CLASS = {known} in carbon.conf"));
    }
    let means = match disk.class {
        Class::Hdd | Class::Ssd => format!("class {class}: {reason}"),
        Class::Unknown => format!(
            "class {class}: {reason}; treated as ssd, unless carbon.conf says DEVICE_CLASS = hdd"
        ),
    };
    Finding::ok(WHAT, seen, means)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::config::{JournalSync, Share};

    fn mounted(kind: &str, options: &[&str]) -> Mount {
        Mount {
            point: "/srv".into(),
            kind: kind.to_owned(),
            source: "/dev/sda1".into(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        }
    }

    fn of_data(data_dir: &Path) -> Vec<Finding> {
        super::of_data(&Looks::default(), data_dir, None)
    }

    fn of_journal(journal: &JournalSettings) -> Vec<Finding> {
        super::of_journal(&Looks::default(), journal, 2)
    }

    #[test]
    fn a_directory_that_is_not_there_is_judged_by_the_one_above_it() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("storage/whisper");
        let found = of_data(&data);
        assert_eq!(found[0].level, Level::Ok, "{found:?}");
        assert!(found[0].means.contains("may make it below"), "{found:?}");
        assert!(!data.exists() && !root.path().join("storage").exists());
        std::fs::write(root.path().join("storage"), "a file").unwrap();
        let found = of_data(&data);
        assert_eq!(found[0].exit, Some(Exit::DataDirectory), "{found:?}");
        let long = of_data(&root.path().join("a".repeat(DATA_DIR_BYTES_MAX)));
        assert_eq!(long[0].exit, Some(Exit::DataDirectory), "{long:?}");
    }

    #[test]
    fn the_journal_is_judged_by_its_own_directory_and_room() {
        let root = tempfile::tempdir().unwrap();
        let mut journal = JournalSettings {
            share: Share::WHOLE,
            dir: root.path().join("journal/a"),
            commit: std::time::Duration::from_millis(10),
            sync: JournalSync::Never,
            bytes_max: None,
            segment_bytes: None,
            stop_on_error: false,
        };
        let found = of_journal(&journal);
        assert_eq!(
            (found[0].what, found[0].level),
            ("journal directory", Level::Ok)
        );
        let gib = 1 << 30;
        let level = |journal: &JournalSettings, left| journal_room(journal, left, 80 * gib).level;
        assert_eq!(level(&journal, 8 * gib), Level::Ok, "a tenth of its disk");
        assert_eq!(level(&journal, 8 * gib - 1), Level::Warn);
        journal.share = Share { served: 1, all: 8 };
        assert_eq!(level(&journal, gib), Level::Ok, "one process of eight");
        assert_eq!(level(&journal, gib - 1), Level::Warn);
        let segments = |journal: &JournalSettings, shards| {
            let found = journal_segments(journal, 80 * gib, shards);
            (found.seen, found.exit)
        };
        assert_eq!(segments(&journal, 2), ("8 of 64.0 MiB".to_owned(), None));
        journal.bytes_max = Some(64 << 10);
        assert_eq!(segments(&journal, 2), ("4 of 8.0 KiB".to_owned(), None));
        let (seen, exit) = segments(&journal, 3);
        assert_eq!(exit, Some(Exit::Journal), "{seen}");
        assert!(seen.contains("no room for 3 shards"), "{seen}");
        journal.bytes_max = Some(gib);
        assert_eq!(level(&journal, 8 * gib - 1), Level::Ok);
        std::fs::write(root.path().join("journal"), "a file").unwrap();
        let found = of_journal(&journal);
        assert_eq!(found[0].exit, Some(Exit::Journal), "{found:?}");
    }

    #[test]
    fn mount_options_that_hurt_are_named() {
        for (set, level, word) in [
            (&["ro", "relatime"][..], Level::Fail, "remount,rw /srv"),
            (&["rw", "sync", "noatime"], Level::Warn, "take sync out"),
            (&["rw", "strictatime"], Level::Warn, "strictatime"),
            (&["rw", "relatime", "nobarrier"], Level::Warn, "battery"),
            (&["rw"], Level::Warn, "remount,relatime"),
            (&["rw", "noatime"], Level::Ok, "does not write"),
        ] {
            let found = options(&mounted("ext4", set));
            assert_eq!(found.level, level, "{found:?}");
            assert!(found.line().contains(word), "{found:?}");
        }
    }

    #[test]
    fn file_systems_that_do_not_keep_files_are_named() {
        for (kind, level, word) in [
            ("ext4", Level::Ok, "O_TMPFILE"),
            ("zfs", Level::Ok, "temporary name and a rename"),
            ("tmpfs", Level::Warn, "memory"),
            ("overlay", Level::Warn, "mount a volume"),
            ("nfs4", Level::Warn, "network"),
            ("fuse.sshfs", Level::Warn, "network"),
            ("cifs", Level::Warn, "WRITER_BACKEND = sync"),
        ] {
            let found = file_system(&mounted(kind, &[]));
            assert_eq!(found.level, level, "{found:?}");
            assert!(found.line().contains(word), "{found:?}");
        }
    }

    #[test]
    fn room_is_judged_by_bytes_and_by_inodes() {
        let gib = 1 << 30;
        let free = |bytes, inodes, inodes_total| Free {
            bytes,
            bytes_total: 100 * gib,
            inodes,
            inodes_total,
        };
        assert_eq!(room(free(50 * gib, 90, 100)).level, Level::Ok);
        assert_eq!(room(free(50 * gib, 0, 0)).level, Level::Ok, "btrfs");
        assert_eq!(room(free(4 * gib, 90, 100)).level, Level::Warn);
        assert_eq!(room(free(50 * gib, 4, 100)).level, Level::Warn);
        let none = room(free(50 * gib, 0, 100));
        assert_eq!(none.exit, Some(Exit::DataDirectory), "{none:?}");
    }
}
