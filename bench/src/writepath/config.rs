//! The write paths that can be asked for, and what is varied of each.

use std::path::Path;

use anyhow::Result;
use benzene_rivals::{Glommio, KeptDescriptors, SystemCalls, TokioUring, WritePath};
use clap::ValueEnum;

use super::pipeline::Pipeline;
use super::site::Layout;

/// A way from points to files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// The daemon's: an engine shard over io_uring, linked open, read, write and close
    Ring,
    /// The daemon's with WRITER_BACKEND = sync: the same shard, system calls on a few threads
    Sync,
    /// Open, read, write, close, one file after the other
    SystemCalls,
    /// Plain reads and writes on descriptors that are kept open
    Pwrite,
    /// glommio, descriptors kept open
    Glommio,
    /// tokio-uring, descriptors kept open
    TokioUring,
}

/// A path with everything that is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) backend: Backend,
    /// Files at work at once; None where it can only be one.
    depth: Option<u32>,
    /// Cap on the kernel's workers; None where the path sets none.
    workers: Option<u32>,
}

impl Config {
    /// All configurations of a path. With one file at work, the cap makes no difference.
    pub(crate) fn all(backend: Backend, depths: &[u32], workers: &[u32]) -> Vec<Self> {
        let config = |depth, workers| Self {
            backend,
            depth,
            workers,
        };
        match backend {
            Backend::SystemCalls | Backend::Pwrite => vec![config(None, None)],
            Backend::Sync | Backend::Glommio | Backend::TokioUring => depths
                .iter()
                .map(|depth| config(Some(*depth), None))
                .collect(),
            Backend::Ring => depths
                .iter()
                .flat_map(|depth| {
                    let caps = if *depth == 1 { 1 } else { workers.len() };
                    let caps = workers.iter().take(caps);
                    caps.map(|cap| config(Some(*depth), Some(*cap)))
                })
                .collect(),
        }
    }

    /// What it is called in reports.
    pub(crate) fn name(&self) -> String {
        let backend = match self.backend {
            Backend::Ring => "ring",
            Backend::Sync => "sync",
            Backend::SystemCalls => "system calls",
            Backend::Pwrite => "pwrite, kept",
            Backend::Glommio => "glommio, kept",
            Backend::TokioUring => "tokio-uring, kept",
        };
        let depth = self.depth.map(|depth| format!(", {depth} at once"));
        let workers = self.workers.filter(|_| self.depth != Some(1));
        let workers = workers.map(|cap| format!(", cap {cap}"));
        [Some(backend.to_owned()), depth, workers]
            .into_iter()
            .flatten()
            .collect()
    }

    /// True where every file of a list stays open.
    pub(crate) fn keeps_descriptors(&self) -> bool {
        match self.backend {
            Backend::Ring | Backend::Sync | Backend::SystemCalls => false,
            Backend::Pwrite | Backend::Glommio | Backend::TokioUring => true,
        }
    }

    /// The path itself, for files below `data_dir`.
    pub(crate) fn start(&self, layout: &Layout, data_dir: &Path) -> Result<Box<dyn WritePath>> {
        let depth = self.depth.unwrap_or(1);
        Ok(match self.backend {
            Backend::Ring | Backend::Sync => {
                let is_ring = self.backend == Backend::Ring;
                let workers = is_ring.then(|| self.workers.unwrap_or(1));
                Box::new(Pipeline::over_ring(layout, data_dir, depth, workers)?)
            }
            Backend::SystemCalls => Box::new(SystemCalls),
            Backend::Pwrite => Box::new(KeptDescriptors::new()),
            Backend::Glommio => Box::new(Glommio::new(depth)?),
            Backend::TokioUring => Box::new(TokioUring::new(depth)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_varied_is_in_the_name() {
        let names = |backend| {
            let configs = Config::all(backend, &[1, 128], &[4, 64]);
            configs.iter().map(Config::name).collect::<Vec<_>>()
        };
        assert_eq!(
            names(Backend::Ring),
            [
                "ring, 1 at once",
                "ring, 128 at once, cap 4",
                "ring, 128 at once, cap 64"
            ]
        );
        assert_eq!(names(Backend::Pwrite), ["pwrite, kept"]);
        assert_eq!(
            names(Backend::Glommio),
            ["glommio, kept, 1 at once", "glommio, kept, 128 at once"]
        );
    }
}
