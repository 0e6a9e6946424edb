//! USER: root starts the daemon, another user runs it.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use super::{Place, Ran, at_free_ports, host, statuses};
use crate::daemon::wait_for;

/// A place that other users can reach.
fn open_place(conf: &str) -> Place {
    let place = Place::new(conf);
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.root.path(), open).unwrap();
    place
}

fn ids_of(name: &str) -> (u32, u32) {
    let user = nix::unistd::User::from_name(name).unwrap().unwrap();
    (user.uid.as_raw(), user.gid.as_raw())
}

#[test]
fn every_thread_is_the_users_and_so_is_what_is_made() {
    if host::user() != 0 {
        return;
    }
    let place = open_place("USER = nobody\nCACHE_WRITE_STRATEGY = sorted");
    let (uid, gid) = ids_of("nobody");
    let started = place.run(&["start"]);
    assert_eq!(started.code, Some(0), "{started:?}");
    let now = crate::first_use::now();
    let mut sender = TcpStream::connect(started.line()).unwrap();
    writeln!(sender, "user.point 1 {now}").unwrap();
    let file = place.path("storage/whisper/user/point.wsp");
    wait_for(|| file.exists().then_some(())).unwrap();
    let statuses = statuses(place.pid());
    assert!(statuses.len() >= 2, "the desk and a core: {statuses:?}");
    for status in statuses {
        let ids = format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{gid}\t{gid}\t{gid}\t{gid}\n");
        assert!(status.contains(&ids), "{status}");
        assert!(status.contains("CapPrm:\t0000000000000000"), "{status}");
    }
    let made = [
        "storage",
        "storage/whisper/user/point.wsp",
        "storage/journal/a/lock",
        "storage/log/carbon-cache/carbon-cache-a/console.log",
        "storage/carbon-cache-a.pid",
    ];
    for name in made {
        let found = std::fs::metadata(place.path(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (uid, gid), "{name}");
    }
    assert_eq!(place.run(&["stop"]).code, Some(0));
    assert!(!place.pid_file().exists());
}

#[test]
fn low_ports_and_roots_directories_can_be_had() {
    if host::user() != 0 {
        return;
    }
    let place = open_place("USER = nobody");
    let pids = place.path("run");
    std::fs::create_dir(&pids).unwrap();
    let pid_file = pids.join("carbon.pid");
    let mut command = crate::daemon::program();
    command
        .args(["cache", "--config"])
        .arg(place.path("carbon.conf"));
    command.arg("--pidfile").arg(&pid_file);
    // A port that only root may bind, and that nothing here is likely to use.
    command.args([
        "--line",
        "127.0.0.1:619",
        "--pickle",
        "off",
        "--query",
        "off",
        "start",
    ]);
    let started = command.output().unwrap();
    let said = String::from_utf8(started.stderr).unwrap();
    assert_eq!(started.status.code(), Some(0), "{said}");
    TcpStream::connect("127.0.0.1:619").unwrap();
    let owner = std::fs::metadata(&pid_file).unwrap().uid();
    assert_eq!(owner, ids_of("nobody").0);
    let pid: i32 = std::fs::read_to_string(&pid_file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    super::kill("TERM", pid);
    wait_for(|| (!host::is_alive(pid)).then_some(())).unwrap();
    // The directory is root's: the file stays, and is stale.
    let left = std::fs::read_to_string(&pid_file).unwrap();
    assert_eq!(left.trim(), pid.to_string());
}

/// Python carbon, started by root, leaves console.log and a killed one its pid file to root, in the
/// directories of the user whom it becomes.
#[test]
fn what_python_left_to_root_makes_room() {
    if host::user() != 0 {
        return;
    }
    let place = open_place("USER = nobody");
    let (uid, gid) = ids_of("nobody");
    let logs = "storage/log/carbon-cache/carbon-cache-a";
    std::fs::create_dir_all(place.path(logs)).unwrap();
    for directory in place.path(logs).ancestors().take(4) {
        std::os::unix::fs::chown(directory, Some(uid), Some(gid)).unwrap();
    }
    let console = place.path(logs).join("console.log");
    // No process has that number.
    for (file, text) in [(&console, "python's\n"), (&place.pid_file(), "99999999")] {
        std::fs::write(file, text).unwrap();
        let of_root = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(file, of_root).unwrap();
    }
    let started = place.run(&["start"]);
    assert_eq!(started.code, Some(0), "{started:?}");
    for file in [&console, &place.pid_file()] {
        let found = std::fs::metadata(file).unwrap();
        assert_eq!(found.uid(), uid, "{}", file.display());
    }
    let kept: Vec<String> = std::fs::read_dir(place.path(logs))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.display().to_string().contains("console.log."))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(kept, ["python's\n"]);
    let said = || place.console().contains("was another user's");
    wait_for(|| said().then_some(())).expect("it is said in the new one");
    assert_eq!(place.run(&["stop"]).code, Some(0));
}

/// Sockets in a directory of root's and in one of the user's, and the journals of two instances in a
/// directory of root's that is there.
#[test]
fn sockets_and_the_journals_of_all_instances_are_the_users() {
    if host::user() != 0 {
        return;
    }
    let place = open_place("USER = nobody");
    let at = |name: &str| place.root.path().join(name);
    let (roots, his, journals) = (at("run"), at("his"), at("storage/journal"));
    for directory in [&roots, &his, &journals] {
        std::fs::create_dir_all(directory).unwrap();
    }
    let (uid, gid) = ids_of("nobody");
    std::os::unix::fs::chown(&his, Some(uid), Some(gid)).unwrap();
    let conf = std::fs::read_to_string(at("carbon.conf")).unwrap();
    let sockets = format!(
        "LINE_RECEIVER_SOCKET = {}/line\nCACHE_QUERY_SOCKET = {}/query\n[cache:b]\n\
         LINE_RECEIVER_SOCKET = {0}/line-b\nCACHE_QUERY_SOCKET = {1}/query-b\n",
        roots.display(),
        his.display()
    );
    std::fs::write(at("carbon.conf"), conf + &sockets).unwrap();
    let started = place.run(&["start"]);
    assert_eq!(started.code, Some(0), "{started:?}");
    let sockets = ["run/line", "run/line-b", "his/query", "his/query-b"];
    for name in sockets {
        let found = std::fs::metadata(at(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (uid, gid), "{name}");
        assert_eq!(found.mode() & 0o777, 0o660, "{name}");
        UnixStream::connect(at(name)).unwrap();
    }
    for name in ["carbon-cache-a.pid", "journal/a/lock", "journal/b/lock"] {
        let name = format!("storage/{name}");
        let found = std::fs::metadata(at(&name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (uid, gid), "{name}");
    }
    let stopped = place.run(&["stop"]);
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    // The user may take away what lies in his own directory only.
    assert_eq!(
        sockets.map(|name| at(name).exists()),
        [true, true, false, false]
    );
    let again = place.run(&["start"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    UnixStream::connect(at("run/line")).unwrap();
    assert_eq!(place.run(&["stop"]).code, Some(0));
}

#[test]
fn a_user_that_cannot_be_taken_on_is_no_start() {
    let place = open_place("USER = no-such-user-here");
    let unknown = place.run(&["start"]);
    assert_eq!(unknown.code, Some(3), "{unknown:?}");
    assert!(
        unknown.err.contains("useradd --system no-such-user-here"),
        "{unknown:?}"
    );
    if host::user() != 0 {
        return;
    }
    // Started by somebody who is neither root nor the user.
    let place = open_place("USER = daemon");
    let (uid, _) = ids_of("nobody");
    let mut command = place.command(&[]);
    std::os::unix::process::CommandExt::uid(&mut command, uid);
    let Ok(output) = command.output() else {
        // The program itself lies where only root may look.
        return;
    };
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("start the daemon as root or as daemon"),
        "{said}"
    );
}

#[test]
fn a_data_directory_of_roots_is_named() {
    if host::user() != 0 {
        return;
    }
    let place = open_place("USER = nobody");
    std::fs::create_dir_all(place.path("storage/whisper")).unwrap();
    let refused = place.run(&["--nodaemon"]);
    assert_eq!(refused.code, Some(6), "{refused:?}");
    assert!(
        refused.err.contains("make it writable for this user"),
        "{refused:?}"
    );
}

/// Root reads carbon.conf at the start, and whom he becomes may not: that is said once, as what it is.
#[test]
fn a_carbon_conf_that_is_roots_alone_has_not_changed() {
    if host::user() != 0 {
        return;
    }
    let place = open_place("USER = nobody");
    let conf = place.path("carbon.conf");
    let mode = |bits| std::fs::set_permissions(&conf, PermissionsExt::from_mode(bits)).unwrap();
    mode(0o600);
    let shown = conf.display().to_string();
    let mut doctor = crate::daemon::program();
    at_free_ports(doctor.args(["doctor", "--config"]).arg(&conf));
    let asked = Ran::of(doctor.output().unwrap());
    let line = asked.out.lines().find(|line| line.contains("reload: "));
    let line = line.unwrap_or_else(|| panic!("{asked:?}"));
    for word in ["warn", shown.as_str(), "nobody", "chgrp", "chmod 0640"] {
        assert!(line.contains(word), "no {word:?} in {line}");
    }
    assert_eq!(place.run(&["start"]).code, Some(0));
    // The desk looks every second, and takes over what two looks have found.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let console = place.console();
    let said = console.lines().filter(|line| line.contains("may not read"));
    let said: Vec<&str> = said.collect();
    let [said] = said[..] else {
        panic!("{console}")
    };
    for word in [
        "WARN",
        shown.as_str(),
        "nobody may not read",
        "next start",
        "SIGHUP",
        "chgrp",
        "chmod 0640",
    ] {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    assert!(!console.contains("has changed"), "{console}");
    assert!(!console.contains("ERROR"), "{console}");
    // As the message says, and with something new in it.
    let text = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, format!("{text}MAX_UPDATES_PER_SECOND = 777\n")).unwrap();
    std::os::unix::fs::chown(&conf, None, Some(ids_of("nobody").1)).unwrap();
    mode(0o640);
    let taken = "carbon.conf has changed: from now on MAX_UPDATES_PER_SECOND = 777";
    wait_for(|| place.console().contains(taken).then_some(())).unwrap();
    assert_eq!(place.run(&["stop"]).code, Some(0));
}
