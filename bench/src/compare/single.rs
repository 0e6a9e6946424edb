//! Rounds of single updates and creates by the daemon's own writer, without a daemon: of one point to
//! many, of files that are in memory and of files that are not. Each figure counts the sync behind
//! the round too, and every file is read back.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use benzene_engine::device::Class;
use benzene_engine::ring::Ring;
use benzene_rivals::{Latencies, Round, WritePath};

use super::args::Extent;
use super::figures::Single;
use super::stop::Interrupt;
use super::subject::Subject;
use crate::report::short;
use crate::writepath::pipeline::Pipeline;
use crate::writepath::row::{Cache, Figures};
use crate::writepath::{case_of, measure, on_its_own_thread, verify, wait_for_none};

/// Files of a round for each second of a measurement.
const HDD_FILES_PER_S: u32 = 150;
const SSD_FILES_PER_S: u32 = 2000;

/// All rounds. `cold`: also with the page cache of the whole machine dropped.
pub(super) fn rounds(
    subject: &mut Subject,
    extent: Extent,
    cold: bool,
    interrupt: &Interrupt,
) -> Result<Vec<Single>> {
    let per_second = match subject.class {
        Class::Hdd => HDD_FILES_PER_S,
        Class::Ssd | Class::Unknown => SSD_FILES_PER_S,
    };
    let files = (per_second * extent.seconds).min(subject.place.files);
    let mut all = on_its_own_thread(|| updates(subject, extent, (files, cold), interrupt))??;
    interrupt.check()?;
    all.push(on_its_own_thread(|| creates(subject, files))??);
    Ok(all)
}

fn updates(
    subject: &mut Subject,
    extent: Extent,
    (files, cold): (u32, bool),
    interrupt: &Interrupt,
) -> Result<Vec<Single>> {
    let mut path = pipeline(subject, &subject.files.data_dir())?;
    // Not measured: it tells the shard that its files are there.
    let first = subject.files.update_first(files as usize, 1);
    path.prepare(&first)?;
    path.carry_out(&first, &mut Latencies::new()?)?;
    let mut all = Vec::new();
    let caches = [
        (Cache::Warm, true),
        (Cache::Forgotten, true),
        (Cache::Cold, cold),
    ];
    for (cache, _) in caches.into_iter().filter(|(_, wanted)| *wanted) {
        for points in extent.points {
            interrupt.check()?;
            let round = subject.files.update_first(files as usize, *points);
            all.push(single(subject, &mut *path, &round, cache)?);
        }
    }
    path.close()?;
    drop(path);
    wait_for_none();
    Ok(all)
}

fn creates(subject: &mut Subject, files: u32) -> Result<Single> {
    let (data_dir, round) = subject.files.create(files / 2, 1)?;
    let mut path = pipeline(subject, &data_dir)?;
    let created = single(subject, &mut *path, &round, Cache::Warm)?;
    path.close()?;
    drop(path);
    wait_for_none();
    fs::remove_dir_all(&data_dir)
        .with_context(|| format!("cannot remove {}", data_dir.display()))?;
    Ok(created)
}

/// The daemon's writer as it treats a disk of this class.
fn pipeline(subject: &Subject, data_dir: &Path) -> Result<Box<Pipeline<Ring>>> {
    let profile = subject.profile;
    let pipeline = Pipeline::over_ring(
        &subject.files.layout,
        data_dir,
        u32::try_from(profile.updates_in_flight)?,
        Some(profile.kernel_workers),
    )?;
    Ok(Box::new(pipeline))
}

fn single(
    subject: &Subject,
    path: &mut dyn WritePath,
    round: &Arc<Round>,
    cache: Cache,
) -> Result<Single> {
    let case = case_of(round, cache)?;
    let before = subject.head()?;
    let sample = measure(&subject.device, path, round, cache)?;
    let head_per_file = subject.head_since(before, f64::from(case.files))?;
    verify(round)?;
    let figures = Figures::of(&case, &[sample])?.context("no sample")?;
    eprintln!(
        "  {}: {} a second, synced {}",
        case.title(),
        short(figures.per_second.median),
        short(figures.per_second_flushed.median)
    );
    Ok(Single {
        case,
        figures,
        head_per_file,
    })
}
