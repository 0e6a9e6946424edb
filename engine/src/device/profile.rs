//! How a disk of each class is treated, where carbon.conf says nothing: one table, with the reason for
//! each number. Every value has an option of its own.
//! New files have no rate in either: an update that is held back becomes one of more points, a create
//! stays a create (docs/decisions/0018).

use super::Class;
use crate::limits::{
    POINT_AGE_HDD_SECONDS, POINT_AGE_SSD_SECONDS, READ_WAIT_HDD_MS, READ_WAIT_SSD_MS,
    RING_WORKERS_HDD, RING_WORKERS_MAX, UPDATES_IN_FLIGHT_MAX,
};

/// How a disk is treated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Updates of a shard in flight: what the disk and the kernel can put in order, or do side by
    /// side.
    pub updates_in_flight: usize,
    /// Threads of the kernel that may wait for the disk in a shard's operations.
    pub kernel_workers: u32,
    /// What is due is written in the order in which its files lie on the disk.
    pub in_disk_order: bool,
    /// Heads move: what an update has written begins its way to the disk at once, and a read is left to a
    /// kernel worker from the start, for its place in the disk's queue may be long in coming.
    pub has_heads: bool,
    /// What one read of a foreground reader in a hundred may wait, in milliseconds.
    pub read_wait_ms: u32,
    /// Updates a second that tuning begins with.
    pub updates_first: f64,
    /// Updates a second below which tuning never goes.
    pub updates_least: f64,
    /// New files a minute; None: as many as the disk takes.
    pub creates_per_minute: Option<f64>,
    /// How long a point may wait so that an update has many, in seconds.
    pub max_point_age_s: u32,
    /// Whether the kernel may read more of a file than an update asks for.
    pub read_ahead: bool,
}

/// No head moves. Files of usual sizes are in the page cache, and there a few kernel workers did more
/// than many (5.1 us an update with 4, 8.1 with 16: they wait for one another, not for the disk).
/// A minute's points of a metric are one update. Without reading ahead a file that is not in memory takes
/// two thirds more requests for a third of the bytes, and requests are what such a disk is short of. What
/// is dirty need not be pushed out: its queue empties within a second. Tuning begins where a slow flash
/// disk has room, and its floor is what a card does.
const SSD: Profile = Profile {
    updates_in_flight: UPDATES_IN_FLIGHT_MAX,
    kernel_workers: RING_WORKERS_MAX,
    in_disk_order: false,
    has_heads: false,
    read_wait_ms: READ_WAIT_SSD_MS,
    updates_first: 4000.0,
    updates_least: 200.0,
    creates_per_minute: None,
    max_point_age_s: POINT_AGE_SSD_SECONDS,
    read_ahead: true,
};

/// Each block that lies elsewhere costs 4 to 15 ms, and the disk puts up to 32 requests in the order in
/// which its heads pass them (NCQ), if it has them: so many workers are to wait for it at once. An
/// update costs some seeks whatever it writes, so points are held for five times as long, and files
/// that lie one behind the other are written one after the other. What half a minute's updates have
/// left dirty would keep readers waiting for seconds, so each is pushed out at once. Tuning begins with
/// half of the cold updates that a disk of 7,200 rpm does in any order. Reading ahead brings a small file
/// in one transfer.
const HDD: Profile = Profile {
    updates_in_flight: UPDATES_IN_FLIGHT_MAX,
    kernel_workers: RING_WORKERS_HDD,
    in_disk_order: true,
    has_heads: true,
    read_wait_ms: READ_WAIT_HDD_MS,
    updates_first: 30.0,
    updates_least: 10.0,
    creates_per_minute: None,
    max_point_age_s: POINT_AGE_HDD_SECONDS,
    read_ahead: true,
};

impl Profile {
    /// The profile of a class. What nobody knows is treated as an SSD: points are held for less long.
    pub const fn of(class: Class) -> &'static Profile {
        match class {
            Class::Ssd | Class::Unknown => &SSD,
            Class::Hdd => &HDD,
        }
    }
}
