//! `benzene shadow`: what a move would change, seen before it. A copy of the stream that a carbon-cache
//! gets comes here too, is stored by a real daemon in a directory of its own, and in the end its files
//! are held against those of the carbon-cache, and its processor time against that one's.
//! The daemon is this program once more, with a carbon.conf of its own: the settings that decide what
//! is stored and how it is written are those of the carbon.conf that was named; its directories and
//! ports are not, nor are bounds that an empty tree would run into (`daemon`).
//! What runs is only read: no file of it is written, no port of it taken, nothing is announced, and no
//! relay is held back until it ends: before that it has to be taken out there. What the shadow could not
//! store is said before everything else.
//! At SIGINT, SIGTERM and SIGHUP it ends as if the time were over. Before it receives, any of them ends
//! it without a report, and so does SIGINT while its daemon writes out. The directory goes away in the
//! end, and the daemon with this program, however that ends; what a killed run has left is removed by
//! the next one.

mod compare;
mod daemon;
mod options;
mod report;
mod room;
mod tree;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use benzene_engine::clock;
use benzene_engine::ring::host::{self, Used};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub use options::ShadowOptions;

use crate::cli::CacheOptions;
use crate::config::{self, ConfigError, Loaded};
use crate::exit::Exit;
use crate::tools::work_dir::WorkDir;
use daemon::{Daemon, Totals};
use report::{Report, Sides};
use room::Room;
use tree::Trees;

/// What the directories of shadows are called.
const PREFIX: &str = ".benzene-shadow-";
/// How often it is looked whether the daemon still runs, and what it has used.
const LOOK: Duration = Duration::from_millis(100);

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum ShadowError {
    /// carbon.conf cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file or directory cannot be used.
    #[error("{path}: {source}")]
    Path {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The daemon that runs cannot be looked at.
    #[error(
        "process {process} cannot be looked at: {source}; --pid names the carbon-cache that runs"
    )]
    Process {
        /// Its number.
        process: u32,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The shadow's files would not fit.
    #[error(
        "{} has room for {left_mib} MiB and {left_files} files, and the shadow makes {files} files of \
         {mib} MiB together if it gets all metrics that were written to in the last day, and leaves a \
         tenth free; --scratch names a directory on another disk, --ignore-room starts all the same",
        scratch.display()
    )]
    Room {
        /// Where they were to go.
        scratch: PathBuf,
        /// How many there would be.
        files: u64,
        /// What they would take.
        mib: u64,
        /// What there is.
        left_mib: u64,
        /// How many there may be.
        left_files: u64,
    },
    /// The shadow's own daemon has ended, and not because it was told to.
    #[error("the shadow's daemon ended: {said}")]
    Ended {
        /// The last of what it said.
        said: String,
    },
    /// Nobody waits for the report.
    #[error("interrupted: nothing was compared")]
    Interrupted,
    /// Signals or timers are not to be had.
    #[error("{0}")]
    System(std::io::Error),
}

impl ShadowError {
    fn path(path: &Path) -> impl FnOnce(std::io::Error) -> ShadowError {
        let path = path.to_owned();
        |source| ShadowError::Path { path, source }
    }
}

/// The signals that end the receiving.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// The terminal that it was started from is gone; none where that is to be survived (nohup).
    hangup: Option<Signal>,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: (!host::ignores_hangup())
                .then(|| signal(SignalKind::hangup()))
                .transpose()?,
        })
    }

    /// Waits for one of them.
    async fn end(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }

    /// Does something, unless one of them comes first.
    async fn unless_ended<T>(
        &mut self,
        what: impl Future<Output = Result<T, ShadowError>>,
    ) -> Result<T, ShadowError> {
        tokio::select! {
            done = what => done,
            () = self.end() => Err(ShadowError::Interrupted),
        }
    }

    /// The same for SIGINT alone. A session that drops may send SIGHUP twice, and timeout(1) SIGTERM.
    async fn unless_interrupted<T>(
        &mut self,
        what: impl Future<Output = Result<T, ShadowError>>,
    ) -> Result<T, ShadowError> {
        tokio::select! {
            done = what => done,
            _ = self.interrupt.recv() => Err(ShadowError::Interrupted),
        }
    }
}

/// Receives for a while, compares, and says what was found.
pub fn run(options: &ShadowOptions) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ShadowError::System);
    match runtime.and_then(|runtime| runtime.block_on(shadow(options))) {
        Ok(true) => Exit::Success,
        Ok(false) => Exit::Failure,
        Err(error) => {
            tracing::error!("{error}");
            if let ShadowError::Config(_) = error {
                Exit::Config
            } else {
                Exit::Failure
            }
        }
    }
}

/// True: nothing contradicts that both have stored the same.
async fn shadow(options: &ShadowOptions) -> Result<bool, ShadowError> {
    let loaded = load(options)?;
    let settings = &loaded.settings;
    let processes = processes(options, &settings.pid_file);
    let theirs: Vec<&Path> = settings.data.iter().map(|it| it.path.as_path()).collect();
    let parent = options.scratch.clone().unwrap_or_else(room::usual_scratch);
    if !options.ignore_room {
        let now_s = clock::now().unix_seconds;
        Room::taken_by_active(&theirs, settings.allocation, now_s).check(&parent)?;
    }
    // From here on there is something to leave behind.
    let mut signals = Signals::listen().map_err(ShadowError::System)?;
    let mut directory = WorkDir::make(&parent, PREFIX).map_err(ShadowError::path(&parent))?;
    if options.keep {
        directory.keep().map_err(ShadowError::path(&parent))?;
    }
    let starts = Daemon::start(options, &loaded, directory.path());
    let mut daemon = signals.unless_ended(Box::pin(starts)).await?;
    let (began, before) = (clock::now(), used_by_all(&processes)?);
    tracing::info!(
        "the shadow receives for {} s: {}; its files go below {}; take it out of the relay before it ends: \
         Python's fills a queue for it then, and pauses all its receivers",
        options.time.as_secs(),
        daemon.listens(),
        directory.path().display()
    );
    receive(options.time, &mut daemon, &mut signals).await?;
    let (ended, after) = (clock::now(), used_by_all(&processes)?);
    tracing::info!("the shadow writes out what it has cached");
    let (totals, used): (Totals, Used) = signals.unless_interrupted(daemon.stop()).await?;
    let own_metrics = PathBuf::from(settings.metric_prefix.replace('.', "/")).join("agents");
    let trees = Trees {
        ours: &daemon.data_dir,
        theirs: &theirs,
        own_metrics: &own_metrics,
        began_s: began.unix_seconds,
        since: daemon.since,
        is_whole: totals.lost == 0,
        examples_max: options.examples,
    };
    let report = Report {
        theirs: theirs.iter().map(|path| path.to_path_buf()).collect(),
        kept: options.keep.then(|| daemon.data_dir.clone()),
        seconds: ended
            .instant
            .saturating_duration_since(began.instant)
            .as_secs_f64(),
        totals,
        findings: trees.compare(),
        sides: Sides {
            shadow: used,
            running: (!processes.is_empty()).then_some(Used {
                cpu_s: after.cpu_s - before.cpu_s,
                resident_bytes: after.resident_bytes,
            }),
        },
    };
    let text = if options.json {
        report.json()
    } else {
        report.text()
    };
    let printed = std::io::stdout().write_all(text.as_bytes());
    printed.map_err(ShadowError::path(Path::new("standard output")))?;
    Ok(report.agrees())
}

/// What the carbon.conf of the daemon that runs says.
fn load(options: &ShadowOptions) -> Result<Box<Loaded>, ConfigError> {
    let environment = |name: &str| std::env::var(name).ok();
    let of_the_daemon = CacheOptions {
        config: Some(options.config.clone()),
        instance: Some(options.instance.clone()),
        ..CacheOptions::default()
    };
    config::load(&of_the_daemon, &environment, &config::read_file).map(Box::new)
}

/// The processes to measure: those that were named, or the one in the pid file.
fn processes(options: &ShadowOptions, pid_file: &Path) -> Vec<u32> {
    if !options.processes.is_empty() {
        return options.processes.clone();
    }
    let process = std::fs::read_to_string(pid_file)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(|process| host::used_by(*process).is_ok());
    if process.is_none() {
        tracing::info!(
            "{} names no process: without --pid nothing is said of what the running daemon uses",
            pid_file.display()
        );
    }
    process.into_iter().collect()
}

fn used_by_all(processes: &[u32]) -> Result<Used, ShadowError> {
    let mut sum = Used::default();
    for process in processes {
        let used = host::used_by(*process).map_err(|source| ShadowError::Process {
            process: *process,
            source,
        })?;
        sum.cpu_s += used.cpu_s;
        sum.resident_bytes += used.resident_bytes;
    }
    Ok(sum)
}

/// Waits until the time is over or a signal comes.
async fn receive(
    time: Duration,
    daemon: &mut Daemon,
    signals: &mut Signals,
) -> Result<(), ShadowError> {
    tokio::select! {
        () = tokio::time::sleep(time) => Ok(()),
        () = signals.end() => Ok(()),
        error = daemon.ended() => Err(error),
    }
}
