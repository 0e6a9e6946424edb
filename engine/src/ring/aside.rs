//! Looking at a file without opening it (is it there? what is it?), giving it another name, if it
//! is still the same or whatever it is, and taking a name away.
//! The rename follows the look in the next request, so that what has changed meanwhile is left
//! alone but for that moment. Nothing is opened or written here, and no name is ever replaced. On failure the file has the name that it had.

use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Statx, StatxFlags};
use rustix::io::Errno;

use super::command::{Command, Machine, Next, PathOf, Patience, Span};
use super::create::c_path;
use super::operation::{FileError, FileLook, FileOutcome, Stage};

/// Bytes that statx writes (`struct statx` of the kernel's interface).
const STAT_BYTES: usize = 256;
/// The span that a look writes to.
pub(super) const LOOK_SPAN: Span = Span {
    buffer: 0,
    from: 0,
    bytes: 256,
    offset: 0,
};
/// Where the kernel's interface has what we read: `stx_mask`, `stx_ino`, `stx_size`, `stx_mtime`
/// with its seconds and, behind them, its nanoseconds; `stx_mode`.
const MASK: usize = 0;
const MODE: usize = 28;
const INODE: usize = 32;
const SIZE: usize = 40;
const MODIFIED_S: usize = 112;
const MODIFIED_NS: usize = 120;

/// What is to be done with the file.
#[derive(Debug)]
enum Intent {
    /// Whether it is there, and no pipe, socket or device, on which an open or a read may wait for ever;
    /// nothing else that a file system cannot say matters.
    Probe,
    Look,
    Remove,
    SetAside {
        aside: CString,
        expected: FileLook,
    },
    /// It gets this name, whatever it is, unless that is taken.
    Adopt(CString),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Looking,
    Renaming,
    /// Where the file system's rename cannot be told to replace nothing.
    Linking,
    Removing,
}

/// A look at a file, and its renaming.
#[derive(Debug)]
pub(super) struct Aside {
    path: CString,
    intent: Intent,
    state: State,
    stat: Vec<u8>,
    patience: Patience,
    result: Option<Result<FileOutcome, FileError>>,
}

impl Aside {
    /// Asks whether there is a file at `path`.
    pub(super) fn probe(path: &Path) -> Result<Aside, FileError> {
        Aside::new(path, Intent::Probe, Stage::Probe)
    }

    /// Looks at `path`.
    pub(super) fn look(path: &Path) -> Result<Aside, FileError> {
        Aside::new(path, Intent::Look, Stage::Look)
    }

    /// Takes the name `path` away.
    pub(super) fn remove(path: &Path) -> Result<Aside, FileError> {
        let remove = Aside::new(path, Intent::Remove, Stage::Remove)?;
        Ok(Aside {
            state: State::Removing,
            ..remove
        })
    }

    /// Renames `path` to `aside` if it is still what was seen.
    pub(super) fn set(path: &Path, aside: &Path, expected: FileLook) -> Result<Aside, FileError> {
        let aside = c_path(aside, Stage::SetAside)?;
        Aside::new(path, Intent::SetAside { aside, expected }, Stage::SetAside)
    }

    /// Renames `old` to `path` if it is there and that name is free.
    pub(super) fn adopt(old: &Path, path: &Path) -> Result<Aside, FileError> {
        let name = c_path(path, Stage::Adopt)?;
        let adopt = Aside::new(old, Intent::Adopt(name), Stage::Adopt)?;
        Ok(Aside {
            state: State::Renaming,
            ..adopt
        })
    }

    fn new(path: &Path, intent: Intent, stage: Stage) -> Result<Aside, FileError> {
        Ok(Aside {
            path: c_path(path, stage)?,
            intent,
            state: State::Looking,
            stat: vec![0; STAT_BYTES],
            patience: Patience::new(),
            result: None,
        })
    }

    fn looked(&mut self, found: Option<FileLook>) {
        match self.intent {
            // One that is there was answered without asking what it is.
            Intent::Probe => self.result = Some(Ok(FileOutcome::Probed(false))),
            Intent::Look => self.result = Some(Ok(FileOutcome::Looked(found))),
            Intent::Remove | Intent::Adopt(_) => {
                unreachable!("{:?} looks at nothing", self.intent)
            }
            Intent::SetAside { expected, .. } if found == Some(expected) => {
                self.patience.renew();
                self.state = State::Renaming;
            }
            Intent::SetAside { .. } => self.refuse(Errno::STALE.raw_os_error()),
        }
    }

    fn refuse(&mut self, errno: i32) {
        let stage = match self.intent {
            Intent::Probe => Stage::Probe,
            Intent::Look => Stage::Look,
            Intent::SetAside { .. } => Stage::SetAside,
            Intent::Remove => Stage::Remove,
            Intent::Adopt(_) => Stage::Adopt,
        };
        self.result = Some(Err(FileError { stage, errno }));
    }

    /// What becomes of a file that is to get another name, whatever it is.
    fn adopted(&mut self, command: Command, answer: Result<u32, i32>) {
        // A file system whose rename knows no flags.
        let no_flags = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
        let answer = answer.map_err(Errno::from_raw_os_error);
        match (command, answer) {
            (Command::LinkTemporary, Ok(_)) => {
                self.patience.renew();
                self.state = State::Removing;
            }
            // The new name leads to it, whatever the old one does.
            (Command::Unlink, _) | (_, Ok(_) | Err(Errno::EXIST)) => {
                self.result = Some(Ok(FileOutcome::Adopted(true)));
            }
            (_, Err(Errno::NOENT | Errno::NOTDIR)) => {
                self.result = Some(Ok(FileOutcome::Adopted(false)));
            }
            (Command::Rename, Err(errno)) if no_flags.contains(&errno) => {
                self.state = State::Linking;
            }
            (_, Err(errno)) => {
                let errno = errno.raw_os_error();
                if !self.patience.forgives(errno) {
                    self.refuse(errno);
                }
            }
        }
    }
}

impl Machine for Aside {
    fn next(&mut self, round: &mut Vec<Command>) -> Next {
        self.patience.begin_round();
        if let Some(result) = self.result.take() {
            return Next::Done(result);
        }
        round.push(match self.state {
            State::Looking => Command::Look,
            State::Renaming => Command::Rename,
            State::Linking => Command::LinkTemporary,
            State::Removing => Command::Unlink,
        });
        Next::Together
    }

    fn answered(&mut self, command: Command, answer: Result<u32, i32>) {
        if matches!(self.intent, Intent::Adopt(_)) {
            return self.adopted(command, answer);
        }
        let absent = [Errno::NOENT.raw_os_error(), Errno::NOTDIR.raw_os_error()];
        match (command, answer) {
            (Command::Look, Ok(_)) if matches!(self.intent, Intent::Probe) => {
                // A directory is told by the open.
                let may_be_opened = [
                    FileType::RegularFile,
                    FileType::Directory,
                    FileType::Unknown,
                ];
                if may_be_opened.contains(&kind(&self.stat)) {
                    self.result = Some(Ok(FileOutcome::Probed(true)));
                } else {
                    self.refuse(Errno::NXIO.raw_os_error());
                }
            }
            (Command::Look, Ok(_)) => match parse(&self.stat) {
                Some(look) => self.looked(Some(look)),
                // A file system that cannot say when a file was written proves nothing.
                None => self.refuse(Errno::NOTSUP.raw_os_error()),
            },
            (Command::Look, Err(errno)) if absent.contains(&errno) => self.looked(None),
            (Command::Rename, Ok(_)) => self.result = Some(Ok(FileOutcome::SetAside)),
            (Command::Unlink, Ok(_)) => self.result = Some(Ok(FileOutcome::Removed)),
            (Command::Look | Command::Rename | Command::Unlink, Err(errno)) => {
                if !self.patience.forgives(errno) {
                    self.refuse(errno);
                }
            }
            (command, answer) => unreachable!("a look was answered {answer:?} to {command:?}"),
        }
    }

    fn opened(&mut self, command: Command, _descriptor: OwnedFd) {
        unreachable!("a look opens nothing, yet {command:?} did")
    }

    fn plain(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn path(&self, which: PathOf) -> &CStr {
        match (which, self.state, &self.intent) {
            (PathOf::Target, State::Renaming, Intent::SetAside { aside, .. }) => aside,
            (PathOf::Target, State::Renaming | State::Linking, Intent::Adopt(name)) => name,
            (PathOf::Target, State::Looking, _)
            | (PathOf::Temporary, State::Renaming | State::Linking | State::Removing, _) => {
                &self.path
            }
            (which, state, _) => unreachable!("a look has no {which:?} while {state:?}"),
        }
    }

    fn buffer(&mut self, span: Span) -> &mut [u8] {
        assert!(span == LOOK_SPAN, "a look has one buffer, not {span:?}");
        &mut self.stat
    }

    fn leftover(&self) -> Option<&CStr> {
        None
    }
}

/// Fills in what `parse` reads, for those who ask by an ordinary system call.
#[expect(
    clippy::host_endian_bytes,
    reason = "the kernel writes the numbers of this machine"
)]
pub(super) fn fill(stat: &mut [u8], found: &Statx) {
    stat[MASK..MASK + 4].copy_from_slice(&found.stx_mask.to_ne_bytes());
    stat[MODE..MODE + 2].copy_from_slice(&found.stx_mode.to_ne_bytes());
    stat[INODE..INODE + 8].copy_from_slice(&found.stx_ino.to_ne_bytes());
    stat[SIZE..SIZE + 8].copy_from_slice(&found.stx_size.to_ne_bytes());
    let modified = found.stx_mtime;
    stat[MODIFIED_S..MODIFIED_S + 8].copy_from_slice(&modified.tv_sec.to_ne_bytes());
    stat[MODIFIED_NS..MODIFIED_NS + 4].copy_from_slice(&modified.tv_nsec.to_ne_bytes());
}

/// What kind of file it is, where the kernel says so.
fn kind(stat: &[u8]) -> FileType {
    let mask = field(stat, MASK).map_or(0, u32::from_ne_bytes);
    let mode = field(stat, MODE).map_or(0, u16::from_ne_bytes);
    if StatxFlags::from_bits_retain(mask).contains(StatxFlags::TYPE) {
        FileType::from_raw_mode(mode.into())
    } else {
        FileType::Unknown
    }
}

/// What the kernel filled in, where it filled in all that is asked of it.
#[expect(
    clippy::host_endian_bytes,
    reason = "the kernel writes the numbers of this machine"
)]
fn parse(stat: &[u8]) -> Option<FileLook> {
    let wanted = StatxFlags::INO | StatxFlags::SIZE | StatxFlags::MTIME;
    let mask = StatxFlags::from_bits_retain(u32::from_ne_bytes(field(stat, MASK)?));
    if !mask.contains(wanted) {
        return None;
    }
    Some(FileLook {
        inode: u64::from_ne_bytes(field(stat, INODE)?),
        bytes: u64::from_ne_bytes(field(stat, SIZE)?),
        modified_s: i64::from_ne_bytes(field(stat, MODIFIED_S)?),
        modified_ns: u32::from_ne_bytes(field(stat, MODIFIED_NS)?),
    })
}

fn field<const BYTES: usize>(stat: &[u8], at: usize) -> Option<[u8; BYTES]> {
    stat.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use rustix::fs::{CWD, Mode};

    use super::super::{Access, Event, FileOperation, FileToken, Piece, Ring, RingConfig};
    use super::*;

    fn ring() -> Ring {
        let config = RingConfig {
            entries: 64,
            visits_max: 4,
            ..RingConfig::default()
        };
        Ring::new(config).unwrap()
    }

    /// Runs one operation to its end.
    fn run(ring: &mut Ring, operation: FileOperation) -> Result<FileOutcome, FileError> {
        ring.file(FileToken(1), operation);
        for _ in 0..1000 {
            ring.turn(Some(Duration::from_millis(100)));
            if let Some(event) = ring.next_event() {
                let Event::File { result, .. } = event else {
                    panic!("{event:?}")
                };
                return result;
            }
        }
        panic!("no answer")
    }

    fn look(ring: &mut Ring, path: &Path) -> Option<FileLook> {
        let path = path.to_owned();
        match run(ring, FileOperation::Look { path }).unwrap() {
            FileOutcome::Looked(look) => look,
            other @ (FileOutcome::Probed(_)
            | FileOutcome::Located(_)
            | FileOutcome::Opened { .. }
            | FileOutcome::Read(_)
            | FileOutcome::Written
            | FileOutcome::Closed
            | FileOutcome::Created
            | FileOutcome::Appended(_)
            | FileOutcome::Synced
            | FileOutcome::Removed
            | FileOutcome::SetAside
            | FileOutcome::Adopted(_)) => panic!("{other:?}"),
        }
    }

    fn set(
        ring: &mut Ring,
        path: &Path,
        aside: &Path,
        look: FileLook,
    ) -> Result<FileOutcome, FileError> {
        let (path, aside) = (path.to_owned(), aside.to_owned());
        run(ring, FileOperation::SetAside { path, aside, look })
    }

    fn fails(errno: Errno) -> Result<FileOutcome, FileError> {
        Err(FileError {
            stage: Stage::SetAside,
            errno: errno.raw_os_error(),
        })
    }

    #[test]
    fn a_look_says_what_stat_says() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().unwrap();
        let (path, mut ring) = (directory.path().join("a.wsp"), ring());
        assert_eq!(look(&mut ring, &path), None);
        fs::write(&path, [7; 1234]).unwrap();
        let found = fs::metadata(&path).unwrap();
        let want = FileLook {
            inode: found.ino(),
            bytes: 1234,
            modified_s: found.mtime(),
            modified_ns: u32::try_from(found.mtime_nsec()).unwrap(),
        };
        assert_eq!(look(&mut ring, &path), Some(want));
        assert_eq!(look(&mut ring, &path.join("below")), None);
    }

    #[test]
    fn a_pipe_or_a_device_is_not_taken_for_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let mut ring = ring();
        rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        std::os::unix::fs::symlink("/dev/null", at("device")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        fs::write(at("file"), b"").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        fs::create_dir(at("directory")).unwrap();
        let mut probe = |name: &str| run(&mut ring, FileOperation::Probe { path: at(name) });
        for name in ["file", "link", "directory"] {
            assert_eq!(probe(name), Ok(FileOutcome::Probed(true)), "{name}");
        }
        let (stage, errno) = (Stage::Probe, Errno::NXIO.raw_os_error());
        for name in ["pipe", "device", "socket"] {
            assert_eq!(probe(name), Err(FileError { stage, errno }), "{name}");
        }
    }

    #[test]
    fn only_the_file_that_was_seen_gets_the_new_name() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut ring) = (directory.path().join("a.wsp"), ring());
        let aside = directory.path().join("a.wsp.broken-1");
        fs::write(&path, b"").unwrap();
        let seen = look(&mut ring, &path).unwrap();
        let other = FileLook { bytes: 1, ..seen };
        assert_eq!(set(&mut ring, &path, &aside, other), fails(Errno::STALE));
        fs::write(&aside, b"taken").unwrap();
        assert_eq!(set(&mut ring, &path, &aside, seen), fails(Errno::EXIST));
        assert_eq!(fs::read(&aside).unwrap(), b"taken");
        fs::remove_file(&aside).unwrap();
        assert_eq!(
            set(&mut ring, &path, &aside, seen),
            Ok(FileOutcome::SetAside)
        );
        assert!(!path.exists());
        assert_eq!(fs::read(&aside).unwrap(), b"");
        assert_eq!(set(&mut ring, &path, &aside, seen), fails(Errno::STALE));
    }

    #[test]
    fn a_file_is_adopted_where_its_new_name_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let [old, path] = ["readable.wsp", "hashed.wsp"].map(|name| directory.path().join(name));
        let mut ring = ring();
        let mut adopt = |old: &Path| {
            let (path, old) = (path.clone(), old.to_owned());
            run(&mut ring, FileOperation::Adopt { path, old })
        };
        assert_eq!(adopt(&old), Ok(FileOutcome::Adopted(false)));
        let nowhere = directory.path().join("none/readable.wsp");
        assert_eq!(adopt(&nowhere), Ok(FileOutcome::Adopted(false)));
        fs::write(&old, b"history").unwrap();
        assert_eq!(adopt(&old), Ok(FileOutcome::Adopted(true)));
        assert!(!old.exists());
        fs::write(&old, b"another").unwrap();
        assert_eq!(adopt(&old), Ok(FileOutcome::Adopted(true)));
        assert_eq!(fs::read(&path).unwrap(), b"history");
        assert_eq!(fs::read(&old).unwrap(), b"another");
    }

    #[test]
    fn a_write_past_the_end_writes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut ring) = (directory.path().join("a.wsp"), ring());
        fs::write(&path, b"0123456789").unwrap();
        let pieces = |offsets: &[u64]| {
            let piece = |offset: &u64| Piece {
                offset: *offset,
                bytes: b"xy".to_vec(),
            };
            offsets.iter().map(piece).collect::<Vec<_>>()
        };
        let mut write = |offsets: &[u64]| {
            let opened = run(
                &mut ring,
                FileOperation::Open {
                    path: path.clone(),
                    access: Access::default(),
                    ranges: Vec::new(),
                },
            );
            let Ok(FileOutcome::Opened { visit, .. }) = opened else {
                panic!("{opened:?}")
            };
            let (pieces, sync) = (pieces(offsets), false);
            run(
                &mut ring,
                FileOperation::Write {
                    visit,
                    pieces,
                    sync,
                },
            )
        };
        let past = Err(FileError {
            stage: Stage::Reach,
            errno: Errno::NODATA.raw_os_error(),
        });
        // More often than there are visits: each is closed.
        for _ in 0..6 {
            assert_eq!(write(&[0, 9]), past);
            assert_eq!(write(&[1 << 40]), past);
        }
        assert_eq!(fs::read(&path).unwrap(), b"0123456789");
        assert_eq!(write(&[0, 8]), Ok(FileOutcome::Written));
        assert_eq!(fs::read(&path).unwrap(), b"xy234567xy");
    }
}
