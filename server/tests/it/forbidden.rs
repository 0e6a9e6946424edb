//! Where io_uring is not permitted, the daemon falls back and says why, with causes and remedies;
//! where it was asked for by name it refuses to start, and leaves nothing behind. A seccomp filter
//! that answers an errno to io_uring_setup, as container profiles have it, is put on by Python before
//! it becomes the daemon. The whole suite runs behind it with BENZENE_TEST_DRIVER = forbidden.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;

use rustix::io::Errno;

use crate::daemon::{Daemon, Setup, Way, command, wait_for};
use crate::faults::files_below;
use crate::first_use::now;

/// The filter: load the number of the system call, and answer an errno to one of them.
const FORBID: &str = "
import ctypes, os, sys
class Step(ctypes.Structure):
    _fields_ = [('code', ctypes.c_ushort), ('yes', ctypes.c_ubyte), ('no', ctypes.c_ubyte), ('k', ctypes.c_uint)]
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('steps', ctypes.POINTER(Step))]
call, answer = int(sys.argv[1]), 0x00050000 | int(sys.argv[2])
steps = (Step * 4)((0x20, 0, 0, 0), (0x15, 0, 1, call), (0x06, 0, 0, answer), (0x06, 0, 0, 0x7fff0000))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0, 'no new privileges'
assert libc.prctl(22, 2, ctypes.byref(Program(4, steps)), 0, 0) == 0, 'seccomp filter'
os.execv(sys.argv[3], sys.argv[3:])
";

/// io_uring's system calls, which have one number on every architecture, as all later ones have.
const SETUP: u32 = 425;
const ENTER: u32 = 426;
const REGISTER: u32 = 427;

/// What stands before a program's words, so that io_uring_setup answers `errno` to it.
pub(crate) fn wrapper(errno: Errno) -> Vec<String> {
    wrapper_for(SETUP, errno)
}

fn wrapper_for(call: u32, errno: Errno) -> Vec<String> {
    let python = benzene_fixtures::python().unwrap();
    let (python, errno) = (python.display().to_string(), errno.raw_os_error());
    vec![
        python,
        "-c".to_owned(),
        FORBID.to_owned(),
        call.to_string(),
        errno.to_string(),
    ]
}

/// A start that is to fail: in a directory, with these lines of carbon.conf, on these ports.
fn try_forbidden(
    (call, errno): (u32, Errno),
    lines: &str,
    directory: &Path,
    ports: &[(&str, SocketAddr)],
) -> Output {
    let conf = directory.join("carbon.conf");
    std::fs::write(
        &conf,
        format!("[cache]\nSTORAGE_DIR = {}\n{lines}\n", directory.display()),
    )
    .unwrap();
    let schemas = "[all]\npattern = .*\nretentions = 1s:6h\n";
    std::fs::write(directory.join("storage-schemas.conf"), schemas).unwrap();
    let mut command = command(&wrapper_for(call, errno));
    command.arg("cache").arg("--config").arg(conf);
    for (flag, address) in ports {
        command.args([*flag, &address.to_string()]);
    }
    command.output().unwrap()
}

/// Every cause and every remedy that an operator may need.
const CAUSES: &[&str] = &[
    "io_uring is not permitted",
    "seccomp",
    "allow io_uring_setup, io_uring_enter and io_uring_register",
    "kernel.io_uring_disabled",
    "set it to 0",
    "memlock",
    "LimitMEMLOCK=",
];

fn lines_of<'a>(log: &'a str, level: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(level)).collect()
}

#[test]
fn a_machine_without_io_uring_is_served_otherwise_and_told_why() {
    let daemon = Daemon::start(&Setup {
        way: Some(Way::Forbidden),
        shards: Some(2),
        ..Setup::default()
    });
    let time = now();
    daemon.send(&format!("forbidden.metric 4.5 {time}\n"));
    assert_eq!(daemon.wait_for_points("forbidden.metric", 1), [(time, 4.5)]);
    let file = daemon.file("forbidden.metric");
    wait_for(|| file.exists().then_some(())).unwrap();
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let warnings = lines_of(&ended.log, "io_uring");
    let [warning] = warnings[..] else {
        panic!("{warnings:?}")
    };
    assert!(warning.contains("WARN"), "{warning}");
    let advice = [
        "RING_DRIVER = poll",
        "RING_DRIVER = uring",
        "by poll",
        "by threads",
    ];
    for word in CAUSES.iter().chain(&advice) {
        assert!(warning.contains(word), "no {word:?} in {warning}");
    }
}

#[test]
fn poll_that_is_asked_for_needs_no_io_uring_and_no_warning() {
    let daemon = Daemon::start(&Setup {
        way: Some(Way::Poll),
        ..Setup::default()
    });
    daemon.send(&format!("asked.for 1 {}\n", now()));
    daemon.wait_for_points("asked.for", 1);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(!ended.log.contains("io_uring"), "{}", ended.log);
}

#[test]
fn who_asks_for_io_uring_and_cannot_have_it_is_refused() {
    for lines in [
        "RING_DRIVER = uring",
        "WRITER_BACKEND = uring",
        "RING_DRIVER = uring\nWRITER_BACKEND = sync",
    ] {
        for forbidden in [
            (SETUP, Errno::PERM),
            (SETUP, Errno::NOSYS),
            (ENTER, Errno::PERM),
            (REGISTER, Errno::PERM),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let ports = ["--line", "--pickle", "--query"].map(|flag| {
                let free = TcpListener::bind("127.0.0.1:0").unwrap();
                (flag, free.local_addr().unwrap())
            });
            let output = try_forbidden(forbidden, lines, directory.path(), &ports);
            let log = String::from_utf8(output.stderr).unwrap();
            assert_eq!(
                output.status.code(),
                Some(5),
                "{lines}, {forbidden:?}: {log}"
            );
            let errors = lines_of(&log, "ERROR");
            let [error] = errors[..] else {
                panic!("{lines}: {log}")
            };
            let advice = ["with auto for both, poll and sync serve instead"];
            for word in CAUSES.iter().chain(&advice) {
                assert!(error.contains(word), "no {word:?} in {log}");
            }
            assert!(!log.contains("listens on"), "it listened before: {log}");
            for (flag, address) in ports {
                assert!(
                    TcpStream::connect(address).is_err(),
                    "{flag} is still served"
                );
            }
            let left = std::fs::read_dir(directory.path()).unwrap().count();
            assert_eq!(left, 2, "more than the two files of its configuration");
        }
    }
}

/// Linux 5.1 to 5.5 do not know the setup flags without which we make no ring.
#[test]
fn a_kernel_that_does_not_know_our_flags_is_too_old_and_served_otherwise() {
    let said = "too old, Linux 6.1 is needed; missing: setup flags of Linux 5.6";
    let daemon = Daemon::start(&Setup {
        way: Some(Way::Forbidden),
        refusal: Some(Errno::INVAL),
        ..Setup::default()
    });
    let time = now();
    daemon.send(&format!("too.old 4.5 {time}\n"));
    assert_eq!(daemon.wait_for_points("too.old", 1), [(time, 4.5)]);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let warnings = lines_of(&ended.log, "io_uring");
    let [warning] = warnings[..] else {
        panic!("{warnings:?}")
    };
    for word in ["WARN", said, "RING_DRIVER = poll", "by threads"] {
        assert!(warning.contains(word), "no {word:?} in {warning}");
    }
    for lines in ["RING_DRIVER = uring", "WRITER_BACKEND = uring"] {
        let directory = tempfile::tempdir().unwrap();
        let output = try_forbidden((SETUP, Errno::INVAL), lines, directory.path(), &[]);
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{lines}: {log}");
        assert!(log.contains(said), "{lines}: {log}");
    }
}

/// What a run forbids is forbidden to all that it starts: nobody names the program but who knows the way.
#[test]
fn no_test_starts_the_program_around_the_way_of_the_run() {
    // doctor.rs speaks of the machine itself; process/ names links and a unit.
    let may = [
        "daemon.rs",
        "doctor.rs",
        "forbidden.rs",
        "process/background.rs",
        "process/systemd.rs",
    ];
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut named: Vec<String> = files_below(&tests)
        .iter()
        .filter(|file| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            text.contains("CARGO_BIN_EXE_benzene") || text.contains("PROGRAM")
        })
        .map(|file| file.strip_prefix(&tests).unwrap().display().to_string())
        .collect();
    named.sort();
    assert_eq!(named, may);
}

#[test]
fn a_want_of_resources_is_no_reason_to_fall_back() {
    for errno in [Errno::NOMEM, Errno::MFILE] {
        let directory = tempfile::tempdir().unwrap();
        let output = try_forbidden((SETUP, errno), "", directory.path(), &[]);
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains("no resources while making the ring"), "{log}");
        assert!(!log.contains("poll"), "{log}");
    }
}
