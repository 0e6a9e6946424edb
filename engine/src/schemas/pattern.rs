//! A Python regular expression, matched as `re.search` does: anywhere in the name.
//! Written for Python's `re` by the operator, carried out by fancy-regex; `python_re` translates.
//! Never runs for long: backtracking has a bound, and a name at which it is reached counts as not
//! matched, which is said to the caller. Bounded too are the pattern's length and its nesting.
//! On failure: a typed error with what is not understood, and where.

use fancy_regex::{Regex, RegexBuilder};
use thiserror::Error;

use super::{literal, python_re};
use crate::limits::{PATTERN_BACKTRACKS_MAX, PATTERN_BYTES_MAX};

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
}

/// What a search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// The pattern occurs in the name.
    Match,
    /// It does not.
    NoMatch,
    /// The bound on backtracking was reached before it was known; to be taken as no match.
    GaveUp,
}

/// Why a pattern was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PatternError {
    /// Longer than its bound.
    #[error("the pattern has {found} bytes, {allowed} are allowed")]
    TooLong {
        /// Its bytes.
        found: usize,
        /// The bound.
        allowed: usize,
    },
    /// Something that Python refuses too, or that has no counterpart here.
    #[error("'{construct}' at character {at} of the pattern is not supported; {mend}")]
    Unsupported {
        /// The characters in question.
        construct: String,
        /// Where they begin, counted from 1.
        at: usize,
        /// What to write instead.
        mend: &'static str,
    },
    /// A class, group, comment or escape that does not end.
    #[error("'{construct}' at character {at} of the pattern is not finished")]
    Unfinished {
        /// How it begins.
        construct: String,
        /// Where it begins, counted from 1.
        at: usize,
    },
    /// What the regex compiler says.
    #[error("the pattern cannot be compiled: {reason}")]
    Refused {
        /// Its words.
        reason: String,
    },
}

impl Pattern {
    /// Compiles a pattern in Python's syntax.
    pub fn new(python: &str) -> Result<Pattern, PatternError> {
        Self::bounded(python, PATTERN_BACKTRACKS_MAX)
    }

    /// The same with another bound on the steps of backtracking in one search.
    pub fn bounded(python: &str, backtracks_max: usize) -> Result<Pattern, PatternError> {
        if python.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong {
                found: python.len(),
                allowed: PATTERN_BYTES_MAX,
            });
        }
        let translated = python_re::translate(python)?;
        RegexBuilder::new(&translated)
            .backtrack_limit(backtracks_max)
            .build()
            .map(|regex| Pattern { regex })
            .map_err(|error| PatternError::Refused {
                reason: error.to_string(),
            })
    }

    /// How many groups it captures, and the names of those that have one.
    pub fn groups(&self) -> (usize, Vec<String>) {
        let names = self.regex.capture_names().flatten();
        (
            self.regex.captures_len() - 1,
            names.map(str::to_owned).collect(),
        )
    }

    /// A text that is in every name in which the pattern occurs; none where that is not certain of any.
    pub fn literal(&self) -> Option<String> {
        literal::required(self.regex.as_str())
    }

    /// Looks for the pattern in a name.
    pub fn search(&self, name: &str) -> Search {
        match self.regex.is_match(name) {
            Ok(true) => Search::Match,
            Ok(false) => Search::NoMatch,
            // Running has no other failures than the bounds on backtracking and its stack.
            Err(_) => Search::GaveUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `re.search` of Python 3.11 says.
    #[test]
    fn patterns_search_as_python_s() {
        for (pattern, name, found) in [
            ("b", "a.b.c", true),
            ("^b", "a.b.c", false),
            (r"^stats\.(?!gauges\.)", "stats.gauges.x", false),
            (r"^stats\.(?!gauges\.)", "stats.timers.x", true),
            (r"(?<=\.)cpu$", "web.cpu", true),
            (r"^(?P<dc>[^.]+)\..*\.(?P=dc)$", "fra.web.fra", true),
            (r"^(\w+)\.\1$", "ab.ab", true),
            (r"count\Z", "a.count", true),
            (r"(?i)COUNT$", "a.count", true),
            (r"^(?u)a", "a", true),
            (r"^[[]a", "[a", true),
            (r"^[]a]+$", "]a", true),
            (r"^[^]a]+$", "bc", true),
            (r"^[a&&b]+$", "a&b", true),
            (r"^[+--]+$", "+,-", true),
            (r"^[\w.-]+$", "a-b.c", true),
            (r"^[[:alpha:]]$", "b", false),
            (r"^ab(?#c)*$", "abb", true),
            (r"^[[:alpha:]]$", "p]", true),
            (r"^a{,2}b", "aab", true),
            (r"^a{,2}b", "aaab", false),
            (r"^a{x}$", "a{x}", true),
            (r"^{}$", "{}", true),
            (r"^a{2}$", "aa", true),
            (r"^\x61\056\u0062$", "a.b", true),
            (r"^a\/b\-c\ d\<e\_$", "a/b-c d<e_", true),
            (r"a(?#a comment)b", "ab", true),
            (r"^(a)?(?(1)b|c)$", "ab", true),
            (r"^(?P<q>a)?(?(q)b|c)$", "c", true),
            (r"^a++b", "aab", true),
            (r"^(?>a+)ab", "aab", false),
            (";env=prod(;|$)", "m;dc=x;env=prod", true),
            ("\u{e9}+", "caf\u{e9}", true),
        ] {
            let compiled = Pattern::new(pattern).map(|pattern| pattern.search(name));
            let expected = if found {
                Search::Match
            } else {
                Search::NoMatch
            };
            assert_eq!(compiled, Ok(expected), "{pattern} in {name}");
        }
    }

    #[test]
    fn what_python_refuses_is_refused() {
        for pattern in [
            "*",
            "a**",
            "(",
            "(a",
            "a)",
            "[a",
            "[b-a]",
            r"[\w-a]",
            r"\q",
            r"\z",
            r"\K",
            r"\G",
            r"\R",
            r"\p{L}",
            r"\N{DASH}",
            r"\x4",
            r"\u12",
            r"(?Px)",
            "(?~a)",
            "(?P>a)",
            "(*FAIL)",
            "(?x)a b",
            "(?a)b",
            "(?#",
            r"\2",
            "a{3,2}",
            "(?",
            "\\",
            r"[\8]",
            "(|*)",
            "^*",
        ] {
            let compiled = Pattern::new(pattern);
            assert!(compiled.is_err(), "{pattern}: {compiled:?}");
        }
        let error = Pattern::new(r"ab\q").unwrap_err().to_string();
        assert!(error.contains(r"'\q' at character 3"), "{error}");
        let found = PATTERN_BYTES_MAX + 1;
        let error = Pattern::new(&"a".repeat(found)).unwrap_err();
        assert_eq!(
            error,
            PatternError::TooLong {
                found,
                allowed: PATTERN_BYTES_MAX
            }
        );
    }

    #[test]
    fn endless_backtracking_gives_up() {
        let pattern = Pattern::new(r"^(a|a)+(?=\.)$").unwrap();
        assert_eq!(pattern.search(&"a".repeat(60)), Search::GaveUp);
        assert_eq!(pattern.search("ab"), Search::NoMatch);
    }
}
