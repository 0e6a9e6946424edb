//! A directory for the time of one run of a tool, below one that the operator named.
//! It is named by the process, so that what a killed run has left is known and removed by the next;
//! it goes away when it is dropped. Nothing outside it is touched.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The directory.
#[derive(Debug)]
pub(super) struct WorkDir {
    path: PathBuf,
    is_kept: bool,
}

impl WorkDir {
    /// Makes one below `parent` whose name begins with `prefix`, after those of runs that are over are
    /// removed.
    pub(super) fn make(parent: &Path, prefix: &str) -> io::Result<WorkDir> {
        remove_leftovers(parent, prefix);
        let path = parent.join(format!("{prefix}{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(WorkDir {
            path,
            is_kept: false,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it where it is when this is dropped.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!("{} is left behind: {error}", self.path.display());
        }
    }
}

/// Removes the directories of runs whose process is no more.
fn remove_leftovers(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name
            .strip_prefix(prefix)
            .and_then(|id| id.parse::<u32>().ok());
        if let Some(process) = process
            && !Path::new(&format!("/proc/{process}")).exists()
        {
            tracing::info!(
                "{} was left by a killed run and is removed",
                entry.path().display()
            );
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_away_and_so_does_what_a_killed_run_left() {
        const PREFIX: &str = ".benzene-test-";
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join(format!("{PREFIX}4194305"));
        let others = parent.path().join("carbon");
        for directory in [&left, &others] {
            fs::create_dir_all(directory.join("tune")).unwrap();
        }
        let mut directory = WorkDir::make(parent.path(), PREFIX).unwrap();
        assert!(directory.path().is_dir() && others.is_dir() && !left.exists());
        WorkDir::make(parent.path(), PREFIX).unwrap_err();
        let path = directory.path().to_owned();
        directory.keep();
        drop(directory);
        assert!(path.is_dir());
        fs::remove_dir(&path).unwrap();
        drop(WorkDir::make(parent.path(), PREFIX).unwrap());
        assert!(!path.exists() && others.is_dir());
    }
}
