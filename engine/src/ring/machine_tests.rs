//! The file machines against a kernel that is played: short transfers, errors that pass, cut
//! links, errors that stay, in any mixture that proptest finds.
//! What must hold: the bytes end up where they belong, links are obeyed, everything opened is
//! closed, a temporary name never stays, a new file has its name only once its data is written,
//! and an error that passes is never the answer.
#![expect(
    unsafe_code,
    reason = "the played kernel closes a real descriptor by its number"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other commands transfer nothing"
)]

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};

use proptest::prelude::*;
use rustix::io::Errno;

use super::command::{Command, Handle, Machine, Next, Span, passes};
use super::create::{Blueprint, Create, Way, Workshop};
use super::segment::Segment;
use super::uring::adopt_descriptor;
use super::visit::Visit;
use super::*;
use crate::limits::TRANSIENT_RETRIES_MAX;

/// What the played kernel does to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Does it.
    Willing,
    /// Transfers about half.
    Short,
    /// Answers this error.
    Refuses(Errno),
}

/// A file, its names, and the moods to come; then the kernel is willing.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four facts about the file, in any mixture"
)]
pub(super) struct Played {
    pub(super) bytes: Vec<u8>,
    pub(super) open: bool,
    pub(super) temporary: bool,
    pub(super) published: bool,
    /// All that the open file has is written out or synced.
    pub(super) written: bool,
    /// It was told of reads in any order.
    advised: bool,
    /// Whatever fails cuts its link, as threads do it; io_uring's are cut by fewer (`cuts`).
    pub(super) cuts_all: bool,
    moods: std::vec::IntoIter<Mood>,
}

/// Does a command that fails cut its link in io_uring? An allocation and a sync do not (seen on Linux
/// 6.18); nor, as the harder case, does here whatever else moves no bytes and opens nothing.
fn cuts(command: Command) -> bool {
    match command {
        Command::Read(..) | Command::Write(..) | Command::Zero { .. } => true,
        _ => {
            command.opens_plain()
                || matches!(command, Command::OpenVisit { .. } | Command::MakeVisit(_))
        }
    }
}

impl Played {
    pub(super) fn new(bytes: Vec<u8>, open: bool, moods: Vec<Mood>) -> Played {
        Played {
            bytes,
            open,
            temporary: false,
            published: false,
            written: false,
            advised: false,
            cuts_all: true,
            moods: moods.into_iter(),
        }
    }

    /// Plays a machine to its end.
    pub(super) fn play(&mut self, machine: &mut dyn Machine) -> Result<FileOutcome, FileError> {
        for _ in 0..10_000 {
            let mut round = Vec::new();
            let linked = match machine.next(&mut round) {
                Next::Done(result) => return result,
                Next::Linked => true,
                Next::Together => false,
            };
            assert!(!round.is_empty());
            let mut cut = false;
            for command in round {
                if cut {
                    machine.answered(command, Err(Errno::CANCELED.raw_os_error()));
                } else {
                    let whole = self.command(machine, command);
                    cut = linked && !whole && (self.cuts_all || cuts(command));
                }
            }
        }
        panic!("no end: {machine:?}");
    }

    /// Answers one command; whether it has succeeded wholly.
    fn command(&mut self, machine: &mut dyn Machine, command: Command) -> bool {
        self.advised |= matches!(command, Command::Advise(_));
        if matches!(command, Command::Read(..)) && !self.open {
            machine.answered(command, Err(Errno::BADF.raw_os_error()));
            return false;
        }
        let mood = self.moods.next().unwrap_or(Mood::Willing);
        let answer = match mood {
            Mood::Refuses(errno) => Err(errno.raw_os_error()),
            Mood::Willing | Mood::Short => Ok(0),
        };
        if command == Command::ClosePlain {
            // Closed in any case, as close(2) is.
            assert!(self.open, "closed what is not open");
            self.open = false;
            let number = machine.plain().unwrap().as_raw_fd();
            machine.answered(command, answer);
            // SAFETY: the machine believes that the kernel has closed this descriptor, which it
            // has forgotten; now it is closed.
            drop(unsafe { adopt_descriptor(number.cast_unsigned()) });
            return answer.is_ok();
        }
        if let Err(errno) = answer {
            // A close that fails for good has emptied the slot.
            self.open &= passes(errno) || !matches!(command, Command::CloseVisit(_));
            machine.answered(command, answer);
            return false;
        }
        if command.opens_plain() {
            assert!(!self.open);
            (self.open, self.written) = (true, false);
            self.temporary |= command == Command::OpenTemporary;
            machine.opened(
                command,
                OwnedFd::from(std::fs::File::open("/dev/null").unwrap()),
            );
            return true;
        }
        if let Some((done, whole)) = self.transfer(machine, command, mood == Mood::Short) {
            machine.answered(command, Ok(done));
            return whole;
        }
        self.effect(command);
        machine.answered(command, Ok(0));
        true
    }

    /// Reads and writes: how many bytes, and whether that was all.
    fn transfer(
        &mut self,
        machine: &mut dyn Machine,
        command: Command,
        short: bool,
    ) -> Option<(u32, bool)> {
        let part = |bytes: u32| if short && bytes > 1 { bytes / 2 } else { bytes };
        let (offset, wanted, done) = match command {
            Command::Read(_, span) => {
                let rest = self
                    .bytes
                    .len()
                    .saturating_sub(usize::try_from(span.offset).unwrap());
                let done = part(span.bytes.min(u32::try_from(rest).unwrap()));
                let from = usize::try_from(span.offset).unwrap();
                let source = self
                    .bytes
                    .get(from..from + done as usize)
                    .unwrap_or_default();
                machine.buffer(span)[..done as usize].copy_from_slice(source);
                return Some((done, done == span.bytes));
            }
            Command::Write(_, span) => {
                let done = part(span.bytes);
                let source = machine.buffer(span)[..done as usize].to_vec();
                self.write(span.offset, &source);
                (span.offset, span.bytes, done)
            }
            Command::Zero { offset, bytes } => {
                let done = part(bytes);
                self.write(offset, &vec![0; done as usize]);
                (offset, bytes, done)
            }
            _ => return None,
        };
        assert!(offset + u64::from(done) <= self.bytes.len() as u64);
        Some((done, done == wanted))
    }

    fn write(&mut self, offset: u64, source: &[u8]) {
        assert!(self.open, "wrote to what is not open");
        self.written = false;
        let from = usize::try_from(offset).unwrap();
        self.bytes
            .resize(self.bytes.len().max(from + source.len()), 0);
        self.bytes[from..from + source.len()].copy_from_slice(source);
    }

    /// Everything that transfers nothing.
    fn effect(&mut self, command: Command) {
        match command {
            Command::OpenVisit { .. } => self.open = true,
            Command::MakeVisit(_) => (self.open, self.temporary) = (true, true),
            Command::CloseVisit(_) => {
                assert!(self.open, "closed what is not open");
                self.open = false;
            }
            Command::Allocate(bytes) | Command::Truncate(bytes) => {
                self.bytes.resize(usize::try_from(bytes).unwrap(), 0);
                self.written = false;
            }
            Command::Sync(_) | Command::Settle => self.written = true,
            Command::LinkNameless => {
                assert!(self.written, "a name before the data");
                self.published = true;
            }
            Command::LinkTemporary => {
                assert!(self.temporary && self.written);
                self.published = true;
            }
            Command::Rename => {
                assert!(self.temporary && self.written);
                (self.temporary, self.published) = (false, true);
            }
            Command::Unlink => self.temporary = false,
            _ => {}
        }
    }
}

fn visit() -> VisitId {
    VisitId {
        slot: 0,
        generation: 1,
    }
}

/// Moods from which every operation recovers.
fn passing_moods() -> impl Strategy<Value = Vec<Mood>> {
    let mood = prop_oneof![
        3 => Just(Mood::Willing),
        3 => Just(Mood::Short),
        1 => Just(Mood::Refuses(Errno::INTR)),
        1 => Just(Mood::Refuses(Errno::AGAIN)),
        1 => Just(Mood::Refuses(Errno::NOMEM)),
    ];
    prop::collection::vec(mood, 0..12)
}

/// Pieces of 1 to 40 bytes with gaps between them.
fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let lengths = prop::collection::vec((1_usize..40, 0_u64..9), 0..40);
    lengths.prop_map(|lengths| {
        let mut end = 0;
        let piece = |(len, gap): (usize, u64)| {
            let offset = end + gap;
            end = offset + len as u64;
            let first = u8::try_from(offset % 200).unwrap();
            Piece {
                offset,
                bytes: (first..).take(len.min(50)).collect(),
            }
        };
        lengths.into_iter().map(piece).collect()
    })
}

fn ranges(pieces: &[Piece]) -> Vec<ByteRange> {
    let range = |piece: &Piece| ByteRange {
        offset: piece.offset,
        len: u32::try_from(piece.bytes.len()).unwrap(),
    };
    pieces.iter().map(range).collect()
}

fn ways() -> impl Strategy<Value = Way> {
    prop_oneof![Just(Way::Nameless), Just(Way::Renamed), Just(Way::Linked)]
}

fn allocations() -> impl Strategy<Value = Allocation> {
    let (fallocate, sparse) = (Just(Allocation::Fallocate), Just(Allocation::Sparse));
    prop_oneof![fallocate, sparse, Just(Allocation::Zeros)]
}

pub(super) fn create(way: Way, allocation: Allocation, file_bytes: u64, ftruncate: bool) -> Create {
    create_with(way, allocation, file_bytes, ftruncate, true)
}

pub(super) fn create_with(
    way: Way,
    allocation: Allocation,
    file_bytes: u64,
    ftruncate: bool,
    sync: bool,
) -> Create {
    let plan = Blueprint {
        path: "/data/a/b.wsp".into(),
        head: vec![b'h'; 40],
        file_bytes,
        allocation,
        sync,
    };
    Create::new(
        plan,
        Workshop {
            way,
            ftruncate,
            serial: 1,
        },
    )
    .unwrap()
}

proptest! {
    #[test]
    fn a_write_arrives_whole(
        pieces in pieces(),
        moods in passing_moods(),
        sync: bool,
        write_back: bool,
    ) {
        let mut expected = vec![b'.'; 4_000];
        for piece in &pieces {
            let from = usize::try_from(piece.offset).unwrap();
            expected[from..from + piece.bytes.len()].copy_from_slice(&piece.bytes);
        }
        let mut kernel = Played::new(vec![b'.'; 4_000], true, moods);
        let mut write = Visit::write(visit(), pieces, 0, sync).write_back(write_back);
        let answer = kernel.play(&mut write);
        prop_assert_eq!(answer, Ok(FileOutcome::Written));
        prop_assert!(kernel.bytes == expected);
        prop_assert!(!kernel.open);
    }

    #[test]
    fn a_piece_is_appended_whole_and_the_file_stays_open(
        len in 1_u8..200,
        offset in 0_u64..500,
        moods in passing_moods(),
        sync: bool,
    ) {
        let bytes: Vec<u8> = (0..len).collect();
        let mut kernel = Played::new(vec![b'.'; 700], true, moods);
        let piece = Piece { offset, bytes: bytes.clone() };
        let answer = kernel.play(&mut Segment::append(visit(), piece, sync));
        let from = usize::try_from(offset).unwrap();
        prop_assert_eq!(&kernel.bytes[from..from + bytes.len()], &bytes[..]);
        prop_assert_eq!(answer, Ok(FileOutcome::Appended(bytes)));
        prop_assert!(kernel.open && (kernel.written || !sync));
        let answer = kernel.play(&mut Segment::sync(visit()));
        prop_assert_eq!(answer, Ok(FileOutcome::Synced));
        prop_assert!(kernel.open && kernel.written);
    }

    #[test]
    fn a_segment_is_made_or_leaves_neither_file_nor_name(
        moods in passing_moods(),
        errno in prop_oneof![Just(Errno::NOSPC), Just(Errno::IO), Just(Errno::DQUOT)],
        at in 0_usize..4,
    ) {
        let path = CString::new("/journal/0.points").unwrap();
        let mut kernel = Played::new(Vec::new(), false, moods.clone());
        let answer = kernel.play(&mut Segment::reserve(visit(), path.clone(), 1 << 20));
        let opened = FileOutcome::Opened { visit: visit(), pieces: Vec::new() };
        prop_assert_eq!(answer, Ok(opened));
        prop_assert!(kernel.open && kernel.temporary);

        let mut moods = moods;
        moods.truncate(at);
        moods.push(Mood::Refuses(errno));
        let mut kernel = Played::new(Vec::new(), false, moods);
        let answer = kernel.play(&mut Segment::reserve(visit(), path, 1 << 20));
        prop_assert_eq!(answer.is_ok(), kernel.open);
        prop_assert_eq!(answer.is_ok(), kernel.temporary);
    }

    #[test]
    fn a_read_ends_only_where_the_file_does(
        pieces in pieces(),
        moods in passing_moods(),
        len in 0_usize..1_000,
    ) {
        let bytes: Vec<u8> = (0..=250).cycle().take(len).collect();
        let ranges = ranges(&pieces);
        let mut kernel = Played::new(bytes.clone(), true, moods);
        let answer = kernel.play(&mut Visit::read(visit(), &ranges));
        let Ok(FileOutcome::Read(found)) = answer else { panic!("{answer:?}") };
        prop_assert_eq!(found.len(), ranges.len());
        for (piece, range) in found.iter().zip(ranges) {
            let from = usize::try_from(range.offset).unwrap().min(len);
            let to = (from + range.len as usize).min(len);
            prop_assert_eq!(&piece.bytes, &bytes[from..to]);
        }
        prop_assert!(kernel.open, "the visit stays open");
    }

    #[test]
    fn an_open_reads_what_it_was_asked_for(
        pieces in pieces(),
        moods in passing_moods(),
        random: bool,
        len in 0_usize..1_000,
    ) {
        let bytes: Vec<u8> = (0..=250).cycle().take(len).collect();
        let access = Access {
            lock: false,
            random,
            lazy: false,
        };
        let mut kernel = Played::new(bytes.clone(), false, moods);
        let path = CString::new("/data/a.wsp").unwrap();
        let ranges = ranges(&pieces);
        let answer = kernel.play(&mut Visit::open(visit(), path, access, true, &ranges));
        let Ok(FileOutcome::Opened { pieces: found, .. }) = answer else { panic!("{answer:?}") };
        prop_assert_eq!(found.len(), ranges.len());
        for (piece, range) in found.iter().zip(ranges) {
            let from = usize::try_from(range.offset).unwrap().min(len);
            let to = (from + range.len as usize).min(len);
            prop_assert_eq!(&piece.bytes, &bytes[from..to]);
        }
        prop_assert!(kernel.open);
        prop_assert_eq!(kernel.advised, random);
    }

    #[test]
    fn a_create_recovers_from_what_passes(
        way in ways(),
        allocation in allocations(),
        moods in passing_moods(),
        file_bytes in prop_oneof![Just(40_u64), 41_u64..3_000, 60_000_u64..1_200_000],
        ftruncate: bool,
        sync: bool,
        cuts_all: bool,
    ) {
        let mut kernel = Played::new(Vec::new(), false, moods);
        kernel.cuts_all = cuts_all;
        let mut machine = create_with(way, allocation, file_bytes, ftruncate, sync);
        let answer = kernel.play(&mut machine);
        prop_assert_eq!(answer, Ok(FileOutcome::Created));
        prop_assert_eq!(kernel.bytes.len() as u64, file_bytes);
        prop_assert!(kernel.bytes[..40] == [b'h'; 40]);
        prop_assert!(kernel.bytes[40..].iter().all(|byte| *byte == 0));
        prop_assert!(kernel.published && !kernel.open && !kernel.temporary);
    }

    #[test]
    fn a_create_that_fails_is_clean(
        way in ways(),
        allocation in allocations(),
        mut moods in passing_moods(),
        errno in prop_oneof![Just(Errno::NOSPC), Just(Errno::IO), Just(Errno::EXIST)],
        sync: bool,
        cuts_all: bool,
    ) {
        moods.push(Mood::Refuses(errno));
        let mut kernel = Played::new(Vec::new(), false, moods);
        kernel.cuts_all = cuts_all;
        let answer = kernel.play(&mut create_with(way, allocation, 200_000, true, sync));
        prop_assert_eq!(answer.is_ok(), kernel.published);
        prop_assert!(!kernel.open);
        // An unlink that fails for good is the one way to leave a name.
        if let Err(error) = answer {
            prop_assert!(!kernel.temporary, "{:?}", error);
        }
    }

    #[test]
    fn a_visit_that_fails_is_closed(
        pieces in pieces(),
        mut moods in passing_moods(),
        errno in prop_oneof![Just(Errno::NOSPC), Just(Errno::IO), Just(Errno::BADF)],
    ) {
        moods.retain(|mood| *mood != Mood::Short);
        moods.push(Mood::Refuses(errno));
        let mut kernel = Played::new(vec![0; 4_000], true, moods);
        let answer = kernel.play(&mut Visit::write(visit(), pieces, 0, true));
        prop_assert!(!kernel.open, "{:?}", answer);
    }
}

#[test]
fn a_write_back_comes_before_the_close_and_its_refusal_is_no_failure() {
    let piece = Piece {
        offset: 0,
        bytes: vec![1; 8],
    };
    let write = |sync| Visit::write(visit(), vec![piece.clone()], 8, sync).write_back(true);
    let mut round = Vec::new();
    assert!(matches!(write(false).next(&mut round), Next::Linked));
    let [
        Command::Write(..),
        Command::WriteBack(0),
        Command::CloseVisit(0),
    ] = round[..]
    else {
        panic!("{round:?}")
    };
    round.clear();
    write(true).next(&mut round);
    assert!(!round.contains(&Command::WriteBack(0)), "{round:?}");
    for errno in [Errno::IO, Errno::INVAL, Errno::SPIPE] {
        let moods = vec![Mood::Willing, Mood::Refuses(errno)];
        let mut kernel = Played::new(vec![0; 8], true, moods);
        assert_eq!(kernel.play(&mut write(false)), Ok(FileOutcome::Written));
        assert!(!kernel.open && kernel.bytes == [1; 8]);
    }
}

#[test]
fn an_error_that_never_passes_is_an_answer_in_the_end() {
    for errno in [Errno::INTR, Errno::AGAIN, Errno::NOMEM, Errno::CANCELED] {
        let moods = vec![Mood::Refuses(errno); 1_000];
        let piece = Piece {
            offset: 0,
            bytes: vec![1; 8],
        };
        let mut kernel = Played::new(vec![0; 8], true, moods.clone());
        let mut write = Visit::write(visit(), vec![piece], 0, false);
        let answer = kernel.play(&mut write);
        let error = FileError {
            stage: Stage::Reach,
            errno: errno.raw_os_error(),
        };
        assert_eq!(answer, Err(error));
        // Not even its close was carried out.
        assert!(kernel.open && write.is_stuck());
        let mut kernel = Played::new(Vec::new(), false, moods);
        let answer = kernel.play(&mut create(Way::Nameless, Allocation::Zeros, 100, true));
        let error = FileError {
            stage: Stage::Create,
            errno: errno.raw_os_error(),
        };
        assert_eq!(answer, Err(error));
    }
}

#[test]
fn a_close_that_was_cut_off_with_its_chain_is_asked_for_alone() {
    use Mood::{Refuses, Willing};
    let forgiven = TRANSIENT_RETRIES_MAX as usize;
    let piece = Piece {
        offset: 0,
        bytes: vec![1; 8],
    };
    for errno in [Errno::INTR, Errno::AGAIN, Errno::NOMEM, Errno::CANCELED] {
        let (stage, errno_raw) = (Stage::Write, errno.raw_os_error());
        let error = FileError {
            stage,
            errno: errno_raw,
        };
        // The write is refused until it has failed, and then the close alone, as often as is forgiven.
        for closes in [0, 1, forgiven - 1] {
            let moods = vec![Refuses(errno); forgiven + 1 + closes];
            let mut kernel = Played::new(vec![0; 8], true, moods);
            let mut write = Visit::write(visit(), vec![piece.clone()], 8, false);
            assert_eq!(kernel.play(&mut write), Err(error));
            assert!(!kernel.open && !write.is_stuck(), "{closes} closes");
        }
        // What is written is written, whatever becomes of the close.
        for refused in [forgiven, forgiven + 1] {
            let mut moods = vec![Willing];
            moods.extend(vec![Refuses(errno); refused]);
            let mut kernel = Played::new(vec![0; 8], true, moods.clone());
            let mut write = Visit::write(visit(), vec![piece.clone()], 8, false);
            assert_eq!(kernel.play(&mut write), Ok(FileOutcome::Written));
            assert_eq!(kernel.bytes, [1; 8]);
            assert_eq!(kernel.open, write.is_stuck());
            let mut kernel = Played::new(vec![0; 8], true, moods.split_off(1));
            let mut close = Visit::close(visit());
            assert_eq!(kernel.play(&mut close), Ok(FileOutcome::Closed));
            assert_eq!(kernel.open, close.is_stuck());
            assert_eq!(close.is_stuck(), refused > forgiven);
        }
        // A segment is made and cannot be allocated.
        let path = CString::new("/journal/0.points").unwrap();
        for (closes, is_open) in [(1, false), (1000, true)] {
            let mut moods = vec![Willing];
            moods.extend(vec![Refuses(errno); forgiven + 1 + closes]);
            let mut kernel = Played::new(Vec::new(), false, moods);
            let mut reserve = Segment::reserve(visit(), path.clone(), 1 << 20);
            assert_eq!(
                kernel.play(&mut reserve).unwrap_err().stage,
                Stage::Allocate
            );
            assert_eq!((kernel.open, reserve.is_stuck()), (is_open, is_open));
        }
    }
}

#[test]
fn a_write_that_moves_nothing_fails() {
    let piece = Piece {
        offset: 0,
        bytes: vec![1; 8],
    };
    let mut machine = Visit::write(visit(), vec![piece], 0, false);
    let mut round = Vec::new();
    assert!(matches!(machine.next(&mut round), Next::Linked));
    let span = Span {
        buffer: 0,
        from: 0,
        bytes: 8,
        offset: 0,
    };
    let [reach, write, close] = round[..] else {
        panic!("{round:?}")
    };
    assert!(
        matches!(
            reach,
            Command::Read(
                0,
                Span {
                    offset: 7,
                    bytes: 1,
                    ..
                }
            )
        ),
        "{reach:?}"
    );
    assert_eq!(write, Command::Write(Handle::Visit(0), span));
    assert_eq!(close, Command::CloseVisit(0));
    machine.answered(reach, Ok(1));
    machine.answered(write, Ok(0));
    machine.answered(close, Err(Errno::CANCELED.raw_os_error()));
    let answer = Played::new(vec![0; 8], true, Vec::new()).play(&mut machine);
    let error = FileError {
        stage: Stage::Write,
        errno: Errno::IO.raw_os_error(),
    };
    assert_eq!(answer, Err(error));
}

#[test]
fn a_file_that_was_read_as_far_as_it_is_written_is_not_looked_at_again() {
    let piece = |offset| Piece {
        offset,
        bytes: vec![1; 8],
    };
    for (seen, commands) in [(0, 4), (27, 4), (28, 3), (1000, 3)] {
        let mut machine = Visit::write(visit(), vec![piece(0), piece(20)], seen, false);
        let mut round = Vec::new();
        assert!(matches!(machine.next(&mut round), Next::Linked));
        assert_eq!(round.len(), commands, "seen to {seen}: {round:?}");
        for (length, expected) in [(28, true), (27, false)] {
            let mut machine = Visit::write(visit(), vec![piece(0), piece(20)], seen, false);
            let answer = Played::new(vec![0; length], true, Vec::new()).play(&mut machine);
            let is_written = answer == Ok(FileOutcome::Written);
            // Who says that he has seen what is not there is believed.
            assert_eq!(is_written, expected || seen >= 28, "{answer:?}");
        }
    }
}

#[test]
fn a_read_that_came_before_its_file_was_open_goes_out_again_once() {
    let early = Err(Errno::BADF.raw_os_error());
    let range = ByteRange { offset: 0, len: 4 };
    for opens_first in [false, true] {
        let path = CString::new("/data/a.wsp").unwrap();
        let mut machine = Visit::open(visit(), path, Access::default(), true, &[range]);
        let mut round = Vec::new();
        assert!(matches!(machine.next(&mut round), Next::Together));
        let [open, read] = round[..] else {
            panic!("{round:?}")
        };
        let mut answers = [(read, early), (open, Ok(0))];
        if opens_first {
            answers.reverse();
        }
        for (command, answer) in answers {
            machine.answered(command, answer);
        }
        let mut round = Vec::new();
        assert!(matches!(machine.next(&mut round), Next::Together));
        assert_eq!(round, [read]);
        machine.answered(read, early);
        let mut kernel = Played::new(b"0123".to_vec(), true, Vec::new());
        let (stage, errno) = (Stage::Read, Errno::BADF.raw_os_error());
        assert_eq!(kernel.play(&mut machine), Err(FileError { stage, errno }));
        assert!(!kernel.open);
    }
}

#[test]
fn a_file_of_another_owner_is_opened_as_it_may_be() {
    let path = CString::new("/data/a.wsp").unwrap();
    let range = ByteRange { offset: 0, len: 4 };
    let open = || Visit::open(visit(), path.clone(), Access::default(), true, &[range]);
    let refuses = Mood::Refuses(Errno::PERM);
    let mut kernel = Played::new(b"0123".to_vec(), false, vec![refuses]);
    let answer = kernel.play(&mut open());
    let Ok(FileOutcome::Opened { pieces, .. }) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(pieces[0].bytes, b"0123");
    let mut kernel = Played::new(b"0123".to_vec(), false, vec![refuses, refuses]);
    let (stage, errno) = (Stage::Open, Errno::PERM.raw_os_error());
    assert_eq!(kernel.play(&mut open()), Err(FileError { stage, errno }));
}
