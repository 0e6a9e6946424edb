//! File operations before they run and after: machines made of what was asked, opens that wait for
//! a free visit, creates that wait for another to end, answers that nobody has fetched yet.
//! Nothing here does I/O or knows who runs a machine: the ring (`files`) and the threads
//! (`threads`) both take from here what may run, and give back what it held.
//! Invariants: a visit is free exactly when nobody holds its file, or is never used again; an operation that was admitted
//! is let go exactly once; every operation is answered once.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::Event;
use super::aside::Aside;
use super::command::Machine;
use super::create::{Blueprint, Create, Way, Workshop, c_path};
use super::locate::Locate;
use super::operation::{
    Access, ByteRange, FileError, FileOperation, FileOutcome, FileToken, Stage, VisitId,
};
use super::segment::Segment;
use super::visit::{Visit, end_of};
use crate::limits::{CREATES_TOGETHER_MAX, FILE_OPERATIONS_MAX};

/// An operation that may run now.
#[derive(Debug)]
pub(super) struct Admitted {
    /// The asker's number for it.
    pub token: FileToken,
    /// What it is.
    pub machine: Box<dyn Machine>,
    /// What it holds until `let_go`.
    pub holds: Holds,
}

/// What an operation holds while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Nothing that is scarce.
    Nothing,
    /// A visit, which ends with the operation unless that has opened or read it.
    Visit(VisitId),
    /// A visit that stays, whatever becomes of the operation.
    Kept(VisitId),
    /// One of the creates that may run together.
    Create,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VisitState {
    Free,
    /// Open, and nobody works on it.
    Idle,
    /// An operation works on it.
    Busy,
    /// It holds a file that the kernel would not close, and is not used again.
    Stuck,
}

/// What waits for a free visit.
#[derive(Debug)]
enum Opening {
    Open {
        path: PathBuf,
        access: Access,
        ranges: Vec<ByteRange>,
    },
    Reserve {
        path: PathBuf,
        bytes: u64,
    },
}

/// A slot for a visit.
#[derive(Clone, Debug)]
struct VisitSlot {
    generation: u32,
    state: VisitState,
    /// The file is known to reach so far: this visit has read what lies before.
    seen: u64,
    /// What is written to it is left to the kernel.
    lazy: bool,
}

/// Who may run, who waits.
#[derive(Debug)]
pub(super) struct Admission {
    visits: Vec<VisitSlot>,
    visits_free: Vec<u32>,
    opens_waiting: VecDeque<(FileToken, Opening)>,
    creates_waiting: VecDeque<(FileToken, Blueprint)>,
    creates: usize,
    /// Operations whose answer nobody has fetched yet.
    unanswered: usize,
    /// The way that new files try first.
    pub way: Way,
    /// Files may be opened without a trace of it: this process owns those that it has opened so far.
    noatime: bool,
    /// Whether a file's length can be set.
    pub ftruncate: bool,
    /// The disk has heads: what an update has written begins its way to it at once, and a ring leaves reads
    /// to the kernel's workers.
    pub has_heads: bool,
    serial: u64,
}

impl Admission {
    /// No operations; `visits_max` files may be open. `origin` is another number for every ring of
    /// the process, so that no two of them make the same temporary name.
    pub(super) fn new(visits_max: u32, ftruncate: bool, origin: u16) -> Admission {
        let empty = VisitSlot {
            generation: 0,
            state: VisitState::Free,
            seen: 0,
            lazy: false,
        };
        Admission {
            visits: vec![empty; visits_max as usize],
            visits_free: (0..visits_max).rev().collect(),
            opens_waiting: VecDeque::new(),
            creates_waiting: VecDeque::new(),
            creates: 0,
            unanswered: 0,
            way: Way::Nameless,
            noatime: true,
            ftruncate,
            has_heads: false,
            serial: u64::from(origin) << 40,
        }
    }

    /// Operations whose answer nobody has fetched yet.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Visits that hold a file or are about to.
    #[cfg(test)]
    pub(super) fn visits_in_use(&self) -> usize {
        self.visits.len() - self.visits_free.len()
    }

    /// An answer was fetched.
    pub(super) fn fetched(&mut self) {
        assert!(
            self.unanswered > 0,
            "an answer to an operation that nobody asked for"
        );
        self.unanswered -= 1;
    }

    /// Takes an operation in. It is answered at once, or may run now, or waits for its turn, which
    /// `next` gives it.
    pub(super) fn begin(
        &mut self,
        token: FileToken,
        operation: FileOperation,
        events: &mut VecDeque<Event>,
    ) -> Option<Admitted> {
        assert!(
            self.unanswered < FILE_OPERATIONS_MAX,
            "{} operations",
            self.unanswered
        );
        self.unanswered += 1;
        match operation {
            FileOperation::Probe { path } => free(token, Aside::probe(&path), events),
            FileOperation::Locate { path } => free(token, Locate::new(&path), events),
            FileOperation::Look { path } => free(token, Aside::look(&path), events),
            FileOperation::SetAside { path, aside, look } => {
                free(token, Aside::set(&path, &aside, look), events)
            }
            FileOperation::Adopt { path, old } => free(token, Aside::adopt(&old, &path), events),
            FileOperation::Open {
                path,
                access,
                ranges,
            } => {
                let open = Opening::Open {
                    path,
                    access,
                    ranges,
                };
                self.opens_waiting.push_back((token, open));
                None
            }
            FileOperation::Reserve { path, bytes } => {
                let reserve = Opening::Reserve { path, bytes };
                self.opens_waiting.push_back((token, reserve));
                None
            }
            FileOperation::Remove { path } => free(token, Aside::remove(&path), events),
            FileOperation::Append { visit, piece, sync } => {
                Some(self.work_on_kept(token, Segment::append(visit, piece, sync)))
            }
            FileOperation::Sync { visit } => Some(self.work_on_kept(token, Segment::sync(visit))),
            FileOperation::Read { visit, ranges } => {
                Some(self.work_on(token, Visit::read(visit, &ranges)))
            }
            FileOperation::Write {
                visit,
                pieces,
                sync,
            } => {
                let VisitSlot { seen, lazy, .. } = self.visits[visit.slot as usize];
                let write = Visit::write(visit, pieces, seen, sync);
                let write = write.write_back(self.has_heads && !lazy);
                Some(self.work_on(token, write))
            }
            FileOperation::Close { visit } => Some(self.work_on(token, Visit::close(visit))),
            FileOperation::Create {
                path,
                head,
                file_bytes,
                allocation,
                sync,
            } => {
                let plan = Blueprint {
                    path,
                    head,
                    file_bytes,
                    allocation,
                    sync,
                };
                self.creates_waiting.push_back((token, plan));
                None
            }
        }
    }

    /// A file could be opened, though not without a trace: the next files are somebody else's too.
    pub(super) fn opened_with_trace(&mut self) {
        self.noatime = false;
    }

    /// The next operation whose turn has come; those that cannot be begun are answered on the way.
    pub(super) fn next(&mut self, events: &mut VecDeque<Event>) -> Option<Admitted> {
        self.next_open(events).or_else(|| self.next_create(events))
    }

    fn next_open(&mut self, events: &mut VecDeque<Event>) -> Option<Admitted> {
        while !self.visits_free.is_empty() {
            let (token, opening) = self.opens_waiting.pop_front()?;
            let (Opening::Open { path, .. } | Opening::Reserve { path, .. }) = &opening;
            let path = match c_path(path, Stage::Open) {
                Ok(path) => path,
                Err(error) => {
                    refuse(token, error, events);
                    continue;
                }
            };
            let visit = self.take_visit();
            let machine: Box<dyn Machine> = match opening {
                Opening::Open { access, ranges, .. } => {
                    self.visits[visit.slot as usize].lazy = access.lazy;
                    Box::new(Visit::open(visit, path, access, self.noatime, &ranges))
                }
                Opening::Reserve { bytes, .. } => Box::new(Segment::reserve(visit, path, bytes)),
            };
            return Some(Admitted {
                token,
                machine,
                holds: Holds::Visit(visit),
            });
        }
        None
    }

    fn next_create(&mut self, events: &mut VecDeque<Event>) -> Option<Admitted> {
        while self.creates < CREATES_TOGETHER_MAX {
            let (token, plan) = self.creates_waiting.pop_front()?;
            self.serial += 1;
            let workshop = Workshop {
                way: self.way,
                ftruncate: self.ftruncate,
                serial: self.serial,
            };
            match Create::new(plan, workshop) {
                Ok(machine) => {
                    self.creates += 1;
                    return Some(Admitted {
                        token,
                        machine: Box::new(machine),
                        holds: Holds::Create,
                    });
                }
                Err(error) => refuse(token, error, events),
            }
        }
        None
    }

    fn take_visit(&mut self) -> VisitId {
        let Some(slot) = self.visits_free.pop() else {
            unreachable!("the caller has seen a free slot")
        };
        let visit = &mut self.visits[slot as usize];
        assert!(
            visit.state == VisitState::Free,
            "slot {slot} was in the free list: {visit:?}"
        );
        let generation = visit.generation.wrapping_add(1);
        *visit = VisitSlot {
            generation,
            state: VisitState::Busy,
            seen: 0,
            lazy: false,
        };
        VisitId { slot, generation }
    }

    fn work_on(&mut self, token: FileToken, machine: Visit) -> Admitted {
        let visit = machine.id();
        self.occupy(visit);
        Admitted {
            token,
            machine: Box::new(machine),
            holds: Holds::Visit(visit),
        }
    }

    fn work_on_kept(&mut self, token: FileToken, machine: Segment) -> Admitted {
        let visit = machine.id();
        self.occupy(visit);
        Admitted {
            token,
            machine: Box::new(machine),
            holds: Holds::Kept(visit),
        }
    }

    /// An operation begins on an open file that nobody works on.
    fn occupy(&mut self, visit: VisitId) {
        let slot = &mut self.visits[visit.slot as usize];
        assert!(
            slot.generation == visit.generation,
            "{visit:?} is over, now {slot:?}"
        );
        assert!(slot.state == VisitState::Idle, "{visit:?} is {slot:?}");
        slot.state = VisitState::Busy;
    }

    /// An operation is over: what it held is free again, but for a file that stays open, and for one that
    /// could not be closed (`Machine::is_stuck`): whoever came next would read the wrong file.
    pub(super) fn let_go(
        &mut self,
        holds: Holds,
        result: &Result<FileOutcome, FileError>,
        is_stuck: bool,
    ) {
        match holds {
            Holds::Nothing => {}
            Holds::Create => self.creates -= 1,
            Holds::Visit(visit) | Holds::Kept(visit) => {
                let slot = &mut self.visits[visit.slot as usize];
                assert!(
                    slot.state == VisitState::Busy,
                    "{visit:?} was worked on as {slot:?}"
                );
                if let Ok(FileOutcome::Opened { pieces, .. } | FileOutcome::Read(pieces)) = result {
                    slot.state = VisitState::Idle;
                    slot.seen = end_of(pieces).unwrap_or(0).max(slot.seen);
                } else if holds == Holds::Kept(visit) {
                    slot.state = VisitState::Idle;
                } else if is_stuck {
                    slot.state = VisitState::Stuck;
                    self.say_stuck();
                } else {
                    slot.state = VisitState::Free;
                    self.visits_free.push(visit.slot);
                }
            }
        }
    }
}

impl Admission {
    /// One more slot is not used again. Each took many refusals by the kernel, so that this is rare.
    fn say_stuck(&self) {
        let is_stuck = |slot: &&VisitSlot| slot.state == VisitState::Stuck;
        let stuck = self.visits.iter().filter(is_stuck).count();
        tracing::warn!(
            "the kernel does not close a file; {stuck} of {} places for open files are lost until \
             the next start",
            self.visits.len()
        );
    }
}

/// An operation that holds nothing that is scarce may run at once, unless its path cannot be one.
fn free(
    token: FileToken,
    machine: Result<impl Machine + 'static, FileError>,
    events: &mut VecDeque<Event>,
) -> Option<Admitted> {
    match machine {
        Ok(machine) => Some(Admitted {
            token,
            machine: Box::new(machine),
            holds: Holds::Nothing,
        }),
        Err(error) => {
            refuse(token, error, events);
            None
        }
    }
}

fn refuse(token: FileToken, error: FileError, events: &mut VecDeque<Event>) {
    events.push_back(Event::File {
        token,
        result: Err(error),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slot that the next open gets; none where it waits.
    fn open(admission: &mut Admission) -> Option<Holds> {
        let mut events = VecDeque::new();
        let operation = FileOperation::Open {
            path: "/data/a.wsp".into(),
            access: Access::default(),
            ranges: Vec::new(),
        };
        assert!(
            admission
                .begin(FileToken(1), operation, &mut events)
                .is_none()
        );
        Some(admission.next(&mut events)?.holds)
    }

    fn slot(holds: Option<Holds>) -> Option<u32> {
        match holds? {
            Holds::Visit(visit) => Some(visit.slot),
            other @ (Holds::Nothing | Holds::Kept(_) | Holds::Create) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_slot_whose_file_was_not_closed_is_not_used_again() {
        let mut admission = Admission::new(2, true, 1);
        let failed = Err(FileError {
            stage: Stage::Write,
            errno: 4,
        });
        let first = open(&mut admission);
        admission.let_go(first.unwrap(), &failed, false);
        let again = open(&mut admission);
        assert_eq!(slot(again), slot(first), "the one that was let go last");
        admission.let_go(again.unwrap(), &failed, true);
        let other = open(&mut admission);
        assert_ne!(slot(other), slot(first));
        admission.let_go(other.unwrap(), &Ok(FileOutcome::Written), true);
        assert_eq!(open(&mut admission), None, "all are lost");
    }
}
