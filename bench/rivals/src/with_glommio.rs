//! The same over glommio's `BufferedFile`: descriptors kept, a number of files at work at once on
//! one executor. Glommio caps no kernel workers and has no linked operations.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use benzene_engine::ring::{ByteRange, Piece};
use glommio::io::{BufferedFile, OpenOptions};
use glommio::timer::sleep;
use glommio::{GlommioError, LocalExecutor, LocalExecutorBuilder, Placement, spawn_local};

use crate::kept::{Keeper, OpenFile};
use crate::round::Round;
use crate::{Latencies, WritePath};

/// Registered memory that an executor asks for: its files are buffered and use none of it, and the
/// least that it takes is one page for each kind.
const IO_MEMORY_BYTES: usize = 1 << 20;

/// glommio 0.9 can go to sleep with a completion unseen (seen once: it slept for minutes, until a
/// signal came); a timer that goes off this often bounds that.
const PULSE: Duration = Duration::from_millis(10);

/// glommio's error keeps its io::Error and says where it happened.
fn plain(error: GlommioError<()>) -> io::Error {
    error.into()
}

impl OpenFile for BufferedFile {
    async fn open(path: &Path) -> Result<Option<Self>> {
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).buffered_open(path).await;
        match opened.map_err(plain) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }

    async fn create(path: &Path, head: Vec<u8>, file_bytes: u64) -> Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true);
        let file = options.buffered_open(path).await.map_err(plain)?;
        OpenFile::write(
            &file,
            Piece {
                offset: 0,
                bytes: head,
            },
        )
        .await?;
        file.pre_allocate(file_bytes, false).await.map_err(plain)?;
        Ok(file)
    }

    async fn rename(&mut self, _from: &Path, to: &Path) -> Result<()> {
        Ok(BufferedFile::rename(self, to).await.map_err(plain)?)
    }

    async fn read(&self, range: ByteRange) -> Result<Vec<u8>> {
        let read = self.read_at(range.offset, range.len as usize).await;
        Ok(read.map_err(plain)?.to_vec())
    }

    async fn write(&self, piece: Piece) -> Result<()> {
        let wanted = piece.bytes.len();
        let written = self.write_at(piece.bytes, piece.offset).await;
        let written = written.map_err(plain)?;
        ensure!(
            written == wanted,
            "{written} of {wanted} bytes were written"
        );
        Ok(())
    }

    async fn close(self) -> Result<()> {
        Ok(BufferedFile::close(self).await.map_err(plain)?)
    }
}

/// Files at work at once on a glommio executor.
pub struct Glommio {
    executor: LocalExecutor,
    kept: Keeper<BufferedFile>,
    depth: u32,
}

impl fmt::Debug for Glommio {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Glommio {{ depth: {} }}", self.depth)
    }
}

impl Glommio {
    /// An executor on the calling thread, with so many files at work.
    pub fn new(depth: u32) -> Result<Self> {
        let builder = LocalExecutorBuilder::new(Placement::Unbound).io_memory(IO_MEMORY_BYTES);
        let executor = builder
            .make()
            .map_err(|error| anyhow!("glommio does not start: {error}"))?;
        Ok(Self {
            executor,
            kept: Keeper::new(),
            depth,
        })
    }
}

impl Glommio {
    fn run(&self, work: impl Future<Output = Result<()>>) -> Result<()> {
        self.executor.run(async {
            let pulse = spawn_local(async {
                loop {
                    sleep(PULSE).await;
                }
            });
            let result = work.await;
            pulse.cancel().await;
            result
        })
    }
}

impl WritePath for Glommio {
    fn carry_out(&mut self, round: &Arc<Round>, latencies: &mut Latencies) -> Result<()> {
        let pass = self.kept.begin(round, latencies);
        self.run(async {
            let workers: Vec<_> = (0..self.depth)
                .map(|_| spawn_local(Rc::clone(&pass).work()))
                .collect();
            for worker in workers {
                worker.await?;
            }
            Ok(())
        })?;
        *latencies = pass.latencies();
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.run(self.kept.close())
    }
}
