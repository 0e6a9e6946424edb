//! Where a model disk keeps itself: one directory, with the backing file, the mount point of its
//! filesystem, its state and its log. The paths alone identify it: a loop device or a mount that does
//! not lead there is somebody else's, and is left alone.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::filesystem::{COUNTERS, DISK, SWEEP};
use super::model::params::Params;

/// The directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place(PathBuf);

/// What `up` has done, for `down` and `status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) params: Params,
    pub(crate) filesystem: String,
    /// The serving process.
    pub(crate) server: u32,
    pub(crate) mount: PathBuf,
    /// Empty until there is one.
    pub(crate) device: String,
    /// Whether everything is there.
    pub(crate) is_up: bool,
}

impl Place {
    /// `dir` need not exist, nor what leads to it. Links on the way are followed once and for all:
    /// the kernel names files by their real paths.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let dir = std::path::absolute(dir).context("no current directory")?;
        let mut there = dir.as_path();
        let mut missing = Vec::new();
        while !there.exists() {
            let (Some(parent), Some(name)) = (there.parent(), there.file_name()) else {
                break;
            };
            missing.push(name);
            there = parent;
        }
        let mut real = there
            .canonicalize()
            .with_context(|| format!("cannot look at {}", there.display()))?;
        real.extend(missing.into_iter().rev());
        Ok(Self(real))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// The bytes of the disk.
    pub(crate) fn backing(&self) -> PathBuf {
        self.0.join("backing")
    }

    /// Where the FUSE filesystem is mounted.
    pub(crate) fn fuse(&self) -> PathBuf {
        self.0.join("fuse")
    }

    /// What the loop device stands on.
    pub(crate) fn disk(&self) -> PathBuf {
        self.fuse().join(DISK)
    }

    pub(crate) fn sweep(&self) -> PathBuf {
        self.fuse().join(SWEEP)
    }

    pub(crate) fn counters(&self) -> PathBuf {
        self.fuse().join(COUNTERS)
    }

    /// Where the disk is mounted unless asked otherwise.
    pub(crate) fn mount(&self) -> PathBuf {
        self.0.join("mnt")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("serve.log")
    }

    fn state_file(&self) -> PathBuf {
        self.0.join("state.json")
    }

    /// The state; None where there is none, or none that can be read.
    pub(crate) fn state(&self) -> Option<State> {
        serde_json::from_str(&fs::read_to_string(self.state_file()).ok()?).ok()
    }

    /// Replaces the state as a whole.
    pub(crate) fn put_state(&self, state: &State) -> Result<()> {
        let (new, name) = (self.0.join("state.json.new"), self.state_file());
        let text = serde_json::to_string_pretty(state)? + "\n";
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &name))
            .with_context(|| format!("cannot write {}", name.display()))
    }

    /// Whether its files may be removed: a backing file without a state is somebody else's.
    pub(crate) fn is_ours(&self) -> bool {
        !self.backing().exists() || self.state_file().exists()
    }

    /// Removes what belongs to the disk, and the directory if nothing else is in it.
    pub(crate) fn remove(&self) -> Result<()> {
        for file in [self.backing(), self.log(), self.state_file()] {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", file.display()));
                }
                Ok(()) | Err(_) => {}
            }
        }
        for dir in [self.fuse(), self.mount(), self.0.clone()] {
            // Not there, or somebody else's files are in it.
            drop(fs::remove_dir(dir));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_by_its_real_path() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        fs::create_dir(real.join("a")).unwrap();
        std::os::unix::fs::symlink(real.join("a"), real.join("link")).unwrap();
        let place = Place::new(&dir.path().join("link/b/c")).unwrap();
        assert_eq!(place.dir(), real.join("a/b/c"));
        assert!(place.state().is_none());
        place.remove().unwrap();
    }

    #[test]
    fn a_file_that_only_has_the_name_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path()).unwrap();
        assert!(place.is_ours());
        fs::write(place.backing(), "letters").unwrap();
        assert!(!place.is_ours());
        fs::write(place.state_file(), "").unwrap();
        assert!(place.is_ours());
    }
}
