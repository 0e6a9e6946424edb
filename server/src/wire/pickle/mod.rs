//! The pickle protocol of relays: a frame is a pickled list of (metric, (timestamp, value)).
//! `decode` reads the points of a frame into a `Batch`, which owns what it holds: the caller can
//! stop after any item and go on later, with the frame long gone. A frame in the form that relays
//! send is read as it stands (`relay`); any other is run through a bounded unpickler (`vm`) first.
//! An item that is wrong refuses itself and no other, also where Python closes the connection and
//! loses the rest: a bytes object as metric, a timestamp that is not finite. A frame that is no
//! pickle, names a class, or is no list refuses the frame; the connection is kept.
//! Python would also take a str of two characters for a pair, and each character of a str for an
//! item; no sender means that, and it is refused here.

mod dict;
mod relay;
mod text;
mod vm;

use benzene_engine::limits::PICKLE_TEXT_FACTOR_MAX;
use benzene_engine::stats::Counter;

pub use super::batch::Batch;
use super::batch::Entry;
use super::{Refusal, number};
pub(in crate::wire) use dict::Dict;
pub use vm::Machine;
use vm::Node;
pub(in crate::wire) use vm::NodeIndex;
pub(in crate::wire) use vm::small;

/// Why a frame could not be decoded. Offsets count from the start of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// It ends before its STOP, or inside an argument.
    #[error("the pickle ends too early, at byte {offset}")]
    Truncated {
        /// Where more was expected.
        offset: usize,
    },
    /// An opcode of classes, functions or outside references, which plain data never needs.
    #[error("opcode {opcode:#04x} at byte {offset} would run code or reach outside: refused")]
    Forbidden {
        /// The opcode.
        opcode: u8,
        /// Where it stands.
        offset: usize,
    },
    /// No opcode of protocols 0 to 5.
    #[error("unknown opcode {opcode:#04x} at byte {offset}")]
    Opcode {
        /// The byte in its place.
        opcode: u8,
        /// Where it stands.
        offset: usize,
    },
    /// A protocol newer than 5.
    #[error("pickle protocol {found} is newer than 5")]
    Protocol {
        /// The protocol announced.
        found: u8,
    },
    /// An argument that is malformed: a number, a string literal, an escape.
    #[error("malformed argument of opcode {opcode:#04x} at byte {offset}")]
    Argument {
        /// The opcode.
        opcode: u8,
        /// Where it stands.
        offset: usize,
    },
    /// An opcode takes more from the stack than is there.
    #[error("stack underflow at byte {offset}")]
    StackUnderflow {
        /// Where the opcode stands.
        offset: usize,
    },
    /// A memo number that was never put, or that no pickler would give.
    #[error("memo number {index} at byte {offset} is unknown or out of range")]
    Memo {
        /// The number.
        index: usize,
        /// Where the opcode stands.
        offset: usize,
    },
    /// An opcode meets an object that it cannot fill, or half a pair.
    #[error("opcode {opcode:#04x} at byte {offset} does not fit the object it meets")]
    Shape {
        /// The opcode.
        opcode: u8,
        /// Where it stands.
        offset: usize,
    },
    /// The frame is longer than an offset can say.
    #[error("a pickle of {bytes} bytes is too long")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// More than `PICKLE_OBJECTS_MAX` objects.
    #[error("the pickle holds too many objects")]
    TooManyObjects,
    /// Long texts are named again and again, beyond `PICKLE_TEXT_FACTOR_MAX`.
    #[error("the pickle names long texts too often")]
    TooMuchText,
    /// It is a pickle, but not of a list of points.
    #[error("the pickle is no list of points")]
    NoList,
}

impl PickleError {
    /// Where a receiver counts it.
    pub const fn counter(self) -> Counter {
        Counter::RefusedPickle
    }
}

/// Reads a frame, given without its length, into `batch`, whose former content is forgotten. After
/// an error `batch` is empty.
pub fn decode(frame: &[u8], machine: &mut Machine, batch: &mut Batch) -> Result<(), PickleError> {
    batch.clear();
    if relay::read(frame, batch).is_some() {
        return Ok(());
    }
    unpickle(frame, machine, batch)
}

/// Reads a frame of any form.
fn unpickle(frame: &[u8], machine: &mut Machine, batch: &mut Batch) -> Result<(), PickleError> {
    batch.clear();
    let read = Reader::run(frame, machine, batch).and_then(Reader::read);
    machine.clear();
    if read.is_err() {
        batch.clear();
    }
    read
}

/// Reads points out of an unpickled frame.
struct Reader<'a> {
    frame: &'a [u8],
    machine: &'a mut Machine,
    batch: &'a mut Batch,
    top: NodeIndex,
    /// Bytes of text that may still be looked at.
    text_bytes_left: usize,
}

impl<'a> Reader<'a> {
    fn run(
        frame: &'a [u8],
        machine: &'a mut Machine,
        batch: &'a mut Batch,
    ) -> Result<Self, PickleError> {
        let top = machine.run(frame)?;
        Ok(Self {
            frame,
            machine,
            batch,
            top,
            text_bytes_left: frame.len().saturating_mul(PICKLE_TEXT_FACTOR_MAX),
        })
    }

    fn read(mut self) -> Result<(), PickleError> {
        // Of a dict Python reads the keys: every second place.
        let top = self.machine.node(self.top);
        let (Node::List(mut rest)
        | Node::Tuple(mut rest)
        | Node::Set(mut rest)
        | Node::Dict(mut rest)) = top
        else {
            return Err(PickleError::NoList);
        };
        let of_dict = matches!(top, Node::Dict(_));
        while let Some((item, after)) = self.machine.split_first(rest) {
            rest = after;
            match self.item(item) {
                Ok(entry) => self.batch.entries.push(entry),
                Err(Trouble::Item(refusal)) => self.batch.refused.add(refusal),
                Err(Trouble::Frame(error)) => return Err(error),
            }
            if of_dict && let Some((_, after)) = self.machine.split_first(rest) {
                rest = after;
            }
        }
        Ok(())
    }

    /// One item, checked in Python's order: shape, numbers, name.
    fn item(&mut self, item: NodeIndex) -> Result<Entry, Trouble> {
        let (name, point) = self.machine.pair(item).ok_or(Refusal::Item)?;
        let (seconds, value) = self.machine.pair(point).ok_or(Refusal::Item)?;
        let seconds = self.number(seconds)?.ok_or(Refusal::Timestamp)?;
        let value = self.number(value)?.ok_or(Refusal::Value)?;
        let place = self.name(name)?;
        Ok(Entry::new(place, seconds, value)?)
    }

    /// Python's float(); `None` where it raises.
    fn number(&mut self, node: NodeIndex) -> Result<Option<f64>, PickleError> {
        Ok(match self.machine.node(node) {
            Node::Text(span) => {
                self.look_at(span.len())?;
                let text = std::str::from_utf8(self.machine.bytes(self.frame, span));
                text.ok().and_then(number::float)
            }
            Node::Copied { start, length } => {
                self.look_at(length as usize)?;
                number::float(&self.batch.names[start as usize..][..length as usize])
            }
            Node::Bytes(span) => {
                self.look_at(span.len())?;
                number::float_bytes(self.machine.bytes(self.frame, span))
            }
            number @ (Node::Float(_) | Node::Int(_) | Node::Bool(_)) => number.number(),
            Node::None
            | Node::Huge
            | Node::List(_)
            | Node::Tuple(_)
            | Node::Dict(_)
            | Node::Set(_) => None,
        })
    }

    /// The place of a metric's name in the batch. A text is copied there once, however many items
    /// name it.
    fn name(&mut self, node: NodeIndex) -> Result<(u32, u32), Trouble> {
        let found = self.machine.node(node);
        if let Node::Copied { start, length } = found {
            return Ok((start, length));
        }
        let Node::Text(span) = found else {
            return Err(Refusal::Item.into());
        };
        self.look_at(span.len())?;
        let Ok(name) = std::str::from_utf8(self.machine.bytes(self.frame, span)) else {
            return Err(Refusal::Utf8.into());
        };
        let place = (small(self.batch.names.len()), small(name.len()));
        self.batch.names.push_str(name);
        self.machine.set_copied(node, place.0, place.1);
        Ok(place)
    }

    /// Pays for looking at a text.
    fn look_at(&mut self, bytes: usize) -> Result<(), PickleError> {
        let left = self.text_bytes_left.checked_sub(bytes);
        self.text_bytes_left = left.ok_or(PickleError::TooMuchText)?;
        Ok(())
    }
}

/// What ends the reading of one item: the item is refused, or the whole frame.
enum Trouble {
    Item(Refusal),
    Frame(PickleError),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Trouble::Item(refusal)
    }
}

impl From<PickleError> for Trouble {
    fn from(error: PickleError) -> Self {
        Trouble::Frame(error)
    }
}

#[cfg(test)]
mod tests;
