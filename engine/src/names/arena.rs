//! Metric names, packed end to end in chunks.
//! A name costs its bytes and four more. Chunks are given back: one without live names at once, one
//! that is mostly dead after its live names were moved (the table does that, for only the records
//! know which names live).
//! Invariant: every chunk but the current one is at least half alive once what `release` and
//! `take_sparse` say was done.

use super::slab::number;

/// Bytes of a chunk: offsets fit in 16 bits, and the longest name takes a twentieth of it.
const CHUNK_BYTES: usize = 1 << 16;
const _: () = assert!(crate::limits::METRIC_NAME_BYTES_MAX < CHUNK_BYTES / 16);

/// Where a name is. The default is no name: empty, and in no chunk that need be held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameRef {
    chunk: u32,
    offset: u16,
    len: u16,
}

impl NameRef {
    /// Length of the name in bytes.
    #[inline]
    pub(crate) fn len(self) -> usize {
        usize::from(self.len)
    }

    /// Is it in this chunk?
    pub(super) fn is_in(self, chunk: u32) -> bool {
        self.chunk == chunk
    }

    #[inline]
    fn range(self) -> std::ops::Range<usize> {
        usize::from(self.offset)..usize::from(self.offset) + usize::from(self.len)
    }
}

/// Names that were put down together.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    text: String,
    /// Whose names these are, in order; owners that are gone or have moved are still listed.
    owners: Vec<u32>,
    live_bytes: usize,
}

impl Chunk {
    /// The records that have, or had, a name here.
    pub(super) fn owners(&self) -> &[u32] {
        &self.owners
    }

    /// A name of this chunk.
    pub(super) fn get(&self, name: NameRef) -> &str {
        &self.text[name.range()]
    }

    fn held_bytes(&self) -> usize {
        self.text.capacity() + self.owners.capacity() * size_of::<u32>()
    }
}

/// All names of a table.
#[derive(Debug, Default)]
pub(super) struct Names {
    chunks: Vec<Chunk>,
    /// Chunks that are not held.
    holes: Vec<u32>,
    current: u32,
    /// A chunk that was mostly dead when it stopped being the current one.
    sparse: Option<u32>,
    held_bytes: usize,
}

impl Names {
    /// Puts down a name for the record `owner`.
    pub(super) fn push(&mut self, name: &str, owner: u32) -> NameRef {
        assert!(
            !name.is_empty() && name.len() <= crate::limits::METRIC_NAME_BYTES_MAX,
            "a name of {} bytes is not canonical",
            name.len()
        );
        if !self.current_has_room(name.len()) {
            self.begin_chunk();
        }
        let chunk = &mut self.chunks[self.current as usize];
        let offset = chunk.text.len();
        self.held_bytes -= chunk.held_bytes();
        chunk.text.push_str(name);
        chunk.owners.push(owner);
        chunk.live_bytes += name.len();
        self.held_bytes += chunk.held_bytes();
        NameRef {
            chunk: self.current,
            offset: short(offset),
            len: short(name.len()),
        }
    }

    /// The name.
    pub(super) fn get(&self, name: NameRef) -> &str {
        self.chunks[name.chunk as usize].get(name)
    }

    /// The bytes of a name, without asking where characters begin; none of one that was released.
    #[inline]
    pub(super) fn bytes(&self, name: NameRef) -> &[u8] {
        self.chunks
            .get(name.chunk as usize)
            .and_then(|chunk| chunk.text.as_bytes().get(name.range()))
            .unwrap_or_default()
    }

    /// A chunk whose live names should be moved now, after a push: take it, push them again, and
    /// `close` it.
    pub(super) fn take_sparse(&mut self) -> Option<u32> {
        self.sparse.take()
    }

    /// Lets a name go. Where a chunk is returned, its live names should be moved now.
    #[must_use]
    pub(super) fn release(&mut self, name: NameRef) -> Option<u32> {
        let chunk = &mut self.chunks[name.chunk as usize];
        assert!(chunk.live_bytes >= name.len(), "a name is released twice");
        chunk.live_bytes -= name.len();
        if name.chunk == self.current {
            if chunk.live_bytes == 0 {
                chunk.text.clear();
                chunk.owners.clear();
            }
            return None;
        }
        (chunk.live_bytes < CHUNK_BYTES / 2).then_some(name.chunk)
    }

    /// Takes a chunk out, so that its live names can be pushed again.
    pub(super) fn take(&mut self, chunk: u32) -> Chunk {
        assert!(chunk != self.current, "the current chunk {chunk} is taken");
        let taken = std::mem::take(&mut self.chunks[chunk as usize]);
        self.held_bytes -= taken.held_bytes();
        taken
    }

    /// The number of a chunk that was taken may be used again.
    pub(super) fn close(&mut self, chunk: u32) {
        self.holes.push(chunk);
    }

    /// Bytes of all chunks, and of the lists that lead to them.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
            + self.chunks.capacity() * size_of::<Chunk>()
            + self.holes.capacity() * size_of::<u32>()
    }

    fn current_has_room(&self, bytes: usize) -> bool {
        self.chunks.get(self.current as usize).is_some_and(|chunk| {
            chunk.text.capacity() > 0 && chunk.text.len() + bytes <= CHUNK_BYTES
        })
    }

    fn begin_chunk(&mut self) {
        let chunk = Chunk {
            text: String::with_capacity(CHUNK_BYTES),
            ..Chunk::default()
        };
        self.held_bytes += chunk.held_bytes();
        if let Some(old) = self.chunks.get_mut(self.current as usize) {
            self.held_bytes -= old.held_bytes();
            old.owners.shrink_to_fit();
            self.held_bytes += old.held_bytes();
            self.sparse = (old.live_bytes < CHUNK_BYTES / 2).then_some(self.current);
        }
        if let Some(hole) = self.holes.pop() {
            self.chunks[hole as usize] = chunk;
            self.current = hole;
        } else {
            self.current = number(self.chunks.len());
            self.chunks.push(chunk);
        }
    }
}

fn short(bytes: usize) -> u16 {
    let Ok(short) = u16::try_from(bytes) else {
        unreachable!("{bytes} is past the end of a chunk");
    };
    short
}
