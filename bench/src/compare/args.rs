//! What `benzene-bench compare` was told: which disks, how long, where the report goes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use benzene_engine::device::Class;
use clap::ValueEnum;

use super::search::Goal;
use crate::daemon::DaemonArgs;
use crate::disk::Format;

/// Time between two syncs: a spinning disk gets more to sort.
const SYNC_HDD: Duration = Duration::from_secs(2);
const SYNC_SSD: Duration = Duration::from_secs(1);

/// Options of `compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
    /// A directory on the spinning disk; what is made in it goes away in the end
    #[arg(long, value_name = "DIR")]
    hdd: Option<PathBuf>,
    /// A directory on the flash disk; the same
    #[arg(long, value_name = "DIR")]
    ssd: Option<PathBuf>,
    /// Model disks in the place of those that are not named: 7,200 rpm, slow SATA flash; root
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "both", require_equals = true)]
    model: Option<Models>,
    /// Where the model disks keep their bytes; in memory the machine's own disk cannot disturb them
    /// [default: /dev/shm, else the directory of temporary files]
    #[arg(long, value_name = "DIR", requires = "model")]
    model_dir: Option<PathBuf>,
    /// What the model disks are formatted with
    #[arg(long, value_enum, default_value_t = Format::Ext4)]
    pub(super) fs: Format,
    /// How long each measurement lasts; there are some twenty-five for each disk
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Most files on a disk; never more than a tenth of its free room
    #[arg(long, default_value_t = 40_000, value_parser = clap::value_parser!(u32).range(200..=1_000_000))]
    files: u32,
    /// The files' archives, as storage-schemas.conf has them
    #[arg(long, default_value = "60s:1d,5m:7d")]
    pub(super) archives: String,
    /// Measure single updates also after the page cache of the whole machine was dropped, names and
    /// inodes with it; root
    #[arg(long)]
    pub(super) cold: bool,
    /// Only show that everything works: few files, a second each, figures that mean nothing
    #[arg(long)]
    quick: bool,
    /// A line of yours for the head of the report: which commit, which machine
    #[arg(long, value_name = "TEXT")]
    pub(super) note: Option<String>,
    /// Measure nothing, and show what an earlier comparison wrote as JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hdd", "ssd", "model"])]
    pub(super) from: Option<PathBuf>,
    /// Write the figures to this file too, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write a page with plots to this file too; it needs nothing else
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
}

/// Which model disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Models {
    /// Each that is not named
    Both,
    /// The spinning one
    Hdd,
    /// The flash disk
    Ssd,
}

impl Models {
    fn has(self, class: Class) -> bool {
        match self {
            Models::Both => true,
            Models::Hdd => class == Class::Hdd,
            Models::Ssd => class == Class::Ssd,
        }
    }
}

/// Where a disk is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// It is there: a directory on it.
    There(PathBuf),
    /// It is to be made: where it keeps its bytes.
    Model(PathBuf),
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Of each measurement.
    pub(super) seconds: u32,
    /// Most files.
    pub(super) files: u32,
    /// The search for a rate.
    pub(super) goal: Goal,
    /// Part of the rate of single updates from which the search begins.
    pub(super) estimate_part: f64,
    /// Time between two syncs on a disk of a class.
    pub(super) sync: fn(Class) -> Duration,
    /// Parts of the rate found at which the daemon is looked at too.
    pub(super) rates: &'static [f64],
    /// Points of an update.
    pub(super) points: &'static [u32],
    /// Shares of the rate found at which the limiter stands; in the end it is without a limit.
    pub(super) limits: &'static [f64],
}

impl CompareArgs {
    /// The disks, in the order of the report.
    pub(super) fn wanted(&self) -> Result<Vec<(Class, Wanted)>> {
        let bytes = self.model_dir.clone().unwrap_or_else(memory);
        let mut wanted = Vec::new();
        for (class, there) in [(Class::Hdd, &self.hdd), (Class::Ssd, &self.ssd)] {
            let is_model = self.model.is_some_and(|model| model.has(class));
            match there {
                Some(dir) => wanted.push((class, Wanted::There(dir.clone()))),
                None if is_model => {
                    // Not named by the process: the next one takes away what a killed one left.
                    let name = format!("benzene-compare-{}", class.name());
                    wanted.push((class, Wanted::Model(bytes.join(name))));
                }
                None => {}
            }
        }
        ensure!(
            !wanted.is_empty(),
            "no disk: name one with --hdd DIR or --ssd DIR, or have model disks made with --model"
        );
        Ok(wanted)
    }

    /// How much is measured on a disk of this class.
    pub(super) fn extent(&self) -> Extent {
        if self.quick {
            return Extent {
                seconds: 1,
                files: self.files.min(400),
                goal: Goal {
                    ratio: 1.5,
                    probes_max: 1,
                },
                estimate_part: 0.3,
                sync: |_| Duration::from_millis(300),
                rates: &[],
                points: &[1, 60],
                limits: &[0.5],
            };
        }
        Extent {
            seconds: self.seconds,
            files: self.files,
            goal: Goal {
                ratio: 1.1,
                probes_max: 8,
            },
            estimate_part: 1.0,
            sync: |class| match class {
                Class::Hdd => SYNC_HDD,
                Class::Ssd | Class::Unknown => SYNC_SSD,
            },
            rates: &[0.25, 0.5],
            points: &[1, 10, 60],
            limits: &[0.125, 0.25, 0.5, 1.0],
        }
    }
}

/// In memory, where that can be.
fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: CompareArgs,
    }

    fn wanted(options: &[&str]) -> Result<Vec<(Class, Wanted)>> {
        Line::parse_from([&["x"], options].concat()).args.wanted()
    }

    #[test]
    fn a_model_stands_in_for_what_is_not_named() {
        let both = wanted(&["--model", "--model-dir", "/m"]).unwrap();
        assert_eq!(both.len(), 2);
        assert!(
            both.iter()
                .all(|(_, disk)| matches!(disk, Wanted::Model(_)))
        );
        let one = wanted(&["--model", "--ssd", "/s"]).unwrap();
        assert!(matches!(one[0], (Class::Hdd, Wanted::Model(_))));
        assert_eq!(one[1], (Class::Ssd, Wanted::There(PathBuf::from("/s"))));
        assert_eq!(wanted(&["--hdd", "/h"]).unwrap().len(), 1);
        assert!(wanted(&[]).is_err());
        let one = wanted(&["--model=ssd"]).unwrap();
        assert!(matches!(one[..], [(Class::Ssd, Wanted::Model(_))]));
    }
}
