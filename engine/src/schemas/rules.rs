//! Sections of a file as rules: a pattern each, and what it stands for. The first that matches wins.
//! The order is the file's; `priority` has no meaning, as in Python carbon. A last rule, the
//! default, takes what no other takes, so that there always is an answer.
//! Never panics on a name, never searches without a bound (see `pattern`).

use super::pattern::{Pattern, Search};

/// The rule that was found for a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chosen<'a, R> {
    /// The rule.
    pub rule: &'a R,
    /// The section whose pattern was given up on before, if any: it backtracked beyond its bound
    /// and counts as not matched. To be counted, and said to the operator once.
    pub gave_up: Option<&'a str>,
}

/// Rules in order, and the default.
#[derive(Clone, Debug)]
pub(super) struct Rules<R> {
    rules: Vec<(String, Pattern, R)>,
    default: R,
}

impl<R> Rules<R> {
    pub(super) fn new(default: R) -> Self {
        Self {
            rules: Vec::new(),
            default,
        }
    }

    pub(super) fn push(&mut self, section: &str, pattern: Pattern, rule: R) {
        self.rules.push((section.to_owned(), pattern, rule));
    }

    pub(super) fn find(&self, metric: &str) -> Chosen<'_, R> {
        let mut gave_up = None;
        for (section, pattern, rule) in &self.rules {
            match pattern.search(metric) {
                Search::Match => return Chosen { rule, gave_up },
                Search::NoMatch => {}
                Search::GaveUp => gave_up = gave_up.or(Some(section.as_str())),
            }
        }
        Chosen {
            rule: &self.default,
            gave_up,
        }
    }

    /// Those of the file, without the default.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut R> {
        self.rules.iter_mut().map(|(_, _, rule)| rule)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &R> {
        self.rules
            .iter()
            .map(|(_, _, rule)| rule)
            .chain([&self.default])
    }
}
