//! `user_data`: what a completion says about the request it answers.
//! Never a pointer: a kind, the number of the request within its operation, and the generation and
//! index of a slot. A completion whose generation is not the slot's is a bug or is stale.
//! Invariant: `Tag::decode(tag.encode()) == tag` for every tag within its widths.

/// Generations count modulo this, in tags and in slots.
pub(super) const GENERATIONS: u32 = 1 << GENERATION_BITS;

const SLOT_BITS: u32 = 24;
const GENERATION_BITS: u32 = 20;
const PART_BITS: u32 = 16;
const GENERATION_SHIFT: u32 = SLOT_BITS;
const PART_SHIFT: u32 = GENERATION_SHIFT + GENERATION_BITS;
const KIND_SHIFT: u32 = PART_SHIFT + PART_BITS;
const _: () = assert!(KIND_SHIFT + 4 == u64::BITS);

/// What kind of request a completion answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An accept; the slot is a listener's.
    Accept = 1,
    /// A receive; the slot is a socket's.
    Receive = 2,
    /// A send; the slot is a socket's.
    Send = 3,
    /// A cancel of one request of a socket; the part is the kind that is cancelled.
    Cancel = 4,
    /// One request of a file operation; the part is its number in the round.
    File = 5,
    /// A message to another ring that failed; the slot is the target's number.
    WakeSent = 6,
    /// The read of our eventfd.
    Waker = 7,
    /// A message from another ring: not ours, the word is in the low half and in the result.
    Woken = 8,
    /// A cancel of everything, when the ring is dropped.
    CancelAll = 9,
}

/// A decoded `user_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// What was asked.
    pub kind: Kind,
    /// Which request of the operation.
    pub part: u16,
    /// Generation of the slot, below `GENERATIONS`.
    pub generation: u32,
    /// Index of the slot.
    pub slot: u32,
}

impl Tag {
    /// A tag for a request of its own, without a part.
    pub(super) fn new(kind: Kind, slot: u32, generation: u32) -> Tag {
        Tag {
            kind,
            part: 0,
            generation,
            slot,
        }
    }

    /// The number that travels through the kernel.
    pub(super) fn encode(self) -> u64 {
        assert!(
            self.slot < 1 << SLOT_BITS,
            "slot {} does not fit its bits",
            self.slot
        );
        assert!(
            self.generation < GENERATIONS,
            "generation {} does not fit",
            self.generation
        );
        (self.kind as u64) << KIND_SHIFT
            | u64::from(self.part) << PART_SHIFT
            | u64::from(self.generation) << GENERATION_SHIFT
            | u64::from(self.slot)
    }

    /// What `encode` made. A kind that we never use is our bug.
    pub(super) fn decode(user_data: u64) -> Tag {
        let field = |shift: u32, bits: u32| (user_data >> shift) & ((1 << bits) - 1);
        let kind = match user_data >> KIND_SHIFT {
            1 => Kind::Accept,
            2 => Kind::Receive,
            3 => Kind::Send,
            4 => Kind::Cancel,
            5 => Kind::File,
            6 => Kind::WakeSent,
            7 => Kind::Waker,
            8 => Kind::Woken,
            9 => Kind::CancelAll,
            other => unreachable!("completion of unknown kind {other}"),
        };
        Tag {
            kind,
            part: narrow_u16(field(PART_SHIFT, PART_BITS)),
            generation: narrow_u32(field(GENERATION_SHIFT, GENERATION_BITS)),
            slot: narrow_u32(field(0, SLOT_BITS)),
        }
    }
}

/// The `user_data` and result that carry `word` to another ring.
pub(super) fn word_to_message(word: u64) -> (u64, i32) {
    let low = word & u64::from(u32::MAX);
    (
        (Kind::Woken as u64) << KIND_SHIFT | low,
        narrow_u32(word >> 32).cast_signed(),
    )
}

/// The word that `word_to_message` packed.
pub(super) fn message_to_word(user_data: u64, result: i32) -> u64 {
    u64::from(result.cast_unsigned()) << 32 | (user_data & u64::from(u32::MAX))
}

fn narrow_u32(value: u64) -> u32 {
    let Ok(narrow) = u32::try_from(value) else {
        unreachable!("{value} was masked to 32 bits or fewer")
    };
    narrow
}

fn narrow_u16(value: u64) -> u16 {
    let Ok(narrow) = u16::try_from(value) else {
        unreachable!("{value} was masked to 16 bits or fewer")
    };
    narrow
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_tag_survives_the_kernel(part: u16, generation in 0..GENERATIONS, slot in 0..1u32 << 24) {
            for kind in [Kind::Accept, Kind::Receive, Kind::Send, Kind::Cancel, Kind::File,
                         Kind::WakeSent, Kind::Waker, Kind::CancelAll] {
                let tag = Tag { kind, part, generation, slot };
                prop_assert_eq!(Tag::decode(tag.encode()), tag);
            }
        }

        #[test]
        fn a_word_survives_the_message(word: u64) {
            let (user_data, result) = word_to_message(word);
            prop_assert_eq!(Tag::decode(user_data).kind, Kind::Woken);
            prop_assert_eq!(message_to_word(user_data, result), word);
        }
    }
}
