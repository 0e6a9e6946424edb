//! What the option table says of one option, and how its text becomes a value.
//! The table (`table`) is the only list of options: lookup, the suggestion for a misspelt name,
//! the help text, the manual page and the sample file all come from it.
//! Invariant, checked by tests: names are unique, every default and every `same` reads by its own
//! kind, and every acted option changes the settings.

use super::beyond::Beyond;
use super::secret;
use super::table::OPTIONS;
use super::value::{Fault, Kind, Value, inline_comment};

/// One option of carbon.conf's `[cache]` section.
#[derive(Clone, Copy, Debug)]
pub struct ConfOption {
    /// Its name, in capitals.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The unit of its value; empty where there is none.
    pub unit: &'static str,
    /// Its value when a carbon.conf does not set it, as it would be written; empty, `None` and
    /// `auto` stand for a value that is decided elsewhere, as the meaning says.
    pub default: &'static str,
    /// Its value when there is no carbon.conf at all, where that differs.
    pub alone: Option<&'static str>,
    /// Python carbon's default, where ours is another.
    pub python: Option<&'static str>,
    /// One line for the operator.
    pub meaning: &'static str,
    /// Whether we act on it.
    pub standing: Standing,
    /// The flag that overrides it.
    pub flag: Option<&'static str>,
    /// With which values outside of its bounds Python carbon runs.
    pub beyond: Beyond,
}

/// What holds for an option where one process answers for several instances (`instances::among`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// All must say the same; else the start is refused.
    Same,
    /// Each instance has its own.
    Own,
    /// They add up; where one is left open, or has no limit, the sum is so.
    Sum,
    /// The largest.
    Largest,
    /// What the first instance says; another value is named at start.
    First,
}

impl Among {
    /// In words, for the manual; empty for what is usual.
    pub const fn words(self) -> &'static str {
        match self {
            Among::Same => "",
            Among::Own => "each instance has its own",
            Among::Sum => "they add up; inf and auto stay",
            Among::Largest => "the largest holds for all",
            Among::First => "what the first instance says holds; another value is named at start",
        }
    }
}

/// Whether we act on an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Yes.
    Acted,
    /// Not in this version; a value other than `same` is named at start.
    NotYet {
        /// The value that says what we do anyway.
        same: &'static str,
        /// What happens instead of what the value asks for.
        instead: &'static str,
    },
    /// A value other than `same` stops the start.
    Refused {
        /// The value that says what we do anyway.
        same: &'static str,
        /// Why nothing else is accepted.
        reason: &'static str,
    },
    /// Nothing depends on it here, and nothing is lost by that.
    Idle {
        /// Why not.
        why: &'static str,
    },
}

impl ConfOption {
    /// A row of the table: an option that we act on, without unit and flag.
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        meaning: &'static str,
    ) -> ConfOption {
        let (unit, alone, python, flag) = ("", None, None, None);
        ConfOption {
            name,
            kind,
            unit,
            default,
            alone,
            python,
            meaning,
            standing: Standing::Acted,
            flag,
            beyond: Beyond::Refused,
        }
    }

    pub(super) const fn unit(mut self, unit: &'static str) -> ConfOption {
        self.unit = unit;
        self
    }

    pub(super) const fn alone(mut self, value: &'static str) -> ConfOption {
        self.alone = Some(value);
        self
    }

    pub(super) const fn python(mut self, value: &'static str) -> ConfOption {
        self.python = Some(value);
        self
    }

    pub(super) const fn flag(mut self, flag: &'static str) -> ConfOption {
        self.flag = Some(flag);
        self
    }

    pub(super) const fn beyond(mut self, beyond: Beyond) -> ConfOption {
        self.beyond = beyond;
        self
    }

    pub(super) const fn not_yet(mut self, same: &'static str, instead: &'static str) -> ConfOption {
        self.standing = Standing::NotYet { same, instead };
        self
    }

    pub(super) const fn refused(mut self, same: &'static str, reason: &'static str) -> ConfOption {
        self.standing = Standing::Refused { same, reason };
        self
    }

    pub(super) const fn idle(mut self, why: &'static str) -> ConfOption {
        self.standing = Standing::Idle { why };
        self
    }

    /// A value of it, for a message: as it would be written.
    pub(super) fn shown(&self, value: &Value) -> String {
        match (value, self.default) {
            (Value::Unset, "") => "the default".to_owned(),
            (Value::Unset, default) => default.to_owned(),
            (value, _) => value.to_string(),
        }
    }

    /// Reads what an operator wrote. `text` is what stands behind the equals sign, trimmed.
    pub fn read(&self, text: &str) -> Result<Value, Fault> {
        if let Standing::Idle { .. } = self.standing {
            return Ok(Value::Text(text.to_owned()));
        }
        if self.kind.shows_comments()
            && let Some(comment) = inline_comment(text)
        {
            return Err(Fault::InlineComment {
                comment: secret::shown(self.name, comment),
            });
        }
        let open = matches!(text, "" | "None")
            || text == "auto" && !matches!(self.kind, Kind::Rate { .. });
        if open && text == self.default {
            return Ok(Value::Unset);
        }
        let may_be_empty = matches!(
            self.kind,
            Kind::Host | Kind::Text | Kind::List | Kind::Loose(_)
        );
        if text.is_empty() && !may_be_empty {
            return Err(Fault::Empty);
        }
        self.kind.read(text)
    }

    /// The same, and where Python carbon runs with a value that is refused here, what is used in its place
    /// with what is wrong with it.
    pub fn take(&self, text: &str) -> Result<(Value, Option<Fault>), Fault> {
        self.beyond.or_instead(self.kind, text, self.read(text))
    }

    /// The value that holds when nobody wrote one.
    pub fn assumed(&self, with_file: bool) -> Value {
        let text = match self.alone {
            Some(alone) if !with_file => alone,
            Some(_) | None => self.default,
        };
        match self.read(text) {
            Ok(value) => value,
            Err(fault) => unreachable!("the table's default of {} is wrong: {fault}", self.name),
        }
    }

    /// Whether a value means the same as another text of this option: `1` and `True` do.
    pub fn means(&self, value: &Value, text: &str) -> bool {
        self.read(text).as_ref() == Ok(value)
    }
}

/// The option of that name, in capitals.
pub fn find(name: &str) -> Option<&'static ConfOption> {
    OPTIONS.iter().find(|option| option.name == name)
}

/// The known name that a misspelt one is nearest to, if it is near enough to be meant.
pub fn nearest(name: &str) -> Option<&'static str> {
    let allowed = (name.chars().count() / 4).clamp(1, 4);
    OPTIONS
        .iter()
        .map(|option| (edit_distance(name, option.name), option.name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters have to be put in, taken out or changed to get from one word to the other.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for column in 1..row.len() {
            let changed = diagonal + usize::from(letter != to[column - 1]);
            diagonal = row[column];
            row[column] = changed.min(row[column] + 1).min(row[column - 1] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use hashbrown::HashSet;

    use super::*;

    #[test]
    fn every_row_of_the_table_is_sound() {
        let mut names = HashSet::new();
        for option in OPTIONS {
            let name = option.name;
            assert!(names.insert(name), "{name} stands twice in the table");
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte == b'_'),
                "{name} is not written in capitals"
            );
            assert!(
                !option.meaning.is_empty() && !option.meaning.contains('\n'),
                "{name}"
            );
            option.assumed(true);
            option.assumed(false);
            if let Standing::NotYet { same, .. } | Standing::Refused { same, .. } = option.standing
            {
                assert!(option.read(same).is_ok(), "{name}: `{same}` does not read");
                assert_eq!(option.flag, None, "{name}: a flag without effect");
            }
        }
    }

    #[test]
    fn what_the_table_leaves_open_is_unset_and_not_a_text() {
        let option = find("MAX_CACHE_BYTES").unwrap();
        assert_eq!(option.read("auto"), Ok(Value::Unset));
        assert_eq!(find("SHARDS").unwrap().read("auto"), Ok(Value::Unset));
        assert_eq!(find("USER").unwrap().read(""), Ok(Value::Unset));
        assert_eq!(
            find("METRIC_CLIENT_IDLE_TIMEOUT").unwrap().read("None"),
            Ok(Value::Unset)
        );
    }

    #[test]
    fn values_are_compared_by_what_they_mean() {
        let option = find("USE_WHITELIST").unwrap();
        assert!(option.means(&Value::Switch(false), "off"));
        assert!(!option.means(&Value::Switch(true), "off"));
    }

    #[test]
    fn distances() {
        for (from, to, want) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("A", "A", 0),
        ] {
            assert_eq!(edit_distance(from, to), want, "{from} {to}");
            assert_eq!(edit_distance(to, from), want, "{to} {from}");
        }
    }

    #[test]
    fn misspelt_names_find_their_neighbour_and_strangers_do_not() {
        for (name, want) in [
            ("MAX_CACHE_SIE", Some("MAX_CACHE_SIZE")),
            ("MAX_UPDATE_PER_SECOND", Some("MAX_UPDATES_PER_SECOND")),
            ("LINE_RECIEVER_PORT", Some("LINE_RECEIVER_PORT")),
            ("USERS", Some("USER")),
            ("BASE", None),
            ("COMPLETELY_DIFFERENT", None),
        ] {
            assert_eq!(nearest(name), want, "{name}");
        }
    }
}
