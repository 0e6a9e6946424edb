//! Values outside of our bounds with which Python carbon runs all the same: they do not stop the start,
//! and what is used in their place is named then. What neither program can use stays refused.
//! Pure: text in, the value in its place out; which options have one, the table says.
//! Invariant: the value in its place is one that the option accepts.

use super::value::{Bound, Fault, Kind, RATE_MIN, Rate, Value, float, whole};

/// With which values outside of an option's bounds Python carbon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// With none, or the option is ours: all are refused.
    Refused,
    /// With larger ones and with fractions.
    Larger,
    /// With larger and with smaller ones, and with fractions.
    Any,
    /// With larger ones and with fractions; and with words and what is below 0 as if nothing were set,
    /// which is the option's default.
    OrUnset {
        /// With 0 too.
        zero: bool,
    },
    /// With any word: it has one of its own for those that it does not know.
    Word(&'static str),
}

impl Beyond {
    /// Reads a value; or says what is used in its place, and what is wrong with it.
    pub(super) fn take(self, kind: Kind, text: &str) -> Result<(Value, Option<Fault>), Fault> {
        self.or_instead(kind, text, kind.read(text))
    }

    /// What was read; or, where that was refused, what is used in its place.
    pub(super) fn or_instead(
        self,
        kind: Kind,
        text: &str,
        read: Result<Value, Fault>,
    ) -> Result<(Value, Option<Fault>), Fault> {
        match read {
            Ok(value) => Ok((value, None)),
            Err(fault) => match self.instead(kind, text) {
                Some(value) => Ok((value, Some(fault))),
                None => Err(fault),
            },
        }
    }

    /// What is used in the place of a value that the option refuses; None lets that stand.
    fn instead(self, kind: Kind, text: &str) -> Option<Value> {
        match (self, kind) {
            (Beyond::Word(word), _) => Some(Value::Choice(word)),
            (Beyond::OrUnset { zero }, _) => {
                let larger = Beyond::Larger.instead(kind, text);
                larger.or_else(|| is_as_none(text, zero).then_some(Value::Unset))
            }
            (Beyond::Larger | Beyond::Any, Kind::Integer(bound)) => {
                Some(Value::Integer(match number(text, bound)? {
                    Number::Smaller if self == Beyond::Any => bound.min,
                    Number::Smaller => return None,
                    Number::Within(number) => number,
                    Number::Larger => bound.max,
                }))
            }
            (Beyond::Larger | Beyond::Any, Kind::Limit(bound)) => {
                Some(Value::Limit(match number(text, bound)? {
                    Number::Smaller => return None,
                    Number::Within(number) => Some(number),
                    Number::Larger => None,
                }))
            }
            (Beyond::Larger | Beyond::Any, Kind::Rate { bound, none }) => {
                rate(text, bound, none).map(Value::Rate)
            }
            _ => None,
        }
    }
}

/// A number beside its bounds.
enum Number {
    Smaller,
    /// Rounded up, for less than one may mean something else than none.
    Within(u64),
    Larger,
}

fn number(text: &str, bound: Bound) -> Option<Number> {
    let number = float(text).filter(|number| !number.is_nan())?;
    if number < 0.0 {
        return Some(Number::Smaller);
    }
    // A zero is added for the one that is written -0.
    let rounded = number.ceil() + 0.0;
    Some(match whole(&format!("{rounded:.0}")) {
        Some(number) if number < bound.min => Number::Smaller,
        Some(number) if number <= bound.max => Number::Within(number),
        Some(_) | None => Number::Larger,
    })
}

/// A word, a number below 0, or 0 itself where that counts. Several words may be a number with a comment.
fn is_as_none(text: &str, zero: bool) -> bool {
    let is_number = float(text).is_some_and(|number| number > 0.0 || number == 0.0 && !zero);
    !is_number && !text.contains(char::is_whitespace)
}

/// Python's bucket never waits at a negative rate, and one of creates that never holds a whole grant
/// gives none.
fn rate(text: &str, bound: Bound, none: bool) -> Option<Rate> {
    let rate = float(text).filter(|rate| !rate.is_nan())?;
    match number(text, bound)? {
        Number::Smaller | Number::Within(_) if none => Some(Rate::Limited(0.0)),
        Number::Smaller | Number::Larger => Some(Rate::Unlimited),
        Number::Within(_) => (rate > 0.0).then_some(Rate::Limited(RATE_MIN)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::OPTIONS;
    use super::super::option::find;
    use super::*;

    /// What is used, as it would be written; None where the value is refused.
    fn used(name: &str, text: &str) -> Option<String> {
        let option = find(name).unwrap();
        let (value, fault) = option.take(text).ok()?;
        assert_eq!(fault.is_some(), option.read(text).is_err(), "{name} {text}");
        Some(option.shown(&value))
    }

    #[test]
    fn what_python_runs_with_is_taken_and_nonsense_is_not() {
        for (name, text, want) in [
            ("MAX_CREATES_PER_MINUTE", "0", Some("0")),
            ("MAX_CREATES_PER_MINUTE", "-1", Some("0")),
            ("MAX_CREATES_PER_MINUTE", "-0", Some("0")),
            ("MAX_CREATES_PER_MINUTE", "0.001", Some("0")),
            ("MAX_CREATES_PER_MINUTE", "1e10", Some("inf")),
            ("MAX_CREATES_PER_MINUTE", "nan", None),
            ("MAX_CREATES_PER_MINUTE", "fifty", None),
            ("MAX_UPDATES_PER_SECOND", "1000000000", Some("inf")),
            ("MAX_UPDATES_PER_SECOND", "-1", Some("inf")),
            ("MAX_UPDATES_PER_SECOND", "0.01", Some("0.02")),
            ("MAX_UPDATES_PER_SECOND", "0", None),
            ("MAX_CACHE_SIZE", "1e17", Some("inf")),
            ("MAX_CACHE_SIZE", "99999999999999999", Some("inf")),
            ("MAX_CACHE_SIZE", "100.5", Some("101")),
            ("MAX_CACHE_SIZE", "0", None),
            ("MAX_CACHE_SIZE", "-1", None),
            ("TAG_UPDATE_INTERVAL", "1000000", Some("60000")),
            ("TAG_UPDATE_INTERVAL", "0", None),
            ("TAG_QUEUE_SIZE", "-1", Some("0")),
            ("TAG_QUEUE_SIZE", "inf", Some("1000000")),
            ("TAG_BATCH_SIZE", "100000", Some("10000")),
            ("PICKLE_RECEIVER_MAX_LENGTH", "104857600", Some("67108864")),
            ("PICKLE_RECEIVER_MAX_LENGTH", "1e300", Some("67108864")),
            ("PICKLE_RECEIVER_MAX_LENGTH", "large", None),
            ("CARBON_METRIC_INTERVAL", "0.5", Some("1")),
            ("CARBON_METRIC_INTERVAL", "-1", Some("0")),
            ("CARBON_METRIC_INTERVAL", "100000", Some("86400")),
            ("MIN_TIMESTAMP_RESOLUTION", "0.5", Some("1")),
            ("MIN_TIMESTAMP_LAG", "100000", Some("86400")),
            ("METRIC_CLIENT_IDLE_TIMEOUT", "inf", Some("31622400")),
            ("METRIC_CLIENT_IDLE_TIMEOUT", "0.5", Some("1")),
            ("METRIC_CLIENT_IDLE_TIMEOUT", "none", Some("None")),
            ("METRIC_CLIENT_IDLE_TIMEOUT", "", Some("None")),
            ("METRIC_CLIENT_IDLE_TIMEOUT", "-1", Some("None")),
            ("METRIC_CLIENT_IDLE_TIMEOUT", "nan", Some("None")),
            ("METRIC_CLIENT_IDLE_TIMEOUT", "0", None),
            ("METRIC_CLIENT_IDLE_TIMEOUT", "-0.0", None),
            ("METRIC_CLIENT_IDLE_TIMEOUT", "60 # a minute", None),
            ("METRIC_CLIENT_IDLE_TIMEOUT", "60\nUSER = x", None),
            (
                "MAX_UPDATES_PER_SECOND_ON_SHUTDOWN",
                "0",
                Some("the default"),
            ),
            (
                "MAX_UPDATES_PER_SECOND_ON_SHUTDOWN",
                "0.0",
                Some("the default"),
            ),
            (
                "MAX_UPDATES_PER_SECOND_ON_SHUTDOWN",
                "none",
                Some("the default"),
            ),
            ("MAX_UPDATES_PER_SECOND_ON_SHUTDOWN", "-1", Some("inf")),
            ("MAX_UPDATES_PER_SECOND_ON_SHUTDOWN", "1e9", Some("inf")),
            ("MAX_UPDATES_PER_SECOND_ON_SHUTDOWN", "0.01", Some("0.02")),
            ("MAX_UPDATES_PER_SECOND_ON_SHUTDOWN", "50 ; slow", None),
            ("TCP_KEEPCNT", "200", Some("127")),
            ("CACHE_WRITE_STRATEGY", "Sorted", Some("sorted")),
            ("CACHE_WRITE_STRATEGY", "", Some("sorted")),
            ("CACHE_WRITE_STRATEGY", "deadline", Some("deadline")),
            ("LINE_RECEIVER_PORT", "70000", None),
            ("MAX_POINT_AGE", "90000", None),
            ("SHARDS", "100000", None),
            ("LOG_UPDATES", "2", None),
        ] {
            assert_eq!(used(name, text).as_deref(), want, "{name} = {text}");
        }
    }

    #[test]
    fn what_is_used_in_their_place_is_a_value_of_the_option() {
        let numbers = [
            "-inf", "-1", "-0.5", "-0", "0", "1e-9", "0.5", "1.5", "1e9", "1e18", "1e300", "inf",
        ];
        for option in OPTIONS {
            for text in numbers {
                if let Ok((value, Some(_))) = option.take(text) {
                    let is_set = value != Value::Unset;
                    let written = is_set.then(|| value.to_string());
                    let written = written.as_deref().unwrap_or(option.default);
                    assert_eq!(option.read(written), Ok(value), "{} {text}", option.name);
                }
            }
        }
    }
}
