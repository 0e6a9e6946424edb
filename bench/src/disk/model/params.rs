//! The table of the models: every number with where it comes from.
//! Times are in nanoseconds, rates in bytes per second, as the model counts.
//! A data sheet's average seek is taken as the time of a seek over a third of the stroke, as the
//! makers define it; its track-to-track time is what a seek takes at least (settling included).

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Nanoseconds of a microsecond and of a millisecond.
pub(crate) const US: u64 = 1000;
pub(crate) const MS: u64 = 1000 * US;
/// Bytes of a megabyte, as makers count them.
const MB: u64 = 1_000_000;

/// The disks that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ModelName {
    /// A notebook's or archive's disk of 5,400 rpm
    #[value(name = "hdd-5400")]
    #[serde(rename = "hdd-5400")]
    Hdd5400,
    /// A desktop's or server's SATA disk of 7,200 rpm
    #[value(name = "hdd-7200")]
    #[serde(rename = "hdd-7200")]
    Hdd7200,
    /// A server's SAS disk of 15,000 rpm
    #[value(name = "hdd-15k")]
    #[serde(rename = "hdd-15k")]
    Hdd15k,
    /// A slow SATA SSD
    SsdSata,
}

/// What a model is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spec {
    Hdd(HddSpec),
    Ssd(SsdSpec),
}

/// A spinning disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HddSpec {
    pub(crate) revolution_ns: u64,
    /// A seek to the next track, settled: the least that a seek takes.
    pub(crate) settle_ns: u64,
    /// A seek over a third of the stroke: the data sheet's average.
    pub(crate) third_seek_ns: u64,
    pub(crate) full_seek_ns: u64,
    /// What a write settles longer than a read.
    pub(crate) write_settle_ns: u64,
    /// From the end of a track to the begin of the next one, which is laid out to be met then.
    pub(crate) track_switch_ns: u64,
    /// Sustained rates at the outermost and innermost tracks, switches included.
    pub(crate) outer_rate: u64,
    pub(crate) inner_rate: u64,
    /// From the arrival of a request to the begin of its seek.
    pub(crate) overhead_ns: u64,
    /// The cable.
    pub(crate) link_rate: u64,
    /// Requests among which the disk chooses; what else is outstanding waits before it.
    pub(crate) queue: usize,
    /// How far it reads on behind a read, while nobody wants anything else.
    pub(crate) read_ahead_bytes: u64,
    /// Stretches that its buffer holds.
    pub(crate) segments: usize,
    /// Whether writes are answered from the buffer, unless asked otherwise.
    pub(crate) write_cache: bool,
    /// Most writes and bytes in the buffer that are not on the platter.
    pub(crate) dirty_writes: usize,
    pub(crate) dirty_bytes: u64,
    /// A request that has waited so long is served before nearer ones.
    pub(crate) patience_ns: u64,
}

/// A disk without moving parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SsdSpec {
    pub(crate) read_ns: u64,
    pub(crate) write_ns: u64,
    pub(crate) flush_ns: u64,
    /// Requests served at once.
    pub(crate) channels: usize,
    pub(crate) read_rate: u64,
    pub(crate) write_rate: u64,
}

/// What the spinning disks have in common.
const HDD: HddSpec = HddSpec {
    revolution_ns: 0,
    settle_ns: MS,
    third_seek_ns: 0,
    full_seek_ns: 0,
    write_settle_ns: 0,
    // Assumed: somewhat less than a seek to the next track, as tracks are skewed for it.
    track_switch_ns: 800 * US,
    outer_rate: 0,
    inner_rate: 0,
    // Firmware; assumed, as makers give their seek times without it.
    overhead_ns: 100 * US,
    // SATA of 3 Gbit/s, as on the data sheets.
    link_rate: 300 * MB,
    // NCQ has 32 tags.
    queue: 32,
    // Assumed: about a track, the least with which a sequential reader sees the platter's rate.
    read_ahead_bytes: 1 << 20,
    segments: 16,
    write_cache: true,
    // Assumed. The more a disk may choose from the faster are random writes; with 128 they run at two
    // to three times the rate of reads one at a time, which is not too good to be true.
    dirty_writes: 128,
    dirty_bytes: 16 << 20,
    // The kernel's deadline for reads is half a second, for writes five; disks have one of their own.
    patience_ns: 1000 * MS,
};

/// Hitachi Travelstar 5K320, OEM specification: single track 1.0 ms (write 1.1), average 12 (13), full
/// stroke 20 (21). Rates: assumed, as measured of disks of its age; inner half of outer, as the radii.
const HDD_5400: HddSpec = HddSpec {
    revolution_ns: 60_000 * MS / 5400,
    third_seek_ns: 12 * MS,
    full_seek_ns: 20 * MS,
    write_settle_ns: MS,
    outer_rate: 70 * MB,
    inner_rate: 35 * MB,
    ..HDD
};

/// Seeks of the Hitachi Deskstar 7K1000.C (two disks), specification: average 8.5 ms (write 9.5). Outer
/// rate of the Seagate Barracuda XT, data sheet: 138 MB/s. Single track, full stroke and the inner
/// rate (half, as the radii): assumed.
const HDD_7200: HddSpec = HddSpec {
    revolution_ns: 60_000 * MS / 7200,
    third_seek_ns: 8_500 * US,
    full_seek_ns: 18 * MS,
    write_settle_ns: MS,
    outer_rate: 138 * MB,
    inner_rate: 69 * MB,
    ..HDD
};

/// Seeks of the Hitachi Ultrastar 15K450, specification: average 3.3 ms (write 3.8). Rates of the Seagate
/// Cheetah 15K.7, manual: 122 to 204 MB/s. Single track and full stroke: assumed. SAS disks usually
/// come with the write cache off.
const HDD_15K: HddSpec = HddSpec {
    revolution_ns: 60_000 * MS / 15_000,
    settle_ns: 200 * US,
    third_seek_ns: 3_300 * US,
    full_seek_ns: 7_500 * US,
    write_settle_ns: 500 * US,
    track_switch_ns: 300 * US,
    outer_rate: 204 * MB,
    inner_rate: 122 * MB,
    link_rate: 600 * MB,
    write_cache: false,
    ..HDD
};

/// No product: a SATA SSD without memory of its own, after its fast cells are used up. The latencies
/// are long enough that a FUSE server on a small machine can keep them.
const SSD_SATA: SsdSpec = SsdSpec {
    read_ns: 250 * US,
    write_ns: 500 * US,
    flush_ns: 3 * MS,
    channels: 4,
    read_rate: 400 * MB,
    write_rate: 150 * MB,
};

impl ModelName {
    /// The numbers.
    pub(crate) const fn spec(self) -> Spec {
        match self {
            ModelName::Hdd5400 => Spec::Hdd(HDD_5400),
            ModelName::Hdd7200 => Spec::Hdd(HDD_7200),
            ModelName::Hdd15k => Spec::Hdd(HDD_15K),
            ModelName::SsdSata => Spec::Ssd(SSD_SATA),
        }
    }

    /// Whether it has a head that moves.
    pub(crate) const fn rotates(self) -> bool {
        matches!(self.spec(), Spec::Hdd(_))
    }

    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            ModelName::Hdd5400 => "hdd-5400",
            ModelName::Hdd7200 => "hdd-7200",
            ModelName::Hdd15k => "hdd-15k",
            ModelName::SsdSata => "ssd-sata",
        }
    }
}

/// A model as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Params {
    pub(crate) model: ModelName,
    pub(crate) bytes: u64,
    /// The outer part of the stroke over which the bytes are spread, in percent.
    pub(crate) stroke_percent: u8,
    /// None: as the model has it.
    pub(crate) write_cache: Option<bool>,
}
