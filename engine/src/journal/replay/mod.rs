//! What the journal of earlier processes owes to one shard of this one, given out in order.
//! Every shard reads the streams of all shards of all earlier epochs and keeps the metrics that it
//! owns, so that SHARDS may change and no point travels. Two passes: the first finds names and what
//! is written, the second gives out the points that are not, by epoch and serial.
//! Sans I/O, as the shard: operations go out, answers come in, and `work` does a bounded piece.
//! docs/formats/journal.md (Reading) has the rules.
//! Invariants: a point that is owed and whose block is sound is given out exactly once, and again only
//! after the sink had no room for it; every point that the serials tell of and that is not given out
//! is counted in the report. Damage is never a panic and never an end to the reading; only a newer
//! version is, before anything was given out.

mod batch;
mod coverage;
mod fetch;
mod passes;
mod report;
mod segments;
#[cfg(test)]
mod tests;
mod unproven;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::mem;
use std::path::{Path, PathBuf};

use super::MOUNT_DOUBTFUL;
use super::block::{Block, Head, Kind, block_bytes};
use super::entry::Place;
use super::survey::{NewerVersion, Survey};
use super::walk::{Effort, Gap, SegmentKey, Step, Tail, Walk};
use crate::names::{NameRef, NameTable, Named};
use crate::ring::{FileError, FileOperation, FileOutcome};
use coverage::{Coverage, Ids};
use fetch::{Fetch, Next, Window};
pub use report::{Damage, Harm, Report};
use segments::Segment;
use unproven::Waiting;

/// A replay's own number for an operation; comes back with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplayToken(pub u64);

/// A name of this shard, counted from 0 without holes; one name has one number, whatever streams and
/// epochs it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameIndex(pub u32);

/// A point that is owed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Owed {
    /// Its metric.
    pub name: NameIndex,
    /// Seconds since 1970.
    pub timestamp: u32,
    /// Its value.
    pub value: f64,
    /// When it was received, milliseconds since 1970.
    pub received_ms: u64,
}

impl Owed {
    /// None: what a place for one holds before.
    const NONE: Owed = Owed {
        name: NameIndex(0),
        timestamp: 0,
        value: 0.0,
        received_ms: 0,
    };
}

/// What a piece of work came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do.
    More,
    /// Answers to operations are needed first.
    Waiting,
    /// The sink had no room.
    Full,
    /// Everything was given out.
    Done,
    /// The journal is of a newer version; nothing was given out.
    Refused(NewerVersion),
}

/// Which points are given out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Those that are owed.
    #[default]
    Owed,
    /// All that are there, for a look at the journal.
    All,
}

/// Where the reading stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Which segments are in files whose first block is not sound?
    Search,
    /// Reads the names.
    Names,
    /// Reads all points, for what is written.
    First,
    /// Looks for the latest time: the next stream and page of names.
    Weigh(usize, usize),
    /// Gives out.
    Second,
    Done,
}

/// A stretch of a file that is to be read in the present phase.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    file: usize,
    from: u64,
    until: u64,
    /// In the second pass: the serials of its first point and behind its last.
    serials: (u64, u64),
}

/// A block that is being read.
#[derive(Clone, Debug)]
struct Opened {
    offset: u64,
    head: Head,
    payload_bytes: usize,
    place: Option<Place>,
    names_at: usize,
    /// Points or names so far.
    seen: u32,
    /// Ids that are yet to be covered, first and last.
    covering: Option<(u32, u32)>,
}

/// What was journaled by one shard of one epoch.
#[derive(Debug, Default)]
struct Stream {
    generations: BTreeMap<u32, Ids>,
    coverage: Coverage,
    unproven: Waiting,
    /// Segments of points below this number owe nothing.
    retired: u32,
    /// Once it is weighed: there are points that may be owed.
    owes: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct OwnedName(NameRef);

impl Named for OwnedName {
    fn name(&self) -> NameRef {
        self.0
    }

    fn set_name(&mut self, name: NameRef) {
        self.0 = name;
    }
}

/// What happens next.
enum Turn {
    On,
    Waiting,
    Full,
}

/// Says whether a name, of which this is the hash by the replay's seed, is owned.
pub type Owns = Box<dyn Fn(&str, u64) -> bool + Send>;

/// Reads what earlier processes owe.
pub struct Replay {
    owns: Owns,
    seed: u64,
    wanted: Wanted,
    mount: Option<u32>,
    /// No written entry counts that no mark proves: a sync of the data has failed.
    is_in_doubt: bool,
    /// What is read was set aside.
    is_aside: bool,
    /// A block says so.
    has_met_doubt: bool,
    survey: Survey,
    only: Option<BTreeSet<PathBuf>>,
    names: NameTable<OwnedName>,
    streams: BTreeMap<(u32, u16), Stream>,
    epochs_done: u32,
    files: Vec<Segment>,
    phase: Phase,
    stretches: VecDeque<Stretch>,
    present: Option<(Stretch, Walk)>,
    block: Option<Opened>,
    /// In the second pass: the serial that the present stretch has come to.
    reached: u64,
    fetch: Fetch,
    window: Window,
    /// What the sink had no room for.
    offered: Vec<Owed>,
    /// The latest time of a point that is owned, whether it is owed or not.
    latest: u32,
    report: Report,
    refused: Option<NewerVersion>,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("phase", &self.phase)
            .field("stretches", &self.stretches.len())
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

impl Replay {
    /// Begins to read what was surveyed, for the metrics that `owns` says yes to. `seed` is that of
    /// the names' hash: the process's, so that nobody can choose names that collide.
    pub fn new(survey: Survey, owns: Owns, seed: u64) -> Replay {
        let mut report = Report::default();
        for path in &survey.twins {
            report.harm(Harm {
                path: path.clone(),
                offset: 0,
                what: Damage::Twin,
            });
        }
        let mut streams: BTreeMap<(u32, u16), Stream> = BTreeMap::new();
        for (stream, retired) in &survey.retired {
            streams.entry(*stream).or_default().retired = *retired;
        }
        let mut replay = Replay {
            owns,
            seed,
            wanted: Wanted::Owed,
            mount: None,
            is_in_doubt: false,
            is_aside: false,
            has_met_doubt: false,
            only: None,
            names: NameTable::new(seed),
            streams,
            epochs_done: survey.epochs_done,
            files: survey.files.iter().cloned().map(Segment::new).collect(),
            survey,
            phase: Phase::Search,
            stretches: VecDeque::new(),
            present: None,
            block: None,
            reached: 0,
            fetch: Fetch::default(),
            window: Window::default(),
            offered: Vec::new(),
            latest: 0,
            report,
            refused: None,
        };
        let unknown = |segment: &Segment| segment.key.is_none() && segment.bytes > 0;
        replay.stretches = segments::whole(&replay.files, unknown);
        replay
    }

    /// The data is mounted as this number says. What was written through another mount is believed
    /// as far as the journal says that it came to the device; without this everything is.
    #[must_use]
    pub fn mounted(mut self, mount: u32) -> Replay {
        self.mount = Some(mount);
        self
    }

    /// A sync of the data has failed: what was written is believed only as far as the journal says that
    /// it came to the device. Known too where a block says so.
    #[must_use]
    pub fn in_doubt(mut self) -> Replay {
        self.is_in_doubt = true;
        self
    }

    /// What is read was set aside. The streams are some of several runs, and what a later one has of an
    /// earlier one's may be among those that went: each epoch owes what it has, copies too, whether a
    /// head says that it ended earlier ones or not. A point may be given out more than once.
    #[must_use]
    pub fn of_aside(mut self) -> Replay {
        self.is_aside = true;
        self
    }

    /// Gives out other points than those that are owed, or only those of some files.
    #[must_use]
    pub fn wanting(mut self, wanted: Wanted, only: Option<BTreeSet<PathBuf>>) -> Replay {
        (self.wanted, self.only) = (wanted, only);
        self
    }

    /// What is to be done on the disk, while anything is.
    pub fn next_operation(&mut self) -> Option<(ReplayToken, FileOperation)> {
        self.fetch.next_operation()
    }

    /// The answer to an operation.
    pub fn complete(&mut self, token: ReplayToken, answer: Result<FileOutcome, FileError>) {
        self.fetch.complete(token, answer);
    }

    /// Why it reads nothing until `try_again`: the last read failed for a reason that passes, of this
    /// file. Nothing is lost meanwhile.
    pub fn put_off(&self) -> Option<(&Path, FileError)> {
        self.fetch.put_off()
    }

    /// Asks once more for what was put off; after `limits::JOURNAL_SCARCE_RETRY`.
    pub fn try_again(&mut self) {
        self.fetch.try_again();
    }

    /// Is every operation answered? Once it is done and quiet, it may be dropped.
    pub fn is_quiet(&self) -> bool {
        self.fetch.is_quiet()
    }

    /// The name of an index.
    pub fn name(&self, name: NameIndex) -> &str {
        self.names.name(name.0)
    }

    /// What was found so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Has the first pass been made? Then the report knows the newest time that is owed.
    pub fn has_weighed(&self) -> bool {
        [Phase::Second, Phase::Done].contains(&self.phase)
    }

    /// Is of what was written only believed what the journal says came to the device? Certain once it has
    /// weighed.
    pub fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// No point that is owned is of a later time, owed or not. Certain once it has weighed. Of what could
    /// not be read nobody knows, and another reading of it may say.
    pub fn latest(&self) -> u32 {
        if self.report.unread.is_empty() {
            self.latest
        } else {
            u32::MAX
        }
    }

    /// Epochs below this one owe nothing. Certain once it has weighed.
    pub fn epochs_done(&self) -> u32 {
        self.epochs_done
    }

    /// Does about as much as decoding so many points takes, and gives what is owed to the sink, some
    /// at once. It says how many of them it took, the first ones; the others had no room and are
    /// offered again.
    pub fn work<F: FnMut(&[Owed]) -> usize>(
        &mut self,
        points_max: usize,
        sink: &mut F,
    ) -> Progress {
        if !self.offered.is_empty() {
            let taken = sink(&self.offered);
            self.offered.drain(..taken);
            self.report.given += taken as u64;
            if !self.offered.is_empty() {
                return Progress::Full;
            }
        }
        let mut effort = Effort::of_points(points_max);
        loop {
            if let Some(newer) = &self.refused {
                return Progress::Refused(newer.clone());
            }
            if self.phase == Phase::Done {
                return Progress::Done;
            }
            if effort.is_spent() {
                return Progress::More;
            }
            match self.turn(&mut effort, sink) {
                Turn::On => {}
                Turn::Waiting => return Progress::Waiting,
                Turn::Full => return Progress::Full,
            }
        }
    }

    fn turn<F: FnMut(&[Owed]) -> usize>(&mut self, effort: &mut Effort, sink: &mut F) -> Turn {
        if let Some(block) = self.block.take() {
            return match (block.head.kind, self.phase) {
                (Kind::Names, _) => self.read_names(block, effort),
                (Kind::Points, Phase::Second) => self.give_out(block, effort, sink),
                (Kind::Points, _) => self.read_points(block, effort),
            };
        }
        if self.present.is_some() {
            return self.step(effort);
        }
        if let Phase::Weigh(stream, page) = self.phase {
            self.weigh(stream, page, effort);
        } else if let Some(stretch) = self.stretches.pop_front() {
            self.begin(stretch);
        } else {
            self.next_phase();
        }
        Turn::On
    }

    /// Opens the next stretch, unless it became known meanwhile that nothing in it counts.
    fn begin(&mut self, stretch: Stretch) {
        let file = &self.files[stretch.file];
        if self.phase != Phase::Search && self.is_done_with(file.key) {
            return;
        }
        self.fetch
            .begin(file.path.clone(), stretch.from, stretch.until);
        self.window.begin(stretch.from);
        self.reached = stretch.serials.0;
        let key = (self.phase != Phase::Search).then_some(file.key).flatten();
        let walk = Walk::new(key, stretch.from, stretch.until);
        self.present = Some((stretch, walk));
    }

    /// Does nothing in this segment count?
    fn is_done_with(&self, key: Option<SegmentKey>) -> bool {
        let Some(key) = key else {
            return true;
        };
        if self.wanted == Wanted::All {
            return false;
        }
        let stream = self.streams.get(&(key.epoch, key.shard));
        let retired = stream.map_or(0, |stream| stream.retired);
        self.has_ended(key.epoch) || (key.kind == Kind::Points && key.segment < retired)
    }

    /// Does this epoch owe nothing, as a later one has all of it?
    fn has_ended(&self, epoch: u32) -> bool {
        epoch < self.epochs_done && !self.is_aside
    }

    /// Goes on in the present file.
    fn step(&mut self, effort: &mut Effort) -> Turn {
        let Some((stretch, mut walk)) = self.present.take() else {
            unreachable!("a file is being read")
        };
        match walk.step(self.window.from(walk.at()), effort) {
            Step::Paused => {}
            Step::More { .. } => match self.fetch.next() {
                Next::Bytes(bytes) => {
                    effort.spend_bytes(bytes.len());
                    self.window.push(bytes, walk.at());
                }
                Next::Waiting => {
                    self.present = Some((stretch, walk));
                    return Turn::Waiting;
                }
                Next::End => {
                    // The file could not be opened again: it ends where it was read to.
                    let (from, torn_bytes) = (walk.at(), 0);
                    self.end(stretch, &walk, Tail { from, torn_bytes });
                    return Turn::On;
                }
            },
            // It was not there when this was read first.
            Step::Newer { .. } if self.phase == Phase::Second => {
                let (from, torn_bytes) = (walk.at(), 0);
                self.end(stretch, &walk, Tail { from, torn_bytes });
                return Turn::On;
            }
            Step::Newer { version } => {
                self.refused = Some(NewerVersion {
                    path: self.files[stretch.file].path.clone(),
                    found: version,
                });
                return Turn::On;
            }
            Step::End(tail) => {
                self.end(stretch, &walk, tail);
                return Turn::On;
            }
            Step::Block(found) => {
                let Block { head, payload } = found.block;
                let opened = Opened {
                    offset: found.offset,
                    head,
                    payload_bytes: payload.len(),
                    place: None,
                    names_at: 0,
                    seen: 0,
                    covering: None,
                };
                let gap = found.gap;
                if self.phase == Phase::Search {
                    // Any sound block says which segment it is; the reading comes later.
                    self.identify(stretch.file, &head);
                    self.fetch.begin(PathBuf::new(), 0, 0);
                    return Turn::On;
                }
                if self.phase == Phase::Second {
                    self.check_serial(stretch, &opened);
                } else {
                    self.note(stretch.file, &opened, gap);
                }
                self.block = Some(opened);
            }
        }
        self.present = Some((stretch, walk));
        Turn::On
    }

    fn identify(&mut self, file: usize, head: &Head) {
        let key = SegmentKey::of(head);
        let is_twin = self.files.iter().any(|other| other.key == Some(key));
        if is_twin {
            let path = self.files[file].path.clone();
            self.report.harm(Harm {
                path,
                offset: 0,
                what: Damage::Twin,
            });
        } else {
            self.files[file].key = Some(key);
        }
    }

    /// What a head says beside its entries, and what is missing before it.
    fn note(&mut self, file: usize, block: &Opened, gap: Option<Gap>) {
        let head = &block.head;
        self.epochs_done = self.epochs_done.max(head.epochs_done);
        self.has_met_doubt |= head.mount == MOUNT_DOUBTFUL;
        let stream = self.streams.entry((head.epoch, head.shard)).or_default();
        stream.retired = stream.retired.max(head.retired);
        let end = block.offset + block_bytes(block.payload_bytes) as u64;
        self.files[file].note(head, block.offset..end, gap);
    }

    /// In the second pass: were there points between the block before and this one?
    fn check_serial(&mut self, stretch: Stretch, block: &Opened) {
        let missing = block.head.serial.saturating_sub(self.reached);
        self.lost_again(stretch.file, block.offset, missing);
        self.reached = block.head.serial + u64::from(block.head.entries);
    }

    fn lost_again(&mut self, file: usize, offset: u64, points: u64) {
        if points > 0 {
            self.report.lost += points;
            let path = self.files[file].path.clone();
            self.report.unread.insert(path.clone());
            let what = Damage::Changed { points };
            self.report.harm(Harm { path, offset, what });
        }
    }

    /// The end of a stretch.
    fn end(&mut self, stretch: Stretch, walk: &Walk, tail: Tail) {
        let unreadable = self.fetch.take_unreadable();
        match self.phase {
            Phase::Search => {
                // A file without any sound block: bytes that claim to be one are torn.
                self.report.torn_bytes += tail.torn_bytes;
            }
            Phase::Second => {
                let missing = stretch.serials.1.saturating_sub(self.reached);
                self.lost_again(stretch.file, walk.at(), missing);
                return;
            }
            Phase::Names | Phase::First | Phase::Weigh(..) | Phase::Done => {
                self.files[stretch.file].tail = tail;
            }
        }
        let file = &mut self.files[stretch.file];
        for place in unreadable {
            file.unread_until = file.unread_until.max(Some(place.offset + place.bytes));
            file.harm(
                place.offset,
                Damage::Unreadable {
                    bytes: place.bytes,
                    error: place.error,
                },
            );
        }
    }

    fn next_phase(&mut self) {
        match self.phase {
            Phase::Search => {
                self.phase = Phase::Names;
                self.stretches = segments::whole(&self.files, |file| file.is(Kind::Names));
            }
            Phase::Names => {
                self.phase = Phase::First;
                self.stretches = segments::whole(&self.files, |file| file.is(Kind::Points));
                // The latest epoch first: it may say that the others owe nothing.
                let epoch = |stretch: &Stretch| self.files[stretch.file].key.map(|key| key.epoch);
                let stretches = self.stretches.make_contiguous();
                stretches.sort_by_key(|stretch| std::cmp::Reverse(epoch(stretch)));
            }
            // The first pass has believed what it should not.
            Phase::First if self.has_met_doubt && !self.is_in_doubt => self.begin_in_doubt(),
            Phase::First => {
                self.phase = Phase::Weigh(0, 0);
                if self.wanted == Wanted::Owed && !self.is_aside {
                    let done = self.epochs_done;
                    self.streams.retain(|(epoch, _), _| *epoch >= done);
                }
            }
            Phase::Weigh(..) => {
                self.phase = Phase::Second;
                self.settle();
            }
            Phase::Second => {
                self.phase = Phase::Done;
                self.report.names = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
            }
            Phase::Done => {}
        }
    }

    /// Begins anew, and believes less.
    fn begin_in_doubt(&mut self) {
        let survey = mem::take(&mut self.survey);
        let owns = mem::replace(&mut self.owns, Box::new(|_, _| false));
        let begun = Replay::new(survey, owns, self.seed).in_doubt();
        *self = Replay {
            wanted: mem::take(&mut self.wanted),
            mount: self.mount,
            is_aside: self.is_aside,
            only: self.only.take(),
            fetch: mem::take(&mut self.fetch),
            has_met_doubt: true,
            ..begun
        };
    }

    /// Looks for the latest time that is owed, page by page.
    fn weigh(&mut self, index: usize, mut page: usize, effort: &mut Effort) {
        let Some(stream) = self.streams.values_mut().nth(index) else {
            return self.next_phase();
        };
        stream.owes |= stream.generations.values().any(Ids::has_nameless);
        while page < stream.coverage.pages() {
            if effort.is_spent() {
                self.phase = Phase::Weigh(index, page);
                return;
            }
            let newest = stream.coverage.newest_of(page);
            stream.owes |= newest.is_some();
            self.report.newest = self.report.newest.max(newest);
            effort.spend(Effort::POINT * 64);
            page += 1;
        }
        effort.spend(Effort::POINT);
        self.phase = Phase::Weigh(index + 1, 0);
    }

    /// Between the passes: which segments count, what is missing between them, what is to be read
    /// again.
    fn settle(&mut self) {
        let retired = |key: SegmentKey| {
            let stream = self.streams.get(&(key.epoch, key.shard));
            stream.map_or(0, |stream| stream.retired)
        };
        let counted = |file: &Segment| {
            let key = file.key.filter(|_| !self.is_done_with(file.key));
            key.map(retired)
        };
        let counted: Vec<Option<u32>> = self.files.iter().map(counted).collect();
        let owing: BTreeSet<(u32, u16)> = self
            .streams
            .iter()
            .filter(|(_, stream)| self.wanted == Wanted::All || stream.owes)
            .map(|(key, _)| *key)
            .collect();
        for file in segments::settle(&mut self.files, &counted, &mut self.report) {
            let segment = &self.files[file];
            let Some(key) = segment.key else {
                unreachable!("a segment that counts has a key")
            };
            let is_asked = self
                .only
                .as_ref()
                .is_none_or(|only| only.contains(&segment.path));
            if is_asked && owing.contains(&(key.epoch, key.shard)) {
                self.stretches.extend(segment.stretches(file));
            } else if is_asked {
                // Everything in it is in its file.
                self.report.written += segment.points_owned;
            }
        }
    }
}
