//! Waking a shard: from another shard by a message between rings, from any other thread by an
//! eventfd that the ring reads. The poll driver has the eventfd only.
//! A message carries a word; the eventfd carries none, so `Woken { word: 0 }` means "look at
//! everything". A message that cannot be delivered turns into a wake by the eventfd: a wake is
//! never lost while its target lives, and one to a target that is gone does nothing.
//! Invariant: `word` is the kernel's from arming until the completion of the read.
#![expect(
    unsafe_code,
    reason = "the eventfd is read into memory named by address"
)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use io_uring::{opcode, types};
use rustix::event::EventfdFlags;

use super::error::RingError;
use super::tag::{Kind, Tag, word_to_message};
use super::uring::Uring;
use crate::limits::SHARDS_MAX;

/// Wakes a ring from any thread.
#[derive(Clone, Debug)]
pub struct Waker {
    eventfd: Arc<OwnedFd>,
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}

impl Waker {
    /// A waker whose eventfd nobody reads yet.
    pub(super) fn new() -> Result<Waker, RingError> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let eventfd = rustix::event::eventfd(0, flags).map_err(failed)?;
        Ok(Waker {
            eventfd: Arc::new(eventfd),
        })
    }

    /// The ring answers with `Event::Woken { word: 0 }`, once for any number of wakes that come
    /// before it looks. Never waits.
    pub fn wake(&self) {
        // The eventfd is non-blocking: the only refusal is a counter that is full, and then the
        // ring is as good as woken.
        let written = rustix::io::write(&self.eventfd, bytemuck::bytes_of(&1_u64));
        let full = written == Err(rustix::io::Errno::AGAIN);
        assert!(
            full || written == Ok(size_of::<u64>()),
            "an eventfd refused a wake: {written:?}"
        );
    }
}

/// Names a ring as a target for `Ring::wake`.
#[derive(Clone, Debug)]
pub struct RingHandle {
    /// A descriptor of the ring of our own, so that its number can never become another file's.
    /// None where the target has no ring.
    ring: Option<Arc<OwnedFd>>,
    waker: Waker,
}

impl RingHandle {
    /// A target that only its waker wakes.
    pub(super) fn without_ring(waker: Waker) -> RingHandle {
        RingHandle { ring: None, waker }
    }

    /// The waker of the same ring.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }
}

/// Both ends of waking, for one ring.
#[derive(Debug)]
pub(super) struct Wakes {
    own: RingHandle,
    word: Vec<u8>,
    /// Every ring that was ever woken from here; a message names its target by index.
    targets: Vec<RingHandle>,
}

impl Wakes {
    /// Makes the eventfd and arms its read.
    pub(super) fn new(uring: &mut Uring) -> Result<Wakes, RingError> {
        let ring = rustix::io::fcntl_dupfd_cloexec(uring.descriptor(), 0).map_err(failed)?;
        let own = RingHandle {
            ring: Some(Arc::new(ring)),
            waker: Waker::new()?,
        };
        let mut both = Wakes {
            own,
            word: vec![0; size_of::<u64>()],
            targets: Vec::new(),
        };
        both.arm(uring);
        Ok(both)
    }

    /// This ring as a target.
    pub(super) fn handle(&self) -> &RingHandle {
        &self.own
    }

    /// Sends `word` to another ring.
    pub(super) fn send(&mut self, uring: &mut Uring, target: &RingHandle, word: u64) {
        let Some(ring) = &target.ring else {
            target.waker.wake();
            return;
        };
        let known = self
            .targets
            .iter()
            .position(|known| Arc::ptr_eq(&known.waker.eventfd, &target.waker.eventfd));
        let index = known.unwrap_or_else(|| {
            assert!(
                self.targets.len() < SHARDS_MAX,
                "more than {SHARDS_MAX} rings to wake"
            );
            self.targets.push(target.clone());
            self.targets.len() - 1
        });
        let Ok(slot) = u32::try_from(index) else {
            unreachable!("SHARDS_MAX fits 32 bits")
        };
        let (user_data, result) = word_to_message(word);
        let descriptor = types::Fd(ring.as_raw_fd());
        let message = opcode::MsgRingData::new(descriptor, result, user_data, None);
        uring.push_message(message, Tag::new(Kind::WakeSent, slot, 0).encode());
    }

    /// A message could not be delivered.
    pub(super) fn undelivered(&self, tag: Tag) {
        let Some(target) = self.targets.get(tag.slot as usize) else {
            unreachable!("target {} was never woken from here", tag.slot)
        };
        target.waker.wake();
    }

    /// Lets the ring read its eventfd.
    pub(super) fn arm(&mut self, uring: &mut Uring) {
        let descriptor = types::Fd(self.own.waker.eventfd.as_raw_fd());
        let Ok(len) = u32::try_from(self.word.len()) else {
            unreachable!("a word is 8 bytes")
        };
        let entry = opcode::Read::new(descriptor, self.word.as_mut_ptr(), len).build();
        let entry = entry.user_data(Tag::new(Kind::Waker, 0, 0).encode());
        // SAFETY: `word` is allocated once and not touched until this read has completed; the
        // next `arm` follows its completion, and `abandon` keeps it if there was none.
        unsafe { uring.push(&[entry]) }
    }

    /// Keeps for ever what the kernel may still write to.
    pub(super) fn abandon(&mut self) {
        let _kept: &mut [u8] = std::mem::take(&mut self.word).leak();
    }
}

fn failed(errno: rustix::io::Errno) -> RingError {
    RingError::register("making a descriptor for wakes", errno.raw_os_error())
}
