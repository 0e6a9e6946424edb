//! The uring driver: sockets, wakes and, unless threads have them, files, all through one io_uring.
//! It dispatches what has completed to those whose request it answers, one completion at a time, so
//! that nothing is taken in before the event of the one before was fetched.
//! Invariant: when it is dropped, the kernel has let go of all memory that it could touch, or that
//! memory is never freed.

use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use super::buffers::{Lane, Lanes};
use super::error::RingError;
use super::files::Files;
use super::sockets::{SocketId, Sockets, Surroundings};
use super::tag::{Kind, Tag, message_to_word};
use super::uring::{Completion, Uring};
use super::wake::{RingHandle, Wakes};
use super::{DRAIN_TURN, Event, ReceiveNow, RingConfig, host};
use crate::limits::DRAIN_TURNS_MAX;

/// The driver.
#[derive(Debug)]
pub(super) struct Native {
    uring: Uring,
    /// Received bytes.
    pub buffers: Lanes,
    /// Sockets.
    pub sockets: Sockets,
    /// File operations; idle where threads have them.
    pub files: Files,
    /// Both ends of waking.
    pub wakes: Wakes,
    reaped: VecDeque<Completion>,
}

impl Native {
    /// A ring with its buffers.
    pub(super) fn new(config: &RingConfig) -> Result<Native, RingError> {
        let mut uring = Uring::new(config)?;
        let buffers = Lanes::new(&uring, config)?;
        let files = Files::new(&uring, config.visits_max);
        let wakes = Wakes::new(&mut uring)?;
        Ok(Native {
            uring,
            buffers,
            sockets: Sockets::new(),
            files,
            wakes,
            reaped: VecDeque::new(),
        })
    }

    pub(super) fn description(&self) -> String {
        let features = self.uring.features();
        let receive = if self.sockets.multishot_receive {
            "multishot"
        } else {
            "single"
        };
        format!(
            "io_uring on Linux {}: {}, {} completions, {receive} receive with {} buffers of {} \
             bytes, {}ftruncate",
            host::kernel_release(),
            features.setup,
            features.completions,
            self.buffers.of(Lane::Bulk).count(),
            self.buffers.of(Lane::Bulk).buffer_bytes(),
            if features.ftruncate { "" } else { "no " },
        )
    }

    pub(super) fn cap_kernel_workers(&mut self, workers_max: u32) -> Result<(), RingError> {
        self.uring.cap_workers(workers_max)
    }

    pub(super) fn descriptor(&self, socket: SocketId) -> BorrowedFd<'_> {
        self.sockets.descriptor(socket)
    }

    pub(super) fn accept(&mut self, listener: SocketId, one: bool) {
        self.sockets.accept(&mut self.uring, listener, one);
    }

    pub(super) fn accept_now(&mut self, listener: SocketId) -> Option<OwnedFd> {
        self.sockets.accept_now(listener)
    }

    pub(super) fn receive(&mut self, socket: SocketId, lane: Lane) {
        self.sockets
            .receive(&mut self.uring, socket, self.buffers.of(lane));
    }

    pub(super) fn stop_receive(&mut self, socket: SocketId, events: &mut VecDeque<Event>) {
        self.sockets.stop_receive(&mut self.uring, socket, events);
    }

    pub(super) fn receive_now(
        &mut self,
        socket: SocketId,
        into: &mut Vec<u8>,
        bytes_max: usize,
    ) -> ReceiveNow {
        self.sockets.receive_now(socket, into, bytes_max)
    }

    pub(super) fn send(&mut self, socket: SocketId, bytes: Vec<u8>, events: &mut VecDeque<Event>) {
        self.sockets.send(&mut self.uring, socket, bytes, events);
    }

    pub(super) fn close(&mut self, socket: SocketId) {
        self.sockets.close(&mut self.uring, socket);
    }

    pub(super) fn file(
        &mut self,
        token: super::FileToken,
        operation: super::FileOperation,
        events: &mut VecDeque<Event>,
    ) {
        self.files.begin(&mut self.uring, token, operation, events);
    }

    pub(super) fn wake(&mut self, target: &RingHandle, word: u64) {
        self.wakes.send(&mut self.uring, target, word);
    }

    /// Submits everything and waits for a completion, unless some lie here already, or sockets wait for
    /// the buffers that those just fed may leave free: none of these need ever have anything to receive.
    pub(super) fn turn(&mut self, wait: Option<Duration>) {
        let is_left = self.sockets.feed(&mut self.uring, &self.buffers);
        self.uring.enter(if self.reaped.is_empty() && !is_left {
            wait
        } else {
            Some(Duration::ZERO)
        });
        self.uring.reap(&mut self.reaped);
    }

    pub(super) fn submit(&mut self) {
        self.uring.submit_queued();
    }

    /// Takes in the next completion; false when there is none.
    pub(super) fn take_in(&mut self, events: &mut VecDeque<Event>) -> bool {
        let completion = self.reaped.pop_front();
        completion
            .map(|completion| self.complete(completion, events))
            .is_some()
    }

    fn complete(&mut self, completion: Completion, events: &mut VecDeque<Event>) {
        let tag = Tag::decode(completion.user_data);
        match tag.kind {
            Kind::Accept | Kind::Receive | Kind::Send | Kind::Cancel => {
                let mut around = Surroundings {
                    uring: &mut self.uring,
                    buffers: &mut self.buffers,
                    events,
                };
                self.sockets.complete(tag, completion, &mut around);
            }
            Kind::File => {
                self.files
                    .complete(&mut self.uring, tag, completion, events);
            }
            Kind::WakeSent => self.wakes.undelivered(tag),
            Kind::Waker => {
                self.wakes.arm(&mut self.uring);
                if completion.answer().is_ok() {
                    events.push_back(Event::Woken { word: 0 });
                }
            }
            Kind::Woken => {
                let word = message_to_word(completion.user_data, completion.raw);
                events.push_back(Event::Woken { word });
            }
            Kind::CancelAll => {}
        }
    }

    /// Ends everything and waits, within a bound, until the kernel has let go of our memory.
    fn drain(&mut self) -> bool {
        for socket in self.sockets.open_sockets() {
            self.sockets.close(&mut self.uring, socket);
        }
        self.bury();
        self.uring.push_cancel_all();
        // Only turns that bring nothing count: what goes on completing is not stuck.
        let mut idle_turns = 0;
        while self.uring.expected() > 0 && idle_turns < DRAIN_TURNS_MAX {
            self.uring.enter(Some(DRAIN_TURN));
            self.uring.reap(&mut self.reaped);
            idle_turns = if self.reaped.is_empty() {
                idle_turns + 1
            } else {
                0
            };
            self.bury();
        }
        self.uring.expected() == 0
    }

    /// Takes in the last completions without beginning anything.
    fn bury(&mut self) {
        let mut nobody = VecDeque::new();
        while let Some(completion) = self.reaped.pop_front() {
            let tag = Tag::decode(completion.user_data);
            match tag.kind {
                Kind::File => self.files.bury(tag, completion),
                Kind::Accept | Kind::Receive | Kind::Send | Kind::Cancel => {
                    self.complete(completion, &mut nobody);
                }
                Kind::WakeSent | Kind::Waker | Kind::Woken | Kind::CancelAll => {}
            }
        }
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        let drained = self.drain();
        self.buffers.withdraw(&self.uring, drained);
        if !drained {
            let expected = self.uring.expected();
            tracing::warn!(
                expected,
                "the kernel holds on to memory of a ring that is given up"
            );
            self.sockets.abandon();
            self.files.abandon();
            self.wakes.abandon();
        }
    }
}
