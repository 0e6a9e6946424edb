//! A compressed run: points of one series, in order, every second once.
//! The newest point stands uncompressed in the run itself, which is part of the series' record; the
//! others are a stack of entries, each written against the point after it. So appending touches the
//! record and the last block, putting back and replacing among the newest points is popping and
//! pushing a few entries, and a copy of a run still reads the same points after more were pushed.
//! Entries (see `encoding`) fill blocks of 48 bytes, each leading to the one before it; an
//! entry lies in one block, and what is left at a block's end is filled with tags that say nothing.
//! The oldest points can be taken away: what is left of their last block stays as it is, before the
//! first entry that still counts.
//! Invariants: `fill` is above 0, and the byte before it is the tag of an entry, while a run has
//! more than one point; every block but the last is full.

use super::encoding::{self, ENTRY_BYTES_MAX, FAR, FILLER, Token};
use crate::names::slab::{Slab, number};
use crate::near;
use crate::point::Point;

/// No block.
const NONE: u32 = u32::MAX;
/// Bytes of a block that hold entries. Points with a fixed step and values below 2^20 take three,
/// so that ten such points are one block; larger blocks waste more on short runs, smaller ones more
/// on links (docs/decisions/0006).
const ROOM: usize = 44;
/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = size_of::<Block>();
const _: () = assert!(BLOCK_BYTES == 48);
/// Blocks are counted up to here; beyond, they are counted when somebody asks.
const BLOCKS_COUNTED: u8 = u8::MAX;

/// Entries, the oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    bytes: [u8; ROOM],
    before: u32,
}

impl Default for Block {
    fn default() -> Self {
        Self {
            bytes: [FILLER; ROOM],
            before: NONE,
        }
    }
}

impl Block {
    /// Puts a token at `begin`; says where it ends.
    #[inline]
    fn write(&mut self, begin: usize, token: Token) -> usize {
        let payload = token.payload.to_le_bytes();
        let end = begin + token.payload_len();
        if let Some(room) = self.bytes[begin..].first_chunk_mut() {
            // What is written past the payload belongs to nobody yet.
            *room = payload;
        } else {
            self.bytes[begin..end].copy_from_slice(&payload[..end - begin]);
        }
        self.bytes[end] = token.tag;
        end + 1
    }

    /// The payload that ends at `end`.
    #[inline]
    fn payload(&self, end: usize, len: usize) -> u64 {
        if len == 0 {
            return 0;
        }
        if let Some(bytes) = self.bytes[..end].last_chunk() {
            return u64::from_le_bytes(*bytes) >> (8 * (8 - len));
        }
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(&self.bytes[end - len..end]);
        u64::from_le_bytes(bytes)
    }

    /// Where the last entry ends.
    fn end(&self) -> usize {
        let mut end = ROOM;
        while self.bytes[end - 1] == FILLER {
            end -= 1;
        }
        end
    }
}

/// The blocks of a shard.
pub(super) type Pool = Slab<Block>;

/// What is to be written down about the point before a new one.
#[derive(Clone, Copy, Debug)]
struct Entry {
    value: Token,
    time: Option<Token>,
}

impl Entry {
    #[inline]
    fn len(self) -> usize {
        self.value.len() + self.time.map_or(0, Token::len)
    }
}

/// Points of one series, in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Bits of the newest point's value.
    value: [u8; 8],
    newest: u32,
    oldest: u32,
    count: u32,
    /// The last block.
    tail: u32,
    /// Seconds from the last but one point to the newest, or `FAR`.
    step: u16,
    /// Bytes of the last block that are in use.
    fill: u8,
    blocks: u8,
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the bytes of a block fit in eight bits"
)]
const FULL: u8 = ROOM as u8;

impl Default for Run {
    fn default() -> Self {
        Self {
            value: [0; 8],
            newest: 0,
            oldest: 0,
            count: 0,
            tail: NONE,
            step: FAR,
            fill: FULL,
            blocks: 0,
        }
    }
}

impl Run {
    /// A run of one point, which takes no block.
    pub(super) fn of(point: Point) -> Self {
        let mut run = Self::default();
        let entry = run.succeed(point);
        assert!(entry.is_none(), "nothing is before the first point");
        run
    }

    /// How many points.
    #[inline]
    pub(super) fn len(&self) -> u32 {
        self.count
    }

    /// Timestamp of the oldest point; the run is not empty.
    pub(super) fn oldest(&self) -> u32 {
        assert!(self.count > 0, "an empty run has no oldest point");
        self.oldest
    }

    /// The newest point; the run is not empty.
    #[inline]
    pub(super) fn newest(&self) -> Point {
        assert!(self.count > 0, "an empty run has no newest point");
        Point {
            timestamp: self.newest,
            value: f64::from_le_bytes(self.value),
        }
    }

    /// How many blocks the points take.
    pub(super) fn blocks(&self, pool: &Pool) -> u32 {
        if self.blocks < BLOCKS_COUNTED {
            return u32::from(self.blocks);
        }
        number(self.chain(pool).count())
    }

    /// The blocks, the last first, of a run that has any.
    fn chain<'a>(&self, pool: &'a Pool) -> impl Iterator<Item = u32> + use<'a> {
        std::iter::successors(Some(self.tail), |id| {
            let before = pool[*id].before;
            (before != NONE).then_some(before)
        })
    }

    /// Can one more point in order need one more block?
    #[inline]
    pub(super) fn may_need_block(&self) -> bool {
        self.count > 0 && usize::from(self.fill) + ENTRY_BYTES_MAX > ROOM
    }

    /// Appends a point, which is newer than all others. True where that took a block.
    #[inline]
    pub(super) fn push(&mut self, pool: &mut Pool, point: Point) -> bool {
        let Some(entry) = self.succeed(point) else {
            return false;
        };
        let is_full = usize::from(self.fill) + entry.len() > ROOM;
        if is_full {
            self.add_block(pool);
        }
        let block = &mut pool[self.tail];
        let mut end = block.write(usize::from(self.fill), entry.value);
        if let Some(time) = entry.time {
            end = block.write(end, time);
        }
        self.fill = short(end);
        is_full
    }

    /// Asks for the place in the last block where the next entry goes: appending touches nothing else of
    /// it.
    #[inline]
    pub(super) fn fetch(&self, pool: &Pool) {
        if let Some(block) = pool.peek(self.tail) {
            near::fetch(&block.bytes[usize::from(self.fill).min(ROOM - 1)]);
        }
    }

    /// Makes a point the newest and says what is to be written about the one before, if there is
    /// one.
    #[inline]
    fn succeed(&mut self, point: Point) -> Option<Entry> {
        let bits = point.value.to_bits();
        let newer = std::mem::replace(&mut self.newest, point.timestamp);
        let older = u64::from_le_bytes(std::mem::replace(&mut self.value, bits.to_le_bytes()));
        self.count += 1;
        if self.count == 1 {
            self.oldest = point.timestamp;
            return None;
        }
        assert!(
            newer < point.timestamp,
            "second {} is pushed after {newer}",
            point.timestamp
        );
        let back_s = point.timestamp - newer;
        let step = u16::try_from(back_s).unwrap_or(FAR);
        let step_before = std::mem::replace(&mut self.step, step);
        // No step led to the first point: what costs nothing is as good as any other.
        let step_before = if self.count == 2 { step } else { step_before };
        Some(Entry {
            value: encoding::value(older, bits),
            time: encoding::time(back_s, step_before, step),
        })
    }

    #[cold]
    fn add_block(&mut self, pool: &mut Pool) {
        if self.tail != NONE {
            pool[self.tail].bytes[usize::from(self.fill)..].fill(FILLER);
        }
        self.tail = pool.insert(Block {
            before: self.tail,
            ..Block::default()
        });
        self.fill = 0;
        self.blocks = self.blocks.saturating_add(1);
    }

    /// Steps back to the point before the newest, of at least two. Says which block is behind it
    /// now; it is not freed.
    #[inline]
    pub(super) fn back(&mut self, pool: &Pool) -> Option<u32> {
        assert!(
            self.count > 1,
            "a run of {} has no point before",
            self.count
        );
        let block = &pool[self.tail];
        let mut end = usize::from(self.fill) - 1;
        let mut tag = block.bytes[end];
        let (mut back_s, mut step) = (u32::from(self.step), self.step);
        if encoding::is_time(tag) {
            let len = encoding::payload_len(tag);
            (back_s, step) = encoding::read_time(tag, block.payload(end, len), step);
            end -= len + 1;
            tag = block.bytes[end];
        }
        let len = encoding::payload_len(tag);
        let newer = u64::from_le_bytes(self.value);
        let value = encoding::read_value(tag, block.payload(end, len), newer);
        self.value = value.to_le_bytes();
        self.newest -= back_s;
        self.step = step;
        self.count -= 1;
        self.fill = short(end - len);
        (self.fill == 0).then(|| self.leave_block(pool))
    }

    fn leave_block(&mut self, pool: &Pool) -> u32 {
        let left = self.tail;
        self.tail = pool[left].before;
        self.fill = match self.tail {
            NONE => FULL,
            tail => short(pool[tail].end()),
        };
        if self.blocks < BLOCKS_COUNTED {
            self.blocks -= 1;
        }
        left
    }

    /// Takes the newest point away, of at least one.
    pub(super) fn pop(&mut self, pool: &mut Pool) -> Point {
        let newest = self.newest();
        if self.count == 1 {
            if self.tail != NONE {
                let block = pool.remove(self.tail);
                assert!(block.before == NONE, "a run of one point has two blocks");
            }
            *self = Self::default();
        } else if let Some(left) = self.back(pool) {
            pool.remove(left);
        }
        newest
    }

    /// Adds the points to `out`, in order.
    pub(super) fn read(&self, pool: &Pool, out: &mut Vec<Point>) {
        let begin = out.len();
        out.reserve(self.count as usize);
        let mut at = *self;
        while at.count > 1 {
            out.push(at.newest());
            at.back(pool);
        }
        if at.count == 1 {
            out.push(at.newest());
        }
        out[begin..].reverse();
    }

    /// Frees the blocks in which there are only points before the newest, of at least two, and says how
    /// many: for a later state of this run, which then forgets these points (`forget`).
    pub(super) fn free_older(&self, pool: &mut Pool) -> u32 {
        assert!(self.count > 1, "nothing is before the first point");
        let mut before = std::mem::replace(&mut pool[self.tail].before, NONE);
        let mut freed = 0;
        while before != NONE {
            before = pool.remove(before).before;
            freed += 1;
        }
        freed
    }

    /// Forgets the points before the newest of `first`, which is this run as it was earlier, and which
    /// has freed so many blocks. What is not counted of the blocks (`BLOCKS_COUNTED`) stays so.
    pub(super) fn forget(&mut self, first: &Self, freed: u32) {
        assert!(self.count >= first.count, "{first:?} is no earlier state");
        self.oldest = first.newest;
        self.count -= first.count - 1;
        if self.blocks < BLOCKS_COUNTED {
            self.blocks = blocks_u8(usize::from(self.blocks) - freed as usize);
        }
    }

    /// Counts the blocks again, which may be fewer than are counted by now.
    pub(super) fn count_blocks(&mut self, pool: &Pool) {
        self.blocks = blocks_u8(self.chain(pool).take(BLOCKS_COUNTED.into()).count());
    }

    /// Adds the newest points up to a second to `out`, at most so many, in order.
    pub(super) fn read_until(&self, pool: &Pool, until: u32, most: usize, out: &mut Vec<Point>) {
        let begin = out.len();
        let mut at = *self;
        while at.count > 0 && out.len() - begin < most {
            let newest = at.newest();
            if newest.timestamp <= until {
                out.push(newest);
            }
            if at.count == 1 {
                break;
            }
            at.back(pool);
        }
        out[begin..].reverse();
    }

    /// Frees the blocks.
    pub(super) fn release(self, pool: &mut Pool) {
        let (mut block, mut freed) = (self.tail, 0u8);
        while block != NONE {
            block = pool.remove(block).before;
            freed = freed.saturating_add(1);
        }
        // Once it has come to the most that is counted, a count stays there, however many blocks go.
        assert!(
            self.blocks == BLOCKS_COUNTED || self.blocks == freed,
            "a run of {} points has {} blocks and let go of {freed}",
            self.count,
            self.blocks
        );
    }
}

/// Blocks that these points take as a run, in order.
pub(super) fn blocks_for(points: &[Point]) -> u32 {
    let (mut run, mut fill, mut blocks) = (Run::default(), ROOM, 0);
    for entry in points.iter().filter_map(|point| run.succeed(*point)) {
        if fill + entry.len() > ROOM {
            blocks += 1;
            fill = 0;
        }
        fill += entry.len();
    }
    blocks
}

fn blocks_u8(blocks: usize) -> u8 {
    u8::try_from(blocks).unwrap_or(BLOCKS_COUNTED)
}

#[inline]
fn short(fill: usize) -> u8 {
    assert!(fill <= ROOM, "byte {fill} is past the end of a block");
    let [short, ..] = fill.to_le_bytes();
    short
}
