//! What goes of the files of earlier runs before anything is made anew. First those that owe nothing and
//! would only take room, which the journal's disk may not have twice.
//! Then, of a journal past its bound because starts were cut off in their replay, again and again: each
//! has noted anew what earlier runs owe, and these copies mean nothing until a replay is at its end. What
//! such a start has left that holds nothing of its own is removed; and while the journal is past its bound
//! all the same, senders wait until the replay is over (`RecallConfig::is_past_bound`), so that this start
//! too leaves nothing of its own.
//! No start removes a file with a point that may be owed, or one that says what earlier epochs owe. In doubt
//! a file stays: damage, a doubt about the data's device, an error.
//! Nothing is accepted meanwhile: a run with points of its own is read no further than to the first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use benzene_engine::journal::block::{Head, Kind};
use benzene_engine::journal::entry::{Entry, PointDecoder};
use benzene_engine::journal::survey::{SegmentFile, Survey};
use benzene_engine::journal::walk::{Effort, Step, Walk};
use benzene_engine::journal::{FileName, MOUNT_DOUBTFUL};
use benzene_engine::ring::host;

use super::journal::JournalError;
use super::look::{list, look_through};
use super::reading::{Stretch, read_at};

/// Removes what owes nothing: what is left. A file stays where the blocks that say so of it cannot be
/// brought to their disk, for a power cut must not leave less than these say.
pub(super) fn remove_ended(mut survey: Survey) -> Survey {
    let is_ended = |file: &&SegmentFile| {
        let is_blank = || host::is_blank(&file.path).unwrap_or(false);
        survey.owes_nothing(file) || (file.key.is_none() && is_blank())
    };
    let mut ended: Vec<SegmentFile> = survey.files.iter().filter(is_ended).cloned().collect();
    if ended.is_empty() || sync_last(&survey).is_err() {
        return survey;
    }
    // Points before the names that they need, and the oldest first.
    ended.sort_by_key(|file| {
        file.key
            .map(|key| (key.kind, key.epoch, key.shard, key.segment))
    });
    ended.retain(|file| remove_file(file) > 0);
    let gone: BTreeSet<PathBuf> = ended.into_iter().map(|file| file.path).collect();
    survey.files.retain(|file| !gone.contains(&file.path));
    survey
}

/// Brings the last segment of each stream to its disk.
fn sync_last(survey: &Survey) -> io::Result<()> {
    let mut last: BTreeMap<(u32, u16), (u32, &Path)> = BTreeMap::new();
    for file in &survey.files {
        if let Some(key) = file.key.filter(|key| key.kind == Kind::Points) {
            let this = (key.segment, file.path.as_path());
            let at = last.entry((key.epoch, key.shard)).or_insert(this);
            *at = this.max(*at);
        }
    }
    let mut last = last.into_values();
    last.try_for_each(|(_, path)| File::open(path)?.sync_data())
}

/// Removes all of a journal: what it has is in files, and on their disk. What was set aside stays. Oldest
/// first, so that what a kill leaves is read as it stands. Says how many files.
pub(super) fn remove_all(directory: &Path) -> io::Result<u64> {
    let named = |(path, _): (PathBuf, u64)| {
        let name = FileName::parse(path.file_name()?.to_str()?)?;
        Some(((name.kind, name.epoch, name.shard, name.number), path))
    };
    let files: BTreeMap<_, PathBuf> = list(directory)?.into_iter().filter_map(named).collect();
    for path in files.values() {
        fs::remove_file(path)?;
    }
    Ok(files.len() as u64)
}

/// Keeps a journal of earlier runs within its bound, as far as that loses nothing: what is left, and
/// whether it is past the bound.
pub(super) fn remove(
    directory: &Path,
    survey: Survey,
    bytes_max: u64,
) -> Result<(Survey, bool), JournalError> {
    if bytes(&survey) <= bytes_max {
        return Ok((survey, false));
    }
    let is_blank = |file: &SegmentFile| host::is_blank(&file.path).unwrap_or(false);
    let (blank, written): (Vec<SegmentFile>, Vec<SegmentFile>) =
        (survey.files.iter().cloned()).partition(|file| file.key.is_none() && is_blank(file));
    let mut removed: u64 = blank.iter().map(remove_file).sum();
    let epochs: BTreeSet<u32> = written.iter().filter_map(epoch).collect();
    for number in epochs {
        let of = written.iter().filter(|file| epoch(file) == Some(number));
        let of: Vec<SegmentFile> = of.cloned().collect();
        if is_empty_handed(&of, number, &mut read) {
            removed += of.iter().map(remove_file).sum::<u64>();
        }
    }
    let mut left = Survey::new(look_through(directory)?).map_err(JournalError::Newer)?;
    // What was removed is not to come back under a number that is used anew.
    left.epoch_highest = survey.epoch_highest;
    let (bytes, mib) = (bytes(&left), |bytes: u64| bytes >> 20);
    tracing::warn!(
        "the journal was past its bound of {} MiB, after starts that were ended in their replay: \
         {removed} files that held nothing of their own are removed, and it takes {} MiB",
        mib(bytes_max),
        mib(bytes)
    );
    // A stop may have taken a little more.
    let is_past = bytes > bytes_max + bytes_max / 4;
    if is_past {
        tracing::warn!("senders wait until what earlier runs owe is read");
    }
    Ok((left, is_past))
}

/// What the files take on their disk.
fn bytes(survey: &Survey) -> u64 {
    let taken = |file: &SegmentFile| fs::metadata(&file.path).map_or(0, |it| it.blocks() * 512);
    survey.files.iter().map(taken).sum()
}

/// The run that a file is of, by its first block, or by its name.
fn epoch(file: &SegmentFile) -> Option<u32> {
    let name = || FileName::parse(file.path.file_name()?.to_str()?);
    let known = file.key.map(|key| key.epoch);
    known.or_else(|| name().map(|name| name.epoch))
}

/// Has a run left nothing but copies, with its replay not at its end?
fn is_empty_handed(
    files: &[SegmentFile],
    epoch: u32,
    read: &mut impl FnMut(&Path, u64, usize) -> io::Result<Vec<u8>>,
) -> bool {
    // Points first, which mostly tell in their first block; each shard's in order.
    let mut files: Vec<&SegmentFile> = files.iter().collect();
    files.sort_by_key(|file| {
        let key = file.key.map(|key| (key.kind, key.shard, key.segment));
        (key.is_none(), key)
    });
    let mut run = Run {
        epoch,
        serials: BTreeMap::new(),
    };
    files.iter().all(|file| run.owns_nothing_in(file, read))
}

/// A run of the daemon whose files are read.
struct Run {
    epoch: u32,
    /// Points that each shard has noted so far.
    serials: BTreeMap<u16, u64>,
}

impl Run {
    /// Is everything in a file of a replay that was cut off? One without a sound block was just begun.
    fn owns_nothing_in(
        &mut self,
        file: &SegmentFile,
        read: &mut impl FnMut(&Path, u64, usize) -> io::Result<Vec<u8>>,
    ) -> bool {
        let mut walk = Walk::new(file.key, 0, file.bytes);
        let mut stretch = Stretch::default();
        loop {
            match walk.step(stretch.from(walk.at()), &mut Effort::boundless()) {
                Step::Block(found) => {
                    let (head, payload) = (&found.block.head, found.block.payload);
                    let is_whole = file.key.is_some() && found.gap.is_none();
                    if !is_whole || !self.is_cut_off(head) || !are_copies(head, payload) {
                        return false;
                    }
                }
                Step::More { until } => {
                    let read = |at, bytes| read(&file.path, at, bytes);
                    let is_read = stretch.go_on((walk.at(), until), read).is_ok();
                    if !is_read || stretch.end() < until {
                        return false;
                    }
                }
                Step::Newer { .. } | Step::Paused => return false,
                Step::End(_) => return true,
            }
        }
    }

    /// Was a block written while earlier epochs owed points, before any sync of the data had failed, and
    /// behind all that its shard had noted?
    fn is_cut_off(&mut self, head: &Head) -> bool {
        let is_early = head.epochs_done < self.epoch && head.mount != MOUNT_DOUBTFUL;
        if head.kind == Kind::Names {
            return is_early;
        }
        let serial = self.serials.entry(head.shard).or_default();
        let follows = *serial == head.serial;
        *serial = head.serial + u64::from(head.entries);
        is_early && follows
    }
}

/// Is every point of a block a copy, and are there as many as its head says? Of names there are none.
fn are_copies(head: &Head, payload: &[u8]) -> bool {
    if head.kind == Kind::Names {
        return true;
    }
    let mut copies = 0;
    let mut entries = PointDecoder::new(payload, head.received_ms);
    while let Some(entry) = entries.next() {
        match entry {
            Ok(Entry::Point { .. }) if entries.is_copy() => copies += 1,
            Ok(Entry::Point { .. }) | Err(_) => return false,
            Ok(
                Entry::Written { .. }
                | Entry::WrittenPart { .. }
                | Entry::Mark(_)
                | Entry::DataSynced(_),
            ) => {}
        }
    }
    copies == head.entries
}

/// So many bytes of a file, fewer where it ends.
fn read(path: &Path, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
    read_at(&File::open(path)?, offset, bytes)
}

fn remove_file(file: &SegmentFile) -> u64 {
    match fs::remove_file(&file.path) {
        Ok(()) => 1,
        Err(error) => {
            tracing::warn!("{} stays: {error}", file.path.display());
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use benzene_engine::journal::entry::PointEncoder;
    use benzene_engine::journal::name_entry::NameEncoder;
    use benzene_engine::point::Point;

    use super::*;

    const POINT: Point = Point {
        timestamp: 1_700_000_000,
        value: 1.5,
    };

    /// A run that has noted a name, and so many points of it that it received, and copies.
    fn run(directory: &Path, epoch: u32, (own, copies): (u32, u32), change: impl Fn(&mut Head)) {
        let mut head = Head {
            kind: Kind::Names,
            shard: 0,
            epoch,
            segment: 0,
            block: 0,
            generation: 0,
            serial: 0,
            received_ms: 1_700_000_000_000,
            entries: 1,
            retired: 0,
            epochs_done: 1,
            mount: 1,
        };
        let mut names = NameEncoder::new(Vec::new());
        names.name(0, "a.b");
        let mut bytes = names.finish();
        head.seal(&mut bytes);
        let path = |number: u32, kind: &str| {
            directory.join(format!("{epoch:08}-00000-{number:08}.{kind}"))
        };
        fs::write(path(1, "names"), bytes).unwrap();
        let mut points = PointEncoder::new(Vec::new(), head.received_ms);
        (0..copies).for_each(|_| points.copied_point(0, POINT, 9));
        (0..own).for_each(|_| points.point(0, POINT));
        let mut bytes = points.finish();
        (head.kind, head.entries) = (Kind::Points, own + copies);
        change(&mut head);
        head.seal(&mut bytes);
        fs::write(path(0, "points"), bytes).unwrap();
        let next = File::create(path(2, "points")).unwrap();
        next.set_len(1 << 20).unwrap();
    }

    fn left(directory: &Path, bytes_max: u64) -> (BTreeSet<u32>, usize, bool) {
        let survey = || Survey::new(look_through(directory).unwrap()).unwrap();
        let highest = survey().epoch_highest;
        let (left, is_past) = remove(directory, survey(), bytes_max).unwrap();
        assert_eq!(left.epoch_highest, highest, "no number is used twice");
        assert_eq!(left.files, survey().files);
        let epochs = left.files.iter().filter_map(epoch).collect();
        (epochs, left.files.len(), is_past)
    }

    #[test]
    fn past_the_bound_what_holds_nothing_of_its_own_goes() {
        let directory = tempfile::tempdir().unwrap();
        run(directory.path(), 1, (3, 0), |_| {});
        run(directory.path(), 2, (0, 3), |_| {});
        run(directory.path(), 3, (1, 3), |_| {});
        run(directory.path(), 4, (0, 3), |_| {});
        assert_eq!(
            left(directory.path(), 1 << 30),
            ((1..=4).collect(), 12, false)
        );
        assert_eq!(left(directory.path(), 1), ([1, 3].into(), 4, true));
    }

    #[test]
    fn a_run_that_earlier_ones_have_ended_in_stays_and_so_does_one_in_doubt() {
        let directory = tempfile::tempdir().unwrap();
        run(directory.path(), 1, (3, 0), |_| {});
        run(directory.path(), 2, (0, 3), |head| head.epochs_done = 2);
        run(directory.path(), 3, (0, 3), |head| {
            head.mount = MOUNT_DOUBTFUL;
        });
        run(directory.path(), 4, (0, 3), |head| head.serial = 9);
        assert_eq!(left(directory.path(), 1).0, (1..=4).collect());
    }

    #[test]
    fn what_owes_nothing_goes_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        run(directory, 1, (3, 0), |_| {});
        run(directory, 2, (3, 0), |head| head.epochs_done = 2);
        run(directory, 3, (3, 0), |head| {
            (head.epochs_done, head.segment, head.retired) = (2, 4, 4);
        });
        // What came before in the last run is in files.
        let retired = tempfile::tempdir().unwrap();
        run(retired.path(), 3, (3, 0), |head| head.segment = 3);
        let from = retired.path().join("00000003-00000-00000000.points");
        fs::copy(from, directory.join("00000003-00000-00000009.points")).unwrap();
        let survey = || Survey::new(look_through(directory).unwrap()).unwrap();
        let left = remove_ended(survey());
        assert_eq!(left.epoch_highest, Some(3));
        assert_eq!(left.files, survey().files);
        let names = left.files.iter().map(|file| file.path.file_name().unwrap());
        let expected = [
            "00000002-00000-00000000.points",
            "00000002-00000-00000001.names",
            "00000003-00000-00000000.points",
            "00000003-00000-00000001.names",
        ];
        assert!(names.eq(expected), "{:?}", left.files);
    }

    #[test]
    fn a_run_with_points_of_its_own_is_read_no_further_than_to_the_first() {
        let directory = tempfile::tempdir().unwrap();
        run(directory.path(), 1, (1000, 0), |_| {});
        run(directory.path(), 2, (0, 1000), |_| {});
        for epoch in [1, 2] {
            let points = format!("{epoch:08}-00000-00000000.points");
            let file = File::options()
                .write(true)
                .open(directory.path().join(points));
            file.unwrap().set_len(64 << 20).unwrap();
        }
        let survey = Survey::new(look_through(directory.path()).unwrap()).unwrap();
        let bytes_read = |epoch: u32, is_empty: bool| {
            let of = survey
                .files
                .iter()
                .filter(|file| super::epoch(file) == Some(epoch));
            let of: Vec<SegmentFile> = of.cloned().collect();
            let mut bytes_read = 0;
            let found = is_empty_handed(&of, epoch, &mut |path, offset, bytes| {
                bytes_read += bytes;
                read(path, offset, bytes)
            });
            assert_eq!(found, is_empty, "run {epoch}");
            bytes_read
        };
        assert_eq!(bytes_read(1, false), Stretch::BYTES);
        assert!(bytes_read(2, true) > 32 << 20, "it is looked at in whole");
    }
}
