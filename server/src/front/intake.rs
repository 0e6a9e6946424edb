//! How a received item becomes a point of the shard: its time is settled, and it is taken,
//! refused with its reason, or has to wait. The one place where receivers meet the engine.

use benzene_engine::clock::Now;
use benzene_engine::point::Point;
use benzene_engine::shard::{Accept, Shard};
use benzene_engine::stats::Counter;

use crate::wire::{Item, Refusal, Stamp, line};

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Done with: cached, refused or dropped, and counted.
    Done,
    /// To be offered again later.
    NoRoom,
}

/// The rules that all receivers share.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    /// MIN_TIMESTAMP_RESOLUTION: timestamps are cut down to a multiple of it.
    resolution_s: u32,
    /// USE_FLOW_CONTROL: senders are slowed where there is no room; else points are dropped.
    flow_control: bool,
    unix_now: u32,
}

impl Intake {
    pub(crate) fn new(resolution_s: u32, flow_control: bool, now: Now) -> Self {
        assert!(resolution_s > 0, "a resolution of {resolution_s} s");
        Self {
            resolution_s,
            flow_control,
            unix_now: now.unix_seconds,
        }
    }

    pub(super) fn begin_turn(&mut self, now: Now) {
        self.unix_now = now.unix_seconds;
    }

    /// Offers the point of a line.
    pub(super) fn line(&self, bytes: &[u8], shard: &mut Shard) -> Taken {
        match line::parse(bytes) {
            Ok(item) => self.item(&item, shard),
            Err(refusal) => self.refuse(refusal, shard),
        }
    }

    /// Offers the point of an item.
    pub(super) fn item(&self, item: &Item<'_>, shard: &mut Shard) -> Taken {
        match shard.accept(item.name, self.point(item)) {
            Accept::Taken => Taken::Done,
            Accept::Full if self.flow_control || shard.has_room() => Taken::NoRoom,
            Accept::Full => {
                shard.drop_full();
                Taken::Done
            }
            Accept::Refused(_) => {
                shard.count(Counter::RefusedName, 1);
                Taken::Done
            }
        }
    }

    /// Takes what a datagram holds; it cannot wait.
    pub(super) fn datagram(&self, bytes: &[u8], shard: &mut Shard) {
        for line in line::datagram_lines(bytes) {
            if self.line(line, shard) == Taken::NoRoom {
                shard.drop_full();
            }
        }
    }

    /// Counts what was refused.
    #[expect(
        clippy::unused_self,
        reason = "the intake decides what becomes of an item"
    )]
    pub(super) fn refuse(&self, refusal: Refusal, shard: &mut Shard) -> Taken {
        shard.count(refusal.counter(), 1);
        Taken::Done
    }

    fn point(&self, item: &Item<'_>) -> Point {
        let timestamp = match item.stamp {
            Stamp::Now => self.unix_now,
            Stamp::At(timestamp) => timestamp,
        };
        Point {
            timestamp: timestamp - timestamp % self.resolution_s,
            value: item.value,
        }
    }
}
