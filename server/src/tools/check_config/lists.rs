//! whitelist.conf and blacklist.conf, read by the daemon's own reader. A line that is no pattern is
//! left out by the daemon and said; here it is an error, because the list does not do what it seems to.

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
    if read {
        for entry in list.entries() {
            let text = format!("{} is looked for in names as they are sent", entry.text());
            notes.used(entry.line(), text);
        }
    }
    read.then_some(list)
}
