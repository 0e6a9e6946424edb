//! Through which mounts the data are written: one number for all data directories and this run of the
//! machine, which stands in the journal's blocks, and the paths behind it in a note beside them, so that
//! the journal's tool knows it without carbon.conf.
//! A note that is old, cut or gone makes nobody believe more: a number that is not that of the blocks
//! proves nothing.

use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf, absolute};

use benzene_engine::clock;
use benzene_engine::journal::MOUNT_DOUBTFUL;
use benzene_engine::ring::host;

use super::hold::is_for_want_of_room;
use super::journal::JournalError;
use crate::config::DataDirectory;

/// The note in a journal's directory: the data directories of the run that was last, a line each.
pub(super) const DATA_NAME: &str = "data";

/// The number of the data directories' mounts, which are noted in the journal's directory.
pub(super) fn note(journal: &Path, data: &[DataDirectory]) -> Result<u32, JournalError> {
    let paths: Vec<PathBuf> = data
        .iter()
        .map(|it| absolute(&it.path).unwrap_or_else(|_| it.path.clone()))
        .collect();
    let lines: Vec<&[u8]> = paths.iter().map(|it| it.as_os_str().as_bytes()).collect();
    let (path, text) = (journal.join(DATA_NAME), lines.join(&b'\n'));
    // A full disk has no room for it anew.
    if !fs::read(&path).is_ok_and(|there| there == text)
        && let Err(source) = fs::write(&path, text)
    {
        if !is_for_want_of_room(&source) {
            return Err(JournalError::Directory { path, source });
        }
        // Without it the tools believe nothing that is not on its device.
        drop(fs::remove_file(&path));
        tracing::warn!("{}: {source}; the start goes on", path.display());
    }
    Ok(number(paths.iter().map(|it| mount_of(it))))
}

/// The number of the mounts that are noted in a journal's directory, as they are now; none where that is
/// not to be had.
pub(crate) fn noted(journal: &Path) -> Option<u32> {
    let note = fs::read(journal.join(DATA_NAME)).ok()?;
    let paths = note.split(|byte| *byte == b'\n').map(OsStr::from_bytes);
    let mounts: io::Result<Vec<u32>> = paths
        .map(|path| host::mount_number(Path::new(path)))
        .collect();
    mounts.ok().map(|mounts| number(mounts.into_iter()))
}

/// One number of all. Where one of several was mounted anew, what was written last is written again to
/// all.
fn number(mounts: impl Iterator<Item = u32>) -> u32 {
    let number = mounts.fold(0, |all: u32, mount| all.rotate_left(7) ^ mount);
    number.max(MOUNT_DOUBTFUL + 1)
}

/// The number of a data directory's mount (see `host::mount_number`).
fn mount_of(data_dir: &Path) -> u32 {
    host::mount_number(data_dir).unwrap_or_else(|error| {
        tracing::warn!(
            "the mount of the data directory {} is not to be had: {error}; what was written last is \
             written again after each start",
            data_dir.display()
        );
        no_number()
    })
}

/// A number that no other start has. The process's own would not do: in a container each start may have the
/// same, also behind a power cut.
fn no_number() -> u32 {
    // Two random keys, of the kernel's making.
    let random = RandomState::new().hash_one(clock::now().instant);
    let [a, b, c, d, ..] = random.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_mount_has_no_number_each_start_has_its_own() {
        let root = tempfile::tempdir().unwrap();
        let data = DataDirectory::of(root.path().join("away"));
        let numbers: Vec<u32> = (0..4)
            .map(|_| note(root.path(), std::slice::from_ref(&data)).unwrap())
            .collect();
        for (index, number) in numbers.iter().enumerate() {
            assert_ne!(*number, MOUNT_DOUBTFUL);
            assert!(!numbers[..index].contains(number), "{numbers:?}");
        }
        assert_eq!(noted(root.path()), None, "the tools believe nothing");
    }
}
