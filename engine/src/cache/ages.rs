//! How old the points are that are in no file yet: of every series with such points a second at
//! which, or before which, its oldest was received.
//! Seconds are whole ones on the monotonic clock since `CacheConfig::began`; the present one is set
//! once a turn, so that a point costs no look at a clock. A point in flight counts until it is
//! written. Four bytes a series with unwritten points, in pages by its number, and an entry for
//! each second that is the stamp of some series.
//! Invariants: a stamp is never later than the receipt of the series' oldest unwritten point,
//! `Cache::carried` excepted, which says otherwise; `counts` and `at_present` hold as many
//! series as have a stamp.

use std::collections::BTreeMap;

/// No unwritten points.
const NONE: u32 = u32::MAX;
/// Stamps of a page: 4 KiB.
const PAGE_STAMPS: usize = 1024;
/// What an entry of the counts costs, in leaves of 11 that are half to three quarters full.
const COUNT_BYTES: usize = 16;

/// The stamps of neighbouring numbers; not held while none of them has any.
#[derive(Debug, Default)]
struct Page {
    stamps: Box<[u32]>,
    live: u32,
}

/// The stamps of a shard's series.
#[derive(Debug, Default)]
pub(super) struct Ages {
    present: u32,
    pages: Vec<Page>,
    held_pages: usize,
    /// Series by stamp, those stamped at the present second excepted.
    counts: BTreeMap<u32, u32>,
    at_present: u32,
    len: usize,
}

impl Ages {
    /// The present second.
    pub(super) fn present(&self) -> u32 {
        self.present
    }

    /// It is this second now.
    pub(super) fn advance(&mut self, second: u32) {
        assert!(second < NONE, "a clock that runs for 136 years");
        assert!(
            second >= self.present,
            "the clock went back from {} to {second}",
            self.present
        );
        if second == self.present {
            return;
        }
        if self.at_present > 0 {
            *self.counts.entry(self.present).or_insert(0) += self.at_present;
        }
        self.present = second;
        self.at_present = 0;
    }

    /// A series without unwritten points got one now.
    pub(super) fn begin(&mut self, id: u32) {
        let (index, place) = (id as usize / PAGE_STAMPS, id as usize % PAGE_STAMPS);
        if self.pages.len() <= index {
            self.pages.resize_with(index + 1, Page::default);
        }
        let page = &mut self.pages[index];
        if page.live == 0 {
            page.stamps = vec![NONE; PAGE_STAMPS].into_boxed_slice();
            self.held_pages += 1;
        }
        let before = std::mem::replace(&mut page.stamps[place], self.present);
        assert!(before == NONE, "series {id} has points since {before}");
        page.live += 1;
        self.at_present += 1;
        self.len += 1;
    }

    /// A series has no unwritten points any more.
    pub(super) fn end(&mut self, id: u32) {
        let (index, place) = (id as usize / PAGE_STAMPS, id as usize % PAGE_STAMPS);
        let stamp = self.stamp(id);
        self.uncount(stamp);
        self.len -= 1;
        let page = &mut self.pages[index];
        page.stamps[place] = NONE;
        page.live -= 1;
        if page.live > 0 {
            return;
        }
        page.stamps = Box::default();
        self.held_pages -= 1;
        while self.pages.last().is_some_and(|page| page.live == 0) {
            self.pages.pop();
        }
        if self.pages.len() < self.pages.capacity() / 4 {
            self.pages.shrink_to(self.pages.len() * 2);
        }
    }

    /// The stamp of a series with unwritten points.
    pub(super) fn stamp(&self, id: u32) -> u32 {
        let stamp = self.get(id);
        assert!(stamp != NONE, "series {id} has no unwritten points");
        stamp
    }

    /// Has a series unwritten points?
    pub(super) fn has(&self, id: u32) -> bool {
        self.get(id) != NONE
    }

    /// Gives a series with unwritten points another stamp, not after the present.
    pub(super) fn set(&mut self, id: u32, stamp: u32) {
        assert!(
            stamp <= self.present,
            "series {id} would have points of second {stamp}, and it is {}",
            self.present
        );
        let before = self.stamp(id);
        if before == stamp {
            return;
        }
        self.uncount(before);
        if stamp == self.present {
            self.at_present += 1;
        } else {
            *self.counts.entry(stamp).or_insert(0) += 1;
        }
        self.pages[id as usize / PAGE_STAMPS].stamps[id as usize % PAGE_STAMPS] = stamp;
    }

    /// The earliest stamp.
    pub(super) fn oldest(&self) -> Option<u32> {
        match self.counts.first_key_value() {
            Some((stamp, _)) => Some(*stamp),
            None => (self.at_present > 0).then_some(self.present),
        }
    }

    /// No series of this number or above has unwritten points.
    pub(super) fn end_of_pages(&self) -> u32 {
        u32::try_from(self.pages.len() * PAGE_STAMPS).unwrap_or(u32::MAX)
    }

    /// Series with unwritten points.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the pages and of the counts.
    pub(super) fn bytes(&self) -> usize {
        self.held_pages * PAGE_STAMPS * size_of::<u32>()
            + self.pages.capacity() * size_of::<Page>()
            + self.counts.len() * COUNT_BYTES
    }

    fn get(&self, id: u32) -> u32 {
        let page = self.pages.get(id as usize / PAGE_STAMPS);
        page.and_then(|page| page.stamps.get(id as usize % PAGE_STAMPS).copied())
            .unwrap_or(NONE)
    }

    fn uncount(&mut self, stamp: u32) {
        if stamp == self.present {
            assert!(self.at_present > 0, "nobody is stamped {stamp}");
            self.at_present -= 1;
            return;
        }
        let Some(count) = self.counts.get_mut(&stamp) else {
            unreachable!("nobody is stamped {stamp}");
        };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&stamp);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_oldest_is_always_known(
            steps in prop::collection::vec((0..5_u8, 0..3000_u32, 0..9_u32), 1..300),
        ) {
            let (mut ages, mut model) = (Ages::default(), BTreeMap::new());
            let mut now = 0;
            for (step, id, seconds) in steps {
                let id = id % 7 * 500 + id % 3;
                match step {
                    0 | 1 if !model.contains_key(&id) => {
                        ages.begin(id);
                        model.insert(id, now);
                    }
                    2 if model.remove(&id).is_some() => ages.end(id),
                    3 => {
                        if let Some(stamp) = model.get_mut(&id) {
                            *stamp = (*stamp + seconds).min(now);
                            ages.set(id, *stamp);
                        }
                    }
                    _ => {
                        now += seconds;
                        ages.advance(now);
                    }
                }
                prop_assert_eq!(ages.oldest(), model.values().min().copied());
                prop_assert_eq!(ages.len(), model.len());
                prop_assert_eq!(ages.has(id), model.contains_key(&id));
                for (id, stamp) in &model {
                    prop_assert_eq!(ages.stamp(*id), *stamp);
                }
            }
            for id in model.keys() {
                ages.end(*id);
            }
            prop_assert_eq!((ages.held_pages, ages.counts.len(), ages.pages.len()), (0, 0, 0));
        }
    }
}
