//! What `benzene tune` was told on the command line.

use std::path::PathBuf;

use benzene_engine::device::Class;
use clap::{Args, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  benzene tune --dir /var/lib/graphite/whisper
      what the disk of the data directory does, and what carbon.conf should say
  benzene tune --dir /mnt/sdb --retentions 10s:6h,60s:90d --seconds 120 --json
      longer, and with the files that storage-schemas.conf gives
";

/// What `benzene tune` was told on the command line.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct TuneOptions {
    /// A directory on the disk; what is made in it goes away in the end
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: PathBuf,
    /// How long to measure
    #[arg(long, default_value = "60", value_parser = clap::value_parser!(u32).range(2..=3600))]
    pub seconds: u32,
    /// Which archives the files have, as in storage-schemas.conf
    #[arg(long, default_value = "60s:1d,5m:7d")]
    pub retentions: String,
    /// Most files to make; never more than a twentieth of the free room
    #[arg(long, default_value = "20000", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub files: u32,
    /// What the disk is, where it is not to be found out
    #[arg(long, value_enum)]
    pub device_class: Option<DeviceClass>,
    /// Write the advised lines into this file, which must not be there yet
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// A class that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceClass {
    /// Flash or memory.
    Ssd,
    /// A spinning disk.
    Hdd,
}

impl From<DeviceClass> for Class {
    fn from(class: DeviceClass) -> Class {
        match class {
            DeviceClass::Ssd => Class::Ssd,
            DeviceClass::Hdd => Class::Hdd,
        }
    }
}
