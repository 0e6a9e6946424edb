//! File operations in flight: which machine waits for what, and kernel entries made of commands.
//! A slot owns its machine, and with it every path, buffer and descriptor that its entries name,
//! until the last completion of the round; only then is the machine touched again.
//! Opens beyond the direct slots and creates beyond their bound wait here, in order.
//! Invariants: `outstanding` of a slot is the number of its entries that the kernel has; a visit is
//! free exactly when its direct slot in the kernel is empty; every operation is answered once.
#![expect(unsafe_code, reason = "entries name paths and buffers by address")]

use std::collections::VecDeque;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use io_uring::squeue;
use rustix::fs::FlockOperation;

use super::Event;
use super::aside::Aside;
use super::command::{Command, Machine, Next};
use super::create::{Blueprint, Create, Way, Workshop, c_path};
use super::entry::entry;
use super::operation::{Access, ByteRange, FileError, FileOperation, FileToken, Stage, VisitId};
use super::slots::{Key, Slots};
use super::tag::{Kind, Tag};
use super::uring::{Completion, Uring, adopt_descriptor};
use super::visit::{Probe, Visit};
use crate::limits::{CREATES_TOGETHER_MAX, FILE_OPERATIONS_MAX};

#[derive(Debug)]
struct Running {
    token: FileToken,
    machine: Box<dyn Machine>,
    /// The commands of the round that is out, by part.
    round: Vec<Command>,
    outstanding: u32,
    holds: Holds,
}

/// What an operation holds while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// Nothing that is scarce.
    Nothing,
    /// A direct slot.
    Visit(VisitId),
    /// One of the creates that may run together.
    Create,
}

impl Running {
    fn new(token: FileToken, machine: Box<dyn Machine>, holds: Holds) -> Running {
        Running {
            token,
            machine,
            round: Vec::new(),
            outstanding: 0,
            holds,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VisitState {
    Free,
    /// Open, and nobody works on it.
    Idle,
    /// An operation works on it.
    Busy,
}

#[derive(Debug)]
struct Open {
    token: FileToken,
    path: PathBuf,
    access: Access,
    ranges: Vec<ByteRange>,
}

/// All file operations of a ring.
#[derive(Debug)]
pub(super) struct Files {
    running: Slots<Running>,
    visits: Vec<(u32, VisitState)>,
    visits_free: Vec<u32>,
    opens_waiting: VecDeque<Open>,
    creates_waiting: VecDeque<(FileToken, Blueprint)>,
    creates: usize,
    /// Operations whose answer nobody has fetched yet.
    unanswered: usize,
    /// The way that new files try first.
    pub way: Way,
    /// Files may be opened without a trace of it: this process owns those that it has opened so far.
    noatime: bool,
    /// Whether there is an ftruncate opcode.
    pub ftruncate: bool,
    serial: u64,
    /// Scratch for the entries of a round.
    entries: Vec<squeue::Entry>,
}

impl Files {
    /// No operations; `visits_max` direct slots.
    pub(super) fn new(uring: &Uring, visits_max: u32) -> Files {
        let ring = u64::from(uring.descriptor().as_raw_fd().cast_unsigned() & 0xffff);
        Files {
            running: Slots::new(FILE_OPERATIONS_MAX),
            visits: vec![(0, VisitState::Free); visits_max as usize],
            visits_free: (0..visits_max).rev().collect(),
            opens_waiting: VecDeque::new(),
            creates_waiting: VecDeque::new(),
            creates: 0,
            unanswered: 0,
            way: Way::Nameless,
            noatime: true,
            ftruncate: uring.features().ftruncate,
            serial: ring << 40,
            entries: Vec::new(),
        }
    }

    /// Operations whose answer nobody has fetched yet.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Direct slots that hold a file or are about to.
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

    /// Begins an operation, or lets it wait for its turn.
    pub(super) fn begin(
        &mut self,
        uring: &mut Uring,
        token: FileToken,
        operation: FileOperation,
        events: &mut VecDeque<Event>,
    ) {
        assert!(
            self.unanswered < FILE_OPERATIONS_MAX,
            "{} operations",
            self.unanswered
        );
        self.unanswered += 1;
        match operation {
            FileOperation::Probe { path } => match c_path(&path, Stage::Probe) {
                Ok(path) => {
                    let machine = Box::new(Probe::new(path));
                    self.run(uring, Running::new(token, machine, Holds::Nothing), events);
                }
                Err(error) => events.push_back(Event::File {
                    token,
                    result: Err(error),
                }),
            },
            FileOperation::Look { path } => {
                self.run_aside(uring, token, Aside::look(&path), events);
            }
            FileOperation::SetAside { path, aside, look } => {
                let machine = Aside::set(&path, &aside, look);
                self.run_aside(uring, token, machine, events);
            }
            FileOperation::Open {
                path,
                access,
                ranges,
            } => {
                self.opens_waiting.push_back(Open {
                    token,
                    path,
                    access,
                    ranges,
                });
            }
            FileOperation::Read { visit, ranges } => {
                let machine = Visit::read(visit, &ranges);
                self.work_on(uring, token, machine, events);
            }
            FileOperation::Write {
                visit,
                pieces,
                sync,
            } => {
                let machine = Visit::write(visit, pieces, sync);
                self.work_on(uring, token, machine, events);
            }
            FileOperation::Close { visit } => {
                self.work_on(uring, token, Visit::close(visit), events);
            }
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
            }
        }
        self.start_waiting(uring, events);
    }

    /// Runs a look or a rename, unless its path cannot be one.
    fn run_aside(
        &mut self,
        uring: &mut Uring,
        token: FileToken,
        machine: Result<Aside, FileError>,
        events: &mut VecDeque<Event>,
    ) {
        match machine {
            Ok(machine) => {
                let running = Running::new(token, Box::new(machine), Holds::Nothing);
                self.run(uring, running, events);
            }
            Err(error) => events.push_back(Event::File {
                token,
                result: Err(error),
            }),
        }
    }

    /// Takes in what the kernel answered to one entry, and goes on when its round is over.
    pub(super) fn complete(
        &mut self,
        uring: &mut Uring,
        tag: Tag,
        completion: Completion,
        events: &mut VecDeque<Event>,
    ) {
        let key = Key {
            slot: tag.slot,
            generation: tag.generation,
        };
        if self.take_answer(key, tag.part, completion) {
            self.advance(uring, key, events);
            self.start_waiting(uring, events);
        }
    }

    /// Takes in an answer when the ring is being dropped: nothing is asked any more. A temporary
    /// name that the last answer leaves behind is removed.
    pub(super) fn bury(&mut self, tag: Tag, completion: Completion) {
        let key = Key {
            slot: tag.slot,
            generation: tag.generation,
        };
        if !self.take_answer(key, tag.part, completion) {
            return;
        }
        let running = self.running.remove(key);
        let leftover = running
            .as_ref()
            .and_then(|running| running.machine.leftover());
        if let Some(path) = leftover {
            let removed = rustix::fs::unlink(path);
            tracing::debug!(?path, ?removed, "a create was cut off");
        }
    }

    /// Keeps for ever what the kernel may still touch.
    pub(super) fn abandon(&mut self) {
        let running = std::mem::replace(&mut self.running, Slots::new(0));
        let _kept: &mut Slots<Running> = Box::leak(Box::new(running));
    }

    /// The answer to one entry goes to its machine; whether the round is over.
    fn take_answer(&mut self, key: Key, part: u16, completion: Completion) -> bool {
        let Some(running) = self.running.get_mut(key) else {
            unreachable!("{key:?} was emptied while the kernel had entries of it")
        };
        let command = running.round[usize::from(part)];
        assert!(
            running.outstanding > 0,
            "{key:?} had nothing outstanding: {completion:?}"
        );
        running.outstanding -= 1;
        match completion.answer() {
            Ok(number) if command.opens_plain() => {
                // SAFETY: an open without a direct slot answers the number of a new descriptor,
                // once.
                let descriptor = unsafe { adopt_descriptor(number) };
                running.machine.opened(command, descriptor);
            }
            answer => {
                // Refused with it, permitted without: the next files are somebody else's too.
                let permitted = answer.is_ok();
                if let Command::OpenVisit { noatime: false, .. } = command {
                    self.noatime &= !permitted;
                }
                running.machine.answered(command, answer);
            }
        }
        running.outstanding == 0
    }

    /// Starts what has waited for a direct slot or for a create to end.
    fn start_waiting(&mut self, uring: &mut Uring, events: &mut VecDeque<Event>) {
        while !self.visits_free.is_empty()
            && let Some(Open {
                token,
                path,
                access,
                ranges,
            }) = self.opens_waiting.pop_front()
        {
            let path = match c_path(&path, Stage::Open) {
                Ok(path) => path,
                Err(error) => {
                    events.push_back(Event::File {
                        token,
                        result: Err(error),
                    });
                    continue;
                }
            };
            let visit = self.take_visit();
            let machine = Box::new(Visit::open(visit, path, access, self.noatime, &ranges));
            self.run(
                uring,
                Running::new(token, machine, Holds::Visit(visit)),
                events,
            );
        }
        while self.creates < CREATES_TOGETHER_MAX
            && let Some((token, plan)) = self.creates_waiting.pop_front()
        {
            self.serial += 1;
            let workshop = Workshop {
                way: self.way,
                ftruncate: self.ftruncate,
                serial: self.serial,
            };
            match Create::new(plan, workshop) {
                Ok(machine) => {
                    self.creates += 1;
                    self.run(
                        uring,
                        Running::new(token, Box::new(machine), Holds::Create),
                        events,
                    );
                }
                Err(error) => events.push_back(Event::File {
                    token,
                    result: Err(error),
                }),
            }
        }
    }

    fn run(&mut self, uring: &mut Uring, running: Running, events: &mut VecDeque<Event>) {
        let key = self.running.insert(running);
        self.advance(uring, key, events);
    }

    /// Asks the machine for its next round and sends it off, or answers the operation.
    fn advance(&mut self, uring: &mut Uring, key: Key, events: &mut VecDeque<Event>) {
        loop {
            let Some(running) = self.running.get_mut(key) else {
                unreachable!("{key:?} runs no operation")
            };
            assert!(
                running.outstanding == 0,
                "{key:?} was stepped during its round"
            );
            running.round.clear();
            let linked = match running.machine.next(&mut running.round) {
                Next::Together => false,
                Next::Linked => true,
                Next::Done(result) => {
                    let (token, holds) = (running.token, running.holds);
                    drop(self.running.remove(key));
                    let stays = matches!(
                        result,
                        Ok(super::FileOutcome::Opened { .. } | super::FileOutcome::Read(_))
                    );
                    self.let_go(holds, stays);
                    events.push_back(Event::File { token, result });
                    return;
                }
            };
            assert!(
                !running.round.is_empty(),
                "{key:?} asks for nothing and is not done"
            );
            if let [lock @ Command::Lock(slot)] = running.round[..] {
                let answer = lock_into(uring, running.machine.as_ref(), slot);
                running.machine.answered(lock, answer);
                continue;
            }
            self.send_round(uring, key, linked);
            return;
        }
    }

    fn send_round(&mut self, uring: &mut Uring, key: Key, linked: bool) {
        let Some(running) = self.running.get_mut(key) else {
            unreachable!("{key:?} runs no operation")
        };
        self.entries.clear();
        let last = running.round.len() - 1;
        for (command, part) in running.round.iter().zip(0_u16..) {
            let tag = Tag {
                part,
                ..Tag::new(Kind::File, key.slot, key.generation)
            };
            let entry = entry(running.machine.as_mut(), *command).user_data(tag.encode());
            let link = linked && usize::from(part) < last;
            let flags = if link {
                squeue::Flags::IO_LINK
            } else {
                squeue::Flags::empty()
            };
            // `flags` adds to those that the entry has already (a direct file).
            self.entries.push(entry.flags(flags));
            running.outstanding += 1;
        }
        let chains = if linked { self.entries.len() } else { 1 };
        for chain in self.entries.chunks(chains) {
            // SAFETY: every address comes from the machine in this slot (or is of constant zeros), which
            // is not touched or dropped before `outstanding` is 0 again: `take_answer` counts, and
            // `abandon` keeps what was not counted down.
            unsafe { uring.push(chain) }
        }
    }

    fn take_visit(&mut self) -> VisitId {
        let Some(slot) = self.visits_free.pop() else {
            unreachable!("the caller has seen a free slot")
        };
        let (generation, state) = &mut self.visits[slot as usize];
        assert!(
            *state == VisitState::Free,
            "slot {slot} was in the free list: {state:?}"
        );
        *generation = generation.wrapping_add(1);
        *state = VisitState::Busy;
        VisitId {
            slot,
            generation: *generation,
        }
    }

    /// Runs an operation on an open file that nobody works on.
    fn work_on(
        &mut self,
        uring: &mut Uring,
        token: FileToken,
        machine: Visit,
        events: &mut VecDeque<Event>,
    ) {
        let visit = machine.id();
        let (generation, state) = &mut self.visits[visit.slot as usize];
        assert!(
            *generation == visit.generation,
            "{visit:?} is over, now {generation}"
        );
        assert!(*state == VisitState::Idle, "{visit:?} is {state:?}");
        *state = VisitState::Busy;
        self.run(
            uring,
            Running::new(token, Box::new(machine), Holds::Visit(visit)),
            events,
        );
    }

    fn let_go(&mut self, holds: Holds, stays: bool) {
        match holds {
            Holds::Nothing => {}
            Holds::Create => self.creates -= 1,
            Holds::Visit(visit) => {
                let (_, state) = &mut self.visits[visit.slot as usize];
                assert!(
                    *state == VisitState::Busy,
                    "{visit:?} was worked on while {state:?}"
                );
                *state = if stays {
                    VisitState::Idle
                } else {
                    VisitState::Free
                };
                if !stays {
                    self.visits_free.push(visit.slot);
                }
            }
        }
    }
}

/// Locks the machine's plain descriptor without waiting and moves the file into a direct slot,
/// which keeps the lock until it is emptied.
fn lock_into(uring: &Uring, machine: &dyn Machine, slot: u32) -> Result<u32, i32> {
    let Some(descriptor) = machine.plain() else {
        unreachable!("nothing is open to be locked")
    };
    rustix::fs::flock(descriptor, FlockOperation::NonBlockingLockExclusive)
        .map_err(rustix::io::Errno::raw_os_error)?;
    uring.register_file(slot, descriptor).map(|()| 0)
}
