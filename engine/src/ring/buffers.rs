//! Receive buffers that the kernel chooses from: per lane one allocation, cut into equal buffers,
//! and the ring through which buffers are handed to the kernel. Lanes share nothing, so that
//! whoever fills one lane's buffers takes none of the other's.
//! A buffer is either the kernel's or leased to the shard, never both. `release` is the only way
//! back; a lease that is dropped without it is a buffer lost until the ring is dropped.
//! Invariant: `leased <= count`, and a leased buffer is never written by the kernel.
#![expect(
    unsafe_code,
    reason = "the kernel reads the ring and writes the buffers by address"
)]

use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::error::RingError;
use super::uring::Uring;
use super::{BufferSizes, RingConfig};
use crate::limits::{RECEIVE_BUFFER_BYTES_MAX, RECEIVE_BUFFERS_MAX};

/// Whose buffers a socket receives into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Those who send as much as they can and may wait.
    Bulk,
    /// Those who send little and wait for an answer.
    Urgent,
}

impl Lane {
    /// The lane's buffer group, as the kernel knows it.
    pub(super) fn group(self) -> u16 {
        match self {
            Lane::Bulk => 0,
            Lane::Urgent => 1,
        }
    }
}

/// The kernel wants the ring aligned to a page; the largest page in use is 64 KiB.
const RING_ALIGNMENT: usize = 65_536;

/// Bytes that were received and are still in the kernel's buffer. Give it back with
/// `Ring::release`.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a lease that is not released is a buffer lost"]
pub struct Lease {
    pub(super) lane: Lane,
    pub(super) buffer: u16,
    pub(super) len: u32,
}

impl Lease {
    /// Whose buffer it is.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// How many bytes were received; 0 only for an empty datagram.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether this was an empty datagram.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// All receive buffers of a ring.
#[derive(Debug)]
pub(super) struct Lanes {
    bulk: Buffers,
    urgent: Buffers,
}

impl Lanes {
    /// Allocates the buffers of both lanes and hands them to the kernel.
    pub(super) fn new(uring: &Uring, config: &RingConfig) -> Result<Lanes, RingError> {
        let (bulk, urgent) = (config.bulk_buffers, config.urgent_buffers);
        Ok(Lanes {
            bulk: Buffers::new(uring, Lane::Bulk, bulk)?,
            urgent: Buffers::new(uring, Lane::Urgent, urgent)?,
        })
    }

    /// The buffers of a lane.
    pub(super) fn of(&self, lane: Lane) -> &Buffers {
        match lane {
            Lane::Bulk => &self.bulk,
            Lane::Urgent => &self.urgent,
        }
    }

    /// The buffers of a lane, to lease and release.
    pub(super) fn of_mut(&mut self, lane: Lane) -> &mut Buffers {
        match lane {
            Lane::Bulk => &mut self.bulk,
            Lane::Urgent => &mut self.urgent,
        }
    }

    /// Takes all buffers away from the kernel before they are freed. Where the kernel may still
    /// write to them, they are never freed.
    pub(super) fn withdraw(&mut self, uring: &Uring, drained: bool) {
        self.bulk.withdraw(uring, drained);
        self.urgent.withdraw(uring, drained);
    }
}

/// The receive buffers of one lane.
#[derive(Debug)]
pub(super) struct Buffers {
    lane: Lane,
    /// From `Box::into_raw` of the bytes around the buffer ring; ours until `Drop`.
    pages: *mut [u8],
    /// The buffer ring inside `pages`, aligned: `count` entries.
    entries: *mut BufRingEntry,
    /// From `Box::into_raw` of `count * bytes` bytes; ours until `Drop`.
    memory: *mut [u8],
    count: u16,
    bytes: u32,
    tail: u16,
    out: Vec<bool>,
    leased: u16,
    abandoned: bool,
}

impl Buffers {
    /// Allocates the buffers and hands all of them to the kernel. `count` is rounded up to a power
    /// of two.
    fn new(uring: &Uring, lane: Lane, sizes: BufferSizes) -> Result<Buffers, RingError> {
        let BufferSizes { count, bytes } = sizes;
        assert!(count > 0, "a ring without receive buffers cannot receive");
        assert!(count <= RECEIVE_BUFFERS_MAX, "{count} receive buffers");
        assert!(bytes > 0, "receive buffers of no bytes");
        assert!(
            bytes <= RECEIVE_BUFFER_BYTES_MAX,
            "receive buffers of {bytes} bytes"
        );
        let count = count.next_power_of_two();
        let ring_bytes = usize::from(count) * size_of::<BufRingEntry>();
        let pages = Box::into_raw(vec![0_u8; ring_bytes + RING_ALIGNMENT].into_boxed_slice());
        let skipped = pages.cast::<u8>().align_offset(RING_ALIGNMENT);
        assert!(skipped < RING_ALIGNMENT, "{skipped} bytes to the next page");
        // SAFETY: the allocation is longer than the ring by more than what is skipped.
        let entries = unsafe { pages.cast::<u8>().add(skipped) };
        #[expect(clippy::cast_ptr_alignment, reason = "aligned to a page just above")]
        let entries = entries.cast::<BufRingEntry>();
        let memory = vec![0_u8; usize::from(count) * bytes as usize];
        let mut buffers = Buffers {
            lane,
            pages,
            entries,
            memory: Box::into_raw(memory.into_boxed_slice()),
            count,
            bytes,
            tail: 0,
            out: vec![true; usize::from(count)],
            leased: count,
            abandoned: false,
        };
        let address = buffers.entries as u64;
        // SAFETY: the pages hold `count` entries from this aligned address on, and are freed by `Drop`
        // only after `withdraw`, or never.
        unsafe { uring.register_buffers(address, count, lane.group()) }?;
        for buffer in 0..count {
            buffers.give(buffer);
        }
        assert!(
            buffers.leased == 0,
            "{} buffers were not handed over",
            buffers.leased
        );
        Ok(buffers)
    }

    /// Whose buffers these are.
    pub(super) fn lane(&self) -> Lane {
        self.lane
    }

    /// Size of each buffer in bytes.
    pub(super) fn buffer_bytes(&self) -> u32 {
        self.bytes
    }

    /// How many buffers there are.
    pub(super) fn count(&self) -> u16 {
        self.count
    }

    /// How many buffers are not leased; some may be full already without our knowing.
    pub(super) fn unleased(&self) -> u16 {
        self.count - self.leased
    }

    /// The kernel has filled `buffer` with `len` bytes.
    pub(super) fn lease(&mut self, buffer: u16, len: u32) -> Lease {
        assert!(
            len <= self.bytes,
            "{len} bytes in a buffer of {}",
            self.bytes
        );
        assert!(
            !self.out[usize::from(buffer)],
            "buffer {buffer} came twice from the kernel"
        );
        self.out[usize::from(buffer)] = true;
        self.leased += 1;
        let lane = self.lane;
        Lease { lane, buffer, len }
    }

    /// The bytes of a lease.
    pub(super) fn bytes<'a>(&'a self, lease: &'a Lease) -> &'a [u8] {
        assert!(self.lane == lease.lane, "a lease of the other lane");
        assert!(
            self.out[usize::from(lease.buffer)],
            "buffer {} is not leased",
            lease.buffer
        );
        let start = usize::from(lease.buffer) * self.bytes as usize;
        let memory = self.memory.cast::<u8>();
        // SAFETY: `lease` was made by `self.lease`, so `buffer` is below `count` and the sum stays
        // inside the allocation.
        let first = unsafe { memory.add(start) };
        // SAFETY: `len` bytes from `first` lie inside one buffer; the kernel does not write it
        // while it is leased, and the lease borrowed here cannot be released meanwhile.
        unsafe { std::slice::from_raw_parts(first, lease.len as usize) }
    }

    /// The buffer goes back to the kernel.
    #[expect(clippy::needless_pass_by_value, reason = "a lease ends here")]
    pub(super) fn release(&mut self, lease: Lease) {
        let Lease { lane, buffer, .. } = lease;
        assert!(self.lane == lane, "a lease of the other lane");
        assert!(
            self.out[usize::from(buffer)],
            "buffer {buffer} was released twice"
        );
        self.give(buffer);
    }

    fn withdraw(&mut self, uring: &Uring, drained: bool) {
        self.abandoned = !drained || uring.unregister_buffers(self.lane.group()).is_err();
    }

    fn give(&mut self, buffer: u16) {
        let start = usize::from(buffer) * self.bytes as usize;
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: the index is below `count`, the number of entries in the pages.
        let entry = unsafe { self.entries.add(index) };
        // SAFETY: the kernel reads this entry only after the tail below has passed it, and has
        // consumed what it held before, as there are no more buffers than entries. The tail, which
        // shares the first entry, is written by us alone.
        let entry = unsafe { &mut *entry };
        entry.set_addr(self.memory.cast::<u8>() as u64 + start as u64);
        entry.set_len(self.bytes);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `entries` is the base of the ring, as registered.
        let tail = unsafe { BufRingEntry::tail(self.entries) };
        // SAFETY: the tail is an aligned `u16` in the pages; the kernel only reads it, and nobody
        // else holds a reference to it here.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
        self.out[usize::from(buffer)] = false;
        self.leased -= 1;
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if self.abandoned {
            return;
        }
        // SAFETY: the pointer came from `Box::into_raw` and is freed once; the kernel has let the
        // ring go (`withdraw`), or never had it.
        drop(unsafe { Box::from_raw(self.pages) });
        // SAFETY: the same for the buffers.
        drop(unsafe { Box::from_raw(self.memory) });
    }
}
