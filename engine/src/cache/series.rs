//! What is known of a series: its record in the series table. One cache line.

use super::points::Run;
use crate::names::{ENTRY_BYTES, NameRef, NameTable, Named};

/// No series.
pub(super) const NONE: u32 = u32::MAX;

/// What is known of a series' file; decides who may write its points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Not known whether its file is there.
    #[default]
    Unproven,
    /// Its file is there.
    Writable,
    /// Its file is missing; it waits for its create.
    Waiting,
    /// Its file cannot be written just now; to be tried again later.
    Parked,
}

/// The list that a series is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// In none: in flight, handed out, parked, or with nothing but recent points.
    #[default]
    Nowhere,
    /// Nothing cached, in flight or recent.
    Idle,
    /// Waits to be looked for.
    Unproven,
    /// Waits for its create, with one point.
    Once,
    /// Waits for its create, with several points.
    Repeated,
    /// In the write order.
    Ready,
}

/// Who has a series in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Hands {
    /// The cache alone.
    #[default]
    Ours,
    /// Its points are being written.
    InFlight,
    /// Its file is looked for, or being made.
    HandedOut,
}

/// What is known of a series. One cache line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    name: NameRef,
    /// Which series was asked for after this one last time.
    pub(super) successor: u32,
    /// Cached points, not in flight, without those that came too late for it.
    pub(super) cached: Run,
    /// When it came to its rank in the write order, in ticks of the order.
    pub(super) entered: u64,
    /// Neighbours in its list; in the write order, `before` is its place there.
    pub(super) before: u32,
    pub(super) after: u32,
    /// Number of its newest recent points; means nothing once those are gone.
    pub(super) recent: u32,
    pub(super) standing: Standing,
    pub(super) place: Place,
    pub(super) hands: Hands,
    /// Some of its cached points are outside the run.
    pub(super) has_late: bool,
}
const _: () = assert!(size_of::<Record>() == 64);

impl Default for Record {
    fn default() -> Self {
        Self {
            name: NameRef::default(),
            successor: NONE,
            cached: Run::default(),
            entered: 0,
            before: NONE,
            after: NONE,
            recent: 0,
            standing: Standing::Unproven,
            place: Place::Nowhere,
            hands: Hands::Ours,
            has_late: false,
        }
    }
}

impl Named for Record {
    #[inline]
    fn name(&self) -> NameRef {
        self.name
    }

    fn set_name(&mut self, name: NameRef) {
        self.name = name;
    }
}

/// Series by number and by name.
pub(super) type Table = NameTable<Record>;

/// What a series costs besides its name and points: its record and its share of the table.
pub(super) const SERIES_BYTES: u64 = (size_of::<Record>() + ENTRY_BYTES) as u64;
