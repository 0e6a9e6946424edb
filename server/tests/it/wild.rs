//! carbon.conf as it is found in the wild: packages, images, Chef, Puppet, Synthesize, eight instances
//! behind relays (fixtures/carbon/wild), and Python carbon's own example. The real daemon starts with
//! each as it stands, at the place that it is written for: in name spaces of its own, where
//! /etc, /opt, /var and /run are the test's and every port is free. A point is sent and asked back
//! there, `benzene check-config` finds nothing to mend, and the stop is clean.
//! Root is needed, and unshare, nsenter, mount and ip.
#![expect(clippy::disallowed_methods, reason = "a test sleeps simply")]

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::daemon::{Way, command, program, wait_for};
use crate::first_use::now;

/// The user that packages make; the daemon may become it.
const USER: u32 = 990;
/// Directories that are the test's own in the daemon's name space.
const OWN: [&str; 5] = ["etc", "opt", "var/lib", "var/log", "run"];

/// A configuration and how its own init script would start it.
struct Wild {
    /// Its folder below fixtures/carbon/wild; empty for Python carbon's example.
    name: &'static str,
    /// Where it is installed.
    place: &'static str,
    /// `--instance`.
    instance: Option<&'static str>,
    line: u16,
    query: u16,
    data: &'static str,
}

const OPT: &str = "/opt/graphite/conf";
const OPT_DATA: &str = "/opt/graphite/storage/whisper";
const ETC: &str = "/etc/carbon";

const fn wild(name: &'static str, place: &'static str, data: &'static str) -> Wild {
    Wild {
        name,
        place,
        instance: None,
        line: 2003,
        query: 7002,
        data,
    }
}

impl Wild {
    const fn instance(self, name: &'static str, line: u16, query: u16) -> Wild {
        Wild {
            instance: Some(name),
            ..self.ports(line, query)
        }
    }

    const fn ports(self, line: u16, query: u16) -> Wild {
        Wild {
            line,
            query,
            ..self
        }
    }
}

fn all() -> [Wild; 9] {
    [
        wild("", OPT, OPT_DATA),
        wild("debian", ETC, "/var/lib/graphite/whisper"),
        wild("epel", ETC, "/var/lib/carbon/whisper"),
        wild("relay-by-rules", ETC, "/var/lib/carbon/whisper").instance("b", 2103, 7102),
        wild("docker-graphite-statsd", OPT, OPT_DATA),
        wild("puppet", OPT, OPT_DATA),
        wild("chef", OPT, OPT_DATA),
        wild("synthesize", OPT, OPT_DATA).instance("1", 2003, 7002),
        // All eight in one process: what one port was sent, another answers.
        wild("eight-behind-relays", OPT, OPT_DATA).ports(20303, 7082),
    ]
}

/// A machine of its own for one daemon: directories, and a process in name spaces.
struct Machine {
    root: tempfile::TempDir,
    daemon: Child,
}

impl Machine {
    fn start(wild: &Wild) -> Machine {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path.trim_start_matches('/'));
        for directory in OWN.iter().chain(&[wild.place, wild.data, "var/log/carbon"]) {
            fs::create_dir_all(at(directory)).unwrap();
        }
        install(wild, &at(wild.place));
        let users = ["carbon", "_graphite", "www-data", "graphite"];
        let passwd = users.map(|user| format!("{user}:x:{USER}:{USER}::/:/bin/false\n"));
        let group = users.map(|user| format!("{user}:x:{USER}:\n"));
        fs::write(
            at("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\n".to_owned() + &passwd.concat(),
        )
        .unwrap();
        fs::write(at("etc/group"), "root:x:0:\n".to_owned() + &group.concat()).unwrap();
        for directory in ["opt", "var/lib", "var/log", "run"] {
            give_away(&at(directory));
        }
        let binds = OWN.map(|own| format!("mount --bind {} /{own} && ", at(own).display()));
        let script = format!("{}ip link set lo up && exec \"$@\"", binds.concat());
        let words = ["unshare", "--mount", "--net", "sh", "-c", &script, "sh"];
        let mut wrapper: Vec<String> = words.map(str::to_owned).to_vec();
        wrapper.extend(Way::of_this_run().wrapper());
        let mut command = command(&wrapper);
        command
            .args(["cache", "--config"])
            .arg(Path::new(wild.place).join("carbon.conf"));
        if let Some(instance) = wild.instance {
            command.args(["--instance", instance]);
        }
        for variable in ["GRAPHITE_ROOT", "GRAPHITE_CONF_DIR", "GRAPHITE_STORAGE_DIR"] {
            command.env_remove(variable);
        }
        let log = fs::File::create(root.path().join("log")).unwrap();
        let daemon = command.stderr(log).stdin(Stdio::null()).spawn().unwrap();
        Machine { root, daemon }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root.path().join("log")).unwrap()
    }

    /// Runs a program beside the daemon, in its name spaces.
    fn beside(&self, program: &Command) -> Output {
        let mut beside = Command::new("nsenter");
        beside.args([
            "--mount",
            "--net",
            "--target",
            &self.daemon.id().to_string(),
        ]);
        beside.arg(program.get_program()).args(program.get_args());
        beside.output().unwrap()
    }

    fn benzene(&self, arguments: &[&str]) -> Output {
        self.beside(program().args(arguments))
    }

    /// Sends a line by bash, which has sockets.
    fn send(&self, port: u16, line: &str) -> bool {
        let script = format!("echo '{line}' > /dev/tcp/127.0.0.1/{port}");
        let mut bash = Command::new("/bin/bash");
        self.beside(bash.args(["-c", &script])).status.success()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}

/// Puts the files where they belong.
fn install(wild: &Wild, conf: &Path) {
    if wild.name.is_empty() {
        for name in [
            "carbon.conf",
            "storage-schemas.conf",
            "storage-aggregation.conf",
        ] {
            let example = benzene_fixtures::path(&format!("carbon/{name}.example"));
            fs::copy(example, conf.join(name)).unwrap();
        }
        return;
    }
    let folder = benzene_fixtures::path(&format!("carbon/wild/{}", wild.name));
    for entry in fs::read_dir(folder).unwrap() {
        let from: PathBuf = entry.unwrap().path();
        fs::copy(&from, conf.join(from.file_name().unwrap())).unwrap();
    }
}

/// Gives a directory and what is in it to the packages' user.
fn give_away(path: &Path) {
    chown(path, Some(USER), Some(USER)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

fn starts_unchanged(wild: &Wild) {
    let mut machine = Machine::start(wild);
    let host = format!("127.0.0.1:{}", wild.query);
    let metric = "wild.servers.web1.load";
    let mut value = 0;
    let answered = wait_for(|| {
        if let Some(status) = machine.daemon.try_wait().unwrap() {
            panic!("{}: it ended with {status}: {}", wild.name, machine.log());
        }
        value += 1;
        let sent = machine.send(wild.line, &format!("{metric} {value} {}", now()));
        let asked = machine.benzene(&["query", metric, "--csv", "--host", &host]);
        let answer = String::from_utf8_lossy(&asked.stdout);
        let there = sent
            && answer
                .lines()
                .any(|line| line.ends_with(&format!(",{value}")));
        if !there {
            std::thread::sleep(Duration::from_millis(50));
        }
        there.then_some(())
    });
    assert!(
        answered.is_some(),
        "{}: no answer: {}",
        wild.name,
        machine.log()
    );
    let conf = format!("{}/carbon.conf", wild.place);
    let checked = machine.benzene(&["check-config", "--json", &conf]);
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(report["errors"], 0, "{}: {report:#}", wild.name);
    assert!(checked.status.success(), "{}", wild.name);
    let known = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["level"] == "used");
    assert!(known.count() >= 8, "{}: {report:#}", wild.name);
    let pid = machine.daemon.id().to_string();
    let killed = Command::new("kill").args(["-s", "TERM", &pid]).status();
    assert!(killed.unwrap().success());
    let status = wait_for(|| machine.daemon.try_wait().unwrap());
    assert_eq!(
        status.and_then(|status| status.code()),
        Some(0),
        "{}: {}",
        wild.name,
        machine.log()
    );
}

#[test]
fn configurations_as_they_are_found_start_unchanged() {
    let folders = fs::read_dir(benzene_fixtures::path("carbon/wild"))
        .unwrap()
        .count();
    let wild = all();
    assert_eq!(folders + 1, wild.len(), "each folder is started");
    for wild in &wild {
        starts_unchanged(wild);
    }
}
