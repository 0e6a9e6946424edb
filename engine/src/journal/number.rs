//! Numbers of variable length in the journal's entries: LEB128, and zigzag for those with a sign.
//! They are written into and read from a window of fixed size, so that no step asks where the bytes
//! end; whoever fills the window with what lies behind a payload compares the end afterwards.

/// What an entry is written into or read from at once; the longest but for a name's text fits.
pub(super) const WINDOW_BYTES: usize = 32;
/// Bytes of a `u64` in LEB128.
pub(super) const VARINT_BYTES_MAX: usize = 10;
const _: () = assert!(2 * VARINT_BYTES_MAX <= WINDOW_BYTES);

/// A number of more than 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoEnd;

/// Writes a number in LEB128; says where it ends.
pub(super) fn put_varint(window: &mut [u8; WINDOW_BYTES], mut at: usize, mut number: u64) -> usize {
    while number >= 0x80 {
        let [low, ..] = number.to_le_bytes();
        window[at] = low | 0x80;
        number >>= 7;
        at += 1;
    }
    let [low, ..] = number.to_le_bytes();
    window[at] = low;
    at + 1
}

/// Reads a number in LEB128, and where it ends.
pub(super) fn get_varint(window: &[u8; WINDOW_BYTES], at: usize) -> Result<(u64, usize), NoEnd> {
    let mut number = 0_u64;
    for (index, byte) in window[at..at + VARINT_BYTES_MAX].iter().enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << (7 * index);
        if shifted >> (7 * index) != bits {
            return Err(NoEnd);
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Ok((number, at + index + 1));
        }
    }
    Err(NoEnd)
}

pub(super) fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// So many bytes of a window.
#[inline]
pub(super) fn array<const N: usize>(window: &[u8; WINDOW_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&window[at..at + N]);
    bytes
}
