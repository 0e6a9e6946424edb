//! whitelist.conf and blacklist.conf, read by the daemon's own reader. A line that is no pattern is
//! left out by the daemon and said; here it is an error, because the list does not do what it seems to.
//! A pattern that ends in a comment is one, and occurs in no name: that is a warning.

use super::finding::{Level, Notes};
use crate::lists::List;

/// Looks at a list. `read` is whether the daemon reads it: USE_WHITELIST.
pub(super) fn check(text: &str, read: bool, notes: &mut Notes) -> Option<List> {
    if !read {
        let text = "it is not read: carbon.conf does not set USE_WHITELIST = True";
        notes.whole(Level::Ignored, text);
    }
    let (list, warnings) = match List::parse(notes.file(), text) {
        Ok(parsed) => parsed,
        Err(error) => {
            notes.whole(Level::Error, error.to_string());
            return None;
        }
    };
    for warning in warnings {
        notes.error(warning.line, format!("{warning}; correct the pattern"));
    }
    for entry in list.entries() {
        let text = entry.text();
        if let Some(comment) = comment(text) {
            let text = format!(
                "`{comment}` is part of the pattern `{text}`, which so occurs in no name: a comment has a \
                 line of its own, with # in the first column"
            );
            notes.warning(entry.line(), text);
        } else if read {
            let text = format!("{text} is looked for in names as they are sent");
            notes.used(entry.line(), text);
        }
    }
    read.then_some(list)
}

/// What was meant as a comment: from a # on that stands at the start or behind white space, or a ; that
/// has white space behind it too, for names of tagged series have one.
fn comment(pattern: &str) -> Option<&str> {
    let mut before = ' ';
    for (at, sign) in pattern.char_indices() {
        let rest = &pattern[at..];
        let begins = sign == '#' || sign == ';' && rest[1..].starts_with(char::is_whitespace);
        if begins && before.is_whitespace() {
            return Some(rest);
        }
        before = sign;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_behind_patterns_are_known_and_tags_are_none() {
        for (pattern, want) in [
            ("^a # comment", Some("# comment")),
            ("^a\t#", Some("#")),
            ("# indented", Some("# indented")),
            ("^a ; comment", Some("; comment")),
            ("; comment", Some("; comment")),
            (";dc=us", None),
            ("^a#b", None),
            ("^a;b=c$", None),
        ] {
            assert_eq!(comment(pattern), want, "{pattern}");
        }
    }
}
