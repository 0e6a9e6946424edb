//! Which configuration files have changed, by a look at each from time to time: replaced by a rename,
//! written in place, deleted and come into being alike, and on any file system.
//! A file counts as changed once two looks have found the same that is not what was taken over, so
//! that one that is being written is not read half.
//! One that root has read at the start and the daemon's user may not is left alone until it changes.
//! Never reads a file's text; what it was is known by a hash of it (`config::Ruled::print`).

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;

use crate::config::Settings;

/// What a configuration file is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// carbon.conf.
    Conf,
    /// storage-schemas.conf.
    Schemas,
    /// storage-aggregation.conf.
    Aggregation,
    /// blacklist.conf.
    Blacklist,
    /// whitelist.conf.
    Whitelist,
}

/// What a look at a file found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    /// Nothing that could be read.
    Missing,
    /// Device, inode, length, and when text and inode changed last.
    There([u64; 3], [i64; 4]),
}

#[derive(Debug)]
struct Watched {
    source: Source,
    path: PathBuf,
    /// What the last look found.
    last: Mark,
    /// What it was when it was taken over or refused; none where it was not looked at then.
    done: Option<Mark>,
    /// Hash of the text that holds; none where there is no such file.
    print: Option<u64>,
    /// What stands there now is refused, and what was there before holds.
    is_refused: bool,
}

impl Watched {
    /// A file whose text was read a moment ago, if there is one.
    fn new(source: Source, path: &Path, print: Option<u64>) -> Self {
        Self {
            source,
            path: path.to_owned(),
            last: Mark::Missing,
            // It may have changed since it was read: it is read once more, where that can be.
            done: is_out_of_reach(path).then(|| look_at(path)),
            print,
            is_refused: false,
        }
    }
}

/// The files that are watched.
#[derive(Debug)]
pub(super) struct Watch {
    files: Vec<Watched>,
}

fn look_at(path: &Path) -> Mark {
    std::fs::metadata(path).map_or(Mark::Missing, |found| {
        Mark::There(
            [found.dev(), found.ino(), found.len()],
            [
                found.mtime(),
                found.mtime_nsec(),
                found.ctime(),
                found.ctime_nsec(),
            ],
        )
    })
}

/// The files that are watched for these settings.
fn files_of(settings: &Settings) -> Vec<(Source, &Path)> {
    let rules = &settings.rule_files;
    let conf = settings.config_file.iter();
    let mut files: Vec<(Source, &Path)> = conf.map(|path| (Source::Conf, path.as_path())).collect();
    if let Some(storage) = &rules.storage {
        files.push((Source::Schemas, &storage.schemas));
        files.push((Source::Aggregation, &storage.aggregation));
    }
    if let Some(lists) = &rules.lists {
        files.push((Source::Blacklist, &lists.blacklist));
        files.push((Source::Whitelist, &lists.whitelist));
    }
    files
}

/// The configuration files that are there and that the present user may not read.
pub(crate) fn out_of_reach(settings: &Settings) -> Vec<&Path> {
    let files = files_of(settings).into_iter().map(|(_, path)| path);
    files.filter(|path| is_out_of_reach(path)).collect()
}

fn is_out_of_reach(path: &Path) -> bool {
    let access = rustix::fs::accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS);
    access == Err(Errno::ACCESS)
}

impl Watch {
    /// Watches the files of these settings, of whose rules these texts hold.
    pub(super) fn new(settings: &Settings, prints: &BTreeMap<PathBuf, u64>) -> Self {
        let files = files_of(settings);
        let files = files
            .into_iter()
            .map(|(source, path)| Watched::new(source, path, prints.get(path).copied()));
        Self {
            files: files.collect(),
        }
    }

    /// Looks at every file; says which have changed and are at rest again.
    pub(super) fn look(&mut self) -> Vec<(Source, PathBuf)> {
        let changed = self.files.iter_mut().filter_map(|file| {
            let mark = look_at(&file.path);
            let is_at_rest = mark == file.last;
            file.last = mark;
            if !is_at_rest || file.done.as_ref() == Some(&file.last) {
                return None;
            }
            file.done = Some(file.last.clone());
            Some((file.source, file.path.clone()))
        });
        changed.collect()
    }

    /// All files, as they are now.
    pub(super) fn all(&mut self) -> Vec<(Source, PathBuf)> {
        let all = self.files.iter_mut().map(|file| {
            file.last = look_at(&file.path);
            file.done = Some(file.last.clone());
            (file.source, file.path.clone())
        });
        all.collect()
    }

    /// A file's text was refused; what was there before holds.
    pub(super) fn refuse(&mut self, source: Source) {
        for file in self.files.iter_mut().filter(|file| file.source == source) {
            file.is_refused = true;
        }
    }

    /// A file's text is sound. Whether it is another than the one that holds, and whether what stood
    /// there before was refused.
    pub(super) fn accept(&mut self, source: Source, print: Option<u64>) -> (bool, bool) {
        let Some(file) = self.files.iter_mut().find(|file| file.source == source) else {
            unreachable!("{source:?} was read and is not watched")
        };
        let is_new = std::mem::replace(&mut file.print, print) != print;
        (is_new, std::mem::take(&mut file.is_refused))
    }

    /// How many files are refused as they are now.
    pub(super) fn refused(&self) -> usize {
        self.files.iter().filter(|file| file.is_refused).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(path: &Path) -> Watch {
        let mut watch = Watch {
            files: vec![Watched::new(Source::Schemas, path, None)],
        };
        watch.all();
        watch
    }

    /// How often of three looks the file has changed.
    fn changes(watch: &mut Watch) -> Vec<usize> {
        (0..3).map(|_| watch.look().len()).collect()
    }

    #[test]
    fn each_way_of_changing_is_seen_once_and_at_rest_only() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        let mut watch = watch(&path);
        assert_eq!(changes(&mut watch), [0, 0, 0]);
        std::fs::write(&path, "one").unwrap();
        assert_eq!(changes(&mut watch), [0, 1, 0], "it came into being");
        std::fs::write(&path, "longer").unwrap();
        assert_eq!(watch.look(), []);
        std::fs::write(&path, "longer still").unwrap();
        assert_eq!(changes(&mut watch), [0, 1, 0], "it was being written");
        std::fs::write(&other, "longer yet so").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(changes(&mut watch), [0, 1, 0], "it was replaced");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(changes(&mut watch), [0, 1, 0], "it is gone");
    }

    #[test]
    fn what_was_read_at_the_start_is_looked_at_once_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "one").unwrap();
        let mut fresh = watch(&path);
        fresh.files[0].done = None;
        fresh.files[0].last = Mark::Missing;
        assert_eq!(changes(&mut fresh), [0, 1, 0]);
    }

    #[test]
    fn a_text_is_new_once_and_what_was_refused_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = watch(&dir.path().join("a"));
        assert_eq!(watch.accept(Source::Schemas, Some(7)), (true, false));
        assert_eq!(watch.accept(Source::Schemas, Some(7)), (false, false));
        watch.refuse(Source::Schemas);
        assert_eq!(watch.refused(), 1);
        assert_eq!(watch.accept(Source::Schemas, Some(7)), (false, true));
        assert_eq!(watch.refused(), 0);
    }
}
