//! What is known of a series: its record in the series table. One cache line.

use super::due::Due;
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
    /// Its file is missing, and is made as soon as there is a place among those that are being made.
    Missing,
    /// Its file is missing; it waits until a limit grants its create.
    Waiting,
    /// Its file was not seen, and cannot be looked for or made just now; to be tried again later.
    Unmade,
    /// Its file cannot be written just now; to be tried again later.
    Parked,
}

impl Standing {
    /// Those in which points wait until a limit grants a create, or for a file that cannot be made or
    /// written.
    pub(super) const STUCK: [Standing; 3] = [Standing::Waiting, Standing::Unmade, Standing::Parked];
}

/// The list that a series is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// In none: in flight, handed out, parked, or with nothing but recent points or routes.
    #[default]
    Nowhere,
    /// Nothing cached, in flight or recent, and no route leads to it: may be forgotten.
    Idle,
    /// Waits for somebody to say in which data directory it is to be looked for.
    Unplaced,
    /// Waits to be looked for.
    Unproven,
    /// Waits for a place among the creates in flight.
    Missing,
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

/// No successor is known.
pub(super) const NO_SUCCESSOR: u32 = u32::MAX;

/// What is known of a series. One cache line, and never parts of two.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Record {
    name: NameRef,
    /// What comes after this series, as those say who ask.
    pub(super) successor: u32,
    /// Cached points, not in flight, without those that came too late for it.
    pub(super) cached: Run,
    /// When it came to its rank in the write order, in ticks of the order, above the number of
    /// links in the lowest byte. Ten million points a second take 200 years to fill 56 bits. With
    /// the order `deadline`, its `Due` instead of a tick.
    entered_links: u64,
    /// Neighbours in its list; in the write order, `before` is its place there.
    pub(super) before: u32,
    pub(super) after: u32,
    /// Number of its newest recent points, and once their time is over of what was written last;
    /// means nothing once those are gone.
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
            successor: NO_SUCCESSOR,
            cached: Run::default(),
            entered_links: 0,
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

impl Record {
    /// Is it a series' record, and not one that was removed?
    #[inline]
    pub(super) fn is_live(&self) -> bool {
        self.name.len() > 0
    }

    /// When it came to its rank in the write order.
    #[inline]
    pub(super) fn entered(&self) -> u64 {
        self.entered_links >> 8
    }

    /// It comes to its rank now.
    #[inline]
    pub(super) fn enter(&mut self, tick: u64) {
        assert!(tick < 1 << 56, "the order has ticked {tick} times");
        self.entered_links = tick << 8 | u64::from(self.links());
    }

    /// What the order `deadline` notes here.
    #[inline]
    pub(super) fn due(&self) -> Due {
        Due::unpack(self.entered())
    }

    /// It notes this from now on.
    #[inline]
    pub(super) fn set_due(&mut self, due: Due) {
        self.enter(due.pack());
    }

    /// How many routes lead here.
    #[inline]
    pub(super) fn links(&self) -> u8 {
        let [links, ..] = self.entered_links.to_le_bytes();
        links
    }

    /// So many routes lead here now.
    pub(super) fn set_links(&mut self, links: u8) {
        self.entered_links = self.entered() << 8 | u64::from(links);
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
