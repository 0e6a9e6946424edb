//! The daemon as init scripts and service managers see it: `start`, `stop` and `status` with Python
//! carbon's exit codes, pid files, another user, systemd's messages.
//! Every daemon that a test starts in the background is killed when the test ends, whatever happens.
#![expect(clippy::disallowed_methods, reason = "a test reads clocks and waits")]

mod background;
mod logs;
mod systemd;
mod user;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use benzene_engine::ring::host;

use crate::daemon::{program, wait_for};

/// A carbon.conf in a directory of its own, and the daemon that runs by it.
struct Place {
    root: tempfile::TempDir,
    /// What stands on the command line before the flags.
    words: Vec<String>,
}

impl Place {
    fn new(conf: &str) -> Place {
        let root = tempfile::tempdir().unwrap();
        let storage = root.path().join("storage");
        let text = format!("[cache]\nSTORAGE_DIR = {}\n{conf}\n", storage.display());
        std::fs::write(root.path().join("carbon.conf"), text).unwrap();
        let schemas = "[all]\npattern = .*\nretentions = 1s:6h\n";
        std::fs::write(root.path().join("storage-schemas.conf"), schemas).unwrap();
        Place {
            root,
            words: vec!["cache".to_owned()],
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn pid_file(&self) -> PathBuf {
        self.path("storage/carbon-cache-a.pid")
    }

    fn console(&self) -> String {
        let path = self.path("storage/log/carbon-cache/carbon-cache-a/console.log");
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// The command with these words behind the flags.
    fn command(&self, words: &[&str]) -> Command {
        self.command_of(program(), words)
    }

    fn command_of(&self, mut command: Command, words: &[&str]) -> Command {
        command.args(&self.words);
        command.arg("--config").arg(self.path("carbon.conf"));
        at_free_ports(&mut command).args(words);
        command
    }

    /// Runs `start`, `stop` or `status` to its end.
    fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.command(words).output().unwrap())
    }

    /// The daemon's process, as the pid file says.
    fn pid(&self) -> i32 {
        let text = std::fs::read_to_string(self.pid_file()).unwrap();
        text.trim().parse().unwrap()
    }

    fn kill(&self) {
        let pid = self.pid();
        kill("KILL", pid);
        wait_for(|| (!host::is_alive(pid)).then_some(())).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(text) = std::fs::read_to_string(self.pid_file())
            && let Ok(pid) = text.trim().parse::<i32>()
            && is_benzene(pid)
        {
            kill("KILL", pid);
        }
    }
}

/// Every receiver listens at a port that is free.
pub(crate) fn at_free_ports(command: &mut Command) -> &mut Command {
    for port in ["--line", "--udp", "--pickle", "--query"] {
        command.args([port, "127.0.0.1:0"]);
    }
    command
}

/// Whether a process is a daemon of ours: a test may write any number into a pid file.
fn is_benzene(pid: i32) -> bool {
    let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
    words.is_ok_and(|words| words.contains("--detached"))
}

fn kill(signal: &str, pid: i32) {
    let status = Command::new("kill")
        .args(["-s", signal, &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// What a command said and how it ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Where the daemon that was started listens for lines.
    fn line(&self) -> SocketAddr {
        self.address("line receiver (TCP)")
    }

    /// Where it answers cache queries.
    fn query(&self) -> SocketAddr {
        self.address("cache query")
    }

    fn address(&self, service: &str) -> SocketAddr {
        let needle = format!("{service} listens on ");
        let Some((_, rest)) = self.err.split_once(&needle) else {
            panic!("no {needle:?} in {self:?}")
        };
        rest.split_whitespace().next().unwrap().parse().unwrap()
    }
}

/// What /proc says of each thread of a process.
fn statuses(pid: i32) -> Vec<String> {
    let tasks = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"));
    tasks
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok())
        .collect()
}
