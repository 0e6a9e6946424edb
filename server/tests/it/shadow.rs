//! `benzene shadow` beside a daemon that runs: what both got is found equal, what one of them got alone
//! or otherwise is named, nothing of it stays, and what runs is left alone.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::daemon::{Daemon, Setup, program, wait_for};
use crate::first_use::now;

/// A shadow that receives.
struct Shadow {
    process: Child,
    /// None where nobody reads what it says.
    stderr: Option<BufReader<ChildStderr>>,
    /// What it said until it received.
    began: String,
    line: SocketAddr,
}

impl Shadow {
    fn of(daemon: &Daemon, scratch: &Path, flags: &[&str]) -> Shadow {
        let config = daemon.config();
        let flags = [flags, &["--config", config.to_str().unwrap()]].concat();
        Shadow::start(daemon, scratch, &flags)
    }

    fn start(daemon: &Daemon, scratch: &Path, flags: &[&str]) -> Shadow {
        Shadow::start_as(&mut program(), daemon, scratch, flags)
    }

    fn start_as(program: &mut Command, daemon: &Daemon, scratch: &Path, flags: &[&str]) -> Shadow {
        let mut process = program
            .args(["shadow", "--line", "127.0.0.1:0", "--pickle", "off"])
            .args(["--pid", &daemon.pid().to_string()])
            .args(flags)
            .arg("--scratch")
            .arg(scratch)
            // As a shell does with what it starts in a terminal.
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(process.stderr.take().unwrap());
        let mut said = String::new();
        let line = loop {
            let before = said.len();
            assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended: {said}");
            if let Some((_, address)) = said[before..].split_once("(TCP) listens on ") {
                let address = address.split([';', ',']).next().unwrap();
                break address.trim().parse().unwrap();
            }
        };
        Shadow {
            process,
            stderr: Some(stderr),
            began: said,
            line,
        }
    }

    fn send(&self, text: &str) {
        let mut socket = TcpStream::connect(self.line).unwrap();
        socket.write_all(text.as_bytes()).unwrap();
    }

    /// Ends it, and reads its report: the exit code, and what it printed.
    fn end(self) -> (i32, String) {
        let process = self.process.id().to_string();
        self.end_by("TERM", &process)
    }

    /// The same by another signal to whom kill(1) is told.
    fn end_by(mut self, signal: &str, to: &str) -> (i32, String) {
        kill(signal, to);
        let mut report = String::new();
        let mut stdout = self.process.stdout.take().unwrap();
        stdout.read_to_string(&mut report).unwrap();
        let mut said = String::new();
        if let Some(mut stderr) = self.stderr {
            stderr.read_to_string(&mut said).unwrap();
        }
        let status = self.process.wait().unwrap();
        (
            status.code().unwrap_or_else(|| panic!("{status}: {said}")),
            report,
        )
    }
}

fn kill(signal: &str, to: &str) {
    let status = Command::new("kill").args(["-s", signal, "--", to]).status();
    assert!(status.unwrap().success(), "kill -s {signal} -- {to}");
}

/// Waits until the daemon has a file of each of these metrics, with points: then both have all.
fn wait_for_files(daemon: &Daemon, metrics: &[&str]) {
    for metric in metrics {
        let written = || daemon.points(metric).is_empty() || daemon.file(metric).exists();
        let there = wait_for(|| (written() && daemon.file(metric).exists()).then_some(()));
        assert!(there.is_some(), "{metric} has no file: {}", daemon.log());
    }
}

#[test]
fn a_shadow_that_got_the_same_agrees_and_leaves_nothing() {
    let daemon = Daemon::start(&Setup::default());
    let before = now() - 100;
    daemon.send(&format!("a.old 1 {before}\na.b 0 {before}\n"));
    wait_for_files(&daemon, &["a.old", "a.b"]);
    let scratch = tempfile::tempdir().unwrap();
    let shadow = Shadow::of(&daemon, scratch.path(), &["--json"]);
    let before_the_end = "take it out of the relay before it ends";
    assert!(shadow.began.contains(before_the_end), "{}", shadow.began);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    let start = now() + 1;
    let lines =
        (start..start + 50).map(|second| format!("a.b {second}.5 {second}\nc;t=1 2 {second}\n"));
    let lines: String = lines.collect();
    daemon.send(&lines);
    shadow.send(&lines);
    // The last to be written has been when its counter says so.
    wait_for_files(&daemon, &["a.b"]);
    let committed = wait_for(|| (daemon.points("c;t=1").len() == 50).then_some(()));
    assert!(committed.is_some(), "{}", daemon.log());
    let (code, report) = shadow.end();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["received"], 100);
    assert_eq!(report["committed"], 100);
    assert_eq!(report["points_differ"], 0);
    assert_eq!(report["metrics_only_in_running"]["count"], 0, "{report:#}");
    assert!(report["running"]["resident_bytes"].as_u64() > Some(100_000));
    assert!(report["shadow"]["resident_bytes"].as_u64() > Some(100_000));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    daemon.stop();
}

#[test]
fn what_only_one_got_or_got_otherwise_is_named() {
    let daemon = Daemon::start(&Setup::default());
    let scratch = tempfile::tempdir().unwrap();
    let shadow = Shadow::of(&daemon, scratch.path(), &["--json", "--keep"]);
    let at = now() + 1;
    let both = |value: u32| {
        format!(
            "d.x 1 {at}\nd.x {value} {}\nd.x 3 {}\nd.y 1 {at}\n",
            at + 1,
            at + 2
        )
    };
    daemon.send(&format!("{}only.there 1 {at}\n", both(2)));
    shadow.send(&format!("{}only.here 1 {at}\n", both(7)));
    wait_for_files(&daemon, &["d.x", "d.y", "only.there"]);
    // Points answer for seconds after they were written, so the files are asked themselves.
    let file = daemon.file("d.x");
    let third = f64::from(3u32).to_be_bytes();
    let whole = wait_for(|| {
        let bytes = fs::read(&file).unwrap();
        bytes.windows(8).any(|part| part == third).then_some(())
    });
    assert!(whole.is_some(), "{}", daemon.log());
    let (code, report) = shadow.end();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(report["points_differ"], 1, "{report:#}");
    assert_eq!(report["contradicting"]["count"], 1);
    let named = report["contradicting"]["examples"][0].as_str().unwrap();
    assert!(named.starts_with("d.x: 1 points differ"), "{named}");
    assert_eq!(report["metrics_only_in_shadow"]["examples"][0], "only.here");
    assert_eq!(
        report["metrics_only_in_running"]["examples"][0],
        "only.there"
    );
    let kept = report["kept"].as_str().unwrap();
    assert!(Path::new(kept).join("d/x.wsp").exists(), "{kept}");
    // No later run takes it for what a killed one left.
    assert!(kept.contains("-kept-"), "{kept}");
    daemon.stop();
}

/// Bounds that a tree which is there already never meets: the shadow's own is empty.
#[test]
fn an_empty_tree_does_not_fall_behind_by_limits_of_the_old_one() {
    let daemon = Daemon::start(&Setup::default());
    let before = now() - 100;
    let names: Vec<String> = (0..40).map(|number| format!("s.m{number:03}")).collect();
    let all = |second: u32| -> String {
        let lines = names.iter().map(|name| format!("{name} 1 {second}\n"));
        lines.collect()
    };
    daemon.send(&all(before));
    wait_for_files(
        &daemon,
        &names.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let conf = fs::read_to_string(daemon.config()).unwrap();
    let limits = "MAX_CREATES_PER_MINUTE = 1\nMAX_CACHE_SIZE = 100\nUSE_FLOW_CONTROL = False\n";
    let limited = daemon.config().with_file_name("limited.conf");
    fs::write(&limited, conf + limits).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let flags = ["--json", "--config", limited.to_str().unwrap()];
    let shadow = Shadow::start(&daemon, scratch.path(), &flags);
    let start = now() + 1;
    let lines: String = (start..start + 10).map(all).collect();
    daemon.send(&lines);
    shadow.send(&lines);
    let last = (start + 9).to_be_bytes();
    for name in &names {
        let has = || {
            fs::read(daemon.file(name))
                .unwrap()
                .windows(4)
                .any(|part| part == last)
        };
        assert!(
            wait_for(|| has().then_some(())).is_some(),
            "{name}: {}",
            daemon.log()
        );
    }
    let (code, report) = shadow.end();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        (&report["creates"], &report["lost"]),
        (&40.into(), &0.into())
    );
    assert_eq!(report["metrics"], 40, "{report:#}");
    assert_eq!(report["metrics_only_in_running"]["count"], 0, "{report:#}");
    daemon.stop();
}

/// A point that the shadow cannot store, here for a directory in its file's place, is said before all else.
#[test]
fn what_the_shadow_could_not_store_is_said_first() {
    let daemon = Daemon::start(&Setup::default());
    let scratch = tempfile::tempdir().unwrap();
    let shadow = Shadow::of(&daemon, scratch.path(), &[]);
    let at = now() + 1;
    daemon.send(&format!("e.x 1 {at}\ne.y 1 {at}\n"));
    let own = fs::read_dir(scratch.path()).unwrap().next().unwrap();
    fs::create_dir_all(own.unwrap().path().join("whisper/e/y.wsp")).unwrap();
    shadow.send(&format!("e.x 1 {at}\ne.y 1 {at}\n"));
    wait_for_files(&daemon, &["e.x", "e.y"]);
    let (code, report) = shadow.end();
    assert_eq!(code, 1, "{report}");
    let second = report.lines().nth(1).unwrap();
    assert!(
        second.starts_with("1 of 2 points were not stored"),
        "{report}"
    );
    assert!(
        report.contains("metrics only there           0"),
        "{report}"
    );
    assert!(
        report.contains("metrics not judged           1\n      e.y"),
        "{report}"
    );
    assert!(
        report.contains("unknown: the shadow has not done"),
        "{report}"
    );
    daemon.stop();
}

#[test]
fn a_shadow_that_does_not_fit_is_refused() {
    let daemon = Daemon::start(&Setup::default());
    let huge = daemon.data().join("a/huge.wsp");
    fs::create_dir_all(huge.parent().unwrap()).unwrap();
    // Sparse: it takes nothing, and the file that the shadow would make takes all of it.
    fs::File::create(huge).unwrap().set_len(1 << 43).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let output = program()
        .args(["shadow", "--for", "1s", "--line", "127.0.0.1:0"])
        .args(["--pickle", "off", "--config"])
        .arg(daemon.config())
        .arg("--scratch")
        .arg(scratch.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("8388608 MiB"), "{said}");
    assert!(said.contains("--scratch"), "{said}");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    daemon.stop();
}

#[test]
fn a_carbon_conf_that_is_not_there_is_said() {
    let output = program()
        .args(["shadow", "--config", "/nonexistent/carbon.conf"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/nonexistent/carbon.conf"), "{said}");
}

/// Points of metrics that only the shadow gets, more than are written in the moment before it ends.
fn many(count: u32) -> String {
    let at = now() + 1;
    let lines = (0..count).map(|number| format!("f.m{number} 1 {at}\n"));
    lines.collect()
}

/// Ctrl-C in a terminal is a signal to all processes that it has started, the shadow's daemon not.
#[test]
fn ctrl_c_stores_all_that_was_received() {
    let daemon = Daemon::start(&Setup::default());
    let scratch = tempfile::tempdir().unwrap();
    let shadow = Shadow::of(&daemon, scratch.path(), &["--json"]);
    shadow.send(&many(2000));
    let group = format!("-{}", shadow.process.id());
    let (code, report) = shadow.end_by("INT", &group);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["received"], 2000);
    assert_eq!(report["committed"], 2000);
    assert_eq!(report["lost"], 0);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    daemon.stop();
}

/// A session that drops takes the terminal with it, and nobody reads what is said any more.
#[test]
fn a_session_that_drops_ends_the_shadow_in_order() {
    let daemon = Daemon::start(&Setup::default());
    let scratch = tempfile::tempdir().unwrap();
    let program = program();
    // These tests themselves may run under nohup.
    let mut default = Command::new("env");
    default.arg("--default-signal=HUP");
    default.arg(program.get_program()).args(program.get_args());
    let config = daemon.config();
    let flags = ["--json", "--config", config.to_str().unwrap()];
    let mut shadow = Shadow::start_as(&mut default, &daemon, scratch.path(), &flags);
    shadow.send(&many(10));
    shadow.stderr = None;
    let line = shadow.line;
    let group = format!("-{}", shadow.process.id());
    let (code, report) = shadow.end_by("HUP", &group);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["committed"], 10);
    assert!(TcpStream::connect(line).is_err(), "its daemon goes on");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    daemon.stop();
}

/// Whoever starts it under nohup wants the report all the same.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "time to end in, for one that does"
)]
fn a_shadow_under_nohup_survives_its_session() {
    let daemon = Daemon::start(&Setup::default());
    let scratch = tempfile::tempdir().unwrap();
    let program = program();
    let mut nohup = Command::new("nohup");
    nohup.arg(program.get_program()).args(program.get_args());
    let config = daemon.config();
    let flags = ["--json", "--config", config.to_str().unwrap()];
    let shadow = Shadow::start_as(&mut nohup, &daemon, scratch.path(), &flags);
    kill("HUP", &format!("-{}", shadow.process.id()));
    std::thread::sleep(Duration::from_millis(300));
    shadow.send(&many(10));
    let (code, report) = shadow.end();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((code, &report["committed"]), (0, &10.into()), "{report:#}");
    daemon.stop();
}

/// However the shadow ends, nothing goes on receiving.
#[test]
fn a_shadow_that_is_killed_leaves_no_daemon() {
    let daemon = Daemon::start(&Setup::default());
    let scratch = tempfile::tempdir().unwrap();
    let mut shadow = Shadow::of(&daemon, scratch.path(), &[]);
    shadow.send(&many(1));
    kill("KILL", &shadow.process.id().to_string());
    shadow.process.wait().unwrap();
    let ended = wait_for(|| TcpStream::connect(shadow.line).is_err().then_some(()));
    assert!(ended.is_some(), "its daemon goes on");
    daemon.stop();
}

/// That its daemon serves is said at `info`, whatever the operator wants to read; and a service manager
/// is told of the shadow by nobody.
#[test]
fn a_quiet_log_does_not_keep_the_shadow_waiting() {
    let daemon = Daemon::start(&Setup::default());
    let scratch = tempfile::tempdir().unwrap();
    let manager = scratch.path().join("manager");
    let told = UnixDatagram::bind(&manager).unwrap();
    told.set_nonblocking(true).unwrap();
    let mut process = program()
        .args(["shadow", "--for", "1s", "--line", "127.0.0.1:0"])
        .args(["--pickle", "off", "--config"])
        .arg(daemon.config())
        .arg("--scratch")
        .arg(scratch.path())
        .env("BENZENE_LOG", "warn")
        .env("NOTIFY_SOCKET", &manager)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = wait_for(|| process.try_wait().unwrap());
    if status.is_none() {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    assert!(told.recv(&mut [0; 64]).is_err(), "its daemon is announced");
    daemon.stop();
}
