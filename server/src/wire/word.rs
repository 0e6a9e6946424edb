//! Eight bytes of text at once, as one number: where a byte stands, where visible ASCII ends, and
//! what eight digits are worth. The first byte of the text is the lowest of the word.
//! Pure arithmetic, without a branch per byte; every answer is exact for any bytes at all.

/// A word of eight equal bytes.
pub(super) const fn repeat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The top bit of each byte.
const TOP_BITS: u64 = repeat(0x80);

/// The first eight bytes of a text; `None` if it is shorter.
#[inline]
pub(super) fn load(text: &[u8]) -> Option<u64> {
    text.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Whether a text begins with another, 16 bytes at once, the last 16 overlapping those before: a
/// call of the C library's comparison costs as much again for names of thirty bytes.
#[inline]
pub(super) fn begins_with(text: &[u8], start: &[u8]) -> bool {
    let Some(text) = text.get(..start.len()) else {
        return false;
    };
    let (Some(last), Some(last_of_start)) = (text.last_chunk::<16>(), start.last_chunk::<16>())
    else {
        return text == start;
    };
    let (chunks, _) = text.as_chunks::<16>();
    let (chunks_of_start, _) = start.as_chunks::<16>();
    last == last_of_start
        && chunks
            .iter()
            .zip(chunks_of_start)
            .all(|(one, other)| one == other)
}

/// Whether two texts are the same, in the same way.
#[inline]
pub(crate) fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && begins_with(one, other)
}

/// How many bytes stand before the first one equal to `byte`.
#[inline]
pub(super) fn before(word: u64, byte: u8) -> Option<usize> {
    let differing = word ^ repeat(byte);
    // The top bit of every zero byte, and perhaps of bytes behind the first of them.
    lowest(differing.wrapping_sub(repeat(1)) & !differing & TOP_BITS)
}

/// How many bytes stand before the first one that is no visible ASCII character.
#[inline]
pub(super) fn visible(word: u64) -> Option<usize> {
    let low = word & !TOP_BITS;
    let above = low.wrapping_add(repeat(0x80 - 0x7f));
    let below = !low.wrapping_add(repeat(0x80 - b'!'));
    lowest((word | above | below) & TOP_BITS)
}

/// The byte that has the lowest of the top bits set in `bits`.
fn lowest(bits: u64) -> Option<usize> {
    (bits != 0).then(|| (bits.trailing_zeros() / u8::BITS) as usize)
}

/// What eight ASCII digits are worth; `None` if one of the bytes is no digit.
#[inline]
pub(super) fn eight_digits(word: u64) -> Option<u64> {
    // The high half of each byte must be 3, also after 6 was added to the low half.
    let high = word & repeat(0xf0);
    let high_after = (word.wrapping_add(repeat(6)) & repeat(0xf0)) >> 4;
    if high | high_after != repeat(0x33) {
        return None;
    }
    // Neighbours are joined: digits to pairs, pairs to fours, fours to eight. The earlier one is
    // the lower byte and counts more.
    let digits = word & repeat(0x0f);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_say_what_their_bytes_say(
            bytes: [u8; 8],
            plain in "[ -~]{8}",
            digits in "[0-9]{8}",
            place in 0usize..8,
            byte: u8,
        ) {
            let mut spoiled: [u8; 8] = digits.as_bytes().try_into().unwrap();
            spoiled[place] = byte;
            let plain: [u8; 8] = plain.as_bytes().try_into().unwrap();
            for text in [bytes, plain, spoiled] {
                let word = load(&text).unwrap();
                let visible_to = text.iter().position(|b| !b.is_ascii_graphic());
                prop_assert_eq!(visible(word), visible_to);
                for sought in [b' ', b'.', byte, bytes[place]] {
                    let found = text.iter().position(|b| *b == sought);
                    prop_assert_eq!(before(word, sought), found);
                }
                let all_digits = text.iter().all(u8::is_ascii_digit);
                let worth = str::from_utf8(&text).ok().filter(|_| all_digits);
                prop_assert_eq!(eight_digits(word), worth.map(|text| text.parse().unwrap()));
            }
        }

        #[test]
        fn texts_begin_as_they_begin(text in "[ab]{0,70}", length in 0usize..70, place: usize) {
            let text = text.as_bytes();
            let mut start = text[..length.min(text.len())].to_vec();
            prop_assert!(begins_with(text, &start));
            prop_assert_eq!(equal(text, &start), length >= text.len());
            if !start.is_empty() {
                let place = place % start.len();
                start[place] ^= 1;
                prop_assert!(!begins_with(text, &start));
            }
            start.extend(text);
            start.push(b'c');
            prop_assert!(!begins_with(text, &start));
        }

        #[test]
        fn short_texts_are_no_words(bytes: [u8; 8]) {
            prop_assert_eq!(load(&bytes[1..]), None);
        }
    }
}
