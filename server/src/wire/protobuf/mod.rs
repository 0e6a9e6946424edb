//! The protobuf payload of Python carbon's and go-carbon's receivers (carbon.proto):
//! `Payload { repeated Metric metrics = 1 }`, `Metric { string metric = 1; repeated Point points = 2 }`,
//! `Point { uint32 timestamp = 1; double value = 2 }`, read by hand: three messages of two fields are
//! less than what a generated reader brings, and none of those can refuse one metric and keep the rest.
//! Fields may stand in any order, the last of a number counts, unknown ones are passed over, and what
//! is missing has its default: 0, or no name. -1 cannot be said in a uint32, so nothing means now.
//! A metric whose name is not UTF-8 and a value that is NaN refuse their points and no others. A frame
//! that is no protobuf is refused whole, and nothing of it is taken, as Python does it.
//! Bounded by the frame: a point takes two bytes of it at least, and names are copied once.

use benzene_engine::limits::PROTOBUF_GROUPS_DEPTH_MAX;
use benzene_engine::stats::Counter;

use super::Refusal;
use super::batch::{Batch, Entry};

/// Why a frame could not be decoded. Offsets count from the start of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// It ends inside a field, or a field is longer than the message that it stands in.
    #[error("a field ends beyond its message, at byte {offset}")]
    Truncated {
        /// Where more was expected.
        offset: usize,
    },
    /// A number of more than ten bytes.
    #[error("a number of more than ten bytes at byte {offset}")]
    Varint {
        /// Where it begins.
        offset: usize,
    },
    /// A field number or a type of field that protobuf does not have.
    #[error("no field begins like byte {offset}")]
    Key {
        /// Where it stands.
        offset: usize,
    },
    /// A group that ends without having begun, or inside out, or deeper than any decoder follows.
    #[error("groups are not nested properly at byte {offset}")]
    Group {
        /// Where the key stands.
        offset: usize,
    },
    /// The frame is longer than an offset can say.
    #[error("a frame of {bytes} bytes is too long")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

impl ProtobufError {
    /// Where a receiver counts it.
    pub const fn counter(self) -> Counter {
        Counter::RefusedProtobuf
    }
}

/// Reads a frame, given without its length, into `batch`, whose former content is forgotten. After
/// an error `batch` is empty.
pub fn decode(frame: &[u8], batch: &mut Batch) -> Result<(), ProtobufError> {
    batch.clear();
    let bytes = frame.len();
    if u32::try_from(bytes).is_err() {
        return Err(ProtobufError::TooLong { bytes });
    }
    let read = payload(Fields::of(frame), batch);
    if read.is_err() {
        batch.clear();
    }
    read
}

fn payload(mut fields: Fields<'_>, batch: &mut Batch) -> Result<(), ProtobufError> {
    while let Some((number, field)) = fields.next()? {
        if let (1, Field::Message(metric)) = (number, field) {
            self::metric(metric, batch)?;
        }
    }
    Ok(())
}

/// Twice over the fields: the name may stand behind the points.
fn metric(fields: Fields<'_>, batch: &mut Batch) -> Result<(), ProtobufError> {
    let (mut name, mut all) = ([].as_slice(), fields);
    while let Some((number, field)) = all.next()? {
        if let (1, Field::Message(text)) = (number, field) {
            name = text.bytes();
        }
    }
    let place = match std::str::from_utf8(name) {
        Ok(name) => {
            let place = (small(batch.names.len()), small(name.len()));
            batch.names.push_str(name);
            Ok(place)
        }
        Err(_) => Err(Refusal::Utf8),
    };
    let mut all = fields;
    while let Some((number, field)) = all.next()? {
        let (2, Field::Message(point)) = (number, field) else {
            continue;
        };
        let (timestamp, value) = self::point(point)?;
        match place.and_then(|place| Entry::new(place, f64::from(timestamp), value)) {
            Ok(entry) => batch.entries.push(entry),
            Err(refusal) => batch.refused.add(refusal),
        }
    }
    Ok(())
}

fn point(mut fields: Fields<'_>) -> Result<(u32, f64), ProtobufError> {
    let (mut timestamp, mut value) = (0, 0.0);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Number(number)) => timestamp = low(number),
            (2, Field::Double(double)) => value = double,
            _ => {}
        }
    }
    Ok((timestamp, value))
}

/// A field's content, as its key says what it is.
#[derive(Clone, Copy, Debug)]
enum Field<'a> {
    Number(u64),
    Double(f64),
    /// A text, bytes or a message.
    Message(Fields<'a>),
    /// Of a type that none of ours has; passed over.
    Other,
}

/// The fields of a message, one by one.
#[derive(Clone, Copy, Debug)]
struct Fields<'a> {
    frame: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Fields<'a> {
    fn of(frame: &'a [u8]) -> Self {
        Self {
            frame,
            at: 0,
            end: frame.len(),
        }
    }

    fn bytes(&self) -> &'a [u8] {
        &self.frame[self.at..self.end]
    }

    /// The next field and its number.
    fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, ProtobufError> {
        if self.at == self.end {
            return Ok(None);
        }
        let offset = self.at;
        let (number, kind) = self.key()?;
        let field = match kind {
            3 => {
                self.skip_group(number)?;
                Field::Other
            }
            4 => return Err(ProtobufError::Group { offset }),
            kind => self.simple(kind, offset)?,
        };
        Ok(Some((number, field)))
    }

    /// What stands behind a key that begins no group.
    fn simple(&mut self, kind: u8, offset: usize) -> Result<Field<'a>, ProtobufError> {
        Ok(match kind {
            0 => Field::Number(self.varint()?),
            1 => Field::Double(f64::from_bits(u64::from_le_bytes(self.take()?))),
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                let at = self.at;
                let end = at.checked_add(length).filter(|end| *end <= self.end);
                self.at = end.ok_or(ProtobufError::Truncated { offset: at })?;
                Field::Message(Fields {
                    frame: self.frame,
                    at,
                    end: self.at,
                })
            }
            5 => {
                self.take::<4>()?;
                Field::Other
            }
            _ => return Err(ProtobufError::Key { offset }),
        })
    }

    /// Passes over what stands between the key that begins a group, already read, and the one that
    /// ends it.
    fn skip_group(&mut self, number: u32) -> Result<(), ProtobufError> {
        let mut open = vec![number];
        while let Some(innermost) = open.last() {
            let offset = self.at;
            match self.key()? {
                (number, 3) if open.len() < PROTOBUF_GROUPS_DEPTH_MAX => open.push(number),
                (number, 4) if number == *innermost => {
                    open.pop();
                }
                (_, 3 | 4) => return Err(ProtobufError::Group { offset }),
                (_, kind) => {
                    self.simple(kind, offset)?;
                }
            }
        }
        Ok(())
    }

    /// A field's number and type.
    fn key(&mut self) -> Result<(u32, u8), ProtobufError> {
        let offset = self.at;
        let key = self.varint()?;
        match u32::try_from(key >> 3) {
            Ok(number @ 1..=0x1fff_ffff) => Ok((number, (key & 7).to_be_bytes()[7])),
            _ => Err(ProtobufError::Key { offset }),
        }
    }

    fn varint(&mut self) -> Result<u64, ProtobufError> {
        let offset = self.at;
        let mut number = 0;
        for index in 0..10 {
            let [byte] = self.take()?;
            // What does not fit into 64 bits is cut off, as every decoder does.
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(ProtobufError::Varint { offset })
    }

    fn take<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], ProtobufError> {
        let Some(bytes) = self.bytes().first_chunk() else {
            return Err(ProtobufError::Truncated { offset: self.at });
        };
        self.at += COUNT;
        Ok(*bytes)
    }
}

/// The low half: a uint32 that was sent as 64 bits.
fn low(number: u64) -> u32 {
    let [_, _, _, _, low @ ..] = number.to_be_bytes();
    u32::from_be_bytes(low)
}

fn small(count: usize) -> u32 {
    let Ok(small) = u32::try_from(count) else {
        unreachable!("{count} bytes of a frame whose length has 32 bits")
    };
    small
}

#[cfg(test)]
mod tests;
