//! Which records' names were judged and may pass, a bit each. Beside the records and not in them,
//! so that where nothing is judged it costs no byte, and where all are to be judged anew it is
//! emptied at memory speed: 125 KB for a million names.
//! Never knows a name. Invariant (the table's): a number that is not live is not in the set.

/// A set of numbers of records.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    words: Vec<u64>,
}

impl Admitted {
    /// Is this number in the set?
    #[inline]
    pub(super) fn contains(&self, id: u32) -> bool {
        let word = self.words.get(id as usize / 64);
        word.is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    /// Puts a number in.
    pub(super) fn insert(&mut self, id: u32) {
        let index = id as usize / 64;
        if index >= self.words.len() {
            self.words.resize(index + 1, 0);
        }
        self.words[index] |= 1 << (id % 64);
    }

    /// Takes a number out.
    pub(super) fn remove(&mut self, id: u32) {
        if let Some(word) = self.words.get_mut(id as usize / 64) {
            *word &= !(1 << (id % 64));
        }
    }

    /// Takes all out.
    pub(super) fn clear(&mut self) {
        self.words.clear();
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_and_go_by_themselves() {
        let mut set = Admitted::default();
        for id in [0, 63, 64, 1_000_000] {
            assert!(!set.contains(id));
            set.insert(id);
            assert!(set.contains(id));
        }
        set.remove(64);
        set.remove(2_000_000);
        let left = (0..=2_000_000).filter(|id| set.contains(*id));
        assert_eq!(left.collect::<Vec<u32>>(), [0, 63, 1_000_000]);
        set.clear();
        assert!(!set.contains(0) && !set.contains(1_000_000));
        set.insert(1_000_000);
        assert!(!set.contains(63), "what was taken out does not come back");
    }
}
