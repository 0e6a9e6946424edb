//! How a disk of each class is treated, where carbon.conf says nothing: one table, with the reason for
//! each number. Every value has an option of its own.

use super::Class;
use crate::limits::{
    POINT_AGE_HDD_SECONDS, POINT_AGE_SSD_SECONDS, RING_WORKERS_HDD, RING_WORKERS_MAX,
    UPDATES_IN_FLIGHT_MAX,
};

/// How a disk is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Updates of a shard in flight: what the disk and the kernel can put in order, or do side by
    /// side.
    pub updates_in_flight: usize,
    /// Threads of the kernel that may wait for the disk in a shard's operations.
    pub kernel_workers: u32,
    /// What is due is written in the order in which its files lie on the disk.
    pub in_disk_order: bool,
    /// Whether what an update has written begins its way to the disk at once.
    pub write_back: bool,
    /// How long a point may wait so that an update has many, in seconds.
    pub max_point_age_s: u32,
}

/// No head moves. Files of usual sizes are in the page cache, and there a few kernel workers did more
/// than many (5.1 us an update with 4, 8.1 with 16: they wait for one another, not for the disk).
/// A minute's points of a metric are one update.
const SSD: Profile = Profile {
    updates_in_flight: UPDATES_IN_FLIGHT_MAX,
    kernel_workers: RING_WORKERS_MAX,
    in_disk_order: false,
    write_back: false,
    max_point_age_s: POINT_AGE_SSD_SECONDS,
};

/// Each block that lies elsewhere costs 4 to 15 ms, and the disk puts up to 32 requests in the order in
/// which its heads pass them (NCQ), if it has them: so many workers are to wait for it at once. An
/// update costs some seeks whatever it writes, so points are held for five times as long, and files
/// that lie one behind the other are written one after the other.
const HDD: Profile = Profile {
    updates_in_flight: UPDATES_IN_FLIGHT_MAX,
    kernel_workers: RING_WORKERS_HDD,
    in_disk_order: true,
    write_back: true,
    max_point_age_s: POINT_AGE_HDD_SECONDS,
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
