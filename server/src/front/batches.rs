//! Connections that send batches in frames, pickled or as protobuf: a frame is decoded once, and its
//! items are offered one by one, in as many turns as that takes.
//! Between frames a connection keeps no batch; while an item finds no room or no time, it has the
//! one of its core, and where all connections have too much of that, none is decoded: what comes waits
//! as it came. A frame that cannot be decoded is refused by itself; one that is too long ends
//! the connection, for where the next begins is not known.

use benzene_engine::limits::PROTOBUF_FRAME_BYTES_MAX;
use benzene_engine::shard::{Guesses, Trail};
use benzene_engine::stats::Counter;

use super::connection::{Input, Means, Progress};
use super::intake::Taken;
use super::memory::Use;
use super::refused::{Garbage, quoted};
use crate::wire::batch::Batch;
use crate::wire::frame::Frames;
use crate::wire::{Refusal, pickle, protobuf};

/// What the frames hold.
#[derive(Clone, Copy, Debug)]
enum Codec {
    Pickle,
    Protobuf,
}

/// What is kept between two receives.
#[derive(Debug)]
pub(super) struct Batches {
    codec: Codec,
    frames: Frames,
    /// Of the last frame, where an item of it found no room or no time; else empty.
    batch: Batch,
    next: usize,
}

impl Batches {
    /// Of a sender of pickles of at most so many bytes.
    pub(super) fn pickle(frame_bytes_max: usize) -> Self {
        Self::new(Codec::Pickle, frame_bytes_max)
    }

    pub(super) fn protobuf() -> Self {
        Self::new(Codec::Protobuf, PROTOBUF_FRAME_BYTES_MAX)
    }

    fn new(codec: Codec, frame_bytes_max: usize) -> Self {
        Self {
            codec,
            frames: Frames::new(frame_bytes_max),
            batch: Batch::default(),
            next: 0,
        }
    }

    /// Works on the bytes at hand, and on what is left of the last frame before them.
    pub(super) fn work(
        &mut self,
        trail: &mut Trail,
        input: Input<'_>,
        means: &mut Means<'_>,
    ) -> Progress {
        let Input { bytes, at } = input;
        if let Some(progress) = self.work_batch(trail, means) {
            return progress;
        }
        self.batch = Batch::default();
        loop {
            if *at < bytes.len() && means.memory.is_over(Use::Decoded) {
                return Progress::Stalled;
            }
            match self.frames.next(bytes, at) {
                None => return Progress::Done,
                Some(Ok(frame)) => {
                    std::mem::swap(&mut self.batch, means.batch);
                    self.next = 0;
                    load(self.codec, frame, &mut self.batch, means);
                    self.frames.release();
                    if let Some(progress) = self.work_batch(trail, means) {
                        return progress;
                    }
                    std::mem::swap(&mut self.batch, means.batch);
                }
                Some(Err(error)) => {
                    means.shard.count(error.counter(), 1);
                    return Progress::Broken;
                }
            }
        }
    }

    /// Offers the batch's items from `next` on, as many as may be taken in this turn. `None` when
    /// all are taken.
    fn work_batch(&mut self, trail: &mut Trail, means: &mut Means<'_>) -> Option<Progress> {
        let (mut guesses, mut guessed_to) = (Guesses::NONE, self.next);
        while let Some(item) = self.batch.get(self.next) {
            if means.items == 0 {
                return Some(Progress::Paused);
            }
            if trail.is_lost() && self.next >= guessed_to {
                let items = self.batch.iter_from(self.next).zip(1..);
                guesses = means
                    .shard
                    .guess(items.map(|(item, end)| (item.name.as_bytes(), end)));
                guessed_to = self.next + guesses.reach();
            }
            let guess = means.shard.next_guess(&mut guesses);
            match means.intake.likely(trail, guess, &item, means.shard) {
                Taken::Done => means.fed = true,
                Taken::Refused => {}
                Taken::BadName => {
                    let name = item.name;
                    let garbage = || Garbage::Name(quoted(name.as_bytes()));
                    means.refused.note(Counter::RefusedName, garbage);
                }
                Taken::NoRoom => return Some(Progress::Stalled),
                Taken::Unjudged => return Some(Progress::Unjudged),
            }
            means.items -= 1;
            self.next += 1;
        }
        None
    }

    pub(super) fn finish(&mut self) -> Result<(), Refusal> {
        self.frames.finish()
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.frames.pending_bytes()
    }

    /// Bytes of memory held for items that wait.
    pub(super) fn decoded_bytes(&self) -> usize {
        self.batch.allocated_bytes()
    }
}

/// Decodes a frame, counts what was refused of it and has it told.
fn load(codec: Codec, frame: &[u8], batch: &mut Batch, means: &mut Means<'_>) {
    let refused: Result<(), (Counter, Garbage)> = match codec {
        Codec::Pickle => pickle::decode(frame, means.machine, batch)
            .map_err(|error| (error.counter(), Garbage::Pickle(error.to_string()))),
        Codec::Protobuf => {
            protobuf::decode(frame, batch).map_err(|error| (error.counter(), Garbage::Protobuf))
        }
    };
    if let Err((counter, garbage)) = refused {
        means.shard.count(counter, 1);
        means.refused.note(counter, || garbage);
    }
    for (refusal, count) in batch.refused().iter() {
        means.shard.count(refusal.counter(), count);
        // Python says so of what it cannot take apart, and passes over what is no number.
        if refusal == Refusal::Item {
            means.refused.note(refusal.counter(), || Garbage::Item);
        }
    }
}
