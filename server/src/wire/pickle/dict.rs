//! A pickled dict with text keys: what requests and replies of the cache query are.
//! Reads out of the unpickler without copying, so that it borrows the frame and the machine.
//! Bounded like the batch: long texts that are named again and again end the reading.

use benzene_engine::limits::PICKLE_TEXT_FACTOR_MAX;

use super::PickleError;
use super::vm::{Chain, Machine, Node, NodeIndex};

/// The dict that a frame is.
#[derive(Debug)]
pub(in crate::wire) struct Dict<'a> {
    frame: &'a [u8],
    machine: &'a Machine,
    chain: Chain,
    /// Bytes of text that may still be looked at.
    text_bytes_left: usize,
}

impl<'a> Dict<'a> {
    /// Unpickles a frame; `None` if it is something else than a dict.
    pub(in crate::wire) fn run(
        frame: &'a [u8],
        machine: &'a mut Machine,
    ) -> Result<Option<Self>, PickleError> {
        let top = machine.run(frame)?;
        let machine: &'a Machine = machine;
        let Node::Dict(chain) = machine.node(top) else {
            return Ok(None);
        };
        Ok(Some(Self {
            frame,
            machine,
            chain,
            text_bytes_left: frame.len().saturating_mul(PICKLE_TEXT_FACTOR_MAX),
        }))
    }

    /// The unpickler, to look into what `get` found.
    pub(in crate::wire) fn machine(&self) -> &'a Machine {
        self.machine
    }

    /// The value of a key; of equal keys the last one counts, as in Python.
    pub(in crate::wire) fn get(&self, wanted: &str) -> Option<NodeIndex> {
        let mut places = self.machine.places(self.chain);
        let mut found = None;
        while let (Some(key), Some(value)) = (places.next(), places.next()) {
            if let Node::Text(span) = self.machine.node(key)
                && self.machine.bytes(self.frame, span) == wanted.as_bytes()
            {
                found = Some(value);
            }
        }
        found
    }

    /// The text that an object is; `None` if it is none, or not UTF-8.
    pub(in crate::wire) fn text(
        &mut self,
        node: NodeIndex,
    ) -> Result<Option<&'a str>, PickleError> {
        let Node::Text(span) = self.machine.node(node) else {
            return Ok(None);
        };
        let left = self.text_bytes_left.checked_sub(span.len());
        self.text_bytes_left = left.ok_or(PickleError::TooMuchText)?;
        Ok(std::str::from_utf8(self.machine.bytes(self.frame, span)).ok())
    }

    /// Whether an object is no text, and Python could look it up in a dict. A bytearray passes for one that it
    /// could, a tuple in a tuple for one that it could not.
    pub(in crate::wire) fn is_other_key(&self, node: NodeIndex) -> bool {
        let found = self.machine.node(node);
        let Node::Tuple(chain) = found else {
            return found.is_scalar();
        };
        self.machine.places(chain).all(|item| {
            let item = self.machine.node(item);
            item.is_scalar() || matches!(item, Node::Text(_))
        })
    }

    /// The objects of a list, tuple or set; `None` if an object is none of them.
    pub(in crate::wire) fn list(
        &self,
        node: NodeIndex,
    ) -> Option<impl Iterator<Item = NodeIndex> + use<'a>> {
        let (Node::List(chain) | Node::Tuple(chain) | Node::Set(chain)) = self.machine.node(node)
        else {
            return None;
        };
        Some(self.machine.places(chain))
    }

    /// Keys and values of a dict by turns; `None` if an object is none.
    pub(in crate::wire) fn pairs(
        &self,
        node: NodeIndex,
    ) -> Option<impl Iterator<Item = NodeIndex> + use<'a>> {
        let Node::Dict(chain) = self.machine.node(node) else {
            return None;
        };
        Some(self.machine.places(chain))
    }
}
