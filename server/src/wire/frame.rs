//! Frames of pickle and cache-query connections: a length of four bytes, big-endian, then as many.
//! `Frames` cuts a byte stream into them, however reads split it. A frame that lies whole in the
//! receive buffer is never copied; an unfinished one is kept, and grows only with what has really
//! come, so that a header that announces much and sends nothing costs nothing.
//! A frame beyond the bound ends the stream: its length cannot be trusted, so there is no telling
//! where the next frame begins, and the connection is to be closed.

use benzene_engine::limits::FRAME_PENDING_BYTES_KEPT;
use benzene_engine::stats::Counter;

use super::Refusal;

/// Bytes of the length before each frame.
pub const HEADER_BYTES: usize = 4;

/// Why a stream cannot be cut any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length before a frame is above the bound of its listener.
    #[error("a frame of {found_bytes} bytes is announced, at most {bound_bytes} are taken")]
    TooLong {
        /// What the header says.
        found_bytes: usize,
        /// What this connection takes.
        bound_bytes: usize,
    },
}

impl FrameError {
    /// Where it is counted.
    pub const fn counter(self) -> Counter {
        match self {
            FrameError::TooLong { .. } => Counter::RefusedFrameLength,
        }
    }
}

/// Cuts a byte stream into frames, one buffer after the other.
#[derive(Debug)]
pub struct Frames {
    frame_bytes_max: usize,
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// The start of a frame whose end has not come, or the frame last handed out.
    pending: Vec<u8>,
    /// `pending` was handed out.
    spent: bool,
    failed: Option<FrameError>,
}

impl Frames {
    /// Frames of at most `frame_bytes_max` bytes, the header not counted.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self {
            frame_bytes_max,
            header: [0; HEADER_BYTES],
            header_bytes: 0,
            pending: Vec::new(),
            spent: false,
            failed: None,
        }
    }

    /// The next complete frame of `input` from `at` on, without its header; moves `at` past it.
    /// `None` when there is none: then all of `input` is used up and what is unfinished is kept
    /// here. The caller may stop after any frame, keep `input` and `at`, and go on later.
    /// After an error there is nothing but that error.
    pub fn next<'a>(
        &'a mut self,
        input: &'a [u8],
        at: &mut usize,
    ) -> Option<Result<&'a [u8], FrameError>> {
        assert!(*at <= input.len(), "at {at} of {} bytes", input.len());
        if std::mem::take(&mut self.spent) {
            self.start_over();
        }
        if let Some(error) = self.failed {
            return Some(Err(error));
        }
        let taken = (HEADER_BYTES - self.header_bytes).min(input.len() - *at);
        self.header[self.header_bytes..][..taken].copy_from_slice(&input[*at..][..taken]);
        self.header_bytes += taken;
        *at += taken;
        let frame_bytes = self.announced()?;
        if frame_bytes > self.frame_bytes_max {
            self.failed = Some(FrameError::TooLong {
                found_bytes: frame_bytes,
                bound_bytes: self.frame_bytes_max,
            });
            return self.failed.map(Err);
        }
        let rest = &input[*at..];
        if self.pending.is_empty() && rest.len() >= frame_bytes {
            *at += frame_bytes;
            self.start_over();
            return Some(Ok(&rest[..frame_bytes]));
        }
        let taken = (frame_bytes - self.pending.len()).min(rest.len());
        self.grow(taken, frame_bytes);
        self.pending.extend_from_slice(&rest[..taken]);
        *at += taken;
        self.spent = self.pending.len() == frame_bytes;
        self.spent.then_some(Ok(&self.pending))
    }

    /// Ends the stream: whether it ended inside a frame.
    pub fn finish(&mut self) -> Result<(), Refusal> {
        let unfinished = self.header_bytes > 0 && !self.spent && self.failed.is_none();
        *self = Self::new(self.frame_bytes_max);
        if unfinished {
            return Err(Refusal::Unfinished);
        }
        Ok(())
    }

    /// Bytes of memory held for an unfinished frame; what is kept between frames is not counted.
    pub fn pending_bytes(&self) -> usize {
        if self.header_bytes == 0 || self.spent {
            return 0;
        }
        self.pending.capacity()
    }

    /// Lets go of the frame last handed out, so that it takes no memory while its reader waits.
    pub fn release(&mut self) {
        if std::mem::take(&mut self.spent) {
            self.start_over();
        }
    }

    /// Makes room for `more` bytes: doubles, so that time stays linear, but never past the frame.
    fn grow(&mut self, more: usize, frame_bytes: usize) {
        let needed = self.pending.len() + more;
        assert!(
            needed <= frame_bytes,
            "{needed} bytes of a frame of {frame_bytes}"
        );
        if needed > self.pending.capacity() {
            let doubled = self.pending.capacity().saturating_mul(2);
            let capacity = doubled.max(needed).min(frame_bytes);
            self.pending.reserve_exact(capacity - self.pending.len());
        }
    }

    /// The length of the frame under way, once its header is complete.
    fn announced(&self) -> Option<usize> {
        let length = u32::from_be_bytes(self.header);
        (self.header_bytes == HEADER_BYTES).then_some(length as usize)
    }

    fn start_over(&mut self) {
        self.header_bytes = 0;
        self.pending.clear();
        if self.pending.capacity() > FRAME_PENDING_BYTES_KEPT {
            self.pending = Vec::new();
        }
    }
}
