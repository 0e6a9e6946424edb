//! The journal's files: which there are, the next ones, and which may be used again or go.
//! A segment of points is *kept* while it may owe something, then in *limbo* until the journal's own
//! disk knows that it owes nothing, then its file is *free*. A file of names goes when no segment of
//! points that is kept or in limbo uses its generation or an earlier one.
//! Invariants: segments retire oldest first; the present one never does; a file is free only when a
//! block that says so was committed, and synced unless `Sync::Never`.

use std::path::PathBuf;

use super::block::Kind;
use super::file_name::FileName;
use super::lane::{Next, OpenSegment, Visits};
use super::name_entry::NameEncoder;
use super::task::Task;
use super::{Journal, State, Sync};
use crate::breaks::{self, Break};
use crate::limits::{
    JOURNAL_BLOCKS_IN_HAND, JOURNAL_POINT_SEGMENTS_MIN, JOURNAL_RETRY, JOURNAL_SCARCE_RETRY,
};
use crate::ring::{Access, FileError, FileOperation, VisitId};

/// A segment of points that may owe something.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) segment: u32,
    pub(super) path: PathBuf,
    /// The lowest generation of names that its ids belong to.
    pub(super) generation: u32,
    /// When the last of its points was received.
    pub(super) last_second: Option<u32>,
    /// It owes nothing.
    pub(super) retires: Option<Retires>,
    /// All that it owed was carried.
    pub(super) is_carried: bool,
}

/// What a segment that owes nothing waits for: until then a power cut could lose what took its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retires {
    /// This sync of the data disk: what was written from it is in files.
    ticket: u64,
    /// That what was noted up to this serial is on the journal's disk: the rest was carried.
    pub(super) serial: u64,
}

/// A segment that owes nothing, as its disk is to know.
#[derive(Debug)]
pub(super) struct Limbo {
    pub(super) segment: u32,
    path: PathBuf,
    pub(super) generation: u32,
}

/// A file of names.
#[derive(Debug)]
pub(super) struct NameFile {
    path: PathBuf,
    generation: u32,
}

impl Journal {
    /// Files of both kinds, those that are being made included.
    pub(super) fn files(&self) -> usize {
        self.point_files() + self.name_files.len() + usize::from(self.name_lane.has_next())
    }

    pub(super) fn point_files(&self) -> usize {
        let used = self.kept.len() + self.limbo.len() + self.free.len();
        used + usize::from(self.point_lane.has_next())
    }

    /// Files that points may have: what names leave.
    pub(super) fn point_files_max(&self) -> usize {
        let names = self.name_files.len() + usize::from(self.name_lane.has_next());
        let left = (self.config.segments_max as usize).saturating_sub(names);
        left.max(JOURNAL_POINT_SEGMENTS_MIN as usize)
    }

    /// Whether points must wait for a segment to retire: what is accepted already goes into the
    /// present one, or into one past the bound.
    pub(super) fn is_out_of_segments(&self) -> bool {
        let (files, most) = (self.point_files(), self.point_files_max());
        if files > most && self.free.is_empty() {
            return true;
        }
        if self.point_lane.has_next() || files < most || !self.free.is_empty() {
            return false;
        }
        let in_hand = JOURNAL_BLOCKS_IN_HAND * self.block_bytes_full() as u64;
        self.point_lane
            .present
            .as_ref()
            .is_some_and(|present| present.end + in_hand > u64::from(self.config.segment_bytes))
    }

    /// Asks for a lane's next segment, unless that is under way. Past the bound of points only where
    /// what was accepted has nowhere else to go.
    pub(super) fn make_next(&mut self, kind: Kind, is_forced: bool) {
        if self.lane(kind).has_next() {
            return;
        }
        let now = self.now.instant;
        let failure = self.lane(kind).failure;
        if failure.is_some_and(|(_, retry_at)| now < retry_at) {
            return;
        }
        if kind == Kind::Points
            && let Some(path) = self.free.pop()
        {
            self.open(kind, path);
            return;
        }
        if kind == Kind::Points && !is_forced && self.point_files() >= self.point_files_max() {
            return;
        }
        let name = FileName {
            epoch: self.config.epoch,
            shard: self.config.shard,
            number: self.file_number,
            kind,
        };
        let path = self.config.directory.join(name.to_string());
        let Some(number) = self.file_number.checked_add(1) else {
            unreachable!("files are made one at a time")
        };
        self.file_number = number;
        let reserve = FileOperation::Reserve {
            path: path.clone(),
            bytes: u64::from(self.config.segment_bytes),
        };
        let lane = self.lane(kind);
        lane.failure = None;
        lane.next = Next::Making {
            path,
            append: None,
            is_made: false,
        };
        self.tasks.ask(Task::Open { kind }, reserve);
    }

    fn open(&mut self, kind: Kind, path: PathBuf) {
        let open = open_operation(path.clone());
        let lane = self.lane(kind);
        lane.failure = None;
        lane.next = Next::Making {
            path,
            append: None,
            is_made: true,
        };
        self.tasks.ask(Task::Open { kind }, open);
    }

    /// A visit of a lane's next segment has begun.
    pub(super) fn opened(&mut self, kind: Kind, visit: VisitId) {
        let is_synced_apart = matches!(self.config.sync, Sync::Every(_));
        let lane = self.lane(kind);
        let Next::Making { path, append, .. } = &mut lane.next else {
            unreachable!("{visit:?} is of no segment of {kind:?}: {:?}", lane.next)
        };
        let path = std::mem::take(path);
        match *append {
            None if is_synced_apart => {
                let open = open_operation(path.clone());
                lane.next = Next::Making {
                    path,
                    append: Some(visit),
                    is_made: true,
                };
                self.tasks.ask(Task::Open { kind }, open);
            }
            first => {
                let visits = Visits {
                    append: first.unwrap_or(visit),
                    sync: first.map(|_| visit),
                };
                lane.next = Next::Ready { path, visits };
            }
        }
    }

    /// A lane's next segment cannot be had. That is a failure only once it is needed, and none where a free
    /// one is there: what a new one lacked does not hold for that.
    pub(super) fn not_opened(&mut self, kind: Kind, error: FileError) {
        let wait = if error.is_passing() {
            JOURNAL_SCARCE_RETRY
        } else {
            JOURNAL_RETRY
        };
        let retry_at = self.now.instant + wait;
        let has_free = kind == Kind::Points && !self.free.is_empty();
        let lane = self.lane(kind);
        let next = std::mem::replace(&mut lane.next, Next::None);
        let is_needed = lane.present.is_none();
        let Next::Making {
            path,
            append,
            is_made,
        } = next
        else {
            unreachable!("a segment of {kind:?} was not opened: {next:?}")
        };
        let is_failure = is_made || !has_free || error.is_passing();
        lane.failure = is_failure.then_some((error, retry_at));
        if let Some(visit) = append {
            self.tasks.ask(Task::Close, FileOperation::Close { visit });
        }
        if is_made {
            // A want says nothing of the file, whose room the disk may not have once more.
            if kind == Kind::Points && error.is_passing() {
                self.free.push(path);
            } else {
                self.tasks.ask(Task::Remove, FileOperation::Remove { path });
            }
        }
        if is_failure && is_needed && self.is_final(error) {
            self.fail(error);
        }
    }

    /// Goes on in a lane's next segment, which is ready; ids or names in it are of this generation.
    pub(super) fn rotate(&mut self, kind: Kind, generation: u32) {
        let lane = self.lane(kind);
        let segment = lane.upcoming;
        let (path, last) = lane.rotate();
        self.closing.extend(last);
        match kind {
            Kind::Points => {
                self.kept.push_back(Kept {
                    segment,
                    path,
                    generation,
                    last_second: None,
                    retires: None,
                    is_carried: false,
                });
                let slack = u64::from(self.config.segment_bytes);
                self.ids.look_for_wear(slack);
            }
            Kind::Names => self.name_files.push_back(NameFile { path, generation }),
        }
        self.close_quiet();
    }

    /// Begins a new generation of names where that is worth it and nothing of the old one is on its
    /// way: between two blocks of points.
    pub(super) fn change_generation(&mut self) {
        let is_clean = self.names.names() == 0 && self.name_lane.is_done();
        if self.ids.is_worn() && is_clean && self.name_lane.is_ready() {
            self.begin_generation();
            let generation = self.ids.generation();
            self.rotate(Kind::Names, generation);
        }
    }

    /// All ids are void, and what was noted of names and not written is forgotten.
    pub(super) fn begin_generation(&mut self) {
        self.ids.begin_generation();
        self.names_serial = 0;
        self.names = NameEncoder::new(Vec::new());
    }

    /// Ends visits of segments that are written no more, once they are synced.
    pub(super) fn close_quiet(&mut self) {
        let tasks = &mut self.tasks;
        self.closing.retain(|segment| {
            if !segment.is_quiet() {
                return true;
            }
            let visits = [Some(segment.visits.append), segment.visits.sync];
            for visit in visits.into_iter().flatten() {
                tasks.ask(Task::Close, FileOperation::Close { visit });
            }
            false
        });
    }

    /// The present segment of points.
    fn present_segment(&self) -> Option<u32> {
        let present = self.point_lane.present.as_ref();
        present.map(|present| present.segment)
    }

    /// Oldest first: what owes nothing asks for a sync of the data disk, and is retired by that and by
    /// a sync of what was carried.
    pub(super) fn retire(&mut self, oldest_unwritten: Option<u32>) {
        let (present, serial) = (self.present_segment(), self.serial());
        let lasting = match self.config.sync {
            Sync::Every(_) | Sync::Always => self.synced_serial,
            Sync::Never => self.committed_serial,
        };
        for kept in &mut self.kept {
            if Some(kept.segment) == present {
                break;
            }
            if kept.retires.is_some() {
                continue;
            }
            let owed = (kept.last_second, oldest_unwritten);
            if !kept.is_carried && matches!(owed, (Some(last), Some(oldest)) if oldest <= last) {
                break;
            }
            kept.retires = Some(Retires {
                ticket: self.config.data_sync.ticket(),
                serial,
            });
        }
        while let Some(kept) = self.kept.front()
            && let Some(retires) = kept.retires
            && (self.heard.done >= retires.ticket || breaks::is(Break::Retire))
            && lasting >= retires.serial
            && !self.is_kept_in_doubt(kept)
            && let Some(kept) = self.kept.pop_front()
        {
            self.count_given_up(kept.segment);
            assert!(
                kept.segment >= self.retired,
                "segment {} is retired after {}",
                kept.segment,
                self.retired
            );
            self.retired = kept.segment + 1;
            self.has_news = true;
            self.limbo.push_back(Limbo {
                segment: kept.segment,
                path: kept.path,
                generation: kept.generation,
            });
        }
    }

    /// Frees files that the disk knows to owe nothing.
    pub(super) fn free_files(&mut self) {
        let retired = self.retired_safe();
        while let Some(limbo) = self.limbo.front()
            && limbo.segment < retired
            && let Some(limbo) = self.limbo.pop_front()
        {
            self.free.push(limbo.path);
            // It is made already: what a new one lacked does not hold for it, but for descriptors.
            let failure = &mut self.point_lane.failure;
            failure.take_if(|(error, _)| !error.is_passing());
        }
        while self.point_files() > self.point_files_max()
            && let Some(path) = self.free.pop()
        {
            self.tasks.ask(Task::Remove, FileOperation::Remove { path });
        }
        let oldest = self.limbo.front().map(|limbo| limbo.generation);
        let oldest = oldest.or_else(|| self.kept.front().map(|kept| kept.generation));
        while let (Some(file), Some(oldest)) = (self.name_files.front(), oldest)
            && file.generation < oldest
            && let Some(file) = self.name_files.pop_front()
        {
            let path = file.path;
            self.tasks.ask(Task::Remove, FileOperation::Remove { path });
        }
    }

    /// The owner has carried all unwritten points since `Recovering` began, which it found behind so
    /// many `failures`: what is older owes nothing. False where it has failed again since: what was
    /// carried is to be carried once more.
    pub fn recovered(&mut self, failures: u32) -> bool {
        if failures != self.era {
            return false;
        }
        assert!(
            self.state == State::Recovering,
            "recovered while {:?}",
            self.state
        );
        self.state = State::Healthy;
        let first = self.recovery_segment;
        for kept in &mut self.kept {
            kept.is_carried |= kept.segment < first;
        }
        true
    }

    /// The open segment with this visit.
    pub(super) fn segment_of(&mut self, visit: VisitId) -> &mut OpenSegment {
        let present = [&mut self.point_lane.present, &mut self.name_lane.present];
        let open = present.into_iter().flatten().chain(self.closing.iter_mut());
        let mut open = open
            .filter(|segment| segment.visits.append == visit || segment.visits.sync == Some(visit));
        let Some(segment) = open.next() else {
            unreachable!("{visit:?} is of no segment that is open")
        };
        segment
    }
}

fn open_operation(path: PathBuf) -> FileOperation {
    FileOperation::Open {
        path,
        access: Access::default(),
        ranges: Vec::new(),
    }
}
