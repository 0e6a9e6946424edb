//! `start`, `stop` and `status`, and the pid file that they go by.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::{Place, Ran, at_free_ports, host, kill};
use crate::daemon::{PROGRAM, program_at, wait_for};

#[test]
fn start_status_and_stop_end_as_with_python() {
    let place = Place::new("");
    let none = place.run(&["status"]);
    assert_eq!(none.code, Some(1), "{none:?}");
    assert_eq!(none.out, "carbon-cache (instance a) is not running\n");
    let nothing = place.run(&["stop"]);
    assert_eq!(nothing.code, Some(0), "{nothing:?}");
    assert!(nothing.out.contains("does not exist"), "{nothing:?}");

    let started = place.run(&["start"]);
    assert_eq!(started.code, Some(0), "{started:?}");
    assert_eq!(started.out, "Starting carbon-cache (instance a)\n");
    // It was ready before `start` ended.
    TcpStream::connect(started.line()).unwrap();
    let pid = place.pid();
    let running = place.run(&["status"]);
    assert_eq!(running.code, Some(0), "{running:?}");
    let said = format!("carbon-cache (instance a) is running with pid {pid}\n");
    assert_eq!(running.out, said);
    let again = place.run(&["start"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    let said = format!("carbon-cache (instance a) is already running with pid {pid}\n");
    assert_eq!(again.out, said);
    assert_eq!(place.pid(), pid);

    let stopped = place.run(&["stop"]);
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert_eq!(stopped.out, format!("Sending kill signal to pid {pid}\n"));
    assert!(!host::is_alive(pid), "stop waits for the end");
    assert!(!place.pid_file().exists());
    assert_eq!(place.run(&["start"]).code, Some(0), "at once");
    assert_eq!(place.run(&["stop"]).code, Some(0));
    let console = place.console();
    assert!(console.contains("SIGTERM: receivers stop"), "{console}");
}

#[test]
fn whatever_is_wrong_with_the_rules_it_is_found_and_stopped() {
    let place = Place::new("USE_WHITELIST = True");
    assert_eq!(place.run(&["start"]).code, Some(0));
    for (file, wrong) in [
        (
            "storage-schemas.conf",
            "[all]\npattern = .*\nretentions = 1x\n",
        ),
        ("storage-aggregation.conf", "aggregationMethod = sum\n"),
        ("whitelist.conf", "(\n"),
    ] {
        std::fs::write(place.path(file), wrong).unwrap();
    }
    std::fs::remove_file(place.path("storage-schemas.conf")).unwrap();
    let running = place.run(&["status"]);
    assert_eq!(running.code, Some(0), "{running:?}");
    // With carbon.conf itself nobody knows, and 3 would mean `not running` to an init script.
    let conf = std::fs::read(place.path("carbon.conf")).unwrap();
    std::fs::write(place.path("carbon.conf"), "[cache\n").unwrap();
    for action in ["status", "stop"] {
        let failed = place.run(&[action]);
        assert_eq!(failed.code, Some(1), "{failed:?}");
        assert!(failed.err.contains("no section head"), "{failed:?}");
    }
    std::fs::write(place.path("carbon.conf"), conf).unwrap();
    let pid = place.pid();
    let stopped = place.run(&["stop"]);
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert!(!host::is_alive(pid));
    assert_eq!(place.run(&["status"]).code, Some(1));
    assert_eq!(place.run(&["start"]).code, Some(3));
}

#[test]
fn an_instance_that_another_process_answers_for_is_running_and_not_stopped() {
    let place =
        Place::new("[cache:b]\nCACHE_QUERY_PORT = 7102\n[cache:c]\nCACHE_QUERY_PORT = 7103");
    assert_eq!(place.run(&["--instance", "b", "status"]).code, Some(1));
    let started = place.run(&["start"]);
    assert_eq!(started.code, Some(0), "{started:?}");
    let pid = place.pid();
    let whose = format!(
        "carbon-cache (instance b) is running with pid {pid}, which answers for the instances a, b, c"
    );
    let running = place.run(&["--instance", "b", "status"]);
    assert_eq!((running.code, running.out), (Some(0), format!("{whose}\n")));
    let refused = place.run(&["--instance", "b", "stop"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused
            .out
            .contains(&format!("{whose}; `stop` without --instance")),
        "{refused:?}"
    );
    assert!(host::is_alive(pid));
    assert_eq!(place.run(&["stop"]).code, Some(0));
    assert_eq!(place.run(&["--instance", "b", "stop"]).code, Some(0));
    // The same of one that was started without a pid file, as service managers do.
    let mut foreground = place.command(&["--instance", "b"]);
    let mut daemon = foreground.stderr(Stdio::null()).spawn().unwrap();
    let found = wait_for(|| {
        let found = place.run(&["--instance", "b", "status"]);
        (found.code == Some(0)).then_some(found.out)
    });
    let said = format!(
        "is running with pid {}, without this pid file\n",
        daemon.id()
    );
    let found = found.unwrap();
    assert!(found.ends_with(&said), "{found}");
    let refused = place.run(&["--instance", "b", "stop"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert_eq!(place.run(&["--instance", "b", "status"]).code, Some(1));
}

#[test]
fn the_daemon_leaves_terminal_session_and_streams() {
    let place = Place::new("");
    // `output` returns when nobody holds its streams any more.
    let started = place.run(&["start"]);
    assert_eq!(started.code, Some(0), "{started:?}");
    let pid = place.pid();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let session = fields.split(' ').nth(3).unwrap();
    assert_eq!(session, pid.to_string(), "it leads a session of its own");
    for (stream, ends) in [(0, "/dev/null"), (1, "/dev/null"), (2, "console.log")] {
        let path = format!("/proc/{pid}/fd/{stream}");
        let leads_to = || std::fs::read_link(&path).unwrap();
        // The last of them is let go of right after `start` was told.
        wait_for(|| leads_to().ends_with(ends).then_some(()))
            .unwrap_or_else(|| panic!("{stream}: {}", leads_to().display()));
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Umask:\t0022"), "{status}");
}

#[test]
fn a_start_that_fails_says_why_and_how_it_ended() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new("");
    let address = taken.local_addr().unwrap().to_string();
    let failed = place.run(&["--line", &address, "start"]);
    assert_eq!(failed.code, Some(2), "a flag stands twice: {failed:?}");
    let mut command = crate::daemon::program();
    command
        .args(["cache", "--config"])
        .arg(place.path("carbon.conf"));
    command.args(["--line", &address, "start"]);
    let failed = Ran::of(command.output().unwrap());
    assert_eq!(failed.code, Some(4), "{failed:?}");
    assert!(
        failed.err.contains("another process has that port"),
        "{failed:?}"
    );
    assert!(!place.pid_file().exists(), "nobody is left to own it");
    std::fs::write(place.path("carbon.conf"), "[cache]\nSHARDS = many\n").unwrap();
    let refused = place.run(&["start"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
}

#[test]
fn a_pid_file_whose_process_is_gone_is_stale() {
    let place = Place::new("");
    assert_eq!(place.run(&["start"]).code, Some(0));
    place.kill();
    assert!(place.pid_file().exists(), "nobody could remove it");
    assert_eq!(place.run(&["status"]).code, Some(1));
    let again = place.run(&["start"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.out.contains("Removing stale pidfile"), "{again:?}");
    assert_eq!(place.run(&["stop"]).code, Some(0));
    // Another program's number, written by hand: a live process holds it, as for Python.
    let mut sleeper = Command::new("sleep").arg("600").spawn().unwrap();
    std::fs::write(place.pid_file(), sleeper.id().to_string()).unwrap();
    let held = place.run(&["start"]);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    assert_eq!(held.code, Some(1), "{held:?}");
    assert!(held.out.contains("already running"), "{held:?}");
}

#[test]
fn of_many_starts_at_once_one_wins() {
    let place = Place::new("");
    let starts: Vec<_> = (0..6)
        .map(|_| {
            let mut command = place.command(&["start"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let ended: Vec<Ran> = starts
        .into_iter()
        .map(|start| Ran::of(start.wait_with_output().unwrap()))
        .collect();
    let won = ended.iter().filter(|ran| ran.code == Some(0)).count();
    let lost = ended.iter().filter(|ran| ran.code == Some(1)).count();
    assert_eq!((won, lost), (1, 5), "{ended:#?}");
    assert_eq!(place.run(&["status"]).code, Some(0));
    assert_eq!(place.run(&["stop"]).code, Some(0));
}

#[test]
fn under_carbons_name_it_takes_carbons_command_line() {
    let mut place = Place::new("");
    let link = place.path("carbon-cache.py");
    symlink(PROGRAM, &link).unwrap();
    place.words.clear();
    let run = |words: &[&str]| {
        let output = place.command_of(program_at(&link), words).output();
        Ran::of(output.unwrap())
    };
    let started = run(&["--instance=b", "--debug", "--profile", "x", "status"]);
    assert_eq!(started.code, Some(1), "{started:?}");
    assert!(
        started.out.contains("(instance b) is not running"),
        "{started:?}"
    );
    assert!(
        started.err.contains("--profile has no effect"),
        "{started:?}"
    );
    assert_eq!(run(&["start"]).code, Some(0));
    let pid = place.pid();
    let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(words.contains("carbon-cache.py"), "{words}");
    assert_eq!(run(&["status"]).code, Some(0));
    assert_eq!(run(&["stop"]).code, Some(0));
}

#[test]
fn under_carbons_name_it_finds_the_carbon_conf_that_pythons_program_would_find() {
    let place = Place::new("");
    for directory in ["bin", "conf"] {
        std::fs::create_dir(place.path(directory)).unwrap();
    }
    let link = place.path("bin/carbon-cache.py");
    symlink(PROGRAM, &link).unwrap();
    let run = |word: &str| {
        let mut command = program_at(&link);
        for variable in ["GRAPHITE_ROOT", "GRAPHITE_CONF_DIR", "GRAPHITE_STORAGE_DIR"] {
            command.env_remove(variable);
        }
        Ran::of(at_free_ports(&mut command).arg(word).output().unwrap())
    };
    let lost = run("start");
    assert_eq!(lost.code, Some(3), "{lost:?}");
    let looked = place.path("conf/carbon.conf");
    assert!(
        lost.err
            .contains(&format!("{}: there is no such file", looked.display())),
        "{lost:?}"
    );
    assert!(
        lost.err
            .contains("as Python's does; give --config, or set GRAPHITE_ROOT"),
        "{lost:?}"
    );
    for file in ["carbon.conf", "storage-schemas.conf"] {
        std::fs::rename(place.path(file), place.path("conf").join(file)).unwrap();
    }
    for (word, code) in [("status", 1), ("start", 0), ("status", 0), ("stop", 0)] {
        let ran = run(word);
        assert_eq!(ran.code, Some(code), "{word}: {ran:?}");
    }
}

#[test]
fn in_the_foreground_a_pid_file_is_written_where_one_is_named() {
    let place = Place::new("");
    let named = place.path("run/benzene.pid");
    let mut command = place.command(&["--pidfile", named.to_str().unwrap(), "--umask", "027"]);
    let mut daemon = command.stderr(Stdio::null()).spawn().unwrap();
    let line = format!("{}\n", daemon.id());
    wait_for(|| {
        std::fs::read_to_string(&named)
            .ok()
            .filter(|text| *text == line)
    })
    .unwrap();
    let whisper = place.path("storage/whisper");
    wait_for(|| whisper.exists().then_some(())).unwrap();
    kill("TERM", daemon.id().try_into().unwrap());
    assert!(daemon.wait().unwrap().success());
    assert!(!named.exists() && !place.pid_file().exists());
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(whisper).unwrap());
    assert_eq!(mode & 0o777, 0o750, "--umask 027");
}

#[test]
fn nodaemon_stays_and_has_the_pid_file() {
    let place = Place::new("");
    let mut command = place.command(&["--nodaemon", "start"]);
    let mut daemon = command
        .arg0("benzene")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let held = wait_for(|| {
        let status = place.run(&["status"]);
        (status.code == Some(0)).then_some(status)
    });
    let held = held.unwrap();
    assert!(
        held.out.contains(&format!("pid {}", daemon.id())),
        "{held:?}"
    );
    let stopped = place.run(&["stop"]);
    // It is our child, and waits for us: a zombie has ended.
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert!(daemon.wait().unwrap().success());
}
