//! The log files, written by a thread of their own, which alone waits for the log disk.
//! A file is made when its first line comes. It is opened again when its name leads elsewhere, as after
//! logrotate, and with ENABLE_LOGROTATION it gets the name of its day when that is over; so does another
//! user's that is in the way. What cannot be written, because the disk is full say, is counted as
//! dropped and said when there is room again: it never holds up the daemon.

use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use benzene_engine::clock;
use benzene_engine::quiet::Quiet;
use benzene_engine::ring::host;
use chrono::NaiveDate;

use super::line::{self, Head};
use super::queue::{Entry, Logs, Topic};
use super::{Place, has_left};

/// How long lines gather before they are written: what comes in then needs no waking of this thread.
const GATHER: Duration = Duration::from_millis(20);
/// How many bytes of a file gather before they are written anyway.
const GATHERED_BYTES: usize = 1 << 20;
/// How many files there are.
const TOPICS: usize = Topic::ALL.len();

/// Opens console.log and starts the thread.
pub(super) fn begin(place: Place) -> io::Result<Logs> {
    std::fs::create_dir_all(&place.directory)?;
    let (logs, entries) = Logs::new();
    let mut keeper = Keeper {
        files: [const { None }; TOPICS],
        place,
        logs: logs.clone(),
        head: Head::default(),
        said: (Quiet::default(), 0),
    };
    keeper.file(Topic::Console)?;
    std::thread::Builder::new()
        .name("benzene-log".to_owned())
        .spawn(move || keeper.run(&entries))?;
    Ok(logs)
}

/// One log file.
struct LogFile {
    path: PathBuf,
    file: File,
    /// Which file it is.
    identity: (u64, u64),
    /// The day of what is in it.
    day: NaiveDate,
    gathered: String,
    lines: u64,
}

struct Keeper {
    files: [Option<LogFile>; TOPICS],
    place: Place,
    logs: Logs,
    head: Head,
    /// When dropped lines were said last, and how many there were until then.
    said: (Quiet, u64),
}

impl Keeper {
    /// Writes what comes, until nobody can say anything more.
    #[expect(clippy::disallowed_methods, reason = "this thread alone waits")]
    fn run(mut self, entries: &Receiver<Entry>) {
        while let Ok(first) = entries.recv() {
            self.take(first);
            std::thread::sleep(GATHER);
            while let Ok(entry) = entries.try_recv() {
                self.take(entry);
            }
            self.write_all();
            self.say_dropped();
        }
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Line(topic, second, text) => self.gather(topic, second, &text),
            Entry::Reopen => {
                self.write_all();
                self.files = [const { None }; TOPICS];
            }
            Entry::Flush(done) => {
                self.write_all();
                // Whoever asked may have lost patience.
                done.send(()).unwrap_or_default();
            }
        }
    }

    fn gather(&mut self, topic: Topic, second: u32, text: &str) {
        if let Err(error) = self.prepare(topic, second) {
            self.logs.drop_lines(1);
            return say_on_stderr(topic, &error);
        }
        let head = self.head.text();
        let Some(log) = &mut self.files[topic as usize] else {
            unreachable!("{topic:?} was opened above")
        };
        // A line is a line, whatever a name in it holds.
        for part in [head, &text.replace('\n', "\\n"), "\n"] {
            log.gathered.push_str(part);
        }
        log.lines += 1;
        if log.gathered.len() >= GATHERED_BYTES {
            self.write(topic);
        }
    }

    /// Has the file that a line of that second belongs into.
    fn prepare(&mut self, topic: Topic, second: u32) -> io::Result<()> {
        self.head.turn_to(second);
        let day = self.head.day();
        let is_over = |log: &LogFile| self.place.rotates && log.day < day;
        if self.files[topic as usize].as_ref().is_some_and(is_over) {
            self.write(topic);
            if let Some(log) = self.files[topic as usize].take() {
                let aside = line::of_day(&log.path, log.day);
                // As Twisted: what has that name already stays, and the file goes on.
                if !aside.exists()
                    && let Err(error) = std::fs::rename(&log.path, aside)
                {
                    say_on_stderr(topic, &error);
                }
            }
        }
        let log = self.file(topic)?;
        if log.gathered.is_empty() {
            log.day = log.day.max(day);
        }
        Ok(())
    }

    /// The file of a topic, opened where it is not.
    fn file(&mut self, topic: Topic) -> io::Result<&mut LogFile> {
        let place = &mut self.files[topic as usize];
        if place.is_none() {
            let path = self.place.directory.join(topic.file_name());
            let log = LogFile::open(path)?;
            log.take_stderr()?;
            *place = Some(log);
        }
        let Some(log) = place else {
            unreachable!("{topic:?} was opened above")
        };
        Ok(log)
    }

    fn write_all(&mut self) {
        for topic in Topic::ALL {
            self.write(topic);
        }
    }

    /// Writes what has gathered for a file, which may have another by that name now.
    fn write(&mut self, topic: Topic) {
        let Some(log) = &mut self.files[topic as usize] else {
            return;
        };
        if log.gathered.is_empty() {
            return;
        }
        if let Err(error) = log.write() {
            self.logs.drop_lines(log.lines);
            say_on_stderr(topic, &error);
        }
        log.gathered.clear();
        log.lines = 0;
    }

    /// Says in console.log how many lines are in no file, once a minute.
    fn say_dropped(&mut self) {
        let (now, dropped) = (clock::now(), self.logs.dropped());
        let (quiet, before) = &mut self.said;
        if dropped == *before || quiet.due(now.instant).is_none() {
            return;
        }
        let more = dropped - std::mem::replace(before, dropped);
        let text = format!(
            "WARN: {more} log lines were dropped: more came than the disk of {} takes, or it is full",
            self.place.directory.display()
        );
        self.gather(Topic::Console, now.unix_seconds, &text);
        self.write(Topic::Console);
    }
}

impl LogFile {
    fn open(path: PathBuf) -> io::Result<LogFile> {
        let file = open(&path, true)?;
        let found = file.metadata()?;
        Ok(LogFile {
            path,
            file,
            identity: identity(&found),
            // As Twisted: a file has the day of its last line. What is none has no end.
            day: if found.is_file() {
                line::day(u32::try_from(found.mtime()).unwrap_or(0))
            } else {
                NaiveDate::MAX
            },
            gathered: String::new(),
            lines: 0,
        })
    }

    fn write(&mut self) -> io::Result<()> {
        let there = std::fs::metadata(&self.path);
        if !there.is_ok_and(|there| identity(&there) == self.identity) {
            if let Some(directory) = self.path.parent() {
                std::fs::create_dir_all(directory)?;
            }
            self.file = open(&self.path, false)?;
            self.identity = identity(&self.file.metadata()?);
            self.take_stderr()?;
        }
        self.file.write_all(self.gathered.as_bytes())
    }

    /// What a panic says is to be in the console.log of that name.
    fn take_stderr(&self) -> io::Result<()> {
        if self.path.ends_with(Topic::Console.file_name()) && has_left() {
            rustix::stdio::dup2_stderr(&self.file)?;
        }
        Ok(())
    }
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Opens a log file. Another user's that may not be written makes room where `takes_over`: not under a
/// running writer, whose file another daemon's would be in turn.
fn open(path: &Path, takes_over: bool) -> io::Result<File> {
    let attempt = || {
        File::options()
            .append(true)
            .create(true)
            .mode(0o644)
            .open(path)
    };
    let opened = match attempt() {
        Err(error)
            if takes_over && error.kind() == io::ErrorKind::PermissionDenied && set_aside(path) =>
        {
            attempt()
        }
        opened => opened,
    };
    opened.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Gives another user's file the name of its day: Python carbon that root has started leaves its
/// console.log to root, in the directory of the user whom it becomes. Whether it did.
fn set_aside(path: &Path) -> bool {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return false;
    };
    if !found.is_file() || found.uid() == host::user() {
        return false;
    }
    let day = line::day(u32::try_from(found.mtime()).unwrap_or(0));
    let mut aside = line::of_day(path, day);
    if aside.exists() {
        // A second one of that day has the second of its last line, too.
        let mut name = aside.into_os_string();
        name.push(format!(".{}", found.mtime()));
        aside = name.into();
    }
    if aside.exists() || std::fs::rename(path, &aside).is_err() {
        return false;
    }
    let (path, aside) = (path.display(), aside.display());
    tracing::info!("{path} was another user's, and is {aside} from now on");
    true
}

/// In the foreground somebody may read standard error; it is no log file then.
fn say_on_stderr(topic: Topic, error: &io::Error) {
    if !has_left() {
        drop(writeln!(
            io::stderr(),
            "{} cannot be written: {error}",
            topic.file_name()
        ));
    }
}
