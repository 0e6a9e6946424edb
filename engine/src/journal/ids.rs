//! Which id a series has in the present generation of names. Ids ascend through all generations, so
//! that those of earlier ones are void by being lower, without a pass over all series.
//! A series is known by its number in the shard's cache; which name that stands for is the owner's to
//! say, and to take back (`forget`) before it stands for another.
//! Invariants: within a generation no id is given twice; `living_bytes` is what the names of the ids
//! that stand would take, `generation_bytes` what was written in this generation.

use super::entry::ID_MAX;
use crate::cache::SeriesId;
use crate::limits::JOURNAL_IDS_BEFORE_RESET;
use crate::near;

/// No id of any generation: all that are given are above it.
const NO_ID: u32 = 0;

/// Ids by series.
#[derive(Debug)]
pub(super) struct Ids {
    /// By series: its id, void where it is below `first`.
    by_series: Vec<u32>,
    /// By series: what its name took.
    name_bytes: Vec<u16>,
    /// The first id of this generation.
    first: u32,
    next: u32,
    generation: u32,
    living_bytes: u64,
    generation_bytes: u64,
    is_worn: bool,
}

impl Ids {
    pub(super) fn new() -> Ids {
        Ids {
            by_series: Vec::new(),
            name_bytes: Vec::new(),
            first: NO_ID + 1,
            next: NO_ID + 1,
            generation: 0,
            living_bytes: 0,
            generation_bytes: 0,
            is_worn: false,
        }
    }

    /// The id of a series, if it has one in this generation.
    #[inline]
    pub(super) fn get(&self, series: SeriesId) -> Option<u32> {
        let id = *self.by_series.get(series.0 as usize)?;
        (id >= self.first).then_some(id)
    }

    /// Asks for the id of a series.
    #[inline]
    pub(super) fn fetch(&self, series: SeriesId) {
        if let Some(id) = self.by_series.get(series.0 as usize) {
            near::fetch(id);
        }
    }

    /// The id that the next series gets.
    pub(super) fn upcoming(&self) -> u32 {
        self.next
    }

    /// Gives a series the upcoming id; its name takes so many bytes.
    pub(super) fn give(&mut self, series: SeriesId, name_bytes: usize) {
        assert!(
            self.get(series).is_none(),
            "{series:?} has id {:?}",
            self.get(series)
        );
        assert!(self.next < ID_MAX, "no id is left of {ID_MAX}");
        let index = series.0 as usize;
        if self.by_series.len() <= index {
            self.by_series.resize(index + 1, NO_ID);
            self.name_bytes.resize(index + 1, 0);
        }
        self.by_series[index] = self.next;
        self.next += 1;
        // The longest name's entry fits by far; the sum would only be a little off.
        let bytes = u16::try_from(name_bytes).unwrap_or(u16::MAX);
        self.name_bytes[index] = bytes;
        self.living_bytes += u64::from(bytes);
        self.generation_bytes += u64::from(bytes);
    }

    /// The number may stand for another name from here on.
    pub(super) fn forget(&mut self, series: SeriesId) {
        if self.get(series).is_some() {
            let index = series.0 as usize;
            self.by_series[index] = NO_ID;
            self.living_bytes -= u64::from(self.name_bytes[index]);
        }
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// Looks whether so much of what this generation wrote is of no use that a new one, which writes
    /// what is alive again, is worth it: `slack_bytes` and more than half; or ids come to an end.
    pub(super) fn look_for_wear(&mut self, slack_bytes: u64) {
        self.is_worn = self.generation_bytes > 2 * self.living_bytes + slack_bytes
            || self.next > JOURNAL_IDS_BEFORE_RESET;
    }

    /// Whether a new generation is worth it, as of the last look.
    pub(super) fn is_worn(&self) -> bool {
        self.is_worn
    }

    /// A new generation: all ids are void.
    pub(super) fn begin_generation(&mut self) {
        if self.next > JOURNAL_IDS_BEFORE_RESET {
            self.by_series.fill(NO_ID);
            self.next = NO_ID + 1;
        }
        let Some(generation) = self.generation.checked_add(1) else {
            unreachable!("generations begin less often than segments")
        };
        self.generation = generation;
        self.first = self.next;
        self.living_bytes = 0;
        self.generation_bytes = 0;
        self.is_worn = false;
    }

    /// Bytes that the tables hold.
    pub(super) fn bytes(&self) -> u64 {
        (self.by_series.capacity() * size_of::<u32>()
            + self.name_bytes.capacity() * size_of::<u16>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_worn(ids: &mut Ids, slack_bytes: u64) -> bool {
        ids.look_for_wear(slack_bytes);
        ids.is_worn()
    }

    fn give(ids: &mut Ids, series: u32) -> u32 {
        let id = ids.upcoming();
        ids.give(SeriesId(series), 10);
        id
    }

    #[test]
    fn ids_ascend_and_are_void_in_the_next_generation() {
        let mut ids = Ids::new();
        let first = give(&mut ids, 7);
        let second = give(&mut ids, 3);
        assert!(second > first);
        assert_eq!(ids.get(SeriesId(7)), Some(first));
        assert_eq!(ids.get(SeriesId(5)), None);
        assert_eq!(ids.get(SeriesId(99)), None);
        ids.begin_generation();
        assert_eq!(ids.get(SeriesId(7)), None);
        let third = give(&mut ids, 7);
        assert!(third > second);
        assert_eq!(
            (ids.get(SeriesId(7)), ids.get(SeriesId(3))),
            (Some(third), None)
        );
        assert_eq!(ids.generation(), 1);
    }

    #[test]
    fn a_forgotten_series_gets_another_id() {
        let mut ids = Ids::new();
        let first = give(&mut ids, 1);
        ids.forget(SeriesId(1));
        ids.forget(SeriesId(1));
        ids.forget(SeriesId(100));
        assert_eq!(ids.get(SeriesId(1)), None);
        assert!(give(&mut ids, 1) > first);
    }

    #[test]
    fn a_generation_is_worn_when_most_of_it_is_dead() {
        let mut ids = Ids::new();
        for series in 0..30 {
            give(&mut ids, series);
        }
        for series in 0..20 {
            ids.forget(SeriesId(series));
        }
        // 300 bytes were written, 100 are alive.
        assert!(is_worn(&mut ids, 99));
        assert!(!is_worn(&mut ids, 100));
        ids.begin_generation();
        assert!(!is_worn(&mut ids, 0));
        // Those of the last generation that go now were counted there.
        ids.forget(SeriesId(25));
        assert!(!is_worn(&mut ids, 0));
    }

    #[test]
    fn ids_begin_anew_before_they_come_to_an_end() {
        let mut ids = Ids::new();
        give(&mut ids, 1);
        ids.next = JOURNAL_IDS_BEFORE_RESET;
        assert!(!is_worn(&mut ids, 0));
        give(&mut ids, 2);
        assert!(is_worn(&mut ids, 0));
        ids.begin_generation();
        assert_eq!((ids.get(SeriesId(1)), ids.get(SeriesId(2))), (None, None));
        assert_eq!(give(&mut ids, 2), NO_ID + 1);
        assert_eq!(ids.get(SeriesId(1)), None);
    }
}
