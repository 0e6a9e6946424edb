//! The directory of a measurement and the names of its files. It goes away when it is dropped, and what
//! a killed run has left goes when the next one begins.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use benzene_engine::ring::{direct, host, mount};
use benzene_engine::schemas::{Aggregations, Schemas};
use benzene_engine::whisper::{Aggregation, Header};

use super::TuneError;
use crate::tools::work_dir::WorkDir;

/// Files below one directory, as hosts with a hundred metrics each would make them.
pub(super) const FILES_PER_DIR: u32 = 100;
/// What all such directories are called.
const PREFIX: &str = ".benzene-tune-";
/// Part of the free room that may be taken: one in so many.
const ROOM_SHARE: u64 = 20;

/// The directory.
#[derive(Debug)]
pub(super) struct Scratch {
    directory: WorkDir,
    files_max: u32,
    file_bytes: u64,
    step_s: u32,
    pub(super) schemas: Arc<Schemas>,
    pub(super) aggregations: Arc<Aggregations>,
}

impl Scratch {
    /// Makes the directory, after those of runs that are over are removed.
    pub(super) fn make(parent: &Path, retentions: &str, files: u32) -> Result<Scratch, TuneError> {
        let wrong = |problem: String| TuneError::Retentions {
            text: retentions.to_owned(),
            problem,
        };
        let text = format!("[all]\npattern = .*\nretentions = {retentions}\n");
        let parsed = Schemas::parse(&text).map_err(|error| wrong(error.to_string()))?;
        let (schemas, warnings) = parsed;
        if let Some(warning) = warnings.first() {
            return Err(wrong(warning.to_string()));
        }
        let archives = &schemas.archives("any").rule.archives;
        // Whatever is known is aggregated, so that an update reaches every archive: the most it costs.
        let aggregations = "[all]\npattern = .*\nxFilesFactor = 0\naggregationMethod = average\n";
        let (aggregations, _) =
            Aggregations::parse(aggregations).map_err(|error| wrong(error.to_string()))?;
        let header = Header::new(archives, 0.0, Aggregation::Average)
            .map_err(|error| wrong(error.to_string()))?;
        let step_s = archives.first().map_or(1, |archive| archive.step_s);
        let file_bytes = header.file_bytes();
        let left = mount::free(parent).map_err(TuneError::path(parent))?.bytes;
        let fitting = u32::try_from(left / ROOM_SHARE / file_bytes).unwrap_or(u32::MAX);
        if fitting < FILES_PER_DIR {
            return Err(TuneError::Room {
                path: parent.display().to_string(),
                left: left >> 20,
                file: file_bytes,
            });
        }
        let directory = WorkDir::make(parent, PREFIX).map_err(TuneError::path(parent))?;
        Ok(Scratch {
            directory,
            files_max: files.min(fitting),
            file_bytes,
            step_s,
            schemas: Arc::new(schemas),
            aggregations: Arc::new(aggregations),
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// How many files may be made.
    pub(super) fn files_max(&self) -> u32 {
        self.files_max
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Seconds from one point of a file to the next.
    pub(super) fn step_s(&self) -> u32 {
        self.step_s
    }

    /// A metric's name.
    #[expect(clippy::unused_self, reason = "names belong to the directory")]
    pub(super) fn metric(&self, number: u32) -> String {
        let (host, metric) = (number / FILES_PER_DIR, number % FILES_PER_DIR);
        format!("tune.h{host:05}.m{metric:02}")
    }

    /// Its file.
    pub(super) fn file(&self, number: u32) -> PathBuf {
        let (host, metric) = (number / FILES_PER_DIR, number % FILES_PER_DIR);
        self.path()
            .join(format!("tune/h{host:05}/m{metric:02}.wsp"))
    }

    /// Writes everything out that the file system holds.
    pub(super) fn sync(&self) -> Result<(), TuneError> {
        host::sync_file_system(self.path()).map_err(TuneError::path(self.path()))
    }

    /// Has the kernel forget the contents of the first so many files.
    pub(super) fn forget(&self, files: u32) -> Result<(), TuneError> {
        self.sync()?;
        for number in 0..files {
            let path = self.file(number);
            direct::forget(&path).map_err(TuneError::path(&path))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_directory_goes_away() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::make(parent.path(), "60s:1d,5m:7d", 500).unwrap();
        assert!(scratch.path().is_dir());
        assert_eq!((scratch.files_max(), scratch.step_s()), (500, 60));
        assert_eq!(scratch.file_bytes(), 16 + 2 * 12 + (1440 + 2016) * 12);
        drop(scratch);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn retentions_that_are_none_are_refused() {
        let parent = tempfile::tempdir().unwrap();
        for wrong in ["", "60s", "60s:1d,70s:7d"] {
            let error = Scratch::make(parent.path(), wrong, 500).unwrap_err();
            assert!(error.to_string().contains("--retentions"), "{error}");
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
