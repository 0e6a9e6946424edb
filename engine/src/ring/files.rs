//! File operations in flight through the ring: which machine waits for what, and kernel entries
//! made of commands. `admission` says what may run.
//! A slot owns its machine, and with it every path, buffer and descriptor that its entries name,
//! until the last completion of the round; only then is the machine touched again.
//! Invariants: `outstanding` of a slot is the number of its entries that the kernel has; a visit is
//! free only while its direct slot in the kernel is empty.
#![expect(unsafe_code, reason = "entries name paths and buffers by address")]

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::squeue;
use rustix::fs::FlockOperation;

use super::Event;
use super::admission::{Admission, Admitted, Holds};
use super::command::{Command, Machine, Next};
use super::entry::entry;
use super::locate::location;
use super::operation::{FileOperation, FileToken};
use super::slots::{Key, Slots};
use super::tag::{Kind, Tag};
use super::uring::{Completion, Uring, adopt_descriptor};
use crate::limits::FILE_OPERATIONS_MAX;

#[derive(Debug)]
struct Running {
    token: FileToken,
    machine: Box<dyn Machine>,
    /// The commands of the round that is out, by part.
    round: Vec<Command>,
    outstanding: u32,
    holds: Holds,
}

/// All file operations of a ring.
#[derive(Debug)]
pub(super) struct Files {
    /// Who may run, who waits.
    pub admission: Admission,
    running: Slots<Running>,
    /// Rounds of operations that are over, to be used again; as many as have run together.
    rounds: Vec<Vec<Command>>,
    /// Scratch for the entries of a round.
    entries: Vec<squeue::Entry>,
}

impl Files {
    /// No operations; `visits_max` direct slots.
    pub(super) fn new(uring: &Uring, visits_max: u32) -> Files {
        let [.., high, low] = uring.descriptor().as_raw_fd().to_be_bytes();
        let origin = u16::from_be_bytes([high, low]);
        Files {
            admission: Admission::new(visits_max, uring.features().ftruncate, origin),
            running: Slots::new(FILE_OPERATIONS_MAX),
            rounds: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Begins an operation, or lets it wait for its turn.
    pub(super) fn begin(
        &mut self,
        uring: &mut Uring,
        token: FileToken,
        operation: FileOperation,
        events: &mut VecDeque<Event>,
    ) {
        if let Some(admitted) = self.admission.begin(token, operation, events) {
            self.run(uring, admitted, events);
        }
        self.start_waiting(uring, events);
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
                if let (Command::OpenVisit { noatime: false, .. }, Ok(_)) = (command, answer) {
                    self.admission.opened_with_trace();
                }
                running.machine.answered(command, answer);
            }
        }
        running.outstanding == 0
    }

    /// Starts what has waited for a direct slot or for a create to end.
    fn start_waiting(&mut self, uring: &mut Uring, events: &mut VecDeque<Event>) {
        while let Some(admitted) = self.admission.next(events) {
            self.run(uring, admitted, events);
        }
    }

    fn run(&mut self, uring: &mut Uring, admitted: Admitted, events: &mut VecDeque<Event>) {
        let Admitted {
            token,
            machine,
            holds,
        } = admitted;
        let key = self.running.insert(Running {
            token,
            machine,
            round: self.rounds.pop().unwrap_or_default(),
            outstanding: 0,
            holds,
        });
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
                    let is_stuck = running.machine.is_stuck();
                    let ended = self.running.remove(key);
                    self.rounds.extend(ended.map(|running| running.round));
                    self.admission.let_go(holds, &result, is_stuck);
                    events.push_back(Event::File { token, result });
                    return;
                }
            };
            assert!(
                !running.round.is_empty(),
                "{key:?} asks for nothing and is not done"
            );
            let machine = running.machine.as_mut();
            let done = match running.round[..] {
                [Command::Lock(slot)] => Some(lock_into(uring, machine, slot)),
                [Command::Locate] => Some(locate(machine)),
                _ => None,
            };
            if let Some(answer) = done {
                machine.answered(running.round[0], answer);
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
            let mut flags = squeue::Flags::empty();
            flags.set(squeue::Flags::IO_LINK, linked && usize::from(part) < last);
            flags.set(
                squeue::Flags::ASYNC,
                self.admission.has_heads && matches!(command, Command::Read(..)),
            );
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
}

/// Locks the machine's plain descriptor without waiting and moves the file into a direct slot,
/// which keeps the lock until it is emptied.
fn lock_into(uring: &Uring, machine: &dyn Machine, slot: u32) -> Result<u32, i32> {
    let descriptor = plain(machine);
    rustix::fs::flock(descriptor, FlockOperation::NonBlockingLockExclusive)
        .map_err(rustix::io::Errno::raw_os_error)?;
    uring.register_file(slot, descriptor).map(|()| 0)
}

/// Where the file of the machine's plain descriptor lies.
fn locate(machine: &dyn Machine) -> Result<u32, i32> {
    location(plain(machine)).map_err(rustix::io::Errno::raw_os_error)
}

fn plain(machine: &dyn Machine) -> BorrowedFd<'_> {
    let Some(descriptor) = machine.plain() else {
        unreachable!("{machine:?} has nothing open")
    };
    descriptor
}
