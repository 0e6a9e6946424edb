//! Which patterns of a list can occur in a name at all: those that name a text which the name holds
//! (`Pattern::literal`), and those of which no text is known. One pass over the name finds all texts,
//! so that a long list of patterns for single hosts or applications costs a new name a few searches.
//! Never searches for a pattern, never says what a list says of a name.
//! Invariant: a pattern that occurs in a name is chosen for it.

use aho_corasick::AhoCorasick;
use benzene_engine::limits::LIST_LITERAL_BYTES_MAX;
use hashbrown::HashMap;

/// The patterns of a list by their texts.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    /// Finds the texts; none where no pattern has one.
    texts: Option<AhoCorasick>,
    /// Of each text, whose it is.
    owners: Vec<Vec<usize>>,
    /// Those without a text.
    always: Chosen,
}

/// A set of patterns, by their places in the list; handed out in the order of the list.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    words: Vec<u64>,
    /// Before this word all are handed out.
    first: usize,
}

impl Sieve {
    /// Of the patterns of a list, each with its text.
    pub(super) fn new(literals: impl Iterator<Item = Option<String>>) -> Self {
        let mut sieve = Self::default();
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut texts = Vec::new();
        for (index, literal) in literals.enumerate() {
            let Some(literal) = literal else {
                sieve.always.insert(index);
                continue;
            };
            // Names have more in common in front.
            let cut = literal.len().saturating_sub(LIST_LITERAL_BYTES_MAX);
            let text = literal.as_bytes()[cut..].to_vec();
            let number = *known.entry(text).or_insert_with_key(|text| {
                texts.push(text.clone());
                sieve.owners.push(Vec::new());
                texts.len() - 1
            });
            sieve.owners[number].push(index);
        }
        sieve.texts = (!texts.is_empty()).then(|| match AhoCorasick::new(&texts) {
            Ok(texts) => texts,
            Err(error) => unreachable!("{} short texts are too many: {error}", texts.len()),
        });
        sieve
    }

    /// Chooses the patterns that can occur in a name.
    pub(super) fn choose(&self, name: &str, chosen: &mut Chosen) {
        chosen.words.clone_from(&self.always.words);
        chosen.first = 0;
        let Some(texts) = &self.texts else { return };
        for found in texts.find_overlapping_iter(name) {
            let owners = &self.owners[found.pattern()];
            // A text may be there many times, and its owners are chosen together.
            if owners.first().is_some_and(|first| chosen.contains(*first)) {
                continue;
            }
            for owner in owners {
                chosen.insert(*owner);
            }
        }
    }
}

impl Chosen {
    fn contains(&self, index: usize) -> bool {
        let word = self.words.get(index / 64);
        word.is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    fn insert(&mut self, index: usize) {
        let word = index / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (index % 64);
    }

    /// Takes the first out.
    pub(super) fn take_first(&mut self) -> Option<usize> {
        while let Some(word) = self.words.get_mut(self.first) {
            if *word != 0 {
                let bit = word.trailing_zeros() as usize;
                *word &= *word - 1;
                return Some(self.first * 64 + bit);
            }
            self.first += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(sieve: &Sieve, name: &str) -> Vec<usize> {
        let mut chosen = Chosen::default();
        // What an earlier name had chosen does not stay.
        chosen.insert(300);
        assert_eq!(chosen.take_first(), Some(300));
        chosen.insert(301);
        sieve.choose(name, &mut chosen);
        std::iter::from_fn(|| chosen.take_first()).collect()
    }

    fn sieve(literals: &[Option<&str>]) -> Sieve {
        Sieve::new(literals.iter().map(|it| it.map(str::to_owned)))
    }

    #[test]
    fn those_whose_text_is_there_and_those_without_are_chosen_in_order() {
        let sieve = sieve(&[
            Some("web1"),
            None,
            Some("web"),
            Some("web1"),
            None,
            Some("eb1.lo"),
            Some("x"),
        ]);
        assert_eq!(chosen(&sieve, "web1.load.web1"), [0, 1, 2, 3, 4, 5]);
        assert_eq!(chosen(&sieve, "web2"), [1, 2, 4]);
        assert_eq!(chosen(&sieve, "exx"), [1, 4, 6]);
        assert_eq!(chosen(&sieve, ""), [1, 4]);
    }

    #[test]
    fn lists_without_texts_and_lists_of_nothing_else() {
        assert_eq!(chosen(&sieve(&[]), "a"), [] as [usize; 0]);
        assert_eq!(chosen(&sieve(&[None, None]), "a"), [0, 1]);
        assert_eq!(chosen(&sieve(&[Some("b"), Some("a")]), "a"), [1]);
    }

    #[test]
    fn of_a_long_text_the_end_is_looked_for() {
        let long = "x".repeat(LIST_LITERAL_BYTES_MAX) + "tail";
        let sieve = sieve(&[Some(&long)]);
        assert_eq!(chosen(&sieve, &long), [0]);
        assert_eq!(chosen(&sieve, &long[4..]), [0]);
        assert_eq!(chosen(&sieve, &long[5..]), [] as [usize; 0]);
    }

    /// Thousands of patterns for single applications: a name is searched for its own.
    #[test]
    fn a_name_is_compared_with_few_of_many() {
        let literals: Vec<String> = (0..5_000).map(|app| format!("stats.app{app}.")).collect();
        let sieve = Sieve::new(literals.into_iter().map(Some));
        assert_eq!(chosen(&sieve, "stats.app1234.requests"), [1234]);
        assert_eq!(chosen(&sieve, "stats.app1234x.requests").len(), 0);
        assert_eq!(chosen(&sieve, "stats.app7.stats.app8.x"), [7, 8]);
    }
}
