//! What `benzene cache` is told about itself as a process, as `carbon-cache.py` is: start, stop or
//! status, in the background or not. What it does as a daemon stands in `cli::CacheOptions`.
//! Words that mean something to Twisted alone are taken, so that init scripts go on working, and
//! named in a warning.

use clap::{Args, ValueEnum};

use crate::cli::{CacheOptions, LogLevel};

/// The whole of `benzene cache`.
#[derive(Args, Clone, Debug, Default)]
pub struct CacheRun {
    /// Nothing runs the daemon in the foreground; start in the background
    #[arg(value_enum)]
    pub action: Option<Action>,
    /// What the daemon is to do.
    #[command(flatten)]
    pub daemon: CacheOptions,
    /// Stay in the foreground with the log on standard error, at --log debug
    #[arg(long)]
    pub debug: bool,
    /// With start: stay in the foreground, with the log on standard error
    #[arg(long)]
    pub nodaemon: bool,
    /// Permissions that new files do not get, in octal; start has 022 where nobody says otherwise
    #[arg(long, value_name = "MASK", value_parser = mask)]
    pub umask: Option<u32>,
    /// What `start` says to the process that it starts.
    #[arg(long, hide = true)]
    pub detached: bool,
    /// What `shadow` says to its daemon: which process it is that it ends with.
    #[arg(long, hide = true, value_name = "PID")]
    pub ends_with: Option<u32>,
    /// Words of Twisted.
    #[command(flatten)]
    pub twisted: TwistedWords,
}

/// Options of `carbon-cache.py` that only its libraries understand.
#[derive(Args, Clone, Debug, Default)]
pub struct TwistedWords {
    #[arg(long, hide = true)]
    syslog: bool,
    #[arg(long, hide = true, value_name = "FILE")]
    profile: Option<String>,
    #[arg(long, hide = true, value_name = "NAME")]
    profiler: Option<String>,
    #[arg(long, hide = true, value_name = "FILE")]
    logfile: Option<String>,
    #[arg(long, hide = true, value_name = "NAME")]
    logger: Option<String>,
}

/// What is to happen to the daemon of this instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// Run it in the background; ends when it is ready, or with its error
    Start,
    /// End it (SIGTERM to the process of its pid file), and wait for that
    Stop,
    /// Say whether it runs: exit code 0 where it does, 1 where not
    Status,
}

impl CacheRun {
    /// Whether the process that was started is the daemon itself.
    pub(super) fn is_foreground(&self) -> bool {
        self.debug || self.nodaemon || self.detached
    }

    /// How much is logged, where the command line says so.
    pub(super) fn level(&self) -> Option<LogLevel> {
        self.daemon.log.or(self.debug.then_some(LogLevel::Debug))
    }
}

impl TwistedWords {
    /// What was asked for and is not to be had, ready to log.
    pub(super) fn warnings(&self) -> Vec<String> {
        const NO_TWISTED: &str = "it is an option of Twisted, which is not here";
        let words = [
            (
                "--syslog",
                self.syslog,
                "nothing goes to syslog: under systemd the log goes to the journal, which forwards it \
                 (ForwardToSyslog=), and otherwise to the log files",
            ),
            (
                "--profile",
                self.profile.is_some(),
                "it profiles Python; perf(1) does that for Benzene",
            ),
            ("--profiler", self.profiler.is_some(), "it profiles Python"),
            (
                "--logfile",
                self.logfile.is_some(),
                "--logdir says where log files go",
            ),
            ("--logger", self.logger.is_some(), NO_TWISTED),
        ];
        let given = words.into_iter().filter(|(_, given, _)| *given);
        given
            .map(|(flag, _, why)| format!("{flag} has no effect: {why}"))
            .collect()
    }
}

/// Reads permissions in octal, as chmod does.
fn mask(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is no mask; write permissions in octal, such as 022");
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let mask = u32::from_str_radix(digits, 8).map_err(|_not_octal| wrong())?;
    if mask > 0o777 {
        return Err(wrong());
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn run(words: &[&str]) -> Result<CacheRun, String> {
        let line = ["benzene", "cache"].iter().chain(words);
        let cli = Cli::try_parse_from(line).map_err(|error| error.to_string())?;
        let Command::Cache(run) = cli.command else {
            panic!("{cli:?}")
        };
        Ok(*run)
    }

    #[test]
    fn what_init_scripts_say_is_understood() {
        let words = [
            "--config=/etc/carbon.conf",
            "--instance=b",
            "--logdir",
            "/var/log/carbon",
            "--pidfile=/run/c.pid",
            "start",
        ];
        let start = run(&words).unwrap();
        assert_eq!(start.action, Some(Action::Start));
        assert_eq!(start.daemon.instance.as_deref(), Some("b"));
        assert_eq!(
            start.daemon.logdir.unwrap().to_str(),
            Some("/var/log/carbon")
        );
        assert_eq!(start.daemon.pidfile.unwrap().to_str(), Some("/run/c.pid"));
        assert_eq!(run(&["stop"]).unwrap().action, Some(Action::Stop));
        assert_eq!(run(&["status"]).unwrap().action, Some(Action::Status));
        assert_eq!(run(&[]).unwrap().action, None);
        let error = run(&["restart"]).unwrap_err();
        assert!(error.contains("start, stop, status"), "{error}");
    }

    #[test]
    fn masks_are_octal() {
        assert_eq!(run(&["--umask", "027"]).unwrap().umask, Some(0o027));
        assert_eq!(run(&["--umask", "0o7"]).unwrap().umask, Some(7));
        for wrong in ["8", "1000", "u=rwx", ""] {
            let error = run(&["--umask", wrong]).unwrap_err();
            assert!(error.contains("such as 022"), "{wrong}: {error}");
        }
    }

    #[test]
    fn debug_logs_more_and_an_explicit_level_wins() {
        assert_eq!(run(&["--debug"]).unwrap().level(), Some(LogLevel::Debug));
        let explicit = run(&["--debug", "--log", "trace"]).unwrap();
        assert_eq!(explicit.level(), Some(LogLevel::Trace));
        assert_eq!(run(&["start"]).unwrap().level(), None);
    }

    #[test]
    fn twisteds_words_are_taken_and_named() {
        let words = ["--syslog", "--profile", "x", "--logger=y", "start"];
        let warnings = run(&words).unwrap().twisted.warnings();
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert!(warnings[0].starts_with("--syslog has no effect"));
        assert_eq!(run(&["start"]).unwrap().twisted.warnings().len(), 0);
    }
}
