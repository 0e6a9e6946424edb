//! The machine and this process: processors, memory, limits, consumption.
//! Read at start, by the desk and by `benzene doctor`, never per point. Nothing here touches a ring,
//! a data file or the umask. What a container's limits hide from `/proc` is looked up in its control
//! group, of either version.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process};
use rustix::thread::CpuSet;
use rustix::time::ClockId;

/// Processors that this process may run on, in ascending order.
pub fn cpus() -> io::Result<Vec<usize>> {
    let set = rustix::thread::sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect())
}

/// How many processors' worth of time the control group grants, where it limits it.
pub fn cpu_quota() -> Option<f64> {
    let quotas = groups("cpu")
        .into_iter()
        .filter_map(|group| group.cpu_quota());
    quotas.reduce(f64::min)
}

/// Pins the calling thread to one processor.
pub fn pin_to(cpu: usize) -> io::Result<()> {
    assert!(cpu < CpuSet::MAX_CPU, "processor {cpu}");
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Lets the calling thread run wherever the process was started to run, though the thread that
/// made it is pinned: the main thread never is, and is asked.
pub(super) fn unpin() -> io::Result<()> {
    let main = rustix::process::getpid();
    let set = rustix::thread::sched_getaffinity(Some(main))?;
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// The kernel's release, as `uname -r` prints it.
pub fn kernel_release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

/// Keeps the kernel from backing our memory by huge pages: with them a cache of 330 MB took 422 MB
/// of memory, without them 350 MB, for the same CPU time.
pub fn no_huge_pages() -> io::Result<()> {
    rustix::thread::disable_transparent_huge_pages(true).map_err(io::Error::from)
}

/// The name of this machine, as gethostname() gives it.
pub fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// Raises the soft limit on open files to the hard one and answers it; `None` is no limit.
pub fn raise_open_files() -> io::Result<Option<u64>> {
    let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    rustix::process::setrlimit(Resource::Nofile, raised)?;
    Ok(maximum)
}

/// A limit of this process; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What holds now.
    pub soft: Option<u64>,
    /// Up to where the process may raise it itself.
    pub hard: Option<u64>,
}

impl From<Rlimit> for Limit {
    fn from(limit: Rlimit) -> Limit {
        Limit {
            soft: limit.current,
            hard: limit.maximum,
        }
    }
}

/// The limit on open files and connections (RLIMIT_NOFILE), as a number.
pub fn open_files() -> Limit {
    rustix::process::getrlimit(Resource::Nofile).into()
}

/// The limit on locked memory (RLIMIT_MEMLOCK), in bytes.
pub fn locked_memory() -> Limit {
    rustix::process::getrlimit(Resource::Memlock).into()
}

/// The user that this process acts as.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A kernel setting by its name with dots, such as `vm.dirty_ratio`; `None` where this kernel does
/// not have it or hides it.
pub fn sysctl(name: &str) -> Option<String> {
    assert!(
        !name.contains('/'),
        "a kernel setting is named with dots: {name}"
    );
    let path = Path::new("/proc/sys").join(name.replace('.', "/"));
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// Whether a seccomp filter sits on this process; `None` where /proc does not say.
pub fn is_filtered() -> Option<bool> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let mode = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"))?;
    Some(mode.trim() == "2")
}

/// Whether something keeps the machine's clock in step with the world's, as the kernel was told
/// (adjtimex(2)). An error where asking is not permitted.
#[expect(
    unsafe_code,
    reason = "adjtimex has no typed wrapper and fills a structure by address"
)]
pub fn is_clock_synchronised() -> io::Result<bool> {
    // SAFETY: the structure is made of numbers alone, for which all bits zero is a value.
    let mut asked: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: with `modes` 0 the call changes nothing; it fills `asked`, which outlives it.
    let state = unsafe { libc::adjtimex(&raw mut asked) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(state != libc::TIME_ERROR && asked.status & libc::STA_UNSYNC == 0)
}

/// Memory that this process may use, in bytes: the machine's, or the smallest limit of its control
/// groups.
pub fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    #[expect(
        clippy::useless_conversion,
        reason = "a word is 32 bits on some machines"
    )]
    let machine = u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit));
    let limits = groups("memory")
        .into_iter()
        .filter_map(|group| group.memory_limit());
    limits.fold(machine, u64::min)
}

/// Memory of this process that is resident, in bytes.
pub fn resident_bytes() -> io::Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Processor time that this process has used, user and system, kernel workers included, in
/// seconds.
pub fn cpu_seconds() -> f64 {
    let used = rustix::time::clock_gettime(ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "2^53 seconds are long enough")]
    let (seconds, nanoseconds) = (used.tv_sec as f64, used.tv_nsec as f64);
    seconds + nanoseconds / 1e9
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Used {
    /// Processor time, user and system, of all its threads, in seconds.
    pub cpu_s: f64,
    /// Memory that is resident now, in bytes.
    pub resident_bytes: u64,
}

/// What another process has used so far, by `/proc/PID/stat`.
pub fn used_by(process: u32) -> io::Result<Used> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    used(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Fields 14, 15 and 24, counted behind the name, which may hold anything.
fn used(stat: &str) -> Option<Used> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let field = |number: usize| {
        let text = behind_name.split_ascii_whitespace().nth(number - 3)?;
        text.parse::<u64>().ok()
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 clock ticks are long enough"
    )]
    let (ticks, ticks_a_second) = (
        (field(14)? + field(15)?) as f64,
        rustix::param::clock_ticks_per_second() as f64,
    );
    Some(Used {
        cpu_s: ticks / ticks_a_second,
        resident_bytes: field(24)? * rustix::param::page_size() as u64,
    })
}

/// The clock that never goes back, in microseconds, as systemd reads it too.
pub fn monotonic_micros() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}

/// Magic numbers of linux/magic.h.
const EXT4: i128 = 0xEF53;
const XFS: i128 = 0x5846_5342;
const TMPFS: i128 = 0x0102_1994;
const RAMFS: i128 = 0x8584_58f6;
const OVERLAY: i128 = 0x794c_7630;
const NFS: i128 = 0x6969;
const CIFS: i128 = 0xff53_4d42;
const SMB2: i128 = 0xfe53_4d42;
const CEPH: i128 = 0x00c3_6400;
const NINE_P: i128 = 0x0102_1997;
const FUSE: i128 = 0x6573_5546;

/// That of a directory's file system.
fn magic(directory: &Path) -> io::Result<i128> {
    let kind = i128::from(rustix::fs::statfs(directory)?.f_type);
    // Some machines have it in 32 bits with a sign.
    Ok(kind & 0xffff_ffff)
}

/// Whether the files of a directory are another machine's, or another program's: that a write found no
/// room such a file system may say only where the file is closed.
pub fn answers_at_close(directory: &Path) -> io::Result<bool> {
    Ok([NFS, CIFS, SMB2, CEPH, NINE_P, FUSE].contains(&magic(directory)?))
}

/// Whether the file system of a directory keeps the order of what happens to it, also through a
/// power cut: a file whose data was written out before it got its name is then whole wherever the
/// name is seen. So do ext4 and XFS, by their journals (docs/decisions/0013); a tmpfs has nothing to
/// keep. Of others we do not know it.
pub fn keeps_order(directory: &Path) -> io::Result<bool> {
    Ok([EXT4, XFS, TMPFS].contains(&magic(directory)?))
}

/// Whether a directory lies where it goes with a container (overlay) or with a reboot (tmpfs, ramfs).
pub fn is_passing(directory: &Path) -> io::Result<bool> {
    Ok([OVERLAY, TMPFS, RAMFS].contains(&magic(directory)?))
}

/// How large the file system of a directory is, in bytes.
pub fn disk_bytes(directory: &Path) -> io::Result<u64> {
    let size = rustix::fs::statvfs(directory)?;
    Ok(size.f_blocks.saturating_mul(size.f_frsize))
}

/// Sends a process SIGTERM. Numbers below 1 mean groups of processes to the kernel, and nobody here.
pub fn terminate(process: i32) -> io::Result<()> {
    let Some(process) = Pid::from_raw(process).filter(|_| process > 0) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    Ok(kill_process(process, Signal::TERM)?)
}

/// Has the kernel kill this process (SIGKILL) when `parent`, the process that made it, ends, however it
/// does. An error where that has ended already: who gets the children of the dead would never end.
pub fn end_with_parent(parent: u32) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let made_by = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if made_by.and_then(|pid| u32::try_from(pid).ok()) != Some(parent) {
        return Err(io::Error::other(format!("process {parent} has ended")));
    }
    Ok(())
}

/// Whether whoever started this process has it pass over SIGHUP, as nohup(1) does; true only where /proc
/// says so.
pub fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|signals| signals & 1 << (Signal::HUP.as_raw() - 1) != 0)
}

/// Whether a process lives; one that has ended and waits for its parent to notice does not.
pub fn is_alive(process: i32) -> bool {
    let Some(pid) = Pid::from_raw(process.max(0)) else {
        return false;
    };
    if rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    let state = stat_fields(process).and_then(|fields| fields.into_iter().next());
    !matches!(state.as_deref(), Some("Z" | "X"))
}

/// When a process was started, in the kernel's ticks since the machine was: with its number that is one
/// process, also where two namespaces have a process of that number. `None` where /proc does not say.
pub fn start_ticks(process: i32) -> Option<u64> {
    stat_fields(process)?.get(19)?.parse().ok()
}

/// When a process was started, in seconds since 1970; `None` where /proc does not say.
pub fn started_at(process: i32) -> Option<u64> {
    let ticks = start_ticks(process)?;
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let booted: u64 = stat
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    Some(booted + ticks / rustix::param::clock_ticks_per_second())
}

/// What /proc/PID/stat says behind the name, which may hold spaces and brackets: first the state.
fn stat_fields(process: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    Some(behind.split_whitespace().map(str::to_owned).collect())
}

/// A number for the mount of a directory's file system in this run of the machine: another one after
/// it was unmounted, or the machine restarted, and what was written and not synced may be gone.
/// Kernels before 6.8 may give a number twice.
pub fn mount_number(directory: &Path) -> io::Result<u32> {
    const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    let flags = AtFlags::empty();
    let unique = rustix::fs::statx(CWD, directory, flags, UNIQUE)?;
    let found = if StatxFlags::from_bits_retain(unique.stx_mask).contains(UNIQUE) {
        unique
    } else {
        rustix::fs::statx(CWD, directory, flags, StatxFlags::MNT_ID)?
    };
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let text = format!("{} {}", boot.trim(), found.stx_mnt_id);
    Ok(crc32fast::hash(text.as_bytes()))
}

/// Brings everything that was written to the file system of a directory to its device. Blocks.
pub fn sync_file_system(directory: &Path) -> io::Result<()> {
    FileSystem::of(directory)?.sync()
}

/// A file system that is synced through one descriptor. An error of writing out is told once to each
/// descriptor that was open then; one that is opened afterwards may never hear of it, where somebody
/// else's sync has.
#[derive(Debug)]
pub struct FileSystem(fs::File);

impl FileSystem {
    /// That of a directory.
    pub fn of(directory: &Path) -> io::Result<FileSystem> {
        fs::File::open(directory).map(FileSystem)
    }

    /// Is it the directory's at present, too?
    pub fn is_at(&self, directory: &Path) -> bool {
        let device = |look: io::Result<fs::Metadata>| look.map(|it| it.dev()).ok();
        device(self.0.metadata()) == device(fs::metadata(directory))
    }

    /// Brings everything that was written to it to its device. Blocks.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.0)?)
    }
}

/// Was a file never written, whatever was reserved for it? Of a file system that cannot tell, never.
pub fn is_blank(path: &Path) -> io::Result<bool> {
    let file = fs::File::open(path)?;
    match rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(0)) {
        Ok(_) => Ok(false),
        Err(rustix::io::Errno::NXIO) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// One directory of the control group file system that applies to us.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    directory: PathBuf,
    version: u8,
}

impl Group {
    fn memory_limit(&self) -> Option<u64> {
        let file = if self.version == 2 {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        // "max" is no number, and version 1 has a number near 2^63 for it, above any machine.
        self.read(file)?.trim().parse().ok()
    }

    fn cpu_quota(&self) -> Option<f64> {
        if self.version == 2 {
            return quota(&self.read("cpu.max")?);
        }
        let quota_us = self.read("cpu.cfs_quota_us")?;
        let period_us = self.read("cpu.cfs_period_us")?;
        quota(&format!("{} {}", quota_us.trim(), period_us.trim()))
    }

    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.directory.join(file)).ok()
    }
}

/// The groups of this process for a controller, from its own up to the root of what we can see.
fn groups(controller: &str) -> Vec<Group> {
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    groups_of(&membership, controller)
}

/// From the lines of /proc/self/cgroup: `0::/path` for version 2, `4:cpu,cpuacct:/path` for 1.
/// In a container the path may be the host's and not exist; the root of the mount is then ours.
fn groups_of(membership: &str, controller: &str) -> Vec<Group> {
    let mut found = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (root, version) = if controllers.is_empty() {
            (PathBuf::from("/sys/fs/cgroup"), 2)
        } else if controllers.split(',').any(|name| name == controller) {
            (Path::new("/sys/fs/cgroup").join(controller), 1)
        } else {
            continue;
        };
        for part in Path::new(path.trim_start_matches('/')).ancestors() {
            found.push(Group {
                directory: root.join(part),
                version,
            });
        }
    }
    found
}

/// Processors' worth of `quota period` in microseconds; none for "max" and for -1.
fn quota(text: &str) -> Option<f64> {
    let mut fields = text.split_whitespace();
    let granted: f64 = fields.next()?.parse().ok()?;
    let period: f64 = fields.next()?.parse().ok()?;
    (granted > 0.0 && period > 0.0).then_some(granted / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_holds() {
        let stat = "7 (carbon ) cache) S 1 7 7 0 -1 4194304 9 0 0 0 250 50 0 0 20 0 1 0 5 9 3 1";
        let found = used(stat).unwrap();
        let ticks_a_second = u32::try_from(rustix::param::clock_ticks_per_second()).unwrap();
        assert!((found.cpu_s * f64::from(ticks_a_second) - 300.0).abs() < 1e-6);
        assert_eq!(found.resident_bytes, 3 * rustix::param::page_size() as u64);
        assert_eq!(used("7 (x) S 1"), None);
        assert!(used_by(std::process::id()).unwrap().resident_bytes > 100 << 10);
        used_by(u32::MAX).unwrap_err();
    }

    #[test]
    fn a_group_is_followed_to_its_root() {
        let two = groups_of("0::/system.slice/carbon.service\n", "memory");
        let directories: Vec<_> = two
            .iter()
            .map(|group| group.directory.to_str().unwrap())
            .collect();
        assert_eq!(
            directories,
            [
                "/sys/fs/cgroup/system.slice/carbon.service",
                "/sys/fs/cgroup/system.slice",
                "/sys/fs/cgroup/",
            ]
        );
        let one = groups_of("4:cpu,cpuacct:/a\n3:memory:/b\n", "memory");
        assert_eq!(
            one[0],
            Group {
                directory: "/sys/fs/cgroup/memory/b".into(),
                version: 1
            }
        );
        assert_eq!(one.len(), 2);
    }

    #[test]
    fn a_process_that_nobody_waits_for_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        while is_alive(pid) {
            std::thread::yield_now();
        }
        assert!(stat_fields(pid).is_some(), "it is still there, as a zombie");
        child.wait().unwrap();
        assert!(!is_alive(pid));
        assert!(!is_alive(0) && !is_alive(-1));
        let myself = i32::try_from(std::process::id()).unwrap();
        assert!(is_alive(myself));
        let started = started_at(myself).unwrap();
        let now = crate::clock::now().unix_seconds;
        assert!(started <= u64::from(now) + 1, "started at {started}");
        assert!(u64::from(now) < started + 86_400, "started at {started}");
    }

    #[test]
    fn a_quota_is_a_share_of_its_period() {
        assert_eq!(quota("150000 100000\n"), Some(1.5));
        assert_eq!(quota("max 100000\n"), None);
        assert_eq!(quota("-1 100000"), None);
        assert_eq!(quota(""), None);
    }

    #[test]
    fn limits_are_read_from_either_version() {
        let directory = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(directory.path().join(file), text).unwrap();
        let group = |version| Group {
            directory: directory.path().to_owned(),
            version,
        };
        write("memory.max", "max\n");
        assert_eq!(group(2).memory_limit(), None);
        write("memory.max", "1048576\n");
        assert_eq!(group(2).memory_limit(), Some(1 << 20));
        write("memory.limit_in_bytes", "4096\n");
        assert_eq!(group(1).memory_limit(), Some(4096));
        write("cpu.max", "50000 100000\n");
        assert_eq!(group(2).cpu_quota(), Some(0.5));
        write("cpu.cfs_quota_us", "200000\n");
        write("cpu.cfs_period_us", "100000\n");
        assert_eq!(group(1).cpu_quota(), Some(2.0));
    }

    #[test]
    fn a_pinned_thread_sees_one_processor() {
        let first = cpus().unwrap()[0];
        let pinned = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    pin_to(first).unwrap();
                    cpus().unwrap()
                })
                .join()
                .unwrap()
        });
        assert_eq!(pinned, [first]);
    }

    #[test]
    fn kernel_settings_are_read_by_name() {
        let overcommit = sysctl("vm.overcommit_memory").unwrap();
        assert!(["0", "1", "2"].contains(&&*overcommit), "{overcommit}");
        assert_eq!(sysctl("vm.no_such_setting"), None);
        assert!(is_filtered().is_some(), "/proc/self/status has the line");
        is_clock_synchronised().unwrap();
    }

    #[test]
    fn this_process_is_believable() {
        let resident = resident_bytes().unwrap();
        assert!(resident > 100_000, "{resident} bytes resident");
        assert!(
            memory_bytes() > resident,
            "{} bytes of memory",
            memory_bytes()
        );
        let before = cpu_seconds();
        let mut sum = 0_u64;
        while cpu_seconds() - before < 0.001 {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(!kernel_release().is_empty());
        let files = raise_open_files().unwrap();
        let limit = open_files();
        assert_eq!((limit.soft, limit.hard), (files, files));
    }
}
