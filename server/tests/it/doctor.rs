//! `benzene doctor` on this machine, and on machines that are worse: it ends as the daemon would
//! end with the same words, says how to mend it, and changes nothing. The seccomp profile of
//! docs/operating is put on as a filter of the kernel, made from the file itself.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::daemon::{PATIENCE, PROGRAM, wait_for};

/// Puts a profile on this process as docker does, and becomes the program behind it. Numbers of
/// system calls come from the C compiler that builds us; names that this machine's kernel does not
/// have are left out, as libseccomp does. Of rules about arguments only the name counts.
const CONFINE: &str = r"
import ctypes, json, os, re, subprocess, sys
profile = json.load(open(sys.argv[1]))
defined = subprocess.run(['cc', '-E', '-dM', '-include', 'sys/syscall.h', '-x', 'c', '/dev/null'],
                         check=True, capture_output=True, text=True).stdout
numbers = {name: int(number) for name, number in re.findall(r'#define __NR_(\w+) (\d+)\n', defined)}
assert len(numbers) > 250, 'the compiler knows no system calls'
class Step(ctypes.Structure):
    _fields_ = [('code', ctypes.c_ushort), ('yes', ctypes.c_ubyte), ('no', ctypes.c_ubyte), ('k', ctypes.c_uint)]
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('steps', ctypes.POINTER(Step))]
ALLOW, ERRNO = 0x7fff0000, 0x00050000
steps = [Step(0x20, 0, 0, 0)]
for rule in profile['syscalls']:
    answer = ALLOW if rule['action'] == 'SCMP_ACT_ALLOW' else ERRNO | rule['errnoRet']
    for name in rule['names']:
        if name in numbers:
            steps += [Step(0x15, 0, 1, numbers[name]), Step(0x06, 0, 0, answer)]
steps.append(Step(0x06, 0, 0, ERRNO | profile['defaultErrnoRet']))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0, 'no new privileges'
program = Program(len(steps), (Step * len(steps))(*steps))
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0, 'seccomp filter'
os.execv(sys.argv[2], sys.argv[2:])
";

/// The calls that the default profiles leave out.
const IO_URING: [&str; 3] = ["io_uring_enter", "io_uring_register", "io_uring_setup"];

fn profile() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating/seccomp.json")
}

/// `benzene` with words, in a directory, without what could name a configuration. However the daemons of
/// this run reach the kernel, it speaks of this machine as it is: what it says where calls are forbidden
/// is asked behind profiles (`confined`).
fn benzene(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(words);
    away(&mut command, directory);
    command
}

/// The same under a profile.
fn confined(profile: &Path, directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(benzene_fixtures::python().unwrap());
    command
        .args(["-c", CONFINE])
        .arg(profile)
        .arg(PROGRAM)
        .args(words);
    away(&mut command, directory);
    command
}

fn away(command: &mut Command, directory: &Path) {
    command.current_dir(directory);
    for variable in ["GRAPHITE_ROOT", "GRAPHITE_CONF_DIR", "GRAPHITE_STORAGE_DIR"] {
        command.env_remove(variable);
    }
}

/// Flags that take ports which the kernel chooses.
const ANY_PORTS: [&str; 8] = [
    "--line",
    "127.0.0.1:0",
    "--udp",
    "127.0.0.1:0",
    "--pickle",
    "127.0.0.1:0",
    "--query",
    "127.0.0.1:0",
];

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The lines at a level.
fn lines<'t>(text: &'t str, level: &str) -> Vec<&'t str> {
    let opening = format!("{level:<4}  ");
    text.lines()
        .filter(|line| line.starts_with(&opening))
        .collect()
}

#[test]
fn a_machine_that_allows_all_is_said_to_and_nothing_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let mut words = vec!["doctor", "--json", "--shards", "2"];
    words.extend(ANY_PORTS);
    let output = benzene(directory.path(), &words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["starts"], &report["exit"]),
        (&true.into(), &0.into())
    );
    let findings = report["findings"].as_array().unwrap();
    for finding in findings {
        let level = finding["level"].as_str().unwrap();
        assert!(["ok", "warn"].contains(&level), "{finding}");
        assert_eq!(level == "warn", finding["mend"].is_string(), "{finding}");
        assert!(!finding["means"].as_str().unwrap().is_empty(), "{finding}");
    }
    let seen = |what: &str| {
        let found = findings.iter().find(|finding| finding["what"] == what);
        let found = found.unwrap_or_else(|| panic!("nothing about {what} in {report}"));
        found["seen"].as_str().unwrap().to_owned()
    };
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(seen("kernel"), release.trim());
    assert!(seen("io_uring").contains("completions"), "{report}");
    for what in [
        "locked memory",
        "open files",
        "cores",
        "memory",
        "dirty pages",
        "time",
        "clock",
        "line receiver (TCP)",
        "line receiver (UDP)",
        "pickle receiver",
        "cache query",
        "file system",
        "mount options",
        "free space",
        "device",
        "instances",
        "journal's room",
        "journal's segments",
    ] {
        assert!(!seen(what).is_empty(), "{what}");
    }
    assert_eq!(seen("data directory"), "benzene-data/whisper");
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert!(left.is_empty(), "it made {left:?}");
}

/// Runs both with the same words; the daemon must end by itself. What the doctor said.
fn both_end_with(code: i32, directory: &Path, words: &[&str]) -> String {
    let with = |command| [&[command], words].concat();
    let doctor = benzene(directory, &with("doctor")).output().unwrap();
    let said = text(&doctor);
    assert_eq!(doctor.status.code(), Some(code), "{said}");
    let daemon = benzene(directory, &with("cache")).output().unwrap();
    let log = String::from_utf8_lossy(&daemon.stderr);
    assert_eq!(daemon.status.code(), Some(code), "{log}");
    assert_eq!(lines(&said, "fail").len(), 1, "{said}");
    assert!(said.ends_with("to look at\n") && said.contains("cannot start here: 1 to mend"));
    said
}

#[test]
fn it_ends_as_the_daemon_would() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut words = ANY_PORTS;
    words[5] = &address;
    let said = both_end_with(4, directory.path(), &words);
    assert!(
        lines(&said, "fail")[0].contains(&format!("pickle receiver: {address}")),
        "{said}"
    );

    std::fs::write(directory.path().join("file"), "not a directory").unwrap();
    let below = [&["--data-dir", "file/whisper"][..], &ANY_PORTS].concat();
    let said = both_end_with(6, directory.path(), &below);
    assert!(lines(&said, "fail")[0].contains("LOCAL_DATA_DIR"), "{said}");

    let conf = directory.path().join("carbon.conf");
    std::fs::write(&conf, "[cache]\nMAX_CACHE_SIZE = many\n").unwrap();
    let wrong = [&["--config", "carbon.conf"][..], &ANY_PORTS].concat();
    let said = both_end_with(3, directory.path(), &wrong);
    assert!(lines(&said, "fail")[0].contains("MAX_CACHE_SIZE"), "{said}");
    assert!(
        lines(&said, "ok").len() > 5,
        "the machine is looked at: {said}"
    );
}

#[test]
fn a_journal_that_is_too_small_or_in_use_is_no_start() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let schemas = "[all]\npattern = .*\nretentions = 60s:1d\n";
    std::fs::write(at("storage-schemas.conf"), schemas).unwrap();
    let storage = at("storage");
    let write = |more: &str| {
        let conf = format!(
            "[cache]\nSTORAGE_DIR = {}\nSHARDS = 4\n{more}\n",
            storage.display()
        );
        std::fs::write(at("carbon.conf"), conf).unwrap();
    };
    let words = [&["--config", "carbon.conf"][..], &ANY_PORTS].concat();
    write("JOURNAL_MAX_BYTES = 64k");
    let said = both_end_with(8, directory.path(), &words);
    assert!(
        lines(&said, "fail")[0].contains("no room for 4 shards"),
        "{said}"
    );

    // This process holds the instance.
    let own = storage.join("journal/a");
    std::fs::create_dir_all(&own).unwrap();
    let process = std::process::id().to_string();
    std::fs::write(own.join("lock"), format!("{process}\na\n")).unwrap();
    let lock = std::fs::File::open(own.join("lock")).unwrap();
    lock.lock().unwrap();
    for more in ["", "JOURNAL = False"] {
        write(more);
        let said = both_end_with(8, directory.path(), &words);
        let failed = lines(&said, "fail");
        assert!(failed[0].contains(&format!("process {process}")), "{said}");
    }
    let left = std::fs::read_to_string(own.join("lock")).unwrap();
    assert_eq!(left, format!("{process}\na\n"));
}

#[test]
fn a_directory_of_another_user_is_asked_for_as_this_one() {
    let directory = tempfile::tempdir().unwrap();
    let whisper = directory.path().join("whisper");
    std::fs::create_dir(&whisper).unwrap();
    std::fs::set_permissions(&whisper, PermissionsExt::from_mode(0o555)).unwrap();
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    // Root may write anywhere: as root, the question is asked as nobody.
    let program = directory.path().join("benzene");
    std::fs::copy(PROGRAM, &program).unwrap();
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    }
    command
        .arg(&program)
        .args(["doctor", "--shards", "1", "--data-dir"])
        .arg(&whisper)
        .args(ANY_PORTS);
    away(&mut command, directory.path());
    let output = command.output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(6), "{said} {output:?}");
    let failed = lines(&said, "fail");
    // Its journal is to be beside it.
    assert_eq!(failed.len(), 2, "{said}");
    for (line, what) in failed.iter().zip(["data directory", "journal directory"]) {
        assert!(line.contains(what), "{said}");
        assert!(line.contains("may make no files"), "{said}");
        assert!(line.contains("chown"), "{said}");
    }
}

/// A carbon.conf with USER in a directory of root's, whose storage and log directory are not there.
struct Rooted(tempfile::TempDir);

impl Rooted {
    fn new(user: &str) -> Rooted {
        let rooted = Rooted(tempfile::tempdir().unwrap());
        std::fs::set_permissions(rooted.0.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let schemas = "[all]\npattern = .*\nretentions = 60s:1d\n";
        std::fs::write(rooted.at("storage-schemas.conf"), schemas).unwrap();
        let conf = format!(
            "[cache]\nUSER = {user}\nSTORAGE_DIR = {}\nLINE_RECEIVER_SOCKET = {}\n",
            rooted.at("storage").display(),
            rooted.at("run/line").display()
        );
        std::fs::write(rooted.at("carbon.conf"), conf).unwrap();
        std::fs::create_dir(rooted.at("run")).unwrap();
        rooted
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a command; how it ended, and what it said.
    fn run(&self, command: &str) -> (Option<i32>, String) {
        let words = [
            &[command, "--config", "carbon.conf", "--logdir", "logs"][..],
            &ANY_PORTS[2..],
            // A port that only root may bind, and that nothing here is likely to use.
            &["--line", "127.0.0.1:620"],
        ];
        let output = benzene(self.0.path(), &words.concat()).output().unwrap();
        (output.status.code(), text(&output))
    }
}

/// Started by root, with USER: looked at as him, except for what root makes for him.
#[test]
fn root_looks_as_the_user_whom_the_daemon_becomes() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let rooted = Rooted::new("nobody");
    // All is to be made, by root or below what root makes and gives away.
    let (code, said) = rooted.run("doctor");
    assert_eq!(code, Some(0), "{said}");
    for words in [
        "user: nobody (uid 65534); USER of carbon.conf",
        "line receiver (TCP): 127.0.0.1:620; the address is free",
        "run/line; nobody listens there",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let made = lines(&said, "ok").into_iter();
    let made = made.filter(|line| line.contains("gives it to uid 65534"));
    assert_eq!(made.count(), 3, "data, journal, logs: {said}");
    let left = ["storage", "logs", "run/line"].map(|name| rooted.at(name).exists());
    assert_eq!(left, [false; 3], "it made something");
    // What is there and is root's, he may not write, though root may.
    for name in ["storage/whisper", "storage/journal/a", "logs"] {
        std::fs::create_dir_all(rooted.at(name)).unwrap();
    }
    let (code, said) = rooted.run("doctor");
    let failed = lines(&said, "fail");
    assert_eq!(failed.len(), 3, "{said}");
    let places = ["log directory", "data directory", "journal directory"];
    for (line, what) in failed.iter().zip(places) {
        assert!(line.contains(what), "{said}");
        assert!(line.contains("uid 65534 may make no files"), "{said}");
        assert!(line.contains("chown -R nobody"), "{said}");
    }
    assert_eq!(code, Some(1), "its log files come first: {said}");
    assert_eq!(rooted.run("cache").0, code, "as the daemon");
}

/// A log file that Python carbon has left to root, in a directory of its user and in one of root's.
#[test]
fn a_log_file_of_roots_is_looked_at() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let rooted = Rooted::new("nobody");
    std::fs::create_dir(rooted.at("logs")).unwrap();
    let console = rooted.at("logs/console.log");
    std::fs::write(&console, "python's\n").unwrap();
    std::fs::set_permissions(&console, PermissionsExt::from_mode(0o644)).unwrap();
    let nobody = Some(65534);
    std::os::unix::fs::chown(rooted.at("logs"), nobody, nobody).unwrap();
    let (code, said) = rooted.run("doctor");
    assert_eq!(code, Some(0), "{said}");
    let words =
        "it is uid 0's, and uid 65534 may not write it; the start gives it the name of its day";
    assert!(said.contains(words), "{said}");
    assert!(console.exists(), "nothing is changed");
    std::os::unix::fs::chown(&console, nobody, nobody).unwrap();
    assert!(!rooted.run("doctor").1.contains("log file:"));
    std::fs::set_permissions(&console, PermissionsExt::from_mode(0o444)).unwrap();
    let (code, said) = rooted.run("doctor");
    assert_eq!(code, Some(1), "{said}");
    let failed = lines(&said, "fail");
    assert!(
        failed[0].contains("logs/console.log && chmod u+w"),
        "{said}"
    );
    // The start does not give what a link leads to another name.
    std::fs::rename(&console, rooted.at("elsewhere")).unwrap();
    std::os::unix::fs::symlink(rooted.at("elsewhere"), &console).unwrap();
    let (code, said) = rooted.run("doctor");
    assert_eq!(code, Some(1), "{said}");
    assert!(lines(&said, "fail")[0].contains("it is a link"), "{said}");
    // What is not there is made, where this user may.
    std::fs::remove_file(rooted.at("elsewhere")).unwrap();
    assert_eq!(rooted.run("doctor").0, Some(1));
    std::fs::remove_file(&console).unwrap();
    std::os::unix::fs::symlink(rooted.at("logs/elsewhere"), &console).unwrap();
    assert_eq!(rooted.run("doctor").0, Some(0));
}

#[test]
fn a_user_that_cannot_be_taken_on_is_no_start() {
    let rooted = Rooted::new("no-such-user-here");
    let (code, said) = rooted.run("doctor");
    assert_eq!(code, Some(3), "{said}");
    let failed = lines(&said, "fail");
    let mend = "useradd --system no-such-user-here";
    assert!(failed[0].contains(mend), "{said}");
    assert!(
        lines(&said, "ok").len() > 5,
        "the rest is looked at: {said}"
    );
    assert_eq!(rooted.run("cache").0, code, "as the daemon");
}

#[test]
fn the_profile_is_what_docker_takes() {
    let text = std::fs::read_to_string(profile()).unwrap();
    let profile: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(profile["defaultErrnoRet"], 1);
    let mut allowed = Vec::new();
    for rule in profile["syscalls"].as_array().unwrap() {
        // Docker refuses a file with a key that it does not know.
        for key in rule.as_object().unwrap().keys() {
            let known = ["comment", "names", "action", "args", "errnoRet"];
            assert!(known.contains(&key.as_str()), "{rule}");
        }
        let names = rule["names"].as_array().unwrap();
        let names = names.iter().map(|name| name.as_str().unwrap());
        if rule["action"] == "SCMP_ACT_ALLOW" {
            allowed.extend(names);
        }
    }
    for name in IO_URING {
        assert!(allowed.contains(&name), "{name} is not allowed");
    }
    let never = [
        "mount",
        "ptrace",
        "bpf",
        "init_module",
        "kexec_load",
        "setns",
        "unshare",
    ];
    for name in never {
        assert!(!allowed.contains(&name), "{name} is allowed");
    }
    let count = allowed.len();
    allowed.sort_unstable();
    allowed.dedup();
    assert_eq!(allowed.len(), count, "a call stands twice");
}

#[test]
fn under_the_profile_the_daemon_serves_and_stops() {
    let directory = tempfile::tempdir().unwrap();
    let mut words = vec!["doctor", "--shards", "2"];
    words.extend(ANY_PORTS);
    let doctor = confined(&profile(), directory.path(), &words)
        .output()
        .unwrap();
    assert!(doctor.status.success(), "{}", text(&doctor));

    words[0] = "cache";
    let log = directory.path().join("log");
    let mut daemon = confined(&profile(), directory.path(), &words)
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let read = || std::fs::read_to_string(&log).unwrap();
    let address = wait_for(|| {
        let log = read();
        assert!(!log.contains("ERROR"), "{log}");
        let (_, behind) = log.split_once("line receiver (TCP) listens on ")?;
        let ready = log.contains(" is ready");
        ready.then(|| behind.split_whitespace().next().map(str::to_owned))?
    });
    let Some(address) = address else {
        daemon.kill().unwrap();
        panic!("not ready in {PATIENCE:?}: {}", read());
    };
    let address: SocketAddr = address.parse().unwrap();
    let line = format!("under.profile 1 {}\n", crate::first_use::now());
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut socket, line.as_bytes()).unwrap();
    let file = directory
        .path()
        .join("benzene-data/whisper/under/profile.wsp");
    let written = wait_for(|| file.exists().then_some(()));
    let stopped = Command::new("kill").arg(daemon.id().to_string()).status();
    assert!(stopped.unwrap().success());
    let status = daemon.wait().unwrap();
    assert!(
        written.is_some() && status.success(),
        "{status}: {}",
        read()
    );
    assert!(read().contains("stopped: 1 received"), "{}", read());
}

/// A directory with schemas, and a profile that leaves io_uring out.
fn forbidding(directory: &Path) -> PathBuf {
    let whole = std::fs::read_to_string(profile()).unwrap();
    let mut without: Value = serde_json::from_str(&whole).unwrap();
    for rule in without["syscalls"].as_array_mut().unwrap() {
        let names = rule["names"].as_array_mut().unwrap();
        names.retain(|name| !IO_URING.contains(&name.as_str().unwrap()));
    }
    let path = directory.join("default.json");
    std::fs::write(&path, without.to_string()).unwrap();
    let schemas = "[all]\npattern = .*\nretentions = 60s:1d\n";
    std::fs::write(directory.join("storage-schemas.conf"), schemas).unwrap();
    path
}

/// What is said under a profile with a RING_DRIVER, and how it ends.
fn said_with(driver: &str, profile: &Path, directory: &Path) -> (String, Option<i32>) {
    let conf = format!("[cache]\nRING_DRIVER = {driver}\n");
    std::fs::write(directory.join("carbon.conf"), conf).unwrap();
    let conf = ["doctor", "--config", "carbon.conf", "--data-dir", "whisper"];
    let words = [&conf[..], &ANY_PORTS].concat();
    let output = confined(profile, directory, &words).output().unwrap();
    (text(&output), output.status.code())
}

#[test]
fn a_filter_that_forbids_io_uring_is_told_apart_from_the_sysctl() {
    let directory = tempfile::tempdir().unwrap();
    let path = forbidding(directory.path());
    for (driver, exit, level) in [("auto", 0, "warn"), ("uring", 5, "fail")] {
        let (said, code) = said_with(driver, &path, directory.path());
        assert_eq!(code, Some(exit), "{said}");
        let found = lines(&said, level);
        let found = found.iter().find(|line| line.contains("io_uring:"));
        let found = found.unwrap_or_else(|| panic!("nothing of io_uring in {said}"));
        for word in [
            "io_uring: Operation not permitted",
            "a seccomp filter sits on this process",
            "--security-opt seccomp=seccomp.json",
            "SystemCallFilter=",
        ] {
            assert!(found.contains(word), "no {word:?} in {said}");
        }
    }
}

#[test]
fn poll_that_is_asked_for_is_what_is_proven() {
    let directory = tempfile::tempdir().unwrap();
    let path = forbidding(directory.path());
    let (said, code) = said_with("poll", &path, directory.path());
    assert_eq!(code, Some(0), "{said}");
    let found = |what: &str| {
        let lines = lines(&said, "ok").into_iter();
        let mut of_it = lines.filter(|line| line.contains(what));
        match (of_it.next(), of_it.next()) {
            (Some(one), None) => one.to_owned(),
            other => panic!("{what}: {other:?} in {said}"),
        }
    };
    let driver = found("  ring driver: ");
    assert!(driver.contains("ring driver: poll (epoll) on "), "{driver}");
    assert!(driver.contains("RING_DRIVER = poll asks"), "{driver}");
    let io_uring = found("  io_uring: ");
    for word in [
        "Operation not permitted",
        "a seccomp filter",
        "does without it",
    ] {
        assert!(io_uring.contains(word), "no {word:?} in {io_uring}");
    }
    assert!(!io_uring.contains("every operation"), "{io_uring}");
}
