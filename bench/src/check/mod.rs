//! `benzene-bench check`: looks for every point that `load` sent in the Whisper files below a data
//! directory, at the place where a reader of the first archive looks for it, with its value.
//! It reads only, the header and the first archive of each file, and trusts neither.
//! What cannot be there is counted apart and said: where the first archive's step is coarser than
//! the load's, or the archive shorter than the load is long, later points take the place of
//! earlier ones. A point that the daemon put into a coarser archive because it was old when it was
//! written is not in the first one, and so is missing.

mod expected;

use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use anyhow::{Context, Result, ensure};
use benzene_engine::limits::ARCHIVES_MAX;
use benzene_engine::point::Point;
use benzene_engine::whisper::{Archive, Header, archive_points};

use crate::progress::{Done, Progress, TICK};
use crate::workload::{Shape, Workload};
use expected::Expected;

/// Bytes that hold any header that is accepted: 16, and 12 an archive.
const HEADER_BYTES_MAX: usize = 16 + 12 * ARCHIVES_MAX;
/// Bytes of a point: timestamp and value, big-endian.
const POINT_BYTES: usize = 12;
/// Metrics after which progress is told.
const METRICS_PER_TELL: u32 = 64;

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// Data directory (LOCAL_DATA_DIR)
    dir: PathBuf,
    #[command(flatten)]
    shape: Shape,
    /// Timestamp of the first round, as `load` reported it
    #[arg(long)]
    start: u32,
    /// How many examples of each kind are shown
    #[arg(long, default_value_t = 5)]
    pub(crate) examples: usize,
    /// Threads that read
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
}

impl CheckArgs {
    /// To look for `workload` below `dir`, with the defaults of the command line.
    pub(crate) fn of(workload: &Workload, dir: PathBuf) -> Self {
        Self {
            dir,
            shape: workload.shape().clone(),
            start: workload.start(),
            examples: 5,
            threads: 2,
        }
    }
}

/// Runs the command and prints its report. False: something is missing or wrong.
pub(crate) fn command(args: &CheckArgs) -> Result<bool> {
    let workload = Workload::new(args.shape.clone(), args.start)?;
    ensure!(args.dir.is_dir(), "{} is no directory", args.dir.display());
    let findings = check(args, &workload)?;
    print!("{}", findings.text(&workload, args.examples));
    Ok(findings.is_sound())
}

/// Something that was counted, with its first places.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    count: u64,
    examples: Vec<String>,
}

/// Examples kept of each kind by each thread; more are never shown.
const EXAMPLES_MAX: usize = 100;

impl Tally {
    pub(crate) fn is_none(&self) -> bool {
        self.count == 0
    }

    /// The count, and the first places below it.
    pub(crate) fn text(&self, examples: usize) -> String {
        let mut lines = vec![self.count.to_string()];
        let shown = self.examples.iter().take(examples);
        lines.extend(shown.map(|example| format!("  {example}")));
        lines.join("\n")
    }

    pub(crate) fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example());
        }
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        let room = EXAMPLES_MAX - self.examples.len();
        self.examples.extend(other.examples.into_iter().take(room));
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    files: u64,
    files_missing: Tally,
    files_unreadable: Tally,
    found: u64,
    missing: Tally,
    wrong: Tally,
    extra: Tally,
    /// Points whose place a later point takes.
    replaced: u64,
}

impl Findings {
    /// Whether everything that can be in the files is there.
    pub(crate) fn is_sound(&self) -> bool {
        [
            &self.files_missing,
            &self.files_unreadable,
            &self.missing,
            &self.wrong,
        ]
        .iter()
        .all(|tally| tally.is_none())
    }

    fn merge(&mut self, other: Self) {
        self.files += other.files;
        self.found += other.found;
        self.replaced += other.replaced;
        self.files_missing.merge(other.files_missing);
        self.files_unreadable.merge(other.files_unreadable);
        self.missing.merge(other.missing);
        self.wrong.merge(other.wrong);
        self.extra.merge(other.extra);
    }

    /// The report's lines.
    pub(crate) fn text(&self, workload: &Workload, examples: usize) -> String {
        let mut lines = vec![
            format!("files: {} of {}", self.files, workload.metrics()),
            format!("points found: {} of {}", self.found, workload.points()),
        ];
        if self.replaced > 0 {
            lines.push(format!(
                "points not looked for, a later one has their place: {}",
                self.replaced
            ));
        }
        for (what, tally) in [
            ("files missing", &self.files_missing),
            ("files unreadable", &self.files_unreadable),
            ("points missing", &self.missing),
            ("points wrong", &self.wrong),
            ("points extra", &self.extra),
        ] {
            lines.push(format!("{what}: {}", tally.text(examples)));
        }
        lines.join("\n") + "\n"
    }
}

/// Reads all files, on several threads.
pub(crate) fn check(args: &CheckArgs, workload: &Workload) -> Result<Findings> {
    let done = Done::default();
    let mut progress = Progress::start("files checked", u64::from(workload.metrics()));
    let mut findings = Findings::default();
    thread::scope(|scope| -> Result<()> {
        let (sender, finished) = mpsc::channel::<Findings>();
        let per_thread = workload.metrics().div_ceil(args.threads);
        for number in 0..args.threads {
            let first = number.saturating_mul(per_thread).min(workload.metrics());
            let metrics = first..first.saturating_add(per_thread).min(workload.metrics());
            let (sender, done) = (sender.clone(), &done);
            thread::Builder::new()
                .name(format!("check-{number}"))
                .spawn_scoped(scope, move || {
                    // The receiver lives until every sender is gone, so this cannot fail.
                    drop(sender.send(check_share(&args.dir, workload, metrics, done)));
                })
                .context("cannot start a thread")?;
        }
        drop(sender);
        loop {
            match finished.recv_timeout(TICK) {
                Ok(share) => findings.merge(share),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            progress.tick(done.get());
        }
    })?;
    Ok(findings)
}

/// One thread's metrics.
fn check_share(dir: &Path, workload: &Workload, metrics: Range<u32>, done: &Done) -> Findings {
    let mut findings = Findings::default();
    let mut expected = None;
    let mut bytes = Vec::new();
    let mut untold = 0;
    for index in metrics {
        check_metric(
            dir,
            workload,
            index,
            (&mut expected, &mut bytes),
            &mut findings,
        );
        untold += 1;
        if untold == METRICS_PER_TELL {
            done.add(u64::from(untold));
            untold = 0;
        }
    }
    done.add(u64::from(untold));
    findings
}

/// One metric's file. `kept` is what one file leaves for the next: the expected places, which are
/// the same for all files of one layout, and the read buffer.
fn check_metric(
    dir: &Path,
    workload: &Workload,
    index: u32,
    kept: (&mut Option<Expected>, &mut Vec<u8>),
    findings: &mut Findings,
) {
    let name = workload.name(index);
    let path = dir.join(format!("{}.wsp", name.replace('.', "/")));
    let (expected, bytes) = kept;
    let first = match read_first_archive(&path, bytes) {
        Ok(Some(first)) => first,
        Ok(None) => return findings.files_missing.add(|| path.display().to_string()),
        Err(error) => {
            return findings
                .files_unreadable
                .add(|| format!("{}: {error:#}", path.display()));
        }
    };
    findings.files += 1;
    if expected.as_ref().is_none_or(|kept| kept.archive() != first) {
        *expected = Some(Expected::in_archive(first, workload));
    }
    let Some(expected) = expected else {
        unreachable!("it was made above")
    };
    expected.compare(bytes, workload, index, findings);
}

/// The points of a file's first archive, in no order. None: there is no such file.
pub(crate) fn points_in(path: &Path) -> Result<Option<Vec<Point>>> {
    let mut bytes = Vec::new();
    let first = read_first_archive(path, &mut bytes)
        .with_context(|| format!("cannot use {}", path.display()))?;
    Ok(first.map(|first| archive_points(&first, &bytes)))
}

/// The first archive's layout, its points in `bytes`. None: there is no such file.
fn read_first_archive(path: &Path, bytes: &mut Vec<u8>) -> Result<Option<Archive>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("cannot open"),
    };
    let file_bytes = file.metadata().context("cannot stat")?.len();
    let header_bytes = usize::try_from(file_bytes)
        .unwrap_or(usize::MAX)
        .min(HEADER_BYTES_MAX);
    bytes.resize(header_bytes, 0);
    file.read_exact_at(bytes, 0)
        .context("cannot read the header")?;
    let header = Header::parse(bytes)?;
    let first = *header.archives.first().context("no archive")?;
    let end = first.offset + first.bytes();
    ensure!(
        end <= file_bytes,
        "the first archive ends at byte {end}, the file at {file_bytes}"
    );
    bytes.resize(usize::try_from(first.bytes())?, 0);
    file.read_exact_at(bytes, first.offset)
        .context("cannot read the first archive")?;
    Ok(Some(first))
}

#[cfg(test)]
mod tests;
