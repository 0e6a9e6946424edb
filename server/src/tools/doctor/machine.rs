//! The kernel, its io_uring, the limits of this process, processors, memory and the clock.
//! The ring driver is proven as the daemon will use it: as many rings as there will be shards, at once,
//! with as many threads for files, dropped again. What forbids io_uring is told apart by what /proc
//! shows; where poll is asked for by name, it is told and hurts nobody.

use benzene_engine::clock;
use benzene_engine::limits::{OPEN_FILES_WANTED, RING_WORKERS_MAX, SHARDS_MAX};
use benzene_engine::ring::host::{self, Limit};
use benzene_engine::ring::{Driver, Ring, RingConfig, RingError};

use super::bytes;
use super::finding::Finding;
use crate::config::{Drive, Settings, Share};
use crate::desk;
use crate::exit::Exit;

/// The oldest kernel that has all we use.
const KERNEL_FLOOR: (u32, u32) = (6, 1);
/// Largest part of the memory that the cache may have before it is said, in percent.
const CACHE_PERCENT_MAX: u64 = 80;
/// The first second of 2020: no clock that was ever set is before it.
const YEAR_2020: u32 = 1_577_836_800;
/// What decides how many written pages wait in memory, and for how long.
const DIRTY_SETTINGS: [&str; 6] = [
    "vm.dirty_background_ratio",
    "vm.dirty_background_bytes",
    "vm.dirty_ratio",
    "vm.dirty_bytes",
    "vm.dirty_expire_centisecs",
    "vm.dirty_writeback_centisecs",
];

/// Everything about the machine; without settings, as they are by default.
pub(super) fn findings(settings: Option<&Settings>) -> Vec<Finding> {
    let cpus = host::cpus().map_or(1, |cpus| cpus.len());
    let shards = shards(settings);
    let drive = settings.map_or(
        Drive {
            first: Driver::Uring,
            fallback: Some(Driver::PollSync),
            are_files_open: true,
        },
        desk::drive_of,
    );
    let files = host::open_files();
    // The start does so too: the kernel makes no table of files for a ring beyond the soft limit.
    drop(host::raise_open_files());
    let mut findings = vec![kernel(&host::kernel_release())];
    findings.extend(drivers(settings, drive, shards));
    findings.extend([
        locked_memory(host::locked_memory()),
        open_files(files),
        cores(cpus, host::cpu_quota(), shards),
        memory(
            host::memory_bytes(),
            settings.map_or((None, Share::WHOLE), |settings| {
                (settings.cache_bytes_max, settings.share)
            }),
        ),
        dirty_pages(),
        time(clock::now().unix_seconds),
        synchronised(host::is_clock_synchronised()),
    ]);
    findings
}

/// How many shards there will be.
pub(super) fn shards(settings: Option<&Settings>) -> usize {
    let asked = settings.and_then(|settings| settings.shards);
    asked.unwrap_or_else(|| desk::shards_of(host::cpus().map_or(1, |cpus| cpus.len())))
}

fn kernel(release: &str) -> Finding {
    let (major, minor) = KERNEL_FLOOR;
    let found = |means: String| Finding::ok("kernel", release, means);
    if number(release).is_some_and(|found| found >= KERNEL_FLOOR) {
        found(format!("Linux {major}.{minor} or later, as is needed"))
    } else {
        found(format!(
            "Linux {major}.{minor} is needed; an older one with parts of a newer is judged by the \
             line on io_uring"
        ))
        .but("take a newer kernel: the one of Debian 12, Ubuntu 24.04 and RHEL 10 are new enough")
    }
}

/// The first two numbers of a release such as `6.1.0-18-amd64`.
fn number(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|letter: char| !letter.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Makes the rings of all shards, as their threads will, and drops them.
fn prove_rings(config: RingConfig, shards: usize) -> Result<String, RingError> {
    let mut rings = Vec::new();
    for _ in 0..shards.clamp(1, SHARDS_MAX) {
        rings.push(Ring::new(config)?);
    }
    Ok(rings.first().map(Ring::description).unwrap_or_default())
}

/// What the daemon begins with; and io_uring, also where it is left alone.
fn drivers(settings: Option<&Settings>, drive: Drive, shards: usize) -> Vec<Finding> {
    let prove = |driver| {
        let ring = settings.map_or_else(
            || desk::core_ring(driver, RING_WORKERS_MAX),
            |settings| {
                let shards = u16::try_from(shards).unwrap_or(u16::MAX);
                desk::ring_of(settings, driver, shards)
            },
        );
        prove_rings(ring, shards)
    };
    driven(drive, shards, prove)
}

fn driven(
    drive: Drive,
    shards: usize,
    prove: impl Fn(Driver) -> Result<String, RingError>,
) -> Vec<Finding> {
    let proven = prove(drive.first);
    match drive.first {
        Driver::Uring | Driver::UringSync => {
            let is_refused = proven.as_ref().is_err_and(RingError::is_unavailable);
            let mut found = vec![io_uring(proven, shards, drive.fallback.is_none())];
            // What the start takes in its place, with all its threads.
            let taken = drive.fallback.filter(|_| is_refused);
            found.extend(taken.map(|driver| poll(prove(driver), shards, "in place of io_uring")));
            found
        }
        Driver::PollSync => {
            let unused = desk::core_ring(Driver::Uring, RING_WORKERS_MAX);
            let unused = io_uring(prove_rings(unused, shards), shards, false);
            let asked = poll(proven, shards, "as RING_DRIVER = poll asks");
            vec![asked, without_use(unused)]
        }
    }
}

/// Epoll and threads, and why these.
fn poll(proven: Result<String, RingError>, shards: usize, why: &str) -> Finding {
    const WHAT: &str = "ring driver";
    match proven {
        Ok(description) => {
            let means = format!("{why}, for {shards} shards");
            Finding::ok(WHAT, description, means)
        }
        Err(error) => {
            let means =
                format!("poll and threads for {shards} shards are not to be had in this process");
            Finding::ok(WHAT, error.to_string(), means).fails(
                Exit::Failure,
                "raise TasksMax= and LimitNOFILE= under systemd, --pids-limit and --ulimit \
                 nofile=65536 for docker, ulimit -u and -n in a shell; or set SHARDS to fewer",
            )
        }
    }
}

/// What was found of io_uring, for who does without it.
fn without_use(found: Finding) -> Finding {
    let means = format!("{}; RING_DRIVER = poll does without it", found.means);
    Finding::ok(found.what, found.seen, means)
}

/// `is_asked_for`: the configuration names uring, so that nothing stands in for it.
fn io_uring(proven: Result<String, RingError>, shards: usize, is_asked_for: bool) -> Finding {
    const WHAT: &str = "io_uring";
    match proven {
        Ok(description) => {
            let means = format!("every operation that we use is there, for {shards} shards");
            Finding::ok(WHAT, description, means)
        }
        Err(RingError::NotPermitted { errno }) => {
            let setting = host::sysctl("kernel.io_uring_disabled");
            let refusal = Refusal::find(errno, setting.as_deref(), host::is_filtered());
            let seen = std::io::Error::from_raw_os_error(errno).to_string();
            without(
                Finding::ok(WHAT, seen, refusal.cause()),
                refusal.mend(),
                is_asked_for,
            )
        }
        Err(error @ RingError::TooOld { .. }) => without(
            Finding::ok(
                WHAT,
                error.to_string(),
                "operations that we use are missing",
            ),
            "take Linux 6.1 or later; parts of it in an older kernel are not enough",
            is_asked_for,
        ),
        Err(error @ RingError::Resources { .. }) => {
            let means =
                format!("rings for {shards} shards cannot be made within this process's limits");
            Finding::ok(WHAT, error.to_string(), means).fails(
                Exit::Failure,
                "raise LimitMEMLOCK=, LimitNOFILE= and TasksMax= under systemd, --ulimit memlock=-1, \
                 --ulimit nofile=65536 and --pids-limit for docker, ulimit -l, -n and -u in a shell; \
                 or set SHARDS to fewer",
            )
        }
        Err(error @ RingError::Failed { .. }) => {
            Finding::ok(WHAT, error.to_string(), "not a refusal that we know").fails(
                Exit::Failure,
                "look into dmesg and the audit log (ausearch -m avc -ts recent)",
            )
        }
    }
}

/// What it means that io_uring is not to be had: epoll and threads stand in for it, unless it was
/// asked for by name.
fn without(finding: Finding, mend: impl Into<String>, is_asked_for: bool) -> Finding {
    if is_asked_for {
        return finding.fails(Exit::RingUnavailable, mend);
    }
    finding.but(format!(
        "{}; until then RING_DRIVER = poll and WRITER_BACKEND = sync stand in for it",
        mend.into()
    ))
}

/// What forbids io_uring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// kernel.io_uring_disabled is 2.
    SettingAll,
    /// kernel.io_uring_disabled is 1, and this user is neither in the group nor privileged.
    SettingGroup,
    /// A seccomp filter.
    Seccomp,
    /// The kernel was built without it.
    NotBuilt,
    /// Something else of the kernel's security: SELinux, AppArmor.
    Security,
}

impl Refusal {
    /// Judges by the error, the setting, and whether a filter sits on this process. A filter
    /// answers before the kernel looks at its setting, and nobody can see which one did: the
    /// setting is named first, because it forbids even where the filter is lifted.
    fn find(errno: i32, setting: Option<&str>, is_filtered: Option<bool>) -> Refusal {
        let answered = std::io::Error::from_raw_os_error(errno).kind();
        let is_permission = answered == std::io::ErrorKind::PermissionDenied;
        match (setting, is_filtered) {
            (Some("2"), _) => Refusal::SettingAll,
            (Some("1"), _) if is_permission => Refusal::SettingGroup,
            (_, Some(true)) => Refusal::Seccomp,
            (_, _) if !is_permission => Refusal::NotBuilt,
            (_, _) => Refusal::Security,
        }
    }

    fn cause(self) -> &'static str {
        match self {
            Refusal::SettingAll => "kernel.io_uring_disabled is 2: io_uring is off for everybody",
            Refusal::SettingGroup => {
                "kernel.io_uring_disabled is 1: io_uring is for one group and privileged processes"
            }
            Refusal::Seccomp => {
                "a seccomp filter sits on this process and refuses io_uring, as the default \
                 profiles of docker, containerd and podman do; kernel.io_uring_disabled does not"
            }
            Refusal::NotBuilt => "this kernel was built without io_uring (CONFIG_IO_URING)",
            Refusal::Security => {
                "neither kernel.io_uring_disabled nor a seccomp filter forbids it: a security \
                 module (SELinux, AppArmor) does"
            }
        }
    }

    fn mend(self) -> &'static str {
        match self {
            Refusal::SettingAll => {
                "on the host: sysctl -w kernel.io_uring_disabled=0, and the same line without -w \
                 in /etc/sysctl.d/90-benzene.conf"
            }
            Refusal::SettingGroup => {
                "on the host: sysctl -w kernel.io_uring_group=GID with a group of the daemon's \
                 user, or sysctl -w kernel.io_uring_disabled=0"
            }
            Refusal::Seccomp => {
                "docker and podman: --security-opt seccomp=seccomp.json with the file of \
                 docs/operating; systemd: SystemCallFilter=@system-service io_uring_setup \
                 io_uring_enter io_uring_register; kubernetes: see docs/operating/containers.md"
            }
            Refusal::NotBuilt => "take a kernel with it, as all distributions' are",
            Refusal::Security => {
                "ausearch -m avc -ts recent (SELinux) or dmesg | grep -i apparmor names the rule"
            }
        }
    }
}

/// Rings count as locked memory of the user, on old kernels and on new ones (6.18 does; 200 KiB
/// a ring), unless the process may lock what it likes. Whether it is enough was proven above.
fn locked_memory(limit: Limit) -> Finding {
    let means = "some kernels count 200 KiB a shard against it, over all processes of the user; \
                 the line on io_uring says whether it was enough";
    Finding::ok("locked memory", said(limit, bytes), means)
}

fn open_files(limit: Limit) -> Finding {
    let found = |means: &str| {
        let seen = said(limit, |count| count.to_string());
        Finding::ok("open files", seen, means)
    };
    if limit.hard.is_none_or(|hard| hard >= OPEN_FILES_WANTED) {
        return found(
            "the daemon raises the soft limit to the hard one; enough for ten thousand senders",
        );
    }
    found(
        "connections past it wait to be accepted, and fewer files are written side by side with \
         WRITER_BACKEND = sync",
    )
    .but(format!(
        "LimitNOFILE=65536 under systemd, --ulimit nofile=65536:65536 for docker, ulimit -Hn in a \
         shell; {OPEN_FILES_WANTED} is what it wants"
    ))
}

fn said(limit: Limit, count: impl Fn(u64) -> String) -> String {
    let one = |limit: Option<u64>| limit.map_or_else(|| "no limit".to_owned(), &count);
    if limit.soft == limit.hard {
        one(limit.hard)
    } else {
        format!("{} (hard limit {})", one(limit.soft), one(limit.hard))
    }
}

fn cores(cpus: usize, quota: Option<f64>, shards: usize) -> Finding {
    let seen = match quota {
        Some(quota) => format!("{cpus}, a cgroup quota of {quota:.1}"),
        None => format!("{cpus}, no cgroup quota"),
    };
    let found = |means: String| Finding::ok("cores", seen.clone(), means);
    if shards > cpus {
        return found(format!(
            "{shards} shards: several share a core, and wait for each other"
        ))
        .but("take SHARDS out of carbon.conf, or set it to the number of cores");
    }
    #[expect(clippy::cast_precision_loss, reason = "shards are at most 1,024")]
    let wanted = shards as f64;
    if quota.is_some_and(|quota| wanted > quota.ceil()) {
        return found(format!(
            "{shards} shards: the quota stops all of them when it is used up"
        ))
        .but(
            "set SHARDS to the quota, or raise the quota (docker --cpus, CPUQuota= under systemd)",
        );
    }
    found(format!("{shards} shards, a pinned thread each"))
}

fn memory(all: u64, (cache_bytes_max, share): (Option<u64>, Share)) -> Finding {
    let (bound, why) = match cache_bytes_max {
        Some(bound) => (bound, "MAX_CACHE_BYTES".to_owned()),
        None if share.served == share.all => (all / 2, "half of it".to_owned()),
        None => {
            let Share { served, all: of } = share;
            (
                share.of(all / 2),
                format!("{served}/{of} of half of it, for carbon.conf has {of} instances"),
            )
        }
    };
    let seen = format!("{} for this process, cgroup limits included", bytes(all));
    let means = format!("the cache may take {} ({why})", bytes(bound));
    let found = Finding::ok("memory", seen, means);
    if u128::from(bound) * 100 > u128::from(all) * u128::from(CACHE_PERCENT_MAX) {
        let most = bytes(all / 100 * CACHE_PERCENT_MAX);
        return found.but(format!(
            "set MAX_CACHE_BYTES to {most} at most, or the process may be killed when the cache fills"
        ));
    }
    found
}

fn dirty_pages() -> Finding {
    let shown = DIRTY_SETTINGS.iter().filter_map(|name| {
        let value = host::sysctl(name)?;
        Some(format!("{name} = {value}"))
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() {
        return Finding::ok(
            "dirty pages",
            "not shown here",
            "the kernel's settings hold",
        );
    }
    let means = "how much of what was written waits in memory, and how long; a power cut loses at \
                 most that of the files";
    Finding::ok("dirty pages", shown.join(", "), means)
}

fn time(now: u32) -> Finding {
    let seen = format!("{now} seconds since 1970");
    if now >= YEAR_2020 {
        return Finding::ok("time", seen, "after 2020: the clock was set");
    }
    let means = "before 2020: every point of today lies in the future of this clock, and files \
                 do not keep it";
    Finding::ok("time", seen, means).but("set the clock before the start: timedatectl set-ntp true")
}

fn synchronised(answer: std::io::Result<bool>) -> Finding {
    const WHAT: &str = "clock";
    const MEND: &str = "timedatectl set-ntp true, or start chronyd or ntpd (on the host, for a \
                        container)";
    match answer {
        Ok(true) => Finding::ok(WHAT, "synchronised", "points are aged by the world's time"),
        Ok(false) => {
            let means = "nothing keeps this clock in step, as far as the kernel was told; points \
                         are aged by it, and late ones go to a coarser archive or none";
            Finding::ok(WHAT, "not synchronised", means).but(MEND)
        }
        Err(error) => {
            let means = "whether it is kept in step cannot be asked here";
            Finding::ok(WHAT, error.to_string(), means)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn releases_are_compared_by_their_first_two_numbers() {
        for (release, level) in [
            ("6.18.44-fc", Level::Ok),
            ("6.1.0-18-amd64", Level::Ok),
            ("10.0", Level::Ok),
            ("6.0.12", Level::Warn),
            ("5.14.0-427.el9.x86_64", Level::Warn),
            ("strange", Level::Warn),
        ] {
            assert_eq!(kernel(release).level, level, "{release}");
        }
    }

    #[test]
    fn what_forbids_io_uring_is_told_apart() {
        let (denied, missing) = (1, 38);
        for (errno, setting, filtered, want) in [
            (denied, Some("2"), Some(false), Refusal::SettingAll),
            (denied, Some("2"), Some(true), Refusal::SettingAll),
            (denied, Some("1"), Some(false), Refusal::SettingGroup),
            (denied, Some("0"), Some(true), Refusal::Seccomp),
            (missing, Some("0"), Some(true), Refusal::Seccomp),
            (missing, None, Some(false), Refusal::NotBuilt),
            (denied, Some("0"), Some(false), Refusal::Security),
            (denied, None, None, Refusal::Security),
        ] {
            let found = Refusal::find(errno, setting, filtered);
            assert_eq!(found, want, "{errno} {setting:?} {filtered:?}");
        }
    }

    /// Where io_uring is forbidden what stands in for it is proven too: it takes threads, of which a
    /// container may have few.
    #[test]
    fn what_stands_in_for_io_uring_is_proven_as_well() {
        let drive = Drive {
            first: Driver::Uring,
            fallback: Some(Driver::PollSync),
            are_files_open: true,
        };
        let short = || RingError::Resources {
            attempt: "starting a thread for files",
            errno: 11,
        };
        let forbidden = |driver| match driver {
            Driver::Uring | Driver::UringSync => Err(RingError::NotPermitted { errno: 1 }),
            Driver::PollSync => Err(short()),
        };
        let exits = |found: Vec<Finding>| found.iter().map(|it| it.exit).collect::<Vec<_>>();
        assert_eq!(
            exits(driven(drive, 2, forbidden)),
            [None, Some(Exit::Failure)]
        );
        // For lack of resources nothing stands in.
        assert_eq!(driven(drive, 2, |_| Err(short())).len(), 1);
        assert_eq!(driven(drive, 2, |_| Ok(String::new())).len(), 1);
    }

    #[test]
    fn each_refusal_of_the_ring_has_its_exit_code() {
        let ends = |error, is_asked_for| io_uring(Err(error), 2, is_asked_for).exit;
        for is_asked_for in [true, false] {
            // Epoll and threads stand in for what was not asked for by name.
            let exit = is_asked_for.then_some(Exit::RingUnavailable);
            let too_old = RingError::TooOld {
                missing: vec!["send"],
            };
            assert_eq!(ends(too_old, is_asked_for), exit);
            let refused = RingError::NotPermitted { errno: 1 };
            assert_eq!(ends(refused, is_asked_for), exit);
        }
        let short = RingError::Resources {
            attempt: "making the ring",
            errno: 12,
        };
        let found = io_uring(Err(short), 2, false);
        assert_eq!(found.exit, Some(Exit::Failure));
        assert!(found.line().contains("LimitMEMLOCK="), "{found:?}");
        // The files of several data directories are written by threads beside io_uring.
        let short = RingError::Resources {
            attempt: "starting a thread for files",
            errno: 11,
        };
        let found = io_uring(Err(short), 2, false);
        assert_eq!(found.exit, Some(Exit::Failure));
        assert!(found.line().contains("TasksMax="), "{found:?}");
    }

    #[test]
    fn io_uring_that_nobody_uses_keeps_nobody_from_starting() {
        let refused = RingError::NotPermitted { errno: 1 };
        let short = RingError::Resources {
            attempt: "making the ring",
            errno: 12,
        };
        for proven in [Ok("io_uring".to_owned()), Err(refused), Err(short)] {
            let found = without_use(io_uring(proven, 2, false));
            assert_eq!((found.level, found.exit), (Level::Ok, None), "{found:?}");
            assert_eq!((found.what, found.mend), ("io_uring", None));
        }
        let short = RingError::Resources {
            attempt: "starting a thread for files",
            errno: 11,
        };
        let found = poll(Err(short), 2, "as RING_DRIVER = poll asks");
        assert_eq!(found.exit, Some(Exit::Failure));
        assert!(found.line().contains("TasksMax="), "{found:?}");
    }

    #[test]
    fn limits_are_judged_by_the_hard_one() {
        let limit = |soft, hard| Limit { soft, hard };
        assert_eq!(open_files(limit(Some(1024), None)).level, Level::Ok);
        let few = open_files(limit(Some(1024), Some(4096)));
        assert_eq!(few.level, Level::Warn);
        assert_eq!(few.seen, "1024 (hard limit 4096)");
        assert!(few.means.contains("wait to be accepted"), "{few:?}");
        assert!(!few.means.contains("refused"), "{few:?}");
        assert_eq!(said(limit(None, None), bytes), "no limit");
    }

    #[test]
    fn shards_are_compared_with_cores_and_quota() {
        assert_eq!(cores(4, None, 4).level, Level::Ok);
        assert_eq!(cores(4, None, 5).level, Level::Warn);
        assert_eq!(cores(4, Some(1.5), 2).level, Level::Ok);
        assert_eq!(cores(4, Some(1.5), 3).level, Level::Warn);
    }

    #[test]
    fn a_cache_that_does_not_fit_is_said() {
        let gib = 1 << 30;
        assert_eq!(memory(8 * gib, (None, Share::WHOLE)).level, Level::Ok);
        assert_eq!(
            memory(8 * gib, (Some(6 * gib), Share::WHOLE)).level,
            Level::Ok
        );
        let large = memory(8 * gib, (Some(7 * gib), Share::WHOLE));
        assert_eq!(large.level, Level::Warn);
        assert!(large.line().contains("6.3 GiB at most"), "{large:?}");
    }

    #[test]
    fn a_clock_that_was_never_set_is_said() {
        assert_eq!(time(0).level, Level::Warn);
        assert_eq!(time(clock::now().unix_seconds).level, Level::Ok);
        assert_eq!(synchronised(Ok(false)).level, Level::Warn);
        let forbidden = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert_eq!(synchronised(Err(forbidden)).level, Level::Ok);
    }
}
