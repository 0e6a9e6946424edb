//! Plain system calls on one thread, one update after the other.
//! `SystemCalls` opens, reads, writes and closes each file, as Python's carbon-cache and go-carbon
//! do; `KeptDescriptors` keeps every file open, which is the fewest system calls that an update can
//! take. Both wait in the system call: a thread that serves sockets could use neither.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll, Waker};

use anyhow::{Context, Result};
use benzene_engine::clock;
use benzene_engine::ring::{ByteRange, Piece};
use rustix::fs::FallocateFlags;

use crate::kept::{Keeper, Kept, OpenFile, make};
use crate::round::{Round, Target};
use crate::{Latencies, WritePath};

impl OpenFile for File {
    async fn open(path: &Path) -> Result<Option<Self>> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }

    async fn create(path: &Path, head: Vec<u8>, file_bytes: u64) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(path)?;
        file.write_all_at(&head, 0)?;
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, file_bytes)?;
        Ok(file)
    }

    async fn rename(&mut self, from: &Path, to: &Path) -> Result<()> {
        Ok(fs::rename(from, to)?)
    }

    async fn read(&self, range: ByteRange) -> Result<Vec<u8>> {
        let mut bytes = vec![0; range.len as usize];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read_at(rest, range.offset + filled as u64)? {
                0 => break,
                more => filled += more,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    async fn write(&self, piece: Piece) -> Result<()> {
        Ok(self.write_all_at(&piece.bytes, piece.offset)?)
    }

    async fn close(self) -> Result<()> {
        drop(self);
        Ok(())
    }
}

/// Runs what never waits, because its files block in their system calls.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut task::Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("a system call is over when it returns"),
    }
}

/// Open, read, write, close: every time.
#[derive(Debug, Default)]
pub struct SystemCalls;

impl SystemCalls {
    async fn write(round: &Round, target: &Target) -> Result<()> {
        if round.creates {
            drop(make::<File>(target, &round.header).await?);
        }
        let opened: Option<Kept<File>> = Kept::open(&target.path).await?;
        let mut opened = opened.with_context(|| format!("{} is gone", target.path.display()))?;
        opened.update(round, target).await
    }
}

impl WritePath for SystemCalls {
    fn carry_out(&mut self, round: &Arc<Round>, latencies: &mut Latencies) -> Result<()> {
        for target in round.targets.iter() {
            let begun = clock::now().instant;
            at_once(Self::write(round, target))?;
            latencies.record(clock::now().instant.saturating_duration_since(begun));
        }
        Ok(())
    }
}

/// Every file stays open, its head in memory.
#[derive(Debug)]
pub struct KeptDescriptors(Keeper<File>);

impl KeptDescriptors {
    /// With no file open.
    #[expect(
        clippy::new_without_default,
        reason = "the other paths take what they need"
    )]
    pub fn new() -> Self {
        Self(Keeper::new())
    }
}

impl WritePath for KeptDescriptors {
    fn carry_out(&mut self, round: &Arc<Round>, latencies: &mut Latencies) -> Result<()> {
        let pass = self.0.begin(round, latencies);
        at_once(Rc::clone(&pass).work())?;
        *latencies = pass.latencies();
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        at_once(self.0.close())
    }
}
