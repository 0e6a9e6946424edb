//! Streams compressed with gzip (RFC 1952), as carbon-c-relay's `transport gzip` sends them: members
//! one behind the other, unpacked piece by piece, each as soon as its bytes have come.
//! The deflate inside is `miniz_oxide`'s work, on a window of ours: what it has written stands there
//! to be read in place, also when the next byte is broken; flate2's own stream would then give up to
//! a window of good lines away. Header and trailer of a member are read here.
//! Bounded: a stream holds `GZIP_STREAM_BYTES`, and one `read` does as much as it is allowed, however
//! much a byte unpacks to. Nothing is taken from the input that could not be worked on, so that a
//! caller without room holds compressed bytes.
//! A stream that is broken stays so: nothing behind that can be trusted. Where a member's check fails
//! its bytes have been handed out before; that is the price of not waiting for its end.

use std::fmt;
use std::ops::Range;

use benzene_engine::limits::{
    GZIP_INPUT_COST, GZIP_MEMBER_COST, GZIP_PIECE_BYTES, GZIP_WINDOW_BYTES,
};
use benzene_engine::stats::Counter;
use crc32fast::Hasher;
use miniz_oxide::inflate::TINFLStatus as Status;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress_with_limit};

/// The first bytes of a member. No line begins so: 0x8b continues a character, and none is open.
pub const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Bytes of a header that every member has.
const HEADER_BYTES: u8 = 10;
/// Bytes of a trailer: the CRC of what was packed, and its length.
const TRAILER_BYTES: u8 = 8;
/// FLG: a CRC of the header, an extra field, a name, a comment; and what nobody has defined.
const FLAG_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0xe0;

/// Why a stream cannot be unpacked any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GzipError {
    /// What stands where a member begins begins none.
    #[error("no gzip member begins here")]
    Header,
    /// The deflate inside is broken.
    #[error("the compressed data is broken")]
    Data,
    /// A member's check says that what came is not what was packed.
    #[error("the checksum of a member does not fit")]
    Check,
}

impl GzipError {
    /// Where it is counted.
    pub const fn counter(self) -> Counter {
        Counter::RefusedGzip
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The fixed part of a header: so many bytes of it have come.
    Header(u8),
    /// The length of the extra field: so many bytes of it have come, and what they say.
    ExtraLength(u8, u16),
    /// So many bytes to be passed over, of the extra field or of the header's CRC.
    Skip(u16, Then),
    /// A text that ends with a zero.
    Text(Then),
    Data,
    /// So many bytes of the trailer have come.
    Trailer(u8),
    Broken(GzipError),
}

/// What is left of a header once the part under way is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Name,
    Comment,
    Crc,
    Data,
}

/// A stream under way.
pub struct Gunzip {
    stage: Stage,
    flags: u8,
    inflate: Box<DecompressorOxide>,
    /// The last bytes that were unpacked, round and round.
    window: Box<[u8]>,
    /// Where in it lies what the last `read` unpacked.
    plain: Range<usize>,
    /// The unpacker stopped for want of room, not of input.
    has_more: bool,
    check: Hasher,
    length: u32,
    trailer: [u8; TRAILER_BYTES as usize],
}

// A window has the size that deflate's distances reach, and wraps by masking.
const _: () = assert!(GZIP_WINDOW_BYTES == 32 << 10);

impl fmt::Debug for Gunzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gunzip = f.debug_struct("Gunzip");
        gunzip.field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl Default for Gunzip {
    fn default() -> Self {
        Self {
            stage: Stage::Header(0),
            flags: 0,
            inflate: Box::default(),
            window: vec![0; GZIP_WINDOW_BYTES].into_boxed_slice(),
            plain: 0..0,
            has_more: false,
            check: Hasher::new(),
            length: 0,
            trailer: [0; TRAILER_BYTES as usize],
        }
    }
}

impl Gunzip {
    /// What the last `read` unpacked.
    pub fn plain(&self) -> &[u8] {
        &self.window[self.plain.clone()]
    }

    /// Whether there is more to be unpacked of what was taken from the input already.
    pub fn has_more(&self) -> bool {
        self.has_more
    }

    /// Whether the stream ends inside a header, if it ends here.
    pub fn is_in_header(&self) -> bool {
        match self.stage {
            Stage::Header(come) => come > 0,
            Stage::ExtraLength(..) | Stage::Skip(..) | Stage::Text(_) => true,
            Stage::Data | Stage::Trailer(_) | Stage::Broken(_) => false,
        }
    }

    /// Why it goes no further, if it does not.
    pub fn error(&self) -> Option<GzipError> {
        if let Stage::Broken(error) = self.stage {
            return Some(error);
        }
        None
    }

    /// Reads on in `input` from `at` on, moves `at`, and leaves what it unpacks in `plain`, in place
    /// of what was there. Answers what that cost, in bytes of plain lines: it stops once it has cost
    /// `allowance`, give or take a piece of input, which must not be 0. After an error nothing is read.
    pub fn read(&mut self, input: &[u8], at: &mut usize, allowance: usize) -> usize {
        assert!(allowance > 0, "a read that may cost nothing does nothing");
        self.plain = self.plain.end..self.plain.end;
        let mut cost = 0;
        while cost < allowance && self.plain.is_empty() {
            if self.stage == Stage::Data {
                cost += self.unpack(input, at, allowance - cost);
                if self.stage == Stage::Data && !self.has_more && *at == input.len() {
                    return cost;
                }
                continue;
            }
            if self.error().is_some() {
                return cost;
            }
            let Some(byte) = input.get(*at) else {
                return cost;
            };
            *at += 1;
            cost += 1;
            self.stage = self.step(*byte);
            if self.stage == Stage::Header(0) {
                cost += GZIP_MEMBER_COST;
            }
        }
        cost
    }

    /// Unpacks a piece.
    fn unpack(&mut self, input: &[u8], at: &mut usize, room: usize) -> usize {
        let start = self.plain.end % GZIP_WINDOW_BYTES;
        let rest = &input[*at..];
        let piece = &rest[..rest.len().min(GZIP_PIECE_BYTES)];
        let (status, taken, made) = decompress_with_limit(
            &mut self.inflate,
            piece,
            &mut self.window,
            start,
            room,
            TINFL_FLAG_HAS_MORE_INPUT,
        );
        *at += taken;
        self.plain = start..start + made;
        self.check.update(&self.window[self.plain.clone()]);
        self.length = self
            .length
            .wrapping_add(u32::try_from(made).unwrap_or(u32::MAX));
        self.has_more = status == Status::HasMoreOutput;
        let wants_input = status == Status::NeedsMoreInput;
        self.stage = if status == Status::Done {
            Stage::Trailer(0)
        } else if self.has_more && made > 0 || wants_input && (taken + made > 0 || rest.is_empty())
        {
            Stage::Data
        } else {
            Stage::Broken(GzipError::Data)
        };
        made.max(taken * GZIP_INPUT_COST)
    }

    /// One byte of a header or a trailer.
    fn step(&mut self, byte: u8) -> Stage {
        match self.stage {
            Stage::Header(come) => self.header(come, byte),
            Stage::ExtraLength(0, _) => Stage::ExtraLength(1, u16::from(byte)),
            Stage::ExtraLength(_, low) => {
                let length = u16::from_be_bytes([byte, 0]) | low;
                self.skip(length, Then::Name)
            }
            Stage::Skip(left, then) => self.skip(left - 1, then),
            Stage::Text(then) if byte == 0 => self.then(then),
            Stage::Text(then) => Stage::Text(then),
            Stage::Trailer(come) => self.end(come, byte),
            Stage::Data | Stage::Broken(_) => {
                unreachable!("{:?} reads no single bytes", self.stage)
            }
        }
    }

    fn header(&mut self, come: u8, byte: u8) -> Stage {
        let fits = match come {
            0 => byte == MAGIC[0],
            1 => byte == MAGIC[1],
            // Deflate; there is no other method.
            2 => byte == 8,
            3 => {
                self.flags = byte;
                byte & FLAGS_RESERVED == 0
            }
            // Time, level and system say nothing to us.
            _ => true,
        };
        if !fits {
            return Stage::Broken(GzipError::Header);
        }
        if come + 1 < HEADER_BYTES {
            return Stage::Header(come + 1);
        }
        if self.flags & FLAG_EXTRA != 0 {
            return Stage::ExtraLength(0, 0);
        }
        self.then(Then::Name)
    }

    fn skip(&mut self, left: u16, then: Then) -> Stage {
        if left > 0 {
            return Stage::Skip(left, then);
        }
        self.then(then)
    }

    /// The next part of the header that there is.
    fn then(&mut self, then: Then) -> Stage {
        match then {
            Then::Name if self.flags & FLAG_NAME != 0 => Stage::Text(Then::Comment),
            Then::Name | Then::Comment if self.flags & FLAG_COMMENT != 0 => Stage::Text(Then::Crc),
            Then::Name | Then::Comment | Then::Crc if self.flags & FLAG_CRC != 0 => {
                Stage::Skip(2, Then::Data)
            }
            Then::Name | Then::Comment | Then::Crc | Then::Data => {
                self.inflate.init();
                self.check = Hasher::new();
                self.length = 0;
                Stage::Data
            }
        }
    }

    /// The trailer, and the end of the member.
    fn end(&mut self, come: u8, byte: u8) -> Stage {
        self.trailer[usize::from(come)] = byte;
        if come + 1 < TRAILER_BYTES {
            return Stage::Trailer(come + 1);
        }
        let mut wanted = self.trailer;
        wanted.reverse();
        let check = self.check.clone().finalize();
        let found = (u64::from(self.length) << 32) | u64::from(check);
        if u64::from_be_bytes(wanted) == found {
            Stage::Header(0)
        } else {
            Stage::Broken(GzipError::Check)
        }
    }
}

#[cfg(test)]
mod tests;
