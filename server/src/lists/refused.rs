//! The names that the lists have refused lately, so that each is not judged at every point.
//! What was asked for or put in last stays longest; what does not fit any more is forgotten, and
//! judged again when it comes again. Names are kept whole, so that none is taken for another.
//! Bounded by `limits::REFUSED_NAMES_BYTES_MAX`: two generations, of which the older goes when the
//! younger has half of that.

use benzene_engine::limits::REFUSED_NAMES_BYTES_MAX;
use hashbrown::HashMap;

use super::Verdict;

/// What a name takes besides its bytes: its place in the table, less than half of which is empty, and
/// what the allocator adds.
const NAME_BYTES: usize = 64;
/// What a generation may hold.
const GENERATION_BYTES_MAX: usize = REFUSED_NAMES_BYTES_MAX / 2;

/// Names and what was said of them; never `Verdict::Admitted`.
#[derive(Clone, Debug, Default)]
pub(crate) struct RefusedNames {
    young: HashMap<Box<str>, Verdict>,
    old: HashMap<Box<str>, Verdict>,
    young_bytes: usize,
}

impl RefusedNames {
    /// What was said of a name, where that is remembered.
    pub(crate) fn get(&mut self, name: &str) -> Option<Verdict> {
        if let Some(verdict) = self.young.get(name) {
            return Some(*verdict);
        }
        let (name, verdict) = self.old.remove_entry(name)?;
        self.put(name, verdict);
        Some(verdict)
    }

    /// Remembers what was said of a name that is not remembered.
    pub(crate) fn insert(&mut self, name: &str, verdict: Verdict) {
        assert_ne!(verdict, Verdict::Admitted, "{name:?} is kept as refused");
        self.put(name.into(), verdict);
    }

    fn put(&mut self, name: Box<str>, verdict: Verdict) {
        let bytes = name.len() + NAME_BYTES;
        if self.young_bytes + bytes > GENERATION_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(name, verdict);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(names: &HashMap<Box<str>, Verdict>) -> usize {
        names.keys().map(|name| name.len() + NAME_BYTES).sum()
    }

    #[test]
    fn what_is_used_stays_and_the_bound_holds() {
        let mut names = RefusedNames::default();
        names.insert("kept", Verdict::NotWhitelisted);
        for number in 0..200_000 {
            let name = format!("flood.of.refused.names.m{number}");
            assert_eq!(names.get(&name), None);
            names.insert(&name, Verdict::Blacklisted);
            assert_eq!(names.get(&name), Some(Verdict::Blacklisted));
            if number % 100 == 0 {
                assert_eq!(names.get("kept"), Some(Verdict::NotWhitelisted), "{number}");
            }
            if number % 10_000 == 0 {
                let all = bytes(&names.young) + bytes(&names.old);
                assert!(all <= REFUSED_NAMES_BYTES_MAX, "{all} bytes");
            }
        }
        assert_eq!(names.get("flood.of.refused.names.m0"), None);
        assert!(!names.old.is_empty());
    }

    #[test]
    #[should_panic(expected = "kept as refused")]
    fn an_admitted_name_is_not_kept() {
        RefusedNames::default().insert("a", Verdict::Admitted);
    }
}
