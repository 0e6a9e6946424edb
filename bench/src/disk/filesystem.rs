//! The FUSE filesystem of three files: `disk`, whose reads, writes and flushes take a model disk's time,
//! `counters.json`, what the model has counted until it is read, and `sweep.json`, what the blocks that
//! were touched since it was last read take in one sweep; it is to be read in one piece.
//! The bytes lie in a backing file; they are moved when a request comes, and answered when the
//! model says. Nothing here waits for the model: many requests are outstanding at once.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime};

use benzene_engine::clock;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};

use super::delay::{Delay, Held};
use super::model::Wanted;

/// The disk's name below the mount point, and that of the counters.
pub(super) const DISK: &str = "disk";
pub(super) const COUNTERS: &str = "counters.json";
pub(super) const SWEEP: &str = "sweep.json";
/// Most bytes of one request; the kernel's loop device asks for up to 1,280 KiB, in two requests.
const REQUEST_BYTES_MAX: u32 = 1 << 20;
/// Requests that the kernel keeps outstanding: more than a loop device's 128, as large ones are cut.
const OUTSTANDING_MAX: u16 = 1024;
/// How long the kernel may remember what does not change.
const LONG: Duration = Duration::from_secs(3600);
const DISK_INODE: INodeNo = INodeNo(2);
const COUNTERS_INODE: INodeNo = INodeNo(3);
const SWEEP_INODE: INodeNo = INodeNo(4);

/// The filesystem.
#[derive(Debug)]
pub(super) struct ModelFilesystem {
    pub(super) delay: Delay,
    pub(super) backing: File,
    pub(super) bytes: u64,
    pub(super) made: SystemTime,
}

impl ModelFilesystem {
    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0o700, 0),
            DISK_INODE => (FileType::RegularFile, 0o600, self.bytes),
            COUNTERS_INODE | SWEEP_INODE => (FileType::RegularFile, 0o400, 0),
            _ => return None,
        };
        Some(FileAttr {
            ino: inode,
            size,
            blocks: size / 512,
            atime: self.made,
            mtime: self.made,
            ctime: self.made,
            crtime: self.made,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    /// The counters as a file's text.
    fn counted(&self) -> Option<String> {
        let text = serde_json::to_string_pretty(&self.delay.counters()?).ok()?;
        Some(text + "\n")
    }

    /// The sweep as a file's text, whose rest is empty.
    fn swept(&self, offset: u64) -> Option<String> {
        if offset > 0 {
            return Some(String::new());
        }
        serde_json::to_string(&self.delay.sweep()?).ok()
    }

    fn read_disk(&self, offset: u64, size: u32) -> io::Result<Vec<u8>> {
        let bytes = u64::from(size).min(self.bytes.saturating_sub(offset));
        let mut data = vec![0; usize::try_from(bytes).unwrap_or(0)];
        self.backing.read_exact_at(&mut data, offset)?;
        Ok(data)
    }
}

impl Filesystem for ModelFilesystem {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let refused = |what: &str| io::Error::other(format!("the kernel's FUSE has no {what}"));
        config
            .add_capabilities(InitFlags::FUSE_ASYNC_DIO)
            .map_err(|_missing| refused("asynchronous direct I/O"))?;
        config
            .set_max_write(REQUEST_BYTES_MAX)
            .map_err(|_most| refused("requests of 1 MiB"))?;
        config
            .set_max_background(OUTSTANDING_MAX)
            .map_err(|_least| refused("bound on outstanding requests"))?;
        config
            .set_congestion_threshold(OUTSTANDING_MAX)
            .map_err(|_least| refused("bound on outstanding requests"))?;
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let inode = match name.to_str() {
            Some(DISK) if parent == INodeNo::ROOT => DISK_INODE,
            Some(COUNTERS) if parent == INodeNo::ROOT => COUNTERS_INODE,
            Some(SWEEP) if parent == INodeNo::ROOT => SWEEP_INODE,
            _ => return reply.error(Errno::ENOENT),
        };
        match self.attributes(inode) {
            Some(attributes) => reply.entry(&LONG, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&LONG, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _request: &Request, _inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        // Past the page cache, in any case: the counters change, and the disk has its own times.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let came = clock::now().instant;
        match inode {
            DISK_INODE => match self.read_disk(offset, size) {
                Ok(data) => {
                    let extent = (offset, data.len() as u64);
                    let held = Held::Read(reply, data);
                    self.delay.hold(Wanted::Read, extent, came, held);
                }
                Err(error) => reply.error(error.into()),
            },
            COUNTERS_INODE => match self.counted() {
                Some(text) => {
                    let from = usize::try_from(offset).unwrap_or(usize::MAX);
                    let rest = text.as_bytes().get(from..).unwrap_or_default();
                    let most = usize::try_from(size).unwrap_or(usize::MAX);
                    reply.data(&rest[..rest.len().min(most)]);
                }
                None => reply.error(Errno::EIO),
            },
            SWEEP_INODE => match self.swept(offset) {
                Some(text) => reply.data(text.as_bytes()),
                None => reply.error(Errno::EIO),
            },
            _ => reply.error(Errno::EISDIR),
        }
    }

    fn write(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let came = clock::now().instant;
        let (bytes, Ok(written)) = (data.len() as u64, u32::try_from(data.len())) else {
            return reply.error(Errno::EINVAL);
        };
        if inode != DISK_INODE || offset.saturating_add(bytes) > self.bytes {
            return reply.error(Errno::ENOSPC);
        }
        match self.backing.write_all_at(data, offset) {
            Ok(()) => {
                let held = Held::Write(reply, written);
                self.delay.hold(Wanted::Write, (offset, bytes), came, held);
            }
            Err(error) => reply.error(error.into()),
        }
    }

    fn fsync(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _data_only: bool,
        reply: ReplyEmpty,
    ) {
        let came = clock::now().instant;
        let held = Held::Flush(reply);
        self.delay.hold(Wanted::Flush, (0, 0), came, held);
    }

    fn readdir(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let entries = [
            (INodeNo::ROOT, FileType::Directory, "."),
            (INodeNo::ROOT, FileType::Directory, ".."),
            (DISK_INODE, FileType::RegularFile, DISK),
            (COUNTERS_INODE, FileType::RegularFile, COUNTERS),
            (SWEEP_INODE, FileType::RegularFile, SWEEP),
        ];
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for ((inode, kind, name), next) in entries.into_iter().zip(1..).skip(skipped) {
            if reply.add(inode, next, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
