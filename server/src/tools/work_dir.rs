//! A directory for the time of one run of a tool, below one that the operator named.
//! It is named by the process and locked, so that what a killed run has left is known and removed by the
//! next: in containers many processes have the same number, and the lock alone says who lives. It goes away
//! when it is dropped, unless it is kept under another name. Nothing outside it is touched.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use benzene_engine::clock;

/// The directory.
#[derive(Debug)]
pub(super) struct WorkDir {
    path: PathBuf,
    /// Locked as long as this is open.
    _in_use: File,
    is_kept: bool,
}

impl WorkDir {
    /// Makes one below `parent` whose name begins with `prefix`, after those of runs that are over are
    /// removed.
    pub(super) fn make(parent: &Path, prefix: &str) -> io::Result<WorkDir> {
        remove_leftovers(parent, prefix);
        let path = parent.join(format!("{prefix}{}", std::process::id()));
        fs::create_dir(&path)?;
        let in_use = File::open(&path)?;
        // Where no directory can be locked, nobody takes it for a leftover either.
        drop(in_use.try_lock());
        Ok(WorkDir {
            path,
            _in_use: in_use,
            is_kept: false,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it a name that no run takes for a leftover, and leaves it there when this is dropped.
    pub(super) fn keep(&mut self) -> io::Result<()> {
        let mut kept = self.path.clone().into_os_string();
        kept.push(format!("-kept-{}", clock::now().unix_seconds));
        let kept = PathBuf::from(kept);
        fs::rename(&self.path, &kept)?;
        self.path = kept;
        self.is_kept = true;
        Ok(())
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

/// Removes the directories of runs that are over.
fn remove_leftovers(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_of_a_run = name
            .strip_prefix(prefix)
            .is_some_and(|id| id.parse::<u32>().is_ok());
        if !is_of_a_run || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if let Ok(directory) = File::open(entry.path())
            && directory.try_lock().is_ok()
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
        directory.keep().unwrap();
        let kept = directory.path().to_owned();
        drop(directory);
        assert!(kept.is_dir() && !path.exists());
        drop(WorkDir::make(parent.path(), PREFIX).unwrap());
        assert!(kept.is_dir() && !path.exists() && others.is_dir());
    }

    #[test]
    fn what_was_kept_stays_whoever_kept_it() {
        const PREFIX: &str = ".benzene-test-";
        let parent = tempfile::tempdir().unwrap();
        let kept = parent
            .path()
            .join(format!("{PREFIX}4194305-kept-1764600000"));
        fs::create_dir(&kept).unwrap();
        drop(WorkDir::make(parent.path(), PREFIX).unwrap());
        assert!(kept.is_dir());
    }

    #[test]
    fn a_lock_says_who_lives_and_not_a_number() {
        const PREFIX: &str = ".benzene-test-";
        let parent = tempfile::tempdir().unwrap();
        // Of a killed run in a container, whose number is this process's now.
        let own = parent
            .path()
            .join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&own).unwrap();
        fs::write(own.join("log"), "").unwrap();
        // Of a run in another container, whose number nobody has here.
        let other = parent.path().join(format!("{PREFIX}4194305"));
        fs::create_dir(&other).unwrap();
        let lock = File::open(&other).unwrap();
        lock.try_lock().unwrap();
        let directory = WorkDir::make(parent.path(), PREFIX).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(other.is_dir());
        drop(lock);
    }
}
