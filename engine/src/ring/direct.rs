//! Reads past the page cache, to learn how long a disk takes for one: what the kernel says of a
//! virtual disk is no answer. Blocks its caller, so it belongs to the start and to tools, never to a
//! shard's thread. Nothing is written. On failure: the kernel's error.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Advice, Mode, OFlags, SeekFrom};

/// Bytes of one read: a page, which every disk's sectors divide.
pub const DIRECT_BYTES: usize = 4096;

/// Memory that lies as such reads want it.
#[repr(align(4096))]
struct Page([u8; DIRECT_BYTES]);

/// A file or block device that is read past the page cache.
pub struct DirectFile {
    file: OwnedFd,
    bytes: u64,
    page: Box<Page>,
}

impl std::fmt::Debug for DirectFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let DirectFile { file, bytes, .. } = self;
        write!(f, "DirectFile({file:?}, {bytes} bytes)")
    }
}

impl DirectFile {
    /// Opens a file or block device for reading.
    pub fn open(path: &Path) -> io::Result<DirectFile> {
        let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(path, flags, Mode::empty())?;
        let bytes = rustix::fs::seek(&file, SeekFrom::End(0))?;
        let page = Box::new(Page([0; DIRECT_BYTES]));
        Ok(DirectFile { file, bytes, page })
    }

    /// How many whole pages it has.
    pub fn pages(&self) -> u64 {
        self.bytes / DIRECT_BYTES as u64
    }

    /// Reads one page from the disk. The bytes are nobody's business.
    pub fn read_page(&mut self, page: u64) -> io::Result<()> {
        assert!(page < self.pages(), "page {page} of {}", self.pages());
        let read = rustix::io::pread(&self.file, &mut self.page.0, page * DIRECT_BYTES as u64)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// Has the kernel forget what it holds of a file that is not being written: its next read is from the
/// disk.
pub fn forget(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    Ok(rustix::fs::fadvise(file, 0, None, Advice::DontNeed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_from_files_and_what_is_not_there_is_an_error() {
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, vec![7; 3 * DIRECT_BYTES + 5]).unwrap();
        let mut file = DirectFile::open(&path).unwrap();
        assert_eq!(file.pages(), 3);
        for page in [2, 0, 1] {
            file.read_page(page).unwrap();
        }
        forget(&path).unwrap();
        let cut = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        cut.set_len(0).unwrap();
        let error = file.read_page(1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let missing = DirectFile::open(&directory.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
