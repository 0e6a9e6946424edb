//! Numbers as Python's float() reads them, to the last bit: carbon's grammar for values and
//! timestamps. Beside what C's strtod takes that is: underscores between digits, `inf`,
//! `infinity` and `nan` in any case, surrounding whitespace, and the decimal digits of every
//! script. Hexadecimal is refused.
//! Plain ASCII takes the quick path; the rest is rewritten to plain ASCII first, as CPython does.
//! `short` and `ten_digits` are quicker still, for the forms that nearly every line has; they know
//! when they do not know.
//! Pure, and linear in the length of the text.

use std::num::NonZero;

use super::word;

/// The zeros of all decimal digits beyond ASCII; each is followed by the digits 1 to 9. Unicode
/// 14.0, as CPython 3.11 has it (`unicodedata.decimal(c) == 0`).
const ZEROS: [u32; 65] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6,
    0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50,
    0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650,
    0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50,
    0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// Whether Python's str.split() separates fields here: Unicode whitespace and the four ASCII
/// separators, which Rust's `is_whitespace` does not count.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Python's `float(text)` of a str; `None` where it raises ValueError.
pub fn float(text: &str) -> Option<f64> {
    match fast_float2::parse(text) {
        Ok(value) => Some(value),
        Err(_) => unusual(text),
    }
}

/// Python's `float(bytes)` of a bytes object, which knows no other digits than ASCII.
pub fn float_bytes(bytes: &[u8]) -> Option<f64> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => float(text),
        Ok(_) | Err(_) => None,
    }
}

/// Powers of ten that a double holds exactly, as far as `short` divides by them.
const POWERS_OF_TEN: [f64; 15] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14,
];
/// Up to here a double holds every integer.
const EXACT_INTEGER_MAX: u64 = 1 << f64::MANTISSA_DIGITS;

/// The number in front of the first space of `text`, and its length: at most 15 of sign, digits
/// and point. `None` for anything else, which may still be a number. As no number is empty, the answer
/// fits two registers: out of memory it would be read in another width than it was written in, which
/// waits for all earlier writes.
/// Both the digits, without their point, and the power of ten are exact doubles, so one division
/// rounds the quotient as it must be rounded (Clinger 1990).
#[expect(
    clippy::cast_precision_loss,
    reason = "no integer is cast that a double does not hold"
)]
#[inline]
pub(super) fn short(text: &[u8]) -> Option<(f64, NonZero<usize>)> {
    let first = word::load(text)?;
    let sign_length = usize::from(text[0] == b'-');
    if let Some(length) = word::before(first, b' ') {
        if length <= sign_length {
            return None;
        }
        // Digits alone, and few: the last of them goes to the end of the word.
        let field = first << (8 * (8 - length));
        let kept = u64::MAX << (8 * (8 - length + sign_length));
        let size = match word::eight_digits(field & kept | word::repeat(b'0') & !kept) {
            Some(integer) => integer as f64,
            None => fixed_point(
                u128::from(first) << 64 << (8 * (8 - length)),
                length - sign_length,
            )?,
        };
        return Some((signed(size, sign_length), NonZero::new(length)?));
    }
    let second = word::load(&text[8..])?;
    let length = 8 + word::before(second, b' ')?;
    let field = u128::from(second) << 64 | u128::from(first);
    let size = fixed_point(field << (8 * (16 - length)), length - sign_length)?;
    Some((signed(size, sign_length), NonZero::new(length)?))
}

fn signed(size: f64, sign_length: usize) -> f64 {
    if sign_length > 0 { -size } else { size }
}

/// The number that the last `length` of sixteen bytes are, 1 to 15: digits, and a point perhaps.
#[expect(
    clippy::cast_precision_loss,
    reason = "no integer is cast that a double does not hold"
)]
fn fixed_point(mut field: u128, length: usize) -> Option<f64> {
    let mut foreign = 16 - length;
    let mut decimals = 0;
    if let Some(point) = point(field) {
        decimals = 15 - point;
        foreign += 1;
        if foreign == 16 {
            return None;
        }
        // What stands before the point moves into its place.
        let whole = field & !(u128::MAX << (8 * point));
        let fraction = field & (u128::MAX << (8 * point) << 8);
        field = whole << 8 | fraction;
    }
    let kept = u128::MAX << (8 * foreign);
    let [high, low] = halves(field & kept | u128::from_le_bytes([b'0'; 16]) & !kept);
    let integer = word::eight_digits(high)? * 100_000_000 + word::eight_digits(low)?;
    if integer > EXACT_INTEGER_MAX {
        return None;
    }
    Some(match decimals {
        0 => integer as f64,
        _ => integer as f64 / POWERS_OF_TEN[decimals],
    })
}

/// The place of the first point among sixteen bytes.
fn point(field: u128) -> Option<usize> {
    let [high, low] = halves(field);
    let in_low = || word::before(low, b'.').map(|place| 8 + place);
    word::before(high, b'.').or_else(in_low)
}

/// The first and the last eight of sixteen bytes.
fn halves(field: u128) -> [u64; 2] {
    let bytes = field.to_le_bytes();
    let (halves, _) = bytes.as_chunks();
    [u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1])]
}

/// Whole seconds from the first ten bytes of a text, if they are ASCII digits and fit.
#[inline]
pub(super) fn ten_digits(text: &[u8]) -> Option<u32> {
    let [.., tens, ones] = text.first_chunk::<10>()?;
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens > 9 || ones > 9 {
        return None;
    }
    let hundreds = word::eight_digits(word::load(text)?)?;
    u32::try_from(hundreds * 100 + u64::from(tens * 10 + ones)).ok()
}

/// Whole seconds from ASCII digits alone, the form of nearly every timestamp. `None` for anything
/// else, which may still be a number.
pub(super) fn digits(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > "4294967295".len() {
        return None;
    }
    let mut seconds = 0u64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        seconds = seconds * 10 + u64::from(digit);
    }
    u32::try_from(seconds).ok()
}

/// Cuts the fraction off seconds that are known to fit.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the assertion has both; the fraction is cut on purpose, toward zero as int() does"
)]
pub(super) fn whole_seconds(seconds: f64) -> u32 {
    assert!(
        seconds > -1.0 && seconds < f64::from(u32::MAX) + 1.0,
        "not a u32 of seconds: {seconds}"
    );
    seconds as u32
}

/// The rest of float()'s grammar: rewritten to plain ASCII, then parsed.
#[cold]
fn unusual(text: &str) -> Option<f64> {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        plain.push(match c {
            c if c.is_ascii() => c,
            c if c.is_whitespace() => ' ',
            c => decimal(c)?,
        });
    }
    // C's isspace: float() strips no more than that after the rewriting, so not U+001C.
    let trimmed = plain.trim_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    if !trimmed.contains('_') {
        return fast_float2::parse(trimmed).ok();
    }
    let bytes = trimmed.as_bytes();
    let is_digit = |index: Option<usize>| {
        let byte = index.and_then(|index| bytes.get(index));
        byte.is_some_and(u8::is_ascii_digit)
    };
    let between_digits = |(index, byte): (usize, &u8)| {
        *byte != b'_' || (is_digit(index.checked_sub(1)) && is_digit(Some(index + 1)))
    };
    if !bytes.iter().enumerate().all(between_digits) {
        return None;
    }
    fast_float2::parse(trimmed.replace('_', "")).ok()
}

/// The ASCII digit of the same value.
fn decimal(c: char) -> Option<char> {
    let code = u32::from(c);
    let script = ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?;
    char::from_digit(code - ZEROS[script], 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_what_python_takes() {
        for (text, value) in [
            ("1", 1.0),
            ("+1", 1.0),
            ("-1.", -1.0),
            (".5", 0.5),
            ("1e5", 1e5),
            ("1E+5", 1e5),
            ("1_000.2_5e1_0", 1000.25e10),
            ("InFinItY", f64::INFINITY),
            ("-iNf", f64::NEG_INFINITY),
            ("1e999", f64::INFINITY),
            (" 1_0\n", 10.0),
            ("\u{2003}1\u{85}", 1.0),
            ("\u{663}.\u{ff15}", 3.5),
            ("\u{661}_\u{1d7da}", 12.0),
        ] {
            assert_eq!(
                float(text).map(f64::to_bits),
                Some(value.to_bits()),
                "{text:?}"
            );
        }
        assert!(float("+NaN").is_some_and(f64::is_nan));
    }

    #[test]
    fn refuses_what_python_refuses() {
        for text in [
            "",
            " ",
            "_",
            ".",
            "+",
            "1e",
            "e5",
            "1e+",
            "+-1",
            "infin",
            "0x10",
            "1__0",
            "_1",
            "1_",
            "1_e5",
            "1e_5",
            "1._5",
            "1_.5",
            "1 0",
            "1\0",
            "\x1c1",
            "\u{2003}\x1c1",
            "nan(1)",
            "1L",
            "\u{bd}",
            "\u{2160}",
            "1,5",
            "\u{2212}1",
        ] {
            assert_eq!(float(text), None, "{text:?}");
        }
        assert_eq!(float_bytes("\u{663}".as_bytes()), None);
        assert_eq!(float_bytes(b"1_0"), Some(10.0));
        assert_eq!(float_bytes(b"\xff1"), None);
    }

    #[test]
    fn digits_take_what_fits_and_nothing_else() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("0000000007", Some(7)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("9999999999", None),
            ("00000000007", None),
            ("", None),
            ("1.", None),
            ("-1", None),
        ] {
            assert_eq!(digits(text.as_bytes()), seconds, "{text:?}");
        }
    }

    #[test]
    fn short_numbers_are_exact_or_left_alone() {
        for text in [
            "0",
            "-0",
            "1",
            "-1",
            "171048",
            "12345678",
            "123456789012345",
            "-12345678901234",
            "0.1",
            ".5",
            "-.5",
            "1.",
            "-1.",
            "3.14159",
            "24435.428571",
            "-24435.4285714",
            "0.0000000000001",
            "12345678.123456",
            "9007199254740.9",
        ] {
            let exact: f64 = text.parse().unwrap();
            let (found, length) = short(format!("{text} 1600000200").as_bytes()).unwrap();
            assert_eq!(found.to_bits(), exact.to_bits(), "{text}");
            assert_eq!(length.get(), text.len());
        }
        for text in [
            "",
            "-",
            ".",
            "-.",
            "--1",
            "+1",
            "1-",
            "1.2.3",
            "..1",
            "1e5",
            "1_0",
            "nan",
            "-inf",
            "1\u{e9}",
            "1234567890123456",
            "0.12345678901234",
            "\t1",
            "1,5",
            "0x10",
            "1:",
            "1/2",
        ] {
            let line = format!("{text} 1600000200");
            let found = short(line.as_bytes());
            assert_eq!(found, None, "{text:?}");
        }
        assert_eq!(short(b"1 23456"), None);
        assert_eq!(short(b"12345678"), None);
        assert_eq!(short(b"1 234567"), Some((1.0, NonZero::<usize>::MIN)));
    }

    #[test]
    fn ten_digits_are_what_digits_says() {
        for text in [
            "1600000200",
            "0000000000",
            "4294967295",
            "4294967296",
            "9999999999",
            "16000002 0",
            "160000020 ",
            "a600000200",
            "160000020a",
            "16\u{e9}00200",
        ] {
            let found = ten_digits(text.as_bytes());
            assert_eq!(found, digits(text.as_bytes()), "{text:?}");
        }
        assert_eq!(ten_digits(b"160000020"), None);
        assert_eq!(ten_digits(b"16000002001"), Some(1_600_000_200));
    }

    proptest! {
        #[test]
        fn short_numbers_are_python_s(text in "-?[0-9]{0,16}\\.?[0-9]{0,15}", end in "[ a]") {
            if let Some((found, length)) = short(format!("{text}{end} 1600000200").as_bytes()) {
                prop_assert_eq!(Some(found.to_bits()), float(&text).map(f64::to_bits));
                prop_assert_eq!((length.get(), end.as_str()), (text.len(), " "));
            }
        }
    }

    #[test]
    fn scripts_are_ten_apart_and_sorted() {
        assert!(ZEROS.is_sorted_by(|one, next| one + 10 <= *next));
    }
}
