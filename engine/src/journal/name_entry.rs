//! The entries of a block of names: which name an id of a generation stands for.
//! docs/formats/journal.md has the map. Pure, as `entry`, whose errors these are.
//! Invariants: what is read is what was written; a name that is read is text within the bound of a
//! metric's name, but only its shape is proven: whether it is canonical is for `metric` to say.

use super::block::HEAD_BYTES;
use super::entry::{EntryError, Fault, finished};
use super::number::{VARINT_BYTES_MAX, WINDOW_BYTES, get_varint, put_varint};
use crate::limits::METRIC_NAME_BYTES_MAX;

/// Most bytes of a name's entry.
pub const NAME_ENTRY_BYTES_MAX: usize = 2 * VARINT_BYTES_MAX + METRIC_NAME_BYTES_MAX;

/// An entry of a block of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameEntry<'a> {
    /// The id, in this block's generation.
    pub id: u32,
    /// The canonical name.
    pub name: &'a str,
}

/// Writes the entries of a block of names.
#[derive(Debug)]
pub struct NameEncoder {
    bytes: Vec<u8>,
    names: u32,
}

impl NameEncoder {
    /// Begins a block in a buffer, whose bytes are overwritten and whose memory is used.
    pub fn new(mut bytes: Vec<u8>) -> NameEncoder {
        bytes.clear();
        bytes.resize(HEAD_BYTES, 0);
        NameEncoder { bytes, names: 0 }
    }

    /// Bytes of the payload so far.
    pub fn payload_bytes(&self) -> usize {
        self.bytes.len() - HEAD_BYTES
    }

    /// Names so far.
    pub fn names(&self) -> u32 {
        self.names
    }

    /// Appends a name; says how many bytes it took.
    pub fn name(&mut self, id: u32, name: &str) -> usize {
        assert!(!name.is_empty(), "id {id} has an empty name");
        assert!(
            name.len() <= METRIC_NAME_BYTES_MAX,
            "a name of {} bytes",
            name.len()
        );
        let before = self.bytes.len();
        let mut window = [0; WINDOW_BYTES];
        let at = put_varint(&mut window, 0, u64::from(id));
        let at = put_varint(&mut window, at, name.len() as u64);
        self.bytes.extend_from_slice(&window[..at]);
        self.bytes.extend_from_slice(name.as_bytes());
        self.names += 1;
        self.bytes.len() - before
    }

    /// Ends the block, as `PointEncoder::finish`.
    pub fn finish(self) -> Vec<u8> {
        let at = self.bytes.len();
        finished(self.bytes, at)
    }
}

/// Reads the entries of a block of names; the first error ends it.
#[derive(Clone, Debug)]
pub struct NameDecoder<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> NameDecoder<'a> {
    /// The names of a block with this payload.
    pub fn new(payload: &'a [u8]) -> NameDecoder<'a> {
        NameDecoder { payload, at: 0 }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The name that begins here, and its length.
    fn step(&self) -> Result<(NameEntry<'a>, usize), Fault> {
        let rest = &self.payload[self.at..];
        let mut window = [0; WINDOW_BYTES];
        let near = rest.len().min(WINDOW_BYTES);
        window[..near].copy_from_slice(&rest[..near]);
        let (id, at) = get_varint(&window, 0)?;
        let (length, at) = get_varint(&window, at)?;
        let id = u32::try_from(id).ok().ok_or(Fault::Ids)?;
        let length = usize::try_from(length).ok().ok_or(Fault::Name)?;
        if length == 0 || length > METRIC_NAME_BYTES_MAX {
            return Err(Fault::Name);
        }
        let name = rest.get(at..at + length).ok_or(Fault::Cut)?;
        let name = str::from_utf8(name).ok().ok_or(Fault::Name)?;
        Ok((NameEntry { id, name }, at + length))
    }
}

impl<'a> Iterator for NameDecoder<'a> {
    type Item = Result<NameEntry<'a>, EntryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.payload.len() {
            return None;
        }
        let offset = self.at;
        match self.step() {
            Ok((entry, len)) => {
                self.at += len;
                Some(Ok(entry))
            }
            Err(fault) => {
                self.at = self.payload.len();
                Some(Err(EntryError { offset, fault }))
            }
        }
    }
}
