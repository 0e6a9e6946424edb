//! Where io_uring is not permitted, the daemon says so once, with causes and remedies, and leaves
//! nothing behind. A seccomp filter that answers EPERM to io_uring_setup, as container profiles
//! have it, is put on by Python before it becomes the daemon.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};

/// The filter: load the number of the system call; io_uring_setup is 425 on every architecture
/// that is younger than it, x86_64 and aarch64 included.
const FORBID: &str = "
import ctypes, os, sys
class Step(ctypes.Structure):
    _fields_ = [('code', ctypes.c_ushort), ('yes', ctypes.c_ubyte), ('no', ctypes.c_ubyte), ('k', ctypes.c_uint)]
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('steps', ctypes.POINTER(Step))]
steps = (Step * 4)((0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0, 'no new privileges'
assert libc.prctl(22, 2, ctypes.byref(Program(4, steps)), 0, 0) == 0, 'seccomp filter'
os.execv(sys.argv[1], sys.argv[1:])
";

fn run_forbidden(directory: &std::path::Path, ports: &[(&str, SocketAddr)]) -> Output {
    let mut command = Command::new(benzene_fixtures::python().unwrap());
    command
        .args(["-c", FORBID, env!("CARGO_BIN_EXE_benzene"), "cache"])
        .current_dir(directory);
    for variable in ["GRAPHITE_ROOT", "GRAPHITE_CONF_DIR", "GRAPHITE_STORAGE_DIR"] {
        command.env_remove(variable);
    }
    for (flag, address) in ports {
        command.args([*flag, &address.to_string()]);
    }
    command.output().unwrap()
}

#[test]
fn a_machine_without_io_uring_is_told_why_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let ports = ["--line", "--pickle", "--query"].map(|flag| {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        (flag, free.local_addr().unwrap())
    });
    let output = run_forbidden(directory.path(), &ports);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{log}");
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(errors.len(), 1, "{log}");
    for word in [
        "io_uring is not permitted",
        "seccomp",
        "allow io_uring_setup, io_uring_enter and io_uring_register",
        "kernel.io_uring_disabled",
        "set it to 0",
        "memlock",
        "LimitMEMLOCK=",
    ] {
        assert!(errors[0].contains(word), "no {word:?} in {log}");
    }
    assert!(!log.contains("listens on"), "it listened before: {log}");
    for (flag, address) in ports {
        assert!(
            TcpStream::connect(address).is_err(),
            "{flag} is still served"
        );
    }
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert!(left.is_empty(), "it left {left:?}");
}
