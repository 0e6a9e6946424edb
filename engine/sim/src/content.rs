//! Whisper files as everybody reads them: where a metric's file is, and what is in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use benzene_engine::metric::{Metric, TaggedLeaf};
use benzene_engine::whisper::{Header, archive_points};

use crate::settings::Settings;
use crate::workload::Workload;

/// Where data files are.
pub(crate) const DATA_DIR: &str = "/data";
/// Where the journal is.
pub(crate) const JOURNAL_DIR: &str = "/journal";
/// The first archives reach further back than a run lasts (`world::REACH_US`).
pub(crate) const SCHEMAS: &str = "\
[once]
pattern = ^once\\.
retentions = 1m:6h
[all]
pattern = .*
retentions = 1s:6h,1m:2d
";
/// The same where points are older than that: a first archive whose length no sender has as a step.
pub(crate) const SCHEMAS_FAR: &str = "\
[once]
pattern = ^once\\.
retentions = 1m:6h
[all]
pattern = .*
retentions = 1:607,60:720
";
/// Behind a head and the entry of one archive, or of two, and behind the first one.
const FAR_BASES: [usize; 3] = [28, 40, 40 + 607 * POINT_BYTES];
const NEAR_BASES: [usize; 3] = [28, 40, 40 + 6 * 3_600 * POINT_BYTES];
/// A minute of these metrics is known where one second of it is, so that few points say much of the
/// second archive; one of the others where half of it is.
pub(crate) const AGGREGATIONS: &str = "\
[sparse]
pattern = \\.host[0-3]\\.
xFilesFactor = 0
";
/// How far back the archives of a metric reach, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// The first one.
    pub(crate) first_s: u32,
    /// The last one.
    pub(crate) last_s: u32,
}

/// Bytes of a point in a file.
const POINT_BYTES: usize = 12;

/// The file of a metric.
pub(crate) fn file_of(metric: usize) -> PathBuf {
    let (name, mut scratch) = (Workload::name(metric), String::new());
    let Ok(parsed) = Metric::parse(&name, &mut scratch) else {
        unreachable!("{name} is a metric")
    };
    Path::new(DATA_DIR).join(parsed.file_path(TaggedLeaf::Hashed))
}

/// How far back the archives of a metric reach, by the schemas above.
pub(crate) fn reach(metric: usize, is_far: bool) -> Reach {
    const HOUR_S: u32 = 3_600;
    let (first_s, last_s) = match (Workload::comes_once(metric), is_far) {
        (true, _) => (6 * HOUR_S, 6 * HOUR_S),
        (false, false) => (6 * HOUR_S, 48 * HOUR_S),
        (false, true) => (607, 12 * HOUR_S),
    };
    Reach { first_s, last_s }
}

/// Where the first points of archives lie, from which the places of all others are counted, if a failed
/// sync of the data loses none of them: where first archives are short such a point may be too old to be
/// written again, and where the journal cannot be read it may not come back (docs/decisions/0015).
pub(crate) fn bases(settings: &Settings) -> &'static [usize] {
    match (settings.is_far, settings.troubles.has_unreadable) {
        (true, _) => &FAR_BASES,
        (false, true) => &NEAR_BASES,
        (false, false) => &[],
    }
}

/// Is this a file that somebody broke?
pub(crate) fn is_broken(bytes: &[u8]) -> bool {
    Header::parse(bytes).map_or(true, |header| header.file_bytes() != bytes.len() as u64)
}

/// How many seconds of a minute have to be there for its average.
pub(crate) fn seconds_wanted(metric: usize) -> usize {
    if Workload::host(metric) < 4 { 1 } else { 30 }
}

/// How many archives a sound file has.
pub(crate) fn archives(bytes: &[u8]) -> usize {
    header_of(bytes).archives.len()
}

/// The points of a sound file's archive.
pub(crate) fn points_of(bytes: &[u8], archive: usize) -> BTreeMap<u32, f64> {
    let archive = header_of(bytes).archives[archive];
    let (Ok(start), Ok(length)) = (
        usize::try_from(archive.offset),
        usize::try_from(archive.bytes()),
    ) else {
        unreachable!("the file is in memory")
    };
    // As Python reads: what does not belong into its slot, counted from the first, is not there.
    let slots = &bytes[start..start + length];
    let point = |slot: &[u8]| {
        let is_empty = slot[..4] == [0; 4];
        (!is_empty).then(|| archive_points(&archive, slot).pop())?
    };
    let Some(base) = point(&slots[..POINT_BYTES]) else {
        return BTreeMap::new();
    };
    let count = i64::from(archive.points);
    let numbered = (0_i64..).zip(slots.chunks_exact(POINT_BYTES));
    let points = numbered.filter_map(|(number, slot)| {
        let point = point(slot)?;
        let steps =
            (i64::from(point.timestamp) - i64::from(base.timestamp)) / i64::from(archive.step_s);
        (steps.rem_euclid(count) == number).then_some((point.timestamp, point.value))
    });
    points.collect()
}

fn header_of(bytes: &[u8]) -> Header {
    let header = match Header::parse(bytes) {
        Ok(header) => header,
        Err(error) => panic!("a file has no header: {error}"),
    };
    assert_eq!(
        header.file_bytes(),
        bytes.len() as u64,
        "a file is not whole"
    );
    header
}
