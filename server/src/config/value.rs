//! Reading one value of carbon.conf by the type of its option, as Python carbon does: the type
//! comes from the option's default, numbers may be written `1_000`, `1e6` or `inf`, switches are
//! ConfigParser's words. Pure text in, typed value or `Fault` out; it knows no file and no name.
//! Stricter than Python in one way: what Python keeps as a string and stumbles over later is
//! refused here, with what to write instead.

use std::fmt;

use benzene_engine::limits::SOCKET_PATH_BYTES_MAX;

use super::secret;

/// The slowest rate, in the unit of its setting: slower ones are meant as none, and one create in 50
/// minutes is what the limiter counts.
pub(super) const RATE_MIN: f64 = 0.02;

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// For us to choose.
    Auto,
    /// As often as it can.
    Unlimited,
    /// At most so often in the unit of the setting: a finite number, `RATE_MIN` at least, or 0 for never.
    Limited(f64),
}

impl Rate {
    /// The number, where there is one.
    pub fn limit(self) -> Option<f64> {
        match self {
            Rate::Auto | Rate::Unlimited => None,
            Rate::Limited(limit) => Some(limit),
        }
    }
}

/// The numbers that an option accepts, both ends included, and why no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Smallest that is accepted.
    pub min: u64,
    /// Largest that is accepted.
    pub max: u64,
    /// Why not less: the middle of a sentence for the operator.
    pub less: &'static str,
    /// Why not more.
    pub more: &'static str,
}

impl Bound {
    /// A rate, or the largest that is accepted.
    #[expect(
        clippy::cast_precision_loss,
        reason = "the largest rates are far below 2^53"
    )]
    pub(super) fn rate(self, rate: f64) -> f64 {
        rate.min(self.max as f64)
    }
}

/// The type of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 1, yes, true, on or 0, no, false, off.
    Switch,
    /// A whole number.
    Integer(Bound),
    /// A whole number that is read only where it is asked for; until then it is a text.
    Loose(Bound),
    /// A whole number or `inf`.
    Limit(Bound),
    /// A number from `RATE_MIN` on, `inf` or `auto`.
    Rate {
        /// Of the number.
        bound: Bound,
        /// Whether 0 is one too.
        none: bool,
    },
    /// Whole bytes, with k, m, g or t (powers of 1024) after them.
    Bytes(Bound),
    /// A time: a number of seconds, or with ms, s, m or h after it; or one of these words.
    Time {
        /// In milliseconds.
        bound: Bound,
        /// Words that may stand instead.
        words: &'static [&'static str],
    },
    /// An interface: host name or address.
    Host,
    /// A path.
    Path,
    /// Any text.
    Text,
    /// Texts with commas between them.
    List,
    /// One of these words; case counts, as in Python.
    Choice {
        /// What can be chosen.
        now: &'static [&'static str],
        /// What a later version adds.
        later: &'static [&'static str],
    },
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing was written and nothing is assumed: decided where it is used.
    Unset,
    /// Of a `Switch`.
    Switch(bool),
    /// Of an `Integer` or `Bytes`; of a `Time` its milliseconds.
    Integer(u64),
    /// Of a `Limit`; `None` is no limit.
    Limit(Option<u64>),
    /// Of a `Rate`.
    Rate(Rate),
    /// Of a `Host`, `Path`, `Text`, `List` or `Loose`.
    Text(String),
    /// Of a `Choice`, or a word of a `Time`.
    Choice(&'static str),
}

impl fmt::Display for Value {
    /// As it would be written; nothing where nothing is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Unset => Ok(()),
            Value::Switch(true) => write!(f, "True"),
            Value::Switch(false) => write!(f, "False"),
            Value::Limit(None) | Value::Rate(Rate::Unlimited) => write!(f, "inf"),
            Value::Limit(Some(number)) | Value::Integer(number) => write!(f, "{number}"),
            Value::Rate(Rate::Limited(rate)) => write!(f, "{rate}"),
            Value::Rate(Rate::Auto) => write!(f, "auto"),
            Value::Text(text) => write!(f, "{text}"),
            Value::Choice(word) => write!(f, "{word}"),
        }
    }
}

/// Why a value was refused, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// `# ...` or `; ...` after the value, which ConfigParser takes as part of it.
    #[error(
        "`{comment}` is part of the value, for carbon.conf has no comments behind a value; put the \
         comment on a line of its own"
    )]
    InlineComment {
        /// From the comment sign on.
        comment: String,
    },
    /// The next line is indented, so ConfigParser adds it to the value.
    #[error(
        "the next line `{next}` is indented and so continues the value; move it to the first column"
    )]
    Continued {
        /// The line that was meant as something else.
        next: String,
    },
    /// Nothing stands behind the equals sign.
    #[error("the value is empty; write one, or put # before the line to have the default")]
    Empty,
    /// Not one of ConfigParser's words for true and false.
    #[error("that is neither true nor false; write True or False")]
    NotSwitch,
    /// Not a whole number.
    #[error("that is no whole number; write one from {min} to {max}")]
    NotInteger {
        /// Smallest accepted.
        min: u64,
        /// Largest accepted.
        max: u64,
    },
    /// Neither a whole number nor `inf`.
    #[error("that is neither a whole number nor inf; write one from {min} to {max}, or inf")]
    NotLimit {
        /// Smallest accepted.
        min: u64,
        /// Largest accepted.
        max: u64,
    },
    /// Not a rate.
    #[error(
        "that is no rate; write a number from 0.02 on, inf for no limit, or auto to leave it to \
         Benzene"
    )]
    NotRate,
    /// Not a rate, where none at all is one.
    #[error(
        "that is no rate; write a number from 0.02 on, 0 for none at all, inf for no limit, or auto to \
         leave it to Benzene"
    )]
    NotRateOrNone,
    /// Not an amount of bytes.
    #[error("that is no amount of bytes; write a whole number, k, m, g or t may follow (2g)")]
    NotBytes,
    /// Not a time.
    #[error(
        "that is no time; write a number of seconds, or with ms, s, m or h after it (10ms){or}"
    )]
    NotTime {
        /// What else could be written: the end of the sentence.
        or: String,
    },
    /// Below the bound.
    #[error("the smallest is {min}, {why}; write that or more")]
    TooSmall {
        /// The bound, as it would be written.
        min: String,
        /// Its reason.
        why: &'static str,
    },
    /// Above the bound.
    #[error("the largest is {max}, {why}; write that or less")]
    TooLarge {
        /// The bound, as it would be written.
        max: String,
        /// Its reason.
        why: &'static str,
    },
    /// Not one of the words.
    #[error("there is no such choice; write one of {}", choices.join(", "))]
    NotChoice {
        /// The words.
        choices: &'static [&'static str],
    },
    /// A choice of a later version.
    #[error("{choice} comes with a later version; write one of {}", choices.join(", "))]
    LaterVersion {
        /// The word.
        choice: &'static str,
        /// What there is now.
        choices: &'static [&'static str],
    },
    /// Something that this program will not do.
    #[error("{reason}; write {same}, or put # before the line")]
    Refused {
        /// Why not.
        reason: &'static str,
        /// The value under which both programs do the same.
        same: &'static str,
    },
    /// A metric name cannot begin with it.
    #[error("metric names cannot begin with that; write words with dots between them (carbon)")]
    NotPrefix,
    /// GRAPHITE_URL leads nowhere.
    #[error(
        "{problem}; write http://HOST:PORT or https://HOST:PORT of graphite-web, or set ENABLE_TAGS = False"
    )]
    NotGraphite {
        /// What is wrong with it.
        problem: String,
    },
    /// No path that a Unix socket can have.
    #[error(
        "a Unix socket needs an absolute path of at most {SOCKET_PATH_BYTES_MAX} bytes; write such a one \
         (/run/benzene/line)"
    )]
    NotSocketPath,
    /// Not the mode of a file.
    #[error("that is no mode; write three octal digits, such as 660")]
    NotMode,
    /// DESTINATIONS lead nowhere.
    #[error(
        "{problem}; write host:port:instance of other carbons' pickle receivers, with commas between"
    )]
    NotDestinations {
        /// What is wrong with them.
        problem: String,
    },
    /// No factor for a queue.
    #[error("that is no factor; write a number from 1 to 10 (1.25)")]
    NotFactor,
    /// No list of data directories.
    #[error("{problem}")]
    NotDirectories {
        /// What is wrong, and what to write instead.
        problem: String,
    },
    /// No such interface.
    #[error(
        "no address is known for it ({problem}); write an address of this machine, such as 0.0.0.0"
    )]
    UnknownHost {
        /// What the resolver said.
        problem: String,
    },
}

impl Kind {
    /// Reads a value. `text` is what stands behind the equals sign, trimmed.
    pub fn read(self, text: &str) -> Result<Value, Fault> {
        if let Some((_, next)) = text.split_once('\n')
            && !matches!(self, Kind::List | Kind::Loose(_))
        {
            return Err(Fault::Continued {
                next: secret::shown_line(next.lines().next().unwrap_or_default()),
            });
        }
        match self {
            Kind::Switch => read_switch(text).map(Value::Switch),
            Kind::Integer(bound) => {
                let not = Fault::NotInteger {
                    min: bound.min,
                    max: bound.max,
                };
                let number = whole(text).ok_or(not)?;
                bound.check(number).map(Value::Integer)
            }
            Kind::Limit(bound) => read_limit(text, bound).map(Value::Limit),
            Kind::Rate { bound, none } => read_rate(text, bound, none).map(Value::Rate),
            Kind::Bytes(bound) => {
                let bytes = read_bytes(text).ok_or(Fault::NotBytes)?;
                bound.check(bytes).map(Value::Integer)
            }
            Kind::Time { bound, words } => read_time(text, bound, words),
            Kind::Host | Kind::Path | Kind::Text | Kind::List | Kind::Loose(_) => {
                Ok(Value::Text(text.to_owned()))
            }
            Kind::Choice { now, later } => {
                let word =
                    |choices: &[&'static str]| choices.iter().find(|word| **word == text).copied();
                match (word(now), word(later)) {
                    (Some(choice), _) => Ok(Value::Choice(choice)),
                    (None, Some(choice)) => Err(Fault::LaterVersion {
                        choice,
                        choices: now,
                    }),
                    (None, None) => Err(Fault::NotChoice { choices: now }),
                }
            }
        }
    }

    /// Whether ` # ...` behind a value of this type can only be meant as a comment.
    pub const fn shows_comments(self) -> bool {
        !matches!(self, Kind::List | Kind::Loose(_))
    }
}

impl Bound {
    /// Hands the number back, or says which bound it broke.
    pub fn check(self, number: u64) -> Result<u64, Fault> {
        self.check_as(number, |bound| bound.to_string())
    }

    /// The same of an option whose values are written as `written` says.
    fn check_as(self, number: u64, written: impl Fn(u64) -> String) -> Result<u64, Fault> {
        if number < self.min {
            return Err(Fault::TooSmall {
                min: written(self.min),
                why: self.less,
            });
        }
        if number > self.max {
            return Err(Fault::TooLarge {
                max: written(self.max),
                why: self.more,
            });
        }
        Ok(number)
    }
}

/// The comment that a value swallowed, if it did: `#` or `;` at its start or after white space.
pub(super) fn inline_comment(text: &str) -> Option<&str> {
    let line = text.lines().next().unwrap_or_default();
    let mut before = ' ';
    for (at, sign) in line.char_indices() {
        if (sign == '#' || sign == ';') && before.is_whitespace() {
            return Some(&line[at..]);
        }
        before = sign;
    }
    None
}

/// Whether a value stands in quotes, which are part of it.
pub fn is_quoted(text: &str) -> bool {
    let inside = |quote: char| {
        text.strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
    };
    inside('"').or_else(|| inside('\'')).is_some()
}

fn read_switch(text: &str) -> Result<bool, Fault> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Ok(true),
        "0" | "no" | "false" | "off" => Ok(false),
        _ => Err(Fault::NotSwitch),
    }
}

fn read_limit(text: &str, bound: Bound) -> Result<Option<u64>, Fault> {
    if let Some(number) = whole(text) {
        return bound.check(number).map(Some);
    }
    match float(text) {
        Some(number) if number == f64::INFINITY => Ok(None),
        Some(_) | None => Err(Fault::NotLimit {
            min: bound.min,
            max: bound.max,
        }),
    }
}

fn read_rate(text: &str, bound: Bound, none: bool) -> Result<Rate, Fault> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(Rate::Auto);
    }
    let not = || {
        if none {
            Fault::NotRateOrNone
        } else {
            Fault::NotRate
        }
    };
    let number = float(text).ok_or_else(not)?;
    if number == f64::INFINITY {
        return Ok(Rate::Unlimited);
    }
    if none && whole(text) == Some(0) {
        return Ok(Rate::Limited(0.0));
    }
    if number.is_nan() || number < RATE_MIN {
        return Err(not());
    }
    if whole(&format!("{number:.0}")).is_none_or(|rounded| rounded > bound.max) {
        return Err(Fault::TooLarge {
            max: bound.max.to_string(),
            why: bound.more,
        });
    }
    // Half a step above the largest rounds to it.
    Ok(Rate::Limited(bound.rate(number)))
}

fn read_bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.to_ascii_lowercase().chars().last()? {
        'k' => (&text[..text.len() - 1], 10),
        'm' => (&text[..text.len() - 1], 20),
        'g' => (&text[..text.len() - 1], 30),
        't' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    whole(digits.trim_end())?.checked_mul(1 << shift)
}

fn read_time(text: &str, bound: Bound, words: &'static [&'static str]) -> Result<Value, Fault> {
    if let Some(word) = words.iter().find(|word| **word == text) {
        return Ok(Value::Choice(word));
    }
    let units = [("ms", 1.0), ("s", 1e3), ("m", 60e3), ("h", 3600e3)];
    let (digits, unit_ms) = units
        .iter()
        .find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, *ms)))
        .unwrap_or((text, 1e3));
    let milliseconds = float(digits.trim_end()).map(|number| (number * unit_ms).round());
    let whole = milliseconds.and_then(|number| whole(&format!("{number:.0}")));
    let Some(number) = whole else {
        let or = [&[""], words].concat().join(", or ");
        return Err(Fault::NotTime { or });
    };
    bound.check_as(number, time_text).map(Value::Integer)
}

/// Milliseconds as a time is written: in seconds where that is whole.
pub(super) fn time_text(ms: u64) -> String {
    if ms.is_multiple_of(1000) {
        format!("{}s", ms / 1000)
    } else {
        format!("{ms}ms")
    }
}

/// A whole number as Python's int() or float() reads it: `2003`, `1_000`, `+5`, `1e6`, `60.0`.
pub(super) fn whole(text: &str) -> Option<u64> {
    let plain = without_underscores(text)?;
    if let Ok(number) = plain.parse::<u64>() {
        return Some(number);
    }
    let number = plain.parse::<f64>().ok()?;
    if number < 0.0 || number.fract().abs() > 0.0 || !number.is_finite() {
        return None;
    }
    format!("{number:.0}").parse().ok()
}

/// A number as Python's float() reads it: `0.8`, `1_000`, `1e6`, `inf`.
pub fn float(text: &str) -> Option<f64> {
    without_underscores(text)?.parse().ok()
}

/// Takes out the underscores that Python allows between two digits; any other is a fault.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices('_') {
        let digit = |index: Option<usize>| {
            index
                .and_then(|index| bytes.get(index))
                .is_some_and(u8::is_ascii_digit)
        };
        if !digit(at.checked_sub(1)) || !digit(Some(at + 1)) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}
