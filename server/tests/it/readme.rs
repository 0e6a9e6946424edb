//! The commands that README.md gives a newcomer, run as they are printed. Replaced are only what
//! two tests at the same time cannot share: ports 2003 and 7002, the directory of the files, and
//! the directories of the built program and of Python's tools.

use std::process::Command;

use crate::daemon::{Daemon, Setup, program_for_shell, wait_for};

/// The text of README.md from a heading or bold word on.
fn readme_from(start: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let at = text.find(start).unwrap_or_else(|| panic!("no {start:?}"));
    text[at..].to_owned()
}

/// The blocks of code between two places: fence word and lines.
pub(crate) fn blocks(text: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("```") {
        let (block, after) = after.split_once("```").unwrap();
        let mut lines = block.lines();
        let word = lines.next().unwrap().to_owned();
        blocks.push((word, lines.map(str::to_owned).collect()));
        rest = after;
    }
    blocks
}

/// A daemon with the defaults that the first command gives, on free ports.
fn daemon() -> Daemon {
    Daemon::start(&Setup {
        schemas: Some("[default]\npattern = .*\nretentions = 60s:7d\n".to_owned()),
        ..Setup::default()
    })
}

/// A printed line as it must be for this daemon.
fn for_daemon(line: &str, daemon: &Daemon) -> String {
    let tools = benzene_fixtures::python().unwrap();
    let python = tools.display();
    let tools = tools.parent().unwrap().display();
    line.replace(
        "/dev/tcp/127.0.0.1/2003",
        &format!("/dev/tcp/127.0.0.1/{}", daemon.line.port()),
    )
    .replace(
        "./target/release/benzene query",
        &format!("{} query --host {}", program_for_shell(), daemon.query),
    )
    .replace("benzene-data/whisper", daemon.data().to_str().unwrap())
    // Through its interpreter: an environment may have been made for another place.
    .replace(
        "/tmp/whisper/bin/whisper-fetch.py",
        &format!("{python} {tools}/whisper-fetch.py"),
    )
}

/// Runs a line with bash; its standard output.
fn bash(line: &str) -> String {
    let output = Command::new("bash").args(["-c", line]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Words with every number that depends on the time or the port made the same; also an age, `N s`,
/// for a machine can be busy for seconds.
fn shape(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let next = words.iter().skip(1).copied().chain([""]);
    words
        .iter()
        .copied()
        .zip(next)
        .map(|(word, next)| {
            if next == "s" {
                return "AGE".to_owned();
            }
            let number = word.parse::<u64>().is_ok_and(|number| number > 9);
            if number {
                "NUMBER".to_owned()
            } else if word.starts_with("127.0.0.1:") {
                "ADDRESS".to_owned()
            } else {
                word.to_owned()
            }
        })
        .collect()
}

#[test]
fn the_first_commands_work_as_printed() {
    let text = readme_from("**Run it.**");
    let end = text.find("**Test it.**").unwrap();
    let blocks = blocks(&text[..end]);
    let [start, send, answer, look] = &blocks[..] else {
        panic!("{blocks:?}");
    };
    // What the first command does with the defaults is
    // first_use::without_a_configuration_it_starts_in_an_empty_directory.
    assert_eq!(start.1, ["cargo run --release --bin benzene -- cache"]);
    let daemon = daemon();
    let printed = answer.1.join("\n");
    // Written points are answerable for five seconds, and the reader has to be no slower.
    let answered = wait_for(|| {
        let text: String = send
            .1
            .iter()
            .map(|line| bash(&for_daemon(line, &daemon)))
            .collect();
        (!text.contains("nothing cached")).then_some(text)
    })
    .unwrap();
    let lines: Vec<&str> = answered.lines().collect();
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(shape(lines[0]), shape(printed[0]));
    // More than one second's point where the first answer came too late.
    assert_eq!(
        shape(lines[lines.len() - 1]),
        shape(printed[1]),
        "{answered}"
    );

    let file = daemon.file("local.random.diceroll");
    wait_for(|| file.exists().then_some(())).unwrap();
    let [install, fetch] = &look.1[..] else {
        panic!("{look:?}");
    };
    let (makes, installs) = install.split_once(" && ").unwrap();
    assert_eq!(makes, "python3 -m venv /tmp/whisper");
    if std::env::var_os("BENZENE_LONG").is_some() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path().join("whisper");
        bash(&install.replace("/tmp/whisper", here.to_str().unwrap()));
        bash(&format!("{}/bin/whisper-fetch.py --help", here.display()));
    }
    assert!(installs.contains("whisper==1.1.10"), "{installs}");
    let fetch = for_daemon(fetch, &daemon);
    wait_for(|| bash(&fetch).contains("\t4.000000\n").then_some(())).unwrap();
}
