//! A name on its way through the lists, some patterns at a time, so that whoever asks can do something
//! else in between: long lists are not one piece of work.
//! Never reads a clock: how much is done at once is the caller's to say.
//! Invariant: the verdict is the same however often the way is interrupted, as long as name and lists
//! stay the same, which the caller sees to.

use benzene_engine::schemas::pattern::Search;

use super::sieve::Chosen;
use super::{Entry, List, Lists, Verdict};

/// What became of asking for a name.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// What the lists say.
    pub verdict: Verdict,
    /// A pattern that was given up on, with its list; the first where there are several.
    pub gave_up: Option<(&'a List, &'a Entry)>,
}

/// How far a name has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judging {
    side: Side,
    /// Patterns of that list that are still to be searched for.
    left: Chosen,
    gave_up: Option<(Side, usize)>,
}

/// One of the lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Side {
    #[default]
    Black,
    White,
}

impl Judging {
    /// Begins with a name.
    pub(crate) fn begin(&mut self, lists: &Lists, name: &str) {
        self.gave_up = None;
        self.enter(Side::Black, lists, name);
    }

    fn enter(&mut self, side: Side, lists: &Lists, name: &str) {
        self.side = side;
        lists.side(side).sieve.choose(name, &mut self.left);
    }

    /// Searches for so many more patterns at most, and for none behind one that was given up on, which
    /// takes long. `None` where there is more to be done.
    pub(crate) fn go_on<'l>(
        &mut self,
        lists: &'l Lists,
        name: &str,
        patterns_max: usize,
    ) -> Option<Judged<'l>> {
        assert!(patterns_max > 0, "{name:?} gets nowhere");
        for _ in 0..patterns_max {
            let Some(index) = self.left.take_first() else {
                if self.side == Side::Black && !lists.whitelist.is_empty() {
                    self.enter(Side::White, lists, name);
                    continue;
                }
                return Some(self.judged(lists, self.side.without_a_match()));
            };
            match lists.side(self.side).entries[index].pattern.search(name) {
                Search::Match => return Some(self.judged(lists, self.side.with_a_match())),
                Search::NoMatch => {}
                Search::GaveUp => {
                    self.gave_up.get_or_insert((self.side, index));
                    return None;
                }
            }
        }
        None
    }

    fn judged<'l>(&self, lists: &'l Lists, verdict: Verdict) -> Judged<'l> {
        let gave_up = self.gave_up.map(|(side, index)| {
            let list = lists.side(side);
            (list, &list.entries[index])
        });
        Judged { verdict, gave_up }
    }
}

impl Side {
    fn with_a_match(self) -> Verdict {
        match self {
            Side::Black => Verdict::Blacklisted,
            Side::White => Verdict::Admitted,
        }
    }

    fn without_a_match(self) -> Verdict {
        match self {
            Side::Black => Verdict::Admitted,
            Side::White => Verdict::NotWhitelisted,
        }
    }
}

impl Lists {
    /// What the lists say of a name as it was received, in one go.
    pub fn judge(&self, name: &str) -> Judged<'_> {
        let mut judging = Judging::default();
        judging.begin(self, name);
        loop {
            if let Some(judged) = judging.go_on(self, name, usize::MAX) {
                return judged;
            }
        }
    }

    fn side(&self, side: Side) -> &List {
        match side {
            Side::Black => &self.blacklist,
            Side::White => &self.whitelist,
        }
    }
}
