//! The Whisper files below data directories, for the tools that look at all of them.
//! A directory is entered once, known by its device and inode, whatever links lead to it: under its own
//! name where a data directory has it, and through a link only where none does. So a circle of links
//! ends, and a file has one place. A link to a file is a metric of its own and is kept.
//! Only directories are read, one at a time. Held are one pair of numbers for each that was entered and
//! one path for each that waits. On failure: a directory that cannot be read is counted and passed over.

use std::collections::VecDeque;
use std::fs::{self, DirEntry, Metadata, ReadDir};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hashbrown::HashSet;

/// A file or directory, whatever its names.
pub(super) type Identity = (u64, u64);

/// By what a file or directory is known.
pub(super) fn identity(found: &Metadata) -> Identity {
    (found.dev(), found.ino())
}

/// A file, and which of the data directories has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WhisperFile {
    /// The number of the data directory.
    pub(super) root: usize,
    /// Below the data directory.
    pub(super) place: PathBuf,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// The walk.
#[derive(Debug)]
pub(super) struct WhisperFiles<'a> {
    roots: Vec<&'a Path>,
    /// The directory that is being read.
    open: Option<(usize, ReadDir)>,
    /// Directories by their own names.
    waiting: Vec<(usize, PathBuf)>,
    /// Directories that links lead to.
    linked: VecDeque<(usize, PathBuf)>,
    entered: HashSet<Identity>,
    /// Of each data directory, how many directories could not be read.
    closed: Vec<u64>,
}

impl<'a> WhisperFiles<'a> {
    /// A walk over data directories.
    pub(super) fn below(roots: &[&'a Path]) -> WhisperFiles<'a> {
        let waiting = roots.iter().map(|root| root.to_path_buf());
        WhisperFiles {
            roots: roots.to_vec(),
            open: None,
            waiting: waiting.enumerate().collect(),
            linked: VecDeque::new(),
            entered: HashSet::new(),
            closed: vec![0; roots.len()],
        }
    }

    /// Of each data directory, how many directories below it could not be read so far.
    pub(super) fn closed(&self) -> &[u64] {
        &self.closed
    }

    /// Opens the next directory that was not entered before; false where there is none.
    fn enter(&mut self) -> bool {
        while let Some((root, path)) = self.waiting.pop().or_else(|| self.linked.pop_front()) {
            match fs::metadata(&path) {
                Ok(found) if !self.entered.insert(identity(&found)) => continue,
                Ok(_) => {}
                Err(_) => {
                    self.closed[root] += 1;
                    continue;
                }
            }
            match fs::read_dir(&path) {
                Ok(entries) => {
                    self.open = Some((root, entries));
                    return true;
                }
                Err(_) => self.closed[root] += 1,
            }
        }
        false
    }

    /// Has a directory wait, and hands a Whisper file on.
    fn sort(&mut self, root: usize, entry: &DirEntry) -> Option<WhisperFile> {
        let path = entry.path();
        let kind = entry.file_type().ok()?;
        if kind.is_dir() {
            self.waiting.push((root, path));
            return None;
        }
        let target = kind.is_symlink().then(|| fs::metadata(&path));
        if let Some(Ok(found)) = &target
            && found.is_dir()
        {
            self.linked.push_back((root, path));
            return None;
        }
        let is_file = match target {
            None => kind.is_file(),
            Some(Ok(found)) => found.is_file(),
            // Whoever opens it says what is wrong with it.
            Some(Err(_)) => true,
        };
        let is_whisper = is_file && path.extension().is_some_and(|ending| ending == "wsp");
        is_whisper.then(|| WhisperFile {
            root,
            place: path
                .strip_prefix(self.roots[root])
                .unwrap_or(&path)
                .to_owned(),
            path,
        })
    }
}

impl Iterator for WhisperFiles<'_> {
    type Item = WhisperFile;

    fn next(&mut self) -> Option<WhisperFile> {
        loop {
            let Some((root, entries)) = &mut self.open else {
                if self.enter() {
                    continue;
                }
                return None;
            };
            let root = *root;
            match entries.next() {
                Some(Ok(entry)) => {
                    if let Some(file) = self.sort(root, &entry) {
                        return Some(file);
                    }
                }
                // The kernel reads no more of this directory.
                Some(Err(_)) => {
                    self.closed[root] += 1;
                    self.open = None;
                }
                None => self.open = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn put(root: &Path, place: &str) {
        let path = root.join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    fn found(roots: &[&Path]) -> Vec<(usize, String)> {
        let files = WhisperFiles::below(roots);
        let mut found: Vec<_> = files
            .map(|file| (file.root, file.place.display().to_string()))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn a_file_is_met_once_whatever_links_lead_to_it() {
        let root = tempfile::tempdir().unwrap();
        let at = |place: &str| root.path().join(place);
        put(root.path(), "a/b/c.wsp");
        put(root.path(), "a/notes.txt");
        for circle in ["x", "y", "a/up"] {
            symlink(root.path(), at(circle)).unwrap();
        }
        // Met before or after the directory itself: its own name counts.
        for alias in ["0", "z"] {
            symlink(at("a/b"), at(alias)).unwrap();
        }
        symlink(at("a/b/c.wsp"), at("a/alias.wsp")).unwrap();
        symlink(at("nowhere"), at("a/broken.wsp")).unwrap();
        let all = ["a/alias.wsp", "a/b/c.wsp", "a/broken.wsp"];
        assert_eq!(
            found(&[root.path()]),
            all.map(|place| (0, place.to_owned()))
        );
    }

    #[test]
    fn what_lies_elsewhere_is_found_through_its_link() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        put(other.path(), "d/e.wsp");
        symlink(other.path(), root.path().join("far")).unwrap();
        assert_eq!(found(&[root.path()]), [(0, "far/d/e.wsp".to_owned())]);
        // Another data directory has it itself.
        let both = [root.path(), other.path()];
        assert_eq!(found(&both), [(1, "d/e.wsp".to_owned())]);
    }

    #[test]
    fn what_cannot_be_read_is_counted() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "a.wsp");
        let gone = root.path().join("gone");
        let roots = [root.path(), &gone];
        let mut files = WhisperFiles::below(&roots);
        assert_eq!(files.by_ref().count(), 1);
        assert_eq!(files.closed(), [0, 1]);
    }
}
