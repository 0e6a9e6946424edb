//! What carbon.conf says of the disk, before it is known which kind it is: its class, and for each
//! value of a profile (`engine::device::Profile`) what the operator wants in its place.
//! A rate that is set for a class wins over the one that is set for all; without either the device
//! decides.

use benzene_engine::device::Class;

use super::low::Low;
use super::value::Rate;

/// What carbon.conf says of the disk.
#[derive(Clone, Debug)]
pub struct DiskSettings {
    /// DEVICE_CLASS; None: to be found out.
    pub class: Option<Class>,
    /// Updates a second.
    pub updates: ByClass,
    /// READ_WAIT_MAX: what one read in a hundred may wait, in milliseconds.
    pub read_wait_ms: Option<u32>,
    /// Creates a minute.
    pub creates: ByClass,
    /// Updates of a shard in flight at most.
    pub updates_in_flight_max: Option<usize>,
    /// Kernel workers of a shard at most.
    pub kernel_workers_max: Option<u32>,
    /// With `Strategy::Deadline`: what is due is written in the order of the disk.
    pub in_disk_order: Option<bool>,
    /// Whether the kernel is told not to read ahead in files, on any disk.
    pub fadvise_random: bool,
    /// Seconds that `deadline` holds a point back at most, and other orders pass over a metric.
    pub max_point_age_s: Option<u32>,
}

/// A rate that may differ by the class of the disk.
#[derive(Clone, Copy, Debug)]
pub struct ByClass {
    any: Chosen,
    ssd: Option<Chosen>,
    hdd: Option<Chosen>,
}

/// A rate, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Chosen {
    /// The rate in the unit of its option.
    pub rate: Rate,
    /// The option.
    pub option: &'static str,
    /// The line of carbon.conf that limits it; None where none does.
    pub line: Option<usize>,
}

impl ByClass {
    /// What holds for a disk of this class; of what nobody knows, what holds for an SSD.
    pub fn of(&self, class: Class) -> Chosen {
        let own = match class {
            Class::Ssd | Class::Unknown => self.ssd,
            Class::Hdd => self.hdd,
        };
        own.unwrap_or(self.any)
    }

    fn read(low: &Low, [any, ssd, hdd]: [&'static str; 3]) -> ByClass {
        let chosen = |option| {
            low.rate(option).map(|rate| Chosen {
                rate,
                option,
                line: low
                    .written(option)
                    .filter(|_| rate.limit().is_some())
                    .map(|written| written.place.line),
            })
        };
        let auto = Chosen {
            rate: Rate::Auto,
            option: any,
            line: None,
        };
        ByClass {
            any: chosen(any).unwrap_or(auto),
            ssd: chosen(ssd),
            hdd: chosen(hdd),
        }
    }
}

/// Puts together what is said of the disk.
pub(super) fn disk(low: &Low) -> DiskSettings {
    DiskSettings {
        class: match low.text("DEVICE_CLASS").as_deref() {
            Some("ssd") => Some(Class::Ssd),
            Some("hdd") => Some(Class::Hdd),
            Some(_) | None => None,
        },
        updates: ByClass::read(
            low,
            [
                "MAX_UPDATES_PER_SECOND",
                "MAX_UPDATES_PER_SECOND_SSD",
                "MAX_UPDATES_PER_SECOND_HDD",
            ],
        ),
        creates: ByClass::read(
            low,
            [
                "MAX_CREATES_PER_MINUTE",
                "MAX_CREATES_PER_MINUTE_SSD",
                "MAX_CREATES_PER_MINUTE_HDD",
            ],
        ),
        read_wait_ms: small(low, "READ_WAIT_MAX"),
        updates_in_flight_max: small(low, "UPDATES_IN_FLIGHT").and_then(|n| n.try_into().ok()),
        kernel_workers_max: small(low, "KERNEL_WORKERS"),
        in_disk_order: match low.text("DISK_ORDER").as_deref() {
            Some("on") => Some(true),
            Some("off") => Some(false),
            Some(_) | None => None,
        },
        fadvise_random: low.switch("WHISPER_FADVISE_RANDOM"),
        max_point_age_s: small(low, "MAX_POINT_AGE"),
    }
}

/// A number whose bound fits, where one is written.
fn small(low: &Low, option: &str) -> Option<u32> {
    low.integer(option)
        .and_then(|number| number.try_into().ok())
}
