//! A disk that fails as it is told: a FUSE file system in the test's own process, which hands each
//! request on to real files in a directory of its own, but refuses those that it is told to refuse,
//! with the error that it is told. So a test can have errors that no disk of this machine gives.
//! Requests go past the page cache, and the kernel keeps no names and no attributes: whatever the
//! daemon asks comes here. It has no nameless files (O_TMPFILE), as other FUSE file systems have none.
//! Root is needed, for the mount, and /dev/fuse.
#![expect(clippy::disallowed_types, reason = "a test locks")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenAccMode, OpenFlags, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyWrite, Request, Session, TimeOrNow, WriteFlags,
};
use rustix::fs::{CWD, renameat_with};
use rustix::io::Errno;

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// To know whether a name is there, and what it is.
    LookUp,
    MakeDirectory,
    /// To make a file, under whatever name.
    Create,
    /// To open a file that is there, for writing.
    OpenToWrite,
    Read,
    Write,
    Sync,
    /// To give a file its name; the new name counts.
    Rename,
}

/// What is refused: one kind of request, for paths below this one.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) wanted: Wanted,
    /// From the mount point on.
    pub(crate) below: PathBuf,
    pub(crate) errno: Errno,
}

/// The disk, mounted; it goes away with this.
pub(crate) struct FailingDisk {
    state: Arc<Mutex<State>>,
    // In this order: the session's end would find a busy mount point busy.
    _mount: Detached,
    _session: BackgroundSession,
    backing: tempfile::TempDir,
}

/// A mount point that is taken out of the tree with this, whoever still has files below it.
struct Detached(PathBuf);

impl Drop for Detached {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

impl FailingDisk {
    /// Mounts an empty disk on a directory.
    pub(crate) fn mount(at: &Path) -> FailingDisk {
        let backing = tempfile::tempdir().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let filesystem = Passing {
            backing: backing.path().to_owned(),
            state: Arc::clone(&state),
        };
        let mut config = Config::default();
        let name = MountOption::FSName("benzene-failing-disk".to_owned());
        config.mount_options = vec![name, MountOption::NoAtime];
        let session = Session::new(filesystem, at, &config);
        let session = session.expect("this test needs root and /dev/fuse");
        FailingDisk {
            state,
            _mount: Detached(at.to_owned()),
            _session: session.spawn().unwrap(),
            backing,
        }
    }

    /// Where its files are as well, without errors.
    pub(crate) fn files(&self) -> PathBuf {
        self.backing.path().to_owned()
    }

    /// Refuses this from now on, besides what is refused already.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        lock(&self.state).refusals.push((refusal, 0));
    }

    /// How often each was refused so far, in the order in which they were told.
    pub(crate) fn refused(&self) -> Vec<usize> {
        let state = lock(&self.state);
        state.refusals.iter().map(|(_, times)| *times).collect()
    }

    /// Refuses nothing from now on.
    pub(crate) fn heal(&self) {
        lock(&self.state).refusals.clear();
    }
}

/// What the requests share.
#[derive(Default)]
struct State {
    refusals: Vec<(Refusal, usize)>,
    /// Of each inode that the kernel has heard of, where it is below the mount point.
    paths: BTreeMap<u64, PathBuf>,
    open: BTreeMap<u64, Arc<File>>,
    opened: u64,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap()
}

/// The file system: it hands on what is not refused.
struct Passing {
    backing: PathBuf,
    state: Arc<Mutex<State>>,
}

/// How long the kernel may remember anything.
const NEVER: Duration = Duration::ZERO;

impl Passing {
    /// Where an inode is below the mount point.
    fn path(&self, inode: INodeNo) -> io::Result<PathBuf> {
        if inode == INodeNo::ROOT {
            return Ok(PathBuf::new());
        }
        let path = lock(&self.state).paths.get(&inode.0).cloned();
        path.ok_or_else(|| Errno::STALE.into())
    }

    /// An error where this is to be refused.
    fn pass(&self, wanted: Wanted, path: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        let refusal = state
            .refusals
            .iter_mut()
            .find(|(refusal, _)| refusal.wanted == wanted && path.starts_with(&refusal.below));
        match refusal {
            Some((refusal, times)) => {
                *times += 1;
                Err(refusal.errno.into())
            }
            None => Ok(()),
        }
    }

    /// What is at a path, which the kernel hears of with this.
    fn known(&self, path: &Path) -> io::Result<FileAttr> {
        let metadata = fs::symlink_metadata(self.backing.join(path))?;
        let inode = if path.as_os_str().is_empty() {
            INodeNo::ROOT
        } else {
            INodeNo(metadata.ino())
        };
        lock(&self.state).paths.insert(inode.0, path.to_owned());
        attributes(inode, &metadata)
    }

    /// Does something with a name, and says what is there then.
    fn named(
        &self,
        wanted: Wanted,
        (parent, name): (INodeNo, &OsStr),
        make: impl FnOnce(&Path) -> io::Result<()>,
    ) -> io::Result<FileAttr> {
        let path = self.path(parent)?.join(name);
        self.pass(wanted, &path)?;
        make(&self.backing.join(&path))?;
        self.known(&path)
    }

    fn keep_open(&self, file: File) -> FileHandle {
        let mut state = lock(&self.state);
        state.opened += 1;
        let handle = state.opened;
        state.open.insert(handle, Arc::new(file));
        FileHandle(handle)
    }

    /// An open file, where this may be done to it.
    fn file(&self, wanted: Wanted, inode: INodeNo, handle: FileHandle) -> io::Result<Arc<File>> {
        self.pass(wanted, &self.path(inode)?)?;
        let file = lock(&self.state).open.get(&handle.0).cloned();
        file.ok_or_else(|| Errno::BADF.into())
    }

    fn open_file(&self, inode: INodeNo, flags: OpenFlags) -> io::Result<FileHandle> {
        let path = self.path(inode)?;
        let is_written = flags.acc_mode() != OpenAccMode::O_RDONLY;
        if is_written {
            self.pass(Wanted::OpenToWrite, &path)?;
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(is_written);
        Ok(self.keep_open(file.open(self.backing.join(path))?))
    }

    fn set_length(&self, inode: INodeNo, size: Option<u64>) -> io::Result<FileAttr> {
        let path = self.path(inode)?;
        if let Some(size) = size {
            self.pass(Wanted::Write, &path)?;
            let mut options = OpenOptions::new();
            options
                .write(true)
                .open(self.backing.join(&path))?
                .set_len(size)?;
        }
        self.known(&path)
    }

    /// The names in a directory.
    fn names(&self, inode: INodeNo) -> io::Result<Vec<(FileAttr, std::ffi::OsString)>> {
        let entries = fs::read_dir(self.backing.join(self.path(inode)?))?;
        let named = entries.map(|entry| {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let attributes = attributes(INodeNo(metadata.ino()), &metadata)?;
            Ok((attributes, entry.file_name()))
        });
        named.collect()
    }
}

/// What a file has there; less than asked for where it ends.
fn read_file(file: &File, offset: u64, size: u32) -> io::Result<Vec<u8>> {
    let mut data = vec![0; usize::try_from(size).unwrap_or(0)];
    let mut filled = 0;
    while filled < data.len() {
        match file.read_at(&mut data[filled..], offset + filled as u64)? {
            0 => break,
            bytes => filled += bytes,
        }
    }
    data.truncate(filled);
    Ok(data)
}

fn attributes(ino: INodeNo, metadata: &fs::Metadata) -> io::Result<FileAttr> {
    let kind = FileType::from_std(metadata.file_type()).ok_or(Errno::NOSYS)?;
    let links = u32::try_from(metadata.nlink()).unwrap_or(1);
    Ok(FileAttr {
        ino,
        size: metadata.len(),
        blocks: metadata.blocks(),
        atime: metadata.accessed()?,
        mtime: metadata.modified()?,
        ctime: metadata.modified()?,
        crtime: metadata.modified()?,
        kind,
        perm: u16::try_from(metadata.permissions().mode() & 0o7777).unwrap_or(0),
        nlink: links,
        uid: metadata.uid(),
        gid: metadata.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

/// The answer to a request that wants no more than to know whether it was done.
fn done(result: io::Result<()>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error.into()),
    }
}

fn entry(result: io::Result<FileAttr>, reply: ReplyEntry) {
    match result {
        Ok(attributes) => reply.entry(&NEVER, &attributes, Generation(0)),
        Err(error) => reply.error(error.into()),
    }
}

fn attr(result: io::Result<FileAttr>, reply: ReplyAttr) {
    match result {
        Ok(attributes) => reply.attr(&NEVER, &attributes),
        Err(error) => reply.error(error.into()),
    }
}

impl Filesystem for Passing {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.named(Wanted::LookUp, (parent, name), |_path| Ok(()));
        entry(found, reply);
    }

    fn getattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        attr(self.path(inode).and_then(|path| self.known(&path)), reply);
    }

    fn setattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        attr(self.set_length(inode, size), reply);
    }

    fn mkdir(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let make = |path: &Path| fs::create_dir(path);
        entry(
            self.named(Wanted::MakeDirectory, (parent, name), make),
            reply,
        );
    }

    fn create(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let mut handle = None;
        let made = self.named(Wanted::Create, (parent, name), |path| {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false);
            handle = Some(self.keep_open(file.open(path)?));
            Ok(())
        });
        match (made, handle) {
            (Ok(attributes), Some(handle)) => {
                let flags = FopenFlags::FOPEN_DIRECT_IO;
                reply.created(&NEVER, &attributes, Generation(0), handle, flags);
            }
            (Err(error), _) => reply.error(error.into()),
            (Ok(_), None) => reply.error(fuser::Errno::EIO),
        }
    }

    fn open(&self, _request: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.open_file(inode, flags) {
            Ok(handle) => reply.opened(handle, FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error.into()),
        }
    }

    fn read(
        &self,
        _request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let file = self.file(Wanted::Read, inode, handle);
        match file.and_then(|file| read_file(&file, offset, size)) {
            Ok(data) => reply.data(&data),
            Err(error) => reply.error(error.into()),
        }
    }

    fn write(
        &self,
        _request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let file = self.file(Wanted::Write, inode, handle);
        match file.and_then(|file| file.write_all_at(data, offset)) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(0)),
            Err(error) => reply.error(error.into()),
        }
    }

    fn flush(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn release(
        &self,
        _request: &Request,
        _inode: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        lock(&self.state).open.remove(&handle.0);
        reply.ok();
    }

    fn fsync(
        &self,
        _request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        _data_only: bool,
        reply: ReplyEmpty,
    ) {
        // Whatever it is to hold through, it is not a power cut.
        done(self.file(Wanted::Sync, inode, handle).map(drop), reply);
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let path = self.path(parent).map(|path| path.join(name));
        done(
            path.and_then(|path| fs::remove_file(self.backing.join(path))),
            reply,
        );
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.path(parent).and_then(|from| {
            let from = self.backing.join(from.join(name));
            let flags = rustix::fs::RenameFlags::from_bits_truncate(flags.bits());
            let rename = |to: &Path| Ok(renameat_with(CWD, &from, CWD, to, flags)?);
            self.named(Wanted::Rename, (new_parent, new_name), rename)
        });
        done(renamed.map(drop), reply);
    }

    fn readdir(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let names = match self.names(inode) {
            Ok(names) => names,
            Err(error) => return reply.error(error.into()),
        };
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for ((attributes, name), next) in names.into_iter().zip(1..).skip(skipped) {
            if reply.add(attributes.ino, next, attributes.kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
