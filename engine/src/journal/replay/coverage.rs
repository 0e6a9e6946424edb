//! What of one stream's points is done with: per name, all before a serial; and, for the few where
//! times count too, the pairs of serial and time that say more.
//! Names are numbers here, which are dense over the whole replay; ids are those of the stream, each
//! in its generation. What is written of a name counts for its points under every id that it had in
//! the stream. Names of other shards are passed over; ids without a name are kept apart, so that
//! their points can be counted as lost.
//! Memory: 4 bytes an id and 12 a name, in pages that are there where names are.

use std::collections::BTreeMap;

use crate::journal::entry::CUT_NONE;
use crate::journal::walk::Effort;

/// No name: its number in a page of ids.
pub(super) const NAMELESS: u32 = u32::MAX;
/// A name that another shard owns.
pub(super) const FOREIGN: u32 = u32::MAX - 1;

const PAGE: usize = 1024;

/// Part of a coverage: points below this serial and before this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    serial: u64,
    cut: u32,
}

/// How far one name's points are done with, in 12 bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    /// The low half of the serial below which all points are.
    low: u32,
    /// The high half; its topmost bit says that there are parts.
    high: u32,
    /// The latest time of points that are not, at least 1; 0 where there are none.
    newest: u32,
}

const PARTED: u64 = 1 << 63;

impl Record {
    #[inline]
    fn word(self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }

    #[inline]
    fn serial(self) -> u64 {
        self.word() & !PARTED
    }

    #[inline]
    fn is_parted(self) -> bool {
        self.word() & PARTED != 0
    }

    #[inline]
    fn set(&mut self, serial: u64, parted: bool) {
        let word = serial | if parted { PARTED } else { 0 };
        let (low, high) = (word & u64::from(u32::MAX), word >> 32);
        let half = |half: u64| u32::try_from(half).unwrap_or(u32::MAX);
        (self.low, self.high) = (half(low), half(high));
    }
}

/// An id without a name that has points.
#[derive(Clone, Debug, Default)]
struct Nameless {
    serial: u64,
    parts: Vec<Part>,
}

/// The ids of one generation of names.
#[derive(Debug, Default)]
pub(super) struct Ids {
    pages: Vec<Option<Box<[u32; PAGE]>>>,
    nameless: BTreeMap<u32, Nameless>,
}

/// Whose point it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Of a name that is owned: its number.
    Ours(u32),
    /// Of another shard's name.
    Foreign,
    /// Nobody knows.
    Nameless,
}

impl Ids {
    /// Gives an id its name's number, or `FOREIGN`. The first name counts.
    pub(super) fn name(&mut self, id: u32, number: u32) {
        let (page, unit) = place(id);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| Box::new([NAMELESS; PAGE]));
        if page[unit] == NAMELESS {
            page[unit] = number;
        }
    }

    /// The number of an id's name, `FOREIGN` or `NAMELESS`.
    #[inline]
    pub(super) fn number(&self, id: u32) -> u32 {
        let (page, unit) = place(id);
        let page = self.pages.get(page).and_then(Option::as_ref);
        page.map_or(NAMELESS, |page| page[unit])
    }

    /// Whose points an id's are.
    #[inline]
    pub(super) fn whose(&self, id: u32) -> Whose {
        match self.number(id) {
            NAMELESS => Whose::Nameless,
            FOREIGN => Whose::Foreign,
            number => Whose::Ours(number),
        }
    }

    /// A point of an id without a name.
    #[cold]
    pub(super) fn saw_nameless(&mut self, id: u32) {
        self.nameless.entry(id).or_default();
    }

    /// Is this point of an id without a name done with?
    #[cold]
    pub(super) fn covers_nameless(&self, id: u32, serial: u64, timestamp: u32) -> bool {
        self.nameless.get(&id).is_some_and(|nameless| {
            serial < nameless.serial || covers(&nameless.parts, serial, timestamp)
        })
    }

    /// Are there points without a name?
    pub(super) fn has_nameless(&self) -> bool {
        !self.nameless.is_empty()
    }
}

/// How far the names of a stream are done with.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    pages: Vec<Option<Box<[Record; PAGE]>>>,
    parts: BTreeMap<u32, Vec<Part>>,
    /// Something is done with.
    has_covered: bool,
}

impl Coverage {
    /// Is anything at all done with?
    pub(super) fn has_covered(&self) -> bool {
        self.has_covered
    }

    /// A point of a name.
    #[inline]
    pub(super) fn saw(&mut self, number: u32, timestamp: u32) {
        let record = self.record(number);
        record.newest = record.newest.max(timestamp).max(1);
    }

    /// Is this point done with?
    #[inline]
    pub(super) fn covers(&self, number: u32, serial: u64, timestamp: u32) -> bool {
        let (page, unit) = place(number);
        let Some(page) = self.pages.get(page).and_then(Option::as_ref) else {
            return false;
        };
        let record = page[unit];
        serial < record.serial() || (record.is_parted() && self.parted(number, serial, timestamp))
    }

    #[cold]
    fn parted(&self, number: u32, serial: u64, timestamp: u32) -> bool {
        let parts = self.parts.get(&number);
        parts.is_some_and(|parts| covers(parts, serial, timestamp))
    }

    /// All points of some ids below `serial` are done with; `is_all` says that it is the present one.
    /// Says from which id on it is to be called again, where the effort did not suffice.
    pub(super) fn cover(
        &mut self,
        ids: &mut Ids,
        (first, last): (u32, u32),
        (serial, is_all): (u64, bool),
        effort: &mut Effort,
    ) -> Option<u32> {
        let mut id = first;
        let mut behind = None;
        loop {
            let (page, unit) = place(id);
            // What lies behind the last page has no names, and neither has a page that is missing.
            if page >= ids.pages.len() {
                break;
            }
            let units = PAGE.min(unit + (last - id) as usize + 1) - unit;
            if let Some(numbers) = ids.pages[page].as_deref() {
                let owned = numbers[unit..unit + units].iter();
                for number in owned.filter(|number| **number < FOREIGN) {
                    self.cover_name(*number, serial, is_all);
                }
            }
            let passed = u32::try_from(units).unwrap_or(u32::MAX);
            effort.spend(Effort::WRITTEN_ID * i64::from(passed));
            if last - id < passed {
                break;
            }
            id += passed;
            if effort.is_spent() {
                behind = Some(id);
                break;
            }
        }
        let until = behind.map_or(last, |behind| behind - 1);
        for (_, nameless) in ids.nameless.range_mut(first..=until) {
            nameless.serial = nameless.serial.max(serial);
            let done = nameless.serial;
            nameless.parts.retain(|part| part.serial > done);
        }
        behind
    }

    #[inline]
    fn cover_name(&mut self, number: u32, serial: u64, is_all: bool) {
        self.has_covered = true;
        let record = self.record(number);
        if is_all {
            record.newest = 0;
        }
        let parted = record.is_parted();
        let done = record.serial().max(serial);
        record.set(done, parted);
        if parted {
            self.shed(number, done);
        }
    }

    /// Points of an id below `serial` and before `cut` are done with; `is_all` says that `serial` is
    /// the present one.
    pub(super) fn cover_part(&mut self, ids: &mut Ids, id: u32, part: (u64, u32), is_all: bool) {
        let (serial, cut) = part;
        let part = Part { serial, cut };
        self.has_covered = true;
        match ids.whose(id) {
            Whose::Foreign => {}
            Whose::Ours(number) if cut == CUT_NONE => {
                let record = self.record(number);
                let parted = record.is_parted();
                let done = record.serial().max(serial);
                record.set(done, parted);
                if is_all {
                    record.newest = 0;
                }
                if parted {
                    self.shed(number, done);
                }
            }
            Whose::Ours(number) => {
                let record = self.record(number);
                if is_all && record.newest < cut {
                    record.newest = 0;
                }
                let done = record.serial();
                if serial > done {
                    record.set(done, true);
                    insert(self.parts.entry(number).or_default(), part);
                }
            }
            Whose::Nameless => {
                let Some(nameless) = ids.nameless.get_mut(&id) else {
                    return;
                };
                if cut == CUT_NONE {
                    nameless.serial = nameless.serial.max(serial);
                } else if serial > nameless.serial {
                    insert(&mut nameless.parts, part);
                }
            }
        }
    }

    /// Gives up the parts that say no more than this serial.
    #[cold]
    fn shed(&mut self, number: u32, serial: u64) {
        let Some(parts) = self.parts.get_mut(&number) else {
            unreachable!("name {number} has parts")
        };
        parts.retain(|part| part.serial > serial);
        if parts.is_empty() {
            self.parts.remove(&number);
            self.record(number).set(serial, false);
        }
    }

    /// How many pages `newest_of` can be asked about.
    pub(super) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The latest time of points of a page's names that are not done with.
    pub(super) fn newest_of(&self, page: usize) -> Option<u32> {
        let page = self.pages.get(page)?.as_deref()?;
        let newest = page.iter().map(|record| record.newest).max();
        newest.filter(|newest| *newest > 0)
    }

    #[inline]
    fn record(&mut self, number: u32) -> &mut Record {
        let (page, unit) = place(number);
        if self.pages.len() <= page || self.pages[page].is_none() {
            self.add_page(page);
        }
        let Some(page) = self.pages[page].as_mut() else {
            unreachable!("page {page} was added")
        };
        &mut page[unit]
    }

    #[cold]
    fn add_page(&mut self, page: usize) {
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        self.pages[page] = Some(Box::new([Record::default(); PAGE]));
    }
}

#[inline]
fn place(number: u32) -> (usize, usize) {
    (number as usize / PAGE, number as usize % PAGE)
}

fn covers(parts: &[Part], serial: u64, timestamp: u32) -> bool {
    let covers = |part: &Part| serial < part.serial && timestamp < part.cut;
    parts.iter().any(covers)
}

/// Adds a part, unless another says as much; those that say less than it go.
fn insert(parts: &mut Vec<Part>, part: Part) {
    let implied = |one: &Part, by: &Part| one.serial <= by.serial && one.cut <= by.cut;
    if !parts.iter().any(|other| implied(&part, other)) {
        parts.retain(|other| !implied(other, &part));
        parts.push(part);
    }
}
