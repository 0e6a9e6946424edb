//! `benzene tune`: what a disk does with Whisper's own access pattern, in a bounded time, and what
//! follows for carbon.conf.
//! The daemon's own writer makes files in a directory of its own below `--dir`, and then updates them
//! with nothing of them in memory: one point each, and many points each. Beside it a reader reads single
//! pages, as graphite-web does. Each figure includes that everything is on the disk.
//! Files of anybody else are never opened. The directory goes away in the end, also at SIGINT and
//! SIGTERM; what a killed run has left is removed by the next one.

mod advice;
mod options;
mod reader;
mod report;
mod scratch;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use benzene_engine::clock;
use benzene_engine::device::{Class, Disk, Profile};
use tokio::signal::unix::{SignalKind, signal};

pub use options::TuneOptions;

use crate::exit::Exit;
use advice::Measured;
use reader::Reader;
use report::Report;
use scratch::Scratch;
use worker::Worker;

/// Parts of the time: making files, and updates of one point and of many. What is left over is for the
/// last sync of each.
const CREATE_PART: f64 = 0.35;
const UPDATE_PART: f64 = 0.3;
/// Files that are made together.
const BATCH_FILES: u32 = 4 * scratch::FILES_PER_DIR;
/// Rounds over all files at most: where one takes half a second, more tell nothing new.
const ROUNDS_MAX: u32 = 8;
/// The shortest stretch of updates, where the time is over already.
const WRITE_MIN: Duration = Duration::from_millis(200);
/// Points of an update of many: an hour of minutes.
const MANY: u32 = 60;

/// Why a disk cannot be measured.
#[derive(Debug, thiserror::Error)]
enum TuneError {
    /// A file or directory cannot be used.
    #[error("{path}: {source}")]
    Path {
        /// Which.
        path: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// What is to be written is there.
    #[error("{path} is there already, and --write makes a new file: name another, or remove it")]
    Exists {
        /// Which file.
        path: String,
    },
    /// There is too little room.
    #[error(
        "{path}: {left} MiB are free, and files of {file} bytes would take more than a twentieth of \
         it; name another directory, or shorter --retentions"
    )]
    Room {
        /// Where.
        path: String,
        /// Free mebibytes.
        left: u64,
        /// Bytes of one file.
        file: u64,
    },
    /// The retentions cannot be read.
    #[error("--retentions {text}: {problem}")]
    Retentions {
        /// As given.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// There is no ring, or a file operation failed.
    #[error("{0}")]
    Writer(String),
    /// A signal came.
    #[error("interrupted")]
    Interrupted,
}

impl TuneError {
    fn path(path: &Path) -> impl FnOnce(std::io::Error) -> TuneError {
        let path = path.display().to_string();
        |source| TuneError::Path { path, source }
    }
}

/// Measures, and says what was measured and what it means.
pub fn run(options: &TuneOptions) -> Exit {
    match tune(options) {
        Ok(()) => Exit::Success,
        Err(error) => {
            tracing::error!("{error}");
            Exit::Failure
        }
    }
}

fn tune(options: &TuneOptions) -> Result<(), TuneError> {
    let directory = &options.dir;
    let mut disk = look(directory)?;
    if let Some(output) = &options.write
        && output.exists()
    {
        let path = output.display().to_string();
        return Err(TuneError::Exists { path });
    }
    let stop = Arc::new(AtomicBool::new(false));
    listen(&stop);
    let scratch = Scratch::make(directory, &options.retentions, options.files)?;
    let time = Duration::from_secs(options.seconds.into());
    let class = |disk: &Disk| options.device_class.map_or(disk.class, Class::from);
    let mut worker = Worker::new(&scratch, Profile::of(class(&disk)), &stop)?;
    let created = create(&mut worker, &scratch, time.mul_f64(CREATE_PART))?;
    if class(&disk) == Class::Unknown {
        // Now there is something to read.
        scratch.forget(created.files)?;
        disk = look(scratch.path())?;
    }
    let profile = Profile::of(class(&disk));
    worker.treat(profile)?;
    let measured = update(&mut worker, &scratch, created, time.mul_f64(UPDATE_PART))?;
    drop(scratch);
    let report = Report::new(options, &disk, measured, profile.max_point_age_s);
    if let Some(output) = &options.write {
        std::fs::write(output, report.lines()).map_err(TuneError::path(output))?;
    }
    report.print(options.json)
}

fn look(directory: &Path) -> Result<Disk, TuneError> {
    Disk::of(directory).map_err(TuneError::path(directory))
}

/// Updates of the files that were made, of one point and of many, each for so long; beside a reader.
fn update(
    worker: &mut Worker<'_>,
    scratch: &Scratch,
    created: Work,
    time: Duration,
) -> Result<Measured, TuneError> {
    let files = created.files;
    // Not in the order in which they were made and lie: names of senders do not follow the disk.
    let mut metrics: Vec<u32> = (0..files).collect();
    metrics.sort_by_key(|number| number.wrapping_mul(2_654_435_761));
    let reader = Reader::new(scratch, files);
    let (rates, waits) = std::thread::scope(|scope| {
        let reading = scope.spawn(|| reader.run());
        let rates = [1, MANY].map(|points| {
            let (mut done, begun) = (Work::default(), clock::now().instant);
            for _ in 0..ROUNDS_MAX {
                scratch.forget(files)?;
                let passed = clock::now().instant.saturating_duration_since(begun);
                let left = time.saturating_sub(passed);
                if left.is_zero() && done.files > 0 {
                    break;
                }
                // On a slow disk the sync takes as long again.
                reader.set_reading(true);
                done.add(&worker.write(&metrics, points, (left / 2).max(WRITE_MIN))?);
                reader.set_reading(false);
            }
            Ok(done.per_s())
        });
        reader.finish();
        (rates, reading.join().unwrap_or_default())
    });
    let [one_per_s, many_per_s] = rates;
    Ok(Measured {
        files,
        file_bytes: scratch.file_bytes(),
        creates_per_s: created.per_s(),
        one_per_s: one_per_s?,
        many_per_s: many_per_s?,
        waits: reader::percentiles(waits),
    })
}

/// Makes files for so long. A batch is on the disk before the next is begun, so that no page cache hides
/// what it costs.
fn create(worker: &mut Worker<'_>, scratch: &Scratch, time: Duration) -> Result<Work, TuneError> {
    let mut made = Work::default();
    while made.files < scratch.files_max() && made.took < time {
        let end = (made.files + BATCH_FILES).min(scratch.files_max());
        let batch: Vec<u32> = (made.files..end).collect();
        made.add(&worker.write(&batch, 1, time.saturating_sub(made.took))?);
    }
    Ok(made)
}

/// Files written, and how long that took.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    files: u32,
    took: Duration,
}

impl Work {
    fn add(&mut self, more: &Work) {
        self.files += more.files;
        self.took += more.took;
    }

    fn per_s(&self) -> f64 {
        f64::from(self.files) / self.took.as_secs_f64().max(1e-9)
    }
}

/// Makes SIGINT and SIGTERM end the work, so that what was made goes away.
fn listen(stop: &Arc<AtomicBool>) {
    let stop = Arc::clone(stop);
    let listener = std::thread::Builder::new().name("signals".to_owned());
    let spawned = listener.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let signals = signal(SignalKind::interrupt()).and_then(|interrupt| {
                signal(SignalKind::terminate()).map(|terminate| (interrupt, terminate))
            });
            let Ok((mut interrupt, mut terminate)) = signals else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
    if let Err(error) = spawned {
        tracing::warn!("a signal would leave files behind: {error}");
    }
}
