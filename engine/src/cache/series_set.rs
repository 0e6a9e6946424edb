//! A set of series by number, for sets that are large for a while and then gone: a bit a series up to
//! the highest, and no memory when the last is taken away.

use super::SeriesId;

/// Series by number, a bit each up to the highest; nothing while there are none.
#[derive(Debug, Default)]
pub(super) struct SeriesSet {
    words: Vec<u64>,
    count: usize,
}

impl SeriesSet {
    fn place(id: SeriesId) -> (usize, u64) {
        (id.0 as usize / 64, 1 << (id.0 % 64))
    }

    /// Is it one of them?
    pub(super) fn contains(&self, id: SeriesId) -> bool {
        let (word, bit) = Self::place(id);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Puts one in.
    pub(super) fn insert(&mut self, id: SeriesId) {
        let (word, bit) = Self::place(id);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.count += usize::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }

    /// Takes one away, if it is there.
    pub(super) fn remove(&mut self, id: SeriesId) {
        if !self.contains(id) {
            return;
        }
        let (word, bit) = Self::place(id);
        self.words[word] &= !bit;
        self.count -= 1;
        if self.count == 0 {
            self.words = Vec::new();
        }
    }

    /// Takes the highest away.
    pub(super) fn pop(&mut self) -> Option<SeriesId> {
        while let Some(word) = self.words.last()
            && *word == 0
        {
            self.words.pop();
        }
        let (index, word) = (self.words.len().checked_sub(1)?, *self.words.last()?);
        let id = SeriesId(u32::try_from(index).ok()? * 64 + word.ilog2());
        self.remove(id);
        Some(id)
    }

    /// Bytes of its memory.
    pub(super) fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_series_has_what_was_put_in_and_lets_go_of_its_memory() {
        let mut set = SeriesSet::default();
        set.remove(SeriesId(7));
        for id in [0, 63, 64, 1000, 63] {
            set.insert(SeriesId(id));
        }
        let members: Vec<u32> = (0..2000).filter(|id| set.contains(SeriesId(*id))).collect();
        assert_eq!(members, [0, 63, 64, 1000]);
        for id in [63, 63, 0, 1000] {
            set.remove(SeriesId(id));
        }
        assert!(set.contains(SeriesId(64)) && !set.contains(SeriesId(63)));
        set.insert(SeriesId(500));
        set.insert(SeriesId(2));
        let popped: Vec<SeriesId> = std::iter::from_fn(|| set.pop()).collect();
        assert_eq!(popped, [500, 64, 2].map(SeriesId));
        assert_eq!((set.words.capacity(), set.count), (0, 0));
    }
}
