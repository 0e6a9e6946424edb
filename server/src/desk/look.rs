//! A look through a journal's directory: its files with their first bytes, before anything is accepted.
//! Changes nothing. A file whose first bytes the disk does not give has none here, and the replay looks
//! for what else is in it; one that this user may not read, and a directory that cannot be listed, end
//! the start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use benzene_engine::journal::survey::{Looked, Survey, is_aside};

use super::journal::{JournalError, is_note};
use super::reading::first_bytes;

/// What lies in a journal's directory that may owe points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// A journal. One that cannot be read by this version is one too.
    pub(super) has_journal: bool,
    /// So many files that were set aside.
    pub(super) aside: usize,
}

/// Whether a directory has a journal in it.
pub(super) fn lies_in(directory: &Path) -> bool {
    left_in(directory).has_journal
}

/// What a directory has in it.
pub(super) fn left_in(directory: &Path) -> Left {
    let files = look(directory, first_bytes, |_, _| {}).unwrap_or_default();
    Left {
        aside: files.iter().filter(|it| is_aside(&it.path)).count(),
        has_journal: Survey::new(files).map_or(true, |survey| !survey.files.is_empty()),
    }
}

/// The files of the directory with their first bytes. One whose first bytes the disk does not give has
/// none, and the replay looks for what else is in it; one that this user may not read is an error.
pub(super) fn look_through(directory: &Path) -> Result<Vec<Looked>, JournalError> {
    look(directory, first_bytes, |path, error| {
        tracing::warn!(
            "the first bytes of {} cannot be read: {error}; the start goes on, and what else is in it is \
             read",
            path.display()
        );
    })
}

fn look(
    directory: &Path,
    read: impl Fn(&Path, u64) -> io::Result<Vec<u8>>,
    say: impl Fn(&Path, &io::Error),
) -> Result<Vec<Looked>, JournalError> {
    let listed = list(directory).map_err(|source| JournalError::Directory {
        path: directory.to_owned(),
        source,
    })?;
    let look = |(path, bytes): (PathBuf, u64)| {
        let first = match read(&path, bytes) {
            Ok(first) => first,
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Err(JournalError::File { path, source });
            }
            Err(error) => {
                say(&path, &error);
                Vec::new()
            }
        };
        Ok(Looked { path, bytes, first })
    };
    listed.into_iter().map(look).collect()
}

/// The files of the directory that may be the journal's, with their lengths.
pub(super) fn list(directory: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if !is_note(&path) && entry.file_type()?.is_file() {
            files.push((path, entry.metadata()?.len()));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::journal::NOTES;
    use super::*;

    const EIO: i32 = 5;
    const EACCES: i32 = 13;
    const BROKEN: &str = "00000001-00000-00000000.points";

    /// A directory of three files, of which one cannot be read: what is found, and what is said.
    fn looked(errno: i32) -> (Result<Vec<Looked>, JournalError>, Vec<PathBuf>) {
        let directory = tempfile::tempdir().unwrap();
        for name in [BROKEN, "00000001-00000-00000001.names", NOTES[0]] {
            fs::write(directory.path().join(name), "written").unwrap();
        }
        let read = |path: &Path, _| {
            if path.ends_with(BROKEN) {
                return Err(io::Error::from_raw_os_error(errno));
            }
            Ok(b"first".to_vec())
        };
        let said = RefCell::new(Vec::new());
        let say = |path: &Path, _: &io::Error| said.borrow_mut().push(path.to_owned());
        let looked = look(directory.path(), read, say);
        (looked, said.into_inner())
    }

    #[test]
    fn a_file_whose_first_bytes_cannot_be_read_is_one_of_the_journal_and_named() {
        let (looked, said) = looked(EIO);
        let looked = looked.unwrap();
        assert_eq!(looked.len(), 2, "{looked:?}");
        let broken = looked.iter().find(|it| it.path.ends_with(BROKEN)).unwrap();
        assert_eq!((broken.bytes, broken.first.len()), (7, 0));
        assert_eq!(said, std::slice::from_ref(&broken.path));
        let survey = Survey::new(looked.clone()).unwrap();
        assert!(survey.files.iter().any(|file| file.path == broken.path));
    }

    #[test]
    fn what_was_set_aside_is_left_though_no_journal_is() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(directory.path().join(name), "written").unwrap();
        let left = || {
            let Left { has_journal, aside } = left_in(directory.path());
            assert_eq!(lies_in(directory.path()), has_journal);
            (has_journal, aside)
        };
        write(NOTES[0]);
        assert_eq!(left(), (false, 0));
        write(&format!("{BROKEN}.aside"));
        assert_eq!(left(), (false, 1));
        write(BROKEN);
        assert_eq!(left(), (true, 1));
    }

    #[test]
    fn a_file_that_this_user_may_not_read_ends_the_start_with_what_to_do() {
        let (looked, said) = looked(EACCES);
        let error = looked.unwrap_err();
        assert!(matches!(error, JournalError::File { .. }), "{error}");
        assert!(error.to_string().contains("chown"), "{error}");
        assert!(said.is_empty(), "{said:?}");
    }
}
