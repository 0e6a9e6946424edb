//! Retention definitions, `60s:1d` and the like, as Python carbon's `parseRetentionDef` reads them.
//! The first number is seconds unless it has a unit. The second is a number of points unless it has
//! one: `60s:1440` and `60s:1d` are the same.
//! Never decides whether archives fit together, or whether zero points are of use: that is the
//! Whisper layout's.
//! On failure: which half is not understood.

use thiserror::Error;

use crate::whisper::Retention;

/// Why a retention definition was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RetentionError {
    /// Not two parts with one colon between them.
    #[error("'{found}' is not of the form precision:retention, like 60s:1d")]
    Form {
        /// The definition.
        found: String,
    },
    /// The part before the colon is no number, nor a number with a unit.
    #[error("invalid precision specification '{found}'; write it like 60, 60s or 1m")]
    Precision {
        /// The part.
        found: String,
    },
    /// The part behind the colon is no number, nor a number with a unit.
    #[error("invalid retention specification '{found}'; write points like 1440 or a time like 1d")]
    Points {
        /// The part.
        found: String,
    },
    /// A unit that is none of s, m, h, d, w, y.
    #[error("invalid unit '{found}'; there are s, m, h, d, w and y")]
    Unit {
        /// The unit.
        found: String,
    },
    /// A time in points of zero seconds, in which Python divides by zero.
    #[error("'{found}' has a precision of 0 seconds")]
    PrecisionZero {
        /// The definition.
        found: String,
    },
    /// A number that does not fit the 32 bits that a Whisper file has for it.
    #[error("'{found}' is more than a Whisper file can hold")]
    TooLarge {
        /// The definition.
        found: String,
    },
}

/// Reads one definition.
pub fn parse(definition: &str) -> Result<Retention, RetentionError> {
    let definition = definition.trim();
    let found = || definition.to_owned();
    let mut parts = definition.split(':');
    let (Some(precision), Some(points), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(RetentionError::Form { found: found() });
    };
    let too_large = || RetentionError::TooLarge { found: found() };
    let Some((number, unit)) = number_and_unit(precision) else {
        return Err(RetentionError::Precision {
            found: precision.to_owned(),
        });
    };
    let seconds = if unit.is_empty() { 1 } else { unit_s(unit)? };
    let step_s = number
        .and_then(|number| number.checked_mul(seconds))
        .ok_or_else(too_large)?;
    let Some((number, unit)) = number_and_unit(points) else {
        return Err(RetentionError::Points {
            found: points.to_owned(),
        });
    };
    // Python divides in floating point and cuts the fraction off, which differs from this only
    // beyond 2^53 seconds.
    let points = if unit.is_empty() {
        number
    } else {
        let seconds = unit_s(unit)?;
        if step_s == 0 {
            return Err(RetentionError::PrecisionZero { found: found() });
        }
        number
            .and_then(|number| number.checked_mul(seconds))
            .map(|seconds| seconds / step_s)
    };
    match (u32::try_from(step_s), points.map(u32::try_from)) {
        (Ok(step_s), Some(Ok(points))) => Ok(Retention { step_s, points }),
        _ => Err(too_large()),
    }
}

/// Digits, then lower-case letters or nothing. The number is None where it overflows.
fn number_and_unit(text: &str) -> Option<(Option<u64>, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let valid = digits > 0 && unit.bytes().all(|byte| byte.is_ascii_lowercase());
    valid.then(|| (number.parse().ok(), unit))
}

fn unit_s(unit: &str) -> Result<u64, RetentionError> {
    Ok(match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        "y" => 365 * 86_400,
        _ => {
            return Err(RetentionError::Unit {
                found: unit.to_owned(),
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_python_s() {
        for (definition, step_s, points) in [
            ("60:1440", 60, 1440),
            ("60s:1440", 60, 1440),
            ("60s:1d", 60, 1440),
            (" 1m:7d\n", 60, 10_080),
            ("10s:6h", 10, 2160),
            ("1h:1y", 3600, 8760),
            ("1w:2y", 604_800, 104),
            ("7s:1m", 7, 8),
            ("60s:30s", 60, 0),
            ("60:0", 60, 0),
            ("0:5", 0, 5),
        ] {
            assert_eq!(
                parse(definition),
                Ok(Retention { step_s, points }),
                "{definition}"
            );
        }
    }

    #[test]
    fn bad_definitions_say_which_part() {
        for (definition, message) in [
            ("", "'' is not of the form"),
            ("60s", "'60s' is not of the form"),
            ("60s:1d:2", "'60s:1d:2' is not of the form"),
            ("10X:1d", "invalid precision specification '10X'"),
            (":1d", "invalid precision specification ''"),
            ("60 s:1d", "invalid precision specification '60 s'"),
            ("10:10$", "invalid retention specification '10$'"),
            ("60s:1d ; c", "invalid retention specification '1d ; c'"),
            ("10:-1", "invalid retention specification '-1'"),
            ("10min:1d", "invalid unit 'min'"),
            ("1s:1x", "invalid unit 'x'"),
            ("0s:1d", "'0s:1d' has a precision of 0 seconds"),
            ("1:5000000000", "'1:5000000000' is more than"),
            (
                "1:99999999999999999999",
                "'1:99999999999999999999' is more than",
            ),
            ("200y:1000y", "'200y:1000y' is more than"),
        ] {
            let error = parse(definition).expect_err(definition).to_string();
            assert!(error.starts_with(message), "{definition:?}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9]{0,22}[a-z]{0,2}:?[0-9]{0,22}[smhdwy$ ]{0,2}") {
            if let Ok(retention) = parse(&text) {
                let plain = format!("{}:{}", retention.step_s, retention.points);
                proptest::prop_assert_eq!(parse(&plain), Ok(retention));
            }
        }
    }
}
