//! Sorts what a snapshot of the write order is made of, in time proportional to its length: a
//! counting sort by 11 bits at a time, over the bits that differ at all.

/// A series with its rank: `major` first, then `minor`, both ascending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ranked {
    pub(super) major: u32,
    pub(super) minor: u64,
    pub(super) id: u32,
}

const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;
/// Below this the counters cost more than they save.
const SHORT: usize = 512;

/// Sorts by `major`, then `minor`.
pub(super) fn sort(items: &mut Vec<Ranked>) {
    if items.len() <= SHORT {
        items.sort_unstable();
        return;
    }
    if items.is_sorted() {
        return;
    }
    let first = items[0];
    let (mut minor, mut major) = (0, 0);
    for item in items.iter() {
        minor |= item.minor ^ first.minor;
        major |= item.major ^ first.major;
    }
    let mut spare = vec![Ranked::default(); items.len()];
    sort_by(items, &mut spare, minor, |item| item.minor);
    sort_by(items, &mut spare, u64::from(major), |item| {
        u64::from(item.major)
    });
}

/// Sorts stably by a key of which only the bits of `differing` differ.
fn sort_by(
    items: &mut Vec<Ranked>,
    spare: &mut Vec<Ranked>,
    differing: u64,
    key: impl Fn(&Ranked) -> u64,
) {
    let mut shift = 0;
    while shift < u64::BITS && differing >> shift != 0 {
        if (differing >> shift) & (DIGITS as u64 - 1) != 0 {
            let digit = |item: &Ranked| {
                let [low, high, ..] = (key(item) >> shift).to_le_bytes();
                usize::from(u16::from_le_bytes([low, high])) & (DIGITS - 1)
            };
            place_by(items, spare, digit);
            std::mem::swap(items, spare);
        }
        shift += DIGIT_BITS;
    }
}

fn place_by(items: &[Ranked], target: &mut [Ranked], digit: impl Fn(&Ranked) -> usize) {
    assert_eq!(items.len(), target.len(), "the target has another length");
    let mut places = [0u32; DIGITS];
    for item in items {
        places[digit(item)] += 1;
    }
    let mut sum = 0;
    for place in &mut places {
        sum += std::mem::replace(place, sum);
    }
    for item in items {
        let place = &mut places[digit(item)];
        target[*place as usize] = *item;
        *place += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sorts_as_the_standard_library(
            keys in prop::collection::vec((0u32..9, any::<u64>(), 0u32..50), 0..2000),
            minor_bits in 0u32..64,
        ) {
            let mut items: Vec<Ranked> = keys
                .iter()
                .enumerate()
                .map(|(index, (major, minor, id))| Ranked {
                    major: if index % 7 == 0 { u32::MAX - major } else { *major },
                    minor: minor >> minor_bits,
                    id: *id,
                })
                .collect();
            let mut expected = items.clone();
            expected.sort_by_key(|item| (item.major, item.minor));
            sort(&mut items);
            let rank = |item: &Ranked| (item.major, item.minor);
            prop_assert!(items.iter().map(rank).eq(expected.iter().map(rank)));
            expected.sort();
            items.sort();
            prop_assert_eq!(items, expected);
        }
    }
}
