//! The log: lines on standard error, with time and level, coloured only on a terminal; and, where the
//! daemon was started in the background or --logdir says so, Python carbon's files in its log
//! directory (`files`), console.log with the same lines among them.
//! Whoever logs never waits for a disk, nor once the daemon runs for who reads standard error (`apart`):
//! lines go into a bounded queue, what does not fit is counted and said.
//! BENZENE_LOG, in the syntax of tracing's EnvFilter, wins over the command line's
//! level, which wins over carbon.conf's. The last can change while the daemon runs (`Log::set`).

mod apart;
mod files;
mod line;
mod queue;

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use benzene_engine::clock;
use benzene_engine::limits::LOG_EARLY_LINES_MAX;
use crossbeam_queue::ArrayQueue;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, reload};

use crate::cli::LogLevel;
pub(crate) use apart::begin as write_apart;
pub(crate) use queue::{Logs, Topic};

/// The variable of the environment that wins over all levels.
const VARIABLE: &str = "BENZENE_LOG";

/// The files, once there are any.
static FILES: OnceLock<Logs> = OnceLock::new();
/// What was said before there were any.
static EARLY: OnceLock<ArrayQueue<(u32, String)>> = OnceLock::new();
/// Standard error is console.log by now, which gets its lines through the queue.
static HAS_LEFT: AtomicBool = AtomicBool::new(false);

/// The log that was started.
pub struct Log {
    set: Box<dyn Fn(Box<EnvFilter>) -> Result<(), reload::Error>>,
    overrides: Option<&'static str>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("overrides", &self.overrides)
            .finish_non_exhaustive()
    }
}

impl Log {
    /// What wins over carbon.conf's level, if anything.
    pub fn overrides(&self) -> Option<&'static str> {
        self.overrides
    }

    /// Logs at this level from now on, unless something else wins over carbon.conf.
    pub fn set(&self, level: LogLevel) -> Result<(), reload::Error> {
        match self.overrides {
            Some(_) => Ok(()),
            None => (self.set)(at(level)),
        }
    }
}

/// Starts logging; to be called once, first thing. `level` is the command line's, if it has one.
pub fn start(level: Option<LogLevel>) -> Log {
    let written = of_environment(std::env::var(VARIABLE).unwrap_or_default().trim());
    let (filter, overrides) = match &written {
        Ok(Some(filter)) => (filter.clone(), Some(VARIABLE)),
        Ok(None) | Err(_) => (at(level.unwrap_or_default()), level.map(|_| "--log")),
    };
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Starter)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(Console)
        .init();
    if let Err(problem) = written {
        tracing::warn!("{VARIABLE} is ignored: {problem}");
    }
    Log {
        set: Box::new(move |filter| handle.reload(filter)),
        overrides,
    }
}

/// What is logged where the environment says so; none where it says nothing. A single word is a level:
/// tracing would take another for the only module that may say anything.
fn of_environment(text: &str) -> Result<Option<Box<EnvFilter>>, String> {
    let name = text.to_ascii_lowercase();
    let name = if name == "warning" { "warn" } else { &name };
    if name.is_empty() {
        return Ok(None);
    }
    if let Some(level) = LogLevel::from_name(name) {
        return Ok(Some(at(level)));
    }
    let is_word = !text.contains(['=', ',', ':', '[']);
    if is_word && name != "off" && !name.starts_with("benzene") {
        let levels = "error, warn, info, debug, trace or off";
        return Err(format!("{text} is no level: {levels}"));
    }
    let filter = EnvFilter::try_new(text).map_err(|error| format!("{text}: {error}"))?;
    Ok(Some(Box::new(filter)))
}

/// What the checker of certificates says at each try is said by `tagdb`, once a minute.
fn at(level: LogLevel) -> Box<EnvFilter> {
    let level = level.name();
    Box::new(EnvFilter::new(format!(
        "{level},rustls_platform_verifier=off"
    )))
}

/// Where log files go, and how they are kept.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The directory.
    pub(crate) directory: PathBuf,
    /// Whether a file gets another name at the end of its day (ENABLE_LOGROTATION).
    pub(crate) rotates: bool,
}

/// Opens console.log, and writes log files from now on.
pub(crate) fn open(place: Place) -> io::Result<Logs> {
    let logs = files::begin(place)?;
    while let Some((second, text)) = EARLY.get().and_then(ArrayQueue::pop) {
        logs.say_of(second, Topic::Console, text);
    }
    let fresh = FILES.set(logs.clone()).is_ok();
    assert!(fresh, "log files are opened twice");
    Ok(logs)
}

/// Lets go of the standard error of whoever started us: it is console.log from now on, for what a
/// panic says.
pub(crate) fn leave(console: &File) -> io::Result<()> {
    rustix::stdio::dup2_stderr(console.as_fd())?;
    HAS_LEFT.store(true, Ordering::Release);
    Ok(())
}

fn has_left() -> bool {
    HAS_LEFT.load(Ordering::Acquire)
}

/// The standard error of whoever started us.
struct Starter;

impl Write for Starter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !has_left() {
            apart::write(bytes)?;
        }
        Ok(bytes.len())
    }

    /// It has no buffer.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that is logged, on its way to console.log.
struct Console;

impl<S: Subscriber> Layer<S> for Console {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let level = *event.metadata().level();
        let mut message = Message(String::new());
        if level == Level::ERROR || level == Level::WARN {
            message.0 = format!("{level}: ");
        }
        event.record(&mut message);
        if let Some(logs) = FILES.get() {
            return logs.say(Topic::Console, message.0);
        }
        let early = EARLY.get_or_init(|| ArrayQueue::new(LOG_EARLY_LINES_MAX));
        // Of more than that the first are kept: they say how it was started.
        drop(early.push((clock::now().unix_seconds, message.0)));
    }
}

/// What an event says.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, " {field}={value:?}")
        };
        if written.is_err() {
            unreachable!("a String takes every text")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_silences_nobody() {
        let said = |text: &str| of_environment(text).map(|it| it.map(|it| it.to_string()));
        let at = |level: LogLevel| Ok(Some(at(level).to_string()));
        assert_eq!(said(""), Ok(None));
        assert_eq!(said("warn"), at(LogLevel::Warn));
        assert_eq!(said("Warning"), at(LogLevel::Warn));
        assert_eq!(said("INFO"), at(LogLevel::Info));
        for directives in ["off", "benzene_engine=debug", "warn,benzene_server=trace"] {
            assert!(matches!(said(directives), Ok(Some(_))), "{directives}");
        }
        assert!(said("verbose").unwrap_err().contains("is no level"));
        assert!(said("info,benzene_engine=loud").is_err());
    }
}
