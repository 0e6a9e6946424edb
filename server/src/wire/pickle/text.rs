//! Arguments of opcodes: a cursor that never reads past the frame, the text forms of protocols 0
//! and 1 (decimal integers, Python 2 string literals, raw-unicode-escape), and binary integers.
//! Every function is linear in its argument and writes no more than twice its length.
//! Malformed arguments are `None` here; the unpickler turns that into its error with the offset.

use super::PickleError;
use super::vm::Node;

/// A place in a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'f> {
    pub(super) frame: &'f [u8],
    pub(super) at: usize,
}

impl<'f> Cursor<'f> {
    /// The next `length` bytes.
    pub(super) fn take(&mut self, length: usize) -> Result<&'f [u8], PickleError> {
        let rest = &self.frame[self.at..];
        let Some(bytes) = rest.get(..length) else {
            let offset = self.at;
            return Err(PickleError::Truncated { offset });
        };
        self.at += length;
        Ok(bytes)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8, PickleError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// An unsigned length of `N` little-endian bytes, and then as many bytes.
    pub(super) fn counted<const N: usize>(&mut self) -> Result<&'f [u8], PickleError> {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(&self.array::<N>()?);
        // A length beyond usize is beyond the frame as well.
        let length = usize::try_from(u64::from_le_bytes(wide)).unwrap_or(usize::MAX);
        self.take(length)
    }

    /// Everything up to the next newline, which is passed over.
    pub(super) fn line(&mut self) -> Result<&'f [u8], PickleError> {
        let rest = &self.frame[self.at..];
        let Some(length) = memchr::memchr(b'\n', rest) else {
            let offset = self.at;
            return Err(PickleError::Truncated { offset });
        };
        self.at += length + 1;
        Ok(&rest[..length])
    }
}

/// A decimal integer of any length, with an optional sign.
pub(super) fn decimal(text: &[u8]) -> Option<Node> {
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+"));
    let digits = digits.unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(int) = text.parse() {
        return Some(Node::Int(int));
    }
    let float: f64 = fast_float2::parse(text).ok()?;
    Some(finite(float))
}

/// A two's complement integer of any length, little-endian; a double where it needs more than 64
/// bits. All that is ever asked of such a number is float(), so nothing is lost by that.
pub(super) fn binary(bytes: &[u8]) -> Node {
    let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
    let fill = if negative { 0xff } else { 0 };
    let significant = bytes.iter().rposition(|byte| *byte != fill);
    let bytes = &bytes[..significant.map_or(0, |last| last + 1)];
    if bytes.len() < size_of::<i64>() {
        let mut wide = [fill; size_of::<i64>()];
        wide[..bytes.len()].copy_from_slice(bytes);
        return Node::Int(i64::from_le_bytes(wide));
    }
    if bytes.len() > DOUBLE_BYTES_MAX {
        return Node::Huge;
    }
    let float = magnitude(bytes, negative);
    finite(if negative { -float } else { float })
}

/// Bytes of the largest integer that a double reaches, 2^1024.
const DOUBLE_BYTES_MAX: usize = 129;

/// The absolute value of a short two's complement integer, rounded half to even as Python does.
#[expect(
    clippy::cast_precision_loss,
    reason = "the cast rounds to the nearest, ties to even, which is what is wanted"
)]
fn magnitude(bytes: &[u8], negative: bool) -> f64 {
    let mut absolute = [0u8; DOUBLE_BYTES_MAX + 1];
    absolute[..bytes.len()].copy_from_slice(bytes);
    if negative {
        let mut carry = true;
        for byte in &mut absolute[..bytes.len()] {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
        absolute[bytes.len()] = u8::from(carry);
    }
    // The highest 16 bytes hold more bits than a double, so one cast rounds them right if their
    // lowest bit tells whether anything below is set.
    let top = absolute.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    let low = (top + 1).saturating_sub(size_of::<u128>());
    let mut high = [0; size_of::<u128>()];
    high[..=top - low].copy_from_slice(&absolute[low..=top]);
    let below = absolute[..low].iter().any(|byte| *byte != 0);
    let high = u128::from_le_bytes(high) | u128::from(below);
    // Multiplying by a power of two is exact, or overflows where Python overflows.
    (0..low).fold(high as f64, |float, _| float * 256.0)
}

fn finite(float: f64) -> Node {
    if float.is_finite() {
        Node::Float(float)
    } else {
        Node::Huge
    }
}

/// What stands between the quotes of a Python 2 string literal.
pub(super) fn quoted(line: &[u8]) -> Option<&[u8]> {
    match line {
        [b'\'', text @ .., b'\''] | [b'"', text @ .., b'"'] => Some(text),
        _ => None,
    }
}

/// Appends the bytes that a Python 2 string literal stands for. Unknown escapes stand for
/// themselves, as in Python.
pub(super) fn unescape(literal: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = literal;
    while let Some(plain) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..plain]);
        let (escape, after) = rest[plain + 1..].split_first()?;
        rest = after;
        match escape {
            b'\n' => {}
            b'\\' | b'\'' | b'"' => out.push(*escape),
            b'a' => out.push(0x07),
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(0x0b),
            b'x' => {
                let code = hexadecimal(rest.get(..2)?)?;
                out.push(u8::try_from(code).ok()?);
                rest = &rest[2..];
            }
            b'0'..=b'7' => {
                let more = rest.iter().take(2);
                let more = more.take_while(|b| (b'0'..=b'7').contains(*b)).count();
                let digits = rest[..more].iter().map(|b| b - b'0');
                // Above 0o377 Python keeps the low eight bits.
                out.push(digits.fold(escape - b'0', |code, d| (code << 3) | d));
                rest = &rest[more..];
            }
            unknown => out.extend_from_slice(&[b'\\', *unknown]),
        }
    }
    out.extend_from_slice(rest);
    Some(())
}

/// Appends, as UTF-8, the text that raw-unicode-escape bytes stand for: `\u` and `\U` escapes, all
/// else Latin-1. A surrogate comes out as three bytes that no UTF-8 check lets pass, as it does
/// from Python, where such a name fails when it is encoded.
pub(super) fn raw_unicode(escaped: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = escaped;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let digits = match (byte, rest.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            (b'\\', Some(other)) => {
                // Two bytes at once, so that in `\\u0041` the second backslash begins no escape.
                push_char(u32::from(b'\\'), out)?;
                push_char(u32::from(*other), out)?;
                rest = &rest[1..];
                continue;
            }
            _ => {
                push_char(u32::from(*byte), out)?;
                continue;
            }
        };
        push_char(hexadecimal(rest.get(1..=digits)?)?, out)?;
        rest = &rest[digits + 1..];
    }
    Some(())
}

fn push_char(code: u32, out: &mut Vec<u8>) -> Option<()> {
    if let Some(c) = char::from_u32(code) {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        return Some(());
    }
    if code > u32::from(char::MAX) {
        return None;
    }
    let [_, _, high, low] = code.to_be_bytes();
    out.extend_from_slice(&[
        0xe0 | (high >> 4),
        0x80 | ((high << 2) & 0x3c) | (low >> 6),
        0x80 | (low & 0x3f),
    ]);
    Some(())
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |code, digit| {
        Some((code << 4) | char::from(*digit).to_digit(16)?)
    })
}
