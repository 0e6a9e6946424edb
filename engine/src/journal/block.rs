//! A block of the journal: a head of 64 bytes that says which block of which stream it is, a payload
//! of entries, and zeros up to the next multiple of 64. docs/formats/journal.md has the map.
//! Pure: it seals bytes that are to be written and proves bytes that were read.
//! Invariants: what `parse` returns has a checksum that holds over head and payload, a known version
//! and a known kind; a head that lies about its length is refused before anything is summed up.

use crate::limits::JOURNAL_PAYLOAD_BYTES_MAX;

/// Where a field of the head begins; each is the end of the one before.
pub const MAGIC_AT: usize = 0;
/// Of the checksum.
pub const CHECKSUM_AT: usize = MAGIC_AT + MAGIC.len();
/// Of the payload's length.
pub const PAYLOAD_BYTES_AT: usize = CHECKSUM_AT + size_of::<u32>();
/// Of the version.
pub const VERSION_AT: usize = PAYLOAD_BYTES_AT + size_of::<u32>();
/// Of the kind.
pub const KIND_AT: usize = VERSION_AT + size_of::<u8>();
/// Of the shard.
pub const SHARD_AT: usize = KIND_AT + size_of::<u8>();
/// Of the epoch.
pub const EPOCH_AT: usize = SHARD_AT + size_of::<u16>();
/// Of the segment's number.
pub const SEGMENT_AT: usize = EPOCH_AT + size_of::<u32>();
/// Of the block's number.
pub const BLOCK_AT: usize = SEGMENT_AT + size_of::<u32>();
/// Of the names' generation.
pub const GENERATION_AT: usize = BLOCK_AT + size_of::<u32>();
/// Of the serial.
pub const SERIAL_AT: usize = GENERATION_AT + size_of::<u32>();
/// Of the time of receipt.
pub const RECEIVED_MS_AT: usize = SERIAL_AT + size_of::<u64>();
/// Of the number of entries.
pub const ENTRIES_AT: usize = RECEIVED_MS_AT + size_of::<u64>();
/// Of the first segment that owes something.
pub const RETIRED_AT: usize = ENTRIES_AT + size_of::<u32>();
/// Of the first epoch that owes something.
pub const EPOCHS_DONE_AT: usize = RETIRED_AT + size_of::<u32>();
/// Of the mount of the data.
pub const MOUNT_AT: usize = EPOCHS_DONE_AT + size_of::<u32>();
/// Length of a head; the payload begins here.
pub const HEAD_BYTES: usize = MOUNT_AT + size_of::<u32>();
/// Blocks begin at multiples of this: a cache line, so that one search finds every block.
pub const ALIGNMENT: usize = 64;
const _: () = assert!(HEAD_BYTES == ALIGNMENT);

/// The first bytes of every block, whatever its version.
pub const MAGIC: [u8; 4] = *b"BzJl";
/// The version that is written.
pub const VERSION: u8 = 1;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Points, and what became of them.
    Points,
    /// Names of the ids that points use.
    Names,
}

impl Kind {
    /// Both, in the order of their numbers.
    pub const ALL: [Kind; 2] = [Kind::Points, Kind::Names];

    /// The number in the head.
    pub const fn number(self) -> u8 {
        match self {
            Kind::Points => 1,
            Kind::Names => 2,
        }
    }
}

/// What a head says, without the length and the checksum, which belong to the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Points or names.
    pub kind: Kind,
    /// The shard that wrote it.
    pub shard: u16,
    /// The run of the daemon that wrote it.
    pub epoch: u32,
    /// Number of the segment in its stream and kind.
    pub segment: u32,
    /// Number of the block in its segment.
    pub block: u32,
    /// Generation of names that the ids belong to.
    pub generation: u32,
    /// Entries that count (points, or names) before this block: of the stream, or of the generation.
    pub serial: u64,
    /// When the first entry was received, milliseconds since 1970.
    pub received_ms: u64,
    /// Points (or names) in this block.
    pub entries: u32,
    /// Segments of points of this stream below this number owe nothing.
    pub retired: u32,
    /// Epochs below this one owe nothing.
    pub epochs_done: u32,
    /// Which mount of the data's file system the files were written through.
    pub mount: u32,
}

/// A block that was read and proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// What its head says.
    pub head: Head,
    /// Its entries.
    pub payload: &'a [u8],
}

/// Why bytes are not a block that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// No block begins here.
    #[error("no block begins here")]
    NoMagic,
    /// The bytes end before the block does; who has more of them may try again with so many.
    #[error("the block ends after the bytes do: it has {bytes}")]
    Cut {
        /// Bytes from the block's start that are needed to prove it.
        bytes: usize,
    },
    /// Its length is none that any version writes.
    #[error("the block claims a payload of {payload_bytes} bytes")]
    TooLong {
        /// What the head says.
        payload_bytes: u32,
    },
    /// Its bytes are not those that were written.
    #[error("the block's checksum is {found:#010x}, that of its bytes {computed:#010x}")]
    Checksum {
        /// What the head says.
        found: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// It is whole, and of a version that this program does not know.
    #[error(
        "the block is of version {found}, this program knows {VERSION}: a newer Benzene wrote it"
    )]
    Version {
        /// What the head says.
        found: u8,
    },
    /// It is whole, and of a kind that does not exist.
    #[error("the block is of kind {found}, which does not exist")]
    Kind {
        /// What the head says.
        found: u8,
    },
}

/// Bytes that a block with such a payload takes on the disk.
pub const fn block_bytes(payload_bytes: usize) -> usize {
    (HEAD_BYTES + payload_bytes).next_multiple_of(ALIGNMENT)
}

impl Head {
    /// Makes a block of a buffer whose first `HEAD_BYTES` are free and whose rest is the payload:
    /// writes the head, pads with zeros, and sums up.
    pub fn seal(&self, block: &mut Vec<u8>) {
        let payload_bytes = block.len().checked_sub(HEAD_BYTES);
        let Some(payload_bytes) = payload_bytes.and_then(|bytes| u32::try_from(bytes).ok()) else {
            unreachable!("a block of {} bytes", block.len())
        };
        assert!(
            payload_bytes <= JOURNAL_PAYLOAD_BYTES_MAX,
            "a payload of {payload_bytes} bytes"
        );
        let end = block.len();
        let mut head = [0; HEAD_BYTES];
        put(&mut head, MAGIC_AT, MAGIC);
        put(&mut head, PAYLOAD_BYTES_AT, payload_bytes.to_le_bytes());
        put(&mut head, VERSION_AT, [VERSION]);
        put(&mut head, KIND_AT, [self.kind.number()]);
        put(&mut head, SHARD_AT, self.shard.to_le_bytes());
        put(&mut head, EPOCH_AT, self.epoch.to_le_bytes());
        put(&mut head, SEGMENT_AT, self.segment.to_le_bytes());
        put(&mut head, BLOCK_AT, self.block.to_le_bytes());
        put(&mut head, GENERATION_AT, self.generation.to_le_bytes());
        put(&mut head, SERIAL_AT, self.serial.to_le_bytes());
        put(&mut head, RECEIVED_MS_AT, self.received_ms.to_le_bytes());
        put(&mut head, ENTRIES_AT, self.entries.to_le_bytes());
        put(&mut head, RETIRED_AT, self.retired.to_le_bytes());
        put(&mut head, EPOCHS_DONE_AT, self.epochs_done.to_le_bytes());
        put(&mut head, MOUNT_AT, self.mount.to_le_bytes());
        block[..HEAD_BYTES].copy_from_slice(&head);
        let checksum = crc32fast::hash(&block[PAYLOAD_BYTES_AT..end]);
        block[CHECKSUM_AT..PAYLOAD_BYTES_AT].copy_from_slice(&checksum.to_le_bytes());
        block.resize(end.next_multiple_of(ALIGNMENT), 0);
    }
}

impl<'a> Block<'a> {
    /// Proves the block that begins with these bytes; what lies behind it is not looked at.
    pub fn parse(bytes: &'a [u8]) -> Result<Block<'a>, BlockError> {
        if !MAGIC.starts_with(&bytes[..bytes.len().min(MAGIC.len())]) {
            return Err(BlockError::NoMagic);
        }
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
            return Err(BlockError::Cut { bytes: HEAD_BYTES });
        };
        let payload_bytes = u32::from_le_bytes(get(head, PAYLOAD_BYTES_AT));
        if payload_bytes > JOURNAL_PAYLOAD_BYTES_MAX {
            return Err(BlockError::TooLong { payload_bytes });
        }
        let payload_len = payload_bytes as usize;
        let Some(payload) = rest.get(..payload_len) else {
            let bytes = HEAD_BYTES + payload_len;
            return Err(BlockError::Cut { bytes });
        };
        let found = u32::from_le_bytes(get(head, CHECKSUM_AT));
        let computed = crc32fast::hash(&bytes[PAYLOAD_BYTES_AT..HEAD_BYTES + payload_len]);
        if found != computed {
            return Err(BlockError::Checksum { found, computed });
        }
        let head = parse_head(head)?;
        Ok(Block { head, payload })
    }

    /// Bytes from the start of this block to where the next may begin.
    pub fn bytes(&self) -> usize {
        block_bytes(self.payload.len())
    }
}

/// The fields of a head whose checksum holds.
fn parse_head(head: &[u8; HEAD_BYTES]) -> Result<Head, BlockError> {
    let [version] = get(head, VERSION_AT);
    if version != VERSION {
        return Err(BlockError::Version { found: version });
    }
    let [number] = get(head, KIND_AT);
    let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.number() == number) else {
        return Err(BlockError::Kind { found: number });
    };
    Ok(Head {
        kind,
        shard: u16::from_le_bytes(get(head, SHARD_AT)),
        epoch: u32::from_le_bytes(get(head, EPOCH_AT)),
        segment: u32::from_le_bytes(get(head, SEGMENT_AT)),
        block: u32::from_le_bytes(get(head, BLOCK_AT)),
        generation: u32::from_le_bytes(get(head, GENERATION_AT)),
        serial: u64::from_le_bytes(get(head, SERIAL_AT)),
        received_ms: u64::from_le_bytes(get(head, RECEIVED_MS_AT)),
        entries: u32::from_le_bytes(get(head, ENTRIES_AT)),
        retired: u32::from_le_bytes(get(head, RETIRED_AT)),
        epochs_done: u32::from_le_bytes(get(head, EPOCHS_DONE_AT)),
        mount: u32::from_le_bytes(get(head, MOUNT_AT)),
    })
}

fn put<const N: usize>(head: &mut [u8; HEAD_BYTES], at: usize, field: [u8; N]) {
    head[at..at + N].copy_from_slice(&field);
}

fn get<const N: usize>(head: &[u8; HEAD_BYTES], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&head[at..at + N]);
    field
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heads() -> impl Strategy<Value = Head> {
        let place = (any::<bool>(), any::<u16>(), any::<[u32; 4]>());
        (place, any::<[u64; 2]>(), any::<[u32; 4]>()).prop_map(|(place, wide, rest)| Head {
            kind: Kind::ALL[usize::from(place.0)],
            shard: place.1,
            epoch: place.2[0],
            segment: place.2[1],
            block: place.2[2],
            generation: place.2[3],
            serial: wide[0],
            received_ms: wide[1],
            entries: rest[0],
            retired: rest[1],
            epochs_done: rest[2],
            mount: rest[3],
        })
    }

    fn sealed(head: &Head, payload: &[u8]) -> Vec<u8> {
        let mut block = vec![0xaa; HEAD_BYTES];
        block.extend_from_slice(payload);
        head.seal(&mut block);
        block
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_proven(
            head in heads(),
            payload in prop::collection::vec(any::<u8>(), 0..300),
            behind in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut bytes = sealed(&head, &payload);
            let length = bytes.len();
            prop_assert_eq!(length % ALIGNMENT, 0);
            prop_assert!(bytes[HEAD_BYTES + payload.len()..].iter().all(|byte| *byte == 0));
            bytes.extend_from_slice(&behind);
            let block = Block::parse(&bytes).unwrap();
            prop_assert_eq!(block.head, head);
            prop_assert_eq!(block.payload, &payload[..]);
            prop_assert_eq!(block.bytes(), length);
        }

        #[test]
        fn a_changed_bit_is_found(
            head in heads(),
            payload in prop::collection::vec(any::<u8>(), 0..100),
            place in any::<prop::sample::Index>(),
            bit in 0_u32..8,
        ) {
            let mut bytes = sealed(&head, &payload);
            let place = place.index(HEAD_BYTES + payload.len());
            bytes[place] ^= 1 << bit;
            prop_assert!(Block::parse(&bytes).is_err());
        }

        #[test]
        fn a_cut_block_says_how_much_is_missing(
            head in heads(),
            payload in prop::collection::vec(any::<u8>(), 0..100),
            kept in any::<prop::sample::Index>(),
        ) {
            let bytes = sealed(&head, &payload);
            let whole = HEAD_BYTES + payload.len();
            let kept = kept.index(whole);
            let needed = if kept < HEAD_BYTES { HEAD_BYTES } else { whole };
            prop_assert_eq!(Block::parse(&bytes[..kept]), Err(BlockError::Cut { bytes: needed }));
        }

        #[test]
        fn any_bytes_are_a_block_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Block::parse(&bytes).is_err());
            for (byte, magic) in bytes.iter_mut().zip(MAGIC) {
                *byte = magic;
            }
            prop_assert!(Block::parse(&bytes).is_err());
        }
    }

    fn head() -> Head {
        Head {
            kind: Kind::Names,
            shard: 1,
            epoch: 2,
            segment: 3,
            block: 4,
            generation: 5,
            serial: 6,
            received_ms: 7,
            entries: 8,
            retired: 9,
            epochs_done: 10,
            mount: 11,
        }
    }

    /// Changes a byte of a sound block and makes it sound again.
    fn resealed(at: usize, byte: u8) -> Vec<u8> {
        let mut bytes = sealed(&head(), b"entries");
        bytes[at] = byte;
        let checksum = crc32fast::hash(&bytes[PAYLOAD_BYTES_AT..HEAD_BYTES + 7]);
        bytes[CHECKSUM_AT..PAYLOAD_BYTES_AT].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let newer = resealed(VERSION_AT, VERSION + 1);
        assert_eq!(
            Block::parse(&newer),
            Err(BlockError::Version { found: VERSION + 1 })
        );
        let strange = resealed(KIND_AT, 3);
        assert_eq!(Block::parse(&strange), Err(BlockError::Kind { found: 3 }));
    }

    #[test]
    fn a_length_past_the_bound_is_refused_unread() {
        let mut bytes = sealed(&head(), b"entries");
        let payload_bytes = JOURNAL_PAYLOAD_BYTES_MAX + 1;
        bytes[PAYLOAD_BYTES_AT..VERSION_AT].copy_from_slice(&payload_bytes.to_le_bytes());
        assert_eq!(
            Block::parse(&bytes),
            Err(BlockError::TooLong { payload_bytes })
        );
    }
}
