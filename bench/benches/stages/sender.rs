//! What a sender sends in one round, cut as receives cut a stream: pieces of a full receive buffer
//! that end wherever they end, within a line or a frame as well.

use benzene_engine::limits::RECEIVE_BUFFER_BYTES;
use benzene_server::wire::frame::HEADER_BYTES;

use crate::pickled::{Protocol, push_pickled};
use crate::{FRAME_ITEMS, value_of, whole_value};

/// How points are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// Lines of a name, a whole number and seconds.
    Lines,
    /// Frames of pickle protocol 2, as a relay sends them.
    Frames,
}

/// One sender's stream of one round.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    names: &'a [String],
    /// What is still to be sent, in this order.
    order: &'a [u32],
    form: Form,
    timestamp: u32,
    bytes: Vec<u8>,
    /// So many of `bytes` were the last piece.
    handed_out: usize,
}

impl<'a> Stream<'a> {
    /// One point for each of `order`, which are indexes of `names`.
    pub(crate) fn new(names: &'a [String], order: &'a [u32], form: Form, timestamp: u32) -> Self {
        Self {
            names,
            order,
            form,
            timestamp,
            bytes: Vec::new(),
            handed_out: 0,
        }
    }

    /// The next piece; `None` at the end.
    pub(crate) fn next_piece(&mut self) -> Option<&[u8]> {
        self.bytes.drain(..self.handed_out);
        while self.bytes.len() < RECEIVE_BUFFER_BYTES as usize && !self.order.is_empty() {
            match self.form {
                Form::Lines => self.push_line(),
                Form::Frames => self.push_frame(),
            }
        }
        self.handed_out = self.bytes.len().min(RECEIVE_BUFFER_BYTES as usize);
        (self.handed_out > 0).then(|| &self.bytes[..self.handed_out])
    }

    fn push_line(&mut self) {
        let Some((index, rest)) = self.order.split_first() else {
            return;
        };
        self.order = rest;
        let (mut value, mut seconds) = (itoa::Buffer::new(), itoa::Buffer::new());
        let fields = [
            self.names[*index as usize].as_str(),
            value.format(whole_value(*index, self.timestamp)),
            seconds.format(self.timestamp),
        ];
        for (field, end) in fields.into_iter().zip(*b"  \n") {
            self.bytes.extend_from_slice(field.as_bytes());
            self.bytes.push(end);
        }
    }

    fn push_frame(&mut self) {
        let (frame, rest) = self.order.split_at(self.order.len().min(FRAME_ITEMS));
        self.order = rest;
        let (names, timestamp) = (self.names, self.timestamp);
        let points = frame.iter().map(|index| {
            let point = value_of(*index, timestamp);
            (names[*index as usize].as_str(), point)
        });
        let start = self.bytes.len();
        self.bytes.extend([0; HEADER_BYTES]);
        push_pickled(&mut self.bytes, Protocol::Two, points);
        let Ok(length) = u32::try_from(self.bytes.len() - start - HEADER_BYTES) else {
            unreachable!("a frame of {FRAME_ITEMS} items is small");
        };
        self.bytes[start..start + HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    }
}
