//! The bytes of a cached point: how the point before another one is written down.
//! A run is read from its newest point back, so a token says what the *older* point's value is,
//! given the newer one's, and only where the steps between points change, how the step differs.
//! A token is a payload of 0 to 8 bytes, little-endian, and then its tag: what is written last is
//! read first. The tag's high half is the kind, its low half belongs to the kind:
//!
//! | tag | payload | meaning |
//! |---|---|---|
//! | 00 | 0 | same value |
//! | 01 | 2 | the step before was this many seconds; 0: far |
//! | 02 | 6 | far: seconds back to the older point (4), the step before (2) |
//! | 03 | 0 | nothing: fills the end of a block |
//! | 1x to 7x | 0 to 6 | whole number from 0, of 4 to 52 bits; x are the highest four |
//! | 8x to bx | 0 to 3 | whole number, as zigzag difference of 4 to 28 bits; x are the highest four |
//! | cx, dx | 1 to 4 | zigzag integer over 10^k; x is k modulo 4 and the length; dx: k from 4 |
//! | ex | 1 to 8 | bits that differ, without zero bytes above (x < 8) or below |
//! | fx | 0 | the step before was x - 8 (x from 8: x - 7) seconds longer |
//!
//! Invariant: what is read is what was written, bit for bit, for every double there is: a shorter
//! kind is chosen only after its own decoding has given the very bits back.

/// No step that fits in 16 bits.
pub(super) const FAR: u16 = 0;
/// Most bytes of the tokens of one point: eight bytes of value and six of time with their tags.
pub(super) const ENTRY_BYTES_MAX: usize = 9 + 7;
/// The tag that means nothing.
pub(super) const FILLER: u8 = 0x03;

const SAME: u8 = 0x00;
const STEP: u8 = 0x01;
const FAR_BACK: u8 = 0x02;
const WHOLE: u8 = 0x10;
const WHOLE_LEN_MAX: u32 = 7;
const DIFFERENCE: u8 = 0x80;
const DIFFERENCE_LEN_MAX: u32 = 4;
const DECIMAL: u8 = 0xc0;
const XOR: u8 = 0xe0;
const NEAR_STEP: u8 = 0xf0;
/// Whole numbers below this are doubles without a gap, and differences of two do not overflow.
const WHOLE_MAX: i64 = 1 << 52;
/// Scales of decimal fractions: with six digits C and Python print a double, `%f`.
const SCALES: [f64; 7] = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];
const DIGITS_MAX: u8 = 6;
const DIGITS_USUAL: u8 = 2;
/// Past this a product with the largest scale says nothing about fractions any more.
const SCALED_MAX: f64 = 4e15;

/// Bytes of each tag's payload.
const PAYLOAD_LENS: [u8; 256] = {
    let mut lens = [0; 256];
    let mut tag = 0u8;
    loop {
        lens[tag as usize] = match (tag >> 4, tag & 0xf) {
            (0, 1) => 2,
            (0, 2) => 6,
            (kind @ 1..=7, _) => kind - 1,
            (kind @ 8..=11, _) => kind - 8,
            (12 | 13, x) => (x & 3) + 1,
            (14, x) => (x & 7) + 1,
            _ => 0,
        };
        if tag == u8::MAX {
            break lens;
        }
        tag += 1;
    }
};

/// One piece of what is written down about a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) payload: u64,
    pub(super) tag: u8,
}

impl Token {
    /// Bytes of the payload.
    #[inline]
    pub(super) fn payload_len(self) -> usize {
        payload_len(self.tag)
    }

    /// Bytes in all.
    #[inline]
    pub(super) fn len(self) -> usize {
        self.payload_len() + 1
    }
}

/// Bytes of the payload before this tag.
#[inline]
pub(super) fn payload_len(tag: u8) -> usize {
    usize::from(PAYLOAD_LENS[usize::from(tag)])
}

/// Is this the tag of a token of time?
#[inline]
pub(super) fn is_time(tag: u8) -> bool {
    tag == STEP || tag == FAR_BACK || tag >= NEAR_STEP
}

/// Says what the older value is, where the newer one is known. Both are the bits of doubles.
#[inline]
pub(super) fn value(older: u64, newer: u64) -> Token {
    if older == newer {
        return Token {
            payload: 0,
            tag: SAME,
        };
    }
    let token = match whole(older) {
        Some(number) => of_whole(number, newer),
        None => decimal(older),
    };
    token.unwrap_or_else(|| differing(older ^ newer))
}

/// What `value` has written down.
#[inline]
pub(super) fn read_value(tag: u8, payload: u64, newer: u64) -> u64 {
    let kind = tag >> 4;
    let highest = u64::from(tag & 0xf);
    match kind {
        0 => newer,
        1..=7 => as_double(unsigned(payload, highest, kind).cast_signed()).to_bits(),
        8..=11 => {
            let difference = from_zigzag(unsigned(payload, highest, kind - 7));
            let base = truncated(f64::from_bits(newer));
            as_double(base + difference).to_bits()
        }
        12 | 13 => {
            let digits = (kind & 1) << 2 | (tag >> 2) & 3;
            fraction(from_zigzag(payload), digits).to_bits()
        }
        14 => newer ^ (payload << (8 * dropped_below(tag))),
        _ => unreachable!("{tag:#x} is no tag of a value"),
    }
}

/// Says how far back the older point is and which step led to it, where the newer point's own step
/// is known; nothing where they agree. `back_s` is written for a far step only.
#[inline]
pub(super) fn time(back_s: u32, older: u16, newer: u16) -> Option<Token> {
    if newer == FAR {
        let payload = u64::from(back_s) | u64::from(older) << 32;
        return Some(Token {
            payload,
            tag: FAR_BACK,
        });
    }
    let longer = i32::from(older) - i32::from(newer);
    match longer {
        0 => None,
        -8..=8 if older != FAR => {
            let low = if longer < 0 { longer + 8 } else { longer + 7 };
            let [low, ..] = low.to_le_bytes();
            Some(Token {
                payload: 0,
                tag: NEAR_STEP | low,
            })
        }
        _ => Some(Token {
            payload: u64::from(older),
            tag: STEP,
        }),
    }
}

/// What `time` has written down: seconds back to the older point, and the older step.
#[inline]
pub(super) fn read_time(tag: u8, payload: u64, newer: u16) -> (u32, u16) {
    let bytes = payload.to_le_bytes();
    if tag == FAR_BACK {
        let [back_s @ .., low, high, _, _] = bytes;
        return (u32::from_le_bytes(back_s), u16::from_le_bytes([low, high]));
    }
    if tag == STEP {
        let [low, high, ..] = bytes;
        return (u32::from(newer), u16::from_le_bytes([low, high]));
    }
    let low = i16::from(tag & 0xf);
    let longer = if low < 8 { low - 8 } else { low - 7 };
    (u32::from(newer), newer.wrapping_add_signed(longer))
}

/// The whole number that these bits are, where they are one.
#[inline]
fn whole(bits: u64) -> Option<i64> {
    let number = truncated(f64::from_bits(bits));
    let is_whole =
        as_double(number).to_bits() == bits && (1 - WHOLE_MAX..WHOLE_MAX).contains(&number);
    is_whole.then_some(number)
}

#[inline]
fn of_whole(number: i64, newer: u64) -> Option<Token> {
    let mut len = u32::MAX;
    let mut token = None;
    if number >= 0 {
        len = nibble_len(number.cast_unsigned());
        token = (len <= WHOLE_LEN_MAX).then(|| split(WHOLE, number.cast_unsigned(), len));
    }
    if let Some(base) = whole(newer) {
        let difference = to_zigzag(number - base);
        let difference_len = nibble_len(difference);
        if difference_len < len && difference_len <= DIFFERENCE_LEN_MAX {
            token = Some(split(DIFFERENCE, difference, difference_len));
        }
    }
    token.or_else(|| decimal_token(number, 0))
}

/// Bytes of a number of which four bits are in the tag.
#[inline]
fn nibble_len(number: u64) -> u32 {
    (u64::BITS - (number | 1).leading_zeros() + 11) / 8
}

/// A number of `len` bytes, the highest four bits in the tag.
#[inline]
fn split(kind: u8, number: u64, len: u32) -> Token {
    let payload_bits = 8 * (len - 1);
    let [highest, ..] = (number >> payload_bits).to_le_bytes();
    let [longer, ..] = (len - 1).to_le_bytes();
    Token {
        payload: number,
        tag: (kind + (longer << 4)) | highest,
    }
}

fn unsigned(payload: u64, highest: u64, len: u8) -> u64 {
    payload | highest << (8 * (len - 1))
}

/// A decimal fraction of few digits, where these bits are one.
fn decimal(bits: u64) -> Option<Token> {
    // Most fractions that people send have two digits; taking zeros off six would take longer.
    if let Some(number) = numerator(bits, DIGITS_USUAL) {
        return decimal_token(number, DIGITS_USUAL);
    }
    let (mut number, mut digits) = (numerator(bits, DIGITS_MAX)?, DIGITS_MAX);
    while digits > DIGITS_USUAL && number % 10 == 0 {
        number /= 10;
        digits -= 1;
    }
    let is_exact = fraction(number, digits).to_bits() == bits;
    is_exact.then(|| decimal_token(number, digits)).flatten()
}

/// What these bits are times ten to the `digits`, where that is whole and leads back to them.
fn numerator(bits: u64, digits: u8) -> Option<i64> {
    let scaled = f64::from_bits(bits) * SCALES[usize::from(digits)];
    if scaled.is_nan() || scaled.abs() > SCALED_MAX {
        return None;
    }
    let nearest = truncated(scaled + 0.5_f64.copysign(scaled));
    // Two roundings, of the value and of the product, each half a unit of 53 bits. Most doubles
    // with many digits are refused here, before the division.
    let is_near = (as_double(nearest) - scaled).abs() <= scaled.abs() * (2.0 * f64::EPSILON);
    (is_near && fraction(nearest, digits).to_bits() == bits).then_some(nearest)
}

fn decimal_token(number: i64, digits: u8) -> Option<Token> {
    let payload = u32::try_from(to_zigzag(number)).ok()?;
    let [longer, ..] = ((u32::BITS - (payload | 1).leading_zeros()).div_ceil(8) - 1).to_le_bytes();
    let kind = DECIMAL + ((digits >> 2) << 4);
    let tag = kind | ((digits & 3) << 2) | longer;
    let payload = u64::from(payload);
    Some(Token { payload, tag })
}

fn fraction(number: i64, digits: u8) -> f64 {
    as_double(number) / SCALES[usize::from(digits)]
}

/// What is to be changed in the newer value's bits.
fn differing(bits: u64) -> Token {
    let above = bits.leading_zeros() / 8;
    let below = bits.trailing_zeros() / 8;
    let (payload, zeros, side) = if below > above {
        (bits >> (8 * below), below, 8)
    } else {
        (bits, above, 0)
    };
    let [longer, ..] = (7 - zeros).to_le_bytes();
    Token {
        payload,
        tag: XOR | side | longer,
    }
}

/// Bytes that `differing` has dropped below the payload.
fn dropped_below(tag: u8) -> u8 {
    if tag & 8 == 0 { 0 } else { 7 - (tag & 7) }
}

#[inline]
fn to_zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

fn from_zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "callers compare what they get with what they gave"
)]
#[inline]
fn truncated(value: f64) -> i64 {
    value as i64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "callers stay below 2^52, or compare what they get with what they gave"
)]
#[inline]
fn as_double(number: i64) -> f64 {
    number as f64
}
