//! Log files: Python carbon's own lines for the same traffic, files that are moved away, days that
//! end, a disk that is full.

use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use super::{Place, Ran, kill};
use crate::daemon::{Querier, program, wait_for};
use crate::first_use::now;

const SCHEMAS: &str = "[seconds]\npattern = ^log\nretentions = 1s:1h,1m:1d\n";
const AGGREGATION: &str = "[sums]\npattern = one$\nxFilesFactor = 0.1\naggregationMethod = sum\n";
const LOGGED: [&str; 4] = ["creates.log", "updates.log", "listener.log", "query.log"];

/// A place with rules that leave a mark in creates.log.
fn place(conf: &str) -> Place {
    let conf = format!("CACHE_WRITE_STRATEGY = sorted\nCARBON_METRIC_INTERVAL = 0\n{conf}");
    let place = Place::new(&conf);
    std::fs::write(place.path("storage-schemas.conf"), SCHEMAS).unwrap();
    std::fs::write(place.path("storage-aggregation.conf"), AGGREGATION).unwrap();
    place
}

fn log(place: &Place, name: &str) -> PathBuf {
    place
        .path("storage/log/carbon-cache/carbon-cache-a")
        .join(name)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Waits until a log file holds a text, and answers all of it.
fn wait_for_line(path: &Path, text: &str) -> String {
    wait_for(|| Some(read(path)).filter(|all| all.contains(text)))
        .unwrap_or_else(|| panic!("no {text:?} in {}: {}", path.display(), read(path)))
}

/// Sends two metrics and asks for one that is unknown.
fn send(line: SocketAddr, query: SocketAddr) {
    let time = now();
    let mut sender = TcpStream::connect(line).unwrap();
    write!(sender, "log.one 1 {time}\nlog.two 2 {time}\n").unwrap();
    // Refused, for the number of fields and for the value.
    let garbage = "log.bad 'x' \x07\\ \u{fc} 1 2 3\nlog.worse\u{df} twelve 1\n";
    sender.write_all(garbage.as_bytes()).unwrap();
    drop(sender);
    assert_eq!(Querier::connect(query).points("log.unknown"), []);
}

/// The lines of a log file without what differs from run to run; every one has its time.
fn lines(path: &Path) -> Vec<String> {
    let mut lines: Vec<String> = read(path)
        .lines()
        .map(|line| {
            let (time, message) = line.split_once(" :: ").unwrap_or_else(|| panic!("{line}"));
            let shape: String = time
                .chars()
                .map(|letter| if letter.is_ascii_digit() { '9' } else { letter })
                .collect();
            assert_eq!(shape, "99/99/9999 99:99:99", "{line}");
            let words = message.split(' ').map(|word| {
                let bare = word.trim_matches(['[', ']', ',']);
                if bare.parse::<SocketAddr>().is_ok() {
                    word.replace(bare, "PEER")
                } else if word.len() == 7 && word.parse::<f64>().is_ok() {
                    "TOOK".to_owned()
                } else {
                    word.to_owned()
                }
            });
            words.collect::<Vec<_>>().join(" ")
        })
        .collect();
    lines.sort();
    lines
}

/// Waits until everything that `send` did, and one more connection that asked nothing, is in the logs.
fn wait_for_all(logs: &Path) {
    for (name, count) in [("updates.log", 2), ("listener.log", 4), ("query.log", 5)] {
        let path = logs.join(name);
        wait_for(|| (read(&path).lines().count() == count).then_some(()))
            .unwrap_or_else(|| panic!("not {count} lines in {name}: {}", read(&path)));
    }
}

/// Real carbon-cache over the same files of rules; its log directory.
fn run_python(place: &Place) -> PathBuf {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap();
    let ports: Vec<SocketAddr> = [free(), free(), free()]
        .iter()
        .map(|socket| socket.local_addr().unwrap())
        .collect();
    let root = place.path("python");
    let (conf, storage) = (root.join("conf"), root.join("storage"));
    std::fs::create_dir_all(&conf).unwrap();
    for name in ["storage-schemas.conf", "storage-aggregation.conf"] {
        std::fs::copy(place.path(name), conf.join(name)).unwrap();
    }
    let text = format!(
        "[cache]\nSTORAGE_DIR = {}\nLINE_RECEIVER_PORT = {}\nPICKLE_RECEIVER_PORT = {}\n\
         CACHE_QUERY_PORT = {}\nCARBON_METRIC_INTERVAL = 0\nMAX_UPDATES_PER_SECOND = inf\n\
         ENABLE_TAGS = False\nLOG_LISTENER_CONN_LOST = True\n",
        storage.display(),
        ports[0].port(),
        ports[1].port(),
        ports[2].port(),
    );
    std::fs::write(conf.join("carbon.conf"), text).unwrap();
    let python = benzene_fixtures::python().unwrap();
    let carbon = |action: &str| {
        let mut command = Command::new(&python);
        command.arg(python.with_file_name("carbon-cache.py"));
        command.arg("--config").arg(conf.join("carbon.conf"));
        let output = command.arg(action).env("GRAPHITE_ROOT", &root).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{action}: {output:?}");
    };
    carbon("start");
    wait_for(|| TcpStream::connect(ports[2]).ok()).unwrap();
    let logs = storage.join("log/carbon-cache/carbon-cache-a");
    send(ports[0], ports[2]);
    wait_for_all(&logs);
    carbon("stop");
    logs
}

#[test]
fn files_and_lines_are_pythons() {
    let place = place("LOG_LISTENER_CONN_LOST = True");
    let started = place.run(&["start"]);
    assert_eq!(started.code, Some(0), "{started:?}");
    // Python's is looked at once before, whether it listens already.
    drop(TcpStream::connect(started.query()).unwrap());
    send(started.line(), started.query());
    wait_for_all(log(&place, "").as_path());
    assert_eq!(place.run(&["stop"]).code, Some(0));
    let pythons = run_python(&place);
    for name in LOGGED {
        let (ours, theirs) = (lines(&log(&place, name)), lines(&pythons.join(name)));
        assert_eq!(ours, theirs, "{name}");
        assert!(ours.len() >= 2, "{name}: {ours:?}");
    }
    // Console lines have the same shape.
    assert!(lines(&log(&place, "console.log")).len() > 5);
}

#[test]
fn what_is_switched_off_is_not_logged() {
    let off = "LOG_UPDATES = False\nLOG_CREATES = False\nLOG_CACHE_HITS = False\n\
               LOG_LISTENER_CONN_SUCCESS = False";
    let place = place(off);
    let started = place.run(&["start"]);
    send(started.line(), started.query());
    wait_for(|| {
        place
            .path("storage/whisper/log/two.wsp")
            .exists()
            .then_some(())
    })
    .unwrap();
    assert_eq!(place.run(&["stop"]).code, Some(0));
    for name in ["creates.log", "updates.log"] {
        assert!(!log(&place, name).exists(), "{name}");
    }
    // What was refused is said all the same.
    for line in read(&log(&place, "listener.log")).lines() {
        assert!(
            line.contains("invalid line received from client "),
            "{line}"
        );
    }
    let query = read(&log(&place, "query.log"));
    assert!(
        query.contains("connected") && !query.contains("cache query"),
        "{query}"
    );
}

/// Whatever is sent, and however fast: each kind once, in a line of bounded length.
#[test]
fn what_was_refused_is_said_once_of_each_kind() {
    let place = place("LOG_LISTENER_CONN_SUCCESS = False");
    let started = place.run(&["start"]);
    assert_eq!(started.code, Some(0), "{started:?}");
    let mut line = TcpStream::connect(started.line()).unwrap();
    let client = line.local_addr().unwrap();
    let flood = format!("\x1b[31mflood {} 1 2\n", "x".repeat(1_000));
    line.write_all(flood.repeat(10_000).as_bytes()).unwrap();
    line.write_all(b"a\x01b 1 2\n\xff 1 2\nlog.nan nan 1\n")
        .unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagrams = started.address("line receiver (UDP)");
    udp.send_to(b"by udp and bad", datagrams).unwrap();
    let mut pickle = TcpStream::connect(started.address("pickle receiver")).unwrap();
    let sender = pickle.local_addr().unwrap();
    // What is no pickle, and ["a"], which is no list of points.
    for body in [&b"\0\0\0\x04no\xff."[..], b"\0\0\0\x09(lS'a'\na."] {
        pickle.write_all(body).unwrap();
    }
    let listener = log(&place, "listener.log");
    wait_for_line(&listener, "Error decoding pickle: ");
    wait_for_line(
        &listener,
        "received from a datagram, ignoring [by udp and bad]",
    );
    // Behind the lines of that connection, all of which are worked off then.
    writeln!(line, "log.one 1 {}", now()).unwrap();
    wait_for_line(&log(&place, "updates.log"), "log.one");
    assert_eq!(place.run(&["stop"]).code, Some(0));
    let all = read(&listener);
    let begins = |start: &str| {
        let lines = all.lines().filter_map(|line| line.split_once(" :: "));
        let of_it = lines.filter(|(_, message)| message.starts_with(start));
        of_it
            .map(|(_, message)| message.to_owned())
            .collect::<Vec<_>>()
    };
    let lines = begins("invalid line received from client ");
    let quoted = format!("\\x1b[31mflood {}...", "x".repeat(400 - 11));
    let of = |text: &str| format!("invalid line received from client {client}, ignoring [{text}]");
    assert_eq!(
        lines,
        [of(&quoted), of("a\\x01b 1 2"), of("\\xff 1 2")],
        "{all}"
    );
    let pickles = begins(&format!("invalid pickle received from {sender}, error: \""));
    assert!(
        pickles.len() == 1 && pickles[0].ends_with("\", ignoring"),
        "{all}"
    );
    assert_eq!(all.lines().count(), 6, "{all}");
}

#[test]
fn a_question_for_what_is_no_name_is_cut_and_escaped() {
    let place = place("");
    let started = place.run(&["start"]);
    let mut querier = Querier::connect(started.query());
    let long = format!("\x1b[2J{}", "x".repeat(1 << 20));
    for name in [long.as_str(), "log.one"] {
        assert_eq!(querier.points(name), []);
    }
    let all = wait_for_line(
        &log(&place, "query.log"),
        "for \"log.one\" returned 0 values",
    );
    assert_eq!(place.run(&["stop"]).code, Some(0));
    let quoted = format!("for \"\\x1b[2J{}...\" returned", "x".repeat(400 - 4));
    assert!(all.contains(&quoted), "{}", &all[..1_000.min(all.len())]);
    assert!(all.len() < 2_000, "{} bytes", all.len());
}

/// Python's second form, of an update that the limiter has held.
#[test]
fn what_an_update_has_waited_for_is_told() {
    let place = place("MAX_UPDATES_PER_SECOND = 4");
    let started = place.run(&["start"]);
    let mut sender = TcpStream::connect(started.line()).unwrap();
    let names = ["log.one", "log.two", "log.three", "log.four"];
    for name in names {
        writeln!(sender, "{name} 1 {}", now()).unwrap();
    }
    let updates = log(&place, "updates.log");
    for name in names {
        wait_for_line(&updates, &format!("{name} in "));
    }
    assert_eq!(place.run(&["stop"]).code, Some(0));
    let all = read(&updates);
    let waits: Vec<f64> = all
        .lines()
        .filter_map(|line| line.split_once(" seconds after waiting "))
        .map(|(before, wait)| {
            let (_, took) = before.rsplit_once(" in ").unwrap();
            let wait = wait.strip_suffix(" seconds").unwrap();
            for number in [took, wait] {
                assert_eq!(number.split_once('.').unwrap().1.len(), 5, "{all}");
            }
            wait.parse().unwrap()
        })
        .collect();
    // Four a second: the first goes at once, each other a quarter of a second after the one before.
    assert!(waits.len() >= 2, "{all}");
    let sum: f64 = waits.iter().sum();
    assert!((0.2..5.0).contains(&sum), "{all}");
}

/// What goes into the files follows carbon.conf, on a signal and by itself.
#[test]
fn what_is_logged_follows_carbon_conf() {
    const ALL: [&str; 4] = [
        "LOG_UPDATES",
        "LOG_CREATES",
        "LOG_CACHE_HITS",
        "LOG_LISTENER_CONN_SUCCESS",
    ];
    let conf = |word: &str| ALL.map(|name| format!("{name} = {word}\n")).concat();
    let place = place(&conf("False"));
    let started = place.run(&["start"]);
    assert_eq!(started.code, Some(0), "{started:?}");
    let console = log(&place, "console.log");
    let change = |from: &str, to: &str| {
        let path = place.path("carbon.conf");
        let text = read(&path);
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    };
    let early = TcpStream::connect(started.line()).unwrap();
    let early_name = early.local_addr().unwrap();
    send(started.line(), started.query());
    let file = |name: &str| place.path("storage/whisper/log").join(name);
    wait_for(|| (file("one.wsp").exists() && file("two.wsp").exists()).then_some(())).unwrap();
    change(&conf("False"), &conf("True"));
    kill("HUP", place.pid());
    let said = wait_for_line(&console, "SIGHUP: from now on ");
    for name in ALL {
        assert!(said.contains(&format!("{name} = True")), "{said}");
    }
    // A connection that was there before is told when it goes.
    drop(early);
    let gone = format!("MetricLineReceiver connection with {early_name} closed cleanly");
    wait_for_line(&log(&place, "listener.log"), &gone);
    let mut sender = TcpStream::connect(started.line()).unwrap();
    let new = sender.local_addr().unwrap();
    writeln!(sender, "log.three 1 {}", now()).unwrap();
    wait_for_line(&log(&place, "updates.log"), "log.three");
    let creates = wait_for_line(&log(&place, "creates.log"), "database metric log.three");
    assert!(!creates.contains("log.one"), "it was off: {creates}");
    wait_for_line(&log(&place, "listener.log"), &format!("{new} established"));
    assert_eq!(Querier::connect(started.query()).points("log.none"), []);
    let queries = wait_for_line(&log(&place, "query.log"), "cache query for \"log.none\"");
    assert!(!queries.contains("log.unknown"), "it was off: {queries}");
    // By itself, and the directory waits for the next start.
    let off = format!("{}LOG_DIR = /nowhere\n", conf("False"));
    change(&conf("True"), &off);
    let said = wait_for_line(&console, "carbon.conf has changed: from now on ");
    assert!(
        said.contains("as before until the next start: LOG_DIR"),
        "{said}"
    );
    writeln!(sender, "log.four 1 {}", now()).unwrap();
    wait_for(|| file("four.wsp").exists().then_some(())).unwrap();
    assert_eq!(place.run(&["stop"]).code, Some(0));
    for name in ["updates.log", "creates.log"] {
        let all = read(&log(&place, name));
        assert!(!all.contains("log.four"), "{name} is off again: {all}");
    }
}

#[test]
fn a_file_that_was_moved_away_is_made_again() {
    let place = place("ENABLE_LOGROTATION = False");
    let started = place.run(&["start"]);
    let updates = log(&place, "updates.log");
    send(started.line(), started.query());
    wait_for_line(&updates, "log.one");
    wait_for_line(&updates, "log.two");
    let moved = log(&place, "updates.log.1");
    std::fs::rename(&updates, &moved).unwrap();
    let before = read(&moved);
    send(started.line(), started.query());
    wait_for_line(&updates, "wrote 1 datapoints for log.one");
    assert_eq!(read(&moved), before, "nothing more goes into the old one");
    // With a signal, as logrotate's postrotate sends it, the old file is let go of at once.
    let console = log(&place, "console.log");
    let moved = log(&place, "console.log.1");
    std::fs::rename(&console, &moved).unwrap();
    kill("HUP", place.pid());
    wait_for_line(&console, "SIGHUP");
    let pid = place.pid();
    wait_for(|| {
        let stderr = std::fs::read_link(format!("/proc/{pid}/fd/2")).ok()?;
        (stderr == console).then_some(())
    })
    .unwrap();
    assert_eq!(place.run(&["stop"]).code, Some(0));
}

#[test]
fn a_day_that_is_over_gets_its_name() {
    for (rotates, conf) in [(true, ""), (false, "ENABLE_LOGROTATION = False")] {
        let place = place(conf);
        let console = log(&place, "console.log");
        std::fs::create_dir_all(console.parent().unwrap()).unwrap();
        std::fs::write(&console, "of yesterday\n").unwrap();
        let file = std::fs::File::options().write(true).open(&console).unwrap();
        let yesterday = SystemTime::now() - Duration::from_hours(36);
        file.set_modified(yesterday).unwrap();
        assert_eq!(place.run(&["start"]).code, Some(0));
        assert_eq!(place.run(&["stop"]).code, Some(0));
        let kept = std::fs::read_dir(console.parent().unwrap()).unwrap();
        let aside = kept
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_str().unwrap().contains("console.log.20"));
        assert_eq!(aside.is_some(), rotates, "{aside:?}");
        assert_eq!(read(&console).contains("of yesterday"), !rotates);
        if let Some(aside) = aside {
            assert_eq!(read(&aside), "of yesterday\n");
        }
    }
}

#[test]
fn a_full_log_disk_stops_nobody_and_is_counted() {
    let place = place("ENABLE_LOGROTATION = False");
    let updates = log(&place, "updates.log");
    std::fs::create_dir_all(updates.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", &updates).unwrap();
    let started = place.run(&["start"]);
    assert_eq!(started.code, Some(0), "{started:?}");
    send(started.line(), started.query());
    let console = log(&place, "console.log");
    wait_for_line(&console, "log lines were dropped");
    let mut querier = Querier::connect(started.query());
    assert_eq!(querier.points("log.unknown"), []);
    assert_eq!(place.run(&["stop"]).code, Some(0));
    let said = wait_for_line(&console, "counted: ");
    assert!(said.contains("logged.dropped 2"), "{said}");
}

/// The end waits a moment for the last lines, and `benzene stop` for the end.
#[test]
fn a_start_right_behind_a_stop_finds_nothing_in_its_way() {
    let place = place("");
    let updates = log(&place, "updates.log");
    std::fs::create_dir_all(updates.parent().unwrap()).unwrap();
    // A pipe that nobody reads: whoever opens it for writing waits.
    let made = Command::new("mkfifo").arg(&updates).status();
    assert!(made.unwrap().success());
    let started = place.run(&["start"]);
    assert_eq!(started.code, Some(0), "{started:?}");
    send(started.line(), started.query());
    let file = |name: &str| place.path("storage/whisper/log").join(name);
    wait_for(|| (file("one.wsp").exists() && file("two.wsp").exists()).then_some(())).unwrap();
    let mut stop = program();
    stop.args(["stop", "--config"])
        .arg(place.path("carbon.conf"));
    let stopped = Ran::of(stop.output().unwrap());
    let is_there = place.pid_file().exists();
    assert!(stopped.code == Some(0) && !is_there, "{stopped:?}");
    let again = place.run(&["start"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(place.run(&["stop"]).code, Some(0));
}

#[test]
fn logdir_is_the_directory_itself_also_in_the_foreground() {
    let place = place("");
    let logs = place.path("my logs");
    let mut command = place.command(&["--logdir", logs.to_str().unwrap()]);
    let mut daemon = command.stderr(Stdio::piped()).spawn().unwrap();
    wait_for_line(&logs.join("console.log"), " is ready");
    kill("TERM", daemon.id().try_into().unwrap());
    let mut said = String::new();
    std::io::Read::read_to_string(&mut daemon.stderr.take().unwrap(), &mut said).unwrap();
    assert!(daemon.wait().unwrap().success());
    assert!(
        said.contains(" is ready") && said.contains("stopped: "),
        "{said}"
    );
    let console = read(&logs.join("console.log"));
    assert!(console.contains("stopped: "), "{console}");
}

/// A terminal that is held, or a log driver that hangs: the lines are lost, and nothing else.
#[test]
fn who_does_not_read_standard_error_holds_nobody_up() {
    let place = place("SHUTDOWN = drain\nMAX_CREATES_PER_MINUTE = inf");
    let mut command = place.command(&[]);
    command.env("BENZENE_LOG", "debug").stderr(Stdio::piped());
    let mut daemon = command.spawn().unwrap();
    let mut reader = BufReader::new(daemon.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains(" is ready") {
        assert!(reader.read_line(&mut said).unwrap() > 0, "{said}");
    }
    let ran = Ran {
        code: None,
        out: String::new(),
        err: said,
    };
    let (line, query) = (ran.line(), ran.query());
    // More than the pipe takes: two lines for each connection.
    let connections = 1_500;
    let time = now();
    for number in 0..connections {
        let mut sender = TcpStream::connect(line).unwrap();
        writeln!(sender, "log.unread.m{number} 1 {time}").unwrap();
    }
    let is_there = |number: u32| {
        let mut querier = Querier::connect(query);
        wait_for(|| (!querier.points(&format!("log.unread.m{number}")).is_empty()).then_some(()))
    };
    is_there(connections - 1).unwrap();
    let pid = i32::try_from(daemon.id()).unwrap();
    kill("HUP", pid);
    kill("TERM", pid);
    let ended = wait_for(|| daemon.try_wait().unwrap());
    if ended.is_none() {
        daemon.kill().unwrap();
        panic!("it did not end");
    }
    assert!(ended.unwrap().success(), "{ended:?}");
    let files = std::fs::read_dir(place.path("storage/whisper/log/unread")).unwrap();
    assert_eq!(files.count(), connections as usize);
    // What was read of it ends in the middle: it was full.
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    let rest = String::from_utf8(rest).unwrap();
    assert!(rest.len() > 60_000 && !rest.contains("stopped: "), "{rest}");
}
