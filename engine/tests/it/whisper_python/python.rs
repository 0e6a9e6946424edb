//! Their side: Python whisper 1.1.10 in one process for all cases, driven over a pipe through
//! fixtures/python/whisper_oracle.py, with a file of its own in a temporary directory.
//! An error that Python reports fails the test: cases are drawn so that there is none.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use benzene_engine::point::Point;
use benzene_engine::whisper::{Archive, FetchRequest, Header, Retention};

use super::{bits, pairs};

/// Their side: one Python process with whisper 1.1.10, and a file of its own.
pub(super) struct Python {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    _directory: tempfile::TempDir,
}

impl Python {
    pub(super) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Command::new(benzene_fixtures::python().unwrap())
            .arg(benzene_fixtures::path("python/whisper_oracle.py"))
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            commands: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
            _directory: directory,
        }
    }

    pub(super) fn ask(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        let answer = answer.trim_end();
        assert!(
            !answer.is_empty() && !answer.starts_with("error"),
            "{command}: {answer}"
        );
        answer.to_owned()
    }

    pub(super) fn create(&mut self, header: &Header) {
        let archives: Vec<Retention> = header
            .archives
            .iter()
            .map(|&Archive { step_s, points, .. }| Retention { step_s, points })
            .collect();
        let factor = f64::from(header.x_files_factor).to_bits();
        let method = header.aggregation.name();
        self.ask(&format!(
            "create {factor:016x} {method} {}",
            pairs(&archives)
        ));
    }

    /// Feeds the batch in the order received, of equal timestamps only the last.
    pub(super) fn update(&mut self, now: u32, sorted: bool, batch: &[Point]) {
        let order = if sorted { "sorted" } else { "set" };
        let mut command = format!("update {now} {order}");
        for (at, point) in batch.iter().enumerate() {
            if batch[at + 1..]
                .iter()
                .all(|later| later.timestamp != point.timestamp)
            {
                write!(
                    command,
                    " {}:{:016x}",
                    point.timestamp,
                    point.value.to_bits()
                )
                .unwrap();
            }
        }
        self.ask(&command);
    }

    pub(super) fn file(&mut self) -> Vec<u8> {
        let answer = self.ask("file");
        let digits = answer.as_bytes().chunks_exact(2);
        digits
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    pub(super) fn fetch(&mut self, request: FetchRequest) -> String {
        let FetchRequest {
            from_s,
            until_s,
            now_s,
            step_s,
        } = request;
        let step = step_s.unwrap_or(0);
        let answer = self.ask(&format!("fetch {now_s} {from_s} {until_s} {step}"));
        let plain = |word: &str| match u64::from_str_radix(word, 16) {
            Ok(value) if word.len() == 16 => format!("{:016x}", bits(f64::from_bits(value))),
            _ => word.to_owned(),
        };
        answer.split(' ').map(plain).collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
