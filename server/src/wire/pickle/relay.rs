//! The frames of carbon-relay and of nearly all clients, read opcode by opcode without an unpickler:
//! a list of tuples (text, (number, number)) in binary opcodes, whose memo is filled and never
//! asked. That is what Python makes of such a list with protocols 2 to 5.
//! Whatever is not of this form, wrong or only unusual, is left to the unpickler, from the frame's
//! start. So this reader has no errors of its own, and what it reads is what the unpickler reads;
//! a test holds the two against each other.
//! Bounded as the unpickler is: an item is one entry, and the objects that an unpickler would make
//! of it are counted.

use benzene_engine::limits::{PICKLE_OBJECTS_MAX, PICKLE_TEXT_FACTOR_MAX};

use super::text::{self, Cursor};
use super::{Batch, Entry, Refusal, small};

/// Items that an unpickler has room for: each is two tuples, a text and two numbers, and in all
/// five places; beside them there is the list.
const ITEMS_MAX: usize = (PICKLE_OBJECTS_MAX - 1) / 5;
// Each text stands once, so that it is looked at once.
const _: () = assert!(PICKLE_TEXT_FACTOR_MAX >= 1);

/// Reads a frame into an empty batch. `None` if it is not of the form; the batch then holds
/// something, which is to be forgotten.
pub(super) fn read(frame: &[u8], batch: &mut Batch) -> Option<()> {
    u32::try_from(frame.len()).ok()?;
    // Names are checked all at once in the end, which takes a tenth of the time.
    let mut reader = Reader {
        input: Cursor { frame, at: 0 },
        memo_max: frame.len().min(PICKLE_OBJECTS_MAX),
        names: std::mem::take(&mut batch.names).into_bytes(),
        items: 0,
        batch,
    };
    let read = reader.list();
    if read.is_none() {
        reader.names.clear();
    }
    batch.names = String::from_utf8(reader.names).ok()?;
    read?;
    let is_start = |entry: &Entry| batch.names.is_char_boundary(entry.name_start as usize);
    if !batch.names.is_ascii() && !batch.entries.iter().all(is_start) {
        return None;
    }
    Some(())
}

struct Reader<'a> {
    input: Cursor<'a>,
    /// Memo numbers stay below this.
    memo_max: usize,
    /// The names of all entries, one behind the other.
    names: Vec<u8>,
    /// How many items were read, the refused ones counted.
    items: usize,
    batch: &'a mut Batch,
}

impl Reader<'_> {
    fn list(&mut self) -> Option<()> {
        if self.peek()? == 0x80 {
            self.byte()?;
            (self.byte()? <= 5).then_some(())?;
        }
        if self.peek()? == 0x95 {
            self.byte()?;
            let mut ahead = self.input;
            ahead.counted::<8>().ok()?;
            self.input.take(8).ok()?;
        }
        (self.byte()? == b']').then_some(())?;
        self.put()?;
        loop {
            match self.peek()? {
                b'(' => self.items()?,
                b'.' => return Some(()),
                _ => {
                    self.item()?;
                    (self.byte()? == b'a').then_some(())?;
                }
            }
        }
    }

    /// Items between a mark and the opcode that appends them all.
    fn items(&mut self) -> Option<()> {
        self.byte()?;
        while self.peek()? != b'e' {
            if self.usual().is_none() {
                self.item()?;
            }
        }
        self.byte().map(drop)
    }

    /// Most items of most frames: a text, two doubles, and memo numbers past 255 or without any,
    /// so that each opcode has its place behind the name. `None`, and nothing is done, for all
    /// others.
    #[inline]
    fn usual(&mut self) -> Option<()> {
        let rest = &self.input.frame[self.input.at..];
        let (head_bytes, name, rest) = match *rest {
            [b'X', a, b, c, d, ref rest @ ..] => {
                let length = u32::from_le_bytes([a, b, c, d]);
                (5, rest.get(..length as usize)?, rest)
            }
            [0x8c, length, ref rest @ ..] => (2, rest.get(..usize::from(length))?, rest),
            _ => return None,
        };
        let rest = &rest[name.len()..];
        let (seconds, value, tail_bytes) = match rest.first()? {
            b'r' => {
                let tail = rest.first_chunk::<35>()?;
                let opcodes = [tail[5], tail[14], tail[23], tail[24], tail[29], tail[30]];
                let numbers = [word(tail, 1), word(tail, 25), word(tail, 31)];
                let highest = numbers.into_iter().max()? as usize;
                if opcodes != *b"GG\x86r\x86r" || highest >= self.memo_max {
                    return None;
                }
                (double(tail, 6), double(tail, 15), tail.len())
            }
            0x94 => {
                let tail = rest.first_chunk::<23>()?;
                if [tail[1], tail[10]] != *b"GG" || tail[19..] != *b"\x86\x94\x86\x94" {
                    return None;
                }
                (double(tail, 2), double(tail, 11), tail.len())
            }
            _ => return None,
        };
        let place = (small(self.names.len()), small(name.len()));
        let entry = Entry::new(place, seconds, value).ok()?;
        if self.items == ITEMS_MAX {
            return None;
        }
        self.items += 1;
        self.names.extend_from_slice(name);
        self.batch.entries.push(entry);
        self.input.at += head_bytes + name.len() + tail_bytes;
        Some(())
    }

    fn item(&mut self) -> Option<()> {
        let name = match self.byte()? {
            b'X' | b'T' => self.input.counted::<4>().ok()?,
            b'U' | 0x8c => self.input.counted::<1>().ok()?,
            _ => return None,
        };
        self.put()?;
        let seconds = self.number()?;
        let value = self.number()?;
        self.pair()?;
        self.pair()?;
        self.items += 1;
        if self.items > ITEMS_MAX {
            return None;
        }
        let place = (small(self.names.len()), small(name.len()));
        match Entry::new(place, seconds, value) {
            Ok(entry) => {
                self.names.extend_from_slice(name);
                self.batch.entries.push(entry);
            }
            // The name comes before the value, and it is not among those that are checked.
            Err(_) if std::str::from_utf8(name).is_err() => self.batch.refused.add(Refusal::Utf8),
            Err(refusal) => self.batch.refused.add(refusal),
        }
        Some(())
    }

    /// Two objects become a tuple.
    fn pair(&mut self) -> Option<()> {
        (self.byte()? == 0x86).then_some(())?;
        self.put()
    }

    fn number(&mut self) -> Option<f64> {
        let input = &mut self.input;
        Some(match input.byte().ok()? {
            b'G' => f64::from_be_bytes(input.array().ok()?),
            b'J' => f64::from(i32::from_le_bytes(input.array().ok()?)),
            b'K' => f64::from(input.byte().ok()?),
            b'M' => f64::from(u16::from_le_bytes(input.array().ok()?)),
            0x8a => text::binary(input.counted::<1>().ok()?).number()?,
            _ => return None,
        })
    }

    /// Passes over a put into the memo, if one stands here. The unpickler refuses numbers that no
    /// pickler gives; the next free number, 0x94, is always smaller.
    fn put(&mut self) -> Option<()> {
        let index = match self.peek()? {
            b'q' => {
                self.byte()?;
                usize::from(self.byte()?)
            }
            b'r' => {
                self.byte()?;
                u32::from_le_bytes(self.input.array().ok()?) as usize
            }
            0x94 => return self.byte().map(drop),
            _ => return Some(()),
        };
        (index < self.memo_max).then_some(())
    }

    fn peek(&self) -> Option<u8> {
        self.input.frame.get(self.input.at).copied()
    }

    fn byte(&mut self) -> Option<u8> {
        self.input.byte().ok()
    }
}

/// Four bytes of a stretch, little-endian.
#[inline]
fn word<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// Eight bytes of a stretch as a double, big-endian.
#[inline]
fn double<const N: usize>(bytes: &[u8; N], at: usize) -> f64 {
    let mut double = [0; 8];
    double.copy_from_slice(&bytes[at..at + 8]);
    f64::from_be_bytes(double)
}
