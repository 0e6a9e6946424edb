//! The log: lines on standard error, with time and level, coloured only on a terminal.
//! BENZENE_LOG, in the syntax of tracing's EnvFilter, wins over the command line's level.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::LogLevel;

/// Starts logging; to be called once, first thing.
pub fn start(level: LogLevel) {
    let filter =
        EnvFilter::try_from_env("BENZENE_LOG").unwrap_or_else(|_| EnvFilter::new(level.name()));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
