//! One file of the journal, block by block: which blocks of its segment are sound, and what lies
//! between and behind them. docs/formats/journal.md (Reading) has the rules.
//! Pure: the bytes are given piece by piece, and an *effort* bounds what one step does.
//! Invariants: every block that is given has a checksum that holds and belongs to the one segment
//! that the walk is about; numbers of blocks ascend and serials never go back; every step that asks
//! for no bytes comes nearer to the file's end, so a walk ends whatever the bytes are.

use super::block::{
    ALIGNMENT, BLOCK_AT, Block, BlockError, EPOCH_AT, HEAD_BYTES, Head, KIND_AT, Kind, MAGIC,
    PAYLOAD_BYTES_AT, SEGMENT_AT, SHARD_AT, VERSION, VERSION_AT, block_bytes,
};
use crate::limits::JOURNAL_PAYLOAD_BYTES_MAX;

/// No stream gets so far: ten thousand years of a billion points a second.
pub const SERIAL_MAX: u64 = 1 << 62;

/// What a step may cost, in about nanoseconds; spent a little past its end.
#[derive(Clone, Copy, Debug)]
pub struct Effort(i64);

impl Effort {
    /// What a point costs: decoding it and finding its series.
    pub const POINT: i64 = 16;
    /// What a name costs.
    pub const NAME: i64 = 160;
    /// What an id costs that is done with.
    pub const WRITTEN_ID: i64 = 4;
    /// Looking whether a block begins.
    const LOOK: i64 = 2;
    /// Summing up 64 bytes.
    const SUM: i64 = 6;

    /// As much as so many points cost.
    pub fn of_points(points: usize) -> Effort {
        let points = i64::try_from(points).unwrap_or(i64::MAX);
        Effort(points.saturating_mul(Effort::POINT))
    }

    /// No end to it.
    pub fn boundless() -> Effort {
        Effort(i64::MAX)
    }

    /// Is there none left?
    #[inline]
    pub fn is_spent(&self) -> bool {
        self.0 <= 0
    }

    /// As many points as are left, at least one while any is.
    #[inline]
    pub fn points(&self) -> usize {
        let points = self.0.max(0).saturating_add(Effort::POINT - 1) / Effort::POINT;
        usize::try_from(points).unwrap_or(usize::MAX)
    }

    /// Takes away what so many points cost.
    #[inline]
    pub fn spend_points(&mut self, points: usize) {
        let points = i64::try_from(points).unwrap_or(i64::MAX);
        self.spend(points.saturating_mul(Effort::POINT));
    }

    /// Takes some away.
    #[inline]
    pub fn spend(&mut self, cost: i64) {
        self.0 = self.0.saturating_sub(cost);
    }

    /// Takes away what reading through so many bytes costs.
    pub fn spend_bytes(&mut self, bytes: usize) {
        let lines = i64::try_from(bytes / ALIGNMENT).unwrap_or(i64::MAX);
        self.spend(lines.saturating_mul(Effort::SUM));
    }
}

/// Which segment a block is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentKey {
    /// The run of the daemon that wrote it.
    pub epoch: u32,
    /// The shard that wrote it.
    pub shard: u16,
    /// Points or names.
    pub kind: Kind,
    /// Its number in its stream and kind.
    pub segment: u32,
}

impl SegmentKey {
    /// The segment that a block with this head is of.
    pub fn of(head: &Head) -> SegmentKey {
        SegmentKey {
            epoch: head.epoch,
            shard: head.shard,
            kind: head.kind,
            segment: head.segment,
        }
    }

    /// The bytes of a head, proven or not, that say which segment it is of.
    fn matches(&self, head: &[u8]) -> bool {
        let field = |at: usize, bytes: &[u8]| head.get(at..at + bytes.len()) == Some(bytes);
        field(EPOCH_AT, &self.epoch.to_le_bytes())
            && field(SHARD_AT, &self.shard.to_le_bytes())
            && field(KIND_AT, &[self.kind.number()])
            && field(SEGMENT_AT, &self.segment.to_le_bytes())
    }
}

/// What a step came to.
#[derive(Debug)]
pub enum Step<'a> {
    /// It needs the file's bytes from where it stands up to there.
    More {
        /// Offset in the file.
        until: u64,
    },
    /// A sound block of the segment.
    Block(Found<'a>),
    /// The effort is spent.
    Paused,
    /// The file's end.
    End(Tail),
    /// A sound block of a version that this program does not know.
    Newer {
        /// Its version.
        version: u8,
    },
}

/// A sound block, and what lies before it.
#[derive(Debug)]
pub struct Found<'a> {
    /// Where in the file it begins.
    pub offset: u64,
    /// The block.
    pub block: Block<'a>,
    /// Blocks are missing before it.
    pub gap: Option<Gap>,
}

/// A stretch of a file where blocks are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where the first of them would begin.
    pub from: u64,
    /// Where the next sound block begins.
    pub until: u64,
    /// Points (or names) that are missing; unknown where no sound block of the segment, or of the
    /// generation, comes before.
    pub entries: Option<u64>,
}

/// What lies behind the last sound block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Where it begins.
    pub from: u64,
    /// Bytes of a block that was begun there and is not sound; 0 where there is none.
    pub torn_bytes: u64,
}

/// The last block that was given.
#[derive(Clone, Copy, Debug)]
struct Last {
    block: u32,
    generation: u32,
    serial_end: u64,
}

/// A walk through a file.
#[derive(Clone, Debug)]
pub struct Walk {
    key: Option<SegmentKey>,
    at: u64,
    end: u64,
    last: Option<Last>,
    /// What did not follow, while the next sound block is looked for.
    unsound: Option<Tail>,
}

impl Walk {
    /// A walk through this segment from `at` on, where a block is expected, to `end`. Without a key
    /// the first sound block says which segment it is.
    pub fn new(key: Option<SegmentKey>, at: u64, end: u64) -> Walk {
        assert!(at <= end, "a walk from {at} to {end}");
        Walk {
            key,
            at,
            end,
            last: None,
            unsound: None,
        }
    }

    /// The offset that the next bytes must begin at.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The segment, once it is known.
    pub fn key(&self) -> Option<SegmentKey> {
        self.key
    }

    /// Goes on to the next sound block, with the file's bytes from `at()` on.
    pub fn step<'a>(&mut self, bytes: &'a [u8], effort: &mut Effort) -> Step<'a> {
        let begun = self.at;
        while self.at < self.end {
            if effort.is_spent() {
                return Step::Paused;
            }
            let rest = &bytes[offset(self.at - begun).min(bytes.len())..];
            let wanted = (HEAD_BYTES as u64).min(self.end - self.at);
            if (rest.len() as u64) < wanted {
                let until = self.at + wanted;
                return Step::More { until };
            }
            effort.spend(Effort::LOOK);
            if self.unsound.is_some() && !self.may_begin(rest) {
                self.at += ALIGNMENT as u64;
                continue;
            }
            match Block::parse(rest) {
                Ok(block) if self.follows(&block.head) => {
                    effort.spend_bytes(block.bytes());
                    return Step::Block(self.take(block));
                }
                Err(BlockError::Version { found }) => return Step::Newer { version: found },
                Err(BlockError::Cut { bytes }) if self.at + bytes as u64 <= self.end => {
                    let until = self.at + bytes as u64;
                    return Step::More { until };
                }
                Err(BlockError::Checksum { .. }) => {
                    effort.spend_bytes(claimed_bytes(rest));
                    self.pass(rest);
                }
                Ok(_) | Err(_) => self.pass(rest),
            }
        }
        Step::End(self.unsound.unwrap_or(Tail {
            from: self.at,
            torn_bytes: 0,
        }))
    }

    /// Could a block of this segment, or of a newer version, begin here?
    fn may_begin(&self, rest: &[u8]) -> bool {
        rest.starts_with(&MAGIC)
            && (self.key.is_none_or(|key| key.matches(rest))
                || rest.get(VERSION_AT).is_some_and(|found| *found > VERSION))
    }

    /// Nothing of use begins here.
    fn pass(&mut self, rest: &[u8]) {
        if self.unsound.is_none() {
            self.unsound = Some(Tail {
                from: self.at,
                torn_bytes: self.torn_bytes(rest),
            });
        }
        self.at += ALIGNMENT as u64;
    }

    /// How long the block is that claims to be the next one of this segment, as far as the file goes;
    /// 0 if none does. Old bytes of a file that is used again claim no such thing.
    fn torn_bytes(&self, rest: &[u8]) -> u64 {
        let left = self.end - self.at;
        if rest.len() < HEAD_BYTES {
            let begun = MAGIC.starts_with(&rest[..rest.len().min(MAGIC.len())]);
            return if begun { left } else { 0 };
        }
        let claims = match (self.key, self.last) {
            (None, _) => rest.starts_with(&MAGIC),
            (Some(key), None) => key.matches(rest),
            (Some(key), Some(last)) => {
                let next = last.block.wrapping_add(1).to_le_bytes();
                key.matches(rest) && rest[BLOCK_AT..].starts_with(&next)
            }
        };
        if claims {
            (claimed_bytes(rest) as u64).min(left)
        } else {
            0
        }
    }

    /// Is this block the next of the segment, or a later one?
    fn follows(&self, head: &Head) -> bool {
        if head.serial > SERIAL_MAX || self.key.is_some_and(|key| key != SegmentKey::of(head)) {
            return false;
        }
        self.last.is_none_or(|last| {
            head.block > last.block && (renamed(last, head) || head.serial >= last.serial_end)
        })
    }

    fn take<'a>(&mut self, block: Block<'a>) -> Found<'a> {
        let head = &block.head;
        let unsound = self.unsound.take();
        let is_next = match self.last {
            None => head.block == 0,
            Some(last) => {
                head.block == last.block + 1
                    && (renamed(last, head) || head.serial == last.serial_end)
            }
        };
        let gap = (!is_next).then(|| Gap {
            from: unsound.map_or(self.at, |unsound| unsound.from),
            until: self.at,
            entries: self
                .last
                .filter(|last| !renamed(*last, head))
                .map(|last| head.serial - last.serial_end),
        });
        self.key = Some(SegmentKey::of(head));
        self.last = Some(Last {
            block: head.block,
            generation: head.generation,
            serial_end: head.serial + u64::from(head.entries),
        });
        let offset = self.at;
        self.at += block.bytes() as u64;
        Found { offset, block, gap }
    }
}

/// Names begin to be counted anew with each generation.
fn renamed(last: Last, head: &Head) -> bool {
    head.kind == Kind::Names && head.generation != last.generation
}

/// The length that a head claims, proven or not.
fn claimed_bytes(head: &[u8]) -> usize {
    let field = head.get(PAYLOAD_BYTES_AT..).and_then(<[u8]>::first_chunk);
    let payload_bytes = field.map_or(0, |field| u32::from_le_bytes(*field));
    block_bytes(payload_bytes.min(JOURNAL_PAYLOAD_BYTES_MAX) as usize)
}

fn offset(bytes: u64) -> usize {
    let Ok(bytes) = usize::try_from(bytes) else {
        unreachable!("{bytes} bytes are not held in memory")
    };
    bytes
}
