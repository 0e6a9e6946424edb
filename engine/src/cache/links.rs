//! What others keep about a series: routes that lead to it, and what its senders send next.
//! A core that receives points for another one hands them over by a number of its own, its route;
//! the owner keeps which series that number means. Such a series is *linked*: its number must not
//! come to mean another one, so it is not forgotten while a link is left.

use super::series::NO_SUCCESSOR;
use super::{Cache, SeriesId};

impl Cache {
    /// Whether this number names a series, and not one that was forgotten.
    #[inline]
    pub fn is_known(&self, id: SeriesId) -> bool {
        self.table.contains(id.0)
    }

    /// The bytes of a series' name; none where the number names no series, so that comparing them
    /// with a received name needs no other check.
    #[inline]
    pub fn name_bytes(&self, id: SeriesId) -> &[u8] {
        self.table.name_bytes(id.0)
    }

    /// What was last set as coming after a series; `u32::MAX` where nothing was. What the number
    /// means is the caller's; it says nothing about a series that was forgotten.
    #[inline]
    pub fn successor(&self, id: SeriesId) -> u32 {
        self.table
            .peek(id.0)
            .map_or(NO_SUCCESSOR, |record| record.successor)
    }

    /// The series whose name most likely has this hash, for `fetch_record`.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<SeriesId> {
        self.table.likely(hash).map(SeriesId)
    }

    /// Asks for a series' record, which says where its name and its points are.
    #[inline]
    pub fn fetch_record(&self, id: SeriesId) {
        self.table.fetch_record(id.0);
    }

    /// Asks for a series' name.
    #[inline]
    pub fn fetch_name(&self, id: SeriesId) {
        self.table.fetch_name(id.0);
    }

    /// Asks for the end of a series' points.
    #[inline]
    pub fn fetch_points(&self, id: SeriesId) {
        if let Some(record) = self.table.peek(id.0) {
            self.blocks.fetch(&record.cached);
        }
    }

    /// Notes what comes after a series; nothing is noted for one that was forgotten.
    #[inline]
    pub fn set_successor(&mut self, id: SeriesId, successor: u32) {
        if self.is_known(id) {
            self.table[id.0].successor = successor;
        }
    }

    /// Was the name of a series judged, as one that is received, and may pass?
    #[inline]
    pub fn is_admitted(&self, id: SeriesId) -> bool {
        self.table.is_admitted(id.0)
    }

    /// The name of a series was judged, and may pass.
    pub fn admit(&mut self, id: SeriesId) {
        self.assert_known(id);
        self.table.admit(id.0);
    }

    /// Every name is to be judged anew.
    pub fn judge_anew(&mut self) {
        self.table.judge_anew();
    }

    /// One more route leads to a series. False where as many do already as can be counted: then
    /// points come by name.
    #[must_use]
    pub fn link(&mut self, id: SeriesId) -> bool {
        self.assert_known(id);
        let record = &mut self.table[id.0];
        let Some(links) = record.links().checked_add(1) else {
            return false;
        };
        record.set_links(links);
        self.settle(id.0);
        true
    }

    /// One route less leads to a series. After the last one it may be forgotten.
    pub fn unlink(&mut self, id: SeriesId) {
        self.assert_known(id);
        let record = &mut self.table[id.0];
        let links = record.links();
        assert!(links > 0, "{id:?} has no link to lose");
        record.set_links(links - 1);
        self.settle(id.0);
    }
}
