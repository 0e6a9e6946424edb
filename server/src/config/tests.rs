//! How values are read: each kind with what it takes, what it refuses, and what it says then.

use proptest::prelude::*;

use super::value::{Bound, Fault, Kind, Rate, Value, inline_comment};

const TEN: Bound = Bound {
    min: 1,
    max: 10,
    less: "a test said so",
    more: "so it did",
};
const RATE: Kind = Kind::Rate {
    bound: TEN,
    none: false,
};
const ANY: Bound = Bound {
    min: 0,
    max: u64::MAX,
    less: "it is a u64",
    more: "it is a u64",
};

#[test]
fn switches_are_config_parsers_words() {
    for text in ["1", "yes", "True", "ON"] {
        assert_eq!(Kind::Switch.read(text), Ok(Value::Switch(true)), "{text}");
    }
    for text in ["0", "No", "false", "off"] {
        assert_eq!(Kind::Switch.read(text), Ok(Value::Switch(false)), "{text}");
    }
    for text in ["", "y", "2", "enabled", "T"] {
        assert_eq!(Kind::Switch.read(text), Err(Fault::NotSwitch), "{text}");
    }
}

#[test]
fn whole_numbers_as_python_writes_them() {
    for (text, want) in [
        ("0", 0),
        ("+5", 5),
        ("1_000", 1000),
        ("1e6", 1_000_000),
        ("60.0", 60),
        ("1_0.0", 10),
    ] {
        assert_eq!(
            Kind::Integer(ANY).read(text),
            Ok(Value::Integer(want)),
            "{text}"
        );
    }
    for text in [
        "", "x", "-1", "1.5", "inf", "nan", "_1", "1_", "1__0", "0x10", "1 000",
    ] {
        let want = Err(Fault::NotInteger {
            min: 0,
            max: u64::MAX,
        });
        assert_eq!(Kind::Integer(ANY).read(text), want, "{text}");
    }
}

#[test]
fn bounds_say_which_and_why() {
    assert_eq!(Kind::Integer(TEN).read("10"), Ok(Value::Integer(10)));
    let small = Kind::Integer(TEN).read("0").unwrap_err();
    assert_eq!(
        small.to_string(),
        "the smallest is 1, a test said so; write that or more"
    );
    let large = Kind::Integer(TEN).read("11").unwrap_err();
    assert_eq!(
        large.to_string(),
        "the largest is 10, so it did; write that or less"
    );
    assert_eq!(Kind::Limit(TEN).read("11"), Err(large.clone()));
    assert_eq!(RATE.read("10.6"), Err(large.clone()));
    assert_eq!(RATE.read("1e300"), Err(large));
    // It rounds to the largest, and more than that is not used.
    let largest = Ok(Value::Rate(Rate::Limited(10.0)));
    assert_eq!(RATE.read("10.4"), largest);
}

#[test]
fn limits_and_rates_know_infinity() {
    for text in ["inf", "INF", "Infinity", "+inf"] {
        assert_eq!(
            Kind::Limit(TEN).read(text),
            Ok(Value::Limit(None)),
            "{text}"
        );
        assert_eq!(RATE.read(text), Ok(Value::Rate(Rate::Unlimited)), "{text}");
    }
    assert_eq!(Kind::Limit(TEN).read("3"), Ok(Value::Limit(Some(3))));
    assert_eq!(RATE.read("2.5"), Ok(Value::Rate(Rate::Limited(2.5))));
    assert_eq!(RATE.read("Auto"), Ok(Value::Rate(Rate::Auto)));
    for text in ["-inf", "nan", "none", "-1"] {
        assert_eq!(
            Kind::Limit(TEN).read(text),
            Err(Fault::NotLimit { min: 1, max: 10 })
        );
        assert_eq!(RATE.read(text), Err(Fault::NotRate), "{text}");
    }
    for text in ["0", "0.001"] {
        let read = RATE.read(text);
        assert_eq!(read, Err(Fault::NotRate), "{text} would never write");
    }
    let or_none = Kind::Rate {
        bound: TEN,
        none: true,
    };
    for text in ["0", "0.0", "0e5"] {
        let read = or_none.read(text);
        assert_eq!(read, Ok(Value::Rate(Rate::Limited(0.0))), "{text}");
    }
    assert_eq!(or_none.read("0.001"), Err(Fault::NotRateOrNone));
    assert_eq!(RATE.read("0.02"), Ok(Value::Rate(Rate::Limited(0.02))));
}

#[test]
fn bytes_take_suffixes() {
    for (text, want) in [
        ("512", 512),
        ("4k", 4 << 10),
        ("512M", 512 << 20),
        ("2 g", 2 << 30),
        ("1t", 1 << 40),
    ] {
        assert_eq!(
            Kind::Bytes(ANY).read(text),
            Ok(Value::Integer(want)),
            "{text}"
        );
    }
    for text in ["", "k", "1kb", "1.5g", "inf", "99999999999999t", "\u{fc}"] {
        assert_eq!(Kind::Bytes(ANY).read(text), Err(Fault::NotBytes), "{text}");
    }
}

#[test]
fn choices_are_words_of_this_version() {
    let kind = Kind::Choice {
        now: &["sorted", "max"],
        later: &["deadline"],
    };
    assert_eq!(kind.read("max"), Ok(Value::Choice("max")));
    let later = kind.read("deadline").unwrap_err().to_string();
    assert_eq!(
        later,
        "deadline comes with a later version; write one of sorted, max"
    );
    let other = kind.read("Sorted").unwrap_err().to_string();
    assert_eq!(other, "there is no such choice; write one of sorted, max");
}

#[test]
fn comments_behind_values_are_found() {
    assert_eq!(inline_comment("inf  # all of it"), Some("# all of it"));
    assert_eq!(inline_comment("inf\t; all"), Some("; all"));
    assert_eq!(inline_comment("# nothing"), Some("# nothing"));
    assert_eq!(inline_comment("a#b;c"), None);
    assert_eq!(inline_comment("a\nb # of another line"), None);
}

#[test]
fn an_indented_line_is_named() {
    let fault = Kind::Integer(ANY).read("5\nUSER = carbon\nx").unwrap_err();
    assert_eq!(
        fault,
        Fault::Continued {
            next: "USER = carbon".to_owned()
        }
    );
    assert_eq!(
        Kind::List.read("a,\nb"),
        Ok(Value::Text("a,\nb".to_owned()))
    );
}

#[test]
fn times_have_units_and_words() {
    let kind = Kind::Time {
        bound: Bound {
            min: 1,
            max: 60_000,
            less: "a test said so",
            more: "so it did",
        },
        words: &["always", "never"],
    };
    for (text, ms) in [
        ("10ms", 10),
        ("1", 1000),
        ("0.5", 500),
        ("1.5 s", 1500),
        ("1m", 60_000),
    ] {
        assert_eq!(kind.read(text), Ok(Value::Integer(ms)), "{text}");
    }
    assert_eq!(kind.read("never"), Ok(Value::Choice("never")));
    for text in ["", "ms", "1d", "-1", "nan", "inf", "Never"] {
        let fault = kind.read(text).unwrap_err().to_string();
        assert!(fault.ends_with("(10ms), or always, or never"), "{fault}");
    }
    // Bounds are said as they can be written.
    for (text, want) in [
        ("100", "the largest is 60s, so it did; write that or less"),
        ("1h", "the largest is 60s, so it did; write that or less"),
        (
            "0",
            "the smallest is 1ms, a test said so; write that or more",
        ),
    ] {
        assert_eq!(kind.read(text).unwrap_err().to_string(), want, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_reader_panic(text in "\\PC{0,24}") {
        for kind in [Kind::Switch, Kind::Integer(TEN), Kind::Limit(TEN), RATE,
                     Kind::Bytes(TEN), Kind::Host, Kind::Path, Kind::Text, Kind::List] {
            if let Ok(Value::Integer(number) | Value::Limit(Some(number))) = kind.read(&text) {
                prop_assert!((1..=10).contains(&number), "{text:?} gave {number}");
            }
        }
        inline_comment(&text);
    }

    #[test]
    fn every_number_is_read_back(number: u64) {
        prop_assert_eq!(Kind::Integer(ANY).read(&number.to_string()), Ok(Value::Integer(number)));
    }
}
