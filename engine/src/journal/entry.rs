//! The entries of a block of points, written and read: points, and what became of them.
//! docs/formats/journal.md has the map. Pure; an encoder writes into a buffer that it is given and
//! gives back, a decoder reads from any bytes.
//! A regular point is a tag and the bytes of its value that are not zeros at its end: what it has in
//! common with the one before costs nothing. Each block is read by itself, so an encoder begins anew
//! with each.
//! Invariants: what is read is what was written, bit for bit, for every id, time and double; bytes
//! that no encoder writes are an error with its place, never a panic, and end the reading.

use super::block::HEAD_BYTES;
use super::number::{NoEnd, WINDOW_BYTES, array, get_varint, put_varint, unzigzag, zigzag};
use crate::limits::JOURNAL_PAYLOAD_BYTES_MAX;
use crate::point::Point;

/// Bits of a point's tag: how many bytes of the value follow.
pub const VALUE_BITS: (u32, u32) = (0, 3);
/// Bits of a point's tag: how its id is written.
pub const ID_BITS: (u32, u32) = (4, 5);
/// Bits of a point's tag: how its timestamp is written.
pub const TIMESTAMP_BITS: (u32, u32) = (6, 7);
/// Low nibble of the tags of control entries.
pub const CONTROL: u8 = 0xf;
/// Tag: all points of some ids so far are done with.
pub const WRITTEN: u8 = 0x0f;
/// Tag: of one id, the points up to a serial and a timestamp are.
pub const WRITTEN_PART: u8 = 0x1f;
/// Tag: the points that follow were received some time before the block.
pub const AGE: u8 = 0x2f;

/// Tag: a place among the entries, to be referred to.
pub const MARK: u8 = 0x3f;
/// Tag: what was written to files before a mark is on the data's device.
pub const DATA_SYNCED: u8 = 0x4f;
/// Tag: as `AGE`, and the points that follow are copies of an earlier epoch's.
pub const COPY: u8 = 0x5f;

/// Most bytes of an entry of points: a tag, two numbers of ten bytes, and a `u32`.
pub const ENTRY_BYTES_MAX: usize = 25;
/// A buffer grows by so much: it is filled with zeros before it is used, in pieces that cost nothing.
const GROWTH_BYTES: usize = 16 << 10;
const _: () = assert!(ENTRY_BYTES_MAX <= WINDOW_BYTES && WINDOW_BYTES <= GROWTH_BYTES);
/// The highest id.
pub const ID_MAX: u32 = u32::MAX;
/// No id: the one below 0.
const BEFORE_FIRST: u32 = u32::MAX;
/// Last written before the first such entry.
const NOTHING_WRITTEN: i64 = -1;
/// By the bytes of a value that are kept: which bits they are.
const VALUE_MASKS: [u64; 9] = [
    0,
    0xff00_0000_0000_0000,
    0xffff_0000_0000_0000,
    0xffff_ff00_0000_0000,
    0xffff_ffff_0000_0000,
    0xffff_ffff_ff00_0000,
    0xffff_ffff_ffff_0000,
    0xffff_ffff_ffff_ff00,
    u64::MAX,
];

/// Timestamps of all points: the cut of a part that is whole in time.
pub const CUT_NONE: u32 = u32::MAX;

/// An entry of a block of points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry {
    /// A point that was accepted.
    Point {
        /// Id of its name.
        id: u32,
        /// Seconds since 1970.
        timestamp: u32,
        /// Its value.
        value: f64,
        /// How many seconds before the block's `received_ms` it was received.
        age_s: u32,
    },
    /// All points so far of ids from `first` on are in their files, or given up and counted.
    Written {
        /// The first id.
        first: u32,
        /// How many ids; at least one.
        count: u32,
    },
    /// The same for some points of one id.
    WrittenPart {
        /// The id.
        id: u32,
        /// Points of the last so many serials are not meant.
        back: u64,
        /// Points of this timestamp and later are not meant; `CUT_NONE`: all times are.
        cut: u32,
    },
    /// A place among the entries: this mark, one more than the one before.
    Mark(u32),
    /// What the written entries before this mark say is true on the data's device too.
    DataSynced(u32),
}

/// A point as its entry says it; where it comes from is the decoder's to know.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Plain {
    /// Id of its name.
    pub id: u32,
    /// Seconds since 1970.
    pub timestamp: u32,
    /// Its value.
    pub value: f64,
}

/// Bytes that are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no entry at byte {offset} of the payload: {fault}")]
pub struct EntryError {
    /// Where in the payload the entry begins.
    pub offset: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its tag is none.
    #[error("tag {0:#04x} does not exist")]
    Tag(u8),
    /// The payload ends within it.
    #[error("it is cut off")]
    Cut,
    /// A number has more than 64 bits.
    #[error("a number has more than 64 bits")]
    Number,
    /// An id is below 0 or past 2^32, or a count is 0.
    #[error("its ids do not exist")]
    Ids,
    /// An age of more than 2^32 seconds.
    #[error("its age is past all clocks")]
    Age,
    /// A mark of more than 2^32.
    #[error("its mark is past 2^32")]
    Mark,
    /// A name that is empty, too long, or no text.
    #[error("its name cannot be one")]
    Name,
}

impl From<NoEnd> for Fault {
    fn from(_: NoEnd) -> Fault {
        Fault::Number
    }
}

/// Writes the entries of a block of points.
#[derive(Debug)]
pub struct PointEncoder {
    /// The block; beyond `at` it holds nothing of worth.
    bytes: Vec<u8>,
    at: usize,
    id: u32,
    timestamp: u32,
    written: i64,
    origin: Origin,
    points: u32,
}

/// Where points come from that were not received with their block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Origin {
    /// How many seconds before the block they were received.
    age_s: u32,
    /// An earlier epoch has them too.
    is_copy: bool,
}

impl PointEncoder {
    /// Begins a block in a buffer, whose bytes are overwritten and whose memory is used.
    pub fn new(bytes: Vec<u8>, received_ms: u64) -> PointEncoder {
        PointEncoder {
            bytes,
            at: HEAD_BYTES,
            id: BEFORE_FIRST,
            timestamp: timestamp_of(received_ms),
            written: NOTHING_WRITTEN,
            origin: Origin::default(),
            points: 0,
        }
    }

    /// Bytes of the payload so far.
    pub fn payload_bytes(&self) -> usize {
        self.at - HEAD_BYTES
    }

    /// Points so far.
    pub fn points(&self) -> u32 {
        self.points
    }

    /// Appends a point that was received with the block or later.
    #[inline]
    pub fn point(&mut self, id: u32, point: Point) {
        if self.origin != Origin::default() {
            self.set_origin(Origin::default());
        }
        self.append(id, point);
    }

    /// Appends a point that was received some seconds before the block.
    pub fn aged_point(&mut self, id: u32, point: Point, age_s: u32) {
        self.point_of(
            id,
            point,
            Origin {
                age_s,
                is_copy: false,
            },
        );
    }

    /// Appends a copy of an earlier epoch's point, received some seconds before the block.
    pub fn copied_point(&mut self, id: u32, point: Point, age_s: u32) {
        self.point_of(
            id,
            point,
            Origin {
                age_s,
                is_copy: true,
            },
        );
    }

    fn point_of(&mut self, id: u32, point: Point, origin: Origin) {
        if self.origin != origin {
            self.set_origin(origin);
        }
        self.append(id, point);
    }

    #[inline]
    fn append(&mut self, id: u32, point: Point) {
        let step = id.wrapping_sub(self.id);
        let wait = point.timestamp.wrapping_sub(self.timestamp);
        (self.id, self.timestamp) = (id, point.timestamp);
        self.points += 1;
        let bits = point.value.to_bits();
        let kept = 8 - bits.trailing_zeros() / 8;
        let window = self.window();
        let (mut at, mut tag) = (1, kept);
        if step != 1 {
            let (mode, len) = put_step(window, at, step, id);
            tag |= mode << ID_BITS.0;
            at += len;
        }
        if wait != 0 {
            let (mode, len) = put_wait(window, at, wait, point.timestamp);
            tag |= mode << TIMESTAMP_BITS.0;
            at += len;
        }
        [window[0], ..] = tag.to_le_bytes();
        window[at..at + 8].copy_from_slice(&bits.to_be_bytes());
        self.at += at + kept as usize;
    }

    /// Appends that all points so far of some ids are done with.
    pub fn written(&mut self, first: u32, count: u32) {
        let last = u64::from(first) + u64::from(count);
        assert!(count > 0, "no ids from {first} on");
        assert!(last <= 1 << 32, "{count} ids from {first} on");
        let step = i64::from(first) - self.written - 1;
        self.written = i64::from(first) + i64::from(count) - 1;
        let window = self.window();
        window[0] = WRITTEN;
        let at = put_varint(window, 1, zigzag(step));
        let at = put_varint(window, at, u64::from(count));
        self.at += at;
    }

    /// Appends that points of an id are done with, except those of the last `back` serials and those
    /// from `cut` on.
    pub fn written_part(&mut self, id: u32, back: u64, cut: u32) {
        let step = i64::from(id) - self.written - 1;
        self.written = i64::from(id);
        let window = self.window();
        window[0] = WRITTEN_PART;
        let at = put_varint(window, 1, zigzag(step));
        let at = put_varint(window, at, back);
        window[at..at + 4].copy_from_slice(&cut.to_le_bytes());
        self.at += at + 4;
    }

    /// Appends a mark.
    pub fn mark(&mut self, mark: u32) {
        self.numbered(MARK, mark);
    }

    /// Appends that what was written before a mark is on the data's device.
    pub fn data_synced(&mut self, mark: u32) {
        self.numbered(DATA_SYNCED, mark);
    }

    fn numbered(&mut self, tag: u8, number: u32) {
        let window = self.window();
        window[0] = tag;
        self.at += put_varint(window, 1, u64::from(number));
    }

    /// Ends the block: its first `HEAD_BYTES` are free for the head, the rest is the payload.
    pub fn finish(self) -> Vec<u8> {
        finished(self.bytes, self.at)
    }

    #[cold]
    fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
        let window = self.window();
        window[0] = if origin.is_copy { COPY } else { AGE };
        self.at += put_varint(window, 1, u64::from(origin.age_s));
    }

    /// Where the next entry goes.
    #[inline]
    fn window(&mut self) -> &mut [u8; WINDOW_BYTES] {
        let at = self.at;
        if self.bytes.len() < at + WINDOW_BYTES {
            self.grow();
        }
        let Some(window) = self.bytes[at..].first_chunk_mut() else {
            unreachable!("growing makes room for a window at {at}")
        };
        window
    }

    #[cold]
    fn grow(&mut self) {
        self.bytes.resize(self.at + GROWTH_BYTES, 0);
    }
}

pub(super) fn finished(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    let payload_bytes = at - HEAD_BYTES;
    assert!(
        payload_bytes <= JOURNAL_PAYLOAD_BYTES_MAX as usize,
        "a payload of {payload_bytes} bytes"
    );
    bytes.resize(at, 0);
    bytes
}

/// Reads the entries of a block of points; the first error ends it.
#[derive(Clone, Debug)]
pub struct PointDecoder<'a> {
    payload: &'a [u8],
    at: usize,
    id: u32,
    timestamp: u32,
    written: i64,
    origin: Origin,
}

/// Where a decoder stands in its payload: a block's reading can be left here and taken up again.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    at: usize,
    id: u32,
    timestamp: u32,
    written: i64,
    origin: Origin,
}

impl<'a> PointDecoder<'a> {
    /// Takes the reading of this payload up again where another decoder of it stood.
    pub fn resume(payload: &'a [u8], place: Place) -> PointDecoder<'a> {
        assert!(
            place.at <= payload.len(),
            "byte {} of a payload of {}",
            place.at,
            payload.len()
        );
        PointDecoder {
            payload,
            at: place.at,
            id: place.id,
            timestamp: place.timestamp,
            written: place.written,
            origin: place.origin,
        }
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        Place {
            at: self.at,
            id: self.id,
            timestamp: self.timestamp,
            written: self.written,
            origin: self.origin,
        }
    }

    /// The entries of a block with this payload, whose head says `received_ms`.
    pub fn new(payload: &'a [u8], received_ms: u64) -> PointDecoder<'a> {
        PointDecoder {
            payload,
            at: 0,
            id: BEFORE_FIRST,
            timestamp: timestamp_of(received_ms),
            written: NOTHING_WRITTEN,
            origin: Origin::default(),
        }
    }

    /// Is the last point a copy of an earlier epoch's?
    #[inline]
    pub fn is_copy(&self) -> bool {
        self.origin.is_copy
    }

    /// How many seconds before the block's `received_ms` the last point was received.
    #[inline]
    pub fn age_s(&self) -> u32 {
        self.origin.age_s
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Reads the points that come next, as many as there is room for, and says how many. All have one
    /// age, and are copies or are not: it stops before the next control entry, and before the last
    /// bytes of the payload. Where it reads none, `next` goes on.
    #[inline]
    pub fn points(&mut self, points: &mut [Plain]) -> usize {
        let mut read = 0;
        for point in points {
            let Some(window) = self.payload[self.at..].first_chunk() else {
                break;
            };
            let tag = window[0];
            if usize::from(tag & CONTROL) >= VALUE_MASKS.len() {
                break;
            }
            let (plain, len) = self.point(window, tag);
            *point = plain;
            self.at += len;
            read += 1;
        }
        read
    }

    /// A point whose tag is this, and its length. It fits in a window.
    #[inline]
    fn point(&mut self, window: &[u8; WINDOW_BYTES], tag: u8) -> (Plain, usize) {
        let mut at = 1;
        match tag >> ID_BITS.0 & 3 {
            0 => self.id = self.id.wrapping_add(1),
            1 => {
                self.id = self.id.wrapping_add(1 + u32::from(window[at]));
                at += 1;
            }
            2 => {
                let step = i16::from_le_bytes(array(window, at));
                self.id = self.id.wrapping_add_signed(i32::from(step));
                at += 2;
            }
            _ => {
                self.id = u32::from_le_bytes(array(window, at));
                at += 4;
            }
        }
        match tag >> TIMESTAMP_BITS.0 {
            0 => {}
            1 => {
                let wait = i8::from_le_bytes(array(window, at));
                self.timestamp = self.timestamp.wrapping_add_signed(i32::from(wait));
                at += 1;
            }
            2 => {
                let wait = i16::from_le_bytes(array(window, at));
                self.timestamp = self.timestamp.wrapping_add_signed(i32::from(wait));
                at += 2;
            }
            _ => {
                self.timestamp = u32::from_le_bytes(array(window, at));
                at += 4;
            }
        }
        let kept = usize::from(tag & CONTROL);
        let bits = u64::from_be_bytes(array(window, at)) & VALUE_MASKS[kept];
        let plain = Plain {
            id: self.id,
            timestamp: self.timestamp,
            value: f64::from_bits(bits),
        };
        (plain, at + kept)
    }

    /// A control entry; `None` where it only changes what follows. With its length.
    fn control(&mut self, window: &[u8; WINDOW_BYTES]) -> Result<(Option<Entry>, usize), Fault> {
        match window[0] {
            WRITTEN => {
                let (step, at) = get_varint(window, 1)?;
                let (count, at) = get_varint(window, at)?;
                let first = self.stepped(step)?;
                let count = u32::try_from(count).ok().ok_or(Fault::Ids)?;
                let last = i64::from(first) + i64::from(count) - 1;
                if count == 0 || last > i64::from(u32::MAX) {
                    return Err(Fault::Ids);
                }
                self.written = last;
                Ok((Some(Entry::Written { first, count }), at))
            }
            WRITTEN_PART => {
                let (step, at) = get_varint(window, 1)?;
                let (back, at) = get_varint(window, at)?;
                let cut = u32::from_le_bytes(array(window, at));
                let id = self.stepped(step)?;
                self.written = i64::from(id);
                Ok((Some(Entry::WrittenPart { id, back, cut }), at + 4))
            }
            tag @ (AGE | COPY) => {
                let (age_s, at) = get_varint(window, 1)?;
                self.origin = Origin {
                    age_s: u32::try_from(age_s).ok().ok_or(Fault::Age)?,
                    is_copy: tag == COPY,
                };
                Ok((None, at))
            }
            MARK => {
                let (mark, at) = get_varint(window, 1)?;
                let mark = u32::try_from(mark).ok().ok_or(Fault::Mark)?;
                Ok((Some(Entry::Mark(mark)), at))
            }
            DATA_SYNCED => {
                let (mark, at) = get_varint(window, 1)?;
                let mark = u32::try_from(mark).ok().ok_or(Fault::Mark)?;
                Ok((Some(Entry::DataSynced(mark)), at))
            }
            tag => Err(Fault::Tag(tag)),
        }
    }

    /// The id that lies so far from the last written one.
    fn stepped(&self, step: u64) -> Result<u32, Fault> {
        let id = (self.written + 1).checked_add(unzigzag(step));
        id.and_then(|id| u32::try_from(id).ok()).ok_or(Fault::Ids)
    }

    /// The same near the payload's end, where a window does not fit: over a copy with zeros behind.
    #[cold]
    fn last_window(&self) -> [u8; WINDOW_BYTES] {
        let mut window = [0; WINDOW_BYTES];
        let rest = &self.payload[self.at..];
        window[..rest.len()].copy_from_slice(rest);
        window
    }

    /// The entry that begins with this window; `None` where it only changes what follows.
    #[inline]
    fn step(&mut self, window: &[u8; WINDOW_BYTES]) -> Result<Option<Entry>, Fault> {
        let tag = window[0];
        let (entry, len) = if usize::from(tag & CONTROL) < VALUE_MASKS.len() {
            let (plain, len) = self.point(window, tag);
            let entry = Entry::Point {
                id: plain.id,
                timestamp: plain.timestamp,
                value: plain.value,
                age_s: self.origin.age_s,
            };
            (Some(entry), len)
        } else {
            self.control(window)?
        };
        if len > self.payload.len() - self.at {
            return Err(Fault::Cut);
        }
        self.at += len;
        Ok(entry)
    }

    #[cold]
    fn fail(&mut self, fault: Fault) -> EntryError {
        let offset = self.at;
        self.at = self.payload.len();
        EntryError { offset, fault }
    }
}

impl Iterator for PointDecoder<'_> {
    type Item = Result<Entry, EntryError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.payload.len() {
            let stepped = match self.payload[self.at..].first_chunk() {
                Some(window) => self.step(window),
                None => self.step(&self.last_window()),
            };
            match stepped {
                Ok(Some(entry)) => return Some(Ok(entry)),
                Ok(None) => {}
                Err(fault) => return Some(Err(self.fail(fault))),
            }
        }
        None
    }
}

/// The timestamp before the first point of a block.
fn timestamp_of(received_ms: u64) -> u32 {
    u32::try_from(received_ms / 1000).unwrap_or(u32::MAX)
}

/// Writes an id that is not one more than the last: its mode and its length.
#[inline]
fn put_step(window: &mut [u8; WINDOW_BYTES], at: usize, step: u32, id: u32) -> (u32, usize) {
    if let Ok(skipped) = u8::try_from(step.wrapping_sub(1)) {
        window[at] = skipped;
        (1, 1)
    } else if let Ok(step) = i16::try_from(step.cast_signed()) {
        window[at..at + 2].copy_from_slice(&step.to_le_bytes());
        (2, 2)
    } else {
        window[at..at + 4].copy_from_slice(&id.to_le_bytes());
        (3, 4)
    }
}

/// Writes a timestamp that is not the last one: its mode and its length.
#[inline]
fn put_wait(window: &mut [u8; WINDOW_BYTES], at: usize, wait: u32, timestamp: u32) -> (u32, usize) {
    let wait = wait.cast_signed();
    if let Ok(wait) = i8::try_from(wait) {
        window[at..=at].copy_from_slice(&wait.to_le_bytes());
        (1, 1)
    } else if let Ok(wait) = i16::try_from(wait) {
        window[at..at + 2].copy_from_slice(&wait.to_le_bytes());
        (2, 2)
    } else {
        window[at..at + 4].copy_from_slice(&timestamp.to_le_bytes());
        (3, 4)
    }
}
