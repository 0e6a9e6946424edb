//! What systemd is told, by a socket of the test's own.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::unistd::Pid;

use super::{Place, kill};
use crate::daemon::{PATIENCE, PROGRAM};

/// A service manager and its daemon.
struct Manager {
    ear: UnixDatagram,
    daemon: Child,
    _place: Place,
}

impl Manager {
    fn start(conf: &str, watchdog: Option<Duration>) -> Manager {
        let place = Place::new(conf);
        let path = place.path("notify");
        let ear = UnixDatagram::bind(&path).unwrap();
        let mut command = place.command(&[]);
        command.env("NOTIFY_SOCKET", &path).stderr(Stdio::null());
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        let daemon = command.spawn().unwrap();
        Manager {
            ear,
            daemon,
            _place: place,
        }
    }

    fn pid(&self) -> i32 {
        self.daemon.id().try_into().unwrap()
    }

    /// The next message, if one comes in time.
    fn hear(&self, patience: Duration) -> Option<String> {
        let mut bytes = [0; 1000];
        self.ear.set_read_timeout(Some(patience)).unwrap();
        let length = self.ear.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).unwrap())
    }

    /// Waits for a message that starts so.
    fn wait_for(&self, start: &str) -> String {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(said) = self.hear(PATIENCE)
                && said.starts_with(start)
            {
                return said;
            }
        }
        panic!("{start} was never said");
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}

#[test]
fn ready_reloading_and_stopping_are_said() {
    let mut manager = Manager::start("SHUTDOWN = drain", None);
    let ready = manager.wait_for("READY=1");
    let pid = format!("MAINPID={}", manager.pid());
    assert!(ready.lines().any(|line| line == pid), "{ready}");
    kill("HUP", manager.pid());
    let reloading = manager.wait_for("RELOADING=1");
    let micros = reloading.split_once("MONOTONIC_USEC=").unwrap().1;
    assert!(micros.parse::<u64>().unwrap() > 0, "{reloading}");
    manager.wait_for("READY=1");
    kill("TERM", manager.pid());
    manager.wait_for("STOPPING=1");
    assert!(manager.daemon.wait().unwrap().success());
}

#[test]
fn a_core_that_hangs_ends_the_signs_of_life() {
    let wanted = Duration::from_millis(400);
    let manager = Manager::start("", Some(wanted));
    manager.wait_for("READY=1");
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    // One core's thread is held, and nothing else.
    let tasks = std::fs::read_dir(format!("/proc/{}/task", manager.pid())).unwrap();
    let core = tasks
        .map(|task| task.unwrap().path())
        .find(|task| std::fs::read_to_string(task.join("comm")).unwrap() == "benzene-0\n");
    let thread = core.unwrap().file_name().unwrap().to_str().unwrap().parse();
    let thread = Pid::from_raw(thread.unwrap());
    ptrace::attach(thread).unwrap();
    // What was on its way when it was held is heard, and then nothing more.
    let heard = (0..5).take_while(|_| manager.hear(wanted * 5).is_some());
    assert!(heard.count() < 5, "signs of life from a core that hangs");
    ptrace::detach(thread, None).unwrap();
    manager.wait_for("WATCHDOG=1");
}

/// A line of a unit: the words behind a key.
fn words<'t>(unit: &'t str, key: &str) -> Vec<&'t str> {
    let lines = unit.lines().filter_map(|line| line.strip_prefix(key));
    lines.flat_map(str::split_whitespace).collect()
}

/// A unit that another one's start stops is not waited for, unless that is said, too.
#[test]
fn the_units_wait_for_the_carbon_cache_that_they_stop() {
    for name in ["benzene.service", "benzene@.service"] {
        let text = std::fs::read_to_string(units().join(name)).unwrap();
        let (stopped, awaited) = (words(&text, "Conflicts="), words(&text, "After="));
        assert_eq!(stopped.len(), 1, "{text}");
        assert!(awaited.contains(&stopped[0]), "{text}");
    }
}

/// The user and the directory are made as the pages say, below another root; by root.
#[test]
fn systemd_makes_the_user_and_his_directory() {
    let Ok(version) = Command::new("systemd-sysusers").arg("--version").output() else {
        return;
    };
    if !version.status.success() || !rustix::process::geteuid().is_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    for directory in ["etc", "opt/graphite"] {
        std::fs::create_dir_all(root.path().join(directory)).unwrap();
    }
    for (program, words, file) in [
        ("systemd-sysusers", &[][..], "benzene.sysusers"),
        ("systemd-tmpfiles", &["--create"], "benzene.tmpfiles"),
    ] {
        let made = Command::new(program)
            .args(words)
            .arg(format!("--root={}", root.path().display()))
            .arg(units().join(file))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let users = std::fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    let user = users.lines().find(|line| line.starts_with("carbon:"));
    let uid: u32 = user.unwrap().split(':').nth(2).unwrap().parse().unwrap();
    let storage = std::fs::metadata(root.path().join("opt/graphite/storage")).unwrap();
    assert_eq!((storage.uid(), storage.mode() & 0o7777), (uid, 0o755));
}

/// Where the units and their like lie.
fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating/systemd")
}

/// The units as they are printed, with the program's place put right. It is looked for, and not started.
#[test]
fn systemd_understands_the_units() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        return;
    };
    assert!(version.status.success());
    let directory = tempfile::tempdir().unwrap();
    for (unit, name) in [
        ("benzene.service", "benzene.service"),
        ("benzene@.service", "benzene@b.service"),
    ] {
        let text = std::fs::read_to_string(units().join(unit)).unwrap();
        let (program, place) = (PROGRAM, "/usr/local/bin/benzene");
        assert!(text.contains(place), "{text}");
        let path = directory.path().join(name);
        std::fs::write(&path, text.replace(place, program)).unwrap();
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&verified.stderr);
        // Other units of this machine may be wrong.
        let ours: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
        assert!(verified.status.success() && ours.is_empty(), "{said}");
    }
}

#[test]
fn the_units_do_not_start_again_what_a_second_try_cannot_mend() {
    use benzene_server::exit::Exit;
    let finals = [
        Exit::Usage,
        Exit::Config,
        Exit::RingUnavailable,
        Exit::DataDirectory,
        Exit::PointsLost,
        Exit::Journal,
    ];
    let codes = finals.map(|exit| exit.code().to_string()).join(" ");
    for unit in ["benzene.service", "benzene@.service"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating/systemd");
        let text = std::fs::read_to_string(path.join(unit)).unwrap();
        let line = format!("RestartPreventExitStatus={codes}");
        assert!(text.lines().any(|it| it == line), "{unit} lacks {line}");
    }
}
