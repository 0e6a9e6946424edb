//! What becomes of the files of earlier runs once those owe nothing: they go, but for those that not
//! every shard could read. What a shard missed there may be in no file, and a disk, a cable or another
//! kernel may give it yet: they are set aside, with all of their stream, so that names and what is
//! written stand beside the points.
//! Pure. What is set aside is bounded in bytes; a stream that does not fit goes all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::journal::survey::{self, SegmentFile};

/// Files of earlier runs that not every shard could read, to be said once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// These.
    pub unread: BTreeSet<PathBuf>,
    /// The files that are set aside: they and the others of their streams.
    pub aside: Vec<PathBuf>,
    /// How many such files are removed, as there was no room for them.
    pub gone: usize,
}

/// Sorts files into those that go and those that are set aside, of at most so many bytes: returns the
/// ones that go, and what is to be said where there are unread ones.
pub(super) fn sort(
    segments: Vec<SegmentFile>,
    unread: BTreeSet<PathBuf>,
    bytes_max: u64,
) -> (Vec<PathBuf>, Option<Kept>) {
    let mut streams: BTreeMap<_, Vec<SegmentFile>> = BTreeMap::new();
    for segment in segments {
        streams.entry(stream(&segment)).or_default().push(segment);
    }
    let (mut gone, mut left) = (Vec::new(), bytes_max);
    let mut kept = Kept {
        unread,
        aside: Vec::new(),
        gone: 0,
    };
    for files in streams.into_values() {
        let is_unread = files.iter().any(|file| kept.unread.contains(&file.path));
        let (count, bytes) = (files.len(), files.iter().map(|file| file.bytes).sum());
        let paths = files.into_iter().map(|file| file.path);
        if is_unread && left >= bytes {
            left -= bytes;
            kept.aside.extend(paths);
        } else {
            gone.extend(paths);
            kept.gone += if is_unread { count } else { 0 };
        }
    }
    let is_said = !kept.unread.is_empty();
    (gone, is_said.then_some(kept))
}

/// The directory, epoch and shard that a file is of: by its first block, or by its name.
fn stream(file: &SegmentFile) -> (PathBuf, Option<(u32, u16)>) {
    let directory = file.path.parent().unwrap_or(&file.path);
    let known = file.key.map(|key| (key.epoch, key.shard));
    let by_name = || survey::named(&file.path).map(|name| (name.epoch, name.shard));
    (directory.to_owned(), known.or_else(by_name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::block::Kind;
    use crate::journal::walk::SegmentKey;

    const UNREAD: &str = "/j/00000002-00000-00000000.points";
    const ITS_NAMES: &str = "/j/00000002-00000-00000001.names";
    const ANOTHER: &str = "/j/00000002-00001-00000000.points";

    fn file(name: &str, key: Option<(u32, u16)>) -> SegmentFile {
        let key = key.map(|(epoch, shard)| SegmentKey {
            epoch,
            shard,
            kind: Kind::Points,
            segment: 0,
        });
        SegmentFile {
            path: PathBuf::from(name),
            bytes: 100,
            key,
        }
    }

    fn sorted(bytes_max: u64, unread: &[&str]) -> (Vec<PathBuf>, Option<Kept>) {
        let segments = vec![
            file(UNREAD, None),
            file(ITS_NAMES, Some((2, 0))),
            file(ANOTHER, Some((2, 1))),
            file("/other/00000002-00000-00000000.points", Some((2, 0))),
        ];
        let unread = unread.iter().map(PathBuf::from).collect();
        sort(segments, unread, bytes_max)
    }

    #[test]
    fn what_could_not_be_read_is_set_aside_with_its_stream() {
        let (gone, kept) = sorted(200, &[UNREAD]);
        let kept = kept.unwrap();
        assert_eq!(kept.aside, [UNREAD, ITS_NAMES].map(PathBuf::from));
        assert_eq!((kept.unread.len(), kept.gone), (1, 0));
        assert_eq!(gone.len(), 2, "{gone:?}");
    }

    #[test]
    fn what_finds_no_room_goes_and_is_counted() {
        let (gone, kept) = sorted(199, &[UNREAD, ANOTHER]);
        let kept = kept.unwrap();
        assert_eq!(kept.aside, [PathBuf::from(ANOTHER)]);
        assert_eq!((kept.gone, gone.len()), (2, 3));
    }

    #[test]
    fn what_was_read_goes_in_silence() {
        let (gone, kept) = sorted(u64::MAX, &[]);
        assert_eq!((gone.len(), kept), (4, None));
    }
}
