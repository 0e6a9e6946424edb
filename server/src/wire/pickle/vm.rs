//! The unpickler: a stack machine for protocols 0 to 5 that makes plain data and nothing else.
//! It knows no way to name a class, call a function or reach outside the frame: such opcodes are
//! an error. Objects live in one arena and refer to each other by index, so that a pickle which
//! contains itself costs no more than any other, and nothing here or in its readers recurses.
//! Invariants: no opcode makes more than one object; objects, stack, list places and memo are each
//! at most one per byte of the frame and at most `PICKLE_OBJECTS_MAX`. So a frame made for that
//! purpose gets 20 bytes of memory for each of its own (twice that while a part grows), no frame
//! gets more than 36 times `PICKLE_OBJECTS_MAX`, and time is linear in the length of the frame.
//! On failure the frame is refused as a whole; the machine is good for the next one.

use benzene_engine::limits::{PICKLE_OBJECTS_KEPT, PICKLE_OBJECTS_MAX};

use super::PickleError;
use super::text::{self, Cursor};

/// Which object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) struct NodeIndex(u32);

/// A place that holds no object yet: in the memo, a number that was never put.
const NOWHERE: u32 = u32::MAX;

/// An object.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// An integer beyond the range of a double.
    Huge,
    /// A str of either Python; UTF-8 as claimed, not as checked.
    Text(Span),
    /// A text that its reader has copied out; what the numbers mean is the reader's affair.
    Copied {
        start: u32,
        length: u32,
    },
    /// A bytes or bytearray of Python 3.
    Bytes(Span),
    List(Chain),
    Tuple(Chain),
    /// Keys and values by turns.
    Dict(Chain),
    Set(Chain),
}

impl Node {
    /// Neither a text nor something with parts.
    pub(in crate::wire) fn is_scalar(self) -> bool {
        match self {
            Node::None
            | Node::Bool(_)
            | Node::Int(_)
            | Node::Float(_)
            | Node::Huge
            | Node::Bytes(_) => true,
            Node::Text(_)
            | Node::Copied { .. }
            | Node::List(_)
            | Node::Tuple(_)
            | Node::Dict(_)
            | Node::Set(_) => false,
        }
    }

    /// Python's float() of what is a number itself; `None` for everything else.
    #[expect(
        clippy::cast_precision_loss,
        reason = "float(int) rounds to the nearest, ties to even, and so does the cast"
    )]
    pub(in crate::wire) fn number(self) -> Option<f64> {
        match self {
            Node::Float(float) => Some(float),
            Node::Int(int) => Some(int as f64),
            Node::Bool(bool) => Some(f64::from(bool)),
            Node::None
            | Node::Huge
            | Node::Text(_)
            | Node::Copied { .. }
            | Node::Bytes(_)
            | Node::List(_)
            | Node::Tuple(_)
            | Node::Dict(_)
            | Node::Set(_) => None,
        }
    }
}

// What the bound on memory above counts with, and with a stack entry of four bytes.
const _: () = assert!(size_of::<Node>() == 16);

/// Where the bytes of a text lie.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) struct Span {
    /// In `Machine::unescaped`, else in the frame.
    unescaped: bool,
    start: u32,
    length: u32,
}

impl Span {
    /// How many bytes the text has.
    pub(in crate::wire) fn len(self) -> usize {
        self.length as usize
    }
}

/// The places of a container, in order: a linked list through `Machine::cells`.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) struct Chain {
    first: u32,
    last: u32,
}

const EMPTY: Chain = Chain {
    first: NOWHERE,
    last: NOWHERE,
};

/// One place in a container.
#[derive(Clone, Copy, Debug)]
struct Cell {
    node: NodeIndex,
    next: u32,
}

/// The unpickler. One serves any number of frames, one after the other, and keeps its memory.
#[derive(Debug, Default)]
pub struct Machine {
    nodes: Vec<Node>,
    cells: Vec<Cell>,
    stack: Vec<NodeIndex>,
    /// Heights of the stack at the marks.
    marks: Vec<u32>,
    memo: Vec<NodeIndex>,
    memoized: usize,
    /// Texts that do not stand in the frame as they are.
    unescaped: Vec<u8>,
}

impl Machine {
    /// Unpickles a frame and returns the object that it is. Bytes after its end are ignored, as
    /// Python does.
    pub(in crate::wire) fn run(&mut self, frame: &[u8]) -> Result<NodeIndex, PickleError> {
        if u32::try_from(frame.len()).is_err() {
            let bytes = frame.len();
            return Err(PickleError::TooLong { bytes });
        }
        self.clear();
        let mut cursor = Cursor { frame, at: 0 };
        loop {
            let offset = cursor.at;
            let opcode = cursor.byte()?;
            if opcode == b'.' {
                return self.pop(offset);
            }
            self.step(opcode, offset, &mut cursor)?;
        }
    }

    /// The object at an index that this machine gave out.
    pub(in crate::wire) fn node(&self, index: NodeIndex) -> Node {
        self.nodes[index.0 as usize]
    }

    /// Remembers where a text was copied to, so that it is copied once however often it is named.
    pub(in crate::wire) fn set_copied(&mut self, index: NodeIndex, start: u32, length: u32) {
        let node = &mut self.nodes[index.0 as usize];
        assert!(matches!(node, Node::Text(_)), "no text to copy: {node:?}");
        *node = Node::Copied { start, length };
    }

    /// What stands in a container, in order.
    pub(in crate::wire) fn places(&self, chain: Chain) -> Places<'_> {
        Places {
            machine: self,
            next: chain.first,
        }
    }

    /// One step through a chain, for a walker that changes objects on its way: the object at the
    /// chain's first place, and the chain behind it.
    pub(in crate::wire) fn split_first(&self, chain: Chain) -> Option<(NodeIndex, Chain)> {
        let cell = self.cells.get(chain.first as usize)?;
        let rest = Chain {
            first: cell.next,
            last: chain.last,
        };
        Some((cell.node, rest))
    }

    /// The bytes of a text; `frame` is the one that was run last.
    pub(in crate::wire) fn bytes<'a>(&'a self, frame: &'a [u8], span: Span) -> &'a [u8] {
        let source = if span.unescaped {
            &self.unescaped
        } else {
            frame
        };
        &source[span.start as usize..][..span.length as usize]
    }

    /// The two objects of a list or tuple of exactly two.
    pub(in crate::wire) fn pair(&self, index: NodeIndex) -> Option<(NodeIndex, NodeIndex)> {
        let (Node::Tuple(chain) | Node::List(chain)) = self.node(index) else {
            return None;
        };
        let mut places = self.places(chain);
        match (places.next(), places.next(), places.next()) {
            (Some(one), Some(two), None) => Some((one, two)),
            _ => None,
        }
    }

    /// Forgets the last frame, and gives back memory that only a large one needs.
    pub(in crate::wire) fn clear(&mut self) {
        if self.nodes.capacity().max(self.cells.capacity()) > PICKLE_OBJECTS_KEPT
            || self.stack.capacity().max(self.memo.capacity()) > PICKLE_OBJECTS_KEPT
            || self.marks.capacity().max(self.unescaped.capacity()) > PICKLE_OBJECTS_KEPT
        {
            *self = Self::default();
        }
        self.nodes.clear();
        self.cells.clear();
        self.stack.clear();
        self.marks.clear();
        self.memo.clear();
        self.memoized = 0;
        self.unescaped.clear();
    }

    /// One opcode. What only makes an object of its argument is left to `scalar`.
    fn step(&mut self, op: u8, offset: usize, input: &mut Cursor<'_>) -> Result<(), PickleError> {
        let height = self.stack.len();
        match op {
            b'q' => {
                let index = usize::from(input.byte()?);
                self.put(index, offset, input)
            }
            b'h' => {
                let index = usize::from(input.byte()?);
                self.recall(index, offset)
            }
            0x94 => self.put(self.memoized, offset, input),
            b'(' => grow(&mut self.marks, small(height)),
            b'a' => self.fill(op, height.checked_sub(1), offset),
            b's' => self.fill(op, height.checked_sub(2), offset),
            b'e' | b'u' | 0x90 => {
                let start = self.mark(offset)?;
                self.fill(op, Some(start), offset)
            }
            0x85..=0x87 => {
                let start = height.checked_sub(usize::from(op - 0x84));
                self.gather(op, start, offset)
            }
            b't' | b'l' | b'd' | 0x91 => {
                let start = self.mark(offset)?;
                self.gather(op, Some(start), offset)
            }
            b']' | b')' | b'}' | 0x8f => self.gather(op, Some(height), offset),
            b'0' if self.marks.last() == Some(&small(height)) => {
                self.marks.pop();
                Ok(())
            }
            b'0' => self.pop(offset).map(drop),
            b'1' => {
                let start = self.mark(offset)?;
                self.stack.truncate(start);
                Ok(())
            }
            b'2' => {
                let top = self.top(offset)?;
                grow(&mut self.stack, top)
            }
            b'p' | b'r' => {
                let index = memo_index(op, offset, input)?;
                self.put(index, offset, input)
            }
            b'g' | b'j' => {
                let index = memo_index(op, offset, input)?;
                self.recall(index, offset)
            }
            0x80 => match input.byte()? {
                0..=5 => Ok(()),
                found => Err(PickleError::Protocol { found }),
            },
            // A frame inside the pickle says where a reader may stop; all of it is here already.
            0x95 => {
                let mut ahead = *input;
                ahead.counted::<8>()?;
                input.take(8).map(drop)
            }
            _ => {
                let node = self.scalar(op, offset, input)?;
                self.push(node)
            }
        }
    }

    /// The object that an opcode makes of its argument alone.
    fn scalar(
        &mut self,
        op: u8,
        offset: usize,
        input: &mut Cursor<'_>,
    ) -> Result<Node, PickleError> {
        let node = match op {
            b'X' | b'T' => Some(Node::Text(span(input.counted::<4>()?, input.at))),
            b'U' | 0x8c => Some(Node::Text(span(input.counted::<1>()?, input.at))),
            0x8d => Some(Node::Text(span(input.counted::<8>()?, input.at))),
            b'B' => Some(Node::Bytes(span(input.counted::<4>()?, input.at))),
            b'C' => Some(Node::Bytes(span(input.counted::<1>()?, input.at))),
            0x8e | 0x96 => Some(Node::Bytes(span(input.counted::<8>()?, input.at))),
            b'G' => Some(Node::Float(f64::from_be_bytes(input.array()?))),
            b'J' => Some(Node::Int(i64::from(i32::from_le_bytes(input.array()?)))),
            b'K' => Some(Node::Int(i64::from(input.byte()?))),
            b'M' => Some(Node::Int(i64::from(u16::from_le_bytes(input.array()?)))),
            0x8a => Some(text::binary(input.counted::<1>()?)),
            0x8b => Some(text::binary(input.counted::<4>()?)),
            b'N' => Some(Node::None),
            0x88 => Some(Node::Bool(true)),
            0x89 => Some(Node::Bool(false)),
            b'I' => match input.line()? {
                b"00" => Some(Node::Bool(false)),
                b"01" => Some(Node::Bool(true)),
                line => text::decimal(line),
            },
            b'L' => {
                let line = input.line()?;
                text::decimal(line.strip_suffix(b"L").unwrap_or(line))
            }
            b'F' => fast_float2::parse(input.line()?).ok().map(Node::Float),
            b'S' | b'V' => self.literal(op, input)?,
            b'c'
            | b'R'
            | b'b'
            | b'i'
            | b'o'
            | b'P'
            | b'Q'
            | 0x81..=0x84
            | 0x92
            | 0x93
            | 0x97
            | 0x98 => return Err(PickleError::Forbidden { opcode: op, offset }),
            _ => return Err(PickleError::Opcode { opcode: op, offset }),
        };
        node.ok_or(PickleError::Argument { opcode: op, offset })
    }

    /// The text forms of str: in place where they stand for themselves.
    fn literal(&mut self, op: u8, input: &mut Cursor<'_>) -> Result<Option<Node>, PickleError> {
        let line = input.line()?;
        let start = self.unescaped.len();
        let written = if op == b'S' {
            let Some(body) = text::quoted(line) else {
                return Ok(None);
            };
            if memchr::memchr(b'\\', body).is_none() {
                // After the body come the quote and the newline.
                return Ok(Some(Node::Text(span(body, input.at - 2))));
            }
            text::unescape(body, &mut self.unescaped)
        } else {
            if line.is_ascii() && memchr::memchr(b'\\', line).is_none() {
                return Ok(Some(Node::Text(span(line, input.at - 1))));
            }
            text::raw_unicode(line, &mut self.unescaped)
        };
        let span = Span {
            unescaped: true,
            start: small(start),
            length: small(self.unescaped.len() - start),
        };
        Ok(written.map(|()| Node::Text(span)))
    }

    /// Makes a container of what lies on the stack from `start` on.
    fn gather(&mut self, op: u8, start: Option<usize>, offset: usize) -> Result<(), PickleError> {
        let start = start.filter(|start| *start >= self.fence());
        let start = start.ok_or(PickleError::StackUnderflow { offset })?;
        if op == b'd' && !(self.stack.len() - start).is_multiple_of(2) {
            return Err(PickleError::Shape { opcode: op, offset });
        }
        let chain = self.link_from(start, EMPTY)?;
        self.push(match op {
            b'l' | b']' => Node::List(chain),
            b'd' | b'}' => Node::Dict(chain),
            0x8f | 0x91 => Node::Set(chain),
            _ => Node::Tuple(chain),
        })
    }

    /// Moves what lies on the stack from `start` on into the container below it.
    fn fill(&mut self, op: u8, start: Option<usize>, offset: usize) -> Result<(), PickleError> {
        let start = start.filter(|start| *start > self.fence());
        let start = start.ok_or(PickleError::StackUnderflow { offset })?;
        let even = (self.stack.len() - start).is_multiple_of(2);
        let target = self.stack[start - 1];
        let filled = match (op, self.node(target)) {
            (b'a' | b'e', Node::List(chain)) => Node::List(self.link_from(start, chain)?),
            (b's' | b'u', Node::Dict(chain)) if even => Node::Dict(self.link_from(start, chain)?),
            (0x90, Node::Set(chain)) => Node::Set(self.link_from(start, chain)?),
            _ => return Err(PickleError::Shape { opcode: op, offset }),
        };
        self.nodes[target.0 as usize] = filled;
        Ok(())
    }

    /// Appends the stack from `start` on to a chain, and takes it off the stack.
    fn link_from(&mut self, start: usize, mut chain: Chain) -> Result<Chain, PickleError> {
        for index in start..self.stack.len() {
            let node = self.stack[index];
            let cell = small(self.cells.len());
            let next = NOWHERE;
            grow(&mut self.cells, Cell { node, next })?;
            match self.cells.get_mut(chain.last as usize) {
                Some(last) => last.next = cell,
                // The chain is empty: NOWHERE lies beyond every cell.
                None => chain.first = cell,
            }
            chain.last = cell;
        }
        self.stack.truncate(start);
        Ok(chain)
    }

    /// Puts the top of the stack into the memo. Picklers number from 0 or 1 without gaps, so a
    /// number above the length of the frame is no pickler's.
    fn put(&mut self, index: usize, offset: usize, input: &Cursor<'_>) -> Result<(), PickleError> {
        let top = self.top(offset)?;
        if index >= input.frame.len().min(PICKLE_OBJECTS_MAX) {
            return Err(PickleError::Memo { index, offset });
        }
        if index >= self.memo.len() {
            self.memo.resize(index + 1, NodeIndex(NOWHERE));
        }
        self.memoized += usize::from(self.memo[index].0 == NOWHERE);
        self.memo[index] = top;
        Ok(())
    }

    /// Pushes what was put into the memo.
    fn recall(&mut self, index: usize, offset: usize) -> Result<(), PickleError> {
        match self.memo.get(index) {
            Some(node) if node.0 != NOWHERE => grow(&mut self.stack, *node),
            _ => Err(PickleError::Memo { index, offset }),
        }
    }

    fn push(&mut self, node: Node) -> Result<(), PickleError> {
        let index = NodeIndex(small(self.nodes.len()));
        grow(&mut self.nodes, node)?;
        grow(&mut self.stack, index)
    }

    fn pop(&mut self, offset: usize) -> Result<NodeIndex, PickleError> {
        let top = self.top(offset)?;
        self.stack.pop();
        Ok(top)
    }

    fn top(&self, offset: usize) -> Result<NodeIndex, PickleError> {
        match self.stack.last() {
            Some(top) if self.stack.len() > self.fence() => Ok(*top),
            _ => Err(PickleError::StackUnderflow { offset }),
        }
    }

    /// Takes the last mark and says how high the stack was.
    fn mark(&mut self, offset: usize) -> Result<usize, PickleError> {
        let mark = self.marks.pop();
        mark.map(|mark| mark as usize)
            .ok_or(PickleError::StackUnderflow { offset })
    }

    /// Below the last mark nothing may be popped.
    fn fence(&self) -> usize {
        self.marks.last().map_or(0, |mark| *mark as usize)
    }
}

/// Walks the places of a container.
#[derive(Clone, Debug)]
pub(in crate::wire) struct Places<'m> {
    machine: &'m Machine,
    next: u32,
}

impl Iterator for Places<'_> {
    type Item = NodeIndex;

    fn next(&mut self) -> Option<NodeIndex> {
        // NOWHERE lies beyond every cell.
        let cell = self.machine.cells.get(self.next as usize)?;
        self.next = cell.next;
        Some(cell.node)
    }
}

/// Appends within the bound of every part of the machine.
fn grow<T>(part: &mut Vec<T>, item: T) -> Result<(), PickleError> {
    if part.len() >= PICKLE_OBJECTS_MAX {
        return Err(PickleError::TooManyObjects);
    }
    part.push(item);
    Ok(())
}

/// A length or an index within a frame or a part of the machine, which `u32` holds.
pub(in crate::wire) fn small(number: usize) -> u32 {
    let Ok(number) = u32::try_from(number) else {
        unreachable!("{number} is bounded by twice the frame or by PICKLE_OBJECTS_MAX")
    };
    number
}

/// Bytes of the frame that end at `end`.
fn span(bytes: &[u8], end: usize) -> Span {
    Span {
        unescaped: false,
        start: small(end - bytes.len()),
        length: small(bytes.len()),
    }
}

/// The memo number of a text or a long put or get.
fn memo_index(op: u8, offset: usize, input: &mut Cursor<'_>) -> Result<usize, PickleError> {
    if matches!(op, b'r' | b'j') {
        return Ok(u32::from_le_bytes(input.array()?) as usize);
    }
    match text::decimal(input.line()?) {
        Some(Node::Int(index)) => usize::try_from(index).ok(),
        _ => None,
    }
    .ok_or(PickleError::Argument { opcode: op, offset })
}
