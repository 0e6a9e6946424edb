//! The daemon as a process among others, as init scripts and service managers see it: its pid file,
//! its way into the background, its user, what systemd is told.
//! It never touches a point. What only root may do comes first, then the user changes, and only then
//! are rings and threads made (`desk`). Whatever fails ends the start with one message, before
//! anything was accepted. Python carbon's exit codes and words are kept: scripts read them.

mod launch;
mod notify;
mod options;
mod pid_file;
mod user;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use benzene_engine::ring::host;
use rustix::fs::Mode;

use crate::config::{self, At, Loaded, Settings};
use crate::desk::{self, Holder, ReadAgain};
use crate::exit::Exit;
use crate::logging::{self, Log, Logs};
pub(crate) use notify::Notify;
pub use options::{Action, CacheRun, TwistedWords};
use pid_file::{Found, PidFile, PidFileError};
pub(crate) use user::{User, UserError};

/// Permissions that files of a started daemon do not get where nobody says otherwise, as for Python.
const UMASK_OF_START: u32 = 0o022;

/// Why the process cannot be what it is to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    /// Its pid file.
    #[error("{0}")]
    PidFile(#[from] PidFileError),
    /// Its user.
    #[error("{0}")]
    User(#[from] UserError),
    /// Its log directory.
    #[error(
        "the log directory {path} cannot be used: {source}; make it writable for this user, or set \
         LOG_DIR in carbon.conf or --logdir"
    )]
    Logs {
        /// The directory.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The terminal cannot be left.
    #[error("cannot go into the background: {0}")]
    Background(#[source] io::Error),
}

impl ProcessError {
    /// The exit code that tells this apart.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            ProcessError::User(_) => Exit::Config,
            ProcessError::PidFile(_) | ProcessError::Logs { .. } | ProcessError::Background(_) => {
                Exit::Failure
            }
        }
    }
}

/// This process, on its way to be a daemon.
#[derive(Debug)]
pub(crate) struct Process {
    /// Another user to become; none once it is done.
    user: Option<User>,
    /// Whether a pid file is to be had.
    wants_pid_file: bool,
    pid_file: Option<PidFile>,
    detached: bool,
    /// Whether log files are written: where nobody reads standard error, or --logdir says so.
    wants_logs: bool,
    logs: Option<Logs>,
    notify: Arc<Notify>,
}

/// Does what `benzene cache` was told.
pub fn run(run: &CacheRun) -> Exit {
    let log = logging::start(run.level());
    let act: fn(&Settings) -> Exit = match run.action {
        Some(Action::Stop) => stop,
        Some(Action::Status) => status,
        Some(Action::Start) | None => return be_daemon(run, log),
    };
    // Where the daemon is, carbon.conf says alone: whatever is wrong with the rules, it can be stopped.
    match config::load_conf(&run.daemon, &environment, &config::read_file) {
        Ok(conf) => {
            warn_of_twisted(run);
            act(&conf.settings)
        }
        Err(error) => {
            tracing::error!("{error}");
            // As Python: init scripts take the code for a wrong configuration for `not running`.
            Exit::Failure
        }
    }
}

/// Starts the daemon, or is it.
fn be_daemon(run: &CacheRun, log: Log) -> Exit {
    let read_again = || config::load_conf(&run.daemon, &environment, &config::read_file);
    let loaded = match config::load(&run.daemon, &environment, &config::read_file) {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!("{error}");
            return Exit::Config;
        }
    };
    warn_of_twisted(run);
    if run.action == Some(Action::Start) && !run.is_foreground() {
        start(&loaded.settings)
    } else {
        serve(run, loaded, &read_again, log)
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Names the words of the command line that have no effect.
fn warn_of_twisted(run: &CacheRun) {
    if !run.detached {
        for warning in run.twisted.warnings() {
            tracing::warn!("{warning}");
        }
    }
}

/// Starts the daemon in the background.
fn start(settings: &Settings) -> Exit {
    let path = &settings.pid_file;
    match pid_file::look(path) {
        Ok(Found::Alive(pid)) => {
            say(&format!(
                "{} is already running with pid {pid}",
                named(settings)
            ));
            return Exit::Failure;
        }
        Ok(Found::Stale) => say(&format!("Removing stale pidfile {}", path.display())),
        Ok(Found::Nothing) => {}
        Err(error) => return failed(&error.into()),
    }
    say(&format!("Starting {}", named(settings)));
    launch::launch()
}

/// Ends the daemon, and waits until it has ended.
fn stop(settings: &Settings) -> Exit {
    let path = settings.pid_file.display();
    match pid_file::look(&settings.pid_file) {
        Ok(Found::Alive(pid)) => {
            let holder = Holder::of(&settings.journal_dir).unwrap_or_default();
            if holder.is_stopping && holder.process == pid.to_string() {
                // A second signal would cut that short.
                say(&format!("pid {pid} stops already"));
            } else {
                say(&format!("Sending kill signal to pid {pid}"));
                if let Err(error) = host::terminate(pid) {
                    tracing::error!("process {pid} cannot be stopped: {error}");
                    return Exit::Failure;
                }
            }
            pid_file::wait_for_end(pid);
            return Exit::Success;
        }
        Ok(Found::Stale) => say(&format!("The process of pidfile {path} does not run")),
        Ok(Found::Nothing) => say(&format!("Pidfile {path} does not exist")),
        Err(error) => return failed(&error.into()),
    }
    // Another process may answer for the instance, or this one without a pid file.
    let Some(holder) = Holder::of(&settings.journal_dir) else {
        return Exit::Success;
    };
    let mend = if holder.is_of_several() {
        "`stop` without --instance, or `benzene stop`, ends it"
    } else {
        "`benzene stop` ends it"
    };
    say(&format!("{}; {mend}", running(settings, &holder)));
    Exit::Failure
}

/// Says whether the daemon runs.
fn status(settings: &Settings) -> Exit {
    match pid_file::look(&settings.pid_file) {
        Ok(Found::Alive(pid)) => {
            say(&format!("{} is running with pid {pid}", named(settings)));
            Exit::Success
        }
        Ok(Found::Stale | Found::Nothing) => {
            let Some(holder) = Holder::of(&settings.journal_dir) else {
                say(&format!("{} is not running", named(settings)));
                return Exit::Failure;
            };
            say(&running(settings, &holder));
            Exit::Success
        }
        Err(error) => failed(&error.into()),
    }
}

/// Says who answers for the instance without its pid file.
fn running(settings: &Settings, holder: &Holder) -> String {
    let (named, process) = (named(settings), &holder.process);
    if holder.is_of_several() {
        let instances = &holder.instances;
        format!(
            "{named} is running with pid {process}, which answers for the instances {instances}"
        )
    } else {
        format!("{named} is running with pid {process}, without this pid file")
    }
}

/// Is the daemon, until it is told to end.
fn serve(run: &CacheRun, loaded: Loaded, read_again: &ReadAgain<'_>, log: Log) -> Exit {
    if let Some(parent) = run.ends_with
        && let Err(error) = host::end_with_parent(parent)
    {
        tracing::error!("the daemon cannot end with process {parent}: {error}");
        return Exit::Failure;
    }
    let started = run.action == Some(Action::Start);
    if let Some(mask) = run.umask.or_else(|| started.then_some(UMASK_OF_START)) {
        rustix::process::umask(Mode::from_raw_mode(mask));
    }
    let wants_pid_file = started || run.daemon.pidfile.is_some();
    let asked = Asked {
        detached: run.detached,
        pid_file: wants_pid_file,
        logs: run.detached || run.daemon.logdir.is_some(),
    };
    let mut process = match Process::begin(asked, &loaded.settings) {
        Ok(process) => process,
        Err(error) => return failed(&error),
    };
    let (ended, held) = desk::run(loaded, read_again, log, &mut process);
    process.end();
    // Behind the pid file: whoever has waited for the locks may start the next one at once.
    if let Some(held) = held {
        held.release(ended);
    }
    ended.exit
}

/// What the command line asks of the process.
#[derive(Clone, Copy, Debug)]
struct Asked {
    detached: bool,
    pid_file: bool,
    logs: bool,
}

impl Process {
    /// What has to come before everything else: the pid file, and what only root may make.
    fn begin(asked: Asked, settings: &Settings) -> Result<Process, ProcessError> {
        if asked.detached {
            launch::detach().map_err(ProcessError::Background)?;
        }
        let mut process = Process {
            user: User::find(settings.user.as_deref())?,
            wants_pid_file: asked.pid_file,
            pid_file: None,
            detached: asked.detached,
            wants_logs: asked.logs,
            logs: None,
            notify: Arc::new(Notify::find(&|name| std::env::var(name).ok())),
        };
        let pid_dir = settings.pid_file.parent().unwrap_or(Path::new(""));
        if let Some(user) = &process.user {
            let logs = asked.logs.then_some(&*settings.log_dir);
            let pids = asked.pid_file.then_some(pid_dir);
            // Several data directories are made by the operator, each on its disk.
            let data = (settings.data.len() == 1).then(|| settings.data_dir());
            let wanted = [data, logs, pids].into_iter().flatten();
            for directory in wanted.chain(settings.journal_dirs()) {
                user.open_the_way_to(directory)?;
            }
        }
        // In a directory of his own the user makes the file himself.
        let user = process.user.as_ref();
        if user.is_none_or(|user| user.leaves_to_root(pid_dir)) {
            process.take_pid_file(settings)?;
        }
        Ok(process)
    }

    /// Whether a socket is bound now, or by the user once he is taken on.
    pub(crate) fn binds_now(&self, at: &At) -> bool {
        let user = self.user.as_ref();
        user.is_none_or(|user| user.leaves_binding_to_root(at))
    }

    /// Gives the file of a Unix socket to the user whom the process becomes, if it does.
    pub(crate) fn give_socket(&self, path: &Path) -> Result<(), ProcessError> {
        let user = self.user.as_ref();
        Ok(user.map_or(Ok(()), |user| user.give_socket(path))?)
    }

    fn take_pid_file(&mut self, settings: &Settings) -> Result<(), ProcessError> {
        if !self.wants_pid_file || self.pid_file.is_some() {
            return Ok(());
        }
        let path = &settings.pid_file;
        let unusable = |source| PidFileError::Io {
            path: path.clone(),
            source,
        };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(unusable)?;
        }
        let taken = PidFile::take(path)?;
        if let Some(user) = &self.user {
            taken.give_to(user).map_err(unusable)?;
        }
        self.pid_file = Some(taken);
        Ok(())
    }

    /// Becomes who it is to be, once the ports are bound; what is made from now on is his.
    pub(crate) fn settle(&mut self, settings: &Settings) -> Result<(), ProcessError> {
        if let Some(user) = &self.user {
            user.take_on()?;
            let number = host::user();
            tracing::info!("the daemon is user {} ({number}) from now on", user.name());
        }
        self.user = None;
        self.take_pid_file(settings)?;
        if self.wants_logs {
            let place = logging::Place {
                directory: settings.log_dir.clone(),
                rotates: settings.log_rotation,
            };
            let logs = logging::open(place).map_err(|source| ProcessError::Logs {
                path: settings.log_dir.display().to_string(),
                source,
            })?;
            self.logs = Some(logs);
        }
        Ok(())
    }

    /// Whether it becomes another user, and rings have to wait for that.
    pub(crate) fn changes_user(&self) -> bool {
        self.user.is_some()
    }

    /// Says to whoever waits for it that everything is served.
    pub(crate) fn ready(&self, settings: &Settings) {
        if self.detached
            && let Err(error) = launch::say_ready(settings)
        {
            tracing::error!("the streams of whoever started us stay open: {error}");
        }
        self.notify.ready();
    }

    /// The service manager's ear.
    pub(crate) fn notify(&self) -> Arc<Notify> {
        Arc::clone(&self.notify)
    }

    /// The way to the log files, where there are any.
    pub(crate) fn logs(&self) -> Option<Logs> {
        self.logs.clone()
    }

    /// The last lines are written, and the pid file goes.
    fn end(self) {
        if self.logs.is_some_and(|logs| !logs.finish()) {
            tracing::warn!("the last lines are in no log file: their disk does not answer");
        }
        if let Some(pid_file) = self.pid_file
            && let Err(error) = pid_file.remove()
        {
            tracing::warn!("{error}; it stays, and the next start takes it over");
        }
    }
}

fn named(settings: &Settings) -> String {
    format!("carbon-cache (instance {})", settings.instance)
}

fn failed(error: &ProcessError) -> Exit {
    tracing::error!("{error}");
    error.exit()
}

/// A line for whoever runs the command, on standard output as Python's.
fn say(line: &str) {
    // Nobody may be there to read it.
    drop(writeln!(io::stdout(), "{line}"));
}
