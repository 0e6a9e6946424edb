//! The log: lines on standard error, with time and level, coloured only on a terminal.
//! BENZENE_LOG, in the syntax of tracing's EnvFilter, wins over the command line's level, which wins
//! over carbon.conf's. The last can change while the daemon runs (`Log::set`).

use std::fmt;
use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, reload};

use crate::cli::LogLevel;

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
    let (filter, overrides) = filter(level);
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    Log {
        set: Box::new(move |filter| handle.reload(filter)),
        overrides,
    }
}

/// What is logged at first, and what said so, where that wins over carbon.conf.
fn filter(level: Option<LogLevel>) -> (Box<EnvFilter>, Option<&'static str>) {
    if let Ok(filter) = EnvFilter::try_from_env("BENZENE_LOG") {
        return (Box::new(filter), Some("BENZENE_LOG"));
    }
    (at(level.unwrap_or_default()), level.map(|_| "--log"))
}

fn at(level: LogLevel) -> Box<EnvFilter> {
    Box::new(EnvFilter::new(level.name()))
}
