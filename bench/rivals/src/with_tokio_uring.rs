//! The same over tokio-uring's `File`: descriptors kept, a number of files at work at once on its
//! current-thread runtime. It caps no kernel workers and has no linked operations.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result};
use benzene_engine::ring::{ByteRange, Piece};
use tokio_uring::fs::{File, OpenOptions, rename};
use tokio_uring::{Runtime, builder, spawn};

use crate::kept::{Keeper, OpenFile};
use crate::round::Round;
use crate::{Latencies, WritePath};

impl OpenFile for File {
    async fn open(path: &Path) -> Result<Option<Self>> {
        let mut options = OpenOptions::new();
        match options.read(true).write(true).open(path).await {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }

    async fn create(path: &Path, head: Vec<u8>, file_bytes: u64) -> Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true);
        let file = options.open(path).await?;
        let (written, _) = file.write_all_at(head, 0).await;
        written?;
        file.fallocate(0, file_bytes, 0).await?;
        Ok(file)
    }

    async fn rename(&mut self, from: &Path, to: &Path) -> Result<()> {
        Ok(rename(from, to).await?)
    }

    async fn read(&self, range: ByteRange) -> Result<Vec<u8>> {
        let wanted = range.len as usize;
        let mut bytes = Vec::with_capacity(wanted);
        // Short reads are resumed until the file ends.
        while bytes.len() < wanted {
            let rest = Vec::with_capacity(wanted - bytes.len());
            let (read, rest) = self.read_at(rest, range.offset + bytes.len() as u64).await;
            if read? == 0 {
                break;
            }
            bytes.extend(rest);
        }
        bytes.truncate(wanted);
        Ok(bytes)
    }

    async fn write(&self, piece: Piece) -> Result<()> {
        let (written, _) = self.write_all_at(piece.bytes, piece.offset).await;
        Ok(written?)
    }

    async fn close(self) -> Result<()> {
        Ok(File::close(self).await?)
    }
}

/// Files at work at once on a tokio-uring runtime.
pub struct TokioUring {
    runtime: Runtime,
    kept: Keeper<File>,
    depth: u32,
}

impl fmt::Debug for TokioUring {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TokioUring {{ depth: {} }}", self.depth)
    }
}

impl TokioUring {
    /// A runtime on the calling thread, with so many files at work.
    pub fn new(depth: u32) -> Result<Self> {
        let runtime = Runtime::new(&builder()).context("tokio-uring does not start")?;
        Ok(Self {
            runtime,
            kept: Keeper::new(),
            depth,
        })
    }
}

impl WritePath for TokioUring {
    fn carry_out(&mut self, round: &Arc<Round>, latencies: &mut Latencies) -> Result<()> {
        let pass = self.kept.begin(round, latencies);
        self.runtime.block_on(async {
            let workers: Vec<_> = (0..self.depth)
                .map(|_| spawn(Rc::clone(&pass).work()))
                .collect();
            for worker in workers {
                worker.await??;
            }
            anyhow::Ok(())
        })?;
        *latencies = pass.latencies();
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.runtime.block_on(self.kept.close())
    }
}
