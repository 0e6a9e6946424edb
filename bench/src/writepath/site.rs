//! The files that all paths write to, below a directory of their own that goes away in the end.
//! They are made once, full: every slot holds a point, each file's rings begin somewhere else, as
//! in files that have been in use for long. After that the rounds' time goes on from path to path,
//! so that every path finds full files and has the same work.
//! Files are visited in an order of their own, not that of their making, unless it is asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use benzene_engine::schemas::{Aggregations, Schemas};
use benzene_engine::whisper::{Aggregation, Archive, HEAD_READ_BYTES, Header, codec};
use benzene_rivals::{Round, Series, Target};
use tempfile::TempDir;

use crate::progress::Progress;
use crate::workload::mix;

/// The time at which the files are full: some Unix second, a multiple of every usual step.
const FULL_S: u32 = 1_700_006_400;
/// Files below one directory, as hosts with a hundred metrics each would make them.
const FILES_PER_DIR: u32 = 100;

/// What every file looks like, in all the forms that somebody wants it in.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) header: Header,
    pub(crate) schemas: Arc<Schemas>,
    pub(crate) aggregations: Arc<Aggregations>,
}

impl Layout {
    /// From retentions as storage-schemas.conf has them. Everything that is known is aggregated
    /// (xFilesFactor 0), so that an update always reaches all archives: the most that it costs.
    pub(crate) fn new(retentions: &str) -> Result<Self> {
        let schemas = format!("[all]\npattern = .*\nretentions = {retentions}\n");
        let (schemas, _) = Schemas::parse(&schemas)?;
        let aggregations = "[all]\npattern = .*\nxFilesFactor = 0\naggregationMethod = average\n";
        let (aggregations, _) = Aggregations::parse(aggregations)?;
        let archives = &schemas.archives("any").rule.archives;
        let header = Header::new(archives, 0.0, Aggregation::Average)?;
        let first_slot_end = header.header_bytes() + codec::POINT_BYTES;
        ensure!(
            first_slot_end <= HEAD_READ_BYTES as usize,
            "more archives than a first read brings: {retentions}"
        );
        Ok(Self {
            header,
            schemas: Arc::new(schemas),
            aggregations: Arc::new(aggregations),
        })
    }

    pub(crate) fn finest(&self) -> Archive {
        let Some(finest) = self.header.archives.first() else {
            unreachable!("a header has an archive")
        };
        *finest
    }
}

/// The directory, its files, and the time that they have reached.
#[derive(Debug)]
pub(crate) struct Site {
    dir: TempDir,
    pub(crate) layout: Layout,
    old: Arc<Vec<Target>>,
    now_s: u32,
    lists_made: u32,
}

impl Site {
    /// Makes the files below `dir`.
    pub(crate) fn make(dir: &Path, layout: Layout, files: u32, shuffled: bool) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("benzene-writepath-")
            .tempdir_in(dir)
            .with_context(|| format!("cannot make a directory in {}", dir.display()))?;
        let targets = targets(&dir.path().join("old"), files);
        make_directories(&targets)?;
        let mut progress = Progress::start("files made", u64::from(files));
        let mut full = Vec::new();
        for target in &targets {
            fill(&layout.header, target.number, &mut full);
            fs::write(&target.path, &full)
                .with_context(|| format!("cannot make {}", target.path.display()))?;
            progress.tick(u64::from(target.number));
        }
        let old = if shuffled { shuffle(targets) } else { targets };
        Ok(Self {
            dir,
            layout,
            old: Arc::new(old),
            now_s: FULL_S,
            lists_made: 0,
        })
    }

    /// Where the paths' data directory is for rounds over the files that are there.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("old")
    }

    /// The device that the files lie on is that of this directory.
    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// The next points for the files that are there.
    pub(crate) fn update(&mut self, points: u32) -> Arc<Round> {
        self.now_s += points * self.layout.finest().step_s;
        self.round(Arc::clone(&self.old), points, false)
    }

    /// The next points for the first so many of them. The others are behind from then on: whoever asks
    /// for few once does so always.
    pub(crate) fn update_first(&mut self, files: usize, points: u32) -> Arc<Round> {
        self.now_s += points * self.layout.finest().step_s;
        let some = self.old.iter().take(files).cloned().collect();
        self.round(Arc::new(some), points, false)
    }

    /// The files that are there, in the order in which they are visited.
    pub(crate) fn targets(&self) -> &[Target] {
        &self.old
    }

    /// Files that are not there yet, with their data directory. Their directories are there.
    pub(crate) fn create(&mut self, files: u32, points: u32) -> Result<(PathBuf, Arc<Round>)> {
        self.lists_made += 1;
        let data_dir = self.dir.path().join(format!("new-{}", self.lists_made));
        let targets = targets(&data_dir, files);
        make_directories(&targets)?;
        let round = self.round(Arc::new(targets), points, true);
        Ok((data_dir, round))
    }

    fn round(&self, targets: Arc<Vec<Target>>, points: u32, creates: bool) -> Arc<Round> {
        Arc::new(Round {
            targets,
            header: self.layout.header.clone(),
            now_s: self.now_s,
            points,
            creates,
        })
    }
}

/// The name of a metric, and the path of its file below the data directory.
pub(crate) fn metric_of(number: u32) -> (String, String) {
    let (host, metric) = (number / FILES_PER_DIR, number % FILES_PER_DIR);
    (
        format!("write.h{host:05}.m{metric:02}"),
        format!("write/h{host:05}/m{metric:02}.wsp"),
    )
}

fn targets(data_dir: &Path, files: u32) -> Vec<Target> {
    let target = |number: u32| {
        let (metric, path) = metric_of(number);
        Target {
            number,
            metric,
            path: data_dir.join(path),
        }
    };
    (0..files).map(target).collect()
}

fn make_directories(targets: &[Target]) -> Result<()> {
    let step = FILES_PER_DIR as usize;
    for directory in targets
        .iter()
        .step_by(step)
        .filter_map(|target| target.path.parent())
    {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
    }
    Ok(())
}

/// The same order at every run.
fn shuffle(mut targets: Vec<Target>) -> Vec<Target> {
    targets.sort_by_key(|target| mix(u64::from(target.number) + 1));
    targets
}

/// The bytes of a file that has seen a point in every step up to `FULL_S`. The rings begin
/// anywhere: what lies in the first slot of each follows from the file's number.
fn fill(header: &Header, number: u32, file: &mut Vec<u8>) {
    file.clear();
    file.extend_from_slice(&header.encode());
    let series = Series {
        header,
        number,
        oldest_s: 0,
        newest_s: FULL_S,
    };
    for (level, archive) in header.archives.iter().enumerate() {
        let newest_s = FULL_S - FULL_S % archive.step_s;
        let lap = u64::from(archive.points);
        let turned = mix(u64::from(number) << 8 | level as u64) % lap;
        for slot in 0..lap {
            // Steps back from the newest: `turned` of them in the first slot, the next in a row.
            let Ok(back) = u32::try_from((turned + lap - slot) % lap) else {
                unreachable!("{lap} slots")
            };
            let timestamp = newest_s - back * archive.step_s;
            let value = series.value(level, timestamp).unwrap_or_default();
            file.extend_from_slice(&timestamp.to_be_bytes());
            file.extend_from_slice(&value.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writepath::verify::verify;

    #[test]
    fn files_are_full_and_as_a_reader_expects_them() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new("10s:20m,1m:2h,10m:12h").unwrap();
        let site = Site::make(dir.path(), layout, 250, true).unwrap();
        let slots = site.layout.finest().points;
        let round = site.round(Arc::clone(&site.old), slots, false);
        verify(&round).unwrap();
        let numbers: Vec<u32> = round.targets.iter().map(|target| target.number).collect();
        assert!(!numbers.is_sorted(), "files are visited in another order");
        drop(site);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "left behind");
    }

    #[test]
    fn more_archives_than_one_read_brings_are_refused() {
        let archives: Vec<String> = (0..7)
            .map(|level| format!("{}s:{}s", 2 << level, 8 << (2 * level)))
            .collect();
        assert!(Layout::new(&archives[..6].join(",")).is_ok());
        assert!(Layout::new(&archives.join(",")).is_err());
    }
}
