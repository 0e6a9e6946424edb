//! Numbers as Python's float() reads them, to the last bit: carbon's grammar for values and
//! timestamps. Beside what C's strtod takes that is: underscores between digits, `inf`,
//! `infinity` and `nan` in any case, surrounding whitespace, and the decimal digits of every
//! script. Hexadecimal is refused.
//! Plain ASCII takes the quick path; the rest is rewritten to plain ASCII first, as CPython does.
//! Pure, and linear in the length of the text.

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
    fn scripts_are_ten_apart_and_sorted() {
        assert!(ZEROS.is_sorted_by(|one, next| one + 10 <= *next));
    }
}
